# EcStory: one story, told by every real shop that we can drive.
#
#	ec_story('vendure', available => QUERY, counts => { placed => QUERY, ... }, facts => QUERY);
#
# A shop is attached, lives for a while with the workers running, and what
# ecauto saw is compared with what the traffic did and with what the shop's own
# tables say.  The queries know the shop's tables, not ecauto's:
#
#	available	sku and what can be sold of it, for all that can be bought
#	counts		numbers of orders: placed, paid, fulfilled, cancelled
#	facts		key, number and e-mail address of placed orders
package EcStory;

use strict;
use warnings;
use EcLive;
use EcTest;
use Exporter 'import';
use Test::More;

our @EXPORT = qw(ec_story);

# what the traffic calls it
my %traffic_word = (placed => 'orders', paid => 'paid', fulfilled => 'shipped', cancelled => 'cancelled');

sub ec_story
{
	my ($name, %sql) = @_;

	my $shop = EcLive->new($name);
	my $sink = ec_sink();
	my $db = $shop->database;
	my $node = ec_node('main',
		extension => 0,
		conf => {
			%{ $shop->conf },
			'ecauto.databases' => $db,
			'ecauto.settle_time' => '500ms',
			'ecauto.manager_mail' => 'manager@example.test' });
	my $query = sub { return $node->safe_psql($db, $_[0]); };
	my $settled = sub { return ec_wait($node, $db, 'SELECT pending = 0 AND noted = 0 FROM ecauto.tick()'); };

	$shop->create($node);
	my $triggers = q{SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2};
	my $before = $query->($triggers);

	# ---- attach ----
	$query->('CREATE EXTENSION ecauto');
	is($query->('SELECT preset FROM ecauto.detect_shop() ORDER BY score DESC LIMIT 1'), $name, 'it is recognised');
	$query->("SELECT ecauto.attach_shop('$name')");
	is($query->(q{SELECT string_agg(role, ', ') FROM ecauto.check_shop() WHERE NOT ok}), '', 'every role that it has can be read');
	is($query->('SELECT count(*) FROM ecauto.events()'), '0', 'attaching emits nothing');

	$query->('CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url $$' . $sink->smtp_url . '$$, sender $$Shop <shop@example.test>$$)');
	$query->('CREATE SERVER supplier FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url $$' . $sink->http_url . '$$)');
	$query->("SELECT ecauto.set_order_mail('order.$_')") for sort keys %traffic_word;

	# Policies that the sale of one piece crosses.
	$query->("CREATE TEMP TABLE a AS $sql{available};
		SELECT ecauto.set_stock_policy(a.sku, a.available - 1, 10, 'supplier') FROM a AS a(sku, available) WHERE a.available >= 1");
	cmp_ok($query->('SELECT count(*) FROM ecauto_data.stock_policy'), '>', 0, 'stock policies are set');

	# ---- life ----
	$shop->start;
	my $counts = $shop->traffic(ORDERS => 20, ABANDON => 0.4, CANCEL => 0.15, SEED => 1, CONC => 2);
	$shop->stop;
	is($counts->{errors}, 0, 'the traffic had no errors');
	ok($settled->(), 'all that was noted was taken up');

	for my $step (sort keys %traffic_word)
	{
		my $seen = $query->("SELECT count(*) FROM ecauto.events(kind => 'order.$step')");
		is($seen, $counts->{ $traffic_word{$step} }, "order.$step: as many as the traffic made");
		is($seen, $query->($sql{counts}{$step}), "order.$step: as many as the shop's tables hold");
		is($query->("SELECT count(DISTINCT key) FROM ecauto.events(kind => 'order.$step')"), $seen, "order.$step: each order once");
	}
	is( $query->(qq{
			WITH told AS (SELECT key, new ->> 'number', new ->> 'email' FROM ecauto.events(kind => 'order.placed')),
				facts AS ($sql{facts})
			SELECT count(*) FROM ((TABLE told EXCEPT TABLE facts) UNION ALL (TABLE facts EXCEPT TABLE told)) d}),
		'0',
		'order.placed tells number and address as the shop has them');

	# ---- what followed ----
	my $steps = $query->(q{
		SELECT count(*) FROM ecauto.events()
		WHERE kind IN ('order.placed', 'order.paid', 'order.fulfilled', 'order.cancelled')});
	my $crossings = $query->(q{
		SELECT count(*) FROM ecauto.events(kind => 'stock.changed') e JOIN ecauto_data.stock_policy p ON p.sku = e.sku
		WHERE (e.old ->> 'available')::numeric > p.reorder_point AND (e.new ->> 'available')::numeric <= p.reorder_point});
	cmp_ok($crossings, '>', 0, 'stock fell to a reorder point');
	my @orders = $sink->wait_for(http => $crossings);
	my @mails = $sink->wait_for(smtp => $steps + $crossings);
	ok( ec_wait($node, $db, q{SELECT NOT EXISTS (SELECT FROM ecauto.messages() WHERE state <> 'delivered')}),
		'the outbox is drained');
	is(scalar($sink->requests), $crossings, 'one order to the supplier for each time that stock fell to its reorder point');
	is(scalar($sink->mails), $steps + $crossings, 'one mail for each step of an order, and one to the manager for each reorder');
	my %keys = map { ($_->{headers}{'idempotency-key'} // '') => 1 } @orders;
	is(scalar(keys %keys), $crossings, 'each order has its own idempotency key');

	# ---- again, and gone ----
	my $events = $query->('SELECT count(*) FROM ecauto.events()');
	$query->('SELECT ecauto.resync()');
	ok($settled->(), 'resync is through');
	is($query->('SELECT count(*) FROM ecauto.events()'), $events, 'resync() emits nothing');

	$query->('SELECT ecauto.detach_shop()');
	is($query->($triggers), $before, 'detaching leaves the triggers that were there');

	$node->stop;
	done_testing();
	return;
}

1;

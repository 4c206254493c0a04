# Vendure, driven over its own HTTP API while the workers run: what ecauto saw
# is what the shop did, each thing once, and customers and supplier heard of it.
use strict;
use warnings;
use EcLive;
use EcTest;
use Test::More;

my $shop = EcLive->new('vendure');
my $sink = ec_sink();
my $db = $shop->database;
my $node = ec_node('main',
	extension => 0,
	conf => {
		%{ $shop->conf },
		'ecauto.databases' => $db,
		'ecauto.settle_time' => '500ms',
		'ecauto.manager_mail' => 'manager@example.test' });

sub query { return $node->safe_psql($db, $_[0]); }

$shop->create($node);
my $triggers = q{SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2};
my $before = query($triggers);

# ---- attach ----
query('CREATE EXTENSION ecauto');
is(query('SELECT preset FROM ecauto.detect_shop() ORDER BY score DESC LIMIT 1'), 'vendure', 'it is recognised');
query(q{SELECT ecauto.attach_shop('vendure')});
is(query('SELECT string_agg(role, \', \') FROM ecauto.check_shop() WHERE NOT ok'), '', 'every role that it has can be read');
is(query('SELECT count(*) FROM ecauto.events()'), '0', 'attaching emits nothing');

query('CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url $$' . $sink->smtp_url . '$$, sender $$Shop <shop@example.test>$$)');
query('CREATE SERVER supplier FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url $$' . $sink->http_url . '$$)');
query("SELECT ecauto.set_order_mail('order.$_')") for qw(placed paid fulfilled cancelled);

# Policies that the sale of one piece crosses.
query(q{
	SELECT ecauto.set_stock_policy(v.sku, v.available - 1, 10, 'supplier')
	FROM (SELECT v.sku, sum(l."stockOnHand" - l."stockAllocated") AS available
		FROM product_variant v JOIN stock_level l ON l."productVariantId" = v.id
		WHERE v."deletedAt" IS NULL GROUP BY v.id) v
	WHERE v.available >= 1});
my $policies = query('SELECT count(*) FROM ecauto_data.stock_policy');
cmp_ok($policies, '>', 0, 'stock policies are set');

# ---- life ----
$shop->start;
my $counts = $shop->traffic(ORDERS => 20, ABANDON => 0.4, CANCEL => 0.15, SEED => 1, CONC => 2);
$shop->stop;
is($counts->{errors}, 0, 'the traffic had no errors');

ok(ec_wait($node, $db, 'SELECT pending = 0 AND noted = 0 FROM ecauto.tick()'), 'everything noted was taken up');

my %sql = (
	placed => q{SELECT count(*) FROM "order" WHERE "orderPlacedAt" IS NOT NULL},
	paid => q{SELECT count(DISTINCT "orderId") FROM payment WHERE state = 'Settled'},
	fulfilled => q{SELECT count(DISTINCT f."orderId") FROM order_fulfillments_fulfillment f
		JOIN fulfillment x ON x.id = f."fulfillmentId" WHERE x.state = 'Shipped'},
	cancelled => q{SELECT count(*) FROM "order" WHERE state = 'Cancelled'});
my %traffic = (placed => 'orders', paid => 'paid', fulfilled => 'shipped', cancelled => 'cancelled');
for my $step (qw(placed paid fulfilled cancelled))
{
	my $seen = query("SELECT count(*) FROM ecauto.events(kind => 'order.$step')");
	is($seen, $counts->{ $traffic{$step} }, "order.$step: as many as the traffic made");
	is($seen, query($sql{$step}), "order.$step: as many as the shop's tables hold");
	is(query("SELECT count(DISTINCT key) FROM ecauto.events(kind => 'order.$step')"), $seen, "order.$step: each order once");
}

is( query(q{
		SELECT count(*) FROM ecauto.events(kind => 'order.placed') e
		JOIN "order" o ON o.id::text = e.key
		WHERE (e.new ->> 'email') IS DISTINCT FROM (SELECT c."emailAddress" FROM customer c WHERE c.id = o."customerId")
			OR (e.new ->> 'number') IS DISTINCT FROM o.code}),
	'0',
	'order.placed tells number and address');

# ---- what followed ----
my $mails = query(q{SELECT count(*) FROM ecauto.events() WHERE kind IN ('order.placed', 'order.paid', 'order.fulfilled', 'order.cancelled')});
my $orders = query(q{
	SELECT count(*) FROM ecauto.events(kind => 'stock.changed') e JOIN ecauto_data.stock_policy p ON p.sku = e.sku
	WHERE (e.old ->> 'available')::numeric > p.reorder_point AND (e.new ->> 'available')::numeric <= p.reorder_point});
cmp_ok($orders, '>', 0, 'stock fell to a reorder point');
my @orders = $sink->wait_for(http => $orders);
my @mails = $sink->wait_for(smtp => $mails + $orders);
ok(ec_wait($node, $db, q{SELECT NOT EXISTS (SELECT FROM ecauto.messages() WHERE state <> 'delivered')}), 'the outbox is drained');
is(scalar($sink->requests), $orders, 'one order to the supplier for each time that stock fell to its reorder point');
is(scalar($sink->mails), $mails + $orders, 'one mail for each step of an order, and one to the manager for each reorder');
my %keys = map { ($_->{headers}{'idempotency-key'} // '') => 1 } @orders;
is(scalar(keys %keys), $orders, 'each order has its own idempotency key');

# ---- again, and gone ----
my $events = query('SELECT count(*) FROM ecauto.events()');
query('SELECT ecauto.resync()');
ok(ec_wait($node, $db, 'SELECT pending = 0 AND noted = 0 FROM ecauto.tick()'), 'resync is through');
is(query('SELECT count(*) FROM ecauto.events()'), $events, 'resync() emits nothing');

query('SELECT ecauto.detach_shop()');
is(query($triggers), $before, 'detaching leaves the triggers that were there');

$node->stop;
done_testing();

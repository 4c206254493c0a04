# From a sale to the supplier and the mailboxes, by the workers alone: what
# falls to its reorder point is ordered once, what is rolled back never happened.
use strict;
use warnings;
use EcTest;
use JSON::PP;
use Test::More;

my $sink = ec_sink();
my $node = ec_node('main',
	extension => 0,
	conf => {
		'ecauto.databases' => 'shop',
		'ecauto.settle_time' => 0,
		'ecauto.manager_mail' => 'manager@example.test' });
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->command_ok([ 'psql', '-Xq', '-d', $node->connstr('shop'), '-f', 'test/demo/shop.sql' ], 'the shop is made');

sub query { return $node->safe_psql('shop', $_[0]); }

# All that was committed so far was taken up, and sent.
sub settled
{
	return ec_wait($node, 'shop', 'SELECT pending = 0 AND noted = 0 FROM ecauto.tick()')
	  && ec_wait($node, 'shop', q{SELECT NOT EXISTS (SELECT FROM ecauto.messages() WHERE state <> 'delivered')});
}

# Leave that many of a sku to sell.
sub stock
{
	my ($sku, $available) = @_;
	query("UPDATE shop.stock s SET on_hand = s.reserved + $available FROM shop.variant v WHERE v.id = s.variant_id AND v.sku = '$sku'");
	return;
}

sub sell
{
	my ($sku, $n) = @_;
	return query("SELECT shop.place_order('$sku', $n, 'ada\@example.test')");
}

stock($_, 25) for qw(SKU-1-1 SKU-2-1 SKU-3-1);
query('CREATE EXTENSION ecauto');
query(q{SELECT ecauto.attach_shop('demo', '{}', 'shop')});
query('CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url $$' . $sink->smtp_url . '$$, sender $$Shop <shop@example.test>$$)');
query('CREATE SERVER supplier FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url $$' . $sink->http_url('/orders') . '$$)');
query(q{SELECT ecauto.set_stock_policy('SKU-1-1', 20, 50, 'supplier')});
query(q{SELECT ecauto.set_stock_policy('SKU-2-1', 20, 30, 'supplier')});
query(q{SELECT ecauto.set_stock_policy('SKU-3-1', 20, 12, 'mail', 'supplier@example.test')});

# ---- above the point: nothing; onto it: one order, one mail ----
sell('SKU-1-1', 4);
ok(settled(), 'a sale that stays above the reorder point is through');
is(scalar($sink->requests) + scalar($sink->mails), 0, 'and nothing was ordered');

sell('SKU-1-1', 1);
my ($order) = $sink->wait_for(http => 1);
my ($mail) = $sink->wait_for(smtp => 1);
my $body = decode_json($order->{body});
is($order->{method}, 'POST', 'the supplier gets a POST');
is($order->{path}, '/orders', 'at the path of its endpoint');
is($body->{sku}, 'SKU-1-1', 'for the sku');
cmp_ok($body->{quantity}, '==', 50, 'of the quantity');
my $reference = $order->{headers}{'idempotency-key'};
ok($reference, 'with an idempotency key');
is(query("SELECT count(*) FROM ecauto.messages() WHERE key = '$reference'"), '1', 'which is that of the message');

is_deeply($mail->{rcpt}, ['manager@example.test'], 'the manager gets a mail');
is($mail->{mail_from}, 'shop@example.test', 'from the shop');
like($sink->header($mail, 'To'), qr/manager\@example\.test/, 'addressed');
like($sink->header($mail, 'Subject'), qr/SKU-1-1/, 'with a subject');
like($sink->header($mail, 'Message-ID'), qr/^<[^<>\@\s]+\@[^<>\@\s]+>$/, 'and a Message-ID');

# ---- below it: none; up and down again: one more ----
sell('SKU-1-1', 3) for 1 .. 3;
ok(settled(), 'further sales are through');
is(scalar($sink->requests), 1, 'further sales below the point order nothing');
is(scalar($sink->mails), 1, 'and tell nobody');

stock('SKU-1-1', 60);
ok(settled(), 'the delivery is through');
is(scalar($sink->requests), 1, 'a delivery orders nothing');
sell('SKU-1-1', 45);
$sink->wait_for(http => 2);
ok(settled(), 'a large sale is through');
my @orders = $sink->requests;
is(scalar(@orders), 2, 'the next crossing orders once more');
isnt($orders[1]{headers}{'idempotency-key'}, $reference, 'under another key');

# ---- by mail ----
sell('SKU-3-1', 10);
my ($by_mail) = $sink->wait_for(smtp => 1, sub { $_[0]{rcpt}[0] eq 'supplier@example.test' });
like($by_mail->{data}, qr/order\.csv/, 'a supplier with a mail server gets a mail with the order attached');

# ---- rolled back ----
ok(settled(), 'all is through');
my $events = query('SELECT count(*) FROM ecauto.events()');
my $requests = scalar($sink->requests);
query(q{BEGIN; SELECT shop.place_order('SKU-2-1', 10, 'bob@example.test'); ROLLBACK});
query(q{BEGIN; SAVEPOINT s; SELECT shop.place_order('SKU-2-1', 10, 'bob@example.test'); ROLLBACK TO s; COMMIT});
ok(settled(), 'nothing to take up');
is(query('SELECT count(*) FROM ecauto.events()'), $events, 'what is rolled back makes no event');
is(query("SELECT count(*) FROM ecauto_data.change_log"), '0', 'and leaves no note');
is(scalar($sink->requests), $requests, 'and orders nothing');

# a savepoint beside something that stays
query(q{
	BEGIN;
	SELECT shop.fill_cart('SKU-1-1', 1, 'carl@example.test');
	SAVEPOINT s;
	SELECT shop.place_order('SKU-2-1', 10, 'bob@example.test');
	ROLLBACK TO s;
	COMMIT});
ok(settled(), 'the rest is through');
is(query(qq{SELECT string_agg(DISTINCT kind, ' ') FROM (SELECT kind FROM ecauto.events() OFFSET $events) e}),
	'cart.changed', 'only what is beside the savepoint makes events');
is(scalar($sink->requests), $requests, 'and nothing is ordered');

$node->stop;
done_testing();

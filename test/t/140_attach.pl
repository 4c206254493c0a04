# The demo shop is recognised, attached, repaired and let go: what attach_shop()
# reports is true, and detach_shop() leaves the shop exactly as it was.
use strict;
use warnings;
use EcTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = ec_node('main', extension => 0, conf => { 'ecauto.settle_time' => 0 });

sub sql { return $node->safe_psql('shop', $_[0]); }

# kinds and keys of events since the last call
my $told = '';
sub news
{
	my $all = sql("SELECT ecauto.tick() \\g /dev/null\nSELECT format('%s(%s)', kind, key) FROM ecauto.events()");
	my $new = substr($all, length $told);
	$told = $all;
	return join(' ', sort grep { $_ } split /\n/, $new);
}

# everything about the shop's schema, and what hangs on it
sub shop_as_it_is
{
	my ($schema, $err) = run_command([ 'pg_dump', '-s', '-n', 'shop', $node->connstr('shop') ]);
	$schema =~ s/^\\(?:un)?restrict .*$//mg;    # a random word, in newer minor versions
	return $schema . sql(q{
		SELECT c.relname, d.classid::regclass, d.deptype, d.refclassid::regclass, pg_describe_object(d.classid, d.objid, d.objsubid)
		FROM pg_depend d JOIN pg_class c ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
		WHERE c.relnamespace = 'shop'::regnamespace ORDER BY 1, 2, 3, 4, 5});
}

# lines that only one of two texts has
sub difference
{
	my %count;
	$count{$_}++ for split /\n/, $_[0];
	$count{$_}-- for split /\n/, $_[1];
	return join("\n", grep { $count{$_} } sort keys %count);
}

$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-v', 'n_products=60', '-v', 'n_orders=300', '-f', 'test/demo/shop.sql', $node->connstr('shop') ],
	'the demo shop is made');
my $untouched = shop_as_it_is();
like($untouched, qr/CREATE TABLE shop\.orders/, 'it has tables');

# ---- recognised ----
sql('CREATE EXTENSION ecauto');
is(sql('SELECT * FROM ecauto.detect_shop()'), 'demo|shop|1.000|{}', 'the preset is found, and no other');
is(sql('BEGIN; ALTER TABLE shop.orders RENAME shipped_at TO sent_at; DROP TABLE shop.supply_cost; SELECT preset, schema, score < 1 AND score > 0.9, missing FROM ecauto.detect_shop(); ROLLBACK'),
	'demo|shop|t|{orders.shipped_at,supply_cost.cost,supply_cost.currency,supply_cost.variant_id}', 'by its columns, and what is missing is named');
is(sql('BEGIN; ALTER SCHEMA shop RENAME TO "My Shop"; SELECT preset, schema, score FROM ecauto.detect_shop(); ROLLBACK'), 'demo|My Shop|1.000', 'in any schema');
sql('CREATE SCHEMA other; CREATE TABLE other.product (a int); CREATE TABLE other.orders (b int); CREATE TABLE other.price (c int)');
is(sql("SELECT count(*) FROM ecauto.detect_shop() WHERE schema = 'other'"), '0', 'names of tables alone mean nothing');

# ---- refused, and nothing kept ----
my ($state, $message) = ec_sqlstate($node, 'shop', "BEGIN; ALTER TABLE shop.stock DROP COLUMN on_hand CASCADE; SELECT ecauto.attach_shop('demo', '{}', 'shop'); COMMIT;");
is($state, '42703', 'a needed role cannot be bound');
like($message, qr/no role "stock" as preset "demo" knows it\nDETAIL:\s+column s\.on_hand does not exist/, 'it is named, with the column');
($state, $message) = ec_sqlstate($node, 'shop', "BEGIN; UPDATE shop.order_line SET unit_price = unit_price * 100; SELECT ecauto.attach_shop('demo', '{}', 'shop'); COMMIT;");
is($state, '22000', 'prices in two units');
like($message, qr/unit_price is 1\d\d times price\.amount|unit_price is 100 times/, 'by how much');
like($message, qr/money_scale/, 'and what to look at');
is(sql("SELECT to_regnamespace('ecauto_data') IS NULL"), 't', 'no state was made');
is(difference(shop_as_it_is(), $untouched), '', 'nor a trigger');

# ---- attached ----
my $report = sql("SELECT item, state, rows FROM ecauto.attach_shop('demo', '{}', 'shop') ORDER BY item COLLATE \"C\"");
is($report, sql(q{
	SELECT * FROM (
		SELECT * FROM (VALUES ('capture', 'installed', NULL::bigint), ('receive_stock', 'proved', NULL), ('set_active', 'proved', NULL), ('set_price', 'proved', NULL)) v
		UNION ALL SELECT r, 'bound', n FROM (
			SELECT 'product' r, count(*) n FROM shop.product UNION ALL SELECT 'sku', count(*) FROM shop.variant
			UNION ALL SELECT 'price', count(*) FROM shop.price UNION ALL SELECT 'stock', count(*) FROM shop.stock
			UNION ALL SELECT 'order', count(*) FROM shop.orders UNION ALL SELECT 'order_line', count(*) FROM shop.order_line
			UNION ALL SELECT 'customer', count(*) FROM shop.customer UNION ALL SELECT 'consent', count(*) FROM shop.customer
			UNION ALL SELECT 'cart', count(*) FROM shop.cart WHERE NOT ordered
			UNION ALL SELECT 'cart_line', count(*) FROM shop.cart_line JOIN shop.cart c ON c.id = cart_id WHERE NOT ordered
			UNION ALL SELECT 'payment', count(*) FROM shop.payment UNION ALL SELECT 'category', count(*) FROM shop.category
			UNION ALL SELECT 'product_category', count(*) FROM shop.product WHERE category_id IS NOT NULL
			UNION ALL SELECT 'cost', count(*) FROM shop.supply_cost) roles
	) x (item, state, rows) ORDER BY item COLLATE "C"}),
	'the report is what plain SQL says');
is(news(), '', 'history makes no events');
is(sql('SELECT bool_and(ok) FROM ecauto.check_shop()'), 't', 'all is well');
my $order = sql("SELECT shop.place_order('SKU-1-1', 2, 'new\@shop.example')");
sql("SELECT shop.pay_order($order)");
is(news(), "cart.completed(101) customer.created(401) order.paid($order) order.placed($order) stock.changed(1)", 'a sale does');
sql("SELECT shop.ship_order($order)");
is(news(), "order.fulfilled($order) stock.changed(1)", 'so does what follows');
sql("SELECT shop.refund_order($order, 1)");
is(news(), "order.partially_refunded($order)", 'and money that goes back');

# ---- again ----
my $taps = 'SELECT string_agg(format($$%s %s %s$$, tap, table_name, key_column), $$, $$ ORDER BY tap) FROM ecauto_data.source';
my $before = sql($taps);
my $triggers = 'SELECT string_agg(oid::text, $$ $$ ORDER BY oid) FROM pg_trigger WHERE tgname LIKE $$ecauto%$$';
my $oids = sql($triggers);
my $busy = $node->background_psql('shop');
$busy->query_safe("BEGIN; UPDATE shop.orders SET updated_at = now() WHERE id = 1");
sql("SELECT ecauto.attach_shop('demo', '{}', 'shop')");
$busy->query_safe('COMMIT');
is(sql($triggers), $oids, 'attached again, it waits for nobody and replaces no trigger');
is(sql($taps), $before, 'the change log keeps its meaning');
is((ec_sqlstate($node, 'shop', "SELECT ecauto.attach_shop('custom');"))[0], '55000', 'not to something else');

is(news(), '', 'and nothing is told twice');
sql('DROP TRIGGER ecauto_capture ON shop.stock');
like(sql("SELECT format('%s %s', ok, detail) FROM ecauto.check_shop() WHERE role = 'stock'"), qr/^f table "shop\.stock" has no capture trigger/, 'a lost trigger is missed');
sql("UPDATE shop.stock SET on_hand = on_hand + 5 WHERE variant_id = 2");
is(news(), '', 'by changes too');
sql("SELECT ecauto.attach_shop('demo', '{}', 'shop')");
is(news(), 'stock.changed(2)', 'attached again, what was missed is told');
is(sql('SELECT bool_and(ok) FROM ecauto.check_shop()'), 't', 'and all is well');

# ---- what the shop renames ----
sql('ALTER TABLE shop.refund RENAME TO payback; ALTER TABLE shop.payback RENAME order_id TO of_order');
is(sql("SELECT ok FROM ecauto.check_shop() WHERE role = 'order'"), 'f', 'a query breaks');
sql(q{SET search_path = shop; SELECT ecauto.bind_role('order', $$
	SELECT o.id AS key, o.number, o.customer_id AS customer_key, o.email, o.cart_id AS cart_key, o.currency, o.total, o.placed_at,
		(SELECT sum(p.amount) FROM payment p WHERE p.order_id = o.id) AS paid,
		(SELECT sum(r.amount) FROM payback r WHERE r.of_order = o.id) AS refunded,
		o.status = 'cancelled' AS cancelled, CASE WHEN o.shipped_at IS NOT NULL THEN 'full' ELSE 'none' END AS fulfilment,
		o.status AS raw_status
	FROM orders o $$)});
is(sql("SELECT ok FROM ecauto.check_shop() WHERE role = 'order'"), 't', 'bound by hand, it is well: the trigger has followed');
news();
sql("INSERT INTO shop.payback (of_order, amount) VALUES ($order, 2)");
is(news(), "order.partially_refunded($order)", 'and notes');
is(sql(q{SELECT state FROM ecauto.attach_shop('demo', '{}', 'shop') WHERE item = 'order'}), 'bound by hand', 'what is bound by hand wins over the preset');
sql("SELECT ecauto.unbind_role('order')");
is((ec_sqlstate($node, 'shop', "SELECT ecauto.attach_shop('demo', '{}', 'shop');"))[0], '42P01', 'until it is unbound');
sql('ALTER TABLE shop.payback RENAME of_order TO order_id; ALTER TABLE shop.payback RENAME TO refund');
is(sql(q{SELECT state FROM ecauto.attach_shop('demo', '{}', 'shop') WHERE item = 'order'}), 'bound', 'then the preset is asked again');

# ---- who may ----
sql(q{CREATE ROLE visitor; GRANT USAGE ON SCHEMA ecauto TO visitor; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ecauto TO visitor; GRANT ALL ON SCHEMA shop TO visitor; GRANT ALL ON ALL TABLES IN SCHEMA shop TO visitor});
for my $call ("bind_role('product', 'SELECT 1 AS key, ''x'' AS title')", "bind_table('product', 'shop.product', '{}')", "bind_source('product', 'shop.product', 'id')",
	"bind_write('set_price', 'SELECT 1')", "attach_shop('demo', '{}', 'shop')", 'check_shop()', 'detach_shop()', "unbind_role('product')", 'load_history()')
{
	is((ec_sqlstate($node, 'shop', "SET ROLE visitor; SELECT ecauto.$call;"))[0], '42501', "nobody else calls $call");
}

# ---- whoever bound it is gone ----
sql(q{CREATE ROLE temp SUPERUSER; SET ROLE temp;
	SELECT ecauto.bind_role('product', 'SELECT id AS key, name AS title, slug AS handle, description, brand, published AS active FROM shop.product');
	RESET ROLE; DROP ROLE temp});
sql('UPDATE shop.product SET name = name || $$!$$ WHERE id = 1; UPDATE shop.stock SET on_hand = on_hand + 1 WHERE variant_id = 1');
is(news(), 'stock.changed(1)', 'a role whose definer is gone does not hold up the others');
like(sql("SELECT format('%s %s', ok, detail) FROM ecauto.check_shop() WHERE role = 'product'"), qr/^f role "temp" does not exist \(42704\)/, 'and says so');
sql("SELECT ecauto.unbind_role('product')");
sql("SELECT ecauto.attach_shop('demo', '{}', 'shop')");
is(news(), 'product.updated(1)', 'attached again, it is well');

# ---- a role that nobody watches ----
is(sql(q{BEGIN; DELETE FROM ecauto_data.source WHERE role = 'stock'; SELECT ok, left(detail, 19) FROM ecauto.check_shop() WHERE role = 'stock'; ROLLBACK}),
	't|no table is watched', 'is pointed out');

# ---- let go ----
my $history = sql('SELECT count(*) FROM ecauto.events()');
sql('ALTER TABLE shop.stock RENAME TO goods');
is(sql('SELECT ecauto.detach_shop()'), '20', 'two triggers on each of ten tables are gone');
sql('ALTER TABLE shop.goods RENAME TO stock');
sql('DROP OWNED BY visitor');
is(difference(shop_as_it_is(), $untouched), '', 'the shop is as it was');
is(sql('SELECT count(*) FROM ecauto.events()'), $history, 'what is known of the past is kept');
is(sql('SELECT ecauto.detach_shop()'), '0', 'once more does nothing');
is(sql("SELECT detail FROM ecauto.check_shop() WHERE role = 'shop'"), 'not attached: see ecauto.attach_shop()', 'check_shop() says so');
sql("SELECT shop.place_order('SKU-2-1', 1, 'other\@shop.example')");
sql("SELECT ecauto.attach_shop('demo', '{}', 'shop')");
is(news(), '', 'what happened meanwhile is history when it is attached again');
sql('UPDATE shop.stock SET on_hand = on_hand + 5 WHERE variant_id = 2');
is(news(), 'stock.changed(2)', 'what happens then is not');
sql('SELECT ecauto.detach_shop()');

# ---- a sale while it is being attached ----
my $late = sql("SELECT shop.place_order('SKU-2-1', 1, 'late\@shop.example')");
$busy->query_safe("BEGIN; SELECT shop.pay_order($late)");
my $attach = $node->background_psql('shop');
$attach->query_until(qr/begun/, "\\echo begun\nSELECT ecauto.attach_shop('demo', '{}', 'shop');\n");
ok(ec_wait($node, 'shop', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE '%attach_shop%' AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()}),
	'attaching waits for a transaction of the shop');
$busy->query_safe('COMMIT');
$attach->query_safe('SELECT 1');
is(news(), "order.paid($late)", 'and what that did is not lost');
$attach->quit;
$busy->quit;

# ---- an operator who is no superuser ----
$node->safe_psql('postgres', q{CREATE ROLE keeper LOGIN; CREATE DATABASE keep OWNER keeper});
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-v', 'n_products=10', '-v', 'n_orders=20', '-f', 'test/demo/shop.sql', $node->connstr('keep') . ' user=keeper' ],
	'a shop of somebody who is no superuser');
$node->safe_psql('keep', 'CREATE EXTENSION ecauto; GRANT USAGE ON SCHEMA ecauto TO keeper; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ecauto TO keeper');
is($node->safe_psql('keep', "SELECT count(*) FROM ecauto.attach_shop('demo', '{}', 'shop') WHERE state IN ('bound', 'proved', 'installed')", extra_params => [ '-U', 'keeper' ]),
	'18', 'he attaches it');
is($node->safe_psql('keep', "UPDATE shop.stock SET on_hand = on_hand + 1 WHERE variant_id = 1; SELECT events FROM ecauto.tick()", extra_params => [ '-U', 'keeper' ]), '1', 'runs it');
is($node->safe_psql('keep', 'SELECT ecauto.detach_shop()', extra_params => [ '-U', 'keeper' ]), '20', 'and lets it go');

$node->stop;
done_testing();

# Recommendations of a grocery: rules as the R package arules counts them,
# pairs as a self-join counts them; what is sold out is gone in other sessions
# at once; nobody sees half a build.
use strict;
use warnings;
use EcTest;
use Test::More;

my $groceries = ec_shared('data/groceries');
plan skip_all => 'the groceries are not at hand' if !defined $groceries;

my $node = ec_node('main', conf => { 'ecauto.settle_time' => '0' });
sub sql { return $node->safe_psql('postgres', $_[0]); }

IPC::Run::run([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', 'load.sql', $node->connstr('postgres') ],
	'2>', '/dev/null', init => sub { chdir $groceries or die $! }) or die 'could not load the groceries';
sql(<<'SQL');
CREATE TABLE product AS SELECT DISTINCT item FROM groceries;
CREATE TABLE stock AS SELECT item, 10 AS qty FROM product;
ALTER TABLE stock ADD PRIMARY KEY (item);
ALTER TABLE product ADD PRIMARY KEY (item);
CREATE TABLE orders AS SELECT DISTINCT tid AS id, timestamptz '2026-01-01' + tid * interval '1 minute' AS placed, false AS cancelled FROM groceries;
ALTER TABLE orders ADD PRIMARY KEY (id);
CREATE INDEX ON groceries (tid);
SELECT ecauto.bind_table('product', 'product', '{"key": "item", "title": "item"}');
SELECT ecauto.bind_role('sku', 'SELECT item AS key, item AS product_key FROM product');
SELECT ecauto.bind_role('price', 'SELECT item AS key, ''EUR'' AS currency, 1 AS amount, true AS tax_included FROM product');
SELECT ecauto.bind_table('stock', 'stock', '{"key": "item", "on_hand": "qty"}');
SELECT ecauto.bind_role('order', 'SELECT id AS key, ''EUR'' AS currency, 1 AS total, placed AS placed_at, 1 AS paid, cancelled FROM orders');
SELECT ecauto.bind_source('order', 'orders', 'id');
SELECT ecauto.bind_role('order_line', 'SELECT tid || item AS key, tid AS order_key, item AS sku_key, 1 AS qty, 1 AS unit_price FROM groceries');
SELECT ecauto.attach_shop('custom');
SELECT ecauto.tick();
SQL

# ---- rules ----
is(sql('SELECT count(*) FROM ecauto.association_rules(0.001, 0.8)'), 410, 'rules at support .001, confidence .8');
is(sql('SELECT count(*) FROM ecauto.association_rules(0.001, 0.5)'), 5668, 'at .001, .5');
is(sql('SELECT count(*) FROM ecauto.association_rules(0.006, 0.25)'), 463, 'at .006, .25');
is(sql(q{SELECT round(support::numeric, 6), round(confidence::numeric, 6), round(lift::numeric, 4)
	FROM ecauto.association_rules(0.001, 0.8) WHERE antecedent = '{liquor,red/blush wine}'}),
	'0.001932|0.904762|11.2353', 'one of them');

# ---- pairs ----
sql('SELECT ecauto.build_recommendations()');
for my $sku (split /\n/, sql('SELECT item FROM groceries GROUP BY 1 ORDER BY count(*) DESC LIMIT 10'))
{
	is(sql("SELECT sku, orders FROM ecauto.also_bought('$sku', 20)"),
		sql(qq{SELECT b.item, count(*) FROM groceries a JOIN groceries b USING (tid)
			WHERE a.item = '$sku' AND b.item <> a.item GROUP BY 1 ORDER BY 2 DESC, b.item COLLATE "C" LIMIT 20}),
		"bought with $sku");
}

# ---- sold out, in another session ----
my $reader = "SELECT string_agg(sku, ' ') FROM ecauto.also_bought('whole milk', 2)";
is(sql($reader), 'other vegetables rolls/buns', 'in stock');
my $out;
$node->psql('postgres', "BEGIN; UPDATE stock SET qty = 0 WHERE item = 'other vegetables'; COMMIT; $reader", stdout => \$out);
is($out, 'rolls/buns yogurt', 'sold out: the next call of the session');
is(sql($reader), 'rolls/buns yogurt', 'and of another');
sql("UPDATE stock SET qty = 3 WHERE item = 'other vegetables'");
is(sql($reader), 'other vegetables rolls/buns', 'back');

# ---- a build that is killed ----
my $version = sql('SELECT version FROM ecauto_data.recommend_model');
$node->psql('postgres', 'BEGIN; SELECT ecauto.build_recommendations(); SELECT pg_terminate_backend(pg_backend_pid())');
is(sql('SELECT version FROM ecauto_data.recommend_model'), $version, 'killed before the end: the old version stays');
is(sql($reader), 'other vegetables rolls/buns', 'and serves');

# ---- builds while others read; each build numbers the skus differently ----
sql(<<'SQL');
CREATE FUNCTION flip() RETURNS void LANGUAGE sql AS
	$$ UPDATE orders SET cancelled = NOT cancelled WHERE id IN (SELECT tid FROM groceries WHERE item = 'abrasive cleaner') $$;
CREATE FUNCTION look() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	answer text := (SELECT string_agg(sku, ' ') FROM ecauto.also_bought('whole milk', 3));
	basket text := (SELECT count(*) || min(reason) FROM ecauto.complete_basket('{whole milk}', 5));
BEGIN
	IF answer IS DISTINCT FROM 'other vegetables rolls/buns yogurt' OR basket IS DISTINCT FROM '5goes with whole milk' THEN
		RAISE EXCEPTION 'answer is %, %', answer, basket;
	END IF;
END $$;
SQL
$node->pgbench('--no-vacuum --client=8 --transactions=40', 0, [ qr{processed: 320/320} ], [ qr{^(?!.*ERROR)}s ],
	'eight sessions read while some build',
	{ '210_recommend_read@30' => 'SELECT look();',
		'210_recommend_build@1' => "SELECT flip();\nSELECT ecauto.tick();\nSELECT ecauto.build_recommendations();" });
is(sql('SELECT count(DISTINCT version) FROM ecauto_data.recommend_item'), 1, 'one version remains');

$node->stop;
done_testing();

# How good recommendations are on public data, through the functions that a
# shop calls: histories are loaded as orders, the first build chooses settings
# from them alone, and what was held out is looked for in what is shown.
#
# NDCG@10 and recall@20 of new items per customer, hit rate and NDCG@10 of the
# sku that is missing in a basket.  The floors are what item-to-item cosine
# reaches on the same splits, raised to what tuned models reach where ours does.
use strict;
use warnings;
use EcTest;
use Test::More;

my $splits = ec_shared('data/splits');
plan skip_all => 'the public data is not at hand' if !defined $splits;

my $node = ec_node('main', conf => { 'ecauto.settle_time' => '0', 'maintenance_work_mem' => '256MB' });

# A shop in a database of its own, from rows (who, what, when); "when" is a
# number of seconds.  Returns a function that runs SQL there.
sub shop
{
	my ($name, $rows) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	my $sql = sub { return $node->safe_psql($name, $_[0]); };
	$sql->('CREATE EXTENSION ecauto; SELECT ecauto.setup()');
	$sql->("CREATE TABLE had (who text, what text, at timestamptz, held boolean)");
	IPC::Run::run([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-c', 'COPY had FROM STDIN', $node->connstr($name) ], '<', \$rows)
	  or die 'could not load the rows';
	$sql->(<<'SQL');
CREATE TABLE product AS SELECT DISTINCT what AS id FROM had;
ALTER TABLE product ADD PRIMARY KEY (id);
CREATE TABLE customer AS SELECT DISTINCT who AS id FROM had;
ALTER TABLE customer ADD PRIMARY KEY (id);
CREATE TABLE orders AS SELECT row_number() OVER (ORDER BY who, at) AS id, who, at FROM had WHERE NOT held GROUP BY who, at;
ALTER TABLE orders ADD PRIMARY KEY (id);
CREATE TABLE order_line AS SELECT row_number() OVER (ORDER BY o.id, h.what) AS id, o.id AS order_id, h.what
	FROM had h JOIN orders o ON (o.who, o.at) = (h.who, h.at) WHERE NOT h.held;
CREATE INDEX ON order_line (order_id);
SELECT ecauto.bind_table('product', 'product', '{"key": "id", "title": "id"}');
SELECT ecauto.bind_role('sku', 'SELECT id AS key, id AS product_key FROM product');
SELECT ecauto.bind_role('price', 'SELECT id AS key, ''EUR'' AS currency, 1 AS amount, true AS tax_included FROM product');
SELECT ecauto.bind_role('stock', 'SELECT id AS key, 10 AS on_hand FROM product');
SELECT ecauto.bind_role('customer', 'SELECT id AS key, id || ''@shop.example'' AS email FROM customer');
SELECT ecauto.bind_role('order', 'SELECT id AS key, who AS customer_key, ''EUR'' AS currency, 1 AS total, at AS placed_at, 1 AS paid FROM orders');
SELECT ecauto.bind_source('order', 'orders', 'id');
SELECT ecauto.bind_role('order_line', 'SELECT id AS key, order_id AS order_key, what AS sku_key, 1 AS qty, 1 AS unit_price FROM order_line');
SELECT ecauto.attach_shop('custom');
SELECT ecauto.tick();
ANALYZE;
SQL
	$sql->("ALTER DATABASE $name SET ecauto.clock = '" . $sql->('SELECT max(at) FROM orders') . "'");
	$sql->('SELECT ecauto.build_recommendations()');
	return $sql;
}

# Rows of gzipped files of a split, as COPY takes them: held ones are those of the test.
sub rows
{
	my ($split, $time) = @_;
	my $rows = '';
	for my $file (qw(train valid test))
	{
		open(my $in, '-|', 'gzip', '-dc', "$splits/$split/$file.tsv.gz") or die $!;
		while (<$in>)
		{
			chomp;
			my ($who, $what, @rest) = split /\t/;
			$rows .= join("\t", $who, $what, $time->($rest[-1]), $file eq 'test' ? 't' : 'f') . "\n";
		}
		close $in or die "could not read $file of $split";
	}
	return $rows;
}

# NDCG@10 and recall@20 of new items, mean over customers with some to find.
my $new_items = <<'SQL';
WITH held AS (
	SELECT h.who, array_agg(DISTINCT h.what) AS items FROM had h
	WHERE h.held AND EXISTS (SELECT FROM had k WHERE k.who = h.who AND NOT k.held) GROUP BY h.who
), judged AS (
	SELECT h.who, coalesce(sum(1 / log(2, r.place + 1)) FILTER (WHERE r.place <= 10 AND r.sku = ANY (h.items)), 0)
		/ (SELECT sum(1 / log(2, p + 1)) FROM generate_series(1, least(10, cardinality(h.items))) p) AS ndcg,
		count(*) FILTER (WHERE r.sku = ANY (h.items))::numeric / cardinality(h.items) AS recall
	FROM held h CROSS JOIN LATERAL ecauto.recommend(h.who, 20) WITH ORDINALITY r (sku, score, reason, place)
	GROUP BY h.who, h.items
)
SELECT round(avg(ndcg), 4), round(avg(recall), 4) FROM judged
SQL

sub judged
{
	my ($sql, $query, $name, $first_floor, $second_floor) = @_;
	my ($first, $second) = split /\|/, $sql->($query);
	diag("$name: $first, $second; settings " . $sql->(
		q{SELECT string_agg(concat_ws(' ', task, lambda, dropout, coalesce(half_life::text, '-'), popular), ', ' ORDER BY task)
			FROM ecauto_data.recommend_setting}));
	cmp_ok($first, '>=', $first_floor, "$name: the first figure");
	cmp_ok($second, '>=', $second_floor, "$name: the second");
	return;
}

my $films = shop('films', rows('ml100k_hash', sub { my @t = gmtime $_[0]; sprintf('%d-%02d-%02d %02d:%02d:%02d+00', $t[5] + 1900, $t[4] + 1, @t[3, 2, 1, 0]) }));
judged($films, $new_items, 'films', 0.445, 0.366);
my $gifts = shop('gifts', rows('online_retail_newitem', sub { "$_[0]+00" }));
judged($gifts, $new_items, 'gifts', 0.107, 0.094);

# ---- baskets: train are orders of nobody in particular, test rows are asked about ----
my ($train, $test) = ('', '');
open(my $in, '-|', 'gzip', '-dc', "$splits/online_retail_basket/train.tsv.gz") or die $!;
while (<$in>)
{
	chomp;
	my ($basket, $item) = split /\t/;
	$train .= "$basket\t$item\t2011-12-01 00:00+00\tf\n";
}
close $in or die;
open($in, '-|', 'gzip', '-dc', "$splits/online_retail_basket/test.tsv.gz") or die $!;
while (<$in>)
{
	chomp;
	my ($basket, $item, $others) = split /\t/;
	$test .= "$item\t{" . join(',', split / /, $others) . "}\n";
}
close $in or die;
my $baskets = shop('baskets', $train);
$baskets->('CREATE TABLE asked (item text, others text[])');
IPC::Run::run([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-c', 'COPY asked FROM STDIN', $node->connstr('baskets') ], '<', \$test)
  or die 'could not load the rows';
judged($baskets, <<'SQL', 'baskets', 0.372, 0.234);
SELECT round(avg((place IS NOT NULL)::int), 4), round(avg(coalesce(1 / log(2, place + 1), 0)), 4)
FROM asked a LEFT JOIN LATERAL (
	SELECT r.place::numeric FROM ecauto.complete_basket(a.others, 10) WITH ORDINALITY r (sku, score, reason, place) WHERE r.sku = a.item) r ON true
SQL

$node->stop;
done_testing();

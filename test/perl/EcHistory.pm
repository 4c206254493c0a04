# EcHistory: real shops (EcLive.pm) with a year of orders.
#
#	use EcHistory;
#	ec_bulk($node, $shop, 3000);
#	ec_getting_started($node, $shop, $sink);
#	ec_bought($node, $shop->database, $pairs, $showable);
package EcHistory;

use strict;
use warnings;
use EcTest;
use Exporter 'import';
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(ec_bulk ec_bought ec_getting_started);

# ec_bulk(NODE, SHOP, N): a year of orders straight into the tables of a shop
# (an EcLive); N before its seasons thin them out.
sub ec_bulk
{
	my ($node, $shop, $n) = @_;
	run_log([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-v', "n=$n", '-v', 'days=365', '-o', '/dev/null',
			'-d', $node->connstr($shop->database), '-f', "$shop->{home}/$shop->{name}/bulk.sql" ])
	  or die "$shop->{name}: bulk.sql failed";
	return;
}

# ec_getting_started(NODE, SHOP, SINK[, CURRENCY]): docs/getting-started.md, on
# that shop, which has no ecauto yet; CURRENCY takes the place of EUR.
sub ec_getting_started
{
	my ($node, $shop, $sink, $currency) = @_;
	my $name = $shop->{name};
	my $database = $shop->database;

	for my $block (ec_blocks('docs/getting-started.md', $sink, $name))
	{
		my ($sql, $line) = @$block;
		$sql =~ s/\bEUR\b/$currency/g if $currency;
		my ($stdout, $stderr);
		my $status = $node->psql($database, $sql, stdout => \$stdout, stderr => \$stderr, on_error_die => 0);
		is($status, 0, "$name: docs/getting-started.md, line $line") or diag("$sql\n$stderr");
	}
	is($node->safe_psql($database, q{SELECT count(*) FROM ecauto.flows() WHERE name = 'abandoned_cart' AND enabled}), '1', 'one flow is enabled');
	cmp_ok($node->safe_psql($database, 'SELECT count(*) FROM ecauto.segment_members($$regulars$$)'), '>', 0, 'the segment has members');
	cmp_ok($node->safe_psql($database, 'SELECT count(*) FROM ecauto.predict_clv(365)'), '>', 100, 'customers have a value');
	cmp_ok($node->safe_psql($database, 'SELECT count(*) FROM ecauto.reprice()'), '>', 10, 'prices would change');
	cmp_ok($node->safe_psql($database, 'SELECT count(*) FROM ecauto_data.sku_forecast'), '>', 50, 'there are forecasts');
	return;
}

# ec_bought(NODE, DATABASE, PAIRS, SHOWABLE): eleven tests.  PAIRS is a query over
# the shop's tables for (order, sku), each pair once, of orders that count;
# SHOWABLE one for the keys of skus that may be shown.  For each of the ten skus
# in most orders, also_bought() names the same ten others as the join does, in
# its order (ties by key, as docs/recommend.md says), with the same count, and
# the same support, confidence, lift and cosine.
sub ec_bought
{
	my ($node, $database, $pairs, $showable) = @_;

	my $joined = $node->safe_psql($database, qq{
		WITH pair (o, sku) AS MATERIALIZED (SELECT x.o::text, x.sku::text COLLATE "C" FROM ($pairs) x (o, sku)),
		n AS (SELECT count(DISTINCT o)::float8 AS orders FROM pair),
		total AS MATERIALIZED (SELECT sku, count(*)::float8 AS orders FROM pair GROUP BY sku),
		top AS (SELECT row_number() OVER (ORDER BY orders DESC, sku) AS place, t.* FROM total t ORDER BY orders DESC, sku LIMIT 10),
		joint AS (SELECT a.sku, b.sku AS other, count(*) AS orders FROM pair a JOIN pair b ON b.o = a.o AND b.sku <> a.sku
			WHERE a.sku IN (SELECT sku FROM top) AND b.sku IN (SELECT s.key::text FROM ($showable) s (key)) GROUP BY 1, 2),
		ranked AS (SELECT b.*, row_number() OVER (PARTITION BY b.sku ORDER BY b.orders DESC, b.other) AS i FROM joint b)
		SELECT top.place, top.sku, string_agg(format('%s %s %s', r.i, r.other, r.orders) || to_char(r.orders / n.orders, ' 0.999999')
			|| to_char(r.orders / top.orders, ' 0.999999') || to_char(r.orders / top.orders / t.orders * n.orders, ' 990.9999')
			|| to_char(r.orders / sqrt(top.orders * t.orders), ' 0.999999'), ', ' ORDER BY r.i)
		FROM ranked r JOIN top USING (sku) JOIN total t ON t.sku = r.other CROSS JOIN n
		WHERE r.i <= 10 GROUP BY 1, 2 ORDER BY 1});
	my @top = map { [ split /\|/ ] } split /\n/, $joined;

	is(scalar(@top), 10, 'ten skus were bought together with others');
	for my $row (@top)
	{
		my ($place, $sku, $expected) = @$row;
		is( $node->safe_psql($database, qq{
				SELECT string_agg(format('%s %s %s', b.i, b.sku, b.orders) || to_char(b.support, ' 0.999999') || to_char(b.confidence, ' 0.999999')
					|| to_char(b.lift, ' 990.9999') || to_char(b.cosine, ' 0.999999'), ', ' ORDER BY b.i)
				FROM ecauto.also_bought('$sku', 10) WITH ORDINALITY b (sku, score, reason, orders, support, confidence, lift, cosine, i)}),
			$expected, "number $place, sku $sku: bought together as a self-join of the shop's tables says");
	}
	return;
}

1;

# Thirty sessions reserve one of ten pieces at the same moment: exactly ten get one.
use strict;
use warnings;
use EcTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = ec_node('reservations', conf => { max_connections => 60, 'ecauto.settle_time' => 0 });

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE gate (x int);
CREATE TABLE got (round int, id bigint);
CREATE TABLE shelf (id text PRIMARY KEY, qty int);
INSERT INTO shelf SELECT 'R' || r, 10 FROM generate_series(1, 5) r;
SELECT ecauto.bind_role('product', $$SELECT 'P' AS key, 'Cup' AS title, true AS active$$);
SELECT ecauto.bind_role('sku', $$SELECT id AS key, 'P' AS product_key, id AS sku, true AS active, true AS track_stock FROM shelf$$);
SELECT ecauto.bind_role('price', $$SELECT id AS key, 'EUR' AS currency, 10 AS amount, true AS tax_included FROM shelf$$);
SELECT ecauto.bind_role('stock', $$SELECT id AS key, 'main' AS location_key, qty AS on_hand, 0 AS reserved FROM shelf$$);
SELECT ecauto.bind_role('order', $$SELECT 1 AS key, 'EUR' AS currency, 10 AS total, now() AS placed_at, 10 AS paid, false AS cancelled WHERE false$$);
SELECT ecauto.bind_role('order_line', $$SELECT 1 AS key, 1 AS order_key, id AS sku_key, 1 AS qty, 0 AS qty_cancelled, 10 AS unit_price FROM shelf WHERE false$$);
SELECT ecauto.attach_shop('custom');
SQL
$node->safe_psql('postgres', 'SELECT ecauto.tick()');

for my $round (1 .. 5)
{
	my $gate = $node->background_psql('postgres');
	my $dir = PostgreSQL::Test::Utils::tempdir;
	my @sessions;
	my $failed = 0;

	$gate->query_safe('BEGIN; LOCK TABLE gate IN ACCESS EXCLUSIVE MODE');
	for my $i (1 .. 30)
	{
		push @sessions, IPC::Run::start(
			[ 'psql', '-XqAt', '-d', $node->connstr('postgres'), '-c', 'SELECT count(*) FROM gate',
				'-c', "INSERT INTO got SELECT $round, ecauto.reserve('R$round', 1, 'cart $i')" ],
			'>', "$dir/out$i", '2>', "$dir/err$i");
	}
	ec_wait($node, 'postgres', "SELECT count(*) = 30 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
	  or die 'sessions did not come';
	$gate->query_safe('COMMIT');
	$_->finish or $failed++ for @sessions;
	$gate->quit;
	is($failed, 0, 'no session failed') or diag(map { slurp_file("$dir/err$_") } 1 .. 30);
	is($node->safe_psql('postgres', "SELECT count(id), count(*) FROM got WHERE round = $round"), '10|30', "exactly ten of thirty, round $round");
	is($node->safe_psql('postgres', "SELECT available, held, sellable FROM ecauto.sellable('{R$round}')"), '10|10|0', 'as many are held');
}
done_testing;

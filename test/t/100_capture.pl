# Capture between sessions: REPEATABLE READ writers, prepared transactions,
# logical replication, a worker that keeps ticking; and one UPDATE over 10,000
# skus, which must not become 10,000 statements.
use strict;
use warnings;
use EcTest;
use Test::More;

my $node = ec_node('main',
	init => [ allows_streaming => 'logical' ],
	conf => { 'ecauto.settle_time' => 0, 'shared_preload_libraries' => 'ecauto,pg_stat_statements' });
my $events = 'SELECT kind, count(*) FROM ecauto.events() GROUP BY kind ORDER BY kind';
my $fixture = "BEGIN;\n\\i test/pgtap/event/shop.psql\nCOMMIT;\n";
$node->safe_psql('postgres', $fixture);

# ---- sessions that see the database as it was ----
$node->safe_psql('postgres', "DELETE FROM s.stock; INSERT INTO s.stock SELECT 1, 'p' || i, 1000 FROM generate_series(0, 3) i; SELECT ecauto.tick()");
my $own_row = $node->basedir . '/own_row.sql';
my $tick = $node->basedir . '/tick.sql';
PostgreSQL::Test::Utils::append_to_file($own_row, <<'SQL');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM s.stock;
UPDATE s.stock SET qty = qty - 1 WHERE variant_id = 1 AND place = 'p' || :client_id;
COMMIT;
SQL
PostgreSQL::Test::Utils::append_to_file($tick, "SELECT ecauto.tick();\n");

# four writers of the same key, while another session takes their notes
sub writers
{
	my ($result, $out, $err);
	my @ticker = ('pgbench', '-n', '-c', 1, '-T', 600, '-f', $tick, '-h', $node->host, '-p', $node->port, 'postgres');
	my $ticker = IPC::Run::start(\@ticker, '>', '/dev/null', '2>', '/dev/null');
	$result = IPC::Run::run([ 'pgbench', '-n', '-c', 4, '-j', 2, '-t', 1000, '-f', $own_row, '-h', $node->host, '-p', $node->port, 'postgres' ],
		'>', \$out, '2>', \$err);
	$ticker->kill_kill;
	$out =~ /number of failed transactions: (\d+)/ or diag($out, $err);
	return ($result, $1);
}
my ($ok, $failed) = writers();
ok($ok, 'REPEATABLE READ writers of one key run while a session ticks');
is($failed, 0, 'and none of their 4,000 transactions fails');
$node->safe_psql('postgres', 'SELECT ecauto.tick()');
is($node->safe_psql('postgres', "SELECT on_hand FROM ecauto_data.seen_stock WHERE key = '1'"), '0', 'every change was seen in the end');

$node->safe_psql('postgres', 'ALTER TABLE s.stock DISABLE TRIGGER ecauto_capture; UPDATE s.stock SET qty = 1000');
my (undef, $without) = writers();
is($without, $failed, 'as many failures as without ecauto');
$node->safe_psql('postgres', 'ALTER TABLE s.stock ENABLE ALWAYS TRIGGER ecauto_capture; SELECT ecauto.resync()');

# all on one row: the server refuses some, and none because of us
my $one_row = $node->basedir . '/one_row.sql';
PostgreSQL::Test::Utils::append_to_file($one_row, <<'SQL');
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE s.stock SET qty = qty + 1 WHERE variant_id = 1 AND place = 'p0';
COMMIT;
SQL
my $log_start = -s $node->logfile;
ok(IPC::Run::run([ 'pgbench', '-n', '-c', 4, '-j', 2, '-t', 250, '--max-tries=1000', '-f', $one_row, '-h', $node->host, '-p', $node->port, 'postgres' ],
		'>', '/dev/null', '2>', '/dev/null'), 'four writers of one row, repeating what was refused');
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile, $log_start);
unlike($log, qr/ecauto_data/, 'no refusal is about a table of ours');
$node->safe_psql('postgres', 'SELECT ecauto.tick()');
is($node->safe_psql('postgres', "SELECT on_hand = (SELECT sum(qty) FROM s.stock WHERE variant_id = 1) FROM ecauto_data.seen_stock WHERE key = '1'"),
	't', 'and what was seen is what there is');

# ---- prepared transactions ----
my $since = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
$node->safe_psql('postgres', "INSERT INTO s.stock VALUES (2, 'main', 10); SELECT ecauto.tick()");
$node->safe_psql('postgres', "BEGIN; UPDATE s.stock SET qty = 0 WHERE variant_id = 2; PREPARE TRANSACTION 'a'");
$node->safe_psql('postgres', "BEGIN; UPDATE s.stock SET qty = -1 WHERE variant_id = 1 AND place = 'p1'; PREPARE TRANSACTION 'b'");
is($node->safe_psql('postgres', 'SELECT events FROM ecauto.tick()'), '0', 'a prepared transaction has not happened yet');
$node->restart;
$node->safe_psql('postgres', "COMMIT PREPARED 'a'; ROLLBACK PREPARED 'b'");
is($node->safe_psql('postgres', 'SELECT events FROM ecauto.tick()'), '2', 'committed after a restart it has: changed and out');
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT key, ' ') FROM ecauto.events('$since', 'stock.out')"), '2', 'the other one never did');

# ---- set-wise ----
$node->safe_psql('postgres', "CREATE EXTENSION pg_stat_statements; INSERT INTO s.stock SELECT i, 'main', 10 FROM generate_series(10001, 20000) i; SELECT ecauto.tick()");
my $before = $node->safe_psql('postgres', "SELECT count(*) FROM ecauto.events(kind => 'stock.changed')");
$node->safe_psql('postgres', "SET pg_stat_statements.track = 'all'; SELECT pg_stat_statements_reset();
	UPDATE s.stock SET qty = 3 WHERE variant_id > 10000; SELECT ecauto.tick()");
is($node->safe_psql('postgres', "SELECT count(*) - $before FROM ecauto.events(kind => 'stock.changed')"), '10000', 'one UPDATE of 10,000 skus is 10,000 events');
cmp_ok($node->safe_psql('postgres', "SELECT sum(calls) FROM pg_stat_statements WHERE toplevel IS NOT NULL"), '<', 60, 'by less than 60 statements in all');
is($node->safe_psql('postgres', "SELECT max(calls) FROM pg_stat_statements WHERE query ILIKE '%ecauto_data.event %'"), '1', 'one of which wrote the events');

# ---- more than is held in memory ----
is( $node->safe_psql(
		'postgres', q{
		BEGIN;
		INSERT INTO s.stock SELECT i, 'main', 1 FROM generate_series(100001, 100010) i;
		SAVEPOINT a;
		INSERT INTO s.stock SELECT i, 'main', 1 FROM generate_series(200001, 500000) i;
		ROLLBACK TO a;
		INSERT INTO s.stock SELECT i, 'main', 1 FROM generate_series(500001, 800000) i;
		COMMIT;
		SELECT keys FROM ecauto.tick();
		}), '300010', 'notes written early are taken back with their savepoint');

# ---- logical replication ----
my $replica = ec_node('replica', conf => { 'ecauto.settle_time' => 0 });
$replica->safe_psql('postgres', $fixture);
$replica->safe_psql('postgres', 'TRUNCATE s.stock; SELECT ecauto.tick()');
$node->safe_psql('postgres', 'TRUNCATE s.stock; CREATE PUBLICATION p FOR TABLE s.stock');
$replica->safe_psql('postgres', "CREATE SUBSCRIPTION p CONNECTION \$c\$" . $node->connstr('postgres') . "\$c\$ PUBLICATION p");
$replica->wait_for_subscription_sync($node, 'p') if $replica->can('wait_for_subscription_sync');
$node->safe_psql('postgres', "INSERT INTO s.stock VALUES (7, 'main', 5), (8, 'main', 5)");
$node->safe_psql('postgres', 'UPDATE s.stock SET qty = 0 WHERE variant_id = 7');
$node->wait_for_catchup('p');
$replica->safe_psql('postgres', 'SELECT ecauto.tick()');
is( $replica->safe_psql('postgres', "SELECT string_agg(key || ':' || on_hand, ' ' ORDER BY key) FROM ecauto_data.seen_stock"),
	'7:0 8:5', 'what logical replication applies is captured');
$node->safe_psql('postgres', 'TRUNCATE s.stock');
$node->wait_for_catchup('p');
$replica->safe_psql('postgres', 'SELECT ecauto.tick()');
is($replica->safe_psql('postgres', 'SELECT count(*) FROM ecauto_data.seen_stock'), '0', 'a truncation too');

$replica->stop;
$node->stop;
done_testing();

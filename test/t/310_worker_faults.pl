# Nothing committed is lost and the workers come back by themselves, whatever
# is killed, dropped or shut down.
use strict;
use warnings;
use EcTest;
use Test::More;

my $sink = ec_sink();
my $node = ec_node('main', init => [ allows_streaming => 1 ], conf => {
	'ecauto.databases' => 'postgres', 'ecauto.worker_naptime' => '200ms', 'ecauto.settle_time' => 0,
	'restart_after_crash' => 'on', 'autovacuum' => 'off' });

sub sql { return $node->safe_psql('postgres', $_[0]); }

# process of a worker of a database, once there is one that is not $not
sub worker
{
	my ($what, $not, $database) = @_;
	$not //= 0;
	$database //= 'postgres';
	my $query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'ecauto $what' AND datname " .
	  ($what eq 'launcher' ? 'IS NULL' : "= '$database'") . " AND pid <> $not";
	return ec_wait_for(sub { my ($rc, $pid) = $node->psql('postgres', $query); return $rc == 0 && $pid }, "a $what process");
}

sub drained
{
	return ec_wait($node, 'postgres', 'SELECT count(*) = 0 FROM ecauto_data.outbox');
}

sql("CREATE SERVER ok FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->http_url('/ok') . "')");
sql("CREATE SERVER slow FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->http_url('/delay/2000') . "')");

# ---- it works at all ----
worker($_) for qw(launcher tick delivery);
sql(q{SELECT ecauto.enqueue('ok', '{}', 'first')});
$sink->wait_for(http => 1);
ok(drained(), 'a committed message is delivered');
is(sql(q{SELECT string_agg(worker || ' ' || state, ', ' ORDER BY worker) FROM ecauto.worker_status()}), 'delivery running, tick running', 'worker_status() shows the workers');
sql(q{BEGIN; SELECT ecauto.enqueue('ok', '{}', 'rolled back'); ROLLBACK});
sql(q{BEGIN; SAVEPOINT s; SELECT ecauto.enqueue('ok', '{}', 'savepoint'); ROLLBACK TO s; SELECT ecauto.enqueue('ok', '{}', 'kept'); COMMIT});
$sink->wait_for(http => 2);
ok(drained(), 'and what was rolled back is not');
is(join(' ', map { $_->{headers}{'idempotency-key'} } $sink->requests), 'first kept', 'ever');

# ---- kill -9 between lease and settle ----
$sink->reset;
my $pid = worker('delivery');
sql(q{SELECT ecauto.enqueue('slow', '{}', 'killed')});
ec_wait($node, 'postgres', q{SELECT count(*) = 1 FROM ecauto.messages('slow', 'leased')});
kill 'KILL', $pid;
ec_wait_for(sub { my ($rc, $out) = $node->psql('postgres', 'SELECT pg_backend_pid()'); return $rc == 0 && !kill(0, $pid) }, 'the server to restart');
my @seen = $sink->wait_for(http => 2);
is(join(' ', map { $_->{headers}{'idempotency-key'} } @seen), 'killed killed', 'after kill -9 between lease and settle it is sent again with the same key');
ok(drained(), 'and settled');
is(sql(q{SELECT state FROM ecauto.messages('slow')}), 'delivered', 'as delivered');

# ---- immediate shutdown right after COMMIT ----
$sink->reset;
sql('SELECT pg_reload_conf()');
$node->append_conf('postgresql.conf', "ecauto.databases = ''\n");
$node->reload;
ec_wait($node, 'postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type ~ '^ecauto (tick|delivery)'});
pass('a database taken from ecauto.databases loses its workers');
sql(q{SELECT ecauto.enqueue('ok', '{}', 'crash' || n) FROM generate_series(1, 20) n});
$node->stop('immediate');
$node->append_conf('postgresql.conf', "ecauto.databases = 'postgres'\n");
$node->start;
$sink->wait_for(http => 20);
ok(drained(), 'what was committed right before a crash is delivered after it');

# ---- terminated ----
for my $what (qw(delivery tick launcher))
{
	$pid = worker($what);
	sql("SELECT pg_terminate_backend($pid)");
	isnt(worker($what, $pid), $pid, "$what comes back after pg_terminate_backend");
}
$sink->reset;
sql(q{SELECT ecauto.enqueue('ok', '{}', 'terminated')});
$sink->wait_for(http => 1);
ok(drained(), 'and delivers');
is(sql(q{SELECT string_agg(backend_type || ' ' || n, ', ' ORDER BY backend_type) FROM (SELECT backend_type, count(*) n
	FROM pg_stat_activity WHERE backend_type LIKE 'ecauto%' GROUP BY 1) a}), 'ecauto delivery 1, ecauto launcher 1, ecauto tick 1', 'there is one of each');

# ---- a tick that takes long does not hold up a message ----
my $shop = $node->background_psql('postgres');
$shop->query_safe('BEGIN; SELECT * FROM ecauto.tick()');
sql(q{SELECT ecauto.enqueue('ok', '{}', 'meanwhile')});
$sink->wait_for(http => 2);
ok(drained(), 'delivery goes on while a tick is under way');
$shop->query_safe('ROLLBACK');

# ---- nor does a session that holds a message ----
sql('SELECT ecauto.pause_endpoint($$ok$$)');
my $held = sql(q{SELECT ecauto.enqueue('ok', '{}', 'held')});
$shop->query_safe("BEGIN; SELECT ecauto.cancel($held)");
sql(q{SELECT ecauto.enqueue('ok', '{}', 'free'); SELECT ecauto.resume_endpoint('ok')});
$sink->wait_for(http => 3);
is(join(' ', map { $_->{headers}{'idempotency-key'} } $sink->requests), 'terminated meanwhile free', 'a message that a session holds is stepped over');
$shop->query_safe('ROLLBACK');
$shop->quit;
ok(drained(), 'and delivered when the session lets go');

# ---- the extension goes and comes ----
$sink->reset;
$pid = worker('delivery');
sql('DROP EXTENSION ecauto CASCADE');
ec_wait($node, 'postgres', "SELECT query LIKE 'waiting: extension%' FROM pg_stat_activity WHERE pid = $pid");
pass('workers wait while the extension is missing');
sql('CREATE EXTENSION ecauto');
sql("CREATE SERVER ok FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->http_url('/ok') . "')");
sql(q{SELECT ecauto.enqueue('ok', '{}', 'back')});
$sink->wait_for(http => 1);
ok(drained(), 'and work again when it is back');
is(worker('delivery'), $pid, 'in the same process');
sql('DROP EXTENSION ecauto CASCADE; DROP SCHEMA ecauto_data CASCADE; CREATE EXTENSION ecauto');
ec_wait($node, 'postgres', "SELECT query LIKE 'waiting: ecauto is not set up%' FROM pg_stat_activity WHERE pid = $pid");
sql('SELECT ecauto.setup()');
sql("CREATE SERVER ok FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->http_url('/ok') . "')");
sql(q{SELECT ecauto.enqueue('ok', '{}', 'anew')});
$sink->wait_for(http => 2);
ok(drained(), 'the same with a state made anew');
sql('UPDATE ecauto_data.schema_version SET version = 99');
ec_wait($node, 'postgres', "SELECT query LIKE 'waiting: the state is newer%' FROM pg_stat_activity WHERE pid = $pid");
sql('UPDATE ecauto_data.schema_version SET version = 1');
sql(q{SELECT ecauto.enqueue('ok', '{}', 'skew')});
$sink->wait_for(http => 3);
ok(drained(), 'and with a state of another version for a while');

# ---- databases come and go ----
$node->append_conf('postgresql.conf', "ecauto.databases = 'postgres, shop, nowhere'\n");
$node->reload;
sql('CREATE DATABASE shop');
worker('delivery', 0, 'shop');
pass('a database that is made later gets its workers');
sql('DROP DATABASE shop WITH (FORCE)');
sql('CREATE DATABASE shop');
worker('delivery', 0, 'shop');
$node->safe_psql('shop', 'CREATE EXTENSION ecauto; SELECT ecauto.setup()');
$node->safe_psql('shop', "CREATE SERVER ok FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->http_url('/ok') . "'); SELECT ecauto.enqueue('ok', '{}', 'shop')");
$sink->wait_for(http => 4);
pass('dropped and made again, it is served again');
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
cmp_ok(scalar(() = $log =~ /waits: extension "ecauto" is not installed/g), '<', 20, 'waiting does not flood the log');
unlike($log, qr/(TRAP|PANIC|Assertion)/, 'nothing went wrong on the way');

# ---- a standby sleeps until it is promoted ----
$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'ecauto%'}), '0', 'no workers on a standby');
$node->stop('immediate');
$standby->promote;
$standby->safe_psql('postgres', q{SELECT ecauto.enqueue('ok', '{}', 'promoted')});
$sink->wait_for(http => 5);
pass('but after promotion');
$standby->stop;

done_testing();

# A worker with nothing to do does nothing: it wakes for its heartbeat and for
# what falls due, and what it is up to can be seen.
use strict;
use warnings;
use EcTest;
use POSIX ();
use Test::More;
use Time::HiRes qw(time usleep);

my $sink = ec_sink();
my $node = ec_node('main', conf => { 'ecauto.databases' => 'postgres', 'ecauto.worker_naptime' => '1s', 'log_statement' => 'none', 'autovacuum' => 'off' });

sub sql { return $node->safe_psql('postgres', $_[0]); }

# what a process has used so far: times it went to sleep by itself or not, CPU
# in clock ticks
sub used
{
	my ($pid) = @_;
	my $status = PostgreSQL::Test::Utils::slurp_file("/proc/$pid/status");
	my ($wakes) = $status =~ /^voluntary_ctxt_switches:\s+(\d+)/m;
	my @stat = split / /, PostgreSQL::Test::Utils::slurp_file("/proc/$pid/stat") =~ s/^.*\) //sr;
	return { wakes => $wakes, cpu => $stat[11] + $stat[12] };
}

sub transactions
{
	sql('SELECT pg_stat_clear_snapshot()');
	return sql(q{SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database WHERE datname = 'postgres'});
}

sub server { sql("CREATE SERVER $_[0] FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->http_url($_[1]) . "'" . ($_[2] ? ", $_[2]" : '') . ')'); return; }

server('ok', '/ok');
server('hang', '/hang', "timeout '10min', concurrency '4'");
server('paused', '/ok');
server('broken', '/s/500', "breaker '1'");

# a past: connections are open, an endpoint is paused with messages, another's
# breaker is open, messages wait for next year
sql(q{SELECT ecauto.pause_endpoint('paused')});
sql(q{SELECT count(ecauto.enqueue('paused', '{}')), count(ecauto.enqueue('ok', '{}')), count(ecauto.enqueue('ok', '{}', not_before => ecauto.now() + interval '1 year')) FROM generate_series(1, 100)});
ok(ec_wait($node, 'postgres', q{SELECT delivered = 100 FROM ecauto.outbox_status() WHERE endpoint = 'ok'}), 'some messages leave');

my %pid = map { my ($type, $pid) = split /\|/; $type => $pid } split /\n/, sql(q{SELECT backend_type, pid FROM pg_stat_activity WHERE backend_type LIKE 'ecauto%'});
is(join(' ', sort keys %pid), 'ecauto delivery ecauto launcher ecauto tick', 'three processes');
ok(ec_wait($node, 'postgres', q{SELECT state = 'idle' AND query = 'waiting for messages' FROM pg_stat_activity WHERE backend_type = 'ecauto delivery'}), 'one that waits says so');

# ---- idle ----
#
# Six heartbeats of a second.  A heartbeat is a handful of transactions, each
# of which may wait for a lock or a page; what must not be is a loop that turns.
my $beats = 6;
my $start = time();
my %before = map { $_ => used($pid{$_}) } keys %pid;
my $xacts = transactions();
usleep(20_000) while time() < $start + $beats;
my $passed = time() - $start;
for my $type (sort keys %pid)
{
	my $now = used($pid{$type});
	my $wakes = $now->{wakes} - $before{$type}{wakes};
	my $cpu = ($now->{cpu} - $before{$type}{cpu}) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
	cmp_ok($wakes, '<=', 5 * $beats, "$type sleeps");
	cmp_ok($cpu, '<', 0.05 * $passed, '... and uses next to no CPU');
	diag(sprintf('%s in %.0f heartbeats: woke %d times, %.2f s of CPU', $type, $passed, $wakes, $cpu));
}
my $mine = 3;    # of transactions() itself
my $done = transactions() - $xacts - $mine;
cmp_ok($done, '<=', 12 * $beats, 'the heartbeat is a few transactions');
diag(sprintf('%d transactions in %.0f heartbeats', $done, $passed));

# ---- what can be seen of one at work ----
sql(q{SELECT count(ecauto.enqueue('hang', '{}')) FROM generate_series(1, 20)});
$sink->wait_for(http => 4, sub { $_[0]{path} eq '/hang' });
ok(ec_wait($node, 'postgres', q{SELECT state = 'active' AND query ~ '^delivering: 4 messages under way, [0-9]+ more leased$' FROM pg_stat_activity WHERE backend_type = 'ecauto delivery'}),
	'one at work says how much is under way');
my $before = used($pid{'ecauto delivery'});
$start = time();
usleep(20_000) while time() < $start + 3;
cmp_ok(used($pid{'ecauto delivery'})->{wakes} - $before->{wakes}, '<=', 60, 'and sleeps while the other side is silent');
is(sql(q{SELECT backend_xmin IS NULL AND backend_xid IS NULL AND xact_start IS NULL FROM pg_stat_activity WHERE backend_type = 'ecauto delivery'}), 't', 'without a transaction or a snapshot');

sql(q{SELECT ecauto.enqueue('broken', '{}')});
ok(ec_wait($node, 'postgres', q{SELECT state = 'failing' AND breaker_until IS NOT NULL AND retried >= 1 AND last_error = 'HTTP status 500' AND next_at IS NOT NULL FROM ecauto.outbox_status() WHERE endpoint = 'broken'}),
	'the status of an endpoint that fails: breaker, reason and next try');
is(sql(q{SELECT state, waiting, leased, oldest <= next_at FROM ecauto.outbox_status() WHERE endpoint = 'paused'}), 'paused|100|0|t', 'of one that is paused: how much waits, since when');
is(sql(q{SELECT leased > 0, delivered_minute, failed_minute FROM ecauto.outbox_status() WHERE endpoint = 'hang'}), 't|0|0', 'of one that hangs: what is leased');
is(sql(q{SELECT delivered_minute = 100, delivered_hour = 100, failed_hour = 0, latency_p50 <= latency_p99 FROM ecauto.outbox_status() WHERE endpoint = 'ok'}), 't|t|t|t', 'and of one that works: how much in the last minute and hour, how fast');

# what falls due wakes it
$sink->reset;
sql(q{SELECT ecauto.enqueue('ok', '{}', 'soon', not_before => ecauto.now() + interval '300 ms')});
$sink->wait_for(http => 1, sub { ($_[0]{headers}{'idempotency-key'} // '') eq 'soon' });
pass('a message that falls due is sent');

$node->stop;
done_testing();

# Many at once: nothing is leased twice, lost or out of order, whoever
# delivers and whatever is killed meanwhile.
use strict;
use warnings;
use EcTest;
use IPC::Run ();
use POSIX ();
use Test::More;
use Time::HiRes ();

my $sink = ec_sink();
my $node = ec_node('main', conf => {
	'ecauto.databases' => 'postgres', 'ecauto.worker_naptime' => '200ms', 'max_worker_processes' => 20,
	'log_statement' => 'none', 'restart_after_crash' => 'on' });

my $seed = $ENV{EC_TEST_SEED} // time;
srand($seed);
note("EC_TEST_SEED=$seed chooses the same moments again");

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub server { sql("CREATE SERVER $_[0] FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->http_url($_[1]) . "'" . ($_[2] ? ", $_[2]" : '') . ')'); return; }
sub drained { return ec_wait($node, 'postgres', 'SELECT count(*) = 0 FROM ecauto_data.outbox' . ($_[0] ? " WHERE $_[0]" : '')); }

server('ok', '/ok');
server('mixed', '', "breaker '0', concurrency '64'");
server('storm', '/delay/2', "breaker '0', concurrency '16'");

# ---- eight enqueue, four deliver beside the worker ----
my $each = 2000;
my @enqueuers = map { $node->background_psql('postgres') } 1 .. 8;
my @deliverers = map { $node->background_psql('postgres') } 1 .. 4;
for my $session (0 .. 7)
{
	$enqueuers[$session]->{stdin} .= "SELECT ecauto.enqueue('ok', '{}', 's$session-' || n) FROM generate_series($_ * 50 + 1, $_ * 50 + 50) n \\g /dev/null\n" for 0 .. $each / 50 - 1;
	$enqueuers[$session]->{stdin} .= "SELECT 'enqueued' \\g\n";
}
$_->{stdin} .= "SELECT 'by hand ' || delivered FROM ecauto.deliver() \\g\n" x 10 . "SELECT 'delivered' \\g\n" for @deliverers;
$_->{run}->pump_nb for @enqueuers, @deliverers;
for my $wait ([ 'enqueued', @enqueuers ], [ '^delivered', @deliverers ])
{
	my ($word, @sessions) = @$wait;
	for my $session (@sessions)
	{
		ec_wait_for(sub { $_->{run}->pump_nb for @enqueuers, @deliverers; return $session->{stdout} =~ /$word/m }, $word);
	}
}
is(join('', map { $_->{stderr} } @enqueuers, @deliverers), '', 'no session saw an error');
my $by_hand = 0;
for my $session (@deliverers)
{
	$by_hand += $_ for $session->{stdout} =~ /by hand (\d+)/g;
}
$_->quit for @enqueuers, @deliverers;
ok(drained(), 'all that eight sessions enqueued is delivered');
my $stats = $sink->stats;
is($stats->{keys}, 8 * $each, 'every message arrived');
is($stats->{duplicates}, 0, 'and none twice, though five processes delivered');
note("$by_hand of them were delivered by deliver(), the others by the worker");

# ---- order within an entity, with failures ----
my ($entities, $of_each) = (500, 20);
$sink->reset;
# which ones fail, and how often, is random; 10,000 messages at once
sql("SELECT setseed(@{[ ($seed % 1000) / 1000 ]}); SELECT ecauto.enqueue('mixed', jsonb_build_object('fails', f), 'e' || e || '-' || n,
	CASE f WHEN 0 THEN '/ok' ELSE '/flaky/' || f END, entity => 'order:' || e)
	FROM (SELECT e, n, CASE WHEN random() < 0.05 THEN 1 WHEN random() < 0.01 THEN 2 ELSE 0 END AS f
		FROM generate_series(1, $of_each) n, generate_series(1, $entities) e ORDER BY n, e OFFSET 0) m");
ok(drained(), 'ten thousand messages of five hundred entities, some of which fail once or twice');
my (%last, %sent, @wrong, %fails);
for my $arrival ($sink->arrivals(qr/\\"fails\\": (\d)/))
{
	my ($entity, $n) = $arrival->[0] =~ /^e(\d+)-(\d+)$/;
	# the same one again after a failure, or the next
	push @wrong, "$entity: $n after $last{$entity}" if $n != ($last{$entity} // 0) && $n != ($last{$entity} // 0) + 1;
	$last{$entity} = $n;
	$sent{"$entity-$n"}++;
	$fails{"$entity-$n"} = $arrival->[1];
}
is_deeply(\@wrong, [], 'leave in order within each');
is(scalar(keys %sent), $entities * $of_each, 'every one of them');
is(scalar(grep { $sent{$_} != $fails{$_} + 1 } keys %sent), 0, 'each once more than it failed');
note(sprintf('%d of them failed first', scalar(grep { $_ > 0 } values %fails)));

# ---- many of one entity ----
#
# Each waits for the one before; that must not mean to look at all of them for
# every one that leaves.  So the looks are counted, not the time.
$sink->reset;
sub looks { return sql(q{SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'outbox_entity'}); }
my $long = 3000;
my $looks = looks();
sql("SELECT count(ecauto.enqueue('ok', '{}', 'long-' || n, entity => 'order:long')) FROM generate_series(1, $long) n");
ok(drained(), 'three thousand messages of one entity');
is(join(' ', map { $_->[0] } $sink->arrivals), join(' ', map { "long-$_" } 1 .. $long), 'leave in order');
ec_wait($node, 'postgres', "SELECT idx_scan >= $looks + $long FROM pg_stat_user_indexes WHERE indexrelname = 'outbox_entity'");
cmp_ok(looks() - $looks, '<', 10 * $long, 'each without looking at all the others');

# ---- a mail server that takes mails and never says so holds up no webhook ----
$sink->reset;
$sink->fault('hang-dot');
sql("CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->smtp_url . "', sender 'shop\@shop.example', timeout '10min')");
sql(q{SELECT count(ecauto.enqueue('mail', '{"to": "a@b.example", "subject": "s", "text": "t"}')) FROM generate_series(1, 100)});
$sink->wait_for(smtp => 1);
sql(q{SELECT count(ecauto.enqueue('ok', '{}', 'beside' || n)) FROM generate_series(1, 500) n});
ok(drained(q{endpoint = 'ok'}), 'webhooks go out while the mail server is silent');
is(sql(q{SELECT count(*) FROM ecauto.messages('mail')  WHERE state IN ('queued', 'leased')}), '100', 'with all its mails waiting');
$sink->fault('none');
sql('DROP SERVER mail');

# ---- kill -9 and crashes under load ----
#
# Forty thousand messages wait, and a writer commits ten thousand more while
# the delivery process is killed five times and the server stopped twice,
# each time when a random number has arrived.  The writer notes what was
# committed as far as it was told.
$sink->reset;
my ($waiting, $writing, $chunk) = (40000, 10000, 50);
sql("SELECT count(ecauto.enqueue('storm', jsonb_build_object('n', n), CASE WHEN n % 2 = 0 THEN 'storm-' || n END)) FROM generate_series(1, $waiting) n");
my $told = $PostgreSQL::Test::Utils::tmp_check . '/told';
my $writer = fork() // die "could not fork: $!";
if ($writer == 0)
{
	my $next = 0;
	my $tries = 0;
	while ($next < $writing / $chunk && $tries++ < 1000)
	{
		my $script = '';
		for my $n ($next .. $writing / $chunk - 1)
		{
			my $from = $waiting + $n * $chunk;
			$script .= "BEGIN;\nSELECT count(ecauto.enqueue('storm', jsonb_build_object('n', n), 'late-' || n)) FROM generate_series($from + 1, $from + $chunk) n \\g /dev/null\nCOMMIT;\n\\echo told $n\n";
		}
		my ($stdout, $stderr) = ('', '');
		IPC::Run::run([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') ], '<', \$script, '>', \$stdout, '2>', \$stderr);
		open(my $out, '>>', $told) or POSIX::_exit(1);
		for my $n ($stdout =~ /^told (\d+)$/mg)
		{
			print $out "$n\n";
			$next = $n + 1;
		}
		close $out;
		Time::HiRes::usleep(100_000) if $next < $writing / $chunk;
	}
	POSIX::_exit($next == $writing / $chunk ? 0 : 1);
}

my @moments = sort { $a <=> $b } map { 500 + int(rand(0.9 * $waiting)) } 1 .. 7;
my %stops = map { $_ => 1 } (1 + int(rand(3)), 4 + int(rand(3)));    # two of the seven
my ($killed, $stopped) = (0, 0);
for my $blow (0 .. 6)
{
	ec_wait_for(sub { $sink->stats->{keys} >= $moments[$blow] }, 'some more to arrive');
	if ($stops{$blow})
	{
		$node->stop('immediate');
		$node->start;
		$stopped++;
		next;
	}
	my $pid = ec_wait_for(
		sub {
			my ($rc, $out) = $node->psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'ecauto delivery'});
			return $rc == 0 && $out;
		},
		'a delivery process');
	kill 'KILL', $pid;
	ec_wait_for(sub { !kill(0, $pid) && ($node->psql('postgres', 'SELECT 1'))[0] == 0 }, 'the server to be back');
	$killed++;
}
my $waiting_still = sql('SELECT count(*) FROM ecauto_data.outbox');
waitpid($writer, 0);
is($?, 0, 'the writer got through');
ok(drained(q{endpoint = 'storm'}), "after $killed kill -9 and $stopped immediate stops all is delivered");
note("when the last blow had fallen $waiting_still messages waited");

my (%keys, %arrivals);
for my $arrival ($sink->arrivals(qr/\\"n\\": (\d+)/))
{
	$keys{ $arrival->[1] }{ $arrival->[0] } = 1;
	$arrivals{ $arrival->[0] }++;
}
my @chunks = split /\n/, PostgreSQL::Test::Utils::slurp_file($told);
my @committed = (1 .. $waiting, map { my $from = $waiting + $_ * $chunk; ($from + 1 .. $from + $chunk) } @chunks);
is(scalar(grep { !$keys{$_} } @committed), 0, 'every message that was committed arrived');
is(scalar(@committed), $waiting + $writing, 'all fifty thousand of them');
is(scalar(grep { keys %{ $keys{$_} } != 1 } keys %keys), 0, 'one that came again had the same key');
is(scalar(keys %arrivals), scalar(keys %keys), 'and no two had the same');
is(sql(q{SELECT count(*) FROM ecauto.messages('storm', 'delivered')}), scalar(keys %keys), 'all are known to have been delivered');
my $all = 0;
$all += $_ for values %arrivals;
diag(sprintf('%d keys arrived %d times: %d came twice or more', scalar(keys %arrivals), $all, scalar(grep { $_ > 1 } values %arrivals)));

$node->stop;
done_testing();

# The delivery process is killed every second while messages come in: it is
# back each time, and nothing is lost.  Twenty seconds every day, a minute of
# each kind of death with EC_TEST_LONG=1.
use strict;
use warnings;
use EcTest;
use IPC::Run ();
use POSIX ();
use Test::More;
use Time::HiRes qw(time usleep);

my $seconds = $ENV{EC_TEST_LONG} ? 60 : 10;
my $sink = ec_sink();
my $node = ec_node('main', conf => {
	'ecauto.databases' => 'postgres', 'log_statement' => 'none', 'restart_after_crash' => 'on' });

sub sql { return $node->safe_psql('postgres', $_[0]); }

# A process that commits messages until file $stop exists, over whatever
# happens to the server, and notes in file $told which of them it was told to
# be committed.
sub start_writer
{
	my ($name, $told, $stop) = @_;
	my $writer = fork() // die "could not fork: $!";
	return $writer if $writer;

	my $next = 0;
	until (-e $stop)
	{
		my $script = '';
		for my $n ($next .. $next + 99)
		{
			$script .= "BEGIN;\nSELECT count(ecauto.enqueue('slow', jsonb_build_object('n', n), '$name-$n-' || n)) FROM generate_series(1, 5) n \\g /dev/null\nCOMMIT;\nSELECT pg_sleep(0.005) \\g /dev/null\n\\echo told $n\n";
		}
		my ($stdout, $stderr) = ('', '');
		IPC::Run::run([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') ], '<', \$script, '>', \$stdout, '2>', \$stderr);
		open(my $out, '>>', $told) or POSIX::_exit(1);
		print $out "$_\n" for $stdout =~ /^told (\d+)$/mg;
		close $out;
		# what it was not told may have been committed: never the same number again
		$next += 100;
		usleep(50_000) if $stderr ne '';
	}
	POSIX::_exit(0);
}

# as a crash, which ends all processes, and as pg_terminate_backend() does
for my $signal (qw(KILL TERM))
{
	$sink->reset;
	sql("CREATE SERVER slow FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->http_url('/delay/20') . "', breaker '0')") if $signal eq 'KILL';
	my $told = $PostgreSQL::Test::Utils::tmp_check . "/told_$signal";
	my $stop = $PostgreSQL::Test::Utils::tmp_check . "/stop_$signal";
	my $writer = start_writer($signal, $told, $stop);

	my %killed;
	my $end = time() + $seconds;
	my $next = time();
	while (time() < $end)
	{
		my ($rc, $pid) = $node->psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'ecauto delivery'});
		if ($rc == 0 && $pid && !$killed{$pid})
		{
			kill $signal, $pid;
			$killed{$pid} = 1;
			$next += 1;
		}
		$next = time() if $next < time() - 1;
		usleep(50_000);
		usleep(50_000) while time() < $next && time() < $end;
	}
	open(my $out, '>', $stop) or die "could not write $stop: $!";
	close $out;
	waitpid($writer, 0);
	is($?, 0, "SIG$signal: the writer got through");

	my $times = keys %killed;
	cmp_ok($times, '>=', $seconds / 3, 'the process came back again and again');
	ok(ec_wait($node, 'postgres', 'SELECT count(*) = 0 FROM ecauto_data.outbox'), 'all is delivered in the end');
	my %arrivals;
	$arrivals{ $_->[0] }++ for $sink->arrivals;
	my @committed = map { my $n = $_; map { "$signal-$n-$_" } 1 .. 5 } split /\n/, PostgreSQL::Test::Utils::slurp_file($told);
	cmp_ok(scalar(@committed), '>', 0, 'messages were committed meanwhile');
	is(scalar(grep { !$arrivals{$_} } @committed), 0, 'and every one arrived');
	my $all = 0;
	$all += $_ for values %arrivals;
	diag(sprintf('killed %d times in %d s: %d keys arrived %d times', $times, $seconds, scalar(keys %arrivals), $all));
}

$node->stop;
done_testing();

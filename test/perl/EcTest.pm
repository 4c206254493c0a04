# EcTest: what tests with servers of their own have in common.
#
#	use EcTest;
#
#	my $sink = EcTest::Sink->start;             # takes mail and HTTP requests
#	my $node = ec_node('main', conf => { 'ecauto.databases' => 'postgres' });
#	$node->safe_psql('postgres', '...');
#	my @orders = $sink->wait_for(http => 1);
#
# Nothing here sleeps for a time and hopes: everything waits for a condition,
# and fails after TIMEOUT seconds.
package EcTest;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT = qw(ec_blocks ec_node ec_wait ec_wait_for ec_shared ec_sink ec_sqlstate);

# seconds after which a wait has failed
use constant TIMEOUT => $ENV{PG_TEST_TIMEOUT_DEFAULT} || 180;

# ec_node(NAME, conf => {setting => value}, preload => 'ecauto', extension => 1, init => [...])
#
# A running server.  conf are lines for postgresql.conf; preload (default
# 'ecauto') is shared_preload_libraries, '' for none; with extension (default)
# database postgres has ecauto, set up.  init goes to PostgreSQL::Test::Cluster's
# init().  No worker serves any database unless conf names it in
# ecauto.databases.
sub ec_node
{
	my ($name, %option) = @_;
	my %conf = (
		'shared_preload_libraries' => $option{preload} // 'ecauto',
		'max_prepared_transactions' => 10,
		%{ $option{conf} // {} });

	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ], @{ $option{init} // [] });
	$node->append_conf('postgresql.conf', join('', map { "$_ = '" . $conf{$_} =~ s/'/''/gr . "'\n" } sort keys %conf));
	$node->start;
	if ($option{extension} // 1)
	{
		$node->safe_psql('postgres', 'CREATE EXTENSION ecauto; SELECT ecauto.setup();');
	}
	return $node;
}

# ec_wait(NODE, DATABASE, QUERY[, EXPECTED]): wait until the query returns
# EXPECTED (default 't').  True if it did; says what came instead if not.
sub ec_wait
{
	my ($node, $database, $query, $expected) = @_;
	return $node->poll_query_until($database, $query, $expected // 't');
}

# ec_wait_for(SUB[, WHAT]): wait until SUB returns something true, and return
# that.  Dies if it does not; WHAT is then what was missed.
sub ec_wait_for
{
	my ($sub, $what) = @_;
	my $tries = TIMEOUT * 20;

	while ($tries-- > 0)
	{
		my $result = $sub->();
		return $result if $result;
		usleep(50_000);
	}
	die 'timed out waiting for ' . ($what // 'a condition') . "\n";
}

# ec_shared(PATH): a file or directory of test data kept beside the project, or
# undef if this machine does not have it.  Tests then skip themselves.
sub ec_shared
{
	my ($path) = @_;
	my $shared = $ENV{ECAUTO_SHARED} || return undef;
	return -e "$shared/$path" ? "$shared/$path" : undef;
}

# ec_sqlstate(NODE, DATABASE, SQL): the SQLSTATE that the statements end with,
# '00000' if they succeed; in list context also the whole message.
sub ec_sqlstate
{
	my ($node, $database, $sql) = @_;
	my ($stdout, $stderr);
	$node->psql($database, "\\set VERBOSITY verbose\n\\set ON_ERROR_STOP 1\n$sql", stdout => \$stdout, stderr => \$stderr, on_error_stop => 0);
	my ($state) = $stderr =~ /^(?:psql:[^:]*:\d+: )?ERROR:\s+([0-9A-Z]{5}):/m;
	$state //= '00000';
	return wantarray ? ($state, $stderr) : $state;
}

# ec_blocks(PAGE, SINK[, NAME]): the SQL blocks of a page that follow a line
# "<!-- run -->" or "<!-- run: NAME -->", as [SQL, number of line].  Ports 8080
# and 2525 of 127.0.0.1 become the sink's.
sub ec_blocks
{
	my ($page, $sink, $name) = @_;
	my $mark = defined $name ? qr/run(?:: \Q$name\E)?/ : qr/run/;
	my $text = slurp_file($page);
	my @blocks;
	while ($text =~ /^<!-- $mark -->\n+```sql\n(.*?)^```$/gms)
	{
		my ($sql, $begin) = ($1, $-[1]);
		my $line = 1 + (() = substr($text, 0, $begin) =~ /\n/g);
		$sql =~ /;/ or die "$page, line $line: no statement\n";
		$sql =~ s/127\.0\.0\.1:8080/'127.0.0.1:' . $sink->http_port/ge;
		$sql =~ s/127\.0\.0\.1:2525/'127.0.0.1:' . $sink->smtp_port/ge;
		push @blocks, [ $sql, $line ];
	}
	return @blocks;
}

# ec_sink(OPTION...): short for EcTest::Sink->start
sub ec_sink
{
	return EcTest::Sink->start(@_);
}

# A test that dies says why only in its log, which nobody sees on another
# machine.
END
{
	my $status = $?;
	if ($status != 0 && open(my $log, '<', $PostgreSQL::Test::Utils::test_logfile))
	{
		my @lines = <$log>;
		splice(@lines, 0, @lines - 25) if @lines > 25;
		diag("the end of $PostgreSQL::Test::Utils::test_logfile:\n", @lines);
	}
	$? = $status;
}

# The server test/sink/sink.c: an HTTP and a mail server that write down what
# they get.  The opening of that file lists what they can be asked for.
package EcTest::Sink;

use strict;
use warnings;
use HTTP::Tiny;
use JSON::PP ();
use PostgreSQL::Test::Utils ();
use POSIX ':sys_wait_h';

my $count = 0;
my @running;

# EcTest::Sink->start(OPTION...): options of the program, such as
# '--auth' => 'shop:secret'.  Ends with the test, whatever happens.
sub start
{
	my ($class, @options) = @_;
	my $program = $ENV{ECAUTO_SINK};
	die "ECAUTO_SINK does not name the sink: run tests with test/all.sh\n" unless $program && -x $program;

	my $dir = $PostgreSQL::Test::Utils::tmp_check . '/sink_' . $$ . '_' . ++$count;
	mkdir $dir or die "could not make $dir: $!";

	my $self = bless { dir => $dir, options => [@options], program => $program }, $class;
	$self->_run(0, 0);
	push @running, $self;
	return $self;
}

sub _run
{
	my ($self, $http, $smtp) = @_;
	my $dir = $self->{dir};

	unlink "$dir/ports";
	my $pid = fork() // die "could not fork: $!";
	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>>', "$dir/log");
		open(STDERR, '>>', "$dir/log");
		exec($self->{program}, '--dir', $dir, '--http', $http, '--smtp', $smtp, @{ $self->{options} })
		  or POSIX::_exit(1);
	}
	$self->{pid} = $pid;
	EcTest::ec_wait_for(
		sub {
			die "the sink did not start: " . PostgreSQL::Test::Utils::slurp_file("$dir/log") . "\n"
			  if waitpid($pid, WNOHANG) != 0;
			return -e "$dir/ports";
		},
		'the sink to listen');
	my $ports = PostgreSQL::Test::Utils::slurp_file("$dir/ports");
	($self->{http}) = $ports =~ /HTTP_PORT=(\d+)/;
	($self->{smtp}) = $ports =~ /SMTP_PORT=(\d+)/;
	return;
}

# Where it listens.
sub http_port { return $_[0]{http}; }
sub smtp_port { return $_[0]{smtp}; }
sub http_url { return "http://127.0.0.1:$_[0]{http}" . ($_[1] // ''); }
sub smtp_url { return "smtp://127.0.0.1:$_[0]{smtp}"; }

# Everything received so far: a list of hashes, in the order it came.
sub requests { return $_[0]->_read('http.jsonl'); }
sub mails { return $_[0]->_read('smtp.jsonl'); }

sub _read
{
	my ($self, $name) = @_;
	open(my $in, '<:raw', "$self->{dir}/$name") or return ();
	my @seen;
	while (my $line = <$in>)
	{
		last if $line !~ /\n\z/;    # being written
		push @seen, JSON::PP::decode_json($line);
	}
	return @seen;
}

# arrivals(PATTERN): for each request so far, in the order it came, [its
# idempotency key, what the first group of PATTERN matches in its line of the
# log, its time].  Reads tens of thousands of requests without decoding them.
sub arrivals
{
	my ($self, $pattern) = @_;
	open(my $in, '<:raw', "$self->{dir}/http.jsonl") or return ();
	my @seen;
	while (my $line = <$in>)
	{
		last if $line !~ /\n\z/;    # being written
		my ($key) = $line =~ /"idempotency-key": ?"([^"]*)"/;
		my ($time) = $line =~ /^\{"time": ?([0-9.]+)/;
		my ($what) = defined $pattern ? $line =~ $pattern : ();
		push @seen, [ $key, $what, $time ];
	}
	return @seen;
}

# wait_for(http => N[, SUB]) or wait_for(smtp => N[, SUB]): wait until N
# requests or mails have come for which SUB, given one as $_, is true; return
# all such.
sub wait_for
{
	my ($self, $what, $n, $filter) = @_;
	my @seen;
	EcTest::ec_wait_for(
		sub {
			@seen = $what eq 'http' ? $self->requests : $self->mails;
			@seen = grep { $filter->($_) } @seen if $filter;
			return @seen >= $n;
		},
		"$n of $what at the sink");
	return @seen;
}

# header(MAIL, NAME): a header field of a mail, unfolded, not decoded; undef if
# there is none.
sub header
{
	my ($self, $mail, $name) = @_;
	my ($head) = split /\r\n\r\n/, $mail->{data}, 2;
	$head =~ s/\r\n([ \t])/$1/g;
	my ($value) = $head =~ /^\Q$name\E:[ \t]*(.*?)\r?$/mi;
	return $value;
}

# Its counters; forget everything; set a fault (of those in sink.c).
sub stats { return $_[0]->_control('/stats'); }
sub reset { return $_[0]->_control('/reset'); }
sub fault { return $_[0]->_control("/fault/$_[1]"); }

sub _control
{
	my ($self, $path) = @_;
	my $answer = HTTP::Tiny->new(timeout => 30)->get($self->http_url($path));
	die "the sink did not answer $path: $answer->{status} $answer->{content}" unless $answer->{success};
	return JSON::PP::decode_json($answer->{content});
}

# Nobody listens any more; listen again on the same ports.  Starting again
# forgets what was received.
sub stop
{
	my ($self) = @_;
	return unless $self->{pid};
	kill 'TERM', $self->{pid};
	waitpid($self->{pid}, 0);
	delete $self->{pid};
	return;
}

sub restart
{
	my ($self) = @_;
	$self->stop;
	$self->_run($self->{http}, $self->{smtp});
	return;
}

END
{
	# waitpid() in stop() must not become the test's exit status
	my $status = $?;
	$_->stop for @running;
	$? = $status;
}

1;

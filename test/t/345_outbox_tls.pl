# HTTPS as it should be: TLS sessions are reused, HTTP/2 is spoken where it is
# offered; and with few file descriptors messages are late, not lost.
use strict;
use warnings;
use EcTest;
use IO::Socket::INET;
use POSIX ();
use Test::More;

my $sink = ec_sink();
my $node = ec_node('main', conf => { 'ecauto.databases' => 'postgres', log_statement => 'none' });

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub server
{
	my ($name, $url, $options) = @_;
	sql("CREATE SERVER $name FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '$url'" . ($options ? ", $options" : '') . ')');
	return;
}

sub delivered
{
	my ($name, $n) = @_;
	return ec_wait($node, 'postgres', "SELECT count(*) = $n FROM ecauto.messages('$name', 'delivered')");
}

# ---- sessions ----
SKIP:
{
	skip 'IO::Socket::SSL is not installed', 4 unless eval { require EcTls; 1 };
	my $tls = EcTls->start(port => $sink->http_port, once => 1);
	server('web', 'https://127.0.0.1:' . $tls->port . '/ok', "concurrency '1', ca_file '" . $tls->ca_file . "'");
	for my $n (1 .. 3)
	{
		sql(q{SELECT ecauto.enqueue('web', '{}')});
		ok(delivered('web', $n), "message $n over a connection that is closed after it");
	}
	is(join(' ', $tls->handshakes), 'new reused reused', 'a new connection continues the TLS session');
	$tls->stop;
}

# ---- HTTP/2 ----
SKIP:
{
	skip 'IO::Socket::SSL is not installed', 5 unless eval { require EcTls; 1 };
	my ($nghttpd) = grep { -x } map { "$_/nghttpd" } split(/:/, $ENV{PATH}), '/usr/sbin';
	skip 'nghttpd is not installed (package nghttp2-server)', 5 unless $nghttpd;
	my $dir = $PostgreSQL::Test::Utils::tmp_check . '/h2';
	mkdir $dir;
	PostgreSQL::Test::Utils::append_to_file("$dir/orders", '{"taken": true}');

	# its certificate is made by EcTls
	my $tls = EcTls->start(port => $sink->http_port);
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $pid = fork() // die;
	if ($pid == 0)
	{
		open(STDOUT, '>', "$dir/log");
		open(STDERR, '>&', \*STDOUT);
		exec $nghttpd, '-v', '-a', '127.0.0.1', '-d', $dir, $port, $tls->file('key.pem'), $tls->file('cert.pem') or POSIX::_exit(1);
	}
	ok(ec_wait_for(sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) }), 'a server of HTTP/2');
	server('modern', "https://127.0.0.1:$port", "concurrency '8', ca_file '" . $tls->ca_file . "'");
	sql(q{SELECT count(ecauto.enqueue('modern', jsonb_build_object('n', n), 'key-' || n, '/orders')) FROM generate_series(1, 200) n});
	ok(delivered('modern', 200), 'takes 200 messages');
	is(sql(q{SELECT DISTINCT d.last_status || ' ' || d.answer FROM ecauto.messages('modern') m, ecauto.message(m.id) d}), '200 {"taken": true}', 'and answers');
	kill 'TERM', $pid;
	waitpid($pid, 0);
	my $log = PostgreSQL::Test::Utils::slurp_file("$dir/log");
	my %keys = map { $_ => 1 } $log =~ /recv \(stream_id=\d+\) idempotency-key: (key-\d+)/g;
	is(scalar keys %keys, 200, 'each as a stream of HTTP/2 with its key');
	my %connections = map { $_ => 1 } $log =~ /^\[id=(\d+)\].*recv \(stream_id/mg;
	cmp_ok(scalar keys %connections, '<=', 8, 'over no more connections than may be open at once');
	$tls->stop;
}

# ---- few descriptors ----
#
# The server is started where 160 files may be open; an endpoint may have more
# connections than that.
my $limited = ec_node('limited', conf => { 'ecauto.databases' => 'postgres', log_statement => 'none', max_files_per_process => 64 });
$limited->safe_psql('postgres', "CREATE SERVER many FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->http_url('/delay/20') . "', concurrency '1000', breaker '0')");
$limited->stop;
{
	is(system('sh', '-c', 'ulimit -n 160 && exec "$@"', 'sh', 'pg_ctl', '-s', '-w', '-D', $limited->data_dir, '-l', $limited->logfile, 'start'), 0,
		'a server starts with few descriptors');
	$limited->_update_pid(1);
	$limited->safe_psql('postgres', q{SELECT count(ecauto.enqueue('many', '{}', 'few-' || n)) FROM generate_series(1, 3000) n});
	ok(ec_wait($limited, 'postgres', q{SELECT count(*) = 0 FROM ecauto_data.outbox}), 'everything leaves');
	is($limited->safe_psql('postgres', q{SELECT count(*) FROM ecauto.messages('many', 'delivered')}), '3000', 'and nothing is lost');
	my %seen = map { ($_->{headers}{'idempotency-key'} // '') => 1 } $sink->requests;
	is(scalar(grep { /^few-/ } keys %seen), 3000, 'all of it arrived');
	$limited->stop;
}

done_testing();

# Servers that answer with bytes that nobody expects, over HTTP and SMTP: each
# message has an outcome, what is kept of an answer is a short text, and the
# delivery process lives on.
#
# EC_TEST_LONG=1 tries a hundred times as many, EC_TEST_SEED begins elsewhere.
use strict;
use warnings;
use EcTest;
use EcOdd;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Test::More;

my $seed = $ENV{EC_TEST_SEED} || 1;
my $messages = $ENV{EC_TEST_LONG} ? 40_000 : 400;

my @http = (
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 503 Service Unavailable\r\nRetry-After: Tue, 16 Jun 2026 10:00:00 GMT\r\nContent-Length: 4\r\n\r\nbusy",
	"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{\"error\": \"oh\xc5\xbc\"}",
	"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
	"HTTP/1.0 404 Not Found\r\n\r\n" . 'no such thing ' x 2000,
	"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\n\x1f\x8b\x08\x00\x00",
	"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nSet-Cookie: a=b; Domain=.example\r\nContent-Length: 0\r\n\r\n",
	"HTTP/2 200\r\n\r\n", "\r\n", '');
my @bits = ("\0", "\r", "\n", "\r\n", "\r\n ", ':', ' ', "\xff\xfe", '-1', '99999999999999999999', "Retry-After: 1e9\r\n", "Retry-After: -5\r\n", "Content-Length: 99999\r\n", 'X' x 70_000, "HTTP/1.1 200 OK\r\n\r\n", '250-', '250 ', '999', "\xe2\x82", "\e[31m");

sub changed
{
	my ($odd, $text) = @_;
	for (1 .. $odd->upto(4))
	{
		my $at = $odd->upto(length($text) + 1);
		my $how = $odd->upto(4);
		if    ($how == 0) { substr($text, $at, 1 + $odd->upto(6), '') if $at < length $text }
		elsif ($how == 1) { substr($text, $at, 1, chr $odd->upto(256)) if $at < length $text }
		elsif ($how == 2) { substr($text, 0, length($text) - $at, substr($text, $at)) }
		else              { substr($text, $at, 0, $odd->pick(@bits)) }
	}
	return $text;
}

# A server on a port of 127.0.0.1, many connections at once: &$said(STATE, BYTES)
# returns what to answer to what came, undef to wait for more; an answer of
# 'close' as second value hangs up.  Returns the port.
my @servers;
sub serve
{
	my ($greeting, $said) = @_;
	my $listen = IO::Socket::INET->new(Listen => 100, LocalAddr => '127.0.0.1', Proto => 'tcp') or die "listen: $!";
	my $pid = fork // die "fork: $!";
	if ($pid)
	{
		push @servers, $pid;
		return $listen->sockport;
	}
	$SIG{PIPE} = 'IGNORE';
	my $select = IO::Select->new($listen);
	my %state;
	while (1)
	{
		for my $socket ($select->can_read)
		{
			if ($socket == $listen)
			{
				my $new = $listen->accept or next;
				$new->blocking(0);
				$select->add($new);
				$state{$new} = { in => '' };
				syswrite $new, $greeting->() if $greeting;
				next;
			}
			my $n = sysread $socket, my $bytes, 65536;
			my $answer = my $end = undef;
			if ($n) { $state{$socket}{in} .= $bytes; ($answer, $end) = $said->($state{$socket}) }
			syswrite $socket, $answer if defined $answer && length $answer;
			if (!$n || $end) { $select->remove($socket); delete $state{$socket}; close $socket }
		}
	}
	POSIX::_exit(0);
}

END { kill 'KILL', @servers if @servers }

my $odd = EcOdd->new(seed => $seed);
my $http_port = serve(undef, sub {
	my ($state) = @_;
	return undef unless $state->{in} =~ s/^.*?\r\n\r\n(.*\})?//s;
	return (changed($odd, $odd->pick(@http)), $odd->upto(3) > 0 ? 'close' : undef);
});

my $mail = sub { my ($line) = @_; return $odd->upto(4) ? $line : changed($odd, $line) };
my $smtp_port = serve(sub { return $mail->("220 mail.example ESMTP\r\n") }, sub {
	my ($state) = @_;
	my $answer = '';
	while (1)
	{
		if ($state->{data})
		{
			last unless $state->{in} =~ s/^.*?\r\n\.\r\n//s;
			$state->{data} = 0;
			$answer .= $mail->("250 2.0.0 taken as 12345\r\n");
			next;
		}
		last unless $state->{in} =~ s/^(\w*)([^\n]*)\n//;
		my $verb = uc $1;
		$state->{data} = 1 if $verb eq 'DATA';
		$answer .= $mail->($verb eq 'EHLO' ? "250-mail.example\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
			: $verb eq 'DATA' ? "354 go on\r\n" : $verb eq 'QUIT' ? "221 bye\r\n" : $odd->upto(10) ? "250 2.1.0 fine\r\n" : $odd->pick("450 4.2.0 later\r\n", "550 5.1.1 nobody\r\n", "421 gone\r\n"));
	}
	return ($answer, $odd->upto(30) ? undef : 'close');
});

my $node = ec_node('odd', conf => { 'ecauto.databases' => 'postgres' });
sub sql { return $node->safe_psql('postgres', $_[0]); }
sql("CREATE SERVER web FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:$http_port', timeout '400ms', breaker '0', max_attempts '1', concurrency '32')");
sql("CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://127.0.0.1:$smtp_port', sender 'shop\@shop.example', timeout '400ms', breaker '0', max_attempts '1', concurrency '16')");
my $pid = ec_wait_for(sub { sql(q{SELECT pid FROM ecauto.worker_status() WHERE worker = 'delivery' AND state = 'running'}) }, 'a worker');

for (1 .. $messages / 400)
{
	sql(q{SELECT count(ecauto.enqueue('web', jsonb_build_object('n', n), path => '/a')) FROM generate_series(1, 300) n;
		SELECT count(ecauto.enqueue('mail', jsonb_build_object('to', 'c' || n || '@b.example', 'subject', 'Zamówienie ' || n, 'text', 't'))) FROM generate_series(1, 100) n});
	ec_wait($node, 'postgres', q{SELECT count(*) = 0 FROM ecauto.messages() WHERE state NOT IN ('delivered', 'dead')}) or last;
}
is(sql(q{SELECT count(*) FROM ecauto.messages() WHERE state NOT IN ('delivered', 'dead')}), '0', 'each message has an outcome');
cmp_ok(sql(q{SELECT count(*) FROM ecauto.messages('web') WHERE state = 'delivered'}), '>', 20, 'some requests were taken');
cmp_ok(sql(q{SELECT count(*) FROM ecauto.messages('web') WHERE state = 'dead'}), '>', 20, 'some were not');
cmp_ok(sql(q{SELECT count(*) FROM ecauto.messages('mail') WHERE state = 'delivered'}), '>', 5, 'so with mails');
cmp_ok(sql(q{SELECT count(*) FROM ecauto.messages('mail') WHERE state = 'dead'}), '>', 5, 'so with mails that were not');
is(sql(q{SELECT string_agg(DISTINCT last_error, E'\n') FROM ecauto.messages() WHERE state = 'dead' AND (last_error IS NULL OR last_error ~ E'[\\x01-\\x09\\x0b-\\x1f\\x7f]' OR length(last_error) > 2000)}), '',
	'what a failed one said is a text of some length');
is(sql(q{SELECT pid FROM ecauto.worker_status() WHERE worker = 'delivery'}), $pid, 'the same process has seen it all');
$node->stop;
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/was terminated by signal|TRAP:|PANIC|XX000/, 'nothing broke');

done_testing();

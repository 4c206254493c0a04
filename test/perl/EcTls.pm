# EcTls: puts TLS before a server that has none.
#
#	my $tls = EcTls->start(port => $sink->smtp_port, starttls => 1);
#	... 'smtp://127.0.0.1:' . $tls->port ... ca_file => $tls->ca_file
#
# Listens on a port of 127.0.0.1 with a certificate for 127.0.0.1 and localhost,
# signed by an authority of its own, and passes on what comes to port.  With
# starttls it first speaks SMTP itself, in the clear, until the client says
# STARTTLS; it offers nothing else then.  With once it hangs up after the first
# answer.  handshakes() are "new" or "reused", in the order they were made.
package EcTls;

use strict;
use warnings;
use EcTest ();
use IO::Select;
use IO::Socket::INET;
use IO::Socket::SSL;
use IO::Socket::SSL::Utils;
use POSIX ();
use PostgreSQL::Test::Utils ();

my $count = 0;
my @running;

sub start
{
	my ($class, %option) = @_;
	my $dir = $PostgreSQL::Test::Utils::tmp_check . '/tls_' . $$ . '_' . ++$count;
	mkdir $dir or die "could not make $dir: $!";

	my ($ca, $ca_key) = CERT_create(CA => 1, subject => { commonName => 'ecauto test authority' });
	my ($cert, $key) = CERT_create(
		issuer => [ $ca, $ca_key ], subject => { commonName => 'localhost' }, purpose => 'server',
		subjectAltNames => [ [ DNS => 'localhost' ], [ IP => '127.0.0.1' ] ]);
	PEM_cert2file($ca, "$dir/ca.pem");
	PEM_cert2file($cert, "$dir/cert.pem");
	PEM_key2file($key, "$dir/key.pem");

	# one for all connections, since a session can be reused only where it was made
	$option{context} = IO::Socket::SSL::SSL_Context->new(SSL_server => 1, SSL_cert_file => "$dir/cert.pem", SSL_key_file => "$dir/key.pem")
	  or die 'could not make a TLS context';
	my $listener = IO::Socket::INET->new(Listen => 50, LocalAddr => '127.0.0.1', LocalPort => 0) or die "could not listen: $!";
	my $self = bless { dir => $dir, port => $listener->sockport }, $class;
	my $pid = fork() // die "could not fork: $!";
	if ($pid == 0)
	{
		eval { _serve($listener, $dir, %option); };
		POSIX::_exit(0);
	}
	close($listener);
	$self->{pid} = $pid;
	push @running, $self;
	return $self;
}

sub port { return $_[0]{port}; }
sub ca_file { return "$_[0]{dir}/ca.pem"; }

# cert.pem or key.pem, for another server that is to be trusted by it
sub file { return "$_[0]{dir}/$_[1]"; }

sub handshakes
{
	my ($self) = @_;
	return -e "$self->{dir}/handshakes" ? split(/\n/, PostgreSQL::Test::Utils::slurp_file("$self->{dir}/handshakes")) : ();
}

sub stop
{
	my ($self) = @_;
	return unless $self->{pid};
	kill 'TERM', $self->{pid};
	waitpid($self->{pid}, 0);
	delete $self->{pid};
	return;
}

# A process per connection; they end when either side closes.
sub _serve
{
	my ($listener, $dir, %option) = @_;
	local $SIG{CHLD} = 'IGNORE';
	while (my $client = $listener->accept)
	{
		my $pid = fork() // die "could not fork: $!";
		if ($pid == 0)
		{
			eval { _relay($client, $dir, %option); };
			POSIX::_exit(0);
		}
		close($client);
	}
	return;
}

sub _relay
{
	my ($client, $dir, %option) = @_;
	my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $option{port}) or return;

	if ($option{starttls})
	{
		# a client waits for each reply, so nothing is read that belongs to TLS
		syswrite($client, _line($server));
		while (1)
		{
			my $command = _line($client);
			return if $command eq '';
			last if $command =~ /^STARTTLS/i;
			syswrite($client, $command =~ /^EHLO/i ? "250-tls.test\r\n250 STARTTLS\r\n" : "530 5.7.0 STARTTLS first\r\n");
		}
		syswrite($client, "220 go ahead\r\n");
	}
	IO::Socket::SSL->start_SSL($client, SSL_server => 1, SSL_reuse_ctx => $option{context}) or return;
	open(my $log, '>>', "$dir/handshakes") or return;
	print $log $client->get_session_reused ? "reused\n" : "new\n";
	close($log);

	my $select = IO::Select->new($client, $server);
	while (1)
	{
		my @ready = $client->pending ? ($client) : $select->can_read;
		foreach my $from (@ready)
		{
			my $to = $from == $client ? $server : $client;
			my $n = sysread($from, my $data, 16384);
			return unless $n;
			for (my $sent = 0; $sent < $n;)
			{
				$sent += syswrite($to, $data, $n - $sent, $sent) // return;
			}
			return if $option{once} && $from == $server;
		}
	}
	return;
}

sub _line
{
	my ($from) = @_;
	my $line = '';
	while ($line !~ /\n/)
	{
		sysread($from, my $byte, 1) or return '';
		$line .= $byte;
	}
	return $line;
}

END
{
	my $status = $?;
	$_->stop for @running;
	$? = $status;
}

1;

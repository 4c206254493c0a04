# Every way in which the other side can misbehave, all at once and in real
# time, under the worker: each message arrives when the other side comes to
# its senses, and a well-behaved neighbour notices nothing.
use strict;
use warnings;
use EcTest;
use Test::More;

my $sink = ec_sink();
my $node = ec_node('main', conf => { 'ecauto.databases' => 'postgres', 'log_statement' => 'none' });

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub memory
{
	my ($pid) = @_;
	my ($kb) = PostgreSQL::Test::Utils::slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m;
	return $kb;
}

# endpoint => [path, requests that each message takes, what a failed one said,
# tries if not as many].  When a connection that was kept is closed without a
# word, libcurl sends the request again by itself, and nobody sees a failure.
my %http = (
	errors => [ '/flaky/2', 3, qr/^HTTP status 500$/ ],
	later => [ '/flaky/1/s/429/2', 2, qr/^HTTP status 429$/ ],
	silent => [ '/flaky/1/hang', 2, qr/timeout|timed out|no answer/i ],
	cut => [ '/flaky/1/close', 2, qr/./ ],
	dropped => [ '/flaky/1/drop', 2, undef, qr/^(1|2|1 2)$/ ],
	loris => [ '/flaky/1/slow/300', 2, qr/timeout|timed out|no answer/i ],
	flood => [ '/big/100000000', 1, undef ]);
my $each = 5;
sql("CREATE SERVER $_ FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->http_url . "', timeout '700ms', breaker '0')") for 'good', sort keys %http;

my %mail = (greets => 'greet-421:3', dropdata => 'drop-data:3', dropdot => 'drop-dot:3', deferred => 'defer-data:3');
my %post;
for my $name (sort keys %mail, 'refusing')
{
	$post{$name} = ec_sink($mail{$name} ? ('--fault' => $mail{$name}) : ());
	sql("CREATE SERVER $name FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $post{$name}->smtp_url . "', sender 'shop\@shop.example', timeout '2s', breaker '0')");
}

# what a try said is replaced by the next one's
sql(q{CREATE TABLE said (endpoint text, error text);
	CREATE FUNCTION note_error() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.said VALUES (NEW.endpoint, NEW.last_error); RETURN NULL; END $$;
	CREATE TRIGGER note_error AFTER UPDATE ON ecauto_data.outbox FOR EACH ROW
		WHEN (NEW.last_error IS DISTINCT FROM OLD.last_error) EXECUTE FUNCTION note_error()});

my $pid = ec_wait_for(sub { sql(q{SELECT pid FROM ecauto.worker_status() WHERE worker = 'delivery' AND state = 'running'}) }, 'a worker');
my $before = memory($pid);

# ---- all at once ----
for my $name (sort keys %http)
{
	sql("SELECT ecauto.enqueue('$name', '{}', '$name' || n, '$http{$name}[0]') FROM generate_series(1, $each) n");
}
for my $name (sort keys %mail)
{
	sql("SELECT ecauto.enqueue('$name', jsonb_build_object('to', 'c' || n || '\@b.example', 'subject', 's', 'text', 't'), '$name' || n) FROM generate_series(1, $each) n");
}
sql(q{SELECT ecauto.enqueue('refusing', '{"to": ["anna@b.example", "refuse@b.example", "jan@b.example"], "subject": "s", "text": "t"}', 'refusing1')});
sql(q{SELECT ecauto.enqueue('good', '{}', 'good' || n, '/ok') FROM generate_series(1, 500) n});
ok(ec_wait($node, 'postgres', q{SELECT count(*) = 0 FROM ecauto_data.outbox WHERE endpoint = 'good'}), 'the well-behaved one gets its messages');
is(sql(q{SELECT count(*) FROM ecauto.messages('good', 'delivered') WHERE attempts = 1}), '500', 'all of them, at the first try');
ok(ec_wait($node, 'postgres', 'SELECT count(*) = 0 FROM ecauto_data.outbox'), 'in the end the others get theirs');
is(sql(q{SELECT count(*) FROM ecauto.messages() WHERE state <> 'delivered'}), '0', 'and none has died');

# ---- each as it should ----
my %arrivals;
push @{ $arrivals{ $_->[0] } }, $_->[2] for $sink->arrivals;
for my $name (sort keys %http)
{
	my (undef, $requests, $error, $tries) = @{ $http{$name} };
	like(sql("SELECT string_agg(DISTINCT attempts::text, ' ' ORDER BY attempts::text) FROM ecauto.messages('$name', 'delivered')"), $tries // qr/^$requests$/, "$name: tries");
	is(scalar(grep { @{ $arrivals{"$name$_"} } == $requests } 1 .. $each), $each, '... and requests, all with the same key');
	like(sql("SELECT string_agg(DISTINCT error, ' or ') FROM said WHERE endpoint = '$name'"), $error, '... and the reason was told') if $error;
}
is(scalar(grep { $arrivals{"later$_"}[1] - $arrivals{"later$_"}[0] < 2 } 1 .. $each), 0, 'Retry-After: nobody comes back before two seconds have passed');
cmp_ok(memory($pid) - $before, '<', 60_000, 'five answers of 100 MB do not fill the memory');

for my $name (sort keys %mail)
{
	my @mails = $post{$name}->mails;
	my %to;
	$to{ $_->{rcpt}[0] }++ for @mails;
	is(join(' ', sort keys %to), join(' ', map { "c$_\@b.example" } 1 .. $each), "$name: every mail arrives");
	# dropped after the final dot, nobody can know whether it was taken
	is(scalar(@mails), $each + ($name eq 'dropdot' ? 3 : 0), '... once, but where it was taken without saying so');
	my %ids;
	$ids{ $_->{rcpt}[0] }{ $post{$name}->header($_, 'Message-ID') } = 1 for @mails;
	is(scalar(grep { keys %$_ != 1 } values %ids), 0, '... and again with the same Message-ID');
}
my @mails = $post{refusing}->mails;
is_deeply([ map { $_->{rcpt} } @mails ], [ [ 'anna@b.example', 'jan@b.example' ] ], 'refuses one of three: the two others get it, once');
like(sql(q{SELECT last_error FROM ecauto.messages('refusing')}), qr/refuse\@b\.example.*550|550.*refuse\@b\.example/, 'and who did not is told');

# ---- a certificate that nobody knows ----
SKIP:
{
	skip 'IO::Socket::SSL is not installed', 4 unless eval { require EcTls; 1 };
	my $tls = EcTls->start(port => $sink->http_port);
	my $other = EcTls->start(port => $sink->http_port);
	sql("CREATE SERVER unknown FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'https://127.0.0.1:" . $tls->port . "', ca_file '" . $other->ca_file . "')");
	sql("SELECT ecauto.enqueue('unknown', '{}', 'unknown' || n) FROM generate_series(1, 3) n");
	ok(ec_wait($node, 'postgres', q{SELECT count(*) = 3 FROM ecauto.messages('unknown', 'retry') WHERE attempts >= 1}), 'a certificate of an unknown authority is tried again');
	is(scalar(grep { ($_->[0] // '') =~ /^unknown/ } $sink->arrivals), 0, 'and nothing is sent there');
	like(sql(q{SELECT min(last_error) FROM ecauto.messages('unknown')}), qr/certificate/i, 'the error says why');
	sql("ALTER SERVER unknown OPTIONS (SET ca_file '" . $tls->ca_file . "')");
	ok(ec_wait($node, 'postgres', q{SELECT count(*) = 3 FROM ecauto.messages('unknown', 'delivered')}), 'somebody mends it: they leave');
	$_->stop for $tls, $other;
}

$_->stop for values %post;
$node->stop;
done_testing();

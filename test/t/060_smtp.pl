# Mail servers as they are: they refuse some recipients, come back later, close
# connections, offer little, demand much.  A mail arrives exactly where it is
# wanted, or its message says why not; what arrives twice has the same Message-ID.
use strict;
use warnings;
use EcTest;
use JSON::PP ();
use Test::More;

my $json = JSON::PP->new->canonical->ascii;
my $node = ec_node('main', conf => { 'ecauto.databases' => 'postgres' });
my $servers = 0;

# endpoint(SINK or port, OPTION => VALUE...): a foreign server; returns its name.
# user and password go into a user mapping.
sub endpoint
{
	my ($sink, %option) = @_;
	my $name = 'mail' . ++$servers;
	my $port = ref($sink) ? $sink->smtp_port : $sink;
	my $scheme = delete $option{scheme} // 'smtp';
	my $user = delete $option{user};
	my $password = delete $option{password};
	my $options = join(', ', map { "$_ '$option{$_}'" } sort keys %option);
	$node->safe_psql('postgres', "CREATE SERVER $name FOREIGN DATA WRAPPER ecauto_endpoint
		OPTIONS (url '$scheme://127.0.0.1:$port', sender 'Shop <shop\@shop.example>'" . ($options ? ", $options" : '') . ')');
	$node->safe_psql('postgres', "CREATE USER MAPPING FOR CURRENT_USER SERVER $name OPTIONS (username '$user', password '$password')") if $user;
	return $name;
}

# enqueue(ENDPOINT, KEY, MEMBER => VALUE...): returns the id of the message.
sub enqueue
{
	my ($endpoint, $key, %payload) = @_;
	my $payload = $json->encode({ subject => "about $key", text => "Hello $key\n.\n..dots\n", %payload });
	return $node->safe_psql('postgres', qq{SELECT ecauto.enqueue('$endpoint', \$json\$$payload\$json\$, key => '$key')});
}

sub message
{
	my ($id) = @_;
	return $json->decode($node->safe_psql('postgres', "SELECT to_json(m) FROM ecauto.message($id) m"));
}

# ended(ID, STATE): wait until the message has that state, and return it.
sub ended
{
	my ($id, $state) = @_;
	return ec_wait($node, 'postgres', "SELECT state FROM ecauto.message($id)", $state) ? message($id) : die "message $id is not $state";
}

# tried(ID): wait until a try has failed.
sub tried
{
	my ($id) = @_;
	ec_wait($node, 'postgres', "SELECT last_error IS NOT NULL FROM ecauto.message($id)") or die "message $id was not tried";
	return message($id);
}

# ---- a server without faults ----
my $sink = ec_sink();
my $mail = endpoint($sink);
my $id = enqueue($mail, 'plain', to => [ 'Jan <jan@shop.example>', 'ann@shop.example' ], cc => 'ann@shop.example', bcc => 'boss@shop.example');
my $message = ended($id, 'delivered');
is($message->{last_status}, 250, 'status of a mail that was taken');
is($message->{answer}, '250 2.0.0 taken', 'and the answer');
my ($seen) = $sink->wait_for(smtp => 1);
is($seen->{mail_from}, 'shop@shop.example', 'MAIL is the address of the sender');
is_deeply($seen->{rcpt}, [ 'jan@shop.example', 'ann@shop.example', 'boss@shop.example' ], 'RCPT is everybody once');
is($seen->{parameters}, 'SIZE=' . length($seen->{data}), 'SIZE is the size of the text, dots not stuffed');
like($seen->{data}, qr/\r\n\r\nHello plain\r\n\.\r\n\.\.dots\r\n\z/, 'dots arrive as they were');
unlike($seen->{data}, qr/boss/, 'the blind copy is not in the text');
is($sink->header($seen, 'Message-ID'), '<plain@shop.example>', 'Message-ID');

my $big = ec_sink();
ended(enqueue(endpoint($big), 'big', to => 'jan@shop.example', attachments => [ { name => 'big.txt', content => 'x' x 800_000 } ]), 'delivered');
($seen) = $big->wait_for(smtp => 1);
cmp_ok(length($seen->{data}), '>', 1_000_000, 'a big mail');
ok(!$seen->{eightbit} && !$seen->{bare_newline} && $seen->{longest_line} <= 998, 'no byte in it that needs an extension');
$big->stop;

$id = enqueue($mail, 'utf8', to => "\x{17c}\x{f3}\x{142}w\@shop.example");
ended($id, 'delivered');
($seen) = $sink->wait_for(smtp => 1, sub { $sink->header($_[0], 'Message-ID') eq '<utf8@shop.example>' });
is($seen->{rcpt}[0], "\x{17c}\x{f3}\x{142}w\@shop.example", 'an address beyond ASCII');
like($seen->{parameters}, qr/ BODY=8BITMIME SMTPUTF8$/, 'which needs two extensions');

# ---- many mails, few connections ----
$node->safe_psql(
	'postgres', qq{
	SELECT count(ecauto.enqueue('$mail', jsonb_build_object('to', n || '\@shop.example', 'subject', 'many', 'text', 'x'), key => 'many-' || n))
	FROM generate_series(1, 500) n});
my @many = $sink->wait_for(smtp => 500, sub { $sink->header($_[0], 'Subject') eq 'many' });
ok(ec_wait($node, 'postgres', "SELECT count(*) FROM ecauto.messages('$mail', 'delivered') WHERE key LIKE 'many-%'", '500'), 'all of 500 mails are delivered');
is(scalar(keys %{ { map { $_->{rcpt}[0] => 1 } @many } }), 500, 'to 500 people');
cmp_ok($sink->stats->{max_open}, '<=', 20, 'over few connections');

# ---- recipients ----
$id = enqueue($mail, 'one-of-three', to => [ 'a@shop.example', 'refuse@shop.example', 'b@shop.example' ]);
$message = ended($id, 'delivered');
is($message->{last_error}, 'refuse@shop.example: 550 5.1.1 no such user', 'one of three recipients is refused: the message names him');
($seen) = $sink->wait_for(smtp => 1, sub { $sink->header($_[0], 'Message-ID') eq '<one-of-three@shop.example>' });
is_deeply($seen->{rcpt}, [ 'a@shop.example', 'b@shop.example' ], 'the others get the mail');

$id = enqueue($mail, 'nobody', to => [ 'refuse1@shop.example', 'refuse2@shop.example' ]);
$message = ended($id, 'dead');
is($message->{last_status}, 550, 'if all are refused the message is dead');
is($message->{attempts}, 1, 'at once');

$id = enqueue($mail, 'greylisted', to => [ 'c@shop.example', 'greylist1@shop.example', 'refuse@shop.example' ]);
$message = ended($id, 'delivered');
is($message->{attempts}, 2, 'a server that says 451 is asked again');
my @twice = $sink->wait_for(smtp => 2, sub { $sink->header($_[0], 'Message-ID') eq '<greylisted@shop.example>' });
is_deeply([ map { $_->{rcpt} } @twice ], [ ['c@shop.example'], ['greylist1@shop.example'] ], 'but only for those who are left');
is($twice[0]{data}, $twice[1]{data}, 'and the mail is the same');

# ---- connections ----
$id = enqueue($mail, 'dropped', to => 'drop@shop.example');
$message = ended($id, 'delivered');
is($message->{attempts}, 2, 'connection lost after the final dot: tried again');
@twice = $sink->wait_for(smtp => 2, sub { $sink->header($_[0], 'Message-ID') eq '<dropped@shop.example>' });
is(scalar(@twice), 2, 'so it arrives twice');
ok($twice[0]{dropped} && !$twice[1]{dropped}, 'since the server had taken it');
is($twice[0]{data}, $twice[1]{data}, 'with the same Message-ID and text');

foreach my $fault (qw(greet-421 mail-421 rcpt-421 defer-data defer-dot drop-data))
{
	my $faulty = ec_sink('--fault' => "$fault:1");
	my $endpoint = endpoint($faulty, breaker => '0');
	my @ids = map { enqueue($endpoint, "$fault-$_", to => "$_\@shop.example") } 1 .. 5;
	ended($_, 'delivered') for @ids;
	my @got = $faulty->wait_for(smtp => 5);
	is(join(' ', sort map { $_->{rcpt}[0] } @got), join(' ', map { "$_\@shop.example" } 1 .. 5), "$fault: each of five mails arrives once");
	$faulty->stop;
}

foreach my $fault (qw(refuse-mail refuse-data refuse-dot))
{
	my $faulty = ec_sink('--fault' => "$fault:1");
	my $endpoint = endpoint($faulty, breaker => '0', concurrency => 1);
	my @ids = map { enqueue($endpoint, "$fault-$_", to => "$_\@shop.example") } 1 .. 5;
	ec_wait_for(sub { !grep { message($_)->{state} !~ /^(delivered|dead)$/ } @ids }, "$fault: all to end");
	is(scalar(grep { message($_)->{state} eq 'dead' } @ids), 1, "$fault: one mail is refused for good");
	is(scalar($faulty->wait_for(smtp => 4)), 4, "$fault: the others of the connection are not");
	$faulty->stop;
}

# no mail of 200 is charged with a try because the server ends connections
my $short = ec_sink('--fault' => 'mails:3');
my $limited = endpoint($short, concurrency => 2);
$node->safe_psql(
	'postgres', qq{
	SELECT count(ecauto.enqueue('$limited', jsonb_build_object('to', n || '\@shop.example', 'text', 'x', 'subject', 'x')))
	FROM generate_series(1, 200) n});
ok(ec_wait($node, 'postgres', "SELECT count(*) FROM ecauto.messages('$limited', 'delivered')", '200'), 'a server that takes three mails per connection gets all 200');
is($node->safe_psql('postgres', "SELECT max(attempts) FROM ecauto.messages('$limited')"), 1, 'with one try each');
is(scalar($short->mails), 200, 'once each');
$short->stop;

# a server that closes idle connections
my $impatient = ec_sink('--fault' => 'idle-close:20');
my $closing = endpoint($impatient);
foreach my $n (1 .. 3)
{
	is(ended(enqueue($closing, "idle-$n", to => 'a@shop.example'), 'delivered')->{attempts}, 1, 'a connection that was closed while idle costs no try');
	ec_wait_for(sub { $impatient->stats->{open} <= 1 }, 'the idle connection to be closed');
}
$impatient->stop;

# ---- servers that offer little ----
my $plain = ec_sink('--without' => 'PIPELINING', '--without' => 'SIZE', '--without' => '8BITMIME', '--without' => 'SMTPUTF8');
my $poor = endpoint($plain);
$id = enqueue($poor, 'no-pipelining', to => [ 'refuse@shop.example', 'a@shop.example', 'greylist2@shop.example' ]);
is(ended($id, 'delivered')->{attempts}, 2, 'without PIPELINING all goes the same way');
@twice = $plain->wait_for(smtp => 2);
is_deeply([ map { $_->{rcpt} } @twice ], [ ['a@shop.example'], ['greylist2@shop.example'] ], 'step by step');
is($twice[0]{parameters}, '', 'and without parameters that were not offered');
$id = enqueue($poor, 'utf8-impossible', to => "\x{17c}\@shop.example");
like(ended($id, 'dead')->{last_error}, qr/does not offer SMTPUTF8/, 'an address that the server cannot take');
$plain->stop;

my $old = ec_sink('--without' => 'ESMTP');
ended(enqueue(endpoint($old), 'helo', to => 'a@shop.example'), 'delivered');
is(scalar($old->mails), 1, 'a server that knows HELO only');
$old->stop;

my $small = ec_sink('--max-size' => 1000);
$id = enqueue(endpoint($small), 'too-big', to => 'a@shop.example', text => 'x' x 2000);
like(ended($id, 'dead')->{last_error}, qr/^the mail has \d+ bytes, and the mail server takes no more than 1000$/, 'a mail beyond SIZE is not sent at all');
is($small->stats->{recipients}, 0, 'indeed');
$small->stop;

# ---- servers that demand much ----
my $closed = ec_sink('--auth' => 'shop:sec:ret');
$id = enqueue(endpoint($closed, user => 'shop', password => 'sec:ret'), 'auth', to => 'a@shop.example');
ended($id, 'delivered');
is(($closed->mails)[0]{user}, 'shop', 'AUTH');
$id = enqueue(endpoint($closed, user => 'shop', password => 'wrong-secret'), 'auth-wrong', to => 'a@shop.example');
$message = tried($id);
is($message->{last_error}, 'mail server refused the user name or password: 535 5.7.8 user name or password is wrong', 'a wrong password');
is($message->{last_status}, 535, 'with its status');
$id = enqueue(endpoint($closed), 'auth-none', to => 'a@shop.example');
like(tried($id)->{last_error}, qr/^530 /, 'no password where one is needed: may work when somebody has added it');
$closed->stop;

$id = enqueue(endpoint($sink, starttls => 'require'), 'starttls', to => 'a@shop.example');
is(tried($id)->{last_error}, 'mail server does not offer STARTTLS, and option starttls of the endpoint requires it', 'STARTTLS that is required but not offered');
ok(!grep({ $sink->header($_, 'Message-ID') eq '<starttls@shop.example>' } $sink->mails), 'nothing is sent in the clear');

$sink->stop;
$id = enqueue($mail, 'down', to => 'a@shop.example');
like(tried($id)->{last_error}, qr/^could not connect to mail server: /, 'no server at all');
$sink->restart;
ended($id, 'delivered');
is(scalar($sink->mails), 1, 'it gets the mail when it is there again');

# ---- TLS ----
SKIP:
{
	skip 'IO::Socket::SSL is not installed', 6 unless eval { require EcTls; 1 };

	my $behind = ec_sink('--auth' => 'shop:secret');
	my %login = (user => 'shop', password => 'secret');
	my $smtps = EcTls->start(port => $behind->smtp_port);
	my $starttls = EcTls->start(port => $behind->smtp_port, starttls => 1);

	ended(enqueue(endpoint($smtps->port, scheme => 'smtps', ca_file => $smtps->ca_file, %login), 'smtps', to => 'a@shop.example'), 'delivered');
	is(($behind->wait_for(smtp => 1))[-1]{user}, 'shop', 'smtps, with an authority of our own');
	$id = enqueue(endpoint($smtps->port, scheme => 'smtps', ca_file => $starttls->ca_file, %login), 'smtps-unknown', to => 'a@shop.example');
	like(tried($id)->{last_error}, qr/^certificate of the mail server could not be verified: /, 'a certificate signed by another');
	ended(enqueue(endpoint($smtps->port, scheme => 'smtps', verify_peer => 'false', %login), 'smtps-any', to => 'a@shop.example'), 'delivered');
	is(scalar($behind->wait_for(smtp => 2)), 2, 'taken without verify_peer');
	ended(enqueue(endpoint($starttls->port, starttls => 'require', ca_file => $starttls->ca_file, %login), 'starttls-1', to => 'a@shop.example'), 'delivered');
	my $last = ($behind->wait_for(smtp => 3))[-1];
	is($last->{user}, 'shop', 'STARTTLS, then AUTH');
	like($last->{parameters}, qr/^SIZE=/, 'what the server offers is what it says after STARTTLS');

	my $endpoint = endpoint($starttls->port, starttls => 'try', ca_file => $starttls->ca_file, %login);
	$node->safe_psql(
		'postgres', qq{
		SELECT count(ecauto.enqueue('$endpoint', jsonb_build_object('to', n || '\@shop.example', 'subject', 'x', 'text', repeat('x', 100000))))
		FROM generate_series(1, 50) n});
	ok(ec_wait($node, 'postgres', "SELECT count(*) FROM ecauto.messages('$endpoint', 'delivered')", '50'), 'many and long ones through TLS');
	$_->stop for $smtps, $starttls;
}

# ---- secrets stay where they are ----
is( $node->safe_psql(
		'postgres', q{
		SELECT count(*)
		FROM ecauto.messages() m
		CROSS JOIN ecauto.message(m.id) x
		WHERE x::text LIKE '%sec:ret%' OR x::text LIKE '%wrong-secret%'}),
	'0',
	'no message shows a password');
$node->stop;
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
is(scalar(grep { !/CREATE USER MAPPING|LIKE/ } $log =~ /^.*(?:sec:ret|wrong-secret).*$/mg), 0, 'nor does the log, but for the statements that set them');

done_testing();

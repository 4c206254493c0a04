# Messages reach an HTTP service: what is sent, what an answer means, who may
# see what.  Without preload: ecauto.deliver() does all of it by hand.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256_hex);
use EcTest;
use JSON::PP qw(decode_json);
use POSIX qw(strftime);
use Test::More;

my $sink = ec_sink();
my $node = ec_node('main', preload => '', conf => { log_statement => 'none' });
my $db = 'postgres';
my $secret = 'sesame-open-4711';

sub sql { return $node->safe_psql($db, $_[0]); }

sub server
{
	my ($name, $path, $options) = @_;
	my $url = $sink->http_url($path);
	sql("CREATE SERVER $name FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '$url'" . ($options ? ", $options" : '') . ')');
	return;
}

# as if so much time had passed
sub deliver_after
{
	my ($interval) = @_;
	return sql("SELECT set_config('ecauto.clock', (clock_timestamp() + '$interval')::text, false) \\g /dev/null\nSELECT * FROM ecauto.deliver()");
}

sub state_of { return sql("SELECT state FROM ecauto.message($_[0])"); }

server('shop', '/api');
server('flaky', '/flaky/2');
server('gone', '/s/404');
server('later', '/s/429/2');

# ---- what is sent ----
is(sql('SELECT * FROM ecauto.deliver()'), '0|0|0', 'nothing to deliver');
my $id = sql(q{SELECT ecauto.enqueue('shop', '{"order": "SO-1", "name": "Łódź"}', 'order-1', '/orders?notify=1')});
is(sql('SELECT * FROM ecauto.deliver()'), '1|0|0', 'one message is delivered');
my ($request) = $sink->wait_for(http => 1);
is($request->{method}, 'POST', 'by POST');
is($request->{path}, '/api/orders?notify=1', 'to the path below the url');
is($request->{headers}{'idempotency-key'}, 'order-1', 'with the key');
is($request->{headers}{'content-type'}, 'application/json', 'as JSON');
is_deeply(decode_json(do { utf8::encode(my $b = $request->{body}); $b }), { order => 'SO-1', name => "\x{141}\x{f3}d\x{17a}" }, 'that is the payload, in UTF-8');
is($request->{headers}{authorization}, undef, 'without credentials, since there are none');
is(sql("SELECT state, attempts, last_status, answer FROM ecauto.message($id)"), 'delivered|1|200|{"ok":true}', 'and the answer is kept');
is(sql('SELECT count(*) FROM ecauto_data.outbox'), '0', 'a finished message leaves the hot table');
is(sql(q{SELECT ecauto.enqueue('shop', '{}', 'order-1')}), $id, 'its key still means the same message');
is(sql('SELECT * FROM ecauto.deliver()'), '0|0|0', 'which is not sent again');

$sink->reset;
sql(q{SELECT ecauto.enqueue('shop', '{"a": "b c&d", "n": 1.50}', 'form', '/form', body => 'form', method => 'PUT',
	headers => '{"X-Shop": "one", "X-Empty": ""}')});
sql(q{SELECT ecauto.enqueue('shop', '"plain words"', 'text', '/text', body => 'text')});
sql(q{SELECT ecauto.enqueue('shop', '{}', 'get', '/get', method => 'GET')});
sql('SELECT ecauto.deliver()');
my %by_key = map { $_->{headers}{'idempotency-key'} => $_ } $sink->wait_for(http => 3);
is($by_key{form}{method}, 'PUT', 'another method');
is($by_key{form}{body}, 'a=b+c%26d&n=1.50', 'a form');
is($by_key{form}{headers}{'content-type'}, 'application/x-www-form-urlencoded', 'that says so');
is($by_key{form}{headers}{'x-shop'}, 'one', 'with a header of the sender');
is($by_key{form}{headers}{'x-empty'}, '', 'and one without a value');
is($by_key{text}{body}, 'plain words', 'a text');
is($by_key{get}{method}, 'GET', 'no body at all');
is($by_key{get}{body}, '', 'in a GET');

# ---- what an answer means ----
$sink->reset;
$id = sql(q{SELECT ecauto.enqueue('flaky', '{}', 'again')});
is(sql('SELECT * FROM ecauto.deliver()'), '0|1|0', 'a 500 is tried again');
is(sql("SELECT state, attempts, last_status, last_error FROM ecauto.message($id)"), 'retry|1|500|HTTP status 500', 'later');
deliver_after($_) for '1 h', '2 h';
is(state_of($id), 'delivered', 'until it works');
is_deeply([ map { $_->{headers}{'idempotency-key'} } $sink->requests ], [ ('again') x 3 ], 'with the same key each time');

$id = sql(q{SELECT ecauto.enqueue('gone', '{}')});
is(sql('SELECT * FROM ecauto.deliver()'), '0|0|1', 'a 404 is final');
is(sql("SELECT state, attempts, last_status, last_error FROM ecauto.message($id)"), 'dead|1|404|HTTP status 404', 'and the reason is kept');
sql("ALTER SERVER gone OPTIONS (SET url '" . $sink->http_url('/ok') . "')");
is(sql(q{SELECT ecauto.redrive('gone', error => '%500%')}), '0', 'redrive by another error');
is(sql(q{SELECT ecauto.redrive('gone')}), '1', 'redrive');
is(sql('SELECT * FROM ecauto.deliver()'), '1|0|0', 'tries it again');
is(state_of($id), 'delivered', 'and it arrives');

$id = sql(q{SELECT ecauto.enqueue('later', '{}')});
sql('SELECT ecauto.deliver()');
is(sql("SELECT next_at - created_at >= '2 s' FROM ecauto.message($id)"), 't', 'Retry-After is obeyed');
server('dated', '/s/503/' . strftime('%a,_%d_%b_%Y_%H:%M:%S_GMT', gmtime(time + 1000)));
my $dated = sql(q{SELECT ecauto.enqueue('dated', '{}')});
sql('SELECT ecauto.deliver()');
is(sql("SELECT next_at - created_at > '900 s' AND next_at - created_at <= '1002 s' FROM ecauto.message($dated)"), 't', 'as a date, too');
is(sql("SELECT ecauto.cancel($dated)"), 't', 'enough of it');
is(sql("SELECT ecauto.cancel($id), ecauto.cancel($id)"), 't|f', 'a message that waits can be cancelled, once');
is(state_of($id), 'cancelled', 'and is');

# a rate lets through what it says at once, and then no more than that a second
$sink->reset;
server('paced', '/ok', "rate '4/s'");
sql("SELECT ecauto.enqueue('paced', '{}') FROM generate_series(1, 12)");
my $begun = time;
for (1 .. 100)
{
	last if sql(q{SELECT count(*) FROM ecauto.messages('paced', 'delivered')}) == 12;
	sql('SELECT ecauto.deliver()');
}
is(sql(q{SELECT count(*) FROM ecauto.messages('paced', 'delivered')}), '12', 'all leave under a rate');
cmp_ok(time - $begun, '>=', 1, 'twelve at four a second not at once');

$sink->reset;
server('moved', '/redirect');
$id = sql("SELECT ecauto.enqueue('moved', '{}', path => '?" . $sink->http_url('/target') . "')");
sql('SELECT ecauto.deliver()');
is(sql("SELECT state, last_status FROM ecauto.message($id)"), 'dead|302', 'a redirect is not followed');
is(scalar(grep { $_->{path} =~ /^.target/ } $sink->requests), 0, 'not at all');

server('big', '/big/100000000');
$id = sql(q{SELECT ecauto.enqueue('big', '{}')});
sql('SELECT ecauto.deliver()');
is(sql("SELECT state, octet_length(answer) <= 4096 FROM ecauto.message($id)"), 'delivered|t', 'of an endless answer only the beginning is read');

server('loris', '/slow/400', "timeout '1s'");
server('hang', '/hang', "timeout '500ms'");
server('cut', '/close');
server('drop', '/drop');
sql("SELECT ecauto.enqueue(e, '{}') FROM unnest('{loris,hang,cut,drop}'::text[]) e");
is(sql('SELECT * FROM ecauto.deliver()'), '0|4|0', 'too slow, silent, cut off, closed: tried again');
is(sql(q{SELECT string_agg(endpoint || ' ' || state, ', ' ORDER BY id) FROM ecauto.messages() WHERE endpoint IN ('loris', 'hang', 'cut', 'drop')}),
	'loris retry, hang retry, cut retry, drop retry', 'all of them');
sql("SELECT ecauto.cancel(id) FROM ecauto.messages(state => 'retry')");

# ---- TLS ----
SKIP:
{
	skip 'IO::Socket::SSL is not installed', 4 unless eval { require EcTls; 1 };
	my $tls = EcTls->start(port => $sink->http_port);
	my $other = EcTls->start(port => $sink->http_port);
	my $url = 'https://127.0.0.1:' . $tls->port . '/ok';
	sql("CREATE SERVER tls_$_->[0] FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '$url'" . ($_->[1] ? ", $_->[1]" : '') . ')')
	  for [ 'system', '' ], [ 'own', "ca_file '" . $tls->ca_file . "'" ], [ 'other', "ca_file '" . $other->ca_file . "'" ], [ 'off', "verify_peer 'off'" ];
	for my $case ([ 'own', '1|0|0', 'a server with a certificate of its own CA' ], [ 'system', '0|1|0', 'which the system does not know' ],
		[ 'other', '0|1|0', 'nor does another CA' ], [ 'off', '1|0|0', 'unless nobody looks' ])
	{
		my ($name, $counts, $what) = @$case;
		sql("SELECT ecauto.enqueue('tls_$name', '{}')");
		is(sql('SELECT * FROM ecauto.deliver()'), $counts, $what);
		sql("SELECT ecauto.cancel(id) FROM ecauto.messages(state => 'retry')");
	}
	$_->stop for $tls, $other;
}

# ---- limits of an endpoint ----
server('impatient', '/s/503', "max_attempts '2', breaker '0'");
$id = sql(q{SELECT ecauto.enqueue('impatient', '{}')});
sql('SELECT ecauto.deliver()');
deliver_after('1 h');
is(sql("SELECT state, attempts, last_error FROM ecauto.message($id)"), 'dead|2|gave up after 2 tries: HTTP status 503', 'max_attempts');
server('brief', '/s/503', "give_up_after '1h'");
$id = sql(q{SELECT ecauto.enqueue('brief', '{}')});
sql('SELECT ecauto.deliver()');
is(state_of($id), 'retry', 'within give_up_after');
deliver_after('2 h');
is(state_of($id), 'dead', 'after it');

server('fragile', '/s/500', "breaker '3', concurrency '1'");
sql(q{SELECT ecauto.enqueue('fragile', '{}') FROM generate_series(1, 20)});
is(sql('SELECT * FROM ecauto.deliver()'), '0|3|0', 'the circuit breaker opens after failures in a row');
is(sql(q{SELECT state, waiting, retry FROM ecauto.outbox_status() WHERE endpoint = 'fragile'}), 'failing|20|3', 'and is shown');
sql("SELECT ecauto.cancel(id) FROM ecauto.messages('fragile')");

# how long one took is known to 10 percent
server('waits', '/delay/300');
$id = sql(q{SELECT ecauto.enqueue('waits', '{}')});
sql('SELECT ecauto.deliver()');
is(sql(qq{SELECT latency_p50 >= 300 AND latency_p50 = latency_p99 AND latency_p50 <= 1.1 * 1000 * extract(epoch FROM m.finished_at - m.created_at)
	FROM ecauto.outbox_status() s, ecauto.messages('waits') m WHERE s.endpoint = 'waits' AND m.id = $id}), 't', 'how long a delivery took is known to a tenth');
is(sql(q{SELECT delivered_hour = delivered AND failed_hour = retried + dead AND latency_p50 <= latency_p99 AND delivered > 0 FROM ecauto.outbox_status() WHERE endpoint = 'shop'}), 't', 'the hour is counted, too');
is(sql(q{SELECT delivered, retried, dead, last_error FROM ecauto.outbox_status() WHERE endpoint = 'gone'}), '1|0|1|HTTP status 404', 'and what failed');

$sink->reset;
is(sql(q{SELECT ecauto.pause_endpoint('shop')}), 't', 'pause');
$id = sql(q{SELECT ecauto.enqueue('shop', '{}', 'paused')});
is(sql('SELECT * FROM ecauto.deliver()'), '0|0|0', 'nothing is sent to a paused endpoint');
is(sql(q{SELECT ecauto.resume_endpoint('shop'), (SELECT delivered FROM ecauto.deliver())}), 't|0', 'resume in a transaction that has not committed');
is(sql('SELECT * FROM ecauto.deliver()'), '1|0|0', 'and after it has');

# ---- order, priority, time ----
$sink->reset;
server('one', '/ok', "concurrency '1'");
sql(q{SELECT ecauto.enqueue('one', '{}', 'p' || p || n, priority => p) FROM generate_series(1, 3) n, unnest('{-1,0,1}'::int[]) p});
sql('SELECT ecauto.deliver()');
is(join(' ', map { $_->{headers}{'idempotency-key'} } $sink->requests), 'p11 p12 p13 p01 p02 p03 p-11 p-12 p-13', 'priority first, then age');

$sink->reset;
server('ordered', '', "breaker '0'");
sql(q{SELECT ecauto.enqueue('ordered', '{}', e || n, CASE WHEN e = 'a' AND n = 2 THEN '/flaky/1' ELSE '/ok' END, entity => e)
	FROM generate_series(1, 4) n, unnest('{a,b}'::text[]) e});
is(sql('SELECT * FROM ecauto.deliver()'), '5|1|0', 'a failing message holds its own entity only');
deliver_after('1 h');
my @order = map { $_->{headers}{'idempotency-key'} } $sink->requests;
is(join(' ', grep { /^a/ } @order), 'a1 a2 a2 a3 a4', 'and the entity leaves in order');
is(join(' ', grep { /^b/ } @order), 'b1 b2 b3 b4', 'as does the other');

$sink->reset;
$id = sql(q{SELECT ecauto.enqueue('shop', '{}', 'future', not_before => '2099-01-01 00:00+00')});
is(sql('SELECT * FROM ecauto.deliver()'), '0|0|0', 'not before its time');
is(sql("SET ecauto.clock = '2099-01-01 00:00:01+00'; SELECT delivered FROM ecauto.deliver()"), '1', 'but then');
$id = sql(q{SELECT ecauto.enqueue('shop', '{}', expires_at => '2099-01-01 00:00+00', not_before => '2098-01-01 00:00+00')});
sql("SET ecauto.clock = '2099-01-01 00:00:01+00'; SELECT ecauto.deliver()");
is(sql("SELECT state, attempts, last_error FROM ecauto.message($id)"), 'dead|0|expired before it could be delivered', 'not after its time');

# ---- still wanted? ----
sql(q{CREATE FUNCTION public.wanted(id bigint) RETURNS text LANGUAGE sql AS $$ SELECT CASE WHEN id % 2 = 0 THEN 'order was cancelled' END $$});
sql(q{SELECT ecauto.enqueue('shop', '{}', wanted => 'public.wanted(bigint)') FROM generate_series(1, 4)});
is(sql('SELECT delivered FROM ecauto.deliver()'), '2', 'a message is sent only if its function still wants it');
is(sql(q{SELECT count(*) FROM ecauto.messages('shop', 'cancelled') WHERE last_error = 'order was cancelled'}), '2', 'else it is cancelled and says why');

# ---- secrets and rights ----
$sink->reset;
sql("CREATE USER MAPPING FOR PUBLIC SERVER shop OPTIONS (bearer_token '$secret', hmac_secret '$secret')");
sql("CREATE ROLE clerk LOGIN; CREATE ROLE other LOGIN; GRANT USAGE ON SCHEMA ecauto TO clerk, other; GRANT USAGE ON FOREIGN SERVER shop TO clerk");
my $clerks = sql(q{SET ROLE clerk; SELECT ecauto.enqueue('shop', '{"from": "clerk"}', 'clerk')});
sql('SELECT ecauto.deliver()');
($request) = $sink->wait_for(http => 1);
is($request->{headers}{authorization}, "Bearer $secret", 'credentials come from the user mapping');
my ($t, $v1) = $request->{headers}{'x-ecauto-signature'} =~ /^t=(\d+),v1=([0-9a-f]{64})$/;
is($v1, hmac_sha256_hex("$t.$request->{body}", $secret), 'the signature is that of time and body');
sql("CREATE USER MAPPING FOR clerk SERVER shop OPTIONS (username 'clerk', password 'pw')");
sql(q{SET ROLE clerk; SELECT ecauto.enqueue('shop', '{}', 'clerk2')});
sql('SELECT ecauto.deliver()');
($request) = $sink->wait_for(http => 1, sub { $_[0]{headers}{'idempotency-key'} eq 'clerk2' });
is($request->{headers}{authorization}, 'Basic Y2xlcms6cHc=', "the sender's own mapping goes first");

sub refused
{
	my ($role, $statement, $state, $what) = @_;
	my ($got, $message) = ec_sqlstate($node, $db, "SET ROLE $role;\n$statement;");
	is($got, $state, $what);
	unlike($message, qr/\Q$secret\E/, '... and no secret is told');
	return;
}
refused('other', q{SELECT ecauto.enqueue('shop', '{}')}, '42501', 'enqueue without USAGE on the server');
refused('other', "SELECT * FROM ecauto.message($clerks)", '42501', "another role's message");
refused('other', "SELECT ecauto.cancel($clerks)", '42501', 'cancelling it');
refused('other', q{SELECT ecauto.redrive('shop')}, '42501', 'redrive');
refused('other', q{SELECT ecauto.deliver()}, '42501', 'deliver');
refused('other', q{SELECT ecauto.pause_endpoint('shop')}, '42501', 'pause');
refused('other', q{SELECT * FROM ecauto.outbox_status()}, '42501', 'the status of the outbox');
refused('other', q{SELECT * FROM ecauto_data.outbox_history}, '42501', 'the tables');
refused('clerk', q{SELECT umoptions FROM pg_user_mapping}, '42501', 'the secrets');
is(sql(q{SET ROLE clerk; SELECT count(*), count(DISTINCT sender) FROM ecauto.messages()}), '2|1', 'a role sees its own messages');
is(sql(q{SET ROLE other; SELECT count(*) FROM ecauto.messages()}), '0', 'and no others');
is(sql(q{SET ROLE other; SELECT count(*) FROM pg_user_mappings WHERE umoptions IS NOT NULL}), '0', 'and no secrets');
is(sql("SELECT count(*) FROM ecauto.messages() m, ecauto.message(m.id) d WHERE d::text LIKE '%$secret%'"), '0', 'no message holds a secret');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/\Q$secret\E/, 'nor does the log');

# ---- what deliver() sees, and its limits ----
sql(q{SELECT ecauto.enqueue('shop', '{}', 'defaults'); ALTER DATABASE postgres SET default_transaction_isolation = 'serializable';
	ALTER DATABASE postgres SET default_transaction_read_only = on});
is(sql('SET default_transaction_read_only = off; SELECT * FROM ecauto.deliver()'), '1|0|0', 'defaults of the database do not matter');
sql('SET default_transaction_read_only = off; ALTER DATABASE postgres RESET ALL');
is(sql(q{BEGIN; SELECT ecauto.enqueue('shop', '{}', 'own') \g /dev/null
SELECT delivered FROM ecauto.deliver(); ROLLBACK}), '0', 'deliver() does not see what its own transaction enqueued');
is(sql(q{SELECT count(*) FROM ecauto.messages() WHERE key = 'own'}), '0', 'and nothing remains of a transaction rolled back');
is(sql(q{SELECT count(ecauto.enqueue('shop', jsonb_build_object('n', n))) FROM generate_series(1, 10000) n}), '10000', 'many in one statement');
is(sql('SELECT * FROM ecauto.deliver()'), '10000|0|0', 'all delivered');
$node->append_conf('postgresql.conf', "max_worker_processes = 0\n");
$node->restart;
my ($state, $message) = ec_sqlstate($node, $db, 'SELECT ecauto.deliver();');
is($state, '53000', 'no slot for a background process');
like($message, qr/max_worker_processes/, 'is an error that names the setting');

$node->stop;
done_testing();

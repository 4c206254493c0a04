# What must not hold up delivery: a tick that takes long, a call of deliver()
# that was given up, a process that is short of file descriptors.
use strict;
use warnings;
use EcTest;
use Test::More;

my $sink = ec_sink();
my $node = ec_node('main', conf => { 'ecauto.databases' => 'postgres', 'ecauto.settle_time' => '0', 'ecauto.worker_naptime' => '1s' });

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub drained { return ec_wait($node, 'postgres', "SELECT count(*) = 0 FROM ecauto_data.outbox WHERE endpoint = '$_[0]'"); }
sub worker { return sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'ecauto delivery'}); }

sql("CREATE SERVER web FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->http_url . "', concurrency '100', breaker '0')");

# ---- a tick that takes long ----
sql(q{
	CREATE TABLE stock (sku int PRIMARY KEY, qty int NOT NULL);
	CREATE TABLE gate (open boolean);
	INSERT INTO stock VALUES (1, 5);
	SELECT ecauto.bind_role('product', 'SELECT sku AS key, sku::text AS title FROM stock');
	SELECT ecauto.bind_role('sku', 'SELECT sku AS key, sku AS product_key, sku::text AS sku FROM stock WHERE NOT EXISTS (SELECT FROM gate)');
	SELECT ecauto.bind_role('price', 'SELECT sku AS key, ''EUR'' AS currency, 10.0 AS amount, true AS tax_included FROM stock');
	SELECT ecauto.bind_table('stock', 'stock', '{"key": "sku", "on_hand": "qty"}');
	SELECT ecauto.bind_source('sku', 'stock', 'sku');
	CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL, total numeric NOT NULL, placed timestamptz NOT NULL);
	CREATE TABLE order_line (id int PRIMARY KEY, order_id int NOT NULL, sku int NOT NULL, qty int NOT NULL);
	SELECT ecauto.bind_role('order', 'SELECT id AS key, customer AS customer_key, NULL::text AS email, ''EUR'' AS currency, total, placed AS placed_at, 0.0 AS paid FROM orders');
	SELECT ecauto.bind_source('order', 'orders', 'id');
	SELECT ecauto.bind_role('order_line', 'SELECT id AS key, order_id AS order_key, sku AS sku_key, qty, 1.0 AS unit_price FROM order_line');
	SELECT ecauto.attach_shop('custom')});
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; LOCK TABLE gate IN ACCESS EXCLUSIVE MODE');
sql('UPDATE stock SET qty = 6');
ok(ec_wait($node, 'postgres', q{SELECT count(*) > 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
	WHERE NOT l.granted AND l.relation = 'gate'::regclass AND a.backend_type = 'ecauto tick'}), 'the tick waits in the middle of its work');
sql(q{SELECT count(ecauto.enqueue('web', '{}', 'beside' || n, '/ok')) FROM generate_series(1, 200) n});
ok(drained('web'), 'and messages leave meanwhile');
is(sql(q{SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'gate'::regclass}), '1', 'while the tick still waits');
$holder->query_safe('ROLLBACK');
$holder->quit;

# ---- too few file descriptors ----
SKIP:
{
	skip 'there is no prlimit', 2 if system('prlimit --version >/dev/null 2>&1') != 0;
	$sink->reset;
	my $pid = worker();
	my @open = glob("/proc/$pid/fd/*");
	my ($limit) = `prlimit --pid $pid --nofile --output SOFT --noheadings` =~ /(\d+)/;
	# the soft limit only: to raise the hard one again is for root
	system('prlimit', '--pid', $pid, '--nofile=' . (@open + 8) . ':') == 0 or die 'prlimit failed';
	sql(q{SELECT count(ecauto.enqueue('web', '{}', 'few' || n, '/delay/20')) FROM generate_series(1, 300) n});
	$sink->wait_for(http => 50, sub { $_->{path} eq '/delay/20' });
	system('prlimit', '--pid', $pid, "--nofile=$limit:") == 0 or die 'prlimit failed';
	ok(drained('web'), 'a process without file descriptors to spare');
	is(sql(q{SELECT count(*) FROM ecauto.messages('web', 'delivered') WHERE key LIKE 'few%'}), '300', 'loses nothing');
}

# ---- deliver() is given up ----
sql('CREATE DATABASE other');
$node->safe_psql('other', "CREATE EXTENSION ecauto; SELECT ecauto.setup();
	CREATE SERVER hang FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->http_url('/hang') . "', timeout '10min');
	CREATE SERVER ok FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->http_url('/ok') . "');
	SELECT ecauto.enqueue('hang', '{}', 'stuck')");
my $caller = $node->background_psql('other', on_error_stop => 0);
$caller->{stdin} .= "SELECT ecauto.deliver();\n";
$caller->{run}->pump_nb;
$sink->wait_for(http => 1, sub { ($_->{headers}{'idempotency-key'} // '') eq 'stuck' });
is($node->safe_psql('other', q{SELECT state FROM ecauto.messages('hang')}), 'leased', 'deliver() waits for an answer');
sql(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT ecauto.deliver()%' AND backend_type = 'client backend'});
ok(ec_wait($node, 'other', q{SELECT state = 'retry' FROM ecauto.messages('hang')}), 'is cancelled, and gives the message back at once');
$caller->quit;

$node->stop;
done_testing();

# Nobody waits for another: an endpoint that hangs for its whole timeout with
# ten thousand messages waiting delays none of its neighbours', delivery goes
# on while the automation stands still, and the automation while delivery does.
use strict;
use warnings;
use EcTest;
use Test::More;

my $sink = ec_sink();
my $node = ec_node('main', conf => { 'ecauto.databases' => 'postgres', 'ecauto.settle_time' => '0', 'ecauto.worker_naptime' => '1s' });

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub server { sql("CREATE SERVER $_[0] FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->http_url($_[1]) . "'" . ($_[2] ? ", $_[2]" : '') . ')'); return; }
sub drained { return ec_wait($node, 'postgres', "SELECT count(*) = 0 FROM ecauto_data.outbox WHERE endpoint = '$_[0]'"); }
sub process { return sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'ecauto $_[0]'"); }

# ---- one that hangs, one whose tries all run into their timeout ----
server('hang', '/hang', "timeout '10min', breaker '0', concurrency '16'");
server('stall', '/hang', "timeout '300ms', breaker '0', concurrency '16', max_attempts '1000'");
server('prompt', '/ok');
sql(q{SELECT count(ecauto.enqueue('hang', '{}')) FROM generate_series(1, 10000)});
sql(q{SELECT count(ecauto.enqueue('stall', '{}')) FROM generate_series(1, 1000)});
$sink->wait_for(http => 16, sub { $_[0]{path} eq '/hang' });

# A thousand transactions, some hundreds a second, each with its time.
my $n = 1000;
sql("SELECT ecauto.enqueue('prompt', jsonb_build_object('t', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)) \\g /dev/null
SELECT pg_sleep(0.002) \\g /dev/null\n" x $n);
ok(drained('prompt'), 'while an endpoint hangs, another gets its messages');
my @latency = sort { $a <=> $b } map { $_->[2] * 1000 - $_->[1] / 1000 } grep { defined $_->[1] } $sink->arrivals(qr/\\"t\\": (\d+)/);
is(scalar(@latency), $n, 'all of them');
diag(sprintf('beside an endpoint that hangs with 10000 waiting: p50 %.1f ms, p99 %.1f ms from enqueue to arrival', $latency[ $n * 0.5 ], $latency[ $n * 0.99 ]));
cmp_ok($latency[ $n * 0.99 ], '<', 1000, 'without waiting for the other');
is(sql(q{SELECT count(*) FROM ecauto.messages('hang') WHERE state IN ('queued', 'leased')}), '10000', 'whose own messages all wait');
cmp_ok(sql(q{SELECT leased FROM ecauto.outbox_status() WHERE endpoint = 'hang'}), '<=', 32, 'of which few are leased');
is(sql(q{SELECT waiting FROM ecauto.outbox_status() WHERE endpoint = 'stall'}), '1000', 'as do those whose tries time out');
sql('DROP SERVER stall');

# ---- automation and delivery ----
sql(q{
	CREATE TABLE stock (sku int PRIMARY KEY, qty int NOT NULL);
	CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL, total numeric NOT NULL, placed timestamptz NOT NULL);
	CREATE TABLE order_line (id int PRIMARY KEY, order_id int NOT NULL, sku int NOT NULL, qty int NOT NULL);
	CREATE TABLE slow (seconds float8 NOT NULL);
	INSERT INTO stock VALUES (1, 5);
	INSERT INTO slow VALUES (0);
	SELECT ecauto.bind_role('product', 'SELECT sku AS key, sku::text AS title FROM stock');
	SELECT ecauto.bind_role('sku', 'SELECT sku AS key, sku AS product_key, sku::text AS sku FROM stock, (SELECT pg_sleep(seconds) FROM slow OFFSET 0) s');
	SELECT ecauto.bind_role('price', 'SELECT sku AS key, ''EUR'' AS currency, 10.0 AS amount, true AS tax_included FROM stock');
	SELECT ecauto.bind_table('stock', 'stock', '{"key": "sku", "on_hand": "qty"}');
	SELECT ecauto.bind_source('sku', 'stock', 'sku');
	SELECT ecauto.bind_role('order', 'SELECT id AS key, customer AS customer_key, NULL::text AS email, ''EUR'' AS currency, total, placed AS placed_at, 0.0 AS paid FROM orders');
	SELECT ecauto.bind_source('order', 'orders', 'id');
	SELECT ecauto.bind_role('order_line', 'SELECT id AS key, order_id AS order_key, sku AS sku_key, qty, 1.0 AS unit_price FROM order_line');
	SELECT ecauto.attach_shop('custom')});

sub changes { return sql(q{SELECT count(*) FROM ecauto.events(kind => 'stock.changed')}); }

# a role query that takes an hour
sql('UPDATE slow SET seconds = 3600');
sql('UPDATE stock SET qty = 4');
ok(ec_wait($node, 'postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'ecauto tick' AND wait_event = 'PgSleep'}), 'a role query that takes an hour');
is(sql(q{SELECT query FROM pg_stat_activity WHERE backend_type = 'ecauto tick'}), 'running ecauto.tick()', '... and the activity says what is going on');
sql(q{SELECT count(ecauto.enqueue('prompt', '{}', 'meanwhile' || n)) FROM generate_series(1, 1000) n});
ok(drained('prompt'), 'delays no message');
is(sql(q{SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'ecauto tick'}), 'PgSleep', 'and goes on');
sql('UPDATE slow SET seconds = 0');
sql('SELECT pg_cancel_backend(' . process('tick') . ')');
ok(ec_wait($node, 'postgres', q{SELECT count(*) = 1 FROM ecauto.events(kind => 'stock.changed')}), 'the change it was about is an event when it has been cancelled');

# processes that do nothing at all any more
my $tick = process('tick');
kill 'STOP', $tick or die "could not stop $tick";
sql(q{SELECT count(ecauto.enqueue('prompt', '{}', 'stopped' || n)) FROM generate_series(1, 1000) n});
ok(drained('prompt'), 'messages leave while the process of the automation is stopped');
kill 'CONT', $tick;
my $delivery = process('delivery');
kill 'STOP', $delivery or die "could not stop $delivery";
sql(q{SELECT ecauto.enqueue('prompt', '{}', 'later')});
sql('UPDATE stock SET qty = 3');
ok(ec_wait($node, 'postgres', q{SELECT count(*) = 2 FROM ecauto.events(kind => 'stock.changed')}), 'and the automation runs while that of the delivery is');
is(sql(q{SELECT state FROM ecauto.messages('prompt') WHERE key = 'later'}), 'queued', 'whose messages wait');
kill 'CONT', $delivery;
ok(drained('prompt'), 'until it goes on');

$node->stop;
done_testing();

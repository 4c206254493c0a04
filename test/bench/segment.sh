# What segments cost: a full refresh of 20 of them beside the SQL that somebody
# would write by hand over the shop's own tables for the same 20, a refresh
# after 1% of the customers changed, and one question.
#
# CUSTOMERS and ORDERS_EACH choose the size.
set -eu
. "$(dirname "$0")/measure.sh"
CUSTOMERS=${CUSTOMERS:-200000}
ORDERS_EACH=${ORDERS_EACH:-10}

start_server <<CONF
shared_preload_libraries = 'ecauto'
ecauto.settle_time = 0
ecauto.clock = '2026-07-01 00:00:00+00'
timezone = 'UTC'
shared_buffers = 1GB
work_mem = 64MB
max_wal_size = 8GB
checkpoint_timeout = 1h
autovacuum = off
max_parallel_workers_per_gather = 0
jit = off
CONF

run_sql -d postgres -c 'CREATE DATABASE shop'
psql -X -q -d shop -v ON_ERROR_STOP=1 -v n="$CUSTOMERS" -v each="$ORDERS_EACH" <<'SQL' >/dev/null
SET client_min_messages = warning;
CREATE EXTENSION ecauto;
CREATE SCHEMA shop;
SELECT setseed(0.5);
CREATE TABLE shop.product (id int PRIMARY KEY, title text);
CREATE TABLE shop.variant (id int PRIMARY KEY, product_id int);
CREATE TABLE shop.price (variant_id int PRIMARY KEY, amount numeric);
CREATE TABLE shop.stock (variant_id int PRIMARY KEY, qty int);
CREATE TABLE shop.customer (id bigint PRIMARY KEY, email text, birth_date date, country text, created timestamptz);
CREATE TABLE shop.orders (id bigint PRIMARY KEY, customer_id bigint, total numeric, placed timestamptz);
CREATE TABLE shop.line (id bigint PRIMARY KEY, order_id bigint, variant_id int, qty int, amount numeric);
INSERT INTO shop.customer SELECT i, 'c' || i || '@shop.example', date '1950-01-01' + (random() * 20000)::int,
	(ARRAY['DE', 'PL', 'FR', 'IT', 'ES'])[1 + (random() * 4.99)::int], timestamptz '2022-01-01' + random() * interval '1600 days'
FROM generate_series(1, :n) i;
-- few customers order much: the square of a uniform number
INSERT INTO shop.orders SELECT i, 1 + (random() ^ 2 * (:n - 1))::bigint, round((5 + random() * random() * 300)::numeric, 2),
	timestamptz '2026-07-01' - random() * interval '1200 days'
FROM generate_series(1, :n * :each) i;
CREATE INDEX ON shop.orders (customer_id, placed);
VACUUM ANALYZE;
SET search_path = shop;
SELECT ecauto.bind_table('product', 'product', '{"key": "id", "title": "title"}');
SELECT ecauto.bind_table('sku', 'variant', '{"key": "id", "product_key": "product_id"}');
SELECT ecauto.bind_role('price', 'SELECT variant_id AS key, ''EUR'' AS currency, amount, true AS tax_included FROM price');
SELECT ecauto.bind_table('stock', 'stock', '{"key": "variant_id", "on_hand": "qty"}');
SELECT ecauto.bind_table('customer', 'customer', '{"key": "id", "email": "email", "birth_date": "birth_date", "country": "country", "created_at": "created"}');
SELECT ecauto.bind_role('order', 'SELECT id AS key, customer_id AS customer_key, ''EUR'' AS currency, total, placed AS placed_at, total AS paid FROM orders');
SELECT ecauto.bind_source('order', 'orders', 'id');
SELECT ecauto.bind_table('order_line', 'line', '{"key": "id", "order_key": "order_id", "sku_key": "variant_id", "qty": "qty", "unit_price": "amount"}');
SQL
echo "attach_shop(), history of $CUSTOMERS customers and $((CUSTOMERS * ORDERS_EACH)) orders: $(milliseconds "SELECT ecauto.attach_shop('custom', '{}', 'shop')") ms"
echo "first tick(): $(milliseconds 'SELECT ecauto.tick()') ms"
run_sql -d shop -c 'VACUUM ANALYZE'

# name | condition | the same by hand: a query of customers' ids
by_orders='SELECT customer_id AS id FROM shop.orders GROUP BY customer_id HAVING'
not_by_orders='SELECT c.id FROM shop.customer c LEFT JOIN shop.orders o ON o.customer_id = c.id GROUP BY c.id HAVING'
now="timestamptz '2026-07-01'"
cat > "$BENCH/segments" <<SEGMENTS
recent30|customer.last_order_at >= ecauto.now() - interval '30 days'|$by_orders max(placed) >= $now - interval '30 days'
recent90|customer.last_order_at >= ecauto.now() - interval '90 days'|$by_orders max(placed) >= $now - interval '90 days'
lapsed180|customer.last_order_at < ecauto.now() - interval '180 days'|$by_orders max(placed) < $now - interval '180 days'
lapsed365|customer.last_order_at < ecauto.now() - interval '365 days'|$by_orders max(placed) < $now - interval '365 days'
spent100|customer.spent_total >= 100|$by_orders sum(total) >= 100
spent500|customer.spent_total >= 500|$by_orders sum(total) >= 500
spent1000|customer.spent_total >= 1000|$by_orders sum(total) >= 1000
orders3|customer.orders_count >= 3|$by_orders count(*) >= 3
orders10|customer.orders_count >= 10|$by_orders count(*) >= 10
once|customer.orders_count = 1|$by_orders count(*) = 1
never|customer.orders_count = 0|SELECT c.id FROM shop.customer c WHERE NOT EXISTS (SELECT FROM shop.orders o WHERE o.customer_id = c.id)
active90|customer.orders_count_90d >= 2|SELECT customer_id AS id FROM shop.orders WHERE placed >= $now - interval '90 days' GROUP BY 1 HAVING count(*) >= 2
active365|customer.orders_count_365d >= 4|SELECT customer_id AS id FROM shop.orders WHERE placed >= $now - interval '365 days' GROUP BY 1 HAVING count(*) >= 4
spent365|customer.spent_365d >= 300|SELECT customer_id AS id FROM shop.orders WHERE placed >= $now - interval '365 days' GROUP BY 1 HAVING sum(total) >= 300
young|date_part('year', age(ecauto.now(), customer.birth_date)) BETWEEN 25 AND 34|SELECT id FROM shop.customer WHERE date_part('year', age($now, birth_date)) BETWEEN 25 AND 34
poland|customer.country = 'PL'|SELECT id FROM shop.customer WHERE country = 'PL'
new60|customer.created_at >= ecauto.now() - interval '60 days'|SELECT id FROM shop.customer WHERE created >= $now - interval '60 days'
average|customer.average_order_value >= 60|$by_orders avg(total) >= 60
winback|customer.spent_total >= 300 AND customer.last_order_at < ecauto.now() - interval '90 days'|$by_orders sum(total) >= 300 AND max(placed) < $now - interval '90 days'
german3|customer.country = 'DE' AND customer.orders_count >= 3|SELECT c.id FROM shop.customer c JOIN shop.orders o ON o.customer_id = c.id WHERE c.country = 'DE' GROUP BY c.id HAVING count(*) >= 3
SEGMENTS

while IFS='|' read -r name condition query; do
	printf "SELECT ecauto.create_segment('%s', \$c\$%s\$c\$);\n" "$name" "$condition" >> "$BENCH/create.sql"
	printf 'INSERT INTO hand.member SELECT %s, x.id FROM (%s) x;\n' "'$name'" "$query" >> "$BENCH/hand.sql"
	printf "SELECT '%s' WHERE (SELECT array_agg(m ORDER BY m) FROM ecauto.segment_members('%s') m) IS DISTINCT FROM (SELECT array_agg(id::text ORDER BY id::text) FROM (%s) x);\n" "$name" "$name" "$query" >> "$BENCH/same.sql"
done < "$BENCH/segments"
start=$(date +%s)
run_sql -d shop -f "$BENCH/create.sql" >/dev/null
echo "20 times create_segment(), each looking at everybody: $(($(date +%s) - start)) s"
differing=$(run_sql -d shop -A -t -f "$BENCH/same.sql")
echo "segments whose members are not those of the SQL by hand: ${differing:-none}"
run_sql -d shop -c 'VACUUM ANALYZE'
echo "memberships: $(value 'SELECT sum(cardinality(member_of)) FROM ecauto_data.segment_state')"

for round in $(seq "$ROUNDS"); do
	note full "$(milliseconds 'SELECT * FROM ecauto.refresh_segments(true)')"
	run_sql -d shop -c 'DROP SCHEMA IF EXISTS hand CASCADE' -c 'CREATE SCHEMA hand' -c 'CREATE UNLOGGED TABLE hand.member (segment text, customer bigint)'
	note hand "$(psql -X -q -d shop -v ON_ERROR_STOP=1 -c '\timing on' -f "$BENCH/hand.sql" </dev/null | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | awk '{s += $1} END {print s}')"
	# each a new order; the events they lead to are part of it, reading the shop is not
	run_sql -d shop -c "INSERT INTO shop.orders SELECT 1000000000 + $round * 10000000 + c.id, c.id, 20, timestamptz '2026-06-30'
		FROM shop.customer c WHERE c.id % 100 = $round"
	note tick "$(milliseconds 'SELECT * FROM ecauto.tick()')"
	# the same customers again, with no edge left to tell
	run_sql -d shop -c "UPDATE ecauto_data.segment_setting SET change_no = change_no - 1"
	note some "$(milliseconds 'SELECT * FROM ecauto.refresh_segments()')"
	run_sql -d shop -c 'VACUUM ecauto_data.segment_state'
	note none "$(milliseconds 'SELECT * FROM ecauto.refresh_segments()')"
done
show full ms 'refresh_segments(true): 20 segments, nothing changed'
show hand ms 'by hand: INSERT ... SELECT for each of the 20'
show some ms 'refresh_segments(): facts of 1% changed'
show tick ms 'tick() with these 1%: orders, facts, segments, events'
show none ms 'refresh_segments(): nothing changed'
ratio full hand 'full / by hand (target: at most 2)'
ratio some full '1% changed / full (target: at most 0.05)'

cat > "$BENCH/ask.sql" <<'SQL'
\set id random(1, :customers)
SELECT ecauto.in_segment(:id::text, 'recent30');
SQL
cat > "$BENCH/ask_window.sql" <<'SQL'
\set id random(1, :customers)
SELECT ecauto.in_segment(:id::text, 'active90');
SQL
for script in ask ask_window; do
	echo "in_segment(), $script: $(pgbench -n -c 1 -T "$SECONDS_EACH" -D customers="$CUSTOMERS" -f "$BENCH/$script.sql" shop 2>/dev/null | sed -n 's/^latency average = //p') with the round trip"
done
run_sql -d shop -c 'LOAD '"'auto_explain'" -c 'SET auto_explain.log_min_duration = 0' -c 'SET auto_explain.log_nested_statements = on' \
	-c 'SET auto_explain.log_analyze = on' -c 'SET client_min_messages = log' -c "SELECT ecauto.in_segment('7', 'active90')" 2>&1 | grep -E 'Scan|actual' | head -30

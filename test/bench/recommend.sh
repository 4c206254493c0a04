# What recommendations cost: a build beside the SQL self-join that only counts
# pairs and takes the top 50; a thousand new orders; how a build grows with its
# lines; and single questions beside a SELECT by primary key.
#
# ORDERS chooses the size: five lines each, 10,000 skus (log-uniform, as Zipf),
# two orders a customer.  GROWTH=1 builds from a tenth of it as well.
set -eu
. "$(dirname "$0")/measure.sh"
ORDERS=${ORDERS:-200000}

start_server <<CONF
shared_preload_libraries = 'ecauto'
ecauto.clock = '2027-01-01 00:00:00+00'
timezone = 'UTC'
shared_buffers = 1GB
work_mem = 64MB
maintenance_work_mem = 256MB
max_wal_size = 8GB
checkpoint_timeout = 1h
autovacuum = off
max_parallel_workers_per_gather = 0
jit = off
CONF

run_sql -d postgres -c 'CREATE DATABASE shop'
psql -X -q -d shop -v ON_ERROR_STOP=1 -v n="$ORDERS" <<'SQL' >/dev/null
SET client_min_messages = warning;
CREATE EXTENSION ecauto;
SELECT setseed(0.5);
CREATE TABLE product AS SELECT i AS id, 'Item ' || i AS title FROM generate_series(0, 9999) i;
ALTER TABLE product ADD PRIMARY KEY (id);
CREATE TABLE stock AS SELECT id, 10 AS qty FROM product;
ALTER TABLE stock ADD PRIMARY KEY (id);
CREATE TABLE orders AS SELECT i AS id, i % (:n / 2) AS customer, timestamptz '2026-01-01' + i * interval '2 minutes' AS placed FROM generate_series(1, :n) i;
ALTER TABLE orders ADD PRIMARY KEY (id);
CREATE TABLE line AS SELECT n AS id, 1 + n % :n AS order_id, (power(10000, random()) - 1)::int % 10000 AS sku FROM generate_series(1, 5 * :n) n;
CREATE INDEX ON line (order_id);
SELECT ecauto.bind_table('product', 'product', '{"key": "id", "title": "title"}');
SELECT ecauto.bind_role('sku', 'SELECT id AS key, id AS product_key FROM product');
SELECT ecauto.bind_role('price', 'SELECT id AS key, ''EUR'' AS currency, 1 AS amount, true AS tax_included FROM product');
SELECT ecauto.bind_table('stock', 'stock', '{"key": "id", "on_hand": "qty"}');
SELECT ecauto.bind_role('order', 'SELECT id AS key, customer AS customer_key, ''EUR'' AS currency, 1 AS total, placed AS placed_at, 1 AS paid FROM orders');
SELECT ecauto.bind_source('order', 'orders', 'id');
SELECT ecauto.bind_role('order_line', 'SELECT id AS key, order_id AS order_key, sku AS sku_key, 1 AS qty, 1 AS unit_price FROM line');
SELECT ecauto.attach_shop('custom');
SELECT ecauto.tick();
SQL
run_sql -d shop -c 'VACUUM ANALYZE'

# build NAME [WHERE]: the parts of one build, as it tells them itself
build()
{
	psql -X -q -d shop -c 'SET client_min_messages = debug1' -c 'SELECT * FROM ecauto.build_recommendations(100)' </dev/null 2>&1 |
		sed -n 's/.*lists of pairs took \([0-9]*\) ms, weights \([0-9]*\) ms more/\1 \2/p' > "$BENCH/parts"
	read -r lists weights < "$BENCH/parts"
	note "$1_lists" "$lists"
	note "$1_weights" "$weights"
}

for round in $(seq "$ROUNDS"); do
	build all
	note join "$(milliseconds 'CREATE TEMP TABLE peer AS SELECT a, b, n FROM (SELECT a.sku AS a, b.sku AS b, count(*) AS n,
		row_number() OVER (PARTITION BY a.sku ORDER BY count(*) DESC) AS r
		FROM ecauto_data.order_item a JOIN ecauto_data.order_item b ON b.order_key = a.order_key AND b.sku <> a.sku GROUP BY 1, 2) x WHERE r <= 50')"
	run_sql -d shop -c 'VACUUM'
done
show all_lists ms 'from tables to stored lists of pairs'
show all_weights ms 'two sets of weights at K = 100, more'
show join ms 'self-join and window: the top 50 pairs alone'
ratio join all_lists 'self-join / lists (target: 8)'

# a thousand orders that came, as the event and customer phases leave them
run_sql -d shop -c 'UPDATE ecauto_data.recommend_model SET rebuild_every = NULL, rebuild_share = NULL'
for round in $(seq "$ROUNDS"); do
	run_sql -d shop -c "INSERT INTO ecauto_data.seen_order (key, placed_at, is_paid, is_refunded, cancelled)
		SELECT 'n${round}_' || i, '2026-12-01', true, false, false FROM generate_series(1, 1000) i;
		INSERT INTO ecauto_data.order_item (order_key, sku, qty) SELECT DISTINCT 'n${round}_' || i, ((power(10000, random()) - 1)::int % 10000)::text, 1
		FROM generate_series(1, 1000) i, generate_series(1, 5) j;
		INSERT INTO ecauto_data.order_changed SELECT 'n${round}_' || i FROM generate_series(1, 1000) i"
	note absorb "$(milliseconds 'SELECT ecauto.refresh_recommendations()')"
	run_sql -d shop -c 'VACUUM'
done
show absorb ms '1,000 new orders brought into the lists (target: 50)'

if [ "${GROWTH:-0}" = 1 ]; then
	run_sql -d shop -c "DELETE FROM ecauto_data.order_item WHERE order_key !~ '[05]\$' OR order_key ~ '^n'" \
		-c "DELETE FROM ecauto_data.seen_order WHERE key !~ '[05]\$' OR key ~ '^n'" -c "DELETE FROM ecauto_data.order_item WHERE hashtext(order_key) % 2 = 0" \
		-c "DELETE FROM ecauto_data.seen_order WHERE hashtext(key) % 2 = 0" -c 'VACUUM FULL ecauto_data.order_item, ecauto_data.seen_order'
	for round in $(seq "$ROUNDS"); do build tenth; done
	show tenth_lists ms 'lists from a tenth of the lines'
	ratio all_lists tenth_lists 'ten times the lines'
	exit 0
fi

cat > "$BENCH/recommend.sql" <<'SQL'
\set c random(0, :customers - 1)
SELECT * FROM ecauto.recommend((:c)::text, 10);
SQL
cat > "$BENCH/also_bought.sql" <<'SQL'
\set c random(0, 9999)
SELECT * FROM ecauto.also_bought((:c)::text, 10);
SQL
cat > "$BENCH/key.sql" <<'SQL'
\set c random(0, 9999)
SELECT * FROM product WHERE id = :c;
SQL
for script in recommend also_bought key; do
	rm -f "$BENCH/$script.log".*
	pgbench -n -M prepared -c 1 -T "$SECONDS_EACH" -D customers="$((ORDERS / 2))" -l --log-prefix="$BENCH/$script.log" \
		-f "$BENCH/$script.sql" shop >/dev/null 2>&1
	awk '{print $3 / 1000}' "$BENCH/$script.log".* | sort -g > "$BENCH/$script.times"
	awk -v s="$script" '{v[NR] = $1} END {printf "%-20s 50th percentile %.3f ms, 99th %.3f ms, %d calls\n", s, v[int((NR + 1) * .5)], v[int((NR + 1) * .99)], NR}' "$BENCH/$script.times"
	awk '{v[NR] = $1} END {print v[int((NR + 1) * .5)]}' "$BENCH/$script.times" > "$BENCH/$script.figures"
done
ratio recommend key 'recommend() / SELECT by primary key'
ratio also_bought key 'also_bought() / SELECT by primary key (target: 3)'

# What a question costs, beside a SELECT by primary key: both as prepared
# statements of one session, so that both pay the same protocol; and the
# processor's time of a call, which does not grow when others use the machine.
#
# ORDERS chooses the size: five lines each, 10,000 skus (log-uniform, as Zipf),
# two orders a customer.  Everything may be shown, and is asked about.
set -eu
. "$(dirname "$0")/measure.sh"
ORDERS=${ORDERS:-200000}

start_server <<CONF
shared_preload_libraries = 'ecauto'
ecauto.clock = '2027-01-01 00:00:00+00'
timezone = 'UTC'
shared_buffers = 1GB
maintenance_work_mem = 256MB
max_wal_size = 8GB
checkpoint_timeout = 1h
autovacuum = off
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
SELECT ecauto.build_recommendations();
-- milliseconds of the processor that a call with a random number below range takes this backend
CREATE FUNCTION spent(question text, calls int, range int) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
	first float8;
BEGIN
	FOR i IN -200..calls LOOP
		IF i = 0 THEN
			first := spent();
		END IF;
		EXECUTE question USING ((i + 200) * 7919 % range)::text;
	END LOOP;
	RETURN round(((spent() - first) / calls)::numeric, 4);
END $$;
CREATE FUNCTION spent() RETURNS float8 LANGUAGE sql AS $$
	SELECT (p[14]::float8 + p[15]::float8) * 10 FROM string_to_array(pg_read_file('/proc/self/stat', 0, 4000), ' ') p $$;
SQL
run_sql -d shop -c 'VACUUM ANALYZE'

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
# in turns, so that all meet the same neighbours; the first round fills the caches
for round in $(seq 0 "$ROUNDS"); do
	for script in recommend also_bought key; do
		rm -f "$BENCH/$script.log".*
		pgbench -n -M prepared -c 1 -T "$SECONDS_EACH" -D customers="$((ORDERS / 2))" -l --log-prefix="$BENCH/$script.log" \
			-f "$BENCH/$script.sql" shop >/dev/null 2>&1
		[ "$round" -gt 0 ] || continue
		awk '{print $3 / 1000}' "$BENCH/$script.log".* | sort -g > "$BENCH/$script.times"
		note "$script" "$(awk '{v[NR] = $1} END {print v[int((NR + 1) * .5)]}' "$BENCH/$script.times")"
		note "$script.99" "$(awk '{v[NR] = $1} END {print v[int((NR + 1) * .99)]}' "$BENCH/$script.times")"
	done
done
for script in recommend also_bought key; do
	printf '%-20s 50th percentile %.3f ms, 99th %.3f ms\n' "$script" "$(median "$script")" "$(median "$script.99")"
done
ratio recommend key 'recommend() / SELECT by primary key'
ratio also_bought key 'also_bought() / SELECT by primary key (target: 3)'
echo "recommend(): $(value "SELECT spent('SELECT * FROM ecauto.recommend(\$1, 10)', 2000, $((ORDERS / 2)))") ms of processor a call"
echo "also_bought(): $(value "SELECT spent('SELECT * FROM ecauto.also_bought(\$1, 10)', 5000, 10000)") ms of processor a call"

# What a night of replenishment costs for 100,000 skus: a plan with a ready
# forecast beside one aggregate pass over the demand table, demand brought up to
# date after 1% of the skus were ordered, and the forecasts of all.
#
# SKUS chooses the size.  Nearly one sku in five is due: a shop that never
# ordered before.  Processor time of the server process, since others may use
# the machine.
set -eu
. "$(dirname "$0")/measure.sh"
SKUS=${SKUS:-100000}

start_server <<CONF
shared_preload_libraries = 'ecauto'
ecauto.settle_time = 0
ecauto.clock = '2026-07-01 03:00:00+00'
ecauto.timezone = 'UTC'
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
psql -X -q -d shop -v ON_ERROR_STOP=1 -v n="$SKUS" <<'SQL' >/dev/null
SET client_min_messages = warning;
CREATE EXTENSION ecauto;
CREATE SCHEMA shop;
SELECT setseed(0.5);
SET search_path = shop;
CREATE TABLE product (id int PRIMARY KEY, title text);
CREATE TABLE variant (id int PRIMARY KEY, product_id int, rate float8);
CREATE TABLE stock (variant_id int PRIMARY KEY, qty int);
CREATE TABLE orders (id int PRIMARY KEY, placed timestamptz);
CREATE TABLE line (id bigserial PRIMARY KEY, order_id int, variant_id int, qty int);
CREATE INDEX ON line (order_id);
INSERT INTO product SELECT i, 'Product ' || i FROM generate_series(1, :n / 5) i;
-- few sell much: orders a day from .003 to 2, most of them below .02
INSERT INTO variant SELECT i, 1 + (i - 1) / 5, 0.003 * exp(6.5 * random() ^ 3) FROM generate_series(1, :n) i;
INSERT INTO stock SELECT v.id, ceil(v.rate * 90 * random() + 4 * random()) FROM variant v;
SELECT ecauto.bind_table('product', 'product', '{"key": "id", "title": "title"}');
SELECT ecauto.bind_table('sku', 'variant', '{"key": "id", "product_key": "product_id"}');
SELECT ecauto.bind_role('price', 'SELECT id AS key, ''EUR'' AS currency, 10 AS amount, true AS tax_included FROM variant');
SELECT ecauto.bind_role('product_category', 'SELECT id AS key, id % 200 AS category_key FROM product');
SELECT ecauto.bind_table('stock', 'stock', '{"key": "variant_id", "on_hand": "qty"}');
SELECT ecauto.bind_role('order', 'SELECT id AS key, ''EUR'' AS currency, 10 AS total, placed AS placed_at, 10 AS paid, false AS cancelled FROM orders');
SELECT ecauto.bind_source('order', 'orders', 'id');
SELECT ecauto.bind_table('order_line', 'line', '{"key": "id", "order_key": "order_id", "sku_key": "variant_id", "qty": "qty", "unit_price": "10"}');
SELECT ecauto.attach_shop('custom', '{}', 'shop');
SELECT * FROM ecauto.tick();
SELECT ecauto.refresh_demand();
-- the past as demand at once, without its orders
INSERT INTO ecauto_data.demand (sku, day, units)
SELECT id::text, day, sum(units) FROM (
	SELECT v.id, date '2025-05-27' + (399.99 * random() + 0 * g)::int AS day, 1 + (random() ^ 4 * 3)::int AS units
	FROM variant v, generate_series(1, greatest(1, (v.rate * 400)::int)) g) x
GROUP BY 1, 2;
SELECT ecauto.set_supplier('alpha', '{"currency": "EUR", "lead_days": 5, "freight": 20, "free_freight_from": 2000, "send_as": "none"}');
SELECT ecauto.set_supplier('beta', '{"currency": "EUR", "lead_days": 8, "freight": 10, "send_as": "none"}');
INSERT INTO ecauto_data.offer (supplier, sku, breaks, prices, pack)
SELECT 'alpha', id::text, '{1,50}', ARRAY[5 + id % 7, 4.5 + id % 7], 1 + id % 6 FROM variant;
INSERT INTO ecauto_data.offer (supplier, sku, breaks, prices) SELECT 'beta', id::text, '{1}', ARRAY[5 + id % 5] FROM variant WHERE id % 2 = 0;
SQL
run_sql -d shop -c 'VACUUM ANALYZE'
echo "$SKUS skus, $(value 'SELECT count(*) FROM ecauto_data.demand') rows of demand, $(value 'SELECT count(*) FROM ecauto_data.offer') offers"

# processor NAME SQL: milliseconds
processor()
{
	note "$1" "$(psql -X -q -A -t -d shop -v ON_ERROR_STOP=1 <<SQL
SELECT split_part(pg_read_file('/proc/self/stat'), ' ', 14)::int + split_part(pg_read_file('/proc/self/stat'), ' ', 15)::int AS before \gset
$2 \g /dev/null
SELECT 10 * (split_part(pg_read_file('/proc/self/stat'), ' ', 14)::int + split_part(pg_read_file('/proc/self/stat'), ' ', 15)::int - :before);
SQL
)"
}

processor forecast 'SELECT ecauto.forecast_all()'
run_sql -d shop -c 'VACUUM ANALYZE ecauto_data.sku_forecast'
pass='SELECT count(u) FROM (SELECT sku, sum(units) AS u FROM ecauto_data.demand GROUP BY 1) x'
for round in $(seq "$ROUNDS"); do
	processor pass "$pass"
	processor plan 'SELECT count(*) FROM ecauto.plan_replenishment()'
	# each order of one sku in a hundred
	run_sql -d shop -c "INSERT INTO shop.orders SELECT $round * 1000000 + id, timestamptz '2026-06-30 12:00+00' FROM shop.variant WHERE id % 100 = $round" \
		-c "INSERT INTO shop.line (order_id, variant_id, qty) SELECT $round * 1000000 + id, id, 1 FROM shop.variant WHERE id % 100 = $round" \
		-c 'SELECT * FROM ecauto.tick()' >/dev/null
	processor refresh 'SELECT ecauto.refresh_demand()'
	processor none 'SELECT ecauto.refresh_demand()'
done
echo "due: $(value "SELECT count(*) FROM ecauto_data.purchase_order_line") lines"
show plan ms 'plan_replenishment(), forecast ready'
show pass ms 'one pass over demand: sum(units) of each sku'
ratio plan pass 'plan / pass (target: at most 3)'
show refresh ms 'refresh_demand(): 1% of the skus ordered'
show none ms 'refresh_demand(): nothing new'
ratio refresh pass '1% / pass'
show forecast ms 'forecast_all()'

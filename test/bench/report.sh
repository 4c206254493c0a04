# What the report costs: of a month in a shop with years of orders, of a year, and
# section by section, beside one plain statement that reads the orders of the
# month, joins their lines and sums them by day, which any report has to do.
#
# ORDERS chooses the size: three lines each, a tenth as many customers, 10,000
# skus, over three years; the shop's own tables are gone once it was attached.
set -eu
. "$(dirname "$0")/measure.sh"
ORDERS=${ORDERS:-1000000}

start_server <<CONF
shared_preload_libraries = 'ecauto'
ecauto.settle_time = 0
ecauto.timezone = 'Europe/Berlin'
ecauto.clock = '2026-07-01 00:00:00+02'
timezone = 'UTC'
shared_buffers = 1GB
maintenance_work_mem = 512MB
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
CREATE TABLE stock AS SELECT id, 10 + id % 90 AS qty FROM product;
CREATE TABLE customer AS SELECT i AS id, 'c' || i || '@shop.example' AS email FROM generate_series(1, greatest(:n / 10, 1)) i;
CREATE TABLE orders AS SELECT i AS id, 1 + (random() ^ 2 * (:n / 10 - 1))::int AS customer, 30 + i % 50 AS total, i % 50 = 0 AS cancelled,
	timestamptz '2023-07-01 00:00+02' + i * (interval '1096 days' / :n) AS placed FROM generate_series(0, :n - 1) i;
CREATE TABLE line AS SELECT n AS id, n % :n AS order_id, (power(10000, random()) - 1)::int % 10000 AS sku, 1 + n % 3 AS qty FROM generate_series(1, 3 * :n) n;
CREATE INDEX ON product (id);
CREATE INDEX ON stock (id);
CREATE INDEX ON customer (id);
CREATE INDEX ON orders (id);
CREATE INDEX ON line (order_id);
ANALYZE;
SELECT ecauto.bind_table('product', 'product', '{"key": "id", "title": "title"}');
SELECT ecauto.bind_role('sku', 'SELECT id AS key, id AS product_key, ''I'' || id AS sku FROM product');
SELECT ecauto.bind_role('price', 'SELECT id AS key, ''EUR'' AS currency, 10 AS amount, true AS tax_included FROM product');
SELECT ecauto.bind_role('cost', 'SELECT id AS key, 6 AS cost, ''EUR'' AS currency FROM product');
SELECT ecauto.bind_table('stock', 'stock', '{"key": "id", "on_hand": "qty"}');
SELECT ecauto.bind_table('customer', 'customer', '{"key": "id", "email": "email"}');
SELECT ecauto.bind_role('order', 'SELECT id AS key, customer AS customer_key, ''EUR'' AS currency, total, placed AS placed_at, total AS paid, cancelled FROM orders');
SELECT ecauto.bind_source('order', 'orders', 'id');
SELECT ecauto.bind_role('order_line', 'SELECT id AS key, order_id AS order_key, sku AS sku_key, qty, 10 AS unit_price FROM line');
SQL
echo "attach_shop(), history of $ORDERS orders and $((ORDERS * 3)) lines: $(milliseconds "SELECT ecauto.attach_shop('custom')") ms"
echo "tick(): $(milliseconds 'SELECT ecauto.tick()') ms"
echo "refresh_demand(): $(milliseconds 'SELECT ecauto.refresh_demand()') ms; forecast_all(): $(milliseconds 'SELECT ecauto.forecast_all()') ms; refresh_rfm(): $(milliseconds 'SELECT ecauto.refresh_rfm()') ms"
# a month before the end, so that there are orders that the lists do not know
echo "build_recommendations(): $(milliseconds "SET ecauto.clock = '2026-06-01 00:00+02'; SELECT ecauto.build_recommendations()") ms"
run_sql -d shop -c 'VACUUM ANALYZE'

# plain FROM: the pass over orders placed since then
plain()
{
	milliseconds "SELECT (o.placed_at AT TIME ZONE 'Europe/Berlin')::date, o.currency, count(DISTINCT o.key), sum(i.qty), sum(i.amount)
		FROM ecauto_data.seen_order o JOIN ecauto_data.order_item i ON i.order_key = o.key
		WHERE o.placed_at >= '$1' AND o.placed_at < '2026-07-01 00:00+02' AND NOT o.cancelled GROUP BY 1, 2"
}

month="'2026-06-01 00:00+02', '2026-07-01 00:00+02'"
year="'2025-07-01 00:00+02', '2026-07-01 00:00+02'"
for round in $(seq "$ROUNDS"); do
	note plain "$(plain '2026-06-01 00:00+02')"
	note month "$(milliseconds "SELECT length(ecauto.report_html($month))")"
	note plain_year "$(plain '2025-07-01 00:00+02')"
	note year "$(milliseconds "SELECT length(ecauto.report_html($year))")"
	for part in days customers best_sellers margin forecast recommendations; do
		note "$part" "$(milliseconds "SELECT * FROM ecauto.report_$part($month)")"
	done
done
show plain ms 'plain SQL: one pass over the orders of a month'
show month ms 'report_html() of the month'
ratio month plain 'report / pass'
show plain_year ms 'plain SQL: one pass over the orders of a year'
show year ms 'report_html() of the year'
ratio year plain_year 'report / pass'
for part in days customers best_sellers margin forecast recommendations; do
	show "$part" ms "report_$part() of the month"
done

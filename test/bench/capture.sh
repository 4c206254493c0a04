# What capture costs the shop: a checkout and a bulk update, without ecauto,
# with it, and with a PL/pgSQL row trigger that notes the same keys.
set -eu
. "$(dirname "$0")/measure.sh"

start_server <<CONF
shared_preload_libraries = 'ecauto'
shared_buffers = 512MB
max_wal_size = 8GB
checkpoint_timeout = 1h
synchronous_commit = ${SYNCHRONOUS_COMMIT:-on}
fsync = ${FSYNC:-off}
autovacuum = off
CONF

run_sql -d postgres -c 'CREATE DATABASE shop'
psql -X -q -d shop -v ON_ERROR_STOP=1 >/dev/null <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION ecauto;
CREATE TABLE stock (sku int PRIMARY KEY, qty int NOT NULL) WITH (fillfactor = 50);
INSERT INTO stock SELECT i, 1000000 FROM generate_series(1, 100000) i;
CREATE TABLE orders (id bigserial PRIMARY KEY, customer int NOT NULL, total numeric NOT NULL, placed timestamptz NOT NULL DEFAULT now());
CREATE TABLE order_line (id bigserial PRIMARY KEY, order_id bigint NOT NULL, sku int NOT NULL, qty int NOT NULL, price numeric NOT NULL);
CREATE INDEX ON order_line (order_id);
SELECT ecauto.setup();
SELECT ecauto.bind_role('product', 'SELECT sku AS key, sku::text AS title FROM stock');
SELECT ecauto.bind_role('sku', 'SELECT sku AS key, sku AS product_key, sku::text AS sku FROM stock');
SELECT ecauto.bind_role('price', 'SELECT sku AS key, ''EUR'' AS currency, 10.0 AS amount, true AS tax_included FROM stock');
SELECT ecauto.bind_table('stock', 'stock', '{"key": "sku", "on_hand": "qty"}');
SELECT ecauto.bind_role('order', 'SELECT id AS key, customer AS customer_key, NULL::text AS email, ''EUR'' AS currency, total, placed AS placed_at, 0.0 AS paid FROM orders');
SELECT ecauto.bind_source('order', 'orders', 'id');
SELECT ecauto.bind_source('order', 'order_line', 'order_id');
SELECT ecauto.bind_role('order_line', 'SELECT id AS key, order_id AS order_key, sku AS sku_key, qty, price AS unit_price FROM order_line');
SELECT ecauto.attach_shop('custom');

CREATE TABLE noted (at timestamptz, source text, key text);
CREATE FUNCTION note_stock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'UPDATE' AND NEW IS NOT DISTINCT FROM OLD THEN
		RETURN NULL;
	END IF;
	INSERT INTO noted VALUES (clock_timestamp(), 'stock', NEW.sku::text);
	RETURN NULL;
END $$;
CREATE FUNCTION note_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO noted VALUES (clock_timestamp(), 'order', NEW.id::text);
	RETURN NULL;
END $$;
CREATE FUNCTION note_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO noted VALUES (clock_timestamp(), 'order', NEW.order_id::text);
	RETURN NULL;
END $$;
CREATE TRIGGER peer AFTER INSERT OR UPDATE ON stock FOR EACH ROW EXECUTE FUNCTION note_stock();
CREATE TRIGGER peer AFTER INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION note_order();
CREATE TRIGGER peer AFTER INSERT OR UPDATE ON order_line FOR EACH ROW EXECUTE FUNCTION note_line();
SQL

cat > "$BENCH/checkout.sql" <<'SQL'
\set a random(1, 33333)
\set b random(33334, 66666)
\set c random(66667, 100000)
\set customer random(1, 10000)
BEGIN;
INSERT INTO orders (customer, total) VALUES (:customer, 30) RETURNING id \gset
INSERT INTO order_line (order_id, sku, qty, price) VALUES (:id, :a, 1, 10);
INSERT INTO order_line (order_id, sku, qty, price) VALUES (:id, :b, 1, 10);
INSERT INTO order_line (order_id, sku, qty, price) VALUES (:id, :c, 1, 10);
UPDATE stock SET qty = qty - 1 WHERE sku = :a;
UPDATE stock SET qty = qty - 1 WHERE sku = :b;
UPDATE stock SET qty = qty - 1 WHERE sku = :c;
COMMIT;
SQL

# use none|ecauto|peer: which triggers fire
use()
{
	for table in stock orders order_line; do
		run_sql -d shop -c "ALTER TABLE $table DISABLE TRIGGER ecauto_capture" -c "ALTER TABLE $table DISABLE TRIGGER peer"
		case $1 in
			ecauto) run_sql -d shop -c "ALTER TABLE $table ENABLE ALWAYS TRIGGER ecauto_capture" ;;
			peer) run_sql -d shop -c "ALTER TABLE $table ENABLE TRIGGER peer" ;;
		esac
	done
	run_sql -d shop -c 'TRUNCATE ecauto_data.change_log, noted, orders, order_line' -c 'VACUUM stock' -c CHECKPOINT
}

for round in $(seq "$ROUNDS"); do
	for kind in none ecauto peer; do
		use $kind
		note "tps-$kind" "$(pgbench -n -c 4 -j 2 -T "$SECONDS_EACH" -M prepared -f "$BENCH/checkout.sql" shop 2>/dev/null | sed -n 's/^tps = \([0-9.]*\).*/\1/p')"
	done
done
echo "checkout (1 order, 3 lines, 3 stock updates), pgbench -c 4 -M prepared, $SECONDS_EACH s a round, fsync ${FSYNC:-off}"
show tps-none tps 'without triggers'
show tps-ecauto tps 'ecauto.capture()'
show tps-peer tps 'PL/pgSQL row triggers'
ratio tps-ecauto tps-none 'ecauto / without (target: at least 0.95)'
ratio tps-peer tps-none 'PL/pgSQL / without'

for round in $(seq "$ROUNDS"); do
	for kind in none ecauto peer; do
		use $kind
		run_sql -d shop -c 'VACUUM FULL stock' -c 'ANALYZE stock' -c CHECKPOINT
		note "ms-$kind" "$(milliseconds 'UPDATE stock SET qty = qty - 1')"
	done
done
echo "UPDATE of 100,000 stock rows in one statement"
show ms-none ms 'without triggers'
show ms-ecauto ms 'ecauto.capture()'
show ms-peer ms 'PL/pgSQL row trigger'
ratio ms-ecauto ms-none 'ecauto / without (target: at most 1.5)'
ratio ms-peer ms-none 'PL/pgSQL / without'

# Carts: price_cart() from ten sessions at once, for carts of five lines under
# 50 active promotions of every kind; price_at() for one sku.  Beside both, in
# the same rounds, a SELECT by primary key, which is what a statement costs at
# all.  Coupons: a million codes.
set -eu
. "$(dirname "$0")/measure.sh"

start_server <<CONF
shared_preload_libraries = 'ecauto'
shared_buffers = 512MB
fsync = off
autovacuum = off
jit = off
CONF

run_sql -d postgres -c 'CREATE DATABASE shop'
psql -X -q -d shop -v ON_ERROR_STOP=1 >/dev/null <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION ecauto;
SELECT ecauto.setup();
CREATE TABLE product (id int PRIMARY KEY, title text NOT NULL, price numeric NOT NULL);
INSERT INTO product SELECT i, 'Product ' || i, (i % 500) + 0.99 FROM generate_series(1, 100000) i;
SELECT ecauto.bind_role('product', 'SELECT id AS key, title FROM product');
SELECT ecauto.bind_role('sku', 'SELECT id AS key, id AS product_key FROM product');
SELECT ecauto.bind_role('price', 'SELECT id AS key, ''EUR'' AS currency, price AS amount, true AS tax_included FROM product');
SELECT ecauto.bind_role('stock', 'SELECT id AS key, ''main'' AS location_key, 100 AS on_hand, 0 AS reserved FROM product');
SELECT ecauto.bind_role('order', 'SELECT id AS key, id::text AS number, NULL::int AS customer_key, NULL AS email, NULL::int AS cart_key, ''EUR'' AS currency, 0 AS total, now() AS placed_at, 0 AS paid, 0 AS refunded, false AS cancelled, ''none'' AS fulfilment FROM product WHERE false');
SELECT ecauto.bind_role('order_line', 'SELECT id AS key, id AS order_key, id AS sku_key, 1 AS qty, 0 AS unit_price FROM product WHERE false');
SELECT ecauto.attach_shop('custom');
SELECT ecauto.tick();
-- 50 promotions: ten of each of five families, some of which apply to a cart and some not
SELECT ecauto.create_promotion('category ' || i, jsonb_build_object('percent', i + 1, 'categories', jsonb_build_array('c' || i), 'stack', 'best'))
FROM generate_series(1, 10) i;
SELECT ecauto.create_promotion('brand ' || i, jsonb_build_object('amount', i, 'currency', 'EUR', 'brands', jsonb_build_array('b' || i), 'min_total', 10 * i))
FROM generate_series(1, 10) i;
SELECT ecauto.create_promotion('lot ' || i, CASE i % 3
	WHEN 0 THEN jsonb_build_object('buy', jsonb_build_object('qty', 2, 'skus', jsonb_build_array(i::text, (i + 1)::text)), 'get', '{"qty": 1}'::jsonb)
	WHEN 1 THEN jsonb_build_object('nth', '{"every": 2, "percent": 50}'::jsonb, 'skus', jsonb_build_array(i::text))
	ELSE jsonb_build_object('bundle', jsonb_build_object('percent', 10, 'items', jsonb_build_array(jsonb_build_object('categories', '["c1", "c2"]'::jsonb), jsonb_build_object('brands', '["b3"]'::jsonb)))) END)
FROM generate_series(1, 10) i;
SELECT ecauto.create_promotion('when ' || i, jsonb_build_object('percent', 1, 'when', format('customer.country = %L AND cart.total > %s', CASE i % 2 WHEN 0 THEN 'PL' ELSE 'DE' END, 20 * i)))
FROM generate_series(1, 10) i;
SELECT ecauto.create_promotion('end ' || i, CASE i % 2
	WHEN 0 THEN jsonb_build_object('shipping', 'free', 'min_total', 50 * i, 'lane', 'post')
	ELSE jsonb_build_object('percent', 5, 'segments', jsonb_build_array('s' || i), 'channels', '["web"]'::jsonb, 'lane', 'post', 'exclusive', true, 'priority', i) END)
FROM generate_series(1, 10) i;
VACUUM ANALYZE;
SQL

# sixteen carts, sent as an application sends them: two parameters of a prepared statement
set --
for n in $(seq 16); do
	value "SELECT jsonb_agg(jsonb_build_object('sku', (1 + (l * 7 + $n * 3) % 20)::text, 'qty', 1 + (l + $n) % 3, 'unit_price', 5 + (l * 13 + $n * 17) % 90 + 0.99,
		'brand', 'b' || 1 + (l * 5 + $n) % 25, 'categories', jsonb_build_array('c' || 1 + (l * 3 + $n) % 25, 'c20'))) FROM generate_series(1, 5) l" > "$BENCH/lines$n"
	echo 'SELECT ecauto.price_cart(:lines'"$n"', :context);' > "$BENCH/cart$n.sql"
	set -- "$@" -f "$BENCH/cart$n.sql" -D "lines$n=$(cat "$BENCH/lines$n")"
done
set -- "$@" -D 'context={"currency": "EUR", "channel": "web", "shipping": 9.90, "customer": {"key": "7", "country": "PL", "segments": ["s3"]}}'
echo 'SELECT ecauto.price_at('"'70', 'EUR'"');' > "$BENCH/price_at.sql"
cat > "$BENCH/key.sql" <<'SQL'
\set a random(1, 100000)
SELECT price FROM product WHERE id = :a;
SQL

# rate NAME CLIENTS OPTION...: transactions a second; with their 99th percentile in NAME_p99
rate()
{
	name=$1 clients=$2
	shift 2
	rm -f "$BENCH"/pgbench_log.*
	(cd "$BENCH" && pgbench -n -M prepared -c "$clients" -j 2 -T "$SECONDS_EACH" -l --log-prefix=pgbench_log "$@" shop) > "$BENCH/pgbench.out" 2>&1 </dev/null
	note "$name" "$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$BENCH/pgbench.out")"
	note "${name}_p99" "$(cat "$BENCH"/pgbench_log.* | awk '{print $3 / 1000}' | sort -g | awk '{v[NR] = $1} END {print v[int(NR * 0.99)]}')"
}

for round in $(seq "$ROUNDS"); do
	rate cart 10 "$@"
	rate key 10 -f "$BENCH/key.sql"
	rate price_at 1 -f "$BENCH/price_at.sql"
	rate key_one 1 -f "$BENCH/key.sql"
done
echo 'ten sessions; carts of five lines, 50 promotions'
show cart carts/s 'price_cart() (target: at least 20,000)'
show cart_p99 ms '  99th percentile (target: under 5)'
show key SELECTs/s 'SELECT by primary key, for comparison'
ratio key cart 'price_cart() takes so many times a SELECT'
echo 'one session'
show price_at calls/s 'price_at()'
show key_one SELECTs/s 'SELECT by primary key'
ratio key_one price_at 'price_at() / SELECT by primary key (target: under 3)'
run_sql -d shop -c "SELECT ecauto.create_promotion('mail', '{\"percent\": 5, \"coupon\": true}')" >/dev/null
note coupons "$(milliseconds "SELECT count(*) FROM ecauto.generate_coupons('mail', 1000000, 'SP')" | awk '{print $1 / 1000}')"
show coupons s 'generate_coupons() of 1,000,000 codes (target: under 30)'

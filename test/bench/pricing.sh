# Repricing 1,000,000 skus by 100 rules of mixed scope: the dry run beside one
# sequential pass over the costs, writing beside a bare UPDATE of the same rows.
# And prior_price() beside a SELECT by primary key.
set -eu
. "$(dirname "$0")/measure.sh"

start_server <<CONF
shared_preload_libraries = 'ecauto'
shared_buffers = 512MB
max_wal_size = 8GB
checkpoint_timeout = 1h
autovacuum = off
CONF

run_sql -d postgres -c 'CREATE DATABASE shop'
run_sql -d shop -v n="${SKUS:-1000000}" -v conditions=2 -f "$SOURCE/test/bench/pricing.sql" >/dev/null
value "SELECT 'prices: ' || count(*) || ', rules: ' || (SELECT count(*) FROM ecauto_data.price_rule) FROM shop.price"

conditions()
{
	run_sql -d shop -c "UPDATE ecauto_data.price_rule SET enabled = $1 WHERE name LIKE 'condition %'"
}

for round in $(seq "$ROUNDS"); do
	note pass "$(milliseconds 'SELECT sum(cost * 1.4) FROM shop.cost')"
	note join "$(milliseconds 'SELECT count(*), sum(c.cost * 1.4 - p.amount) FROM shop.price p JOIN shop.variant v ON v.id = p.variant_id JOIN shop.product d ON d.id = v.product_id JOIN shop.cost c ON c.variant_id = p.variant_id')"
	conditions false
	note plain "$(milliseconds 'SELECT count(*) FROM ecauto.reprice()')"
	conditions true
	note dry "$(milliseconds 'SELECT count(*) FROM ecauto.reprice()')"
	run_sql -d shop -c 'CREATE TABLE IF NOT EXISTS shop.made AS SELECT sku::int AS sku, new_price FROM ecauto.reprice()' -c 'ANALYZE shop.made'
	note bare "$(milliseconds 'UPDATE shop.price p SET amount = m.new_price, updated_at = now() FROM shop.made m WHERE p.variant_id = m.sku')"
	run_sql -d shop -c 'UPDATE shop.price SET amount = 10' -c 'VACUUM shop.price' -c CHECKPOINT
	note apply "$(milliseconds 'SELECT count(*) FROM ecauto.reprice(true)')"
	note again "$(milliseconds 'SELECT count(*) FROM ecauto.reprice(true)')"
	run_sql -d shop -c 'UPDATE shop.price SET amount = 10' -c 'VACUUM shop.price' -c 'DELETE FROM ecauto_data.price_proposal' -c CHECKPOINT
done

show pass ms 'one pass: SELECT sum(cost * 1.4)'
show join ms 'one pass over prices, skus, products and costs, joined'
show plain ms 'reprice() without rules by condition'
show dry ms 'reprice() with two of them'
ratio dry pass 'dry run to one pass'
ratio plain join 'dry run without conditions to one pass over the joined tables'
show bare ms 'bare UPDATE of the same rows'
show apply ms 'reprice(true)'
ratio apply bare 'reprice(true) to the bare UPDATE'
show again ms 'reprice(true) when nothing changes'

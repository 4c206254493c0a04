# What a tick costs, and how long an event takes to appear: beside the bare
# query of the role, and the bare statements that write as much.
set -eu
. "$(dirname "$0")/measure.sh"

start_server <<CONF
shared_preload_libraries = 'ecauto'
ecauto.databases = 'live'
ecauto.settle_time = 0
track_commit_timestamp = on
shared_buffers = 512MB
max_wal_size = 8GB
checkpoint_timeout = 1h
autovacuum = off
CONF

run_sql -d postgres -c 'CREATE DATABASE shop' -c 'CREATE DATABASE live'
run_sql -d shop -v n_products=50000 -v n_orders=1000 -f "$SOURCE/test/demo/shop.sql" >/dev/null
run_sql -d shop -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION ecauto' \
	-c "SELECT ecauto.attach_shop('demo', '{}', 'shop')" >/dev/null
run_sql -d shop -c 'VACUUM ANALYZE'
value "SELECT 'stock rows: ' || count(*) || ', skus: ' || count(DISTINCT variant_id) FROM shop.stock"

# The role's query over the noted keys, planned and run; its rows are made and
# thrown away.
bare_query()
{
	psql -X -q -A -t -d shop -v ON_ERROR_STOP=1 <<'SQL' | awk '/^(Planning|Execution) Time:/ {s += $3} END {print s}'
SELECT query AS role_query FROM ecauto_data.role_binding WHERE role = 'stock' \gset
SELECT array_agg(variant_id::text) AS keys FROM (SELECT DISTINCT variant_id FROM shop.stock ORDER BY 1 LIMIT 100000) x \gset
SET search_path = shop;
EXPLAIN (ANALYZE, TIMING OFF)
SELECT q.* FROM (:role_query
) q WHERE q.key = ANY (:'keys'::text[]::bigint[]);
SQL
}

keys='(SELECT DISTINCT variant_id FROM shop.stock ORDER BY 1 LIMIT 100000)'
for round in $(seq "$ROUNDS"); do
	note query "$(bare_query)"

	# there and back in one transaction: noted, and nothing differs
	run_sql -d shop -c "BEGIN; UPDATE shop.stock SET on_hand = on_hand + 1 WHERE variant_id IN $keys;
		UPDATE shop.stock SET on_hand = on_hand - 1 WHERE variant_id IN $keys; COMMIT"
	note same "$(milliseconds 'SELECT * FROM ecauto.tick()')"

	run_sql -d shop -c "BEGIN; UPDATE shop.stock SET on_hand = on_hand + 1 WHERE variant_id IN $keys;
		UPDATE shop.stock SET on_hand = on_hand - 1 WHERE variant_id IN (SELECT variant_id FROM $keys x WHERE variant_id % 10 <> 0); COMMIT"
	note tenth "$(milliseconds 'SELECT * FROM ecauto.tick()')"

	run_sql -d shop -c "UPDATE shop.stock SET on_hand = on_hand + 1 WHERE variant_id IN $keys"
	note all "$(milliseconds 'SELECT * FROM ecauto.tick()')"

	run_sql -d shop -c 'VACUUM ecauto_data.seen_stock' -c 'VACUUM ecauto_data.change_log' -c 'VACUUM shop.stock'
	note bare "$(psql -X -q -d shop -v ON_ERROR_STOP=1 <<'SQL' | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | awk '{s += $1} END {print s}'
CREATE TEMP TABLE e AS SELECT * FROM ecauto_data.event ORDER BY at DESC LIMIT 100000;
BEGIN;
\timing on
UPDATE ecauto_data.seen_stock SET on_hand = on_hand + 1;
INSERT INTO ecauto_data.event SELECT * FROM e;
\timing off
ROLLBACK;
VACUUM ecauto_data.seen_stock;
SQL
)"
done
echo "tick() over 100,000 noted keys of role stock"
show query ms "the role's query over the same keys"
show same ms 'tick(), no row differs from what was seen'
show tenth ms 'tick(), one row in ten differs: 10,000 events'
show all ms 'tick(), every row differs: 100,000 events'
show bare ms 'bare UPDATE of what was seen + INSERT of events'
ratio same query 'none differs / query (target: under 3)'
ratio tenth query 'one in ten differs / query (target: under 3)'
ratio all query 'all differ / query (target: under 3)'

# From the commit of a change to the commit of its event, by the server's own
# commit timestamps, at a steady rate.
run_sql -d live -v n_products=2000 -v n_orders=100 -f "$SOURCE/test/demo/shop.sql" >/dev/null
run_sql -d live -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION ecauto' \
	-c "SELECT ecauto.attach_shop('demo', '{}', 'shop')" >/dev/null
run_sql -d live -c 'VACUUM ANALYZE' -c 'CREATE SEQUENCE shop.next_row' \
	-c 'CREATE TABLE shop.in_turn AS SELECT row_number() OVER () AS n, ctid AS place, variant_id FROM shop.stock WHERE variant_id IN (SELECT variant_id FROM shop.stock GROUP BY 1 HAVING count(*) = 1)' \
	-c 'CREATE INDEX ON shop.in_turn (n)'
cat > "$BENCH/change.sql" <<'SQL'
UPDATE shop.stock SET on_hand = on_hand + 1 WHERE variant_id = (SELECT variant_id FROM shop.in_turn WHERE n = (SELECT nextval('shop.next_row')));
SQL
for rate in 5 50; do
	since=$(value 'SELECT clock_timestamp()' live)
	pgbench -n -c 1 -R "$rate" -T "$SECONDS_EACH" -f "$BENCH/change.sql" live >/dev/null 2>&1
	tries=100
	until [ "$(value 'SELECT count(*) FROM ecauto_data.change_log' live)" = 0 ] || [ $tries = 0 ]; do
		sleep 0.1
		tries=$((tries - 1))
	done
	value "SELECT format('commit to event at %s/s: p50 %s ms, p99 %s ms, %s events', $rate,
		round(1000 * percentile_cont(0.5) WITHIN GROUP (ORDER BY s)::numeric, 2),
		round(1000 * percentile_cont(0.99) WITHIN GROUP (ORDER BY s)::numeric, 2), count(*))
	FROM (SELECT extract(epoch FROM pg_xact_commit_timestamp(e.xmin) - pg_xact_commit_timestamp(s.xmin)) AS s
		FROM ecauto_data.event e JOIN shop.stock s ON s.variant_id::text = e.sku
		WHERE e.kind = 'stock.changed' AND e.at > '$since') x" live
done

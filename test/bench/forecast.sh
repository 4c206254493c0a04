# Forecasts of 10,000 series of 100 values, on one core and in parallel, beside
# one pass over the values, a least-squares line through each series, and simple
# exponential smoothing with a given parameter in PL/pgSQL.
set -eu
. "$(dirname "$0")/measure.sh"

start_server <<CONF
shared_preload_libraries = 'ecauto'
shared_buffers = 512MB
fsync = off
autovacuum = off
jit = off
max_parallel_workers_per_gather = 0
CONF

run_sql -d postgres -c 'CREATE DATABASE shop'
psql -X -q -d shop -v ON_ERROR_STOP=1 >/dev/null <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION ecauto;
SELECT setseed(0.5);
-- sales by month with a season, of which one in four is rare
CREATE TABLE series AS
SELECT s, array_agg(CASE WHEN s % 4 > 0 THEN round((s % 50 + 20) * (1 + 0.005 * i) * (1 + 0.4 * sin(i * pi() / 6)) * (0.7 + 0.6 * random()))
	ELSE CASE WHEN random() < 0.3 THEN 1 + floor(random() * 5) ELSE 0 END END::float8 ORDER BY i) AS y
FROM generate_series(1, 10000) s, generate_series(1, 100) i GROUP BY s;
ALTER TABLE series SET (parallel_workers = 2);
VACUUM ANALYZE series;
CREATE FUNCTION smooth(y float8[], alpha float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	level float8 := y[1];
	v float8;
BEGIN
	FOREACH v IN ARRAY y LOOP
		level := level + alpha * (v - level);
	END LOOP;
	RETURN level;
END $$;
SQL

# per_series NAME SQL: microseconds of processor time for each of the 10,000,
# which a machine that others use lengthens less than what the clock says
per_series()
{
	note "$1" "$(psql -X -q -A -t -d shop -v ON_ERROR_STOP=1 <<EOF
SELECT split_part(pg_read_file('/proc/self/stat'), ' ', 14)::int AS before \gset
$2 \g /dev/null
SELECT (split_part(pg_read_file('/proc/self/stat'), ' ', 14)::int - :before) * 1e6 / 100 / 10000;
EOF
)"
}

for round in $(seq "$ROUNDS"); do
	for method in auto combined theta ses levels naive; do
		per_series "$method" "SELECT sum(f.mean) FROM series, ecauto.forecast(y, 12, 12, '$method') f"
	done
	per_series period 'SELECT sum(ecauto.demand_period(y)) FROM series'
	per_series quantile 'SELECT sum(ecauto.demand_quantile(y, 3, 0.95)) FROM series'
	per_series pass 'SELECT sum(u) FROM series, unnest(y) u'
	per_series line 'SELECT sum(l.slope) FROM series, LATERAL (SELECT regr_slope(u, i) AS slope FROM unnest(y) WITH ORDINALITY x (u, i)) l'
	per_series plpgsql 'SELECT sum(smooth(y, 0.1)) FROM series'
	note serial "$(milliseconds 'SELECT sum((ecauto.forecast_fit(y, 12, 12)).demand) FROM series')"
	note parallel "$(milliseconds 'SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SELECT sum((ecauto.forecast_fit(y, 12, 12)).demand) FROM series')"
done
echo '10,000 series of 100 values, 12 ahead, one core: processor time'
show auto us/series "forecast(…, 'auto') (target: at most 300)"
show combined us/series 'combined'
show theta us/series 'theta (target: at most 20)'
show ses us/series 'ses'
show levels us/series 'levels'
show naive us/series 'naive: the call itself and its bounds'
show period us/series 'demand_period()'
show quantile us/series 'demand_quantile(), 3 ahead'
show pass us/series 'one pass over the values: sum(unnest())'
show line us/series 'a line through each: regr_slope()'
show plpgsql us/series 'smoothing with a given parameter in PL/pgSQL'
ratio theta line 'theta / regr_slope()'
ratio auto plpgsql 'auto / PL/pgSQL smoothing'
show serial ms 'forecast_fit() of all'
show parallel ms 'with two parallel workers'
ratio parallel serial 'parallel / serial'

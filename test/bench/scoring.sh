# What scores and lifetime value cost: fitting BG/NBD to many customers, with and
# without equal histories among them, beside scipy's minimiser on the same
# likelihood, if python3-scipy is installed; reading a score; events that rules
# give points for, by tick().
#
# CUSTOMERS chooses the size of the fits, EVENTS that of a tick.
set -eu
. "$(dirname "$0")/measure.sh"
CUSTOMERS=${CUSTOMERS:-1000000}
EVENTS=${EVENTS:-50000}

start_server <<CONF
shared_preload_libraries = 'ecauto'
ecauto.settle_time = 0
timezone = 'UTC'
shared_buffers = 512MB
work_mem = 256MB
max_wal_size = 8GB
max_parallel_workers_per_gather = 0
jit = off
CONF
run_sql -d postgres -c 'CREATE DATABASE shop'
psql -X -q -d shop -v ON_ERROR_STOP=1 -v n="$CUSTOMERS" <<'SQL' >/dev/null
SET client_min_messages = warning;
CREATE EXTENSION ecauto;
SELECT ecauto.setup();
SELECT setseed(0.5);
-- each with a rate of his own; times in days, and to the second
CREATE TABLE history AS
SELECT x, CASE WHEN x = 0 THEN 0 ELSE round(t * power(random(), 1.0 / (x + 1))) END AS tx, t
FROM (SELECT floor(-ln(random()) * -ln(random()) * 1.2)::float8 AS x, 1 + floor(random() * 364) AS t FROM generate_series(1, :n)) h;
UPDATE history SET tx = least(tx, t);
CREATE TABLE tied AS SELECT array_agg(x) AS x, array_agg(tx) AS tx, array_agg(t) AS t FROM history;
CREATE TABLE apart AS SELECT array_agg(x) AS x, array_agg(CASE WHEN x = 0 THEN 0 ELSE tx + noise * 0.5 END) AS tx, array_agg(t + noise) AS t
FROM (SELECT *, random() AS noise FROM history) h;
SQL
cat > "$BENCH/fit.py" <<'PY'
# BG/NBD by scipy's L-BFGS-B over the whole columns, in logarithms of the parameters
import sys, time
import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln
x, tx, t = np.loadtxt(sys.argv[1], delimiter=',', unpack=True)
def loss(theta):
    r, alpha, a, b = np.exp(theta)
    head = (gammaln(r + x) - gammaln(r) + r * np.log(alpha) + gammaln(a + b) - gammaln(b)
            + gammaln(b + x) - gammaln(a + b + x))
    alive = -(r + x) * np.log(alpha + t)
    left = np.where(x > 0, np.log(a / (b + np.maximum(x, 1) - 1)) - (r + x) * np.log(alpha + tx), -np.inf)
    return -(head + np.logaddexp(alive, left)).sum() / len(x)
start = time.time()
found = minimize(loss, np.log([1, 30, 1, 2]), method='L-BFGS-B', options={'ftol': 1e-12})
print(f'{1000 * (time.time() - start):.0f} {-found.fun * len(x):.3f}')
PY
for data in tied apart; do
	python=
	if /usr/bin/python3 -c 'import scipy' 2>/dev/null; then
		psql -X -q -d shop -c "\\copy (SELECT u.* FROM $data, unnest(x, tx, t) u) TO '$BENCH/$data.csv' CSV"
		python=yes
	fi
	for round in $(seq "$ROUNDS"); do
		note "fit_$data" "$(milliseconds "SELECT f.* FROM $data, ecauto.bgnbd_fit(x, tx, t) f")"
		[ -z "$python" ] || note "scipy_$data" "$(/usr/bin/python3 "$BENCH/fit.py" "$BENCH/$data.csv" | tee "$BENCH/$data.scipy" | cut -d' ' -f1)"
	done
	show "fit_$data" ms "bgnbd_fit(), $CUSTOMERS customers, $data"
	echo "log-likelihood: $(value "SELECT round(log_likelihood::numeric, 3) FROM $data, ecauto.bgnbd_fit(x, tx, t)")"
	if [ -n "$python" ]; then
		show "scipy_$data" ms "scipy, the same (log-likelihood $(cut -d' ' -f2 "$BENCH/$data.scipy"))"
		ratio "fit_$data" "scipy_$data" 'ours / scipy (target: at most 0.1)'
	fi
done

psql -X -q -d shop -v ON_ERROR_STOP=1 <<'SQL' >/dev/null
SELECT ecauto.create_score_rule('view', '{"on": "view", "points": 1, "half_life": "30 days"}');
SELECT ecauto.create_score_rule('click', '{"on": "view", "points": 2, "half_life": "7 days", "per_day": 3}');
SQL
for round in $(seq "$ROUNDS"); do
	run_sql -d shop -c "SELECT count(ecauto.track('view', (1 + i % 10000)::text)) FROM generate_series(1, $EVENTS) i" >/dev/null
	note tick "$(milliseconds 'SELECT ecauto.tick()')"
done
show tick ms "tick() over $EVENTS events of 10,000 customers and two rules (target: at most $((EVENTS / 10)) ms)"
cat > "$BENCH/score.sql" <<'SQL'
\set id random(1, 10000)
SELECT ecauto.score(:id::text);
SQL
echo 'SELECT 1;' > "$BENCH/one.sql"
run_sql -d shop -c 'VACUUM ANALYZE'
for round in $(seq "$ROUNDS"); do
	for script in score one; do
		note "$script" "$(pgbench -n -c 1 -M prepared -T "$SECONDS_EACH" -f "$BENCH/$script.sql" shop 2>/dev/null | sed -n 's/^latency average = \([0-9.]*\) ms.*/\1/p' | awk '{print $1 * 1000}')"
	done
done
show score us 'score() of one customer, with the round trip (target: under 50)'
show one us 'SELECT 1, the round trip alone'

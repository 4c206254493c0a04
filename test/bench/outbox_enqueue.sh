# What enqueue() costs beside a plain INSERT of the same row into a logged
# table with two indexes, at one session and four; and whether a session grows
# slow over many transactions.
set -eu
. "$(dirname "$0")/measure.sh"

start_outbox
endpoint web 'http://127.0.0.1:1/ok'
endpoint post 'smtp://127.0.0.1:1' "sender 'shop@shop.example'"
run_sql -d shop -c "SELECT ecauto.pause_endpoint('web')" -c "SELECT ecauto.pause_endpoint('post')" >/dev/null
run_sql -d shop -c 'CREATE TABLE plain (LIKE ecauto_data.outbox INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)' \
	-c "ALTER TABLE plain ALTER id SET DEFAULT nextval('ecauto_data.outbox_id_seq')" \
	-c 'ALTER TABLE plain ADD PRIMARY KEY (id)' \
	-c 'CREATE INDEX ON plain (endpoint, priority, next_at, id)' \
	-c 'ALTER TABLE plain SET (fillfactor = 50)'
payload='{"id": 1, "order": "SO-00000001", "status": "paid", "total": 123.45, "currency": "EUR"}'
cat > "$BENCH/plain.sql" <<SQL
INSERT INTO plain (endpoint, sender, key, path, payload, next_at, created_at, queued_at) VALUES ('web', current_user, gen_random_uuid()::text, '', '$payload', clock_timestamp(), clock_timestamp(), clock_timestamp());
SQL
cat > "$BENCH/enqueue.sql" <<SQL
SELECT ecauto.enqueue('web', '$payload');
SQL
cat > "$BENCH/key.sql" <<SQL
SELECT ecauto.enqueue('web', '$payload', key => gen_random_uuid()::text);
SQL

for clients in 1 4; do
	for round in $(seq "$ROUNDS"); do
		for kind in plain enqueue key; do
			run_sql -d shop -c 'TRUNCATE plain, ecauto_data.outbox, ecauto_data.outbox_key' -c CHECKPOINT
			note "$kind-$clients" "$(pgbench -n -c $clients -j 2 -T "$SECONDS_EACH" -M prepared -f "$BENCH/$kind.sql" shop 2>/dev/null | sed -n 's/^tps = \([0-9.]*\).*/\1/p')"
		done
	done
	echo "$clients sessions, one message a transaction, $SECONDS_EACH s a round, pgbench -M prepared, fsync ${FSYNC:-off}"
	show plain-$clients tps 'INSERT of the same row, two indexes'
	show enqueue-$clients tps 'enqueue()'
	show key-$clients tps 'enqueue() with a key (a second row)'
	ratio enqueue-$clients plain-$clients 'enqueue() / INSERT (target: at least 0.9)'
	ratio key-$clients plain-$clients 'with a key / INSERT'
done

# every transaction of one session, by tenths, and the memory that is its own
n=${TRANSACTIONS:-500000}
run_sql -d shop -c 'TRUNCATE plain, ecauto_data.outbox, ecauto_data.outbox_key' -c CHECKPOINT
rm -f "$BENCH"/long.* "$BENCH/memory"
PGAPPNAME=long pgbench -n -c 1 -t "$n" -M prepared -l --log-prefix="$BENCH/long" -f "$BENCH/enqueue.sql" shop >/dev/null 2>&1 &
bench_pid=$!
pid=
while kill -0 $bench_pid 2>/dev/null; do
	[ -n "$pid" ] || pid=$(value "SELECT pid FROM pg_stat_activity WHERE application_name = 'long'")
	[ -z "$pid" ] || awk '/^VmData/ {print $2}' "/proc/$pid/status" 2>/dev/null >> "$BENCH/memory" || true
	sleep 1
done
wait $bench_pid
cat "$BENCH"/long.* | awk -v n="$n" '
	NR <= n / 10 {first += $3} NR > n - n / 10 {last += $3}
	END {
		printf "one session, %d transactions: %.0f tps in the first tenth, %.0f in the last, ratio %.3f\n",
			NR, n / 10 * 1e6 / first, n / 10 * 1e6 / last, first / last
	}'
awk '{v[NR] = $1} END {printf "its memory: %d kB after a tenth of the time, %d kB at the end\n", v[int(NR / 10) + 1], v[NR]}' "$BENCH/memory"

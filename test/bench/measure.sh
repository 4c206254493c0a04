# Read by the benchmarks with ".": a server, and figures from several rounds.

# start_server: with further lines for postgresql.conf on standard input
start_server()
{
	sh "$SOURCE/test/server.sh" start "$BENCH/server"
}

run_sql()
{
	psql -X -q -v ON_ERROR_STOP=1 "$@" </dev/null
}

# value SQL [DATABASE]: one value
value()
{
	psql -X -q -A -t -v ON_ERROR_STOP=1 -d "${2:-shop}" -c "$1" </dev/null
}

# milliseconds SQL: how long it takes
milliseconds()
{
	psql -X -q -d shop -v ON_ERROR_STOP=1 -c '\timing on' -c "$1" </dev/null | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | tail -n 1
}

# note NAME VALUE: a figure of one round
note()
{
	echo "$2" >> "$BENCH/$1.figures"
}

# median NAME: of the rounds
median()
{
	sort -g "$BENCH/$1.figures" | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'
}

# show NAME UNIT TEXT: median and range of the rounds
show()
{
	sort -g "$BENCH/$1.figures" | awk -v m="$(median "$1")" -v u="$2" -v t="$3" \
		'NR == 1 {lo = $1} {hi = $1} END {printf "%-52s %10.1f %s  (%.1f to %.1f, %d rounds)\n", t, m, u, lo, hi, NR}'
}

# ratio A B TEXT: median of A over median of B
ratio()
{
	awk -v a="$(median "$1")" -v b="$(median "$2")" -v t="$3" 'BEGIN {printf "%-52s %10.3f\n", t, a / b}'
}

# ---- for deliveries ----

# start_sink [OPTION...]: the sink of the tests, on ports $HTTP_PORT and
# $SMTP_PORT; each call replaces the one before
start_sink()
{
	stop_sink
	mkdir -p "$BENCH/sink"
	rm -f "$BENCH/sink/ports"
	"$BIN/sink" --dir "$BENCH/sink" --http 0 --smtp 0 --quiet "$@" >"$BENCH/sink/log" 2>&1 &
	sink_pid=$!
	until [ -e "$BENCH/sink/ports" ]; do sleep 0.1; done
	. "$BENCH/sink/ports"
}

stop_sink()
{
	[ -z "${sink_pid:-}" ] || kill "$sink_pid" 2>/dev/null || true
	sink_pid=
}

# start_delay PORT MS: $DELAY_PORT leads to PORT, with a round trip of MS
start_delay()
{
	stop_delay
	rm -f "$BENCH/delay_port"
	"$BIN/delay" "$BENCH" "$1" "$2" >"$BENCH/delay.log" 2>&1 &
	delay_pid=$!
	until [ -e "$BENCH/delay_port" ]; do sleep 0.1; done
	DELAY_PORT=$(cat "$BENCH/delay_port")
}

stop_delay()
{
	[ -z "${delay_pid:-}" ] || kill "$delay_pid" 2>/dev/null || true
	delay_pid=
}

# start_outbox: a server with a delivery process for database shop
start_outbox()
{
	trap 'stop_sink; stop_delay' EXIT
	start_server <<CONF
shared_preload_libraries = 'ecauto'
ecauto.databases = 'shop'
shared_buffers = 512MB
max_wal_size = 16GB
checkpoint_timeout = 1h
synchronous_commit = ${SYNCHRONOUS_COMMIT:-on}
fsync = ${FSYNC:-off}
CONF
	run_sql -d postgres -c 'CREATE DATABASE shop'
	run_sql -d shop -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION ecauto' -c 'SELECT ecauto.setup()' >/dev/null
}

# endpoint NAME URL [FURTHER OPTIONS]
endpoint()
{
	run_sql -d shop -c "CREATE SERVER $1 FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '$2'${3:+, $3})"
}

# drain ENDPOINT N [PAYLOAD]: messages a second from the moment at which N
# waiting ones may leave until the last is settled
drain()
{
	payload=${3:-"jsonb_build_object('id', n, 'order', 'SO-' || lpad(n::text, 8, '0'), 'status', 'paid', 'total', 123.45, 'currency', 'EUR')"}
	psql -X -q -A -t -d shop -v ON_ERROR_STOP=1 <<SQL
SELECT ecauto.pause_endpoint('$1') \g /dev/null
SELECT ecauto.enqueue('$1', $payload) FROM generate_series(1, $2) n \g /dev/null
VACUUM ANALYZE ecauto_data.outbox;
CHECKPOINT;
SELECT coalesce(sum(delivered), 0) AS before FROM ecauto_data.outbox_counter WHERE endpoint = '$1' \gset
SELECT clock_timestamp() AS begun \gset
SELECT ecauto.resume_endpoint('$1') \g /dev/null
SELECT set_config('bench.goal', (:before + $2)::text, false) \g /dev/null
DO \$\$ BEGIN
	WHILE (SELECT coalesce(sum(delivered), 0) FROM ecauto_data.outbox_counter WHERE endpoint = '$1') < current_setting('bench.goal')::bigint LOOP
		PERFORM pg_sleep(0.01);
	END LOOP;
END \$\$;
SELECT round($2 / extract(epoch FROM clock_timestamp() - :'begun'));
SQL
}

# How fast a backlog leaves over HTTP, beside what libcurl itself sends to the
# same server; over HTTPS to Debian's nghttpd, if it is installed (package
# nghttp2-server).  MESSAGES are the sizes of the backlog.
set -eu
. "$(dirname "$0")/measure.sh"

start_outbox
start_sink
endpoint web "http://127.0.0.1:$HTTP_PORT/ok" "concurrency '${CONCURRENCY:-64}'"
bare()
{
	"$BIN/load" "http://127.0.0.1:$HTTP_PORT/ok" "$1" "${CONCURRENCY:-64}" "$2"
}

echo "one endpoint on loopback, ${CONCURRENCY:-64} connections, fsync ${FSYNC:-off}; from resume_endpoint() to the last message settled"
for n in ${MESSAGES:-10000 100000 1000000}; do
	rounds=$ROUNDS
	[ "$n" -lt 1000000 ] || rounds=1
	peer=$((n > 200000 ? 200000 : n))
	for round in $(seq "$rounds"); do
		note "poll-$n" "$(bare "$peer" poll)"
		note "ours-$n" "$(drain web "$n")"
		note "socket-$n" "$(bare "$peer" socket)"
	done
	show "poll-$n" /s "bare libcurl, curl_multi_poll, $peer requests"
	show "socket-$n" /s "bare libcurl, curl_multi_socket_action"
	show "ours-$n" /s "outbox, $n waiting"
	ratio "ours-$n" "poll-$n" 'outbox / curl_multi_poll (target: at least 0.5)'
done

n=${FEW:-20000}
if nghttpd=$(PATH=$PATH:/usr/sbin command -v nghttpd) && command -v openssl >/dev/null; then
	echo "$n messages over HTTPS, HTTP/2"
	mkdir -p "$BENCH/h2"
	echo '{"ok":true}' > "$BENCH/h2/ok"
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 \
		-keyout "$BENCH/key.pem" -out "$BENCH/cert.pem" 2>/dev/null
	port=$((30000 + $$ % 10000))
	"$nghttpd" -a 127.0.0.1 -d "$BENCH/h2" "$port" "$BENCH/key.pem" "$BENCH/cert.pem" >/dev/null 2>&1 &
	nghttpd_pid=$!
	trap 'stop_sink; stop_delay; kill $nghttpd_pid' EXIT
	sleep 1
	endpoint tls "https://127.0.0.1:$port/ok" "concurrency '${CONCURRENCY:-64}', ca_file '$BENCH/cert.pem'"
	for round in $(seq "$ROUNDS"); do
		note tls-poll "$("$BIN/load" "https://127.0.0.1:$port/ok" "$n" "${CONCURRENCY:-64}" poll "$BENCH/cert.pem")"
		note tls-ours "$(drain tls "$n")"
	done
	show tls-poll /s "bare libcurl, curl_multi_poll"
	show tls-ours /s 'outbox'
	ratio tls-ours tls-poll 'outbox / bare libcurl (target: at least 0.5)'
	kill $nghttpd_pid
	trap 'stop_sink; stop_delay' EXIT
fi

echo "$n messages over a round trip of 20 ms"
start_delay "$HTTP_PORT" 20
endpoint far "http://127.0.0.1:$DELAY_PORT/ok" "concurrency '${CONCURRENCY:-64}'"
for round in $(seq "$ROUNDS"); do
	note far-poll "$("$BIN/load" "http://127.0.0.1:$DELAY_PORT/ok" "$n" "${CONCURRENCY:-64}" poll)"
	note far-ours "$(drain far "$n")"
done
show far-poll /s "bare libcurl, ${CONCURRENCY:-64} connections"
show far-ours /s 'outbox'
ratio far-ours far-poll 'outbox / bare libcurl'

echo "50 endpoints at once, $((50 * (n / 50))) messages"
for i in $(seq 50); do endpoint "web$i" "http://127.0.0.1:$HTTP_PORT/ok"; done
for round in $(seq "$ROUNDS"); do
	note many-poll "$(bare "$n" poll)"
	note many-ours "$(psql -X -q -A -t -d shop -v ON_ERROR_STOP=1 <<SQL
SELECT ecauto.pause_endpoint('web' || i) FROM generate_series(1, 50) i \g /dev/null
SELECT ecauto.enqueue('web' || i, jsonb_build_object('id', n)) FROM generate_series(1, $n / 50) n, generate_series(1, 50) i \g /dev/null
VACUUM ANALYZE ecauto_data.outbox;
CHECKPOINT;
SELECT coalesce(sum(delivered), 0) + 50 * ($n / 50) AS goal FROM ecauto_data.outbox_counter WHERE endpoint LIKE 'web_%' \gset
SELECT set_config('bench.goal', :'goal', false) \g /dev/null
SELECT clock_timestamp() AS begun \gset
SELECT ecauto.resume_endpoint('web' || i) FROM generate_series(1, 50) i \g /dev/null
DO \$\$ BEGIN
	WHILE (SELECT coalesce(sum(delivered), 0) FROM ecauto_data.outbox_counter WHERE endpoint LIKE 'web_%') < current_setting('bench.goal')::bigint LOOP
		PERFORM pg_sleep(0.01);
	END LOOP;
END \$\$;
SELECT round(50 * ($n / 50) / extract(epoch FROM clock_timestamp() - :'begun'));
SQL
)"
done
show many-poll /s "bare libcurl, one address"
show many-ours /s 'outbox, 50 endpoints'
ratio many-ours many-poll 'outbox / bare libcurl'

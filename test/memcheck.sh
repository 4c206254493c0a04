#!/bin/sh
# The delivery process under valgrind, with a sink that misbehaves in every
# way it can, then without valgrind over many messages: by hand, since it
# takes minutes.
#
#   memcheck.sh
#
# Fails on an error that valgrind finds below a function of ours or of
# libcurl's, and if the memory of the process grows with messages.
# SECONDS_EACH (default 60) is how long faults go on, MESSAGES (default
# 500000) how many are sent while memory is watched.
set -eu
. "$(dirname "$0")/env.sh"
. "$(dirname "$0")/build.sh"

command -v valgrind >/dev/null || die "valgrind is missing"
find_server || die "no PostgreSQL server with headers was found"
enter_build
exec 9>"$build/lock"
flock -w 1800 9 || die "another run works in $build"
copy_source
build_into pg

check=$build/memcheck
server=$check/server
stop()
{
	[ -z "${SINK_PID:-}" ] || kill "$SINK_PID" 2>/dev/null || true
	as_server sh "$build/src/test/server.sh" stop "$server" 9>&-
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' HUP TERM

as_server rm -rf "$check"
as_server mkdir -p "$check/sink"
export PGHOST="$server" PGUSER=postgres PGPORT=5432

as_server "$build/bin/sink" --dir "$check/sink" --http 0 --smtp 0 --quiet >/dev/null 2>&1 9>&- &
until [ -e "$check/sink/ports" ]; do sleep 0.1; done
. "$check/sink/ports"

sql()
{
	psql -X -q -A -t -d postgres -v ON_ERROR_STOP=1 -c "$1" </dev/null
}

# Waits for a query to say t; dies after a while.
wait_sql()
{
	tries=$2
	until [ "$(sql "$1")" = t ]; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || die "never came true: $1"
		sleep 1
	done
}

as_server sh "$build/src/test/server.sh" start "$server" 9>&- <<CONF
shared_preload_libraries = 'ecauto'
ecauto.databases = 'postgres'
ecauto.worker_naptime = '1s'
max_wal_size = 8GB
CONF
psql -X -q -d postgres -v ON_ERROR_STOP=1 >/dev/null <<SQL
SET client_min_messages = warning;
CREATE EXTENSION ecauto;
SELECT ecauto.setup();
CREATE SERVER web FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:$HTTP_PORT', timeout '2s', breaker '0', max_attempts '3', concurrency '32');
CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://127.0.0.1:$SMTP_PORT', sender 'shop@shop.example', timeout '2s', breaker '0', max_attempts '3');
CREATE SERVER pull FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:1');
CREATE SERVER nobody FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:1', timeout '1s', max_attempts '3');
SELECT ecauto.pause_endpoint('pull');
SQL

echo "memory over ${MESSAGES:-500000} messages"
pid=$(sql "SELECT pid FROM ecauto.worker_status() WHERE worker = 'delivery'")
tenth=$((${MESSAGES:-500000} / 10))
first=
for round in $(seq 10); do
	sql "SELECT count(ecauto.enqueue('web', jsonb_build_object('n', n), path => '/ok')) FROM generate_series(1, $tenth) n" >/dev/null
	wait_sql "SELECT sum(delivered) >= $round * $tenth FROM ecauto_data.outbox_counter WHERE endpoint = 'web'" 600
	memory=$(awk '/^VmData/ {print $2}' "/proc/$pid/status")
	echo "after $((round * tenth)): $memory kB"
	# buffers find their sizes in the first rounds
	[ "$round" != 3 ] || first=$memory
done
[ "$memory" -le $((first + first / 20 + 1024)) ] || die "memory grows with messages: $first kB, then $memory kB"

echo "faults under valgrind for ${SECONDS_EACH:-60} s"
as_server sh "$build/src/test/server.sh" stop "$server" 9>&-
rm -f "$server/data/postmaster.pid"
as_server valgrind --quiet --trace-children=no --track-origins=yes --num-callers=24 --log-file="$check/valgrind.%p" \
	"$(dirname "$PG_CONFIG")/postgres" -D "$server/data" >"$check/log" 2>&1 9>&- &
tries=120
until psql -X -q -d postgres -c 'SELECT 1' >/dev/null 2>&1; do
	tries=$((tries - 1))
	[ "$tries" -gt 0 ] || die "the server did not start under valgrind: $check/log"
	sleep 1
done
wait_sql "SELECT pid IS NOT NULL FROM ecauto.worker_status() WHERE worker = 'delivery'" 60
fault()
{
	perl -MHTTP::Tiny -e 'exit !HTTP::Tiny->new->get($ARGV[0])->{success}' "http://127.0.0.1:$HTTP_PORT/fault/$1"
}
before=$(sql 'SELECT sum(delivered) FROM ecauto_data.outbox_counter')
end=$(($(date +%s) + ${SECONDS_EACH:-60}))
while [ "$(date +%s)" -lt $end ]; do
	for fault in none greet-421:3 mail-421:3 rcpt-421:3 refuse-mail:3 refuse-data:3 defer-data:3 refuse-dot:3 defer-dot:3 drop-data:3 drop-dot:3 mails:2; do
		fault $fault
		psql -X -q -d postgres -v ON_ERROR_STOP=1 >/dev/null <<-'SQL'
			SELECT ecauto.enqueue('web', '{"a": 1}', path => p) FROM unnest(ARRAY['/ok', '/s/500', '/s/429/1', '/s/404', '/flaky/1', '/close', '/drop', '/big/1000000', '/redirect?http://127.0.0.1/', '/hang', '/slow/10', '/delay/50', '/flaky/1/s/429/1', '/flaky/1/hang']) p, generate_series(1, 4);
			SELECT ecauto.enqueue('web', '{"a": 1}', path => '/ok', body => 'form', entity => 'order:1', headers => '{"X-A": "b"}');
			SELECT ecauto.enqueue('nobody', '{}');
			SELECT ecauto.enqueue('mail', jsonb_build_object('to', jsonb_build_array(a || '@b.example', 'anna@b.example'), 'subject', 'Zamówienie', 'text', 't', 'html', '<p>h</p>'))
				FROM unnest(ARRAY['anna', 'refuse', 'greylist', 'drop']) a, generate_series(1, 4);
			SELECT ecauto.enqueue('pull', '{"a": 1}', entity => 'order:' || n % 3) FROM generate_series(1, 8) n;
			SELECT ecauto.settle(id, attempt, o, 'why') FROM ecauto.lease('pull', 5) l, unnest(ARRAY['delivered', 'retry', 'dead', 'cancelled', 'released']) WITH ORDINALITY u(o, n) WHERE l.id % 5 = u.n - 1;
			SELECT ecauto.cancel(id) FROM ecauto.messages('web') WHERE state IN ('queued', 'retry') AND id % 50 = 0;
		SQL
	done
done
fault none
sql 'SELECT count(*) FROM ecauto.outbox_status()' >/dev/null
sql "SELECT 'deliveries under valgrind: ' || sum(delivered) - $before || ', tries again: ' || sum(retried) || ', dead: ' || sum(dead) FROM ecauto_data.outbox_counter"
as_server sh "$build/src/test/server.sh" stop "$server" 9>&-

# The server itself writes padding that it never set; what concerns us has one
# of our frames, or libcurl's.
sed 's/^==[0-9]*== \{0,1\}//' "$check"/valgrind.* | awk -v RS='' '/ecauto|libcurl/ && /(at|by) 0x/ && !/write\(buf\)|pwrite64\(buf\)|sendto\(msg\)/ {print; print ""; n++} END {exit n > 0}' >"$check/errors" ||
	{ cat "$check/errors" >&2; die "valgrind found errors"; }
echo "no error"

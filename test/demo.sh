#!/bin/sh
# The demonstration: installs what is missing, builds, starts a throw-away
# server with a small shop, lets ecauto watch over it, and sells until the
# supplier gets an order and people get their mail.
#
#   demo.sh         again: from the start
#   demo.sh stop
#
# Everything is in demo/ of the build directory.  Supplier and mailboxes are
# played by test/sink on 127.0.0.1; nothing leaves the machine.  The server
# keeps running, for a look around, until "demo.sh stop".
set -eu
. "$(dirname "$0")/env.sh"
. "$(dirname "$0")/build.sh"
demo=$build/demo

step()
{
	printf '\n== %s\n\n' "$*"
}

# What an earlier demo.sh started.  Its programs are in its own PostgreSQL.
stop_demo()
{
	if [ -x "$demo/bin/pg_ctl" ]; then
		(
			PATH=$demo/bin:$PATH
			as_server sh "$build/src/test/server.sh" stop "$demo/server"
		)
	fi
	sink_pid=$(sed -n 's/^SINK_PID=//p' "$demo/sink/ports" 2>/dev/null || true)
	if [ -n "$sink_pid" ] && [ "$(cat "/proc/$sink_pid/comm" 2>/dev/null)" = sink ]; then
		kill "$sink_pid" 2>/dev/null || true
	fi
	as_server rm -f "$demo/sink/ports"
}

if [ "${1:-}" = stop ]; then
	if [ -d "$demo" ]; then
		enter_build
		stop_demo
		as_server rm -rf "$demo/server" "$demo/sink"
	fi
	echo "the demonstration is stopped"
	exit 0
fi

step "Building"
sh "$top/test/install.sh" demo </dev/null
find_server || die "no PostgreSQL server with headers was found"
enter_build
stop_demo
exec 9>"$build/lock"
flock -w 1800 9 || die "another run works in $build"
copy_source
build_into demo/pg
exec 9>&-
as_server ln -sfn "$(dirname "$PG_CONFIG")" "$demo/bin"
echo "ecauto for PostgreSQL $PGMAJOR is in a private copy, $demo/pg"

# From here on, what fails takes the server with it.
trap 'stop_demo' EXIT
trap 'exit 130' INT
trap 'exit 143' HUP TERM

step "Starting a server, and something that plays the supplier and the mailboxes"
cron=
libraries=ecauto
if [ -f "$("$PG_CONFIG" --pkglibdir)/pg_cron.so" ]; then
	cron=1
	libraries=ecauto,pg_cron
fi
as_server sh "$build/src/test/server.sh" start "$demo/server" <<CONF
shared_preload_libraries = '$libraries'
ecauto.databases = 'shop'
ecauto.settle_time = 0
${cron:+cron.database_name = 'shop'
cron.use_background_workers = on}
CONF
as_server rm -rf "$demo/sink"
as_server mkdir -p "$demo/sink"
as_server setsid "$build/bin/sink" --dir "$demo/sink" --http 0 --smtp 0 </dev/null >"$demo/sink.log" 2>&1 &

# until_true SECONDS COMMAND...: wait for a command to succeed
until_true()
{
	tries=$(($1 * 5))
	shift
	until "$@"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.2
	done
}

until_true 20 test -f "$demo/sink/ports" || die "the sink did not start: $(cat "$demo/sink.log")"
. "$demo/sink/ports"

export PGHOST="$demo/server" PGPORT=5432 PGUSER=postgres PGOPTIONS='-c client_min_messages=warning'
run_sql()
{
	as_server psql -X -v ON_ERROR_STOP=1 -v http_port="$HTTP_PORT" -v smtp_port="$SMTP_PORT" "$@" </dev/null
}

# received FILE N: has the sink got N?
received()
{
	[ "$(wc -l < "$demo/sink/$1")" -ge "$2" ]
}

run_sql -q -d postgres -c 'CREATE DATABASE shop'
run_sql -q -d shop -f "$build/src/test/demo/shop.sql" >/dev/null
run_sql -q -d shop -c "UPDATE shop.stock s SET on_hand = s.reserved + 25
	FROM shop.variant v WHERE v.id = s.variant_id AND v.sku = 'SKU-1-1'"
[ -z "$cron" ] || run_sql -q -d shop -c 'CREATE EXTENSION pg_cron'
echo "PostgreSQL on $demo/server, HTTP on port $HTTP_PORT, mail on port $SMTP_PORT"
run_sql -q -d shop -A -t -F ' ' -c "SELECT 'the shop:',
	(SELECT count(*) FROM shop.product), 'products,', (SELECT count(*) FROM shop.customer), 'customers,',
	(SELECT count(*) FROM shop.orders), 'orders'"

step "Attaching ecauto to the shop"
run_sql -q -e -d shop -f "$build/src/test/demo/attach.sql"

step "A customer buys, and the shop runs low"
run_sql -q -e -d shop -f "$build/src/test/demo/sell.sql"

step "Waiting for what follows from that"
until_true 60 received http.jsonl 1 || die "no order came to the supplier; $demo/server/log may say why"
until_true 60 received smtp.jsonl 6 || die "the mails did not come; $demo/server/log may say why"
run_sql -q -d shop -v sink_dir="$demo/sink" -f "$build/src/test/demo/received.sql"

step "What ecauto saw and did"
run_sql -q -e -d shop -f "$build/src/test/demo/look.sql"

trap - EXIT INT HUP TERM
step "It goes on running"
cat <<TEXT
  look around   $demo/bin/psql -h $demo/server -U postgres shop
  sell more     SELECT shop.place_order('SKU-1-1', 3, 'you@example.test');
  who got what  $demo/sink/http.jsonl, $demo/sink/smtp.jsonl
  server log    $demo/server/log
  stop          sh test/demo.sh stop   (or: make demo-stop)
TEXT

#!/bin/sh
# The demonstration: installs what is missing, builds, starts a throw-away
# server with a shop of some hundred products and a year of orders, and lets
# ecauto run it: prices, purchase orders, an abandoned cart, segments, lifetime
# values, recommendations.  What arrives at suppliers and mailboxes is shown.
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

begin=$(date +%s)
part=0

# A headed section, with the seconds since the beginning.
step()
{
	part=$((part + 1))
	printf '\n== %s. %s  (%s s)\n\n' "$part" "$*" "$(($(date +%s) - begin))"
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
[ -e "$demo/bin" ] || echo "The first time, compiling takes about as long as all that follows."
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

step "Starting a server with a shop, and something that plays the suppliers and the mailboxes"
# a server that is not Debian's may lack pg_cron
cron=
[ ! -f "$("$PG_CONFIG" --pkglibdir)/pg_cron.so" ] || cron=1
as_server sh "$build/src/test/server.sh" start "$demo/server" <<CONF
shared_preload_libraries = 'ecauto${cron:+,pg_cron}'
ecauto.databases = 'shop'
ecauto.settle_time = 0
ecauto.timezone = 'Europe/London'
${cron:+cron.database_name = 'shop'
cron.use_background_workers = on}
max_worker_processes = 16
CONF
as_server rm -rf "$demo/sink" "$demo/report.html"
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
	as_server psql -X -v ON_ERROR_STOP=1 -P footer=off -v http_port="$HTTP_PORT" -v smtp_port="$SMTP_PORT" "$@" </dev/null
}

# tell FILE...: a part of the story
tell()
{
	for file in "$@"; do
		run_sql -q -d shop -v sink_dir="$demo/sink" -f "$build/src/test/demo/$file.sql"
	done
}

# received FILE N [TEXT]: has the sink got N, with TEXT in them?
received()
{
	[ "$(grep -c -e "${3:-}" "$demo/sink/$1" || true)" -ge "$2" ]
}

run_sql -q -d postgres -c 'CREATE DATABASE shop'
run_sql -q -d shop -v season=1 -v n_products=300 -v n_customers=2500 -v n_orders=9000 -v n_carts=60 -f "$build/src/test/demo/shop.sql" >/dev/null
run_sql -q -d shop -c 'CREATE SCHEMA demo'
run_sql -q -d shop -A -t -c "SELECT format('Alder & Birch sell %s products in %s variants; %s customers placed %s orders worth %s GBP in the last year.',
	(SELECT count(*) FROM shop.product), (SELECT count(*) FROM shop.variant), (SELECT count(*) FROM shop.customer),
	(SELECT count(*) FROM shop.orders), (SELECT to_char(sum(total), 'FM999,999,999') FROM shop.orders WHERE status <> 'cancelled'))"

step "Attaching ecauto to the shop"
tell attach

step "Customers: groups, lifetime value, segments"
tell learn

step "Prices: before, after, and why"
tell price

step "Stock: forecasts, offers, purchase orders"
tell supply
until_true 60 received http.jsonl 1 || die "no order came to a supplier; $demo/server/log may say why"

step "An abandoned cart"
tell cart
until_true 60 received smtp.jsonl 2 'You left something' || die "no reminders came; $demo/server/log may say why"
tell back
until_true 60 received smtp.jsonl 1 'A last word' || die "no last reminder came; $demo/server/log may say why"
tell rescue
until_true 60 received smtp.jsonl 1 'is paid' || die "no mail about the order came; $demo/server/log may say why"
tell flow

step "Recommendations"
tell recommend

step "Every night, by pg_cron"
if [ -n "$cron" ]; then
	tell night
else
	echo "pg_cron is not installed for this PostgreSQL; docs/schedule.md says what else will do."
fi

step "What arrived at the suppliers and in the mailboxes"
tell received

step "What ecauto saw and did"
tell look
report=$demo/report.html
run_sql -q -d shop -A -t -c "SELECT ecauto.report_html((ecauto.now() - interval '90 days')::date, ecauto.now()::date)" | as_server tee "$report" >/dev/null
grep -q '</html>' "$report" || die "the report is not complete: $report"

trap - EXIT INT HUP TERM
step "It goes on running"
cat <<TEXT
  the report    $report   (open it in a browser)
  look around   $demo/bin/psql -h $demo/server -U postgres shop
  sell more     SELECT shop.place_order('SKU-1-1', 3, 'you@example.test');
  who got what  $demo/sink/http.jsonl, $demo/sink/smtp.jsonl
  server log    $demo/server/log
  stop          sh test/demo.sh stop   (or: make demo-stop)
TEXT

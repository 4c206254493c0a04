#!/bin/sh
# A private server in a directory of its own.
#
#   server.sh start DIRECTORY    further lines for postgresql.conf on standard input
#   server.sh stop DIRECTORY
#
# Run it as a user who is not root, with the server's programs in the PATH.
# "start" begins with an empty database cluster, whatever was there before.
# It listens on a socket in DIRECTORY only, which only its user (and root) may
# open; superuser postgres, no password.  The log is DIRECTORY/log.
set -eu
what=$1
dir=$2

stop()
{
	[ ! -f "$dir/data/postmaster.pid" ] ||
		pg_ctl -D "$dir/data" -m fast -w stop >/dev/null 2>&1 ||
		pg_ctl -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || true
}

case $what in
start)
	stop
	rm -rf "$dir"
	mkdir -p "$dir"
	initdb -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 -N >"$dir/initdb.log" 2>&1 || {
		cat "$dir/initdb.log" >&2
		exit 1
	}
	{
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$dir'"
		echo "unix_socket_permissions = 0700"
		echo "fsync = off"
		cat
	} >> "$dir/data/postgresql.conf"
	${EC_SERVER_PRELOAD:+env "LD_PRELOAD=$EC_SERVER_PRELOAD"} pg_ctl -D "$dir/data" -w -l "$dir/log" start >/dev/null </dev/null || {
		tail -n 30 "$dir/log" >&2
		exit 1
	}
	;;
stop)
	stop
	;;
*)
	echo "usage: server.sh start|stop DIRECTORY" >&2
	exit 2
	;;
esac

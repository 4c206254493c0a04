#!/bin/sh
# Benchmarks, each beside its peer or the limit of what it stands on.
#
#   bench.sh            all
#   bench.sh NAME...    test/bench/NAME.sh
#
# ROUNDS (default 5) and SECONDS_EACH (default 10) set how long they run.  They
# print figures and ratios and judge nothing; docs/benchmarks.md says what was
# found where.
set -eu
. "$(dirname "$0")/env.sh"
. "$(dirname "$0")/build.sh"

[ $# -gt 0 ] || set -- $(ls "$top"/test/bench/*.sh | sed 's|.*/||; s|\.sh$||' | grep -vx -e measure)

sh "$top/test/install.sh" </dev/null
find_server || die "no PostgreSQL server with headers was found"
enter_build
exec 9>"$build/lock"
flock -w 1800 9 || die "another run works in $build"
copy_source
build_into pg
bench=$build/bench
trap 'as_server sh "$build/src/test/server.sh" stop "$bench/server"' EXIT
trap 'exit 130' INT
trap 'exit 143' HUP TERM

printf '%s, %s cores, %s\n' "$("$PG_CONFIG" --version)" "$(nproc)" \
	"$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
for name in "$@"; do
	[ -f "$top/test/bench/$name.sh" ] || die "there is no benchmark $name"
	printf '\n== %s\n' "$name"
	as_server rm -rf "$bench"
	as_server mkdir -p "$bench"
	as_server env BENCH="$bench" SOURCE="$build/src" BIN="$build/bin" PGHOST="$bench/server" PGUSER=postgres PGPORT=5432 \
		ECAUTO_SHARED="${ECAUTO_SHARED:-$top/../shared}" \
		ROUNDS="${ROUNDS:-5}" SECONDS_EACH="${SECONDS_EACH:-10}" \
		sh "$build/src/test/bench/$name.sh" 9>&- </dev/null
	as_server sh "$build/src/test/server.sh" stop "$bench/server"
done

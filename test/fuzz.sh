#!/bin/sh
# Fuzzing: libFuzzer in a server in single-user mode, with the sanitizer
# of undefined behaviour (see fuzz/fuzz.c), over texts of our own tests.
#
#   fuzz.sh [--if-possible] [TARGET...]    template, condition, definition, mail (default: all)
#
# SECONDS_EACH (default 15) is how long a target is worked on, FUZZ_SEED where
# it begins.  What was found to be worth keeping stays in fuzz/corpus of the
# build and is where the next run begins.  Fails at the first text that breaks
# something and says where it is.
set -eu
. "$(dirname "$0")/env.sh"
. "$(dirname "$0")/build.sh"
build=$build-fuzz

if [ "${1:-}" = --if-possible ]; then
	shift
	[ -e "$(clang -print-file-name="libclang_rt.fuzzer_no_main-$(uname -m).a" 2>/dev/null)" ] || {
		say "no fuzzing: there is no clang with libFuzzer"
		exit 0
	}
fi
command -v clang >/dev/null || die "clang is missing"
[ -e "$(clang -print-file-name="libclang_rt.fuzzer_no_main-$(uname -m).a")" ] || die "clang has no libFuzzer: libclang-rt-dev is missing"
find_server || die "no PostgreSQL server with headers was found"
enter_build
exec 9>"$build/lock"
flock -w 1800 9 || die "another run works in $build"
copy_source
export FUZZ=1
build_into pg

dir=$build/fuzz
server=$dir/server
as_server mkdir -p "$dir"
as_server rm -rf "$dir/seeds" "$server"
as_server perl "$build/src/test/fuzz/seeds.pl" "$dir/seeds"

export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1"

as_server initdb -D "$server" -U postgres -A trust -E UTF8 --locale=C.UTF-8 -N >"$build/log" 2>&1 || die "initdb failed: $build/log"
cat >>"$server/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$dir'
fsync = off
shared_preload_libraries = 'ecauto'
ecauto.settle_time = 0
ecauto.timezone = 'Europe/Warsaw'
ecauto.clock = '2026-06-16 12:00:00+02'
log_min_messages = fatal
client_min_messages = error
CONF
trap 'as_server pg_ctl -D "$server" -m immediate -w stop >/dev/null 2>&1 || true' EXIT
as_server pg_ctl -D "$server" -w -l "$dir/log" start >/dev/null 9>&- || die "the server did not start: $dir/log"
{
	echo 'CREATE EXTENSION ecauto; SELECT ecauto.setup();'
	echo "CREATE FUNCTION public.fuzz(target text, arguments text[]) RETURNS void AS 'ecauto', 'ecauto_fuzz' LANGUAGE C;"
	echo 'BEGIN;'
	cat "$build/src/test/pgtap/report/shop.psql" "$build/src/test/pgtap/report/busy.psql"
	echo 'COMMIT;'
} | psql -X -q -o /dev/null -h "$dir" -U postgres -d postgres -v ON_ERROR_STOP=1
as_server pg_ctl -D "$server" -m fast -w stop >/dev/null

status=0
for target in ${*:-template condition definition mail}; do
	as_server mkdir -p "$dir/corpus/$target" "$dir/found"
	echo "target $target, ${SECONDS_EACH:-15} s"
	echo "SELECT public.fuzz('$target', ARRAY['-max_total_time=${SECONDS_EACH:-15}', '-seed=${FUZZ_SEED:-1}', '-max_len=4000', '-timeout=60', '-rss_limit_mb=4000', '-malloc_limit_mb=2000', '-print_final_stats=0', '-verbosity=1', '-artifact_prefix=$dir/found/$target-', '-dict=$dir/seeds/dictionary', '$dir/corpus/$target', '$dir/seeds/$target'])" |
		as_server postgres --single -D "$server" postgres >"$dir/$target.log" 2>&1 9>&- || status=$?
	grep -a '^target\|^#[0-9]*.*DONE' "$dir/$target.log" | tail -n 2 || true
	if [ $status != 0 ] || ! grep -aq '^target ' "$dir/$target.log"; then
		grep -a -A30 'BROKEN\|ERROR: \|runtime error\|FATAL' "$dir/$target.log" | head -n 60 >&2
		tail -n 5 "$dir/$target.log" >&2
		die "target $target broke something: $dir/$target.log"
	fi
done
echo "nothing broke"

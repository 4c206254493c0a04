#!/bin/sh
# Builds with the sanitizers of undefined behaviour and, if the server can load
# it, of addresses, in a build directory of its own, and runs tests in servers
# that have them: those of pg_regress and pgTAP, or those given, as for all.sh.
#
#   asan.sh [FILE...]
#
# Fails if a test does, or if a sanitizer found something in our code; what, is
# in the directory asan of the build.
set -eu
. "$(dirname "$0")/env.sh"
build=$build-asan

find_server || die "no PostgreSQL server with headers was found"
reports=$build/asan
mkdir -p "$reports"
rm -f "$reports"/*
[ "$uid" != 0 ] || chown "$server_user" "$build" "$reports"

# a server frees by memory contexts, and jumps out of functions in errors
export ASAN_OPTIONS="detect_leaks=0:detect_stack_use_after_return=0:handle_segv=0:log_path=$reports/asan"
export UBSAN_OPTIONS="print_stacktrace=1:log_path=$reports/ubsan"

# The library is loaded into servers that are not built so: the runtime comes
# first, which not every C library takes from a program with messages in several
# languages (it hangs before main() has begun).
SANITIZE=undefined
runtime=$(readlink -f "$(cc -print-file-name=libasan.so)")
if [ -e "$runtime" ] && timeout 20 env LD_PRELOAD="$runtime" "$("$pg_config" --bindir)/postgres" -V >/dev/null 2>&1; then
	SANITIZE=address,undefined
	export EC_SERVER_PRELOAD="$runtime"
else
	say "without the address sanitizer: this server cannot load it; test/memcheck.sh looks at memory"
fi
export SANITIZE

status=0
if [ $# -gt 0 ]; then
	ECAUTO_BUILD=$build sh "$top/test/all.sh" "$@" || status=$?
else
	ECAUTO_BUILD=$build TESTS_ONLY='^test/pgtap/\|^test/checks/regress' sh "$top/test/all.sh" || status=$?
fi

found=$(grep -l 'ERROR: AddressSanitizer\|runtime error' "$reports"/* 2>/dev/null || true)
if [ -n "$found" ]; then
	# shellcheck disable=SC2086 # a list
	grep -h 'ERROR: AddressSanitizer\|runtime error' $found | sort | uniq -c | sort -rn >&2
	die "sanitizers found something: $reports"
fi
[ $status = 0 ] && say "the sanitizers found nothing ($SANITIZE)"
exit $status

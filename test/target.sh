#!/bin/sh
# The Makefile's targets that are not PGXS's.
#
#   target.sh test|pgtap|isolation|headerscheck|check-modules|demo|demo-stop|
#             bench|bench-outbox|format|format-check|coverage|asan|fuzz|
#             test-matrix|dist|deb|freeze
set -eu
here=$(dirname "$0")

case $1 in
test) exec sh "$here/all.sh" ;;
pgtap) TESTS_ONLY=^test/pgtap/ exec sh "$here/all.sh" ;;
isolation) TESTS_ONLY=^test/checks/isolation exec sh "$here/all.sh" ;;
headerscheck) exec perl "$here/checks/headers.pl" ;;
check-modules) exec perl "$here/checks/modules.pl" ;;
demo) exec sh "$here/demo.sh" ;;
demo-stop) exec sh "$here/demo.sh" stop ;;
bench) exec sh "$here/bench.sh" ;;
bench-outbox) exec sh "$here/bench.sh" outbox_http outbox_mail outbox_latency outbox_enqueue ;;
format) exec sh "$here/format.sh" ;;
format-check) exec sh "$here/format.sh" check ;;
coverage) exec sh "$here/coverage.sh" ;;
asan) exec sh "$here/asan.sh" ;;
fuzz) exec sh "$here/fuzz.sh" ;;
test-matrix) exec bash "$here/matrix.sh" ;;
dist) exec sh "$here/dist.sh" ;;
deb) exec bash "$here/deb.sh" ;;
freeze) exec sh "$here/freeze.sh" ;;
*)
	echo "target.sh: there is no target $1" >&2
	exit 2
	;;
esac

#!/bin/sh
# Installs what is missing, builds, and runs the tests.
#
#   all.sh              every test
#   all.sh FILE...      these: test/t/*.pl, test/pgtap/*/*.sql, test/sql/*.sql,
#                       test/specs/*.spec, test/checks/*.pl
#
# All run under one prove, so its last lines are the summary and its exit
# status is ours.  WERROR=1 makes warnings of the compiler errors, PROVE_FLAGS
# are further options of prove, TESTS_ONLY=WORD runs the files in whose path it
# is, NO_BROWSER=1 does not install one for the tests that look at pages.  Files
# of failed tests stay in the directory check/ of the build.
set -eu
. "$(dirname "$0")/env.sh"
. "$(dirname "$0")/build.sh"

sh "$top/test/install.sh" </dev/null
find_server || die "no PostgreSQL server with headers was found"
for program in prove psql; do
	command -v $program >/dev/null || die "$program is missing"
done
PERL5LIB=$(dirname "$("$pg_config" --pgxs)")/../test/perl perl -MIPC::Run -MPostgreSQL::Test::Cluster -e 1 ||
	die "the server's Perl modules for tests do not load"

start_dir=$PWD
enter_build
exec 9>"$build/lock"
flock -w 1800 9 || die "another run works in $build"

copy_source
build_into pg

# test/data of other projects beside the clone; most tests do without
shared=
for dir in "${ECAUTO_SHARED:-}" "$top/../shared"; do
	[ -z "$shared" ] && [ -n "$dir" ] && [ -d "$dir" ] || continue
	shared=$(cd "$dir" && pwd -P)
	if ! as_server test -r "$shared/." -a -x "$shared"; then
		# closed to the other user: give it what tests read
		as_server mkdir -p "$build/shared"
		(cd "$shared" && tar --mode=u+rwX -cf - $(ls -d mustache shops reference data/email_syntax data/online_retail data/cdnow data/m3 data/carparts data/groceries data/splits data/vat_rates data/inventory_oracles 2>/dev/null)) |
			as_server tar -C "$build/shared" -xf -
		shared=$build/shared
	fi
done

check=$build/check
trap 'as_server sh "$build/src/test/server.sh" stop "$check/server"' EXIT
trap 'exit 130' INT
trap 'exit 143' HUP TERM

as_server rm -rf "$check/tmp_check"
as_server mkdir -p "$check/tmp_check/log"
as_server sh "$build/src/test/server.sh" start "$check/server" 9>&- <<CONF
shared_preload_libraries = 'ecauto'
max_connections = 50
max_prepared_transactions = 10
CONF

export PGHOST="$check/server" PGUSER=postgres PGPORT=5432
as_server psql -Xq -d postgres -v ON_ERROR_STOP=1 <<SQL
CREATE DATABASE ecauto_pgtap;
\c ecauto_pgtap
CREATE EXTENSION pgtap;
CREATE EXTENSION ecauto;
SET client_min_messages = warning;
SELECT ecauto.setup() \g /dev/null
SQL

# The files, quick ones first.
cd "$build/src"
regress= isolation=
if [ $# -gt 0 ]; then
	files=
	for file in "$@"; do
		case $file in
			/*) file=${file#"$top"/} ;;
			*) [ -f "$file" ] || file=$(cd "$start_dir" && realpath --relative-to="$top" "$file") ;;
		esac
		[ -f "$file" ] || die "there is no test $file"
		case $file in
			test/sql/*.sql) regress="$regress $(basename "$file" .sql)" ;;
			test/specs/*.spec) isolation="$isolation $(basename "$file" .spec)" ;;
			*) files="$files $file" ;;
		esac
	done
	[ -z "$regress" ] || files="$files test/checks/regress.pl"
	[ -z "$isolation" ] || files="$files test/checks/isolation.pl"
else
	files=$(
		ls test/checks/headers.pl test/checks/modules.pl test/checks/layout.pl test/checks/messages.pl test/checks/meta.pl test/checks/regress.pl test/checks/isolation.pl
		find test/pgtap -name '*.sql' 2>/dev/null | sort
		ls test/t/*.pl
	)
fi
if [ -n "${TESTS_ONLY:-}" ]; then
	files=$(printf '%s\n' $files | grep -e "$TESTS_ONLY") || die "no test has $TESTS_ONLY in its path"
fi

# shellcheck disable=SC2086 # a list
if [ -z "${NO_BROWSER:-}" ] && grep -q chromium $files; then
	timeout 600 sh "$top/test/install.sh" browser </dev/null || say "no browser: the tests that look at pages skip that"
fi

status=0
# shellcheck disable=SC2086 # lists
as_server env \
	REGRESS_TESTS="$regress" ISOLATION_TESTS="$isolation" \
	PERL5LIB="$build/src/test/perl:$(dirname "$("$PG_CONFIG" --pgxs)")/../test/perl" \
	PG_REGRESS="$(dirname "$("$PG_CONFIG" --pgxs)")/../test/regress/pg_regress" \
	TESTDIR="$check" TESTDATADIR="$check/tmp_check" TESTLOGDIR="$check/tmp_check/log" \
	ECAUTO_BUILD="$build" ECAUTO_SHARED="$shared" ECAUTO_SINK="$build/bin/sink" \
	prove --timer --source Perl --source pgTAP \
	--pgtap-option dbname=ecauto_pgtap --pgtap-option suffix=.sql \
	${PROVE_FLAGS:-} $files 9>&- </dev/null || status=$?
exit $status

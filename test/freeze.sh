#!/bin/sh
# Freezes the present version: what CREATE EXTENSION runs, and a fingerprint of
# all that it makes, go into test/released.  From then on test/t/185_upgrade.pl
# holds us to it, and a change of SQL or state needs a new version:
#
#   default_version in ecauto.control, META.json, debian/changelog, CHANGELOG.md;
#   sql/OLD--NEW.sql for what CREATE OR REPLACE cannot do;
#   sql/<domain>/state_NNN.sql, EC_STATE_VERSION and "latest" in setup() and status().
#
# FORCE=1 freezes again what was not published yet.
set -eu
. "$(dirname "$0")/env.sh"
. "$(dirname "$0")/build.sh"
version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" "$top/ecauto.control")
released=$top/test/released

[ ! -e "$released/$version.install" ] || [ -n "${FORCE:-}" ] ||
	die "version $version is frozen already; FORCE=1 does it again if nobody has it yet"
find_server || die "no PostgreSQL server with headers was found"
enter_build
exec 9>"$build/lock"
flock -w 1800 9 || die "another run works in $build"
copy_source
build_into pg

server=$build/freeze
trap 'as_server sh "$build/src/test/server.sh" stop "$server"' EXIT
as_server sh "$build/src/test/server.sh" start "$server" 9>&- </dev/null
mkdir -p "$released"
as_server psql -Xq -h "$server" -U postgres -d postgres -v ON_ERROR_STOP=1 \
	-c "CREATE EXTENSION ecauto" -c "SELECT ecauto.setup()" >/dev/null
as_server psql -XAtq -h "$server" -U postgres -d postgres -v ON_ERROR_STOP=1 \
	-f "$build/src/test/fingerprint.psql" > "$released/$version.fingerprint"
cp "$build/src/ecauto--$version.sql" "$released/$version.install"
echo "$PGMAJOR" > "$released/$version.server"
say "frozen: $(ls "$released/$version".*)"

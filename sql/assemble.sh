#!/bin/sh
# Writes the install script, or the one that updates, to standard output.
#
#   assemble.sh VERSION DOMAIN...
#   assemble.sh --from OLD VERSION DOMAIN...
#
# Each domain gives its functions (functions.sql and further files beside it)
# and its state (state_NNN.sql: the statements that take ecauto_data from
# version NNN-1 to NNN).  The state steps become the bodies of
# ecauto.state_step_NNN(), which setup() calls in turn.  Files in shop/presets/
# are not run but become the rows of ecauto.presets(), and those in
# flow/library/ the rows of ecauto.library(); report/page.html is what
# ecauto.report_page() returns.  A fresh install creates, it does not replace:
# something planted under one of our names beforehand makes it fail.
#
# An update is OLD--VERSION.sql beside this file, if there is one (it drops what
# is gone, and what CREATE OR REPLACE cannot replace, and creates new types),
# then all functions again.  Both kinds of script end with a look at the library.
set -eu
cd "$(dirname "$0")"
old=
if [ "$1" = --from ]; then
	old=$2
	shift 2
fi
version=$1
shift

printf '/* ecauto %s: assembled from sql/, do not edit */\n\n' "$version"
if [ -n "$old" ]; then
	printf '\\echo Use "ALTER EXTENSION ecauto UPDATE" to load this file. \\quit\n\n'
	create='CREATE OR REPLACE'
	[ ! -f "$old--$version.sql" ] || cat "$old--$version.sql"
else
	printf '\\echo Use "CREATE EXTENSION ecauto" to load this file. \\quit\n\n'
	create=CREATE
fi

# What is written CREATE without OR REPLACE is made once.
code()
{
	if [ -n "$old" ]; then
		sed '/^CREATE \(SCHEMA\|FOREIGN\|TYPE\|OPERATOR\|CAST\|DOMAIN\)/,/;$/d' "$1"
	else
		sed 's/^CREATE OR REPLACE /CREATE /' "$1"
	fi
}

for domain in "$@"; do
	for file in "$domain"/*.sql; do
		case $file in
			*/state_*.sql | *'*'*) continue ;;
		esac
		printf -- '-- %s\n' "$file"
		code "$file"
		printf '\n'
	done
done

separator=' '
printf '%s FUNCTION ecauto.presets()\nRETURNS TABLE (preset text, definition text)\n' "$create"
printf 'LANGUAGE sql IMMUTABLE PARALLEL SAFE\nBEGIN ATOMIC\nVALUES'
for file in shop/presets/*.sql; do
	printf "%s('%s', \$ecauto_preset\$" "$separator" "$(basename "$file" .sql)"
	cat "$file"
	printf '$ecauto_preset$)'
	separator=', '
done
printf ';\nEND;\n'
printf 'COMMENT ON FUNCTION ecauto.presets() IS\n'
printf "'shops that ecauto knows, and what it knows of them: queries for the roles, sources, writers, parameters';\n\n"

printf '%s FUNCTION ecauto.report_page()\nRETURNS text\n' "$create"
printf 'LANGUAGE sql IMMUTABLE PARALLEL SAFE\nBEGIN ATOMIC\nSELECT $ecauto_page$'
cat report/page.html
printf '$ecauto_page$::text;\nEND;\n'
printf 'COMMENT ON FUNCTION ecauto.report_page() IS\n'
printf "'the page of ecauto.report_html() as a Mustache template; copy it to make a page of your own with ecauto.render() and ecauto.report_data()';\n\n"

separator=' '
printf '%s FUNCTION ecauto.library()\nRETURNS TABLE (template text, definition jsonb)\n' "$create"
printf 'LANGUAGE sql IMMUTABLE PARALLEL SAFE\nBEGIN ATOMIC\nVALUES'
for file in flow/library/*.json; do
	printf "%s('%s', \$ecauto_library\$" "$separator" "$(basename "$file" .json)"
	cat "$file"
	printf '$ecauto_library$::jsonb)'
	separator=', '
done
printf ';\nEND;\n'
printf 'COMMENT ON FUNCTION ecauto.library() IS\n'
printf "'templates of flows, as they stand in the files of the library; see ecauto.template_library()';\n\n"

steps=$(for domain in "$@"; do ls "$domain"/state_*.sql 2>/dev/null || true; done |
	sed 's/.*state_\([0-9]*\)\.sql/\1/' | sort -u)
for step in $steps; do
	printf '%s FUNCTION ecauto.state_step_%s()\n' "$create" "$step"
	printf 'RETURNS void\nLANGUAGE plpgsql\nSET search_path = pg_catalog, pg_temp\n'
	printf 'AS $ecauto_state$\nBEGIN\n'
	for domain in "$@"; do
		[ -f "$domain/state_$step.sql" ] || continue
		printf -- '-- %s\n' "$domain/state_$step.sql"
		cat "$domain/state_$step.sql"
	done
	printf 'END\n$ecauto_state$;\n'
	printf 'COMMENT ON FUNCTION ecauto.state_step_%s() IS\n' "$step"
	printf "'takes the state in schema ecauto_data to version %d; called by ecauto.setup() alone';\n" "$((1$step - 1000))"
done

# New SQL with an old library would fail later, one call at a time.
cat <<SQL

DO \$\$
BEGIN
	IF ecauto.library_version() OPERATOR(pg_catalog.<>) '$version' THEN
		RAISE EXCEPTION 'the library of ecauto is of version %, its SQL of version $version', ecauto.library_version()
			USING ERRCODE = 'object_not_in_prerequisite_state',
				HINT = 'Install the package of that version; if it is installed, restart the server, which has loaded the library of the other one, or at least reconnect.';
	END IF;
END
\$\$;
SQL

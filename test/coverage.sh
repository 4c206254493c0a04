#!/bin/sh
# Builds for gcov in a build directory of its own, runs the tests (or those
# given, as for all.sh), and says how many lines of each file and
# domain they reached.
# Fails if a test does.
set -eu
. "$(dirname "$0")/env.sh"
build=$build-coverage

# counts of an earlier run
[ ! -d "$build/src" ] || find "$build/src" -name '*.gcda' -delete

status=0
ECAUTO_BUILD=$build COVERAGE=1 sh "$top/test/all.sh" "$@" || status=$?

cd "$build/src"
printf '\n%9s %9s %7s  %s\n' lines reached percent file
find src -name '*.gcda' | sort | while read -r counts; do
	gcov -n -o "$(dirname "$counts")" "$counts" 2>/dev/null
done | awk '
	/^File / {
		file = substr($0, 7)
		sub(/.$/, "", file)
	}
	/^Lines executed:/ && file ~ /^src\// && file ~ /\.c$/ {
		split(substr($2, index($2, ":") + 1), percent, "%")
		reached = int($4 * percent[1] / 100 + 0.5)
		printf "%9d %9d %6.1f%%  %s\n", $4, reached, percent[1], file
		split(file, part, "/")
		of[part[2]] += $4
		in_domain[part[2]] += reached
		lines += $4
		all += reached
		file = ""
	}
	END {
		for (domain in of)
			printf "%9d %9d %6.1f%%  %s\n", of[domain], in_domain[domain], 100 * in_domain[domain] / of[domain], "domain " domain | "sort -k4"
		close("sort -k4")
		if (lines > 0)
			printf "%9d %9d %6.1f%%  %s\n", lines, all, 100 * all / lines, "together"
	}'
exit $status

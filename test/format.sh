#!/bin/sh
# Lays out the C sources by .clang-format; "format.sh check" only says which
# files it would change, and fails if there are any.
set -eu
cd "$(dirname "$0")/.."

command -v clang-format >/dev/null || {
	echo "error: clang-format is missing (Debian: apt-get install clang-format)" >&2
	exit 1
}
status=0
for file in src/*.c src/*/*.[ch] test/*/*.c; do
	[ -f "$file" ] || continue
	if [ "${1:-}" = check ]; then
		clang-format --style=file "$file" | cmp -s - "$file" || {
			echo "$file"
			status=1
		}
	else
		clang-format --style=file -i "$file"
	fi
done
exit $status

#!/bin/sh
# Makes a private copy of an installed PostgreSQL and prints its pg_config.
#
#   tree.sh PG_CONFIG DIRECTORY
#
# A server looks for its files relative to its own program file, so a copy that
# keeps the layout is complete in itself: "make install" with its pg_config
# writes into the copy and never into the system.  Headers and libraries that
# nobody writes to are links.  Makes the copy anew if the original changed.
set -eu
from=$1
to=$2

bindir=$("$from" --bindir)
pkglibdir=$("$from" --pkglibdir)
sharedir=$("$from" --sharedir)
state=$("$from" --version; find "$bindir" "$pkglibdir" "$sharedir" -printf '%p %s %T@\n' | sort | cksum)

if [ "$(cat "$to/.made-from" 2>/dev/null)" != "$state" ]; then
	rm -rf "$to"
	for dir in "$bindir" "$pkglibdir" "$sharedir"; do
		# one may lie below another
		if [ ! -e "$to$dir" ]; then
			mkdir -p "$(dirname "$to$dir")"
			cp -R --preserve=mode,timestamps,links "$dir" "$to$dir"
		fi
	done
	for what in libdir includedir pkgincludedir includedir-server localedir; do
		old=$("$from" --$what)
		new=$("$to$bindir/pg_config" --$what)
		if [ ! -e "$new" ] && [ -e "$old" ]; then
			mkdir -p "$(dirname "$new")"
			ln -s "$old" "$new"
		fi
	done
	[ "$("$to$bindir/pg_config" --sharedir)" = "$to$sharedir" ] || {
		echo "error: $from cannot be copied to another place" >&2
		exit 1
	}
	printf '%s' "$state" > "$to/.made-from"
fi
echo "$to$bindir/pg_config"

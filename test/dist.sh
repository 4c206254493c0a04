#!/bin/sh
# Writes ecauto-VERSION.zip, as PGXN wants it, and ecauto-VERSION.tar.gz from
# the committed project into the current directory.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd -P)
version=$(sed -n 's/^   "version": "\(.*\)",$/\1/p' "$top/META.json")
for format in zip tar.gz; do
	git -C "$top" -c safe.directory="$top" archive --format=$format --prefix="ecauto-$version/" HEAD > "ecauto-$version.$format"
	echo "ecauto-$version.$format"
done

#!/bin/bash
# Proves that the demonstration and the tests run on a machine that has
# nothing: makes a minimal Debian in a directory, puts a clean copy of the
# committed project in its /root, and runs there, as root,
#
#	sh test/demo.sh, the same again, its stop, and sh test/all.sh
#
#   bare.sh SUITE DIRECTORY [COMMAND]
#
# For example: bare.sh bookworm /var/tmp/bare.  COMMAND replaces the above.
# By hand, it is no part of all.sh; chroot.sh says what it needs.
set -euo pipefail
suite=$1
root=$2
command=${3:-'sh test/demo.sh && sh test/demo.sh && sh test/demo.sh stop && sh test/all.sh'}
here=$(cd "$(dirname "$0")" && pwd -P)

bash "$here/chroot.sh" make "$suite" "$root"
for tool in psql pg_config make cc; do
	[ ! -e "$root/usr/bin/$tool" ] || { echo "error: $tool is there already" >&2; exit 1; }
done
exec bash "$here/chroot.sh" run "$root" "$command"

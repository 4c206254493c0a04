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
# Run it as root on Debian with mmdebstrap; by hand, it is no part of all.sh.
# Packages come from where this machine's apt gets them.  PGMAJOR and WERROR
# are handed on, and so is test data beside the clone (or in ECAUTO_SHARED).  The
# directory is made anew, and all that was started in it ends with the script.
set -euo pipefail
suite=$1
root=$2
command=${3:-'sh test/demo.sh && sh test/demo.sh && sh test/demo.sh stop && sh test/all.sh'}
top=$(cd "$(dirname "$0")/.." && pwd -P)

# The main archive, and the settings of apt that mmdebstrap does not read.
mirror=$(apt-get indextargets --format '$(REPO_URI)|$(CODENAME)' 'Created-By: Packages' |
	awk -F'|' '$2 !~ /security|updates|backports/ { sub("/$", "", $1); print $1; exit }')
[ -n "$mirror" ] || { echo "error: apt has no package lists (apt-get update)" >&2; exit 1; }
options=()
while IFS= read -r line; do
	options+=("--aptopt=$line")
done < <(apt-config dump | grep -E '^Acquire::(http|https|Check-Valid-Until|Retries)[^ ]* "..*";$' || true)

if mountpoint -q "$root/proc" || mountpoint -q "$root"; then
	echo "error: something is mounted in $root" >&2
	exit 1
fi
rm -rf --one-file-system "$root"
mkdir -p "$root"
mmdebstrap --quiet --variant=minbase --mode=root "${options[@]}" "$suite" "$root" "$mirror"

mkdir "$root/root/ecauto"
git -C "$top" archive HEAD | tar -C "$root/root/ecauto" -xf -
cp /etc/resolv.conf /etc/hosts "$root/etc/"
for tool in psql pg_config make cc; do
	[ ! -e "$root/usr/bin/$tool" ] || { echo "error: $tool is there already" >&2; exit 1; }
done
shared=
if [ -d "${ECAUTO_SHARED:-$top/../shared}" ]; then
	shared=$(cd "${ECAUTO_SHARED:-$top/../shared}" && pwd -P)
	mkdir "$root/root/shared"
fi

# Mounts and processes in namespaces of their own, which end with it.
# shellcheck disable=SC2016 # expanded inside
exec unshare --mount --pid --fork --kill-child bash -euc '
	root=$1 shared=$2 command=$3
	mount -t proc proc "$root/proc"
	mount -t tmpfs tmpfs "$root/dev"
	for device in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0"; do
		read -r name major minor <<<"$device"
		mknod -m 666 "$root/dev/$name" c "$major" "$minor"
	done
	ln -s /proc/self/fd "$root/dev/fd"
	mkdir -m 1777 "$root/dev/shm"
	mount -t tmpfs tmpfs "$root/dev/shm"
	[ -z "$shared" ] || mount --bind "$shared" "$root/root/shared"
	chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb \
		${PGMAJOR:+PGMAJOR=$PGMAJOR} ${WERROR:+WERROR=$WERROR} \
		sh -c "cd /root/ecauto && ($command) </dev/null"
' bare "$root" "$shared" "$command"

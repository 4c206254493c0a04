#!/bin/bash
# A minimal Debian in a directory, and commands in it.
#
#   chroot.sh make SUITE DIRECTORY [PACKAGE...]    made anew
#   chroot.sh run DIRECTORY COMMAND                as root, from /root/ecauto
#
# "make" leaves a clean copy of the committed project in /root/ecauto there;
# "run" brings that copy up to date first; a file that is as it was keeps its
# time, so that only what changed is built again.  Packages come from where this
# machine's apt gets them.  PGMAJOR, WERROR, TESTS_ONLY, NO_BROWSER and
# PROVE_FLAGS are handed on, and so is test data beside the clone (or in ECAUTO_SHARED).  All
# that was started in it ends with the command.  For root, on Debian with
# mmdebstrap.
set -euo pipefail
what=$1
top=$(cd "$(dirname "$0")/.." && pwd -P)

make_root()
{
	local suite=$1 root=$2 packages mirror security line options=() sources=()
	shift 2
	packages=$(IFS=,; echo "$*")

	# The main archive, and the settings of apt that mmdebstrap does not read.
	mirror=$(apt-get indextargets --format '$(REPO_URI)|$(CODENAME)' 'Created-By: Packages' |
		awk -F'|' '$2 !~ /security|updates|backports/ { sub("/$", "", $1); if (!n++) print $1 }')
	[ -n "$mirror" ] || { echo "error: apt has no package lists (apt-get update)" >&2; exit 1; }
	mkdir -p "$(dirname "$root")"
	sources=("deb $mirror $suite main")
	# with its security updates, if this machine has those of its own
	security=$(apt-get indextargets --format '$(REPO_URI)|$(CODENAME)' 'Created-By: Packages' |
		awk -F'|' '$2 ~ /security/ { sub("/$", "", $1); if (!n++) print $1 }')
	if [ -n "$security" ] && /usr/lib/apt/apt-helper download-file "$security/dists/$suite-security/Release" "$root.release" >/dev/null 2>&1; then
		sources+=("deb $security $suite-security main")
		rm -f "$root.release"
	fi
	while IFS= read -r line; do
		options+=("--aptopt=$line")
	done < <(apt-config dump | grep -E '^Acquire::(http|https|Check-Valid-Until|Check-Date|Retries)[^ ]* "..*";$' || true)

	if mountpoint -q "$root/proc" || mountpoint -q "$root"; then
		echo "error: something is mounted in $root" >&2
		exit 1
	fi
	rm -rf --one-file-system "$root"
	mkdir -p "$root"
	# all that it starts and mounts ends with it, however it ends
	unshare --mount --pid --fork --kill-child --mount-proc mmdebstrap --quiet --variant=minbase --mode=root --aptopt='Apt::Install-Recommends "false"' \
		${packages:+--include="$packages"} "${options[@]}" "$suite" "$root" "${sources[@]}"
	[ ! -e /etc/resolv.conf ] || cp /etc/resolv.conf "$root/etc/"
	cp /etc/hosts "$root/etc/"
}

copy_project()
{
	local to=$1/root/ecauto
	rm -rf "$to.new"
	mkdir -p "$to.new"
	git -C "$top" -c safe.directory="$top" archive HEAD | tar -C "$to.new" -xmf -
	if [ -d "$to" ]; then
		(cd "$to.new" && find . -type f) | perl -MFile::Compare -ne '
			BEGIN { ($old, $new) = splice @ARGV, 0, 2 }
			chomp;
			utime((stat "$old/$_")[8, 9], "$new/$_") if -f "$old/$_" && !compare("$old/$_", "$new/$_");
		' "$to" "$to.new"
		rm -rf "$to"
	fi
	mv "$to.new" "$to"
}

case $what in
make)
	shift
	make_root "$@"
	copy_project "$2"
	exit
	;;
run) ;;
*)
	echo "usage: chroot.sh make SUITE DIRECTORY [PACKAGE...] | run DIRECTORY COMMAND" >&2
	exit 2
	;;
esac

root=$2
command=$3
copy_project "$root"
shared=
if [ -d "${ECAUTO_SHARED:-$top/../shared}" ]; then
	shared=$(cd "${ECAUTO_SHARED:-$top/../shared}" && pwd -P)
	mkdir -p "$root/root/shared"
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
	chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LC_ALL=C.UTF-8 \
		${PGMAJOR:+PGMAJOR=$PGMAJOR} ${WERROR:+WERROR=$WERROR} \
		${TESTS_ONLY:+TESTS_ONLY="$TESTS_ONLY"} ${NO_BROWSER:+NO_BROWSER=$NO_BROWSER} ${PROVE_FLAGS:+PROVE_FLAGS="$PROVE_FLAGS"} \
		sh -c "cd /root/ecauto && ($command) </dev/null"
' chroot.sh "$root" "$shared" "$command"

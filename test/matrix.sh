#!/bin/bash
# The tests on several versions of PostgreSQL.
#
#   matrix.sh [--quick] [--if-possible] [MAJOR...]      default: 15 17 18
#
# The version that this machine has is tested here, each other one in a
# minimal Debian of the suite that carries it, in MATRIX_DIR (default
# /var/tmp/ecauto-matrix) and kept there for the next time.  --quick leaves out
# the tests that start servers of their own.  A version that cannot be had on this
# machine is said to be so; the exit status is that of the tests, and 1 if none
# ran, unless --if-possible.  MATRIX_SUITE_17=trixie names the suite for a version.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd -P)
dir=${MATRIX_DIR:-/var/tmp/ecauto-matrix}
quick= if_possible=
while :; do
	case ${1:-} in
		--quick) quick='^test/checks/\(regress\|isolation\)\|^test/pgtap/' ;;
		--if-possible) if_possible=1 ;;
		*) break ;;
	esac
	shift
done
[ $# -gt 0 ] || set -- 15 17 18
unset MAKEFLAGS MFLAGS MAKELEVEL PG_CONFIG

suite_of()
{
	local name=MATRIX_SUITE_$1
	case $1 in
		15) echo "${!name:-bookworm}" ;;
		17) echo "${!name:-trixie}" ;;
		18) echo "${!name:-forky}" ;;
		*) echo "${!name:-sid}" ;;
	esac
}

# why no other Debian can be had here; nothing if one can
hindrance()
{
	[ "$(id -u)" = 0 ] || { echo "only root can make a chroot"; return; }
	command -v apt-get >/dev/null || { echo "this is not Debian"; return; }
	if ! command -v mmdebstrap >/dev/null; then
		DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends mmdebstrap >/dev/null 2>&1 </dev/null ||
			{ echo "there is no mmdebstrap"; return; }
	fi
	unshare --mount --pid --fork true 2>/dev/null || { echo "namespaces are not permitted"; return; }
	git -C "$here/.." -c safe.directory="$(dirname "$here")" rev-parse -q --verify HEAD >/dev/null 2>&1 ||
		{ echo "this is no clone"; return; }
}

packages()
{
	echo "postgresql-$1 postgresql-server-dev-$1 postgresql-$1-cron postgresql-$1-pgtap"
	echo "gcc make libc6-dev libcurl4-openssl-dev perl libipc-run-perl libemail-mime-perl libio-socket-ssl-perl"
	echo "nghttp2-server libtap-parser-sourcehandler-pgtap-perl ca-certificates"
}

status=0 ran=0 words=() why=unknown
for major in "$@"; do
	echo "== PostgreSQL $major"
	if [ -x "/usr/lib/postgresql/$major/bin/postgres" ]; then
		result=ok
		PGMAJOR=$major TESTS_ONLY=$quick sh "$here/all.sh" || result=failed
		words+=("PostgreSQL $major: $result")
	else
		[ "$why" != unknown ] || why=$(hindrance)
		root=$dir/$major
		suite=$(suite_of "$major")
		if [ -n "$why" ]; then
			words+=("PostgreSQL $major: not run, $why")
			continue
		fi
		if [ ! -e "$root/.complete" ]; then
			# shellcheck disable=SC2046 # a list
			if ! bash "$here/chroot.sh" make "$suite" "$root" $(packages "$major") >"$dir.log" 2>&1; then
				tail -n 5 "$dir.log"
				words+=("PostgreSQL $major: not run, Debian $suite could not be had")
				continue
			fi
			touch "$root/.complete"
		fi
		result=ok
		PGMAJOR=$major TESTS_ONLY=$quick bash "$here/chroot.sh" run "$root" 'sh test/all.sh' || result=failed
		words+=("PostgreSQL $major: $result (Debian $suite)")
	fi
	ran=$((ran + 1))
	[ "$result" = ok ] || status=1
done

echo
printf '%s\n' "${words[@]}"
[ "$ran" -gt 0 ] || [ -n "$if_possible" ] || status=1
exit $status

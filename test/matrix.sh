#!/bin/bash
# The tests on several versions of PostgreSQL.
#
#   matrix.sh [--if-possible] [MAJOR...] [--quick MAJOR...]      default: 15 17 18
#
# "here" is the version that test/all.sh takes on this machine.  A version that
# this machine has is tested here, each other one in a minimal Debian of the
# suite that carries it, in MATRIX_DIR (default /var/tmp/ecauto-matrix), which is
# kept for the next time; MATRIX_SUITE_17=trixie names the suite for a version.
# Of versions after --quick the tests run that start no servers of their own.
#
# The last lines say which versions ran, why others did not, and how many tests
# passed and failed in all.  The exit status is 0 if none failed; a version that
# is not to be had is an error, too, unless --if-possible.
#
# Nothing waits for ever: MATRIX_MAKE_TIME (default 900) and MATRIX_RUN_TIME
# (3600) are the seconds after which a Debian is not to be had, and tests in it
# have failed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd -P)
dir=${MATRIX_DIR:-/var/tmp/ecauto-matrix}
make_time=${MATRIX_MAKE_TIME:-900}
run_time=${MATRIX_RUN_TIME:-3600}
unset MAKEFLAGS MFLAGS MAKELEVEL
out=$(mktemp)
trap 'rm -f "$out"' EXIT

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
	unshare --mount --pid --fork true 2>/dev/null || { echo "namespaces are not permitted"; return; }
	git -C "$here/.." -c safe.directory="$(dirname "$here")" rev-parse -q --verify HEAD >/dev/null 2>&1 ||
		{ echo "this is no clone"; return; }
	mkdir -p "$dir"
	if [ ! -O "$dir" ] || [ -L "$dir" ]; then
		echo "$dir is somebody else's"
		return
	fi
	if ! command -v mmdebstrap >/dev/null; then
		DEBIAN_FRONTEND=noninteractive timeout -k 10 300 apt-get -qq -o DPkg::Lock::Timeout=60 \
			install -y --no-install-recommends mmdebstrap >/dev/null 2>&1 </dev/null ||
			{ echo "there is no mmdebstrap"; return; }
	fi
}

packages()
{
	echo "postgresql-$1 postgresql-server-dev-$1 postgresql-$1-cron postgresql-$1-pgtap"
	echo "gcc make libc6-dev libcurl4-openssl-dev perl libipc-run-perl libemail-mime-perl libio-socket-ssl-perl"
	echo "nghttp2-server libtap-parser-sourcehandler-pgtap-perl ca-certificates"
}

# Run the tests by the command that follows, and count them from what prove says.
passed=0 failed=0
tests()
{
	local status=0 all=0 bad=0
	"$@" </dev/null 2>&1 | tee "$out" || status=$?
	all=$(sed -n 's/^Files=[0-9]*, Tests=\([0-9]*\),.*/\1/p' "$out" | tail -n 1)
	bad=$(sed -n 's/^.*(Wstat: .* Tests: [0-9]* Failed: \([0-9]*\))$/\1/p' "$out" | awk '{ n += $1 } END { print n + 0 }')
	all=${all:-0}
	passed=$((passed + all - bad))
	# what failed without a test's saying so is one more
	[ "$status" = 0 ] || [ "$bad" -gt 0 ] || bad=1
	failed=$((failed + bad))
	return "$status"
}

status=0 words=() why=unknown if_possible='' quick='' majors=()

version()
{
	local major=$1 name="PostgreSQL $1" began=$SECONDS result=ok root suite problem=
	if [ "$major" = here ]; then
		TESTS_ONLY=$quick tests sh "$here/all.sh" || result=failed
		# shellcheck disable=SC2016 # expanded inside
		name="PostgreSQL $(sh -c '. "$(dirname "$0")/env.sh"; find_server && echo "$PGMAJOR"' "$here/all.sh")" || name="PostgreSQL"
		words+=("$name: $result (this machine)")
	elif [ -x "/usr/lib/postgresql/$major/bin/postgres" ]; then
		PG_CONFIG='' PGMAJOR=$major TESTS_ONLY=$quick tests sh "$here/all.sh" || result=failed
		words+=("$name: $result")
	else
		root=$dir/$major
		suite=$(suite_of "$major")
		[ "$why" != unknown ] || why=$(hindrance)
		if [ -n "$why" ]; then
			problem=$why
		# one at a time in each
		elif ! { exec 8>"$dir/$major.lock" && flock -w 600 8; }; then
			problem="another run has been in $root for long"
		elif [ ! -e "$root/.complete" ]; then
			# shellcheck disable=SC2046 # a list
			if timeout -s KILL "$make_time" bash "$here/chroot.sh" make "$suite" "$root" $(packages "$major") >"$root.log" 2>&1 </dev/null 8>&-; then
				touch "$root/.complete"
			else
				tail -n 5 "$root.log"
				problem="Debian $suite with it could not be had"
			fi
		fi
		if [ -n "$problem" ]; then
			words+=("$name: not run, $problem")
			[ -n "$if_possible" ] || status=1
			return 0
		fi
		PGMAJOR=$major TESTS_ONLY=$quick NO_BROWSER=1 tests timeout -s KILL "$run_time" bash "$here/chroot.sh" run "$root" 'sh test/all.sh' 8>&- || result=failed
		exec 8>&-
		words+=("$name: $result (Debian $suite)")
	fi
	words[-1]+=", $((SECONDS - began)) s"
	[ "$result" = ok ] || status=1
}

while [ $# -gt 0 ]; do
	case $1 in
		--quick) quick='^test/checks/\(regress\|isolation\)\|^test/pgtap/' ;;
		--if-possible) if_possible=1 ;;
		*) majors+=("$quick=$1") ;;
	esac
	shift
done
[ ${#majors[@]} -gt 0 ] || majors=("$quick=15" "$quick=17" "$quick=18")
for one in "${majors[@]}"; do
	quick=${one%=*}
	echo "== PostgreSQL ${one##*=}"
	version "${one##*=}"
done

echo
printf '%s\n' "${words[@]}"
echo
echo "$passed passed, $failed failed"
exit $status

#!/bin/sh
# Installs what building and testing need and this machine lacks, with apt and
# this machine's own configuration of it.  Does nothing if all is there.
#
#   install.sh [demo | browser]
#
# "demo" leaves out what only tests need; "browser" is the one in which a test
# looks at a page.  No database cluster is created or started, and one that
# exists is left alone.
set -eu
. "$(dirname "$0")/env.sh"

if find_server; then
	major=$PGMAJOR
else
	major=
fi

# The packages, for the server's major version $1.  libtap-parser-... is pg_prove.
packages()
{
	if [ "$for_what" = browser ]; then
		echo chromium
		return
	fi
	echo "postgresql-$1 postgresql-server-dev-$1 postgresql-$1-cron"
	echo "gcc make libc6-dev libcurl4-openssl-dev"
	if [ "$for_what" != demo ]; then
		echo "perl libipc-run-perl libemail-mime-perl libio-socket-ssl-perl nghttp2-server postgresql-$1-pgtap libtap-parser-sourcehandler-pgtap-perl"
	fi
}

for_what=${1:-}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	[ -n "$major" ] || die "this is not Debian: install PostgreSQL 15 or newer with its headers, gcc, make, libcurl's headers, prove, IPC::Run and pgTAP by hand"
	exit 0
fi

lacking()
{
	for package in $(packages "$1"); do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
			printf '%s ' "$package"
	done
}

# A server from elsewhere comes with its own headers and extensions.
if [ -n "$major" ] && [ "$("$pg_config" --bindir)" != "/usr/lib/postgresql/$major/bin" ]; then
	exit 0
fi
[ -z "$major" ] || [ -n "$(lacking "$major")" ] || exit 0

as_root()
{
	if [ "$uid" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "packages are missing (${missing:-postgresql}) and there is no sudo: run it as root once"
	fi
}

apt()
{
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get -q -o Dpkg::Use-Pty=0 "$@" </dev/null >>"$log" 2>&1
}

# twice COMMAND...: mirrors hiccup
twice()
{
	"$@" || { sleep 5; "$@"; } || {
		tail -n 30 "$log" >&2
		die "failed: $*"
	}
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
say "asking apt what there is"
twice apt update

# The version that Debian has, if nobody chose one.
if [ -z "$major" ]; then
	for major in ${PGMAJOR:-15 16 17 18} none; do
		[ "$major" != none ] || die "apt knows no postgresql-${PGMAJOR:-15} or newer"
		! apt-cache show "postgresql-server-dev-$major" >/dev/null 2>&1 || break
	done
fi
missing=$(lacking "$major")

# Debian makes and starts a cluster when a server is first installed, and
# restarts running ones when it is upgraded.  Neither is wanted here.
no_cluster=/etc/postgresql-common/createcluster.d/ecauto-no-cluster.conf
no_service=/usr/sbin/policy-rc.d
restore=$no_cluster
as_root mkdir -p "$(dirname "$no_cluster")"
echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null
if [ ! -e "$no_service" ]; then
	restore="$restore $no_service"
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$no_service" >/dev/null
	as_root chmod 755 "$no_service"
fi
trap 'as_root rm -f $restore; rm -f "$log"' EXIT
trap 'exit 1' HUP INT TERM

say "installing $missing"
# shellcheck disable=SC2086 # a list
twice apt install -y --no-install-recommends $missing

#!/bin/bash
# Builds the Debian package from the committed project, checks it with lintian,
# and, as root where a chroot can be made, installs it with apt in a minimal
# Debian and creates the extension in a server there.
#
#   deb.sh [DIRECTORY]      where the package is left; default: deb in the build
#                           directory
#
# Needs devscripts' companions dpkg-dev, debhelper, lintian and
# postgresql-server-dev-all, which it does not install.
set -euo pipefail
. "$(dirname "$0")/env.sh"
for program in dpkg-buildpackage dh lintian pg_buildext; do
	command -v $program >/dev/null || die "$program is missing: apt install dpkg-dev debhelper lintian postgresql-server-dev-all"
done
enter_build
dir=${1:-$build/deb}
version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" "$top/ecauto.control")
source=$dir/ecauto-$version

as_server rm -rf "$dir"
as_server mkdir -p "$source"
git -C "$top" -c safe.directory="$top" archive HEAD | as_server tar -C "$source" -xf -
as_server tar -C "$dir" --exclude=debian -cJf "$dir/ecauto_$version.orig.tar.xz" "ecauto-$version"

say "building"
(
	cd "$source"
	# the versions of PostgreSQL that this Debian carries
	as_server pg_buildext updatecontrol
	as_server env -u MAKEFLAGS dpkg-buildpackage -us -uc >"$dir/log" 2>&1 ||
		{ tail -n 60 "$dir/log" >&2; die "the package does not build"; }
)
say "lintian"
as_server lintian --fail-on error,warning --display-info --suppress-tags initial-upload-closes-no-bugs "$dir"/*.changes || die "lintian has something to say"
ls "$dir"/postgresql-*-ecauto_*.deb

if [ "$uid" != 0 ] || ! command -v mmdebstrap >/dev/null || ! unshare --mount --pid --fork true 2>/dev/null; then
	say "not installed: no chroot can be made here"
	exit 0
fi
say "installing it where nothing else is"
package=$(ls "$dir"/postgresql-*-ecauto_*.deb | grep -v dbgsym | head -n 1)
major=$(basename "$package" | sed 's/postgresql-\([0-9]*\)-.*/\1/')
root=$dir/root
bash "$top/test/chroot.sh" make "$(. /etc/os-release; echo "$VERSION_CODENAME")" "$root" "postgresql-$major"
cp "$package" "$root/tmp/"
# the package wants the server it was built with, which may be a security update
rm -rf "$root"/etc/apt/sources.list*
cp -R /etc/apt/sources.list* "$root/etc/apt/"
# shellcheck disable=SC2016 # expanded inside
bash "$top/test/chroot.sh" run "$root" '
	set -e
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq update >/dev/null
	apt-get -qq install -y --no-install-recommends /tmp/postgresql-*-ecauto_*.deb >/tmp/apt.log 2>&1 || { cat /tmp/apt.log; exit 1; }
	bin=$(ls -d /usr/lib/postgresql/*/bin)
	as() { setpriv --reuid=postgres --regid=postgres --clear-groups env HOME=/tmp "$@"; }
	cd /tmp
	as $bin/initdb -D /tmp/data -A trust -U postgres >/dev/null
	as $bin/pg_ctl -D /tmp/data -w -l /tmp/log -o "-c shared_preload_libraries=ecauto -c ecauto.databases=postgres -c listen_addresses= -k /tmp" start >/dev/null
	as $bin/psql -h /tmp -U postgres -XAtq -v ON_ERROR_STOP=1 -c "CREATE EXTENSION ecauto" -c "SELECT ecauto.setup()" -c "SELECT count(*) > 5 FROM ecauto.status()"
	as $bin/pg_ctl -D /tmp/data -m fast -w stop >/dev/null
	apt-get -qq purge -y "postgresql-*-ecauto" >/dev/null
	ls /usr/lib/postgresql/*/lib/ecauto* 2>/dev/null && exit 1
	echo "installed, works, and is gone again"
'
rm -rf --one-file-system "$root"

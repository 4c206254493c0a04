# Read by the scripts beside it with ".": where things are and who runs them.
#
# Nothing is written into the source tree or into the system's PostgreSQL.
# All work is done in one build directory, by a user who is not root, since
# PostgreSQL refuses to run as root.
#
#   ECAUTO_BUILD   the build directory (default: one of its own in /var/tmp)
#   ECAUTO_USER    who builds and runs servers if we are root (default: postgres)
#   PG_CONFIG      the server to build for; or
#   PGMAJOR        its major version (default: one that is installed, or 15)

# "make test PG_CONFIG=..." must not reach the makes that we call
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL

top=$(cd "$(dirname "$0")/.." && pwd -P)
uid=$(id -u)
if [ "$uid" = 0 ]; then
	server_user=${ECAUTO_USER:-postgres}
else
	server_user=$(id -un)
fi
build=${ECAUTO_BUILD:-/var/tmp/ecauto-$uid-$(printf %s "$top" | cksum | cut -d' ' -f1)}

say()
{
	printf '%s\n' "$*" >&2
}

die()
{
	say "error: $*"
	exit 1
}

# Run a command as the user who builds and runs servers.
as_server()
{
	if [ "$uid" = 0 ]; then
		setpriv --reuid="$server_user" --regid="$(id -g "$server_user")" --init-groups \
			env HOME="$build" USER="$server_user" LOGNAME="$server_user" "$@"
	else
		"$@"
	fi
}

# Make the build directory and go there: where the caller stands may be closed
# to the other user.  /var/tmp is everybody's, so trust only what is ours.
enter_build()
{
	[ -e "$build" ] || mkdir -m 755 -p "$build"
	[ -d "$build" ] && [ ! -L "$build" ] || die "$build is not a directory"
	case $(stat -c %u "$build") in
		"$uid" | "$(id -u "$server_user")") ;;
		*) die "$build belongs to somebody else; set ECAUTO_BUILD" ;;
	esac
	[ "$uid" != 0 ] || chown "$server_user" "$build"
	cd "$build"
	as_server test -w . ||
		die "user $server_user cannot reach $build; set ECAUTO_BUILD to a directory that it can"
}

# Find the server to build for: set pg_config (the system's) and PGMAJOR.
# Fails if there is none with its headers.
find_server()
{
	if [ -n "${PG_CONFIG:-}" ] && usable_server "$PG_CONFIG"; then
		pg_config=$PG_CONFIG
	else
		pg_config=
		for major in ${PGMAJOR:-15 16 17 18}; do
			if usable_server "/usr/lib/postgresql/$major/bin/pg_config"; then
				pg_config=/usr/lib/postgresql/$major/bin/pg_config
				break
			fi
		done
		[ -n "$pg_config" ] || return 1
	fi
	PGMAJOR=$("$pg_config" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
}

# usable_server PG_CONFIG: is it a server, not only a client, with its headers?
usable_server()
{
	bindir=$("$1" --bindir 2>/dev/null) && [ -x "$bindir/postgres" ] && [ -f "$("$1" --pgxs)" ]
}

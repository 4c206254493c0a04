# Read by all.sh and demo.sh after env.sh.

# build_into TREE: build a copy of the sources in $build/src and install it
# into the private PostgreSQL $build/TREE; sets PG_CONFIG and PATH to that.
# Each directory of C files in test/ becomes a program in $build/bin, called
# as the directory.  WERROR=1, COVERAGE=1,
# SANITIZE and FUZZ=1 as in the Makefile.
build_into()
{
	PG_CONFIG=$(as_server sh "$build/src/test/tree.sh" "$pg_config" "$build/$1")
	export PG_CONFIG
	PATH=$(dirname "$PG_CONFIG"):$PATH
	export PATH

	variants="${WERROR:+WERROR=1} ${COVERAGE:+COVERAGE=1} ${SANITIZE:+SANITIZE=$SANITIZE} ${FUZZ:+FUZZ=1 CC=clang}"

	# what was built otherwise is built again
	how="$pg_config $PGMAJOR ${WERROR:-} ${COVERAGE:-} ${SANITIZE:-} ${FUZZ:-} $(cksum < "$build/src/Makefile")"
	if [ "$(cat "$build/src/.built-for" 2>/dev/null)" != "$how" ]; then
		quietly as_server make -s -C "$build/src" clean with_llvm=no
		printf '%s' "$how" | as_server tee "$build/src/.built-for" >/dev/null
	fi
	quietly as_server make -s -j2 -C "$build/src" with_llvm=no \
		$variants all
	quietly as_server make -s -C "$build/src" with_llvm=no $variants install

	as_server mkdir -p "$build/bin"
	for dir in "$build"/src/test/*/; do
		ls "$dir"*.c >/dev/null 2>&1 || continue
		# part of the library, if built with it
		[ "$(basename "$dir")" != fuzz ] || continue
		program=$build/bin/$(basename "$dir")
		if [ ! -e "$program" ] || [ -n "$(find "$dir" -newer "$program")" ]; then
			quietly as_server cc -O2 -Wall -Wextra ${WERROR:+-Werror} -o "$program" "$dir"*.c \
				-Wl,--as-needed $(curl-config --libs)
		fi
	done
}

# copy_source: bring $build/src up to date.  Times are kept, so that make
# builds only what changed.
copy_source()
{
	as_server mkdir -p "$build/src"
	tar -C "$top" -cf - --exclude=./.git --exclude=./build --exclude=./results \
		--exclude=./tmp_check --exclude=./log --exclude='*.o' --exclude='*.so' \
		--exclude='*.bc' --exclude='*.gc??' --exclude='./ecauto--*.sql' . |
		as_server tar -C "$build/src" -xf -
	for dir in src sql test expected docs; do
		[ -d "$build/src/$dir" ] || continue
		(cd "$build/src" && find $dir -type f ! -name '*.o' ! -name '*.gc??') |
			while read -r file; do
				[ -e "$top/$file" ] || rm -f "$build/src/$file"
			done
	done
}

# quietly COMMAND...: show what it says only if it fails, or warns
quietly()
{
	if "$@" > "$build/log" 2>&1; then
		grep -i 'warning' "$build/log" >&2 || true
	else
		tail -n 60 "$build/log" >&2
		die "failed: $*"
	fi
}

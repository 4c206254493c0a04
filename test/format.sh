#!/bin/sh
# The layout of the sources, which is the server's own: pgindent's.
#
#   format.sh           run pgindent over the C sources
#   format.sh check     what needs no tool to tell: tabs, ends of lines and
#                       files, widths; fails if something is amiss
#
# pgindent comes with the headers of PostgreSQL 17 and later.  It is not run by
# a check, since it takes SQL in string constants to the left margin: look at
# what it did before you commit it.
set -eu
cd "$(dirname "$0")/.."

if [ "${1:-}" = check ]; then
	exec perl -e '
		my $bad = 0;
		for my $file (@ARGV)
		{
			next if $file =~ /\.png\z/;
			open(my $in, "<", $file) or die "$file: $!\n";
			my ($line, $n) = ("\n", 0);
			my $report = sub { print "$file:$n: $_[0]\n"; $bad++; };
			while (my $next = <$in>)
			{
				$line = $next;
				$n++;
				$report->("white space at the end of the line") if $line =~ /[ \t]\r?\n/;
				$report->("a carriage return") if $line =~ /\r/;
				next if $file !~ /\.[ch]$/;
				$report->("spaces where a tab belongs") if $line =~ /^\t* {4}/;
				(my $shown = $line) =~ s/^(\t+)/" " x (4 * length $1)/e;
				$report->("more than 120 columns") if length($shown) > 121 && $line !~ /"|[^\x00-\x7f]/;
			}
			$report->("no end of line at the end of the file") if $line !~ /\n\z/;
		}
		exit($bad ? 1 : 0);' $(git ls-files 2>/dev/null | grep -E '\.(c|h|sql|sh|pl|pm|spec|psql|md)$|^Makefile$' || find src sql test docs -type f -name '*.[chsp]*')
fi

bin=
for dir in $(echo "$PATH" | tr : ' ') /usr/lib/postgresql/*/bin; do
	[ -x "$dir/pgindent" ] && [ -x "$dir/pg_bsd_indent" ] && bin=$dir
done
[ -n "$bin" ] || {
	echo "error: pgindent is missing; it comes with the headers of PostgreSQL 17 and later" >&2
	exit 1
}

# pgindent must know which words are types
types=$(mktemp)
trap 'rm -f "$types"' EXIT
include=$("${PG_CONFIG:-pg_config}" --includedir-server)
cat $(find "$include" /usr/include/*/curl -name '*.h') src/*.[ch] src/*/*.[ch] test/*/*.[ch] 2>/dev/null | perl -0777 -ne '
	while (/\btypedef\b[^;{]*?\b(\w+)\s*(?:\[[^\]]*\])?;/g) { print "$1\n" }
	while (/\btypedef\s+(?:struct|union|enum)\b[^;{]*\{(?:[^{}]|\{[^{}]*\})*\}\s*(\w+)\s*;/g) { print "$1\n" }
	while (/\btypedef\b[^;{]*\(\s*\*\s*(\w+)\s*\)/g) { print "$1\n" }' | sort -u > "$types"
printf '%s\n' bool size_t ssize_t FILE int64_t uint64_t uint32_t >> "$types"
"$bin/pgindent" --indent="$bin/pg_bsd_indent" --typedefs="$types" src/*.c src/*/*.[ch] test/*/*.c

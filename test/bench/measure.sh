# Read by the benchmarks with ".": a server, and figures from several rounds.

# start_server: with further lines for postgresql.conf on standard input
start_server()
{
	sh "$SOURCE/test/server.sh" start "$BENCH/server"
}

run_sql()
{
	psql -X -q -v ON_ERROR_STOP=1 "$@" </dev/null
}

# value SQL [DATABASE]: one value
value()
{
	psql -X -q -A -t -v ON_ERROR_STOP=1 -d "${2:-shop}" -c "$1" </dev/null
}

# milliseconds SQL: how long it takes
milliseconds()
{
	psql -X -q -d shop -v ON_ERROR_STOP=1 -c '\timing on' -c "$1" </dev/null | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | tail -n 1
}

# note NAME VALUE: a figure of one round
note()
{
	echo "$2" >> "$BENCH/$1.figures"
}

# median NAME: of the rounds
median()
{
	sort -g "$BENCH/$1.figures" | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'
}

# show NAME UNIT TEXT: median and range of the rounds
show()
{
	sort -g "$BENCH/$1.figures" | awk -v m="$(median "$1")" -v u="$2" -v t="$3" \
		'NR == 1 {lo = $1} {hi = $1} END {printf "%-52s %10.1f %s  (%.1f to %.1f, %d rounds)\n", t, m, u, lo, hi, NR}'
}

# ratio A B TEXT: median of A over median of B
ratio()
{
	awk -v a="$(median "$1")" -v b="$(median "$2")" -v t="$3" 'BEGIN {printf "%-52s %10.3f\n", t, a / b}'
}

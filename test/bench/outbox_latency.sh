# From the commit of a message to its arrival, at steady rates, by the clock
# of this machine; and how often an idle delivery process wakes.
set -eu
. "$(dirname "$0")/measure.sh"

start_outbox
mkdir -p "$BENCH/arrived"
"$BIN/sink" --dir "$BENCH/arrived" --http 0 --smtp 0 >/dev/null 2>&1 &
sink_pid=$!
until [ -e "$BENCH/arrived/ports" ]; do sleep 0.1; done
. "$BENCH/arrived/ports"
endpoint web "http://127.0.0.1:$HTTP_PORT/ok"
run_sql -d shop -c 'SELECT ecauto.enqueue($$web$$, $${}$$)' >/dev/null
sleep 1

# One session that commits at the rate, and notes when each commit was done.
# A commit's own time is taken before COMMIT returns, so what is measured
# begins when the server is asked to commit.
at_rate()
{
	perl -MTime::HiRes=time,sleep -MJSON::PP -e '
		use strict;
		my ($rate, $seconds, $file) = @ARGV;
		open(my $psql, "|-", "psql -X -q -d shop -v ON_ERROR_STOP=1 >/dev/null") or die;
		select((select($psql), $| = 1)[0]);
		my %sent;
		my $next = time;
		my $n = 0;
		for (1 .. int($rate * $seconds + 0.5))
		{
			my $key = "r$rate-" . $n++;
			print $psql "BEGIN; SELECT ecauto.enqueue(\x27web\x27, \x27{}\x27, key => \x27$key\x27);\n";
			$next += 1 / $rate;
			my $wait = $next - time;
			sleep($wait) if $wait > 0;
			$sent{$key} = time;
			print $psql "COMMIT;\n";
		}
		close $psql;
		sleep 1;
		my @took;
		open(my $in, "<", $file) or die;
		while (<$in>)
		{
			my $request = decode_json($_);
			my $at = delete $sent{ $request->{headers}{"idempotency-key"} } // next;
			push @took, 1000 * ($request->{time} - $at);
		}
		@took = sort { $a <=> $b } @took;
		printf "%s/s: p50 %.2f ms, p99 %.2f ms, most %.2f ms, %d messages, %d missing\n", $rate,
			$took[@took * 0.5], $took[@took * 0.99], $took[-1], scalar @took, scalar keys %sent;
	' "$1" "$2" "$BENCH/arrived/http.jsonl"
}

echo "commit to arrival (targets: p50 under 1 ms, p99 under 5 ms), $SECONDS_EACH s or 20 messages at each rate"
for rate in 0.4 5 50; do
	at_rate $rate "$(awk -v r=$rate -v s="$SECONDS_EACH" 'BEGIN {print (r * s < 20) ? 20 / r : s}')"
done

pid=$(value "SELECT pid FROM ecauto.worker_status() WHERE worker = 'delivery'")
switches()
{
	awk '/ctxt_switches/ {n += $2} END {print n}' "/proc/$pid/status"
}
ticks()
{
	awk '{print $14 + $15}' "/proc/$pid/stat"
}
before=$(switches)
spent=$(ticks)
sleep 60
echo "idle for 60 s: the delivery process ran $(($(switches) - before)) times, $(($(ticks) - spent)) hundredths of a second"

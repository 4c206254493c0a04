# How fast a backlog of mail leaves, to Debian's smtp-sink if it is installed
# (package postfix) beside its smtp-source, and to the sink of the tests; and
# what a mail server that takes a second for each mail does to webhooks.
set -eu
. "$(dirname "$0")/measure.sh"
PATH=$PATH:/usr/sbin

start_outbox
start_sink
mail="jsonb_build_object('to', 'customer@shop.example', 'subject', 'Your order SO-' || n, 'text', repeat('Thank you for your order, it is on its way to you now.' || chr(10), 30))"
connections=${CONCURRENCY:-64}
sender="sender 'shop@shop.example', concurrency '$connections'"
n=${MAILS:-20000}

# to a mail server that is somebody else's
peer=
if command -v smtp-sink >/dev/null && command -v smtp-source >/dev/null; then
	peer=$((20000 + $$ % 10000))
	smtp-sink -c "127.0.0.1:$peer" 1024 >/dev/null 2>"$BENCH/smtp-sink.log" &
	peer_pid=$!
	trap 'stop_sink; stop_delay; kill $peer_pid' EXIT
	sleep 1
	endpoint post "smtp://127.0.0.1:$peer" "$sender"
fi
endpoint own "smtp://127.0.0.1:$SMTP_PORT" "$sender"

# source PORT: mails a second
source_of()
{
	perl -MTime::HiRes=time -e '
		my ($port, $n, $connections) = @ARGV;
		my $begun = time;
		system("smtp-source", "-d", "-s", $connections, "-m", $n, "-l", 1650, "-f", "shop\@shop.example",
			"-t", "customer\@shop.example", "127.0.0.1:$port") == 0 or die;
		printf "%.0f\n", $n / (time - $begun);' "$1" "$n" "$connections"
}

echo "$n mails of about 2 kB, $connections connections"
for round in $(seq "$ROUNDS"); do
	if [ -n "$peer" ]; then
		note source "$(source_of "$peer")"
		note post "$(drain post "$n" "$mail")"
	fi
	note own "$(drain own "$n" "$mail")"
done
if [ -n "$peer" ]; then
	show source /s 'smtp-source to smtp-sink'
	show post /s 'outbox to smtp-sink'
	ratio post source 'outbox / smtp-source'
fi
show own /s 'outbox to the sink of the tests'

few=$((n / 4))
echo "$few mails over a round trip of 20 ms"
start_delay "${peer:-$SMTP_PORT}" 20
endpoint far "smtp://127.0.0.1:$DELAY_PORT" "$sender"
for round in $(seq "$ROUNDS"); do
	note far "$(drain far "$few" "$mail")"
done
show far /s "outbox, 20 ms (target: at least 1000)"

# a mail server of its own, so that only the delivery process is shared
mkdir -p "$BENCH/slow"
"$BIN/sink" --dir "$BENCH/slow" --http 0 --smtp 0 --quiet --fault delay-dot:1000 >/dev/null 2>&1 &
slow_pid=$!
trap 'stop_sink; stop_delay; kill $slow_pid ${peer_pid:-}' EXIT
until [ -e "$BENCH/slow/ports" ]; do sleep 0.1; done
endpoint slow "smtp://127.0.0.1:$(sed -n 's/^SMTP_PORT=//p' "$BENCH/slow/ports")" "$sender"
echo "webhooks while a mail server takes 1 s for each mail"
endpoint web "http://127.0.0.1:$HTTP_PORT/ok" "concurrency '$connections'"
# the mails wait in both cases, so that the outbox is as large
value "SELECT ecauto.pause_endpoint('slow')" >/dev/null
value "SELECT count(ecauto.enqueue('slow', $mail)) FROM generate_series(1, 100000) n" >/dev/null
for round in $(seq "$ROUNDS"); do
	note alone "$(drain web "$n")"
	value "SELECT ecauto.resume_endpoint('slow')" >/dev/null
	note beside "$(drain web "$n")"
	value "SELECT ecauto.pause_endpoint('slow')" >/dev/null
	until [ "$(value "SELECT leased FROM ecauto.outbox_status() WHERE endpoint = 'slow'")" = 0 ]; do sleep 0.2; done
done
show alone /s 'webhooks, 100,000 mails waiting for a paused one'
show beside /s 'webhooks beside those mails'
ratio beside alone 'beside / alone'

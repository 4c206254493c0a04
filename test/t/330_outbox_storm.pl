# Many at once: nothing is leased twice, lost or out of order, whoever
# delivers and whatever is killed meanwhile; and nobody waits for a slow one.
use strict;
use warnings;
use EcTest;
use Test::More;

my $sink = ec_sink();
my $node = ec_node('main', conf => {
	'ecauto.databases' => 'postgres', 'ecauto.worker_naptime' => '200ms', 'max_worker_processes' => 20,
	'log_statement' => 'none', 'restart_after_crash' => 'on' });

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub server { sql("CREATE SERVER $_[0] FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->http_url($_[1]) . "'" . ($_[2] ? ", $_[2]" : '') . ')'); return; }
sub drained { return ec_wait($node, 'postgres', 'SELECT count(*) = 0 FROM ecauto_data.outbox' . ($_[0] ? " WHERE $_[0]" : '')); }

server('ok', '/ok');
server('mixed', '', "breaker '0', concurrency '32'");
server('hang', '/hang', "timeout '10min', concurrency '8'");

# ---- eight enqueue, four deliver beside the worker ----
my @enqueuers = map { $node->background_psql('postgres') } 1 .. 8;
my @deliverers = map { $node->background_psql('postgres') } 1 .. 4;
for my $session (0 .. 7)
{
	$enqueuers[$session]->{stdin} .= "SELECT ecauto.enqueue('ok', '{}', 's$session-' || n) FROM generate_series($_ * 50 + 1, $_ * 50 + 50) n \\g /dev/null\n" for 0 .. 9;
	$enqueuers[$session]->{stdin} .= "SELECT 'enqueued' \\g\n";
}
$_->{stdin} .= "SELECT ecauto.deliver() \\g /dev/null\n" x 5 . "SELECT 'delivered' \\g\n" for @deliverers;
$_->{run}->pump_nb for @enqueuers, @deliverers;
for my $wait ([ 'enqueued', @enqueuers ], [ 'delivered', @deliverers ])
{
	my ($word, @sessions) = @$wait;
	for my $session (@sessions)
	{
		ec_wait_for(sub { $_->{run}->pump_nb for @enqueuers, @deliverers; return $session->{stdout} =~ /$word/ }, $word);
	}
}
is(join('', map { $_->{stderr} } @enqueuers, @deliverers), '', 'no session saw an error');
$_->quit for @enqueuers, @deliverers;
ok(drained(), 'all that eight sessions enqueued is delivered');
my $stats = $sink->stats;
is($stats->{keys}, 4000, 'every message arrived');
is($stats->{duplicates}, 0, 'and none twice, though five processes delivered');

# ---- order within an entity, with failures ----
$sink->reset;
sql(q{SELECT ecauto.enqueue('mixed', '{}', 'e' || e || '-' || n,
	CASE WHEN (e * 7 + n * 13) % 10 = 0 THEN '/flaky/1' ELSE '/ok' END, entity => 'order:' || e)
	FROM generate_series(1, 10) n, generate_series(1, 100) e});
ok(drained(), 'messages of a hundred entities, a tenth of which fail once');
my (%last, %sent, @wrong);
for my $request ($sink->requests)
{
	my ($entity, $n) = $request->{headers}{'idempotency-key'} =~ /^e(\d+)-(\d+)$/;
	# the same one again after a failure, or the next
	push @wrong, "$entity: $n after $last{$entity}" if $n != ($last{$entity} // 0) && $n != ($last{$entity} // 0) + 1;
	$last{$entity} = $n;
	$sent{"$entity-$n"}++;
}
is_deeply(\@wrong, [], 'leave in order within each');
is(scalar(keys %sent), 1000, 'every one of them');
my $failing = 0;
for my $e (1 .. 100)
{
	$failing += grep { ($e * 7 + $_ * 13) % 10 == 0 } 1 .. 10;
}
is(scalar(grep { $_ == 2 } values %sent), $failing, 'those that failed twice');

# ---- one that hangs holds up nobody ----
$sink->reset;
sql(q{SELECT count(ecauto.enqueue('hang', '{}')) FROM generate_series(1, 5000)});
$sink->wait_for(http => 8);
sql(q{SELECT ecauto.enqueue('ok', '{}', 'quick' || n) FROM generate_series(1, 500) n});
ok(drained(q{endpoint = 'ok'}), 'an endpoint that hangs with thousands waiting');
is(sql(q{SELECT count(*) FROM ecauto.messages('hang')}), '5000', 'holds up its own messages only');
cmp_ok(sql(q{SELECT leased FROM ecauto.outbox_status() WHERE endpoint = 'hang'}), '<=', 16, 'of which few are leased');
sql('DROP SERVER hang');
sql(q{SELECT count(ecauto.cancel(id)) FROM ecauto.messages('hang', 'queued')});

# ---- nor does a mail server that takes mails and never says so ----
$sink->reset;
$sink->fault('hang-dot');
sql("CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->smtp_url . "', sender 'shop\@shop.example', timeout '10min')");
sql(q{SELECT count(ecauto.enqueue('mail', '{"to": "a@b.example", "subject": "s", "text": "t"}')) FROM generate_series(1, 100)});
$sink->wait_for(smtp => 1);
sql(q{SELECT count(ecauto.enqueue('ok', '{}', 'beside' || n)) FROM generate_series(1, 500) n});
ok(drained(q{endpoint = 'ok'}), 'webhooks go out while the mail server is silent');
is(sql(q{SELECT count(*) FROM ecauto.messages('mail')  WHERE state IN ('queued', 'leased')}), '100', 'with all its mails waiting');
$sink->fault('none');
sql('DROP SERVER mail');

# ---- kill -9 and crashes under load ----
$sink->reset;
sql(q{SELECT count(ecauto.enqueue('mixed', '{}', 'k' || n, '/delay/1')) FROM generate_series(1, 6000) n});
for my $blow (1 .. 5)
{
	my $before = $sink->stats->{keys};
	ec_wait_for(sub { $sink->stats->{keys} > $before + 100 || $sink->stats->{keys} >= 6000 }, 'some more to arrive');
	if ($blow == 3 || $blow == 5)
	{
		$node->stop('immediate');
		$node->start;
		next;
	}
	my ($rc, $pid) = $node->psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'ecauto delivery'});
	next unless $rc == 0 && $pid;
	kill 'KILL', $pid;
	ec_wait_for(sub { !kill(0, $pid) && ($node->psql('postgres', 'SELECT 1'))[0] == 0 }, 'the server to be back');
}
ok(drained(q{endpoint = 'mixed'}), 'after three kill -9 and two crashes all is delivered');
my %seen;
$seen{ $_->{headers}{'idempotency-key'} }++ for $sink->requests;
is(scalar(grep { /^k/ } keys %seen), 6000, 'every message arrived');
is(sql(q{SELECT count(*) FROM ecauto.messages('mixed', 'delivered') WHERE key LIKE 'k%'}), '6000', 'and is known to have');
note(sprintf('%d came twice or more', scalar(grep { $_ > 1 } values %seen)));

$node->stop;
done_testing();

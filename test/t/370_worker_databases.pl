# Several databases are served at once; one that is taken out, dropped, made
# again or updated in the middle of its work disturbs none of the others.
use strict;
use warnings;
use EcTest;
use Test::More;

my $sink = ec_sink();
my @databases = qw(postgres north south);
my $node = ec_node('main', conf => {
	'ecauto.databases' => join(', ', @databases, '"With, Comma"'), 'ecauto.worker_naptime' => '200ms', 'max_worker_processes' => 20, 'log_statement' => 'none' });

sub in { return $node->safe_psql($_[0], $_[1]); }
sub servers { in($_[0], "CREATE SERVER $_ FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->http_url("/$_[0]") . "', timeout '5min', breaker '0')") for qw(ok hang slow); return; }
sub drained { return ec_wait($node, $_[0], 'SELECT count(*) = 0 FROM ecauto_data.outbox' . ($_[1] ? " WHERE endpoint = '$_[1]'" : '')); }
sub arrived { my ($pattern) = @_; return $sink->wait_for(http => $_[1], sub { ($_[0]{headers}{'idempotency-key'} // '') =~ $pattern }); }

# ---- four at once ----
servers('postgres');
for my $database (qw(north south))
{
	in('postgres', "CREATE DATABASE $database");
	in($database, 'CREATE EXTENSION ecauto; SELECT ecauto.setup()');
	servers($database);
}
in('postgres', 'CREATE DATABASE "With, Comma"');
in('With, Comma', "CREATE EXTENSION ecauto; SELECT ecauto.setup(); CREATE SERVER ok FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->http_url('/comma') . "')");
in($_, "SELECT count(ecauto.enqueue('ok', '{}', '$_-' || n)) FROM generate_series(1, 500) n") for @databases, 'With, Comma';
ok(drained($_), "database $_ is drained") for @databases, 'With, Comma';
is($sink->stats->{keys}, 2000, 'every message of every database arrived');
is($sink->stats->{duplicates}, 0, 'none twice');
my %path;
for my $request ($sink->requests)
{
	my ($database) = $request->{headers}{'idempotency-key'} =~ /^(.*)-\d+$/;
	$path{"$database $request->{path}"}++;
}
is_deeply(\%path, { 'postgres /postgres' => 500, 'north /north' => 500, 'south /south' => 500, 'With, Comma /comma' => 500 }, 'and each went to the endpoint of its own');

# ---- the extension goes while a message is under way ----
$sink->reset;
in('north', "ALTER SERVER slow OPTIONS (SET url '" . $sink->http_url('/delay/1500') . "')");
in('north', q{SELECT ecauto.enqueue('slow', '{}', 'under way'), ecauto.enqueue('slow', '{}', 'waits', not_before => ecauto.now() + interval '1 h')});
ok(ec_wait($node, 'north', q{SELECT count(*) = 1 FROM ecauto.messages('slow', 'leased')}), 'a message is under way');
in('north', 'DROP EXTENSION ecauto CASCADE');
ok(ec_wait($node, 'north', q{SELECT count(*) = 1 FROM ecauto_data.outbox_history WHERE key = 'under way' AND state = 'delivered'}), 'and is delivered though the extension goes');
is(in('north', 'SELECT string_agg(key, $$ $$) FROM ecauto_data.outbox'), 'waits', 'what waits goes on waiting');
in('south', q{SELECT count(ecauto.enqueue('ok', '{}', 'meanwhile-' || n)) FROM generate_series(1, 100) n});
ok(drained('south'), 'other databases are served meanwhile');
in('north', 'CREATE EXTENSION ecauto');
servers('north');
in('north', q{UPDATE ecauto_data.outbox SET next_at = ecauto.now() WHERE key = 'waits'});
arrived(qr/^waits$/, 1);
ok(drained('north'), 'and delivered when the extension is back');
is(scalar(arrived(qr/^under way$/, 1)), 1, 'the one that was under way was sent once');

# ---- it is updated ----
my ($share) = PostgreSQL::Test::Utils::run_command([ 'pg_config', '--sharedir' ]);
my $version = in('north', q{SELECT extversion FROM pg_extension WHERE extname = 'ecauto'});
my $script = "$share/extension/ecauto--$version--0.1test.sql";
SKIP:
{
	skip "cannot write to $share", 2 unless open(my $out, '>', $script);
	print $out "-- a version that changes nothing\n";
	close $out;
	in('north', q{SELECT count(ecauto.enqueue('ok', '{}', 'updated-' || n)) FROM generate_series(1, 300) n});
	in('north', q{ALTER EXTENSION ecauto UPDATE TO '0.1test'});
	unlink $script;
	ok(drained('north'), 'an update in the middle of the work');
	is(scalar(arrived(qr/^updated-/, 300)), 300, 'loses nothing');
}

# ---- one is taken out by reload while it delivers, and put back ----
in($_, "ALTER SERVER hang OPTIONS (SET url '" . $sink->http_url('/hang') . "')") for qw(north south);
in('south', q{SELECT count(ecauto.enqueue('hang', '{}', 'hang-' || n)) FROM generate_series(1, 100) n});
ok(ec_wait($node, 'south', q{SELECT count(*) >= 16 FROM ecauto.messages('hang', 'leased')}), 'sixteen messages hang');
my $north = in('north', q{SELECT pid FROM ecauto.worker_status() WHERE worker = 'delivery'});
$node->append_conf('postgresql.conf', "ecauto.databases = 'postgres, north'\n");
$node->reload;
ok(ec_wait($node, 'postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'ecauto%' AND datname IN ('south', 'With, Comma')}), 'databases taken out by reload lose their processes, messages under way or not');
is(in('north', q{SELECT pid FROM ecauto.worker_status() WHERE worker = 'delivery'}), $north, 'the others keep theirs');
in('south', "ALTER SERVER hang OPTIONS (SET url '" . $sink->http_url('/ok') . "')");
$node->append_conf('postgresql.conf', "ecauto.databases = 'postgres, north, south'\n");
$node->reload;
ok(drained('south'), 'put back, what hung is sent again, without waiting for its leases to run out');
is(in('south', q{SELECT count(*) FROM ecauto.messages('hang', 'delivered')}), '100', 'all of it');

# ---- one is dropped while it delivers, and made again ----
in('south', "ALTER SERVER hang OPTIONS (SET url '" . $sink->http_url('/hang') . "')");
in('south', q{SELECT count(ecauto.enqueue('hang', '{}', 'lost-' || n)) FROM generate_series(1, 100) n});
ok(ec_wait($node, 'south', q{SELECT count(*) >= 16 FROM ecauto.messages('hang', 'leased')}), 'messages hang again');
in('postgres', 'DROP DATABASE south WITH (FORCE)');
in('north', q{SELECT count(ecauto.enqueue('ok', '{}', 'beside-' || n)) FROM generate_series(1, 100) n});
ok(drained('north'), 'a database dropped in the middle of its work disturbs no other');
in('postgres', 'CREATE DATABASE south');
in('south', 'CREATE EXTENSION ecauto; SELECT ecauto.setup()');
servers('south');
in('south', q{SELECT ecauto.enqueue('ok', '{}', 'anew')});
arrived(qr/^anew$/, 1);
ok(drained('south'), 'made again, it is served again');

# ---- counters survive a restart ----
my $status = q{SELECT delivered, retried, dead, delivered_hour, latency_p99 IS NOT NULL, last_delivered_at FROM ecauto.outbox_status() WHERE endpoint = 'ok'};
my $counted = in('postgres', $status);
like($counted, qr/^500\|0\|0\|500\|t\|/, 'what was delivered is counted');
$node->restart;
is(in('postgres', $status), $counted, 'and still after a restart');
in('postgres', q{SELECT ecauto.enqueue('ok', '{}', 'one more')});
arrived(qr/^one more$/, 1);
ok(ec_wait($node, 'postgres', q{SELECT delivered FROM ecauto.outbox_status() WHERE endpoint = 'ok'}, '501'), 'where counting goes on');

my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
unlike($log, qr/(TRAP|PANIC|Assertion|could not start background process)/, 'nothing went wrong on the way');
$node->stop;
done_testing();

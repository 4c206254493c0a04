# Flows: a crash between steps does nothing twice and loses nothing, the worker wakes by
# itself for what is due, and runs under way survive dump and restore.
use strict;
use warnings;
use EcTest;
use Test::More;

my $node = ec_node('main', conf => { 'ecauto.settle_time' => 0, 'restart_after_crash' => 'on' });
sub sql { return $node->safe_psql('postgres', $_[0]); }

$node->safe_psql('postgres', "BEGIN;\n\\i test/pgtap/event/shop.psql\nCOMMIT;\n");
sql(q{
	CREATE TABLE s.done (what text, at timestamptz DEFAULT ecauto.now());
	CREATE FUNCTION s.act(params jsonb, context jsonb) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO s.done (what) SELECT (params ->> 'what') || ' ' || (context ->> 'subject') $$;
	SELECT ecauto.register_action('act', 's.act(jsonb, jsonb)');
	SELECT ecauto.create_flow('f', '{"on": "quiz.finished", "steps": [{"act": {"what": "first"}}, {"wait": "1 hour"}, {"act": {"what": "second"}},
		{"wait": {"event": "prize.won", "timeout": "300 days"}}, {"act": {"what": "third"}}]}');
	SELECT ecauto.enable_flow('f')});
my $done = q{SELECT string_agg(what, ', ' ORDER BY what) FROM s.done};

# ---- a crash in the middle ----
sql(q{SET ecauto.clock = '2026-06-01 10:00+00'; SELECT ecauto.track('quiz.finished', 'c1'); SELECT ecauto.tick()});
is(sql($done), 'first customer:c1', 'the first step');
my ($out, $err) = ('', '');
my $session = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres') ], '<', \my $in, '>', \$out, '2>', \$err);
$in = "BEGIN; SET ecauto.clock = '2026-06-01 11:00+00'; SELECT ecauto.tick(); SELECT 'ticked';\n";
$session->pump until $out =~ /ticked/ || $err;
$node->stop('immediate');
eval { $session->finish };
$node->start;
is(sql($done), 'first customer:c1', 'a crash before the commit: the second is not done');
is(sql(q{SELECT state || ' ' || step FROM ecauto.runs()}), 'waiting steps[1]', 'and the run waits');
sql(q{SET ecauto.clock = '2026-06-01 11:00+00'; SELECT ecauto.tick()});
$node->stop('immediate');
$node->start;
sql(q{SET ecauto.clock = '2026-06-01 11:00+00'; SELECT ecauto.tick(); SELECT ecauto.tick()});
is(sql($done), 'first customer:c1, second customer:c1', 'a crash after it: it is done, once');
is(sql(q{SELECT string_agg(outcome, ' ') FROM ecauto.explain_run((SELECT run_id FROM ecauto.runs()))}), 'started done over done until', 'as it tells');

# ---- dump and restore ----
sql(q{SET ecauto.clock = '2026-06-01 12:00+00'; SELECT ecauto.track('quiz.finished', 'c2'); SELECT ecauto.tick()});
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('copy') ], 'psql takes it all');
my $runs = 'SELECT * FROM ecauto.runs(); SELECT * FROM ecauto_data.flow_decision ORDER BY id; SELECT * FROM ecauto_data.flow_wait ORDER BY 1, 2, 3, 4';
is($node->safe_psql('copy', $runs), sql($runs), 'with runs, decisions and what they wait for');
$node->safe_psql('copy', "SELECT ecauto.attach_shop('custom'); SET ecauto.clock = '2026-06-01 13:00+00'; SELECT ecauto.track('prize.won', 'c1'); SELECT ecauto.tick()");
is($node->safe_psql('copy', $done), 'first customer:c1, first customer:c2, second customer:c1, second customer:c2, third customer:c1', 'where they go on');
is(sql($done), 'first customer:c1, first customer:c2, second customer:c1', 'and the first database knows nothing of it');

# ---- the worker ----
sql(q{SELECT ecauto.create_flow('soon', '{"on": "quiz.begun", "steps": [{"act": {"what": "begun"}}, {"wait": "50 milliseconds"}, {"act": {"what": "soon"}}]}'); SELECT ecauto.enable_flow('soon')});
$node->append_conf('postgresql.conf', "ecauto.databases = 'postgres'\necauto.worker_naptime = '1h'\n");
$node->restart;
sql(q{SELECT ecauto.track('quiz.begun', 'c9')});
ok(ec_wait($node, 'postgres', q{SELECT count(*) = 2 FROM s.done WHERE what LIKE '%c9'}), 'the worker does not sleep past what is due');

$node->stop;
done_testing();

# The jobs of the night with the real pg_cron: its zone and its sleep do not
# matter, its own database need not be the shop's, and what it says is heard.
use strict;
use warnings;
use EcTest;
use Test::More;

my $node = ec_node('main', extension => 0, preload => 'ecauto,pg_cron', conf => {
	'ecauto.settle_time' => 0,
	'cron.database_name' => 'shop',
	'cron.use_background_workers' => 'on',
	'cron.launch_active_jobs' => 'on',
	'max_worker_processes' => 20 });
sub shop { return $node->safe_psql('shop', "SET client_min_messages = warning;\n$_[0]"); }
sub other { return $node->safe_psql('other', "SET client_min_messages = warning;\n$_[0]"); }

$node->safe_psql('postgres', "CREATE DATABASE $_") for 'shop', 'other';
shop("CREATE EXTENSION ecauto; SELECT ecauto.setup(); BEGIN;\n\\i test/pgtap/event/shop.psql\nCOMMIT;\n");
other('CREATE EXTENSION ecauto; SELECT ecauto.setup()');

# ---- every job does its work on a shop ----
shop(q{SET search_path = s; SELECT ecauto.bind_write('set_price', 'UPDATE price SET amount = $2 WHERE variant_id = $1::int AND $3 IS NOT NULL');
	SELECT ecauto.create_price_rule('sale', '{"sku": ["2"], "base": "price", "percent_off": 10}')});
for my $job (split /\n/, shop('SELECT job FROM ecauto.jobs()'))
{
	like(shop("SELECT ecauto.run_job('$job')"), qr/^(done|skipped):/, "job $job");
}
is(shop(q{SELECT count(*) FROM ecauto_data.job_run WHERE state = 'done'}), '7', 'all had something to do');
is(shop(q{SELECT amount FROM s.price WHERE variant_id = 2}), '18.00', 'the price is that of the rule');
is(shop('SELECT count(*) > 0 FROM ecauto_data.recommend_model'), 't', 'there are recommendations');
is(shop('SELECT count(*) FROM ecauto_data.clv_model'), '1', 'and a model of lifetime value');

# ---- an operator, who is no superuser and owns nothing of it ----
shop(q{CREATE ROLE night LOGIN; SELECT ecauto.grant_operator('night')});
sub night
{
	my ($rc, $stdout, $stderr) = $node->psql('shop', "SET client_min_messages = warning;\n$_[0]", extra_params => [ '-U', 'night' ]);
	return $stderr eq '' ? $stdout : $stderr;
}
shop(q{TRUNCATE ecauto_data.job_run; UPDATE s.price SET amount = 30 WHERE variant_id = 2});
my $version = shop('SELECT max(version) FROM ecauto_data.recommend_model');
for my $job (split /\n/, shop('SELECT job FROM ecauto.jobs()'))
{
	like(night("SELECT ecauto.run_job('$job')"), qr/^done:/, "an operator runs job $job");
}
is(shop(q{SELECT count(*) FROM ecauto_data.job_run WHERE state = 'done' AND run_by = 'night'}), '7', 'and it is known who did');
is(shop(q{SELECT amount FROM s.price WHERE variant_id = 2}), '27.00', 'the price is that of the rule again');
cmp_ok(shop('SELECT max(version) FROM ecauto_data.recommend_model'), '>', $version, 'and the recommendations are new');
shop('TRUNCATE ecauto_data.job_run');
is(night('CALL ecauto.run_due_jobs()'), '', 'an operator asks for all of them');
is(shop('SELECT count(*) FROM ecauto_data.job WHERE since IS NOT NULL'), '7', 'of which none is due at once');
shop(q{UPDATE ecauto_data.job SET since = '2026-01-01'});
is(night('CALL ecauto.run_due_jobs()'), '', 'a night later');
is(shop(q{SELECT count(*), count(DISTINCT xmin::text) FROM ecauto_data.job_run WHERE state = 'done' AND run_by = 'night'}), '7|7', 'all have run, each in a transaction of its own');
like(night(q{SELECT string_agg(state, ' ') FROM ecauto.schedule_status()}), qr/^ok( ok){6}$/, 'and an operator sees that all is well');
shop(q{SELECT ecauto.grant_reader('night')});
like(night(q{SELECT ecauto.run_job('retention')}), qr/permission denied for function run_job/, 'a reader may not');
like(night('CALL ecauto.run_due_jobs()'), qr/permission denied for procedure run_due_jobs/, 'not even ask');
shop(q{SELECT ecauto.grant_operator('night'); SELECT ecauto.unschedule_defaults(); TRUNCATE ecauto_data.job_run});

# ---- without the extension here: what to do ----
my (undef, $said, $noticed) = $node->psql('shop', 'SELECT DISTINCT scheduled FROM ecauto.schedule_defaults()');
is($said, 'f', 'nothing is scheduled');
like($noticed, qr/extension "pg_cron" is not installed in this database.*CREATE EXTENSION pg_cron/s, 'and that is said');
shop('CREATE EXTENSION pg_cron');

# ---- idempotent ----
$node->safe_psql('postgres', q{ALTER DATABASE shop SET ecauto.timezone = 'Asia/Kathmandu'});
is(shop('SELECT count(*) FROM ecauto.schedule_defaults() WHERE scheduled'), '7', 'pg_cron has the jobs');
my $jobs = shop(q{SELECT jobid, jobname, command, database, active FROM cron.job ORDER BY jobid});
like($jobs, qr/ecauto shop: reprice\|SELECT ecauto\.run_due_job\('reprice'\)\|shop\|t/, 'by name');
shop(q{SELECT cron.alter_job(jobid, active := false) FROM cron.job WHERE jobname = 'ecauto shop: reprice'});
shop('SELECT ecauto.schedule_defaults()');
$jobs =~ s/(reprice.*)t$/$1f/m;
is(shop(q{SELECT jobid, jobname, command, database, active FROM cron.job ORDER BY jobid}), $jobs, 'a second call changes nothing, not even what was switched off');
is(shop(q{SELECT state, detail FROM ecauto.schedule_status() WHERE job = 'clv'}), 'ok|', 'all is well');
shop(q{UPDATE ecauto_data.job SET since = since - interval '1 hour' WHERE job = 'reprice'});
is(shop(q{SELECT state, detail FROM ecauto.schedule_status() WHERE job = 'reprice'}), 'unattended|It is not active in pg_cron: see cron.alter_job().', 'what was switched off is told');
shop(q{SELECT cron.alter_job(jobid, active := true) FROM cron.job WHERE jobname = 'ecauto shop: reprice'});

# ---- a zone that only this session knows ----
(undef, undef, $noticed) = $node->psql('shop', q{SET ecauto.timezone = 'Europe/Warsaw'; SELECT ecauto.schedule_defaults()});
like($noticed, qr/ecauto\.timezone is set in this session only.*ALTER DATABASE shop SET ecauto\.timezone = 'Europe\/Warsaw'/s, 'jobs would not know of it');

# ---- pg_cron in another database ----
(undef, $said, $noticed) = $node->psql('other', 'SELECT count(*) FROM ecauto.schedule_defaults() WHERE NOT scheduled');
like($noticed, qr/pg_cron is in database "shop".*\| psql -Xq -d shop/s, 'the way there is told');
$node->safe_psql('shop', join(";\n", split /\n/, other('SELECT statement FROM ecauto.schedule_statements()')));
is(shop(q{SELECT count(*) FROM cron.job WHERE database = 'other' AND jobname LIKE 'ecauto other: %'}), '7', 'and it works');
my $there = $node->connstr('shop') =~ s/'/''/gr;
my ($state, $message) = ec_sqlstate($node, 'other', "SELECT ecauto.schedule_defaults('$there');");
is($state, '55000', 'through dblink, if it is there');
like($message, qr/extension "dblink" is not installed in database "other".*CREATE EXTENSION dblink/s, 'as the hint says');
is(other("CREATE EXTENSION dblink; SELECT count(*) FROM ecauto.schedule_defaults('$there') WHERE scheduled"), '7', 'the same in one step');
is(shop('SELECT count(*) FROM cron.job'), '14', 'they are the same jobs');

# ---- somebody who may not ----
shop(q{CREATE ROLE keeper LOGIN; GRANT USAGE ON SCHEMA ecauto TO keeper; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ecauto TO keeper});
my ($rc, $out, $err) = $node->psql('shop', 'SELECT ecauto.schedule_defaults()', extra_params => [ '-U', 'keeper' ]);
like($err, qr/permission denied to schedule jobs/, 'who may not use pg_cron may not schedule');
like(night('SELECT ecauto.schedule_defaults()'), qr/permission denied to schedule jobs.*GRANT USAGE ON SCHEMA cron TO night/s, 'an operator is told what is missing');
shop('GRANT USAGE ON SCHEMA cron TO night');
is(night('SELECT count(*) FROM ecauto.schedule_defaults() WHERE scheduled'), '7', 'and schedules with it');
is(shop('SELECT count(*), count(DISTINCT job) FROM ecauto.schedule_status()'), '7|7', 'jobs that two have scheduled are shown once');
is(shop('SELECT ecauto.unschedule_defaults()'), '14', 'taken out as often');
is(night('SELECT count(*) FROM ecauto.schedule_defaults() WHERE scheduled'), '7', 'from here on they run as the operator');

# ---- the server sleeps a night, and pg_cron lives in UTC ----
shop(q{UPDATE ecauto_data.job SET since = '2026-05-01', asked_at = NULL});
other(q{UPDATE ecauto_data.job SET since = '2026-05-01', asked_at = NULL});
shop(q{SELECT cron.alter_job(jobid, schedule := '* * * * *') FROM cron.job WHERE jobname LIKE '%: retention' OR jobname LIKE '%: reconcile' OR jobname LIKE '%: campaigns'});
shop('UPDATE s.stock SET qty = 3 WHERE variant_id = 1');
$node->safe_psql('postgres', qq{ALTER DATABASE $_ SET ecauto.clock = '2026-05-14 04:00 Asia/Kathmandu'}) for 'shop', 'other';
$node->restart;
my $three = q{job IN ('reconcile', 'retention', 'campaigns')};
ok(ec_wait($node, 'shop', qq{SELECT count(*) = 3 FROM ecauto_data.job_run WHERE $three}), 'awake again, what was missed is made up for');
is(shop(qq{SELECT DISTINCT run_by FROM ecauto_data.job_run WHERE $three}), 'night', 'by the operator');
ok(ec_wait($node, 'other', qq{SELECT count(*) = 3 FROM ecauto_data.job_run WHERE $three}), 'in the other database, too');
is(shop(qq{SET TimeZone = 'Asia/Kathmandu'; SELECT job, due, state FROM ecauto_data.job_run WHERE $three ORDER BY due}),
	join("\n", 'campaigns|2026-05-13 05:30:00+05:45|done', 'reconcile|2026-05-14 01:30:00+05:45|done', 'retention|2026-05-14 03:30:00+05:45|done'),
	'each once, for the night of the shop');
is(other(q{SELECT DISTINCT extract(hour FROM due AT TIME ZONE 'UTC') FROM ecauto_data.job_run WHERE job = 'reconcile'}), '1', 'a database without a zone has that of the server');
ok(ec_wait($node, 'shop', q{SELECT count(*) >= 3 FROM cron.job_run_details d JOIN cron.job j USING (jobid) WHERE j.database = 'shop' AND d.status = 'succeeded'}), 'pg_cron is content');
is(shop(q{SELECT count(*) FROM ecauto.events(kind => 'stock.changed')}), '1', 'the shop was compared');
shop(q{DELETE FROM ecauto_data.job_run WHERE job IN ('recommendations', 'clv')});
like(shop(q{SELECT state, detail FROM ecauto.schedule_status() WHERE job = 'recommendations'}), qr/^behind\|It was due at 2026-05-13 /, 'what nobody has asked for is behind');

# ---- what pg_cron says ----
shop(q{UPDATE ecauto_data.job SET asked_at = clock_timestamp() - interval '1 hour' WHERE job = 'clv';
	INSERT INTO cron.job_run_details (jobid, status, return_message, start_time, end_time)
	SELECT jobid, 'failed', 'connection failed', now(), now() FROM cron.job WHERE jobname = 'ecauto shop: clv'});
like(shop(q{SELECT detail FROM ecauto.schedule_status() WHERE job = 'clv'}), qr/pg_cron says: connection failed\./, 'is in the status');
shop(q{UPDATE cron.job_run_details SET end_time = now() - interval '40 days'; SELECT ecauto.run_job('retention')});
is(shop(q{SELECT count(*) FROM cron.job_run_details d JOIN cron.job j USING (jobid) WHERE j.database = 'shop' AND d.end_time < now() - interval '1 day'}), '0', 'its history does not grow for ever');

# ---- two at once ----
my $one = $node->background_psql('shop');
$one->query_safe(q{BEGIN; SELECT ecauto.run_job('retention')});
is(shop(q{SELECT ecauto.run_due_job('retention')}), 'running: another session is at it', 'nobody waits for a job');
is(shop(q{SELECT ecauto.run_job('retention')}), 'running: another session is at it', 'nor runs it twice at once');
$one->query_safe('ROLLBACK');
$one->quit;

# ---- another scheduler ----
shop(q{TRUNCATE ecauto_data.job_run});
shop('CALL ecauto.run_due_jobs()');
is(shop(q{SELECT count(*) FROM ecauto_data.job_run WHERE state <> 'failed'}), '7', 'one call asks for all');
is(shop(q{SELECT count(DISTINCT xmin::text) FROM ecauto_data.job_run}), '7', 'each is a transaction of its own');
shop('CALL ecauto.run_due_jobs()');
is(shop(q{SELECT count(*) FROM ecauto_data.job_run}), '7', 'called again it does nothing');

# ---- the end ----
is(other("SELECT ecauto.unschedule_defaults('$there')"), '7', 'they are taken out again');
(undef, undef, $noticed) = $node->psql('other', 'SELECT ecauto.unschedule_defaults()');
like($noticed, qr/pg_cron still has the jobs.*cron\.unschedule/s, 'or it is said how');
is(shop('SELECT ecauto.unschedule_defaults()'), '7', 'here as well');
is(shop('SELECT ecauto.unschedule_defaults()'), '0', 'once');
is(shop('SELECT count(*) FROM cron.job'), '0', 'nothing is left');

$node->stop;
done_testing();

-- Jobs of the night are due once on each day of the shop's own clock, whatever
-- that clock does, and what was missed is made up for once.
BEGIN;
SET client_min_messages = error;
SELECT no_plan();
SET TimeZone = 'UTC';
SET ecauto.timezone = 'Europe/Warsaw';

-- ---- when ----
CREATE FUNCTION due(at text, runs_at time DEFAULT '02:30') RETURNS text LANGUAGE sql
AS $$ SELECT to_char(ecauto.job_due(runs_at, at::timestamptz), 'MM-DD HH24:MI') $$;
SELECT is(due('2026-07-01 12:00 Europe/Warsaw'), '07-01 00:30', 'in summer it is two hours before UTC');
SELECT is(due('2026-01-15 12:00 Europe/Warsaw'), '01-15 01:30', 'in winter one');
SELECT is(due('2026-01-15 02:29:59 Europe/Warsaw'), '01-14 01:30', 'a second before it is that of yesterday');
SELECT is(due('2026-01-15 02:30 Europe/Warsaw'), '01-15 01:30', 'from that instant on it is that of today');
SELECT is(due('2026-03-29 03:05 Europe/Warsaw'), '03-28 01:30', 'the hour that summer time skips has not been yet');
SELECT is(due('2026-03-29 03:31 Europe/Warsaw'), '03-29 01:30', 'it is an hour later by the clock');
SELECT is(due('2026-10-25 00:31 UTC'), '10-24 00:30', 'of the hour that comes twice the first');
SELECT is(due('2026-10-25 01:31 UTC'), '10-25 01:30', 'does not count, the second does');
SELECT results_eq($$ SELECT count(*), count(DISTINCT (d.due AT TIME ZONE 'Europe/Warsaw')::date) FROM (SELECT DISTINCT ecauto.job_due('02:30', t) AS due
		FROM generate_series('2026-01-01 12:00 UTC'::timestamptz, '2026-12-31 12:00 UTC', '1 hour') t) d $$,
	$$ VALUES (365::bigint, 365::bigint) $$, 'asked every hour it is due once on each of the 365 days');
SELECT is((SELECT count(DISTINCT ecauto.job_due('00:00', t)) FROM generate_series('2026-01-01 12:00 UTC'::timestamptz, '2026-12-31 12:00 UTC', '1 hour') t),
	365::bigint, 'at midnight, too');
SET ecauto.timezone = 'Asia/Kathmandu';
SELECT is(due('2026-07-01 12:00 UTC'), '06-30 20:45', 'a zone of quarters of an hour');
SET ecauto.timezone = 'Pacific/Apia';
SELECT is(due('2026-07-01 12:00 UTC', '23:59'), '07-01 10:59', 'a zone that is ahead');
SET ecauto.timezone = 'America/Santiago';
SELECT is(due('2026-09-06 04:30 UTC', '00:00'), '09-06 04:00', 'a midnight that does not exist');
SELECT ok(ecauto.job_due(NULL) IS NULL AND ecauto.job_next(NULL) IS NULL, 'NULL for NULL');
SET ecauto.timezone = 'Europe/Warsaw';
SET ecauto.clock = '2026-03-28 12:00 Europe/Warsaw';
SELECT is(ecauto.job_next('02:30'), '2026-03-29 03:30 Europe/Warsaw'::timestamptz, 'the next run in the night that is an hour short');

-- ---- the usual life ----
SELECT is((SELECT array_agg(job ORDER BY place) FROM ecauto.jobs()),
	'{reconcile,clv,recommendations,retention,replenishment,reprice,campaigns}', 'what there is');
SET ecauto.clock = '2026-05-10 14:00 Europe/Warsaw';
SELECT is((SELECT DISTINCT state FROM ecauto.schedule_status()), 'not scheduled', 'nothing is scheduled');
SELECT is(ecauto.run_due_job('retention'), 'not due: it was scheduled after the last time', 'asked for the first time it runs the next night');
SELECT is((SELECT count(*) FROM ecauto_data.job_run), 0::bigint, 'not in the middle of the day');
SET ecauto.clock = '2026-05-11 03:31 Europe/Warsaw';
SELECT alike(ecauto.run_due_job('retention'), 'done: 0 months of events%', 'then it runs');
SELECT is(ecauto.run_due_job('retention'), 'not due: it has run', 'a minute later it does nothing');
SET ecauto.clock = '2026-05-12 03:29 Europe/Warsaw';
SELECT is(ecauto.run_due_job('retention'), 'not due: it has run', 'a minute before it is due again, too');
SET ecauto.clock = '2026-05-16 17:00 Europe/Warsaw';
SELECT alike(ecauto.run_due_job('retention'), 'done:%', 'after days without anybody it is made up for');
SELECT is(ecauto.run_due_job('retention'), 'not due: it has run', 'once');
SELECT is((SELECT array_agg(due) FROM ecauto_data.job_run), ARRAY['2026-05-11 03:30 Europe/Warsaw', '2026-05-16 03:30 Europe/Warsaw']::timestamptz[], 'for the last night');
SELECT is(ecauto.run_due_job('clv'), 'not due: it was scheduled after the last time', 'jobs are asked for one by one');
SET ecauto.clock = '2026-05-17 12:00 Europe/Warsaw';
SELECT is(ecauto.run_due_job('clv'), 'skipped: no shop is attached', 'a job that has nothing to do says why');
SELECT is(ecauto.run_due_job('clv'), 'not due: it has run', 'and that will do for the night');

-- ---- as this shop wants it ----
SELECT ecauto.set_job('retention', '23:00');
SELECT ecauto.run_due_job('retention');
SET ecauto.clock = '2026-05-17 23:10 Europe/Warsaw';
SELECT alike(ecauto.run_due_job('retention'), 'done:%', 'at another hour');
SELECT ecauto.set_job('retention', enabled => false);
SET ecauto.clock = '2026-05-20 23:10 Europe/Warsaw';
SELECT is(ecauto.run_due_job('retention'), 'not due: it is disabled', 'or not at all');
SELECT results_eq($$ SELECT runs_at, enabled FROM ecauto.jobs() WHERE job = 'retention' $$, $$ VALUES (time '23:00', false) $$, 'both are kept');
SELECT is((SELECT state FROM ecauto.schedule_status() WHERE job = 'retention'), 'disabled', 'and shown');
SELECT ecauto.set_job('retention', enabled => true);
SELECT throws_ok($$ SELECT ecauto.set_job('party', '23:00') $$, '42704', 'job "party" does not exist', 'an unknown job');
SELECT throws_ok($$ SELECT ecauto.run_job('party') $$, '42704', 'job "party" does not exist', 'is not run');
SELECT throws_ok($$ SELECT ecauto.run_due_job(NULL) $$, '42704', 'job "null" does not exist', 'nor NULL');

-- ---- what goes wrong ----
CREATE FUNCTION break() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the disk is full' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER break BEFORE DELETE ON ecauto_data.job_run FOR EACH STATEMENT EXECUTE FUNCTION break();
SELECT is(ecauto.run_due_job('retention'), 'failed: the disk is full', 'a job that fails does not raise');
SELECT results_eq($$ SELECT state, result, code::text FROM ecauto_data.job_run ORDER BY id DESC LIMIT 1 $$, $$ VALUES ('failed', 'the disk is full', '53100') $$, 'its error is kept');
SELECT results_eq($$ SELECT state, detail FROM ecauto.schedule_status() WHERE job = 'retention' $$,
	$$ VALUES ('failed', 'the disk is full. It has failed 1 times for this day; SELECT ecauto.run_job(''retention'') tries it now.') $$, 'and shown');
SELECT is(ecauto.run_due_job('retention'), 'not due: it failed, and is tried again after 23:20', 'it is tried again');
SET ecauto.clock = '2026-05-20 23:20 Europe/Warsaw';
SELECT is(ecauto.run_due_job('retention'), 'failed: the disk is full', 'ten minutes later');
SELECT is(ecauto.run_due_job('retention'), 'not due: it failed, and is tried again after 23:40', 'then twenty');
SET ecauto.clock = '2026-05-21 03:00 Europe/Warsaw';
SELECT ecauto.run_job('retention') FROM generate_series(1, 4);
SET ecauto.clock = '2026-05-21 22:00 Europe/Warsaw';
SELECT is(ecauto.run_due_job('retention'), 'not due: it failed, and waits for the next day', 'not for ever');
DROP TRIGGER break ON ecauto_data.job_run;
SELECT alike(ecauto.run_job('retention'), 'done:%', 'by hand it runs whenever it is told to');
SELECT is(ecauto.run_due_job('retention'), 'not due: it has run', 'and that counts for the night');

-- ---- without pg_cron ----
SET ecauto.clock = '2026-05-25 12:00 Europe/Warsaw';
SELECT is((SELECT count(*) FROM ecauto.schedule_defaults() WHERE NOT scheduled AND statement = format('SELECT ecauto.run_due_job(%L)', job) AND timezone = 'Europe/Warsaw'), 7::bigint,
	'each job says how to call it');
SELECT is((SELECT count(*) FROM ecauto.schedule_status() WHERE state = 'behind'), 2::bigint, 'only what was asked for before is behind');
SELECT alike((SELECT detail FROM ecauto.schedule_status() WHERE job = 'clv'), 'It was due at 2026-05-25 00:15 UTC. %', 'and since when');
UPDATE ecauto_data.job SET asked_at = clock_timestamp() - interval '1 hour', since = since - interval '1 hour' WHERE job = 'reprice';
UPDATE ecauto_data.job SET since = '2026-01-01' WHERE job = 'reprice';
INSERT INTO ecauto_data.job_run (job, due, started_at, took, state, result) VALUES ('reprice', '2026-05-25 05:00 Europe/Warsaw', '2026-05-25 05:00 Europe/Warsaw', '1 s', 'done', '12 prices changed');
SELECT results_eq($$ SELECT state, detail, result FROM ecauto.schedule_status() WHERE job = 'reprice' $$,
	$$ VALUES ('unattended', 'Nobody asks for it: is the scheduler running that calls ecauto.run_due_jobs()?', '12 prices changed') $$, 'a scheduler that has stopped is told before the night');
SELECT is(ecauto.unschedule_defaults(), 0, 'nothing was in pg_cron');
SELECT is((SELECT count(*) FROM ecauto.schedule_status() WHERE state = 'not scheduled'), 7::bigint, 'nothing is scheduled any more');
SELECT is((SELECT count(*) > 0 FROM ecauto_data.job_run), true, 'the history stays');
SET ecauto.clock = '2026-05-28 12:00 Europe/Warsaw';
SELECT is(ecauto.run_due_job('campaigns'), 'not due: it was scheduled after the last time', 'nights without a schedule were not missed');

-- ---- history ends ----
SET ecauto.clock = '2028-05-28 12:00 Europe/Warsaw';
SELECT ecauto.run_job('retention');
SELECT is((SELECT count(*) FROM ecauto_data.job_run), 1::bigint, 'runs of years ago are forgotten');
SELECT * FROM finish();
ROLLBACK;

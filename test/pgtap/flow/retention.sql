-- Old runs go; what they mark stays.
BEGIN;
\ir ../event/shop.psql
SELECT plan(13);
SET LOCAL ecauto.clock = '2026-06-15 10:00:00+00';
SELECT ecauto.tick() \g /dev/null
CREATE FUNCTION note(params jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT CASE WHEN $1 ? 'fail' THEN to_jsonb(1 / ($1 ->> 'fail')::integer) ELSE '"noted"' END $$;
SELECT ecauto.register_action('note', 'note(jsonb)') \g /dev/null
SELECT ecauto.create_flow('each', '{"on": "view", "if": "event.customer = ''1''", "steps": [{"note": {}}]}'), ecauto.enable_flow('each'),
	ecauto.create_flow('once', '{"on": "view", "once_per": "customer", "steps": [{"note": {}, "as": "x"}]}'), ecauto.enable_flow('once'),
	ecauto.create_flow('daily', '{"on": "view", "once_per": ["customer", "day"], "steps": [{"note": {}}]}'), ecauto.enable_flow('daily'),
	ecauto.create_flow('waits', '{"on": "view", "steps": [{"wait": "1 year"}]}'), ecauto.enable_flow('waits'),
	ecauto.create_flow('fails', '{"on": "view", "steps": [{"note": {"fail": 0}}]}'), ecauto.enable_flow('fails') \g /dev/null
SELECT ecauto.track('view', '1', properties => '{"n": 1}') \g /dev/null
SELECT ecauto.tick() \g /dev/null
UPDATE ecauto_data.flow_run SET state = 'failed', wake_at = NULL WHERE state = 'retry';
SELECT is(ecauto.drop_old_runs('1 day'), 0::bigint, 'young runs stay');
SELECT set_config('ecauto.clock', '2026-08-15 10:00:00+00', true) \g /dev/null
SELECT throws_ok($$ SELECT ecauto.drop_old_runs('-1 day') $$, '22023', 'interval to keep runs must not be negative', 'the future is not dropped');
SELECT throws_ok($$ SELECT ecauto.drop_old_runs('infinity') $$, NULL, NULL, 'nor for ever') WHERE current_setting('server_version_num')::int >= 170000
UNION ALL SELECT pass('an interval is finite before version 17') WHERE current_setting('server_version_num')::int < 170000;
SELECT is(ecauto.drop_old_runs(), 0::bigint, 'thirteen months are kept unless told otherwise');
SELECT is(ecauto.drop_old_runs('1 month'), 3::bigint, 'old ones that are done go');
SELECT results_eq($$ SELECT f.name COLLATE "default", r.state COLLATE "default" FROM ecauto_data.flow_run r JOIN ecauto_data.flow f ON f.id = r.flow ORDER BY 1 $$,
	$$ VALUES ('daily', 'done'), ('fails', 'failed'), ('once', 'done'), ('waits', 'waiting') $$, 'marks stay, and what is not done');
SELECT results_eq($$ SELECT subject, outcome, finished_at FROM ecauto.runs('once') $$, $$ VALUES ('customer:1', 'finished', '2026-06-15 10:00+00'::timestamptz) $$, 'a mark says whom, how and when');
SELECT is((SELECT count(*) FROM ecauto_data.flow_run WHERE state = 'done' AND (new IS NOT NULL OR operands IS NOT NULL OR results IS NOT NULL)), 0::bigint, 'and nothing else');
SELECT is((SELECT string_agg(DISTINCT r.state, ',') FROM ecauto_data.flow_decision d LEFT JOIN ecauto_data.flow_run r ON r.id = d.run), 'failed', 'decisions go with their runs');
SELECT is(ecauto.drop_old_runs('1 month'), 0::bigint, 'once');
SELECT ecauto.track('view', '1', at => '2026-06-15 11:00+00'), ecauto.track('view', '1'), ecauto.track('view', '2') \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT results_eq($$ SELECT subject FROM ecauto.runs('once') $$, $$ VALUES ('customer:1'), ('customer:2') $$, 'who had his run does not get another');
SELECT results_eq($$ SELECT subject, occasion FROM ecauto.runs('daily') $$, $$ VALUES ('customer:1', '2026-06-15'), ('customer:1', '2026-08-15'), ('customer:2', '2026-08-15') $$, 'nor for a day of which he is told later');
SELECT is((SELECT count(*) FROM ecauto.runs('each')), 2::bigint, 'each event has its own');

SELECT * FROM finish();
ROLLBACK;

-- Runs: once per occasion, through every kind of step, each decision told, and an error touches no other run.
BEGIN;
\ir ../event/shop.psql
SELECT plan(57);
SET LOCAL ecauto.clock = '2026-06-15 10:00:00+00';
SET LOCAL ecauto.timezone = 'Europe/Warsaw';
SELECT ecauto.tick() \g /dev/null

CREATE TABLE done (n serial, run bigint, what text, at timestamptz DEFAULT ecauto.now());
CREATE FUNCTION act(params jsonb, context jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	-- "done" is found by the search_path of the registration
	INSERT INTO done (run, what) VALUES ((context -> 'run' ->> 'id')::bigint, params ->> 'what');
	IF params ->> 'fail' = context ->> 'subject' THEN
		RAISE EXCEPTION 'no luck with %', context ->> 'subject';
	END IF;
	RETURN jsonb_build_object('did', params ->> 'what');
END $$;
CREATE FUNCTION plain(params jsonb) RETURNS text LANGUAGE sql AS $$ SELECT 'saw ' || (params ->> 'what') $$;
SELECT ecauto.register_action('act', 'act(jsonb, jsonb)') \g /dev/null
SELECT ecauto.register_action('plain', 'plain(jsonb)') \g /dev/null
-- what happened since the last call
CREATE FUNCTION did() RETURNS text LANGUAGE sql AS $$
	WITH gone AS (DELETE FROM s.done RETURNING *) SELECT coalesce(string_agg(what, ' ' ORDER BY n), '') FROM gone $$;
CREATE FUNCTION at(clock text) RETURNS text LANGUAGE sql AS $$
	SELECT set_config('ecauto.clock', clock, true); SELECT ecauto.tick(); SELECT s.did() $$;

-- ---- scenario 1: an edge counts once ----
SELECT is(ecauto.create_flow('low', '{"on": "stock.changed", "if": "old.available >= 5 AND new.available < 5",
	"steps": [{"act": {"what": "low {{sku.sku}}: {{new.available}} of {{product.title}}"}}]}'), 1, 'the first version');
SELECT ok(ecauto.enable_flow('low'), 'is enabled');
SELECT ok(NOT ecauto.enable_flow('low'), 'once');
UPDATE stock SET qty = 6 WHERE variant_id = 1;
SELECT ecauto.tick() \g /dev/null
SELECT is(did(), '', '6 is not below 5');
UPDATE stock SET qty = 4 WHERE variant_id = 1;
SELECT ecauto.tick() \g /dev/null
SELECT is(did(), 'low V1: 4 of Product 1', '4 is, and templates are filled in');
UPDATE stock SET qty = 3 WHERE variant_id = 1;
SELECT ecauto.tick() \g /dev/null
SAVEPOINT a;
UPDATE stock SET qty = 2 WHERE variant_id = 1;
ROLLBACK TO a;
SELECT ecauto.tick() \g /dev/null
SELECT is(did(), '', 'neither 3 nor what was rolled back crosses it again');
SELECT is((SELECT count(*) FROM ecauto.runs('low')), 1::bigint, 'one run');
SELECT results_eq($$ SELECT path, step, outcome, operands FROM ecauto.explain_run((SELECT run_id FROM ecauto.runs('low'))) $$,
	$$ VALUES ('on', 'start', 'started', '{"old.available": 6, "new.available": 4}'::jsonb), ('steps[0]', 'act', 'done', NULL),
		('', 'end', 'finished', NULL) $$, 'which tells why and what');

-- ---- steps ----
SELECT ecauto.create_flow('steps', '{"on": "order.placed", "if": "order.total >= 5 AND customer.orders_count > 0", "steps": [
	{"act": {"what": "placed {{order.number}}"}, "as": "first"},
	{"plain": {"what": "it"}},
	{"wait": "90 minutes"},
	{"if": "order.paid >= order.total", "then": [{"act": {"what": "paid by {{customer.email}}"}}],
		"else": [{"act": {"what": "unpaid"}}, {"wait": {"event": "order.paid", "timeout": "1 day"},
			"then": [{"act": {"what": "paid after all"}}], "else": [{"act": {"what": "never paid"}}, {"exit": "no money"}]}]},
	{"for_each": "order.lines", "do": [{"act": {"what": "line {{line.number}}: {{line.qty}} x {{line.sku}}"}}, {"if": "line.qty > 1", "then": [{"act": {"what": "many"}}]}]},
	{"wait": {"until": "09:00"}},
	{"act": {"what": "end, first {{results.first.did}}"}}]}') \g /dev/null
SELECT ecauto.enable_flow('steps') \g /dev/null
INSERT INTO orders (id, customer_id, mail, total, paid, placed) VALUES (20, 1, 'c1@shop.example', 50, 50, '2026-06-15 09:59+00'), (21, 2, 'c2@shop.example', 60, 0, '2026-06-15 09:59+00'),
	(22, 3, 'c3@shop.example', 70, 0, '2026-06-15 09:59+00'), (23, 4, 'c4@shop.example', 1, 1, '2026-06-15 09:59+00');
INSERT INTO order_line VALUES (20, 20, 1, 1, 10), (21, 20, 2, 3, 20);
SELECT is(at('2026-06-15 10:00:00+00'), 'placed 20 placed 21 placed 22', 'the condition about an order and its customer chooses');
SELECT is((SELECT string_agg(DISTINCT state || ' ' || step || ' ' || wake_at, ',') FROM ecauto.runs('steps')), 'waiting steps[2] 2026-06-15 11:30:00+00', 'they wait');
SELECT is(at('2026-06-15 11:29:59.999999+00'), '', 'to the microsecond');
SELECT is(at('2026-06-15 11:30:00+00'), 'unpaid unpaid paid by c1@shop.example line 1: 1 x V1 line 2: 3 x V2 many', 'then go separate ways');
UPDATE orders SET paid = 60 WHERE id = 21;
SELECT is(at('2026-06-15 12:00:00+00'), 'paid after all', 'an event ends its wait');
SELECT is(at('2026-06-16 06:59:59+00'), '', 'until nine in Warsaw');
SELECT is(at('2026-06-16 07:00:00+00'), 'end, first placed 20 end, first placed 21', 'is seven in Greenwich');
SELECT is(at('2026-06-16 11:30:00+00'), 'never paid', 'a wait for an event ends by itself');
SELECT results_eq($$ SELECT subject, state, outcome, finished_at FROM ecauto.runs('steps') $$,
	$$ VALUES ('order:20', 'done', 'finished', '2026-06-16 07:00+00'::timestamptz), ('order:21', 'done', 'finished', '2026-06-16 07:00+00'),
		('order:22', 'done', 'exit', '2026-06-16 11:30+00') $$, 'how they ended');
SELECT is((SELECT string_agg(path || '=' || outcome, ' ') FROM ecauto.explain_run((SELECT run_id FROM ecauto.runs('steps') WHERE subject = 'order:22'))),
	'on=started steps[0]=done steps[1]=done steps[2]=over steps[3]=else steps[3].else[0]=done steps[3].else[1]=timed out steps[3].else[1].else[0]=done steps[3].else[1].else[1]=no money =exit', 'each decision is told');
SELECT is((SELECT detail FROM ecauto.explain_run((SELECT run_id FROM ecauto.runs('steps') WHERE subject = 'order:22')) WHERE step = 'plain'), '"saw it"', 'an action may return any type');
SELECT is_empty('SELECT FROM ecauto_data.flow_wait', 'nobody waits any more');

-- ---- goal, exit_if, once_per ----
SELECT ecauto.create_flow('care', '{"on": "view", "once_per": ["customer", "day"], "exit_if": "customer.last_order_at > run.started_at",
	"steps": [{"act": {"what": "hello {{customer.email}}"}}, {"wait": "1 day"}, {"act": {"what": "again {{event.customer}}"}}, {"goal": "order.placed", "within": "2 days"}, {"act": {"what": "thanks or not"}}]}') \g /dev/null
SELECT ecauto.enable_flow('care') \g /dev/null
SELECT ecauto.track('view', '1'), ecauto.track('view', '2', session => 'x'), ecauto.track('view', '2'), ecauto.track('view', session => 'nobody') \g /dev/null
SELECT is(at('2026-06-17 10:00:00+00'), 'hello c1@shop.example hello c2@shop.example', 'once for each customer and day; nobody has no run');
SELECT ecauto.track('view', '2', at => '2026-06-16 21:59:59+00') \g /dev/null
SELECT is(at('2026-06-17 10:30:00+00'), '', 'still the same day in Warsaw');
SELECT ecauto.track('view', '2', at => '2026-06-16 22:00:00+00') \g /dev/null
SELECT is(at('2026-06-17 11:00:00+00'), 'hello c2@shop.example', 'and this is the next');
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (30, 1, 'c1@shop.example', 3, '2026-06-17 23:00+00');
SELECT is(at('2026-06-17 23:00:00+00'), '', 'the goal takes him away, and exit_if ends him');
SELECT is((SELECT outcome FROM ecauto.runs('care', subject => 'customer:1')), 'exit_if', 'as he ordered');
SELECT is(at('2026-06-18 10:00:00+00'), 'again 2', 'the other one goes on');
SELECT is(at('2026-06-20 10:00:00+00'), 'thanks or not again 2', 'until the goal''s time is over');
SELECT is((SELECT string_agg(outcome, ' ') FROM ecauto.explain_run((SELECT min(run_id) FROM ecauto.runs('care', subject => 'customer:2'))) WHERE step <> 'exit_if'),
	'started done over done not reached done finished', 'in his words');
SELECT ok((SELECT bool_and(operands ? 'customer.last_order_at' AND operands ? 'run.started_at') FROM ecauto_data.flow_decision WHERE step = 'exit_if'), 'exit_if tells its values each time');

SELECT ecauto.create_flow('goal', '{"on": "click", "steps": [{"wait": "1 day"}, {"act": {"what": "late"}}, {"goal": "order.placed"}, {"act": {"what": "bought"}}]}') \g /dev/null
SELECT ecauto.enable_flow('goal') \g /dev/null
SELECT ecauto.track('click', '5') \g /dev/null
SELECT is(at('2026-06-20 11:00:00+00'), '', 'waits');
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (31, 5, 'c5@shop.example', 3, '2026-06-20 11:30+00');
SELECT is(at('2026-06-20 11:30:00+00'), 'bought', 'a goal is reached from wherever the run is');
SELECT is((SELECT state || ' ' || outcome FROM ecauto.runs('goal')), 'done goal', 'and that is how it ended');

-- ---- experiments ----
INSERT INTO customer SELECT i, 'c' || i || '@shop.example' FROM generate_series(1001, 2000) i;
SELECT ecauto.create_flow('test', '{"on": "customer.created", "steps": [{"holdout": {"percent": 10, "name": "summer"}}, {"split": {"A": 50, "B": 50}, "name": "which", "A": [{"tag": {"customer": "a"}}], "B": [{"tag": {"customer": ["b", "bb"]}}]}, {"untag": {"customer": "bb"}}]}') \g /dev/null
SELECT ecauto.enable_flow('test') \g /dev/null
SELECT is(at('2026-06-20 12:00:00+00'), '', 'a thousand customers');
SELECT is((SELECT count(*) FROM ecauto.runs('test') WHERE state = 'done'), 1000::bigint, 'have their runs');
SELECT set_eq($$ SELECT customer FROM ecauto.runs('test') WHERE outcome = 'holdout' $$,
	$$ SELECT i::text FROM generate_series(1001, 2000) i WHERE ecauto.bucket('summer', i::text) < 0.1 $$, 'the holdout is drawn by bucket()');
SELECT ok((SELECT count(*) FROM ecauto.runs('test') WHERE outcome = 'holdout') BETWEEN 70 AND 130, 'and is a tenth');
SELECT set_eq($$ SELECT key FROM ecauto.tags('customer') WHERE tag = 'a' $$,
	$$ SELECT i::text FROM generate_series(1001, 2000) i WHERE ecauto.bucket('summer', i::text) >= 0.1 AND ecauto.bucket('which', i::text) < 0.5 $$, 'so are the arms');
SELECT set_eq('SELECT DISTINCT tag FROM ecauto.tags(''customer'')', $$ VALUES ('a'), ('b') $$, 'and what is untagged is gone');

-- ---- scenario 10: one of a thousand fails ----
SELECT ecauto.disable_flow('test') \g /dev/null
SELECT ecauto.create_flow('fail', '{"on": "customer.created", "steps": [{"act": {"what": "x", "fail": "customer:3500"}}, {"tag": {"customer": "done"}}]}') \g /dev/null
SELECT ecauto.enable_flow('fail') \g /dev/null
INSERT INTO customer SELECT i, 'c' || i || '@shop.example' FROM generate_series(3001, 4000) i;
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT count(*) FROM done), 999::bigint, '999 are done, and nothing remains of the one');
SELECT is((SELECT string_agg(state || ' ' || n, ' ' ORDER BY state) FROM (SELECT state, count(*) AS n FROM ecauto.runs('fail') GROUP BY 1) x), 'done 999 retry 1', 'it is tried again');
SELECT is((SELECT count(*) FROM ecauto.tags('customer') WHERE tag = 'done'), 999::bigint, 'the others went on');
SELECT set_config('ecauto.clock', (ecauto.now() + i * interval '13 hours')::text, true), ecauto.tick() FROM generate_series(1, 6) i \g /dev/null
SELECT results_eq($$ SELECT subject, state, step, attempts, error FROM ecauto.runs('fail') WHERE state <> 'done' $$,
	$$ VALUES ('customer:3500', 'failed', 'steps[0]', 6, 'no luck with customer:3500') $$, 'then parked with its error');
SELECT is((SELECT count(*) FROM ecauto.explain_run((SELECT run_id FROM ecauto.runs('fail', 'failed'))) WHERE outcome = 'error'), 6::bigint, 'each try is told');
SELECT is((SELECT count(*) FROM done WHERE what = 'x'), 999::bigint, 'with nothing else done');
CREATE OR REPLACE FUNCTION act(params jsonb, context jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{"skipped": "no_stock"}'::jsonb $$;
SELECT ok(ecauto.retry_run((SELECT run_id FROM ecauto.runs('fail', 'failed'))), 'after a repair it is tried once more');
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT string_agg(outcome, ' ') FROM ecauto.explain_run((SELECT run_id FROM ecauto.runs('fail', subject => 'customer:3500')))),
	'started error error error error error error skipped done finished', 'and ends well, with what was skipped');
SELECT is((SELECT detail ->> 'skipped' FROM ecauto_data.flow_decision WHERE outcome = 'skipped'), 'no_stock', 'for its reason');

-- ---- a condition that fails for one event ----
SELECT ecauto.create_flow('divide', '{"on": "quiz.finished", "if": "10 / (event.properties ->> ''points'')::int > 1", "steps": [{"tag": {"customer": "quick"}}]}') \g /dev/null
SELECT ecauto.enable_flow('divide') \g /dev/null
SELECT ecauto.track('quiz.finished', i::text, properties => jsonb_build_object('points', i % 5)) FROM generate_series(1, 9) i \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT results_eq($$ SELECT subject, state, error FROM ecauto.runs('divide') ORDER BY length(subject), subject $$,
	$$ VALUES ('customer:1', 'done', NULL), ('customer:2', 'done', NULL), ('customer:3', 'done', NULL), ('customer:4', 'done', NULL),
		('customer:5', 'failed', 'division by zero'), ('customer:6', 'done', NULL), ('customer:7', 'done', NULL), ('customer:8', 'done', NULL), ('customer:9', 'done', NULL) $$,
	'is parked alone');
SELECT is((SELECT error FROM ecauto.flows() WHERE name = 'divide'), 'division by zero', 'and the flow says so');

-- ---- versions ----
SELECT ecauto.create_flow('v', '{"on": "search", "steps": [{"wait": "1 hour"}, {"emit": {"kind": "old.way"}}]}') \g /dev/null
SELECT is(ecauto.create_flow('v', '{"on": "search", "steps": [{"wait": "1 hour"}, {"emit": {"kind": "old.way"}}]}'), 1, 'the same definition is the same version');
SELECT ecauto.enable_flow('v') \g /dev/null
SELECT ecauto.track('search', '1') \g /dev/null
SELECT at('2026-07-01 10:00:00+00') \g /dev/null
SELECT is(ecauto.create_flow('v', '{"on": "search", "steps": [{"wait": "2 hours"}, {"emit": {"kind": "new.way", "properties": {"who": "{{customer.email}}"}}}]}'), 2, 'another makes another');
SELECT ecauto.track('search', '2') \g /dev/null
SELECT at('2026-07-01 10:30:00+00') \g /dev/null
SELECT at('2026-07-01 13:00:00+00') \g /dev/null
SELECT results_eq($$ SELECT kind, customer, new ->> 'who' FROM ecauto.events(kind => NULL) WHERE kind LIKE '%.way' ORDER BY kind $$,
	$$ VALUES ('new.way', '2', 'c2@shop.example'), ('old.way', '1', NULL) $$, 'runs under way finish on theirs');
SELECT ecauto.track('search', '3') \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT ok(ecauto.disable_flow('v', cancel => true), 'disabled, with what is under way');
SELECT is((SELECT string_agg(outcome, ' ' ORDER BY run_id) FROM ecauto.runs('v')), 'finished finished cancelled', 'that is cancelled');
SELECT ecauto.track('search', '4') \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT count(*) FROM ecauto.runs('v')), 3::bigint, 'and no more start');
SELECT ok(ecauto.drop_flow('v'), 'dropped');
SELECT ok(NOT ecauto.drop_flow('v'), 'once');

SELECT * FROM finish();
ROLLBACK;

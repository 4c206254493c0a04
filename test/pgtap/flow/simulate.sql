-- simulate_flow() tells all that a flow would do, by doing it, and nothing of it remains.
BEGIN;
\ir ../event/shop.psql
SELECT plan(27);
SET LOCAL ecauto.clock = '2026-06-01 08:00:00+00';
SET LOCAL ecauto.timezone = 'Europe/Warsaw';
CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://127.0.0.1:2525', sender 'Shop <shop@shop.example>');
CREATE SERVER erp FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:2526');
SET LOCAL ecauto.mail_endpoint = 'mail';
SET LOCAL ecauto.manager_mail = 'boss@shop.example';
SELECT ecauto.bind_write('set_price', 'UPDATE price SET amount = $2 WHERE variant_id = $1::int AND $3 = ''EUR''') \g /dev/null
SELECT ecauto.tick() \g /dev/null
CREATE TABLE done (what text);
CREATE FUNCTION act(params jsonb) RETURNS text LANGUAGE sql AS $$
	INSERT INTO done VALUES (params ->> 'what');
	SELECT ecauto.enqueue('erp', '{"by": "hand"}');
	SELECT 'did ' || (params ->> 'what') $$;
SELECT ecauto.register_action('act', 'act(jsonb)') \g /dev/null
SELECT ecauto.create_template('thanks', 'Thanks for {{order.number}}', '<p>Hello {{customer.email}}, {{order.total}}</p>',
	sample => '{"order": {"number": "1", "total": 5}, "customer": {"email": "a@b.c"}}') \g /dev/null
SELECT ecauto.create_promotion('back10', '{"percent": 10, "coupon": true}') \g /dev/null
SELECT ecauto.create_flow('all', '{"on": "order.placed", "if": "order.total >= 5", "steps": [
	{"mail": {"template": "thanks"}},
	{"tag": {"customer": "buyer"}}, {"coupon": {"promotion": "back10"}},
	{"wait": "2 days"},
	{"if": "order.paid >= order.total", "then": [{"http": {"endpoint": "erp", "path": "/paid", "payload": {"n": "{{order.number}}"}}}],
		"else": [{"exit": "unpaid"}]},
	{"notice": {"subject": "paid {{order.number}}"}},
	{"emit": {"kind": "vip.reached"}},
	{"act": {"what": "{{order.key}}"}},
	{"wait": {"event": "order.fulfilled", "timeout": "3 days"}, "then": [{"act": {"what": "sent"}}], "else": [{"act": {"what": "late"}}]},
	{"wait": "300 days"},
	{"mail": {"template": "thanks", "purpose": "marketing"}}]}') \g /dev/null
CREATE TABLE before AS SELECT t.relname, x.* FROM pg_class t, LATERAL (SELECT md5(query_to_xml(format('SELECT x::text FROM ecauto_data.%I x ORDER BY 1', t.relname), true, true, '')::text)) x (sum)
	WHERE t.relnamespace = 'ecauto_data'::regnamespace AND t.relkind IN ('r', 'p');

CREATE TABLE seen AS SELECT row_number() OVER () AS n, * FROM ecauto.simulate_flow('all', '{"key": "3"}');
SELECT results_eq('SELECT step, action, effect ->> ''outcome'' FROM seen ORDER BY n', $$ VALUES
	('on', 'start', NULL), ('steps[0]', 'mail', 'done'), ('steps[1]', 'tag', 'done'), ('steps[2]', 'coupon', 'done'), ('steps[3]', 'wait', 'over'),
	('steps[4]', 'if', 'then'), ('steps[4].then[0]', 'http', 'done'), ('steps[5]', 'notice', 'done'), ('steps[6]', 'emit', 'done'),
	('steps[7]', 'act', 'done'), ('steps[8]', 'wait', 'timed out'), ('steps[8].else[0]', 'act', 'done'), ('steps[9]', 'wait', 'over'),
	('steps[10]', 'mail', 'skipped'), ('end', 'end', 'finished'), ('', 'message', NULL), ('', 'message', NULL) $$,
	'a flow that is not enabled, to its end, over waits');
SELECT is((SELECT effect -> 'mail' ->> 'subject' FROM seen WHERE n = 2), 'Thanks for 3', 'a mail as it would be sent');
SELECT is((SELECT effect -> 'mail' ->> 'html' FROM seen WHERE n = 2), '<p>Hello c3@shop.example, 10</p>', 'rendered');
SELECT is((SELECT effect -> 'mail' ->> 'to' FROM seen WHERE n = 2), 'c3@shop.example', 'and to whom');
SELECT is((SELECT effect -> 'tagged' -> 0 ->> 'tag' FROM seen WHERE n = 3), 'buyer', 'a tag');
SELECT ok((SELECT effect ->> 'code' <> '' FROM seen WHERE n = 4), 'a coupon');
SELECT is((SELECT (effect ->> 'at')::timestamptz FROM seen WHERE n = 5), '2026-06-03 08:00:00+00'::timestamptz, 'the time it would be');
SELECT is((SELECT effect -> 'operands' FROM seen WHERE n = 6), '{"order.paid": 10, "order.total": 10}', 'what a condition looked at');
SELECT is((SELECT effect -> 'payload' ->> 'n' FROM seen WHERE n = 7), '3', 'a request');
SELECT is((SELECT effect -> 'notice' ->> 'subject' FROM seen WHERE n = 8), 'paid 3', 'a notice');
SELECT is((SELECT effect -> 'event' ->> 'kind' FROM seen WHERE n = 9), 'vip.reached', 'an event');
SELECT is((SELECT effect ->> 'result' FROM seen WHERE n = 10), 'did 3', 'what an action of one''s own returned');
SELECT is((SELECT effect ->> 'skipped' FROM seen WHERE n = 14), 'no_consent', 'why a mail would not be sent');
SELECT is((SELECT effect -> 'payload' ->> 'by' FROM seen WHERE n = 16), 'hand', 'a message that an action sent by itself');

SELECT is_empty('SELECT * FROM done', 'nothing of it remains in tables of the shop');
SELECT is_empty($$ SELECT b.relname FROM before b, LATERAL (SELECT md5(query_to_xml(format('SELECT x::text FROM ecauto_data.%I x ORDER BY 1', b.relname), true, true, '')::text)) x (sum)
	WHERE x.sum <> b.sum $$, 'nor in those of ecauto');
SELECT is(current_setting('ecauto.clock'), '2026-06-01 08:00:00+00', 'nor of the clock');
SELECT is((SELECT count(*) FROM pg_class WHERE relname LIKE 'event_y2027%'), 0::bigint, 'nor are there partitions of next year');

SELECT is((SELECT string_agg(action, ' ' ORDER BY n) FROM (SELECT row_number() OVER () n, * FROM ecauto.simulate_flow('all', '{"order": 4, "then": [{"after": "3 days", "kind": "order.fulfilled", "key": "4"}]}')) x
	WHERE step LIKE 'steps[8]%' AND effect ->> 'outcome' = 'event came' OR effect ->> 'result' = 'did sent'), 'wait act', 'events that come later');
UPDATE orders SET total = 1 WHERE id = 5;
SELECT results_eq($$ SELECT step, action, effect ->> 'condition' FROM ecauto.simulate_flow('all', '{"key": "5"}') $$,
	$$ VALUES ('on', 'not started', 'order.total >= 5') $$, 'a condition that does not hold');

SELECT ecauto.create_flow('once', '{"on": "stock.changed", "if": "old.available >= 5 AND new.available < 5", "once_per": "sku",
	"steps": [{"set_price": {"percent": -10}}, {"notice": {"subject": "low {{sku.sku}}"}}]}'), ecauto.enable_flow('once') \g /dev/null
SELECT results_eq($$ SELECT action, effect ->> 'old_price', effect ->> 'price' FROM ecauto.simulate_flow('once', '{"sku": "2", "old": {"available": 6}, "new": {"available": 4}}') WHERE action = 'set_price' $$,
	$$ VALUES ('set_price', '20', '18.00') $$, 'a price');
SELECT is((SELECT amount FROM price WHERE variant_id = 2), 20::numeric, 'which is what it was');
UPDATE stock SET qty = 3 WHERE variant_id = 3;
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT effect -> 'already_run' FROM ecauto.simulate_flow('once', '{"sku": 3, "old": {"available": 6}, "new": {"available": 4}}') WHERE action = 'start'),
	(SELECT to_jsonb(run_id) FROM ecauto.runs('once')), 'once_per is told of, and does not hinder');

SELECT throws_ok($$ SELECT ecauto.simulate_flow('none') $$, '42704', 'flow "none" does not exist', 'a flow that is not there');
SELECT throws_ok($$ SELECT ecauto.simulate_flow('all', '[]') $$, '22023', 'an event must be a JSON object', 'an event that is none');
SELECT throws_ok($$ SELECT ecauto.simulate_flow('all', '{"kind": "order.paid"}') $$, '22023', 'flow "all" is not started by events of kind "order.paid"', 'of another kind');
SELECT throws_ok($$ SELECT ecauto.simulate_flow('all', '{"ordre": "3"}') $$, '22023', 'unknown member "ordre" in an event', 'misspelt');
SELECT * FROM finish();
ROLLBACK;

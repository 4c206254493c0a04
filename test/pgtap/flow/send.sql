-- What actions send is in the outbox: http, slack, notices to staff, which are gathered and not repeated; and flows that segments start.
BEGIN;
\ir ../event/shop.psql
SELECT plan(31);
SET LOCAL ecauto.clock = '2026-06-15 10:00:00+00';
SELECT ecauto.tick() \g /dev/null
CREATE SERVER erp FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:9/erp');
CREATE SERVER chat FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:9/hook');
CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://127.0.0.1:9', sender 'Shop <shop@shop.example>');
SET LOCAL ecauto.manager_mail = 'manager@shop.example';
CREATE VIEW sent AS SELECT m.id, m.endpoint, m.key, (ecauto.message(m.id)).payload, o.path, o.method FROM ecauto.messages() m JOIN ecauto_data.outbox o ON o.id = m.id;
CREATE FUNCTION at(clock text) RETURNS bigint LANGUAGE sql AS $$
	SELECT set_config('ecauto.clock', clock, true); SELECT messages FROM ecauto.tick() $$;
-- place an order now
CREATE FUNCTION place(id int, total numeric) RETURNS void LANGUAGE sql AS $$
	INSERT INTO s.orders (id, customer_id, mail, total, paid, placed) VALUES (id, 1, 'c1@shop.example', total, 0, ecauto.now()) $$;

-- ---- http and slack ----
SELECT ecauto.create_flow('tell', '{"on": "order.placed", "if": "order.total < 100", "steps": [
	{"http": {"endpoint": "erp", "path": "/orders/{{order.key}}", "method": "PUT", "payload": {"number": "{{order.number}}", "lines": []}}},
	{"http": {"endpoint": "erp", "key": "second-{{order.key}}"}},
	{"slack": {"endpoint": "chat", "text": "Order {{order.number}} of {{order.total}}", "channel": "#orders"}}]}'), ecauto.enable_flow('tell') \g /dev/null
SELECT place(20, 12.5) \g /dev/null
SELECT is(at('2026-06-15 10:00:01+00'), 3::bigint, 'three steps send three messages');
SELECT results_eq($$ SELECT method COLLATE "default", path COLLATE "default", payload FROM sent WHERE path <> '' $$, $$ VALUES ('PUT', '/orders/20', '{"number": "20", "lines": []}'::jsonb) $$, 'http with a payload of its own');
SELECT is((SELECT payload -> 'order' ->> 'number' FROM sent WHERE key = 'second-20'), '20', 'and without one: the context of the run');
SELECT is((SELECT payload FROM sent WHERE endpoint = 'chat'), '{"text": "Order 20 of 12.5", "channel": "#orders"}', 'slack sends what webhooks of chats take');
SELECT is((SELECT key FROM sent WHERE endpoint = 'chat'), (SELECT format('flow:%s:%s', run_id, md5('steps[2]')) FROM ecauto.runs('tell')), 'a key for each step of a run');
SELECT results_eq($$ SELECT x.step, x.outcome, x.detail ->> 'endpoint' FROM ecauto.runs('tell') r, ecauto.explain_run(r.run_id) x WHERE x.step IN ('http', 'slack') $$,
	$$ VALUES ('http', 'done', 'erp'), ('http', 'done', 'erp'), ('slack', 'done', 'chat') $$, 'explained');
-- an endpoint that goes away parks the run, retry sends what is missing, once
SELECT ecauto.create_flow('gone', '{"on": "order.placed", "if": "order.total >= 100", "steps": [{"slack": {"endpoint": "chat", "text": "first"}}, {"slack": {"endpoint": "chat", "text": "second"}}]}'), ecauto.enable_flow('gone') \g /dev/null
ALTER SERVER chat RENAME TO hidden;
SELECT place(21, 200) \g /dev/null
SELECT is(at('2026-06-15 10:00:02+00'), 0::bigint, 'nothing is sent to an endpoint that is gone');
SELECT matches((SELECT state || ': ' || error FROM ecauto.runs('gone')), '^retry: .*chat.* does not exist', 'the run waits to try again');
ALTER SERVER hidden RENAME TO chat;
SELECT is(at('2026-06-15 10:01:03+00'), 2::bigint, 'and does');

-- ---- notices: at once, gathered, not repeated ----
SELECT ecauto.create_flow('notice', '{"on": "stock.changed", "if": "new.available < 5", "steps": [{"notice": {"subject": "low {{sku.sku}}", "text": "{{new.available}} left", "severity": "warning"}}]}'), ecauto.enable_flow('notice') \g /dev/null
CREATE VIEW mails AS SELECT id, payload ->> 'to' AS recipient, payload ->> 'subject' AS subject, payload ->> 'text' AS body FROM sent WHERE endpoint = 'mail';
UPDATE stock SET qty = 4 WHERE variant_id = 1;
SELECT is(at('2026-06-15 10:02+00'), 1::bigint, 'a notice is sent');
SELECT results_eq('SELECT recipient, subject, body FROM mails', $$ VALUES ('manager@shop.example', 'low V1', E'WARNING: low V1\n4 left\n') $$, 'to the manager');
UPDATE stock SET qty = 3 WHERE variant_id = 1;
SELECT is(at('2026-06-15 10:30+00'), 0::bigint, 'the same within an hour is not');
SELECT results_eq($$ SELECT x.outcome, x.detail ->> 'skipped' FROM ecauto.runs('notice') r, ecauto.explain_run(r.run_id) x WHERE x.step = 'notice' ORDER BY r.run_id $$, $$ VALUES ('done', NULL), ('skipped', 'duplicate') $$, 'which is told');
UPDATE stock SET qty = 2 WHERE variant_id IN (1, 2);
SELECT is(at('2026-06-15 10:31+00'), 1::bigint, 'another one is');
UPDATE stock SET qty = 1 WHERE variant_id = 1;
SELECT is(at('2026-06-15 11:02:00.000001+00'), 1::bigint, 'the same after an hour, too');
SELECT is((SELECT subject FROM mails ORDER BY id DESC LIMIT 1), 'low V1', 'namely this');
SELECT ecauto.disable_flow('notice') \g /dev/null

SELECT ecauto.create_flow('digest', '{"on": "order.placed", "steps": [{"notice": {"subject": "Order {{order.number}}", "text": "{{order.total}}", "to": "office@shop.example", "digest": "30 minutes", "dedup": "{{#order.number}}x{{/order.number}}{{order.total}}"}}]}'),
	ecauto.enable_flow('digest'),
	ecauto.create_flow('alarm', '{"on": "order.placed", "if": "order.total > 1000", "steps": [{"notice": {"subject": "Large order {{order.number}}", "to": "office@shop.example", "severity": "critical", "digest": "30 minutes"}}]}'), ecauto.enable_flow('alarm'),
	ecauto.disable_flow('tell'), ecauto.disable_flow('gone') \g /dev/null
CREATE TABLE seen_mail AS SELECT id FROM mails;
SELECT place(30, 7), place(31, 8) \g /dev/null
SELECT is(at('2026-06-15 12:00+00'), 0::bigint, 'a digest waits');
SELECT place(32, 8) \g /dev/null
SELECT is(at('2026-06-15 12:20+00'), 0::bigint, 'for more');
SELECT is((SELECT string_agg(times::text, ' ' ORDER BY id) FROM ecauto_data.notice WHERE sent_at IS NULL), '1 2', 'the same one is counted');
SELECT is(at('2026-06-15 12:29:59+00'), 0::bigint, 'until its time');
SELECT is(at('2026-06-15 12:30+00'), 1::bigint, 'is one mail');
SELECT results_eq('SELECT recipient, subject, body FROM mails WHERE id NOT IN (SELECT id FROM seen_mail)',
	$$ VALUES ('office@shop.example', '2 notices', E'Order 30\n7\n\nOrder 31 (2 times)\n8\n') $$, 'of all of them');
INSERT INTO seen_mail SELECT id FROM mails;
SELECT place(33, 9), place(34, 2000) \g /dev/null
SELECT is(at('2026-06-15 13:00+00'), 1::bigint, 'what is critical does not wait, and takes the others along');
SELECT matches((SELECT subject || ': ' || body FROM mails WHERE id NOT IN (SELECT id FROM seen_mail)), E'^3 notices: CRITICAL: Large order 34\n', 'the worst first');
SET LOCAL ecauto.mail_endpoint = 'nowhere';
SELECT place(35, 2001) \g /dev/null
SELECT is(at('2026-06-15 14:00+00'), 0::bigint, 'without a mail server notices wait');
SET LOCAL ecauto.mail_endpoint = 'mail';
SELECT is(at('2026-06-15 14:00:01+00'), 1::bigint, 'for one');
SELECT ecauto.disable_flow('digest'), ecauto.disable_flow('alarm') \g /dev/null

-- ---- segments ----
CREATE FUNCTION note(params jsonb, context jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(params ->> 'what') $$;
SELECT ecauto.register_action('note', 'note(jsonb, jsonb)') \g /dev/null
SELECT ecauto.create_segment('big', 'customer.spent_total >= 5000') \g /dev/null
SELECT ecauto.create_segment('other', 'customer.spent_total >= 5001') \g /dev/null
SELECT ecauto.create_flow('into', '{"on": "segment.entered", "if": "new.segment = ''big''", "once_per": "customer", "steps": [{"note": {"what": "welcome {{customer.email}} to {{new.segment}}"}}]}'), ecauto.enable_flow('into'),
	ecauto.create_flow('out', '{"on": "segment.left", "if": "new.segment = ''big'' AND customer.spent_total < 5000", "steps": [{"note": {"what": "bye {{customer.email}}"}}]}'), ecauto.enable_flow('out') \g /dev/null
SELECT throws_ok($$ SELECT ecauto.create_flow('x', '{"on": "segment.entred", "steps": [{"note": {}}]}') $$, '42704', NULL, 'no such trigger');
SELECT at('2026-06-15 15:00+00') \g /dev/null
SELECT is((SELECT count(*) FROM ecauto.runs('into')), 0::bigint, 'nobody enters yet');
INSERT INTO orders (id, customer_id, mail, total, paid, placed) VALUES (40, 2, 'c2@shop.example', 6000, 6000, ecauto.now());
SELECT at('2026-06-15 15:01+00'), at('2026-06-15 15:02+00') \g /dev/null
SELECT results_eq($$ SELECT r.subject, x.detail #>> '{}' FROM ecauto.runs('into') r, ecauto.explain_run(r.run_id) x WHERE x.step = 'note' $$, $$ VALUES ('customer:2', 'welcome c2@shop.example to big') $$, 'who enters a segment starts a flow');
UPDATE orders SET refunded = 6000 WHERE id = 40;
SELECT at('2026-06-15 15:03+00'), at('2026-06-15 15:04+00') \g /dev/null
SELECT results_eq($$ SELECT r.subject, x.detail #>> '{}' FROM ecauto.runs('out') r, ecauto.explain_run(r.run_id) x WHERE x.step = 'note' $$, $$ VALUES ('customer:2', 'bye c2@shop.example') $$, 'who leaves it, another');
INSERT INTO orders (id, customer_id, mail, total, paid, placed) VALUES (41, 2, 'c2@shop.example', 7000, 7000, ecauto.now());
SELECT at('2026-06-15 15:05+00'), at('2026-06-15 15:06+00') \g /dev/null
SELECT is((SELECT count(*) FROM ecauto.runs('into')), 1::bigint, 'back again, but once per customer');

SELECT * FROM finish();
ROLLBACK;

-- After a customer is erased no table of the state holds his address, phone or name; figures stay.
BEGIN;
\ir ../event/shop.psql
SELECT plan(29);
CREATE SERVER api FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:1/');
ALTER TABLE customer ADD name text, ADD phone text;
SELECT ecauto.bind_role('customer', 'SELECT id AS key, mail AS email, name, split_part(name, '' '', 1) AS first_name, phone, created AS created_at FROM customer') \g /dev/null
UPDATE customer SET name = 'Ann "Q" Lee' WHERE id = 3;
UPDATE customer SET mail = 'Ann.Lee+1@shop.example', name = 'Ann "Q" Lee', phone = '+48 (600) 1*2' WHERE id = 1;
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (11, 1, 'ann.other@shop.example', 25, '2026-06-01'), (12, NULL, 'ann.lee+1@shop.example', 5, '2026-06-02');
INSERT INTO cart VALUES (1, 1, 'ann.lee+1@shop.example');
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.track('quiz.finished', '1', NULL, '{"mail": "ANN.LEE+1@shop.example", "said": "I am Ann \"Q\" Lee"}') \g /dev/null
SELECT ecauto.enqueue('api', '{"to": "ann.lee+1@shop.example", "phone": "+48 (600) 1*2"}') \g /dev/null
SELECT ecauto.enqueue('api', '{"to": "c2@shop.example"}') \g /dev/null
SELECT ecauto.create_segment('spent', 'customer.spent_total > 30') \g /dev/null

SELECT is(ecauto.personal_values('1'), ARRAY['+48 (600) 1*2', 'ann "q" lee', 'ann.lee+1@shop.example', 'ann.other@shop.example', 'c1@shop.example'], 'what is known of him, and was');
CREATE TABLE known AS SELECT ecauto.personal_values('1') AS v;
SELECT cmp_ok((SELECT count(*) FROM known, ecauto.find_personal_data(known.v)), '>', 5::bigint, 'is found in many places');
SELECT ok(ecauto.export_customer('1') @> '{"seen_customer": [{"key": "1", "phone": "+48 (600) 1*2"}], "seen_order": [{"key": "11"}, {"key": "12"}], "event": [{"kind": "quiz.finished"}]}', 'and exported');
SELECT ok(ecauto.export_customer('1') ? 'outbox', 'messages too');
SELECT is(ecauto.export_customer('1') -> 'seen_customer' -> 1, NULL, 'and of nobody else');

CREATE TABLE before AS SELECT orders_count, spent_total, refunded_total, last_order_at FROM ecauto.customer_facts(ARRAY['1']);
SELECT isnt_empty($$ SELECT * FROM ecauto.erase_customer('1') $$, 'erased');
SELECT results_eq('SELECT f.* FROM known, ecauto.find_personal_data(known.v) f', $$ VALUES ('seen_customer', 'name', 1::bigint) $$, 'it is found nowhere but with a namesake');
SELECT is((SELECT name FROM ecauto_data.seen_customer WHERE key = '3'), 'Ann "Q" Lee', 'who keeps his name');
SELECT is_empty($$ SELECT FROM ecauto_data.seen_customer WHERE key = '1' AND num_nonnulls(name, first_name, phone, email, birth_date) > 0 $$, 'nor are parts of it');
SELECT is((SELECT string_agg(state, ' ' ORDER BY id) FROM ecauto.messages('api')), 'cancelled queued', 'the message to him is cancelled, that to another waits');
SELECT is_empty($$ SELECT * FROM ecauto.erase_customer('1') $$, 'again: nothing to do');
SELECT set_eq('SELECT orders_count, spent_total, refunded_total, last_order_at FROM ecauto.customer_facts(ARRAY[''1''])', 'TABLE before', 'figures stay');
SELECT is((SELECT sum(total) FROM ecauto_data.seen_order), 80::numeric, 'totals stay');
SELECT ok(NOT ecauto.may_send('ann.lee+1@shop.example', 'email', 'newsletter', ecauto.now()), 'the address stays suppressed');
SELECT is((SELECT email FROM ecauto_data.seen_customer WHERE key = '2'), 'c2@shop.example', 'others are untouched');

INSERT INTO ecauto_data.customer_stale VALUES ('1', NULL, NULL);
SELECT ecauto.tick() \g /dev/null
SELECT set_eq('SELECT orders_count, spent_total, refunded_total, last_order_at FROM ecauto.customer_facts(ARRAY[''1''])', 'TABLE before', 'also when they are computed again');

-- ---- the shop has him still ----
SELECT ecauto.resync() \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT results_eq('SELECT f.* FROM known, ecauto.find_personal_data(known.v) f', $$ VALUES ('seen_customer', 'name', 1::bigint) $$, 'everything is read again: he is not');
UPDATE customer SET mail = 'Ann.Lee+1@shop.example', name = 'Ann "Q" Lee', created = '2026-01-03' WHERE id = 1;
UPDATE orders SET paid = total WHERE mail LIKE 'ann.%' OR customer_id = 1;
UPDATE cart SET touched = '2026-06-03' WHERE id = 1;
UPDATE customer SET phone = '+48 (600) 1*2' WHERE id = 1;
SELECT ecauto.tick() \g /dev/null
SELECT results_eq('SELECT f.* FROM known, ecauto.find_personal_data(known.v) f', $$ VALUES ('seen_customer', 'name', 1::bigint) $$, 'all of it changes: he is not learnt of again');
SELECT set_eq('SELECT orders_count, spent_total, refunded_total, last_order_at FROM ecauto.customer_facts(ARRAY[''1''])', 'TABLE before', 'what he ordered as a guest stays his');
SELECT is((SELECT created_at FROM ecauto_data.seen_customer WHERE key = '1'), '2026-01-03'::timestamptz, 'what tells nobody who he is is read');
SELECT isnt_empty($$ SELECT FROM ecauto.events(kind => 'order.paid') WHERE key = '12' AND customer = '1' AND new ->> 'email' IS NULL $$, 'his orders go on without address');
SELECT is_empty($$ SELECT * FROM ecauto.erase_customer('1') $$, 'still nothing to do');
-- what he does afterwards is new
SET LOCAL ecauto.clock = '2027-01-01 00:00+00';
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (31, 1, 'ann.lee+1@shop.example', 7, '2026-12-31 12:00+00');
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT email FROM ecauto_data.seen_order WHERE key = '31'), 'ann.lee+1@shop.example', 'an order after that has its address, as its mails need');
SELECT is((SELECT email FROM ecauto_data.seen_customer WHERE key = '1'), NULL, 'his row does not');
SELECT isnt_empty($$ SELECT * FROM ecauto.erase_customer('1') $$, 'which can be erased as well');
SELECT results_eq('SELECT f.* FROM known, ecauto.find_personal_data(known.v) f', $$ VALUES ('seen_customer', 'name', 1::bigint) $$, 'gone again');
RESET ecauto.clock;

INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (21, NULL, 'only.guest@shop.example', 9, '2026-06-01');
SELECT ecauto.tick() \g /dev/null
SELECT isnt_empty($$ SELECT * FROM ecauto.erase_customer('only.guest@shop.example') $$, 'a guest whose key is his address');
SELECT is_empty($$ SELECT * FROM ecauto.find_personal_data(ARRAY['only.guest@shop.example']) $$, 'is found nowhere');
UPDATE orders SET paid = 9 WHERE id = 21;
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT string_agg(orders_count || ':' || spent_total, ' ') FROM ecauto.customer_facts() WHERE key LIKE 'erased-%'), '1:9', 'his figures stay under another key');
SELECT * FROM finish();
ROLLBACK;

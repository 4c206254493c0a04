-- Reordering and order mails: once per edge, nothing lost, nothing that can stop a tick.
BEGIN;
\ir ../event/shop.psql
SELECT plan(43);

CREATE SERVER supplier FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:9/orders');
CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://127.0.0.1:9', sender 'Shop <shop@shop.example>');
SET LOCAL ecauto.manager_mail = 'manager@shop.example';
CREATE VIEW sent AS SELECT m.id, m.endpoint, m.key, (ecauto.message(m.id)).payload FROM ecauto.messages() m;

-- ---- bad input ----
SELECT throws_ok($$ SELECT ecauto.set_stock_policy('nope', 5, 20, 'supplier') $$, 'P0002', 'sku "nope" does not exist', 'a sku that is none');
SELECT throws_ok($$ SELECT ecauto.set_stock_policy('V1', -1, 20, 'supplier') $$, '22023', 'reorder point must be a finite number and not negative', 'below zero');
SELECT throws_ok($$ SELECT ecauto.set_stock_policy('V1', 'NaN', 20, 'supplier') $$, '22023', 'reorder point must be a finite number and not negative', 'not a number');
SELECT throws_ok($$ SELECT ecauto.set_stock_policy('V1', 5, 0, 'supplier') $$, '22023', 'order quantity must be a finite number above zero', 'nothing to order');
SELECT throws_ok($$ SELECT ecauto.set_stock_policy('V1', 5, 20, 'nope') $$, '42704', 'endpoint "nope" does not exist', 'an endpoint that is none');
SELECT throws_ok($$ SELECT ecauto.set_stock_policy('V1', 5, 20, 'mail') $$, '22023', 'a supplier who gets mail needs a valid address', 'a mail to nobody');
SELECT throws_ok($$ SELECT ecauto.set_stock_policy('V1', 5, 20, 'mail', E'a@b.c\nBcc: x@y.z') $$, '22023', 'a supplier who gets mail needs a valid address', 'a mail to too many');
SELECT throws_ok($$ SELECT ecauto.set_order_mail('order.eaten') $$, '22023', NULL, 'a mail about nothing');
SELECT throws_ok($$ SELECT ecauto.set_order_mail('order.paid', E'a\nb') $$, '22023', 'subject of a mail must not contain line breaks', 'a subject of two lines');
SELECT is((SELECT count(*) FROM ecauto_data.stock_policy) + (SELECT count(*) FROM ecauto_data.order_mail), 0::bigint, 'left nothing behind');

-- ---- reordering ----
SELECT ecauto.set_stock_policy('V1', 5, 20, 'supplier') \g /dev/null
SELECT ecauto.set_stock_policy('2', 5, 30, 'mail', 'orders@supplier.example') \g /dev/null
SELECT results_eq($$ SELECT name COLLATE "default", version, enabled, trigger FROM ecauto.flows() $$, $$ VALUES ('stock policies', 1, true, 'stock.changed') $$, 'one flow for all');
UPDATE stock SET qty = 6 WHERE variant_id = 1;
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT count(*) FROM sent), 0::bigint, 'above the reorder point nothing is ordered');
UPDATE stock SET qty = 5 WHERE variant_id = 1;
SELECT is((SELECT messages FROM ecauto.tick()), 2::bigint, 'at it an order and a notice are');
SELECT is((SELECT payload - 'reference' FROM sent WHERE endpoint = 'supplier'),
	'{"sku": "V1", "sku_key": "1", "quantity": 20, "available": 5, "reorder_point": 5}', 'the order says what');
SELECT is((SELECT payload ->> 'to' FROM sent WHERE endpoint = 'mail'), 'manager@shop.example', 'the notice goes to the manager');
SELECT matches((SELECT payload ->> 'text' FROM sent WHERE endpoint = 'mail'), '5 of V1 are left.*20 were ordered from supplier', 'and says what was done');
UPDATE stock SET qty = 3 WHERE variant_id = 1;
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT count(*) FROM sent), 2::bigint, 'further sales below it: none');
UPDATE stock SET qty = 25 WHERE variant_id = 1;
SELECT ecauto.tick() \g /dev/null
UPDATE stock SET qty = 4 WHERE variant_id = 1;
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT count(DISTINCT key) FROM sent WHERE endpoint = 'supplier'), 2::bigint, 'restocked and low again: one more, with a key of its own');
SAVEPOINT a;
UPDATE stock SET qty = 1 WHERE variant_id = 2;
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT payload -> 'attachments' -> 0 ->> 'content' FROM sent WHERE payload ->> 'to' = 'orders@supplier.example'),
	(SELECT format(E'reference,sku,quantity\r\n%s,"V2",30\r\n', event_id) FROM ecauto.events(kind => 'stock.changed') WHERE key = '2'),
	'a supplier who gets mail gets a CSV file');
ROLLBACK TO a;
SELECT is((SELECT count(*) FROM sent WHERE payload ->> 'to' = 'orders@supplier.example'), 0::bigint, 'and nothing if all is rolled back');

-- ---- an endpoint that is gone ----
DROP SERVER supplier;
UPDATE stock SET qty = 25 WHERE variant_id = 1;
SELECT ecauto.tick() \g /dev/null
UPDATE stock SET qty = 4 WHERE variant_id = 1;
SELECT is((SELECT messages FROM ecauto.tick()), 1::bigint, 'a server that is gone does not stop the tick');
SELECT is((SELECT last_error FROM ecauto_data.stock_policy WHERE sku = '1'), 'endpoint does not exist', 'it is written down');
SELECT matches((SELECT payload ->> 'text' FROM sent ORDER BY id DESC LIMIT 1), 'Nothing was ordered from supplier: endpoint does not exist', 'and told');
SELECT results_eq($$ SELECT x.step, x.outcome, x.detail ->> 'skipped' FROM (SELECT max(run_id) AS run FROM ecauto.runs('stock policies', subject => 'sku:1')) r, ecauto.explain_run(r.run) x $$,
	$$ VALUES ('start', 'started', NULL), ('supplier_order', 'skipped', 'no_endpoint'), ('reorder_notice', 'done', NULL), ('end', 'finished', NULL) $$, 'and explained');
SELECT ok(ecauto.drop_stock_policy('V1'), 'a policy ends');
SELECT ok(NOT ecauto.drop_stock_policy('V1'), 'once');
SELECT is((SELECT enabled FROM ecauto.flows() WHERE name = 'stock policies'), true, 'others go on');
SELECT ok(ecauto.drop_stock_policy('2'), 'the last one ends');
SELECT is((SELECT enabled FROM ecauto.flows() WHERE name = 'stock policies'), false, 'and so does the flow');

-- ---- order mails ----
SELECT ecauto.set_order_mail('order.placed') \g /dev/null
SELECT ecauto.set_order_mail('order.paid', 'Paid: {number}', 'We got {total} {currency}.') \g /dev/null
SELECT results_eq($$ SELECT name COLLATE "default", trigger FROM ecauto.flows() WHERE enabled ORDER BY 1 $$, $$ VALUES ('order mail order.paid', 'order.paid'), ('order mail order.placed', 'order.placed') $$, 'a flow for each kind');
INSERT INTO orders (id, mail, total, paid) VALUES
	(20, 'buyer@shop.example', 12.50, 12.50), (21, 'no address', 5, 5), (22, NULL, 5, 5), (23, E'a@b.c\nBcc: x@y.z', 5, 5);
SELECT is((SELECT messages FROM ecauto.tick()), 2::bigint, 'placed and paid, to those who have an address');
SELECT results_eq($$ SELECT key, payload ->> 'to', payload ->> 'subject', payload ->> 'text' FROM sent WHERE key LIKE 'order.%' ORDER BY id $$,
	$$ VALUES ('order.placed:20', 'buyer@shop.example', 'Your order 20', E'Thank you for your order 20 of 12.50 EUR.\n'),
		('order.paid:20', 'buyer@shop.example', 'Paid: 20', 'We got 12.50 EUR.') $$, 'filled in');
SELECT is((SELECT string_agg(DISTINCT r.subject || ' ' || (x.detail ->> 'skipped'), ', ' ORDER BY r.subject || ' ' || (x.detail ->> 'skipped')) FROM ecauto.runs('order mail order.placed') r, ecauto.explain_run(r.run_id) x WHERE x.outcome = 'skipped'),
	'order:21 no_address, order:23 no_address', 'who gets none has a reason');
UPDATE orders SET paid = 0 WHERE id = 20;
SELECT ecauto.tick() \g /dev/null
UPDATE orders SET paid = 12.50 WHERE id = 20;
SELECT is((SELECT events FROM ecauto.tick()), 1::bigint, 'paid once more is an event');
SELECT is((SELECT count(*) FROM sent WHERE key = 'order.paid:20'), 1::bigint, 'but each order has one mail of a kind');
SET LOCAL ecauto.mail_endpoint = 'nowhere';
SET LOCAL ecauto.manager_mail = '';
INSERT INTO orders (id, mail, total, paid) VALUES (24, 'buyer@shop.example', 5, 5);
SELECT is((SELECT messages FROM ecauto.tick()), 0::bigint, 'without a mail server there are no mails');
SELECT is((SELECT x.detail ->> 'skipped' FROM ecauto.runs('order mail order.placed', subject => 'order:24') r, ecauto.explain_run(r.run_id) x WHERE x.step = 'order_mail'), 'no_endpoint', 'and that is told');
SELECT is(ecauto.endpoint_problem(NULL), 'endpoint does not exist', 'no endpoint is none');
SELECT ok(ecauto.drop_order_mail('order.paid') AND NOT ecauto.drop_order_mail('order.paid'), 'a mail ends, once');

-- ---- names that are too long ----
CREATE SERVER wholesale FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:9');
UPDATE stock SET qty = 10, held = 0 WHERE variant_id = 9;
UPDATE variant SET code = repeat('x', 5000000) WHERE id = 9;
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.set_stock_policy('9', 5, 7, 'wholesale') \g /dev/null
UPDATE stock SET qty = 1, held = 0 WHERE variant_id = 9;
SELECT lives_ok('SELECT ecauto.tick()', 'a code longer than a message does not stop the tick');
SELECT is((SELECT length(payload ->> 'sku') FROM sent WHERE endpoint = 'wholesale'), 1000, 'it is cut');

-- ---- the flow is one like any other ----
CREATE FUNCTION note(params jsonb) RETURNS void LANGUAGE sql AS '';
SELECT ecauto.register_action('note', 'note(jsonb)') \g /dev/null
SELECT ecauto.create_flow('stock policies', jsonb_insert(definition, '{steps,2}', '{"note": {}}')), ecauto.disable_flow('stock policies') FROM ecauto.flows() WHERE name = 'stock policies' \g /dev/null
SELECT ecauto.set_stock_policy('3', 5, 7, 'wholesale') \g /dev/null
SELECT results_eq($$ SELECT version, enabled, definition #>> '{steps,2}' FROM ecauto.flows() WHERE name = 'stock policies' $$, $$ VALUES (2, true, '{"note": {}}') $$, 'what was added to it stays');
UPDATE ecauto_data.flow_version SET definer = 'gone' WHERE flow = (SELECT id FROM ecauto_data.flow WHERE name = 'stock policies');
SELECT ecauto.set_stock_policy('4', 5, 7, 'wholesale') \g /dev/null
SELECT results_eq($$ SELECT version, definer, definition #>> '{steps,2}' FROM ecauto.flows() WHERE name = 'stock policies' $$, $$ VALUES (3, current_user::name, '{"note": {}}') $$, 'and who sets a policy takes the place of a definer who is gone');

SELECT * FROM finish();
ROLLBACK;

-- backtest_flow() finds what the flow would have done then, whatever came later; compared with what enabled flows really did.
BEGIN;
\ir ../event/shop.psql
SELECT plan(27);
SET LOCAL ecauto.clock = '2026-06-01 06:00:00+00';
SET LOCAL ecauto.timezone = 'Europe/Warsaw';
CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://127.0.0.1:2525', sender 'Shop <shop@shop.example>');
SET LOCAL ecauto.mail_endpoint = 'mail';
ALTER TABLE customer ADD birth date;
SELECT ecauto.bind_table('customer', 'customer', '{"key": "id", "email": "mail", "created_at": "created", "birth_date": "birth"}') \g /dev/null
SELECT ecauto.attach_shop('custom') \g /dev/null
UPDATE customer SET birth = '1990-06-05' WHERE id IN (1, 2);
SELECT ecauto.tick() \g /dev/null
CREATE TABLE done (what text);
CREATE FUNCTION act(params jsonb) RETURNS void LANGUAGE sql AS $$ INSERT INTO s.done VALUES (params ->> 'what') $$;
SELECT ecauto.register_action('act', 'act(jsonb)') \g /dev/null
SELECT ecauto.create_promotion('gift', '{"percent": 10, "coupon": true}') \g /dev/null
SELECT ecauto.create_template('second', 'Order {{order.number}}: {{order.total}}, {{customer.orders_count}}', '<p>{{order.total}}</p>',
	sample => '{"order": {"number": "1", "total": 5}, "customer": {"orders_count": 2}}') \g /dev/null
SELECT ecauto.create_template('look', 'Look: {{product.title}} {{price.amount}}, {{stock.available}} left', '<p>x</p>',
	sample => '{"product": {"title": "x"}, "price": {"amount": 5}, "stock": {"available": 2}}') \g /dev/null
SELECT ecauto.create_template('cart', 'Cart of {{cart.total}}: {{#cart.lines}}{{qty}} x {{title}}{{#sold_out}} (gone){{/sold_out}}, {{/cart.lines}}', '<p>x</p>',
	sample => '{"cart": {"total": 5, "lines": [{"qty": 1, "title": "x", "sold_out": true}]}}') \g /dev/null
SELECT ecauto.create_flow('second', '{"on": "order.placed", "if": "customer.orders_count = 2 AND order.total >= 20", "once_per": "customer",
	"steps": [{"coupon": {"promotion": "gift"}}, {"mail": {"template": "second"}}, {"wait": {"event": "order.paid", "timeout": "2 days"},
		"then": [{"tag": {"customer": "paid"}}], "else": [{"tag": {"customer": "unpaid"}}]}]}'),
	ecauto.create_flow('look', '{"on": "view", "after": "1 hour", "if": "stock.available > 0", "steps": [{"mail": {"template": "look", "recipient": "x@shop.example", "purpose": "transactional"}}]}'),
	ecauto.create_flow('cart', '{"on": "cart.abandoned", "after": "1 hour", "if": "cart.total >= 15", "exit_if": "customer.last_order_at > run.started_at",
		"steps": [{"mail": {"template": "cart"}}, {"wait": "1 day"}, {"mail": {"template": "cart"}}]}'),
	ecauto.create_flow('birthday', '{"on": "date", "of": "customer.birth_date", "at": "09:00", "steps": [{"tag": {"customer": "birthday"}}]}'),
	ecauto.create_flow('daily', '{"on": "schedule", "daily": "02:30", "each": "customer", "if": "customer.orders_count >= 2", "steps": [{"tag": {"customer": "often"}}]}'),
	ecauto.create_flow('away', '{"on": "inactivity", "after": "3 days", "if": "customer.orders_count >= 2", "steps": [{"act": {"what": "away"}}]}') \g /dev/null
SELECT ecauto.enable_flow(name) FROM ecauto.flows() \g /dev/null
-- ticks an hour apart, none at the instant of the last
CREATE FUNCTION pass(until text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('ecauto.clock', t::text, true), ecauto.tick()
	FROM (SELECT generate_series(current_setting('ecauto.clock')::timestamptz + interval '1 second', until::timestamptz - interval '1 second', '1 hour') t
		UNION ALL SELECT until::timestamptz) x;
END $$;

-- ---- a week ----
SELECT pass('2026-06-02 08:00+00') \g /dev/null
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (10, 1, 'c1@shop.example', 30, '2026-06-02 08:00+00'), (11, 2, 'c2@shop.example', 19, '2026-06-02 08:00+00'), (12, 3, 'c3@shop.example', 40, '2026-06-02 08:00+00');
INSERT INTO cart (id, customer_id, mail) VALUES (1, 4, 'c4@shop.example'), (2, 5, 'c5@shop.example'), (3, NULL, 'guest@shop.example');
INSERT INTO cart_line VALUES (1, 1, 3, 1), (2, 2, 4, 1), (3, 3, 1, 1);
SELECT pass('2026-06-02 09:00+00') \g /dev/null
SELECT ecauto.track('view', '1', '2'), ecauto.track('view', '1', '6') \g /dev/null
UPDATE stock SET qty = 0 WHERE variant_id IN (2);
UPDATE stock SET qty = 3 WHERE variant_id IN (6);
UPDATE price SET amount = 66 WHERE variant_id = 6;
UPDATE cart_line SET qty = 2 WHERE cart_id = 1;
SELECT pass('2026-06-03 10:00+00') \g /dev/null
UPDATE orders SET paid = 30 WHERE id = 10;
UPDATE orders SET total = 5, paid = 5 WHERE id = 12;
INSERT INTO orders (id, customer_id, mail, cart_id, total, placed) VALUES (13, 5, 'c5@shop.example', 2, 60, '2026-06-03 10:00+00');
SELECT pass('2026-06-08 12:00+00') \g /dev/null

CREATE VIEW really AS SELECT f.name, r.subject, r.event_at AS at, r.outcome FROM ecauto_data.flow_run r JOIN ecauto_data.flow f ON f.id = r.flow;
CREATE FUNCTION would(flow text) RETURNS TABLE (subject text, at timestamptz, outcome text) LANGUAGE sql AS $$
	SELECT b.subject, coalesce(min(b.effect ->> 'event_at') FILTER (WHERE action = 'start'), min(b.effect ->> 'at') FILTER (WHERE action = 'start'))::timestamptz,
		min(b.effect ->> 'outcome') FILTER (WHERE b.action = 'end')
	FROM ecauto.backtest_flow(flow, '2026-06-01 06:00+00', '2026-06-08 12:00+00') b WHERE run IS NOT NULL GROUP BY b.run, b.subject $$;
SELECT isnt_empty(format('SELECT FROM really WHERE name = %L', n), n || ' did something') FROM unnest('{second,look,cart,birthday,daily,away}'::text[]) n;
SELECT bag_eq(format('SELECT * FROM would(%L)', n), format('SELECT subject, at, outcome FROM really WHERE name = %L', n), n || ' would have done what it did')
FROM unnest('{second,look,cart,birthday,daily,away}'::text[]) n;
SELECT bag_eq($$ SELECT effect -> 'mail' ->> 'subject' FROM (SELECT unnest('{second,look,cart}'::text[]) f) x, ecauto.backtest_flow(f, '2026-06-01', '2026-06-09') WHERE effect ? 'mail' $$,
	$$ SELECT payload ->> 'subject' FROM ecauto_data.outbox $$, 'with the same mails');
SELECT isnt_empty($$ SELECT FROM ecauto_data.outbox WHERE payload ->> 'subject' ~ 'Product 6 66.*, 3 left' $$, 'prices and stock of then');
SELECT is((SELECT (effect -> 'runs', effect -> 'done', effect -> 'waiting') FROM ecauto.backtest_flow('second', '2026-06-01', '2026-06-09') WHERE step = 'summary'),
	ROW ('3'::jsonb, '{"tag": 3, "mail": 3, "coupon": 3}'::jsonb, '0'::jsonb), 'counts');
SELECT is((SELECT effect -> 'skipped' FROM ecauto.backtest_flow('away', '2026-06-01', '2026-06-09') WHERE step = 'summary'), '{"backtest": 4}', 'what may write to the shop is not done again');

-- ---- later rows change nothing ----
CREATE TABLE first AS SELECT f, b.run, b.at, b.subject, b.step, b.action, b.effect - 'code' AS effect FROM (SELECT unnest('{second,look,cart,birthday,daily,away}'::text[]) f) x, ecauto.backtest_flow(f, '2026-06-01', '2026-06-08 12:00+00') b;
CREATE TABLE kept AS SELECT count(*) AS runs, (SELECT count(*) FROM ecauto_data.outbox) AS mails, (SELECT count(*) FROM ecauto_data.coupon) AS coupons, (SELECT count(*) FROM done) AS done FROM ecauto_data.flow_run;
SELECT ecauto.disable_flow(name) FROM ecauto.flows() \g /dev/null
UPDATE stock SET qty = 7;
UPDATE price SET amount = amount + 1;
UPDATE orders SET refunded = paid, cancelled = true, total = 1 WHERE id IN (10, 12);
INSERT INTO orders (id, customer_id, mail, total, placed) SELECT 50 + i, 1 + i % 5, 'c' || 1 + i % 5 || '@shop.example', 100, '2026-06-10 08:00+00' FROM generate_series(1, 20) i;
UPDATE cart_line SET qty = 9 WHERE cart_id = 1;
DELETE FROM cart_line WHERE cart_id = 3; DELETE FROM cart WHERE id = 3;
INSERT INTO customer VALUES (20, 'c20@shop.example', '2026-06-10', '1990-06-05');
SELECT pass('2026-06-10 12:00+00') \g /dev/null
SELECT ecauto.track('view', '1', '3'), ecauto.track('view', '2', '3') \g /dev/null
SELECT pass('2026-06-12 12:00+00') \g /dev/null
SELECT bag_eq(format('SELECT b.run, b.at, b.subject, b.step, b.action, b.effect - ''code'' FROM ecauto.backtest_flow(%L, ''2026-06-01'', ''2026-06-08 12:00+00'') b', n),
	format('SELECT run, at, subject, step, action, effect FROM first WHERE f = %L', n), n || ' is as it was') FROM unnest('{second,look,cart,birthday,daily,away}'::text[]) n;
SELECT is((SELECT count(*) FROM ecauto.backtest_flow('second', '2026-06-08 12:00+00', '2026-06-12 12:00+00') WHERE action = 'start'), 2::bigint, 'while later ones are found where they belong');
SELECT is((SELECT ROW ((SELECT count(*) FROM ecauto_data.flow_run), (SELECT count(*) FROM ecauto_data.outbox), (SELECT count(*) FROM ecauto_data.coupon), (SELECT count(*) FROM done))::text),
	(SELECT ROW (runs, mails, coupons, done)::text FROM kept), 'nothing of it remains');
SELECT is(to_regclass('ecauto_data.flow_history'), NULL, 'no table either');
SELECT throws_ok($$ SELECT ecauto.backtest_flow('second', '2026-06-02', '2026-06-01') $$, '22023', 'since must be before until, and both finite', 'time runs forward');
SELECT throws_ok($$ SELECT ecauto.backtest_flow('none', '2026-06-01', '2026-06-02') $$, '42704', 'flow "none" does not exist', 'a flow that is not there');
SELECT * FROM finish();
ROLLBACK;

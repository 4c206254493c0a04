-- Facts of customers are what plain SQL over the orders says, at any instant, whichever way they are computed.
BEGIN;
\ir ../event/shop.psql
SELECT plan(56);
SET LOCAL timezone = 'UTC';

-- facts of one customer in words
CREATE FUNCTION f(k text, at timestamptz DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', orders_count, spent_total, refunded_total, cancelled_count, orders_count_30d)
	FROM ecauto.customer_facts(ARRAY[k], at) $$;

SELECT is((SELECT count(*) FROM ecauto.events()), 0::bigint, 'history is loaded silently');
SELECT is((SELECT string_agg(key || ':' || orders_count || ':' || spent_total, ' ' ORDER BY key) FROM ecauto.customer_facts()),
	'1:1:10 2:1:10 3:1:10 4:1:10 5:1:10', 'and facts are filled from it');
SELECT is((SELECT currency FROM ecauto.customer_facts(ARRAY['1'])), 'EUR', 'main currency is that of most orders');
SELECT is(f('6'), NULL, 'nobody has no row');

-- ---- orders by the clock ----
SET LOCAL ecauto.clock = '2026-06-15 00:00+00';
INSERT INTO orders (id, customer_id, mail, total, paid, placed) VALUES
	(11, 1, 'c1@shop.example', 100, 100, '2026-06-01 12:00+00'),
	(12, 1, 'c1@shop.example', 40.50, 0, '2026-06-11 12:00+00');
SELECT news() \g /dev/null
SELECT is(f('1'), '3 150.50 0 0 2', 'orders count by their time, paid or not');
SELECT is(f('1', '2026-06-11 11:59:59.999999+00'), '2 110 0 0 1', 'not before');
SELECT is(f('1', '2026-06-11 12:00+00'), '3 150.50 0 0 2', 'at once');
SELECT is(f('1', '2026-07-01 12:00+00'), '3 150.50 0 0 2', 'a window holds its first instant');
SELECT is(f('1', '2026-07-01 12:00:00.000001+00'), '3 150.50 0 0 1', 'and ends to the microsecond');
SELECT is(f('1', '2025-01-01'), '0 0 0 0 0', 'before all of it');
SELECT is((SELECT ROW(first_order_at, last_order_at)::text FROM ecauto.customer_facts(ARRAY['1'])),
	ROW('2026-01-02'::timestamptz, '2026-06-11 12:00+00'::timestamptz)::text, 'first and last order');
SELECT is((SELECT average_order_value FROM ecauto.customer_facts(ARRAY['1'])), 50.1667, 'average order value');
SELECT is((SELECT average_days_between_orders FROM ecauto.customer_facts(ARRAY['1'])), 80.25, 'average days');
SELECT is((SELECT median_gap FROM ecauto.customer_facts(ARRAY['1'])), '80 days 06:00'::interval, 'median gap of two: the mean');
SELECT is((SELECT median_gap FROM ecauto.customer_facts(ARRAY['2'])), NULL, 'no gap, no median');
SELECT is(ecauto.median_gap(ARRAY['2026-01-01', '2026-01-02', NULL, '2026-01-12', '2026-01-15', 'infinity']::timestamptz[]), '3 days'::interval, 'median of three gaps');
SELECT is(ecauto.median_gap((SELECT array_agg('2020-01-01'::timestamptz + i * interval '1 day') || array_agg('2000-01-01'::timestamptz + i * interval '1 hour')
	FROM generate_series(1, 101) i)), '1 day'::interval, 'the last 100 gaps count');

-- ---- cancelled, refunded, in another currency, in the future ----
SET LOCAL ecauto.clock = '2026-06-16 00:00+00';
UPDATE orders SET cancelled = true WHERE id = 11;
SELECT news() \g /dev/null
SET LOCAL ecauto.clock = '2026-06-17 00:00+00';
UPDATE orders SET paid = 40.50, refunded = 15.50 WHERE id = 12;
SELECT news() \g /dev/null
SET LOCAL ecauto.clock = '2026-06-18 00:00+00';
UPDATE orders SET refunded = 99 WHERE id = 12;
SELECT news() \g /dev/null
SELECT is(f('1'), '2 10 99 1 1', 'a cancelled order is none; a refund above the total takes no more than the total');
SELECT is(f('1', '2026-06-17 12:00+00'), '2 35.00 15.50 1 1', 'a day ago: the smaller refund');
SELECT is(f('1', '2026-06-16 12:00+00'), '2 50.50 0 1 1', 'before the refund');
SELECT is(f('1', '2026-06-15 12:00+00'), '3 150.50 0 0 2', 'before the cancellation');
SELECT is((SELECT refunded_count FROM ecauto.customer_facts(ARRAY['1'])), 1::bigint, 'orders wholly refunded');

SELECT ecauto.bind_role('order', $$
	SELECT id AS key, id::text AS number, customer_id AS customer_key, mail AS email, cart_id AS cart_key,
		CASE WHEN id >= 20 AND id < 30 THEN 'USD' ELSE 'EUR' END AS currency, total, placed AS placed_at, paid, refunded, cancelled, sent AS fulfilment
	FROM orders $$) \g /dev/null
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (20, 2, NULL, 500, '2026-06-18'), (21, 2, NULL, 1, '2026-06-18');
SELECT news() \g /dev/null
SELECT is(f('2'), '3 10 0 0 2', 'an order in another currency is an order, but no amount');
SELECT is((SELECT spent_other FROM ecauto.customer_facts(ARRAY['2'])), '{"USD": 501}', 'amounts in other currencies stand aside');
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (30, 3, NULL, 70, '2026-06-20 10:00+00');
SELECT news() \g /dev/null
SELECT is(f('3'), '1 10 0 0 0', 'an order that lies in the future does not count');
SELECT is(f('3', '2026-06-20 10:00+00'), '2 80 0 0 1', 'but then');
SET LOCAL ecauto.clock = '2026-06-20 10:00+00';
SELECT is(f('3'), '2 80 0 0 1', 'without a tick too');
SELECT news() \g /dev/null
SELECT is((SELECT orders_count FROM ecauto_data.customer_fact WHERE key = '3'), 2::bigint, 'a tick whose time has come writes it down');
SELECT is((SELECT valid_until FROM ecauto_data.customer_fact WHERE key = '3'), 'infinity'::timestamptz, 'for good');

-- ---- guests ----
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (40, NULL, 'C4@shop.example', 5, '2026-06-19'), (41, NULL, 'guest@other.example', 6, '2026-06-19');
SELECT news() \g /dev/null
SELECT is(f('4'), '2 15 0 0 1', 'a guest order counts for the customer of that address');
SELECT is(f('guest@other.example'), '1 6 0 0 1', 'or for the address');
SELECT is((SELECT guest FROM ecauto.customer_facts(ARRAY['guest@other.example'])), true, 'which is a guest');
INSERT INTO customer VALUES (50, 'guest@other.example', '2026-06-20'), (51, 'guest@other.example', '2026-06-19');
SELECT news() \g /dev/null
SELECT is(f('51'), '1 6 0 0 1', 'whoever registers gets the orders he made as a guest; of two the first');
SELECT is(f('50'), '0 0 0 0 0', 'and the other none');
SELECT is(f('guest@other.example'), NULL, 'the guest is no more');
UPDATE customer SET mail = 'new@other.example' WHERE id = 51;
SELECT news() \g /dev/null
SELECT is(f('51') || '|' || f('50'), '0 0 0 0 0|1 6 0 0 1', 'they go with the address');
DELETE FROM customer WHERE id IN (50, 51);
SELECT news() \g /dev/null
SELECT is(f('guest@other.example') || coalesce(f('50'), ' -'), '1 6 0 0 1 -', 'and back');

-- ---- columns of the role, carts ----
SELECT ecauto.bind_role('customer', $$ SELECT id AS key, mail AS email, created AS created_at, 'PL' AS country,
	CASE WHEN id = 1 THEN date '2000-02-29' END AS birth_date FROM customer $$) \g /dev/null
INSERT INTO cart VALUES (1, 1, NULL), (2, 1, NULL), (3, NULL, 'c4@shop.example');
INSERT INTO cart_line VALUES (1, 1, 3, 2);
SELECT news() \g /dev/null
SELECT is((SELECT country || birth_date FROM ecauto.customer_facts(ARRAY['1'])), 'PL2000-02-29', 'columns of the role');
SELECT is((SELECT concat_ws(' ', open_carts, open_cart_total, last_cart_at = ecauto.now()) FROM ecauto.customer_facts(ARRAY['1'])), '2 60 t', 'open carts');
SELECT is((SELECT open_carts FROM ecauto.customer_facts(ARRAY['4'])), 1::bigint, 'a guest''s cart too');

-- ---- amounts that are none ----
INSERT INTO orders (id, customer_id, mail, total, refunded, placed) VALUES (60, 5, NULL, 'NaN', 0, '2026-06-19'), (61, 5, NULL, 8, 'Infinity', '2026-06-19'), (62, 5, NULL, 1, 0, '-infinity');
SELECT news() \g /dev/null
SELECT is(f('5'), '4 19 0 0 2', 'NaN and infinity are no amounts');

-- ---- orders that the shop deletes, or its query leaves out ----
INSERT INTO orders (id, customer_id, total, refunded, placed) VALUES (70, 2, 5, 0, '2026-06-18'), (71, 2, 7, 2, '2026-06-19');
INSERT INTO order_line VALUES (70, 70, 3, 1, 5), (71, 71, 4, 1, 7);
SELECT news() \g /dev/null
CREATE TABLE with_both AS SELECT f('2') AS facts;
DELETE FROM orders WHERE id = 70;
SELECT is(news(), 'order.deleted(70)', 'deleted');
SELECT is((SELECT (orders_count, spent_total, last_order_at) FROM ecauto.customer_facts('{2}')),
	(SELECT (count(*), 10 + 5::numeric, max(placed)) FROM orders WHERE customer_id = 2 AND NOT cancelled), 'it counts no more'); -- the rest was in dollars
SELECT is((SELECT spent_30d FROM ecauto.customer_facts('{2}')), 5::numeric, 'nor in a window');
SELECT is((SELECT orders_count FROM ecauto.customer_facts('{2}', '2026-06-18 12:00+00')),
	(SELECT count(*) FROM orders WHERE customer_id = 2 AND placed <= '2026-06-18 12:00+00'), 'nor at any time before');
SELECT is((SELECT string_agg(order_key, ' ' ORDER BY order_key) FROM ecauto_data.order_item WHERE order_key IN ('70', '71')), '71', 'nor its lines, which the shop still has');
SELECT is((SELECT string_agg(order_key, ' ' ORDER BY order_key) FROM ecauto_data.purchase WHERE customer = '2' AND order_key IN ('70', '71')), '71', 'nor as a purchase');
INSERT INTO orders (id, customer_id, total, refunded, placed) VALUES (70, 2, 5, 0, '2026-06-18');
SELECT is(news(), 'order.restored(70)', 'and back');
SELECT is(f('2'), (SELECT facts FROM with_both), 'it counts as before');
SELECT is((SELECT count(*) FROM ecauto_data.order_item WHERE order_key IN ('70', '71')), 2::bigint, 'with its lines');
DELETE FROM orders WHERE customer_id = 2;
DELETE FROM customer WHERE id = 2;
SELECT news() \g /dev/null
SELECT is((SELECT known FROM ecauto_data.customer_fact WHERE key = '2'), false, 'of whom there is nothing nothing is known');
SELECT is(f('2'), NULL, 'and nothing is said');

-- ---- three ways to the same ----
CREATE TABLE kept AS SELECT * FROM ecauto.customer_facts();
SELECT isnt_empty('TABLE kept', 'facts as ticks kept them');
SELECT set_eq('SELECT * FROM ecauto.customer_facts((SELECT array_agg(key) FROM kept))', 'TABLE kept', 'asked by key');
UPDATE ecauto_data.customer_fact SET valid_until = '2000-01-01';
SELECT set_eq('SELECT * FROM ecauto.customer_facts()', 'TABLE kept', 'computed when asked');
INSERT INTO ecauto_data.customer_stale VALUES (NULL, NULL, NULL);
SELECT news() \g /dev/null
SELECT set_eq('SELECT * FROM ecauto.customer_facts()', 'TABLE kept', 'computed for all at once');

SELECT * FROM finish();
ROLLBACK;

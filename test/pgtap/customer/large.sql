-- A customer with very many orders, and others of whom little or nonsense is known (scenario 6): figures, segments,
-- scores and predictions are what plain SQL says, and none is NaN.
BEGIN;
\ir ../event/shop.psql
SELECT plan(35);
SET LOCAL timezone = 'UTC';
SET LOCAL ecauto.timezone = 'UTC';
SET LOCAL ecauto.clock = '2026-07-01 00:00+00';
ALTER TABLE customer ADD born date;
SELECT ecauto.bind_role('customer', 'SELECT id AS key, mail AS email, born AS birth_date, created AS created_at FROM customer') \g /dev/null
SELECT ecauto.create_score_rule('purchase', '{"on": "order.placed", "points": 20, "half_life": "30 days"}') \g /dev/null
SELECT ecauto.tick() \g /dev/null

INSERT INTO customer VALUES (100, 'large@shop.example', '2020-01-01', '1980-05-05'), (101, 'none@shop.example', '2020-01-01', NULL),
	(102, 'over@shop.example', '2020-01-01', '2000-02-29'), (103, 'future@shop.example', '2020-01-01', NULL);
-- of 10,000 orders every tenth is cancelled, every seventh refunded by more than it cost, the last 1,000 lie in the future
INSERT INTO orders (id, customer_id, mail, total, paid, refunded, cancelled, placed)
SELECT 1000000 + i, 100, 'large@shop.example', 1 + i % 90, 1 + i % 90, CASE WHEN i % 7 = 0 THEN 500 ELSE 0 END, i % 10 = 0,
	timestamptz '2026-07-01' + (i - 9000) * interval '20 minutes'
FROM generate_series(1, 10000) i;
INSERT INTO orders (id, customer_id, mail, total, paid, refunded, placed) VALUES
	(201, 102, NULL, 50, 50, 80, '2026-06-01'), (202, 102, NULL, 20, 20, 0, '2026-06-10'), (203, 103, NULL, 30, 30, 0, '2026-08-01');
SELECT ecauto.tick() \g /dev/null
CREATE VIEW plain AS
SELECT count(*) AS orders_count, sum(greatest(total - refunded, 0)) AS spent, min(placed) AS first_at, max(placed) AS last_at,
	count(*) FILTER (WHERE placed >= ecauto.now() - interval '90 days') AS recent
FROM orders WHERE customer_id = 100 AND NOT cancelled AND placed <= ecauto.now();

-- ---- figures ----
SELECT results_eq($$ SELECT orders_count, spent_total, first_order_at, last_order_at, orders_count_90d FROM ecauto.customer_facts('{100}') $$, 'TABLE plain', 'as plain SQL says');
SELECT is((SELECT median_gap FROM ecauto.customer_facts('{100}')), '20 minutes'::interval, 'a rhythm');
SELECT is((SELECT (orders_count, spent_total, refunded_total) FROM ecauto.customer_facts('{102}')), (2::bigint, 20::numeric, 80::numeric), 'a refund above the total takes the total');
SELECT is((SELECT (orders_count, spent_total, last_order_at) FROM ecauto.customer_facts('{103}')), (0::bigint, 0::numeric, NULL::timestamptz), 'an order in the future is none yet');
SELECT is((SELECT (orders_count, average_order_value, median_gap, birth_date)::text FROM ecauto.customer_facts('{101}')), '(0,,,)', 'nothing of who never ordered');
UPDATE orders SET cancelled = true WHERE id = 1005001;
SELECT ecauto.tick() \g /dev/null
SELECT results_eq($$ SELECT orders_count, spent_total, first_order_at, last_order_at, orders_count_90d FROM ecauto.customer_facts('{100}') $$, 'TABLE plain', 'one order in the middle changes');

-- ---- segments ----
SELECT ecauto.create_segment('busy', 'customer.orders_count_90d >= 5000') \g /dev/null
SELECT ecauto.create_segment('spender', 'customer.spent_total > 1000', 'customer.spent_total < 500') \g /dev/null
SELECT ecauto.create_segment('no birthday', 'customer.birth_date IS NULL') \g /dev/null
SELECT ecauto.create_segment('grown', $$ date_part('year', age(ecauto.now(), customer.birth_date)) >= 18 $$) \g /dev/null
SELECT ecauto.create_segment('quiet', $$ customer.orders_count = 0 OR customer.last_order_at < ecauto.now() - interval '30 days' $$) \g /dev/null
SELECT ecauto.create_segment('odd', $$ customer.email = '''; DROP TABLE x --' OR customer.email LIKE '%''; DELETE FROM orders; --' $$) \g /dev/null
CREATE FUNCTION members(name text) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(m, ' ' ORDER BY m COLLATE "C"), '') FROM ecauto.segment_members(name) m WHERE m >= '100' AND length(m) = 3 $$;
SELECT is(members('busy') || '|' || members('spender'), '100|100', 'he is in');
SELECT is(members('no birthday'), '101 103', 'birth dates that are not known');
SELECT is(members('grown'), '100 102', 'have no age');
SELECT is(members('quiet'), '101 103', 'without an order, or with one to come');
SELECT is(members('odd'), '', 'values are values');
SELECT ok(ecauto.in_segment('100', 'busy') AND NOT ecauto.in_segment('101', 'busy'), 'asked about one');
SELECT ok(ecauto.in_segment('103', 'quiet', '2026-07-31 23:59:59+00') AND NOT ecauto.in_segment('103', 'quiet', '2026-08-01 00:00+00'), 'the order that was to come comes');
SELECT is((SELECT leaves_at FROM ecauto.explain_segment('quiet', '103') WHERE path = '1'), '2026-08-01 00:00+00'::timestamptz, 'which is foreseen');
SELECT is((SELECT near_miss FROM ecauto.explain_segment('busy', '102') WHERE path = '1'), '4998 more orders', 'near is relative');
SELECT is((SELECT count(*) FROM ecauto.explain_segment('spender', '101') WHERE result), 1::bigint, 'who spent nothing meets the condition to leave alone');
SELECT is(ecauto.refresh_segments()::text, '(0,0,0,0)', 'nothing changed, nobody is looked at');
INSERT INTO orders (id, customer_id, total, placed) VALUES (2000001, 100, 10, '2026-06-30 23:59+00');
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT count(*) FROM ecauto.events() WHERE role = 'segment' AND customer = '100'), 0::bigint, 'one more order is no edge');
CREATE TABLE early AS SELECT sum(greatest(total - refunded, 0)) FROM orders
	WHERE customer_id = 100 AND (NOT cancelled OR id = 1005001) AND placed <= '2026-06-30 12:00+00';
UPDATE orders SET refunded = total, paid = total WHERE customer_id = 100;
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT string_agg(key, ' ') FROM ecauto.events(kind => 'segment.left') WHERE customer = '100'), 'spender', 'all of them refunded are');
SELECT is((SELECT spent_total FROM ecauto.customer_facts('{100}')), 0::numeric, 'and nothing is left');
SELECT is((SELECT orders_count FROM ecauto.customer_facts('{100}')), (SELECT orders_count FROM plain), 'but the orders stay');
SELECT results_eq($$ SELECT spent_total FROM ecauto.customer_facts('{100}', '2026-06-30 12:00+00') $$, 'TABLE early', 'the day before they were not');

-- ---- scores ----
SELECT ok(abs(ecauto.score('100')) < 1e-6, 'refunds of all orders take all points back');
SELECT is(ecauto.score('101'), 0::float8, 'no order, no points');
SELECT is((SELECT count(*) FROM ecauto.rfm() WHERE customer IN ('101', '103')), 0::bigint, 'nor groups');
SELECT is((SELECT f FROM ecauto.rfm() WHERE customer = '100'), 5, 'he is among the most frequent');
SELECT is((SELECT stage FROM ecauto.customer_stages('{100}')), 'repeat', 'and goes on');
SELECT is((SELECT string_agg(stage, ' ' ORDER BY customer) FROM ecauto.customer_stages('{101,102,103}')), 'lead at risk lead', 'the others');

-- ---- after many small rounds a large one: as before, and gone with the shop's rows ----
DO $$ BEGIN
	FOR i IN 1..8 LOOP
		UPDATE orders SET total = total + 1, paid = paid + 1, refunded = refunded + 1 WHERE id = 202;
		PERFORM ecauto.tick();
	END LOOP;
END $$;
DELETE FROM orders WHERE customer_id = 100 AND id % 2 = 0;
SELECT ecauto.tick() \g /dev/null
SELECT results_eq($$ SELECT orders_count, spent_total, first_order_at, last_order_at, orders_count_90d FROM ecauto.customer_facts('{100}') $$, 'TABLE plain', 'half of them deleted');
SELECT is((SELECT count(*) FROM ecauto_data.seen_order WHERE customer_key = '100'), (SELECT count(*) FROM orders WHERE customer_id = 100), 'nothing stays of these');

-- ---- lifetime value ----
SELECT ok((SELECT params::text !~ 'NaN|Infinity' AND log_likelihood::text !~ 'NaN|Infinity' FROM ecauto.fit_clv()), 'a model is fitted');
SELECT is((SELECT count(*) FROM ecauto.predict_clv(90) p WHERE p::text ~ 'NaN|Infinity'), 0::bigint, 'every prediction is a number');
SELECT cmp_ok((SELECT expected_orders FROM ecauto.predict_clv(90) WHERE customer = '100'), '>', (SELECT 10 * max(expected_orders) FROM ecauto.predict_clv(90) WHERE customer <> '100'), 'he buys most');
SELECT is((SELECT count(*) FROM ecauto.predict_clv(90) WHERE customer IN ('101', '103')), 0::bigint, 'of who has no order none is made');
SELECT isnt_empty($$ SELECT * FROM ecauto.erase_customer('100') $$, 'and he is forgotten like anybody');
SELECT * FROM finish();
ROLLBACK;

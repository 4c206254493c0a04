-- RFM scores are fair to equal values, and lifetime value is fitted to and predicted for the shop's customers.
BEGIN;
\ir ../event/shop.psql
SELECT plan(29);
SET LOCAL timezone = 'UTC';
SET LOCAL ecauto.clock = '2026-06-30 00:00+00';
SELECT throws_ok('SELECT * FROM ecauto.predict_clv(30)', '55000', 'no model of purchases has been fitted', 'nothing to predict with');

UPDATE orders SET cancelled = true;
SELECT news() \g /dev/null
SELECT throws_ok('SELECT * FROM ecauto.fit_clv()', '55000', 'cannot fit a model of purchases without an order', 'nothing to fit to');
SELECT is_empty('SELECT * FROM ecauto.rfm()', 'no orders, no scores');

INSERT INTO customer SELECT i, 'c' || i || '@shop.example' FROM generate_series(6, 200) i;
-- customer i ordered i % 5 + 1 times, the last time i days ago at most
INSERT INTO orders (id, customer_id, mail, total, paid, placed)
SELECT i * 10 + k, i, 'c' || i || '@shop.example', 10 + i % 7, 10 + i % 7, '2026-06-29'::timestamptz - (i % 20) * interval '1 day' - k * (3 + i % 11) * interval '1 day'
FROM generate_series(1, 200) i, generate_series(0, 4) k WHERE k <= i % 5;
SELECT news() \g /dev/null

SELECT is((SELECT count(*) FROM ecauto.rfm()), 200::bigint, 'everybody with an order');
SELECT is((SELECT count(*) FROM (SELECT frequency FROM ecauto.rfm() GROUP BY frequency HAVING count(DISTINCT f) > 1) x), 0::bigint, 'equal frequencies, equal scores');
SELECT is((SELECT array_agg(DISTINCT f ORDER BY f) FROM ecauto.rfm()), '{1,2,3,4,5}', 'five scores');
SELECT ok((SELECT corr(recency, r) < -0.9 AND corr(frequency, f) > 0.9 AND corr(monetary::float8, m) > 0.8 FROM ecauto.rfm()), 'the best have the highest');
SELECT is((SELECT count(*) FROM ecauto.rfm() WHERE segment IS NULL), 0::bigint, 'everybody is in a group');
SELECT is((SELECT (recency, frequency, monetary) FROM ecauto.rfm() WHERE customer = '21'), (2::float8, 2::bigint, 20::numeric), 'what the scores are of');
SELECT is((SELECT sum(customers) FROM ecauto.rfm_migration('2026-06-01', '2026-06-30')), 200::numeric, 'everybody comes from somewhere');

SELECT ok((SELECT model IN ('mbgnbd', 'paretonbd') AND customers = 200 AND repeaters = 160 AND array_length(params, 1) = 4 FROM ecauto.fit_clv()), 'a model is fitted');
SELECT is((SELECT count(*) FROM ecauto_data.clv_model), 1::bigint, 'and kept');
SELECT ok((SELECT bool_and(p_alive BETWEEN 0 AND 1 AND p_buys <= p_alive AND expected_orders >= 0 AND expected_value >= 0 AND churn_risk = 1 - p_alive AND next_order_at > '2026-06-30')
	FROM ecauto.predict_clv(90)), 'what is predicted can be');
SELECT is((SELECT count(*) FROM ecauto.predict_clv(90)), 200::bigint, 'for everybody');
SELECT is((SELECT count(*) FROM ecauto.predict_clv(90) WHERE p_alive_error >= 0 AND expected_orders_error > 0 AND expected_value_error > 0
	AND (p_alive_error, expected_orders_error, expected_value_error)::text !~ 'NaN|Infinity'), 200::bigint, 'each with its standard errors');
SELECT is((SELECT count(*) FROM ecauto.predict_clv(90) WHERE abs(expected_value - expected_orders * order_value) > 1e-9 OR expected_value_error < expected_orders_error * order_value - 1e-9), 0::bigint,
	'a value errs by the orders and by what an order is worth');
SELECT throws_ok('SELECT * FROM ecauto.predict_clv(0)', '22023', 'horizon must be between 1 and 3660 days', 'no horizon');

-- three customers: what is usual in shops answers, and says that it is not sure
SAVEPOINT few;
CREATE TABLE sure AS SELECT avg(expected_orders_error / expected_orders) AS by FROM ecauto.predict_clv(90) WHERE expected_orders > 0;
UPDATE orders SET cancelled = true WHERE customer_id > 3;
SELECT news() \g /dev/null
SELECT ok((SELECT note LIKE 'only % customers have ordered again: what is usual in shops counts as 10 customers%' FROM ecauto.fit_clv())
	AND (SELECT count(*) = 3 AND min(expected_orders_error / expected_orders) > (SELECT by FROM sure) AND bool_and(expected_value_error > 0) FROM ecauto.predict_clv(90)), 'three customers: a note, and larger errors');
ROLLBACK TO few;

-- ---- how good the predictions would have been ----
SELECT is((SELECT array_agg(model ORDER BY model) FROM ecauto.evaluate_clv(20)), '{bgnbd,mbgnbd,paretonbd,rate x time}', 'three models and what is simplest');
SELECT is((SELECT DISTINCT (customers, orders) FROM ecauto.evaluate_clv(20)),
	(SELECT (count(*), sum((SELECT count(*) FROM orders o WHERE o.customer_id::text = c.key AND o.placed > '2026-06-10' AND NOT coalesce(o.cancelled, false)))::bigint)
		FROM ecauto.customer_facts(NULL, '2026-06-10') c WHERE c.orders_count > 0), 'customers of then and their orders since');
SELECT ok((SELECT bool_and(mean_error >= 0 AND correlation BETWEEN -1 AND 1 AND churn_auc BETWEEN 0 AND 1 AND expected_orders >= 0) FROM ecauto.evaluate_clv(20)), 'figures that can be');
SELECT is((SELECT count(*) FROM ecauto_data.clv_model), 1::bigint, 'nothing is kept of it');
SELECT throws_ok('SELECT * FROM ecauto.evaluate_clv(3000)', '55000', 'no customer has ordered before the days that are held out', 'before there were customers');

-- ---- hours ----
SET LOCAL ecauto.timezone = 'Europe/Warsaw';
SELECT is((SELECT round(sum(share)::numeric, 9) FROM ecauto.customer_hours('7')), 1.0, 'shares are of one day');
SELECT is(ecauto.best_hour('nobody'), 2, 'everybody orders at midnight in London''s summer, less one');
UPDATE orders SET placed = date_trunc('day', placed) + interval '19 hours' WHERE customer_id = 9;
SELECT news() \g /dev/null
SELECT is((SELECT seen FROM ecauto.customer_hours('9') WHERE hour = 21), 5::bigint, 'who ordered five times at 21 by his clock');
SELECT ok((SELECT share > 5 / 17.0 AND share < 1 FROM ecauto.customer_hours('9') WHERE hour = 21), 'is drawn to what everybody does');
SELECT is(ecauto.best_hour('9'), 2, 'and five times do not outweigh it');
SELECT ecauto.track('view', '9', at => '2026-06-28 19:30+00'::timestamptz + i * interval '1 minute') FROM generate_series(1, 20) i \g /dev/null
SELECT is(ecauto.best_hour('9'), 21, 'many do');

SELECT * FROM finish();
ROLLBACK;

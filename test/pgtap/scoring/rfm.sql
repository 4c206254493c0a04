-- RFM scores are fair to equal values, and lifetime value is fitted to and predicted for the shop's customers.
BEGIN;
\ir ../event/shop.psql
SELECT plan(15);
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
SELECT throws_ok('SELECT * FROM ecauto.predict_clv(0)', '22023', 'horizon must be between 1 and 3660 days', 'no horizon');

SELECT * FROM finish();
ROLLBACK;

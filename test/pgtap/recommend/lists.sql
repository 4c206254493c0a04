-- Lists for pages and newsletters, what is bought again, and what the shop
-- does not want to be shown.
BEGIN;
\ir ../event/shop.psql
SELECT plan(58);
SET LOCAL timezone = 'UTC';
SET LOCAL ecauto.timezone = 'UTC';
SET LOCAL ecauto.clock = '2026-06-17 12:00+00';
CREATE FUNCTION skus(VARIADIC text[]) RETURNS text LANGUAGE sql AS $$ SELECT array_to_string($1, ' ') $$;
DELETE FROM orders;
DELETE FROM order_line;
ALTER TABLE customer ADD country text;
SELECT ecauto.bind_table('customer', 'customer', '{"key": "id", "email": "mail", "created_at": "created", "country": "country"}') \g /dev/null
UPDATE customer SET country = CASE WHEN id < 4 THEN 'PL' ELSE 'DE' END;

-- customer 1 buys 2 every 30 days and 3 every 10 days; 4 once, others every 20 days
INSERT INTO orders (id, customer_id, total, placed)
	SELECT i, 1, 10, timestamptz '2026-06-15 12:00+00' - i * interval '30 days' FROM generate_series(1, 4) i
	UNION ALL SELECT 10 + i, 1, 10, timestamptz '2026-06-16 12:00+00' - i * interval '10 days' FROM generate_series(0, 4) i
	UNION ALL SELECT 20, 1, 10, '2026-05-28 12:00+00'
	UNION ALL SELECT 30 + i, 2, 10, timestamptz '2026-06-01 12:00+00' - i * interval '20 days' FROM generate_series(0, 3) i
	UNION ALL SELECT 40 + i, 3 + i % 3, 10, timestamptz '2026-06-01 12:00+00' - i * interval '1 hour' FROM generate_series(0, 5) i;
INSERT INTO order_line (id, order_id, variant_id, qty, unit_price)
	SELECT id, id, CASE WHEN id < 10 THEN 2 WHEN id < 20 THEN 3 WHEN id < 40 THEN 4 ELSE 5 END, 1, 10 FROM orders
	UNION ALL SELECT 100 + id, id, CASE WHEN id % 2 = 0 THEN 6 ELSE 7 END, 1, 10 FROM orders WHERE id >= 30;
SELECT ecauto.tick() \g /dev/null
SELECT throws_ok($$ SELECT ecauto.popular() $$, '55000', 'recommendations were not built yet', 'nothing was built');
SELECT ecauto.build_recommendations() \g /dev/null

-- ---- buy again ----
SELECT results_eq($$ SELECT sku, round(score::numeric, 3), reason FROM ecauto.buy_again('1') $$,
	$$ VALUES ('2', round(30.0 / 32, 3), 'you buy it every 30 days, last 32 days ago') $$, 'by his own rhythm; 3 is not due, 4 no consumable');
SELECT ecauto.set_consumable('4') \g /dev/null
SELECT results_eq($$ SELECT sku, round(score::numeric, 3), reason FROM ecauto.buy_again('1') $$,
	$$ VALUES ('4', 1.0, 'others buy it every 20 days, last 20 days ago'), ('2', 0.938, 'you buy it every 30 days, last 32 days ago') $$, 'a consumable by that of others');
SAVEPOINT clock;
UPDATE ecauto_data.seen_order SET placed_at = timestamptz '2026-06-16 06:00+00' - (key::int - 10) * interval '2 days' WHERE key::int BETWEEN 10 AND 14;
SELECT is((SELECT reason FROM ecauto.buy_again('1') WHERE sku = '3'), 'you buy it every 2 days, last a day ago', 'a day ago');
SET LOCAL ecauto.clock = '2026-06-25 21:00+00';
UPDATE ecauto_data.seen_order SET placed_at = timestamptz '2026-06-25 06:00+00' - (key::int - 10) * interval '1 day' WHERE key::int BETWEEN 10 AND 14;
SELECT is((SELECT reason FROM ecauto.buy_again('1') WHERE sku = '3'), 'you buy it every day, last less than a day ago', 'today');
ROLLBACK TO clock;
UPDATE stock SET qty = 0 WHERE variant_id = 4;
SELECT is((SELECT array_agg(sku) FROM ecauto.buy_again('1')), '{2}', 'not if it is sold out');
UPDATE stock SET qty = 10 WHERE variant_id = 4;
SELECT is_empty($$ SELECT FROM ecauto.buy_again('nobody') $$, 'nobody');
SELECT is_empty($$ SELECT FROM ecauto.buy_again(NULL) $$, 'NULL');
SELECT is_empty($$ SELECT FROM ecauto.buy_again('1', 0) $$, 'none wanted');
SELECT throws_ok($$ SELECT ecauto.buy_again('1', 1000000000) $$, '22023', 'number of rows must be between 0 and 1000', 'too many');

-- ---- repeats ----
SELECT is((SELECT count(*) FROM ecauto.recommend('1', 10) WHERE sku IN ('2', '3')), 0::bigint, 'what he bought is not recommended');
SELECT is((SELECT count(*) FROM ecauto.recommend('1', 10) WHERE sku = '4'), 1::bigint, 'a consumable is');
SELECT ecauto.set_recommendation_policy('all') \g /dev/null
SELECT is((SELECT count(*) FROM ecauto.recommend('1', 10) WHERE sku IN ('2', '3', '4')), 3::bigint, 'repeats are allowed');
SELECT is((SELECT reason FROM ecauto.recommend('1', 10) WHERE sku = '2'), 'bought 4 times before', 'with a reason');
SELECT ecauto.set_recommendation_policy('none') \g /dev/null
SELECT is((SELECT count(*) FROM ecauto.recommend('1', 10) WHERE sku IN ('2', '3', '4')), 0::bigint, 'repeats are not');
SELECT throws_ok($$ SELECT ecauto.set_recommendation_policy('often') $$, '23514', NULL, 'no such policy');
SELECT ecauto.set_recommendation_policy() \g /dev/null

-- ---- best sellers, new arrivals, popular ----
SELECT is((SELECT skus(VARIADIC array_agg(sku || ':' || score)) FROM ecauto.best_sellers(2)), '5:6 3:5', 'best sellers');
UPDATE orders SET cancelled = true WHERE id = 40;
UPDATE orders SET paid = 10, refunded = 10 WHERE id = 41;
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT score FROM ecauto.best_sellers(20) WHERE sku = '5'), 4::float8, 'net of what was cancelled or paid back');
SELECT is((SELECT count(*) FROM ecauto.best_sellers(20) WHERE score < 2), 0::bigint, 'one order proves nothing');
SELECT is_empty($$ SELECT FROM ecauto.best_sellers(0) $$, 'none wanted');
SELECT throws_ok($$ SELECT ecauto.best_sellers(-1) $$, '22023', NULL, 'fewer than none');
SELECT is_empty($$ SELECT FROM ecauto.new_arrivals() $$, 'what was there is not new');
INSERT INTO product VALUES (11, 'Garden chair', NULL, 'Maker', true), (12, 'Garden table', NULL, 'Maker', true);
INSERT INTO variant VALUES (11, 11, 'V11'), (12, 12, 'V12');
INSERT INTO stock VALUES (11, 'main', 5), (12, 'main', 0);
SELECT ecauto.tick() \g /dev/null
SELECT results_eq($$ SELECT sku, reason FROM ecauto.new_arrivals() $$, $$ VALUES ('11', 'new since 2026-06-17') $$, 'what came is, if it may be shown');
SELECT is((SELECT array_agg(DISTINCT reason) FROM ecauto.popular(2, 'PL')), '{popular in PL}', 'popular in a country');
SELECT is((SELECT array_agg(DISTINCT reason) FROM ecauto.popular(2, 'JP')), '{popular}', 'where nobody bought: anywhere');
SELECT is((SELECT count(*) FROM ecauto.popular(1000)), (SELECT count(DISTINCT sku) FROM ecauto.popular(1000)), 'each once');
SELECT throws_ok($$ SELECT ecauto.popular(NULL) $$, '22004', NULL, 'no number');

-- ---- somebody unknown ----
SELECT is((SELECT sku || ': ' || reason FROM ecauto.recommend_viewed('{5}', 1)), '6: because you looked at Product 5', 'what goes with what he looked at') WHERE EXISTS (SELECT FROM ecauto.recommend_viewed('{5}', 1) WHERE sku = '6');
SELECT is((SELECT reason FROM ecauto.recommend_viewed('{nothing,NULL,5}', 1)), 'because you looked at Product 5', 'the unknown say nothing');
SELECT is((SELECT count(*) FROM ecauto.recommend_viewed('{5,6}', 10) WHERE sku IN ('5', '6')), 0::bigint, 'not what he looked at');
SELECT is((SELECT array_agg(DISTINCT reason) FROM ecauto.recommend_viewed('{}', 3)), '{popular}', 'who looked at nothing');
SELECT is_empty($$ SELECT FROM ecauto.recommend_viewed(NULL, 3) $$, 'NULL');
SELECT is((SELECT array_agg(DISTINCT reason) FROM ecauto.recommend_session('s1', 2, 'DE')), '{popular in DE}', 'a session of which nothing is known');
SELECT ecauto.track('view', NULL, '5', NULL, 's1', timestamptz '2026-06-17 11:00+00') \g /dev/null
SELECT is((SELECT reason FROM ecauto.recommend_session('s1', 1)), 'because you looked at Product 5', 'by what was looked at');
SELECT is((SELECT count(*) FROM ecauto.recommend_session('s1', 10) WHERE sku = '5'), 0::bigint, 'but not that');
SELECT ecauto.identify('s1', '1') \g /dev/null
SELECT results_eq($$ SELECT * FROM ecauto.recommend_session('s1', 10) $$, $$ SELECT * FROM ecauto.recommend('1', 10) $$, 'once he is known: his own');
SELECT is((SELECT count(*) FROM ecauto.recommend_session(NULL, 3)), 3::bigint, 'no session');
SELECT throws_ok($$ SELECT ecauto.recommend_session('s1', NULL) $$, '22004', NULL, 'no number');

-- ---- discover ----
SELECT ok((SELECT count(*) > 0 FROM ecauto.discover('3', 5)), 'something new');
SELECT is((SELECT count(*) FROM ecauto.discover('3', 10) d JOIN ecauto_data.purchase p ON p.customer = '3' AND p.sku = d.sku), 0::bigint, 'nothing that he bought');
CREATE TEMP TABLE this_week AS SELECT * FROM ecauto.discover('3', 5);
SET LOCAL ecauto.clock = '2026-06-21 23:59:59+00';
SELECT results_eq($$ SELECT * FROM ecauto.discover('3', 5) $$, $$ SELECT * FROM this_week $$, 'the same until Sunday');
SET LOCAL ecauto.clock = '2026-06-22 00:00+00';
SELECT results_ne($$ SELECT sku, score FROM ecauto.discover('3', 5) $$, $$ SELECT sku, score FROM this_week $$, 'another one on Monday');
SET LOCAL ecauto.clock = '2026-06-17 12:00+00';
SELECT is_empty($$ SELECT FROM ecauto.discover('nobody') $$, 'nobody');
SELECT throws_ok($$ SELECT ecauto.discover('3', 5, 0) $$, '22023', NULL, 'none of a category');

-- ---- what the shop does not want ----
SELECT ecauto.set_cost('6', 9, 'EUR') \g /dev/null
SELECT ok(ecauto.showable('{6}') IS NOT NULL, 'any margin');
-- 6 costs 60: 85 % are left; 3 costs 30 and is bought for 29
SELECT ecauto.set_cost('3', 29, 'EUR') \g /dev/null
SELECT ecauto.set_recommendation_policy(min_margin => 10) \g /dev/null
SELECT is((SELECT array_agg(s.sku) FROM ecauto.showable('{3,5,6}') s), '{5,6}', 'what leaves too little is not shown, what is unknown is');
SELECT ecauto.set_cost('3', 27, 'EUR') \g /dev/null
SELECT is((SELECT array_agg(s.sku) FROM ecauto.showable('{3}') s), '{3}', 'just enough');
SELECT ecauto.set_vat_rate(25) \g /dev/null
SELECT is((SELECT array_agg(s.sku) FROM ecauto.showable('{3}') s), NULL, 'but for the tax');
SELECT throws_ok($$ SELECT ecauto.set_recommendation_policy(min_margin => 100) $$, '23514', NULL, 'nothing leaves that');
SELECT ecauto.set_recommendation_policy() \g /dev/null
SELECT ecauto.set_recommendation_exclusion('product.title = ''Product 5'' OR stock.available > 100') \g /dev/null
SELECT is((SELECT array_agg(s.sku) FROM ecauto.showable('{3,5,6}') s), '{3,6}', 'a condition excludes');
SELECT is((SELECT count(*) FROM ecauto.best_sellers(20) WHERE sku = '5'), 0::bigint, 'from lists too');
UPDATE stock SET qty = 101 WHERE variant_id = 3;
SELECT is((SELECT array_agg(s.sku) FROM ecauto.showable('{3,5,6}') s), '{6}', 'by its stock of the moment');
SELECT throws_ok($$ SELECT ecauto.set_recommendation_exclusion('product.colour = 1') $$, NULL, NULL, 'no such column');
SELECT throws_ok($$ SELECT ecauto.set_recommendation_exclusion('1') $$, NULL, NULL, 'no condition');
SELECT ecauto.set_recommendation_exclusion(NULL) \g /dev/null
SELECT is((SELECT array_agg(s.sku) FROM ecauto.showable('{3,5,6}') s), '{3,5,6}', 'no longer');
CREATE ROLE ecauto_recommend_nobody;
GRANT USAGE ON SCHEMA ecauto TO ecauto_recommend_nobody;
SET LOCAL ROLE ecauto_recommend_nobody;
SELECT set_config('search_path', (SELECT current_setting('search_path')), true) \g /dev/null
SELECT public.throws_ok($$ SELECT ecauto.buy_again('1') $$, '42501', NULL, 'what somebody bought is not for everybody');
SELECT public.throws_ok($$ SELECT ecauto.set_recommendation_exclusion(NULL) $$, '42501', NULL, 'nor what is shown');
RESET ROLE;

-- ---- erased ----
SELECT is_empty($$ SELECT a.attrelid::regclass, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
	WHERE c.relnamespace = 'ecauto_data'::regnamespace AND c.relname LIKE 'recommend%' AND c.relkind IN ('r', 'p') AND a.attnum > 0
		AND a.attname ~ '(customer|email|session)' AND a.atttypid IN ('text'::regtype, 'text[]'::regtype) $$, 'nothing is kept of a customer that would have to be erased');

-- ---- 50,000 purchases of 9 skus: what is left is what he has not bought ----
DELETE FROM orders;
DELETE FROM order_line;
INSERT INTO orders (id, customer_id, total) SELECT i, 1, 10 FROM generate_series(1, 10000) i;
INSERT INTO order_line SELECT i, 1 + i % 10000, 1 + i % 9, 1, 10 FROM generate_series(1, 50000) i;
INSERT INTO orders (id, customer_id, total) SELECT 20000 + i, 2, 10 FROM generate_series(1, 3) i;
INSERT INTO order_line SELECT 60000 + i, 20000 + i, 10, 1, 10 FROM generate_series(1, 3) i;
SELECT ecauto.set_consumable('4', false) \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.build_recommendations() \g /dev/null
SELECT is((SELECT array_agg(sku) FROM ecauto.recommend('1', 10)), '{10}', 'a customer with 50,000 purchases');
SELECT * FROM finish();
ROLLBACK;

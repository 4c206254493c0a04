-- What recommendations would have been worth: a shop in which 1..5 are followed by 6..10.
BEGIN;
\ir ../event/shop.psql
SELECT plan(22);
SET LOCAL timezone = 'UTC';
SET LOCAL ecauto.timezone = 'UTC';
SET LOCAL ecauto.clock = '2026-06-15 00:00+00';
DELETE FROM orders;
DELETE FROM order_line;

SELECT throws_ok($$ SELECT ecauto.evaluate_recommendations(0) $$, '22023', 'number of rows must be between 1 and 100', 'no rows');
SELECT throws_ok($$ SELECT ecauto.evaluate_recommendations(101) $$, '22023', 'number of rows must be between 1 and 100', 'too many rows');
SELECT is_empty($$ SELECT FROM ecauto.evaluate_recommendations() $$, 'a shop without orders proves nothing');
SELECT is_empty($$ SELECT FROM ecauto.evaluate_recommendations(NULL) $$, 'NULL');

-- 300 customers had both; 250 others have one of 1..5 and buy its follower in June
INSERT INTO customer SELECT i, 'e' || i || '@shop.example' FROM generate_series(101, 650) i;
INSERT INTO orders (id, customer_id, total, placed)
SELECT i, i, 10, timestamptz '2026-01-01' + i * interval '1 hour' FROM generate_series(101, 650) i
UNION ALL SELECT i + 1000, i, 10, timestamptz '2026-06-01' + i * interval '1 minute' FROM generate_series(401, 650) i;
INSERT INTO order_line SELECT row_number() OVER (), o.id, CASE WHEN o.id > 1000 THEN 6 ELSE 1 END + o.customer_id % 5, 1, 10 FROM orders o;
INSERT INTO order_line SELECT 10000 + o.id, o.id, 6 + o.customer_id % 5, 1, 10 FROM orders o WHERE o.id <= 400;
SELECT ecauto.tick() \g /dev/null

CREATE TEMP TABLE tried AS SELECT * FROM ecauto.evaluate_recommendations(n => 2);
SELECT results_eq($$ SELECT DISTINCT tests, by_time FROM tried WHERE task = 'customer' $$, $$ VALUES (250, true) $$, 'who bought before and in the last four weeks');
SELECT is((SELECT array_agg(DISTINCT model ORDER BY model) FROM tried), '{nearest,popular,weights}', 'models');
SELECT is((SELECT min(ndcg) FROM tried WHERE task = 'customer' AND model = 'nearest'), 1::float8, 'what follows is found at the first place');
SELECT is((SELECT max(ndcg) FROM tried WHERE task = 'customer' AND model = 'weights'), 1::float8, 'by weights as well');
SELECT is((SELECT max(hit_rate) FROM tried WHERE task = 'customer' AND model = 'weights'), 1::float8, 'each time');
SELECT is((SELECT max(recall) FROM tried WHERE task = 'customer' AND model = 'weights'), 1::float8, 'all of it');
SELECT is((SELECT coverage FROM tried WHERE task = 'customer' AND model = 'nearest'), 0.5::float8, 'five of ten skus are shown');
-- 6..10 were had by 60 each, of 550; one more of each, so that nothing is infinitely rare
SELECT is((SELECT round(novelty::numeric, 4) FROM tried WHERE task = 'customer' AND model = 'nearest'), round(-log(2, 61 / 551.0), 4), 'novelty by hand');
-- popular: the same for all, so at best one of five is hit at each place
SELECT cmp_ok((SELECT hit_rate FROM tried WHERE task = 'customer' AND model = 'popular'), '<=', 0.5::float8, 'what is popular is not');
-- orders of June have one line each, so baskets are held out by chance
SELECT results_eq($$ SELECT DISTINCT by_time, tests BETWEEN 20 AND 50 FROM tried WHERE task = 'basket' $$, $$ VALUES (false, true) $$, 'a tenth of the baskets');
SELECT is((SELECT max(ndcg) FROM tried WHERE task = 'basket' AND model = 'weights'), 1::float8, 'and the rest of each is found');
SELECT is((SELECT count(*) FROM tried WHERE chosen), 2::bigint, 'one setting a task is chosen');
SELECT results_eq('SELECT * FROM tried', 'SELECT * FROM ecauto.evaluate_recommendations(n => 2)', 'the same again');
SELECT is((SELECT count(*) FROM ecauto_data.recommend_setting WHERE chosen_at IS NOT NULL), 0::bigint, 'nothing is kept');
SELECT throws_ok($$ SELECT ecauto.evaluate_recommendations(holdout => '-1 day') $$, '22023', 'the time that is held out must be above 0', 'time that runs backwards');
SELECT ecauto.evaluate_recommendations(n => 2, keep => true) \g /dev/null
SELECT results_eq($$ SELECT task, lambda, dropout, half_life, popular, ndcg FROM ecauto_data.recommend_setting ORDER BY 1 $$,
	$$ SELECT task, lambda, dropout, half_life, popular, ndcg FROM tried WHERE chosen ORDER BY 1 $$, 'kept for the next build');

-- ---- the first build chooses for itself, once ----
UPDATE ecauto_data.recommend_setting SET chosen_at = NULL, lambda = 1e6 WHERE task = 'customer';
UPDATE ecauto_data.recommend_setting SET chosen_at = NULL WHERE task = 'basket';
SELECT ecauto.build_recommendations() \g /dev/null
SELECT is((SELECT count(chosen_at) FROM ecauto_data.recommend_setting), 2::bigint, 'the first build of a small shop chooses');
UPDATE ecauto_data.recommend_setting SET lambda = 7;
SELECT ecauto.build_recommendations() \g /dev/null
SELECT is((SELECT min(lambda) FROM ecauto_data.recommend_setting), 7::float8, 'the next one takes what it finds');
SELECT * FROM finish();
ROLLBACK;

-- What came of recommendations, and tests of two ways of recommending.
BEGIN;
SET LOCAL ecauto.clock = '2026-06-01 12:00+00';
\ir ../event/shop.psql
SELECT plan(40);
SET LOCAL timezone = 'UTC';
SET LOCAL ecauto.timezone = 'UTC';

-- ---- figures; from statsmodels ----
SELECT is(round(difference::numeric, 9) || ' ' || round(lo::numeric, 9) || ' ' || round(hi::numeric, 9) || ' ' || round(z::numeric, 6) || ' ' || round(p::numeric, 8), want, want)
FROM (VALUES (200, 10000, 250, 10000, '0.005000000 0.000887048 0.009138267 2.383995 0.01712583'),
	(5, 40, 12, 38, '0.190789474 0.006019771 0.364467858 2.040019 0.04134847'),
	(1203, 50210, 1296, 50377, '0.001766655 -0.000157620 0.003692261 1.799877 0.07188002')) v (x1, n1, x2, n2, want),
	ecauto.compare_shares(x1, n1, x2, n2);
SELECT is(round(lo::numeric, 10) || ' ' || round(hi::numeric, 10), want, want)
FROM (VALUES (200, 10000, '0.0174347117 0.0229339268'), (5, 40, '0.0545950025 0.2611211984'), (0, 10, '0.0000000000 0.2775327999')) v (x, n, want), ecauto.share_interval(x, n);
SELECT results_eq('SELECT * FROM ecauto.compare_shares(0, 0, 1, 2)', 'SELECT NULL::float8, NULL::float8, NULL::float8, NULL::float8, NULL::float8', 'nothing is known of none');
SELECT ok((SELECT difference = 0 AND lo < 0 AND hi > 0 AND z IS NULL AND p IS NULL FROM ecauto.compare_shares(0, 5, 0, 5)), 'two shares of nothing');
SELECT throws_ok('SELECT ecauto.compare_shares(3, 2, 0, 1)', '22023', 'number of successes must be between 0 and the number of trials', 'more than all');
SELECT throws_ok('SELECT ecauto.share_interval(-1, 2)', '22023', 'number of successes must be between 0 and the number of trials', 'less than none');

-- ---- a test ----
DELETE FROM orders;
DELETE FROM order_line;
-- customers 1 and 2 bought 2 and 3 together; 4 is most popular; 5 bought 2
INSERT INTO customer SELECT i, 'c' || i || '@shop.example' FROM generate_series(6, 12) i;
INSERT INTO orders (id, customer_id, total, placed) SELECT i, i, 10, '2026-05-20' FROM generate_series(1, 12) i;
INSERT INTO order_line (id, order_id, variant_id, qty, unit_price) SELECT row_number() OVER (), o, v, 1, 10
FROM (VALUES (1, 2), (1, 3), (2, 2), (2, 3), (5, 2), (6, 4), (7, 4), (8, 4), (9, 4), (10, 4), (11, 4), (12, 4)) x (o, v);
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.build_recommendations() \g /dev/null
SELECT is(ecauto.recommendation_label('1'), jsonb_build_object('version', (SELECT version FROM ecauto_data.recommend_model)), 'no test, no variant');
SELECT is((SELECT sku FROM ecauto.recommend('5', 1)), '3', 'who bought 2 gets 3');
SELECT lives_ok($$ SELECT ecauto.set_recommendation_test('plain', '{"list": "popular"}', 0.999999999) $$, 'nearly everybody gets what is popular');
SELECT is((SELECT sku FROM ecauto.recommend('5', 1)), '4', 'so it is 4');
SELECT is((SELECT sku FROM ecauto.recommend_session('s', 1)), '4', 'a session too');
SELECT is(ecauto.recommendation_label('5') - 'version', '{"test": "plain", "variant": "B"}', 'variant B');
SELECT throws_ok($$ SELECT ecauto.set_recommendation_test('two', '{"popular": 1}') $$, '55000', 'a test of recommendations is running already', 'one at a time');
SELECT is(ecauto.end_recommendation_test(), 'plain', 'ended');
SELECT is(ecauto.end_recommendation_test(), NULL, 'once');
SELECT is((SELECT sku FROM ecauto.recommend('5', 1)), '3', 'as before');
SELECT throws_ok($$ SELECT ecauto.set_recommendation_test('plain', '{"popular": 1}') $$, '42710', 'there was a test "plain" of recommendations already', 'a name is used once');
SELECT throws_ok(format('SELECT ecauto.set_recommendation_test(%L, %L, %s)', 'x', setting, share), '22023', message, message)
FROM (VALUES ('{}', '0.5', 'setting of test "x" must be an object that is not empty'), ('{"colour": 1}', '0.5', 'unknown setting "colour" of test "x"'),
	('{"popular": -1}', '0.5', 'setting "popular" of test "x" must be a number from 0 to 100'), ('{"half_life": 0}', '0.5', 'setting "half_life" of test "x" must be a number of days above 0, or null for never'),
	('{"repeats": "some"}', '0.5', 'setting "repeats" of test "x" must be none, consumables or all'), ('{"popular": 1}', '1', 'share of a test must be above 0 and below 1')) v (setting, share, message);
SELECT ecauto.set_recommendation_test('again', '{"repeats": "all", "popular": 0, "half_life": null}', 0.5) \g /dev/null
SELECT is((SELECT count(*) FROM generate_series(1, 2000) n WHERE ecauto.recommendation_label(n::text) ->> 'variant' <> CASE WHEN ecauto.bucket('again', n::text) < 0.5 THEN 'B' ELSE 'A' END), 0::bigint, 'drawn by bucket()');
SELECT ok((SELECT count(*) BETWEEN 900 AND 1100 FROM generate_series(1, 2000) n WHERE ecauto.recommendation_label(n::text) ->> 'variant' = 'B'), 'about half');
SELECT is((SELECT count(*) FROM unnest('{1,2,5,6,7,8,9,10,11,12}'::int[]) c WHERE (ecauto.recommendation_label(c::text) ->> 'variant' = 'B')
	<> EXISTS (SELECT FROM ecauto.recommend(c::text, 10) r JOIN order_line l ON l.variant_id::text = r.sku WHERE l.order_id = c)), 0::bigint, 'B alone is shown what he bought');
SELECT ecauto.identify('tied', '5') \g /dev/null
SELECT is(ecauto.recommendation_label(NULL, 'tied'), ecauto.recommendation_label('5'), 'a session has the variant of its customer');
SELECT ecauto.end_recommendation_test() \g /dev/null

-- ---- what came of it ----
SELECT is(ecauto.recommend_shown('1', '{7,8,NULL,9}', 'home'), 3::bigint, 'shown');
SELECT is((SELECT new - 'version' FROM ecauto_data.event WHERE kind = 'recommendation.shown' AND sku = '9'), '{"list": "home", "place": 4}', 'with list and place');
SELECT is(ecauto.recommend_shown('2', '{7,8}', 'home'), 2::bigint, 'to another');
SELECT is(ecauto.recommend_shown(NULL, '{7}', 'home', 'tied'), 1::bigint, 'to a session of customer 5');
SELECT ecauto.opt_out_of_profiling('9') \g /dev/null
SELECT is(ecauto.recommend_shown('9', '{7,8}', 'home'), 0::bigint, 'who objected is not watched');
SELECT ecauto.recommend_clicked('1', '7', 'home', place => 1), ecauto.recommend_clicked('1', '7', 'home', place => 1) \g /dev/null
SET LOCAL ecauto.clock = '2026-06-04 12:00+00';
-- 1 buys 7 (clicked), 8 (shown) and 5; 2 buys 7 a day too late; 5 buys 7 (shown); 1 another 7, cancelled
INSERT INTO orders (id, customer_id, total, placed, cancelled) VALUES (101, 1, 10, '2026-06-03', false), (102, 2, 10, '2026-06-09 12:00+00', false), (103, 5, 10, '2026-06-04', false), (104, 1, 10, '2026-06-04', true);
INSERT INTO order_line (id, order_id, variant_id, qty, unit_price) VALUES (201, 101, 7, 2, 35), (202, 101, 8, 1, 80), (203, 101, 5, 1, 50), (204, 102, 7, 1, 70), (205, 103, 7, 1, 70), (206, 104, 7, 1, 70);
SET LOCAL ecauto.clock = '2026-06-10 12:00+00';
SELECT ecauto.tick() \g /dev/null
SELECT results_eq($$ SELECT list, shown, clicked, round(ctr::numeric, 4), visitors, visitors_clicked, orders, revenue, view_orders, view_revenue, purchases, hits, hit_rate, note FROM ecauto.recommendation_report() $$,
	$$ VALUES ('home', 6::bigint, 1::bigint, 0.1667, 3::bigint, 1::bigint, 1::bigint, '{"EUR": 70}'::jsonb, 2::bigint, '{"EUR": 150}'::jsonb, 4::bigint, 3::bigint, 0.75::float8, NULL::text) $$, 'by hand');
SELECT results_eq($$ SELECT orders, view_orders FROM ecauto.recommendation_report(within => '9 days') $$, $$ VALUES (1::bigint, 3::bigint) $$, 'within longer');
SELECT is_empty($$ SELECT FROM ecauto.recommendation_report('2026-06-05', '2026-06-06') $$, 'at another time');

-- two variants, 10,000 visitors each, of whom 200 and 250 click
INSERT INTO ecauto_data.event (event_id, at, kind, customer, sku, new)
SELECT gen_random_uuid(), '2026-06-09', 'recommendation.' || k, v || n, '1', jsonb_build_object('list', 'mail', 'test', 't', 'variant', v)
FROM unnest('{A,B}'::text[]) v, generate_series(1, 10000) n, unnest('{shown,clicked}'::text[]) k
WHERE k = 'shown' OR n <= CASE v WHEN 'A' THEN 200 ELSE 250 END;
SELECT results_eq($$ SELECT variant, shown, clicked, ctr, round(difference_lo::numeric, 6), round(difference_hi::numeric, 6), round(z::numeric, 4), round(p::numeric, 6), note FROM ecauto.recommendation_report() WHERE list = 'mail' $$,
	$$ VALUES ('A', 10000::bigint, 200::bigint, 0.02::float8, NULL::numeric, NULL::numeric, NULL::numeric, NULL::numeric, NULL),
		('B', 10000, 250, 0.025, 0.000887, 0.009138, 2.3840, 0.017126, 'significant') $$, 'a test');

SELECT * FROM finish();
ROLLBACK;

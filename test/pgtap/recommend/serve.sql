-- Recommendations of a small shop, by hand.
BEGIN;
\ir ../event/shop.psql
SELECT plan(43);
SET LOCAL timezone = 'UTC';
SET LOCAL ecauto.timezone = 'UTC';
SET LOCAL ecauto.clock = '2026-06-15 00:00+00';
CREATE FUNCTION skus(VARIADIC text[]) RETURNS text LANGUAGE sql AS $$ SELECT array_to_string($1, ' ') $$;

SELECT throws_ok($$ SELECT ecauto.also_bought('1', 3) $$, '55000', 'recommendations were not built yet', 'nothing was built');
SELECT throws_ok($$ SELECT ecauto.recommend('1', 3) $$, '55000', 'recommendations were not built yet', 'for nobody');

-- ten baskets; items 2 and 3 in four of them, 2 and 4 in two, 3 and 4 in one
DELETE FROM orders;
DELETE FROM order_line;
ALTER TABLE customer ADD country text;
SELECT ecauto.bind_table('customer', 'customer', '{"key": "id", "email": "mail", "created_at": "created", "country": "country"}') \g /dev/null
UPDATE customer SET country = CASE WHEN id < 4 THEN 'PL' ELSE 'DE' END;
INSERT INTO orders (id, customer_id, total, placed)
SELECT i, (i - 1) % 5 + 1, 10, timestamptz '2026-06-01' + i * interval '1 hour' FROM generate_series(1, 10) i;
INSERT INTO order_line (id, order_id, variant_id, qty, unit_price)
SELECT row_number() OVER (), o, v, 1, 10 FROM (VALUES (1,2),(1,3), (2,2),(2,3), (3,2),(3,3),(3,4), (4,2),(4,3), (5,2),(5,4), (6,2), (7,3), (8,5), (9,6),(9,7), (10,6)) x (o, v);
-- told twice, and a line that was taken back
INSERT INTO order_line VALUES (100, 1, 2, 1, 10), (101, 1, 9, -1, 10);
SELECT ecauto.tick() \g /dev/null
SELECT results_eq($$ SELECT orders, customers, skus, pairs, capped_orders FROM ecauto.build_recommendations() $$,
	$$ VALUES (10::bigint, 5::bigint, 6::bigint, 4::bigint, 0::bigint) $$, 'what it is made of');
SELECT results_eq($$ SELECT sku, orders, round(support::numeric, 4), round(confidence::numeric, 4), round(lift::numeric, 4), round(cosine::numeric, 4), reason
	FROM ecauto.also_bought('2', 5) $$,
	$$ VALUES ('3', 4::bigint, 0.4, round(4.0 / 6, 4), round(4.0 / 6 / 5 * 10, 4), round(4 / sqrt(30.0), 4), 'bought together 4 times'),
		('4', 2, 0.2, round(2.0 / 6, 4), round(2.0 / 6 / 2 * 10, 4), round(2 / sqrt(12.0), 4), 'bought together 2 times') $$, 'support, confidence, lift and cosine by hand');
SELECT is((SELECT lift FROM ecauto.also_bought('2', 1)), 4 * 10 / 30::float8, 'lift is rounded once');
SELECT is((SELECT skus(VARIADIC array_agg(sku)) FROM ecauto.also_bought('V2', 1)), '3', 'by its code');
SELECT is((SELECT score FROM ecauto.also_bought('4') WHERE sku = '3'), 1::float8, 'once');
SELECT is_empty($$ SELECT FROM ecauto.also_bought('5') $$, 'always alone');
SELECT is_empty($$ SELECT FROM ecauto.also_bought('9') $$, 'a line of no units is none');
SELECT is_empty($$ SELECT FROM ecauto.also_bought('nothing') $$, 'no such sku');
SELECT is_empty($$ SELECT FROM ecauto.also_bought(NULL) $$, 'NULL');
SELECT is_empty($$ SELECT FROM ecauto.also_bought('2', 0) $$, 'none wanted');
SELECT throws_ok($$ SELECT ecauto.also_bought('2', -1) $$, '22023', 'number of rows must be between 0 and 1000', 'fewer than none');

-- ---- who bought 2 gets 3 ----
SELECT is((SELECT sku || ': ' || reason FROM ecauto.recommend('5', 1)), '3: because you bought Product 2', 'a reason');
SELECT is((SELECT count(*) FROM ecauto.recommend('5', 10) WHERE sku IN ('2', '4', '6')), 0::bigint, 'nothing that was bought');
SELECT is((SELECT count(*) FROM ecauto.recommend('1', 10)), (SELECT count(DISTINCT sku) FROM ecauto.recommend('1', 10)), 'each once');
SELECT is((SELECT bool_and(s) FROM (SELECT score <= lag(score, 1, score) OVER (ORDER BY n) FROM (SELECT score, row_number() OVER () AS n FROM ecauto.recommend('5', 10)) x) y (s)), true, 'best first');
SELECT ok(ecauto.set_consumable('2'), 'bought again and again');
SELECT ok(NOT ecauto.set_consumable('2'), 'told once');
SELECT is((SELECT count(*) FROM ecauto.recommend('5', 10) WHERE sku = '2'), 1::bigint, 'so it may be shown again');
SELECT ok(ecauto.set_consumable('2', false), 'no longer');

-- ---- not in stock, not active ----
UPDATE stock SET qty = 0 WHERE variant_id = 3;
SELECT is((SELECT sku FROM ecauto.also_bought('2', 1)), '4', 'sold out: gone at once, without a tick');
SELECT isnt((SELECT sku FROM ecauto.recommend('5', 1)), '3', 'for customers too');
SELECT is((SELECT count(*) FROM ecauto.similar('2', 10) WHERE sku = '3'), 0::bigint, 'and similar ones');
INSERT INTO stock VALUES (3, 'second', 2, 1);
SELECT is((SELECT sku FROM ecauto.also_bought('2', 1)), '3', 'in stock elsewhere');
UPDATE stock SET held = 2 WHERE place = 'second';
SELECT is((SELECT sku FROM ecauto.also_bought('2', 1)), '4', 'all of it reserved');
UPDATE stock SET qty = 10 WHERE variant_id = 3 AND place = 'main';
SELECT is((SELECT sku FROM ecauto.recommend('5', 1)), '3', 'back in stock');
UPDATE product SET on_sale = false WHERE id = 3;
SELECT is((SELECT sku FROM ecauto.also_bought('2', 1)), '4', 'not active');
UPDATE product SET on_sale = true WHERE id = 3;
SELECT is((SELECT array_agg(sku) FROM ecauto.showable('{3,99,NULL,4}')), '{3,4}', 'in the shop');

-- ---- new ones ----
INSERT INTO customer (id, mail, country) VALUES (7, 'new@shop.example', 'DE'), (8, 'far@shop.example', 'JP');
UPDATE product SET maker = 'Maker' WHERE id = 8;
INSERT INTO product VALUES (11, 'Garden chair', NULL, 'Maker', true);
INSERT INTO variant VALUES (11, 11, 'V11');
INSERT INTO stock VALUES (11, 'main', 5);
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT count(*) FROM ecauto.recommend('7', 3) WHERE reason = 'popular in DE'), 3::bigint, 'a new customer: what is popular in his country');
SELECT is((SELECT string_agg(DISTINCT reason, ' ') FROM ecauto.recommend('8', 3)), 'popular', 'where nobody bought: what is popular anywhere');
SELECT is((SELECT sku FROM ecauto.recommend('nobody', 1)), '2', 'somebody unknown');
SELECT is((SELECT sku || ': ' || reason FROM ecauto.similar('11', 1)), '8: of the same brand', 'a new item: alike by attributes');
SELECT is((SELECT sku FROM ecauto.similar('2', 1)), '3', 'bought together');
SELECT is((SELECT sku FROM ecauto.complete_basket('{2,4}', 1)), '3', 'a basket');

-- ---- what somebody looked at ----
SELECT ecauto.track('view', '7', '6') \g /dev/null
SELECT is((SELECT reason FROM ecauto.recommend('7', 1)), 'because you looked at Product 6', 'a view speaks too');
SELECT ecauto.opt_out_of_profiling('7') \g /dev/null
SELECT is((SELECT count(*) FROM ecauto.recommend('7', 5) WHERE reason LIKE 'because%'), 0::bigint, 'unless he objects');

-- ---- changes ----
SELECT is((SELECT sku FROM ecauto.trending(1)), '2', 'what sells now');
SELECT is((SELECT count(*) FROM ecauto.trending(10) WHERE sku IN ('5', '7')), 0::bigint, 'one order proves nothing');
UPDATE orders SET cancelled = true WHERE id IN (1, 2, 4);
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.build_recommendations() \g /dev/null
SELECT results_eq($$ SELECT sku, orders FROM ecauto.also_bought('2') $$, $$ VALUES ('4', 2::bigint), ('3', 1) $$, 'cancelled orders are none');
CREATE TEMP TABLE first AS SELECT 'pair' AS what, (p.item, p.viewed, p.others, p.counts, p.total)::text AS row FROM ecauto_data.recommend_pair p
	UNION ALL SELECT 'weight', (w.source, w.basket, w.targets, w.weights)::text FROM ecauto_data.recommend_weight w
	UNION ALL SELECT 'popular', (w.country, w.items, w.shares)::text FROM ecauto_data.recommend_popular w;
SELECT ecauto.build_recommendations() \g /dev/null
SELECT is_empty($$ (SELECT * FROM first) EXCEPT (
	SELECT 'pair', (p.item, p.viewed, p.others, p.counts, p.total)::text FROM ecauto_data.recommend_pair p
	UNION ALL SELECT 'weight', (w.source, w.basket, w.targets, w.weights)::text FROM ecauto_data.recommend_weight w
	UNION ALL SELECT 'popular', (w.country, w.items, w.shares)::text FROM ecauto_data.recommend_popular w) $$, 'built again, the same to the last digit');
SELECT is((SELECT count(DISTINCT version) FROM ecauto_data.recommend_item), 1::bigint, 'old versions go');
SELECT throws_ok($$ SELECT ecauto.build_recommendations(0) $$, '22023', 'number of neighbours must be between 1 and 2000', 'no neighbours');

SELECT * FROM finish();
ROLLBACK;

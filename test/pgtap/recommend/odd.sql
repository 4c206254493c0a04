-- Histories that are not like others.
BEGIN;
\ir ../event/shop.psql
SELECT plan(7);
UPDATE orders SET cancelled = true;
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT orders || '/' || skus FROM ecauto.build_recommendations()), '0/0', 'no orders');
SELECT is_empty($$ SELECT FROM ecauto.recommend('1', 5) $$, 'nothing to say');
DELETE FROM orders;
DELETE FROM order_line;
-- an order of 5,000 skus; sku 1 in every order; one of nobody; a customer with very many
INSERT INTO orders (id, customer_id, total) SELECT i, CASE WHEN i <> 2 THEN 1 END, 10 FROM generate_series(1, 1000) i;
INSERT INTO order_line SELECT i, 1, i, 1, 10 FROM generate_series(1, 5000) i;
INSERT INTO order_line SELECT 10000 + i, i, 1, 1, 10 FROM generate_series(2, 1000) i;
INSERT INTO order_line SELECT 20000 + i, i, 1 + i % 9, 1, 10 FROM generate_series(2, 1000) i;
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT orders || '/' || customers || '/' || skus || '/' || capped_orders || '/' || capped_customers FROM ecauto.build_recommendations()),
	'1000/2/5000/1/1', 'what was too much is said');
SELECT is((SELECT count(*) FROM ecauto.also_bought('1', 5)), 5::bigint, 'in every order');
SELECT ok((SELECT count(*) <= 10 FROM ecauto.recommend('1', 10)), 'somebody who has everything');
SELECT is((SELECT count(*) FROM ecauto_data.recommend_weight w, unnest(w.weights) x WHERE NOT abs(x) < 1000), 0::bigint, 'all weights are finite');
SELECT is((SELECT count(*) FROM ecauto_data.recommend_pair p, unnest(p.counts) c WHERE c > p.total), 0::bigint, 'no pair is more often than its item');
SELECT * FROM finish();
ROLLBACK;

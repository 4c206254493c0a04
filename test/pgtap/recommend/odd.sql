-- Histories that are not like others.
BEGIN;
\ir ../event/shop.psql
SELECT plan(16);
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

-- ---- what is too much comes to a version that is there ----
UPDATE ecauto_data.recommend_model SET rebuild_every = NULL, rebuild_share = NULL;
INSERT INTO orders (id, customer_id, total) SELECT i, 2, 10 FROM generate_series(2001, 2002) i;
INSERT INTO order_line SELECT 100000 + i, 2001, i + 1000, 1, 10 FROM generate_series(1, 5000) i;
-- two skus, one told thrice; lines of no order, of no sku, taken back
ALTER TABLE order_line ALTER variant_id DROP NOT NULL;
INSERT INTO order_line VALUES (200001, 2002, 7001, 1, 10), (200002, 2002, 7001, 2, 10), (200003, 2002, 7001, 1, 10), (200004, 2002, 7002, 1, 10),
	(200005, NULL, 7001, 1, 10), (200006, 2002, NULL, 1, 10), (200007, 2002, 7003, -1, 10), (200008, 2002, 7004, 0, 10);
SELECT ecauto.tick() \g /dev/null
CREATE TEMP TABLE brought AS SELECT i.sku, i.orders, (SELECT array_agg((o.sku, c.orders)::text ORDER BY o.sku) FROM ecauto_data.recommend_count r CROSS JOIN ecauto.pair_counts(r.pairs) c
	JOIN ecauto_data.recommend_item o ON o.no = c.other WHERE r.item = i.no AND NOT r.viewed) AS pairs FROM ecauto_data.recommend_item i WHERE i.orders > 0;
SELECT is((SELECT pairs FROM brought WHERE sku = '7001'), '{"(7002,1)"}', 'a pair told thrice is one; without key or units it is none');
SELECT is((SELECT count(*) FROM brought WHERE sku::int > 5000 AND sku::int < 7000 AND cardinality(pairs) <> 999), 0::bigint, 'of 5,000 skus 1,000 count');
SELECT is((SELECT capped_orders FROM ecauto.build_recommendations()), 2::bigint, 'which a build says of both orders');
SELECT is_empty($$ SELECT * FROM brought EXCEPT SELECT i.sku, i.orders, (SELECT array_agg((o.sku, c.orders)::text ORDER BY o.sku) FROM ecauto_data.recommend_count r CROSS JOIN ecauto.pair_counts(r.pairs) c
	JOIN ecauto_data.recommend_item o ON o.no = c.other WHERE r.item = i.no AND NOT r.viewed) FROM ecauto_data.recommend_item i $$, 'the tick took the same ones as a build');

-- ---- nobody buys what another one bought; somebody with 50,000 purchases ----
UPDATE orders SET cancelled = true;
INSERT INTO orders (id, customer_id, total) SELECT 3000 + i, 1 + i % 5, 10 FROM generate_series(1, 400) i;
INSERT INTO order_line SELECT 300000 + i, 3000 + i, i, 1, 10 FROM generate_series(1, 400) i;
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT orders || '/' || skus || '/' || pairs FROM ecauto.build_recommendations()), '400/400/0', 'all skus are different');
SELECT is_empty($$ SELECT FROM ecauto_data.recommend_pair $$, 'so no list');
SELECT is((SELECT pg_catalog.count(*) FROM ecauto.similar('1', 5) WHERE reason LIKE 'bought%'), 0::bigint, 'and nothing is similar by orders');
INSERT INTO orders (id, customer_id, total) SELECT i, 1, 10 FROM generate_series(4001, 5000) i;
INSERT INTO order_line SELECT 400000 + i, 4001 + i / 50, 1 + (i * 7919) % 3000, 1, 10 FROM generate_series(0, 49999) i;
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT capped_customers FROM ecauto.build_recommendations()), 1::bigint, 'of 50,000 purchases the last ones count');
SELECT is((SELECT count(*) FROM ecauto_data.recommend_weight w, unnest(w.weights) x WHERE NOT abs(x) < 1000), 0::bigint, 'and weights are finite');
SELECT * FROM finish();
ROLLBACK;

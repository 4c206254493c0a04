-- Orders that come, change, are cancelled and paid back alter the counts of
-- their own pairs; the result is that of counting everything anew.
BEGIN;
\ir ../event/shop.psql
SELECT plan(19);
SET LOCAL timezone = 'UTC';
SET LOCAL ecauto.timezone = 'UTC';
SET LOCAL ecauto.clock = '2026-06-15 00:00+00';
SELECT setseed(0.42);

DELETE FROM orders;
DELETE FROM order_line;
INSERT INTO product SELECT i, 'Thing ' || i, NULL, NULL, true FROM generate_series(100, 260) i;
INSERT INTO variant SELECT i, i, 'W' || i FROM generate_series(100, 260) i;
INSERT INTO stock SELECT i, 'main', 5 FROM generate_series(100, 260) i;
CREATE SEQUENCE line_id START 100000;
-- n orders with up to seven lines of skus in a range, some twice, some of no units
CREATE FUNCTION place(ids int4range, low int, high int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO orders (id, customer_id, total, placed)
	SELECT i, CASE WHEN random() < 0.8 THEN 1 + (random() * 5)::int END, 10, timestamptz '2026-06-01' + i * interval '1 minute'
	FROM generate_series(lower(ids), upper(ids) - 1) i;
	INSERT INTO order_line (id, order_id, variant_id, qty, unit_price)
	SELECT nextval('line_id'), i, low + (power(high - low, random()))::int - 1, CASE WHEN random() < 0.1 THEN -1 ELSE 1 END, 10
	FROM generate_series(lower(ids), upper(ids) - 1) i CROSS JOIN LATERAL generate_series(1, (random() * 7 + i * 0)::int) n;
$$;
-- everything that is counted, by keys
CREATE FUNCTION counted() RETURNS TABLE (what text, a text, b text) LANGUAGE sql AS $$
	WITH m AS (SELECT * FROM ecauto_data.recommend_model), i AS (SELECT i.* FROM ecauto_data.recommend_item i, m WHERE i.version = m.version)
	SELECT 'model', orders::text, pairs::text FROM m
	UNION ALL SELECT 'item', sku, orders::text FROM i WHERE orders > 0
	UNION ALL SELECT 'pair', i.sku, o.sku || ' ' || c.orders FROM ecauto_data.recommend_count r JOIN m ON m.version = r.version
		JOIN i ON i.no = r.item CROSS JOIN ecauto.pair_counts(r.pairs) c JOIN i o ON o.no = c.other
	UNION ALL SELECT 'list', i.sku, p.total || ' ' || (SELECT string_agg(o.sku || ':' || p.counts[x.place], ' ' ORDER BY x.place) FROM unnest(p.others) WITH ORDINALITY x (no, place) JOIN i o USING (no))
		FROM ecauto_data.recommend_pair p JOIN m ON m.version = p.version JOIN i ON i.no = p.item
	UNION ALL SELECT 'total', i.sku, t.totals[1 + i.no % 400]::text FROM ecauto_data.recommend_total t JOIN m ON m.version = t.version
		JOIN i ON i.no / 400 = t.chunk WHERE t.totals[1 + i.no % 400] > 0
	UNION ALL SELECT 'basket', k.key, coalesce((SELECT string_agg(i.sku, ' ' ORDER BY i.sku) FROM unnest(r.items) WITH ORDINALITY y (no, place) JOIN i USING (no)
			WHERE y.place > before AND y.place <= before + k.size), '')
		FROM ecauto_data.recommend_basket r JOIN m ON m.version = r.version
		CROSS JOIN LATERAL (SELECT key, size, sum(size) OVER (ORDER BY place) - size AS before
			FROM unnest(r.orders, r.sizes) WITH ORDINALITY u (key, size, place)) k;
$$;
CREATE FUNCTION answers() RETURNS TABLE (what text, sku text, answer text) LANGUAGE sql AS $$
	SELECT 'also_bought', v.id::text, (SELECT string_agg(a::text, ';') FROM ecauto.also_bought(v.id::text, 100) a) FROM variant v
	UNION ALL SELECT 'similar', v.id::text, (SELECT string_agg(a::text, ';') FROM ecauto.similar(v.id::text, 20) a) FROM variant v;
$$;

SELECT place(int4range(1, 601), 100, 180);
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.build_recommendations() \g /dev/null
UPDATE ecauto_data.recommend_model SET rebuild_every = NULL, rebuild_share = NULL;
SELECT is((SELECT count(*) FROM ecauto_data.order_changed), 0::bigint, 'a build empties the queue');
CREATE TEMP TABLE model AS SELECT * FROM ecauto_data.recommend_model;

-- ---- a thousand changes, in ticks of their own ----
-- new orders, of skus that were never bought as well
SELECT place(int4range(601, 901), 95, 259);
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT orders FROM ecauto_data.recommend_model), 900::bigint, 'orders that came are counted by the tick');
SELECT ok((SELECT skus > built_skus FROM ecauto_data.recommend_model), 'and skus that nobody had bought');
-- some are cancelled, some paid back, some have other lines
UPDATE orders SET cancelled = true WHERE id IN (SELECT id FROM orders ORDER BY random() LIMIT 250);
SELECT ecauto.tick() \g /dev/null
UPDATE orders SET refunded = total, paid = total WHERE id IN (SELECT id FROM orders ORDER BY random() LIMIT 150);
DELETE FROM order_line WHERE order_id IN (SELECT id FROM orders ORDER BY random() LIMIT 100) AND random() < 0.5;
UPDATE order_line SET variant_id = 100 + (random() * 150)::int WHERE order_id IN (SELECT id FROM orders ORDER BY random() LIMIT 100);
UPDATE orders SET total = total + 1 WHERE id IN (SELECT order_id FROM order_line);
SELECT ecauto.tick() \g /dev/null
-- some come back, some are deleted
UPDATE orders SET cancelled = false WHERE cancelled AND random() < 0.3;
DELETE FROM orders WHERE id IN (SELECT id FROM orders ORDER BY random() LIMIT 50);
SELECT place(int4range(901, 1001), 100, 140);
SELECT ecauto.tick() \g /dev/null
CREATE TEMP TABLE brought AS SELECT * FROM counted();
CREATE TEMP TABLE answered AS SELECT * FROM answers();
SELECT is((SELECT version FROM ecauto_data.recommend_model), (SELECT version FROM model), 'nothing was built meanwhile');
SELECT ok((SELECT count(*) > 3000 FROM brought WHERE what = 'pair'), 'pairs enough to tell');
SELECT ecauto.build_recommendations() \g /dev/null
SELECT is_empty($$ (SELECT * FROM brought EXCEPT ALL SELECT * FROM counted()) UNION ALL (SELECT * FROM counted() EXCEPT ALL SELECT * FROM brought) $$,
	'counted anew, all numbers are the same');
SELECT is_empty($$ (SELECT * FROM answered EXCEPT ALL SELECT * FROM answers()) UNION ALL (SELECT * FROM answers() EXCEPT ALL SELECT * FROM answered) $$,
	'and so is every answer, to the last digit');
CREATE TEMP TABLE joined AS SELECT a.sku AS a, b.sku || ' ' || count(*) AS b
	FROM ecauto_data.order_item a JOIN ecauto_data.order_item b ON b.order_key = a.order_key AND b.sku <> a.sku
	JOIN ecauto_data.seen_order o ON o.key = a.order_key
	WHERE a.qty > 0 AND b.qty > 0 AND NOT o.cancelled GROUP BY a.sku, b.sku;
SELECT is_empty($$ (SELECT a, b FROM brought WHERE what = 'pair' EXCEPT ALL SELECT * FROM joined)
	UNION ALL (SELECT * FROM joined EXCEPT ALL SELECT a, b FROM brought WHERE what = 'pair') $$, 'and as a self-join counts them');

-- ---- nothing new ----
CREATE TEMP TABLE before AS SELECT ctid AS place, item FROM ecauto_data.recommend_count;
INSERT INTO ecauto_data.order_changed SELECT id FROM orders;
INSERT INTO ecauto_data.order_changed VALUES ('no such order');
SELECT is(ecauto.refresh_recommendations(), 0::bigint, 'told of all orders for nothing');
SELECT is((SELECT count(*) FROM ecauto_data.order_changed), 0::bigint, 'the queue is empty');
SELECT is_empty($$ SELECT ctid, item FROM ecauto_data.recommend_count EXCEPT SELECT * FROM before $$, 'no row was written');

-- ---- orders of tests ----
SELECT is(ecauto.exclude_orders(ARRAY(SELECT id::text FROM orders WHERE NOT cancelled ORDER BY id LIMIT 100) || NULL), 100::bigint, 'orders that do not count');
SELECT is(ecauto.refresh_recommendations(), 100::bigint, 'are taken out of the counts');
CREATE TEMP TABLE without AS SELECT * FROM counted();
SELECT ecauto.build_recommendations() \g /dev/null
SELECT is_empty($$ (SELECT * FROM without EXCEPT ALL SELECT * FROM counted()) UNION ALL (SELECT * FROM counted() EXCEPT ALL SELECT * FROM without) $$, 'as a build leaves them out');
SELECT is(ecauto.exclude_orders(ARRAY(SELECT id::text FROM orders), false), 100::bigint, 'they count again');
SELECT is(ecauto.refresh_recommendations(), 100::bigint, 'and are put back');
SELECT is_empty($$ (SELECT * FROM brought EXCEPT ALL SELECT * FROM counted()) UNION ALL (SELECT * FROM counted() EXCEPT ALL SELECT * FROM brought) $$, 'as if nothing had been');

-- ---- by time, and when much has changed ----
INSERT INTO orders (id, customer_id, total, placed) VALUES (2000, 1, 10, '2026-06-16');
INSERT INTO order_line (id, order_id, variant_id, qty, unit_price) VALUES (1, 2000, 100, 1, 10), (2, 2000, 101, 1, 10);
SELECT ecauto.tick() \g /dev/null
SET LOCAL ecauto.clock = '2026-06-17 00:00+00';
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT m.orders - b.a::int FROM ecauto_data.recommend_model m, brought b WHERE b.what = 'model'), 1::bigint, 'an order counts when its time has come');
UPDATE ecauto_data.recommend_model SET rebuild_share = 0.01;
UPDATE orders SET cancelled = true WHERE id <= 50;
SELECT ecauto.tick() \g /dev/null
SELECT ok((SELECT n.version > m.version AND n.changed = 0 FROM ecauto_data.recommend_model n, model m), 'more than a hundredth changed: built anew');
SELECT * FROM finish();
ROLLBACK;

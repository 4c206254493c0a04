-- What customers buy and do can be asked about in conditions, and is not collected of who objects.
BEGIN;
\ir ../event/shop.psql
SELECT plan(35);
SET LOCAL timezone = 'UTC';
SET LOCAL ecauto.timezone = 'UTC';
SET LOCAL ecauto.clock = '2026-06-15 00:00+00';
CREATE FUNCTION members(name text, at timestamptz DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(m, ' ' ORDER BY m COLLATE "C"), '') FROM ecauto.segment_members(name, at) m $$;

-- ---- purchases and categories ----
SELECT is((SELECT string_agg(customer || ':' || sku || ':' || product || ':' || qty || ':' || amount, ' ' ORDER BY customer) FROM ecauto_data.purchase),
	'1:1:1:1:10 2:1:1:1:10 3:1:1:1:10 4:1:1:1:10 5:1:1:1:10', 'lines of the shop''s history');
CREATE TABLE category (id text PRIMARY KEY, parent text, title text);
CREATE TABLE in_category (product_id int, category text);
INSERT INTO category VALUES ('wear', NULL, 'Wear'), ('shoes', 'wear', 'Shoes'), ('toys', NULL, 'Toys'), ('a', 'b', 'Circle'), ('b', 'a', 'Circle');
INSERT INTO in_category VALUES (2, 'shoes'), (3, 'toys'), (4, 'a');
SELECT ecauto.bind_role('category', 'SELECT id AS key, parent AS parent_key, title FROM category') \g /dev/null
SELECT ecauto.bind_role('product_category', 'SELECT product_id AS key, category AS category_key FROM in_category') \g /dev/null
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (11, 1, NULL, 60, '2026-06-01 12:00+00'), (12, 2, NULL, 30, '2026-06-02 12:00+00'),
	(13, NULL, 'guest@shop.example', 20, '2026-06-03 12:00+00');
INSERT INTO order_line VALUES (11, 11, 2, 2, 20), (12, 11, 2, 1, 20), (13, 12, 3, 1, 30), (14, 13, 2, 1, 20);
SET LOCAL ecauto.clock = '2026-06-15 02:00+00';
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT string_agg(qty || '/' || amount, ' ') FROM ecauto_data.purchase WHERE customer = '1' AND sku = '2'), '3/60', 'lines of one sku are summed');
SELECT is((SELECT string_agg(sku, ' ') FROM ecauto_data.purchase WHERE customer = 'guest@shop.example'), '2', 'of guests too');
SELECT is((SELECT string_agg(category || product, ' ' ORDER BY category, product) FROM ecauto_data.category_product), 'a4 b4 shoes2 toys3 wear2', 'a product is in the categories above, and a circle ends');
SELECT ecauto.create_segment('wear30', $$ EXISTS (SELECT FROM ecauto_data.purchase p JOIN ecauto_data.category_product c ON c.product = p.product
	WHERE p.customer = customer.key AND c.category = 'wear' AND p.placed_at BETWEEN ecauto.now() - interval '30 days' AND ecauto.now()) $$) \g /dev/null
SELECT ecauto.create_segment('three of sku 2', $$ (SELECT sum(p.qty) FROM ecauto_data.purchase p WHERE p.customer = customer.key AND p.sku = '2') >= 3 $$) \g /dev/null
SELECT is(members('wear30'), '1 guest@shop.example', 'bought from a category in a window');
SELECT is(members('wear30', '2026-07-01 12:00+00'), '1 guest@shop.example', 'to its last instant');
SELECT is(members('wear30', '2026-07-01 12:00:00.000001+00'), 'guest@shop.example', 'and no longer');
SELECT is(members('three of sku 2'), '1', 'units of a sku');
UPDATE orders SET cancelled = true WHERE id = 13;
SELECT ecauto.tick() \g /dev/null
SELECT is(members('wear30'), '1', 'a cancelled purchase is none');

-- ---- behaviour ----
SELECT ecauto.track('view', '3', '2') \g /dev/null
SELECT ecauto.track('view', NULL, '3', NULL, 'session 1') \g /dev/null
SELECT ecauto.create_segment('looked', $$ EXISTS (SELECT FROM ecauto_data.behaviour b WHERE b.customer = customer.key AND b.kind = 'view' AND b.at >= ecauto.now() - interval '7 days') $$) \g /dev/null
SELECT is(members('looked'), '3', 'looked at something');
SELECT ecauto.identify('session 1', '4') \g /dev/null
SELECT is(members('looked'), '3 4', 'in a session that turned out to be his');
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.track('view', '5', '2') \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT string_agg(customer, ' ') FROM ecauto.events(kind => 'segment.entered') WHERE key = 'looked' AND customer = '5'), '5', 'a tick sees what was told');
SET LOCAL ecauto.clock = '2026-06-23 00:00+00';
SELECT is(members('looked'), '', 'a week later nobody did');
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT string_agg(customer, ' ' ORDER BY customer) FROM ecauto.events(kind => 'segment.left') WHERE key = 'looked'), '3 4 5', 'and that is told, a day later at most');

-- ---- interests ----
SET LOCAL ecauto.clock = '2026-07-01 12:00+00';
SELECT ecauto.track('view', '1', '3', NULL, NULL, '2026-07-01 12:00+00') \g /dev/null
SELECT results_eq($$ SELECT category, round(weight::numeric, 6), views, purchases FROM ecauto.interests('1') $$,
	$$ VALUES ('shoes', 2.5, 0::bigint, 1::bigint), ('wear', 2.5, 0, 1), ('toys', 1, 1, 0) $$, 'a purchase weighs 5 and half of it a month later, a view 1');
SELECT is(round(ecauto.interest('1', 'toys', '2026-07-31 12:00+00')::numeric, 6), 0.5, 'at another instant');
SELECT is(ecauto.interest('1', 'toys', '2026-07-01 11:59+00'), 0::float8, 'not before');
SELECT ecauto.create_segment('likes wear', $$ ecauto.interest(customer.key, 'wear', ecauto.now()) > 2 $$) \g /dev/null
SELECT is(members('likes wear'), '1', 'in a condition');

-- ---- objection ----
SELECT ok(ecauto.opt_out_of_profiling('3'), 'an objection');
SELECT ok(NOT ecauto.opt_out_of_profiling('3'), 'once');
SELECT ecauto.identify('session 3', '3') \g /dev/null
SELECT is(ecauto.track('view', '3', '2'), NULL, 'nothing is collected');
SELECT is(ecauto.track('view', NULL, '2', NULL, 'session 3'), NULL, 'nor in his session');
SELECT is((SELECT count(*) FROM ecauto.events() WHERE (customer = '3' OR session = 'session 3') AND at = ecauto.now() AND role IS NULL), 0::bigint, 'nothing');
SELECT is((SELECT count(*) FROM ecauto_data.behaviour WHERE customer = '3'), 0::bigint, 'and what was counts no more');
SELECT ok(ecauto.track('view', '4', '2') IS NOT NULL, 'of others it is');
SELECT ok(ecauto.allow_profiling('3'), 'taken back');
SELECT ok(ecauto.track('view', '3', '2') IS NOT NULL, 'it is again');

-- ---- life cycle ----
INSERT INTO customer VALUES (6, 'lead@shop.example', '2026-06-01');
DELETE FROM orders WHERE id IN (2, 3);
INSERT INTO orders (id, customer_id, total, placed) VALUES
	(21, 7, 10, '2026-01-01'), (22, 7, 10, '2026-01-11'), (23, 7, 10, '2026-01-21'), (24, 7, 10, '2026-04-01'),
	(31, 8, 10, '2026-01-01');
INSERT INTO customer VALUES (7, 'seven@shop.example'), (8, 'eight@shop.example');
SELECT ecauto.tick() \g /dev/null
CREATE FUNCTION stage(k text, at timestamptz) RETURNS text LANGUAGE sql AS $$
	SELECT stage || ' ' || since::date || coalesce(' ' || until::date, '') FROM ecauto.customer_stages(ARRAY[k], at) $$;
SELECT is(stage('6', '2026-06-15'), 'lead 2026-06-01', 'lead');
SELECT is(stage('8', '2026-02-01'), 'first order 2026-01-01 2026-06-30', 'first order');
SELECT is(stage('7', '2026-01-25'), 'repeat 2026-01-11 2026-02-10', 'repeat');
SELECT is(stage('7', '2026-02-15'), 'at risk 2026-02-10 2026-03-02', 'at risk: two gaps of his own');
SELECT is(stage('7', '2026-03-15'), 'lost 2026-03-02', 'lost');
SELECT is(stage('7', '2026-04-02'), 'won back 2026-04-01 2026-04-21', 'won back');
-- scenario 5: one orders every 10 days, the other every 90
INSERT INTO orders (id, customer_id, total, placed) SELECT 100 + i, 3, 1, timestamptz '2026-07-01' - interval '25 days' - i * interval '10 days' FROM generate_series(0, 5) i;
INSERT INTO orders (id, customer_id, total, placed) SELECT 200 + i, 4, 1, timestamptz '2026-07-01' - interval '60 days' - i * interval '90 days' FROM generate_series(0, 5) i;
DELETE FROM orders WHERE id IN (3, 4);
UPDATE orders SET cancelled = true WHERE id < 10;
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.create_segment('late', 'ecauto.now() - customer.last_order_at > 2 * customer.median_gap') \g /dev/null
SELECT ecauto.create_segment('silent', $$ customer.last_order_at < ecauto.now() - interval '30 days' $$) \g /dev/null
SELECT is((SELECT string_agg(m, ' ') FROM ecauto.segment_members('late', '2026-07-01') m WHERE m IN ('3', '4')), '3', 'late by two of the own gaps');
SELECT is((SELECT string_agg(m, ' ') FROM ecauto.segment_members('silent', '2026-07-01') m WHERE m IN ('3', '4')), '4', 'silent for 30 days');

SELECT * FROM finish();
ROLLBACK;

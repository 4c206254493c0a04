-- An explanation agrees with membership, names what is missing, and when time will change it.
BEGIN;
\ir ../event/shop.psql
SELECT plan(30);
SET LOCAL timezone = 'UTC';
SET LOCAL ecauto.timezone = 'UTC';
SET LOCAL ecauto.clock = '2026-06-15 00:00+00';

-- ---- one customer ----
ALTER TABLE customer ADD born date, ADD country text;
SELECT ecauto.bind_role('customer', $$ SELECT id AS key, mail AS email, born AS birth_date, country, created AS created_at FROM customer $$) \g /dev/null
INSERT INTO orders (id, customer_id, total, placed) VALUES (11, 1, 30, '2026-06-01 12:00+00'), (12, 1, 40.50, '2026-06-10 12:00+00'),
	(13, 2, 100, '2026-06-20 00:00+00');
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.create_segment('three', $$ customer.orders_count_30d >= 3 AND customer.email LIKE '%@shop.example' $$) \g /dev/null
SELECT ecauto.create_segment('spent', 'customer.spent_total > 100 OR customer.orders_count >= 4') \g /dev/null
SELECT ecauto.create_segment('lapsing', $$ customer.last_order_at < ecauto.now() - interval '60 days' $$) \g /dev/null
SELECT ecauto.create_segment('nested', 'segment.three OR segment.lapsing') \g /dev/null
SELECT ecauto.create_segment('vip', 'customer.spent_total >= 80', 'customer.spent_total < 50') \g /dev/null
SELECT ecauto.create_segment_list('friends', ARRAY['1']) \g /dev/null

SELECT results_eq($$ SELECT path, depth, expression, result, operands, remedy, near_miss FROM ecauto.explain_segment('three', '1') $$,
	$$ VALUES ('1', 0, '(customer.orders_count_30d >= 3) AND (customer.email ~~ ''%@shop.example'')', false, NULL::jsonb, '1.1 must become true', '1 more order'),
		('1.1', 1, 'customer.orders_count_30d >= 3', false, '{"customer.orders_count_30d": 2}', 'customer.orders_count_30d must rise by 1 to 3', '1 more order'),
		('1.2', 1, 'customer.email ~~ ''%@shop.example''', true, '{"customer.email": "c1@shop.example"}', NULL, NULL) $$, 'a tree with the values, and what is missing');
SELECT is((SELECT near_miss FROM ecauto.explain_segment('three', '2') WHERE path = '1'), '3 more orders', 'further off');
SELECT is((SELECT near_miss FROM ecauto.explain_segment('spent', '1') WHERE path = '1'), 'more than 19.5 EUR more or 1 more order', 'one or the other, and beyond a limit');
SELECT is((SELECT near_miss FROM ecauto.explain_segment('vip', '3') WHERE path = '1.1'), '70 EUR more', 'an amount');
SELECT is((SELECT result FROM ecauto.explain_segment('spent', 'nobody') WHERE path = '1'), false, 'nobody is in no segment');
SELECT is((SELECT remedy FROM ecauto.explain_segment('spent', 'nobody')), 'the customer must be known', 'and that is why');
SELECT is((SELECT string_agg(path || '=' || result, ' ' ORDER BY path) FROM ecauto.explain_segment('nested', '1')),
	'1=false 1.1=false 1.1.1=false 1.1.1.1=false 1.1.1.2=true 1.2=false 1.2.1=false', 'a segment of segments is followed by their trees');
SELECT is((SELECT string_agg(path || '=' || result, ' ' ORDER BY path) FROM ecauto.explain_segment('vip', '1')),
	'1=true 1.1=true 1.2=false', 'with a condition to leave both are shown');
SELECT is((SELECT string_agg(path || '=' || result, ' ' ORDER BY path) FROM ecauto.explain_segment('friends', '1')), '1=true', 'a list has no parts');
SELECT is((SELECT remedy FROM ecauto.explain_segment('friends', '2')), 'the customer must be added to the list', 'but a remedy');
SELECT throws_ok($$ SELECT ecauto.explain_segment('thre', '1') $$, '42704', NULL, 'no such segment');

-- ---- when time changes it: proved by the clock ----
SELECT is((SELECT enters_at FROM ecauto.explain_segment('lapsing', '1') WHERE path = '1'), '2026-08-09 12:00:00.000001+00', 'when he enters by time alone');
SELECT is((SELECT enters_at FROM ecauto.explain_segment('nested', '1') WHERE path = '1'), '2026-08-09 12:00:00.000001+00', 'through another segment');
SET LOCAL ecauto.clock = '2026-08-09 12:00:00+00';
SELECT ok(NOT ecauto.in_segment('1', 'lapsing'), 'not a microsecond before');
SET LOCAL ecauto.clock = '2026-08-09 12:00:00.000001+00';
SELECT ok(ecauto.in_segment('1', 'lapsing'), 'but then');
SELECT is((SELECT leaves_at FROM ecauto.explain_segment('lapsing', '1') WHERE path = '1'), NULL, 'for good');
SET LOCAL ecauto.clock = '2026-06-15 00:00+00';
SELECT is((SELECT enters_at FROM ecauto.explain_segment('spent', '2') WHERE path = '1'), '2026-06-20 00:00+00', 'by an order in the future');
SELECT is((SELECT enters_at FROM ecauto.explain_segment('three', '2') WHERE path = '1'), NULL, 'never');

-- daylight saving: 30 days of local time
SET LOCAL ecauto.timezone = 'Europe/Warsaw';
INSERT INTO orders (id, customer_id, total, placed) VALUES (14, 3, 1, '2026-10-10 12:00 Europe/Warsaw');
SET LOCAL ecauto.clock = '2026-10-20 00:00+00';
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.create_segment('recent', $$ customer.last_order_at >= ecauto.now() - interval '30 days' $$) \g /dev/null
SELECT ecauto.create_segment('recent_count', 'customer.orders_count_30d > 0') \g /dev/null
SELECT is((SELECT leaves_at FROM ecauto.explain_segment('recent', '3') WHERE path = '1'), '2026-11-09 12:00:00.000001 Europe/Warsaw', 'through the end of daylight saving');
SELECT is((SELECT leaves_at FROM ecauto.explain_segment('recent_count', '3') WHERE path = '1'), '2026-11-09 12:00:00.000001 Europe/Warsaw', 'a count too');

-- ---- a thousand customers at random (scenario 4) ----
SET LOCAL ecauto.timezone = 'UTC';
SELECT setseed(0.7) \g /dev/null
INSERT INTO customer SELECT 1000 + i, 'r' || i || '@shop.example', '2026-01-01',
	CASE WHEN random() < 0.8 THEN date '1960-01-01' + (random() * 20000)::int END,
	CASE WHEN random() < 0.9 THEN (ARRAY['PL', 'DE', 'it''s', '; DROP TABLE x --'])[1 + (random() * 3.99)::int] END
FROM generate_series(1, 1000) i;
INSERT INTO orders (id, customer_id, total, paid, refunded, cancelled, placed)
SELECT 10000 + i, 1000 + (1000 * random() ^ 2)::int, round((random() * 300)::numeric, 2), 10, CASE WHEN random() < 0.1 THEN 400 * random() ELSE 0 END,
	random() < 0.1, timestamptz '2026-10-20 00:00+00' - interval '1 day' * (random() * 400 - 5)
FROM generate_series(1, 3000) i;
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.create_segment('r1', $$ customer.country IN ('PL', '; DROP TABLE x --') AND NOT customer.orders_count_90d > 1 $$) \g /dev/null
SELECT ecauto.create_segment('r2', $$ date_part('year', age(ecauto.now(), customer.birth_date)) BETWEEN 25 AND 34 OR customer.country = 'it''s' $$) \g /dev/null
SELECT ecauto.create_segment('r3', $$ ecauto.now() - customer.last_order_at > 2 * customer.median_gap OR customer.last_order_at IS NULL $$) \g /dev/null
SELECT ecauto.create_segment('r4', $$ segment.r1 <> segment.r2 AND (customer.spent_total / nullif(customer.orders_count, 0) > 50) IS NOT FALSE $$) \g /dev/null
CREATE TABLE asked AS SELECT 'r' || 1 + row_number() OVER () % 4 AS seg, key
FROM (SELECT key FROM ecauto.customer_facts() WHERE key >= '1000' ORDER BY key LIMIT 1000) x;
CREATE TABLE said AS SELECT a.*, e.result, e.leaves_at, e.enters_at
FROM asked a, ecauto.explain_segment(a.seg, a.key) e WHERE e.path = '1';
SELECT is((SELECT count(*) FROM said), 1000::bigint, 'explained');
SELECT is((SELECT count(*) FROM said WHERE result <> ecauto.in_segment(key, seg)), 0::bigint, 'explain agrees with in_segment');
SELECT set_eq($$ SELECT seg, key FROM said WHERE result $$,
	$$ WITH m AS MATERIALIZED (SELECT seg, key FROM unnest(ARRAY['r1', 'r2', 'r3', 'r4']) seg, ecauto.segment_members(seg) key)
		SELECT seg, key FROM m WHERE (seg, key) IN (SELECT seg, key FROM said) $$, 'and with the members');
SELECT set_eq($$ SELECT seg, key FROM said WHERE result $$,
	$$ SELECT s.name, t.customer FROM ecauto_data.segment_state t JOIN ecauto_data.segment s ON s.segment_id = ANY (t.member_of)
	WHERE (s.name, t.customer) IN (SELECT seg, key FROM said) $$, 'and with what refreshes remember');
SELECT set_eq($$ SELECT key FROM said WHERE seg = 'r1' AND result $$,
	$$ SELECT c.id::text FROM customer c WHERE c.country IN ('PL', '; DROP TABLE x --')
		AND NOT (SELECT count(*) > 1 FROM orders o WHERE o.customer_id = c.id AND NOT cancelled AND placed BETWEEN timestamptz '2026-10-20 00:00+00' - interval '90 days' AND '2026-10-20 00:00+00')
		AND c.id::text IN (SELECT key FROM said WHERE seg = 'r1') $$, 'and with plain SQL');
SELECT cmp_ok((SELECT count(*) FROM said WHERE leaves_at IS NOT NULL), '>', 50::bigint, 'many leave by time');
SELECT is((SELECT count(*) FROM said WHERE leaves_at IS NOT NULL AND (NOT ecauto.in_segment(key, seg, leaves_at - interval '1 microsecond') OR ecauto.in_segment(key, seg, leaves_at))), 0::bigint,
	'each at that very microsecond');
SELECT is((SELECT count(*) FROM said WHERE enters_at IS NOT NULL AND (ecauto.in_segment(key, seg, enters_at - interval '1 microsecond') OR NOT ecauto.in_segment(key, seg, enters_at))), 0::bigint,
	'or enters');
SELECT is((SELECT count(*) FROM said WHERE result AND leaves_at IS NULL AND NOT ecauto.in_segment(key, seg, '2027-03-01 00:00+00')), 0::bigint, 'who is said to stay stays');

-- refreshing at each instant that refreshes themselves foresee gives the same as looking at all
SET LOCAL ecauto.clock = '2026-12-20 00:00+00';
SELECT ecauto.refresh_segments() \g /dev/null
CREATE TABLE step AS SELECT * FROM ecauto_data.segment_state;
SELECT ecauto.refresh_segments(true) \g /dev/null
SELECT set_eq('SELECT customer, member_of FROM ecauto_data.segment_state', 'SELECT customer, member_of FROM step', 'those whose time has come are all that change');

SELECT * FROM finish();
ROLLBACK;

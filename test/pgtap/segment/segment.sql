-- Membership is what the condition says at that instant, and edges are told once.
BEGIN;
\ir ../event/shop.psql
SELECT plan(84);
SET LOCAL timezone = 'UTC';
SET LOCAL ecauto.timezone = 'UTC';

-- edges told since the last call, by segment
CREATE TABLE edge_told (event_id uuid);
CREATE FUNCTION edges() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	PERFORM ecauto.tick();
	SELECT string_agg(CASE e.kind WHEN 'segment.entered' THEN '+' ELSE '-' END || e.key || '(' || e.customer || ')', ' '
		ORDER BY e.key COLLATE "C", e.customer COLLATE "C", e.event_id) INTO result
	FROM ecauto.events() e WHERE e.role = 'segment' AND e.event_id NOT IN (SELECT t.event_id FROM s.edge_told t);
	INSERT INTO s.edge_told SELECT e.event_id FROM ecauto.events() e WHERE e.role = 'segment'
		AND e.event_id NOT IN (SELECT t.event_id FROM s.edge_told t);
	RETURN coalesce(result, '');
END $$;
CREATE FUNCTION members(name text, at timestamptz DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(m, ' ' ORDER BY m COLLATE "C"), '') FROM ecauto.segment_members(name, at) m $$;

ALTER TABLE customer ADD born date, ADD country text;
SELECT ecauto.bind_role('customer', $$ SELECT id AS key, mail AS email, born AS birth_date, country, created AS created_at FROM customer $$) \g /dev/null
SET LOCAL ecauto.clock = '2026-06-15 00:00+00';
SELECT ecauto.tick() \g /dev/null

-- ---- ordered in the last 30 days (scenario 2) ----
UPDATE orders SET placed = '2026-06-01 12:00+00' WHERE id = 1;
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.create_segment('recent', $$ customer.last_order_at >= ecauto.now() - interval '30 days' $$) \g /dev/null
SELECT ecauto.create_segment('recent_count', 'customer.orders_count_30d >= 1') \g /dev/null
SELECT is(edges(), '', 'who is in a segment when it is made enters silently');
SELECT is(members('recent'), '1', 'and is in it');
SELECT ok(ecauto.in_segment('1', 'recent', '2026-07-01 11:59:59+00'), 'in at the last second');
SELECT ok(ecauto.in_segment('1', 'recent', '2026-07-01 12:00:00+00'), 'in at the last instant');
SELECT ok(NOT ecauto.in_segment('1', 'recent', '2026-07-01 12:00:00.000001+00'), 'out one microsecond later');
SELECT ok(NOT ecauto.in_segment('1', 'recent', '2026-05-31 12:00+00'), 'out before the order');
SELECT is(members('recent_count', '2026-07-01 11:59:59+00'), '1', 'a count of 30 days says the same');
SELECT is(members('recent_count', '2026-07-01 12:00:01+00'), '', 'a count of 30 days ends to the second');
SET LOCAL ecauto.clock = '2026-07-01 11:59:59+00';
SELECT is(edges(), '', 'nobody leaves early');
SELECT ok(ecauto.in_segment('1', 'recent'), 'by the clock');
SET LOCAL ecauto.clock = '2026-07-01 12:00:01+00';
SELECT ok(NOT ecauto.in_segment('1', 'recent'), 'the clock alone, no job, ends it');
SELECT is(edges(), '-recent(1) -recent_count(1)', 'a tick tells who left because time passed');
SELECT is((SELECT new ->> 'reason' FROM ecauto.events(kind => 'segment.left') WHERE key = 'recent'), 'time', 'with the reason');
SELECT is((SELECT new -> 'facts' ->> 'last_order_at' FROM ecauto.events(kind => 'segment.left') WHERE key = 'recent'), '2026-06-01T12:00:00+00:00', 'and the facts');
SELECT is(edges(), '', 'once');
SELECT is((SELECT count(*) FROM ecauto_data.segment_state WHERE next_change_at < 'infinity' AND next_change_at <= ecauto.now()), 0::bigint, 'nobody is due any more');

-- ---- age (scenario 2) ----
UPDATE customer SET born = '2000-02-29' WHERE id = 1;
UPDATE customer SET born = '2001-07-02' WHERE id = 2;
UPDATE customer SET born = 'infinity' WHERE id = 4;
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.create_segment('age25', $$ date_part('year', age(ecauto.now(), customer.birth_date)) BETWEEN 25 AND 34 $$) \g /dev/null
SELECT is(members('age25'), '1', '26 on the way, 24 not yet, unknown is not in');
SELECT is(members('age25', '2026-07-01 23:59:59+00'), '1', 'the evening before');
SELECT is(members('age25', '2026-07-02 00:00+00'), '1 2', 'on the birthday');
SELECT is(members('age25', '2025-02-28 23:59:59+00'), '', '29 February: not on 28 February');
SELECT is(members('age25', '2025-03-01 00:00+00'), '1', 'but on 1 March');
SELECT is(members('age25', '2035-02-28 23:59:59+00'), '1 2', 'until 35');
SELECT is(members('age25', '2035-03-01 00:00+00'), '2', 'in a year without 29 February');
SET LOCAL ecauto.clock = '2026-07-02 00:00+00';
SELECT is(edges(), '+age25(2)', 'entering by a birthday is told that day');
SELECT is((SELECT leaves_at FROM ecauto.explain_segment('age25', '2') WHERE path = '1'), '2036-07-02 00:00+00', 'and the end is known');
SELECT is((SELECT leaves_at FROM ecauto.explain_segment('age25', '1') WHERE path = '1'), '2035-03-01 00:00+00', 'for 29 February too');
SELECT is((SELECT enters_at FROM ecauto.explain_segment('age25', '2', '2026-06-01 00:00+00') WHERE path = '1'), '2026-07-02 00:00+00', 'and the beginning');

-- ---- hysteresis (scenario 3) ----
SELECT ecauto.create_segment('vip', 'customer.spent_total >= 1000', 'customer.spent_total < 800') \g /dev/null
INSERT INTO orders (id, customer_id, total, placed) VALUES (11, 1, 980, '2026-07-01');
SELECT is(edges() || '|' || members('vip'), '+recent(1) +recent_count(1)|', '990');
UPDATE orders SET total = 1000 WHERE id = 11;
SELECT is(edges() || '|' || members('vip'), '+vip(1)|1', '1010: enters');
SELECT is((SELECT new -> 'facts' -> 'spent_total' FROM ecauto.events(kind => 'segment.entered') WHERE key = 'vip'), '1010', 'because of that');
UPDATE orders SET total = 980 WHERE id = 11;
SELECT is(edges() || '|' || members('vip'), '|1', '990: stays');
SELECT is(ecauto.refresh_segments()::text, '(0,0,0,0)', 'a refresh without change looks at nobody');
SELECT is(ecauto.refresh_segments(true)::text, '(,0,0,0)', 'a full one tells nothing');
SELECT is(edges(), '', 'nothing');
UPDATE orders SET total = 780 WHERE id = 11;
SET LOCAL ecauto.clock = '2026-07-03 00:00+00';
SELECT is(edges() || '|' || members('vip'), '-vip(1)|', '790: leaves');
UPDATE orders SET total = 980 WHERE id = 11;
SELECT is(edges() || '|' || members('vip'), '|', '990: does not enter');
UPDATE orders SET total = 995 WHERE id = 11;
SET LOCAL ecauto.clock = '2026-07-04 00:00+00';
SELECT is(edges() || '|' || members('vip'), '+vip(1)|1', '1005: enters');
INSERT INTO orders (id, customer_id, total, paid, placed) VALUES (15, 5, 890, 890, '2026-07-01'), (16, 5, 110, 110, '2026-07-01');
SELECT is(edges() || '|' || members('vip'), '+recent(5) +recent_count(5) +vip(5)|1 5', 'another enters');
SET LOCAL ecauto.clock = '2026-07-04 01:00+00';
UPDATE orders SET refunded = 110 WHERE id = 16;
SELECT is(edges() || '|' || members('vip'), '|1 5', 'and stays with 900');
SET LOCAL ecauto.clock = '2026-07-04 02:00+00';
UPDATE orders SET refunded = 200 WHERE id = 15;
SELECT is(edges() || '|' || members('vip'), '-vip(5)|1', 'and leaves with 700');
SELECT is((SELECT string_agg(left(ecauto.in_segment('5', 'vip', t)::text, 1), '' ORDER BY t) FROM unnest(ARRAY['2026-06-30 00:00+00', '2026-07-04 00:30+00', '2026-07-04 01:30+00', '2026-07-04 02:30+00']::timestamptz[]) t),
	'fttf', 'how it was is known from facts and events');
SELECT ecauto.alter_segment('recent', $$ customer.last_order_at >= ecauto.now() - interval '30 days' AND customer.key <> '5' $$) \g /dev/null
SELECT ecauto.alter_segment('recent_count', $$ customer.orders_count_30d >= 1 AND customer.key <> '5' $$) \g /dev/null
SELECT is(edges(), '-recent(5) -recent_count(5)', 'conditions altered');

-- ---- segments of segments ----
SELECT ecauto.create_segment('recent_vip', 'segment.vip AND segment.recent') \g /dev/null
SELECT ecauto.create_segment('other', 'NOT segment.recent_vip AND customer.orders_count > 0') \g /dev/null
SELECT is(members('recent_vip') || '|' || members('other'), '1|2 3 4 5', 'conditions may speak of segments');
SELECT throws_ok($$ SELECT ecauto.drop_segment('vip') $$, '2BP01', 'segment "vip" is part of another', 'which cannot be dropped then');
SELECT throws_ok($$ SELECT ecauto.alter_segment('vip', 'segment.other') $$, '42P17', NULL, 'a circle is refused');
SELECT throws_ok($$ SELECT ecauto.alter_segment('vip', 'segment.vip') $$, '42P17', NULL, 'the smallest one too');
SELECT throws_ok($$ SELECT ecauto.create_segment('self', 'segment.self') $$, '42703', NULL, 'a new segment does not know itself');
UPDATE orders SET total = 0 WHERE id = 11;
SELECT is(edges(), '+other(1) -recent_vip(1) -vip(1)', 'they follow each other');
SELECT ecauto.alter_segment('other', 'customer.orders_count > 10') \g /dev/null
SELECT is(edges(), '-other(1) -other(2) -other(3) -other(4) -other(5)', 'another condition tells who leaves by it');
SELECT is((SELECT DISTINCT new ->> 'reason' FROM ecauto.events(kind => 'segment.left') WHERE key = 'other'), 'definition', 'and why');
SELECT lives_ok($$ SELECT ecauto.drop_segment('other') $$, 'dropped');
SELECT is(edges(), '', 'silently');

-- ---- what a condition reads and says ----
SELECT ecauto.create_segment('country', $$ customer.country = '''; DROP TABLE x --' $$) \g /dev/null
UPDATE customer SET country = '''; DROP TABLE x --' WHERE id = 3;
SELECT is(edges() || members('country'), '+country(3)3', 'a value is a value (scenario 6)');
CREATE TABLE wish (customer text, sku text);
INSERT INTO wish VALUES ('2', 'A'), ('4', 'A');
SELECT ecauto.create_segment('wishing', $$ EXISTS (SELECT FROM s.wish w WHERE w.customer = customer.key) AND customer.orders_count > 0 $$) \g /dev/null
SELECT is(members('wishing'), '2 4', 'a subquery runs as the definer, for all at once');
SELECT ok(ecauto.in_segment('2', 'wishing') AND NOT ecauto.in_segment('3', 'wishing'), 'and for one');
SELECT is((SELECT result FROM ecauto.explain_segment('wishing', '4') WHERE path = '1'), true, 'and is explained');
DELETE FROM wish WHERE customer = '2';
UPDATE orders SET paid = paid + 1 WHERE id = 2;
SELECT is(edges(), '-wishing(2)', 'it is asked again when something about the customer changes');
SELECT throws_ok($$ SELECT ecauto.create_segment('mixed', 'segment.vip AND EXISTS (SELECT FROM s.wish w)') $$, '0A000', NULL, 'not together with other segments');
SELECT throws_ok($$ SELECT ecauto.create_segment('vip', 'true') $$, '42710', 'segment "vip" already exists', 'a name is given once');
SELECT throws_ok($$ SELECT ecauto.create_segment('bad', 'customer.orders_cuont > 1') $$, '42703', NULL, 'unknown columns');
SELECT throws_like($$ SELECT ecauto.create_segment('bad', '1 / (customer.orders_count - customer.orders_count) > 0') $$, '%division by zero%', 'a condition that fails for somebody is refused');
SELECT throws_ok($$ SELECT ecauto.in_segment('1', 'vipp') $$, '42704', 'segment "vipp" does not exist', 'no such segment');
SELECT ok(NOT ecauto.in_segment('nobody', 'vip'), 'nobody is in no segment');
SELECT ok(ecauto.in_segment(NULL, 'vip') IS NULL, 'NULL is NULL');

-- ---- a condition that begins to fail ----
SELECT ecauto.create_segment('ratio', '10 / customer.orders_count >= 10') \g /dev/null
SELECT is(members('ratio'), '2 3 4', 'those with one order');
INSERT INTO customer VALUES (6, 'c6@shop.example');
INSERT INTO orders (id, customer_id, total, placed) VALUES (20, 2, 1000, '2026-07-03');
SELECT is(edges(), '+recent(2) +recent_count(2) +recent_vip(2) +vip(2)', 'fails for a customer without: the others go on');
SELECT is((SELECT broken_message FROM ecauto_data.segment WHERE name = 'ratio'), 'division by zero', 'it is marked');
UPDATE orders SET paid = paid + 1 WHERE id = 3;
SELECT is(edges() || (SELECT broken_message FROM ecauto_data.segment WHERE name = 'ratio'), 'division by zero', 'and left alone');
SELECT ecauto.alter_segment('ratio', 'CASE WHEN customer.orders_count > 0 THEN 10 / customer.orders_count >= 10 END') \g /dev/null
SELECT is(edges() || members('ratio'), '-ratio(2)3 4', 'mended, it tells what was missed');

-- ---- lists and snapshots ----
SELECT is(ecauto.create_segment_list('friends', ARRAY['1', '2']), 2::bigint, 'a list');
SELECT is(edges() || members('friends'), '1 2', 'silently');
SET LOCAL ecauto.clock = '2026-07-05 00:00+00';
SELECT is(ecauto.add_to_segment('friends', ARRAY['2', '3', '3']), 1::bigint, 'adding');
SELECT is(ecauto.remove_from_segment('friends', ARRAY['1', '5']), 1::bigint, 'and taking away');
SELECT is(edges() || members('friends'), '-friends(1) +friends(3)2 3', 'is told');
SELECT is(members('friends', '2026-07-04 12:00+00'), '1 2', 'how it was is known');
SELECT ecauto.create_segment('friendly', 'segment.friends AND customer.spent_total > 500') \g /dev/null
SELECT is(members('friendly'), '2', 'conditions speak of lists');
SELECT is(ecauto.snapshot_segment('recent', 'recent in July'), 2::bigint, 'a snapshot');
SET LOCAL ecauto.clock = '2026-12-01 00:00+00';
SELECT is(members('recent') || '|' || members('recent in July'), '|1 2', 'stays');
SELECT throws_ok($$ SELECT ecauto.add_to_segment('vip', ARRAY['1']) $$, '42809', 'segment "vip" is not a list', 'a condition is no list');
SELECT results_eq($$ SELECT segment, other, members, other_members, common, round(share::numeric, 3) FROM ecauto.segment_overlap() WHERE segment = 'friends' AND other = 'recent in July' $$,
	$$ VALUES ('friends', 'recent in July', 2::bigint, 2::bigint, 1::bigint, 0.333) $$, 'overlap');

-- ---- customers that go ----
DELETE FROM customer WHERE id = 6;
INSERT INTO customer VALUES (7, 'c7@shop.example');
SELECT ecauto.create_segment('no orders', 'customer.orders_count = 0') \g /dev/null
SELECT edges() \g /dev/null
SELECT is(members('no orders'), '7', 'customers without orders');
DELETE FROM customer WHERE id = 7;
SELECT is(edges() || members('no orders'), '-no orders(7)', 'who is gone is in no segment');
SELECT throws_ok($$ SELECT ecauto.track('segment.entered') $$, '42939', NULL, 'nobody makes up such events');
SELECT lives_ok(ecauto.segment_sql('recent_vip'), 'the query of a segment runs');

SELECT * FROM finish();
ROLLBACK;

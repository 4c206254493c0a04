-- Points lose weight by the half-life, are exact at any instant, are taken back, and cross thresholds once.
BEGIN;
\ir ../event/shop.psql
SELECT plan(34);
SET LOCAL timezone = 'UTC';
CREATE FUNCTION s(c text, at timestamptz DEFAULT NULL) RETURNS numeric LANGUAGE sql AS $$ SELECT round(ecauto.score(c, at)::numeric, 4) $$;

SELECT ecauto.create_score_rule('purchase', '{"on": "order.placed", "points": 20, "half_life": "30 days"}') \g /dev/null
SELECT ecauto.create_score_rule('visit', '{"on": "visit", "points": 5, "half_life": "30 days"}') \g /dev/null
SELECT ecauto.create_score_rule('click', '{"on": "click", "points": 3, "half_life": "30 days"}') \g /dev/null

-- ---- a purchase sixty days ago, a visit thirty days ago, a click today ----
SET LOCAL ecauto.clock = '2026-06-01 12:00+00';
INSERT INTO orders (id, customer_id, mail, total, paid, placed) VALUES (11, 1, 'c1@shop.example', 100, 100, '2026-06-01 12:00+00');
SELECT news() \g /dev/null
SET LOCAL ecauto.clock = '2026-07-01 12:00+00';
SELECT ecauto.track('visit', '1') \g /dev/null
SELECT ecauto.tick() \g /dev/null
SET LOCAL ecauto.clock = '2026-07-31 12:00+00';
SELECT ecauto.track('click', session => 'tab') \g /dev/null
SELECT ecauto.identify('tab', '1') \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT is(s('1'), 10.5000, 'a fourth of 20, half of 5, and 3, by a session that was identified');
SELECT is(s('1', '2026-07-31 12:00+00'), 10.5000, 'the ledger says the same');
SELECT is(s('1', '2026-07-01 12:00+00'), 15.0000, 'a month earlier');
SELECT is(s('1', '2026-06-01 11:59:59+00'), 0.0000, 'before all of it');
SELECT is((SELECT round(sum(counts)::numeric, 4) FROM ecauto.explain_score('1')), 10.5000, 'the points explained sum up to the score');
SELECT is((SELECT string_agg(rule, ' ' ORDER BY at) FROM ecauto.explain_score('1')), 'purchase visit click', 'each with its rule');
SET LOCAL ecauto.clock = '2026-08-30 12:00+00';
SELECT is(s('1'), 5.2500, 'a month later, half, though nothing ran');
SET LOCAL ecauto.clock = '2026-07-31 12:00+00';
UPDATE orders SET refunded = 100 WHERE id = 11;
SELECT news() \g /dev/null
SELECT is(s('1'), 5.5000, 'a refund takes back what the points came to');
SELECT is((SELECT round(sum(counts)::numeric, 4) FROM ecauto.explain_score('1')), 5.5000, 'which the ledger shows');
SELECT is(s('1', '2026-07-31 11:00+00') > 7.5, true, 'but not before it happened');
UPDATE orders SET cancelled = true WHERE id = 11;
SELECT news() \g /dev/null
SELECT is(s('1'), 5.5000, 'and takes them back once');
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (19, 2, 'c2@shop.example', 9, ecauto.now());
SELECT news() \g /dev/null
SELECT is(s('2'), 20.0000, 'an order');
DELETE FROM orders WHERE id = 19;
SELECT news() \g /dev/null
SELECT is(s('2'), 0.0000, 'that the shop deletes takes its points with it');
SELECT is(s('5'), 0.0000, 'who did nothing has none');
SELECT is(s(NULL), NULL, 'nobody has no score');

-- ---- part of an order, an order told late, a guest ----
INSERT INTO orders (id, customer_id, mail, total, paid, placed) VALUES (12, 2, 'c2@shop.example', 100, 100, '2026-07-01 12:00+00');
SELECT news() \g /dev/null
SELECT is(s('2'), 10.0000, 'an order counts from when it was placed');
UPDATE orders SET refunded = 25 WHERE id = 12;
SELECT news() \g /dev/null
SELECT is(s('2'), 7.5000, 'a quarter refunded');
UPDATE orders SET refunded = 100 WHERE id = 12;
SELECT news() \g /dev/null
SELECT is(s('2'), 0.0000, 'then the rest');
INSERT INTO orders (id, mail, total, placed) VALUES (13, 'guest@shop.example', 10, '2026-07-31 12:00+00');
SELECT news() \g /dev/null
SELECT is(s('guest@shop.example'), 20.0000, 'a guest is known by his address');

-- ---- limits and conditions ----
SELECT ecauto.create_score_rule('first', '{"on": "signup", "points": 50, "once": true}') \g /dev/null
SELECT ecauto.create_score_rule('views', '{"on": "view", "points": 1, "per_day": 3}') \g /dev/null
SELECT ecauto.create_score_rule('spent', '{"on": "order.paid", "points": 0.1, "times": "total", "if": "(event.new->>''total'')::numeric >= 50 AND customer.orders_count >= 1"}') \g /dev/null
SELECT ecauto.track('signup', '3') FROM generate_series(1, 3) \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.track('signup', '3') \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT is(s('3'), 50.0000, 'once is once, in one tick and over ticks');
SELECT ecauto.track('view', '4') FROM generate_series(1, 2) \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.track('view', '4') FROM generate_series(1, 5) \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT is(s('4'), 3.0000, 'three a day');
SET LOCAL ecauto.clock = '2026-08-01 12:00+00';
SELECT ecauto.track('view', '4') \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT is(s('4'), 4.0000, 'and the next day again');
INSERT INTO orders (id, customer_id, mail, total, paid, placed) VALUES (14, 5, 'c5@shop.example', 200, 200, '2026-08-01 12:00+00'), (15, 5, 'c5@shop.example', 40, 40, '2026-08-01 12:00+00');
SELECT news() \g /dev/null
SELECT is(s('5'), 60.0000, 'a tenth of a total that meets the condition, beside two purchases');

-- ---- 9, 11, 9, 11 with a threshold of 10 ----
SELECT ecauto.create_score_rule('up', '{"on": "up", "points": 1, "times": "n"}') \g /dev/null
SELECT ecauto.create_score_threshold('ten', 10) \g /dev/null
SELECT ecauto.create_score_threshold('ten again', 10, 9.5) \g /dev/null
CREATE FUNCTION up(n numeric) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	PERFORM ecauto.track('up', 'path', properties => jsonb_build_object('n', n));
	PERFORM ecauto.tick();
	RETURN (SELECT count(*) FROM ecauto.events(kind => 'score.reached') e WHERE e.new->>'threshold' = 'ten');
END $$;
SELECT is(ARRAY[up(9), up(2), up(-2), up(2)], '{0,1,1,1}', 'fires once');
SELECT is((SELECT count(*) FROM ecauto.events(kind => 'score.reached') e WHERE e.new->>'threshold' = 'ten again' AND e.customer = 'path'), 2::bigint,
	'twice if it is re-armed in between');

-- ---- bad input ----
SELECT throws_ok($$ SELECT ecauto.create_score_rule('x', '{"on": "view"}') $$, '22023', 'score rule "x" must say in "points" how many', 'no points');
SELECT throws_ok($$ SELECT ecauto.create_score_rule('x', '{"points": 1}') $$, '22023', 'score rule "x" must say in "on" which kind of event it is for', 'no kind');
SELECT throws_ok($$ SELECT ecauto.create_score_rule('x', '{"on": "view", "points": 1, "halflife": "1 day"}') $$, '22023', 'score rule "x" has an unknown key "halflife"', 'a key that is none');
SELECT throws_ok($$ SELECT ecauto.create_score_rule('x', '{"on": "view", "points": 1, "half_life": "-1 day"}') $$, '22023', 'half-life of score rule "x" must be between 1 second and 100 years', 'a negative half-life');
SELECT throws_ok($$ SELECT ecauto.create_score_rule('x', '{"on": "view", "points": 1, "if": "event.kind = (SELECT 1::text)"}') $$, '0A000', NULL, 'a subquery');
SELECT throws_ok($$ SELECT ecauto.create_score_rule('x', '{"on": "view", "points": 1, "if": "customer.contry = 1"}') $$, '42703', NULL, 'a column that is none');
SELECT throws_ok($$ SELECT ecauto.create_score_threshold('x', 'NaN') $$, '22023', 'points of a threshold must be a finite number', 'no number');
-- a rule that fails marks itself and stops nobody
SELECT ecauto.create_score_rule('bad', '{"on": "view", "points": 1, "if": "(event.new->>''n'')::integer > 0"}') \g /dev/null
SET LOCAL client_min_messages = error;
SELECT ecauto.track('view', 'late', properties => '{"n": "many"}') \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT error FROM ecauto_data.score_rule WHERE name = 'bad'), 'invalid input syntax for type integer: "many"', 'a rule that fails says why');
SELECT is(s('late'), 1.0000, 'and the others give their points');

SELECT * FROM finish();
ROLLBACK;

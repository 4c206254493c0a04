-- Conditions over score, RFM group and lifetime value: exact by decay, at any instant, with edges.
BEGIN;
\ir ../event/shop.psql
SELECT plan(48);
SET LOCAL timezone = 'UTC';
SET LOCAL ecauto.timezone = 'UTC';
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

-- ---- when a sum of decaying points passes a value ----
SELECT is(ecauto.score_turn('2026-01-01', '{40}', '{864000}', 10), '2026-01-21'::timestamptz, 'two half-lives to a fourth');
SELECT is(ecauto.score_turn('2026-01-01', '{10}', '{864000}', 40), 'infinity'::timestamptz, 'it never rises by itself');
SELECT is(ecauto.score_turn('2026-01-01', '{-40}', '{864000}', -10), '2026-01-21'::timestamptz, 'points below nothing rise');
SELECT is(ecauto.score_turn('2026-01-01', '{40,5}', '{864000,Infinity}', 15), '2026-01-21'::timestamptz, 'points that last are always there');
SELECT is(ecauto.score_turn('2026-01-01', '{40,5}', '{864000,Infinity}', 5), 'infinity'::timestamptz, 'and are never passed');
SELECT is(ecauto.score_turn('2026-01-01', '{}', '{}', 5), 'infinity'::timestamptz, 'nothing never changes');
SELECT is(ecauto.score_turn('2026-01-01', '{40}', '{864000}', 40), '2026-01-01 00:00:00.000001'::timestamptz, 'just at it: at once');
-- 40 * 2^-t - 40 * 4^-t rises to 10 at t = 1, from 0 at t = 0; above 9.6 from 4^-t - 2^-t + .24 = 0: 2^-t = .6
SELECT ok(abs(extract(epoch FROM ecauto.score_turn('2026-01-01', '{40,-40}', '{864000,432000}', 9.6) - ('2026-01-01'::timestamptz + (-ln(0.6) / ln(2) * 864000) * interval '1 second'))::float8) < 2e-6,
	'points lost faster than others: the sum rises first');
-- a half-life and a tenth later 2^-t is .4665, and the sum above 9.6 until 2^-t = .4
SELECT ok(abs(extract(epoch FROM ecauto.score_turn('2026-01-01', ARRAY[40 * power(2, -1.1), -40 * power(4, -1.1)]::float8[], '{864000,432000}', 9.6) - ('2026-01-01'::timestamptz + ((-ln(0.4) / ln(2) - 1.1) * 864000) * interval '1 second'))::float8) < 2e-6,
	'and falls later');
SELECT is((SELECT count(*) FROM generate_series(1, 300) i,
	LATERAL (SELECT array_agg(40 * sin(i * 7 + k * 3)) w, array_agg(3600.0 * (1 + k * k)) h FROM generate_series(1, 1 + i % 6) k) x,
	LATERAL (SELECT ecauto.score_turn('2026-01-01', w, h, 5 * cos(i)) at) t
	WHERE (SELECT bool_or(d <> d0) FROM (SELECT (SELECT sum(a * power(2::float8, -s * 300.0 / b)) FROM unnest(w, h) u(a, b)) >= 5 * cos(i) d,
			first_value((SELECT sum(a * power(2::float8, -s * 300.0 / b)) FROM unnest(w, h) u(a, b)) >= 5 * cos(i)) OVER (ORDER BY s) d0
		FROM generate_series(0, 300) s WHERE '2026-01-01'::timestamptz + s * interval '300 seconds' < t.at) q)), 0::bigint,
	'random sums: never on the other side before the instant that is told');
SELECT throws_ok($$ SELECT ecauto.score_turn(now(), '{1,2}', '{1}', 1) $$, '2202E', NULL, 'each with its half-life');

-- ---- score ----
SET LOCAL ecauto.clock = '2026-06-01 12:00+00';
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.create_score_rule('visit', '{"on": "visit", "points": 40, "half_life": "10 days"}') \g /dev/null
SELECT ecauto.create_score_rule('gift', '{"on": "gift", "points": 5}') \g /dev/null
SELECT ecauto.create_segment('engaged', 'score.value >= 10') \g /dev/null
SELECT ecauto.create_segment('hot', 'score.value >= 30', 'score.value < 20') \g /dev/null
SELECT ecauto.create_segment('cold', '10 > score.value AND customer.key = ''1''') \g /dev/null
SELECT ecauto.create_segment('rounded', 'round(score.value) >= 20') \g /dev/null
SELECT ecauto.create_segment('asking', 'score.value >= 10 AND (SELECT true)') \g /dev/null
SELECT is(edges(), '', 'nobody has points');
SELECT is(members('cold'), '1', 'who has none has 0');
SELECT ecauto.track('visit', '1') \g /dev/null
SELECT is(edges(), '+asking(1) -cold(1) +engaged(1) +hot(1) +rounded(1)', 'points enter, in the same tick');
SELECT is((SELECT new -> 'facts' ->> 'score.value' FROM ecauto.events(kind => 'segment.entered') WHERE key = 'engaged'), '40', 'and the event says how many');
SELECT is(members('engaged'), '1', 'a member');
SELECT ok(ecauto.in_segment('1', 'engaged', '2026-06-21 12:00+00'), 'exactly 10 after two half-lives');
SELECT ok(NOT ecauto.in_segment('1', 'engaged', '2026-06-21 12:00:00.00001+00'), 'and less some microseconds later');
SELECT ok(NOT ecauto.in_segment('1', 'engaged', '2026-06-01 11:59:59+00'), 'none before the points');
SELECT ok(abs(extract(epoch FROM (SELECT leaves_at FROM ecauto.explain_segment('engaged', '1') WHERE path = '1') - '2026-06-21 12:00+00')::float8) < 2e-5, 'leaves_at is foreseen by the half-life');
SELECT is((SELECT operands::text FROM ecauto.explain_segment('engaged', '1') WHERE operands IS NOT NULL), '{"score.value": 40}', 'explained with the value');
SELECT ok(abs(extract(epoch FROM (SELECT min(next_change_at) FROM ecauto_data.segment_state WHERE customer = '1') - '2026-06-02 00:00+00')::float8) < 1e-3, 'the next look is at midnight, for what is no plain comparison');
SELECT ecauto.drop_segment('rounded') \g /dev/null
SELECT ecauto.drop_segment('asking') \g /dev/null
SELECT ecauto.refresh_segments(true) \g /dev/null
SELECT ok(abs(extract(epoch FROM (SELECT min(next_change_at) FROM ecauto_data.segment_state WHERE customer = '1') - ('2026-06-01 12:00+00'::timestamptz + (log(4.0 / 3) / log(2.0) * 864000)::float8 * interval '1 second'))::float8) < 1e-3, 'else when 40 have decayed to 30');
SET LOCAL ecauto.clock = '2026-06-11 11:59:59+00';
SELECT is(edges(), '', 'hysteresis: 20 and more stays hot');
SET LOCAL ecauto.clock = '2026-06-11 12:00:01+00';
SELECT is(edges(), '-hot(1)', 'below 20 it is left, by decay alone');
SELECT is((SELECT new ->> 'reason' FROM ecauto.events(kind => 'segment.left') WHERE key = 'hot'), 'time', 'because time passed');
SELECT is(edges(), '', 'once');
SET LOCAL ecauto.clock = '2026-06-21 11:59:59+00';
SELECT is(edges(), '', 'not early');
SET LOCAL ecauto.clock = '2026-06-21 12:00:01+00';
SELECT is(edges(), '+cold(1) -engaged(1)', 'below 10');
SELECT is(edges(), '', 'and no more');
SELECT ok(ecauto.in_segment('1', 'engaged', '2026-06-21 12:00+00') AND NOT ecauto.in_segment('1', 'engaged'), 'past and present');
SELECT ecauto.track('gift', '1') \g /dev/null
SELECT ecauto.track('gift', '1') \g /dev/null
SELECT is(edges(), '-cold(1) +engaged(1)', 'points of two half-lives together');
SELECT ok(ecauto.in_segment('1', 'engaged', '2026-06-15'), 'before the last change, by the ledger');
SELECT ok(NOT ecauto.in_segment('1', 'engaged', '2026-06-21 12:00:00.5'), 'which says when there were fewer');
SELECT is((SELECT leaves_at FROM ecauto.explain_segment('engaged', '1') WHERE path = '1'), NULL, 'points that last do not leave');

-- ---- RFM ----
INSERT INTO customer SELECT i, 'c' || i || '@shop.example' FROM generate_series(6, 60) i;
INSERT INTO orders (id, customer_id, mail, total, paid, placed)
SELECT i * 10 + k, i, 'c' || i || '@shop.example', 10 + i, 10 + i, '2026-06-20'::timestamptz - (i + k) * interval '1 day'
FROM generate_series(6, 60) i, generate_series(0, 3) k WHERE k <= i % 4;
SELECT news() \g /dev/null
SELECT ecauto.create_segment('best', 'rfm.group IN (''champions'', ''loyal'')') \g /dev/null
SELECT ecauto.create_segment('scores', 'rfm.r + rfm.f + rfm.m >= 12') \g /dev/null
SELECT is(members('best'), (SELECT string_agg(customer, ' ' ORDER BY customer COLLATE "C") FROM ecauto.rfm() WHERE segment IN ('champions', 'loyal')), 'groups are those of rfm()');
SELECT is(members('scores'), (SELECT coalesce(string_agg(customer, ' ' ORDER BY customer COLLATE "C"), '') FROM ecauto.rfm() WHERE r + f + m >= 12), 'scores too');
SELECT ok(members('best') <> '' AND members('scores') <> '', 'there are some');
SELECT is(ecauto.refresh_rfm(), (SELECT count(*) FROM ecauto.rfm()), 'again at the same instant, the same');
SELECT is(edges(), '', 'which tells nothing');
SELECT is(ecauto.refresh_rfm() - (SELECT count(*) FROM ecauto_data.rfm_score WHERE valid_until = 'infinity'), 0::bigint, 'one row for each');
SET LOCAL ecauto.clock = '2026-06-22 00:30+00';
INSERT INTO orders (id, customer_id, mail, total, paid, placed) SELECT 5000 + k, 60, 'c60@shop.example', 900, 900, '2026-06-22 00:10+00' FROM generate_series(1, 4) k;
SELECT news() \g /dev/null
SELECT ecauto.refresh_rfm() \g /dev/null
SELECT matches(edges(), '\+best\(60\)', 'who is among the best by now enters');
SELECT ok(NOT ecauto.in_segment('60', 'best', '2026-06-21 23:00+00') AND ecauto.in_segment('60', 'best'), 'as of then, and now');
UPDATE orders SET cancelled = true WHERE customer_id = 60;
SELECT news() \g /dev/null
SELECT ok(ecauto.in_segment('60', 'best'), 'groups are those of the day');
SET LOCAL ecauto.clock = '2026-06-23 00:00:01+00';
SELECT matches(edges(), '-best\(60\)', 'and found anew by the first tick of the next');

-- ---- lifetime value ----
SELECT ecauto.create_segment('worth', 'clv.expected_value >= 20') \g /dev/null
SELECT is(members('worth'), '', 'no model, nobody');
SELECT ecauto.fit_clv() \g /dev/null
SELECT is(members('worth'), (SELECT coalesce(string_agg(customer, ' ' ORDER BY customer COLLATE "C"), '') FROM ecauto.predict_clv(365) WHERE expected_value >= 20), 'as predict_clv() says');
SELECT ecauto.create_segment('gone', 'clv.p_alive < 0.5 AND clv.expected_orders < 1') \g /dev/null
SELECT is(members('gone'), (SELECT coalesce(string_agg(customer, ' ' ORDER BY customer COLLATE "C"), '') FROM ecauto.predict_clv(365) WHERE p_alive < .5 AND expected_orders < 1), 'and who is gone');

SELECT * FROM finish();
ROLLBACK;

-- Behaviour: told twice counts once, a session becomes a customer and can be parted again.
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL ecauto.clock = '2026-06-15 12:00:00+00';
SELECT plan(35);

SELECT isnt(ecauto.track('view', 'c1', 's1'), NULL, 'a view');
SELECT is(ecauto.track('view', event_id => '018f0000-0000-7000-8000-000000000001'), '018f0000-0000-7000-8000-000000000001', 'with an identifier of its own');
SELECT is(ecauto.track('view', event_id => '018f0000-0000-7000-8000-000000000001'), '018f0000-0000-7000-8000-000000000001', 'told twice');
SELECT is(ecauto.track('view', at => '2026-03-01', event_id => '018f0000-0000-7000-8000-000000000001'), '018f0000-0000-7000-8000-000000000001', 'and again with another time');
SELECT is((SELECT count(*) FROM ecauto.events(kind => 'view')), 2::bigint, 'counts once');
SELECT results_eq($$ SELECT at, customer, sku, new FROM ecauto.events(kind => 'view') ORDER BY customer NULLS LAST LIMIT 1 $$,
	$$ VALUES ('2026-06-15 12:00:00+00'::timestamptz, 'c1', 's1', NULL::jsonb) $$, 'at the time of our clock');
SELECT lives_ok($$ SELECT ecauto.track('quiz.finished', properties => '{"points": 7}', session => 'x') $$, 'a kind of one''s own');
SELECT is((SELECT new FROM ecauto.events(kind => 'quiz.finished')), '{"points": 7}', 'with its properties');

-- ---- sessions ----
SELECT ecauto.track('view', sku => 's2', session => 'x') \g /dev/null
SELECT is((SELECT customer FROM ecauto.events(kind => 'quiz.finished')), NULL, 'nobody yet');
SELECT ecauto.identify('x', 'c2') \g /dev/null
SELECT is((SELECT count(*) FROM ecauto.events() WHERE customer = 'c2'), 2::bigint, 'identified: what he did before is his');
SELECT ecauto.identify('x', 'c3') \g /dev/null
SELECT is((SELECT count(*) FROM ecauto.events() WHERE customer = 'c3'), 2::bigint, 'somebody else after all');
SELECT ok(ecauto.unidentify('x'), 'undone');
SELECT is((SELECT count(*) FROM ecauto.events() WHERE customer IN ('c2', 'c3')), 0::bigint, 'and nobody''s again');
SELECT ok(NOT ecauto.unidentify('x'), 'once');
SELECT ecauto.track('click', 'c4', session => 'x') \g /dev/null
SELECT ecauto.identify('x', 'c5') \g /dev/null
SELECT is((SELECT customer FROM ecauto.events(kind => 'click')), 'c4', 'what was told by name keeps its name');

-- ---- bad input ----
SELECT throws_ok($$ SELECT ecauto.track(NULL) $$, '22004', 'event kind must not be null', 'no kind');
SELECT throws_ok($$ SELECT ecauto.track('') $$, '22023', 'invalid event kind', 'an empty kind');
SELECT throws_ok($$ SELECT ecauto.track('View') $$, '22023', 'invalid event kind', 'a capital letter');
SELECT throws_ok($$ SELECT ecauto.track('view.') $$, '22023', 'invalid event kind', 'a dot at the end');
SELECT throws_ok($$ SELECT ecauto.track(repeat('v', 64)) $$, '22023', 'invalid event kind', 'too long');
SELECT throws_ok($$ SELECT ecauto.track('order.placed') $$, '42939', 'event kind "order.placed" is reserved', 'an order made up');
SELECT throws_ok($$ SELECT ecauto.track('view', properties => '[1]') $$, '22023', 'properties of an event must be a JSON object', 'a list');
SELECT throws_ok($$ SELECT ecauto.track('view', customer => '') $$, '22023', 'customer must have between 1 and 1000 bytes', 'an empty customer');
SELECT throws_ok($$ SELECT ecauto.track('view', session => repeat('x', 1001)) $$, '22023', 'session must have between 1 and 1000 bytes', 'a long session');
SELECT throws_ok($$ SELECT ecauto.track('view', at => 'infinity') $$, '22008', NULL, 'never');
SELECT throws_ok($$ SELECT ecauto.track('view', at => '2026-06-17') $$, '22008', NULL, 'the day after tomorrow');
SELECT throws_ok($$ SELECT ecauto.track('view', at => '1999-12-31') $$, '22008', NULL, 'the last millennium');
SELECT throws_ok($$ SELECT ecauto.track('view', properties => jsonb_build_object('a', repeat('x', 1100000))) $$, '54000', 'properties of an event are too large', 'a megabyte');
SELECT throws_ok($$ SELECT ecauto.identify(NULL, 'c') $$, '22004', 'session must not be null', 'no session');
SELECT throws_ok($$ SELECT ecauto.identify('x', NULL) $$, '22004', 'customer must not be null', 'no customer');

-- ---- what a tick takes ----
SELECT is((SELECT count(*) FROM ecauto_data.event_told),
	(SELECT count(*) FROM ecauto_data.event e WHERE e.role IS NULL), 'what was told waits for a tick');
SELECT ecauto.tick() \g /dev/null
SELECT is_empty('SELECT FROM ecauto_data.event_told', 'which takes it');

-- ---- age ----
SELECT ecauto.track('view', 'old', at => '2025-02-10') \g /dev/null
SELECT ecauto.track('view', 'old', at => '2025-05-20') \g /dev/null
SELECT is(ecauto.drop_old_events(), 1, 'a month older than thirteen goes');
SELECT is((SELECT array_agg(at::date) FROM ecauto.events(kind => 'view') WHERE customer = 'old'), '{2025-05-20}', 'with its events, and no other');
SELECT throws_ok($$ SELECT ecauto.drop_old_events('-1 day') $$, '22023', 'interval to keep events must not be negative', 'the future is not dropped');

SELECT * FROM finish();
ROLLBACK;

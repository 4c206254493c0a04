-- Leasing by hand: what comes out, what ends it, and who is too late.
BEGIN;
SELECT plan(38);

CREATE SERVER pull FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:9', max_attempts '2', give_up_after '1h');
SET LOCAL ecauto.clock = '2026-03-29 12:00+00';
SELECT ecauto.enqueue('pull', '{"n": 1}', 'one', '/a?b=1', NULL, '2026-04-01 00:00+00', NULL, 0, 'PUT', '{"X-A": "b"}', 'json') AS one \gset
SELECT ecauto.enqueue('pull', '{"n": 2}', 'two') AS two \gset
SELECT ecauto.enqueue('pull', '{"n": 3}', 'first', priority => 1) AS first \gset
SELECT ecauto.enqueue('pull', '{"n": 4}', 'future', not_before => '2026-03-29 13:00+00') AS future \gset

-- ---- lease ----
SELECT is((SELECT key FROM ecauto.lease('pull')), 'first', 'one message, that which would be sent first');
SELECT results_eq($$ SELECT id, attempt, key, payload, path, method, headers, body, sender::text, created_at, expires_at, wanted FROM ecauto.lease('pull') $$,
	'VALUES (' || :one || $$::bigint, 1, 'one', '{"n": 1}'::jsonb, '/a?b=1', 'PUT', '{"X-A": "b"}'::jsonb, NULL::text, current_user::text, '2026-03-29 12:00+00'::timestamptz, '2026-04-01 00:00+00'::timestamptz, NULL::text) $$,
	'with all that is needed to send it');
SELECT is((SELECT array_agg(key) FROM ecauto.lease('pull', 10)), '{two}', 'no more than are due, and none twice');
SELECT is((SELECT count(*) FROM ecauto.lease('pull', 10)), 0::bigint, 'and then none');
SELECT is((SELECT array_agg(state ORDER BY id) FROM ecauto.messages('pull')), '{leased,leased,leased,queued}', 'they are leased');
SELECT is(ecauto.cancel(:one), false, 'and cannot be taken back');
SELECT is((SELECT leased FROM ecauto.outbox_status() WHERE endpoint = 'pull'), 3::bigint, 'the status counts them');

-- ---- settle ----
SELECT is(ecauto.settle(:first, 2), false, 'an attempt that was not');
SELECT is(ecauto.settle(:first, 0), false, 'nor that');
SELECT is(ecauto.settle(:first, 1), true, 'delivered');
SELECT is((ecauto.message(:first)).state, 'delivered', 'is');
SELECT is(ecauto.settle(:first, 1), false, 'once');
SELECT is(ecauto.settle(-1, 1), false, 'a message that is none');

SELECT is(ecauto.settle(:one, 1, 'retry', 'no answer', '10 minutes'), true, 'to be tried again');
SELECT results_eq('SELECT state, last_error, next_at BETWEEN ''2026-03-29 12:10+00'' AND ''2026-03-29 12:10:02+00'' FROM ecauto.message(' || :one || ')',
	$$ VALUES ('retry', 'no answer', true) $$, 'after the time asked for and a back-off');
SELECT is((SELECT count(*) FROM ecauto.lease('pull', 10)), 0::bigint, 'not before');
SET LOCAL ecauto.clock = '2026-03-29 12:11+00';
SELECT is((SELECT attempt FROM ecauto.lease('pull', 10)), 2, 'but then, for the second time');
SELECT is(ecauto.settle(:one, 1, 'dead', 'too late'), false, 'who tried first decides no more');
SELECT is(ecauto.settle(:one, 2, 'retry', 'no answer'), true, 'and who tries now');
SELECT results_eq('SELECT state, last_error FROM ecauto.message(' || :one || ')', $$ VALUES ('dead', 'gave up after 2 tries: no answer') $$, 'has used up max_attempts');

SELECT is(ecauto.settle(:two, 1, 'released'), true, 'given back untried');
SELECT results_eq('SELECT state, attempts FROM ecauto.message(' || :two || ')', $$ VALUES ('queued', 0) $$, 'it is as it was');
SELECT is((SELECT attempt FROM ecauto.lease('pull', 10)), 1, 'and can be leased again');
SET LOCAL ecauto.clock = '2026-03-29 13:30+00';
SELECT is(ecauto.settle(:two, 1, 'retry'), true, 'too old to be tried again');
SELECT results_eq('SELECT state, last_error FROM ecauto.message(' || :two || ')', $$ VALUES ('dead', 'gave up after 1 tries: no reason known') $$, 'it has used up give_up_after');
SELECT is(ecauto.redrive('pull', 'two'), 1::bigint, 'it can be redriven like any other');
SELECT is((SELECT array_agg(key ORDER BY key) FROM ecauto.lease('pull', 10)), '{future,two}', 'and leased');
SELECT is(ecauto.settle(:two, 1, 'cancelled', 'order was cancelled'), true, 'no longer wanted');
SELECT results_eq('SELECT state, last_error FROM ecauto.message(' || :two || ')', $$ VALUES ('cancelled', 'order was cancelled') $$, 'is cancelled, with the reason');

-- ---- a lease that ran out ----
UPDATE ecauto_data.outbox SET lease_until = clock_timestamp() - interval '1 second', leased_by = 4711, attempts = 2 WHERE id = :future;
SELECT is(ecauto.settle(:future, 1, 'dead'), false, 'whose lease ran out cannot end what another tries');
SELECT is(ecauto.settle(:future, 1), true, 'but what he delivered is delivered');

-- ---- refused ----
SELECT throws_ok($$ SELECT ecauto.lease('pull', 0) $$, '22023', 'n is out of range', 'no message at all');
SELECT throws_ok($$ SELECT ecauto.lease('pull', 1, '25 h') $$, '22023', 'duration is out of range', 'for more than a day');
SELECT throws_ok($$ SELECT ecauto.lease('pull', 1, '-1 s') $$, '22023', 'duration is out of range', 'until a second ago');
SELECT throws_ok($$ SELECT ecauto.lease('nope') $$, '42704', 'endpoint "nope" does not exist', 'an endpoint that is none');
SELECT throws_ok($$ SELECT ecauto.lease(NULL) $$, '22004', 'argument "endpoint" must not be NULL', 'nor NULL');
SELECT throws_ok($$ SELECT ecauto.settle(1, 1, 'lost') $$, '22023', 'there is no outcome "lost" of a lease', 'an outcome that is none');
SELECT throws_ok($$ SELECT ecauto.settle(1, 1, 'retry', NULL, '-1 s') $$, '22023', 'retry_after is out of range', 'back in time');

SELECT * FROM finish();
ROLLBACK;

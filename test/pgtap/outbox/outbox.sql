-- What enqueue() puts into the outbox, who sees it and may take it back; nothing is sent here.
BEGIN;
SELECT plan(37);

CREATE SERVER hook FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:9/api');
CREATE SERVER other FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:9/other');
CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://127.0.0.1:9', sender 'Shop <shop@shop.example>');
SET LOCAL ecauto.mail_endpoint = 'mail';

-- ---- keys ----
SELECT ecauto.enqueue('hook', '{"n": 1}', 'k') AS first \gset
SELECT is(ecauto.enqueue('hook', '{"n": 2}', 'k'), :first::bigint, 'the same key is the same message');
SELECT is((ecauto.message(:first)).payload, '{"n": 1}', 'with the payload of the first');
SELECT isnt(ecauto.enqueue('other', '{}', 'k'), :first::bigint, 'but not for another endpoint');
SELECT isnt(ecauto.enqueue('hook', '{}'), ecauto.enqueue('hook', '{}'), 'without a key each is a new one');
SELECT is((SELECT count(DISTINCT key) FROM ecauto.messages('hook')), 3::bigint, 'that gets a key nobody else has');
SAVEPOINT s;
SELECT ecauto.enqueue('hook', '{}', 'undone') \g /dev/null
ROLLBACK TO s;
SELECT is((SELECT count(*) FROM ecauto.messages() WHERE key = 'undone'), 0::bigint, 'a savepoint that is rolled back takes its messages along');
SELECT isnt(ecauto.enqueue('hook', '{}', 'undone'), NULL, 'and their keys');
SELECT is((SELECT count(DISTINCT ecauto.enqueue('hook', jsonb_build_object('n', n), 'bulk' || n % 100)) FROM generate_series(1, 1000) n), 100::bigint, 'keys are the same within one statement, too');

-- ---- what is kept ----
SET LOCAL ecauto.clock = '2026-03-29 12:00+00';
SELECT ecauto.enqueue('hook', '[1, 2]', 'full', '/orders?x=1', '2026-04-01 00:00+00', '2026-05-01 00:00+00', 'order:1', 1, 'PUT', '{"X-A": "b"}') AS full \gset
SELECT results_eq('SELECT endpoint, sender::text, key, path, payload, attempts, created_at, priority, entity, method, headers, state, next_at, expires_at FROM ecauto.message(' || :full || ')',
	$$ VALUES ('hook', current_user::text, 'full', '/orders?x=1', '[1, 2]'::jsonb, 0, '2026-03-29 12:00+00'::timestamptz, 1, 'order:1', 'PUT', '{"X-A": "b"}'::jsonb, 'queued', '2026-04-01 00:00+00'::timestamptz, '2026-05-01 00:00+00'::timestamptz) $$,
	'every argument is kept, and the time is that of ecauto.clock');
SELECT is((ecauto.message(ecauto.enqueue('hook', '{}', not_before => '2020-01-01 00:00+00'))).next_at, '2026-03-29 12:00+00', 'not_before in the past is now');
SELECT is((ecauto.message(ecauto.enqueue('hook', '{}', not_before => '-infinity'))).next_at, '2026-03-29 12:00+00', 'as is -infinity');
SELECT is((ecauto.message(ecauto.enqueue('hook', '{}', 'nul', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL))).path, '', 'NULL stands for the default everywhere');
RESET ecauto.clock;
SELECT ecauto.grant_consent('jan@shop.example', 'email', 'marketing') \g /dev/null
SELECT ecauto.send_mail('jan@shop.example', 'welcome', '{"subject": "Hi", "body": "Hello", "html": "<p>Hello</p>", "ignored": 1}', 'marketing', 'm') AS mail \gset
SELECT results_eq('SELECT payload, template, purpose FROM ecauto.message(' || :mail || ')',
	$$ VALUES ('{"to": "jan@shop.example", "subject": "Hi", "text": "Hello", "html": "<p>Hello</p>"}'::jsonb, 'welcome', 'marketing') $$, 'send_mail() makes the payload of a mail');
SELECT lives_ok($$ SELECT ecauto.send_mail('jan@shop.example', NULL, '{"subject": "Hi", "html": "<p>Hello</p>"}', NULL) $$, 'HTML alone will do');

-- ---- looking ----
SELECT is((SELECT count(*) FROM ecauto.messages('mail')), 2::bigint, 'messages of an endpoint');
SELECT is((SELECT count(*) FROM ecauto.messages('mail', 'queued')), 2::bigint, 'in a state');
SELECT is((SELECT count(*) FROM ecauto.messages('mail', 'dead')), 0::bigint, 'in another');
SELECT is((SELECT count(*) FROM ecauto.messages('nope')), 0::bigint, 'of an endpoint that is none');
SELECT ok((SELECT m IS NULL FROM ecauto.message(-1) m), 'a message that is none');
SELECT results_eq($$ SELECT waiting, due, leased FROM ecauto.outbox_status() WHERE endpoint = 'mail' $$, $$ VALUES (2::bigint, 2::bigint, 0::bigint) $$, 'the status counts them');

-- ---- taking back ----
SELECT is(ecauto.cancel(:first), true, 'a message that waits can be cancelled');
SELECT is(ecauto.cancel(:first), false, 'once');
SELECT is((ecauto.message(:first)).state, 'cancelled', 'and is');
SELECT is(ecauto.enqueue('hook', '{}', 'k'), :first::bigint, 'its key still stands for it');
SELECT is((SELECT count(*) FROM ecauto_data.outbox WHERE id = :first), 0::bigint, 'it has left the hot table');
UPDATE ecauto_data.outbox SET lease_until = clock_timestamp() + '1 minute', attempts = 1 WHERE id = :full;
SELECT is((ecauto.message(:full)).state, 'leased', 'a message under way');
SELECT is(ecauto.cancel(:full), false, 'cannot be taken back');
UPDATE ecauto_data.outbox SET lease_until = '-infinity' WHERE id = :full;
SELECT is((ecauto.message(:full)).state, 'retry', 'but between two tries');
SELECT is(ecauto.cancel(:full), true, 'it can');
SELECT is(ecauto.redrive('hook'), 0::bigint, 'only dead messages are redriven');
SELECT is(ecauto.pause_endpoint('hook') AND NOT ecauto.pause_endpoint('hook'), true, 'pausing twice is pausing once');
SELECT is(ecauto.resume_endpoint('hook') AND NOT ecauto.resume_endpoint('hook'), true, 'and so is resuming');

-- ---- rights ----
CREATE ROLE ec_clerk;
GRANT USAGE ON SCHEMA ecauto TO ec_clerk;
GRANT USAGE ON FOREIGN SERVER hook TO ec_clerk;
SET LOCAL ROLE ec_clerk;
SELECT ecauto.enqueue('hook', '{}', 'k-clerk') AS clerks \gset
SELECT is((SELECT array_agg(sender::text) FROM ecauto.messages()), '{ec_clerk}', 'a role sees its own');
SELECT throws_ok('SELECT ecauto.message(' || :mail || ')', '42501', 'permission denied for message ' || :mail, 'no others');
SELECT throws_ok('SELECT ecauto.cancel(' || :mail || ')', '42501', 'permission denied for message ' || :mail, 'nor cancels it');
SELECT throws_ok($$ SELECT ecauto.enqueue('other', '{}') $$, '42501', 'permission denied for foreign server other', 'and enqueues where it may');
SELECT is(ecauto.cancel(:clerks), true, 'it cancels its own');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;

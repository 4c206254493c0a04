-- Of mails that compete for a place the one that matters most goes; the others wait, and say why they never went.
BEGIN;
SELECT plan(45);

CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://127.0.0.1:9', sender 'Shop <shop@shop.example>');
SET LOCAL ecauto.mail_endpoint = 'mail';
SET LOCAL ecauto.timezone = 'Europe/Warsaw';
SET LOCAL TimeZone = 'UTC';
SET LOCAL ecauto.clock = '2026-03-02 10:00+00';
SELECT ecauto.grant_consent(a || '@shop.example', 'email', 'marketing') FROM unnest('{ann,bob,cid,dan}'::text[]) a \g /dev/null
SELECT ecauto.grant_consent('ann@shop.example', 'email', 'news') \g /dev/null
SELECT ecauto.create_template('cart', 'Cart', NULL, 'Still {{word}}', sample => '{"word": "there"}') \g /dev/null
SELECT ecauto.create_template('news', 'News', NULL, 'New {{word}}', sample => '{"word": "things"}') \g /dev/null
CREATE TEMP VIEW mail AS SELECT m.mail_id, c.address COLLATE "default" AS address, m.state COLLATE "default" AS state, m.reason COLLATE "default" AS reason,
	m.template COLLATE "default" AS template, m.key COLLATE "default" AS key, m.priority, m.created_at, m.decide_at, m.decided_at, m.deadline, m.message_id, m.detail, m.data FROM ecauto_data.campaign_mail m JOIN ecauto_data.contact c USING (contact_id);
CREATE FUNCTION pg_temp.at(clock text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('ecauto.clock', clock, true); PERFORM ecauto.tick(); END $$;

-- ---- without limits ----
SELECT isnt(ecauto.send_mail('ann@shop.example', 'news', '{"word": "a"}', 'marketing'), NULL, 'without limits a mail goes at once');
SELECT results_eq($$ SELECT state, reason, decided_at, data FROM mail $$, $$ VALUES ('sent'::text, 'sent'::text, '2026-03-02 10:00+00'::timestamptz, NULL::jsonb) $$, 'which is written down');

-- ---- cart against newsletter ----
SELECT ecauto.set_frequency_cap('daily', 1, '1 day') \g /dev/null
SELECT is(ecauto.send_mail('bob@shop.example', 'news', '{"word": "b"}', 'marketing', 'bob:news', 10, ecauto.now() + interval '20 hours'), NULL, 'a capped mail waits');
SELECT is(ecauto.send_mail('Bob <bob@shop.example>', 'cart', '{"word": "b"}', 'marketing', 'bob:cart', 90), NULL, 'so does the one that matters more');
SELECT pg_temp.at('2026-03-02 10:00:01+00') \g /dev/null
SELECT results_eq($$ SELECT template, state, reason, decide_at FROM mail WHERE address = 'bob@shop.example' ORDER BY template $$,
	$$ VALUES ('cart'::text, 'sent'::text, 'sent'::text, '2026-03-02 10:00:01+00'::timestamptz), ('news', 'waiting', 'cap', '2026-03-03 06:00+00') $$, 'the cart goes, the newsletter waits for a place');
SELECT is((SELECT m.payload FROM mail JOIN LATERAL ecauto.message(message_id) m ON true WHERE address = 'bob@shop.example' AND mail.state = 'sent'), '{"to": "Bob <bob@shop.example>", "text": "Still b", "subject": "Cart"}', 'as it was asked for');
SELECT is(ecauto.send_mail('bob@shop.example', 'news', '{}', 'marketing', 'bob:cart'), (SELECT message_id FROM mail WHERE key = 'bob:cart'), 'the same key is the same mail');
SELECT is(ecauto.send_mail('bob@shop.example', 'news', '{}', 'marketing', 'bob:news'), NULL, 'while it waits, too');
SELECT pg_temp.at('2026-03-03 05:59:59+00') \g /dev/null
SELECT is((SELECT state FROM mail WHERE key = 'bob:news'), 'waiting', 'it waits to its deadline');
SELECT pg_temp.at('2026-03-03 06:00+00') \g /dev/null
SELECT results_eq($$ SELECT state, reason, detail, decided_at, data FROM mail WHERE key = 'bob:news' $$,
	$$ VALUES ('expired'::text, 'expired'::text, '{"text": "waited for cap"}'::jsonb, '2026-03-03 06:00+00'::timestamptz, NULL::jsonb) $$, 'and then says what it waited for');
SELECT is(ecauto.action_mail('{"template": "news", "purpose": "marketing", "key": "bob:news", "recipient": "bob@shop.example"}', '{"word": "x"}'), '{"skipped": "expired"}', 'to a flow as well');

-- ---- a place becomes free ----
SELECT pg_temp.at('2026-03-04 00:00+00') \g /dev/null
SELECT ecauto.send_mail('ann@shop.example', 'cart', '{"word": "a"}', 'marketing', 'ann' || n) FROM generate_series(1, 3) n \g /dev/null
SELECT pg_temp.at('2026-03-04 00:00+00') \g /dev/null
SELECT is((SELECT array_agg(key || ' ' || state || ' ' || reason ORDER BY key) FROM mail WHERE key LIKE 'ann%'), '{"ann1 sent sent","ann2 waiting cap","ann3 waiting cap"}', 'the first asked for goes first');
SELECT pg_temp.at('2026-03-04 23:59:59.999999+00') \g /dev/null
SELECT is((SELECT count(*) FROM mail WHERE key LIKE 'ann%' AND state = 'sent'), 1::bigint, 'none within a day');
SELECT pg_temp.at('2026-03-05 00:00+00') \g /dev/null
SELECT is((SELECT array_agg(key || ' ' || state || ' ' || decide_at ORDER BY key) FROM mail WHERE key LIKE 'ann%' AND decide_at > '2026-03-04 00:00+00'), '{"ann2 sent 2026-03-05 00:00:00+00","ann3 waiting 2026-03-06 00:00:00+00"}', 'the next after a day');
SELECT ecauto.withdraw_consent('ann@shop.example', 'email', 'marketing') \g /dev/null
SELECT results_eq($$ SELECT state, reason FROM mail WHERE key = 'ann3' $$, $$ VALUES ('skipped'::text, 'no_consent'::text) $$, 'what waits is taken back with consent');

-- ---- other purposes, several caps ----
SELECT ecauto.set_frequency_cap('daily', 2, '1 day', 'marketing'), ecauto.set_frequency_cap('weekly', 3, '7 days') \g /dev/null
SELECT pg_temp.at('2026-03-20 00:00+00') \g /dev/null
SELECT ecauto.send_mail('cid@shop.example', 'cart', '{}', 'marketing', 'cid' || n) FROM generate_series(1, 4) n \g /dev/null
SELECT pg_temp.at('2026-03-20 00:00+00') \g /dev/null
SELECT is((SELECT count(*) FROM mail WHERE key LIKE 'cid%' AND state = 'sent'), 2::bigint, 'two a day');
SELECT pg_temp.at('2026-03-21 00:00+00') \g /dev/null
SELECT results_eq($$ SELECT key, state, reason, decide_at FROM mail WHERE key LIKE 'cid%' ORDER BY key OFFSET 2 $$,
	$$ VALUES ('cid3'::text, 'sent'::text, 'sent'::text, '2026-03-21 00:00+00'::timestamptz), ('cid4', 'waiting', 'cap', '2026-03-23 00:00+00') $$, 'and three a week; looked at again at its deadline');
SELECT ok(ecauto.send_mail('cid@shop.example', 'cart', '{}', 'transactional') IS NOT NULL, 'what needs no consent has no cap');
SELECT ok(ecauto.drop_frequency_cap('daily') AND NOT ecauto.drop_frequency_cap('daily') AND ecauto.drop_frequency_cap('weekly'), 'caps are dropped');
SELECT pg_temp.at('2026-03-23 00:00+00') \g /dev/null
SELECT is((SELECT state FROM mail WHERE key = 'cid4'), 'expired', 'a deadline is one, whoever has room');

-- ---- quiet hours ----
SELECT ecauto.set_quiet_hours('21:00', '09:00') \g /dev/null
INSERT INTO ecauto_data.seen_customer (key, email, tz) VALUES ('4', 'dan@shop.example', 'America/New_York');
SELECT pg_temp.at('2026-03-28 21:00+00') \g /dev/null
SELECT is(ecauto.send_mail('cid@shop.example', 'cart', '{}', 'marketing', 'q1'), NULL, 'it is ten in the evening in the shop');
SELECT isnt(ecauto.send_mail('dan@shop.example', 'cart', '{}', 'marketing', 'q2'), NULL, 'but not where this customer lives');
SELECT pg_temp.at('2026-03-28 21:00+00') \g /dev/null
SELECT is((SELECT reason || ' ' || decide_at FROM mail WHERE key = 'q1'), 'quiet_hours 2026-03-29 07:00:00+00', 'the night ends at nine by the clock that was set forward');
SELECT pg_temp.at('2026-03-29 06:59:59+00') \g /dev/null
SELECT is((SELECT state FROM mail WHERE key = 'q1'), 'waiting', 'not a second before');
SELECT pg_temp.at('2026-03-29 07:00+00') \g /dev/null
SELECT is((SELECT state FROM mail WHERE key = 'q1'), 'sent', 'and then it goes');
SELECT pg_temp.at('2026-10-24 20:00+00') \g /dev/null
SELECT ecauto.send_mail('cid@shop.example', 'cart', '{}', 'marketing', 'q3') \g /dev/null
SELECT pg_temp.at('2026-10-24 20:00+00') \g /dev/null
SELECT is((SELECT decide_at FROM mail WHERE key = 'q3'), '2026-10-25 08:00+00', 'nor does the night that is longer end early');
SELECT pg_temp.at('2026-10-25 08:00+00') \g /dev/null
SELECT ecauto.set_quiet_hours('01:00', '02:30') \g /dev/null
SELECT pg_temp.at('2026-03-29 00:30+00') \g /dev/null
SELECT ecauto.send_mail('cid@shop.example', 'cart', '{}', 'marketing', 'q4', deadline => '2026-04-29 01:00+00') \g /dev/null
SELECT is((SELECT decide_at FROM mail WHERE key = 'q4'), '2026-03-29 00:30+00', 'waiting rows are looked at by the next tick');
SELECT pg_temp.at('2026-03-29 00:30+00') \g /dev/null
SELECT is((SELECT decide_at FROM mail WHERE key = 'q4'), '2026-03-29 01:30+00', 'an end that the clock skips');
SELECT ecauto.set_quiet_hours('02:00', '02:30') \g /dev/null
SELECT pg_temp.at('2026-10-25 00:10+00') \g /dev/null
SELECT ecauto.send_mail('cid@shop.example', 'cart', '{}', 'marketing', 'q5') \g /dev/null
SELECT pg_temp.at('2026-10-25 00:10+00') \g /dev/null
SELECT is((SELECT decide_at FROM mail WHERE key = 'q5'), '2026-10-25 01:30+00', 'an end that it shows twice');
SELECT ecauto.set_quiet_hours() \g /dev/null
SELECT is((SELECT count(*) FROM ecauto_data.quiet_hours), 0::bigint, 'quiet hours end');
UPDATE ecauto_data.seen_customer SET tz = 'Nowhere/At_All';
SELECT ecauto.set_quiet_hours('00:00', '12:00') \g /dev/null
SELECT is(ecauto.send_mail('dan@shop.example', 'cart', '{}', 'marketing', 'q6'), NULL, 'a zone that is none is the shop''s');
SELECT ecauto.set_quiet_hours() \g /dev/null

-- ---- what goes wrong later ----
SELECT ecauto.set_frequency_cap('all', 100, '1 hour') \g /dev/null
SELECT pg_temp.at('2026-11-01 00:00+00') \g /dev/null
SELECT ecauto.send_mail('cid@shop.example', 'cart', '{}', 'marketing', 'w1'), ecauto.send_mail('dan@shop.example', 'news', '{}', 'marketing', 'w2') \g /dev/null
SELECT ecauto.drop_template('cart') \g /dev/null
SELECT pg_temp.at('2026-11-01 00:00+00') \g /dev/null
SELECT is((SELECT array_agg(key || ' ' || state || ' ' || reason || coalesce(' ' || (detail ->> 'text'), '') ORDER BY key) FROM mail WHERE key LIKE 'w%'), '{"w1 skipped template_error mail template \"cart\" does not exist","w2 sent sent"}', 'a template that is gone stops one mail, not the others');
SELECT ecauto.send_mail('cid@shop.example', 'news', '{}', 'marketing', 'w3') \g /dev/null
ALTER SERVER mail RENAME TO elsewhere;
SELECT pg_temp.at('2026-11-01 00:00+00') \g /dev/null
SELECT is((SELECT state || ' ' || reason || ' ' || decide_at || ' ' || (detail ->> 'text') FROM mail WHERE key = 'w3'), 'waiting error 2026-11-01 00:05:00+00 endpoint "mail" does not exist', 'a way out that is shut is tried again');
ALTER SERVER elsewhere RENAME TO mail;
SELECT pg_temp.at('2026-11-01 00:05+00') \g /dev/null
SELECT is((SELECT state FROM mail WHERE key = 'w3'), 'sent', 'until it is open');

-- ---- errors ----
SELECT throws_ok($$ SELECT ecauto.set_frequency_cap('x', 0, '1 day') $$, '22023', 'a frequency cap must allow at least one mail');
SELECT throws_ok($$ SELECT ecauto.set_frequency_cap('x', 1, '0') $$, '22023', 'the time of a frequency cap must be above zero and at most a year');
SELECT throws_ok($$ SELECT ecauto.set_frequency_cap('', 1, '1 day') $$, '22023', 'a frequency cap needs a name');
SELECT throws_ok($$ SELECT ecauto.set_frequency_cap('x', 1, '1 day', 'transactional') $$, '22023', 'transactional mail has no frequency cap');
SELECT throws_ok($$ SELECT ecauto.set_quiet_hours('10:00', '10:00') $$, '22023', 'quiet hours need a start and another end');
SELECT throws_ok($$ SELECT ecauto.send_mail('cid@shop.example', 'news', '{}', 'marketing', priority => 101) $$, '22023', 'priority of a mail must be between 0 and 100');
SELECT throws_ok($$ SELECT ecauto.send_mail('cid@shop.example', 'news', '{}', 'marketing', deadline => '2020-01-01') $$, '22023', 'deadline of a mail has passed');
SELECT is(ecauto.action_mail('{"template": "news", "in_stock": true, "recipient": "cid@shop.example"}', '{"cart": {"lines_count": 2, "sold_out_count": 2}}'), '{"skipped": "sold_out"}', 'a cart of which nothing is left');
SELECT ok(ecauto.action_mail('{"template": "news", "in_stock": true, "recipient": "cid@shop.example"}', '{"cart": {"lines_count": 2, "sold_out_count": 1}}') ? 'message', 'and one of which something is');
SELECT is(ecauto.action_mail('{"template": "news", "purpose": "marketing", "deadline": "2 hours", "priority": 90}', '{"customer": {"email": "cid@shop.example"}}') ->> 'deferred', 'queued', 'a flow learns that its mail waits');
SELECT is((SELECT priority || ' ' || (deadline - created_at) FROM mail WHERE state = 'waiting' AND address = 'cid@shop.example' ORDER BY mail_id DESC LIMIT 1), '90 02:00:00', 'with its priority and deadline');

SELECT * FROM finish();
ROLLBACK;

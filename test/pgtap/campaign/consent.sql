-- Mail that needs consent goes to those alone who have given it, and not to those who have withdrawn it.
BEGIN;
SELECT plan(77);

CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://127.0.0.1:9', sender 'Shop <shop@shop.example>');
SET LOCAL ecauto.mail_endpoint = 'mail';
SET LOCAL ecauto.unsubscribe_url = 'https://shop.example/u?t=';

-- ---- the ledger in time ----
SET LOCAL ecauto.clock = '2026-03-01 10:00+00';
SELECT ecauto.request_consent('Ann@Shop.example', 'email', 'marketing', 'v3', 'checkout', '10.1.2.3') AS token \gset
SELECT ok(NOT ecauto.may_send('ann@shop.example', 'email', 'marketing', NULL), 'a request is no consent');
SET LOCAL ecauto.clock = '2026-03-01 11:00+00';
SELECT ok(ecauto.confirm_consent(:'token', '10.1.2.4'), 'the token confirms it');
SET LOCAL ecauto.clock = '2026-03-01 12:00+00';
SELECT is(ecauto.withdraw_consent('ann@shop.example', 'email', 'marketing', 'phone'), 0::bigint, 'withdrawn, when nothing waited');
SELECT is(array_agg(ecauto.may_send('ANN@shop.example', 'email', 'marketing', at) ORDER BY at), '{f,f,t,t,f,f}', 'may_send() is false, true, false in time')
FROM unnest('{2026-03-01 09:59+00, 2026-03-01 10:59:59+00, 2026-03-01 11:00+00, 2026-03-01 11:59:59+00, 2026-03-01 12:00+00, 2027-01-01 00:00+00}'::timestamptz[]) at;
SELECT is(ecauto.confirm_consent(:'token'), false, 'a replayed token does not subscribe again');
SELECT ok(NOT ecauto.may_send('ann@shop.example', 'email', 'marketing'), 'it really does not');
SELECT results_eq($$ SELECT at, channel, purpose, action, wording, source, ip FROM ecauto.consents('ann@shop.example') $$,
	$$ VALUES ('2026-03-01 10:00+00'::timestamptz, 'email', 'marketing', 'requested', 'v3', 'checkout', '10.1.2.3'::inet),
		('2026-03-01 11:00+00', 'email', 'marketing', 'granted', 'v3', 'checkout', '10.1.2.4'),
		('2026-03-01 12:00+00', 'email', 'marketing', 'withdrawn', NULL, 'phone', NULL) $$, 'the ledger proves it all');
SELECT ecauto.request_consent('ann@shop.example', 'email', 'marketing') AS token2 \gset
SELECT isnt(:'token'::text, :'token2'::text, 'each request has a token of its own');
SELECT ok(ecauto.confirm_consent(:'token2'), 'a new request subscribes again');
SELECT ok(ecauto.confirm_consent(:'token2'), 'confirming twice is confirming once');
SELECT is((SELECT count(*) FROM ecauto.consents('ann@shop.example') WHERE action = 'granted'), 2::bigint, 'and writes nothing');
SELECT ok(ecauto.confirm_consent(:'token'), 'an old token tells what holds');
SELECT ecauto.request_consent('ann@shop.example', 'email', 'news') \g /dev/null
SELECT ecauto.withdraw_consent('ann@shop.example', 'email') \g /dev/null
SELECT is((SELECT array_agg(purpose ORDER BY purpose) FROM ecauto.consents('ann@shop.example') WHERE action = 'withdrawn' AND at = '2026-03-01 12:00+00'), '{marketing,marketing,news}', 'without a purpose all that was given or asked for is withdrawn');
SELECT ecauto.request_consent('ann@shop.example', 'email', 'news') AS token3 \gset
SET LOCAL ecauto.clock = '2026-03-08 12:00:01+00';
SELECT throws_ok(format('SELECT ecauto.confirm_consent(%L)', :'token3'), '22023', 'the request for consent has expired', 'a request can be confirmed for a week');
SELECT is(ecauto.confirm_consent(:'token2'), false, 'one that was withdrawn since stays so');
SET LOCAL ecauto.clock = '2026-03-09 10:00+00';
SELECT ecauto.request_consent('bob@shop.example', 'email', 'marketing') AS token4 \gset
SELECT ecauto.withdraw_consent('bob@shop.example', 'email', 'marketing') \g /dev/null
SELECT is(ecauto.confirm_consent(:'token4'), false, 'a withdrawal makes earlier requests void');

-- ---- what consent is about ----
SELECT ok(ecauto.grant_consent('cid@shop.example', 'email', 'marketing'), 'single opt-in');
SELECT is(ARRAY[ecauto.may_send('cid@shop.example', 'email', 'marketing'), ecauto.may_send('cid@shop.example', 'email', 'news'), ecauto.may_send('cid@shop.example', 'sms', 'marketing'), ecauto.may_send('dan@shop.example', 'email', 'marketing')], '{t,f,f,f}', 'is for one address, channel and purpose');
SELECT ok(ecauto.may_send('dan@shop.example', 'email', 'transactional'), 'transactional mail needs none');
SELECT ok(NOT ecauto.may_send(NULL, 'email', 'marketing'), 'nobody consents to nothing');
SELECT ok(ecauto.may_send('Cid <CID@shop.example>', 'email', 'marketing'), 'a name beside the address does not matter');
SELECT ok(ecauto.grant_consent('imp@shop.example', 'email', 'marketing', 'v1', 'import', NULL, '2020-01-01 00:00+00'), 'an old consent is imported with its time');
SELECT is(ARRAY[ecauto.may_send('imp@shop.example', 'email', 'marketing', '2019-12-31 00:00+00'), ecauto.may_send('imp@shop.example', 'email', 'marketing', '2020-01-02 00:00+00')], '{f,t}', 'and holds from then');
SELECT is(ecauto.withdraw_consent('imp@shop.example', 'email', 'marketing', at => '2019-01-01 00:00+00'), 0::bigint, 'an older withdrawal is imported, too');
SELECT ok(ecauto.may_send('imp@shop.example', 'email', 'marketing'), 'which changes nothing now');
SELECT ok(ecauto.grant_consent('+48 600 100 200', 'sms', 'marketing'), 'other channels have other addresses');

-- ---- errors ----
SELECT throws_ok($$ SELECT ecauto.grant_consent('nobody', 'email', 'marketing') $$, '22023', 'invalid address for channel "email"');
SELECT throws_ok($$ SELECT ecauto.grant_consent('a@b.example', 'E-Mail', 'marketing') $$, '22023', 'invalid channel "E-Mail"');
SELECT throws_ok($$ SELECT ecauto.grant_consent('a@b.example', 'email', 'Marketing!') $$, '22023', 'invalid purpose "Marketing!"');
SELECT throws_ok($$ SELECT ecauto.grant_consent('a@b.example', 'email', 'transactional') $$, '22023', 'purpose "transactional" needs no consent');
SELECT throws_ok($$ SELECT ecauto.grant_consent(NULL, 'email', 'marketing') $$, '22004', 'argument "email" must not be NULL');
SELECT throws_ok($$ SELECT ecauto.grant_consent('a@b.example', 'email', 'marketing', at => '2030-01-01') $$, '22008', 'time of a consent must not lie in the future');
SELECT throws_ok($$ SELECT ecauto.grant_consent('a@b.example', 'email', 'marketing', at => '-infinity') $$, '22008');
SELECT throws_ok($$ SELECT ecauto.confirm_consent('hello') $$, '22023', 'invalid token');
SELECT throws_ok(format('SELECT ecauto.unsubscribe(%L)', :'token4'), '22023', 'invalid token', 'a token to confirm does not unsubscribe');
SELECT throws_ok($$ SELECT ecauto.unsubscribe(NULL) $$, '22004', 'argument "token" must not be NULL');

-- ---- the ledger is only added to ----
SELECT throws_ok('UPDATE ecauto_data.consent SET action = ''granted''', '23001', 'consent cannot be changed, only added to');
SELECT throws_ok('UPDATE ecauto_data.consent SET ip = NULL', '23001');
SELECT throws_ok('DELETE FROM ecauto_data.consent', '23001');
SELECT throws_ok('TRUNCATE ecauto_data.consent', '23001');

-- ---- no way into the outbox without it ----
PREPARE marketing(text) AS SELECT ecauto.send_mail($1, 'offer', '{"subject": "Hi", "body": "Hello"}', 'marketing');
SELECT throws_ok($$ EXECUTE marketing('dan@shop.example') $$, '23514', 'no consent to mail of purpose "marketing" for address "dan@shop.example"', 'send_mail() without consent');
SELECT throws_ok($$ EXECUTE marketing('ann@shop.example') $$, '23514', NULL, 'withdrawn is without');
SELECT throws_ok($$ SELECT ecauto.send_mail('cid@shop.example', 'offer', '{"subject": "Hi", "body": "Hello"}', 'Marketing') $$, '22023', 'invalid purpose "Marketing"', 'another spelling is no way around');
CREATE FUNCTION pg_temp.put(target text, purpose text, VARIADIC more jsonb[] DEFAULT '{}') RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO ecauto_data.outbox (next_at, created_at, queued_at, endpoint, sender, key, purpose, payload)
	VALUES (ecauto.now(), ecauto.now(), ecauto.now(), 'mail', current_user, gen_random_uuid(), purpose, jsonb_build_object('to', target, 'subject', 's', 'text', 't') || coalesce(more[1], '{}')) RETURNING id $$;
SELECT throws_ok($$ SELECT pg_temp.put('dan@shop.example', 'marketing') $$, '23514', 'no consent to mail of purpose "marketing" for address "dan@shop.example"', 'a direct insert without consent');
SELECT throws_ok($$ SELECT pg_temp.put('cid@shop.example', 'marketing', '{"cc": ["Dan <DAN@shop.example>"]}') $$, '23514', NULL, 'every recipient must consent');
SELECT throws_ok($$ SELECT pg_temp.put('cid@shop.example', 'marketing', '{"to": []}') $$, '23514', NULL, 'and there must be one');
SELECT lives_ok($$ SELECT pg_temp.put('dan@shop.example', 'transactional') $$, 'a direct insert that needs none');
SELECT pg_temp.put('Cid <Cid@Shop.example>', 'marketing') AS direct \gset
SELECT ok((ecauto.message(:direct)).purpose = 'marketing', 'a direct insert with consent');
SELECT ecauto.send_mail('cid@shop.example', 'offer', '{"subject": "Hi", "body": "Hello"}', 'marketing') AS sent \gset
SELECT is((ecauto.message(:sent)).priority, -1, 'marketing leaves behind other mail');
SELECT ecauto.unsubscribe_token('cid@shop.example') AS cid_token \gset
SELECT ecauto.unsubscribe_token('imp@shop.example') AS imp_token \gset
SELECT is((ecauto.message(:sent)).payload - '{to,subject,text}'::text[], jsonb_build_object('list_unsubscribe', 'https://shop.example/u?t=' || :'cid_token', 'list_unsubscribe_post', true), 'with the headers that unsubscribe');
SELECT ok((SELECT strpos(regexp_replace(ecauto.mail_source(m.payload, 'shop@shop.example', 'k', '2026-01-01 00:00+00'), '\s+', ' ', 'g'),
	'List-Unsubscribe: <https://shop.example/u?t=' || :'cid_token' || '> List-Unsubscribe-Post: List-Unsubscribe=One-Click ') > 0 FROM ecauto.message(:sent) m), 'as RFC 8058 wants them');
SELECT is((SELECT m.payload ->> 'list_unsubscribe' FROM ecauto.message(ecauto.send_mail('cid@shop.example', 'x', '{"subject": "s", "body": "b"}')) m), NULL, 'transactional mail has none');

-- ---- one click ----
UPDATE ecauto_data.outbox SET lease_until = clock_timestamp() + '1 minute', leased_by = 1, attempts = 1 WHERE id = :direct;
SELECT ecauto.send_mail('imp@shop.example', 'offer', '{"subject": "Hi", "body": "Hello"}', 'marketing') AS others \gset
SELECT isnt(:'cid_token'::text, :'imp_token'::text, 'a token is one address''s');
SELECT ok(ecauto.unsubscribe(:'cid_token'), 'a click unsubscribes');
SELECT is((SELECT array_agg(m.state || ':' || m.last_error) FROM unnest(ARRAY[:direct, :sent]::bigint[]) id, ecauto.message(id) m), '{cancelled:no_consent,cancelled:no_consent}', 'queued and leased mail is taken back in the same transaction');
SELECT is((ecauto.message(:others)).state, 'queued', 'that of others is not');
SELECT is((SELECT count(*) FROM ecauto_data.outbox WHERE payload ->> 'to' = 'cid@shop.example'), 1::bigint, 'nor what needs no consent');
SELECT ok(ecauto.unsubscribe(:'cid_token'), 'a second click is the same success');
SELECT is((SELECT count(*) FROM ecauto.consents('cid@shop.example') WHERE action = 'withdrawn'), 1::bigint, 'and writes nothing');
SELECT is(ARRAY[ecauto.may_send('cid@shop.example', 'email', 'marketing'), ecauto.may_send('imp@shop.example', 'email', 'marketing')], '{f,t}', 'one token, one address');
SELECT throws_ok(format('SELECT ecauto.unsubscribe(%L)', overlay(:'cid_token' placing right(:'imp_token', 16) from length(:'cid_token') - 15)), '22023', 'invalid token', 'no token is made of two');
CREATE FUNCTION pg_temp.unsubscribes(token text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN ecauto.unsubscribe(token); EXCEPTION WHEN invalid_parameter_value THEN RETURN false; END $$;
SELECT is((SELECT count(*) FROM generate_series(1, length(:'cid_token')) n WHERE pg_temp.unsubscribes(overlay(:'cid_token' placing CASE substr(:'cid_token', n, 1) WHEN 'A' THEN 'B' ELSE 'A' END from n))), 0::bigint, 'nor with any letter changed');
SELECT is((SELECT array_agg(state || ':' || reason) FROM ecauto_data.campaign_mail m JOIN ecauto_data.contact c USING (contact_id) WHERE c.address = 'cid@shop.example'), '{skipped:no_consent,skipped:no_consent}', 'what was decided says why it was not sent');

-- ---- suppression ----
SELECT is(ecauto.suppress_address('imp@shop.example', 'bounce', '550 no such user'), 1::bigint, 'a bounce takes back what is queued');
SELECT ok(NOT ecauto.may_send('imp@shop.example', 'email', 'marketing'), 'and counts more than consent');
SELECT throws_ok($$ EXECUTE marketing('imp@shop.example') $$, '23514', 'address "imp@shop.example" is suppressed');
SELECT lives_ok($$ SELECT ecauto.send_mail('imp@shop.example', 'x', '{"subject": "s", "body": "b"}') $$, 'not for transactional mail');
SELECT ok(ecauto.unsuppress_address('imp@shop.example') AND NOT ecauto.unsuppress_address('imp@shop.example') AND ecauto.may_send('imp@shop.example', 'email', 'marketing'), 'until it is ended');
SELECT throws_ok($$ SELECT ecauto.suppress_address('imp@shop.example', 'whim') $$, '22023', 'there is no reason "whim" to suppress an address');

-- ---- what was asked for and not confirmed yet ends with everything else ----
SELECT ecauto.request_consent('pia@shop.example', 'email', 'news') AS news \gset
SELECT ok(ecauto.unsubscribe(ecauto.unsubscribe_token('pia@shop.example')), 'somebody unsubscribes before confirming a request');
SELECT is(ecauto.confirm_consent(:'news'), false, 'whose token does not subscribe again, whatever its purpose');

-- ---- one key for a mail about an order and an offer ----
SELECT ecauto.grant_consent('pia@shop.example', 'email', 'marketing') \g /dev/null
SELECT ecauto.send_mail('pia@shop.example', NULL, '{"subject": "s", "body": "b"}', key => 'order:1') AS mail \gset
SELECT is(ecauto.send_mail('pia@shop.example', NULL, '{"subject": "s", "body": "b"}', 'marketing', 'order:1'), :mail::bigint, 'is one mail');
SELECT ecauto.unsubscribe(ecauto.unsubscribe_token('pia@shop.example')) \g /dev/null
SELECT is((ecauto.message(:mail)).state, 'queued', 'which unsubscribing does not take back');

-- ---- erasure ----
SELECT ecauto.grant_consent('eve@shop.example', 'email', 'marketing', 'v1', 'form', '10.9.9.9') \g /dev/null
SELECT ecauto.unsubscribe_token('eve@shop.example') AS eve_token \gset
SELECT ok(ecauto.erase_contact('Eve@shop.example'), 'an address is forgotten');
SELECT is((SELECT count(*) FROM ecauto_data.contact c LEFT JOIN ecauto_data.consent l USING (contact_id) WHERE to_jsonb(c)::text || coalesce(to_jsonb(l)::text, '') ~* 'eve@|10.9.9.9'), 0::bigint, 'without a trace of it');
SELECT is(ecauto.grant_consent('eve@shop.example', 'email', 'marketing', 'v1', 'feed', '10.9.9.9'), false, 'the next import does not bring it back');
SELECT ok(NOT ecauto.may_send('eve@shop.example', 'email', 'marketing') AND ecauto.unsubscribe(:'eve_token'), 'its links still answer');

SELECT * FROM finish();
ROLLBACK;

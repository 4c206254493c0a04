-- Who has nothing but USAGE on schema ecauto reads no consent and makes none up; links in mails work for everybody.
BEGIN;
SELECT plan(24);

CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://127.0.0.1:9', sender 'Shop <shop@shop.example>');
SET LOCAL ecauto.mail_endpoint = 'mail';
SELECT ecauto.grant_consent('ann@shop.example', 'email', 'marketing'), ecauto.grant_consent('bob@shop.example', 'email', 'marketing') \g /dev/null
SELECT ecauto.unsubscribe_token('ann@shop.example') AS token \gset
SELECT ecauto.request_consent('cid@shop.example', 'email', 'marketing') AS request \gset
SELECT ecauto.create_template('offer', 'Offer', NULL, 'Hello') \g /dev/null
CREATE ROLE ec_clerk;
GRANT USAGE ON SCHEMA ecauto TO ec_clerk;
GRANT USAGE ON SCHEMA ecauto_data TO ec_clerk;
SET LOCAL ROLE ec_clerk;

SELECT throws_ok(format('SELECT * FROM ecauto_data.%I', t), '42501', NULL, t || ' is not for everybody') FROM unnest('{consent,contact,campaign_secret,campaign_mail,campaign}'::text[]) t;
SELECT throws_ok('SELECT ecauto.' || call, '42501', NULL, call)
FROM unnest(ARRAY['grant_consent(''ann@shop.example'', ''email'', ''marketing'')', 'withdraw_consent(''ann@shop.example'', ''email'')',
	'request_consent(''ann@shop.example'', ''email'', ''marketing'')', 'may_send(''ann@shop.example'', ''email'', ''marketing'')',
	'unsubscribe_token(''ann@shop.example'')', 'address_hash(''ann@shop.example'')', 'consents(''ann@shop.example'')',
	'suppress_address(''ann@shop.example'', ''manual'')', 'erase_contact(''ann@shop.example'')', 'send_campaign(''x'', ''y'', ''offer'')',
	'cancel_campaign(''x'')', 'check_outbox_consent(1, ''mail'', ''marketing'', NULL, ''{}'')', 'set_frequency_cap(''x'', 1, ''1 day'')', 'campaigns()']) call;
SELECT throws_ok($$ SELECT ecauto.send_mail('bob@shop.example', 'offer', '{}', 'marketing') $$, '42501', NULL, 'nobody sends where he may not');
SELECT ok(ecauto.unsubscribe(:'token'), 'a link unsubscribes, whoever follows it');
SELECT ok(ecauto.confirm_consent(:'request'), 'or confirms');
RESET ROLE;
SELECT ok(NOT ecauto.may_send('ann@shop.example', 'email', 'marketing') AND ecauto.may_send('cid@shop.example', 'email', 'marketing'), 'which counts');
GRANT USAGE ON FOREIGN SERVER mail TO ec_clerk;
GRANT EXECUTE ON FUNCTION ecauto.grant_consent(text, text, text, text, text, inet, timestamptz) TO ec_clerk;
SET LOCAL ROLE ec_clerk;
SELECT ok(ecauto.grant_consent('dan@shop.example', 'email', 'marketing') AND ecauto.send_mail('dan@shop.example', 'offer', '{}', 'marketing') IS NOT NULL, 'what a shop''s own role needs can be granted to it');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;

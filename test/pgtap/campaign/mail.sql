-- Mails made of stored templates, in the recipient's language; and the flow's step that sends one.
BEGIN;
SELECT plan(36);

CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://127.0.0.1:9', sender 'Shop <shop@shop.example>');
SET LOCAL ecauto.mail_endpoint = 'mail';
SET LOCAL ecauto.unsubscribe_url = '';

SELECT ecauto.create_template('hello', 'Hello {{customer.name}}', '<p>Hello {{customer.name}}</p>', sample => '{"customer": {"name": "Ann"}}') \g /dev/null
SELECT ecauto.create_template('hello', 'Witaj {{customer.name}}', '<p>Witaj {{customer.name}}</p>', locale => 'pl') \g /dev/null
SELECT ecauto.create_template('plain', 'Plain', NULL, 'Just {{word}}') \g /dev/null
SELECT ecauto.create_template('offer', 'Offer', '<p><a href="{{unsubscribe_url}}">stop</a></p>') \g /dev/null
SELECT ecauto.create_template('part', NULL, '<p>part</p>') \g /dev/null

-- ---- templates ----
SELECT is((ecauto.message(ecauto.send_mail('ann@shop.example', 'hello', '{"customer": {"name": "<Ann>"}}'))).payload,
	'{"to": "ann@shop.example", "subject": "Hello <Ann>", "html": "<p>Hello &lt;Ann&gt;</p>", "text": "Hello <Ann>\n"}', 'subject, HTML and text of a template');
SELECT is((ecauto.message(ecauto.send_mail('ann@shop.example', 'plain', '{"word": "<text>"}'))).payload - 'to', '{"subject": "Plain", "text": "Just <text>"}', 'a template of text alone');
SELECT results_eq($$ SELECT m.payload ->> 'subject', m.template, m.purpose FROM ecauto.message(ecauto.send_mail('ann@shop.example', 'hello', '{"customer": {"name": "Ann", "locale": "pl-PL"}}')) m $$,
	$$ VALUES ('Witaj Ann', 'hello', 'transactional') $$, 'in the language that the data tells');
SELECT is((ecauto.message(ecauto.send_mail('ann@shop.example', 'hello', '{"customer": {"name": "Ann", "locale": "de"}}'))).payload ->> 'subject', 'Hello Ann', 'else in the one for all');
SELECT is((ecauto.message(ecauto.send_mail('ann@shop.example', 'hello', '{"customer": {"name": "Ann", "locale": "no locale"}}'))).payload ->> 'subject', 'Hello Ann', 'a locale that is none does no harm');
SELECT is((ecauto.message(ecauto.send_mail('ann@shop.example', 'plain', '{"attachments": [{"name": "a.txt", "type": "text/plain", "content": "x"}], "reply_to": "b@shop.example", "headers": {"X-A": "b"}}'))).payload - '{to,subject,text}'::text[],
	'{"reply_to": "b@shop.example", "attachments": [{"name": "a.txt", "type": "text/plain", "content": "x"}]}', 'attachments and reply_to go along');
SELECT is((ecauto.message(ecauto.send_mail('ann@shop.example', 'none', '{"subject": "S", "body": "B"}'))).payload ->> 'text', 'B', 'without a template the text itself');
SELECT is(ecauto.send_mail('ann@shop.example', 'plain', '{}', key => 'k'), ecauto.send_mail('ann@shop.example', 'plain', '{}', key => 'k'), 'the same key is the same mail');

-- a template that changes
SELECT ecauto.create_template('plain', 'Changed', NULL, 'New') \g /dev/null
SELECT is((ecauto.message(ecauto.send_mail('ann@shop.example', 'plain', '{}'))).payload ->> 'subject', 'Changed', 'a new version is used at once');
SAVEPOINT s;
SELECT ecauto.create_template('plain', 'Undone', NULL, 'Undone') \g /dev/null
SELECT is((ecauto.message(ecauto.send_mail('ann@shop.example', 'plain', '{}'))).payload ->> 'subject', 'Undone', 'so is one more');
ROLLBACK TO s;
SELECT is((ecauto.message(ecauto.send_mail('ann@shop.example', 'plain', '{}'))).payload ->> 'subject', 'Changed', 'one that was rolled back is not');
SELECT ecauto.drop_template('plain') \g /dev/null
SELECT throws_ok($$ SELECT ecauto.send_mail('ann@shop.example', 'plain', '{}') $$, '42704', 'mail template "plain" does not exist', 'nor one that was dropped');

-- ---- the shop's customers ----
\ir ../event/shop.psql
CREATE TABLE s.member (id int PRIMARY KEY, mail text, lang text, zone text);
INSERT INTO s.member VALUES (1, 'Jan@Shop.example', 'pl_PL', 'Europe/Warsaw'), (2, 'kim@shop.example', NULL, 'Nowhere/At_All');
SET LOCAL search_path = s, public;
SELECT ecauto.bind_role('customer', 'SELECT id AS key, mail AS email, lang AS locale, zone AS tz FROM s.member') \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT is((ecauto.message(ecauto.send_mail('jan@shop.example', 'hello', '{"customer": {"name": "Jan"}}'))).payload ->> 'subject', 'Witaj Jan', 'in the language that the shop knows of him');
SELECT is((ecauto.message(ecauto.send_mail('Jan <JAN@shop.example>', 'hello', '{"customer": {"name": "Jan"}}'))).payload ->> 'subject', 'Witaj Jan', 'however he is written');
SELECT is((ecauto.message(ecauto.send_mail('kim@shop.example', 'hello', '{"customer": {"name": "Kim"}}'))).payload ->> 'subject', 'Hello Kim', 'that may be none');
ALTER TABLE s.member RENAME COLUMN lang TO language;
SELECT is((ecauto.message(ecauto.send_mail('jan@shop.example', 'hello', '{"customer": {"name": "Jan"}}'))).payload ->> 'subject', 'Witaj Jan', 'as the last tick saw him, if the shop''s table has changed');
ALTER TABLE s.member RENAME COLUMN language TO lang;

-- ---- the shop's own consents ----
CREATE TABLE s.newsletter (mail text, yes boolean, at timestamptz);
INSERT INTO s.newsletter VALUES ('JAN@shop.example', true, '2026-01-01'), ('kim@shop.example', true, '2026-01-01'), ('Kim@shop.example', false, '2026-01-02');
SELECT ecauto.bind_role('consent', $$ SELECT mail AS email, 'email' AS channel, yes AS granted, at FROM s.newsletter $$) \g /dev/null
SELECT is(array_agg(ecauto.may_send(a, 'email', 'marketing') ORDER BY a), '{t,f}', 'the shop''s own consents count, whatever their case') FROM unnest('{jan@shop.example,kim@shop.example}'::text[]) a;
SELECT ok(NOT ecauto.may_send('jan@shop.example', 'email', 'marketing', '2025-12-31'), 'from their time on');
SELECT ok(NOT ecauto.may_send('jan@shop.example', 'sms', 'marketing'), 'for their channel');
SELECT ok(ecauto.grant_consent('kim@shop.example', 'email', 'marketing'), 'a later consent of ours wins');
SELECT ecauto.withdraw_consent('jan@shop.example', 'email') \g /dev/null
SELECT ok(NOT ecauto.may_send('jan@shop.example', 'email', 'marketing'), 'as does a later withdrawal');
INSERT INTO s.newsletter SELECT 'jan@shop.example', true, ecauto.now() + interval '1 second';
SELECT ok(ecauto.may_send('jan@shop.example', 'email', 'marketing', ecauto.now() + interval '1 second'), 'and after that the shop''s again');

-- ---- marketing ----
SELECT is((ecauto.message(ecauto.send_mail('kim@shop.example', 'offer', '{}', 'marketing'))).payload ->> 'html', '<p><a href="">stop</a></p>', 'a shop that has no link shows none');
SET LOCAL ecauto.unsubscribe_url = 'https://shop.example/u/';
SELECT is((ecauto.message(ecauto.send_mail('kim@shop.example', 'offer', '{"unsubscribe_url": "http://evil.example"}', 'marketing'))).payload ->> 'html',
	format('<p><a href="https://shop.example/u/%s">stop</a></p>', ecauto.unsubscribe_token('kim@shop.example')), 'the link of a recipient is his own');
SELECT throws_ok($$ SET LOCAL ecauto.unsubscribe_url = 'ftp://shop.example' $$, '22023');
SELECT throws_ok($$ SET LOCAL ecauto.unsubscribe_url = E'https://shop.example/\r\nBcc:a' $$, '22023');

-- ---- errors ----
SELECT throws_ok($$ SELECT ecauto.send_mail('ann@shop.example', 'part', '{}') $$, '55000', 'mail template "part" has no subject');
SELECT throws_ok($$ SELECT ecauto.send_mail('ann@shop.example', 'hello', '{"customer": {"name": "a\nb"}}') $$, '22023', 'subject of mail template "hello" would have a line break');
SELECT throws_ok($$ SELECT ecauto.send_mail('ann', 'hello', '{}') $$, '22023');

-- ---- the flow's step ----
SELECT is((SELECT m.payload ->> 'subject' FROM ecauto.message((ecauto.action_mail('{"template": "hello"}', '{"customer": {"name": "Ann", "email": "ann@shop.example"}}') ->> 'message')::bigint) m), 'Hello Ann', 'to the customer, with what the flow knows');
SELECT is((SELECT m.payload ->> 'subject' FROM ecauto.message((ecauto.action_mail('{"template": "hello", "recipient": "staff@shop.example", "data": {"customer": {"name": "Staff"}}}', '{"customer": {"name": "Ann"}}') ->> 'message')::bigint) m), 'Hello Staff', 'or to somebody else, with data of its own');
SELECT is(ecauto.action_mail('{"template": "hello"}', '{"customer": {"email": null}, "cart": {}}'), '{"skipped": "no_address"}', 'nobody to write to');
SELECT is(ecauto.action_mail('{"template": "hello"}', '{"order": {"email": "ann@"}}') ->> 'skipped', 'no_address', 'an address that is none');
SELECT is(ecauto.action_mail('{"template": "hello", "purpose": "marketing"}', '{"customer": {"email": "ann@shop.example"}}'), '{"skipped": "no_consent"}', 'no consent');
SELECT is(ecauto.action_mail('{"template": "nope"}', '{"customer": {"email": "ann@shop.example"}}'), '{"skipped": "template_error", "detail": "mail template \"nope\" does not exist"}', 'no template');
SELECT throws_ok($$ SELECT ecauto.action_mail('{"tempalte": "hello"}', '{}') $$, '22023', 'unknown parameter "tempalte" of a mail');

SELECT * FROM finish();
ROLLBACK;

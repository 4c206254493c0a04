-- A campaign: who gets it, who is held out, how far it has come, and what came of it.
BEGIN;
SELECT plan(47);

CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://127.0.0.1:9', sender 'Shop <shop@shop.example>');
SET LOCAL ecauto.mail_endpoint = 'mail';
SET LOCAL ecauto.unsubscribe_url = 'https://shop.example/u/';
SET LOCAL TimeZone = 'UTC';
SET LOCAL ecauto.clock = '2026-03-02 10:00+00';
SELECT ecauto.create_template('spring', 'Spring, {{customer.name}}', '<p>{{word}} <a href="{{unsubscribe_url}}">stop</a></p>') \g /dev/null
SELECT ecauto.create_template('spring_b', 'Blossom', '<p>{{word}}</p>') \g /dev/null
SELECT ecauto.create_template('part', NULL, '<p>part</p>') \g /dev/null

-- ---- who is held out ----
SELECT is((SELECT count(*) FROM generate_series(1, 10000) n WHERE ecauto.campaign_arm('spring', n::text, 0.1) = 'holdout'), (SELECT count(*) FROM generate_series(1, 10000) n WHERE ecauto.bucket('spring', n::text) < 0.1), 'the holdout is drawn by bucket()');
SELECT ok((SELECT count(*) BETWEEN 900 AND 1100 FROM generate_series(1, 10000) n WHERE ecauto.campaign_arm('spring', n::text, 0.1) = 'holdout'), 'about one in ten of 10,000');
SELECT ok((SELECT count(*) BETWEEN 60 AND 140 FROM generate_series(1, 10000) n WHERE ecauto.campaign_arm('spring', n::text, 0.1) = 'holdout' AND ecauto.campaign_arm('summer', n::text, 0.1) = 'holdout'), 'another name draws others: one in ten of them is in both');
SELECT is((SELECT count(*) FROM generate_series(1, 10000) n WHERE ecauto.campaign_arm('spring', n::text, 0.1) = 'holdout' AND ecauto.campaign_arm('spring', n::text, 0.2) <> 'holdout'), 0::bigint, 'a larger holdout holds the smaller one');
SELECT ok((SELECT count(*) FILTER (WHERE a = 'A') BETWEEN 2100 AND 2400 AND count(*) FILTER (WHERE a = 'B') BETWEEN 6600 AND 6900 AND count(*) FILTER (WHERE a = 'C') = 0
	FROM generate_series(1, 10000) n, ecauto.campaign_arm('spring', n::text, 0.1, '{"A": {"share": 25}, "B": {"share": 75}, "C": {"share": 0}}') a), 'variants by their shares');
SELECT is((SELECT count(*) FROM generate_series(1, 10000) n WHERE ecauto.campaign_arm('spring', n::text, 0.1, '{"A": {}, "B": {}}') <> ecauto.campaign_arm('spring', n::text, 0.2, '{"A": {}, "B": {}}') AND ecauto.campaign_arm('spring', n::text, 0.2, '{"A": {}, "B": {}}') <> 'holdout'), 0::bigint, 'a variant does not depend on the holdout');

-- ---- sending ----
INSERT INTO ecauto_data.seen_customer (key, email, name, locale, tz) SELECT n, 'c' || n || '@shop.example', 'Customer ' || n, 'en', 'Europe/Warsaw' FROM generate_series(1, 2000) n;
INSERT INTO ecauto_data.seen_customer (key, email) VALUES ('none', NULL), ('bad', 'nobody@'), ('twin', 'c1@shop.example');
SELECT ecauto.grant_consent('c' || n || '@shop.example', 'email', 'marketing') FROM generate_series(1, 1900) n \g /dev/null
SELECT ecauto.suppress_address('c2@shop.example', 'complaint') \g /dev/null
SELECT is(ecauto.send_campaign('spring', NULL, 'spring', holdout => 0.2, variants => '{"A": {}, "B": {"template": "spring_b"}}', data => '{"word": "Sun"}',
	customers => ARRAY(SELECT n::text FROM generate_series(1, 2000) n) || '{none,bad,gone,1,2}'::text[]), 2003::bigint, 'everybody once');
SELECT results_eq($$ SELECT name COLLATE "default", customers, waiting, sent + queued, skipped, done FROM ecauto.campaigns() $$, $$ VALUES ('spring'::text, 2003::bigint, 2000::bigint, 0::bigint, 3::bigint, 1 - 2000::float8 / 2003) $$, 'nothing is decided yet but about those without an address');
SELECT is((SELECT count(*) FROM ecauto_data.outbox), 0::bigint, 'nor sent');
SELECT is((SELECT messages FROM ecauto.tick()), (SELECT count(*) FROM generate_series(1, 1900) n WHERE n <> 2 AND ecauto.campaign_arm('spring', n::text, 0.2) <> 'holdout'), 'the tick sends it');
SELECT is((SELECT jsonb_object_agg(reason, n) FROM (SELECT reason, count(*) AS n FROM ecauto_data.campaign_mail GROUP BY 1) r),
	(SELECT jsonb_object_agg(reason, n) FROM (SELECT CASE WHEN n = 2 THEN 'suppressed' WHEN n > 1900 THEN 'no_consent' WHEN ecauto.campaign_arm('spring', n::text, 0.2) = 'holdout' THEN 'holdout' ELSE 'sent' END AS reason, count(*) AS n
		FROM generate_series(1, 2000) n GROUP BY 1 UNION ALL SELECT 'no_address', 3) r), 'each decision has its reason');
SELECT is((SELECT count(*) FROM ecauto_data.campaign_mail m JOIN ecauto_data.outbox o ON o.id = m.message_id WHERE m.arm <> ecauto.campaign_arm('spring', m.customer, 0.2, '{"A": {}, "B": {}}') OR o.template <> CASE m.arm WHEN 'A' THEN 'spring' ELSE 'spring_b' END), 0::bigint, 'with the template of its variant');
SELECT is((SELECT payload - 'text' - 'html' FROM ecauto_data.campaign_mail m JOIN ecauto_data.outbox o ON o.id = m.message_id WHERE m.arm = 'A' ORDER BY m.mail_id LIMIT 1),
	(SELECT jsonb_build_object('to', 'c' || n || '@shop.example', 'subject', 'Spring, Customer ' || n, 'list_unsubscribe', 'https://shop.example/u/' || ecauto.unsubscribe_token('c' || n || '@shop.example'), 'list_unsubscribe_post', true)
		FROM generate_series(1, 1900) n WHERE n <> 2 AND ecauto.campaign_arm('spring', n::text, 0.2, '{"A": {}, "B": {}}') = 'A' ORDER BY n LIMIT 1), 'filled with the customer');
SELECT results_eq($$ SELECT waiting, done > 0 FROM ecauto.campaigns() $$, $$ VALUES (0::bigint, true) $$, 'nothing waits');
SELECT is((SELECT messages FROM ecauto.tick()), 0::bigint, 'nobody gets it twice');
SELECT is(ecauto.send_campaign('spring', NULL, 'spring', holdout => 0.2, variants => '{"A": {}, "B": {"template": "spring_b"}}', customers => '{1,2,3,twin}'), 1::bigint, 'the same campaign again is for who is new');

-- ---- caps in a campaign ----
SELECT ecauto.set_frequency_cap('daily', 1, '1 day') \g /dev/null
SELECT is((SELECT messages FROM ecauto.tick()), 0::bigint, 'a second key of the same address is under one cap');
SELECT is((SELECT reason FROM ecauto_data.campaign_mail WHERE customer = 'twin' AND arm <> 'holdout' UNION ALL SELECT 'holdout' LIMIT 1), CASE WHEN ecauto.campaign_arm('spring', 'twin', 0.2) = 'holdout' THEN 'holdout' WHEN ecauto.campaign_arm('spring', '1', 0.2) = 'holdout' THEN 'sent' ELSE 'cap' END, 'and waits for a place');
SELECT ecauto.drop_frequency_cap('daily') \g /dev/null

-- ---- later, and taken back ----
SELECT is(ecauto.send_campaign('later', NULL, 'spring', customers => '{11,12,13}', send_at => '2026-03-03 09:00+00', deadline => '1 hour'), 3::bigint, 'one for tomorrow');
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT next_at FROM ecauto.campaigns() WHERE name = 'later'), '2026-03-03 09:00+00', 'waits for it');
SELECT set_config('ecauto.clock', '2026-03-03 10:00+00', true) \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT results_eq($$ SELECT expired, waiting FROM ecauto.campaigns() WHERE name = 'later' $$, $$ VALUES (3::bigint, 0::bigint) $$, 'what is too late is not sent');
SELECT is(ecauto.send_campaign('wrong', NULL, 'spring', customers => '{11,12,13}'), 3::bigint, 'one that was a mistake');
SELECT ecauto.tick() \g /dev/null
SELECT is(ecauto.cancel_campaign('wrong'), 3::bigint, 'is taken back as far as it was not sent');
SELECT is((SELECT skipped FROM ecauto.campaign_report('wrong')), '{"cancelled": 3}', 'and says so');
SELECT is(ecauto.cancel_campaign('wrong') + ecauto.cancel_campaign('nope'), 0::bigint, 'once');
SELECT throws_ok($$ SELECT ecauto.send_campaign('wrong', NULL, 'spring', customers => '{14}') $$, '55000', 'campaign "wrong" was cancelled');

-- ---- what came of it ----
SELECT is(round(lo::numeric, 9) || ' ' || round(hi::numeric, 9), lower || ' ' || upper, 'the interval of ' || x1 || '/' || n1 || ' and ' || x2 || '/' || n2)
FROM (VALUES (200, 10000, 250, 10000, '0.000887048', '0.009138267'), (5, 40, 12, 38, '0.006019771', '0.364467858'), (1203, 50210, 1296, 50377, '-0.000157620', '0.003692261')) v(x1, n1, x2, n2, lower, upper), ecauto.lift_interval(x1, n1, x2, n2);
SELECT results_eq('SELECT * FROM ecauto.lift_interval(0, 0, 1, 2)', 'SELECT NULL::float8, NULL::float8, NULL::float8', 'nothing is known of an empty group');
INSERT INTO ecauto_data.seen_order (key, customer_key, currency, total, placed_total, placed_at, is_paid, is_refunded, cancelled)
SELECT 'o' || n, n::text, CASE WHEN n % 2 = 0 THEN 'EUR' ELSE 'PLN' END, 10, 10, '2026-03-04'::timestamptz, true, false, n = 8 FROM generate_series(1, 1800) n
WHERE CASE WHEN ecauto.campaign_arm('spring', n::text, 0.2) = 'holdout' THEN n % 20 = 0 ELSE n % 4 = 0 END
UNION ALL SELECT 'early', '1', 'EUR', 1000, 1000, '2026-03-01', true, false, false UNION ALL SELECT 'late', '1', 'EUR', 1000, 1000, '2026-03-09 10:00+00', true, false, false
UNION ALL SELECT 'twice', (SELECT min(n)::text FROM generate_series(100, 1800, 4) n WHERE ecauto.campaign_arm('spring', n::text, 0.2) <> 'holdout'), 'EUR', 1, 1, '2026-03-05', true, false, false;
SELECT ecauto.track('mail.opened', n::text, properties => '{"campaign": "spring"}') FROM generate_series(1, 50) n, generate_series(1, 2) \g /dev/null
SELECT ecauto.track('mail.clicked', '5', properties => '{"campaign": "other"}') \g /dev/null
CREATE TEMP TABLE report AS SELECT * FROM ecauto.campaign_report('spring');
SELECT is((SELECT array_agg(arm) FROM report), '{A,B,holdout}', 'a row for each arm, the holdout last');
SELECT is((SELECT sum(customers) FROM report), 2004::numeric, 'everybody is counted');
SELECT is((SELECT sum(opened) FROM report), 50::numeric, 'who opened it is counted once');
SELECT is((SELECT sum(clicked) FROM report), 0::numeric, 'clicks of other campaigns are not');
SELECT is((SELECT ordered FROM report WHERE arm = 'holdout'), (SELECT count(*) FROM generate_series(1, 1800) n WHERE n % 20 = 0 AND ecauto.campaign_arm('spring', n::text, 0.2) = 'holdout'), 'the control''s orders');
SELECT is((SELECT sum(ordered) FROM report WHERE arm <> 'holdout'), (SELECT count(*)::numeric FROM generate_series(1, 1800) n WHERE n % 4 = 0 AND n <> 8 AND ecauto.campaign_arm('spring', n::text, 0.2) <> 'holdout'), 'those of the others: none that was cancelled, early or late');
SELECT is((SELECT (revenue ->> 'EUR')::numeric FROM report WHERE arm = 'holdout'), (SELECT 10.0 * ordered FROM report WHERE arm = 'holdout'), 'revenue by currency');
SELECT ok((SELECT bool_and(lift > 0.1 AND lift_lo > 0 AND lift_hi > lift AND note = 'significant') FROM report WHERE arm <> 'holdout'), 'and what the campaign earned');
SELECT results_eq($$ SELECT lift, lift_lo, lift_hi FROM report WHERE arm = 'A' $$, $$ SELECT i.* FROM report a, report h, ecauto.lift_interval(h.ordered, h.compared, a.ordered, a.compared) i WHERE a.arm = 'A' AND h.arm = 'holdout' $$, 'by its interval');
SELECT ecauto.send_campaign('small', NULL, 'spring', holdout => 0.5, customers => ARRAY(SELECT n::text FROM generate_series(1, 150) n)) \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT results_eq($$ SELECT arm COLLATE "default", lift, note FROM ecauto.campaign_report('small') $$, $$ VALUES ('A'::text, NULL::float8, 'not enough data'::text), ('holdout', NULL, 'control') $$, 'below 100 an arm nothing is claimed');
SELECT is((SELECT note FROM ecauto.campaign_report('later')), 'no holdout', 'nor without a holdout');

-- ---- errors ----
SELECT throws_ok($$ SELECT ecauto.send_campaign('x', NULL, 'nope', customers => '{1}') $$, '42704', 'mail template "nope" does not exist');
SELECT throws_ok($$ SELECT ecauto.send_campaign('x', NULL, 'part', customers => '{1}') $$, '55000', 'mail template "part" has no subject');
SELECT throws_ok($$ SELECT ecauto.send_campaign('x', NULL, 'spring') $$, '22023', 'a campaign needs either a segment or customers');
SELECT throws_ok($$ SELECT ecauto.send_campaign('x', NULL, 'spring', holdout => 1, customers => '{1}') $$, '22023', 'holdout of a campaign must be at least 0 and below 1');
SELECT throws_ok($$ SELECT ecauto.send_campaign('x', NULL, 'spring', variants => '{"A": {"share": -1}}', customers => '{1}') $$, '22023', 'invalid variants of a campaign');
SELECT throws_ok($$ SELECT ecauto.send_campaign('spring', NULL, 'spring_b', customers => '{1}') $$, '42710', 'campaign "spring" exists already with another definition');

SELECT * FROM finish();
ROLLBACK;

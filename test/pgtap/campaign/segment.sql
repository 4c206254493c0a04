-- A campaign to the members of a segment, by its name: those of now, and those who come in later.
BEGIN;
\ir ../event/shop.psql
SELECT plan(11);
SET LOCAL ecauto.clock = '2026-06-15 10:00:00+00';
SET LOCAL TimeZone = 'UTC';
CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://127.0.0.1:9', sender 'Shop <shop@shop.example>');
SET LOCAL ecauto.mail_endpoint = 'mail';
SET LOCAL ecauto.unsubscribe_url = 'https://shop.example/u/';
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.create_template('news', 'News', '<p>Hello <a href="{{unsubscribe_url}}">stop</a></p>') \g /dev/null
SELECT ecauto.grant_consent('c' || n || '@shop.example', 'email', 'marketing') FROM generate_series(1, 4) n \g /dev/null
INSERT INTO orders (id, customer_id, mail, total, paid, placed) SELECT 100 + n, n, 'c' || n || '@shop.example', n * 1000, n * 1000, '2026-06-14' FROM generate_series(1, 5) n;
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.create_segment('big', 'customer.spent_total > 3000') \g /dev/null
SELECT ecauto.create_segment('nobody', 'customer.spent_total > 1000000') \g /dev/null
CREATE VIEW sent AS SELECT (ecauto.message(m.id)).payload ->> 'to' AS recipient FROM ecauto.messages() m;

SELECT results_eq($$ SELECT m FROM ecauto.segment_members('big') m ORDER BY m COLLATE "C" $$, $$ VALUES ('3'), ('4'), ('5') $$, 'members of the segment');
SELECT throws_ok($$ SELECT ecauto.send_campaign('june', 'bug', 'news') $$, '42704', NULL, 'a segment that does not exist');
SELECT is(ecauto.send_campaign('june', 'big', 'news'), 3::bigint, 'are those who get the campaign');
SELECT ecauto.tick() \g /dev/null
SELECT results_eq('SELECT recipient FROM sent ORDER BY 1', $$ VALUES ('c3@shop.example'), ('c4@shop.example') $$, 'if they consent');
SELECT is((SELECT skipped FROM ecauto.campaign_report('june')), '{"no_consent": 1}', 'who does not is counted');
SELECT is(ecauto.send_campaign('june', 'big', 'news'), 0::bigint, 'nobody is new');
INSERT INTO orders (id, customer_id, mail, total, paid, placed) VALUES (200, 2, 'c2@shop.example', 5000, 5000, '2026-06-15 09:00+00');
UPDATE orders SET refunded = total WHERE id = 103;
SELECT ecauto.tick() \g /dev/null
SELECT is(ecauto.send_campaign('june', 'big', 'news'), 1::bigint, 'who came in since is');
SELECT ecauto.tick() \g /dev/null
SELECT results_eq('SELECT recipient FROM sent ORDER BY 1', $$ VALUES ('c2@shop.example'), ('c3@shop.example'), ('c4@shop.example') $$, 'and gets it; who left got it before');
SELECT is(ecauto.send_campaign('none', 'nobody', 'news'), 0::bigint, 'an empty segment');
SELECT is((SELECT customers FROM ecauto.campaigns() WHERE name = 'june'), 4::bigint, 'progress counts members of then and since');
SELECT is(ecauto.send_campaign('july', 'big', 'news', holdout => 0.5), 3::bigint, 'with a holdout they are counted, too');

SELECT * FROM finish();
ROLLBACK;

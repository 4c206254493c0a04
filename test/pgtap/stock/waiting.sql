-- The waiting list: the oldest first, as many as there are units for, and nobody for what is gone again.
BEGIN;
\ir shop.psql
SELECT plan(24);
SET LOCAL ecauto.clock = '2026-04-30 10:00+02';
INSERT INTO product VALUES ('P', 'Cup');
INSERT INTO variant VALUES ('A', 'P', 'Cup, blue', true), ('B', 'P', 'Cup, red', true);
INSERT INTO stock VALUES ('A', 'main', 0, 0), ('B', 'main', 0, 0);
SELECT ecauto.attach_shop('custom') \g /dev/null
SELECT ecauto.tick() \g /dev/null
CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://127.0.0.1:9', sender 'Shop <shop@shop.example>');
SELECT ecauto.set_waiting(safety => 1, ratio => 2) \g /dev/null
CREATE FUNCTION told() RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(m.payload ->> 'to', ' ' ORDER BY m.id), '') FROM ecauto.messages('mail') x CROSS JOIN LATERAL ecauto.message(x.id) m WHERE x.state = 'queued'
$$;
SELECT count(ecauto.join_waiting('A', n || '@shop.example')) FROM unnest('{one,two,three,four,five,six}'::text[]) n \g /dev/null
SET LOCAL ecauto.clock = '2026-04-30 10:01+02';
SELECT ecauto.join_waiting('A', 'seven@shop.example') AS seven \gset
SELECT is(ecauto.join_waiting('A', 'seven@shop.example'), :seven::bigint, 'twice is once');
SELECT ecauto.tick() \g /dev/null
SELECT is(told(), '', 'nobody yet');

-- ---- scenario 6 ----
UPDATE stock SET qty = 1 WHERE variant_id = 'A';
SELECT ecauto.tick() \g /dev/null
SELECT is(told(), '', 'one unit is kept');
UPDATE stock SET qty = 3 WHERE variant_id = 'A';
SELECT ecauto.tick() \g /dev/null
SELECT is(told(), 'one@shop.example two@shop.example three@shop.example four@shop.example', 'three units, one kept: four mails to the four oldest');
SELECT is((SELECT count(*) FROM ecauto_data.waiting WHERE message_id IS NULL), 3::bigint, 'three still wait');
SELECT ecauto.tick() \g /dev/null
UPDATE stock SET qty = 4 WHERE variant_id = 'A';
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT count(*) FROM ecauto.messages('mail')), 4::bigint, 'no more before the next wave');
-- the first two mails leave, then two units are sold
SELECT ecauto.pause_endpoint('mail') \g /dev/null
SELECT is((SELECT count(*) FROM (SELECT ecauto.settle(l.id, l.attempt) FROM ecauto.lease('mail', 1) l) x), 1::bigint, 'they leave in order, one by one');
SELECT is((SELECT count(*) FROM (SELECT ecauto.settle(l.id, l.attempt) FROM ecauto.lease('mail', 1) l) x), 1::bigint, 'the second');
SELECT is(told(), 'three@shop.example four@shop.example', 'the two oldest are told');
SELECT is((SELECT ecauto.waiting_unwanted(message_id) FROM ecauto_data.waiting WHERE email = 'three@shop.example'), NULL, 'the third is wanted');
UPDATE stock SET qty = 1 WHERE variant_id = 'A';
SELECT is((SELECT ecauto.waiting_unwanted(message_id) FROM ecauto_data.waiting WHERE email = 'three@shop.example'), 'sold out again: 1 can be sold, 1 are kept', 'not any more, and why');
SELECT is((SELECT count(wanted) FROM ecauto.lease('mail', 4)), 1::bigint, 'who sends it is told whom to ask');
SELECT ecauto.settle(l.id, l.attempts, 'cancelled', ecauto.waiting_unwanted(l.id)) FROM ecauto.messages('mail', 'leased') l \g /dev/null
SELECT ecauto.cancel(id) FROM ecauto.messages('mail', 'queued') \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT string_agg(split_part(email, '@', 1), ' ' ORDER BY at, id) FROM ecauto_data.waiting WHERE message_id IS NULL), 'three four five six seven', 'they wait again, where they were');
SELECT is((SELECT note FROM ecauto_data.waiting WHERE email = 'three@shop.example'), 'sold out again: 1 can be sold, 1 are kept', 'with the reason');
UPDATE stock SET qty = 2 WHERE variant_id = 'A';
SELECT ecauto.tick() \g /dev/null
SELECT is(told(), 'three@shop.example four@shop.example', 'back again: two for the one unit');
-- ---- the next wave ----
SET LOCAL ecauto.clock = '2026-05-01 10:00:59+02';
SELECT ecauto.tick() \g /dev/null
SELECT is(told(), 'three@shop.example four@shop.example', 'not before a day is over');
SET LOCAL ecauto.clock = '2026-05-01 10:01+02';
SELECT ecauto.tick() \g /dev/null
SELECT is(told(), 'three@shop.example four@shop.example five@shop.example six@shop.example', 'then the next two, as there still is one');
-- ---- what is there but not on sale ----
SELECT ecauto.join_waiting('B', 'nine@shop.example') \g /dev/null
UPDATE product SET on_sale = false;
UPDATE stock SET qty = 9 WHERE variant_id = 'B';
SELECT ecauto.tick() \g /dev/null
SELECT ok(told() NOT LIKE '%nine%', 'nobody is told of what is not on sale');
SELECT is((SELECT ecauto.waiting_unwanted(message_id) FROM ecauto_data.waiting WHERE email = 'five@shop.example'), 'no longer on sale', 'nor by a mail that waits to leave');
UPDATE product SET on_sale = true;
SELECT ecauto.tick() \g /dev/null
SELECT ok(told() LIKE '%nine%', 'until it is');
SELECT is((SELECT ecauto.waiting_unwanted(message_id) FROM ecauto_data.waiting WHERE email = 'five@shop.example'), NULL, 'and then the other mail may leave');
SELECT ok(ecauto.leave_waiting('A', 'seven@shop.example'), 'somebody leaves');
SELECT ok(NOT ecauto.leave_waiting('A', 'seven@shop.example'), 'once');
SELECT throws_ok($$ SELECT ecauto.join_waiting('A', 'nobody') $$, '22023', 'mail address "nobody" is not valid', 'no address');
SELECT finish();
ROLLBACK;

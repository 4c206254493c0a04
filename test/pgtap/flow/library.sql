-- Each template of the library does what it is for, once, and nothing where it should not.
BEGIN;
\ir ../event/shop.psql
SELECT plan(70);
SET LOCAL ecauto.clock = '2026-06-01 06:00:00+00';
SET LOCAL ecauto.timezone = 'Europe/Warsaw';
CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://127.0.0.1:2525', sender 'Shop <shop@shop.example>');
CREATE SERVER supplier FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:2526');
SET LOCAL ecauto.mail_endpoint = 'mail';
SET LOCAL ecauto.manager_mail = 'boss@shop.example';

-- ---- what cannot be installed ----
SELECT throws_ok($$ SELECT ecauto.install_template('birthday') $$, '42703', 'template "birthday" needs column "birth_date" of role "customer"', 'a column that the shop lacks');
SELECT throws_ok($$ SELECT ecauto.install_template('nothing') $$, '42704', 'template "nothing" does not exist', 'no such template');
SELECT throws_ok($$ SELECT ecauto.install_template('low_stock', '{"levle": 3}') $$, '22023', 'template "low_stock" has no parameter "levle"', 'a misspelt parameter');
SELECT throws_ok($$ SELECT ecauto.install_template('low_stock', '{"level": "5; DROP TABLE x"}') $$, '22023', 'parameter "level" of template "low_stock" must be a number', 'a number that is none');
SELECT throws_ok($$ SELECT ecauto.install_template('low_stock', '[]') $$, '22023', 'parameters of a template must be an object', 'parameters that are none');
SELECT throws_ok($$ SELECT ecauto.install_template('supplier_order') $$, '22023', 'template "supplier_order" needs one of the parameters to, endpoint', 'no supplier');
SELECT throws_ok($$ SELECT ecauto.install_template('low_stock', '{"name": "A b"}') $$, '42602', 'invalid name of an installed template', 'a name that is none');
SELECT throws_ok($$ SELECT ecauto.install_template('abandoned_cart', '{"after": "soon"}') $$, '22007', NULL, 'a length of time that is none');
SELECT throws_ok($$ SELECT ecauto.install_template('welcome', '{"promotion": "none"}'), ecauto.install_template('welcome', '{"promotion": 5}') $$, '22023', NULL, 'a promotion that is a number');
SAVEPOINT unbound;
DELETE FROM ecauto_data.role_binding WHERE role = 'cart_line';
SELECT throws_ok($$ SELECT ecauto.install_template('abandoned_cart') $$, '55000', 'template "abandoned_cart" needs role "cart_line"', 'a role that is not bound');
ROLLBACK TO unbound;
SELECT is_empty('SELECT name FROM ecauto.flows()', 'no flow was made');
SELECT is_empty('SELECT name FROM ecauto.templates()', 'no mail either');
SELECT is_empty('SELECT name FROM ecauto_data.installed_template', 'nor is anything remembered');
SELECT is((SELECT count(*) FROM ecauto.template_library() WHERE title <> '' AND parameters <> '{}' AND cardinality(flows) > 0), 12::bigint, 'twelve templates');

-- ---- the shop ----
ALTER TABLE customer ADD birth date, ADD first text;
SELECT ecauto.bind_table('customer', 'customer', '{"key": "id", "email": "mail", "created_at": "created", "birth_date": "birth", "first_name": "first"}') \g /dev/null
SELECT ecauto.attach_shop('custom') \g /dev/null
UPDATE customer SET first = 'Ann', birth = '2004-02-29' WHERE id = 1;
SELECT ecauto.grant_consent('c' || i || '@shop.example', 'email', 'marketing') FROM generate_series(1, 30) i WHERE i <> 4 \g /dev/null
SELECT ecauto.create_promotion('gift', '{"percent": 10, "coupon": true}') \g /dev/null
SELECT ecauto.tick() \g /dev/null
CREATE TABLE sent (id bigint);
-- what was sent since the last call; an event that a flow emits is for the next tick
CREATE FUNCTION at(clock text) RETURNS text LANGUAGE sql AS $$
	SELECT set_config('ecauto.clock', clock, true); SELECT ecauto.tick(); SELECT ecauto.tick(); SELECT ecauto.tick();
	WITH new AS (INSERT INTO s.sent SELECT o.id FROM ecauto_data.outbox o WHERE o.id NOT IN (SELECT id FROM s.sent) RETURNING id)
	SELECT coalesce(string_agg(split_part(o.payload ->> 'to', '@', 1) || ': ' || (o.payload ->> 'subject'), ', ' ORDER BY o.payload ->> 'to', o.payload ->> 'subject' COLLATE "C"), '')
	FROM new JOIN ecauto_data.outbox o USING (id) $$;
CREATE FUNCTION install(template text, params text DEFAULT '{}') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM ecauto.install_template(template, params::jsonb || '{"enable": true}');
END $$;
CREATE FUNCTION drop_all() RETURNS void LANGUAGE sql AS $$
	SELECT ecauto.drop_flow(name) FROM ecauto.flows(); DELETE FROM ecauto_data.installed_template; SELECT ecauto.drop_template(name) FROM (SELECT DISTINCT name FROM ecauto.templates()) x $$;

-- ---- welcome; scenario 3 ----
SELECT install('welcome', '{"shop": "Pens & Co", "promotion": "gift"}') \g /dev/null
INSERT INTO customer VALUES (10, 'c10@shop.example', '2026-06-01 08:00+00');
SELECT is(at('2026-06-01 08:00:01+00'), '', 'signed up at ten');
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (100, 10, 'c10@shop.example', 30, '2026-06-01 08:02+00');
SELECT is(at('2026-06-01 08:02:01+00'), '', 'and ordered two minutes later');
SELECT is(at('2026-06-01 08:15:00+00'), 'c10: Welcome to Pens & Co', 'one welcome');
SELECT ok((SELECT payload ->> 'html' ~ 'Your code: <strong>\w' FROM ecauto_data.outbox ORDER BY id DESC LIMIT 1), 'with a coupon');
SELECT is(at('2026-06-03 08:15:00+00'), '', 'and no other');
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (101, NULL, 'c11@shop.example', 30, '2026-06-03 09:00+00');
SELECT is(at('2026-06-03 09:00:00+00') || at('2026-06-03 09:10:00+00'), 'c11: Welcome to Pens & Co', 'a guest at his first purchase');
INSERT INTO customer VALUES (11, 'c11@shop.example', '2026-06-05 08:00+00');
SELECT is(at('2026-06-05 08:00:00+00') || at('2026-06-05 09:00:00+00'), '', 'not again when he signs up');
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (102, 2, 'c2@shop.example', 30, '2026-06-05 09:00+00');
INSERT INTO customer VALUES (31, 'nobody@shop.example', '2026-06-05 09:00+00');
SELECT is(at('2026-06-05 09:00:00+00') || at('2026-06-05 09:30:00+00'), '', 'neither an old customer, nor who did not consent');
SELECT drop_all() \g /dev/null

-- ---- abandoned cart; scenario 2 ----
SELECT install('abandoned_cart', '{"min_total": 15, "promotion": "gift"}') \g /dev/null
SELECT at('2026-06-10 07:00+00') \g /dev/null
INSERT INTO cart (id, customer_id, mail) VALUES (1, 1, 'c1@shop.example'), (2, 2, 'c2@shop.example'), (3, 3, 'c3@shop.example'), (4, 5, 'c5@shop.example');
INSERT INTO cart_line VALUES (1, 1, 3, 1), (2, 2, 3, 1), (3, 3, 1, 1), (4, 4, 5, 1), (5, 4, 6, 1);
SELECT is(at('2026-06-10 08:00+00'), '', 'carts at ten');
UPDATE cart_line SET qty = 2 WHERE cart_id IN (1, 2);
SELECT is(at('2026-06-10 08:30+00'), '', 'touched at half past ten');
UPDATE stock SET qty = 0 WHERE variant_id = 5;
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (110, 2, 'c2@shop.example', 60, '2026-06-10 09:29:59+00');
SELECT is(at('2026-06-10 09:00+00'), 'c5: You left something in your cart', 'an hour after the last touch; not who has less than 15 in it');
SELECT matches((SELECT payload ->> 'html' FROM ecauto_data.outbox ORDER BY id DESC LIMIT 1), 'Product 5 \(sold out\)</li>\s*<li>1 × Product 6</li>', 'what is sold out is marked');
SELECT is(at('2026-06-10 09:30+00'), 'c1: You left something in your cart', 'due at half past eleven; not who ordered on another device at 11:29:59');
SELECT matches((SELECT payload ->> 'html' FROM ecauto_data.outbox ORDER BY id DESC LIMIT 1), 'Hello Ann,.*2 × Product 3.*Together 60', 'with what is in it');
UPDATE stock SET qty = 0 WHERE variant_id = 3;
UPDATE orders SET placed = placed WHERE id = 110;
INSERT INTO orders (id, customer_id, mail, cart_id, total, placed) VALUES (111, 5, 'c5@shop.example', 4, 60, '2026-06-10 12:00+00');
SELECT is(at('2026-06-11 09:30+00'), '', 'no second one for a cart that is sold out or ordered');
SELECT is((SELECT detail ->> 'skipped' FROM ecauto.runs('abandoned_cart', subject => 'cart:1') r, ecauto.explain_run(r.run_id) e WHERE e.path = 'steps[2]'), 'sold_out', 'skipped with its reason');
SELECT is((SELECT outcome FROM ecauto.runs('abandoned_cart', subject => 'cart:4')), 'exit_if', 'the order ended the other');
UPDATE stock SET qty = 9 WHERE variant_id = 3;
SELECT is(at('2026-06-13 09:30+00'), 'c1: A last word about your cart', 'the last when it can be had again');
SELECT drop_all() \g /dev/null

-- ---- browse abandonment ----
SELECT install('browse_abandonment') \g /dev/null
SELECT at('2026-06-20 08:00+00') \g /dev/null
SELECT ecauto.track('view', '1', '2'), ecauto.track('view', '1', '3'), ecauto.track('view', '2', '2'), ecauto.track('view', NULL, '2', session => 'x'), ecauto.track('view', '3', '7') \g /dev/null
UPDATE stock SET qty = 0 WHERE variant_id = 7;
SELECT at('2026-06-20 08:00:01+00') \g /dev/null
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (120, 2, 'c2@shop.example', 60, '2026-06-20 10:00+00');
SELECT is(at('2026-06-20 12:00:01+00'), 'c1: Still interested in Product 2?', 'what was looked at; not who ordered, nor what is sold out, nor for a stranger');
SELECT is(at('2026-06-20 14:00:01+00'), '', 'once a week');
SELECT drop_all() \g /dev/null

-- ---- win-back ----
SELECT install('win_back', '{"after": "30 days", "promotion": "gift", "min_orders": 2}') \g /dev/null
SELECT is(at('2026-07-10 10:00+00') || at('2026-07-10 12:30+00'), 'c5: We miss you', 'who ordered thirty days ago, and more than once');
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (130, 2, 'c2@shop.example', 60, '2026-07-15 10:00+00');
SELECT is(at('2026-07-16 10:00+00') || at('2026-07-20 11:00+00'), '', 'not who has ordered meanwhile');
SELECT is(at('2026-07-24 13:00+00'), 'c5: Come back', 'a second one');
SELECT is(at('2026-07-25 13:00+00') || at('2026-08-10 13:00+00'), '', 'no third');
SELECT drop_all() \g /dev/null

-- ---- after the purchase, and reviews ----
SELECT install('post_purchase'), install('review_request', '{"review_url": "https://shop.example/r"}') \g /dev/null
INSERT INTO orders (id, customer_id, mail, total, paid, placed) VALUES (140, 1, 'c1@shop.example', 60, 60, '2026-08-15 10:00+00'), (141, 3, 'c3@shop.example', 60, 60, '2026-08-15 10:00+00'), (142, 5, 'c5@shop.example', 60, 60, '2026-08-15 10:00+00');
INSERT INTO order_line VALUES (140, 140, 2, 3, 20), (141, 141, 2, 3, 20);
SELECT at('2026-08-15 10:00+00') \g /dev/null
UPDATE orders SET sent = 'full' WHERE id IN (140, 141);
SELECT is(at('2026-08-16 10:00+00'), '', 'sent');
UPDATE orders SET refunded = 60 WHERE id = 141;
SELECT is(at('2026-08-19 09:59+00') || at('2026-08-19 10:00+00'), 'c1: How do you like it?', 'three days later; not who got his money back, nor whose order was not sent');
SELECT is(at('2026-08-26 10:00+00'), 'c1: Your opinion on order 140', 'ten days later');
SELECT matches((SELECT payload ->> 'html' FROM ecauto_data.outbox ORDER BY id DESC LIMIT 1), '3 × Product 2.*https://shop.example/r', 'about what he bought');
SELECT drop_all() \g /dev/null

-- ---- birthday; scenario 3 ----
SELECT install('birthday', '{"promotion": "gift"}') \g /dev/null
CREATE TABLE birthdays AS SELECT t AS at, at(t::text) AS mails FROM generate_series('2026-09-01 12:00+00'::timestamptz, '2029-09-01 12:00+00', '1 day') t;
SELECT results_eq($$ SELECT to_char(at, 'YYYY-MM-DD'), mails FROM birthdays WHERE mails <> '' ORDER BY at $$,
	$$ VALUES ('2027-03-01', 'c1: Happy birthday!'), ('2028-02-29', 'c1: Happy birthday!'), ('2029-03-01', 'c1: Happy birthday!') $$,
	'born on 29 February: one mail a year for three years; who has no birthday gets none');
SELECT drop_all() \g /dev/null

-- ---- status of orders ----
SELECT install('order_status') \g /dev/null
SELECT at('2029-10-01 08:00+00') \g /dev/null
INSERT INTO orders (id, customer_id, mail, total, placed) SELECT i, 1, 'c1@shop.example', 60, '2029-10-01 09:00+00' FROM generate_series(150, 153) i;
INSERT INTO orders (id, mail, total, paid, placed) VALUES (154, 'guest@shop.example', 20, 20, '2029-10-01 09:00+00');
INSERT INTO order_line VALUES (150, 150, 2, 3, 20);
SELECT is(at('2029-10-01 09:00+00'), '', 'placed: a minute for what follows');
UPDATE orders SET paid = 60 WHERE id = 151;
SELECT is(at('2029-10-01 09:00:30+00'), '', 'one is paid within it');
SELECT is(at('2029-10-01 09:01+00'), 'c1: Your order 150, c1: Your order 152, c1: Your order 153, guest: Order 154 is paid', 'one that is placed and paid at once has one mail, though its buyer has no account');
SELECT matches((SELECT payload ->> 'html' FROM ecauto_data.outbox WHERE payload ->> 'subject' = 'Your order 150'), '3 × Product 2.*Total: 60 EUR', 'with its lines');
SELECT is(at('2029-10-01 09:01:29+00') || at('2029-10-01 09:01:30+00'), 'c1: Order 151 is paid', 'so has the one paid half a minute later');
UPDATE orders SET paid = 60 WHERE id = 150;
SELECT at('2029-10-01 10:00+00') \g /dev/null
UPDATE orders SET sent = 'full' WHERE id = 150;
UPDATE orders SET cancelled = true, sent = 'full' WHERE id = 152;
UPDATE orders SET sent = 'full' WHERE id = 153;
SELECT is(at('2029-10-01 10:02+00'), 'c1: Order 150 is paid', 'paid at ten');
SELECT is(at('2029-10-01 10:03+00'), 'c1: Order 150 is on its way, c1: Order 152 was cancelled, c1: Order 153 is on its way', 'then sent; cancelled counts more');
UPDATE orders SET paid = 60 WHERE id = 153;
SELECT at('2029-10-05 10:00+00') \g /dev/null
SELECT is(at('2029-10-05 10:01+00'), 'c1: Order 153 is paid', 'paid after it was sent');
UPDATE orders SET total = 61 WHERE id = 150;
SELECT is(at('2029-10-06 10:00+00') || at('2029-10-06 11:00+00'), '', 'other changes are nothing to tell');
SELECT is((SELECT string_agg(payload ->> 'subject', ', ' ORDER BY id) FROM ecauto_data.outbox WHERE payload ->> 'subject' LIKE '%rder 150%' AND payload ->> 'subject' NOT LIKE '%opinion%'),
	'Your order 150, Order 150 is paid, Order 150 is on its way', 'in their order');
SELECT drop_all() \g /dev/null

-- ---- back in stock ----
SELECT install('back_in_stock') \g /dev/null
UPDATE stock SET qty = 0 WHERE variant_id IN (4, 8);
SELECT at('2029-11-01 08:00+00') \g /dev/null
SELECT ecauto.track('wishlist', '1', '4'), ecauto.track('wishlist', '1', '4'), ecauto.track('wishlist', '2', '8'), ecauto.track('wishlist', '3', '2') \g /dev/null
SELECT is(at('2029-11-01 08:00:01+00'), '', 'asked for');
UPDATE stock SET qty = 5 WHERE variant_id = 4;
SELECT is(at('2029-11-10 08:00+00'), 'c1: Product 4 is back', 'back; nobody else is told');
UPDATE stock SET qty = 6 WHERE variant_id = 4;
SELECT is(at('2029-11-11 08:00+00'), '', 'once');
SELECT is(at('2030-02-01 08:00+00'), '', 'months later');
SELECT is((SELECT outcome FROM ecauto.runs('back_in_stock', subject => 'customer:2')), 'exit', 'what does not come back is given up');
SELECT drop_all() \g /dev/null

-- ---- low stock, supplier ----
SELECT install('low_stock', '{"level": 3}'), install('supplier_order', '{"level": 3, "quantity": 40, "to": "supplier@shop.example", "endpoint": "supplier", "path": "/orders"}') \g /dev/null
SELECT at('2030-03-01 08:00+00') \g /dev/null
UPDATE stock SET qty = 2 WHERE variant_id IN (2, 9);
UPDATE stock SET qty = 3 WHERE variant_id = 10;
CREATE TEMP TABLE low AS SELECT at('2030-03-01 09:00+00') AS mails, at('2030-03-01 09:20+00') AS later;
SELECT is((SELECT mails FROM low), 'supplier: Order: 40 of V2, supplier: Order: 40 of V9', 'two are below; three of the third are not');
SELECT is((SELECT later FROM low), 'boss: 2 notices', 'staff gets one mail');
SELECT results_eq($$ SELECT path, payload ->> 'sku', payload -> 'quantity' FROM ecauto_data.outbox WHERE endpoint = 'supplier' ORDER BY id $$,
	$$ VALUES ('/orders', 'V2', '40'::jsonb), ('/orders', 'V9', '40') $$, 'the supplier''s system, too');
UPDATE stock SET qty = 1 WHERE variant_id = 2;
SELECT is(at('2030-03-01 10:00+00') || at('2030-03-01 11:00+00'), '', 'further below is nothing new');
UPDATE stock SET qty = 5 WHERE variant_id = 2;
SELECT at('2030-03-01 12:00+00') \g /dev/null
UPDATE stock SET qty = 2 WHERE variant_id = 2;
SELECT is(at('2030-03-01 13:00+00') || ' / ' || at('2030-03-01 13:20+00'), ' / boss: Low stock: V2 Product 2', 'below again on that day: a notice, no second order');
SELECT drop_all() \g /dev/null

-- ---- high value ----
SELECT install('high_value', '{"min_total": 500, "to": "sales@shop.example"}') \g /dev/null
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (170, 1, 'c1@shop.example', 500, '2030-04-01 09:00+00'), (171, 2, 'c2@shop.example', 499.99, '2030-04-01 09:00+00');
SELECT is(at('2030-04-01 09:00+00'), '', 'not before it is paid');
UPDATE orders SET paid = total WHERE id IN (170, 171);
SELECT is(at('2030-04-01 10:00+00'), 'c1: Thank you for order 170, sales: Order 170: 500 EUR', 'thanks, and a notice');
SELECT results_eq($$ SELECT key, tag FROM ecauto.tags('customer') $$, $$ VALUES ('1', 'high value') $$, 'and a tag');

-- ---- again, and differences ----
SELECT throws_ok($$ SELECT ecauto.install_template('low_stock', '{"name": "high_value"}') $$, '42710', 'flow "high_value" exists already', 'a name that is taken');
SELECT is((SELECT version FROM ecauto.install_template('high_value', '{"min_total": 300}') WHERE kind = 'flow'), 2, 'installed again it is a new version');
SELECT is_empty($$ SELECT * FROM ecauto.diff_template() WHERE state <> 'same' $$, 'as the library has it');
SELECT ecauto.create_template('high_value', 'Thanks!', '<p>Thanks</p>') \g /dev/null
SELECT results_eq($$ SELECT kind, object, state, installed ->> 'subject' FROM ecauto.diff_template('high_value') WHERE state <> 'same' $$,
	$$ VALUES ('mail', 'high_value', 'changed', 'Thanks!') $$, 'what was changed by hand is told');
SELECT * FROM finish();
ROLLBACK;

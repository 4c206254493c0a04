-- One role that cannot be read or compared never holds up the others, and what was missed appears once.
BEGIN;
\ir shop.psql
SELECT plan(33);
SELECT news() \g /dev/null

CREATE FUNCTION why(name text) RETURNS text LANGUAGE sql AS $$
	SELECT broken_message FROM ecauto_data.role_binding WHERE role = name $$;

-- ---- rows that cannot be told apart ----
ALTER TABLE price ADD currency text DEFAULT 'EUR';
SELECT ecauto.bind_role('price', 'SELECT variant_id AS key, currency, amount, true AS tax_included FROM price') \g /dev/null
SELECT is(news(), '', 'bound again');
UPDATE price SET currency = NULL WHERE variant_id = 3;
UPDATE stock SET qty = 1 WHERE variant_id = 3;
SELECT is(news(), 'stock.changed(3)', 'a price without currency breaks its role alone');
SELECT is(why('price'), 'the query of role "price" returns rows without currency', 'which says why');
UPDATE price SET currency = 'EUR', amount = 33 WHERE variant_id = 3;
SELECT is(news(), 'price.changed(3)', 'mended, it tells what was missed');
SELECT is(news(), '', 'once');
SELECT is(why('price'), NULL, 'and is well');

SELECT ecauto.bind_role('product', $$ SELECT CASE WHEN title <> 'gone' THEN id END AS key, title FROM product $$) \g /dev/null
SELECT news() \g /dev/null
UPDATE product SET title = 'gone' WHERE id = 2;
UPDATE stock SET qty = 1 WHERE variant_id = 2;
SELECT is(news(), 'product.deactivated(2) stock.changed(2)', 'by its key, a row without one is a row that is gone');
UPDATE stock SET qty = 2 WHERE variant_id = 2;
SELECT is(ecauto.resync('product'), 1::bigint, 'compared as a whole, it breaks the role, and the others go on');
SELECT is(why('product'), 'the query of role "product" returns rows without key', 'which says why');
UPDATE product SET title = 'back' WHERE id = 2;
SELECT is(news(), 'stock.changed(2) product.created(2)', 'mended');

SELECT ecauto.bind_role('sku', 'SELECT v.id AS key, v.product_id AS product_key, v.code AS sku FROM variant v LEFT JOIN price p ON p.variant_id = v.id AND p.amount < 20') \g /dev/null
ALTER TABLE price DROP CONSTRAINT price_pkey;
INSERT INTO price VALUES (1, 5), (1, 6);
SELECT is(news(), 'price.changed(1)', 'a shop that has two prices for one sku has the lower one');
SELECT is(why('sku'), 'the query of role "sku" returns key "1" more than once', 'a role with one row a key does not stand two');
DELETE FROM price WHERE variant_id = 1 AND amount <> 10;
SELECT news() \g /dev/null
SELECT is(why('sku'), NULL, 'mended');

-- ---- what ecauto itself cannot keep ----
SELECT ecauto.bind_role('customer', 'SELECT id || mail AS key, mail AS email, created AS created_at FROM customer') \g /dev/null
SELECT news() \g /dev/null
UPDATE customer SET mail = (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) i) WHERE id = 2;
UPDATE stock SET qty = 5 WHERE variant_id = 2;
SELECT ecauto.resync('customer') \g /dev/null
SELECT is(news(), 'stock.changed(2)', 'a key longer than an index takes');
SELECT is(why('customer'), 'the query of role "customer" returns a key of 9601 bytes, and keys have 1000 at most', 'is told');
UPDATE customer SET mail = 'short@shop.example' WHERE id = 2;
SELECT is(news(), 'customer.created(2short@shop.example)', 'and mended');

-- ---- keys of all kinds ----
CREATE TABLE odd (code char(8) PRIMARY KEY, qty int);
INSERT INTO odd VALUES ('A', 1), ('B', 1), (E'q''\n"', 1), ('', 1);
DELETE FROM ecauto_data.seen_stock;
SELECT ecauto.bind_table('stock', 'odd', '{"key": "code", "on_hand": "qty"}') \g /dev/null
SELECT ecauto.attach_shop('custom') \g /dev/null
SELECT news() \g /dev/null
UPDATE odd SET qty = 2 WHERE code = 'A';
DELETE FROM odd WHERE code = 'B';
SELECT is(news(), 'stock.changed(A) stock.changed(B) stock.out(B)', 'blanks at the end of a char(n) do not count');
UPDATE odd SET qty = 3 WHERE code IN ('A', '', E'q''\n"');
SELECT is(news(), E'stock.changed() stock.changed(A) stock.changed(q''\n")', 'quotes, line feeds, and nothing at all');

CREATE TABLE dated (day date PRIMARY KEY, qty int);
INSERT INTO dated VALUES ('2026-12-25', 1), ('2026-01-02', 1);
SELECT ecauto.bind_table('stock', 'dated', '{"key": "day", "on_hand": "qty"}') \g /dev/null
SELECT ecauto.attach_shop('custom') \g /dev/null
SELECT news() \g /dev/null
SET LOCAL datestyle = 'SQL, DMY';
UPDATE dated SET qty = 2;
RESET datestyle;
SELECT is(news(), 'stock.changed(2026-01-02) stock.changed(2026-12-25)', 'a date is noted under any DateStyle');
SET LOCAL datestyle = 'German';
SELECT is(ecauto.resync('stock'), 0::bigint, 'and read under any');
RESET datestyle;

-- ---- stock that is kept in lots ----
CREATE TABLE lot (id int PRIMARY KEY, code text, place text, qty int);
INSERT INTO lot VALUES (1, 'A', 'x', 1), (2, 'A', 'x', 2), (3, 'A', 'y', 2), (4, 'B', 'x', 5);
SELECT ecauto.bind_table('stock', 'lot', '{"key": "code", "location_key": "place", "on_hand": "qty"}') \g /dev/null
SELECT ecauto.attach_shop('custom') \g /dev/null
SELECT news() \g /dev/null
SELECT is((SELECT locations FROM ecauto_data.seen_stock WHERE key = 'A'),
	'{"x": {"on_hand": 3, "reserved": 0}, "y": {"on_hand": 2, "reserved": 0}}', 'several rows of a location are summed');
UPDATE lot SET qty = 3 - qty WHERE id IN (1, 2);
SELECT is(news(), '', 'so moving between them is no change');
UPDATE lot SET qty = NULL WHERE id = 4;
SELECT is(news(), 'stock.changed(B) stock.out(B)', 'stock unknown is none');
UPDATE lot SET qty = 5 WHERE id = 4;
SELECT is(news(), 'stock.changed(B) stock.back(B)', 'and back');

-- ---- parts that cannot be read ----
CREATE TABLE part (id int PRIMARY KEY, cart_id int, variant_id int, n int);
INSERT INTO cart VALUES (1, 1, 'c1@shop.example'), (2, 2, 'c2@shop.example');
INSERT INTO part VALUES (1, 1, 3, 2), (2, 2, NULL, 1);
SELECT ecauto.bind_role('cart', $$ SELECT id AS key, customer_id AS customer_key, mail AS email, 'EUR' AS currency, 0 AS total, touched AS last_activity FROM cart $$) \g /dev/null
SELECT ecauto.bind_role('cart_line', 'SELECT id AS key, cart_id AS cart_key, variant_id AS sku_key, n AS qty FROM part') \g /dev/null
SELECT is(news(), 'cart.changed(1) cart.changed(2)', 'carts, one with a line of no sku');
ALTER TABLE part RENAME n TO amount;
UPDATE cart SET touched = '2026-02-03' WHERE id = 1;
UPDATE lot SET qty = 4 WHERE id = 4;
SELECT is(news(), 'stock.changed(B)', 'a cart whose lines cannot be read is not compared');
SELECT is(why('cart_line'), 'column "n" does not exist', 'the lines are broken');
SELECT is(why('cart'), NULL, 'the cart is not');
SELECT ecauto.bind_role('cart_line', 'SELECT id AS key, cart_id AS cart_key, variant_id AS sku_key, amount AS qty FROM part') \g /dev/null
SELECT is(news(), 'cart.changed(1)', 'with its lines it tells what was missed');
SELECT is((SELECT new -> 'lines' FROM ecauto.events(kind => 'cart.changed') WHERE key = '1' ORDER BY event_id DESC LIMIT 1), '{"3": 2}', 'and no more');

-- ---- who bound it is gone ----
CREATE ROLE ecauto_test_guest SUPERUSER;
SET LOCAL ROLE ecauto_test_guest;
SELECT ecauto.bind_role('customer', 'SELECT id AS key, mail AS email, created AS created_at FROM s.customer') \g /dev/null
RESET ROLE;
SELECT news() \g /dev/null
DROP ROLE ecauto_test_guest;
UPDATE customer SET mail = 'a@shop.example' WHERE id = 1;
UPDATE lot SET qty = 3 WHERE id = 4;
SELECT is(news(), 'stock.changed(B)', 'a role whose definer was dropped');
SELECT is(why('customer'), 'role "ecauto_test_guest" does not exist', 'is broken');
SELECT is((SELECT detail FROM ecauto.check_shop() WHERE role = 'customer'), 'role "ecauto_test_guest" does not exist (42704)', 'as check_shop() tells');

SELECT * FROM finish();
ROLLBACK;

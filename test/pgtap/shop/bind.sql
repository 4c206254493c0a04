-- What a bound role returns: canonical columns in canonical types, defaults for
-- what a shop does not have, one form for what shops write differently.
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(36);

CREATE SCHEMA s;
SET LOCAL search_path = s, public;
CREATE DOMAIN code AS varchar(20);
CREATE TYPE colour AS ENUM ('red', 'blue');
CREATE TABLE thing (id code PRIMARY KEY, fixed char(8) UNIQUE, n int, r real, c colour, name varchar(30), mail text, cur text, at timestamptz, born date);
INSERT INTO thing VALUES
	('a', 'A', 1, 1.5, 'red', 'one', 'Ann@Shop.Example', 'eur', '2026-01-01 00:00+00', '2000-02-29'),
	('b', 'B', 2, 2.5, 'blue', 'two', 'bob@shop.example', 'USD', NULL, NULL);

-- rows of a role, as the rest of ecauto gets them
CREATE FUNCTION fetched(role text) RETURNS bigint LANGUAGE sql AS
	$$ SELECT r.rows FROM ecauto.read_roles() r WHERE r.role = $1 AND r.message IS NULL $$;
CREATE FUNCTION native(role text, col text) RETURNS text LANGUAGE sql AS
	$$ SELECT b.types[array_position(b.columns, $2)] FROM ecauto_data.role_binding b WHERE b.role = $1 $$;

-- ---- forms of query ----
SELECT is(ecauto.bind_role('product', 'SELECT id AS key, name AS title FROM thing'), 2::bigint, 'returns the number of rows');
SELECT is(ecauto.bind_role('product', 'SELECT id AS key, name AS title FROM thing; -- that is all'), 2::bigint, 'a semicolon and a comment');
SELECT is((SELECT query FROM ecauto_data.role_binding WHERE role = 'product'), 'SELECT id AS key, name AS title FROM thing', 'the statement alone is kept');
SELECT is(ecauto.bind_role('product', 'SELECT id AS key, name AS title FROM thing -- that is all'), 2::bigint, 'a comment at the end');
SELECT is(fetched('product'), 2::bigint, 'does not hide what is put after it');
SELECT is(ecauto.bind_role('product', 'WITH t AS (SELECT * FROM thing) SELECT id AS key, name AS title FROM t ORDER BY 1 LIMIT 1'), 1::bigint, 'WITH, ORDER BY, LIMIT');
SELECT is(ecauto.bind_role('product', 'SELECT * FROM (VALUES (1, ''x'')) v(key, title)'), 1::bigint, 'constants');
SELECT is(ecauto.bind_role('product', 'SELECT 1 AS key, NULL AS title, NULL AS brand'), 1::bigint, 'NULLs without a type are text');
SELECT is(ecauto.bind_role('product', 'SELECT id AS key, name AS title FROM thing UNION ALL SELECT ''c'', ''three'''), 3::bigint, 'UNION');

-- ---- types ----
SELECT ecauto.bind_role('product', 'SELECT id AS key, name AS title, c AS brand FROM thing') \g /dev/null
SELECT is(native('product', 'key'), 'character varying', 'a domain is taken for what is below it');
SELECT is(native('product', 'brand'), 's.colour', 'an enum is text');
SELECT lives_ok($$ SELECT ecauto.bind_role('product', 'SELECT fixed AS key, name AS title FROM thing') $$, 'a key of fixed length');
SELECT is(native('product', 'key'), 'pg_catalog.bpchar', 'is not cut to one character');
SELECT lives_ok($$ SELECT ecauto.bind_role('stock', 'SELECT id AS key, r AS on_hand, n AS reserved FROM thing') $$, 'numbers of any kind');
SELECT lives_ok($$ SELECT ecauto.bind_role('product', 'SELECT gen_random_uuid() AS key, name AS title FROM thing') $$, 'a uuid for a key');
SELECT lives_ok($$ SELECT ecauto.bind_role('customer', 'SELECT id AS key, mail AS email, born AS birth_date, at AS created_at FROM thing') $$, 'dates and times');
SELECT throws_ok($$ SELECT ecauto.bind_role('customer', 'SELECT id AS key, mail AS email, at AS birth_date FROM thing') $$, '42804', NULL, 'a time is no date');
SELECT throws_ok($$ SELECT ecauto.bind_role('customer', 'SELECT id AS key, mail AS email, born AS created_at FROM thing') $$, '42804', NULL, 'a date is no time');

-- ---- defaults and forms, seen through what the roles are compared with ----
SELECT ecauto.bind_role('product', 'SELECT id AS key, name AS title FROM thing') \g /dev/null
SELECT ecauto.bind_role('sku', 'SELECT id AS key, id AS product_key FROM thing') \g /dev/null
SELECT ecauto.bind_role('price', 'SELECT id AS key, cur AS currency, r AS amount, true AS tax_included FROM thing') \g /dev/null
SELECT ecauto.bind_role('stock', 'SELECT id AS key, n AS on_hand, nullif(n, 2) AS reserved FROM thing') \g /dev/null
SELECT ecauto.bind_role('customer', 'SELECT id AS key, mail AS email FROM thing') \g /dev/null
SELECT ecauto.bind_role('order', 'SELECT n AS key, cur AS currency, 10 AS total, NULL::int AS paid, now() AS placed_at, mail AS email FROM thing') \g /dev/null
SELECT ecauto.bind_role('order_line', 'SELECT n AS key, n AS order_key, id AS sku_key, 1 AS qty, r AS unit_price FROM thing') \g /dev/null
SELECT ecauto.attach_shop('custom') \g /dev/null
SELECT is((SELECT sku FROM ecauto_data.seen_sku WHERE key = 'a'), 'a', 'sku: its key');
SELECT is((SELECT track_stock FROM ecauto_data.seen_sku WHERE key = 'a'), true, 'track_stock: true');
SELECT is((SELECT active FROM ecauto_data.seen_product WHERE key = 'a'), true, 'active: true');
SELECT is((SELECT currency FROM ecauto_data.seen_price WHERE key = 'a'), 'EUR', 'currencies in capitals');
SELECT is((SELECT reserved FROM ecauto_data.seen_stock WHERE key = 'b'), 0::numeric, 'reserved: 0 for NULL');
SELECT is((SELECT email FROM ecauto_data.seen_customer WHERE key = 'a'), 'ann@shop.example', 'addresses in small letters');
SELECT is((SELECT number FROM ecauto_data.seen_order WHERE key = '1'), '1', 'number: the key');
SELECT is((SELECT paid FROM ecauto_data.seen_order WHERE key = '1'), 0::numeric, 'paid: 0 for the sum of nothing');
SELECT is((SELECT fulfilment FROM ecauto_data.seen_order WHERE key = '1'), 'none', 'fulfilment: none');
SELECT is((SELECT cancelled FROM ecauto_data.seen_order WHERE key = '1'), false, 'cancelled: false');

-- ---- whoever runs it later ----
SELECT is((SELECT search_path FROM ecauto_data.role_binding WHERE role = 'product'), 's, public, pg_temp', 'temporary tables come last');
CREATE TEMP TABLE thing (id text, name text);
SELECT is(fetched('product'), 2::bigint, 'and cannot stand in for the shop''s');
SET LOCAL search_path = public;
SELECT is(s.fetched('product'), 2::bigint, 'the search_path of now does not matter');
SET LOCAL search_path = s, public;
DROP TABLE pg_temp.thing;

-- ---- bind_table() ----
SELECT ecauto.bind_table('order_line', 'thing', '{"key": "n", "order_key": "n", "sku_key": "id", "qty": 2, "unit_price": "r * 2", "tax_included": true, "sku": null}') \g /dev/null
SELECT is(fetched('order_line'), 2::bigint, 'columns, expressions and constants');
SELECT is((SELECT format('%s %s %s', role, table_name, key_column) FROM ecauto_data.source WHERE bound_with = 'order_line'), 'order thing n', 'lines are watched for their order');
SELECT ecauto.bind_table('product', 'thing', '{"key": "id", "title": "upper(name) -- in capitals"}') \g /dev/null
SELECT is((SELECT format('%s %s %s', role, table_name, key_column) FROM ecauto_data.source WHERE bound_with = 'product'), 'product thing id', 'a table is watched');
SELECT ecauto.bind_table('product', 'thing', '{"key": "lower(id)", "title": "name"}') \g /dev/null
SELECT is_empty($$ SELECT 1 FROM ecauto_data.source WHERE bound_with = 'product' $$, 'unless its key is an expression');
CREATE VIEW things AS SELECT * FROM thing;
SELECT ecauto.bind_table('product', 'things', '{"key": "id", "title": "name"}') \g /dev/null
SELECT is_empty($$ SELECT 1 FROM ecauto_data.source WHERE bound_with = 'product' $$, 'or it is a view');

SELECT * FROM finish();
ROLLBACK;

-- What is said to somebody who binds a shop wrongly: code, message, place,
-- detail, hint; and that nothing of it is kept.
\set VERBOSITY terse
SELECT ecauto.setup() > 0 AS ready;
\set VERBOSITY default
\set SHOW_CONTEXT never

CREATE SCHEMA tiny;
SET search_path = tiny;
CREATE TABLE product (id int PRIMARY KEY, "Name" text, cents int, at timestamp, day date, state text);
INSERT INTO product SELECT i, 'thing ' || i, i * 100, '2026-01-01', '2026-01-01', 'live' FROM generate_series(1, 4) i;
CREATE VIEW listed AS SELECT * FROM product;

-- ---- bind_role() ----

-- unknown role, column, type
SELECT ecauto.bind_role('produkt', 'SELECT 1 AS key');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_role('product', 'SELECT id AS key, "Name" AS titel FROM product');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_role('product', 'SELECT id AS key FROM product');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_role('product', 'SELECT id AS key, "Name" AS title, id AS title FROM product');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_role('product', 'SELECT id AS key, cents AS title FROM product');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_role('product', 'SELECT id AS key, "Name" AS title, state AS active FROM product');
SELECT ecauto.bind_role('product', 'SELECT id AS key, "Name" AS title, at AS created_at FROM product');
SELECT ecauto.bind_role('product', 'SELECT ARRAY[id] AS key, "Name" AS title FROM product');
SELECT ecauto.bind_role('stock', 'SELECT id AS key, cents::money AS on_hand FROM product');
SELECT ecauto.bind_role('stock', 'SELECT id AS key, ''5'' AS on_hand FROM product');
SELECT ecauto.bind_role('product', 'SELECT id AS key, name AS title FROM product');
SELECT ecauto.bind_role('product', 'SELECT id AS key, "Name" AS title FROM produkt');
\echo :LAST_ERROR_SQLSTATE

-- not one SELECT that only reads
SELECT ecauto.bind_role('product', '  ');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_role('product', 'SELECT id AS key, "Name" AS title FROM product; DROP TABLE product');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_role('product', 'SELECT id AS key, "Name" AS title FROM product) q; DROP TABLE product; SELECT * FROM (SELECT 1');
SELECT ecauto.bind_role('product', 'UPDATE product SET cents = 0 RETURNING id AS key, "Name" AS title');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_role('product', 'WITH gone AS (DELETE FROM product RETURNING *) SELECT id AS key, "Name" AS title FROM gone');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_role('product', 'SELECT id AS key, "Name" AS title INTO copy FROM product');
SELECT ecauto.bind_role('product', 'SELECT id AS key, "Name" AS title FROM (SELECT * FROM product FOR UPDATE) p');
SELECT ecauto.bind_role('product', 'SELECT id AS key, "Name" AS title FROM product WHERE id = $1');
\echo :LAST_ERROR_SQLSTATE

-- rows that cannot be right
SELECT ecauto.bind_role('product', 'SELECT p.id AS key, p."Name" AS title FROM product p, product twice WHERE twice.id <= 2');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_role('product', 'SELECT nullif(id, 3) AS key, "Name" AS title FROM product');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_role('price', 'SELECT nullif(id, 3) AS key, ''EUR'' AS currency, cents / 100.0 AS amount, true AS tax_included FROM product');
SELECT ecauto.bind_role('order', 'SELECT id AS key, ''EUR'' AS currency, 1 AS total, 0 AS paid, now() AS placed_at, state AS fulfilment FROM product');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_role('product', 'SELECT id AS key, (1 / (id - 2))::text AS title FROM product');
\echo :LAST_ERROR_SQLSTATE

-- ---- bind_table() ----
SELECT ecauto.bind_table('product', 'product', '{"key": "id", "title": "name"}');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_table('product', 'product', '{"key": "id", "title": "Name", "titel": "Name"}');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_table('product', 'product', '{"key": "id", "title": "\"Name\" FROM product; DROP TABLE product; --"}');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_table('product', 'product', '{"key": "id", "title": "\"Name\", cents AS brand"}');
SELECT ecauto.bind_table('product', 'product', '{"key": "id", "title": "*"}');
SELECT ecauto.bind_table('product', 'product', '{"key": "id", "title": ["Name"]}');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_table('product', 'product', '["id"]');
SELECT ecauto.bind_table('product', 'product', '{"title": "Name"}');
SELECT ecauto.bind_table('product', 'nothing', '{"key": "id", "title": "Name"}');
\echo :LAST_ERROR_SQLSTATE

-- ---- bind_source() ----
SELECT ecauto.bind_role('product', 'SELECT id AS key, "Name" AS title FROM product');
SELECT ecauto.bind_source('product', 'product', 'ident');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_source('product', 'product', 'Name');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_source('product', 'listed', 'id');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_source('product', 'pg_catalog.pg_class', 'oid');
SELECT ecauto.bind_source('product', 'nothing', 'id');
SELECT ecauto.bind_source('produkt', 'product', 'id');
SELECT ecauto.bind_source('product', 'product', 'cents', 'SELECT id FROM product');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_source('product', 'product', 'cents', 'SELECT id FROM product WHERE cents = $2');
SELECT ecauto.bind_source('product', 'product', 'cents', 'SELECT id, cents FROM product WHERE cents = ANY ($1)');
SELECT ecauto.bind_source('product', 'product', 'cents', 'SELECT "Name" FROM product WHERE cents = ANY ($1)');
SELECT ecauto.bind_source('product', 'product', 'cents', 'SELECT id FROM product WHERE "Name" = ANY ($1)');
SELECT ecauto.bind_source('product', 'product', 'cents', 'DELETE FROM product WHERE cents = ANY ($1) RETURNING id');
SELECT ecauto.bind_source('product', NULL, 'id');

-- ---- bind_write() ----
SELECT ecauto.bind_write('set_colour', 'UPDATE product SET cents = 1');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_write('set_price', 'UPDATE product SET cents = $2 * 100 WHERE id = $1::int');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_role('price', 'SELECT id AS key, ''EUR'' AS currency, cents / 100.0 AS amount, true AS tax_included FROM product');
SELECT ecauto.bind_write('set_price', 'UPDATE product SET cents = $4 WHERE id = $1::int');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_write('set_price', 'TRUNCATE product');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_write('set_price', 'UPDATE product SET cents = $2 WHERE id = $1::int');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_write('set_price', 'UPDATE product SET cents = $2 * 100 WHERE id = $1::int AND state = $3');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_write('set_price', 'UPDATE product SET cents = $2 * 100 WHERE id = $1');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.bind_write('set_price', 'DELETE FROM product WHERE id = $1::int');
SELECT ecauto.bind_write('set_price', 'SELECT 1; SELECT 2');

-- ---- attach_shop() ----
SELECT ecauto.attach_shop('shopware');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.attach_shop('vendure', '{"chanel": 1}');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.attach_shop('demo', '{"lang": "en"}');
SELECT ecauto.attach_shop('demo', '{}', 'nowhere');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.attach_shop('demo', '{}', 'tiny');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.attach_shop('custom');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.attach_shop('custom', '{"lang": "en"}');
SELECT ecauto.attach_shop(NULL);
\echo :LAST_ERROR_SQLSTATE
-- Vendure's channel table, so that its parameters are asked for
CREATE TABLE channel (id int, code text, "defaultLanguageCode" text);
SELECT ecauto.attach_shop('vendure', '{}', 'tiny');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.attach_shop('vendure', '{"channel": 1, "lang": "en", "money_scale": 0}', 'tiny');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.attach_shop('vendure', '{"channel": 1, "lang": "en", "money_scale": "many"}', 'tiny');
SELECT ecauto.attach_shop('vendure', '{"channel": 1, "lang": "en", "timezone": "Mars/Olympus"}', 'tiny');
SELECT ecauto.attach_shop('vendure', '{"channel": [1], "lang": "en"}', 'tiny');

-- nothing of that was kept: two roles, the table as it was, no shop
SELECT role, columns, types FROM ecauto_data.role_binding ORDER BY 1;
SELECT * FROM ecauto_data.source; -- none
SELECT * FROM ecauto_data.writer;
SELECT * FROM ecauto_data.shop;
SELECT * FROM product;

SET client_min_messages = warning;
DROP SCHEMA tiny CASCADE;
DROP SCHEMA ecauto_data CASCADE;

-- A shop of :n skus with costs and categories, and 100 price rules of mixed scope: see pricing.sh.
SET client_min_messages = warning;
CREATE EXTENSION ecauto;
SELECT ecauto.setup() \g /dev/null
CREATE SCHEMA shop;
SET search_path = shop;
CREATE TABLE category (id int PRIMARY KEY, parent int, title text NOT NULL);
CREATE TABLE product (id int PRIMARY KEY, title text NOT NULL, brand text NOT NULL, category int NOT NULL);
CREATE TABLE variant (id int PRIMARY KEY, product_id int NOT NULL, sku text NOT NULL);
CREATE TABLE price (id serial PRIMARY KEY, variant_id int NOT NULL, currency text NOT NULL, amount numeric(12, 2) NOT NULL, updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE cost (variant_id int PRIMARY KEY, cost numeric(12, 4) NOT NULL, currency text NOT NULL);
CREATE TABLE stock (variant_id int PRIMARY KEY, qty int NOT NULL);
CREATE TABLE orders (id int PRIMARY KEY);
-- a tree of three levels
INSERT INTO category SELECT i, CASE WHEN i > 50 THEN (i - 1) / 5 + 1 WHEN i > 10 THEN (i - 1) / 5 + 1 END, 'Category ' || i FROM generate_series(1, 250) i;
UPDATE category SET parent = NULL WHERE parent >= id;
INSERT INTO product SELECT i, 'Product ' || i, 'Brand ' || i % 500, i % 250 + 1 FROM generate_series(1, :n / 4) i;
INSERT INTO variant SELECT i, (i - 1) / 4 + 1, 'SKU-' || i FROM generate_series(1, :n) i;
INSERT INTO cost SELECT i, (i % 9973) / 100.0 + 1, 'PLN' FROM generate_series(1, :n) i;
INSERT INTO price (variant_id, currency, amount) SELECT i, 'PLN', 10 FROM generate_series(1, :n) i;
CREATE UNIQUE INDEX ON price (variant_id, currency);
INSERT INTO stock SELECT i, 1 FROM generate_series(1, 10) i;

SELECT ecauto.bind_table('product', 'product', '{"key": "id", "title": "title", "brand": "brand"}') \g /dev/null
SELECT ecauto.bind_table('sku', 'variant', '{"key": "id", "product_key": "product_id", "sku": "sku"}') \g /dev/null
SELECT ecauto.bind_role('price', 'SELECT variant_id AS key, currency, amount, true AS tax_included FROM price') \g /dev/null
SELECT ecauto.bind_role('cost', 'SELECT variant_id AS key, cost, currency FROM cost') \g /dev/null
SELECT ecauto.bind_table('stock', 'stock', '{"key": "variant_id", "on_hand": "qty"}') \g /dev/null
SELECT ecauto.bind_role('category', 'SELECT id AS key, parent AS parent_key, title FROM category') \g /dev/null
SELECT ecauto.bind_role('product_category', 'SELECT id AS key, category AS category_key FROM product') \g /dev/null
SELECT ecauto.bind_role('order', $$ SELECT id AS key, 'PLN' AS currency, 0 AS total, now() AS placed_at, 0 AS paid FROM orders $$) \g /dev/null
SELECT ecauto.bind_role('order_line', 'SELECT id AS key, id AS order_key, id AS sku_key, 0 AS qty, 0 AS unit_price FROM orders') \g /dev/null
SELECT ecauto.bind_write('set_price', 'UPDATE price SET amount = $2, updated_at = now() WHERE variant_id = $1::int AND currency = $3') \g /dev/null
SELECT ecauto.set_vat_rate(23) \g /dev/null
SELECT ecauto.set_vat_rate(8, category => '7') \g /dev/null

-- 1 for all, 30 by category, 25 by brand, 10 by product, 32 by sku, 2 by condition
SELECT ecauto.create_price_rule('all', '{"markup": 40, "endings": 0.99}') \g /dev/null
INSERT INTO ecauto_data.price_rule (name, definition, created_at)
SELECT 'category ' || i, format('{"category": "%s", "margin": %s, "round_to": 0.05, "min_margin": 10, "max_change": 9000}', i * 8, 20 + i)::jsonb, now() FROM generate_series(1, 30) i
UNION ALL SELECT 'brand ' || i, format('{"brand": "Brand %s", "markup": %s, "endings": [{"below": 50, "ending": 0.99}, {"ending": 0.95}]}', i * 20, 30 + i)::jsonb, now() FROM generate_series(1, 25) i
UNION ALL SELECT 'product ' || i, format('{"product": %s, "markup": 50}', i * 17)::jsonb, now() FROM generate_series(1, 10) i
UNION ALL SELECT 'sku ' || i, format('{"sku": "SKU-%s", "price": %s}', i * 333, 9 + i)::jsonb, now() FROM generate_series(1, 32) i
UNION ALL SELECT 'condition ' || i, format('{"condition": "cost.cost > %s", "markup": 35, "priority": %s}', i * 45, i)::jsonb, now() FROM generate_series(1, :conditions) i;
VACUUM ANALYZE;

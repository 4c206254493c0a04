-- Conditions of price rules hold for the right prices, whichever way they are evaluated: by the run itself, over several
-- batches of prices, or, in a subquery, by a statement.
BEGIN;
\ir shop.psql
SET LOCAL client_min_messages = error; -- prices that no rule can make are no matter here
SET LOCAL timezone = 'America/New_York'; -- days are the shop's, whatever the session's are
SELECT plan(20);
-- every third sku has no cost and every fifth no product; every 13th is no sku at all
INSERT INTO product SELECT i, 'Product ' || i, CASE WHEN i % 4 > 0 THEN 'Brand ' || i % 4 END, NULL FROM generate_series(11, 700) i;
INSERT INTO variant SELECT i, CASE WHEN i % 5 = 0 THEN -1 ELSE i / 4 + 10 END, 'V' || i, i % 7 > 0 FROM generate_series(11, 2500) i WHERE i % 13 > 0;
INSERT INTO price (variant_id, amount, since)
SELECT i, i % 100 + 1, CASE i % 2 WHEN 0 THEN timestamptz '2025-11-30 23:30:00+00' - i % 3 * interval '1 hour' END FROM generate_series(11, 2500) i;
INSERT INTO cost SELECT i, i % 50 + 0.5 FROM generate_series(11, 2500) i WHERE i % 3 > 0;

-- skus that a rule with the condition prices
CREATE FUNCTION held(condition text) RETURNS int[] LANGUAGE plpgsql AS $$
BEGIN
	PERFORM ecauto.create_price_rule('test', jsonb_build_object('condition', condition, 'price', 1000));
	RETURN (SELECT array_agg(r.sku::int ORDER BY r.sku::int) FROM ecauto.reprice() r);
END $$;
CREATE FUNCTION wanted(condition text) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
	skus int[];
BEGIN
	EXECUTE 'SELECT array_agg(price.variant_id ORDER BY price.variant_id)
		FROM (SELECT p.variant_id, p.currency, p.amount, p.since AS valid_from FROM s.price p) price
		LEFT JOIN (SELECT v.id, v.id::text AS key, v.product_id, v.code AS sku, v.enabled AS active FROM s.variant v) sku ON sku.id = price.variant_id
		LEFT JOIN (SELECT p.id, p.title, p.maker AS brand FROM s.product p) product ON product.id = sku.product_id
		LEFT JOIN s.cost ON cost.variant_id = price.variant_id WHERE ' || condition INTO skus;
	RETURN skus;
END $$;

CREATE TABLE tried (n serial, condition text);
INSERT INTO tried (condition) VALUES
	('cost.cost > 20.5'),
	('cost.cost IS NULL'),
	('price.amount < 2 * cost.cost AND sku.active'),
	('product.brand = ''Brand 2'' OR product.title LIKE ''%99'''),
	('coalesce(product.brand, ''none'') = ''none'''),
	('sku.sku IN (''V12'', ''V26'', ''V2500'')'),
	('sku.active IS NULL'),
	('sku.key < ''2'''),
	('price.currency = ''PLN'' AND price.amount > 99');
SELECT results_eq(format('SELECT s.held(%L)', condition), format('SELECT s.wanted(%L)', condition), condition) FROM tried ORDER BY n;
SELECT results_eq(format('SELECT s.held(%L)', '(SELECT ' || condition || ')'), format('SELECT s.wanted(%L)', condition),
	condition || ', in a subquery') FROM tried ORDER BY n;

-- midnight in Warsaw
SELECT is(held('extract(hour FROM price.valid_from) = 0'),
	(SELECT array_agg(i) FROM generate_series(11, 2500) i WHERE i % 6 = 0), 'hours are those of the shop');
SELECT throws_ok($$ SELECT s.held('1 / (cost.cost - 7.5) > 0') $$, '22012', NULL, 'a condition that fails fails the run');
SELECT * FROM finish();
ROLLBACK;

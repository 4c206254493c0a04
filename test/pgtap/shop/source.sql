-- What was noted becomes keys of roles: directly, by a query over a set of
-- values, by a query for one; and what a broken one does.
BEGIN;
\i test/pgtap/event/shop.psql
SELECT plan(20);

CREATE TABLE parcel (id bigint PRIMARY KEY, order_id int, at timestamptz);
INSERT INTO parcel VALUES (1, 1), (2, 1), (3, 2), (4, NULL);

CREATE FUNCTION resolved(tab text, col text, noted text[]) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(format('%s:%s', r.role, coalesce((SELECT string_agg(k, ',' ORDER BY k) FROM unnest(r.keys) k), CASE WHEN r.keys IS NULL THEN '*' ELSE '' END)), ' ' ORDER BY r.role)
	FROM (SELECT DISTINCT s.tap FROM ecauto_data.source s WHERE s.table_name = tab AND s.key_column = col) s, ecauto.resolve_source(s.tap, noted) r
$$;

-- ---- the kinds ----
SELECT is(resolved('stock', 'variant_id', '{1,2}'), 'stock:1,2', 'the key itself');
SELECT ecauto.bind_source('order', 'parcel', 'id', 'SELECT order_id FROM parcel WHERE id = ANY ($1)') \g /dev/null
SELECT is(resolved('parcel', 'id', '{1,2,3,4,9}'), 'order:1,2', 'a query for all of them, without NULL and each once');
SELECT ecauto.bind_source('order', 'parcel', 'id', 'SELECT order_id FROM parcel WHERE id = $1 -- one by one') \g /dev/null
SELECT is((SELECT count(*) FROM ecauto_data.source WHERE table_name = 'parcel'), 1::bigint, 'bound again, it replaces the first');
SELECT is(resolved('parcel', 'id', '{1,3,4}'), 'order:1,2', 'a query for one of them');
SELECT is(resolved('parcel', 'id', '{}'), 'order:', 'nothing noted');
SELECT is(resolved('parcel', 'id', NULL), 'order:*', 'every key stays every key');

-- ---- taps ----
SELECT ecauto.bind_source('customer', 'orders', 'id', 'SELECT customer_id FROM orders WHERE id = ANY ($1)') \g /dev/null
SELECT is((SELECT count(DISTINCT tap) FROM ecauto_data.source WHERE table_name = 'orders' AND key_column = 'id'), 1::bigint, 'two roles share what is noted');
SELECT is(resolved('orders', 'id', '{3}'), 'customer:3 order:3', 'and both hear of it');
SELECT is((SELECT count(*) FROM (SELECT tap FROM ecauto_data.source GROUP BY tap HAVING count(DISTINCT (schema_name, table_name, key_column)) > 1) t), 0::bigint, 'no tap means two things');

-- ---- end to end ----
SELECT ecauto.attach_shop('custom') \g /dev/null
SELECT news() \g /dev/null
UPDATE customer SET mail = 'new@shop.example' WHERE id = 3;
UPDATE parcel SET at = now() WHERE id = 3;
ALTER TABLE customer DISABLE TRIGGER ecauto_capture;
UPDATE orders SET paid = 0 WHERE id = 2;
SELECT is(news(), '', 'nothing anybody is told');
ALTER TABLE orders DISABLE TRIGGER ecauto_capture;
UPDATE orders SET paid = 10 WHERE id = 2;
SELECT is(news(), '', 'a change that is not captured');
UPDATE parcel SET at = now() + interval '1 hour' WHERE id = 3;
SELECT is(news(), 'order.paid(2)', 'is found by a neighbour''s');
ALTER TABLE orders ENABLE ALWAYS TRIGGER ecauto_capture;

-- ---- broken ----
ALTER TABLE parcel RENAME COLUMN order_id TO belongs_to;
UPDATE orders SET paid = 0 WHERE id = 2;
SELECT news() \g /dev/null
UPDATE orders SET paid = 10 WHERE id = 2;
UPDATE parcel SET at = now() + interval '2 hours' WHERE id = 3;
SELECT lives_ok('SELECT ecauto.tick()', 'the tick goes on');
SELECT is((SELECT count(*) FROM ecauto.events(kind => 'order.paid') WHERE key = '2'), 2::bigint, 'nothing is lost');
SELECT is(resolved('parcel', 'id', '{3}'), 'order:*', 'it resolves to every key');
SELECT is((SELECT detail FROM ecauto.check_shop() WHERE role = 'order'),
	'the resolving query of table "s.parcel" fails: column "order_id" does not exist; bind the source again with ecauto.bind_source()', 'and check_shop() says why');

-- ---- a type that the shop changed ----
ALTER TABLE parcel RENAME COLUMN belongs_to TO order_id;
ALTER TABLE parcel ALTER COLUMN id TYPE text;
SELECT ecauto.bind_source('order', 'parcel', 'id', 'SELECT order_id FROM parcel WHERE id = ANY ($1)') \g /dev/null
SELECT is(resolved('parcel', 'id', '{3}'), 'order:2', 'text now');
SELECT is((SELECT ok FROM ecauto.check_shop() WHERE role = 'order'), true, 'and all is well');
ALTER TABLE parcel ALTER COLUMN id TYPE bigint USING id::bigint;
SELECT is(resolved('parcel', 'id', '{3}'), 'order:2', 'the type of the parameter follows the column');

-- ---- a definer who is gone ----
UPDATE ecauto_data.source SET definer = 'regress_ecauto_gone' WHERE table_name = 'parcel';
SELECT is(resolved('parcel', 'id', '{3}'), 'order:*', 'whoever bound it is gone');

SELECT * FROM finish();
ROLLBACK;

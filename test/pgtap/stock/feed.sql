-- A supplier's list: applied whole or not at all, and never believed when it cannot be.
BEGIN;
\ir shop.psql
SELECT plan(29);
SET LOCAL ecauto.clock = '2026-04-30 10:00+02';
INSERT INTO product VALUES ('P', 'Cup');
INSERT INTO variant SELECT 'S' || g, 'P', 'Cup ' || g FROM generate_series(1, 10012) g;
INSERT INTO stock SELECT id, 'main', 1 FROM variant;
SELECT ecauto.attach_shop('custom') \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.set_supplier('feed', '{"currency": "EUR", "feed_keep": "2 days"}') \g /dev/null
CREATE FUNCTION list(a int, b int, moved int DEFAULT 0) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_agg(jsonb_build_object('sku', 'S' || g, 'price', CASE WHEN g <= a + $3 - 1 THEN 11 ELSE 10 END, 'stock', 5, 'currency', 'eur') ORDER BY g)
	FROM generate_series(a, b) g
$$;
CREATE FUNCTION said(r jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s: %s new, %s moved, %s changed, %s unchanged, %s gone, %s removed, %s held', outcome, new, price_moves, other_changes, unchanged, gone, removed, held)
	FROM ecauto.import_offers('feed', r)
$$;
SELECT is(said(list(1, 10000)), 'applied: 10000 new, 0 moved, 0 changed, 0 unchanged, 0 gone, 0 removed, 0 held', 'the first list');
SELECT is(said(list(1, 10000)), 'same: 0 new, 0 moved, 0 changed, 10000 unchanged, 0 gone, 0 removed, 0 held', 'the same again changes nothing');
CREATE TABLE before AS SELECT *, xmin::text AS x FROM ecauto_data.offer;

-- ---- scenario 5 ----
SELECT is((SELECT format('%s: %s', outcome, reason) FROM ecauto.import_offers('feed', list(1, 3100))), 'rejected: 6900 of 10000 offers are missing: it seems truncated', '3,100 rows after 10,000');
SELECT is((SELECT count(*) FROM (TABLE before EXCEPT SELECT *, xmin::text FROM ecauto_data.offer) x), 0::bigint, 'nothing changed');
SELECT is((SELECT new ->> 'reason' FROM ecauto.events(kind => 'feed.rejected')), '6900 of 10000 offers are missing: it seems truncated', 'somebody is told');
SELECT is((SELECT count(*) FROM ecauto.events(kind => 'feed.rejected')), 1::bigint, 'once');
SELECT is(said(list(41, 10012, 200)), 'applied: 12 new, 200 moved, 0 changed, 9760 unchanged, 40 gone, 0 removed, 0 held', '12 new, 40 gone, 200 prices');
SELECT is((SELECT count(*) FROM before b JOIN ecauto_data.offer o USING (supplier, sku) WHERE o.xmin::text <> b.x), 0::bigint, 'in one transaction');
SELECT is((SELECT count(*) FROM before b JOIN ecauto_data.offer o USING (supplier, sku) WHERE o.prices <> b.prices), 200::bigint, 'so many prices');
SELECT ok(EXISTS (SELECT FROM ecauto.best_offer('S1', 1) WHERE chosen), 'what is missing once can still be had');
SELECT is(said(list(41, 10012, 201)), 'applied: 0 new, 1 moved, 0 changed, 9971 unchanged, 0 gone, 40 removed, 0 held', 'missing twice is gone');
SELECT is((SELECT reason FROM ecauto.best_offer('S1', 1)), 'no longer in the supplier''s feed', 'and cannot');
SELECT is(said(list(1, 10012, 0)), 'applied: 0 new, 201 moved, 40 changed, 9771 unchanged, 0 gone, 0 removed, 0 held', 'back again');

-- ---- guards ----
SELECT is((SELECT format('%s: %s', outcome, reason) FROM ecauto.import_offers('feed', jsonb_set(list(1, 10012), '{5,currency}', '"PLN"'))), 'rejected: prices in PLN, but the supplier sells in EUR', 'a currency that is not theirs');
SELECT is((SELECT format('%s: %s', outcome, reason) FROM ecauto.import_offers('feed', list(1, 10012) || '[{"sku": "S7", "price": 1}]')), 'rejected: sku S7 is there twice', 'a sku twice');
SELECT is(said(jsonb_set(list(1, 10012), '{5,price}', '1000')), 'applied: 0 new, 0 moved, 0 changed, 10011 unchanged, 0 gone, 0 removed, 1 held', 'a price that jumps is held');
SELECT is((SELECT prices FROM ecauto_data.offer WHERE sku = 'S6'), '{10}', 'and stays what it was');
SELECT is((SELECT format('%s: %s', outcome, reason) FROM ecauto.import_offers('feed', (SELECT jsonb_agg(e || '{"price": 1000}') FROM jsonb_array_elements(list(1, 10012)) e))),
	'rejected: 10012 prices move by more than 50%', 'all of them: it is the list that is wrong');
SELECT is((SELECT format('%s %s %s', outcome, unknown, invalid) FROM ecauto.import_offers('feed', list(1, 10012) || '[{"sku": "NEW", "price": 1}, {"sku": "S1x", "price": "a"}, 7, {"price": -1}]')), 'applied 1 3', 'rows that say nothing');
SELECT is((SELECT outcome FROM ecauto.import_offers('feed', '[]')), 'rejected', 'an empty list');
SELECT throws_ok($$ SELECT ecauto.import_offers('feed', '{}'::jsonb) $$, '22023', 'a list of offers must be an array', 'no list');
SELECT throws_ok($$ SELECT ecauto.import_offers('nobody', '[]'::jsonb) $$, '42704', 'supplier "nobody" does not exist', 'nobody''s list');

-- ---- from a table ----
CREATE TABLE staging AS SELECT 'S' || g AS sku, 10.00 AS price, 24 AS pack, 7 AS stock FROM generate_series(1, 10012) g;
SELECT is((SELECT format('%s %s', outcome, other_changes) FROM ecauto.import_offers_from('feed', 'staging')), 'applied 10012', 'from a table');
SELECT is((SELECT format('%s %s', pack, stock) FROM ecauto_data.offer WHERE sku = 'S9'), '24 7', 'as it says');

-- ---- stale ----
SELECT is((SELECT format('%s %s', suppliers, units) FROM ecauto.available_at_supplier('{S9}')), '1 7', 'available at the supplier');
SET LOCAL ecauto.clock = '2026-05-03 10:00+02';
SELECT is((SELECT count(*) FROM ecauto.available_at_supplier()), 0::bigint, 'a list of three days ago is not believed');
SELECT is((SELECT reason FROM ecauto.best_offer('S9', 1)), 'the supplier''s feed is of 2026-04-30', 'nor ordered by');
SELECT is((SELECT outcome FROM ecauto.import_offers_from('feed', 'staging')), 'same', 'the same list today');
SELECT is((SELECT suppliers FROM ecauto.available_at_supplier('{S9}')), 1::bigint, 'is believed');
SELECT finish();
ROLLBACK;

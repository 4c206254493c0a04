-- A supplier's file makes 900 of 5,000 costs ten times cheaper: nothing changes before somebody has looked.
BEGIN;
\ir shop.psql
SELECT plan(8);
SET LOCAL client_min_messages = error;
SELECT ecauto.set_vat_rate(23) \g /dev/null
INSERT INTO product SELECT i, 'Product ' || i, 'Acme', 5 FROM generate_series(11, 5000) i;
INSERT INTO variant SELECT i, i, 'V' || i FROM generate_series(11, 5000) i;
INSERT INTO price (variant_id, amount) SELECT i, 1 FROM generate_series(11, 5000) i;
INSERT INTO cost (variant_id, cost) SELECT i, 10 + i / 100.0 FROM generate_series(11, 5000) i;
SELECT ecauto.create_price_rule('all', '{"markup": 40}') \g /dev/null
SELECT ecauto.reprice(true) \g /dev/null
CREATE TABLE before AS SELECT * FROM price;
SELECT ecauto.set_price_guard('{"max_share": 10, "max_move": 20}') \g /dev/null

UPDATE cost SET cost = cost / 10 WHERE variant_id % 5 = 0 AND variant_id > 500;
SELECT is((SELECT count(*) FROM cost WHERE variant_id % 5 = 0 AND variant_id > 500), 900::bigint, '900 costs');
SELECT is((SELECT count(*) FROM ecauto.reprice(true)), 900::bigint, 'make 900 rows that are listed');
SELECT set_eq('SELECT * FROM price', 'SELECT * FROM before', 'and no change');
SELECT is((SELECT violations FROM ecauto.price_proposals('held')), '{"900 of 5000 prices would move over 20% (at most 10% of them)"}', 'this is why');
CREATE TABLE frozen AS SELECT * FROM ecauto.price_proposal_rows((SELECT id FROM ecauto.price_proposals('held')));
UPDATE cost SET cost = cost * 3;
SELECT is(ecauto.approve_proposal((SELECT id FROM ecauto.price_proposals('held'))), 900::bigint, 'approved');
SELECT is((SELECT count(*) FROM price p JOIN before b USING (variant_id, currency) WHERE p.amount <> b.amount), 900::bigint, '900 prices change');
SELECT is((SELECT count(*) FROM price p JOIN frozen f ON f.sku = p.variant_id::text AND f.currency = p.currency AND f.new_price = p.amount), 900::bigint, 'to what was frozen, although all costs are others by now');
SELECT is((SELECT count(*) FROM ecauto.undo_proposal((SELECT max(id) FROM ecauto.price_proposals('applied')))), 0::bigint, 'and back');
SELECT * FROM finish();
ROLLBACK;

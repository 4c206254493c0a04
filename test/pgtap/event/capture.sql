-- Capture notes what changed and nothing that was rolled back, and never fails the shop.
BEGIN;
\ir shop.psql
SELECT plan(40);

CREATE FUNCTION noted() RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(x.source || ':' || coalesce(x.key, '*'), ' ' ORDER BY x.source COLLATE "C", x.key COLLATE "C"), '')
	FROM (SELECT DISTINCT s.table_name || '.' || s.key_column AS source, k.key
		FROM ecauto_data.change_log l
		JOIN ecauto_data.source s USING (tap)
		LEFT JOIN LATERAL unnest(l.keys) k(key) ON true) x $$;
-- notes of this transaction are in memory; a tick would take them
CREATE FUNCTION flush() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	PERFORM set_config('ecauto.settle_time', '1h', true);
	PERFORM ecauto.tick();
	result := s.noted();
	PERFORM set_config('ecauto.settle_time', '0', true);
	PERFORM ecauto.tick();
	RETURN result;
END $$;
SELECT flush() \g /dev/null

-- ---- savepoints ----
UPDATE stock SET qty = 9 WHERE variant_id = 1;
SAVEPOINT a;
UPDATE stock SET qty = 9 WHERE variant_id = 2;
SAVEPOINT b;
UPDATE stock SET qty = 9 WHERE variant_id = 3;
UPDATE stock SET qty = 8 WHERE variant_id = 1;
RELEASE b;
UPDATE stock SET qty = 9 WHERE variant_id = 4;
ROLLBACK TO a;
UPDATE stock SET qty = 9 WHERE variant_id = 5;
SELECT is(flush(), 'stock.variant_id:1 stock.variant_id:5', 'what a savepoint took back is not noted');

SAVEPOINT a;
UPDATE stock SET qty = 7 WHERE variant_id = 6;
ROLLBACK TO a;
UPDATE stock SET qty = 7 WHERE variant_id = 6;
SELECT is(flush(), 'stock.variant_id:6', 'a key taken back and changed again is noted');

DO $$ BEGIN
	UPDATE s.stock SET qty = 1 WHERE variant_id = 7;
	RAISE EXCEPTION 'no';
EXCEPTION WHEN raise_exception THEN NULL;
END $$;
SELECT is(flush(), '', 'an exception block takes its notes back');

DO $$ BEGIN
	FOR i IN 1..300 LOOP
		BEGIN
			INSERT INTO s.stock VALUES (1000 + i, 'main', i);
			IF i % 3 = 0 THEN
				RAISE EXCEPTION 'no';
			END IF;
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
	END LOOP;
END $$;
SELECT ecauto.tick() \g /dev/null
SELECT set_eq('SELECT key::int FROM ecauto_data.seen_stock WHERE key::int > 1000',
	'SELECT 1000 + i FROM generate_series(1, 300) i WHERE i % 3 <> 0', 'many savepoints, a third of them taken back');
DELETE FROM stock WHERE variant_id > 1000;

-- ---- every way to write ----
SELECT flush() \g /dev/null
COPY stock FROM stdin;
20	main	5	0
21	main	5	0
\.
SELECT is(flush(), 'stock.variant_id:20 stock.variant_id:21', 'COPY');
INSERT INTO stock VALUES (20, 'main', 1), (22, 'main', 1) ON CONFLICT (variant_id, place) DO UPDATE SET qty = excluded.qty;
SELECT is(flush(), 'stock.variant_id:20 stock.variant_id:22', 'ON CONFLICT DO UPDATE');
INSERT INTO stock VALUES (20, 'main', 1) ON CONFLICT DO NOTHING;
SELECT is(flush(), '', 'ON CONFLICT DO NOTHING');
MERGE INTO stock t USING (VALUES (21), (23)) v(id) ON t.variant_id = v.id
	WHEN MATCHED THEN UPDATE SET qty = 3 WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'main', 4);
SELECT is(flush(), 'stock.variant_id:21 stock.variant_id:23', 'MERGE');
UPDATE stock SET qty = qty;
SELECT is(flush(), '', 'an update that changes nothing');
UPDATE stock SET qty = qty + 1 WHERE variant_id IN (20, 21);
SELECT is(flush(), 'stock.variant_id:20 stock.variant_id:21', 'one statement, two rows');
DELETE FROM stock WHERE variant_id IN (20, 21, 22, 23);
SELECT is(flush(), 'stock.variant_id:20 stock.variant_id:21 stock.variant_id:22 stock.variant_id:23', 'DELETE');
SET LOCAL session_replication_role = replica;
UPDATE stock SET qty = 2 WHERE variant_id = 3;
SELECT is(flush(), 'stock.variant_id:3', 'as a replica');
SET LOCAL session_replication_role = origin;
INSERT INTO order_line VALUES (100, NULL, 1, 1, 10);
SELECT is(flush(), '', 'a key that is not known yet');
UPDATE order_line SET order_id = 5 WHERE id = 100;
SELECT is(flush(), 'order_line.order_id:5', 'is noted when it is filled in');
UPDATE order_line SET order_id = 4 WHERE id = 100;
SELECT is(flush(), 'order_line.order_id:4 order_line.order_id:5', 'a line that moves touches both orders');

-- ---- TRUNCATE ----
TRUNCATE stock;
SELECT is(flush(), 'stock.variant_id:*', 'TRUNCATE notes every key');
SELECT is((SELECT count(*) FROM ecauto_data.seen_stock), 0::bigint, 'and the role is compared as a whole');
INSERT INTO stock SELECT i, 'main', 10 FROM generate_series(1, 10) i;
SELECT news() \g /dev/null

-- ---- the shop's own migrations ----
ALTER TABLE stock RENAME COLUMN variant_id TO v_id;
UPDATE stock SET qty = 5 WHERE v_id = 4;
SELECT is(flush(), 'stock.variant_id:4', 'a renamed column is followed');
ALTER TABLE stock RENAME COLUMN v_id TO variant_id;
ALTER TABLE stock RENAME TO stocks;
UPDATE stocks SET qty = 4 WHERE variant_id = 4;
SELECT is(flush(), 'stock.variant_id:4', 'a renamed table too');
ALTER TABLE stocks RENAME TO stock;
ALTER TABLE stock ALTER COLUMN variant_id TYPE bigint;
UPDATE stock SET qty = 3 WHERE variant_id = 4;
SELECT is(flush(), 'stock.variant_id:4', 'a changed type too');
ALTER TABLE stock ALTER COLUMN variant_id TYPE text;
UPDATE stock SET qty = 2 WHERE variant_id = '4';
SELECT is(flush(), 'stock.variant_id:4', 'a key as text');
ALTER TABLE stock ALTER COLUMN variant_id TYPE int USING variant_id::int;
SELECT lives_ok('ALTER TABLE stock ADD COLUMN extra text', 'a column is added');
SELECT lives_ok('ALTER TABLE stock DROP COLUMN variant_id CASCADE', 'the noted column is dropped');
SELECT lives_ok('UPDATE stock SET qty = 1', 'and the shop goes on');
SELECT is(flush(), 'stock.variant_id:*', 'with every key noted');

-- ---- partitions ----
CREATE TABLE pstock (pad int, variant_id int, qty int) PARTITION BY RANGE (variant_id);
CREATE TABLE pstock_a PARTITION OF pstock FOR VALUES FROM (1) TO (100);
CREATE TABLE pstock_b (qty int, variant_id int, pad int);
ALTER TABLE pstock ATTACH PARTITION pstock_b FOR VALUES FROM (100) TO (200);
SELECT ecauto.bind_role('stock', 'SELECT variant_id AS key, qty AS on_hand FROM pstock') \g /dev/null
SELECT ecauto.bind_source('stock', 'pstock', 'variant_id') \g /dev/null
SELECT ecauto.attach_shop('custom') \g /dev/null
SELECT flush() \g /dev/null
INSERT INTO pstock (variant_id, qty) VALUES (1, 5), (101, 5);
SELECT is(flush(), 'pstock.variant_id:1 pstock.variant_id:101', 'rows of a partitioned table');
INSERT INTO pstock_b (variant_id, qty) VALUES (102, 5);
SELECT is(flush(), 'pstock.variant_id:102', 'a partition written directly, with columns in another order');
UPDATE pstock SET variant_id = 103 WHERE variant_id = 1;
SELECT is(flush(), 'pstock.variant_id:1 pstock.variant_id:103', 'a row that moves to another partition');
ALTER TABLE pstock RENAME variant_id TO v;
UPDATE pstock SET qty = 1 WHERE v = 101;
SELECT is(flush(), 'pstock.variant_id:101', 'a column renamed in all partitions');
CREATE TABLE pstock_c PARTITION OF pstock FOR VALUES FROM (200) TO (300);
INSERT INTO pstock (v, qty) VALUES (201, 5);
SELECT is(flush(), 'pstock.variant_id:201', 'a partition made later');

-- ---- long keys ----
CREATE TABLE wide (key text PRIMARY KEY, qty int);
ALTER TABLE wide ALTER COLUMN key SET STORAGE PLAIN;
ALTER TABLE wide DROP CONSTRAINT wide_pkey;
SELECT ecauto.bind_table('stock', 'wide', '{"key": "key", "on_hand": "qty"}') \g /dev/null
SELECT ecauto.attach_shop('custom') \g /dev/null
SELECT flush() \g /dev/null
INSERT INTO wide VALUES ('', 1);
SELECT is(flush(), 'wide.key:', 'an empty key');
INSERT INTO wide SELECT repeat(k, 1000), 1 FROM unnest(ARRAY['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i']) k;
SELECT is(length(flush()), 9 * (length('wide.key:') + 1000) + 8, 'long keys, more than fit a row of the log');
SELECT is((SELECT count(*) FROM ecauto_data.seen_stock WHERE length(key) = 1000), 9::bigint, 'are seen');
INSERT INTO wide VALUES (repeat('k', 1001), 1);
SELECT is(flush(), 'wide.key:*', 'a longer one is every key');
SELECT matches((SELECT broken_message FROM ecauto_data.role_binding WHERE role = 'stock'), 'returns a key of 1001 bytes, and keys have 1000 at most', 'and no key to work with');
DELETE FROM wide WHERE length(key) > 1000;
SELECT is((SELECT events FROM ecauto.tick()), 0::bigint, 'without it all goes on');
SELECT is((SELECT broken_at FROM ecauto_data.role_binding WHERE role = 'stock'), NULL, 'the role is well again');
CREATE VIEW twice AS SELECT key FROM wide WHERE key <> '';
SELECT ecauto.bind_role('product', 'SELECT key, key AS title FROM twice') \g /dev/null
SELECT ecauto.tick() \g /dev/null
CREATE OR REPLACE VIEW twice AS SELECT key FROM wide WHERE key <> '' UNION ALL SELECT key FROM wide WHERE key LIKE 'a%';
SELECT ecauto.resync('product') \g /dev/null
SELECT matches((SELECT broken_message FROM ecauto_data.role_binding WHERE role = 'product'), 'returns key "aaa.*" more than once', 'a key that is there twice breaks its role');

-- ---- misuse ----
SELECT throws_ok('SELECT ecauto.capture()', NULL, NULL, 'not to be called but by triggers');
CREATE TRIGGER early BEFORE INSERT ON product FOR EACH ROW EXECUTE FUNCTION ecauto.capture('1:1:id');
SELECT throws_ok($$ INSERT INTO product VALUES (77, 'x') $$, '39P01', 'ecauto.capture() must be called by an AFTER trigger', 'and by triggers AFTER the change');

SELECT * FROM finish();
ROLLBACK;

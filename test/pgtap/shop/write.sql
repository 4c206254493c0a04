-- A statement for an action is tried on a real row and read back before it is kept.
BEGIN;
\i test/pgtap/event/shop.psql
SELECT plan(24);
CREATE FUNCTION note(action text) RETURNS text LANGUAGE sql AS $$ SELECT w.note FROM ecauto_data.writer w WHERE w.action = $1 $$;

-- ---- good ones ----
SELECT ok(ecauto.bind_write('set_price', 'UPDATE price SET amount = $2 WHERE variant_id = $1::int AND $3 = ''EUR'''), 'a price');
SELECT is(note('set_price'), 'key 1: amount of price 10 became 11', 'what the proof saw');
SELECT ok(ecauto.bind_write('receive_stock', 'UPDATE stock SET qty = qty + $2 WHERE variant_id = $1::int AND place = $3; -- one more'), 'stock');
SELECT is(note('receive_stock'), 'key 1: on_hand of stock 10 became 11', 'of the place of the row');
SELECT ok(ecauto.bind_write('set_active', 'UPDATE product SET on_sale = $2 WHERE id = $1::int'), 'what is active may be the product');
SELECT is(note('set_active'), 'key 1: active of product true became false', 'and was read back there');
CREATE FUNCTION reprice(variant text, amount numeric) RETURNS void LANGUAGE sql SET search_path = s AS
	$$ UPDATE price p SET amount = $2 WHERE p.variant_id = $1::int $$;
SELECT ok(ecauto.bind_write('set_price', 'SELECT reprice($1, $2)'), 'a function of the shop''s');
SELECT ok(ecauto.bind_write('set_price_index', 'UPDATE price SET amount = amount WHERE false'), 'an index may have no row of the key');

-- ---- nothing of the proof remains ----
SELECT is((SELECT sum(amount) FROM price), 550::numeric, 'prices are as they were');
SELECT is((SELECT sum(qty) FROM stock), 100::bigint, 'stock is');
SELECT is((SELECT bool_and(on_sale) FROM product), true, 'products are');
SELECT is(news(), '', 'nobody has seen a change');

-- ---- bad ones ----
SELECT throws_ok($$ SELECT ecauto.bind_write('set_price', 'UPDATE price SET amount = $2 / 100 WHERE variant_id = $1::int') $$,
	'27000', 'writer "set_price" does not write what role "price" reads', 'the wrong unit');
SELECT throws_ok($$ SELECT ecauto.bind_write('set_price', 'UPDATE price SET amount = $2 WHERE variant_id = $1::int + 1') $$,
	'27000', NULL, 'the wrong row');
SELECT throws_ok($$ SELECT ecauto.bind_write('receive_stock', 'UPDATE stock SET qty = $2 WHERE variant_id = $1::int') $$,
	'27000', NULL, 'set where it should add');
SELECT throws_ok($$ SELECT ecauto.bind_write('receive_stock', 'UPDATE stock SET qty = qty + $2 WHERE variant_id = $1::int AND place = ''elsewhere''') $$,
	'P0002', 'writer "receive_stock" touches no row', 'no row');
SELECT throws_ok($$ SELECT ecauto.bind_write('set_active', 'UPDATE product SET on_sale = true WHERE id = $1::int') $$,
	'27000', NULL, 'neither sku nor product');
SELECT throws_ok($$ SELECT ecauto.bind_write('set_price', 'CREATE TABLE x ()') $$, '0A000', NULL, 'no statement on rows');
ALTER TABLE price ADD CHECK (amount < 11) NOT VALID;
SELECT throws_ok($$ SELECT ecauto.bind_write('set_price', 'UPDATE price SET amount = $2 WHERE variant_id = $1::int') $$,
	'23514', NULL, 'what the shop''s own rules refuse');
SELECT is(note('set_price'), 'key 1: amount of price 10 became 11', 'the one bound before is kept');

-- ---- the shop's own triggers run as they do for the shop ----
ALTER TABLE price DROP CONSTRAINT price_amount_check;
CREATE TABLE price_audit (who name, amount numeric);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO price_audit VALUES (current_user, NEW.amount); RETURN NULL; END $$;
CREATE TRIGGER audit AFTER UPDATE ON price FOR EACH ROW EXECUTE FUNCTION audit();
SELECT ok(ecauto.bind_write('set_price', 'UPDATE price SET amount = $2 WHERE variant_id = $1::int'), 'a trigger that needs the shop''s search_path');
SELECT is((SELECT count(*) FROM price_audit), 0::bigint, 'what it wrote is gone too');

-- ---- nothing to prove it on ----
DELETE FROM stock;
SELECT ok(NOT ecauto.bind_write('receive_stock', 'UPDATE stock SET qty = qty + $2 WHERE variant_id = $1::int'), 'not proved');
SELECT is((SELECT format('%s %s', ok, detail) FROM ecauto.check_shop() WHERE role = 'receive_stock'),
	'f not proved: there was no row to try it on; bind it again', 'which check_shop() tells');

SELECT * FROM finish();
ROLLBACK;

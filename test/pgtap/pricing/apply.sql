-- Prices are written all or not at all, only those that change, and what was written can be undone.
BEGIN;
\ir shop.psql
SELECT plan(47);
SET LOCAL client_min_messages = error;
SELECT ecauto.set_vat_rate(0) \g /dev/null
CREATE TABLE written (n serial, variant_id int, old numeric, new numeric);
CREATE FUNCTION write_down() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO s.written (variant_id, old, new) VALUES (new.variant_id, old.amount, new.amount);
	RETURN new;
END $$;
CREATE TRIGGER write_down AFTER UPDATE ON price FOR EACH ROW EXECUTE FUNCTION write_down();
CREATE FUNCTION written() RETURNS text LANGUAGE sql AS $$
	WITH w AS (DELETE FROM s.written RETURNING *)
	SELECT coalesce(string_agg(variant_id || ':' || old || '>' || new, ' ' ORDER BY variant_id), '') FROM w $$;

-- ---- only what changes, once ----
SELECT ecauto.create_price_rule('all', '{"markup": 100}') \g /dev/null
UPDATE cost SET cost = 6 WHERE variant_id = 1;
UPDATE cost SET cost = 9 WHERE variant_id IN (2, 3, 4, 5);
SELECT written() \g /dev/null
SELECT results_eq('SELECT sku, currency, old_price, new_price, reason FROM ecauto.reprice() WHERE sku IN (''1'', ''2'', ''9'') ORDER BY 1',
	$$ VALUES ('1', 'PLN', 10::numeric, 12.00, 'rule "all"'), ('2', 'PLN', 20, 18.00, 'rule "all"') $$, 'reprice() tells what would change');
SELECT is(written(), '', 'and writes nothing');
SELECT is((SELECT count(*) FROM ecauto.reprice(true)), 5::bigint, 'reprice(true) tells the same');
SELECT is(written(), '1:10>12.00 2:20>18.00 3:30>18.00 4:40>18.00 5:50>18.00', 'and writes that, and nothing else');
SELECT is((SELECT count(*) FROM ecauto.reprice(true)), 0::bigint, 'once');
SELECT is((SELECT count(*) FROM ecauto.reprice()), 0::bigint, 'then there is nothing more');
SELECT is(written(), '', 'nor is anything written');
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT array_agg(key ORDER BY key COLLATE "C") FROM ecauto.events(kind => 'price.changed')), '{1,2,3,4,5}', 'own writes are seen');
SELECT is((SELECT count(*) FROM ecauto.reprice(true)), 0::bigint, 'and lead to nothing');
UPDATE cost SET cost = 7 WHERE variant_id = 1;
SELECT is((SELECT count(*) FROM ecauto.reprice(true)), 1::bigint, 'one');
SELECT is(written(), '1:12.00>14.00', 'row alone');

-- ---- from the current price: once, too, until somebody changes it ----
DELETE FROM ecauto_data.price_rule;
SELECT ecauto.create_price_rule('off', '{"sku": ["1", "2", "3", "4"], "base": "price", "percent_off": 10}') \g /dev/null
SELECT is((SELECT string_agg(new_price::text, ' ' ORDER BY sku) FROM ecauto.reprice(true)), '12.60 16.20 16.20 16.20', '10% off the current price');
SELECT is((SELECT count(*) FROM ecauto.reprice(true)), 0::bigint, 'not 10% off again');
UPDATE price SET amount = 20 WHERE variant_id = 1;
SELECT is((SELECT string_agg(sku || ' ' || new_price, ',') FROM ecauto.reprice(true)), '1 18.00', 'unless the price is another one');
SELECT ecauto.create_price_rule('off', '{"sku": ["1", "2", "3", "4"], "base": "price", "percent_off": 20}') \g /dev/null
SELECT is((SELECT string_agg(new_price::text, ' ' ORDER BY sku) FROM ecauto.reprice(true)), '16.00 14.40 14.40 14.40', '20% are reckoned from what it was before the 10%');
DELETE FROM ecauto_data.price_rule;

-- ---- guards ----
SELECT ecauto.create_price_rule('all', '{"markup": 100}') \g /dev/null
UPDATE cost SET cost = variant_id * 5;
SELECT ecauto.reprice(true) \g /dev/null
SELECT written() \g /dev/null
UPDATE cost SET cost = cost * 1.1 WHERE variant_id <= 8;
UPDATE cost SET cost = cost / 10 WHERE variant_id > 8;
SELECT ecauto.set_price_guard('{"max_share": 10, "max_move": 20}') \g /dev/null
SELECT is((SELECT string_agg(sku || ' ' || new_price, ',' ORDER BY sku COLLATE "C") FROM ecauto.reprice(true)), '10 10.00,9 9.00', 'two of ten prices would move over 20%, and are returned');
SELECT is(written(), '', 'nothing is written');
SELECT is((SELECT concat_ws(' ', state, priced, rows, violations) FROM ecauto.price_proposals() WHERE id = (SELECT max(id) FROM ecauto.price_proposals())),
	'held 10 10 {"2 of 10 prices would move over 20% (at most 10% of them)"}', 'what they break is kept');
SELECT is((SELECT array_agg(sku || ' ' || violation ORDER BY sku COLLATE "C") FROM ecauto.price_proposal_rows((SELECT max(id) FROM ecauto.price_proposals())) WHERE violation IS NOT NULL),
	'{"10 moves over 20%","9 moves over 20%"}'::text[], 'and which do');
UPDATE cost SET cost = 1;
SELECT is(ecauto.approve_proposal((SELECT max(id) FROM ecauto.price_proposals())), 10::bigint, 'approved');
SELECT is(written(), '1:10.00>11.00 2:20.00>22.00 3:30.00>33.00 4:40.00>44.00 5:50.00>55.00 6:60>66.00 7:70>77.00 8:80>88.00 9:90>9.00 10:100>10.00',
	'exactly that is written, whatever the costs are by now');
SELECT throws_ok(format('SELECT ecauto.approve_proposal(%s)', (SELECT max(id) FROM ecauto.price_proposals())), '55000', NULL, 'once');
SELECT ecauto.set_price_guard('{"max_share": 20, "max_move": 20}') \g /dev/null
UPDATE cost SET cost = variant_id * 5.5 WHERE variant_id <= 8;
UPDATE cost SET cost = 4.5 * 2 WHERE variant_id > 8;
SELECT is((SELECT count(*) FROM ecauto.reprice(true)), 2::bigint, 'just the share that is allowed passes');
SELECT ecauto.set_price_guard('{"max_rows": 1}') \g /dev/null
UPDATE cost SET cost = cost + 1 WHERE variant_id IN (1, 2);
SELECT is((SELECT count(*) FROM ecauto.reprice(true) WHERE reason ~ '^held as proposal \d+; rule "all"$'), 2::bigint, 'two rows where one is allowed');
SELECT is(ecauto.reject_proposal((SELECT max(id) FROM ecauto.price_proposals())), true, 'rejected');
SELECT is(ecauto.reject_proposal((SELECT max(id) FROM ecauto.price_proposals())), false, 'once');
SELECT ecauto.set_price_guard('{"min_margin": 55}') \g /dev/null
SELECT is((SELECT count(*) FROM ecauto.reprice(true) WHERE reason ~ 'margin below 55%'), 2::bigint, 'a margin of 50% where 55% is the least');
SELECT ecauto.set_price_guard('{"min_margin": 50}') \g /dev/null
SELECT is((SELECT count(*) FROM ecauto.reprice(true) WHERE reason ~ 'held'), 0::bigint, 'just the least passes');
SELECT ecauto.set_price_guard('{"prior_price": true}') \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT price_is(6, 50, '2026-02-10 00:00+01') \g /dev/null
SELECT price_is(6, 66, '2026-02-15 00:00+01') \g /dev/null
SELECT ecauto.set_list_price('6', 'PLN', 99) \g /dev/null
UPDATE cost SET cost = 27.5 WHERE variant_id = 6;
SELECT alike((SELECT string_agg(sku || ' ' || reason, ',') FROM ecauto.reprice(true)), '6 held as proposal %: shown as reduced, but not below the prior price; rule "all"', 'a price of 55 shown as reduced from 99, when it was 50 ten days ago');
UPDATE cost SET cost = 24.5 WHERE variant_id = 6;
SELECT is((SELECT string_agg(sku || ' ' || new_price, ',') FROM ecauto.reprice(true)), '6 49.00', 'below that it may be');
SELECT ecauto.set_price_guard(NULL) \g /dev/null

-- ---- a proposal that was overtaken; a change that is undone ----
UPDATE cost SET cost = cost + 1 WHERE variant_id IN (1, 2, 3, 4);
SELECT isnt(ecauto.propose_reprice('monday'), NULL, 'proposed by hand');
SELECT is((SELECT concat_ws(' ', state, note, rows) FROM ecauto.price_proposals('open')), 'open monday 4', 'it waits');
UPDATE price SET amount = 1.5 WHERE variant_id = 3;
DELETE FROM price WHERE variant_id = 4;
SELECT throws_like(format('SELECT ecauto.approve_proposal(%s)', (SELECT id FROM ecauto.price_proposals('open'))), 'prices of proposal % have changed since it was made', 'refused, since prices have changed meanwhile');
INSERT INTO price VALUES (4, 'PLN', (SELECT old_price FROM ecauto.price_proposal_rows((SELECT id FROM ecauto.price_proposals('open'))) WHERE sku = '4'));
UPDATE price SET amount = (SELECT old_price FROM ecauto.price_proposal_rows((SELECT id FROM ecauto.price_proposals('open'))) WHERE sku = '3') WHERE variant_id = 3;
SELECT is(ecauto.approve_proposal((SELECT id FROM ecauto.price_proposals('open'))), 4::bigint, 'as they were, they are written');
UPDATE price SET amount = 2.5 WHERE variant_id = 2;
SELECT written() \g /dev/null
SELECT results_eq(format('SELECT * FROM ecauto.undo_proposal(%s)', (SELECT max(id) FROM ecauto.price_proposals('applied'))),
	$$ VALUES ('2', 'PLN', 26.00, 2.5) $$, 'undone but for what somebody changed since');
SELECT is(written(), '1:15.00>13.00 3:35.00>33.00 4:46.00>44.00', 'the others are what they were');
SELECT throws_ok(format('SELECT * FROM ecauto.undo_proposal(%s)', (SELECT max(id) FROM ecauto.price_proposals('undone'))), '55000', NULL, 'once');
SELECT throws_ok('SELECT * FROM ecauto.undo_proposal(-1)', 'P0002', 'price proposal -1 does not exist', 'one that is not there');

-- ---- writers of all kinds ----
CREATE FUNCTION bump(add numeric) RETURNS bigint LANGUAGE sql AS $$
	UPDATE s.cost SET cost = cost + add; DELETE FROM s.written; SELECT count(*) FROM ecauto.reprice(true) $$;
CREATE SEQUENCE executed;
CREATE FUNCTION count_statement() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('s.executed'); RETURN NULL; END $$;
CREATE TRIGGER count_statement AFTER UPDATE ON price FOR EACH STATEMENT EXECUTE FUNCTION count_statement();
SELECT bump(1) \g /dev/null
SELECT is((SELECT last_value FROM executed), 1::bigint, 'ten prices are one statement');
SELECT ecauto.bind_write('set_price', $$ UPDATE price AS p SET amount = n.price FROM (SELECT round($2, 2) AS price WHERE $1 IS DISTINCT FROM '$4') n, variant v
	WHERE v.id = p.variant_id /* where */ AND p.variant_id = $1::int AND currency = $3 $$) \g /dev/null
SELECT setval('executed', 1) \g /dev/null
SELECT is(bump(1), 10::bigint, 'a writer that joins');
SELECT is((SELECT last_value FROM executed), 2::bigint, 'is one statement, too');
SELECT is((SELECT count(*) FROM ecauto.reprice()), 0::bigint, 'and writes what it should');
SELECT ecauto.bind_write('set_price', $$ WITH v AS (SELECT $2 AS price) UPDATE price SET amount = v.price FROM v WHERE variant_id = $1::int AND currency = $3 $$) \g /dev/null
SELECT setval('executed', 1) \g /dev/null
SELECT is(bump(1), 10::bigint, 'one that is of another form');
SELECT is((SELECT last_value FROM executed), 11::bigint, 'is run for each row');
SELECT is((SELECT count(*) FROM ecauto.reprice()), 0::bigint, 'and writes what it should');
CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON price DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION write_down();
SELECT is(bump(1), 10::bigint, 'a deferred constraint of the shop''s is no obstacle');
SELECT is((SELECT count(*) FROM written), 20::bigint, 'it is checked at once');
SELECT * FROM finish();
ROLLBACK;

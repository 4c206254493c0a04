-- Many at once: one statement over 10,000 skus is 10,000 runs by a few statements, and runs that wait are found by index.
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL ecauto.settle_time = 0;
SELECT plan(9);
CREATE SCHEMA s;
SET LOCAL search_path = s, public;
CREATE TABLE stock (sku int PRIMARY KEY, qty int NOT NULL);
INSERT INTO stock SELECT i, 10 FROM generate_series(1, 10000) i;
SELECT ecauto.bind_role('product', 'SELECT sku AS key, sku::text AS title FROM s.stock'), ecauto.bind_role('sku', 'SELECT sku AS key, sku AS product_key, sku::text AS sku FROM s.stock'),
	ecauto.bind_role('price', 'SELECT sku AS key, ''EUR'' AS currency, 10.0 AS amount, true AS tax_included FROM s.stock'), ecauto.bind_table('stock', 's.stock', '{"key": "sku", "on_hand": "qty"}'),
	ecauto.bind_role('order', 'SELECT 1 AS key, ''EUR'' AS currency, 1.0 AS total, now() AS placed_at, 0.0 AS paid WHERE false'),
	ecauto.bind_role('order_line', 'SELECT 1 AS key, 1 AS order_key, 1 AS sku_key, 1.0 AS qty, 1.0 AS unit_price WHERE false') \g /dev/null
SELECT ecauto.attach_shop('custom') \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.create_flow('low', '{"on": "stock.changed", "if": "old.available >= 5 AND new.available < 5 AND price.amount > 5 AND product.title <> ''7''", "once_per": ["sku", "day"],
	"steps": [{"if": "stock.available > 2", "then": [{"wait": "1 day"}], "else": [{"wait": "2 days"}]}]}'), ecauto.enable_flow('low') \g /dev/null

-- how many commands of the transaction a statement takes
CREATE FUNCTION commands(statement text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
	before integer;
BEGIN
	CREATE TEMP TABLE IF NOT EXISTS command (c int);
	INSERT INTO command VALUES (0);
	SELECT max(cmin::text::bigint) INTO before FROM command;
	EXECUTE statement;
	INSERT INTO command VALUES (1);
	RETURN (SELECT max(cmin::text::bigint) FROM command) - before;
END $$;
UPDATE stock SET qty = CASE WHEN sku % 2 = 0 THEN 4 ELSE 1 END;
SELECT ok(commands('SELECT ecauto.tick()') BETWEEN 1 AND 300, 'all of it takes a few commands');
SELECT is((SELECT count(*) FROM ecauto.runs('low')), 9999::bigint, 'runs for those that meet the condition about four rows');
SELECT is((SELECT count(*) FROM ecauto.runs('low') WHERE step = 'steps[0].else[0]'), 4999::bigint, 'half of them went one way');
SELECT is((SELECT operands FROM ecauto.explain_run((SELECT run_id FROM ecauto.runs('low', subject => 'sku:8'))) WHERE step = 'if'), '{"stock.available": 4}', 'half the other, each for its own reason');
UPDATE stock SET qty = 10;
SELECT ecauto.tick() \g /dev/null
UPDATE stock SET qty = 1;
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT count(*) FROM ecauto.runs('low')), 9999::bigint, 'once a day');

-- stock policies: however many, one flow and one match
SELECT ecauto.disable_flow('low') \g /dev/null
CREATE SERVER supplier FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:9');
UPDATE stock SET qty = 10;
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.set_stock_policy(sku::text, 5, 20, 'supplier') FROM stock WHERE sku <= 1000 \g /dev/null
UPDATE stock SET qty = 5;
SELECT results_eq('SELECT events, messages FROM ecauto.tick()', 'VALUES (10000::bigint, 1000::bigint)', 'an order for each policy of a bulk change');
SELECT is((SELECT count(*) FROM ecauto.runs('stock policies') WHERE state = 'done'), 1000::bigint, 'and a run');

-- a million that wait cost nothing: what is due is looked for by index
SET LOCAL enable_seqscan = on;
ANALYZE ecauto_data.flow_run;
CREATE FUNCTION plan(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	result text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN ' || query LOOP
		result := result || line;
	END LOOP;
	RETURN result;
END $$;
SELECT matches(plan('SELECT r.id FROM ecauto_data.flow_run r WHERE r.wake_at <= ecauto.now() ORDER BY r.wake_at LIMIT 50000'), 'Index Scan using flow_run_due', 'runs that are due');
SELECT matches(plan('SELECT r.wake_at FROM ecauto_data.flow_run r WHERE r.wake_at IS NOT NULL ORDER BY r.wake_at LIMIT 1'), 'Index (Only )?Scan using flow_run_due', 'and when the next one is');

SELECT * FROM finish();
ROLLBACK;

-- One item of several suppliers, where one has too few; and a plan where none has.
BEGIN;
\ir shop.psql
SELECT plan(19);
SET LOCAL ecauto.clock = '2026-04-30 12:00+02';
INSERT INTO product VALUES ('P', 'Cup');
INSERT INTO variant VALUES ('A', 'P', 'Cup, blue'), ('B', 'P', 'Cup, red');
INSERT INTO stock VALUES ('A', 'main', 10, 0), ('B', 'main', 500, 0);
SELECT ecauto.attach_shop('custom') \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.set_fx_rate('EUR', 'PLN', 4.30) \g /dev/null
SELECT ecauto.set_supplier('cheap', '{"currency": "EUR"}'), ecauto.set_supplier('dear', '{"currency": "EUR", "freight": 5}'), ecauto.set_supplier('yen', '{"currency": "JPY"}') \g /dev/null
SELECT ecauto.set_offer('cheap', 'A', '{"price": 2, "stock": 60}'), ecauto.set_offer('dear', 'A', '{"price": 3}') \g /dev/null

-- ---- a split ----
SELECT results_eq($$ SELECT supplier, order_qty, goods, freight, cost, total FROM ecauto.split_offer('A', 70) $$,
	$$ VALUES ('cheap', 60::numeric, 120::numeric, 0::numeric, 120::numeric, 155::numeric), ('dear', 10, 30, 5, 35, 155) $$, 'sixty here, ten there');
SELECT results_eq($$ SELECT supplier, order_qty, total FROM ecauto.split_offer('A', 60) $$, $$ VALUES ('cheap', 60::numeric, 120::numeric) $$, 'all of one who has enough');
SELECT ecauto.set_supplier('dear', '{"freight": 70}') \g /dev/null
SELECT results_eq($$ SELECT supplier, order_qty, total FROM ecauto.split_offer('A', 60) $$, $$ VALUES ('cheap', 60::numeric, 120::numeric) $$, 'still');
SELECT ecauto.set_offer('dear', 'A', '{"price": 1.99}') \g /dev/null
SELECT results_eq($$ SELECT supplier, order_qty, total FROM ecauto.split_offer('A', 200, 'PLN') $$, $$ VALUES ('dear', 200::numeric, 2012.40) $$, 'not split where that costs more, in another currency');
SELECT ecauto.set_supplier('dear', '{"minimum_order": 0, "active": false}') \g /dev/null
SELECT is((SELECT count(*) FROM ecauto.split_offer('A', 70)), 0::bigint, 'who is switched off sells nothing');
SELECT ecauto.set_supplier('dear', '{"active": true}') \g /dev/null
SELECT throws_ok($$ SELECT * FROM ecauto.split_offer('A', 'NaN') $$, '22023', 'quantity must be a finite number above zero', 'NaN');
SELECT throws_ok($$ SELECT * FROM ecauto.split_offer('nothing', 1) $$, 'P0002', 'sku "nothing" does not exist', 'unknown sku');
-- against all splits over three suppliers, unit by unit
CREATE FUNCTION cost(n int, least_units int, pack int, has int, step int, p1 numeric, p2 numeric, freight numeric, free numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN n = 0 THEN 0 WHEN n < least_units OR n % pack <> 0 OR n > has THEN NULL
		ELSE g + CASE WHEN g >= free THEN 0 ELSE freight END END FROM (SELECT n * CASE WHEN n >= step THEN p2 ELSE p1 END AS g) x $$;
CREATE TABLE trial (g int, need int, best numeric, found numeric);
DO $$
DECLARE
	a int[]; n int; b numeric;
BEGIN
	PERFORM ecauto.set_supplier('s' || s, '{"currency": "EUR"}') FROM generate_series(1, 3) s;
	PERFORM ecauto.set_offer('cheap', 'A', NULL), ecauto.set_offer('dear', 'A', NULL);
	FOR g IN 1 .. 40 LOOP
		CREATE TEMP TABLE o ON COMMIT DROP AS
		SELECT s, 1 + (g * 7 + s * 5) % 12 AS moq, (ARRAY[1, 1, 1, 6, 10])[1 + (g * 3 + s * 11) % 5] AS pack, 15 + (g * 13 + s * 17) % 50 AS has,
			10 + (g * 11 + s * 3) % 30 AS step, 2 + ((g * 17 + s * 29) % 100) / 100.0 AS p1, 1.5 + ((g * 19 + s * 31) % 50) / 100.0 AS p2,
			((g * 23 + s * 7) % 20)::numeric AS freight, (40 + (g * 5 + s * 13) % 60)::numeric AS free
		FROM generate_series(1, 3) s;
		PERFORM ecauto.set_supplier('s' || s, jsonb_build_object('freight', freight, 'free_freight_from', free)),
			ecauto.set_offer('s' || s, 'A', jsonb_build_object('moq', moq, 'pack', pack, 'stock', has,
				'prices', jsonb_build_array(jsonb_build_object('from', 1, 'price', p1), jsonb_build_object('from', step, 'price', p2)))) FROM o;
		n := 30 + g;
		WITH c AS MATERIALIZED (SELECT o.s, i AS units, cost(i, moq, pack, has, step, p1, p2, freight, free) AS c FROM o, generate_series(0, 70) i
			WHERE cost(i, moq, pack, has, step, p1, p2, freight, free) IS NOT NULL)
		SELECT min(x.c + y.c + z.c) INTO b FROM c x, c y, c z WHERE x.s = 1 AND y.s = 2 AND z.s = 3 AND x.units + y.units + z.units >= n;
		INSERT INTO trial SELECT g, n, b, (SELECT total FROM ecauto.split_offer('A', n) LIMIT 1);
		DROP TABLE o;
	END LOOP;
	PERFORM ecauto.set_offer('s' || s, 'A', NULL) FROM generate_series(1, 3) s;
END $$;
SELECT is((SELECT count(*) FROM trial WHERE (best IS NULL) <> (found IS NULL) OR found < best - 0.01), 0::bigint, 'possible where it is, and never cheaper than can be');
SELECT ok(count(*) FILTER (WHERE found <= best + 0.01) >= 0.8 * count(best) AND count(best) > 25, 'mostly the cheapest of all splits: ' || count(*) FILTER (WHERE found <= best + 0.01) || ' of ' || count(best)) FROM trial;
SELECT ok(max(found / best) < 1.05, 'and never far from it: ' || round(max(found / best), 4)) FROM trial;

-- ---- a plan where nobody has enough ----
SELECT ecauto.set_offer('cheap', 'A', '{"price": 2, "stock": 60}'), ecauto.set_offer('dear', 'A', '{"price": 3, "stock": 45, "pack": 20}') \g /dev/null
SELECT ecauto.set_replenishment('A', '{"minimum": 50, "maximum": 120}') \g /dev/null
SELECT ecauto.set_replenishment('B', '{"off": true}') \g /dev/null
SELECT results_eq($$ SELECT state, supplier, qty FROM ecauto.plan_replenishment() $$, $$ VALUES ('proposed', 'cheap', 60::numeric) $$, 'the most that one has');
SELECT ok((SELECT reason FROM ecauto.plan_replenishment()) LIKE '%110 needed to have 120; nobody has more', 'and says so');
SELECT ecauto.approve_purchase_order(purchase_order) FROM ecauto.plan_replenishment() \g /dev/null
SELECT is((SELECT stock FROM ecauto_data.offer WHERE supplier = 'cheap'), 0::numeric, 'it has no more now');
SELECT is((SELECT count(*) FROM ecauto.plan_replenishment()), 0::bigint, 'ten and sixty are above the point');
SELECT ecauto.set_replenishment('A', '{"minimum": 80}') \g /dev/null
SELECT results_eq($$ SELECT state, supplier, qty FROM ecauto.plan_replenishment() $$, $$ VALUES ('proposed', 'dear', 40::numeric) $$, 'not above another: two packs of the other one');
-- ---- and where nobody has anything ----
SELECT ecauto.set_offer('dear', 'A', '{"price": 3, "valid_until": "2026-04-01"}'), ecauto.set_offer('yen', 'A', '{"price": 300}') \g /dev/null
SELECT results_eq($$ SELECT purchase_order, state, sku, qty, "position", reorder_point FROM ecauto.plan_replenishment() $$,
	$$ VALUES (NULL::bigint, 'impossible', 'A', NULL::numeric, 70::numeric, 80::numeric) $$, 'a row that is no order');
SELECT is((SELECT reason FROM ecauto.plan_replenishment()), '10 available and 60 coming in time are not above the reorder point 80; nobody can deliver 50: '
	|| 'cheap: only 0 in stock; dear: valid until 2026-04-01; yen: no exchange rate from JPY to EUR', 'says why not, of each');
SELECT is((SELECT count(*) FROM ecauto_data.purchase_order WHERE state = 'proposed'), 0::bigint, 'and there is none');
SELECT ecauto.set_offer('cheap', 'A', '{"price": 2}') \g /dev/null
SELECT results_eq($$ SELECT state, supplier, qty FROM ecauto.plan_replenishment() $$, $$ VALUES ('proposed', 'cheap', 50::numeric) $$, 'until somebody can');
SELECT finish();
ROLLBACK;

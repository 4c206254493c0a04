-- What a quantity costs from each supplier, and a basket from several.
BEGIN;
\ir shop.psql
SELECT plan(43);
SET LOCAL ecauto.clock = '2026-04-30 12:00+02';
INSERT INTO product VALUES ('P', 'Cup');
INSERT INTO variant VALUES ('A', 'P', 'Cup, blue'), ('B', 'P', 'Cup, red'), ('C', 'P', 'Cup, green');
INSERT INTO stock VALUES ('A', 'main', 60, 10), ('B', 'main', 5, 0);
SELECT ecauto.attach_shop('custom') \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.set_fx_rate('EUR', 'PLN', 4.30) \g /dev/null

SELECT ecauto.set_supplier('alfa', '{"currency": "pln", "freight": 25, "free_freight_from": 800}') \g /dev/null
SELECT ecauto.set_supplier('beta', '{"currency": "EUR", "freight": 12}') \g /dev/null
SELECT ecauto.set_supplier('gama', '{"currency": "PLN"}') \g /dev/null
SELECT ecauto.set_supplier('delta', '{"currency": "PLN", "freight": 40, "free_freight_from": 600, "lead_days": 8}') \g /dev/null
SELECT ecauto.set_supplier('omega', '{"currency": "EUR", "freight": 9}') \g /dev/null
SELECT ecauto.set_offer('alfa', 'A', '{"prices": [{"from": 100, "price": 8.5}, {"from": 1, "price": 10}, {"from": 50, "price": 9}]}') \g /dev/null
SELECT ecauto.set_offer('beta', 'A', '{"price": 1.95, "moq": 90, "pack": 24}') \g /dev/null
SELECT ecauto.set_offer('gama', 'A', '{"price": 8.6, "stock": 60}') \g /dev/null
SELECT ecauto.set_offer('delta', 'A', '{"price": 8.8, "pack": 12}') \g /dev/null
SELECT ecauto.set_offer('omega', 'A', '{"price": 2.10, "pack": 10}') \g /dev/null

-- ---- calendar ----
SELECT ecauto.set_holiday('2026-05-01', note => 'Labour day') \g /dev/null
SELECT is(ecauto.supplier_due('alfa', '2026-04-30'), '2026-05-08', 'five working days from Thursday, the first of May off');
SELECT is(ecauto.supplier_due('alfa', '2026-04-30', 0), '2026-04-30', 'at once');
SELECT is(ecauto.supplier_due('alfa', '2026-05-02', 1), '2026-05-04', 'ordered on a Saturday');
SELECT ecauto.set_supplier('alfa', '{"working_days": [1, 2, 3, 4, 5, 6]}') \g /dev/null
SELECT is(ecauto.supplier_due('alfa', '2026-04-30'), '2026-05-07', 'one who works on Saturdays');
SELECT is(ecauto.supplier_due('none', '2026-04-30'), NULL, 'no such supplier');
SELECT is((SELECT freight FROM ecauto_data.supplier WHERE supplier = 'alfa'), 25::numeric, 'what is not named stays');

-- ---- scenario 2 ----
SELECT is(ecauto.purchase_currency(), 'PLN', 'of most suppliers');
SELECT results_eq($$ SELECT supplier, order_qty, unit_price, freight, currency, total, chosen, reason FROM ecauto.best_offer('A', 70) $$,
	$$ VALUES ('delta', 72::numeric, 8.8, 0::numeric, 'PLN', 633.60, true, NULL),
		('alfa', 70, 9, 25, 'PLN', 655.00, false, '21.40 PLN dearer than delta, freight 25 PLN'),
		('omega', 70, 2.10, 9, 'EUR', 670.80, false, '37.20 PLN dearer than delta, freight 9 EUR'),
		('beta', 96, 1.95, 12, 'EUR', 856.56, false, '222.96 PLN dearer than delta, 96 units have to be bought, freight 12 EUR'),
		('gama', 70, 8.6, 0, 'PLN', NULL, false, 'only 60 in stock') $$, 'the cheapest total, not the cheapest unit, and why not the others');
SELECT is((SELECT round(total, 2) FROM ecauto.best_offer('A', 70, 'EUR') LIMIT 1), round(633.60 / 4.30, 2), 'in another currency');
SELECT results_eq($$ SELECT supplier, order_qty, total FROM ecauto.best_offer('A', 98) WHERE supplier = 'alfa' $$,
	$$ VALUES ('alfa', 100::numeric, 850.00) $$, 'more units for less money');
SELECT results_eq($$ SELECT order_qty, freight, total FROM ecauto.best_offer('A', 87) WHERE supplier = 'alfa' $$,
	$$ VALUES (89::numeric, 0::numeric, 801.00) $$, 'two more units save the freight');
SELECT is((SELECT arrives FROM ecauto.best_offer('A', 70) LIMIT 1), '2026-05-13', 'arrives');
SELECT ecauto.set_supplier('delta', '{"minimum_order": 700}') \g /dev/null
SELECT is((SELECT reason FROM ecauto.best_offer('A', 70) WHERE supplier = 'delta'), '66.4 PLN below the minimum order of 700', 'below the minimum order');
SELECT is((SELECT supplier FROM ecauto.best_offer('A', 70) LIMIT 1), 'alfa', 'so the next one is taken');
SELECT ecauto.set_supplier('alfa', '{"active": false}') \g /dev/null
SELECT is((SELECT reason FROM ecauto.best_offer('A', 70) WHERE supplier = 'alfa'), 'supplier is switched off', 'switched off');
SELECT ecauto.set_supplier('alfa', '{"active": true}') \g /dev/null
SELECT ecauto.set_offer('omega', 'A', '{"price": 2.10, "valid_until": "2026-04-29"}') \g /dev/null
SELECT is((SELECT reason FROM ecauto.best_offer('A', 70) WHERE supplier = 'omega'), 'valid until 2026-04-29', 'no longer valid');
SELECT ecauto.set_supplier('yen', '{"currency": "JPY"}') \g /dev/null
SELECT ecauto.set_offer('yen', 'A', '{"price": 1}') \g /dev/null
SELECT is((SELECT reason FROM ecauto.best_offer('A', 70) WHERE supplier = 'yen'), 'no exchange rate from JPY to PLN', 'a currency without a rate is not one to one');
SELECT ecauto.set_fx_rate('EUR', 'JPY', 160) \g /dev/null
SELECT is((SELECT total FROM ecauto.best_offer('A', 70) WHERE supplier = 'yen'), round(70 * 4.30 / 160, 2), 'through a third currency');
SELECT ecauto.set_offer('yen', 'A', NULL) \g /dev/null
SELECT is((SELECT count(*) FROM ecauto.best_offer('B', 1)), 0::bigint, 'nobody sells it: no rows');
SELECT throws_ok($$ SELECT * FROM ecauto.best_offer('A', 0) $$, '22023', 'quantity must be a finite number above zero', 'nothing');
SELECT throws_ok($$ SELECT * FROM ecauto.best_offer('A', 'NaN') $$, '22023', NULL, 'NaN');
SELECT throws_ok($$ SELECT * FROM ecauto.best_offer('nothing', 1) $$, 'P0002', 'sku "nothing" does not exist', 'unknown sku');
SELECT throws_ok($$ SELECT ecauto.set_offer('nobody', 'A', '{"price": 1}') $$, '42704', 'supplier "nobody" does not exist', 'unknown supplier');
SELECT throws_ok($$ SELECT ecauto.set_offer('alfa', 'A', '{"price": -1}') $$, '22023', NULL, 'negative price');
SELECT throws_ok($$ SELECT ecauto.set_offer('alfa', 'A', '{"prices": [{"from": 1, "price": 2}, {"from": 1, "price": 3}]}') $$, '22023', NULL, 'two prices for one quantity');
SELECT throws_ok($$ SELECT ecauto.set_offer('alfa', 'A', '{"cost": 1}') $$, '22023', 'an offer has no cost', 'unknown member');
SELECT throws_ok($$ SELECT ecauto.set_supplier('x', '{"currency": "XYZ"}') $$, '22023', NULL, 'unknown currency');
SELECT throws_ok($$ SELECT ecauto.set_supplier('x', '{"currency": "EUR", "speed": 1}') $$, '22023', 'a supplier has no speed', 'unknown member of a supplier');
SELECT throws_ok($$ SELECT ecauto.set_supplier('x', '{"currency": "EUR", "send_as": "json"}') $$, '22023', 'orders sent as json need an endpoint', 'where to?');

-- ---- baskets ----
DELETE FROM ecauto_data.offer;
SELECT ecauto.set_supplier('alfa', '{"currency": "PLN", "freight": 30, "free_freight_from": 500}') \g /dev/null
SELECT ecauto.set_supplier('gama', '{"currency": "PLN", "freight": 20}') \g /dev/null
SELECT ecauto.set_offer('alfa', 'A', '{"price": 10}') \g /dev/null
SELECT ecauto.set_offer('gama', 'A', '{"price": 11}') \g /dev/null
SELECT ecauto.set_offer('alfa', 'B', '{"price": 6}') \g /dev/null
SELECT ecauto.set_offer('gama', 'B', '{"price": 5}') \g /dev/null
SELECT results_eq($$ SELECT sku, supplier, order_qty, supplier_freight, total, exact FROM ecauto.best_basket('[{"sku": "A", "qty": 10}, {"sku": "B", "qty": 10}]') $$,
	$$ VALUES ('A', 'gama', 10::numeric, 20::numeric, 180.00, true), ('B', 'gama', 10, 20, 180.00, true) $$, 'each where it is cheapest would pay freight twice: 200');
SELECT results_eq($$ SELECT sku, supplier, supplier_freight, total FROM ecauto.best_basket('[{"sku": "A", "qty": 60}, {"sku": "B", "qty": 60}]') $$,
	$$ VALUES ('A', 'alfa', 0::numeric, 920.00), ('B', 'gama', 20, 920.00) $$, 'of more, two orders are cheaper');
SELECT is((SELECT count(*) FROM ecauto.best_basket('[{"sku": "A", "qty": 10}, {"sku": "A", "qty": 5}]')), 1::bigint, 'one sku twice is one item');
SELECT is((SELECT count(*) FROM ecauto.best_basket('[]')), 0::bigint, 'an empty basket');
SELECT throws_ok($$ SELECT * FROM ecauto.best_basket('[{"sku": "C", "qty": 1}]') $$, 'P0002', 'nobody sells all that is wanted of C', 'nobody sells it');
SELECT throws_ok($$ SELECT * FROM ecauto.best_basket('[{"sku": "A", "qty": 0}]') $$, '22023', NULL, 'none of it');
SELECT ecauto.set_supplier('alfa', '{"minimum_order": 1000}') \g /dev/null
SELECT ecauto.set_supplier('gama', '{"minimum_order": 1000}') \g /dev/null
SELECT throws_ok($$ SELECT * FROM ecauto.best_basket('[{"sku": "A", "qty": 1}]') $$, 'P0002', 'the basket is below the minimum order of the suppliers', 'below all minimums');

-- every way to give items to suppliers, tried
CREATE FUNCTION brute(n int, m int, goods float8[], freight float8[], free_from float8[], minimum float8[]) RETURNS float8 LANGUAGE sql AS $$
	WITH RECURSIVE way (item, choice) AS (
		SELECT 0, '{}'::int[] UNION ALL SELECT w.item + 1, w.choice || s FROM way w, generate_series(1, m) s
		WHERE w.item < n AND goods[w.item * m + s] IS NOT NULL)
	SELECT min(total) FROM (
		SELECT sum(CASE WHEN v.goods < coalesce(minimum[v.s], 0) THEN 'infinity' ELSE v.goods + CASE WHEN v.goods >= free_from[v.s] THEN 0 ELSE freight[v.s] END END) AS total
		FROM way w CROSS JOIN LATERAL (SELECT c.s, sum(goods[(c.i - 1) * m + c.s]) AS goods FROM unnest(w.choice) WITH ORDINALITY c (s, i) GROUP BY 1) v
		WHERE w.item = n GROUP BY w.choice) t
$$;
SELECT setseed(0.4) \g /dev/null
CREATE TABLE basket AS SELECT g AS id, n, m,
	ARRAY(SELECT CASE WHEN random() < 0.15 AND s > 1 THEN NULL ELSE round((10 + 40 * random())::numeric, 2)::float8 END FROM generate_series(1, n) i, generate_series(1, m) s ORDER BY i, s) AS goods,
	ARRAY(SELECT floor(20 * random() + g % 2) FROM generate_series(1, m)) AS freight,
	ARRAY(SELECT CASE WHEN random() < 0.6 THEN floor(30 + 150 * random()) END FROM generate_series(1, m)) AS free_from,
	ARRAY(SELECT CASE WHEN random() < 0.4 THEN floor(90 * random()) ELSE 0 END FROM generate_series(1, m)) AS minimum
FROM (SELECT g, 1 + g % 6 AS n, 2 + g % 3 AS m FROM generate_series(1, 240) g) x;
CREATE TABLE solved AS SELECT b.*, brute(b.n, b.m, b.goods, b.freight, b.free_from, b.minimum) AS least,
	s.supplier, s.total, s.exact, h.total AS quick_total, h.bound AS quick_bound
FROM basket b CROSS JOIN LATERAL ecauto.basket_solve(b.n, b.goods, b.freight, b.free_from, b.minimum) s
CROSS JOIN LATERAL ecauto.basket_solve(b.n, b.goods, b.freight, b.free_from, b.minimum, 1) h;
SELECT is((SELECT count(*) FROM solved WHERE abs(total - least) > 1e-6 OR total IS NULL AND least < 'infinity'), 0::bigint, 'as cheap as the best of all ways, in 240 baskets');
SELECT ok(bool_and(exact), 'and it knows') FROM solved;
SELECT ok(count(*) FILTER (WHERE least < 'infinity') > 150 AND count(*) FILTER (WHERE least = 'infinity' AND total IS NULL) > 0, 'some of them cannot be bought at all') FROM solved;
SELECT is((SELECT count(*) FROM solved WHERE quick_total < least - 1e-6 OR quick_bound > least + 1e-6), 0::bigint, 'what ends early is never below the best, and its bound never above');
SELECT ok(avg((abs(quick_total - least) < 1e-6)::int) > 0.85, 'and mostly it is the best too') FROM solved WHERE least < 'infinity';
SELECT is((SELECT count(*) FROM solved b WHERE total IS NOT NULL AND abs(total - (
	SELECT sum(v.goods + CASE WHEN v.goods >= b.free_from[v.s] THEN 0 ELSE b.freight[v.s] END) FROM (
		SELECT c.s, sum(b.goods[(c.i - 1) * b.m + c.s]) AS goods FROM unnest(b.supplier) WITH ORDINALITY c (s, i) GROUP BY 1) v)) > 1e-6), 0::bigint, 'the plan costs what it says');
SELECT throws_ok($$ SELECT ecauto.basket_solve(1, '{-1}', '{0}', '{0}', '{0}') $$, '22003', NULL, 'a negative amount');
SELECT finish();
ROLLBACK;

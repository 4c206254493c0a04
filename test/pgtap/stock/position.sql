-- Position as the shop has it now, alerts once a crossing, badges by rows and clock; scarves lead in August.
BEGIN;
\ir shop.psql
SELECT plan(61);
SET LOCAL ecauto.clock = '2026-03-31 12:00+02';

INSERT INTO product VALUES ('P', 'Cup', true, 'cups', '2020-01-01'), ('N', 'New cup', true, 'cups', '2026-03-20'), ('OLD', 'Old cup', false, 'cups', '2020-01-01');
INSERT INTO variant VALUES ('A', 'P', 'Cup, blue'), ('B', 'P', 'Cup, red'), ('C', 'N', 'New cup'), ('OLD', 'OLD', 'Old cup');
INSERT INTO variant VALUES ('GIFT', 'P', 'Voucher', false);
INSERT INTO stock VALUES ('A', 'main', 60, 10), ('A', 'shop', 20, 0), ('B', 'main', 4, 0), ('C', 'main', 80, 0), ('OLD', 'main', 9, 0);
SELECT sell('A', '2026-03-01', '2026-03-30', 10) \g /dev/null
SELECT ecauto.attach_shop('custom') \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.forecast_all() \g /dev/null

CREATE FUNCTION news() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	seen constant uuid := (SELECT max(event_id::text)::uuid FROM ecauto.events());
BEGIN
	PERFORM ecauto.tick();
	SELECT string_agg(e.kind || '(' || e.sku || ')', ' ' ORDER BY e.kind, e.sku) INTO result FROM ecauto.events() e
	WHERE e.kind IN ('stock.low', 'stock.recovered', 'stock.out', 'stock.back') AND (seen IS NULL OR e.event_id::text > seen::text);
	RETURN coalesce(result, '');
END $$;

-- ---- position ----
SELECT results_eq($$ SELECT location, on_hand, reserved, available, incoming FROM ecauto.stock_position('{A}') $$,
	$$ VALUES (NULL, 80::numeric, 10::numeric, 70::numeric, 0::numeric), ('main', 60, 10, 50, 0), ('shop', 20, 0, 20, 0) $$, 'in all, and at each location');
SELECT results_eq($$ SELECT round(velocity::numeric, 3), round(days_of_cover::numeric, 2), stock_out_days, out_since FROM ecauto.stock_position('{A}') WHERE location IS NULL $$,
	$$ VALUES (10.000, 7.00, 0::bigint, NULL::timestamptz) $$, 'velocity and days of cover');
SELECT results_eq($$ SELECT location, velocity, days_of_cover FROM ecauto.stock_position('{A}') WHERE location IS NOT NULL $$,
	$$ VALUES ('main', NULL::float8, NULL::float8), ('shop', NULL, NULL) $$, 'of two locations, nobody knows which serves');
SELECT ecauto.set_location_share('main', 0.8), ecauto.set_location_share('shop', 0.2) \g /dev/null
SELECT results_eq($$ SELECT location, round(velocity::numeric, 3), round(days_of_cover::numeric, 2) FROM ecauto.stock_position('{A}') WHERE location IS NOT NULL $$,
	$$ VALUES ('main', 8.000, 6.25), ('shop', 2.000, 10.00) $$, 'until somebody says which part each does');
SELECT ecauto.set_location_share('shop', NULL) \g /dev/null
SELECT is((SELECT velocity FROM ecauto.stock_position('{A}') WHERE location = 'shop'), NULL, 'and unsays it');
SELECT ecauto.set_location_share('main', NULL) \g /dev/null
SELECT throws_ok($$ SELECT ecauto.set_location_share('main', 1.5) $$, '22023', 'a location must have a key, and a share from 0 to 1', 'more than all');
SELECT throws_ok($$ SELECT ecauto.set_location_share('main', 'NaN') $$, '22023', NULL, 'NaN');
SELECT results_eq($$ SELECT velocity, days_of_cover FROM ecauto.stock_position('{B}') WHERE location IS NULL $$, $$ VALUES (NULL::float8, NULL::float8) $$, 'unknown where nothing was sold');
SELECT is((SELECT count(DISTINCT sku) FROM ecauto.stock_position()), 4::bigint, 'of all skus');
SELECT is((SELECT count(*) FROM ecauto.stock_position('{nobody}')), 0::bigint, 'of none');
UPDATE stock SET qty = 61 WHERE variant_id = 'A' AND place = 'main';
SELECT is((SELECT on_hand FROM ecauto.stock_position('{A}') WHERE location IS NULL), 81::numeric, 'live, before any tick');
UPDATE stock SET qty = 60 WHERE variant_id = 'A' AND place = 'main';
INSERT INTO ecauto_data.stock_incoming VALUES ('A', 'main', 20, '2026-04-10', 'PO-1'), ('A', 'main', 500, '2026-05-30', 'PO-2'), ('B', 'shop', 7, '2026-04-02', 'PO-1');
SELECT results_eq($$ SELECT location, incoming, next_due FROM ecauto.stock_position('{A}') $$,
	$$ VALUES (NULL, 20::numeric, '2026-04-10'::timestamptz), ('main', 20, '2026-04-10'), ('shop', 0, NULL) $$, 'what is due inside the horizon is incoming, what comes in 60 days is not');
SELECT is((SELECT incoming FROM ecauto.stock_position('{A}', '90 days') WHERE location IS NULL), 520::numeric, 'unless the horizon is longer');
SELECT results_eq($$ SELECT location, on_hand, incoming FROM ecauto.stock_position('{B}') $$, $$ VALUES (NULL, 4::numeric, 7::numeric), ('main', 4, 0), ('shop', 0, 7) $$, 'a location that has nothing yet');

-- ---- alerts ----
SELECT is(news(), '', 'no alert, no event');
SELECT ecauto.set_stock_alert('B', units => 4) \g /dev/null
SELECT is(news(), 'stock.low(B)', 'low when the alert is set');
SELECT results_eq($$ SELECT new ->> 'available', new ->> 'units', new ->> 'clear_units', role, key FROM ecauto.events(kind => 'stock.low') $$,
	$$ VALUES ('4', '4', '6', 'stock', 'B') $$, 'with what it is and from when it clears');
SELECT is(news(), '', 'told once');
UPDATE stock SET qty = 5 WHERE variant_id = 'B';
SELECT is(news(), '', 'up to 5');
SET LOCAL ecauto.clock = '2026-03-31 12:10+02';
UPDATE stock SET qty = 4 WHERE variant_id = 'B';
SELECT is(news(), '', 'and down to 4: the same alert');
SET LOCAL ecauto.clock = '2026-03-31 15:00+02';
UPDATE stock SET qty = 5 WHERE variant_id = 'B';
SELECT is(news(), '', 'hours later');
UPDATE stock SET qty = 4 WHERE variant_id = 'B';
SELECT is(news(), '', 'still the same');
UPDATE stock SET qty = 0 WHERE variant_id = 'B';
SELECT is(news(), 'stock.out(B)', 'out of stock is another thing');
SELECT is((SELECT out_since FROM ecauto.stock_position('{B}') WHERE location IS NULL), '2026-03-31 15:00+02'::timestamptz, 'since then');
SET LOCAL ecauto.clock = '2026-04-02 15:00+02';
UPDATE stock SET qty = 30 WHERE variant_id = 'B';
SELECT is(news(), 'stock.back(B) stock.recovered(B)', 'enough again');
SELECT is((SELECT stock_out_days FROM ecauto.stock_position('{B}') WHERE location IS NULL), 1::bigint, 'one whole day was out of stock, and the rest of two less than half');
UPDATE stock SET qty = 3 WHERE variant_id = 'B';
SELECT is(news(), 'stock.low(B)', 'low again, long after the first time');
SET LOCAL ecauto.clock = '2026-04-02 15:10+02';
UPDATE stock SET qty = 10 WHERE variant_id = 'B';
SELECT is(news(), 'stock.recovered(B)', 'cleared');
UPDATE stock SET qty = 2 WHERE variant_id = 'B';
SELECT is(news(), '', 'low within an hour of the last alert: not told');
SET LOCAL ecauto.clock = '2026-04-02 15:59+02';
SELECT is(news(), '', 'nor a minute before');
SET LOCAL ecauto.clock = '2026-04-02 16:00+02';
SELECT is(news(), 'stock.low(B)', 'but when the hour is over, if it still is');
SELECT is(news(), '', 'once');

-- by days of cover: A sells ten a day
SELECT ecauto.set_stock_alert(days => 5) \g /dev/null
SELECT is(news(), '', 'seven days of cover are enough');
UPDATE stock SET qty = 40 WHERE variant_id = 'A' AND place = 'main';
SELECT is(news(), 'stock.low(A)', 'five are not');
SELECT is((SELECT new ->> 'days_of_cover' FROM ecauto.events(kind => 'stock.low') WHERE sku = 'A'), '5.0', 'says how many');
UPDATE stock SET qty = 49 WHERE variant_id = 'A' AND place = 'main';
SELECT is(news(), '', 'nearly six clear nothing');
UPDATE stock SET qty = 53 WHERE variant_id = 'A' AND place = 'main';
SELECT is(news(), 'stock.recovered(A)', 'more than six do');
SET LOCAL ecauto.clock = '2026-04-03 12:00+02';
UPDATE ecauto_data.sku_forecast SET daily = 20 WHERE sku = 'A';
SELECT is(news(), '', 'demand doubles overnight');
INSERT INTO ecauto_data.stock_alert_stale VALUES ('A');
SELECT is(news(), 'stock.low(A)', 'and a stock that did not move is low');
SELECT is((SELECT count(*) FROM ecauto_data.stock_alert_stale), 0::bigint, 'nothing is left to look at');
SELECT ok(ecauto.drop_stock_alert('B'), 'dropped');
SELECT ok(NOT ecauto.drop_stock_alert('B'), 'not there any more');
SELECT throws_ok($$ SELECT ecauto.set_stock_alert('A') $$, '22023', 'a stock alert needs a number of units or of days of cover', 'neither units nor days');
SELECT throws_ok($$ SELECT ecauto.set_stock_alert('A', units => 5, clear_units => 5) $$, '22023', 'a stock alert must clear above the limit at which it is told', 'no hysteresis');
SELECT throws_ok($$ SELECT ecauto.set_stock_alert('A', units => 'NaN') $$, '22023', 'limits of a stock alert must be finite numbers and not negative', 'NaN');

-- ---- what the product page says ----
DELETE FROM ecauto_data.stock_incoming;
SET LOCAL ecauto.clock = '2026-04-05 12:00+02';
SELECT results_eq($$ SELECT sku, state, available, badges FROM ecauto.availability() $$,
	$$ VALUES ('A', 'in stock', 63::numeric, '{}'::text[]), ('B', 'in stock', 2, '{back in stock,last pieces}'), ('C', 'in stock', 80, '{new}'),
		('GIFT', 'in stock', NULL, '{}'), ('OLD', 'inactive', 9, '{}') $$, 'state and badges');
UPDATE stock SET qty = 0 WHERE variant_id = 'B';
SELECT results_eq($$ SELECT state, badges FROM ecauto.availability('{B}') $$, $$ VALUES ('out of stock', '{}'::text[]) $$, 'never stale: no tick in between');
INSERT INTO ecauto_data.stock_incoming VALUES ('B', 'shop', 7, '2026-04-08', 'PO-1');
SELECT results_eq($$ SELECT state, back_at FROM ecauto.availability('{B}') $$, $$ VALUES ('expected', '2026-04-08'::timestamptz) $$, 'expected');
UPDATE stock SET qty = 20 WHERE variant_id = 'B';
SELECT is((SELECT badges FROM ecauto.availability('{B}')), '{back in stock}', 'back for seven days');
SET LOCAL ecauto.clock = '2026-04-09 15:00+02';
SELECT is((SELECT badges FROM ecauto.availability('{B}')), '{}', 'and not a moment longer');
SET LOCAL ecauto.clock = '2026-04-20 12:00+02';
SELECT is((SELECT badges FROM ecauto.availability('{C}')), '{}', 'new for thirty days');
SELECT ecauto.set_badge('fresh', 'new', 60) \g /dev/null
SELECT is((SELECT badges FROM ecauto.availability('{C}')), '{fresh}', 'badges are data');
SELECT throws_ok($$ SELECT ecauto.set_badge('x', 'hot', 1) $$, '22023', NULL, 'of known kinds');

-- ---- scenario 4 ----
INSERT INTO product VALUES ('SCARF', 'Scarf', true, 'winter', '2020-01-01'), ('MUG', 'Mug', true, 'cups', '2020-01-01'), ('FAN', 'Fan', true, 'summer', '2020-01-01');
INSERT INTO variant VALUES ('SCARF', 'SCARF', 'Scarf'), ('MUG', 'MUG', 'Mug'), ('FAN', 'FAN', 'Fan');
CREATE TABLE truth AS
	SELECT sku, d::date AS day, round(CASE sku WHEN 'MUG' THEN 20 WHEN 'SCARF' THEN CASE WHEN extract(month FROM d) >= 10 THEN 30 ELSE 3 END
		ELSE CASE WHEN extract(month FROM d) IN (6, 7, 8) THEN 30 ELSE 3 END END
		* 1.2 ^ (extract(year FROM d) - 2023) * (1 + (('x' || substr(md5(sku || d::date), 1, 4))::bit(16)::int % 41 - 20) / 100.0))::int AS units
	FROM unnest('{SCARF,MUG,FAN}'::text[]) sku, generate_series('2023-01-01'::timestamp, '2025-12-31', '1 day') d;
INSERT INTO orders (id, placed) SELECT sku || day, day + interval '10 hours' FROM truth WHERE day < '2025-08-15';
INSERT INTO order_line (order_id, variant_id, qty) SELECT sku || day, sku, units FROM truth WHERE day < '2025-08-15';
SET LOCAL ecauto.clock = '2025-08-15 12:00+02';
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.refresh_demand(true) \g /dev/null
SELECT results_eq($$ SELECT sku, title, category FROM ecauto.seasonal_top('2025-10-01', '2025-12-31', 1) $$, $$ VALUES ('SCARF', 'Scarf', 'winter') $$, 'asked in August, scarves lead');
SELECT ok(abs(units / (SELECT sum(units) FROM truth WHERE sku = 'SCARF' AND day >= '2025-10-01') - 1) < 0.15, 'and so many will be sold') FROM ecauto.seasonal_top('2025-10-01', '2025-12-31', 1);
SELECT ok(lift > 5 AND growth BETWEEN 1.1 AND 1.3 AND evidence LIKE '%sold from 2024-10-01 to 2024-12-31%growth %', 'with the evidence') FROM ecauto.seasonal_top('2025-10-01', '2025-12-31', 1);
SELECT is((SELECT sku FROM ecauto.seasonal_top('2026-06-01', '2026-08-31', 1)), 'FAN', 'next summer it is fans');
SELECT ecauto.refresh_seasons() \g /dev/null
SELECT ok((SELECT index FROM ecauto_data.season_index WHERE category = 'winter' AND month = 11) > 2 AND (SELECT index FROM ecauto_data.season_index WHERE category = 'winter' AND month = 5) < 0.6, 'the months of a category');
SELECT ok((SELECT sum(mean) FROM ecauto.forecast_sku('SCARF', 138) WHERE day BETWEEN '2025-10-01' AND '2025-12-31') > 2500, 'lift the forecast of a sku');
SELECT is((SELECT count(*) FROM ecauto.seasonal_top('2025-10-01', '2025-12-31', NULL)), 3::bigint, 'all of them');
SELECT throws_ok($$ SELECT * FROM ecauto.seasonal_top('2025-12-31', '2025-10-01') $$, '22023', 'a season must have a first and a last day, at most a year apart', 'ends before it begins');
SELECT finish();
ROLLBACK;

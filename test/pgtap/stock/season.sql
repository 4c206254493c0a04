-- The peak of a year is ordered before it comes, if there are years to know it from; and what one year cannot know.
BEGIN;
\ir shop.psql
SELECT plan(17);
SET LOCAL ecauto.clock = '2025-09-15 12:00+02';
INSERT INTO product VALUES ('SCARF', 'Scarf', true, 'winter', '2020-01-01'), ('MUG', 'Mug', true, 'cups', '2020-01-01'), ('GLOVE', 'Glove', true, 'winter', '2025-08-20');
INSERT INTO variant VALUES ('SCARF', 'SCARF', 'Scarf'), ('MUG', 'MUG', 'Mug'), ('GLOVE', 'GLOVE', 'Glove');
INSERT INTO stock VALUES ('SCARF', 'main', 150), ('MUG', 'main', 100), ('GLOVE', 'main', 60);
CREATE TABLE truth AS
	SELECT sku, d::date AS day, round(CASE sku WHEN 'MUG' THEN 20 ELSE CASE WHEN extract(month FROM d) >= 10 THEN 30 ELSE 3 END END
		* (1 + (('x' || substr(md5(sku || d::date), 1, 4))::bit(16)::int % 41 - 20) / 100.0))::int AS units
	FROM unnest('{SCARF,MUG}'::text[]) sku, generate_series('2022-09-15'::timestamp, '2025-12-31', '1 day') d;
INSERT INTO orders (id, placed) SELECT sku || day, day + interval '10 hours' FROM truth WHERE day < '2025-09-15';
INSERT INTO order_line (order_id, variant_id, qty) SELECT sku || day, sku, units FROM truth WHERE day < '2025-09-15';
SELECT ecauto.attach_shop('custom') \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.set_supplier('near', '{"currency": "EUR", "lead_days": 10}') \g /dev/null
SELECT ecauto.set_offer('near', k, '{"price": 2}') FROM unnest('{SCARF,MUG,GLOVE}'::text[]) k \g /dev/null
SELECT ecauto.set_replenishment(NULL, '{"review_days": 14, "cover_days": 45}') \g /dev/null
CREATE TABLE three AS SELECT * FROM ecauto.plan_replenishment();

-- ordered on the 15th it arrives on the 29th, and is to last to the 13th of October, then 45 days more
SELECT is((SELECT arrives FROM three WHERE sku = 'SCARF'), '2025-09-29', 'arrives two weeks later');
SELECT ok(reorder_point BETWEEN 0.85 * need AND 1.35 * need, 'the reorder point has the beginning of the peak: ' || reorder_point || ' for ' || need)
FROM three, (SELECT sum(units) AS need FROM truth WHERE sku = 'SCARF' AND day BETWEEN '2025-09-15' AND '2025-10-12') x WHERE sku = 'SCARF';
SELECT ok(order_up_to BETWEEN 0.85 * need AND 1.25 * need, 'and what is ordered the peak: ' || order_up_to || ' for ' || need)
FROM three, (SELECT sum(units) AS need FROM truth WHERE sku = 'SCARF' AND day BETWEEN '2025-09-15' AND '2025-11-26') x WHERE sku = 'SCARF';
SELECT ok(order_up_to BETWEEN 0.9 * need AND 1.15 * need, 'what has no season is ordered as ever: ' || order_up_to || ' for ' || need)
FROM three, (SELECT sum(units) AS need FROM truth WHERE sku = 'MUG' AND day BETWEEN '2025-09-15' AND '2025-11-26') x WHERE sku = 'MUG';
SELECT is((SELECT borrowed_from FROM ecauto_data.sku_forecast WHERE sku = 'GLOVE'), 'category', 'a new item has the demand of its category');
SELECT ok((SELECT qty > 300 FROM three WHERE sku = 'GLOVE'), 'and its season');
SELECT ok((SELECT basis FROM ecauto.forecast_sku('SCARF', 1)) LIKE '%, season of the year', 'the forecast says that it knows');
SELECT ok((SELECT evidence FROM ecauto.seasonal_top('2025-10-01', '2025-12-31', 1)) LIKE '% in the season before; growth %', 'two seasons are evidence');

-- ---- one year ----
DELETE FROM order_line WHERE order_id IN (SELECT id FROM orders WHERE placed < '2024-09-14');
DELETE FROM orders WHERE placed < '2024-09-14';
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.refresh_demand(true) \g /dev/null
DELETE FROM ecauto_data.demand WHERE units = 0;
DELETE FROM ecauto_data.season_index;
SELECT ecauto.forecast_all() \g /dev/null
SELECT is((SELECT count(*) FROM ecauto_data.season_index), 0::bigint, 'one year cannot tell a season from growth');
SELECT ok((SELECT basis FROM ecauto.forecast_sku('SCARF', 1)) LIKE '%, season of the year unknown: it takes two years, or set_season()', 'and says so');
SELECT ok((SELECT evidence FROM ecauto.seasonal_top('2025-10-01', '2025-12-31', 1)) LIKE '%not there in the season before: of its own it cannot tell growth%', 'here too');
SELECT ok(NOT EXISTS (SELECT FROM ecauto.plan_replenishment() WHERE sku = 'SCARF' AND order_up_to >= 500), 'the plan does not see the peak');
SELECT ecauto.set_season(m, 10, 'winter') FROM generate_series(10, 12) m \g /dev/null
SELECT ecauto.forecast_all() \g /dev/null
SELECT ok(order_up_to BETWEEN 0.8 * need AND 1.3 * need, 'unless somebody says it: ' || order_up_to || ' for ' || need)
FROM ecauto.plan_replenishment(), (SELECT sum(units) AS need FROM truth WHERE sku = 'SCARF' AND day BETWEEN '2025-09-15' AND '2025-11-26') x WHERE sku = 'SCARF';
SELECT is((SELECT index FROM ecauto_data.season_index WHERE category = 'winter' AND month = 11), 10::float8, 'what was said stays');
SELECT throws_ok($$ SELECT ecauto.set_season(13, 2) $$, '22023', 'a season must have a month from 1 to 12 and an index above 0 and up to 1000', 'no such month');
SELECT throws_ok($$ SELECT ecauto.set_season(1, 'NaN') $$, '22023', NULL, 'NaN');
SELECT throws_ok($$ SELECT ecauto.set_season(1, 0) $$, '22023', NULL, 'nothing at all');
SELECT finish();
ROLLBACK;

-- What is kept of the distribution of rare demand is what it says when asked anew.
BEGIN;
\ir shop.psql
SELECT plan(13);
SET LOCAL ecauto.clock = '2026-06-30 04:00+02';
INSERT INTO product VALUES ('P', 'Cup');
INSERT INTO variant SELECT 'S' || i, 'P' FROM generate_series(1, 120) i;
INSERT INTO stock SELECT 'S' || i, 'main', 0 FROM generate_series(1, 120) i;
SELECT ecauto.attach_shop('custom') \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT setseed(0.25);
-- by week and by day, whole units and parts of them, for a year or a month
INSERT INTO ecauto_data.demand (sku, day, units)
SELECT 'S' || i, '2026-06-30'::date - d, CASE WHEN i % 7 = 0 THEN 0.25 ELSE 1 END * ceil(random() ^ 4 * (1 + i % 9))
FROM generate_series(1, 120) i, generate_series(1, 380) d
WHERE random() < CASE i % 3 WHEN 0 THEN 0.02 WHEN 1 THEN 0.1 ELSE 0.45 END + 0 * d AND (i % 10 > 0 OR d < 45);
SELECT ecauto.record_stock_out('S5', '2026-03-01', '2026-04-01') \g /dev/null
SELECT ecauto.set_supplier('near', '{"currency": "EUR", "lead_days": 5}') \g /dev/null
SELECT ecauto.set_supplier('far', '{"currency": "EUR", "lead_days": 17}') \g /dev/null
SELECT ecauto.set_offer('near', 'S' || i, '{"price": 2}') FROM generate_series(1, 120) i \g /dev/null
SELECT ecauto.set_offer('far', 'S' || i, '{"price": 1}') FROM generate_series(1, 120, 2) i \g /dev/null
SELECT ecauto.forecast_all() \g /dev/null

-- each point again, from demand itself
CREATE FUNCTION differing(OUT points bigint, OUT other bigint) LANGUAGE sql AS $$
	SELECT count(*), count(*) FILTER (WHERE n.reorder_point IS DISTINCT FROM ceil(ecauto.demand_quantile(
		CASE WHEN f.bucket_days = 1 THEN d.series ELSE ecauto.demand_bucket(d.series, f.bucket_days) END,
		n.protection / f.bucket_days, n.service_level)::numeric - 0.000001))
	FROM ecauto.replenishment_need() n
	JOIN ecauto_data.sku_forecast f ON f.sku = n.sku
	JOIN ecauto.demand_daily() d ON d.sku = n.sku COLLATE "default"
	WHERE n.method = 'negative binomial and past windows' $$;
SELECT cmp_ok((SELECT count(*) FROM ecauto_data.sku_forecast WHERE class IN ('intermittent', 'lumpy')), '>', 80::bigint, 'demand is rare');
SELECT is((SELECT count(DISTINCT bucket_days) FROM ecauto_data.sku_forecast WHERE lead_units IS NOT NULL), 2::bigint, 'by day and by week');
SELECT cmp_ok((SELECT points FROM differing()), '>', 120::bigint, 'there are points of them');
SELECT is((SELECT other FROM differing()), 0::bigint, 'that are the quantiles of demand');
SELECT is(ecauto.refresh_lead_units(), 0::bigint, 'nothing is computed twice');
SELECT is((SELECT count(*) FROM ecauto.replenishment_need() n JOIN ecauto_data.sku_forecast f ON f.sku = n.sku
	WHERE f.class IN ('intermittent', 'lumpy') AND f.borrowed_from IS NULL AND n.method = 'negative binomial'), 0::bigint, 'for all of them');

-- another level, another lead, a review, other hands: what is missing is computed
SELECT ecauto.set_replenishment('S1', '{"service_level": 0.99}') \g /dev/null
SELECT ecauto.set_replenishment('S2', '{"review_days": 30}') \g /dev/null
SELECT ecauto.set_offer('near', 'S4', '{"price": 2, "lead_days": 9}') \g /dev/null
UPDATE ecauto_data.sku_forecast SET lead_level = NULL, lead_periods = NULL, lead_units = NULL WHERE sku = 'S11';
SELECT is(ecauto.refresh_lead_units(), (SELECT count(*) FROM ecauto_data.sku_forecast
	WHERE sku IN ('S1', 'S2', 'S4', 'S11') AND class IN ('intermittent', 'lumpy')), 'what policies and offers need now');
SELECT is((SELECT other FROM differing()), 0::bigint, 'the same again');
SELECT lives_ok('SELECT * FROM ecauto.plan_replenishment()', 'a plan');
SELECT is((SELECT count(*) FROM ecauto_data.purchase_order_line l JOIN ecauto.replenishment_need() n ON n.sku = l.sku COLLATE "default"
	JOIN ecauto_data.purchase_order p ON p.id = l.order_id AND p.supplier = n.supplier COLLATE "C"
	WHERE (l.reasoning ->> 'reorder_point')::numeric <> n.reorder_point), 0::bigint, 'that says so');

SELECT is(ecauto.lead_units('{1,2}', '{4,10}', 1.5), 7::float8, 'between whole periods');
SELECT is(ecauto.lead_units('{1,2}', '{4,10}', 0.25), 1::float8, 'in the first one');
SELECT is(ecauto.lead_units('{1,2}', '{4,10}', 2.5), NULL, 'not known');
SELECT finish();
ROLLBACK;

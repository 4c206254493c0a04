-- Demand is counted once, by day of the shop, without what was cancelled; days out of stock are not zero; the past stays as it was.
BEGIN;
\ir shop.psql
SELECT plan(50);
SET LOCAL ecauto.clock = '2026-03-31 12:00+02';

INSERT INTO product VALUES ('P', 'Cup', true, 'cups', '2020-01-01'), ('Q', 'Plate', true, 'plates', '2020-01-01'), ('N', 'New cup', true, 'cups', '2026-03-20');
INSERT INTO variant VALUES ('A', 'P'), ('B', 'P'), ('C', 'Q'), ('NEW', 'N'), ('SIB', 'P');
INSERT INTO stock VALUES ('A', 'main', 100), ('B', 'main', 0), ('C', 'main', 5), ('NEW', 'main', 5), ('SIB', 'main', 5);
-- ---- series of a table ----
SELECT is((SELECT ecauto.demand_series(place, units, 6) FROM (VALUES (1, 2.0), (3, 4), (3, 1), (4, NULL), (9, 7), (-1, 7), (NULL, 7)) v (place, units)), '{2,0,5,NULL,0}'::float8[],
	'from the first demand on: sums, zeros, NULL where nobody looked; what lies outside is left out');
SELECT is((SELECT ecauto.demand_series(i, 1, 6) FROM generate_series(1, 0) i), NULL, 'of nothing');
SELECT throws_ok($$ SELECT ecauto.demand_series(1, 1, 0) $$, '22023', 'length must be between 1 and 10000000 periods', 'length');
CREATE TABLE big AS SELECT i % 10 AS sku, i / 10 % 100 AS place, (i % 7)::float8 AS units FROM generate_series(1, 100000) i;
ALTER TABLE big SET (parallel_workers = 2);
CREATE TEMP TABLE serial AS SELECT sku, ecauto.demand_series(place, units, 100) AS y FROM big GROUP BY 1;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SELECT is((SELECT count(*) FROM (TABLE serial EXCEPT SELECT sku, ecauto.demand_series(place, units, 100) FROM big GROUP BY 1) x), 0::bigint, 'a parallel plan says the same');
SELECT is(ecauto.demand_bucket('{9,1,2,3,4,5,6}', 3), '{6,15}'::float8[], 'longer periods, from the end');
SELECT is(ecauto.demand_bucket('{2,NULL,4,NULL,NULL,5}', 3), '{9,NULL}'::float8[], 'made up from what was observed, if that is at least half');
SELECT is(ecauto.demand_bucket('{1,2}', 3), '{4.5}'::float8[], 'less than one period is made up too');

SELECT throws_ok('SELECT ecauto.refresh_demand()', '55000', 'demand cannot be read yet', 'not before the shop is attached');
SELECT sell('A', '2026-03-01', '2026-03-30', 10) \g /dev/null
SELECT sell('C', '2026-03-01', '2026-03-30', 2) \g /dev/null
SELECT ecauto.attach_shop('custom') \g /dev/null
SELECT ecauto.tick() \g /dev/null

-- ---- from order lines to days ----
SELECT is(ecauto.refresh_demand(), 60::bigint, 'the first time everything is read');
SELECT is((SELECT sum(units) FROM ecauto_data.demand WHERE sku = 'A'), 300::numeric, 'all of it');
SELECT is(ecauto.refresh_demand(), 0::bigint, 'and then nothing');
SELECT is((SELECT count(*) FROM ecauto_data.stock_out WHERE sku = 'B' AND until IS NULL), 1::bigint, 'what is out of stock is known to be');
INSERT INTO orders (id, placed) VALUES ('late', '2026-03-30 22:30+00'), ('early', '2026-03-30 21:30+00');
INSERT INTO order_line (order_id, variant_id, qty) VALUES ('late', 'B', 3), ('early', 'B', 2), ('early', 'B', 5);
SELECT ecauto.tick() \g /dev/null
SELECT is(ecauto.refresh_demand(), 2::bigint, 'new orders are read, and only they');
SELECT results_eq($$ SELECT day, units FROM ecauto_data.demand WHERE sku = 'B' ORDER BY day $$,
	$$ VALUES ('2026-03-30'::date, 7::numeric), ('2026-03-31', 3) $$, 'a day ends at midnight in the shop; lines of one sku are added');
UPDATE orders SET cancelled = true WHERE id = 'late';
SELECT ecauto.tick() \g /dev/null
SELECT is(ecauto.refresh_demand(), 1::bigint, 'a cancelled order');
SELECT is((SELECT units FROM ecauto_data.demand WHERE sku = 'B' AND day = '2026-03-31'), 0::numeric, 'takes its units back');
UPDATE order_line SET gone = 1 WHERE order_id = 'early' AND qty = 5;
UPDATE orders SET total = 9 WHERE id = 'early';
SELECT ecauto.tick() \g /dev/null
SELECT is(ecauto.refresh_demand(true), 1::bigint, 'rebuilding finds what no event told of, and writes what differs');
SELECT is((SELECT units FROM ecauto_data.demand WHERE sku = 'B' AND day = '2026-03-30'), 6::numeric, 'cancelled units do not count');
SELECT is(ecauto.refresh_demand(true), 0::bigint, 'again, nothing differs');
SELECT is((SELECT count(*) FROM (SELECT sku, day, sum(units) AS units FROM ecauto_data.demand_line GROUP BY 1, 2) l
	FULL JOIN (SELECT * FROM ecauto_data.demand WHERE units <> 0) d USING (sku, day) WHERE l.units IS DISTINCT FROM d.units), 0::bigint, 'demand is the sum of its lines');
SELECT is((SELECT sum(units) FROM ecauto_data.demand), (SELECT sum(qty - gone)::numeric FROM order_line l JOIN orders o ON o.id = l.order_id WHERE NOT cancelled), 'and of the shop''s');
INSERT INTO orders (id, placed) VALUES ('night', '2026-03-29 22:30+00');
INSERT INTO order_line (order_id, variant_id, qty) VALUES ('night', 'B', 1);
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.refresh_demand() \g /dev/null
SET LOCAL ecauto.timezone = 'UTC';
SELECT is(ecauto.refresh_demand(), 2::bigint, 'another time zone has other days');
SELECT is((SELECT units FROM ecauto_data.demand WHERE sku = 'B' AND day = '2026-03-31'), 0::numeric, 'none is left behind');
SET LOCAL ecauto.timezone = 'Europe/Warsaw';
SELECT ecauto.refresh_demand() \g /dev/null

-- ---- scenario 3 ----
SELECT is((SELECT round(mean::numeric, 4) FROM ecauto.forecast_sku('A', 1)), 10.0000, 'ten a day');
SELECT is(array_length(series, 1), 30, 'thirty days') FROM ecauto.demand_daily(ARRAY['A']);
DELETE FROM order_line WHERE order_id IN ('A/2026-03-05', 'A/2026-03-06', 'A/2026-03-15', 'A/2026-03-16', 'A/2026-03-17');
DELETE FROM orders WHERE id IN ('A/2026-03-05', 'A/2026-03-06', 'A/2026-03-15', 'A/2026-03-16', 'A/2026-03-17');
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.refresh_demand(true) \g /dev/null
SELECT is((SELECT sum(u)::int FROM ecauto.demand_daily(ARRAY['A']), unnest(series) u), 250, 'five days without sale');
SELECT ok((SELECT mean < 9.99 FROM ecauto.forecast_sku('A', 1)), 'were there stock, these were days without demand');
SELECT ecauto.record_stock_out('A', '2026-03-05 00:00+01', '2026-03-07 00:00+01') \g /dev/null
SELECT ecauto.record_stock_out('A', '2026-03-15 08:00+01', '2026-03-18 00:00+01') \g /dev/null
SELECT is((SELECT round(mean::numeric, 4) FROM ecauto.forecast_sku('A', 1)), 10.0000, 'days out of stock are not zero demand: the level stays ten');
SELECT is((SELECT array_agg(day ORDER BY day) FROM ecauto.demand_gaps(ARRAY['A'], '2026-03-01', '2026-03-31')),
	'{2026-03-05,2026-03-06,2026-03-15,2026-03-16,2026-03-17}'::date[], 'a day counts as out of stock from twelve hours on');
SELECT is((SELECT series[1:7] FROM ecauto.demand_daily(ARRAY['A'])), '{10,10,10,10,NULL,NULL,10}'::float8[], 'and is unknown in the series');

-- promotions
SELECT sell('C', '2026-02-01', '2026-02-28', 2) \g /dev/null
UPDATE order_line SET qty = 40 WHERE order_id IN ('C/2026-03-28', 'C/2026-03-29', 'C/2026-03-30');
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.refresh_demand(true) \g /dev/null
SELECT ok((SELECT mean > 4 FROM ecauto.forecast_sku('C', 1)), 'a promotion would lift the level');
SELECT ecauto.mark_demand('C', '2026-03-28', '2026-03-30', 'spring sale') \g /dev/null
SELECT is((SELECT round(mean::numeric, 3) FROM ecauto.forecast_sku('C', 1)), 2.000, 'unless its days are marked');
SELECT is((SELECT DISTINCT reason FROM ecauto.demand_gaps(ARRAY['C'], '2026-03-01', '2026-03-31')), 'spring sale', 'with the reason');

-- ---- the past does not change ----
CREATE TEMP TABLE past AS SELECT * FROM ecauto.forecast_sku('A', 14, '2026-03-25 12:00+01');
SELECT is((SELECT min(day) FROM past), '2026-03-25'::date, 'a forecast of a past date begins there');
SET LOCAL ecauto.clock = '2026-04-20 12:00+02';
SELECT sell('A', '2026-03-31', '2026-04-19', 50) \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.refresh_demand() \g /dev/null
SELECT is((SELECT count(*) FROM (TABLE past EXCEPT SELECT * FROM ecauto.forecast_sku('A', 14, '2026-03-25 12:00+01')) x), 0::bigint, 'and does not change when later rows are added');
SELECT ok((SELECT mean > 30 FROM ecauto.forecast_sku('A', 1)), 'that of today does');

-- ---- all skus ----
SELECT is(ecauto.forecast_all() >= 4, true, 'all skus');
SELECT is((SELECT round(daily::numeric, 3) FROM ecauto_data.sku_forecast WHERE sku = 'A'), (SELECT round(avg(mean)::numeric, 3) FROM ecauto.forecast_sku('A', 28)), 'as one by one');
SELECT is((SELECT as_of FROM ecauto_data.sku_forecast WHERE sku = 'A'), '2026-04-20'::date, 'as of today');
SELECT is((SELECT array_length(mean, 1) FROM ecauto_data.sku_forecast WHERE sku = 'A'), 91, 'for a quarter');
SELECT is((SELECT borrowed_from FROM ecauto_data.sku_forecast WHERE sku = 'NEW'), 'category', 'a new item borrows from its category');
SELECT is((SELECT round(daily::numeric, 2) FROM ecauto_data.sku_forecast WHERE sku = 'NEW'), (SELECT round(daily::numeric, 2) FROM ecauto_data.sku_forecast WHERE sku = 'A'), 'its median');
SELECT is((SELECT basis FROM ecauto.forecast_sku('NEW', 1)), 'borrowed from its category', 'and says so');
SELECT is((SELECT basis FROM ecauto.forecast_sku('SIB', 1)), 'borrowed from its product', 'or from the other skus of its product');
SELECT is((SELECT method FROM ecauto.forecast_sku('SIB', 1)), 'borrowed', 'method');
SELECT is((SELECT count(*) FROM ecauto.forecast_sku('A', 0)), 0::bigint, 'no days, no rows');
SELECT throws_ok($$ SELECT * FROM ecauto.forecast_sku('nobody') $$, 'P0002', 'sku "nobody" does not exist', 'unknown sku');
SELECT throws_ok($$ SELECT * FROM ecauto.forecast_sku('A', -1) $$, '22023', 'days must be between 0 and 3650', 'negative days');
SELECT throws_ok($$ SELECT ecauto.record_stock_out('A', '2026-01-02', '2026-01-01') $$, '22023', NULL, 'ends before it begins');
CREATE ROLE nobody;
SET ROLE nobody;
SELECT throws_ok($$ SELECT ecauto.forecast_all() $$, '42501', NULL, 'not for everybody');
RESET ROLE;
SELECT finish();
ROLLBACK;

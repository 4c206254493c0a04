-- Forecasts of one series: known answers, stated answers at the edges, clear errors.
BEGIN;
SELECT plan(61);

CREATE FUNCTION pg_temp.mean(series float8[], period int, method text) RETURNS numeric LANGUAGE sql AS
$$ SELECT round(mean::numeric, 4) FROM ecauto.forecast(series, period, 1, method) $$;

-- ---- known answers ----
SELECT is(pg_temp.mean('{0,0,5,0,0,0,5,0,0,5}', 1, 'croston'), 1.6181, 'Croston: first size and interval are the initial ones');
SELECT is(pg_temp.mean('{0,0,5,0,0,0,5,0,0,5}', 1, 'sba'), 1.5372, 'SBA');
SELECT is(pg_temp.mean('{0,0,3,0,0,0,5,0,2,0,0,0,0,4,0,0,1,0,0,6,0,0,0,2}', 1, 'croston'), 0.9673, 'Croston on a longer series');
-- sizes 3,5,2,4,1,6,2: mean 23/7 of 7 periods in 24, then smoothed by hand
SELECT is(pg_temp.mean('{0,0,3,0,0,0,5,0,2,0,0,0,0,4,0,0,1,0,0,6,0,0,0,2}', 1, 'tsb'), 1.0457, 'TSB');
-- intervals of 2: blocks (0,4) (4,0) are 4 and 4
SELECT is(pg_temp.mean('{0,4,4,0}', 1, 'adida'), 2.0000, 'ADIDA: sums of blocks, divided by their length');
SELECT is(pg_temp.mean('{1,5,3}', 1, 'mean'), 3.0000, 'mean');
SELECT is(pg_temp.mean('{1,5,3}', 1, 'naive'), 3.0000, 'naive');
SELECT is(pg_temp.mean('{1,5,3}', 1, 'drift'), 4.0000, 'drift');
SELECT results_eq($$ SELECT h, mean FROM ecauto.forecast('{1,2,3,4,5,6,7}', 3, 5, 'seasonal_naive') $$,
	$$ VALUES (1, 5::float8), (2, 6), (3, 7), (4, 5), (5, 6) $$, 'seasonal naive repeats the last season');
-- fit R: HoltWinters(AirPassengers first ten years, "multiplicative"); thetaf(); ses()
CREATE TEMP TABLE air AS SELECT '{112,118,132,129,121,135,148,148,136,119,104,118,115,126,141,135,125,149,170,170,158,133,114,140,145,150,178,163,172,178,199,199,184,162,146,166,171,180,193,181,183,218,230,242,209,191,172,194,196,196,236,235,229,243,264,272,237,211,180,201,204,188,235,227,234,264,302,293,259,229,203,229,242,233,267,269,270,315,364,347,312,274,237,278,284,277,317,313,318,374,413,405,355,306,271,306,315,301,356,348,355,422,465,467,404,347,305,336,340,318,362,348,363,435,491,505,404,359,310,337}'::float8[] AS x;
SELECT is(round((SELECT f.mean FROM air, ecauto.forecast(x, 12, 1, 'theta') f)::numeric, 2), 341.62, 'Theta with its season');
SELECT is(round((SELECT f.mean FROM air, ecauto.forecast(x, 12, 1, 'ses') f)::numeric, 2), 337.00, 'simple smoothing');
-- R stops short of the least error, at 337.17
SELECT is(round((SELECT f.mean FROM air, ecauto.forecast(x, 12, 1, 'holt_damped') f)::numeric, 1), 337.3, 'damped trend');
SELECT is(round((SELECT f.mean FROM air, ecauto.forecast(x, 12, 1, 'holt_winters') f)::numeric, 1), 353.8, 'Holt-Winters, additive');
SELECT is(round((SELECT f.mean FROM air, ecauto.forecast(x, 12, 1, 'holt_winters_multiplicative') f)::numeric, 1), 349.7, 'Holt-Winters, multiplicative');
SELECT is((SELECT ecauto.demand_period(x) FROM air), 12, 'the period is found by autocorrelation');
SELECT is((SELECT ecauto.demand_period(array_agg(100 + CASE i % 7 WHEN 5 THEN 80 WHEN 6 THEN 120 ELSE (i * 7919) % 13 END ORDER BY i)) FROM generate_series(1, 120) i), 7, 'and so is a week');
SELECT is(ecauto.demand_period('{1,2,3,4,5,6,7,8,9,10,11,12}'), 1, 'a trend is no season');
SELECT is((SELECT f.mean FROM air, ecauto.forecast(x, NULL, 3) f WHERE h = 3), (SELECT f.mean FROM air, ecauto.forecast(x, 12, 3) f WHERE h = 3), 'a period found is as one given');
SELECT results_eq($$ SELECT f.method_used, f.class, f.season, f.observations, f.error < 1.5, array_length(f.mean, 1) FROM air, ecauto.forecast_fit(x, 12, 24) f $$,
	$$ VALUES ('combined', 'smooth', 12, 120, true, 24) $$, 'auto says what it used and how well it did');
SELECT is((SELECT count(*) FROM air, ecauto.forecast(x, 12, 24) f, unnest('{360,342,406,396,420,472,548,559,463,407,362,405,417,391,419,461,472,535,622,606,508,461,390,432}'::float8[]) WITH ORDINALITY a (y, i) WHERE i = h AND y BETWEEN lo AND hi) >= 18, true, 'most of what came is within the bounds');
SELECT ok((SELECT bool_and(lo < mean AND mean < hi) FROM air, ecauto.forecast(x, 12, 24)), 'the mean is within them');
SELECT ok((SELECT (SELECT hi - lo FROM ecauto.forecast(x, 12, 12, 'auto', 0.8) WHERE h = 12) < (SELECT hi - lo FROM ecauto.forecast(x, 12, 12, 'auto', 0.99) WHERE h = 12) FROM air), 'a higher level has wider bounds');

-- ---- classes ----
SELECT is((ecauto.forecast_fit('{9,10,11,10,9,10,11,10}', 1)).class, 'smooth', 'smooth');
SELECT is((ecauto.forecast_fit('{1,30,2,40,1,2,1,50}', 1)).class, 'erratic', 'erratic');
SELECT is((ecauto.forecast_fit('{0,5,0,0,5,0,5,0,0}', 1)).class, 'intermittent', 'intermittent');
SELECT is((ecauto.forecast_fit('{0,1,0,0,50,0,2,0,0}', 1)).class, 'lumpy', 'lumpy');
SELECT is((ecauto.forecast_fit('{0,0,0}', 1)).class, 'none', 'none');

-- ---- what was not observed ----
SELECT is((SELECT mean FROM ecauto.forecast((SELECT array_agg(CASE WHEN i IN (4, 9, 10, 20, 30) THEN NULL ELSE 10 END ORDER BY i) FROM generate_series(1, 30) i), 1, 1)), 10::float8, 'days out of stock are not zero demand');
SELECT ok((SELECT mean FROM ecauto.forecast((SELECT array_agg(CASE WHEN i IN (4, 9, 10, 20, 30) THEN 0 ELSE 10 END ORDER BY i) FROM generate_series(1, 30) i), 1, 1)) < 9.5, 'zeros are');
SELECT is((ecauto.forecast_fit('{NULL,NULL,3,4,3,4}', 1)).observations, 4, 'what comes before the first observation is left out');
SELECT is((ecauto.forecast_fit('{0,5,NULL,0,5,0,NULL,5,0,0}', 1)).observations, 8, 'where demand is rare a gap is taken out');
SELECT is((SELECT mean FROM ecauto.forecast('{10,20,30,10,20,30,NULL,20,30,10,20,30,10,20,30}', 3, 1)), 10::float8, 'a gap is filled from its place in the season');

-- ---- stated answers at the edges ----
SELECT results_eq($$ SELECT * FROM ecauto.forecast('{}', 1, 2) $$, $$ VALUES (1, NULL::float8, NULL::float8, NULL::float8), (2, NULL, NULL, NULL) $$, 'an empty series forecasts nothing');
SELECT results_eq($$ SELECT mean, lo FROM ecauto.forecast('{NULL,NULL}', 7, 1) $$, $$ VALUES (NULL::float8, NULL::float8) $$, 'nor does one that nobody observed');
SELECT is((ecauto.forecast_fit('{}', 1)).method_used, NULL, 'and there is nothing to tell of it');
SELECT results_eq($$ SELECT * FROM ecauto.forecast('{7}', 1, 1) $$, $$ VALUES (1, 7::float8, NULL::float8, NULL::float8) $$, 'one point is the forecast, of unknown spread');
SELECT results_eq($$ SELECT * FROM ecauto.forecast('{0,0,0,0,0,0}', 7, 1) $$, $$ VALUES (1, 0::float8, 0::float8, 0::float8) $$, 'all zero stays zero');
SELECT results_eq($$ SELECT mean, lo, hi FROM ecauto.forecast(array_fill(4::float8, ARRAY[50]), 7, 1) $$, $$ VALUES (4::float8, 4::float8, 4::float8) $$, 'a constant stays');
SELECT ok((SELECT mean < 0 AND lo < mean FROM ecauto.forecast('{-5,-6,-5,-4,-5,-6,-5,-4,-5,-6,-5,-4}', 1, 1)), 'more returns than sales: the mean may be negative');
SELECT is((SELECT mean FROM ecauto.forecast('{0,-5,5,0,0,0,5,0,0,5}', 1, 1, 'croston')), (SELECT mean FROM ecauto.forecast('{0,0,5,0,0,0,5,0,0,5}', 1, 1, 'croston')), 'a return is no demand to Croston');
SELECT ok((SELECT bool_and(mean >= 0 AND lo >= 0) FROM ecauto.forecast('{90,80,70,60,50,40,30,20,10,5,2,1}', 1, 24)), 'a series without returns never forecasts below zero');
SELECT is((SELECT count(*) FROM ecauto.forecast('{1,2,3}', 1, 0)), 0::bigint, 'horizon 0 has no rows');
SELECT is((SELECT count(*) FROM ecauto.forecast(NULL, 1, 3)), 0::bigint, 'nor has a series of NULL');
SELECT is((SELECT mean FROM ecauto.forecast('{1,2,3,4,5,6,7,8,9,10,11}', 365, 1)), (SELECT mean FROM ecauto.forecast('{1,2,3,4,5,6,7,8,9,10,11}', 1, 1)), 'a period longer than the series is none');
SELECT is((SELECT mean FROM ecauto.forecast('{1,2,3}', 12, 1, 'seasonal_naive')), 3::float8, 'seasonal naive without a season is naive');
SELECT isnt((SELECT mean FROM ecauto.forecast('{1,2,3,4}', 12, 1, 'holt_winters')), NULL, 'Holt-Winters without two seasons gives way');
SELECT ok((SELECT mean BETWEEN 80 AND 120 FROM ecauto.forecast((SELECT array_agg(100 + (i * 7919) % 13 - 6.0 ORDER BY i) FROM generate_series(1, 100000) i), 7, 1)), '100,000 points');
SELECT ok((SELECT abs(mean - 1e15) < 1 FROM ecauto.forecast('{1e15,1e15,1e15,1e15,1e15,1e15,1e15,1e15,1e15,1e15}', 1, 1)), 'large values');
SELECT ok((SELECT bool_and(mean IS NOT NULL) FROM ecauto.forecast((SELECT array_agg((i % 3) * 5e99 ORDER BY i) FROM generate_series(1, 40) i), 1, 3)), 'the largest');
SELECT ok((SELECT bool_and(mean IS NOT NULL) FROM ecauto.forecast((SELECT array_agg((i % 3) * 1e-300 ORDER BY i) FROM generate_series(1, 40) i), 1, 3)), 'the smallest');

-- ---- errors ----
SELECT throws_ok($$ SELECT * FROM ecauto.forecast('{1,NaN,2}', 1, 1) $$, '22023', 'series must have finite numbers only', 'NaN');
SELECT throws_ok($$ SELECT * FROM ecauto.forecast('{1,-Infinity}', 1, 1) $$, '22023', 'series must have finite numbers only', 'infinity');
SELECT throws_ok($$ SELECT * FROM ecauto.forecast('{1,1e101}', 1, 1) $$, '22003', 'series must not have values beyond 1e+100', 'too large');
SELECT throws_ok($$ SELECT * FROM ecauto.forecast('{{1,2},{3,4}}', 1, 1) $$, '2202E', 'series must have one dimension', 'two dimensions');
SELECT throws_ok($$ SELECT * FROM ecauto.forecast('{1,2}', 1, -1) $$, '22023', 'horizon must be between 0 and 100000 periods', 'negative horizon');
SELECT throws_ok($$ SELECT * FROM ecauto.forecast('{1,2}', -7, 1) $$, '22023', 'period must not be negative', 'negative period');
SELECT throws_ok($$ SELECT * FROM ecauto.forecast('{1,2}', 1, 1, 'arima') $$, '22023', 'forecast method "arima" does not exist', 'unknown method');
SELECT throws_ok($$ SELECT * FROM ecauto.forecast('{1,2}', 1, 1, 'auto', 1) $$, '22023', 'level must be between 0 and 1, both excluded', 'level');

-- every method answers for every kind of series
SELECT is((SELECT count(*) FROM unnest(string_to_array('auto mean naive seasonal_naive drift ses holt_damped holt_winters holt_winters_multiplicative theta dynamic_theta theta_damped combined croston sba tsb adida levels', ' ')) m,
	unnest(ARRAY['{5}', '{5,6}', '{0,0,0}', '{0,0,9}', '{1,2,1,2,1,2,1,2,1,2}', '{-1,5,-3,2,0,0,7,1,2,-9,4,4}', '{0,0,0,0,0,0,0,0,0,0,0,0,3,0,0,0}', '{3,3,3,3,3,3,3,3,3,3,3,3,3}']) s,
	unnest('{1,2,4}'::int[]) p, ecauto.forecast(s::float8[], p, 3, m) f WHERE f.mean IS NULL OR f.mean IN ('NaN', 'Infinity', '-Infinity') OR f.lo > f.mean OR f.hi < f.mean), 0::bigint, 'every method, short and odd series: a finite mean within its bounds');
SELECT is((SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'ecauto' AND proname IN ('forecast', 'forecast_fit', 'demand_quantile', 'demand_period', 'normal_loss', 'normal_quantile', 'negbin_loss', 'negbin_quantile') AND (proparallel <> 's' OR provolatile <> 'i')), 0::bigint, 'parallel safe and immutable');
-- a statement that is cancelled stops in the middle of a series
CREATE FUNCTION pg_temp.cancelled() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM count(*) FROM (SELECT array_agg((i * 31 % 1009)::float8) AS x FROM generate_series(1, 1000000) i) s,
		generate_series(1, 1000) g, ecauto.forecast(x || g::float8, NULL, 1) f;
	RETURN false;
EXCEPTION WHEN query_canceled THEN
	RETURN true;
END $$;
SET LOCAL statement_timeout = '500ms';
SELECT ok(pg_temp.cancelled(), 'interruptible');
RESET statement_timeout;
SELECT finish();
ROLLBACK;

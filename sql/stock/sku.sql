-- Forecasts of the shop's skus.

CREATE OR REPLACE FUNCTION ecauto.fit_skus(skus text[], as_of date, horizon integer)
RETURNS TABLE (
	sku text, bucket_days integer, observed_days integer, series float8[], method text, class text,
	error float8, sd float8, mean float8[])
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
SELECT b.sku, b.size, b.observed, b.series, f.method_used, f.class, f.error, f.sd, f.mean
FROM (SELECT d.sku, k.size, k.observed,
		CASE WHEN k.size = 1 THEN d.series ELSE ecauto.demand_bucket(d.series, k.size) END AS series
	FROM ecauto.demand_daily($1, $2) d
	CROSS JOIN LATERAL (SELECT count(u.units)::integer AS observed,
			CASE WHEN 3 * count(*) FILTER (WHERE u.units > 0) < count(u.units) AND cardinality(d.series) >= 28 THEN 7 ELSE 1 END AS size
		FROM unnest(d.series) u (units)) k
	WHERE k.observed > 0) b
CROSS JOIN LATERAL ecauto.forecast_fit(b.series, CASE WHEN b.size = 1 THEN 7 ELSE 1 END,
	($3 + b.size - 1) / b.size, 'auto') f
$$;
COMMENT ON FUNCTION ecauto.fit_skus(text[], date, integer) IS
'forecasts of skus (NULL: all) that have demand before as_of, for so many days: by day with a week as season, or by week where there is demand on less than a third of the days; mean and sd are of such a period; season of the year and what new items borrow come on top in ecauto.forecast_all()';

CREATE OR REPLACE FUNCTION ecauto.sku_category()
RETURNS TABLE (sku text, product text, category text)
LANGUAGE sql VOLATILE ROWS 10000
SET search_path = pg_catalog, pg_temp
AS $$
SELECT s.key, s.product_key, min(c.category_key)
FROM ecauto_data.seen_sku s
LEFT JOIN ecauto.role_rows('product_category') AS c (key text, category_key text) ON c.key = s.product_key COLLATE "default"
GROUP BY s.key, s.product_key
$$;
COMMENT ON FUNCTION ecauto.sku_category() IS
'product and category of each sku (of several the first by key; NULL: none); for operators';
REVOKE ALL ON FUNCTION ecauto.sku_category() FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.demand_spread(mean float8[], size integer, first_day date, days integer, season float8[])
RETURNS float8[]
AS 'MODULE_PATHNAME', 'ecauto_demand_spread'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.demand_spread(float8[], integer, date, integer, float8[]) IS
'a forecast by periods of "size" days as so many days from first_day on; season: indices of the twelve months (NULL: none), by which days differ from the four weeks before first_day';

CREATE OR REPLACE FUNCTION ecauto.set_season(month integer, index float8, category text DEFAULT '')
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF month IS NULL OR month NOT BETWEEN 1 AND 12 OR index IS NULL OR NOT index > 0 OR index > 1000 THEN
		RAISE EXCEPTION 'a season must have a month from 1 to 12 and an index above 0 and up to 1000'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('Month %s, index %s.', coalesce(month::text, 'null'), coalesce(index::text, 'null'));
	END IF;
	INSERT INTO ecauto_data.season_index AS s (category, month, index, years)
	VALUES (coalesce(category, ''), month, index, 0)
	ON CONFLICT ON CONSTRAINT season_index_pkey DO UPDATE SET index = excluded.index, years = 0;
END
$$;
COMMENT ON FUNCTION ecauto.set_season(integer, float8, text) IS
'says how a month sells compared with the mean month, in a category or ('''') the whole shop, where too few years tell; stays until it is set again, whatever the years say later';
REVOKE ALL ON FUNCTION ecauto.set_season(integer, float8, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.refresh_seasons(as_of date DEFAULT NULL)
RETURNS bigint
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
WITH by_month AS MATERIALIZED (
	SELECT d.sku, date_trunc('month', d.day::timestamp)::date AS month, sum(d.units)::float8 AS units
	FROM ecauto_data.demand d
	WHERE d.day < date_trunc('month', coalesce($1, ecauto.today())::timestamp)
		AND d.day >= date_trunc('month', coalesce($1, ecauto.today())::timestamp) - interval '5 years'
	GROUP BY 1, 2
), total AS (
	SELECT '' AS category, month, sum(units) AS units FROM by_month GROUP BY 1, 2
	UNION ALL
	SELECT c.category, m.month, sum(m.units) FROM by_month m JOIN ecauto.sku_category() c ON c.sku = m.sku
	WHERE c.category IS NOT NULL GROUP BY 1, 2
), span AS (
	SELECT category, min(month) AS first_month, sum(units) AS units FROM total GROUP BY 1
), dense AS (
	SELECT s.category, g.month::date AS month, greatest(coalesce(t.units, 0), 0) AS units, s.units AS all_units
	FROM span s
	CROSS JOIN LATERAL generate_series(s.first_month::timestamp,
		date_trunc('month', coalesce($1, ecauto.today())::timestamp) - interval '1 month', interval '1 month') g (month)
	LEFT JOIN total t ON t.category = s.category AND t.month = g.month::date
), trended AS (
	SELECT category, month, units, all_units, count(*) OVER (PARTITION BY category) AS months,
		(sum(units) OVER (PARTITION BY category ORDER BY month ROWS BETWEEN 6 PRECEDING AND 5 FOLLOWING)
			+ sum(units) OVER (PARTITION BY category ORDER BY month ROWS BETWEEN 5 PRECEDING AND 6 FOLLOWING)) / 24 AS average,
		row_number() OVER (PARTITION BY category ORDER BY month) AS place
	FROM dense
), ratio AS (
	SELECT category, extract(month FROM month)::integer AS month, avg(units / average) AS index, max(months) / 12 AS years
	FROM trended
	WHERE months >= 24 AND all_units >= 100 AND place > 6 AND place <= months - 6 AND average > 0
	GROUP BY 1, 2
), scaled AS (
	SELECT category, month, greatest(0.05, index / avg(index) OVER w) AS index, years,
		count(*) OVER w AS months
	FROM ratio
	WINDOW w AS (PARTITION BY category)
), written AS (
	INSERT INTO ecauto_data.season_index AS s (category, month, index, years)
	SELECT category, month, index, years FROM scaled WHERE months = 12
	ON CONFLICT (category, month) DO UPDATE SET index = excluded.index, years = excluded.years
	WHERE s.years > 0 AND (s.index, s.years) IS DISTINCT FROM (excluded.index, excluded.years)
	RETURNING 1
)
SELECT count(*) FROM written
$$;
COMMENT ON FUNCTION ecauto.refresh_seasons(date) IS
'computes how each month sells compared with the mean month, for the shop and for each category of which there are two years of demand before as_of (NULL: today), without the trend; returns how many indices changed; for operators';
REVOKE ALL ON FUNCTION ecauto.refresh_seasons(date) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.season_of(category text)
RETURNS float8[]
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT array_agg(coalesce(c.index, s.index, 1) ORDER BY m.month)
FROM generate_series(1, 12) m (month)
LEFT JOIN ecauto_data.season_index c ON c.category = coalesce($1, '') AND c.month = m.month
LEFT JOIN ecauto_data.season_index s ON s.category = '' AND s.month = m.month
HAVING count(c.index) + count(s.index) > 0
$$;
COMMENT ON FUNCTION ecauto.season_of(text) IS
'indices of the twelve months of a category, else of the shop; NULL if nothing is known';

CREATE OR REPLACE FUNCTION ecauto.forecast_all(as_of date DEFAULT NULL, days integer DEFAULT 91)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	first_day constant date := coalesce(as_of, ecauto.today());
	n bigint;
BEGIN
	IF days IS NULL OR days NOT BETWEEN 1 AND 3650 THEN
		RAISE EXCEPTION 'days must be between 1 and 3650'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('They are %s.', coalesce(days::text, 'null'));
	END IF;
	PERFORM ecauto.progress_begin('forecast_all');
	PERFORM ecauto.refresh_demand();
	PERFORM ecauto.progress_phase('seasons');
	PERFORM ecauto.refresh_seasons(first_day);
	PERFORM ecauto.progress_phase('skus', (SELECT count(DISTINCT d.sku) FROM ecauto_data.demand d WHERE d.day >= first_day - 400 AND d.day < first_day));

	WITH of_sku AS MATERIALIZED (
		SELECT c.sku, c.product, c.category FROM ecauto.sku_category() c
	), season AS MATERIALIZED (
		SELECT c.category, ecauto.season_of(c.category) AS months
		FROM (SELECT DISTINCT coalesce(category, '') AS category FROM of_sku) c
	), own AS MATERIALIZED (
		SELECT f.sku, c.product, coalesce(c.category, '') AS category, f.bucket_days, f.observed_days,
			coalesce(cardinality(f.series), 0) AS observations, f.method, f.class, f.error, f.sd,
			ecauto.demand_spread(f.mean, f.bucket_days, first_day, forecast_all.days, s.months) AS mean
		FROM ecauto.fit_skus(NULL, first_day, forecast_all.days) f
		JOIN of_sku c ON c.sku = f.sku
		LEFT JOIN season s ON s.category = coalesce(c.category, '')
	), daily AS MATERIALIZED (
		SELECT o.*, (SELECT avg(u.v) FROM unnest(o.mean[1:28]) u (v)) AS daily FROM own o
	), product AS (
		SELECT d.product, avg(d.daily) AS daily FROM daily d WHERE d.observed_days >= 28 GROUP BY 1
	), category AS (
		SELECT d.category, percentile_cont(0.5) WITHIN GROUP (ORDER BY d.daily) AS daily
		FROM daily d WHERE d.observed_days >= 28 AND d.category <> '' GROUP BY 1
	), fresh AS (
		SELECT p.key FROM ecauto.role_rows('product') AS p (key text, created_at timestamptz)
		WHERE p.created_at >= first_day::timestamp AT TIME ZONE ecauto.shop_timezone() - interval '60 days'
	), result AS (
		SELECT d.sku, d.bucket_days, d.observations, d.method, d.class, d.error, d.sd, d.daily, d.mean, NULL AS borrowed
		FROM daily d LEFT JOIN product p ON p.product = d.product LEFT JOIN category c ON c.category = d.category
		WHERE d.observed_days >= 28 OR coalesce(p.daily, c.daily) IS NULL
		UNION ALL
		SELECT d.sku, d.bucket_days, d.observations, d.method, d.class, d.error, d.sd, x.daily,
			ecauto.demand_spread(ARRAY[x.daily], 1, first_day, forecast_all.days, s.months),
			CASE WHEN p.daily IS NOT NULL THEN 'product' ELSE 'category' END
		FROM daily d LEFT JOIN product p ON p.product = d.product LEFT JOIN category c ON c.category = d.category
		LEFT JOIN season s ON s.category = d.category
		CROSS JOIN LATERAL (SELECT (d.observed_days * d.daily + (28 - d.observed_days) * coalesce(p.daily, c.daily)) / 28 AS daily) x
		WHERE d.observed_days < 28 AND coalesce(p.daily, c.daily) IS NOT NULL
		UNION ALL
		SELECT o.sku, 1, 0, 'borrowed', 'none', NULL, NULL, coalesce(p.daily, c.daily),
			ecauto.demand_spread(ARRAY[coalesce(p.daily, c.daily)], 1, first_day, forecast_all.days, s.months),
			CASE WHEN p.daily IS NOT NULL THEN 'product' ELSE 'category' END
		FROM of_sku o JOIN fresh ON fresh.key = o.product COLLATE "default"
		LEFT JOIN product p ON p.product = o.product LEFT JOIN category c ON c.category = o.category
		LEFT JOIN season s ON s.category = coalesce(o.category, '')
		WHERE coalesce(p.daily, c.daily) IS NOT NULL AND NOT EXISTS (SELECT FROM own w WHERE w.sku = o.sku)
	), gone AS (
		DELETE FROM ecauto_data.sku_forecast f WHERE NOT EXISTS (SELECT FROM result r WHERE r.sku = f.sku)
	), written AS (
		INSERT INTO ecauto_data.sku_forecast AS f
			(sku, as_of, bucket_days, observations, method, class, error, daily, sd, mean, borrowed_from)
		SELECT sku, first_day, bucket_days, observations, method, class, error, greatest(daily, 0), sd, mean, borrowed
		FROM result
		ON CONFLICT (sku) DO UPDATE SET as_of = excluded.as_of, bucket_days = excluded.bucket_days,
			observations = excluded.observations, method = excluded.method, class = excluded.class,
			error = excluded.error, daily = excluded.daily, sd = excluded.sd, mean = excluded.mean,
			borrowed_from = excluded.borrowed_from, lead_level = NULL, lead_periods = NULL, lead_units = NULL
		RETURNING f.sku
	), stale AS (
		INSERT INTO ecauto_data.stock_alert_stale (sku)
		SELECT w.sku FROM written w WHERE EXISTS (SELECT FROM ecauto_data.stock_alert a WHERE a.days IS NOT NULL)
	)
	SELECT count(*) INTO n FROM written;
	PERFORM ecauto.progress_phase('lead times');
	PERFORM ecauto.refresh_lead_units(first_day::timestamp AT TIME ZONE ecauto.shop_timezone());
	PERFORM ecauto.progress_end();
	RETURN n;
END
$$;
COMMENT ON FUNCTION ecauto.forecast_all(date, integer) IS
'brings demand up to date and writes the forecast of every sku that has demand in the 400 days before as_of (NULL: today), or is of a product not older than 60 days, into ecauto_data.sku_forecast, for so many days; seasons of the year come from the category or the shop; a sku with less than 28 days of its own borrows from its product''s other skus, else from its category; returns their number; to be run nightly; for operators';
REVOKE ALL ON FUNCTION ecauto.forecast_all(date, integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.forecast_sku(sku text, days integer DEFAULT 28, as_of timestamptz DEFAULT NULL, level float8 DEFAULT 0.95)
RETURNS TABLE (day date, mean float8, lo float8, hi float8, method text, class text, error float8, basis text)
LANGUAGE plpgsql VOLATILE ROWS 28
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	the_key constant text := ecauto.stock_sku_key(sku);
	first_day constant date := ecauto.today(as_of);
	own record;
	place record;
	season float8[];
	lent float8;
	lender text;
	values_of float8[];
BEGIN
	IF days IS NULL OR days NOT BETWEEN 0 AND 3650 THEN
		RAISE EXCEPTION 'days must be between 0 and 3650'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('They are %s.', coalesce(days::text, 'null'));
	END IF;
	IF level IS NULL OR NOT (level > 0 AND level < 1) THEN
		RAISE EXCEPTION 'level must be between 0 and 1, both excluded'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('The level is %s.', coalesce(level::text, 'null'));
	END IF;
	SELECT c.product, c.category INTO place FROM ecauto.sku_category() c WHERE c.sku = the_key;
	season := ecauto.season_of(place.category);
	SELECT f.* INTO own FROM ecauto.fit_skus(ARRAY[the_key], first_day, greatest(days, 28)) f;
	IF coalesce(own.observed_days, 0) < 28 THEN
		SELECT avg(f.mean[1] / f.bucket_days), 'product' INTO lent, lender
		FROM ecauto.fit_skus(ARRAY(SELECT s.key FROM ecauto_data.seen_sku s
			WHERE s.product_key = place.product AND s.key <> the_key), first_day, 28) f
		WHERE f.observed_days >= 28;
		IF lent IS NULL AND place.category IS NOT NULL THEN
			SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY f.mean[1] / f.bucket_days), 'category' INTO lent, lender
			FROM ecauto.fit_skus(ARRAY(SELECT c.sku FROM ecauto.sku_category() c
				WHERE c.category = place.category AND c.sku <> the_key), first_day, 28) f
			WHERE f.observed_days >= 28;
		END IF;
	END IF;
	IF own.observed_days IS NULL AND lent IS NULL THEN
		RETURN;
	ELSIF lent IS NULL THEN
		values_of := ecauto.demand_spread(own.mean, own.bucket_days, first_day, days, season);
	ELSE
		values_of := ecauto.demand_spread(ARRAY[(coalesce(own.observed_days * own.mean[1] / own.bucket_days, 0)
			+ (28 - coalesce(own.observed_days, 0)) * lent) / 28], 1, first_day, days, season);
	END IF;
	RETURN QUERY
	SELECT first_day + v.place::integer - 1, v.value,
		CASE WHEN v.variance > v.value AND own.class <> 'smooth' THEN least(v.value, ecauto.negbin_quantile(v.value, v.variance, (1 - level) / 2))
			ELSE greatest(0, v.value + ecauto.normal_quantile((1 - level) / 2) * sqrt(v.variance)) END,
		CASE WHEN v.variance > v.value AND own.class <> 'smooth' THEN greatest(v.value, ecauto.negbin_quantile(v.value, v.variance, (1 + level) / 2))
			ELSE v.value + ecauto.normal_quantile((1 + level) / 2) * sqrt(v.variance) END,
		coalesce(own.method, 'borrowed'), coalesce(own.class, 'none'), own.error,
		concat_ws(', ', CASE WHEN own.bucket_days = 7 THEN 'by week' WHEN own.bucket_days = 1 THEN 'by day' END,
			'own demand of ' || own.observed_days || ' days', 'borrowed from its ' || CASE WHEN lent IS NOT NULL THEN lender END,
			CASE WHEN season IS NOT NULL THEN 'season of the year'
				WHEN own.observed_days >= 300 THEN 'season of the year unknown: it takes two years, or set_season()' END)
	FROM (SELECT u.place, greatest(u.value, 0) AS value,
			-- of one day, growing with the square of its season; what is borrowed is a guess, as if sales came by chance
			coalesce(own.sd * own.sd / own.bucket_days, u.value)
				* CASE WHEN own.mean[1] > 0 AND lent IS NULL THEN greatest(1, u.value * own.bucket_days / own.mean[1]) ELSE 1 END AS variance
		FROM unnest(values_of) WITH ORDINALITY u (value, place)) v
	ORDER BY v.place;
END
$$;
COMMENT ON FUNCTION ecauto.forecast_sku(text, integer, timestamptz, float8) IS
'units that will be ordered of a sku (by key or code) on each of so many days, the first being that of as_of (NULL: now), from what was ordered before it, with bounds that hold a day''s units with probability level; method, class and error (RMSSE over rolling origins) of the fit, and what it stands on; no rows if nothing is known; error if there is no such sku; for operators';
REVOKE ALL ON FUNCTION ecauto.forecast_sku(text, integer, timestamptz, float8) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.seasonal_top(first_day date, last_day date, n integer DEFAULT 20, as_of date DEFAULT NULL)
RETURNS TABLE (
	rank bigint, sku text, title text, category text, units float8, usual float8, lift float8,
	last_season numeric, season_before numeric, growth float8, sold_out_days bigint, evidence text)
LANGUAGE plpgsql VOLATILE ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	today constant date := coalesce(as_of, ecauto.today());
	years integer := 1;
	length integer;
BEGIN
	IF first_day IS NULL OR last_day IS NULL OR NOT isfinite(first_day) OR NOT isfinite(last_day)
			OR NOT last_day - first_day BETWEEN 0 AND 365 THEN
		RAISE EXCEPTION 'a season must have a first and a last day, at most a year apart'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('It is from %s to %s.', coalesce(first_day::text, 'null'), coalesce(last_day::text, 'null'));
	END IF;
	length := last_day - first_day + 1;
	-- the last one that is over
	WHILE last_day - make_interval(years => years) >= today LOOP
		years := years + 1;
	END LOOP;

	RETURN QUERY
	WITH place AS MATERIALIZED (
		SELECT c.sku, coalesce(c.category, '') AS category FROM ecauto.sku_category() c
	), span AS (
		SELECT (first_day - make_interval(years => years))::date AS a1, (last_day - make_interval(years => years))::date AS b1,
			(first_day - make_interval(years => years + 1))::date AS a2, (last_day - make_interval(years => years + 1))::date AS b2
	), sold AS MATERIALIZED (
		SELECT p.sku, p.category,
			coalesce(sum(d.units) FILTER (WHERE d.day BETWEEN s.a1 AND s.b1), 0) AS season1,
			coalesce(sum(d.units) FILTER (WHERE d.day BETWEEN s.a2 AND s.b2), 0) AS season2,
			coalesce(sum(d.units) FILTER (WHERE d.day >= today - 365), 0) AS year1,
			coalesce(sum(d.units) FILTER (WHERE d.day >= today - 730 AND d.day < today - 365), 0) AS year2,
			coalesce(sum(d.units) FILTER (WHERE d.day >= today - 365 AND d.day NOT BETWEEN s.a1 AND s.b1), 0) AS usual1,
			365 - (SELECT count(*) FROM generate_series(s.a1, s.b1, interval '1 day') g (day) WHERE g.day >= today - 365) AS usual_days,
			min(d.day) AS since
		FROM place p JOIN ecauto_data.demand d ON d.sku = p.sku AND d.day < today AND d.units > 0
		CROSS JOIN span s
		GROUP BY p.sku, p.category, s.a1, s.b1
	), gap AS (
		SELECT g.sku, count(*) AS days FROM span s CROSS JOIN LATERAL ecauto.demand_gaps(NULL, s.a1, s.b1) g
		WHERE g.reason = 'out of stock' GROUP BY 1
	), counted AS MATERIALIZED (
		SELECT x.*, coalesce(g.days, 0) AS out_days,
			-- what would have sold on days out of stock, unless they were most
			x.season1 * length / greatest(length - coalesce(g.days, 0), length / 3.0) AS uncensored,
			-- who was not there for two whole years shows no growth
			CASE WHEN x.since <= today - 730 AND x.year2 > 0 THEN x.year1 END AS grown1,
			CASE WHEN x.since <= today - 730 AND x.year2 > 0 THEN x.year2 END AS grown2,
			CASE WHEN x.season2 > 0 THEN x.season1 END AS season_grown1,
			CASE WHEN x.season2 > 0 THEN x.season2 END AS season_grown2
		FROM sold x LEFT JOIN gap g ON g.sku = x.sku
	), of_shop AS (
		SELECT ((coalesce(sum(grown1), 0) + coalesce(sum(season_grown1), 0) + 50)
			/ (coalesce(sum(grown2), 0) + coalesce(sum(season_grown2), 0) + 50))::float8 AS growth FROM counted
	), of_category AS (
		SELECT c.category, (coalesce(sum(c.grown1), 0) + coalesce(sum(c.season_grown1), 0) + 50 * min(o.growth))
			/ (coalesce(sum(c.grown2), 0) + coalesce(sum(c.season_grown2), 0) + 50) AS growth
		FROM counted c CROSS JOIN of_shop o GROUP BY 1
	), judged AS (
		SELECT c.*, least(5, greatest(0.2, (coalesce(c.grown1, 0) + coalesce(c.season_grown1, 0) + 20 * k.growth)
				/ (coalesce(c.grown2, 0) + coalesce(c.season_grown2, 0) + 20)))::float8 AS growth,
			c.usual1::float8 / greatest(c.usual_days, 1) * length AS usual_units
		FROM counted c JOIN of_category k ON k.category = c.category
	), forecast AS (
		SELECT j.*, j.uncensored::float8 * power(j.growth, years) AS will
		FROM judged j WHERE j.season1 > 0
	)
	SELECT row_number() OVER (ORDER BY f.will - f.usual_units DESC, f.will DESC, f.sku), f.sku, q.title, nullif(f.category, ''),
		f.will, f.usual_units, CASE WHEN f.usual_units > 0 THEN f.will / f.usual_units END,
		f.season1, f.season2, f.growth, f.out_days,
		concat_ws('; ',
			format('%s sold from %s to %s', trim_scale(f.season1), (SELECT s.a1 FROM span s), (SELECT s.b1 FROM span s)),
			CASE WHEN f.since <= (SELECT s.b2 FROM span s) THEN format('%s in the season before', trim_scale(f.season2))
				ELSE 'not there in the season before: of its own it cannot tell growth' END,
			format('growth %s%% a year', round((f.growth - 1)::numeric * 100)),
			CASE WHEN f.out_days > 0 THEN format('out of stock on %s days of that season', f.out_days) END,
			CASE WHEN f.usual_units > 0 THEN format('%s times as much as outside of the season', round((f.will / f.usual_units)::numeric, 1)) END)
	FROM forecast f LEFT JOIN ecauto_data.seen_sku q ON q.key = f.sku
	ORDER BY 1 LIMIT n;
END
$$;
COMMENT ON FUNCTION ecauto.seasonal_top(date, date, integer, date) IS
'what will sell more than usual between two days: the n skus (NULL: all) with most units beyond what they sell outside of the season; units: forecast for the season, from the last one that is over, made up for days out of stock, and growth; usual: units in as many days outside of it; lift: their ratio, NULL: sells in season only; growth: factor a year, of the sku, its category and the shop; sold_out_days of the last season; asked as of a day (NULL: today) it knows what was ordered before; for operators';
REVOKE ALL ON FUNCTION ecauto.seasonal_top(date, date, integer, date) FROM PUBLIC;

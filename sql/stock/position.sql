-- What is there, how long it lasts, and whom to tell.

CREATE OR REPLACE FUNCTION ecauto.set_stock_alert(
	sku text DEFAULT NULL, units numeric DEFAULT NULL, days numeric DEFAULT NULL,
	clear_units numeric DEFAULT NULL, clear_days numeric DEFAULT NULL, quiet interval DEFAULT '1 hour')
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	the_key constant text := CASE WHEN sku IS NULL THEN '' ELSE ecauto.stock_sku_key(sku) END;
	until_units constant numeric := coalesce(clear_units, greatest(units + 2, ceil(units * 1.25)));
	until_days constant numeric := coalesce(clear_days, greatest(days + 1, days * 1.25));
BEGIN
	IF units IS NULL AND days IS NULL THEN
		RAISE EXCEPTION 'a stock alert needs a number of units or of days of cover'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF NOT coalesce(units, 0) >= 0 OR NOT coalesce(days, 0) >= 0
			OR 'NaN' IN (units, days, until_units, until_days) OR 'Infinity' IN (units, days, until_units, until_days) THEN
		RAISE EXCEPTION 'limits of a stock alert must be finite numbers and not negative'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('Units %s, days %s.', coalesce(units::text, 'null'), coalesce(days::text, 'null'));
	END IF;
	IF until_units <= units OR until_days <= days THEN
		RAISE EXCEPTION 'a stock alert must clear above the limit at which it is told'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('It is told at %s units or %s days and clears at %s units and %s days.',
					coalesce(units::text, '-'), coalesce(days::text, '-'), coalesce(until_units::text, '-'), coalesce(until_days::text, '-'));
	END IF;
	IF quiet IS NULL OR NOT quiet >= '0' THEN
		RAISE EXCEPTION 'the quiet time of a stock alert must not be negative'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	INSERT INTO ecauto_data.stock_alert AS a (sku, units, clear_units, days, clear_days, quiet)
	VALUES (the_key, units, CASE WHEN units IS NOT NULL THEN until_units END,
		days, CASE WHEN days IS NOT NULL THEN until_days END, quiet)
	ON CONFLICT ON CONSTRAINT stock_alert_pkey DO UPDATE SET units = excluded.units, clear_units = excluded.clear_units,
		days = excluded.days, clear_days = excluded.clear_days, quiet = excluded.quiet;
	INSERT INTO ecauto_data.stock_alert_stale (sku)
	SELECT s.key FROM ecauto_data.seen_sku s WHERE the_key IN ('', s.key);
END
$$;
COMMENT ON FUNCTION ecauto.set_stock_alert(text, numeric, numeric, numeric, numeric, interval) IS
'tells of a sku (key or code; NULL: all that have no alert of their own) by an event stock.low when it is at or below so many units or days of cover, once, until it reaches clear_units and clear_days (by default a quarter more), which is told as stock.recovered; within the quiet time after stock.low it is not told of again; for operators';
REVOKE ALL ON FUNCTION ecauto.set_stock_alert(text, numeric, numeric, numeric, numeric, interval) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.drop_stock_alert(sku text DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	the_key constant text := CASE WHEN sku IS NULL THEN '' ELSE ecauto.stock_sku_key(sku) END;
BEGIN
	DELETE FROM ecauto_data.stock_alert a WHERE a.sku = the_key;
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ecauto.drop_stock_alert(text) IS
'removes the stock alert of a sku, or (NULL) that of all others; false if there was none; for operators';
REVOKE ALL ON FUNCTION ecauto.drop_stock_alert(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.set_location_share(location text, share float8)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF location IS NULL OR share < 0 OR share > 1 THEN
		RAISE EXCEPTION 'a location must have a key, and a share from 0 to 1'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('Location %s, share %s.', coalesce(location, 'null'), coalesce(share::text, 'null'));
	END IF;
	DELETE FROM ecauto_data.location_share l WHERE l.location = set_location_share.location;
	INSERT INTO ecauto_data.location_share (location, share) SELECT location, share WHERE share IS NOT NULL;
END
$$;
COMMENT ON FUNCTION ecauto.set_location_share(text, float8) IS
'says which part of demand a location (key) serves, for the velocity and days of cover of ecauto.stock_position() there: orders do not tell; NULL: unknown again; for operators';
REVOKE ALL ON FUNCTION ecauto.set_location_share(text, float8) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.stock_position(skus text[] DEFAULT NULL, horizon interval DEFAULT '30 days')
RETURNS TABLE (
	sku text, location text, on_hand numeric, reserved numeric, available numeric, incoming numeric, next_due timestamptz,
	velocity float8, days_of_cover float8, out_since timestamptz, stock_out_days bigint)
LANGUAGE sql VOLATILE ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
WITH live AS MATERIALIZED (
	SELECT r.key AS sku, r.location_key AS location, sum(r.on_hand) AS on_hand, sum(r.reserved) AS reserved, sum(r.incoming) AS incoming
	FROM ecauto.role_rows('stock', $1) AS r (key text, location_key text, on_hand numeric, reserved numeric, incoming numeric)
	GROUP BY 1, 2
), due AS MATERIALIZED (
	SELECT i.sku, i.location, sum(i.units) AS units, min(i.due_at) AS due_at
	FROM ecauto_data.stock_incoming i
	WHERE i.due_at < ecauto.now() + $2 AND ($1 IS NULL OR i.sku = ANY ($1))
	GROUP BY 1, 2
), here AS (
	SELECT coalesce(l.sku, d.sku) AS sku, coalesce(l.location, d.location) AS location,
		coalesce(l.on_hand, 0) AS on_hand, coalesce(l.reserved, 0) AS reserved,
		coalesce(l.incoming, 0) + coalesce(d.units, 0) AS incoming, d.due_at
	FROM live l FULL JOIN due d ON d.sku = l.sku COLLATE "C" AND d.location = l.location COLLATE "C"
), total AS (
	SELECT h.sku, CASE WHEN grouping(h.location) = 0 THEN h.location END AS location,
		sum(h.on_hand) AS on_hand, sum(h.reserved) AS reserved, sum(h.incoming) AS incoming, min(h.due_at) AS due_at,
		sum(h.share) AS share
	FROM (SELECT h.*, CASE WHEN count(*) OVER (PARTITION BY h.sku) = 1 THEN 1 ELSE p.share END AS share
		FROM here h LEFT JOIN ecauto_data.location_share p ON p.location = h.location COLLATE "C") h
	GROUP BY GROUPING SETS ((h.sku, h.location), (h.sku))
), out_days AS (
	SELECT g.sku, count(*) AS days
	FROM ecauto.demand_gaps($1, ecauto.today() - 90, ecauto.today() - 1) g WHERE g.reason = 'out of stock' GROUP BY 1
)
SELECT t.sku, t.location, t.on_hand, t.reserved, t.on_hand - t.reserved, t.incoming, t.due_at,
	d.daily, CASE WHEN d.daily > 0 THEN greatest(0, (t.on_hand - t.reserved)::float8) / d.daily END,
	o.since, CASE WHEN t.location IS NULL THEN coalesce(x.days, 0) END
FROM total t
LEFT JOIN ecauto_data.sku_forecast v ON v.sku = t.sku COLLATE "C"
CROSS JOIN LATERAL (SELECT CASE WHEN t.location IS NULL THEN v.daily ELSE v.daily * t.share END AS daily) d
LEFT JOIN ecauto_data.stock_out o ON o.sku = t.sku COLLATE "C" AND o.until IS NULL AND t.location IS NULL
LEFT JOIN out_days x ON x.sku = t.sku COLLATE "C"
ORDER BY t.sku, t.location NULLS FIRST
$$;
COMMENT ON FUNCTION ecauto.stock_position(text[], interval) IS
'stock of skus (keys; NULL: all) as the shop has it now, in all (location NULL) and at each location: available = on_hand - reserved; incoming: what the shop says and purchase orders due within the horizon; velocity (units a day, by the last forecast; NULL: none; at one of several locations the part of ecauto.set_location_share(), NULL without it) and days_of_cover (NULL: unknown or without end); in all also out_since (NULL: in stock) and days out of stock of the last 90; for operators';
REVOKE ALL ON FUNCTION ecauto.stock_position(text[], interval) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.set_badge(name text, kind text, threshold numeric)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF name IS NULL OR kind IS NULL OR kind NOT IN ('new', 'back', 'last') OR threshold IS NULL
			OR NOT threshold >= 0 OR threshold > 1000000 THEN
		RAISE EXCEPTION 'a badge must have a name, a kind (new, back, last) and a threshold from 0 to 1000000'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('Name %s, kind %s, threshold %s.', coalesce(name, 'null'), coalesce(kind, 'null'), coalesce(threshold::text, 'null'));
	END IF;
	INSERT INTO ecauto_data.badge (name, kind, threshold) VALUES (name, kind, threshold)
	ON CONFLICT ON CONSTRAINT badge_pkey DO UPDATE SET kind = excluded.kind, threshold = excluded.threshold;
END
$$;
COMMENT ON FUNCTION ecauto.set_badge(text, text, numeric) IS
'a badge of ecauto.availability(): new (product not older than so many days), back (in stock again since at most so many days), last (so many units or fewer); for operators';
REVOKE ALL ON FUNCTION ecauto.set_badge(text, text, numeric) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.drop_badge(name text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM ecauto_data.badge b WHERE b.name = $1;
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ecauto.drop_badge(text) IS 'removes a badge; false if there was none; for operators';
REVOKE ALL ON FUNCTION ecauto.drop_badge(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.availability(skus text[] DEFAULT NULL)
RETURNS TABLE (sku text, state text, available numeric, badges text[], back_at timestamptz)
LANGUAGE sql VOLATILE ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
WITH s AS MATERIALIZED (
	SELECT r.key, r.product_key, r.active, r.track_stock
	FROM ecauto.role_rows('sku', $1) AS r (key text, product_key text, active boolean, track_stock boolean)
), p AS MATERIALIZED (
	SELECT r.key, r.active, r.created_at
	FROM ecauto.role_rows('product', CASE WHEN $1 IS NOT NULL THEN (SELECT coalesce(array_agg(DISTINCT s.product_key), '{}') FROM s) END)
		AS r (key text, active boolean, created_at timestamptz)
), t AS (
	SELECT r.key, sum(r.on_hand - r.reserved) AS available
	FROM ecauto.role_rows('stock', $1) AS r (key text, on_hand numeric, reserved numeric)
	GROUP BY 1
), b AS (
	SELECT o.sku, max(o.until) AS at FROM ecauto_data.stock_out o
	WHERE o.until <= ecauto.now() AND ($1 IS NULL OR o.sku = ANY ($1)) GROUP BY 1
), i AS (
	SELECT c.sku, min(c.due_at) AS due_at FROM ecauto_data.stock_incoming c
	WHERE c.due_at > ecauto.now() AND c.units > 0 AND ($1 IS NULL OR c.sku = ANY ($1)) GROUP BY 1
), x AS (
	SELECT s.key, s.track_stock, p.created_at, coalesce(t.available, 0) AS available, b.at AS back, i.due_at,
		CASE WHEN NOT s.active OR NOT coalesce(p.active, true) THEN 'inactive'
			WHEN NOT s.track_stock THEN 'in stock'
			WHEN t.available > 0 THEN 'in stock'
			WHEN i.due_at IS NOT NULL THEN 'expected'
			ELSE 'out of stock' END AS state
	FROM s
	LEFT JOIN p ON p.key = s.product_key
	LEFT JOIN t ON t.key = s.key
	LEFT JOIN b ON b.sku = s.key COLLATE "C"
	LEFT JOIN i ON i.sku = s.key COLLATE "C"
)
SELECT x.key, x.state, CASE WHEN x.track_stock THEN x.available END,
	ARRAY(SELECT g.name COLLATE "default" FROM ecauto_data.badge g
		WHERE x.state <> 'inactive' AND CASE g.kind
			WHEN 'new' THEN x.created_at > ecauto.now() - g.threshold::float8 * interval '1 day' AND x.created_at <= ecauto.now()
			WHEN 'back' THEN x.state = 'in stock' AND x.track_stock AND x.back > ecauto.now() - g.threshold::float8 * interval '1 day'
			WHEN 'last' THEN x.state = 'in stock' AND x.track_stock AND x.available <= g.threshold END
		ORDER BY g.name),
	CASE WHEN x.state = 'expected' THEN x.due_at END
FROM x
ORDER BY x.key
$$;
COMMENT ON FUNCTION ecauto.availability(text[]) IS
'what to say about skus (keys; NULL: all), from the shop''s rows as they are now and ecauto.now(), never stored: state (in stock, expected, out of stock, inactive), available units (NULL: not counted), badges whose condition holds, back_at: when what is expected is due; for operators';
REVOKE ALL ON FUNCTION ecauto.availability(text[]) FROM PUBLIC;

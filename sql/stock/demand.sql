-- Demand of the shop: from order lines to series, forecasts of every sku.

CREATE OR REPLACE FUNCTION ecauto.role_rows(role text, keys text[] DEFAULT NULL, by text DEFAULT 'key')
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ecauto_role_rows'
LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 1000;
COMMENT ON FUNCTION ecauto.role_rows(text, text[], text) IS
'rows of a role as the shop has them now, all of them or those whose column "by" is one of keys; a column list says which columns are wanted; none if the role is not bound; for operators';
REVOKE ALL ON FUNCTION ecauto.role_rows(text, text[], text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.demand_series_sfunc(float8[], integer, float8, integer)
RETURNS float8[]
AS 'MODULE_PATHNAME', 'ecauto_demand_series_sfunc'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.demand_series_sfunc(float8[], integer, float8, integer) IS 'of aggregate demand_series';

CREATE OR REPLACE FUNCTION ecauto.demand_series_combinefunc(float8[], float8[])
RETURNS float8[]
AS 'MODULE_PATHNAME', 'ecauto_demand_series_combinefunc'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.demand_series_combinefunc(float8[], float8[]) IS 'of aggregate demand_series';

CREATE OR REPLACE FUNCTION ecauto.demand_series_finalfunc(float8[])
RETURNS float8[]
AS 'MODULE_PATHNAME', 'ecauto_demand_series_finalfunc'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.demand_series_finalfunc(float8[]) IS 'of aggregate demand_series';

CREATE OR REPLACE AGGREGATE ecauto.demand_series(place integer, units float8, length integer) (
	SFUNC = ecauto.demand_series_sfunc,
	STYPE = float8[],
	SSPACE = 4096,
	COMBINEFUNC = ecauto.demand_series_combinefunc,
	FINALFUNC = ecauto.demand_series_finalfunc,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE ecauto.demand_series(integer, float8, integer) IS
'a series of so many periods with units in their places (from 0) and zero elsewhere, cut off before the first demand; units of NULL: nobody observed that period, which becomes NULL; places outside are left out';

CREATE OR REPLACE FUNCTION ecauto.demand_bucket(series float8[], size integer)
RETURNS float8[]
AS 'MODULE_PATHNAME', 'ecauto_demand_bucket'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.demand_bucket(float8[], integer) IS
'sums of "size" periods of a series, counted from its end; what nobody observed (NULL) is made up from the rest of the sum, which is NULL if less than half of it was observed';

CREATE OR REPLACE FUNCTION ecauto.today(at timestamptz DEFAULT NULL)
RETURNS date
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT (coalesce($1, ecauto.now()) AT TIME ZONE ecauto.shop_timezone())::date
$$;
COMMENT ON FUNCTION ecauto.today(timestamptz) IS
'the day of an instant (NULL: ecauto.now()) in the time zone of the shop, setting ecauto.timezone';

CREATE OR REPLACE FUNCTION ecauto.stock_sku_key(sku text)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_key text;
BEGIN
	SELECT s.key INTO found_key FROM ecauto_data.seen_sku s
	WHERE s.key = $1 OR s.sku = $1
	ORDER BY s.key = $1 DESC, s.key LIMIT 1;
	IF found_key IS NULL THEN
		RAISE EXCEPTION 'sku "%" does not exist', $1
			USING ERRCODE = 'no_data_found',
				DETAIL = 'Neither a key nor a code of role "sku" is equal to it.',
				HINT = 'Run ecauto.tick() if the sku is new, or ecauto.check_shop() to see what the role holds.';
	END IF;
	RETURN found_key;
END
$$;
COMMENT ON FUNCTION ecauto.stock_sku_key(text) IS
'key of a sku that is told by its key or its code; error if there is none';

CREATE OR REPLACE FUNCTION ecauto.refresh_demand(rebuild boolean DEFAULT false)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	attached timestamptz;
	known ecauto_data.demand_setting;
	zone constant text := ecauto.shop_timezone();
	orders text[];
	changed bigint;
BEGIN
	PERFORM pg_advisory_xact_lock(25955, 60);
	SELECT r.loaded_at INTO attached FROM ecauto_data.role_seen r WHERE r.role = 'order';
	IF attached IS NULL THEN
		RAISE EXCEPTION 'demand cannot be read yet'
			USING ERRCODE = 'object_not_in_prerequisite_state',
				DETAIL = 'The orders of the shop were not loaded.',
				HINT = 'Attach the shop with ecauto.attach_shop() and run ecauto.tick().';
	END IF;
	SELECT * INTO known FROM ecauto_data.demand_setting FOR UPDATE;
	WITH taken AS (DELETE FROM ecauto_data.demand_stale RETURNING order_key)
	SELECT coalesce(array_agg(DISTINCT t.order_key), '{}') INTO orders FROM taken t;
	IF rebuild OR known.loaded_at IS DISTINCT FROM attached OR known.timezone IS DISTINCT FROM zone THEN
		orders := NULL;
		UPDATE ecauto_data.demand_setting SET loaded_at = attached, timezone = zone;
	ELSIF orders = '{}' THEN
		RETURN 0;
	END IF;
	PERFORM ecauto.progress_begin('refresh_demand');
	PERFORM ecauto.progress_phase('order lines', cardinality(orders));

	WITH now AS MATERIALIZED (
		SELECT l.order_key COLLATE "C" AS order_key, l.sku_key COLLATE "C" AS sku,
			(o.placed_at AT TIME ZONE zone)::date AS day, sum(l.qty - l.qty_cancelled) AS units
		FROM ecauto.role_rows('order_line', orders, 'order_key')
			AS l (order_key text, sku_key text, qty numeric, qty_cancelled numeric)
		JOIN ecauto_data.seen_order o ON o.key = l.order_key
		WHERE NOT o.cancelled AND o.placed_at IS NOT NULL AND l.sku_key IS NOT NULL
		GROUP BY 1, 2, 3
		HAVING sum(l.qty - l.qty_cancelled) <> 0
	), was AS MATERIALIZED (
		SELECT d.order_key, d.sku, d.day, d.units FROM ecauto_data.demand_line d
		WHERE orders IS NULL OR d.order_key = ANY (orders)
	), gone AS MATERIALIZED (
		SELECT * FROM was EXCEPT SELECT * FROM now
	), come AS MATERIALIZED (
		SELECT * FROM now EXCEPT SELECT * FROM was
	), removed AS (
		DELETE FROM ecauto_data.demand_line d USING gone g
		WHERE d.order_key = g.order_key AND d.sku = g.sku AND d.day = g.day AND d.units = g.units
	), added AS (
		INSERT INTO ecauto_data.demand_line (order_key, sku, day, units)
		SELECT order_key, sku, day, units FROM come
	), cell AS (
		SELECT x.sku, x.day, sum(x.units) AS units
		FROM (SELECT sku, day, units FROM come UNION ALL SELECT sku, day, -units FROM gone) x
		GROUP BY 1, 2 HAVING sum(x.units) <> 0
	)
	INSERT INTO ecauto_data.demand AS d (sku, day, units)
	SELECT sku, day, units FROM cell
	ON CONFLICT (sku, day) DO UPDATE SET units = d.units + excluded.units;
	GET DIAGNOSTICS changed = ROW_COUNT;
	PERFORM ecauto.progress_end();

	-- what is out of stock without our having seen it run out
	INSERT INTO ecauto_data.stock_out (sku, since)
	SELECT s.key, ecauto.now() FROM ecauto_data.seen_stock s
	WHERE s.on_hand - s.reserved <= 0
		AND NOT EXISTS (SELECT FROM ecauto_data.stock_out o WHERE o.sku = s.key AND o.until IS NULL)
	ON CONFLICT DO NOTHING;
	RETURN changed;
END
$$;
COMMENT ON FUNCTION ecauto.refresh_demand(boolean) IS
'brings table ecauto_data.demand up to date with the orders of which something happened since the last time (all of them the first time, after a shop was attached anew, after the time zone changed, or if rebuild), and returns how many of its rows changed; orders count on the day they were placed, cancelled ones and cancelled units do not; for operators';
REVOKE ALL ON FUNCTION ecauto.refresh_demand(boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.record_stock_out(sku text, since timestamptz, until timestamptz)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF since IS NULL OR NOT since < until OR NOT isfinite(since) OR NOT isfinite(until) THEN
		RAISE EXCEPTION 'a time out of stock must have a beginning and an end after it'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('It is from %s to %s.', coalesce(since::text, 'null'), coalesce(until::text, 'null'));
	END IF;
	INSERT INTO ecauto_data.stock_out (sku, since, until)
	VALUES (ecauto.stock_sku_key(sku), since, until)
	ON CONFLICT ON CONSTRAINT stock_out_pkey DO UPDATE SET until = excluded.until;
END
$$;
COMMENT ON FUNCTION ecauto.record_stock_out(text, timestamptz, timestamptz) IS
'tells of a time in which a sku was out of stock, before ecauto could see it; such days do not count as days without demand; told again with another end, the last one holds';
REVOKE ALL ON FUNCTION ecauto.record_stock_out(text, timestamptz, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.mark_demand(sku text, first_day date, last_day date, note text DEFAULT 'promotion')
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF first_day IS NULL OR NOT first_day <= last_day OR NOT isfinite(first_day) OR NOT isfinite(last_day) THEN
		RAISE EXCEPTION 'marked days must have a first and a last one that is not before it'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('They are from %s to %s.', coalesce(first_day::text, 'null'), coalesce(last_day::text, 'null'));
	END IF;
	INSERT INTO ecauto_data.demand_event (sku, first_day, last_day, note)
	VALUES (ecauto.stock_sku_key(sku), first_day, last_day, coalesce(note, 'promotion'))
	ON CONFLICT ON CONSTRAINT demand_event_pkey DO UPDATE SET last_day = excluded.last_day;
END
$$;
COMMENT ON FUNCTION ecauto.mark_demand(text, date, date, text) IS
'marks days on which something bent the demand of a sku, such as a promotion; forecasts leave them out; marked again from the same day with the same note, the last end holds';
REVOKE ALL ON FUNCTION ecauto.mark_demand(text, date, date, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.demand_gaps(skus text[], first_day date, last_day date)
RETURNS TABLE (sku text, day date, reason text)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
SELECT o.sku, g.day::date, 'out of stock'
FROM (SELECT s.sku, s.since AT TIME ZONE ecauto.shop_timezone() AS since,
		coalesce(s.until, ecauto.now()) AT TIME ZONE ecauto.shop_timezone() AS until
	FROM ecauto_data.stock_out s WHERE skus IS NULL OR s.sku = ANY (skus)) o
CROSS JOIN LATERAL generate_series(greatest(o.since::date, first_day)::timestamp,
	least(o.until::date, last_day)::timestamp, interval '1 day') AS g (day)
GROUP BY o.sku, g.day
HAVING sum(least(o.until, g.day + interval '1 day') - greatest(o.since, g.day)) >= interval '12 hours'
UNION ALL
SELECT e.sku, g.day::date, e.note
FROM ecauto_data.demand_event e
CROSS JOIN LATERAL generate_series(greatest(e.first_day, demand_gaps.first_day)::timestamp,
	least(e.last_day, demand_gaps.last_day)::timestamp, interval '1 day') AS g (day)
WHERE skus IS NULL OR e.sku = ANY (skus)
$$;
COMMENT ON FUNCTION ecauto.demand_gaps(text[], date, date) IS
'days between two that say nothing about the demand of skus (NULL: all), and why: out of stock for at least twelve hours, or marked';

CREATE OR REPLACE FUNCTION ecauto.demand_daily(skus text[] DEFAULT NULL, as_of date DEFAULT NULL, days integer DEFAULT 400)
RETURNS TABLE (sku text, series float8[])
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
SELECT x.sku, ecauto.demand_series(x.place, x.units, $3)
FROM (SELECT d.sku, d.day - (t.day - $3) AS place, d.units::float8 AS units
	FROM (SELECT coalesce($2, ecauto.today()) AS day) t
	JOIN ecauto_data.demand d ON d.day >= t.day - $3 AND d.day < t.day
	WHERE $1 IS NULL OR d.sku = ANY ($1)
	UNION ALL
	SELECT g.sku, g.day - (t.day - $3), NULL
	FROM (SELECT coalesce($2, ecauto.today()) AS day) t
	CROSS JOIN LATERAL ecauto.demand_gaps($1, t.day - $3, t.day - 1) g) x
GROUP BY x.sku
$$;
COMMENT ON FUNCTION ecauto.demand_daily(text[], date, integer) IS
'demand of skus (NULL: all) on each day before as_of (NULL: today), at most so many, from the first demand on, for ecauto.forecast(); NULL: out of stock or marked; a sku without demand has an empty series or none';

-- When customers are there: hours of the day, in their own zone.

CREATE OR REPLACE FUNCTION ecauto.customer_hours(customer text)
RETURNS TABLE (hour integer, seen bigint, everybody float8, share float8)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	-- what everybody does counts as so many hours of his own
	weight constant float8 := 12;
	enough constant float8 := 20000;
	usual constant text := coalesce(nullif(current_setting('ecauto.timezone'), ''), current_setting('TimeZone'));
	who constant text := customer;
	zone text;
	rows float8;
BEGIN
	SELECT c.tz INTO zone FROM ecauto_data.seen_customer c WHERE c.key = who;
	BEGIN
		zone := coalesce(zone, usual);
		PERFORM ecauto.now() AT TIME ZONE zone;
	EXCEPTION WHEN invalid_parameter_value THEN
		-- a zone that nobody knows
		zone := usual;
	END;
	-- some pages of the orders tell everybody's hours well enough
	SELECT greatest(c.reltuples, 0) INTO rows FROM pg_class c WHERE c.oid = 'ecauto_data.seen_order'::regclass;
	RETURN QUERY
	WITH his AS (
		SELECT extract(hour FROM a.at AT TIME ZONE zone)::integer AS hour, count(*) AS n FROM (
			SELECT o.placed_at AS at FROM ecauto_data.seen_order o WHERE o.customer_key = who
			UNION ALL SELECT o.placed_at FROM ecauto_data.customer_fact f JOIN ecauto_data.seen_order o
				ON o.customer_key IS NULL AND o.email = f.guest_email WHERE f.key = who
			UNION ALL SELECT b.at FROM ecauto_data.behaviour b WHERE b.customer = who) a
		WHERE a.at > ecauto.now() - interval '2 years' AND a.at <= ecauto.now() GROUP BY 1),
	theirs AS (
		SELECT extract(hour FROM o.placed_at AT TIME ZONE usual)::integer AS hour, count(*) AS n
		FROM ecauto_data.seen_order o TABLESAMPLE SYSTEM (least(100, 100 * enough / greatest(rows, 1))) REPEATABLE (1)
		WHERE o.placed_at <= ecauto.now() GROUP BY 1),
	h AS (
		SELECT g.hour, coalesce(his.n, 0) AS n, (coalesce(theirs.n, 0) + 1) / (sum(coalesce(theirs.n, 0)) OVER () + 24)::float8 AS p
		FROM generate_series(0, 23) g (hour) LEFT JOIN his USING (hour) LEFT JOIN theirs USING (hour))
	SELECT h.hour, h.n, h.p, (h.n + weight * h.p) / (sum(h.n) OVER () + weight)::float8 FROM h ORDER BY h.hour;
END
$$;
COMMENT ON FUNCTION ecauto.customer_hours(text) IS
'hours of the day, 0 to 23 in the customer''s zone (that of role customer, else ecauto.timezone): how often he ordered or did something in the last two years, everybody''s share of orders in that hour of theirs, and his own share, which is drawn to everybody''s as if that were 12 observations of his (the posterior mean of a Beta distribution); needs SELECT on ecauto_data''s orders and events: for operators';
REVOKE ALL ON FUNCTION ecauto.customer_hours(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.best_hour(customer text)
RETURNS integer
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT h.hour FROM ecauto.customer_hours($1) h WHERE $1 IS NOT NULL ORDER BY h.share DESC, h.everybody DESC, h.hour LIMIT 1
$$;
COMMENT ON FUNCTION ecauto.best_hour(text) IS
'the hour of the day, 0 to 23 in the customer''s zone, in which he most likely is there to read; for one of whom nothing is known that of everybody; NULL for NULL; quiet hours are not regarded here; for operators';
REVOKE ALL ON FUNCTION ecauto.best_hour(text) FROM PUBLIC;

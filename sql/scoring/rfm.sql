CREATE OR REPLACE FUNCTION ecauto.rfm(as_of timestamptz DEFAULT NULL)
RETURNS TABLE (customer text, recency float8, frequency bigint, monetary numeric, r integer, f integer, m integer, segment text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH c AS MATERIALIZED (
	SELECT c.key, extract(epoch FROM t.at - c.last_order_at)::float8 / 86400 AS recency, c.orders_count, c.spent_total
	FROM (SELECT coalesce($1, ecauto.now())) t (at) CROSS JOIN LATERAL ecauto.customer_facts(NULL, t.at) c
	WHERE c.orders_count > 0),
-- equal values have equal scores: those of the middle of their places
p AS (
	SELECT c.*, count(*) OVER () AS n,
		rank() OVER (ORDER BY recency DESC) + (count(*) OVER (PARTITION BY recency) - 1) / 2.0 AS rp,
		rank() OVER (ORDER BY orders_count) + (count(*) OVER (PARTITION BY orders_count) - 1) / 2.0 AS fp,
		rank() OVER (ORDER BY spent_total) + (count(*) OVER (PARTITION BY spent_total) - 1) / 2.0 AS mp
	FROM c),
s AS (
	SELECT p.*, ceil((rp - 0.5) * 5 / n)::integer AS r, ceil((fp - 0.5) * 5 / n)::integer AS f, ceil((mp - 0.5) * 5 / n)::integer AS m
	FROM p)
SELECT s.key, s.recency, s.orders_count, s.spent_total, s.r, s.f, s.m,
	(SELECT g.name FROM ecauto_data.rfm_group g WHERE s.r <@ g.r AND s.f <@ g.f AND s.m <@ g.m ORDER BY g.place LIMIT 1)
FROM s
$$;
COMMENT ON FUNCTION ecauto.rfm(timestamptz) IS
'customers with orders as of an instant (NULL: ecauto.now()): days since the last order, number of orders, what was spent in the main currency, a score of 1 to 5 for each (fifths of the customers; equal values have equal scores; 5 is best), and the name of the group by ecauto_data.rfm_group (NULL: none fits); for operators';
REVOKE ALL ON FUNCTION ecauto.rfm(timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.rfm_migration(from_at timestamptz, to_at timestamptz)
RETURNS TABLE (from_segment text, to_segment text, customers bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT a.segment, b.segment, count(*)
FROM ecauto.rfm($1) a FULL JOIN ecauto.rfm($2) b USING (customer)
GROUP BY 1, 2 ORDER BY 1 NULLS FIRST, 2 NULLS LAST
$$;
COMMENT ON FUNCTION ecauto.rfm_migration(timestamptz, timestamptz) IS
'how many customers went from which group of ecauto.rfm() to which between two instants; from_segment NULL: they had no order yet; for operators';
REVOKE ALL ON FUNCTION ecauto.rfm_migration(timestamptz, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.refresh_rfm()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	at constant timestamptz := ecauto.now();
	no bigint;
	changed bigint;
BEGIN
	-- one at a time
	UPDATE ecauto_data.rfm_setting SET refreshed_at = at;
	no := nextval('ecauto_data.rfm_change_seq');
	-- as it was before this instant, if it was refreshed at it or, by another clock, later
	DELETE FROM ecauto_data.rfm_score s WHERE s.valid_from >= at;
	UPDATE ecauto_data.rfm_score s SET valid_until = 'infinity', change_no = no WHERE s.valid_until >= at AND s.valid_until < 'infinity';
	WITH found AS MATERIALIZED (
		SELECT s.customer AS old, n.*
		FROM (SELECT s.* FROM ecauto_data.rfm_score s WHERE s.valid_until = 'infinity') s
		FULL JOIN ecauto.rfm(at) n ON n.customer COLLATE "C" = s.customer
		WHERE (s.r, s.f, s.m, s.name) IS DISTINCT FROM (n.r, n.f, n.m, n.segment)),
	ended AS (
		UPDATE ecauto_data.rfm_score s SET valid_until = at, change_no = no
		FROM found n WHERE s.customer = n.old AND s.valid_until = 'infinity'),
	put AS (
		INSERT INTO ecauto_data.rfm_score (customer, valid_from, valid_until, r, f, m, name, change_no)
		SELECT n.customer, at, 'infinity', n.r, n.f, n.m, n.segment, no FROM found n WHERE n.customer IS NOT NULL)
	SELECT count(*) INTO changed FROM found;
	RETURN changed;
END
$$;
COMMENT ON FUNCTION ecauto.refresh_rfm() IS
'brings what conditions see as rfm.r, rfm.f, rfm.m and rfm.group up to date, and returns of how many customers it changed; a tick does it once a day, when a segment asks about them; for operators';
REVOKE ALL ON FUNCTION ecauto.refresh_rfm() FROM PUBLIC;

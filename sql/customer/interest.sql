CREATE OR REPLACE FUNCTION ecauto.interests(
	customer text, as_of timestamptz DEFAULT NULL, half_life interval DEFAULT '30 days')
RETURNS TABLE (category text, weight double precision, views bigint, purchases bigint, last_at timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT c.category, sum(a.weight * power(0.5, extract(epoch FROM t.at - a.at) / extract(epoch FROM $3)))::float8,
	count(*) FILTER (WHERE a.weight = 1), count(*) FILTER (WHERE a.weight > 1), max(a.at)
FROM (SELECT coalesce($2, ecauto.now()) AS at) t
CROSS JOIN LATERAL (
	SELECT b.product, b.at, 1 AS weight FROM ecauto_data.behaviour b
	WHERE b.customer = $1 AND b.kind = 'view' AND b.at <= t.at
	UNION ALL
	SELECT p.product, p.placed_at, 5 FROM ecauto_data.purchase p
	WHERE p.customer = $1 AND p.placed_at <= t.at AND isfinite(p.placed_at)) a
JOIN ecauto_data.category_product c ON c.product = a.product
GROUP BY c.category ORDER BY 2 DESC, 1
$$;
COMMENT ON FUNCTION ecauto.interests(text, timestamptz, interval) IS
'categories that a customer looks at and buys from at an instant (NULL: ecauto.now()), strongest first: a view weighs 1 and a purchase 5, half of that after half_life; needs SELECT on ecauto_data.behaviour, purchase and category_product';

CREATE OR REPLACE FUNCTION ecauto.interest(
	customer text, category text, as_of timestamptz DEFAULT NULL, half_life interval DEFAULT '30 days')
RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce((SELECT i.weight FROM ecauto.interests($1, $3, $4) i WHERE i.category = $2), 0)
$$;
COMMENT ON FUNCTION ecauto.interest(text, text, timestamptz, interval) IS
'weight of one category in ecauto.interests(); 0 if there is none';

CREATE OR REPLACE FUNCTION ecauto.customer_stages(
	keys text[] DEFAULT NULL, as_of timestamptz DEFAULT NULL, usual_gap interval DEFAULT '90 days')
RETURNS TABLE (customer text, stage text, since timestamptz, until timestamptz)
LANGUAGE sql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT f.key, s.stage,
	CASE s.stage WHEN 'lead' THEN f.created_at WHEN 'at risk' THEN f.last_order_at + 2 * s.gap
		WHEN 'lost' THEN f.last_order_at + 4 * s.gap WHEN 'repeat' THEN p.second_at ELSE f.last_order_at END,
	CASE WHEN s.stage IN ('first order', 'repeat', 'won back') THEN f.last_order_at + 2 * s.gap
		WHEN s.stage = 'at risk' THEN f.last_order_at + 4 * s.gap END
FROM (SELECT coalesce($2, ecauto.now()) AS at) t
CROSS JOIN LATERAL ecauto.customer_facts($1, t.at) f
LEFT JOIN LATERAL (
	-- the orders before the last one: was he lost when it came?
	SELECT max(o.placed_at) AS last_at, ecauto.median_gap(array_agg(o.placed_at)) AS gap,
		CASE WHEN count(*) > 0 THEN coalesce((array_agg(o.placed_at ORDER BY o.placed_at))[2], f.last_order_at) END AS second_at
	FROM (SELECT o.placed_at, o.cancelled FROM ecauto_data.seen_order o WHERE o.customer_key = f.key
		UNION ALL SELECT o.placed_at, o.cancelled FROM ecauto_data.seen_order o
		JOIN ecauto_data.customer_fact g ON g.key = f.key AND g.guest_email = o.email
		WHERE o.customer_key IS NULL) o
	WHERE NOT coalesce(o.cancelled, false) AND o.placed_at < f.last_order_at AND isfinite(o.placed_at)) p ON f.orders_count > 1
CROSS JOIN LATERAL (
	SELECT x.gap, CASE WHEN f.orders_count = 0 THEN 'lead'
		WHEN t.at > f.last_order_at + 4 * x.gap THEN 'lost'
		WHEN t.at > f.last_order_at + 2 * x.gap THEN 'at risk'
		WHEN f.last_order_at > p.last_at + 4 * coalesce(p.gap, $3) THEN 'won back'
		WHEN f.orders_count = 1 THEN 'first order' ELSE 'repeat' END AS stage
	FROM (SELECT greatest(coalesce(f.median_gap, $3), interval '1 day') AS gap) x) s
$$;
COMMENT ON FUNCTION ecauto.customer_stages(text[], timestamptz, interval) IS
'where customers (keys NULL: all) stand at an instant (NULL: ecauto.now()): lead (no order), first order, repeat, at risk (for two of their own median gaps no order), lost (for four), won back (the last order came after that); since when, and until when if nothing happens (NULL: for good); usual_gap stands for the gap of those with one order; for operators';
REVOKE ALL ON FUNCTION ecauto.customer_stages(text[], timestamptz, interval) FROM PUBLIC;

-- Lists that are found by SQL, and what an operator says about them.

CREATE OR REPLACE FUNCTION ecauto.recommend_rising(at timestamptz, n integer)
RETURNS TABLE (sku text, score float8, reason text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
WITH line AS MATERIALIZED (
	SELECT i.sku, o.placed_at > $1 - interval '14 days' AS recent,
		power(0.5, extract(epoch FROM $1 - o.placed_at)::float8 / 604800) AS weight
	FROM ecauto_data.seen_order o JOIN ecauto_data.order_item i ON i.order_key = o.key
	WHERE o.placed_at > $1 - interval '70 days' AND o.placed_at <= $1
		AND NOT coalesce(o.cancelled, false) AND NOT coalesce(o.is_refunded, false) AND (i.qty > 0 OR i.qty IS NULL)
), sold AS (
	SELECT l.sku, count(*) FILTER (WHERE l.recent) AS orders, sum(l.weight) FILTER (WHERE l.recent) AS weight,
		(count(*) FILTER (WHERE l.recent) + 1) / (count(*) FILTER (WHERE NOT l.recent) / 4.0::float8 + 1) AS times
	FROM line l GROUP BY l.sku
)
SELECT s.sku, s.weight * least(greatest(s.times, 0.5), 3),
	format('bought %s times in 14 days', s.orders) || CASE WHEN s.times >= 1.5 THEN ', more often than before' ELSE '' END
FROM sold s WHERE s.orders >= 2
ORDER BY 2 DESC, 1 LIMIT $2
$$;
COMMENT ON FUNCTION ecauto.recommend_rising(timestamptz, integer) IS
'what ecauto.trending() chooses from, at an instant, sold out or not; needs SELECT on ecauto_data.seen_order and order_item';

CREATE OR REPLACE FUNCTION ecauto.recommend_alike(sku text, categories text[], n integer)
RETURNS TABLE (sku text, score float8, reason text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
WITH me AS MATERIALIZED (
	SELECT s.product_key, p.brand,
		ARRAY(SELECT DISTINCT w FROM regexp_split_to_table(lower(p.title), '[^[:alnum:]]+') w WHERE w <> '') AS words
	FROM ecauto_data.seen_sku s LEFT JOIN ecauto_data.seen_product p ON p.key = s.product_key
	WHERE s.key = $1
), category AS MATERIALIZED (
	-- what few products share tells more
	SELECT c.category, 1 / ln(2 + count(*)::float8) AS weight
	FROM ecauto_data.category_product c WHERE c.category = ANY ($2) GROUP BY c.category
), near AS MATERIALIZED (
	SELECT c.product, sum(g.weight) / (SELECT sum(weight) FROM category) AS share
	FROM category g JOIN ecauto_data.category_product c ON c.category = g.category GROUP BY c.product
), alike AS (
	SELECT p.key AS product, coalesce(n.share, 0) AS category, coalesce((p.brand = m.brand)::int, 0) AS brand,
		coalesce((SELECT count(*) FILTER (WHERE w = ANY (m.words))::float8
			/ nullif(cardinality(m.words) + count(*) FILTER (WHERE NOT w = ANY (m.words)), 0)
		FROM (SELECT DISTINCT w FROM regexp_split_to_table(lower(p.title), '[^[:alnum:]]+') w WHERE w <> '') x), 0) AS title
	FROM me m CROSS JOIN ecauto_data.seen_product p LEFT JOIN near n ON n.product = p.key
	WHERE p.key <> m.product_key AND coalesce(p.active, true)
)
SELECT s.key, a.score, CASE WHEN a.category > 0 THEN 'in the same category' WHEN a.brand > 0 THEN 'of the same brand' ELSE 'alike by title' END
FROM (SELECT l.*, 0.5 * l.category + 0.2 * l.brand + 0.3 * l.title AS score FROM alike l) a
JOIN LATERAL (SELECT s.key FROM ecauto_data.seen_sku s WHERE s.product_key = a.product ORDER BY s.key) s ON true
WHERE a.score > 0
ORDER BY a.score DESC, s.key LIMIT $3
$$;
COMMENT ON FUNCTION ecauto.recommend_alike(text, text[], integer) IS
'skus of other products that are like one (key) which is in these categories: half of the score, from 0 to 1, is for shared categories, small ones more, a fifth for the brand, the rest for words of the title; sold out or not; reads all products; needs SELECT on ecauto_data.seen_sku, seen_product and category_product';

CREATE OR REPLACE FUNCTION ecauto.set_consumable(sku text, consumable boolean DEFAULT true)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF consumable THEN
		INSERT INTO ecauto_data.recommend_consumable AS c (sku) VALUES ($1) ON CONFLICT DO NOTHING;
	ELSE
		DELETE FROM ecauto_data.recommend_consumable c WHERE c.sku = $1;
	END IF;
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ecauto.set_consumable(text, boolean) IS
'says whether ecauto.recommend() may name a sku (key) to those who have bought it already; false if that was so before; for operators';
REVOKE ALL ON FUNCTION ecauto.set_consumable(text, boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.exclude_orders(orders text[], excluded boolean DEFAULT true)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	n bigint;
BEGIN
	IF excluded THEN
		WITH added AS (INSERT INTO ecauto_data.recommend_excluded (order_key)
			SELECT DISTINCT o.key FROM unnest($1) o (key) WHERE o.key IS NOT NULL ON CONFLICT DO NOTHING RETURNING order_key),
		told AS (INSERT INTO ecauto_data.order_changed (order_key) SELECT a.order_key FROM added a)
		SELECT count(*) INTO n FROM added;
	ELSE
		WITH gone AS (DELETE FROM ecauto_data.recommend_excluded x WHERE x.order_key = ANY ($1) RETURNING order_key),
		told AS (INSERT INTO ecauto_data.order_changed (order_key) SELECT g.order_key FROM gone g)
		SELECT count(*) INTO n FROM gone;
	END IF;
	RETURN n;
END
$$;
COMMENT ON FUNCTION ecauto.exclude_orders(text[], boolean) IS
'says that orders (keys) do not count for recommendations, because they are tests or of robots, or that they do again (excluded => false); returns how many were not so before; they are taken out of the counts by the next tick and out of all else by the next build; for operators';
REVOKE ALL ON FUNCTION ecauto.exclude_orders(text[], boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.recommend_sold(at timestamptz, n integer)
RETURNS TABLE (sku text, score float8, reason text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT i.sku, count(*)::float8, format('bought %s times in 90 days', count(*))
FROM ecauto_data.seen_order o JOIN ecauto_data.order_item i ON i.order_key = o.key
WHERE o.placed_at > $1 - interval '90 days' AND o.placed_at <= $1
	AND NOT coalesce(o.cancelled, false) AND NOT coalesce(o.is_refunded, false) AND (i.qty > 0 OR i.qty IS NULL)
	AND NOT EXISTS (SELECT FROM ecauto_data.recommend_excluded x WHERE x.order_key = o.key)
GROUP BY i.sku HAVING count(*) >= 2
ORDER BY count(*) DESC, sum(i.qty) DESC NULLS LAST, i.sku LIMIT $2
$$;
COMMENT ON FUNCTION ecauto.recommend_sold(timestamptz, integer) IS
'what ecauto.best_sellers() chooses from, at an instant, sold out or not; needs SELECT on ecauto_data.seen_order and order_item';

CREATE OR REPLACE FUNCTION ecauto.recommend_new(at timestamptz, n integer)
RETURNS TABLE (sku text, score float8, reason text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT s.key, 1 - extract(epoch FROM $1 - p.since)::float8 / (60 * 86400),
	'new since ' || to_char(p.since AT TIME ZONE coalesce(nullif(current_setting('ecauto.timezone', true), ''), current_setting('timezone')), 'YYYY-MM-DD')
FROM (SELECT e.key, min(e.at) AS since FROM ecauto_data.event e
	WHERE e.kind = 'product.created' AND e.role = 'product' AND e.at > $1 - interval '60 days' AND e.at <= $1
	GROUP BY e.key) p
JOIN ecauto_data.seen_sku s ON s.product_key = p.key
ORDER BY p.since DESC, s.key LIMIT $2
$$;
COMMENT ON FUNCTION ecauto.recommend_new(timestamptz, integer) IS
'what ecauto.new_arrivals() chooses from, at an instant, sold out or not: skus of products that were first seen in the last 60 days; needs SELECT on ecauto_data.event and seen_sku';

CREATE OR REPLACE FUNCTION ecauto.set_recommendation_policy(repeats text DEFAULT NULL, min_margin numeric DEFAULT NULL)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
UPDATE ecauto_data.recommend_policy SET repeats = coalesce($1, 'consumables'), min_margin = $2
$$;
COMMENT ON FUNCTION ecauto.set_recommendation_policy(text, numeric) IS
'repeats: what a customer may be shown although he bought it: none, consumables (those that ecauto.set_consumable() was told of; the default), or all; min_margin: percent of the price without tax that must be left, NULL for any: what leaves less in any currency of which price and cost are known is shown nowhere; error unless repeats is one of these and min_margin below 100; for operators';
REVOKE ALL ON FUNCTION ecauto.set_recommendation_policy(text, numeric) FROM PUBLIC;

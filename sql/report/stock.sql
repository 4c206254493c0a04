-- Stock, forecasts, purchase orders and prices, as the report shows them.

CREATE OR REPLACE FUNCTION ecauto.report_stock(n integer DEFAULT NULL)
RETURNS TABLE (
	sku text, code text, title text, available numeric, incoming numeric, next_due timestamptz,
	velocity float8, days_of_cover float8, out_since timestamptz, low boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH due AS (
	SELECT i.sku, sum(i.units) AS units, min(i.due_at) AS due_at FROM ecauto_data.stock_incoming i GROUP BY 1
), x AS (
	SELECT t.key, coalesce(ecauto.report_finite(t.on_hand), 0) - coalesce(ecauto.report_finite(t.reserved), 0) AS available,
		coalesce(ecauto.report_finite(t.incoming), 0) + coalesce(i.units, 0) AS incoming, i.due_at, f.daily
	FROM ecauto_data.seen_stock t
	JOIN ecauto_data.seen_sku s ON s.key = t.key AND coalesce(s.active, true) AND coalesce(s.track_stock, true)
	LEFT JOIN ecauto_data.seen_product p ON p.key = s.product_key
	LEFT JOIN due i ON i.sku = t.key
	LEFT JOIN ecauto_data.sku_forecast f ON f.sku = t.key
	WHERE coalesce(p.active, true) AND NOT EXISTS (SELECT FROM ecauto.report_donation_skus() d WHERE d.sku = t.key)
), y AS (
	SELECT x.*, CASE WHEN x.daily > 0 THEN greatest(0, x.available)::float8 / x.daily END AS cover FROM x
	-- what sells and runs out first; then what is gone and nobody asks for
	ORDER BY 6 NULLS LAST, x.daily DESC NULLS LAST, x.available, x.key LIMIT $1
)
SELECT y.key, s.sku, nullif(concat_ws(', ', p.title, CASE WHEN s.title <> p.title THEN s.title END), ''), y.available, y.incoming, y.due_at, y.daily, y.cover,
	o.since, coalesce(l.low, false)
FROM y
JOIN ecauto_data.seen_sku s ON s.key = y.key
LEFT JOIN ecauto_data.seen_product p ON p.key = s.product_key
LEFT JOIN ecauto_data.stock_out o ON o.sku = y.key AND o.until IS NULL
LEFT JOIN ecauto_data.stock_low l ON l.sku = y.key
ORDER BY y.cover NULLS LAST, y.daily DESC NULLS LAST, y.available, y.key
$$;
COMMENT ON FUNCTION ecauto.report_stock(integer) IS
'stock of the skus that are for sale, counted, and no donations, as the last tick saw it, those that run out first at the top, n of them (NULL: all): available units (on hand less reserved), incoming and when the next ones are due, velocity (units a day, by the last forecast; NULL: none), days of cover (NULL: unknown or without end), since when it is out of stock, whether it is low by its alert; needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.report_stock_total()
RETURNS TABLE (skus bigint, out_of_stock bigint, low bigint, under_a_week bigint, forecast_skus bigint, units numeric, cover_days float8)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT count(*), count(*) FILTER (WHERE s.available <= 0), count(*) FILTER (WHERE s.low),
	count(*) FILTER (WHERE s.available > 0 AND s.days_of_cover < 7), count(s.velocity),
	coalesce(sum(greatest(s.available, 0)), 0),
	sum(greatest(s.available, 0)::float8) FILTER (WHERE s.velocity > 0) / nullif(sum(s.velocity) FILTER (WHERE s.velocity > 0), 0)
FROM ecauto.report_stock() s
$$;
COMMENT ON FUNCTION ecauto.report_stock_total() IS
'stock in all, of skus that are for sale and counted: how many, of these out of stock, low by their alert, with less than a week of cover, with a forecast; units available; days that those of skus that sell last in all; needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.report_units(first_day date, last_day date)
RETURNS TABLE (day date, units float8)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	zone constant text := ecauto.shop_timezone();
BEGIN
	IF NOT EXISTS (SELECT FROM ecauto_data.demand_setting s JOIN ecauto_data.role_seen r ON r.role = 'order' AND r.loaded_at = s.loaded_at
			WHERE s.timezone = zone) THEN
		RETURN QUERY
		SELECT d.day, sum(d.units)::float8
		FROM ecauto.report_days($1::timestamp AT TIME ZONE zone, ($2 + 1)::timestamp AT TIME ZONE zone) d
		GROUP BY 1 HAVING sum(d.units) > 0 ORDER BY 1;
		RETURN;
	END IF;
	RETURN QUERY
	WITH stale AS MATERIALIZED (
		SELECT DISTINCT s.order_key FROM ecauto_data.demand_stale s
	)
	-- the sums as they were kept, with what the orders that changed since put into them exchanged for what belongs there now
	SELECT x.day, sum(x.units)::float8
	FROM (SELECT d.day, d.sku, ecauto.report_finite(d.units) AS units FROM ecauto_data.demand d
		WHERE d.day BETWEEN $1 AND $2
		UNION ALL
		SELECT l.day, l.sku, -ecauto.report_finite(l.units) FROM stale s JOIN ecauto_data.demand_line l ON l.order_key = s.order_key
		WHERE l.day BETWEEN $1 AND $2
		UNION ALL
		SELECT (o.placed_at AT TIME ZONE zone)::date, i.sku, ecauto.report_finite(i.qty)
		FROM stale s JOIN ecauto_data.seen_order o ON o.key = s.order_key JOIN ecauto_data.order_item i ON i.order_key = o.key
		WHERE o.placed_at >= $1::timestamp AT TIME ZONE zone AND o.placed_at < ($2 + 1)::timestamp AT TIME ZONE zone
			AND o.cancelled IS NOT TRUE) x
	LEFT JOIN ecauto.report_donation_skus() d ON d.sku = x.sku
	WHERE d.sku IS NULL
	GROUP BY 1 HAVING sum(x.units) > 0 ORDER BY 1;
END
$$;
COMMENT ON FUNCTION ecauto.report_units(date, date) IS
'units sold on each day with sales, from a day of the shop to another, both included; cancelled orders and donations left out; from the sums that ecauto.refresh_demand() keeps and the orders that changed since, or, before its first run, from the orders themselves; needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.report_forecast("from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL)
RETURNS TABLE (day date, actual float8, forecast float8, lo float8, hi float8)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH p AS MATERIALIZED (
	SELECT (p.starts AT TIME ZONE ecauto.shop_timezone())::date AS first_day,
		least(((p.ends - interval '1 microsecond') AT TIME ZONE ecauto.shop_timezone())::date,
			(p.starts AT TIME ZONE ecauto.shop_timezone())::date + 365) AS last_day,
		ecauto.today() AS today
	FROM ecauto.report_period($1, $2) p
), actual AS MATERIALIZED (
	-- two years before the period, and the period; today is not over
	SELECT u.day, u.units FROM p CROSS JOIN LATERAL ecauto.report_units(p.first_day - 730, p.last_day) u
), series AS (
	SELECT array_agg(coalesce(a.units, 0) ORDER BY g.day) AS units, count(a.units) AS days
	FROM p CROSS JOIN LATERAL generate_series((SELECT min(a.day) FROM actual a WHERE a.day < p.first_day)::timestamp,
		(p.first_day - 1)::timestamp, interval '1 day') g (day)
	LEFT JOIN actual a ON a.day = g.day::date
), ahead AS (
	SELECT p.first_day + f.h - 1 AS day, f.mean, f.lo, f.hi
	FROM p CROSS JOIN series s
	CROSS JOIN LATERAL ecauto.forecast(s.units, 7, p.last_day - p.first_day + 1) f
	WHERE cardinality(s.units) >= 14 AND s.days >= 7
)
SELECT g.day::date, CASE WHEN g.day::date < p.today THEN coalesce(a.units, 0) END, greatest(f.mean, 0), greatest(f.lo, 0), f.hi
FROM p CROSS JOIN LATERAL generate_series(p.first_day::timestamp, p.last_day::timestamp, interval '1 day') g (day)
LEFT JOIN actual a ON a.day = g.day::date
LEFT JOIN ahead f ON f.day = g.day::date
ORDER BY 1
$$;
COMMENT ON FUNCTION ecauto.report_forecast(timestamptz, timestamptz) IS
'units sold on each day of a period (the first 366 of them; NULL from today on), and what ecauto.forecast() says of them who knows only the two years before the period, with 95% bounds: NULL with fewer than 14 days before it, or 7 with orders; donations and cancelled orders left out; NULL: the last 30 days; needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.report_purchase_orders("from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL)
RETURNS TABLE (
	id bigint, supplier text, state text, currency text, goods numeric, freight numeric, lines bigint, units numeric,
	received numeric, planned_at timestamptz, ordered_at timestamptz, due_on date, received_at timestamptz, late_days integer, note text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT o.id, coalesce(s.title, o.supplier), o.state, o.currency, o.goods, o.freight, coalesce(l.lines, 0), coalesce(l.units, 0), coalesce(l.received, 0),
	o.planned_at, o.ordered_at, o.due_on, o.received_at, o.late_days,
	CASE WHEN o.state = 'proposed' THEN 'waits for ecauto.approve_purchase_order(' || o.id || ')'
		WHEN o.state = 'held' THEN 'below the minimum of the supplier'
		WHEN o.state = 'sent' AND o.due_on < ecauto.today() THEN 'overdue by ' || ecauto.today() - o.due_on || ' days'
		WHEN o.state = 'received' AND o.late_days > 0 THEN o.late_days || ' days late' END
FROM ecauto.report_period($1, $2) p
JOIN ecauto_data.purchase_order o ON (o.state IN ('proposed', 'held', 'sent') AND o.planned_at < p.ends)
	OR (o.planned_at >= p.starts AND o.planned_at < p.ends) OR (o.received_at >= p.starts AND o.received_at < p.ends)
LEFT JOIN ecauto_data.supplier s ON s.supplier = o.supplier
LEFT JOIN LATERAL (SELECT count(*) AS lines, sum(l.qty) AS units, sum(l.received) AS received
	FROM ecauto_data.purchase_order_line l WHERE l.order_id = o.id) l ON true
ORDER BY o.planned_at DESC, o.id DESC
$$;
COMMENT ON FUNCTION ecauto.report_purchase_orders(timestamptz, timestamptz) IS
'purchase orders that were planned or received in a period, or are still open: amounts in the currency of the supplier, lines, units and what of them came, when it was planned, ordered, due and received, days late (negative: early), and what is to be done; newest first; NULL: the last 30 days; needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.report_price_changes(
	"from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL, days integer DEFAULT 14)
RETURNS TABLE (
	sku text, code text, title text, currency text, at timestamptz, old_price numeric, new_price numeric,
	days_before float8, units_before numeric, revenue_before numeric, days_after float8, units_after numeric, revenue_after numeric)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH p AS MATERIALIZED (
	SELECT p.starts, p.ends, make_interval(days => greatest($3, 1)) AS width FROM ecauto.report_period($1, $2) p
), h AS (
	SELECT s.sku, s.currency, lower(h.period) AS at, coalesce(upper(h.period), 'infinity') AS until, h.amount,
		lag(h.amount) OVER w AS old, lag(lower(h.period)) OVER w AS since, lag(upper(h.period)) OVER w AS old_until
	FROM p
	JOIN ecauto_data.price_history h ON h.period && tstzrange(p.starts - p.width - interval '1 day', p.ends)
	JOIN ecauto_data.price_series s ON s.series_id = h.series_id AND s.list_key = ''
	WINDOW w AS (PARTITION BY h.series_id ORDER BY lower(h.period))
), change AS MATERIALIZED (
	-- not longer before than the old price held, nor longer after than the new one did
	SELECT h.sku, h.currency, h.at, h.old, h.amount, greatest(h.since, h.at - p.width) AS first, least(h.until, h.at + p.width, ecauto.now()) AS last
	FROM p JOIN h ON h.at >= p.starts AND h.at < p.ends
	WHERE h.old_until = h.at AND h.old <> h.amount
), sold AS (
	SELECT c.sku, c.currency, c.at,
		sum(ecauto.report_finite(i.qty)) FILTER (WHERE o.placed_at < c.at) AS units_before,
		sum(ecauto.report_finite(i.amount)) FILTER (WHERE o.placed_at < c.at) AS revenue_before,
		sum(ecauto.report_finite(i.qty)) FILTER (WHERE o.placed_at >= c.at) AS units_after,
		sum(ecauto.report_finite(i.amount)) FILTER (WHERE o.placed_at >= c.at) AS revenue_after
	FROM change c
	JOIN ecauto_data.order_item i ON i.sku = c.sku
	JOIN ecauto_data.seen_order o ON o.key = i.order_key AND o.placed_at >= c.first AND o.placed_at < c.last
		AND coalesce(o.currency, '') = c.currency
		AND o.placed_at >= (SELECT min(c.first) FROM change c) AND o.placed_at < (SELECT max(c.last) FROM change c)
	WHERE o.cancelled IS NOT TRUE
	GROUP BY 1, 2, 3
)
SELECT c.sku, k.sku, nullif(concat_ws(', ', q.title, CASE WHEN k.title <> q.title THEN k.title END), ''), c.currency, c.at, c.old, c.amount,
	extract(epoch FROM c.at - c.first)::float8 / 86400, coalesce(s.units_before, 0), coalesce(s.revenue_before, 0),
	greatest(0, extract(epoch FROM c.last - c.at)::float8 / 86400), coalesce(s.units_after, 0), coalesce(s.revenue_after, 0)
FROM change c
LEFT JOIN sold s ON s.sku = c.sku AND s.currency = c.currency AND s.at = c.at
LEFT JOIN ecauto_data.seen_sku k ON k.key = c.sku
LEFT JOIN ecauto_data.seen_product q ON q.key = k.product_key
ORDER BY coalesce(s.revenue_after, 0) + coalesce(s.revenue_before, 0) DESC, c.at DESC, c.sku
$$;
COMMENT ON FUNCTION ecauto.report_price_changes(timestamptz, timestamptz, integer) IS
'changes of base prices in a period and what was sold before and after each: over at most so many days, not longer before than the old price held nor after than the new one did (days_before, days_after: over how many); units and revenue in that currency, cancelled orders left out; what sold most first; that something followed a change does not say the change did it; NULL: the last 30 days; needs SELECT on the tables of ecauto_data';

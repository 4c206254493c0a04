-- The report as a page: the numbers of the other files of this directory, worded.
--
-- Each report_page_...() is a section of it: what the template report/page.html
-- shows there.  Everything is text or a number by then; the template escapes it.

CREATE OR REPLACE FUNCTION ecauto.report_unit(starts timestamptz, ends timestamptz)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN $2 - $1 <= interval '93 days' THEN 'day' WHEN $2 - $1 <= interval '800 days' THEN 'week'
	WHEN $2 - $1 <= interval '7500 days' THEN 'month' ELSE 'year' END
$$;
COMMENT ON FUNCTION ecauto.report_unit(timestamptz, timestamptz) IS
'what a bar of a chart over a period stands for: day, week, month or year, so that there are not too many';

CREATE OR REPLACE FUNCTION ecauto.report_day(day date, unit text DEFAULT 'day')
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT to_char($1::timestamp, CASE $2 WHEN 'month' THEN 'Mon YYYY' WHEN 'year' THEN 'YYYY' WHEN 'full' THEN 'FMDD FMMonth YYYY' ELSE 'FMDD Mon' END)
$$;
COMMENT ON FUNCTION ecauto.report_day(date, text) IS
'a day as the report writes it, as the first of a day, week, month or year, or full';

CREATE OR REPLACE FUNCTION ecauto.report_instant(at timestamptz)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT to_char($1 AT TIME ZONE ecauto.shop_timezone(), 'FMDD Mon YYYY, HH24:MI')
$$;
COMMENT ON FUNCTION ecauto.report_instant(timestamptz) IS
'an instant as the report writes it, in the time zone of the shop';

CREATE OR REPLACE FUNCTION ecauto.report_is_bound(role text)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT EXISTS (SELECT FROM ecauto_data.role_binding b WHERE b.role = $1)
$$;
COMMENT ON FUNCTION ecauto.report_is_bound(text) IS
'is the role bound; needs SELECT on ecauto_data.role_binding';

CREATE OR REPLACE FUNCTION ecauto.report_page_sales(starts timestamptz, ends timestamptz, main_currency text)
RETURNS jsonb
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
WITH every AS MATERIALIZED (
	-- read once: sums of currencies and bars are made from it
	SELECT d.* FROM ecauto.report_days($1, $2) d
), d AS MATERIALIZED (
	SELECT d.* FROM every d WHERE d.currency = $3
), t AS (
	-- a chart begins with the first order if the period began long before
	SELECT u.unit, greatest(date_trunc(u.unit, ($1 AT TIME ZONE ecauto.shop_timezone())::date::timestamp),
			CASE WHEN u.unit <> 'day' THEN date_trunc(u.unit, u.first::timestamp) END) AS first,
		date_trunc(u.unit, least(($2 - interval '1 microsecond') AT TIME ZONE ecauto.shop_timezone(),
			CASE WHEN u.unit <> 'day' THEN u.last::timestamp END)) AS last
	FROM (SELECT ecauto.report_unit(greatest($1, min(d.day)::timestamptz), least($2, max(d.day)::timestamptz)) AS unit,
			min(d.day) AS first, max(d.day) AS last FROM d) u
), b AS (
	SELECT g.at::date AS day, t.unit, coalesce(sum(d.orders), 0) AS orders, coalesce(sum(d.revenue), 0) AS revenue
	FROM t CROSS JOIN LATERAL generate_series(t.first, t.last, ('1 ' || t.unit)::interval) g (at)
	LEFT JOIN d ON date_trunc(t.unit, d.day::timestamp) = g.at
	GROUP BY 1, 2
), s AS MATERIALIZED (
	SELECT coalesce(s.currency, c.currency) AS currency, coalesce(s.orders, 0) AS orders, coalesce(s.revenue, 0) AS revenue,
		coalesce(s.refunded, 0) AS refunded, coalesce(s.revenue - s.refunded, 0) AS net, coalesce(s.donations, 0) AS donations,
		coalesce(s.units, 0) AS units, coalesce(c.orders, 0) AS cancelled_orders
	FROM (SELECT e.currency, sum(e.orders) AS orders, sum(e.revenue) AS revenue, sum(e.refunded) AS refunded,
			sum(e.donations) AS donations, sum(e.units) AS units
		FROM every e GROUP BY 1) s
	FULL JOIN ecauto.report_cancelled($1, $2) c ON c.currency = s.currency
), m AS (
	SELECT m.* FROM ecauto.report_margin($1, $2) m
)
SELECT jsonb_build_object(
	'any', EXISTS (SELECT FROM s),
	'chart', (SELECT jsonb_build_object('unit', 'by ' || t.unit, 'currency', $3,
			'revenue', ecauto.report_chart('Revenue by ' || t.unit,
				format('Bars of revenue by %s in %s, from %s to %s; the highest is %s.', t.unit, $3,
					ecauto.report_day(min(b.day), 'full'), ecauto.report_day(max(b.day), 'full'), ecauto.report_money(max(b.revenue), $3) ->> 't'),
				array_agg(ecauto.report_day(b.day, t.unit) ORDER BY b.day), array_agg(b.revenue::float8 ORDER BY b.day), '{bar}'),
			'orders', ecauto.report_chart('Orders by ' || t.unit,
				format('A line of orders by %s, from %s to %s; the highest is %s.', t.unit,
					ecauto.report_day(min(b.day), 'full'), ecauto.report_day(max(b.day), 'full'), max(b.orders)),
				array_agg(ecauto.report_day(b.day, t.unit) ORDER BY b.day), array_agg(b.orders::float8 ORDER BY b.day), '{line}'),
			'rows', jsonb_agg(jsonb_build_object('day', ecauto.report_day(b.day, 'full'), 'orders', ecauto.report_number(b.orders),
				'revenue', ecauto.report_money(b.revenue, $3)) ORDER BY b.day))
		FROM b CROSS JOIN t WHERE EXISTS (SELECT FROM d) GROUP BY t.unit),
	'currencies', (SELECT jsonb_agg(jsonb_build_object('currency', coalesce(nullif(s.currency, ''), 'not told'),
			'orders', ecauto.report_number(s.orders), 'revenue', ecauto.report_money(s.revenue, s.currency),
			'refunded', ecauto.report_money(s.refunded, s.currency), 'net', ecauto.report_money(s.net, s.currency),
			'donations', ecauto.report_money(s.donations, s.currency), 'units', ecauto.report_number(s.units),
			'cancelled', ecauto.report_number(s.cancelled_orders)) ORDER BY s.orders DESC, s.currency) FROM s),
	'margin', (SELECT jsonb_build_object('rows', jsonb_agg(jsonb_build_object('currency', coalesce(nullif(m.currency, ''), 'not told'),
			'goods', ecauto.report_money(m.goods, m.currency), 'costed', ecauto.report_share(m.costed, m.goods),
			'net', ecauto.report_money(m.net, m.currency), 'cost', ecauto.report_money(m.cost, m.currency),
			'margin', ecauto.report_money(m.margin, m.currency), 'rate', ecauto.report_number((m.margin_rate * 100)::numeric, 1, '%')) ORDER BY m.goods DESC, m.currency))
		FROM m WHERE m.cost IS NOT NULL HAVING count(*) > 0),
	'margin_value', (SELECT ecauto.report_money(m.margin, m.currency) FROM m WHERE m.currency = $3),
	'margin_note', (SELECT ecauto.report_number((m.margin_rate * 100)::numeric, 1, '%') ->> 't' FROM m WHERE m.currency = $3),
	'margin_say', (SELECT CASE
			WHEN NOT EXISTS (SELECT FROM m) THEN 'No goods were sold in this period.'
			WHEN bool_and(m.cost IS NULL) THEN 'No cost of what was sold is known. Bind role "cost" with ecauto.bind_role(), or tell costs by ecauto.set_cost().'
			WHEN sum(m.costed) < sum(m.goods) THEN 'For the rest no cost is known, or no rate of exchange to it: see ecauto.set_cost() and ecauto.set_fx_rate().' END
		FROM m))
$$;
COMMENT ON FUNCTION ecauto.report_page_sales(timestamptz, timestamptz, text) IS
'section "Revenue, margin and orders" of ecauto.report_data()';

CREATE OR REPLACE FUNCTION ecauto.report_page_best(starts timestamptz, ends timestamptz)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH b AS (
	SELECT b.*, row_number() OVER () AS place, max(b.share) OVER () AS most FROM ecauto.report_best_sellers($1, $2, 20) b
), d AS (
	SELECT d.*, row_number() OVER () AS place FROM ecauto.report_best_sellers($1, $2, 20, true) d
)
SELECT jsonb_build_object(
	'any', EXISTS (SELECT FROM b),
	'say', CASE WHEN ecauto.report_is_bound('order_line') THEN 'Nothing was sold in this period.' ELSE 'Bind role "order_line" to see what is sold.' END,
	'rows', (SELECT jsonb_agg(jsonb_build_object('title', coalesce(b.title, b.code, b.sku), 'code', coalesce(b.code, b.sku),
		'orders', ecauto.report_number(b.orders), 'units', ecauto.report_number(b.units), 'revenue', ecauto.report_money(b.revenue, b.currency),
		'share', ecauto.report_number((b.share * 100)::numeric, 1, '%'),
		'bar', coalesce(round((greatest(b.share, 0) * 100 / nullif(b.most, 0))::numeric, 1), 0)) ORDER BY b.place) FROM b),
	'donations', (SELECT jsonb_build_object('rows', jsonb_agg(jsonb_build_object('title', coalesce(d.title, d.code, d.sku), 'code', coalesce(d.code, d.sku),
		'orders', ecauto.report_number(d.orders), 'revenue', ecauto.report_money(d.revenue, d.currency)) ORDER BY d.place)) FROM d HAVING count(*) > 0))
$$;
COMMENT ON FUNCTION ecauto.report_page_best(timestamptz, timestamptz) IS
'section "Best sellers" of ecauto.report_data()';

CREATE OR REPLACE FUNCTION ecauto.report_page_stock()
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH s AS (
	SELECT s.*, row_number() OVER () AS place FROM ecauto.report_stock(20) s
)
SELECT jsonb_build_object(
	'any', t.skus > 0,
	'say', CASE WHEN NOT ecauto.report_is_bound('stock') THEN 'Bind role "stock" to see what is there and how long it lasts.'
		WHEN t.skus = 0 THEN 'Nothing that is for sale is counted.'
		ELSE format('%s of %s products are out of stock, %s more last less than a week, and %s are low by their alerts.',
			t.out_of_stock, t.skus, t.under_a_week, t.low)
			|| CASE WHEN t.cover_days IS NOT NULL THEN format(' What sells lasts %s days on average.', round(t.cover_days::numeric)) ELSE '' END END,
	'hint', CASE WHEN t.skus > 0 AND t.forecast_skus = 0 THEN 'Days of cover are known after the first forecast: SELECT ecauto.refresh_demand(), ecauto.forecast_all().' END,
	'rows', (SELECT jsonb_agg(jsonb_build_object('title', coalesce(s.title, s.code, s.sku), 'code', coalesce(s.code, s.sku),
		'available', ecauto.report_number(s.available), 'incoming', CASE WHEN s.incoming > 0 THEN ecauto.report_number(s.incoming) END,
		'velocity', ecauto.report_number(s.velocity::numeric, 2), 'cover', ecauto.report_number(s.days_of_cover::numeric, 1),
		'out', CASE WHEN s.available <= 0 THEN 'out of stock' || coalesce(' since ' || ecauto.report_instant(s.out_since), '') END,
		'low', CASE WHEN s.available > 0 AND s.low THEN 'low' WHEN s.available > 0 AND s.days_of_cover < 7 THEN 'less than a week' END) ORDER BY s.place) FROM s))
FROM ecauto.report_stock_total() t
$$;
COMMENT ON FUNCTION ecauto.report_page_stock() IS
'section "Stock and days of cover" of ecauto.report_data()';

CREATE OR REPLACE FUNCTION ecauto.report_page_forecast(starts timestamptz, ends timestamptz)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH f AS MATERIALIZED (
	SELECT f.* FROM ecauto.report_forecast($1, $2) f
), u AS (
	SELECT CASE WHEN count(*) <= 93 THEN 'day' ELSE 'week' END AS unit FROM f
), b AS (
	SELECT date_trunc(u.unit, f.day::timestamp)::date AS day, sum(f.actual) AS actual, sum(f.forecast) AS forecast,
		-- bounds of days do not add up to bounds of weeks
		CASE WHEN u.unit = 'day' THEN min(f.lo) END AS lo, CASE WHEN u.unit = 'day' THEN max(f.hi) END AS hi
	FROM f CROSS JOIN u GROUP BY 1, u.unit
), e AS (
	SELECT sum(f.actual) AS actual, sum(f.forecast) AS forecast, sum(abs(f.actual - f.forecast)) / nullif(sum(f.actual), 0) AS error,
		count(*) FILTER (WHERE f.actual BETWEEN f.lo AND f.hi) AS inside, count(*) AS days
	FROM f WHERE f.actual IS NOT NULL AND f.forecast IS NOT NULL
)
SELECT jsonb_build_object(
	'say', CASE WHEN NOT ecauto.report_is_bound('order_line') THEN 'Bind role "order_line" to compare sales with forecasts.'
		WHEN NOT EXISTS (SELECT FROM f WHERE f.actual > 0 OR f.forecast IS NOT NULL) THEN 'Nothing was sold in or before this period.'
		WHEN NOT EXISTS (SELECT FROM f WHERE f.forecast IS NOT NULL) THEN 'A forecast needs 14 days before the period, 7 of them with orders.'
		WHEN e.days = 0 THEN 'The forecast of days to come.'
		ELSE format('%s units were sold where %s were forecast. The forecast of a day was wrong by %s of what was sold on average; %s of %s days were within its bounds.',
			ecauto.report_number(e.actual::numeric) ->> 't', ecauto.report_number(e.forecast::numeric) ->> 't',
			coalesce(ecauto.report_number((e.error * 100)::numeric, 1, '%') ->> 't', 'all'), e.inside, e.days) END,
	'chart', CASE WHEN EXISTS (SELECT FROM f WHERE f.actual > 0 OR f.forecast IS NOT NULL) THEN (
		SELECT jsonb_build_object('unit', 'by ' || u.unit, 'any', bool_or(b.forecast IS NOT NULL),
			'svg', ecauto.report_chart('Units sold and forecast by ' || u.unit,
				format('Bars of units sold by %s from %s to %s, and a line of what was forecast before the period.', u.unit,
					ecauto.report_day(min(b.day), 'full'), ecauto.report_day(max(b.day), 'full')),
				array_agg(ecauto.report_day(b.day, u.unit) ORDER BY b.day),
				array_agg(b.actual ORDER BY b.day) || array_agg(b.forecast ORDER BY b.day) || array_agg(b.lo ORDER BY b.day) || array_agg(b.hi ORDER BY b.day),
				'{bar,line,low,high}'),
			'rows', jsonb_agg(jsonb_build_object('day', ecauto.report_day(b.day, 'full'), 'actual', ecauto.report_number(b.actual::numeric),
				'forecast', ecauto.report_number(b.forecast::numeric, 1)) ORDER BY b.day))
		FROM b CROSS JOIN u GROUP BY u.unit) END)
FROM e
$$;
COMMENT ON FUNCTION ecauto.report_page_forecast(timestamptz, timestamptz) IS
'section "Forecast against actual" of ecauto.report_data()';

CREATE OR REPLACE FUNCTION ecauto.report_page_orders(starts timestamptz, ends timestamptz)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH o AS MATERIALIZED (
	SELECT o.*, row_number() OVER () AS place FROM ecauto.report_purchase_orders($1, $2) o
)
SELECT jsonb_build_object(
	'any', EXISTS (SELECT FROM o),
	'say', CASE WHEN EXISTS (SELECT FROM o) THEN (SELECT string_agg(format('%s %s', x.n, x.state), ', ' ORDER BY x.state)
			FROM (SELECT o.state, count(*) AS n FROM o GROUP BY 1) x) || CASE WHEN (SELECT count(*) FROM o) > 40 THEN '; the newest 40' ELSE '' END
		WHEN NOT EXISTS (SELECT FROM ecauto_data.supplier) THEN 'No suppliers are known: ecauto.set_supplier() and ecauto.set_offer() tell whom the shop buys from.'
		ELSE 'No purchase orders in this period. SELECT * FROM ecauto.plan_replenishment() plans them.' END,
	'rows', (SELECT jsonb_agg(jsonb_build_object('supplier', o.supplier, 'id', o.id, 'state', o.state, 'lines', ecauto.report_number(o.lines),
		'units', ecauto.report_number(o.units), 'goods', ecauto.report_money(o.goods, o.currency), 'planned', ecauto.report_instant(o.planned_at),
		'due', ecauto.report_day(o.due_on, 'full'), 'note', o.note) ORDER BY o.place) FROM o WHERE o.place <= 40))
$$;
COMMENT ON FUNCTION ecauto.report_page_orders(timestamptz, timestamptz) IS
'section "Purchase orders" of ecauto.report_data()';

CREATE OR REPLACE FUNCTION ecauto.report_page_prices(starts timestamptz, ends timestamptz)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH c AS MATERIALIZED (
	SELECT c.*, row_number() OVER () AS place FROM ecauto.report_price_changes($1, $2) c
)
SELECT jsonb_build_object(
	'any', EXISTS (SELECT FROM c),
	'say', CASE WHEN NOT EXISTS (SELECT FROM c) THEN 'No price changed in this period.'
		ELSE (SELECT format('%s changes of the prices of %s products, %s up and %s down.', count(*), count(DISTINCT c.sku),
			count(*) FILTER (WHERE c.new_price > c.old_price), count(*) FILTER (WHERE c.new_price < c.old_price))
			|| CASE WHEN count(*) > 20 THEN ' The 20 of what sells most:' ELSE '' END FROM c) END,
	'rows', (SELECT jsonb_agg(jsonb_build_object('title', coalesce(c.title, c.code, c.sku), 'code', coalesce(c.code, c.sku), 'at', ecauto.report_instant(c.at),
		'old', ecauto.report_money(c.old_price, c.currency), 'new', ecauto.report_money(c.new_price, c.currency),
		'ub', ecauto.report_number((c.units_before / nullif(c.days_before, 0)::numeric), 2), 'ua', ecauto.report_number((c.units_after / nullif(c.days_after, 0)::numeric), 2),
		'rb', ecauto.report_money(round(c.revenue_before / nullif(c.days_before, 0)::numeric, 4), c.currency),
		'ra', ecauto.report_money(round(c.revenue_after / nullif(c.days_after, 0)::numeric, 4), c.currency)) ORDER BY c.place) FROM c WHERE c.place <= 20))
$$;
COMMENT ON FUNCTION ecauto.report_page_prices(timestamptz, timestamptz) IS
'section "Price changes and what followed" of ecauto.report_data()';

CREATE OR REPLACE FUNCTION ecauto.report_page_flows(starts timestamptz, ends timestamptz)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH f AS MATERIALIZED (
	SELECT f.*, row_number() OVER () AS place FROM ecauto.report_flows($1, $2) f
), k AS (
	SELECT k.* FROM ecauto.report_skips($1, $2) k
), c AS (
	SELECT c.* FROM ecauto.campaigns() c WHERE c.started_at >= $1 AND c.started_at < $2
)
SELECT jsonb_build_object(
	'any', EXISTS (SELECT FROM f),
	'say', 'No flows. SELECT * FROM ecauto.template_library() lists those that can be installed by ecauto.install_template().',
	'rows', (SELECT jsonb_agg(jsonb_build_object('flow', f.flow, 'enabled', f.enabled, 'runs', ecauto.report_number(f.runs), 'sent', ecauto.report_number(f.sent),
		'skipped', coalesce((SELECT string_agg(format('%s: %s', e.key, e.value), ', ' ORDER BY e.value::bigint DESC, e.key) FROM jsonb_each_text(f.skipped) e), ''),
		'failed', ecauto.report_number(f.failed), 'customers', ecauto.report_number(f.customers), 'ordered', ecauto.report_number(f.ordered),
		'revenue', ecauto.report_money(f.revenue, f.currency),
		'lift', CASE WHEN f.lift IS NOT NULL THEN format('%s points (%s to %s), %s', round((f.lift * 100)::numeric, 1),
			round((f.lift_lo * 100)::numeric, 1), round((f.lift_hi * 100)::numeric, 1), f.note) ELSE f.note END) ORDER BY f.place) FROM f),
	'skips', (SELECT jsonb_build_object('rows', jsonb_agg(jsonb_build_object('reason', k.reason, 'mails', ecauto.report_number(k.mails)) ORDER BY k.mails DESC, k.reason))
		FROM k HAVING count(*) > 0),
	'campaigns', (SELECT jsonb_build_object('rows', jsonb_agg(jsonb_build_object('name', c.name, 'at', ecauto.report_instant(c.started_at),
			'customers', ecauto.report_number(c.customers), 'sent', ecauto.report_number(c.sent), 'skipped', ecauto.report_number(c.skipped),
			'done', ecauto.report_number((c.done * 100)::numeric, 1, '%')) ORDER BY c.started_at, c.name)) FROM c HAVING count(*) > 0))
$$;
COMMENT ON FUNCTION ecauto.report_page_flows(timestamptz, timestamptz) IS
'section "Flows" of ecauto.report_data()';

CREATE OR REPLACE FUNCTION ecauto.report_page_customers(starts timestamptz, ends timestamptz)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH s AS (
	SELECT s.* FROM ecauto.report_segments($1, $2) s
), g AS MATERIALIZED (
	SELECT g.*, max(g.customers) OVER () AS most FROM ecauto.report_rfm() g
)
SELECT jsonb_build_object(
	'segments', (SELECT jsonb_build_object('rows', jsonb_agg(jsonb_build_object('segment', s.segment, 'members', ecauto.report_number(s.members),
		'entered', ecauto.report_number(s.entered), 'left', ecauto.report_number(s."left"), 'broken', s.broken) ORDER BY s.members DESC, s.segment))
		FROM s HAVING count(*) > 0),
	'rfm', CASE WHEN EXISTS (SELECT FROM g) THEN (
		SELECT jsonb_build_object('rows', jsonb_agg(x.line ORDER BY x.r DESC))
		FROM (SELECT r.r, jsonb_build_object('r', r.r || CASE r.r WHEN 5 THEN ' lately' WHEN 1 THEN ' long ago' ELSE '' END,
				'cells', jsonb_agg(jsonb_build_object('n', ecauto.report_number(g.customers),
					'heat', CASE WHEN g.customers > 0 THEN 'h' || ceil(g.customers * 5.0 / g.most) ELSE '' END) ORDER BY f.f)) AS line
			FROM generate_series(1, 5) r (r) CROSS JOIN generate_series(1, 5) f (f) LEFT JOIN g ON g.r = r.r AND g.f = f.f
			GROUP BY r.r) x) END)
$$;
COMMENT ON FUNCTION ecauto.report_page_customers(timestamptz, timestamptz) IS
'section "Segments and customers" of ecauto.report_data()';

CREATE OR REPLACE FUNCTION ecauto.report_page_recommendations(starts timestamptz, ends timestamptz)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce((
	SELECT jsonb_build_object('any', r.orders > 0,
		'say', CASE WHEN r.orders > 0 THEN format('Of the newest orders that came after the lists of %s (10,000 at most), those of two known products or more: in how many was a product among the ten that the list names?', ecauto.report_instant(r.built_at))
			ELSE format('No order of two known products came after the lists of %s.', ecauto.report_instant(r.built_at)) END,
		'rows', jsonb_build_array(
			jsonb_build_object('list', 'bought together', 'orders', ecauto.report_number(r.orders), 'hits', ecauto.report_number(r.hits), 'rate', ecauto.report_number((r.hit_rate * 100)::numeric, 1, '%')),
			jsonb_build_object('list', 'most popular, to compare', 'orders', ecauto.report_number(r.orders), 'hits', ecauto.report_number(r.popular_hits), 'rate', ecauto.report_number((r.popular_rate * 100)::numeric, 1, '%'))))
	FROM ecauto.report_recommendations($1, $2) r),
	jsonb_build_object('any', false, 'say', 'Not built yet. SELECT * FROM ecauto.build_recommendations() does it.'))
$$;
COMMENT ON FUNCTION ecauto.report_page_recommendations(timestamptz, timestamptz) IS
'section "Recommendations" of ecauto.report_data()';

CREATE OR REPLACE FUNCTION ecauto.report_page_outbox(starts timestamptz, ends timestamptz)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT jsonb_build_object('any', count(*) > 0, 'say', 'No endpoints. CREATE SERVER ... FOREIGN DATA WRAPPER ecauto_endpoint makes one.',
	'rows', jsonb_agg(jsonb_build_object('endpoint', o.endpoint, 'state', o.state,
		'class', CASE o.state WHEN 'missing' THEN 'error' WHEN 'failing' THEN 'error' WHEN 'paused' THEN 'warning' ELSE '' END,
		'waiting', ecauto.report_number(o.waiting), 'oldest', ecauto.report_instant(o.oldest), 'delivered', ecauto.report_number(o.delivered),
		'dead', ecauto.report_number(o.dead), 'cancelled', ecauto.report_number(o.cancelled), 'error', left(o.last_error, 200)) ORDER BY o.endpoint))
FROM ecauto.report_outbox($1, $2) o
$$;
COMMENT ON FUNCTION ecauto.report_page_outbox(timestamptz, timestamptz) IS
'section "Messages" of ecauto.report_data()';

CREATE OR REPLACE FUNCTION ecauto.report_data("from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	p record;
	zone constant text := ecauto.shop_timezone();
	own text;
	sum_now record;
	sum_before record;
	who record;
	sales jsonb;
	sections jsonb;
	attention jsonb;
BEGIN
	SELECT * INTO p FROM ecauto.report_period("from", "to");
	PERFORM ecauto.progress_phase('sales');
	own := coalesce((SELECT c.currency FROM ecauto_data.customer_setting c), (SELECT s.currency FROM ecauto.report_sales(p.starts, p.ends) s LIMIT 1), '');
	sales := ecauto.report_page_sales(p.starts, p.ends, own);
	-- the sums that the section shows, not summed again
	SELECT x.revenue, x.orders, x.revenue / x.orders AS average_order, x.units, x.refunded, x.net, x.donations
	INTO sum_now
	FROM (SELECT (c #>> '{revenue,v}')::numeric AS revenue, nullif((c #>> '{orders,v}')::numeric, 0) AS orders, (c #>> '{units,v}')::numeric AS units,
			(c #>> '{refunded,v}')::numeric AS refunded, (c #>> '{net,v}')::numeric AS net, (c #>> '{donations,v}')::numeric AS donations
		FROM (SELECT 1) one LEFT JOIN jsonb_array_elements(nullif(sales -> 'currencies', 'null')) c ON c ->> 'currency' = coalesce(nullif(own, ''), 'not told')) x;
	IF p.before < p.starts THEN
		SELECT * INTO sum_before FROM (SELECT 1) x LEFT JOIN ecauto.report_sales(p.before, p.starts) s ON s.currency = own;
	ELSE
		SELECT NULL::numeric AS revenue, NULL::bigint AS orders, NULL::numeric AS average_order, NULL::numeric AS units INTO sum_before;
	END IF;
	SELECT * INTO who FROM ecauto.report_customers(p.starts, p.ends);
	PERFORM ecauto.progress_phase('attention');
	IF pg_has_role((SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = 'ecauto_data'), 'USAGE') THEN
		SELECT jsonb_build_object('rows', jsonb_agg(jsonb_build_object('state', s.state, 'word', initcap(s.state), 'item', s.item,
			'value', s.value, 'detail', s.detail)))
		INTO attention FROM ecauto.status() s WHERE s.state <> 'ok' HAVING count(*) > 0;
	END IF;
	PERFORM ecauto.progress_phase('best sellers');
	sections := jsonb_build_object('best', ecauto.report_page_best(p.starts, p.ends));
	PERFORM ecauto.progress_phase('stock');
	sections := sections || jsonb_build_object('stock', ecauto.report_page_stock());
	PERFORM ecauto.progress_phase('forecast');
	sections := sections || jsonb_build_object('forecast', ecauto.report_page_forecast(p.starts, p.ends));
	PERFORM ecauto.progress_phase('purchase orders');
	sections := sections || jsonb_build_object('orders', ecauto.report_page_orders(p.starts, p.ends));
	PERFORM ecauto.progress_phase('prices');
	sections := sections || jsonb_build_object('prices', ecauto.report_page_prices(p.starts, p.ends));
	PERFORM ecauto.progress_phase('flows');
	sections := sections || jsonb_build_object('flows', ecauto.report_page_flows(p.starts, p.ends));
	PERFORM ecauto.progress_phase('customers');
	sections := sections || jsonb_build_object('customers', ecauto.report_page_customers(p.starts, p.ends));
	PERFORM ecauto.progress_phase('recommendations');
	sections := sections || jsonb_build_object('recommendations', ecauto.report_page_recommendations(p.starts, p.ends));
	PERFORM ecauto.progress_phase('messages');
	sections := sections || jsonb_build_object('outbox', ecauto.report_page_outbox(p.starts, p.ends));
	RETURN jsonb_build_object(
		'title', 'Shop report',
		'period', format('%s to %s', ecauto.report_day((p.starts AT TIME ZONE zone)::date, 'full'),
			ecauto.report_day(((p.ends - interval '1 microsecond') AT TIME ZONE zone)::date, 'full')),
		'from', to_char(p.starts AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
		'to', to_char(p.ends AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
		'from_text', CASE WHEN (p.starts AT TIME ZONE zone)::time = '00:00' THEN ecauto.report_day((p.starts AT TIME ZONE zone)::date, 'full') ELSE ecauto.report_instant(p.starts) END,
		'to_text', CASE WHEN (p.ends AT TIME ZONE zone)::time = '00:00' THEN ecauto.report_day((p.ends AT TIME ZONE zone)::date - 1, 'full') ELSE ecauto.report_instant(p.ends) END,
		'zone', zone,
		'currency_text', coalesce(nullif(own, ''), 'the currency of the order'),
		'version', (SELECT e.extversion FROM pg_extension e WHERE e.extname = 'ecauto'),
		'now', to_char(ecauto.now() AT TIME ZONE zone, 'YYYY-MM-DD HH24:MI'),
		'seen', (SELECT ecauto.report_instant(max(e.at)) FROM ecauto_data.event e),
		'lead', CASE WHEN coalesce(sum_now.orders, 0) = 0 THEN 'No orders in this period.'
			ELSE format('%s brought %s%s%s', CASE sum_now.orders WHEN 1 THEN 'One order' ELSE (ecauto.report_number(sum_now.orders) ->> 't') || ' orders' END,
				ecauto.report_money(sum_now.revenue, own) ->> 't',
				CASE WHEN sum_now.refunded <> 0 THEN format(', of which %s was refunded', ecauto.report_money(sum_now.refunded, own) ->> 't') ELSE '' END,
				CASE WHEN sales ->> 'margin_note' IS NOT NULL THEN format('; %s of the net price of goods was left above their cost.', replace(sales ->> 'margin_note', ' ', U&'\00A0')) ELSE '.' END) END,
		'kpis', (SELECT jsonb_build_object('length', greatest(max(length(k.tile #>> '{value,t}')), 8), 'tiles', jsonb_agg(k.tile ORDER BY k.place))
			FROM jsonb_array_elements(jsonb_build_array(
			jsonb_build_object('label', 'Revenue', 'value', ecauto.report_money(coalesce(sum_now.revenue, 0), own), 'change', ecauto.report_change(sum_now.revenue, sum_before.revenue), 'note', NULL),
			jsonb_build_object('label', 'Orders', 'value', ecauto.report_number(coalesce(sum_now.orders, 0)), 'change', ecauto.report_change(sum_now.orders, sum_before.orders), 'note', NULL),
			jsonb_build_object('label', 'Average order', 'value', ecauto.report_money(sum_now.average_order, own), 'change', ecauto.report_change(sum_now.average_order, sum_before.average_order), 'note', NULL),
			jsonb_build_object('label', 'Margin', 'value', sales -> 'margin_value', 'change', NULL,
				'note', CASE WHEN sales ->> 'margin_note' IS NOT NULL THEN (sales ->> 'margin_note') || ' of the net price' ELSE 'no cost is known' END),
			jsonb_build_object('label', 'After refunds', 'value', ecauto.report_money(sum_now.net, own), 'change', NULL, 'note', NULL),
			jsonb_build_object('label', 'Customers', 'value', ecauto.report_number(who.customers), 'change', NULL, 'note', format('%s of them new', ecauto.report_number(who.new_customers) ->> 't')),
			jsonb_build_object('label', 'Donations', 'value', ecauto.report_money(coalesce(sum_now.donations, 0), own), 'change', NULL, 'note', 'not in revenue'),
			jsonb_build_object('label', 'Units sold', 'value', ecauto.report_number(coalesce(sum_now.units, 0)), 'change', ecauto.report_change(sum_now.units, sum_before.units), 'note', NULL))) WITH ORDINALITY k (tile, place)),
		'attention', attention,
		'sales', sales) || sections;
END
$$;
COMMENT ON FUNCTION ecauto.report_data(timestamptz, timestamptz) IS
'what the report over a period says, as jsonb: numbers are {"v": the number, "t": as it is shown}; see ecauto.report_period() for what NULL and infinity stand for; needs SELECT on the tables of ecauto_data; status() and costs of the shop''s own are in it for operators only';

CREATE OR REPLACE FUNCTION ecauto.report_html("from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	data jsonb;
	html text;
BEGIN
	PERFORM ecauto.progress_begin('report_html');
	data := ecauto.report_data($1, $2);
	PERFORM ecauto.progress_phase('page');
	html := ecauto.render(ecauto.report_page(), data, jsonb_build_object('n', '<data value="{{v}}">{{t}}</data>'));
	PERFORM ecauto.progress_end();
	RETURN html;
END
$$;
COMMENT ON FUNCTION ecauto.report_html(timestamptz, timestamptz) IS
'the report of the shop over a period, up to but not including "to" (NULL: the last 30 days), as one HTML page that needs nothing else: revenue, margin, best sellers, stock, forecasts, purchase orders, prices, flows, customers, recommendations, messages; a section whose role is not bound says so; needs SELECT on the tables of ecauto_data; error unless the period ends after it begins';

CREATE OR REPLACE FUNCTION ecauto.report_html("from" date, "to" date)
RETURNS text
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT ecauto.report_html(d.starts, d.ends) FROM ecauto.report_period_of_days($1, $2) d
$$;
COMMENT ON FUNCTION ecauto.report_html(date, date) IS
'the same over days of the shop''s time zone, the last one included';

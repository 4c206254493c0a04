-- What was sold, in numbers.  The page of the report shows these; everybody can ask for them.
--
-- An order counts on the day it was placed, in the shop's time zone, unless it
-- was cancelled.  Amounts that are no finite numbers count as 0, as in the
-- facts of customers.  What has the tag "donation" (a sku, or its product) is
-- money that passes through the shop, so it is kept apart from revenue.

CREATE OR REPLACE FUNCTION ecauto.report_period(
	"from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL,
	OUT starts timestamptz, OUT ends timestamptz, OUT before timestamptz)
RETURNS record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	zone constant text := ecauto.shop_timezone();
BEGIN
	ends := "to";
	IF ends IS NULL OR ends = 'infinity' THEN
		ends := (ecauto.today() + 1)::timestamp AT TIME ZONE zone;
	END IF;
	starts := "from";
	IF starts IS NULL AND isfinite(ends) THEN
		starts := ((ends - interval '1 microsecond') AT TIME ZONE zone)::date::timestamp - interval '29 days';
		starts := starts::timestamp AT TIME ZONE zone;
	ELSIF starts = '-infinity' THEN
		SELECT min(o.placed_at) INTO starts FROM ecauto_data.seen_order o WHERE isfinite(o.placed_at);
		starts := least(coalesce((starts AT TIME ZONE zone)::date::timestamp AT TIME ZONE zone, 'infinity'), ends - interval '1 day');
	END IF;
	IF starts IS NULL OR NOT starts < ends OR NOT isfinite(starts) OR NOT isfinite(ends) THEN
		RAISE EXCEPTION 'the period of a report must end after it begins'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('It is from %s to %s.', coalesce(starts::text, 'null'), coalesce(ends::text, 'null')),
				HINT = 'The second argument is the end of the period; a date counts to its last moment.';
	END IF;
	-- the time before that is as long, to compare it with; none at the dawn of time
	before := CASE WHEN starts - ends > timestamptz '4000-01-01 BC' - starts THEN starts - (ends - starts) ELSE starts END;
END
$$;
COMMENT ON FUNCTION ecauto.report_period(timestamptz, timestamptz) IS
'the period that a report is about, from starts up to but not including ends: the arguments as far as they are given; "to" NULL or infinity: the end of today in the shop''s time zone; "from" NULL: 30 days before, -infinity: the day of the first order; before: where a period of the same length before it begins; error unless it ends after it begins';

CREATE OR REPLACE FUNCTION ecauto.report_period_of_days("from" date, "to" date, OUT starts timestamptz, OUT ends timestamptz)
RETURNS record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN isfinite($1) THEN $1::timestamp AT TIME ZONE ecauto.shop_timezone() ELSE $1::timestamptz END,
	CASE WHEN isfinite($2) THEN ($2 + 1)::timestamp AT TIME ZONE ecauto.shop_timezone() ELSE $2::timestamptz END
$$;
COMMENT ON FUNCTION ecauto.report_period_of_days(date, date) IS
'days of the shop, both included, as a period for reports';

CREATE OR REPLACE FUNCTION ecauto.report_finite(amount numeric)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN amount OPERATOR(pg_catalog.>) '-Infinity' AND amount OPERATOR(pg_catalog.<) 'Infinity' THEN amount ELSE 0 END;
COMMENT ON FUNCTION ecauto.report_finite(numeric) IS
'an amount, 0 if it is NULL or no finite number';

CREATE OR REPLACE FUNCTION ecauto.report_donation_skus()
RETURNS TABLE (sku text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT t.key FROM ecauto_data.tag t WHERE t.role = 'sku' AND t.tag = 'donation'
UNION
SELECT s.key FROM ecauto_data.tag t JOIN ecauto_data.seen_sku s ON s.product_key = t.key WHERE t.role = 'product' AND t.tag = 'donation'
$$;
COMMENT ON FUNCTION ecauto.report_donation_skus() IS
'keys of the skus that are donations: they or their product have the tag donation, see ecauto.tag(); needs SELECT on the tables of ecauto_data';

-- Functions that read orders with their lines plan for the period they are asked
-- about, a month and ten years being different things, and take it that lines
-- of neighbouring orders lie side by side, which nothing tells the planner:
-- otherwise it reads all lines there are for a month's.

CREATE OR REPLACE FUNCTION ecauto.report_days("from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL)
RETURNS TABLE (day date, currency text, orders bigint, revenue numeric, refunded numeric, donations numeric, units numeric)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET random_page_cost = 1.1
AS $$
#variable_conflict use_column
DECLARE
	zone constant text := ecauto.shop_timezone();
	donated constant text[] := ARRAY(SELECT d.sku COLLATE "C" FROM ecauto.report_donation_skus() d);
	period record;
BEGIN
	SELECT * INTO period FROM ecauto.report_period($1, $2);
	RETURN QUERY
WITH head AS (
	SELECT (o.placed_at AT TIME ZONE zone)::date AS day, coalesce(o.currency, '') AS currency, count(*) AS orders,
		sum(ecauto.report_finite(coalesce(o.total, o.placed_total))) AS total, sum(ecauto.report_finite(o.refunded)) AS refunded
	FROM ecauto_data.seen_order o
	WHERE o.placed_at >= period.starts AND o.placed_at < period.ends AND o.cancelled IS NOT TRUE
	GROUP BY 1, 2
), line AS (
	SELECT (o.placed_at AT TIME ZONE zone)::date AS day, coalesce(o.currency, '') AS currency,
		sum(ecauto.report_finite(i.amount)) FILTER (WHERE i.sku = ANY (donated)) AS given,
		sum(ecauto.report_finite(i.qty)) FILTER (WHERE i.sku <> ALL (donated)) AS units
	FROM ecauto_data.seen_order o
	JOIN ecauto_data.order_item i ON i.order_key = o.key
	WHERE o.placed_at >= period.starts AND o.placed_at < period.ends AND o.cancelled IS NOT TRUE
	GROUP BY 1, 2
)
SELECT h.day, h.currency, h.orders, h.total - coalesce(l.given, 0), h.refunded, coalesce(l.given, 0), coalesce(l.units, 0)
FROM head h LEFT JOIN line l ON l.day = h.day AND l.currency = h.currency
ORDER BY 1, 2;
END
$$;
COMMENT ON FUNCTION ecauto.report_days(timestamptz, timestamptz) IS
'orders of each day with orders, by the shop''s time zone, and currency: revenue (totals of orders that were not cancelled, less donations), what of it was refunded until now, donations, units sold (donations left out); NULL: the last 30 days; needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.report_cancelled("from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL)
RETURNS TABLE (currency text, orders bigint, total numeric)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce(o.currency, ''), count(*), sum(ecauto.report_finite(coalesce(o.placed_total, o.total)))
FROM ecauto.report_period($1, $2) p JOIN ecauto_data.seen_order o ON o.placed_at >= p.starts AND o.placed_at < p.ends
WHERE o.cancelled
GROUP BY 1
$$;
COMMENT ON FUNCTION ecauto.report_cancelled(timestamptz, timestamptz) IS
'orders placed in a period that were cancelled, by currency, and their totals when they were placed; NULL: the last 30 days; needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.report_sales("from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL)
RETURNS TABLE (
	currency text, orders bigint, revenue numeric, refunded numeric, net numeric, donations numeric, units numeric,
	average_order numeric, cancelled_orders bigint, cancelled numeric)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce(s.currency, c.currency), coalesce(s.orders, 0), coalesce(s.revenue, 0), coalesce(s.refunded, 0),
	coalesce(s.revenue - s.refunded, 0), coalesce(s.donations, 0), coalesce(s.units, 0),
	s.revenue / s.orders, coalesce(c.orders, 0), coalesce(c.total, 0)
FROM (SELECT d.currency, sum(d.orders)::bigint AS orders, sum(d.revenue) AS revenue, sum(d.refunded) AS refunded,
		sum(d.donations) AS donations, sum(d.units) AS units
	FROM ecauto.report_days($1, $2) d GROUP BY 1) s
FULL JOIN ecauto.report_cancelled($1, $2) c ON c.currency = s.currency
ORDER BY 2 DESC, 1
$$;
COMMENT ON FUNCTION ecauto.report_sales(timestamptz, timestamptz) IS
'what was sold in a period, a row for each currency: orders that were not cancelled, their revenue (donations apart), what of it was refunded until now, net of that, donations, units, revenue an order, and orders that were cancelled with their value; NULL: the last 30 days; needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.report_customers("from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL)
RETURNS TABLE (customers bigint, new_customers bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT count(*), count(*) FILTER (WHERE x.fresh)
FROM (SELECT coalesce(f.key, g.key, o.customer_key, o.email) AS customer,
		bool_or(coalesce(f.first_order_at, g.first_order_at, p.starts) >= p.starts) AS fresh
	FROM ecauto.report_period($1, $2) p JOIN ecauto_data.seen_order o ON o.placed_at >= p.starts AND o.placed_at < p.ends
	LEFT JOIN ecauto_data.customer_fact f ON f.key = o.customer_key
	LEFT JOIN ecauto_data.customer_fact g ON o.customer_key IS NULL AND g.guest_email = o.email
	WHERE o.cancelled IS NOT TRUE
	GROUP BY 1) x
WHERE x.customer IS NOT NULL
$$;
COMMENT ON FUNCTION ecauto.report_customers(timestamptz, timestamptz) IS
'how many customers placed the orders of a period, and how many of them had placed none before; guests are known by their address; NULL: the last 30 days; needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.report_best_sellers(
	"from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL, n integer DEFAULT 10, donations boolean DEFAULT false)
RETURNS TABLE (sku text, code text, title text, currency text, orders bigint, units numeric, revenue numeric, share float8)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET random_page_cost = 1.1
AS $$
#variable_conflict use_column
DECLARE
	donated constant text[] := ARRAY(SELECT d.sku COLLATE "C" FROM ecauto.report_donation_skus() d);
	period record;
BEGIN
	IF $4 AND donated = '{}' THEN
		RETURN;
	END IF;
	SELECT * INTO period FROM ecauto.report_period($1, $2);
	RETURN QUERY
SELECT x.sku, s.sku, nullif(concat_ws(', ', p.title, CASE WHEN s.title <> p.title THEN s.title END), ''), x.currency, x.orders, x.units, x.revenue,
	(x.revenue / nullif(x.whole, 0))::float8
FROM (SELECT i.sku, coalesce(o.currency, '') AS currency, count(*) AS orders, sum(ecauto.report_finite(i.qty)) AS units,
		sum(ecauto.report_finite(i.amount)) AS revenue,
		sum(sum(ecauto.report_finite(i.amount))) OVER (PARTITION BY coalesce(o.currency, '')) AS whole
	FROM ecauto_data.seen_order o
	JOIN ecauto_data.order_item i ON i.order_key = o.key
	WHERE o.placed_at >= period.starts AND o.placed_at < period.ends AND o.cancelled IS NOT TRUE AND (i.sku = ANY (donated)) = coalesce($4, false)
	GROUP BY 1, 2
	ORDER BY revenue DESC, 1 LIMIT $3) x
LEFT JOIN ecauto_data.seen_sku s ON s.key = x.sku
LEFT JOIN ecauto_data.seen_product p ON p.key = s.product_key
ORDER BY x.revenue DESC, x.sku;
END
$$;
COMMENT ON FUNCTION ecauto.report_best_sellers(timestamptz, timestamptz, integer, boolean) IS
'the n skus (NULL: all) that brought most in a period, or the donations: orders, units that were not cancelled, their price times units, and the share (0 to 1) of all such in that currency; cancelled orders left out, discounts and shipping not taken into account; NULL: the last 30 days; needs SELECT on the tables of ecauto_data';

-- ---- margin ----

CREATE OR REPLACE FUNCTION ecauto.report_costs()
RETURNS TABLE (sku text, cost numeric, currency text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- who may only read sees ecauto's own costs; role rows are read for operators
	IF EXISTS (SELECT FROM ecauto_data.role_binding b WHERE b.role = 'cost' AND b.broken_at IS NULL)
			AND pg_has_role((SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = 'ecauto_data'), 'USAGE') THEN
		BEGIN
			RETURN QUERY
			SELECT DISTINCT ON (x.sku) x.sku, x.cost, x.currency
			FROM (SELECT c.sku COLLATE "default" AS sku, c.cost, c.currency COLLATE "default" AS currency, CASE WHEN c.source = '' THEN 0 WHEN c.source = 'offer' THEN 3 ELSE 1 END AS place
				FROM ecauto_data.cost c
				UNION ALL
				SELECT r.key, r.cost, r.currency, 2 FROM ecauto.role_rows('cost') AS r (key text, cost numeric, currency text)) x
			WHERE x.cost >= 0 AND x.cost < 'Infinity'
			ORDER BY x.sku, x.place, x.cost;
			RETURN;
		EXCEPTION WHEN syntax_error_or_access_rule_violation OR data_exception THEN
			-- the role has broken and no tick has seen it yet; status() will tell
			NULL;
		END;
	END IF;
	RETURN QUERY
	SELECT DISTINCT ON (c.sku) c.sku COLLATE "default", c.cost, c.currency COLLATE "default" FROM ecauto_data.cost c
	ORDER BY c.sku, CASE WHEN c.source = '' THEN 0 WHEN c.source = 'offer' THEN 2 ELSE 1 END, c.cost;
END
$$;
COMMENT ON FUNCTION ecauto.report_costs() IS
'what each sku costs the shop now, without tax: as ecauto.set_cost() was told, else by role cost (which only operators see), else by the best offer; needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.report_vat()
RETURNS TABLE (sku text, rate numeric)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH now AS MATERIALIZED (
	SELECT DISTINCT ON (v.scope, v.key) v.scope, v.key, v.rate FROM ecauto_data.vat_rate v
	WHERE v.country = '' AND v.valid_from <= ecauto.today() ORDER BY v.scope, v.key, v.valid_from DESC
), category AS (
	SELECT c.product, max(n.rate) AS rate FROM now n JOIN ecauto_data.category_product c ON c.category = n.key
	WHERE n.scope = 'category' GROUP BY 1
)
SELECT s.key, coalesce(k.rate, p.rate, c.rate, a.rate)
FROM ecauto_data.seen_sku s
LEFT JOIN now k ON k.scope = 'sku' AND k.key = s.key
LEFT JOIN now p ON p.scope = 'product' AND p.key = s.product_key
LEFT JOIN category c ON c.product = s.product_key
LEFT JOIN now a ON a.scope = 'all'
WHERE coalesce(k.rate, p.rate, c.rate, a.rate) > 0
	AND EXISTS (SELECT FROM ecauto_data.seen_price x WHERE x.key = s.key AND x.tax_included)
$$;
COMMENT ON FUNCTION ecauto.report_vat() IS
'value added tax, in percent, that is contained in the prices of skus now, as ecauto.set_vat_rate() was told without a country: of the sku, else its product, else the highest of its categories, else of all; needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.report_margin("from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL)
RETURNS TABLE (currency text, goods numeric, costed numeric, net numeric, cost numeric, margin numeric, margin_rate float8)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET random_page_cost = 1.1
AS $$
#variable_conflict use_column
DECLARE
	donated constant text[] := ARRAY(SELECT d.sku COLLATE "C" FROM ecauto.report_donation_skus() d);
	period record;
BEGIN
	SELECT * INTO period FROM ecauto.report_period($1, $2);
	RETURN QUERY
WITH line AS MATERIALIZED (
	SELECT i.sku, coalesce(o.currency, '') AS currency, sum(ecauto.report_finite(i.amount)) AS amount, sum(ecauto.report_finite(i.qty)) AS units
	FROM ecauto_data.seen_order o
	JOIN ecauto_data.order_item i ON i.order_key = o.key
	WHERE o.placed_at >= period.starts AND o.placed_at < period.ends AND o.cancelled IS NOT TRUE AND i.sku <> ALL (donated)
	GROUP BY 1, 2
), cost AS MATERIALIZED (
	SELECT * FROM ecauto.report_costs()
), rate AS MATERIALIZED (
	SELECT x.currency, x.quote, ecauto.exchange_rate(x.currency, x.quote) AS rate
	FROM (SELECT DISTINCT c.currency, l.currency AS quote FROM cost c CROSS JOIN (SELECT DISTINCT l.currency FROM line l) l) x
), costed AS (
	SELECT l.currency, l.amount, l.units * c.cost * r.rate AS cost, l.amount / (1 + coalesce(v.rate, 0) / 100) AS net
	FROM line l
	LEFT JOIN cost c ON c.sku = l.sku
	LEFT JOIN rate r ON r.currency = c.currency AND r.quote = l.currency
	LEFT JOIN ecauto.report_vat() v ON v.sku = l.sku
)
SELECT c.currency, sum(c.amount), coalesce(sum(c.amount) FILTER (WHERE c.cost IS NOT NULL), 0), sum(c.net) FILTER (WHERE c.cost IS NOT NULL), sum(c.cost),
	sum(c.net - c.cost),
	(sum(c.net - c.cost) / nullif(sum(c.net) FILTER (WHERE c.cost IS NOT NULL), 0))::float8
FROM costed c
GROUP BY 1 ORDER BY 2 DESC, 1;
END
$$;
COMMENT ON FUNCTION ecauto.report_margin(timestamptz, timestamptz) IS
'what is left of what was sold in a period, a row for each currency: goods (price times units, donations left out), costed: the part of it whose cost is known, net of value added tax, what it costs now, margin in money and as a share of net (0 to 1); costs in another currency by ecauto.exchange_rate(); NULL where no cost is known; NULL: the last 30 days; needs SELECT on the tables of ecauto_data';

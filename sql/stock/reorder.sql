-- How much to order, of whom, and when: reorder points, proposals, purchase orders.

CREATE OR REPLACE FUNCTION ecauto.forecast_sum(mean float8[], daily float8, first integer, days float8)
RETURNS float8
AS 'MODULE_PATHNAME', 'ecauto_forecast_sum'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.forecast_sum(float8[], float8, integer, float8) IS
'units of so many days (the last may be a fraction) of a forecast by day, from place "first" (from 0) on; days outside of it have daily units';

CREATE OR REPLACE FUNCTION ecauto.reorder_point(
	mean float8, sd float8, days float8, level float8 DEFAULT 0.95, lead_sd float8 DEFAULT 0, rare boolean DEFAULT false)
RETURNS float8
AS 'MODULE_PATHNAME', 'ecauto_reorder_point'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.reorder_point(float8, float8, float8, float8, float8, boolean) IS
'stock that demand over a lead time of so many days does not exceed with probability level: mean units over all of the days, sd: standard deviation of one day, lead_sd: of the lead time, in days; normal, or (rare) negative binomial demand';

CREATE OR REPLACE FUNCTION ecauto.economic_order_quantity(order_cost float8, holding_cost float8, demand float8)
RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN order_cost >= 0 AND holding_cost > 0 AND demand >= 0 THEN sqrt(2 * order_cost * demand / holding_cost) END
$$;
COMMENT ON FUNCTION ecauto.economic_order_quantity(float8, float8, float8) IS
'the quantity whose costs of ordering (order_cost each time) and of holding (holding_cost a unit and year) are least at a demand a year (F. W. Harris, 1913); NULL if a cost or the demand is negative, or holding costs nothing';

CREATE OR REPLACE FUNCTION ecauto.set_replenishment(sku text DEFAULT NULL, policy jsonb DEFAULT '{}')
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	the_key constant text := CASE WHEN sku IS NULL THEN '' ELSE ecauto.stock_sku_key(sku) END;
	unknown text;
	p ecauto_data.replenishment;
BEGIN
	IF policy IS NULL THEN
		DELETE FROM ecauto_data.replenishment r WHERE r.sku = the_key AND the_key <> '';
		RETURN;
	END IF;
	SELECT string_agg(quote_ident(k), ', ') INTO unknown FROM jsonb_object_keys(policy) k
	WHERE k NOT IN ('service_level', 'review_days', 'cover_days', 'minimum', 'maximum', 'order_cost', 'holding_cost', 'off');
	IF unknown IS NOT NULL THEN
		RAISE EXCEPTION 'a replenishment policy has no %', unknown
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'It may have service_level, review_days, cover_days, minimum, maximum, order_cost, holding_cost, off.';
	END IF;
	SELECT * INTO p FROM ecauto_data.replenishment r WHERE r.sku IN (the_key, '') ORDER BY r.sku DESC LIMIT 1;
	p.sku := the_key;
	p := jsonb_populate_record(p, policy);
	INSERT INTO ecauto_data.replenishment SELECT p.*
	ON CONFLICT ON CONSTRAINT replenishment_pkey DO UPDATE
	SET (service_level, review_days, cover_days, minimum, maximum, order_cost, holding_cost, off)
		= ROW (excluded.service_level, excluded.review_days, excluded.cover_days, excluded.minimum, excluded.maximum,
		excluded.order_cost, excluded.holding_cost, excluded.off);
END
$$;
COMMENT ON FUNCTION ecauto.set_replenishment(text, jsonb) IS
'how much of a sku (key or code; NULL: of all that have no policy of their own) is kept; policy: service_level (0.95), review_days (days from one plan to the next, 0), cover_days (an order lasts so long beyond the lead time, 14), minimum and maximum (typed by hand, instead of the reorder point and what is ordered up to), order_cost and holding_cost (of a unit and year; both: orders of the economic quantity instead of cover_days), off; what is not named stays; NULL: no policy of its own; for operators';
REVOKE ALL ON FUNCTION ecauto.set_replenishment(text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.supplier_lateness(
	OUT supplier text, OUT deliveries bigint, OUT late_mean float8, OUT late_sd float8, OUT on_time float8)
RETURNS SETOF record
LANGUAGE sql STABLE ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
SELECT r.supplier::text, count(*), avg(r.late_days)::float8, stddev_samp(r.late_days)::float8, avg((r.late_days <= 0)::integer)::float8
FROM (SELECT p.supplier, p.late_days, row_number() OVER (PARTITION BY p.supplier ORDER BY p.received_at DESC, p.id DESC) AS n
	FROM ecauto_data.purchase_order p WHERE p.late_days IS NOT NULL) r
WHERE r.n <= 20
GROUP BY 1
$$;
COMMENT ON FUNCTION ecauto.supplier_lateness() IS
'how late the last 20 orders to each supplier were complete, in days after they were due (negative: early): mean, standard deviation, share of those on time; no row for one that has delivered nothing';

CREATE OR REPLACE FUNCTION ecauto.replenishment_need(as_of timestamptz DEFAULT NULL)
RETURNS TABLE (
	sku text, supplier text, arrives date, protection float8, available numeric, incoming numeric, daily float8, demand float8,
	service_level float8, reorder_point numeric, order_up_to numeric, method text)
LANGUAGE sql VOLATILE ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
WITH t AS MATERIALIZED (
	SELECT ecauto.today($1) AS day, ecauto.shop_timezone() AS zone,
		ARRAY(SELECT 'PO-' || p.id FROM ecauto_data.purchase_order p
			WHERE p.state IN ('sent', 'confirmed') AND ecauto.today(p.ordered_at) >= ecauto.today($1)) AS fresh
), lead AS MATERIALIZED (
	SELECT x.supplier, x.lead_days, ecauto.supplier_due(x.supplier, t.day, x.lead_days) AS arrives,
		CASE WHEN m.deliveries >= 3 THEN greatest(0, m.late_mean) ELSE 0 END AS late,
		CASE WHEN m.deliveries >= 3 THEN m.late_sd ELSE 0 END AS late_sd
	FROM t CROSS JOIN (SELECT DISTINCT o.supplier, coalesce(o.lead_days, s.lead_days) AS lead_days
		FROM ecauto_data.offer o JOIN ecauto_data.supplier s ON s.supplier = o.supplier WHERE s.active) x
	LEFT JOIN ecauto.supplier_lateness() m ON m.supplier = x.supplier
), shelf AS MATERIALIZED (
	SELECT r.key AS sku, sum(r.on_hand - r.reserved) AS available, sum(coalesce(r.incoming, 0)) AS incoming
	FROM ecauto.role_rows('stock') AS r (key text, on_hand numeric, reserved numeric, incoming numeric) GROUP BY 1
), item AS MATERIALIZED (
	SELECT s.key AS sku, p.service_level, p.review_days, p.cover_days, p.minimum, p.maximum, p.order_cost, p.holding_cost,
		coalesce(f.daily, 0) AS daily, coalesce(f.mean, '{}') AS mean, t.day - coalesce(f.as_of, t.day) AS place,
		coalesce(f.sd / sqrt(f.bucket_days), sqrt(f.daily), 0) AS sd, coalesce(f.bucket_days, 1) AS bucket_days,
		coalesce(f.class IN ('intermittent', 'lumpy'), false) AS rare, f.borrowed_from IS NULL AND f.observations > 1 AS own,
		coalesce(h.available, 0) AS available, coalesce(h.incoming, 0) AS incoming
	FROM t CROSS JOIN ecauto_data.seen_sku s
	LEFT JOIN ecauto_data.replenishment r ON r.sku = s.key
	JOIN ecauto_data.replenishment p ON p.sku = coalesce(r.sku, '')
	LEFT JOIN ecauto_data.sku_forecast f ON f.sku = s.key
	LEFT JOIN shelf h ON h.sku = s.key COLLATE "default"
	WHERE s.active AND s.track_stock AND NOT p.off AND (f.sku IS NOT NULL OR p.minimum IS NOT NULL)
), way AS MATERIALIZED (
	SELECT i.*, o.supplier, l.arrives, l.late_sd, d.days, d.demand,
		ecauto.reorder_point(d.demand, i.sd * sqrt(greatest(1, d.demand / nullif(d.days * i.daily, 0))), d.days,
			i.service_level, l.late_sd, i.rare) AS point,
		CASE WHEN i.order_cost IS NOT NULL AND i.holding_cost IS NOT NULL
			THEN ecauto.economic_order_quantity(i.order_cost, i.holding_cost, i.daily * 365)
			ELSE ecauto.forecast_sum(i.mean, i.daily, i.place + ceil(d.days)::integer, i.cover_days) END AS lot
	FROM t CROSS JOIN item i
	JOIN ecauto_data.offer o ON o.sku = i.sku COLLATE "C"
	JOIN ecauto_data.supplier s ON s.supplier = o.supplier
	JOIN lead l ON l.supplier = o.supplier AND l.lead_days = coalesce(o.lead_days, s.lead_days)
	CROSS JOIN LATERAL (SELECT l.arrives - t.day + l.late + i.review_days AS days) x
	CROSS JOIN LATERAL (SELECT x.days, ecauto.forecast_sum(i.mean, i.daily, i.place, x.days) AS demand) d
), near AS MATERIALIZED (
	-- the rest has enough whatever is done about it
	SELECT w.* FROM way w WHERE w.sku IN (
		SELECT n.sku FROM way n WHERE n.available <= coalesce(n.minimum, 2 * n.point + 10) + n.lot)
), series AS MATERIALIZED (
	-- of many skus it is quicker to read all demand than to look for each in it
	SELECT d.sku, d.series FROM (SELECT array_agg(DISTINCT n.sku) AS skus FROM near n WHERE n.rare AND n.own AND n.minimum IS NULL HAVING count(*) > 0) a
	CROSS JOIN LATERAL ecauto.demand_daily(CASE WHEN cardinality(a.skus) <= 100 THEN a.skus END, (SELECT t.day FROM t)) d
	WHERE d.sku = ANY (a.skus) OR cardinality(a.skus) > 100
), pointed AS (
	SELECT n.*, CASE WHEN n.minimum IS NOT NULL THEN n.minimum ELSE ceil((CASE WHEN q.point IS NULL THEN n.point
			WHEN n.late_sd > 0 THEN greatest(q.point, n.point) ELSE q.point END)::numeric - 0.000001) END AS at_point,
		CASE WHEN n.minimum IS NOT NULL THEN 'by hand' WHEN q.point IS NOT NULL THEN 'negative binomial and past windows'
			WHEN n.rare THEN 'negative binomial' ELSE 'normal' END AS way
	FROM near n
	LEFT JOIN series e ON e.sku = n.sku COLLATE "C" AND n.rare AND n.own AND n.minimum IS NULL
	LEFT JOIN LATERAL (SELECT ecauto.demand_quantile(
		CASE WHEN n.bucket_days = 1 THEN e.series ELSE ecauto.demand_bucket(e.series, n.bucket_days) END,
		n.days / n.bucket_days, n.service_level) AS point WHERE e.sku IS NOT NULL) q ON true
)
SELECT p.sku, p.supplier, p.arrives, p.days, p.available, p.incoming + coalesce(c.units, 0), p.daily, p.demand,
	p.service_level, p.at_point, coalesce(p.maximum, p.at_point + ceil(p.lot::numeric - 0.000001)), p.way
FROM t CROSS JOIN pointed p
LEFT JOIN LATERAL (
	-- what comes later does not help until then; what was ordered today is never ordered again
	SELECT sum(i.units) AS units FROM ecauto_data.stock_incoming i
	WHERE i.sku = p.sku COLLATE "C" AND (i.due_at < (p.arrives + 1)::timestamp AT TIME ZONE t.zone OR i.reference = ANY (t.fresh))) c ON true
$$;
COMMENT ON FUNCTION ecauto.replenishment_need(timestamptz) IS
'for each sku (key) that is not far from its reorder point and each supplier that offers it: the day on which an order arrives, days until the one after could (protection: lead time, mean lateness and review), available units, what comes in time (what the shop itself says, and purchase orders due by then), demand a day and over those days, reorder point and what is ordered up to; for operators';
REVOKE ALL ON FUNCTION ecauto.replenishment_need(timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.plan_replenishment(as_of timestamptz DEFAULT NULL)
RETURNS TABLE (
	purchase_order bigint, state text, supplier text, sku text, qty numeric, unit_price numeric, currency text, arrives date,
	"position" numeric, reorder_point numeric, order_up_to numeric, order_goods numeric, order_freight numeric, missing numeric,
	reason text, reasoning jsonb)
LANGUAGE plpgsql VOLATILE ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	plan_at constant timestamptz := coalesce(as_of, ecauto.now());
	first_day constant date := ecauto.today(as_of);
	compared constant text := ecauto.purchase_currency();
	one record;
	done bigint[];
	impossible jsonb;
BEGIN
	IF NOT isfinite(plan_at) THEN
		RAISE EXCEPTION 'time of a plan must be finite' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	PERFORM pg_advisory_xact_lock(25955, 61);
	IF NOT EXISTS (SELECT FROM ecauto_data.sku_forecast f WHERE f.as_of BETWEEN first_day - 7 AND first_day)
			AND EXISTS (SELECT FROM ecauto_data.role_seen r WHERE r.role = 'order' AND r.loaded_at IS NOT NULL) THEN
		PERFORM ecauto.forecast_all(first_day);
	END IF;
	-- what nobody has approved is made anew
	DELETE FROM ecauto_data.purchase_order_line l USING ecauto_data.purchase_order p
	WHERE p.id = l.order_id AND p.state IN ('proposed', 'held');

	WITH need AS MATERIALIZED (
		SELECT n.*, n.available + n.incoming AS pos, row_number() OVER () AS place FROM ecauto.replenishment_need(as_of) n
		WHERE n.order_up_to > n.available + n.incoming
	), arrays AS (
		SELECT array_agg(n.sku ORDER BY n.place) AS skus, array_agg(n.order_up_to - n.available - n.incoming ORDER BY n.place) AS needs FROM need n
	), rate AS MATERIALIZED (
		SELECT c.currency, ecauto.exchange_rate(c.currency, compared, first_day) AS rate
		FROM (SELECT DISTINCT s.currency FROM ecauto_data.supplier s) c
	), whole AS MATERIALIZED (
		-- of each sku the offer whose unit costs least, with its part of the freight of an order that has others too; what
		-- is more than needed is worth its price if it sells within 90 days of that, and nothing if it does not
		SELECT DISTINCT ON (n.sku) n.*, q.qty AS units, q.price, q.qty * q.price AS goods, s.freight, s.free_freight_from, s.minimum_order
		FROM arrays a
		CROSS JOIN LATERAL ecauto.offer_quantities(a.skus, a.needs, first_day) q
		JOIN need n ON n.place = q.place AND n.supplier = q.supplier
		JOIN ecauto_data.supplier s ON s.supplier = q.supplier
		JOIN rate r ON r.currency = s.currency
		WHERE q.problem IS NULL AND r.rate IS NOT NULL
		ORDER BY n.sku, (q.qty * q.price + s.freight * coalesce(least(1, q.qty * q.price / nullif(s.free_freight_from, 0)), 1)) * r.rate
				/ least(q.qty, n.order_up_to - n.pos + 90 * coalesce(n.daily, 0)),
			q.qty, n.arrives, n.supplier
	), short AS MATERIALIZED (
		SELECT n.* FROM need n WHERE n.pos <= n.reorder_point AND NOT EXISTS (SELECT FROM whole w WHERE w.sku = n.sku)
	), way AS (
		SELECT w.* FROM whole w
		UNION ALL
		-- where nobody has enough, the most that one has
		(SELECT DISTINCT ON (n.sku) n.*, q.qty, q.price, q.qty * q.price, s.freight, s.free_freight_from, s.minimum_order
		FROM short n
		JOIN ecauto_data.offer o ON o.supplier = n.supplier COLLATE "C" AND o.sku = n.sku COLLATE "C"
		JOIN ecauto_data.supplier s ON s.supplier = o.supplier
		JOIN rate r ON r.currency = s.currency AND r.rate IS NOT NULL
		CROSS JOIN LATERAL (SELECT floor(o.stock / o.pack) * o.pack AS units) u
		CROSS JOIN LATERAL ecauto.offer_quantities(ARRAY[n.sku], ARRAY[u.units], first_day) q
		WHERE u.units > 0 AND q.supplier = n.supplier AND q.problem IS NULL
		ORDER BY n.sku, q.qty DESC, q.price * r.rate, n.arrives, n.supplier)
	), rest AS (
		SELECT w.*, w.pos <= w.reorder_point AS due,
			sum(w.goods) FILTER (WHERE w.pos <= w.reorder_point) OVER (PARTITION BY w.supplier) AS due_goods,
			sum(w.goods) OVER (PARTITION BY w.supplier) AS all_goods,
			-- what will be due soonest comes first
			sum(w.goods) OVER (PARTITION BY w.supplier ORDER BY w.pos > w.reorder_point,
				CASE WHEN w.pos > w.reorder_point THEN (w.pos - w.reorder_point)::float8 / nullif(w.daily, 0) ELSE 0 END, w.sku
				ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - w.goods AS before
		FROM way w
	), chosen AS MATERIALIZED (
		SELECT r.* FROM rest r
		CROSS JOIN LATERAL (SELECT CASE
			WHEN r.freight > 0 AND r.free_freight_from > r.due_goods AND r.all_goods >= r.free_freight_from THEN r.free_freight_from
			WHEN r.minimum_order > r.due_goods AND r.all_goods >= r.minimum_order THEN r.minimum_order ELSE 0 END AS goods) target
		WHERE r.due OR (r.due_goods > 0 AND r.before < target.goods)
	), made AS (
		INSERT INTO ecauto_data.purchase_order AS p (supplier, state, currency, goods, freight, missing, planned_at, dated, due_on)
		SELECT s.supplier, CASE WHEN sum(c.goods) < s.minimum_order THEN 'held' ELSE 'proposed' END, s.currency, sum(c.goods),
			CASE WHEN sum(c.goods) >= s.free_freight_from THEN 0 ELSE s.freight END,
			greatest(0, s.minimum_order - sum(c.goods)), plan_at, as_of IS NOT NULL, max(c.arrives)
		FROM chosen c JOIN ecauto_data.supplier s ON s.supplier = c.supplier COLLATE "C"
		GROUP BY s.supplier
		ON CONFLICT (supplier) WHERE state IN ('proposed', 'held') DO UPDATE
		SET (state, currency, goods, freight, missing, planned_at, dated, due_on) = ROW (excluded.state, excluded.currency,
			excluded.goods, excluded.freight, excluded.missing, excluded.planned_at, excluded.dated, excluded.due_on)
		RETURNING p.id, p.supplier
	), lines AS (
		INSERT INTO ecauto_data.purchase_order_line (order_id, sku, supplier_sku, qty, unit_price, reasoning)
		SELECT m.id, c.sku, o.supplier_sku, c.units, c.price, jsonb_build_object(
			'available', c.available, 'incoming', c.incoming, 'position', c.pos, 'arrives', c.arrives,
			'days', round(c.protection::numeric, 1), 'daily', round(c.daily::numeric, 3), 'demand', round(c.demand::numeric, 1),
			'service_level', c.service_level, 'method', c.method, 'reorder_point', c.reorder_point, 'order_up_to', c.order_up_to,
			'needed', c.order_up_to - c.pos, 'pack', o.pack, 'moq', o.moq, 'early', NOT c.due)
		FROM chosen c JOIN made m ON m.supplier = c.supplier COLLATE "C"
		JOIN ecauto_data.offer o ON o.supplier = m.supplier AND o.sku = c.sku COLLATE "C"
		RETURNING order_id
	)
	SELECT coalesce(array_agg(DISTINCT l.order_id), '{}'), (
		SELECT coalesce(jsonb_agg(to_jsonb(n) ORDER BY n.sku, n.supplier), '[]') FROM short n WHERE NOT EXISTS (SELECT FROM way w WHERE w.sku = n.sku))
	INTO done, impossible FROM lines l;
	DELETE FROM ecauto_data.purchase_order p WHERE p.state IN ('proposed', 'held') AND p.id <> ALL (done);

	FOR one IN SELECT p.id, p.supplier FROM ecauto_data.purchase_order p JOIN ecauto_data.supplier s ON s.supplier = p.supplier
			WHERE p.id = ANY (done) AND p.state = 'proposed' AND p.goods <= s.auto_approve ORDER BY p.id LOOP
		BEGIN
			PERFORM ecauto.approve_purchase_order(one.id);
		EXCEPTION WHEN OTHERS THEN
			RAISE WARNING 'purchase order % to supplier "%" could not be sent: %', one.id, one.supplier, SQLERRM
				USING HINT = 'It stays proposed.';
		END;
	END LOOP;

	RETURN QUERY
	SELECT p.id, p.state::text, p.supplier::text, l.sku::text, l.qty, l.unit_price, p.currency::text, (l.reasoning ->> 'arrives')::date,
		(l.reasoning ->> 'position')::numeric, (l.reasoning ->> 'reorder_point')::numeric, (l.reasoning ->> 'order_up_to')::numeric,
		p.goods, p.freight, p.missing,
		format('%s available and %s coming in time are %s the reorder point %s (%s units in %s days, service level %s%%, %s); %s needed to have %s%s',
			trim_scale((l.reasoning ->> 'available')::numeric), trim_scale((l.reasoning ->> 'incoming')::numeric),
			CASE WHEN (l.reasoning ->> 'early')::boolean THEN 'not far above' ELSE 'not above' END,
			trim_scale((l.reasoning ->> 'reorder_point')::numeric), l.reasoning ->> 'demand', l.reasoning ->> 'days',
			trim_scale(100 * (l.reasoning ->> 'service_level')::numeric), l.reasoning ->> 'method',
			trim_scale((l.reasoning ->> 'needed')::numeric), trim_scale((l.reasoning ->> 'order_up_to')::numeric),
			CASE WHEN (l.reasoning ->> 'pack')::numeric <> 1 THEN ', in packs of ' || trim_scale((l.reasoning ->> 'pack')::numeric) ELSE '' END)
		|| CASE WHEN l.qty > greatest((l.reasoning ->> 'moq')::numeric, ceil((l.reasoning ->> 'needed')::numeric / (l.reasoning ->> 'pack')::numeric)
			* (l.reasoning ->> 'pack')::numeric) THEN '; more for the price of so many' ELSE '' END
		|| CASE WHEN l.qty < (l.reasoning ->> 'needed')::numeric THEN '; nobody has more' ELSE '' END
		|| CASE WHEN (l.reasoning ->> 'early')::boolean THEN '; ordered early to fill up the order' ELSE '' END
		|| CASE WHEN p.missing > 0 THEN format('; held, %s %s below the minimum order', trim_scale(p.missing), p.currency) ELSE '' END,
		l.reasoning
	FROM ecauto_data.purchase_order p JOIN ecauto_data.purchase_order_line l ON l.order_id = p.id
	WHERE p.id = ANY (done)
	ORDER BY p.id, l.sku;

	-- what is needed, and nobody can deliver
	RETURN QUERY
	WITH short AS (
		SELECT (e ->> 'sku') AS sku, e ->> 'supplier' AS supplier, (e ->> 'pos')::numeric AS pos, (e ->> 'reorder_point')::numeric AS at_point,
			(e ->> 'order_up_to')::numeric AS up_to, (e ->> 'available')::numeric AS available, (e ->> 'incoming')::numeric AS incoming
		FROM jsonb_array_elements(impossible) e
	), why AS (
		SELECT DISTINCT ON (n.sku, n.supplier) n.*, coalesce(q.problem, format('no exchange rate from %s to %s', s.currency, compared)) AS problem
		FROM short n
		JOIN ecauto_data.supplier s ON s.supplier = n.supplier COLLATE "C"
		CROSS JOIN LATERAL ecauto.offer_quantities(ARRAY[n.sku], ARRAY[n.up_to - n.pos], first_day) q
		WHERE q.supplier = n.supplier
		ORDER BY n.sku, n.supplier, q.qty
	)
	SELECT NULL::bigint, 'impossible', NULL::text, w.sku, NULL::numeric, NULL::numeric, NULL::text, NULL::date, max(w.pos), max(w.at_point), max(w.up_to),
		NULL::numeric, NULL::numeric, NULL::numeric,
		format('%s available and %s coming in time are not above the reorder point %s; nobody can deliver %s: %s', trim_scale(max(w.available)),
			trim_scale(max(w.incoming)), trim_scale(max(w.at_point)), trim_scale(max(w.up_to - w.pos)),
			string_agg(format('%s: %s', w.supplier, w.problem), '; ' ORDER BY w.supplier)),
		jsonb_build_object('available', max(w.available), 'incoming', max(w.incoming), 'position', max(w.pos), 'reorder_point', max(w.at_point),
			'order_up_to', max(w.up_to), 'offers', jsonb_object_agg(w.supplier, w.problem))
	FROM why w GROUP BY w.sku ORDER BY w.sku;
END
$$;
COMMENT ON FUNCTION ecauto.plan_replenishment(timestamptz) IS
'proposes orders to suppliers as of a time (NULL: now), one for each, of every sku whose stock, with what comes before an order would, is at or below its reorder point, and returns their lines; proposals that were not approved are made anew and keep their id; those within the supplier''s auto_approve leave at once; state held: missing is what the order lacks to the supplier''s minimum; where nobody has enough, the most that one has is proposed, and a sku that nobody can deliver is a row of state impossible, of no order, whose reason says why; reasoning: the numbers behind qty; makes the forecast if there is none of the last week; for operators';
REVOKE ALL ON FUNCTION ecauto.plan_replenishment(timestamptz) FROM PUBLIC;

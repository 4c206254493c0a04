-- How much to order, of whom, and when: reorder points, proposals, purchase orders.

CREATE OR REPLACE FUNCTION ecauto.forecast_sum(mean float8[], daily float8, first integer, days float8)
RETURNS float8
AS 'MODULE_PATHNAME', 'ecauto_forecast_sum'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.forecast_sum(float8[], float8, integer, float8) IS
'units of so many days (the last may be a fraction) of a forecast by day, from place "first" (from 0) on; days outside of it have daily units';

CREATE OR REPLACE FUNCTION ecauto.lead_units(periods integer[], units float8[], lead float8)
RETURNS float8
AS 'MODULE_PATHNAME', 'ecauto_lead_units'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.lead_units(integer[], float8[], float8) IS
'units of a lead time, of which units[i] are those of periods[i] whole periods, as ecauto.demand_quantile() interpolates between whole ones; NULL if one that is needed is not there';

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

CREATE OR REPLACE FUNCTION ecauto.supplier_leads(as_of timestamptz DEFAULT NULL)
RETURNS TABLE (supplier text, lead_days integer, arrives date, days float8, late_sd float8)
LANGUAGE sql STABLE ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
SELECT x.supplier, x.lead_days, d.arrives, d.arrives - t.day + CASE WHEN m.deliveries >= 3 THEN greatest(0, m.late_mean) ELSE 0 END,
	CASE WHEN m.deliveries >= 3 THEN m.late_sd ELSE 0 END
FROM (SELECT ecauto.today($1) AS day) t
CROSS JOIN (SELECT DISTINCT o.supplier, coalesce(o.lead_days, s.lead_days) AS lead_days
	FROM ecauto_data.offer o JOIN ecauto_data.supplier s ON s.supplier = o.supplier WHERE s.active) x
CROSS JOIN LATERAL (SELECT ecauto.supplier_due(x.supplier, t.day, x.lead_days) AS arrives) d
LEFT JOIN ecauto.supplier_lateness() m ON m.supplier = x.supplier
$$;
COMMENT ON FUNCTION ecauto.supplier_leads(timestamptz) IS
'for each active supplier and each lead time (working days) of its offers: the day on which an order of the day of as_of (NULL: now) arrives, and in calendar days how long that is with mean lateness, and the standard deviation of lateness; late are suppliers with three deliveries or more';

CREATE OR REPLACE FUNCTION ecauto.refresh_lead_units(as_of timestamptz DEFAULT NULL)
RETURNS bigint
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
WITH lead AS MATERIALIZED (
	SELECT * FROM ecauto.supplier_leads($1)
), want AS MATERIALIZED (
	SELECT w.sku, w.as_of, w.bucket_days, w.service_level, array_agg(DISTINCT k.periods) AS periods
	FROM (
		SELECT f.sku, f.as_of, f.bucket_days, p.service_level,
			CASE WHEN f.lead_level = p.service_level THEN f.lead_periods ELSE '{}' END AS known,
			ARRAY[floor((l.days + p.review_days) / f.bucket_days)::integer, ceil((l.days + p.review_days) / f.bucket_days)::integer] AS periods
		FROM ecauto_data.offer o
		JOIN ecauto_data.supplier s ON s.supplier = o.supplier
		JOIN lead l ON l.supplier = o.supplier AND l.lead_days = coalesce(o.lead_days, s.lead_days)
		JOIN ecauto_data.sku_forecast f ON f.sku = o.sku
		LEFT JOIN ecauto_data.replenishment r ON r.sku = o.sku
		JOIN ecauto_data.replenishment p ON p.sku = coalesce(r.sku, '')
		WHERE f.class IN ('intermittent', 'lumpy') AND f.borrowed_from IS NULL AND f.observations > 1
			AND NOT p.off AND p.minimum IS NULL AND l.days + p.review_days > 0) w
	CROSS JOIN LATERAL unnest(w.known || w.periods) k (periods)
	WHERE NOT w.known @> w.periods
	GROUP BY 1, 2, 3, 4
), series AS MATERIALIZED (
	-- of many skus it is quicker to read all demand than to look for each in it
	SELECT d.sku, a.as_of, d.series
	FROM (SELECT w.as_of, array_agg(w.sku) AS skus FROM want w GROUP BY 1) a
	CROSS JOIN LATERAL ecauto.demand_daily(CASE WHEN cardinality(a.skus) <= 1000 THEN a.skus END, a.as_of) d
), written AS (
	UPDATE ecauto_data.sku_forecast f SET lead_level = w.service_level, lead_periods = w.periods, lead_units = ARRAY(
		SELECT ecauto.demand_quantile(b.series, k.periods, w.service_level) FROM unnest(w.periods) WITH ORDINALITY k (periods, place) ORDER BY k.place)
	FROM want w
	LEFT JOIN series e ON e.sku = w.sku COLLATE "default" AND e.as_of = w.as_of
	CROSS JOIN LATERAL (SELECT CASE WHEN w.bucket_days = 1 THEN e.series ELSE ecauto.demand_bucket(e.series, w.bucket_days) END AS series) b
	WHERE f.sku = w.sku
	RETURNING 1
)
SELECT count(*) FROM written
$$;
COMMENT ON FUNCTION ecauto.refresh_lead_units(timestamptz) IS
'computes, of skus whose demand is rare, what the lead times of their offers as of a day (NULL: today) need of the distribution of demand, unless it is known since the forecast was made, and returns of how many skus; ecauto.forecast_all() and ecauto.plan_replenishment() do it; for operators';
REVOKE ALL ON FUNCTION ecauto.refresh_lead_units(timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.replenishment_need(as_of timestamptz DEFAULT NULL)
RETURNS TABLE (
	sku text, supplier text, arrives date, protection float8, available numeric, incoming numeric, daily float8, demand float8,
	service_level float8, reorder_point numeric, order_up_to numeric, method text)
LANGUAGE sql VOLATILE ROWS 10000
SET search_path = pg_catalog, pg_temp
AS $$
WITH t AS MATERIALIZED (
	SELECT ecauto.today($1) AS day, ecauto.shop_timezone() AS zone,
		ARRAY(SELECT 'PO-' || p.id FROM ecauto_data.purchase_order p
			WHERE p.state IN ('sent', 'confirmed') AND ecauto.today(p.ordered_at) >= ecauto.today($1)) AS fresh
), lead AS MATERIALIZED (
	SELECT * FROM ecauto.supplier_leads($1)
), shelf AS MATERIALIZED (
	SELECT r.key COLLATE "C" AS sku, sum(r.on_hand - r.reserved) AS available, sum(coalesce(r.incoming, 0)) AS incoming
	FROM ecauto.role_rows('stock') AS r (key text, on_hand numeric, reserved numeric, incoming numeric) GROUP BY 1
), way AS (
	SELECT o.sku, o.supplier, l.arrives, l.late_sd, d.days, d.demand, p.service_level, p.minimum, p.maximum, f.daily,
		coalesce(h.available, 0) AS available, coalesce(h.incoming, 0) AS incoming, c.rare, c.units,
		CASE WHEN p.minimum IS NOT NULL THEN p.minimum::float8
			WHEN c.units IS NOT NULL AND l.late_sd = 0 THEN c.units
			ELSE greatest(c.units, ecauto.reorder_point(d.demand,
				coalesce(f.sd / sqrt(f.bucket_days), sqrt(f.daily), 0) * sqrt(greatest(1, d.demand / nullif(d.days * f.daily, 0))),
				d.days, p.service_level, l.late_sd, coalesce(c.rare, false))) END AS point,
		CASE WHEN p.order_cost IS NOT NULL AND p.holding_cost IS NOT NULL
			THEN ecauto.economic_order_quantity(p.order_cost, p.holding_cost, coalesce(f.daily, 0) * 365)
			ELSE ecauto.forecast_sum(coalesce(f.mean, '{}'), coalesce(f.daily, 0), coalesce(t.day - f.as_of, 0) + ceil(d.days)::integer, p.cover_days) END AS lot
	FROM t CROSS JOIN ecauto_data.offer o
	JOIN ecauto_data.supplier s ON s.supplier = o.supplier
	JOIN lead l ON l.supplier = o.supplier AND l.lead_days = coalesce(o.lead_days, s.lead_days)
	JOIN ecauto_data.seen_sku k ON k.key = o.sku AND k.active AND k.track_stock
	LEFT JOIN ecauto_data.replenishment r ON r.sku = o.sku
	JOIN ecauto_data.replenishment p ON p.sku = coalesce(r.sku, '') AND NOT p.off
	LEFT JOIN ecauto_data.sku_forecast f ON f.sku = o.sku
	LEFT JOIN shelf h ON h.sku = o.sku
	CROSS JOIN LATERAL (SELECT l.days + p.review_days AS days,
		ecauto.forecast_sum(coalesce(f.mean, '{}'), coalesce(f.daily, 0), coalesce(t.day - f.as_of, 0), l.days + p.review_days) AS demand) d
	CROSS JOIN LATERAL (SELECT f.class IN ('intermittent', 'lumpy') AS rare,
		CASE WHEN f.lead_level = p.service_level THEN ecauto.lead_units(f.lead_periods, f.lead_units, d.days / f.bucket_days) END AS units) c
	WHERE f.sku IS NOT NULL OR p.minimum IS NOT NULL
), near AS MATERIALIZED (
	SELECT w.*, coalesce(w.minimum, ceil(w.point::numeric - 0.000001)) AS at_point
	FROM way w
	-- the rest has enough whatever is under way
	WHERE w.available + w.incoming < coalesce(w.maximum::float8, w.point + w.lot + 2)
)
SELECT n.sku, n.supplier, n.arrives, n.days, n.available, n.incoming + coalesce(c.units, 0), coalesce(n.daily, 0), n.demand,
	n.service_level, n.at_point, coalesce(n.maximum, n.at_point + ceil(n.lot::numeric - 0.000001)),
	CASE WHEN n.minimum IS NOT NULL THEN 'by hand' WHEN n.units IS NOT NULL THEN 'negative binomial and past windows'
		WHEN n.rare THEN 'negative binomial' ELSE 'normal' END
FROM t CROSS JOIN near n
LEFT JOIN LATERAL (
	-- what comes later does not help until then; what was ordered today is never ordered again
	SELECT sum(i.units) AS units FROM ecauto_data.stock_incoming i
	WHERE i.sku = n.sku AND (i.due_at < (n.arrives + 1)::timestamp AT TIME ZONE t.zone OR i.reference = ANY (t.fresh))) c ON true
$$;
COMMENT ON FUNCTION ecauto.replenishment_need(timestamptz) IS
'for each sku (key) whose stock is not above what is ordered up to and each supplier that offers it: the day on which an order arrives, days until the one after could (protection: lead time, mean lateness and review), available units, what comes in time (what the shop itself says, and purchase orders due by then), demand a day and over those days, reorder point and what is ordered up to; for operators';
REVOKE ALL ON FUNCTION ecauto.replenishment_need(timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.purchase_lock()
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
UPDATE ecauto_data.purchase_setting SET currency = currency
$$;
COMMENT ON FUNCTION ecauto.purchase_lock() IS
'lets one session at a time plan, approve, confirm, receive or cancel purchase orders, or import offers, until its transaction ends; a transaction that cannot see what another one did meanwhile (REPEATABLE READ) fails with a serialization failure instead of ordering twice; for operators';
REVOKE ALL ON FUNCTION ecauto.purchase_lock() FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.cheapest_offers(
	places bigint[], skus text[], needs numeric[], useful float8[], suppliers text[], arrives date[], day date)
RETURNS TABLE (place bigint, units numeric, price numeric, goods numeric)
LANGUAGE sql STABLE ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
WITH rate AS MATERIALIZED (
	SELECT s.supplier, s.freight, s.free_freight_from, ecauto.exchange_rate(s.currency, ecauto.purchase_currency(), $7) AS rate
	FROM ecauto_data.supplier s
)
-- subscripts, not a join, whose size nobody could estimate
SELECT DISTINCT ON (q.sku) ($1)[q.place], q.qty, q.price, q.qty * q.price
FROM ecauto.offer_quantities($2, $3, $7, $5) q
JOIN rate r ON r.supplier = q.supplier COLLATE "C"
WHERE q.problem IS NULL AND r.rate IS NOT NULL
-- with its part of the freight of an order that has others too; what is beyond useful is worth nothing
ORDER BY q.sku, (q.qty * q.price + r.freight * coalesce(least(1, q.qty * q.price / nullif(r.free_freight_from, 0)), 1)) * r.rate
		/ least(q.qty, ($4)[q.place]),
	q.qty, ($6)[q.place], q.supplier
$$;
COMMENT ON FUNCTION ecauto.cheapest_offers(bigint[], text[], numeric[], float8[], text[], date[], date) IS
'of each sku (key) the way to have what is needed of it whose unit costs least; each way is a place, a sku, units needed and units that are of use, a supplier, and when that delivers; units to order, price of one and of all in the supplier''s currency; none for a sku that cannot be had; for operators';
REVOKE ALL ON FUNCTION ecauto.cheapest_offers(bigint[], text[], numeric[], float8[], text[], date[], date) FROM PUBLIC;

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
	PERFORM ecauto.progress_begin('plan_replenishment');
	PERFORM ecauto.purchase_lock();
	IF NOT EXISTS (SELECT FROM ecauto_data.sku_forecast f WHERE f.as_of BETWEEN first_day - 7 AND first_day)
			AND EXISTS (SELECT FROM ecauto_data.role_seen r WHERE r.role = 'order' AND r.loaded_at IS NOT NULL) THEN
		PERFORM ecauto.forecast_all(first_day);
	END IF;
	PERFORM ecauto.progress_phase('demand of lead times');
	PERFORM ecauto.refresh_lead_units(as_of);
	PERFORM ecauto.progress_phase('orders');
	-- what nobody has approved is made anew
	DELETE FROM ecauto_data.purchase_order_line l USING ecauto_data.purchase_order p
	WHERE p.id = l.order_id AND p.state IN ('proposed', 'held');

	WITH need AS MATERIALIZED (
		-- what is more than needed is worth its price if it sells within 90 days of that, and nothing if it does not
		SELECT n.*, n.available + n.incoming AS pos, row_number() OVER () AS place,
			n.order_up_to - n.available - n.incoming + 90 * n.daily AS useful,
			bool_or(n.available + n.incoming <= n.reorder_point) OVER (PARTITION BY n.sku) AS urgent
		FROM ecauto.replenishment_need(as_of) n
		WHERE n.order_up_to > n.available + n.incoming
	), rate AS MATERIALIZED (
		SELECT c.currency, ecauto.exchange_rate(c.currency, compared, first_day) AS rate
		FROM (SELECT DISTINCT s.currency FROM ecauto_data.supplier s) c
	), whole AS MATERIALIZED (
		SELECT n.*, c.units, c.price, c.goods
		FROM (SELECT array_agg(x.place) AS places, array_agg(x.sku) AS skus, array_agg(x.order_up_to - x.pos) AS needs, array_agg(x.useful) AS useful,
				array_agg(x.supplier) AS suppliers, array_agg(x.arrives) AS arrives
			FROM need x WHERE x.urgent) a
		CROSS JOIN LATERAL ecauto.cheapest_offers(a.places, a.skus, a.needs, a.useful, a.suppliers, a.arrives, first_day) c
		JOIN need n ON n.place = c.place
	), short AS MATERIALIZED (
		SELECT n.* FROM need n WHERE n.pos <= n.reorder_point AND NOT EXISTS (SELECT FROM whole w WHERE w.sku = n.sku)
	), urgent AS MATERIALIZED (
		SELECT w.* FROM whole w
		UNION ALL
		-- where nobody has enough, the most that one has
		(SELECT DISTINCT ON (n.sku) n.*, q.qty, q.price, q.qty * q.price
		FROM short n
		JOIN ecauto_data.offer o ON o.supplier = n.supplier COLLATE "C" AND o.sku = n.sku COLLATE "C"
		JOIN ecauto_data.supplier s ON s.supplier = o.supplier
		JOIN rate r ON r.currency = s.currency AND r.rate IS NOT NULL
		CROSS JOIN LATERAL (SELECT floor(o.stock / o.pack) * o.pack AS units) u
		CROSS JOIN LATERAL ecauto.offer_quantities(ARRAY[n.sku], ARRAY[u.units], first_day, ARRAY[n.supplier]) q
		WHERE u.units > 0 AND q.problem IS NULL
		ORDER BY n.sku, q.qty DESC, q.price * r.rate, n.arrives, n.supplier)
	), unfilled AS MATERIALIZED (
		-- whose order what is not urgent could free of freight, or make large enough
		SELECT s.supplier FROM urgent u JOIN ecauto_data.supplier s ON s.supplier = u.supplier
		WHERE u.pos <= u.reorder_point
		GROUP BY s.supplier
		HAVING (s.freight > 0 AND s.free_freight_from > sum(u.goods)) OR s.minimum_order > sum(u.goods)
	), way AS (
		SELECT w.*, s.freight, s.free_freight_from, s.minimum_order
		FROM (SELECT * FROM urgent
			UNION ALL
			SELECT n.*, c.units, c.price, c.goods
			FROM (SELECT array_agg(x.place) AS places, array_agg(x.sku) AS skus, array_agg(x.order_up_to - x.pos) AS needs, array_agg(x.useful) AS useful,
					array_agg(x.supplier) AS suppliers, array_agg(x.arrives) AS arrives
				FROM need x WHERE NOT x.urgent AND x.sku IN (SELECT y.sku FROM need y JOIN unfilled f ON f.supplier = y.supplier COLLATE "C")) a
			CROSS JOIN LATERAL ecauto.cheapest_offers(a.places, a.skus, a.needs, a.useful, a.suppliers, a.arrives, first_day) c
			JOIN need n ON n.place = c.place) w
		JOIN ecauto_data.supplier s ON s.supplier = w.supplier COLLATE "C"
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
	PERFORM ecauto.progress_end();
END
$$;
COMMENT ON FUNCTION ecauto.plan_replenishment(timestamptz) IS
'proposes orders to suppliers as of a time (NULL: now), one for each, of every sku whose stock, with what comes before an order would, is at or below its reorder point, and returns their lines; proposals that were not approved are made anew and keep their id; those within the supplier''s auto_approve leave at once; state held: missing is what the order lacks to the supplier''s minimum; where nobody has enough, the most that one has is proposed, and a sku that nobody can deliver is a row of state impossible, of no order, whose reason says why; reasoning: the numbers behind qty; makes the forecast if there is none of the last week; for operators';
REVOKE ALL ON FUNCTION ecauto.plan_replenishment(timestamptz) FROM PUBLIC;

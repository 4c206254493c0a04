-- Whom to buy from: suppliers, their calendars and offers, what a quantity costs.

CREATE OR REPLACE FUNCTION ecauto.set_supplier(supplier text, definition jsonb DEFAULT '{}')
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	unknown text;
	d ecauto_data.supplier;
BEGIN
	IF supplier IS NULL OR supplier = '' OR jsonb_typeof(definition) IS DISTINCT FROM 'object' THEN
		RAISE EXCEPTION 'a supplier must have a name and a definition that is an object'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	SELECT string_agg(quote_ident(k), ', ') INTO unknown FROM jsonb_object_keys(definition) k
	WHERE k NOT IN ('title', 'currency', 'lead_days', 'working_days', 'freight', 'free_freight_from', 'minimum_order',
		'auto_approve', 'send_as', 'endpoint', 'path', 'recipient', 'template', 'location', 'feed_keep', 'active');
	IF unknown IS NOT NULL THEN
		RAISE EXCEPTION 'a supplier has no %', unknown
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'It may have title, currency, lead_days, working_days, freight, free_freight_from, minimum_order, auto_approve, send_as, endpoint, path, recipient, template, location, feed_keep, active.';
	END IF;
	-- what the definition does not name stays as it is
	SELECT * INTO d FROM ecauto_data.supplier s WHERE s.supplier = set_supplier.supplier FOR UPDATE;
	IF NOT FOUND THEN
		d.supplier := supplier;
		d.title := supplier;
		d.lead_days := 5;
		d.working_days := '{1,2,3,4,5}';
		d.freight := 0;
		d.minimum_order := 0;
		d.send_as := CASE WHEN definition ? 'recipient' THEN 'mail' WHEN definition ? 'endpoint' THEN 'json' ELSE 'none' END;
		d.path := '';
		d.active := true;
	END IF;
	d := jsonb_populate_record(d, CASE WHEN jsonb_typeof(definition -> 'working_days') = 'array'
		THEN definition ELSE definition - 'working_days' END);
	d.currency := ecauto.price_currency(d.currency);
	IF d.currency IS NULL THEN
		RAISE EXCEPTION 'a supplier must have a currency'
			USING ERRCODE = 'invalid_parameter_value', HINT = 'It is a code of ISO 4217, such as EUR.';
	ELSIF d.send_as IN ('json') AND d.endpoint IS NULL OR d.send_as IN ('csv', 'mail') AND d.recipient IS NULL THEN
		RAISE EXCEPTION 'orders sent as % need %', d.send_as, CASE WHEN d.send_as = 'json' THEN 'an endpoint' ELSE 'a recipient' END
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'An endpoint is a foreign server of ecauto_endpoint, a recipient a mail address.';
	END IF;
	INSERT INTO ecauto_data.supplier SELECT d.*
	ON CONFLICT ON CONSTRAINT supplier_pkey DO UPDATE SET (title, currency, lead_days, working_days, freight, free_freight_from,
		minimum_order, auto_approve, send_as, endpoint, path, recipient, template, location, feed_keep, active)
		= ROW (excluded.title, excluded.currency, excluded.lead_days, excluded.working_days, excluded.freight,
		excluded.free_freight_from, excluded.minimum_order, excluded.auto_approve, excluded.send_as, excluded.endpoint,
		excluded.path, excluded.recipient, excluded.template, excluded.location, excluded.feed_keep, excluded.active);
END
$$;
COMMENT ON FUNCTION ecauto.set_supplier(text, jsonb) IS
'makes or changes a supplier; definition: currency (needed), title, lead_days (working days, 5), working_days (array, 1 is Monday), freight, free_freight_from, minimum_order, auto_approve (all in its currency), send_as (json, csv, mail, none) with endpoint and path or recipient and template, location (where goods arrive), feed_keep (an interval: offers of an older feed do not count), active; what is not named stays; for operators';
REVOKE ALL ON FUNCTION ecauto.set_supplier(text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.set_holiday(day date, supplier text DEFAULT NULL, note text DEFAULT NULL)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
INSERT INTO ecauto_data.supplier_holiday (supplier, day, note) VALUES (coalesce($2, ''), $1, $3)
ON CONFLICT (supplier, day) DO UPDATE SET note = excluded.note
$$;
COMMENT ON FUNCTION ecauto.set_holiday(date, text, text) IS
'a day on which a supplier (NULL: none of them) works; for operators';
REVOKE ALL ON FUNCTION ecauto.set_holiday(date, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.supplier_due(supplier text, ordered date, lead_days integer DEFAULT NULL)
RETURNS date
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN coalesce($3, s.lead_days) <= 0 THEN $2 ELSE (
	SELECT w.day FROM (
		SELECT $2 + g AS day, row_number() OVER (ORDER BY g) AS n
		FROM generate_series(1, coalesce($3, s.lead_days) * 7 + 400) g
		WHERE extract(isodow FROM $2 + g)::integer = ANY (s.working_days)
			AND NOT EXISTS (SELECT FROM ecauto_data.supplier_holiday h WHERE h.supplier IN ('', s.supplier) AND h.day = $2 + g)) w
	WHERE w.n = coalesce($3, s.lead_days)) END
FROM ecauto_data.supplier s WHERE s.supplier = $1
$$;
COMMENT ON FUNCTION ecauto.supplier_due(text, date, integer) IS
'the day on which what is ordered from a supplier on a day arrives: so many of its working days later (NULL: its lead_days), holidays left out; NULL if there is no such supplier';

CREATE OR REPLACE FUNCTION ecauto.set_offer(supplier text, sku text, definition jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	the_key constant text := ecauto.stock_sku_key(sku);
	unknown text;
	steps jsonb;
	break_list numeric[];
	price_list numeric[];
BEGIN
	IF NOT EXISTS (SELECT FROM ecauto_data.supplier s WHERE s.supplier = set_offer.supplier) THEN
		RAISE EXCEPTION 'supplier "%" does not exist', supplier
			USING ERRCODE = 'undefined_object', HINT = 'Make it with ecauto.set_supplier().';
	END IF;
	IF definition IS NULL THEN
		DELETE FROM ecauto_data.offer o WHERE o.supplier = set_offer.supplier AND o.sku = the_key;
		RETURN;
	END IF;
	SELECT string_agg(quote_ident(k), ', ') INTO unknown FROM jsonb_object_keys(definition) k
	WHERE k NOT IN ('price', 'prices', 'moq', 'pack', 'stock', 'lead_days', 'valid_until', 'supplier_sku');
	IF unknown IS NOT NULL THEN
		RAISE EXCEPTION 'an offer has no %', unknown
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'It may have price, prices, moq, pack, stock, lead_days, valid_until, supplier_sku.';
	END IF;
	steps := coalesce(definition -> 'prices', jsonb_build_array(jsonb_build_object('from', 1, 'price', definition -> 'price')));
	SELECT array_agg(t.from_qty ORDER BY t.from_qty), array_agg(t.price ORDER BY t.from_qty) INTO break_list, price_list
	FROM (SELECT coalesce((e ->> 'from')::numeric, 1) AS from_qty, (e ->> 'price')::numeric AS price FROM jsonb_array_elements(steps) e) t;
	IF break_list IS NULL OR EXISTS (SELECT FROM unnest(break_list, price_list) u (f, p)
			WHERE p IS NULL OR NOT p >= 0 OR p IN ('NaN', 'Infinity') OR NOT f > 0 OR f IN ('NaN', 'Infinity'))
			OR cardinality(break_list) <> (SELECT count(DISTINCT f) FROM unnest(break_list) f) THEN
		RAISE EXCEPTION 'an offer must have a price, or prices each from another quantity on'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('They are %s.', steps),
				HINT = 'Write {"price": 2.5} or {"prices": [{"from": 1, "price": 2.5}, {"from": 100, "price": 2.2}]}.';
	END IF;
	INSERT INTO ecauto_data.offer (supplier, sku, supplier_sku, breaks, prices, moq, pack, stock, lead_days, valid_until)
	VALUES (set_offer.supplier, the_key, definition ->> 'supplier_sku', break_list, price_list,
		coalesce((definition ->> 'moq')::numeric, 1), coalesce((definition ->> 'pack')::numeric, 1),
		(definition ->> 'stock')::numeric, (definition ->> 'lead_days')::integer, (definition ->> 'valid_until')::date)
	ON CONFLICT ON CONSTRAINT offer_pkey DO UPDATE SET (supplier_sku, breaks, prices, moq, pack, stock, lead_days, valid_until, misses, from_feed, refused_on)
		= ROW (excluded.supplier_sku, excluded.breaks, excluded.prices, excluded.moq, excluded.pack, excluded.stock,
		excluded.lead_days, excluded.valid_until, 0, false, NULL);
END
$$;
COMMENT ON FUNCTION ecauto.set_offer(text, text, jsonb) IS
'what a supplier sells a sku (key or code) for; definition: price, or prices (array of {"from", "price"}) in its currency a unit, moq (least quantity), pack (multiples of), stock (what it has; not named: not told), lead_days (else those of the supplier), valid_until, supplier_sku; NULL: no longer; for operators';
REVOKE ALL ON FUNCTION ecauto.set_offer(text, text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.set_purchase_currency(currency text)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
UPDATE ecauto_data.purchase_setting SET currency = ecauto.price_currency($1)
$$;
COMMENT ON FUNCTION ecauto.set_purchase_currency(text) IS
'in which currency offers are compared; NULL: the one of most suppliers; for operators';
REVOKE ALL ON FUNCTION ecauto.set_purchase_currency(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.purchase_currency()
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce((SELECT p.currency FROM ecauto_data.purchase_setting p),
	(SELECT s.currency FROM ecauto_data.supplier s WHERE s.active GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1))
$$;
COMMENT ON FUNCTION ecauto.purchase_currency() IS
'the currency in which offers are compared; NULL if there are no suppliers and none was set';

CREATE OR REPLACE FUNCTION ecauto.exchange_rate(currency text, quote text, day date DEFAULT NULL)
RETURNS numeric
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH known AS (
	SELECT DISTINCT ON (f.currency, f.quote) f.currency, f.quote, f.day, f.rate
	FROM ecauto_data.fx_rate f WHERE f.day <= coalesce($3, ecauto.today())
	ORDER BY f.currency, f.quote, f.day DESC
), both_ways AS (
	SELECT k.currency, k.quote, k.day, k.rate FROM known k
	UNION ALL
	SELECT k.quote, k.currency, k.day, round(1::numeric(40, 30) / k.rate, 30) FROM known k
)
SELECT CASE WHEN $1 = $2 THEN 1 ELSE coalesce(
	(SELECT b.rate FROM both_ways b WHERE b.currency = $1 AND b.quote = $2 ORDER BY b.day DESC LIMIT 1),
	(SELECT a.rate * b.rate FROM both_ways a JOIN both_ways b ON b.currency = a.quote
		WHERE a.currency = $1 AND b.quote = $2 ORDER BY least(a.day, b.day) DESC, a.quote LIMIT 1)) END
$$;
COMMENT ON FUNCTION ecauto.exchange_rate(text, text, date) IS
'what one unit of currency is worth in quote, by the last rates of ecauto.set_fx_rate() up to a day (NULL: today), straight, the other way round, or through one more currency; NULL if it is not known';

CREATE OR REPLACE FUNCTION ecauto.offer_quantities(skus text[], qtys numeric[], day date DEFAULT NULL, suppliers text[] DEFAULT NULL)
RETURNS TABLE (place bigint, sku text, supplier text, qty numeric, price numeric, problem text)
LANGUAGE sql STABLE ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
SELECT n.place, o.sku, o.supplier, q.qty, p.price,
	CASE WHEN NOT s.active THEN 'supplier is switched off'
		WHEN o.misses >= 2 THEN 'no longer in the supplier''s feed'
		WHEN o.from_feed AND s.feed_at + s.feed_keep < ecauto.now() THEN 'the supplier''s feed is of ' || ecauto.today(s.feed_at)
		WHEN o.valid_until < t.day THEN 'valid until ' || o.valid_until
		WHEN o.refused_on > t.day - 7 THEN 'not confirmed on ' || o.refused_on
		WHEN o.stock < q.qty THEN 'only ' || trim_scale(o.stock) || ' in stock'
			|| CASE WHEN q.qty > n.need THEN ', ' || trim_scale(q.qty) || ' needed for least quantity and pack' ELSE '' END
	END
FROM (SELECT coalesce($3, ecauto.today()) AS day) t
CROSS JOIN unnest($1, $2, $4) WITH ORDINALITY n (sku, need, supplier, place)
JOIN ecauto_data.offer o ON o.sku = n.sku COLLATE "C" AND (n.supplier IS NULL OR o.supplier = n.supplier)
JOIN ecauto_data.supplier s ON s.supplier = o.supplier
CROSS JOIN LATERAL (SELECT ceil(greatest(n.need, o.moq, o.breaks[1]) / o.pack) * o.pack AS qty) b
CROSS JOIN LATERAL (
	SELECT b.qty
	UNION
	SELECT ceil(u.step / o.pack) * o.pack FROM unnest(o.breaks) u (step) WHERE u.step > b.qty
	UNION
	-- a little more may cost less than the freight it saves
	SELECT f.units FROM unnest(o.breaks, o.prices) u (step, price)
	CROSS JOIN LATERAL (SELECT ceil(s.free_freight_from / u.price / o.pack) * o.pack AS units) f
	WHERE s.freight > 0 AND u.price > 0 AND f.units > b.qty AND f.units >= u.step AND (f.units - b.qty) * u.price <= s.freight) q
CROSS JOIN LATERAL (
	SELECT u.price FROM unnest(o.breaks, o.prices) u (step, price) WHERE u.step <= q.qty ORDER BY u.step DESC LIMIT 1) p
$$;
COMMENT ON FUNCTION ecauto.offer_quantities(text[], numeric[], date, text[]) IS
'for each sku (key) and needed quantity, by its place in the arrays: quantities in which each supplier (or that of the same place in suppliers) sells it that cover the need, in whole packs: the least one, those from which a lower price holds, and those from which there is no freight, if what is added costs less than the freight; price a unit in the supplier''s currency; problem: why it cannot be had (NULL: it can); for operators';
REVOKE ALL ON FUNCTION ecauto.offer_quantities(text[], numeric[], date, text[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.best_offer(sku text, qty numeric, quote text DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (
	supplier text, supplier_sku text, order_qty numeric, unit_price numeric, goods numeric, freight numeric, currency text,
	total numeric, total_currency text, arrives date, chosen boolean, reason text)
LANGUAGE plpgsql STABLE ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	the_key constant text := ecauto.stock_sku_key(sku);
	into_currency constant text := coalesce(ecauto.price_currency(quote), ecauto.purchase_currency());
	first_day constant date := ecauto.today(as_of);
BEGIN
	IF qty IS NULL OR NOT qty > 0 OR qty IN ('NaN', 'Infinity') THEN
		RAISE EXCEPTION 'quantity must be a finite number above zero'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('The quantity is %s.', coalesce(qty::text, 'null'));
	END IF;
	RETURN QUERY
	WITH way AS MATERIALIZED (
		SELECT q.supplier, o.supplier_sku, q.qty AS units, q.price, q.price * q.qty AS goods, s.currency,
			CASE WHEN q.price * q.qty >= s.free_freight_from THEN 0 ELSE s.freight END AS freight,
			s.minimum_order, ecauto.exchange_rate(s.currency, into_currency, first_day) AS rate,
			coalesce(q.problem, CASE WHEN q.price * q.qty < s.minimum_order THEN format('%s %s below the minimum order of %s',
				trim_scale(s.minimum_order - q.price * q.qty), s.currency, trim_scale(s.minimum_order)) END) AS problem,
			ecauto.supplier_due(s.supplier, first_day, o.lead_days) AS arrives
		FROM ecauto.offer_quantities(ARRAY[the_key], ARRAY[best_offer.qty], first_day) q
		JOIN ecauto_data.supplier s ON s.supplier = q.supplier
		JOIN ecauto_data.offer o ON o.supplier = q.supplier AND o.sku = q.sku
	), priced AS (
		SELECT w.*, round((w.goods + w.freight) * w.rate, 2) AS landed,
			coalesce(w.problem, CASE WHEN w.rate IS NULL THEN format('no exchange rate from %s to %s', w.currency, into_currency) END) AS trouble
		FROM way w
	), one AS (
		SELECT DISTINCT ON (p.supplier) p.* FROM priced p
		-- of those that can be had the cheapest, else the least
		ORDER BY p.supplier, p.trouble IS NOT NULL, CASE WHEN p.trouble IS NULL THEN p.landed END, p.units
	), ranked AS (
		SELECT o.*, row_number() OVER w AS rank, first_value(o.landed) OVER w AS best, first_value(o.supplier) OVER w AS winner
		FROM one o
		WINDOW w AS (ORDER BY o.trouble IS NOT NULL, o.landed, o.arrives, o.supplier)
	)
	SELECT r.supplier::text, r.supplier_sku, r.units, r.price, r.goods, r.freight, r.currency::text,
		CASE WHEN r.trouble IS NULL THEN r.landed END, into_currency, r.arrives, r.rank = 1 AND r.trouble IS NULL,
		CASE WHEN r.trouble IS NOT NULL THEN r.trouble
			WHEN r.rank > 1 AND r.landed = r.best THEN format('costs as much as %s', r.winner)
				|| CASE WHEN r.arrives > first_value(r.arrives) OVER (ORDER BY r.rank) THEN ' and arrives later' ELSE '' END
			WHEN r.rank > 1 THEN format('%s %s dearer than %s', r.landed - r.best, into_currency, r.winner)
				|| CASE WHEN r.units > best_offer.qty THEN format(', %s units have to be bought', trim_scale(r.units)) ELSE '' END
				|| CASE WHEN r.freight > 0 THEN format(', freight %s %s', trim_scale(r.freight), r.currency) ELSE '' END
		END
	FROM ranked r
	ORDER BY r.rank;
END
$$;
COMMENT ON FUNCTION ecauto.best_offer(text, numeric, text, timestamptz) IS
'what it costs to have so many units of a sku (key or code) from each supplier, the cheapest total first: goods at the price of the quantity, freight, in the supplier''s currency; total in quote (NULL: ecauto.purchase_currency()), NULL where it cannot be had; order_qty: at least the quantity, in whole packs, and more where a lower price makes more units cheaper in all; reason: why it is not the one to take, NULL for the one that is (chosen); arrives: if ordered on the day of as_of (NULL: now); for operators';
REVOKE ALL ON FUNCTION ecauto.best_offer(text, numeric, text, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.split_offer(sku text, qty numeric, quote text DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (
	supplier text, supplier_sku text, order_qty numeric, unit_price numeric, goods numeric, freight numeric, currency text,
	cost numeric, total numeric, total_currency text, arrives date)
LANGUAGE plpgsql STABLE ROWS 2
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	the_key constant text := ecauto.stock_sku_key(sku);
	into_currency constant text := coalesce(ecauto.price_currency(quote), ecauto.purchase_currency());
	first_day constant date := ecauto.today(as_of);
BEGIN
	IF qty IS NULL OR NOT qty > 0 OR qty IN ('NaN', 'Infinity') THEN
		RAISE EXCEPTION 'quantity must be a finite number above zero'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('The quantity is %s.', coalesce(qty::text, 'null'));
	END IF;
	RETURN QUERY
	WITH known AS MATERIALIZED (
		SELECT o.*, s.freight, s.free_freight_from, s.minimum_order, s.currency, r.rate
		FROM ecauto_data.offer o JOIN ecauto_data.supplier s ON s.supplier = o.supplier
		CROSS JOIN LATERAL (SELECT ecauto.exchange_rate(s.currency, into_currency, first_day) AS rate) r
		WHERE o.sku = the_key AND r.rate IS NOT NULL
	), step AS MATERIALIZED (
		-- quantities at which a part of the need may end: least ones, all there is, price breaks, free freight, whole packs of the need
		SELECT o.supplier, u.units, row_number() OVER (ORDER BY o.supplier, u.units) AS place
		FROM known o
		CROSS JOIN LATERAL (
			SELECT floor(least(o.stock, split_offer.qty) / o.pack) * o.pack AS units
			UNION ALL SELECT ceil(greatest(o.moq, b.step) / o.pack) * o.pack FROM unnest(o.breaks) b (step)
			UNION ALL SELECT ceil(greatest(o.moq, b.step, o.free_freight_from / p.price) / o.pack) * o.pack
				FROM unnest(o.breaks, o.prices) b (step, price) CROSS JOIN LATERAL (SELECT nullif(b.price, 0) AS price) p) u
		WHERE u.units > 0 AND u.units < split_offer.qty AND u.units <= coalesce(o.stock, u.units)
		GROUP BY o.supplier, u.units
	), part AS MATERIALIZED (
		SELECT v.supplier, v.units, q.price, q.price * v.units AS goods
		FROM step v
		JOIN (SELECT o.place, o.supplier, o.qty, o.price
			FROM (SELECT array_agg(the_key) AS keys, array_agg(s.units ORDER BY s.place) AS units FROM step s) a
			CROSS JOIN LATERAL ecauto.offer_quantities(a.keys, a.units, first_day) o WHERE o.problem IS NULL) q
			ON q.place = v.place AND q.supplier = v.supplier AND q.qty = v.units
	), parts AS MATERIALIZED (
		SELECT '{}'::text[] AS suppliers, '{}'::numeric[] AS units, 0::numeric AS sum
		UNION ALL SELECT ARRAY[a.supplier::text], ARRAY[a.units], a.units FROM part a
		UNION ALL SELECT ARRAY[a.supplier::text, b.supplier::text], ARRAY[a.units, b.units], a.units + b.units
			FROM part a JOIN part b ON b.supplier > a.supplier AND a.units + b.units < split_offer.qty
	), rest AS (
		SELECT r.rest, q.supplier, q.qty, q.price
		FROM (SELECT array_agg(the_key) AS keys, array_agg(d.rest ORDER BY d.rest) AS rests FROM (SELECT DISTINCT split_offer.qty - s.sum AS rest FROM parts s) d) a
		CROSS JOIN LATERAL ecauto.offer_quantities(a.keys, a.rests, first_day) q
		CROSS JOIN LATERAL (SELECT a.rests[q.place] AS rest) r
		WHERE q.problem IS NULL
	), way AS (
		SELECT s.suppliers || r.supplier::text AS suppliers, s.units || r.qty AS units
		FROM parts s JOIN rest r ON r.rest = split_offer.qty - s.sum AND r.supplier <> ALL (s.suppliers)
	), priced AS (
		SELECT w.suppliers, w.units, c.total, c.last FROM way w CROSS JOIN LATERAL (
			SELECT round(sum((g.goods + CASE WHEN g.goods >= k.free_freight_from THEN 0 ELSE k.freight END) * k.rate), 2) AS total,
				bool_and(g.goods >= k.minimum_order) AS possible, max(ecauto.supplier_due(k.supplier, first_day, k.lead_days)) AS last
			FROM unnest(w.suppliers, w.units) u (supplier, units)
			JOIN known k ON k.supplier = u.supplier COLLATE "C"
			CROSS JOIN LATERAL (SELECT p.price * u.units AS goods FROM unnest(k.breaks, k.prices) p (step, price) WHERE p.step <= u.units ORDER BY p.step DESC LIMIT 1) g) c
		WHERE c.possible
		ORDER BY c.total, cardinality(w.suppliers), c.last, w.suppliers LIMIT 1
	)
	SELECT k.supplier::text, k.supplier_sku, u.units, g.price, g.price * u.units, f.freight, k.currency::text,
		round((g.price * u.units + f.freight) * k.rate, 2), p.total, into_currency, ecauto.supplier_due(k.supplier, first_day, k.lead_days)
	FROM priced p
	CROSS JOIN unnest(p.suppliers, p.units) u (supplier, units)
	JOIN known k ON k.supplier = u.supplier COLLATE "C"
	CROSS JOIN LATERAL (SELECT x.price FROM unnest(k.breaks, k.prices) x (step, price) WHERE x.step <= u.units ORDER BY x.step DESC LIMIT 1) g
	CROSS JOIN LATERAL (SELECT CASE WHEN g.price * u.units >= k.free_freight_from THEN 0 ELSE k.freight END AS freight) f
	ORDER BY u.units DESC, 1;
END
$$;
COMMENT ON FUNCTION ecauto.split_offer(text, numeric, text, timestamptz) IS
'the cheapest way to have so many units of a sku (key or code) from one supplier or up to three, where one has too few or is cheaper for a part: a row of each with quantity, goods and freight in its currency, cost in quote (NULL: ecauto.purchase_currency()); total of all rows; all but one take a quantity at which something changes (least one, price break, free freight, all it has, whole packs), which with packs of several sizes need not be the very cheapest; no rows: nobody, nor three together, can deliver it; for operators';
REVOKE ALL ON FUNCTION ecauto.split_offer(text, numeric, text, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.basket_solve(
	items integer, goods float8[], freight float8[], free_from float8[], minimum float8[], steps bigint DEFAULT 2000000,
	OUT supplier integer[], OUT total float8, OUT bound float8, OUT exact boolean)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_basket_solve'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION ecauto.basket_solve(integer, float8[], float8[], float8[], float8[], bigint) IS
'which supplier (from 1) to buy each item from, so that the total is least; goods: cost of item 1 at each supplier, then of item 2, ... (NULL: does not sell it); of each supplier freight, the value of goods from which there is none (NULL: never), the least value of an order; bound: no plan costs less; exact: it is the cheapest there is, else the search ended after so many steps; total NULL: no plan reaches all minimums';

CREATE OR REPLACE FUNCTION ecauto.best_basket(items jsonb, quote text DEFAULT NULL, as_of timestamptz DEFAULT NULL, steps bigint DEFAULT 2000000)
RETURNS TABLE (
	sku text, supplier text, order_qty numeric, unit_price numeric, goods numeric, currency text,
	supplier_goods numeric, supplier_freight numeric, total numeric, total_currency text, exact boolean, gap numeric)
LANGUAGE plpgsql STABLE ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	into_currency constant text := coalesce(ecauto.price_currency(quote), ecauto.purchase_currency());
	first_day constant date := ecauto.today(as_of);
	keys text[];
	wanted numeric[];
	names text[];
	rates numeric[];
	freights float8[];
	free_froms float8[];
	minimums float8[];
	costs float8[];
	nobody text;
	plan record;
BEGIN
	IF jsonb_typeof(items) IS DISTINCT FROM 'array' OR EXISTS (SELECT FROM jsonb_array_elements(items) e
			WHERE jsonb_typeof(e) <> 'object' OR e ->> 'sku' IS NULL OR jsonb_typeof(e -> 'qty') IS DISTINCT FROM 'number'
				OR (e ->> 'qty')::numeric <= 0) THEN
		RAISE EXCEPTION 'a basket must be an array of items with sku and qty above zero'
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'Write [{"sku": "CUP-BLUE", "qty": 70}, {"sku": "CUP-RED", "qty": 20}].';
	END IF;
	SELECT array_agg(i.key ORDER BY i.place), array_agg(i.qty ORDER BY i.place) INTO keys, wanted
	FROM (SELECT ecauto.stock_sku_key(e.item ->> 'sku') AS key, sum((e.item ->> 'qty')::numeric) AS qty, min(e.place) AS place
		FROM jsonb_array_elements(items) WITH ORDINALITY e (item, place) GROUP BY 1) i;
	SELECT array_agg(s.supplier::text), array_agg(s.rate), array_agg((s.freight * s.rate)::float8),
		array_agg((s.free_freight_from * s.rate)::float8), array_agg((s.minimum_order * s.rate)::float8)
	INTO names, rates, freights, free_froms, minimums
	FROM (SELECT s.*, ecauto.exchange_rate(s.currency, into_currency, first_day) AS rate FROM ecauto_data.supplier s
		WHERE s.active AND EXISTS (SELECT FROM ecauto_data.offer o WHERE o.supplier = s.supplier AND o.sku = ANY (keys))
		ORDER BY s.supplier) s
	WHERE s.rate IS NOT NULL;

	-- of each item at each supplier the quantity that costs least
	SELECT array_agg((q.cost * rates[s.place])::float8 ORDER BY i.place, s.place),
		(SELECT string_agg(n.key, ', ') FROM unnest(keys) n (key) WHERE NOT EXISTS (
			SELECT FROM ecauto.offer_quantities(keys, wanted, first_day) o WHERE o.sku = n.key AND o.problem IS NULL AND o.supplier = ANY (names)))
	INTO costs, nobody
	FROM unnest(keys) WITH ORDINALITY i (key, place)
	CROSS JOIN unnest(names) WITH ORDINALITY s (supplier, place)
	LEFT JOIN (SELECT o.place, o.supplier, min(o.price * o.qty) AS cost
		FROM ecauto.offer_quantities(keys, wanted, first_day) o WHERE o.problem IS NULL GROUP BY 1, 2) q
		ON q.place = i.place AND q.supplier = s.supplier COLLATE "C";
	IF keys IS NULL THEN
		RETURN;
	ELSIF names IS NULL OR nobody IS NOT NULL THEN
		RAISE EXCEPTION 'nobody sells all that is wanted of %', coalesce(nobody, array_to_string(keys, ', '))
			USING ERRCODE = 'no_data_found',
				HINT = 'SELECT * FROM ecauto.best_offer(sku, qty) says why.';
	END IF;
	SELECT * INTO plan FROM ecauto.basket_solve(cardinality(keys), costs, freights, free_froms, minimums, steps);
	IF plan.total IS NULL THEN
		RAISE EXCEPTION 'the basket is below the minimum order of the suppliers'
			USING ERRCODE = 'no_data_found',
				HINT = 'Add items or quantities.';
	END IF;
	RETURN QUERY
	WITH line AS (
		SELECT i.place, i.key, i.supplier AS number, names[i.supplier] AS name, q.qty, q.price, q.qty * q.price AS goods
		FROM unnest(keys, plan.supplier) WITH ORDINALITY i (key, supplier, place)
		CROSS JOIN LATERAL (SELECT o.qty, o.price FROM ecauto.offer_quantities(ARRAY[keys[i.place]], ARRAY[wanted[i.place]], first_day) o
			WHERE o.supplier = names[i.supplier] COLLATE "C" AND o.problem IS NULL ORDER BY o.qty * o.price, o.qty LIMIT 1) q
	), order_of AS (
		SELECT l.number, sum(l.goods) AS goods, CASE WHEN sum(l.goods) >= min(s.free_freight_from) THEN 0 ELSE min(s.freight) END AS freight
		FROM line l JOIN ecauto_data.supplier s ON s.supplier = l.name COLLATE "C" GROUP BY 1
	), all_of AS (
		SELECT round(sum((o.goods + o.freight) * rates[o.number]), 2) AS total FROM order_of o
	)
	SELECT l.key, l.name, l.qty, l.price, l.goods, s.currency::text, o.goods, o.freight, a.total, into_currency, plan.exact,
		CASE WHEN plan.exact THEN 0 ELSE round((1 - plan.bound / nullif(plan.total, 0))::numeric, 4) END
	FROM line l JOIN order_of o ON o.number = l.number JOIN ecauto_data.supplier s ON s.supplier = l.name COLLATE "C" CROSS JOIN all_of a
	ORDER BY l.place;
END
$$;
COMMENT ON FUNCTION ecauto.best_basket(jsonb, text, timestamptz, bigint) IS
'from whom to buy items (array of {"sku", "qty"}) so that goods and freight of all orders together cost least, each item from one supplier: goods in the supplier''s currency, supplier_goods and supplier_freight of the order to it, total of all orders in quote (NULL: ecauto.purchase_currency()); exact: there is nothing cheaper; if not, the search ended after so many steps, and the total is at most the part gap above the cheapest one; error if nobody sells an item; for operators';
REVOKE ALL ON FUNCTION ecauto.best_basket(jsonb, text, timestamptz, bigint) FROM PUBLIC;

-- What a supplier answers to a purchase order.

CREATE OR REPLACE FUNCTION ecauto.confirm_purchase_order(id bigint, lines jsonb DEFAULT NULL, due_on date DEFAULT NULL)
RETURNS TABLE (sku text, qty numeric, confirmed numeric, missing numeric, due date)
LANGUAGE plpgsql VOLATILE ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	p ecauto_data.purchase_order;
	zone constant text := ecauto.shop_timezone();
	wrong text;
	keys text[];
	amounts numeric[];
	days date[];
	changed boolean;
	answered boolean;
	comes numeric;
BEGIN
	PERFORM ecauto.purchase_lock();
	SELECT * INTO p FROM ecauto_data.purchase_order o WHERE o.id = confirm_purchase_order.id FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'purchase order % does not exist', coalesce(id::text, 'null') USING ERRCODE = 'no_data_found';
	ELSIF p.state NOT IN ('sent', 'confirmed') THEN
		RAISE EXCEPTION 'purchase order % is %', id, p.state
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Only what was sent, and is not received, can be confirmed.';
	END IF;
	IF lines IS NULL THEN
		SELECT array_agg(l.sku ORDER BY l.sku), array_agg(l.qty ORDER BY l.sku), array_agg(confirm_purchase_order.due_on ORDER BY l.sku)
		INTO keys, amounts, days FROM ecauto_data.purchase_order_line l WHERE l.order_id = p.id;
	ELSE
		IF jsonb_typeof(lines) <> 'object' OR EXISTS (SELECT FROM jsonb_each(lines) e WHERE NOT CASE jsonb_typeof(e.value)
				WHEN 'number' THEN e.value::numeric >= 0
				WHEN 'object' THEN e.value - '{qty,due_on}'::text[] = '{}' AND coalesce(jsonb_typeof(e.value -> 'qty'), 'null') IN ('number', 'null')
					AND coalesce((e.value ->> 'qty')::numeric >= 0, true) AND coalesce(jsonb_typeof(e.value -> 'due_on'), 'null') IN ('string', 'null')
				ELSE false END) THEN
			RAISE EXCEPTION 'confirmed lines must be an object of a number, not negative, or of qty and due_on, for each sku'
				USING ERRCODE = 'invalid_parameter_value',
					DETAIL = format('They are %s.', lines),
					HINT = 'Write {"CUP-BLUE": 24, "CUP-RED": {"qty": 12, "due_on": "2026-05-12"}, "CUP-OLD": 0}.';
		END IF;
		-- a supplier may answer with our keys or codes, or its own
		SELECT array_agg(x.sku ORDER BY x.sku), array_agg(x.units ORDER BY x.sku), array_agg(coalesce(x.day, confirm_purchase_order.due_on) ORDER BY x.sku),
			string_agg(x.given, ', ') FILTER (WHERE x.sku IS NULL OR x.n > 1)
		INTO keys, amounts, days, wrong
		FROM (SELECT e.key AS given, k.sku, coalesce((e.value -> 'qty')::text::numeric, k.qty) AS units, (e.value ->> 'due_on')::date AS day,
				count(*) OVER (PARTITION BY k.sku) AS n
			FROM (SELECT o.key, CASE WHEN jsonb_typeof(o.value) = 'number' THEN jsonb_build_object('qty', o.value) ELSE jsonb_strip_nulls(o.value) END AS value
				FROM jsonb_each(lines) o) e
			LEFT JOIN LATERAL (SELECT l.sku, l.qty FROM ecauto_data.purchase_order_line l LEFT JOIN ecauto_data.seen_sku s ON s.key = l.sku
				WHERE l.order_id = p.id AND e.key COLLATE "C" IN (l.sku, s.sku, l.supplier_sku)
				ORDER BY l.sku = e.key COLLATE "C" DESC, s.sku = e.key DESC, l.sku LIMIT 1) k ON true) x;
		IF wrong IS NOT NULL THEN
			RAISE EXCEPTION 'purchase order % has no sku %, or it is named twice', id, wrong USING ERRCODE = 'invalid_parameter_value';
		END IF;
	END IF;
	IF EXISTS (SELECT FROM unnest(days) d WHERE d < ecauto.today(p.ordered_at) OR NOT isfinite(d)) THEN
		RAISE EXCEPTION 'a delivery must not be confirmed for a day before its order'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('It was ordered on %s.', ecauto.today(p.ordered_at));
	END IF;

	SELECT coalesce(bool_or((l.confirmed, l.confirmed_on) IS DISTINCT FROM (k.units, coalesce(k.day, l.confirmed_on))), false) INTO changed
	FROM unnest(keys, amounts, days) k (sku, units, day)
	JOIN ecauto_data.purchase_order_line l ON l.order_id = p.id AND l.sku = k.sku COLLATE "C";
	IF changed THEN
		UPDATE ecauto_data.purchase_order_line l SET confirmed = k.units, confirmed_on = coalesce(k.day, l.confirmed_on)
		FROM unnest(keys, amounts, days) k (sku, units, day) WHERE l.order_id = p.id AND l.sku = k.sku COLLATE "C";
		-- only what will come, and when it will, is under way: what will not is needed again
		INSERT INTO ecauto_data.stock_incoming AS i (sku, location, units, due_at, reference)
		SELECT l.sku, coalesce((SELECT x.location FROM ecauto_data.stock_incoming x WHERE x.reference = 'PO-' || p.id LIMIT 1), s.location, ''),
			greatest(0, l.confirmed - l.received), coalesce(l.confirmed_on, p.due_on)::timestamp AT TIME ZONE zone, 'PO-' || p.id
		FROM ecauto_data.purchase_order_line l LEFT JOIN ecauto_data.supplier s ON s.supplier = p.supplier
		WHERE l.order_id = p.id AND l.confirmed IS NOT NULL
		ON CONFLICT ON CONSTRAINT stock_incoming_pkey DO UPDATE SET units = excluded.units, due_at = excluded.due_at;
		DELETE FROM ecauto_data.stock_incoming i WHERE i.reference = 'PO-' || p.id AND i.units = 0;
		-- and not of the same supplier, until it offers it anew
		UPDATE ecauto_data.offer o SET refused_on = CASE WHEN l.confirmed < l.qty THEN ecauto.today() END
		FROM ecauto_data.purchase_order_line l
		WHERE l.order_id = p.id AND l.sku = ANY (keys) AND o.supplier = p.supplier AND o.sku = l.sku
			AND o.refused_on IS DISTINCT FROM CASE WHEN l.confirmed < l.qty THEN ecauto.today() END;
		SELECT bool_and(l.confirmed IS NOT NULL), sum(greatest(coalesce(l.confirmed, l.qty), l.received)) INTO answered, comes
		FROM ecauto_data.purchase_order_line l WHERE l.order_id = p.id;
		UPDATE ecauto_data.purchase_order o
		SET state = CASE WHEN comes = 0 THEN 'cancelled' WHEN answered THEN 'confirmed' ELSE 'sent' END,
			confirmed_at = ecauto.now(), late_told = o.late_told AND o.overdue_at >= d.at, overdue_at = d.at
		FROM (SELECT (max(coalesce(l.confirmed_on, p.due_on)) + 1)::timestamp AT TIME ZONE zone AS at
			FROM ecauto_data.purchase_order_line l WHERE l.order_id = p.id AND coalesce(l.confirmed, l.qty) > 0 OR comes = 0) d
		WHERE o.id = p.id;
		PERFORM ecauto.track(CASE WHEN comes = 0 THEN 'purchase_order.rejected' ELSE 'purchase_order.confirmed' END,
			properties => (SELECT jsonb_build_object('id', p.id, 'supplier', p.supplier, 'complete', answered,
				'lines', jsonb_object_agg(l.sku, jsonb_build_object('qty', l.qty, 'confirmed', l.confirmed, 'due_on', coalesce(l.confirmed_on, p.due_on))))
				FROM ecauto_data.purchase_order_line l WHERE l.order_id = p.id));
		IF comes > 0 THEN
			-- all that will come may have come already
			PERFORM ecauto.receive_purchase_order(p.id, '{}');
		END IF;
	END IF;
	RETURN QUERY
	SELECT l.sku::text, l.qty, l.confirmed, CASE WHEN l.confirmed IS NOT NULL THEN greatest(0, l.qty - l.confirmed) END, coalesce(l.confirmed_on, p.due_on)
	FROM ecauto_data.purchase_order_line l WHERE l.order_id = p.id ORDER BY l.sku;
END
$$;
COMMENT ON FUNCTION ecauto.confirm_purchase_order(bigint, jsonb, date) IS
'what a supplier answers to an order that was sent: lines is an object of the units it will send of each sku (key, code, or the supplier''s), or of {"qty", "due_on"}; 0: rejected; a sku that is not named is not answered yet; NULL: all as ordered; due_on: the day for all that name none. What will not come no longer counts as incoming, so that the next plan orders it elsewhere: that offer is passed over for seven days, or until it changes. The order is confirmed when all lines are, cancelled if nothing will come; event purchase_order.confirmed or purchase_order.rejected, once for an answer; returns all lines: ordered, confirmed (NULL: not answered), missing, and the day they are due; for operators';
REVOKE ALL ON FUNCTION ecauto.confirm_purchase_order(bigint, jsonb, date) FROM PUBLIC;

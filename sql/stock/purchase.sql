-- Purchase orders: approving, sending, receiving, cancelling.

CREATE OR REPLACE FUNCTION ecauto.receive_stock(skus text[], units numeric[], locations text[])
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_receive_stock'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.receive_stock(text[], numeric[], text[]) IS
'adds units to the shop''s stock of skus (keys, each once) at locations (keys) by the shop''s writer receive_stock, all or none; returns how many rows of the shop changed; error if the shop has no stock of one of them there; for operators';
REVOKE ALL ON FUNCTION ecauto.receive_stock(text[], numeric[], text[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.purchase_order_payload(id bigint)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT jsonb_build_object('order', 'PO-' || p.id, 'supplier', p.supplier, 'title', s.title, 'ordered_at', p.ordered_at, 'due_on', p.due_on,
	'currency', p.currency, 'goods', p.goods, 'freight', p.freight, 'lines', (
		SELECT jsonb_agg(jsonb_build_object('sku', coalesce(l.supplier_sku, k.sku, l.sku), 'our_sku', coalesce(k.sku, l.sku),
			'title', k.title, 'qty', trim_scale(l.qty), 'unit_price', l.unit_price, 'goods', l.qty * l.unit_price) ORDER BY l.sku)
		FROM ecauto_data.purchase_order_line l LEFT JOIN ecauto_data.seen_sku k ON k.key = l.sku
		WHERE l.order_id = p.id))
FROM ecauto_data.purchase_order p LEFT JOIN ecauto_data.supplier s ON s.supplier = p.supplier
WHERE p.id = $1
$$;
COMMENT ON FUNCTION ecauto.purchase_order_payload(bigint) IS
'a purchase order as it is sent to a supplier: order (number), supplier, title, ordered_at, due_on, currency, goods, freight, lines (sku: the supplier''s, if known, our_sku, title, qty, unit_price, goods); also what a mail template gets; NULL if there is none';
REVOKE ALL ON FUNCTION ecauto.purchase_order_payload(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.purchase_order_csv(payload jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT string_agg(line, '' ORDER BY place) FROM (
	SELECT 0 AS place, E'sku,our_sku,title,qty,unit_price,currency\r\n' AS line
	UNION ALL
	SELECT l.place, (SELECT string_agg(CASE WHEN c.cell ~ '[",\r\n]' THEN '"' || replace(c.cell, '"', '""') || '"' ELSE coalesce(c.cell, '') END, ',' ORDER BY c.n)
		FROM unnest(ARRAY[l.line ->> 'sku', l.line ->> 'our_sku', l.line ->> 'title', l.line ->> 'qty', l.line ->> 'unit_price', $1 ->> 'currency'])
			WITH ORDINALITY c (cell, n)) || E'\r\n'
	FROM jsonb_array_elements($1 -> 'lines') WITH ORDINALITY l (line, place)) x
$$;
COMMENT ON FUNCTION ecauto.purchase_order_csv(jsonb) IS
'the lines of a purchase order (see ecauto.purchase_order_payload()) as a CSV file (RFC 4180) with a header line';

CREATE OR REPLACE FUNCTION ecauto.approve_purchase_order(id bigint)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p ecauto_data.purchase_order;
	s ecauto_data.supplier;
	ordered timestamptz;
	zone constant text := ecauto.shop_timezone();
	payload jsonb;
	mail record;
	message bigint;
BEGIN
	PERFORM ecauto.purchase_lock();
	SELECT * INTO p FROM ecauto_data.purchase_order o WHERE o.id = approve_purchase_order.id FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'purchase order % does not exist', coalesce(id::text, 'null')
			USING ERRCODE = 'no_data_found',
				HINT = 'SELECT * FROM ecauto.plan_replenishment() makes orders; a proposal that is no longer needed is gone.';
	ELSIF p.state IN ('sent', 'confirmed', 'received') THEN
		RETURN p.message_id;	-- it left already
	ELSIF p.state = 'cancelled' THEN
		RAISE EXCEPTION 'purchase order % is cancelled', id USING ERRCODE = 'object_not_in_prerequisite_state';
	END IF;
	SELECT * INTO s FROM ecauto_data.supplier x WHERE x.supplier = p.supplier;
	IF p.goods < s.minimum_order THEN
		RAISE EXCEPTION 'purchase order % is below the minimum order of supplier "%"', id, p.supplier
			USING ERRCODE = 'object_not_in_prerequisite_state',
				DETAIL = format('Its goods are worth %s %s; %s %s are missing to %s.', p.goods, p.currency, s.minimum_order - p.goods, p.currency, s.minimum_order),
				HINT = 'It waits until more is needed of this supplier; or change minimum_order with ecauto.set_supplier() and plan again.';
	END IF;
	ordered := CASE WHEN p.dated THEN p.planned_at ELSE ecauto.now() END;
	UPDATE ecauto_data.purchase_order o
	SET state = 'sent', ordered_at = ordered, missing = 0, due_on = coalesce((
		SELECT max(ecauto.supplier_due(p.supplier, ecauto.today(ordered), f.lead_days))
		FROM ecauto_data.purchase_order_line l LEFT JOIN ecauto_data.offer f ON f.supplier = p.supplier AND f.sku = l.sku
		WHERE l.order_id = p.id), o.due_on)
	WHERE o.id = p.id RETURNING * INTO p;
	INSERT INTO ecauto_data.stock_incoming (sku, location, units, due_at, reference)
	SELECT l.sku, coalesce(s.location, ''), l.qty, p.due_on::timestamp AT TIME ZONE zone, 'PO-' || p.id
	FROM ecauto_data.purchase_order_line l WHERE l.order_id = p.id;

	-- what it has for the next order; its next list tells anew
	UPDATE ecauto_data.offer o SET stock = greatest(0, o.stock - l.qty)
	FROM ecauto_data.purchase_order_line l WHERE l.order_id = p.id AND o.supplier = p.supplier AND o.sku = l.sku AND o.stock IS NOT NULL;

	payload := ecauto.purchase_order_payload(p.id);
	IF s.send_as = 'json' THEN
		message := ecauto.enqueue(s.endpoint, payload, 'purchase-order-' || p.id, path => s.path);
	ELSIF s.send_as IN ('csv', 'mail') THEN
		IF s.template IS NOT NULL THEN
			SELECT r.subject, r.html, r.body INTO mail FROM ecauto.render_mail(s.template, payload) r;
		ELSE
			SELECT format('Order PO-%s', p.id) AS subject, NULL::text AS html, format(E'Please deliver by %s:\n\n', p.due_on)
				|| (SELECT string_agg(format(E'%s  %s x %s  %s %s\n', e ->> 'qty', e ->> 'sku', coalesce(e ->> 'title', ''), e ->> 'unit_price', p.currency), '')
					FROM jsonb_array_elements(payload -> 'lines') e) AS body
			INTO mail;
		END IF;
		message := ecauto.enqueue(coalesce(s.endpoint, current_setting('ecauto.mail_endpoint')),
			jsonb_strip_nulls(jsonb_build_object('to', s.recipient, 'subject', mail.subject, 'html', mail.html, 'text', mail.body,
				'attachments', CASE WHEN s.send_as = 'csv' THEN jsonb_build_array(jsonb_build_object('name', format('PO-%s.csv', p.id),
					'type', 'text/csv', 'content', ecauto.purchase_order_csv(payload))) END)),
			'purchase-order-' || p.id);
	END IF;
	UPDATE ecauto_data.purchase_order o SET message_id = message, overdue_at = (p.due_on + 1)::timestamp AT TIME ZONE zone WHERE o.id = p.id;
	PERFORM ecauto.track('purchase_order.sent', properties => jsonb_build_object('id', p.id, 'supplier', p.supplier,
		'goods', p.goods, 'currency', p.currency, 'due_on', p.due_on));
	RETURN message;
END
$$;
COMMENT ON FUNCTION ecauto.approve_purchase_order(bigint) IS
'sends a proposed order to its supplier through the outbox, in the same transaction, counts its units as incoming, and tells event purchase_order.sent; returns the id of the message, NULL if the supplier has send_as none; once sent, the same message again and nothing else; an order below the supplier''s minimum is an error that says what is missing; for operators with USAGE on the endpoint';
REVOKE ALL ON FUNCTION ecauto.approve_purchase_order(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.receive_purchase_order(
	id bigint, units jsonb DEFAULT NULL, reference text DEFAULT NULL, location text DEFAULT NULL, complete boolean DEFAULT false)
RETURNS numeric
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p ecauto_data.purchase_order;
	place text;
	unknown text;
	keys text[];
	amounts numeric[];
	places text[];
	total numeric;
BEGIN
	PERFORM ecauto.purchase_lock();
	SELECT * INTO p FROM ecauto_data.purchase_order o WHERE o.id = receive_purchase_order.id FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'purchase order % does not exist', coalesce(id::text, 'null') USING ERRCODE = 'no_data_found';
	ELSIF p.state = 'received' OR EXISTS (SELECT FROM ecauto_data.purchase_receipt r
			WHERE r.order_id = p.id AND r.reference = receive_purchase_order.reference) THEN
		RETURN 0;
	ELSIF p.state NOT IN ('sent', 'confirmed') THEN
		RAISE EXCEPTION 'purchase order % is %', id, p.state
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Only what was sent can be received.';
	END IF;
	IF units IS NULL THEN
		SELECT array_agg(l.sku::text ORDER BY l.sku), array_agg(coalesce(l.confirmed, l.qty) - l.received ORDER BY l.sku) INTO keys, amounts
		FROM ecauto_data.purchase_order_line l WHERE l.order_id = p.id AND coalesce(l.confirmed, l.qty) > l.received;
	ELSE
		IF jsonb_typeof(units) <> 'object' OR EXISTS (SELECT FROM jsonb_each(units) e WHERE jsonb_typeof(e.value) <> 'number' OR e.value::numeric < 0) THEN
			RAISE EXCEPTION 'units must be an object of a number, not negative, for each sku'
				USING ERRCODE = 'invalid_parameter_value', HINT = 'Write {"CUP-BLUE": 24}.';
		END IF;
		SELECT array_agg(x.key ORDER BY x.key) FILTER (WHERE x.units > 0), array_agg(x.units ORDER BY x.key) FILTER (WHERE x.units > 0),
			string_agg(x.key, ', ') FILTER (WHERE NOT x.known)
		INTO keys, amounts, unknown
		FROM (SELECT k.key, sum(e.value::numeric) AS units,
				EXISTS (SELECT FROM ecauto_data.purchase_order_line l WHERE l.order_id = p.id AND l.sku = k.key) AS known
			FROM jsonb_each(units) e CROSS JOIN LATERAL (SELECT ecauto.stock_sku_key(e.key) AS key) k GROUP BY 1) x;
		IF unknown IS NOT NULL THEN
			RAISE EXCEPTION 'purchase order % has no sku %', id, unknown USING ERRCODE = 'invalid_parameter_value';
		END IF;
	END IF;
	IF keys IS NOT NULL THEN
		SELECT coalesce(receive_purchase_order.location, s.location) INTO place FROM ecauto_data.supplier s WHERE s.supplier = p.supplier;
		-- else where there is most of it
		SELECT array_agg(coalesce(place, w.location) ORDER BY k.n) INTO places
		FROM unnest(keys) WITH ORDINALITY k (sku, n)
		LEFT JOIN (SELECT DISTINCT ON (r.key) r.key, r.location_key AS location
			FROM ecauto.role_rows('stock', keys) AS r (key text, location_key text, on_hand numeric)
			ORDER BY r.key, r.on_hand DESC, r.location_key) w ON w.key = k.sku;
		PERFORM ecauto.receive_stock(keys, amounts, places);
		UPDATE ecauto_data.purchase_order_line l SET received = l.received + k.units
		FROM unnest(keys, amounts) k (sku, units) WHERE l.order_id = p.id AND l.sku = k.sku COLLATE "C";
		-- more than was ordered leaves nothing under way
		UPDATE ecauto_data.stock_incoming i SET units = greatest(0, coalesce(l.confirmed, l.qty) - l.received)
		FROM ecauto_data.purchase_order_line l WHERE l.order_id = p.id AND i.reference = 'PO-' || p.id AND i.sku = l.sku;
		DELETE FROM ecauto_data.stock_incoming i WHERE i.reference = 'PO-' || p.id AND i.units = 0;
		SELECT sum(a) INTO total FROM unnest(amounts) a;
		INSERT INTO ecauto_data.purchase_receipt (order_id, reference, at, units)
		SELECT p.id, coalesce(receive_purchase_order.reference, 'receipt ' || (SELECT count(*) + 1 FROM ecauto_data.purchase_receipt r WHERE r.order_id = p.id)),
			ecauto.now(), (SELECT jsonb_object_agg(k.sku, k.units) FROM unnest(keys, amounts) k (sku, units));
	END IF;
	IF complete OR NOT EXISTS (SELECT FROM ecauto_data.purchase_order_line l WHERE l.order_id = p.id AND l.received < coalesce(l.confirmed, l.qty)) THEN
		DELETE FROM ecauto_data.stock_incoming i WHERE i.reference = 'PO-' || p.id;
		UPDATE ecauto_data.purchase_order o SET state = 'received', received_at = ecauto.now(), late_days = ecauto.today() - o.due_on WHERE o.id = p.id;
		PERFORM ecauto.track('purchase_order.received', properties => jsonb_build_object('id', p.id, 'supplier', p.supplier,
			'late_days', ecauto.today() - p.due_on, 'missing', (SELECT sum(greatest(0, l.qty - l.received))
				FROM ecauto_data.purchase_order_line l WHERE l.order_id = p.id)));
	END IF;
	RETURN coalesce(total, 0);
END
$$;
COMMENT ON FUNCTION ecauto.receive_purchase_order(bigint, jsonb, text, text, boolean) IS
'what came of a purchase order goes into the shop''s stock: units of each sku (key or code; NULL: all that is still under way), at a location (NULL: the supplier''s, else where there is most of it); returns the units; more than was ordered is received too; reference: of the delivery note, which is booked once; complete: nothing more will come; when the last units came, how late it was counts for the supplier''s lead time; 0 if all was received already; for operators';
REVOKE ALL ON FUNCTION ecauto.receive_purchase_order(bigint, jsonb, text, text, boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.cancel_purchase_order(id bigint)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p ecauto_data.purchase_order;
BEGIN
	PERFORM ecauto.purchase_lock();
	SELECT * INTO p FROM ecauto_data.purchase_order o
	WHERE o.id = cancel_purchase_order.id AND o.state IN ('proposed', 'held', 'sent', 'confirmed') FOR UPDATE;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	DELETE FROM ecauto_data.stock_incoming i WHERE i.reference = 'PO-' || p.id;
	UPDATE ecauto_data.purchase_order o SET state = 'cancelled' WHERE o.id = p.id;
	-- the supplier has again what was taken off its offers, unless a list has told since what it has
	UPDATE ecauto_data.offer o SET stock = o.stock + greatest(0, coalesce(l.confirmed, l.qty) - l.received)
	FROM ecauto_data.purchase_order_line l JOIN ecauto_data.supplier s ON s.supplier = p.supplier
	WHERE l.order_id = p.id AND p.state IN ('sent', 'confirmed') AND o.supplier = p.supplier AND o.sku = l.sku
		AND o.stock IS NOT NULL AND NOT (o.from_feed AND coalesce(s.feed_at >= p.ordered_at, false));
	IF p.message_id IS NOT NULL AND NOT ecauto.cancel(p.message_id) THEN
		RAISE WARNING 'purchase order % is on its way to the supplier or there', id USING HINT = 'Tell the supplier.';
	END IF;
	RETURN true;
END
$$;
COMMENT ON FUNCTION ecauto.cancel_purchase_order(bigint) IS
'takes back a purchase order that was not received: its message, if it did not leave, what counts as incoming, and what was taken off the stock of the supplier''s offers, unless a list told it anew; a warning if it left; false if there is none; for operators';
REVOKE ALL ON FUNCTION ecauto.cancel_purchase_order(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.endpoint_kind(endpoint text)
RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN o.option_value ~* '^smtps?:' THEN 'mail' ELSE 'http' END
FROM pg_foreign_server s
JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
CROSS JOIN LATERAL pg_options_to_table(s.srvoptions) o
WHERE s.srvname = $1 AND w.fdwname = 'ecauto_endpoint' AND o.option_name = 'url'
$$;
COMMENT ON FUNCTION ecauto.endpoint_kind(text) IS
'mail or http, by the url of the foreign server; NULL if it is no endpoint of ecauto';

CREATE OR REPLACE FUNCTION ecauto.endpoint_problem(endpoint text)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN ecauto.endpoint_kind($1) IS NULL THEN 'endpoint does not exist'
	WHEN NOT has_server_privilege($1, 'USAGE') THEN 'permission denied for foreign server' END
$$;
COMMENT ON FUNCTION ecauto.endpoint_problem(text) IS
'why the current user cannot enqueue a message to an endpoint; NULL if he can';

CREATE OR REPLACE FUNCTION ecauto.set_stock_policy(
	sku text, reorder_point numeric, order_quantity numeric, endpoint text, recipient text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	sku_key text;
	kind constant text := ecauto.endpoint_kind(endpoint);
BEGIN
	SELECT s.key INTO sku_key FROM ecauto_data.seen_sku s
	WHERE s.key = set_stock_policy.sku OR s.sku = set_stock_policy.sku
	ORDER BY s.key = set_stock_policy.sku DESC LIMIT 1;
	IF sku_key IS NULL THEN
		RAISE EXCEPTION 'sku "%" does not exist', sku
			USING ERRCODE = 'no_data_found',
				DETAIL = 'Neither a key nor a code of role "sku" is equal to it.',
				HINT = 'Run ecauto.tick() if the sku is new, or ecauto.check_shop() to see what the role holds.';
	END IF;
	IF reorder_point IS NULL OR NOT reorder_point >= 0 OR reorder_point IN ('NaN', 'Infinity') THEN
		RAISE EXCEPTION 'reorder point must be a finite number and not negative'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('The reorder point of sku "%s" is %s.', sku, coalesce(reorder_point::text, 'null'));
	END IF;
	IF order_quantity IS NULL OR NOT order_quantity > 0 OR order_quantity IN ('NaN', 'Infinity') THEN
		RAISE EXCEPTION 'order quantity must be a finite number above zero'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('The order quantity of sku "%s" is %s.', sku, coalesce(order_quantity::text, 'null'));
	END IF;
	IF kind IS NULL THEN
		RAISE EXCEPTION 'endpoint "%" does not exist', coalesce(endpoint, 'null')
			USING ERRCODE = 'undefined_object',
				HINT = 'Create it with CREATE SERVER ... FOREIGN DATA WRAPPER ecauto_endpoint.';
	END IF;
	IF NOT has_server_privilege(endpoint, 'USAGE') THEN
		RAISE EXCEPTION 'permission denied for foreign server %', endpoint
			USING ERRCODE = 'insufficient_privilege';
	END IF;
	IF kind = 'mail' AND coalesce(ecauto.mail_address_problem(recipient), CASE WHEN recipient IS NULL THEN 'it is missing' END) IS NOT NULL THEN
		RAISE EXCEPTION 'a supplier who gets mail needs a valid address'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('Endpoint "%s" is a mail server, the recipient is %s.', endpoint, coalesce(quote_ident(recipient), 'null'));
	END IF;

	INSERT INTO ecauto_data.stock_policy AS p (sku, reorder_point, order_quantity, endpoint, recipient)
	VALUES (sku_key, set_stock_policy.reorder_point, set_stock_policy.order_quantity,
		set_stock_policy.endpoint, set_stock_policy.recipient)
	ON CONFLICT ON CONSTRAINT stock_policy_pkey DO UPDATE
	SET reorder_point = excluded.reorder_point, order_quantity = excluded.order_quantity,
		endpoint = excluded.endpoint, recipient = excluded.recipient, enabled = true, last_error = NULL;
END
$$;
COMMENT ON FUNCTION ecauto.set_stock_policy(text, numeric, numeric, text, text) IS
'orders order_quantity of a sku (its key or code) from the supplier behind endpoint whenever what is available falls from above reorder_point to it or below; units of the sku; recipient: the supplier''s address if endpoint is a mail server';

CREATE OR REPLACE FUNCTION ecauto.drop_stock_policy(sku text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM ecauto_data.stock_policy p
	WHERE p.sku = drop_stock_policy.sku
		OR p.sku IN (SELECT s.key FROM ecauto_data.seen_sku s WHERE s.sku = drop_stock_policy.sku);
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ecauto.drop_stock_policy(text) IS
'ends the reordering of a sku (its key or code); false if there was none';

CREATE OR REPLACE FUNCTION ecauto.set_order_mail(kind text, subject text DEFAULT NULL, body text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	default_subject constant text := CASE kind
		WHEN 'order.placed' THEN 'Your order {number}'
		WHEN 'order.paid' THEN 'Payment received for order {number}'
		WHEN 'order.fulfilled' THEN 'Order {number} is on its way'
		WHEN 'order.cancelled' THEN 'Order {number} was cancelled' END;
	default_body constant text := CASE kind
		WHEN 'order.placed' THEN E'Thank you for your order {number} of {total} {currency}.\n'
		WHEN 'order.paid' THEN E'We have received your payment for order {number}.\n'
		WHEN 'order.fulfilled' THEN E'We have sent your order {number}.\n'
		WHEN 'order.cancelled' THEN E'Your order {number} was cancelled.\n' END;
BEGIN
	IF default_subject IS NULL THEN
		RAISE EXCEPTION 'no order mail for event kind %', coalesce(quote_ident(kind), 'null')
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'There are mails for order.placed, order.paid, order.fulfilled and order.cancelled.';
	END IF;
	IF subject ~ '[\r\n]' THEN
		RAISE EXCEPTION 'subject of a mail must not contain line breaks'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('The subject is %s.', quote_literal(subject));
	END IF;
	INSERT INTO ecauto_data.order_mail (kind, subject, body)
	VALUES (set_order_mail.kind, coalesce(set_order_mail.subject, default_subject),
		coalesce(set_order_mail.body, default_body))
	ON CONFLICT ON CONSTRAINT order_mail_pkey DO UPDATE
	SET subject = excluded.subject, body = excluded.body;
END
$$;
COMMENT ON FUNCTION ecauto.set_order_mail(text, text, text) IS
'sends the customer of an order a mail on order.placed, order.paid, order.fulfilled or order.cancelled, once for each order and kind, through the endpoint that ecauto.mail_endpoint names; {number}, {total} and {currency} in subject and body are filled in; NULL: a plain wording';

CREATE OR REPLACE FUNCTION ecauto.drop_order_mail(kind text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM ecauto_data.order_mail m WHERE m.kind = drop_order_mail.kind;
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ecauto.drop_order_mail(text) IS
'ends the mails of an event kind; false if there were none';

-- What can stop a message is sorted out before it is enqueued, since an error
-- there would stop the whole tick: a server that is gone, a right that was
-- revoked, an address that a customer mistyped, a name longer than a message.

CREATE OR REPLACE FUNCTION ecauto.run_stock_policy(at timestamptz, first uuid, last uuid)
RETURNS bigint
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
WITH crossed AS MATERIALIZED (
	SELECT e.event_id, p.sku, left(coalesce(s.sku, p.sku), 1000) AS code, p.order_quantity, p.reorder_point,
		p.endpoint, p.recipient, coalesce((e.new ->> 'available')::numeric, 0) AS available
	FROM ecauto_data.event e
	JOIN ecauto_data.stock_policy p ON p.sku = e.sku
	LEFT JOIN ecauto_data.seen_sku s ON s.key = p.sku
	WHERE e.at = $1 AND e.event_id > $2 AND e.event_id < $3 AND e.kind = 'stock.changed' AND p.enabled
		AND (e.old ->> 'available')::numeric > p.reorder_point
		AND coalesce((e.new ->> 'available')::numeric, 0) <= p.reorder_point),
server AS MATERIALIZED (
	SELECT x.endpoint, ecauto.endpoint_kind(x.endpoint) AS kind, ecauto.endpoint_problem(x.endpoint) AS problem
	FROM (SELECT c.endpoint FROM crossed c UNION SELECT current_setting('ecauto.mail_endpoint')) x),
sent AS MATERIALIZED (
	SELECT ecauto.enqueue(c.endpoint,
		CASE v.kind
			WHEN 'mail' THEN jsonb_build_object(
				'to', c.recipient,
				'subject', 'Order: ' || c.order_quantity || ' of ' || regexp_replace(c.code, '[[:cntrl:]]+', ' ', 'g'),
				'text', format(E'Please deliver %s of %s.\nThe order is attached as CSV; its reference is %s.\n', c.order_quantity, c.code, c.event_id),
				'attachments', jsonb_build_array(jsonb_build_object(
					'name', 'order.csv', 'type', 'text/csv',
					'content', format(E'reference,sku,quantity\r\n%s,"%s",%s\r\n', c.event_id, replace(c.code, '"', '""'), c.order_quantity))))
			ELSE jsonb_build_object('reference', c.event_id, 'sku', c.code, 'sku_key', c.sku,
				'quantity', c.order_quantity, 'available', c.available, 'reorder_point', c.reorder_point)
		END,
		key => 'stock_policy:' || c.event_id) AS id
	FROM crossed c JOIN server v USING (endpoint) WHERE v.problem IS NULL),
told AS MATERIALIZED (
	SELECT ecauto.enqueue(v.endpoint, jsonb_build_object(
		'to', current_setting('ecauto.manager_mail'),
		'subject', 'Low stock: ' || regexp_replace(c.code, '[[:cntrl:]]+', ' ', 'g'),
		'text', format(E'%s of %s are left; its reorder point is %s.\n%s\n', c.available, c.code, c.reorder_point,
			CASE WHEN s.problem IS NULL
				THEN format('%s were ordered from %s.', c.order_quantity, c.endpoint)
				ELSE format('Nothing was ordered from %s: %s.', c.endpoint, s.problem) END)),
		key => 'stock_notice:' || c.event_id) AS id
	FROM crossed c JOIN server s USING (endpoint)
	JOIN server v ON v.endpoint = current_setting('ecauto.mail_endpoint')
	WHERE v.kind = 'mail' AND v.problem IS NULL AND ecauto.mail_address_problem(current_setting('ecauto.manager_mail')) IS NULL),
noted AS (
	UPDATE ecauto_data.stock_policy p
	SET last_ordered_at = CASE WHEN v.problem IS NULL THEN $1 ELSE p.last_ordered_at END, last_error = v.problem
	FROM crossed c JOIN server v USING (endpoint) WHERE p.sku = c.sku)
SELECT (SELECT count(*) FROM sent) + (SELECT count(*) FROM told)
$$;
COMMENT ON FUNCTION ecauto.run_stock_policy(timestamptz, uuid, uuid) IS
'phase of ecauto.tick(): orders from suppliers for the stock events between two identifiers; returns the number of messages';

CREATE OR REPLACE FUNCTION ecauto.run_order_mail(at timestamptz, first uuid, last uuid)
RETURNS bigint
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
WITH server AS MATERIALIZED (
	SELECT FROM (SELECT current_setting('ecauto.mail_endpoint') AS endpoint) x
	WHERE ecauto.endpoint_kind(x.endpoint) = 'mail' AND ecauto.endpoint_problem(x.endpoint) IS NULL),
sent AS MATERIALIZED (
	SELECT ecauto.send_mail(e.new ->> 'email', m.kind,
		jsonb_build_object('subject', filled.subject, 'body', filled.body),
		key => m.kind || ':' || e.key) AS id
	FROM ecauto_data.event e
	JOIN ecauto_data.order_mail m ON m.kind = e.kind
	CROSS JOIN LATERAL (SELECT
		regexp_replace(left(coalesce(e.new ->> 'number', e.key), 200), '[[:cntrl:]]+', ' ', 'g') AS number,
		left(coalesce(e.new ->> 'total', ''), 200) AS total, left(coalesce(e.new ->> 'currency', ''), 200) AS currency) o
	CROSS JOIN LATERAL (SELECT
		replace(replace(replace(m.subject, '{number}', o.number), '{total}', o.total), '{currency}', o.currency) AS subject,
		replace(replace(replace(m.body, '{number}', o.number), '{total}', o.total), '{currency}', o.currency) AS body) filled
	WHERE e.at = $1 AND e.event_id > $2 AND e.event_id < $3 AND EXISTS (SELECT FROM server)
		AND e.new ->> 'email' <> '' AND ecauto.mail_address_problem(e.new ->> 'email') IS NULL)
SELECT count(*) FROM sent
$$;
COMMENT ON FUNCTION ecauto.run_order_mail(timestamptz, uuid, uuid) IS
'phase of ecauto.tick(): mails to customers for the order events between two identifiers; returns the number of messages';

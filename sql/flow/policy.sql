-- The two automations that a shop wants first, as flows: order what runs low,
-- and tell customers what becomes of their orders.  Which skus, and which words,
-- stands in ecauto_data.stock_policy and ecauto_data.order_mail; one flow serves
-- all stock policies, so a bulk change is matched by one statement, and one flow
-- the mails of a kind.  They are there, by name, as long as there is a policy or
-- a mail, and can be shown, explained, disabled and extended like any other.

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

-- not LANGUAGE sql, which would plan endpoint_kind() anew in each call
CREATE OR REPLACE FUNCTION ecauto.endpoint_problem(endpoint text)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF ecauto.endpoint_kind(endpoint) IS NULL THEN
		RETURN 'endpoint does not exist';
	ELSIF NOT has_server_privilege(endpoint, 'USAGE') THEN
		RETURN 'permission denied for foreign server';
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION ecauto.endpoint_problem(text) IS
'why the current user cannot enqueue a message to an endpoint; NULL if he can';

CREATE OR REPLACE FUNCTION ecauto.ensure_flow(name text, definition jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	stored record;
BEGIN
	SELECT f.enabled AND EXISTS (SELECT FROM pg_roles r WHERE r.rolname = v.definer) AS works, v.definition INTO stored
	FROM ecauto_data.flow f JOIN ecauto_data.flow_version v ON v.flow = f.id AND v.version = f.version
	WHERE f.name = ensure_flow.name
	-- it stays as it is until we have committed what it is needed for
	FOR KEY SHARE OF f;
	IF stored.works THEN
		RETURN;
	END IF;
	-- what somebody added to it stays
	PERFORM ecauto.create_flow(name, coalesce(stored.definition, definition));
	PERFORM ecauto.enable_flow(name);
END
$$;
COMMENT ON FUNCTION ecauto.ensure_flow(text, jsonb) IS
'creates and enables a flow unless there is one of that name that is enabled and whose definer exists; one that is there keeps its definition; for operators';
REVOKE ALL ON FUNCTION ecauto.ensure_flow(text, jsonb) FROM PUBLIC;

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
	PERFORM ecauto.ensure_flow('stock policies', jsonb_build_object(
		'on', 'stock.changed',
		'if', 'EXISTS (SELECT FROM ecauto_data.stock_policy p WHERE p.sku = event.sku AND p.enabled'
			' AND old.available > p.reorder_point AND coalesce(new.available, 0) <= p.reorder_point)',
		'steps', '[{"supplier_order": {}, "as": "order"}, {"reorder_notice": {}}]'::jsonb));
END
$$;
COMMENT ON FUNCTION ecauto.set_stock_policy(text, numeric, numeric, text, text) IS
'orders order_quantity of a sku (its key or code) from the supplier behind endpoint whenever what is available falls from above reorder_point to it or below; units of the sku; recipient: the supplier''s address if endpoint is a mail server; the flow "stock policies" does it, created and enabled with the first policy; for operators';

CREATE OR REPLACE FUNCTION ecauto.drop_stock_policy(sku text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM ecauto_data.stock_policy p
	WHERE p.sku = drop_stock_policy.sku
		OR p.sku IN (SELECT s.key FROM ecauto_data.seen_sku s WHERE s.sku = drop_stock_policy.sku);
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	-- waits for whoever is setting a policy, so that the next statement sees it
	PERFORM FROM ecauto_data.flow f WHERE f.name = 'stock policies' FOR UPDATE;
	IF FOUND AND NOT EXISTS (SELECT FROM ecauto_data.stock_policy) THEN
		PERFORM ecauto.disable_flow('stock policies');
	END IF;
	RETURN true;
END
$$;
COMMENT ON FUNCTION ecauto.drop_stock_policy(text) IS
'ends the reordering of a sku (its key or code); false if there was none; the last one disables the flow "stock policies"; for operators';

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
	PERFORM ecauto.ensure_flow('order mail ' || kind, jsonb_build_object(
		'on', kind, 'once_per', 'order', 'if', 'new.email <> ''''',
		'steps', '[{"order_mail": {}}]'::jsonb));
END
$$;
COMMENT ON FUNCTION ecauto.set_order_mail(text, text, text) IS
'sends the customer of an order a mail on order.placed, order.paid, order.fulfilled or order.cancelled, once for each order and kind, through the endpoint that ecauto.mail_endpoint names; {number}, {total} and {currency} in subject and body are filled in; NULL: a plain wording; the flow "order mail <kind>" does it; for operators';

CREATE OR REPLACE FUNCTION ecauto.drop_order_mail(kind text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_any boolean;
BEGIN
	DELETE FROM ecauto_data.order_mail m WHERE m.kind = drop_order_mail.kind;
	found_any := FOUND;
	IF found_any AND EXISTS (SELECT FROM ecauto_data.flow f WHERE f.name = 'order mail ' || drop_order_mail.kind) THEN
		PERFORM ecauto.disable_flow('order mail ' || drop_order_mail.kind);
	END IF;
	RETURN found_any;
END
$$;
COMMENT ON FUNCTION ecauto.drop_order_mail(text) IS
'ends the mails of an event kind, by disabling their flow; false if there were none; for operators';

-- ---- what these flows do ----

-- What can stop a message is sorted out before it is enqueued, and told as the
-- reason why the step was skipped: a server that is gone, a right that was
-- revoked, an address that a customer mistyped, a name longer than a message.

CREATE OR REPLACE FUNCTION ecauto.action_supplier_order(params jsonb, context jsonb)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	event constant jsonb := context -> 'event';
	reference constant text := event ->> 'event_id';
	policy record;
	problem text;
	message bigint;
BEGIN
	SELECT p.sku, left(coalesce(s.sku, p.sku), 1000) AS code, p.order_quantity, p.reorder_point, p.endpoint, p.recipient INTO policy
	FROM ecauto_data.stock_policy p LEFT JOIN ecauto_data.seen_sku s ON s.key = p.sku
	WHERE p.sku = event ->> 'sku' AND p.enabled;
	IF NOT FOUND THEN
		RETURN '{"skipped": "no_policy"}';
	END IF;
	problem := ecauto.endpoint_problem(policy.endpoint);
	UPDATE ecauto_data.stock_policy p
	SET last_ordered_at = CASE WHEN problem IS NULL THEN (context ->> 'at')::timestamptz ELSE p.last_ordered_at END, last_error = problem
	WHERE p.sku = policy.sku;
	IF problem IS NOT NULL THEN
		RETURN jsonb_build_object('skipped', 'no_endpoint', 'endpoint', policy.endpoint, 'problem', problem);
	END IF;
	message := ecauto.enqueue(policy.endpoint,
		CASE ecauto.endpoint_kind(policy.endpoint)
			WHEN 'mail' THEN jsonb_build_object(
				'to', policy.recipient,
				'subject', 'Order: ' || policy.order_quantity || ' of ' || regexp_replace(policy.code, '[[:cntrl:]]+', ' ', 'g'),
				'text', format(E'Please deliver %s of %s.\nThe order is attached as CSV; its reference is %s.\n', policy.order_quantity, policy.code, reference),
				'attachments', jsonb_build_array(jsonb_build_object(
					'name', 'order.csv', 'type', 'text/csv',
					'content', format(E'reference,sku,quantity\r\n%s,"%s",%s\r\n', reference, replace(policy.code, '"', '""'), policy.order_quantity))))
			ELSE jsonb_build_object('reference', reference, 'sku', policy.code, 'sku_key', policy.sku,
				'quantity', policy.order_quantity, 'available', coalesce((event -> 'new' ->> 'available')::numeric, 0),
				'reorder_point', policy.reorder_point)
		END,
		key => 'stock_policy:' || reference);
	RETURN jsonb_build_object('message', message, 'endpoint', policy.endpoint, 'sku', policy.code, 'quantity', policy.order_quantity);
END
$$;
COMMENT ON FUNCTION ecauto.action_supplier_order(jsonb, jsonb) IS
'action supplier_order of flows that stock events start: orders what the stock policy of the event''s sku says, by JSON or, if its endpoint is a mail server, by mail with a CSV attachment; the event''s identifier is the reference and part of the message''s key; no parameters; skipped for no_policy and no_endpoint';

CREATE OR REPLACE FUNCTION ecauto.action_reorder_notice(params jsonb, context jsonb)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	event constant jsonb := context -> 'event';
	server constant text := current_setting('ecauto.mail_endpoint');
	manager constant text := current_setting('ecauto.manager_mail');
	policy record;
BEGIN
	IF manager = '' THEN
		RETURN '{"skipped": "no_recipient"}';
	ELSIF ecauto.mail_address_problem(manager) IS NOT NULL THEN
		RETURN '{"skipped": "no_address"}';
	ELSIF ecauto.endpoint_kind(server) IS DISTINCT FROM 'mail' OR ecauto.endpoint_problem(server) IS NOT NULL THEN
		RETURN jsonb_build_object('skipped', 'no_endpoint', 'endpoint', server);
	END IF;
	SELECT left(coalesce(s.sku, p.sku), 1000) AS code, p.order_quantity, p.reorder_point, p.endpoint INTO policy
	FROM ecauto_data.stock_policy p LEFT JOIN ecauto_data.seen_sku s ON s.key = p.sku
	WHERE p.sku = event ->> 'sku';
	IF NOT FOUND THEN
		RETURN '{"skipped": "no_policy"}';
	END IF;
	RETURN jsonb_build_object('message', ecauto.enqueue(server, jsonb_build_object(
		'to', manager,
		'subject', 'Low stock: ' || regexp_replace(policy.code, '[[:cntrl:]]+', ' ', 'g'),
		'text', format(E'%s of %s are left; its reorder point is %s.\n%s\n',
			coalesce((event -> 'new' ->> 'available')::numeric, 0), policy.code, policy.reorder_point,
			CASE WHEN context -> 'results' -> 'order' ->> 'problem' IS NULL
				THEN format('%s were ordered from %s.', policy.order_quantity, policy.endpoint)
				ELSE format('Nothing was ordered from %s: %s.', policy.endpoint, context -> 'results' -> 'order' ->> 'problem') END)),
		key => 'stock_notice:' || (event ->> 'event_id')));
END
$$;
COMMENT ON FUNCTION ecauto.action_reorder_notice(jsonb, jsonb) IS
'action reorder_notice of flows that stock events start: tells ecauto.manager_mail what is left of the event''s sku and, from the result "order" of the step supplier_order, whether it was ordered; no parameters; skipped for no_recipient, no_address, no_endpoint and no_policy';

CREATE OR REPLACE FUNCTION ecauto.action_order_mail(params jsonb, context jsonb)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	event constant jsonb := context -> 'event';
	server constant text := current_setting('ecauto.mail_endpoint');
	email constant text := event -> 'new' ->> 'email';
	number constant text := regexp_replace(left(coalesce(event -> 'new' ->> 'number', event ->> 'key'), 200), '[[:cntrl:]]+', ' ', 'g');
	total constant text := left(coalesce(event -> 'new' ->> 'total', ''), 200);
	currency constant text := left(coalesce(event -> 'new' ->> 'currency', ''), 200);
	mail record;
BEGIN
	IF coalesce(email, '') = '' OR ecauto.mail_address_problem(email) IS NOT NULL THEN
		RETURN '{"skipped": "no_address"}';
	ELSIF ecauto.endpoint_kind(server) IS DISTINCT FROM 'mail' OR ecauto.endpoint_problem(server) IS NOT NULL THEN
		RETURN jsonb_build_object('skipped', 'no_endpoint', 'endpoint', server);
	END IF;
	SELECT m.kind, replace(replace(replace(m.subject, '{number}', number), '{total}', total), '{currency}', currency) AS subject,
		replace(replace(replace(m.body, '{number}', number), '{total}', total), '{currency}', currency) AS body INTO mail
	FROM ecauto_data.order_mail m WHERE m.kind = event ->> 'kind';
	IF NOT FOUND THEN
		RETURN '{"skipped": "no_policy"}';
	END IF;
	RETURN jsonb_build_object('message', ecauto.send_mail(email, mail.kind,
		jsonb_build_object('subject', mail.subject, 'body', mail.body), key => mail.kind || ':' || (event ->> 'key')));
END
$$;
COMMENT ON FUNCTION ecauto.action_order_mail(jsonb, jsonb) IS
'action order_mail of flows that order events start: sends the customer the mail that ecauto.set_order_mail() set for the kind of the event; no parameters; skipped for no_address, no_endpoint and no_policy (there is no such mail)';

CREATE OR REPLACE FUNCTION ecauto.check_no_parameters(action text, params jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN $2 <> '{}' THEN format('action "%s" has no parameters; write {"%s": {}}', $1, $1) END
$$;
COMMENT ON FUNCTION ecauto.check_no_parameters(text, jsonb) IS
'what is wrong with parameters of an action that has none; NULL if nothing is';

CREATE OR REPLACE FUNCTION ecauto.check_action_supplier_order(params jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT ecauto.check_no_parameters('supplier_order', $1)
$$;
COMMENT ON FUNCTION ecauto.check_action_supplier_order(jsonb) IS
'what is wrong with parameters of the action supplier_order; NULL if nothing is';

CREATE OR REPLACE FUNCTION ecauto.check_action_reorder_notice(params jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT ecauto.check_no_parameters('reorder_notice', $1)
$$;
COMMENT ON FUNCTION ecauto.check_action_reorder_notice(jsonb) IS
'what is wrong with parameters of the action reorder_notice; NULL if nothing is';

CREATE OR REPLACE FUNCTION ecauto.check_action_order_mail(params jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT ecauto.check_no_parameters('order_mail', $1)
$$;
COMMENT ON FUNCTION ecauto.check_action_order_mail(jsonb) IS
'what is wrong with parameters of the action order_mail; NULL if nothing is';

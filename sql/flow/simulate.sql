-- Simulation and back-test: what they have in common is in flow_simulate.c.

CREATE OR REPLACE FUNCTION ecauto.flow_event(
	kind text, role text, event jsonb,
	OUT key text, OUT customer text, OUT sku text, OUT session text, OUT old jsonb, OUT new jsonb)
RETURNS record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	told record;
	state jsonb;
	unknown text;
BEGIN
	SELECT min(k) INTO unknown FROM jsonb_object_keys(event) k
	WHERE k NOT IN ('kind', 'role', 'key', 'customer', 'sku', 'session', 'order', 'cart', 'product', 'old', 'new', 'properties', 'at', 'after',
		'event_id', 'then');
	IF unknown IS NOT NULL THEN
		RAISE EXCEPTION 'unknown member "%" in an event', unknown
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'Known are kind, key, customer, sku, session, order, cart, product, old, new, properties, at and then.';
	END IF;
	session := event ->> 'session';
	customer := event ->> 'customer';
	sku := event ->> 'sku';
	key := coalesce(event ->> 'key', CASE role WHEN 'order' THEN event ->> 'order' WHEN 'cart' THEN event ->> 'cart'
		WHEN 'product' THEN event ->> 'product' WHEN 'customer' THEN event ->> 'customer'
		WHEN 'sku' THEN event ->> 'sku' WHEN 'stock' THEN event ->> 'sku' WHEN 'price' THEN event ->> 'sku' END);
	IF key IS NULL AND role IS NOT NULL AND kind <> 'schedule' THEN
		SELECT e.key INTO key FROM ecauto_data.event e WHERE e.kind = flow_event.kind ORDER BY e.at DESC, e.event_id DESC LIMIT 1;
		IF NOT FOUND THEN
			RAISE EXCEPTION 'event of kind "%" needs a key', kind
				USING ERRCODE = 'invalid_parameter_value',
					DETAIL = 'There was none yet whose key could be taken.',
					HINT = format('Say which %s it is about, such as {"key": "17"}.', role);
		END IF;
	END IF;
	-- what the tick would tell of it
	CASE role
	WHEN 'order' THEN
		SELECT jsonb_build_object('order_key', o.key, 'number', o.number, 'customer_key', o.customer_key, 'email', o.email,
			'cart_key', o.cart_key, 'currency', o.currency, 'total', o.total, 'placed_at', o.placed_at, 'paid', o.paid,
			'refunded', o.refunded, 'cancelled', o.cancelled, 'fulfilment', o.fulfilment, 'raw_status', o.raw_status)
		INTO state FROM ecauto_data.seen_order o WHERE o.key = flow_event.key;
		customer := coalesce(customer, state ->> 'customer_key');
	WHEN 'cart' THEN
		SELECT jsonb_build_object('customer_key', c.customer_key, 'email', c.email, 'currency', c.currency, 'total', c.total,
			'last_activity', c.last_activity, 'lines', c.lines)
		INTO state FROM ecauto_data.seen_cart c WHERE c.key = flow_event.key;
		customer := coalesce(customer, state ->> 'customer_key', lower(state ->> 'email'));
	WHEN 'customer' THEN
		customer := key;
		SELECT jsonb_build_object('email', c.email, 'guest', c.guest, 'active', c.active)
		INTO state FROM ecauto_data.seen_customer c WHERE c.key = flow_event.key;
	WHEN 'product' THEN
		SELECT jsonb_build_object('title', p.title, 'handle', p.handle, 'brand', p.brand, 'active', p.active)
		INTO state FROM ecauto_data.seen_product p WHERE p.key = flow_event.key;
	WHEN 'sku' THEN
		sku := key;
		SELECT jsonb_build_object('product_key', s.product_key, 'sku', s.sku, 'title', s.title, 'active', s.active, 'track_stock', s.track_stock)
		INTO state FROM ecauto_data.seen_sku s WHERE s.key = flow_event.key;
	WHEN 'stock' THEN
		sku := key;
		SELECT ecauto.stock_state(s.on_hand, s.reserved, s.incoming, s.locations)
		INTO state FROM ecauto_data.seen_stock s WHERE s.key = flow_event.key;
	WHEN 'price' THEN
		sku := key;
		SELECT jsonb_build_object('currency', p.currency, 'list_key', nullif(p.list_key, ''), 'amount', p.amount, 'tax_included', p.tax_included)
		INTO state FROM ecauto_data.seen_price p WHERE p.key = flow_event.key ORDER BY p.list_key, p.valid_from DESC LIMIT 1;
	ELSE
		new := coalesce(event -> 'properties', event -> 'new', '{}')
			|| jsonb_strip_nulls(jsonb_build_object('order_key', event -> 'order', 'cart_key', event -> 'cart'));
		old := event -> 'old';
		RETURN;
	END CASE;
	new := coalesce(state, '{}') || coalesce(nullif(event -> 'new', 'null'), '{}');
	old := CASE WHEN jsonb_typeof(event -> 'old') = 'object' THEN coalesce(state, '{}') || (event -> 'old') END;
END
$$;
COMMENT ON FUNCTION ecauto.flow_event(text, text, jsonb) IS
'an event as the tick would tell it, from what somebody says of it for ecauto.simulate_flow(): what is left out is as it is now; without a key it is about the row that the last event of its kind was about; for operators';
REVOKE ALL ON FUNCTION ecauto.flow_event(text, text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.flow_effects(flow integer)
RETURNS TABLE (run bigint, n bigint, step text, action text, effect jsonb)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT r.id, 0, 'on', 'start', jsonb_strip_nulls(jsonb_build_object('at', r.started_at, 'event_at', nullif(r.event_at, r.started_at), 'subject', r.subject,
	'occasion', nullif(nullif(r.occasion, ''), r.event_id::text),
	'already_run', (SELECT x.id FROM ecauto_data.flow_run x WHERE x.flow = -$1 AND x.subject = r.subject AND x.occasion = r.occasion)))
	|| CASE WHEN r.operands IS NULL THEN '{}' ELSE jsonb_build_object('operands', r.operands) END
FROM ecauto_data.flow_run r WHERE r.flow = $1
UNION ALL
SELECT d.run, d.id, d.path, d.step, jsonb_build_object('at', d.at, 'outcome', d.outcome)
	|| CASE WHEN d.operands IS NULL THEN '{}' ELSE jsonb_build_object('operands', d.operands) END
	|| CASE WHEN d.detail IS NULL THEN '{}' WHEN jsonb_typeof(d.detail) = 'object' THEN d.detail - '{message,mail,notice,event}'::text[]
		ELSE jsonb_build_object('result', d.detail) END
	|| CASE WHEN o.id IS NOT NULL AND ecauto.endpoint_kind(o.endpoint) = 'mail' THEN jsonb_build_object('mail', o.payload)
		WHEN o.id IS NOT NULL THEN jsonb_build_object('endpoint', o.endpoint, 'path', o.path, 'payload', o.payload)
		WHEN m.mail_id IS NOT NULL THEN jsonb_build_object('mail', (
			SELECT jsonb_build_object('to', c.address, 'subject', x.subject, 'html', x.html, 'text', x.body)
			FROM ecauto_data.contact c, ecauto.render_mail(m.template, m.data || '{"unsubscribe_url": ""}', coalesce(m.locale, '')) x
			WHERE c.contact_id = m.contact_id))
		WHEN n.id IS NOT NULL THEN jsonb_build_object('notice', jsonb_build_object('to', n.recipient, 'severity', n.severity,
			'subject', n.subject, 'text', n.body))
		WHEN e.event_id IS NOT NULL THEN jsonb_strip_nulls(jsonb_build_object('event', jsonb_build_object('kind', e.kind,
			'customer', e.customer, 'sku', e.sku, 'properties', e.new)))
		ELSE '{}' END
FROM ecauto_data.flow_run r JOIN ecauto_data.flow_decision d ON d.run = r.id
LEFT JOIN ecauto_data.outbox o ON o.id = CASE WHEN jsonb_typeof(d.detail -> 'message') = 'number' THEN (d.detail -> 'message')::bigint END
LEFT JOIN ecauto_data.campaign_mail m ON m.mail_id = CASE WHEN jsonb_typeof(d.detail -> 'mail') = 'number' AND d.detail ? 'deferred'
	THEN (d.detail -> 'mail')::bigint END
LEFT JOIN ecauto_data.notice n ON d.step = 'notice' AND n.id = CASE WHEN jsonb_typeof(d.detail -> 'notice') = 'number' THEN (d.detail -> 'notice')::bigint END
LEFT JOIN ecauto_data.event e ON d.step = 'emit' AND e.at = d.at AND e.event_id = CASE WHEN jsonb_typeof(d.detail -> 'event') = 'string' THEN (d.detail ->> 'event')::uuid END
WHERE r.flow = $1
UNION ALL
SELECT r.id, 9223372036854775807, coalesce(nullif(r.step, ''), CASE WHEN r.state = 'done' THEN 'end' ELSE 'on' END),
	CASE r.state WHEN 'done' THEN 'end' WHEN 'waiting' THEN 'waiting' ELSE 'failed' END,
	jsonb_strip_nulls(jsonb_build_object('at', r.finished_at, 'outcome', r.outcome, 'until', CASE WHEN r.state = 'waiting' THEN r.wake_at END,
		'error', r.error))
FROM ecauto_data.flow_run r WHERE r.flow = $1
ORDER BY 1, 2
$$;
COMMENT ON FUNCTION ecauto.flow_effects(integer) IS
'what the runs of a flow, given by its number, did: for ecauto.simulate_flow() and ecauto.backtest_flow(), which number a copy of it by the negative; for operators';
REVOKE ALL ON FUNCTION ecauto.flow_effects(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.simulate_flow(name text, event jsonb DEFAULT '{}')
RETURNS TABLE (step text, action text, effect jsonb)
AS 'MODULE_PATHNAME', 'ecauto_simulate_flow'
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 20;
COMMENT ON FUNCTION ecauto.simulate_flow(text, jsonb) IS
'what a flow, enabled or not, would do about an event such as {"key": "17"} (members as the columns of ecauto.events(); what is left out is as it is now; "then": events that come later), from its trigger to its end: place in the definition, what was done there, and the effect, with mails as they would be sent; it is really done, with the clock put forward over waits, and undone; a flow that would not start gives one row that says why; for operators';
REVOKE ALL ON FUNCTION ecauto.simulate_flow(text, jsonb) FROM PUBLIC;

-- ---- back-test ----

CREATE OR REPLACE FUNCTION ecauto.flow_history_at(role text, keys text[], at timestamptz)
RETURNS TABLE (key text, sub text, gone boolean, state jsonb, at timestamptz)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT s.key, s.sub, coalesce(b.found, a.found, false) AND coalesce(b.state, a.state) IS NULL, CASE WHEN b.found THEN b.state ELSE a.state END, b.at
FROM (SELECT DISTINCT h.key, h.sub FROM ecauto_data.flow_history h WHERE h.role = $1 AND h.key = ANY ($2)) s
-- what the last event before said; else what the first one after found
LEFT JOIN LATERAL (SELECT true AS found, h.new AS state, h.at FROM ecauto_data.flow_history h
	WHERE h.role = $1 AND h.key = s.key AND h.sub = s.sub AND h.at <= $3 ORDER BY h.at DESC, h.event_id DESC LIMIT 1) b ON true
LEFT JOIN LATERAL (SELECT true AS found, h.old AS state FROM ecauto_data.flow_history h
	WHERE b.found IS NULL AND h.role = $1 AND h.key = s.key AND h.sub = s.sub AND h.at > $3 ORDER BY h.at, h.event_id LIMIT 1) a ON true
$$;
COMMENT ON FUNCTION ecauto.flow_history_at(text, text[], timestamptz) IS
'rows of a role as they were, as events tell it; gone: there was none; part of ecauto.backtest_flow(), which makes ecauto_data.flow_history for it; for operators';
REVOKE ALL ON FUNCTION ecauto.flow_history_at(text, text[], timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.flow_summary(flow integer)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH r AS MATERIALIZED (SELECT r.id, r.state, r.outcome FROM ecauto_data.flow_run r WHERE r.flow = $1),
d AS MATERIALIZED (SELECT d.step, d.outcome, d.detail FROM r JOIN ecauto_data.flow_decision d ON d.run = r.id WHERE d.outcome IN ('done', 'skipped', 'error'))
SELECT jsonb_build_object(
	'runs', (SELECT count(*) FROM r),
	'waiting', (SELECT count(*) FROM r WHERE state = 'waiting'),
	'failed', (SELECT count(*) FROM r WHERE state IN ('retry', 'failed')),
	'outcomes', (SELECT coalesce(jsonb_object_agg(x.outcome, x.n), '{}') FROM (SELECT r.outcome, count(*) AS n FROM r WHERE r.state = 'done' GROUP BY 1) x),
	'done', (SELECT coalesce(jsonb_object_agg(x.step, x.n), '{}') FROM (SELECT d.step, count(*) AS n FROM d WHERE d.outcome = 'done' GROUP BY 1) x),
	'skipped', (SELECT coalesce(jsonb_object_agg(x.reason, x.n), '{}')
		FROM (SELECT coalesce(d.detail ->> 'skipped', '?') AS reason, count(*) AS n FROM d WHERE d.outcome = 'skipped' GROUP BY 1) x))
$$;
COMMENT ON FUNCTION ecauto.flow_summary(integer) IS
'counts of what the runs of a flow did, by its number; part of ecauto.backtest_flow(); for operators';
REVOKE ALL ON FUNCTION ecauto.flow_summary(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.backtest_flow(name text, since timestamptz, until timestamptz)
RETURNS TABLE (run bigint, at timestamptz, subject text, step text, action text, effect jsonb)
AS 'MODULE_PATHNAME', 'ecauto_backtest_flow'
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1000;
COMMENT ON FUNCTION ecauto.backtest_flow(text, timestamptz, timestamptz) IS
'what a flow, enabled or not, would have done from since to before until: first a row with counts (run NULL, step "summary"), then the rows of ecauto.simulate_flow() for each run; conditions and mails see customers, orders, carts, prices and stock as they were then; what happened at until or later changes nothing; actions that write to the shop, and those of your own, are not done (skipped: backtest), the others are done and undone; for operators';
REVOKE ALL ON FUNCTION ecauto.backtest_flow(text, timestamptz, timestamptz) FROM PUBLIC;

-- Built-in actions of flows: action_<name>(params, context), and
-- check_action_<name>(params), which says what is wrong with parameters when
-- a flow is created.  They run as the definer of the flow, who is an operator.

-- ---- tags ----

CREATE OR REPLACE FUNCTION ecauto.tag(role text, key text, tag text, flow text DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF role IS NULL OR key IS NULL OR tag IS NULL THEN
		RAISE EXCEPTION 'role, key and tag must not be null' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF role NOT IN ('customer', 'order', 'product', 'sku', 'cart') THEN
		RAISE EXCEPTION 'a % cannot have tags', quote_ident(role)
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Customers, orders, products, skus and carts can.';
	END IF;
	IF tag !~ '\S' OR length(tag) > 200 OR tag ~ '[[:cntrl:]]' THEN
		RAISE EXCEPTION 'invalid tag'
			USING ERRCODE = 'invalid_parameter_value', DETAIL = format('The tag is %s.', quote_literal(left(tag, 300))),
				HINT = 'A tag has between 1 and 200 characters, not all of them blanks, and no line breaks.';
	END IF;
	INSERT INTO ecauto_data.tag (role, key, tag, at, flow) VALUES (tag.role, tag.key, tag.tag, ecauto.now(), tag.flow)
	ON CONFLICT ON CONSTRAINT tag_pkey DO NOTHING;
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ecauto.tag(text, text, text, text) IS
'gives a customer, order, product, sku or cart (role, and its key) a tag; false if it had it; the table is ecauto_data.tag; needs INSERT there';

CREATE OR REPLACE FUNCTION ecauto.untag(role text, key text, tag text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM ecauto_data.tag t WHERE t.role = untag.role AND t.key = untag.key AND t.tag = untag.tag;
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ecauto.untag(text, text, text) IS
'takes a tag away; false if it was not there; needs DELETE on ecauto_data.tag';

CREATE OR REPLACE FUNCTION ecauto.tags(role text, key text DEFAULT NULL)
RETURNS TABLE (key text, tag text, at timestamptz, flow text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT t.key, t.tag, t.at, t.flow FROM ecauto_data.tag t
WHERE t.role = $1 AND ($2 IS NULL OR t.key = $2) ORDER BY t.key, t.tag
$$;
COMMENT ON FUNCTION ecauto.tags(text, text) IS
'tags of a customer, order, product, sku or cart by its key (NULL: of all), since when, and the flow that set them; needs SELECT on ecauto_data.tag';

CREATE OR REPLACE FUNCTION ecauto.tag_targets(params jsonb, context jsonb)
RETURNS TABLE (role text, key text, tag text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT p.key, CASE p.key
		WHEN 'customer' THEN coalesce($2 -> 'customer' ->> 'key', $2 -> 'event' ->> 'customer')
		WHEN 'order' THEN coalesce($2 -> 'order' ->> 'key', $2 -> 'event' -> 'new' ->> 'order_key')
		WHEN 'cart' THEN coalesce($2 -> 'cart' ->> 'key', $2 -> 'event' -> 'new' ->> 'cart_key')
		WHEN 'sku' THEN coalesce($2 -> 'line' ->> 'sku_key', $2 -> 'event' ->> 'sku')
		WHEN 'product' THEN coalesce($2 -> 'line' ->> 'product_key', $2 -> 'product' ->> 'key') END,
	t.tag
FROM jsonb_each($1) p
CROSS JOIN LATERAL jsonb_array_elements_text(CASE jsonb_typeof(p.value) WHEN 'array' THEN p.value ELSE jsonb_build_array(p.value) END) t(tag)
$$;
COMMENT ON FUNCTION ecauto.tag_targets(jsonb, jsonb) IS
'what the actions tag and untag are about: {"customer": "vip"} or {"order": ["a", "b"]}, with the key from the context of the run; key NULL: the run knows none';

CREATE OR REPLACE FUNCTION ecauto.action_tag(params jsonb, context jsonb)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	target record;
	tagged jsonb := '[]';
BEGIN
	FOR target IN SELECT * FROM ecauto.tag_targets(params, context) LOOP
		IF target.key IS NULL THEN
			RETURN jsonb_build_object('skipped', 'no_' || target.role);
		END IF;
		tagged := tagged || jsonb_build_object('role', target.role, 'key', target.key, 'tag', target.tag,
			'new', ecauto.tag(target.role, target.key, target.tag, context ->> 'flow'));
	END LOOP;
	RETURN jsonb_build_object('tagged', tagged);
END
$$;
COMMENT ON FUNCTION ecauto.action_tag(jsonb, jsonb) IS
'action tag of flows: {"customer": "vip"}, also order, product, sku, cart, and arrays of tags; returns what was tagged, or {"skipped": "no_customer"} if the run knows none';

CREATE OR REPLACE FUNCTION ecauto.action_untag(params jsonb, context jsonb)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	target record;
	untagged jsonb := '[]';
BEGIN
	FOR target IN SELECT * FROM ecauto.tag_targets(params, context) LOOP
		IF target.key IS NULL THEN
			RETURN jsonb_build_object('skipped', 'no_' || target.role);
		END IF;
		untagged := untagged || jsonb_build_object('role', target.role, 'key', target.key, 'tag', target.tag,
			'was', ecauto.untag(target.role, target.key, target.tag));
	END LOOP;
	RETURN jsonb_build_object('untagged', untagged);
END
$$;
COMMENT ON FUNCTION ecauto.action_untag(jsonb, jsonb) IS
'action untag of flows: takes tags away; parameters as those of tag';

CREATE OR REPLACE FUNCTION ecauto.check_action_tag(params jsonb)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE
	WHEN jsonb_typeof($1) <> 'object' OR $1 = '{}' THEN 'a tag needs whom it is for, such as {"customer": "vip"}'
	ELSE (SELECT CASE
			WHEN p.key NOT IN ('customer', 'order', 'product', 'sku', 'cart')
				THEN format('unknown parameter "%s"; tags are for customer, order, product, sku and cart', p.key)
			WHEN jsonb_typeof(p.value) NOT IN ('string', 'array') OR p.value IN ('""', '[]')
				THEN format('tag of %s must be a string or an array of strings', p.key) END
		FROM jsonb_each($1) p ORDER BY 1 LIMIT 1) END
$$;
COMMENT ON FUNCTION ecauto.check_action_tag(jsonb) IS
'what is wrong with parameters of the action tag; NULL if nothing is';

CREATE OR REPLACE FUNCTION ecauto.check_action_untag(params jsonb)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT ecauto.check_action_tag($1)
$$;
COMMENT ON FUNCTION ecauto.check_action_untag(jsonb) IS
'what is wrong with parameters of the action untag; NULL if nothing is';

-- ---- messages ----

CREATE OR REPLACE FUNCTION ecauto.flow_message_key(context jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT concat_ws(':', 'flow', $1 -> 'run' ->> 'id', md5($1 -> 'run' ->> 'step'), $1 -> 'line' ->> 'number')
$$;
COMMENT ON FUNCTION ecauto.flow_message_key(jsonb) IS
'idempotency key of a message that a step of a run sends: the same each time the step is done';

CREATE OR REPLACE FUNCTION ecauto.action_http(params jsonb, context jsonb)
RETURNS jsonb
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT jsonb_build_object('message', ecauto.enqueue($1 ->> 'endpoint', coalesce($1 -> 'payload', $2),
	key => coalesce($1 ->> 'key', ecauto.flow_message_key($2)), path => coalesce($1 ->> 'path', ''),
	entity => $1 ->> 'entity', priority => coalesce(($1 ->> 'priority')::integer, 0), method => $1 ->> 'method',
	headers => $1 -> 'headers', body => coalesce($1 ->> 'body', 'json')), 'endpoint', $1 ->> 'endpoint')
$$;
COMMENT ON FUNCTION ecauto.action_http(jsonb, jsonb) IS
'action http of flows: enqueues a message to an endpoint; parameters endpoint, payload (the context of the run if it is left out), path, method, headers, body, key, entity, priority as those of ecauto.enqueue(); the definer of the flow needs USAGE on the endpoint';

CREATE OR REPLACE FUNCTION ecauto.check_endpoint(params jsonb, known text[])
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE
	WHEN jsonb_typeof($1) <> 'object' THEN 'parameters must be an object such as {"endpoint": "erp"}'
	WHEN EXISTS (SELECT FROM jsonb_object_keys($1) k WHERE k <> ALL ($2))
		THEN (SELECT format('unknown parameter "%s"; known are %s', min(k), array_to_string($2, ', '))
			FROM jsonb_object_keys($1) k WHERE k <> ALL ($2))
	WHEN jsonb_typeof($1 -> 'endpoint') IS DISTINCT FROM 'string'
		THEN 'parameter "endpoint" is missing; it names a foreign server of ecauto_endpoint'
	WHEN $1 ->> 'endpoint' LIKE '%{{%' THEN NULL
	WHEN ecauto.endpoint_kind($1 ->> 'endpoint') IS NULL
		THEN format('endpoint "%s" does not exist; create it with CREATE SERVER ... FOREIGN DATA WRAPPER ecauto_endpoint', $1 ->> 'endpoint')
	WHEN ecauto.endpoint_kind($1 ->> 'endpoint') = 'mail'
		THEN format('endpoint "%s" is a mail server; use the action mail', $1 ->> 'endpoint')
	WHEN ecauto.endpoint_problem($1 ->> 'endpoint') IS NOT NULL
		THEN format('permission denied for endpoint "%s"; GRANT USAGE ON FOREIGN SERVER to the role that creates the flow', $1 ->> 'endpoint') END
$$;
COMMENT ON FUNCTION ecauto.check_endpoint(jsonb, text[]) IS
'what is wrong with parameters of an action that sends to an HTTP endpoint and knows these parameters; NULL if nothing is';

CREATE OR REPLACE FUNCTION ecauto.check_action_http(params jsonb)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT ecauto.check_endpoint($1, '{endpoint,payload,path,method,headers,body,key,entity,priority}')
$$;
COMMENT ON FUNCTION ecauto.check_action_http(jsonb) IS
'what is wrong with parameters of the action http; NULL if nothing is';

CREATE OR REPLACE FUNCTION ecauto.action_slack(params jsonb, context jsonb)
RETURNS jsonb
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT jsonb_build_object('message', ecauto.enqueue($1 ->> 'endpoint',
	jsonb_strip_nulls(jsonb_build_object('text', $1 ->> 'text', 'channel', $1 ->> 'channel', 'blocks', $1 -> 'blocks')),
	key => ecauto.flow_message_key($2), path => coalesce($1 ->> 'path', '')), 'endpoint', $1 ->> 'endpoint')
$$;
COMMENT ON FUNCTION ecauto.action_slack(jsonb, jsonb) IS
'action slack of flows: sends {"text": ...} to the webhook of a chat (Slack, Mattermost, Rocket.Chat), which is an endpoint; parameters endpoint, text, channel, blocks, path';

CREATE OR REPLACE FUNCTION ecauto.check_action_slack(params jsonb)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce(ecauto.check_endpoint($1, '{endpoint,text,channel,blocks,path}'),
	CASE WHEN $1 ->> 'text' IS NULL AND $1 -> 'blocks' IS NULL THEN 'parameter "text" is missing' END)
$$;
COMMENT ON FUNCTION ecauto.check_action_slack(jsonb) IS
'what is wrong with parameters of the action slack; NULL if nothing is';

-- ---- events ----

CREATE OR REPLACE FUNCTION ecauto.action_emit(params jsonb, context jsonb)
RETURNS jsonb
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT jsonb_build_object('event', ecauto.track($1 ->> 'kind',
	customer => coalesce($1 ->> 'customer', $2 -> 'customer' ->> 'key', $2 -> 'event' ->> 'customer'),
	sku => coalesce($1 ->> 'sku', $2 -> 'line' ->> 'sku_key', $2 -> 'event' ->> 'sku'),
	properties => coalesce($1 -> 'properties', '{}') || jsonb_strip_nulls(jsonb_build_object('flow', $2 ->> 'flow',
		'run', $2 -> 'run' -> 'id', 'order_key', $2 -> 'order' ->> 'key', 'cart_key', $2 -> 'cart' ->> 'key')),
	session => $2 -> 'event' ->> 'session', at => ecauto.now()), 'kind', $1 ->> 'kind')
$$;
COMMENT ON FUNCTION ecauto.action_emit(jsonb, jsonb) IS
'action emit of flows: tells an event of your own kind, which the next tick sees; parameters kind, properties, customer, sku; customer, sku, session, order_key and cart_key of the run are added';

CREATE OR REPLACE FUNCTION ecauto.check_action_emit(params jsonb)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE
	WHEN jsonb_typeof($1) <> 'object' OR jsonb_typeof($1 -> 'kind') IS DISTINCT FROM 'string'
		THEN 'parameter "kind" is missing; it names the event, such as {"kind": "vip.reached"}'
	WHEN $1 ->> 'kind' !~ '^[a-z][a-z0-9_.]{0,61}[a-z0-9_]$' THEN format('"%s" is no kind of event; it is made of small letters, digits, underscores and dots', $1 ->> 'kind')
	WHEN $1 ->> 'kind' ~ '^(product|sku|price|stock|customer|cart|order|segment)\.'
		THEN format('event kind "%s" is reserved; choose one of your own, such as "vip.reached"', $1 ->> 'kind')
	WHEN $1 ? 'properties' AND jsonb_typeof($1 -> 'properties') <> 'object' THEN 'parameter "properties" must be an object'
	WHEN EXISTS (SELECT FROM jsonb_object_keys($1) k WHERE k NOT IN ('kind', 'properties', 'customer', 'sku'))
		THEN (SELECT format('unknown parameter "%s"; known are kind, properties, customer, sku', min(k))
			FROM jsonb_object_keys($1) k WHERE k NOT IN ('kind', 'properties', 'customer', 'sku')) END
$$;
COMMENT ON FUNCTION ecauto.check_action_emit(jsonb) IS
'what is wrong with parameters of the action emit; NULL if nothing is';

-- ---- notices to staff ----

CREATE OR REPLACE FUNCTION ecauto.action_notice(params jsonb, context jsonb)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	at constant timestamptz := ecauto.now();
	addressee constant text := nullif(coalesce(params ->> 'to', current_setting('ecauto.manager_mail')), '');
	grade constant text := coalesce(params ->> 'severity', 'info');
	title constant text := left(regexp_replace(params ->> 'subject', '[[:cntrl:]]+', ' ', 'g'), 300);
	about constant text := coalesce(params ->> 'topic', context ->> 'flow', '');
	same constant text := left(about || ':' || coalesce(params ->> 'dedup', title), 500);
	last_sent timestamptz;
	told record;
BEGIN
	IF addressee IS NULL THEN
		RETURN '{"skipped": "no_recipient"}';
	END IF;
	IF ecauto.mail_address_problem(addressee) IS NOT NULL THEN
		RETURN '{"skipped": "no_address"}';
	END IF;
	SELECT max(n.sent_at) INTO last_sent FROM ecauto_data.notice n
	WHERE n.recipient = addressee AND n.dedup = same
		AND n.sent_at > at - coalesce(params ->> 'repeat', '1 hour')::interval;
	IF last_sent IS NOT NULL THEN
		RETURN jsonb_build_object('skipped', 'duplicate', 'sent_at', last_sent);
	END IF;
	INSERT INTO ecauto_data.notice AS n (recipient, topic, severity, subject, body, dedup, first_at, last_at, send_at)
	VALUES (addressee, about, grade, title, coalesce(params ->> 'text', ''), same, at, at,
		at + CASE WHEN grade = 'critical' THEN interval '0' ELSE coalesce(params ->> 'digest', '0')::interval END)
	ON CONFLICT (recipient, dedup) WHERE sent_at IS NULL DO UPDATE
	SET times = n.times + 1, last_at = excluded.last_at, body = excluded.body, send_at = least(n.send_at, excluded.send_at)
	RETURNING n.id, n.times, n.send_at INTO told;
	RETURN jsonb_build_object('notice', told.id, 'times', told.times, 'send_at', told.send_at);
END
$$;
COMMENT ON FUNCTION ecauto.action_notice(jsonb, jsonb) IS
'action notice of flows: a mail to staff; parameters subject, text, to (default ecauto.manager_mail), severity (info, warning, critical), topic, digest (how long it may wait to go with others, default 0; critical ones do not wait), dedup (what is the same notice, default the subject), repeat (the same is not sent again within, default 1 hour); returns {"skipped": "duplicate"} for one that was sent, or counts up one that waits';

CREATE OR REPLACE FUNCTION ecauto.check_action_notice(params jsonb)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	unknown text;
	word text;
BEGIN
	IF jsonb_typeof(params) <> 'object' OR coalesce(params ->> 'subject', '') = '' THEN
		RETURN 'parameter "subject" is missing';
	END IF;
	SELECT min(k) INTO unknown FROM jsonb_object_keys(params) k
	WHERE k NOT IN ('to', 'subject', 'text', 'severity', 'topic', 'digest', 'dedup', 'repeat');
	IF unknown IS NOT NULL THEN
		RETURN format('unknown parameter "%s"; known are to, subject, text, severity, topic, digest, dedup, repeat', unknown);
	END IF;
	IF coalesce(params ->> 'severity', 'info') NOT IN ('info', 'warning', 'critical') THEN
		RETURN format('severity "%s" is not known; it is info, warning or critical', params ->> 'severity');
	END IF;
	IF params ? 'to' AND params ->> 'to' NOT LIKE '%{{%' AND ecauto.mail_address_problem(params ->> 'to') IS NOT NULL THEN
		RETURN format('"%s" is no mail address: %s', params ->> 'to', ecauto.mail_address_problem(params ->> 'to'));
	END IF;
	FOREACH word IN ARRAY ARRAY['digest', 'repeat'] LOOP
		BEGIN
			IF (params ->> word)::interval < interval '0' OR (params ->> word)::interval > interval '1 year' THEN
				RETURN format('parameter "%s" must be between nothing and a year', word);
			END IF;
		EXCEPTION WHEN invalid_datetime_format OR datetime_field_overflow OR interval_field_overflow THEN
			RETURN format('parameter "%s" is no duration; write it like "15 minutes"', word);
		END;
	END LOOP;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION ecauto.check_action_notice(jsonb) IS
'what is wrong with parameters of the action notice; NULL if nothing is';

CREATE OR REPLACE FUNCTION ecauto.send_notices(at timestamptz)
RETURNS bigint
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
WITH server AS MATERIALIZED (
	SELECT FROM (SELECT current_setting('ecauto.mail_endpoint') AS endpoint) x
	WHERE ecauto.endpoint_kind(x.endpoint) = 'mail' AND ecauto.endpoint_problem(x.endpoint) IS NULL),
due AS MATERIALIZED (
	-- whoever gets one that is due gets those that wait, too
	SELECT n.* FROM ecauto_data.notice n
	WHERE n.sent_at IS NULL AND EXISTS (SELECT FROM server)
		AND n.recipient IN (SELECT d.recipient FROM ecauto_data.notice d WHERE d.sent_at IS NULL AND d.send_at <= $1)),
mail AS MATERIALIZED (
	SELECT d.recipient, min(d.id) AS first, max(d.id) AS last, ecauto.send_mail(d.recipient, NULL, jsonb_build_object(
			'subject', CASE WHEN count(*) = 1 THEN min(d.subject) || CASE WHEN min(d.times) > 1 THEN format(' (%s times)', min(d.times)) ELSE '' END
				ELSE format('%s notices', count(*)) END,
			'body', string_agg(CASE WHEN d.severity = 'info' THEN '' ELSE upper(d.severity) || ': ' END || d.subject
				|| CASE WHEN d.times > 1 THEN format(' (%s times)', d.times) ELSE '' END || E'\n' || d.body || E'\n', E'\n'
				ORDER BY array_position('{critical,warning,info}', d.severity), d.id)),
		key => format('notice:%s:%s', min(d.id), max(d.id))) AS message
	FROM due d GROUP BY d.recipient),
noted AS (
	UPDATE ecauto_data.notice n SET sent_at = $1, message = m.message
	FROM due d JOIN mail m USING (recipient) WHERE n.id = d.id)
SELECT count(*) FROM mail
$$;
COMMENT ON FUNCTION ecauto.send_notices(timestamptz) IS
'phase of ecauto.tick(): sends notices to staff that are due, one mail for each recipient; returns the number of mails';
REVOKE ALL ON FUNCTION ecauto.send_notices(timestamptz) FROM PUBLIC;

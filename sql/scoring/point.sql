CREATE OR REPLACE FUNCTION ecauto.score_scope()
RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT jsonb_build_object('event', '{"kind": "text", "role": "text", "key": "text", "customer": "text", "sku": "text", "session": "text", "at": "timestamptz", "old": "jsonb", "new": "jsonb"}'::jsonb,
	'customer', (SELECT jsonb_object_agg(n, format_type(t, NULL)) FROM pg_proc p, unnest(p.proargnames, p.proallargtypes, p.proargmodes) a (n, t, m)
		WHERE p.oid = 'ecauto.customer_facts(text[], timestamptz)'::regprocedure AND m = 't'))
$$;
COMMENT ON FUNCTION ecauto.score_scope() IS
'rows and columns that conditions of score rules may speak of, with their types';

CREATE OR REPLACE FUNCTION ecauto.create_score_rule(name text, definition jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known constant text[] := ARRAY['on', 'points', 'times', 'if', 'half_life', 'once', 'per_day', 'from', 'until', 'refundable', 'enabled'];
	wrong text;
	hl interval;
	given float8;
BEGIN
	IF name IS NULL OR name = '' OR length(name) > 63 THEN
		RAISE EXCEPTION 'name of a score rule must have between 1 and 63 characters'
			USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', coalesce(quote_literal(name), 'null'));
	END IF;
	IF definition IS NULL OR jsonb_typeof(definition) <> 'object' THEN
		RAISE EXCEPTION 'definition of a score rule must be a JSON object'
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'Such as {"on": "order.placed", "points": 20, "half_life": "30 days"}.';
	END IF;
	SELECT k INTO wrong FROM jsonb_object_keys(definition) k WHERE k <> ALL (known) ORDER BY 1 LIMIT 1;
	IF wrong IS NOT NULL THEN
		RAISE EXCEPTION 'score rule "%" has an unknown key "%"', name, wrong
			USING ERRCODE = 'invalid_parameter_value', HINT = format('The keys are %s.', array_to_string(known, ', '));
	END IF;
	IF coalesce(definition->>'on', '') !~ '^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$' THEN
		RAISE EXCEPTION 'score rule "%" must say in "on" which kind of event it is for', name
			USING ERRCODE = 'invalid_parameter_value', DETAIL = format('"on" is %s.', coalesce(definition->>'on', 'missing')),
				HINT = 'Such as order.placed, view, or a kind of your own that track() tells.';
	END IF;
	IF jsonb_typeof(definition->'points') IS DISTINCT FROM 'number' THEN
		RAISE EXCEPTION 'score rule "%" must say in "points" how many', name
			USING ERRCODE = 'invalid_parameter_value', DETAIL = format('"points" is %s.', coalesce(definition->>'points', 'missing'));
	END IF;
	given := (definition->>'points')::numeric::float8;
	IF abs(given) > 1e9 OR given = 0 THEN
		RAISE EXCEPTION 'points of score rule "%" must not be 0 nor above 1e9', name
			USING ERRCODE = 'invalid_parameter_value', DETAIL = format('They are %s.', definition->>'points');
	END IF;
	IF definition->>'half_life' IS NOT NULL THEN
		BEGIN
			hl := (definition->>'half_life')::interval;
		EXCEPTION WHEN OTHERS THEN
			RAISE EXCEPTION 'half-life of score rule "%" is no interval', name
				USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', quote_literal(definition->>'half_life')), HINT = 'Such as "30 days".';
		END;
		IF hl < '1 second' OR hl > '100 years' THEN
			RAISE EXCEPTION 'half-life of score rule "%" must be between 1 second and 100 years', name
				USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', hl);
		END IF;
	END IF;
	IF definition ? 'per_day' AND (jsonb_typeof(definition->'per_day') <> 'number' OR (definition->>'per_day')::numeric NOT BETWEEN 1 AND 1000000 OR (definition->>'per_day')::numeric % 1 <> 0) THEN
		RAISE EXCEPTION '"per_day" of score rule "%" must be a whole number from 1 to 1000000', name
			USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', definition->>'per_day');
	END IF;
	FOREACH wrong IN ARRAY ARRAY['once', 'refundable', 'enabled'] LOOP
		IF definition ? wrong AND jsonb_typeof(definition->wrong) <> 'boolean' THEN
			RAISE EXCEPTION '"%" of score rule "%" must be true or false', wrong, name
				USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', definition->>wrong);
		END IF;
	END LOOP;
	FOREACH wrong IN ARRAY ARRAY['times', 'if', 'from', 'until'] LOOP
		IF definition ? wrong AND jsonb_typeof(definition->wrong) <> 'string' THEN
			RAISE EXCEPTION '"%" of score rule "%" must be a text', wrong, name
				USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', definition->>wrong);
		END IF;
	END LOOP;
	IF definition ? 'if' THEN
		PERFORM ecauto.check_condition(definition->>'if', ecauto.score_scope());
		IF NOT ecauto.condition_self_contained(definition->>'if', ecauto.score_scope()) THEN
			RAISE EXCEPTION 'condition of score rule "%" may only compute over event and customer', name
				USING ERRCODE = 'feature_not_supported', DETAIL = format('The condition is %s.', definition->>'if'),
					HINT = 'Leave out subqueries and functions that are not the server''s own.';
		END IF;
	END IF;

	INSERT INTO ecauto_data.score_rule AS r (name, kind, points, times, condition, half_life, once, per_day, valid_from, valid_until, refundable, enabled)
	VALUES (create_score_rule.name, definition->>'on', given, definition->>'times', definition->>'if', hl,
		coalesce((definition->>'once')::boolean, false), (definition->>'per_day')::numeric::integer,
		coalesce((definition->>'from')::timestamptz, '-infinity'), coalesce((definition->>'until')::timestamptz, 'infinity'),
		coalesce((definition->>'refundable')::boolean, true), coalesce((definition->>'enabled')::boolean, true))
	ON CONFLICT ON CONSTRAINT score_rule_name_key DO UPDATE
	SET kind = excluded.kind, points = excluded.points, times = excluded.times, condition = excluded.condition,
		half_life = excluded.half_life, once = excluded.once, per_day = excluded.per_day, valid_from = excluded.valid_from,
		valid_until = excluded.valid_until, refundable = excluded.refundable, enabled = excluded.enabled, error = NULL;
END
$$;
COMMENT ON FUNCTION ecauto.create_score_rule(text, jsonb) IS
'gives customers points for events from the next tick on; {"on": kind of event, "points": number, "times": name of a number in the event''s new state to multiply by, "if": condition over event and customer, "half_life": interval after which points count half, "once": true, "per_day": most times a day, "from", "until": of the event''s time, "refundable": false, "enabled": false}; a rule of that name is replaced, points given stay; error if the definition says what it must not';
REVOKE ALL ON FUNCTION ecauto.create_score_rule(text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.drop_score_rule(name text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE ecauto_data.score_rule r SET enabled = false WHERE r.name = drop_score_rule.name AND r.enabled;
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ecauto.drop_score_rule(text) IS
'ends a rule; points it gave stay and can still be explained and taken back; false if there was none';
REVOKE ALL ON FUNCTION ecauto.drop_score_rule(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.score(customer text, as_of timestamptz DEFAULT NULL)
RETURNS float8
AS 'MODULE_PATHNAME', 'ecauto_score'
LANGUAGE C STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.score(text, timestamptz) IS
'points of a customer as of an instant (NULL: ecauto.now()), each halved for every half-life since; what was taken back later counts before; 0 for one who has none, NULL for NULL; for operators';
REVOKE ALL ON FUNCTION ecauto.score(text, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.explain_score(customer text, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (at timestamptz, rule text, points float8, counts float8, order_key text, event_id uuid, recorded_at timestamptz)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT p.at, r.name, p.points,
	CASE WHEN t.age > 1000 * p.half_life THEN 0 ELSE p.points * power(2::float8, -t.age / p.half_life) END,
	p.order_key, p.event_id, p.recorded_at
FROM ecauto_data.score_point p
JOIN ecauto_data.score_rule r ON r.id = p.rule
CROSS JOIN LATERAL (SELECT extract(epoch FROM coalesce($2, ecauto.now()) - p.at)::float8) t (age)
WHERE p.customer = $1 AND p.recorded_at <= coalesce($2, ecauto.now())
ORDER BY p.at, p.id
$$;
COMMENT ON FUNCTION ecauto.explain_score(text, timestamptz) IS
'a customer''s score point by point, oldest first: points as given and what they count as of an instant (NULL: ecauto.now()), which sum up to ecauto.score(); negative points of an order were taken back at recorded_at; needs SELECT on ecauto_data.score_point and score_rule';
REVOKE ALL ON FUNCTION ecauto.explain_score(text, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.create_score_threshold(name text, points float8, rearm_below float8 DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF name IS NULL OR name = '' OR length(name) > 63 THEN
		RAISE EXCEPTION 'name of a score threshold must have between 1 and 63 characters'
			USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', coalesce(quote_literal(name), 'null'));
	END IF;
	IF points IS NULL OR points IN ('NaN', 'Infinity', '-Infinity') THEN
		RAISE EXCEPTION 'points of a threshold must be a finite number'
			USING ERRCODE = 'invalid_parameter_value', DETAIL = format('They are %s.', coalesce(points::text, 'null'));
	END IF;
	IF rearm_below > points OR rearm_below = 'NaN' THEN
		RAISE EXCEPTION 'a threshold must not re-arm above itself'
			USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s, and re-arms below %s.', points, rearm_below);
	END IF;
	INSERT INTO ecauto_data.score_threshold AS t (name, points, rearm_below)
	VALUES (create_score_threshold.name, create_score_threshold.points, create_score_threshold.rearm_below)
	ON CONFLICT ON CONSTRAINT score_threshold_name_key DO UPDATE
	SET points = excluded.points, rearm_below = excluded.rearm_below;
END
$$;
COMMENT ON FUNCTION ecauto.create_score_threshold(text, float8, float8) IS
'makes an event score.reached when a customer''s score rises to so many points, once for ever, or once again after it was below rearm_below; whoever is above already has it with his next points; a threshold of that name is replaced';
REVOKE ALL ON FUNCTION ecauto.create_score_threshold(text, float8, float8) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.drop_score_threshold(name text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	gone integer;
BEGIN
	DELETE FROM ecauto_data.score_threshold t WHERE t.name = drop_score_threshold.name RETURNING id INTO gone;
	DELETE FROM ecauto_data.score_reached r WHERE r.threshold = gone;
	RETURN gone IS NOT NULL;
END
$$;
COMMENT ON FUNCTION ecauto.drop_score_threshold(text) IS
'ends a threshold and forgets who reached it; false if there was none';
REVOKE ALL ON FUNCTION ecauto.drop_score_threshold(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.score_turn(as_of timestamptz, worth float8[], half_lives float8[], value float8)
RETURNS timestamptz
AS 'MODULE_PATHNAME', 'ecauto_score_turn'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.score_turn(timestamptz, float8[], float8[], float8) IS
'the first instant after as_of at which points that come to worth[i] then, halved every half_lives[i] seconds (infinity: they last), together rise or fall to value; infinity if never within two hundred years';

CREATE OR REPLACE FUNCTION ecauto.price_guard_check(definition jsonb)
RETURNS void
AS 'MODULE_PATHNAME', 'ecauto_price_guard_check'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.price_guard_check(jsonb) IS
'error if an object is no definition for set_price_guard()';

CREATE OR REPLACE FUNCTION ecauto.set_price_guard(definition jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM ecauto.require_shop('set a price guard');
	PERFORM ecauto.price_guard_check(definition);
	IF definition IS NULL THEN
		DELETE FROM ecauto_data.price_guard;
	ELSE
		INSERT INTO ecauto_data.price_guard (definition) VALUES (set_price_guard.definition)
		ON CONFLICT ON CONSTRAINT price_guard_pkey DO UPDATE SET definition = excluded.definition;
	END IF;
END
$$;
COMMENT ON FUNCTION ecauto.set_price_guard(jsonb) IS
'what a change of prices must keep to, or it is held: max_rows; max_share (percent) of the prices may move by more than max_move (percent); min_margin (percent); prior_price (true: what is shown as reduced must be below its prior price); NULL: nothing';
REVOKE ALL ON FUNCTION ecauto.set_price_guard(jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.propose_reprice(note text DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_propose_reprice'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.propose_reprice(text) IS
'freezes what reprice() would change as a proposal, for approve_proposal(), and returns its number; NULL if nothing would change';
REVOKE ALL ON FUNCTION ecauto.propose_reprice(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.approve_proposal(id bigint)
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_approve_proposal'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.approve_proposal(bigint) IS
'writes exactly the frozen prices of a proposal to the shop and returns their number; error, and nothing is written, if a price of the shop is not what it was when the proposal was made';
REVOKE ALL ON FUNCTION ecauto.approve_proposal(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.undo_proposal(id bigint)
RETURNS TABLE (sku text, currency text, written numeric, found numeric)
AS 'MODULE_PATHNAME', 'ecauto_undo_proposal'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION ecauto.undo_proposal(bigint) IS
'gives the prices of an applied proposal back what they were; those that somebody has changed since stay and are returned: what was written, and what was found (NULL: no price)';
REVOKE ALL ON FUNCTION ecauto.undo_proposal(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.reject_proposal(id bigint)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM ecauto.require_shop('reject a price proposal');
	UPDATE ecauto_data.price_proposal p
	SET state = 'rejected', settled_at = ecauto.now(), settled_by = current_user
	WHERE p.proposal_id = id AND p.state IN ('open', 'held');
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ecauto.reject_proposal(bigint) IS
'settles a proposal without writing anything; false if it was settled already';
REVOKE ALL ON FUNCTION ecauto.reject_proposal(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.price_proposals(state text DEFAULT NULL)
RETURNS TABLE (id bigint, state text, note text, priced bigint, rows bigint, violations text[], made_at timestamptz, made_by name, settled_at timestamptz, settled_by name)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT p.proposal_id, p.state, p.note, p.priced, p.rows, p.violations, p.made_at, p.made_by, p.settled_at, p.settled_by
FROM ecauto_data.price_proposal p
WHERE $1 IS NULL OR p.state = $1
ORDER BY p.proposal_id DESC
$$;
COMMENT ON FUNCTION ecauto.price_proposals(text) IS
'changes of prices in a state (open, held, applied, undone, rejected; NULL: all), latest first: rows of the priced ones change; violations: why it is held';
REVOKE ALL ON FUNCTION ecauto.price_proposals(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.price_proposal_rows(id bigint)
RETURNS TABLE (sku text, currency text, old_price numeric, new_price numeric, reason text, violation text)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
SELECT r.sku, r.currency, r.old_price, r.new_price, r.reason, r.violation
FROM ecauto_data.price_proposal_part p,
	ROWS FROM (unnest(p.skus), unnest(p.currencies), unnest(p.olds), unnest(p.news), unnest(p.reasons), unnest(p.violations))
		AS r (sku, currency, old_price, new_price, reason, violation)
WHERE p.proposal_id = $1
$$;
COMMENT ON FUNCTION ecauto.price_proposal_rows(bigint) IS
'the frozen rows of a proposal; violation: the guard that a row breaks by itself';
REVOKE ALL ON FUNCTION ecauto.price_proposal_rows(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.set_prices(skus text[], currencies text[], prices numeric[], note text DEFAULT NULL)
RETURNS TABLE (sku text, currency text, old_price numeric, new_price numeric, violation text)
AS 'MODULE_PATHNAME', 'ecauto_set_prices'
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION ecauto.set_prices(text[], text[], numeric[], text) IS
'writes base prices of skus (keys or codes) to the shop, in major units, and returns those that changed; if they break a guard (but min_margin, which reprice() looks at) nothing is written: violation says which, and a proposal holds them';
REVOKE ALL ON FUNCTION ecauto.set_prices(text[], text[], numeric[], text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.set_sku_active(key text, active boolean)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_set_sku_active'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.set_sku_active(text, boolean) IS
'switches what the shop''s writer set_active writes on or off: a sku, or a product, by its key; false if there is none';
REVOKE ALL ON FUNCTION ecauto.set_sku_active(text, boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.action_set_price(params jsonb, context jsonb)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	named constant text := coalesce(params ->> 'sku', context #>> '{sku,key}', context #>> '{event,sku}');
	sku_key text;
	money text := upper(params ->> 'currency');
	was numeric;
	price numeric := (params ->> 'price')::numeric;
	changed record;
BEGIN
	IF named IS NULL THEN
		RETURN jsonb_build_object('skipped', 'no_sku');
	END IF;
	sku_key := ecauto.price_sku_key(named);
	IF money IS NULL AND (SELECT count(DISTINCT p.currency) FROM ecauto_data.seen_price p WHERE p.key = sku_key AND p.list_key = '') > 1 THEN
		RAISE EXCEPTION 'sku "%" has prices in several currencies', sku_key
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Say which one is meant: "currency".';
	END IF;
	SELECT p.currency, p.amount INTO money, was FROM ecauto_data.seen_price p
	WHERE p.key = sku_key AND p.list_key = '' AND (p.currency = money OR money IS NULL) AND p.valid_from <= ecauto.now()
	ORDER BY p.valid_from DESC LIMIT 1;
	IF NOT FOUND THEN
		RETURN jsonb_build_object('skipped', 'no_price');
	END IF;
	price := coalesce(price, round(was * (1 + (params ->> 'percent')::numeric / 100), 2));
	SELECT * INTO changed FROM ecauto.set_prices(ARRAY[sku_key], ARRAY[money], ARRAY[price], 'flow ' || coalesce(context ->> 'flow', ''));
	IF NOT FOUND THEN
		RETURN jsonb_build_object('sku', sku_key, 'currency', money, 'price', price, 'changed', false);
	END IF;
	RETURN jsonb_strip_nulls(jsonb_build_object('sku', sku_key, 'currency', money, 'old_price', changed.old_price,
		'price', changed.new_price, 'changed', changed.violation IS NULL, 'held', changed.violation));
END
$$;
COMMENT ON FUNCTION ecauto.action_set_price(jsonb, jsonb) IS
'action set_price of flows: {"price": 9.99} or {"percent": -10} of the current price, for "sku" (key or code; the run''s if it is left out) in "currency" (if there are several); kept to the guards as all changes of prices; returns what changed, or {"skipped": ...}';
REVOKE ALL ON FUNCTION ecauto.action_set_price(jsonb, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.check_action_set_price(params jsonb)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE
	WHEN (SELECT count(*) FROM jsonb_object_keys($1) k WHERE k IN ('price', 'percent')) <> 1 THEN 'needs either "price" or "percent"'
	WHEN jsonb_typeof($1 -> 'price') = 'number' AND NOT ($1 -> 'price')::numeric > 0 THEN '"price" must be above zero'
	WHEN jsonb_typeof($1 -> 'percent') = 'number' AND NOT ($1 -> 'percent')::numeric > -100 THEN '"percent" must be above -100'
	ELSE (SELECT format('does not know "%s"', k) FROM jsonb_object_keys($1) k WHERE k NOT IN ('sku', 'currency', 'price', 'percent') ORDER BY k LIMIT 1)
END
$$;
COMMENT ON FUNCTION ecauto.check_action_set_price(jsonb) IS
'what is wrong with parameters of action set_price; NULL: nothing';

CREATE OR REPLACE FUNCTION ecauto.action_set_active(params jsonb, context jsonb)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	named constant text := coalesce(params ->> 'key', params ->> 'product', params ->> 'sku', context #>> '{sku,key}', context #>> '{event,sku}', context #>> '{event,key}');
	active constant boolean := coalesce((params ->> 'active')::boolean, true);
	target text;
BEGIN
	IF named IS NULL THEN
		RETURN jsonb_build_object('skipped', 'no_sku');
	END IF;
	target := CASE WHEN params ? 'sku' THEN ecauto.price_sku_key(named) ELSE named END;
	RETURN jsonb_build_object('key', target, 'active', active, 'changed', ecauto.set_sku_active(target, active));
END
$$;
COMMENT ON FUNCTION ecauto.action_set_active(jsonb, jsonb) IS
'action set_active of flows: {"active": false} switches off what the shop''s writer set_active writes, a sku ("sku": key or code) or a product ("product": key); the run''s sku if neither is said; returns whether there was one';
REVOKE ALL ON FUNCTION ecauto.action_set_active(jsonb, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.check_action_set_active(params jsonb)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce(
	(SELECT format('does not know "%s"', k) FROM jsonb_object_keys($1) k WHERE k NOT IN ('sku', 'product', 'key', 'active') ORDER BY k LIMIT 1),
	CASE WHEN jsonb_typeof($1 -> 'active') = 'number' THEN '"active" must be true or false' END)
$$;
COMMENT ON FUNCTION ecauto.check_action_set_active(jsonb) IS
'what is wrong with parameters of action set_active; NULL: nothing';

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

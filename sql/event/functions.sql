CREATE OR REPLACE FUNCTION ecauto.stock_state(
	on_hand numeric, reserved numeric, incoming numeric, locations jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'ecauto_stock_state'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.stock_state(numeric, numeric, numeric, jsonb) IS
'what a stock event tells of a sku: on_hand, reserved, available (on_hand - reserved), incoming, and locations if there are several; units of the sku';

CREATE OR REPLACE FUNCTION ecauto.events(since timestamptz DEFAULT NULL, kind text DEFAULT NULL)
RETURNS TABLE (
	event_id uuid, at timestamptz, kind text, role text, key text,
	customer text, sku text, old jsonb, new jsonb, session text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT e.event_id, e.at, e.kind, e.role, e.key, coalesce(e.customer, i.customer), e.sku,
	e.old, e.new, e.session
FROM ecauto_data.event e LEFT JOIN ecauto_data.identity i ON i.session = e.session
WHERE e.at >= coalesce($1, '-infinity') AND ($2 IS NULL OR e.kind = $2)
ORDER BY e.at, e.event_id
$$;
COMMENT ON FUNCTION ecauto.events(timestamptz, text) IS
'events since a time (NULL: all) of a kind (NULL: every), oldest first; old and new: state of the row before and after (NULL: there was none, there is none), for behaviour new holds the properties; customer of an identified session is filled in; needs SELECT on ecauto_data.event and ecauto_data.identity';

CREATE OR REPLACE FUNCTION ecauto.track(
	kind text, customer text DEFAULT NULL, sku text DEFAULT NULL, properties jsonb DEFAULT NULL,
	session text DEFAULT NULL, at timestamptz DEFAULT NULL, event_id uuid DEFAULT NULL)
RETURNS uuid
AS 'MODULE_PATHNAME', 'ecauto_track'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.track(text, text, text, jsonb, text, timestamptz, uuid) IS
'tells behaviour (view, click, search, wishlist, or a kind of your own) and returns the event''s identifier; the same event_id told again changes nothing; NULL, and nothing kept, if the customer (or the one the session belongs to) objected to profiling; at: NULL for now; error if the kind is one that ecauto derives from the shop''s tables';

CREATE OR REPLACE FUNCTION ecauto.identify(session text, customer text)
RETURNS void
AS 'MODULE_PATHNAME', 'ecauto_identify'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.identify(text, text) IS
'ties a session to a customer: its events, past and future, count as his; calling it again with another customer moves them';

CREATE OR REPLACE FUNCTION ecauto.unidentify(session text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_unidentify'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.unidentify(text) IS
'undoes ecauto.identify(): the session''s events belong to nobody again; false if it was not tied';

CREATE OR REPLACE FUNCTION ecauto.drop_old_events(keep interval DEFAULT '13 months')
RETURNS integer
AS 'MODULE_PATHNAME', 'ecauto_drop_old_events'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
-- dropping waits for every transaction that has told an event, and makes those that tell one wait
SET lock_timeout = '2s';
COMMENT ON FUNCTION ecauto.drop_old_events(interval) IS
'drops the monthly partitions of the event table that hold nothing younger than this, and returns how many; forgets identifiers and completed carts of that age too; gives up, to be run again, if a transaction holds the events for more than 2 seconds';

CREATE OR REPLACE FUNCTION ecauto.opt_out_of_profiling(customer text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_opt_out_of_profiling'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.opt_out_of_profiling(text) IS
'from now on track() keeps nothing of this customer or of sessions that belong to him, and what was kept counts for nothing; false if it was so already';

CREATE OR REPLACE FUNCTION ecauto.allow_profiling(customer text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_allow_profiling'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.allow_profiling(text) IS
'undoes ecauto.opt_out_of_profiling(); false if there was nothing to undo';
REVOKE ALL ON FUNCTION ecauto.allow_profiling(text) FROM PUBLIC;

-- Three sets of privileges, each with what the one before it has: reader,
-- operator, admin.  What a function may do follows from the tables its caller
-- may touch and from the C code's own look at the caller; so a set is EXECUTE on
-- functions, and what they need on tables.  Columns that say as whom a piece of
-- SQL runs are in no set: C code writes them, with the caller's own name.

CREATE OR REPLACE FUNCTION ecauto.function_set(name text, volatile boolean)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE
	-- for the owner of the extension; of the state, since it goes through all of its tables
	WHEN $1 IN ('set_privileges', 'grant_reader', 'grant_operator', 'grant_admin', 'revoke_reader', 'revoke_operator', 'revoke_admin',
		'capture', 'erase_customer', 'export_customer', 'personal_values', 'find_personal_data') OR $1 LIKE 'state_step_%' THEN 'owner'
	-- what the shop is, what runs as its definer, what cannot be undone, what tells a person from another
	WHEN $1 IN ('attach_shop', 'detach_shop', 'bind_role', 'bind_table', 'bind_source', 'bind_write', 'bind_preset', 'unbind_role', 'install_capture',
		'lock_shop', 'follow_renames', 'load_history', 'resolve_source', 'setup', 'set_main_currency',
		'create_flow', 'drop_flow', 'ensure_flow', 'install_template', 'register_action', 'create_price_rule', 'drop_price_rule', 'set_price_guard',
		'create_promotion', 'drop_promotion', 'create_segment', 'alter_segment', 'drop_segment', 'create_score_rule', 'drop_score_rule',
		'create_score_threshold', 'drop_score_threshold', 'create_template', 'drop_template', 'set_stock_policy', 'drop_stock_policy',
		'set_order_mail', 'drop_order_mail', 'set_frequency_cap', 'drop_frequency_cap', 'set_quiet_hours',
		'erase_contact') THEN 'admin'
	-- what changes nothing and tells no secret, though it is not STABLE
	WHEN $1 IN ('status', 'schedule_status', 'read_roles', 'role_rows', 'worker_status', 'sellable', 'availability', 'stock_position', 'showable',
		'recommend', 'recommend_block', 'recommend_categories', 'recommend_price', 'similar', 'also_bought', 'trending', 'complete_basket', 'explain_price', 'price_problems', 'capture_unasked', 'sku_category', 'replenishment_need',
		'forecast_sku', 'seasonal_top') OR $1 LIKE 'metrics%' OR $1 LIKE 'report%' THEN 'reader'
	WHEN $1 IN ('consents', 'may_send', 'address_hash', 'require_shop') THEN 'operator'
	WHEN $2 THEN 'operator'
	ELSE 'reader' END
$$;
COMMENT ON FUNCTION ecauto.function_set(text, boolean) IS
'the least of the sets reader, operator, admin that may execute the functions of that name, which are volatile or not; owner: in no set';
REVOKE ALL ON FUNCTION ecauto.function_set(text, boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.table_set(name text)
RETURNS TABLE (set text, privileges text)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
-- addresses, codes, what mails say: not for who only looks
SELECT 'reader', 'SELECT' WHERE $1 NOT IN ('campaign_secret', 'outbox', 'outbox_history', 'outbox_key', 'consent', 'contact', 'coupon', 'coupon_attempt')
UNION ALL
SELECT 'reader', p FROM (VALUES ('outbox_history', 'SELECT (id, endpoint, state, finished_at)'), ('outbox', 'SELECT (id, endpoint, attempts, queued_at)')) x (t, p) WHERE x.t = $1
UNION ALL
SELECT 'operator', 'SELECT' WHERE $1 <> 'campaign_secret'
UNION ALL
SELECT 'operator', 'INSERT, UPDATE, DELETE' WHERE $1 IN (
	'badge', 'clv_model', 'cost', 'demand', 'demand_event', 'demand_line', 'demand_setting', 'demand_stale', 'fx_rate', 'job', 'job_run', 'location_share', 'notice', 'offer',
	'price_bound', 'price_history', 'price_proposal', 'price_series', 'prior_price_policy', 'purchase_order', 'purchase_order_line', 'purchase_receipt',
	'purchase_setting', 'recommend_consumable', 'replenishment', 'reservation', 'reservation_sku', 'rfm_score', 'rfm_setting', 'recommend_excluded', 'recommend_test', 'order_changed', 'season_index', 'sku_forecast',
	'stock_alert', 'stock_alert_stale', 'stock_incoming', 'stock_out', 'supplier', 'supplier_holiday', 'tag', 'vat_rate', 'waiting', 'waiting_setting', 'waiting_sku')
UNION ALL
SELECT 'operator', p FROM (VALUES ('schema_version', 'REFERENCES'), ('role_binding', 'UPDATE (resync)'), ('price_rule', 'UPDATE (enabled)')) x (t, p) WHERE x.t = $1
UNION ALL
SELECT 'admin', 'INSERT, UPDATE, DELETE' WHERE $1 IN (
	'shop', 'frequency_cap', 'quiet_hours', 'installed_template', 'order_mail', 'price_guard', 'score_rule', 'score_threshold', 'score_reached', 'stock_policy')
UNION ALL
SELECT 'admin', p FROM (VALUES ('role_binding', 'DELETE'), ('writer', 'DELETE'), ('source', 'DELETE'), ('source', 'UPDATE (schema_name, table_name, key_column)'),
	('price_rule', 'DELETE'), ('change_log', 'DELETE')) x (t, p) WHERE x.t = $1
$$;
COMMENT ON FUNCTION ecauto.table_set(text) IS
'what each of the sets reader, operator, admin gives on a table of schema ecauto_data; a set has what the ones before it have';
REVOKE ALL ON FUNCTION ecauto.table_set(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.set_privileges(role name, set text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	sets constant text[] := ARRAY['reader', 'operator', 'admin'];
	level constant integer := coalesce(array_position(sets, set), 0);
	owner name := (SELECT pg_get_userbyid(n.nspowner) FROM pg_namespace n WHERE n.nspname = 'ecauto_data');
	one text;
BEGIN
	IF owner IS NULL THEN
		RAISE EXCEPTION 'ecauto is not set up in this database'
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Run SELECT ecauto.setup().';
	ELSIF NOT (pg_has_role(owner, 'USAGE') AND pg_has_role((SELECT e.extowner FROM pg_extension e WHERE e.extname = 'ecauto'), 'USAGE')) THEN
		RAISE EXCEPTION 'permission denied to grant privileges on ecauto'
			USING ERRCODE = 'insufficient_privilege',
				HINT = 'It is for superusers, and for roles that have the privileges of the owners of the extension and of schema "ecauto_data".';
	ELSIF role IS NULL OR to_regrole(quote_ident(role)) IS NULL THEN
		RAISE EXCEPTION 'role "%" does not exist', coalesce(role, 'null') USING ERRCODE = 'undefined_object';
	ELSIF role IN (owner, (SELECT pg_get_userbyid(e.extowner) FROM pg_extension e WHERE e.extname = 'ecauto')) THEN
		-- what runs as him needs what he has
		RAISE NOTICE 'role "%" owns ecauto or its state, and keeps the privileges of an owner', role;
		RETURN;
	ELSIF pg_has_role(role, owner, 'USAGE') THEN
		RAISE NOTICE 'role "%" has the privileges of the owner of the state anyway', role;
	END IF;

	EXECUTE format('REVOKE ALL ON ALL ROUTINES IN SCHEMA ecauto FROM %I', role);
	EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA ecauto_data FROM %I', role);
	EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA ecauto_data FROM %I', role);
	EXECUTE format('REVOKE ALL ON SCHEMA ecauto_data FROM %I', role);
	EXECUTE format('REVOKE ALL ON SCHEMA ecauto FROM %I', role);
	IF level = 0 THEN
		RETURN;
	END IF;

	EXECUTE format('GRANT USAGE ON SCHEMA ecauto, ecauto_data TO %I', role);
	FOR one IN
		SELECT format('GRANT EXECUTE ON ROUTINE %s TO %I', string_agg(p.oid::regprocedure::text, ', '), role)
		FROM pg_proc p
		WHERE p.pronamespace = to_regnamespace('ecauto')
		AND array_position(sets, ecauto.function_set(p.proname, p.provolatile = 'v')) <= level
		UNION ALL
		SELECT format('GRANT %s ON TABLE ecauto_data.%I TO %I', t.privileges, c.relname, role)
		FROM pg_class c CROSS JOIN LATERAL ecauto.table_set(c.relname) t
		WHERE c.relnamespace = to_regnamespace('ecauto_data') AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
		AND array_position(sets, t.set) <= level
		UNION ALL
		SELECT format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA ecauto_data TO %I', role) WHERE level > 1
	LOOP
		EXECUTE one;
	END LOOP;
	IF set = 'admin' AND NOT pg_has_role(owner, role, 'MEMBER') THEN
		RAISE NOTICE 'what role "%" defines cannot run yet', role
			USING DETAIL = format('Rules, segments, flows and queries of the shop run as who defined them, on behalf of role "%s", the owner of the state.', owner),
				HINT = format('GRANT %I TO %I.', role, owner);
	END IF;
END
$$;
COMMENT ON FUNCTION ecauto.set_privileges(name, text) IS
'makes a role a reader, operator or admin of ecauto in this database, and takes whatever else it had; NULL: it has nothing any more; nothing but a notice for the owner of the extension or of the state; called by grant_reader() and its kin; for superusers';
REVOKE ALL ON FUNCTION ecauto.set_privileges(name, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.grant_reader(role name)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
SELECT ecauto.set_privileges($1, 'reader')
$$;
COMMENT ON FUNCTION ecauto.grant_reader(name) IS
'lets a role look: events, prices, stock, forecasts, segments, flows, status, reports; not what messages say, nor consents and codes of coupons; in place of what it could before; to be called again after an update; for superusers';
REVOKE ALL ON FUNCTION ecauto.grant_reader(name) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.grant_operator(role name)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
SELECT ecauto.set_privileges($1, 'operator')
$$;
COMMENT ON FUNCTION ecauto.grant_operator(name) IS
'lets a role do the daily work, too: approve prices and purchase orders, settings of goods and suppliers, switch rules and flows on and off, pause and redrive messages, consents, campaigns, jobs, tick(); in place of what it could before; to be called again after an update; for superusers';
REVOKE ALL ON FUNCTION ecauto.grant_operator(name) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.grant_admin(role name)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
SELECT ecauto.set_privileges($1, 'admin')
$$;
COMMENT ON FUNCTION ecauto.grant_admin(name) IS
'lets a role define, too: what the shop is, rules, promotions, segments, flows, templates, guards; and erase; what it defines runs as it; in place of what it could before; to be called again after an update; for superusers';
REVOKE ALL ON FUNCTION ecauto.grant_admin(name) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.revoke_reader(role name)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
SELECT ecauto.set_privileges($1, NULL)
$$;
COMMENT ON FUNCTION ecauto.revoke_reader(name) IS
'takes all privileges on ecauto from a role; for superusers';
REVOKE ALL ON FUNCTION ecauto.revoke_reader(name) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.revoke_operator(role name)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
SELECT ecauto.set_privileges($1, NULL)
$$;
COMMENT ON FUNCTION ecauto.revoke_operator(name) IS
'takes all privileges on ecauto from a role; for superusers';
REVOKE ALL ON FUNCTION ecauto.revoke_operator(name) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.revoke_admin(role name)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
SELECT ecauto.set_privileges($1, NULL)
$$;
COMMENT ON FUNCTION ecauto.revoke_admin(name) IS
'takes all privileges on ecauto from a role; for superusers';
REVOKE ALL ON FUNCTION ecauto.revoke_admin(name) FROM PUBLIC;

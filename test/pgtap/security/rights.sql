-- Everybody has nothing; a reader, an operator and an administrator have what
-- their set says; and a new function or table is noticed here.
BEGIN;
SET client_min_messages = error;
SELECT no_plan();

-- ---- all of it, as it was looked at last ----
\set listed `cat test/pgtap/security/privileges.txt`
CREATE TEMP TABLE listed AS SELECT unnest(string_to_array(:'listed', E'\n')) AS line;
\set query `sed -e '/^--/d' -e '/^SET/d' -e 's/;$//' test/privileges.psql`
CREATE TEMP TABLE found AS :query;
SELECT is_empty('SELECT line FROM found EXCEPT SELECT line FROM listed', 'nothing that nobody has looked at (see test/privileges.psql)');
SELECT is_empty('SELECT line FROM listed EXCEPT SELECT line FROM found', 'nothing is gone');
SELECT ok((SELECT count(*) > 400 FROM found), 'there is a lot to look at');

-- ---- what holds for every function ----
SELECT is_empty($$ SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'ecauto'::regnamespace AND p.prosecdef $$, 'no function is SECURITY DEFINER');
SELECT is_empty($$ SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
	WHERE p.pronamespace = 'ecauto'::regnamespace AND l.lanname IN ('sql', 'plpgsql')
	AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)
	AND p.prosqlbody IS NULL	-- names were looked up when it was made
	-- one commits, the other is inlined into functions that have one
	AND p.proname NOT IN ('run_due_jobs', 'report_finite') $$, 'each in SQL has a fixed search_path');
SELECT is((SELECT regexp_count(p.prosrc, '[=<>|+*/]') FROM (SELECT regexp_replace(p.prosrc, ':=', '') AS prosrc FROM pg_proc p WHERE p.proname = 'run_due_jobs') p), 0,
	'but the procedure that commits, which uses no operator');
SELECT is_empty($$ SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'ecauto'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL $$, 'each says what it does');
SELECT is_empty($$ SELECT n.nspname FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a WHERE n.nspname IN ('ecauto', 'ecauto_data') AND a.grantee = 0 $$, 'PUBLIC may not look into the schemas');
SELECT is_empty($$ SELECT c.relname FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a WHERE c.relnamespace = 'ecauto_data'::regnamespace AND a.grantee = 0 $$, 'nor has anything on a table');

-- ---- roles ----
\i test/pgtap/event/shop.psql
RESET search_path;
CREATE ROLE ec_reader; CREATE ROLE ec_operator; CREATE ROLE ec_admin; CREATE ROLE ec_nobody;
SELECT ecauto.grant_reader('ec_reader'), ecauto.grant_operator('ec_operator'), ecauto.grant_admin('ec_admin') \g /dev/null
SELECT ecauto.grant_operator('ec_operator') \g /dev/null
GRANT USAGE ON SCHEMA s TO ec_admin;
GRANT ALL ON ALL TABLES IN SCHEMA s TO ec_admin;

-- SQLSTATE of a statement run by a role; it leaves nothing behind
CREATE FUNCTION public.ec_try(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text := 'done';
BEGIN
	BEGIN
		EXECUTE format('SET LOCAL ROLE %I', who);
		EXECUTE statement;
		RAISE EXCEPTION 'enough' USING ERRCODE = 'P0099';
	EXCEPTION WHEN SQLSTATE 'P0099' THEN
		NULL;
	WHEN OTHERS THEN
		result := SQLSTATE || CASE WHEN SQLSTATE = '42501' THEN '' ELSE ' ' || SQLERRM END;
	END;
	RETURN result;
END
$$;

CREATE TEMP TABLE call (least text, statement text);
INSERT INTO call VALUES
	('reader', 'SELECT count(*) FROM ecauto.events()'),
	('reader', 'SELECT count(*) FROM ecauto.status()'),
	('operator', 'SELECT count(*) FROM ecauto.check_shop()'),
	('reader', 'SELECT count(*) FROM ecauto.schedule_status()'),
	('reader', 'SELECT count(*) FROM ecauto.customer_facts()'),
	('reader', 'SELECT count(*) FROM ecauto.rfm(ecauto.now())'),
	('reader', 'SELECT count(*) FROM ecauto.price_history(''1'')'),
	('reader', 'SELECT count(*) FROM ecauto.price_proposals()'),
	('reader', 'SELECT count(*) FROM ecauto.segment_overlap()'),
	('reader', 'SELECT count(*) FROM ecauto.flows()'),
	('reader', 'SELECT count(*) FROM ecauto.runs()'),
	('reader', 'SELECT count(*) FROM ecauto.outbox_status()'),
	('reader', 'SELECT count(*) FROM ecauto.jobs()'),
	('reader', 'SELECT count(*) FROM ecauto.templates()'),
	('reader', 'SELECT count(*) FROM ecauto.explain_price(''1'', ''EUR'')'),
	('reader', 'SELECT count(*) FROM ecauto.best_offer(''V1'', 3)'),
	('reader', 'SELECT ecauto.score(''1'', ecauto.now())'),
	('reader', 'SELECT count(*) FROM ecauto.forecast_sku(''V1'', 7)'),
	('reader', 'SELECT count(*) FROM ecauto.seasonal_top(''2026-10-01'', ''2026-12-31'')'),
	('reader', 'SELECT ecauto.best_hour(''1'')'),
	('reader', 'SELECT count(*) FROM ecauto.interests(''1'')'),
	('reader', 'SELECT count(*) FROM ecauto_data.seen_order'),
	('operator', 'SELECT ecauto.tick()'),
	('operator', 'SELECT ecauto.resync(''stock'')'),
	('operator', 'SELECT ecauto.set_cost(''1'', 5, ''EUR'')'),
	('operator', 'SELECT ecauto.set_list_price(''1'', ''EUR'', 5)'),
	('operator', 'SELECT ecauto.set_supplier(''acme'', ''{"currency": "EUR"}'')'),
	('operator', 'SELECT ecauto.set_location_share(''main'', 0.5)'),
	('operator', 'SELECT ecauto.plan_replenishment()'),
	('operator', 'SELECT ecauto.forecast_all()'),
	('operator', 'SELECT ecauto.reserve(''V1'', 1, ''cart'')'),
	('operator', 'SELECT ecauto.fit_clv()'),
	('operator', 'SELECT ecauto.build_recommendations()'),
	('operator', 'SELECT ecauto.refresh_rfm()'),
	('operator', 'SELECT ecauto.refresh_segments(true)'),
	('operator', 'SELECT ecauto.reconcile_price_history()'),
	('operator', 'SELECT ecauto.grant_consent(''ann@shop.example'', ''email'', ''marketing'')'),
	('operator', 'SELECT ecauto.may_send(''ann@shop.example'', ''email'', ''marketing'')'),
	('operator', 'SELECT ecauto.schedule_defaults()'),
	('operator', 'SELECT ecauto.set_job(''clv'', ''03:00'')'),
	('operator', 'SELECT ecauto.unschedule_defaults()'),
	('operator', 'SELECT count(payload) FROM ecauto_data.outbox'),
	('admin', 'SELECT ecauto.create_price_rule(''x'', ''{"sku": ["1"], "base": "price", "percent_off": 10}'')'),
	('admin', 'SELECT ecauto.create_segment(''x'', ''customer.orders_count > 0'')'),
	('admin', 'SELECT ecauto.create_template(''x'', ''s'', ''<p>h</p>'')'),
	('admin', 'SELECT ecauto.create_promotion(''x'', ''{"percent": 10}'')'),
	('admin', 'SELECT ecauto.create_score_rule(''x'', ''{"on": "visit", "points": 5}'')'),
	('admin', 'SELECT ecauto.create_flow(''x'', ''{"on": "order.placed", "steps": [{"tag": {"order": "large"}}]}'')'),
	('admin', 'SELECT ecauto.set_price_guard(''{"max_rows": 5}'')'),
	('admin', 'SELECT ecauto.bind_role(''product'', ''SELECT id AS key, title FROM s.product'')'),
	('admin', 'SELECT ecauto.unbind_role(''cart_line'')'),
	('operator', 'SELECT ecauto.setup()'),
	('nobody', 'UPDATE ecauto_data.role_binding SET query = ''SELECT 1'''),
	('nobody', 'UPDATE ecauto_data.role_binding SET definer = ''postgres'''),
	('nobody', 'UPDATE ecauto_data.price_rule SET definer = ''postgres'''),
	('nobody', 'UPDATE ecauto_data.flow_version SET definer = ''postgres'''),
	('nobody', 'INSERT INTO ecauto_data.role_binding (role, query, columns, types, search_path) VALUES (''x'', ''x'', ''{}'', ''{}'', '''')'),
	('nobody', 'INSERT INTO ecauto_data.outbox DEFAULT VALUES'),
	('nobody', 'INSERT INTO ecauto_data.flow_action DEFAULT VALUES'),
	('nobody', 'SELECT * FROM ecauto_data.campaign_secret'),
	('nobody', 'CREATE TABLE ecauto_data.mine (a int)'),
	('nobody', 'CREATE FUNCTION ecauto.mine() RETURNS int LANGUAGE sql AS ''SELECT 1'''),
	('nobody', 'TRUNCATE ecauto_data.event'),
	('nobody', 'DROP TABLE ecauto_data.event CASCADE'),
	('nobody', 'CREATE TRIGGER mine AFTER INSERT ON ecauto_data.event FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()'),
	('nobody', 'SELECT ecauto.grant_admin(''ec_reader'')'),
	('nobody', 'SELECT ecauto.erase_customer(''1'')');

SELECT is((SELECT array_agg(w || ' ' || result ORDER BY n) FROM (
		SELECT n, w, CASE WHEN n = 4 AND c.least = 'nobody' THEN '' ELSE public.ec_try(('ec_' || w)::name, c.statement) END AS result
		FROM unnest('{nobody,reader,operator,admin}'::text[]) WITH ORDINALITY r (w, n)) x WHERE result <> ''),
	(SELECT array_agg(w || ' ' || CASE WHEN c.least <> 'nobody' AND n >= array_position('{nobody,reader,operator,admin}', c.least) THEN 'done' ELSE '42501' END ORDER BY n)
		FROM unnest('{nobody,reader,operator,admin}'::text[]) WITH ORDINALITY r (w, n) WHERE n < 4 OR c.least <> 'nobody'), c.statement)
FROM call c;
-- being an administrator is not being the owner
SELECT is(public.ec_try('ec_admin', c.statement), '42501', 'an administrator neither: ' || c.statement)
FROM call c WHERE c.least = 'nobody' AND c.statement !~ 'flow_action';

-- what is amiss is told to who may not look into the shop's schema, too
ALTER TABLE s.cart_line DISABLE TRIGGER ALL;
SELECT is((SELECT count(*) FROM ecauto.check_shop() WHERE detail LIKE '%no capture trigger%'), 1::bigint, 'a table is not watched');
SELECT is(public.ec_try('ec_operator', 'SELECT count(*) FROM ecauto.check_shop()'), 'done', 'which an operator can see');

SELECT ecauto.revoke_admin('ec_admin'), ecauto.revoke_operator('ec_operator'), ecauto.revoke_reader('ec_reader') \g /dev/null
SELECT is_empty(format($$ SELECT p.oid::regprocedure::text FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a WHERE p.pronamespace = 'ecauto'::regnamespace AND a.grantee = %1$L::regrole
	UNION ALL SELECT c.relname FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a WHERE c.relnamespace = 'ecauto_data'::regnamespace AND a.grantee = %1$L::regrole
	UNION ALL SELECT c.attname FROM pg_attribute c CROSS JOIN LATERAL aclexplode(c.attacl) a WHERE a.grantee = %1$L::regrole
	UNION ALL SELECT n.nspname FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a WHERE n.nspname LIKE 'ecauto%%' AND a.grantee = %1$L::regrole $$, r), r || ' has nothing any more')
FROM unnest('{ec_reader,ec_operator,ec_admin}'::text[]) r;
SELECT is(public.ec_try('ec_admin', 'SELECT ecauto.status()'), '42501', 'and can do nothing');
SELECT throws_ok($$ SELECT ecauto.grant_reader('ec_unknown') $$, '42704', 'role "ec_unknown" does not exist', 'a role that does not exist');
SELECT throws_ok($$ SELECT ecauto.grant_reader(NULL) $$, '42704', 'role "null" does not exist', 'nor NULL');

-- what runs as the owner of the state needs what he has
CREATE ROLE ec_keeper;
ALTER SCHEMA ecauto_data OWNER TO ec_keeper;
SELECT ecauto.grant_reader('ec_keeper'), ecauto.revoke_admin('ec_keeper') \g /dev/null
SELECT ok(has_function_privilege('ec_keeper', 'ecauto.tick()', 'EXECUTE') AND has_schema_privilege('ec_keeper', 'ecauto_data', 'CREATE'), 'an owner keeps what he has');
SELECT * FROM finish();
ROLLBACK;

# Objects planted under names that ecauto uses, in schemas that are searched
# first, change nothing: not while it is installed, not while it works.
use strict;
use warnings;
use EcTest;
use Test::More;

my $node = ec_node('main', extension => 0, conf => { 'ecauto.settle_time' => 0 });

# Functions and operators like those of pg_catalog that count how often they
# are called (a sequence, so that an error does not hide it) and say by whom;
# and tables and types that lie.
my $plant = q{
	SET client_min_messages = error;
	CREATE SEQUENCE public.caught;
	GRANT ALL ON SEQUENCE public.caught TO PUBLIC;
	CREATE TABLE public.culprit (what text, stack text);
	GRANT ALL ON public.culprit TO PUBLIC;
	DO $do$
	DECLARE
		o record;
		f record;
	BEGIN
		FOR o IN SELECT x.oprname, format_type(x.oprleft, NULL) AS l, format_type(x.oprright, NULL) AS r, format_type(x.oprresult, NULL) AS result, x.oprcode::oid::regproc AS code
			FROM pg_operator x
			WHERE x.oprnamespace = 'pg_catalog'::regnamespace AND x.oprkind = 'b' AND x.oprname IN ('=', '<>', '<', '>', '<=', '>=', '||', '+', '-', '*', '/', '~', '!~', '~~', '->', '->>', '?', '@>', '&&')
			AND x.oprleft IN ('text'::regtype, 'integer'::regtype, 'bigint'::regtype, 'numeric'::regtype, 'jsonb'::regtype, 'timestamptz'::regtype, 'interval'::regtype, 'name'::regtype, 'oid'::regtype, 'boolean'::regtype,
				'float8'::regtype, 'date'::regtype, '"char"'::regtype, 'uuid'::regtype, 'text[]'::regtype)
			AND x.oprright NOT IN ('anyarray'::regtype, 'anycompatiblearray'::regtype, 'anycompatible'::regtype, 'anyelement'::regtype)
		LOOP
			EXECUTE format('CREATE FUNCTION public.%I(l %s, r %s) RETURNS %s LANGUAGE plpgsql SET search_path = pg_catalog AS $f$
				BEGIN PERFORM nextval(''public.caught''); RETURN l OPERATOR(pg_catalog.%s) r; END $f$',
				'op_' || o.code || '_' || md5(o.l || o.r), o.l, o.r, o.result, o.oprname);
			EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.%I)', o.oprname, o.l, o.r, 'op_' || o.code || '_' || md5(o.l || o.r));
		END LOOP;
		FOR f IN SELECT p.oid, p.proname, pg_get_function_identity_arguments(p.oid) AS args, pg_get_function_result(p.oid) AS result, p.pronargs
			FROM pg_proc p
			WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.provariadic = 0 AND NOT p.proretset
			AND p.proname IN ('now', 'clock_timestamp', 'lower', 'upper', 'btrim', 'quote_ident', 'quote_literal', 'to_char', 'length', 'round', 'floor', 'ceil', 'abs', 'power', 'exp', 'ln',
				'array_length', 'cardinality', 'to_regclass', 'to_regnamespace', 'to_regrole', 'has_database_privilege', 'has_schema_privilege', 'has_table_privilege', 'pg_has_role', 'current_setting',
				'set_config', 'current_database', 'pg_advisory_xact_lock', 'pg_try_advisory_xact_lock', 'nextval', 'hashtext', 'substr', 'replace', 'split_part', 'date_trunc', 'timezone', 'jsonb_typeof',
				'isfinite', 'age', 'position', 'left', 'right', 'md5', 'starts_with', 'trim_scale', 'random', 'sqrt', 'sign', 'mod', 'obj_description', 'pg_get_userbyid')
			AND p.prorettype <> 'void'::regtype
			AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) t JOIN pg_type y ON y.oid = t WHERE y.typtype = 'p')
		LOOP
			EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql SET search_path = pg_catalog AS $f$
				BEGIN PERFORM pg_catalog.nextval(''public.caught''::regclass); RETURN pg_catalog.%I(%s); END $f$',
				f.proname, f.args, f.result, f.proname, (SELECT string_agg('$' || n, ', ') FROM generate_series(1, f.pronargs) n));
		END LOOP;
	END $do$;
	CREATE TABLE public.shop (evil int); CREATE TABLE public.event (evil int); CREATE TABLE public.outbox (evil int); CREATE TABLE public.role_binding (evil int);
	CREATE TABLE public.pg_class (evil int); CREATE TABLE public.pg_proc (evil int); CREATE TABLE public.pg_namespace (evil int); CREATE TABLE public.pg_roles (evil int);
	CREATE TABLE public.pg_extension (evil int); CREATE TABLE public.pg_trigger (evil int); CREATE TABLE public.pg_attribute (evil int);
	CREATE DOMAIN public.text AS pg_catalog.text; CREATE DOMAIN public.jsonb AS pg_catalog.jsonb; CREATE DOMAIN public.timestamptz AS pg_catalog.timestamptz;
};
my $temp = q{SET client_min_messages = error; CREATE TEMP TABLE shop (evil int); CREATE TEMP TABLE pg_class (evil int); CREATE TEMP TABLE pg_namespace (evil int); CREATE TEMP TABLE event (evil int);
	CREATE TEMP TABLE pg_extension (evil int); CREATE TYPE pg_temp.text AS (evil int); CREATE TYPE pg_temp.interval AS (evil int);};
my $caught = q{SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM public.caught};

# ---- planted first ----
$node->safe_psql('postgres', 'CREATE DATABASE early; CREATE DATABASE late; CREATE DATABASE squat');
$node->safe_psql('early', $plant);
cmp_ok($node->safe_psql('early', q{SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace}), '>', 250, 'a lot is planted');
cmp_ok($node->safe_psql('early', "SET search_path = public, pg_catalog; SELECT lower('A'::pg_catalog.text) || 'b'::pg_catalog.text; $caught") =~ s/.*\n//sr, '>', 1, 'and works');
$node->safe_psql('early', 'SELECT setval(\'public.caught\', 1, false)');
$node->safe_psql('postgres', 'ALTER DATABASE early SET search_path = public, pg_catalog');
$node->safe_psql('early', "$temp CREATE EXTENSION ecauto; SELECT ecauto.setup()");
is($node->safe_psql('early', $caught), '0', 'nothing of it is used when ecauto is installed and set up');
cmp_ok($node->safe_psql('early', q{SELECT pg_catalog.count(*) FROM pg_catalog.pg_class WHERE relnamespace OPERATOR(pg_catalog.=) 'ecauto_data'::regnamespace}), '>', 200, 'which is complete');

$node->safe_psql('squat', 'CREATE SCHEMA ecauto; CREATE FUNCTION ecauto.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT pg_catalog.now() $$');
is((ec_sqlstate($node, 'squat', 'CREATE EXTENSION ecauto;'))[0], '42P06', 'a schema under its name stops it');

# ---- planted under a shop that works ----
$node->safe_psql('late', "CREATE EXTENSION ecauto; BEGIN;\n\\i test/pgtap/event/shop.psql\nCOMMIT;\n");
$node->safe_psql('late', $plant);
$node->safe_psql('postgres', 'ALTER DATABASE late SET search_path = public, pg_catalog');
sub late { return $node->safe_psql('late', "$temp $_[0]"); }
my $useful = 0;
for my $call ("UPDATE s.stock SET qty = 3 WHERE variant_id OPERATOR(pg_catalog.=) 1", 'SELECT ecauto.tick()', 'SELECT ecauto.resync()', 'SELECT pg_catalog.count(*) FROM ecauto.status()',
	'SELECT pg_catalog.count(*) FROM ecauto.check_shop()', "SELECT ecauto.track('view', '1', '1')", "SELECT ecauto.identify('s', '1')",
	"SELECT ecauto.create_price_rule('sale', '{\"sku\": [\"2\"], \"base\": \"price\", \"percent_off\": 10}'); SELECT pg_catalog.count(*) FROM ecauto.reprice()",
	"SELECT ecauto.create_segment('buyers', 'customer.orders_count > 0'); SELECT ecauto.refresh_segments()", "SELECT ecauto.create_promotion('p', '{\"percent\": 10}')",
	"SELECT ecauto.price_cart('[{\"sku\": \"1\", \"qty\": 2, \"unit_price\": 18.80}]', '{\"currency\": \"EUR\"}')",
	"SELECT ecauto.create_score_rule('visit', '{\"on\": \"visit\", \"points\": 5}'); SELECT ecauto.track('visit', '1'); SELECT ecauto.tick(); SELECT ecauto.score('1', ecauto.now())",
	"SELECT ecauto.create_flow('x', '{\"on\": \"order.placed\", \"if\": \"order.total > 5\", \"steps\": [{\"tag\": {\"order\": \"large\"}}]}'); SELECT ecauto.enable_flow('x')",
	"INSERT INTO s.orders (id, customer_id, mail, total, placed) VALUES (77, 1, 'c1\@shop.example', 50, pg_catalog.now()); INSERT INTO s.order_line VALUES (77, 77, 1, 1, 50); SELECT ecauto.tick(); SELECT ecauto.tick()",
	"SELECT ecauto.grant_consent('ann\@shop.example', 'email', 'marketing'); SELECT ecauto.may_send('ann\@shop.example', 'email', 'marketing')",
	"SELECT ecauto.create_template('t', 'Hello {{name}}', '<p>{{name}}</p>'); SELECT ecauto.render_mail('t', '{\"name\": \"Ann\"}')",
	"SELECT ecauto.set_supplier('acme', '{\"currency\": \"EUR\"}'); SELECT ecauto.set_offer('acme', '1', '{\"price\": 3}')", "SELECT pg_catalog.count(*) FROM ecauto.plan_replenishment()",
	"SELECT ecauto.reserve('V1', 1, 'cart')", "SELECT pg_catalog.count(*) FROM ecauto.rfm(ecauto.now())", 'SELECT ecauto.export_customer(\'1\')', "SELECT ecauto.generate_coupons('p', 5)",
	"SELECT ecauto.schedule_defaults()", 'CALL ecauto.run_due_jobs()', "CREATE ROLE planted_reader; SELECT ecauto.grant_admin('planted_reader'); SELECT ecauto.revoke_admin('planted_reader')",
	(map { "SELECT ecauto.run_job('$_')" } qw(reconcile clv recommendations retention replenishment reprice campaigns)))
{
	my ($rc, $out, $err) = $node->psql('late', "SET client_min_messages = error; $temp $call", on_error_stop => 1);
	is($node->safe_psql('late', $caught), '0', "unmoved: $call") or $node->safe_psql('late', q{SELECT setval('public.caught'::regclass, 1, false)});
	if ($rc == 0) { $useful++; } else { diag("$call: $err"); }
}
cmp_ok($useful, '>=', 28, 'nearly all of that did something');

# ---- every function, with nothing and with something in its arguments ----
my $odd = late(q{
	CREATE FUNCTION public.call_all() RETURNS TABLE (called pg_catalog.int8, answered pg_catalog.int8) LANGUAGE plpgsql SET search_path = pg_catalog AS $$
	DECLARE
		p record;
		v integer;
	BEGIN
		called := 0; answered := 0;
		FOR p IN SELECT f.oid::regproc AS name, f.proname, f.prokind, (SELECT array_agg(format_type(t, NULL) ORDER BY n) FROM unnest(f.proargtypes) WITH ORDINALITY x (t, n)) AS types
			FROM pg_proc f WHERE f.pronamespace = 'ecauto'::regnamespace AND f.prorettype <> 'trigger'::regtype AND f.prokind = 'f'
			AND NOT (f.proname ~ '^(state_step|deliver$|lock_shop|detach_shop|erase)') ORDER BY f.oid
		LOOP
			FOR v IN 0..1 LOOP
				called := called + 1;
				BEGIN
					EXECUTE format('SELECT * FROM %s(%s)', p.name, (SELECT string_agg(format('%s::%s', CASE WHEN v = 0 THEN 'NULL' ELSE
						CASE WHEN t LIKE '%[]' THEN '''{}''' WHEN t = 'jsonb' THEN '''{}''' WHEN t = 'boolean' THEN 'false' WHEN t IN ('text', 'name') THEN '''1'''
							WHEN t LIKE 'timestamp%' OR t = 'date' THEN '''2026-01-01''' WHEN t = 'interval' THEN '''1 day''' WHEN t IN ('integer', 'bigint', 'numeric', 'double precision', 'smallint') THEN '1' ELSE 'NULL' END END, t), ', ' ORDER BY n)
						FROM unnest(p.types) WITH ORDINALITY x (t, n)));
					answered := answered + 1;
					RAISE EXCEPTION 'enough' USING ERRCODE = 'P0099';
				EXCEPTION WHEN OTHERS THEN
					NULL;
				END;
			END LOOP;
		END LOOP;
		RETURN NEXT;
	END $$;
	SET search_path = public, pg_catalog;
	SELECT called OPERATOR(pg_catalog.>) 500 AND answered OPERATOR(pg_catalog.>) 150 FROM public.call_all()});
is($odd, 't', 'every function was called');
is($node->safe_psql('late', $caught), '0', 'none of them used what was planted');

$node->stop;
done_testing();

-- One statement evaluates a condition for all candidates: the planner sees it,
-- it says of each what evaluate() says, and text as understood is understood
-- the same again.
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL ecauto.timezone = 'UTC';
SET LOCAL timezone = 'UTC';
SELECT plan(22);

CREATE SCHEMA t;
SET LOCAL search_path = t, public;
CREATE FUNCTION scope() RETURNS jsonb LANGUAGE sql IMMUTABLE AS
	$$ SELECT '{"customer": {"country": "text", "at": "timestamptz", "age": "integer"}, "order": {"total": "numeric"}}'::jsonb $$;
CREATE TABLE candidate AS
	SELECT n AS id, (ARRAY['PL', 'DE', 'CZ', NULL])[1 + n % 4] AS country, timestamptz '2026-01-01 00:00+00' + n * interval '1 hour' AS at,
		nullif(n % 50, 7) AS age, (n % 90)::numeric AS total
	FROM generate_series(1, 2000) n;
CREATE INDEX ON candidate (country, age);
ANALYZE candidate;

-- the caller's statement
CREATE FUNCTION matches(condition text, as_of text DEFAULT NULL) RETURNS SETOF bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT c.id::bigint FROM t.candidate c WHERE %s',
		ecauto.compile_condition(condition, t.scope(), '{"customer.country": "c.country", "customer.age": "c.age", "customer.at": "c.at", "order.total": "c.total"}', as_of));
END $$;
CREATE FUNCTION matches_singly(condition text, as_of timestamptz DEFAULT NULL) RETURNS SETOF bigint LANGUAGE sql AS $$
	SELECT c.id::bigint FROM t.candidate c
	WHERE ecauto.evaluate(condition, t.scope(), jsonb_build_object('customer', jsonb_build_object('country', country, 'at', at, 'age', age), 'order', jsonb_build_object('total', total)), as_of)
$$;
CREATE FUNCTION same(condition text, what text) RETURNS text LANGUAGE sql AS $$
	SELECT set_eq(format('SELECT matches(%L, %L)', condition, $q$'2026-02-01 00:00+00'::timestamptz$q$), format('SELECT matches_singly(%L, %L)', condition, '2026-02-01 00:00+00'), what)
$$;

SELECT same($$customer.country = 'PL' AND order.total >= 50$$, 'AND');
SELECT same($$customer.country IN ('PL', 'DE') OR customer.age BETWEEN 10 AND 20$$, 'OR, IN, BETWEEN');
SELECT same($$NOT (customer.country = 'PL' OR customer.age > 10)$$, 'NOT, with NULLs');
SELECT same($$customer.country IS DISTINCT FROM 'PL'$$, 'IS DISTINCT FROM');
SELECT same($$customer.at >= ecauto.now() - interval '10 days' AND customer.at < ecauto.now()$$, 'time');
SELECT same($$EXISTS (SELECT FROM t.candidate x WHERE x.country = customer.country AND x.total > order.total + 88)$$, 'a subquery');
SELECT same($$order.total > (SELECT avg(x.total) FROM t.candidate x)$$, 'that has an aggregate');
SELECT same($$CASE WHEN customer.age IS NULL THEN order.total > 80 ELSE customer.age % 7 = 3 END$$, 'CASE');
SELECT same($$customer.country || '$2' = 'PL$2' AND '$1' = '$' || '1'$$, 'what looks like a parameter');
SELECT same($$customer.country = 'PL' -- ) OR (true$$, 'a comment');

-- the time can differ by row
SELECT is((SELECT count(*) FROM matches($$customer.at = ecauto.now() - interval '1 hour'$$, $$c.at + interval '1 hour'$$)), 2000::bigint, 'as of a column');

-- the planner sees through it
CREATE FUNCTION plan_of(condition text) RETURNS SETOF text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY EXECUTE format('EXPLAIN (COSTS off) SELECT id FROM t.candidate c WHERE %s',
		ecauto.compile_condition(condition, t.scope(), '{"customer.country": "c.country", "customer.age": "c.age"}'));
END $$;
SELECT ok(bool_or(p ~ 'Index Cond: \(\(country = ''PL''::text\) AND \(age = 3\)\)'), 'and uses an index') FROM plan_of($$customer.country = 'PL' AND customer.age = 3$$) p;

-- names as they are
SELECT is(ecauto.compile_condition($$order.total > 5 AND customer.at < ecauto.now()$$, scope()), '(("order".total > (5)::numeric) AND (customer.at < ecauto.now()))', 'rows by their names');
SELECT is(ecauto.compile_condition($$"Big Row"."a ""b""" > 5$$, '{"Big Row": {"a \"b\"": "integer"}}'), '("Big Row"."a ""b""" > 5)', 'quoted where they must be');
SELECT throws_ok($$ SELECT ecauto.compile_condition('true', scope(), '[]') $$, '22023', 'columns must be an object', 'columns are an object');
SELECT throws_ok($$ SELECT ecauto.compile_condition('customer.age > 5', scope(), '{"customer.age": 5}') $$, '22023', 'SQL of column "customer.age" must be a string', 'of strings');

-- what may run as anybody, since it gives the same to everybody
CREATE FUNCTION own(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE TABLE kind (condition text, self_contained boolean);
INSERT INTO kind VALUES ($$customer.country = 'PL' AND order.total >= 50 AND NOT customer.age IN (1, 2)$$, true), ($$lower(customer.country) LIKE 'p%'$$, true),
	($$customer.at >= ecauto.now() - interval '1 month' AND customer.at::date > '2026-01-01'$$, true), ($$to_char(customer.at, 'MM-DD') = '02-29'$$, true),
	($$date_part('year', age(ecauto.now(), customer.at)) > 5$$, true), ($$customer.country::timestamptz < ecauto.now()$$, true), ($$customer.at::text = 'x'$$, true),
	($$customer.country = current_user$$, false), ($$current_setting('a.b', true) = 'x'$$, false), ($$t.own(customer.age)$$, false),
	($$EXISTS (SELECT FROM t.candidate)$$, false), ($$has_table_privilege('t.candidate', 'SELECT')$$, false),
	($$table_to_xml('t.candidate', true, false, '') IS NULL$$, false), ($$obj_description(5, 'pg_class') IS NULL$$, false),
	($$pg_stat_get_last_vacuum_time(customer.age::oid) < ecauto.now()$$, false), ($$pg_postmaster_start_time() < ecauto.now()$$, false);
SELECT is_empty($$ SELECT condition FROM kind WHERE self_contained <> ecauto.condition_self_contained(condition, scope()) $$, 'self-contained or not');
SELECT is((SELECT count(*) FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
	WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.provolatile = 'i' AND l.lanname NOT IN ('internal', 'c', 'sql')), 0::bigint, 'the server''s immutable functions are its own');

-- text as understood
CREATE TABLE written (condition text);
INSERT INTO written VALUES ($$customer.country = 'PL' AND order.total >= 50$$), ($$customer.country LIKE E'a\\_%' OR NOT customer.age IN (1, 2)$$),
	($$EXISTS (SELECT FROM t.candidate x WHERE x.country = customer.country)$$), ($$customer.at > '2026-01-01' AND customer.at::date < date '2026-02-01'$$),
	($$customer.at > ecauto.now() - 3 * interval '1 month 2 days'$$), ($$order.total::float8 > 0.1$$), ($$(customer.age, 1) = (5, 1)$$), ($$'a''b' = customer.country$$);
SELECT is_empty($$ SELECT condition, ecauto.check_condition(condition, scope()) FROM written
	WHERE ecauto.check_condition(ecauto.check_condition(condition, scope()), scope()) <> ecauto.check_condition(condition, scope()) $$, 'can be checked again');

-- whoever asks, and however his session is set
CREATE TEMP TABLE before AS SELECT condition, ecauto.compile_condition(condition, scope()) AS sql FROM written;
SET LOCAL timezone = 'Asia/Tokyo';
SET LOCAL datestyle = 'SQL, DMY';
SET LOCAL intervalstyle = 'sql_standard';
SET LOCAL extra_float_digits = -10;
SET LOCAL quote_all_identifiers = on;
SET LOCAL standard_conforming_strings = off;
SET LOCAL transform_null_equals = on;
SELECT is_empty($$ SELECT condition, sql FROM pg_temp.before WHERE sql <> ecauto.compile_condition(condition, scope()) $$, 'the same under any settings');
SELECT is(ecauto.evaluate('customer.country = NULL', scope(), '{}'), NULL, '= NULL is not IS NULL');
SELECT is(current_setting('datestyle') || current_setting('timezone') || current_setting('search_path'), 'SQL, DMYAsia/Tokyot, public', 'and the settings stay');

SELECT * FROM finish();
ROLLBACK;

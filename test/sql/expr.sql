-- What is said to somebody who writes a condition wrongly, or with ill intent:
-- code, message, place in the text, detail, hint.
\set SHOW_CONTEXT never
SET ecauto.timezone = 'UTC';
SELECT $${"customer": {"country": "text", "age": "integer", "active": "boolean", "birth_date": "date", "last_order_at": "timestamptz"},
	"cart": {"total": "numeric"}, "order": {"total": "numeric"}, "sku": {"properties": "jsonb"}}$$ AS scope \gset
CREATE FUNCTION pg_temp.try(condition text) RETURNS text LANGUAGE sql AS
	$$ SELECT ecauto.check_condition(condition, current_setting('regress.scope')::jsonb) $$;
SELECT set_config('regress.scope', :'scope', false) \g /dev/null

-- ---- what is understood ----
SELECT pg_temp.try($$customer.country = 'PL' AND cart.total >= 50$$);
SELECT pg_temp.try($$order.total > 5 OR Order.total IS NULL$$); -- ORDER is a word of SQL
SELECT pg_temp.try($$"order"."total" BETWEEN 5 AND 10$$);
SELECT pg_temp.try($$customer.active$$);
SELECT pg_temp.try($$NULL$$);
SELECT pg_temp.try($$sku.properties->>'colour' IN ('red', 'blue') -- a comment /* and more$$);
SELECT pg_temp.try($$customer.country = '; DROP TABLE x --'$$);
SELECT ecauto.compile_condition($$order.total > 5 -- )$$, :'scope');

-- ---- not one expression ----
SELECT pg_temp.try($$true; DROP TABLE x$$);
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.try($$true;$$);
SELECT pg_temp.try($$true) OR (true$$);
SELECT pg_temp.try($$SELECT true$$);
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.try($$true FROM pg_class$$);
SELECT pg_temp.try($$true WHERE false$$);
SELECT pg_temp.try($$true ORDER BY 1$$);
SELECT pg_temp.try($$true LIMIT 1$$);
SELECT pg_temp.try($$true AS yes$$);
SELECT pg_temp.try($$true, false$$);
SELECT pg_temp.try($$true UNION SELECT true$$);
SELECT pg_temp.try($$DISTINCT true$$);
SELECT pg_temp.try('');
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.try(' -- nothing');
SELECT pg_temp.try('true /* open');
SELECT pg_temp.try($$customer.country = 'open$$);
SELECT pg_temp.try($$order.total order.total$$);
SELECT ecauto.check_condition(NULL, '{}');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.check_condition('true', NULL);

-- ---- names ----
SELECT pg_temp.try($$customer.contry = 'PL'$$);
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.try($$order.total > 5 AND żółw.total > 5$$);
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.try($$'żółw' = 'ż' OR order.total > 1 OR custmer.age > 5$$);
SELECT pg_temp.try($$customer.x.y > 5$$);
SELECT pg_temp.try($$country = 'PL'$$);
SELECT pg_temp.try($$total > 5$$);
SELECT pg_temp.try($$customer.country = PL$$);
SELECT pg_temp.try($$customer IS NOT NULL$$);
SELECT pg_temp.try($$customer.* IS NOT NULL$$);
SELECT pg_temp.try($$frobnicate(customer.age) > 5$$);

-- ---- types ----
SELECT pg_temp.try($$cart.total$$);
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.try($$customer.age = 'old'$$);
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.try($$customer.age LIKE 5$$);
\set VERBOSITY terse
SELECT pg_temp.try($$customer.birth_date > '03/04/2026'$$); -- March or April?
\set VERBOSITY default
SELECT pg_temp.try($$customer.birth_date > '2026-02-30'$$);

-- ---- what a condition must not do ----
SELECT pg_temp.try($$customer.age > $1$$);
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.try($$sum(cart.total) > 5$$);
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.try($$row_number() OVER () = 1$$);
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.try($$cart.total > generate_series(1, 3)$$);
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.try($$cart.total > 5 AND random() < 0.5$$);
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.try($$pg_sleep(1) IS NULL$$);
SELECT pg_temp.try($$nextval('s') > 5$$);
SELECT pg_temp.try($$set_config('a.b', 'c', false) = 'c'$$);
SELECT pg_temp.try($$customer.last_order_at < now()$$);
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.try($$customer.birth_date = current_date$$);
SELECT pg_temp.try($$customer.last_order_at < clock_timestamp()$$);
SELECT pg_temp.try($$customer.last_order_at < 'now'$$);
SELECT pg_temp.try($$customer.birth_date = date 'today' - 1$$);
SELECT pg_temp.try($$customer.birth_date = ('tomo' || 'rrow')::text::date OR customer.birth_date = 'tomorrow'::text::date$$);
SELECT pg_temp.try($$customer.country = 'now'$$); -- a text is not a time
SELECT pg_temp.try($$age(customer.birth_date) > '18 years'$$);
SELECT pg_temp.try($$customer.last_order_at::timetz > '09:00'$$);
SELECT pg_temp.try($$customer.last_order_at::time > '09:00'$$);

-- ---- size ----
SELECT pg_temp.try('1=1' || repeat(' AND 1=1', 10000));
\echo :LAST_ERROR_SQLSTATE
SELECT length(pg_temp.try('true' || repeat(' OR(true)', 7000)));
SELECT length(pg_temp.try('customer.age IN (1' || repeat(',1', 9999) || ')'));
\set VERBOSITY terse
SELECT pg_temp.try('1' || repeat('+1', 10000) || ' > 5');
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.try(repeat('(', 10000) || 'true' || repeat(')', 10000));
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.try(repeat('NOT ', 10000) || 'true');
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.try(repeat('- ', 20000) || '1 > 0');
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.try(repeat('CASE WHEN ', 700) || 'true' || repeat(' THEN true END', 700));
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY default

-- ---- scopes and data ----
SELECT ecauto.check_condition('true', '[]');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.check_condition('true', '{"customer": "text"}');
SELECT ecauto.check_condition('true', '{"customer": {"age": 5}}');
SELECT ecauto.check_condition('true', '{"customer": {"age": "integr"}}');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.check_condition('true', '{"customer": {"age": "record"}}');
SELECT ecauto.check_condition('customer.age > 5', '{}');
SELECT ecauto.evaluate('customer.age > 5', :'scope', '[]');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.evaluate('customer.age > 5', :'scope', '{"customer": [5]}');
SELECT ecauto.evaluate('customer.age > 5', :'scope', '{"customer": {"age": "old"}}');
\echo :LAST_ERROR_SQLSTATE
SELECT ecauto.evaluate('1 / customer.age > 5', :'scope', '{"customer": {"age": 0}}');
\echo :LAST_ERROR_SQLSTATE

-- ---- a definer of no importance ----
CREATE SCHEMA regress_expr;
CREATE TABLE regress_expr.secret (id int, word text);
CREATE TABLE regress_expr.open (id int, word text);
INSERT INTO regress_expr.secret VALUES (1, 'x');
INSERT INTO regress_expr.open VALUES (1, 'PL');
CREATE SEQUENCE regress_expr.drain;
CREATE VIEW regress_expr.leak AS SELECT id, word, nextval('regress_expr.drain') AS n FROM regress_expr.open;
CREATE FUNCTION regress_expr.writes(int) RETURNS boolean LANGUAGE plpgsql STABLE AS
	$$ BEGIN INSERT INTO regress_expr.open VALUES (2, 'written'); RETURN true; END $$;
CREATE FUNCTION regress_expr.writes_honestly(int) RETURNS boolean LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO regress_expr.open VALUES (2, 'written'); RETURN true; END $$;
CREATE FUNCTION regress_expr.private(int) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT true';
REVOKE EXECUTE ON FUNCTION regress_expr.private(int) FROM PUBLIC;
CREATE FUNCTION regress_expr.never(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
CREATE OPERATOR regress_expr.= (LEFTARG = text, RIGHTARG = text, FUNCTION = regress_expr.never);
CREATE FUNCTION regress_expr.upper(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'planted' $$;
CREATE DOMAIN regress_expr.checked AS integer CHECK (regress_expr.writes_honestly(VALUE));
CREATE ROLE regress_expr_definer;
GRANT USAGE ON SCHEMA ecauto, regress_expr TO regress_expr_definer;
GRANT INSERT, SELECT ON regress_expr.open TO regress_expr_definer;
GRANT SELECT ON regress_expr.leak TO regress_expr_definer;
GRANT SELECT (id) ON regress_expr.secret TO regress_expr_definer;
SET ROLE regress_expr_definer;

SELECT pg_temp.try($$cart.total > 5 AND EXISTS (SELECT FROM regress_expr.secret s WHERE s.word = 'x')$$);
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.try($$(SELECT count(*) FROM regress_expr.secret) > 0$$);
SELECT pg_temp.try($$EXISTS (SELECT FROM open)$$); -- needs its schema
SELECT pg_temp.try($$customer.country IN (SELECT word FROM regress_expr.open)$$);
SELECT ecauto.evaluate($$customer.country IN (SELECT word FROM regress_expr.open)$$, :'scope', '{"customer": {"country": "PL"}}');
SELECT ecauto.evaluate($$EXISTS (SELECT FROM regress_expr.open o WHERE o.word = customer.country)$$, :'scope', '{"customer": {"country": "DE"}}');
SELECT pg_temp.try($$EXISTS (SELECT FROM regress_expr.open customer WHERE true)$$);
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.try($$EXISTS (SELECT FROM regress_expr.open o FOR UPDATE)$$);
SELECT pg_temp.try($$EXISTS (WITH gone AS (DELETE FROM regress_expr.open RETURNING 1) SELECT FROM gone)$$);
SELECT pg_temp.try($$EXISTS (SELECT FROM regress_expr.leak)$$);
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.try($$EXISTS (SELECT FROM regress_expr.open o WHERE o.id > random())$$);
CREATE TEMP TABLE passing (id int);
SELECT pg_temp.try($$EXISTS (SELECT FROM pg_temp.passing)$$);
SELECT pg_temp.try($$regress_expr.private(customer.age)$$);
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.try($$regress_expr.writes_honestly(customer.age)$$);
SELECT pg_temp.try($$customer.age::regress_expr.checked > 5$$);
-- one that lies about itself is stopped when it writes
SELECT ecauto.evaluate($$regress_expr.writes(customer.age)$$, :'scope', '{"customer": {"age": 5}}');
\echo :LAST_ERROR_SQLSTATE
-- the rights of today count, not those when it was written
RESET ROLE;
REVOKE SELECT ON regress_expr.open FROM regress_expr_definer;
SET ROLE regress_expr_definer;
SELECT ecauto.evaluate($$customer.country IN (SELECT word FROM regress_expr.open)$$, :'scope', '{"customer": {"country": "PL"}}');

-- ---- planted first in search_path ----
RESET ROLE;
SET search_path = regress_expr, pg_catalog;
SELECT 'PL'::text = 'PL'::text AS planted, upper('pl') AS planted_too;
SELECT ecauto.check_condition($$customer.country = upper('pl')$$, :'scope');
SELECT ecauto.evaluate($$customer.country = upper('pl')$$, :'scope', '{"customer": {"country": "PL"}}');
SELECT remedy FROM ecauto.explain_condition($$customer.country = upper('de')$$, :'scope', '{"customer": {"country": "PL"}}');
-- who wants it says so
SELECT ecauto.check_condition($$customer.country OPERATOR(regress_expr.=) regress_expr.upper('pl')$$, :'scope');
RESET search_path;

-- nothing was written
SELECT * FROM regress_expr.open;
SELECT is_called FROM regress_expr.drain;
SET client_min_messages = warning;
DROP OWNED BY regress_expr_definer;
DROP ROLE regress_expr_definer;
DROP SCHEMA regress_expr CASCADE;

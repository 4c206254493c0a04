-- An explanation agrees with evaluate() and with itself, whatever the
-- condition and the data; what it says would help does help.
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL ecauto.timezone = 'Europe/Warsaw';
SELECT plan(48);

CREATE SCHEMA t;
SET LOCAL search_path = t, public;
CREATE TABLE given AS SELECT
	'{"customer": {"country": "text", "age": "integer", "active": "boolean", "last_order_at": "timestamptz", "birth_date": "date"},
	  "order": {"total": "numeric", "weight": "float8"}, "orders": {"count": "bigint", "wanted": "integer"},
	  "sku": {"tags": "text[]", "properties": "jsonb"}}'::jsonb AS scope;
CREATE FUNCTION remedy(condition text, data jsonb, as_of timestamptz DEFAULT '2026-03-01 00:00+00') RETURNS text LANGUAGE sql AS
	$$ SELECT e.remedy FROM given, ecauto.explain_condition(condition, scope, data, as_of) e WHERE path = '1' $$;
CREATE FUNCTION truth(condition text, data jsonb DEFAULT '{}', as_of timestamptz DEFAULT '2026-03-01 00:00+00') RETURNS boolean LANGUAGE sql AS
	$$ SELECT ecauto.evaluate(condition, scope, data, as_of) FROM given $$;
CREATE FUNCTION part(condition text, path text, data jsonb) RETURNS text LANGUAGE sql AS
	$$ SELECT concat_ws(' | ', expression, coalesce(result::text, 'NULL'), operands, remedy)
	   FROM given, ecauto.explain_condition(condition, scope, data, '2026-03-01 00:00+00') e WHERE e.path = $2 $$;

-- ---- values ----
SELECT is(truth($$customer.country = 'PL'$$, '{"customer": {"country": "PL"}}'), true, 'true');
SELECT is(truth($$customer.country = 'PL'$$, '{"customer": {"country": "DE"}}'), false, 'false');
SELECT is(truth($$customer.country = 'PL'$$, '{"customer": {"country": null}}'), NULL, 'a NULL is unknown');
SELECT is(truth($$customer.country = 'PL'$$, '{"customer": {}}'), NULL, 'so is a missing column');
SELECT is(truth($$customer.country = 'PL'$$, '{"customer": null}'), NULL, 'a row that is null');
SELECT is(truth($$customer.country = 'PL'$$), NULL, 'a missing row');
SELECT is(ecauto.evaluate($$customer.country IS NULL$$, scope, NULL), true, 'or no data') FROM given;
SELECT is(truth($$customer.country = ''' OR true --'$$, $${"customer": {"country": "' OR true --"}}$$), true, 'values are values');
SELECT is(truth($$'new' = ANY (sku.tags) AND sku.properties->'size' @> '[3]'$$, '{"sku": {"tags": ["old", "new"], "properties": {"size": [1, 3]}}}'), true, 'arrays and jsonb');
SELECT is(truth($$customer.last_order_at > ecauto.now() - interval '1 day'$$, '{"customer": {"last_order_at": "2026-02-28 12:00+00"}}'), true, 'as of the time given');
SELECT is(truth($$customer.last_order_at > ecauto.now() - interval '1 day'$$, '{"customer": {"last_order_at": "2026-02-28 12:00+00"}}', '2026-03-02 00:00+00'), false, 'and of another');
SELECT is(truth($$ecauto.now()::date = '2026-03-01'$$, '{}', '2026-02-28 23:30+00'), true, 'days are the shop''s');
SET LOCAL ecauto.clock = '2026-02-28 12:00+00';
SELECT is(ecauto.evaluate($$ecauto.now() = '2026-02-28 12:00+00'$$, scope, '{}'), true, 'else of ecauto.now()') FROM given;
RESET ecauto.clock;
SET LOCAL timezone = 'America/New_York';
SET LOCAL datestyle = 'German';
SELECT is(truth($$ecauto.now()::date = '2026-03-01'$$, '{}', '2026-02-28 23:30+00'), true, 'whatever the session''s zone');
SELECT is(part($$customer.birth_date = '2026-03-02'$$, '1', '{"customer": {"birth_date": "2026-03-01"}}'),
	$$customer.birth_date = '2026-03-02'::date | false | {"customer.birth_date": "2026-03-01"} | needs customer.birth_date = '2026-03-02', is '2026-03-01'$$, 'and its style of dates');
RESET timezone;
RESET datestyle;

-- ---- what would help ----
SELECT is(remedy($$orders.count >= 3$$, '{"orders": {"count": 2}}'), 'orders.count must rise by 1 to 3', 'an integer, >=');
SELECT is(remedy($$orders.count > 3$$, '{"orders": {"count": 2}}'), 'orders.count must rise by 2 to 4', 'an integer, >');
SELECT is(remedy($$3 > orders.count$$, '{"orders": {"count": 5}}'), 'orders.count must fall by 3 to 2', 'the constant first');
SELECT is(remedy($$orders.count = 3$$, '{"orders": {"count": 5}}'), 'orders.count must fall by 2 to 3', '=');
SELECT is(remedy($$orders.count <> 3$$, '{"orders": {"count": 3}}'), 'orders.count must be other than 3', '<>');
SELECT is(remedy($$order.total > 49.90$$, '{"order": {"total": 20}}'), 'order.total must rise by more than 29.9, above 49.9', 'a number >');
SELECT is(remedy($$order.total > 20$$, '{"order": {"total": 20}}'), 'order.total must rise by more than 0, above 20', 'at the bound');
SELECT is(remedy($$order.weight <= 0.5$$, '{"order": {"weight": 0.75}}'), 'order.weight must fall by 0.25 to 0.5', 'a float');
SELECT is(remedy($$order.weight <= 0.5$$, '{"order": {"weight": "NaN"}}'), 'order.weight must be at most 0.5, is NaN', 'not a number');
SELECT is(remedy($$orders.count >= orders.wanted$$, '{"orders": {"count": 2, "wanted": 7}}'), 'orders.count must rise by 5 to 7 (orders.wanted)', 'two columns');
SELECT is(remedy($$orders.count >= orders.wanted$$, '{"orders": {"count": 2}}'), 'orders.wanted is NULL, to which nothing compares', 'of which one is NULL');
SELECT is(remedy($$orders.count >= 3$$, '{}'), 'orders.count must be at least 3, is NULL', 'NULL');
SELECT is(remedy($$customer.country = 'PL'$$, '{"customer": {"country": "DE"}}'), $$needs customer.country = 'PL', is 'DE'$$, 'a text');
SELECT is(remedy($$customer.country IN ('PL', 'CZ')$$, '{"customer": {"country": "DE"}}'), $$customer.country must be one of 'PL', 'CZ', is 'DE'$$, 'IN');
SELECT is(remedy($$customer.country NOT IN ('PL', 'CZ')$$, '{"customer": {"country": "PL"}}'), $$customer.country must be none of 'PL', 'CZ', is 'PL'$$, 'NOT IN');
SELECT is(remedy($$customer.country LIKE 'P%'$$, '{"customer": {"country": "DE"}}'), $$needs customer.country LIKE 'P%', is 'DE'$$, 'LIKE');
SELECT is(remedy($$customer.country IS NULL$$, '{"customer": {"country": "DE"}}'), $$customer.country must be NULL, is 'DE'$$, 'IS NULL');
SELECT is(remedy($$customer.country IS NOT NULL$$, '{}'), 'customer.country must not be NULL', 'IS NOT NULL');
SELECT is(remedy($$customer.active$$, '{"customer": {"active": false}}'), 'customer.active must be true, is false', 'a boolean');
SELECT is(remedy($$customer.last_order_at >= ecauto.now() - interval '30 days'$$, '{"customer": {"last_order_at": "2026-01-01"}}'),
	$$customer.last_order_at must be '2026-01-30 01:00:00+01' (ecauto.now() - '30 days'::interval) or later, is '2026-01-01 00:00:00+01'$$, 'a time');
SELECT is(remedy($$customer.birth_date <= ecauto.now()::date - 10$$, '{"customer": {"birth_date": "2026-02-22"}}'),
	$$customer.birth_date must be '2026-02-19' ((ecauto.now())::date - 10) or earlier, is '2026-02-22'; becomes so by itself at '2026-03-04 00:00:00+01'$$, 'a date that time will bring');
SELECT is(part($$NOT (customer.active AND orders.count > 3)$$, '1.1', '{"customer": {"active": true}, "orders": {"count": 5}}'),
	$$customer.active AND (orders.count > 3) | true | 1.1.1 or 1.1.2 must become false$$, 'under NOT a true part is in the way');
SELECT is(part($$customer.active AND orders.count > 3$$, '1', '{"customer": {"active": true}}'),
	$$customer.active AND (orders.count > 3) | NULL | 1.2 must become true$$, 'of AND those that are not true');
SELECT is(part($$orders.count <> 0 AND 10 / orders.count > 3$$, '1.2', '{"orders": {"count": 0}}'),
	$$(10 / orders.count) > 3 | NULL | cannot be evaluated: division by zero$$, 'a part that need not be looked at may fail');
SELECT is(truth($$orders.count <> 0 AND 10 / orders.count > 3$$, '{"orders": {"count": 0}}'), false, 'without harm');

-- ---- any condition, any data ----
SELECT setseed(0.4);
CREATE FUNCTION pick(VARIADIC choice text[]) RETURNS text LANGUAGE sql VOLATILE AS
	$$ SELECT choice[1 + floor(random() * cardinality(choice))::int] $$;
CREATE FUNCTION some_leaf() RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT pick(
		format('orders.count %s %s', pick('<', '<=', '=', '<>', '>=', '>'), floor(random() * 6)),
		format('%s %s orders.wanted', floor(random() * 6), pick('<', '<=', '=', '<>', '>=', '>')),
		format('orders.count %s orders.wanted + 1', pick('<', '<=', '=', '<>', '>=', '>')),
		format('order.total %s %s', pick('<', '<=', '=', '<>', '>=', '>'), round((random() * 5)::numeric, 1)),
		format('order.total %sBETWEEN 1 AND %s', pick('', 'NOT '), floor(random() * 6)),
		format('customer.country %s %L', pick('=', '<>', '<', '>=', 'LIKE', 'NOT LIKE', '~'), pick('PL', 'DE', 'P%', '''')),
		format('customer.country %sIN (%L, %L)', pick('', 'NOT '), pick('PL', 'DE'), pick('CZ', 'it''s')),
		format('customer.%s IS %sNULL', pick('country', 'age', 'active'), pick('', 'NOT ')),
		format('customer.active IS %s', pick('TRUE', 'NOT TRUE', 'FALSE', 'UNKNOWN')),
		'customer.active',
		format('customer.age IS DISTINCT FROM %s', floor(random() * 3)),
		format('coalesce(customer.age, 2) > %s', floor(random() * 5)),
		format('customer.last_order_at %s ecauto.now() - interval ''%s days''', pick('<', '>='), floor(random() * 60)),
		format('date_part(''year'', age(ecauto.now(), customer.birth_date)) >= %s', floor(random() * 60)),
		'EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname = lower(customer.country))',
		format('%L = ANY (sku.tags)', pick('a', 'b')))
$$;
CREATE FUNCTION some_condition(depth int) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	kind text := CASE WHEN depth = 0 THEN 'leaf' ELSE t.pick('leaf', 'and', 'or', 'or3', 'not') END;
BEGIN
	RETURN CASE kind
		WHEN 'leaf' THEN t.some_leaf()
		WHEN 'and' THEN format('(%s AND %s)', t.some_condition(depth - 1), t.some_condition(depth - 1))
		WHEN 'or' THEN format('(%s OR %s)', t.some_condition(depth - 1), t.some_condition(depth - 1))
		WHEN 'or3' THEN format('(%s OR %s OR %s)', t.some_condition(depth - 1), t.some_leaf(), t.some_leaf())
		ELSE format('(NOT %s)', t.some_condition(depth - 1))
	END;
END $$;
CREATE FUNCTION some_data() RETURNS jsonb LANGUAGE sql VOLATILE AS $$
	SELECT jsonb_build_object(
		'customer', jsonb_strip_nulls(jsonb_build_object('country', pick('PL', 'DE', 'CZ', 'public', NULL), 'age', pick('0', '1', '5', NULL)::int,
			'active', pick('true', 'false', NULL)::boolean, 'last_order_at', timestamptz '2026-03-01' - random() * interval '60 days',
			'birth_date', date '2026-01-01' - floor(random() * 20000)::int)),
		'order', jsonb_build_object('total', pick('0', '1', '2.5', '5', NULL)::numeric),
		'orders', jsonb_build_object('count', pick('0', '1', '3', '5', NULL)::int, 'wanted', pick('0', '2', '4', NULL)::int),
		'sku', jsonb_build_object('tags', CASE WHEN random() < 0.7 THEN '["a", "c"]'::jsonb END))
$$;
CREATE TABLE trial AS SELECT n, some_condition(3) AS condition, some_data() AS data FROM generate_series(1, 600) n;
CREATE TABLE explained AS SELECT t.n, t.data, e.*, truth(t.condition, t.data) AS whole, t.condition
	FROM trial t, given g, ecauto.explain_condition(t.condition, g.scope, t.data, '2026-03-01 00:00+00') e;

SELECT is_empty($$ SELECT n, condition, data FROM explained WHERE path = '1' AND result IS DISTINCT FROM whole $$, 'the root of 600 explanations is what evaluate() says');
-- the same by the server alone: the text as SQL over rows of that name
CREATE FUNCTION plain(condition text, data jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	answer boolean;
BEGIN
	EXECUTE format('SELECT %s FROM jsonb_to_record($1->''customer'') AS customer(country text, age int, active boolean, last_order_at timestamptz, birth_date date),
		jsonb_to_record($1->''order'') AS "order"(total numeric), jsonb_to_record($1->''orders'') AS orders(count bigint, wanted int),
		jsonb_to_record($1->''sku'') AS sku(tags text[])', replace(condition, 'order.', '"order".')) INTO answer USING data;
	RETURN answer;
END $$;
SET LOCAL ecauto.clock = '2026-03-01 00:00+00';
SET LOCAL timezone = 'Europe/Warsaw';
SELECT is_empty($$ SELECT n, condition, data FROM explained WHERE path = '1' AND whole IS DISTINCT FROM plain(condition, data) $$, 'and what plain SQL says');
RESET timezone;
RESET ecauto.clock;
CREATE TABLE family AS SELECT p.n, p.path, p.expression, p.result, c.parts, c.some_true, c.some_false, c.some_null,
		translate(p.expression, '()', '') = translate(c.conjoined, '()', '') AS conjunction
	FROM explained p CROSS JOIN LATERAL (
		SELECT count(*) AS parts, bool_or(c.result IS TRUE) AS some_true, bool_or(c.result IS FALSE) AS some_false, bool_or(c.result IS NULL) AS some_null,
			string_agg(c.expression, ' AND ' ORDER BY c.path) AS conjoined
		FROM explained c WHERE c.n = p.n AND c.depth = p.depth + 1 AND c.path LIKE p.path || '.%') c
	WHERE c.parts > 0;
SELECT is_empty($$ SELECT * FROM family WHERE parts = 1 AND result IS DISTINCT FROM CASE WHEN some_null THEN NULL ELSE some_false END $$, 'NOT turns its part');
SELECT is_empty($$ SELECT * FROM family WHERE parts > 1 AND conjunction
	AND result IS DISTINCT FROM CASE WHEN some_false THEN false WHEN some_null THEN NULL ELSE true END $$, 'AND is as weak as its weakest part');
SELECT is_empty($$ SELECT * FROM family WHERE parts > 1 AND NOT conjunction
	AND result IS DISTINCT FROM CASE WHEN some_true THEN true WHEN some_null THEN NULL ELSE false END $$, 'OR is as strong as its strongest');
SELECT cmp_ok(count(*) FILTER (WHERE parts > 1 AND conjunction), '>', 50::bigint, 'there were many of each') FROM family;
SELECT is_empty($$ SELECT n, condition FROM explained WHERE path = '1' AND (remedy IS NULL) IS DISTINCT FROM (result IS TRUE) $$, 'whoever is not true is told why');
-- a leaf as large as it is told to be is as it should be
SELECT is_empty($$
	SELECT e.n, e.expression, e.remedy FROM explained e,
		regexp_match(e.remedy, '^(order|orders)\.(\w+) must (?:rise|fall) by [0-9.]+ to ([0-9.]+)') m
	WHERE m IS NOT NULL AND truth(e.expression, jsonb_set(e.data, ARRAY[m[1], m[2]], to_jsonb(m[3]))) IS NOT DISTINCT FROM e.result $$, 'remedies help');

SELECT * FROM finish();
ROLLBACK;

-- Whatever the cart and the promotions: nothing is lost or made up by a cent, the order of lines does not matter, and
-- the engine finds what trying everything finds.
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(13);
SELECT setseed(0.4711) \g /dev/null

CREATE FUNCTION pg_temp.pick(n int) RETURNS int LANGUAGE sql AS $$ SELECT floor(random() * n)::int $$;

-- up to seven lines of few skus, so that promotions meet; keys 1, 2, ...
CREATE FUNCTION pg_temp.random_lines(n int, most_units int) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_agg(jsonb_build_object('key', i::text, 'sku', substr('ABCDE', 1 + pg_temp.pick(5), 1), 'qty', 1 + pg_temp.pick(most_units),
		'unit_price', (1 + pg_temp.pick(9999)) / 100.0, 'brand', substr('xyz', 1 + pg_temp.pick(3), 1))) FROM generate_series(1, n) i
$$;
CREATE FUNCTION pg_temp.random_skus() RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_agg(s) FROM (SELECT s FROM unnest('{A, B, C, D, E}'::text[]) s ORDER BY random() LIMIT 1 + pg_temp.pick(4)) x
$$;
-- one that looks at each line by itself
CREATE FUNCTION pg_temp.line_promotion() RETURNS jsonb LANGUAGE sql AS $$
	SELECT CASE pg_temp.pick(5)
		WHEN 0 THEN jsonb_build_object('percent', 1 + pg_temp.pick(100), 'per', 'line')
		WHEN 1 THEN jsonb_build_object('percent', 1 + pg_temp.pick(100), 'per', 'unit')
		WHEN 2 THEN jsonb_build_object('amount', (1 + pg_temp.pick(2000)) / 100.0, 'per', 'line')
		WHEN 3 THEN jsonb_build_object('amount', (1 + pg_temp.pick(2000)) / 100.0, 'per', 'unit')
		ELSE jsonb_build_object('price', pg_temp.pick(5000) / 100.0) END
		|| jsonb_build_object('priority', pg_temp.pick(1000))
		|| CASE WHEN random() < 0.5 THEN jsonb_build_object('skus', pg_temp.random_skus()) ELSE '{}' END
$$;
CREATE FUNCTION pg_temp.any_promotion() RETURNS jsonb LANGUAGE sql AS $$
	SELECT CASE pg_temp.pick(9)
		WHEN 0 THEN jsonb_build_object('percent', 1 + pg_temp.pick(100))
		WHEN 1 THEN jsonb_build_object('amount', (1 + pg_temp.pick(5000)) / 100.0)
		WHEN 2 THEN jsonb_build_object('nth', jsonb_build_object('every', 2 + pg_temp.pick(3), 'percent', 1 + pg_temp.pick(100)))
		WHEN 3 THEN jsonb_build_object('buy', jsonb_build_object('qty', 1 + pg_temp.pick(3)), 'get', jsonb_build_object('qty', 1 + pg_temp.pick(2)))
		WHEN 4 THEN jsonb_build_object('buy', jsonb_build_object('qty', 1 + pg_temp.pick(3), 'skus', pg_temp.random_skus()), 'get', jsonb_build_object('skus', pg_temp.random_skus(), 'amount', (1 + pg_temp.pick(3000)) / 100.0))
		WHEN 5 THEN jsonb_build_object('bundle', jsonb_build_object('percent', 1 + pg_temp.pick(100), 'items', jsonb_build_array(jsonb_build_object('skus', pg_temp.random_skus(), 'qty', 1 + pg_temp.pick(2)), jsonb_build_object('brands', '["x", "y"]'::jsonb))))
		WHEN 6 THEN jsonb_build_object('tiers', jsonb_build_array(jsonb_build_object('min_total', 20, 'percent', 5), jsonb_build_object('min_total', 100, 'amount', 17.77)))
		WHEN 7 THEN jsonb_build_object('percent', 1 + pg_temp.pick(100), 'max_discount', (1 + pg_temp.pick(2000)) / 100.0)
		ELSE pg_temp.line_promotion() END
		|| jsonb_build_object('priority', pg_temp.pick(1000), 'lane', 1 + pg_temp.pick(3), 'stack', (ARRAY['add', 'add', 'add', 'best', 'best', 'exclusive', 'alone'])[1 + pg_temp.pick(7)])
$$;
CREATE FUNCTION pg_temp.cart(lines jsonb, promotions jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT ecauto.price_cart(lines, jsonb_build_object('currency', 'EUR', 'promotions', promotions))
$$;
CREATE FUNCTION pg_temp.by_key(cart jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_object_agg(l ->> 'key', l - 'line') FROM jsonb_array_elements(cart -> 'lines') l
$$;
CREATE FUNCTION pg_temp.discount(cart jsonb, without text) RETURNS numeric LANGUAGE sql AS $$
	SELECT coalesce(sum((l ->> 'discount')::numeric), 0) FROM jsonb_array_elements(cart -> 'lines') l WHERE l ->> 'key' <> without
$$;

CREATE TEMP TABLE trial AS
SELECT n, pg_temp.random_lines(1 + pg_temp.pick(7) + 0 * n, 4) AS lines,
	(SELECT jsonb_object_agg('p' || i, pg_temp.any_promotion()) FROM generate_series(1, 1 + (n % 6)) i) AS promotions
FROM generate_series(1, 1500) n;
ALTER TABLE trial ADD cart jsonb;
UPDATE trial SET cart = pg_temp.cart(lines, promotions);

-- ---- sums ----
SELECT is((SELECT count(*) FROM trial WHERE (cart ->> 'discount')::numeric > 0)::int > 1000, true, 'most of the carts have a discount');
SELECT is((SELECT count(*) FROM trial WHERE (cart ->> 'total')::numeric < 0
	OR EXISTS (SELECT FROM jsonb_array_elements(cart -> 'lines') l WHERE (l ->> 'total')::numeric < 0 OR (l ->> 'discount')::numeric < 0)), 0::bigint, 'no total is below zero, and no discount');
SELECT is((SELECT count(*) FROM trial WHERE (cart ->> 'total')::numeric <> (SELECT sum((l ->> 'total')::numeric) FROM jsonb_array_elements(cart -> 'lines') l)
	OR (cart ->> 'discount')::numeric <> (SELECT sum((l ->> 'discount')::numeric) FROM jsonb_array_elements(cart -> 'lines') l)
	OR (cart ->> 'subtotal')::numeric <> (cart ->> 'total')::numeric + (cart ->> 'discount')::numeric), 0::bigint, 'lines make the whole');
SELECT is((SELECT count(*) FROM trial, jsonb_array_elements(cart -> 'lines') l
	WHERE (l ->> 'discount')::numeric <> (SELECT coalesce(sum((d ->> 'amount')::numeric), 0) FROM jsonb_array_elements(l -> 'discounts') d)), 0::bigint, 'shares make the discount of a line');
SELECT is((SELECT count(*) FROM trial, jsonb_array_elements(cart -> 'applied') a
	WHERE (a ->> 'amount')::numeric <> (SELECT sum((d ->> 'amount')::numeric) FROM jsonb_array_elements(cart -> 'lines') l, jsonb_array_elements(l -> 'discounts') d WHERE d ->> 'promotion' = a ->> 'promotion')), 0::bigint, 'and that of a promotion');
SELECT is((SELECT count(*) FROM trial WHERE cart <> cart::text::jsonb
	OR jsonb_array_length(cart -> 'applied') + (SELECT count(*) FROM jsonb_array_elements(cart -> 'not_applied') a WHERE promotions ? (a ->> 'promotion')) <> (SELECT count(*) FROM jsonb_object_keys(promotions))), 0::bigint, 'each promotion applied or says why not');

-- ---- order ----
SELECT is((SELECT count(*) FROM trial WHERE pg_temp.by_key(cart) <> pg_temp.by_key(pg_temp.cart((SELECT jsonb_agg(l ORDER BY random()) FROM jsonb_array_elements(lines) l), promotions))), 0::bigint, 'the order of the lines changes nothing');

-- ---- a line less ----
CREATE TEMP TABLE plain AS
SELECT n, pg_temp.random_lines(2 + pg_temp.pick(5) + 0 * n, 3) AS lines,
	(SELECT jsonb_object_agg('p' || i, pg_temp.line_promotion()) FROM generate_series(1, 1 + (n % 5)) i) AS promotions FROM generate_series(1, 500) n;
SELECT is((SELECT count(*) FROM (SELECT pg_temp.cart(lines, promotions) AS whole, pg_temp.cart(lines - 0, promotions) AS less FROM plain) x
	WHERE pg_temp.by_key(whole) - '1' <> pg_temp.by_key(less)), 0::bigint, 'rules for lines: a line less changes nothing on the others');
SELECT is((SELECT count(*) FROM (SELECT pg_temp.cart(lines, p) AS whole, pg_temp.cart(lines - 0, p) AS less FROM plain,
		LATERAL (SELECT jsonb_build_object('a', jsonb_build_object('percent', 1 + pg_temp.pick(99) + 0 * n), 'b', jsonb_build_object('buy', '{"qty": 2}'::jsonb, 'get', '{"qty": 1}'::jsonb), 'c', '{"amount": 5}'::jsonb) AS p) q) x
	WHERE (less ->> 'discount')::numeric > (whole ->> 'discount')::numeric), 0::bigint, 'the discount of the cart does not rise when a line goes');

-- ---- against trying everything ----
CREATE TEMP TABLE small AS
SELECT n, pg_temp.random_lines(2 + n % 3, 2) AS lines, pg_temp.random_skus() AS a, pg_temp.random_skus() AS b, 1 + pg_temp.pick(2) AS x, 1 + pg_temp.pick(2) AS y FROM generate_series(1, 250) n;
-- the units of a cart, with the sets they belong to
CREATE FUNCTION pg_temp.units(lines jsonb, a jsonb, b jsonb) RETURNS TABLE (place int, value numeric, in_a boolean, in_b boolean) LANGUAGE sql AS $$
	SELECT 1 << (row_number() OVER ())::int - 1, (l ->> 'unit_price')::numeric, a ? (l ->> 'sku'), b ? (l ->> 'sku')
	FROM jsonb_array_elements(lines) l, generate_series(1, (l ->> 'qty')::int)
$$;
-- x of a bought, y of b got: every set of units that could be got
CREATE FUNCTION pg_temp.best_get(lines jsonb, a jsonb, b jsonb, x int, y int) RETURNS numeric LANGUAGE sql AS $$
	WITH u AS MATERIALIZED (SELECT * FROM pg_temp.units(lines, a, b))
	SELECT coalesce(max(s.value), 0) FROM generate_series(1, (SELECT sum(place) FROM u)::int) g,
		LATERAL (SELECT coalesce(sum(value) FILTER (WHERE g & place <> 0), 0) AS value, count(*) FILTER (WHERE g & place <> 0) AS got,
			bool_and(in_b) FILTER (WHERE g & place <> 0) AS all_in_b, count(*) FILTER (WHERE g & place = 0 AND in_a) AS bought FROM u) s
	WHERE s.all_in_b AND s.bought >= x * ceil(s.got::numeric / y)
$$;
SELECT is((SELECT count(*) FROM small WHERE round(pg_temp.best_get(lines, a, b, x, y), 2) <>
	(pg_temp.cart(lines, jsonb_build_object('p', jsonb_build_object('buy', jsonb_build_object('skus', a, 'qty', x), 'get', jsonb_build_object('skus', b, 'qty', y)))) ->> 'discount')::numeric), 0::bigint, 'buy some, get others: the best choice');
-- every n-th: sets in which each discounted unit has n - 1 others of its own that are not cheaper
CREATE FUNCTION pg_temp.best_nth(lines jsonb, every int) RETURNS numeric LANGUAGE sql AS $$
	WITH u AS MATERIALIZED (SELECT * FROM pg_temp.units(lines, '[]', '[]'))
	SELECT coalesce(max(s.value), 0) FROM generate_series(1, (SELECT sum(place) FROM u)::int) g,
		LATERAL (SELECT sum(w.value) FILTER (WHERE w.got) AS value, bool_and((every - 1) * w.got_so_far <= w.others_so_far) AS good
			FROM (SELECT value, g & place <> 0 AS got, count(*) FILTER (WHERE g & place <> 0) OVER o AS got_so_far, count(*) FILTER (WHERE g & place = 0) OVER o AS others_so_far
				FROM u WINDOW o AS (ORDER BY value DESC, g & place ROWS UNBOUNDED PRECEDING)) w) s
	WHERE s.good
$$;
SELECT is((SELECT count(*) FROM small WHERE pg_temp.best_nth(lines, 1 + x) <>
	(pg_temp.cart(lines, jsonb_build_object('p', jsonb_build_object('nth', jsonb_build_object('every', 1 + x, 'percent', 100)))) ->> 'discount')::numeric), 0::bigint, 'every n-th unit: the best grouping');
-- bundles of x of a and one of b, at a percentage or a price: every way to make them
CREATE FUNCTION pg_temp.best_bundles(bits int[], vals numeric[], in_a boolean[], in_b boolean[], used int, x int, price numeric) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
	best numeric := 0;
	n constant int := cardinality(bits);
BEGIN
	FOR i IN 1 .. n LOOP
		CONTINUE WHEN used & bits[i] <> 0 OR NOT in_b[i];
		FOR j IN 1 .. n LOOP
			CONTINUE WHEN j = i OR used & bits[j] <> 0 OR NOT in_a[j];
			IF x = 1 THEN
				best := greatest(best, vals[i] + vals[j] - price + pg_temp.best_bundles(bits, vals, in_a, in_b, used | bits[i] | bits[j], x, price));
				CONTINUE;
			END IF;
			FOR k IN j + 1 .. n LOOP
				CONTINUE WHEN k = i OR used & bits[k] <> 0 OR NOT in_a[k];
				best := greatest(best, vals[i] + vals[j] + vals[k] - price + pg_temp.best_bundles(bits, vals, in_a, in_b, used | bits[i] | bits[j] | bits[k], x, price));
			END LOOP;
		END LOOP;
	END LOOP;
	RETURN best;
END
$$;
CREATE FUNCTION pg_temp.best_bundles(lines jsonb, a jsonb, b jsonb, x int, price numeric) RETURNS numeric LANGUAGE sql AS $$
	SELECT pg_temp.best_bundles(array_agg(place ORDER BY place), array_agg(value ORDER BY place), array_agg(in_a ORDER BY place), array_agg(in_b ORDER BY place), 0, x, price) FROM pg_temp.units(lines, a, b)
$$;
SELECT is((SELECT count(*) FROM small WHERE n <= 150 AND round(pg_temp.best_bundles(lines, a, b, x, 0) * 0.15, 2) <>
	(pg_temp.cart(lines, jsonb_build_object('p', jsonb_build_object('bundle', jsonb_build_object('percent', 15, 'items', jsonb_build_array(jsonb_build_object('skus', a, 'qty', x), jsonb_build_object('skus', b)))))) ->> 'discount')::numeric), 0::bigint, 'bundles with a percentage off: the best way to make them');
SELECT is((SELECT count(*) FROM small WHERE n <= 150 AND round(pg_temp.best_bundles(lines, a, b, x, 60), 2) <>
	(pg_temp.cart(lines, jsonb_build_object('p', jsonb_build_object('bundle', jsonb_build_object('price', 60, 'items', jsonb_build_array(jsonb_build_object('skus', a, 'qty', x), jsonb_build_object('skus', b)))))) ->> 'discount')::numeric), 0::bigint, 'bundles at a price: as many as are worth it');

SELECT * FROM finish();
ROLLBACK;

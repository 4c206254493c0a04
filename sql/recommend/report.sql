-- What came of recommendations: what was shown, clicked and bought, and tests of two ways.

CREATE OR REPLACE FUNCTION ecauto.share_interval(
	successes bigint, n bigint, OUT share float8, OUT lo float8, OUT hi float8)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_share_interval'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.share_interval(bigint, bigint) IS
'share of successes in n trials, from 0 to 1, with its 95% confidence interval (Wilson 1927); NULLs of no trials; error unless successes is between 0 and n';

CREATE OR REPLACE FUNCTION ecauto.compare_shares(
	a_successes bigint, a bigint, b_successes bigint, b bigint,
	OUT difference float8, OUT lo float8, OUT hi float8, OUT z float8, OUT p float8)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_compare_shares'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.compare_shares(bigint, bigint, bigint, bigint) IS
'how much larger the share of b_successes in b trials is than that of a_successes in a, with the 95% confidence interval of the difference (Newcombe 1998, method 10), z with pooled variance, and p, two-sided; NULLs if there are no trials of one, z and p also if both shares are 0 or 1; error unless successes are between 0 and trials';

-- ---- tests of two ways ----

CREATE OR REPLACE FUNCTION ecauto.set_recommendation_test(name text, setting jsonb, share float8 DEFAULT 0.5)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	one record;
	must text;
	other text;
BEGIN
	IF coalesce(name, '') = '' OR setting IS NULL THEN
		RAISE EXCEPTION 'a test of recommendations needs a name and a setting'
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF share IS NULL OR NOT (share > 0 AND share < 1) THEN
		RAISE EXCEPTION 'share of a test must be above 0 and below 1'
			USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', coalesce(share::text, 'null'));
	END IF;
	IF jsonb_typeof(setting) <> 'object' OR setting = '{}' THEN
		RAISE EXCEPTION 'setting of test "%" must be an object that is not empty', name
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Write such as {"popular": 0.5}.';
	END IF;
	FOR one IN SELECT s.key, s.value FROM jsonb_each(setting) s LOOP
		must := CASE one.key
			WHEN 'half_life' THEN CASE WHEN one.value = 'null' THEN NULL
				WHEN jsonb_typeof(one.value) <> 'number' THEN 'a number of days above 0, or null for never'
				WHEN NOT one.value::numeric BETWEEN 0.001 AND 1000000 THEN 'a number of days above 0, or null for never' END
			WHEN 'popular' THEN CASE WHEN jsonb_typeof(one.value) <> 'number' THEN 'a number from 0 to 100'
				WHEN NOT one.value::numeric BETWEEN 0 AND 100 THEN 'a number from 0 to 100' END
			WHEN 'repeats' THEN CASE WHEN coalesce(one.value #>> '{}', '') NOT IN ('none', 'consumables', 'all') THEN 'none, consumables or all' END
			WHEN 'list' THEN CASE WHEN coalesce(one.value #>> '{}', '') NOT IN ('recommend', 'popular') THEN 'recommend or popular' END
			ELSE '' END;
		IF must = '' THEN
			RAISE EXCEPTION 'unknown setting "%" of test "%"', one.key, name
				USING ERRCODE = 'invalid_parameter_value', HINT = 'Settings are half_life, list, popular and repeats.';
		ELSIF must IS NOT NULL THEN
			RAISE EXCEPTION 'setting "%" of test "%" must be %', one.key, name, must
				USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', left(one.value::text, 200));
		END IF;
	END LOOP;
	SELECT t.name INTO other FROM ecauto_data.recommend_test t WHERE t.running;
	IF other IS NOT NULL THEN
		RAISE EXCEPTION 'a test of recommendations is running already'
			USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = format('It is "%s".', other),
				HINT = 'End it by ecauto.end_recommendation_test().';
	END IF;
	INSERT INTO ecauto_data.recommend_test (name, share, half_life, popular, repeats, personal, started_at)
	VALUES (set_recommendation_test.name, set_recommendation_test.share,
		CASE WHEN setting ? 'half_life' THEN coalesce((setting ->> 'half_life')::float8, 0) END,
		(setting ->> 'popular')::float8, setting ->> 'repeats', setting ->> 'list' = 'recommend', ecauto.now());
EXCEPTION
	WHEN unique_violation THEN
		RAISE EXCEPTION 'there was a test "%" of recommendations already', name
			USING ERRCODE = 'duplicate_object', HINT = 'Give it a name of its own: who is which variant follows from it.';
END
$$;
COMMENT ON FUNCTION ecauto.set_recommendation_test(text, jsonb, float8) IS
'begins a test: a share of the visitors (above 0, below 1), variant B, gets recommend() and recommend_session() with another setting: {"half_life": days or null, "popular": 0 to 100, "repeats": none, consumables or all, "list": "popular" for what is popular only}; the others, variant A, as before; who is B is drawn by ecauto.bucket() from the names of test and customer (of nobody: session), and is always the same; error if a test is running, a name was used before, or a setting is none; for operators';
REVOKE ALL ON FUNCTION ecauto.set_recommendation_test(text, jsonb, float8) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.end_recommendation_test()
RETURNS text
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
UPDATE ecauto_data.recommend_test SET running = false, ended_at = ecauto.now() WHERE running RETURNING name
$$;
COMMENT ON FUNCTION ecauto.end_recommendation_test() IS
'ends the test of recommendations that is running and returns its name, NULL if there is none; all visitors get what variant A got; for operators';
REVOKE ALL ON FUNCTION ecauto.end_recommendation_test() FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.recommendation_label(customer text, session text DEFAULT NULL)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'ecauto_recommendation_label'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.recommendation_label(text, text) IS
'what recommendations a visitor gets now: version, and if a test is running, test and variant (A or B) of the customer (key), else of the one whom the session belongs to, else of the session';

-- ---- what was shown and clicked ----

CREATE OR REPLACE FUNCTION ecauto.recommend_shown(customer text, skus text[], list text DEFAULT 'recommend', session text DEFAULT NULL)
RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
SELECT count(ecauto.track('recommendation.shown', $1, s.sku, l.label || jsonb_build_object('list', $3, 'place', s.place), $4))
FROM ecauto.recommendation_label($1, $4) l (label), unnest($2) WITH ORDINALITY s (sku, place) WHERE s.sku IS NOT NULL
$$;
COMMENT ON FUNCTION ecauto.recommend_shown(text, text[], text, text) IS
'tells by ecauto.track() that a list was shown to a customer (key; NULL with a session: somebody unknown): an event recommendation.shown for each sku (key), with list, place from 1, version, and test and variant while one runs; returns how many events were kept: none of who objected to profiling';

CREATE OR REPLACE FUNCTION ecauto.recommend_clicked(customer text, sku text, list text DEFAULT 'recommend', session text DEFAULT NULL, place integer DEFAULT NULL)
RETURNS uuid
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
SELECT ecauto.track('recommendation.clicked', $1, $2, jsonb_strip_nulls(ecauto.recommendation_label($1, $4) || jsonb_build_object('list', $3, 'place', $5)), $4)
$$;
COMMENT ON FUNCTION ecauto.recommend_clicked(text, text, text, text, integer) IS
'tells by ecauto.track() that a sku (key) of a list that ecauto.recommend_shown() told of was clicked, as an event recommendation.clicked; returns its identifier; NULL if it was not kept';

CREATE OR REPLACE FUNCTION ecauto.recommendation_report(
	"from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL, within interval DEFAULT '7 days')
RETURNS TABLE (list text, test text, variant text, shown bigint, clicked bigint, ctr float8, ctr_lo float8, ctr_hi float8,
	visitors bigint, visitors_clicked bigint, orders bigint, revenue jsonb, view_orders bigint, view_revenue jsonb,
	purchases bigint, hits bigint, hit_rate float8, hit_lo float8, hit_hi float8,
	difference float8, difference_lo float8, difference_hi float8, z float8, p float8, note text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH period AS (
	SELECT coalesce($1, x.until - interval '30 days') AS since, x.until FROM (SELECT coalesce($2, ecauto.now()) AS until) x),
told AS MATERIALIZED (
	SELECT e.event_id, e.at, e.kind = 'recommendation.clicked' AS click, coalesce(e.customer, i.customer) AS customer,
		-- a session never has the name of a customer
		coalesce('c' || coalesce(e.customer, i.customer), 's' || e.session) AS visitor, e.sku, coalesce(s.product_key, e.sku) AS product,
		coalesce(e.new ->> 'list', '') AS list, coalesce(e.new ->> 'test', '') AS test, coalesce(e.new ->> 'variant', '') AS variant
	FROM period p JOIN ecauto_data.event e ON e.at >= p.since AND e.at < p.until
	LEFT JOIN ecauto_data.identity i ON i.session = e.session LEFT JOIN ecauto_data.seen_sku s ON s.key = e.sku
	WHERE e.kind IN ('recommendation.shown', 'recommendation.clicked') AND e.role IS NULL
		AND NOT EXISTS (SELECT FROM ecauto_data.no_profile n WHERE n.customer = coalesce(e.customer, i.customer))),
pair AS (
	SELECT t.list, t.test, t.variant, t.visitor, t.sku, count(*) FILTER (WHERE NOT t.click) AS shown,
		least(count(*) FILTER (WHERE t.click), count(*) FILTER (WHERE NOT t.click)) AS clicked
	FROM told t GROUP BY 1, 2, 3, 4, 5),
visitor AS (
	SELECT r.list, r.test, r.variant, r.visitor, sum(r.shown) AS shown, sum(r.clicked) AS clicked FROM pair r GROUP BY 1, 2, 3, 4),
line AS (
	SELECT v.list, v.test, v.variant, sum(v.shown)::bigint AS shown, sum(v.clicked)::bigint AS clicked,
		count(*) FILTER (WHERE v.shown > 0) AS visitors, count(*) FILTER (WHERE v.clicked > 0) AS visitors_clicked
	FROM visitor v GROUP BY 1, 2, 3 HAVING sum(v.shown) > 0),
bought AS MATERIALIZED (
	SELECT u.customer, u.order_key, u.sku, coalesce(u.product, u.sku) AS product, u.placed_at, u.amount, u.currency
	FROM period p JOIN ecauto_data.purchase u ON u.placed_at >= p.since AND u.placed_at < p.until + $3
	WHERE (u.qty > 0 OR u.qty IS NULL) AND u.customer IN (SELECT t.customer FROM told t)
		AND NOT EXISTS (SELECT FROM ecauto_data.recommend_excluded x WHERE x.order_key = u.order_key)),
-- what was bought is owed to the last click, else to the last time it was shown
owed AS MATERIALIZED (
	SELECT DISTINCT ON (b.order_key, b.sku) b.order_key, b.sku, b.amount, b.currency, t.list, t.test, t.variant, t.click
	FROM bought b JOIN told t ON t.customer = b.customer AND t.product = b.product AND t.at <= b.placed_at AND b.placed_at < t.at + $3
	ORDER BY b.order_key, b.sku, t.click DESC, t.at DESC, t.event_id),
gain AS (
	SELECT o.list, o.test, o.variant, count(DISTINCT o.order_key) FILTER (WHERE o.click) AS orders,
		count(DISTINCT o.order_key) FILTER (WHERE NOT o.click) AS view_orders
	FROM owed o GROUP BY 1, 2, 3),
money AS (
	SELECT m.list, m.test, m.variant, jsonb_object_agg(m.currency, m.amount) FILTER (WHERE m.click) AS revenue,
		jsonb_object_agg(m.currency, m.amount) FILTER (WHERE NOT m.click) AS view_revenue
	FROM (SELECT o.list, o.test, o.variant, o.click, coalesce(o.currency, '') AS currency, coalesce(sum(o.amount), 0) AS amount FROM owed o GROUP BY 1, 2, 3, 4, 5) m
	GROUP BY 1, 2, 3),
hit AS (
	SELECT h.list, h.test, h.variant, count(*) AS purchases, count(*) FILTER (WHERE h.hit) AS hits
	FROM (SELECT t.list, t.test, t.variant, b.order_key, b.sku, bool_or(t.product = b.product) AS hit
		FROM bought b JOIN told t ON t.customer = b.customer AND NOT t.click AND t.at <= b.placed_at AND b.placed_at < t.at + $3
		GROUP BY 1, 2, 3, 4, 5) h
	GROUP BY 1, 2, 3)
SELECT l.list, nullif(l.test, ''), nullif(l.variant, ''), l.shown, l.clicked, c.share, c.lo, c.hi, l.visitors, l.visitors_clicked,
	coalesce(g.orders, 0), coalesce(m.revenue, '{}'), coalesce(g.view_orders, 0), coalesce(m.view_revenue, '{}'),
	coalesce(h.purchases, 0), coalesce(h.hits, 0), r.share, r.lo, r.hi, x.difference, x.lo, x.hi, x.z, x.p,
	CASE WHEN l.variant <> 'B' THEN NULL
		WHEN a.list IS NULL OR l.visitors < 100 OR a.visitors < 100 THEN 'not enough data'
		WHEN x.p < 0.05 THEN 'significant' ELSE 'not significant' END
FROM line l LEFT JOIN gain g USING (list, test, variant) LEFT JOIN money m USING (list, test, variant) LEFT JOIN hit h USING (list, test, variant)
LEFT JOIN line a ON l.variant = 'B' AND a.variant = 'A' AND a.list = l.list AND a.test = l.test
CROSS JOIN LATERAL ecauto.share_interval(l.clicked, l.shown) c
CROSS JOIN LATERAL ecauto.share_interval(coalesce(h.hits, 0), coalesce(h.purchases, 0)) r
LEFT JOIN LATERAL ecauto.compare_shares(a.visitors_clicked, a.visitors, l.visitors_clicked, l.visitors) x
	ON l.visitors >= 100 AND a.visitors >= 100
ORDER BY 1, 2 NULLS FIRST, 3 NULLS FIRST
$$;
COMMENT ON FUNCTION ecauto.recommendation_report(timestamptz, timestamptz, interval) IS
'what came of recommendations shown from "from" up to but not including "to" (NULL: the last 30 days), for each list, and each variant of a test: skus shown and clicked (as often as shown at most), their share with a 95% interval (Wilson); visitors, and those who clicked; orders with a product that was clicked within that time before, and what it cost, by currency; the same of what was shown only (view_); each line counts once, for the last click, else the last time it was shown; purchases: lines bought within that time of being shown the list, hits: those that were in it, their share with its interval; of variant B the difference of the shares of visitors who clicked to A (0 to 1), its 95% interval (Newcombe), z (pooled) and p, NULL and "not enough data" below 100 visitors each; cancelled and excluded orders and who objected to profiling do not count; needs SELECT on the tables of ecauto_data';

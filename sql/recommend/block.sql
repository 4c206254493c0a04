-- A block of recommendations for a mail: chosen, and priced, when it is asked for.

CREATE OR REPLACE FUNCTION ecauto.recommend_candidates(list text, customer text, n integer)
RETURNS TABLE (sku text, score float8, reason text)
AS 'MODULE_PATHNAME', 'ecauto_recommend_candidates'
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 50;
COMMENT ON FUNCTION ecauto.recommend_candidates(text, text, integer) IS
'what ecauto.recommend_block() chooses from: the list of that name (recommend, discover, buy_again, popular, trending, best_sellers, new_arrivals), for a customer (key) where it is about one, NULL being somebody unknown; errors as of the function of that name; for operators';

CREATE OR REPLACE FUNCTION ecauto.recommend_categories(product text)
RETURNS text[]
AS 'MODULE_PATHNAME', 'ecauto_recommend_categories'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.recommend_categories(text) IS
'keys of the categories that a product (key) is in now, not those above them; none if role product_category is not bound; for readers';

CREATE OR REPLACE FUNCTION ecauto.recommend_price(sku text, currency text)
RETURNS numeric
AS 'MODULE_PATHNAME', 'ecauto_recommend_price'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.recommend_price(text, text) IS
'the base price of a sku (key) in a currency (capitals) in the shop''s own rows at this moment, in major units, without promotions; NULL if there is none in force; for readers';

CREATE OR REPLACE FUNCTION ecauto.recommend_rule_problem(rule text, value jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE
	WHEN $2 = 'null' THEN NULL
	WHEN $1 = 'per_category' THEN CASE WHEN jsonb_typeof($2) = 'number' AND $2::numeric BETWEEN 1 AND 1000 AND $2::numeric % 1 = 0 THEN NULL
		ELSE 'a whole number from 1 to 1000' END
	WHEN $1 IN ('min_price', 'max_price') THEN CASE WHEN jsonb_typeof($2) = 'number' AND $2::numeric >= 0 THEN NULL
		ELSE 'a number that is not negative' END
	WHEN $1 = 'bought_within' THEN CASE WHEN jsonb_typeof($2) = 'number' AND $2::numeric BETWEEN 0 AND 3650 THEN NULL
		ELSE 'a number of days from 0 to 3650' END
	WHEN $1 = 'discount_only' THEN CASE WHEN jsonb_typeof($2) = 'boolean' THEN NULL ELSE 'true or false' END
	WHEN $1 = 'currency' THEN CASE WHEN $2 #>> '{}' ~ '^[A-Za-z]{3}$' THEN NULL ELSE 'a code of ISO 4217' END
	WHEN $1 = 'list' THEN CASE WHEN $2 #>> '{}' IN ('recommend', 'discover', 'buy_again', 'popular', 'trending', 'best_sellers', 'new_arrivals') THEN NULL
		ELSE 'recommend, discover, buy_again, popular, trending, best_sellers or new_arrivals' END
	WHEN $1 IN ('exclude', 'include_category', 'exclude_category') THEN CASE
		WHEN jsonb_typeof($2) = 'string' THEN NULL
		WHEN jsonb_typeof($2) = 'array' AND NOT EXISTS (SELECT FROM jsonb_array_elements(CASE WHEN jsonb_typeof($2) = 'array' THEN $2 ELSE '[]' END) e
			WHERE jsonb_typeof(e) <> 'string') THEN NULL
		ELSE 'a string or an array of strings' END
	ELSE '' END
$$;
COMMENT ON FUNCTION ecauto.recommend_rule_problem(text, jsonb) IS
'what a rule of ecauto.recommend_block() must be, if its value is not; empty if there is no such rule; NULL if it is right';

CREATE OR REPLACE FUNCTION ecauto.recommend_block_rows(customer text, slots integer, rules jsonb)
RETURNS TABLE (place integer, sku text, code text, product text, title text, handle text, price numeric, currency text,
	prior_price numeric, discount integer, reason text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	wanted text;
	problem text;
	list text;
	per_category integer;
	min_price numeric;
	max_price numeric;
	discount_only boolean;
	included text[];
	excluded text[];
	out_skus text[];
	recent text[];				-- products bought of late
	shown text[] := '{}';		-- products
	looked text[] := '{}';		-- skus
	full_of jsonb := '{}';		-- rows of each category
	context jsonb;
	money text;
	built boolean;
	filling boolean := false;
	asked integer;
	came integer;
	one record;
	categories text[];
	category text;
	charged numeric;
	prior numeric;
BEGIN
	IF slots IS NULL OR slots NOT BETWEEN 0 AND 100 THEN
		RAISE EXCEPTION 'number of slots must be between 0 and 100'
			USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', coalesce(slots::text, 'null'));
	END IF;
	IF jsonb_typeof(rules) <> 'object' THEN
		RAISE EXCEPTION 'rules of a block of recommendations must be an object'
			USING ERRCODE = 'invalid_parameter_value', DETAIL = format('They are %s.', left(rules::text, 200));
	END IF;
	FOR one IN SELECT r.key, r.value FROM jsonb_each(rules) r LOOP
		problem := ecauto.recommend_rule_problem(one.key, one.value);
		IF problem = '' THEN
			RAISE EXCEPTION 'unknown rule "%" of a block of recommendations', one.key
				USING ERRCODE = 'invalid_parameter_value',
					HINT = 'Rules are bought_within, currency, discount_only, exclude, exclude_category, include_category, list, max_price, min_price and per_category.';
		ELSIF problem IS NOT NULL THEN
			RAISE EXCEPTION 'rule "%" of a block of recommendations must be %', one.key, problem
				USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', left(one.value::text, 200));
		END IF;
	END LOOP;
	per_category := coalesce((rules ->> 'per_category')::integer, 2);
	min_price := (rules ->> 'min_price')::numeric;
	max_price := (rules ->> 'max_price')::numeric;
	discount_only := coalesce((rules ->> 'discount_only')::boolean, false);
	list := coalesce(rules ->> 'list', 'recommend');
	IF min_price > max_price THEN
		RAISE EXCEPTION 'rule "min_price" of a block of recommendations must not be above "max_price"'
			USING ERRCODE = 'invalid_parameter_value', DETAIL = format('They are %s and %s.', min_price, max_price);
	END IF;
	SELECT array_agg(e) FILTER (WHERE r.key = 'include_category'), array_agg(e) FILTER (WHERE r.key = 'exclude_category'),
		array_agg(e) FILTER (WHERE r.key = 'exclude')
	INTO included, excluded, out_skus
	FROM jsonb_each(rules) r CROSS JOIN LATERAL jsonb_array_elements_text(
		CASE jsonb_typeof(r.value) WHEN 'array' THEN r.value ELSE jsonb_build_array(r.value) END) e
	WHERE r.key IN ('include_category', 'exclude_category', 'exclude') AND e IS NOT NULL;
	-- by key or code
	SELECT array_agg(s.key) INTO out_skus FROM ecauto_data.seen_sku s
	WHERE s.key = ANY (out_skus) OR s.sku = ANY (out_skus);
	out_skus := coalesce(out_skus, '{}');
	IF slots = 0 THEN
		RETURN;
	END IF;

	money := upper(coalesce(rules ->> 'currency',
		(SELECT o.currency FROM ecauto_data.seen_order o WHERE o.customer_key = recommend_block_rows.customer AND o.currency IS NOT NULL ORDER BY o.placed_at DESC LIMIT 1),
		(SELECT f.currency FROM ecauto_data.customer_setting f),
		(SELECT p.currency FROM ecauto_data.seen_price p WHERE p.list_key = '' GROUP BY p.currency ORDER BY count(*) DESC, p.currency LIMIT 1)));
	IF money IS NULL THEN
		RETURN;
	END IF;
	-- an empty array stands for somebody who bought nothing
	recent := ARRAY(SELECT coalesce(p.product, p.sku) FROM ecauto_data.purchase p WHERE p.customer = recommend_block_rows.customer
		AND p.placed_at > ecauto.now() - coalesce((rules ->> 'bought_within')::float8, 7) * interval '1 day' AND p.placed_at <= ecauto.now());
	context := CASE WHEN customer IS NULL THEN '{}' ELSE jsonb_build_object('customer', customer) END;
	built := EXISTS (SELECT FROM ecauto_data.recommend_model m WHERE m.version IS NOT NULL);
	IF NOT built THEN
		IF list IN ('recommend', 'popular') THEN
			list := 'best_sellers';
		ELSIF list = 'discover' THEN
			RETURN;
		END IF;
	END IF;
	place := 0;
	asked := least(3 * slots + 20, 1000);
	LOOP
		came := 0;
		FOR one IN
			SELECT c.sku, c.reason, s.sku AS code, coalesce(s.product_key, c.sku) AS product, s.product_key, coalesce(p.title, s.title, s.sku, c.sku) AS title, p.handle
			FROM (SELECT r.sku, r.reason, r.n FROM ecauto.recommend_candidates(list, customer, asked) WITH ORDINALITY r (sku, score, reason, n) WHERE NOT filling
				UNION ALL
				-- what the list has no more of: the category's own
				SELECT w.sku, 'popular in its category', row_number() OVER (ORDER BY w.customers DESC NULLS LAST, w.sku)
				FROM (SELECT DISTINCT h.sku, i.customers
					FROM ecauto.showable(ARRAY(SELECT s.key FROM ecauto_data.category_product g JOIN ecauto_data.seen_sku s ON s.product_key = g.product
						WHERE g.category = ANY (included) AND NOT EXISTS (SELECT FROM ecauto_data.purchase u WHERE u.customer = recommend_block_rows.customer AND u.sku = s.key)
						ORDER BY s.key LIMIT 5000)) h
					LEFT JOIN (ecauto_data.recommend_model m JOIN ecauto_data.recommend_item i ON i.version = m.version) ON i.sku = h.sku) w
				WHERE filling) c
			LEFT JOIN ecauto_data.seen_sku s ON s.key = c.sku LEFT JOIN ecauto_data.seen_product p ON p.key = s.product_key
			ORDER BY c.n
		LOOP
			came := came + 1;
			CONTINUE WHEN one.sku = ANY (looked);
			looked := looked || one.sku;
			CONTINUE WHEN one.sku = ANY (out_skus) OR one.product = ANY (shown) OR (one.product = ANY (recent) AND list <> 'buy_again');
			categories := coalesce(ecauto.recommend_categories(one.product_key), '{}');
			CONTINUE WHEN included IS NOT NULL AND NOT categories && included
				AND NOT EXISTS (SELECT FROM ecauto_data.category_product g WHERE g.category = ANY (included) AND g.product = one.product_key);
			CONTINUE WHEN excluded IS NOT NULL AND (categories && excluded
				OR EXISTS (SELECT FROM ecauto_data.category_product g WHERE g.category = ANY (excluded) AND g.product = one.product_key));
			CONTINUE WHEN EXISTS (SELECT FROM unnest(categories) g WHERE (full_of ->> g)::integer >= per_category);
			charged := ecauto.recommend_price(one.sku, money);
			CONTINUE WHEN charged IS NULL OR NOT charged >= 0 OR charged = 'Infinity';
			charged := ecauto.price_at(one.sku, money, NULL, context || jsonb_build_object('unit_price', charged));
			CONTINUE WHEN charged IS NULL OR charged < min_price OR charged > max_price;
			-- of a reduction in force, or of one that is not in the history yet: a promotion, a price of this minute
			SELECT CASE WHEN f.running AND f.amount > charged THEN f.amount END INTO prior
			FROM ecauto.prior_price_facts(one.sku, money) f;
			prior := coalesce(prior, ecauto.prior_price(one.sku, money, NULL, charged));
			IF NOT prior > charged THEN
				prior := NULL;
			END IF;
			CONTINUE WHEN discount_only AND prior IS NULL;

			place := place + 1;
			sku := one.sku;
			code := one.code;
			product := one.product_key;
			title := one.title;
			handle := one.handle;
			price := charged;
			currency := money;
			prior_price := prior;
			discount := floor((prior - charged) / prior * 100);
			reason := one.reason;
			RETURN NEXT;
			EXIT WHEN place = slots;
			shown := shown || one.product;
			FOREACH category IN ARRAY categories LOOP
				full_of := full_of || jsonb_build_object(category, coalesce((full_of ->> category)::integer, 0) + 1);
			END LOOP;
		END LOOP;
		EXIT WHEN place = slots OR filling;
		IF came < asked OR asked = 1000 THEN
			EXIT WHEN included IS NULL OR list <> 'recommend';
			filling := true;
		END IF;
		asked := least(8 * asked, 1000);
	END LOOP;
END
$$;
COMMENT ON FUNCTION ecauto.recommend_block_rows(text, integer, jsonb) IS
'part of ecauto.recommend_block(), for operators';

CREATE OR REPLACE FUNCTION ecauto.recommend_block(customer text, slots integer, rules jsonb DEFAULT '{}')
RETURNS TABLE (place integer, sku text, code text, product text, title text, handle text, price numeric, currency text,
	prior_price numeric, discount integer, reason text)
AS 'MODULE_PATHNAME', 'ecauto_recommend_block'
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION ecauto.recommend_block(text, integer, jsonb) IS
'a block for a newsletter: at most that many skus (0 to 100) that may be shown now, for a customer (key; NULL: somebody unknown), one of each product and at most per_category (2) of a category, with the price of this moment, promotions included, in major units of the currency, and, if that is a reduction, its prior price and the percent (whole, rounded down) it is below it; without a price in the currency a sku is left out; rules: per_category, min_price, max_price, exclude (keys or codes of skus), include_category, exclude_category (keys; those below count), discount_only, list (recommend), currency (that of the customer''s last order, else of the shop), bought_within (7 days: not what he bought of late); before the first build it is best sellers; an unknown rule or a value that is none is an error; it shows what the customer bought, so grant it with care';
REVOKE ALL ON FUNCTION ecauto.recommend_block(text, integer, jsonb) FROM PUBLIC;

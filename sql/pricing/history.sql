CREATE OR REPLACE FUNCTION ecauto.price_sku_key(sku text)
RETURNS text
AS 'MODULE_PATHNAME', 'ecauto_price_sku_key'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.price_sku_key(text) IS
'the key of a sku that is named by its key or by its code; error if there is none';

CREATE OR REPLACE FUNCTION ecauto.price_category_holds(category text, sku text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_price_category_holds'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.price_category_holds(text, text) IS
'is the product of a sku (its key) in a category (its key) or one below it, now';

CREATE OR REPLACE FUNCTION ecauto.reconcile_price_history()
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_reconcile_price_history'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.reconcile_price_history() IS
'compares the price history with the prices that the last tick saw, all of them, and returns the number of periods that begin now: 0 if nothing was missed';
REVOKE ALL ON FUNCTION ecauto.reconcile_price_history() FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.price_history(
	sku text, currency text DEFAULT NULL, since timestamptz DEFAULT NULL)
RETURNS TABLE (currency text, list_key text, period tstzrange, amount numeric, tax_included boolean, origin text)
LANGUAGE sql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT s.currency, nullif(s.list_key, ''), h.period, h.amount, h.tax_included,
	CASE h.origin WHEN 'c' THEN 'captured' WHEN 'r' THEN 'reconciled' ELSE 'recorded' END
FROM ecauto_data.price_series s JOIN ecauto_data.price_history h ON h.series_id = s.series_id
WHERE s.sku = ecauto.price_sku_key($1) AND (s.currency = upper($2) OR $2 IS NULL)
AND ($3 IS NULL OR NOT upper(h.period) <= $3 OR upper_inf(h.period))
ORDER BY s.currency, s.list_key, lower(h.period)
$$;
COMMENT ON FUNCTION ecauto.price_history(text, text, timestamptz) IS
'the prices of a sku (its key or code) and the period each was in force, oldest first: in a currency (NULL: all) that were still in force at since (NULL: ever); list_key NULL is the base price; needs SELECT on the tables price_series and price_history of ecauto_data';
REVOKE ALL ON FUNCTION ecauto.price_history(text, text, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.record_price(
	sku text, currency text, amount numeric, period tstzrange, tax_included boolean DEFAULT NULL, list_key text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	series bigint;
	rival tstzrange;
	wanted tstzrange := tstzrange(lower(period), upper(period));
	price_key constant text := coalesce(list_key, '');
BEGIN
	PERFORM ecauto.require_shop('record a price');
	IF amount IS NULL OR NOT amount >= 0 OR amount IN ('NaN', 'Infinity') THEN
		RAISE EXCEPTION 'price must be a finite number and not negative'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('The price of sku "%s" is %s.', sku, coalesce(amount::text, 'null'));
	END IF;
	IF currency IS NULL OR currency !~ '^[A-Za-z]{3}$' THEN
		RAISE EXCEPTION 'currency must be a code of three letters'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('The currency is %s.', coalesce(quote_literal(currency), 'null'));
	END IF;
	IF period IS NULL OR isempty(period) OR lower(period) IS NULL OR NOT isfinite(lower(period)) THEN
		RAISE EXCEPTION 'period of a price must begin at a known time and not be empty'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('The period is %s.', coalesce(period::text, 'null'));
	END IF;
	IF upper(period) = 'infinity' THEN
		wanted := tstzrange(lower(period), NULL);
	END IF;
	INSERT INTO ecauto_data.price_series (sku, currency, list_key)
	VALUES (ecauto.price_sku_key(record_price.sku), upper(record_price.currency), price_key)
	ON CONFLICT ON CONSTRAINT price_series_sku_currency_list_key_key DO NOTHING;
	SELECT s.series_id INTO series FROM ecauto_data.price_series s
	WHERE s.sku = ecauto.price_sku_key(record_price.sku) AND s.currency = upper(record_price.currency) AND s.list_key = price_key;

	-- lets two sessions wait for each other, so that the second one sees the first's period
	PERFORM FROM ecauto_data.price_series s WHERE s.series_id = series FOR UPDATE;
	SELECT h.period INTO rival FROM ecauto_data.price_history h
	WHERE h.series_id = series AND h.period && wanted ORDER BY lower(h.period) LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'price history of sku "%" has a price in % in that period', sku, upper(currency)
			USING ERRCODE = 'exclusion_violation',
				DETAIL = format('The period is %s, and a price was in force in %s.', wanted, rival),
				HINT = 'A price that ends when the known history begins does not overlap it.';
	END IF;
	INSERT INTO ecauto_data.price_history (series_id, period, amount, tax_included, origin)
	VALUES (series, wanted, record_price.amount, record_price.tax_included, 'i');
END
$$;
COMMENT ON FUNCTION ecauto.record_price(text, text, numeric, tstzrange, boolean, text) IS
'tells the price history of a price that was in force before ecauto watched the shop; sku: key or code; amount in major units; list_key NULL: the base price; error if the history has another price in that period';
REVOKE ALL ON FUNCTION ecauto.record_price(text, text, numeric, tstzrange, boolean, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.drop_old_price_history(keep interval DEFAULT '13 months')
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	dropped bigint;
BEGIN
	PERFORM ecauto.require_shop('drop old price history');
	IF keep IS NULL OR keep < '0' THEN
		RAISE EXCEPTION 'age of what is kept must not be negative'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('It is %s.', coalesce(keep::text, 'null'));
	END IF;
	-- What was in force at the edge or later stays, however early it began, and
	-- so does what an uninterrupted reduction that is in force began with.
	WITH edge AS (
		SELECT s.series_id, least(ecauto.now() - keep, f.window_from) AS at
		FROM ecauto_data.price_series s
		CROSS JOIN LATERAL ecauto.prior_price_facts(s.sku, s.currency, ecauto.now(), NULL, NULL, s.list_key) f
		WHERE EXISTS (SELECT FROM ecauto_data.price_history h WHERE h.series_id = s.series_id AND upper(h.period) <= ecauto.now() - keep)
	)
	DELETE FROM ecauto_data.price_history h USING edge e
	WHERE h.series_id = e.series_id AND upper(h.period) <= e.at;
	GET DIAGNOSTICS dropped = ROW_COUNT;
	RETURN dropped;
END
$$;
COMMENT ON FUNCTION ecauto.drop_old_price_history(interval) IS
'forgets prices that ended longer ago than this, and returns how many; what was in force at that time stays, and so does what the prior price of a reduction that is in force depends on';
REVOKE ALL ON FUNCTION ecauto.drop_old_price_history(interval) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.prior_price(
	sku text, currency text, at timestamptz DEFAULT NULL, reduced numeric DEFAULT NULL, options jsonb DEFAULT NULL, list_key text DEFAULT NULL)
RETURNS numeric
AS 'MODULE_PATHNAME', 'ecauto_prior_price'
LANGUAGE C STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.prior_price(text, text, timestamptz, numeric, jsonb, text) IS
'the prior price of a reduction (directive 98/6/EC, article 6a): the lowest price of a sku (its key or code) in force in the 30 days before the reduction began that is in force at a time, or, if none is, before one that begins then (NULL: now); reduced: price of a new reduction; options: days, progressive, perishable, new_arrivals, over those of set_prior_price_policy(); NULL if nothing was on sale then, or not for long enough';

CREATE OR REPLACE FUNCTION ecauto.prior_price_facts(
	sku text, currency text, at timestamptz DEFAULT NULL, reduced numeric DEFAULT NULL, options jsonb DEFAULT NULL, list_key text DEFAULT NULL,
	OUT amount numeric, OUT begins timestamptz, OUT window_from timestamptz, OUT on_sale_since timestamptz, OUT running boolean)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_prior_price_facts'
LANGUAGE C STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.prior_price_facts(text, text, timestamptz, numeric, jsonb, text) IS
'prior_price() and why: when the reduction began, where the window before it begins, since when the oldest price that was looked at was in force; running: the price in force is the reduction';

CREATE OR REPLACE FUNCTION ecauto.prior_price_options(options jsonb)
RETURNS void
AS 'MODULE_PATHNAME', 'ecauto_prior_price_options'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.prior_price_options(jsonb) IS
'error if an object is no options of a prior price: days (30), progressive (false), perishable (false), new_arrivals (days on sale without which there is no prior price; 0)';

CREATE OR REPLACE FUNCTION ecauto.set_prior_price_policy(
	options jsonb, sku text DEFAULT NULL, product text DEFAULT NULL, category text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place constant text := CASE WHEN sku IS NOT NULL THEN 'sku' WHEN product IS NOT NULL THEN 'product'
		WHEN category IS NOT NULL THEN 'category' ELSE 'all' END;
	place_key constant text := coalesce(ecauto.price_sku_key(sku), product, category, '');
BEGIN
	PERFORM ecauto.require_shop('set a policy of prior prices');
	IF num_nonnulls(sku, product, category) > 1 THEN
		RAISE EXCEPTION 'a policy of prior prices is for a sku, a product or a category'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF options IS NULL THEN
		DELETE FROM ecauto_data.prior_price_policy p WHERE p.scope = place AND p.key = place_key;
		RETURN;
	END IF;
	PERFORM ecauto.prior_price_options(options);
	INSERT INTO ecauto_data.prior_price_policy AS p (scope, key, options)
	VALUES (place, place_key, set_prior_price_policy.options)
	ON CONFLICT ON CONSTRAINT prior_price_policy_pkey DO UPDATE SET options = excluded.options;
END
$$;
COMMENT ON FUNCTION ecauto.set_prior_price_policy(jsonb, text, text, text) IS
'says what the law lets the prior price be (see prior_price_options()): of a sku (key or code), a product, a category and those below it (keys), or all; the most specific one counts; options NULL: forget what was said';
REVOKE ALL ON FUNCTION ecauto.set_prior_price_policy(jsonb, text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.price_evidence(
	sku text, currency text, at timestamptz DEFAULT NULL, reduced numeric DEFAULT NULL, options jsonb DEFAULT NULL, list_key text DEFAULT NULL)
RETURNS TABLE (
	sku text, currency text, reduction_began timestamptz, window_from timestamptz, prior_price numeric, reduced_price numeric,
	highest_percent numeric, since timestamptz, until timestamptz, amount numeric, counted boolean, origin text)
LANGUAGE sql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
WITH asked AS (
	SELECT ecauto.price_sku_key($1) AS sku, upper($2) AS currency, coalesce($3, ecauto.now()) AS at, coalesce($6, '') AS list_key
), fact AS (
	SELECT a.*, f.amount AS prior, f.begins, f.window_from
	FROM asked a CROSS JOIN LATERAL ecauto.prior_price_facts(a.sku, a.currency, a.at, $4, $5, a.list_key) f
), period AS (
	SELECT f.*, h.period, h.amount, h.origin
	FROM fact f
	LEFT JOIN ecauto_data.price_series s ON s.sku = f.sku AND s.currency = f.currency AND s.list_key = f.list_key
	LEFT JOIN ecauto_data.price_history h ON h.series_id = s.series_id AND lower(h.period) <= f.at
		AND (upper_inf(h.period) OR upper(h.period) > f.window_from)
), price AS (
	SELECT p.*, coalesce($4, max(p.amount) FILTER (WHERE p.period @> p.at) OVER ()) AS reduced
	FROM period p
)
SELECT p.sku, p.currency, p.begins, p.window_from, p.prior, p.reduced,
	CASE WHEN p.prior > 0 AND p.reduced < p.prior THEN trunc((p.prior - p.reduced) * 100 / p.prior, 1) ELSE 0 END,
	lower(p.period), upper(p.period), p.amount, lower(p.period) < p.begins,
	CASE p.origin WHEN 'c' THEN 'captured' WHEN 'r' THEN 'reconciled' WHEN 'i' THEN 'recorded' END
FROM price p
ORDER BY lower(p.period)
$$;
COMMENT ON FUNCTION ecauto.price_evidence(text, text, timestamptz, numeric, jsonb, text) IS
'proof of a prior price, for an inspector: what prior_price() says of the same arguments, the highest percentage that may be claimed (rounded down to a tenth; 0: it is no reduction), and each price that was in force from the window''s start to the time asked about, oldest first, with where ecauto knows it from; counted: it was in force before the reduction began';
REVOKE ALL ON FUNCTION ecauto.price_evidence(text, text, timestamptz, numeric, jsonb, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.promotion_evidence(promotion text, of_sku text DEFAULT NULL, of_currency text DEFAULT NULL)
RETURNS TABLE (
	sku text, currency text, reduction_began timestamptz, window_from timestamptz, prior_price numeric, reduced_price numeric,
	highest_percent numeric, since timestamptz, until timestamptz, amount numeric, counted boolean, origin text)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	stored record;
	began timestamptz;
	sku_key text := ecauto.price_sku_key(of_sku);
BEGIN
	PERFORM ecauto.require_shop('export the proof of a promotion');
	SELECT * INTO stored FROM ecauto_data.promotion p WHERE p.name = promotion_evidence.promotion
	ORDER BY p.dropped_at DESC NULLS FIRST LIMIT 1;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'promotion "%" does not exist', promotion
			USING ERRCODE = 'undefined_object';
	END IF;
	began := CASE WHEN isfinite(stored.valid_from) THEN stored.valid_from ELSE stored.created_at END;
	RETURN QUERY
	SELECT e.* FROM (
		SELECT DISTINCT s.sku, s.currency, h.amount, ecauto.price_at(s.sku, s.currency, began) AS reduced
		FROM ecauto_data.price_series s JOIN ecauto_data.price_history h ON h.series_id = s.series_id
		WHERE s.list_key = '' AND h.period @> began AND (s.sku = sku_key OR sku_key IS NULL)
			AND (s.currency = upper(of_currency) OR of_currency IS NULL)) p
	CROSS JOIN LATERAL ecauto.price_evidence(p.sku, p.currency, began, p.reduced) e
	WHERE p.reduced < p.amount
	ORDER BY e.sku, e.currency, e.since;
END
$$;
COMMENT ON FUNCTION ecauto.promotion_evidence(text, text, text) IS
'proof of the prior prices of a promotion: price_evidence() of each sku (NULL: all; key or code) whose price it lowers, at the instant it begins; reduced_price is what price_at() says then';
REVOKE ALL ON FUNCTION ecauto.promotion_evidence(text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.plan_price(
	sku text, price numeric, "from" timestamptz, "to" timestamptz DEFAULT NULL, currency text DEFAULT NULL)
RETURNS TABLE (kind text, at timestamptz, prior_price numeric, planned_prior_price numeric, highest_percent numeric, planned_highest_percent numeric, note text)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	sku_key constant text := ecauto.price_sku_key(sku);
	zone constant text := ecauto.shop_timezone();
	money text := upper(currency);
	current_price numeric;
	days integer;
	ends timestamptz;
	fact record;
	promotion record;
	reduced numeric;
BEGIN
	PERFORM ecauto.require_shop('plan a price');
	IF price IS NULL OR NOT price > 0 OR price = 'Infinity' THEN
		RAISE EXCEPTION 'price must be a finite number above zero'
			USING ERRCODE = 'invalid_parameter_value', DETAIL = format('The price is %s.', coalesce(price::text, 'null'));
	END IF;
	IF "from" IS NULL OR NOT isfinite("from") OR "to" <= "from" THEN
		RAISE EXCEPTION 'a planned price must begin at a known time, and end after it'
			USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is to last from %s to %s.', coalesce("from"::text, 'null'), coalesce("to"::text, 'null'));
	END IF;
	IF money IS NULL AND (SELECT count(*) FROM ecauto_data.price_series s WHERE s.sku = sku_key AND s.list_key = '') > 1 THEN
		RAISE EXCEPTION 'sku "%" has prices in several currencies', sku_key
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Say which one is meant.';
	END IF;
	SELECT s.currency, h.amount INTO money, current_price
	FROM ecauto_data.price_series s JOIN ecauto_data.price_history h ON h.series_id = s.series_id
	WHERE s.sku = sku_key AND s.list_key = '' AND (s.currency = money OR money IS NULL) AND h.period @> ecauto.now();
	IF NOT FOUND THEN
		RAISE EXCEPTION 'sku "%" has no price in force', sku_key
			USING ERRCODE = 'no_data_found';
	END IF;

	-- the planned price itself
	SELECT * INTO fact FROM ecauto.prior_price_facts(sku_key, money, "from", price) f;
	kind := 'planned';
	at := "from";
	prior_price := fact.amount;
	planned_prior_price := fact.amount;
	highest_percent := greatest(trunc((fact.amount - price) * 100 / nullif(fact.amount, 0), 1), 0);
	planned_highest_percent := highest_percent;
	note := CASE
		WHEN fact.amount IS NULL THEN 'there is no prior price: it may not be announced as a reduction'
		WHEN price < fact.amount THEN format('a reduction of at most %s%% may be claimed from %s', highest_percent, fact.amount)
		WHEN price < current_price THEN format('lower than now, but no reduction: the prior price is %s', fact.amount)
		ELSE 'no reduction' END;
	RETURN NEXT;
	IF "to" IS NULL THEN
		RETURN;
	END IF;

	-- what it does to reductions that begin after it
	SELECT ("to" AT TIME ZONE zone)::date - (f.window_from AT TIME ZONE zone)::date INTO days
	FROM ecauto.prior_price_facts(sku_key, money, "to", price, '{"progressive": false, "perishable": false}') f;
	ends := ("to" AT TIME ZONE zone + make_interval(days => days)) AT TIME ZONE zone;
	SELECT * INTO fact FROM ecauto.prior_price_facts(sku_key, money, "to", price) f;
	IF price < fact.amount THEN
		kind := 'dip';
		at := "to";
		prior_price := fact.amount;
		planned_prior_price := price;
		highest_percent := NULL;
		planned_highest_percent := NULL;
		note := format('until %s a reduction has the prior price %s instead of %s: what claims 20%% from %s would be %s%% from %s',
			to_char(ends AT TIME ZONE zone, 'YYYY-MM-DD'), price, fact.amount, fact.amount,
			CASE WHEN fact.amount * 0.8 < price THEN trunc((price - fact.amount * 0.8) * 100 / price, 1)::text ELSE 'no reduction, 0' END, price);
		RETURN NEXT;
	END IF;
	FOR promotion IN
		SELECT p.name, p.valid_from FROM ecauto_data.promotion p
		WHERE p.dropped_at IS NULL AND p.valid_from >= "to" AND p.valid_from < ends
		ORDER BY p.valid_from, p.name
	LOOP
		SELECT * INTO fact FROM ecauto.prior_price_facts(sku_key, money, promotion.valid_from, price) f;
		reduced := ecauto.price_at(sku_key, money, promotion.valid_from);
		IF reduced IS NULL OR fact.amount IS NULL OR reduced >= current_price OR fact.window_from >= "to" OR price >= fact.amount THEN
			CONTINUE;
		END IF;
		kind := 'promotion';
		at := promotion.valid_from;
		prior_price := fact.amount;
		planned_prior_price := price;
		highest_percent := greatest(trunc((fact.amount - reduced) * 100 / fact.amount, 1), 0);
		planned_highest_percent := greatest(trunc((price - reduced) * 100 / price, 1), 0);
		note := CASE WHEN reduced < price THEN format('promotion "%s" may claim at most %s%% instead of %s%%', promotion.name, planned_highest_percent, highest_percent)
			ELSE format('promotion "%s" would be no reduction any more', promotion.name) END;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION ecauto.plan_price(text, numeric, timestamptz, timestamptz, text) IS
'what if a sku (its key or code) had a price from a time on until another (NULL: for good): planned, whether it may be announced as a reduction, and of how much; dip, what it does to the prior price of later reductions; promotion, what promotions that begin within the days after it may still claim; percentages are rounded down to a tenth';
REVOKE ALL ON FUNCTION ecauto.plan_price(text, numeric, timestamptz, timestamptz, text) FROM PUBLIC;

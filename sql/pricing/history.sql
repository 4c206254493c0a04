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

CREATE OR REPLACE FUNCTION ecauto.price_currency(currency text)
RETURNS text
AS 'MODULE_PATHNAME', 'ecauto_price_currency'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.price_currency(text) IS
'a currency''s code of ISO 4217 in capitals; error if there is none like it';

CREATE OR REPLACE FUNCTION ecauto.set_bound(sku text, currency text, list_price numeric, minimum numeric)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	sku_key constant text := ecauto.price_sku_key(sku);
	amount numeric;
BEGIN
	PERFORM ecauto.require_shop('set a price of a sku');
	FOREACH amount IN ARRAY ARRAY[list_price, minimum] LOOP
		IF amount IS NOT NULL AND (NOT amount > 0 OR amount IN ('NaN', 'Infinity')) THEN
			RAISE EXCEPTION 'price must be a finite number above zero'
				USING ERRCODE = 'invalid_parameter_value',
					DETAIL = format('The price of sku "%s" is %s.', sku, amount);
		END IF;
	END LOOP;
	INSERT INTO ecauto_data.price_bound AS b (sku, currency, list_price, minimum)
	VALUES (sku_key, ecauto.price_currency(set_bound.currency), set_bound.list_price, set_bound.minimum)
	ON CONFLICT ON CONSTRAINT price_bound_pkey DO UPDATE
	SET list_price = excluded.list_price, minimum = excluded.minimum;
END
$$;
COMMENT ON FUNCTION ecauto.set_bound(text, text, numeric, numeric) IS
'part of set_list_price() and set_minimum_price()';
REVOKE ALL ON FUNCTION ecauto.set_bound(text, text, numeric, numeric) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.set_list_price(sku text, currency text, amount numeric)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
SELECT ecauto.set_bound($1, $2, $3, (SELECT b.minimum FROM ecauto_data.price_bound b
	WHERE b.sku = ecauto.price_sku_key($1) AND b.currency = upper($2)))
$$;
COMMENT ON FUNCTION ecauto.set_list_price(text, text, numeric) IS
'the list price (recommended, crossed out) of a sku (its key or code) in a currency, with or without tax as the shop''s prices are; a base for rules; NULL: none';
REVOKE ALL ON FUNCTION ecauto.set_list_price(text, text, numeric) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.set_minimum_price(sku text, currency text, amount numeric)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
SELECT ecauto.set_bound($1, $2, (SELECT b.list_price FROM ecauto_data.price_bound b
	WHERE b.sku = ecauto.price_sku_key($1) AND b.currency = upper($2)), $3)
$$;
COMMENT ON FUNCTION ecauto.set_minimum_price(text, text, numeric) IS
'the minimum advertised price of a sku (its key or code) in a currency, with or without tax as the shop''s prices are, below which no rule goes; NULL: none';
REVOKE ALL ON FUNCTION ecauto.set_minimum_price(text, text, numeric) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.set_cost(sku text, cost numeric, currency text, source text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	sku_key constant text := ecauto.price_sku_key(sku);
	cost_source constant text := coalesce(source, '');
BEGIN
	PERFORM ecauto.require_shop('set a cost');
	IF cost IS NULL THEN
		DELETE FROM ecauto_data.cost c WHERE c.sku = sku_key AND c.source = cost_source;
		RETURN;
	END IF;
	IF NOT cost >= 0 OR cost IN ('NaN', 'Infinity') THEN
		RAISE EXCEPTION 'cost must be a finite number and not negative'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('The cost of sku "%s" is %s.', sku, cost);
	END IF;
	IF cost_source NOT IN ('', 'offer') THEN
		RAISE EXCEPTION 'source of a cost must be "offer" or nothing'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('The source is "%s".', source);
	END IF;
	INSERT INTO ecauto_data.cost AS c (sku, source, cost, currency, set_at)
	VALUES (sku_key, cost_source, set_cost.cost, ecauto.price_currency(set_cost.currency), ecauto.now())
	ON CONFLICT ON CONSTRAINT cost_pkey DO UPDATE
	SET cost = excluded.cost, currency = excluded.currency, set_at = excluded.set_at;
END
$$;
COMMENT ON FUNCTION ecauto.set_cost(text, numeric, text, text) IS
'what a sku (its key or code) costs the shop, without tax, in a currency; comes before what role cost says; source offer: the best offer of a supplier, for rules whose base that is; cost NULL: forget it';
REVOKE ALL ON FUNCTION ecauto.set_cost(text, numeric, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.set_vat_rate(
	rate numeric, country text DEFAULT NULL, category text DEFAULT NULL, product text DEFAULT NULL, sku text DEFAULT NULL, valid_from date DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place constant text := CASE WHEN sku IS NOT NULL THEN 'sku' WHEN product IS NOT NULL THEN 'product'
		WHEN category IS NOT NULL THEN 'category' ELSE 'all' END;
	place_key constant text := coalesce(ecauto.price_sku_key(sku), product, category, '');
	day constant date := coalesce(valid_from, '-infinity');
BEGIN
	PERFORM ecauto.require_shop('set a rate of value added tax');
	IF num_nonnulls(category, product, sku) > 1 THEN
		RAISE EXCEPTION 'a rate of value added tax is for a sku, a product or a category'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF country IS NOT NULL AND country !~ '^[A-Za-z]{2}$' THEN
		RAISE EXCEPTION 'country must be a code of two letters'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('The country is "%s".', country);
	END IF;
	IF rate IS NULL THEN
		DELETE FROM ecauto_data.vat_rate v
		WHERE v.country = coalesce(upper(set_vat_rate.country), '') AND v.scope = place AND v.key = place_key AND v.valid_from = day;
		RETURN;
	END IF;
	IF NOT (rate >= 0 AND rate <= 100) THEN
		RAISE EXCEPTION 'rate of value added tax must be between 0 and 100 percent'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('The rate is %s.', rate);
	ELSIF rate <> round(rate, 6) THEN
		RAISE EXCEPTION 'rate of value added tax has more than six digits after the point'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('The rate is %s.', rate);
	END IF;
	INSERT INTO ecauto_data.vat_rate AS v (country, scope, key, valid_from, rate)
	VALUES (coalesce(upper(set_vat_rate.country), ''), place, place_key, day, set_vat_rate.rate)
	ON CONFLICT ON CONSTRAINT vat_rate_pkey DO UPDATE SET rate = excluded.rate;
END
$$;
COMMENT ON FUNCTION ecauto.set_vat_rate(numeric, text, text, text, text, date) IS
'value added tax in percent from a day on (NULL: always) in a country (two letters; NULL: where no rule says one): of a category and those below it, a product (keys), a sku (key or code) or all; the most specific one counts; rate NULL: forget it';
REVOKE ALL ON FUNCTION ecauto.set_vat_rate(numeric, text, text, text, text, date) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.set_fx_rate(currency text, quote text, rate numeric, day date DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	zone constant text := ecauto.shop_timezone();
BEGIN
	PERFORM ecauto.require_shop('set an exchange rate');
	IF rate IS NULL OR NOT rate > 0 OR rate IN ('NaN', 'Infinity') THEN
		RAISE EXCEPTION 'exchange rate must be a finite number above zero'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('The rate of %s in %s is %s.', currency, quote, coalesce(rate::text, 'null'));
	END IF;
	INSERT INTO ecauto_data.fx_rate AS f (currency, quote, day, rate)
	VALUES (ecauto.price_currency(set_fx_rate.currency), ecauto.price_currency(set_fx_rate.quote),
		coalesce(set_fx_rate.day, (ecauto.now() AT TIME ZONE zone)::date), set_fx_rate.rate)
	ON CONFLICT ON CONSTRAINT fx_rate_pkey DO UPDATE SET rate = excluded.rate;
END
$$;
COMMENT ON FUNCTION ecauto.set_fx_rate(text, text, numeric, date) IS
'one unit of a currency is worth rate units of quote on a day (NULL: today); the other way round follows from it';
REVOKE ALL ON FUNCTION ecauto.set_fx_rate(text, text, numeric, date) FROM PUBLIC;

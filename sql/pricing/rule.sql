CREATE OR REPLACE FUNCTION ecauto.create_price_rule(name text, definition jsonb)
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_create_price_rule'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.create_price_rule(text, jsonb) IS
'makes a price rule, or replaces the one of that name, and returns its number; the definition says for what (sku, product, category, brand, condition, currency, valid_from, valid_until), from what (base: cost, price, list_price, best_offer, result; or price: a fixed one), how (markup, margin, percent_off, add, round_to, endings, direction), within what (floor, ceiling, min_margin, max_change, max_change_day), and which rule wins (priority, exclusive); percentages are numbers such as 40; a warning if it applies to nothing';
REVOKE ALL ON FUNCTION ecauto.create_price_rule(text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.drop_price_rule(name text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM ecauto.require_shop('drop a price rule');
	DELETE FROM ecauto_data.price_rule r WHERE r.name = drop_price_rule.name;
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ecauto.drop_price_rule(text) IS
'forgets a price rule; prices it made stay; false if there is none of that name';
REVOKE ALL ON FUNCTION ecauto.drop_price_rule(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.enable_price_rule(name text, enabled boolean DEFAULT true)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM ecauto.require_shop('enable a price rule');
	UPDATE ecauto_data.price_rule r SET enabled = enable_price_rule.enabled WHERE r.name = enable_price_rule.name;
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ecauto.enable_price_rule(text, boolean) IS
'switches a price rule on or off; false if there is none of that name';
REVOKE ALL ON FUNCTION ecauto.enable_price_rule(text, boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.reprice(apply boolean DEFAULT false)
RETURNS TABLE (sku text, currency text, old_price numeric, new_price numeric, reason text)
AS 'MODULE_PATHNAME', 'ecauto_reprice'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 10000 COST 100000;
COMMENT ON FUNCTION ecauto.reprice(boolean) IS
'the base prices that the price rules change, in major units, and why; apply: writes them to the shop, all or, if they break a guard (set_price_guard()), none: then they are held as a proposal and the rows that break it are returned; prices that cannot be made are told in warnings';
REVOKE ALL ON FUNCTION ecauto.reprice(boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.explain_price(sku text, currency text)
RETURNS TABLE (step text, rule text, before numeric, after numeric, note text)
AS 'MODULE_PATHNAME', 'ecauto_explain_price'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION ecauto.explain_price(text, text) IS
'how the rules make the price of a sku (its key or code) in a currency, step by step: base, exchange, tax, markup or margin, rounding, ending, limits that it ran into, true margin; the last row, price, has the price it has and the one it gets; error if it has no base price in that currency';
REVOKE ALL ON FUNCTION ecauto.explain_price(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.price_problems()
RETURNS TABLE (sku text, currency text, problem text, rule text)
AS 'MODULE_PATHNAME', 'ecauto_price_problems'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION ecauto.price_problems() IS
'the prices that rules apply to and cannot make, why (no cost, no rate of tax, no exchange rate, rules of equal priority, ...), and the first of the rules';
REVOKE ALL ON FUNCTION ecauto.price_problems() FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.price_cart(lines jsonb, context jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'ecauto_price_cart'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION ecauto.price_cart(jsonb, jsonb) IS
'what a cart, an order that is edited, or a return costs under the promotions in force: total, discount and share of each line in major units of the currency, gifts, the promotions that applied, and why each other one did not and how far the cart is from it; docs/pricing.md has the fields; an error names the line or field that is wrong';

CREATE OR REPLACE FUNCTION ecauto.price_cart(lines jsonb, context jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'ecauto_price_cart'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION ecauto.price_cart(jsonb, jsonb) IS
'what a cart, an order that is edited, or a return costs under the promotions in force: total, discount and share of each line in major units of the currency, gifts, the promotions that applied, and why each other one did not and how far the cart is from it; docs/pricing.md has the fields; an error names the line or field that is wrong';

CREATE OR REPLACE FUNCTION ecauto.price_at(
	sku text, currency text, at timestamptz DEFAULT NULL, context jsonb DEFAULT '{}')
RETURNS numeric
AS 'MODULE_PATHNAME', 'ecauto_price_at'
LANGUAGE C STABLE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION ecauto.price_at(text, text, timestamptz, jsonb) IS
'what one unit of a sku (its key or code) costs at an instant (NULL: now), in major units: the shop''s price with the promotions in force that need neither coupon nor anything else in the cart; context as for price_cart(), list: key of a price list, and unit_price: the shop''s price, if it is not that which the last tick saw; NULL if it has no price in this currency then; error if there is no such sku or currency';

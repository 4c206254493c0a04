CREATE OR REPLACE FUNCTION ecauto.generate_coupons(
	promotion text, n integer, prefix text DEFAULT '', uses bigint DEFAULT 1, uses_per_customer bigint DEFAULT NULL,
	valid_from timestamptz DEFAULT NULL, valid_until timestamptz DEFAULT NULL,
	customer text DEFAULT NULL, cart text DEFAULT NULL, length integer DEFAULT 12)
RETURNS SETOF text
AS 'MODULE_PATHNAME', 'ecauto_generate_coupons'
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1000;
COMMENT ON FUNCTION ecauto.generate_coupons(text, integer, text, bigint, bigint, timestamptz, timestamptz, text, text, integer) IS
'makes n coupons of a promotion and returns their codes: prefix and length random letters, of which the last is a check letter; uses: how often each can be used in all (NULL: without limit), uses_per_customer: by one customer; valid from and until, NULL: as the promotion; customer (key or mail address) and cart: for them alone; for operators';
REVOKE ALL ON FUNCTION ecauto.generate_coupons(text, integer, text, bigint, bigint, timestamptz, timestamptz, text, text, integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.create_coupon(
	promotion text, code text, uses bigint DEFAULT NULL, uses_per_customer bigint DEFAULT NULL,
	valid_from timestamptz DEFAULT NULL, valid_until timestamptz DEFAULT NULL,
	customer text DEFAULT NULL, cart text DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'ecauto_create_coupon'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.create_coupon(text, text, bigint, bigint, timestamptz, timestamptz, text, text) IS
'makes a coupon with a code of your own, such as WELCOME10, and returns the code in its one form; the rest is as for generate_coupons(), but uses is without limit if not given; for operators';
REVOKE ALL ON FUNCTION ecauto.create_coupon(text, text, bigint, bigint, timestamptz, timestamptz, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.coupon_is_well_formed(code text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_coupon_is_well_formed'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.coupon_is_well_formed(text) IS
'does the check letter fit, as in every code of generate_coupons(); false tells a slip of the finger; says nothing of codes of create_coupon()';

CREATE OR REPLACE FUNCTION ecauto.redeem_coupon(
	code text, order_key text, customer text DEFAULT NULL, amount numeric DEFAULT NULL,
	cart text DEFAULT NULL, client text DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_redeem_coupon'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.redeem_coupon(text, text, text, numeric, text, text) IS
'takes a use of a coupon for an order, in the caller''s transaction; true again if the order has it already; false if the code is unknown, blocked, not valid now, used up, of another customer or cart, or its promotion is over or out of budget; amount: what it took off, needed if the promotion has a budget of money and no fixed amount; client: who types (an address, a session), for the brake on guessing; error 53400 after ten wrong codes in 15 minutes, 22004 if code, order_key or a customer or amount that is needed is null';

CREATE OR REPLACE FUNCTION ecauto.cancel_coupon(code text, order_key text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_cancel_coupon'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.cancel_coupon(text, text) IS
'gives back the use of a coupon by an order, once; false if the order has none; orders that the shop cancels give theirs back with the next tick';

CREATE OR REPLACE FUNCTION ecauto.claim_promotion(
	promotion text, order_key text, amount numeric DEFAULT NULL, customer text DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_claim_promotion'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.claim_promotion(text, text, numeric, text) IS
'takes a use of a promotion without coupon for an order, and amount (in major units) from its budget; true again if the order has it already; false if its budget or the customer''s limit has no room for it, or it is not in force';

CREATE OR REPLACE FUNCTION ecauto.claim_cart(
	cart jsonb, order_key text, customer text DEFAULT NULL, cart_key text DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_claim_cart'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.claim_cart(jsonb, text, text, text) IS
'takes all uses that a cart, priced by price_cart(), needs for an order: its coupons, and the promotions that have a budget; false, and nothing is taken, if one of them cannot be had any more: price the cart again';

CREATE OR REPLACE FUNCTION ecauto.cancel_order_promotions(order_key text, promotion text DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_cancel_order_promotions'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.cancel_order_promotions(text, text) IS
'gives back what an order used of coupons and promotions (or of one promotion without coupon), once; returns how many uses';

CREATE OR REPLACE FUNCTION ecauto.action_coupon(params jsonb, context jsonb)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	key text;
	promotion constant text := params ->> 'promotion';
	customer constant text := coalesce(params ->> 'customer', context #>> '{customer,email}', context #>> '{customer,key}');
	valid_from constant timestamptz := coalesce((context ->> 'at')::timestamptz, ecauto.now());
	valid_until timestamptz;
	coupon text;
BEGIN
	FOR key IN SELECT k FROM jsonb_object_keys(params) k LOOP
		IF key NOT IN ('promotion', 'prefix', 'uses', 'uses_per_customer', 'valid_for', 'valid_until', 'customer', 'cart', 'length', 'for_anybody') THEN
			RAISE EXCEPTION 'action "coupon" has no parameter "%"', key
				USING ERRCODE = 'invalid_parameter_value',
					HINT = 'Its parameters are promotion, prefix, uses, uses_per_customer, valid_for, valid_until, customer, cart, length and for_anybody.';
		END IF;
	END LOOP;
	IF promotion IS NULL THEN
		RAISE EXCEPTION 'action "coupon" needs parameter "promotion"'
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Name a promotion of ecauto.create_promotion().';
	END IF;
	valid_until := coalesce((params ->> 'valid_until')::timestamptz, valid_from + (params ->> 'valid_for')::interval);
	SELECT c INTO coupon FROM ecauto.generate_coupons(promotion, 1,
		prefix => coalesce(params ->> 'prefix', ''),
		uses => coalesce((params ->> 'uses')::bigint, 1),
		uses_per_customer => (params ->> 'uses_per_customer')::bigint,
		valid_until => valid_until,
		customer => CASE WHEN (params ->> 'for_anybody')::boolean THEN NULL ELSE customer END,
		cart => params ->> 'cart',
		length => coalesce((params ->> 'length')::integer, 12)) c;
	RETURN jsonb_strip_nulls(jsonb_build_object('code', coupon, 'promotion', promotion, 'valid_until', valid_until,
		'customer', CASE WHEN (params ->> 'for_anybody')::boolean THEN NULL ELSE customer END));
END
$$;
COMMENT ON FUNCTION ecauto.action_coupon(jsonb, jsonb) IS
'the action "coupon" of flows: makes a coupon of params.promotion for the customer of the context (for_anybody: not bound to him) and returns {"code", "promotion", "valid_until", "customer"}; valid_for is an interval from the context''s "at"; the other parameters are those of generate_coupons(); for operators';
REVOKE ALL ON FUNCTION ecauto.action_coupon(jsonb, jsonb) FROM PUBLIC;

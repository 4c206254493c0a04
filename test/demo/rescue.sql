-- The last reminder has come: so does the second one.
SELECT name, cart, customer, sku FROM demo.cart WHERE n = 2 \gset
SELECT code AS coupon FROM ecauto_data.coupon LIMIT 1 \gset
SELECT c ->> 'total' AS total, c ->> 'subtotal' AS subtotal, c ->> 'currency' AS currency FROM (
	SELECT ecauto.price_cart(jsonb_build_array(jsonb_build_object('sku', :'sku', 'qty', 2, 'unit_price', p.amount)),
		jsonb_build_object('currency', 'GBP', 'coupons', jsonb_build_array(:'coupon'), 'customer', :'customer')) AS c
	FROM shop.price p JOIN shop.variant v ON v.id = p.variant_id WHERE v.sku = :'sku') x \gset
\echo :name' gets a second one, and a third with the coupon ':coupon', by which the cart costs ':total' instead of ':subtotal' ':currency
\echo '(ecauto.price_cart() says so). The order is placed and paid.'
SELECT shop.check_out(:cart) AS "order" \gset
SELECT ecauto.redeem_coupon(:'coupon', :'order', :'customer') \g /dev/null
SELECT shop.pay_order(:order) \g /dev/null
\echo 'An order that is rolled back never happened, and nobody hears of it.'
BEGIN;
SELECT shop.place_order(:'sku', 1, 'nobody@example.test') \g /dev/null
ROLLBACK;

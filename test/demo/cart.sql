-- Two customers fill carts and leave.  Seconds stand for hours and days here.
SELECT ecauto.create_promotion('come back', '{"percent": 10, "coupon": true}') \g /dev/null
SELECT ecauto.install_template('abandoned_cart', '{"shop": "Alder & Birch", "after": "3 seconds", "second_after": "3 seconds", "third_after": "1 second",
	"promotion": "come back", "enable": true}') \g /dev/null
SELECT ecauto.install_template('order_status', '{"shop": "Alder & Birch", "collapse": "1 second", "enable": true}') \g /dev/null
\echo '  SELECT ecauto.install_template(''abandoned_cart'', ''{"after": "3 seconds", …, "promotion": "come back", "enable": true}'');'
\echo
CREATE TABLE demo.cart AS
SELECT row_number() OVER (ORDER BY c.place) AS n, c.key AS customer, c.first_name AS name, c.email, c.orders_count, g.sku, g.name AS product,
	NULL::bigint AS cart
FROM (SELECT f.*, row_number() OVER (ORDER BY f.last_order_at DESC, f.key) AS place FROM (
		SELECT DISTINCT ON (f.first_name) f.* FROM ecauto.customer_facts() f JOIN shop.customer c ON c.id::text = f.key
		WHERE c.newsletter AND f.orders_count BETWEEN 6 AND 12 AND f.open_carts = 0 ORDER BY f.first_name, f.last_order_at DESC) f) c
JOIN (SELECT v.sku, p.name, row_number() OVER (ORDER BY v.id) AS place
	FROM shop.variant v JOIN shop.product p ON p.id = v.product_id JOIN shop.stock s ON s.variant_id = v.id JOIN shop.price r ON r.variant_id = v.id
	WHERE s.on_hand - s.reserved >= 10 AND p.published AND r.amount > 15) g USING (place)
WHERE place <= 2;
UPDATE demo.cart SET cart = shop.fill_cart(sku, 2, email);
SELECT name AS first, product AS first_product, orders_count AS first_orders FROM demo.cart WHERE n = 1 \gset
SELECT name AS second, product AS second_product, orders_count AS second_orders FROM demo.cart WHERE n = 2 \gset
\echo 'Two customers who asked for the newsletter put things into their carts, and leave: '
\echo :first' (':first_orders' orders so far) 2 × ':first_product', and ':second' (':second_orders' orders) 2 × ':second_product'.'

-- What goes with what, and what somebody will most likely buy next.
SELECT * FROM ecauto.build_recommendations() \gset built_
\echo '  SELECT * FROM ecauto.build_recommendations();   -- from ':built_orders' orders'
SELECT customer, name AS first_name FROM demo.cart WHERE n = 2 \gset
\echo
\echo 'For ':first_name' by ecauto.recommend(':'customer'', 5):'
SELECT v.sku, concat_ws(', ', p.name, v.name) AS product, c.name AS category, coalesce(b.because, r.reason) AS reason, s.on_hand - s.reserved AS "in stock"
FROM ecauto.recommend(:'customer', 5) WITH ORDINALITY r (sku, score, reason, place)
	JOIN shop.variant v ON v.id::text = r.sku JOIN shop.product p ON p.id = v.product_id LEFT JOIN shop.category c ON c.id = p.category_id
	JOIN shop.stock s ON s.variant_id = v.id
	LEFT JOIN LATERAL (SELECT 'because you bought ' || concat_ws(', ', bp.name, bv.name) AS because FROM shop.variant bv JOIN shop.product bp ON bp.id = bv.product_id
		WHERE r.reason = 'because you bought ' || bv.sku LIMIT 1) b ON true
ORDER BY r.place;
SELECT v.id AS seller, v.sku AS seller_sku, concat_ws(', ', p.name, v.name) AS seller_name FROM shop.variant v JOIN shop.product p ON p.id = v.product_id JOIN shop.order_line l ON l.variant_id = v.id
GROUP BY 1, 2, 3 ORDER BY count(*) DESC, 1 LIMIT 1 \gset
\echo 'Bought together with ':seller_name', ':seller_sku', by ecauto.also_bought():'
SELECT v.sku, concat_ws(', ', p.name, v.name) AS product, b.reason, round(b.lift::numeric, 1) AS "times as often as by chance"
FROM ecauto.also_bought(:'seller', 4) WITH ORDINALITY b JOIN shop.variant v ON v.id::text = b.sku JOIN shop.product p ON p.id = v.product_id ORDER BY b.ordinality;
SELECT b.sku AS second, v.sku AS second_sku FROM ecauto.also_bought(:'seller', 1) b JOIN shop.variant v ON v.id::text = b.sku \gset
\echo 'The last pieces of ':second_sku' are sold; the very next question leaves it out:'
UPDATE shop.stock SET on_hand = reserved WHERE variant_id = :second;
SELECT string_agg(v.sku, ', ' ORDER BY b.ordinality) AS "bought together" FROM ecauto.also_bought(:'seller', 4) WITH ORDINALITY b JOIN shop.variant v ON v.id::text = b.sku;

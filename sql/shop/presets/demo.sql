-- @preset demo The demonstration shop (test/demo/shop.sql)
-- @table cart created_at currency customer_id email id ordered updated_at
-- @table cart_line cart_id id quantity variant_id
-- @table category id name parent_id
-- @table customer birth_date city country created_at email first_name has_account id last_name locale newsletter phone postcode
-- @table order_line id order_id quantity quantity_cancelled sku unit_price variant_id
-- @table orders cart_id currency customer_id email id number placed_at ship_country ship_postcode shipped_at shipping status tax total updated_at
-- @table payment amount created_at id method order_id status
-- @table price amount currency includes_tax variant_id
-- @table product brand category_id created_at description id name published slug updated_at
-- @table refund amount order_id
-- @table stock location_id on_hand reserved variant_id
-- @table supply_cost cost currency variant_id
-- @table variant ean enabled id name product_id sku track_stock weight_g
-- @role product
SELECT p.id AS key, p.name AS title, p.slug AS handle, p.description, p.brand, p.published AS active, p.created_at, p.updated_at
FROM product p
-- @source product product id
-- @role sku
SELECT v.id AS key, v.product_id AS product_key, v.sku, v.name AS title, v.enabled AS active, v.track_stock, v.ean,
	v.weight_g / 1000.0 AS weight
FROM variant v
-- @source sku variant id
-- @role price
SELECT p.variant_id AS key, p.currency, p.amount, p.includes_tax AS tax_included
FROM price p
-- @source price price variant_id
-- @role cost
SELECT c.variant_id AS key, c.cost, c.currency
FROM supply_cost c
-- @role stock
SELECT s.variant_id AS key, s.location_id AS location_key, s.on_hand, s.reserved
FROM stock s
-- @source stock stock variant_id
-- @role category
SELECT c.id AS key, c.parent_id AS parent_key, c.name AS title
FROM category c
-- @role product_category
SELECT p.id AS key, p.category_id AS category_key
FROM product p
WHERE p.category_id IS NOT NULL
-- @role customer
SELECT c.id AS key, c.email, concat_ws(' ', c.first_name, c.last_name) AS name, c.first_name, c.phone, c.birth_date, c.country,
	c.city, c.postcode, c.locale, NOT c.has_account AS guest, c.created_at
FROM customer c
-- @source customer customer id
-- @role consent
SELECT c.email, 'email' AS channel, c.newsletter AS granted, c.created_at AS at
FROM customer c
-- @role order
SELECT o.id AS key, o.number, o.customer_id AS customer_key, o.email, o.cart_id AS cart_key, o.currency, o.total, o.shipping, o.tax,
	o.placed_at,
	(SELECT sum(p.amount) FROM payment p WHERE p.order_id = o.id AND p.status = 'settled') AS paid,
	(SELECT sum(r.amount) FROM refund r WHERE r.order_id = o.id) AS refunded,
	o.status = 'cancelled' AS cancelled,
	CASE WHEN o.shipped_at IS NOT NULL THEN 'full' ELSE 'none' END AS fulfilment,
	o.ship_country, o.ship_postcode, o.status AS raw_status, o.updated_at
FROM orders o
-- @source order orders id
-- @source order payment order_id
-- @source order refund order_id
-- @role order_line
SELECT l.id AS key, l.order_id AS order_key, l.variant_id AS sku_key, l.sku, l.quantity AS qty, l.quantity_cancelled AS qty_cancelled,
	l.unit_price, true AS tax_included
FROM order_line l
-- @role payment
SELECT p.id AS key, p.order_id AS order_key, p.amount, p.method, CASE p.status WHEN 'settled' THEN 'paid' ELSE p.status END AS state,
	p.created_at AS at
FROM payment p
-- @role cart
SELECT c.id AS key, c.customer_id AS customer_key, c.email, c.currency,
	(SELECT sum(l.quantity * p.amount) FROM cart_line l JOIN price p ON p.variant_id = l.variant_id AND p.currency = c.currency
		WHERE l.cart_id = c.id) AS total,
	c.created_at, c.updated_at AS last_activity
FROM cart c
WHERE NOT c.ordered
-- @source cart cart id
-- @source cart cart_line cart_id
-- @role cart_line
SELECT l.id AS key, l.cart_id AS cart_key, l.variant_id AS sku_key, l.quantity AS qty, p.amount AS unit_price
FROM cart_line l JOIN cart c ON c.id = l.cart_id LEFT JOIN price p ON p.variant_id = l.variant_id AND p.currency = c.currency
WHERE NOT c.ordered
-- @write set_price
UPDATE price SET amount = $2 WHERE variant_id = $1::bigint AND currency = $3
-- @write receive_stock
UPDATE stock SET on_hand = on_hand + $2::integer WHERE variant_id = $1::bigint AND location_id = $3
-- @write set_active
UPDATE variant SET enabled = $2 WHERE id = $1::bigint

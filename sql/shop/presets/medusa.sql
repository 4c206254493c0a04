-- @preset medusa Medusa 2
--
-- Keys are text.  Rows are deleted softly, everywhere.  Order lines and totals
-- have versions, one for each change of the order: only those of the current
-- version count.  An order's status stays "pending", so what happened to it is
-- read from payments and fulfilments.  Orders exist before they are placed: one
-- counts once it has a payment.
--
-- @table cart completed_at created_at currency_code customer_id deleted_at email id updated_at
-- @table cart_line_item cart_id deleted_at id quantity unit_price updated_at variant_id
-- @table customer created_at deleted_at email first_name has_account id last_name phone
-- @table inventory_level deleted_at incoming_quantity inventory_item_id location_id reserved_quantity stocked_quantity
-- @table order billing_address_id canceled_at created_at currency_code customer_id deleted_at display_id email id is_draft_order sales_channel_id shipping_address_id status updated_at version
-- @table order_address country_code id postal_code
-- @table order_cart cart_id deleted_at order_id
-- @table order_item deleted_at fulfilled_quantity item_id order_id quantity return_received_quantity unit_price version written_off_quantity
-- @table order_line_item id is_tax_inclusive unit_price variant_id variant_sku
-- @table order_payment_collection deleted_at order_id payment_collection_id
-- @table order_summary deleted_at order_id totals updated_at version
-- @table payment amount canceled_at captured_at created_at deleted_at id payment_collection_id provider_id
-- @table payment_collection id status
-- @table price amount currency_code deleted_at max_quantity min_quantity price_list_id price_set_id rules_count
-- @table price_list deleted_at ends_at id rules_count starts_at status
-- @table price_preference attribute deleted_at is_tax_inclusive value
-- @table product created_at deleted_at description handle id status title updated_at
-- @table product_category deleted_at id name parent_category_id
-- @table product_category_product product_category_id product_id
-- @table product_variant deleted_at ean id manage_inventory product_id sku title
-- @table product_variant_inventory_item deleted_at inventory_item_id required_quantity variant_id
-- @table product_variant_price_set deleted_at price_set_id variant_id
-- @role product
SELECT p.id AS key, p.title, p.handle, p.description, p.status = 'published' AND p.deleted_at IS NULL AS active, p.created_at, p.updated_at
FROM product p
-- @source product product id
-- @role sku
SELECT v.id AS key, v.product_id AS product_key, coalesce(v.sku, v.id) AS sku, v.title, v.deleted_at IS NULL AS active,
	v.manage_inventory AS track_stock, v.ean
FROM product_variant v
WHERE v.product_id IS NOT NULL
-- @source sku product_variant id
-- @role price
SELECT l.variant_id AS key, r.currency_code AS currency, r.amount,
	coalesce((SELECT pp.is_tax_inclusive FROM price_preference pp
		WHERE pp.attribute = 'currency_code' AND pp.value = r.currency_code AND pp.deleted_at IS NULL LIMIT 1), false) AS tax_included,
	r.price_list_id AS list_key, pl.starts_at AS valid_from, pl.ends_at AS valid_until
FROM product_variant_price_set l
	JOIN price r ON r.price_set_id = l.price_set_id AND r.deleted_at IS NULL
	LEFT JOIN price_list pl ON pl.id = r.price_list_id
WHERE l.deleted_at IS NULL AND coalesce(r.rules_count, 0) = 0 AND r.min_quantity IS NULL AND r.max_quantity IS NULL
	AND (pl.id IS NULL OR pl.status = 'active' AND pl.deleted_at IS NULL AND coalesce(pl.rules_count, 0) = 0)
-- @source price price price_set_id
SELECT l.variant_id FROM product_variant_price_set l WHERE l.price_set_id = ANY ($1) AND l.deleted_at IS NULL
-- @source price product_variant_price_set variant_id
-- @source price price_list id
SELECT l.variant_id FROM product_variant_price_set l JOIN price r ON r.price_set_id = l.price_set_id
WHERE r.price_list_id = ANY ($1) AND r.deleted_at IS NULL AND l.deleted_at IS NULL
-- @role stock
SELECT i.variant_id AS key, r.location_id AS location_key, floor(r.stocked_quantity / i.required_quantity) AS on_hand,
	ceil(r.reserved_quantity / i.required_quantity) AS reserved, floor(r.incoming_quantity / i.required_quantity) AS incoming
FROM product_variant_inventory_item i
	JOIN inventory_level r ON r.inventory_item_id = i.inventory_item_id AND r.deleted_at IS NULL
WHERE i.deleted_at IS NULL AND i.required_quantity > 0
-- @source stock inventory_level inventory_item_id
SELECT i.variant_id FROM product_variant_inventory_item i WHERE i.inventory_item_id = ANY ($1) AND i.deleted_at IS NULL
-- @source stock product_variant_inventory_item variant_id
-- @role category
SELECT c.id AS key, c.parent_category_id AS parent_key, c.name AS title
FROM product_category c
WHERE c.deleted_at IS NULL
-- @role product_category
SELECT m.product_id AS key, m.product_category_id AS category_key
FROM product_category_product m
-- @role customer
SELECT c.id AS key, c.email, concat_ws(' ', c.first_name, c.last_name) AS name, c.first_name, c.phone, NOT c.has_account AS guest,
	c.deleted_at IS NULL AS active, c.created_at
FROM customer c
-- @source customer customer id
-- @role order
SELECT o.id AS key, o.display_id AS number, o.customer_id AS customer_key, o.email,
	(SELECT k.cart_id FROM order_cart k WHERE k.order_id = o.id AND k.deleted_at IS NULL LIMIT 1) AS cart_key,
	o.currency_code AS currency, (s.totals ->> 'current_order_total')::numeric AS total, o.created_at AS placed_at,
	coalesce((s.totals ->> 'paid_total')::numeric, 0) AS paid, coalesce((s.totals ->> 'refunded_total')::numeric, 0) AS refunded,
	o.canceled_at IS NOT NULL OR o.status = 'canceled' AS cancelled,
	(SELECT CASE WHEN sum(i.fulfilled_quantity) >= sum(i.quantity) THEN 'full' WHEN sum(i.fulfilled_quantity) > 0 THEN 'partial' ELSE 'none' END
		FROM order_item i WHERE i.order_id = o.id AND i.version = o.version AND i.deleted_at IS NULL) AS fulfilment,
	(SELECT upper(a.country_code) FROM order_address a WHERE a.id = o.shipping_address_id) AS ship_country,
	(SELECT a.postal_code FROM order_address a WHERE a.id = o.shipping_address_id) AS ship_postcode,
	(SELECT upper(a.country_code) FROM order_address a WHERE a.id = o.billing_address_id) AS bill_country,
	o.sales_channel_id AS channel, o.status AS raw_status, greatest(o.updated_at, s.updated_at) AS updated_at
FROM "order" o LEFT JOIN order_summary s ON s.order_id = o.id AND s.version = o.version AND s.deleted_at IS NULL
WHERE o.deleted_at IS NULL AND NOT o.is_draft_order
	AND EXISTS (SELECT FROM order_payment_collection l JOIN payment_collection pc ON pc.id = l.payment_collection_id
		WHERE l.order_id = o.id AND l.deleted_at IS NULL
		AND pc.status IN ('authorized', 'partially_authorized', 'completed', 'partially_captured', 'captured', 'canceled'))
-- @source order order id
-- @source order order_summary order_id
-- @source order order_item order_id
-- @source order order_cart order_id
-- @source order order_payment_collection order_id
-- @source order payment_collection id
SELECT l.order_id FROM order_payment_collection l WHERE l.payment_collection_id = ANY ($1) AND l.deleted_at IS NULL
-- @role order_line
SELECT i.item_id AS key, i.order_id AS order_key, li.variant_id AS sku_key, li.variant_sku AS sku, i.quantity AS qty,
	coalesce(i.return_received_quantity, 0) + coalesce(i.written_off_quantity, 0) AS qty_cancelled,
	coalesce(i.unit_price, li.unit_price) AS unit_price, li.is_tax_inclusive AS tax_included
FROM order_item i
	JOIN "order" o ON o.id = i.order_id AND o.version = i.version
	JOIN order_line_item li ON li.id = i.item_id
WHERE i.deleted_at IS NULL AND o.deleted_at IS NULL AND NOT o.is_draft_order
-- @role payment
SELECT p.id AS key, l.order_id AS order_key, p.amount, p.provider_id AS method,
	CASE WHEN p.canceled_at IS NOT NULL THEN 'void' WHEN p.captured_at IS NOT NULL THEN 'paid' ELSE 'authorized' END AS state,
	p.created_at AS at
FROM payment p
	JOIN LATERAL (SELECT l.order_id FROM order_payment_collection l
		WHERE l.payment_collection_id = p.payment_collection_id AND l.deleted_at IS NULL LIMIT 1) l ON true
WHERE p.deleted_at IS NULL
-- @role cart
SELECT c.id AS key, c.customer_id AS customer_key, c.email, c.currency_code AS currency,
	(SELECT sum(l.unit_price * l.quantity) FROM cart_line_item l WHERE l.cart_id = c.id AND l.deleted_at IS NULL) AS total, c.created_at,
	greatest(c.updated_at, (SELECT max(l.updated_at) FROM cart_line_item l WHERE l.cart_id = c.id AND l.deleted_at IS NULL)) AS last_activity
FROM cart c
WHERE c.completed_at IS NULL AND c.deleted_at IS NULL
-- @source cart cart id
-- @source cart cart_line_item cart_id
-- @role cart_line
SELECT l.id AS key, l.cart_id AS cart_key, l.variant_id AS sku_key, l.quantity AS qty, l.unit_price
FROM cart_line_item l JOIN cart c ON c.id = l.cart_id
WHERE l.deleted_at IS NULL AND c.completed_at IS NULL AND c.deleted_at IS NULL
-- @write set_price
UPDATE price SET amount = $2, raw_amount = jsonb_build_object('value', $2::text, 'precision', 20), updated_at = now()
WHERE id = (SELECT p.id
	FROM price p JOIN product_variant_price_set l ON l.price_set_id = p.price_set_id AND l.deleted_at IS NULL
	WHERE l.variant_id = $1 AND p.currency_code = lower($3) AND p.price_list_id IS NULL AND coalesce(p.rules_count, 0) = 0
		AND p.min_quantity IS NULL AND p.max_quantity IS NULL AND p.deleted_at IS NULL
	ORDER BY p.id LIMIT 1)
-- @write receive_stock
UPDATE inventory_level v SET stocked_quantity = v.stocked_quantity + $2 * i.required_quantity,
	raw_stocked_quantity = jsonb_build_object('value', (v.stocked_quantity + $2 * i.required_quantity)::text, 'precision', 20), updated_at = now()
FROM product_variant_inventory_item i
WHERE i.variant_id = $1 AND i.deleted_at IS NULL AND v.inventory_item_id = i.inventory_item_id AND v.location_id = $3 AND v.deleted_at IS NULL

-- @preset vendure Vendure 3
--
-- Money is kept in minor units, times without zone, names in several
-- languages.  Keys are int4, or uuid with UuidIdStrategy: nothing here depends
-- on which.  Cart and order are one row: it is a cart until it is placed.
-- A cancelled order has a total of 0.
--
-- @param channel key (SELECT id::text FROM channel WHERE code = '__default_channel__')
-- @param lang text (SELECT "defaultLanguageCode"::text FROM channel WHERE code = '__default_channel__')
-- @param money_scale number 100
-- @param timezone timezone UTC
-- @table channel id pricesIncludeTax trackInventory
-- @table collection id isRoot parentId
-- @table collection_product_variants_product_variant collectionId productVariantId
-- @table collection_translation baseId languageCode name
-- @table customer createdAt deletedAt emailAddress firstName id lastName phoneNumber userId
-- @table order active billingAddress code createdAt currencyCode customerId id orderPlacedAt shipping shippingAddress shippingWithTax state subTotal subTotalWithTax type updatedAt
-- @table order_line id listPrice listPriceIncludesTax orderId orderPlacedQuantity productVariantId quantity updatedAt
-- @table payment amount createdAt id method orderId state
-- @table product createdAt deletedAt enabled id updatedAt
-- @table product_channels_channel channelId productId
-- @table product_translation baseId description languageCode name slug
-- @table product_variant deletedAt enabled id productId sku trackInventory
-- @table product_variant_price channelId currencyCode price variantId
-- @table product_variant_translation baseId languageCode name
-- @table refund paymentId state total
-- @table stock_level productVariantId stockAllocated stockLocationId stockOnHand
-- @role product
SELECT p.id AS key, t.name AS title, t.slug AS handle, t.description, p.enabled AND p."deletedAt" IS NULL AS active,
	p."createdAt" AT TIME ZONE {timezone} AS created_at, p."updatedAt" AT TIME ZONE {timezone} AS updated_at
FROM product p
	JOIN product_channels_channel pc ON pc."productId" = p.id AND pc."channelId" = {channel}
	LEFT JOIN product_translation t ON t."baseId" = p.id AND t."languageCode" = {lang}
-- @source product product id
-- @source product product_translation baseId
-- @source product product_channels_channel productId
-- @role sku
SELECT v.id AS key, v."productId" AS product_key, v.sku, t.name AS title, v.enabled AND v."deletedAt" IS NULL AS active,
	CASE v."trackInventory"::text WHEN 'TRUE' THEN true WHEN 'FALSE' THEN false
		ELSE (SELECT c."trackInventory" FROM channel c WHERE c.id = {channel}) END AS track_stock
FROM product_variant v
	LEFT JOIN product_variant_translation t ON t."baseId" = v.id AND t."languageCode" = {lang}
-- @source sku product_variant id
-- @source sku product_variant_translation baseId
-- @role price
SELECT r."variantId" AS key, r."currencyCode"::text AS currency, trim_scale(r.price / {money_scale}) AS amount, c."pricesIncludeTax" AS tax_included
FROM product_variant_price r JOIN channel c ON c.id = r."channelId"
WHERE r."channelId" = {channel} AND r."variantId" IS NOT NULL
-- @source price product_variant_price variantId
-- @role stock
SELECT r."productVariantId" AS key, r."stockLocationId" AS location_key, r."stockOnHand" AS on_hand, r."stockAllocated" AS reserved
FROM stock_level r
-- @source stock stock_level productVariantId
-- @role category
SELECT c.id AS key, c."parentId" AS parent_key, t.name AS title
FROM collection c LEFT JOIN collection_translation t ON t."baseId" = c.id AND t."languageCode" = {lang}
WHERE NOT c."isRoot"
-- @role product_category
SELECT DISTINCT v."productId" AS key, m."collectionId" AS category_key
FROM collection_product_variants_product_variant m JOIN product_variant v ON v.id = m."productVariantId"
-- @role customer
SELECT c.id AS key, c."emailAddress" AS email, concat_ws(' ', c."firstName", c."lastName") AS name, c."firstName" AS first_name,
	c."phoneNumber" AS phone, c."userId" IS NULL AS guest, c."deletedAt" IS NULL AS active,
	c."createdAt" AT TIME ZONE {timezone} AS created_at
FROM customer c
-- @source customer customer id
-- @role order
SELECT o.id AS key, o.code AS number, o."customerId" AS customer_key,
	(SELECT c."emailAddress" FROM customer c WHERE c.id = o."customerId") AS email,
	o.id AS cart_key, o."currencyCode"::text AS currency,
	trim_scale((o."subTotalWithTax" + o."shippingWithTax") / {money_scale}) AS total, trim_scale(o."shippingWithTax" / {money_scale}) AS shipping,
	trim_scale((o."subTotalWithTax" + o."shippingWithTax" - o."subTotal" - o.shipping) / {money_scale}) AS tax,
	o."orderPlacedAt" AT TIME ZONE {timezone} AS placed_at,
	trim_scale((SELECT sum(p.amount) FROM payment p WHERE p."orderId" = o.id AND p.state = 'Settled') / {money_scale}) AS paid,
	trim_scale((SELECT sum(f.total) FROM refund f JOIN payment p ON p.id = f."paymentId"
		WHERE p."orderId" = o.id AND f.state = 'Settled') / {money_scale}) AS refunded,
	o.state = 'Cancelled' AS cancelled,
	CASE WHEN o.state IN ('Shipped', 'Delivered') THEN 'full' WHEN o.state LIKE 'Partially%' THEN 'partial' ELSE 'none' END AS fulfilment,
	nullif(o."shippingAddress", '')::jsonb ->> 'countryCode' AS ship_country,
	nullif(o."shippingAddress", '')::jsonb ->> 'postalCode' AS ship_postcode,
	nullif(o."billingAddress", '')::jsonb ->> 'countryCode' AS bill_country,
	o.state AS raw_status, o."updatedAt" AT TIME ZONE {timezone} AS updated_at
FROM "order" o
WHERE o."orderPlacedAt" IS NOT NULL AND o.type IN ('Regular', 'Aggregate')
-- @source order order id
-- @source order order_line orderId
-- @source order payment orderId
-- @source order refund paymentId
SELECT p."orderId" FROM payment p WHERE p.id = ANY ($1)
-- @role order_line
SELECT l.id AS key, l."orderId" AS order_key, l."productVariantId" AS sku_key, v.sku, l."orderPlacedQuantity" AS qty,
	l."orderPlacedQuantity" - l.quantity AS qty_cancelled, trim_scale(l."listPrice" / {money_scale}) AS unit_price,
	l."listPriceIncludesTax" AS tax_included
FROM order_line l JOIN "order" o ON o.id = l."orderId" JOIN product_variant v ON v.id = l."productVariantId"
WHERE o."orderPlacedAt" IS NOT NULL
-- @role payment
SELECT p.id AS key, p."orderId" AS order_key, trim_scale(p.amount / {money_scale}) AS amount, p.method,
	CASE p.state WHEN 'Created' THEN 'pending' WHEN 'Authorized' THEN 'authorized' WHEN 'Settled' THEN 'paid'
		WHEN 'Cancelled' THEN 'void' ELSE 'failed' END AS state,
	p."createdAt" AT TIME ZONE {timezone} AS at
FROM payment p
-- @role cart
SELECT o.id AS key, o."customerId" AS customer_key, (SELECT c."emailAddress" FROM customer c WHERE c.id = o."customerId") AS email,
	o."currencyCode"::text AS currency, trim_scale(o."subTotalWithTax" / {money_scale}) AS total,
	o."createdAt" AT TIME ZONE {timezone} AS created_at,
	greatest(o."updatedAt", (SELECT max(l."updatedAt") FROM order_line l WHERE l."orderId" = o.id)) AT TIME ZONE {timezone} AS last_activity
FROM "order" o
WHERE o.active AND o."orderPlacedAt" IS NULL
-- @source cart order id
-- @source cart order_line orderId
-- @role cart_line
SELECT l.id AS key, l."orderId" AS cart_key, l."productVariantId" AS sku_key, l.quantity AS qty, trim_scale(l."listPrice" / {money_scale}) AS unit_price
FROM order_line l JOIN "order" o ON o.id = l."orderId"
WHERE o.active AND o."orderPlacedAt" IS NULL AND l.quantity > 0
-- @write set_price
UPDATE product_variant_price SET price = round($2 * {money_scale})::integer, "updatedAt" = now() AT TIME ZONE {timezone}
WHERE "variantId" = $1::{type price.key} AND "channelId" = {channel} AND "currencyCode" = $3
-- @write set_price_index
UPDATE search_index_item i
SET price = CASE WHEN c."pricesIncludeTax" THEN round(i.price::numeric * n.price / nullif(i."priceWithTax", 0))::integer ELSE n.price END,
	"priceWithTax" = CASE WHEN c."pricesIncludeTax" THEN n.price ELSE round(i."priceWithTax"::numeric * n.price / nullif(i.price, 0))::integer END
FROM channel c, (SELECT round($2 * {money_scale})::integer AS price) n
WHERE c.id = {channel} AND i."productVariantId" = $1::{type price.key} AND i."channelId" = {channel} AND c."defaultCurrencyCode" = $3
-- @write receive_stock
UPDATE stock_level SET "stockOnHand" = "stockOnHand" + $2::integer, "updatedAt" = now() AT TIME ZONE {timezone}
WHERE "productVariantId" = $1::{type stock.key} AND "stockLocationId" = $3::{type stock.location_key}
-- @write set_active
UPDATE product_variant SET enabled = $2, "updatedAt" = now() AT TIME ZONE {timezone} WHERE id = $1::{type sku.key}

# Vendure, driven over its own HTTP API while the workers run: what ecauto saw
# is what the shop did, each thing once, and customers and supplier heard of it.
use strict;
use warnings;
use EcStory;

ec_story(
	'vendure',
	available => q{
		SELECT v.sku, sum(l."stockOnHand" - l."stockAllocated")
		FROM product_variant v JOIN stock_level l ON l."productVariantId" = v.id
		WHERE v."deletedAt" IS NULL GROUP BY v.id},
	counts => {
		placed => q{SELECT count(*) FROM "order" WHERE "orderPlacedAt" IS NOT NULL},
		paid => q{SELECT count(DISTINCT "orderId") FROM payment WHERE state = 'Settled'},
		fulfilled => q{
			SELECT count(DISTINCT o."orderId")
			FROM order_fulfillments_fulfillment o JOIN fulfillment f ON f.id = o."fulfillmentId"
			WHERE f.state = 'Shipped'},
		cancelled => q{SELECT count(*) FROM "order" WHERE state = 'Cancelled'} },
	facts => q{
		SELECT o.id::text, o.code, c."emailAddress"
		FROM "order" o JOIN customer c ON c.id = o."customerId"
		WHERE o."orderPlacedAt" IS NOT NULL});

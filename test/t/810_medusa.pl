# Medusa, driven over its own HTTP API while the workers run: what ecauto saw is
# what the shop did, though one order is several transactions and several
# versions of its lines.
use strict;
use warnings;
use EcStory;

ec_story(
	'medusa',
	available => q{
		SELECT v.sku, sum(l.stocked_quantity - l.reserved_quantity)
		FROM product_variant v
			JOIN product_variant_inventory_item i ON i.variant_id = v.id AND i.deleted_at IS NULL
			JOIN inventory_level l ON l.inventory_item_id = i.inventory_item_id AND l.deleted_at IS NULL
		WHERE v.deleted_at IS NULL AND v.sku IS NOT NULL GROUP BY v.id},
	counts => {
		placed => q{SELECT count(*) FROM "order" WHERE NOT is_draft_order AND deleted_at IS NULL},
		paid => q{
			SELECT count(DISTINCT c.order_id)
			FROM order_payment_collection c JOIN payment p ON p.payment_collection_id = c.payment_collection_id
			WHERE p.captured_at IS NOT NULL},
		fulfilled => q{
			SELECT count(DISTINCT o.order_id)
			FROM order_fulfillment o JOIN fulfillment f ON f.id = o.fulfillment_id
			WHERE f.shipped_at IS NOT NULL},
		cancelled => q{SELECT count(*) FROM "order" WHERE canceled_at IS NOT NULL} },
	facts => q{SELECT id, display_id::text, email FROM "order" WHERE NOT is_draft_order AND deleted_at IS NULL});

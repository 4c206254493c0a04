# Vendure under traffic through its own HTTP API: every order is placed, paid,
# shipped and cancelled exactly once in ecauto's eyes too.
use strict;
use warnings;
use EcScenario;
use EcTest;
use PostgreSQL::Test::Utils;

EcScenario::run(
	'vendure',
	roles => [qw(product sku price stock order order_line customer cart cart_line payment category product_category)],
	writers => [qw(set_price set_price_index receive_stock set_active)],
	counts => { 'order.placed' => 'orders', 'order.paid' => 'paid', 'order.fulfilled' => 'shipped', 'order.cancelled' => 'cancelled' },
	plain => {
		'order.placed' => 'SELECT count(*) FROM "order" WHERE "orderPlacedAt" IS NOT NULL',
		'order.paid' => q{SELECT count(DISTINCT "orderId") FROM payment WHERE state = 'Settled'},
		'order.fulfilled' => q{SELECT count(*) FROM "order" WHERE state = 'Shipped'},
		'order.cancelled' => q{SELECT count(*) FROM "order" WHERE state = 'Cancelled'} },
	available => q{
		SELECT v.sku, sum(l."stockOnHand" - l."stockAllocated")
		FROM product_variant v JOIN stock_level l ON l."productVariantId" = v.id
		WHERE v."deletedAt" IS NULL GROUP BY v.id},
	same => {
		'totals of orders, in major units' => [
			q{SELECT key, (new ->> 'total')::numeric FROM ecauto.events(kind => 'order.placed') e
				WHERE NOT EXISTS (SELECT FROM ecauto.events(kind => 'order.cancelled') c WHERE c.key = e.key) ORDER BY key COLLATE "C"},
			q{SELECT id, trim_scale(("subTotalWithTax" + "shippingWithTax") / 100.0) FROM "order"
				WHERE "orderPlacedAt" IS NOT NULL AND state <> 'Cancelled' ORDER BY id::text COLLATE "C"} ],
		'a cancelled order keeps the value it was placed with' => [
			q{SELECT count(*) FROM ecauto.events(kind => 'order.placed') WHERE (new ->> 'total')::numeric = 0}, q{SELECT 0} ],
		'stock as it was seen' => [
			'SELECT key, on_hand, reserved FROM ecauto_data.seen_stock ORDER BY key COLLATE "C"',
			'SELECT "productVariantId", "stockOnHand", "stockAllocated" FROM stock_level ORDER BY "productVariantId"::text COLLATE "C"' ],
		'carts that are still open' => [
			'SELECT count(*) FROM ecauto_data.seen_cart WHERE completed_at IS NULL',
			'SELECT count(*) FROM "order" WHERE active AND "orderPlacedAt" IS NULL' ],
		'customers' => [
			q{SELECT count(*) FROM ecauto.events(kind => 'customer.created')}, 'SELECT count(*) FROM customer' ] },
	price => sub {
		my ($shop, $sku) = @_;
		my $query = q({"query": "{ products(options: {take: 100}) { items { variants { id price } } } }"});
		my ($out) = run_command([ 'curl', '-sf', '-H', 'content-type: application/json', '--data', $query, $shop->url . '/shop-api' ]);
		my ($price) = $out =~ /"id":"$sku","price":(\d+)/;
		return $price;
	},
	price_shown => 1234,
	shown => sub { sprintf('%.0f', $_[0] * 100) },
	copies => q{
		SELECT count(*) FROM search_index_item i
		JOIN channel c ON c.id = i."channelId"
		JOIN product_variant_price p ON p."variantId" = i."productVariantId" AND p."channelId" = c.id AND p."currencyCode" = c."defaultCurrencyCode"
		WHERE p.price <> CASE WHEN c."pricesIncludeTax" THEN i."priceWithTax" ELSE i.price END});

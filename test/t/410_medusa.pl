# Medusa under traffic through its own HTTP API.  It places one order in many
# transactions, versions its order lines, and never says in the order's status
# what happened to it.
use strict;
use warnings;
use EcScenario;
use EcTest;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'Medusa is large; EC_TEST_MEDUSA=1 runs it' unless $ENV{EC_TEST_MEDUSA};

EcScenario::run(
	'medusa',
	roles => [qw(product sku price stock order order_line customer cart cart_line payment category product_category)],
	writers => [qw(set_price receive_stock)],
	counts => { 'order.placed' => 'orders', 'order.paid' => 'paid', 'order.fulfilled' => 'shipped', 'order.cancelled' => 'cancelled' },
	plain => {
		'order.placed' => 'SELECT count(*) FROM "order"',
		'order.paid' => 'SELECT count(DISTINCT l.order_id) FROM payment p JOIN order_payment_collection l ON l.payment_collection_id = p.payment_collection_id WHERE p.captured_at IS NOT NULL',
		'order.fulfilled' => 'SELECT count(*) FROM order_fulfillment',
		'order.cancelled' => 'SELECT count(*) FROM "order" WHERE canceled_at IS NOT NULL' },
	available => q{
		SELECT v.sku, sum(l.stocked_quantity - l.reserved_quantity)
		FROM product_variant v
			JOIN product_variant_inventory_item i ON i.variant_id = v.id AND i.deleted_at IS NULL
			JOIN inventory_level l ON l.inventory_item_id = i.inventory_item_id AND l.deleted_at IS NULL
		WHERE v.deleted_at IS NULL AND v.sku IS NOT NULL GROUP BY v.id},
	same => {
		'totals of orders' => [
			q{SELECT key, (new ->> 'total')::numeric FROM ecauto.events(kind => 'order.placed') ORDER BY key COLLATE "C"},
			q{SELECT DISTINCT ON (order_id COLLATE "C") order_id, (totals ->> 'original_order_total')::numeric FROM order_summary ORDER BY order_id COLLATE "C", version} ],
		'carts that are still open' => [
			'SELECT count(*) FROM ecauto_data.seen_cart WHERE completed_at IS NULL',
			'SELECT count(*) FROM cart WHERE completed_at IS NULL AND deleted_at IS NULL' ],
		'customers' => [
			q{SELECT count(*) FROM ecauto.events(kind => 'customer.created')}, 'SELECT count(*) FROM customer' ] },
	price => sub {
		my ($shop, $sku) = @_;
		my $region = EcScenario::sql('SELECT r.id FROM region r WHERE r.currency_code = (SELECT lower(currency) FROM ecauto_data.seen_price WHERE key = ' . "'$sku'" . q{ AND list_key = '' ORDER BY 1 LIMIT 1)});
		local %ENV = $shop->_env;
		my ($out) = run_command([ 'curl', '-sfg', '-H', 'x-publishable-api-key: ' . $shop->_key,
				$shop->url . "/store/products?limit=100&region_id=$region&fields=id,*variants.calculated_price" ]);
		my ($variant) = grep { $_->{id} eq $sku } map { @{ $_->{variants} } } @{ JSON::PP::decode_json($out)->{products} };
		return $variant->{calculated_price}{original_amount};
	},
	price_shown => 12.34,
	shown => sub { $_[0] + 0 },
	copies => q{SELECT count(*) FROM price WHERE (raw_amount ->> 'value')::numeric <> amount},
	pairs => q{SELECT DISTINCT o.id, l.variant_id FROM "order" o
			JOIN order_item i ON i.order_id = o.id AND i.version = o.version AND i.deleted_at IS NULL
			JOIN order_line_item l ON l.id = i.item_id
		WHERE o.canceled_at IS NULL AND o.deleted_at IS NULL AND i.quantity > 0},
	showable => q{SELECT v.id FROM product_variant v JOIN product p ON p.id = v.product_id AND p.status = 'published' AND p.deleted_at IS NULL
			JOIN product_variant_inventory_item m ON m.variant_id = v.id AND m.deleted_at IS NULL
			JOIN inventory_level l ON l.inventory_item_id = m.inventory_item_id AND l.deleted_at IS NULL
		WHERE v.deleted_at IS NULL GROUP BY v.id HAVING sum(l.stocked_quantity - l.reserved_quantity) > 0});

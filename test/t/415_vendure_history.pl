# A Vendure shop with a year of history and traffic through its own HTTP API:
# its demand becomes an order at the supplier's, whose receipt the shop's API
# shows; customers' scores, segments and lifetime values, and what was bought
# together, are what plain SQL over the shop's own tables says.
use strict;
use warnings;
use EcHistory;
use EcLive;
use EcTest;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $shop = EcLive->new('vendure');
my $sink = ec_sink();
my $node = ec_node('main', conf => { %{ $shop->conf }, 'ecauto.settle_time' => 0, 'ecauto.timezone' => 'Europe/Warsaw',
		'ecauto.databases' => $shop->database });
$shop->create($node, products => 30);

sub sql { return $node->safe_psql($shop->database, $_[0]); }

# same(QUERY, QUERY, WHAT): both return the same rows, and some.
sub same
{
	my ($got, $expected, $what) = @_;
	my ($ours, $plain) = map { sql("SELECT x::text FROM ($_) x ORDER BY 1") } $got, $expected;
	isnt($plain, '', "$what: there are some");
	is($ours, $plain, "$what: the same rows");
	return;
}

# All that was committed is taken up.
sub settle
{
	ok(ec_wait($node, $shop->database, 'SELECT pending = 0 AND noted = 0 FROM ecauto.tick()'), $_[0]);
	return;
}

# The shop's back office.
my $token;

sub office
{
	my ($query, $variables) = @_;
	my @head = $token ? ('-H', "authorization: Bearer $token") : ();
	my ($out) = run_command([ 'curl', '-sS', '-i', '-H', 'content-type: application/json', @head,
			'--data', JSON::PP::encode_json({ query => $query, variables => $variables // {} }), $shop->url . '/admin-api' ]);
	$token = $1 if $out =~ /^vendure-auth-token: (\S+)/mi;
	my ($body) = $out =~ /^(\{.*\})\s*$/ms;
	my $answer = JSON::PP::decode_json($body);
	die "$query: $body" if $answer->{errors};
	return $answer->{data};
}

sub on_hand
{
	my ($sku) = @_;
	return office('query($i:ID!){ productVariant(id:$i){ stockLevels{ stockOnHand } } }', { i => $sku })->{productVariant}{stockLevels}[0]{stockOnHand};
}

# What counts in the shop's own words.
my $orders = q{SELECT o.id, o."customerId" AS customer, o."orderPlacedAt" AT TIME ZONE 'UTC' AS at,
	("subTotalWithTax" + "shippingWithTax") / 100.0 AS total FROM "order" o WHERE o."orderPlacedAt" IS NOT NULL AND o.state <> 'Cancelled'};
my $lines = q{SELECT o.id AS o, l."productVariantId" AS sku, sum(l.quantity) AS units, min(o."orderPlacedAt") AT TIME ZONE 'UTC' AS at, o."customerId" AS customer
	FROM order_line l JOIN "order" o ON o.id = l."orderId" WHERE o."orderPlacedAt" IS NOT NULL AND o.state <> 'Cancelled' AND l.quantity > 0
	GROUP BY o.id, l."productVariantId"};

# ---- a year, then today ----
ec_bulk($node, $shop, 3000);
sql('CREATE EXTENSION ecauto');
my $history = sql('SELECT count(*) FROM "order" WHERE "orderPlacedAt" IS NOT NULL');
is(sql(q{SELECT rows FROM ecauto.attach_shop('vendure') WHERE item = 'order'}), $history, "the shop's $history orders are read");
is(sql(q{SELECT count(*) FROM ecauto.events()}), '0', 'without telling of them');
$shop->start;
my $counts = $shop->traffic(ORDERS => 15, SEED => 7, CONC => 2);
is($counts->{errors}, 0, 'traffic without errors');
settle('and it is taken up');
is(sql(q{SELECT count(*) FROM ecauto.events(kind => 'order.placed')}), $counts->{orders}, 'order by order');

# ---- stock: demand, order, receipt ----
sql('CREATE SERVER supplier FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url $$' . $sink->http_url . '$$)');
sql('SELECT ecauto.refresh_demand()');
same('SELECT sku, day, trim_scale(units) FROM ecauto_data.demand',
	qq{SELECT sku::text, (at AT TIME ZONE 'Europe/Warsaw')::date, sum(units)::numeric FROM ($lines) l GROUP BY 1, 2}, 'demand is what the shop sold, day by day in its zone');
is(sql('SELECT ecauto.forecast_all() = (SELECT count(*) FROM product_variant)'), 't', 'each sku has a forecast');

office('mutation{ login(username:"superadmin",password:"superadmin",rememberMe:true){ ...on CurrentUser{id} ...on ErrorResult{errorCode message} } }');
office('mutation($i:CreateCustomerInput!){ createCustomer(input:$i,password:"secret-pw-1"){ ...on Customer{id} ...on ErrorResult{errorCode message} } }',
	{ i => { firstName => 'New', lastName => 'Comer', emailAddress => 'new@example.test' } });
my @low = split /\n/, sql("SELECT sku FROM ($lines) l GROUP BY sku ORDER BY sum(units) DESC, sku LIMIT 5");
my %reserved = map { $_ => sql(qq{SELECT "stockAllocated" FROM stock_level WHERE "productVariantId" = $_}) } @low;
office('mutation($i:[UpdateProductVariantInput!]!){ updateProductVariants(input:$i){ id } }', { i => [ map { { id => $_, stockOnHand => $reserved{$_} + 1 } } @low ] });
settle('the back office counts the five best sellers again: one piece left of each');
is(sql('SELECT array_agg(available) FROM ecauto.stock_position(ARRAY[' . join(',', map { "'$_'" } @low) . ']) WHERE location IS NULL'), '{1,1,1,1,1}', 'as ecauto sees it');

sql(q{SELECT ecauto.set_supplier('cheap', '{"currency": "USD", "lead_days": 5, "endpoint": "supplier", "path": "/orders", "freight": 10}')});
sql(q{SELECT ecauto.set_supplier('dear', '{"currency": "USD", "lead_days": 5, "endpoint": "supplier", "path": "/dear"}')});
sql(q{SELECT ecauto.set_offer('cheap', key, jsonb_build_object('price', round(amount * 0.5, 2), 'pack', 6, 'supplier_sku', 'S-' || key)),
	ecauto.set_offer('dear', key, jsonb_build_object('price', amount)) FROM ecauto_data.seen_price WHERE list_key = ''});
my $plan = sql(q{SELECT string_agg(DISTINCT format('%s %s %s', purchase_order, state, supplier), ', ') FROM ecauto.plan_replenishment()});
my ($order) = $plan =~ /^(\d+) proposed cheap$/ or diag($plan);
ok($order, 'the plan proposes one order, of the cheaper supplier');
my %qty = map { split /\|/ } split /\n/, sql("SELECT sku, trim_scale(qty) FROM ecauto_data.purchase_order_line WHERE order_id = $order");
ok((!grep { !$qty{$_} } @low), 'of all that runs low');
is(sql(qq{SELECT string_agg(l.sku, ', ') FROM ecauto_data.purchase_order_line l JOIN stock_level s ON s."productVariantId"::text = l.sku
	WHERE l.order_id = $order AND s."stockOnHand" - s."stockAllocated" > (SELECT sum(units) FROM ($lines) d WHERE d.sku::text = l.sku AND d.at > now() - interval '90 days')}),
	'', 'and of nothing that lasts for a quarter');
is(sql(qq{SELECT count(*) FROM ecauto_data.purchase_order_line l WHERE order_id = $order AND qty % 6 <> 0}), '0', 'in whole packs');
is(sql(qq{SELECT count(*) FROM ecauto_data.purchase_order_line l WHERE order_id = $order AND sku IN (} . join(',', map { "'$_'" } @low) . qq{)
	AND qty < (SELECT sum(units) * 7 / 90.0 FROM ($lines) d WHERE d.sku::text = l.sku AND d.at > now() - interval '90 days') - 1}),
	'0', 'enough for what the last quarter sold in a week');
is(scalar($sink->requests), 0, 'nothing leaves before it is approved');

sql("SELECT ecauto.approve_purchase_order($order)");
my ($request) = $sink->wait_for(http => 1);
my $body = JSON::PP::decode_json($request->{body});
is($request->{path}, '/orders', 'approved, it arrives at the supplier');
is($request->{headers}{'idempotency-key'}, sql("SELECT key FROM ecauto.messages() WHERE endpoint = 'supplier'"), 'once, whatever happens on the way');
is_deeply({ map { $_->{sku} => $_->{qty} + 0 } @{ $body->{lines} } }, { map { ("S-$_" => $qty{$_} + 0) } keys %qty }, 'with the lines of the plan, by the names of the supplier');
is(sprintf('%.2f', $body->{goods}), sql(qq{SELECT round(sum(l.qty * round(p.price / 100.0 * 0.5, 2)), 2) FROM ecauto_data.purchase_order_line l
	JOIN product_variant_price p ON p."variantId"::text = l.sku AND p."channelId" = 1 WHERE l.order_id = $order}), 'and the amount of its prices');
is(sql('SELECT count(*) FROM ecauto.plan_replenishment()'), '0', 'the same night orders nothing twice');
is(sql("SELECT ecauto.approve_purchase_order($order) = (SELECT id FROM ecauto.messages() WHERE endpoint = 'supplier')"), 't', 'nor does approving again');

my $since = sql('SELECT ecauto.now()');
my %before = map { $_ => on_hand($_) } keys %qty;
my $first = $low[0];
sql(qq{SELECT ecauto.receive_purchase_order($order, '{"$first": 2}', 'note 1')}) for 1 .. 2;
is(on_hand($first), $before{$first} + 2, "a part came: the shop's API shows it, once for the delivery note");
is(sql("SELECT trim_scale(ecauto.receive_purchase_order($order))"), sql("SELECT trim_scale(sum(qty) - 2) FROM ecauto_data.purchase_order_line WHERE order_id = $order"), 'the rest came');
is_deeply({ map { $_ => on_hand($_) } keys %qty }, { map { $_ => $before{$_} + $qty{$_} } keys %qty }, "the shop's API shows all of it");
settle('which is noticed');
is(sql(qq{SELECT string_agg(DISTINCT key, ' ' ORDER BY key) FROM ecauto.events('$since', 'stock.changed')}), join(' ', sort keys %qty), 'and nothing else changed');

# ---- customers ----
my $now = sql('SELECT ecauto.now()');
my $facts = qq{SELECT customer, count(*) AS n, sum(total) AS spent, min(at) AS first, max(at) AS last, avg(total) AS mean
	FROM ($orders) o WHERE at <= '$now' GROUP BY customer};
# equal values share their places: so many are less, and half of the equal ones
my $score = sub { "ceil(5 * ((SELECT count(*) FROM f g WHERE g.$_[0] < f.$_[0]) + (SELECT count(*) FROM f g WHERE g.$_[0] = f.$_[0]) / 2.0) / (SELECT count(*) FROM f))::integer" };
my $rfm = qq{WITH f AS MATERIALIZED ($facts), s AS (SELECT f.*, } . join(', ', map { $score->($_->[0]) . " AS $_->[1]" } [ 'last', 'r' ], [ 'n', 'f' ], [ 'spent', 'm' ]) . q{ FROM f)
	SELECT customer::text, round(extract(epoch FROM '} . $now . q{'::timestamptz - last) / 86400, 6) AS recency, n, trim_scale(spent) AS spent, r, f, m,
		(SELECT g.name FROM ecauto_data.rfm_group g WHERE s.r <@ g.r AND s.f <@ g.f AND s.m <@ g.m ORDER BY g.place LIMIT 1) AS name FROM s};
same("SELECT customer, round(recency::numeric, 6), frequency, trim_scale(monetary), r, f, m, segment FROM ecauto.rfm('$now')", $rfm, 'recency, frequency, monetary value, their scores and groups');
cmp_ok(sql("SELECT count(DISTINCT name) FROM ($rfm) x"), '>=', 5, 'of which there are several');

my $model = sql("SELECT ecauto.fit_clv('$now')");
ok($model, 'lifetime value is fitted') and note($model);
sql("CREATE TABLE history AS SELECT customer, n, mean, (n - 1)::float8 AS x, extract(epoch FROM last - first)::float8 / 86400 AS tx,
	extract(epoch FROM '$now'::timestamptz - first)::float8 / 86400 AS t FROM ($facts) f");
my $arrays = 'SELECT array_agg(x) AS x, array_agg(tx) AS tx, array_agg(t) AS t, array_agg(n::float8) AS n, array_agg(mean::float8) AS mean FROM history';
my $prior = sql('SELECT prior FROM ecauto_data.clv_model');
is(sql('SELECT customers, repeaters FROM ecauto_data.clv_model'), sql('SELECT count(*), count(*) FILTER (WHERE x > 0) FROM history'), 'to all customers');
is(sql(qq{SELECT m.model, round(m.log_likelihood::numeric, 6), (SELECT array_agg(round(p::numeric, 8)) FROM unnest(m.params) p) FROM ecauto_data.clv_model m}),
	sql(qq{SELECT f.model, round(f.likelihood::numeric, 6), (SELECT array_agg(round(p::numeric, 8)) FROM unnest(f.params) p) FROM (
		SELECT 'mbgnbd' AS model, b.log_likelihood AS likelihood, ARRAY[r, alpha, a, b.b] AS params FROM ($arrays) d, ecauto.mbgnbd_fit(d.x, d.tx, d.t, $prior) b
		UNION ALL SELECT 'paretonbd', b.log_likelihood, ARRAY[r, alpha, s, beta] FROM ($arrays) d, ecauto.paretonbd_fit(d.x, d.tx, d.t, $prior) b) f ORDER BY f.likelihood DESC LIMIT 1}),
	"by the likelier model of the histories that plain SQL sums up");
# means of orders are rounded somewhere: a part in a million is none
is(sql(qq{SET ecauto.clock = '$now';
	SELECT count(*) FROM ecauto_data.clv_model m, history h JOIN ecauto.predict_clv(90) p ON p.customer = h.customer::text,
		LATERAL (SELECT ecauto.clv_expected_orders(m.model, m.params, x, tx, t, 90) AS orders, CASE WHEN m.value_params IS NULL
			THEN (SELECT avg(mean) FROM history)::float8 ELSE ecauto.gamma_gamma_value(m.value_params, n, mean::float8) END AS worth) e
	WHERE abs(p.p_alive - ecauto.clv_p_alive(m.model, m.params, x, tx, t)) < 1e-9 AND abs(p.expected_orders - e.orders) < 1e-9 * e.orders
		AND abs(p.expected_value - e.orders * e.worth) < 1e-6 * p.expected_value}),
	sql('SELECT count(*) FROM history'), 'what is expected of each customer');
cmp_ok(sql('SELECT count(*) FROM history'), '>', 100, 'of whom there are many');

# segments: their condition here, the shop's own words there
my $top = $low[0];
my %segment = (
	'regulars' => [ q{customer.orders_count >= 3 AND customer.last_order_at > ecauto.now() - interval '90 days'},
		q{SELECT customer FROM f WHERE n >= 3 AND last > at - interval '90 days'} ],
	'big spenders' => [ q{customer.spent_total >= 300}, 'SELECT customer FROM f WHERE spent >= 300' ],
	'signed up, bought nothing' => [ q{NOT customer.guest AND customer.orders_count = 0},
		q{SELECT c.id FROM customer c WHERE c."userId" IS NOT NULL AND NOT EXISTS (SELECT FROM f WHERE f.customer = c.id)} ],
	'bought the best seller' => [ qq{EXISTS (SELECT FROM ecauto_data.purchase p WHERE p.customer = customer.key AND p.sku = '$top'
			AND p.placed_at > ecauto.now() - interval '180 days' AND p.placed_at <= ecauto.now())},
		"SELECT DISTINCT customer FROM ($lines) l, a WHERE sku = $top AND l.at > a.at - interval '180 days' AND l.at <= a.at" ],
	'slipping away' => [ q{ecauto.now() - customer.last_order_at > 2 * customer.median_gap},
		qq{SELECT f.customer FROM f, LATERAL (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY gap) AS gap FROM (
			SELECT o.at - lag(o.at) OVER (ORDER BY o.at) AS gap FROM ($orders) o, a WHERE o.customer = f.customer AND o.at <= a.at) g) g, a
			WHERE a.at - last > 2 * g.gap} ]);
for my $name (sort keys %segment)
{
	my ($condition, $plain) = @{ $segment{$name} };
	sql("SELECT ecauto.create_segment('$name', \$c\$ $condition \$c\$)");
	# now, and as it was in spring: orders that were placed later do not count
	for my $ago ('0 days', '200 days')
	{
		my $with = qq{WITH a (at) AS (SELECT '$now'::timestamptz - interval '$ago'), f AS MATERIALIZED (
			SELECT customer, count(*) AS n, sum(total) AS spent, max(o.at) AS last, a.at FROM ($orders) o, a WHERE o.at <= a.at GROUP BY customer, a.at)};
		# a customer who was not there yet has no order and is no member of the others
		next if $name =~ /nothing/ && $ago ne '0 days';
		same("SELECT m FROM ecauto.segment_members('$name', '$now'::timestamptz - interval '$ago') m", "$with SELECT x.customer::text FROM ($plain) x (customer)",
			"segment \"$name\" " . ($ago eq '0 days' ? 'now' : "$ago ago"));
	}
}
is(sql(q{SELECT count(*) FROM ecauto_data.segment s, (SELECT key FROM ecauto.customer_facts() ORDER BY hashtext(key) LIMIT 40) c,
		LATERAL (SELECT result FROM ecauto.explain_segment(s.name, c.key) WHERE path = '1') e
	WHERE coalesce(e.result::text, 'false') NOT IN ('f', 'false') IS DISTINCT FROM ecauto.in_segment(c.key, s.name)}), '0', 'explanations agree with membership');
sql('SELECT ecauto.refresh_rfm()');
sql(q{SELECT ecauto.create_segment('worth a call', $$ rfm.group IN ('champions', 'loyal') AND clv.p_alive < 0.9 $$)});
# a little later than the scores: nobody orders in between
same(q{SELECT m FROM ecauto.segment_members('worth a call') m},
	qq{SELECT r.customer FROM ($rfm) r JOIN history h ON h.customer::text = r.customer, ecauto_data.clv_model m WHERE r.name IN ('champions', 'loyal')
		AND ecauto.clv_p_alive(m.model, m.params, x, tx, t) < 0.9}, 'a segment by group and lifetime value');

# ---- bought together ----
sql('SELECT ecauto.build_recommendations()');
ec_bought($node, $shop->database, "SELECT o, sku FROM ($lines) l",
	q{SELECT v.id FROM product_variant v JOIN product p ON p.id = v."productId" JOIN stock_level s ON s."productVariantId" = v.id
		WHERE v.enabled AND p.enabled AND v."deletedAt" IS NULL AND p."deletedAt" IS NULL AND s."stockOnHand" > s."stockAllocated"});
$shop->traffic(ORDERS => 5, SEED => 8, CONC => 2);
settle('more orders came');
sql('SELECT ecauto.build_recommendations()');
ec_bought($node, $shop->database, "SELECT o, sku FROM ($lines) l",
	q{SELECT v.id FROM product_variant v JOIN product p ON p.id = v."productId" JOIN stock_level s ON s."productVariantId" = v.id
		WHERE v.enabled AND p.enabled AND v."deletedAt" IS NULL AND p."deletedAt" IS NULL AND s."stockOnHand" > s."stockAllocated"});

# ---- the first hour, as the documentation has it ----
sql('DROP EXTENSION ecauto CASCADE; DROP SCHEMA ecauto_data CASCADE');
ec_getting_started($node, $shop, $sink, 'USD');

$shop->stop;
$node->stop;
done_testing();

# A customer of a real Vendure shop registers, fills a cart and leaves: one
# welcome, a reminder with the amount that the shop shows; he orders: no more
# reminders, but mails about the order, in its order.
use strict;
use warnings;
use EcLive;
use EcTest;
use JSON::PP ();
use MIME::Base64 qw(decode_base64);
use MIME::QuotedPrint qw(decode_qp);
use PostgreSQL::Test::Utils;
use Test::More;

my $shop = EcLive->new('vendure');
my $sink = ec_sink();
# no worker: ticks are made by hand, at times of our choice
my $node = ec_node('main', conf => { %{ $shop->conf }, 'ecauto.settle_time' => 0, 'ecauto.timezone' => 'UTC' });
$shop->create($node, products => 30);

sub sql { return $node->safe_psql($shop->database, $_[0]); }

# What a tick and the delivery do so long after now.
sub later
{
	my ($interval) = @_;
	return sql("SELECT set_config('ecauto.clock', (clock_timestamp() + '$interval')::text, false) \\g /dev/null
		SELECT ecauto.tick() \\g /dev/null
		SELECT ecauto.tick() \\g /dev/null
		SELECT ecauto.tick() \\g /dev/null
		SELECT delivered FROM ecauto.deliver()");
}

# One caller of the shop's API, who stays logged in.
my %token;

sub ask
{
	my ($who, $query, $variables) = @_;
	my $api = $who eq 'admin' ? 'admin-api' : 'shop-api';
	my @head = $token{$who} ? ('-H', "authorization: Bearer $token{$who}") : ();
	my ($out) = run_command([ 'curl', '-sS', '-i', '-H', 'content-type: application/json', @head,
			'--data', JSON::PP::encode_json({ query => $query, variables => $variables // {} }), $shop->url . "/$api" ]);
	$token{$who} = $1 if $out =~ /^vendure-auth-token: (\S+)/mi;
	my ($body) = $out =~ /^(\{.*\})\s*$/ms;
	my $answer = JSON::PP::decode_json($body);
	die "$query: $body" if $answer->{errors};
	for my $value (values %{ $answer->{data} })
	{
		die "$query: $body" if ref $value eq 'HASH' && $value->{errorCode};
	}
	return $answer->{data};
}

sub subjects { return join ', ', map { $sink->header($_, 'Subject') } $sink->mails; }

# The parts of a mail, decoded.
sub text_of
{
	my ($mail) = @_;
	my $text = $mail->{data};
	$text =~ s/\r\n/\n/g;
	$text =~ s{(Content-Transfer-Encoding: base64[^\n]*\n(?:[^\n]+\n)*\n)([A-Za-z0-9+/=\n]+)}{$1 . decode_base64($2)}gie;
	$text =~ s{(Content-Transfer-Encoding: quoted-printable[^\n]*\n(?:[^\n]+\n)*\n)(.*?)(?=\n--|\z)}{$1 . decode_qp($2)}gise;
	return $text;
}

sql('CREATE EXTENSION ecauto');
sql(q{SELECT ecauto.attach_shop('vendure')});
sql('CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url $$' . $sink->smtp_url . '$$, sender $$Shop <shop@example.test>$$)');
is(sql(q{SELECT count(*) FROM ecauto.template_library() l, ecauto.install_template(l.name, '{"enable": true}') i
	WHERE l.name IN ('welcome', 'abandoned_cart', 'order_status') AND i.kind = 'flow'}), '9', 'flows of the library fit the shop');
is(sql(q{SELECT string_agg(name, ', ') FROM ecauto.flows() WHERE NOT enabled OR error IS NOT NULL}), '', 'and are enabled');
later('0');
$shop->start;

# ---- somebody registers, fills a cart, leaves ----
ask('admin', 'mutation{ login(username:"superadmin",password:"superadmin",rememberMe:true){ ...on CurrentUser{id} ...on ErrorResult{errorCode message} } }');
ask('admin', 'mutation{ createPaymentMethod(input:{code:"dummy",enabled:true,handler:{code:"dummy-payment-handler",arguments:[{name:"automaticSettle",value:"false"}]},translations:[{languageCode:en,name:"Dummy",description:""}]}){ id } }')
  unless @{ ask('admin', '{ paymentMethods{ items{ id } } }')->{paymentMethods}{items} };
ask('ann', 'mutation($i:RegisterCustomerInput!){ registerCustomerAccount(input:$i){ ...on Success{success} ...on ErrorResult{errorCode message} } }',
	{ i => { emailAddress => 'ann@example.test', firstName => 'Ann', lastName => 'Lee', password => 'secret-pw-1' } });
ask('ann', 'mutation{ login(username:"ann@example.test",password:"secret-pw-1"){ ...on CurrentUser{id} ...on ErrorResult{errorCode message} } }');
sql(q{SELECT ecauto.grant_consent('ann@example.test', 'email', 'marketing', source => 'sign-up')});
my $product = ask('ann', '{ products(options:{take:1}){ items{ name variants{ id } } } }')->{products}{items}[0];
ask('ann', 'mutation($v:ID!){ addItemToOrder(productVariantId:$v,quantity:2){ ...on Order{ id } ...on ErrorResult{errorCode message} } }', { v => $product->{variants}[0]{id} });
my $cart = ask('ann', '{ activeOrder{ id code subTotalWithTax currencyCode lines{ quantity productVariant{ name } } } }')->{activeOrder};
later('0');
is(subjects(), '', 'nothing at once');
later('11 minutes');
is(subjects(), 'Welcome to The shop', 'a welcome after ten minutes');
later('59 minutes');
is(scalar($sink->mails), 1, 'no reminder within the hour');
later('61 minutes');
is(subjects(), 'Welcome to The shop, You left something in your cart', 'then one');
my $reminder = text_of(($sink->mails)[1]);
my $amount = JSON::PP->new->allow_nonref->encode($cart->{subTotalWithTax} / 100);
like($reminder, qr/Hello Ann/, 'with his name');
like($reminder, qr/Together \Q$amount\E $cart->{currencyCode}/, "and the amount that the shop shows, $amount");
like($reminder, qr/2 \S+ \Q$cart->{lines}[0]{productVariant}{name}\E/, 'of what is in the cart');
later('62 minutes');
is(scalar($sink->mails), 2, 'once');

# ---- he orders ----
ask('ann', 'mutation($i:CreateAddressInput!){ setOrderShippingAddress(input:$i){ ...on Order{id} ...on ErrorResult{errorCode message} } }',
	{ i => { fullName => 'Ann Lee', streetLine1 => '1 Main St', city => 'London', postalCode => 'N1 1', countryCode => 'GB' } });
my $method = ask('ann', '{ eligibleShippingMethods{ id } }')->{eligibleShippingMethods}[0]{id};
ask('ann', 'mutation($i:[ID!]!){ setOrderShippingMethod(shippingMethodId:$i){ ...on Order{id} ...on ErrorResult{errorCode message} } }', { i => [$method] });
ask('ann', 'mutation{ transitionOrderToState(state:"ArrangingPayment"){ ...on Order{id} ...on OrderStateTransitionError{errorCode message transitionError} } }');
my $payment = ask('ann', '{ eligiblePaymentMethods{ code } }')->{eligiblePaymentMethods}[0]{code};
my $order = ask('ann', 'mutation($m:String!){ addPaymentToOrder(input:{method:$m,metadata:{}}){ ...on Order{id code totalWithTax} ...on ErrorResult{errorCode message} } }', { m => $payment })->{addPaymentToOrder};
later('70 minutes');
later('72 minutes');
is((split /, /, subjects())[-1], "Your order $order->{code}", 'the order is confirmed');
my $total = JSON::PP->new->allow_nonref->encode($order->{totalWithTax} / 100);
like(text_of(($sink->mails)[-1]), qr/Total: \Q$total\E /, 'with its total');

my $admin = ask('admin', 'query($i:ID!){ order(id:$i){ payments{ id } lines{ id quantity } } }', { i => $order->{id} })->{order};
ask('admin', 'mutation($i:ID!){ settlePayment(id:$i){ ...on Payment{id state} ...on ErrorResult{errorCode message} } }', { i => $admin->{payments}[0]{id} });
later('80 minutes');
later('82 minutes');
my $fulfilment = ask('admin', 'mutation($i:FulfillOrderInput!){ addFulfillmentToOrder(input:$i){ ...on Fulfillment{id state} ...on ErrorResult{errorCode message} } }',
	{ i => { lines => [ map { { orderLineId => $_->{id}, quantity => $_->{quantity} } } @{ $admin->{lines} } ],
			handler => { code => 'manual-fulfillment', arguments => [ { name => 'method', value => 'post' }, { name => 'trackingCode', value => 'T1' } ] } } })->{addFulfillmentToOrder};
ask('admin', 'mutation($i:ID!){ transitionFulfillmentToState(id:$i,state:"Shipped"){ ...on Fulfillment{id} ...on FulfillmentStateTransitionError{errorCode message transitionError} } }',
	{ i => $fulfilment->{id} });
later('90 minutes');
later('92 minutes');
is(subjects(), join(', ', 'Welcome to The shop', 'You left something in your cart', "Your order $order->{code}", "Order $order->{code} is paid", "Order $order->{code} is on its way"),
	'mails about the order, in its order');

# ---- and nothing more ----
later($_) for '25 hours', '3 days', '5 days';
is(scalar($sink->mails), 5, 'no reminder of a cart that was ordered');
is(sql(q{SELECT DISTINCT outcome FROM ecauto.runs('abandoned_cart')}), 'exit_if', 'the order ended them');
is(sql(q{SELECT count(*) FROM ecauto.runs() WHERE state IN ('failed', 'retry')}), '0', 'no run has failed');
is(sql(q{SELECT count(*) FROM ecauto.messages() WHERE state <> 'delivered'}), '0', 'all was delivered');

$shop->stop;
$node->stop;
done_testing();

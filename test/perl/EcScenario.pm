# EcScenario: what must hold for every shop that a preset knows, on the real
# shop under traffic through its own HTTP API.
#
#	use EcScenario;
#	EcScenario::run('vendure', plain => {'order.placed' => 'SELECT count(*) ...', ...}, ...);
#
# plain: for each kind of event a query over the shop's own tables that says how
# many there must be.  counts: which of the driver's counts says the same.
# available: a query for sku and what can be sold of it.  price: asks the shop's
# API for a price, price_shown and shown: what it says to an amount.  copies: a
# query for how many copies of prices differ from them.  pairs, showable (both
# optional): what ec_bought() of EcHistory.pm wants.
package EcScenario;

use strict;
use warnings;
use EcHistory;
use EcLive;
use EcTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($shop, $node, $sink);

sub sql { return $node->safe_psql($shop->database, $_[0]); }

# The shop's schema as pg_dump writes it.
sub schema
{
	my ($out) = run_command([ 'pg_dump', '-s', '-n', 'public', $node->connstr($shop->database) ]);
	$out =~ s/^\\(?:un)?restrict .*$//mg;    # a random word, in newer minor versions
	return $out;
}

# Columns that the queries bound to the roles read, as the server understands
# them, and those in which the sources look: what -- @table lines must say.
sub columns_read
{
	return sql(q{
		BEGIN;
		CREATE SCHEMA looked_at;
		DO $$
		DECLARE
			b record;
		BEGIN
			FOR b IN SELECT * FROM ecauto_data.role_binding LOOP
				EXECUTE format('SET LOCAL search_path = %s', b.search_path);
				EXECUTE format('CREATE VIEW looked_at.%I AS %s', b.role, b.query);
			END LOOP;
		END $$;
		RESET search_path;
		SELECT c.relname, a.attname
		FROM pg_depend d
		JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
		JOIN pg_class v ON v.oid = w.ev_class AND v.relnamespace = 'looked_at'::regnamespace
		JOIN pg_class c ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND c.oid <> v.oid
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid AND a.attnum > 0
		UNION SELECT table_name, key_column FROM ecauto_data.source
		ORDER BY 1, 2;
		ROLLBACK});
}

# Mail to customers at each step of an order, and an order to the supplier when
# the first piece of a sku is sold.
sub automate
{
	my ($available) = @_;

	$sink = ec_sink();
	sql('CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url $$' . $sink->smtp_url . '$$, sender $$Shop <shop@example.test>$$)');
	sql('CREATE SERVER supplier FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url $$' . $sink->http_url . '$$)');
	sql("SELECT ecauto.set_order_mail('order.$_')") for qw(placed paid fulfilled cancelled);
	my $policies = sql("
		CREATE TEMP TABLE goods (sku, available) AS $available;
		WITH set AS MATERIALIZED (SELECT ecauto.set_stock_policy(sku, available - 1, 10, 'supplier') FROM goods WHERE available >= 1)
		SELECT count(*) FROM set");
	cmp_ok($policies, '>', 0, 'stock policies are set');
	return;
}

# What supplier, manager and customers were sent is what the events ask for.
sub received
{
	my $steps = sql(q{
		SELECT count(*) FROM ecauto.events()
		WHERE kind IN ('order.placed', 'order.paid', 'order.fulfilled', 'order.cancelled')});
	my $crossings = sql(q{
		SELECT count(*) FROM ecauto.events(kind => 'stock.changed') e JOIN ecauto_data.stock_policy p ON p.sku = e.sku
		WHERE (e.old ->> 'available')::numeric > p.reorder_point AND (e.new ->> 'available')::numeric <= p.reorder_point});

	cmp_ok($crossings, '>', 0, 'stock fell to a reorder point');
	$sink->wait_for(http => $crossings);
	$sink->wait_for(smtp => $steps + $crossings);
	ok( ec_wait($node, $shop->database, q{SELECT NOT EXISTS (SELECT FROM ecauto.messages() WHERE state <> 'delivered')}),
		'the outbox is drained');
	my %keys = map { ($_->{headers}{'idempotency-key'} // '') => 1 } $sink->requests;
	is(scalar($sink->requests), $crossings, 'the supplier got one order for each time that stock fell to its reorder point');
	is(scalar(keys %keys), $crossings, 'each with its own idempotency key');
	is(scalar($sink->mails), $steps + $crossings, 'one mail for each step of an order, and one to the manager for each reorder');
	return;
}

sub run
{
	my ($name, %option) = @_;

	$shop = EcLive->new($name);
	# The worker looks at every change as soon as it is committed: shops that
	# place one order in many transactions are seen in between.
	$node = ec_node('main', conf => { %{ $shop->conf }, 'ecauto.settle_time' => 0, 'ecauto.databases' => $shop->database,
			'ecauto.manager_mail' => 'manager@example.test' });
	$shop->create($node, products => 30);
	my $untouched = schema();

	# ---- recognised and attached ----
	sql('CREATE EXTENSION ecauto');
	is(sql('SELECT preset, score, missing FROM ecauto.detect_shop()'), "$name|1.000|{}", 'the preset is found, and no other');
	my $report = sql("SELECT format('%s %s', item, state) FROM ecauto.attach_shop('$name')");
	like($report, qr/^$_ bound$/m, "role $_ is bound") for @{ $option{roles} };
	like($report, qr/^$_ missing$/m, "role $_ is missing") for qw(cost consent);
	like($report, qr/^$_ proved$/m, "writer $_ is proved") for @{ $option{writers} };
	is(sql(q{SELECT t.table_name, c FROM ecauto.preset_tables() t, unnest(t.columns) c WHERE t.preset = '} . $name . q{' ORDER BY 1, 2}),
		columns_read(), 'the preset names the columns that it reads');
	is(sql('SELECT events FROM ecauto.tick()'), '0', 'nothing has happened yet');
	is(sql('SELECT bool_and(ok) FROM ecauto.check_shop()'), 't', 'all is well');

	automate($option{available});

	# ---- traffic ----
	$shop->start;
	my $counts = $shop->traffic(ORDERS => 20, SEED => 1, CONC => 2);
	is($counts->{errors}, 0, 'traffic without errors');
	cmp_ok($counts->{orders}, '>=', 20, 'twenty orders or, with two customers at once, one more');
	sql('SELECT ecauto.tick()');
	for my $kind (sort keys %{ $option{counts} })
	{
		my $events = sql("SELECT count(*) FROM ecauto.events(kind => '$kind')");
		is($events, $counts->{ $option{counts}{$kind} }, "$kind: as many as the driver did");
		is($events, sql($option{plain}{$kind}), "$kind: as many as the shop's tables say");
		is(sql("SELECT count(DISTINCT key) FROM ecauto.events(kind => '$kind')"), $events, "$kind: once for each");
	}
	for my $what (sort keys %{ $option{same} })
	{
		is(sql($option{same}{$what}[0]), sql($option{same}{$what}[1]), $what);
	}
	is(sql('SELECT ecauto.resync()'), '0', 'comparing everything finds nothing that was missed');
	is(sql('SELECT bool_and(ok) FROM ecauto.check_shop()'), 't', 'all is still well');

	received();

	# ---- what ecauto writes ----
	my ($sku, $currency) = split /\|/, sql("SELECT key, currency FROM ecauto_data.seen_price WHERE list_key = '' ORDER BY 1, 2 LIMIT 1");
	my $statement = sql("SELECT statement FROM ecauto_data.writer WHERE action = 'set_price'");
	sql("PREPARE set_price (text, numeric, text) AS $statement; EXECUTE set_price('$sku', 12.34, '$currency')");
	is($option{price}->($shop, $sku), $option{price_shown}, 'a price that was written is what the shop shows');
	ok(ec_wait($node, $shop->database, "SELECT new ->> 'amount' FROM ecauto.events(kind => 'price.changed') WHERE key = '$sku'", '12.34'), 'and what its event tells');

	# ---- prices made from a cost table ----
	sql(q{
		CREATE SCHEMA costs;
		CREATE TABLE costs.cost AS SELECT DISTINCT ON (key) key AS sku, 10 + length(key) + row_number() OVER (ORDER BY key) AS cost, currency
			FROM ecauto_data.seen_price WHERE list_key = '' AND currency = '} . $currency . q{' ORDER BY key});
	sql(q{SELECT ecauto.bind_role('cost', 'SELECT sku AS key, cost, currency FROM costs.cost')});
	sql('SELECT ecauto.set_vat_rate(20)');
	sql(qq{SELECT ecauto.create_price_rule('all', '{"markup": 50, "currency": "$currency"}')});
	my $wanted = q{SELECT c.sku, trim_scale(round(c.cost * 1.5 * CASE WHEN p.tax_included THEN 1.2 ELSE 1 END, 2))
		FROM costs.cost c JOIN ecauto_data.seen_price p ON p.key = c.sku AND p.currency = c.currency AND p.list_key = '' ORDER BY c.sku};
	is(sql('SELECT sku, trim_scale(new_price) FROM ecauto.reprice(true) ORDER BY sku'), sql($wanted), 'prices are made from costs, all of them');
	for my $line ((split /\n/, sql($wanted))[ 0 .. 2 ])
	{
		my ($key, $amount) = split /\|/, $line;
		is($option{price}->($shop, $key), $option{shown}->($amount), "the shop's own API shows the new price of $key");
	}
	is(sql($option{copies}), '0', 'as do the copies of it that the shop keeps');
	ok(ec_wait($node, $shop->database, q{SELECT count(*) FROM ecauto.events(kind => 'price.changed') e JOIN costs.cost c ON c.sku = e.key AND round(c.cost * 1.5, 2) <= (e.new ->> 'amount')::numeric AND e.new ->> 'currency' = c.currency},
			sql('SELECT count(*) FROM costs.cost')), 'own writes are seen once');
	is(sql('SELECT count(*) FROM ecauto.reprice(true)'), '0', 'and lead to no other');
	sql('SELECT ecauto.tick()');
	is(sql(q{SELECT count(*) FROM ecauto_data.price_history h JOIN ecauto_data.price_series s USING (series_id) JOIN costs.cost c USING (sku, currency) WHERE s.list_key = '' AND upper_inf(h.period) AND h.amount >= round(c.cost * 1.5, 2)}),
		sql('SELECT count(*) FROM costs.cost'), 'the history has them');

	# ---- let go ----
	sql('SELECT ecauto.detach_shop()');
	is(schema(), $untouched, 'the shop is as it was');
	my $events = sql('SELECT count(*) FROM ecauto.events()');
	$counts = $shop->traffic(ORDERS => 1, SEED => 2, CONC => 1);
	is($counts->{orders}, 1, 'and goes on');
	sql('SELECT ecauto.tick()');
	is(sql('SELECT count(*) FROM ecauto.events()'), $events, 'unseen');

	# ---- again, as if never before, with a year of orders ----
	if ($option{pairs})
	{
		sql('DROP EXTENSION ecauto CASCADE; DROP SCHEMA ecauto_data CASCADE');
		ec_bulk($node, $shop, 2000);
		ec_getting_started($node, $shop, $sink);
		ec_bought($node, $shop->database, $option{pairs}, $option{showable});
		$counts = $shop->traffic(ORDERS => 5, SEED => 3, CONC => 1);
		is($counts->{orders}, 5, 'more orders come');
		sql('SELECT ecauto.tick()');
		sql('SELECT ecauto.build_recommendations()');
		ec_bought($node, $shop->database, $option{pairs}, $option{showable});
	}

	$shop->stop;
	$node->stop;
	done_testing();
	return;
}

1;

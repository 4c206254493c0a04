# A year of a real shop (UCI Online Retail, 541,909 lines) in a hand-made
# schema, bound by bind_table(): every order is seen once, totals agree with
# plain SQL.
#
# The rule for cancellations: an invoice whose number begins with C gives money
# back.  If the same customer has placed an earlier invoice of exactly that
# value that none has cancelled yet, the latest of these is cancelled; else the
# amount is refunded on his latest earlier invoice, as far as it was paid; what
# is left over (goods bought before the data begins) belongs to no order.
use strict;
use warnings;
use EcTest;
use Test::More;

my $data = ec_shared('data/online_retail') or plan skip_all => 'the Online Retail data is not at hand';
my $node = ec_node('main', conf => { 'ecauto.settle_time' => 0, 'max_wal_size' => '4GB', 'work_mem' => '64MB' });

sub sql { return $node->safe_psql('postgres', $_[0]); }

IPC::Run::run([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', 'load.sql', $node->connstr('postgres') ],
	init => sub { chdir $data or die $! }) or die 'could not load the data';
is(sql('SELECT count(*) FROM online_retail'), '541909', 'the data is whole');

# ---- the shop ----
sql(q{
	CREATE TABLE product (code text PRIMARY KEY, title text NOT NULL);
	INSERT INTO product SELECT stock_code, coalesce(max(description), '?') FROM online_retail GROUP BY 1;
	CREATE TABLE price (code text PRIMARY KEY, amount numeric NOT NULL);
	INSERT INTO price SELECT stock_code, (percentile_disc(0.5) WITHIN GROUP (ORDER BY unit_price))::numeric FROM online_retail GROUP BY 1;
	CREATE TABLE stock (code text PRIMARY KEY, qty int NOT NULL);
	INSERT INTO stock SELECT stock_code, 1000000 FROM online_retail GROUP BY 1;
	CREATE TABLE customer (id int PRIMARY KEY, country text, email text NOT NULL, created timestamptz NOT NULL);
	INSERT INTO customer SELECT customer_id, min(country), 'c' || customer_id || '@retail.example', min(invoice_date) AT TIME ZONE 'Europe/London'
	FROM online_retail WHERE customer_id IS NOT NULL GROUP BY 1;
	CREATE TABLE orders (
		invoice text PRIMARY KEY, customer_id int, email text, currency text NOT NULL DEFAULT 'GBP', total numeric NOT NULL,
		paid numeric NOT NULL, refunded numeric NOT NULL DEFAULT 0, cancelled boolean NOT NULL DEFAULT false, placed timestamptz NOT NULL);
	CREATE TABLE order_line (id bigserial PRIMARY KEY, invoice text NOT NULL, code text NOT NULL, qty int NOT NULL, unit_price numeric NOT NULL);
	CREATE INDEX ON order_line (invoice);
	-- all but the goods: what the year brought comes later
	CREATE VIEW sale AS
		SELECT invoice_no, max(customer_id) AS customer_id, sum(quantity * unit_price::numeric) AS value, min(invoice_date) AT TIME ZONE 'Europe/London' AS at
		FROM online_retail WHERE invoice_no ~ '^[0-9]' GROUP BY 1;
	CREATE TABLE credit AS
		SELECT invoice_no, max(customer_id) AS customer_id, -sum(quantity * unit_price::numeric) AS value, min(invoice_date) AT TIME ZONE 'Europe/London' AS at
		FROM online_retail WHERE invoice_no ~ '^C' GROUP BY 1;
	ANALYZE;

	SELECT ecauto.bind_table('product', 'product', '{"key": "code", "title": "title"}');
	SELECT ecauto.bind_table('sku', 'product', '{"key": "code", "product_key": "code", "sku": "code"}');
	SELECT ecauto.bind_table('price', 'price', $${"key": "code", "currency": "'GBP'", "amount": "amount", "tax_included": true}$$);
	SELECT ecauto.bind_table('stock', 'stock', '{"key": "code", "on_hand": "qty"}');
	SELECT ecauto.bind_table('customer', 'customer', '{"key": "id", "email": "email", "country": "country", "created_at": "created"}');
	SELECT ecauto.bind_table('order', 'orders', '{"key": "invoice", "number": "invoice", "customer_key": "customer_id", "email": "email",
		"currency": "currency", "total": "total", "paid": "paid", "refunded": "refunded", "cancelled": "cancelled", "placed_at": "placed"}');
	SELECT ecauto.bind_table('order_line', 'order_line', '{"key": "id", "order_key": "invoice", "sku_key": "code", "qty": "qty", "unit_price": "unit_price"}');
});
sql("SELECT ecauto.attach_shop('custom')");
is(sql("SELECT count(*) FROM ecauto.events()"), '0', 'attached before the first sale, nothing has happened');

# ---- the year, a month a transaction, with a tick after some of them ----
for my $month (0 .. 12)
{
	sql(qq{
		BEGIN;
		CREATE TEMP TABLE now AS SELECT * FROM sale
			WHERE at >= timestamptz '2010-12-01 00:00:00 Europe/London' + $month * interval '1 month'
			AND at < timestamptz '2010-12-01 00:00:00 Europe/London' + ($month + 1) * interval '1 month';
		INSERT INTO orders (invoice, customer_id, email, total, paid, placed)
		SELECT n.invoice_no, n.customer_id, c.email, n.value, 0, n.at FROM now n LEFT JOIN customer c ON c.id = n.customer_id;
		INSERT INTO order_line (invoice, code, qty, unit_price)
		SELECT r.invoice_no, r.stock_code, r.quantity, r.unit_price FROM online_retail r JOIN now n USING (invoice_no);
		UPDATE stock s SET qty = s.qty - x.qty FROM (SELECT code, sum(qty) AS qty FROM order_line JOIN now ON invoice = invoice_no GROUP BY 1) x WHERE x.code = s.code;
		COMMIT;
	});
	sql('SELECT ecauto.tick()') if $month % 3 == 0;
	sql('UPDATE orders SET paid = total WHERE paid <> total');
	sql('SELECT ecauto.tick()') if $month % 2 == 0;
}
sql('SELECT ecauto.tick()');

is(sql("SELECT count(*) FROM ecauto.events(kind => 'order.placed')"), sql('SELECT count(*) FROM sale'), 'as many orders placed as invoices');
is(sql("SELECT count(DISTINCT key) FROM ecauto.events(kind => 'order.placed')"), sql('SELECT count(*) FROM sale'), 'each once');
is(sql("SELECT count(*) FROM ecauto.events(kind => 'order.placed') e FULL JOIN sale s ON s.invoice_no = e.key
	WHERE (e.new ->> 'total')::numeric IS DISTINCT FROM s.value"), '0', 'with its total');
is(sql(q{
	SELECT count(*) FROM
		(SELECT coalesce(customer, '') AS customer, sum((new ->> 'total')::numeric) AS total, count(*) AS n FROM ecauto.events(kind => 'order.placed') GROUP BY 1) e
		FULL JOIN (SELECT coalesce(customer_id::text, '') AS customer, sum(value) AS total, count(*) AS n FROM sale GROUP BY 1) s USING (customer)
	WHERE (e.total, e.n) IS DISTINCT FROM (s.total, s.n)}), '0', 'totals per customer equal plain SQL over the data');
is(sql("SELECT count(DISTINCT key) FROM ecauto.events(kind => 'order.paid')"), sql('SELECT count(*) FROM orders WHERE paid >= total AND placed IS NOT NULL'), 'paid as often as they are paid');
is(sql("SELECT count(*) FROM ecauto.events(kind => 'order.paid')"), sql("SELECT count(DISTINCT key) FROM ecauto.events(kind => 'order.paid')"), 'once each');

# ---- cancellations, by the rule above ----
sql(q{
	DO $$
	DECLARE
		c record;
		o text;
	BEGIN
		FOR c IN SELECT * FROM credit WHERE customer_id IS NOT NULL AND value > 0 ORDER BY at, invoice_no LOOP
			SELECT invoice INTO o FROM orders
			WHERE customer_id = c.customer_id AND placed <= c.at AND total = c.value AND NOT cancelled AND refunded = 0
			ORDER BY placed DESC, invoice DESC LIMIT 1;
			IF FOUND THEN
				UPDATE orders SET cancelled = true WHERE invoice = o;
			ELSE
				SELECT invoice INTO o FROM orders
				WHERE customer_id = c.customer_id AND placed <= c.at AND NOT cancelled AND refunded < paid
				ORDER BY placed DESC, invoice DESC LIMIT 1;
				IF FOUND THEN
					UPDATE orders SET refunded = least(paid, refunded + c.value) WHERE invoice = o;
				END IF;
			END IF;
		END LOOP;
	END $$;
});
sql('SELECT ecauto.tick()');
cmp_ok(sql('SELECT count(*) FROM orders WHERE cancelled'), '>', 100, 'some orders were cancelled');
is(sql("SELECT count(*) FROM ecauto.events(kind => 'order.cancelled')"), sql('SELECT count(*) FROM orders WHERE cancelled'), 'each cancelled order once');
is(sql("SELECT count(*) FROM ecauto.events(kind => 'order.refunded')"), sql('SELECT count(*) FROM orders WHERE refunded > 0 AND refunded >= paid'), 'each order refunded in whole once');
is(sql("SELECT count(*) FROM ecauto.events(kind => 'order.partially_refunded')"), sql('SELECT count(*) FROM orders WHERE refunded > 0 AND refunded < paid'), 'in part, as seen by one tick');
is(sql(q{
	SELECT count(*) FROM (SELECT key, max((new ->> 'refunded')::numeric) AS refunded FROM ecauto.events()
		WHERE kind IN ('order.refunded', 'order.partially_refunded') GROUP BY 1) e
	FULL JOIN (SELECT invoice AS key, refunded FROM orders WHERE refunded > 0) o USING (key)
	WHERE e.refunded IS DISTINCT FROM o.refunded}), '0', 'with what was given back');

is(sql("SELECT count(*) FROM ecauto_data.seen_stock s JOIN stock t ON t.code = s.key WHERE s.on_hand <> t.qty"), '0', 'stock as seen is stock as is');
is(sql('SELECT ecauto.resync()'), '0', 'comparing everything again finds nothing');

$node->stop;
done_testing();

# The shop migrates its tables while ecauto is attached: the migration passes,
# the role says what is missing, and heals with every missed edge told once.
use strict;
use warnings;
use EcTest;
use Test::More;

my $node = ec_node('main', conf => { 'ecauto.settle_time' => 0 });
$node->safe_psql('postgres', "BEGIN;\n\\i test/pgtap/event/shop.psql\nCOMMIT;\n");

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql('UPDATE s.orders SET paid = 0 WHERE id = 1; SELECT ecauto.tick()');

# ---- a renamed column ----
is((ec_sqlstate($node, 'postgres', 'ALTER TABLE s.orders RENAME COLUMN total TO grand_total;'))[0], '00000', 'a bound column is renamed');
sql('UPDATE s.orders SET paid = 10 WHERE id = 1');
sql("INSERT INTO s.orders (id, grand_total) VALUES (50, 10)");
sql('UPDATE s.stock SET qty = 1 WHERE variant_id = 1');
is(sql('SELECT events FROM ecauto.tick()'), '1', 'other roles go on');
is(sql("SELECT ok FROM ecauto.check_shop() WHERE role = 'order'"), 'f', 'the role is broken');
like(sql("SELECT detail FROM ecauto.check_shop() WHERE role = 'order'"), qr/column "total" does not exist/, 'and check_shop() names the column');
like(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/cannot follow role "order" any more: column "total" does not exist/, 'so does the server log');
sql('UPDATE s.orders SET sent = $$none$$ WHERE id = 2');
is(sql('SELECT events FROM ecauto.tick()'), '0', 'broken is broken');
sql(q{SET search_path = s; SELECT ecauto.bind_role('order', $$
	SELECT id AS key, id::text AS number, customer_id AS customer_key, mail AS email, cart_id AS cart_key,
		'EUR' AS currency, grand_total AS total, placed AS placed_at, paid, refunded, cancelled, sent AS fulfilment
	FROM orders $$)});
is(sql('SELECT events FROM ecauto.tick()'), '2', 'bound again, the missed edges appear');
is(sql("SELECT string_agg(kind || ' ' || key, ', ' ORDER BY event_id) FROM ecauto.events() WHERE role = 'order'"),
	'order.paid 1, order.placed 50', 'each');
is(sql('SELECT events FROM ecauto.tick()'), '0', 'once');
is(sql("SELECT ok FROM ecauto.check_shop() WHERE role = 'order'"), 't', 'the role is well');

# ---- a changed type, a dropped column, one that comes back ----
is((ec_sqlstate($node, 'postgres', 'ALTER TABLE s.orders ALTER COLUMN id TYPE text;'))[0], '00000', 'a key becomes text');
sql("INSERT INTO s.orders (id, grand_total) VALUES ('A-51', 10)");
sql('SELECT ecauto.tick()');
sql(q{SET search_path = s; SELECT ecauto.bind_role('order', $$
	SELECT id AS key, id::text AS number, customer_id AS customer_key, mail AS email, cart_id AS cart_key,
		'EUR' AS currency, grand_total AS total, placed AS placed_at, paid, refunded, cancelled, sent AS fulfilment
	FROM orders $$); SELECT ecauto.tick()});
is(sql("SELECT string_agg(key, ' ') FROM ecauto.events(kind => 'order.placed')"), '50 A-51', 'new keys are seen, old ones are the same');

is((ec_sqlstate($node, 'postgres', 'ALTER TABLE s.stock DROP COLUMN held;'))[0], '00000', 'a bound column is dropped');
sql('UPDATE s.stock SET qty = 0 WHERE variant_id = 2');
is(sql('SELECT events FROM ecauto.tick()'), '0', 'no events');
like(sql("SELECT detail FROM ecauto.check_shop() WHERE role = 'stock'"), qr/"?held"? does not exist/, 'and it is named');
sql('ALTER TABLE s.stock ADD COLUMN held int NOT NULL DEFAULT 0');
is(sql('SELECT events FROM ecauto.tick()'), '2', 'it comes back, and the role heals by itself');

# ---- a table that is gone ----
is((ec_sqlstate($node, 'postgres', 'DROP TABLE s.customer;'))[0], '00000', 'a bound table is dropped');
is(sql('SELECT events FROM ecauto.tick()'), '0', 'which is not the end');
like(sql("SELECT detail FROM ecauto.check_shop() WHERE role = 'customer'"), qr/relation ".*customer" does not exist/, 'it is named');

$node->stop;
done_testing();

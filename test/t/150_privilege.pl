# The worker is a superuser, the owner of the state need not be one: whatever he
# writes into his own tables, he gets no rights that he does not have.
use strict;
use warnings;
use EcTest;
use Test::More;

my $node = ec_node('main', extension => 0, conf => { 'ecauto.settle_time' => 0 });

# as the superuser who runs ticks, and as the owner of the state
sub boss { return $node->safe_psql('shop', $_[0]); }
sub keeper { return $node->safe_psql('shop', $_[0], extra_params => [ '-U', 'keeper' ]); }

# what a statement of the owner's is refused with
sub keeper_state
{
	my ($sql) = @_;
	my ($rc, $out, $err) = $node->psql('shop', $sql, extra_params => [ '-U', 'keeper' ], on_error_stop => 1);
	return $err;
}

$node->safe_psql('postgres', q{CREATE ROLE keeper LOGIN; CREATE ROLE visitor LOGIN; CREATE DATABASE shop OWNER keeper});
boss(q{CREATE EXTENSION ecauto; GRANT USAGE ON SCHEMA ecauto TO keeper, visitor; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ecauto TO keeper; GRANT SET ON PARAMETER ecauto.settle_time TO keeper});
keeper('SELECT ecauto.setup()');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-c', 'BEGIN', '-f', 'test/pgtap/event/shop.psql', '-c', 'COMMIT', $node->connstr('shop') . ' user=keeper' ],
	'a shop of somebody who is no superuser');
is(boss('UPDATE s.stock SET qty = 9 WHERE variant_id = 1; SELECT events FROM ecauto.tick()'), '1', 'a superuser runs the tick');

# ---- SQL that would run as somebody else ----
keeper(q{UPDATE ecauto_data.role_binding SET definer = 'postgres', resync = true,
	query = $$ SELECT 'x' AS key, pg_read_file('PG_VERSION') AS title $$ WHERE role = 'product'});
boss('SELECT ecauto.tick()');
is(boss(q{SELECT count(*) FROM ecauto_data.seen_product WHERE key = 'x'}), '0', 'a query does not run as a superuser because a table says so');
is(boss(q{SELECT broken_code, broken_message FROM ecauto_data.role_binding WHERE role = 'product'}),
	'42501|permission denied to run the query of role "product" as role "postgres"', 'the role is broken, and says why');
keeper(q{UPDATE ecauto_data.role_binding SET definer = 'visitor' WHERE role = 'product'});
boss('SELECT ecauto.tick()');
like(boss(q{SELECT broken_message FROM ecauto_data.role_binding WHERE role = 'product'}), qr/as role "visitor"/, 'nor as any other role');
boss('GRANT visitor TO keeper; GRANT USAGE ON SCHEMA s TO visitor; GRANT SELECT ON s.product TO visitor');
keeper(q{UPDATE ecauto_data.role_binding SET query = 'SELECT id AS key, title, body AS description, maker AS brand, on_sale AS active FROM s.product' WHERE role = 'product'});
boss('SELECT ecauto.tick()');
is(boss(q{SELECT broken_message IS NULL FROM ecauto_data.role_binding WHERE role = 'product'}), 't', 'unless it is one he could SET ROLE to');

keeper(q{UPDATE ecauto_data.source SET definer = 'postgres', resolve = $$ SELECT pg_read_file('PG_VERSION') WHERE $1 <> '' $$ WHERE role = 'stock'});
boss('UPDATE s.stock SET qty = 8 WHERE variant_id = 1; SELECT ecauto.tick()');
like(boss(q{SELECT broken_message FROM ecauto_data.source WHERE role = 'stock'}), qr/^permission denied to run the resolving query/, 'a resolving query neither');
keeper(q{UPDATE ecauto_data.source SET definer = 'keeper', resolve = NULL WHERE role = 'stock'});

my ($state, $message) = ec_sqlstate($node, 'shop', q{SELECT ecauto.bind_role('product', 'SELECT id AS key, title FROM s.product');});
is($state, '42501', 'a superuser does not leave his rights in the tables of others');
like($message, qr/HINT:  Run SET ROLE keeper/, 'and learns what to do');
boss(q{SET ROLE keeper; SELECT ecauto.bind_role('product', 'SELECT id AS key, title FROM s.product')});

# ---- SQL that would run later ----
keeper(q{
	CREATE TABLE s.said (who name);
	GRANT INSERT ON s.said TO PUBLIC;
	CREATE FUNCTION s.say() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO s.said VALUES (current_user); RETURN NULL; END $$;
	CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON ecauto_data.seen_stock DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION s.say();
	CREATE TRIGGER now AFTER UPDATE ON ecauto_data.seen_stock FOR EACH ROW EXECUTE FUNCTION s.say()});
boss('UPDATE s.stock SET qty = 7 WHERE variant_id = 1');
$node->psql('shop', 'SELECT ecauto.tick()');
is(boss(q{SELECT count(*) FROM s.said WHERE who <> 'keeper'}), '0', 'a deferred trigger of his does not run as who ends the transaction');
keeper('DROP TRIGGER later ON ecauto_data.seen_stock');
boss('UPDATE s.stock SET qty = 6 WHERE variant_id = 1; SELECT ecauto.tick()');
is(boss('SELECT DISTINCT who FROM s.said'), 'keeper', 'other triggers run as he');
keeper('DROP TRIGGER now ON ecauto_data.seen_stock');

# ---- a function in a role query ----
keeper(q{
	CREATE FUNCTION s.climb(id int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'RESET ROLE'; RETURN id; END $$;
	CREATE FUNCTION s.borrow(id int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('role', 'postgres', true); RETURN id; END $$;
	CREATE FUNCTION s.hide(id int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'CREATE TEMP TABLE stock (a int)'; RETURN id; END $$});
for my $trick ('climb', 'borrow', 'hide')
{
	keeper("UPDATE ecauto_data.role_binding SET resync = true, query = 'SELECT s.$trick(id) AS key, title FROM s.product' WHERE role = 'product'");
	boss('SELECT ecauto.tick()');
	like(boss(q{SELECT broken_message FROM ecauto_data.role_binding WHERE role = 'product'}), qr/within security-(restricted operation|definer function)/, "no way out by $trick()");
}
keeper(q{CREATE OR REPLACE FUNCTION s.climb(id int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM set_config('role', 'postgres', true); RETURN id; END $$;
	UPDATE ecauto_data.role_binding SET resync = true, query = 'SELECT id AS key, title FROM s.product WHERE s.climb(1) = 1' WHERE role = 'product'});
boss('SELECT ecauto.tick()');
like(boss(q{SELECT broken_message FROM ecauto_data.role_binding WHERE role = 'product'}), qr/within security-/, 'nor while a plan is made');
like(keeper_state(q{SELECT ecauto.bind_role('product', 'SELECT s.borrow(id) AS key, title FROM s.product')}), qr/within security-/, 'nor when it is bound');
like(keeper_state(q{SELECT ecauto.bind_write('set_active', 'UPDATE s.product SET on_sale = $2 WHERE id = s.borrow($1::int)')}), qr/within security-/, 'nor in a writer that is proved');

# ---- names that somebody else made first ----
boss('GRANT CREATE ON SCHEMA s TO visitor; GRANT CREATE ON SCHEMA public TO visitor');
$node->safe_psql('shop', q{
	CREATE FUNCTION public.evil(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'caught as %', current_user; END $$;
	CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.evil);
	CREATE FUNCTION public.coalesce_evil(text) RETURNS text LANGUAGE sql AS 'SELECT $1'}, extra_params => [ '-U', 'visitor' ]);
is($node->safe_psql('shop', "SET search_path = public, pg_catalog; SELECT count(*) > 0 FROM ecauto.check_shop(); SELECT count(*) >= 0 FROM ecauto.events(); SELECT count(*) > 0 FROM ecauto.status(); SELECT ecauto.resync('stock')"),
	"t\nt\nt\n0", 'an operator in front of the search_path is not used');

# ---- who has only USAGE ----
for my $call ('tick()', 'events()', 'check_shop()', 'status()', 'resync()', 'drop_old_events()', "set_order_mail('order.placed')",
	"set_stock_policy('1', 1, 1, 'x')", "drop_stock_policy('1')", 'capture_triggers(), ecauto_data.shop', "resolve_source(1, '{1}')",
	"action_supplier_order('{}', '{}')", "ensure_flow('x', '{}')", 'setup()')
{
	my ($rc, $out, $err) = $node->psql('shop', "SELECT * FROM ecauto.$call", extra_params => [ '-U', 'visitor' ]);
	like($err, qr/permission denied/, "a visitor cannot call $call");
}
is($node->safe_psql('shop', "SELECT ecauto.track('view', 'c', 's', '{}', 'session') IS NOT NULL; SELECT ecauto.identify('session', 'c')", extra_params => [ '-U', 'visitor' ]),
	"t\n", 'he can tell what he sees');

$node->stop;
done_testing();

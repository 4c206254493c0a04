# pg_dump | psql into a new database: state, rules and endpoints are there, and
# capture works after attach_shop().
use strict;
use warnings;
use EcTest;
use Test::More;

my $node = ec_node('main', conf => { 'ecauto.settle_time' => 0 });
$node->safe_psql('postgres', "BEGIN;\n\\i test/pgtap/event/shop.psql\nCOMMIT;\n");
$node->safe_psql('postgres', q{
	CREATE SERVER supplier FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:9/orders');
	CREATE USER MAPPING FOR CURRENT_USER SERVER supplier OPTIONS (bearer_token 'secret');
	SELECT ecauto.set_stock_policy('V1', 5, 20, 'supplier');
	SELECT ecauto.set_order_mail('order.placed');
	SELECT ecauto.track('view', 'c1', 's1');
	UPDATE s.stock SET qty = 9 WHERE variant_id = 1;
	SELECT ecauto.tick();
	-- noted, and not yet taken when the dump is made
	UPDATE s.stock SET qty = 8 WHERE variant_id = 1;
});

my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('copy') ], 'psql takes it all');

my $state = q{
	SELECT format('%s|%s', c.relname, (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM ecauto_data.%I', c.relname), false, true, '')))[1])
	FROM pg_class c WHERE c.relnamespace = 'ecauto_data'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1};
is($node->safe_psql('copy', $state), $node->safe_psql('postgres', $state), 'every table of the state has its rows');
my $mapping = q{SELECT s.srvname, s.srvoptions, m.umoptions FROM pg_foreign_server s JOIN pg_user_mappings m ON m.srvid = s.oid ORDER BY 1};
is($node->safe_psql('copy', $mapping), $node->safe_psql('postgres', $mapping), 'endpoints have their options');
is($node->safe_psql('copy', 'SELECT ecauto.setup()'), $node->safe_psql('postgres', 'SELECT ecauto.setup()'), 'the state has its version');

$node->safe_psql('copy', "SELECT ecauto.attach_shop('custom'); SELECT ecauto.tick()");
is($node->safe_psql('copy', "SELECT count(*) FROM ecauto.events(kind => 'stock.changed')"), '2', 'what was noted in the dump is told');
$node->safe_psql('copy', 'UPDATE s.stock SET qty = 5 WHERE variant_id = 1');
$node->safe_psql('copy', 'SELECT ecauto.tick()');
is($node->safe_psql('copy', "SELECT count(*) FROM ecauto.messages('supplier')"), '1', 'and its own changes lead to an order');
is($node->safe_psql('postgres', "SELECT count(*) FROM ecauto.messages('supplier')"), '0', 'the first database knows nothing of that');

$node->stop;
done_testing();

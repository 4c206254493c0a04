# The state outlives the extension; its partitions; who makes it.
use strict;
use warnings;
use EcTest;
use Test::More;

my $node = ec_node('main', conf => { 'ecauto.settle_time' => 0, 'allow_in_place_tablespaces' => 'on' });
sub sql { return $node->safe_psql('postgres', "SET client_min_messages = warning;\n$_[0]"); }

sql("BEGIN;\n\\i test/pgtap/event/shop.psql\nCOMMIT;\n");

# ---- the extension goes and comes back ----
isnt((ec_sqlstate($node, 'postgres', 'DROP EXTENSION ecauto;'))[0], '00000', 'the extension is not dropped while it watches a shop');
sql('DROP EXTENSION ecauto CASCADE');
is(sql(q{SELECT count(*) FROM pg_trigger WHERE tgrelid::regclass::text LIKE 's.%' AND NOT tgisinternal}), '0', 'CASCADE takes the triggers along');
is(sql('UPDATE s.stock SET qty = 3 WHERE variant_id = 1; SELECT qty FROM s.stock WHERE variant_id = 1'), '3', 'the shop goes on');
sql('CREATE EXTENSION ecauto');
is(sql('SELECT events FROM ecauto.tick()'), '0', 'back again, nothing was noted');
like(sql(q{SELECT detail FROM ecauto.check_shop() WHERE role = 'stock'}), qr/"s\.stock" has no capture trigger; attach the shop again/, 'check_shop() says so');
like(sql(q{SELECT value FROM ecauto.status() WHERE item = 'capture gaps'}), qr/^9$/, 'and status()');
sql(q{SET search_path = s; SELECT ecauto.attach_shop('custom')});
is(sql(q{SELECT string_agg(kind || key, ' ') FROM ecauto.events()}), 'stock.changed1', 'attached again, what was missed is told');
is(sql('SELECT events FROM ecauto.tick()'), '0', 'once');
is(sql('UPDATE s.stock SET qty = 4 WHERE variant_id = 1; SELECT events FROM ecauto.tick()'), '1', 'and capture works');

# ---- partitions of the event table ----
sql("SET ecauto.clock = '2027-01-31 23:59:59.9 UTC'; SELECT ecauto.track('view')");
is(sql(q{SELECT tableoid::regclass FROM ecauto_data.event WHERE at >= '2027-01-01'}), 'ecauto_data.event_y2027m01', 'the last moment of a month in UTC');
sql(q{SET TimeZone = 'Pacific/Auckland'; SET ecauto.clock = '2027-02-01 12:59:59 Pacific/Auckland'; SELECT ecauto.track('view');
	SET ecauto.clock = '2027-02-01 13:00 Pacific/Auckland'; SELECT ecauto.track('view')});
is(sql(q{SELECT tableoid::regclass, count(*) FROM ecauto_data.event WHERE at >= '2027-01-01' GROUP BY 1 ORDER BY 1}),
	"ecauto_data.event_y2027m01|2\necauto_data.event_y2027m02|1", 'the same for whoever lives elsewhere');
sql(q{SET TimeZone = 'Europe/Warsaw'; SET ecauto.clock = '2027-03-28 01:30 UTC'; SELECT ecauto.track('view'); SET ecauto.clock = '2027-10-31 01:30 UTC'; SELECT ecauto.track('view')});
is(sql(q{SELECT count(*) FROM ecauto_data.event WHERE at IN ('2027-03-28 01:30 UTC', '2027-10-31 01:30 UTC')}), '2', 'in the hours that summer time takes and gives');

sql("SET ecauto.clock = '2028-05-10 UTC'; UPDATE s.stock SET qty = 5 WHERE variant_id = 1; SELECT ecauto.tick()");
is(sql(q{SELECT to_regclass('ecauto_data.event_y2028m06') IS NOT NULL}), 't', 'a tick makes the next month ahead');

# two sessions need the same new month
my $one = $node->background_psql('postgres');
my $two = $node->background_psql('postgres');
$one->query_safe("SET ecauto.clock = '2028-08-10 UTC'; BEGIN; SELECT ecauto.track('view')");
$two->query_until(qr/begun/, "\\echo begun\nSET ecauto.clock = '2028-08-11 UTC'; SELECT ecauto.track('view');\n");
ok(ec_wait($node, 'postgres', q{SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND locktype = 'advisory'}), 'the second waits for the first');
$one->query_safe('COMMIT');
$two->query_safe('SELECT 1');
is(sql(q{SELECT count(*) FROM ecauto_data.event_y2028m08}), '2', 'both events are in one partition');

# a transaction of the shop holds the events
$one->query_safe("BEGIN; SELECT ecauto.track('view')");
is((ec_sqlstate($node, 'postgres', "SET ecauto.clock = '2029-01-01 UTC'; SELECT ecauto.drop_old_events('1 month');"))[0], '55P03', 'dropping old events gives up before it holds up the shop');
$one->query_safe('COMMIT');
is(sql(q{SET ecauto.clock = '2029-01-01 UTC'; SELECT ecauto.drop_old_events('1 month') > 0; SELECT count(*) FROM ecauto_data.event}), "t\n0", 'and drops them later');
$_->quit for $one, $two;

# a session with a tablespace that is not for the owner of the state
sql(q{CREATE TABLESPACE elsewhere LOCATION ''; CREATE ROLE app LOGIN; GRANT CREATE ON TABLESPACE elsewhere TO app; GRANT USAGE ON SCHEMA ecauto TO app;
	SET default_tablespace = elsewhere; SET ecauto.clock = '2029-06-01 UTC'; SELECT ecauto.track('view')});
is(sql(q{SELECT reltablespace FROM pg_class WHERE relname = 'event_y2029m06'}), '0', 'partitions go where the database is');

# ---- many plans ----
# each query is executed with a plan that makes other plans while it runs
is(sql(q{
	CREATE FUNCTION s.tell() RETURNS boolean STABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM ecauto.track('view'); RETURN true; END $$;
	DO $$ BEGIN FOR i IN 1..300 LOOP
		PERFORM ecauto.bind_role('product', format('SELECT id AS key, title || %L AS title FROM s.product WHERE s.tell()', i));
	END LOOP; END $$;
	SELECT ecauto.bind_role('product', 'SELECT id AS key, title FROM s.product');
	SELECT sum(total_bytes) < 1000000 FROM pg_backend_memory_contexts WHERE name = 'ecauto plans'}), "10\nt", 'plans of queries that are gone go too');

# ---- the state is made by its owner ----
sql(q{CREATE ROLE keeper; CREATE DATABASE other});
$node->safe_psql('other', 'CREATE EXTENSION ecauto; CREATE SCHEMA ecauto_data AUTHORIZATION keeper; GRANT USAGE ON SCHEMA ecauto TO keeper');
my ($state, $message) = ec_sqlstate($node, 'other', 'SELECT ecauto.setup();');
is($state, '42501', 'a superuser does not put his tables into the schema of another');
like($message, qr/SET ROLE keeper first/, 'and learns what to do');
is($node->safe_psql('other', 'SET ROLE keeper; SELECT ecauto.setup(); RESET ROLE; SELECT ecauto.setup()'), "1\n1", 'he acts as he');
is($node->safe_psql('other', q{SELECT count(*) FROM pg_class WHERE relnamespace = 'ecauto_data'::regnamespace AND relowner <> 'keeper'::regrole}), '0', 'all of it is his');

# ---- the state goes ----
sql('DROP SCHEMA ecauto_data CASCADE');
is(sql('SELECT ecauto.setup(); SELECT events FROM ecauto.tick()'), "1\n0", 'made again, it knows of no shop');
is(sql(q{SELECT detail FROM ecauto.check_shop() WHERE role = 'shop'}), 'not attached: see ecauto.attach_shop()', 'as check_shop() says');
is(sql('UPDATE s.stock SET qty = 9 WHERE variant_id = 1; SELECT noted, events FROM ecauto.tick()'), '1|0', 'notes of triggers that are left mean nothing');

$node->stop;
done_testing();

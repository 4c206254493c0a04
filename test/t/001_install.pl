# Installing, setting up, dropping and installing again: code comes and goes,
# state stays.
use strict;
use warnings;
use EcTest;
use Test::More;

my $node = ec_node('main', extension => 0);

# ---- code ----
$node->safe_psql('postgres', 'CREATE EXTENSION ecauto');
is($node->safe_psql('postgres', "SELECT to_regnamespace('ecauto_data') IS NULL"), 't', 'CREATE EXTENSION makes no state');

is( $node->safe_psql(
		'postgres', q{
		SELECT string_agg(p.proname, ' ' ORDER BY 1)
		FROM pg_proc p
		WHERE p.pronamespace = 'ecauto'::regnamespace
		AND obj_description(p.oid, 'pg_proc') IS NULL}),
	'',
	'every function has a comment');

is( $node->safe_psql(
		'postgres', q{
		SELECT string_agg(p.proname, ' ' ORDER BY 1)
		FROM pg_proc p
		WHERE p.pronamespace = 'ecauto'::regnamespace
		AND p.prosecdef}),
	'',
	'no function runs with the rights of its owner');

is( $node->safe_psql(
		'postgres', q{
		SELECT string_agg(p.proname, ' ' ORDER BY 1)
		FROM pg_proc p
		WHERE p.pronamespace = 'ecauto'::regnamespace
		AND p.prolang IN (SELECT oid FROM pg_language WHERE lanname IN ('sql', 'plpgsql'))
		AND p.prosqlbody IS NULL
		AND p.proname <> 'run_due_jobs' -- it commits, which SET forbids; names its types in full
		AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)}),
	'',
	'no function written in SQL trusts the search_path of its caller');

# ---- state ----
my $version = $node->safe_psql('postgres', 'SELECT ecauto.setup()');
like($version, qr/^[1-9]\d*$/, 'setup() returns the version of the state');

my $inventory = q{
	SELECT c.relkind, c.relname, c.oid
	FROM pg_class c
	WHERE c.relnamespace = 'ecauto_data'::regnamespace
	ORDER BY 2};
my $before = $node->safe_psql('postgres', $inventory);
is($node->safe_psql('postgres', 'SELECT ecauto.setup()'), $version, 'setup() again returns the same');
is($node->safe_psql('postgres', $inventory), $before, 'and changes nothing');

is( $node->safe_psql(
		'postgres', q{
		SELECT count(*)
		FROM pg_depend d
		JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
		JOIN pg_class c ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
		WHERE e.extname = 'ecauto' AND c.relnamespace = 'ecauto_data'::regnamespace}),
	'0',
	'state does not belong to the extension');

is( $node->safe_psql(
		'postgres', q{
		SELECT string_agg(c.relname, ' ' ORDER BY 1)
		FROM pg_class c
		WHERE c.relnamespace = 'ecauto_data'::regnamespace
		AND c.relkind IN ('r', 'p') AND NOT c.relispartition
		AND obj_description(c.oid, 'pg_class') IS NULL}),
	'',
	'every table has a comment');

# ---- gone and back ----
$node->safe_psql('postgres', 'DROP EXTENSION ecauto');
is($node->safe_psql('postgres', $inventory), $before, 'DROP EXTENSION leaves the state alone');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON p.pronamespace = n.oid WHERE n.nspname = 'ecauto'"),
	'0', 'and takes the code');

$node->safe_psql('postgres', 'CREATE EXTENSION ecauto');
is($node->safe_psql('postgres', 'SELECT ecauto.setup()'), $version, 'the extension finds its state again');
is($node->safe_psql('postgres', $inventory), $before, 'as it was');

# ---- a state from the future ----
$node->safe_psql('postgres', 'INSERT INTO ecauto_data.schema_version (version) VALUES (1000)');
my ($state, $message) = ec_sqlstate($node, 'postgres', 'SELECT ecauto.setup();');
is($state, '55000', 'setup() refuses a state that is newer than the code');
like($message, qr/ALTER EXTENSION ecauto UPDATE/, 'and says what to do');

$node->stop;
done_testing();

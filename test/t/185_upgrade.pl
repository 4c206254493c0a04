# An update leads to what a fresh install makes, to the last comment; a library
# and SQL of different versions say so; what was released does not change.
use strict;
use warnings;
use EcTest;
use File::Path qw(make_path);
use PostgreSQL::Test::Utils;
use Test::More;

my $sharedir = `$ENV{PG_CONFIG} --sharedir`;
chomp $sharedir;
my $scripts = "$sharedir/extension";
my ($current) = slurp_file('ecauto.control') =~ /^default_version = '(.*)'$/m;
my @domains = slurp_file('src/modules.txt') =~ /^([a-z]+):/mg;
my @written;
END { my $status = $?; unlink @written; $? = $status; }

sub spew
{
	my ($path, $text) = @_;
	open(my $out, '>', $path) or die "could not write $path: $!";
	print $out $text;
	close $out or die "could not write $path: $!";
	return;
}

# a script into the server's directory, for this test only
sub script
{
	my ($name, $text) = @_;
	die "$scripts/$name is there" if -e "$scripts/$name";
	push @written, "$scripts/$name";
	return spew("$scripts/$name", $text);
}

my $node = ec_node('main', extension => 0);
my $databases = 0;

# a new database in which statements ran
sub database
{
	my (@statements) = @_;
	my $name = 'd' . ++$databases;
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, "SET client_min_messages = error; $_") for @statements;
	return $name;
}

sub fingerprint
{
	my ($database) = @_;
	my $out = $node->basedir . "/$database.fingerprint";
	$node->command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($database), '-f', 'test/fingerprint.psql', '-o', $out ], "fingerprint of $database");
	return slurp_file($out);
}

sub same
{
	my ($got, $expected, $what) = @_;
	return pass($what) if $got eq $expected;
	my %got = map { $_ => 1 } split /\n/, $got;
	my %expected = map { $_ => 1 } split /\n/, $expected;
	fail($what);
	diag("only there: $_") for grep { !$expected{$_} } sort keys %got;
	diag("missing: $_") for grep { !$got{$_} } sort keys %expected;
	return;
}

my $fresh = fingerprint(database('CREATE EXTENSION ecauto', 'SELECT ecauto.setup()'));
cmp_ok(length $fresh, '>', 100_000, 'a fingerprint has something to say');
same(fingerprint(database('CREATE EXTENSION ecauto', 'SELECT ecauto.setup()')), $fresh, 'and says it twice');
same(fingerprint(database('CREATE EXTENSION ecauto', 'SELECT ecauto.setup()', 'DROP EXTENSION ecauto', 'CREATE EXTENSION ecauto', 'SELECT ecauto.setup()')),
	$fresh, 'so it is when the code comes back to its state');

# ---- what was released ----
for my $install (glob('test/released/*.install'))
{
	my ($version) = $install =~ m{([^/]+)\.install$};
	my ($server) = slurp_file("test/released/$version.server") =~ /(\d+)/;
	if ($version eq $current)
	{
	  SKIP:
		{
			skip "version $version was frozen with PostgreSQL $server", 1 if $server != $node->pg_version->major;
			same($fresh, slurp_file("test/released/$version.fingerprint"), "version $version is what was frozen (a change needs a new version, see test/freeze.sh)");
		}
		next;
	}
	# its own look at the library is not for this one
	my $text = slurp_file($install);
	$text =~ s/ecauto\.library_version\(\) OPERATOR\(pg_catalog\.<>\) '[^']*'/false/;
	script("ecauto--$version.sql", $text);
	my $database = database("CREATE EXTENSION ecauto VERSION '$version'", 'SELECT ecauto.setup()', 'ALTER EXTENSION ecauto UPDATE', 'SELECT ecauto.setup()');
	same(fingerprint($database), $fresh, "from $version to $current");
}

# ---- a version that does not exist, with something of every kind ----
my $next = "$current.1";
my $work = $node->basedir . '/next';
make_path($work);
system("cp -R sql $work/") == 0 or die;
my ($state) = slurp_file('src/core/core.h') =~ /^#define EC_STATE_VERSION (\d+)$/m;
my $step = sprintf('%03d', $state + 1);
my $core = slurp_file("$work/sql/core/functions.sql");
$core =~ s/latest constant integer := $state/latest constant integer := @{[ $state + 1 ]}/ or die;
$core =~ s/name of the time zone in which the shop keeps/the zone in which the shop keeps/ or die;
$core .= <<'SQL';

CREATE OR REPLACE FUNCTION ecauto.brand_new(a integer, b text DEFAULT 'x')
RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT $1 || $2
$$;
COMMENT ON FUNCTION ecauto.brand_new(integer, text) IS
'nothing';
REVOKE ALL ON FUNCTION ecauto.brand_new(integer, text) FROM PUBLIC;

CREATE TYPE ecauto.brand_new_type AS (
	a integer
);
SQL
$core =~ s/\nCREATE OR REPLACE FUNCTION ecauto\.shop_timezone\(\)\nRETURNS text\n/\nCREATE OR REPLACE FUNCTION ecauto.shop_timezone()\nRETURNS varchar\n/ or die;
spew("$work/sql/core/functions.sql", $core);
spew("$work/sql/core/state_$step.sql", <<'SQL');
CREATE TABLE ecauto_data.brand_new (id bigserial PRIMARY KEY, a text COLLATE "C" NOT NULL, UNIQUE (a));
COMMENT ON TABLE ecauto_data.brand_new IS 'nothing';
INSERT INTO ecauto_data.brand_new (a) VALUES ('seed');
ALTER TABLE ecauto_data.schema_version ADD COLUMN note text;
COMMENT ON COLUMN ecauto_data.schema_version.note IS 'nothing';
CREATE INDEX ON ecauto_data.brand_new (lower(a));
SQL
spew("$work/sql/$current--$next.sql", <<'SQL');
DROP FUNCTION ecauto.shop_timezone() CASCADE;
CREATE TYPE ecauto.brand_new_type AS (a integer);
SQL

sub assemble
{
	my (@options) = @_;
	my ($text, $error) = run_command([ 'sh', "$work/sql/assemble.sh", @options, $next, @domains ]);
	die "assemble.sh: $error" if $error ne '';
	return "$text\n";
}
my ($install, $update) = (assemble(), assemble('--from', $current));
script("ecauto--$next.sql", $install);
script("ecauto--$current--$next.sql", $update);
my $old = database('CREATE EXTENSION ecauto', 'SELECT ecauto.setup()');

# ---- an old library: another package is installed, the server runs on ----
my ($code, $message) = ec_sqlstate($node, $old, "ALTER EXTENSION ecauto UPDATE TO '$next';");
is($code, '55000', 'new SQL is refused by an old library');
like($message, qr/the library of ecauto is of version \Q$current\E, its SQL of version \Q$next\E.*restart the server/s, 'and the hint says what to do');
($code) = ec_sqlstate($node, database(), "CREATE EXTENSION ecauto VERSION '$next';");
is($code, '55000', 'a fresh install as well');
is($node->safe_psql($old, q{SELECT extversion FROM pg_extension WHERE extname = 'ecauto'}), $current, 'nothing has happened');
unlike(fingerprint($old), qr/brand_new/, 'nothing at all');

# ---- the new one is there: as far as SQL can see ----
s/ecauto\.library_version\(\) OPERATOR\(pg_catalog\.<>\) '[^']*'/false/ or die for $install, $update;
unlink splice @written;
script("ecauto--$next.sql", $install);
script("ecauto--$current--$next.sql", $update);
$node->safe_psql($old, "ALTER EXTENSION ecauto UPDATE TO '$next'");
like(fingerprint($old), qr/^function: .*brand_new/m, 'code is new, state is old');
unlike($node->safe_psql($old, 'SELECT relname FROM pg_class WHERE relnamespace = ' . q{'ecauto_data'::regnamespace}), qr/brand_new/, 'until it is migrated');
my $want = fingerprint(database("CREATE EXTENSION ecauto VERSION '$next'", 'SELECT ecauto.setup()'));
isnt(fingerprint($old), $want, 'half an update is seen');
is($node->safe_psql($old, 'SELECT ecauto.setup(); SELECT ecauto.setup()'), join("\n", ($state + 1) x 2), 'setup() migrates the state, once');
same(fingerprint($old), $want, 'an update leads where a fresh install leads');
isnt($want, $fresh, 'which is another place');

# ---- the old library meets the new state ----
($code, $message) = ec_sqlstate($node, $old, 'SELECT ecauto.tick();');
is($code, '55000', 'an old library leaves a new state alone');
like($message, qr/The state is of version @{[ $state + 1 ]}, the library works with version $state\..*Install the newer library again and reconnect/s, 'and says why');

# ---- a new library meets an old state, and old SQL ----
my $back = database('CREATE EXTENSION ecauto', 'SELECT ecauto.setup()', 'UPDATE ecauto_data.schema_version SET version = 0');
($code, $message) = ec_sqlstate($node, $back, 'SELECT ecauto.tick();');
is($code, '55000', 'a new library leaves an old state alone');
like($message, qr/Run ALTER EXTENSION ecauto UPDATE, then SELECT ecauto\.setup\(\)/, 'and says what to do');
is($node->safe_psql($back, q{SELECT value, detail FROM ecauto.status() WHERE item = 'state'}), '0|It is older than the extension: run SELECT ecauto.setup().', 'status() too');
my $mixed = database('CREATE EXTENSION ecauto', 'SELECT ecauto.setup()');
$node->safe_psql($mixed, q{UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'ecauto'});
is($node->safe_psql($mixed, q{SELECT value, detail FROM ecauto.status() WHERE item = 'extension'}),
	"0.0.9|The library is of version $current: run ALTER EXTENSION ecauto UPDATE, then SELECT ecauto.setup().", 'old SQL with a new library is told');

$node->stop;
done_testing();

# ecauto.render() keeps to the public Mustache specification: every test of its
# core modules, byte for byte.
use strict;
use warnings;
use EcTest;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $spec = ec_shared('mustache') or plan skip_all => 'the Mustache specification is not on this machine';
my $node = ec_node('main');
my $count = 0;

for my $module (qw(comments delimiters interpolation inverted partials sections))
{
	my $tests = slurp_file("$spec/$module.json");
	my $results = $node->safe_psql('postgres', <<"SQL");
SELECT jsonb_agg(jsonb_build_object('name', t ->> 'name', 'expected', t -> 'expected',
	'got', ecauto.render(t ->> 'template', t -> 'data', coalesce(t -> 'partials', '{}'))))
FROM jsonb_array_elements((\$tests\$$tests\$tests\$::jsonb) -> 'tests') t
SQL
	for my $test (@{ JSON::PP->new->decode($results) })
	{
		is($test->{got}, $test->{expected}, "$module: $test->{name}");
		$count++;
	}
}

is($count, 136, 'all tests of the core modules');
$node->stop;
done_testing();

# The examples in README.md and docs/ do what they say: every SQL block that
# follows a line "<!-- run -->" runs, in order, each page in a new database
# that holds the demonstration's shop.  In docs/getting-started.md, also those
# of a shop of one's own making; those of Vendure and Medusa run on the real
# shops (415_vendure_history.pl, 410_medusa.pl).
use strict;
use warnings;
use EcTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $sink = ec_sink();
my $node = ec_node('main', extension => 0, conf => { 'ecauto.settle_time' => 0 });
my $pages = 0;

for my $page ('README.md', sort glob('docs/*.md'))
{
	my @blocks = ec_blocks($page, $sink, 'custom');
	next unless @blocks;

	my $database = 'docs_' . ++$pages;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->command_ok([ 'psql', '-Xq', '-d', $node->connstr($database), '-f', 'test/demo/shop.sql' ],
		"$page: the shop");
	# these create it themselves; other pages begin where README ends
	$node->safe_psql($database, "CREATE EXTENSION ecauto; SELECT ecauto.attach_shop('demo', '{}', 'shop')")
	  unless $page =~ /^(?:README|docs\/getting-started)\.md$/;

	for my $block (@blocks)
	{
		my ($sql, $line) = @$block;
		my ($stdout, $stderr);
		my $status = $node->psql($database, $sql, stdout => \$stdout, stderr => \$stderr, on_error_die => 0);
		is($status, 0, "$page, line $line") or diag("$sql\n$stderr");
	}
}

cmp_ok($pages, '>', 0, 'there are examples');
$node->stop;
done_testing();

# The examples in README.md and docs/ do what they say: every SQL block that
# follows a line "<!-- run -->" runs, in order, each page in a new database
# that holds the demonstration's shop.  Ports 8080 and 2525 of 127.0.0.1 stand
# for the sink's.
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
	my $text = slurp_file($page);
	my @blocks;
	while ($text =~ /^<!-- run -->\n+```sql\n(.*?)^```$/gms)
	{
		push @blocks, [ $1, 1 + (() = substr($text, 0, $-[1]) =~ /\n/g) ];
	}
	next unless @blocks;

	my $database = 'docs_' . ++$pages;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->command_ok([ 'psql', '-Xq', '-d', $node->connstr($database), '-f', 'test/demo/shop.sql' ],
		"$page: the shop");
	# README creates it itself; other pages begin where it ends
	$node->safe_psql($database, "CREATE EXTENSION ecauto; SELECT ecauto.attach_shop('demo', '{}', 'shop')")
	  unless $page eq 'README.md';

	for my $block (@blocks)
	{
		my ($sql, $line) = @$block;
		$sql =~ s/127\.0\.0\.1:8080/'127.0.0.1:' . $sink->http_port/ge;
		$sql =~ s/127\.0\.0\.1:2525/'127.0.0.1:' . $sink->smtp_port/ge;
		my ($stdout, $stderr);
		my $status = $node->psql($database, $sql, stdout => \$stdout, stderr => \$stderr, on_error_die => 0);
		is($status, 0, "$page, line $line") or diag("$sql\n$stderr");
	}
}

cmp_ok($pages, '>', 0, 'there are examples');
$node->stop;
done_testing();

# Reorder points and economic quantities against the answers of textbooks.
use strict;
use warnings;
use EcTest;
use Test::More;

my $oracles = ec_shared('data/inventory_oracles');
plan skip_all => 'the answers of textbooks are not at hand' unless defined $oracles;

my $node = ec_node('main');
IPC::Run::run([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', 'load.sql', $node->connstr('postgres') ],
	'2>', '/dev/null', init => sub { chdir $oracles or die $! }) or die "could not load $oracles";

# the same with the order quantity given says the cost: that is not what these are for
sub compare
{
	my ($function, $given, $formula, $member) = @_;

	return split /\|/, $node->safe_psql('postgres', qq{
		SELECT count(*), count(*) FILTER (WHERE abs(($formula) / (e ->> '$member')::float8 - 1) < 1e-6)
		FROM (SELECT args AS a, expected AS e FROM inventory_oracles WHERE function = '$function') x
		WHERE NOT a ? '$given' AND e ? '$member'});
}

my ($n, $same) = compare('economic_order_quantity', 'order_quantity',
	q{ecauto.economic_order_quantity((a ->> 'fixed_cost')::float8, (a ->> 'holding_cost')::float8, (a ->> 'demand_rate')::float8)}, 'order_quantity');
cmp_ok($n, '>', 0, 'there are economic quantities');
is($same, $n, "all of $n are the same");

# what balances costs of too much and too little is the quantile at their ratio, over the lead time and one period
($n, $same) = compare('newsvendor_normal', 'base_stock_level',
	q{ecauto.reorder_point((a ->> 'demand_mean')::float8 * (1 + coalesce((a ->> 'lead_time')::float8, 0)), (a ->> 'demand_sd')::float8,
		1 + coalesce((a ->> 'lead_time')::float8, 0), (a ->> 'stockout_cost')::float8 / ((a ->> 'stockout_cost')::float8 + (a ->> 'holding_cost')::float8))},
	'base_stock_level');
cmp_ok($n, '>', 1, 'there are base stock levels');
is($same, $n, "all of $n are the same");
done_testing;

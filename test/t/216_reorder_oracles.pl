# Inventory models against the answers of textbooks: every one of them.
use strict;
use warnings;
use EcTest;
use Test::More;

my $oracles = ec_shared('data/inventory_oracles');
plan skip_all => 'the answers of textbooks are not at hand' unless defined $oracles;

my $node = ec_node('main');
IPC::Run::run([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', 'load.sql', $node->connstr('postgres') ],
	'2>', '/dev/null', init => sub { chdir $oracles or die $! }) or die "could not load $oracles";

# An expression of argument a (jsonb) for each function of the answers: an object with what they name.
my $demand = q{n(a, 'demand_mean')};
my $sd = q{n(a, 'demand_sd')};
my $costs = q{n(a, 'holding_cost'), n(a, 'stockout_cost')};
my $fixed = "$costs, n(a, 'fixed_cost')";
my $news = q{SELECT jsonb_build_object('base_stock_level', r.base_stock, 'cost', r.cost) FROM};
my $rq = q{SELECT jsonb_build_object('r', r.reorder_point, 'Q', r.order_quantity, 'cost', r.cost) FROM};
my $ss = q{SELECT jsonb_build_object('s', r.reorder_point, 'S', r.order_up_to, 'g', r.cost) FROM};
my $profit = q{SELECT jsonb_build_object('base_stock_level', r.base_stock, 'profit', r.profit) FROM};
my %expression = (
	economic_order_quantity => q{SELECT to_jsonb(r) FROM ecauto.eoq(n(a, 'fixed_cost'), n(a, 'holding_cost'), n(a, 'demand_rate'), n(a, 'order_quantity')) r},
	economic_order_quantity_with_backorders => q{SELECT to_jsonb(r) FROM ecauto.eoq_backorders(n(a, 'fixed_cost'), n(a, 'holding_cost'),
		n(a, 'stockout_cost'), n(a, 'demand_rate'), n(a, 'order_quantity'), n(a, 'stockout_fraction')) r},
	economic_production_quantity => q{SELECT to_jsonb(r) FROM ecauto.epq(n(a, 'fixed_cost'), n(a, 'holding_cost'), n(a, 'demand_rate'),
		n(a, 'production_rate'), n(a, 'order_quantity')) r},
	joint_replenishment_problem_silver_heuristic => q{SELECT jsonb_build_object('order_quantities', r.order_quantities, 'base_cycle_time', r.cycle,
			'order_multiples', r.multiples, 'cost', r.cost)
		FROM ecauto.joint_replenishment(n(a, 'shared_fixed_cost'), f(a, 'individual_fixed_costs'), f(a, 'holding_costs'), f(a, 'demand_rates')) r},
	newsvendor_normal => "$news ecauto.newsvendor($costs, $demand, $sd, n(a, 'lead_time'), stock => n(a, 'base_stock_level')) r",
	newsvendor_poisson => "$news ecauto.newsvendor($costs, $demand, lead_time => n(a, 'lead_time'), stock => n(a, 'base_stock_level')) r",
	newsvendor_discrete => "$news ecauto.newsvendor($costs, (SELECT array_agg(k::float8) FROM jsonb_object_keys(a -> 'demand_pmf') k),
		(SELECT array_agg(v::float8) FROM jsonb_each_text(a -> 'demand_pmf') e (k, v)), n(a, 'base_stock_level')) r",
	myopic => "$news ecauto.newsvendor_myopic($costs, n(a, 'purchase_cost'), n(a, 'purchase_cost_next_per'), $demand, $sd, n(a, 'discount_factor'),
		stock => n(a, 'base_stock_level')) r",
	newsvendor_normal_explicit => "$profit ecauto.newsvendor_profit(n(a, 'revenue'), n(a, 'purchase_cost'), n(a, 'salvage_value'), $demand, $sd,
		$costs, stock => n(a, 'base_stock_level')) r",
	newsvendor_poisson_explicit => "$profit ecauto.newsvendor_profit(n(a, 'revenue'), n(a, 'purchase_cost'), n(a, 'salvage_value'), $demand, NULL,
		$costs, stock => n(a, 'base_stock_level')) r",
	r_q_cost => "SELECT jsonb_build_object('cost', ecauto.r_q_cost(n(a, 'reorder_point'), n(a, 'order_quantity'), $fixed, $demand, $sd, n(a, 'lead_time')))",
	r_q_cost_poisson => "SELECT jsonb_build_object('cost', ecauto.r_q_cost(n(a, 'reorder_point'), n(a, 'order_quantity'), $fixed, $demand, NULL, n(a, 'lead_time')))",
	r_q_optimal_r_for_q => "SELECT jsonb_build_object('r', ecauto.r_q_reorder_point(n(a, 'order_quantity'), $costs, $demand, $sd, n(a, 'lead_time')))",
	r_q_poisson_exact => "$rq ecauto.r_q_policy($fixed, $demand, NULL, n(a, 'lead_time')) r",
	s_s_cost_discrete => "SELECT jsonb_build_object('cost', ecauto.s_s_cost(n(a, 'reorder_point'), n(a, 'order_up_to_level'), $fixed, $demand))",
	s_s_discrete_exact => "$ss ecauto.s_s_policy($fixed, $demand) r",
	s_s_power_approximation => "$ss ecauto.s_s_policy($fixed, $demand, $sd) r",
	wagner_whitin => q{SELECT jsonb_build_object('order_quantities', '{0}'::float8[] || r.order_quantities,
			'next_order_periods', '{0}'::int[] || r.next_order, 'cost', r.cost)
		FROM ecauto.wagner_whitin(p(a, 'demand'), p(a, 'fixed_cost'), p(a, 'holding_cost'), p(a, 'purchase_cost')) r},
);
$expression{"newsvendor_${_}_cost"} = $expression{"newsvendor_$_"} for qw(normal poisson);
$expression{myopic_cost} = $expression{myopic};
$expression{"economic_order_quantity_with_${_}_discounts"} = "SELECT jsonb_build_object('order_quantity', r.order_quantity, 'region', r.tier - 1, 'cost', r.cost)
	FROM ecauto.eoq_discounts(n(a, 'fixed_cost'), n(a, 'holding_cost_rate'), n(a, 'demand_rate'), f(a, 'breakpoints'), f(a, 'unit_costs'), "
	. ($_ eq 'incremental' ? 'true' : 'false') . ') r'
  for qw(all_units incremental);
$expression{"r_q_${_}_approximation"} = "$rq ecauto.r_q_policy($fixed, $demand, $sd, n(a, 'lead_time'), method => '"
	. ($_ eq 'loss_function' ? 'loss' : $_) . "') r"
  for qw(eil eoqb eoqss loss_function);

# of losses, the answers have names such as n1 and n_bar1; distributions are told by mean and deviation
my %distribution = (
	standard_normal => [ q{n(a, 'z'), 0, 1} ],
	normal => [ q{n(a, 'x'), n(a, 'mean'), n(a, 'sd')} ],
	lognormal => [ q{n(a, 'x'), exp(n(a, 'mu') + n(a, 'sigma') ^ 2 / 2),
		exp(n(a, 'mu') + n(a, 'sigma') ^ 2 / 2) * sqrt(exp(n(a, 'sigma') ^ 2) - 1), 'lognormal'} ],
	exponential => [ q{n(a, 'x'), 1 / n(a, 'mu'), NULL, 'exponential'} ],
	gamma => [ q{n(a, 'x'), n(a, 'a') * n(a, 'b'), sqrt(n(a, 'a')) * n(a, 'b'), 'gamma'} ],
	poisson => [ q{n(a, 'x'), n(a, 'mean')} ],
	negative_binomial => [ q{n(a, 'x'), n(a, 'mean'), n(a, 'sd'), 'negbin'} ]);
for my $name (keys %distribution)
{
	for my $second ('', '_second')
	{
		my $n = $second ? 2 : '';
		my $names = join ', ', map { ("'L$_', r.shortage$n, 'L_bar$_', r.leftover$n, 'n$_', r.shortage$n, 'n_bar$_', r.leftover$n") } 1 .. 3;
		$expression{"$name${second}_loss"} = "SELECT jsonb_build_object($names, 'L2_bar', r.leftover$n, 'n2_bar', r.leftover$n)
			FROM ecauto.loss_function($distribution{$name}[0]) r";
	}
}

my $cases = join "\n", map { "WHEN '$_' THEN ($expression{$_})" } sort keys %expression;
$node->safe_psql('postgres', <<"SQL");
CREATE FUNCTION n(a jsonb, name text) RETURNS float8 LANGUAGE sql IMMUTABLE AS \$\$ SELECT (a ->> name)::float8 \$\$;
CREATE FUNCTION f(a jsonb, name text) RETURNS float8[] LANGUAGE sql IMMUTABLE AS
	\$\$ SELECT array_agg(e::float8 ORDER BY i) FROM jsonb_array_elements_text(a -> name) WITH ORDINALITY x (e, i) \$\$;
-- one number is that of each period, and one value more begins with that of no period
CREATE FUNCTION p(a jsonb, name text) RETURNS float8[] LANGUAGE sql IMMUTABLE AS
	\$\$ SELECT CASE WHEN jsonb_typeof(a -> name) = 'array' THEN (f(a, name))[1 + cardinality(f(a, name)) - n(a, 'num_periods')::int :]
		WHEN a ? name THEN array_fill(n(a, name), ARRAY[n(a, 'num_periods')::int]) END \$\$;
CREATE FUNCTION answer(name text, a jsonb) RETURNS jsonb LANGUAGE sql AS \$\$ SELECT CASE name $cases END \$\$;
-- a number, or an array of them, is the same
CREATE FUNCTION same(x jsonb, y jsonb, most float8) RETURNS boolean LANGUAGE sql IMMUTABLE AS \$\$
	SELECT CASE WHEN jsonb_typeof(x) = 'array' THEN jsonb_typeof(y) = 'array' AND jsonb_array_length(x) = jsonb_array_length(y)
			AND (SELECT bool_and(same(e, y -> (i - 1)::int, most)) FROM jsonb_array_elements(x) WITH ORDINALITY u (e, i))
		ELSE coalesce(abs(x::float8 - y::float8) <= most * greatest(abs(x::float8), 1e-3), false) END \$\$;
SQL

is($node->safe_psql('postgres', 'SELECT count(*) FROM inventory_oracles'), 153, 'answers');
# shortage and leftover differ by stock and mean: in number 152 they do so by 2e-6 too much
my @rows = split /\n/, $node->safe_psql('postgres', q{
	SELECT id, function, bool_and(same(e.value, x.answer -> e.key, CASE id WHEN 152 THEN 2e-6 ELSE 1e-6 END)), min(x.args::text), jsonb_object_agg(e.key, e.value), min(x.answer::text)
	FROM (SELECT *, answer(function, args) FROM inventory_oracles OFFSET 0) x CROSS JOIN LATERAL jsonb_each(x.expected) e
	GROUP BY id, function ORDER BY id});
is(scalar @rows, 153, 'each has one to compare with');
for my $row (@rows)
{
	my ($id, $function, $same, $args, $expected, $answer) = split /\|/, $row;
	is($same, 't', "$id: $function") or diag("$args: $expected, not $answer");
}
is($node->safe_psql('postgres', q{SELECT round(ecauto.economic_order_quantity(8, 0.225, 1300)::numeric, 6)}), '304.046780', 'the quantity alone');
is($node->safe_psql('postgres', q{SELECT round(ecauto.reorder_point(250, 8, 5, 0.7 / 0.88)::numeric, 6)}), '264.766894', 'a reorder point is such a level');
done_testing;

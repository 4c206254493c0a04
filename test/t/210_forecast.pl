# Forecasts of public data: as the reference programs say, and as good as promised.
#
# M3 (3,003 series): mean sMAPE over all.  Spare parts (monthly, the last 12
# months held out) and a gift shop (weekly, the last 8 weeks): RMSSE, with the
# mean squared difference since the first demand as scale; coverage and pinball
# loss of the 95% quantile of two periods' demand, over all windows of that
# length in what was held out.
use strict;
use warnings;
use EcTest;
use IO::Uncompress::Gunzip qw(gunzip $GunzipError);
use JSON::PP;
use Test::More;

my ($m3, $cars, $oracles, $splits) = map { ec_shared("data/$_") } qw(m3 carparts inventory_oracles splits);
my $reference = ec_shared('reference');
plan skip_all => 'the forecasting data is not at hand' if grep { !defined } $m3, $cars, $oracles, $splits, $reference;

my $node = ec_node('main', conf => { 'work_mem' => '64MB' });
sub sql { return $node->safe_psql('postgres', $_[0]); }

for my $dir ($m3, $cars, $oracles)
{
	IPC::Run::run([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', 'load.sql', $node->connstr('postgres') ],
		'2>', '/dev/null', init => sub { chdir $dir or die $! }) or die "could not load $dir";
}

sub json_file
{
	my ($file) = @_;

	gunzip("$reference/$file" => \my $text) or die $GunzipError;
	return decode_json($text);
}

# ---- the reference programs ----
my $series = json_file('forecast_reference.json.gz');
my %same = (
	ses => 'ses', theta => 'theta', naive => 'naive', snaive => 'seasonal_naive', rwf_drift => 'drift',
	HoltWinters_additive => 'holt_winters', HoltWinters_multiplicative => 'holt_winters_multiplicative');
my ($compared, @far) = (0);

for my $name (sort keys %$series)
{
	my $s = $series->{$name};
	next if !$s->{x};
	my $x = '{' . join(',', @{ $s->{x} }) . '}';

	for my $their (sort keys %same)
	{
		my $r = $s->{$their} or next;
		my $h = @{ $r->{mean} };
		my @ours = map { [ split /\|/ ] } split /\n/, sql("SELECT mean, hi FROM ecauto.forecast('$x', $s->{frequency}, $h, '$same{$their}')");
		my @check = ([ 0, 'mean' ]);

		# bounds are defined alike for these two
		push @check, [ 1, 'upper95' ] if $their eq 'ses' || $their eq 'theta';
		for my $c (@check)
		{
			my ($column, $key) = @$c;
			my $worst = 0;

			for my $i (0 .. $h - 1)
			{
				my $off = abs($ours[$i][$column] - $r->{$key}[$i]) / abs($r->{$key}[$i]);
				$worst = $off if $off > $worst;
			}
			$compared++;
			push @far, "$name $their $key $worst" if $worst > 1e-3;
		}
	}
}
cmp_ok($compared, '>', 90, 'many reference forecasts were compared');
is(join(', ', @far), '', 'all within a thousandth');

# damped trend: their optimiser stops early on some, never below ours
is(sql("SELECT count(*) FROM ecauto.forecast('{" . join(',', @{ $series->{lynx}{x} }) . "}', 1, 1, 'holt_damped') f WHERE abs(f.mean / $series->{lynx}{holt_damped}{mean}[0] - 1) < 1e-3"), '1', 'damped trend');

my $misc = json_file('misc_reference.json.gz');
is(join(' ', map { sql("SELECT ecauto.negbin_quantile($_->{mean}, $_->{var}, $_->{p})") } @{ $misc->{rop_negbin} }),
	join(' ', map { $_->{q} } @{ $misc->{rop_negbin} }), 'negative binomial quantiles');
is(sql('SELECT count(*) FROM (VALUES ' . join(', ', map { "($_->{z}::float8, $_->{G}::float8)" } @{ $misc->{loss} }) . ') v (z, g) WHERE abs(ecauto.normal_loss(0, 1, z) - g) > 1e-9'), '0', 'normal loss');

my ($same, $all) = split /\|/, sql(q{
	-- two of their sums are cut off after some terms
	SELECT count(*) FILTER (WHERE abs(ours / theirs - 1) < 1e-5), count(*) FROM (
		SELECT CASE function
				WHEN 'standard_normal_loss' THEN ecauto.normal_loss(0, 1, (args ->> 'z')::float8)
				WHEN 'normal_loss' THEN ecauto.normal_loss((args ->> 'mean')::float8, (args ->> 'sd')::float8, (args ->> 'x')::float8)
				WHEN 'poisson_loss' THEN ecauto.negbin_loss((args ->> 'mean')::float8, 0, (args ->> 'x')::float8)
				ELSE ecauto.negbin_loss((args ->> 'mean')::float8, (args ->> 'sd')::float8 ^ 2, (args ->> 'x')::float8) END AS ours,
			(SELECT value::float8 FROM jsonb_each_text(expected) WHERE key !~ 'bar') AS theirs
		FROM inventory_oracles
		WHERE module = 'loss_functions' AND function IN ('standard_normal_loss', 'normal_loss', 'poisson_loss', 'negative_binomial_loss')) x});
cmp_ok($all, '>=', 12, 'textbook answers were found');
is($same, $all, 'and are ours');

# ---- M3 ----
sql(q{
	CREATE TABLE m3 AS
	SELECT sn, period, array_agg(y ORDER BY t) FILTER (WHERE part = 'in') AS past, array_agg(y ORDER BY t) FILTER (WHERE part = 'out') AS future
	FROM (SELECT 1 AS period, * FROM m3_yearly UNION ALL SELECT 4, * FROM m3_quarterly UNION ALL SELECT 12, * FROM m3_monthly UNION ALL SELECT 1, * FROM m3_other) x
	GROUP BY 1, 2;
});
is(sql('SELECT count(*) FROM m3'), '3003', 'M3 is whole');

sub smape
{
	return sql(qq{
		SELECT round(avg(e)::numeric, 3) FROM (SELECT avg(200 * abs(f.mean - future[f.h]) / (abs(f.mean) + abs(future[f.h]))) AS e
			FROM m3, ecauto.forecast(past, period, cardinality(future), '$_[0]') f GROUP BY sn) x});
}
my %smape = map { $_ => smape($_) } qw(auto theta dynamic_theta holt_damped seasonal_naive);
diag('M3 sMAPE: ' . join(', ', map { "$_ $smape{$_}" } sort keys %smape));
cmp_ok($smape{auto}, '<=', 12.65, 'M3: auto');
cmp_ok($smape{theta}, '<=', 12.85, 'M3: Theta');
cmp_ok($smape{auto}, '<', $smape{$_}, "M3: auto is better than $_") for qw(theta dynamic_theta holt_damped seasonal_naive);
my $coverage = sql(q{SELECT round(avg((future[f.h] BETWEEN lo AND hi)::int), 3) FROM m3, ecauto.forecast(past, period, cardinality(future)) f});
diag("M3 coverage of the 95% bounds: $coverage");
ok($coverage >= 0.92 && $coverage <= 0.97, 'M3: bounds hold what they say');

# ---- rare demand ----
sql(q{
	CREATE TABLE held (data text, sku text, past float8[], future float8[], scale float8);
	INSERT INTO held
	SELECT 'cars', sku, y[:39], y[40:] FROM (SELECT sku::text, array_agg(qty::float8 ORDER BY month) AS y FROM carparts GROUP BY sku HAVING count(qty) = count(*)) c;
	CREATE TABLE weekly (line text);
});
gunzip("$splits/online_retail_weekly.csv.gz" => \my $weekly) or die $GunzipError;
my (undef, @lines) = split /\n/, $weekly;
sql('INSERT INTO weekly VALUES ' . join(', ', map { "(\$w\$$_\$w\$)" } @lines));
sql(q{
	INSERT INTO held
	SELECT 'shop', y[1], y[2:46]::float8[], y[47:]::float8[] FROM (SELECT string_to_array(line, ',') AS y FROM weekly) w;
	DELETE FROM held WHERE NOT EXISTS (SELECT FROM unnest(past) u WHERE u > 0);
	UPDATE held SET scale = (SELECT avg((past[i] - past[i - 1]) ^ 2) FROM generate_series(2, cardinality(past)) i
		WHERE EXISTS (SELECT FROM unnest(past[:i - 1]) v WHERE v > 0));
});
is(sql("SELECT string_agg(n::text, ' ' ORDER BY data) FROM (SELECT data, count(*) AS n FROM held GROUP BY 1) x"), '2493 3673', 'spare parts and the gift shop are whole');

sub rmsse
{
	my ($data, $method) = @_;

	return sql(qq{
		SELECT round(avg(e)::numeric, 4) FROM (SELECT sqrt(avg((f.mean - future[f.h]) ^ 2) / nullif(scale, 0)) AS e
			FROM held, ecauto.forecast(past, 1, cardinality(future), '$method') f WHERE data = '$data' GROUP BY sku, scale) x});
}

# coverage and pinball loss (in units of the scale) of the 95% quantile of the demand of some periods
sub quantile
{
	my ($data, $distribution, $lead) = @_;
	$lead //= 2;

	return split /\|/, sql(qq{
		SELECT round(avg((came <= q)::int), 4), round(avg(CASE WHEN came > q THEN 0.95 * (came - q) ELSE 0.05 * (q - came) END / sqrt(scale))::numeric, 4)
		FROM (SELECT q, scale, (SELECT sum(u) FROM unnest(future[i:i + $lead - 1]) u) AS came
			FROM (SELECT *, ecauto.demand_quantile(past, $lead, 0.95, 1, '$distribution') AS q FROM held WHERE data = '$data' AND scale > 0) h,
				generate_series(1, cardinality(future) - $lead + 1) i) x});
}
my %rmsse = (cars => 0.600, shop => 1.15);
my %bounds = (cars => [ 0.94, 0.96 ], shop => [ 0.90, 0.97 ]);
my %far = (cars => [ 0.94, 0.965 ], shop => [ 0.89, 0.97 ]);

for my $data (qw(cars shop))
{
	my %e = map { $_ => rmsse($data, $_) } qw(auto theta tsb sba);
	my %q = map { $_ => [ quantile($data, $_) ] } qw(auto empirical negbin normal);

	diag("$data RMSSE: " . join(', ', map { "$_ $e{$_}" } sort keys %e));
	diag("$data coverage and pinball loss: " . join(', ', map { "$_ @{$q{$_}}" } sort keys %q));
	cmp_ok($e{auto}, '<=', $rmsse{$data}, "$data: auto");
	cmp_ok($e{auto}, '<', $e{$_}, "$data: auto is better than $_") for qw(theta tsb sba);
	ok($q{auto}[0] >= $bounds{$data}[0] && $q{auto}[0] <= $bounds{$data}[1], "$data: reorder points cover what they say");
	cmp_ok($q{auto}[1], '<', $q{$_}[1], "$data: at less cost than $_") for qw(empirical negbin);

	# the shop's last weeks are before a Christmas that no year of its own foretells
	for my $lead (1, 3, 4, 6)
	{
		my ($covered, $loss) = quantile($data, 'auto', $lead);

		diag("$data, lead $lead: $covered $loss");
		ok($covered >= $far{$data}[0] && $covered <= $far{$data}[1], "$data: also $lead periods ahead");
	}
}

$node->stop;
done_testing();

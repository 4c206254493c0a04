# Metrics: each has a name and a meaning, the files for exporters ask for what
# there is, the dashboard shows what there is, and the exporters take them.
use strict;
use warnings;
use EcTest;
use File::Basename;
use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $docs = dirname(__FILE__) . '/../../docs/metrics';
my $node = ec_node('main', conf => { 'ecauto.settle_time' => '0', 'ecauto.timezone' => 'Europe/Warsaw', 'ecauto.clock' => '2026-06-16 12:00:00+02' });
sub sql { return $node->safe_psql('postgres', $_[0]); }

is(sql('SELECT value FROM ecauto.metrics() WHERE name = $$ecauto_shop_up$$'), 1, 'without a shop');
my $fixtures = dirname(__FILE__) . '/../pgtap/report';
$node->safe_psql('postgres', "BEGIN;\n\\i $fixtures/shop.psql\n\\i $fixtures/busy.psql\nCOMMIT;");

# ---- what there is ----
my %help = map { $_ => 1 } split /\n/, sql('SELECT name FROM ecauto.metrics_help()');
my $families = join ',', map { "'metrics_$_'" } qw(shop worker outbox flow sales);
is(sql(qq{SELECT string_agg(n, ' ') FROM (
	SELECT replace(p.proname, 'metrics_', 'ecauto_') || '_' || a.name AS n FROM pg_proc p
	CROSS JOIN LATERAL unnest(p.proargnames, p.proallargtypes) a (name, type)
	WHERE p.pronamespace = 'ecauto'::regnamespace AND p.proname IN ($families) AND a.type = 'float8'::regtype
	EXCEPT SELECT name FROM ecauto.metrics_help()) x}), '', 'every number has a meaning');
is(sql(q{SELECT string_agg(name, ' ') FROM (SELECT name FROM ecauto.metrics_help() EXCEPT SELECT name FROM ecauto.metrics()) x WHERE name !~ 'lifetime|sales'}), '',
	'and a value here, but for models that were not made and sales that were not yet');
is(sql(q{SELECT value FROM ecauto.metrics() WHERE name = 'ecauto_outbox_waiting' AND labels ->> 'endpoint' = 'warehouse'}), 1, 'a message waits');
is(sql(q{SELECT value FROM ecauto.metrics() WHERE name = 'ecauto_shop_purchase_orders_proposed'}), 1, 'a purchase order does');
sql(q{INSERT INTO s.orders (id, total, placed) VALUES (900001, 12.5, '2026-06-16 00:00+02'), (900002, 1, '2026-06-15 23:59:59+02'); SELECT ecauto.tick()});
is(sql(q{SELECT value FROM ecauto.metrics() WHERE name = 'ecauto_sales_revenue_today' AND labels ->> 'currency' = 'PLN'}), '12.5', 'today begins at midnight in the shop');
sql(q{UPDATE ecauto_data.role_binding SET broken_at = now() WHERE role = 'price'});
is(sql(q{SELECT value FROM ecauto.metrics() WHERE name = 'ecauto_shop_broken_roles'}), 1, 'a broken role');
sql(q{UPDATE ecauto_data.role_binding SET broken_at = NULL});

# ---- who may ask ----
sql(q{CREATE ROLE watcher LOGIN; CREATE ROLE nobody LOGIN; GRANT USAGE ON SCHEMA ecauto, ecauto_data TO watcher; GRANT USAGE ON SCHEMA ecauto TO nobody;
	GRANT SELECT ON ALL TABLES IN SCHEMA ecauto_data TO watcher});
for my $call ('ecauto.metrics()', 'ecauto.report_html()')
{
	is(sql("SET ROLE watcher; SELECT count(*) > 0 FROM $call"), 't', "who may read may call $call");
	is(scalar(ec_sqlstate($node, 'postgres', "SET ROLE nobody; SELECT count(*) FROM $call")), '42501', 'others may not');
}
is(scalar(ec_sqlstate($node, 'postgres', 'SET ROLE watcher; DELETE FROM ecauto_data.event')), '42501', 'and that is all who reads may do');
like(sql('SET ROLE watcher; SELECT ecauto.report_html()'), qr/No cost of what was sold is known/, 'costs of the shop are not shown to all who read');

# ---- the files ----
for my $file ('postgres_exporter.yaml', 'sql_exporter.yaml')
{
	my $text = slurp_file("$docs/$file");
	my @queries = $text =~ /query: "([^"]+)"/g;
	is(scalar(@queries), 5, "$file has a query for each family");
	ok(sql("SELECT count(*) >= 0 FROM ($_) q") eq 't', "$file: $_") for @queries;
}
my $yaml = slurp_file("$docs/postgres_exporter.yaml");
my %asked;
while ($yaml =~ /^(ecauto_\w+):\n((?:(?:  .*)?\n)*)/mg)
{
	my ($family, $block) = ($1, $2);
	$asked{"${family}_$1"} = $2 while $block =~ /^    - (\w+):\n        usage: "(\w+)"/mg;
}
is(join(' ', sort grep { $asked{$_} ne 'LABEL' } keys %asked), join(' ', sort keys %help), 'postgres_exporter asks for every metric');
is(join("\n", sort map { lc("$_|$asked{$_}") } grep { $asked{$_} ne 'LABEL' } keys %asked), sql('SELECT name, type FROM ecauto.metrics_help() ORDER BY name COLLATE "C"'), 'as the type it is');

my $board = decode_json(slurp_file("$docs/grafana.json"));
my @exprs = map { $_->{expr} } map { @{ $_->{targets} // [] } } @{ $board->{panels} };
cmp_ok(scalar(@exprs), '>', 20, 'the dashboard has expressions');
my @unknown = grep { !$help{$_} } map { /\b(ecauto_\w+)/g } @exprs;
is_deeply(\@unknown, [], 'each of a metric that there is');
is(scalar(grep { !/\becauto_/ } @exprs), 0, 'and none of nothing');
my %place;
for my $panel (@{ $board->{panels} })
{
	my $at = $panel->{gridPos};
	ok(!$place{"$at->{x},$at->{y}"}++ && $at->{x} + $at->{w} <= 24, "panel $panel->{title} has a place of its own");
}

# ---- exporters ----
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $run = sub {
	my ($program, $env, @args) = @_;
	my $log = $PostgreSQL::Test::Utils::tmp_check . "/$program.log";
	my $h = IPC::Run::start([ $program, @args ], '<', \'', '>', $log, '2>&1', init => sub { $ENV{$_} = $env->{$_} for keys %$env });
	my $answer = eval {
		ec_wait_for(sub {
			my $got = HTTP::Tiny->new(timeout => 20)->get("http://127.0.0.1:$port/metrics");
			return $got->{content} =~ /ecauto_shop/ ? $got->{content} : $h->pumpable ? undef : 'it ended: ' . slurp_file($log);
		}, "$program to answer with metrics") } // $@ . slurp_file($log);
	$h->kill_kill;
	return $answer;
};
sub at_hand { my ($program) = @_; return grep { -x "$_/$program" } split /:/, $ENV{PATH}; }
my $host = $node->host;
my $dbport = $node->port;

SKIP:
{
	skip 'no prometheus-postgres-exporter at hand', 3 if !at_hand('prometheus-postgres-exporter');
	my $answer = $run->('prometheus-postgres-exporter', { DATA_SOURCE_NAME => "host=$host port=$dbport user=watcher dbname=postgres sslmode=disable" },
		"--web.listen-address=127.0.0.1:$port", "--extend.query-path=$docs/postgres_exporter.yaml", '--disable-default-metrics', '--disable-settings-metrics');
	like($answer, qr/^ecauto_shop_up\{[^}]*\} 1$/m, 'postgres_exporter takes them');
	like($answer, qr/^# TYPE ecauto_outbox_delivered_total counter$/m, 'counters as such');
	my %got = map { $_ => 1 } $answer =~ /^(ecauto_\w+?)(?:\{|\s)/mg;
	is_deeply([ sort grep { !$got{$_} && !/lifetime/ } keys %help ], [], 'every one of them');
}
SKIP:
{
	skip 'no prometheus-sql-exporter at hand', 1 if !at_hand('prometheus-sql-exporter');
	my $text = slurp_file("$docs/sql_exporter.yaml");
	$text =~ s{postgres://[^"]*}{postgres://watcher\@/postgres?host=$host&port=$dbport&sslmode=disable};
	$text =~ s{interval: "30s"}{interval: "1s"};
	my $config = $PostgreSQL::Test::Utils::tmp_check . '/sql_exporter.yaml';
	open(my $file, '>', $config) or die "could not write $config: $!";
	print $file $text;
	close $file;
	my $answer = $run->('prometheus-sql-exporter', {}, "-config.file=$config", "-web.listen-address=127.0.0.1:$port");
	like($answer, qr/^sql_ecauto_shop\{[^}]*col="up"[^}]*\} 1$/m, 'sql_exporter takes them');
}

$node->stop;
done_testing();

# Every function of the extension called with values that nobody expects, and the
# calls of our own tests with something in them changed, in a shop with everything
# in it; as a superuser and as a role that may do nothing.  An error is fine if it
# is meant: no crash, no internal error (class XX), nothing that cannot be
# cancelled.
#
# EC_TEST_LONG=1 goes on for ten minutes (or EC_TEST_SECONDS), EC_TEST_SEED begins
# elsewhere; a number of calls is made for each seed, the same on every machine.
use strict;
use warnings;
use EcTest;
use EcOdd qw(test_calls);
use Test::More;

my $seed = $ENV{EC_TEST_SEED} || 1;
my $seconds = $ENV{EC_TEST_SECONDS} || ($ENV{EC_TEST_LONG} ? 600 : 0);

# which errors to show, for us to look at: EC_TEST_SHOW='42883|42703'
my $show = $ENV{EC_TEST_SHOW} || 'none';

my $node = ec_node('odd', extension => 0, conf => {
	'ecauto.settle_time' => 0, 'ecauto.timezone' => 'Europe/Warsaw', 'ecauto.clock' => '2026-06-16 12:00:00+02',
	'statement_timeout' => '5s', 'lock_timeout' => '5s', 'restart_after_crash' => 'on', 'log_statement' => 'none', 'log_min_messages' => 'log', 'log_min_error_statement' => 'panic' });
$node->safe_psql('postgres', 'CREATE EXTENSION ecauto; SELECT ecauto.setup()');
$node->safe_psql('postgres', "BEGIN;\n\\i test/pgtap/report/shop.psql\n\\i test/pgtap/report/busy.psql\nCOMMIT;\n");
$node->safe_psql('postgres', q{
	CREATE ROLE fuzz_nobody;
	CREATE ROLE fuzz_operator;
	GRANT USAGE ON SCHEMA ecauto TO fuzz_nobody;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ecauto TO fuzz_nobody;
	SELECT ecauto.grant_operator('fuzz_operator');
	SELECT ecauto.create_template('welcome', 'Hello {{name}}', '<p>{{name}}</p>');
	ALTER SYSTEM SET search_path = s, public;
	SELECT pg_reload_conf();
	ANALYZE});

# ---- what can be called ----
my @functions;
for (split /\n/, $node->safe_psql('postgres', q{
	SELECT p.proname, p.prokind, p.pronargdefaults, array_to_string(ARRAY(SELECT t.typname FROM unnest(p.proargtypes) WITH ORDINALITY a(type, n) JOIN pg_type t ON t.oid = a.type ORDER BY n), ','),
		array_to_string(p.proargnames[:p.pronargs], ',')
	FROM pg_proc p WHERE p.pronamespace = 'ecauto'::regnamespace
		AND NOT 'internal'::regtype = ANY (p.proargtypes::oid[]) AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
	ORDER BY p.oid::regprocedure::text COLLATE "C"}))
{
	my ($name, $kind, $defaults, $types, $names) = split /\|/, $_, -1;
	push @functions, { name => $name, kind => $kind, defaults => $defaults, types => [ split /,/, $types ], names => [ split /,/, $names ] };
}
cmp_ok(scalar @functions, '>', 400, 'there are functions to call');
my @calls = test_calls(glob('test/pgtap/*/*.sql test/pgtap/*/*.psql test/sql/*.sql test/demo/*.sql'));
# those that stand for themselves, without columns of something around them
$node->safe_psql('postgres', q{CREATE FUNCTION s.stands(call text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'EXPLAIN SELECT * FROM ' || call; RETURN true; EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE !~ '^42|0A'; END $$});
my @stands = split /\n/, $node->safe_psql('postgres', 'SELECT s.stands(c) FROM unnest(ARRAY[' . join(', ', map { EcOdd::quoted($_) } @calls) . ']) WITH ORDINALITY AS u(c, n) ORDER BY n');
@calls = @calls[ grep { $stands[$_] eq 't' } 0 .. $#calls ];
cmp_ok(scalar @calls, '>', 1000, 'and calls in the tests to change');
my @objects = grep { ref $_ eq 'HASH' } map { EcOdd::from_json(s/''/'/gr) } map { /'(\{(?:[^']|'')*\})'/g } @calls;
my %keys;
sub collect { my ($v) = @_; if (ref $v eq 'HASH') { $keys{$_}++, collect($v->{$_}) for keys %$v } elsif (ref $v eq 'ARRAY') { collect($_) for @$v } }
collect($_) for @objects;
# names that mean something in this shop
my @words = ('1', '2', '5', '7', '200001', '100001', 'TEA-1', 'TEA-4', 'c1@shop.example', 'guest3@shop.example', 'regulars', '<b>big</b> spenders', 'welcome <back>', 'welcome', 'acme', 'warehouse', 'PLN', 'seen', 'donation',
	'order.placed', 'stock.changed', 'price.changed', 'customer', 'order', 'stock', 'custom', 'nightly', 'pl', 'en');

# Statements in groups, each a transaction that is rolled back; what one call did
# is there for the next, and the tick sees it.  psql says before each which it is.
sub batch
{
	my ($odd, $next, $groups) = @_;
	my (@statements, $script);
	$script = "\\set VERBOSITY verbose\n\\set ON_ERROR_ROLLBACK on\n\\set QUIET on\n\\pset pager off\n\\o /dev/null\nSET client_min_messages = error;\n";
	for my $group (1 .. $groups)
	{
		my $role = ('', '', '', 'SET LOCAL ROLE fuzz_nobody; ', 'SET LOCAL ROLE fuzz_operator; ')[ $odd->upto(5) ];
		$script .= "BEGIN; $role\n";
		for (1 .. 4)
		{
			my $statement = $next->() // last;
			push @statements, $statement;
			$script .= "\\warn \@\@$#statements\n$statement\n";
		}
		push @statements, 'SELECT * FROM ecauto.tick();';
		$script .= "RESET ROLE;\n\\warn \@\@$#statements\n$statements[-1]\nSET CONSTRAINTS ALL IMMEDIATE;\n" if $odd->upto(3) == 0 || $seconds;
		$script .= "ROLLBACK;\n";
	}
	return (\@statements, $script);
}

my (%states, %slow, @wrong, %reached);

# Runs a batch and reads from what psql said which statement did what.
sub run_batch
{
	my ($statements, $script) = @_;
	my $err = '';
	my $late = 0;
	$node->psql('postgres', $script, stdout => \my $out, stderr => \$err, on_error_stop => 0, timeout => 300, timed_out => \$late);
	my $last = -1;
	for my $said (split /^(?=\@\@\d+$)/m, $err // '')
	{
		next unless $said =~ s/^\@\@(\d+)\n//;
		my $statement = $statements->[ $last = $1 ];
		my ($state) = $said =~ /^(?:psql:[^\n]*?: )?(?:ERROR|FATAL|PANIC):\s+([0-9A-Z]{5}):/m;
		$state //= '00000';
		$states{$state}++;
		my ($name) = $statement =~ /ecauto\."?(\w+)/;
		$reached{$name}++ if defined $name;
		$slow{ substr $statement, 0, 200 }++ if $state eq '57014';
		note("$state: " . substr($statement, 0, 700) . "\n" . substr($said, 0, 900)) if $state =~ /^(?:$show)$/;
		# bytes that are not what build_recommendations() wrote are damaged data
		next if $state eq 'XX001' && $statement =~ /pair_counts/;
		push @wrong, substr($statement, 0, 1500) . "\n" . substr($said, 0, 1500)
			if $state =~ /^(XX|F0|58)/ || $said =~ /server closed the connection|connection to server was lost|terminating connection/;
	}
	push @wrong, 'not done in time: ' . substr($statements->[$last], 0, 1500) if $late;
	# after a crash the others shall have their turn
	$node->poll_query_until('postgres', 'SELECT true');
}

my $odd;
my $before = time;
do
{
	$odd = EcOdd->new(seed => $seed, words => \@words);
	$odd->{keys} = [ sort keys %keys ];
	$odd->{objects} = \@objects;
	my @queue = map { my $f = $_; map { $odd->call($f) } 1 .. 4 } @functions;
	push @queue, map { 'SELECT * FROM ' . $odd->changed($odd->pick(@calls)) . ' AS f LIMIT 20;' } 1 .. 2000;
	# in another order for each seed
	for my $i (reverse 1 .. $#queue) { my $j = $odd->upto($i + 1); @queue[ $i, $j ] = @queue[ $j, $i ] }
	while (@queue && (!$seconds || time - $before < $seconds))
	{
		run_batch(batch($odd, sub { shift @queue }, 40));
	}
	$seed++;
} while ($seconds && time - $before < $seconds);

is(join("\n", @wrong), '', 'no crash, no internal error, nothing without an end');
cmp_ok(scalar(keys %reached), '>=', scalar(do { my %n; @n{ map { $_->{name} } @functions } = (); keys %n }), 'each function was called');
cmp_ok($states{'00000'}, '>', 1500, 'many calls worked');
note(join ' ', map { "$_ $states{$_}" } sort keys %states);
note("cancelled after statement_timeout: $_") for sort keys %slow;
unlike(slurp_log(), qr/(was terminated by signal|TRAP:|PANIC)/, 'the log of the server says so, too');

sub slurp_log
{
	open my $in, '<', $node->logfile or die;
	local $/;
	return scalar <$in>;
}

done_testing();

# Thirty sessions want the last five uses of a coupon, fifty the last of a budget, all at the same moment: nobody
# gets more than there is, and nobody less.
use strict;
use warnings;
use EcTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = ec_node('coupons', conf => { max_connections => 80 });

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE got (round int, used boolean);
SELECT ecauto.create_promotion('ten', '{"percent": 10, "coupon": true}');
SELECT ecauto.create_coupon('ten', 'LIMIT' || r, uses => 5) FROM generate_series(1, 10) r;
SELECT ecauto.create_promotion('thirty', '{"amount": 30, "currency": "EUR", "budget": {"amount": 1000}}');
SELECT ecauto.create_promotion('some', '{"percent": 10, "currency": "EUR", "budget": {"amount": 123.45}}');
SELECT ecauto.create_promotion('mail', '{"amount": 30, "currency": "EUR", "coupon": true, "budget": {"amount": 1000}}');
SQL
my @codes = split /\n/, $node->safe_psql('postgres', q{SELECT ecauto.generate_coupons('mail', 50, 'M')});

# together(N, SQL): N sessions run a statement, none of them before all are
# there; :n is the number of the session
sub together
{
	my ($n, $sql) = @_;
	my $gate = $node->background_psql('postgres');
	my $dir = PostgreSQL::Test::Utils::tempdir;
	my @sessions;

	$gate->query_safe('BEGIN; LOCK TABLE gate IN ACCESS EXCLUSIVE MODE');
	for my $i (1 .. $n)
	{
		(my $own = $sql) =~ s/:n\b/$i/g;
		push @sessions, IPC::Run::start(
			[ 'psql', '-XqAt', '-d', $node->connstr('postgres'), '-c', 'SELECT count(*) FROM gate', '-c', $own ],
			'>', "$dir/out$i", '2>', "$dir/err$i");
	}
	ec_wait($node, 'postgres', "SELECT count(*) = $n FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
	  or die 'sessions did not come';
	$gate->query_safe('COMMIT');
	my $failed = 0;
	$_->finish or $failed++ for @sessions;
	$gate->quit;
	is($failed, 0, 'no session failed') or diag(map { slurp_file("$dir/err$_") } 1 .. $n);
}
$node->safe_psql('postgres', 'CREATE TABLE gate (x int)');

for my $round (1 .. 10)
{
	together(30, "INSERT INTO got SELECT $round, ecauto.redeem_coupon('limit $round', '$round-:n', ':n\@shop.example')");
	is($node->safe_psql('postgres', "SELECT count(*) FILTER (WHERE used), count(*) FROM got WHERE round = $round"),
		'5|30', "exactly five of thirty, round $round");
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM ecauto_data.promotion_use}), '50', 'as many are on record');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT used::text, ',') FROM ecauto_data.coupon WHERE code LIKE 'LIMIT%'}), '5', 'and counted');

# one customer, thirty sessions, ten spellings
$node->safe_psql('postgres', q{SELECT ecauto.create_coupon('ten', 'EACH', uses_per_customer => 2)});
together(30, q{INSERT INTO got SELECT 20, ecauto.redeem_coupon('EACH', 'e:n', 'Ann+:n@shop.example')});
is($node->safe_psql('postgres', 'SELECT count(*) FILTER (WHERE used), count(*) FROM got WHERE round = 20'), '2|30', 'twice for each customer');

together(50, q{INSERT INTO got SELECT 30, ecauto.claim_promotion('thirty', 'b:n')});
is($node->safe_psql('postgres', 'SELECT count(*) FILTER (WHERE used), count(*) FROM got WHERE round = 30'), '33|50', 'a budget of 1,000 is 33 times 30');
is($node->safe_psql('postgres', q{SELECT sum(n) FROM (SELECT ecauto.cancel_order_promotions(order_key) AS n FROM ecauto_data.promotion_use
	WHERE order_key LIKE 'b%' ORDER BY use_id LIMIT 2) x}), '2', 'two cancel');
together(50, q{INSERT INTO got SELECT 31, ecauto.claim_promotion('thirty', 'c:n')});
is($node->safe_psql('postgres', 'SELECT count(*) FILTER (WHERE used), count(*) FROM got WHERE round = 31'), '2|50', 'two more come in');

# through coupons, each with a row of its own
{
	my $list = join(',', map { "'$_'" } @codes);
	together(50, "INSERT INTO got SELECT 40, ecauto.redeem_coupon((ARRAY[$list])[:n], 'd:n')");
	is($node->safe_psql('postgres', 'SELECT count(*) FILTER (WHERE used), count(*) FROM got WHERE round = 40'), '33|50', 'the same through fifty coupons');
}

# amounts that do not fit together: as much as fits, never more
together(50, q{INSERT INTO got SELECT 50, ecauto.claim_promotion('some', 's:n', 1.37 * :n)});
is($node->safe_psql('postgres', q{SELECT u.amount <= 123.45 AND u.amount = (SELECT sum(x.amount) FROM ecauto_data.promotion_use x WHERE x.promotion_id = u.promotion_id AND x.returned_at IS NULL)
	FROM ecauto_data.promotion_usage u JOIN ecauto_data.promotion p USING (promotion_id) WHERE p.name = 'some'}), 't', 'to the cent');

# half of them cancel while the others come
together(50, q{SELECT CASE WHEN :n % 2 = 0 THEN ecauto.cancel_order_promotions('b:n') > 0 ELSE ecauto.claim_promotion('thirty', 'f:n') END});
is($node->safe_psql('postgres', q{SELECT u.amount <= 1000 AND u.amount = 30 * u.uses AND u.uses = (SELECT count(*) FROM ecauto_data.promotion_use x WHERE x.promotion_id = u.promotion_id AND x.returned_at IS NULL)
	FROM ecauto_data.promotion_usage u JOIN ecauto_data.promotion p USING (promotion_id) WHERE p.name = 'thirty'}), 't', 'counters are what is on record');

done_testing();

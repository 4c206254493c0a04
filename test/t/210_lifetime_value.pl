# Models of purchases fitted to CDNOW's customers (Fader, Hardie): parameters,
# likelihoods and what is predicted for each customer agree with independent
# programs (scipy), and a shop of those customers gets the same by fit_clv().
use strict;
use warnings;
use EcTest;
use Test::More;

my $data = ec_shared('data/cdnow') or plan skip_all => 'the CDNOW data is not at hand';
my $reference = ec_shared('reference') or plan skip_all => 'the reference figures are not at hand';
my $node = ec_node('main', conf => { 'ecauto.settle_time' => 0 });

sub sql { return $node->safe_psql('postgres', $_[0]); }

IPC::Run::run([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', 'load.sql', $node->connstr('postgres') ],
	init => sub { chdir $data or die $! }) or die 'could not load the data';
sql(qq{
	CREATE TABLE reference (id int, x float8, tx float8, t float8, bg_alive float8, bg_orders float8, mbg_alive float8, mbg_orders float8,
		par_alive float8, par_orders float8, next_weeks float8, bg_buys float8, worth float8, clv12 float8);
	COPY reference FROM PROGRAM 'gzip -dc $reference/clv_cdnow_reference.csv.gz' WITH (FORMAT csv, HEADER);
	CREATE TABLE a AS SELECT array_agg(frequency::float8) AS x, array_agg(recency) AS tx, array_agg(t_obs) AS t FROM cdnow_summary;
	CREATE TABLE m AS SELECT array_agg(x::float8) AS x, array_agg(zbar) AS z FROM cdnow_summary_value;
	CREATE TABLE whole AS
		SELECT array_agg(x) AS x, array_agg(tx) AS tx, array_agg(t) AS t FROM (
			SELECT (count(DISTINCT purchased_on) - 1)::float8 AS x, (max(purchased_on) - min(purchased_on)) / 7.0::float8 AS tx,
				('1997-09-30'::date - min(purchased_on)) / 7.0::float8 AS t
			FROM cdnow_master WHERE purchased_on <= '1997-09-30' GROUP BY customer_id) c;
});

# within a thousandth, and likelihoods within a hundredth
sub fits
{
	my ($what, $query, @wanted) = @_;
	my @got = split /\|/, sql($query);
	my $likelihood = pop @wanted;
	my $found = $got[ scalar @wanted ];
	for my $i (0 .. $#wanted)
	{
		cmp_ok(abs($got[$i] - $wanted[$i]), '<=', 0.001 * $wanted[$i], "$what: parameter " . ($i + 1) . " is $wanted[$i]");
	}
	cmp_ok(abs($found - $likelihood), '<=', 0.01, "$what: log-likelihood is $likelihood") if defined $likelihood;
	return;
}

fits('BG/NBD', 'SELECT r, alpha, a, b, log_likelihood FROM a, ecauto.bgnbd_fit(x, tx, t)', .2426, 4.4135, .7929, 2.4258, -9582.43);
fits('Pareto/NBD', 'SELECT r, alpha, s, beta, log_likelihood FROM a, ecauto.paretonbd_fit(x, tx, t)', .5533, 10.5776, .6062, 11.6679, -9594.97);
fits('gamma-gamma', 'SELECT p, q, v FROM m, ecauto.gamma_gamma_fit(x, z)', 6.2488, 3.7446, 15.4477, undef);
fits('BG/NBD of all 23,570', 'SELECT r, alpha, a, b, log_likelihood FROM whole, ecauto.bgnbd_fit(x, tx, t)', .2516, 4.7889, .7234, 2.1611, -95368.44);

is(sql(q{
	WITH b AS MATERIALIZED (SELECT ARRAY[r, alpha, a, b] AS p FROM a AS d, ecauto.bgnbd_fit(d.x, d.tx, d.t)),
	m AS MATERIALIZED (SELECT ARRAY[r, alpha, a, b] AS p FROM a AS d, ecauto.mbgnbd_fit(d.x, d.tx, d.t)),
	s AS MATERIALIZED (SELECT ARRAY[r, alpha, s, beta] AS p FROM a AS d, ecauto.paretonbd_fit(d.x, d.tx, d.t))
	SELECT count(*) FROM reference c, b, m, s
	WHERE abs(ecauto.clv_p_alive('bgnbd', b.p, x, tx, t) - bg_alive) < 1e-4
		AND abs(ecauto.clv_expected_orders('bgnbd', b.p, x, tx, t, 39) - bg_orders) < 1e-3
		AND abs(ecauto.clv_p_buys('bgnbd', b.p, x, tx, t, 4) - bg_buys) < 1e-4
		AND abs(ecauto.clv_p_alive('mbgnbd', m.p, x, tx, t) - mbg_alive) < 1e-4
		AND abs(ecauto.clv_expected_orders('mbgnbd', m.p, x, tx, t, 39) - mbg_orders) < 1e-3
		AND abs(ecauto.clv_p_alive('paretonbd', s.p, x, tx, t) - par_alive) < 1e-4
		AND abs(ecauto.clv_expected_orders('paretonbd', s.p, x, tx, t, 39) - par_orders) < 1e-3
}), '2357', 'what three models predict for each of 2,357 customers');
is(sql(q{
	WITH f AS MATERIALIZED (SELECT ARRAY[p, q, v] AS p FROM m, ecauto.gamma_gamma_fit(x, z))
	SELECT count(*) FROM cdnow_summary_value c JOIN reference r USING (id), f
	WHERE abs(ecauto.gamma_gamma_value(f.p, c.x, c.zbar) - r.worth) < 0.01 * r.worth
}), sql('SELECT count(*) FROM cdnow_summary_value'), 'the value of an order of each');
is(sql(q{
	WITH f AS (SELECT array_agg(x ORDER BY i) AS x, array_agg(tx ORDER BY i) AS tx, array_agg(t ORDER BY i) AS t
		FROM (SELECT c.x, c.tx, c.t, md5(n::text) AS i FROM a, unnest(a.x, a.tx, a.t) WITH ORDINALITY c (x, tx, t, n)) s)
	SELECT (SELECT b::text FROM a, ecauto.bgnbd_fit(a.x, a.tx, a.t) b) = (SELECT b::text FROM f, ecauto.bgnbd_fit(f.x, f.tx, f.t) b)
}), 't', 'shuffled customers, the same to the last digit');

# how certain predictions are: by derivatives of their own, taken from predictions at parameters nearby
is(sql(q{
	WITH f AS MATERIALIZED (SELECT 'bgnbd' AS model, ARRAY[r, alpha, a, b] AS p, covariance AS c FROM a AS d, ecauto.bgnbd_fit(d.x, d.tx, d.t)
		UNION ALL SELECT 'mbgnbd', ARRAY[r, alpha, a, b], covariance FROM a AS d, ecauto.mbgnbd_fit(d.x, d.tx, d.t)
		UNION ALL SELECT 'paretonbd', ARRAY[r, alpha, s, beta], covariance FROM a AS d, ecauto.paretonbd_fit(d.x, d.tx, d.t)),
	s AS (SELECT f.*, k.id, k.x, k.tx, k.t, i,
			(ecauto.clv_expected_orders(model, up, x, tx, t, 39) - ecauto.clv_expected_orders(model, down, x, tx, t, 39)) / (up[i] - down[i]) AS orders,
			(ecauto.clv_p_alive(model, up, x, tx, t) - ecauto.clv_p_alive(model, down, x, tx, t)) / (up[i] - down[i]) AS alive
		FROM f CROSS JOIN (SELECT * FROM reference ORDER BY id LIMIT 100) k CROSS JOIN generate_series(1, 4) i
		CROSS JOIN LATERAL (SELECT array_agg(CASE WHEN j = i THEN q * 1.001 ELSE q END ORDER BY j) AS up,
			array_agg(CASE WHEN j = i THEN q * 0.999 ELSE q END ORDER BY j) AS down FROM unnest(p) WITH ORDINALITY u (q, j)) u),
	e AS (SELECT l.model, l.id, l.p, l.c, l.x, l.tx, l.t, sqrt(sum(l.orders * r.orders * l.c[l.i][r.i])) AS orders, sqrt(greatest(sum(l.alive * r.alive * l.c[l.i][r.i]), 0)) AS alive
		FROM s l JOIN s r ON r.model = l.model AND r.id = l.id GROUP BY l.model, l.id, l.p, l.c, l.x, l.tx, l.t)
	SELECT string_agg(model || ' ' || n, ', ' ORDER BY model) FROM (
		SELECT e.model, count(*) AS n FROM e CROSS JOIN LATERAL ecauto.clv_errors(e.model, e.p, e.x, e.tx, e.t, 39, e.c) g
		WHERE abs(g.expected_orders - e.orders) < 1e-3 * e.orders AND abs(g.p_alive - e.alive) < 1e-6 + 1e-3 * e.alive AND g.expected_orders > 0 GROUP BY 1) x
}), 'bgnbd 100, mbgnbd 100, paretonbd 100', 'standard errors of 100 predictions under each model');

# ---- a year of a gift shop: nobody leaves, so far as the data tell ----
SKIP:
{
	my $gifts = ec_shared('data/online_retail') or skip 'the data of the gift shop is not at hand', 9;
	IPC::Run::run([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', 'load.sql', $node->connstr('postgres') ],
		init => sub { chdir $gifts or die $! }) or die 'could not load the data';
	# days on which goods were sold at a price, up to 31 August 2011; in weeks
	sql(q{
		CREATE TABLE gifts AS
		SELECT customer_id, count(*) FILTER (WHERE early) - 1::float8 AS x, (max(day) FILTER (WHERE early) - min(day)) / 7.0::float8 AS tx,
			(date '2011-08-31' - min(day)) / 7.0::float8 AS t, count(*) FILTER (WHERE NOT early)::float8 AS held
		FROM (SELECT DISTINCT customer_id, invoice_date::date AS day, invoice_date < '2011-09-01' AS early FROM online_retail
			WHERE customer_id IS NOT NULL AND quantity > 0 AND unit_price > 0) d
		GROUP BY customer_id HAVING min(day) <= '2011-08-31';
		CREATE TABLE gift AS SELECT array_agg(x) AS x, array_agg(tx) AS tx, array_agg(t) AS t FROM gifts;
		CREATE TABLE gift_fit AS SELECT f.* FROM gift, ecauto.bgnbd_fit(x, tx, t) f;
	});
	is(sql('SELECT count(*) FROM gifts'), '3317', 'a gift shop: customers until the end of August');
	fits('a gift shop', 'SELECT r, alpha FROM gift_fit', .7224, 9.4193, undef);
	cmp_ok(abs(sql(q{SELECT ecauto.clv_log_likelihood('bgnbd', '{.7224,9.4193,.9761,8103.08}', x, tx, t) FROM gift}) + 21755.47), '<', 0.01,
		'the likelihood of published parameters');
	cmp_ok(sql('SELECT log_likelihood FROM gift_fit'), '>=', -21755.47, 'ours are not less likely');
	is(sql('SELECT round(b::numeric, 2) FROM gift_fit'), '8103.08', 'b runs off to its bound');
	like(sql('SELECT note FROM gift_fit'), qr/\bb ran off to/, 'and the note says so');
	my ($error, $correlation) = split /\|/, sql(q{
		SELECT avg(abs(orders - held)), corr(orders, held) FROM (
			SELECT held, ecauto.clv_expected_orders('bgnbd', ARRAY[f.r, f.alpha, f.a, f.b], g.x, g.tx, g.t, 100 / 7.0) AS orders FROM gifts g, gift_fit f) p});
	cmp_ok(abs($error - .9970), '<', .0005, 'mean absolute error of 100 days that were held out');
	cmp_ok(abs($correlation - .804), '<', .001, 'correlation');
}

# ---- all of CDNOW ----
{
	sql(q{
		CREATE TABLE hold_all AS
		SELECT count(*) FILTER (WHERE early) - 1::float8 AS x, (max(day) FILTER (WHERE early) - min(day)) / 7.0::float8 AS tx,
			(date '1997-09-30' - min(day)) / 7.0::float8 AS t, count(*) FILTER (WHERE NOT early)::float8 AS held
		FROM (SELECT DISTINCT customer_id, purchased_on AS day, purchased_on <= '1997-09-30' AS early FROM cdnow_master) d GROUP BY customer_id;
		CREATE TABLE hold_fit AS
		SELECT 'bgnbd' AS model, ARRAY[r, alpha, a, b] AS p FROM whole, ecauto.bgnbd_fit(x, tx, t)
		UNION ALL SELECT 'mbgnbd', ARRAY[r, alpha, a, b] FROM whole, ecauto.mbgnbd_fit(x, tx, t)
		UNION ALL SELECT 'paretonbd', ARRAY[r, alpha, s, beta] FROM whole, ecauto.paretonbd_fit(x, tx, t);
	});
	my %error = map { split /\|/ } split /\n/, sql(q{
		SELECT model, avg(abs(held - ecauto.clv_expected_orders(model, p, x, tx, t, 39))) FROM hold_all, hold_fit GROUP BY 1});
	cmp_ok(abs($error{bgnbd} - .8187), '<', .0005, 'all 23,570: mean absolute error of 39 weeks');
	cmp_ok($error{mbgnbd}, '<', $error{bgnbd}, 'MBG/NBD errs less');
	cmp_ok($error{paretonbd}, '<', $error{bgnbd}, 'Pareto/NBD too');
}

# ---- what was predicted for weeks that were held out ----
SKIP:
{
	my $splits = ec_shared('data/splits') or skip 'the hold-out data is not at hand', 8;
	sql(qq{
		CREATE TABLE hold (id text, x float8, tx float8, t float8, held float8, m float8, vh float8, first float8);
		COPY hold FROM PROGRAM 'gzip -dc $splits/cdnow_sample_calhold.csv.gz' WITH (FORMAT csv, HEADER);
		ALTER TABLE hold ADD name text, ADD weeks float8;
		UPDATE hold SET name = 'cdnow', weeks = 39;
		COPY hold (id, x, tx, t, held, m, vh, first) FROM PROGRAM 'gzip -dc $splits/online_retail_calhold.csv.gz' WITH (FORMAT csv, HEADER);
		UPDATE hold SET name = 'gifts', weeks = 100 / 7.0 WHERE name IS NULL;
		CREATE TABLE predicted AS
		WITH d AS (SELECT name, array_agg(x) AS x, array_agg(tx) AS tx, array_agg(t) AS t FROM hold GROUP BY 1),
		f AS (SELECT name, 'bgnbd' AS model, ARRAY[r, alpha, a, b] AS p FROM d, ecauto.bgnbd_fit(d.x, d.tx, d.t)
			UNION ALL SELECT name, 'mbgnbd', ARRAY[r, alpha, a, b] FROM d, ecauto.mbgnbd_fit(d.x, d.tx, d.t)
			UNION ALL SELECT name, 'paretonbd', ARRAY[r, alpha, s, beta] FROM d, ecauto.paretonbd_fit(d.x, d.tx, d.t))
		SELECT name, model, held, ecauto.clv_expected_orders(model, p, x, tx, t, weeks) AS orders,
			ecauto.clv_p_alive(model, p, x, tx, t) AS alive FROM hold JOIN f USING (name);
	});
	my $judged = sub {
		my ($name, $model) = @_;
		return split /\|/, sql(qq{
			WITH k AS (SELECT *, rank() OVER (ORDER BY alive) + (count(*) OVER (PARTITION BY alive) - 1) / 2.0 AS place,
				held > 0 AS came FROM predicted WHERE name = '$name' AND model = '$model')
			SELECT round(sum(orders)), sum(held), avg(abs(orders - held)), corr(orders, held),
				(sum(place) FILTER (WHERE came) - count(*) FILTER (WHERE came) * (count(*) FILTER (WHERE came) + 1) / 2.0)
				/ (count(*) FILTER (WHERE came)::float8 * count(*) FILTER (WHERE NOT came)) FROM k});
	};
	my ($orders, $held, $error, $correlation, $auc) = $judged->('cdnow', 'bgnbd');
	is("$orders of $held", '1653 of 1882', 'BG/NBD: purchases predicted for 39 weeks');
	cmp_ok(abs($error - .7855), '<', .0005, 'mean absolute error');
	cmp_ok(abs($correlation - .626), '<', .0005, 'correlation');
	cmp_ok(abs($auc - .316), '<', .0005, 'P(alive) ranks churn worse than a coin: never chosen');
	cmp_ok(abs(($judged->('cdnow', 'mbgnbd'))[4] - .687), '<', .0005, 'MBG/NBD ranks it');
	cmp_ok(abs(($judged->('cdnow', 'paretonbd'))[4] - .726), '<', .0005, 'Pareto/NBD ranks it best');
	(undef, undef, $error, $correlation) = $judged->('gifts', 'bgnbd');
	cmp_ok($error, '<', .9975, 'a gift shop: mean absolute error');
	cmp_ok(abs($correlation - .804), '<', .001, 'correlation');
}

done_testing();

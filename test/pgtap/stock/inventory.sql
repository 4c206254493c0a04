-- Inventory models: each against another way to its answer, and what they refuse.
BEGIN;
SELECT plan(60);
CREATE FUNCTION same(x float8, y float8, digits int DEFAULT 9) RETURNS boolean LANGUAGE sql AS
	$$ SELECT abs(x - y) <= 10.0 ^ -digits * greatest(1, abs(x)) $$;

-- ---- quantities ----
SELECT ok(same(order_quantity, 304.0467800264368) AND same(cost, 68.41052550594827), 'economic quantity') FROM ecauto.eoq(8, 0.225, 1300);
SELECT ok(same(cost, 69.725), 'another one costs more') FROM ecauto.eoq(8, 0.225, 1300, 250);
SELECT is((ecauto.eoq(8, NULL, 1300)).cost, NULL, 'NULL');
SELECT throws_ok($$ SELECT ecauto.eoq(8, 0, 1300) $$, '22023', 'holding_cost must be a number above zero and at most 1e+15', 'holding that costs nothing');
SELECT throws_ok($$ SELECT ecauto.eoq(8, 'NaN', 1300) $$, '22023', NULL, 'NaN');
SELECT throws_ok($$ SELECT ecauto.eoq(8, 1, 'Infinity') $$, '22023', NULL, 'infinity');
SELECT throws_ok($$ SELECT ecauto.eoq(1e15, 1e-308, 1e15) $$, '22003', 'order_quantity is out of range', 'overflow');
SELECT is((SELECT count(*) FROM generate_series(1, 60) q, ecauto.eoq_backorders(8, 0.225, 5, 1300) best,
	LATERAL ecauto.eoq_backorders(8, 0.225, 5, 1300, q * 10, q / 300.0) other WHERE other.cost < best.cost), 0::bigint, 'nothing is cheaper with backorders');
SELECT throws_ok($$ SELECT ecauto.eoq_backorders(8, 1, 1, 10, 5, 2) $$, '22023', 'fraction must be at most 1', 'more than all');
SELECT throws_ok($$ SELECT ecauto.epq(8, 1, 10, 10) $$, '22023', 'production must be faster than demand', 'slow production');
SELECT is((SELECT format('%s %s %s', order_quantity, tier, unit_price) FROM ecauto.eoq_discounts(8, 0.3, 1300, '{0,400,800}', '{0.75,0.72,0.68}')), '800 3 0.68', 'a price for all units');
-- brute force: the cost of each quantity, by its definition
WITH case_of AS (
	SELECT g, 1 + (g * 37) % 90 AS k, (20 + (g * 13) % 60) / 100.0 AS rate, 100 + (g * 71) % 900 AS d, (g % 2 = 1) AS incremental,
		ARRAY[0, 20 + (g * 29) % 80, 140 + (g * 31) % 160] AS breaks, ARRAY[10, 10 - 0.1 * (1 + (g * 7) % 20), 7.5 - 0.1 * ((g * 11) % 20)] AS prices
	FROM generate_series(1, 30) g
), brute AS (
	SELECT c.g, min(p.goods / q * c.d + c.k * c.d::float8 / q + c.rate * p.goods / 2) AS cost
	FROM case_of c CROSS JOIN generate_series(1, 1500) q
	CROSS JOIN LATERAL (SELECT CASE WHEN c.incremental THEN
			c.prices[1] * least(q, c.breaks[2]) + c.prices[2] * greatest(0, least(q, c.breaks[3]) - c.breaks[2]) + c.prices[3] * greatest(0, q - c.breaks[3])
		ELSE q * CASE WHEN q >= c.breaks[3] THEN c.prices[3] WHEN q >= c.breaks[2] THEN c.prices[2] ELSE c.prices[1] END END::float8 AS goods) p
	GROUP BY c.g
)
SELECT is(count(*) FILTER (WHERE e.cost > b.cost + 1e-6 OR e.cost < b.cost - 0.001 * b.cost), 0::bigint, 'discounts, as the cheapest of all quantities')
FROM case_of c JOIN brute b USING (g) CROSS JOIN LATERAL ecauto.eoq_discounts(c.k, c.rate::float8, c.d, c.breaks::float8[], c.prices::float8[], c.incremental) e;
SELECT throws_ok($$ SELECT ecauto.eoq_discounts(8, 0.3, 1300, '{0,400}', '{1,1.1}') $$, '22023', 'breaks must ascend, and prices fall', 'dearer by the dozen');
SELECT throws_ok($$ SELECT ecauto.eoq_discounts(8, 0.3, 1300, '{0,400}', '{1}') $$, '2202E', NULL, 'a break without a price');
SELECT is((SELECT multiples FROM ecauto.joint_replenishment(600, '{120,840,300}', '{160,20,50}', '{1,1,1}')), '{1,3,1}', 'together');
SELECT throws_ok($$ SELECT ecauto.joint_replenishment(600, '{120,NULL}', '{1,1}', '{1,1}') $$, '2202E', NULL, 'NULL inside');

-- ---- by period ----
-- brute force: each set of periods in which it is ordered
CREATE FUNCTION cheapest(d float8[], k float8[], h float8[], c float8[]) RETURNS float8 LANGUAGE sql AS $$
	SELECT min(x.cost) FROM generate_series(1, (1 << cardinality(d)) - 1) s (bits) CROSS JOIN LATERAL (
		SELECT sum(y.cost) AS cost FROM (
			SELECT o.t, CASE WHEN sum(d[i]) > 0 THEN k[o.t] ELSE 0 END
				+ sum(d[i] * (c[o.t] + (SELECT coalesce(sum(h[j]), 0) FROM generate_series(o.t, i - 1) j))) AS cost
			FROM generate_series(1, cardinality(d)) i
			LEFT JOIN LATERAL (SELECT max(t) AS t FROM generate_series(1, i) t WHERE (bits >> (t - 1)) & 1 = 1) o ON true
			WHERE d[i] > 0 OR o.t IS NOT NULL GROUP BY o.t) y
		HAVING bool_and(y.t IS NOT NULL)) x
$$;
SELECT is(count(*) FILTER (WHERE same(w.cost, cheapest(x.d, x.k, x.h, x.c))), 25::bigint, 'as cheap as the best of all plans, in 25 cases')
FROM (SELECT g, array_agg(CASE WHEN (g + i) % 4 = 0 THEN 0 ELSE ((g * 31 + i * 17) % 50) END::float8 ORDER BY i) AS d, array_agg(((g * 13 + i * 7) % 90)::float8 ORDER BY i) AS k,
	array_agg(((g * 5 + i * 3) % 4)::float8 ORDER BY i) AS h, array_agg(((g * 3 + i * 11) % 5)::float8 ORDER BY i) AS c
	FROM generate_series(1, 25) g, generate_series(1, 5) i GROUP BY g) x
CROSS JOIN LATERAL ecauto.wagner_whitin(x.d, x.k, x.h, x.c) w;
SELECT is(ecauto.wagner_whitin('{90,120,80,70}', 500, 2)::text, '("{210,0,150,0}","{3,5,5,5}",1380)', 'a plan');
SELECT is((ecauto.wagner_whitin('{0,0}', 500, 2))::text, '("{0,0}","{2,3}",0)', 'nothing is needed: nothing is ordered');
SELECT throws_ok($$ SELECT ecauto.wagner_whitin('{}', 500, 2) $$, '2202E', NULL, 'no periods');
SELECT throws_ok($$ SELECT ecauto.wagner_whitin(array_fill(1::float8, ARRAY[10001]), 500, 2) $$, '54000', 'there are too many periods', 'too many');
SELECT throws_ok($$ SELECT ecauto.wagner_whitin('{1,-1}', 500, 2) $$, '22023', NULL, 'returns');

-- ---- losses ----
SELECT ok(bool_and(same(l.leftover - l.shortage, x.stock - x.mean)), 'what is left less what is missing is the stock less the mean, of ' || x.distribution)
FROM (SELECT d AS distribution, m AS mean, s AS stock FROM unnest('{normal,negbin,gamma,lognormal}'::text[]) d, unnest('{1,7,90}'::float8[]) m, unnest('{0,3,8,120}'::float8[]) s) x
CROSS JOIN LATERAL ecauto.loss_function(x.stock, x.mean, 1.5 * sqrt(x.mean), x.distribution) l GROUP BY x.distribution ORDER BY x.distribution;
-- by the sum over all units
SELECT ok(same(l.shortage, s.one) AND same(l.shortage2, s.two) AND same(l.leftover, s.left_one) AND same(l.leftover2, s.left_two), 'as summed up')
FROM ecauto.loss_function(5, 7) l, (SELECT sum(p * greatest(0, k - 5)) AS one, sum(p * greatest(0, k - 5) * (k - 6)) / 2 AS two,
		sum(p * greatest(0, 5 - k)) AS left_one, sum(p * greatest(0, 5 - k) * (6 - k)) / 2 AS left_two
	FROM (SELECT k, exp(-7 + k * ln(7) - ln(CASE WHEN k = 0 THEN 1 ELSE factorial(k) END)::float8) AS p FROM generate_series(0, 60) k) x) s;
SELECT ok(same(ecauto.negbin_loss(7, 20, 9), (ecauto.loss_function(9, 7, sqrt(20), 'negbin')).shortage) AND same(ecauto.normal_loss(7, 2, 9), (ecauto.loss_function(9, 7, 2)).shortage), 'as the functions of one distribution');
SELECT is(ecauto.loss_function(5, 3, 0)::text, '(0,2,0,2)', 'demand that is known');
SELECT is(ecauto.loss_function(-2, 3)::text, '(5,0,11.5,0)', 'all is missing');
SELECT throws_ok($$ SELECT ecauto.loss_function(5, 3, 1, 'cauchy') $$, '22023', 'distribution "cauchy" does not exist', 'unknown distribution');
SELECT throws_ok($$ SELECT ecauto.loss_function(5, 3, 1, 'negbin') $$, '22023', NULL, 'too regular');
SELECT throws_ok($$ SELECT ecauto.loss_function(5, 3, 1, 'poisson') $$, '22023', NULL, 'sd of its own');
SELECT throws_ok($$ SELECT ecauto.loss_function(5.5, 3) $$, '22023', NULL, 'half a unit');
SELECT throws_ok($$ SELECT ecauto.loss_function(5, 3, NULL, 'gamma') $$, '22023', 'sd is needed for this distribution', 'no sd');
SELECT throws_ok($$ SELECT ecauto.loss_function(5, 1e12) $$, '22023', NULL, 'too many units to count');

-- ---- newsvendor ----
SELECT ok(same(base_stock, 56.60395592743389) AND same(critical_ratio, 0.7 / 0.88), 'normal demand') FROM ecauto.newsvendor(0.18, 0.70, 50, 8);
SELECT is((SELECT base_stock FROM ecauto.newsvendor(1, 4, 6)), 8::float8, 'poisson');
SELECT is((SELECT count(*) FROM generate_series(-3, 40) s, unnest('{poisson,negbin}'::text[]) d, LATERAL ecauto.newsvendor(1, 4, 6, CASE d WHEN 'negbin' THEN 4 END, 2, d) best,
	LATERAL ecauto.newsvendor(1, 4, 6, CASE d WHEN 'negbin' THEN 4 END, 2, d, s) other WHERE other.cost < best.cost - 1e-9), 0::bigint, 'no level is cheaper');
SELECT is((SELECT base_stock FROM ecauto.newsvendor(1, 2, ARRAY[5, 1, 3]::float8[])), 3::float8, 'what was seen: two of three at a ratio of two thirds');
SELECT throws_ok($$ SELECT ecauto.newsvendor(1, 2, '{1,2}'::float8[], '{0.5,0.6}') $$, '22023', 'probabilities must sum to 1', 'more than certain');
SELECT ok(same(profit, 33.002394806823354), 'profit') FROM ecauto.newsvendor_profit(1, 0.3, 0.12, 50, 8);
SELECT throws_ok($$ SELECT ecauto.newsvendor_profit(1, 2, 0, 50, 8) $$, '22023', 'a unit too few and a unit too many must both cost something', 'sold below cost');
SELECT throws_ok($$ SELECT ecauto.newsvendor_myopic(1, 2, 1, 1, 50, 8, 2) $$, '22023', 'discount must be above 0 and at most 1', 'discount');

-- ---- (r, Q) ----
SELECT ok(b.cost <= e.cost + 1e-9 AND b.cost <= l.cost + 1e-9 AND b.cost <= s.cost + 1e-9 AND same(b.cost, ecauto.r_q_cost(b.reorder_point, b.order_quantity, 0.225, 7.5, 8, 1300, 150, 1 / 12.0)), 'the exact policy is not dearer than the approximations')
FROM ecauto.r_q_policy(0.225, 7.5, 8, 1300, 150, 1 / 12.0) b, ecauto.r_q_policy(0.225, 7.5, 8, 1300, 150, 1 / 12.0, method => 'eoqb') e,
	ecauto.r_q_policy(0.225, 7.5, 8, 1300, 150, 1 / 12.0, method => 'loss') l, ecauto.r_q_policy(0.225, 7.5, 8, 1300, 150, 1 / 12.0, method => 'eoqss') s;
SELECT is((SELECT count(*) FROM ecauto.r_q_policy(0.225, 7.5, 8, 1300, 150, 1 / 12.0) b, generate_series(-5, 5) i, generate_series(-5, 5) j
	WHERE ecauto.r_q_cost(b.reorder_point + i * 0.5, b.order_quantity + j * 0.5, 0.225, 7.5, 8, 1300, 150, 1 / 12.0) < b.cost - 1e-9), 0::bigint, 'nor than any other nearby');
SELECT is((SELECT count(*) FROM ecauto.r_q_policy(20, 150, 100, 1.5, NULL, 2) b, generate_series(-3, 12) r, generate_series(1, 15) q
	WHERE ecauto.r_q_cost(r, q, 20, 150, 100, 1.5, NULL, 2) < b.cost - 1e-9), 0::bigint, 'of all policies in whole units');
SELECT ok(same(order_quantity, (ecauto.eoq_backorders(8, 0.225, 5, 1300)).order_quantity, 6) AND same(cost, (ecauto.eoq_backorders(8, 0.225, 5, 1300)).cost), 'without variance, the quantity with backorders')
FROM ecauto.r_q_policy(0.225, 5, 8, 1300, 0, 0.1);
SELECT throws_ok($$ SELECT ecauto.r_q_policy(1, 1, 1, 10, 2, 1, method => 'guess') $$, '22023', 'method "guess" does not exist', 'unknown method');
SELECT throws_ok($$ SELECT ecauto.r_q_policy(1, 0.01, 100, 10, 2, 1, method => 'eil') $$, '22023', NULL, 'not worth holding');
SELECT throws_ok($$ SELECT ecauto.r_q_policy(1e-9, 1, 1e9, 1000, NULL, 1) $$, '54000', 'the exact policy is too far to seek', 'too many levels');

-- ---- (s, S) ----
SELECT is((SELECT count(*) FROM ecauto.s_s_policy(1, 4, 5, 6, 4, 1, 'negbin') b, generate_series(-2, 25) s, generate_series(s + 1, 40) t
	WHERE ecauto.s_s_cost(s, t, 1, 4, 5, 6, 4, 1, 'negbin') < b.cost - 1e-9), 0::bigint, 'of all policies');
SELECT throws_ok($$ SELECT ecauto.s_s_cost(10, 10, 1, 4, 5, 6) $$, '22023', 'order_up_to must be above reorder_point', 'nothing to fill');
SELECT throws_ok($$ SELECT ecauto.s_s_policy(1, 4, 5, 6, 2, method => 'exact') $$, '22023', NULL, 'normal demand');
SELECT is((SELECT cost FROM ecauto.s_s_policy(0.18, 0.7, 2.5, 50, 8)), NULL, 'the approximation tells no cost');

-- ---- what numbers cannot hold ----
SELECT throws_ok($$ SELECT ecauto.r_q_cost(1e14, 1e-300, 1, 1, 1, 1e15, 1e10, 1) $$, '22003', 'cost is out of range', 'a cost');
SELECT throws_ok($$ SELECT ecauto.r_q_reorder_point(10, 1e-15, 1e15, 10, 3, 1) $$, '22003', 'reorder_point is out of range', 'a level');
SELECT throws_ok($$ SELECT ecauto.joint_replenishment(10, '{1,1}', '{1e-200,1e-200}', '{1e-200,1e-200}') $$, '22003', 'cycle is out of range', 'a cycle without end');
SELECT throws_ok($$ SELECT ecauto.joint_replenishment(0, '{1,1}', '{1,1e-200}', '{1,1e-200}') $$, '22003', 'cycle is out of range', 'an item that is never ordered');
SELECT throws_ok($$ SELECT ecauto.eoq_discounts(1e15, 1e-300, 1e15, '{0}', '{1e-300}') $$, '22003', 'cost is out of range', 'a price');
SELECT finish();
ROLLBACK;

-- The fitters of lifetime value find known maxima, say what the data do not
-- tell, and refuse what is no history.
BEGIN;
SELECT plan(39);

-- BG/NBD of the CDNOW sample and the first of its customers (Fader, Hardie, Lee 2005)
SELECT is(round(ecauto.clv_expected_orders('bgnbd', '{0.242593,4.413532,0.792886,2.425753}', 2, 30.43, 38.86, 39)::numeric, 4), 1.2259,
	'BG/NBD: expected orders');
SELECT is(round(ecauto.clv_p_alive('bgnbd', '{0.242593,4.413532,0.792886,2.425753}', 2, 30.43, 38.86)::numeric, 4), 0.7266,
	'BG/NBD: alive');
SELECT is(ecauto.clv_p_alive('bgnbd', '{0.242593,4.413532,0.792886,2.425753}', 0, 0, 38.86), 1::float8,
	'BG/NBD: who bought once is alive, says the model');
SELECT is(round(ecauto.clv_p_buys('bgnbd', '{0.242593,4.413532,0.792886,2.425753}', 2, 30.43, 38.86, 4)::numeric, 4), 0.1307,
	'BG/NBD: buys within four weeks');
SELECT is(round(ecauto.clv_expected_orders('mbgnbd', '{0.524838,6.182992,0.891356,1.613999}', 2, 30.43, 38.86, 39)::numeric, 4), 1.2627,
	'MBG/NBD: expected orders');
SELECT is(round(ecauto.clv_expected_orders('paretonbd', '{0.553275,10.577600,0.606218,11.668050}', 2, 30.43, 38.86, 39)::numeric, 4), 1.4551,
	'Pareto/NBD: expected orders');
SELECT is(round(ecauto.clv_p_alive('paretonbd', '{0.553275,10.577600,0.606218,11.668050}', 1, 1.71, 38.86)::numeric, 4), 0.1679,
	'Pareto/NBD: alive');

-- a horizon of nothing, of next to nothing, and of all time
SELECT is(ecauto.clv_expected_orders(m, '{0.5,4,0.8,2.4}', 3, 10, 20, 0), 0::float8, m || ': no time, no orders')
FROM unnest('{bgnbd,mbgnbd,paretonbd}'::text[]) m;
SELECT ok(ecauto.clv_expected_orders(m, '{0.5,4,0.0001,8103}', 3, 10, 20, 1e6) BETWEEN 1 AND 1e6, m || ': parameters that ran off give a number')
FROM unnest('{bgnbd,mbgnbd,paretonbd}'::text[]) m;
SELECT ok(abs(ecauto.clv_expected_orders('bgnbd', '{0.5,4,0.999999,2.4}', 3, 10, 20, 10)
	- ecauto.clv_expected_orders('bgnbd', '{0.5,4,1.000001,2.4}', 3, 10, 20, 10)) < 1e-5, 'nothing happens to BG/NBD where a is 1');

-- a fit does not depend on the order of the customers
CREATE TEMP TABLE c AS
SELECT i, (i * 7919 % 13 % 5)::float8 AS x, CASE WHEN i * 7919 % 13 % 5 = 0 THEN 0 ELSE (i * 31 % 20 + 1)::float8 END AS tx,
	(25 + i * 17 % 14)::float8 AS t FROM generate_series(1, 500) i;
SELECT is((SELECT f FROM (SELECT array_agg(x ORDER BY i) x, array_agg(tx ORDER BY i) tx, array_agg(t ORDER BY i) t FROM c) a, ecauto.bgnbd_fit(a.x, a.tx, a.t) f),
	(SELECT f FROM (SELECT array_agg(x ORDER BY md5(i::text)) x, array_agg(tx ORDER BY md5(i::text)) tx, array_agg(t ORDER BY md5(i::text)) t FROM c) a, ecauto.bgnbd_fit(a.x, a.tx, a.t) f),
	'shuffled customers, the same to the last digit');
SELECT is((SELECT f.note FROM ecauto.bgnbd_fit('{2,6,17,5}', '{30,31,29,30}', '{31,32,30,31}') f), 'a, b ran off to their bounds: the data do not tell them',
	'where nobody leaves, nothing is known of leaving');
SELECT ok((SELECT converged AND r > 0 AND log_likelihood < 0 FROM ecauto.bgnbd_fit('{0,0,0}', '{0,0,0}', '{10,20,30}', 5)), 'a prior answers for customers who all bought once');

-- ---- how certain a fit and its predictions are ----
SELECT ok((SELECT bool_and(abs(standard_errors[i] - sqrt(covariance[i][i])) < 1e-12 AND abs(covariance[i][j] - covariance[j][i]) < 1e-12)
	FROM (SELECT f.* FROM (SELECT array_agg(x) x, array_agg(tx) tx, array_agg(t) t FROM c) a, ecauto.mbgnbd_fit(a.x, a.tx, a.t) f) f,
	generate_series(1, 4) i, generate_series(1, 4) j), 'standard errors are the roots of the diagonal of a symmetric covariance');
SELECT is((SELECT array_ndims(covariance) || array_length(covariance, 1)::text FROM ecauto.gamma_gamma_fit('{2,3,4,2,8}', '{10,20,15,30,12}')), '23', 'of order values, three rows');
SELECT is((SELECT (p_alive, expected_orders)::text FROM ecauto.clv_errors('mbgnbd', '{0.5,4,0.8,2.4}', 3, 10, 20, 10, array_fill(0::float8, ARRAY[4,4]))), '(0,0)',
	'parameters known for certain, predictions too');
-- only r varies: the error is the slope by r times its error
SELECT ok((SELECT abs(e.expected_orders - 0.1 * (ecauto.clv_expected_orders('mbgnbd', '{0.5001,4,0.8,2.4}', 3, 10, 20, 10) - ecauto.clv_expected_orders('mbgnbd', '{0.4999,4,0.8,2.4}', 3, 10, 20, 10)) / 0.0002) < 1e-5
	FROM ecauto.clv_errors('mbgnbd', '{0.5,4,0.8,2.4}', 3, 10, 20, 10, '{{0.01,0,0,0},{0,0,0,0},{0,0,0,0},{0,0,0,0}}') e), 'an error of one parameter');
SELECT ok(abs(ecauto.gamma_gamma_error('{6,4,15}', 3, 20, '{{0,0,0},{0,0,0},{0,0,4}}') - 2 * 6 / (6.0 * 3 + 4 - 1)) < 1e-8, 'of a value');
SELECT is(ecauto.gamma_gamma_error('{6,0.5,15}', 0, 0, array_fill(1::float8, ARRAY[3,3])), NULL, 'no value, no error');
SELECT is((SELECT count(*) FROM (SELECT prior, e.expected_orders, lag(e.expected_orders) OVER (ORDER BY prior) AS before
		FROM unnest('{0,10,100,1000}'::float8[]) prior, ecauto.mbgnbd_fit('{2,0,1,0,3}', '{20,0,5,0,28}', '{30,30,30,30,30}', prior) f,
		ecauto.clv_errors('mbgnbd', ARRAY[f.r, f.alpha, f.a, f.b], 1, 5, 30, 30, f.covariance) e) p WHERE expected_orders < before), 3::bigint,
	'five customers: the more what is usual counts, the more certain');
SELECT is((SELECT expected_orders FROM ecauto.clv_errors('bgnbd', '{0.5,4,0.8,2.4}', 5, 10, 20, 1e6, array_fill(1e308::float8, ARRAY[4,4]))), NULL, 'an error beyond all numbers is not known');
SELECT is(ecauto.gamma_gamma_error('{6,3,15}', 2, 1e8, '{{1e308,-1e308,0},{1e308,-1e308,0},{0,0,0}}'), NULL, 'that of a value neither');
SELECT throws_ok($$ SELECT ecauto.clv_errors('mbgnbd', '{0.5,4,0.8,2.4}', 3, 10, 20, 10, '{{1,2},{2,1}}') $$, '2202E', 'array "covariance" must have 4 rows of 4 numbers', 'a covariance of two');
SELECT throws_ok($$ SELECT ecauto.clv_errors('mbgnbd', '{0.5,4,0.8,2.4}', 3, 10, 20, 10, array_fill('NaN'::float8, ARRAY[4,4])) $$, '22023', 'array "covariance" must hold finite numbers', 'or not of numbers');
-- no time, one customer, three customers: an answer without NaN, or an error that says what is lacking
SELECT throws_ok($$ SELECT ecauto.bgnbd_fit('{0,0,0}', '{0,0,0}', '{0,0,0}') $$, '22023', 'cannot fit a model of purchases to these customers', 'no time has passed');
SELECT is((SELECT string_agg(DISTINCT said, ' ') FROM
	(VALUES ('{0,0,0}'::float8[], '{0,0,0}'::float8[], '{0,0,0}'::float8[]), ('{0,0,0}', '{0,0,0}', '{10,20,30}'), ('{3,1,0}', '{20,1,0}', '{30,30,0}'), ('{5}', '{0}', '{0}'), ('{}', '{}', '{}')) h (x, tx, t),
	LATERAL (SELECT CASE WHEN f::text ~ 'NaN|Infinity' OR f.covariance IS NULL THEN 'bad' ELSE 'good' END AS said FROM ecauto.bgnbd_fit(x, tx, t, 10) f
		UNION ALL SELECT CASE WHEN f::text ~ 'NaN|Infinity' OR f.covariance IS NULL THEN 'bad' ELSE 'good' END FROM ecauto.mbgnbd_fit(x, tx, t, 10) f
		UNION ALL SELECT CASE WHEN f::text ~ 'NaN|Infinity' OR f.covariance IS NULL THEN 'bad' ELSE 'good' END FROM ecauto.paretonbd_fit(x, tx, t, 10) f) f), 'good', 'with a prior, an answer with its uncertainty');
SELECT is((SELECT count(*) FROM ecauto.mbgnbd_fit('{3,1,0}', '{20,1,0}', '{30,30,0}') f WHERE f::text ~ 'NaN|Infinity'), 0::bigint, 'three customers and no prior, no NaN');
SELECT is(ecauto.clv_log_likelihood('bgnbd', '{1,1,1,1}', '{}', '{}', '{}'), 0::float8, 'nobody');
-- one who bought once: log of the integral over rates exp(-rate t), (alpha / (alpha + t))^r
SELECT ok(abs(ecauto.clv_log_likelihood('bgnbd', '{2,3,1,1}', '{0}', '{0}', '{6}') - 2 * ln(3 / 9.0)) < 1e-12, 'a likelihood by hand');

-- bad input
SELECT throws_ok($$ SELECT ecauto.bgnbd_fit('{0,0}', '{0,0}', '{10,20}') $$, '22023', 'cannot fit a model of purchases to these customers', 'nobody bought again');
SELECT throws_ok($$ SELECT ecauto.bgnbd_fit('{}', '{}', '{}') $$, '22023', 'cannot fit a model of purchases to these customers', 'nobody at all');
SELECT throws_ok($$ SELECT ecauto.bgnbd_fit('{1}', '{30}', '{20}') $$, '22023', 'history 1 is not possible: frequency 1, recency 30, t 20', 'recency after the end');
SELECT throws_ok($$ SELECT ecauto.bgnbd_fit('{1,NaN}', '{1,1}', '{2,2}') $$, '22023', 'array "frequency" must hold numbers between 0 and 1e+09', 'not a number');
SELECT throws_ok($$ SELECT ecauto.bgnbd_fit('{1,2}', '{1}', '{2,2}') $$, '2202E', 'arrays "frequency" and "recency" must have the same length', 'lengths differ');
SELECT throws_ok($$ SELECT ecauto.clv_p_alive('bgnbd', '{1,1,0,1}', 1, 1, 2) $$, '22023', 'parameters of a model must be above zero', 'a parameter of zero');

SELECT * FROM finish();
ROLLBACK;

-- Association rules by hand, and against what plain SQL counts.
BEGIN;
\ir ../event/shop.psql
SELECT plan(9);
DELETE FROM orders;
DELETE FROM order_line;
INSERT INTO orders (id, customer_id, total) SELECT i, 1, 10 FROM generate_series(1, 10) i;
INSERT INTO order_line (id, order_id, variant_id, qty, unit_price)
SELECT row_number() OVER (), o, v, 1, 10 FROM (VALUES (1,1),(1,2),(1,3), (2,1),(2,2),(2,3), (3,1),(3,2), (4,1), (5,2),(5,3), (6,3), (7,4),(7,5), (8,4),(8,5), (9,4), (10,6)) x (o, v);
INSERT INTO order_line VALUES (100, 1, 1, 1, 10);
SELECT ecauto.tick() \g /dev/null
SELECT results_eq($$ SELECT antecedent, consequent, orders, round(support::numeric, 4), round(confidence::numeric, 4), round(lift::numeric, 4), round(conviction::numeric, 4)
	FROM ecauto.association_rules(0.2, 0.6) WHERE cardinality(antecedent) = 2 ORDER BY 1, 2 $$,
	$$ VALUES ('{1,2}'::text[], '3', 2::bigint, 0.2, round(2 / 3.0, 4), round(2 / 3.0 / 0.4, 4), round(0.6 / (1 / 3.0), 4)),
		('{1,3}', '2', 2, 0.2, 1.0, 2.5, 'Infinity'), ('{2,3}', '1', 2, 0.2, round(2 / 3.0, 4), round(2 / 3.0 / 0.4, 4), round(0.6 / (1 / 3.0), 4)) $$, 'rules of three skus by hand');
SELECT results_eq($$ SELECT antecedent[1], consequent, orders FROM ecauto.association_rules(0.1, 0, 2) ORDER BY 1, 2 $$,
	$$ SELECT a.variant_id::text, b.variant_id::text, count(DISTINCT order_id) FROM order_line a JOIN order_line b USING (order_id)
	WHERE a.variant_id <> b.variant_id GROUP BY 1, 2 ORDER BY 1, 2 $$, 'pairs are those of a self-join');
SELECT is((SELECT max(cardinality(antecedent)) FROM ecauto.association_rules(0.1, 0)), 2, 'as long as they get');
SELECT is((SELECT count(*) FROM ecauto.association_rules(0.3, 0)), (SELECT count(*) FROM ecauto.association_rules(0.21, 0)), 'a support of 0.3 is three orders');
SELECT is_empty($$ SELECT FROM ecauto.association_rules(1, 0) $$, 'nothing is in every order');
UPDATE orders SET cancelled = true;
SELECT ecauto.tick() \g /dev/null
SELECT is_empty($$ SELECT FROM ecauto.association_rules(0.1, 0) $$, 'no orders, no rules');
SELECT throws_ok($$ SELECT ecauto.association_rules(0, 0.5) $$, '22023', 'support must be above 0 and at most 1', 'no support');
SELECT throws_ok($$ SELECT ecauto.association_rules(0.5, 'NaN') $$, '22023', 'confidence must be between 0 and 1', 'NaN');
SELECT throws_ok($$ SELECT ecauto.association_rules(0.5, 0.5, 1) $$, '22023', 'number of items of a rule must be between 2 and 30', 'one item');
SELECT * FROM finish();
ROLLBACK;

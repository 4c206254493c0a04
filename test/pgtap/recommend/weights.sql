-- item_weights(): the solution of small systems by hand, and what is refused.
BEGIN;
SELECT plan(8);

-- three users had 0 and 1; one had 1 and 2.  The weight of a user with two
-- items is 1/sqrt(2), so G00 = 3/sqrt(2), G01 the same, G11 = 4/sqrt(2), ...
SELECT is(array_agg((source, target, round(weight::numeric, 4)) ORDER BY target, source)::text,
	(SELECT array_agg((source, target, round(w::numeric, 4)) ORDER BY target, source)::text FROM (VALUES
		-- target 0: its neighbour is 1 alone: G01 / (G11 + 1)
		(1, 0, (3 / sqrt(2)) / (4 / sqrt(2) + 1)),
		-- target 1: neighbours 0 and 2, which were never had together
		(0, 1, (3 / sqrt(2)) / (3 / sqrt(2) + 1)), (2, 1, (1 / sqrt(2)) / (1 / sqrt(2) + 1)),
		(1, 2, (1 / sqrt(2)) / (4 / sqrt(2) + 1))) v (source, target, w)),
	'weights of three items by hand')
FROM ecauto.item_weights('{0,0,1,1,2,2,3,3}', '{0,1,0,1,1,0,1,2}', lambda => 1);
SELECT is((SELECT count(*) FROM ecauto.item_weights('{0,0,0,1,1,1}', '{5,5,6,6,6,5}')), 2::bigint, 'an item had twice counts once');
SELECT is((SELECT array_agg(source ORDER BY source) FROM ecauto.item_weights('{0,0,0,0}', '{1,2,3,1}', cap => 2)), '{1,3}', 'of a user with more than the cap the last items count');
SELECT is((SELECT array_agg(w ORDER BY w.target, w.source)::text FROM ecauto.item_weights('{0,0,1,1,2,2,2}', '{0,1,1,2,0,1,2}') w),
	(SELECT array_agg(w ORDER BY w.target, w.source)::text FROM ecauto.item_weights('{12,12,11,11,0,0,0}', '{0,1,1,2,0,1,2}') w),
	'other numbers of users, the same to the last digit');
SELECT is_empty($$ SELECT FROM ecauto.item_weights('{}', '{}') $$, 'nothing from nothing');
SELECT throws_ok($$ SELECT ecauto.item_weights('{1}', '{-1}') $$, '22023', 'array "items" must hold numbers between 0 and 100000000', 'a negative item');
SELECT throws_ok($$ SELECT ecauto.item_weights('{1}', '{1}', lambda => 'NaN') $$, '22023', 'lambda must be above 0, and finite', 'no ridge');
SELECT throws_ok($$ SELECT ecauto.item_weights('{1,NULL}', '{1,1}') $$, '22004', 'array "users" must not contain nulls', 'a null');

SELECT * FROM finish();
ROLLBACK;

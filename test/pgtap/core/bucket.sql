-- Experiments: a customer keeps his place, places are even, and names do not agree.
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(7);

-- worked out by hand from the definition, so that no version moves anybody
SELECT is(ecauto.bucket('a', 'b'), float8 '0.669814462922136866', 'a place is for ever');
SELECT is(ecauto.bucket('', ''), ecauto.bucket('', ''), 'of empty names, too');
SELECT isnt(ecauto.bucket('ab', 'c'), ecauto.bucket('a', 'bc'), 'where a name ends counts');
SELECT is(ecauto.bucket(NULL, 'c'), NULL, 'nobody has no place');
CREATE TEMP TABLE held AS
SELECT i::text AS customer, ecauto.bucket('spring', i::text) < 0.1 AS spring, ecauto.bucket('summer', i::text) < 0.1 AS summer
FROM generate_series(1, 10000) i;
SELECT ok((SELECT count(*) FROM held WHERE spring) BETWEEN 900 AND 1100, 'a tenth is held back');
SELECT ok((SELECT count(*) FILTER (WHERE summer) * 1.0 / count(*) FROM held WHERE spring) BETWEEN 0.07 AND 0.13,
	'a tenth of them by another name');
SELECT ok((SELECT max(abs(n - 500)) < 120 FROM (
	SELECT count(*) AS n FROM generate_series(1, 10000) i
	GROUP BY width_bucket(ecauto.bucket('even', 'customer-' || i), 0, 1, 20)) x), 'places are even');

SELECT * FROM finish();
ROLLBACK;

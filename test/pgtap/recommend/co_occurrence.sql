-- The aggregate co_occurrence() and the figures of pairs, by hand; in parallel
-- as in one process.
BEGIN;
SELECT plan(25);
SET LOCAL client_min_messages = error;

-- ten baskets: 2 and 3 in four of them, 2 and 4 in two, 3 and 4 in one; told twice, without basket, without item
CREATE TEMP TABLE line (o text, s text, at timestamptz);
INSERT INTO line SELECT o, s, timestamptz '2026-01-01 00:00+00' + o::int * interval '1 day' FROM (VALUES
	(1,2),(1,3), (2,2),(2,3), (3,2),(3,3),(3,4), (4,2),(4,3), (5,2),(5,4), (6,2), (7,3), (8,5), (9,6),(9,7), (10,6),
	(1,2), (NULL,2), (3,NULL), (NULL,NULL)) x (o, s);
CREATE TEMP TABLE found AS SELECT p.* FROM (SELECT ecauto.co_occurrence(o, s) AS c FROM line) x, ecauto.pairs(x.c) p;
SELECT is((SELECT (baskets, item_baskets, other_baskets)::text FROM found WHERE item = '2' AND other = '3'), '(4,6,5)', 'how many have both, one, the other');
SELECT is((SELECT support FROM found WHERE item = '2' AND other = '3'), 0.4::float8, 'support: 4 of 10');
SELECT is((SELECT confidence FROM found WHERE item = '2' AND other = '3'), 4 / 6::float8, 'confidence: 4 of 6');
SELECT is((SELECT confidence FROM found WHERE item = '3' AND other = '2'), 4 / 5::float8, 'the other way: 4 of 5');
SELECT is((SELECT lift FROM found WHERE item = '2' AND other = '3'), 4 * 10 / 30::float8, 'lift');
SELECT is((SELECT cosine FROM found WHERE item = '2' AND other = '3'), 4 / sqrt(30::float8), 'cosine');
SELECT is((SELECT jaccard FROM found WHERE item = '2' AND other = '3'), 4 / 7::float8, 'Jaccard: 4 of the 7 with any');
-- k11 = 4, k12 = 2, k21 = 1, k22 = 3
SELECT is((SELECT round(log_likelihood::numeric, 10) FROM found WHERE item = '2' AND other = '3'),
	round((2 * (4 * ln(4 * 10 / 30.0) + 2 * ln(2 * 10 / 30.0) + 1 * ln(1 * 10 / 20.0) + 3 * ln(3 * 10 / 20.0)))::numeric, 10), 'log-likelihood ratio');
-- Dunning's own example of two words: 110, 2442, 111, 29114
SELECT is((SELECT round(p.log_likelihood::numeric, 2) FROM (SELECT ecauto.co_occurrence(n::text, w) AS c FROM (
		SELECT n, w FROM generate_series(1, 110) n, unnest('{the,swiss}'::text[]) w UNION ALL SELECT generate_series(111, 2552), 'the'
		UNION ALL SELECT generate_series(2553, 2663), 'swiss' UNION ALL SELECT generate_series(2664, 31777), 'else') x) y, ecauto.pairs(y.c) p WHERE p.item = 'swiss'),
	270.72, 'log-likelihood ratio of Dunning''s table 1');
SELECT is((SELECT count(*) FROM found), 8::bigint, 'each pair both ways');
SELECT is((SELECT count(*) FROM (SELECT ecauto.co_occurrence(o, s) AS c FROM line) x, ecauto.pairs(x.c, 2) p), 4::bigint, 'those in two baskets at least');
SELECT is((SELECT ecauto.co_occurrence(o, s) FROM line WHERE false)::text, NULL, 'no rows, no set');
SELECT is((SELECT ecauto.co_occurrence(o, s) FROM line WHERE o IS NULL)::text, NULL, 'rows without basket say nothing');
SELECT is_empty($$ SELECT FROM ecauto.pairs(NULL) $$, 'no pairs of nothing');
SELECT is((SELECT ecauto.basket_set_combine(NULL, NULL))::text, NULL, 'two NULLs are NULL');

-- ---- decay ----
SELECT results_eq($$ SELECT round(p.weight::numeric, 6) FROM (SELECT ecauto.co_occurrence(o, s, at) AS c FROM line) x, ecauto.pairs(x.c, 1, interval '1 day', '2026-01-05 00:00+00') p WHERE p.item = '2' ORDER BY p.other $$,
	$$ VALUES (1 / 8.0 + 1 / 4.0 + 1 / 2.0 + 1), (1 / 2.0 + 1) $$,
	'a day older counts half, what lies ahead in full');

-- ---- as text ----
SELECT is((SELECT ecauto.co_occurrence(o, s, at)::text FROM line WHERE o = '3'),
	'{"level": 0, "baskets": [["3", 820800000000000, ["2", "3", "4"]]]}', 'as text');
SELECT is((SELECT c::text::ecauto.basket_set::text FROM (SELECT ecauto.co_occurrence(o, s, at) AS c FROM line) x), (SELECT ecauto.co_occurrence(o, s, at)::text FROM line), 'and back');
SELECT throws_ok($$ SELECT '{"level": 0, "baskets": [["3", 0]]}'::ecauto.basket_set $$, '22P02', NULL, 'not a set');
SELECT throws_ok($$ SELECT '[]'::ecauto.basket_set $$, '22P02', NULL, 'nor this');

-- ---- in parallel ----
CREATE TABLE many AS SELECT i % 9973 AS o, (power(500, random()))::int AS s, timestamptz '2026-01-01' + i % 9973 * interval '1 hour' AS at FROM generate_series(1, 60000) i;
ANALYZE many;
CREATE FUNCTION plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	all_lines text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || query LOOP
		all_lines := all_lines || line || E'\n';
	END LOOP;
	RETURN all_lines;
END $$;
SET LOCAL max_parallel_workers_per_gather = 0;
CREATE TABLE alone AS SELECT ecauto.co_occurrence(o::text, s::text, at)::text AS c FROM many;
SET LOCAL maintenance_work_mem = '1MB';
CREATE TABLE sample AS SELECT ecauto.co_occurrence(o::text, s::text, at)::text AS c FROM many;
SET LOCAL max_parallel_workers_per_gather = 2;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SELECT matches(plan_of('SELECT ecauto.co_occurrence(o::text, s::text, at) FROM many'), 'Finalize Aggregate.*Gather.*Partial Aggregate', 'a parallel plan');
SELECT is((SELECT ecauto.co_occurrence(o::text, s::text, at)::text FROM many), (SELECT c FROM sample), 'the same sample in parallel, to the last byte');
SELECT matches((SELECT c FROM sample), '^{"level": [1-9]', 'which is one');
SET LOCAL maintenance_work_mem = '64MB';
SELECT is((SELECT ecauto.co_occurrence(o::text, s::text, at)::text FROM many), (SELECT c FROM alone), 'and the same set');
CREATE TABLE joined AS SELECT a.s::text AS item, b.s::text AS other, count(DISTINCT a.o) AS n FROM many a JOIN many b ON b.o = a.o AND b.s <> a.s GROUP BY 1, 2;
SELECT is_empty($$ SELECT item COLLATE "C", other COLLATE "C", n FROM joined EXCEPT ALL
	SELECT p.item COLLATE "C", p.other COLLATE "C", p.baskets FROM (SELECT ecauto.co_occurrence(o::text, s::text) AS c FROM many) x, ecauto.pairs(x.c) p $$, 'pairs as a self-join counts them');
SELECT * FROM finish();
ROLLBACK;

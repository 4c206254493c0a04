-- Builds and ticks write rows without the executor: tables that somebody has
-- altered are refused before that, and what is harmless is served.
BEGIN;
\ir ../event/shop.psql
SELECT plan(19);
SET LOCAL timezone = 'UTC';
SET LOCAL ecauto.timezone = 'UTC';
SET LOCAL ecauto.clock = '2026-06-15 00:00+00';
DELETE FROM orders;
DELETE FROM order_line;
INSERT INTO orders (id, customer_id, total, placed) SELECT i, 1 + i % 5, 10, timestamptz '2026-06-01' + i * interval '20 minutes' FROM generate_series(1, 600) i;
-- six skus that are in most orders, and pairs of those that are in few
INSERT INTO order_line (id, order_id, variant_id, qty, unit_price)
	SELECT i * 10 + k, i, CASE WHEN k < 7 THEN k ELSE 10 + 2 * (i % 20) + k - 7 END, 1, 10 FROM generate_series(1, 600) i, generate_series(1, 8) k
	WHERE k > 6 OR hashint4(i * 10 + k) % 10 BETWEEN -5 AND 5;
SELECT ecauto.tick() \g /dev/null

-- ---- the first build uses what it chooses ----
UPDATE ecauto_data.recommend_setting SET lambda = 1e6;
SELECT ecauto.build_recommendations() \g /dev/null
SELECT is((SELECT lambda < 1e6 AND chosen_at IS NOT NULL FROM ecauto_data.recommend_setting WHERE task = 'basket'), true, 'a setting that does badly is replaced');
SELECT ok((SELECT ndcg > 0.2 FROM ecauto_data.recommend_setting WHERE task = 'basket'), 'though all of the history is of the last weeks');
CREATE TEMP TABLE solved AS SELECT basket, source, targets, weights FROM ecauto_data.recommend_weight;
SELECT ok((SELECT count(*) > 5 FROM solved WHERE basket), 'there are weights');
SELECT ecauto.build_recommendations() \g /dev/null
SELECT is_empty($$ SELECT basket, source, targets, weights FROM ecauto_data.recommend_weight EXCEPT SELECT * FROM solved $$,
	'the second build solves as the first one did');

-- ---- what is refused ----
CREATE FUNCTION refused(change text, detail text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	said text;
	state text;
BEGIN
	BEGIN
		EXECUTE change;
		PERFORM ecauto.build_recommendations();
		RAISE EXCEPTION 'built';
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS said = PG_EXCEPTION_DETAIL, state = RETURNED_SQLSTATE;
		RETURN is(state || ' ' || said, '55000 ' || detail, change);
	END;
END
$$;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
SELECT refused('ALTER TABLE ecauto_data.recommend_item ADD note text', 'It has other columns.');
SELECT refused('ALTER TABLE ecauto_data.recommend_basket ADD note text', 'It has other columns.');
SELECT refused('ALTER TABLE ecauto_data.recommend_weight ADD note text', 'It has other columns.');
SELECT refused('CREATE INDEX ON ecauto_data.recommend_item (lower(sku))', 'It has an index on an expression, with a condition, or that is checked later.');
SELECT refused('CREATE INDEX ON ecauto_data.recommend_pair (item) WHERE NOT viewed', 'It has an index on an expression, with a condition, or that is checked later.');
SELECT refused('ALTER TABLE ecauto_data.recommend_count ADD UNIQUE (version, viewed, item) DEFERRABLE', 'It has a trigger, a rule or a constraint.');
SELECT refused('ALTER TABLE ecauto_data.recommend_popular ADD CHECK (version > 0)', 'It has a trigger, a rule or a constraint.');
SELECT refused('CREATE TRIGGER a BEFORE INSERT ON ecauto_data.recommend_total FOR EACH ROW EXECUTE FUNCTION nothing()', 'It has a trigger, a rule or a constraint.');

-- a tick leaves the old ones, and goes on
SAVEPOINT altered;
ALTER TABLE ecauto_data.recommend_item ADD note text;
UPDATE ecauto_data.recommend_model SET rebuild_share = NULL;
UPDATE orders SET cancelled = true WHERE id = 600;
CREATE TEMP TABLE before AS SELECT version, orders FROM ecauto_data.recommend_model;
SELECT lives_ok('SELECT ecauto.tick()', 'a tick');
SELECT results_eq('SELECT version, orders FROM ecauto_data.recommend_model', 'SELECT * FROM before', 'the old version stays');
ROLLBACK TO altered;

-- ---- what is harmless ----
CREATE INDEX other ON ecauto_data.recommend_item (orders);
CREATE TEMP TABLE bought AS SELECT * FROM ecauto.also_bought('1', 20);
SELECT lives_ok('SELECT ecauto.build_recommendations()', 'one more index');
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT is((SELECT count(*) FROM ecauto_data.recommend_item WHERE orders > 0), 46::bigint, 'which has all rows');
DROP INDEX ecauto_data.other;
SELECT results_eq($$ SELECT sku, score FROM ecauto.also_bought('1', 20) $$, 'SELECT sku, score FROM bought', 'and without it');

-- ---- a wait that ends after the end of time ----
UPDATE ecauto_data.recommend_model SET rebuild_every = '290000 years', rebuild_share = NULL;
SELECT lives_ok('SELECT ecauto.tick()', 'is none');
UPDATE ecauto_data.recommend_model SET rebuild_every = '1 day';
CREATE TEMP TABLE last AS SELECT version AS last FROM ecauto_data.recommend_model;
SET LOCAL ecauto.clock = '2026-06-17 00:00+00';
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT version FROM ecauto_data.recommend_model), (SELECT last + 1 FROM last), 'that of a day does end');
SELECT * FROM finish();
ROLLBACK;

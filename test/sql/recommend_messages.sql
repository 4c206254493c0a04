-- What the functions of domain recommend say of what cannot be.
\set ECHO none
\set ON_ERROR_ROLLBACK on
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SELECT ecauto.setup() \g /dev/null
BEGIN;
\i test/pgtap/report/shop.psql
\i test/pgtap/report/busy.psql
\set ECHO all

SELECT * FROM ecauto.recommend('1', 0);
SELECT * FROM ecauto.similar('1', -1);
SELECT * FROM ecauto.also_bought('1', NULL);
SELECT * FROM ecauto.discover('1', 5, 0);
SELECT * FROM ecauto.trending(NULL);
SELECT * FROM ecauto.best_sellers(NULL);
SELECT * FROM ecauto.popular(NULL);
SELECT * FROM ecauto.discover('1', NULL);
SELECT * FROM ecauto.recommend_session('x', NULL);
SELECT * FROM ecauto.association_rules(0.001, 0.5, 1);
SELECT * FROM ecauto.item_weights('{{1}}', '{1}');
SELECT * FROM ecauto.item_weights('{1,2}', '{1}');
SELECT * FROM ecauto.item_weights('{1}', '{1}', dropout => -1);
SELECT * FROM ecauto.item_weights('{1}', '{1}', cap => 1);
SELECT * FROM ecauto.pairs((SELECT ecauto.co_occurrence('a', 'b')), 0);
SELECT * FROM ecauto.pairs((SELECT ecauto.co_occurrence('a', 'b')), 1, '-1 day');
SELECT count(*) FROM ecauto.pairs((SELECT ecauto.co_occurrence('a', i::text) FROM generate_series(1, 3000) i));
SELECT 'x'::ecauto.basket_set;
SELECT '[1]'::ecauto.basket_set;
SELECT '{}'::ecauto.basket_set;
SELECT * FROM ecauto.pair_counts('\x00');
SELECT * FROM ecauto.recommend_candidates('nonesuch', NULL, 5);
SELECT ecauto.set_recommendation_test('', '{}');
ROLLBACK;
DROP SCHEMA ecauto_data CASCADE;

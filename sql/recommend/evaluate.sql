CREATE OR REPLACE FUNCTION ecauto.evaluate_recommendations(
	n integer DEFAULT 10, holdout interval DEFAULT '28 days', keep boolean DEFAULT false)
RETURNS TABLE (task text, model text, neighbours integer, lambda float8, dropout float8, half_life float8, popular float8,
	tests integer, by_time boolean, ndcg float8, recall float8, hit_rate float8, coverage float8, novelty float8, chosen boolean)
AS 'MODULE_PATHNAME', 'ecauto_evaluate_recommendations'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 50;
COMMENT ON FUNCTION ecauto.evaluate_recommendations(integer, interval, boolean) IS
'how good recommendations would have been for the shop''s last weeks (holdout, before the newest order): models are made from what was before, and asked what known customers bought for the first time then (task customer), and for one sku of each basket from the others (task basket); at most 2,000 tests; if there are fewer than 200, or less than a quarter of the orders was before, a tenth of the history is held out by chance instead (by_time false); model: popular, nearest (cosine), and weights with settings as in ecauto_data.recommend_setting, that in use first; ndcg and hit_rate of the n best, recall of the 2n best, coverage: share of skus that somebody is shown, novelty: mean of -log2 of the share of customers who had what is shown; chosen: the best settings, which keep makes those of the next build; a notice and no rows for a task with fewer than 20 tests; error unless n is between 1 and 100; for operators';
REVOKE ALL ON FUNCTION ecauto.evaluate_recommendations(integer, interval, boolean) FROM PUBLIC;

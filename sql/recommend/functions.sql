CREATE OR REPLACE FUNCTION ecauto.item_weights(
	users integer[], items integer[], neighbours integer DEFAULT 100, lambda float8 DEFAULT 10,
	cap integer DEFAULT 400, dropout float8 DEFAULT 0)
RETURNS TABLE (source integer, target integer, weight real)
AS 'MODULE_PATHNAME', 'ecauto_item_weights'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.item_weights(integer[], integer[], integer, float8, integer, float8) IS
'how much having the item source speaks for the item target, from who had what (users and items, numbered from 0, in the order it happened): a ridge regression of each item on its nearest neighbours, a local form of EASE^R (Steck 2019); lambda: the ridge; dropout: what share of how often a neighbour was had is added to its ridge (Steck 2020), from 0; cap: of a user only so many last items count; the score of an item for a user is the sum of its weights over what he had; pairs that do not fit maintenance_work_mem are left out with a notice';

CREATE OR REPLACE FUNCTION ecauto.build_recommendations(
	neighbours integer DEFAULT NULL,
	OUT version bigint, OUT orders bigint, OUT customers bigint, OUT skus bigint, OUT pairs bigint,
	OUT capped_orders bigint, OUT capped_customers bigint)
AS 'MODULE_PATHNAME', 'ecauto_build_recommendations'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.build_recommendations(integer) IS
'makes a new version of recommendations from all orders that the last tick saw (cancelled ones are none) and the views of 90 days, to which readers switch at commit; neighbours: how many items an item is predicted from (NULL: what ecauto_data.recommend_setting says); returns what it was made from: baskets of nobody count as a customer each; pairs: of skus that were ordered together; capped: orders of more than 1,000 and customers of more than 400 skus, of whom so many count; for operators';
REVOKE ALL ON FUNCTION ecauto.build_recommendations(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.showable(skus text[])
RETURNS TABLE (sku text, product text)
AS 'MODULE_PATHNAME', 'ecauto_showable'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 20;
COMMENT ON FUNCTION ecauto.showable(text[]) IS
'those of the skus (keys) that may be shown now, in their order, with the keys of their products: in the shop, they and their products active, and either not counted or with more than 0 units that are not reserved; asked of the shop''s rows, so it is true at this moment; raises what the role queries raise';

CREATE OR REPLACE FUNCTION ecauto.also_bought(sku text, n integer DEFAULT 10)
RETURNS TABLE (sku text, score float8, reason text,
	orders bigint, support float8, confidence float8, lift float8, cosine float8)
AS 'MODULE_PATHNAME', 'ecauto_also_bought'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION ecauto.also_bought(text, integer) IS
'what was ordered together with a sku (key or code), in most orders first, as far as it may be shown now (ecauto.showable()): orders with both (also the score), support (share of all orders), confidence (share of the orders of sku), lift, cosine; at most 100 neighbours of a sku are kept; none for a sku that nobody bought; error before the first ecauto.build_recommendations() and unless n is between 0 and 1000';

CREATE OR REPLACE FUNCTION ecauto.similar(sku text, n integer DEFAULT 10)
RETURNS TABLE (sku text, score float8, reason text)
AS 'MODULE_PATHNAME', 'ecauto_similar'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION ecauto.similar(text, integer) IS
'skus like one (key or code), one of each product and not its own, as far as they may be shown now: bought and looked at together (cosine, less if it was few times), behind them those alike by category, brand and title, which is all there is of a new one; none for a sku that the last tick did not see; error unless n is between 0 and 1000';

CREATE OR REPLACE FUNCTION ecauto.recommend(customer text, n integer DEFAULT 10)
RETURNS TABLE (sku text, score float8, reason text)
AS 'MODULE_PATHNAME', 'ecauto_recommend'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION ecauto.recommend(text, integer) IS
'what a customer (key) will most likely buy next, one of each product, as far as it may be shown now: by what he bought and did, then what is popular in his country, then what is popular anywhere; not what he has bought, unless ecauto.set_consumable() was told of it; who objected to profiling gets what is popular; error before the first ecauto.build_recommendations() and unless n is between 0 and 1000; it shows what the customer bought, so grant it with care';
REVOKE ALL ON FUNCTION ecauto.recommend(text, integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.complete_basket(skus text[], n integer DEFAULT 10)
RETURNS TABLE (sku text, score float8, reason text)
AS 'MODULE_PATHNAME', 'ecauto_complete_basket'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION ecauto.complete_basket(text[], integer) IS
'what goes with the skus (keys) of a basket, one of each product, as far as it may be shown now, then what is popular; NULLs and skus that nobody bought say nothing; error before the first ecauto.build_recommendations() and unless n is between 0 and 1000';

CREATE OR REPLACE FUNCTION ecauto.trending(n integer DEFAULT 10)
RETURNS TABLE (sku text, score float8, reason text)
AS 'MODULE_PATHNAME', 'ecauto_trending'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION ecauto.trending(integer) IS
'what sells now, as far as it may be shown: orders of the last 14 days that were not cancelled or paid back, those of 7 days ago counting half, times how much more often it sells than in the 8 weeks before (from a half to three times); at least two orders; error unless n is between 0 and 1000';

CREATE OR REPLACE FUNCTION ecauto.association_rules(
	min_support float8 DEFAULT 0.001, min_confidence float8 DEFAULT 0.5, max_items integer DEFAULT 10)
RETURNS TABLE (antecedent text[], consequent text, orders bigint, support float8, confidence float8, lift float8,
	conviction float8)
AS 'MODULE_PATHNAME', 'ecauto_association_rules'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 1000;
COMMENT ON FUNCTION ecauto.association_rules(float8, float8, integer) IS
'who buys all of antecedent (keys of one sku or more) buys consequent too: in so many orders, which are at least min_support of all orders with a line, and at least min_confidence of those with antecedent; lift: how many times more often than others; conviction (Infinity if always); rules of at most max_items skus in all; in no order; from all orders that the last tick saw and that were not cancelled; error if a share is not between 0 and 1, max_items not between 2 and 30, or more than 5,000,000 sets are that frequent; for operators';
REVOKE ALL ON FUNCTION ecauto.association_rules(float8, float8, integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.pair_counts(pairs bytea)
RETURNS TABLE (other integer, orders integer)
AS 'MODULE_PATHNAME', 'ecauto_pair_counts'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 100;
COMMENT ON FUNCTION ecauto.pair_counts(bytea) IS
'what a row of ecauto_data.recommend_count holds: numbers of items, ascending, and how many orders had both; error if it is damaged';

CREATE OR REPLACE FUNCTION ecauto.refresh_recommendations()
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_refresh_recommendations'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.refresh_recommendations() IS
'brings also_bought() and similar() up to date with the orders that the last tick saw change, as every tick does; returns how many differed from what was counted; NULL if there is no version or somebody builds one meanwhile; error if so much has changed that it takes a build; for operators';
REVOKE ALL ON FUNCTION ecauto.refresh_recommendations() FROM PUBLIC;

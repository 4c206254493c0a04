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

CREATE OR REPLACE FUNCTION ecauto.best_sellers(n integer DEFAULT 10)
RETURNS TABLE (sku text, score float8, reason text)
AS 'MODULE_PATHNAME', 'ecauto_best_sellers'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION ecauto.best_sellers(integer) IS
'what sold in most orders of the last 90 days that were not cancelled or paid back, of at least two, one of each product, as far as it may be shown now; score: the orders; error unless n is between 0 and 1000';

CREATE OR REPLACE FUNCTION ecauto.new_arrivals(n integer DEFAULT 10)
RETURNS TABLE (sku text, score float8, reason text)
AS 'MODULE_PATHNAME', 'ecauto_new_arrivals'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION ecauto.new_arrivals(integer) IS
'skus of products that came into the shop in the last 60 days, one of each, the newest first, as far as they may be shown now; score: from 1 (just now) to 0; what was there when the shop was attached is not new; error unless n is between 0 and 1000';

CREATE OR REPLACE FUNCTION ecauto.popular(n integer DEFAULT 10, country text DEFAULT NULL)
RETURNS TABLE (sku text, score float8, reason text)
AS 'MODULE_PATHNAME', 'ecauto_popular'
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION ecauto.popular(integer, text) IS
'what most customers of a country buy, then what is popular anywhere (country NULL: at once), one of each product, as far as it may be shown now; error before the first ecauto.build_recommendations(), error unless n is between 0 and 1000';

CREATE OR REPLACE FUNCTION ecauto.recommend_viewed(skus text[], n integer DEFAULT 10)
RETURNS TABLE (sku text, score float8, reason text)
AS 'MODULE_PATHNAME', 'ecauto_recommend_viewed'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION ecauto.recommend_viewed(text[], integer) IS
'for somebody unknown who looked at these skus (keys), the last one last: what goes with them, later ones counting more, then what is popular; not the skus themselves; one of each product, as far as it may be shown now; NULLs and unknown skus say nothing; error before the first ecauto.build_recommendations(), error unless n is between 0 and 1000';

CREATE OR REPLACE FUNCTION ecauto.recommend_session(session text, n integer DEFAULT 10, country text DEFAULT NULL)
RETURNS TABLE (sku text, score float8, reason text)
AS 'MODULE_PATHNAME', 'ecauto_recommend_session'
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION ecauto.recommend_session(text, integer, text) IS
'for a visitor, by what ecauto.track() told of his session in the last 30 days, then what is popular in the country if it is given, then what is popular; after ecauto.identify() the same as ecauto.recommend() for the customer; one of each product, as far as it may be shown now; error before the first ecauto.build_recommendations(), error unless n is between 0 and 1000; it may show what a customer bought, so grant it with care';
REVOKE ALL ON FUNCTION ecauto.recommend_session(text, integer, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.buy_again(customer text, n integer DEFAULT 10)
RETURNS TABLE (sku text, score float8, reason text)
AS 'MODULE_PATHNAME', 'ecauto_buy_again'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION ecauto.buy_again(text, integer) IS
'what a customer (key) will need again about now, as far as it may be shown: what he bought at least twice, by the median of his days between, and consumables (ecauto.set_consumable()) that he bought once, by that of all customers; score: 1 on the day it is due, half when half or twice the time has passed, below which it is left out; error unless n is between 0 and 1000; it shows what the customer bought, so grant it with care';
REVOKE ALL ON FUNCTION ecauto.buy_again(text, integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.discover(customer text, n integer DEFAULT 10, per_category integer DEFAULT 2)
RETURNS TABLE (sku text, score float8, reason text)
AS 'MODULE_PATHNAME', 'ecauto_discover'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION ecauto.discover(text, integer, integer) IS
'a list of this week (from Monday, in ecauto.timezone) for a customer (key): what suits him by his history up to Monday, rare things more, drawn anew each week and the same until the next one but for what he buys, what sells out and a new build; nothing that he bought or looked at; one of each product and at most per_category of each category, as far as it may be shown now; none for somebody of whom nothing is known; error before the first ecauto.build_recommendations(), unless per_category is positive, and error unless n is between 0 and 1000; grant it with care';
REVOKE ALL ON FUNCTION ecauto.discover(text, integer, integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.set_recommendation_exclusion(condition text)
RETURNS void
AS 'MODULE_PATHNAME', 'ecauto_set_recommendation_exclusion'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.set_recommendation_exclusion(text) IS
'skus for which the condition (on sku, product and stock.available) is true are shown nowhere; it runs as who set it; NULL: none are excluded; error if it is no condition; for operators';
REVOKE ALL ON FUNCTION ecauto.set_recommendation_exclusion(text) FROM PUBLIC;

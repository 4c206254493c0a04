-- Co-occurrence of anything in any baskets, as an aggregate.

CREATE TYPE ecauto.basket_set;
CREATE OR REPLACE FUNCTION ecauto.basket_set_in(cstring)
RETURNS ecauto.basket_set
AS 'MODULE_PATHNAME', 'ecauto_basket_set_in'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.basket_set_in(cstring) IS 'input of type basket_set';
CREATE OR REPLACE FUNCTION ecauto.basket_set_out(ecauto.basket_set)
RETURNS cstring
AS 'MODULE_PATHNAME', 'ecauto_basket_set_out'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.basket_set_out(ecauto.basket_set) IS 'output of type basket_set';
CREATE TYPE ecauto.basket_set (
	INPUT = ecauto.basket_set_in, OUTPUT = ecauto.basket_set_out, ALIGNMENT = int4, STORAGE = extended);
COMMENT ON TYPE ecauto.basket_set IS
'which items are in which baskets, and when those were: the state and the result of ecauto.co_occurrence(), which ecauto.pairs() counts; as text an object of level (0: all baskets; k: a sample of one in 2^k) and baskets, each an array of its key, its time in microseconds since 2000-01-01 UTC or null, and its items; equal sets have equal texts';

CREATE OR REPLACE FUNCTION ecauto.basket_set_put(ecauto.basket_set, basket text, item text)
RETURNS ecauto.basket_set
AS 'MODULE_PATHNAME', 'ecauto_basket_set_put'
LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.basket_set_put(ecauto.basket_set, text, text) IS 'transition function of ecauto.co_occurrence(text, text)';
CREATE OR REPLACE FUNCTION ecauto.basket_set_put(ecauto.basket_set, basket text, item text, at timestamptz)
RETURNS ecauto.basket_set
AS 'MODULE_PATHNAME', 'ecauto_basket_set_put'
LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.basket_set_put(ecauto.basket_set, text, text, timestamptz) IS 'transition function of ecauto.co_occurrence(text, text, timestamptz)';
CREATE OR REPLACE FUNCTION ecauto.basket_set_combine(ecauto.basket_set, ecauto.basket_set)
RETURNS ecauto.basket_set
AS 'MODULE_PATHNAME', 'ecauto_basket_set_combine'
LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.basket_set_combine(ecauto.basket_set, ecauto.basket_set) IS 'both sets as one; NULL of two NULLs';

CREATE OR REPLACE AGGREGATE ecauto.co_occurrence(basket text, item text) (
	SFUNC = ecauto.basket_set_put, STYPE = ecauto.basket_set, COMBINEFUNC = ecauto.basket_set_combine, PARALLEL = SAFE);
COMMENT ON AGGREGATE ecauto.co_occurrence(text, text) IS
'collects which items are in which baskets (orders, carts, sessions), for ecauto.pairs(); an item told twice of a basket counts once, a row without basket or item not; NULL of no rows; baskets that do not fit maintenance_work_mem are sampled, by a hash of their key, which ecauto.pairs() says';
CREATE OR REPLACE AGGREGATE ecauto.co_occurrence(basket text, item text, at timestamptz) (
	SFUNC = ecauto.basket_set_put, STYPE = ecauto.basket_set, COMBINEFUNC = ecauto.basket_set_combine, PARALLEL = SAFE);
COMMENT ON AGGREGATE ecauto.co_occurrence(text, text, timestamptz) IS
'as ecauto.co_occurrence(text, text), with the time of each basket, which is the latest one told of it';

CREATE OR REPLACE FUNCTION ecauto.pairs(
	collected ecauto.basket_set, min_baskets integer DEFAULT 1, half_life interval DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (item text, other text, baskets bigint, item_baskets bigint, other_baskets bigint,
	support float8, confidence float8, lift float8, cosine float8, jaccard float8, log_likelihood float8, weight float8)
AS 'MODULE_PATHNAME', 'ecauto_pairs'
LANGUAGE C STABLE PARALLEL SAFE ROWS 1000;
COMMENT ON FUNCTION ecauto.pairs(ecauto.basket_set, integer, interval, timestamptz) IS
'pairs of items that at least min_baskets baskets have both of, each pair both ways, in the order of keys (C): how many baskets have both, item, and other; support (share of all baskets), confidence (share of those with item), lift, cosine, Jaccard index, log-likelihood ratio (Dunning 1993; above 10.83: chance once in a thousand), and weight: the baskets with both, those that are half_life older than as_of (NULL: the latest basket) counting half; of a basket of more than 1,000 items 1,000 count, which a warning says, as it does of a sample; none for NULL';

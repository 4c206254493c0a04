CREATE OR REPLACE FUNCTION ecauto.item_weights(
	users integer[], items integer[], neighbours integer DEFAULT 100, lambda float8 DEFAULT 10,
	cap integer DEFAULT 200)
RETURNS TABLE (source integer, target integer, weight real)
AS 'MODULE_PATHNAME', 'ecauto_item_weights'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.item_weights(integer[], integer[], integer, float8, integer) IS
'how much having the item source speaks for the item target, from who had what (users and items, numbered from 0, in the order it happened): a ridge regression of each item on its nearest neighbours, a local form of EASE^R (Steck 2019); lambda: the ridge; cap: of a user only so many last items count; the score of an item for a user is the sum of its weights over what he had; pairs that do not fit maintenance_work_mem are left out with a notice';

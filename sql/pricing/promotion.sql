CREATE OR REPLACE FUNCTION ecauto.create_promotion(name text, definition jsonb)
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_create_promotion'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.create_promotion(text, jsonb) IS
'makes a promotion, or gives the one of this name another definition (its coupons and what it has given away so far stay), and returns its number; times without an offset are those of the shop''s clock; an advertised reduction that is none before the law is refused with the highest percentage that may be claimed; invalid_parameter_value says what is wrong with the definition and where; for operators';
REVOKE ALL ON FUNCTION ecauto.create_promotion(text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.drop_promotion(name text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_drop_promotion'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.drop_promotion(text) IS
'ends a promotion and its coupons; false if there was none; what it gave stays on record; for operators';
REVOKE ALL ON FUNCTION ecauto.drop_promotion(text) FROM PUBLIC;

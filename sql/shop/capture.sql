CREATE OR REPLACE FUNCTION ecauto.capture()
RETURNS trigger
AS 'MODULE_PATHNAME', 'ecauto_capture'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION ecauto.capture() IS
'trigger that notes which key of a shop''s table changed; created by ecauto.attach_shop(), never raises an error in the shop''s transaction';
REVOKE ALL ON FUNCTION ecauto.capture() FROM PUBLIC;

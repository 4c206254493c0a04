CREATE OR REPLACE FUNCTION ecauto.mail_address_problem(address text)
RETURNS text
AS 'MODULE_PATHNAME', 'ecauto_mail_address_problem'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.mail_address_problem(text) IS
'why no mail can be addressed to it, in one sentence; NULL if the syntax is fine (whether somebody reads it is another matter)';

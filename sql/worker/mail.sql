CREATE OR REPLACE FUNCTION ecauto.mail_source(payload jsonb, sender text, key text, at timestamptz)
RETURNS text
AS 'MODULE_PATHNAME', 'ecauto_mail_source'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.mail_source(jsonb, text, text, timestamptz) IS
'the mail as the worker would send it for this payload, from sender ("address" or "Name <address>"), with a Message-ID made of key and dated at; the envelope (bcc) is not in it';

-- ---- consent ----

CREATE OR REPLACE FUNCTION ecauto.grant_consent(
	email text, channel text, purpose text, wording text DEFAULT NULL, source text DEFAULT NULL,
	ip inet DEFAULT NULL, at timestamptz DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_grant_consent'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.grant_consent(text, text, text, text, text, inet, timestamptz) IS
'writes into the ledger that an address consents to messages over a channel (email, sms, ...) for a purpose (marketing, ...): version of the wording, where it was given, from which IP address, and when (NULL: now; not in the future); returns whether they may be sent now, which is false for an address that is suppressed';
REVOKE ALL ON FUNCTION ecauto.grant_consent(text, text, text, text, text, inet, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.withdraw_consent(
	email text, channel text, purpose text DEFAULT NULL, source text DEFAULT NULL, at timestamptz DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_withdraw_consent'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.withdraw_consent(text, text, text, text, timestamptz) IS
'writes into the ledger that an address withdraws its consent (purpose NULL: to every purpose), takes back what is queued or leased for it, and returns how many mails that were';
REVOKE ALL ON FUNCTION ecauto.withdraw_consent(text, text, text, text, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.request_consent(
	email text, channel text, purpose text, wording text DEFAULT NULL, source text DEFAULT NULL, ip inet DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'ecauto_request_consent'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.request_consent(text, text, text, text, text, inet) IS
'double opt-in: writes into the ledger that consent was asked for and returns the token for ecauto.confirm_consent(), which goes to the address by mail; the request alone is no consent';
REVOKE ALL ON FUNCTION ecauto.request_consent(text, text, text, text, text, inet) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.confirm_consent(token text, ip inet DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_confirm_consent'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.confirm_consent(text, inet) IS
'double opt-in: writes into the ledger that the consent a token of ecauto.request_consent() stands for is given; returns whether it holds now; a token that was used, or whose consent was withdrawn since, changes nothing; an error if it is none of ours or older than 7 days; for everybody who has the token';

CREATE OR REPLACE FUNCTION ecauto.unsubscribe(token text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_unsubscribe'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.unsubscribe(text) IS
'what the link in a mail does: withdraws every consent to mail of the address the token was made for, and takes back what is queued or leased for it; true, however often it is called; an error if the token is none of ours; for everybody who has the token';

CREATE OR REPLACE FUNCTION ecauto.unsubscribe_token(email text)
RETURNS text
AS 'MODULE_PATHNAME', 'ecauto_unsubscribe_token'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.unsubscribe_token(text) IS
'the token by which ecauto.unsubscribe() unsubscribes an address; send_mail() puts it into mails itself, behind ecauto.unsubscribe_url; for operators';
REVOKE ALL ON FUNCTION ecauto.unsubscribe_token(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.may_send(
	email text, channel text, purpose text, at timestamptz DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_may_send'
LANGUAGE C STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.may_send(text, text, text, timestamptz) IS
'may a message of that purpose be sent to an address over a channel, as of a time (NULL: now): true for purpose transactional, else if the ledger, or the shop''s role "consent", says yes and the address is not suppressed; false for a NULL address';
REVOKE ALL ON FUNCTION ecauto.may_send(text, text, text, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.consents(
	email text,
	OUT at timestamptz, OUT channel text, OUT purpose text, OUT action text, OUT wording text, OUT source text,
	OUT ip inet, OUT recorded_at timestamptz, OUT recorded_by name)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT l.at, l.channel, l.purpose, l.action, l.wording, l.source, l.ip, l.recorded_at, l.recorded_by
FROM ecauto_data.contact c JOIN ecauto_data.consent l USING (contact_id)
WHERE c.address_hash = ecauto.address_hash($1)
ORDER BY l.at, l.consent_id
$$;
COMMENT ON FUNCTION ecauto.consents(text) IS
'the ledger of an address, oldest first: what was requested, granted and withdrawn, when, and the proof of it; needs SELECT on ecauto_data.contact and ecauto_data.consent';
REVOKE ALL ON FUNCTION ecauto.consents(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.address_hash(address text)
RETURNS bytea
AS 'MODULE_PATHNAME', 'ecauto_address_hash'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.address_hash(text) IS
'the hash by which ecauto_data.contact knows a mail address, even if it was erased: HMAC-SHA256 under a key of the state; for operators';

CREATE OR REPLACE FUNCTION ecauto.suppress_address(email text, reason text, detail text DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_suppress_address'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.suppress_address(text, text, text) IS
'sends nothing but transactional mail to an address from now on, whatever it consents to; reason: bounce (refused for good), complaint or manual; takes back what is queued or leased for it and returns how many mails that were';
REVOKE ALL ON FUNCTION ecauto.suppress_address(text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.unsuppress_address(email text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_unsuppress_address'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.unsuppress_address(text) IS
'ends ecauto.suppress_address(): consent counts again; false if the address was not suppressed';
REVOKE ALL ON FUNCTION ecauto.unsuppress_address(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.erase_contact(email text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_erase_contact'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.erase_contact(text) IS
'forgets an address here: its contact keeps a keyed hash alone, the ledger no IP address, waiting mails no data; it stays suppressed, so that an import does not bring it back; false if it was not known; for operators';
REVOKE ALL ON FUNCTION ecauto.erase_contact(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.erasing()
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_erasing'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.erasing() IS
'is ecauto.erase_contact() changing the ledger just now; for the trigger that guards it';

CREATE OR REPLACE FUNCTION ecauto.check_outbox_consent(id bigint, endpoint text, purpose text, template text, payload jsonb)
RETURNS void
AS 'MODULE_PATHNAME', 'ecauto_check_outbox_consent'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.check_outbox_consent(bigint, text, text, text, jsonb) IS
'raises an error unless everybody whom a mail in the outbox goes to consents to its purpose; for the trigger on the outbox; for operators';
REVOKE ALL ON FUNCTION ecauto.check_outbox_consent(bigint, text, text, text, jsonb) FROM PUBLIC;

-- ---- mail ----

CREATE OR REPLACE FUNCTION ecauto.send_mail(
	recipient text, template text, data jsonb, purpose text DEFAULT 'transactional', key text DEFAULT NULL,
	priority integer DEFAULT 50, deadline timestamptz DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_send_mail'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.send_mail(text, text, jsonb, text, text, integer, timestamptz) IS
'puts a mail into the outbox and returns the id of the message: the stored template, in the recipient''s language, filled with data; if there is no such template, data itself holds "subject" and "body" (text), and may hold "html"; any purpose but transactional needs consent, else an error, and if a frequency cap counts it or it is night for the recipient it waits, which returns NULL: those of higher priority (0 to 100) go first, and none after its deadline (NULL: in 3 days); the same key is the same mail; leaves through the endpoint that the setting ecauto.mail_endpoint names';

CREATE OR REPLACE FUNCTION ecauto.action_mail(params jsonb, context jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'ecauto_action_mail'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.action_mail(jsonb, jsonb) IS
'step "mail" of a flow: params hold template, and may hold purpose, recipient (else that of customer, order or cart in context), locale, key, priority, deadline (a length of time), in_stock (true: not if all of it is sold out), and data, which is added to context to fill the template; returns {"message": id}, or {"deferred": reason, "mail": id} if it waits, or {"skipped": reason}, with one of ecauto.skip_reasons()';

CREATE OR REPLACE FUNCTION ecauto.skip_reasons(OUT reason text, OUT meaning text)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
VALUES
	('no_address', 'the customer has no mail address, or one that is none'),
	('no_consent', 'consent was never given, not confirmed, or withdrawn'),
	('suppressed', 'the address bounced, complained, was suppressed by hand, or erased'),
	('cap', 'a frequency cap leaves no room; it waits for one'),
	('quiet_hours', 'it is night where the customer lives; it waits for the morning'),
	('expired', 'it waited until its deadline'),
	('holdout', 'the customer is in the holdout of the campaign'),
	('queued', 'it waits for the next tick, which weighs it against other mails to the same customer'),
	('error', 'it could not be put into the outbox; it is tried again until its deadline'),
	('template_error', 'the template does not exist, or could not be filled'),
	('sold_out', 'nothing of what the mail is about can be bought any more'),
	('duplicate', 'a mail with the same key was decided about before'),
	('cancelled', 'it was cancelled by an operator')
$$;
COMMENT ON FUNCTION ecauto.skip_reasons() IS
'every reason for which a mail is not sent, or not sent yet';

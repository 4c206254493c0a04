-- Who may be written to, and what was decided about each mail that needs consent.

CREATE TABLE ecauto_data.campaign_secret (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	secret bytea NOT NULL CHECK (length(secret) = 32),
	created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE ecauto_data.campaign_secret IS
	'key of the tokens in links and of the hashes of addresses; links in mails that were sent work as long as it stays, and what was erased stays recognisable';
-- 32 bytes of four UUIDs, whose random bits come from the system
INSERT INTO ecauto_data.campaign_secret (secret)
SELECT sha256(decode(replace(gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text ||
	gen_random_uuid()::text, '-', ''), 'hex'));

CREATE TABLE ecauto_data.contact (
	contact_id bigserial PRIMARY KEY,
	address text COLLATE "C",
	address_hash bytea NOT NULL UNIQUE CHECK (length(address_hash) = 32),
	created_at timestamptz NOT NULL,
	changed_at timestamptz NOT NULL,
	suppressed text CHECK (suppressed IN ('bounce', 'complaint', 'manual', 'erased')),
	suppressed_at timestamptz,
	suppressed_detail text,
	CHECK ((suppressed IS NULL) = (suppressed_at IS NULL))
) WITH (fillfactor = 80);
COMMENT ON TABLE ecauto_data.contact IS
	'addresses whose consent is known or was asked about; whoever decides about mail to one, or changes what it has consented to, updates its row first, so that they wait for each other';
COMMENT ON COLUMN ecauto_data.contact.address IS
	'in lower case; NULL: erased';
COMMENT ON COLUMN ecauto_data.contact.address_hash IS
	'HMAC-SHA256 of the address under campaign_secret: recognises an address that was erased';
COMMENT ON COLUMN ecauto_data.contact.suppressed IS
	'why nothing but transactional mail is sent there, whatever it consents to; NULL: no such reason';

CREATE TABLE ecauto_data.consent (
	consent_id bigserial PRIMARY KEY,
	contact_id bigint NOT NULL,
	channel text COLLATE "C" NOT NULL,
	purpose text COLLATE "C" NOT NULL,
	action text COLLATE "C" NOT NULL CHECK (action IN ('requested', 'granted', 'withdrawn')),
	at timestamptz NOT NULL,
	wording text,
	source text,
	ip inet,
	request_id bigint,
	recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	recorded_by name NOT NULL,
	CHECK (request_id IS NULL OR action = 'granted')
);
CREATE INDEX consent_contact ON ecauto_data.consent (contact_id, channel, purpose, at, consent_id);
CREATE UNIQUE INDEX consent_request ON ecauto_data.consent (request_id) WHERE request_id IS NOT NULL;
COMMENT ON TABLE ecauto_data.consent IS
	'ledger of consent: rows are added and never changed or removed; the latest row of a contact, channel and purpose says what holds';
COMMENT ON COLUMN ecauto_data.consent.contact_id IS
	'of ecauto_data.contact; no foreign key, since each look at that table would lock the row that everybody waits for';
COMMENT ON COLUMN ecauto_data.consent.action IS
	'requested: asked for by double opt-in, not given yet';
COMMENT ON COLUMN ecauto_data.consent.at IS
	'when it was given, asked for or withdrawn, by ecauto.now() unless it was imported';
COMMENT ON COLUMN ecauto_data.consent.wording IS
	'version of the text that was consented to';
COMMENT ON COLUMN ecauto_data.consent.ip IS
	'address it came from; NULL: not known, or erased';
COMMENT ON COLUMN ecauto_data.consent.request_id IS
	'the request that was confirmed; a request is confirmed once';

-- Functions of the state, not of the extension: it can go without taking
-- these triggers along, and without it nothing passes them.
CREATE FUNCTION ecauto_data.consent_guard()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_OP = 'UPDATE' AND ecauto.erasing() THEN
		NEW.ip := NULL;
		OLD.ip := NULL;
		IF NEW IS NOT DISTINCT FROM OLD THEN
			RETURN NEW;
		END IF;
	END IF;
	RAISE EXCEPTION 'consent cannot be changed, only added to'
		USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA,
			DETAIL = format('A statement would %s rows of the ledger.', lower(TG_OP)),
			HINT = 'Use ecauto.withdraw_consent() to end a consent, ecauto.erase_contact() to forget an address.';
END
$$;
COMMENT ON FUNCTION ecauto_data.consent_guard() IS
	'trigger: refuses to change or remove rows of the ledger of consent, but for their erasure';
CREATE TRIGGER consent_guard BEFORE UPDATE OR DELETE ON ecauto_data.consent
	FOR EACH ROW EXECUTE FUNCTION ecauto_data.consent_guard();
CREATE TRIGGER consent_guard_truncate BEFORE TRUNCATE ON ecauto_data.consent
	FOR EACH STATEMENT EXECUTE FUNCTION ecauto_data.consent_guard();

CREATE TABLE ecauto_data.campaign_mail (
	mail_id bigserial PRIMARY KEY,
	contact_id bigint,
	state text COLLATE "C" NOT NULL CHECK (state IN ('waiting', 'sent', 'skipped', 'expired')),
	reason text COLLATE "C" NOT NULL,
	priority smallint NOT NULL DEFAULT 50 CHECK (priority BETWEEN 0 AND 100),
	created_at timestamptz NOT NULL,
	decide_at timestamptz NOT NULL,
	deadline timestamptz NOT NULL,
	decided_at timestamptz,
	message_id bigint,
	campaign text COLLATE "C",
	arm text COLLATE "C",
	customer text COLLATE "C",
	channel text COLLATE "C" NOT NULL,
	purpose text COLLATE "C" NOT NULL,
	template text COLLATE "C",
	locale text COLLATE "C",
	tz text COLLATE "C",
	key text COLLATE "C",
	recipient text,
	sender name NOT NULL,
	detail jsonb,
	data jsonb,
	CHECK (contact_id IS NOT NULL OR state = 'skipped'),
	CHECK ((state = 'waiting') = (decided_at IS NULL)),
	CHECK (state <> 'sent' OR message_id IS NOT NULL)
) WITH (fillfactor = 80);
CREATE INDEX campaign_mail_due ON ecauto_data.campaign_mail (decide_at) WHERE state = 'waiting';
CREATE INDEX campaign_mail_contact ON ecauto_data.campaign_mail (contact_id, decided_at);
CREATE UNIQUE INDEX campaign_mail_key ON ecauto_data.campaign_mail (key) WHERE key IS NOT NULL;
CREATE UNIQUE INDEX campaign_mail_campaign ON ecauto_data.campaign_mail (campaign, customer) WHERE campaign IS NOT NULL;
CREATE INDEX campaign_mail_message ON ecauto_data.campaign_mail (message_id) WHERE message_id IS NOT NULL;
COMMENT ON TABLE ecauto_data.campaign_mail IS
	'mails that need consent: those that wait to be decided about, and what was decided, with the reason';
COMMENT ON COLUMN ecauto_data.campaign_mail.reason IS
	'waiting: what for; skipped: why, one of those that ecauto.skip_reasons() lists';
COMMENT ON COLUMN ecauto_data.campaign_mail.decide_at IS
	'waiting: when it is looked at next';
COMMENT ON COLUMN ecauto_data.campaign_mail.deadline IS
	'no decision by then: expired';
COMMENT ON COLUMN ecauto_data.campaign_mail.recipient IS
	'as it was given, while it waits, if that is more than the address';
COMMENT ON COLUMN ecauto_data.campaign_mail.detail IS
	'more about the reason';
COMMENT ON COLUMN ecauto_data.campaign_mail.data IS
	'what the template is filled with, kept while it waits';
COMMENT ON COLUMN ecauto_data.campaign_mail.message_id IS
	'message in the outbox that it became';
COMMENT ON COLUMN ecauto_data.campaign_mail.arm IS
	'variant of the campaign';

CREATE TABLE ecauto_data.frequency_cap (
	name text COLLATE "C" PRIMARY KEY,
	most integer NOT NULL CHECK (most > 0),
	per interval NOT NULL CHECK (per > '0'),
	purpose text COLLATE "C"
);
COMMENT ON TABLE ecauto_data.frequency_cap IS
	'no contact gets more than so many mails within such a time; transactional mail is not counted';
COMMENT ON COLUMN ecauto_data.frequency_cap.purpose IS
	'mails of this purpose are counted; NULL: of every purpose that needs consent';

CREATE TABLE ecauto_data.quiet_hours (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	starts time NOT NULL,
	ends time NOT NULL,
	CHECK (starts <> ends)
);
COMMENT ON TABLE ecauto_data.quiet_hours IS
	'when no mail that needs consent is sent, in the time zone of its customer, else of the shop; no row: never';

CREATE TABLE ecauto_data.campaign (
	name text COLLATE "C" PRIMARY KEY,
	segment text,
	template text NOT NULL,
	purpose text COLLATE "C" NOT NULL,
	variants jsonb NOT NULL,
	holdout double precision NOT NULL CHECK (holdout >= 0 AND holdout < 1),
	priority smallint NOT NULL,
	data jsonb NOT NULL,
	started_at timestamptz NOT NULL,
	started_by name NOT NULL,
	cancelled_at timestamptz
);
COMMENT ON TABLE ecauto_data.campaign IS
	'mailings to many; who got them is in campaign_mail';
COMMENT ON COLUMN ecauto_data.campaign.variants IS
	'template and share of each variant';
COMMENT ON COLUMN ecauto_data.campaign.holdout IS
	'share of the customers who get nothing, so that the others can be compared with them';

CREATE FUNCTION ecauto_data.outbox_consent()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM ecauto.check_outbox_consent(NEW.id, NEW.endpoint, NEW.purpose, NEW.template, NEW.payload);
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION ecauto_data.outbox_consent() IS
	'trigger: refuses mail that needs consent and has none; what ecauto.enqueue() writes was checked before and does not come here';
CREATE TRIGGER outbox_consent AFTER INSERT ON ecauto_data.outbox
	FOR EACH ROW WHEN (NEW.purpose <> 'transactional') EXECUTE FUNCTION ecauto_data.outbox_consent();

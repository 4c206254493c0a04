/*-------------------------------------------------------------------------
 *
 * campaign_gate.c
 *		No mail that needs consent enters the outbox without it.
 *
 * There are two ways into the outbox.  ecauto.enqueue() and all that is built
 * on it come through ec_enqueue(), which calls our gate.  A statement that
 * inserts into the table fires a trigger, which calls
 * ecauto.check_outbox_consent().  Both lock the contact, so that a withdrawal
 * that is not committed yet is waited for, and both leave a row in
 * ecauto_data.campaign_mail, by which a later withdrawal finds the message.
 *
 * Consent is asked about once more when a message is leased, because the
 * shop's own records change without our lock.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "campaign/campaign.h"

PG_FUNCTION_INFO_V1(ecauto_check_outbox_consent);

static const char *const note_sql =
	"INSERT INTO ecauto_data.campaign_mail (contact_id, state, reason, created_at, decide_at, deadline, decided_at, "
	"message_id, channel, purpose, template, sender) "
	"VALUES ($1, 'sent', 'sent', $2, $2, $2, $2, $3, 'email', $4, $5, $6)";

static const char *const skip_sql =
	"UPDATE ecauto_data.campaign_mail m SET state = 'skipped', reason = r.reason, decided_at = $3 "
	"FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS r(id, reason) "
	"WHERE m.message_id = r.id AND m.state = 'sent'";

/* What of the error tells a program that it is about consent. */
static int
constraint_name(void)
{
	(void) err_generic_string(PG_DIAG_SCHEMA_NAME, EC_STATE_SCHEMA);
	(void) err_generic_string(PG_DIAG_TABLE_NAME, "outbox");
	return err_generic_string(PG_DIAG_CONSTRAINT_NAME, "outbox_consent");
}

/*
 * Raise the error for a verdict that is not EC_MAY_SEND.
 */
void
ec_consent_refuse(const char *address, const char *purpose, EcVerdict verdict)
{
	if (verdict == EC_SUPPRESSED)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("address \"%s\" is suppressed", address),
				 errdetail("Only transactional mail is sent there, whatever it consents to."),
				 errhint("Table ecauto_data.contact says why; ecauto.unsuppress_address() ends it."),
				 constraint_name()));
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("no consent to mail of purpose \"%s\" for address \"%s\"", purpose, address),
			 errdetail("It was never given, not confirmed, or withdrawn."),
			 errhint("Record it with ecauto.grant_consent(), or ask for it with ecauto.request_consent(). Mail about an order or an account has the purpose \"%s\".",
					 EC_PURPOSE_TRANSACTIONAL),
			 constraint_name()));
}

/*
 * Write down that a message of a sender's goes to a contact.  Connected to
 * SPI, as the owner of the state.
 */
void
ec_campaign_note(int64 contact, int64 message, const char *sender_name, const char *purpose, const char *template)
{
	static const Oid types[] = {INT8OID, TIMESTAMPTZOID, INT8OID, TEXTOID, TEXTOID, NAMEOID};
	Datum		values[6];
	char		nulls[] = "      ";
	NameData	sender;

	namestrcpy(&sender, sender_name);
	values[0] = Int64GetDatum(contact);
	values[1] = TimestampTzGetDatum(ec_now());
	values[2] = Int64GetDatum(message);
	values[3] = CStringGetTextDatum(purpose);
	values[4] = template ? CStringGetTextDatum(template) : (Datum) 0;
	nulls[4] = template ? ' ' : 'n';
	values[5] = NameGetDatum(&sender);
	(void) ec_outbox_execute(note_sql, 6, types, values, nulls);
}

/*
 * Refuse a mail unless everybody it goes to may be written to for its
 * purpose.  refuse: false to note it whatever they say; it is asked about
 * again before it is sent.
 */
static void
check_mail(Jsonb *payload, int64 id, const char *purpose, const char *template, bool refuse)
{
	List	   *list = ec_payload_addresses(payload);
	char	   *sender = GetUserNameFromId(GetUserId(), false);
	int			n = list_length(list);
	char	  **addresses = palloc(sizeof(char *) * (n + 1));
	int64	   *contacts = palloc(sizeof(int64) * (n + 1));
	EcVerdict  *verdicts = palloc(sizeof(EcVerdict) * (n + 1));
	ListCell   *cell;
	EcAs		as;

	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("a mail of purpose \"%s\" names nobody whose consent could be asked about", purpose),
				 errhint("Its payload holds the address in \"to\"."),
				 constraint_name()));
	ec_outbox_open(&as);
	n = 0;
	foreach(cell, list)
	{
		EcContact	contact;

		addresses[n] = lfirst(cell);
		ec_contact_lock(addresses[n], &contact);
		contacts[n++] = contact.id;
	}
	if (refuse)
	{
		ec_consent_check(addresses, n, EC_CHANNEL_EMAIL, purpose, ec_now(), verdicts);
		for (int i = 0; i < n; i++)
			if (verdicts[i] != EC_MAY_SEND)
				ec_consent_refuse(addresses[i], purpose, verdicts[i]);
	}
	for (int i = 0; i < n; i++)
		ec_campaign_note(contacts[i], id, sender, purpose, template);
	ec_outbox_close(&as);
}

/* EcEnqueueGate */
static void
enqueue_gate(const EcEnqueue *message, int64 id)
{
	if (!ec_purpose_is_free(message->purpose))
		check_mail(message->payload, id, message->purpose, message->template, true);
}

/* ---- what was leased ---- */

/* What lease_check() works on. */
typedef struct Leased
{
	List	   *messages;		/* of EcMessage that need consent */
	MemoryContext context;		/* of them */
} Leased;

/*
 * Ask about the recipients of messages that have one purpose; the worst of
 * what is said of them counts.
 */
static void
lease_check_purpose(const Leased *leased, const char *purpose)
{
	List	   *addresses = NIL;
	List	   *owners = NIL;
	ListCell   *cell;
	char	  **array;
	EcVerdict  *verdicts;
	int			n = 0;

	foreach(cell, leased->messages)
	{
		EcMessage  *message = lfirst(cell);
		List	   *list;

		if (strcmp(message->purpose, purpose) != 0)
			continue;
		list = ec_payload_addresses(message->payload);
		addresses = list_concat(addresses, list);
		for (int i = 0; i < list_length(list); i++)
			owners = lappend(owners, message);
	}
	array = palloc(sizeof(char *) * (list_length(addresses) + 1));
	verdicts = palloc(sizeof(EcVerdict) * (list_length(addresses) + 1));
	foreach(cell, addresses)
		array[n++] = lfirst(cell);
	ec_consent_check(array, n, EC_CHANNEL_EMAIL, purpose, ec_now(), verdicts);
	n = 0;
	foreach(cell, owners)
	{
		EcMessage  *message = lfirst(cell);
		EcVerdict	verdict = verdicts[n++];

		if (verdict != EC_MAY_SEND && message->unwanted == NULL)
			message->unwanted = MemoryContextStrdup(leased->context,
													verdict == EC_SUPPRESSED ? "suppressed" : "no_consent");
	}
}

/* EcTryRun */
static void
lease_check(void *arg)
{
	static const Oid types[] = {INT8ARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID};
	Leased	   *leased = arg;
	Datum	   *ids = palloc(sizeof(Datum) * (list_length(leased->messages) + 1));
	Datum	   *reasons = palloc(sizeof(Datum) * (list_length(leased->messages) + 1));
	List	   *asked = NIL;
	Datum		values[3];
	int			n = 0;
	ListCell   *cell;
	EcAs		as;

	foreach(cell, leased->messages)
	{
		EcMessage  *message = lfirst(cell);
		ListCell   *other;
		bool		done = false;

		foreach(other, asked)
			done = done || strcmp(lfirst(other), message->purpose) == 0;
		if (!done)
		{
			asked = lappend(asked, message->purpose);
			lease_check_purpose(leased, message->purpose);
		}
	}
	foreach(cell, leased->messages)
	{
		EcMessage  *message = lfirst(cell);

		if (message->unwanted == NULL)
			continue;
		ids[n] = Int64GetDatum(message->id);
		reasons[n++] = CStringGetTextDatum(message->unwanted);
	}
	if (n == 0)
		return;
	values[0] = PointerGetDatum(construct_array(ids, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[1] = PointerGetDatum(construct_array(reasons, n, TEXTOID, -1, false, TYPALIGN_INT));
	values[2] = TimestampTzGetDatum(ec_now());
	ec_outbox_open(&as);
	(void) ec_outbox_execute(skip_sql, 3, types, values, NULL);
	ec_outbox_close(&as);
}

/* Is there a mail server at the endpoint, or nothing any more? */
static bool
goes_by_mail(const char *name)
{
	EcEndpoint *endpoint = ec_endpoint_load(name, InvalidOid, true);

	return endpoint == NULL || EC_SCHEME_IS_MAIL(endpoint->scheme);
}

/*
 * EcLeaseGate: one statement for each purpose.  If the shop's own query about
 * consents fails nothing is known, and nothing is sent now.
 */
static void
check_leased(List *messages)
{
	Leased		leased = {NIL, CurrentMemoryContext};
	const char *known = NULL;	/* the endpoint that the last message goes to */
	bool		by_mail = false;
	ErrorData  *error;
	ListCell   *cell;

	foreach(cell, messages)
	{
		EcMessage  *message = lfirst(cell);

		if (ec_purpose_is_free(message->purpose))
			continue;
		if (known == NULL || strcmp(known, message->endpoint) != 0)
			by_mail = goes_by_mail(known = message->endpoint);
		if (by_mail)
			leased.messages = lappend(leased.messages, message);
	}
	if (leased.messages == NIL)
		return;
	error = ec_try(lease_check, &leased, false);
	if (error == NULL)
		return;
	foreach(cell, leased.messages)
	{
		EcMessage  *message = lfirst(cell);

		message->unwanted = NULL;
		message->trouble = psprintf("could not ask for consent: %s", error->message);
	}
}

/*
 * ecauto.check_outbox_consent(id bigint, endpoint text, purpose text,
 *							   template text, payload jsonb) returns void
 *
 * Called by the trigger on the outbox; the statement is somebody's own.
 */
Datum
ecauto_check_outbox_consent(PG_FUNCTION_ARGS)
{
	ec_state_require();
	ec_require_operator("write into the outbox");
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(4))
		PG_RETURN_VOID();
	if (!goes_by_mail(text_to_cstring(PG_GETARG_TEXT_PP(1))))
		PG_RETURN_VOID();
	check_mail(PG_GETARG_JSONB_P(4), PG_GETARG_INT64(0), text_to_cstring(PG_GETARG_TEXT_PP(2)),
			   PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3)), !ec_outbox_redriving());
	PG_RETURN_VOID();
}

/*
 * Called once per process, by _PG_init().
 */
void
ec_campaign_init(void)
{
	ec_enqueue_set_gate(enqueue_gate);
	ec_lease_set_gate(check_leased);
}

/*-------------------------------------------------------------------------
 *
 * campaign_contact.c
 *		Contacts: the lock of an address, suppression, erasure.
 *
 * Whoever decides about mail to an address, or changes what it has consented
 * to, updates its row in ecauto_data.contact first and holds that lock to the
 * end of his transaction.  So a mail that is being enqueued and a withdrawal
 * wait for each other, and the later one sees what the earlier one did: under
 * READ COMMITTED since each statement has a snapshot of its own, above that
 * since an update of a row that another one has updated fails.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "campaign/campaign.h"

PG_FUNCTION_INFO_V1(ecauto_suppress_address);
PG_FUNCTION_INFO_V1(ecauto_unsuppress_address);
PG_FUNCTION_INFO_V1(ecauto_erase_contact);
PG_FUNCTION_INFO_V1(ecauto_erasing);

static const char *const lock_sql =
	"INSERT INTO ecauto_data.contact AS c (address, address_hash, created_at, changed_at) "
	"VALUES ($1, $2, $3, $3) "
	"ON CONFLICT (address_hash) DO UPDATE SET changed_at = excluded.changed_at "
	"RETURNING c.contact_id, c.address IS NULL, c.suppressed";

static const char *const suppress_sql =
	"UPDATE ecauto_data.contact c SET suppressed = $2, suppressed_at = $3, suppressed_detail = $4 "
	"WHERE c.contact_id = $1 AND c.suppressed IS DISTINCT FROM 'erased'";

static const char *const unsuppress_sql =
	"UPDATE ecauto_data.contact c SET suppressed = NULL, suppressed_at = NULL, suppressed_detail = NULL "
	"WHERE c.contact_id = $1 AND c.suppressed IS NOT NULL";

static const char *const erase_contact_sql =
	"UPDATE ecauto_data.contact c SET address = NULL, suppressed = 'erased', suppressed_at = $2, "
	"suppressed_detail = NULL WHERE c.contact_id = $1 AND c.address IS NOT NULL";

static const char *const erase_consent_sql =
	"UPDATE ecauto_data.consent l SET ip = NULL WHERE l.contact_id = $1 AND l.ip IS NOT NULL";

static const char *const erase_mail_sql =
	"UPDATE ecauto_data.campaign_mail m SET data = NULL, detail = NULL "
	"WHERE m.contact_id = $1 AND (m.data IS NOT NULL OR m.detail IS NOT NULL)";

static const char *const skip_waiting_sql =
	"UPDATE ecauto_data.campaign_mail m SET state = 'skipped', reason = $4, decided_at = $5, data = NULL "
	"WHERE m.contact_id = $1 AND m.state = 'waiting' AND ($2 IS NULL OR m.channel = $2) "
	"AND ($3 IS NULL OR m.purpose = $3)";

static const char *const unsent_sql =
	"SELECT array_agg(DISTINCT o.id) FROM ecauto_data.campaign_mail m "
	/* the key of a mail about an order may have been used for an offer once more: the mail is the first still */
	"JOIN ecauto_data.outbox o ON o.id = m.message_id AND o.purpose <> 'transactional' "
	"WHERE m.contact_id = $1 AND ($2 IS NULL OR m.channel = $2) AND ($3 IS NULL OR m.purpose = $3)";

static const char *const skip_sent_sql =
	"UPDATE ecauto_data.campaign_mail m SET state = 'skipped', reason = $2, decided_at = $3 "
	"WHERE m.message_id = ANY ($1) AND m.state = 'sent' AND m.contact_id = $4";

/* erase_contact() is changing the ledger just now */
static bool erasing = false;

void
ec_contact_lock(const char *address, EcContact *contact)
{
	static const Oid types[] = {TEXTOID, BYTEAOID, TIMESTAMPTZOID};
	HeapTuple	tuple;
	TupleDesc	desc;
	Datum		values[3];
	bool		isnull;
	char	   *suppressed;

	values[0] = CStringGetTextDatum(address);
	values[1] = ec_address_hash_datum(address);
	values[2] = TimestampTzGetDatum(ec_now());
	if (ec_outbox_execute(lock_sql, 3, types, values, NULL) != 1)
		elog(ERROR, "could not lock a contact");
	tuple = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	contact->id = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
	contact->erased = DatumGetBool(SPI_getbinval(tuple, desc, 2, &isnull));
	suppressed = SPI_getvalue(tuple, desc, 3);
	contact->suppressed = NULL;
	if (suppressed != NULL)
	{
		contact->suppressed = SPI_palloc(strlen(suppressed) + 1);
		strcpy(contact->suppressed, suppressed);
	}
	SPI_freetuptable(SPI_tuptable);
}

int64
ec_contact_recall(int64 contact, const char *channel, const char *purpose, const char *reason)
{
	static const Oid types[] = {INT8OID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID};
	static const Oid skip_types[] = {INT8ARRAYOID, TEXTOID, TIMESTAMPTZOID, INT8OID};
	Datum		now = TimestampTzGetDatum(ec_now());
	Datum		values[5] = {Int64GetDatum(contact)};
	char		nulls[] = "     ";
	int64		ended;
	Datum		ids;
	bool		isnull;

	values[1] = channel ? CStringGetTextDatum(channel) : (Datum) 0;
	nulls[1] = channel ? ' ' : 'n';
	values[2] = purpose ? CStringGetTextDatum(purpose) : (Datum) 0;
	nulls[2] = purpose ? ' ' : 'n';
	values[3] = CStringGetTextDatum(reason);
	values[4] = now;
	ended = (int64) ec_outbox_execute(skip_waiting_sql, 5, types, values, nulls);

	(void) ec_outbox_execute(unsent_sql, 3, types, values, nulls);
	ids = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
	{
		Datum		skip_values[4] = {ids, values[3], now, values[0]};

		ended += ec_outbox_recall(ids, reason);
		(void) ec_outbox_execute(skip_sent_sql, 4, skip_types, skip_values, NULL);
	}
	return ended;
}

static char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/*
 * ecauto.suppress_address(email text, reason text, detail text) returns bigint
 */
Datum
ecauto_suppress_address(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {INT8OID, TEXTOID, TIMESTAMPTZOID, TEXTOID};
	static const char *const reasons[] = {"bounce", "complaint", "manual"};
	char	   *email = text_argument(fcinfo, 0);
	char	   *reason = text_argument(fcinfo, 1);
	bool		known = false;
	EcContact	contact;
	Datum		values[4];
	char		nulls[] = "    ";
	int64		cancelled;
	EcAs		as;

	ec_state_require();
	if (email == NULL || reason == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be NULL", email == NULL ? "email" : "reason")));
	for (int i = 0; i < (int) lengthof(reasons); i++)
		known = known || strcmp(reason, reasons[i]) == 0;
	if (!known)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no reason \"%s\" to suppress an address", reason),
				 errhint("Reasons are bounce, complaint and manual; ecauto.erase_contact() is for what must be forgotten.")));
	email = ec_address_require(EC_CHANNEL_EMAIL, email);

	ec_outbox_open(&as);
	ec_contact_lock(email, &contact);
	values[0] = Int64GetDatum(contact.id);
	values[1] = CStringGetTextDatum(reason);
	values[2] = TimestampTzGetDatum(ec_now());
	values[3] = PG_ARGISNULL(2) ? (Datum) 0 : PG_GETARG_DATUM(2);
	nulls[3] = PG_ARGISNULL(2) ? 'n' : ' ';
	(void) ec_outbox_execute(suppress_sql, 4, types, values, nulls);
	cancelled = ec_contact_recall(contact.id, NULL, NULL, "suppressed");
	ec_outbox_close(&as);
	PG_RETURN_INT64(cancelled);
}

/*
 * ecauto.unsuppress_address(email text) returns boolean
 */
Datum
ecauto_unsuppress_address(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {INT8OID};
	char	   *email;
	EcContact	contact;
	Datum		value;
	bool		found;
	EcAs		as;

	ec_state_require();
	email = ec_address_require(EC_CHANNEL_EMAIL, text_argument(fcinfo, 0));
	ec_outbox_open(&as);
	ec_contact_lock(email, &contact);
	value = Int64GetDatum(contact.id);
	found = ec_outbox_execute(unsuppress_sql, 1, types, &value, NULL) > 0;
	ec_outbox_close(&as);
	PG_RETURN_BOOL(found);
}

/*
 * ecauto.erase_contact(email text) returns boolean
 */
Datum
ecauto_erase_contact(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {INT8OID, TIMESTAMPTZOID};
	char	   *email;
	EcContact	contact;
	Datum		values[2];
	bool		known;
	EcAs		as;

	ec_state_require();
	ec_require_operator("erase contacts");
	email = ec_address_require(EC_CHANNEL_EMAIL, text_argument(fcinfo, 0));
	ec_outbox_open(&as);
	ec_contact_lock(email, &contact);
	values[0] = Int64GetDatum(contact.id);
	values[1] = TimestampTzGetDatum(ec_now());
	(void) ec_contact_recall(contact.id, NULL, NULL, "suppressed");
	known = ec_outbox_execute(erase_contact_sql, 2, types, values, NULL) > 0;
	(void) ec_outbox_execute(erase_mail_sql, 1, types, values, NULL);
	erasing = true;
	PG_TRY();
	{
		(void) ec_outbox_execute(erase_consent_sql, 1, types, values, NULL);
	}
	PG_FINALLY();
	{
		erasing = false;
	}
	PG_END_TRY();
	ec_outbox_close(&as);
	PG_RETURN_BOOL(known);
}

/*
 * ecauto.erasing() returns boolean
 *
 * Asked by the trigger that guards the ledger.
 */
Datum
ecauto_erasing(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(erasing);
}

/*-------------------------------------------------------------------------
 *
 * campaign_consent.c
 *		The ledger of consent: ecauto.grant_consent(), withdraw_consent(),
 *		request_consent(), confirm_consent(), unsubscribe(), may_send().
 *
 * The ledger is only added to.  What holds for an address, a channel and a
 * purpose at a time is what its latest row by then says; of rows of the same
 * instant the one that was written last.  A shop that keeps consents itself
 * binds role "consent"; then the later of its word and ours counts, and of
 * two of the same instant the one that says no.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "campaign/campaign.h"
#include "shop/shop.h"

PG_FUNCTION_INFO_V1(ecauto_grant_consent);
PG_FUNCTION_INFO_V1(ecauto_withdraw_consent);
PG_FUNCTION_INFO_V1(ecauto_request_consent);
PG_FUNCTION_INFO_V1(ecauto_confirm_consent);
PG_FUNCTION_INFO_V1(ecauto_unsubscribe);
PG_FUNCTION_INFO_V1(ecauto_unsubscribe_token);
PG_FUNCTION_INFO_V1(ecauto_may_send);

/* how long a request for consent can be confirmed */
#define CONFIRM_WITHIN (7 * USECS_PER_DAY)

static const char *const write_sql =
	"INSERT INTO ecauto_data.consent AS l (contact_id, channel, purpose, action, at, wording, source, ip, request_id, recorded_by) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING l.consent_id";

/* $3: NULL for every purpose that was ever given, or asked for and might be confirmed yet */
static const char *const withdraw_sql =
	"INSERT INTO ecauto_data.consent (contact_id, channel, purpose, action, at, source, recorded_by) "
	"SELECT $1, $2, p.purpose, 'withdrawn', $4, $5, $6 "
	"FROM (SELECT $3 AS purpose WHERE $3 IS NOT NULL UNION SELECT 'marketing' WHERE $3 IS NULL UNION "
	"SELECT l.purpose FROM ecauto_data.consent l WHERE $3 IS NULL AND l.contact_id = $1 AND l.channel = $2) p "
	/* what is withdrawn already need not be withdrawn again, unless the shop has said yes since */
	"WHERE $7 OR (SELECT l.action FROM ecauto_data.consent l WHERE l.contact_id = $1 AND l.channel = $2 "
	"AND l.purpose = p.purpose ORDER BY l.at DESC, l.consent_id DESC LIMIT 1) IS DISTINCT FROM 'withdrawn'";

static const char *const request_sql =
	"SELECT l.channel, l.purpose, l.at, l.wording, l.source, c.address, "
	/* confirmed before, or taken back since */
	"EXISTS (SELECT FROM ecauto_data.consent g WHERE g.request_id = l.consent_id) "
	"OR EXISTS (SELECT FROM ecauto_data.consent w WHERE w.contact_id = l.contact_id AND w.channel = l.channel "
	"AND w.purpose = l.purpose AND w.action = 'withdrawn' AND (w.at, w.consent_id) > (l.at, l.consent_id)) "
	"FROM ecauto_data.consent l JOIN ecauto_data.contact c ON c.contact_id = l.contact_id "
	"WHERE l.consent_id = $1 AND l.action = 'requested'";

static const char *const address_sql =
	"SELECT c.address FROM ecauto_data.contact c WHERE c.contact_id = $1";

/* $1 hashes, $2 addresses; $6 to $8: what the shop itself says */
static const char *const check_sql =
	"WITH shop AS (SELECT DISTINCT ON (s.address) s.address, s.granted, s.at "
	"FROM ROWS FROM (pg_catalog.unnest($6), pg_catalog.unnest($7), pg_catalog.unnest($8)) AS s(address, granted, at) "
	"WHERE s.at <= $5 ORDER BY s.address, s.at DESC, s.granted) "
	"SELECT a.n, CASE WHEN c.suppressed_at <= $5 THEN 2 "
	"WHEN CASE WHEN l.at IS NULL OR s.at > l.at THEN s.granted "
	"WHEN s.at IS NULL OR l.at > s.at THEN l.granted ELSE l.granted AND s.granted END THEN 0 ELSE 1 END "
	"FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) WITH ORDINALITY AS a(hash, address, n) "
	/* OFFSET keeps it a look-up for each address, in whatever state the statistics are */
	"LEFT JOIN LATERAL (SELECT k.contact_id, k.suppressed_at FROM ecauto_data.contact k "
	"WHERE k.address_hash = a.hash OFFSET 0) c ON true "
	"LEFT JOIN LATERAL (SELECT l.action = 'granted' AS granted, l.at FROM ecauto_data.consent l "
	"WHERE l.contact_id = c.contact_id AND l.channel = $3 AND l.purpose = $4 AND l.at <= $5 "
	"AND l.action <> 'requested' ORDER BY l.at DESC, l.consent_id DESC LIMIT 1) l ON true "
	"LEFT JOIN shop s ON s.address = a.address";

/* ---- what the shop itself says ---- */

/* address, granted, at */
static const Oid shop_types[] = {TEXTOID, BOOLOID, TIMESTAMPTZOID};

/*
 * Rows of role "consent" about these addresses: three arrays for check_sql.
 * Those of no address if the role is not bound.
 *
 * The shop may write an address in any case, so the query's own column is not
 * what is compared; an index of the shop's on lower(email) serves.
 */
static void
shop_consents(Datum addresses, const char *channel, Datum *columns)
{
	static const Oid types[] = {TEXTARRAYOID, TEXTOID};
	MemoryContext caller = CurrentMemoryContext;
	ArrayBuildState *state[3];
	EcBinding  *binding = ec_binding_get("consent");
	Datum		values[2] = {addresses};
	EcAs		as;

	for (int column = 0; column < 3; column++)
		state[column] = initArrayResult(shop_types[column], caller, false);
	if (binding != NULL)
	{
		char	   *statement = psprintf("SELECT s.email, s.granted, s.at FROM (%s) AS s(email, channel, granted, at) "
										 "WHERE s.email OPERATOR(pg_catalog.=) ANY ($1) "
										 "AND s.channel OPERATOR(pg_catalog.=) $2 AND s.granted IS NOT NULL AND s.at IS NOT NULL",
										 ec_binding_statement(binding));

		values[1] = CStringGetTextDatum(channel);
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		ec_binding_as(&as, binding);
		if (SPI_execute_plan(ec_plan(statement, 2, types), values, NULL, false, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not read role \"consent\"");
		for (uint64 i = 0; i < SPI_processed; i++)
			for (int column = 0; column < 3; column++)
			{
				bool		isnull;
				Datum		value = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
												  column + 1, &isnull);

				state[column] = accumArrayResult(state[column], value, isnull, shop_types[column], caller);
			}
		ec_as_end(&as);
		SPI_finish();
	}
	for (int column = 0; column < 3; column++)
		columns[column] = makeArrayResult(state[column], caller);
}

/* ---- what holds ---- */

/*
 * Let the statement have one plan, by the indexes, for one address and for
 * thousands: else it would be planned anew for each mail, or keep a plan that
 * was made when the tables were empty.  ec_as_end() undoes it.
 */
static void
plan_settle(void)
{
#define SET(name, value) \
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false)
	SET("plan_cache_mode", "force_generic_plan");
	SET("enable_seqscan", "off");
	SET("enable_bitmapscan", "off");
#undef SET
}

void
ec_consent_check(char **addresses, int n, const char *channel, const char *purpose,
				 TimestampTz at, EcVerdict *verdicts)
{
	static const Oid types[] = {
		BYTEAARRAYOID, TEXTARRAYOID, TEXTOID, TEXTOID, TIMESTAMPTZOID,
		TEXTARRAYOID, BOOLARRAYOID, TIMESTAMPTZARRAYOID
	};
	Datum	   *hashes = palloc(sizeof(Datum) * (n + 1));
	Datum	   *texts = palloc(sizeof(Datum) * (n + 1));
	Datum		values[8];
	EcAs		as;

	for (int i = 0; i < n; i++)
	{
		hashes[i] = ec_address_hash_datum(addresses[i]);
		texts[i] = CStringGetTextDatum(addresses[i]);
		verdicts[i] = EC_NO_CONSENT;
	}
	values[0] = PointerGetDatum(construct_array(hashes, n, BYTEAOID, -1, false, TYPALIGN_INT));
	values[1] = PointerGetDatum(construct_array(texts, n, TEXTOID, -1, false, TYPALIGN_INT));
	values[2] = CStringGetTextDatum(channel);
	values[3] = CStringGetTextDatum(purpose);
	values[4] = TimestampTzGetDatum(at);
	if (strcmp(purpose, EC_PURPOSE_MARKETING) == 0)
		shop_consents(values[1], channel, &values[5]);
	else
		for (int i = 0; i < 3; i++)
			values[5 + i] = PointerGetDatum(construct_empty_array(shop_types[i]));

	ec_outbox_open(&as);
	plan_settle();
	(void) ec_outbox_execute(check_sql, 8, types, values, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		int64		place = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));

		verdicts[place - 1] = (EcVerdict) DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i],
																	  SPI_tuptable->tupdesc, 2, &isnull));
	}
	ec_outbox_close(&as);
}

static EcVerdict
check_one(char *address, const char *channel, const char *purpose, TimestampTz at)
{
	EcVerdict	verdict;

	ec_consent_check(&address, 1, channel, purpose, at, &verdict);
	return verdict;
}

/* ---- arguments ---- */

static char *
required_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be NULL", name)));
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* When it was, by the caller; it cannot be in the future. */
static TimestampTz
time_argument(FunctionCallInfo fcinfo, int n)
{
	TimestampTz now = ec_now();
	TimestampTz at;

	if (PG_ARGISNULL(n))
		return now;
	at = PG_GETARG_TIMESTAMPTZ(n);
	if (TIMESTAMP_NOT_FINITE(at) || at > now)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("time of a consent must not lie in the future"),
				 errdetail("The time is %s.", timestamptz_to_str(at))));
	return at;
}

/* A line of the ledger; fields that are NULL are not known. */
typedef struct Entry
{
	int64		contact;
	const char *channel;
	const char *purpose;
	const char *action;
	TimestampTz at;
	Datum		wording;		/* text; 0: NULL */
	Datum		source;			/* text; 0: NULL */
	Datum		ip;				/* inet; 0: NULL */
	int64		request;		/* 0: none */
	NameData	recorded_by;
} Entry;

/* Connected to SPI, as the owner of the state.  Returns its number. */
static int64
entry_write(Entry *entry)
{
	static const Oid types[] = {
		INT8OID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INETOID, INT8OID, NAMEOID
	};
	Datum		values[10];
	char		nulls[] = "          ";
	bool		isnull;

	values[0] = Int64GetDatum(entry->contact);
	values[1] = CStringGetTextDatum(entry->channel);
	values[2] = CStringGetTextDatum(entry->purpose);
	values[3] = CStringGetTextDatum(entry->action);
	values[4] = TimestampTzGetDatum(entry->at);
	values[5] = entry->wording;
	nulls[5] = entry->wording ? ' ' : 'n';
	values[6] = entry->source;
	nulls[6] = entry->source ? ' ' : 'n';
	values[7] = entry->ip;
	nulls[7] = entry->ip ? ' ' : 'n';
	values[8] = Int64GetDatum(entry->request);
	nulls[8] = entry->request ? ' ' : 'n';
	values[9] = NameGetDatum(&entry->recorded_by);
	if (ec_outbox_execute(write_sql, 10, types, values, nulls) != 1)
		elog(ERROR, "could not write the ledger of consent");
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/*
 * What grant_consent() and request_consent() have in common: email, channel,
 * purpose, wording, source, ip.  Returns the normalized address.
 */
static char *
entry_arguments(FunctionCallInfo fcinfo, Entry *entry)
{
	char	   *email = required_argument(fcinfo, 0, "email");
	char	   *channel = required_argument(fcinfo, 1, "channel");
	char	   *purpose = required_argument(fcinfo, 2, "purpose");

	memset(entry, 0, sizeof(Entry));
	ec_channel_require(channel);
	ec_purpose_require(purpose);
	entry->channel = channel;
	entry->purpose = purpose;
	entry->wording = PG_ARGISNULL(3) ? (Datum) 0 : PG_GETARG_DATUM(3);
	entry->source = PG_ARGISNULL(4) ? (Datum) 0 : PG_GETARG_DATUM(4);
	entry->ip = PG_ARGISNULL(5) ? (Datum) 0 : PG_GETARG_DATUM(5);
	namestrcpy(&entry->recorded_by, GetUserNameFromId(GetUserId(), false));
	return ec_address_require(channel, email);
}

/* ---- SQL functions ---- */

/*
 * ecauto.grant_consent(email text, channel text, purpose text, wording text,
 *						source text, ip inet, at timestamptz) returns boolean
 */
Datum
ecauto_grant_consent(PG_FUNCTION_ARGS)
{
	Entry		entry;
	EcContact	contact;
	char	   *address;
	EcAs		as;

	ec_state_require();
	address = entry_arguments(fcinfo, &entry);
	entry.action = "granted";
	entry.at = time_argument(fcinfo, 6);
	ec_outbox_open(&as);
	ec_contact_lock(address, &contact);
	entry.contact = contact.id;
	/* who was erased is known by his hash alone */
	if (contact.erased)
		entry.ip = (Datum) 0;
	(void) entry_write(&entry);
	ec_outbox_close(&as);
	PG_RETURN_BOOL(check_one(address, entry.channel, entry.purpose, ec_now()) == EC_MAY_SEND);
}

/*
 * Withdraw consent of a contact; purpose: NULL for all; again: even if it is
 * withdrawn already.  Connected to SPI, as the owner of the state, with the
 * contact locked.
 */
static void
withdraw(int64 contact, const char *channel, const char *purpose, TimestampTz at, const char *source,
		 const char *who, bool again)
{
	static const Oid types[] = {INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, NAMEOID, BOOLOID};
	Datum		values[7];
	char		nulls[] = "       ";
	NameData	recorded_by;

	namestrcpy(&recorded_by, who);
	values[0] = Int64GetDatum(contact);
	values[1] = CStringGetTextDatum(channel);
	values[2] = purpose ? CStringGetTextDatum(purpose) : (Datum) 0;
	nulls[2] = purpose ? ' ' : 'n';
	values[3] = TimestampTzGetDatum(at);
	values[4] = source ? CStringGetTextDatum(source) : (Datum) 0;
	nulls[4] = source ? ' ' : 'n';
	values[5] = NameGetDatum(&recorded_by);
	values[6] = BoolGetDatum(again);
	(void) ec_outbox_execute(withdraw_sql, 7, types, values, nulls);
}

/*
 * ecauto.withdraw_consent(email text, channel text, purpose text, source text,
 *						   at timestamptz) returns bigint
 */
Datum
ecauto_withdraw_consent(PG_FUNCTION_ARGS)
{
	char	   *email = required_argument(fcinfo, 0, "email");
	char	   *channel = required_argument(fcinfo, 1, "channel");
	char	   *purpose = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	char	   *source = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3));
	char	   *who = GetUserNameFromId(GetUserId(), false);
	TimestampTz at;
	EcContact	contact;
	char	   *address;
	int64		cancelled = 0;
	EcAs		as;

	ec_state_require();
	ec_channel_require(channel);
	if (purpose != NULL)
		ec_purpose_require(purpose);
	address = ec_address_require(channel, email);
	at = time_argument(fcinfo, 4);
	ec_outbox_open(&as);
	ec_contact_lock(address, &contact);
	withdraw(contact.id, channel, purpose, at, source, who, true);
	/* one that happened long ago may have been followed by another consent */
	if (purpose == NULL || check_one(address, channel, purpose, ec_now()) != EC_MAY_SEND)
		cancelled = ec_contact_recall(contact.id, channel, purpose, "no_consent");
	ec_outbox_close(&as);
	PG_RETURN_INT64(cancelled);
}

/*
 * ecauto.request_consent(email text, channel text, purpose text, wording text,
 *						  source text, ip inet) returns text
 */
Datum
ecauto_request_consent(PG_FUNCTION_ARGS)
{
	Entry		entry;
	EcContact	contact;
	char	   *address;
	int64		request;
	EcAs		as;

	ec_state_require();
	address = entry_arguments(fcinfo, &entry);
	entry.action = "requested";
	entry.at = ec_now();
	ec_outbox_open(&as);
	ec_contact_lock(address, &contact);
	entry.contact = contact.id;
	if (contact.erased)
		entry.ip = (Datum) 0;
	request = entry_write(&entry);
	ec_outbox_close(&as);
	PG_RETURN_TEXT_P(cstring_to_text(ec_token_make(EC_TOKEN_CONFIRM, request)));
}

static void
token_invalid(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid token"),
			 errdetail("It is not one that was made to %s.", what)));
}

/* Address of a contact, in the caller's context; NULL if it was erased. */
static char *
contact_address(int64 id)
{
	static const Oid types[] = {INT8OID};
	Datum		value = Int64GetDatum(id);
	char	   *address;
	char	   *copy = NULL;

	if (ec_outbox_execute(address_sql, 1, types, &value, NULL) != 1)
		return NULL;
	address = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (address != NULL)
	{
		copy = SPI_palloc(strlen(address) + 1);
		strcpy(copy, address);
	}
	return copy;
}

/*
 * ecauto.confirm_consent(token text, ip inet) returns boolean
 *
 * A request is confirmed once: later, its token only tells what holds.
 */
Datum
ecauto_confirm_consent(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {INT8OID};
	char	   *token = required_argument(fcinfo, 0, "token");
	TimestampTz now = ec_now();
	TimestampTz requested_at;
	Entry		entry = {0};
	EcContact	contact;
	Datum		value;
	HeapTuple	tuple;
	TupleDesc	desc;
	char	   *address;
	bool		isnull;
	bool		used;
	int64		request;
	EcAs		as;

	ec_state_require();
	namestrcpy(&entry.recorded_by, GetUserNameFromId(GetUserId(), false));
	if (!ec_token_read(EC_TOKEN_CONFIRM, token, &request))
		token_invalid("confirm a consent");
	value = Int64GetDatum(request);
	ec_outbox_open(&as);

	/* whose it is, then his lock, then what holds */
	if (ec_outbox_execute(request_sql, 1, types, &value, NULL) != 1)
		token_invalid("confirm a consent");
	address = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 6);
	if (address == NULL)
	{
		/* forgotten meanwhile */
		ec_outbox_close(&as);
		PG_RETURN_BOOL(false);
	}
	ec_contact_lock(address, &contact);
	if (ec_outbox_execute(request_sql, 1, types, &value, NULL) != 1)
		token_invalid("confirm a consent");
	tuple = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	entry.contact = contact.id;
	entry.channel = SPI_getvalue(tuple, desc, 1);
	entry.purpose = SPI_getvalue(tuple, desc, 2);
	requested_at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 3, &isnull));
	entry.wording = SPI_getbinval(tuple, desc, 4, &isnull);
	if (isnull)
		entry.wording = (Datum) 0;
	entry.source = SPI_getbinval(tuple, desc, 5, &isnull);
	if (isnull)
		entry.source = (Datum) 0;
	used = DatumGetBool(SPI_getbinval(tuple, desc, 7, &isnull));
	if (!used && now > requested_at + CONFIRM_WITHIN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the request for consent has expired"),
				 errdetail("It was made at %s and could be confirmed for %d days.",
						   timestamptz_to_str(requested_at), (int) (CONFIRM_WITHIN / USECS_PER_DAY)),
				 errhint("Ask again with ecauto.request_consent().")));
	if (!used)
	{
		entry.action = "granted";
		entry.at = now;
		entry.ip = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);
		entry.request = request;
		(void) entry_write(&entry);
	}
	{
		bool		may = check_one(address, entry.channel, entry.purpose, now) == EC_MAY_SEND;

		ec_outbox_close(&as);
		PG_RETURN_BOOL(may);
	}
}

/*
 * ecauto.unsubscribe(token text) returns boolean
 */
Datum
ecauto_unsubscribe(PG_FUNCTION_ARGS)
{
	char	   *token = required_argument(fcinfo, 0, "token");
	char	   *who = GetUserNameFromId(GetUserId(), false);
	EcContact	contact;
	char	   *address;
	int64		id;
	EcAs		as;

	ec_state_require();
	if (!ec_token_read(EC_TOKEN_UNSUBSCRIBE, token, &id))
		token_invalid("unsubscribe");
	ec_outbox_open(&as);
	address = contact_address(id);
	if (address != NULL)
	{
		ec_contact_lock(address, &contact);
		withdraw(contact.id, EC_CHANNEL_EMAIL, NULL, ec_now(), "unsubscribe", who,
				 check_one(address, EC_CHANNEL_EMAIL, EC_PURPOSE_MARKETING, ec_now()) == EC_MAY_SEND);
		(void) ec_contact_recall(contact.id, EC_CHANNEL_EMAIL, NULL, "no_consent");
	}
	ec_outbox_close(&as);
	PG_RETURN_BOOL(true);
}

/*
 * ecauto.unsubscribe_token(email text) returns text
 */
Datum
ecauto_unsubscribe_token(PG_FUNCTION_ARGS)
{
	EcContact	contact;
	char	   *address;
	EcAs		as;

	ec_state_require();
	ec_require_operator("make tokens that unsubscribe");
	address = ec_address_require(EC_CHANNEL_EMAIL, required_argument(fcinfo, 0, "email"));
	ec_outbox_open(&as);
	ec_contact_lock(address, &contact);
	ec_outbox_close(&as);
	PG_RETURN_TEXT_P(cstring_to_text(ec_token_make(EC_TOKEN_UNSUBSCRIBE, contact.id)));
}

/*
 * ecauto.may_send(email text, channel text, purpose text, at timestamptz)
 * returns boolean
 */
Datum
ecauto_may_send(PG_FUNCTION_ARGS)
{
	char	   *channel = required_argument(fcinfo, 1, "channel");
	char	   *purpose = required_argument(fcinfo, 2, "purpose");
	TimestampTz at = PG_ARGISNULL(3) ? ec_now() : PG_GETARG_TIMESTAMPTZ(3);

	ec_state_require();
	ec_channel_require(channel);
	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	if (ec_purpose_is_free(purpose))
		PG_RETURN_BOOL(true);
	ec_purpose_require(purpose);
	PG_RETURN_BOOL(check_one(ec_address_normalize(channel, text_to_cstring(PG_GETARG_TEXT_PP(0))),
							 channel, purpose, at) == EC_MAY_SEND);
}

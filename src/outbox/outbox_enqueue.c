/*-------------------------------------------------------------------------
 *
 * outbox_enqueue.c
 *		Putting messages into the outbox: ecauto.enqueue().
 *
 * The caller's rights are checked here, so nobody needs a privilege on our
 * tables.  Only a message with a key of the caller's costs a second row:
 * its key goes to outbox_key, whose primary key decides which of two messages
 * is the first.  It outlives the message, so a key means the same message
 * after delivery, too.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

#include "outbox/outbox.h"
#include "outbox/outbox_row.h"

PG_FUNCTION_INFO_V1(ecauto_enqueue);

#define KEY_MAX		255			/* bytes; partners keep idempotency keys in such columns */
#define ENTITY_MAX	255

static const char *const reserve_key_sql =
	"INSERT INTO ecauto_data.outbox_key AS k (endpoint, key, id, at) "
	"VALUES ($1, $2, pg_catalog.nextval('ecauto_data.outbox_id_seq'), $3) "
	"ON CONFLICT DO NOTHING RETURNING k.id";
static const char *const find_key_sql =
	"SELECT k.id FROM ecauto_data.outbox_key k "
	"WHERE k.endpoint OPERATOR(pg_catalog.=) $1 AND k.key OPERATOR(pg_catalog.=) $2";

static EcEnqueueGate enqueue_gate = NULL;

void
ec_enqueue_set_gate(EcEnqueueGate gate)
{
	enqueue_gate = gate;
}

static void
check_identifier(const char *what, const char *value, int most)
{
	char	   *problem = ec_line_problem(value);

	if (*value == '\0')
		problem = pstrdup("It is empty.");
	else if (strlen(value) > (size_t) most)
		problem = psprintf("It has %zu bytes, the limit is %d.", strlen(value), most);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid %s of a message", what),
				 errdetail_internal("%s", problem)));
}

static void
check_method(const char *method)
{
	static const char *const methods[] = {"DELETE", "GET", "PATCH", "POST", "PUT"};

	for (int i = 0; i < (int) lengthof(methods); i++)
		if (strcmp(method, methods[i]) == 0)
			return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("method must be DELETE, GET, PATCH, POST or PUT"),
			 errdetail("The method is \"%s\".", method)));
}

static void
check_size(Jsonb *payload)
{
	Size		bytes = VARSIZE_ANY_EXHDR(payload);

	if (bytes > (Size) ec_guc_max_payload * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("payload of a message is too large"),
				 errdetail("It takes %zu bytes, the limit is %d kB.", bytes, ec_guc_max_payload),
				 errhint("Send a link to the data, or raise the setting ecauto.max_payload.")));
}

/*
 * The function to ask before sending, as text that finds it again whatever
 * the search_path.
 */
static char *
check_wanted(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc form;
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function with OID %u does not exist", function)));
	form = (Form_pg_proc) GETSTRUCT(tuple);
	name = format_procedure_qualified(function);
	if (form->prokind != PROKIND_FUNCTION || form->pronargs != 1 || form->proretset ||
		form->proargtypes.values[0] != INT8OID || form->prorettype != TEXTOID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("function %s cannot say whether a message is wanted", name),
				 errhint("It must take the id of the message (bigint) and return text: NULL if it is wanted, else why not.")));
	ReleaseSysCache(tuple);
	return name;
}

static void
check_message(const EcEnqueue *message, bool mail)
{
	char	   *problem;

	check_size(message->payload);
	if (message->key != NULL)
		check_identifier("key", message->key, KEY_MAX);
	if (message->entity != NULL)
		check_identifier("entity", message->entity, ENTITY_MAX);
	if (message->priority < -1 || message->priority > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("priority must be -1, 0 or 1"),
				 errdetail("The priority is %d.", message->priority)));
	if (TIMESTAMP_IS_NOEND(message->not_before))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("not_before must be a finite time")));

	if (mail)
	{
		if ((message->path != NULL && *message->path) || message->method != NULL ||
			message->headers != NULL || (message->body != NULL && strcmp(message->body, "json") != 0))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("path, method, headers and body are for HTTP endpoints"),
					 errdetail("Endpoint \"%s\" is a mail server.", message->endpoint),
					 errhint("Headers of a mail go into its payload.")));
		ec_message_check_mail(message->payload);
		return;
	}
	if (message->path != NULL && (problem = ec_path_problem(message->path)) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid path of a message"),
				 errdetail_internal("%s", problem),
				 errhint("A path lies below the endpoint's url, such as /orders/1042.")));
	if (message->method != NULL)
		check_method(message->method);
	if (message->headers != NULL)
		ec_message_check_headers(message->headers);
	ec_message_check_body(message->body, message->payload);
}

static int64
run_for_id(const char *text, int nargs, const Oid *types, Datum *values, const char *nulls)
{
	bool		isnull;
	int			code = SPI_execute_plan(ec_plan(text, nargs, types), values, nulls, false, 1);

	if (code < 0)
		elog(ERROR, "SPI_execute_plan returned %s", SPI_result_code_string(code));
	if (SPI_processed == 0)
		return 0;
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/*
 * Claim a key for a new message: its id, or 0 and *first the id of the
 * message that has it.
 */
static int64
reserve_key(Datum endpoint, Datum key, TimestampTz at, int64 *first)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum		values[3] = {endpoint, key, TimestampTzGetDatum(at)};
	int64		id;

	/*
	 * The holder of the key may be forgotten between the two statements, by
	 * the trimming of the history; then the key is free.
	 */
	for (;;)
	{
		id = run_for_id(reserve_key_sql, 3, types, values, NULL);
		if (id != 0)
			return id;
		*first = run_for_id(find_key_sql, 2, types, values, NULL);
		if (*first != 0)
			return 0;
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Write the row, as the owner of the state, since triggers that a DBA put on
 * the table act there; but as ourselves, which is quicker, if there are none.
 */
static void
write_row(const EcEnqueue *message, int64 id, const char *key, const char *wanted, TimestampTz now, TimestampTz due)
{
	Oid			outbox = ec_state_relation("outbox", false);
	bool		plain = ec_rows_plain(outbox, OUTBOX_COLUMNS);
	NameData	sender;
	EcRows		rows;
	EcAs		as;

	namestrcpy(&sender, GetUserNameFromId(GetUserId(), false));
	if (!plain)
		ec_outbox_open(&as);
	ec_rows_open(&rows, outbox, OUTBOX_COLUMNS, plain);
	ec_rows_begin(&rows);
	ec_rows_set(&rows, OUTBOX_ID, Int64GetDatum(id));
	ec_rows_set(&rows, OUTBOX_LEASE_UNTIL, TimestampTzGetDatum(DT_NOBEGIN));
	ec_rows_set(&rows, OUTBOX_ATTEMPTS, Int32GetDatum(0));
	ec_rows_set(&rows, OUTBOX_LEASED_BY, Int32GetDatum(0));
	ec_rows_set(&rows, OUTBOX_PRIORITY, Int16GetDatum((int16) message->priority));
	ec_rows_set(&rows, OUTBOX_NEXT_AT, TimestampTzGetDatum(due));
	ec_rows_set(&rows, OUTBOX_CREATED_AT, TimestampTzGetDatum(now));
	ec_rows_set(&rows, OUTBOX_QUEUED_AT, TimestampTzGetDatum(due));
	if (message->expires_at != 0)
		ec_rows_set(&rows, OUTBOX_EXPIRES_AT, TimestampTzGetDatum(message->expires_at));
	ec_rows_set_text(&rows, OUTBOX_ENDPOINT, message->endpoint);
	ec_rows_set(&rows, OUTBOX_SENDER, NameGetDatum(&sender));
	ec_rows_set_text(&rows, OUTBOX_KEY, key);
	ec_rows_set_text(&rows, OUTBOX_PATH, message->path ? message->path : "");
	ec_rows_set_text(&rows, OUTBOX_METHOD, message->method);
	if (message->body != NULL && strcmp(message->body, "json") != 0)
		ec_rows_set_text(&rows, OUTBOX_BODY, message->body);
	ec_rows_set_text(&rows, OUTBOX_ENTITY, message->entity);
	ec_rows_set_text(&rows, OUTBOX_TEMPLATE, message->template);
	ec_rows_set_text(&rows, OUTBOX_PURPOSE, message->purpose);
	ec_rows_set_text(&rows, OUTBOX_WANTED, wanted);
	if (message->headers != NULL)
		ec_rows_set(&rows, OUTBOX_HEADERS, JsonbPGetDatum(message->headers));
	ec_rows_set(&rows, OUTBOX_PAYLOAD, JsonbPGetDatum(message->payload));
	ec_rows_insert(&rows);
	ec_rows_close(&rows);
	if (!plain)
		ec_outbox_close(&as);
}

/* A key nobody else has: the text form of a new UUID. */
static char *
fresh_key(void)
{
	pg_uuid_t	uuid;

	ec_uuid_next(uuid.data);
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&uuid)));
}

int64
ec_enqueue(const EcEnqueue *message, bool *created)
{
	Oid			server;
	bool		mail;
	TimestampTz now = ec_now();
	TimestampTz due = Max(now, message->not_before);
	char	   *wanted;
	int64		id;
	int64		first = 0;

	PreventCommandIfReadOnly("ecauto.enqueue()");
	ec_state_require();
	server = ec_endpoint_check_usage(message->endpoint, &mail);
	check_message(message, mail);
	wanted = OidIsValid(message->wanted) ? check_wanted(message->wanted) : NULL;
	if (message->not_before == 0)
		due = now;
	if (message->expires_at != 0 && message->expires_at <= due)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("message would expire before it may be sent"),
				 errdetail("It may be sent from %s and expires at %s.",
						   pstrdup(timestamptz_to_str(due)),
						   pstrdup(timestamptz_to_str(message->expires_at)))));

	if (message->key == NULL)
		id = nextval_internal(ec_state_relation("outbox_id_seq", false), false);
	else
	{
		EcAs		as;

		ec_outbox_open(&as);
		id = reserve_key(CStringGetTextDatum(message->endpoint), CStringGetTextDatum(message->key), now, &first);
		ec_outbox_close(&as);
	}
	if (id != 0 && mail && enqueue_gate != NULL && !message->passed)
		enqueue_gate(message, id);
	if (id != 0)
		write_row(message, id, message->key ? message->key : fresh_key(), wanted, now, due);

	if (created != NULL)
		*created = (id != 0);
	if (id == 0)
		return first;
	ec_wake_at_commit_for(server);
	return id;
}

static void
argument_missing(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("argument \"%s\" must not be NULL", name)));
}

static char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/*
 * A time of the caller's; absent stands for NULL.  The point in time that we
 * use for "none" (2000-01-01 00:00:00+00) is told as the microsecond before.
 */
static TimestampTz
time_argument(FunctionCallInfo fcinfo, int n)
{
	TimestampTz value;

	if (PG_ARGISNULL(n))
		return 0;
	value = PG_GETARG_TIMESTAMPTZ(n);
	return value == 0 ? -1 : value;
}

/*
 * ecauto.enqueue(endpoint text, payload jsonb, key text, path text,
 *				  not_before timestamptz, expires_at timestamptz, entity text,
 *				  priority integer, method text, headers jsonb, body text,
 *				  wanted regprocedure) returns bigint
 */
Datum
ecauto_enqueue(PG_FUNCTION_ARGS)
{
	EcEnqueue	message = {0};

	if (PG_ARGISNULL(0))
		argument_missing("endpoint");
	if (PG_ARGISNULL(1))
		argument_missing("payload");
	message.endpoint = text_argument(fcinfo, 0);
	message.payload = PG_GETARG_JSONB_P(1);
	message.key = text_argument(fcinfo, 2);
	message.path = text_argument(fcinfo, 3);
	message.not_before = time_argument(fcinfo, 4);
	message.expires_at = time_argument(fcinfo, 5);
	message.entity = text_argument(fcinfo, 6);
	message.priority = PG_ARGISNULL(7) ? 0 : PG_GETARG_INT32(7);
	message.method = text_argument(fcinfo, 8);
	message.headers = PG_ARGISNULL(9) ? NULL : PG_GETARG_JSONB_P(9);
	message.body = text_argument(fcinfo, 10);
	message.wanted = PG_ARGISNULL(11) ? InvalidOid : PG_GETARG_OID(11);
	PG_RETURN_INT64(ec_enqueue(&message, NULL));
}

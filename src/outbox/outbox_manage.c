/*-------------------------------------------------------------------------
 *
 * outbox_manage.c
 *		Looking at messages and deciding about them: ecauto.messages(),
 *		message(), cancel(), redrive(), pause_endpoint(), outbox_status().
 *
 * A role sees and cancels the messages it enqueued itself; operators (those
 * with the privileges of the state's owner) all of them.  What concerns an
 * endpoint as a whole is for operators.
 *
 * Each function is one statement, run as the owner of the state; the rights
 * of the caller are parameters of it or are checked before.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "outbox/outbox.h"

PG_FUNCTION_INFO_V1(ecauto_messages);
PG_FUNCTION_INFO_V1(ecauto_message);
PG_FUNCTION_INFO_V1(ecauto_cancel);
PG_FUNCTION_INFO_V1(ecauto_redrive);
PG_FUNCTION_INFO_V1(ecauto_pause_endpoint);
PG_FUNCTION_INFO_V1(ecauto_resume_endpoint);
PG_FUNCTION_INFO_V1(ecauto_outbox_status);

static bool redriving = false;

/* state of a waiting message; $1 is the system's time */
#define STATE_OF_WAITING \
	"CASE WHEN o.lease_until > $1 THEN 'leased' WHEN o.attempts > 0 THEN 'retry' ELSE 'queued' END"

static const char *const messages_sql =
	"SELECT * FROM ("
	"SELECT o.id, o.endpoint::text, " STATE_OF_WAITING " AS state, o.key::text, o.attempts, o.created_at, o.last_error, "
	"o.next_at, NULL::timestamptz, o.last_status, o.path, o.entity::text, o.sender "
	"FROM ecauto_data.outbox o WHERE ($2 IS NULL OR o.endpoint = $2) AND ($4 IS NULL OR o.sender = $4) "
	"UNION ALL "
	"SELECT h.id, h.endpoint::text, h.state::text, h.key::text, h.attempts, h.created_at, h.last_error, "
	"NULL, h.finished_at, h.last_status, h.path, h.entity::text, h.sender "
	"FROM ecauto_data.outbox_history h WHERE ($2 IS NULL OR h.endpoint = $2) AND ($4 IS NULL OR h.sender = $4) "
	"AND ($3 IS NULL OR h.state = $3)) m "
	"WHERE $3 IS NULL OR m.state = $3 ORDER BY m.id";

#define MESSAGE_COLUMNS(m) \
	m ".id, " m ".endpoint::text, " m ".sender, " m ".key::text, " m ".path, " m ".payload, " \
	m ".attempts, " m ".created_at, " m ".last_status, " m ".last_error, " m ".last_answer, " \
	m ".priority::integer, " m ".entity::text, " m ".method, " m ".headers, " m ".template, " m ".purpose, " \
	m ".expires_at"

static const char *const message_sql =
	"SELECT " MESSAGE_COLUMNS("o") ", " STATE_OF_WAITING ", o.next_at, NULL::timestamptz "
	"FROM ecauto_data.outbox o WHERE o.id = $2 "
	"UNION ALL "
	"SELECT " MESSAGE_COLUMNS("h") ", h.state::text, NULL, h.finished_at "
	"FROM ecauto_data.outbox_history h WHERE h.id = $2";

/* a message that is being delivered cannot be taken back */
static const char *const cancel_sql =
	"WITH gone AS (DELETE FROM ecauto_data.outbox o WHERE o.id = $1 AND o.lease_until <= $2 RETURNING o.*) "
	"INSERT INTO ecauto_data.outbox_history (id, finished_at, state, attempts, priority, last_status, created_at, "
	"queued_at, expires_at, endpoint, sender, key, path, method, body, entity, template, purpose, wanted, headers, "
	"payload, last_error, last_answer) "
	"SELECT g.id, $3, 'cancelled', g.attempts, g.priority, g.last_status, g.created_at, "
	"g.queued_at, g.expires_at, g.endpoint, g.sender, g.key, g.path, g.method, g.body, g.entity, g.template, "
	"g.purpose, g.wanted, g.headers, g.payload, g.last_error, g.last_answer FROM gone g";

static const char *const redrive_sql =
	"WITH back AS (DELETE FROM ecauto_data.outbox_history h WHERE h.state = 'dead' AND h.endpoint = $1 "
	"AND ($2 IS NULL OR h.key = $2) AND ($3 IS NULL OR h.last_error LIKE $3) "
	"AND (h.expires_at IS NULL OR h.expires_at > $4) RETURNING h.*) "
	"INSERT INTO ecauto_data.outbox (id, next_at, queued_at, priority, last_status, created_at, expires_at, endpoint, "
	"sender, key, path, method, body, entity, template, purpose, wanted, headers, payload, last_error, last_answer, remaining) "
	"SELECT b.id, $4, $4, b.priority, b.last_status, b.created_at, b.expires_at, b.endpoint, "
	"b.sender, b.key, b.path, b.method, b.body, b.entity, b.template, b.purpose, b.wanted, b.headers, b.payload, "
	"b.last_error, b.last_answer, b.remaining FROM back b";

static const char *const pause_sql =
	"INSERT INTO ecauto_data.outbox_pause (endpoint, paused_at, paused_by) VALUES ($1, $2, $3) "
	"ON CONFLICT DO NOTHING";
static const char *const resume_sql =
	"DELETE FROM ecauto_data.outbox_pause p WHERE p.endpoint = $1";

/*
 * How long deliveries of the last hour took, in ms: the bound of the bucket
 * that holds the percentile (outbox_count.c).
 */
#define PERCENTILE(p) \
	"(SELECT round((0.1 * 2 ^ ((b.n - 1) / 8.0))::numeric, 2)::float8 FROM (" \
	"SELECT u.n, sum(sum(u.count)) OVER (ORDER BY u.n) AS upto, sum(sum(u.count)) OVER () AS total " \
	"FROM ecauto_data.outbox_minute m, unnest(m.latency) WITH ORDINALITY AS u(count, n) " \
	"WHERE m.endpoint = n.endpoint AND m.minute > $2 - interval '1 hour' GROUP BY u.n) b " \
	"WHERE b.total > 0 AND b.upto >= " p " * b.total ORDER BY b.n LIMIT 1)"

static const char *const status_sql =
	"SELECT n.endpoint, CASE WHEN n.missing THEN 'missing' WHEN p.endpoint IS NOT NULL THEN 'paused' "
	"WHEN c.breaker_until IS NOT NULL THEN 'failing' ELSE 'open' END, "
	"coalesce(w.waiting, 0), coalesce(w.due, 0), coalesce(w.leased, 0), coalesce(w.retry, 0), w.oldest, w.next_at, "
	"coalesce(c.delivered, 0), coalesce(c.retried, 0), coalesce(c.dead, 0), "
	"c.last_delivered_at, c.last_failed_at, c.last_error, c.breaker_until, "
	"coalesce(t.delivered_minute, 0), coalesce(t.failed_minute, 0), "
	"coalesce(t.delivered_hour, 0), coalesce(t.failed_hour, 0), "
	PERCENTILE("0.5") ", " PERCENTILE("0.99") " "
	"FROM (SELECT e.endpoint, false AS missing FROM unnest($3) e(endpoint) UNION ALL "
	"SELECT DISTINCT o.endpoint, true FROM ecauto_data.outbox o WHERE o.endpoint <> ALL ($3)) n "
	"LEFT JOIN ecauto_data.outbox_pause p ON p.endpoint = n.endpoint "
	"LEFT JOIN ecauto_data.outbox_counter c ON c.endpoint = n.endpoint "
	"LEFT JOIN (SELECT o.endpoint, count(*) AS waiting, count(*) FILTER (WHERE o.next_at <= $2) AS due, "
	"count(*) FILTER (WHERE o.lease_until > $1) AS leased, "
	"count(*) FILTER (WHERE o.attempts > 0 AND o.lease_until <= $1) AS retry, "
	"min(o.queued_at) AS oldest, min(o.next_at) AS next_at "
	"FROM ecauto_data.outbox o GROUP BY o.endpoint) w ON w.endpoint = n.endpoint "
	"LEFT JOIN (SELECT m.endpoint, sum(m.delivered)::bigint AS delivered_hour, sum(m.failed)::bigint AS failed_hour, "
	"sum(m.delivered) FILTER (WHERE m.minute >= date_trunc('minute', $2) - interval '1 minute')::bigint AS delivered_minute, "
	"sum(m.failed) FILTER (WHERE m.minute >= date_trunc('minute', $2) - interval '1 minute')::bigint AS failed_minute "
	"FROM ecauto_data.outbox_minute m WHERE m.minute > $2 - interval '1 hour' GROUP BY m.endpoint) t "
	"ON t.endpoint = n.endpoint "
	"ORDER BY n.endpoint";

/* Run a statement that changes something, as the owner of the state. */
static uint64
change(const char *text, int nargs, const Oid *types, Datum *values, const char *nulls)
{
	uint64		rows;
	EcAs		as;

	ec_outbox_open(&as);
	rows = ec_outbox_execute(text, nargs, types, values, nulls);
	ec_outbox_close(&as);
	return rows;
}

/* Return the rows of a query from a set-returning function. */
static void
return_query(FunctionCallInfo fcinfo, const char *text, int nargs, const Oid *types,
			 Datum *values, const char *nulls)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	EcAs		as;

	InitMaterializedSRF(fcinfo, 0);
	ec_outbox_open(&as);
	(void) ec_outbox_execute(text, nargs, types, values, nulls);
	for (uint64 i = 0; i < SPI_processed; i++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[i]);
	ec_outbox_close(&as);
}

/*
 * ecauto.messages(endpoint text, state text) returns setof record
 */
Datum
ecauto_messages(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TIMESTAMPTZOID, TEXTOID, TEXTOID, NAMEOID};
	static const char *const states[] = {"queued", "leased", "retry", "delivered", "dead", "cancelled"};
	Datum		values[4];
	char		nulls[] = "    ";
	NameData	me;

	ec_state_require();
	if (!PG_ARGISNULL(1))
	{
		char	   *state = text_to_cstring(PG_GETARG_TEXT_PP(1));
		bool		known = false;

		for (int i = 0; i < (int) lengthof(states); i++)
			known = known || strcmp(state, states[i]) == 0;
		if (!known)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("there is no message state \"%s\"", state),
					 errhint("States are queued, leased, retry, delivered, dead and cancelled.")));
	}
	namestrcpy(&me, GetUserNameFromId(GetUserId(), false));
	values[0] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[1] = PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0);
	nulls[1] = PG_ARGISNULL(0) ? 'n' : ' ';
	values[2] = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);
	nulls[2] = PG_ARGISNULL(1) ? 'n' : ' ';
	values[3] = NameGetDatum(&me);
	nulls[3] = ec_is_operator(GetUserId()) ? 'n' : ' ';
	return_query(fcinfo, messages_sql, 4, types, values, nulls);
	return (Datum) 0;
}

/* Refuse the current user unless the message is his or he is an operator. */
static void
require_sender(int64 id, const char *sender)
{
	if (strcmp(sender, GetUserNameFromId(GetUserId(), false)) != 0 && !ec_is_operator(GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for message %lld", (long long) id),
				 errdetail("It was enqueued by another role.")));
}

/*
 * Run message_sql; the caller is connected to SPI and looks at SPI_tuptable.
 * False if there is no such message.  Errors: insufficient_privilege.
 */
static bool
message_find(int64 id)
{
	static const Oid types[] = {TIMESTAMPTZOID, INT8OID};
	Datum		values[2] = {TimestampTzGetDatum(GetCurrentTimestamp()), Int64GetDatum(id)};
	bool		found;
	EcAs		as;

	ec_as_state_owner(&as);
	found = (ec_outbox_execute(message_sql, 2, types, values, NULL) > 0);
	ec_as_end(&as);
	if (found)
		require_sender(id, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3));
	return found;
}

/*
 * ecauto.message(id bigint) returns record
 */
Datum
ecauto_message(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		result = (Datum) 0;
	bool		found;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);

	ec_state_require();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	found = message_find(PG_GETARG_INT64(0));
	if (found)
		result = PointerGetDatum(SPI_returntuple(SPI_tuptable->vals[0], desc));
	SPI_finish();
	if (!found)
		PG_RETURN_NULL();
	return result;
}

/*
 * ecauto.cancel(id bigint) returns boolean
 */
Datum
ecauto_cancel(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	TimestampTz now = ec_now();
	Datum		values[3];
	bool		cancelled = false;
	EcAs		as;

	ec_state_require();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (message_find(PG_GETARG_INT64(0)))
	{
		values[0] = PG_GETARG_DATUM(0);
		values[1] = TimestampTzGetDatum(GetCurrentTimestamp());
		values[2] = TimestampTzGetDatum(now);
		ec_as_state_owner(&as);
		ec_history_ensure(now);
		cancelled = (ec_outbox_execute(cancel_sql, 3, types, values, NULL) > 0);
		ec_as_end(&as);
	}
	SPI_finish();
	PG_RETURN_BOOL(cancelled);
}

bool
ec_outbox_redriving(void)
{
	return redriving;
}

/*
 * ecauto.redrive(endpoint text, key text, error text) returns bigint
 */
Datum
ecauto_redrive(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum		values[4];
	char		nulls[] = "    ";
	uint64		rows = 0;

	ec_state_require();
	ec_require_operator("redrive messages");
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be NULL", "endpoint")));
	for (int i = 0; i < 3; i++)
	{
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	values[3] = TimestampTzGetDatum(ec_now());
	(void) ec_endpoint_load(text_to_cstring(PG_GETARG_TEXT_PP(0)), InvalidOid, false);
	redriving = true;
	PG_TRY();
	{
		rows = change(redrive_sql, 4, types, values, nulls);
	}
	PG_FINALLY();
	{
		redriving = false;
	}
	PG_END_TRY();
	if (rows > 0)
		ec_wake_at_commit(EC_WAKE_DELIVERY);
	PG_RETURN_INT64((int64) rows);
}

/*
 * ecauto.pause_endpoint(endpoint text) returns boolean
 */
Datum
ecauto_pause_endpoint(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID, NAMEOID};
	NameData	me;
	Datum		values[3];

	ec_state_require();
	ec_require_operator("pause endpoints");
	(void) ec_endpoint_load(text_to_cstring(PG_GETARG_TEXT_PP(0)), InvalidOid, false);
	namestrcpy(&me, GetUserNameFromId(GetUserId(), false));
	values[0] = PG_GETARG_DATUM(0);
	values[1] = TimestampTzGetDatum(ec_now());
	values[2] = NameGetDatum(&me);
	ec_wake_at_commit(EC_WAKE_DELIVERY);
	PG_RETURN_BOOL(change(pause_sql, 3, types, values, NULL) > 0);
}

/*
 * ecauto.resume_endpoint(endpoint text) returns boolean
 */
Datum
ecauto_resume_endpoint(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[1] = {PG_GETARG_DATUM(0)};

	ec_state_require();
	ec_require_operator("resume endpoints");
	ec_wake_at_commit(EC_WAKE_DELIVERY);
	PG_RETURN_BOOL(change(resume_sql, 1, types, values, NULL) > 0);
}

/*
 * ecauto.outbox_status() returns setof record
 */
Datum
ecauto_outbox_status(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTARRAYOID};
	List	   *names;
	Datum	   *elements;
	Datum		values[3];
	ListCell   *cell;
	int			n = 0;

	ec_state_require();
	ec_require_reader("see the status of the outbox");
	names = ec_endpoint_names();
	elements = palloc(sizeof(Datum) * (list_length(names) + 1));
	foreach(cell, names)
		elements[n++] = CStringGetTextDatum((char *) lfirst(cell));
	values[0] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[1] = TimestampTzGetDatum(ec_now());
	values[2] = PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
	return_query(fcinfo, status_sql, 3, types, values, NULL);
	return (Datum) 0;
}

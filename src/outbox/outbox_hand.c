/*-------------------------------------------------------------------------
 *
 * outbox_hand.c
 *		Leasing and settling by hand: ecauto.lease() and ecauto.settle(), for a
 *		consumer of one's own where neither HTTP nor mail will do.
 *
 * The claim is the worker's (outbox_lease.c), so a message is never in two
 * hands, whoever they are.  Such a lease belongs to no process: it may be
 * settled by another session, behind a pooler for instance, and survives
 * the one that took it.  What tells one lease of a message from the next is
 * the number of the attempt, so whoever was too slow cannot undo what another
 * does now.
 *
 * Both run in the caller's transaction.  Rolled back, the lease never was; a
 * consumer that works in this database settles in the transaction of its work
 * and does it exactly once.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "outbox/outbox.h"

PG_FUNCTION_INFO_V1(ecauto_lease);
PG_FUNCTION_INFO_V1(ecauto_settle);

#define LEASE_MOST		10000	/* messages at once */
#define DURATION_MOST	USECS_PER_DAY
#define RETRY_MOST		(30 * USECS_PER_DAY)
#define ERROR_MOST		1000	/* bytes kept, as of a worker's errors */

static const char *const held_sql =
	"SELECT o.endpoint::text, o.attempts, o.leased_by, o.queued_at FROM ecauto_data.outbox o "
	"WHERE o.id = $1 FOR UPDATE";

/*
 * The length of an interval from now on, in us.  name: the argument, for the
 * error that says it is not from least to most.
 */
static int64
interval_length(Interval *interval, const char *name, int64 least, int64 most)
{
	TimestampTz now = ec_now();
	TimestampTz then = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
															   TimestampTzGetDatum(now),
															   PointerGetDatum(interval)));

	/* an end that is infinite must not be subtracted from */
	if (TIMESTAMP_NOT_FINITE(then) || then < now + least || then > now + most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is out of range", name),
				 errdetail("It is %s, and must be from %lld seconds to %lld days.",
						   DatumGetCString(DirectFunctionCall1(interval_out, PointerGetDatum(interval))),
						   (long long) (least / USECS_PER_SEC), (long long) (most / USECS_PER_DAY))));
	return then - now;
}

static void
refuse_null(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be NULL", name)));
}

/* ---- lease ---- */

static Datum
text_value(const char *text, bool *isnull)
{
	*isnull = (text == NULL);
	return text ? CStringGetTextDatum(text) : (Datum) 0;
}

/* A message that the gate has not let pass is nobody's: it ends, or waits a while. */
static void
refuse_lease(const EcMessage *message)
{
	EcResult	result = {
		.id = message->id, .tid = message->tid, .endpoint = message->endpoint, .attempts = message->attempts,
		.outcome = message->unwanted ? EC_UNWANTED : EC_RETRY,
		.error = message->unwanted ? message->unwanted : message->trouble,
		.wait = ec_backoff(message->attempts, -1, pg_prng_double(&pg_global_prng_state))
	};

	ec_outbox_settle(&result, 1, EC_LEASED_BY_HAND);
}

/*
 * ecauto.lease(endpoint text, n integer, duration interval) returns setof record
 */
Datum
ecauto_lease(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	EcLeaseWish wish = {0};
	int64		duration;
	int			n;
	List	   *messages;
	ListCell   *cell;

	ec_state_require();
	ec_require_operator("lease messages");
	refuse_null(fcinfo, 0, "endpoint");
	refuse_null(fcinfo, 1, "n");
	refuse_null(fcinfo, 2, "duration");
	PreventCommandIfReadOnly("ecauto.lease()");
	n = PG_GETARG_INT32(1);
	if (n < 1 || n > LEASE_MOST)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is out of range", "n"),
				 errdetail("It is %d, and must be from 1 to %d.", n, LEASE_MOST)));
	duration = interval_length(PG_GETARG_INTERVAL_P(2), "duration", USECS_PER_SEC, DURATION_MOST);

	wish.endpoint = text_to_cstring(PG_GETARG_TEXT_PP(0));
	wish.limit = n;
	wish.scan = true;
	for (int p = 0; p < EC_PRIORITIES; p++)
		wish.after_at[p] = DT_NOBEGIN;
	(void) ec_endpoint_load(wish.endpoint, InvalidOid, false);
	messages = ec_outbox_lease(&wish, 1, ec_now(), (int) (duration / 1000), EC_LEASED_BY_HAND);

	InitMaterializedSRF(fcinfo, 0);
	foreach(cell, messages)
	{
		EcMessage  *message = lfirst(cell);
		Datum		values[12];
		bool		nulls[12] = {false};
		NameData	sender;

		if (message->unwanted != NULL || message->trouble != NULL)
		{
			refuse_lease(message);
			continue;
		}
		namestrcpy(&sender, message->sender);
		values[0] = Int64GetDatum(message->id);
		values[1] = Int32GetDatum(message->attempts);
		values[2] = text_value(message->key, &nulls[2]);
		values[3] = PointerGetDatum(message->payload);
		values[4] = text_value(message->path, &nulls[4]);
		values[5] = text_value(message->method, &nulls[5]);
		values[6] = PointerGetDatum(message->headers);
		nulls[6] = (message->headers == NULL);
		values[7] = text_value(message->body, &nulls[7]);
		values[8] = NameGetDatum(&sender);
		values[9] = TimestampTzGetDatum(message->created_at);
		values[10] = TimestampTzGetDatum(message->expires_at);
		nulls[10] = (message->expires_at == 0);
		values[11] = text_value(message->wanted, &nulls[11]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* ---- settle ---- */

static EcOutcome
outcome_of(const char *name)
{
	static const struct
	{
		const char *name;
		EcOutcome	outcome;
	}			outcomes[] = {
		{"delivered", EC_DELIVERED}, {"retry", EC_RETRY}, {"dead", EC_DEAD},
		{"cancelled", EC_UNWANTED}, {"released", EC_RELEASE}
	};

	for (int i = 0; i < (int) lengthof(outcomes); i++)
		if (strcmp(name, outcomes[i].name) == 0)
			return outcomes[i].outcome;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("there is no outcome \"%s\" of a lease", name),
			 errhint("Outcomes are delivered, retry, dead, cancelled and released.")));
}

/*
 * Lock the message and learn what is needed to settle it; false if it has
 * ended or the attempt is not the one that is under way by hand.  What was
 * delivered is delivered, even if the lease has run out and another tries.
 */
static bool
find_held(EcResult *result, TimestampTz *queued_at)
{
	static const Oid types[] = {INT8OID};
	MemoryContext caller = CurrentMemoryContext;
	Datum		values[1] = {Int64GetDatum(result->id)};
	bool		held = false;
	EcAs		as;

	ec_outbox_open(&as);
	if (ec_outbox_execute(held_sql, 1, types, values, NULL) > 0)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		int			attempts = DatumGetInt32(SPI_getbinval(tuple, desc, 2, &isnull));
		int			holder = DatumGetInt32(SPI_getbinval(tuple, desc, 3, &isnull));

		if (result->outcome == EC_DELIVERED)
			held = (result->attempts >= 1 && result->attempts <= attempts);
		else
			held = (holder == EC_LEASED_BY_HAND && result->attempts == attempts);
		*queued_at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 4, &isnull));
		if (held)
			result->endpoint = MemoryContextStrdup(caller, SPI_getvalue(tuple, desc, 1));
	}
	ec_outbox_close(&as);
	return held;
}

/*
 * A message that is to be tried again: when, and whether at all.
 */
static void
plan_retry(EcResult *result, TimestampTz queued_at, int64 retry_after)
{
	EcEndpoint *endpoint = ec_endpoint_load(result->endpoint, InvalidOid, true);

	result->wait = ec_backoff(result->attempts, retry_after, pg_prng_double(&pg_global_prng_state));
	if (endpoint != NULL &&
		ec_outbox_gives_up(endpoint->max_attempts, endpoint->give_up_after, result->attempts,
						   (ec_now() - queued_at) / 1000 + result->wait))
	{
		result->outcome = EC_DEAD;
		result->error = psprintf("gave up after %d tries: %s", result->attempts,
								 result->error ? result->error : "no reason known");
	}
}

/*
 * ecauto.settle(id bigint, attempt integer, outcome text, error text,
 *				 retry_after interval) returns boolean
 */
Datum
ecauto_settle(PG_FUNCTION_ARGS)
{
	EcResult	result = {0};
	int64		retry_after = -1;
	TimestampTz queued_at = 0;

	ec_state_require();
	ec_require_operator("settle messages");
	refuse_null(fcinfo, 0, "id");
	refuse_null(fcinfo, 1, "attempt");
	refuse_null(fcinfo, 2, "outcome");
	PreventCommandIfReadOnly("ecauto.settle()");
	result.id = PG_GETARG_INT64(0);
	result.attempts = PG_GETARG_INT32(1);
	result.outcome = outcome_of(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	if (!PG_ARGISNULL(3))
	{
		char	   *error = text_to_cstring(PG_GETARG_TEXT_PP(3));

		error[pg_mbcliplen(error, strlen(error), ERROR_MOST)] = '\0';
		result.error = error;
	}
	if (!PG_ARGISNULL(4))
		retry_after = interval_length(PG_GETARG_INTERVAL_P(4), "retry_after", 0, RETRY_MOST) / 1000;

	if (!find_held(&result, &queued_at))
		PG_RETURN_BOOL(false);
	if (result.outcome == EC_RETRY)
		plan_retry(&result, queued_at, retry_after);
	ec_outbox_settle(&result, 1, EC_LEASED_BY_HAND);
	/* it may be due again, or the next of its entity now */
	ec_wake_at_commit(EC_WAKE_DELIVERY);
	PG_RETURN_BOOL(true);
}

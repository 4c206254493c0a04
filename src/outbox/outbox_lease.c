/*-------------------------------------------------------------------------
 *
 * outbox_lease.c
 *		Handing messages to a process that delivers them, and taking back what
 *		came of it.
 *
 * A lease says "this process tries it, until then".  It is committed before
 * the network is touched, and settled in another transaction.  If the process
 * dies in between, the lease runs out and the message is tried again with the
 * same key: at least once, and recognisable.
 *
 * Leases count by the system's clock, since they bound how long a process may
 * be silent; everything a message waits for counts by ecauto.now().
 *
 * The claim is by index order with SKIP LOCKED and looks at rows, never at
 * "ids above the last one": transactions commit in another order than they
 * drew their ids.  A caller may skip what it has already looked at in this
 * pass (EcLeaseWish.after_*), to step over index entries of rows that have
 * just gone, as long as it soon starts again from the beginning.
 *
 * All functions here connect to SPI and act as the owner of the state.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "outbox/outbox.h"

#define BACKOFF_FIRST 2000.0	/* ms: most before the second try */
#define BACKOFF_MOST  3600000.0 /* ms */

/* longest that we let another side make us wait */
#define RETRY_AFTER_MOST ((int64) 24 * 3600 * 1000)

static const char *const lease_sql =
	"WITH due AS MATERIALIZED ("
	"SELECT m.ctid FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), "
	"pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6), "
	"pg_catalog.unnest($7), pg_catalog.unnest($8)) AS w(endpoint, n, at1, id1, at2, id2, at3, id3) "
	"CROSS JOIN LATERAL (SELECT i.ctid FROM "
	/* in this order, and no further than needed: a nested loop under a LIMIT */
	"(VALUES (1, w.at3, w.id3), (0, w.at2, w.id2), (-1, w.at1, w.id1)) AS p(priority, after_at, after_id) "
	"CROSS JOIN LATERAL (SELECT o.ctid FROM ecauto_data.outbox o "
	"WHERE o.endpoint = w.endpoint AND o.priority = p.priority AND o.next_at <= $9 "
	"AND (o.next_at, o.id) > (p.after_at, p.after_id) "
	"AND o.lease_until <= $10 AND (o.expires_at IS NULL OR o.expires_at > $9) "
	"AND (o.entity IS NULL OR NOT EXISTS (SELECT FROM ecauto_data.outbox b "
	"WHERE b.endpoint = o.endpoint AND b.entity = o.entity AND b.id < o.id)) "
	"ORDER BY o.next_at, o.id LIMIT w.n FOR UPDATE SKIP LOCKED) i LIMIT w.n) m) "
	"UPDATE ecauto_data.outbox o SET lease_until = $11, leased_by = $12, attempts = o.attempts + 1 "
	"FROM due WHERE o.ctid = due.ctid "
	"RETURNING o.id, o.endpoint, o.sender, o.key, o.path, o.payload, o.method, o.body, o.headers, "
	"o.remaining, o.wanted, o.attempts, o.next_at, o.created_at, o.queued_at, o.expires_at, o.priority, o.entity IS NOT NULL";

#define HISTORY_COLUMNS \
	"id, attempts, priority, created_at, queued_at, expires_at, endpoint, sender, " \
	"key, path, method, body, entity, template, purpose, wanted, headers, payload"
#define HISTORY_GONE \
	"o.id, o.attempts, o.priority, o.created_at, o.queued_at, o.expires_at, o.endpoint, o.sender, " \
	"o.key, o.path, o.method, o.body, o.entity, o.template, o.purpose, o.wanted, o.headers, o.payload"

/* what was delivered is delivered, even if the lease has run out meanwhile */
static const char *const finish_sql =
	"WITH gone AS (DELETE FROM ecauto_data.outbox o "
	"USING ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), "
	"pg_catalog.unnest($4), pg_catalog.unnest($5)) AS r(id, state, status, error, answer) "
	"WHERE o.id = r.id AND (r.state = 'delivered' OR o.leased_by = $7) "
	"RETURNING " HISTORY_GONE ", r.state, r.status, "
	/* recipients that were refused for good at an earlier try are named, too */
	"CASE WHEN o.refused IS NULL THEN r.error ELSE pg_catalog.concat_ws('; ', r.error, o.refused) END, r.answer) "
	"INSERT INTO ecauto_data.outbox_history (" HISTORY_COLUMNS
	", state, last_status, last_error, last_answer, finished_at) SELECT gone.*, $6 FROM gone";

static const char *const retry_sql =
	"UPDATE ecauto_data.outbox o SET lease_until = '-infinity', leased_by = 0, next_at = r.next_at, "
	"last_status = r.status, last_error = r.error, last_answer = r.answer, "
	"remaining = CASE WHEN r.remaining IS NULL THEN o.remaining ELSE r.remaining::pg_catalog.text[] END, "
	"refused = CASE WHEN r.refused IS NULL THEN o.refused ELSE pg_catalog.concat_ws('; ', o.refused, r.refused) END "
	"FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), "
	"pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($8)) "
	"AS r(id, next_at, status, error, answer, remaining, refused) "
	"WHERE o.id = r.id AND o.leased_by = $7";

static const char *const release_sql =
	"UPDATE ecauto_data.outbox o SET lease_until = '-infinity', leased_by = 0, attempts = o.attempts - 1 "
	"WHERE o.id = ANY ($1) AND o.leased_by = $2";

static const char *const next_due_sql =
	"SELECT min(m.next_at) FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS w(endpoint, priority) "
	"CROSS JOIN LATERAL (SELECT o.next_at FROM ecauto_data.outbox o "
	"WHERE o.endpoint = w.endpoint AND o.priority = w.priority AND o.next_at > $3 "
	"ORDER BY o.next_at LIMIT 1) m";

static const char *const expire_sql =
	"WITH gone AS (DELETE FROM ecauto_data.outbox o WHERE o.id = ANY (ARRAY("
	"SELECT e.id FROM ecauto_data.outbox e WHERE e.expires_at <= $1 AND e.lease_until <= $2 "
	"ORDER BY e.expires_at LIMIT 1000 FOR UPDATE SKIP LOCKED)) "
	"RETURNING " HISTORY_GONE ", o.last_status, o.last_answer) "
	"INSERT INTO ecauto_data.outbox_history (" HISTORY_COLUMNS
	", last_status, last_answer, state, last_error, finished_at) "
	"SELECT gone.*, 'dead', 'expired before it could be delivered', $1 FROM gone";

static const char *const holders_sql =
	"SELECT DISTINCT o.leased_by FROM ecauto_data.outbox o WHERE o.lease_until > $1 AND o.leased_by >= 0";

static const char *const reclaim_sql =
	"UPDATE ecauto_data.outbox o SET lease_until = '-infinity', leased_by = 0 "
	"WHERE o.lease_until > $1 AND o.leased_by = ANY ($2)";

static const char *const paused_sql =
	"SELECT p.endpoint FROM ecauto_data.outbox_pause p";

/* ---- parameters ---- */

static Datum
array_of(Datum *values, bool *nulls, int n, Oid type)
{
	int16		length;
	bool		by_value;
	char		align;
	int			lower = 1;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(construct_md_array(values, nulls, 1, &n, &lower, type, length,
											  by_value, align));
}

/* ---- lease ---- */

static char *
text_column(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, desc, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static void *
varlena_column(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, desc, column, &isnull);

	return isnull ? NULL : PG_DETOAST_DATUM_COPY(value);
}

static Datum
fixed_column(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, desc, column, &isnull);

	return isnull ? (Datum) 0 : value;
}

static EcMessage *
message_of(HeapTuple tuple, TupleDesc desc)
{
	EcMessage  *message = palloc(sizeof(EcMessage));

	message->id = DatumGetInt64(fixed_column(tuple, desc, 1));
	message->endpoint = text_column(tuple, desc, 2);
	message->sender = pstrdup(NameStr(*DatumGetName(fixed_column(tuple, desc, 3))));
	message->key = text_column(tuple, desc, 4);
	message->path = text_column(tuple, desc, 5);
	message->payload = varlena_column(tuple, desc, 6);
	message->method = text_column(tuple, desc, 7);
	message->body = text_column(tuple, desc, 8);
	message->headers = varlena_column(tuple, desc, 9);
	message->remaining = varlena_column(tuple, desc, 10);
	message->wanted = text_column(tuple, desc, 11);
	message->attempts = DatumGetInt32(fixed_column(tuple, desc, 12));
	message->next_at = DatumGetTimestampTz(fixed_column(tuple, desc, 13));
	message->created_at = DatumGetTimestampTz(fixed_column(tuple, desc, 14));
	message->queued_at = DatumGetTimestampTz(fixed_column(tuple, desc, 15));
	message->expires_at = DatumGetTimestampTz(fixed_column(tuple, desc, 16));
	message->priority = DatumGetInt16(fixed_column(tuple, desc, 17));
	message->ordered = DatumGetBool(fixed_column(tuple, desc, 18));
	return message;
}

/*
 * Lease what is due at a time by ecauto.now(), at most as many as wished,
 * until lease_ms from now, to the process with the number holder, or
 * EC_LEASED_BY_HAND.
 * Returns a list of EcMessage, in order within each wish, allocated in the
 * current context.
 */
List *
ec_outbox_lease(const EcLeaseWish *wishes, int nwishes, TimestampTz due, int lease_ms, int holder)
{
	static const Oid types[] = {
		TEXTARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID,
		INT8ARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
		TIMESTAMPTZOID, INT4OID
	};
	MemoryContext caller = CurrentMemoryContext;
	TimestampTz clock = GetCurrentTimestamp();
	Datum		values[12];
	Datum	   *column[2 + 2 * EC_PRIORITIES];
	List	   *messages = NIL;
	EcAs		as;

	if (nwishes == 0)
		return NIL;
	ec_outbox_open(&as);
	for (int i = 0; i < (int) lengthof(column); i++)
		column[i] = palloc(sizeof(Datum) * nwishes);
	for (int i = 0; i < nwishes; i++)
	{
		column[0][i] = CStringGetTextDatum(wishes[i].endpoint);
		column[1][i] = Int32GetDatum(wishes[i].limit);
		for (int p = 0; p < EC_PRIORITIES; p++)
		{
			column[2 + 2 * p][i] = TimestampTzGetDatum(wishes[i].after_at[p]);
			column[3 + 2 * p][i] = Int64GetDatum(wishes[i].after_id[p]);
		}
	}
	values[0] = array_of(column[0], NULL, nwishes, TEXTOID);
	values[1] = array_of(column[1], NULL, nwishes, INT4OID);
	for (int p = 0; p < EC_PRIORITIES; p++)
	{
		values[2 + 2 * p] = array_of(column[2 + 2 * p], NULL, nwishes, TIMESTAMPTZOID);
		values[3 + 2 * p] = array_of(column[3 + 2 * p], NULL, nwishes, INT8OID);
	}
	values[8] = TimestampTzGetDatum(due);
	values[9] = TimestampTzGetDatum(clock);
	values[10] = TimestampTzGetDatum(TimestampTzPlusMilliseconds(clock, lease_ms));
	values[11] = Int32GetDatum(holder);
	(void) ec_outbox_execute(lease_sql, 12, types, values, NULL);

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);

		messages = lappend(messages, message_of(SPI_tuptable->vals[i], SPI_tuptable->tupdesc));
		MemoryContextSwitchTo(spi);
	}
	ec_outbox_close(&as);
	return messages;
}

/* ---- settle ---- */

/* Results of one kind, as columns. */
typedef struct Columns
{
	int			n;
	Datum	   *id;
	Datum	   *state;
	Datum	   *next_at;
	Datum	   *status;
	bool	   *status_null;
	Datum	   *error;
	bool	   *error_null;
	Datum	   *answer;
	bool	   *answer_null;
	Datum	   *remaining;
	bool	   *remaining_null;
	Datum	   *refused;
	bool	   *refused_null;
} Columns;

static void
columns_init(Columns *columns, int n)
{
	columns->n = 0;
	columns->id = palloc(sizeof(Datum) * n);
	columns->state = palloc(sizeof(Datum) * n);
	columns->next_at = palloc(sizeof(Datum) * n);
	columns->status = palloc(sizeof(Datum) * n);
	columns->status_null = palloc(sizeof(bool) * n);
	columns->error = palloc(sizeof(Datum) * n);
	columns->error_null = palloc(sizeof(bool) * n);
	columns->answer = palloc(sizeof(Datum) * n);
	columns->answer_null = palloc(sizeof(bool) * n);
	columns->remaining = palloc(sizeof(Datum) * n);
	columns->remaining_null = palloc(sizeof(bool) * n);
	columns->refused = palloc(sizeof(Datum) * n);
	columns->refused_null = palloc(sizeof(bool) * n);
}

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = (text == NULL);
	return text ? CStringGetTextDatum(text) : (Datum) 0;
}

/* A text[] in its text form, since there are no arrays of arrays. */
static Datum
array_text(char **elements, int n, bool *isnull)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(n, 1));
	Oid			output;
	bool		varlena;

	*isnull = (n == 0);
	if (n == 0)
		return (Datum) 0;
	for (int i = 0; i < n; i++)
		values[i] = CStringGetTextDatum(elements[i]);
	getTypeOutputInfo(TEXTARRAYOID, &output, &varlena);
	return CStringGetTextDatum(OidOutputFunctionCall(output, array_of(values, NULL, n, TEXTOID)));
}

static void
columns_add(Columns *columns, const EcResult *result, TimestampTz now)
{
	int			i = columns->n++;

	columns->id[i] = Int64GetDatum(result->id);
	columns->state[i] = CStringGetTextDatum(result->outcome == EC_DELIVERED ? "delivered" :
											result->outcome == EC_UNWANTED ? "cancelled" : "dead");
	columns->next_at[i] = TimestampTzGetDatum(now + result->wait * 1000);
	columns->status[i] = Int32GetDatum(result->status);
	columns->status_null[i] = (result->status == 0);
	columns->error[i] = text_or_null(result->error, &columns->error_null[i]);
	columns->answer[i] = text_or_null(result->answer, &columns->answer_null[i]);
	columns->remaining[i] = array_text(result->remaining, result->nremaining,
									   &columns->remaining_null[i]);
	columns->refused[i] = text_or_null(result->refused, &columns->refused_null[i]);
}

static void
settle_finished(Columns *c, TimestampTz now, int holder)
{
	static const Oid types[] = {
		INT8ARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TIMESTAMPTZOID, INT4OID
	};
	Datum		values[7];

	if (c->n == 0)
		return;
	ec_history_ensure(now);
	values[0] = array_of(c->id, NULL, c->n, INT8OID);
	values[1] = array_of(c->state, NULL, c->n, TEXTOID);
	values[2] = array_of(c->status, c->status_null, c->n, INT4OID);
	values[3] = array_of(c->error, c->error_null, c->n, TEXTOID);
	values[4] = array_of(c->answer, c->answer_null, c->n, TEXTOID);
	values[5] = TimestampTzGetDatum(now);
	values[6] = Int32GetDatum(holder);
	(void) ec_outbox_execute(finish_sql, 7, types, values, NULL);
}

static void
settle_retries(Columns *c, int holder)
{
	static const Oid types[] = {
		INT8ARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TEXTARRAYOID, INT4OID, TEXTARRAYOID
	};
	Datum		values[8];

	if (c->n == 0)
		return;
	values[0] = array_of(c->id, NULL, c->n, INT8OID);
	values[1] = array_of(c->next_at, NULL, c->n, TIMESTAMPTZOID);
	values[2] = array_of(c->status, c->status_null, c->n, INT4OID);
	values[3] = array_of(c->error, c->error_null, c->n, TEXTOID);
	values[4] = array_of(c->answer, c->answer_null, c->n, TEXTOID);
	values[5] = array_of(c->remaining, c->remaining_null, c->n, TEXTOID);
	values[6] = Int32GetDatum(holder);
	values[7] = array_of(c->refused, c->refused_null, c->n, TEXTOID);
	(void) ec_outbox_execute(retry_sql, 8, types, values, NULL);
}

static void
settle_releases(Columns *c, int holder)
{
	static const Oid types[] = {INT8ARRAYOID, INT4OID};
	Datum		values[2];

	if (c->n == 0)
		return;
	values[0] = array_of(c->id, NULL, c->n, INT8OID);
	values[1] = Int32GetDatum(holder);
	(void) ec_outbox_execute(release_sql, 2, types, values, NULL);
}

/*
 * Record what came of messages that the holder leased, in the current
 * transaction.
 *
 * A result that is not a delivery counts only while the lease is still the
 * holder's: otherwise another tries the message now, and decides.
 *
 * What is settled by hand is not in the counters of endpoints: the row of an
 * endpoint would be locked until the caller's transaction ends, and hold up
 * every worker that settles.
 */
void
ec_outbox_settle(const EcResult *results, int nresults, int holder)
{
	TimestampTz now = ec_now();
	Columns		finished;
	Columns		retries;
	Columns		releases;
	EcAs		as;

	if (nresults == 0)
		return;
	ec_outbox_open(&as);
	columns_init(&finished, nresults);
	columns_init(&retries, nresults);
	columns_init(&releases, nresults);
	for (int i = 0; i < nresults; i++)
	{
		const EcResult *result = &results[i];

		columns_add(result->outcome == EC_RETRY ? &retries :
					result->outcome == EC_RELEASE ? &releases : &finished, result, now);
	}
	settle_finished(&finished, now, holder);
	settle_retries(&retries, holder);
	settle_releases(&releases, holder);
	if (holder != EC_LEASED_BY_HAND)
		ec_outbox_count(results, nresults, now);
	ec_outbox_close(&as);
}

/*
 * Is a message dead that failed once more?  attempts: tries so far; age: ms
 * from when it was first due to when it would be tried again; limits as in
 * EcEndpoint.
 */
bool
ec_outbox_gives_up(int max_attempts, int64 give_up_after, int attempts, int64 age)
{
	return attempts >= max_attempts || (give_up_after > 0 && age > give_up_after);
}


/* ---- what a worker does now and then ---- */

/*
 * When the next message that is not due yet will be; DT_NOEND if there is none.
 */
TimestampTz
ec_outbox_next_due(void)
{
	static const Oid types[] = {TEXTARRAYOID, INT2ARRAYOID, TIMESTAMPTZOID};
	List	   *names = ec_endpoint_names();
	int			n = 0;
	Datum	   *endpoints = palloc(sizeof(Datum) * (3 * list_length(names) + 1));
	Datum	   *priorities = palloc(sizeof(Datum) * (3 * list_length(names) + 1));
	TimestampTz due = DT_NOEND;
	Datum		values[3];
	ListCell   *cell;
	EcAs		as;

	foreach(cell, names)
		for (int priority = -1; priority <= 1; priority++)
		{
			endpoints[n] = CStringGetTextDatum((char *) lfirst(cell));
			priorities[n++] = Int16GetDatum((int16) priority);
		}
	if (n == 0)
		return DT_NOEND;

	ec_outbox_open(&as);
	values[0] = array_of(endpoints, NULL, n, TEXTOID);
	values[1] = array_of(priorities, NULL, n, INT2OID);
	values[2] = TimestampTzGetDatum(ec_now());
	(void) ec_outbox_execute(next_due_sql, 3, types, values, NULL);
	if (SPI_processed == 1)
	{
		bool		isnull;
		Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);

		if (!isnull)
			due = DatumGetTimestampTz(value);
	}
	ec_outbox_close(&as);
	return due;
}

/*
 * End messages whose time is over, at most a thousand; returns how many.
 */
int64
ec_outbox_expire(void)
{
	static const Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	TimestampTz now = ec_now();
	Datum		values[2] = {TimestampTzGetDatum(now), TimestampTzGetDatum(GetCurrentTimestamp())};
	int64		expired;
	EcAs		as;

	ec_outbox_open(&as);
	ec_history_ensure(now);
	(void) ec_outbox_execute(expire_sql, 2, types, values, NULL);
	expired = (int64) SPI_processed;
	ec_outbox_close(&as);
	return expired;
}

/*
 * Take leases away from processes that no longer live; returns how many.  The
 * current process must not hold any.  If another process got the number of a
 * dead one, that one's leases just run out.  So do those given by hand.
 */
int64
ec_outbox_reclaim(void)
{
	static const Oid holder_types[] = {TIMESTAMPTZOID};
	static const Oid types[] = {TIMESTAMPTZOID, INT4ARRAYOID};
	Datum		values[2] = {TimestampTzGetDatum(GetCurrentTimestamp())};
	Datum	   *dead;
	int			ndead = 0;
	int64		reclaimed = 0;
	EcAs		as;

	ec_outbox_open(&as);
	(void) ec_outbox_execute(holders_sql, 1, holder_types, values, NULL);
	dead = palloc(sizeof(Datum) * (SPI_processed + 1));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum		pid = fixed_column(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		PGPROC	   *proc = BackendPidGetProc(DatumGetInt32(pid));

		if (proc == NULL || proc->databaseId != MyDatabaseId || proc == MyProc)
			dead[ndead++] = pid;
	}
	if (ndead > 0)
	{
		values[1] = array_of(dead, NULL, ndead, INT4OID);
		(void) ec_outbox_execute(reclaim_sql, 2, types, values, NULL);
		reclaimed = (int64) SPI_processed;
	}
	ec_outbox_close(&as);
	return reclaimed;
}

/*
 * Give up the leases of this process; returns how many.  The tries count: it
 * may have been under way with them.
 */
int64
ec_outbox_give_back(void)
{
	static const Oid types[] = {TIMESTAMPTZOID, INT4ARRAYOID};
	Datum		me = Int32GetDatum(MyProcPid);
	Datum		values[2] = {TimestampTzGetDatum(GetCurrentTimestamp())};
	int64		given;
	EcAs		as;

	ec_outbox_open(&as);
	values[1] = array_of(&me, NULL, 1, INT4OID);
	(void) ec_outbox_execute(reclaim_sql, 2, types, values, NULL);
	given = (int64) SPI_processed;
	ec_outbox_close(&as);
	return given;
}

/*
 * Names (char *, in the current context) of the endpoints that are paused.
 */
List *
ec_outbox_paused(void)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *names = NIL;
	EcAs		as;

	ec_outbox_open(&as);
	(void) ec_outbox_execute(paused_sql, 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);

		names = lappend(names, text_column(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
		MemoryContextSwitchTo(spi);
	}
	ec_outbox_close(&as);
	return names;
}

/*
 * "Full jitter": a uniform random part (random, in [0, 1)) of a bound that
 * doubles with every try, as in M. Brooker, "Exponential Backoff And Jitter",
 * AWS Architecture Blog, 2015.  Many messages that failed together do not
 * come back together.
 */
int64
ec_backoff(int attempts, int64 retry_after, double random)
{
	double		bound = Min(BACKOFF_FIRST * pow(2, Min(attempts - 1, 30)), BACKOFF_MOST);
	int64		wait = (int64) (bound * random);

	if (retry_after >= 0)
		wait += Min(retry_after, RETRY_AFTER_MOST);
	return wait;
}

/*-------------------------------------------------------------------------
 *
 * outbox_keep.c
 *		What a process that delivers does now and then: end messages whose time
 *		is over, take leases from the dead, ask when the next message is due.
 *
 * All functions here connect to SPI and act as the owner of the state.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "outbox/outbox.h"

#define HISTORY_COLUMNS \
	"id, attempts, priority, created_at, queued_at, expires_at, endpoint, sender, " \
	"key, path, method, body, entity, template, purpose, wanted, headers, payload, remaining"
#define HISTORY_GONE \
	"o.id, o.attempts, o.priority, o.created_at, o.queued_at, o.expires_at, o.endpoint, o.sender, " \
	"o.key, o.path, o.method, o.body, o.entity, o.template, o.purpose, o.wanted, o.headers, o.payload, o.remaining"

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
	"WHERE o.id = ANY (ARRAY(SELECT l.id FROM ecauto_data.outbox l "
	"WHERE l.lease_until > $1 AND l.leased_by = ANY ($2) FOR UPDATE SKIP LOCKED))";

static const char *const paused_sql =
	"SELECT p.endpoint FROM ecauto_data.outbox_pause p";

/* ---- parameters ---- */

static Datum
array_of(Datum *values, int n, Oid type)
{
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(construct_array(values, n, type, length, by_value, align));
}

static Datum
fixed_column(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, desc, column, &isnull);

	return isnull ? (Datum) 0 : value;
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
	values[0] = array_of(endpoints, n, TEXTOID);
	values[1] = array_of(priorities, n, INT2OID);
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
 * dead one, that one's leases just run out.
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
		values[1] = array_of(dead, ndead, INT4OID);
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
	values[1] = array_of(&me, 1, INT4OID);
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

		names = lappend(names, TextDatumGetCString(fixed_column(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1)));
		MemoryContextSwitchTo(spi);
	}
	ec_outbox_close(&as);
	return names;
}

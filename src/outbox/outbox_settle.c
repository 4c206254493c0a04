/*-------------------------------------------------------------------------
 *
 * outbox_settle.c
 *		Writing down what came of leased messages.
 *
 * What is finished moves to the history, what is to be tried again waits in
 * the outbox.  A result that is not a delivery counts only while the lease is
 * still the holder's: otherwise another tries the message now, and decides.
 *
 * A result tells where the lease put the row, so usually no index is needed
 * to find it.
 *
 * Rows that an open transaction holds, of somebody who has just unsubscribed
 * for instance, are not waited for: what came of all other messages would wait
 * with them, and everything else that the process does.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "access/genam.h"
#include "access/relscan.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "outbox/outbox.h"
#include "outbox/outbox_row.h"

#define BACKOFF_FIRST 2000.0	/* ms: most before the second try */
#define BACKOFF_MOST  3600000.0 /* ms */

/* longest that we let another side make us wait */
#define RETRY_AFTER_MOST ((int64) 24 * 3600 * 1000)

typedef struct Settle
{
	EcRows		outbox;
	EcRows		history;		/* this week's partition */
	bool		history_open;
	TupleTableSlot *found;		/* as our snapshot shows it */
	TupleTableSlot *row;		/* as it is, once it is locked */
	Relation	ids;			/* primary key of the outbox */
	BlockNumber blocks;			/* of the outbox */
	Snapshot	snapshot;
	TimestampTz now;
	MemoryContext context;		/* of all of it */
} Settle;

/* Put the message's row into settle->found; false if it is gone. */
static bool
find_row(Settle *settle, const EcResult *result)
{
	ItemPointerData tid = result->tid;
	ScanKeyData key;
	IndexScanDesc scan;
	bool		isnull;
	bool		found;

	if (ItemPointerIsValid(&tid) && ItemPointerGetBlockNumber(&tid) < settle->blocks &&
		table_tuple_fetch_row_version(settle->outbox.relation, &tid, settle->snapshot, settle->found) &&
		DatumGetInt64(slot_getattr(settle->found, OUTBOX_ID + 1, &isnull)) == result->id)
		return true;
	ExecClearTuple(settle->found);
	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, INT8OID, InvalidOid, F_INT8EQ,
						   Int64GetDatum(result->id));
	scan = ec_index_beginscan(settle->outbox.relation, settle->ids, settle->snapshot, 1);
	index_rescan(scan, &key, 1, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, settle->found);
	index_endscan(scan);
	return found;
}

/*
 * Lock the row that was found, in settle->row.  False if it has ended
 * meanwhile, or if others hold it, which the result tells.
 */
static bool
lock_row(Settle *settle, EcResult *result)
{
	uint8		flags = IsolationUsesXactSnapshot() ? 0 : TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
	ItemPointerData tid = settle->found->tts_tid;
	TM_FailureData failure;
	TM_Result	locked = table_tuple_lock(settle->outbox.relation, &tid, settle->snapshot, settle->row,
										  GetCurrentCommandId(true), LockTupleExclusive, LockWaitSkip,
										  flags, &failure);

	result->busy = (locked == TM_WouldBlock);
	if (locked != TM_Ok)
		return false;
	slot_getallattrs(settle->row);
	return true;
}

static Datum
array_of(char *const *elements, int n)
{
	Datum	   *values = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
		values[i] = CStringGetTextDatum(elements[i]);
	return PointerGetDatum(construct_array(values, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* "new; old", with what of them there is; NULL for nothing */
static char *
joined(const char *first, const TupleTableSlot *row, int column)
{
	char	   *second = row->tts_isnull[column] ? NULL : TextDatumGetCString(row->tts_values[column]);

	if (first == NULL || second == NULL)
		return first ? pstrdup(first) : second;
	return psprintf("%s; %s", first, second);
}

static void
history_copy(Settle *settle, int to, int from)
{
	if (!settle->row->tts_isnull[from])
		ec_rows_set(&settle->history, to, settle->row->tts_values[from]);
}

/* The message has ended: its row moves to the history. */
static void
settle_finished(Settle *settle, const EcResult *result)
{
	static const int same[][2] = {
		{HISTORY_ID, OUTBOX_ID}, {HISTORY_ATTEMPTS, OUTBOX_ATTEMPTS}, {HISTORY_PRIORITY, OUTBOX_PRIORITY},
		{HISTORY_CREATED_AT, OUTBOX_CREATED_AT}, {HISTORY_QUEUED_AT, OUTBOX_QUEUED_AT},
		{HISTORY_EXPIRES_AT, OUTBOX_EXPIRES_AT}, {HISTORY_ENDPOINT, OUTBOX_ENDPOINT},
		{HISTORY_SENDER, OUTBOX_SENDER}, {HISTORY_KEY, OUTBOX_KEY}, {HISTORY_PATH, OUTBOX_PATH},
		{HISTORY_METHOD, OUTBOX_METHOD}, {HISTORY_BODY, OUTBOX_BODY}, {HISTORY_ENTITY, OUTBOX_ENTITY},
		{HISTORY_TEMPLATE, OUTBOX_TEMPLATE}, {HISTORY_PURPOSE, OUTBOX_PURPOSE},
		{HISTORY_WANTED, OUTBOX_WANTED}, {HISTORY_HEADERS, OUTBOX_HEADERS},
		{HISTORY_PAYLOAD, OUTBOX_PAYLOAD}
	};

	if (!settle->history_open)
	{
		MemoryContext each = MemoryContextSwitchTo(settle->context);

		ec_rows_open(&settle->history, ec_history_ensure(settle->now), HISTORY_COLUMNS, false);
		settle->history_open = true;
		MemoryContextSwitchTo(each);
	}
	ec_rows_begin(&settle->history);
	for (int i = 0; i < (int) lengthof(same); i++)
		history_copy(settle, same[i][0], same[i][1]);
	ec_rows_set(&settle->history, HISTORY_FINISHED_AT, TimestampTzGetDatum(settle->now));
	ec_rows_set_text(&settle->history, HISTORY_STATE,
					 result->outcome == EC_DELIVERED ? "delivered" :
					 result->outcome == EC_UNWANTED ? "cancelled" : "dead");
	if (result->status != 0)
		ec_rows_set(&settle->history, HISTORY_LAST_STATUS, Int32GetDatum(result->status));
	/* recipients that were refused for good at an earlier try are named, too */
	ec_rows_set_text(&settle->history, HISTORY_LAST_ERROR, joined(result->error, settle->row, OUTBOX_REFUSED));
	ec_rows_set_text(&settle->history, HISTORY_LAST_ANSWER, result->answer);
	if (result->outcome == EC_DEAD && result->nremaining > 0)
		ec_rows_set(&settle->history, HISTORY_REMAINING, array_of(result->remaining, result->nremaining));
	else if (result->outcome == EC_DEAD)
		history_copy(settle, HISTORY_REMAINING, OUTBOX_REMAINING);
	ec_rows_insert(&settle->history);
	ec_rows_delete(&settle->outbox, settle->row);
}

static void
set_text_or_null(EcRows *rows, int column, const char *value)
{
	if (value != NULL)
		ec_rows_set_text(rows, column, value);
	else
		ec_rows_set_null(rows, column);
}

/* The message waits for another try, or as before if it was not tried. */
static void
settle_waiting(Settle *settle, const EcResult *result)
{
	EcRows	   *rows = &settle->outbox;

	ec_rows_begin_from(rows, settle->row);
	ec_rows_set(rows, OUTBOX_LEASE_UNTIL, TimestampTzGetDatum(DT_NOBEGIN));
	ec_rows_set(rows, OUTBOX_LEASED_BY, Int32GetDatum(0));
	if (result->outcome == EC_RELEASE)
		ec_rows_set(rows, OUTBOX_ATTEMPTS, Int32GetDatum(DatumGetInt32(settle->row->tts_values[OUTBOX_ATTEMPTS]) - 1));
	else
	{
		ec_rows_set(rows, OUTBOX_NEXT_AT, TimestampTzGetDatum(settle->now + result->wait * 1000));
		if (result->status != 0)
			ec_rows_set(rows, OUTBOX_LAST_STATUS, Int32GetDatum(result->status));
		else
			ec_rows_set_null(rows, OUTBOX_LAST_STATUS);
		set_text_or_null(rows, OUTBOX_LAST_ERROR, result->error);
		set_text_or_null(rows, OUTBOX_LAST_ANSWER, result->answer);
		if (result->nremaining > 0)
			ec_rows_set(rows, OUTBOX_REMAINING, array_of(result->remaining, result->nremaining));
		if (result->refused != NULL)
			ec_rows_set_text(rows, OUTBOX_REFUSED, joined(result->refused, settle->row, OUTBOX_REFUSED));
	}
	ec_rows_update(rows, settle->row);
}

/*
 * Record what came of messages that the holder leased, in the current
 * transaction.  Results of messages that others have locked are not recorded,
 * but marked as busy.
 */
void
ec_outbox_settle(EcResult *results, int nresults, int holder)
{
	Settle		settle = {.now = ec_now()};
	MemoryContext each;
	MemoryContext before;
	EcAs		as;

	if (nresults == 0)
		return;
	ec_outbox_open(&as);
	PushActiveSnapshot(GetTransactionSnapshot());
	settle.snapshot = GetActiveSnapshot();
	settle.context = CurrentMemoryContext;
	ec_rows_open(&settle.outbox, ec_state_relation("outbox", false), OUTBOX_COLUMNS, false);
	settle.ids = index_open(ec_state_relation("outbox_pkey", false), RowExclusiveLock);
	settle.found = table_slot_create(settle.outbox.relation, NULL);
	settle.row = table_slot_create(settle.outbox.relation, NULL);
	settle.blocks = RelationGetNumberOfBlocks(settle.outbox.relation);

	each = AllocSetContextCreate(CurrentMemoryContext, "ecauto settled message", ALLOCSET_DEFAULT_SIZES);
	before = MemoryContextSwitchTo(each);
	for (int i = 0; i < nresults; i++)
	{
		EcResult   *result = &results[i];

		CHECK_FOR_INTERRUPTS();
		result->busy = false;
		if (!find_row(&settle, result) || !lock_row(&settle, result) ||
			(result->outcome != EC_DELIVERED &&
			 DatumGetInt32(settle.row->tts_values[OUTBOX_LEASED_BY]) != holder))
			continue;
		if (result->outcome == EC_RETRY || result->outcome == EC_RELEASE)
			settle_waiting(&settle, result);
		else
			settle_finished(&settle, result);
		MemoryContextReset(each);
	}
	MemoryContextSwitchTo(before);
	MemoryContextDelete(each);

	ExecDropSingleTupleTableSlot(settle.found);
	ExecDropSingleTupleTableSlot(settle.row);
	index_close(settle.ids, NoLock);
	if (settle.history_open)
		ec_rows_close(&settle.history);
	ec_rows_close(&settle.outbox);
	PopActiveSnapshot();
	ec_outbox_close(&as);
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

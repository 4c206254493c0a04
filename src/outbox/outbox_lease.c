/*-------------------------------------------------------------------------
 *
 * outbox_lease.c
 *		Handing messages to a process that delivers them.
 *
 * A lease says "this process tries it, until then".  It is committed before
 * the network is touched, and settled in another transaction
 * (outbox_settle.c).  If the process dies in between, the lease runs out and
 * the message is tried again with the same key: at least once, and
 * recognisable.
 *
 * Leases count by the system's clock, since they bound how long a process may
 * be silent; everything a message waits for counts by ecauto.now().
 *
 * The claim goes along the index outbox_queue, locks what is free and steps
 * over what others hold (as SELECT ... FOR UPDATE SKIP LOCKED would), and
 * looks at rows, never at "ids above the last one": transactions commit in
 * another order than they drew their ids.  A caller may skip what it has
 * already looked at in this pass (EcLeaseWish.after_*), to step over index
 * entries of rows that have just gone, as long as it soon starts again from
 * the beginning.
 *
 * It is done by hand, since one statement for it, even with a kept plan,
 * took as long as sending the messages.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/nbtree.h"
#include "access/relscan.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/snapmgr.h"

#include "outbox/outbox.h"
#include "outbox/outbox_row.h"

/*
 * Payloads that one lease brings at most, in bytes, so that large messages
 * do not fill the memory: what is over is leased next time.
 */
#define LEASE_BYTES (32 * 1024 * 1024)

static EcLeaseGate lease_gate = NULL;

void
ec_lease_set_gate(EcLeaseGate gate)
{
	lease_gate = gate;
}

typedef struct Claim
{
	EcRows		rows;			/* of the outbox */
	TupleTableSlot *found;		/* as the scan sees it */
	TupleTableSlot *locked;		/* as it is, once it is ours */
	TupleTableSlot *before;		/* an earlier one of the same entity */
	Relation	queue;			/* indexes */
	Relation	entity;
	Snapshot	snapshot;
	MemoryContext context;		/* of the messages */
	TimestampTz due;
	TimestampTz clock;
	TimestampTz until;
	int			holder;
	Size		bytes;			/* of payloads so far */
	HTAB	   *entities;		/* of the endpoint, as far as known; NULL: none */
	List	   *messages;
} Claim;

static Datum
column_of(TupleTableSlot *slot, int column, bool *isnull)
{
	return slot_getattr(slot, column + 1, isnull);
}

static TimestampTz
time_of(TupleTableSlot *slot, int column)
{
	bool		isnull;
	Datum		value = column_of(slot, column, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

/* What a claim knows of an entity. */
typedef struct Entity
{
	uint64		hash;			/* of its name; hash key, must be first */
	int64		first;			/* id of its first message */
} Entity;

static Entity *
entity_known(Claim *claim, Datum name, bool *found)
{
	struct varlena *text = PG_DETOAST_DATUM_PACKED(name);
	uint64		hash = DatumGetUInt64(hash_any_extended((unsigned char *) VARDATA_ANY(text),
														VARSIZE_ANY_EXHDR(text), 0));

	if (claim->entities == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(uint64), .entrysize = sizeof(Entity), .hcxt = CurrentMemoryContext};

		claim->entities = hash_create("ecauto entities", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	return hash_search(claim->entities, &hash, HASH_ENTER, found);
}

/*
 * Is there an earlier message of the same entity and endpoint, as far as our
 * snapshot shows?
 *
 * The index is asked once for each entity, not for each of thousands that may
 * wait behind the first.  Entities are told apart by a hash: should two have
 * the same, one may wait in vain until the next lease.
 */
static bool
waits_for_entity(Claim *claim, TupleTableSlot *slot)
{
	ScanKeyData key[3];
	IndexScanDesc scan;
	bool		isnull;
	Datum		name = column_of(slot, OUTBOX_ENTITY, &isnull);
	int64		id;
	Entity	   *entity;
	bool		known;
	bool		waits;

	if (isnull)
		return false;
	id = DatumGetInt64(column_of(slot, OUTBOX_ID, &isnull));
	entity = entity_known(claim, name, &known);
	if (known && id > entity->first)
		return true;
	ScanKeyEntryInitialize(&key[0], 0, 1, BTEqualStrategyNumber, TEXTOID, C_COLLATION_OID, F_TEXTEQ,
						   column_of(slot, OUTBOX_ENDPOINT, &isnull));
	ScanKeyEntryInitialize(&key[1], 0, 2, BTEqualStrategyNumber, TEXTOID, C_COLLATION_OID, F_TEXTEQ, name);
	ScanKeyEntryInitialize(&key[2], 0, 3, BTLessStrategyNumber, INT8OID, InvalidOid, F_INT8LT,
						   Int64GetDatum(id));
	scan = ec_index_beginscan(claim->rows.relation, claim->entity, claim->snapshot, lengthof(key));
	index_rescan(scan, key, lengthof(key), NULL, 0);
	waits = index_getnext_slot(scan, ForwardScanDirection, claim->before);
	entity->first = waits ? DatumGetInt64(column_of(claim->before, OUTBOX_ID, &isnull)) : id;
	index_endscan(scan);
	ExecClearTuple(claim->before);
	return waits;
}

/* May this version of a row be leased now? */
static bool
is_free(Claim *claim, TupleTableSlot *slot)
{
	TimestampTz expires = time_of(slot, OUTBOX_EXPIRES_AT);
	bool		isnull;

	(void) column_of(slot, OUTBOX_EXPIRES_AT, &isnull);
	return time_of(slot, OUTBOX_LEASE_UNTIL) <= claim->clock &&
		time_of(slot, OUTBOX_NEXT_AT) <= claim->due && (isnull || expires > claim->due);
}

/* Lock the row that was found, in claim->locked; false if others have it. */
static bool
claim_lock(Claim *claim)
{
	/* where the whole transaction has one snapshot, what has changed since is not ours to take */
	uint8		flags = IsolationUsesXactSnapshot() ? 0 : TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
	TM_FailureData failure;
	ItemPointerData tid = claim->found->tts_tid;

	if (table_tuple_lock(claim->rows.relation, &tid, claim->snapshot, claim->locked,
						 GetCurrentCommandId(true), LockTupleExclusive, LockWaitSkip,
						 flags, &failure) != TM_Ok)
		return false;
	/* somebody changed it since our snapshot was taken: what holds now? */
	return !failure.traversed || is_free(claim, claim->locked);
}

static char *
text_of(const TupleTableSlot *slot, int column)
{
	return slot->tts_isnull[column] ? NULL : TextDatumGetCString(slot->tts_values[column]);
}

static void *
varlena_of(const TupleTableSlot *slot, int column)
{
	return slot->tts_isnull[column] ? NULL : PG_DETOAST_DATUM_COPY(slot->tts_values[column]);
}

/* Add the locked row to the messages, as tried for one more time. */
static EcMessage *
message_of(Claim *claim)
{
	const TupleTableSlot *slot = claim->locked;
	MemoryContext before = MemoryContextSwitchTo(claim->context);
	EcMessage  *message = palloc(sizeof(EcMessage));

	message->id = DatumGetInt64(slot->tts_values[OUTBOX_ID]);
	message->endpoint = text_of(slot, OUTBOX_ENDPOINT);
	message->sender = pstrdup(NameStr(*DatumGetName(slot->tts_values[OUTBOX_SENDER])));
	message->key = text_of(slot, OUTBOX_KEY);
	message->path = text_of(slot, OUTBOX_PATH);
	message->payload = varlena_of(slot, OUTBOX_PAYLOAD);
	message->method = text_of(slot, OUTBOX_METHOD);
	message->body = text_of(slot, OUTBOX_BODY);
	message->headers = varlena_of(slot, OUTBOX_HEADERS);
	message->remaining = varlena_of(slot, OUTBOX_REMAINING);
	message->wanted = text_of(slot, OUTBOX_WANTED);
	message->purpose = text_of(slot, OUTBOX_PURPOSE);
	message->unwanted = NULL;
	message->trouble = NULL;
	message->attempts = DatumGetInt32(slot->tts_values[OUTBOX_ATTEMPTS]) + 1;
	message->next_at = DatumGetTimestampTz(slot->tts_values[OUTBOX_NEXT_AT]);
	message->created_at = DatumGetTimestampTz(slot->tts_values[OUTBOX_CREATED_AT]);
	message->queued_at = DatumGetTimestampTz(slot->tts_values[OUTBOX_QUEUED_AT]);
	message->expires_at = slot->tts_isnull[OUTBOX_EXPIRES_AT] ? 0
		: DatumGetTimestampTz(slot->tts_values[OUTBOX_EXPIRES_AT]);
	message->priority = DatumGetInt16(slot->tts_values[OUTBOX_PRIORITY]);
	message->entity = text_of(slot, OUTBOX_ENTITY);
	claim->bytes += VARSIZE(message->payload);
	claim->messages = lappend(claim->messages, message);
	MemoryContextSwitchTo(before);
	return message;
}

static void
claim_take(Claim *claim)
{
	EcMessage  *message;

	ec_rows_begin_from(&claim->rows, claim->locked);
	message = message_of(claim);
	ec_rows_set(&claim->rows, OUTBOX_LEASE_UNTIL, TimestampTzGetDatum(claim->until));
	ec_rows_set(&claim->rows, OUTBOX_LEASED_BY, Int32GetDatum(claim->holder));
	ec_rows_set(&claim->rows, OUTBOX_ATTEMPTS, Int32GetDatum(message->attempts));
	ec_rows_update(&claim->rows, claim->locked);
	message->tid = claim->rows.slot->tts_tid;
}

/*
 * Lease messages of one endpoint and priority until the wish has what it
 * wants.  False if there is no room for more in this lease.
 */
static bool
claim_priority(Claim *claim, EcLeaseWish *wish, Datum endpoint, int priority)
{
	ScanKeyData key[4];
	ScanKeyData after[2];
	IndexScanDesc scan;
	int			p = priority + 1;
	int			nkeys = 3;
	bool		room = true;

	ScanKeyEntryInitialize(&key[0], 0, 1, BTEqualStrategyNumber, TEXTOID, C_COLLATION_OID, F_TEXTEQ, endpoint);
	ScanKeyEntryInitialize(&key[1], 0, 2, BTEqualStrategyNumber, INT2OID, InvalidOid, F_INT2EQ,
						   Int16GetDatum((int16) priority));
	if (wish->after_at[p] != DT_NOBEGIN)
	{
		/* (next_at, id) > (after_at, after_id): see ExecIndexBuildScanKeys() */
		ScanKeyEntryInitialize(&after[0], SK_ROW_MEMBER, 3, BTGreaterStrategyNumber, TIMESTAMPTZOID, InvalidOid,
							   F_TIMESTAMPTZ_CMP, TimestampTzGetDatum(wish->after_at[p]));
		ScanKeyEntryInitialize(&after[1], SK_ROW_MEMBER | SK_ROW_END, 4, BTGreaterStrategyNumber, INT8OID, InvalidOid,
							   F_BTINT8CMP, Int64GetDatum(wish->after_id[p]));
		memset(&key[2], 0, sizeof(ScanKeyData));
		key[2].sk_flags = SK_ROW_HEADER;
		key[2].sk_attno = 3;
		key[2].sk_strategy = BTGreaterStrategyNumber;
		key[2].sk_argument = PointerGetDatum(after);
		nkeys = 4;
	}
	ScanKeyEntryInitialize(&key[nkeys - 1], 0, 3, BTLessEqualStrategyNumber, TIMESTAMPTZOID, InvalidOid,
						   F_TIMESTAMPTZ_LE, TimestampTzGetDatum(claim->due));

	scan = ec_index_beginscan(claim->rows.relation, claim->queue, claim->snapshot, nkeys);
	index_rescan(scan, key, nkeys, NULL, 0);
	while (wish->found < wish->limit && room && index_getnext_slot(scan, ForwardScanDirection, claim->found))
	{
		CHECK_FOR_INTERRUPTS();
		wish->after_at[p] = time_of(claim->found, OUTBOX_NEXT_AT);
		wish->after_id[p] = DatumGetInt64(claim->found->tts_values[OUTBOX_ID]);
		if (!is_free(claim, claim->found) || waits_for_entity(claim, claim->found) || !claim_lock(claim))
			continue;
		claim_take(claim);
		wish->found++;
		room = claim->bytes < LEASE_BYTES;
	}
	index_endscan(scan);
	return room;
}

/*
 * Lease the first message of an entity, if it is free.
 */
static void
claim_entity(Claim *claim, EcLeaseWish *wish, Datum endpoint, const char *entity)
{
	ScanKeyData key[2];
	IndexScanDesc scan;

	ScanKeyEntryInitialize(&key[0], 0, 1, BTEqualStrategyNumber, TEXTOID, C_COLLATION_OID, F_TEXTEQ, endpoint);
	ScanKeyEntryInitialize(&key[1], 0, 2, BTEqualStrategyNumber, TEXTOID, C_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(entity));
	scan = ec_index_beginscan(claim->rows.relation, claim->entity, claim->snapshot, lengthof(key));
	index_rescan(scan, key, lengthof(key), NULL, 0);
	if (index_getnext_slot(scan, ForwardScanDirection, claim->found) &&
		is_free(claim, claim->found) && claim_lock(claim))
	{
		claim_take(claim);
		wish->found++;
	}
	index_endscan(scan);
	ExecClearTuple(claim->found);
}

/*
 * Lease what is due at a time by ecauto.now(), at most as many as wished,
 * until lease_ms from now, to the process with the number holder, or
 * EC_LEASED_BY_HAND.  Each wish is told how many it got, whether there may be
 * more, and how far it has come.
 * Returns a list of EcMessage, in order within each wish, allocated in the
 * current context.
 */
List *
ec_outbox_lease(EcLeaseWish *wishes, int nwishes, TimestampTz due, int lease_ms, int holder)
{
	MemoryContext caller = CurrentMemoryContext;
	Claim		claim = {.context = caller, .holder = holder, .due = due, .clock = GetCurrentTimestamp()};
	bool		room = true;
	EcAs		as;

	if (nwishes == 0)
		return NIL;
	ec_outbox_open(&as);
	claim.until = TimestampTzPlusMilliseconds(claim.clock, lease_ms);
	claim.snapshot = GetTransactionSnapshot();
	PushActiveSnapshot(claim.snapshot);
	claim.snapshot = GetActiveSnapshot();
	ec_rows_open(&claim.rows, ec_state_relation("outbox", false), OUTBOX_COLUMNS, false);
	claim.queue = index_open(ec_state_relation("outbox_queue", false), RowExclusiveLock);
	claim.entity = index_open(ec_state_relation("outbox_entity", false), RowExclusiveLock);
	claim.found = table_slot_create(claim.rows.relation, NULL);
	claim.locked = table_slot_create(claim.rows.relation, NULL);
	claim.before = table_slot_create(claim.rows.relation, NULL);

	for (int i = 0; i < nwishes; i++)
	{
		EcLeaseWish *wish = &wishes[i];
		Datum		endpoint = CStringGetTextDatum(wish->endpoint);

		wish->found = 0;
		for (int e = 0; e < wish->nentities; e++)
			claim_entity(&claim, wish, endpoint, wish->entities[e]);
		if (!wish->scan)
			continue;
		if (claim.entities != NULL)
			hash_destroy(claim.entities);
		claim.entities = NULL;
		for (int priority = 1; priority >= -1 && room && wish->found < wish->limit; priority--)
			room = claim_priority(&claim, wish, endpoint, priority);
		wish->more = !room || wish->found >= wish->limit;
	}

	ExecDropSingleTupleTableSlot(claim.found);
	ExecDropSingleTupleTableSlot(claim.locked);
	ExecDropSingleTupleTableSlot(claim.before);
	index_close(claim.entity, NoLock);
	index_close(claim.queue, NoLock);
	ec_rows_close(&claim.rows);
	PopActiveSnapshot();
	ec_outbox_close(&as);
	if (lease_gate != NULL && claim.messages != NIL)
		lease_gate(claim.messages);
	return claim.messages;
}

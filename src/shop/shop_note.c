/*-------------------------------------------------------------------------
 *
 * shop_note.c
 *		What a transaction has noted, and the change log it goes to.
 *
 *	 row changed  -> note (tap, key) in memory, once per transaction
 *	 savepoint rolled back -> its notes are forgotten
 *	 before commit, before prepare, or when tick() asks
 *				  -> rows (time, tap, keys[]) appended to ecauto_data.change_log
 *	 committed	  -> the worker is woken
 *
 * The shop must never fail because of us.  The log has no index and no
 * constraint, and it is written in a subtransaction: if that fails, the
 * failure is logged and remembered, the next tick compares every key with
 * what was seen, and the shop's transaction goes on.
 *
 * The notes live in TopTransactionContext.  Those of the current
 * subtransaction are always at the end of the array, since a subtransaction
 * that ends gives them to its parent or takes them away.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "shop/shop.h"

/*
 * A row of the log must fit a page, and has no TOAST table to go to (storage
 * of its array is PLAIN).
 */
#define LOG_ROW_BYTES	7000

/*
 * More notes than this are written before the end of the transaction, so that
 * an UPDATE of millions does not hold them all in memory.  Written keys may
 * be noted again; the reader does not mind.
 */
#define NOTES_MAX 262144

/* keys are allocated this many bytes at a time */
#define KEY_BLOCK 8192

typedef struct Note
{
	int			tap;
	int			len;			/* of key, -1 for "every key" */
	char	   *key;
	SubTransactionId subid;		/* that noted it */
	SubTransactionId written;	/* that wrote it to the log; Invalid... if none */
} Note;

/* Notes are found by what they say; the table holds their place in notes[]. */
typedef struct NoteSlot
{
	uint32		place;			/* in notes[], plus 1; 0: free */
	uint32		hash;
} NoteSlot;

typedef struct NoteKey
{
	int			tap;
	int			len;
	const char *key;
} NoteKey;

/* of the current transaction, all in note_context */
static MemoryContext note_context = NULL;
static Note *notes;
static int	nnotes;
static int	notes_size;
static bool some_written;		/* is any of them kept although written? */
static char *key_room;			/* where the next key goes; keys are never freed alone */
static Size key_room_left;
static bool committing = false;
static bool failure_logged = false;

static inline uint32
note_key_hash(NoteKey key)
{
	return hash_combine(murmurhash32((uint32) key.tap),
						key.len > 0 ? hash_bytes((const unsigned char *) key.key, key.len) : 0);
}

static inline bool
note_key_equal(NoteKey key, int note)
{
	return notes[note].tap == key.tap && notes[note].len == key.len &&
		(key.len <= 0 || memcmp(notes[note].key, key.key, key.len) == 0);
}

/*
 * An open-addressing table of places in notes[].  Entries are only ever
 * removed newest first, but not in the order of their slots, so removal goes
 * by backward shift (Knuth, The Art of Computer Programming 3, 6.4,
 * Algorithm R), which needs no tombstones.
 */
static NoteSlot *slots;
static uint32 slots_mask;

static void
slots_create(uint32 size)
{
	slots = MemoryContextAllocExtended(note_context, size * sizeof(NoteSlot),
									   MCXT_ALLOC_ZERO | MCXT_ALLOC_HUGE);
	slots_mask = size - 1;
}

static void
slots_put(int note, uint32 hash)
{
	uint32		i = hash & slots_mask;

	while (slots[i].place)
		i = (i + 1) & slots_mask;
	slots[i].place = note + 1;
	slots[i].hash = hash;
}

static void
slots_grow(void)
{
	NoteSlot   *old = slots;
	uint32		old_size = slots_mask + 1;

	slots_create(old_size * 2);
	for (uint32 i = 0; i < old_size; i++)
		if (old[i].place)
			slots_put(old[i].place - 1, old[i].hash);
	pfree(old);
}

static void
slots_remove(int note)
{
	NoteKey		key = {notes[note].tap, notes[note].len, notes[note].key};
	uint32		i = note_key_hash(key) & slots_mask;
	uint32		j;

	while (slots[i].place != (uint32) note + 1)
		i = (i + 1) & slots_mask;
	for (j = (i + 1) & slots_mask; slots[j].place; j = (j + 1) & slots_mask)
	{
		uint32		home = slots[j].hash & slots_mask;

		/* may the entry at j move to the hole at i? */
		if (((j - home) & slots_mask) >= ((j - i) & slots_mask))
		{
			slots[i] = slots[j];
			i = j;
		}
	}
	slots[i].place = 0;
}

/* The transaction's memory, and the notes in it, are gone or about to go. */
static void
notes_forget(void)
{
	note_context = NULL;
	notes = NULL;
	nnotes = 0;
	slots = NULL;
}

static void
notes_begin(void)
{
	note_context = AllocSetContextCreate(TopTransactionContext, "ecauto capture notes",
										 ALLOCSET_DEFAULT_SIZES);
	notes_size = 64;
	nnotes = 0;
	some_written = false;
	notes = MemoryContextAlloc(note_context, notes_size * sizeof(Note));
	key_room_left = 0;
	slots_create(128);
}

/* Forget all notes. */
static void
notes_end(void)
{
	MemoryContextDelete(note_context);
	notes_forget();
}

/* Forget the newest notes down to n. */
static void
notes_truncate(int n)
{
	if (n == 0)
		nnotes = 0;				/* no need to take them out one by one */
	while (nnotes > n)
	{
		nnotes--;
		slots_remove(nnotes);
	}
	if (nnotes == 0)
		notes_end();
}

/* Copy a key to where it stays until the notes are forgotten. */
static char *
key_copy(const char *key, int len)
{
	char	   *copy;

	if ((Size) len > key_room_left)
	{
		key_room_left = Max(KEY_BLOCK, len);
		key_room = MemoryContextAlloc(note_context, key_room_left);
	}
	copy = key_room;
	memcpy(copy, key, len);
	key_room += len;
	key_room_left -= len;
	return copy;
}

/*
 * Note a key unless this transaction has noted it already.  len is -1 for
 * "every key", and so does one that is too long.  The caller calls ec_notes_settle() after the last one.
 */
void
ec_note_add(int tap, const char *key, int len)
{
	NoteKey		look;
	uint32		hash;
	Note	   *note;

	if (len > EC_KEY_MAX)
		len = -1;
	look = (NoteKey) {tap, len, key};
	hash = note_key_hash(look);
	if (note_context == NULL)
		notes_begin();

	for (uint32 i = hash & slots_mask; slots[i].place; i = (i + 1) & slots_mask)
		if (slots[i].hash == hash && note_key_equal(look, slots[i].place - 1))
		{
			/* what is in the log was before this change */
			notes[slots[i].place - 1].written = InvalidSubTransactionId;
			return;
		}

	if (nnotes == notes_size)
	{
		notes_size *= 2;
		notes = repalloc_huge(notes, notes_size * sizeof(Note));
	}
	if ((uint32) nnotes * 2 > slots_mask)
		slots_grow();

	note = &notes[nnotes];
	note->tap = tap;
	note->len = len;
	note->key = len >= 0 ? key_copy(key, len) : NULL;
	note->subid = GetCurrentSubTransactionId();
	note->written = InvalidSubTransactionId;
	slots_put(nnotes, hash);
	nnotes++;
}

/* ---- writing the log ---- */

static int
note_compare_tap(const void *a, const void *b)
{
	const Note *left = *(Note *const *) a;
	const Note *right = *(Note *const *) b;

	if (left->tap != right->tap)
		return left->tap < right->tap ? -1 : 1;
	return left < right ? -1 : left > right;	/* keep the order of noting */
}

/* What holds a row of the log on its way into the table. */
typedef struct LogWriter
{
	Relation	rel;
	TupleTableSlot *slot;		/* NULL: somebody changed the table, go through SPI */
	TimestampTz at;
} LogWriter;

/* Append one row; keys: text[], or NULL for "every key". */
static void
log_append(LogWriter *writer, int tap, ArrayType *keys)
{
	Datum		values[3];
	bool		nulls[3] = {false};

	values[0] = TimestampTzGetDatum(writer->at);
	values[1] = Int32GetDatum(tap);
	values[2] = PointerGetDatum(keys);
	nulls[2] = keys == NULL;

	if (writer->slot != NULL)
	{
		ExecClearTuple(writer->slot);
		memcpy(writer->slot->tts_values, values, sizeof(values));
		memcpy(writer->slot->tts_isnull, nulls, sizeof(nulls));
		ExecStoreVirtualTuple(writer->slot);
		simple_table_tuple_insert(writer->rel, writer->slot);
	}
	else
	{
		static const Oid types[] = {TIMESTAMPTZOID, INT4OID, TEXTARRAYOID};
		char		spi_nulls[] = {' ', ' ', nulls[2] ? 'n' : ' ', '\0'};
		SPIPlanPtr	plan;

		plan = ec_plan("INSERT INTO ecauto_data.change_log (at, tap, keys) VALUES ($1, $2, $3)",
					   3, types);
		if (SPI_execute_plan(plan, values, spi_nulls, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not write the change log");
	}
}

/*
 * Does the table look as setup() made it, so that a bare insertion is all
 * there is to it?
 */
static bool
log_is_plain(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);

	return rel->rd_rel->relkind == RELKIND_RELATION &&
		!rel->rd_rel->relhasindex && !rel->rd_rel->relhastriggers &&
		!rel->rd_rel->relhasrules && desc->natts == 3 &&
		(desc->constr == NULL ||
		 (desc->constr->num_check == 0 && !desc->constr->has_generated_stored)) &&
		TupleDescAttr(desc, 0)->atttypid == TIMESTAMPTZOID &&
		TupleDescAttr(desc, 1)->atttypid == INT4OID &&
		TupleDescAttr(desc, 2)->atttypid == TEXTARRAYOID;
}

/*
 * Make an array of as many keys as fit a row of the log: those at notes[0 .. n-1]
 * that belong to the tap of the first.  Returns how many they are; array has
 * room for LOG_ROW_BYTES.
 *
 * By hand, since construct_array() wants each key as a value of its own first.
 */
static int
log_array(ArrayType *array, Note *const *notes, int n)
{
	char	   *start = (char *) array;
	char	   *end = start + ARR_OVERHEAD_NONULLS(1);
	int			nkeys = 0;

	while (nkeys < n && notes[nkeys]->tap == notes[0]->tap && notes[nkeys]->len >= 0)
	{
		int			size = notes[nkeys]->len + VARHDRSZ;

		if (end - start + INTALIGN(size) > LOG_ROW_BYTES)
			break;
		SET_VARSIZE(end, size);
		memcpy(VARDATA(end), notes[nkeys]->key, notes[nkeys]->len);
		memset(end + size, 0, INTALIGN(size) - size);
		end += INTALIGN(size);
		nkeys++;
	}
	SET_VARSIZE(array, end - start);
	array->ndim = 1;
	array->dataoffset = 0;		/* no NULLs */
	array->elemtype = TEXTOID;
	ARR_DIMS(array)[0] = nkeys;
	ARR_LBOUND(array)[0] = 1;
	return nkeys;
}

/* Write notes[first ..] to the log, but for those that are there; raises. */
static void
log_write(int first)
{
	int			n = 0;
	Size		size = nnotes - first;
	Note	  **order = MemoryContextAllocHuge(CurrentMemoryContext, size * sizeof(Note *));
	ArrayType  *keys = palloc(LOG_ROW_BYTES);
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "ecauto log row",
													  ALLOCSET_DEFAULT_SIZES);
	LogWriter	writer;
	EcAs		as;
	bool		sorted = true;
	int			i = 0;

	for (int k = first; k < nnotes; k++)
	{
		if (notes[k].written != InvalidSubTransactionId)
			continue;
		order[n] = &notes[k];
		sorted = sorted && (n == 0 || order[n - 1]->tap <= order[n]->tap);
		n++;
	}
	if (!sorted)
		qsort(order, n, sizeof(Note *), note_compare_tap);

	writer.rel = table_open(ec_state_relation("change_log", false), RowExclusiveLock);
	writer.slot = log_is_plain(writer.rel) ? table_slot_create(writer.rel, NULL) : NULL;
	writer.at = GetCurrentTimestamp();
	if (writer.slot == NULL)
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		ec_as_state_owner(&as);
	}

	while (i < n)
	{
		MemoryContext old = MemoryContextSwitchTo(row_context);
		int			tap = order[i]->tap;

		if (order[i]->len < 0)
		{
			log_append(&writer, tap, NULL);
			i++;
		}
		else
		{
			i += log_array(keys, order + i, n - i);
			log_append(&writer, tap, keys);
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_context);
	}

	if (writer.slot == NULL)
	{
		ec_as_end(&as);
		SPI_finish();
		PopActiveSnapshot();
	}
	else
		ExecDropSingleTupleTableSlot(writer.slot);
	table_close(writer.rel, NoLock);
	MemoryContextDelete(row_context);
	pfree(keys);
	pfree(order);
}

/*
 * Write notes[first ..] and forget notes[keep ..].  Never raises, but for a
 * cancel or shutdown that arrives meanwhile.
 */
static void
notes_write(int first, int keep)
{
	MemoryContext old_context = CurrentMemoryContext;
	ResourceOwner old_owner = CurrentResourceOwner;

	if (nnotes <= first)
		return;

	BeginInternalSubTransaction("ecauto capture");
	PG_TRY();
	{
		log_write(first);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old_context);
		CurrentResourceOwner = old_owner;
		for (int i = first; i < keep; i++)
		{
			if (notes[i].written == InvalidSubTransactionId)
				notes[i].written = GetCurrentSubTransactionId();
			some_written = true;
		}
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(old_context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old_context);
		CurrentResourceOwner = old_owner;

		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
			error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
			ReThrowError(error);

		ec_capture_failure_report();
		if (!failure_logged)
		{
			failure_logged = true;
			ereport(LOG,
					(errcode(error->sqlerrcode),
					 errmsg("ecauto could not note what changed: %s", error->message),
					 errdetail("The transaction goes on. The next tick compares every key of the shop."),
					 errhint("Run SELECT ecauto.setup(), then SELECT ecauto.resync().")));
		}
		FreeErrorData(error);
	}
	PG_END_TRY();

	ec_wake_at_commit(EC_WAKE_TICK);
	notes_truncate(keep);
}

/* First note of the current subtransaction. */
static int
notes_of_subxact(SubTransactionId subid)
{
	int			first = nnotes;

	while (first > 0 && notes[first - 1].subid == subid)
		first--;
	return first;
}

/*
 * Write what this transaction has noted so far, so that a tick in the same
 * transaction sees it.
 *
 * What is written in a savepoint goes if that is rolled back, so the notes of
 * those around it are kept, to be written again in that case.
 */
void
ec_notes_flush(void)
{
	if (note_context != NULL)
		notes_write(0, notes_of_subxact(GetCurrentSubTransactionId()));
}

static void
notes_xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			/* what other callbacks still write is noted and flushed at once */
			committing = true;
			ec_notes_flush();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			committing = false;
			failure_logged = false;
			notes_forget();
			break;
		default:
			break;
	}
}

/* What a subtransaction wrote counts as written by another, or by none. */
static void
notes_set_written(SubTransactionId by, SubTransactionId instead)
{
	for (int i = 0; some_written && i < nnotes; i++)
		if (notes[i].written == by)
			notes[i].written = instead;
}

static void
notes_subxact_callback(SubXactEvent event, SubTransactionId subid,
						 SubTransactionId parent, void *arg)
{
	int			first;

	if (note_context == NULL || nnotes == 0)
		return;
	switch (event)
	{
		case SUBXACT_EVENT_COMMIT_SUB:
			first = notes_of_subxact(subid);
			for (int i = first; i < nnotes; i++)
				notes[i].subid = parent;
			notes_set_written(subid, parent);
			break;
		case SUBXACT_EVENT_ABORT_SUB:
			notes_truncate(notes_of_subxact(subid));
			notes_set_written(subid, InvalidSubTransactionId);
			break;
		default:
			break;
	}
}

/*
 * Called when a row's keys are noted: write them if that must not wait for
 * the end of the transaction.
 */
void
ec_notes_settle(void)
{
	if (committing)
		ec_notes_flush();
	else if (nnotes >= NOTES_MAX)
	{
		int			first = notes_of_subxact(GetCurrentSubTransactionId());

		notes_write(first, first);
	}
}

/*
 * Called once per process, by _PG_init().
 */
void
ec_notes_init(void)
{
	RegisterXactCallback(notes_xact_callback, NULL);
	RegisterSubXactCallback(notes_subxact_callback, NULL);
}

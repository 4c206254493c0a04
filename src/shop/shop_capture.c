/*-------------------------------------------------------------------------
 *
 * shop_capture.c
 *		The trigger on the shop's tables: note which key changed.
 *
 * A row trigger, because statement triggers do not fire when a logical
 * replication worker applies changes or a partition is written directly, and
 * because transition tables allow only one event a trigger.  What made row
 * triggers slow is not the call but what PL/pgSQL ones do in it: here a call
 * compares two tuples, looks a key up in a hash table and returns.
 *
 *	 row changed  -> note (tap, key) in memory, once per transaction
 *	 savepoint rolled back -> its notes are forgotten
 *	 before commit, before prepare, or when tick() asks
 *				  -> rows (time, tap, keys[]) appended to ecauto_data.change_log
 *	 committed	  -> the worker is woken
 *
 * A "tap" is a pair of table and noted column; its number, the column's
 * attribute number and its name are the trigger's arguments ("3:1:id").  The
 * column is looked up by name, and by number if the name is gone, so it is
 * followed through a rename.
 *
 * The shop must never fail because of us.  Nothing of the shop's is run here,
 * the log has no index and no constraint, and it is written in a
 * subtransaction: if that fails, the failure is logged and remembered, the
 * next tick compares every key with what was seen, and the shop's transaction
 * goes on.  A noted column that is gone is noted as "every key" for the same
 * reason.
 *
 * The notes live in TopTransactionContext.  Those of the current
 * subtransaction are always at the end of the array, since a subtransaction
 * that ends gives them to its parent or takes them away.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "shop/shop.h"

PG_FUNCTION_INFO_V1(ecauto_capture);

/*
 * A row of the log must fit a page, and has no TOAST table to go to (storage
 * of its array is PLAIN).  A key that is too long is noted as "every key".
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

/* One column that a trigger notes. */
typedef struct Tap
{
	int			number;
	AttrNumber	attnum;			/* InvalidAttrNumber: the column is gone */
	Oid			type;			/* base type of the column */
	FmgrInfo	output;			/* unless written out by hand below */
} Tap;

/* What we know of a trigger; kept until its table changes. */
typedef struct TapList
{
	Oid			trigger;		/* hash key, must be first */
	Oid			relation;
	bool		valid;
	int			ntaps;
	Tap		   *taps;			/* in tap_context */
} TapList;

typedef struct Note
{
	int			tap;
	int			len;			/* of key, -1 for "every key" */
	char	   *key;
	SubTransactionId subid;
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

static HTAB *tap_lists = NULL;
static MemoryContext tap_context = NULL;

/* of the current transaction, all in note_context */
static MemoryContext note_context = NULL;
static Note *notes;
static int	nnotes;
static int	notes_size;
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
 * "every key".
 */
static void
note_add(int tap, const char *key, int len)
{
	NoteKey		look = {tap, len, key};
	uint32		hash = note_key_hash(look);
	Note	   *note;

	if (note_context == NULL)
		notes_begin();

	for (uint32 i = hash & slots_mask; slots[i].place; i = (i + 1) & slots_mask)
		if (slots[i].hash == hash && note_key_equal(look, slots[i].place - 1))
			return;

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

/* Write notes[first ..] to the log; raises. */
static void
log_write(int first)
{
	int			n = nnotes - first;
	Note	  **order = MemoryContextAllocHuge(CurrentMemoryContext, n * sizeof(Note *));
	ArrayType  *keys = palloc(LOG_ROW_BYTES);
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "ecauto log row",
													  ALLOCSET_DEFAULT_SIZES);
	LogWriter	writer;
	EcAs		as;
	bool		sorted = true;
	int			i = 0;

	for (int k = 0; k < n; k++)
	{
		order[k] = &notes[first + k];
		sorted = sorted && (k == 0 || order[k - 1]->tap <= order[k]->tap);
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
 * Write notes[first ..] and forget them.  Never raises, but for a cancel or
 * shutdown that arrives meanwhile.
 */
static void
notes_write(int first)
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
	notes_truncate(first);
}

/*
 * Write what this transaction has noted so far, so that a tick in the same
 * transaction sees it.
 */
void
ec_capture_flush(void)
{
	if (note_context != NULL)
		notes_write(0);
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

static void
capture_xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			/* what other callbacks still write is noted and flushed at once */
			committing = true;
			ec_capture_flush();
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

static void
capture_subxact_callback(SubXactEvent event, SubTransactionId subid,
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
			break;
		case SUBXACT_EVENT_ABORT_SUB:
			notes_truncate(notes_of_subxact(subid));
			break;
		default:
			break;
	}
}

/* ---- the trigger ---- */

/* Relcache callback: somebody may hold a pointer to an entry, so only mark. */
static void
capture_relcache_callback(Datum arg, Oid relation)
{
	HASH_SEQ_STATUS scan;
	TapList    *list;

	if (tap_lists == NULL)
		return;
	hash_seq_init(&scan, tap_lists);
	while ((list = hash_seq_search(&scan)) != NULL)
		if (!OidIsValid(relation) || list->relation == relation)
			list->valid = false;
}

/*
 * Current number of the column that an argument "tap:attnum:name" speaks of,
 * in the relation the trigger fired on; InvalidAttrNumber if it is gone.
 *
 * A partition may number its columns otherwise than the table the trigger was
 * made on, so a renamed column is found there first.
 */
static AttrNumber
tap_column(Relation rel, const Trigger *trigger, AttrNumber attnum, const char *name)
{
	AttrNumber	found = get_attnum(RelationGetRelid(rel), name);
	Oid			origin = RelationGetRelid(rel);
	char	   *renamed;

	if (found > 0)
		return found;
	if (trigger->tgisclone)
	{
		List	   *ancestors = get_partition_ancestors(origin);

		if (ancestors == NIL)
			return InvalidAttrNumber;
		origin = llast_oid(ancestors);
		list_free(ancestors);
	}
	renamed = get_attname(origin, attnum, true);
	return renamed == NULL ? InvalidAttrNumber : get_attnum(RelationGetRelid(rel), renamed);
}

/* Can the type be written out without running code that may fail? */
static bool
tap_type_is_safe(Oid type)
{
	return type < FirstNormalObjectId || get_typtype(type) == TYPTYPE_ENUM;
}

static TapList *
tap_list_get(const TriggerData *data)
{
	static TapList *last = NULL;	/* entries never move nor go away */
	const Trigger *trigger = data->tg_trigger;
	TapList    *list;
	bool		found;

	if (tap_lists == NULL)
	{
		HASHCTL		ctl = {0};

		tap_context = AllocSetContextCreate(TopMemoryContext, "ecauto capture triggers",
											ALLOCSET_SMALL_SIZES);
		ctl.keysize = sizeof(Oid);
		ctl.entrysize = sizeof(TapList);
		ctl.hcxt = tap_context;
		tap_lists = hash_create("ecauto capture triggers", 32, &ctl,
								HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}

	/* most often it is the trigger that fired last */
	if (last != NULL && last->valid && last->trigger == trigger->tgoid)
		return last;
	list = last = hash_search(tap_lists, &trigger->tgoid, HASH_ENTER, &found);
	if (!found)
	{
		list->taps = NULL;
		list->valid = false;
	}
	if (list->valid)
		return list;

	if (list->taps != NULL)
		pfree(list->taps);
	list->relation = RelationGetRelid(data->tg_relation);
	list->taps = NULL;
	list->ntaps = 0;
	list->valid = true;			/* first, since the look-ups below may invalidate it */
	list->taps = MemoryContextAllocZero(tap_context, Max(trigger->tgnargs, 1) * sizeof(Tap));
	for (int i = 0; i < trigger->tgnargs; i++)
	{
		Tap		   *tap = &list->taps[list->ntaps];
		int			attnum;
		int			name_at = 0;

		if (sscanf(trigger->tgargs[i], "%d:%d:%n", &tap->number, &attnum, &name_at) != 2 ||
			name_at == 0)
			continue;			/* not written by attach_shop() */
		tap->attnum = tap_column(data->tg_relation, trigger, (AttrNumber) attnum,
								 trigger->tgargs[i] + name_at);
		if (tap->attnum != InvalidAttrNumber)
		{
			TupleDesc	desc = RelationGetDescr(data->tg_relation);
			Oid			output;
			bool		varlena;

			tap->type = getBaseType(TupleDescAttr(desc, tap->attnum - 1)->atttypid);
			if (tap_type_is_safe(tap->type))
			{
				getTypeOutputInfo(tap->type, &output, &varlena);
				fmgr_info_cxt(output, &tap->output, tap_context);
			}
			else
				tap->attnum = InvalidAttrNumber;
		}
		list->ntaps++;
	}
	return list;
}

/* Note the key of one version of a row. */
static void
tap_note(const Tap *tap, HeapTuple tuple, TupleDesc desc)
{
	Datum		value;
	bool		isnull;
	char		buffer[MAXINT8LEN + 1];
	const char *key = buffer;
	char	   *allocated = NULL;
	int			len;

	if (tap->attnum == InvalidAttrNumber)
	{
		note_add(tap->number, NULL, -1);
		return;
	}
	value = heap_getattr(tuple, tap->attnum, desc, &isnull);
	if (isnull)
		return;					/* filled in later; that will be noted */

	switch (tap->type)
	{
		case INT4OID:
			len = pg_ltoa(DatumGetInt32(value), buffer);
			break;
		case INT8OID:
			len = pg_lltoa(DatumGetInt64(value), buffer);
			break;
		case TEXTOID:
		case VARCHAROID:
			{
				struct varlena *text = PG_DETOAST_DATUM_PACKED(value);

				key = VARDATA_ANY(text);
				len = VARSIZE_ANY_EXHDR(text);
				if ((Pointer) text != DatumGetPointer(value))
					allocated = (char *) text;
				break;
			}
		default:
			key = allocated = OutputFunctionCall((FmgrInfo *) &tap->output, value);
			len = strlen(key);
			break;
	}
	if (len > EC_KEY_MAX)
		note_add(tap->number, NULL, -1);
	else
		note_add(tap->number, key, len);
	if (allocated != NULL)
		pfree(allocated);
}

/*
 * Do two versions of a row have the same key, byte for byte?
 */
static bool
tap_unchanged(const Tap *tap, HeapTuple old, HeapTuple new, TupleDesc desc)
{
	Form_pg_attribute att;
	Datum		values[2];
	bool		nulls[2];

	if (tap->attnum == InvalidAttrNumber)
		return true;			/* noted as "every key" already */
	att = TupleDescAttr(desc, tap->attnum - 1);
	values[0] = heap_getattr(old, tap->attnum, desc, &nulls[0]);
	values[1] = heap_getattr(new, tap->attnum, desc, &nulls[1]);
	return nulls[0] == nulls[1] &&
		(nulls[0] || datumIsEqual(values[0], values[1], att->attbyval, att->attlen));
}

/*
 * Are two versions of a row the same, byte for byte?  (What
 * suppress_redundant_updates_trigger() asks.)
 */
static bool
rows_equal(HeapTuple left, HeapTuple right)
{
	HeapTupleHeader a = left->t_data;
	HeapTupleHeader b = right->t_data;

	return left->t_len == right->t_len && a->t_hoff == b->t_hoff &&
		HeapTupleHeaderGetNatts(a) == HeapTupleHeaderGetNatts(b) &&
		(a->t_infomask & ~HEAP_XACT_MASK) == (b->t_infomask & ~HEAP_XACT_MASK) &&
		memcmp((char *) a + SizeofHeapTupleHeader, (char *) b + SizeofHeapTupleHeader,
			   left->t_len - SizeofHeapTupleHeader) == 0;
}

/*
 * ecauto.capture() returns trigger
 *
 * AFTER INSERT OR UPDATE OR DELETE FOR EACH ROW, or AFTER TRUNCATE.
 * Arguments: "tap:attnum:column", one for each noted column.
 */
Datum
ecauto_capture(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	TapList    *list;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("ecauto.capture() must be called by an AFTER trigger"),
				 errhint("ecauto.attach_shop() creates the triggers.")));

	if (TRIGGER_FIRED_BY_UPDATE(data->tg_event) && TRIGGER_FIRED_FOR_ROW(data->tg_event) &&
		rows_equal(data->tg_trigtuple, data->tg_newtuple))
		return PointerGetDatum(NULL);

	list = tap_list_get(data);
	for (int i = 0; i < list->ntaps; i++)
	{
		const Tap  *tap = &list->taps[i];

		if (!TRIGGER_FIRED_FOR_ROW(data->tg_event))
			note_add(tap->number, NULL, -1);
		else
		{
			TupleDesc	desc = RelationGetDescr(data->tg_relation);

			tap_note(tap, data->tg_trigtuple, desc);
			if (TRIGGER_FIRED_BY_UPDATE(data->tg_event) &&
				!tap_unchanged(tap, data->tg_trigtuple, data->tg_newtuple, desc))
				tap_note(tap, data->tg_newtuple, desc);
		}
	}

	if (committing)
		ec_capture_flush();
	else if (nnotes >= NOTES_MAX)
		notes_write(notes_of_subxact(GetCurrentSubTransactionId()));
	return PointerGetDatum(NULL);
}

/*
 * Called once per process, by _PG_init().
 */
void
ec_capture_init(void)
{
	RegisterXactCallback(capture_xact_callback, NULL);
	RegisterSubXactCallback(capture_subxact_callback, NULL);
	CacheRegisterRelcacheCallback(capture_relcache_callback, (Datum) 0);
}

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
 * shop_note.c says what becomes of the notes.
 *
 * A "tap" is a pair of table and noted column; its number, the column's
 * attribute number and its name are the trigger's arguments ("3:1:id").  The
 * column is looked up by name, and by number if the name is gone, so it is
 * followed through a rename.
 *
 * The shop must never fail because of us.  Nothing of the shop's is run here,
 * and a noted column that is gone is noted as "every key".
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/htup_details.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "shop/shop.h"

PG_FUNCTION_INFO_V1(ecauto_capture);

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

static HTAB *tap_lists = NULL;
static MemoryContext tap_context = NULL;
static bool invalidated;		/* has any entry been marked while one was made? */

/* Relcache callback: somebody may hold a pointer to an entry, so only mark. */
static void
capture_relcache_callback(Datum arg, Oid relation)
{
	HASH_SEQ_STATUS scan;
	TapList    *list;

	if (tap_lists == NULL)
		return;
	invalidated = true;
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

/*
 * Can the type be written out without running code that may fail, and the
 * same under all settings (DateStyle, extra_float_digits, ...)?
 */
static bool
tap_type_is_safe(Oid type)
{
	switch (type)
	{
		case DATEOID:
		case TIMEOID:
		case TIMETZOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case INTERVALOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case MONEYOID:
		case BYTEAOID:
			return false;
		default:
			return type < FirstNormalObjectId || get_typtype(type) == TYPTYPE_ENUM;
	}
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
	invalidated = false;
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
	/* not before it is whole, and not if the look-ups have invalidated it */
	list->valid = !invalidated;
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
		ec_note_add(tap->number, NULL, -1);
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
		case BPCHAROID:
			{
				struct varlena *text = PG_DETOAST_DATUM_PACKED(value);

				key = VARDATA_ANY(text);
				len = VARSIZE_ANY_EXHDR(text);
				if (tap->type == BPCHAROID)
					len = bpchartruelen(unconstify(char *, key), len);	/* as a cast to text does */
				if ((Pointer) text != DatumGetPointer(value))
					allocated = (char *) text;
				break;
			}
		default:
			key = allocated = OutputFunctionCall((FmgrInfo *) &tap->output, value);
			len = strlen(key);
			break;
	}
	ec_note_add(tap->number, key, len);
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
			ec_note_add(tap->number, NULL, -1);
		else
		{
			TupleDesc	desc = RelationGetDescr(data->tg_relation);

			tap_note(tap, data->tg_trigtuple, desc);
			if (TRIGGER_FIRED_BY_UPDATE(data->tg_event) &&
				!tap_unchanged(tap, data->tg_trigtuple, data->tg_newtuple, desc))
				tap_note(tap, data->tg_newtuple, desc);
		}
	}

	ec_notes_settle();
	return PointerGetDatum(NULL);
}

/*
 * Called once per process, by _PG_init().
 */
void
ec_capture_init(void)
{
	ec_notes_init();
	CacheRegisterRelcacheCallback(capture_relcache_callback, (Datum) 0);
}

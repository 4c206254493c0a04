/*-------------------------------------------------------------------------
 *
 * event_tick.c
 *		The tick's first phase: from the change log to events.
 *
 *	 1. take the notes that have rested for ecauto.settle_time from the log;
 *	 2. turn them into keys of roles (a tap may serve several roles, and a
 *		source may need a query to find its keys);
 *	 3. for each role, read what the shop has now under these keys, by the
 *		role's query, as its definer;
 *	 4. compare with what was seen, and write the difference as events
 *		(event_diff.c).
 *
 * All of it is set-wise: the number of statements depends on the number of
 * roles, not of keys.  A role that is to be resynced goes the same way with
 * all of its keys; the first time this happens its history is loaded and no
 * events are written.
 *
 * A role whose query fails (the shop was migrated) is marked broken and left
 * out; the others go on.  Since it is also marked for resync, the edges missed
 * meanwhile appear, once, in the first tick that can read it again.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "event/event.h"
#include "shop/shop.h"

/* keys that one statement takes; more go in several */
#define KEYS_PER_STATEMENT 100000

/* above this, a kept plan made for few keys is not to be trusted */
#define KEYS_FOR_KEPT_PLAN 1000

/* memory for each sort and hash of a comparison, in kB: KEYS_PER_STATEMENT fit */
#define WORK_MEM_KB 65536

/* how long a worker leaves a broken role alone, in ms */
#define BROKEN_REST 5000

/* What is to be compared of one role. */
typedef struct RoleWork
{
	const EcDiff *diff;
	bool		all;			/* every key */
	Datum	   *keys;			/* text, with repetitions */
	int			nkeys;
	int			size;
} RoleWork;

typedef struct TickWork
{
	MemoryContext context;		/* lives as long as the phase */
	RoleWork   *roles;			/* ec_ndiffs of them */
} TickWork;

/* One tap's share of the log. */
typedef struct TapNotes
{
	int			tap;
	bool		all;			/* every key may have changed */
	Datum	   *keys;			/* text, with repetitions */
	int			nkeys;
	int			size;
} TapNotes;

/* ---- taking notes from the log ---- */

static TapNotes *
notes_of_tap(List **list, int tap)
{
	TapNotes   *notes;
	ListCell   *lc;

	foreach(lc, *list)
	{
		notes = lfirst(lc);
		if (notes->tap == tap)
			return notes;
	}
	notes = palloc0(sizeof(TapNotes));
	notes->tap = tap;
	*list = lappend(*list, notes);
	return notes;
}

/* Make room for n more elements of an array that lives in the current context. */
static void
keys_reserve(Datum **keys, int *size, int used, int n)
{
	int			needed = used + n;

	if (needed <= *size)
		return;
	*size = Max(needed, *size * 2);
	*keys = *keys == NULL
		? MemoryContextAllocHuge(CurrentMemoryContext, *size * sizeof(Datum))
		: repalloc_huge(*keys, *size * sizeof(Datum));
}

/* Add one row of the log; the array is copied into the current context. */
static void
notes_add(TapNotes *notes, Datum keys, bool isnull, EcTick *tick)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	if (isnull)
	{
		notes->all = true;
		tick->noted++;
		return;
	}
	deconstruct_array(DatumGetArrayTypePCopy(keys), TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, &nulls, &n);
	keys_reserve(&notes->keys, &notes->size, notes->nkeys, n);
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			notes->keys[notes->nkeys++] = elements[i];
	tick->noted += n;
}

/*
 * Take the notes that have rested long enough; returns a list of TapNotes.
 */
static List *
notes_take(EcTick *tick)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	Datum		args[1];
	List	   *result = NIL;
	MemoryContext outer = CurrentMemoryContext;
	SPITupleTable *table;
	SPIPlanPtr	plan;
	EcAs		as;

	ec_capture_flush();
	/* rows rest by the system's clock: what is waited for is other processes */
	args[0] = TimestampTzGetDatum(GetCurrentTimestamp() - (int64) ec_guc_settle_time * 1000);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	plan = ec_plan("DELETE FROM ecauto_data.change_log WHERE at <= $1 RETURNING tap, keys",
				   1, types);
	if (SPI_execute_plan(plan, args, NULL, false, 0) != SPI_OK_DELETE_RETURNING)
		elog(ERROR, "could not take notes from the change log");
	table = SPI_tuptable;
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(outer);
		HeapTuple	tuple = table->vals[i];
		bool		isnull;
		int			tap = DatumGetInt32(SPI_getbinval(tuple, table->tupdesc, 1, &isnull));
		Datum		keys = SPI_getbinval(tuple, table->tupdesc, 2, &isnull);

		notes_add(notes_of_tap(&result, tap), keys, isnull, tick);
		MemoryContextSwitchTo(spi);
	}
	SPI_freetuptable(table);

	if (ec_guc_settle_time > 0)
	{
		bool		isnull;

		plan = ec_plan("SELECT pg_catalog.count(*) FROM ecauto_data.change_log WHERE at > $1",
					   1, types);
		if (SPI_execute_plan(plan, args, NULL, false, 0) != SPI_OK_SELECT || SPI_processed != 1)
			elog(ERROR, "could not count the change log");
		tick->pending = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
													1, &isnull));
	}
	ec_as_end(&as);
	SPI_finish();
	return result;
}

/* ---- from taps to roles ---- */

static RoleWork *
work_of_role(TickWork *work, const char *role)
{
	for (int i = 0; i < ec_ndiffs; i++)
		if (strcmp(ec_diffs[i].role, role) == 0)
			return &work->roles[i];
	return NULL;
}

/* EcSourceAdd: keys of a role are to be compared; NULL: all of them. */
static void
work_add(const char *role, ArrayType *keys, void *arg)
{
	TickWork   *work = arg;
	RoleWork   *rw = work_of_role(work, role);
	MemoryContext old;
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	if (rw == NULL)
		return;					/* nothing is derived from this role */
	if (keys == NULL)
	{
		rw->all = true;
		return;
	}

	old = MemoryContextSwitchTo(work->context);
	deconstruct_array((ArrayType *) PG_DETOAST_DATUM_COPY(PointerGetDatum(keys)),
					  TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	keys_reserve(&rw->keys, &rw->size, rw->nkeys, n);
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			rw->keys[rw->nkeys++] = elements[i];
	MemoryContextSwitchTo(old);
}

/* ---- reading the shop and comparing ---- */

/* Errors that say nothing about the role's query, but about this moment. */
static bool
error_is_passing(int code)
{
	int			class = ERRCODE_TO_CATEGORY(code);

	return class == ERRCODE_TO_CATEGORY(ERRCODE_TRANSACTION_ROLLBACK) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_SYSTEM_ERROR) ||
		code == ERRCODE_LOCK_NOT_AVAILABLE;
}

/* What the shop has now, as it goes into a comparison. */
typedef struct ShopNow
{
	Tuplestorestate *store;
	TupleDesc	desc;
	int64		nrows;
} ShopNow;

/*
 * Read what the shop has now.  Returns NULL if that worked, else the error
 * that it raised; passing errors go on to the caller.
 */
static ErrorData *
shop_read(const EcBinding *binding, const char *by, ArrayType *keys, ShopNow *now)
{
	MemoryContext old_context = CurrentMemoryContext;
	ResourceOwner old_owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction("ecauto role");
	MemoryContextSwitchTo(old_context);
	PG_TRY();
	{
		now->store = ec_binding_fetch(binding, by, keys, 0, &now->desc, &now->nrows);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old_context);
		CurrentResourceOwner = old_owner;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old_context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old_context);
		CurrentResourceOwner = old_owner;
		if (error_is_passing(error->sqlerrcode))
			ReThrowError(error);
	}
	PG_END_TRY();
	return error;
}

/* What the keys of the shop's rows are like. */
typedef struct KeysLook
{
	int64		different;		/* how many different ones there are */
	char	   *repeated;		/* one that several rows have, or NULL */
	int			too_long;		/* length of one that is too long, or 0 */
} KeysLook;

static KeysLook
keys_look(const ShopNow *now)
{
	KeysLook	look = {0};
	TupleTableSlot *slot = MakeSingleTupleTableSlot(now->desc, &TTSOpsMinimalTuple);
	EcKeySet   *set = ec_keys_create(now->nrows);
	int			reader = tuplestore_alloc_read_pointer(now->store, EXEC_FLAG_REWIND);

	tuplestore_select_read_pointer(now->store, reader);
	tuplestore_rescan(now->store);
	while (tuplestore_gettupleslot(now->store, true, false, slot))
	{
		bool		isnull;
		Datum		value = slot_getattr(slot, 1, &isnull);
		text	   *key;

		if (isnull)
			continue;
		key = DatumGetTextPCopy(value);
		if (VARSIZE_ANY_EXHDR(key) > EC_KEY_MAX)
			look.too_long = VARSIZE_ANY_EXHDR(key);
		if (!ec_keys_put(set, key) && look.repeated == NULL)
			look.repeated = text_to_cstring(key);
	}
	tuplestore_select_read_pointer(now->store, 0);
	look.different = ec_keys_count(set);
	ExecDropSingleTupleTableSlot(slot);
	return look;
}

/* The error of a role whose keys cannot be told apart. */
static ErrorData *
error_of_keys(int code, char *message)
{
	ErrorData  *error = palloc0(sizeof(ErrorData));

	error->elevel = ERROR;
	error->sqlerrcode = code;
	error->message = message;
	error->assoc_context = CurrentMemoryContext;
	return error;
}

static void
relation_register(const char *name, const ShopNow *now)
{
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));

	enr->md.name = pstrdup(name);
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = now->desc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = now->nrows;
	enr->reldata = now->store;
	if (SPI_register_relation(enr) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register relation \"%s\"", name);
}

/*
 * Let a comparison of many keys work in memory; ec_as_end() undoes it.
 */
static void
work_mem_raise(void)
{
	if (work_mem < WORK_MEM_KB)
		(void) set_config_option("work_mem", CppAsString2(WORK_MEM_KB), PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Compare rows of the shop with what was seen.  keys: NULL for all.
 * Returns the number of events.
 */
static int64
diff_run(const EcDiff *diff, const char *text, const char *join,
		 const ShopNow *now, const ShopNow *lines,
		 ArrayType *keys, int nkeys, TimestampTz at, bool silent)
{
	static const Oid types[] = {TEXTARRAYOID, TIMESTAMPTZOID, BOOLOID};
	Datum		args[3];
	char		nulls[] = "   ";
	char	   *statement;
	int64		events;
	EcAs		as;

	args[0] = PointerGetDatum(keys);
	nulls[0] = keys == NULL ? 'n' : ' ';
	args[1] = TimestampTzGetDatum(at);
	args[2] = BoolGetDatum(silent);
	statement = psprintf(text, join);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	relation_register("shop_now", now);
	if (diff->lines_role != NULL)
		relation_register("shop_lines", lines);
	work_mem_raise();
	if (keys != NULL && nkeys <= KEYS_FOR_KEPT_PLAN)
	{
		if (SPI_execute_plan(ec_plan(statement, 3, types), args, nulls, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not compare role \"%s\"", diff->role);
	}
	else if (SPI_execute_with_args(statement, 3, (Oid *) types, args, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not compare role \"%s\"", diff->role);
	events = SPI_processed;
	ec_as_end(&as);
	SPI_finish();
	return events;
}

/*
 * How to join what was seen to what the shop has.  If it has a row for each
 * of the keys, none can have vanished, and nothing needs to be looked for
 * that is not joined; that is the rule, and much the fastest way.
 */
static char *
seen_join(const EcDiff *diff, bool by_key, bool all_there)
{
	if (!by_key)
		return psprintf("FULL JOIN ecauto_data.%s", diff->seen);
	if (all_there)
		return psprintf("LEFT JOIN ecauto_data.%s", diff->seen);
	return psprintf("FULL JOIN (SELECT ctid, * FROM ecauto_data.%s WHERE key = ANY ($1))", diff->seen);
}

/*
 * Read and compare one role under some keys (NULL: all).  Returns the error
 * that broke the role, or NULL.
 */
static ErrorData *
role_compare(EcTick *tick, const EcDiff *diff, const EcBinding *binding,
			 Datum *keys, int nkeys, bool silent)
{
	ArrayType  *array = NULL;
	ShopNow		now = {0};
	ShopNow		lines = {0};
	ErrorData  *error;
	const char *statement;
	KeysLook	look;

	if (keys != NULL)
		array = construct_array(keys, nkeys, TEXTOID, -1, false, TYPALIGN_INT);

	error = shop_read(binding, "key", array, &now);
	if (error != NULL)
		return error;
	if (diff->lines_role != NULL)
	{
		EcBinding  *parts = ec_binding_get(diff->lines_role);

		error = parts == NULL ? NULL : shop_read(parts, diff->lines_by, array, &lines);
		if (error != NULL || parts == NULL)
		{
			/* compare without the parts; check_shop() tells that they are missing */
			lines.desc = ec_role_tupdesc(ec_role_get(diff->lines_role));
			lines.store = tuplestore_begin_heap(false, false, work_mem);
			if (error != NULL)
				ec_binding_set_broken(diff->lines_role, error);
		}
		else if (parts->broken)
			ec_binding_set_healed(diff->lines_role);
	}

	look = keys_look(&now);
	statement = diff->one_row && look.repeated != NULL ? diff->repeated : diff->statement;
	if (look.too_long > 0)
		error = error_of_keys(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
							  psprintf("the query of role \"%s\" returns a key of %d bytes, and keys have %d at most",
									   diff->role, look.too_long, EC_KEY_MAX));
	else if (statement == NULL)
		error = error_of_keys(ERRCODE_CARDINALITY_VIOLATION,
							  psprintf("the query of role \"%s\" returns key \"%s\" more than once",
									   diff->role, look.repeated));
	if (error != NULL)
	{
		tuplestore_end(now.store);
		if (lines.store != NULL)
			tuplestore_end(lines.store);
		return error;
	}

	tick->keys += keys == NULL ? now.nrows : nkeys;
	tick->events += diff_run(diff, statement,
							 seen_join(diff, keys != NULL, diff->one_row && look.different == nkeys),
							 &now, &lines, array, nkeys, tick->at, silent);
	tuplestore_end(now.store);
	if (lines.store != NULL)
		tuplestore_end(lines.store);
	return NULL;
}

/* Has the history of a role been loaded? */
static bool
role_is_loaded(const char *role, bool mark, TimestampTz at)
{
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID};
	Datum		args[2];
	bool		found;
	EcAs		as;

	args[0] = CStringGetTextDatum(role);
	args[1] = TimestampTzGetDatum(at);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (mark)
	{
		if (SPI_execute_plan(ec_plan("INSERT INTO ecauto_data.role_seen (role, loaded_at) "
									 "VALUES ($1, $2) ON CONFLICT (role) DO NOTHING", 2, types),
							 args, NULL, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not mark role \"%s\" as loaded", role);
		found = true;
	}
	else
	{
		if (SPI_execute_plan(ec_plan("SELECT FROM ecauto_data.role_seen WHERE role = $1", 1, types),
							 args, NULL, false, 1) != SPI_OK_SELECT)
			elog(ERROR, "could not look up role \"%s\"", role);
		found = SPI_processed > 0;
	}
	ec_as_end(&as);
	SPI_finish();
	return found;
}

/*
 * Read and compare what is to be compared of one role.
 */
static void
role_run(EcTick *tick, RoleWork *rw)
{
	static TimestampTz broken_seen[64];
	int			place = rw->diff - ec_diffs;
	const char *role = rw->diff->role;
	EcBinding  *binding = ec_binding_get(role);
	ErrorData  *error = NULL;
	bool		loaded;

	if (binding == NULL)
		return;
	if (binding->resync)
		rw->all = true;
	if (!rw->all && rw->nkeys == 0)
		return;
	if (binding->broken && MyBackendType == B_BG_WORKER &&
		!TimestampDifferenceExceeds(broken_seen[place], GetCurrentTimestamp(), BROKEN_REST))
	{
		ec_binding_set_resync(role, true);
		return;
	}

	loaded = role_is_loaded(role, false, tick->at);
	if (!loaded)
		rw->all = true;

	if (rw->all)
		error = role_compare(tick, rw->diff, binding, NULL, 0, !loaded || tick->silent);
	else
	{
		rw->nkeys = ec_keys_unique(rw->keys, rw->nkeys);
		for (int i = 0; i < rw->nkeys && error == NULL; i += KEYS_PER_STATEMENT)
		{
			CHECK_FOR_INTERRUPTS();
			error = role_compare(tick, rw->diff, binding, rw->keys + i,
								 Min(KEYS_PER_STATEMENT, rw->nkeys - i), false);
		}
	}

	if (error != NULL)
	{
		if (!binding->broken)
			ereport(LOG,
					(errcode(error->sqlerrcode),
					 errmsg("ecauto cannot read role \"%s\" any more: %s", role, error->message),
					 errhint("SELECT * FROM ecauto.check_shop() says more; bind the role again with ecauto.bind_role().")));
		ec_binding_set_broken(role, error);
		ec_binding_set_resync(role, true);
		broken_seen[place] = GetCurrentTimestamp();
		return;
	}
	if (!loaded)
		(void) role_is_loaded(role, true, tick->at);
	if (binding->broken)
		ec_binding_set_healed(role);
	if (binding->resync)
		ec_binding_set_resync(role, false);
}

/*
 * Phase of the tick; see the top of the file.
 */
void
ec_event_tick(EcTick *tick)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ecauto event tick",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	MemoryContext role_context;
	TickWork	work;
	ListCell   *lc;

	work.context = context;
	work.roles = palloc0(ec_ndiffs * sizeof(RoleWork));
	for (int i = 0; i < ec_ndiffs; i++)
		work.roles[i].diff = &ec_diffs[i];

	if (ec_capture_failure_take())
		ec_binding_set_resync(NULL, true);

	foreach(lc, notes_take(tick))
	{
		TapNotes   *notes = lfirst(lc);
		ArrayType  *keys = NULL;

		if (!notes->all)
		{
			notes->nkeys = ec_keys_unique(notes->keys, notes->nkeys);
			keys = construct_array(notes->keys, notes->nkeys, TEXTOID, -1, false, TYPALIGN_INT);
		}
		ec_source_resolve(notes->tap, keys, work_add, &work);
	}

	ec_event_partition_ensure(tick->at);
	ec_uuid_next(tick->first_event);
	role_context = AllocSetContextCreate(context, "ecauto event role", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < ec_ndiffs; i++)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(role_context);
		role_run(tick, &work.roles[i]);
		MemoryContextReset(role_context);
	}
	ec_uuid_next(tick->last_event);

	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

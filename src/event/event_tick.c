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

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
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

	ec_notes_flush();
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

/* What the shop has now, as it goes into a comparison. */
typedef struct ShopNow
{
	Tuplestorestate *store;
	TupleDesc	desc;
	int64		nrows;
} ShopNow;

/* What shop_read() reads: a role's rows under some keys, or all (NULL). */
typedef struct ShopRead
{
	const EcBinding *binding;
	const char *by;
	ArrayType  *keys;
	ShopNow    *now;
} ShopRead;

/* EcTryRun */
static void
shop_read_run(void *arg)
{
	ShopRead   *read = arg;

	read->now->store = ec_binding_fetch(read->binding, read->by, read->keys, 0,
										&read->now->desc, &read->now->nrows);
}

/*
 * Read what the shop has now.  Returns NULL if that worked, else the error
 * that it raised; passing errors go on to the caller.
 */
static ErrorData *
shop_read(const EcBinding *binding, const char *by, ArrayType *keys, ShopNow *now)
{
	ShopRead	read = {binding, by, keys, now};

	return ec_try(shop_read_run, &read, true);
}

static void
shop_forget(ShopNow *now)
{
	if (now->store != NULL)
		tuplestore_end(now->store);
	now->store = NULL;
}

/* An error of a role's query that the query does not raise by itself. */
static ErrorData *
error_of_role(int code, char *message)
{
	ErrorData  *error = palloc0(sizeof(ErrorData));

	error->elevel = ERROR;
	error->sqlerrcode = code;
	error->message = message;
	error->assoc_context = CurrentMemoryContext;
	return error;
}

/*
 * Look through the keys of the shop's rows: how many different ones there
 * are, and one that several rows have (NULL if there is none; neither is
 * looked for if the role has several rows a key).  Returns an error if what
 * tells the rows apart is missing or too long to be remembered.
 */
static ErrorData *
keys_look(const EcDiff *diff, const ShopNow *now, int64 *different, char **repeated)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(now->desc, &TTSOpsMinimalTuple);
	EcKeySet   *set = diff->one_row ? ec_keys_create(now->nrows) : NULL;
	ErrorData  *error = NULL;
	int			reader = tuplestore_alloc_read_pointer(now->store, EXEC_FLAG_REWIND);

	*different = -1;
	*repeated = NULL;
	tuplestore_select_read_pointer(now->store, reader);
	tuplestore_rescan(now->store);
	while (error == NULL && tuplestore_gettupleslot(now->store, true, false, slot))
	{
		bool		isnull;
		text	   *key;

		CHECK_FOR_INTERRUPTS();
		for (int i = 1; i <= diff->nkeys && error == NULL; i++)
		{
			(void) slot_getattr(slot, i, &isnull);
			if (isnull)
				error = error_of_role(ERRCODE_NOT_NULL_VIOLATION,
									  psprintf("the query of role \"%s\" returns rows without %s", diff->role,
											   NameStr(TupleDescAttr(now->desc, i - 1)->attname)));
		}
		if (error != NULL)
			break;
		key = DatumGetTextPP(slot_getattr(slot, 1, &isnull));
		if (VARSIZE_ANY_EXHDR(key) > EC_KEY_MAX)
			error = error_of_role(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
								  psprintf("the query of role \"%s\" returns a key of %d bytes, and keys have %d at most",
										   diff->role, (int) VARSIZE_ANY_EXHDR(key), EC_KEY_MAX));
		else if (set != NULL && !ec_keys_put(set, DatumGetTextPCopy(PointerGetDatum(key))) &&
				 *repeated == NULL)
			*repeated = text_to_cstring(key);
	}
	tuplestore_select_read_pointer(now->store, 0);
	if (set != NULL)
		*different = ec_keys_count(set);
	ExecDropSingleTupleTableSlot(slot);
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

/* One comparison of rows of the shop with what was seen. */
typedef struct Comparison
{
	const EcDiff *diff;
	const char *statement;		/* with the join filled in */
	ShopNow		now;
	ShopNow		lines;
	ArrayType  *keys;			/* NULL: all */
	int			nkeys;
	TimestampTz at;
	bool		silent;
	int64		events;			/* out: events written */
} Comparison;

/* EcTryRun */
static void
comparison_run(void *arg)
{
	static const Oid types[] = {TEXTARRAYOID, TIMESTAMPTZOID, BOOLOID};
	Comparison *cmp = arg;
	Datum		args[3];
	char		nulls[] = "   ";
	int			rc;
	EcAs		as;

	args[0] = PointerGetDatum(cmp->keys);
	nulls[0] = cmp->keys == NULL ? 'n' : ' ';
	args[1] = TimestampTzGetDatum(cmp->at);
	args[2] = BoolGetDatum(cmp->silent);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	relation_register("shop_now", &cmp->now);
	if (cmp->diff->lines_role != NULL)
		relation_register("shop_lines", &cmp->lines);
	work_mem_raise();
	if (cmp->keys != NULL)
		ec_prefer_lookups();
	if (cmp->keys != NULL && cmp->nkeys <= KEYS_FOR_KEPT_PLAN)
		rc = SPI_execute_plan(ec_plan(cmp->statement, 3, types), args, nulls, false, 0);
	else
		rc = SPI_execute_with_args(cmp->statement, 3, (Oid *) types, args, nulls, false, 0);
	if (rc != SPI_OK_INSERT)
		elog(ERROR, "could not compare role \"%s\"", cmp->diff->role);
	cmp->events = SPI_processed;
	ec_as_end(&as);
	SPI_finish();
}

/*
 * How to join what was seen to what the shop has.  If it has a row for each
 * of the keys, none can have vanished, and nothing needs to be looked for
 * that is not joined; that is the rule, and much the fastest way.  Else what
 * was seen is found by the keys that were asked for (and may be gone) and
 * those that came back, which can be spelled otherwise.
 */
static char *
seen_join(const EcDiff *diff, bool by_key, bool all_there)
{
	if (!by_key)
		return psprintf("FULL JOIN ecauto_data.%s", diff->seen);
	if (all_there)
		return psprintf("LEFT JOIN ecauto_data.%s", diff->seen);
	return psprintf("FULL JOIN (SELECT ctid, * FROM ecauto_data.%s\n"
					"    WHERE key = ANY ($1 || ARRAY(SELECT key FROM shop_now)))", diff->seen);
}

static void
role_report_broken(const char *role, const ErrorData *error)
{
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("ecauto cannot follow role \"%s\" any more: %s", role, error->message),
			 errhint("SELECT * FROM ecauto.check_shop() says more; bind the role again with ecauto.bind_role().")));
}

/*
 * Read the rows of a role, and of its parts, under some keys (NULL: all) into
 * cmp.  Returns the error that broke the role, or NULL; *skip: its parts are
 * broken, so that it cannot be compared now.
 */
static ErrorData *
role_read(Comparison *cmp, const EcBinding *binding, bool *skip)
{
	const EcDiff *diff = cmp->diff;
	EcBinding  *parts = diff->lines_role == NULL ? NULL : ec_binding_get(diff->lines_role);

	*skip = false;
	if (parts != NULL)
	{
		ErrorData  *error = shop_read(parts, diff->lines_by, cmp->keys, &cmp->lines);

		if (error != NULL)
		{
			if (!parts->broken)
				role_report_broken(diff->lines_role, error);
			ec_binding_set_broken(diff->lines_role, error);
			*skip = true;
			return NULL;
		}
		if (parts->broken)
			ec_binding_set_healed(diff->lines_role);
	}
	else if (diff->lines_role != NULL)
	{
		/* a shop that does not tell of the parts */
		cmp->lines.desc = ec_role_tupdesc(ec_role_get(diff->lines_role));
		cmp->lines.store = tuplestore_begin_heap(false, false, work_mem);
	}
	return shop_read(binding, "key", cmp->keys, &cmp->now);
}

/*
 * Read and compare one role under some keys (NULL: all).  Returns the error
 * that broke the role, or NULL.  *skip: as role_read().
 *
 * Comparing can fail by what the shop has (a key too long for an index); that
 * too must not hold up the other roles.
 */
static ErrorData *
role_compare(EcTick *tick, const EcDiff *diff, const EcBinding *binding,
			 Datum *keys, int nkeys, bool silent, bool *skip)
{
	Comparison	cmp = {diff};
	ErrorData  *error;
	const char *statement = diff->statement;
	char	   *repeated = NULL;
	int64		different;

	if (keys != NULL)
		cmp.keys = construct_array(keys, nkeys, TEXTOID, -1, false, TYPALIGN_INT);
	cmp.nkeys = nkeys;
	cmp.at = tick->at;
	cmp.silent = silent;

	error = role_read(&cmp, binding, skip);
	if (error == NULL && !*skip)
		error = keys_look(diff, &cmp.now, &different, &repeated);
	if (error == NULL && !*skip && repeated != NULL)
	{
		statement = diff->repeated;
		if (statement == NULL)
			error = error_of_role(ERRCODE_CARDINALITY_VIOLATION,
								  psprintf("the query of role \"%s\" returns key \"%s\" more than once",
										   diff->role, repeated));
	}
	if (error == NULL && !*skip)
	{
		cmp.statement = psprintf(statement, seen_join(diff, keys != NULL, different == nkeys));
		error = ec_try(comparison_run, &cmp, false);
	}
	if (error == NULL && !*skip)
	{
		tick->keys += keys == NULL ? cmp.now.nrows : nkeys;
		tick->events += cmp.events;
	}
	shop_forget(&cmp.now);
	shop_forget(&cmp.lines);
	return error;
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
	bool		skip = false;
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

	ec_progress_phase(psprintf("event: %s", role), rw->all ? 0 : rw->nkeys);
	if (rw->all)
		error = role_compare(tick, rw->diff, binding, NULL, 0, !loaded || tick->silent, &skip);
	else
	{
		MemoryContext chunk = AllocSetContextCreate(CurrentMemoryContext, "ecauto event keys",
													ALLOCSET_DEFAULT_SIZES);

		rw->nkeys = ec_keys_unique(rw->keys, rw->nkeys);
		for (int i = 0; i < rw->nkeys && error == NULL && !skip; i += KEYS_PER_STATEMENT)
		{
			MemoryContext old;

			CHECK_FOR_INTERRUPTS();
			MemoryContextReset(chunk);
			old = MemoryContextSwitchTo(chunk);
			error = role_compare(tick, rw->diff, binding, rw->keys + i,
								 Min(KEYS_PER_STATEMENT, rw->nkeys - i), false, &skip);
			ec_progress_advance(Min(KEYS_PER_STATEMENT, rw->nkeys - i));
			MemoryContextSwitchTo(old);
		}
	}

	if (error != NULL || skip)
	{
		if (error != NULL && !binding->broken)
			role_report_broken(role, error);
		if (error != NULL)
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

	MemoryContextSwitchTo(old); /* what was told lasts as long as the tick */
	ec_event_told_take(tick);
	MemoryContextSwitchTo(context);

	ec_event_partition_ensure_ahead(tick->at);
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

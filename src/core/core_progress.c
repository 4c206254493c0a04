/*-------------------------------------------------------------------------
 *
 * core_progress.c
 *		How far long work has come, for other sessions to see.
 *
 * Whatever works long says so: it begins, names its phases with the number of
 * things to do in each, counts them off, and ends.  ecauto.progress() shows
 * that in any session of the database, as pg_stat_progress_vacuum does for
 * the server's own work, and pg_cancel_backend() ends what takes too long.
 *
 * A piece of work may be part of another one: a tick that builds
 * recommendations, a forecast of all skus that first reads the demand.  Then
 * the inner one is what is seen until it ends.  Outer ones wait on a stack in
 * this process; the top of it is copied into a slot of shared memory.
 *
 * Errors: what was begun in a (sub)transaction ends with its abort, all with
 * the transaction and with the process, so nobody needs PG_TRY for this.
 *
 * Locking: one LWLock protects who holds which slot, and the words in it.  How
 * much is done is an atomic number that only its process writes, so counting
 * costs no more than a write to memory.
 *
 * Without ecauto in shared_preload_libraries there is no shared memory, and
 * nothing is shown; with more than PROGRESS_SLOTS pieces of work at a time, not
 * all are.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/xact.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "core/core.h"

#define PROGRESS_SLOTS 64

/* how deep works may be nested; what lies deeper is not shown */
#define PROGRESS_DEPTH 6

#define PROGRESS_TEXT 64

typedef struct Progress
{
	char		command[PROGRESS_TEXT];
	char		phase[PROGRESS_TEXT];	/* empty: none was named yet */
	TimestampTz started_at;
} Progress;

typedef struct ProgressSlot
{
	int			pid;			/* 0: free */
	Oid			database;
	Progress	what;
	pg_atomic_uint64 done;
	pg_atomic_uint64 total;		/* 0: not known */
} ProgressSlot;

typedef struct ProgressShared
{
	LWLock	   *lock;
	ProgressSlot slots[PROGRESS_SLOTS];
} ProgressShared;

/* One piece of work of this process. */
typedef struct ProgressLevel
{
	Progress	what;
	uint64		done;
	uint64		total;
	int			nest_level;		/* of the transaction it was begun in */
} ProgressLevel;

PG_FUNCTION_INFO_V1(ecauto_progress);
PG_FUNCTION_INFO_V1(ecauto_progress_begin);
PG_FUNCTION_INFO_V1(ecauto_progress_phase);
PG_FUNCTION_INFO_V1(ecauto_progress_advance);
PG_FUNCTION_INFO_V1(ecauto_progress_end);

static ProgressShared *shared = NULL;
static ProgressSlot *my_slot = NULL;
static ProgressLevel levels[PROGRESS_DEPTH];

/* pieces of work under way; those above PROGRESS_DEPTH are only counted */
static int	depth = 0;
static bool exit_registered = false;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

static void
progress_shmem_request(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(sizeof(ProgressShared));
	RequestNamedLWLockTranche("ecauto progress", 1);
}

static void
progress_shmem_startup(void)
{
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("ecauto progress", sizeof(ProgressShared), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(ProgressShared));
		for (int i = 0; i < PROGRESS_SLOTS; i++)
		{
			pg_atomic_init_u64(&shared->slots[i].done, 0);
			pg_atomic_init_u64(&shared->slots[i].total, 0);
		}
		shared->lock = &GetNamedLWLockTranche("ecauto progress")->lock;
	}
	LWLockRelease(AddinShmemInitLock);
}

/* ---- the slot ---- */

static void
slot_release(void)
{
	if (my_slot == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	my_slot->pid = 0;
	LWLockRelease(shared->lock);
	my_slot = NULL;
}

static void
slot_release_at_exit(int code, Datum arg)
{
	depth = 0;
	slot_release();
}

/* Show the piece of work on top of the stack; nothing if there is none. */
static void
slot_show(void)
{
	const ProgressLevel *top;

	if (depth == 0)
	{
		slot_release();
		return;
	}
	if (shared == NULL)
		return;
	top = &levels[Min(depth, PROGRESS_DEPTH) - 1];
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < PROGRESS_SLOTS && my_slot == NULL; i++)
	{
		if (shared->slots[i].pid == 0)
			my_slot = &shared->slots[i];
	}
	if (my_slot != NULL)
	{
		my_slot->pid = MyProcPid;
		my_slot->database = MyDatabaseId;
		my_slot->what = top->what;
		pg_atomic_write_u64(&my_slot->done, top->done);
		pg_atomic_write_u64(&my_slot->total, top->total);
	}
	LWLockRelease(shared->lock);
	if (my_slot != NULL && !exit_registered)
	{
		before_shmem_exit(slot_release_at_exit, 0);
		exit_registered = true;
	}
}

/* ---- errors ---- */

static void
progress_xact_callback(XactEvent event, void *arg)
{
	if (depth == 0 || event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE
		|| event == XACT_EVENT_PARALLEL_PRE_COMMIT)
		return;
	depth = 0;
	slot_release();
}

static void
progress_subxact_callback(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();
	int			before = depth;

	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	while (depth > 0 && levels[Min(depth, PROGRESS_DEPTH) - 1].nest_level >= level)
		depth--;
	if (depth < before)
		slot_show();
}

/*
 * Called when the library is loaded.
 */
void
ec_progress_init(void)
{
	RegisterXactCallback(progress_xact_callback, NULL);
	RegisterSubXactCallback(progress_subxact_callback, NULL);
	if (!process_shared_preload_libraries_in_progress)
		return;
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = progress_shmem_request;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = progress_shmem_startup;
}

/* ---- what works long calls ---- */

/*
 * A piece of work begins, by the name of its SQL function.  Every begin has an
 * end, unless an error comes between.
 */
void
ec_progress_begin(const char *command)
{
	ProgressLevel *level;

	if (depth++ >= PROGRESS_DEPTH)
		return;
	level = &levels[depth - 1];
	memset(level, 0, sizeof(ProgressLevel));
	strlcpy(level->what.command, command, PROGRESS_TEXT);
	level->what.started_at = GetCurrentTimestamp();
	level->nest_level = GetCurrentTransactionNestLevel();
	slot_show();
}

/*
 * The next part of it: so many things are to be done (0: not known), none is yet.
 */
void
ec_progress_phase(const char *phase, uint64 total)
{
	ProgressLevel *level;

	if (depth == 0 || depth > PROGRESS_DEPTH)
		return;
	level = &levels[depth - 1];
	strlcpy(level->what.phase, phase, PROGRESS_TEXT);
	level->done = 0;
	level->total = total;
	slot_show();
}

/*
 * So many more are done.  Cheap enough for a loop over rows.
 */
void
ec_progress_advance(uint64 n)
{
	if (depth == 0 || depth > PROGRESS_DEPTH)
		return;
	levels[depth - 1].done += n;
	if (my_slot != NULL)
		pg_atomic_write_u64(&my_slot->done, levels[depth - 1].done);
}

void
ec_progress_end(void)
{
	if (depth == 0)
		return;
	depth--;
	if (depth < PROGRESS_DEPTH)
		slot_show();
}

/* ---- SQL ---- */

/*
 * ecauto.progress(OUT pid int, OUT command text, OUT phase text, OUT done bigint,
 *				   OUT total bigint, OUT started_at timestamptz) RETURNS SETOF record
 *
 * What is under way in this database.
 */
Datum
ecauto_progress(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; shared != NULL && i < PROGRESS_SLOTS; i++)
	{
		ProgressSlot *slot = &shared->slots[i];
		Datum		values[6];
		bool		nulls[6] = {0};
		Progress	what;
		int			pid;

		LWLockAcquire(shared->lock, LW_SHARED);
		pid = slot->database == MyDatabaseId ? slot->pid : 0;
		what = slot->what;
		values[3] = Int64GetDatum((int64) pg_atomic_read_u64(&slot->done));
		values[4] = Int64GetDatum((int64) pg_atomic_read_u64(&slot->total));
		LWLockRelease(shared->lock);
		if (pid == 0)
			continue;
		values[0] = Int32GetDatum(pid);
		values[1] = CStringGetTextDatum(what.command);
		values[2] = CStringGetTextDatum(what.phase);
		nulls[2] = what.phase[0] == '\0';
		nulls[4] = DatumGetInt64(values[4]) == 0;
		values[5] = TimestampTzGetDatum(what.started_at);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Not more than fits, and no half of a letter. */
static char *
progress_text(text *value)
{
	char	   *string = text_to_cstring(value);

	string[pg_mbcliplen(string, strlen(string), PROGRESS_TEXT - 1)] = '\0';
	return string;
}

static uint64
progress_number(FunctionCallInfo fcinfo, int argno)
{
	return PG_ARGISNULL(argno) ? 0 : (uint64) Max(PG_GETARG_INT64(argno), 0);
}

/*
 * ecauto.progress_begin(command text)
 */
Datum
ecauto_progress_begin(PG_FUNCTION_ARGS)
{
	ec_progress_begin(progress_text(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

/*
 * ecauto.progress_phase(phase text, total bigint)
 */
Datum
ecauto_progress_phase(PG_FUNCTION_ARGS)
{
	ec_progress_phase(PG_ARGISNULL(0) ? "" : progress_text(PG_GETARG_TEXT_PP(0)), progress_number(fcinfo, 1));
	PG_RETURN_VOID();
}

/*
 * ecauto.progress_advance(n bigint)
 */
Datum
ecauto_progress_advance(PG_FUNCTION_ARGS)
{
	ec_progress_advance(progress_number(fcinfo, 0));
	PG_RETURN_VOID();
}

/*
 * ecauto.progress_end()
 */
Datum
ecauto_progress_end(PG_FUNCTION_ARGS)
{
	ec_progress_end();
	PG_RETURN_VOID();
}

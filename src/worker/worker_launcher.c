/*-------------------------------------------------------------------------
 *
 * worker_launcher.c
 *		Starts the workers of every database in ecauto.databases, and again
 *		when one has ended.
 *
 * The launcher is registered when the library is preloaded and restarted by
 * the postmaster.  The workers of a database are dynamic and never restarted
 * by the postmaster: only the launcher knows whether the database still
 * exists and is still wanted.  It reads pg_database and nothing else.
 *
 * Which workers run is known from the slots in shared memory that they claim
 * (core_wake.c), so a launcher that comes back after a crash of its own finds
 * those of its predecessor and does not start them twice.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

#include "outbox/outbox.h"
#include "worker/worker.h"
#include "worker/worker_mime.h"

#define RESTART_SECONDS 1		/* of the launcher, by the postmaster */
#define LOOK_MS			5000	/* between looks, if nobody wakes us */
#define WAIT_FIRST		INT64CONST(500000)	/* us before a worker is started again; */
#define WAIT_MOST		INT64CONST(60000000)	/* doubles while it ends at once, ... */
#define LIVED_LONG		INT64CONST(200000)	/* ... that is, without having got to its work; us */

/* What we know of one worker of one database. */
typedef struct Child
{
	char		database[NAMEDATALEN];
	EcWakeKind	kind;
	bool		wanted;			/* in this look */
	BackgroundWorkerHandle *handle; /* NULL: not started by us, or ended */
	int64		started_at;		/* us */
	int64		not_before;		/* us */
	int64		wait;			/* us */
} Child;

static List *children = NIL;
static bool no_slot_said = false;

static const char *const kind_names[EC_WAKE_KINDS] = {"tick", "delivery"};
static const char *const kind_mains[EC_WAKE_KINDS] = {"ecauto_tick_main", "ecauto_delivery_main"};

/*
 * Called by _PG_init(): register the launcher, if the library is being
 * preloaded.
 */
void
ec_worker_init(void)
{
	BackgroundWorker worker = {0};

	ec_message_set_mail_check(ec_mail_check);
	if (!process_shared_preload_libraries_in_progress)
		return;
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_SECONDS;
	strlcpy(worker.bgw_library_name, "ecauto", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "ecauto_launcher_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "ecauto launcher", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "ecauto launcher", sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}

/*
 * The names in ecauto.databases, as palloc'd strings.  NIL if the setting
 * cannot be read.
 */
List *
ec_worker_databases(void)
{
	char	   *copy = pstrdup(ec_guc_databases ? ec_guc_databases : "");
	List	   *parts = NIL;
	List	   *names = NIL;
	ListCell   *cell;

	if (!SplitGUCList(copy, ',', &parts))
		ereport(LOG,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("setting \"ecauto.databases\" is not a list of names"),
				 errdetail("It is \"%s\".", ec_guc_databases)));
	else
		foreach(cell, parts)
			names = lappend(names, pnstrdup(lfirst(cell), NAMEDATALEN - 1));
	list_free(parts);
	pfree(copy);
	return names;
}

static Child *
child_find(const char *database, EcWakeKind kind)
{
	ListCell   *cell;
	Child	   *child;

	foreach(cell, children)
	{
		child = lfirst(cell);
		if (child->kind == kind && strcmp(child->database, database) == 0)
			return child;
	}
	child = MemoryContextAllocZero(TopMemoryContext, sizeof(Child));
	strlcpy(child->database, database, sizeof(child->database));
	child->kind = kind;
	{
		MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);

		children = lappend(children, child);
		MemoryContextSwitchTo(before);
	}
	return child;
}

static void
child_start(Child *child, int64 now)
{
	BackgroundWorker worker = {0};
	EcWorkerStart *start = (EcWorkerStart *) worker.bgw_extra;
	MemoryContext before;

	StaticAssertStmt(sizeof(EcWorkerStart) <= BGW_EXTRALEN, "bgw_extra is too small");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "ecauto", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, kind_mains[child->kind], sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "ecauto %s %s",
			 kind_names[child->kind], child->database);
	snprintf(worker.bgw_type, sizeof(worker.bgw_type), "ecauto %s", kind_names[child->kind]);
	strlcpy(start->database, child->database, sizeof(start->database));

	before = MemoryContextSwitchTo(TopMemoryContext);
	if (RegisterDynamicBackgroundWorker(&worker, &child->handle))
	{
		child->started_at = now;
		no_slot_said = false;
	}
	else
	{
		child->handle = NULL;
		child->not_before = now + WAIT_FIRST;
		if (!no_slot_said)
			ereport(LOG,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("could not start background process \"%s\"", worker.bgw_name),
					 errdetail("All slots for background processes are taken."),
					 errhint("Increase the setting max_worker_processes: ecauto needs one and two for each database.")));
		no_slot_said = true;
	}
	MemoryContextSwitchTo(before);
}

/*
 * Start the worker unless it runs, or ended a moment ago.  Returns the time
 * after which it is worth to look again, in us; 0: nothing to wait for.
 */
static int64
child_keep(Child *child, Oid database, int64 now)
{
	if (child->handle != NULL)
	{
		pid_t		pid;

		if (GetBackgroundWorkerPid(child->handle, &pid) != BGWH_STOPPED)
			return 0;
		pfree(child->handle);
		child->handle = NULL;
		if (now - child->started_at >= LIVED_LONG || child->wait == 0)
			child->wait = WAIT_FIRST;
		else
			child->wait = Min(child->wait * 2, WAIT_MOST);
		child->not_before = now + child->wait;
	}
	if (ec_wake_pid(database, child->kind) != 0)
		return 0;				/* one that another launcher started */
	if (now < child->not_before)
		return child->not_before - now;
	child_start(child, now);
	return child->handle == NULL ? WAIT_FIRST : 0;
}

/*
 * The OID of a database that takes connections, or InvalidOid.  No index is
 * used: without a database, and before any session has written the cache of
 * shared catalogs, none can be opened.
 */
static Oid
database_oid(Relation catalog, const char *name)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			oid = InvalidOid;

	ScanKeyInit(&key, Anum_pg_database_datname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum(name));
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		if (form->datallowconn)
			oid = form->oid;
	}
	systable_endscan(scan);
	return oid;
}

/*
 * See that every worker that should run does.  arg: int64 *, the time until
 * it is worth to look again, in us.
 */
static void
look(void *arg)
{
	int64	   *wait = arg;
	int64		now = ec_worker_clock();
	List	   *names = ec_worker_databases();
	Relation	catalog = table_open(DatabaseRelationId, AccessShareLock);
	ListCell   *cell;

	foreach(cell, names)
	{
		const char *name = lfirst(cell);
		Oid			database;
		NameData	key;

		namestrcpy(&key, name);
		database = database_oid(catalog, NameStr(key));
		if (!OidIsValid(database))
			continue;
		for (int kind = 0; kind < EC_WAKE_KINDS; kind++)
		{
			int64		again = child_keep(child_find(name, kind), database, now);

			if (again > 0)
				*wait = Min(*wait, again);
		}
	}
	table_close(catalog, AccessShareLock);
}

void
ecauto_launcher_main(Datum arg)
{
	ec_worker_signals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname("ecauto launcher");
	CurrentMemoryContext = AllocSetContextCreate(TopMemoryContext, "ecauto launcher",
												 ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		int64		wait = LOOK_MS * INT64CONST(1000);

		ec_worker_show("looking after workers");
		(void) ec_worker_transaction(look, &wait);
		MemoryContextReset(CurrentMemoryContext);
		ec_worker_sleep(wait / 1000 + 1);
	}
}

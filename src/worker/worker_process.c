/*-------------------------------------------------------------------------
 *
 * worker_process.c
 *		What the processes that serve a database have in common: start,
 *		transactions that may fail, sleep, signals.
 *
 * A worker must outlive whatever happens in the database: an error in a round
 * is logged and the round repeated later; a missing extension or a state of
 * another version makes it sleep, and it says so once, not every second.
 * Only what ends a session ends it (pg_terminate_backend, shutdown), and then
 * the launcher starts another.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <time.h>

#include "access/xact.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "worker/worker.h"

static EcWorkerStart me;
static bool is_worker = false;	/* of a database in ecauto.databases */

/*
 * A clock that nobody sets back, in us.
 */
int64
ec_worker_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/*
 * SIGTERM ends a statement that takes long, too, so it is handled as in a
 * session: CHECK_FOR_INTERRUPTS() raises FATAL, and the process ends with 1.
 */
void
ec_worker_signals(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
}

/*
 * Settings under which our own statements run best: a kept plan that was made
 * while the outbox was empty must not scan it when it is full.
 */
void
ec_worker_settings(void)
{
	SetConfigOption("enable_seqscan", "off", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("enable_bitmapscan", "off", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("enable_hashjoin", "off", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("enable_mergejoin", "off", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("plan_cache_mode", "force_generic_plan", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("jit", "off", PGC_USERSET, PGC_S_OVERRIDE);

	/* whatever the database's defaults */
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);

	/* a crash can only make us deliver again, never forget */
	SetConfigOption("synchronous_commit", "off", PGC_USERSET, PGC_S_OVERRIDE);
}

/*
 * Become the worker of that kind for the database named in bgw_extra.  Ends
 * the process if another serves it already.
 */
void
ec_worker_begin(EcWakeKind kind)
{
	memcpy(&me, MyBgworkerEntry->bgw_extra, sizeof(me));
	is_worker = true;
	ec_worker_signals();
	BackgroundWorkerInitializeConnection(me.database, NULL, 0);
	pgstat_report_appname(MyBgworkerEntry->bgw_name);

	/* a serializable reader of the shop's tables could make its writers fail */
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);

	if (!ec_wake_register(kind))
	{
		ereport(DEBUG1,
				(errmsg_internal("another process serves database \"%s\"", me.database)));
		proc_exit(0);
	}
}

/*
 * Say in pg_stat_activity what this process does.
 */
void
ec_worker_show(const char *what)
{
	pgstat_report_activity(STATE_RUNNING, what);
}

/*
 * Run a function in a transaction of its own, with a snapshot.  False if it
 * failed: the error is logged and everything rolled back.
 */
bool
ec_worker_transaction(void (*run) (void *arg), void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile bool done = false;

	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		run(arg);
		PopActiveSnapshot();
		CommitTransactionCommand();
		done = true;
	}
	PG_CATCH();
	{
		/* an interrupt between here and the abort would find a failed transaction */
		HOLD_INTERRUPTS();
		EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	pgstat_report_stat(false);
	return done;
}

/* Why there is nothing to do in this database; NULL if there may be. */
static const char *problem;
static int	state_version;

static void
find_problem(void *arg)
{
	problem = NULL;
	if (RecoveryInProgress())
		problem = "the server is a standby";
	else if (!OidIsValid(get_extension_oid("ecauto", true)))
		problem = "extension \"ecauto\" is not installed in this database";
	else if (!ec_state_exists() || !OidIsValid(ec_state_relation("schema_version", true)))
		problem = "ecauto is not set up in this database";
	else
	{
		bool		isnull;
		int			version = 0;
		EcAs		as;

		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		ec_as_state_owner(&as);
		if (SPI_execute("SELECT pg_catalog.max(version) FROM ecauto_data.schema_version", true, 1) != SPI_OK_SELECT)
			elog(ERROR, "could not read the version of the state");
		if (SPI_processed == 1)
			version = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
												  1, &isnull));
		ec_as_end(&as);
		SPI_finish();
		state_version = version;
		if (version < EC_STATE_VERSION)
			problem = "the state is older than the library: run SELECT ecauto.setup()";
		else if (version > EC_STATE_VERSION)
			problem = "the state is newer than the library: restart the server with the newer library";
	}
}

/*
 * Is the extension there, and its state of our version?  Says once what is
 * wrong.
 */
bool
ec_worker_ready(void)
{
	static const char *said = NULL;

	if (!ec_worker_transaction(find_problem, NULL))
		problem = "its state could not be read";
	if (problem != said)
	{
		if (problem != NULL)
			ereport(LOG,
					(errmsg("%s waits: %s", MyBgworkerEntry->bgw_name, problem)));
		else
			ereport(LOG,
					(errmsg("%s starts its work", MyBgworkerEntry->bgw_name)));
		said = problem;
	}
	if (problem != NULL)
		ec_worker_show(psprintf("waiting: %s", problem));
	return problem == NULL;
}

/*
 * Act on signals.  Ends the process if its database is no longer to be served.
 */
void
ec_worker_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		List	   *databases;
		ListCell   *cell;
		bool		wanted = !is_worker;

		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		databases = ec_worker_databases();
		foreach(cell, databases)
			wanted = wanted || strcmp(lfirst(cell), me.database) == 0;
		list_free_deep(databases);
		if (!wanted)
			proc_exit(0);
	}
}

/*
 * Sleep until woken, but no longer than ms.
 */
void
ec_worker_sleep(int64 ms)
{
	pgstat_report_activity(STATE_IDLE, NULL);
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 (long) Max(ms, 1), ec_wait_event("EcautoIdle"));
	ResetLatch(MyLatch);
	ec_worker_interrupts();
}

/*
 * Sleep for ms, whoever calls.
 */
void
ec_worker_rest(int64 ms)
{
	int64		until = ec_worker_clock() + ms * 1000;
	int64		left;

	while ((left = until - ec_worker_clock()) > 0)
		ec_worker_sleep((left + 999) / 1000);
}

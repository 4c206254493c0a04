/*-------------------------------------------------------------------------
 *
 * worker_deliver.c
 *		ecauto.deliver(): delivering once, on demand.
 *
 * The session that calls it has a transaction open and must not wait for the
 * network inside our loop, so the work is done by a background process that
 * is started for it: the same loop as the delivery worker's, which ends when
 * nothing is due.  It needs no shared_preload_libraries.  What it did comes
 * back through a segment of dynamic shared memory.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "worker/worker_delivery.h"

PG_FUNCTION_INFO_V1(ecauto_deliver);
PG_FUNCTION_INFO_V1(ecauto_worker_status);

#define CLOCK_MAX 64			/* bytes of ecauto.clock */

/* What the two processes tell each other. */
typedef struct Errand
{
	Oid			database;
	char		clock[CLOCK_MAX];	/* the caller's ecauto.clock */
	bool		done;			/* the process came to its end */
	int64		delivered;
	int64		retried;
	int64		dead;
} Errand;

/* before_shmem_exit callback: a caller who gives up, or an error, ends us */
static void
errand_end(int code, Datum arg)
{
	if (code == 0)
		return;
	AbortOutOfAnyTransaction();
	ec_delivery_leave((EcDelivery *) DatumGetPointer(arg));
}

/*
 * Main function of the process.  arg: handle of the segment with an Errand.
 */
void
ecauto_deliver_main(Datum arg)
{
	dsm_segment *segment;
	Errand	   *errand;
	EcDelivery *delivery;

	ec_worker_signals();
	segment = dsm_attach(DatumGetUInt32(arg));
	if (segment == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not map dynamic shared memory segment")));
	dsm_pin_mapping(segment);
	errand = dsm_segment_address(segment);

	BackgroundWorkerInitializeConnectionByOid(errand->database, InvalidOid, 0);
	pgstat_report_appname(MyBgworkerEntry->bgw_name);
	ec_worker_settings();
	if (errand->clock[0] != '\0')
		SetConfigOption("ecauto.clock", errand->clock, PGC_SUSET, PGC_S_OVERRIDE);

	delivery = ec_delivery_create(true);
	before_shmem_exit(errand_end, PointerGetDatum(delivery));
	ec_delivery_run(delivery);
	errand->delivered = delivery->count[EC_DELIVERED];
	errand->retried = delivery->count[EC_RETRY];
	errand->dead = delivery->count[EC_DEAD];
	errand->done = true;
}

/* Start the process; raises an error if there is no slot for it. */
static BackgroundWorkerHandle *
errand_start(dsm_segment *segment)
{
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
	strlcpy(worker.bgw_library_name, "ecauto", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "ecauto_deliver_main", sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "ecauto deliver for %d", MyProcPid);
	strlcpy(worker.bgw_type, "ecauto deliver", sizeof(worker.bgw_type));
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start a background process for the delivery"),
				 errdetail("All slots for background processes are taken."),
				 errhint("Try again later, or increase the setting max_worker_processes.")));
	return handle;
}

/*
 * ecauto.deliver(OUT delivered bigint, OUT retried bigint, OUT dead bigint)
 */
Datum
ecauto_deliver(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	dsm_segment *segment;
	Errand	   *errand;
	BackgroundWorkerHandle *handle;
	BgwHandleStatus status;
	Datum		values[3];
	bool		nulls[3] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PreventCommandDuringRecovery("ecauto.deliver()");
	ec_state_require();
	ec_require_operator("run ecauto.deliver()");

	segment = dsm_create(sizeof(Errand), 0);
	errand = dsm_segment_address(segment);
	memset(errand, 0, sizeof(Errand));
	errand->database = MyDatabaseId;
	if (ec_guc_clock != NULL)
		strlcpy(errand->clock, ec_guc_clock, sizeof(errand->clock));

	handle = errand_start(segment);
	PG_TRY();
	{
		status = WaitForBackgroundWorkerShutdown(handle);
	}
	PG_CATCH();
	{
		/* the caller gave up: so do we */
		TerminateBackgroundWorker(handle);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (status == BGWH_POSTMASTER_DIED)
		ereport(FATAL,
				(errcode(ERRCODE_ADMIN_SHUTDOWN),
				 errmsg("the server process has ended unexpectedly")));
	if (!errand->done)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("the background process for the delivery ended early"),
				 errhint("The server's log tells why. What it had not finished is tried again.")));

	values[0] = Int64GetDatum(errand->delivered);
	values[1] = Int64GetDatum(errand->retried);
	values[2] = Int64GetDatum(errand->dead);
	dsm_detach(segment);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * ecauto.worker_status() returns table (worker text, pid integer, state text)
 */
Datum
ecauto_worker_status(PG_FUNCTION_ARGS)
{
	static const char *const names[EC_WAKE_KINDS] = {"tick", "delivery"};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int kind = 0; kind < EC_WAKE_KINDS; kind++)
	{
		int			pid = ec_wake_pid(MyDatabaseId, kind);
		Datum		values[3];
		bool		nulls[3] = {false, pid == 0, false};

		values[0] = CStringGetTextDatum(names[kind]);
		values[1] = Int32GetDatum(pid);
		values[2] = CStringGetTextDatum(!ec_wake_available() ? "ecauto is not in shared_preload_libraries" :
										pid == 0 ? "not running" : "running");
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

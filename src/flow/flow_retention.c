/*-------------------------------------------------------------------------
 *
 * flow_retention.c
 *		Old runs go, what they mark stays.
 *
 * A run is also the mark that its flow has run for a subject on an occasion.
 * If the occasion is a single event it cannot come again, so the run can go.
 * Any other mark is kept: a customer who was welcomed two years ago is not to
 * be welcomed twice.  Of such a run only its row remains, with the key, when it
 * was and how it ended.
 *
 * An occasion of time (a day, a month) is treated as one that can come again,
 * since track() may tell today what happened then.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "flow/flow.h"

PG_FUNCTION_INFO_V1(ecauto_drop_old_runs);

/* $1, $2: flow and version; $3: ended before */
#define OLD_RUN "r.flow = $1 AND r.version = $2 AND r.state = 'done' AND r.finished_at < $3"

static const char remove_sql[] =
	"WITH gone AS (DELETE FROM ecauto_data.flow_run r WHERE " OLD_RUN " RETURNING r.id), "
	"decisions AS (DELETE FROM ecauto_data.flow_decision d USING gone g WHERE d.run = g.id) "
	"SELECT pg_catalog.count(*) FROM gone";

static const char empty_sql[] =
	"WITH gone AS (UPDATE ecauto_data.flow_run r SET old = NULL, new = NULL, operands = NULL, line = NULL, lines = NULL, "
	"results = NULL WHERE " OLD_RUN " AND (r.old IS NOT NULL OR r.new IS NOT NULL OR r.operands IS NOT NULL "
	"OR r.lines IS NOT NULL OR r.results IS NOT NULL "
	"OR EXISTS (SELECT FROM ecauto_data.flow_decision x WHERE x.run = r.id)) RETURNING r.id), "
	"decisions AS (DELETE FROM ecauto_data.flow_decision d USING gone g WHERE d.run = g.id) "
	"SELECT pg_catalog.count(*) FROM gone";

/* Is the occasion of a version's runs a single event? */
static bool
occasion_is_event(const EcFlow *flow)
{
	for (int i = 0; i < flow->npers; i++)
		if (flow->pers[i] == EC_PER_EVENT)
			return true;
	return false;
}

/*
 * ecauto.drop_old_runs(keep interval) returns bigint
 */
Datum
ecauto_drop_old_runs(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {INT4OID, INT4OID, TIMESTAMPTZOID};
	TimestampTz limit = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval,
																TimestampTzGetDatum(ec_now()),
																PG_GETARG_DATUM(0)));
	Datum		args[3];
	SPITupleTable *versions;
	uint64		nversions;
	int64		total = 0;
	bool		isnull;
	EcAs		as;

	ec_state_require();
	ec_require_operator("drop old runs of flows");
	if (TIMESTAMP_NOT_FINITE(limit) || limit > ec_now())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("interval to keep runs must not be negative")));

	args[2] = TimestampTzGetDatum(limit);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute("SELECT v.flow, v.version FROM ecauto_data.flow_version v ORDER BY 1, 2", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not list the versions of flows");
	versions = SPI_tuptable;
	nversions = SPI_processed;
	for (uint64 i = 0; i < nversions; i++)
	{
		EcFlow	   *flow;

		CHECK_FOR_INTERRUPTS();
		args[0] = SPI_getbinval(versions->vals[i], versions->tupdesc, 1, &isnull);
		args[1] = SPI_getbinval(versions->vals[i], versions->tupdesc, 2, &isnull);
		flow = ec_flow_load(DatumGetInt32(args[0]), DatumGetInt32(args[1]));
		if (SPI_execute_plan(ec_plan(occasion_is_event(flow) ? remove_sql : empty_sql, 3, types), args, NULL,
							 false, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not drop old runs of flow \"%s\"", flow->name);
		total += DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	}
	ec_as_end(&as);
	SPI_finish();
	PG_RETURN_INT64(total);
}

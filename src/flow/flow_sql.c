/*-------------------------------------------------------------------------
 *
 * flow_sql.c
 *		Creating, enabling and dropping flows.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "flow/flow.h"
#include "outbox/outbox.h"

PG_FUNCTION_INFO_V1(ecauto_create_flow);
PG_FUNCTION_INFO_V1(ecauto_enable_flow);
PG_FUNCTION_INFO_V1(ecauto_disable_flow);
PG_FUNCTION_INFO_V1(ecauto_drop_flow);
PG_FUNCTION_INFO_V1(ecauto_retry_run);
PG_FUNCTION_INFO_V1(ecauto_cancel_run);

#define NAME_MAX_BYTES 200

static void
argument_require(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
}

static void
name_check(const char *name)
{
	const char *problem = ec_line_problem(name);

	if (*name == '\0')
		problem = "It is empty.";
	else if (strlen(name) > NAME_MAX_BYTES)
		problem = psprintf("It has %zu bytes; the limit is %d.", strlen(name), NAME_MAX_BYTES);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("invalid name of a flow"),
				 errdetail("%s", problem)));
}

/* Run a statement as the owner of the state that returns one row or none. */
static bool
one_row(const char *sql, int nargs, const Oid *types, Datum *values)
{
	EcAs		as;

	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan(sql, nargs, types), values, NULL, false, 0) < 0)
		elog(ERROR, "could not run \"%s\"", sql);
	ec_as_end(&as);
	return SPI_processed > 0;
}

static int32
int_of(int column)
{
	bool		isnull;

	return DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &isnull));
}

/* From when on time may set off a flow, and when to look at that first. */
static void
watch_from(int32 id, const EcFlow *flow, TimestampTz at)
{
	static const Oid types[] = {INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		args[3];
	char		nulls[] = "   ";

	args[0] = Int32GetDatum(id);
	args[1] = TimestampTzGetDatum(at);
	args[2] = (Datum) 0;
	if (flow->on == EC_ON_EVENT)
		nulls[1] = nulls[2] = 'n';
	else
		args[2] = TimestampTzGetDatum(ec_flow_timed_next(flow, at));
	ec_flow_state_run("UPDATE ecauto_data.flow f SET watched_until = $2, next_look = $3 WHERE f.id = $1", 3, types, args, nulls);
}

/*
 * ecauto.create_flow(name text, definition jsonb) returns integer
 */
Datum
ecauto_create_flow(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID, INT4OID, INT4OID, JSONBOID, NAMEOID};
	char	   *name;
	Jsonb	   *definition;
	EcFlow	   *flow;
	TimestampTz at = ec_now();
	Datum		args[6];
	NameData	user;
	int32		id;
	int32		version;
	bool		enabled;
	bool		same;

	ec_state_require();
	ec_require_operator("create a flow");
	argument_require(fcinfo, 0, "name of a flow");
	argument_require(fcinfo, 1, "definition of a flow");
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	name_check(name);
	definition = PG_GETARG_JSONB_P(1);
	flow = ec_flow_parse(name, definition);
	ec_flow_check(flow);

	namestrcpy(&user, GetUserNameFromId(GetUserId(), false));
	flow->definer = NameStr(user);
	(void) ec_flow_definer(flow);
	args[0] = CStringGetTextDatum(name);
	args[1] = TimestampTzGetDatum(at);
	args[4] = JsonbPGetDatum(definition);
	args[5] = NameGetDatum(&user);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	/* locks the flow, so that versions are counted one after the other */
	(void) one_row("INSERT INTO ecauto_data.flow AS f (name, version, created_at, changed_at) VALUES ($1, 0, $2, $2) "
				   "ON CONFLICT (name) DO UPDATE SET changed_at = f.changed_at RETURNING f.id, f.version, f.enabled", 2, types, args);
	id = int_of(1);
	version = int_of(2);
	enabled = strcmp(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3), "t") == 0;
	args[2] = Int32GetDatum(id);
	args[3] = Int32GetDatum(version);
	same = one_row("SELECT FROM ecauto_data.flow_version v WHERE v.flow = $3 AND v.version = $4 AND v.definition = $5 "
				   "AND v.definer = $6", 6, types, args);
	if (!same)
	{
		version++;
		args[3] = Int32GetDatum(version);
		(void) one_row("INSERT INTO ecauto_data.flow_version (flow, version, definition, definer, created_at) "
					   "VALUES ($3, $4, $5, $6, $2)", 6, types, args);
		(void) one_row("UPDATE ecauto_data.flow f SET version = $4, changed_at = $2, error = NULL, error_at = NULL WHERE f.id = $3",
					   4, types, args);
		if (enabled)
			watch_from(id, flow, at);
	}
	SPI_finish();
	if (!same && enabled)
		ec_wake_at_commit(EC_WAKE_TICK);
	PG_RETURN_INT32(version);
}

/* Switch a flow on or off; false if it was already. */
static bool
flow_switch(FunctionCallInfo fcinfo, bool on)
{
	static const Oid types[] = {INT4OID, BOOLOID};
	char	   *name;
	int32		version;
	bool		enabled;
	int32		id;
	Datum		args[2];

	ec_state_require();
	ec_require_operator(on ? "enable a flow" : "disable a flow");
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	id = ec_flow_find(name, &version, &enabled);
	if (enabled == on)
		return false;
	args[0] = Int32GetDatum(id);
	args[1] = BoolGetDatum(on);
	ec_flow_state_run("UPDATE ecauto_data.flow f SET enabled = $2, watched_until = NULL, next_look = NULL, error = NULL, "
					  "error_at = NULL WHERE f.id = $1", 2, types, args, NULL);
	if (on)
	{
		watch_from(id, ec_flow_load(id, version), ec_now());
		ec_wake_at_commit(EC_WAKE_TICK);
	}
	return true;
}

/*
 * ecauto.enable_flow(name text) returns boolean
 */
Datum
ecauto_enable_flow(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(flow_switch(fcinfo, true));
}

/* End all runs of a flow that are under way. */
static void
runs_cancel(int32 id)
{
	static const Oid types[] = {INT4OID, TIMESTAMPTZOID};
	Datum		args[2];

	args[0] = Int32GetDatum(id);
	args[1] = TimestampTzGetDatum(ec_now());
	ec_flow_state_run("WITH ended AS (UPDATE ecauto_data.flow_run r SET state = 'done', outcome = 'cancelled', wake_at = NULL, "
					  "finished_at = $2 WHERE r.flow = $1 AND r.state IN ('waiting', 'retry') RETURNING r.id) "
					  "DELETE FROM ecauto_data.flow_wait w USING ended e WHERE w.run = e.id", 2, types, args, NULL);
}

/*
 * ecauto.disable_flow(name text, cancel boolean) returns boolean
 */
Datum
ecauto_disable_flow(PG_FUNCTION_ARGS)
{
	bool		changed = flow_switch(fcinfo, false);

	if (PG_GETARG_BOOL(1))
		runs_cancel(ec_flow_find(text_to_cstring(PG_GETARG_TEXT_PP(0)), NULL, NULL));
	PG_RETURN_BOOL(changed);
}

/*
 * ecauto.drop_flow(name text) returns boolean
 */
Datum
ecauto_drop_flow(PG_FUNCTION_ARGS)
{
	static const char *const statements[] = {
		"DELETE FROM ecauto_data.flow_decision d USING ecauto_data.flow_run r WHERE r.flow = $1 AND d.run = r.id",
		"DELETE FROM ecauto_data.flow_wait w USING ecauto_data.flow_run r WHERE r.flow = $1 AND w.run = r.id",
		"DELETE FROM ecauto_data.flow_run r WHERE r.flow = $1",
		"DELETE FROM ecauto_data.flow_version v WHERE v.flow = $1",
	};
	static const Oid types[] = {INT4OID};
	static const Oid name_types[] = {TEXTOID};
	Datum		args[1];
	bool		found;

	ec_state_require();
	ec_require_operator("drop a flow");
	args[0] = PG_GETARG_DATUM(0);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	/* not while a tick is under way (core_tick.c), which could start runs that we do not see */
	(void) one_row("SELECT pg_catalog.pg_advisory_xact_lock(25955, 1)", 0, NULL, NULL);
	found = one_row("DELETE FROM ecauto_data.flow f WHERE f.name = $1 RETURNING f.id", 1, name_types, args);
	if (found)
	{
		args[0] = Int32GetDatum(int_of(1));
		for (int i = 0; i < lengthof(statements); i++)
			(void) one_row(statements[i], 1, types, args);
	}
	SPI_finish();
	PG_RETURN_BOOL(found);
}

/*
 * ecauto.retry_run(run_id bigint) returns boolean
 */
Datum
ecauto_retry_run(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {INT8OID, TIMESTAMPTZOID};
	Datum		args[2];
	bool		found;

	ec_state_require();
	ec_require_operator("retry a run");
	args[0] = PG_GETARG_DATUM(0);
	args[1] = TimestampTzGetDatum(ec_now());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	found = one_row("UPDATE ecauto_data.flow_run r SET state = 'retry', attempts = 0, wake_at = $2 "
					"WHERE r.id = $1 AND r.state IN ('failed', 'retry') RETURNING r.id", 2, types, args);
	SPI_finish();
	if (found)
		ec_wake_at_commit(EC_WAKE_TICK);
	PG_RETURN_BOOL(found);
}

/*
 * ecauto.cancel_run(run_id bigint) returns boolean
 */
Datum
ecauto_cancel_run(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {INT8OID, TIMESTAMPTZOID};
	Datum		args[2];
	bool		found;

	ec_state_require();
	ec_require_operator("cancel a run");
	args[0] = PG_GETARG_DATUM(0);
	args[1] = TimestampTzGetDatum(ec_now());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	found = one_row("UPDATE ecauto_data.flow_run r SET state = 'done', outcome = 'cancelled', wake_at = NULL, finished_at = $2 "
					"WHERE r.id = $1 AND r.state <> 'done' RETURNING r.id", 2, types, args);
	if (found)
		(void) one_row("DELETE FROM ecauto_data.flow_wait w WHERE w.run = $1", 1, types, args);
	SPI_finish();
	PG_RETURN_BOOL(found);
}

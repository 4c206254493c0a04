/*-------------------------------------------------------------------------
 *
 * flow_match.c
 *		From events to runs: who starts a flow.
 *
 * One statement a flow tests all candidates and inserts a run for each that
 * meets the condition.  If that is self-contained and looks at the event alone
 * (event, old, new), the candidates are read from the event log in that very
 * statement.  Else they go into a batch first, and the rows of the shop that
 * the condition uses are fetched for all of them; a condition that is not
 * self-contained is then evaluated as its definer, over the batch, and the
 * runs are inserted from its answer.
 *
 * A condition can fail for one event (a division by zero, a text that is no
 * number).  Then the candidates are halved until it stands alone; the others
 * have their runs, and that event has one that is parked with the error.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "event/event.h"
#include "flow/flow.h"
#include "flow/flow_batch.h"

/* above this, a plan made for few candidates is not to be trusted */
#define EVENTS_FOR_KEPT_PLAN 1000

#define RUN_COLUMNS \
	"flow, version, state, step, wake_at, started_at, subject, occasion, event_id, event_at, kind, role, key, " \
	"session, customer, sku, old, new, operands"

/* Is the condition asked some time after the event? */
static bool
flow_is_delayed(const EcFlow *flow)
{
	return flow->on == EC_ON_EVENT && flow->after != NULL;
}

/* The condition that candidates are tested by, or NULL. */
static EcFlowCondition *
test_of(EcFlow *flow)
{
	return flow->condition.text == NULL || flow_is_delayed(flow) ? NULL : &flow->condition;
}

/* Runs have been inserted: they go on from here, unless they rest first. */
static List *
runs_started(EcFlow *flow, const int64 *ids, int n, List *groups)
{
	ec_flow_goals_register(flow, ids, n);
	if (flow_is_delayed(flow) || ec_flow_op_rests_first(flow))
		return groups;
	return ec_flow_group_add(groups, flow, 0, ids, n);
}

/* ---- whose run, and on which occasion ---- */

/* The kind of a subject, and its key over ec_e; NULL key: there is none. */
static const char *
entity_sql(EcFlowPer per)
{
	switch (per)
	{
		case EC_PER_CUSTOMER:
			return "'customer:' || ec_e.customer";
		case EC_PER_ORDER:
			return "'order:' || CASE WHEN ec_e.role = 'order' THEN ec_e.key ELSE ec_e.new ->> 'order_key' END";
		case EC_PER_CART:
			return "'cart:' || CASE WHEN ec_e.role = 'cart' THEN ec_e.key ELSE ec_e.new ->> 'cart_key' END";
		case EC_PER_SKU:
			return "'sku:' || ec_e.sku";
		case EC_PER_PRODUCT:
			return "'product:' || CASE WHEN ec_e.role = 'product' THEN ec_e.key "
				"ELSE (SELECT s.product_key FROM ecauto_data.seen_sku s WHERE s.key = ec_e.sku) END";
		case EC_PER_SESSION:
			return "'session:' || ec_e.session";
		case EC_PER_KEY:
			return "ec_e.role || ':' || ec_e.key";
		default:
			return NULL;
	}
}

static const char *
occasion_sql(EcFlowPer per)
{
	switch (per)
	{
		case EC_PER_EVENT:
			return "ec_e.event_id::text";
		case EC_PER_HOUR:
			return "pg_catalog.to_char(ec_e.event_at, 'YYYY-MM-DD HH24')";
		case EC_PER_DAY:
			return "pg_catalog.to_char(ec_e.event_at, 'YYYY-MM-DD')";
		case EC_PER_WEEK:
			return "pg_catalog.to_char(ec_e.event_at, 'IYYY-\"W\"IW')";
		case EC_PER_MONTH:
			return "pg_catalog.to_char(ec_e.event_at, 'YYYY-MM')";
		case EC_PER_YEAR:
			return "pg_catalog.to_char(ec_e.event_at, 'YYYY')";
		default:
			return entity_sql(per);
	}
}

/* SQL over ec_e of what makes a run unique; without a subject there is none. */
static void
unique_sql(const EcFlow *flow, const char **subject, const char **occasion)
{
	StringInfoData sql;

	*subject = NULL;
	initStringInfo(&sql);
	for (int i = 0; i < flow->npers; i++)
	{
		if (*subject == NULL && entity_sql(flow->pers[i]) != NULL)
		{
			*subject = entity_sql(flow->pers[i]);
			continue;
		}
		appendStringInfo(&sql, "%s%s", sql.len > 0 ? " || '/' || " : "", occasion_sql(flow->pers[i]));
	}
	if (*subject == NULL && flow->kind->role != NULL &&
		(strcmp(flow->kind->role, "order") == 0 || strcmp(flow->kind->role, "cart") == 0 ||
		 strcmp(flow->kind->role, "customer") == 0 || strcmp(flow->kind->role, "product") == 0))
		*subject = psprintf("'%s:' || ec_e.key", flow->kind->role);
	else if (*subject == NULL && flow->kind->role != NULL)
		*subject = "'sku:' || ec_e.sku";
	else if (*subject == NULL)
		*subject = "coalesce('customer:' || ec_e.customer, ec_e.role || ':' || ec_e.key, 'session:' || ec_e.session, "
			"'sku:' || ec_e.sku, 'shop')";
	*occasion = sql.len > 0 ? sql.data : "''";
}

/* ---- the statements ---- */

/* Whose event it is, over "e": those of guests belong to their address. */
static const char *
customer_sql(const EcFlow *flow)
{
	if (flow->kind->role == NULL)
		return "coalesce(e.customer, i.customer)";
	if (strcmp(flow->kind->role, "order") == 0 || strcmp(flow->kind->role, "cart") == 0)
		return "coalesce(e.customer, pg_catalog.lower(coalesce(e.new, e.old) ->> 'email') COLLATE \"C\")";
	return "e.customer";
}

/* The events of the tick that the flow's trigger is about; $6 is the kind. */
static char *
candidates_sql(const EcFlow *flow)
{
	return psprintf("SELECT e.event_id, e.at AS event_at, e.kind, e.role, e.key, e.session, %s AS customer, e.sku, "
					"e.old, e.new, NULL::bigint AS run, NULL::text AS subject, NULL::text AS occasion, "
					"NULL::timestamptz AS started_at, NULL::integer AS line, NULL::jsonb AS lines, NULL::jsonb AS results "
					"FROM " EC_EVENTS_OF_TICK " e%s WHERE e.kind = $6",
					customer_sql(flow),
					flow->kind->role == NULL ?
					" LEFT JOIN ecauto_data.identity i ON e.customer IS NULL AND i.session = e.session" : "");
}

/*
 * The INSERT of runs from "source" (a relation ec_e and what is joined to it).
 * at, id, version: SQL of these.  A flow that begins with a wait has its runs
 * wait at once, without a visit to that operation.
 */
static char *
insert_sql(const EcFlow *flow, const char *source, const char *where, const char *operands, TimestampTz now,
		   const char *at, const char *id, const char *version, const char *order)
{
	const char *subject;
	const char *occasion;
	const char *wake;
	const char *step;

	unique_sql(flow, &subject, &occasion);
	if (flow_is_delayed(flow))
	{
		step = "";
		wake = psprintf("ec_x.event_at + '%s'::interval",
						DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(flow->after))));
	}
	else
	{
		step = flow->ops[0].path;
		wake = ec_flow_op_rests_first(flow) ? ec_flow_wait_sql(&flow->ops[0], now) : at;
	}
	return psprintf("INSERT INTO ecauto_data.flow_run (" RUN_COLUMNS ") "
					"SELECT %s, %s, 'waiting', %s, %s, %s, ec_x.ec_subject, ec_x.ec_occasion, ec_x.event_id, ec_x.event_at, "
					"ec_x.kind, ec_x.role, ec_x.key, ec_x.session, ec_x.customer, ec_x.sku, ec_x.old, ec_x.new, ec_x.ec_operands "
					"FROM (SELECT ec_e.*, %s AS ec_subject, %s AS ec_occasion, %s AS ec_operands FROM %s WHERE %s) ec_x "
					"WHERE ec_x.ec_subject IS NOT NULL AND ec_x.ec_occasion IS NOT NULL "
					"%s ON CONFLICT DO NOTHING RETURNING id",
					id, version, quote_literal_cstr(step), wake, at, subject, occasion, operands, source, where,
					order);
}

/* ---- running them ---- */

typedef struct Match
{
	EcTick	   *tick;
	EcFlow	   *flow;
	EcFlowBatch *batch;			/* NULL: straight from the events */
	int64		from;			/* rows of the batch */
	int64		to;
	int64	   *ids;			/* out: runs that were inserted, in the caller's context */
	int			nids;
} Match;

static void
ids_take(Match *match, MemoryContext context)
{
	bool		isnull;

	match->nids = SPI_processed;
	match->ids = MemoryContextAllocHuge(context, sizeof(int64) * (SPI_processed + 1));
	for (uint64 i = 0; i < SPI_processed; i++)
		match->ids[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
}

/* EcTryRun: candidates are read by the statement itself */
static void
match_direct(void *arg)
{
	Match	   *match = arg;
	EcFlow	   *flow = match->flow;
	MemoryContext caller = CurrentMemoryContext;
	Oid			types[EC_EVENTS_OF_TICK_ARGS + 3];
	Datum		args[EC_EVENTS_OF_TICK_ARGS + 3];
	char	   *sql;
	int			rc;
	EcAs		as;

	memcpy(types, ec_event_tick_types, sizeof(ec_event_tick_types));
	ec_event_tick_args(match->tick, args);
	types[5] = TEXTOID;
	args[5] = CStringGetTextDatum(flow->kind_name);
	types[6] = types[7] = INT4OID;
	args[6] = Int32GetDatum(flow->id);
	args[7] = Int32GetDatum(flow->version);

	sql = insert_sql(flow, psprintf("(%s) ec_e", candidates_sql(flow)),
					 test_of(flow) != NULL ? flow->condition.sql : "true",
					 test_of(flow) != NULL ? flow->condition.operands : "NULL::jsonb", match->tick->at,
					 "$1", "$7", "$8", "");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_expr_begin_as_owner(&as);
	if (match->tick->events + match->tick->told <= EVENTS_FOR_KEPT_PLAN)
		rc = SPI_execute_plan(ec_plan(sql, lengthof(types), types), args, NULL, false, 0);
	else
		rc = SPI_execute_with_args(sql, lengthof(types), types, args, NULL, false, 0);
	if (rc != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "could not start runs of flow \"%s\"", flow->name);
	ids_take(match, caller);
	ec_expr_end(&as);
	SPI_finish();
}

/* Evaluate a condition that is not self-contained as its definer: adds "ec_met". */
static void
met_as_definer(Match *match, EcFlowBatch *batch)
{
	static const Oid types[] = {INT8OID, INT8OID};
	EcFlowCondition *condition = &match->flow->condition;
	static const Oid result_types[] = {INT8ARRAYOID, JSONBARRAYOID};
	Datum		args[2];
	Datum		result[2];
	bool		isnull;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext spi;
	EcAs		as;

	args[0] = Int64GetDatum(match->from);
	args[1] = Int64GetDatum(match->to);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_flow_batch_register(batch);
	ec_expr_begin(&as, ec_flow_definer(match->flow));
	if (SPI_execute_with_args(psprintf("SELECT coalesce(pg_catalog.array_agg(ec_m.n), '{}'), coalesce(pg_catalog.array_agg(ec_m.o), '{}') "
									   "FROM (SELECT ec_e.n, %s AS o FROM ec_batch ec_e%s WHERE (%s) "
									   "AND ec_e.n BETWEEN $1 AND $2 OFFSET 0) ec_m",
									   condition->operands, ec_flow_batch_joins(condition->rows), condition->sql),
							  2, (Oid *) types, args, NULL, false, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not evaluate the condition of flow \"%s\"", match->flow->name);
	spi = MemoryContextSwitchTo(caller);
	for (int i = 0; i < 2; i++)
		result[i] = PointerGetDatum(PG_DETOAST_DATUM_COPY(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
																		i + 1, &isnull)));
	MemoryContextSwitchTo(spi);
	ec_expr_end(&as);
	SPI_finish();
	ec_flow_batch_add(batch, "ec_met", "SELECT m.n, m.o FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS m (n, o)",
					  2, result_types, result);
}

/* EcTryRun: candidates are in a batch */
static void
match_batch(void *arg)
{
	static const Oid types[] = {TIMESTAMPTZOID, INT4OID, INT4OID, INT8OID, INT8OID};
	Match	   *match = arg;
	EcFlow	   *flow = match->flow;
	EcFlowCondition *condition = test_of(flow);
	MemoryContext caller = CurrentMemoryContext;
	bool		self_contained = condition == NULL || condition->keep;
	EcFlowBatch batch = *match->batch;	/* what we add is ours alone */
	Datum		args[5];
	char	   *sql;
	EcAs		as;

	batch.relations = list_copy(batch.relations);
	args[0] = TimestampTzGetDatum(match->tick->at);
	args[1] = Int32GetDatum(flow->id);
	args[2] = Int32GetDatum(flow->version);
	args[3] = Int64GetDatum(match->from);
	args[4] = Int64GetDatum(match->to);
	if (!self_contained)
		met_as_definer(match, &batch);

	sql = insert_sql(flow,
					 self_contained ?
					 psprintf("ec_batch ec_e%s", condition != NULL ? ec_flow_batch_joins(condition->rows) : "") :
					 "ec_batch ec_e JOIN ec_met ec_m ON ec_m.n = ec_e.n",
					 psprintf("ec_e.n BETWEEN $4 AND $5 AND %s",
							  condition != NULL && self_contained ? condition->sql : "true"),
					 condition == NULL ? "NULL::jsonb" : self_contained ? condition->operands : "ec_m.o",
					 match->tick->at, "$1", "$2", "$3",
					 condition != NULL && condition->rows != 0 ? " ORDER BY ec_x.n" : "");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_flow_batch_register(&batch);
	ec_expr_begin_as_owner(&as);
	if (SPI_execute_with_args(sql, lengthof(types), (Oid *) types, args, NULL, false, 0) != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "could not start runs of flow \"%s\"", flow->name);
	ids_take(match, caller);
	ec_expr_end(&as);
	SPI_finish();
}

/* ---- errors ---- */

/* Remember why a flow's trigger failed. */
static void
flow_set_error(EcTick *tick, EcFlow *flow, const char *error)
{
	static const Oid types[] = {INT4OID, TEXTOID, TIMESTAMPTZOID};
	Datum		args[3];

	args[0] = Int32GetDatum(flow->id);
	args[1] = CStringGetTextDatum(error);
	args[2] = TimestampTzGetDatum(tick->at);
	ec_flow_state_run("UPDATE ecauto_data.flow f SET error = $2, error_at = $3 WHERE f.id = $1", 3, types, args, NULL);
}

/* A run for an event for which the condition fails, parked with the error. */
static void
match_park(Match *match, const char *error)
{
	static const Oid types[] = {TIMESTAMPTZOID, INT4OID, INT4OID, INT8OID, TEXTOID};
	const char *subject;
	const char *occasion;
	Datum		args[5];
	EcAs		as;

	unique_sql(match->flow, &subject, &occasion);
	args[0] = TimestampTzGetDatum(match->tick->at);
	args[1] = Int32GetDatum(match->flow->id);
	args[2] = Int32GetDatum(match->flow->version);
	args[3] = Int64GetDatum(match->from);
	args[4] = CStringGetTextDatum(error);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_flow_batch_register(match->batch);
	ec_expr_begin_as_owner(&as);
	if (SPI_execute_with_args(psprintf("INSERT INTO ecauto_data.flow_run (" RUN_COLUMNS ", error) "
									   "SELECT $2, $3, 'failed', '', NULL, $1, %s, %s, ec_e.event_id, ec_e.event_at, ec_e.kind, ec_e.role, "
									   "ec_e.key, ec_e.session, ec_e.customer, ec_e.sku, ec_e.old, ec_e.new, NULL, $5 "
									   "FROM ec_batch ec_e WHERE ec_e.n = $4 AND (%s) IS NOT NULL AND (%s) IS NOT NULL "
									   "ON CONFLICT DO NOTHING", subject, occasion, subject, occasion),
							  lengthof(types), (Oid *) types, args, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not park a run of flow \"%s\"", match->flow->name);
	ec_expr_end(&as);
	SPI_finish();
	flow_set_error(match->tick, match->flow, error);
}

/* Match rows from to to of a batch, however many of them fail; returns groups. */
static List *
match_halving(EcTick *tick, EcFlow *flow, EcFlowBatch *batch, int64 from, int64 to, List *groups)
{
	Match		match = {tick, flow, batch, from, to};
	ErrorData  *error;

	CHECK_FOR_INTERRUPTS();
	if (from > to)
		return groups;
	error = ec_try(match_batch, &match, false);
	if (error == NULL)
		return runs_started(flow, match.ids, match.nids, groups);
	if (from == to)
	{
		match_park(&match, error->message);
		return groups;
	}
	FreeErrorData(error);
	groups = match_halving(tick, flow, batch, from, (from + to) / 2, groups);
	return match_halving(tick, flow, batch, (from + to) / 2 + 1, to, groups);
}

/* Compiling, filling the batch: what fails here fails for every candidate. */
typedef struct Prepare
{
	EcFlow	   *flow;
	EcFlowBatch *batch;			/* NULL: compile only */
	const char *sql;
	int			nargs;
	const Oid  *types;
	const Datum *values;
	const char *nulls;
	int64		n;
} Prepare;

/* EcTryRun */
static void
prepare_compile(void *arg)
{
	Prepare    *prepare = arg;
	EcAs		as;

	if (test_of(prepare->flow) == NULL)
		return;
	ec_expr_begin(&as, ec_flow_definer(prepare->flow));
	ec_flow_condition_compile(prepare->flow, &prepare->flow->condition, false);
	ec_expr_end(&as);
}

/* EcTryRun */
static void
prepare_batch(void *arg)
{
	Prepare    *prepare = arg;

	prepare->n = ec_flow_batch_fill(prepare->batch, prepare->sql, prepare->nargs, prepare->types, prepare->values,
									prepare->nulls);
	if (prepare->n > 0 && test_of(prepare->flow) != NULL)
		ec_flow_batch_need(prepare->batch, prepare->flow->condition.rows, false);
}

static bool
prepared(EcTick *tick, Prepare *prepare, EcTryRun run)
{
	ErrorData  *error = ec_try(run, prepare, false);

	if (error == NULL)
		return true;
	if (prepare->flow->id < 0)
		ReThrowError(error);	/* somebody is watching: flow_simulate.c */
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("flow \"%s\" cannot be started: %s", prepare->flow->name, error->message)));
	flow_set_error(tick, prepare->flow, error->message);
	return false;
}

/*
 * Start runs for candidates that a SELECT gives (columns as
 * ec_flow_batch_fill() wants them).  Returns groups of runs to be advanced.
 */
List *
ec_flow_match_rows(EcTick *tick, EcFlow *flow, const char *sql, int nargs, const Oid *types, const Datum *values,
				   const char *nulls)
{
	Prepare		prepare = {flow, NULL, sql, nargs, types, values, nulls, 0};
	List	   *groups = NIL;

	if (!prepared(tick, &prepare, prepare_compile))
		return NIL;
	prepare.batch = ec_flow_batch_create(tick->at);
	if (prepared(tick, &prepare, prepare_batch))
		groups = match_halving(tick, flow, prepare.batch, 1, prepare.n, NIL);
	ec_flow_batch_end(prepare.batch);
	return groups;
}

/* Can a condition be tested on the event log itself? */
static bool
condition_is_direct(EcFlow *flow)
{
	const EcFlowCondition *condition = test_of(flow);
	const uint32 direct = EC_ROW_BIT(EC_ROW_EVENT) | EC_ROW_BIT(EC_ROW_OLD) | EC_ROW_BIT(EC_ROW_NEW);

	return condition == NULL || (condition->keep && (condition->rows & ~direct) == 0);
}

/* EcTryRun: what the condition looks at is fetched, unless another flow has */
static void
prepare_rows(void *arg)
{
	Prepare    *prepare = arg;

	if (test_of(prepare->flow) != NULL)
		ec_flow_batch_need(prepare->batch, prepare->flow->condition.rows, false);
}

/*
 * Start runs of flows for the events of this tick; the flows have one kind of
 * event in common.  Returns groups of runs to be advanced.
 *
 * Several flows share the batch of events, and the rows that are fetched for
 * them.
 */
List *
ec_flow_match(EcTick *tick, List *flows)
{
	Prepare		prepare = {NULL};
	Oid			types[EC_EVENTS_OF_TICK_ARGS + 1];
	Datum		args[EC_EVENTS_OF_TICK_ARGS + 1];
	List	   *ready = NIL;
	List	   *groups = NIL;
	ListCell   *lc;

	foreach(lc, flows)
	{
		prepare.flow = lfirst(lc);
		if (prepared(tick, &prepare, prepare_compile))
			ready = lappend(ready, prepare.flow);
	}
	if (ready == NIL)
		return NIL;
	prepare.flow = linitial(ready);
	if (list_length(ready) == 1 && condition_is_direct(prepare.flow))
	{
		Match		match = {tick, prepare.flow};
		ErrorData  *error = ec_try(match_direct, &match, false);

		if (error == NULL)
			return runs_started(prepare.flow, match.ids, match.nids, NIL);
		FreeErrorData(error);
	}

	memcpy(types, ec_event_tick_types, sizeof(ec_event_tick_types));
	ec_event_tick_args(tick, args);
	types[5] = TEXTOID;
	args[5] = CStringGetTextDatum(prepare.flow->kind_name);
	prepare.sql = candidates_sql(prepare.flow);
	prepare.nargs = lengthof(types);
	prepare.types = types;
	prepare.values = args;
	prepare.batch = ec_flow_batch_create(tick->at);
	prepare.n = ec_flow_batch_fill(prepare.batch, prepare.sql, prepare.nargs, types, args, NULL);
	foreach(lc, ready)
	{
		prepare.flow = lfirst(lc);
		if (prepare.n > 0 && prepared(tick, &prepare, prepare_rows))
			groups = list_concat(groups, match_halving(tick, prepare.flow, prepare.batch, 1, prepare.n, NIL));
	}
	ec_flow_batch_end(prepare.batch);
	return groups;
}

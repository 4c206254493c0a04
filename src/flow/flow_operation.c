/*-------------------------------------------------------------------------
 *
 * flow_operation.c
 *		What each kind of operation does with the runs that stand at it.
 *
 * All are set-wise over a chunk.  Each run gets the operation that follows in
 * chunk->next, or EC_OP_REST if it waits or has ended, and a row that tells
 * what was decided about it, with the values that decided.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "flow/flow.h"
#include "flow/flow_batch.h"

/* a goal that does not say within what time */
#define GOAL_WITHIN "7 days"

/* The place of a run in a chunk; -1 if it is not in it. */
static int
chunk_place(const EcFlowChunk *chunk, int64 id)
{
	int			low = 0;
	int			high = chunk->n - 1;

	while (low <= high)
	{
		int			middle = low + (high - low) / 2;

		if (chunk->ids[middle] == id)
			return middle;
		if (chunk->ids[middle] < id)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return -1;
}

/* ---- conditions ---- */

/*
 * Ask a condition about the runs of a chunk.  met[i]: is it true; operands[i]:
 * jsonb of what it looked at.  Runs as the flow's definer.
 */
static void
evaluate(EcFlowChunk *chunk, EcFlowCondition *condition, bool *met, Datum *operands)
{
	MemoryContext caller = CurrentMemoryContext;
	EcFlowBatch *batch = ec_flow_batch_create(chunk->tick->at);
	Oid			definer = ec_flow_definer(chunk->flow);
	EcAs		as;

	PG_TRY();
	{
		ec_expr_begin(&as, definer);
		ec_flow_condition_compile(chunk->flow, condition, true);
		ec_expr_end(&as);
		(void) ec_flow_batch_of_runs(batch, ec_flow_ids(chunk->ids, chunk->n));
		ec_flow_batch_need(batch, condition->rows, false);

		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		ec_flow_batch_register(batch);
		ec_expr_begin(&as, definer);
		if (SPI_execute_with_args(psprintf("SELECT ec_e.run, (%s) IS TRUE, %s FROM ec_batch ec_e%s", condition->sql,
										   condition->operands, ec_flow_batch_joins(condition->rows)),
								  0, NULL, NULL, NULL, false, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not evaluate a condition of flow \"%s\"", chunk->flow->name);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			HeapTuple	tuple = SPI_tuptable->vals[i];
			TupleDesc	desc = SPI_tuptable->tupdesc;
			bool		isnull;
			int			place = chunk_place(chunk, DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull)));
			MemoryContext spi;

			if (place < 0)
				continue;
			met[place] = DatumGetBool(SPI_getbinval(tuple, desc, 2, &isnull));
			spi = MemoryContextSwitchTo(caller);
			operands[place] = PointerGetDatum(PG_DETOAST_DATUM_COPY(SPI_getbinval(tuple, desc, 3, &isnull)));
			MemoryContextSwitchTo(spi);
		}
		ec_expr_end(&as);
		SPI_finish();
	}
	PG_FINALLY();
	{
		ec_flow_batch_end(batch);
	}
	PG_END_TRY();
}

/* Text datums that say of each run whether the condition was met. */
static Datum *
outcomes_of(const EcFlowChunk *chunk, const bool *met, const char *yes, const char *no)
{
	Datum	   *outcomes = palloc(sizeof(Datum) * chunk->n);
	Datum		yes_text = CStringGetTextDatum(yes);
	Datum		no_text = CStringGetTextDatum(no);

	for (int i = 0; i < chunk->n; i++)
		outcomes[i] = met[i] ? yes_text : no_text;
	return outcomes;
}

/* Those of a chunk for which which[i] is as wanted. */
static int
pick(const EcFlowChunk *chunk, const bool *which, bool wanted, int64 *ids)
{
	int			n = 0;

	for (int i = 0; i < chunk->n; i++)
		if (which[i] == wanted)
			ids[n++] = chunk->ids[i];
	return n;
}

/* The delay of the trigger is over: is its condition met now? */
void
ec_flow_entry(EcFlowChunk *chunk)
{
	EcFlowCondition *condition = &chunk->flow->condition;
	bool	   *met = palloc0(sizeof(bool) * chunk->n);
	Datum	   *operands = palloc0(sizeof(Datum) * chunk->n);
	int64	   *ids = palloc(sizeof(int64) * chunk->n);

	for (int i = 0; i < chunk->n; i++)
		chunk->next[i] = 0;
	if (condition->text == NULL)
		return;
	evaluate(chunk, condition, met, operands);
	ec_flow_decide(chunk, condition->path, "if", chunk->ids, chunk->n, NULL, outcomes_of(chunk, met, "met", "not met"),
				   operands, NULL);
	ec_flow_finish(chunk->tick, ids, pick(chunk, met, false, ids), "condition");
	for (int i = 0; i < chunk->n; i++)
		if (!met[i])
			chunk->next[i] = EC_OP_REST;
}

/* End the runs that exit_if says are over; left[i]: this was one. */
void
ec_flow_exit_if(EcFlowChunk *chunk, bool *left)
{
	EcFlowCondition *condition = &chunk->flow->exit_if;
	Datum	   *operands = palloc0(sizeof(Datum) * chunk->n);
	int64	   *ids = palloc(sizeof(int64) * chunk->n);

	evaluate(chunk, condition, left, operands);
	ec_flow_decide(chunk, condition->path, "exit_if", chunk->ids, chunk->n, NULL,
				   outcomes_of(chunk, left, "exit", "stay"), operands, NULL);
	ec_flow_finish(chunk->tick, ids, pick(chunk, left, true, ids), "exit_if");
}

static void
operation_if(EcFlowChunk *chunk, EcFlowOp *op)
{
	bool	   *met = palloc0(sizeof(bool) * chunk->n);
	Datum	   *operands = palloc0(sizeof(Datum) * chunk->n);

	evaluate(chunk, &op->condition, met, operands);
	ec_flow_decide(chunk, op->path, "if", chunk->ids, chunk->n, NULL, outcomes_of(chunk, met, "then", "else"), operands, NULL);
	for (int i = 0; i < chunk->n; i++)
		chunk->next[i] = met[i] ? op->next : op->other;
}

/* ---- experiments ---- */

/* The place of each run's customer in an experiment: from 0 to below 1. */
static void
buckets_of(EcFlowChunk *chunk, const char *name, double *buckets)
{
	static const Oid types[] = {TEXTOID, INT8ARRAYOID};
	Datum		args[2];
	EcAs		as;

	args[0] = CStringGetTextDatum(name);
	args[1] = PointerGetDatum(ec_flow_ids(chunk->ids, chunk->n));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("SELECT r.id, ecauto.bucket($1, coalesce(r.customer, r.session, r.subject)) "
								 "FROM ecauto_data.flow_run r WHERE r.id = ANY ($2)", 2, types),
						 args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not draw for an experiment");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		HeapTuple	tuple = SPI_tuptable->vals[i];
		int			place = chunk_place(chunk, DatumGetInt64(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull)));

		if (place >= 0)
			buckets[place] = DatumGetFloat8(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull));
	}
	ec_as_end(&as);
	SPI_finish();
}

static Datum *
bucket_details(const EcFlowChunk *chunk, const EcFlowOp *op, const double *buckets)
{
	Datum	   *details = palloc(sizeof(Datum) * chunk->n);
	StringInfoData name;

	initStringInfo(&name);
	escape_json(&name, op->name);
	for (int i = 0; i < chunk->n; i++)
		details[i] = DirectFunctionCall1(jsonb_in, CStringGetDatum(psprintf("{\"name\": %s, \"bucket\": %.6f}", name.data, buckets[i])));
	return details;
}

static void
operation_split(EcFlowChunk *chunk, EcFlowOp *op)
{
	double	   *buckets = palloc0(sizeof(double) * chunk->n);
	Datum	   *outcomes = palloc(sizeof(Datum) * chunk->n);

	buckets_of(chunk, op->name, buckets);
	for (int i = 0; i < chunk->n; i++)
	{
		int			arm = 0;

		while (arm < op->narms - 1 && buckets[i] >= op->arms[arm].upto)
			arm++;
		chunk->next[i] = op->arms[arm].target;
		outcomes[i] = CStringGetTextDatum(op->arms[arm].name);
	}
	ec_flow_decide(chunk, op->path, op->verb, chunk->ids, chunk->n, NULL, outcomes, NULL,
				   bucket_details(chunk, op, buckets));
}

static void
operation_holdout(EcFlowChunk *chunk, EcFlowOp *op)
{
	double	   *buckets = palloc0(sizeof(double) * chunk->n);
	bool	   *held = palloc0(sizeof(bool) * chunk->n);
	int64	   *ids = palloc(sizeof(int64) * chunk->n);

	buckets_of(chunk, op->name, buckets);
	for (int i = 0; i < chunk->n; i++)
	{
		held[i] = buckets[i] < op->share;
		chunk->next[i] = held[i] ? EC_OP_REST : op->next;
	}
	ec_flow_decide(chunk, op->path, op->verb, chunk->ids, chunk->n, NULL, outcomes_of(chunk, held, "held out", "goes on"),
				   NULL, bucket_details(chunk, op, buckets));
	ec_flow_finish(chunk->tick, ids, pick(chunk, held, true, ids), "holdout");
}

/* ---- time ---- */

/* SQL of when a wait that begins at a time ends. */
const char *
ec_flow_wait_sql(const EcFlowOp *op, TimestampTz at)
{
	const char *span = GOAL_WITHIN;

	if (op->until != NULL)
		return psprintf("'%s'::timestamptz", timestamptz_to_str(ec_flow_schedule_next(op->until, at, NULL)));
	if (op->span != NULL)
		span = DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(op->span)));
	return psprintf("'%s'::timestamptz + '%s'::interval", timestamptz_to_str(at), span);
}

/*
 * Do runs rest at the first operation, whatever they are?  Then they are
 * inserted as waiting.
 */
bool
ec_flow_op_rests_first(const EcFlow *flow)
{
	const EcFlowOp *op = &flow->ops[0];

	return op->kind == EC_OP_WAIT && op->event == NULL && flow->exit_if.text == NULL;
}

/* A wait, or a goal that has not come yet. */
static void
operation_wait(EcFlowChunk *chunk, EcFlowOp *op)
{
	static const Oid types[] = {INT8ARRAYOID, TEXTOID};
	Datum		args[2];

	args[0] = PointerGetDatum(ec_flow_ids(chunk->ids, chunk->n));
	args[1] = CStringGetTextDatum(op->path);
	ec_flow_state_run(psprintf("UPDATE ecauto_data.flow_run r SET state = 'waiting', step = $2, wake_at = %s, attempts = 0, "
							   "error = NULL WHERE r.id = ANY ($1)", ec_flow_wait_sql(op, chunk->tick->at)),
					  2, types, args, NULL);
	if (op->kind == EC_OP_WAIT && op->event != NULL)
		ec_flow_wait_register(chunk->flow, op, chunk->ids, chunk->n);
	for (int i = 0; i < chunk->n; i++)
		chunk->next[i] = EC_OP_REST;
}

/* ---- loops ---- */

/*
 * To the next line: the body, or what follows the loop.  A run that comes here
 * for the first time gets the lines as they are now, and keeps them.
 */
static void
operation_for_each(EcFlowChunk *chunk, EcFlowOp *op)
{
	static const Oid types[] = {INT8ARRAYOID};
	EcFlowBatch *batch = ec_flow_batch_create(chunk->tick->at);
	bool		order = strcmp(op->name, "order_line") == 0;
	Datum		args[1];
	int64	   *done = palloc(sizeof(int64) * chunk->n);
	int			ndone = 0;
	EcAs		as;

	PG_TRY();
	{
		(void) ec_flow_batch_of_runs(batch, ec_flow_ids(chunk->ids, chunk->n));
		ec_flow_batch_need(batch, 0, true);
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		ec_flow_batch_register(batch);
		ec_as_state_owner(&as);
		if (SPI_execute(psprintf("UPDATE ecauto_data.flow_run r SET lines = coalesce(r.lines, l.lines, '[]'), "
								 "line = CASE WHEN r.lines IS NULL THEN 0 ELSE r.line + 1 END "
								 "FROM ec_batch b LEFT JOIN ec_rows_%s_lines l ON l.key = b.%s_key "
								 "WHERE r.id = b.run RETURNING r.id, r.line < pg_catalog.jsonb_array_length(r.lines)",
								 order ? "order" : "cart", order ? "order" : "cart"), false, 0) != SPI_OK_UPDATE_RETURNING)
			elog(ERROR, "could not go to the next line");
		for (int i = 0; i < chunk->n; i++)
			chunk->next[i] = EC_OP_REST;
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			bool		isnull;
			HeapTuple	tuple = SPI_tuptable->vals[i];
			int64		id = DatumGetInt64(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull));
			bool		more = DatumGetBool(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull));
			int			place = chunk_place(chunk, id);

			if (place < 0)
				continue;
			chunk->next[place] = more ? op->next : op->other;
			if (!more)
				done[ndone++] = id;
		}
		ec_as_end(&as);
		SPI_finish();
	}
	PG_FINALLY();
	{
		ec_flow_batch_end(batch);
	}
	PG_END_TRY();
	if (ndone == 0)
		return;
	args[0] = PointerGetDatum(ec_flow_ids(done, ndone));
	ec_flow_state_run("UPDATE ecauto_data.flow_run r SET lines = NULL, line = NULL WHERE r.id = ANY ($1)", 1, types, args, NULL);
}

/* ---- all of them ---- */

/* EcFlowChunk through its operation, which is a step. */
void
ec_flow_operation(EcFlowChunk *chunk)
{
	EcFlowOp   *op = &chunk->flow->ops[chunk->op];

	switch (op->kind)
	{
		case EC_OP_ACTION:
			ec_flow_act(chunk);
			break;
		case EC_OP_WAIT:
		case EC_OP_GOAL:
			operation_wait(chunk, op);
			break;
		case EC_OP_IF:
			operation_if(chunk, op);
			break;
		case EC_OP_SPLIT:
			operation_split(chunk, op);
			break;
		case EC_OP_HOLDOUT:
			operation_holdout(chunk, op);
			break;
		case EC_OP_FOR_EACH:
			operation_for_each(chunk, op);
			break;
		case EC_OP_EXIT:
			ec_flow_decide(chunk, op->path, op->verb, chunk->ids, chunk->n, op->name != NULL ? op->name : "exit", NULL, NULL, NULL);
			ec_flow_finish(chunk->tick, chunk->ids, chunk->n, "exit");
			for (int i = 0; i < chunk->n; i++)
				chunk->next[i] = EC_OP_REST;
			break;
	}
}

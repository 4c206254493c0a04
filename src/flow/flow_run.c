/*-------------------------------------------------------------------------
 *
 * flow_run.c
 *		Runs go from operation to operation, all that stand at the same one
 *		together.
 *
 * A tick has groups of runs that are to go on: new ones, those that are due,
 * those whose event came.  A group is taken through its operation a chunk at
 * a time; the operation says for each run what follows, and that makes new
 * groups, until every run rests or has ended.  Only then its row is written.
 * Groups deep inside of the definition go first, so that branches meet again
 * before what follows them is done.
 *
 * Each chunk is done in a subtransaction.  If it fails, its halves are tried,
 * and theirs, until the run that raises the error stands alone: it is tried
 * again later, some times, and then parked with its error.  Nothing else is
 * touched by it.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/elog.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "flow/flow.h"

/* runs that one statement takes */
#define CHUNK_RUNS 10000

/* waits before a failed step is tried again, in minutes; then it is parked */
static const int retry_minutes[] = {1, 5, 30, 120, 720};

/* ---- small things ---- */

ArrayType *
ec_flow_ids(const int64 *ids, int n)
{
	Datum	   *values = palloc_extended(sizeof(Datum) * (n + 1), MCXT_ALLOC_HUGE);

	for (int i = 0; i < n; i++)
		values[i] = Int64GetDatum(ids[i]);
	return construct_array(values, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
}

/*
 * Run a statement on the state as its owner, under the settings of conditions
 * (so that days are the shop's); its rows are not wanted.
 */
void
ec_flow_state_run(const char *sql, int nargs, const Oid *types, const Datum *values, const char *nulls)
{
	EcAs		as;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_expr_begin_as_owner(&as);
	if (SPI_execute_plan(ec_plan(sql, nargs, types), (Datum *) values, nulls, false, 0) < 0)
		elog(ERROR, "could not run \"%s\"", sql);
	ec_expr_end(&as);
	SPI_finish();
}

static ArrayType *
array_of(Datum *values, int n, Oid type, int16 length, bool byvalue, char align)
{
	bool	   *nulls = palloc0(sizeof(bool) * (n + 1));
	int			dims[1] = {n};
	int			lower[1] = {1};

	/* a null pointer stands for NULL */
	for (int i = 0; i < n; i++)
		nulls[i] = values == NULL || DatumGetPointer(values[i]) == NULL;
	if (values == NULL)
		values = palloc0(sizeof(Datum) * (n + 1));
	return construct_md_array(values, nulls, 1, dims, lower, type, length, byvalue, align);
}

/*
 * Write down a decision about each of some runs.  Either all have one outcome
 * or each its own (text); operands and details are jsonb, arrays or elements
 * of them may be NULL.
 */
void
ec_flow_decide(EcFlowChunk *chunk, const char *path, const char *step, const int64 *ids, int n,
			   const char *outcome, Datum *outcomes, Datum *operands, Datum *details)
{
	static const Oid types[] = {TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, INT8ARRAYOID, TEXTARRAYOID,
	JSONBARRAYOID, JSONBARRAYOID};
	Datum		args[8];
	char		nulls[] = "        ";

	if (n == 0)
		return;
	args[0] = TimestampTzGetDatum(chunk->tick->at);
	args[1] = CStringGetTextDatum(path);
	args[2] = CStringGetTextDatum(step);
	args[3] = outcome != NULL ? CStringGetTextDatum(outcome) : (Datum) 0;
	nulls[3] = outcome != NULL ? ' ' : 'n';
	args[4] = PointerGetDatum(ec_flow_ids(ids, n));
	args[5] = PointerGetDatum(array_of(outcomes, n, TEXTOID, -1, false, TYPALIGN_INT));
	args[6] = PointerGetDatum(array_of(operands, n, JSONBOID, -1, false, TYPALIGN_INT));
	args[7] = PointerGetDatum(array_of(details, n, JSONBOID, -1, false, TYPALIGN_INT));
	ec_flow_state_run("INSERT INTO ecauto_data.flow_decision (run, at, path, step, outcome, operands, detail) "
					  "SELECT u.run, $1, $2, $3, coalesce(u.outcome, $4), u.operands, u.detail "
					  "FROM ROWS FROM (pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7), pg_catalog.unnest($8)) "
					  "AS u (run, outcome, operands, detail)", 8, types, args, nulls);
}

/* End runs. */
void
ec_flow_finish(EcTick *tick, const int64 *ids, int n, const char *outcome)
{
	static const Oid types[] = {TIMESTAMPTZOID, INT8ARRAYOID, TEXTOID};
	Datum		args[3];

	if (n == 0)
		return;
	args[0] = TimestampTzGetDatum(tick->at);
	args[1] = PointerGetDatum(ec_flow_ids(ids, n));
	args[2] = CStringGetTextDatum(outcome);
	/* a run that reached its goal before stays one that did */
	ec_flow_state_run("UPDATE ecauto_data.flow_run r SET state = 'done', step = NULL, wake_at = NULL, finished_at = $1, "
					  "outcome = CASE WHEN $3 = 'finished' THEN coalesce(r.outcome, $3) ELSE $3 END, error = NULL "
					  "WHERE r.id = ANY ($2)", 3, types, args, NULL);
	ec_flow_state_run("DELETE FROM ecauto_data.flow_wait w WHERE w.run = ANY ($1)", 1, types + 1, args + 1, NULL);
}

/* ---- groups ---- */

/*
 * Add runs to the group that stands at an operation; groups and ids live in
 * the current context.
 */
List *
ec_flow_group_add(List *groups, EcFlow *flow, int op, const int64 *ids, int n)
{
	EcFlowGroup *group = NULL;
	ListCell   *lc;

	if (n == 0 || op == EC_OP_REST)
		return groups;
	foreach(lc, groups)
	{
		group = lfirst(lc);
		if (group->flow == flow && group->op == op)
			break;
		group = NULL;
	}
	if (group == NULL)
	{
		group = palloc0(sizeof(EcFlowGroup));
		group->flow = flow;
		group->op = op;
		groups = lappend(groups, group);
	}
	if (group->n + n > group->size)
	{
		group->size = Max(group->n + n, group->size * 2);
		group->ids = group->ids == NULL ? palloc_extended(sizeof(int64) * group->size, MCXT_ALLOC_HUGE) :
			repalloc_huge(group->ids, sizeof(int64) * group->size);
	}
	memcpy(group->ids + group->n, ids, sizeof(int64) * n);
	group->n += n;
	return groups;
}

/* ---- one chunk ---- */

/* EcTryRun */
static void
chunk_run(void *arg)
{
	EcFlowChunk *chunk = arg;
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "ecauto flow chunk", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(work);

	if (chunk->op == EC_OP_END)
	{
		ec_flow_finish(chunk->tick, chunk->ids, chunk->n, "finished");
		for (int i = 0; i < chunk->n; i++)
			chunk->next[i] = EC_OP_REST;
	}
	else if (chunk->op == EC_OP_ENTRY)
		ec_flow_entry(chunk);
	else
	{
		bool	   *left = NULL;
		EcFlowChunk staying = *chunk;
		int		   *places;

		if (chunk->flow->exit_if.text != NULL)
		{
			left = palloc0(sizeof(bool) * chunk->n);
			ec_flow_exit_if(chunk, left);
		}
		staying.n = 0;
		staying.ids = palloc(sizeof(int64) * chunk->n);
		staying.next = palloc(sizeof(int) * chunk->n);
		places = palloc(sizeof(int) * chunk->n);
		for (int i = 0; i < chunk->n; i++)
		{
			chunk->next[i] = EC_OP_REST;
			if (left != NULL && left[i])
				continue;
			places[staying.n] = i;
			staying.ids[staying.n++] = chunk->ids[i];
		}
		if (staying.n > 0)
			ec_flow_operation(&staying);
		for (int i = 0; i < staying.n; i++)
			chunk->next[places[i]] = staying.next[i];
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(work);
}

/* A run whose step failed: again later, or no more. */
static void
run_failed(EcFlowChunk *chunk, const ErrorData *error)
{
	static const Oid types[] = {TIMESTAMPTZOID, INT8OID, TEXTOID, TEXTOID, INT4OID, INT4ARRAYOID};
	const char *path = chunk->op == EC_OP_ENTRY ? "" : chunk->op == EC_OP_END ? NULL : chunk->flow->ops[chunk->op].path;
	Datum		minutes[lengthof(retry_minutes)];
	StringInfoData json;
	Datum		detail[1];
	Datum		args[6];
	char		nulls[] = "      ";

	for (int i = 0; i < lengthof(retry_minutes); i++)
		minutes[i] = Int32GetDatum(retry_minutes[i]);
	args[0] = TimestampTzGetDatum(chunk->tick->at);
	args[1] = Int64GetDatum(chunk->ids[0]);
	args[2] = path != NULL ? CStringGetTextDatum(path) : (Datum) 0;
	nulls[2] = path != NULL ? ' ' : 'n';
	args[3] = CStringGetTextDatum(error->message);
	args[4] = Int32GetDatum(lengthof(retry_minutes));
	args[5] = PointerGetDatum(construct_array(minutes, lengthof(retry_minutes), INT4OID, 4, true, TYPALIGN_INT));
	ec_flow_state_run("UPDATE ecauto_data.flow_run r SET attempts = r.attempts + 1, error = $4, step = $3, "
					  "state = CASE WHEN r.attempts < $5 THEN 'retry' ELSE 'failed' END, "
					  "wake_at = CASE WHEN r.attempts < $5 THEN $1 + pg_catalog.make_interval(mins => $6[r.attempts + 1]) END "
					  "WHERE r.id = $2", 6, types, args, nulls);
	initStringInfo(&json);
	appendStringInfo(&json, "{\"code\": \"%s\", \"error\": ", unpack_sql_state(error->sqlerrcode));
	escape_json(&json, error->message);
	appendStringInfoChar(&json, '}');
	detail[0] = DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
	ec_flow_decide(chunk, path != NULL ? path : "", chunk->op >= 0 ? chunk->flow->ops[chunk->op].verb : "if", chunk->ids, 1,
				   "error", NULL, NULL, detail);
}

/* Take a chunk through its operation, whoever in it fails. */
static void
chunk_halving(EcFlowChunk *chunk)
{
	ErrorData  *error;
	EcFlowChunk half = *chunk;

	CHECK_FOR_INTERRUPTS();
	if (chunk->n == 0)
		return;
	error = ec_try(chunk_run, chunk, false);
	if (error == NULL)
		return;
	if (chunk->n == 1)
	{
		chunk->next[0] = EC_OP_REST;
		run_failed(chunk, error);
		return;
	}
	FreeErrorData(error);
	half.n = chunk->n / 2;
	chunk_halving(&half);
	half.ids = chunk->ids + half.n;
	half.next = chunk->next + half.n;
	half.n = chunk->n - half.n;
	chunk_halving(&half);
}

static int
compare_ids(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y;
}

/* The group that goes next: the deepest of its flow; the end comes last. */
static EcFlowGroup *
group_choose(List *groups)
{
	EcFlowGroup *best = linitial(groups);
	ListCell   *lc;

	foreach(lc, groups)
	{
		EcFlowGroup *group = lfirst(lc);

		if (group->flow == best->flow && group->op > best->op)
			best = group;
	}
	return best;
}

/*
 * Let groups of runs go on until each of them rests or has ended.
 */
void
ec_flow_advance(EcTick *tick, List *groups)
{
	while (groups != NIL)
	{
		EcFlowGroup *group = group_choose(groups);
		EcFlow	   *flow = group->flow;
		int		   *next = palloc_extended(sizeof(int) * group->n, MCXT_ALLOC_HUGE);
		int64	   *ids = palloc_extended(sizeof(int64) * group->n, MCXT_ALLOC_HUGE);

		groups = list_delete_ptr(groups, group);
		qsort(group->ids, group->n, sizeof(int64), compare_ids);
		for (int from = 0; from < group->n; from += CHUNK_RUNS)
		{
			EcFlowChunk chunk = {tick, flow, group->op, Min(CHUNK_RUNS, group->n - from),
			group->ids + from, next + from};

			chunk_halving(&chunk);
		}
		/* those that go on, by where */
		for (int op = EC_OP_END; op < flow->nops; op++)
		{
			int			n = 0;

			for (int i = 0; i < group->n; i++)
				if (next[i] == op)
					ids[n++] = group->ids[i];
			groups = ec_flow_group_add(groups, flow, op, ids, n);
		}
		pfree(next);
		pfree(ids);
		pfree(group->ids);
		pfree(group);
	}
}

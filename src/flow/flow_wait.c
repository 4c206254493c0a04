/*-------------------------------------------------------------------------
 *
 * flow_wait.c
 *		Runs that wait: for an event, for a goal, for their time.
 *
 * flow_wait has a row for each event that would wake a run: the kind, and
 * whose it must be.  The events of a tick look there by index, only if their
 * kind is waited for at all.  What waits for its time is found by the index
 * on wake_at, in the order of time; the others are not looked at.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "event/event.h"
#include "flow/flow.h"

/* runs that one tick takes for being due; the rest follow in the next, at once */
#define DUE_PER_TICK 50000

/* ---- registering ---- */

/* Whose event it is, unless the step says; more than one: any of them will do. */
static const char *
whose_default(const EcFlow *flow, const EcFlowOp *op)
{
	const char *kind = op->event;
	bool		order = (flow->rows & EC_ROW_BIT(EC_ROW_ORDER)) != 0 && flow->kind->role != NULL;
	bool		cart = flow->kind->role != NULL && strcmp(flow->kind->role, "cart") == 0;

	if (op->whose != NULL)
		return op->whose;
	if (strncmp(kind, "stock.", 6) == 0 || strncmp(kind, "price.", 6) == 0 || strncmp(kind, "sku.", 4) == 0)
		return "sku";
	if (strncmp(kind, "product.", 8) == 0)
		return "product";
	if (strncmp(kind, "order.", 6) == 0 && strcmp(kind, "order.placed") != 0 && order && !cart)
		return "order";
	if (strncmp(kind, "cart.", 5) == 0 && cart)
		return "cart";
	return "any";
}

static const char *
keys_sql(const char *whose)
{
	if (strcmp(whose, "customer") == 0)
		return "('customer:' || r.customer)";
	if (strcmp(whose, "order") == 0)
		return "('order:' || CASE WHEN r.role = 'order' THEN r.key ELSE r.new ->> 'order_key' END)";
	if (strcmp(whose, "cart") == 0)
		return "('cart:' || CASE WHEN r.role = 'cart' THEN r.key ELSE r.new ->> 'cart_key' END)";
	if (strcmp(whose, "sku") == 0)
		return "('sku:' || r.sku)";
	if (strcmp(whose, "product") == 0)
		return "('product:' || CASE WHEN r.role = 'product' THEN r.key "
			"ELSE (SELECT s.product_key FROM ecauto_data.seen_sku s WHERE s.key = r.sku) END)";
	if (strcmp(whose, "session") == 0)
		return "('session:' || r.session)";
	/* any: the customer, and what stands for him while nobody knows him */
	return "('customer:' || r.customer), ('session:' || r.session), (CASE WHEN r.role = 'cart' THEN 'cart:' || r.key END)";
}

/* Runs wait for the event of an operation (or have it as their goal). */
void
ec_flow_wait_register(EcFlow *flow, const EcFlowOp *op, const int64 *ids, int n)
{
	static const Oid types[] = {INT8ARRAYOID, TEXTOID, TEXTOID};
	Datum		args[3];

	args[0] = PointerGetDatum(ec_flow_ids(ids, n));
	args[1] = CStringGetTextDatum(op->event);
	args[2] = CStringGetTextDatum(op->path);
	ec_flow_state_run(psprintf("INSERT INTO ecauto_data.flow_wait (kind, key, run, step) "
							   "SELECT $2, k.key, r.id, $3 FROM ecauto_data.flow_run r CROSS JOIN LATERAL (VALUES %s) AS k (key) "
							   "WHERE r.id = ANY ($1) AND k.key IS NOT NULL ON CONFLICT DO NOTHING",
							   keys_sql(whose_default(flow, op))), 3, types, args, NULL);
}

/* New runs: whatever is a goal of their flow may come from now on. */
void
ec_flow_goals_register(EcFlow *flow, const int64 *ids, int n)
{
	for (int i = 0; i < flow->nops && n > 0; i++)
		if (flow->ops[i].kind == EC_OP_GOAL)
			ec_flow_wait_register(flow, &flow->ops[i], ids, n);
}

/* ---- waking ---- */

/* A run that goes on, as a statement tells of it. */
typedef struct Woken
{
	int64		id;
	EcFlow	   *flow;
	int			op;				/* where it waited; may be EC_OP_END, EC_OP_ENTRY */
	bool		retry;			/* that is to be done again */
	Datum		detail;			/* jsonb, or a null pointer */
} Woken;

/*
 * Decisions and groups for runs that go on.  outcome(op) says in a word why;
 * they come grouped by operation.
 */
static List *
woken_go(EcTick *tick, Woken *woken, int n, bool came, List *groups)
{
	EcFlowChunk chunk = {tick};
	int64	   *ids = palloc(sizeof(int64) * (n + 1));
	Datum	   *details = palloc(sizeof(Datum) * (n + 1));

	for (int from = 0; from < n;)
	{
		EcFlow	   *flow = woken[from].flow;
		int			index = woken[from].op;
		bool		retry = woken[from].retry;
		EcFlowOp   *op = index >= 0 ? &flow->ops[index] : NULL;
		int			next = index;
		int			count = 0;

		while (from < n && woken[from].flow == flow && woken[from].op == index && woken[from].retry == retry)
		{
			details[count] = woken[from].detail;
			ids[count++] = woken[from++].id;
		}
		if (!retry && op != NULL && (op->kind == EC_OP_WAIT || op->kind == EC_OP_GOAL))
		{
			bool		timed_out = op->event != NULL && !came;

			next = timed_out && op->kind == EC_OP_WAIT ? op->other : op->next;
			ec_flow_decide(&chunk, op->path, op->verb, ids, count,
						   op->kind == EC_OP_GOAL ? (came ? "reached" : "not reached") :
						   op->event == NULL ? "over" : came ? "event came" : "timed out", NULL, NULL, came ? details : NULL);
		}
		groups = ec_flow_group_add(groups, flow, next, ids, count);
	}
	return groups;
}

static int
woken_compare(const void *a, const void *b)
{
	const Woken *x = a;
	const Woken *y = b;

	if (x->flow != y->flow)
		return x->flow->id != y->flow->id ? (x->flow->id < y->flow->id ? -1 : 1) :
			x->flow->version < y->flow->version ? -1 : 1;
	if (x->op != y->op)
		return x->op < y->op ? -1 : 1;
	if (x->retry != y->retry)
		return x->retry ? 1 : -1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* One row of a statement: id, flow, version, step, state or NULL, detail. */
static void
woken_read(Woken *woken, int row, MemoryContext context)
{
	HeapTuple	tuple = SPI_tuptable->vals[row];
	TupleDesc	desc = SPI_tuptable->tupdesc;
	bool		isnull;
	char	   *step = SPI_getvalue(tuple, desc, 4);
	char	   *state = SPI_getvalue(tuple, desc, 5);
	Datum		detail;

	woken->id = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
	woken->flow = ec_flow_load(DatumGetInt32(SPI_getbinval(tuple, desc, 2, &isnull)),
							   DatumGetInt32(SPI_getbinval(tuple, desc, 3, &isnull)));
	woken->op = step != NULL && *step == '\0' ? EC_OP_ENTRY : ec_flow_op_by_path(woken->flow, step);
	if (woken->op == EC_OP_REST)
		elog(ERROR, "flow \"%s\" has no step \"%s\" in version %d", woken->flow->name, step, woken->flow->version);
	woken->retry = state != NULL && strcmp(state, "retry") == 0;
	woken->detail = (Datum) 0;
	detail = SPI_getbinval(tuple, desc, 6, &isnull);
	if (!isnull)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		woken->detail = PointerGetDatum(PG_DETOAST_DATUM_COPY(detail));
		MemoryContextSwitchTo(old);
	}
}

static const char wake_sql[] =
	"WITH RECURSIVE kinds AS ("
	"  (SELECT w.kind FROM ecauto_data.flow_wait w ORDER BY w.kind LIMIT 1) UNION ALL "
	"  SELECT (SELECT w.kind FROM ecauto_data.flow_wait w WHERE w.kind > k.kind ORDER BY w.kind LIMIT 1) "
	"  FROM kinds k WHERE k.kind IS NOT NULL), "
	"e AS MATERIALIZED (SELECT e.event_id, e.at, e.kind, k.key FROM " EC_EVENTS_OF_TICK " e "
	"  LEFT JOIN ecauto_data.identity i ON e.customer IS NULL AND i.session = e.session "
	"  CROSS JOIN LATERAL (VALUES ('customer:' || coalesce(e.customer, i.customer, "
	"      CASE WHEN e.role IN ('order', 'cart') THEN pg_catalog.lower(e.new ->> 'email') END)), "
	"    ('session:' || e.session), ('sku:' || e.sku), "
	"    ('order:' || CASE WHEN e.role = 'order' THEN e.key ELSE e.new ->> 'order_key' END), "
	"    ('cart:' || CASE WHEN e.role = 'cart' THEN e.key ELSE e.new ->> 'cart_key' END), "
	"    ('product:' || CASE WHEN e.role = 'product' THEN e.key END)) AS k (key) "
	"  WHERE e.kind = ANY (ARRAY(SELECT k.kind FROM kinds k WHERE k.kind IS NOT NULL)) AND k.key IS NOT NULL), "
	"w AS MATERIALIZED (SELECT DISTINCT ON (w.run, w.step) w.run, w.step, e.kind, e.event_id, e.at, r.flow, r.version, "
	"    r.step AS at_step, r.state "
	"  FROM e JOIN ecauto_data.flow_wait w ON w.kind = e.kind AND w.key = e.key COLLATE \"C\" "
	"  JOIN ecauto_data.flow_run r ON r.id = w.run "
	"  WHERE r.state IN ('waiting', 'retry') AND ($6 = 0 OR r.flow = $6) "
	"  ORDER BY w.run, w.step, e.at, e.event_id) "
	"SELECT w.run, w.flow, w.version, w.step, "
	"  CASE WHEN w.step = w.at_step AND w.state = 'waiting' THEN 'here' END, "
	"  pg_catalog.jsonb_build_object('event', w.event_id, 'kind', w.kind, 'at', w.at) FROM w";

/*
 * The events of this tick wake the runs that wait for them, those of all
 * flows (only: 0) or of one; a goal takes its run away from wherever it is.
 */
List *
ec_flow_waits_wake(EcTick *tick, int32 only, List *groups)
{
	Oid			types[EC_EVENTS_OF_TICK_ARGS + 1];
	static const Oid id_types[] = {INT8ARRAYOID, TEXTARRAYOID};
	MemoryContext caller = CurrentMemoryContext;
	Datum		args[EC_EVENTS_OF_TICK_ARGS + 1];
	Woken	   *woken;
	int64	   *goal_ids;
	int64	   *ids;
	int			ngoals = 0;
	int			n = 0;
	int			kept = 0;
	EcAs		as;

	memcpy(types, ec_event_tick_types, sizeof(ec_event_tick_types));
	types[EC_EVENTS_OF_TICK_ARGS] = INT4OID;
	ec_event_tick_args(tick, args);
	args[EC_EVENTS_OF_TICK_ARGS] = Int32GetDatum(only);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan(wake_sql, lengthof(types), types), args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for runs that wait for events");
	ec_as_end(&as);
	woken = MemoryContextAllocHuge(caller, sizeof(Woken) * (SPI_processed + 1));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Woken	   *w = &woken[n];
		bool		here;

		woken_read(w, i, caller);
		here = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 5) != NULL;
		/* a wait that the run has left, or not come to */
		if (w->op < 0 || (w->flow->ops[w->op].kind == EC_OP_WAIT && !here))
			continue;
		n++;
	}
	SPI_finish();
	if (n == 0)
		return groups;

	/* of several for one run, the goal counts */
	ids = palloc(sizeof(int64) * n);
	goal_ids = palloc(sizeof(int64) * n);
	for (int i = 0; i < n; i++)
	{
		bool		goal = woken[i].flow->ops[woken[i].op].kind == EC_OP_GOAL;

		if (kept > 0 && woken[kept - 1].id == woken[i].id)
		{
			if (goal && woken[kept - 1].flow->ops[woken[kept - 1].op].kind != EC_OP_GOAL)
				woken[kept - 1] = woken[i];
			continue;
		}
		woken[kept++] = woken[i];
	}
	for (int i = 0; i < kept; i++)
	{
		ids[i] = woken[i].id;
		if (woken[i].flow->ops[woken[i].op].kind == EC_OP_GOAL)
			goal_ids[ngoals++] = woken[i].id;
	}
	args[0] = PointerGetDatum(ec_flow_ids(ids, kept));
	ec_flow_state_run("UPDATE ecauto_data.flow_run r SET state = 'waiting', attempts = 0, wake_at = NULL "
					  "WHERE r.id = ANY ($1)", 1, id_types, args, NULL);
	if (ngoals > 0)
	{
		args[0] = PointerGetDatum(ec_flow_ids(goal_ids, ngoals));
		ec_flow_state_run("UPDATE ecauto_data.flow_run r SET outcome = 'goal', line = NULL, lines = NULL "
						  "WHERE r.id = ANY ($1)", 1, id_types, args, NULL);
	}
	/* what is behind them; goals of theirs that are still ahead stay */
	for (int i = 0; i < kept; i++)
	{
		static const Oid types[] = {INT8OID, TEXTOID};
		Datum		values[2];

		values[0] = Int64GetDatum(woken[i].id);
		values[1] = CStringGetTextDatum(woken[i].flow->ops[woken[i].op].path);
		ec_flow_state_run("DELETE FROM ecauto_data.flow_wait w WHERE w.run = $1 AND w.step = $2", 2, types, values, NULL);
	}
	qsort(woken, kept, sizeof(Woken), woken_compare);
	return woken_go(tick, woken, kept, true, groups);
}

/* Runs whose time has come, of all flows (only: 0) or of one. */
List *
ec_flow_due(EcTick *tick, int32 only, List *groups)
{
	static const Oid types[] = {TIMESTAMPTZOID, INT8OID, INT4OID};
	MemoryContext caller = CurrentMemoryContext;
	Datum		args[3];
	Woken	   *woken;
	int			n;
	EcAs		as;

	args[0] = TimestampTzGetDatum(tick->at);
	args[1] = Int64GetDatum(DUE_PER_TICK);
	args[2] = Int32GetDatum(only);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	/* two statements, so that each has its own index */
	if (SPI_execute_plan(only == 0 ?
						 ec_plan("SELECT r.id, r.flow, r.version, r.step, r.state, NULL::jsonb FROM ecauto_data.flow_run r "
								 "WHERE r.wake_at <= $1 ORDER BY r.wake_at LIMIT $2", 2, types) :
						 ec_plan("SELECT r.id, r.flow, r.version, r.step, r.state, NULL::jsonb FROM ecauto_data.flow_run r "
								 "WHERE r.wake_at <= $1 AND r.flow = $3 ORDER BY r.wake_at LIMIT $2", 3, types),
						 args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for runs that are due");
	ec_as_end(&as);
	n = SPI_processed;
	woken = MemoryContextAllocHuge(caller, sizeof(Woken) * (n + 1));
	for (int i = 0; i < n; i++)
		woken_read(&woken[i], i, caller);
	SPI_finish();
	if (n == DUE_PER_TICK)
		ec_tick_due(tick, tick->at);
	if (n == 0)
		return groups;
	qsort(woken, n, sizeof(Woken), woken_compare);
	return woken_go(tick, woken, n, false, groups);
}

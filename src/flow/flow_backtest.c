/*-------------------------------------------------------------------------
 *
 * flow_backtest.c
 *		What a flow would have done: ecauto.backtest_flow().
 *
 * The past is gone through as it was, from one instant to the next at which
 * something was there for the flow: an event that starts it or that it waits
 * for, a moment of its schedule, a cart or a customer that had been left alone
 * so long, a run that is due.  At each of them the clock is set there, and the
 * code of ticks runs, on a copy of the flow (flow_simulate.c), all in a
 * subtransaction that is rolled back.
 *
 * Rows of the shop are as of then: customers by their facts, the others by
 * what the events before said of them, or else by what the first event after
 * found (flow_batch.c).  Nothing at or after the end of the time is looked at
 * but for that, so what is added later changes nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "event/event.h"
#include "flow/flow.h"
#include "flow/flow_batch.h"

PG_FUNCTION_INFO_V1(ecauto_backtest_flow);

typedef struct Backtest
{
	EcFlow	   *flow;
	TimestampTz since;
	TimestampTz until;			/* not in the future */
	TimestampTz wanted;			/* as the caller said */
	List	   *kinds;			/* of events that the flow starts with, or waits for */
	TimestampTz *instants;		/* of those events, and of candidates; ascending */
	int			ninstants;
	MemoryContext context;		/* survives the subtransaction */
	ReturnSetInfo *result;
} Backtest;

/* columns of a candidate that is no event, see ec_flow_batch_fill() */
#define CANDIDATE(kind, role, key, customer) \
	"pg_catalog.md5(c.key || c.due::text)::uuid AS event_id, c.due AS event_at, '" kind "'::text COLLATE \"C\" AS kind, '" role "'::text COLLATE \"C\" AS role, " \
	key " AS key, NULL::text COLLATE \"C\" AS session, " customer " AS customer, NULL::text COLLATE \"C\" AS sku, " \
	"NULL::jsonb AS old, NULL::jsonb AS new, NULL::bigint AS run, NULL::text AS subject, NULL::text AS occasion, " \
	"NULL::timestamptz AS started_at, NULL::integer AS line, NULL::jsonb AS lines, NULL::jsonb AS results"

static void
execute(const char *sql, int nargs, const Oid *types, Datum *values)
{
	EcAs		as;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_expr_begin_as_owner(&as);
	if (SPI_execute_with_args(sql, nargs, (Oid *) types, values, NULL, false, 0) < 0)
		elog(ERROR, "could not run \"%s\"", sql);
	ec_expr_end(&as);
	SPI_finish();
}

/*
 * Make ecauto_data.flow_history: the events that tell how rows were, with an
 * index that the log itself does not have.  It goes with the subtransaction;
 * a second back-test at the same time waits for it.
 */
static void
history_make(Backtest *test)
{
	execute("CREATE UNLOGGED TABLE ecauto_data.flow_history AS "
			"SELECT CASE e.kind WHEN 'cart.completed' THEN e.kind ELSE e.role END COLLATE \"C\" AS role, e.key, "
			"CASE WHEN e.role = 'price' THEN (coalesce(e.new, e.old) ->> 'currency') || '/' || coalesce(coalesce(e.new, e.old) ->> 'list_key', '') "
			"ELSE '' END COLLATE \"C\" AS sub, e.at, e.event_id, e.old, e.new FROM ecauto_data.event e "
			"WHERE e.role IN ('order', 'cart', 'sku', 'product', 'price', 'stock') AND e.kind NOT IN ('stock.out', 'stock.back')", 0, NULL, NULL);
	execute("CREATE INDEX ON ecauto_data.flow_history (role, key, sub, at, event_id)", 0, NULL, NULL);
	execute("ANALYZE ecauto_data.flow_history", 0, NULL, NULL);
}

/*
 * Make ecauto_data.flow_candidate: carts and customers that were left alone
 * long enough within the time, as a tick at that instant would have found them.
 */
static void
candidates_make(Backtest *test)
{
	static const Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, INTERVALOID};
	EcFlow	   *flow = test->flow;
	Datum		args[3];

	args[0] = TimestampTzGetDatum(test->since);
	args[1] = TimestampTzGetDatum(test->until);
	args[2] = IntervalPGetDatum(flow->after);
	if (flow->on == EC_ON_CART)
		execute("CREATE UNLOGGED TABLE ecauto_data.flow_candidate AS "
				"SELECT " CANDIDATE("cart.abandoned", "cart", "c.key", "c.customer") " FROM ("
				"  SELECT h.key, h.at, h.at + $3 AS due, h.new, lead(h.at) OVER (PARTITION BY h.key ORDER BY h.at, h.event_id) AS next, "
				"    coalesce(h.new ->> 'customer_key', pg_catalog.lower(h.new ->> 'email')) COLLATE \"C\" AS customer "
				"  FROM ecauto_data.flow_history h WHERE h.role = 'cart') c "
				"WHERE c.due >= $1 AND c.due < $2 AND (c.next IS NULL OR c.next > c.due) "
				"AND pg_catalog.jsonb_typeof(c.new -> 'lines') = 'object' AND c.new -> 'lines' <> '{}' "
				"AND NOT EXISTS (SELECT FROM ecauto_data.flow_history x WHERE x.role = 'cart.completed' AND x.key = c.key AND x.at <= c.due) "
				"AND NOT EXISTS (SELECT FROM ecauto_data.seen_order o WHERE o.customer_key = c.new ->> 'customer_key' "
				"  AND o.placed_at >= c.at AND o.placed_at <= c.due) "
				"AND NOT EXISTS (SELECT FROM ecauto_data.seen_order o WHERE o.customer_key IS NULL AND o.email = c.new ->> 'email' "
				"  AND o.placed_at >= c.at AND o.placed_at <= c.due)", 3, types, args);
	else
		execute(psprintf("CREATE UNLOGGED TABLE ecauto_data.flow_candidate AS "
						 "SELECT " CANDIDATE("inactivity", "customer", "c.key", "c.key") " FROM ("
						 "  SELECT x.key, x.at, x.at + $3 AS due FROM ("
						 "    SELECT f.key, f.%s::timestamptz AS at FROM ecauto_data.customer_fact f WHERE f.known "
						 "    UNION SELECT coalesce(o.customer_key, s.key, pg_catalog.lower(o.email) COLLATE \"C\"), o.placed_at FROM ecauto_data.seen_order o "
						 "    LEFT JOIN ecauto_data.seen_customer s ON o.customer_key IS NULL AND pg_catalog.lower(s.email) = pg_catalog.lower(o.email)) x "
						 "  WHERE x.at >= $1 - $3 AND x.at < $2 - $3) c "
						 "JOIN LATERAL ecauto.customer_facts(ARRAY[c.key], c.due) f ON f.key = c.key AND f.%s::timestamptz = c.at",
						 quote_identifier(flow->column), quote_identifier(flow->column)), 3, types, args);
	execute("CREATE INDEX ON ecauto_data.flow_candidate (event_at)", 0, NULL, NULL);
}

/* The kinds of event that matter to the flow, as text[]. */
static ArrayType *
kinds_array(Backtest *test)
{
	Datum	   *kinds = palloc(sizeof(Datum) * (list_length(test->kinds) + 1));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, test->kinds)
		kinds[n++] = CStringGetTextDatum(lfirst(lc));
	return construct_array(kinds, n, TEXTOID, -1, false, TYPALIGN_INT);
}

/* The instants at which events, or candidates, are there. */
static void
instants_read(Backtest *test)
{
	static const Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTARRAYOID};
	bool		candidates = test->flow->on == EC_ON_CART || test->flow->on == EC_ON_INACTIVITY;
	MemoryContext caller = CurrentMemoryContext;
	Datum		args[3];
	EcAs		as;

	args[0] = TimestampTzGetDatum(test->since);
	args[1] = TimestampTzGetDatum(test->until);
	args[2] = PointerGetDatum(kinds_array(test));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_expr_begin_as_owner(&as);
	if (SPI_execute_with_args(psprintf("SELECT e.at FROM ecauto_data.event e WHERE e.at >= $1 AND e.at < $2 AND e.kind = ANY ($3)%s "
									   "GROUP BY 1 ORDER BY 1",
									   candidates ? " UNION SELECT c.event_at FROM ecauto_data.flow_candidate c" : ""),
							  3, (Oid *) types, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the instants of events");
	test->ninstants = SPI_processed;
	test->instants = MemoryContextAllocHuge(caller, sizeof(TimestampTz) * (SPI_processed + 1));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;

		test->instants[i] = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[i],
															  SPI_tuptable->tupdesc, 1, &isnull));
	}
	ec_expr_end(&as);
	SPI_finish();
}

/* The events of an instant become those that the tick was told. */
static void
told_read(Backtest *test, EcTick *tick)
{
	static const Oid types[] = {TIMESTAMPTZOID, TEXTARRAYOID};
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext spi;
	Datum		args[2];
	bool		isnull;
	EcAs		as;

	args[0] = TimestampTzGetDatum(tick->at);
	args[1] = PointerGetDatum(kinds_array(test));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("SELECT pg_catalog.count(*), pg_catalog.array_agg(e.event_id ORDER BY e.event_id), "
								 "pg_catalog.array_agg(e.at ORDER BY e.event_id) FROM ecauto_data.event e WHERE e.at = $1 AND e.kind = ANY ($2)",
								 2, types), args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read events");
	tick->told = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	if (tick->told > 0)
	{
		spi = MemoryContextSwitchTo(caller);
		tick->told_ids = DatumGetArrayTypePCopy(SPI_getbinval(SPI_tuptable->vals[0],
															  SPI_tuptable->tupdesc, 2, &isnull));
		tick->told_at = DatumGetArrayTypePCopy(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull));
		MemoryContextSwitchTo(spi);
	}
	ec_as_end(&as);
	SPI_finish();
}

static List *
groups_merge(List *groups, List *more)
{
	ListCell   *lc;

	foreach(lc, more)
	{
		EcFlowGroup *group = lfirst(lc);

		groups = ec_flow_group_add(groups, group->flow, group->op, group->ids, group->n);
	}
	return groups;
}

/* One instant: what a tick at that time would have done for the flow. */
static void
instant_run(Backtest *test, TimestampTz at, bool events, bool moment)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	EcFlow	   *flow = test->flow;
	List	   *groups = NIL;
	EcTick		tick;
	Datum		args[1];

	ec_flow_tick_at(&tick, at);
	if (events)
		told_read(test, &tick);
	if (tick.told > 0)
		groups = ec_flow_waits_wake(&tick, flow->id, groups);
	groups = ec_flow_due(&tick, flow->id, groups);
	if (flow->on == EC_ON_EVENT && tick.told > 0)
		groups = groups_merge(groups, ec_flow_match(&tick, list_make1(flow)));
	else if (events && (flow->on == EC_ON_CART || flow->on == EC_ON_INACTIVITY))
	{
		args[0] = TimestampTzGetDatum(at);
		groups = groups_merge(groups, ec_flow_match_rows(&tick, flow, "SELECT c.* FROM ecauto_data.flow_candidate c WHERE c.event_at = $1",
														 1, types, args, NULL));
	}
	if (moment)
		groups = groups_merge(groups, ec_flow_timed(&tick, flow, at - 1));
	ec_flow_advance(&tick, groups);
}

/* Put what came of it into the result. */
static void
result_read(Backtest *test)
{
	static const Oid types[] = {INT4OID, TIMESTAMPTZOID};
	Datum		args[2];
	Datum		values[6];
	bool		nulls[6];
	Portal		cursor;
	EcAs		as;

	args[0] = Int32GetDatum(test->flow->id);
	args[1] = TimestampTzGetDatum(test->wanted);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_expr_begin_as_owner(&as);
	cursor = SPI_cursor_open_with_args(NULL,
									   "SELECT NULL::bigint, $2, NULL::text, 'summary'::text, 'summary'::text, ecauto.flow_summary($1) "
									   "UNION ALL SELECT x.run, x.at, x.subject, x.step, x.action, x.effect FROM ("
									   "SELECT pg_catalog.dense_rank() OVER (ORDER BY r.started_at, r.subject, e.run) AS run, coalesce((e.effect ->> 'at')::timestamptz, r.started_at) AS at, "
									   "r.subject, e.step, e.action, e.effect, e.n FROM ecauto.flow_effects($1) e "
									   "JOIN ecauto_data.flow_run r ON r.id = e.run ORDER BY 1, e.n) x",
									   2, (Oid *) types, args, NULL, false, 0);
	do
	{
		SPI_cursor_fetch(cursor, true, 1000);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
			tuplestore_putvalues(test->result->setResult, test->result->setDesc, values, nulls);
		}
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(cursor);
	ec_expr_end(&as);
	SPI_finish();
}

/* EcTryRun, rolled back */
static void
backtest(void *arg)
{
	Backtest   *test = arg;
	EcFlow	   *flow = test->flow;
	bool		timed = flow->on == EC_ON_SCHEDULE || flow->on == EC_ON_DATE;
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "ecauto back-test", ALLOCSET_DEFAULT_SIZES);
	TimestampTz moment = DT_NOEND;
	int			next = 0;

	if (flow->on == EC_ON_EVENT)
		test->kinds = lappend(test->kinds, unconstify(char *, flow->kind_name));
	for (int i = 0; i < flow->nops; i++)
		if (flow->ops[i].event != NULL)
			test->kinds = lappend(test->kinds, unconstify(char *, flow->ops[i].event));
	ec_flow_clock_set(test->until);
	history_make(test);
	if (flow->on == EC_ON_CART || flow->on == EC_ON_INACTIVITY)
		candidates_make(test);
	instants_read(test);
	if (timed)
		moment = ec_flow_schedule_next(flow->schedule, test->since - 1, NULL);
	for (;;)
	{
		TimestampTz at = ec_flow_next_due(flow->id);
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		at = Min(at, moment);
		if (next < test->ninstants)
			at = Min(at, test->instants[next]);
		if (at >= test->until)
			break;
		old = MemoryContextSwitchTo(work);
		instant_run(test, at, next < test->ninstants && test->instants[next] == at, moment == at);
		MemoryContextSwitchTo(old);
		MemoryContextReset(work);
		while (next < test->ninstants && test->instants[next] <= at)
			next++;
		if (moment <= at)
			moment = ec_flow_schedule_next(flow->schedule, at, NULL);
	}
	result_read(test);
}

/*
 * ecauto.backtest_flow(name text, since timestamptz, until timestamptz)
 *		returns table(run bigint, at timestamptz, subject text, step text,
 *					  action text, effect jsonb)
 */
Datum
ecauto_backtest_flow(PG_FUNCTION_ARGS)
{
	Backtest	test = {0};
	ErrorData  *volatile error = NULL;
	int32		version;
	int32		id;

	ec_state_require();
	ec_require_operator("test a flow");
	for (int i = 0; i < 3; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not be null", i == 0 ? "name of a flow" : i == 1 ? "since" : "until")));
	test.since = PG_GETARG_TIMESTAMPTZ(1);
	test.until = PG_GETARG_TIMESTAMPTZ(2);
	if (TIMESTAMP_NOT_FINITE(test.since) || TIMESTAMP_NOT_FINITE(test.until) || test.since >= test.until)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("since must be before until, and both finite"),
				 errdetail("They are %s and %s.", pstrdup(timestamptz_to_str(test.since)), pstrdup(timestamptz_to_str(test.until)))));
	test.wanted = test.until;
	test.until = Min(test.until, ec_now() + 1);
	InitMaterializedSRF(fcinfo, 0);
	test.result = (ReturnSetInfo *) fcinfo->resultinfo;
	id = ec_flow_find(text_to_cstring(PG_GETARG_TEXT_PP(0)), &version, NULL);
	test.flow = ec_flow_load(-id, version);

	ec_progress_begin("backtest_flow");
	ec_flow_history_set(true);
	PG_TRY();
	{
		error = ec_try(backtest, &test, true);
	}
	PG_FINALLY();
	{
		ec_flow_history_set(false);
	}
	PG_END_TRY();
	if (error != NULL)
		ReThrowError(error);
	ec_progress_end();
	return (Datum) 0;
}

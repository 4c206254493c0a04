/*-------------------------------------------------------------------------
 *
 * flow_tick.c
 *		The tick's last phase: flows.
 *
 *	 1. events wake the runs that wait for them;
 *	 2. runs whose time has come go on;
 *	 3. events of the tick, and time, start new runs;
 *	 4. all of these go from step to step until they rest.
 *
 * What a run waits for is looked at before new runs start, so the event that
 * starts a run is never the one it waits for.  With nothing to do this costs
 * two or three statements by index.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "event/event.h"
#include "flow/flow.h"

/* An enabled flow. */
typedef struct Enabled
{
	EcFlow	   *flow;
	TimestampTz watched_until;	/* of flows that time starts; 0 for others */
	TimestampTz next_look;
} Enabled;

static List *
flows_enabled(void)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *result = NIL;
	SPITupleTable *table;
	uint64		n;
	EcAs		as;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("SELECT f.id, f.version, f.watched_until, f.next_look FROM ecauto_data.flow f "
								 "WHERE f.enabled ORDER BY f.id", 0, NULL), NULL, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not list flows");
	ec_as_end(&as);
	table = SPI_tuptable;
	n = SPI_processed;
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);
		Enabled    *enabled = palloc0(sizeof(Enabled));
		bool		isnull;
		Datum		value;

		enabled->flow = ec_flow_load(DatumGetInt32(SPI_getbinval(table->vals[i], table->tupdesc, 1, &isnull)),
									 DatumGetInt32(SPI_getbinval(table->vals[i], table->tupdesc, 2, &isnull)));
		value = SPI_getbinval(table->vals[i], table->tupdesc, 3, &isnull);
		enabled->watched_until = isnull ? 0 : DatumGetTimestampTz(value);
		value = SPI_getbinval(table->vals[i], table->tupdesc, 4, &isnull);
		enabled->next_look = isnull ? DT_NOEND : DatumGetTimestampTz(value);
		result = lappend(result, enabled);
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	return result;
}

/* Kinds of ours in the order in which things happen (flow_kind.c), then others by name. */
static int
compare_kinds(const ListCell *a, const ListCell *b)
{
	bool		a_custom = ec_flow_kind_is_custom(lfirst(a));
	bool		b_custom = ec_flow_kind_is_custom(lfirst(b));

	if (a_custom != b_custom)
		return a_custom ? 1 : -1;
	if (a_custom)
		return strcmp(lfirst(a), lfirst(b));
	return ec_flow_kind(lfirst(a)) < ec_flow_kind(lfirst(b)) ? -1 : 1;
}

/*
 * The kinds (char *) of this tick's events, each once.  An order that is placed
 * and paid within one tick starts the flows about the former first.
 */
static List *
kinds_of_tick(EcTick *tick)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum		args[EC_EVENTS_OF_TICK_ARGS];
	List	   *kinds = NIL;
	EcAs		as;

	ec_event_tick_args(tick, args);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("SELECT DISTINCT e.kind FROM " EC_EVENTS_OF_TICK " e", EC_EVENTS_OF_TICK_ARGS, ec_event_tick_types),
						 args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not list the kinds of events");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);

		kinds = lappend(kinds, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
		MemoryContextSwitchTo(spi);
	}
	ec_as_end(&as);
	SPI_finish();
	list_sort(kinds, compare_kinds);
	return kinds;
}

/* Enabled flows (EcFlow) that a kind of event starts. */
static List *
flows_of_kind(List *enabled, const char *kind)
{
	List	   *flows = NIL;
	ListCell   *lc;

	foreach(lc, enabled)
	{
		EcFlow	   *flow = ((Enabled *) lfirst(lc))->flow;

		if (flow->on == EC_ON_EVENT && strcmp(flow->kind_name, kind) == 0)
			flows = lappend(flows, flow);
	}
	return flows;
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

/* Tell the worker when the next run is due. */
static void
next_due(EcTick *tick)
{
	bool		isnull;
	Datum		value;
	EcAs		as;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("SELECT r.wake_at FROM ecauto_data.flow_run r WHERE r.wake_at IS NOT NULL ORDER BY r.wake_at LIMIT 1",
								 0, NULL), NULL, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look for the next run that is due");
	if (SPI_processed == 1)
	{
		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
		ec_tick_due(tick, DatumGetTimestampTz(value));
	}
	ec_as_end(&as);
	SPI_finish();
}

/* EcTryRun: notices to staff that are due leave, those of one recipient together */
static void
notices_send(void *arg)
{
	EcTick	   *tick = arg;
	static const Oid types[] = {TIMESTAMPTZOID};
	Datum		args[1];
	Datum		value;
	bool		isnull;
	EcAs		as;

	args[0] = TimestampTzGetDatum(tick->at);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("SELECT n.send_at FROM ecauto_data.notice n WHERE n.sent_at IS NULL ORDER BY n.send_at LIMIT 1",
								 0, NULL), NULL, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look for notices");
	if (SPI_processed == 1)
	{
		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
		if (DatumGetTimestampTz(value) > tick->at)
			ec_tick_due(tick, DatumGetTimestampTz(value));
		else
		{
			if (SPI_execute_plan(ec_plan("SELECT ecauto.send_notices($1)", 1, types), args, NULL, false, 0) != SPI_OK_SELECT)
				elog(ERROR, "could not send notices");
			value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
			tick->messages += DatumGetInt64(value);
		}
	}
	ec_as_end(&as);
	SPI_finish();
}

/*
 * Phase of the tick; see the top of the file.
 */
void
ec_flow_tick(EcTick *tick)
{
	MemoryContext context;
	MemoryContext old;
	List	   *groups = NIL;
	List	   *kinds = NIL;
	List	   *enabled;
	ErrorData  *error;
	ListCell   *lc;

	ec_flow_load_trim();
	context = AllocSetContextCreate(CurrentMemoryContext, "ecauto flow tick", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);

	enabled = flows_enabled();
	if (ec_event_in_tick(tick))
	{
		groups = ec_flow_waits_wake(tick, 0, groups);
		if (enabled != NIL)
			kinds = kinds_of_tick(tick);
	}
	groups = ec_flow_due(tick, 0, groups);
	foreach(lc, kinds)
	{
		List	   *flows = flows_of_kind(enabled, lfirst(lc));

		CHECK_FOR_INTERRUPTS();
		if (flows != NIL)
			groups = groups_merge(groups, ec_flow_match(tick, flows));
	}
	foreach(lc, enabled)
	{
		Enabled    *e = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		if (e->flow->on == EC_ON_EVENT)
			continue;
		if (e->next_look <= tick->at)
			groups = groups_merge(groups, ec_flow_timed(tick, e->flow, e->watched_until));
		else
			ec_tick_due(tick, e->next_look);
	}
	ec_flow_advance(tick, groups);
	error = ec_try(notices_send, tick, false);
	if (error != NULL)
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("notices to staff cannot be sent: %s", error->message)));
	next_due(tick);

	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*-------------------------------------------------------------------------
 *
 * flow_simulate.c
 *		What a flow would do: ecauto.simulate_flow().
 *
 * The flow is run by the code that runs it in ticks, in a subtransaction that
 * is rolled back whatever comes: its event is written to the log, runs are
 * started and advanced, the clock (ecauto.clock) is put forward to the next
 * instant at which one of them is due, until all have ended.  Then what they
 * did is read from their decisions and from what they left (messages, notices,
 * events), and all of it is undone; the wake-up of a worker too, as that is
 * for commits only.  What a rollback does not undo are numbers that sequences
 * gave for rows which are not there.
 *
 * The copy.  A simulated flow has the number -id (flow_load.c).  So its runs
 * are none of the flow's: they are not mixed with those under way, a customer
 * who had his welcome mail long ago can be simulated, and a tick at the same
 * time finds nothing of ours to wait for.
 *
 * Nothing but this flow is run.  An event that it emits starts no other flow,
 * and mail that a frequency cap would decide about stays undecided.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "event/event.h"
#include "flow/flow.h"

PG_FUNCTION_INFO_V1(ecauto_simulate_flow);

/* a flow that does not come to its end in so many steps of the clock never does */
#define INSTANTS_MAX 10000
#define LATER_EVENTS_MAX 100

/* columns of candidates that such an event has not, see ec_flow_batch_fill() */
#define NO_RUN "NULL::bigint AS run, NULL::text AS subject, NULL::text AS occasion, NULL::timestamptz AS started_at, " \
	"NULL::integer AS line, NULL::jsonb AS lines, NULL::jsonb AS results"

/* ---- the clock ---- */

/* Set ecauto.clock, to the end of the subtransaction. */
void
ec_flow_clock_set(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;

	/* written so that it means the same under every DateStyle and TimeZone */
	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0 || tm.tm_year < 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	(void) set_config_option("ecauto.clock",
							 psprintf("%04d-%02d-%02d %02d:%02d:%02d.%06d+00", tm.tm_year, tm.tm_mon, tm.tm_mday,
									  tm.tm_hour, tm.tm_min, tm.tm_sec, (int) fsec),
							 PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	/* as in ticks: compiling a statement takes longer than most of them */
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* ---- events that somebody made up ---- */

/* A member of an event: a string, or a number as one; NULL if there is none. */
static char *
member(Jsonb *event, const char *key)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(&event->root, key, strlen(key), &value) == NULL)
		return NULL;
	if (value.type == jbvString)
		return pnstrdup(value.val.string.val, value.val.string.len);
	if (value.type == jbvNumeric)
		return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric)));
	return NULL;
}

static void
event_require_object(Jsonb *event)
{
	if (!JB_ROOT_IS_OBJECT(event))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an event must be a JSON object"),
				 errhint("Such as {\"key\": \"17\"}, or {\"kind\": \"order.placed\", \"order\": \"17\"}.")));
}

/* The role whose key the event that starts a flow has; NULL: none. */
static const char *
role_of(const EcFlow *flow)
{
	return flow->on == EC_ON_SCHEDULE ? flow->each : flow->kind->role;
}

/* A tick with nothing in it yet, at an instant, and the clock there. */
void
ec_flow_tick_at(EcTick *tick, TimestampTz at)
{
	memset(tick, 0, sizeof(EcTick));
	tick->at = at;
	tick->next_due = DT_NOEND;
	ec_flow_clock_set(at);
}

/*
 * Write an event of that kind as the tick's only one; or do not write it, but
 * let it be the one candidate of a flow that time starts: *groups.
 */
static void
event_make(EcTick *tick, const char *kind, const char *role, Jsonb *event, bool write, EcFlow *flow, List **groups)
{
	static const Oid fill_types[] = {TEXTOID, TEXTOID, JSONBOID};
	static const Oid types[] = {UUIDOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
	JSONBOID, JSONBOID};
	pg_uuid_t	id;
	Datum		fill[3];
	Datum		args[10];
	char		nulls[] = "          ";
	EcAs		as;

	ec_uuid_next(tick->first_event);
	ec_uuid_next(id.data);
	ec_uuid_next(tick->last_event);
	fill[0] = CStringGetTextDatum(kind);
	fill[1] = role != NULL ? CStringGetTextDatum(role) : (Datum) 0;
	fill[2] = JsonbPGetDatum(event);
	args[0] = UUIDPGetDatum(&id);
	args[1] = TimestampTzGetDatum(tick->at);
	args[2] = fill[0];
	args[3] = fill[1];
	nulls[3] = role != NULL ? ' ' : 'n';

	ec_event_partition_ensure(tick->at);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_expr_begin_as_owner(&as);
	if (SPI_execute_plan(ec_plan("SELECT x.key, x.session, x.customer, x.sku, x.old, x.new FROM ecauto.flow_event($1, $2, $3) x", 3, fill_types),
						 fill, role != NULL ? NULL : " n ", false, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not make an event");
	for (int i = 0; i < 6; i++)
	{
		bool		isnull;

		args[4 + i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &isnull);
		nulls[4 + i] = isnull ? 'n' : ' ';
	}
	if (write && SPI_execute_plan(ec_plan("INSERT INTO ecauto_data.event (event_id, at, kind, role, key, session, customer, sku, old, new) "
										  "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", 10, types),
								  args, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write an event");
	ec_expr_end(&as);
	if (write)
		tick->events = 1;
	else
		*groups = ec_flow_match_rows(tick, flow,
									 "SELECT $1 AS event_id, $2 AS event_at, $3 AS kind, $4::text COLLATE \"C\" AS role, $5::text COLLATE \"C\" AS key, "
									 "$6::text COLLATE \"C\" AS session, $7::text COLLATE \"C\" AS customer, $8::text COLLATE \"C\" AS sku, "
									 "$9 AS old, $10 AS new, " NO_RUN, 10, types, args, nulls);
	SPI_finish();
}

/* ---- the run ---- */

/* An event that comes later. */
typedef struct Later
{
	TimestampTz at;
	char	   *kind;
	Jsonb	   *event;
} Later;

typedef struct Row
{
	char	   *step;
	char	   *action;
	Datum		effect;			/* jsonb */
} Row;

typedef struct Simulation
{
	EcFlow	   *flow;
	Jsonb	   *event;
	MemoryContext context;		/* survives the subtransaction */
	List	   *rows;			/* out: of Row */
} Simulation;

/* The instant of an event: "at", or "after" the one before it, or now. */
static TimestampTz
event_at(Jsonb *event, TimestampTz now)
{
	char	   *at = member(event, "at");
	char	   *after = member(event, "after");

	if (at != NULL)
		now = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(at), ObjectIdGetDatum(InvalidOid),
													  Int32GetDatum(-1)));
	else if (after != NULL)
	{
		Datum		span = DirectFunctionCall3(interval_in, CStringGetDatum(after),
											   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));

		now = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(now), span));
	}
	if (TIMESTAMP_NOT_FINITE(now))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("time of an event must be finite")));
	return now;
}

static int
later_compare(const void *a, const void *b)
{
	const Later *x = a;
	const Later *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

/* What "then" of an event holds, in the order of time. */
static Later *
later_read(Jsonb *event, TimestampTz at, int *n)
{
	JsonbValue	value;
	Jsonb	   *array;
	int			count;
	Later	   *later;

	*n = 0;
	if (getKeyJsonValueFromContainer(&event->root, "then", 4, &value) == NULL)
		return NULL;
	if (value.type != jbvBinary || !JsonContainerIsArray(value.val.binary.data))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"then\" must be an array of events"),
				 errhint("Such as [{\"after\": \"2 hours\", \"kind\": \"order.paid\", \"key\": \"17\"}].")));
	array = JsonbValueToJsonb(&value);
	count = JB_ROOT_COUNT(array);
	if (count > LATER_EVENTS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many events to simulate"),
				 errdetail("There are %d; the limit is %d.", count, LATER_EVENTS_MAX)));
	later = palloc(sizeof(Later) * (count + 1));
	for (int i = 0; i < count; i++)
	{
		later[i].event = JsonbValueToJsonb(getIthJsonbValueFromContainer(&array->root, i));
		event_require_object(later[i].event);
		later[i].kind = member(later[i].event, "kind");
		if (later[i].kind == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("event %d of \"then\" needs a kind", i + 1),
					 errhint("Such as {\"after\": \"2 hours\", \"kind\": \"order.paid\", \"key\": \"17\"}.")));
		later[i].at = event_at(later[i].event, at);
		if (later[i].at < at)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("event %d of \"then\" comes before the one that starts the flow", i + 1)));
	}
	qsort(later, count, sizeof(Later), later_compare);
	*n = count;
	return later;
}

/* When the next run of the copy is due; DT_NOEND: never. */
TimestampTz
ec_flow_next_due(int32 id)
{
	static const Oid types[] = {INT4OID};
	Datum		args[1];
	Datum		value;
	bool		isnull;
	EcAs		as;

	args[0] = Int32GetDatum(id);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	/* what failed would fail again: nothing changes in between */
	if (SPI_execute_plan(ec_plan("SELECT min(r.wake_at) FROM ecauto_data.flow_run r WHERE r.flow = $1 AND r.state = 'waiting'", 1, types),
						 args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for runs that wait");
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	ec_as_end(&as);
	SPI_finish();
	return isnull ? DT_NOEND : DatumGetTimestampTz(value);
}

/* The highest number that a message has got so far. */
static int64
message_last(void)
{
	bool		isnull;
	int64		last;
	EcAs		as;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END FROM ecauto_data.outbox_id_seq s", 0, NULL),
						 NULL, NULL, false, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read the sequence of messages");
	last = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	ec_as_end(&as);
	SPI_finish();
	return last;
}

static void
row_add(Simulation *simulation, const char *step, const char *action, Datum effect)
{
	MemoryContext old = MemoryContextSwitchTo(simulation->context);
	Row		   *row = palloc(sizeof(Row));

	row->step = pstrdup(step);
	row->action = pstrdup(action);
	row->effect = PointerGetDatum(PG_DETOAST_DATUM_COPY(effect));
	simulation->rows = lappend(simulation->rows, row);
	MemoryContextSwitchTo(old);
}

/* Read what the runs did, and what messages actions sent without telling. */
static void
effects_read(Simulation *simulation, int64 last)
{
	static const Oid types[] = {INT4OID, INT8OID};
	Datum		args[2];
	bool		isnull;
	EcAs		as;

	args[0] = Int32GetDatum(simulation->flow->id);
	args[1] = Int64GetDatum(last);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_expr_begin_as_owner(&as);
	if (SPI_execute_plan(ec_plan("SELECT x.step, x.action, x.effect FROM ecauto.flow_effects($1) x", 1, types), args, NULL, false, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not read what the flow did");
	for (uint64 i = 0; i < SPI_processed; i++)
		row_add(simulation, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1),
				SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2),
				SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3, &isnull));
	/* others write messages meanwhile, which are not ours */
	if (SPI_execute_plan(ec_plan("SELECT o.xmin, pg_catalog.jsonb_build_object('endpoint', o.endpoint, 'path', o.path, 'payload', o.payload) "
								 "FROM ecauto_data.outbox o WHERE o.id > $2 AND NOT EXISTS (SELECT FROM ecauto_data.flow_run r "
								 "JOIN ecauto_data.flow_decision d ON d.run = r.id WHERE r.flow = $1 AND d.detail ->> 'message' = o.id::text) "
								 "ORDER BY o.id", 2, types), args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read messages");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		Datum		xid = SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull);

		if (TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xid)))
			row_add(simulation, "", "message", SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull));
	}
	ec_expr_end(&as);
	SPI_finish();
}

/* The one row about a flow that did not start. */
static void
nothing_started(Simulation *simulation)
{
	EcFlow	   *flow = simulation->flow;
	JsonbParseState *state = NULL;
	JsonbValue	value;
	const char *pairs[][2] = {
		{"reason", flow->condition.text != NULL ? "condition" : "no_subject"},
		{"condition", flow->condition.text},
	};

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < lengthof(pairs) && pairs[i][1] != NULL; i++)
	{
		value.type = jbvString;
		value.val.string.val = unconstify(char *, pairs[i][0]);
		value.val.string.len = strlen(pairs[i][0]);
		(void) pushJsonbValue(&state, WJB_KEY, &value);
		value.val.string.val = unconstify(char *, pairs[i][1]);
		value.val.string.len = strlen(pairs[i][1]);
		(void) pushJsonbValue(&state, WJB_VALUE, &value);
	}
	row_add(simulation, "on", "not started", JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL))));
}

/* EcTryRun, rolled back */
static void
simulate(void *arg)
{
	Simulation *simulation = arg;
	EcFlow	   *flow = simulation->flow;
	TimestampTz at = event_at(simulation->event, ec_now());
	char	   *kind = member(simulation->event, "kind");
	int64		last = message_last();
	List	   *groups = NIL;
	EcTick		tick;
	Later	   *later;
	int			nlater;
	int			next_later = 0;
	int			instants = 0;

	if (kind != NULL && strcmp(kind, flow->kind_name) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("flow \"%s\" is not started by events of kind \"%s\"", flow->name, kind),
				 errhint("Its events are of kind \"%s\".", flow->kind_name)));
	later = later_read(simulation->event, at, &nlater);

	ec_flow_tick_at(&tick, at);
	event_make(&tick, flow->kind_name, role_of(flow), simulation->event, flow->on == EC_ON_EVENT, flow, &groups);
	if (flow->on == EC_ON_EVENT)
		groups = ec_flow_match(&tick, list_make1(flow));
	ec_flow_advance(&tick, groups);
	for (;;)
	{
		TimestampTz due = ec_flow_next_due(flow->id);

		CHECK_FOR_INTERRUPTS();
		if (due == DT_NOEND)
			break;
		if (++instants > INSTANTS_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("flow \"%s\" does not come to an end", flow->name)));
		if (next_later < nlater && later[next_later].at <= due)
		{
			Later	   *l = &later[next_later++];

			ec_flow_tick_at(&tick, l->at);
			event_make(&tick, l->kind, ec_flow_kind(l->kind)->role, l->event, true, flow, NULL);
			groups = ec_flow_waits_wake(&tick, flow->id, NIL);
		}
		else
		{
			ec_flow_tick_at(&tick, due);
			groups = NIL;
		}
		ec_flow_advance(&tick, ec_flow_due(&tick, flow->id, groups));
	}
	effects_read(simulation, last);
	if (simulation->rows == NIL)
		nothing_started(simulation);
}

/*
 * ecauto.simulate_flow(name text, event jsonb)
 *		returns table(step text, action text, effect jsonb)
 */
Datum
ecauto_simulate_flow(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Simulation	simulation = {0};
	ErrorData  *error;
	ListCell   *lc;
	int32		version;
	int32		id;

	ec_state_require();
	ec_require_operator("simulate a flow");
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", PG_ARGISNULL(0) ? "name of a flow" : "event")));
	InitMaterializedSRF(fcinfo, 0);
	simulation.event = PG_GETARG_JSONB_P(1);
	event_require_object(simulation.event);
	id = ec_flow_find(text_to_cstring(PG_GETARG_TEXT_PP(0)), &version, NULL);
	simulation.flow = ec_flow_load(-id, version);
	simulation.context = CurrentMemoryContext;

	error = ec_try(simulate, &simulation, true);
	if (error != NULL)
		ReThrowError(error);
	foreach(lc, simulation.rows)
	{
		Row		   *row = lfirst(lc);
		Datum		values[3];
		bool		nulls[3] = {false};

		values[0] = CStringGetTextDatum(row->step);
		values[1] = CStringGetTextDatum(row->action);
		values[2] = row->effect;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

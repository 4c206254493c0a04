/*-------------------------------------------------------------------------
 *
 * scoring_point.c
 *		Points that customers get for what they do, and the score these make.
 *
 * A point loses half of its weight each half-life.  Since all points of one
 * half-life lose it alike, their sum at one time tells it for every later one,
 * and no sweep at night is needed: score_value holds that sum and its time.
 * The ledger score_point holds every point, and tells the score of any past
 * instant, and why.
 *
 * The phase of the tick applies each rule by one statement to the tick's
 * events of its kind, takes back what refunds and cancellations undo, and
 * looks who reached a threshold.  A rule that fails (a condition over data
 * that are no numbers) is marked and holds up no other.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "customer/customer.h"
#include "event/event.h"
#include "expr/expr.h"
#include "scoring/scoring.h"

PG_FUNCTION_INFO_V1(ecauto_score);

/* A rule as stored; texts may be NULL. */
typedef struct Rule
{
	int32		id;
	char	   *name;
	char	   *kind;
	double		points;
	char	   *times;
	char	   *condition;
	double		half_life;		/* in seconds; infinite: for ever */
	bool		once;
	int			per_day;		/* 0: no limit */
	TimestampTz from;
	TimestampTz until;
	bool		refundable;
} Rule;

typedef struct Applied
{
	EcTick	   *tick;
	Rule	   *rule;
	List	  **customers;		/* of text[]: who got points */
} Applied;

/* Adds rows of "ins" to the sums, and returns whose they are. */
#define ADD_UP \
	"added AS (INSERT INTO ecauto_data.score_value AS v (customer, half_life, value, at) " \
	"SELECT customer, half_life, sum(" EC_SCORE_WORTH("points", "at", "$1", "half_life") "), $1 " \
	"FROM ins GROUP BY customer, half_life " \
	"ON CONFLICT (customer, half_life) DO UPDATE SET " \
	"value = excluded.value + " EC_SCORE_WORTH("v.value", "v.at", "excluded.at", "v.half_life") ", at = excluded.at) " \
	"SELECT array_agg(DISTINCT customer), count(*) FROM ins"

/*
 * The scope of a rule's condition: the event, and the customer.
 */
static EcExprScope *
rule_scope(void)
{
	static const EcExprColumn columns[] = {
		{"kind", TEXTOID, -1}, {"role", TEXTOID, -1}, {"key", TEXTOID, -1}, {"customer", TEXTOID, -1},
		{"sku", TEXTOID, -1}, {"session", TEXTOID, -1}, {"at", TIMESTAMPTZOID, -1},
		{"old", JSONBOID, -1}, {"new", JSONBOID, -1}
	};
	EcExprScope *scope = palloc0(sizeof(EcExprScope));

	scope->nrows = 2;
	scope->rows = palloc0(2 * sizeof(EcExprRow));
	scope->rows[0].name = "event";
	scope->rows[0].ncolumns = lengthof(columns);
	scope->rows[0].columns = (EcExprColumn *) columns;
	scope->rows[1] = *ec_customer_scope_row();
	return scope;
}

/* Mark the columns of row "customer" that a condition uses; false: none. */
static bool
customer_used(const EcExpr *expr, bool *used)
{
	bool		any = false;

	for (int i = 0; i < expr->nparams; i++)
		for (int c = 0; c < ec_customer_ncolumns; c++)
			if (strcmp(expr->params[i].row->name, "customer") == 0 &&
				strcmp(expr->params[i].column->name, ec_customer_columns[c].name) == 0)
				used[c] = any = true;
	return any;
}

/*
 * EcTryRun: give the points of one rule.
 */
static void
rule_apply(void *arg)
{
	Applied    *applied = arg;
	Rule	   *rule = applied->rule;
	MemoryContext caller = CurrentMemoryContext;
	Oid			types[EC_EVENTS_OF_TICK_ARGS + 9];
	Datum		args[EC_EVENTS_OF_TICK_ARGS + 9];
	StringInfoData sql;
	const char *condition = "true";
	const char *customer = NULL;
	bool		isnull;
	Datum		value;
	EcAs		as;

	memcpy(types, ec_event_tick_types, sizeof(Oid) * EC_EVENTS_OF_TICK_ARGS);
	ec_event_tick_args(applied->tick, args);
	types[5] = TEXTOID;
	args[5] = CStringGetTextDatum(rule->kind);
	types[6] = INT4OID;
	args[6] = Int32GetDatum(rule->id);
	types[7] = FLOAT8OID;
	args[7] = Float8GetDatum(rule->points);
	types[8] = FLOAT8OID;
	args[8] = Float8GetDatum(rule->half_life);
	types[9] = TIMESTAMPTZOID;
	args[9] = TimestampTzGetDatum(rule->from);
	types[10] = TIMESTAMPTZOID;
	args[10] = TimestampTzGetDatum(rule->until);
	types[11] = INT4OID;
	args[11] = Int32GetDatum(rule->per_day);
	types[12] = TEXTOID;
	args[12] = CStringGetTextDatum(rule->times != NULL ? rule->times : "");
	types[13] = BOOLOID;
	args[13] = BoolGetDatum(rule->refundable);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_expr_begin_as_owner(&as);
	if (rule->condition != NULL)
	{
		EcExpr	   *expr = ec_expr_check(rule->condition, rule_scope());
		bool	   *used = palloc0(ec_customer_ncolumns * sizeof(bool));

		condition = ec_expr_compile(expr, NULL, NULL, "$1");
		if (customer_used(expr, used))
			customer = ec_customer_rows_sql("ARRAY(SELECT DISTINCT customer FROM e)", "$1", used);
	}

	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "WITH e AS MATERIALIZED (SELECT ev.event_id, CASE WHEN ev.kind = 'order.placed' "
					 "THEN least(ev.at, (ev.new->>'placed_at')::timestamptz) ELSE ev.at END AS at, ev.kind, ev.role, ev.key, ev.sku, ev.session, "
					 "ev.old, ev.new, coalesce(ev.customer, i.customer, g.key) AS customer "
					 "FROM " EC_EVENTS_OF_TICK " ev "
					 "LEFT JOIN ecauto_data.identity i ON ev.customer IS NULL AND i.session = ev.session "
					 "LEFT JOIN ecauto_data.customer_fact g ON ev.customer IS NULL "
					 "AND g.guest_email = lower(ev.new->>'email') "
					 "WHERE ev.kind = $6), "
					 "c AS (SELECT event.*, (event.at AT TIME ZONE ecauto.shop_timezone())::date AS day, "
					 "$8 * CASE WHEN $13 = '' THEN 1 "
					 "WHEN jsonb_typeof(event.new->$13) = 'number' THEN (event.new->>$13)::float8 ELSE 0 END AS points "
					 "FROM e AS event %s%s%s WHERE event.customer IS NOT NULL "
					 "AND event.at >= $10 AND event.at < $11 AND (%s)), "
					 "n AS (SELECT c.*, row_number() OVER (PARTITION BY customer ORDER BY at, event_id) AS nth, "
					 "row_number() OVER (PARTITION BY customer, day ORDER BY at, event_id) AS nth_of_day FROM c), "
					 "ins AS (INSERT INTO ecauto_data.score_point (customer, rule, points, half_life, at, day, recorded_at, "
					 "event_id, order_key) "
					 "SELECT customer, $7, points, $9, at, day, $1, event_id, CASE WHEN role = 'order' AND $14 THEN key END "
					 "FROM n WHERE points <> 0 ",
					 customer != NULL ? "JOIN (" : "", customer != NULL ? customer : "",
					 customer != NULL ? ") AS customer ON customer.key = event.customer" : "", condition);
	if (rule->once)
		appendStringInfoString(&sql, "AND nth = 1 AND NOT EXISTS (SELECT FROM ecauto_data.score_point p "
							   "WHERE p.customer = n.customer AND p.rule = $7) ");
	if (rule->per_day > 0)
		appendStringInfoString(&sql, "AND nth_of_day + (SELECT count(*) FROM ecauto_data.score_point p "
							   "WHERE p.customer = n.customer AND p.rule = $7 AND p.day = n.day "
							   "AND sign(p.points) = sign($8)) <= $12 ");
	appendStringInfoString(&sql, "RETURNING customer, points, half_life, at), " ADD_UP);

	if (SPI_execute_with_args(sql.data, lengthof(types), types, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not give points");
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
	{
		MemoryContextSwitchTo(caller);
		*applied->customers = lappend(*applied->customers, DatumGetArrayTypePCopy(value));
	}
	ec_expr_end(&as);
	SPI_finish();
}

/*
 * EcTryRun: take back the points of orders that were cancelled, deleted or
 * refunded: all of them, or the part that was given back.
 */
static void
points_take_back(void *arg)
{
	static const char sql[] =
		"WITH o AS (SELECT DISTINCT ON (e.key) e.key, CASE WHEN e.kind = 'order.partially_refunded' "
		"THEN least(1, greatest(0, (e.new->>'refunded')::float8 / nullif((e.new->>'total')::float8, 0))) ELSE 1 END AS part "
		"FROM " EC_EVENTS_OF_TICK " e WHERE e.kind IN ('order.cancelled', 'order.deleted', 'order.refunded', 'order.partially_refunded') "
		"ORDER BY e.key, (e.kind <> 'order.partially_refunded') DESC, e.event_id DESC), "
		"p AS (SELECT p.customer, p.rule, p.half_life, p.at, p.day, p.order_key, p.event_id, "
		"-sum(p.points) FILTER (WHERE sign(p.points) = sign(r.points)) * o.part "
		"- coalesce(sum(p.points) FILTER (WHERE sign(p.points) <> sign(r.points)), 0) AS points, sign(r.points) AS sign "
		"FROM o JOIN ecauto_data.score_point p ON p.order_key = o.key JOIN ecauto_data.score_rule r ON r.id = p.rule "
		"WHERE o.part IS NOT NULL "
		"GROUP BY p.customer, p.rule, p.half_life, p.at, p.day, p.order_key, p.event_id, o.part, r.points), "
		"ins AS (INSERT INTO ecauto_data.score_point (customer, rule, points, half_life, at, day, recorded_at, event_id, order_key) "
		"SELECT customer, rule, points, half_life, at, day, $1, event_id, order_key FROM p "
		/* never more is given back because less was refunded */
		"WHERE points * sign < 0 RETURNING customer, points, half_life, at), " ADD_UP;
	Applied    *applied = arg;
	MemoryContext caller = CurrentMemoryContext;
	Datum		args[EC_EVENTS_OF_TICK_ARGS];
	bool		isnull;
	Datum		value;
	EcAs		as;

	ec_event_tick_args(applied->tick, args);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan(sql, EC_EVENTS_OF_TICK_ARGS, ec_event_tick_types), args, NULL, false,
						 0) != SPI_OK_SELECT)
		elog(ERROR, "could not take back points");
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
	{
		MemoryContextSwitchTo(caller);
		*applied->customers = lappend(*applied->customers, DatumGetArrayTypePCopy(value));
	}
	ec_as_end(&as);
	SPI_finish();
}

/*
 * Events score.reached for those whose score rose to a threshold.  A score
 * only falls by itself, so whether it was below rearm_below since it was last
 * looked at shows just before points are added.
 */
static void
thresholds_look(EcTick *tick, ArrayType *customers, int64 last_point)
{
	static const Oid types[] = {TIMESTAMPTZOID, TEXTARRAYOID, INT8OID};
	static const char sql[] =
		"WITH s AS (SELECT c AS customer, "
		"coalesce((SELECT sum(" EC_SCORE_WORTH("v.value", "v.at", "$1", "v.half_life") ") FROM ecauto_data.score_value v "
		"WHERE v.customer = c), 0) AS after, "
		"coalesce((SELECT sum(" EC_SCORE_WORTH("p.points", "p.at", "$1", "p.half_life") ") FROM ecauto_data.score_point p "
		"WHERE p.customer = c AND p.recorded_at = $1 AND p.id > $3), 0) AS added FROM (SELECT DISTINCT unnest($2) AS c) u), "
		"hit AS (SELECT t.id, t.name, t.points, s.customer, s.after FROM ecauto_data.score_threshold t "
		"JOIN s ON s.after >= t.points "
		"LEFT JOIN ecauto_data.score_reached d ON d.threshold = t.id AND d.customer = s.customer "
		"WHERE d.customer IS NULL OR s.after - s.added < t.rearm_below), "
		"mark AS (INSERT INTO ecauto_data.score_reached AS d (threshold, customer, at, times) "
		"SELECT id, customer, $1, 1 FROM hit ON CONFLICT (threshold, customer) DO UPDATE "
		"SET at = excluded.at, times = d.times + 1) "
		"INSERT INTO ecauto_data.event (event_id, at, kind, role, key, customer, new) "
		"SELECT ecauto.new_id(), $1, 'score.reached', 'customer', customer, customer, "
		"jsonb_build_object('threshold', name, 'points', points, 'score', round(after::numeric, 6)) "
		"FROM hit ORDER BY customer, id";
	Datum		args[3];
	EcAs		as;

	args[0] = TimestampTzGetDatum(tick->at);
	args[1] = PointerGetDatum(customers);
	args[2] = Int64GetDatum(last_point);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan(sql, 3, types), args, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not compare scores with thresholds");
	ec_event_emitted(tick, SPI_processed);
	ec_as_end(&as);
	SPI_finish();
}

/* Say that a rule failed, or that it works again. */
static void
rule_mark(Rule *rule, const ErrorData *error)
{
	static const Oid types[] = {INT4OID, TEXTOID};
	Datum		args[2];
	char		nulls[] = {' ', error == NULL ? 'n' : ' '};
	EcAs		as;

	if (error != NULL)
		ereport(WARNING,
				(errmsg("rule \"%s\" gave no points", rule->name),
				 errdetail_internal("%s", error->message)));
	args[0] = Int32GetDatum(rule->id);
	args[1] = error != NULL ? CStringGetTextDatum(error->message) : (Datum) 0;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("UPDATE ecauto_data.score_rule SET error = $2 WHERE id = $1 AND error IS DISTINCT FROM $2",
								 2, types), args, nulls, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not mark a rule");
	ec_as_end(&as);
	SPI_finish();
}

/*
 * Rules (Rule *) for the kinds of events in this tick, in the caller's
 * context; *undo: are there events that take points back?  *last_point: what
 * is added from now on has a greater id, since only ticks add.
 */
static List *
rules_of_tick(EcTick *tick, bool *undo, int64 *last_point)
{
	static const char sql[] =
		"WITH k AS MATERIALIZED (SELECT DISTINCT e.kind FROM " EC_EVENTS_OF_TICK " e) "
		"SELECT r.id, r.name, r.kind, r.points, r.times, r.condition, "
		"coalesce(extract(epoch FROM r.half_life)::float8, 'infinity'), r.once, coalesce(r.per_day, 0), "
		"r.valid_from, r.valid_until, r.refundable FROM ecauto_data.score_rule r JOIN k ON k.kind = r.kind WHERE r.enabled "
		"UNION ALL SELECT NULL, NULL, k.kind, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM k "
		"WHERE k.kind IN ('order.cancelled', 'order.deleted', 'order.refunded', 'order.partially_refunded') "
		"AND EXISTS (SELECT FROM ecauto_data.score_rule) "
		"ORDER BY 1";
	MemoryContext caller = CurrentMemoryContext;
	Datum		args[EC_EVENTS_OF_TICK_ARGS];
	List	   *rules = NIL;
	EcAs		as;

	*undo = false;
	ec_event_tick_args(tick, args);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan(sql, EC_EVENTS_OF_TICK_ARGS, ec_event_tick_types), args, NULL, false,
						 0) != SPI_OK_SELECT)
		elog(ERROR, "could not find the rules for points");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MemoryContext spi = MemoryContextSwitchTo(caller);
		Rule	   *rule = palloc0(sizeof(Rule));
		bool		isnull;

		rule->id = DatumGetInt32(SPI_getbinval(tuple, desc, 1, &isnull));
		if (isnull)
			*undo = true;
		else
		{
			rule->name = SPI_getvalue(tuple, desc, 2);
			rule->kind = SPI_getvalue(tuple, desc, 3);
			rule->points = DatumGetFloat8(SPI_getbinval(tuple, desc, 4, &isnull));
			rule->times = SPI_getvalue(tuple, desc, 5);
			rule->condition = SPI_getvalue(tuple, desc, 6);
			rule->half_life = DatumGetFloat8(SPI_getbinval(tuple, desc, 7, &isnull));
			rule->once = DatumGetBool(SPI_getbinval(tuple, desc, 8, &isnull));
			rule->per_day = DatumGetInt32(SPI_getbinval(tuple, desc, 9, &isnull));
			rule->from = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 10, &isnull));
			rule->until = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 11, &isnull));
			rule->refundable = DatumGetBool(SPI_getbinval(tuple, desc, 12, &isnull));
			rules = lappend(rules, rule);
		}
		MemoryContextSwitchTo(spi);
	}
	if (rules != NIL || *undo)
	{
		bool		isnull;

		if (SPI_execute_plan(ec_plan("SELECT coalesce(max(id), 0) FROM ecauto_data.score_point", 0, NULL),
							 NULL, NULL, false, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not find the last point");
		*last_point = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	}
	ec_as_end(&as);
	SPI_finish();
	return rules;
}

/*
 * Phase of the tick; see the top of the file.
 */
void
ec_scoring_tick(EcTick *tick)
{
	MemoryContext context;
	MemoryContext old;
	Applied		applied = {0};
	List	   *customers = NIL;
	bool		undo;
	int64		last_point = 0;
	ListCell   *lc;

	if (!ec_event_in_tick(tick))
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "ecauto scoring tick",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	applied.tick = tick;
	applied.customers = &customers;
	foreach(lc, rules_of_tick(tick, &undo, &last_point))
	{
		ErrorData  *error;

		CHECK_FOR_INTERRUPTS();
		applied.rule = lfirst(lc);
		error = ec_try(rule_apply, &applied, false);
		rule_mark(applied.rule, error);
	}
	if (undo)
	{
		ErrorData  *error = ec_try(points_take_back, &applied, false);

		if (error != NULL)
			ereport(WARNING,
					(errmsg("points of refunded orders were not taken back"),
					 errdetail_internal("%s", error->message)));
	}
	foreach(lc, customers)
		thresholds_look(tick, lfirst(lc), last_point);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * ecauto.score(customer text, as_of timestamptz) returns float8
 *
 * The customer's points as of an instant (NULL: now), each halved once for
 * every half-life since; 0 for one who has none.
 */
Datum
ecauto_score(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID};
	static const char now_sql[] =
		"SELECT coalesce(sum(" EC_SCORE_WORTH("v.value", "v.at", "$2", "v.half_life") "), 0)::float8 "
		"FROM ecauto_data.score_value v WHERE v.customer = $1";
	static const char then_sql[] =
		"SELECT coalesce(sum(" EC_SCORE_WORTH("p.points", "p.at", "$2", "p.half_life") "), 0)::float8 "
		"FROM ecauto_data.score_point p WHERE p.customer = $1 AND p.recorded_at <= $2";
	bool		then = !PG_ARGISNULL(1);
	Datum		args[2];
	Datum		result;
	bool		isnull;
	EcAs		as;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	ec_state_require();
	ec_require_reader("read scores");
	args[0] = PG_GETARG_DATUM(0);
	args[1] = then ? PG_GETARG_DATUM(1) : TimestampTzGetDatum(ec_now());
	if (then && TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(args[1])))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("time of a score must be finite")));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan(then ? then_sql : now_sql, 2, types), args, NULL, true, 0) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not read the score");
	result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	ec_as_end(&as);
	SPI_finish();
	PG_RETURN_DATUM(result);
}

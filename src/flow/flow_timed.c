/*-------------------------------------------------------------------------
 *
 * flow_timed.c
 *		What time alone sets off: schedules, dates, carts left alone, customers
 *		who stay away.
 *
 * Each such flow remembers up to which instant it was looked at
 * (watched_until); a look takes what became due since then, up to the tick's
 * time, and moves that on.  So nothing is taken twice, and what became due
 * while nothing ran is found by the next look:
 *
 *	schedule	the last moment that passed (catch_up "once"), all, or none
 *				of those that are late ("skip")
 *	date		every day that passed; each customer has his date once
 *	cart.abandoned, inactivity
 *				everything: each cart and each customer is due once
 *
 * A date on 29 February comes round on 1 March in other years, as age() has it.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "flow/flow.h"

/* a scheduled moment that is not older is no late one */
#define LATE_AFTER (10 * USECS_PER_MINUTE)
/* moments that one look makes up for with catch_up "all" */
#define CATCH_UP_MAX 1000
/* inactivity is looked at so often */
#define INACTIVITY_EVERY USECS_PER_HOUR

/* columns that candidates do not have, see ec_flow_batch_fill() */
#define NO_EVENT "NULL::jsonb AS old, NULL::jsonb AS new, NULL::bigint AS run, NULL::text AS subject, " \
	"NULL::text AS occasion, NULL::timestamptz AS started_at, NULL::integer AS line, NULL::jsonb AS lines, NULL::jsonb AS results"

/* When to look next at what time sets off; a flow that is looked at now looked up to after. */
TimestampTz
ec_flow_timed_next(const EcFlow *flow, TimestampTz after)
{
	static const Oid types[] = {TIMESTAMPTZOID, INTERVALOID};
	TimestampTz next = DT_NOEND;
	Datum		args[2];
	bool		isnull;
	EcAs		as;

	if (flow->schedule != NULL)
		return ec_flow_schedule_next(flow->schedule, after, NULL);
	if (flow->on == EC_ON_INACTIVITY)
		return after + INACTIVITY_EVERY;

	/* the cart that is due next; those to come cannot be due earlier than after the delay */
	args[0] = TimestampTzGetDatum(after);
	args[1] = IntervalPGetDatum(flow->after);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_expr_begin_as_owner(&as);
	if (SPI_execute_plan(ec_plan("SELECT least((SELECT c.changed_at + $2 FROM ecauto_data.seen_cart c WHERE c.completed_at IS NULL "
								 "AND c.changed_at > $1 - $2 ORDER BY c.changed_at LIMIT 1), $1 + $2)", 2, types),
						 args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for the next cart that is due");
	next = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	ec_expr_end(&as);
	SPI_finish();
	return next;
}

static void
look_done(EcTick *tick, EcFlow *flow)
{
	static const Oid types[] = {INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	TimestampTz next = ec_flow_timed_next(flow, tick->at);
	Datum		args[3];

	args[0] = Int32GetDatum(flow->id);
	args[1] = TimestampTzGetDatum(tick->at);
	args[2] = TimestampTzGetDatum(next);
	ec_flow_state_run("UPDATE ecauto_data.flow f SET watched_until = $2, next_look = $3 WHERE f.id = $1", 3, types, args, NULL);
	ec_tick_due(tick, next);
}

/* ---- schedules ---- */

/* SELECT of those that a schedule goes through; $1: the moment */
static const char *
each_sql(const char *each)
{
#define EACH(kind, customer, sku, from) \
	"SELECT ecauto.new_id() AS event_id, $1 AS event_at, 'schedule' AS kind, '" kind "'::text COLLATE \"C\" AS role, x.key, " \
	"NULL::text COLLATE \"C\" AS session, " customer " AS customer, " sku " AS sku, " NO_EVENT " FROM " from
	if (each == NULL)
		return "SELECT ecauto.new_id() AS event_id, $1 AS event_at, 'schedule' AS kind, NULL::text COLLATE \"C\" AS role, "
			"NULL::text COLLATE \"C\" AS key, NULL::text COLLATE \"C\" AS session, NULL::text COLLATE \"C\" AS customer, "
			"NULL::text COLLATE \"C\" AS sku, " NO_EVENT;
	if (strcmp(each, "customer") == 0)
		return EACH("customer", "x.key", "NULL::text COLLATE \"C\"", "ecauto_data.customer_fact x WHERE x.known "
					"AND NOT EXISTS (SELECT FROM ecauto_data.seen_customer c WHERE c.key = x.key AND c.created_at > $1)");
	if (strcmp(each, "order") == 0)
		return EACH("order", "coalesce(x.customer_key, x.email COLLATE \"C\")", "NULL::text COLLATE \"C\"",
					"ecauto_data.seen_order x WHERE x.placed_at <= $1");
	if (strcmp(each, "cart") == 0)
		return EACH("cart", "coalesce(x.customer_key, x.email COLLATE \"C\")", "NULL::text COLLATE \"C\"",
					"ecauto_data.seen_cart x WHERE x.completed_at IS NULL");
	if (strcmp(each, "sku") == 0)
		return EACH("sku", "NULL::text COLLATE \"C\"", "x.key", "ecauto_data.seen_sku x");
	return EACH("product", "NULL::text COLLATE \"C\"", "NULL::text COLLATE \"C\"", "ecauto_data.seen_product x");
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

static List *
schedule_look(EcTick *tick, EcFlow *flow, TimestampTz watched_until)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	TimestampTz moments[CATCH_UP_MAX];
	TimestampTz moment = watched_until;
	List	   *groups = NIL;
	int			n = 0;

	while ((moment = ec_flow_schedule_next(flow->schedule, moment, NULL)) <= tick->at)
	{
		/* of more than there is room for, the latest */
		if (flow->catch_up != EC_CATCH_UP_ALL || n == CATCH_UP_MAX)
			n = 0;
		moments[n++] = moment;
	}
	if (flow->catch_up == EC_CATCH_UP_SKIP && n > 0 && tick->at - moments[0] > LATE_AFTER)
		n = 0;
	for (int i = 0; i < n; i++)
	{
		Datum		args[1];

		args[0] = TimestampTzGetDatum(moments[i]);
		groups = groups_merge(groups, ec_flow_match_rows(tick, flow, each_sql(flow->each), 1, types, args, NULL));
	}
	return groups;
}

/* ---- dates ---- */

static int32
local_day(TimestampTz at)
{
	Timestamp	local = ec_flow_to_local(at);

	return (int32) (local >= 0 ? local / USECS_PER_DAY : -((-local + USECS_PER_DAY - 1) / USECS_PER_DAY));
}

/*
 * The days whose moment passed since the last look, each with the calendar day
 * of the date it stands for, go to the statement as arrays: moment, day.
 */
static List *
date_look(EcTick *tick, EcFlow *flow, TimestampTz watched_until)
{
	static const Oid types[] = {TIMESTAMPTZARRAYOID, DATEARRAYOID, BOOLOID};
	Datum	   *moments = palloc(sizeof(Datum) * (EC_FLOW_WAIT_DAYS + 1));
	Datum	   *days = palloc(sizeof(Datum) * (EC_FLOW_WAIT_DAYS + 1));
	int			shift = flow->shift != NULL ? flow->shift->day : 0;
	TimestampTz moment = watched_until;
	Datum		args[3];
	char	   *sql;
	int			n = 0;

	/* what was missed for longer than a year is not made up for */
	moment = Max(moment, tick->at - EC_FLOW_WAIT_DAYS * USECS_PER_DAY);
	while ((moment = ec_flow_schedule_next(flow->schedule, moment, NULL)) <= tick->at && n <= EC_FLOW_WAIT_DAYS)
	{
		if (flow->catch_up == EC_CATCH_UP_SKIP && tick->at - moment > USECS_PER_DAY)
			continue;
		moments[n] = TimestampTzGetDatum(moment);
		days[n++] = DateADTGetDatum(local_day(moment) - shift);
	}
	if (n == 0)
		return NIL;
	args[0] = PointerGetDatum(construct_array(moments, n, TIMESTAMPTZOID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	args[1] = PointerGetDatum(construct_array(days, n, DATEOID, 4, true, TYPALIGN_INT));
	args[2] = BoolGetDatum(flow->yearly);
	/* 29 February comes round with the day after 28 February */
	sql = psprintf("SELECT ecauto.new_id() AS event_id, m.at AS event_at, 'date' AS kind, 'customer'::text COLLATE \"C\" AS role, f.key, "
				   "NULL::text COLLATE \"C\" AS session, f.key AS customer, NULL::text COLLATE \"C\" AS sku, " NO_EVENT " "
				   "FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS m (at, day) "
				   "JOIN (SELECT f.key, c.created_at, c.%s::date AS day FROM ecauto_data.customer_fact f "
				   "JOIN ecauto_data.seen_customer c ON c.key = f.key WHERE f.known AND c.%s IS NOT NULL) f "
				   "ON coalesce(f.created_at, '-infinity') <= m.at AND CASE WHEN NOT $3 THEN f.day = m.day "
				   "ELSE f.day < m.day AND (pg_catalog.to_char(f.day, 'MMDD') = pg_catalog.to_char(m.day, 'MMDD') "
				   "OR (pg_catalog.to_char(f.day, 'MMDD') = '0229' AND pg_catalog.to_char(m.day, 'MMDD') = '0301' "
				   "AND pg_catalog.to_char(m.day - 1, 'MMDD') = '0228')) END",
				   quote_identifier(flow->column), quote_identifier(flow->column));
	return ec_flow_match_rows(tick, flow, sql, 3, types, args, NULL);
}

/* ---- carts and customers left alone ---- */

/*
 * Carts that were last touched so long ago that they are due now, and of whom
 * no order has come since: neither from the cart, nor from its customer by
 * another one.
 */
static const char cart_sql[] =
	"SELECT ecauto.new_id() AS event_id, c.changed_at + $3 AS event_at, 'cart.abandoned' AS kind, 'cart'::text COLLATE \"C\" AS role, "
	"c.key, NULL::text COLLATE \"C\" AS session, coalesce(c.customer_key, pg_catalog.lower(c.email) COLLATE \"C\") AS customer, "
	"NULL::text COLLATE \"C\" AS sku, " NO_EVENT " "
	"FROM ecauto_data.seen_cart c WHERE c.completed_at IS NULL AND c.changed_at > $1 - $3 AND c.changed_at <= $2 - $3 "
	"AND c.lines IS NOT NULL AND c.lines <> '{}' "
	"AND NOT EXISTS (SELECT FROM ecauto_data.seen_order o WHERE o.customer_key = c.customer_key "
	"  AND o.placed_at >= c.changed_at AND o.placed_at <= $2) "
	"AND NOT EXISTS (SELECT FROM ecauto_data.seen_order o WHERE o.customer_key IS NULL AND o.email = c.email "
	"  AND o.placed_at >= c.changed_at AND o.placed_at <= $2)";

static List *
delay_look(EcTick *tick, EcFlow *flow, TimestampTz watched_until)
{
	static const Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, INTERVALOID};
	const char *sql = cart_sql;
	Datum		args[3];

	args[0] = TimestampTzGetDatum(watched_until);
	args[1] = TimestampTzGetDatum(tick->at);
	args[2] = IntervalPGetDatum(flow->after);
	if (flow->on == EC_ON_INACTIVITY)
		sql = psprintf("SELECT ecauto.new_id() AS event_id, f.%s::timestamptz + $3 AS event_at, 'inactivity' AS kind, "
					   "'customer'::text COLLATE \"C\" AS role, f.key, NULL::text COLLATE \"C\" AS session, f.key AS customer, "
					   "NULL::text COLLATE \"C\" AS sku, " NO_EVENT " FROM ecauto_data.customer_fact f "
					   "WHERE f.known AND f.%s > $1 - $3 AND f.%s <= $2 - $3",
					   quote_identifier(flow->column), quote_identifier(flow->column), quote_identifier(flow->column));
	return ec_flow_match_rows(tick, flow, sql, 3, types, args, NULL);
}

/*
 * Look at what has become due since watched_until; returns groups of runs to
 * be advanced.
 */
List *
ec_flow_timed(EcTick *tick, EcFlow *flow, TimestampTz watched_until)
{
	List	   *groups = NIL;

	switch (flow->on)
	{
		case EC_ON_EVENT:
			break;
		case EC_ON_SCHEDULE:
			groups = schedule_look(tick, flow, watched_until);
			break;
		case EC_ON_DATE:
			groups = date_look(tick, flow, watched_until);
			break;
		case EC_ON_CART:
		case EC_ON_INACTIVITY:
			groups = delay_look(tick, flow, watched_until);
			break;
	}
	look_done(tick, flow);
	return groups;
}

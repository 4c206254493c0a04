/*-------------------------------------------------------------------------
 *
 * stock_alert.c
 *		The stock phase of a tick: what its events say about stock.
 *
 *	1. orders of which something happened are left for refresh_demand();
 *	2. times out of stock begin and end: on such days nobody could buy, so
 *	   they say nothing about demand;
 *	3. skus that become low are told of, as an event "stock.low", and once
 *	   they have enough again, "stock.recovered";
 *	4. purchase orders that are late are told of, as an event
 *	   "purchase_order.late";
 *	5. who waits for a sku that can be sold again is told.
 *
 * A sku is low from when it is at or below its limit (units, or days of cover
 * at its forecast demand) until it reaches the clearing limit, which is higher:
 * a stock that goes up and down around one of them is told of once.  If it is
 * low again within the quiet time after it was told of, it is told of at the
 * end of that time, if it still is.
 *
 * Each of these is one statement, whatever the number of skus.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/timestamp.h"

#include "event/event.h"
#include "stock/stock.h"

static const char stale_statement[] =
	"INSERT INTO ecauto_data.demand_stale (order_key)\n"
	"SELECT DISTINCT e.key FROM " EC_EVENTS_OF_TICK " e\n"
	"WHERE e.role = 'order' AND e.key IS NOT NULL\n"
	"  AND e.kind IN ('order.placed', 'order.cancelled', 'order.refunded', 'order.partially_refunded', 'order.deleted',\n"
	"    'order.restored')";

static const char back_statement[] =
	"UPDATE ecauto_data.stock_out o SET until = greatest($1, o.since)\n"
	"FROM " EC_EVENTS_OF_TICK " e\n"
	"WHERE e.kind = 'stock.back' AND e.role = 'stock' AND o.sku = e.key AND o.until IS NULL";

static const char out_statement[] =
	"INSERT INTO ecauto_data.stock_out (sku, since)\n"
	"SELECT e.key, $1 FROM " EC_EVENTS_OF_TICK " e\n"
	"WHERE e.kind = 'stock.out' AND e.role = 'stock'\n"
	"  AND NOT EXISTS (SELECT FROM ecauto_data.stock_out o WHERE o.sku = e.key AND o.until IS NULL)\n"
	"ON CONFLICT ON CONSTRAINT stock_out_pkey DO UPDATE SET until = NULL";

/* when does a row wait that is not due yet, and are there such that are? */
static const char due_statement[] =
	"SELECT pg_catalog.min(due) FILTER (WHERE due > $1), coalesce(pg_catalog.bool_or(due <= $1), false)\n"
	"FROM ecauto_data.stock_alert_stale";

static const char alert_statement[] =
	"WITH stale AS (DELETE FROM ecauto_data.stock_alert_stale WHERE due <= $1 RETURNING sku),\n"
	"who AS (SELECT e.key AS sku FROM " EC_EVENTS_OF_TICK " e\n"
	"    WHERE e.kind = 'stock.changed' AND e.role = 'stock'\n"
	"  UNION SELECT sku FROM stale),\n"
	"v AS MATERIALIZED (\n"
	"  SELECT w.sku, coalesce(t.on_hand - t.reserved, 0) AS available, f.daily::numeric AS daily,\n"
	"    r.units, r.clear_units, r.days, r.clear_days, r.quiet, coalesce(l.low, false) AS was, l.told_at\n"
	"  FROM who w\n"
	"  JOIN ecauto_data.seen_sku s ON s.key = w.sku AND s.active AND s.track_stock\n"
	"  LEFT JOIN ecauto_data.seen_stock t ON t.key = w.sku\n"
	"  LEFT JOIN ecauto_data.sku_forecast f ON f.sku = w.sku\n"
	"  LEFT JOIN ecauto_data.stock_low l ON l.sku = w.sku\n"
	"  CROSS JOIN LATERAL (SELECT a.* FROM ecauto_data.stock_alert a\n"
	"    WHERE a.sku IN (w.sku, '') ORDER BY a.sku DESC LIMIT 1) r),\n"
	"d AS MATERIALIZED (\n"
	"  SELECT v.*, coalesce(available <= units, false)\n"
	"      OR coalesce(daily > 0 AND available <= days * daily, false) AS low,\n"
	"    coalesce(available >= clear_units, true)\n"
	"      AND (days IS NULL OR daily IS NULL OR daily <= 0 OR available >= clear_days * daily) AS clear\n"
	"  FROM v),\n"
	"fall AS MATERIALIZED (SELECT d.* FROM d WHERE low AND NOT was AND (told_at IS NULL OR told_at + quiet <= $1)),\n"
	"rise AS MATERIALIZED (SELECT d.* FROM d WHERE was AND clear AND NOT low),\n"
	"again AS (INSERT INTO ecauto_data.stock_alert_stale (sku, due)\n"
	"  SELECT sku, told_at + quiet FROM d WHERE low AND NOT was AND told_at + quiet > $1),\n"
	"fell AS (INSERT INTO ecauto_data.stock_low (sku, low, told_at) SELECT sku, true, $1 FROM fall\n"
	"  ON CONFLICT (sku) DO UPDATE SET low = true, told_at = excluded.told_at),\n"
	"rose AS (UPDATE ecauto_data.stock_low l SET low = false FROM rise WHERE l.sku = rise.sku)\n"
	"INSERT INTO ecauto_data.event (event_id, at, kind, role, key, sku, new)\n"
	"SELECT ecauto.new_id(), $1, x.kind, 'stock', x.sku, x.sku, pg_catalog.jsonb_build_object(\n"
	"  'available', available, 'daily', pg_catalog.round(daily, 3),\n"
	"  'days_of_cover', CASE WHEN daily > 0 THEN pg_catalog.round(greatest(available, 0) / daily, 1) END,\n"
	"  'units', units, 'days', days, 'clear_units', clear_units, 'clear_days', clear_days)\n"
	"FROM (SELECT 'stock.low' AS kind, fall.* FROM fall UNION ALL SELECT 'stock.recovered', rise.* FROM rise) x";

/* told once of each time by which all should have come */
static const char late_statement[] =
	"WITH late AS (UPDATE ecauto_data.purchase_order p SET late_told = true\n"
	"  WHERE p.state IN ('sent', 'confirmed') AND NOT p.late_told AND p.overdue_at <= $1 RETURNING p.*)\n"
	"INSERT INTO ecauto_data.event (event_id, at, kind, new)\n"
	"SELECT ecauto.new_id(), $1, 'purchase_order.late', pg_catalog.jsonb_build_object(\n"
	"  'id', l.id, 'supplier', l.supplier, 'due_on', l.due_on, 'overdue_at', l.overdue_at,\n"
	"  'missing', (SELECT pg_catalog.jsonb_object_agg(i.sku, i.units)\n"
	"    FROM ecauto_data.stock_incoming i WHERE i.reference = 'PO-' || l.id))\n"
	"FROM late l";

static const char overdue_statement[] =
	"SELECT pg_catalog.min(p.overdue_at) FROM ecauto_data.purchase_order p\n"
	"WHERE p.state IN ('sent', 'confirmed') AND NOT p.late_told";

/* Run a statement whose parameters are the events of the tick; rows written. */
static int64
run(const char *statement, Datum *args)
{
	int			rc = SPI_execute_plan(ec_plan(statement, EC_EVENTS_OF_TICK_ARGS, ec_event_tick_types),
									  args, NULL, false, 0);

	if (rc != SPI_OK_INSERT && rc != SPI_OK_UPDATE)
		elog(ERROR, "SPI_execute_plan returned %s", SPI_result_code_string(rc));
	return SPI_processed;
}

/* Are rows waiting to be looked at?  Tells the tick when the next will be. */
static bool
stale_look(EcTick *tick)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	Datum		args[] = {TimestampTzGetDatum(tick->at)};
	bool		isnull;
	bool		stale;
	Datum		due;

	if (SPI_execute_plan(ec_plan(due_statement, 1, types), args, NULL, false, 0) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not look for skus to tell of");
	stale = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	due = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
		ec_tick_due(tick, DatumGetTimestampTz(due));
	return stale;
}

/* Tell who waits; tells the tick when the next ones are due.  Returns how many mails there are. */
static int64
waiting_tell(EcTick *tick, bool changed)
{
	static const Oid types[] = {BOOLOID};
	Datum		args[] = {BoolGetDatum(changed)};
	bool		isnull;
	int64		told;
	Datum		due;

	if (SPI_execute_plan(ec_plan("SELECT told, next_at FROM ecauto.notify_waiting($1)", 1, types),
						 args, NULL, false, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not look at the waiting list");
	told = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	due = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);
	if (!isnull)
		ec_tick_due(tick, DatumGetTimestampTz(due));
	return told;
}

/* When will a purchase order that is under way be late?  DT_NOEND: none is. */
static TimestampTz
overdue_first(void)
{
	bool		isnull;
	Datum		due;

	if (SPI_execute_plan(ec_plan(overdue_statement, 0, NULL), NULL, NULL, false, 0) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not look for purchase orders that are late");
	due = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	return isnull ? DT_NOEND : DatumGetTimestampTz(due);
}

/* Tell of purchase orders that are late, and the tick of the next one; returns how many were. */
static int64
late_tell(EcTick *tick)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	Datum		args[] = {TimestampTzGetDatum(tick->at)};
	TimestampTz first = overdue_first();
	int64		told = 0;

	if (first <= tick->at)
	{
		ec_event_partition_ensure(tick->at);
		if (SPI_execute_plan(ec_plan(late_statement, 1, types), args, NULL, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not tell of purchase orders that are late");
		told = SPI_processed;
		first = overdue_first();
	}
	if (first != DT_NOEND)
		ec_tick_due(tick, first);
	return told;
}

void
ec_stock_tick(EcTick *tick)
{
	Datum		args[EC_EVENTS_OF_TICK_ARGS];
	bool		events = ec_event_in_tick(tick);
	int64		told = 0;
	EcAs		as;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	ec_event_tick_args(tick, args);
	if (events)
	{
		run(stale_statement, args);
		run(back_statement, args);
		run(out_statement, args);
	}
	if (stale_look(tick) || events)
	{
		ec_event_partition_ensure(tick->at);
		told = run(alert_statement, args);
		(void) stale_look(tick);	/* a quiet time may have begun to be waited for */
	}
	told += late_tell(tick);
	tick->messages += waiting_tell(tick, events);
	ec_as_end(&as);
	SPI_finish();
	ec_event_emitted(tick, told);
}

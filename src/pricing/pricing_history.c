/*-------------------------------------------------------------------------
 *
 * pricing_history.c
 *		The history of prices: each amount with the period it was in force.
 *
 * A series is a sku, a currency and a price list; '' is the base price.  The
 * tick's phase "pricing" writes it from what the event phase saw: for each
 * series that an event tells of, or in which a scheduled price began or
 * ended since the last time, it finds the instants at which the price can have
 * changed, the price in force at each of them, and leaves out those at which
 * it did not.  What began by the shop's own dates (valid_from, valid_until)
 * is kept with these dates, however late the tick; else the tick's time
 * counts, which is when ecauto could see it.
 *
 * When a shop is attached, and in ecauto.reconcile_price_history(), the same
 * statement runs over every series.
 *
 * An exclusion constraint keeps the periods of a series apart.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "event/event.h"
#include "pricing/pricing.h"

PG_FUNCTION_INFO_V1(ecauto_reconcile_price_history);
PG_FUNCTION_INFO_V1(ecauto_price_sku_key);

/*
 * Run a statement on the state as its owner.  The caller is connected to SPI,
 * and finds rows in SPI_tuptable.  expected: an SPI_OK_ code.
 */
void
ec_pricing_run(const char *sql, int nargs, const Oid *types, const Datum *values,
			   const char *nulls, int expected)
{
	EcAs		as;
	int			rc;

	ec_as_state_owner(&as);
	rc = SPI_execute_plan(ec_plan(sql, nargs, types), unconstify(Datum *, values), nulls, false, 0);
	if (rc != expected)
		elog(ERROR, "SPI_execute_plan returned %s for \"%s\"", SPI_result_code_string(rc), sql);
	ec_as_end(&as);
}

/* ---- skus ---- */

/*
 * The key of a sku that people name by its key or by its code, or of one that is
 * gone but had a price; in the current context.  Errors: no_data_found.
 */
char *
ec_pricing_sku_key(const char *sku)
{
	static const Oid types[] = {TEXTOID};
	MemoryContext caller = CurrentMemoryContext;
	Datum		value = CStringGetTextDatum(sku);
	char	   *key = NULL;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_pricing_run("SELECT s.key FROM ecauto_data.seen_sku s WHERE s.key = $1"
				   " UNION ALL"
				   " (SELECT s.key FROM ecauto_data.seen_sku s WHERE s.sku = $1 ORDER BY s.key LIMIT 1)"
				   " UNION ALL"
				   " (SELECT s.sku FROM ecauto_data.price_series s WHERE s.sku = $1 LIMIT 1)"
				   " LIMIT 1", 1, types, &value, NULL, SPI_OK_SELECT);
	if (SPI_processed == 1)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);

		key = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	if (key == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("sku \"%s\" does not exist", sku),
				 errdetail("Neither a key nor a code of role \"sku\" is equal to it."),
				 errhint("Run ecauto.tick() if the sku is new, or ecauto.check_shop() to see what the role holds.")));
	return key;
}

/*
 * ecauto.price_sku_key(sku text) returns text
 */
Datum
ecauto_price_sku_key(PG_FUNCTION_ARGS)
{
	ec_state_require();
	PG_RETURN_TEXT_P(cstring_to_text(ec_pricing_sku_key(text_to_cstring(PG_GETARG_TEXT_PP(0)))));
}

/* ---- writing the history ---- */

/*
 * The series to look at: those of events of this tick, and those in which a
 * price began or ended by its dates after $6 and until now ($1).
 */
#define TOUCHED_NOW \
	"touched AS (\n" \
	"  SELECT e.key AS sku, coalesce(e.new, e.old) ->> 'currency' AS currency,\n" \
	"    coalesce(coalesce(e.new, e.old) ->> 'list_key', '') AS list_key, true AS told\n" \
	"  FROM " EC_EVENTS_OF_TICK " e WHERE e.kind = 'price.changed'\n" \
	"  UNION SELECT p.key, p.currency, p.list_key, false FROM ecauto_data.seen_price p\n" \
	"  WHERE p.valid_from > '-infinity' AND p.valid_from > $6 AND p.valid_from <= $1\n" \
	"  UNION SELECT p.key, p.currency, p.list_key, false FROM ecauto_data.seen_price p\n" \
	"  WHERE p.valid_until IS NOT NULL AND p.valid_until > $6 AND p.valid_until <= $1)"

/* Every series. */
#define TOUCHED_ALL \
	"touched AS (\n" \
	"  SELECT p.key AS sku, p.currency, p.list_key, true AS told FROM ecauto_data.seen_price p\n" \
	"  UNION SELECT s.sku, s.currency, s.list_key, true FROM ecauto_data.price_series s\n" \
	"  WHERE EXISTS (SELECT FROM ecauto_data.price_history h\n" \
	"    WHERE h.series_id = s.series_id AND pg_catalog.upper_inf(h.period)))"

#define SERIES_STATEMENT(touched) \
	"WITH " touched "\n" \
	"INSERT INTO ecauto_data.price_series (sku, currency, list_key)\n" \
	"SELECT DISTINCT t.sku, t.currency, t.list_key FROM touched t\n" \
	"WHERE NOT EXISTS (SELECT FROM ecauto_data.price_series s\n" \
	"  WHERE s.sku = t.sku AND s.currency = t.currency AND s.list_key = t.list_key)"

/*
 * step: at which instants what was in force; a NULL amount is none.  The last
 * period of a series that is still open is compared with the first of them.
 * A price that changes twice at one instant of our clock (tests stop it)
 * overwrites the period that began there.
 */
#define HISTORY_STATEMENT(touched) \
	"WITH " touched ",\n" \
	"t AS (SELECT s.series_id, t.sku, t.currency, t.list_key, pg_catalog.bool_or(t.told) AS told\n" \
	"  FROM touched t JOIN ecauto_data.price_series s\n" \
	"    ON s.sku = t.sku AND s.currency = t.currency AND s.list_key = t.list_key\n" \
	"  GROUP BY s.series_id, t.sku, t.currency, t.list_key),\n" \
	"instant AS (\n" \
	"  SELECT t.series_id, $1 AS at FROM t WHERE t.told\n" \
	"  UNION SELECT t.series_id, p.valid_from FROM t JOIN ecauto_data.seen_price p\n" \
	"    ON p.key = t.sku AND p.currency = t.currency AND p.list_key = t.list_key\n" \
	"  WHERE p.valid_from > '-infinity' AND p.valid_from > $6 AND p.valid_from <= $1\n" \
	"  UNION SELECT t.series_id, p.valid_until FROM t JOIN ecauto_data.seen_price p\n" \
	"    ON p.key = t.sku AND p.currency = t.currency AND p.list_key = t.list_key\n" \
	"  WHERE p.valid_until IS NOT NULL AND p.valid_until > $6 AND p.valid_until <= $1),\n" \
	"force AS (\n" \
	"  SELECT DISTINCT ON (i.series_id, i.at) i.series_id, i.at, p.amount, p.tax_included\n" \
	"  FROM instant i JOIN t ON t.series_id = i.series_id LEFT JOIN ecauto_data.seen_price p\n" \
	"    ON p.key = t.sku AND p.currency = t.currency AND p.list_key = t.list_key\n" \
	"    AND p.valid_from <= i.at AND (p.valid_until IS NULL OR p.valid_until > i.at)\n" \
	"  ORDER BY i.series_id, i.at, p.valid_from DESC NULLS LAST),\n" \
	"step AS (\n" \
	"  SELECT f.*, pg_catalog.lag(f.series_id) OVER w IS NULL AS is_first,\n" \
	"    pg_catalog.lag(f.amount) OVER w AS before, pg_catalog.lag(f.tax_included) OVER w AS before_tax\n" \
	"  FROM force f WINDOW w AS (PARTITION BY f.series_id ORDER BY f.at)),\n" \
	"d AS MATERIALIZED (\n" \
	"  SELECT s.series_id, s.at, s.amount, s.tax_included, h.series_id IS NOT NULL AS is_open,\n" \
	"    h.ctid AS place, pg_catalog.lower(h.period) AS began, h.period AS open_period,\n" \
	"    pg_catalog.lead(s.at) OVER w AS until, pg_catalog.row_number() OVER w AS n\n" \
	"  FROM step s LEFT JOIN ecauto_data.price_history h\n" \
	"    ON h.series_id = s.series_id AND pg_catalog.upper_inf(h.period)\n" \
	"  WHERE CASE WHEN s.is_first THEN (s.amount, s.tax_included) IS DISTINCT FROM (h.amount, h.tax_included)\n" \
	"    ELSE (s.amount, s.tax_included) IS DISTINCT FROM (s.before, s.before_tax) END\n" \
	"  WINDOW w AS (PARTITION BY s.series_id ORDER BY s.at)),\n" \
	"closed AS (UPDATE ecauto_data.price_history h SET period = pg_catalog.tstzrange(d.began, d.at)\n" \
	"  FROM d WHERE d.n = 1 AND h.ctid = d.place AND d.began < d.at),\n" \
	"overwritten AS (UPDATE ecauto_data.price_history h SET amount = d.amount, tax_included = d.tax_included,\n" \
	"    period = CASE WHEN d.until IS NULL THEN h.period\n" \
	"      ELSE pg_catalog.tstzrange(d.began, greatest(d.until, d.began + interval '1 microsecond')) END\n" \
	"  FROM d WHERE d.n = 1 AND h.ctid = d.place AND d.began >= d.at AND d.amount IS NOT NULL),\n" \
	"taken_back AS (DELETE FROM ecauto_data.price_history h\n" \
	"  USING d WHERE d.n = 1 AND h.ctid = d.place AND d.began >= d.at AND d.amount IS NULL)\n" \
	"INSERT INTO ecauto_data.price_history (series_id, period, amount, tax_included, origin)\n" \
	"SELECT d.series_id, pg_catalog.tstzrange(d.at, d.until), d.amount, d.tax_included, $7\n" \
	"FROM d WHERE d.amount IS NOT NULL AND NOT (d.n = 1 AND d.is_open AND d.began >= d.at)"

#define SYNC_ARGS (EC_EVENTS_OF_TICK_ARGS + 2)

/*
 * When the history was last brought up to date, NOBEGIN for never; *all: it has
 * to be compared as a whole, since the prices were loaded anew; *due: a price
 * began or ended by its dates since then.
 */
static TimestampTz
history_seen(TimestampTz now, bool *all, bool *due)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	Datum		value = TimestampTzGetDatum(now);
	HeapTuple	tuple;
	TupleDesc	desc;
	bool		isnull;

	*all = true;
	*due = false;
	ec_pricing_run("SELECT s.at, EXISTS (SELECT FROM ecauto_data.role_seen r"
				   "    WHERE r.role = 'price' AND r.loaded_at > s.at),"
				   "  EXISTS (SELECT FROM ecauto_data.seen_price p WHERE p.valid_from > '-infinity'"
				   "    AND p.valid_from > s.at AND p.valid_from <= $1)"
				   "  OR EXISTS (SELECT FROM ecauto_data.seen_price p WHERE p.valid_until IS NOT NULL"
				   "    AND p.valid_until > s.at AND p.valid_until <= $1)"
				   " FROM ecauto_data.price_history_seen s", 1, types, &value, NULL, SPI_OK_SELECT);
	if (SPI_processed == 0)
		return DT_NOBEGIN;
	tuple = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	*all = DatumGetBool(SPI_getbinval(tuple, desc, 2, &isnull));
	*due = DatumGetBool(SPI_getbinval(tuple, desc, 3, &isnull));
	return DatumGetTimestampTz(SPI_getbinval(tuple, desc, 1, &isnull));
}

/*
 * Bring the history up to date with what the event phase saw.  Returns the
 * number of periods that began.
 */
static int64
history_sync(const EcTick *tick, bool all)
{
	Oid			types[SYNC_ARGS];
	Datum		args[SYNC_ARGS];
	TimestampTz seen;
	bool		anew;
	bool		due;
	int64		rows;

	memcpy(types, ec_event_tick_types, sizeof(ec_event_tick_types));
	types[EC_EVENTS_OF_TICK_ARGS] = TIMESTAMPTZOID;
	types[EC_EVENTS_OF_TICK_ARGS + 1] = CHAROID;
	ec_event_tick_args(tick, args);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	seen = history_seen(tick->at, &anew, &due);
	if (!all && !anew && !due && !ec_event_in_tick(tick))
	{
		SPI_finish();
		return 0;
	}
	/* the first time, what was in force before is not known */
	args[EC_EVENTS_OF_TICK_ARGS] = TimestampTzGetDatum(TIMESTAMP_IS_NOBEGIN(seen) ? tick->at : seen);
	args[EC_EVENTS_OF_TICK_ARGS + 1] = CharGetDatum(all || anew ? 'r' : 'c');
	all = all || anew;

	ec_pricing_run(all ? SERIES_STATEMENT(TOUCHED_ALL) : SERIES_STATEMENT(TOUCHED_NOW),
				   SYNC_ARGS, types, args, NULL, SPI_OK_INSERT);
	ec_pricing_run(all ? HISTORY_STATEMENT(TOUCHED_ALL) : HISTORY_STATEMENT(TOUCHED_NOW),
				   SYNC_ARGS, types, args, NULL, SPI_OK_INSERT);
	rows = SPI_processed;
	if (rows > 0 || all)
		ec_pricing_run("INSERT INTO ecauto_data.price_history_seen AS s (at) VALUES ($1)"
					   " ON CONFLICT (one) DO UPDATE SET at = excluded.at WHERE s.at < excluded.at",
					   1, types, args, NULL, SPI_OK_INSERT);
	SPI_finish();
	return rows;
}

typedef struct HistoryRun
{
	const EcTick *tick;
	bool		all;
	int64		rows;
} HistoryRun;

/* EcTryRun */
static void
history_run(void *arg)
{
	HistoryRun *run = arg;

	run->rows = history_sync(run->tick, run->all);
}

/*
 * Phase of the tick.  A history that cannot be written is told in the log and
 * compared as a whole by ecauto.reconcile_price_history(); it holds nothing up.
 */
void
ec_pricing_tick(EcTick *tick)
{
	HistoryRun	run = {tick, tick->silent};
	ErrorData  *error = ec_try(history_run, &run, false);

	if (error != NULL)
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("ecauto could not write the price history: %s", error->message),
				 errhint("SELECT ecauto.reconcile_price_history() compares everything when the cause is mended.")));
}

/*
 * ecauto.reconcile_price_history() returns bigint
 */
Datum
ecauto_reconcile_price_history(PG_FUNCTION_ARGS)
{
	EcTick		tick = {0};

	ec_state_require();
	ec_require_operator("reconcile the price history");
	tick.at = ec_now();
	PG_RETURN_INT64(history_sync(&tick, true));
}

/*-------------------------------------------------------------------------
 *
 * customer_tick.c
 *		The tick's second phase: facts of customers of whom something changed.
 *
 * The event phase leaves customers, by key or e-mail address, in the queue
 * customer_stale.  Their figures are computed from all of their orders again,
 * by index, in one statement for all of them; adding up differences would be
 * less work for a customer with very many orders, but a figure that was once
 * wrong would stay wrong.  A row without key and address, which loading a
 * shop's history leaves, means all customers: one pass over all orders.
 *
 * Whose is an order without a customer?  It belongs to the customer who has
 * its e-mail address; if several have, to one that is no guest, and the one
 * who was there first; if none has, to a customer whose key is the address.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "customer/customer.h"
#include "customer/customer_order.h"

PG_FUNCTION_INFO_V1(ecauto_median_gap);

/* memory for each sort and hash when all customers are computed, in kB */
#define WORK_MEM_KB 65536

/* the median is that of the last so many gaps: what somebody did years ago is not his rhythm */
#define GAPS_MAX 100

/* is there a queue, with all customers in it; when does a row not hold any more? */
static const char work_statement[] =
	"SELECT EXISTS (SELECT FROM ecauto_data.customer_stale),\n"
	"  EXISTS (SELECT FROM ecauto_data.customer_stale\n"
	"    WHERE customer IS NULL AND email IS NULL AND order_key IS NULL),\n"
	"  (SELECT pg_catalog.min(valid_until) FROM ecauto_data.customer_fact WHERE valid_until < 'infinity')";

/*
 * The currency of amounts, unless it was chosen: the one the shop was attached
 * with, else that of most of its orders.
 */
static const char currency_statement[] =
	"UPDATE ecauto_data.customer_setting s SET currency = coalesce(\n"
	"  (SELECT pg_catalog.upper(params->>'currency') FROM ecauto_data.shop),\n"
	"  (SELECT o.currency FROM ecauto_data.seen_order o GROUP BY o.currency\n"
	"    ORDER BY pg_catalog.count(*) DESC, o.currency LIMIT 1))\n"
	"WHERE NOT s.by_hand AND (s.currency IS NULL OR $1)";

#define FACT_COLUMNS \
	"(key, email, guest_email, orders_count, cancelled_count, refunded_count, spent_total, paid_total,\n" \
	"  refunded_total, spent_other, first_order_at, last_order_at, average_order_value,\n" \
	"  average_days_between_orders, median_gap, open_carts, open_cart_total, last_cart_at, known,\n" \
	"  valid_from, valid_until, change_no)\n"

#define FACT_UPDATE \
	"ON CONFLICT (key) DO UPDATE SET email = excluded.email, guest_email = excluded.guest_email,\n" \
	"  orders_count = excluded.orders_count, cancelled_count = excluded.cancelled_count,\n" \
	"  refunded_count = excluded.refunded_count, spent_total = excluded.spent_total,\n" \
	"  paid_total = excluded.paid_total, refunded_total = excluded.refunded_total,\n" \
	"  spent_other = excluded.spent_other, first_order_at = excluded.first_order_at,\n" \
	"  last_order_at = excluded.last_order_at, average_order_value = excluded.average_order_value,\n" \
	"  average_days_between_orders = excluded.average_days_between_orders,\n" \
	"  median_gap = excluded.median_gap, open_carts = excluded.open_carts,\n" \
	"  open_cart_total = excluded.open_cart_total, last_cart_at = excluded.last_cart_at,\n" \
	"  known = excluded.known, valid_from = excluded.valid_from,\n" \
	"  valid_until = excluded.valid_until, change_no = excluded.change_no\n"

#define FIGURES \
	AGG_ORDERS_COUNT " AS orders_count, " AGG_CANCELLED_COUNT " AS cancelled_count,\n" \
	AGG_REFUNDED_COUNT " AS refunded_count, " AGG_SPENT_TOTAL " AS spent_total,\n" \
	AGG_PAID_TOTAL " AS paid_total, " AGG_REFUNDED_TOTAL " AS refunded_total,\n" \
	AGG_FIRST_ORDER_AT " AS first_order_at, " AGG_LAST_ORDER_AT " AS last_order_at,\n" \
	AGG_AVERAGE_ORDER_VALUE " AS average_order_value, " AGG_AVERAGE_DAYS " AS average_days,\n" \
	AGG_MEDIAN_GAP " AS median_gap, " AGG_VALID_UNTIL " AS valid_until,\n" \
	"pg_catalog.count(*) AS n"

#define CHANGE_NO "(SELECT no FROM change)"
#define CHANGE "change AS MATERIALIZED (SELECT pg_catalog.nextval('ecauto_data.customer_change_seq') AS no)"

/* the customer to whom e-mail address e belongs */
#define OWNER_OF(e) \
	"(SELECT r.key FROM ecauto_data.seen_customer r WHERE r.email = " e "\n" \
	"    ORDER BY r.guest, r.created_at, r.key LIMIT 1)"

static const char some_statement[] =
	"WITH " CHANGE ",\n"
	"taken AS (DELETE FROM ecauto_data.customer_stale RETURNING customer, email, order_key),\n"
	"told AS (INSERT INTO ecauto_data.order_changed (order_key)\n"
	"  SELECT DISTINCT order_key FROM taken WHERE order_key IS NOT NULL),\n"
	"address AS MATERIALIZED (SELECT DISTINCT email FROM taken WHERE email IS NOT NULL),\n"
	"who AS (\n"
	"  SELECT customer AS key FROM taken WHERE customer IS NOT NULL\n"
	"  UNION SELECT f.key FROM address a JOIN ecauto_data.customer_fact f ON f.guest_email = a.email\n"
	"  UNION SELECT " OWNER_OF("a.email") " FROM address a\n"
	"  UNION SELECT a.email COLLATE \"C\" FROM address a\n"
	"  UNION SELECT f.key FROM ecauto_data.customer_fact f WHERE f.valid_until < 'infinity' AND f.valid_until <= @),\n"
	"f AS MATERIALIZED (\n"
	"  SELECT w.key, c.key IS NOT NULL AS registered, c.email,\n"
	"    CASE WHEN c.key IS NULL AND w.key LIKE '%\1%' AND " OWNER_OF("w.key") " IS NULL THEN w.key\n"
	"      WHEN c.key IS NOT NULL AND " OWNER_OF("c.email") " = c.key THEN c.email END AS guest_email\n"
	"  FROM who w LEFT JOIN ecauto_data.seen_customer c ON c.key = w.key WHERE w.key IS NOT NULL)\n"
	"INSERT INTO ecauto_data.customer_fact " FACT_COLUMNS
	"SELECT f.key, CASE WHEN registered THEN f.email ELSE coalesce(f.guest_email,\n"
	"    (SELECT o.email FROM ecauto_data.seen_order o WHERE o.customer_key = f.key ORDER BY o.placed_at DESC LIMIT 1)) END,\n"
	"  f.guest_email, a.orders_count, a.cancelled_count, a.refunded_count, a.spent_total, a.paid_total,\n"
	"  a.refunded_total, a.spent_other, a.first_order_at, a.last_order_at, a.average_order_value,\n"
	"  a.average_days, a.median_gap, b.open_carts, b.open_cart_total, b.last_cart_at,\n"
	"  registered OR a.n > 0 OR b.open_carts > 0, @, a.valid_until, " CHANGE_NO "\n"
	"FROM f CROSS JOIN LATERAL (\n"
	"  WITH x AS (SELECT " ORDER_FIGURES_NOW "\n"
	"    FROM (SELECT o.* FROM ecauto_data.seen_order o WHERE o.customer_key = f.key\n"
	"      UNION ALL SELECT o.* FROM ecauto_data.seen_order o\n"
	"      WHERE o.customer_key IS NULL AND o.email = f.guest_email) o)\n"
	"  SELECT " FIGURES ", (" OTHER_CURRENCIES("x") ") AS spent_other FROM x) a\n"
	"CROSS JOIN LATERAL (SELECT " AGG_CARTS " FROM (\n"
	"    SELECT s.* FROM ecauto_data.seen_cart s WHERE s.customer_key = f.key AND s.completed_at IS NULL\n"
	"    UNION ALL SELECT s.* FROM ecauto_data.seen_cart s\n"
	"    WHERE s.customer_key IS NULL AND s.email = f.guest_email AND s.completed_at IS NULL) s) b\n"
	"WHERE registered OR a.n > 0 OR b.open_carts > 0\n"
	"  OR EXISTS (SELECT FROM ecauto_data.customer_fact g WHERE g.key = f.key)\n"
	FACT_UPDATE;

static const char all_statement[] =
	"WITH " CHANGE ",\n"
	"taken AS (DELETE FROM ecauto_data.customer_stale),\n"
	"told AS (INSERT INTO ecauto_data.order_changed (order_key) VALUES (NULL)),\n"
	"silent AS (UPDATE ecauto_data.customer_setting SET silent_no = " CHANGE_NO "),\n"
	"owner AS MATERIALIZED (SELECT DISTINCT ON (email) email, key FROM ecauto_data.seen_customer\n"
	"  WHERE email IS NOT NULL ORDER BY email, guest, created_at, key),\n"
	"a AS MATERIALIZED (SELECT x.owner AS key, " FIGURES ",\n"
	"    pg_catalog.max(x.email) AS email, pg_catalog.bool_or(x.currency <> " MAIN_CURRENCY ") AS other\n"
	"  FROM (SELECT coalesce(o.customer_key, w.key, o.email COLLATE \"C\") AS owner, o.email, " ORDER_FIGURES_NOW "\n"
	"    FROM ecauto_data.seen_order o LEFT JOIN owner w ON o.customer_key IS NULL AND w.email = o.email) x\n"
	"  WHERE x.owner IS NOT NULL GROUP BY x.owner),\n"
	"b AS (SELECT s.owner AS key, " AGG_CARTS " FROM (\n"
	"    SELECT coalesce(s.customer_key, w.key, s.email COLLATE \"C\") AS owner, s.*\n"
	"    FROM ecauto_data.seen_cart s LEFT JOIN owner w ON s.customer_key IS NULL AND w.email = s.email\n"
	"    WHERE s.completed_at IS NULL) s WHERE s.owner IS NOT NULL GROUP BY s.owner),\n"
	"who AS (SELECT key FROM ecauto_data.seen_customer UNION SELECT key FROM a UNION SELECT key FROM b\n"
	"  UNION SELECT key FROM ecauto_data.customer_fact),\n"
	"f AS (SELECT k.key, c.key IS NOT NULL AS registered, c.email,\n"
	"    CASE WHEN c.key IS NULL AND k.key LIKE '%\1%' AND g.key IS NULL THEN k.key\n"
	"      WHEN w.key = c.key THEN c.email END AS guest_email\n"
	"  FROM who k LEFT JOIN ecauto_data.seen_customer c ON c.key = k.key\n"
	"  LEFT JOIN owner w ON w.email = c.email LEFT JOIN owner g ON g.email = k.key)\n"
	"INSERT INTO ecauto_data.customer_fact " FACT_COLUMNS
	"SELECT f.key, CASE WHEN registered THEN f.email ELSE coalesce(f.guest_email, a.email) END, f.guest_email,\n"
	"  coalesce(a.orders_count, 0), coalesce(a.cancelled_count, 0), coalesce(a.refunded_count, 0),\n"
	"  coalesce(a.spent_total, 0), coalesce(a.paid_total, 0), coalesce(a.refunded_total, 0),\n"
	"  CASE WHEN a.other THEN (WITH x AS (SELECT " ORDER_FIGURES_NOW "\n"
	"    FROM (SELECT o.* FROM ecauto_data.seen_order o WHERE o.customer_key = f.key\n"
	"      UNION ALL SELECT o.* FROM ecauto_data.seen_order o\n"
	"      WHERE o.customer_key IS NULL AND o.email = f.guest_email) o) " OTHER_CURRENCIES("x") ") END,\n"
	"  a.first_order_at, a.last_order_at, a.average_order_value, a.average_days, a.median_gap,\n"
	"  coalesce(b.open_carts, 0), b.open_cart_total, b.last_cart_at,\n"
	"  registered OR coalesce(a.n > 0, false) OR coalesce(b.open_carts > 0, false), @, coalesce(a.valid_until, 'infinity'), " CHANGE_NO "\n"
	"FROM f LEFT JOIN a ON a.key = f.key LEFT JOIN b ON b.key = f.key\n"
	FACT_UPDATE;

/* Is there work, is it all customers, and when will there be some by time alone? */
static bool
work_look(EcTick *tick, bool *all)
{
	bool		isnull;
	bool		stale;
	bool		none_due;
	TimestampTz due;
	EcAs		as;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan(work_statement, 0, NULL), NULL, NULL, false, 0) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not look for customers to compute");
	stale = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	*all = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	due = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &none_due));
	ec_as_end(&as);
	SPI_finish();

	if (!none_due && due > tick->at)
	{
		ec_tick_due(tick, due);
		none_due = true;
	}
	return stale || !none_due;
}

/* What customers_compute() is to do. */
typedef struct Compute
{
	bool		all;
	TimestampTz at;
} Compute;

/* EcTryRun */
static void
customers_compute(void *arg)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	static const Oid flag[] = {BOOLOID};
	Compute    *compute = arg;
	Datum		args[1];
	int			rc;
	EcAs		as;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	args[0] = BoolGetDatum(compute->all);
	if (SPI_execute_plan(ec_plan(currency_statement, 1, flag), args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not choose the main currency");
	args[0] = TimestampTzGetDatum(compute->at);
	if (compute->all)
	{
		if (work_mem < WORK_MEM_KB)
			(void) set_config_option("work_mem", CppAsString2(WORK_MEM_KB), PGC_USERSET,
									 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
		rc = SPI_execute_with_args(ec_customer_sql(all_statement, "$1", "@"), 1, (Oid *) types, args,
								   NULL, false, 0);
	}
	else
	{
		ec_prefer_lookups();
		rc = SPI_execute_plan(ec_plan(ec_customer_sql(some_statement, "$1", "@"), 1, types), args,
							  NULL, false, 0);
	}
	if (rc != SPI_OK_INSERT)
		elog(ERROR, "could not compute the facts of customers");
	ec_as_end(&as);
	SPI_finish();
}

/*
 * Phase of the tick; see the top of the file.
 *
 * If it fails (an amount beyond what numeric can add up), the queue stays and
 * the facts are those of an earlier tick; the rest of the tick goes on.
 */
void
ec_customer_tick(EcTick *tick)
{
	Compute		compute = {false, tick->at};
	ErrorData  *error;

	if (!work_look(tick, &compute.all))
		return;
	ec_customer_lines_read(tick, compute.all);
	error = ec_try(customers_compute, &compute, false);
	if (error != NULL)
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("ecauto could not compute the facts of customers: %s", error->message),
				 errdetail("They stay as they were; the next tick tries again.")));
	else
		(void) work_look(tick, &compute.all);	/* orders in the future that it has met */
}

static int
compare_times(const void *a, const void *b)
{
	TimestampTz left = *(const TimestampTz *) a;
	TimestampTz right = *(const TimestampTz *) b;

	return left < right ? -1 : left > right ? 1 : 0;
}

static int
compare_gaps(const void *a, const void *b)
{
	int64		left = *(const int64 *) a;
	int64		right = *(const int64 *) b;

	return left < right ? -1 : left > right ? 1 : 0;
}

/*
 * ecauto.median_gap(times timestamptz[]) returns interval
 *
 * NULLs and infinite times are left out.
 */
Datum
ecauto_median_gap(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int			ntimes = 0;
	TimestampTz *times;
	int64	   *gaps;
	int			ngaps;
	int64		median;
	Interval   *result;

	deconstruct_array(array, TIMESTAMPTZOID, sizeof(TimestampTz), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &elements, &nulls, &n);
	times = palloc(sizeof(TimestampTz) * (n + 1));
	for (int i = 0; i < n; i++)
		if (!nulls[i] && !TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(elements[i])))
			times[ntimes++] = DatumGetTimestampTz(elements[i]);
	if (ntimes < 2)
		PG_RETURN_NULL();
	qsort(times, ntimes, sizeof(TimestampTz), compare_times);

	ngaps = Min(ntimes - 1, GAPS_MAX);
	gaps = palloc(sizeof(int64) * ngaps);
	for (int i = 0; i < ngaps; i++)
		gaps[i] = times[ntimes - 1 - i] - times[ntimes - 2 - i];
	qsort(gaps, ngaps, sizeof(int64), compare_gaps);
	median = ngaps % 2 == 1 ? gaps[ngaps / 2] : gaps[ngaps / 2 - 1] + (gaps[ngaps / 2] - gaps[ngaps / 2 - 1]) / 2;

	result = palloc(sizeof(Interval));
	result->month = 0;
	result->day = median / USECS_PER_DAY;
	result->time = median % USECS_PER_DAY;
	PG_RETURN_INTERVAL_P(result);
}

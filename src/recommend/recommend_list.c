/*-------------------------------------------------------------------------
 *
 * recommend_list.c
 *		Lists for a page or a newsletter: ecauto.best_sellers(),
 *		new_arrivals(), popular(), buy_again(), discover().
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "recommend/recommend.h"
#include "recommend/recommend_serve.h"

PG_FUNCTION_INFO_V1(ecauto_best_sellers);
PG_FUNCTION_INFO_V1(ecauto_new_arrivals);
PG_FUNCTION_INFO_V1(ecauto_popular);
PG_FUNCTION_INFO_V1(ecauto_buy_again);
PG_FUNCTION_INFO_V1(ecauto_discover);

/* what is this far from its rhythm is not due: too early, or given up */
#define DUE_LEAST 0.5

/* discover() chooses from so many of the best */
#define DISCOVER_POOL 200

/* ---- by SQL ---- */

/* Offer what a function (timestamptz, integer) finds. */
static Datum
list_by_sql(FunctionCallInfo fcinfo, const char *sql)
{
	static const Oid types[] = {TIMESTAMPTZOID, INT4OID};
	EcServe		serve;
	EcShown    *shown;
	Datum		args[2];
	int			n;

	ec_serve_begin(&serve, fcinfo, PG_GETARG_INT32(0), 0);
	serve.one_per_product = true;
	/* if few of them may be shown, there are more */
	for (int room = 4 * serve.n + 50; serve.found < serve.n; room *= 8)
	{
		args[0] = TimestampTzGetDatum(serve.now);
		args[1] = Int32GetDatum(room);
		shown = ec_serve_candidates(sql, 2, types, args, &n);
		ec_serve_offer(&serve, shown, n, NULL, NULL);
		if (n < room || room > 1000000)
			break;
	}
	ec_serve_end(&serve);
	return (Datum) 0;
}

/*
 * ecauto.best_sellers(n integer) returns table(sku text, score float8, reason text)
 */
Datum
ecauto_best_sellers(PG_FUNCTION_ARGS)
{
	return list_by_sql(fcinfo, "SELECT sku, score, reason FROM ecauto.recommend_sold($1, $2)");
}

/*
 * ecauto.new_arrivals(n integer) returns table(sku text, score float8, reason text)
 */
Datum
ecauto_new_arrivals(PG_FUNCTION_ARGS)
{
	return list_by_sql(fcinfo, "SELECT sku, score, reason FROM ecauto.recommend_new($1, $2)");
}

/*
 * ecauto.popular(n integer, country text) returns table(sku text, score float8, reason text)
 */
Datum
ecauto_popular(PG_FUNCTION_ARGS)
{
	EcServe		serve;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("number of rows must not be null")));
	ec_serve_begin(&serve, fcinfo, PG_GETARG_INT32(0), 0);
	serve.one_per_product = true;
	ec_serve_require(&serve);
	if (!PG_ARGISNULL(1))
	{
		char	   *country = text_to_cstring(PG_GETARG_TEXT_PP(1));

		if (country[0] != '\0')
			ec_serve_popular(&serve, country);
	}
	ec_serve_popular(&serve, "");
	ec_serve_end(&serve);
	return (Datum) 0;
}

/* ---- what is due ---- */

static int
due_compare(const void *a, const void *b)
{
	const EcShown *left = a;
	const EcShown *right = b;

	if (left->score != right->score)
		return left->score > right->score ? -1 : 1;
	return strcmp(left->sku, right->sku);
}

/* Median of the days between two purchases of a sku by the same customer; 0 if nobody bought it twice. */
static double
overall_gap(const char *sku, TimestampTz now)
{
	/* a sample: the newest orders of a sku are not to be had by index */
	static const char sql[] =
		"SELECT pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY g.days) FROM (\n"
		"  SELECT extract(epoch FROM p.placed_at - pg_catalog.lag(p.placed_at) OVER (PARTITION BY p.customer ORDER BY p.placed_at))::pg_catalog.float8 / 86400 AS days\n"
		"  FROM (SELECT p.customer, p.placed_at FROM ecauto_data.purchase p WHERE p.sku = $1 AND p.placed_at <= $2 LIMIT 5000) p) g\n"
		"WHERE g.days > 0";
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID};
	MemoryContext context = CurrentMemoryContext;
	Datum		args[2] = {CStringGetTextDatum(sku), TimestampTzGetDatum(now)};
	double		gap = 0;
	EcAs		as;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan(sql, 2, types), args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the purchases of a sku");
	if (SPI_processed == 1)
	{
		bool		isnull;
		Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);

		gap = isnull ? 0 : Max(DatumGetFloat8(value), 1);
	}
	ec_as_end(&as);
	SPI_finish();
	MemoryContextSwitchTo(context);
	return gap;
}

static char *
days_text(double days)
{
	return rint(days) <= 1 ? pstrdup("day") : psprintf("%.0f days", days);
}

static char *
ago_text(double days)
{
	if (days < 1)
		return pstrdup("less than a day");
	return days < 2 ? pstrdup("a day") : psprintf("%.0f days", floor(days));
}

/*
 * ecauto.buy_again(customer text, n integer) returns table(sku text, score float8, reason text)
 */
Datum
ecauto_buy_again(PG_FUNCTION_ARGS)
{
	EcServe		serve;
	EcPast	   *past;
	EcShown    *shown;
	int			n = 0;
	int			asked = 0;

	ec_serve_begin(&serve, fcinfo, PG_GETARG_INT32(1), 0);
	past = ec_past_orders(&serve, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	shown = palloc_extended((past->n + 1) * sizeof(EcShown), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < past->n; i++)
	{
		const EcBoughtSku *bought = &past->bought[i];
		double		elapsed = (serve.now - bought->last) / (double) USECS_PER_DAY;
		bool		own = bought->times > 1;
		double		gap;
		double		due;

		CHECK_FOR_INTERRUPTS();
		gap = own ? ec_past_gap(past, i) : 0;
		/* the rhythm of others, of a few */
		if (gap == 0 && ec_serve_consumable(&serve, bought->sku) && asked++ < 50)
		{
			gap = overall_gap(bought->sku, serve.now);
			own = false;
		}
		if (gap == 0 || elapsed <= 0)
			continue;
		due = elapsed <= gap ? elapsed / gap : gap / elapsed;
		if (due < DUE_LEAST)
			continue;
		shown[n].sku = bought->sku;
		shown[n].item = -1;
		shown[n].score = due;
		shown[n++].reason = psprintf("%s every %s, last %s ago", own ? "you buy it" : "others buy it",
									 days_text(gap), ago_text(elapsed));
	}
	qsort(shown, n, sizeof(EcShown), due_compare);
	ec_serve_offer(&serve, shown, n, NULL, NULL);
	ec_serve_end(&serve);
	return (Datum) 0;
}

/* ---- something else ---- */

/* Monday 00:00 of this week in the shop's time zone. */
static TimestampTz
week_of(TimestampTz now)
{
	static const char sql[] = "SELECT pg_catalog.date_trunc('week', $1, $2)";
	static const Oid types[] = {TIMESTAMPTZOID, TEXTOID};
	const char *zone = ec_guc_timezone[0] != '\0' ? ec_guc_timezone : pg_get_timezone_name(session_timezone);
	Datum		args[2] = {TimestampTzGetDatum(now), CStringGetTextDatum(zone)};
	MemoryContext context = CurrentMemoryContext;
	TimestampTz week;
	bool		isnull;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_plan(ec_plan(sql, 2, types), args, NULL, true, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not compute the week");
	week = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	MemoryContextSwitchTo(context);
	return week;
}

/* A number from 0 to 1 for a customer, a sku and a week. */
static double
draw(const char *customer, const char *sku, TimestampTz week)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) customer, strlen(customer), (uint64) week);

	hash = hash_bytes_extended((const unsigned char *) sku, strlen(sku), hash);
	return (hash >> 11) / 9007199254740992.0;
}

/*
 * ecauto.discover(customer text, n integer, per_category integer)
 *		returns table(sku text, score float8, reason text)
 *
 * Of the best for a customer as he was on Monday those that are less popular
 * than they suit him, in an order that is drawn anew each week.
 */
Datum
ecauto_discover(PG_FUNCTION_ARGS)
{
	char	   *customer = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int			most = PG_GETARG_INT32(2);
	EcServe		serve;
	EcNames    *bought;
	EcNames    *categories = ec_names_create();
	int		   *used;
	EcPast	   *past;
	EcSource   *sources;
	int			nsources;
	EcTargets	best;
	EcShown    *shown;
	int			n = 0;
	TimestampTz now;
	TimestampTz week;

	if (most < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of rows of a category must be positive"),
				 errdetail("It is %d.", most)));
	ec_serve_begin(&serve, fcinfo, PG_GETARG_INT32(1), 0);
	serve.one_per_product = true;
	ec_serve_require(&serve);
	now = serve.now;
	week = week_of(now);

	/* what he has bought by now is not new to him ... */
	bought = ec_past_orders(&serve, customer)->names;
	/* ... but what suits him is asked as of Monday */
	serve.now = week;
	past = ec_past_orders(&serve, customer);
	sources = ec_sources_of(&serve, customer, past, &nsources);
	serve.now = now;
	best = ec_personal_best(&serve, EC_TASK_CUSTOMER, sources, nsources, DISCOVER_POOL);
	shown = palloc0((best.n + 1) * sizeof(EcShown));
	for (int i = 0; i < best.n; i++)
	{
		EcShown    *one = &shown[n];
		bool		known = false;

		one->item = best.best[i].item;
		for (int k = 0; k < nsources && !known; k++)
			known = sources[k].item == one->item;
		if (known)
			continue;
		ec_serve_item(&serve, one);
		if (ec_names_find(bought, one->sku, strlen(one->sku)) >= 0)
			continue;
		/* novelty in bits: how rarely an order has it */
		one->score = best.best[i].score * log2(2 + (double) serve.orders / Max(one->total, 1)) *
			(0.5 + draw(customer, one->sku, week));
		one->reason = pstrdup("new to you");
		n++;
	}
	qsort(shown, n, sizeof(EcShown), due_compare);

	used = palloc0((n + 1) * 64 * sizeof(int));
	for (int i = 0; i < n && serve.found < serve.n; i++)
	{
		EcShown		one = shown[i];
		Datum	   *keys;
		int			nkeys;
		bool		full = false;

		CHECK_FOR_INTERRUPTS();
		ec_shown_check(&one, 1);
		if (!one.ok)
			continue;
		deconstruct_array(ec_product_categories(one.product), TEXTOID, -1, false, TYPALIGN_INT, &keys, NULL, &nkeys);
		nkeys = Min(nkeys, 64);
		for (int k = 0; k < nkeys && !full; k++)
		{
			int			at = ec_names_find(categories, VARDATA_ANY(keys[k]), VARSIZE_ANY_EXHDR(keys[k]));

			full = at >= 0 && used[at] >= most;
		}
		if (full)
			continue;
		for (int k = 0; k < nkeys; k++)
			used[ec_names_put(categories, VARDATA_ANY(keys[k]), VARSIZE_ANY_EXHDR(keys[k]))]++;
		ec_serve_offer(&serve, &one, 1, NULL, NULL);
	}
	ec_serve_end(&serve);
	return (Datum) 0;
}

/*-------------------------------------------------------------------------
 *
 * pricing_history_prior.c
 *		The prior price: the lowest in force before a reduction began.
 *
 * Directive 98/6/EC, article 6a, as amended by directive (EU) 2019/2161: an
 * announcement of a price reduction states the lowest price applied during at
 * least 30 days before the reduction.  Advertised percentages are reckoned
 * from it (Court of Justice, C-330/23, Aldi Süd, 2024).
 *
 * When did it begin?  If the price in force is lower than the one before it,
 * it is a reduction, and began when it came into force, however long ago that
 * is: an uninterrupted reduction keeps its prior price.  Else it begins at the
 * time asked about.  A price with a gap before it, in which nothing was in
 * force, was interrupted.
 *
 * Which prices count?  Those in force at any instant of the window, [begin -
 * days, begin): the price that was carried into the window counts, no matter
 * how old it is, and one that came into force at the begin does not.
 *
 * What member states may choose (paragraphs 3 to 5):
 * - progressive: cuts that follow each other without interruption are one
 *	 reduction, whose prior price is that before the first;
 * - perishable: for goods that deteriorate or expire rapidly, the price in
 *	 force just before the first cut;
 * - new arrivals: what is on sale for less than some days has no prior price;
 *	 on sale for longer than that but less than the window, it has the lowest
 *	 since it arrived.
 *
 * Days are calendar days in ecauto.timezone.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/formatting.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "pricing/pricing.h"

PG_FUNCTION_INFO_V1(ecauto_prior_price);
PG_FUNCTION_INFO_V1(ecauto_prior_price_facts);
PG_FUNCTION_INFO_V1(ecauto_prior_price_options);

#define DAYS_DEFAULT 30
#define DAYS_MAX 3660

/* periods that one look into the history takes */
#define PERIODS_AT_ONCE 64

/* ---- options ---- */

static int
option_days(const char *name, JsonbValue *value, int least)
{
	int64		days = -1;

	if (value->type == jbvNumeric)
	{
		Datum		number = NumericGetDatum(value->val.numeric);

		if (!numeric_is_nan(value->val.numeric) &&
			DatumGetBool(DirectFunctionCall2(numeric_ge, number, NumericGetDatum(int64_to_numeric(0)))) &&
			DatumGetBool(DirectFunctionCall2(numeric_le, number, NumericGetDatum(int64_to_numeric(DAYS_MAX)))))
			days = DatumGetInt32(DirectFunctionCall1(numeric_int4, number));
	}
	if (days < least)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" of a prior price must be a number of days from %d to %d",
						name, least, DAYS_MAX)));
	return (int) days;
}

static bool
option_bool(const char *name, JsonbValue *value)
{
	if (value->type != jbvBool)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" of a prior price must be true or false", name)));
	return value->val.boolean;
}

/*
 * Overwrite options by those that an object names.  Errors:
 * invalid_parameter_value for an unknown option or a value out of range.
 */
void
ec_prior_options_set(EcPriorOptions *options, Jsonb *jsonb)
{
	JsonbIterator *it = JsonbIteratorInit(&jsonb->root);
	JsonbIteratorToken token;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(jsonb))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options of a prior price must be a JSON object")));
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char	   *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(value.val.string.val, value.val.string.len);
		(void) JsonbIteratorNext(&it, &value, true);
		if (strcmp(name, "days") == 0)
			options->days = option_days(name, &value, 1);
		else if (strcmp(name, "new_arrivals") == 0)
			options->arrival_days = option_days(name, &value, 0);
		else if (strcmp(name, "progressive") == 0)
			options->progressive = option_bool(name, &value);
		else if (strcmp(name, "perishable") == 0)
			options->perishable = option_bool(name, &value);
		else
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("there is no option \"%s\" of a prior price", name),
					 errhint("The options are days, progressive, perishable and new_arrivals.")));
	}
}

/*
 * The options that hold for a sku (its key): those kept by
 * ecauto.set_prior_price_policy(), the most specific of them, and over them
 * those of jsonb, if it is not NULL.
 */
void
ec_prior_options(const char *sku, Jsonb *jsonb, EcPriorOptions *options)
{
	static const Oid types[] = {TEXTOID};
	MemoryContext caller = CurrentMemoryContext;
	Datum		value = CStringGetTextDatum(sku);
	Jsonb	   *kept = NULL;

	memset(options, 0, sizeof(EcPriorOptions));
	options->days = DAYS_DEFAULT;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_pricing_run("SELECT p.options FROM ecauto_data.prior_price_policy p"
				   " WHERE CASE p.scope WHEN 'sku' THEN p.key = $1"
				   "  WHEN 'product' THEN p.key = (SELECT s.product_key FROM ecauto_data.seen_sku s WHERE s.key = $1)"
				   "  WHEN 'category' THEN ecauto.price_category_holds(p.key, $1)"
				   "  ELSE true END"
				   " ORDER BY pg_catalog.array_position('{sku,product,category,all}', p.scope), p.key LIMIT 1",
				   1, types, &value, NULL, SPI_OK_SELECT);
	if (SPI_processed == 1)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);
		bool		isnull;

		kept = (Jsonb *) PG_DETOAST_DATUM_COPY(SPI_getbinval(SPI_tuptable->vals[0],
															 SPI_tuptable->tupdesc, 1, &isnull));
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	if (kept != NULL)
		ec_prior_options_set(options, kept);
	if (jsonb != NULL)
		ec_prior_options_set(options, jsonb);
}

/*
 * ecauto.prior_price_options(options jsonb) returns void: checks them
 */
Datum
ecauto_prior_price_options(PG_FUNCTION_ARGS)
{
	EcPriorOptions options = {DAYS_DEFAULT};

	ec_prior_options_set(&options, PG_GETARG_JSONB_P(0));
	PG_RETURN_VOID();
}

/* ---- the history, latest first ---- */

typedef struct Period
{
	TimestampTz from;
	TimestampTz until;			/* DT_NOEND: still in force */
	Datum		amount;
} Period;

/* A look back; lives in the caller's context. */
typedef struct LookBack
{
	MemoryContext context;
	int64		series;			/* 0: there is none */
	bool		policies;		/* may the law's options be other than the usual ones? */
	TimestampTz before;			/* the next look takes periods that began before this */
	bool		ended;			/* and there are none */
	Period	   *periods;
	int			n;
	int			size;
} LookBack;

static bool
amounts_equal(Datum a, Datum b)
{
	return DatumGetBool(DirectFunctionCall2(numeric_eq, a, b));
}

static bool
amount_less(Datum a, Datum b)
{
	return DatumGetBool(DirectFunctionCall2(numeric_lt, a, b));
}

/*
 * Take the periods that a statement found, older ones than those there are:
 * from, until, amount in columns 1 to 3.  Those that follow each other with
 * the same amount are one: the shop may have touched something else.
 */
static void
look_take(LookBack *look)
{
	MemoryContext spi = MemoryContextSwitchTo(look->context);

	look->ended = SPI_processed < PERIODS_AT_ONCE;
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		Period		period;
		bool		isnull;

		period.from = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 1, &isnull));
		if (isnull)
			break;				/* a series without any */
		period.until = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 2, &isnull));
		if (isnull)
			period.until = DT_NOEND;
		period.amount = NumericGetDatum(DatumGetNumericCopy(SPI_getbinval(tuple, desc, 3, &isnull)));
		look->before = period.from;
		if (look->n > 0 && look->periods[look->n - 1].from == period.until &&
			amounts_equal(look->periods[look->n - 1].amount, period.amount))
		{
			look->periods[look->n - 1].from = period.from;
			continue;
		}
		if (look->n == look->size)
		{
			look->size *= 2;
			look->periods = repalloc(look->periods, look->size * sizeof(Period));
		}
		look->periods[look->n++] = period;
	}
	MemoryContextSwitchTo(spi);
}

#define PERIODS_OF(series, before, n) \
	"SELECT pg_catalog.lower(h.period), pg_catalog.upper(h.period), h.amount" \
	" FROM ecauto_data.price_history h" \
	" WHERE h.series_id = " series " AND pg_catalog.lower(h.period) < " before \
	" ORDER BY pg_catalog.lower(h.period) DESC LIMIT " n

/* Find a series, and its latest periods, in one statement: most need no more. */
static void
look_open(LookBack *look, const char *sku, const char *currency, const char *list_key, TimestampTz at)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, INT4OID};
	Datum		values[5];
	bool		isnull;

	memset(look, 0, sizeof(LookBack));
	look->context = CurrentMemoryContext;
	look->size = PERIODS_AT_ONCE;
	look->periods = palloc(look->size * sizeof(Period));
	/* what begins at the instant asked about is in force then */
	look->before = at + 1;
	values[0] = CStringGetTextDatum(sku);
	values[1] = CStringGetTextDatum(currency);
	values[2] = CStringGetTextDatum(list_key);
	values[3] = TimestampTzGetDatum(look->before);
	values[4] = Int32GetDatum(PERIODS_AT_ONCE);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_pricing_run("SELECT h.*, s.series_id, EXISTS (SELECT FROM ecauto_data.prior_price_policy)"
				   " FROM ecauto_data.price_series s"
				   " LEFT JOIN LATERAL (" PERIODS_OF("s.series_id", "$4", "$5") ") h (since, until, amount) ON true"
				   " WHERE s.sku = $1 AND s.currency = $2 AND s.list_key = $3 ORDER BY h.since DESC",
				   lengthof(types), types, values, NULL, SPI_OK_SELECT);
	if (SPI_processed > 0)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];

		look->series = DatumGetInt64(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 4, &isnull));
		look->policies = DatumGetBool(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 5, &isnull));
	}
	look_take(look);
	SPI_finish();
}

/* Take more periods, older ones. */
static void
look_more(LookBack *look)
{
	static const Oid types[] = {INT8OID, TIMESTAMPTZOID, INT4OID};
	Datum		values[3];

	values[0] = Int64GetDatum(look->series);
	values[1] = TimestampTzGetDatum(look->before);
	values[2] = Int32GetDatum(PERIODS_AT_ONCE);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_pricing_run(PERIODS_OF("$1", "$2", "$3"), lengthof(types), types, values, NULL, SPI_OK_SELECT);
	look_take(look);
	SPI_finish();
}

/*
 * The i-th period back, NULL if there is none.  It is whole: what comes before
 * it was looked at, so that nothing more will be joined to it.  Valid until
 * the next call.
 */
static const Period *
look_at(LookBack *look, int i)
{
	while (look->n <= i + 1 && !look->ended)
		look_more(look);
	return i < look->n ? &look->periods[i] : NULL;
}

/* ---- days ---- */

static pg_tz *
shop_timezone(void)
{
	pg_tz	   *tz = NULL;

	if (ec_guc_timezone != NULL && *ec_guc_timezone != '\0')
		tz = pg_tzset(ec_guc_timezone);
	if (tz == NULL)
		tz = pg_tzset(GetConfigOptionResetString("timezone"));
	return tz != NULL ? tz : session_timezone;
}

/* The same time of day, days ago, in the shop's time zone. */
static TimestampTz
days_before(TimestampTz at, int days)
{
	pg_tz	   *zone = shop_timezone();
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;
	TimestampTz result;

	if (TIMESTAMP_NOT_FINITE(at))
		return at;
	if (timestamp2tm(at, &tz, &tm, &fsec, NULL, zone) == 0)
	{
		int			day = date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - days;

		if (day >= 0)
		{
			j2date(day, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
			tz = DetermineTimeZoneOffset(&tm, zone);
			if (tm2timestamp(&tm, fsec, &tz, &result) == 0)
				return result;
		}
	}
	return DT_NOBEGIN;
}

/* ---- the prior price ---- */

/*
 * When did the reduction begin that is asked about?  reduced: its price, if it
 * is a new one; then only a progressive reduction began earlier than at.
 * *first: the period just before it.
 */
static TimestampTz
reduction_begin(LookBack *look, TimestampTz at, Numeric reduced, const EcPriorOptions *options,
				int *first, bool *running)
{
	bool		progressive = options->progressive || options->perishable;
	const Period *current = look_at(look, 0);
	TimestampTz begins = at;
	int			i = 0;
	bool		is_new = false;

	*first = 0;
	*running = false;
	if (current == NULL || current->until <= at)
		return at;
	if (reduced != NULL && !amounts_equal(current->amount, NumericGetDatum(reduced)))
	{
		is_new = true;
		/* one that raises the price is no step of the reduction before it */
		if (!progressive || !amount_less(NumericGetDatum(reduced), current->amount))
			return at;
	}
	for (;;)
	{
		Period		lower = *look_at(look, i);
		const Period *higher = look_at(look, i + 1);

		if (higher == NULL || higher->until != lower.from || !amount_less(lower.amount, higher->amount))
			break;
		i++;
		begins = lower.from;
		*first = i;
		*running = !is_new;
		if (!progressive)
			break;
	}
	return begins;
}

/* What ec_prior_price() says of a history that was opened. */
static void
prior_find(LookBack *look, TimestampTz at, Numeric reduced, const EcPriorOptions *options, EcPriorPrice *prior)
{
	const Period *period;
	int			first;
	Datum		lowest = (Datum) 0;

	memset(prior, 0, sizeof(EcPriorPrice));
	prior->on_sale = DT_NOEND;
	prior->begins = reduction_begin(look, at, reduced, options, &first, &prior->running);
	prior->window = days_before(prior->begins, options->days);

	for (int i = first; (period = look_at(look, i)) != NULL; i++)
	{
		/* the one that begins now is not before it */
		if (period->from >= prior->begins)
			continue;
		/* nor does one count that had ended, but the product was on sale */
		if (period->until <= prior->window)
		{
			prior->on_sale = period->from;
			break;
		}
		prior->on_sale = period->from;
		if (lowest == (Datum) 0 || (!options->perishable && amount_less(period->amount, lowest)))
			lowest = period->amount;
		if (period->from <= prior->window)
			break;
	}
	if (lowest == (Datum) 0)
		return;
	if (options->arrival_days > 0 && prior->on_sale > days_before(prior->begins, options->arrival_days))
		return;
	prior->known = true;
	prior->amount = DatumGetNumeric(lowest);
}

/*
 * The prior price of the reduction that is in force at a time, or, if none
 * is, or reduced is given and is another price, of one that begins then.
 *
 * sku is a key, list_key '' for the base price.  prior->known is false if
 * nothing was on sale in the window, or not for long enough.
 */
void
ec_prior_price(const char *sku, const char *currency, const char *list_key, TimestampTz at,
			   Numeric reduced, const EcPriorOptions *options, EcPriorPrice *prior)
{
	LookBack	look;

	look_open(&look, sku, currency, list_key, at);
	prior_find(&look, at, reduced, options, prior);
}

/*
 * Arguments that prior_price() and prior_price_facts() share.  Returns false if
 * one is NULL that must not be.
 */
static bool
prior_arguments(FunctionCallInfo fcinfo, EcPriorPrice *prior)
{
	EcPriorOptions options = {DAYS_DEFAULT};
	LookBack	look;
	TimestampTz at;
	Numeric		reduced = NULL;
	const char *list_key = PG_ARGISNULL(5) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(5));
	char	   *currency;
	char	   *sku;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return false;
	ec_state_require();
	sku = text_to_cstring(PG_GETARG_TEXT_PP(0));
	currency = str_toupper(VARDATA_ANY(PG_GETARG_TEXT_PP(1)), VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(1)),
						   C_COLLATION_OID);
	at = PG_ARGISNULL(2) ? ec_now() : PG_GETARG_TIMESTAMPTZ(2);
	if (!PG_ARGISNULL(3))
		reduced = PG_GETARG_NUMERIC(3);
	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("time of a reduction must be finite")));
	look_open(&look, sku, currency, list_key, at);
	if (look.series == 0)
	{
		/* perhaps it is a code, perhaps it never had such a price */
		sku = ec_pricing_sku_key(sku);
		look_open(&look, sku, currency, list_key, at);
	}
	if (look.policies)
		ec_prior_options(sku, PG_ARGISNULL(4) ? NULL : PG_GETARG_JSONB_P(4), &options);
	else if (!PG_ARGISNULL(4))
		ec_prior_options_set(&options, PG_GETARG_JSONB_P(4));
	prior_find(&look, at, reduced, &options, prior);
	return true;
}

/*
 * ecauto.prior_price(sku text, currency text, at timestamptz, reduced numeric,
 *					  options jsonb, list_key text) returns numeric
 */
Datum
ecauto_prior_price(PG_FUNCTION_ARGS)
{
	EcPriorPrice prior;

	if (!prior_arguments(fcinfo, &prior) || !prior.known)
		PG_RETURN_NULL();
	PG_RETURN_NUMERIC(prior.amount);
}

/*
 * ecauto.prior_price_facts(as prior_price(), OUT amount numeric,
 *		OUT begins timestamptz, OUT window_from timestamptz, OUT on_sale_since
 *		timestamptz, OUT running boolean)
 */
Datum
ecauto_prior_price_facts(PG_FUNCTION_ARGS)
{
	EcPriorPrice prior;
	TupleDesc	desc;
	Datum		values[5];
	bool		nulls[5] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (!prior_arguments(fcinfo, &prior))
		PG_RETURN_NULL();
	nulls[0] = !prior.known;
	values[0] = prior.known ? NumericGetDatum(prior.amount) : (Datum) 0;
	values[1] = TimestampTzGetDatum(prior.begins);
	values[2] = TimestampTzGetDatum(prior.window);
	nulls[3] = TIMESTAMP_IS_NOEND(prior.on_sale);
	values[3] = TimestampTzGetDatum(prior.on_sale);
	values[4] = BoolGetDatum(prior.running);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

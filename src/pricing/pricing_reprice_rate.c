/*-------------------------------------------------------------------------
 *
 * pricing_reprice_rate.c
 *		Exchange rates and value added tax for a run.
 *
 * A rate of tax is that of the sku, else of its product, else of the deepest
 * category it lies in, else of everything.  A product in two categories of the
 * same depth has the higher rate: too little tax is the worse mistake.
 *
 * An exchange rate is that of the day, or of the latest day before it that has
 * one (there is none on Sundays), if that is not too long ago.  The pair may
 * be known the other way round, or through a third currency, as the central
 * banks publish them.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "pricing/pricing.h"
#include "pricing/pricing_reprice.h"

/* ---- days ---- */

/* Today, in the shop's time zone; the caller is between ec_expr_begin() and end. */
static DateADT
day_of(TimestampTz at)
{
	return DatumGetDateADT(DirectFunctionCall1(timestamptz_date, TimestampTzGetDatum(at)));
}

static DateADT
rule_day(const EcReprice *run, const EcPriceRule *rule)
{
	return rule->fx_day.given ? (DateADT) rule->fx_day.value : run->fx[0].day;
}

/* ---- exchange rates ---- */

static void
fx_read(EcReprice *run, EcFxDay *fx)
{
	static const Oid types[] = {DATEOID};
	Datum		day = DateADTGetDatum(fx->day);
	SPITupleTable *table;

	ec_pricing_run("SELECT DISTINCT ON (f.currency, f.quote) f.currency, f.quote, f.day, f.rate"
				   " FROM ecauto_data.fx_rate f WHERE f.day <= $1 ORDER BY f.currency, f.quote, f.day DESC",
				   1, types, &day, NULL, SPI_OK_SELECT);
	table = SPI_tuptable;
	fx->n = 0;
	fx->rates = MemoryContextAlloc(run->context, (SPI_processed + 1) * sizeof(EcFxRate));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = table->vals[i];
		EcFxRate   *rate = &fx->rates[fx->n++];
		bool		isnull;
		MemoryContext old;

		rate->currency = ec_reprice_currency(run, SPI_getbinval(tuple, table->tupdesc, 1, &isnull));
		rate->quote = ec_reprice_currency(run, SPI_getbinval(tuple, table->tupdesc, 2, &isnull));
		rate->day = DatumGetDateADT(SPI_getbinval(tuple, table->tupdesc, 3, &isnull));
		old = MemoryContextSwitchTo(run->context);
		(void) ec_amount_set(&rate->rate, SPI_getbinval(tuple, table->tupdesc, 4, &isnull));
		MemoryContextSwitchTo(old);
	}
	SPI_freetuptable(table);
}

/* The rate of a pair, directly or the other way round. */
static bool
fx_pair(const EcFxDay *fx, int age, int16 from, int16 to, EcRatio *factor)
{
	const EcFxRate *best = NULL;

	for (int i = 0; i < fx->n; i++)
	{
		const EcFxRate *rate = &fx->rates[i];

		if (((rate->currency == from && rate->quote == to) || (rate->currency == to && rate->quote == from)) &&
			fx->day - rate->day <= age && (best == NULL || rate->day > best->day ||
										   (rate->day == best->day && rate->currency == from)))
			best = rate;
	}
	if (best == NULL)
		return false;
	if (best->currency == from)
		ec_ratio_set(factor, &best->rate);
	else
	{
		EcRatio		rate;

		ec_ratio_set(&rate, &best->rate);
		factor->n = factor->d = 1;
		factor->big_n = factor->big_d = NULL;
		ec_ratio_divide(factor, &rate);
	}
	return true;
}

/* EcPriceInput.fx; arg is the EcRepriceRow. */
bool
ec_reprice_fx(const EcPriceInput *input, const EcPriceRule *rule, int16 currency, EcRatio *factor)
{
	const EcRepriceRow *row = input->arg;
	const EcReprice *run = row->run;
	int16		wanted = row->currency_number;
	DateADT		day;
	const EcFxDay *fx = &run->fx[0];

	factor->n = factor->d = 1;
	factor->big_n = factor->big_d = NULL;
	if (currency == wanted)
		return true;
	day = rule_day(run, rule);
	for (int i = 0; i < run->nfx; i++)
		if (run->fx[i].day == day)
			fx = &run->fx[i];
	if (fx_pair(fx, rule->fx_age, currency, wanted, factor))
		return true;
	for (int16 via = 0; via < ec_key_map_count(run->currencies); via++)
	{
		EcRatio		second;

		if (via != currency && via != wanted && fx_pair(fx, rule->fx_age, currency, via, factor) &&
			fx_pair(fx, rule->fx_age, via, wanted, &second))
		{
			ec_ratio_times(factor, &second);
			return true;
		}
	}
	return false;
}

/* ---- value added tax ---- */

static EcVatCountry *
vat_country(EcReprice *run, const char *country)
{
	EcVatCountry *vat;

	for (int i = 0; i < run->nvat; i++)
		if (strcmp(run->vat[i].country, country) == 0)
			return &run->vat[i];
	run->vat = run->vat == NULL ? palloc(sizeof(EcVatCountry))
		: repalloc(run->vat, (run->nvat + 1) * sizeof(EcVatCountry));
	vat = &run->vat[run->nvat++];
	memset(vat, 0, sizeof(EcVatCountry));
	vat->country = pstrdup(country);
	vat->all.depth = -1;
	return vat;
}

static void
vat_keep(EcKeyMap **map, int64 **rates, Datum key, int64 percent)
{
	int			number;

	if (*map == NULL)
	{
		*map = ec_key_map_create(16);
		*rates = palloc(sizeof(int64));
	}
	number = ec_key_map_put_text(*map, key);
	*rates = repalloc_huge(*rates, (number + 1) * sizeof(int64));
	(*rates)[number] = percent;
}

static void
vat_read(EcReprice *run, DateADT today)
{
	static const Oid types[] = {DATEOID};
	Datum		day = DateADTGetDatum(today);
	SPITupleTable *table;

	ec_pricing_run("SELECT DISTINCT ON (v.country, v.scope, v.key) v.country, v.scope, v.key, v.rate"
				   " FROM ecauto_data.vat_rate v WHERE v.valid_from <= $1"
				   " ORDER BY v.country, v.scope, v.key, v.valid_from DESC",
				   1, types, &day, NULL, SPI_OK_SELECT);
	table = SPI_tuptable;
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = table->vals[i];
		TupleDesc	desc = table->tupdesc;
		MemoryContext old = MemoryContextSwitchTo(run->context);
		EcVatCountry *vat = vat_country(run, SPI_getvalue(tuple, desc, 1));
		char	   *scope = SPI_getvalue(tuple, desc, 2);
		bool		isnull;
		Datum		key = SPI_getbinval(tuple, desc, 3, &isnull);
		int64		percent;

		if (!ec_micros_set(&percent, DatumGetNumeric(SPI_getbinval(tuple, desc, 4, &isnull))))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("rate of value added tax has more than six digits after the point")));
		if (strcmp(scope, "sku") == 0)
			vat_keep(&vat->skus, &vat->sku_rates, key, percent);
		else if (strcmp(scope, "product") == 0)
		{
			vat_keep(&vat->products, &vat->product_rates, key, percent);
			run->wants_product = true;
		}
		else if (strcmp(scope, "category") == 0)
		{
			vat_keep(&vat->categories, &vat->category_rates, key, percent);
			run->wants_product = run->wants_category = true;
		}
		else
		{
			vat->all.percent = percent;
			vat->all.depth = 0;
		}
		MemoryContextSwitchTo(old);
	}
	SPI_freetuptable(table);
}

/*
 * What comes of rates by category: each has that of the nearest one above it.
 */
void
ec_reprice_vat_categories(EcReprice *run, const int *parents, const int *depths, EcKeyMap *categories)
{
	int			n = ec_key_map_count(categories);

	for (int v = 0; v < run->nvat; v++)
	{
		EcVatCountry *vat = &run->vat[v];

		if (vat->categories == NULL)
			continue;
		vat->by_category = palloc((n + 1) * sizeof(EcVatRate));
		for (int i = 0; i < n; i++)
		{
			vat->by_category[i].depth = -1;
			for (int c = i; c >= 0; c = parents[c])
			{
				int			number = ec_key_map_find_text(vat->categories, PointerGetDatum(ec_key_map_key(categories, c)));

				if (number >= 0)
				{
					vat->by_category[i].depth = depths[c];
					vat->by_category[i].percent = vat->category_rates[number];
					break;
				}
			}
		}
	}
}

/* A product lies in a category. */
void
ec_reprice_vat_product(EcReprice *run, int product, int category)
{
	for (int v = 0; v < run->nvat; v++)
	{
		EcVatCountry *vat = &run->vat[v];
		const EcVatRate *rate;
		EcVatRate  *mine;

		if (vat->by_category == NULL)
			continue;
		rate = &vat->by_category[category];
		mine = &vat->by_product[product];
		if (rate->depth > mine->depth || (rate->depth == mine->depth && rate->percent > mine->percent))
			*mine = *rate;
	}
}

/* EcPriceInput.vat; arg is the EcRepriceRow. */
bool
ec_reprice_vat(const EcPriceInput *input, const EcPriceRule *rule, int64 *percent)
{
	const EcRepriceRow *row = input->arg;
	const EcReprice *run = row->run;
	const EcVatCountry *vat = NULL;
	int			product = row->sku_number >= 0 && run->wants_product ? run->product_of[row->sku_number] : -1;
	int			number;

	if (rule != NULL && rule->vat.given)
	{
		*percent = rule->vat.value;
		return true;
	}
	for (int v = 0; v < run->nvat; v++)
		if (strcmp(run->vat[v].country, rule != NULL ? rule->country : "") == 0)
			vat = &run->vat[v];
	if (vat == NULL)
		return false;
	if (vat->skus != NULL && (number = ec_key_map_find_text(vat->skus, row->sku)) >= 0)
		*percent = vat->sku_rates[number];
	else if (vat->products != NULL && product >= 0 &&
			 (number = ec_key_map_find_text(vat->products,
											PointerGetDatum(ec_key_map_key(run->products, product)))) >= 0)
		*percent = vat->product_rates[number];
	else if (vat->by_product != NULL && product >= 0 && vat->by_product[product].depth >= 0)
		*percent = vat->by_product[product].percent;
	else if (vat->all.depth >= 0)
		*percent = vat->all.percent;
	else
		return false;
	return true;
}

/*
 * Read the rates that the rules of a run can need.
 */
void
ec_reprice_rates_read(EcReprice *run)
{
	EcAs		as;
	DateADT		today;

	ec_expr_begin_as_owner(&as);
	today = day_of(run->at);
	ec_expr_end(&as);

	run->fx = palloc((run->nrules + 1) * sizeof(EcFxDay));
	run->fx[0].day = today;
	run->nfx = 1;
	for (int i = 0; i < run->nrules; i++)
	{
		bool		known = !run->rules[i]->fx_day.given;

		for (int j = 0; j < run->nfx; j++)
			known = known || run->fx[j].day == run->rules[i]->fx_day.value;
		if (!known)
			run->fx[run->nfx++].day = (DateADT) run->rules[i]->fx_day.value;
	}
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	for (int i = 0; i < run->nfx; i++)
		fx_read(run, &run->fx[i]);
	vat_read(run, today);
	SPI_finish();
}

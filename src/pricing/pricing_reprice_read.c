/*-------------------------------------------------------------------------
 *
 * pricing_reprice_read.c
 *		What a run knows of skus and products before it looks at prices.
 *
 * The shop's rows are taken as its queries return them and are not kept: of
 * each sku a few words remain, in arrays by the sku's number.  Only what the
 * rules of the run ask for is read at all: a shop whose rules all say "cost
 * plus 40%" has its costs and prices read, and nothing else.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "pricing/pricing.h"
#include "pricing/pricing_category.h"
#include "pricing/pricing_reprice.h"
#include "shop/shop.h"

/* bytes of a sku, a NUL and a currency that need no allocation */
#define PAIR_SIZE 256

/* ---- pairs of sku and currency ---- */

static int
pair_look(EcKeyMap *map, EcKeyMap *put, Datum sku, Datum currency)
{
	text	   *a = DatumGetTextPP(sku);
	text	   *b = DatumGetTextPP(currency);
	int			alen = VARSIZE_ANY_EXHDR(a);
	int			blen = VARSIZE_ANY_EXHDR(b);
	int			len = alen + 1 + blen;
	char		small[PAIR_SIZE];
	char	   *pair = len <= PAIR_SIZE ? small : palloc(len);
	bool		found;
	int			number;

	memcpy(pair, VARDATA_ANY(a), alen);
	pair[alen] = '\0';
	memcpy(pair + alen + 1, VARDATA_ANY(b), blen);
	number = put != NULL ? ec_key_map_put(put, pair, len, &found) : ec_key_map_find(map, pair, len);
	if (pair != small)
		pfree(pair);
	return number;
}

int
ec_pair_find(EcKeyMap *map, Datum sku, Datum currency)
{
	return pair_look(map, NULL, sku, currency);
}

int
ec_pair_put(EcKeyMap *map, Datum sku, Datum currency)
{
	return pair_look(map, map, sku, currency);
}

const EcAmount *
ec_amount_find(const EcAmountMap *map, Datum sku, Datum currency)
{
	int			number;

	if (map->keys == NULL)
		return NULL;
	number = ec_pair_find(map->keys, sku, currency);
	return number < 0 ? NULL : &map->amounts[number];
}

/* In the run's context. */
static void
amount_keep(EcReprice *run, EcAmountMap *map, Datum sku, Datum currency, Datum amount)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);
	EcAmount	kept;
	int			number;

	if (ec_amount_set(&kept, amount))
	{
		if (map->keys == NULL)
		{
			map->keys = ec_key_map_create(1024);
			map->size = 1024;
			map->amounts = palloc(map->size * sizeof(EcAmount));
		}
		number = ec_pair_put(map->keys, sku, currency);
		if (number >= map->size)
		{
			map->size *= 2;
			map->amounts = repalloc_huge(map->amounts, map->size * sizeof(EcAmount));
		}
		map->amounts[number] = kept;
	}
	MemoryContextSwitchTo(old);
}

/* A currency that has not been met yet, by its code in capitals. */
static void
currency_add(EcReprice *run, int number, const char *code)
{
	int			digits = ec_currency_digits(code);
	uint64	   *bits;

	if (number >= PG_INT16_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the shop has more than %d currencies", PG_INT16_MAX)));
	run->digits = run->digits == NULL ? palloc(sizeof(int)) : repalloc(run->digits, (number + 1) * sizeof(int));
	/* a shop's own money is counted in hundredths */
	run->digits[number] = digits < 0 ? 2 : digits;

	bits = palloc0(run->words * sizeof(uint64));
	for (int i = 0; i < run->nrules; i++)
	{
		ListCell   *lc;
		bool		holds = run->rules[i]->currencies == NIL;

		foreach(lc, run->rules[i]->currencies)
			holds = holds || strcmp(lfirst(lc), code) == 0;
		if (holds)
			bits[i / 64] |= UINT64CONST(1) << (i % 64);
	}
	run->of_currency = run->of_currency == NULL ? palloc(sizeof(uint64 *))
		: repalloc(run->of_currency, (number + 1) * sizeof(uint64 *));
	run->of_currency[number] = bits;
}

/*
 * The number of a currency, which gets one.  The code is in capitals or not:
 * it is only looked at the first time it is met so written.
 */
int16
ec_reprice_currency(EcReprice *run, Datum code)
{
	int			before = ec_key_map_count(run->written_currencies);
	int			written = ec_key_map_put_text(run->written_currencies, code);

	if (written == before)
	{
		MemoryContext old = MemoryContextSwitchTo(run->context);
		char	   *upper = ec_currency_or_own(TextDatumGetCString(code));
		bool		found;
		int			number = ec_key_map_put(run->currencies, upper, strlen(upper), &found);

		if (!found)
			currency_add(run, number, upper);
		run->currency_of = run->currency_of == NULL ? palloc(sizeof(int16))
			: repalloc(run->currency_of, (written + 1) * sizeof(int16));
		run->currency_of[written] = (int16) number;
		MemoryContextSwitchTo(old);
	}
	return run->currency_of[written];
}

/* ---- rules by name ---- */

/* For each key that rules name: which rules. */
typedef struct NamedRules
{
	EcKeyMap   *names;			/* NULL: no rule names one */
	uint64	   *bits;			/* run->words for each */
} NamedRules;

static void
named_add(EcReprice *run, NamedRules *named, const char *name, int rule)
{
	bool		found;
	int			number;
	uint64	   *bits;

	if (named->names == NULL)
		named->names = ec_key_map_create(64);
	number = ec_key_map_put(named->names, name, strlen(name), &found);
	if (!found)
	{
		named->bits = named->bits == NULL ? palloc(run->words * sizeof(uint64))
			: repalloc_huge(named->bits, (number + 1) * run->words * sizeof(uint64));
		memset(named->bits + number * run->words, 0, run->words * sizeof(uint64));
	}
	bits = named->bits + number * run->words;
	bits[rule / 64] |= UINT64CONST(1) << (rule % 64);
}

static void
named_read(EcReprice *run, NamedRules *named, size_t list)
{
	memset(named, 0, sizeof(NamedRules));
	for (int i = 0; i < run->nrules; i++)
	{
		ListCell   *lc;

		foreach(lc, *(List **) ((char *) run->rules[i] + list))
			named_add(run, named, lfirst(lc), i);
	}
}

/* The bits of a name, or NULL. */
static const uint64 *
named_find(const EcReprice *run, const NamedRules *named, const char *name, int len)
{
	int			number = named->names == NULL ? -1 : ec_key_map_find(named->names, name, len);

	return number < 0 ? NULL : named->bits + number * run->words;
}

static void
bits_or(const EcReprice *run, uint64 *to, const uint64 *from)
{
	if (from != NULL)
		for (int w = 0; w < run->words; w++)
			to[w] |= from[w];
}

/* ---- reading ---- */

typedef struct Reading
{
	EcReprice  *run;
	NamedRules	skus;
	NamedRules	products;
	NamedRules	brands;
	NamedRules	categories;
	EcCategories *tree;
	uint64	   *of_category;	/* by number of a category, inherited; run->words for each */
	bool	   *product_done;	/* by number: has role product told of it? */
	int			done_size;
} Reading;

static void
skus_reserve(EcReprice *run, int number)
{
	int			size = run->skus_size;

	if (number < size)
		return;
	size = Max(size * 2, Max(number + 1, 1024));
	run->product_of = run->product_of == NULL ? palloc(size * sizeof(int))
		: repalloc_huge(run->product_of, size * sizeof(int));
	run->sku_set = run->sku_set == NULL ? palloc(size * sizeof(int)) : repalloc_huge(run->sku_set, size * sizeof(int));
	run->costs = run->costs == NULL ? palloc(size * sizeof(EcCostAmount))
		: repalloc_huge(run->costs, (Size) size * sizeof(EcCostAmount));
	memset(run->costs + run->skus_size, 0, (Size) (size - run->skus_size) * sizeof(EcCostAmount));
	for (int i = run->skus_size; i < size; i++)
		run->product_of[i] = run->sku_set[i] = -1;
	run->skus_size = size;
}

static void
products_reserve(EcReprice *run, int number)
{
	int			size = run->products_size;
	Size		row = run->words * sizeof(uint64);

	if (number < size)
		return;
	size = Max(size * 2, Max(number + 1, 1024));
	run->product_bits = run->product_bits == NULL ? MemoryContextAllocHuge(run->context, size * row)
		: repalloc_huge(run->product_bits, size * row);
	for (int i = run->products_size; i < size; i++)
		memcpy(run->product_bits + (Size) i * run->words, run->any_category, row);
	for (int v = 0; v < run->nvat; v++)
	{
		EcVatCountry *vat = &run->vat[v];

		if (vat->by_category == NULL)
			continue;
		vat->by_product = vat->by_product == NULL ? palloc(size * sizeof(EcVatRate))
			: repalloc_huge(vat->by_product, size * sizeof(EcVatRate));
		for (int i = run->products_size; i < size; i++)
			vat->by_product[i].depth = -1;
	}
	run->products_size = size;
}

/* The number of a sku, which gets one. */
int
ec_reprice_sku(EcReprice *run, Datum key)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);
	int			number = ec_key_map_put_text(run->skus, key);

	skus_reserve(run, number);
	MemoryContextSwitchTo(old);
	return number;
}

/* The number of a product, which gets one. */
static int
product_number(EcReprice *run, Datum key)
{
	int			number = ec_key_map_put_text(run->products, key);

	products_reserve(run, number);
	return number;
}

/* EcRowTake: key, category_key */
static void
product_category_take(TupleTableSlot *slot, void *arg)
{
	Reading    *reading = arg;
	EcReprice  *run = reading->run;
	MemoryContext old = MemoryContextSwitchTo(run->context);

	slot_getallattrs(slot);
	if (!slot->tts_isnull[0] && !slot->tts_isnull[1])
	{
		int			product = product_number(run, slot->tts_values[0]);
		int			category = ec_key_map_find_text(reading->tree->keys, slot->tts_values[1]);

		if (category >= 0)
		{
			bits_or(run, run->product_bits + (Size) product * run->words,
					reading->of_category + (Size) category * run->words);
			ec_reprice_vat_product(run, product, category);
		}
		else
		{
			/* a category that role category does not know is on its own */
			text	   *key = DatumGetTextPP(slot->tts_values[1]);

			bits_or(run, run->product_bits + (Size) product * run->words,
					named_find(run, &reading->categories, VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key)));
		}
	}
	MemoryContextSwitchTo(old);
}

/*
 * The rules of a product are those that hold for its categories, its brand and
 * for itself.
 */
static void
product_finish(Reading *reading, int product, Datum key, bool has_brand, Datum brand)
{
	EcReprice  *run = reading->run;
	uint64	   *bits = run->product_bits + (Size) product * run->words;
	const uint64 *by_brand = NULL;
	const uint64 *by_key;
	text	   *name = DatumGetTextPP(key);

	if (has_brand)
	{
		text	   *value = DatumGetTextPP(brand);

		by_brand = named_find(run, &reading->brands, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	}
	by_key = named_find(run, &reading->products, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	for (int w = 0; w < run->words; w++)
		bits[w] &= (run->any_brand[w] | (by_brand ? by_brand[w] : 0)) &
			(run->any_product[w] | (by_key ? by_key[w] : 0));
}

/* EcRowTake: key, brand */
static void
product_take(TupleTableSlot *slot, void *arg)
{
	Reading    *reading = arg;
	EcReprice  *run = reading->run;
	MemoryContext old = MemoryContextSwitchTo(run->context);

	slot_getallattrs(slot);
	if (!slot->tts_isnull[0])
	{
		int			product = product_number(run, slot->tts_values[0]);

		if (product >= reading->done_size)
		{
			int			size = Max(reading->done_size * 2, product + 1024);

			reading->product_done = reading->product_done == NULL ? palloc(size)
				: repalloc_huge(reading->product_done, size);
			memset(reading->product_done + reading->done_size, 0, size - reading->done_size);
			reading->done_size = size;
		}
		if (!reading->product_done[product])
		{
			reading->product_done[product] = true;
			product_finish(reading, product, slot->tts_values[0], !slot->tts_isnull[1], slot->tts_values[1]);
			ec_reprice_tests_keep(run->tests, EC_PRICE_SCOPE_PRODUCT, product, slot);
		}
	}
	MemoryContextSwitchTo(old);
}

/* EcRowTake: key, product_key, sku */
static void
sku_take(TupleTableSlot *slot, void *arg)
{
	Reading    *reading = arg;
	EcReprice  *run = reading->run;
	MemoryContext old = MemoryContextSwitchTo(run->context);

	slot_getallattrs(slot);
	if (!slot->tts_isnull[0])
	{
		int			sku = ec_key_map_put_text(run->skus, slot->tts_values[0]);

		skus_reserve(run, sku);
		if (run->wants_product && !slot->tts_isnull[1])
			run->product_of[sku] = product_number(run, slot->tts_values[1]);
		ec_reprice_tests_keep(run->tests, EC_PRICE_SCOPE_SKU, sku, slot);
		if (reading->skus.names != NULL)
		{
			text	   *key = DatumGetTextPP(slot->tts_values[0]);
			const uint64 *by_key = named_find(run, &reading->skus, VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key));
			const uint64 *by_code = NULL;

			if (!slot->tts_isnull[2])
			{
				text	   *code = DatumGetTextPP(slot->tts_values[2]);

				by_code = named_find(run, &reading->skus, VARDATA_ANY(code), VARSIZE_ANY_EXHDR(code));
			}
			if (by_key != NULL || by_code != NULL)
			{
				uint64	   *bits = palloc(run->words * sizeof(uint64));

				memcpy(bits, run->any_sku, run->words * sizeof(uint64));
				bits_or(run, bits, by_key);
				bits_or(run, bits, by_code);
				run->sku_set[sku] = ec_reprice_set(run, bits);
				pfree(bits);
			}
		}
	}
	MemoryContextSwitchTo(old);
}

static void
cost_keep(EcReprice *run, EcCostAmount *costs, Datum sku, Datum cost, bool isnull, Datum currency)
{
	int			number = ec_key_map_put_text(run->skus, sku);
	EcCostAmount *kept;

	skus_reserve(run, number);
	kept = costs != NULL ? &costs[number] : &run->costs[number];
	if (isnull)
		return;
	kept->currency = ec_reprice_currency(run, currency);
	kept->state = ec_amount_set(&kept->amount, cost) && kept->amount.mantissa >= 0 &&
		(kept->amount.big == NULL || !DatumGetBool(DirectFunctionCall2(numeric_lt, NumericGetDatum(kept->amount.big),
																	   NumericGetDatum(int64_to_numeric(0)))))
		? EC_COST_GOOD : EC_COST_BAD;
}

/* EcRowTake: key, cost, currency.  Of several, the one that comes first counts. */
static void
cost_take(TupleTableSlot *slot, void *arg)
{
	EcReprice  *run = arg;
	MemoryContext old = MemoryContextSwitchTo(run->context);

	slot_getallattrs(slot);
	if (!slot->tts_isnull[0] && run->tests != NULL)
		ec_reprice_tests_keep(run->tests, EC_PRICE_SCOPE_COST, ec_reprice_sku(run, slot->tts_values[0]), slot);
	if (!slot->tts_isnull[0] && !slot->tts_isnull[2])
	{
		int			number = ec_key_map_find_text(run->skus, slot->tts_values[0]);

		if (number < 0 || run->costs[number].state == EC_COST_NONE)
			cost_keep(run, NULL, slot->tts_values[0], slot->tts_values[1], slot->tts_isnull[1], slot->tts_values[2]);
	}
	MemoryContextSwitchTo(old);
}

/*
 * ecauto's own costs come before those of the shop, and so are read after
 * them; offers stand beside them.
 */
static void
own_costs_read(EcReprice *run, ArrayType *keys)
{
	static const Oid types[] = {TEXTARRAYOID};
	Datum		args[1] = {PointerGetDatum(keys)};
	SPITupleTable *table;

	ec_pricing_run(keys == NULL
				   ? "SELECT c.sku, c.cost, c.currency, c.source = 'offer' FROM ecauto_data.cost c"
				   : "SELECT c.sku, c.cost, c.currency, c.source = 'offer' FROM ecauto_data.cost c WHERE c.sku = ANY ($1)",
				   keys == NULL ? 0 : 1, types, args, NULL, SPI_OK_SELECT);
	table = SPI_tuptable;
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = table->vals[i];
		TupleDesc	desc = table->tupdesc;
		MemoryContext old = MemoryContextSwitchTo(run->context);
		bool		isnull;
		Datum		sku = SPI_getbinval(tuple, desc, 1, &isnull);
		Datum		cost = SPI_getbinval(tuple, desc, 2, &isnull);
		Datum		currency = SPI_getbinval(tuple, desc, 3, &isnull);
		bool		offer = DatumGetBool(SPI_getbinval(tuple, desc, 4, &isnull));

		if (offer)
		{
			int			number = ec_key_map_put_text(run->skus, sku);

			skus_reserve(run, number);
			if (run->costs_size < run->skus_size)
			{
				run->offers = run->offers == NULL ? palloc(run->skus_size * sizeof(EcCostAmount))
					: repalloc_huge(run->offers, (Size) run->skus_size * sizeof(EcCostAmount));
				memset(run->offers + run->costs_size, 0,
					   (Size) (run->skus_size - run->costs_size) * sizeof(EcCostAmount));
				run->costs_size = run->skus_size;
			}
			cost_keep(run, run->offers, sku, cost, false, currency);
		}
		else
			cost_keep(run, NULL, sku, cost, false, currency);
		MemoryContextSwitchTo(old);
	}
	SPI_freetuptable(table);
}

/* Amounts by sku and currency, from a statement with columns sku, currency and those of maps. */
static void
amounts_read(EcReprice *run, const char *sql, ArrayType *keys, TimestampTz at, EcAmountMap **maps, int nmaps)
{
	static const Oid types[] = {TEXTARRAYOID, TIMESTAMPTZOID};
	Datum		args[2] = {PointerGetDatum(keys), TimestampTzGetDatum(at)};
	SPITupleTable *table;

	ec_pricing_run(sql, 2, types, args, keys == NULL ? "n " : "  ", SPI_OK_SELECT);
	table = SPI_tuptable;
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		sku = SPI_getbinval(table->vals[i], table->tupdesc, 1, &isnull);
		Datum		currency = SPI_getbinval(table->vals[i], table->tupdesc, 2, &isnull);

		for (int m = 0; m < nmaps; m++)
		{
			Datum		amount = SPI_getbinval(table->vals[i], table->tupdesc, m + 3, &isnull);

			if (!isnull)
				amount_keep(run, maps[m], sku, currency, amount);
		}
	}
	SPI_freetuptable(table);
}

/* The instant at which the day of the run began, in the shop's time zone. */
static TimestampTz
day_begin(TimestampTz at)
{
	EcAs		as;
	TimestampTz begin;

	ec_expr_begin_as_owner(&as);
	begin = DatumGetTimestampTz(DirectFunctionCall1(date_timestamptz,
													DirectFunctionCall1(timestamptz_date, TimestampTzGetDatum(at))));
	ec_expr_end(&as);
	return begin;
}

static void
own_read(EcReprice *run, ArrayType *keys)
{
	EcAmountMap *bounds[] = {&run->list_prices, &run->minimums};
	EcAmountMap *bases[] = {&run->bases, &run->written};
	EcAmountMap *days[] = {&run->days};
	bool		by_day = false;
	bool		by_price = false;

	for (int i = 0; i < run->nrules; i++)
	{
		by_day = by_day || run->rules[i]->max_change_day.given;
		by_price = by_price || run->rules[i]->base == EC_BASE_PRICE || run->rules[i]->base == EC_BASE_RESULT;
	}
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	own_costs_read(run, keys);
	amounts_read(run, "SELECT b.sku, b.currency, b.list_price, b.minimum FROM ecauto_data.price_bound b"
				 " WHERE b.sku = ANY ($1) OR $1 IS NULL", keys, run->at, bounds, lengthof(bounds));
	if (by_price)
		amounts_read(run, "SELECT b.sku, b.currency, b.base, b.written FROM ecauto_data.price_base b"
					 " WHERE b.sku = ANY ($1) OR $1 IS NULL", keys, run->at, bases, lengthof(bases));
	if (by_day)
		amounts_read(run, "SELECT s.sku, s.currency, h.amount FROM ecauto_data.price_series s"
					 " JOIN ecauto_data.price_history h ON h.series_id = s.series_id"
					 " WHERE s.list_key = '' AND h.period @> $2 AND (s.sku = ANY ($1) OR $1 IS NULL)",
					 keys, day_begin(run->at), days, lengthof(days));
	SPI_finish();
}

static void
categories_read(Reading *reading)
{
	EcReprice  *run = reading->run;
	EcCategories *tree = reading->tree;
	int			n = ec_key_map_count(tree->keys);

	reading->of_category = palloc0((Size) (n + 1) * run->words * sizeof(uint64));
	for (int i = 0; i < n; i++)
	{
		for (int c = i; c >= 0; c = tree->parents[c])
		{
			text	   *key = ec_key_map_key(tree->keys, c);

			bits_or(run, reading->of_category + (Size) i * run->words,
					named_find(run, &reading->categories, VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key)));
		}
	}
	ec_reprice_vat_categories(run, tree->parents, tree->depths, tree->keys);
}

/* How deep the categories of rules lie: that tells how specific they are. */
static EcCategories *
depths_set(List *rules)
{
	EcCategories *tree = NULL;
	ListCell   *lc;
	ListCell   *lk;

	foreach(lc, rules)
	{
		EcPriceRule *rule = lfirst(lc);

		foreach(lk, rule->categories)
		{
			int			number;

			if (tree == NULL)
				tree = ec_categories_read();
			number = ec_key_map_find(tree->keys, lfirst(lk), strlen(lfirst(lk)));
			if (number >= 0)
				rule->depth = Max(rule->depth, tree->depths[number]);
		}
	}
	return tree;
}

static void
role_scan(const char *role, const char *const *columns, int ncolumns, ArrayType *keys, EcRowTake take, void *arg)
{
	EcBinding  *binding = ec_binding_get(role);

	if (binding != NULL)
		(void) ec_binding_scan(binding, columns, ncolumns, true, keys, take, arg);
}

/* Scan a role that conditions may speak of, with the columns that they use. */
static void
scope_scan(EcReprice *run, EcPriceScopeRow row, const char *const *own, int n, ArrayType *keys,
		   EcRowTake take, void *arg)
{
	const char **columns = ec_reprice_tests_columns(run->tests, row, own, &n);

	role_scan(ec_price_scope()->rows[row].name, columns, n, keys, take, arg);
}

/* The keys of the products that some skus are of. */
static ArrayType *
product_keys(EcReprice *run)
{
	int			n = ec_key_map_count(run->products);
	Datum	   *keys = palloc((n + 1) * sizeof(Datum));

	for (int i = 0; i < n; i++)
		keys[i] = PointerGetDatum(ec_key_map_key(run->products, i));
	return construct_array(keys, n, TEXTOID, -1, false, TYPALIGN_INT);
}

/*
 * Read what the rules ask for: of the skus with some keys, or of all (NULL).
 * The current context is the run's.
 */
static void
reprice_read(EcReprice *run, ArrayType *keys)
{
	static const char *const sku_columns[] = {"key", "product_key", "sku"};
	static const char *const product_columns[] = {"key", "brand"};
	static const char *const product_category_columns[] = {"key", "category_key"};
	static const char *const cost_columns[] = {"key", "cost", "currency"};
	Reading		reading = {run};
	bool		wants_cost = ec_reprice_tests_use(run->tests, EC_PRICE_SCOPE_COST);
	ArrayType  *products = NULL;

	named_read(run, &reading.skus, offsetof(EcPriceRule, skus));
	named_read(run, &reading.products, offsetof(EcPriceRule, products));
	named_read(run, &reading.brands, offsetof(EcPriceRule, brands));
	named_read(run, &reading.categories, offsetof(EcPriceRule, categories));
	run->wants_product = ec_reprice_tests_use(run->tests, EC_PRICE_SCOPE_PRODUCT);
	for (int i = 0; i < run->nrules; i++)
	{
		const EcPriceRule *rule = run->rules[i];

		run->wants_category = run->wants_category || rule->categories != NIL;
		run->wants_product = run->wants_product || rule->categories != NIL || rule->brands != NIL ||
			rule->products != NIL;
		wants_cost = wants_cost || rule->base == EC_BASE_COST || rule->min_margin.given || keys != NULL;
	}
	ec_reprice_rates_read(run);
	if (run->wants_category)
	{
		reading.tree = ec_categories_read();
		categories_read(&reading);
	}

	if (run->wants_product || reading.skus.names != NULL || ec_reprice_tests_use(run->tests, EC_PRICE_SCOPE_SKU))
		scope_scan(run, EC_PRICE_SCOPE_SKU, sku_columns, lengthof(sku_columns), keys, sku_take, &reading);
	if (keys != NULL && run->wants_product)
		products = product_keys(run);
	if (run->wants_category)
		role_scan("product_category", product_category_columns, lengthof(product_category_columns), products,
				  product_category_take, &reading);
	if (run->wants_product)
		scope_scan(run, EC_PRICE_SCOPE_PRODUCT, product_columns, lengthof(product_columns), products,
				   product_take, &reading);
	/* those that role product does not tell of have no brand */
	if (run->wants_product)
		for (int i = 0; i < ec_key_map_count(run->products); i++)
			if (i >= reading.done_size || !reading.product_done[i])
				product_finish(&reading, i, PointerGetDatum(ec_key_map_key(run->products, i)), false, (Datum) 0);
	if (wants_cost)
		scope_scan(run, EC_PRICE_SCOPE_COST, cost_columns, lengthof(cost_columns), keys, cost_take, run);
	own_read(run, keys);
}

/*
 * Begin a run of rules (a list of EcPriceRule): read what they ask for, of the
 * skus with some keys, or of all (NULL).  All is in the current context.
 */
EcReprice *
ec_reprice_begin(List *rules, ArrayType *keys)
{
	EcReprice  *run = palloc0(sizeof(EcReprice));

	run->context = CurrentMemoryContext;
	run->at = ec_now();
	(void) depths_set(rules);
	ec_reprice_rules(run, rules);
	run->currencies = ec_key_map_create(16);
	run->written_currencies = ec_key_map_create(16);
	run->skus = ec_key_map_create(1024);
	run->products = ec_key_map_create(1024);
	ec_reprice_tests_begin(run);
	reprice_read(run, keys);
	ec_reprice_conditions(run, keys);
	return run;
}

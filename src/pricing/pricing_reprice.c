/*-------------------------------------------------------------------------
 *
 * pricing_reprice.c
 *		Prices of many skus by all rules at once: the loop.
 *
 * A run knows everything but the prices (pricing_reprice_read.c), and then
 * goes through them once, as the shop's query returns them.  For each it finds
 * the rules that apply, as the intersection of four sets: those of the
 * product, the sku, the currency and the conditions.
 *
 * Only base prices are made: those without list that are in force now.  They
 * are what the writer set_price writes.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "pricing/pricing.h"
#include "pricing/pricing_reprice.h"
#include "shop/shop.h"

PG_FUNCTION_INFO_V1(ecauto_explain_price);
PG_FUNCTION_INFO_V1(ecauto_price_problems);

/* prices whose conditions are evaluated at a time */
#define BATCH_SIZE 1000

/* currencies of which a second price of a sku is noticed */
#define CURRENCIES_NOTICED 64

typedef struct Visiting
{
	EcReprice  *run;
	EcRepriceVisit visit;
	void	   *arg;
	MemoryContext row_context;
	uint64	   *bits;			/* run->words */
	uint64	   *last_bits;
	EcRuleChain *last;			/* the chain of last_bits */
	uint64	   *seen;			/* by number of a sku: currencies */
	int			seen_size;
	bool		dated;			/* prices have dates or lists */
	int64		visited;

	/* prices that wait for their conditions; if the run evaluates any */
	MemoryContext batch_context;
	TupleDesc	desc;
	TupleTableSlot *slot;
	int			nbatch;
	MinimalTuple batch[BATCH_SIZE];
	uint64	   *holds;			/* run->words for each: rules whose conditions hold */
} Visiting;

/*
 * Has this price come before?  A shop with two base prices of one currency for
 * a sku gets the first of them made.
 */
static bool
seen_before(Visiting *visiting, int sku, int16 currency)
{
	uint64		bit = UINT64CONST(1) << currency;

	if (currency >= CURRENCIES_NOTICED)
		return false;
	if (sku >= visiting->seen_size)
	{
		int			size = Max(visiting->seen_size * 2, sku + 1024);

		visiting->seen = visiting->seen == NULL
			? MemoryContextAllocHuge(visiting->run->context, (Size) size * sizeof(uint64))
			: repalloc_huge(visiting->seen, (Size) size * sizeof(uint64));
		memset(visiting->seen + visiting->seen_size, 0, (Size) (size - visiting->seen_size) * sizeof(uint64));
		visiting->seen_size = size;
	}
	if (visiting->seen[sku] & bit)
		return true;
	visiting->seen[sku] |= bit;
	return false;
}

/* The rules that apply to a price; holds: those that the run has evaluated, or NULL. */
static EcRuleChain *
chain_find(Visiting *visiting, const EcRepriceRow *row, const uint64 *holds)
{
	EcReprice  *run = visiting->run;
	int			product = run->wants_product ? run->product_of[row->sku_number] : -1;
	int			sku_set = run->sku_set[row->sku_number];
	int			condition_set = -1;
	const uint64 *of_currency = run->of_currency[row->currency_number];
	const uint64 *of_product = product < 0 ? NULL : run->product_bits + (Size) product * run->words;
	const char *of_sku = sku_set < 0 ? (const char *) run->any_sku : ec_reprice_set_bits(run, sku_set);
	const char *of_condition = (const char *) run->any_condition;

	if (run->conditions != NULL && run->condition_set != NULL)
	{
		int			pair = ec_pair_find(run->conditions, row->sku, row->currency);

		condition_set = pair < 0 ? -1 : run->condition_set[pair];
		if (condition_set >= 0)
			of_condition = ec_reprice_set_bits(run, condition_set);
	}
	for (int w = 0; w < run->words; w++)
	{
		uint64		sku_bits;
		uint64		condition_bits;
		uint64		product_bits = of_product != NULL ? of_product[w]
			: run->any_product[w] & run->any_brand[w] & run->any_category[w];

		memcpy(&sku_bits, of_sku + w * sizeof(uint64), sizeof(uint64));
		memcpy(&condition_bits, of_condition + w * sizeof(uint64), sizeof(uint64));
		if (holds != NULL)
			condition_bits |= holds[w];
		visiting->bits[w] = of_currency[w] & product_bits & sku_bits & condition_bits;
	}
	if (visiting->last == NULL ||
		memcmp(visiting->bits, visiting->last_bits, run->words * sizeof(uint64)) != 0)
	{
		visiting->last = ec_reprice_chain(run, visiting->bits);
		memcpy(visiting->last_bits, visiting->bits, run->words * sizeof(uint64));
	}
	return visiting->last;
}

/* The price from which a rule begins that builds on the current price. */
static const EcAmount *
base_find(const EcReprice *run, const EcRepriceRow *row)
{
	const EcAmount *written = ec_amount_find(&run->written, row->sku, row->currency);
	EcRatio		was;
	EcRatio		is;

	if (written == NULL)
		return NULL;
	/* somebody else has changed it since: that is the price now */
	ec_ratio_set(&was, written);
	ec_ratio_set(&is, &row->old);
	ec_ratio_multiply(&is, -1, 1);
	if (was.big_n != NULL || is.big_n != NULL || was.n * is.d + is.n * was.d != 0)
		return NULL;
	return ec_amount_find(&run->bases, row->sku, row->currency);
}

/* Visit a price, of which all attributes are there. */
static void
price_visit(Visiting *visiting, TupleTableSlot *slot, const uint64 *holds)
{
	EcReprice  *run = visiting->run;
	EcRepriceRow row = {0};
	MemoryContext old;

	MemoryContextReset(visiting->row_context);
	old = MemoryContextSwitchTo(visiting->row_context);
	row.run = run;
	row.sku = slot->tts_values[0];
	row.amount = slot->tts_values[2];
	row.currency_number = ec_reprice_currency(run, slot->tts_values[1]);
	row.currency = PointerGetDatum(ec_key_map_key(run->currencies, row.currency_number));
	row.sku_number = ec_reprice_sku(run, row.sku);
	if (ec_amount_set(&row.old, row.amount) && !seen_before(visiting, row.sku_number, row.currency_number))
	{
		row.chain = chain_find(visiting, &row, holds);
		row.input.digits = run->digits[row.currency_number];
		row.input.tax_included = DatumGetBool(slot->tts_values[3]);
		row.input.old = &row.old;
		row.input.cost = &run->costs[row.sku_number];
		row.input.offer = row.sku_number < run->costs_size ? &run->offers[row.sku_number] : NULL;
		row.input.list_price = ec_amount_find(&run->list_prices, row.sku, row.currency);
		row.input.minimum = ec_amount_find(&run->minimums, row.sku, row.currency);
		row.input.day = ec_amount_find(&run->days, row.sku, row.currency);
		row.input.base = row.chain->needs_price ? base_find(run, &row) : NULL;
		row.input.fx = ec_reprice_fx;
		row.input.vat = ec_reprice_vat;
		row.input.arg = &row;
		visiting->visited++;
		visiting->visit(&row, visiting->arg);
	}
	MemoryContextSwitchTo(old);
}

/* Evaluate the conditions for the prices that wait, and visit them. */
static void
batch_finish(Visiting *visiting)
{
	EcReprice  *run = visiting->run;
	TupleTableSlot *slot = visiting->slot;
	EcAs		as;

	if (visiting->nbatch == 0)
		return;
	memset(visiting->holds, 0, visiting->nbatch * run->words * sizeof(uint64));
	ec_expr_begin_as_owner(&as);
	for (int i = 0; i < visiting->nbatch; i++)
	{
		int			sku;

		ExecStoreMinimalTuple(visiting->batch[i], slot, false);
		slot_getallattrs(slot);
		sku = ec_reprice_sku(run, slot->tts_values[0]);
		ec_reprice_tests_run(run->tests, sku, run->wants_product ? run->product_of[sku] : -1, slot,
							 visiting->holds + i * run->words);
	}
	ec_expr_end(&as);
	for (int i = 0; i < visiting->nbatch; i++)
	{
		ExecStoreMinimalTuple(visiting->batch[i], slot, false);
		slot_getallattrs(slot);
		price_visit(visiting, slot, visiting->holds + i * run->words);
	}
	ExecClearTuple(slot);
	visiting->nbatch = 0;
	MemoryContextReset(visiting->batch_context);
}

static void
batch_add(Visiting *visiting, TupleTableSlot *slot)
{
	MemoryContext old;

	if (visiting->slot == NULL)
	{
		old = MemoryContextSwitchTo(visiting->run->context);
		visiting->desc = CreateTupleDescCopy(slot->tts_tupleDescriptor);
		visiting->slot = MakeSingleTupleTableSlot(visiting->desc, &TTSOpsMinimalTuple);
		MemoryContextSwitchTo(old);
	}
	old = MemoryContextSwitchTo(visiting->batch_context);
	visiting->batch[visiting->nbatch++] = ExecCopySlotMinimalTuple(slot);
	MemoryContextSwitchTo(old);
	if (visiting->nbatch == BATCH_SIZE)
		batch_finish(visiting);
}

/*
 * EcRowTake: key, currency, amount, tax_included, and list_key, valid_from,
 * valid_until if dated; then what conditions use.
 */
static void
price_take(TupleTableSlot *slot, void *arg)
{
	Visiting   *visiting = arg;
	TimestampTz at = visiting->run->at;

	CHECK_FOR_INTERRUPTS();
	ec_progress_advance(1);
	slot_getallattrs(slot);
	if (slot->tts_isnull[0] || slot->tts_isnull[1] || slot->tts_isnull[2] || slot->tts_isnull[3])
		return;
	if (visiting->dated &&
		(!slot->tts_isnull[4] || (!slot->tts_isnull[5] && DatumGetTimestampTz(slot->tts_values[5]) > at) ||
		 (!slot->tts_isnull[6] && DatumGetTimestampTz(slot->tts_values[6]) <= at)))
		return;
	if (visiting->run->tests != NULL)
		batch_add(visiting, slot);
	else
		price_visit(visiting, slot, NULL);
}

/*
 * Call visit() for each base price of the shop with some keys, or of all
 * (NULL), in no particular order, in a context that is reset in between.
 * Returns the number of prices.  The run was begun with the same keys.
 */
int64
ec_reprice_visit(EcReprice *run, ArrayType *keys, EcRepriceVisit visit, void *arg)
{
	static const char *const columns[] = {
		"key", "currency", "amount", "tax_included", "list_key", "valid_from", "valid_until"
	};
	EcBinding  *binding = ec_binding_get("price");
	const EcRole *role = ec_role_get("price");
	Visiting   *visiting = palloc0(sizeof(Visiting));
	const char **wanted;
	int			n;

	if (binding == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("role \"price\" is not bound"),
				 errhint("Attach the shop, or bind the role with ecauto.bind_role().")));
	visiting->run = run;
	visiting->visit = visit;
	visiting->arg = arg;
	visiting->row_context = AllocSetContextCreate(run->context, "ecauto reprice row", ALLOCSET_SMALL_SIZES);
	visiting->bits = palloc0(run->words * sizeof(uint64));
	visiting->last_bits = palloc0(run->words * sizeof(uint64));
	if (run->tests != NULL)
	{
		visiting->batch_context = AllocSetContextCreate(run->context, "ecauto reprice batch", ALLOCSET_DEFAULT_SIZES);
		visiting->holds = palloc(BATCH_SIZE * run->words * sizeof(uint64));
	}
	for (int i = 4; i < lengthof(columns); i++)
		visiting->dated = visiting->dated || binding->types[ec_role_column(role, columns[i]) - role->columns] != NULL;
	n = visiting->dated ? lengthof(columns) : 4;
	wanted = ec_reprice_tests_columns(run->tests, EC_PRICE_SCOPE_PRICE, columns, &n);
	ec_progress_phase("prices", 0);
	(void) ec_binding_scan(binding, wanted, n, true, keys, price_take, visiting);
	batch_finish(visiting);
	if (visiting->slot != NULL)
		ExecDropSingleTupleTableSlot(visiting->slot);
	MemoryContextDelete(visiting->row_context);
	return visiting->visited;
}

/* ---- explain_price() ---- */

typedef struct Explaining
{
	ReturnSetInfo *result;
	const char *currency;
	int			digits;
	EcRepriceRow *row;
	bool		found;
} Explaining;

/* A value of which people want to see no more than they need. */
static Datum
ratio_numeric(const EcRatio *ratio, int digits)
{
	int64		micros;

	return ec_ratio_round(ratio, 1, EC_NEAREST, &micros) ? ec_micros_numeric(micros, digits) : (Datum) 0;
}

static void
explain_put(Explaining *explaining, const char *step, const char *rule, Datum before, Datum after, const char *note)
{
	Datum		values[5];
	bool		nulls[5];

	nulls[0] = false;
	values[0] = CStringGetTextDatum(step);
	nulls[1] = rule == NULL;
	values[1] = rule == NULL ? (Datum) 0 : CStringGetTextDatum(rule);
	nulls[2] = before == (Datum) 0;
	values[2] = before;
	nulls[3] = after == (Datum) 0;
	values[3] = after;
	nulls[4] = note == NULL;
	values[4] = note == NULL ? (Datum) 0 : CStringGetTextDatum(note);
	tuplestore_putvalues(explaining->result->setResult, explaining->result->setDesc, values, nulls);
}

/* EcPriceStep */
static void
explain_step(void *arg, const char *step, const EcPriceRule *rule, const EcRatio *before, const EcRatio *after,
			 const char *note)
{
	Explaining *explaining = arg;

	explain_put(explaining, step, rule ? rule->name : NULL,
				before ? ratio_numeric(before, explaining->digits) : (Datum) 0,
				after ? ratio_numeric(after, explaining->digits) : (Datum) 0, note);
}

/* EcRepriceVisit */
static void
explain_visit(EcRepriceRow *row, void *arg)
{
	Explaining *explaining = arg;
	EcPriceResult result;

	if (strcmp(TextDatumGetCString(row->currency), explaining->currency) != 0)
		return;
	explaining->found = true;
	explaining->digits = row->input.digits;
	if (row->chain->n == 0)
	{
		explain_put(explaining, "price", NULL, row->amount, row->amount, "no rule applies to it");
		return;
	}
	if (row->chain->rival != NULL)
	{
		explain_put(explaining, "price", NULL, row->amount, row->amount,
					psprintf("stays: rules \"%s\" and \"%s\" are exclusive and of equal priority",
							 row->chain->rival->name,
							 row->chain->rules[0]->name));
		return;
	}
	ec_price_make(row->chain->rules, row->chain->n, &row->input, explain_step, explaining, &result);
	if (result.problem != EC_PRICED)
		explain_put(explaining, "price", NULL, row->amount, row->amount,
					psprintf("stays: %s", ec_price_problem_text(result.problem)));
	else
	{
		Datum		price = ec_micros_numeric(result.micros, row->input.digits);

		explain_put(explaining, "price", NULL, row->amount, price,
					DatumGetBool(DirectFunctionCall2(numeric_eq, price, row->amount)) ? "stays"
					: TextDatumGetCString(ec_reprice_reason(row->chain, result.hits)));
	}
}

/*
 * ecauto.explain_price(sku text, currency text)
 *		returns table(step text, rule text, before numeric, after numeric, note text)
 */
Datum
ecauto_explain_price(PG_FUNCTION_ARGS)
{
	Explaining	explaining = {(ReturnSetInfo *) fcinfo->resultinfo};
	char	   *sku;
	Datum		key;
	ArrayType  *keys;
	EcReprice  *run;

	ec_state_require();
	ec_require_reader("explain a price");
	InitMaterializedSRF(fcinfo, 0);
	sku = ec_pricing_sku_key(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	explaining.currency = ec_currency_or_own(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	key = CStringGetTextDatum(sku);
	keys = construct_array(&key, 1, TEXTOID, -1, false, TYPALIGN_INT);
	run = ec_reprice_begin(ec_price_rules_load(ec_now(), false), keys);
	(void) ec_reprice_visit(run, keys, explain_visit, &explaining);
	if (!explaining.found)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("sku \"%s\" has no price in %s", sku, explaining.currency),
				 errdetail("Role \"price\" returns no base price of that currency for it now.")));
	return (Datum) 0;
}

/* ---- price_problems() ---- */

/* EcRepriceVisit */
static void
problem_visit(EcRepriceRow *row, void *arg)
{
	ReturnSetInfo *result = arg;
	EcPriceResult made = {EC_AMBIGUOUS};
	const char *problem;
	Datum		values[4];
	bool		nulls[4] = {false};

	if (row->chain->n == 0)
		return;
	if (row->chain->rival == NULL)
		ec_price_make(row->chain->rules, row->chain->n, &row->input, NULL, NULL, &made);
	if (made.problem == EC_PRICED)
		return;
	problem = ec_price_problem_text(made.problem);
	values[0] = row->sku;
	values[1] = row->currency;
	values[2] = CStringGetTextDatum(problem);
	values[3] = CStringGetTextDatum(row->chain->rules[0]->name);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * ecauto.price_problems() returns table(sku text, currency text, problem text, rule text)
 */
Datum
ecauto_price_problems(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext context;
	MemoryContext old;
	EcReprice  *run;

	ec_state_require();
	ec_require_reader("look for problems of prices");
	InitMaterializedSRF(fcinfo, 0);
	context = AllocSetContextCreate(CurrentMemoryContext, "ecauto reprice", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	run = ec_reprice_begin(ec_price_rules_load(ec_now(), false), NULL);
	(void) ec_reprice_visit(run, NULL, problem_visit, result);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return (Datum) 0;
}

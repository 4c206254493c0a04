/*-------------------------------------------------------------------------
 *
 * pricing_reprice_rules.c
 *		Which rules apply to a price, and in which order.
 *
 * Specific beats general: a rule for a sku comes before one for a product,
 * then category (the deeper, the more specific), brand, condition, all.  Of
 * rules that are as specific, the higher priority comes first.
 *
 * Going from the strongest down, the first exclusive rule of those that apply
 * makes the price; what is weaker is not looked at.  The others above it are
 * then applied to what it made, from the weaker to the stronger.
 *
 * All this is worked out once for each set of rules that apply together, of
 * which there are few: a set is kept as bits in the order of strength, has a
 * number, and the price's chain of rules hangs at that number.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "pricing/pricing.h"
#include "pricing/pricing_reprice.h"

/*
 * The rules that hold at a time (all: also those that are switched off or do
 * not hold), in the current context, in the order they were made.
 */
List *
ec_price_rules_load(TimestampTz at, bool all)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *rules = NIL;
	uint64		n;
	SPITupleTable *table;
	EcAs		as;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_pricing_run("SELECT r.rule_id, r.name, r.definer, r.definition, r.enabled"
				   " FROM ecauto_data.price_rule r ORDER BY r.rule_id", 0, NULL, NULL, NULL, SPI_OK_SELECT);
	n = SPI_processed;
	table = SPI_tuptable;
	/* days and times are the shop's */
	ec_expr_begin_as_owner(&as);
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);
		HeapTuple	tuple = table->vals[i];
		TupleDesc	desc = table->tupdesc;
		bool		isnull;
		EcPriceRule *rule;
		char	   *name = SPI_getvalue(tuple, desc, 2);
		Jsonb	   *definition = (Jsonb *) PG_DETOAST_DATUM_COPY(SPI_getbinval(tuple, desc, 4, &isnull));

		if (all || DatumGetBool(SPI_getbinval(tuple, desc, 5, &isnull)))
		{
			rule = ec_price_rule_read(name, definition);
			rule->id = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
			rule->definer = SPI_getvalue(tuple, desc, 3);
			if (all || (rule->valid_from <= at && at < rule->valid_until))
				rules = lappend(rules, rule);
		}
		MemoryContextSwitchTo(spi);
	}
	ec_expr_end(&as);
	SPI_finish();
	return rules;
}

/* From the weakest to the strongest; of those that are as strong, the older is the stronger. */
static int
rule_compare(const void *a, const void *b)
{
	const EcPriceRule *left = *(EcPriceRule *const *) a;
	const EcPriceRule *right = *(EcPriceRule *const *) b;

	if (left->scope != right->scope)
		return left->scope < right->scope ? -1 : 1;
	if (left->depth != right->depth)
		return left->depth < right->depth ? -1 : 1;
	if (left->priority != right->priority)
		return left->priority < right->priority ? -1 : 1;
	return left->id > right->id ? -1 : left->id < right->id ? 1 : 0;
}

static uint64 *
bits_make(const EcReprice *run)
{
	return palloc0(run->words * sizeof(uint64));
}

static void
bits_add(uint64 *bits, int rule)
{
	bits[rule / 64] |= UINT64CONST(1) << (rule % 64);
}

/*
 * Give the run its rules: depths of categories are known by now.
 */
void
ec_reprice_rules(EcReprice *run, List *rules)
{
	ListCell   *lc;
	int			n = 0;

	run->nrules = list_length(rules);
	run->rules = palloc((run->nrules + 1) * sizeof(EcPriceRule *));
	foreach(lc, rules)
		run->rules[n++] = lfirst(lc);
	qsort(run->rules, run->nrules, sizeof(EcPriceRule *), rule_compare);
	run->words = run->nrules / 64 + 1;
	run->any_sku = bits_make(run);
	run->any_product = bits_make(run);
	run->any_brand = bits_make(run);
	run->any_category = bits_make(run);
	run->any_condition = bits_make(run);
	run->sets = ec_key_map_create(64);
	for (int i = 0; i < run->nrules; i++)
	{
		const EcPriceRule *rule = run->rules[i];

		if (rule->skus == NIL)
			bits_add(run->any_sku, i);
		if (rule->products == NIL)
			bits_add(run->any_product, i);
		if (rule->brands == NIL)
			bits_add(run->any_brand, i);
		if (rule->categories == NIL)
			bits_add(run->any_category, i);
		if (rule->condition == NULL)
			bits_add(run->any_condition, i);
	}
}

/* The number of a set of rules. */
int
ec_reprice_set(EcReprice *run, const uint64 *bits)
{
	bool		found;
	MemoryContext old = MemoryContextSwitchTo(run->context);
	int			set = ec_key_map_put(run->sets, (const char *) bits, run->words * sizeof(uint64), &found);

	MemoryContextSwitchTo(old);
	return set;
}

/* The bits of a set that has a number, not aligned: to be copied. */
const char *
ec_reprice_set_bits(EcReprice *run, int set)
{
	return VARDATA(ec_key_map_key(run->sets, set));
}

static EcRuleChain *
chain_make(EcReprice *run, const uint64 *bits)
{
	EcRuleChain *chain = palloc0(sizeof(EcRuleChain));
	const EcPriceRule *first = NULL;

	chain->rules = palloc((run->nrules + 1) * sizeof(EcPriceRule *));
	for (int i = run->nrules - 1; i >= 0; i--)
	{
		EcPriceRule *rule = run->rules[i];
		uint64		word;

		memcpy(&word, (const char *) bits + (i / 64) * sizeof(uint64), sizeof(uint64));
		if ((word & (UINT64CONST(1) << (i % 64))) == 0)
			continue;
		if (first != NULL)
		{
			/* what comes next in strength decides whether the first is the only one */
			if (rule->scope != first->scope || rule->depth != first->depth || rule->priority != first->priority)
				break;
			if (rule->exclusive)
			{
				chain->rival = rule;
				break;
			}
			continue;
		}
		chain->rules[chain->n++] = rule;
		if (rule->exclusive)
			first = rule;
	}
	/* they were found from the strongest down */
	for (int i = 0; i < chain->n / 2; i++)
	{
		EcPriceRule *swap = chain->rules[i];

		chain->rules[i] = chain->rules[chain->n - 1 - i];
		chain->rules[chain->n - 1 - i] = swap;
	}
	chain->needs_price = chain->n > 0 &&
		(chain->rules[0]->base == EC_BASE_PRICE || chain->rules[0]->base == EC_BASE_RESULT);
	return chain;
}

/*
 * The chain of rules for a set; made the first time.
 */
EcRuleChain *
ec_reprice_chain(EcReprice *run, const uint64 *bits)
{
	int			set = ec_reprice_set(run, bits);

	if (set >= run->nchains)
	{
		MemoryContext old = MemoryContextSwitchTo(run->context);
		int			size = Max(64, set * 2);

		run->chains = run->chains == NULL ? palloc0(size * sizeof(EcRuleChain *))
			: repalloc_huge(run->chains, size * sizeof(EcRuleChain *));
		memset(run->chains + run->nchains, 0, (size - run->nchains) * sizeof(EcRuleChain *));
		run->nchains = size;
		MemoryContextSwitchTo(old);
	}
	if (run->chains[set] == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(run->context);

		run->chains[set] = chain_make(run, bits);
		MemoryContextSwitchTo(old);
	}
	return run->chains[set];
}

/*
 * Why a price is what it is, in a few words: rules, and limits that it ran
 * into.  Made once for each chain and combination of limits.
 */
Datum
ec_reprice_reason(EcRuleChain *chain, int hits)
{
	if (chain->reasons[hits] == (Datum) 0)
	{
		MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(chain));
		StringInfoData text;

		initStringInfo(&text);
		appendStringInfo(&text, chain->n == 1 ? "rule " : "rules ");
		for (int i = 0; i < chain->n; i++)
			appendStringInfo(&text, "%s\"%s\"", i > 0 ? ", " : "", chain->rules[i]->name);
		ec_price_hits_text(hits, &text);
		chain->reasons[hits] = CStringGetTextDatum(text.data);
		MemoryContextSwitchTo(old);
	}
	return chain->reasons[hits];
}

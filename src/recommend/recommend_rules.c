/*-------------------------------------------------------------------------
 *
 * recommend_rules.c
 *		Association rules: who buys these buys that.
 *
 * Frequent sets of skus by Eclat (Zaki: Scalable Algorithms for Association
 * Mining, 2000): for each set the sorted list of its orders, that of a larger
 * set being the intersection of two.  Sets are walked depth first, rare skus
 * first, so that lists are short and few are kept at once.  A rule has one
 * sku on its right side, as in the R package arules (Hahsler, Gruen, Hornik
 * 2005), whose numbers these are.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "recommend/recommend.h"

PG_FUNCTION_INFO_V1(ecauto_association_rules);

/* longest set, and most sets that are kept */
#define RULE_ITEMS_MAX 30
#define RULE_SETS_MAX 5000000

/* An item with the orders that have it and all of what is before it. */
typedef struct Listed
{
	int			item;			/* rank: 0 is the rarest */
	int			n;
	int		   *order;			/* ascending */
} Listed;

typedef struct Rules
{
	int64		least;			/* orders that a frequent set has */
	int			longest;
	EcNames    *sets;			/* by the bytes of their ranks, ascending */
	int		   *count;			/* by number of the set */
	int64		room;
} Rules;

static void
set_put(Rules *rules, const int *items, int n, int count)
{
	int			number = ec_names_put(rules->sets, (const char *) items, n * sizeof(int));

	if (number >= rules->room)
	{
		rules->room *= 2;
		rules->count = repalloc_huge(rules->count, rules->room * sizeof(int));
	}
	rules->count[number] = count;
	if (number >= RULE_SETS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many sets of skus are frequent"),
				 errdetail("There are more than %d.", RULE_SETS_MAX),
				 errhint("Raise the support or lower the number of items.")));
}

static int
intersect(const Listed *a, const Listed *b, int *out)
{
	int			n = 0;

	for (int i = 0, j = 0; i < a->n && j < b->n;)
	{
		if (a->order[i] < b->order[j])
			i++;
		else if (a->order[i] > b->order[j])
			j++;
		else
		{
			out[n++] = a->order[i];
			i++;
			j++;
		}
	}
	return n;
}

/*
 * All frequent sets that begin with prefix[0 .. depth - 1] and go on with one
 * of list, which holds what is frequent behind it.
 */
static void
eclat(Rules *rules, int *prefix, int depth, const Listed *list, int n)
{
	MemoryContext context;
	MemoryContext old;
	Listed	   *next;

	for (int i = 0; i < n; i++)
	{
		prefix[depth] = list[i].item;
		set_put(rules, prefix, depth + 1, list[i].n);
	}
	if (depth + 1 >= rules->longest)
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "ecauto item sets", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	for (int i = 0; i < n; i++)
	{
		int			count = 0;

		CHECK_FOR_INTERRUPTS();
		next = palloc(n * sizeof(Listed));
		for (int j = i + 1; j < n; j++)
		{
			next[count].order = palloc(Min(list[i].n, list[j].n) * sizeof(int));
			next[count].n = intersect(&list[i], &list[j], next[count].order);
			next[count].item = list[j].item;
			if (next[count].n >= rules->least)
				count++;
			else
				pfree(next[count].order);
		}
		prefix[depth] = list[i].item;
		if (count > 0)
			eclat(rules, prefix, depth + 1, next, count);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

static int
listed_compare(const void *a, const void *b)
{
	const Listed *left = a;
	const Listed *right = b;

	if (left->n != right->n)
		return left->n < right->n ? -1 : 1;
	return (left->item > right->item) - (left->item < right->item);
}

static int
text_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* An argument that is a share. */
static double
share_argument(double value, const char *name, bool zero)
{
	if (!(value <= 1 && (value > 0 || (zero && value == 0))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg(zero ? "%s must be between 0 and 1" : "%s must be above 0 and at most 1", name),
				 errdetail("It is %g.", value)));
	return value;
}

/*
 * ecauto.association_rules(min_support float8, min_confidence float8, max_items integer)
 *		returns table(antecedent text[], consequent text, orders bigint, support float8,
 *		confidence float8, lift float8, conviction float8)
 */
Datum
ecauto_association_rules(PG_FUNCTION_ARGS)
{
	double		support = share_argument(PG_GETARG_FLOAT8(0), "support", false);
	double		confidence = share_argument(PG_GETARG_FLOAT8(1), "confidence", true);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext context = CurrentMemoryContext;
	MemoryContext row_context;
	Rules		rules = {0};
	EcBought   *history;
	const EcBaskets *orders;
	Listed	   *list;
	char	  **names;
	int			prefix[RULE_ITEMS_MAX];
	int			n = 0;
	int64		norders = 0;
	EcAs		as;

	rules.longest = PG_GETARG_INT32(2);
	if (rules.longest < 2 || rules.longest > RULE_ITEMS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of items of a rule must be between 2 and %d", RULE_ITEMS_MAX),
				 errdetail("It is %d.", rules.longest)));
	ec_state_require();
	ec_require_operator("find association rules");
	InitMaterializedSRF(fcinfo, 0);
	ec_progress_begin("association_rules");
	ec_progress_phase("read orders", 0);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	MemoryContextSwitchTo(context);
	PushActiveSnapshot(GetTransactionSnapshot());
	history = ec_history_read(ec_now());
	PopActiveSnapshot();
	ec_as_end(&as);
	SPI_finish();
	MemoryContextSwitchTo(context);

	/* the orders of each sku, in ascending order since they are walked so */
	orders = &history->orders;
	list = palloc0(Max(history->nskus, 1) * sizeof(Listed));
	for (int64 i = 0; i < orders->n; i++)
	{
		const EcBasket *basket = &orders->basket[i];

		norders += basket->n > 0;
		for (int j = 0; j < basket->n; j++)
			list[orders->item[basket->first + j]].n++;
	}
	/* a tenth of 30 orders is 3 of them, whatever the last binary digit says */
	rules.least = Max((int64) ceil(support * norders - 1e-6), 1);
	for (int i = 0; i < history->nskus; i++)
	{
		list[i].item = i;
		list[i].order = list[i].n >= rules.least ? palloc_extended(list[i].n * sizeof(int), MCXT_ALLOC_HUGE) : NULL;
		list[i].n = 0;
	}
	for (int i = 0; i < orders->n; i++)
	{
		const EcBasket *basket = &orders->basket[i];

		for (int j = 0; j < basket->n; j++)
		{
			Listed	   *one = &list[orders->item[basket->first + j]];

			if (one->order != NULL)
				one->order[one->n++] = i;
		}
	}
	for (int i = 0; i < history->nskus; i++)
		if (list[i].order != NULL)
			list[n++] = list[i];
	qsort(list, n, sizeof(Listed), listed_compare);
	names = palloc(Max(n, 1) * sizeof(char *));
	for (int i = 0; i < n; i++)
	{
		const EcName *sku = &history->sku[list[i].item];

		names[i] = pnstrdup(sku->key, sku->len);
		list[i].item = i;
	}

	rules.sets = ec_names_create();
	rules.room = 1024;
	rules.count = palloc(rules.room * sizeof(int));
	ec_progress_phase("frequent sets", n);
	eclat(&rules, prefix, 0, list, n);
	ec_progress_phase("rules", ec_names_count(rules.sets));

	row_context = AllocSetContextCreate(context, "ecauto rules", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(row_context);
	for (int i = 0; i < ec_names_count(rules.sets); i++)
	{
		int			size = ec_names_get(rules.sets, i)->len / sizeof(int);
		int			items[RULE_ITEMS_MAX];
		double		both = rules.count[i];

		if (size < 2)
			continue;
		ec_progress_advance(1);
		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		memcpy(items, ec_names_get(rules.sets, i)->key, size * sizeof(int));
		for (int k = 0; k < size; k++)
		{
			int			rest[RULE_ITEMS_MAX];
			char	   *keys[RULE_ITEMS_MAX];
			Datum		elements[RULE_ITEMS_MAX];
			Datum		values[7];
			bool		nulls[7] = {false};
			double		antecedent;
			double		consequent = list[items[k]].n;
			int			count = 0;

			for (int j = 0; j < size; j++)
				if (j != k)
					rest[count++] = items[j];
			antecedent = rules.count[ec_names_find(rules.sets, (char *) rest, count * sizeof(int))];
			if (both < confidence * antecedent - 1e-9 * antecedent)
				continue;
			for (int j = 0; j < count; j++)
				keys[j] = names[rest[j]];
			qsort(keys, count, sizeof(char *), text_compare);
			for (int j = 0; j < count; j++)
				elements[j] = CStringGetTextDatum(keys[j]);
			values[0] = PointerGetDatum(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT));
			values[1] = CStringGetTextDatum(names[items[k]]);
			values[2] = Int64GetDatum((int64) both);
			values[3] = Float8GetDatum(both / norders);
			values[4] = Float8GetDatum(both / antecedent);
			values[5] = Float8GetDatum(both / antecedent * norders / consequent);
			values[6] = Float8GetDatum(both == antecedent ? get_float8_infinity() :
									   (1 - consequent / norders) / (1 - both / antecedent));
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
			MemoryContextReset(row_context);
		}
	}
	ec_progress_end();
	MemoryContextSwitchTo(context);
	return (Datum) 0;
}

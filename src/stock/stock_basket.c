/*-------------------------------------------------------------------------
 *
 * stock_basket.c
 *		The cheapest suppliers for several items.
 *
 * Each item is bought whole from one supplier.  An order to a supplier costs
 * its goods, and freight unless the goods reach a value, and must reach the
 * supplier's minimum.  So the cheapest supplier of each item need not be part
 * of the cheapest plan: a second order pays freight a second time.
 *
 * 1. Heuristic: several first plans (each item where it is cheapest; as much as
 *    possible from one supplier) are changed as long as that helps: one item
 *    moves; all items of a supplier move to the best of the others, or as many
 *    as can to one other; all items that a supplier sells move to it.
 * 2. Branch and bound: items are given to suppliers in turn, the ones whose
 *    choice matters most first, beginning with that plan as the best known.
 *    A branch ends if what it costs at least, its goods so far, the cheapest
 *    goods of all other items, and the freight that can no longer be
 *    escaped, is not below the best known.  If the search ends within the
 *    steps it is given the plan is exact; if not, the bound of the root says
 *    how far from it the plan can be at most.
 *
 * Sources: A. H. Land, A. G. Doig, An automatic method of solving discrete
 * programming problems, Econometrica 28 (1960); the plant location heuristics
 * "add" and "drop": A. A. Kuehn, M. J. Hamburger, Management Science 9 (1963),
 * E. Feldman et al., Management Science 12 (1966).
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "stock/stock_basket.h"

PG_FUNCTION_INFO_V1(ecauto_basket_solve);

/* amounts closer than this are the same */
#define CENT_PART 1e-7

/* steps of the search, and items times suppliers, that a caller may ask for */
#define MAX_STEPS INT64CONST(1000000000)
#define MAX_CELLS 100000
#define MAX_ITEMS 2000

/* first plans that give one supplier as much as possible */
#define MAX_STARTS 50

typedef struct Search
{
	const EcBasket *basket;
	int		   *order;			/* items, in the order in which they are decided */
	double	   *cheapest;		/* [place]: least goods of the items from there on */
	double	   *potential;		/* [place * suppliers + s]: goods s can still get from place on */
	int		   *choice;			/* of each item, so far */
	int		   *best;
	double		best_total;
	double	   *value;			/* goods of each supplier so far */
	int		   *count;			/* items of each supplier so far */
	int		   *tries;			/* [place * suppliers]: suppliers by goods, ascending */
	int64		steps;			/* left */
} Search;

static inline double
cost(const EcBasket *b, int item, int s)
{
	return b->goods[(Size) item * b->suppliers + s];
}

/* What an order of this value costs; infinity below the minimum. */
static double
order_cost(const EcBasket *b, int s, double value)
{
	if (value < b->minimum[s] - CENT_PART)
		return INFINITY;
	return value + (value >= b->free_from[s] - CENT_PART ? 0 : b->freight[s]);
}

/* What is paid for a plan. */
static double
plan_total(const EcBasket *b, const int *choice)
{
	double	   *value = palloc0(sizeof(double) * b->suppliers);
	bool	   *used = palloc0(sizeof(bool) * b->suppliers);
	double		total = 0;

	for (int i = 0; i < b->items; i++)
	{
		value[choice[i]] += cost(b, i, choice[i]);
		used[choice[i]] = true;
	}
	for (int s = 0; s < b->suppliers; s++)
		if (used[s])
			total += order_cost(b, s, value[s]);
	pfree(value);
	pfree(used);
	return total;
}

/*
 * What an order is worth to the heuristic: a minimum that is missed counts as
 * the amount missing, many times over, so that plans below it lead on.
 */
static double
order_score(const EcBasket *b, int s, double value, int count)
{
	if (count == 0)
		return 0;
	if (value < b->minimum[s] - CENT_PART)
		return value + b->freight[s] + 1000 * (b->minimum[s] - value);
	return order_cost(b, s, value);
}

/* The same of a plan, whose goods and items of each supplier are left in value[] and count[]. */
static double
plan_score(const EcBasket *b, const int *choice, double *value, int *count)
{
	double		score = 0;

	memset(value, 0, sizeof(double) * b->suppliers);
	memset(count, 0, sizeof(int) * b->suppliers);
	for (int i = 0; i < b->items; i++)
	{
		value[choice[i]] += cost(b, i, choice[i]);
		count[choice[i]]++;
	}
	for (int s = 0; s < b->suppliers; s++)
		score += order_score(b, s, value[s], count[s]);
	return score;
}

/* Every item that can be moves to supplier "to"; those of "from" (-1: none) that cannot, to their cheapest other. */
static bool
plan_shift(const EcBasket *b, const int *choice, int from, int to, int *result)
{
	bool		moved = false;

	memcpy(result, choice, sizeof(int) * b->items);
	for (int i = 0; i < b->items; i++)
	{
		if (from >= 0 && choice[i] != from)
			continue;
		if (to >= 0 && !isnan(cost(b, i, to)))
			result[i] = to;
		else if (from >= 0)
		{
			int			other = -1;

			for (int s = 0; s < b->suppliers; s++)
				if (s != from && !isnan(cost(b, i, s)) && (other < 0 || cost(b, i, s) < cost(b, i, other)))
					other = s;
			if (other < 0)
				return false;
			result[i] = other;
		}
		moved |= result[i] != choice[i];
	}
	return moved;
}

/* Move single items while that helps. */
static void
items_improve(const EcBasket *b, int *choice, double *value, int *count)
{
	bool		better = true;

	while (better)
	{
		better = false;
		for (int i = 0; i < b->items; i++)
		{
			CHECK_FOR_INTERRUPTS();
			for (int s = 0; s < b->suppliers; s++)
			{
				int			from = choice[i];
				double		less = cost(b, i, from);
				double		more = cost(b, i, s);

				if (s == from || isnan(more))
					continue;
				if (order_score(b, from, value[from] - less, count[from] - 1) +
					order_score(b, s, value[s] + more, count[s] + 1) <
					order_score(b, from, value[from], count[from]) +
					order_score(b, s, value[s], count[s]) - CENT_PART)
				{
					value[from] -= less;
					count[from]--;
					value[s] += more;
					count[s]++;
					choice[i] = s;
					better = true;
				}
			}
		}
	}
}

/* Improve a plan in place until no change helps; its score. */
static double
plan_improve(const EcBasket *b, int *choice)
{
	int		   *candidate = palloc(sizeof(int) * b->items);
	double	   *value = palloc(sizeof(double) * b->suppliers);
	int		   *count = palloc(sizeof(int) * b->suppliers);
	double		score = plan_score(b, choice, value, count);
	bool		better = true;

	while (better)
	{
		better = false;
		items_improve(b, choice, value, count);
		score = plan_score(b, choice, value, count);
		for (int from = -1; from < b->suppliers && !better; from++)
			for (int to = -1; to < b->suppliers && !better; to++)
			{
				CHECK_FOR_INTERRUPTS();
				if (from == to || (from >= 0 && count[from] == 0) || !plan_shift(b, choice, from, to, candidate))
					continue;
				if (plan_score(b, candidate, value, count) < score - CENT_PART)
				{
					memcpy(choice, candidate, sizeof(int) * b->items);
					better = true;
				}
				else
					score = plan_score(b, choice, value, count);
			}
	}
	pfree(candidate);
	pfree(value);
	pfree(count);
	return score;
}

static void
heuristic(const EcBasket *b, int *result)
{
	int		   *start = palloc(sizeof(int) * b->items);
	int		   *plan = palloc(sizeof(int) * b->items);
	double		best = INFINITY;

	for (int i = 0; i < b->items; i++)
	{
		start[i] = -1;
		for (int s = 0; s < b->suppliers; s++)
			if (!isnan(cost(b, i, s)) && (start[i] < 0 || cost(b, i, s) < cost(b, i, start[i])))
				start[i] = s;
	}
	for (int first = -1; first < Min(b->suppliers, MAX_STARTS); first++)
	{
		double		score;

		memcpy(plan, start, sizeof(int) * b->items);
		if (first >= 0 && !plan_shift(b, start, -1, first, plan))
			continue;
		score = plan_improve(b, plan);
		if (first < 0 || score < best)
		{
			best = score;
			memcpy(result, plan, sizeof(int) * b->items);
		}
	}
	pfree(start);
	pfree(plan);
}

/*
 * Least that any plan costs which begins with the choices before "place":
 * goods, and what freight cannot be escaped: that of suppliers in use whose
 * goods can no longer reach the free value.  Infinity if one in use can no
 * longer reach its minimum.
 */
static double
bound_of(const Search *search, int place)
{
	const EcBasket *b = search->basket;
	const double *potential = search->potential + (Size) place * b->suppliers;
	double		bound = search->cheapest[place];

	for (int s = 0; s < b->suppliers; s++)
	{
		double		most = search->value[s] + potential[s];

		if (search->count[s] == 0)
			continue;
		if (most < b->minimum[s] - CENT_PART)
			return INFINITY;
		bound += search->value[s];
		if (most < b->free_from[s] - CENT_PART)
			bound += b->freight[s];
	}
	return bound;
}

static void
descend(Search *search, int place)
{
	const EcBasket *b = search->basket;
	int			item;

	if (search->steps-- <= 0)
		return;
	if (search->steps % 4096 == 0)
		CHECK_FOR_INTERRUPTS();
	if (place == b->items)
	{
		double		total = plan_total(b, search->choice);

		if (total < search->best_total - CENT_PART)
		{
			search->best_total = total;
			memcpy(search->best, search->choice, sizeof(int) * b->items);
		}
		return;
	}
	item = search->order[place];
	for (int k = 0; k < b->suppliers && search->steps > 0; k++)
	{
		int			s = search->tries[(Size) place * b->suppliers + k];

		if (s < 0)
			break;
		search->choice[item] = s;
		search->value[s] += cost(b, item, s);
		search->count[s]++;
		if (bound_of(search, place + 1) < search->best_total - CENT_PART)
			descend(search, place + 1);
		search->count[s]--;
		search->value[s] = search->count[s] == 0 ? 0 : search->value[s] - cost(b, item, s);
	}
}

/* Order of items, order of suppliers for each, and what bounds need. */
static void
search_prepare(Search *search, const EcBasket *b)
{
	double	   *spread = palloc(sizeof(double) * b->items);
	double	   *least = palloc(sizeof(double) * b->items);

	search->basket = b;
	search->order = palloc(sizeof(int) * b->items);
	search->choice = palloc0(sizeof(int) * b->items);
	search->best = palloc(sizeof(int) * b->items);
	search->value = palloc0(sizeof(double) * b->suppliers);
	search->count = palloc0(sizeof(int) * b->suppliers);
	search->cheapest = palloc0(sizeof(double) * (b->items + 1));
	search->potential = palloc0(sizeof(double) * (Size) (b->items + 1) * b->suppliers);
	search->tries = palloc(sizeof(int) * (Size) b->items * b->suppliers);
	for (int i = 0; i < b->items; i++)
	{
		double		most = 0;

		least[i] = INFINITY;
		for (int s = 0; s < b->suppliers; s++)
			if (!isnan(cost(b, i, s)))
			{
				least[i] = Min(least[i], cost(b, i, s));
				most = Max(most, cost(b, i, s));
			}
		spread[i] = most;
		search->order[i] = i;
	}
	/* the dearest items first: they decide about minimum and freight */
	for (int i = 1; i < b->items; i++)
		for (int k = i; k > 0 && spread[search->order[k]] > spread[search->order[k - 1]]; k--)
		{
			int			swap = search->order[k];

			search->order[k] = search->order[k - 1];
			search->order[k - 1] = swap;
		}
	for (int place = b->items - 1; place >= 0; place--)
	{
		int			item = search->order[place];
		int		   *tries = search->tries + (Size) place * b->suppliers;
		int			n = 0;

		search->cheapest[place] = search->cheapest[place + 1] + least[item];
		for (int s = 0; s < b->suppliers; s++)
		{
			double		goods = cost(b, item, s);

			search->potential[(Size) place * b->suppliers + s] =
				search->potential[(Size) (place + 1) * b->suppliers + s] + (isnan(goods) ? 0 : goods);
			tries[s] = -1;
			if (!isnan(goods))
			{
				int			k = n++;

				for (; k > 0 && cost(b, item, tries[k - 1]) > goods; k--)
					tries[k] = tries[k - 1];
				tries[k] = s;
			}
		}
	}
	pfree(spread);
	pfree(least);
}

/* What any plan costs at least: the cheapest goods, and the freight of one order if none can escape it. */
static double
root_bound(const Search *search)
{
	const EcBasket *b = search->basket;
	double		freight = INFINITY;

	for (int s = 0; s < b->suppliers; s++)
		freight = Min(freight, search->potential[s] < b->free_from[s] - CENT_PART ? b->freight[s] : 0);
	return search->cheapest[0] + (isinf(freight) ? 0 : freight);
}

/*
 * Find the cheapest plan, with at most so many steps of the exact search.
 * plan->supplier is allocated in the current context.  Every item must be sold
 * by somebody.  Infinity as total: no plan keeps all minimums (if exact), or
 * none was found.
 */
void
ec_basket_solve(const EcBasket *basket, int64 steps, EcBasketPlan *plan)
{
	Search		search = {0};

	search_prepare(&search, basket);
	heuristic(basket, search.best);
	search.best_total = plan_total(basket, search.best);
	search.steps = steps;
	plan->bound = root_bound(&search);
	if (basket->items > 0)
		descend(&search, 0);
	else
		search.best_total = 0;
	plan->supplier = search.best;
	plan->total = search.best_total;
	plan->exact = search.steps > 0;
	if (plan->exact)
		plan->bound = plan->total;
}

/* An array of float8 of the wanted length; NULL becomes "missing". */
static double *
amounts(ArrayType *array, int n, double missing, const char *name)
{
	Datum	   *elements;
	bool	   *nulls;
	double	   *result;
	int			has;

	deconstruct_array(array, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements, &nulls, &has);
	if (has != n)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("array \"%s\" must have %d elements", name, n),
				 errdetail("It has %d.", has)));
	result = palloc(sizeof(double) * Max(1, n));
	for (int i = 0; i < n; i++)
	{
		result[i] = nulls[i] ? missing : DatumGetFloat8(elements[i]);
		if (!nulls[i] && !(result[i] >= 0 && result[i] <= 1e15))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("amounts must be between 0 and 1e15"),
					 errdetail("Element %d of array \"%s\" is %g.", i + 1, name, result[i])));
	}
	return result;
}

/*
 * ecauto.basket_solve(items int, goods float8[], freight float8[], free_from float8[], minimum float8[], steps bigint)
 * returns (supplier int[], total float8, bound float8, exact boolean); strict
 *
 * goods has the suppliers of the first item, then those of the second, and so on.
 */
Datum
ecauto_basket_solve(PG_FUNCTION_ARGS)
{
	EcBasket	basket = {0};
	EcBasketPlan plan;
	TupleDesc	desc;
	ArrayType  *freight = PG_GETARG_ARRAYTYPE_P(2);
	int64		steps = PG_GETARG_INT64(5);
	Datum		values[4];
	bool		nulls[4] = {false};
	Datum	   *chosen;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	basket.items = PG_GETARG_INT32(0);
	basket.suppliers = ArrayGetNItems(ARR_NDIM(freight), ARR_DIMS(freight));
	if (basket.items < 0 || basket.items > MAX_ITEMS || steps < 1 || steps > MAX_STEPS ||
		(int64) basket.items * Max(1, basket.suppliers) > MAX_CELLS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a basket must have at most %d items, %d items times suppliers, and 1 to %lld steps to search",
						MAX_ITEMS, MAX_CELLS, (long long) MAX_STEPS)));
	basket.goods = amounts(PG_GETARG_ARRAYTYPE_P(1), basket.items * basket.suppliers, NAN, "goods");
	basket.freight = amounts(freight, basket.suppliers, 0, "freight");
	basket.free_from = amounts(PG_GETARG_ARRAYTYPE_P(3), basket.suppliers, INFINITY, "free_from");
	basket.minimum = amounts(PG_GETARG_ARRAYTYPE_P(4), basket.suppliers, 0, "minimum");
	for (int i = 0; i < basket.items; i++)
	{
		bool		sold = false;

		for (int s = 0; s < basket.suppliers; s++)
			sold |= !isnan(cost(&basket, i, s));
		if (!sold)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("nobody sells item %d", i + 1)));
	}
	ec_basket_solve(&basket, steps, &plan);

	chosen = palloc(sizeof(Datum) * Max(1, basket.items));
	for (int i = 0; i < basket.items; i++)
		chosen[i] = Int32GetDatum(plan.supplier[i] + 1);
	values[0] = PointerGetDatum(construct_array(chosen, basket.items, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	values[1] = Float8GetDatum(plan.total);
	nulls[0] = nulls[1] = isinf(plan.total);
	values[2] = Float8GetDatum(plan.bound);
	nulls[2] = isinf(plan.bound);
	values[3] = BoolGetDatum(plan.exact);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

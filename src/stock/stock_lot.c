/*-------------------------------------------------------------------------
 *
 * stock_lot.c
 *		How much to order at a time where demand is known: economic quantities
 *		with backorders, price breaks and a rate of production, several items
 *		that share the cost of an order, and demand that differs by period.
 *
 * Sources: F. W. Harris, How many parts to make at once, 1913; L. V. Snyder,
 * Z.-J. M. Shen, Fundamentals of Supply Chain Theory, 2nd edition, 2019,
 * chapter 3; E. A. Silver, A simple method of determining order quantities in
 * joint replenishments under deterministic demand, Management Science 22, 1976;
 * H. M. Wagner, T. M. Whitin, Dynamic version of the economic lot size model,
 * Management Science 5, 1958.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"

#include "stock/stock_inventory.h"

PG_FUNCTION_INFO_V1(ecauto_eoq);
PG_FUNCTION_INFO_V1(ecauto_eoq_backorders);
PG_FUNCTION_INFO_V1(ecauto_eoq_discounts);
PG_FUNCTION_INFO_V1(ecauto_epq);
PG_FUNCTION_INFO_V1(ecauto_joint_replenishment);
PG_FUNCTION_INFO_V1(ecauto_wagner_whitin);
PG_FUNCTION_INFO_V1(ecauto_wagner_whitin_periods);

/* a look at all pairs of them */
#define MAX_PERIODS 10000

/* ---- arrays ---- */

/*
 * Numbers of argument n, an array without NULL; error unless there are "want"
 * of them (0: as many as there are), and each is from zero on.
 */
static double *
numbers(FunctionCallInfo fcinfo, int n, const char *name, bool above_zero, int want, int *count)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(n);
	double	   *values = (double *) ARR_DATA_PTR(array);

	*count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	if (ARR_HASNULL(array) || ARR_NDIM(array) > 1 || *count == 0 || (want > 0 && *count != want))
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("%s must be an array of one dimension without NULL, not empty, as long as the others", name),
				 want > 0 ? errdetail("It has %d elements instead of %d.", *count, want)
				 : errdetail("It has %d elements.", *count)));
	for (int i = 0; i < *count; i++)
		(void) ec_inventory_amount(values[i], name, above_zero);
	return values;
}

static Datum
float_array(const double *values, int n)
{
	Datum	   *items = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
		items[i] = Float8GetDatum(values[i]);
	return PointerGetDatum(construct_array(items, n, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static Datum
integer_array(const int *values, int n)
{
	Datum	   *items = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
		items[i] = Int32GetDatum(values[i]);
	return PointerGetDatum(construct_array(items, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

static Datum
row(FunctionCallInfo fcinfo, Datum *values)
{
	static bool nulls[8];		/* none is */
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* What was asked for is beyond what numbers hold. */
static void
out_of_range(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("%s is out of range", name)));
}

/* ---- economic quantities ---- */

/*
 * ecauto.eoq(fixed_cost float8, holding_cost float8, demand float8, quantity float8,
 *		OUT order_quantity float8, OUT cost float8)
 */
Datum
ecauto_eoq(PG_FUNCTION_ARGS)
{
	double		values[2];
	double		k;
	double		h;
	double		d;

	if (ec_inventory_missing(fcinfo, 3))
		PG_RETURN_NULL();
	k = ec_inventory_number(fcinfo, 0, "fixed_cost", true);
	h = ec_inventory_number(fcinfo, 1, "holding_cost", true);
	d = ec_inventory_number(fcinfo, 2, "demand", true);
	values[0] = PG_ARGISNULL(3) ? sqrt(2 * k * d / h) : ec_inventory_number(fcinfo, 3, "quantity", true);
	values[1] = k * d / values[0] + h * values[0] / 2;
	return ec_inventory_row(fcinfo, values, 2);
}

/*
 * ecauto.eoq_backorders(fixed_cost float8, holding_cost float8, stockout_cost float8, demand float8,
 *		quantity float8, fraction float8,
 *		OUT order_quantity float8, OUT stockout_fraction float8, OUT cost float8)
 */
Datum
ecauto_eoq_backorders(PG_FUNCTION_ARGS)
{
	double		values[3];
	double		k;
	double		h;
	double		p;
	double		d;

	if (ec_inventory_missing(fcinfo, 4))
		PG_RETURN_NULL();
	k = ec_inventory_number(fcinfo, 0, "fixed_cost", true);
	h = ec_inventory_number(fcinfo, 1, "holding_cost", true);
	p = ec_inventory_number(fcinfo, 2, "stockout_cost", true);
	d = ec_inventory_number(fcinfo, 3, "demand", true);
	values[0] = PG_ARGISNULL(4) ? sqrt(2 * k * d / h * (1 + h / p)) : ec_inventory_number(fcinfo, 4, "quantity", true);
	values[1] = PG_ARGISNULL(5) ? h / (h + p) : ec_inventory_number(fcinfo, 5, "fraction", false);
	if (values[1] > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("fraction must be at most 1"),
				 errdetail("It is %g.", values[1])));
	values[2] = k * d / values[0] + values[0] / 2 * (h * (1 - values[1]) * (1 - values[1]) + p * values[1] * values[1]);
	return ec_inventory_row(fcinfo, values, 3);
}

/*
 * ecauto.epq(fixed_cost float8, holding_cost float8, demand float8, production float8, quantity float8,
 *		OUT order_quantity float8, OUT cost float8)
 */
Datum
ecauto_epq(PG_FUNCTION_ARGS)
{
	double		values[2];
	double		k;
	double		h;
	double		d;
	double		rate;

	if (ec_inventory_missing(fcinfo, 4))
		PG_RETURN_NULL();
	k = ec_inventory_number(fcinfo, 0, "fixed_cost", true);
	h = ec_inventory_number(fcinfo, 1, "holding_cost", true);
	d = ec_inventory_number(fcinfo, 2, "demand", true);
	rate = ec_inventory_number(fcinfo, 3, "production", true);
	if (rate <= d)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("production must be faster than demand"),
				 errdetail("Production is %g, demand %g.", rate, d)));
	/* while it is made, some is sold */
	h *= 1 - d / rate;
	values[0] = PG_ARGISNULL(4) ? sqrt(2 * k * d / h) : ec_inventory_number(fcinfo, 4, "quantity", true);
	values[1] = k * d / values[0] + h * values[0] / 2;
	return ec_inventory_row(fcinfo, values, 2);
}

/*
 * ecauto.eoq_discounts(fixed_cost float8, holding_rate float8, demand float8, breaks float8[], prices float8[],
 *		incremental boolean, OUT order_quantity float8, OUT tier integer, OUT unit_price float8, OUT cost float8); strict
 *
 * The quantity is that of the cheapest tier: where its own economic quantity is
 * below the tier, and the price holds for all units, its least quantity; if the
 * price is that of the units from there on only, tiers whose quantity is outside
 * of them are never best.
 */
Datum
ecauto_eoq_discounts(PG_FUNCTION_ARGS)
{
	double		k = ec_inventory_number(fcinfo, 0, "fixed_cost", true);
	double		rate = ec_inventory_number(fcinfo, 1, "holding_rate", true);
	double		d = ec_inventory_number(fcinfo, 2, "demand", true);
	bool		incremental = PG_GETARG_BOOL(5);
	double		best = INFINITY;
	double		quantity = 0;
	double		below = 0;		/* what all units before this tier cost more than at its price */
	int			tier = 0;
	int			n;
	double	   *breaks = numbers(fcinfo, 3, "breaks", false, 0, &n);
	double	   *prices = numbers(fcinfo, 4, "prices", true, n, &n);
	Datum		values[4];

	for (int i = 1; i < n; i++)
		if (breaks[i] <= breaks[i - 1] || prices[i] >= prices[i - 1])
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("breaks must ascend, and prices fall"),
					 errdetail("A price of %g from %g on comes after %g from %g on.", prices[i], breaks[i],
							   prices[i - 1], breaks[i - 1])));
	for (int i = 0; i < n; i++)
	{
		double		c = prices[i];
		double		q;
		double		cost;

		if (incremental && i > 0)
			below += (prices[i - 1] - c) * breaks[i];
		q = sqrt(2 * (k + below) * d / (rate * c));
		if (i + 1 < n && q >= breaks[i + 1])
			continue;			/* at that quantity, the next price holds */
		if (incremental && i > 0 && q < breaks[i])
			continue;			/* the tier before is cheaper at any quantity of this one */
		if (!incremental)
			q = Max(q, breaks[i]);
		cost = c * d + rate * below / 2 + (k + below) * d / q + rate * c * q / 2;
		if (cost < best)
		{
			best = cost;
			quantity = q;
			tier = i;
		}
	}
	if (isinf(best))
		out_of_range("cost");
	values[0] = Float8GetDatum(quantity);
	values[1] = Int32GetDatum(tier + 1);
	values[2] = Float8GetDatum(prices[tier]);
	values[3] = Float8GetDatum(best);
	return row(fcinfo, values);
}

/*
 * ecauto.joint_replenishment(shared_cost float8, fixed_costs float8[], holding_costs float8[], demands float8[],
 *		OUT order_quantities float8[], OUT multiples integer[], OUT cycle float8, OUT cost float8); strict
 *
 * Silver's heuristic: the item that wants to be ordered most often is in each
 * order, and every other in each m-th.
 */
Datum
ecauto_joint_replenishment(PG_FUNCTION_ARGS)
{
	double		shared = ec_inventory_number(fcinfo, 0, "shared_cost", false);
	int			n;
	double	   *k = numbers(fcinfo, 1, "fixed_costs", true, 0, &n);
	double	   *h = numbers(fcinfo, 2, "holding_costs", true, n, &n);
	double	   *d = numbers(fcinfo, 3, "demands", true, n, &n);
	double	   *quantities = palloc(sizeof(double) * n);
	int		   *multiples = palloc(sizeof(int) * n);
	double		ordering = shared;
	double		holding = 0;
	double		cycle;
	int			first = 0;
	Datum		values[4];

	for (int i = 1; i < n; i++)
		if (k[i] / (h[i] * d[i]) < k[first] / (h[first] * d[first]))
			first = i;
	for (int i = 0; i < n; i++)
	{
		double		m = sqrt(k[i] / (h[i] * d[i]) * (h[first] * d[first] / (shared + k[first])));

		if (i != first && !isfinite(m))
			out_of_range("cycle");
		multiples[i] = i == first ? 1 : (int) Max(1, Min(1e9, rint(m)));
		ordering += k[i] / multiples[i];
		holding += h[i] * d[i] * multiples[i];
	}
	cycle = sqrt(2 * ordering / holding);
	if (!isfinite(cycle))
		out_of_range("cycle");
	if (!isfinite(ordering * holding))
		out_of_range("cost");
	for (int i = 0; i < n; i++)
		quantities[i] = multiples[i] * d[i] * cycle;
	values[0] = float_array(quantities, n);
	values[1] = integer_array(multiples, n);
	values[2] = Float8GetDatum(cycle);
	values[3] = Float8GetDatum(sqrt(2 * ordering * holding));
	return row(fcinfo, values);
}

/* ---- demand by period ---- */

/*
 * The cheapest plan for demand of n periods, by dynamic programming from the
 * last to the first: what is ordered in a period lasts until the one before
 * the next order.  Costs have "step" 0 where they are the same in all periods,
 * else 1.
 */
static Datum
wagner_whitin(FunctionCallInfo fcinfo, int n, const double *demand, int demand_step,
			  const double *fixed, int fixed_step, const double *holding, int holding_step,
			  const double *price, int price_step)
{
	double	   *least = palloc0(sizeof(double) * (n + 1));	/* cost from this period on */
	double	   *orders = palloc0(sizeof(double) * n);
	int		   *next = palloc(sizeof(int) * n);
	Datum		values[3];

	for (int t = n - 1; t >= 0; t--)
	{
		double		units = 0;
		double		carried = 0;	/* cost of keeping what is ordered now */
		double		keep = 0;		/* of a unit from now to period s */

		CHECK_FOR_INTERRUPTS();
		least[t] = INFINITY;
		for (int s = t; s < n; s++)
		{
			double		cost;

			units += demand[s * demand_step];
			carried += keep * demand[s * demand_step];
			keep += holding[s * holding_step];
			/* nothing is ordered where nothing is needed */
			cost = least[s + 1] + carried + (units > 0 ? fixed[t * fixed_step] + price[t * price_step] * units : 0);
			if (cost < least[t])
			{
				least[t] = cost;
				next[t] = s + 2;	/* counted from 1 */
			}
		}
	}
	for (int t = 0; t < n; t = next[t] - 1)
		for (int s = t; s < next[t] - 1; s++)
			orders[t] += demand[s * demand_step];
	if (isinf(least[0]))
		out_of_range("cost");
	values[0] = float_array(orders, n);
	values[1] = integer_array(next, n);
	values[2] = Float8GetDatum(least[0]);
	return row(fcinfo, values);
}

static void
check_periods(int n)
{
	if (n > MAX_PERIODS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("there are too many periods"),
				 errdetail("There are %d, at most %d are planned.", n, MAX_PERIODS)));
}

/*
 * ecauto.wagner_whitin(demand float8[], fixed_cost float8, holding_cost float8, purchase_cost float8,
 *		OUT order_quantities float8[], OUT next_order integer[], OUT cost float8); strict
 */
Datum
ecauto_wagner_whitin(PG_FUNCTION_ARGS)
{
	int			n;
	double	   *demand = numbers(fcinfo, 0, "demand", false, 0, &n);
	double		fixed = ec_inventory_number(fcinfo, 1, "fixed_cost", false);
	double		holding = ec_inventory_number(fcinfo, 2, "holding_cost", false);
	double		price = ec_inventory_number(fcinfo, 3, "purchase_cost", false);

	check_periods(n);
	return wagner_whitin(fcinfo, n, demand, 1, &fixed, 0, &holding, 0, &price, 0);
}

/*
 * ecauto.wagner_whitin(demand float8[], fixed_costs float8[], holding_costs float8[], purchase_costs float8[],
 *		OUT order_quantities float8[], OUT next_order integer[], OUT cost float8)
 */
Datum
ecauto_wagner_whitin_periods(PG_FUNCTION_ARGS)
{
	int			n;
	double	   *demand;
	double	   *fixed;
	double	   *holding;
	double	   *price;
	double		nothing = 0;

	if (ec_inventory_missing(fcinfo, 3))
		PG_RETURN_NULL();
	demand = numbers(fcinfo, 0, "demand", false, 0, &n);
	check_periods(n);
	fixed = numbers(fcinfo, 1, "fixed_costs", false, n, &n);
	holding = numbers(fcinfo, 2, "holding_costs", false, n, &n);
	price = PG_ARGISNULL(3) ? &nothing : numbers(fcinfo, 3, "purchase_costs", false, n, &n);
	return wagner_whitin(fcinfo, n, demand, 1, fixed, 1, holding, 1, price, PG_ARGISNULL(3) ? 0 : 1);
}

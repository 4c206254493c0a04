/*-------------------------------------------------------------------------
 *
 * stock_newsvendor.c
 *		How much to have for one season: the newsvendor's question.
 *
 * What is left over costs h a unit, what is missing p.  The cost is least at
 * the stock that demand does not exceed with probability p / (p + h), the
 * critical ratio; in whole units, the first at which it is reached.  Source:
 * K. J. Arrow, T. Harris, J. Marschak, Optimal inventory policy, 1951; L. V.
 * Snyder, Z.-J. M. Shen, Fundamentals of Supply Chain Theory, 2nd edition,
 * 2019, sections 4.3 and 4.4.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"

#include "stock/stock_forecast.h"
#include "stock/stock_inventory.h"

PG_FUNCTION_INFO_V1(ecauto_newsvendor);
PG_FUNCTION_INFO_V1(ecauto_newsvendor_sizes);
PG_FUNCTION_INFO_V1(ecauto_newsvendor_profit);
PG_FUNCTION_INFO_V1(ecauto_newsvendor_myopic);

/* Cost of a stock of x at the end of the time of the demand. */
double
ec_stock_cost(const EcDemand *demand, double x, double holding_cost, double stockout_cost)
{
	EcLoss		loss;

	ec_loss(demand, x, &loss);
	return holding_cost * loss.leftover + stockout_cost * loss.shortage;
}

/* The critical ratio; error unless it is between 0 and 1. */
static double
critical_ratio(double under, double over)
{
	double		ratio = under / (under + over);

	if (!(under > 0 && over > 0 && ratio > 0 && ratio < 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a unit too few and a unit too many must both cost something"),
				 errdetail("Too few costs %g, too many %g.", under, over)));
	return ratio;
}

/* The stock that is asked about: argument n, or (NULL) the best one. */
static double
stock_of(FunctionCallInfo fcinfo, int n, const EcDemand *demand, double ratio)
{
	double		x;

	if (PG_ARGISNULL(n))
		return ec_demand_level(demand, ratio);
	x = PG_GETARG_FLOAT8(n);
	ec_inventory_amount(fabs(x), "size of stock", false);
	if (ec_demand_is_discrete(demand) && x != floor(x))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("stock must be a whole number where demand is in whole units"),
				 errdetail("It is %g.", x)));
	return x;
}

/*
 * ecauto.newsvendor(holding_cost float8, stockout_cost float8, mean float8, sd float8, lead_time float8,
 *		distribution text, stock float8, OUT base_stock float8, OUT critical_ratio float8, OUT cost float8)
 */
Datum
ecauto_newsvendor(PG_FUNCTION_ARGS)
{
	EcDemand	demand;
	EcDemand	sum;
	double		values[3];
	double		h;
	double		p;

	if (ec_inventory_missing(fcinfo, 3))
		PG_RETURN_NULL();
	h = ec_inventory_number(fcinfo, 0, "holding_cost", true);
	p = ec_inventory_number(fcinfo, 1, "stockout_cost", true);
	ec_demand_arguments(fcinfo, 2, 3, 5, &demand);
	ec_demand_over(&demand, 1 + (PG_ARGISNULL(4) ? 0 : ec_inventory_number(fcinfo, 4, "lead_time", false)), &sum);
	values[1] = critical_ratio(p, h);
	values[0] = stock_of(fcinfo, 6, &sum, values[1]);
	values[2] = ec_stock_cost(&sum, values[0], h, p);
	return ec_inventory_row(fcinfo, values, 3);
}

typedef struct Outcome
{
	double		units;
	double		probability;
} Outcome;

static int
size_compare(const void *a, const void *b)
{
	double		x = ((const Outcome *) a)->units;
	double		y = ((const Outcome *) b)->units;

	return x < y ? -1 : x > y ? 1 : 0;
}

/*
 * ecauto.newsvendor(holding_cost float8, stockout_cost float8, sizes float8[], probabilities float8[],
 *		stock float8, OUT base_stock float8, OUT critical_ratio float8, OUT cost float8)
 *
 * Demand that was seen, or that somebody expects: so many units with such a
 * probability, or (NULL) all equally likely.
 */
Datum
ecauto_newsvendor_sizes(PG_FUNCTION_ARGS)
{
	double		values[3];
	double		h;
	double		p;
	double		total = 0;
	double		sum = 0;
	Outcome    *sizes;
	ArrayType  *units;
	ArrayType  *weights = NULL;
	int			n;
	int			best;

	if (ec_inventory_missing(fcinfo, 3))
		PG_RETURN_NULL();
	h = ec_inventory_number(fcinfo, 0, "holding_cost", true);
	p = ec_inventory_number(fcinfo, 1, "stockout_cost", true);
	values[1] = critical_ratio(p, h);
	units = PG_GETARG_ARRAYTYPE_P(2);
	n = ArrayGetNItems(ARR_NDIM(units), ARR_DIMS(units));
	if (!PG_ARGISNULL(3))
		weights = PG_GETARG_ARRAYTYPE_P(3);
	if (n == 0 || ARR_NDIM(units) > 1 || ARR_HASNULL(units) ||
		(weights != NULL && (ARR_NDIM(weights) != 1 || ARR_DIMS(weights)[0] != n || ARR_HASNULL(weights))))
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("sizes of demand must be an array that is not empty, and probabilities one of the same length"),
				 errhint("Without probabilities, all sizes are equally likely.")));
	sizes = palloc(sizeof(Outcome) * n);
	for (int i = 0; i < n; i++)
	{
		sizes[i].units = ec_inventory_amount(((double *) ARR_DATA_PTR(units))[i], "size of demand", false);
		sizes[i].probability = weights == NULL ? 1.0 / n
			: ec_inventory_amount(((double *) ARR_DATA_PTR(weights))[i], "probability", false);
		total += sizes[i].probability;
	}
	if (fabs(total - 1) > 1e-6)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("probabilities must sum to 1"),
				 errdetail("They sum to %g.", total)));
	qsort(sizes, n, sizeof(Outcome), size_compare);
	for (best = 0; best < n - 1; best++)
	{
		sum += sizes[best].probability;
		/* what is 1/3 three times is not less than 1 for the way it was added up */
		if (sum / total >= values[1] - 1e-12)
			break;
	}
	values[0] = sizes[best].units;
	if (!PG_ARGISNULL(4))
		values[0] = PG_GETARG_FLOAT8(4);
	ec_inventory_amount(fabs(values[0]), "size of stock", false);
	values[2] = 0;
	for (int i = 0; i < n; i++)
	{
		double		more = values[0] - sizes[i].units;

		values[2] += sizes[i].probability / total * (more > 0 ? h * more : -p * more);
	}
	return ec_inventory_row(fcinfo, values, 3);
}

/*
 * ecauto.newsvendor_profit(revenue float8, purchase_cost float8, salvage_value float8, mean float8, sd float8,
 *		holding_cost float8, stockout_cost float8, distribution text, stock float8,
 *		OUT base_stock float8, OUT critical_ratio float8, OUT profit float8)
 */
Datum
ecauto_newsvendor_profit(PG_FUNCTION_ARGS)
{
	EcDemand	demand;
	double		values[3];
	double		revenue;
	double		cost;
	double		over;
	double		under;

	if (ec_inventory_missing(fcinfo, 4))
		PG_RETURN_NULL();
	revenue = ec_inventory_number(fcinfo, 0, "revenue", false);
	cost = ec_inventory_number(fcinfo, 1, "purchase_cost", false);
	over = cost - ec_inventory_number(fcinfo, 2, "salvage_value", false) +
		(PG_ARGISNULL(5) ? 0 : ec_inventory_number(fcinfo, 5, "holding_cost", false));
	under = revenue - cost + (PG_ARGISNULL(6) ? 0 : ec_inventory_number(fcinfo, 6, "stockout_cost", false));
	ec_demand_arguments(fcinfo, 3, 4, 7, &demand);
	values[1] = critical_ratio(under, over);
	values[0] = stock_of(fcinfo, 8, &demand, values[1]);
	values[2] = (revenue - cost) * demand.mean - ec_stock_cost(&demand, values[0], over, under);
	return ec_inventory_row(fcinfo, values, 3);
}

/*
 * ecauto.newsvendor_myopic(holding_cost float8, stockout_cost float8, purchase_cost float8,
 *		next_purchase_cost float8, mean float8, sd float8, discount float8, distribution text, stock float8,
 *		OUT base_stock float8, OUT critical_ratio float8, OUT cost float8)
 *
 * As if what is left were sold at the next price: Snyder, Shen, section 4.5.3.
 */
Datum
ecauto_newsvendor_myopic(PG_FUNCTION_ARGS)
{
	EcDemand	demand;
	double		values[3];
	double		h;
	double		p;
	double		cost;
	double		next;

	if (ec_inventory_missing(fcinfo, 5))
		PG_RETURN_NULL();
	h = ec_inventory_number(fcinfo, 0, "holding_cost", true);
	p = ec_inventory_number(fcinfo, 1, "stockout_cost", true);
	cost = ec_inventory_number(fcinfo, 2, "purchase_cost", false);
	next = ec_inventory_number(fcinfo, 3, "next_purchase_cost", false);
	ec_demand_arguments(fcinfo, 4, 5, 7, &demand);
	if (!PG_ARGISNULL(6))
	{
		if (!(PG_GETARG_FLOAT8(6) > 0 && PG_GETARG_FLOAT8(6) <= 1))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("discount must be above 0 and at most 1"),
					 errdetail("It is %g.", PG_GETARG_FLOAT8(6))));
		next *= PG_GETARG_FLOAT8(6);
	}
	values[1] = critical_ratio(p - cost + next, h + cost - next);
	values[0] = stock_of(fcinfo, 8, &demand, values[1]);
	values[2] = cost * values[0] + ec_stock_cost(&demand, values[0], h, p) - next * (values[0] - demand.mean);
	return ec_inventory_row(fcinfo, values, 3);
}

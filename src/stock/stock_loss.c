/*-------------------------------------------------------------------------
 *
 * stock_loss.c
 *		Loss functions: what demand exceeds a stock by, or leaves of it, in the
 *		mean; for normal, Poisson, negative binomial, gamma, exponential and
 *		lognormal demand.  And what the functions of inventory models share:
 *		their arguments and their rows.
 *
 * Source: L. V. Snyder, Z.-J. M. Shen, Fundamentals of Supply Chain Theory,
 * 2nd edition, 2019, appendix C.3.  Each distribution is told by its mean and
 * its standard deviation; the partial moments E[X; X > x] and E[X^2; X > x] are
 * probabilities of the same distribution with other parameters:
 *
 *		gamma (a, b)		E[X; X > x] = a b P(a + 1), second a (a + 1) b^2 P(a + 2)
 *		negative binomial	the same with factorial moments, Poisson its limit
 *		lognormal			the logarithm's mean moves by once or twice its variance
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "stock/stock_forecast.h"
#include "stock/stock_inventory.h"

PG_FUNCTION_INFO_V1(ecauto_loss_function);

/* beyond these, demand is as good as normal, and the incomplete functions take long */
#define LARGE_MEAN 1e9
#define LARGE_RATIO 1e5

static const struct
{
	const char *name;
	EcDemandKind kind;
}			kinds[] = {
	{"normal", EC_DEMAND_NORMAL},
	{"poisson", EC_DEMAND_POISSON},
	{"negbin", EC_DEMAND_NEGBIN},
	{"gamma", EC_DEMAND_GAMMA},
	{"exponential", EC_DEMAND_EXPONENTIAL},
	{"lognormal", EC_DEMAND_LOGNORMAL}
};

/* ---- arguments and rows ---- */

/* A value that was given as "name": error unless it is a number from zero on (or above it). */
double
ec_inventory_amount(double value, const char *name, bool above_zero)
{
	if (!(value >= 0 && value <= EC_INVENTORY_MAX) || (above_zero && value == 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 above_zero ? errmsg("%s must be a number above zero and at most %g", name, EC_INVENTORY_MAX)
				 : errmsg("%s must be a number from zero to %g", name, EC_INVENTORY_MAX),
				 errdetail("It is %g.", value)));
	return value;
}

/* Argument n, not NULL. */
double
ec_inventory_number(FunctionCallInfo fcinfo, int n, const char *name, bool above_zero)
{
	return ec_inventory_amount(PG_GETARG_FLOAT8(n), name, above_zero);
}

/* Is one of the first n arguments NULL? */
bool
ec_inventory_missing(FunctionCallInfo fcinfo, int n)
{
	for (int i = 0; i < n; i++)
		if (PG_ARGISNULL(i))
			return true;
	return false;
}

/* The row of a function all of whose columns are float8; NaN becomes NULL. */
Datum
ec_inventory_row(FunctionCallInfo fcinfo, const double *values, int n)
{
	TupleDesc	desc;
	Datum		columns[8];
	bool		nulls[8];

	Assert(n <= lengthof(columns));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != n)
		elog(ERROR, "return type must be a row type of %d columns", n);
	for (int i = 0; i < n; i++)
	{
		if (isinf(values[i]))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("%s is out of range", NameStr(TupleDescAttr(desc, i)->attname))));
		nulls[i] = isnan(values[i]);
		columns[i] = Float8GetDatum(values[i]);
	}
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), columns, nulls));
}

/*
 * Demand from arguments: mean, standard deviation (NULL: not given) and name
 * of the distribution (NULL, or place -1: normal, without a deviation Poisson).
 */
void
ec_demand_arguments(FunctionCallInfo fcinfo, int mean, int sd, int distribution, EcDemand *demand)
{
	bool		given = !PG_ARGISNULL(sd);
	bool		known = false;

	demand->mean = ec_inventory_number(fcinfo, mean, "mean", false);
	demand->sd = given ? ec_inventory_number(fcinfo, sd, "sd", false) : NAN;
	demand->kind = given ? EC_DEMAND_NORMAL : EC_DEMAND_POISSON;
	if (distribution >= 0 && !PG_ARGISNULL(distribution))
	{
		char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(distribution));

		for (int i = 0; i < lengthof(kinds); i++)
			if (strcmp(kinds[i].name, name) == 0)
			{
				demand->kind = kinds[i].kind;
				known = true;
			}
		if (!known)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("distribution \"%s\" does not exist", name),
					 errhint("It is normal, poisson, negbin, gamma, exponential or lognormal.")));
	}
	if (demand->kind == EC_DEMAND_POISSON || demand->kind == EC_DEMAND_EXPONENTIAL)
	{
		double		implied = demand->kind == EC_DEMAND_POISSON ? sqrt(demand->mean) : demand->mean;

		if (given && fabs(demand->sd - implied) > 1e-6 * Max(1, implied))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a %s distribution has no sd of its own",
							demand->kind == EC_DEMAND_POISSON ? "poisson" : "exponential"),
					 errdetail("At a mean of %g it is %g, not %g.", demand->mean, implied, demand->sd)));
		demand->sd = implied;
	}
	else if (!given)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sd is needed for this distribution"),
				 errhint("Only poisson and exponential demand are told by their mean.")));
	else if (demand->kind == EC_DEMAND_NEGBIN && demand->sd * demand->sd < demand->mean * (1 - 1e-9))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("negative binomial demand varies at least as much as poisson demand"),
				 errdetail("The sd is %g, the square root of the mean %g.", demand->sd, sqrt(demand->mean)),
				 errhint("Use distribution normal.")));
	if (demand->kind != EC_DEMAND_NORMAL && demand->kind != EC_DEMAND_LOGNORMAL &&
		(demand->mean > LARGE_MEAN || demand->mean / demand->sd > LARGE_RATIO))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("demand is too large, or varies too little, for this distribution"),
				 errdetail("The mean is %g, the sd %g.", demand->mean, demand->sd),
				 errhint("Use distribution normal, from which it cannot be told apart.")));
	if (demand->mean == 0 && demand->kind != EC_DEMAND_NORMAL && demand->sd > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("demand that is never negative and has a mean of zero has no sd"),
				 errdetail("The sd is %g.", demand->sd)));
}

/* ---- distributions ---- */

/* Demand in whole units? */
bool
ec_demand_is_discrete(const EcDemand *demand)
{
	return demand->kind == EC_DEMAND_POISSON || demand->kind == EC_DEMAND_NEGBIN;
}

/* Demand over so many times ("times" may be a fraction), one independent of the other. */
void
ec_demand_over(const EcDemand *demand, double times, EcDemand *sum)
{
	if (demand->kind == EC_DEMAND_LOGNORMAL && times != 1)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("sums of lognormal demand are not lognormal"),
				 errhint("Give mean and sd of the whole time, or use distribution gamma.")));
	sum->kind = demand->kind == EC_DEMAND_EXPONENTIAL && times != 1 ? EC_DEMAND_GAMMA : demand->kind;
	sum->mean = demand->mean * times;
	sum->sd = demand->sd * sqrt(times);
}

/* Mean and standard deviation of the logarithm of lognormal demand. */
static void
log_parameters(const EcDemand *demand, double *mu, double *sigma)
{
	double		variance = log1p(demand->sd / demand->mean * (demand->sd / demand->mean));

	*sigma = sqrt(variance);
	*mu = log(demand->mean) - variance / 2;
}

/* P(demand <= x) */
double
ec_demand_cdf(const EcDemand *demand, double x)
{
	double		a;
	double		mu;
	double		sigma;

	if (demand->sd == 0)
		return x >= demand->mean;
	switch (demand->kind)
	{
		case EC_DEMAND_NORMAL:
			return ec_normal_cdf((x - demand->mean) / demand->sd);
		case EC_DEMAND_POISSON:
		case EC_DEMAND_NEGBIN:
			return ec_negbin_cdf(demand->mean, demand->sd * demand->sd, x);
		case EC_DEMAND_GAMMA:
			a = demand->mean / demand->sd * (demand->mean / demand->sd);
			return x <= 0 ? 0 : 1 - ec_gamma_upper(a, x * a / demand->mean);
		case EC_DEMAND_EXPONENTIAL:
			return x <= 0 ? 0 : -expm1(-x / demand->mean);
		case EC_DEMAND_LOGNORMAL:
			log_parameters(demand, &mu, &sigma);
			return x <= 0 ? 0 : ec_normal_cdf((log(x) - mu) / sigma);
	}
	pg_unreachable();
}

/* The least stock that demand does not exceed with probability p, 0 < p < 1. */
double
ec_demand_level(const EcDemand *demand, double p)
{
	double		mu;
	double		sigma;
	double		lo = 0;
	double		hi;

	if (demand->sd == 0)
		return demand->mean;
	switch (demand->kind)
	{
		case EC_DEMAND_NORMAL:
			return demand->mean + ec_normal_quantile(p) * demand->sd;
		case EC_DEMAND_POISSON:
		case EC_DEMAND_NEGBIN:
			return ec_negbin_quantile(demand->mean, demand->sd * demand->sd, p);
		case EC_DEMAND_EXPONENTIAL:
			return -demand->mean * log1p(-p);
		case EC_DEMAND_LOGNORMAL:
			log_parameters(demand, &mu, &sigma);
			return exp(mu + sigma * ec_normal_quantile(p));
		case EC_DEMAND_GAMMA:
			hi = demand->mean + demand->sd;
			while (ec_demand_cdf(demand, hi) < p)
				hi *= 2;
			for (int i = 0; i < 200 && hi - lo > 1e-14 * hi; i++)
			{
				double		middle = (lo + hi) / 2;

				if (ec_demand_cdf(demand, middle) < p)
					lo = middle;
				else
					hi = middle;
			}
			return hi;
	}
	pg_unreachable();
}

/* Second loss of the standard normal distribution: E[max(Z - z, 0)^2] / 2. */
static double
normal_loss2(double z)
{
	return ((z * z + 1) * ec_normal_cdf(-z) - z * exp(-z * z / 2) / sqrt(2 * M_PI)) / 2;
}

/*
 * Of demand that is never negative, from its partial moments above x:
 * probability, E[X; X > x] and (factorial, if discrete) second.
 */
static void
from_moments(const EcDemand *demand, double x, double p, double first, double second, bool discrete, EcLoss *loss)
{
	double		mean = demand->mean;
	double		variance = demand->sd * demand->sd;

	loss->shortage = Max(0, first - x * p);
	loss->leftover = Max(0, x * (1 - p) - (mean - first));
	loss->shortage2 = Max(0, (second - 2 * x * first + x * (discrete ? x + 1 : x) * p) / 2);
	loss->leftover2 = Max(0, (variance + (mean - x) * (discrete ? mean - x - 1 : mean - x)) / 2 - loss->shortage2);
}

/* For discrete demand, x is a whole number. */
void
ec_loss(const EcDemand *demand, double x, EcLoss *loss)
{
	bool		discrete = ec_demand_is_discrete(demand);
	double		m = demand->mean;
	double		a;
	double		z;
	double		mu;
	double		sigma;

	if (demand->sd == 0 || (x <= 0 && demand->kind != EC_DEMAND_NORMAL))
	{
		/* all of it is above, or known */
		double		variance = demand->sd * demand->sd;

		loss->shortage = Max(0, m - x);
		loss->leftover = Max(0, x - m);
		loss->shortage2 = m > x ? (variance + (m - x) * (discrete ? m - x - 1 : m - x)) / 2 : 0;
		loss->leftover2 = m > x ? 0 : (x - m) * (discrete ? x - m + 1 : x - m) / 2;
		return;
	}
	switch (demand->kind)
	{
		case EC_DEMAND_NORMAL:
			z = (x - m) / demand->sd;
			loss->shortage = demand->sd * ec_normal_loss(z);
			loss->leftover = demand->sd * ec_normal_loss(-z);
			loss->shortage2 = demand->sd * demand->sd * normal_loss2(z);
			loss->leftover2 = demand->sd * demand->sd * normal_loss2(-z);
			break;
		case EC_DEMAND_POISSON:
		case EC_DEMAND_NEGBIN:
			{
				/* with r + 1 and r + 2 where the distribution has r; step: by what the mean grows */
				double		ratio = Max(1, demand->sd * demand->sd / m);
				double		step = ratio - 1;

				from_moments(demand, x,
							 1 - ec_negbin_cdf(m, m * ratio, x),
							 m * (1 - ec_negbin_cdf(m + step, (m + step) * ratio, x - 1)),
							 m * (m + step) * (1 - ec_negbin_cdf(m + 2 * step, (m + 2 * step) * ratio, x - 2)),
							 true, loss);
				break;
			}
		case EC_DEMAND_GAMMA:
		case EC_DEMAND_EXPONENTIAL:
			a = m / demand->sd * (m / demand->sd);
			from_moments(demand, x,
						 ec_gamma_upper(a, x * a / m),
						 m * ec_gamma_upper(a + 1, x * a / m),
						 m * m * (a + 1) / a * ec_gamma_upper(a + 2, x * a / m),
						 false, loss);
			break;
		case EC_DEMAND_LOGNORMAL:
			log_parameters(demand, &mu, &sigma);
			z = (log(x) - mu) / sigma;
			from_moments(demand, x, ec_normal_cdf(-z), m * ec_normal_cdf(sigma - z),
						 (m * m + demand->sd * demand->sd) * ec_normal_cdf(2 * sigma - z), false, loss);
			break;
	}
}

/*
 * ecauto.loss_function(stock float8, mean float8, sd float8, distribution text,
 *		OUT shortage float8, OUT leftover float8, OUT shortage2 float8, OUT leftover2 float8)
 */
Datum
ecauto_loss_function(PG_FUNCTION_ARGS)
{
	EcDemand	demand;
	EcLoss		loss;
	double		values[4];
	double		x;

	if (ec_inventory_missing(fcinfo, 2))
		PG_RETURN_NULL();
	x = PG_GETARG_FLOAT8(0);
	ec_inventory_amount(fabs(x), "size of stock", false);
	ec_demand_arguments(fcinfo, 1, 2, 3, &demand);
	if (ec_demand_is_discrete(&demand) && x != floor(x))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("stock must be a whole number where demand is in whole units"),
				 errdetail("It is %g.", x)));
	ec_loss(&demand, x, &loss);
	values[0] = loss.shortage;
	values[1] = loss.leftover;
	values[2] = loss.shortage2;
	values[3] = loss.leftover2;
	return ec_inventory_row(fcinfo, values, 4);
}

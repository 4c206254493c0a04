/*-------------------------------------------------------------------------
 *
 * stock_policy.c
 *		When to order and how much, under random demand: (r, Q), where a fixed
 *		quantity is ordered at a reorder point, and (s, S), where stock is
 *		reviewed each period and filled up.
 *
 * Sources: (r, Q): G. Hadley, T. M. Whitin, Analysis of Inventory Systems,
 * 1963; Y.-S. Zheng, On properties of stochastic inventory systems, Management
 * Science 38, 1992 (continuous demand: at the best Q, the cost is that rate at
 * both ends of it); A. Federgruen, Y.-S. Zheng, An efficient algorithm for
 * computing an optimal (r, Q) policy, Operations Research 40, 1992.  (s, S):
 * Y.-S. Zheng, A. Federgruen, Finding optimal (s, S) policies is about as simple
 * as evaluating a single policy, Operations Research 39, 1991; R. Ehrhardt, C.
 * Mosier, A revision of the power approximation, Management Science 30, 1984.
 * All of them as in L. V. Snyder, Z.-J. M. Shen, Fundamentals of Supply Chain
 * Theory, 2nd edition, 2019, chapters 4 and 5.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/builtins.h"

#include "stock/stock_forecast.h"
#include "stock/stock_inventory.h"

PG_FUNCTION_INFO_V1(ecauto_r_q_policy);
PG_FUNCTION_INFO_V1(ecauto_r_q_cost);
PG_FUNCTION_INFO_V1(ecauto_r_q_reorder_point);
PG_FUNCTION_INFO_V1(ecauto_s_s_policy);
PG_FUNCTION_INFO_V1(ecauto_s_s_cost);

#define MAX_STEPS 1000

/* levels an exact search looks at, before it gives up */
#define MAX_LEVELS 20000

/* What both policies are about. */
typedef struct Problem
{
	double		h;				/* of a unit and time */
	double		p;				/* of a unit missing, and time */
	double		k;				/* of an order */
	double		rate;			/* demand a time */
	EcDemand	one;			/* demand of a time */
	EcDemand	lead;			/* until an order arrives (and, reviewed by period, one more) */
	/* costs of discrete levels, from "base" on; NaN: not yet computed */
	double	   *costs;
	int			base;
	int			span;
} Problem;

static double
cost_at(const Problem *problem, double level)
{
	return ec_stock_cost(&problem->lead, level, problem->h, problem->p);
}

/* Of a level in whole units; each is computed once. */
static double
cost_of(Problem *problem, int level)
{
	int			place = level - problem->base;

	if (place < 0 || place >= problem->span)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the exact policy is too far to seek"),
				 errdetail("More than %d levels of stock would have to be compared.", MAX_LEVELS),
				 errhint("Use larger units, or one of the approximations.")));
	if (isnan(problem->costs[place]))
		problem->costs[place] = cost_at(problem, level);
	return problem->costs[place];
}

/* The level at which the cost is least, and room for costs around it. */
static int
best_level(Problem *problem)
{
	double		best = ec_demand_level(&problem->lead, problem->p / (problem->p + problem->h));

	if (best > 1e9)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("demand of the lead time is too large for whole units"),
				 errdetail("The level is %g.", best),
				 errhint("Use distribution normal.")));
	problem->base = (int) best - MAX_LEVELS;
	problem->span = 2 * MAX_LEVELS;
	problem->costs = palloc(sizeof(double) * problem->span);
	for (int i = 0; i < problem->span; i++)
		problem->costs[i] = NAN;
	return (int) best;
}

/* The string of argument n, or what stands for NULL. */
static const char *
word(FunctionCallInfo fcinfo, int n, const char *otherwise)
{
	return PG_ARGISNULL(n) ? otherwise : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* A result that is one number: error unless it is finite. */
static Datum
number(double value, const char *name)
{
	if (!isfinite(value))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("%s is out of range", name)));
	return Float8GetDatum(value);
}

static void
no_method(const char *method, const char *methods)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("method \"%s\" does not exist", method),
			 errhint("It is one of %s.", methods)));
}

/* ---- (r, Q), continuous ---- */

/* Expected cost a time of ordering Q at r. */
static double
rq_cost(const Problem *problem, double r, double q)
{
	EcLoss		at_r;
	EcLoss		at_top;

	ec_loss(&problem->lead, r, &at_r);
	ec_loss(&problem->lead, r + q, &at_top);
	return problem->k * problem->rate / q + problem->h * (r + q / 2 - problem->lead.mean) +
		(problem->h + problem->p) * (at_r.shortage2 - at_top.shortage2) / q;
}

/* The best r for Q: the cost is the same at r and at r + Q. */
static double
rq_point(const Problem *problem, double q)
{
	double		best = ec_demand_level(&problem->lead, problem->p / (problem->p + problem->h));
	double		lo = best - q;
	double		hi = best;

	for (int i = 0; i < 200 && hi - lo > 1e-14 * (fabs(lo) + fabs(hi)); i++)
	{
		double		middle = (lo + hi) / 2;

		if (cost_at(problem, middle + q) < cost_at(problem, middle))
			lo = middle;
		else
			hi = middle;
	}
	return (lo + hi) / 2;
}

/* Zheng: the cost between r and r + Q rises above that at its ends by the cost of orders. */
static double
rq_exact(const Problem *problem, double *r)
{
	double		lo = 0;
	double		hi = sqrt(2 * problem->k * problem->rate * (problem->h + problem->p) / (problem->h * problem->p));

	/* the best quantity is not below this one, of demand without variance */
	for (int i = 0; i < 60; i++)
	{
		double		point = rq_point(problem, hi);

		if (cost_at(problem, point) >= rq_cost(problem, point, hi))
			break;
		lo = hi;
		hi *= 2;
	}
	for (int i = 0; i < 200 && hi - lo > 1e-13 * hi; i++)
	{
		double		q = (lo + hi) / 2;
		double		point = rq_point(problem, q);

		CHECK_FOR_INTERRUPTS();
		if (cost_at(problem, point) < rq_cost(problem, point, q))
			lo = q;
		else
			hi = q;
	}
	*r = rq_point(problem, (lo + hi) / 2);
	return (lo + hi) / 2;
}

/* The r at which the expected shortage is "shortage". */
static double
point_of_shortage(const Problem *problem, double shortage)
{
	double		lo = problem->lead.mean - shortage;
	double		step = Max(1e-6, Max(problem->lead.sd, shortage));
	double		hi = problem->lead.mean + step;
	EcLoss		loss;

	for (int i = 0; i < 100; i++)
	{
		ec_loss(&problem->lead, hi, &loss);
		if (loss.shortage <= shortage)
			break;
		step *= 2;
		hi += step;
	}
	for (int i = 0; i < 200 && hi - lo > 1e-14 * (fabs(lo) + fabs(hi)); i++)
	{
		double		middle = (lo + hi) / 2;

		ec_loss(&problem->lead, middle, &loss);
		if (loss.shortage > shortage)
			lo = middle;
		else
			hi = middle;
	}
	return (lo + hi) / 2;
}

/*
 * The approximations that find Q from r and r from Q, by turns.  Expected
 * inventory level ("eil"): a unit missing costs p, however long, and what is
 * missing is thought not to lessen the stock.  Loss function ("loss").
 */
static double
rq_by_turns(const Problem *problem, bool eil, double *r)
{
	double		q = sqrt(2 * problem->k * problem->rate / problem->h);
	EcLoss		loss;

	*r = 0;
	for (int i = 0; i < MAX_STEPS; i++)
	{
		double		was_r = *r;
		double		was_q = q;

		if (eil)
		{
			double		runs_out = q * problem->h / (problem->p * problem->rate);

			if (!(runs_out > 0 && runs_out < 1))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("a unit missing costs too little for method \"eil\""),
						 errdetail("To keep the quantity of %g costs more.", q),
						 errhint("Use method \"exact\".")));
			*r = ec_demand_level(&problem->lead, 1 - runs_out);
			ec_loss(&problem->lead, *r, &loss);
			q = sqrt(2 * problem->rate * (problem->k + problem->p * loss.shortage) / problem->h);
		}
		else
		{
			*r = point_of_shortage(problem, problem->h * q / (problem->h + problem->p));
			ec_loss(&problem->lead, *r, &loss);
			q = sqrt(2 * (problem->k * problem->rate + (problem->h + problem->p) * loss.shortage2) / problem->h);
		}
		if (i > 0 && fabs(q - was_q) <= 1e-12 * q && fabs(*r - was_r) <= 1e-12 * (fabs(*r) + q))
			break;
	}
	return q;
}

/* ---- (r, Q) in whole units ---- */

static double
rq_cost_discrete(Problem *problem, int r, int q)
{
	double		sum = problem->k * problem->rate;

	for (int y = r + 1; y <= r + q; y++)
		sum += cost_of(problem, y);
	return sum / q;
}

/* Federgruen, Zheng: levels are taken in, the cheapest first, as long as they are below the mean. */
static int
rq_exact_discrete(Problem *problem, int *r, double *cost)
{
	int			best = best_level(problem);
	double		sum = problem->k * problem->rate + cost_of(problem, best);
	int			q = 1;

	*r = best - 1;
	for (;;)
	{
		double		below = cost_of(problem, *r);
		double		above = cost_of(problem, *r + q + 1);

		CHECK_FOR_INTERRUPTS();
		if (Min(below, above) >= sum / q)
			break;
		sum += Min(below, above);
		if (below <= above)
			(*r)--;
		q++;
	}
	*cost = sum / q;
	return q;
}

/* Whole number of a level that was given. */
static int
whole(double value, const char *name)
{
	if (value != floor(value) || fabs(value) > 1e9)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a whole number where demand is in whole units", name),
				 errdetail("It is %g.", value)));
	return (int) value;
}

/*
 * Arguments from place n on: holding_cost, stockout_cost, [fixed_cost,] mean,
 * sd, lead_time; distribution at its own place.
 */
static void
rq_arguments(FunctionCallInfo fcinfo, int n, bool fixed, int distribution, Problem *problem)
{
	memset(problem, 0, sizeof(Problem));
	problem->h = ec_inventory_number(fcinfo, n++, "holding_cost", true);
	problem->p = ec_inventory_number(fcinfo, n++, "stockout_cost", true);
	if (fixed)
		problem->k = ec_inventory_number(fcinfo, n++, "fixed_cost", true);
	ec_demand_arguments(fcinfo, n, n + 1, distribution, &problem->one);
	problem->rate = ec_inventory_number(fcinfo, n, "mean", true);
	if (problem->one.kind == EC_DEMAND_LOGNORMAL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("sums of lognormal demand are not lognormal"),
				 errhint("Use distribution gamma.")));
	ec_demand_over(&problem->one, PG_ARGISNULL(n + 2) ? 0 : ec_inventory_number(fcinfo, n + 2, "lead_time", false),
				   &problem->lead);
}

/*
 * ecauto.r_q_policy(holding_cost float8, stockout_cost float8, fixed_cost float8, mean float8, sd float8,
 *		lead_time float8, distribution text, method text,
 *		OUT reorder_point float8, OUT order_quantity float8, OUT cost float8)
 */
Datum
ecauto_r_q_policy(PG_FUNCTION_ARGS)
{
	const char *method;
	Problem		problem;
	double		values[3];

	if (ec_inventory_missing(fcinfo, 4) || PG_ARGISNULL(5))
		PG_RETURN_NULL();
	method = word(fcinfo, 7, "exact");
	rq_arguments(fcinfo, 0, true, 6, &problem);
	if (ec_demand_is_discrete(&problem.one))
	{
		int			r;

		if (strcmp(method, "exact") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("method \"%s\" is for demand that is not in whole units", method),
					 errhint("Use method \"exact\", or distribution normal.")));
		values[1] = rq_exact_discrete(&problem, &r, &values[2]);
		values[0] = r;
		return ec_inventory_row(fcinfo, values, 3);
	}
	if (strcmp(method, "exact") == 0)
		values[1] = rq_exact(&problem, &values[0]);
	else if (strcmp(method, "eil") == 0)
		values[1] = rq_by_turns(&problem, true, &values[0]);
	else if (strcmp(method, "loss") == 0)
		values[1] = rq_by_turns(&problem, false, &values[0]);
	else if (strcmp(method, "eoqb") == 0)
	{
		values[1] = sqrt(2 * problem.k * problem.rate * (problem.h + problem.p) / (problem.h * problem.p));
		values[0] = rq_point(&problem, values[1]);
	}
	else if (strcmp(method, "eoqss") == 0)
	{
		values[1] = sqrt(2 * problem.k * problem.rate / problem.h);
		values[0] = ec_demand_level(&problem.lead, problem.p / (problem.p + problem.h));
	}
	else
		no_method(method, "exact, eil, eoqb, eoqss, loss");
	if (strcmp(method, "eil") == 0)
	{
		EcLoss		loss;

		ec_loss(&problem.lead, values[0], &loss);
		values[2] = problem.h * (values[0] - problem.lead.mean + values[1] / 2) +
			problem.rate * (problem.k + problem.p * loss.shortage) / values[1];
	}
	else
		values[2] = rq_cost(&problem, values[0], values[1]);
	return ec_inventory_row(fcinfo, values, 3);
}

/*
 * ecauto.r_q_cost(reorder_point float8, order_quantity float8, holding_cost float8, stockout_cost float8,
 *		fixed_cost float8, mean float8, sd float8, lead_time float8, distribution text) returns float8
 */
Datum
ecauto_r_q_cost(PG_FUNCTION_ARGS)
{
	Problem		problem;
	double		r;
	double		q;

	if (ec_inventory_missing(fcinfo, 6) || PG_ARGISNULL(7))
		PG_RETURN_NULL();
	r = PG_GETARG_FLOAT8(0);
	(void) ec_inventory_amount(fabs(r), "size of reorder_point", false);
	q = ec_inventory_number(fcinfo, 1, "order_quantity", true);
	rq_arguments(fcinfo, 2, true, 8, &problem);
	if (!ec_demand_is_discrete(&problem.one))
		return number(rq_cost(&problem, r, q), "cost");
	best_level(&problem);
	return number(rq_cost_discrete(&problem, whole(r, "reorder_point"), whole(q, "order_quantity")), "cost");
}

/*
 * ecauto.r_q_reorder_point(order_quantity float8, holding_cost float8, stockout_cost float8,
 *		mean float8, sd float8, lead_time float8, distribution text) returns float8
 */
Datum
ecauto_r_q_reorder_point(PG_FUNCTION_ARGS)
{
	Problem		problem;
	double		q;
	int			r;
	int			units;

	if (ec_inventory_missing(fcinfo, 4) || PG_ARGISNULL(5))
		PG_RETURN_NULL();
	q = ec_inventory_number(fcinfo, 0, "order_quantity", true);
	rq_arguments(fcinfo, 1, false, 6, &problem);
	if (!ec_demand_is_discrete(&problem.one))
		return number(rq_point(&problem, q), "reorder_point");
	units = whole(q, "order_quantity");
	r = best_level(&problem) - 1;
	for (int i = 1; i < units; i++)
		if (cost_of(&problem, r) <= cost_of(&problem, r + i + 1))
			r--;
	PG_RETURN_FLOAT8(r);
}

/* ---- (s, S) ---- */

/* m[j]: how often, in the mean, stock is j below S before it is ordered again. */
typedef struct Renewal
{
	double	   *p;				/* probability of a demand of j */
	double	   *m;
	double	   *sum;			/* of m before j */
	int			n;				/* of them known */
	int			room;
} Renewal;

static void
renewal_grow(const Problem *problem, Renewal *renewal, int n)
{
	if (n > MAX_LEVELS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the exact policy is too far to seek"),
				 errdetail("More than %d levels of stock would have to be compared.", MAX_LEVELS),
				 errhint("Use larger units, or method \"power\".")));
	if (renewal->room == 0)
	{
		renewal->room = MAX_LEVELS + 2;
		renewal->p = palloc(sizeof(double) * renewal->room);
		renewal->m = palloc(sizeof(double) * renewal->room);
		renewal->sum = palloc(sizeof(double) * renewal->room);
		renewal->p[0] = ec_demand_cdf(&problem->one, 0);
		if (renewal->p[0] >= 1 - 1e-12)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("demand of a period is too rare for a policy"),
					 errdetail("Its mean is %g.", problem->one.mean)));
		renewal->m[0] = 1 / (1 - renewal->p[0]);
		renewal->sum[0] = 0;
		renewal->n = 1;
	}
	for (int j = renewal->n; j <= n; j++)
	{
		double		sum = 0;

		CHECK_FOR_INTERRUPTS();
		renewal->p[j] = ec_demand_cdf(&problem->one, j) - ec_demand_cdf(&problem->one, j - 1);
		for (int l = 1; l <= j; l++)
			sum += renewal->p[l] * renewal->m[j - l];
		renewal->m[j] = sum / (1 - renewal->p[0]);
		renewal->sum[j] = renewal->sum[j - 1] + renewal->m[j - 1];
		renewal->n = j + 1;
	}
}

/* Expected cost a period of filling up to S where stock is at or below s, s < S. */
static double
ss_cost(Problem *problem, Renewal *renewal, int s, int up_to)
{
	double		sum = problem->k;

	renewal_grow(problem, renewal, up_to - s);
	for (int j = 0; j < up_to - s; j++)
		sum += renewal->m[j] * cost_of(problem, up_to - j);
	return sum / renewal->sum[up_to - s];
}

/* Zheng, Federgruen */
static double
ss_exact(Problem *problem, int *s, int *up_to)
{
	Renewal		renewal = {0};
	int			best = best_level(problem);
	double		cost;
	int			i = best;

	do
	{
		i--;
		cost = ss_cost(problem, &renewal, i, best);
	} while (cost > cost_of(problem, i));
	*s = i;
	*up_to = best;
	for (i = best + 1; cost_of(problem, i) <= cost; i++)
	{
		double		other = ss_cost(problem, &renewal, *s, i);

		CHECK_FOR_INTERRUPTS();
		if (other >= cost)
			continue;
		*up_to = i;
		while (ss_cost(problem, &renewal, *s, i) <= cost_of(problem, *s + 1))
			(*s)++;
		cost = ss_cost(problem, &renewal, *s, i);
	}
	return cost;
}

/* Arguments from place n on: holding_cost, stockout_cost, fixed_cost, mean, sd, lead_time. */
static void
ss_arguments(FunctionCallInfo fcinfo, int n, int distribution, Problem *problem)
{
	memset(problem, 0, sizeof(Problem));
	problem->h = ec_inventory_number(fcinfo, n, "holding_cost", true);
	problem->p = ec_inventory_number(fcinfo, n + 1, "stockout_cost", true);
	problem->k = ec_inventory_number(fcinfo, n + 2, "fixed_cost", true);
	problem->rate = ec_inventory_number(fcinfo, n + 3, "mean", true);
	ec_demand_arguments(fcinfo, n + 3, n + 4, distribution, &problem->one);
	ec_demand_over(&problem->one, 1 + (PG_ARGISNULL(n + 5) ? 0 : ec_inventory_number(fcinfo, n + 5, "lead_time", false)),
				   &problem->lead);
}

static void
need_discrete(const Problem *problem)
{
	if (!ec_demand_is_discrete(&problem->one))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the cost of an (s, S) policy is known for demand in whole units only"),
				 errhint("Use distribution negbin, or leave out sd for poisson; method \"power\" finds a policy for normal demand.")));
}

/*
 * ecauto.s_s_policy(holding_cost float8, stockout_cost float8, fixed_cost float8, mean float8, sd float8,
 *		lead_time float8, distribution text, method text,
 *		OUT reorder_point float8, OUT order_up_to float8, OUT cost float8)
 */
Datum
ecauto_s_s_policy(PG_FUNCTION_ARGS)
{
	const char *method;
	Problem		problem;
	double		values[3];

	if (ec_inventory_missing(fcinfo, 4))
		PG_RETURN_NULL();
	ss_arguments(fcinfo, 0, 6, &problem);
	method = word(fcinfo, 7, ec_demand_is_discrete(&problem.one) ? "exact" : "power");
	if (strcmp(method, "exact") == 0)
	{
		int			s;
		int			up_to;

		need_discrete(&problem);
		values[2] = ss_exact(&problem, &s, &up_to);
		values[0] = s;
		values[1] = up_to;
	}
	else if (strcmp(method, "power") == 0)
	{
		double		mean = problem.one.mean;
		double		sd = problem.lead.sd;
		double		q = 1.30 * pow(mean, 0.494) * pow(problem.k / problem.h, 0.506) *
			pow(1 + sd / mean * (sd / mean), 0.116);
		double		z = sqrt(q * problem.h / (sd * problem.p));

		/* as in Snyder, Shen, without what the revision says of orders in nearly each period */
		if (!(sd > 0))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("method \"power\" needs demand that varies")));
		values[0] = 0.973 * problem.lead.mean + sd * (0.183 / z + 1.063 - 2.192 * z);
		values[1] = values[0] + q;
		values[2] = NAN;
	}
	else
		no_method(method, "exact, power");
	return ec_inventory_row(fcinfo, values, 3);
}

/*
 * ecauto.s_s_cost(reorder_point float8, order_up_to float8, holding_cost float8, stockout_cost float8,
 *		fixed_cost float8, mean float8, sd float8, lead_time float8, distribution text) returns float8
 */
Datum
ecauto_s_s_cost(PG_FUNCTION_ARGS)
{
	Problem		problem;
	Renewal		renewal = {0};
	int			s;
	int			up_to;

	if (ec_inventory_missing(fcinfo, 6))
		PG_RETURN_NULL();
	ss_arguments(fcinfo, 2, 8, &problem);
	need_discrete(&problem);
	s = whole(PG_GETARG_FLOAT8(0), "reorder_point");
	up_to = whole(PG_GETARG_FLOAT8(1), "order_up_to");
	if (up_to <= s)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("order_up_to must be above reorder_point"),
				 errdetail("They are %d and %d.", up_to, s)));
	best_level(&problem);
	return number(ss_cost(&problem, &renewal, s, up_to), "cost");
}

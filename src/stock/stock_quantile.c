/*-------------------------------------------------------------------------
 *
 * stock_quantile.c
 *		How much demand comes within a lead time, at a given probability.
 *
 * normal	mean and variance of the forecast: covers too little where demand is
 *			rare.
 * negbin	negative binomial with the same mean and variance.
 * empirical the sums over all windows of this length that the series has.
 * auto		where the forecast is a level (demand that is rare or erratic), both
 *			a negative binomial around the higher of two levels, whose
 *			variance is what the windows show around it, and the windows
 *			themselves, of which recent ones count more.  Their mean if demand is
 *			rare, the higher of them if not: measured on monthly spare parts and on
 *			weekly sales of a gift shop that covers best at the least cost
 *			(pinball loss).  Where the forecast has a trend or a season, windows
 *			of the past say little: negative binomial around the forecast.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "miscadmin.h"

#include "stock/stock_forecast.h"

/* weight of a window for each period that it is older */
#define KEEP 0.95

/* windows older than this have a weight of nothing */
#define WINDOWS 400

/*
 * Few windows hold the few large demands: of the way from the probability to
 * 1, so much is added for windows.
 */
#define RARE_HIGHER 0.2
#define LUMPY_HIGHER 0.6

/*
 * The longer the lead, the more the level moves in it, and the fewer windows
 * there are that do not overlap: beyond this many periods a growing part of the
 * way is added for the model and for windows, faster where demand is not rare.
 */
#define SHORT_LEAD 2.0
#define RARE_GROWS 1.0
#define GROWS 1.5

/* speed of the second level */
#define QUICK 0.2

/* a sum of demand over the lead, and what it weighs */
typedef struct Window
{
	double		sum;
	double		weight;
} Window;

static int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return x < y ? -1 : x > y;
}

/*
 * The least sum of "lead" values in a row that at least a part p of all such
 * sums in the series do not exceed.  A series shorter than the lead counts as
 * one window, scaled.
 */
double
ec_demand_quantile_empirical(const double *y, int n, int lead, double p)
{
	double	   *sums;
	double		sum = 0;
	int			windows = n - lead + 1;
	double		result;

	if (windows < 1)
	{
		for (int i = 0; i < n; i++)
			sum += y[i];
		return sum * lead / n;
	}
	sums = palloc(sizeof(double) * windows);
	for (int i = 0; i < n; i++)
	{
		sum += y[i];
		if (i >= lead)
			sum -= y[i - lead];
		if (i >= lead - 1)
			sums[i - lead + 1] = sum;
	}
	qsort(sums, windows, sizeof(double), compare_doubles);
	result = sums[(int) Min(windows - 1, Max(0, ceil(p * windows) - 1))];
	pfree(sums);
	return result;
}

static int
compare_windows(const void *a, const void *b)
{
	double		x = ((const Window *) a)->sum;
	double		y = ((const Window *) b)->sum;

	return x < y ? -1 : x > y;
}

/*
 * Windows of "lead" periods, the recent ones weighing more: the weighted
 * quantile p of their sums, and in *variance their weighted mean square around
 * "centre".  NaN if the series is shorter than the lead.
 */
static double
windows_quantile(const double *y, int n, int lead, double p, double centre, double *variance)
{
	int			windows = Min(n - lead + 1, WINDOWS);
	int			first = n - lead + 1 - windows;
	Window	   *w;
	double		sum = 0;
	double		weight = 1;
	double		weights = 0;
	double		squares = 0;
	double		result;

	*variance = 0;
	if (windows < 1)
		return NAN;
	w = palloc(sizeof(Window) * windows);
	for (int i = first; i < n; i++)
	{
		sum += y[i];
		if (i >= first + lead)
			sum -= y[i - lead];
		if (i >= first + lead - 1)
			w[i - lead + 1 - first].sum = sum;
	}
	for (int i = windows - 1; i >= 0; i--)
	{
		w[i].weight = weight;
		weights += weight;
		squares += weight * (w[i].sum - centre) * (w[i].sum - centre);
		weight *= KEEP;
	}
	*variance = squares / weights;
	qsort(w, windows, sizeof(Window), compare_windows);
	result = w[windows - 1].sum;
	sum = 0;
	for (int i = 0; i < windows; i++)
	{
		sum += w[i].weight;
		if (sum >= p * weights * (1 - 1e-12))
		{
			result = w[i].sum;
			break;
		}
	}
	pfree(w);
	return result;
}

/* Quantile of a count, or of a quantity that may have any fraction. */
static double
quantile_of(bool counts, double mean, double variance, double p)
{
	if (counts)
		return ec_negbin_quantile(Max(0, mean), Max(variance, mean), p);
	return mean + ec_normal_quantile(p) * sqrt(variance);
}

/* For demand that is a level: see above. */
static double
level_quantile(const double *y, int n, const EcForecast *f, int lead, double p, bool counts)
{
	bool		rare = f->class == EC_CLASS_INTERMITTENT || f->class == EC_CLASS_LUMPY;
	double		quick = 0;
	double		level;
	double		variance;
	double		least;
	double		windows;
	double		model;
	double		higher = f->class == EC_CLASS_LUMPY ? LUMPY_HIGHER : rare ? RARE_HIGHER : 0;

	if (lead > SHORT_LEAD)
		p += (1 - p) * (1 - pow(SHORT_LEAD / lead, rare ? RARE_GROWS : GROWS));
	for (int i = 0; i < n; i++)
		quick += y[i] / n;
	for (int i = 0; i < n; i++)
		quick += QUICK * (y[i] - quick);
	level = Max(f->level, quick);
	windows = windows_quantile(y, n, lead, p + (1 - p) * higher, level * lead, &variance);
	/* errors of a level add up over the lead: Hyndman et al. 2008, section 6.5 */
	least = f->sigma * f->sigma * lead * (1 + lead * f->alpha * f->alpha);
	if (!isnan(least))
		variance = Max(variance, least);
	model = quantile_of(counts, level * lead, variance, p);
	if (isnan(windows))
		return model;
	return rare ? (model + windows) / 2 : Max(model, windows);
}

/*
 * Mean and variance of the sum of the forecasts of "lead" periods.  An error
 * of one step moves the level by alpha, and with it all steps after it.
 */
static void
sum_of_forecasts(const EcForecast *f, int lead, double *mean, double *variance)
{
	double		alpha = isnan(f->alpha) ? 0 : f->alpha;
	double		growth = 0;

	*mean = 0;
	for (int h = 0; h < lead; h++)
	{
		*mean += f->mean[h];
		growth += (1 + h * alpha) * (1 + h * alpha);
	}
	*variance = f->sigma * f->sigma * growth;
}

/* One whole lead, at least 1. */
static double
quantile_of_lead(const double *y, int n, int period, int lead, double p, int distribution, bool counts)
{
	EcForecast	f;
	double		mean;
	double		variance;

	if (distribution == 'e')
		return ec_demand_quantile_empirical(y, n, lead, p);
	ec_forecast(y, n, period, lead, EC_METHOD_AUTO, false, &f);
	if (f.class == EC_CLASS_NONE)
		return 0;
	sum_of_forecasts(&f, lead, &mean, &variance);
	if (isnan(variance))
		variance = Max(mean, 0);	/* a single value: as if customers came by chance */
	if (distribution == 'n')
		return mean + ec_normal_quantile(p) * sqrt(variance);
	if (distribution == 'a' && f.method == EC_METHOD_LEVELS && f.period == 1)
		return level_quantile(y, n, &f, lead, p, counts);
	return quantile_of(counts, mean, variance, p);
}

/*
 * Demand over "lead" periods (a fraction is interpolated) that is not exceeded
 * with probability p; never below 0.  NaN if n is 0.  Returns false if there is
 * no such distribution.
 */
bool
ec_demand_quantile(const double *y, int n, int period, double lead, double p,
				   const char *distribution, double *result)
{
	static const char *const names[] = {"auto", "empirical", "negbin", "normal"};
	static const char kinds[] = {'a', 'e', 'b', 'n'};
	int			kind = 0;
	double	   *demand;
	double		below = 0;
	double		above;
	bool		counts = true;
	int			whole = (int) floor(lead);

	for (int i = 0; i < lengthof(names); i++)
		if (strcmp(names[i], distribution) == 0)
			kind = kinds[i];
	if (kind == 0)
		return false;
	*result = NAN;
	if (n == 0)
		return true;
	/* a return is no demand */
	demand = palloc(sizeof(double) * n);
	for (int i = 0; i < n; i++)
	{
		demand[i] = Max(0, y[i]);
		if (demand[i] != floor(demand[i]))
			counts = false;
	}
	if (kind == 'b')
		counts = true;
	if (whole > 0)
		below = quantile_of_lead(demand, n, period, whole, p, kind, counts);
	*result = below;
	if (lead > whole)
	{
		above = quantile_of_lead(demand, n, period, whole + 1, p, kind, counts);
		*result += (lead - whole) * (above - below);
	}
	*result = Max(0, *result);
	pfree(demand);
	return true;
}

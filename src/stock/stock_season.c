/*-------------------------------------------------------------------------
 *
 * stock_season.c
 *		The season of a series: is there one, how long, and its indices.
 *
 * A season of a given length is taken to be there if the autocorrelation at
 * that lag is significant at 90% (Assimakopoulos, Nikolopoulos, "The theta
 * model: a decomposition approach to forecasting", 2000, section 4; the
 * variance is Bartlett's).  The indices are those of the classical
 * decomposition: ratios (or differences) to a centred moving average,
 * averaged per position (Makridakis, Wheelwright, Hyndman, "Forecasting:
 * methods and applications", 1998, section 3.4).
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "miscadmin.h"

#include "stock/stock_forecast.h"

/* 95% quantile of the normal distribution: both sides together are 90% */
#define SIGNIFICANT 1.6448536269514722

/* an index smaller than this would divide by nothing */
#define SMALLEST_INDEX 1e-10

static double
mean_of(const double *y, int n)
{
	double		sum = 0;

	for (int i = 0; i < n; i++)
		sum += y[i];
	return sum / n;
}

/* Sum of products of the deviations d with themselves, lag periods on. */
static double
autocovariance(const double *d, int n, int lag)
{
	double		sum[4] = {0, 0, 0, 0};
	int			i = lag;

	for (; i + 3 < n; i += 4)
		for (int k = 0; k < 4; k++)
			sum[k] += d[i + k] * d[i + k - lag];
	for (; i < n; i++)
		sum[0] += d[i] * d[i - lag];
	return sum[0] + sum[1] + sum[2] + sum[3];
}

static double *
deviations(const double *y, int n, double *variance)
{
	double	   *d = palloc(sizeof(double) * n);
	double		mean = mean_of(y, n);

	for (int i = 0; i < n; i++)
		d[i] = y[i] - mean;
	*variance = autocovariance(d, n, 0);
	return d;
}

/*
 * Is there a season of this length?  Needs more than two of them.
 */
bool
ec_season_present(const double *y, int n, int period)
{
	double		variance;
	double		squares = 0;
	double		last = 0;
	double	   *d;

	if (period < 2 || n / 2 < period || n == 2 * period)
		return false;
	d = deviations(y, n, &variance);
	if (variance <= 0)
	{
		pfree(d);
		return false;
	}
	for (int lag = 1; lag <= period; lag++)
	{
		CHECK_FOR_INTERRUPTS();
		last = autocovariance(d, n, lag) / variance;
		if (lag < period)
			squares += last * last;
	}
	pfree(d);
	return fabs(last) / sqrt((1 + 2 * squares) / n) > SIGNIFICANT;
}

/*
 * The length of the season that the autocorrelation shows, at most "most" and
 * at most a third of the series; 1 if it shows none.
 *
 * A trend makes all autocorrelations large, so it is removed by differences.
 * The winner is the highest peak among the lags that are higher than both of
 * their neighbours and significant; a multiple of a shorter lag that is
 * nearly as high loses to it.
 */
int
ec_season_period(const double *y, int n, int most)
{
	double	   *difference;
	double	   *r;
	double	   *d;
	double		variance;
	int			lags = Min(most, n / 3);
	int			best = 1;

	if (lags < 2)
		return 1;
	difference = palloc(sizeof(double) * n);
	for (int i = 1; i < n; i++)
		difference[i - 1] = y[i] - y[i - 1];
	d = deviations(difference, n - 1, &variance);
	if (variance > 0)
	{
		r = palloc(sizeof(double) * (lags + 2));
		for (int lag = 0; lag <= lags + 1; lag++)
		{
			CHECK_FOR_INTERRUPTS();
			r[lag] = lag < n - 1 ? autocovariance(d, n - 1, lag) / variance : 0;
		}
		for (int lag = 2; lag <= lags; lag++)
		{
			if (r[lag] <= r[lag - 1] || r[lag] < r[lag + 1] || r[lag] < 0.2)
				continue;
			if (best == 1 || r[lag] > r[best] * (lag % best == 0 ? 1.25 : 1.0))
				best = lag;
		}
		pfree(r);
		if (best > 1 && !ec_season_present(difference, n - 1, best))
			best = 1;
	}
	pfree(d);
	pfree(difference);
	return best;
}

/*
 * Compute the indices for season->period, into season->index (allocated
 * here).  Multiplicative if all values are positive, else additive.  Returns
 * false, with period set to 1, if the series is too short for them or an
 * index would be nothing.
 */
bool
ec_season_indices(const double *y, int n, EcSeason *season)
{
	int			period = season->period;
	int			half = period / 2;
	double	   *sum;
	int		   *count;
	double		window = 0;
	double		mean = 0;

	season->index = NULL;
	if (period < 2 || n / 2 < period)
	{
		season->period = 1;
		return false;
	}
	season->additive = false;
	for (int i = 0; i < n; i++)
		if (y[i] <= 0)
			season->additive = true;

	sum = palloc0(sizeof(double) * period);
	count = palloc0(sizeof(int) * period);
	/* window: sum of the 2 * half + 1 values around t; even periods count its ends half */
	for (int i = 0; i < 2 * half; i++)
		window += y[i];
	for (int t = half; t + half < n; t++)
	{
		double		average;

		window += y[t + half];
		average = period % 2 == 1 ? window / period
			: (window - 0.5 * (y[t - half] + y[t + half])) / period;
		sum[t % period] += season->additive ? y[t] - average : y[t] / average;
		count[t % period]++;
		window -= y[t - half];
	}
	for (int i = 0; i < period; i++)
	{
		if (count[i] > 0)
			sum[i] /= count[i];
		else
			sum[i] = season->additive ? 0 : 1;
		mean += sum[i] / period;
	}
	pfree(count);
	for (int i = 0; i < period; i++)
	{
		sum[i] = season->additive ? sum[i] - mean : sum[i] / mean;
		if (!season->additive && !(sum[i] >= SMALLEST_INDEX))
		{
			pfree(sum);
			season->period = 1;
			return false;
		}
	}
	season->index = sum;
	return true;
}

/* The series without its season, into out[n]. */
void
ec_season_remove(const double *y, int n, const EcSeason *season, double *out)
{
	for (int i = 0; i < n; i++)
	{
		if (season->period < 2)
			out[i] = y[i];
		else if (season->additive)
			out[i] = y[i] - season->index[i % season->period];
		else
			out[i] = y[i] / season->index[i % season->period];
	}
}

/* A value of period t (0: the first of the series) with its season. */
double
ec_season_apply(double value, int t, const EcSeason *season)
{
	if (season->period < 2)
		return value;
	if (season->additive)
		return value + season->index[t % season->period];
	return value * season->index[t % season->period];
}

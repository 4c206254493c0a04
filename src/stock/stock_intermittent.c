/*-------------------------------------------------------------------------
 *
 * stock_intermittent.c
 *		Demand with periods of none: its class, and methods made for it.
 *
 * All of them say a rate: demand a period, the same for every period to come.
 * Values below zero are returns and no demand; they count as zero, but for the
 * levels, which they lower.
 *
 *	Croston, "Forecasting and stock control for intermittent demands" (1972):
 *		sizes and intervals are smoothed apart, whenever there is demand; the
 *		first size and the first interval (from before the first period) are
 *		the initial ones.
 *	SBA: Syntetos, Boylan, "The accuracy of intermittent demand estimates"
 *		(2005): Croston's times (1 - alpha / 2), which takes his bias away.
 *	TSB: Teunter, Syntetos, Babai, "Intermittent demand: linking forecasting
 *		to inventory obsolescence" (2011): the probability of demand is
 *		smoothed every period, so that the rate of what no longer sells falls.
 *		Initial: mean size and share of periods with demand of the whole
 *		series, or of its first two dozen periods if it is longer.
 *	ADIDA: Nikolopoulos, Syntetos, Boylan, Petropoulos, Assimakopoulos, "An
 *		aggregate-disaggregate intermittent demand approach" (2011): simple
 *		smoothing of the sums over as many periods as there are between
 *		demands, divided by that number.
 *	Levels, ours: the mean of simple smoothings of five speeds, each weighted by
 *		how small its errors were (Bates, Granger, "The combination of
 *		forecasts", 1969), of the series without its spikes: a value above
 *		5/4 of the second largest or two standard deviations over the mean of the
 *		demands is cut down to there, lest one bulk order be taken for a trend.
 *		Measured on monthly spare parts and on weekly sales of a gift shop it is
 *		better than any single one of the above.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "miscadmin.h"

#include "stock/stock_forecast.h"

/* Boundaries of the classes; Syntetos, Boylan, Croston (2005) */
#define ADI_BOUNDARY 1.32
#define CV2_BOUNDARY 0.49

/* TSB begins with what these say */
#define BEGINNING 24

/*
 * Class of a series, by the average number of periods from one demand to the
 * next and the squared coefficient of variation of its sizes.
 */
EcSeriesClass
ec_series_class(const double *y, int n, double *adi, double *cv2)
{
	double		sum = 0;
	double		squares = 0;
	double		mean;
	int			demands = 0;

	for (int i = 0; i < n; i++)
	{
		if (y[i] > 0)
		{
			sum += y[i];
			demands++;
		}
	}
	*adi = *cv2 = NAN;
	if (demands == 0)
		return EC_CLASS_NONE;
	mean = sum / demands;
	for (int i = 0; i < n; i++)
		if (y[i] > 0)
			squares += (y[i] - mean) * (y[i] - mean);
	*adi = (double) n / demands;
	*cv2 = demands > 1 ? squares / (demands - 1) / (mean * mean) : 0;
	if (*adi < ADI_BOUNDARY)
		return *cv2 < CV2_BOUNDARY ? EC_CLASS_SMOOTH : EC_CLASS_ERRATIC;
	return *cv2 < CV2_BOUNDARY ? EC_CLASS_INTERMITTENT : EC_CLASS_LUMPY;
}

/*
 * Croston's rate, or SBA's; 0 if there is no demand.  *size, *interval: their
 * smoothed values.
 */
double
ec_croston(const double *y, int n, double alpha, bool sba, double *size, double *interval)
{
	int			since = 0;

	*size = *interval = 0;
	for (int i = 0; i < n; i++)
	{
		since++;
		if (y[i] <= 0)
			continue;
		if (*interval == 0)
		{
			*size = y[i];
			*interval = since;
		}
		else
		{
			*size += alpha * (y[i] - *size);
			*interval += alpha * (since - *interval);
		}
		since = 0;
	}
	if (*interval == 0)
		return 0;
	return *size / *interval * (sba ? 1 - alpha / 2 : 1);
}

/*
 * TSB's rate; alpha smooths sizes, beta probabilities.  *size, *probability:
 * their smoothed values.
 */
double
ec_tsb(const double *y, int n, double alpha, double beta, double *size, double *probability)
{
	int			beginning = Min(n, BEGINNING);
	int			demands = 0;

	*size = 0;
	*probability = 0;
	for (int i = 0; i < n && (i < beginning || demands == 0); i++)
	{
		if (y[i] > 0)
		{
			*size += y[i];
			demands++;
		}
		if (i < beginning)
			*probability = (double) demands / beginning;
	}
	if (demands == 0)
		return 0;
	*size /= demands;
	for (int i = 0; i < n; i++)
	{
		if (y[i] > 0)
		{
			*size += alpha * (y[i] - *size);
			*probability += beta * (1 - *probability);
		}
		else
			*probability -= beta * *probability;
	}
	return *size * *probability;
}

/*
 * ADIDA's rate; 0 if there is no demand.  Blocks are counted from the end.
 */
double
ec_adida(const double *y, int n)
{
	double		adi;
	double		cv2;
	int			block;
	int			blocks;
	double	   *sums;
	EcSmooth	fit;

	if (ec_series_class(y, n, &adi, &cv2) == EC_CLASS_NONE)
		return 0;
	block = (int) Min(Max(1, rint(adi)), n);
	blocks = n / block;
	sums = palloc0(sizeof(double) * blocks);
	for (int i = 0; i < blocks; i++)
		for (int k = 0; k < block; k++)
			sums[i] += Max(0, y[n - (blocks - i) * block + k]);
	ec_ses_fit(sums, blocks, &fit);
	pfree(sums);
	return Max(0, fit.level) / block;
}

/* speeds of ec_levels(), and how many values make a weight of one power */
static const double levels_alpha[] = {0.1, 0.15, 0.2, 0.3, 0.4};
#define LEVELS_VALUES_A_POWER 4.0
#define LEVELS_MOST_POWER 50.0

/*
 * The largest demand that is taken at face value; the series has at least one
 * above zero.
 */
static double
spike_limit(const double *y, int n)
{
	double		largest = 0;
	double		second = 0;
	double		sum = 0;
	double		squares = 0;
	double		mean;
	int			demands = 0;

	for (int i = 0; i < n; i++)
	{
		if (y[i] <= 0)
			continue;
		demands++;
		sum += y[i];
		if (y[i] > largest)
		{
			second = largest;
			largest = y[i];
		}
		else if (y[i] > second)
			second = y[i];
	}
	if (demands < 2)
		return largest;
	mean = sum / demands;
	for (int i = 0; i < n; i++)
		if (y[i] > 0)
			squares += (y[i] - mean) * (y[i] - mean);
	return Min(1.25 * second, mean + 2 * sqrt(squares / (demands - 1)));
}

/*
 * The rate by several smoothings at once; *alpha: their weighted speed;
 * *variance: of the one-step errors (against the values as they are), weighted
 * towards the end like the rate.  n at least 1.
 */
double
ec_levels(const double *y, int n, double *alpha, double *variance)
{
	double		limit = HUGE_VAL;
	double		level[lengthof(levels_alpha)];
	double		sse[lengthof(levels_alpha)];
	double		var[lengthof(levels_alpha)];
	double		best = HUGE_VAL;
	double		weights = 0;
	double		rate = 0;
	double		power = Min(n / LEVELS_VALUES_A_POWER, LEVELS_MOST_POWER);
	double		start = 0;
	double		start_square = 0;
	int			beginning = Min(n, 12);

	*alpha = *variance = 0;
	for (int i = 0; i < n; i++)
	{
		if (y[i] > 0)
		{
			limit = spike_limit(y, n);
			break;
		}
	}
	for (int i = 0; i < beginning; i++)
		start += Min(y[i], limit) / beginning;
	for (int i = 0; i < beginning; i++)
		start_square += (y[i] - start) * (y[i] - start) / beginning;
	for (int k = 0; k < lengthof(levels_alpha); k++)
	{
		level[k] = start;
		sse[k] = 0;
		var[k] = start_square;
	}
	for (int i = 0; i < n; i++)
	{
		double		v = Min(y[i], limit);

		for (int k = 0; k < lengthof(levels_alpha); k++)
		{
			double		error = v - level[k];
			double		real = y[i] - level[k];

			sse[k] += error * error;
			level[k] += levels_alpha[k] * error;
			var[k] += 0.1 * (real * real - var[k]);
		}
	}
	for (int k = 0; k < lengthof(levels_alpha); k++)
		best = Min(best, sse[k]);
	for (int k = 0; k < lengthof(levels_alpha); k++)
	{
		double		weight = best > 0 ? pow(sse[k] / best, -power) : 1;

		weights += weight;
		rate += weight * level[k];
		*alpha += weight * levels_alpha[k];
		*variance += weight * var[k];
	}
	*alpha /= weights;
	*variance /= weights;
	return rate / weights;
}

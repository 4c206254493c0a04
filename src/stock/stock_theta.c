/*-------------------------------------------------------------------------
 *
 * stock_theta.c
 *		The Theta method, and its dynamic optimised form.
 *
 * Theta (Assimakopoulos, Nikolopoulos, "The theta model: a decomposition
 * approach to forecasting", 2000) is simple smoothing with a drift of half the
 * slope of the regression on time (Hyndman, Billah, "Unmasking the Theta
 * method", 2003).
 *
 * The dynamic optimised one (Fiorucci, Pellegrini, Louzada, Petropoulos,
 * Koehler, "Models for optimising the theta method and their relationship to
 * state space models", 2016, DOTM) estimates how much of the line counts, and
 * computes the line anew after each value:
 *		forecast(t+1) = level + (1 - 1/theta) ((1-alpha)^t A(t) + (1-(1-alpha)^(t+1))/alpha B(t))
 *		level = alpha value + (1-alpha) level
 * with A + B (t+1) the regression line through the first t values.  The level
 * does not depend on theta, so for a given alpha the errors are linear in the
 * initial level and in w = 1 - 1/theta, and both come from least squares;
 * only alpha is searched for.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "miscadmin.h"

#include "stock/stock_forecast.h"

#define LEAST 1e-4
#define MOST 0.9999

/* Slope of the regression of y on 0 .. n-1; 0 for a single value. */
static double
slope_of(const double *y, int n)
{
	double		middle = (n - 1) / 2.0;
	double		sum = 0;

	if (n < 2)
		return 0;
	for (int i = 0; i < n; i++)
		sum += (i - middle) * (y[i] - y[0]);
	return sum * 12 / ((double) n * ((double) n * n - 1));
}

/* Theta with a given parameter; n at least 1. */
void
ec_theta_run(const double *y, int n, double alpha, EcTheta *fit)
{
	ec_ses_sse(y, n, alpha, &fit->ses);
	fit->drift = slope_of(y, n) / 2;
	fit->theta = 2;
	fit->n = n;
	fit->sse = fit->ses.sse;
}

/* Theta with the best parameter. */
void
ec_theta_fit(const double *y, int n, EcTheta *fit)
{
	ec_ses_fit(y, n, &fit->ses);
	ec_theta_run(y, n, fit->ses.alpha, fit);
}

/* Forecast h periods after the series, h from 1. */
double
ec_theta_mean(const EcTheta *fit, int h)
{
	double		alpha = fit->ses.alpha;

	return fit->ses.level + fit->drift * (h - 1 + (1 - pow(1 - alpha, fit->n)) / alpha);
}

/* ---- dynamic optimised ---- */

typedef struct DotmSeries
{
	const double *y;
	int			n;
	double		origin;
	const double *a;			/* the line through the first i values, less origin; */
	const double *b;			/* i from 0: there is none yet */
	EcTheta    *fit;
} DotmSeries;

static double
dotm_objective(double alpha, void *arg)
{
	DotmSeries *s = arg;
	double		level = 0;
	double		unit = 1;		/* (1 - alpha)^i */
	double		cc = 0,
				cu = 0,
				cg = 0,
				uu = 0,
				ug = 0,
				gg = 0;
	double		level0;
	double		w;
	double		det;
	double		inverse = 1 / alpha;
	double		sse;

	CHECK_FOR_INTERRUPTS();
	for (int i = 0; i < s->n; i++)
	{
		double		c = s->y[i] - s->origin - level;
		double		next = unit * (1 - alpha);
		double		g = unit * s->a[i] + (1 - next) * inverse * s->b[i];

		cc += c * c;
		cu += c * unit;
		cg += c * g;
		uu += unit * unit;
		ug += unit * g;
		gg += g * g;
		level += alpha * c;
		unit = next;
	}
	det = uu * gg - ug * ug;
	w = det > 1e-12 * uu * gg ? (cg * uu - cu * ug) / det : 0;
	w = Min(Max(w, 0), 1);
	level0 = (cu - w * ug) / uu;
	sse = Max(0, cc - 2 * (level0 * cu + w * cg) + level0 * level0 * uu + 2 * level0 * w * ug + w * w * gg);
	if (s->fit != NULL)
	{
		s->fit->ses.alpha = alpha;
		s->fit->ses.level0 = s->origin + level0;
		s->fit->ses.level = s->origin + level + unit * level0;
		s->fit->theta = w < 1 ? 1 / (1 - w) : HUGE_VAL;
		s->fit->sse = s->fit->ses.sse = sse;
	}
	return sse;
}

/* Dynamic optimised theta with a given alpha, or the best one (0); n at least 1. */
void
ec_dotm_run(const double *y, int n, double alpha, EcTheta *fit)
{
	DotmSeries	s = {y, n, y[0]};
	double	   *a = palloc(sizeof(double) * n);
	double	   *b = palloc(sizeof(double) * n);
	double		mean = 0;
	double		slope = 0;
	double		best;

	/* after i values: the mean, and the slope by the recursion of the article */
	for (int i = 0; i < n; i++)
	{
		double		t = i + 1;
		double		v = y[i] - s.origin;

		a[i] = i == 0 ? 0 : mean - slope * t / 2;
		b[i] = slope;
		if (i > 0)
			slope = ((t - 2) * slope + 6 * (v - mean) / t) / (t + 1);
		mean = ((t - 1) * mean + v) / t;
	}
	s.a = a;
	s.b = b;
	if (alpha <= 0)
		alpha = ec_minimise(dotm_objective, &s, LEAST, MOST, 8, 1e-5, &best);
	memset(fit, 0, sizeof(*fit));
	s.fit = fit;
	dotm_objective(alpha, &s);
	fit->n = n;
	fit->mean_at_end = s.origin + mean;
	fit->slope_at_end = slope;
	fit->origin = s.origin;
	fit->ses.phi = 1;
	pfree(a);
	pfree(b);
}

void
ec_dotm_fit(const double *y, int n, EcTheta *fit)
{
	ec_dotm_run(y, n, 0, fit);
}

/*
 * Forecasts of the periods after the series.  The line and the level go on
 * with the forecasts in the place of values.
 */
void
ec_dotm_means(const EcTheta *fit, int horizon, double *mean)
{
	double		alpha = fit->ses.alpha;
	double		w = isinf(fit->theta) ? 1 : 1 - 1 / fit->theta;
	double		level = fit->ses.level;
	double		average = fit->mean_at_end;
	double		slope = fit->slope_at_end;
	double		unit = pow(1 - alpha, fit->n);
	double		t = fit->n;

	for (int h = 0; h < horizon; h++)
	{
		double		next = unit * (1 - alpha);
		double		a = average - fit->origin - slope * (t + 1) / 2;
		double		v = level + w * (unit * a + (1 - next) / alpha * slope);

		mean[h] = v;
		level = alpha * v + (1 - alpha) * level;
		unit = next;
		t++;
		slope = ((t - 2) * slope + 6 * (v - average) / t) / (t + 1);
		average = ((t - 1) * average + v) / t;
	}
}

/*-------------------------------------------------------------------------
 *
 * stock_distribution.c
 *		Distributions of demand: normal, negative binomial (Poisson where the
 *		variance is not above the mean), and the sums over windows that a
 *		series shows.
 *
 * Quantile: the least x with P(demand <= x) at least p.  Loss: the expected
 * shortage E[max(demand - x, 0)] (Snyder, Shen, "Fundamentals of supply chain
 * theory", 2019, appendix C).
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <float.h>
#include <math.h>

#include "miscadmin.h"
#include "port.h"

#include "stock/stock_forecast.h"

/* of the continued fractions and series of the incomplete functions */
#define ITERATIONS 100000
#define PRECISION 1e-14
#define TINY 1e-300

/* above this mean, the discrete distributions are as good as continuous ones */
#define LARGE_MEAN 1e9

/* ---- normal ---- */

double
ec_normal_cdf(double z)
{
	return 0.5 * erfc(-z / M_SQRT2);
}

/*
 * p from 0 to 1; the ends are infinite.  Acklam's rational approximation
 * (2003) with one step of Halley's method, which makes it exact to 1e-15.
 */
double
ec_normal_quantile(double p)
{
	static const double a[] = {-3.969683028665376e+01, 2.209460984245205e+02, -2.759285104469687e+02,
		1.383577518672690e+02, -3.066479806614716e+01, 2.506628277459239e+00};
	static const double b[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
		6.680131188771972e+01, -1.328068155288572e+01};
	static const double c[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
		-2.549732539343734e+00, 4.374664141464968e+00, 2.938163982698783e+00};
	static const double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
		3.754408661907416e+00};
	double		q;
	double		r;
	double		x;
	double		e;
	double		u;

	if (p <= 0)
		return -HUGE_VAL;
	if (p >= 1)
		return HUGE_VAL;
	if (p > 0.5)
		return -ec_normal_quantile(1 - p);
	if (p < 0.02425)
	{
		q = sqrt(-2 * log(p));
		x = (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
			((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
	}
	else
	{
		q = p - 0.5;
		r = q * q;
		x = (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
			(((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
	}
	e = ec_normal_cdf(x) - p;
	u = e * sqrt(2 * M_PI) * exp(x * x / 2);
	return x - u / (1 + x * u / 2);
}

/* Expected shortage in standard deviations at z of them above the mean. */
double
ec_normal_loss(double z)
{
	return exp(-z * z / 2) / sqrt(2 * M_PI) - z * ec_normal_cdf(-z);
}

/* ---- negative binomial, Poisson ---- */

/* lgamma() as a function that no other thread's sign disturbs */
static double
log_gamma(double x)
{
	int			sign;

	return lgamma_r(x, &sign);
}

/* Upper regularised incomplete gamma function Q(a, x): P(Poisson(x) < a). */
double
ec_gamma_upper(double a, double x)
{
	double		front;

	if (x <= 0)
		return 1;
	front = exp(a * log(x) - x - log_gamma(a));
	if (x < a + 1)
	{
		double		term = 1 / a;
		double		sum = term;

		for (int i = 1; i < ITERATIONS && term > sum * PRECISION; i++)
		{
			term *= x / (a + i);
			sum += term;
		}
		return 1 - front * sum;
	}
	else
	{
		double		b = x + 1 - a;
		double		c = 1 / TINY;
		double		d = 1 / b;
		double		h = d;

		for (int i = 1; i < ITERATIONS; i++)
		{
			double		an = -i * (i - a);
			double		delta;

			b += 2;
			d = an * d + b;
			d = 1 / (fabs(d) < TINY ? TINY : d);
			c = b + an / c;
			c = fabs(c) < TINY ? TINY : c;
			delta = d * c;
			h *= delta;
			if (fabs(delta - 1) < PRECISION)
				break;
		}
		return front * h;
	}
}

/* Regularised incomplete beta function by its continued fraction (Lentz). */
static double
beta_incomplete(double a, double b, double x)
{
	double		front;
	double		c = 1;
	double		d;
	double		h;

	if (x <= 0)
		return 0;
	if (x >= 1)
		return 1;
	if (x > (a + 1) / (a + b + 2))
		return 1 - beta_incomplete(b, a, 1 - x);
	front = exp(log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * log(x) + b * log1p(-x)) / a;
	d = 1 - (a + b) * x / (a + 1);
	d = 1 / (fabs(d) < TINY ? TINY : d);
	h = d;
	for (int i = 1; i < ITERATIONS; i++)
	{
		double		m = i;
		double		n = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		double		delta;

		d = 1 + n * d;
		d = 1 / (fabs(d) < TINY ? TINY : d);
		c = 1 + n / c;
		c = fabs(c) < TINY ? TINY : c;
		h *= d * c;
		n = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
		d = 1 + n * d;
		d = 1 / (fabs(d) < TINY ? TINY : d);
		c = 1 + n / c;
		c = fabs(c) < TINY ? TINY : c;
		delta = d * c;
		h *= delta;
		if (fabs(delta - 1) < PRECISION)
			break;
	}
	return Min(1, front * h);
}

/* Is this mean and variance, for our purpose, Poisson's? */
static bool
is_poisson(double mean, double variance)
{
	return variance <= mean * (1 + 1e-9);
}

/* P(demand <= x), x a whole number, possibly negative. */
double
ec_negbin_cdf(double mean, double variance, double x)
{
	if (x < 0)
		return 0;
	if (mean <= 0)
		return 1;
	if (is_poisson(mean, variance))
		return ec_gamma_upper(floor(x) + 1, mean);
	return beta_incomplete(mean * mean / (variance - mean), floor(x) + 1, mean / variance);
}

/*
 * Quantile of whole-numbered demand with this mean and variance; 0 if the
 * mean is not positive, infinite at p = 1.
 */
double
ec_negbin_quantile(double mean, double variance, double p)
{
	double		lo = -1;
	double		hi;
	double		sd;

	if (mean <= 0 || p <= 0)
		return 0;
	if (p >= 1)
		return HUGE_VAL;
	sd = sqrt(Max(mean, variance));
	if (mean > LARGE_MEAN)
		return Max(0, ceil(mean + ec_normal_quantile(p) * sd));
	hi = ceil(mean + Max(1, ec_normal_quantile(p)) * sd);
	while (ec_negbin_cdf(mean, variance, hi) < p && hi < DBL_MAX / 4)
	{
		CHECK_FOR_INTERRUPTS();
		lo = hi;
		hi = 2 * hi + 1;
	}
	while (hi - lo > 1)
	{
		double		middle = floor((lo + hi) / 2);

		if (middle <= lo || middle >= hi)
			break;
		if (ec_negbin_cdf(mean, variance, middle) >= p)
			hi = middle;
		else
			lo = middle;
	}
	return hi;
}

/* Expected shortage above x, a whole number. */
double
ec_negbin_loss(double mean, double variance, double x)
{
	double		above;

	x = floor(x);
	if (mean <= 0)
		return x < 0 ? -x : 0;
	if (x < 0)
		return mean - x;
	above = 1 - ec_negbin_cdf(mean, variance, x);
	/* k P(k) = mean times P(k - 1), of r + 1 where the distribution has r */
	if (is_poisson(mean, variance))
		return mean * (1 - ec_negbin_cdf(mean, variance, x - 1)) - x * above;
	{
		double		ratio = variance / mean;
		double		more = mean + ratio - 1;	/* mean for r + 1 */

		return mean * (1 - ec_negbin_cdf(more, more * ratio, x - 1)) - x * above;
	}
}

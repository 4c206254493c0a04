/*-------------------------------------------------------------------------
 *
 * scoring_value.c
 *		How much an order of a customer is worth: the gamma-gamma model.
 *
 * A customer's orders vary around a mean of his own (gamma: p), and means
 * vary over customers (q, v).  Fader, Hardie: The Gamma-Gamma Model of
 * Monetary Value, 2013.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "miscadmin.h"

#include "scoring/scoring.h"

typedef struct ValueFit
{
	const double *x;
	const double *m;
	const double *n;
	int			nrows;
	double		scale;			/* values are divided by it */
	double		weight;
} ValueFit;

/* EcObjective: theta are the logarithms of p, q, v. */
static double
objective(const double *theta, double *gradient, void *arg)
{
	const ValueFit *fit = arg;
	double		p = exp(theta[0]);
	double		q = exp(theta[1]);
	double		v = exp(theta[2]);
	double		log_v = theta[2];
	double		digamma_q = ec_digamma(q);
	double		lgamma_q = lgamma(q);
	double		sum = 0;
	double		of_x = -1;
	double		constant = 0;
	double		dpx = 0;
	double		dsum = 0;

	gradient[0] = gradient[1] = gradient[2] = 0;
	for (int i = 0; i < fit->nrows; i++)
	{
		double		x = fit->x[i];
		double		m = fit->m[i] / fit->scale;
		double		all = x * m + v;
		double		log_all = log(all);
		double		n = fit->n[i];

		if (i % 65536 == 0)
			CHECK_FOR_INTERRUPTS();
		if (x != of_x)
		{
			of_x = x;
			constant = lgamma(p * x + q) - lgamma(p * x) - lgamma_q + q * log_v;
			dsum = ec_digamma(p * x + q);
			dpx = ec_digamma(p * x);
		}
		sum += n * (constant + p * x * log(x * m) - log(m) - (p * x + q) * log_all);
		gradient[0] += n * x * (dsum - dpx + log(x * m) - log_all);
		gradient[1] += n * (dsum - digamma_q + log_v - log_all);
		gradient[2] += n * (q / v - (p * x + q) / all);
	}
	gradient[0] *= p * fit->weight;
	gradient[1] *= q * fit->weight;
	gradient[2] *= v * fit->weight;
	return sum * fit->weight;
}

/*
 * Fit by maximum likelihood.  x: orders each mean is of, m: the mean, n: so
 * many customers; all > 0 and in an order that does not depend on chance.
 * fit->param are p, q, v; v has the unit of m.
 */
void
ec_gamma_gamma_fit(const double *x, const double *m, const double *n, int nrows, EcFit *fit)
{
	static const double lower[EC_PARAMS_MAX] = {-7, -7, -14};
	static const double upper[EC_PARAMS_MAX] = {12, 12, 14};
	ValueFit	work = {x, m, n, nrows, 0, 1};
	double		theta[EC_PARAMS_MAX] = {log(2.0), log(3.0), 0};
	double		gradient[EC_PARAMS_MAX];
	double		total = 0;
	double		logs = 0;

	memset(fit, 0, sizeof(EcFit));
	for (int i = 0; i < nrows; i++)
	{
		total += n[i];
		logs += n[i] * log(m[i]);
	}
	fit->customers = fit->repeaters = total;
	work.scale = exp(logs / total);
	work.weight = 1 / total;
	(void) ec_maximise(objective, &work, 3, theta, lower, upper, 1e-9, NULL, &fit->converged);

	work.weight = 1;
	for (int i = 0; i < 3; i++)
		fit->held[i] = theta[i] <= lower[i] || theta[i] >= upper[i];
	fit->covariance_known = ec_covariance(objective, &work, 3, theta, fit->held, fit->covariance);
	fit->log_likelihood = objective(theta, gradient, &work) - total * log(work.scale);
	for (int i = 0; i < 3; i++)
		fit->param[i] = exp(theta[i]) * (i == 2 ? work.scale : 1);
	ec_fit_errors(fit, 3);
}

/*
 * Mean value of an order of a customer whose x orders had the mean m: between
 * his own mean and everybody's.  Not above 0 if there is no finite one.
 */
double
ec_gamma_gamma_value(const double *param, double x, double m)
{
	double		below = param[0] * x + param[1] - 1;

	return below <= 0 ? -1 : param[0] * (param[2] + x * m) / below;
}

/*-------------------------------------------------------------------------
 *
 * scoring_special.c
 *		Functions and rules of integration that <math.h> does not have.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "common/hashfn.h"

#include "scoring/scoring.h"

/* rules of beta distributions that are kept */
#define BETA_RULES_KEPT 128

/*
 * Derivative of lgamma() for x > 0: the recurrence up to 10, then the
 * asymptotic series (Abramowitz, Stegun 1964, 6.3.5 and 6.3.18).  Relative
 * error about 1e-15.
 */
double
ec_digamma(double x)
{
	double		result = 0;
	double		z;

	while (x < 10)
	{
		result -= 1 / x;
		x += 1;
	}
	z = 1 / (x * x);
	return result + log(x) - 0.5 / x
		- z * (1.0 / 12 - z * (1.0 / 120 - z * (1.0 / 252 - z * (1.0 / 240 - z * (1.0 / 132 -
																				z * (691.0 / 32760 - z / 12))))));
}

/*
 * log(exp(a) + exp(b)) without overflow.
 */
double
ec_log_sum(double a, double b)
{
	if (a < b)
	{
		double		c = a;

		a = b;
		b = c;
	}
	return b == -HUGE_VAL ? a : a + log1p(exp(b - a));
}

/* ---- Gauss-Legendre ---- */

static double legendre_x[EC_LEGENDRE];
static double legendre_w[EC_LEGENDRE];
static bool legendre_ready = false;

/*
 * Nodes and weights on [-1, 1], EC_LEGENDRE of them: roots of the Legendre
 * polynomial by Newton's method.
 */
void
ec_legendre(const double **x, const double **w)
{
	if (!legendre_ready)
	{
		const int	n = EC_LEGENDRE;

		for (int i = 0; i < n; i++)
		{
			double		z = cos(M_PI * (i + 0.75) / (n + 0.5));
			double		slope = 1;

			for (int round = 0; round < 100; round++)
			{
				double		p0 = 1;
				double		p1 = z;
				double		move;

				for (int k = 2; k <= n; k++)
				{
					double		p2 = ((2 * k - 1) * z * p1 - (k - 1) * p0) / k;

					p0 = p1;
					p1 = p2;
				}
				slope = n * (z * p1 - p0) / (z * z - 1);
				move = p1 / slope;
				z -= move;
				if (fabs(move) < 1e-15)
					break;
			}
			legendre_x[i] = z;
			legendre_w[i] = 2 / ((1 - z * z) * slope * slope);
		}
		legendre_ready = true;
	}
	*x = legendre_x;
	*w = legendre_w;
}

/* ---- expectation over a beta distribution ---- */

/*
 * Nodes p and weights w for E[f(p)] = sum of w f(p), where p is distributed
 * as Beta(a, b), for f that is smooth on (0, 1] and vanishes at 0 (callers
 * take the value at 0 out first: for small a much of the mass is nearer to 0
 * than any node).
 *
 * The trapezoidal rule in v, where the logit of p is the distribution's mode
 * plus width * sinh(v): as wide as the distribution where it is narrow, and
 * reaching far out where it has long tails.
 */
void
ec_beta_rule(double a, double b, EcBetaRule *rule)
{
	const double reach = 650;	/* of the logit; exp() does not underflow */
	double		mode = log(a / b);
	double		width = Min(1.0, sqrt(1 / a + 1 / b));
	double		span = asinh((reach - Min(fabs(mode), reach / 2)) / width);
	double		h = 2 * span / (EC_BETA_NODES - 1);
	double		norm = lgamma(a + b) - lgamma(a) - lgamma(b);

	for (int i = 0; i < EC_BETA_NODES; i++)
	{
		double		v = -span + i * h;
		double		s = mode + width * sinh(v);
		double		log_p = s > 0 ? -log1p(exp(-s)) : s - log1p(exp(s));
		double		log_1mp = log_p - s;

		rule->p[i] = exp(log_p);
		rule->w[i] = h * width * cosh(v) * exp(norm + a * log_p + b * log_1mp);
	}
}

/*
 * The same, kept for those who ask about few distributions in turn: customers
 * have few numbers of purchases, and errors are found from parameters nearby.
 * Valid until the next call.
 */
const EcBetaRule *
ec_beta_rule_kept(double a, double b)
{
	static EcBetaRule rules[BETA_RULES_KEPT];
	static struct
	{
		double		a;
		double		b;
	}			of[BETA_RULES_KEPT];
	uint32		place = hash_combine(hash_bytes((const unsigned char *) &a, sizeof(a)),
									 hash_bytes((const unsigned char *) &b, sizeof(b))) % BETA_RULES_KEPT;

	if (of[place].a != a || of[place].b != b)
	{
		ec_beta_rule(a, b, &rules[place]);
		of[place].a = a;
		of[place].b = b;
	}
	return &rules[place];
}

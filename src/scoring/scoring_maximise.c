/*-------------------------------------------------------------------------
 *
 * scoring_maximise.c
 *		The maximum of a smooth function of few parameters, by its gradient.
 *
 * Quasi-Newton steps after Broyden, Fletcher, Goldfarb and Shanno (Nocedal,
 * Wright: Numerical Optimization, 2nd ed., 2006, chapter 6), with a box: a
 * parameter that reaches its bound stays there while the gradient pushes
 * outwards.  Likelihoods of customer histories run off when the data do not
 * tell a parameter (a customer base in which nobody leaves has no rate of
 * leaving), and the answer then is the bound and the word that it is one.
 *
 * Parameters are logarithms of positive numbers, so bounds are the same for
 * all of them and steps have a natural size.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/float.h"

#include "scoring/scoring.h"

#define ITERATIONS_MAX 300
#define STEP_MAX 2.0			/* change of a logarithm in one step */

/*
 * Maximise f, starting at theta (nparams logarithms), within [lo, hi].
 *
 * On return theta is where the search ended.  Returns the value there;
 * *converged says whether the gradient, per observation, vanished (but for
 * parameters at a bound).  tolerance is for that.  inverse: what is known of
 * the inverse of the negative Hessian before (row-wise, positive definite)
 * and after; NULL if nobody wants it.  Interruptible.
 */
double
ec_maximise(EcObjective f, void *arg, int nparams, double *theta, const double *lo,
			const double *hi, double tolerance, double *inverse, bool *converged)
{
	double		h[EC_PARAMS_MAX][EC_PARAMS_MAX];
	double		g[EC_PARAMS_MAX];
	double		gnew[EC_PARAMS_MAX];
	double		next[EC_PARAMS_MAX];
	double		step[EC_PARAMS_MAX];
	double		value = f(theta, g, arg);
	bool		fresh = (inverse == NULL);
	int			idle = 0;		/* steps in a row that gained next to nothing */

	for (int i = 0; i < nparams; i++)
		for (int j = 0; j < nparams; j++)
			h[i][j] = inverse != NULL ? inverse[i * nparams + j] : (i == j);

	*converged = false;
	for (int iteration = 0; iteration < ITERATIONS_MAX; iteration++)
	{
		bool		held[EC_PARAMS_MAX];
		double		slope = 0;
		double		largest = 0;
		double		length = 1;
		double		vnew;
		double		sy = 0;

		CHECK_FOR_INTERRUPTS();
		*converged = true;
		for (int i = 0; i < nparams; i++)
		{
			held[i] = (theta[i] <= lo[i] && g[i] < 0) || (theta[i] >= hi[i] && g[i] > 0);
			if (!held[i] && fabs(g[i]) > tolerance)
				*converged = false;
		}
		if (*converged)
			break;

		for (int i = 0; i < nparams; i++)
		{
			step[i] = 0;
			if (!held[i])
				for (int j = 0; j < nparams; j++)
					if (!held[j])
						step[i] += h[i][j] * g[j];
			slope += step[i] * g[i];
			largest = Max(largest, fabs(step[i]));
		}
		if (!(slope > 0))
		{
			/* what was learnt of the curvature is no use here */
			if (fresh)
				break;
			for (int i = 0; i < nparams; i++)
				for (int j = 0; j < nparams; j++)
					h[i][j] = (i == j);
			fresh = true;
			continue;
		}
		if (fresh)
			length = Min(1.0, 0.5 / largest);
		if (largest * length > STEP_MAX)
			length = STEP_MAX / largest;

		/* shorten the step until it gains what it should (Armijo) */
		for (int halving = 0;; halving++)
		{
			for (int i = 0; i < nparams; i++)
				next[i] = Min(Max(theta[i] + length * step[i], lo[i]), hi[i]);
			vnew = f(next, gnew, arg);
			if (isfinite(vnew) && vnew >= value + 1e-4 * length * slope)
				break;
			/* no gain that the value's last digits could show */
			if (halving == 40 || length * slope < 1e-15 * (1 + fabs(value)))
				break;
			length *= 0.5;
		}
		if (!isfinite(vnew) || vnew < value)
		{
			if (fresh || slope < 1e-13 * (1 + fabs(value)))
				break;			/* as far as double precision goes */
			for (int i = 0; i < nparams; i++)
				for (int j = 0; j < nparams; j++)
					h[i][j] = (i == j);
			fresh = true;
			continue;
		}

		/* the BFGS update of the inverse, of -f */
		{
			double		s[EC_PARAMS_MAX];
			double		y[EC_PARAMS_MAX];
			double		hy[EC_PARAMS_MAX];
			double		yhy = 0;

			for (int i = 0; i < nparams; i++)
			{
				s[i] = next[i] - theta[i];
				y[i] = g[i] - gnew[i];
				sy += s[i] * y[i];
			}
			if (sy > 1e-14)
			{
				if (fresh)
				{
					double		yy = 0;

					for (int i = 0; i < nparams; i++)
						yy += y[i] * y[i];
					for (int i = 0; i < nparams; i++)
						h[i][i] = sy / yy;
					fresh = false;
				}
				for (int i = 0; i < nparams; i++)
				{
					hy[i] = 0;
					for (int j = 0; j < nparams; j++)
						hy[i] += h[i][j] * y[j];
					yhy += hy[i] * y[i];
				}
				for (int i = 0; i < nparams; i++)
					for (int j = 0; j < nparams; j++)
						h[i][j] += (1 + yhy / sy) * s[i] * s[j] / sy - (hy[i] * s[j] + s[i] * hy[j]) / sy;
			}
		}
		/* on a ridge, or at the end of what double precision tells apart */
		idle = vnew - value > 1e-13 * (1 + fabs(value)) ? 0 : idle + 1;
		memcpy(theta, next, nparams * sizeof(double));
		memcpy(g, gnew, nparams * sizeof(double));
		value = vnew;
		if (idle == 3)
			break;
	}
	if (!*converged)
	{
		*converged = true;
		for (int i = 0; i < nparams; i++)
			if (fabs(g[i]) > 100 * tolerance && theta[i] > lo[i] && theta[i] < hi[i])
				*converged = false;
	}

	if (inverse != NULL)
		for (int i = 0; i < nparams; i++)
			for (int j = 0; j < nparams; j++)
				inverse[i * nparams + j] = h[i][j];
	return value;
}

/*
 * Covariance of the parameters at a maximum, nparams by nparams: the inverse
 * of the observed information, whose rows are differences of the gradient.  f
 * is a sum over observations, not a mean.  Parameters that are held count as
 * known and have rows and columns of 0, and so do those, from the last on, of
 * which the observations say nothing once the others are known: the
 * information is not positive definite there.  False, and all 0, if none is
 * left.  Of the logarithms, that is, of relative errors.
 */
bool
ec_covariance(EcObjective f, void *arg, int nparams, const double *theta, const bool *held,
			  double *covariance)
{
	double		a[EC_PARAMS_MAX][EC_PARAMS_MAX];
	double		l[EC_PARAMS_MAX][EC_PARAMS_MAX] = {{0}};
	double		z[EC_PARAMS_MAX][EC_PARAMS_MAX] = {{0}};	/* the inverse of l */
	int			place[EC_PARAMS_MAX];
	int			n = 0;

	memset(covariance, 0, sizeof(double) * nparams * nparams);
	for (int i = 0; i < nparams; i++)
		if (!held[i])
			place[n++] = i;
	for (int i = 0; i < n; i++)
	{
		double		at[EC_PARAMS_MAX];
		double		up[EC_PARAMS_MAX];
		double		down[EC_PARAMS_MAX];
		const double h = 1e-4;

		memcpy(at, theta, nparams * sizeof(double));
		at[place[i]] = theta[place[i]] + h;
		(void) f(at, up, arg);
		at[place[i]] = theta[place[i]] - h;
		(void) f(at, down, arg);
		for (int j = 0; j < n; j++)
			a[i][j] = -(up[place[j]] - down[place[j]]) / (2 * h);
	}
	/* Cholesky of the symmetric part; what has no pivot is taken out */
	for (int i = 0; i < n; i++)
		for (int j = 0; j <= i; j++)
		{
			double		sum = (a[i][j] + a[j][i]) / 2;

			for (int k = 0; k < j; k++)
				sum -= l[i][k] * l[j][k];
			if (i != j)
				l[i][j] = sum / l[j][j];
			else if (sum > 0 && isfinite(sum))
				l[i][i] = sqrt(sum);
			else
			{
				n--;
				for (int row = 0; row <= n; row++)
					for (int k = i; k < n; k++)
						a[row][k] = a[row][k + 1];
				for (int k = i; k < n; k++)
				{
					memcpy(a[k], a[k + 1], sizeof(a[k]));
					place[k] = place[k + 1];
				}
				i--;
				break;
			}
		}
	if (n == 0)
		return false;
	for (int c = 0; c < n; c++)
		for (int i = c; i < n; i++)
		{
			z[i][c] = (i == c) ? 1 : 0;
			for (int k = c; k < i; k++)
				z[i][c] -= l[i][k] * z[k][c];
			z[i][c] /= l[i][i];
		}
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
		{
			double		sum = 0;

			for (int k = Max(i, j); k < n; k++)
				sum += z[k][i] * z[k][j];
			covariance[place[i] * nparams + place[j]] = sum;
		}
	return true;
}

/*
 * What ec_covariance() found of the logarithms becomes that of the parameters
 * themselves, and their standard errors: NaN for those it says nothing of.
 */
void
ec_fit_errors(EcFit *fit, int nparams)
{
	for (int i = 0; i < nparams; i++)
		for (int j = 0; j < nparams; j++)
			fit->covariance[i * nparams + j] *= fit->param[i] * fit->param[j];
	for (int i = 0; i < nparams; i++)
		fit->error[i] = fit->covariance[i * nparams + i] > 0 ? sqrt(fit->covariance[i * nparams + i])
			: get_float8_nan();
}

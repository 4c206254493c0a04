/*-------------------------------------------------------------------------
 *
 * stock_ets.c
 *		Exponential smoothing: simple, damped trend, Holt-Winters.
 *
 * Parameters minimise the sum of squared one-step errors, which for additive
 * errors is maximum likelihood (Hyndman, Koehler, Ord, Snyder, "Forecasting
 * with exponential smoothing", 2008, chapter 5).  For given smoothing
 * parameters the errors are linear in the initial states, so these are found
 * exactly by least squares within each evaluation: the errors of the series
 * from states of zero, and what a unit of each state adds to them, are run in
 * parallel.  Only the smoothing parameters are searched for: one for simple
 * smoothing, three for a damped trend.
 *
 * Bounds are those in use: alpha and beta in [.0001, .9999], beta not above
 * alpha, phi in [.8, .98].
 *
 * Holt-Winters follows Winters, "Forecasting sales by exponentially weighted
 * moving averages" (1960), with the initial states of a decomposition of the
 * first two seasons.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <float.h>
#include <math.h>

#include "miscadmin.h"

#include "stock/stock_forecast.h"

#define LEAST 1e-4
#define MOST 0.9999
#define PHI_LEAST 0.8
#define PHI_MOST 0.98

/* golden section */
#define GOLDEN 0.3819660112501051

/* ---- minimisers ---- */

/*
 * Minimise f over [lo, hi]: the best of grid + 1 points, spread evenly, and
 * then Brent's method ("Algorithms for minimization without derivatives",
 * 1973, chapter 5) between its neighbours.  Returns the argument; its value
 * in *best.  NaN counts as infinitely bad.
 */
double
ec_minimise(double (*f) (double x, void *arg), void *arg, double lo, double hi, int grid,
			double tol, double *best)
{
	double		x = lo;
	double		fx = DBL_MAX;
	double		a;
	double		b;
	double		d = 0;
	double		e = 0;
	double		v;
	double		w;
	double		fv;
	double		fw;

	for (int i = 0; i <= grid; i++)
	{
		double		u = lo + (hi - lo) * i / grid;
		double		fu = f(u, arg);

		if (fu < fx)
		{
			fx = fu;
			x = u;
		}
	}
	a = Max(lo, x - (hi - lo) / grid);
	b = Min(hi, x + (hi - lo) / grid);
	v = w = x;
	fv = fw = fx;
	for (int i = 0; i < 100; i++)
	{
		double		middle = 0.5 * (a + b);
		double		tol1 = tol * fabs(x) + 1e-10;
		double		u;
		double		fu;

		if (fabs(x - middle) <= 2 * tol1 - 0.5 * (b - a))
			break;
		if (fabs(e) > tol1)
		{
			double		r = (x - w) * (fx - fv);
			double		q = (x - v) * (fx - fw);
			double		p = (x - v) * q - (x - w) * r;
			double		before = e;

			q = 2 * (q - r);
			if (q > 0)
				p = -p;
			q = fabs(q);
			e = d;
			if (fabs(p) >= fabs(0.5 * q * before) || p <= q * (a - x) || p >= q * (b - x))
			{
				e = x >= middle ? a - x : b - x;
				d = GOLDEN * e;
			}
			else
				d = p / q;
		}
		else
		{
			e = x >= middle ? a - x : b - x;
			d = GOLDEN * e;
		}
		u = x + (fabs(d) >= tol1 ? d : (d > 0 ? tol1 : -tol1));
		u = Min(Max(u, lo), hi);
		fu = f(u, arg);
		if (fu <= fx)
		{
			if (u >= x)
				a = x;
			else
				b = x;
			v = w;
			fv = fw;
			w = x;
			fw = fx;
			x = u;
			fx = fu;
		}
		else
		{
			if (u < x)
				a = u;
			else
				b = u;
			if (fu <= fw || w == x)
			{
				v = w;
				fv = fw;
				w = u;
				fw = fu;
			}
			else if (fu <= fv || v == x || v == w)
			{
				v = u;
				fv = fu;
			}
		}
	}
	*best = fx;
	return x;
}

#define SIMPLEX_DIMS 3

static double
simplex_value(double (*f) (const double *x, void *arg), void *arg, int dims, double *x,
			  const double *lo, const double *hi)
{
	double		value;

	for (int i = 0; i < dims; i++)
		x[i] = Min(Max(x[i], lo[i]), hi[i]);
	value = f(x, arg);
	return isnan(value) ? DBL_MAX : value;
}

/*
 * Minimise f of up to three arguments within [lo, hi], from x on, which
 * becomes the minimum found (Nelder, Mead, "A simplex method for function
 * minimization", 1965; points beyond a bound are moved onto it).  Stops after
 * so many evaluations, or when the values of the simplex differ by tol,
 * relative to the best.
 */
void
ec_minimise_simplex(double (*f) (const double *x, void *arg), void *arg, int dims,
					double *x, const double *step, const double *lo, const double *hi,
					int evaluations, double tol, double *best)
{
	double		p[SIMPLEX_DIMS + 1][SIMPLEX_DIMS];
	double		v[SIMPLEX_DIMS + 1];

	for (int i = 0; i <= dims; i++)
	{
		memcpy(p[i], x, sizeof(double) * dims);
		if (i > 0)
		{
			/* towards the bound that is farther */
			if (p[i][i - 1] + step[i - 1] <= hi[i - 1])
				p[i][i - 1] += step[i - 1];
			else
				p[i][i - 1] -= step[i - 1];
		}
		v[i] = simplex_value(f, arg, dims, p[i], lo, hi);
	}
	evaluations -= dims + 1;
	for (;;)
	{
		double		centre[SIMPLEX_DIMS] = {0};
		double		try[SIMPLEX_DIMS];
		double		value;
		int			worst = 0;
		int			second;
		int			good = 0;

		for (int i = 1; i <= dims; i++)
		{
			if (v[i] > v[worst])
				worst = i;
			if (v[i] < v[good])
				good = i;
		}
		second = good;
		for (int i = 0; i <= dims; i++)
			if (i != worst && v[i] > v[second])
				second = i;
		if (evaluations <= 0 || v[worst] - v[good] <= tol * (fabs(v[good]) + DBL_MIN))
		{
			memcpy(x, p[good], sizeof(double) * dims);
			*best = v[good];
			return;
		}
		for (int i = 0; i <= dims; i++)
			if (i != worst)
				for (int k = 0; k < dims; k++)
					centre[k] += p[i][k] / dims;
		for (int k = 0; k < dims; k++)
			try[k] = 2 * centre[k] - p[worst][k];
		value = simplex_value(f, arg, dims, try, lo, hi);
		evaluations--;
		if (value < v[good])
		{
			double		far[SIMPLEX_DIMS];
			double		far_value;

			for (int k = 0; k < dims; k++)
				far[k] = 3 * centre[k] - 2 * p[worst][k];
			far_value = simplex_value(f, arg, dims, far, lo, hi);
			evaluations--;
			if (far_value < value)
			{
				memcpy(try, far, sizeof(far));
				value = far_value;
			}
		}
		else if (value >= v[second])
		{
			double		near[SIMPLEX_DIMS];
			double		near_value;
			bool		outside = value < v[worst];

			for (int k = 0; k < dims; k++)
				near[k] = outside ? 0.5 * (centre[k] + try[k]) : 0.5 * (centre[k] + p[worst][k]);
			near_value = simplex_value(f, arg, dims, near, lo, hi);
			evaluations--;
			if (near_value < Min(value, v[worst]))
			{
				memcpy(try, near, sizeof(near));
				value = near_value;
			}
			else
			{
				for (int i = 0; i <= dims; i++)
				{
					if (i == good)
						continue;
					for (int k = 0; k < dims; k++)
						p[i][k] = 0.5 * (p[i][k] + p[good][k]);
					v[i] = simplex_value(f, arg, dims, p[i], lo, hi);
					evaluations--;
				}
				continue;
			}
		}
		memcpy(p[worst], try, sizeof(double) * dims);
		v[worst] = value;
	}
}

/* ---- simple exponential smoothing ---- */

typedef struct Series
{
	const double *y;
	int			n;
	double		origin;			/* subtracted from all values, against cancellation */
	EcSmooth   *fit;			/* NULL: only the error is asked for */
} Series;

/*
 * Sum of squared one-step errors of simple smoothing with the best initial
 * level.  fit, if not NULL, becomes the fitted model.
 */
double
ec_ses_sse(const double *y, int n, double alpha, EcSmooth *fit)
{
	double		origin = y[0];
	double		keep = 1 - alpha;
	double		level = 0;		/* from an initial level of zero */
	double		unit = 1;		/* what a unit of the initial level has become */
	double		cc = 0;
	double		cu = 0;
	double		uu = 0;
	double		level0;
	double		sse;

	for (int i = 0; i < n; i++)
	{
		double		c = y[i] - origin - level;

		cc += c * c;
		cu += c * unit;
		uu += unit * unit;
		level += alpha * c;
		unit *= keep;
	}
	level0 = cu / uu;
	sse = Max(0, cc - cu * level0);
	if (fit != NULL)
	{
		fit->alpha = alpha;
		fit->beta = 0;
		fit->phi = 1;
		fit->level0 = origin + level0;
		fit->trend0 = fit->trend = 0;
		fit->level = origin + level + unit * level0;
		fit->sse = sse;
	}
	return sse;
}

static double
ses_objective(double alpha, void *arg)
{
	Series	   *s = arg;

	CHECK_FOR_INTERRUPTS();
	return ec_ses_sse(s->y, s->n, alpha, NULL);
}

/* Simple smoothing with the best parameter; n at least 1. */
void
ec_ses_fit(const double *y, int n, EcSmooth *fit)
{
	Series		s = {y, n};
	double		best;
	double		alpha = ec_minimise(ses_objective, &s, LEAST, MOST, 8, 1e-5, &best);

	ec_ses_sse(y, n, alpha, fit);
}

/* ---- damped trend ---- */

/*
 * Sum of squared one-step errors of smoothing with a damped trend:
 *		forecast = level + phi trend;
 *		level = forecast + alpha error; trend = phi trend + beta error
 * with the best initial level and trend.
 */
static double
damped_sse(const double *y, int n, double origin, double alpha, double beta, double phi,
		   EcSmooth *fit)
{
	/* c: error from states of zero; p, q: minus what a unit of level and trend adds */
	double		level = 0,
				trend = 0;
	double		pl = 1,
				pt = 0;
	double		ql = 0,
				qt = 1;
	double		cc = 0,
				cp = 0,
				cq = 0,
				pp = 0,
				pq = 0,
				qq = 0;
	double		det;
	double		level0;
	double		trend0;
	double		sse;

	for (int i = 0; i < n; i++)
	{
		double		t = phi * trend;
		double		u = phi * pt;
		double		w = phi * qt;
		double		f = level + t;
		double		p = pl + u;
		double		q = ql + w;
		double		c = y[i] - origin - f;

		cc += c * c;
		cp += c * p;
		cq += c * q;
		pp += p * p;
		pq += p * q;
		qq += q * q;
		level = f + alpha * c;
		trend = t + beta * c;
		pl = p - alpha * p;
		pt = u - beta * p;
		ql = q - alpha * q;
		qt = w - beta * q;
	}
	det = pp * qq - pq * pq;
	if (det > 1e-12 * pp * qq)
	{
		level0 = (cp * qq - cq * pq) / det;
		trend0 = (cq * pp - cp * pq) / det;
	}
	else
	{
		level0 = cp / pp;
		trend0 = 0;
	}
	sse = Max(0, cc - level0 * cp - trend0 * cq);
	if (fit != NULL)
	{
		fit->alpha = alpha;
		fit->beta = beta;
		fit->phi = phi;
		fit->level0 = origin + level0;
		fit->trend0 = trend0;
		fit->level = origin + level + pl * level0 + ql * trend0;
		fit->trend = trend + pt * level0 + qt * trend0;
		fit->sse = sse;
	}
	return sse;
}

/* x: alpha, beta / alpha, phi */
static double
damped_objective(const double *x, void *arg)
{
	Series	   *s = arg;

	CHECK_FOR_INTERRUPTS();
	return damped_sse(s->y, s->n, s->origin, x[0], Max(LEAST, x[0] * x[1]), x[2], NULL);
}

/*
 * Damped trend with the best parameters; n at least 1.  With fewer than five
 * values there is nothing to tell a trend from noise: simple smoothing.
 *
 * warm: *fit holds parameters for nearly the same series, to begin with.
 * tol: stop when the errors compared differ by less, relatively; the
 * parameters of a forecast that is one of several need not be found to the
 * last digit.
 */
void
ec_damped_fit(const double *y, int n, bool warm, double tol, EcSmooth *fit)
{
	static const double lo[] = {LEAST, LEAST, PHI_LEAST};
	static const double hi[] = {MOST, 1, PHI_MOST};
	static const double step[] = {0.15, 0.2, -0.05};
	static const double warm_step[] = {0.05, 0.1, -0.03};
	static const double starts[][3] = {
		{0.1, 0.1, 0.97}, {0.3, 0.3, 0.95}, {0.5, 0.05, 0.97}, {0.7, 0.5, 0.9}, {0.95, 0.02, 0.97},
		{0.95, 0.9, 0.97}
	};
	static const double phis[] = {PHI_LEAST, 0.86, 0.92, PHI_MOST};
	Series		s = {y, n, y[0]};
	double		x[3];
	double		best = DBL_MAX;
	int			start = 0;

	if (n < 5)
	{
		ec_ses_fit(y, n, fit);
		return;
	}
	if (warm && fit->beta > 0)
	{
		x[0] = fit->alpha;
		x[1] = fit->beta / fit->alpha;
		x[2] = fit->phi;
	}
	else
	{
		warm = false;
		for (int i = 0; i < lengthof(starts); i++)
		{
			double		value = damped_objective(starts[i], &s);

			if (value < best)
			{
				best = value;
				start = i;
			}
		}
		memcpy(x, starts[start], sizeof(x));
	}
	ec_minimise_simplex(damped_objective, &s, 3, x, warm ? warm_step : step, lo, hi,
						warm ? 60 : 90, tol, &best);

	/* the error has valleys along phi: is there a deeper one? */
	start = -1;
	for (int i = 0; i < lengthof(phis); i++)
	{
		double		try[3] = {x[0], x[1], phis[i]};
		double		value = damped_objective(try, &s);

		if (value < best * (1 - tol))
		{
			best = value;
			start = i;
		}
	}
	if (start >= 0)
	{
		x[2] = phis[start];
		ec_minimise_simplex(damped_objective, &s, 3, x, step, lo, hi, 60, tol, &best);
	}
	damped_sse(y, n, y[0], x[0], Max(LEAST, x[0] * x[1]), x[2], fit);
}

/* The same parameters on another length of the series. */
void
ec_damped_run(const double *y, int n, EcSmooth *fit)
{
	if (fit->beta > 0)
		damped_sse(y, n, y[0], fit->alpha, fit->beta, fit->phi, fit);
	else
		ec_ses_sse(y, n, fit->alpha, fit);
}

/* Forecast h periods after the series, h from 1. */
double
ec_damped_mean(const EcSmooth *fit, int h)
{
	if (fit->trend == 0 || fit->phi >= 1)
		return fit->level + fit->trend * h;
	return fit->level + fit->trend * fit->phi * (1 - pow(fit->phi, h)) / (1 - fit->phi);
}

/*
 * Variance of the error h periods ahead, in units of the one-step error's
 * (Hyndman et al. 2008, table 6.1).
 */
double
ec_damped_variance(const EcSmooth *fit, int h)
{
	double		sum = 1;
	double		phi = 1;
	double		phis = 0;

	for (int j = 1; j < h; j++)
	{
		double		c;

		phi *= fit->phi;
		phis += phi;
		c = fit->alpha + fit->beta * phis;
		sum += c * c;
	}
	return sum;
}

/* ---- Holt-Winters ---- */

typedef struct HwSeries
{
	const double *y;
	int			n;
	int			period;
	bool		additive;
	double		level0;
	double		trend0;
	const double *season0;
	double	   *season;			/* scratch: period of them */
	double		level;
	double		trend;
} HwSeries;

/* x: alpha, beta, gamma.  Leaves the last states in the HwSeries. */
static double
hw_objective(const double *x, void *arg)
{
	HwSeries   *s = arg;
	double		level = s->level0;
	double		trend = s->trend0;
	double		sse = 0;

	CHECK_FOR_INTERRUPTS();
	memcpy(s->season, s->season0, sizeof(double) * s->period);
	for (int i = s->period; i < s->n; i++)
	{
		double	   *season = &s->season[i % s->period];
		double		base = level + trend;
		double		error = s->y[i] - (s->additive ? base + *season : base * *season);
		double		before = level;

		sse += error * error;
		if (s->additive)
		{
			level = x[0] * (s->y[i] - *season) + (1 - x[0]) * base;
			*season = x[2] * (s->y[i] - level) + (1 - x[2]) * *season;
		}
		else
		{
			level = x[0] * (s->y[i] / *season) + (1 - x[0]) * base;
			*season = x[2] * (s->y[i] / level) + (1 - x[2]) * *season;
		}
		trend = x[1] * (level - before) + (1 - x[1]) * trend;
	}
	s->level = level;
	s->trend = trend;
	return sse;
}

/*
 * Holt-Winters with the best parameters.  Returns false if there are less
 * than two seasons, or if multiplicative indices are asked for values that
 * are not positive.  fit->season is allocated.
 */
bool
ec_hw_fit(const double *y, int n, int period, bool additive, EcHoltWinters *fit)
{
	static const double lo[] = {0, 0, 0};
	static const double hi[] = {1, 1, 1};
	static const double step[] = {0.3, 0.1, 0.4};
	static const double starts[][3] = {{0.3, 0.1, 0.1}, {0.2, 0.02, 0.9}, {0.8, 0.05, 0.3}};
	HwSeries	s = {y, n, period, additive};
	double		best = DBL_MAX;
	double		x[3] = {0.3, 0.1, 0.1};
	double		st = 0,
				stt = 0,
				sx = 0,
				stx = 0;
	int			half = period / 2;
	int			trends = 0;
	double	   *index;
	int		   *count;
	double		mean = 0;
	double		window = 0;

	if (period < 2 || n / 2 < period)
		return false;
	if (!additive)
		for (int i = 0; i < n; i++)
			if (y[i] <= 0)
				return false;

	/* decompose the first two seasons: the trend by a line through the moving average */
	index = palloc0(sizeof(double) * period);
	count = palloc0(sizeof(int) * period);
	for (int i = 0; i < 2 * half; i++)
		window += y[i];
	for (int t = half; t + half < 2 * period; t++)
	{
		double		average;

		window += y[t + half];
		average = period % 2 == 1 ? window / period
			: (window - 0.5 * (y[t - half] + y[t + half])) / period;
		window -= y[t - half];
		index[t % period] += additive ? y[t] - average : y[t] / average;
		count[t % period]++;
		trends++;
		st += trends;
		stt += (double) trends * trends;
		sx += average;
		stx += trends * average;
	}
	for (int i = 0; i < period; i++)
	{
		index[i] = count[i] > 0 ? index[i] / count[i] : (additive ? 0 : 1);
		mean += index[i] / period;
	}
	for (int i = 0; i < period; i++)
		index[i] = additive ? index[i] - mean : index[i] / mean;
	pfree(count);
	s.season0 = index;
	s.trend0 = trends > 1 ? (stx - st * sx / trends) / (stt - st * st / trends) : 0;
	s.level0 = sx / trends - s.trend0 * st / trends;
	s.season = palloc(sizeof(double) * period);

	for (int i = 0; i < lengthof(starts); i++)
	{
		double		try[3];
		double		value;

		memcpy(try, starts[i], sizeof(try));
		ec_minimise_simplex(hw_objective, &s, 3, try, step, lo, hi, 250, 1e-9, &value);
		if (value < best)
		{
			best = value;
			memcpy(x, try, sizeof(x));
		}
	}
	if (best >= DBL_MAX)
		return false;
	fit->period = period;
	fit->additive = additive;
	fit->alpha = x[0];
	fit->beta = x[1];
	fit->gamma = x[2];
	fit->level0 = s.level0;
	fit->trend0 = s.trend0;
	fit->season0 = index;
	fit->season = s.season;
	ec_hw_run(y, n, fit);
	return true;
}

/* The same parameters on another length of the series, of two seasons at least. */
void
ec_hw_run(const double *y, int n, EcHoltWinters *fit)
{
	HwSeries	s = {y, n, fit->period, fit->additive, fit->level0, fit->trend0, fit->season0};
	double		x[3] = {fit->alpha, fit->beta, fit->gamma};

	s.season = palloc(sizeof(double) * fit->period);
	fit->sse = hw_objective(x, &s);
	fit->level = s.level;
	fit->trend = s.trend;
	fit->errors = n - fit->period;
	for (int i = 0; i < fit->period; i++)
		fit->season[i] = s.season[(n + i) % fit->period];
	pfree(s.season);
}

/* Forecast h periods after the series, h from 1. */
double
ec_hw_mean(const EcHoltWinters *fit, int h)
{
	double		base = fit->level + h * fit->trend;
	double		season = fit->season[(h - 1) % fit->period];

	return fit->additive ? base + season : base * season;
}

/*-------------------------------------------------------------------------
 *
 * stock_select.c
 *		Forecasts by name, and the choice among them.
 *
 * A model is a method fitted to a series: ec_forecast() fits one, or, asked to
 * choose, the candidates for the series' class, and judges them by rolling
 * origins (Tashman, "Out-of-sample tests of forecasting accuracy", 2000): they
 * are fitted to what lies before the first origin, then run on from origin to
 * origin with the parameters kept, and their forecasts compared with what came.
 * What is chosen is fitted to the whole.
 *
 * One series says little about which method is best for it, so the method that
 * is best for most series of a class (the mean of theta, damped trend and
 * dynamic optimised theta if there is demand in most periods, the mean of
 * several levels if not) is left only for one that is clearly better.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "miscadmin.h"

#include "stock/stock_forecast.h"

/* Croston's, SBA's and TSB's parameter */
#define INTERMITTENT_ALPHA 0.1

/* a challenger's error must be below this part of the favourite's */
#define CLEARLY_BETTER 0.5
#define BETTER 0.8

/*
 * The parts of the combination fit their series closer than they foretell it:
 * bounds from their errors must be wider by this, measured on M3 (Makridakis,
 * Hibon, "The M3-competition", 2000), to hold what they say.
 */
#define COMBINED_WIDER 1.25

/* tolerances of a damped trend that is the forecast, and of one that is a part of it */
#define FINE 1e-7
#define COARSE 1e-5

/* rolling origins, at most */
#define ORIGINS 4

/* fewer values than this tell no more than a level */
#define FEW 10

/* no rolling origins in a series shorter than this */
#define SHORTEST 8

static const struct
{
	EcMethod	method;
	const char *name;
}			methods[] =
{
	{EC_METHOD_AUTO, "auto"},
	{EC_METHOD_MEAN, "mean"},
	{EC_METHOD_NAIVE, "naive"},
	{EC_METHOD_SNAIVE, "seasonal_naive"},
	{EC_METHOD_SNAIVE, "snaive"},
	{EC_METHOD_DRIFT, "drift"},
	{EC_METHOD_SES, "ses"},
	{EC_METHOD_DAMPED, "holt_damped"},
	{EC_METHOD_DAMPED, "damped"},
	{EC_METHOD_HW_ADDITIVE, "holt_winters"},
	{EC_METHOD_HW_ADDITIVE, "hw_additive"},
	{EC_METHOD_HW_MULTIPLICATIVE, "holt_winters_multiplicative"},
	{EC_METHOD_HW_MULTIPLICATIVE, "hw_multiplicative"},
	{EC_METHOD_THETA, "theta"},
	{EC_METHOD_DOTM, "dotm"},
	{EC_METHOD_DOTM, "dynamic_theta"},
	{EC_METHOD_THETA_DAMPED, "theta_damped"},
	{EC_METHOD_COMBINED, "combined"},
	{EC_METHOD_CROSTON, "croston"},
	{EC_METHOD_SBA, "sba"},
	{EC_METHOD_TSB, "tsb"},
	{EC_METHOD_ADIDA, "adida"},
	{EC_METHOD_LEVELS, "levels"}
};

/* Does the method say a rate of demand, the same for each period? */
bool
ec_method_is_rate(EcMethod method)
{
	return method == EC_METHOD_CROSTON || method == EC_METHOD_SBA || method == EC_METHOD_TSB ||
		method == EC_METHOD_ADIDA || method == EC_METHOD_LEVELS;
}

/* The name by which we tell of a method: the first of its names. */
const char *
ec_method_name(EcMethod method)
{
	for (int i = 0; i < lengthof(methods); i++)
		if (methods[i].method == method)
			return methods[i].name;
	return NULL;
}

/* Find a method by name; false if there is none. */
bool
ec_method_find(const char *name, EcMethod *method)
{
	for (int i = 0; i < lengthof(methods); i++)
	{
		if (strcmp(methods[i].name, name) == 0)
		{
			*method = methods[i].method;
			return true;
		}
	}
	return false;
}

/* All names, for hints. */
const char *
ec_method_list(void)
{
	return "auto, mean, naive, seasonal_naive, drift, ses, holt_damped, holt_winters, holt_winters_multiplicative, theta, dynamic_theta, theta_damped, combined, croston, sba, tsb, adida, levels";
}

const char *
ec_class_name(EcSeriesClass class)
{
	switch (class)
	{
		case EC_CLASS_NONE:
			return "none";
		case EC_CLASS_SMOOTH:
			return "smooth";
		case EC_CLASS_ERRATIC:
			return "erratic";
		case EC_CLASS_INTERMITTENT:
			return "intermittent";
		case EC_CLASS_LUMPY:
			return "lumpy";
	}
	return NULL;
}

/* ---- models ---- */

/* A method fitted to a series. */
typedef struct Model
{
	EcMethod	method;
	int			n;
	int			period;			/* asked for */
	bool		nonnegative;	/* so are its forecasts */
	EcSeason	season;			/* that was removed before fitting */
	EcSmooth	smooth;			/* of simple smoothing and damped trend */
	EcTheta		theta;
	EcTheta		dotm;
	EcHoltWinters hw;
	double		alpha;			/* of the rate */
	double		rate;			/* of methods that say one */
	double		drift;
	double	   *last;			/* the last season, for seasonal naive */
	double		sigma2;			/* variance of the one-step error; NaN: unknown */
	bool		warm;			/* smooth holds parameters to begin a fit with */
} Model;

static bool
has_theta(EcMethod method)
{
	return method == EC_METHOD_THETA || method == EC_METHOD_THETA_DAMPED || method == EC_METHOD_COMBINED;
}

static bool
has_damped(EcMethod method)
{
	return method == EC_METHOD_DAMPED || method == EC_METHOD_THETA_DAMPED || method == EC_METHOD_COMBINED;
}

static bool
has_dotm(EcMethod method)
{
	return method == EC_METHOD_DOTM || method == EC_METHOD_COMBINED;
}

/*
 * Methods that are fitted to the series without its season; smoothing by name
 * is what the textbooks say.
 */
static bool
removes_season(EcMethod method)
{
	return method == EC_METHOD_THETA || method == EC_METHOD_DOTM || method == EC_METHOD_THETA_DAMPED ||
		method == EC_METHOD_COMBINED || method == EC_METHOD_LEVELS;
}

/* Variance of a rate's one-step error: of the demand around it. */
static double
variance_around(const double *y, int n, double rate)
{
	double		sum = 0;

	if (n < 2)
		return NAN;
	for (int i = 0; i < n; i++)
		sum += (y[i] - rate) * (y[i] - rate);
	return sum / (n - 1);
}

/* Mean squared difference of values "lag" periods apart; NaN if there are none. */
static double
difference_variance(const double *y, int n, int lag, double drift)
{
	double		sum = 0;

	if (n <= lag)
		return NAN;
	for (int i = lag; i < n; i++)
		sum += (y[i] - y[i - lag] - drift) * (y[i] - y[i - lag] - drift);
	return sum / (n - lag);
}

/*
 * Fit a model to the first n values; "again": keep the parameters and the
 * kind of season of its first fit.  Returns false if the method cannot be
 * fitted to so short a series.
 */
static bool
model_fit(Model *model, const double *y, int n, bool again)
{
	EcMethod	method = model->method;
	double	   *x = NULL;
	const double *z = y;
	double		sse = 0;
	double		a;
	double		b;
	int			parts = 0;

	model->n = n;
	if (removes_season(method))
	{
		if (!again)
		{
			model->season.period = model->period;
			if (!ec_season_present(y, n, model->period))
				model->season.period = 1;
		}
		if (model->season.period > 1 && ec_season_indices(y, n, &model->season))
		{
			z = x = palloc(sizeof(double) * n);
			ec_season_remove(y, n, &model->season, x);
		}
	}
	if (has_theta(method))
	{
		if (again)
			ec_theta_run(z, n, model->theta.ses.alpha, &model->theta);
		else
			ec_theta_fit(z, n, &model->theta);
		sse += model->theta.sse;
		parts++;
	}
	if (has_damped(method))
	{
		if (again)
			ec_damped_run(z, n, &model->smooth);
		else
			ec_damped_fit(z, n, model->warm, method == EC_METHOD_DAMPED ? FINE : COARSE, &model->smooth);
		sse += model->smooth.sse;
		parts++;
	}
	if (has_dotm(method))
	{
		ec_dotm_run(z, n, again ? model->dotm.ses.alpha : 0, &model->dotm);
		sse += model->dotm.sse;
		parts++;
	}
	if (method == EC_METHOD_SES)
	{
		if (again)
			ec_ses_sse(z, n, model->smooth.alpha, &model->smooth);
		else
			ec_ses_fit(z, n, &model->smooth);
		sse = model->smooth.sse;
		parts = 1;
	}
	if (parts > 0)
	{
		/* what was estimated: parameters and initial states */
		int			estimated = method == EC_METHOD_SES || method == EC_METHOD_THETA ? 2
			: method == EC_METHOD_DAMPED && model->smooth.beta > 0 ? 5 : 3;

		model->sigma2 = n > estimated ? sse / parts / (n - estimated) : NAN;
	}

	switch (method)
	{
		case EC_METHOD_MEAN:
			model->rate = 0;
			for (int i = 0; i < n; i++)
				model->rate += (y[i] - model->rate) / (i + 1);
			model->sigma2 = variance_around(y, n, model->rate);
			break;
		case EC_METHOD_NAIVE:
			model->rate = y[n - 1];
			model->sigma2 = difference_variance(y, n, 1, 0);
			break;
		case EC_METHOD_DRIFT:
			model->rate = y[n - 1];
			model->drift = n > 1 ? (y[n - 1] - y[0]) / (n - 1) : 0;
			model->sigma2 = difference_variance(y, n, 1, model->drift);
			break;
		case EC_METHOD_SNAIVE:
			if (model->period > n)
				return false;
			model->last = palloc(sizeof(double) * model->period);
			memcpy(model->last, y + n - model->period, sizeof(double) * model->period);
			model->sigma2 = difference_variance(y, n, model->period, 0);
			break;
		case EC_METHOD_HW_ADDITIVE:
		case EC_METHOD_HW_MULTIPLICATIVE:
			if (again)
				ec_hw_run(y, n, &model->hw);
			else if (!ec_hw_fit(y, n, model->period, method == EC_METHOD_HW_ADDITIVE, &model->hw))
				return false;
			model->sigma2 = model->hw.errors > 3 ? model->hw.sse / (model->hw.errors - 3) : NAN;
			break;
		case EC_METHOD_CROSTON:
		case EC_METHOD_SBA:
			model->alpha = INTERMITTENT_ALPHA;
			model->rate = ec_croston(y, n, model->alpha, method == EC_METHOD_SBA, &a, &b);
			model->sigma2 = variance_around(y, n, model->rate);
			break;
		case EC_METHOD_TSB:
			model->alpha = INTERMITTENT_ALPHA;
			model->rate = ec_tsb(y, n, model->alpha, INTERMITTENT_ALPHA, &a, &b);
			model->sigma2 = variance_around(y, n, model->rate);
			break;
		case EC_METHOD_ADIDA:
			model->rate = ec_adida(y, n);
			model->sigma2 = variance_around(y, n, model->rate);
			break;
		case EC_METHOD_LEVELS:
			model->rate = ec_levels(z, n, &model->alpha, &model->sigma2);
			if (n < 2)
				model->sigma2 = NAN;
			break;
		default:
			break;
	}
	if (x != NULL)
		pfree(x);
	return true;
}

/* Forecast of period h after the series, h from 1; dotm: its forecast. */
static double
model_mean(const Model *model, int h, double dotm)
{
	double		value = 0;

	switch (model->method)
	{
		case EC_METHOD_THETA:
			value = ec_theta_mean(&model->theta, h);
			break;
		case EC_METHOD_DOTM:
			value = dotm;
			break;
		case EC_METHOD_SES:
			value = model->smooth.level;
			break;
		case EC_METHOD_DAMPED:
			value = ec_damped_mean(&model->smooth, h);
			break;
		case EC_METHOD_THETA_DAMPED:
			value = (ec_theta_mean(&model->theta, h) + ec_damped_mean(&model->smooth, h)) / 2;
			break;
		case EC_METHOD_COMBINED:
			value = (ec_theta_mean(&model->theta, h) + ec_damped_mean(&model->smooth, h) + dotm) / 3;
			break;
		case EC_METHOD_HW_ADDITIVE:
		case EC_METHOD_HW_MULTIPLICATIVE:
			value = ec_hw_mean(&model->hw, h);
			break;
		case EC_METHOD_SNAIVE:
			value = model->last[(h - 1) % model->period];
			break;
		case EC_METHOD_DRIFT:
			value = model->rate + h * model->drift;
			break;
		default:
			value = model->rate;
			break;
	}
	if (removes_season(model->method))
		value = ec_season_apply(value, model->n + h - 1, &model->season);
	return model->nonnegative ? Max(0, value) : value;
}

static void
model_means(const Model *model, int horizon, double *mean)
{
	if (has_dotm(model->method))
		ec_dotm_means(&model->dotm, horizon, mean);
	for (int h = 1; h <= horizon; h++)
		mean[h - 1] = model_mean(model, h, mean[h - 1]);
}

/*
 * How the variance of the error grows from one step ahead to h steps ahead;
 * *carry: the caller's, 0 before h = 1.
 */
static double
model_growth(const Model *model, int h, double *carry)
{
	double		alpha;

	switch (model->method)
	{
		case EC_METHOD_NAIVE:
			return h;
		case EC_METHOD_DRIFT:
			return h * (1 + (double) h / Max(1, model->n - 1));
		case EC_METHOD_SNAIVE:
			return (h - 1) / model->period + 1;
		case EC_METHOD_DAMPED:
		case EC_METHOD_THETA_DAMPED:
		case EC_METHOD_COMBINED:

			/* Hyndman et al. 2008, table 6.1; *carry: sum of the powers of phi */
			if (h > 1)
			{
				double		c;

				*carry = model->smooth.phi * (1 + *carry);
				c = model->smooth.alpha + model->smooth.beta * *carry;
				return c * c;
			}
			return 1;
		case EC_METHOD_HW_ADDITIVE:
		case EC_METHOD_HW_MULTIPLICATIVE:
			alpha = model->hw.alpha * (1 + (h - 1) * model->hw.beta) +
				((h - 1) % model->period == 0 && h > 1 ? model->hw.gamma * (1 - model->hw.alpha) : 0);
			return h > 1 ? alpha * alpha : 1;
		case EC_METHOD_THETA:
			alpha = model->theta.ses.alpha;
			return 1 + (h - 1) * alpha * alpha;
		case EC_METHOD_DOTM:
			alpha = model->dotm.ses.alpha;
			return 1 + (h - 1) * alpha * alpha;
		case EC_METHOD_SES:
			return 1 + (h - 1) * model->smooth.alpha * model->smooth.alpha;
		default:
			return 1 + (h - 1) * model->alpha * model->alpha;
	}
}

/* Does model_growth() say what is added for each step, rather than the sum? */
static bool
growth_adds(EcMethod method)
{
	return has_damped(method) || method == EC_METHOD_HW_ADDITIVE || method == EC_METHOD_HW_MULTIPLICATIVE;
}

static void
model_sds(const Model *model, int horizon, double *sd)
{
	double		carry = 0;
	double		growth = 0;

	for (int h = 1; h <= horizon; h++)
	{
		double		g = model_growth(model, h, &carry);
		double		factor = 1;

		growth = growth_adds(model->method) ? growth + g : g;
		/* Theta's bounds are Hyndman's and Billah's: the same in every season */
		if (model->method == EC_METHOD_COMBINED)
			factor = COMBINED_WIDER;
		if (model->season.period > 1 && !model->season.additive && model->method != EC_METHOD_THETA)
			factor *= model->season.index[(model->n + h - 1) % model->season.period];
		sd[h - 1] = sqrt(model->sigma2 * growth) * factor;
	}
}

/* ---- rolling origins ---- */

/*
 * Root mean squared error of a method over rolling origins, in units of the
 * one-step naive forecast's over the series; NaN if that cannot be said.
 * *model is left fitted to the last origin.
 */
static double
rolling_error(Model *model, const double *y, int n, int horizon)
{
	int			hold = Max(1, Min(horizon, n / 4));
	int			area = Max(hold, Min(2 * hold, n / 3));
	int			step = Max(1, (area - hold + ORIGINS - 2) / (ORIGINS - 1));
	double		scale = difference_variance(y, n, 1, 0);
	double	   *mean;
	double		sum = 0;
	int			count = 0;
	bool		again = false;

	if (n < SHORTEST || !(scale > 0))
		return NAN;
	mean = palloc(sizeof(double) * hold);
	for (int origin = n - area; origin <= n - hold; origin += step)
	{
		CHECK_FOR_INTERRUPTS();
		if (!model_fit(model, y, origin, again))
			return NAN;
		again = true;
		model_means(model, hold, mean);
		for (int h = 0; h < hold; h++)
		{
			double		error = y[origin + h] - mean[h];

			sum += error * error;
			count++;
		}
	}
	pfree(mean);
	return sqrt(sum / count / scale);
}

/* What auto chooses among. */
typedef struct Candidate
{
	EcMethod	method;
	bool		seasonal;		/* with the season, if there is one; makes no sense without */
	double		better;			/* its error must be below this part of the favourite's */
} Candidate;

/* the favourite of each list comes first */
static const Candidate regular[] = {
	{EC_METHOD_COMBINED, false, 1},
	{EC_METHOD_LEVELS, false, CLEARLY_BETTER},
	{EC_METHOD_SNAIVE, true, CLEARLY_BETTER}
};
static const Candidate uneven[] = {
	{EC_METHOD_LEVELS, false, 1},
	{EC_METHOD_COMBINED, false, CLEARLY_BETTER},
	{EC_METHOD_SNAIVE, true, CLEARLY_BETTER}
};
static const Candidate rare[] = {
	{EC_METHOD_LEVELS, false, 1},
	{EC_METHOD_LEVELS, true, BETTER},
	{EC_METHOD_TSB, false, CLEARLY_BETTER},
	{EC_METHOD_ADIDA, false, CLEARLY_BETTER},
	{EC_METHOD_SNAIVE, true, CLEARLY_BETTER}
};

/*
 * Choose a method for a series of these properties; *period becomes that which
 * it is to be used with; *error: its rolling error, NaN if it is too short for one;
 * *fitted: the favourite, fitted to the whole, if that helps to judge it; its n is
 * 0 if not.
 */
static EcMethod
choose(const double *y, int n, int *period, int horizon, bool nonnegative, EcSeriesClass class,
	   double *error, Model *fitted)
{
	const Candidate *candidates = regular;
	int			ncandidates = lengthof(regular);
	bool		is_rare = class == EC_CLASS_INTERMITTENT || class == EC_CLASS_LUMPY;
	bool		season = ec_season_present(y, n, *period);
	EcMethod	chosen;
	int			chosen_period = *period;
	double		favourite = NAN;
	double		best = NAN;

	if (is_rare)
	{
		candidates = rare;
		ncandidates = lengthof(rare);
		chosen_period = 1;
	}
	else
		for (int i = 0; i < n; i++)
			if (y[i] == 0)
				candidates = uneven;
	if (n < FEW)
		candidates = uneven;
	chosen = candidates[0].method;
	*error = NAN;
	for (int i = 0; i < ncandidates; i++)
	{
		Model		model = {candidates[i].method};
		double		e;

		if (candidates[i].seasonal && (!season || n / 3 < *period))
			continue;
		if (n < FEW && i > 0)
			break;
		model.period = is_rare && !candidates[i].seasonal ? 1 : *period;
		model.nonnegative = nonnegative;
		if (i == 0 && model.method == EC_METHOD_COMBINED)
		{
			/* the parameters of the whole are where to look for those of a part */
			*fitted = model;
			(void) model_fit(fitted, y, n, false);
			model.smooth = fitted->smooth;
			model.warm = true;
		}
		e = rolling_error(&model, y, n, horizon);
		if (i == 0)
			*error = favourite = best = e;
		else if (e < favourite * candidates[i].better && e < best)
		{
			*error = best = e;
			chosen = candidates[i].method;
			chosen_period = model.period;
		}
	}
	*period = chosen_period;
	return chosen;
}

/*
 * Forecast the periods after a series of n >= 1 values.  period: 1 for none.
 * out->mean and out->sd are allocated.  judge: compute the rolling error of a
 * method that was named, too.  A method that needs more than there
 * is gives way: Holt-Winters and seasonal naive to the combination and naive.
 */
void
ec_forecast(const double *y, int n, int period, int horizon, EcMethod method, bool judge,
			EcForecast *out)
{
	Model		model = {method};
	Model		fitted = {method};
	double		adi;
	double		cv2;
	bool		nonnegative = true;

	memset(out, 0, sizeof(*out));
	for (int i = 0; i < n; i++)
		if (y[i] < 0)
			nonnegative = false;
	out->class = ec_series_class(y, n, &adi, &cv2);
	out->adi = adi;
	out->cv2 = cv2;
	out->nobs = n;
	out->horizon = horizon;
	out->error = NAN;
	if (method == EC_METHOD_AUTO)
		model.method = choose(y, n, &period, Max(1, horizon), nonnegative, out->class, &out->error,
							  &fitted);
	else if (judge)
	{
		Model		trial = {method};

		trial.period = period;
		trial.nonnegative = nonnegative;
		out->error = rolling_error(&trial, y, n, Max(1, horizon));
	}
	model.period = period;
	model.nonnegative = nonnegative;
	if (model.method == EC_METHOD_SNAIVE && (period < 2 || period > n))
		model.method = EC_METHOD_NAIVE;
	if (fitted.n == n && fitted.method == model.method)
		model = fitted;
	else if (!model_fit(&model, y, n, false))
	{
		model.method = EC_METHOD_COMBINED;
		(void) model_fit(&model, y, n, false);
	}

	out->method = model.method;
	out->period = model.method == EC_METHOD_SNAIVE || model.method == EC_METHOD_HW_ADDITIVE ||
		model.method == EC_METHOD_HW_MULTIPLICATIVE ? period : Max(1, model.season.period);
	out->nonnegative = nonnegative;
	out->alpha = out->beta = out->gamma = out->phi = out->theta = NAN;
	out->level = model.rate;
	if (has_damped(model.method) || model.method == EC_METHOD_SES)
	{
		out->alpha = model.smooth.alpha;
		if (has_damped(model.method))
		{
			out->beta = model.smooth.beta;
			out->phi = model.smooth.phi;
			out->trend = model.smooth.trend;
		}
		out->level = model.smooth.level;
	}
	else if (model.method == EC_METHOD_THETA)
	{
		out->alpha = model.theta.ses.alpha;
		out->level = model.theta.ses.level;
		out->trend = model.theta.drift;
	}
	else if (model.method == EC_METHOD_DOTM)
	{
		out->alpha = model.dotm.ses.alpha;
		out->level = model.dotm.ses.level;
	}
	else if (model.method == EC_METHOD_HW_ADDITIVE || model.method == EC_METHOD_HW_MULTIPLICATIVE)
	{
		out->alpha = model.hw.alpha;
		out->beta = model.hw.beta;
		out->gamma = model.hw.gamma;
		out->level = model.hw.level;
		out->trend = model.hw.trend;
	}
	else if (model.alpha > 0)
		out->alpha = model.alpha;
	if (has_dotm(model.method))
		out->theta = model.dotm.theta;
	if (model.method == EC_METHOD_DRIFT)
		out->trend = model.drift;
	out->sigma = sqrt(model.sigma2);
	out->mean = palloc(sizeof(double) * Max(1, horizon));
	out->sd = palloc(sizeof(double) * Max(1, horizon));
	model_means(&model, horizon, out->mean);
	model_sds(&model, horizon, out->sd);
}

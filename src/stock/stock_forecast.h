/*-------------------------------------------------------------------------
 *
 * stock_forecast.h
 *		Forecasting one series of numbers: what its parts share.
 *
 * Everything here is pure: no SPI, no clock, no settings.  Series are arrays
 * of finite doubles, oldest first, one value a period; n is their length.
 * Scratch memory comes from the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_STOCK_FORECAST_H
#define EC_STOCK_FORECAST_H

#include "compat/compat.h"

#include "utils/array.h"

/* values above this could overflow when squared and summed */
#define EC_FORECAST_MAX_VALUE 1e100

#define EC_FORECAST_MAX_LENGTH 10000000
#define EC_FORECAST_MAX_HORIZON 100000

typedef enum EcMethod
{
	EC_METHOD_AUTO,
	EC_METHOD_MEAN,
	EC_METHOD_NAIVE,
	EC_METHOD_SNAIVE,
	EC_METHOD_DRIFT,
	EC_METHOD_SES,
	EC_METHOD_DAMPED,
	EC_METHOD_HW_ADDITIVE,
	EC_METHOD_HW_MULTIPLICATIVE,
	EC_METHOD_THETA,
	EC_METHOD_DOTM,
	EC_METHOD_THETA_DAMPED,		/* mean of the two */
	EC_METHOD_COMBINED,			/* mean of theta, damped trend, dynamic optimised theta */
	EC_METHOD_CROSTON,
	EC_METHOD_SBA,
	EC_METHOD_TSB,
	EC_METHOD_ADIDA,
	EC_METHOD_LEVELS
} EcMethod;

/* Syntetos, Boylan (2005), "The accuracy of intermittent demand estimates" */
typedef enum EcSeriesClass
{
	EC_CLASS_NONE,				/* no demand at all */
	EC_CLASS_SMOOTH,
	EC_CLASS_ERRATIC,
	EC_CLASS_INTERMITTENT,
	EC_CLASS_LUMPY
} EcSeriesClass;

/* Seasonal indices: what a value is multiplied with, or what is added. */
typedef struct EcSeason
{
	int			period;			/* 1: none, then nothing else is set */
	bool		additive;
	double	   *index;			/* of position t % period; mean 1, or 0 if additive */
} EcSeason;

/* What a method says of the periods after the series. */
typedef struct EcForecast
{
	EcMethod	method;			/* that was used, never auto */
	EcSeriesClass class;
	double		adi;			/* what the class stands on; NaN: no demand */
	double		cv2;
	bool		nonnegative;	/* no value is below zero, nor is a forecast */
	int			period;			/* 1: no season was found or asked for */
	int			nobs;			/* values it stands on */
	double		alpha;			/* parameters; NaN: the method has none */
	double		beta;
	double		gamma;
	double		phi;
	double		theta;
	double		level;			/* demand a period at the end, season removed */
	double		trend;			/* change a period at the end */
	double		sigma;			/* standard deviation of the one-step error; NaN: unknown */
	double		error;			/* root mean squared error over the rolling origins, divided
								 * by that of the one-step naive forecast (RMSSE); NaN:
								 * too short, or the series never moves */
	int			horizon;
	double	   *mean;			/* horizon of them */
	double	   *sd;				/* of the error h periods ahead; NaN: unknown */
} EcForecast;

/* ---- stock_series.c ---- */
extern double *ec_series_read(ArrayType *array, int period, int *n);

/* ---- stock_season.c ---- */
extern int	ec_season_period(const double *y, int n, int most);
extern bool ec_season_present(const double *y, int n, int period);
extern bool ec_season_indices(const double *y, int n, EcSeason *season);
extern void ec_season_remove(const double *y, int n, const EcSeason *season, double *out);
extern double ec_season_apply(double value, int t, const EcSeason *season);

/* ---- stock_ets.c ---- */

/* A fitted smoothing: its parameters, and its state after the last value. */
typedef struct EcSmooth
{
	double		alpha;
	double		beta;
	double		phi;
	double		level;
	double		trend;
	double		level0;			/* before the first value */
	double		trend0;
	double		sse;			/* of the one-step errors */
} EcSmooth;

extern double ec_ses_sse(const double *y, int n, double alpha, EcSmooth *fit);
extern void ec_ses_fit(const double *y, int n, EcSmooth *fit);
extern void ec_damped_run(const double *y, int n, EcSmooth *fit);
extern void ec_damped_fit(const double *y, int n, bool warm, double tol, EcSmooth *fit);
extern double ec_damped_mean(const EcSmooth *fit, int h);
extern double ec_damped_variance(const EcSmooth *fit, int h);

typedef struct EcHoltWinters
{
	int			period;
	bool		additive;
	double		alpha;
	double		beta;
	double		gamma;
	double		level;
	double		trend;
	double	   *season;			/* of the period-th last, ..., last value */
	double		level0;			/* the initial states, for ec_hw_run() */
	double		trend0;
	double	   *season0;
	double		sse;
	int			errors;			/* that sse sums */
} EcHoltWinters;

extern void ec_hw_run(const double *y, int n, EcHoltWinters *fit);
extern bool ec_hw_fit(const double *y, int n, int period, bool additive, EcHoltWinters *fit);
extern double ec_hw_mean(const EcHoltWinters *fit, int h);
extern double ec_minimise(double (*f) (double x, void *arg), void *arg, double lo, double hi, int grid,
						  double tol, double *best);
extern void ec_minimise_simplex(double (*f) (const double *x, void *arg), void *arg, int dims,
								double *x, const double *step, const double *lo, const double *hi,
								int evaluations, double tol, double *best);

/* ---- stock_theta.c ---- */
typedef struct EcTheta
{
	EcSmooth	ses;
	double		drift;			/* half the slope of the regression on time */
	double		theta;			/* dynamic optimised: its parameter */
	double		mean_at_end;	/* mean of all values */
	double		slope_at_end;	/* of the regression on time */
	double		origin;			/* what the fit subtracted from all values */
	double		sse;
	int			n;
} EcTheta;

extern void ec_theta_run(const double *y, int n, double alpha, EcTheta *fit);
extern void ec_theta_fit(const double *y, int n, EcTheta *fit);
extern double ec_theta_mean(const EcTheta *fit, int h);
extern void ec_dotm_run(const double *y, int n, double alpha, EcTheta *fit);
extern void ec_dotm_fit(const double *y, int n, EcTheta *fit);
extern void ec_dotm_means(const EcTheta *fit, int horizon, double *mean);

/* ---- stock_intermittent.c ---- */
extern EcSeriesClass ec_series_class(const double *y, int n, double *adi, double *cv2);
extern double ec_croston(const double *y, int n, double alpha, bool sba, double *size, double *interval);
extern double ec_tsb(const double *y, int n, double alpha, double beta, double *size, double *probability);
extern double ec_levels(const double *y, int n, double *alpha, double *variance);
extern double ec_adida(const double *y, int n);

/* ---- stock_distribution.c ---- */
extern double ec_normal_cdf(double z);
extern double ec_normal_quantile(double p);
extern double ec_normal_loss(double z);
extern double ec_gamma_upper(double a, double x);
extern double ec_negbin_cdf(double mean, double variance, double x);
extern double ec_negbin_quantile(double mean, double variance, double p);
extern double ec_negbin_loss(double mean, double variance, double x);
extern double ec_demand_quantile_empirical(const double *y, int n, int lead, double p);
extern bool ec_demand_quantile(const double *y, int n, int period, double lead, double level,
							   const char *distribution, double *result);

/* ---- stock_select.c ---- */
extern const char *ec_method_name(EcMethod method);
extern bool ec_method_find(const char *name, EcMethod *method);
extern const char *ec_method_list(void);
extern bool ec_method_is_rate(EcMethod method);
extern const char *ec_class_name(EcSeriesClass class);
extern void ec_forecast(const double *y, int n, int period, int horizon, EcMethod method, bool judge,
						EcForecast *out);

#endif							/* EC_STOCK_FORECAST_H */

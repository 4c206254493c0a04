/*-------------------------------------------------------------------------
 *
 * stock_forecast.c
 *		Forecasts from SQL: of one series, by arrays.
 *
 * The functions are immutable and parallel safe: what a series forecasts
 * depends on nothing but the series.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <float.h>
#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "core/core.h"
#include "stock/stock_forecast.h"

PG_FUNCTION_INFO_V1(ecauto_forecast);
PG_FUNCTION_INFO_V1(ecauto_forecast_fit);
PG_FUNCTION_INFO_V1(ecauto_demand_quantile);
PG_FUNCTION_INFO_V1(ecauto_demand_period);
PG_FUNCTION_INFO_V1(ecauto_normal_quantile);
PG_FUNCTION_INFO_V1(ecauto_normal_loss);
PG_FUNCTION_INFO_V1(ecauto_negbin_quantile);
PG_FUNCTION_INFO_V1(ecauto_negbin_loss);

/* longest season that is looked for */
#define LONGEST_PERIOD 400

/* ---- arguments ---- */

static EcMethod
method_argument(FunctionCallInfo fcinfo, int argno)
{
	EcMethod	method = EC_METHOD_AUTO;
	char	   *name;

	if (PG_ARGISNULL(argno))
		return method;
	name = text_to_cstring(PG_GETARG_TEXT_PP(argno));
	if (!ec_method_find(name, &method))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("forecast method \"%s\" does not exist", name),
				 errhint("Methods: %s.", ec_method_list())));
	return method;
}

static int
horizon_argument(FunctionCallInfo fcinfo, int argno)
{
	int			horizon = PG_GETARG_INT32(argno);

	if (horizon < 0 || horizon > EC_FORECAST_MAX_HORIZON)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("horizon must be between 0 and %d periods", EC_FORECAST_MAX_HORIZON),
				 errdetail("The horizon is %d.", horizon)));
	return horizon;
}

/* A probability strictly between 0 and 1. */
static double
level_argument(FunctionCallInfo fcinfo, int argno)
{
	double		level = PG_GETARG_FLOAT8(argno);

	if (!(level > 0 && level < 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("level must be between 0 and 1, both excluded"),
				 errdetail("The level is %g.", level)));
	return level;
}

/*
 * Arguments 0 and 1: the series, and the period of its season, which NULL
 * leaves to the autocorrelation.  *n is 0 if nothing was observed.
 */
static double *
series_arguments(FunctionCallInfo fcinfo, int argno, int *n, int *period)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	double	   *y;

	*period = PG_ARGISNULL(argno) ? 0 : PG_GETARG_INT32(argno);
	if (*period < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("period must not be negative"),
				 errdetail("The period is %d.", *period),
				 errhint("1 stands for no season; 0 or NULL finds one by autocorrelation.")));
	y = ec_series_read(array, *period, n);
	if (*period == 0)
		*period = *n > 0 ? ec_season_period(y, *n, LONGEST_PERIOD) : 1;
	return y;
}

static void
must_not_be_null(FunctionCallInfo fcinfo, int argno, const char *name)
{
	if (PG_ARGISNULL(argno))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be NULL", name)));
}

/* ---- forecast() ---- */

static bool
all_whole(const double *y, int n)
{
	for (int i = 0; i < n; i++)
		if (y[i] != floor(y[i]))
			return false;
	return true;
}

static Datum
float_or_null(double value, bool *isnull)
{
	*isnull = isnan(value) || isinf(value);
	return Float8GetDatum(*isnull ? 0 : value);
}

/*
 * Bounds between which the value lies with probability "level".  Counts that
 * are rare or vary much are negative binomial; anything else is normal.
 */
static void
interval(const EcForecast *f, int h, bool counts, double level, double *lo, double *hi)
{
	double		mean = f->mean[h];
	double		sd = f->sd[h];

	if (counts && ec_method_is_rate(f->method) && f->class != EC_CLASS_SMOOTH && sd > 0)
	{
		*lo = Min(mean, ec_negbin_quantile(mean, sd * sd, (1 - level) / 2));
		*hi = Max(mean, ec_negbin_quantile(mean, sd * sd, (1 + level) / 2));
		return;
	}
	*lo = mean + ec_normal_quantile((1 - level) / 2) * sd;
	*hi = mean + ec_normal_quantile((1 + level) / 2) * sd;
	if (f->nonnegative)
		*lo = Max(0, *lo);
}

/*
 * ecauto.forecast(series float8[], period int, horizon int, method text, level float8)
 * returns table (h int, mean float8, lo float8, hi float8)
 */
Datum
ecauto_forecast(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	EcForecast	f = {0};
	EcMethod	method;
	double	   *y;
	double		level;
	bool		counts;
	int			horizon;
	int			period;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	must_not_be_null(fcinfo, 4, "level");
	level = level_argument(fcinfo, 4);
	method = method_argument(fcinfo, 3);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		return (Datum) 0;
	horizon = horizon_argument(fcinfo, 2);
	y = series_arguments(fcinfo, 1, &n, &period);
	if (horizon == 0)
		return (Datum) 0;
	if (n > 0)
		ec_forecast(y, n, period, horizon, method, false, &f);
	counts = n > 0 && f.nonnegative && all_whole(y, n);
	for (int h = 0; h < horizon; h++)
	{
		Datum		values[4];
		bool		nulls[4] = {false, true, true, true};
		double		lo = NAN;
		double		hi = NAN;

		values[0] = Int32GetDatum(h + 1);
		if (n > 0)
		{
			interval(&f, h, counts, level, &lo, &hi);
			values[1] = float_or_null(f.mean[h], &nulls[1]);
			values[2] = float_or_null(lo, &nulls[2]);
			values[3] = float_or_null(hi, &nulls[3]);
		}
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * ecauto.forecast_fit(series float8[], period int, horizon int, method text)
 * returns (method, class, adi, cv2, period, observations, error, level, trend, sd,
 *			alpha, beta, gamma, phi, theta, mean float8[])
 */
Datum
ecauto_forecast_fit(PG_FUNCTION_ARGS)
{
	EcForecast	f;
	EcMethod	method = method_argument(fcinfo, 3);
	TupleDesc	desc;
	Datum		values[16];
	bool		nulls[16] = {false};
	Datum	   *means;
	double	   *y;
	int			horizon;
	int			period;
	int			n;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	horizon = horizon_argument(fcinfo, 2);
	y = series_arguments(fcinfo, 1, &n, &period);
	if (n == 0)
		PG_RETURN_NULL();
	ec_forecast(y, n, period, horizon, method, true, &f);
	ec_progress_advance(1);		/* of forecast_all() */
	means = palloc(sizeof(Datum) * Max(1, horizon));
	for (int h = 0; h < horizon; h++)
		means[h] = Float8GetDatum(f.mean[h]);
	values[0] = CStringGetTextDatum(ec_method_name(f.method));
	values[1] = CStringGetTextDatum(ec_class_name(f.class));
	values[2] = float_or_null(f.adi, &nulls[2]);
	values[3] = float_or_null(f.cv2, &nulls[3]);
	values[4] = Int32GetDatum(f.period);
	values[5] = Int32GetDatum(f.nobs);
	values[6] = float_or_null(f.error, &nulls[6]);
	values[7] = float_or_null(f.level, &nulls[7]);
	values[8] = float_or_null(f.trend, &nulls[8]);
	values[9] = float_or_null(f.sigma, &nulls[9]);
	values[10] = float_or_null(f.alpha, &nulls[10]);
	values[11] = float_or_null(f.beta, &nulls[11]);
	values[12] = float_or_null(f.gamma, &nulls[12]);
	values[13] = float_or_null(f.phi, &nulls[13]);
	values[14] = float_or_null(f.theta, &nulls[14]);
	values[15] = PointerGetDatum(construct_array(means, horizon, FLOAT8OID, sizeof(float8),
												 FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* ---- distributions ---- */

/*
 * ecauto.demand_quantile(series float8[], lead float8, level float8, period int, method text)
 * returns float8
 */
Datum
ecauto_demand_quantile(PG_FUNCTION_ARGS)
{
	double	   *y;
	double		lead;
	double		level;
	double		result;
	char	   *method;
	int			period;
	int			n;

	for (int i = 0; i < 3; i++)
		if (PG_ARGISNULL(i))
			PG_RETURN_NULL();
	must_not_be_null(fcinfo, 4, "method");
	lead = PG_GETARG_FLOAT8(1);
	if (!(lead >= 0 && lead <= EC_FORECAST_MAX_HORIZON))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("lead must be between 0 and %d periods", EC_FORECAST_MAX_HORIZON),
				 errdetail("The lead is %g.", lead)));
	level = level_argument(fcinfo, 2);
	method = text_to_cstring(PG_GETARG_TEXT_PP(4));
	y = series_arguments(fcinfo, 3, &n, &period);
	if (!ec_demand_quantile(y, n, period, lead, level, method, &result))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("distribution \"%s\" does not exist", method),
				 errhint("Distributions: auto, negbin, empirical, normal.")));
	if (isnan(result))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(result);
}

/* ecauto.demand_period(series float8[]) returns int; strict */
Datum
ecauto_demand_period(PG_FUNCTION_ARGS)
{
	int			n;
	double	   *y = ec_series_read(PG_GETARG_ARRAYTYPE_P(0), 1, &n);

	PG_RETURN_INT32(n > 0 ? ec_season_period(y, n, LONGEST_PERIOD) : 1);
}

/* ecauto.normal_quantile(level float8) returns float8; strict */
Datum
ecauto_normal_quantile(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(ec_normal_quantile(level_argument(fcinfo, 0)));
}

static double
finite_argument(FunctionCallInfo fcinfo, int argno, const char *name, double least)
{
	double		value = PG_GETARG_FLOAT8(argno);

	if (isnan(value) || fabs(value) > EC_FORECAST_MAX_VALUE || value < least)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 least == 0 ? errmsg("%s must be a finite number and not negative", name)
				 : errmsg("%s must be a finite number", name),
				 errdetail("It is %g.", value)));
	return value;
}

/* ecauto.normal_loss(mean float8, sd float8, stock float8) returns float8; strict */
Datum
ecauto_normal_loss(PG_FUNCTION_ARGS)
{
	double		mean = finite_argument(fcinfo, 0, "mean", -DBL_MAX);
	double		sd = finite_argument(fcinfo, 1, "sd", 0);
	double		stock = finite_argument(fcinfo, 2, "stock", -DBL_MAX);

	if (sd == 0)
		PG_RETURN_FLOAT8(Max(0, mean - stock));
	PG_RETURN_FLOAT8(sd * ec_normal_loss((stock - mean) / sd));
}

/* ecauto.negbin_quantile(mean float8, variance float8, level float8) returns float8; strict */
Datum
ecauto_negbin_quantile(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(ec_negbin_quantile(finite_argument(fcinfo, 0, "mean", 0),
										finite_argument(fcinfo, 1, "variance", 0),
										level_argument(fcinfo, 2)));
}

/* ecauto.negbin_loss(mean float8, variance float8, stock float8) returns float8; strict */
Datum
ecauto_negbin_loss(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(ec_negbin_loss(finite_argument(fcinfo, 0, "mean", 0),
									finite_argument(fcinfo, 1, "variance", 0),
									finite_argument(fcinfo, 2, "stock", -DBL_MAX)));
}

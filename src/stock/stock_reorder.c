/*-------------------------------------------------------------------------
 *
 * stock_reorder.c
 *		Reorder points from forecasts, for many skus in one statement.
 *
 * Demand over a lead time of L days has the mean of the forecast days, and,
 * with a standard deviation of s a day and one of the lead time itself of t
 * days,
 *
 *		variance = L s^2 + m^2 t^2			(m: mean of a day)
 *
 * The reorder point is what that demand does not exceed with the probability
 * that is the service level: normal where there is demand on most days, negative
 * binomial where it is rare.  Source: E. A. Silver, D. F. Pyke, D. J. Thomas,
 * Inventory and Production Management in Supply Chains, 4th edition, section
 * 6.10 (variable lead time) and 6.7.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"

#include "stock/stock_forecast.h"

PG_FUNCTION_INFO_V1(ecauto_forecast_sum);
PG_FUNCTION_INFO_V1(ecauto_lead_units);
PG_FUNCTION_INFO_V1(ecauto_reorder_point);

/*
 * ecauto.forecast_sum(mean float8[], daily float8, first int, days float8) returns float8; strict
 *
 * Units of so many days (a fraction of the last one) from the day at place
 * "first" (from 0) on; days outside of the array have "daily" units.
 */
Datum
ecauto_forecast_sum(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	double		daily = PG_GETARG_FLOAT8(1);
	int			first = PG_GETARG_INT32(2);
	double		days = PG_GETARG_FLOAT8(3);
	int			n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	const double *values = (const double *) ARR_DATA_PTR(array);
	double		sum = 0;
	int			whole;

	if (ARR_HASNULL(array) || ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("forecast must be an array of one dimension without NULL")));
	if (!(days >= 0 && days <= EC_FORECAST_MAX_HORIZON))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("days must be between 0 and %d", EC_FORECAST_MAX_HORIZON),
				 errdetail("They are %g.", days)));
	whole = (int) floor(days);
	for (int h = 0; h <= whole; h++)
	{
		int64		place = (int64) first + h;
		double		part = h < whole ? 1 : days - whole;

		sum += part * (place >= 0 && place < n ? values[place] : daily);
	}
	PG_RETURN_FLOAT8(sum);
}

/*
 * ecauto.lead_units(periods int[], units float8[], lead float8) returns float8; strict
 *
 * What ec_demand_quantile() says of "lead" periods, from what it said of the
 * whole numbers beside it.
 */
Datum
ecauto_lead_units(PG_FUNCTION_ARGS)
{
	ArrayType  *places = PG_GETARG_ARRAYTYPE_P(0);
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(1);
	double		lead = PG_GETARG_FLOAT8(2);
	const int32 *periods = (const int32 *) ARR_DATA_PTR(places);
	const double *units = (const double *) ARR_DATA_PTR(array);
	int			n = ArrayGetNItems(ARR_NDIM(places), ARR_DIMS(places));
	double		whole = floor(lead);
	double		below = lead < 1 ? 0 : NAN;
	double		above = NAN;

	if (ARR_HASNULL(places) || ARR_HASNULL(array) ||
		n != ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)))
		PG_RETURN_NULL();
	for (int i = 0; i < n; i++)
	{
		if (periods[i] == whole)
			below = units[i];
		if (periods[i] == whole + 1)
			above = units[i];
	}
	if (lead > whole)
		below += (lead - whole) * (above - below);
	if (isnan(below))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(Max(0, below));
}

/*
 * ecauto.reorder_point(mean float8, sd float8, days float8, level float8, lead_sd float8, rare boolean)
 * returns float8; strict
 *
 * mean: units over all days; sd: of one day.
 */
Datum
ecauto_reorder_point(PG_FUNCTION_ARGS)
{
	double		mean = PG_GETARG_FLOAT8(0);
	double		sd = PG_GETARG_FLOAT8(1);
	double		days = PG_GETARG_FLOAT8(2);
	double		level = PG_GETARG_FLOAT8(3);
	double		lead_sd = PG_GETARG_FLOAT8(4);
	bool		rare = PG_GETARG_BOOL(5);
	double		a_day;
	double		variance;

	if (!(mean >= 0 && mean <= 1e15) || !(sd >= 0 && sd <= 1e15) ||
		!(days >= 0 && days <= 1e6) || !(lead_sd >= 0 && lead_sd <= 1e6))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mean, deviations and days must be finite numbers and not negative")));
	if (!(level > 0 && level < 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("level must be between 0 and 1, both excluded"),
				 errdetail("The level is %g.", level)));
	a_day = days > 0 ? mean / days : 0;
	variance = days * sd * sd + a_day * a_day * lead_sd * lead_sd;
	if (mean == 0)
		PG_RETURN_FLOAT8(0);
	if (rare)
		PG_RETURN_FLOAT8(ec_negbin_quantile(mean, Max(variance, mean), level));
	PG_RETURN_FLOAT8(Max(0, mean + ec_normal_quantile(level) * sqrt(variance)));
}

/*-------------------------------------------------------------------------
 *
 * stock_series.c
 *		From an array of SQL to a series that can be forecast.
 *
 * A NULL is a period that nobody observed: the shelf was empty, a promotion
 * bent demand, the item was not yet on sale.  It is not zero.  What comes
 * before the first observation is left out.  Where there is demand in most
 * periods a gap is filled with the mean of the nearest observations, up to two
 * on each side, of the same position in the season if there is one; where
 * demand is rare, the gap is taken out, since a filled one would look like
 * demand.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"

#include "stock/stock_forecast.h"

/* class boundary: periods from one demand to the next */
#define OFTEN 1.32

/* Fill the gaps of y in place; lag: of one season, or 1. */
static void
gaps_fill(double *y, const bool *gap, int n, int lag)
{
	for (int i = 0; i < n; i++)
	{
		double		sum = 0;
		int			count = 0;

		if (!gap[i])
			continue;
		CHECK_FOR_INTERRUPTS();
		for (int k = i - lag, found = 0; k >= 0 && found < 2; k -= lag)
			if (!gap[k])
			{
				sum += y[k];
				count++;
				found++;
			}
		for (int k = i + lag, found = 0; k < n && found < 2; k += lag)
			if (!gap[k])
			{
				sum += y[k];
				count++;
				found++;
			}
		/* a position of the season that was never seen: whatever is near */
		for (int d = 1; count == 0 && d < n; d++)
		{
			if (i - d >= 0 && !gap[i - d])
			{
				sum += y[i - d];
				count++;
			}
			if (i + d < n && !gap[i + d])
			{
				sum += y[i + d];
				count++;
			}
		}
		y[i] = sum / count;
	}
}

/*
 * Read a float8[] into a new array of doubles without gaps; *n: its length, 0
 * if nothing was observed.  period: of the season, 1 for none.
 * Errors: more than one dimension, too long, NaN, infinite, too large.
 */
double *
ec_series_read(ArrayType *array, int period, int *n)
{
	double	   *y;
	bool	   *gap;
	Datum	   *values;
	bool	   *nulls;
	int			length;
	int			observed = 0;
	int			demands = 0;
	int			first = -1;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("series must have one dimension"),
				 errdetail("It has %d.", ARR_NDIM(array))));
	deconstruct_array(array, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &values, &nulls, &length);
	if (length > EC_FORECAST_MAX_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("series must not have more than %d values", EC_FORECAST_MAX_LENGTH),
				 errdetail("It has %d.", length)));
	y = palloc(sizeof(double) * Max(1, length));
	gap = palloc(sizeof(bool) * Max(1, length));
	for (int i = 0; i < length; i++)
	{
		double		v = nulls[i] ? 0 : DatumGetFloat8(values[i]);

		if (isnan(v) || isinf(v))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("series must have finite numbers only"),
					 errdetail("Value %d is %s.", i + 1, isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity"),
					 errhint("NULL stands for a period that was not observed.")));
		if (fabs(v) > EC_FORECAST_MAX_VALUE)
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("series must not have values beyond %g", EC_FORECAST_MAX_VALUE),
					 errdetail("Value %d is %g.", i + 1, v)));
		if (first < 0)
		{
			if (nulls[i])
				continue;
			first = i;
		}
		y[i - first] = v;
		gap[i - first] = nulls[i];
		if (!nulls[i])
		{
			observed++;
			if (v > 0)
				demands++;
		}
	}
	pfree(values);
	pfree(nulls);
	*n = first < 0 ? 0 : length - first;
	if (observed < *n)
	{
		if (observed > OFTEN * demands)
		{
			int			kept = 0;

			for (int i = 0; i < *n; i++)
				if (!gap[i])
					y[kept++] = y[i];
			*n = kept;
		}
		else
			gaps_fill(y, gap, *n, Min(Max(1, period), *n));
	}
	pfree(gap);
	return y;
}

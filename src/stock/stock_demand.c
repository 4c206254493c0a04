/*-------------------------------------------------------------------------
 *
 * stock_demand.c
 *		From rows of demand to series: an aggregate, and longer periods.
 *
 * Demand is stored where there is some, so an aggregate places each value in
 * an array of all periods.  Its state is an ordinary array of float8, changed
 * in place; NaN in it is a period that nobody observed, which an aggregate's
 * result shows as NULL.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"

#include "stock/stock_forecast.h"

PG_FUNCTION_INFO_V1(ecauto_demand_series_sfunc);
PG_FUNCTION_INFO_V1(ecauto_demand_series_combinefunc);
PG_FUNCTION_INFO_V1(ecauto_demand_series_finalfunc);
PG_FUNCTION_INFO_V1(ecauto_demand_bucket);
PG_FUNCTION_INFO_V1(ecauto_demand_spread);

/* An array of n zeros. */
static ArrayType *
series_create(int n)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + sizeof(float8) * (Size) n;
	ArrayType  *array = palloc0(size);

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->dataoffset = 0;
	array->elemtype = FLOAT8OID;
	ARR_DIMS(array)[0] = n;
	ARR_LBOUND(array)[0] = 1;
	return array;
}

/* A state, checked: somebody may call our functions by hand. */
static float8 *
series_values(ArrayType *array, int *n)
{
	if (ARR_NDIM(array) != 1 || ARR_HASNULL(array) || ARR_ELEMTYPE(array) != FLOAT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("state of aggregate \"demand_series\" must be an array of one dimension without NULL")));
	*n = ARR_DIMS(array)[0];
	return (float8 *) ARR_DATA_PTR(array);
}

/* The state is changed in place, so it must be the aggregate's own. */
pg_noreturn static void
not_in_aggregate(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("functions of aggregate \"demand_series\" cannot be called by themselves")));
}

/*
 * ecauto.demand_series_sfunc(state float8[], place int, units float8, length int) returns float8[]
 *
 * place: from 0.  What lies outside of the series is left out; units of NULL
 * make the period one that nobody observed.
 */
Datum
ecauto_demand_series_sfunc(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	ArrayType  *state;
	float8	   *values;
	int			place;
	int			n;

	if (!AggCheckCallContext(fcinfo, &context))
		not_in_aggregate();
	if (PG_ARGISNULL(0))
	{
		MemoryContext old;
		int			length;

		if (PG_ARGISNULL(3))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("length must not be NULL")));
		length = PG_GETARG_INT32(3);
		if (length < 1 || length > EC_FORECAST_MAX_LENGTH)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("length must be between 1 and %d periods", EC_FORECAST_MAX_LENGTH),
					 errdetail("The length is %d.", length)));
		old = MemoryContextSwitchTo(context);
		state = series_create(length);
		MemoryContextSwitchTo(old);
	}
	else
		state = PG_GETARG_ARRAYTYPE_P(0);
	values = series_values(state, &n);
	if (!PG_ARGISNULL(1))
	{
		place = PG_GETARG_INT32(1);
		if (place >= 0 && place < n)
			values[place] += PG_ARGISNULL(2) ? NAN : PG_GETARG_FLOAT8(2);
	}
	PG_RETURN_ARRAYTYPE_P(state);
}

/* ecauto.demand_series_combinefunc(float8[], float8[]) returns float8[] */
Datum
ecauto_demand_series_combinefunc(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	ArrayType  *left;
	float8	   *to;
	float8	   *from;
	int			n;
	int			m;

	if (!AggCheckCallContext(fcinfo, &context))
		not_in_aggregate();
	if (PG_ARGISNULL(1))
	{
		if (PG_ARGISNULL(0))
			PG_RETURN_NULL();
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	}
	if (PG_ARGISNULL(0))
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		left = PG_GETARG_ARRAYTYPE_P_COPY(1);
		MemoryContextSwitchTo(old);
		PG_RETURN_ARRAYTYPE_P(left);
	}
	left = PG_GETARG_ARRAYTYPE_P(0);
	to = series_values(left, &n);
	from = series_values(PG_GETARG_ARRAYTYPE_P(1), &m);
	for (int i = 0; i < Min(n, m); i++)
		to[i] += from[i];
	PG_RETURN_ARRAYTYPE_P(left);
}

/* An array of floats; NaN becomes NULL. */
static ArrayType *
series_to_array(const float8 *values, int n)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(1, n));
	bool	   *nulls = palloc(sizeof(bool) * Max(1, n));
	int			lower = 1;

	for (int i = 0; i < n; i++)
	{
		nulls[i] = isnan(values[i]);
		elements[i] = Float8GetDatum(nulls[i] ? 0 : values[i]);
	}
	return construct_md_array(elements, nulls, 1, &n, &lower, FLOAT8OID, sizeof(float8),
							  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
}

/*
 * ecauto.demand_series_finalfunc(float8[]) returns float8[]; strict
 *
 * What lies before the first demand is cut off: the item was not on sale, or
 * nobody knew it.
 */
Datum
ecauto_demand_series_finalfunc(PG_FUNCTION_ARGS)
{
	int			n;
	float8	   *values = series_values(PG_GETARG_ARRAYTYPE_P(0), &n);
	int			first = 0;

	while (first < n && !(values[first] > 0))
		first++;
	PG_RETURN_ARRAYTYPE_P(series_to_array(values + first, n - first));
}

/*
 * ecauto.demand_bucket(series float8[], size int) returns float8[]; strict
 *
 * Sums of "size" periods, counted from the end; what is left over at the
 * beginning is cut off unless it is all there is.  A sum with periods that
 * nobody observed is scaled up from those that were, if they are at least half.
 */
Datum
ecauto_demand_bucket(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	int			size = PG_GETARG_INT32(1);
	Datum	   *elements;
	bool	   *nulls;
	float8	   *sums;
	int			n;
	int			buckets;
	int			first;

	if (size < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("size must be at least 1 period"),
				 errdetail("The size is %d.", size)));
	deconstruct_array(array, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &elements, &nulls, &n);
	buckets = n < size ? Min(n, 1) : n / size;
	first = Max(0, n - buckets * size);
	sums = palloc(sizeof(float8) * Max(1, buckets));
	for (int b = 0; b < buckets; b++)
	{
		int			observed = 0;
		int			there = 0;

		sums[b] = 0;
		for (int i = first + b * size; i < Min(n, first + (b + 1) * size); i++)
		{
			there++;
			if (nulls[i])
				continue;
			observed++;
			sums[b] += DatumGetFloat8(elements[i]);
		}
		if (observed == 0 || (2 * observed < there))
			sums[b] = NAN;
		else
			sums[b] *= (double) size / observed;
	}
	PG_RETURN_ARRAYTYPE_P(series_to_array(sums, buckets));
}

#define MONTHS 12

/* days before the first one whose season is in the forecast already */
#define BASE_DAYS 28

static double
season_of(const double *season, DateADT day)
{
	int			year;
	int			month;
	int			of_month;

	j2date(day + POSTGRES_EPOCH_JDATE, &year, &month, &of_month);
	return season[month - 1];
}

/*
 * ecauto.demand_spread(mean float8[], size int, first_day date, days int, season float8[])
 * returns float8[]
 *
 * The periods of a forecast, of "size" days each, as so many days; the last
 * one goes on.  season, if not NULL: twelve indices of months, by which a day
 * differs from the weeks before the first day.
 */
Datum
ecauto_demand_spread(PG_FUNCTION_ARGS)
{
	Datum	   *mean;
	bool	   *nulls;
	double		season[MONTHS];
	bool		seasonal = false;
	double		base = 0;
	Datum	   *result;
	DateADT		first;
	int			size;
	int			days;
	int			n;

	for (int i = 0; i < 4; i++)
		if (PG_ARGISNULL(i))
			PG_RETURN_NULL();
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &mean, &nulls, &n);
	size = PG_GETARG_INT32(1);
	first = PG_GETARG_DATEADT(2);
	days = PG_GETARG_INT32(3);
	if (n < 1 || size < 1 || days < 0 || days > EC_FORECAST_MAX_HORIZON || DATE_NOT_FINITE(first))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a forecast is spread over 0 to %d days from a finite date, in periods of 1 day or more",
						EC_FORECAST_MAX_HORIZON)));
	if (!PG_ARGISNULL(4))
	{
		Datum	   *indices;
		bool	   *missing;
		int			months;

		deconstruct_array(PG_GETARG_ARRAYTYPE_P(4), FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
						  TYPALIGN_DOUBLE, &indices, &missing, &months);
		if (months != MONTHS)
			ereport(ERROR,
					(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
					 errmsg("a season has twelve months"),
					 errdetail("It has %d.", months)));
		for (int i = 0; i < MONTHS; i++)
			season[i] = missing[i] ? 1 : DatumGetFloat8(indices[i]);
		for (int i = 1; i <= BASE_DAYS; i++)
			base += season_of(season, first - i) / BASE_DAYS;
		seasonal = base > 0;
	}
	result = palloc(sizeof(Datum) * Max(1, days));
	for (int d = 0; d < days; d++)
	{
		int			period = Min(d / size, n - 1);
		double		value = nulls[period] ? 0 : DatumGetFloat8(mean[period]) / size;

		if (seasonal)
			value *= season_of(season, first + d) / base;
		result[d] = Float8GetDatum(value);
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(result, days, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
										  TYPALIGN_DOUBLE));
}

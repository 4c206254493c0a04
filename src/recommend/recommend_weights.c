/*-------------------------------------------------------------------------
 *
 * recommend_weights.c
 *		The model on arrays, for SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/memutils.h"

#include "recommend/recommend.h"

PG_FUNCTION_INFO_V1(ecauto_item_weights);

/* largest number that an array may give a user or an item */
#define NUMBER_MAX 100000000

/*
 * The elements of an integer[] argument; raises unless it has one dimension,
 * no NULL, and nothing negative.  *most: the largest, or -1.
 */
static const int *
numbers_argument(ArrayType *array, const char *name, int *n, int *most)
{
	const int  *values;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("array \"%s\" must have one dimension", name),
				 errdetail("It has %d.", ARR_NDIM(array))));
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array \"%s\" must not contain nulls", name)));
	*n = ARR_NDIM(array) == 0 ? 0 : ARR_DIMS(array)[0];
	values = (const int *) ARR_DATA_PTR(array);
	*most = -1;
	for (int i = 0; i < *n; i++)
	{
		if (values[i] < 0 || values[i] > NUMBER_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("array \"%s\" must hold numbers between 0 and %d", name, NUMBER_MAX),
					 errdetail("Element %d is %d.", i + 1, values[i])));
		*most = Max(*most, values[i]);
	}
	return values;
}

static void
put_target(int target, const EcWeight *weights, int n, void *arg)
{
	ReturnSetInfo *result = arg;

	for (int i = 0; i < n; i++)
	{
		Datum		values[3];
		bool		nulls[3] = {false};

		values[0] = Int32GetDatum(weights[i].source);
		values[1] = Int32GetDatum(target);
		values[2] = Float4GetDatum(weights[i].weight);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/*
 * ecauto.item_weights(users integer[], items integer[], neighbours integer,
 *					   lambda float8, cap integer, dropout float8)
 *		returns table(source integer, target integer, weight real)
 */
Datum
ecauto_item_weights(PG_FUNCTION_ARGS)
{
	int			n;
	int			other;
	int			user_most;
	int			item_most;
	const int  *users = numbers_argument(PG_GETARG_ARRAYTYPE_P(0), "users", &n, &user_most);
	const int  *items = numbers_argument(PG_GETARG_ARRAYTYPE_P(1), "items", &other, &item_most);
	EcEase		options = {0};
	int			cap = PG_GETARG_INT32(4);
	EcHad	   *had;
	EcMatrix   *matrix;
	EcEaseReport report;

	if (n != other)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("arrays \"users\" and \"items\" must have the same length"),
				 errdetail("They have %d and %d elements.", n, other)));
	options.neighbours = PG_GETARG_INT32(2);
	options.lambda = PG_GETARG_FLOAT8(3);
	options.dropout = PG_GETARG_FLOAT8(5);
	options.memory = (Size) maintenance_work_mem * 1024;
	if (options.neighbours < 1 || options.neighbours > 2000)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of neighbours must be between 1 and 2000"),
				 errdetail("It is %d.", options.neighbours)));
	if (!(options.lambda > 0 && options.lambda <= 1e9))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("lambda must be above 0, and finite"),
				 errdetail("It is %g.", options.lambda)));
	if (!(options.dropout >= 0 && options.dropout <= 1e6))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dropout must be at least 0, and finite"),
				 errdetail("It is %g.", options.dropout)));
	if (cap < 2)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of items that count of a user must be at least 2"),
				 errdetail("It is %d.", cap)));

	had = palloc_extended(Max(n, 1) * sizeof(EcHad), MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
	{
		had[i].user = users[i];
		had[i].item = items[i];
	}
	InitMaterializedSRF(fcinfo, 0);
	matrix = ec_matrix_build(had, n, user_most + 1, item_most + 1, cap);
	ec_ease(matrix, &options, NULL, put_target, fcinfo->resultinfo, &report);
	if (report.truncated > 0)
		ereport(NOTICE,
				(errmsg("not all pairs of items fit the memory"),
				 errdetail("Of %d items only the nearest pairs were kept.", report.truncated),
				 errhint("Raise \"maintenance_work_mem\", which is %d kB.", maintenance_work_mem)));
	ec_matrix_free(matrix);
	return (Datum) 0;
}

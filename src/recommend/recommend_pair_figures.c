/*-------------------------------------------------------------------------
 *
 * recommend_pair_figures.c
 *		Figures of pairs: how often, how much more often than by chance.
 *
 * Of n baskets, a hold one item, b the other, k both:
 *
 *		support k / n, confidence k / a, lift k n / (a b), cosine k / sqrt(a b),
 *		Jaccard k / (a + b - k)
 *
 * and the log-likelihood ratio of the two-by-two table of k, a - k, b - k and
 * n - a - b + k (Dunning: Accurate Methods for the Statistics of Surprise and
 * Coincidence, 1993): twice the sum of each cell times the logarithm of how
 * many times more it is than if both were independent.  Above 10.83 that is
 * chance once in a thousand times.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "recommend/recommend.h"
#include "recommend/recommend_basket_set.h"

PG_FUNCTION_INFO_V1(ecauto_pairs);

/* weights are whole numbers of this, whose sums in a double are exact up to 2^29 baskets */
#define WEIGHT_UNIT 16777216.0

static double
cell_term(double cell, double row, double column, double n)
{
	return cell > 0 ? cell * log(cell * n / (row * column)) : 0;
}

/* The log-likelihood ratio; never below 0. */
static double
log_likelihood(double k, double a, double b, double n)
{
	double		sum = cell_term(k, a, b, n) + cell_term(a - k, a, n - b, n) +
		cell_term(b - k, n - a, b, n) + cell_term(n - a - b + k, n - a, n - b, n);

	return Max(2 * sum, 0);
}

/*
 * Matrix of a set with the last EC_BASKET_ITEMS items by key of each basket.
 */
static EcMatrix *
set_matrix(const EcBasketSetSorted *sorted)
{
	int64		n = sorted->start[sorted->nbaskets];
	EcHad	   *had = palloc_extended(Max(n, 1) * sizeof(EcHad), MCXT_ALLOC_HUGE);
	EcMatrix   *matrix;

	for (int i = 0; i < sorted->nbaskets; i++)
		for (int64 k = sorted->start[i]; k < sorted->start[i + 1]; k++)
			had[k] = (EcHad) {i, sorted->item[k]};
	matrix = ec_matrix_build(had, n, sorted->nbaskets, sorted->nitems, EC_BASKET_ITEMS);
	pfree(had);
	return matrix;
}

/*
 * ecauto.pairs(collected ecauto.basket_set, min_baskets integer, half_life interval, as_of timestamptz)
 *		returns table(item text, other text, baskets bigint, item_baskets bigint, other_baskets bigint,
 *		support float8, confidence float8, lift float8, cosine float8, jaccard float8,
 *		log_likelihood float8, weight float8)
 */
Datum
ecauto_pairs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int			least = PG_ARGISNULL(1) ? 1 : PG_GETARG_INT32(1);
	double		half_life = 0;	/* in us; 0: all count the same */
	TimestampTz as_of = PG_ARGISNULL(3) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(3);
	EcBasketSet *set;
	EcBasketSetSorted *sorted;
	EcMatrix   *matrix;
	EcMatrixRow *row;
	double		n;
	MemoryContext row_context;
	MemoryContext old;

	if (least < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("least number of baskets must be at least 1"),
				 errdetail("It is %d.", least)));
	if (!PG_ARGISNULL(2))
	{
		Interval   *interval = PG_GETARG_INTERVAL_P(2);

		half_life = interval->time + ((double) interval->day + 30.0 * interval->month) * USECS_PER_DAY;
		if (!(half_life > 0))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("half-life must be above 0")));
	}
	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	set = ec_basket_set_get(PG_GETARG_DATUM(0));
	sorted = ec_basket_set_sort(set);
	n = sorted->nbaskets;
	matrix = set_matrix(sorted);
	if (set->level > 0)
		ereport(WARNING,
				(errmsg("one of %d baskets was counted", 1 << set->level),
				 errdetail("All of them did not fit maintenance_work_mem; of the sample there are %d.", sorted->nbaskets),
				 errhint("Raise \"maintenance_work_mem\".")));
	if (matrix->ncapped > 0)
		ereport(WARNING,
				(errmsg("%d baskets have more than %d different items", matrix->ncapped, EC_BASKET_ITEMS),
				 errdetail("Pairs were counted of %d items of each.", EC_BASKET_ITEMS)));
	if (as_of == DT_NOBEGIN)
		for (int i = 0; i < sorted->nbaskets; i++)
			as_of = Max(as_of, set->at[i]);
	for (int i = 0; i < sorted->nbaskets; i++)
	{
		TimestampTz at = set->at[sorted->basket[i].number];

		/* what lies ahead, or has no time, counts in full */
		matrix->user_weight[i] = WEIGHT_UNIT;
		if (half_life > 0 && !TIMESTAMP_NOT_FINITE(at) && !TIMESTAMP_NOT_FINITE(as_of) && at < as_of)
			matrix->user_weight[i] = rint(WEIGHT_UNIT * exp2(((double) at - (double) as_of) / half_life));
	}

	row = ec_matrix_row_create(matrix);
	row_context = AllocSetContextCreate(CurrentMemoryContext, "ecauto rows", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(row_context);
	for (int i = 0; i < sorted->nitems; i++)
	{
		double		a = matrix->item_start[i + 1] - matrix->item_start[i];

		CHECK_FOR_INTERRUPTS();
		ec_matrix_row(matrix, i, row);
		for (int j = 0; j < row->n; j++)
		{
			int			other = row->items[j];
			double		k = row->shared[other].count;
			double		b = matrix->item_start[other + 1] - matrix->item_start[other];
			const EcName *one = &sorted->sku[i].name;
			const EcName *two = &sorted->sku[other].name;
			Datum		values[12];
			bool		nulls[12] = {false};

			if (other == i || k < least)
				continue;
			values[0] = PointerGetDatum(cstring_to_text_with_len(one->key, one->len));
			values[1] = PointerGetDatum(cstring_to_text_with_len(two->key, two->len));
			values[2] = Int64GetDatum((int64) k);
			values[3] = Int64GetDatum((int64) a);
			values[4] = Int64GetDatum((int64) b);
			values[5] = Float8GetDatum(k / n);
			values[6] = Float8GetDatum(k / a);
			values[7] = Float8GetDatum(k * n / (a * b));
			values[8] = Float8GetDatum(k / sqrt(a * b));
			values[9] = Float8GetDatum(k / (a + b - k));
			values[10] = Float8GetDatum(log_likelihood(k, a, b, n));
			values[11] = Float8GetDatum(row->shared[other].weight / WEIGHT_UNIT);
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		}
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(old);
	return (Datum) 0;
}

/*-------------------------------------------------------------------------
 *
 * scoring_decay.c
 *		When does a score reach a value if nothing happens?
 *
 * A score is a sum of exponentials, one for each half-life.  With one of them
 * the answer is a logarithm.  With more, the turning points of a sum are the
 * zeros of its derivative, which has one term less once it is divided by its
 * slowest term; so zeros are found from those of the shorter sum, by bisection
 * in each stretch between them, where there is one at most (the argument by
 * which Laguerre extended Descartes' rule of signs to such sums, 1883).
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/timestamp.h"

#include "scoring/scoring.h"

PG_FUNCTION_INFO_V1(ecauto_score_turn);

/* half-lives of one customer; with more the score is looked at daily */
#define TERMS_MAX 32

/* no further than that, in seconds: two hundred years */
#define FAR (200.0 * 365.25 * 86400)

/* amount * exp(-rate * t) */
typedef struct Term
{
	double		amount;
	double		rate;
} Term;

static int
compare_rates(const void *a, const void *b)
{
	double		left = ((const Term *) a)->rate;
	double		right = ((const Term *) b)->rate;

	return left < right ? -1 : left > right;
}

/* The sum at t over its slowest exponential, which does not underflow: what counts is the sign. */
static double
sum_at(const Term *terms, int n, double t)
{
	double		sum = terms[0].amount;

	for (int i = 1; i < n; i++)
		sum += terms[i].amount * exp((terms[0].rate - terms[i].rate) * t);
	return sum;
}

/* The zero between lo and hi, where the sum has opposite signs: just after it. */
static double
bisect(const Term *terms, int n, double lo, double hi)
{
	bool		negative = sum_at(terms, n, lo) < 0;

	while (hi - lo > 1e-7)
	{
		double		middle = lo + (hi - lo) / 2;

		if (middle <= lo || middle >= hi)
			break;
		if ((sum_at(terms, n, middle) < 0) == negative)
			lo = middle;
		else
			hi = middle;
	}
	return hi;
}

/*
 * Zeros of the sum in (0, FAR] at which it changes its sign, ascending, into
 * zeros[]: at most n - 1, which is returned.  terms are in order of rate, no
 * two alike.
 */
static int
zeros_find(const Term *terms, int n, double *zeros)
{
	Term		shorter[TERMS_MAX + 1];
	double		turns[TERMS_MAX + 1];
	int			nturns;
	int			nzeros = 0;
	double		lo = 0;

	if (n < 2)
		return 0;
	/* times exp(first rate * t), of which the first term is a constant; and its derivative */
	for (int i = 1; i < n; i++)
	{
		shorter[i - 1].rate = terms[i].rate - terms[0].rate;
		shorter[i - 1].amount = -terms[i].amount * shorter[i - 1].rate;
	}
	nturns = zeros_find(shorter, n - 1, turns);
	turns[nturns++] = FAR;
	for (int i = 0; i < nturns; i++)
	{
		double		before = sum_at(terms, n, lo);
		double		after = sum_at(terms, n, turns[i]);

		if ((before < 0 && after >= 0) || (before >= 0 && after < 0))
			zeros[nzeros++] = bisect(terms, n, lo, turns[i]);
		lo = turns[i];
	}
	return nzeros;
}

static const double *
floats(ArrayType *array, int *n)
{
	*n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array must not contain nulls")));
	return (const double *) ARR_DATA_PTR(array);
}

/*
 * ecauto.score_turn(as_of timestamptz, worth float8[], half_lives float8[], value float8) returns timestamptz
 *
 * The first instant after as_of at which the sum of worth[i], each halved every
 * half_lives[i] seconds (infinity: it lasts), passes value; infinity if it
 * never does.  A microsecond early or late at most, as such sums are exact to
 * no more.  With more than 32 half-lives, a day later: look again.
 */
Datum
ecauto_score_turn(PG_FUNCTION_ARGS)
{
	TimestampTz as_of = PG_GETARG_TIMESTAMPTZ(0);
	double		value = PG_GETARG_FLOAT8(3);
	Term		terms[TERMS_MAX + 1];
	double		zeros[TERMS_MAX + 1];
	const double *worth;
	const double *half_lives;
	int			n;
	int			nhalf_lives;
	int			nterms = 0;

	worth = floats(PG_GETARG_ARRAYTYPE_P(1), &n);
	half_lives = floats(PG_GETARG_ARRAYTYPE_P(2), &nhalf_lives);
	if (n != nhalf_lives)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("arrays \"worth\" and \"half_lives\" must have the same length"),
				 errdetail("They have %d and %d elements.", n, nhalf_lives)));
	if (TIMESTAMP_NOT_FINITE(as_of) || !isfinite(value))
		PG_RETURN_TIMESTAMPTZ(DT_NOEND);
	if (n > TERMS_MAX)
		PG_RETURN_TIMESTAMPTZ(as_of < END_TIMESTAMP - USECS_PER_DAY ? as_of + USECS_PER_DAY : DT_NOEND);

	terms[nterms++] = (Term) {-value, 0};
	for (int i = 0; i < n; i++)
	{
		double		rate = isinf(half_lives[i]) ? 0 : M_LN2 / half_lives[i];

		if (!isfinite(worth[i]) || !(half_lives[i] > 0))
			PG_RETURN_TIMESTAMPTZ(DT_NOEND);
		if (rate == 0)
			terms[0].amount += worth[i];
		else
			terms[nterms++] = (Term) {worth[i], rate};
	}
	qsort(terms, nterms, sizeof(Term), compare_rates);
	n = 1;
	for (int i = 1; i < nterms; i++)
		if (terms[i].rate == terms[n - 1].rate)
			terms[n - 1].amount += terms[i].amount;
		else
			terms[n++] = terms[i];
	if (zeros_find(terms, n, zeros) > 0)
	{
		double		usecs = rint(zeros[0] * USECS_PER_SEC);

		if (usecs < (double) (END_TIMESTAMP - as_of))
			PG_RETURN_TIMESTAMPTZ(as_of + Max((int64) usecs, 1));
	}
	PG_RETURN_TIMESTAMPTZ(DT_NOEND);
}

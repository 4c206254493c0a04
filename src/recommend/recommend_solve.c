/*-------------------------------------------------------------------------
 *
 * recommend_solve.c
 *		Small symmetric systems of linear equations, many of them.
 *
 * Compiled with more optimisation than the rest (see Makefile): the inner
 * loops are over contiguous floats without a reduction, so that compilers
 * vectorise them without being allowed to reorder sums.  LAPACK's spotrf()
 * is no faster at this size, and would be one more library to install.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "recommend/recommend.h"

/*
 * Wider vectors where the processor has them, chosen when the library is
 * loaded.  Without fused multiply-add the result is the same to the last bit.
 */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__)
#define WIDE_VECTORS __attribute__((target_clones("avx2", "default")))
#else
#define WIDE_VECTORS
#endif

/*
 * Solve a x = b for a symmetric positive definite a of n rows, "stride" floats
 * apart, of which the upper triangle is read: Cholesky's decomposition a = u'u
 * in place, by outer products.  The solution replaces b.  False if a is not
 * positive definite.
 */
WIDE_VECTORS
bool
ec_solve(float *restrict a, int n, int stride, float *restrict b)
{
	for (int k = 0; k < n; k++)
	{
		float	   *restrict row = a + (Size) k * stride;
		float		pivot = row[k];
		float		inverse;

		if (!(pivot > 0))
			return false;
		inverse = 1 / sqrtf(pivot);
		for (int j = k; j < n; j++)
			row[j] *= inverse;
		for (int i = k + 1; i < n; i++)
		{
			float	   *restrict under = a + (Size) i * stride;
			float		factor = row[i];

			for (int j = i; j < n; j++)
				under[j] -= factor * row[j];
		}
	}
	/* u'z = b, then u x = z */
	for (int k = 0; k < n; k++)
	{
		const float *restrict row = a + (Size) k * stride;
		float		z = b[k] / row[k];

		b[k] = z;
		for (int j = k + 1; j < n; j++)
			b[j] -= z * row[j];
	}
	for (int k = n - 1; k >= 0; k--)
	{
		const float *restrict row = a + (Size) k * stride;
		double		sum = b[k];

		for (int j = k + 1; j < n; j++)
			sum -= (double) row[j] * b[j];
		b[k] = (float) (sum / row[k]);
	}
	return true;
}

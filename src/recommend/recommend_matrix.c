/*-------------------------------------------------------------------------
 *
 * recommend_matrix.c
 *		Who had what, as a sparse matrix in memory, and what was had together.
 *
 * Rows are "users" (customers, or single baskets), columns items; an entry is
 * 1.  Both ways of reading it are kept: the items of a user and the users of
 * an item.
 *
 * What was had together is counted for one item at a time, by walking over
 * its users and their items and adding up in an array with a place for each
 * item (Gustavson: Two fast algorithms for sparse matrices, 1978); a hash
 * table of pairs costs ten times as much.
 *
 * The weight of a user is n^-1/2, for n items: who had everything tells
 * little.  It is a whole number (of EC_MATRIX_UNIT), and sums of whole numbers
 * in a double are exact, so a sum does not depend on the order of users, and
 * what is brought up to date is equal to what is built anew.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "recommend/recommend.h"

/*
 * Make a matrix of entries (user, item), numbered from 0, in the order they
 * happened.  An entry told twice counts once; of a user with more than cap
 * items only the last ones count, since pairs grow with their square.
 * Everything is in a new child of the current context, for
 * ec_matrix_free().
 */
EcMatrix *
ec_matrix_build(const EcHad *had, int64 n, int nusers, int nitems, int cap)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ecauto matrix",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	EcMatrix   *matrix = palloc0(sizeof(EcMatrix));
	int64	   *place;
	int		   *items;
	int		   *seen;
	int64		nnz = 0;

	matrix->context = context;
	matrix->nusers = nusers;
	matrix->nitems = nitems;
	matrix->user_start = MemoryContextAllocExtended(context, (nusers + 1) * sizeof(int64),
													MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	matrix->item_start = MemoryContextAllocExtended(context, (nitems + 1) * sizeof(int64),
													MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	/* by user, in the order they happened */
	items = MemoryContextAllocExtended(context, Max(n, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	place = MemoryContextAllocExtended(context, (nusers + 1) * sizeof(int64),
									   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int64 i = 0; i < n; i++)
		place[had[i].user + 1]++;
	for (int u = 0; u < nusers; u++)
		place[u + 1] += place[u];
	for (int64 i = 0; i < n; i++)
		items[place[had[i].user]++] = had[i].item;
	CHECK_FOR_INTERRUPTS();

	/* once each, from the last one backwards */
	seen = MemoryContextAllocExtended(context, Max(nitems, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	for (int i = 0; i < nitems; i++)
		seen[i] = -1;
	{
		int64		from = 0;

		for (int u = 0; u < nusers; u++)
		{
			int64		to = place[u];	/* now the end of u */
			int64		first = nnz;
			bool		capped = false;

			matrix->user_start[u] = nnz;
			/* places before "to" are read before they are written: nnz <= from */
			for (int64 i = to - 1; i >= from; i--)
			{
				int			item = items[i];

				if (seen[item] == u)
					continue;
				seen[item] = u;
				if (nnz - first == cap)
				{
					capped = true;
					break;
				}
				matrix->item_start[item + 1]++;
				items[i] = -1 - item;	/* it stays */
				nnz++;
			}
			if (capped)
				matrix->ncapped++;
			/* what stays, moved together */
			{
				int64		at = first;

				for (int64 i = from; i < to; i++)
					if (items[i] < 0)
						items[at++] = -1 - items[i];
			}
			from = to;
		}
		matrix->user_start[nusers] = nnz;
	}
	matrix->nnz = nnz;
	matrix->user_item = items;

	for (int i = 0; i < nitems; i++)
		matrix->item_start[i + 1] += matrix->item_start[i];
	matrix->item_user = MemoryContextAllocExtended(context, Max(nnz, 1) * sizeof(int),
												   MCXT_ALLOC_HUGE);
	matrix->user_weight = MemoryContextAllocExtended(context, Max(nusers, 1) * sizeof(double),
													 MCXT_ALLOC_HUGE);
	{
		int64	   *next = MemoryContextAllocExtended(context, (nitems + 1) * sizeof(int64),
													  MCXT_ALLOC_HUGE);

		memcpy(next, matrix->item_start, nitems * sizeof(int64));
		for (int u = 0; u < nusers; u++)
		{
			int64		count = matrix->user_start[u + 1] - matrix->user_start[u];

			matrix->user_weight[u] = count > 0 ? rint(EC_MATRIX_UNIT / sqrt((double) count)) : 0;
			for (int64 i = matrix->user_start[u]; i < matrix->user_start[u + 1]; i++)
				matrix->item_user[next[items[i]]++] = u;
		}
		pfree(next);
	}
	pfree(place);
	pfree(seen);
	MemoryContextSwitchTo(old);
	return matrix;
}

void
ec_matrix_free(EcMatrix *matrix)
{
	MemoryContextDelete(matrix->context);
}

/*
 * What accumulates one item's row.
 */
EcMatrixRow *
ec_matrix_row_create(const EcMatrix *matrix)
{
	EcMatrixRow *row = palloc0(sizeof(EcMatrixRow));
	Size		size = Max(matrix->nitems, 1);

	row->shared = palloc_extended(size * sizeof(EcShared), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	row->items = palloc_extended(size * sizeof(int), MCXT_ALLOC_HUGE);
	row->touched = palloc_extended((size / 64 + 1) * sizeof(uint64), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	return row;
}

static int
item_compare(const void *a, const void *b)
{
	int			left = *(const int *) a;
	int			right = *(const int *) b;

	return (left > right) - (left < right);
}

/*
 * Count what users of an item had, the item itself included: row->items are
 * those, row->shared how many users had each and the sum of their weights.
 * Valid until the next call.
 */
void
ec_matrix_row(const EcMatrix *matrix, int item, EcMatrixRow *row)
{
	EcShared   *shared = row->shared;
	uint64	   *touched = row->touched;
	int			words = matrix->nitems / 64 + 1;
	int			n = 0;

	for (int i = 0; i < row->n; i++)
		memset(&shared[row->items[i]], 0, sizeof(EcShared));
	for (int64 k = matrix->item_start[item]; k < matrix->item_start[item + 1]; k++)
	{
		int			user = matrix->item_user[k];
		double		w = matrix->user_weight[user];
		const int  *one = matrix->user_item + matrix->user_start[user];
		const int  *end = matrix->user_item + matrix->user_start[user + 1];

		for (; one < end; one++)
		{
			if (shared[*one].count++ == 0)
			{
				touched[*one / 64] |= UINT64CONST(1) << (*one % 64);
				row->items[n++] = *one;
			}
			shared[*one].weight += w;
		}
	}
	row->n = n;

	/* in order: of few a sort, of many a look at every bit */
	if (n < words / 8)
	{
		qsort(row->items, n, sizeof(int), item_compare);
		for (int i = 0; i < n; i++)
			touched[row->items[i] / 64] = 0;
		return;
	}
	n = 0;
	for (int word = 0; word < words; word++)
	{
		uint64		bits = touched[word];

		for (touched[word] = 0; bits != 0; bits &= bits - 1)
			row->items[n++] = word * 64 + pg_rightmost_one_pos64(bits);
	}
}

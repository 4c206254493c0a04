/*-------------------------------------------------------------------------
 *
 * recommend_ease.c
 *		How much having one item speaks for another: a local form of EASE^R.
 *
 * Steck (Embarrassingly Shallow Autoencoders for Sparse Data, 2019) predicts
 * each item from all others by a ridge regression, which needs the inverse of
 * a dense matrix of all items.  Here an item is predicted from its nearest
 * neighbours alone: with G the users' co-occurrences, weighted by user
 * (recommend_matrix.c), N the K items with the largest G_ij / sqrt(G_ii G_jj),
 * the weights of target i are the solution of (G_NN + lambda I) b = G_Ni.  That
 * is as good as the dense form, in memory that grows with pairs that occur
 * and time that grows with items.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "recommend/recommend.h"

/* An entry of the gram matrix; a row is sorted by item. */
typedef struct Entry
{
	int			item;
	float		weight;			/* G_ij */
} Entry;

typedef struct Gram
{
	Entry	  **row;
	int		   *length;
	float	   *diagonal;
} Gram;

/* A candidate for a neighbour. */
typedef struct Near
{
	float		cosine;
	int			place;			/* in the row */
} Near;

/* Nearer first; of equally near ones the first item. */
static inline bool
nearer(const Near *a, const Near *b)
{
	return a->cosine > b->cosine || (a->cosine == b->cosine && a->place < b->place);
}

static void
sift(Near *heap, int n, int i)
{
	Near		item = heap[i];

	for (;;)
	{
		int			child = 2 * i + 1;

		if (child >= n)
			break;
		if (child + 1 < n && nearer(&heap[child], &heap[child + 1]))
			child++;			/* the farther one */
		if (!nearer(&item, &heap[child]))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = item;
}

/*
 * The k nearest of a row's entries into heap; returns how many.  The
 * farthest is on top while it is built.
 */
static int
nearest(const Entry *row, int n, int self, const float *diagonal, int k, Near *heap)
{
	int			kept = 0;

	for (int i = 0; i < n; i++)
	{
		Near		near;

		if (row[i].item == self)
			continue;
		near.cosine = row[i].weight / sqrtf(diagonal[self] * diagonal[row[i].item]);
		near.place = i;
		if (kept < k)
		{
			heap[kept++] = near;
			if (kept == k)
				for (int j = k / 2 - 1; j >= 0; j--)
					sift(heap, k, j);
		}
		else if (nearer(&near, &heap[0]))
		{
			heap[0] = near;
			sift(heap, k, 0);
		}
	}
	return kept;
}

static int
place_compare(const void *a, const void *b)
{
	int			left = ((const Near *) a)->place;
	int			right = ((const Near *) b)->place;

	return (left > right) - (left < right);
}

static int
int_compare(const void *a, const void *b)
{
	int			left = *(const int *) a;
	int			right = *(const int *) b;

	return (left > right) - (left < right);
}

/*
 * The gram matrix, a row at a time.  If all of it does not fit the memory,
 * the nearest entries of each row are kept, as many as do.
 */
static void
gram_build(const EcMatrix *matrix, const EcEase *options, Gram *gram, EcEaseReport *report)
{
	EcMatrixRow *row = ec_matrix_row_create(matrix);
	int			nitems = matrix->nitems;
	Size		left = options->memory / sizeof(Entry);
	Entry	   *entries = palloc_extended(Max(nitems, 1) * sizeof(Entry), MCXT_ALLOC_HUGE);
	Near	   *heap = palloc_extended(Max(nitems, 1) * sizeof(Near), MCXT_ALLOC_HUGE);
	Size		block_left = 0;
	Entry	   *block = NULL;

	gram->row = palloc_extended(Max(nitems, 1) * sizeof(Entry *), MCXT_ALLOC_HUGE);
	gram->length = palloc_extended(Max(nitems, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	gram->diagonal = palloc_extended(Max(nitems, 1) * sizeof(float), MCXT_ALLOC_HUGE);
	for (int i = 0; i < nitems; i++)
	{
		double		sum = 0;

		for (int64 k = matrix->item_start[i]; k < matrix->item_start[i + 1]; k++)
			sum += matrix->user_weight[matrix->item_user[k]];
		gram->diagonal[i] = (float) (sum / EC_MATRIX_UNIT);
	}
	for (int i = 0; i < nitems; i++)
	{
		/* an equal share of what is left, but never less than is solved for */
		Size		share = Max(left / (nitems - i), options->neighbours);
		int			n = 0;

		if (i % 64 == 0)
			CHECK_FOR_INTERRUPTS();
		ec_matrix_row(matrix, i, row);
		/* few of many: sort; most of all: look at every place */
		if (row->n < nitems / 8)
			qsort(row->items, row->n, sizeof(int), int_compare);
		else
		{
			int			found = 0;

			for (int j = 0; j < nitems; j++)
				if (row->count[j] > 0)
					row->items[found++] = j;
		}
		for (int j = 0; j < row->n; j++)
			if (row->items[j] != i)
			{
				entries[n].item = row->items[j];
				entries[n].weight = (float) (row->weight[row->items[j]] / EC_MATRIX_UNIT);
				n++;
			}
		if (n > share)
		{
			int			kept = nearest(entries, n, i, gram->diagonal, share, heap);

			qsort(heap, kept, sizeof(Near), place_compare);
			for (int j = 0; j < kept; j++)
				entries[j] = entries[heap[j].place];
			n = kept;
			report->truncated++;
		}
		if (n > block_left)
		{
			block_left = Max(n, 131072);
			block = palloc_extended(block_left * sizeof(Entry), MCXT_ALLOC_HUGE);
		}
		gram->row[i] = block;
		gram->length[i] = n;
		memcpy(block, entries, n * sizeof(Entry));
		block += n;
		block_left -= n;
		left -= Min(left, n);
		report->pairs += n;
	}
}

/*
 * Weights for all targets (wanted: NULL) or for some, handed over a target at
 * a time.  Uses memory in the current context, which the caller resets.
 */
void
ec_ease(const EcMatrix *matrix, const EcEase *options, const bool *wanted,
		EcEaseTarget target, void *arg, EcEaseReport *report)
{
	Gram		gram;
	int			most = Min(options->neighbours, Max(matrix->nitems - 1, 1));
	int			stride = (most + 7) & ~7;
	float	   *a = palloc((Size) most * stride * sizeof(float));
	float	   *b = palloc(most * sizeof(float));
	Near	   *heap = palloc(most * sizeof(Near));
	int		   *items = palloc(most * sizeof(int));
	int		   *place = palloc_extended(Max(matrix->nitems, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	EcWeight   *weights = palloc(most * sizeof(EcWeight));

	memset(report, 0, sizeof(*report));
	gram_build(matrix, options, &gram, report);
	for (int i = 0; i < matrix->nitems; i++)
		place[i] = -1;

	for (int i = 0; i < matrix->nitems; i++)
	{
		int			n;

		if (wanted != NULL && !wanted[i])
			continue;
		if (i % 16 == 0)
			CHECK_FOR_INTERRUPTS();
		n = nearest(gram.row[i], gram.length[i], i, gram.diagonal, most, heap);
		qsort(heap, n, sizeof(Near), place_compare);
		for (int k = 0; k < n; k++)
		{
			items[k] = gram.row[i][heap[k].place].item;
			b[k] = gram.row[i][heap[k].place].weight;
			place[items[k]] = k;
		}
		for (int k = 0; k < n; k++)
		{
			const Entry *row = gram.row[items[k]];
			int			length = gram.length[items[k]];
			float	   *out = a + (Size) k * stride;

			memset(out + k, 0, (n - k) * sizeof(float));
			out[k] = gram.diagonal[items[k]] + (float) options->lambda;
			/* the part of the row above the diagonal, walked or searched */
			if (length / 8 < n - k)
			{
				for (int j = 0; j < length; j++)
				{
					int			at = place[row[j].item];

					if (at > k)
						out[at] = row[j].weight;
				}
			}
			else
			{
				int			low = 0;

				for (int j = k + 1; j < n; j++)
				{
					int			high = length;

					while (low < high)
					{
						int			middle = (low + high) / 2;

						if (row[middle].item < items[j])
							low = middle + 1;
						else
							high = middle;
					}
					if (low < length && row[low].item == items[j])
						out[j] = row[low].weight;
				}
			}
		}
		if (!ec_solve(a, n, stride, b))
			n = 0;				/* cannot be with lambda > 0, but for NaN */
		for (int k = 0; k < n; k++)
		{
			weights[k].source = items[k];
			weights[k].weight = b[k];
		}
		for (int k = 0; k < Min(most, gram.length[i]); k++)
			place[items[k]] = -1;
		target(i, weights, n, arg);
	}
}

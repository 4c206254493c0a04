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
 * dropout adds a share of G_jj to the ridge of neighbour j: what comes of
 * training while each item is left out with probability dropout / (1 +
 * dropout), so that weights rest on several items instead of one (Steck:
 * Autoencoders that don't overfit towards the identity, 2020).
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/memutils.h"

#include "recommend/recommend.h"

/* rows longer than this are worth a place in the square */
#define SQUARE_ROW 128

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
	int		   *place;			/* in the square; -1: not there */
	int			side;
	float	   *square;			/* [side][side] of those with long rows */
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

/*
 * At most how many others each item was had with: [nitems + 1], of item i and
 * those behind it.  Cheap and too high: users of an item times their items.
 */
static double *
gram_bounds(const EcMatrix *matrix)
{
	double	   *bounds = palloc_extended((matrix->nitems + 1) * sizeof(double), MCXT_ALLOC_HUGE);

	bounds[matrix->nitems] = 0;
	for (int i = matrix->nitems - 1; i >= 0; i--)
	{
		int64		sum = 0;

		for (int64 k = matrix->item_start[i]; k < matrix->item_start[i + 1]; k++)
		{
			int			user = matrix->item_user[k];

			sum += matrix->user_start[user + 1] - matrix->user_start[user] - 1;
		}
		bounds[i] = bounds[i + 1] + Min(sum, matrix->nitems - 1);
	}
	return bounds;
}

/*
 * The gram matrix, a row at a time.  If all of it may not fit the memory, each
 * row gets a share of what is left, and keeps its nearest entries.
 */
static void
gram_build(const EcMatrix *matrix, const EcEase *options, Gram *gram, EcEaseReport *report)
{
	EcMatrixRow *row = ec_matrix_row_create(matrix);
	int			nitems = matrix->nitems;
	Size		left = options->memory / sizeof(Entry);
	Entry	   *entries = palloc_extended(Max(nitems, 1) * sizeof(Entry), MCXT_ALLOC_HUGE);
	Near	   *heap = palloc_extended(Max(nitems, 1) * sizeof(Near), MCXT_ALLOC_HUGE);
	double	   *bounds = gram_bounds(matrix);
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
		int			n = 0;

		if (i % 64 == 0)
			CHECK_FOR_INTERRUPTS();
		ec_matrix_row(matrix, i, row);
		if (options->row != NULL)
			options->row(i, row, options->row_arg);
		for (int j = 0; j < row->n; j++)
			if (row->items[j] != i)
			{
				entries[n].item = row->items[j];
				entries[n].weight = (float) (row->shared[row->items[j]].weight / EC_MATRIX_UNIT);
				n++;
			}
		if (bounds[i] > left)
		{
			/* never less than is solved for */
			double		share = Max((bounds[i] - bounds[i + 1]) / bounds[i] * left, options->neighbours);

			if (n > share)
			{
				int			kept = nearest(entries, n, i, gram->diagonal, (int) share, heap);

				qsort(heap, kept, sizeof(Near), place_compare);
				for (int j = 0; j < kept; j++)
					entries[j] = entries[heap[j].place];
				n = kept;
				report->truncated++;
			}
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
	pfree(entries);
	pfree(heap);
	pfree(bounds);
}

/*
 * Items with long rows have a square of their own, in which an entry is looked
 * up instead of searched: they are neighbours of nearly everything.  Its
 * side is what the rows need, and what a quarter of the memory allows.
 */
static void
gram_square(const EcMatrix *matrix, const EcEase *options, Gram *gram)
{
	int			nitems = matrix->nitems;
	int			most = (int) Min(sqrt(options->memory / 4.0 / sizeof(float)), 16384);
	int		   *nlonger = palloc0((nitems + 1) * sizeof(int));
	int			length;
	int			n = 0;

	/* from which length on they are few enough */
	for (int i = 0; i < nitems; i++)
		nlonger[gram->length[i]]++;
	for (length = nitems; length > SQUARE_ROW && n + nlonger[length - 1] <= most; length--)
		n += nlonger[length - 1];
	pfree(nlonger);
	gram->place = palloc_extended(Max(nitems, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	gram->side = 0;
	for (int i = 0; i < nitems; i++)
		gram->place[i] = gram->length[i] >= length && n > 0 ? gram->side++ : -1;
	gram->square = palloc_extended(Max((Size) gram->side * gram->side, 1) * sizeof(float),
								   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < nitems; i++)
	{
		const Entry *row = gram->row[i];
		Size		place = gram->place[i];

		if (gram->place[i] < 0)
			continue;
		/* a pair that one of two rows has lost is in the other one */
		for (int j = 0; j < gram->length[i]; j++)
		{
			Size		other = gram->place[row[j].item];

			if (gram->place[row[j].item] < 0)
				continue;
			gram->square[place * gram->side + other] = row[j].weight;
			gram->square[other * gram->side + place] = row[j].weight;
		}
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
	instr_time	begun;
	instr_time	built;
	instr_time	solved;
	int			most = Min(options->neighbours, Max(matrix->nitems - 1, 1));
	int			stride = (most + 7) & ~7;
	float	   *a = palloc((Size) most * stride * sizeof(float));
	float	   *b = palloc(most * sizeof(float));
	Near	   *heap = palloc(most * sizeof(Near));
	int		   *items = palloc(most * sizeof(int));
	int		   *squared = palloc(most * sizeof(int));	/* of items: which are in the square, */
	int		   *column = palloc(most * sizeof(int));	/* and where */
	int		   *place = palloc_extended(Max(matrix->nitems, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	EcWeight   *weights = palloc(most * sizeof(EcWeight));

	memset(report, 0, sizeof(*report));
	INSTR_TIME_SET_CURRENT(begun);
	gram_build(matrix, options, &gram, report);
	INSTR_TIME_SET_CURRENT(built);
	gram_square(matrix, options, &gram);
	for (int i = 0; i < matrix->nitems; i++)
		place[i] = -1;

	for (int i = 0; i < matrix->nitems; i++)
	{
		int			n;
		int			nsquared = 0;

		if (wanted != NULL && !wanted[i])
			continue;
		ec_progress_advance(1);
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
			float	   *out = a + (Size) k * stride;

			memset(out + k, 0, (n - k) * sizeof(float));
			out[k] = gram.diagonal[items[k]] * (1 + (float) options->dropout) + (float) options->lambda;
			if (gram.place[items[k]] >= 0)
			{
				squared[nsquared] = k;
				column[nsquared++] = gram.place[items[k]];
			}
		}
		for (int x = 0; x < nsquared; x++)
		{
			float	   *out = a + (Size) squared[x] * stride;
			const float *row = gram.square + (Size) column[x] * gram.side;

			for (int y = x + 1; y < nsquared; y++)
				out[squared[y]] = row[column[y]];
		}
		/* short rows are walked; what two of them have in common is met twice */
		for (int k = 0; k < n; k++)
		{
			const Entry *row = gram.row[items[k]];
			int			length = gram.length[items[k]];

			if (gram.place[items[k]] >= 0)
				continue;
			for (int j = 0; j < length; j++)
			{
				int			at = place[row[j].item];

				if (at >= 0)
					a[(Size) Min(at, k) * stride + Max(at, k)] = row[j].weight;
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
	INSTR_TIME_SET_CURRENT(solved);
	INSTR_TIME_SUBTRACT(solved, built);
	INSTR_TIME_SUBTRACT(built, begun);
	report->gram_ms = INSTR_TIME_GET_MILLISEC(built);
	report->solve_ms = INSTR_TIME_GET_MILLISEC(solved);
}

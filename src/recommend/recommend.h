/*-------------------------------------------------------------------------
 *
 * recommend.h
 *		What a visitor will most likely buy next.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_RECOMMEND_H
#define EC_RECOMMEND_H

#include "core/core.h"

/* ---- recommend_matrix.c ---- */

/* the weight 1 of a user */
#define EC_MATRIX_UNIT 1048576.0

/* A user had an item. */
typedef struct EcHad
{
	int			user;
	int			item;
} EcHad;

typedef struct EcMatrix
{
	MemoryContext context;
	int			nusers;
	int			nitems;
	int64		nnz;
	int64	   *user_start;		/* [nusers + 1] into user_item */
	int		   *user_item;
	int64	   *item_start;		/* [nitems + 1] into item_user */
	int		   *item_user;
	double	   *user_weight;	/* whole numbers */
	int			ncapped;		/* users of whom not all items count */
} EcMatrix;

typedef struct EcMatrixRow
{
	int			n;
	int		   *items;
	int		   *count;			/* [nitems]; by item, not by place in items */
	double	   *weight;			/* [nitems]; the same */
} EcMatrixRow;

extern EcMatrix *ec_matrix_build(const EcHad *had, int64 n, int nusers, int nitems, int cap);
extern void ec_matrix_free(EcMatrix *matrix);
extern EcMatrixRow *ec_matrix_row_create(const EcMatrix *matrix);
extern void ec_matrix_row(const EcMatrix *matrix, int item, EcMatrixRow *row);

/* ---- recommend_ease.c ---- */

/* How much having the source speaks for the target. */
typedef struct EcWeight
{
	int			source;
	float		weight;
} EcWeight;

/* Takes the weights of all sources of one target, in order of source. */
typedef void (*EcEaseTarget) (int target, const EcWeight *weights, int n, void *arg);

typedef struct EcEase
{
	int			neighbours;		/* K */
	double		lambda;
	Size		memory;			/* bytes that the gram matrix may take */
} EcEase;

/* What came of it. */
typedef struct EcEaseReport
{
	int64		pairs;			/* entries of the gram matrix, both ways */
	int			truncated;		/* items of which not all pairs were kept */
} EcEaseReport;

extern void ec_ease(const EcMatrix *matrix, const EcEase *options, const bool *wanted,
					EcEaseTarget target, void *arg, EcEaseReport *report);

/* ---- recommend_solve.c ---- */

extern bool ec_solve(float *a, int n, int stride, float *b);

#endif							/* EC_RECOMMEND_H */

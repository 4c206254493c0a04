/*-------------------------------------------------------------------------
 *
 * recommend.h
 *		What a visitor will most likely buy next.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_RECOMMEND_H
#define EC_RECOMMEND_H

#include <math.h>

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

/* ---- recommend_top.c ---- */

typedef struct EcScored
{
	double		score;
	int			item;
} EcScored;

extern int	ec_scored_compare(const void *a, const void *b);
extern void ec_scored_put(EcScored *heap, int *n, int k, EcScored one);

/* ---- recommend_name.c ---- */

typedef struct EcName
{
	const char *key;			/* not terminated */
	int			len;
} EcName;

typedef struct EcNames EcNames;

extern EcNames *ec_names_create(void);
extern int	ec_names_put(EcNames *names, const char *key, int len);
extern int	ec_names_find(const EcNames *names, const char *key, int len);
extern int	ec_names_count(const EcNames *names);
extern const EcName *ec_names_get(const EcNames *names, int number);

/* ---- recommend_history.c ---- */

/* One order, or what one visitor looked at. */
typedef struct EcBasket
{
	int			user;			/* whose it is; a basket of nobody is one of its own */
	int			country;		/* number in countries; -1: unknown */
	bool		returned;		/* all of it was paid back */
	TimestampTz at;
	int64		first;			/* its items, in EcBaskets.item */
	int			n;
	const char *key;			/* for the order of those at one instant */
	int			len;
} EcBasket;

/*
 * Baskets in the order they happened, their items in ascending order and once
 * each.
 */
typedef struct EcBaskets
{
	int			n;
	EcBasket   *basket;
	int		   *item;
	int64		nitems;			/* length of item */
	int			nusers;
} EcBaskets;

/* What happened in the shop.  Skus are numbered in the order of their keys. */
typedef struct EcBought
{
	EcBaskets	orders;
	EcBaskets	views;
	int			nskus;
	EcName	   *sku;			/* [nskus] */
	EcNames    *countries;
} EcBought;

extern EcBought *ec_history_read(TimestampTz until);

/* ---- recommend_build.c ---- */

/*
 * How near two items are that so many orders had, both and each: the cosine,
 * made smaller by a half, a quarter, ... of few orders, which prove little.
 */
static inline double
ec_nearness(int both, int one, int other)
{
	return both / sqrt((double) one * other) * both / (both + 3.0);
}

extern void ec_recommend_tick(EcTick *tick);

/* ---- recommend_eligible.c ---- */

/* A sku that may be shown. */
typedef struct EcShown
{
	char	   *sku;			/* key */
	double		score;
	int			item;			/* number in the version, or -1 */
	char	   *reason;			/* or NULL */
	double		figures[5];		/* of also_bought() */
	/* set by ec_shown_check(): */
	bool		ok;				/* in the shop, active, and in stock or not counted */
	char	   *product;		/* key; NULL if unknown */
	bool		found;
	bool		product_active;
	bool		counted;
	double		available;		/* units in all locations */
} EcShown;

extern void ec_shown_check(EcShown *shown, int n);
extern char *ec_customer_country(const char *customer);
extern ArrayType *ec_product_categories(const char *product);

#endif							/* EC_RECOMMEND_H */

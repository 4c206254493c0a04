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

/* What one item has in common with another. */
typedef struct EcShared
{
	double		weight;			/* of the users who had both, in EC_MATRIX_UNIT */
	int			count;			/* of them; 0: none */
} EcShared;

typedef struct EcMatrixRow
{
	int			n;
	int		   *items;			/* ascending */
	EcShared   *shared;			/* [nitems]; by item, not by place in items */
	uint64	   *touched;		/* a bit for each item */
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

/* Sees what an item has in common with others (itself included), item by item. */
typedef void (*EcEaseRow) (int item, const EcMatrixRow *row, void *arg);

typedef struct EcEase
{
	int			neighbours;		/* K */
	double		lambda;
	double		dropout;		/* share of its own weight that is added to lambda for a neighbour */
	Size		memory;			/* bytes that the gram matrix may take */
	EcEaseRow	row;			/* or NULL */
	void	   *row_arg;
} EcEase;

/* What came of it. */
typedef struct EcEaseReport
{
	int64		pairs;			/* entries of the gram matrix, both ways */
	int			truncated;		/* items of which not all pairs were kept */
	double		gram_ms;		/* what the gram matrix took, */
	double		solve_ms;		/* and the solutions */
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

/* ---- recommend_built.c ---- */

typedef struct EcBuilt EcBuilt;

extern EcBuilt *ec_built_open(const char *table, int ncolumns);
extern void ec_built_put(EcBuilt *rows, Datum *values);
extern void ec_built_replace(EcBuilt *rows, ItemPointer tid, Datum *values);
extern void ec_built_change(EcBuilt *rows, ItemPointer tid, Datum *values);
extern void ec_built_close(EcBuilt *rows);
extern Datum ec_int_array(const int *values, int n);
extern Datum ec_real_array(const float *values, int n);

/* ---- recommend_pairs.c ---- */

/* neighbours of an item that recommend_pair keeps */
#define EC_PAIRS_FREQUENT 100

/* items of a row of recommend_total */
#define EC_TOTAL_CHUNK 400

/* With how many orders an item shares others. */
typedef struct EcPairs
{
	int			n;
	int			room;
	int		   *item;			/* ascending */
	int		   *count;
} EcPairs;

/* Places of items by key; both NULL: place and number are the same. */
typedef struct EcOrder
{
	int		   *place;
	int		   *item;
} EcOrder;

static inline int
ec_order_place(const EcOrder *order, int item)
{
	return order->place != NULL ? order->place[item] : item;
}

static inline int
ec_order_item(const EcOrder *order, int place)
{
	return order->item != NULL ? order->item[place] : place;
}

typedef struct EcNear
{
	int			item;
	int			count;			/* orders with both */
	int			total;			/* orders of item */
	double		nearness;
} EcNear;

extern void ec_pairs_reserve(EcPairs *pairs, int n);
extern bytea *ec_pairs_pack(const EcPairs *pairs);
extern void ec_pairs_unpack(bytea *packed, int nitems, EcPairs *pairs);
extern EcOrder *ec_order_create(int nbuilt, int n, const double *ranks);
extern int	ec_pairs_frequent(const EcPairs *pairs, const EcOrder *order, int *others, int *counts);
extern EcNear *ec_pairs_nearest(const EcPairs *pairs, const EcOrder *order, int total, const int *totals,
								int most, int *n);

/* ---- recommend_name.c ---- */

typedef struct EcName
{
	const char *key;			/* not terminated */
	int			len;
} EcName;

typedef struct EcNames EcNames;

extern EcNames *ec_names_create(void);
extern int	ec_names_put(EcNames *names, const char *key, int len);
extern int	ec_names_find(EcNames *names, const char *key, int len);
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

/*
 * Of seen_order "o" and order_item "i": does it count, at $1?  Cancelled orders
 * are none; an order without time or in the future does not count yet, one
 * that was excluded never does.
 */
#define EC_ORDER_COUNTS \
	"NOT coalesce(o.cancelled, false) AND o.placed_at <= $1 AND pg_catalog.isfinite(o.placed_at)\n" \
	"  AND NOT EXISTS (SELECT FROM ecauto_data.recommend_excluded x WHERE x.order_key = o.key)"
#define EC_ITEM_COUNTS "(i.qty > 0 OR i.qty IS NULL)"

extern EcBought *ec_history_read(TimestampTz until);

/* ---- recommend_bucket.c ---- */

/* As what some orders were counted: a row of recommend_basket. */
typedef struct EcBucket
{
	int			n;
	int			room;
	EcName	   *order;
	int		   *size;
	int64		nitems;
	int64		item_room;
	int		   *item;
} EcBucket;

extern int	ec_bucket_of(const char *key, int len, int buckets);
extern void ec_bucket_reset(EcBucket *bucket);
extern void ec_bucket_add(EcBucket *bucket, const EcName *order, const int *items, int n);
extern void ec_bucket_values(const EcBucket *bucket, int64 version, int number, Datum *values);
extern void ec_bucket_read(EcBucket *bucket, ArrayType *orders, ArrayType *sizes, ArrayType *items);

/* ---- recommend_near.c ---- */

extern int *ec_totals_read(int64 version, bool viewed, int nitems);
extern EcOrder *ec_order_read(int64 version, int nbuilt, int nitems);
extern EcNear *ec_near_read(int64 version, int item, bool viewed, int most, int *n);

/* ---- recommend_popular.c ---- */

extern void ec_items_write(int64 version, const EcBought *history, const int *totals);

/* ---- recommend_setting.c ---- */

/* What is predicted: a customer's next purchases, or the rest of a basket. */
typedef enum EcTask
{
	EC_TASK_CUSTOMER,
	EC_TASK_BASKET,
	EC_TASKS
} EcTask;

/* How weights are solved for and used; chosen by evaluate_recommendations(). */
typedef struct EcSetting
{
	int			neighbours;		/* K; 0: what suits the number of skus */
	double		lambda;			/* ridge */
	double		dropout;		/* EcEase.dropout */
	double		half_life;		/* days until a purchase speaks half as much; 0: it always does */
	double		popular;		/* weight of what is popular now beside what the customer had */
} EcSetting;

/* pairs grow with the square: of an order or a visitor so many items count; */
#define EC_BASKET_ITEMS 1000

/* of a customer the last so many, in building and in serving */
#define EC_CUSTOMER_ITEMS 400

/* half-life of a purchase in what is popular, in days */
#define EC_POPULAR_HALF_LIFE 30

extern const char *const ec_task_names[EC_TASKS];
extern EcSetting ec_setting_default(EcTask task);
extern EcSetting ec_setting_read(EcTask task);
extern int	ec_setting_neighbours(const EcSetting *setting, int nskus);

/* ---- recommend_absorb.c ---- */

extern bool ec_recommend_absorb(TimestampTz at, int64 *orders);

/* ---- recommend_source.c ---- */

/* Weights by source; the targets of each ascending. */
typedef struct EcSources
{
	int64	   *start;			/* [items + 1] */
	int		   *target;
	float	   *weight;
} EcSources;

extern EcSources *ec_sources_solve(const EcMatrix *matrix, const EcEase *options, EcEaseReport *report);

/* ---- recommend_holdout.c ---- */

/* Something that happened after all that is known of it. */
typedef struct EcTest
{
	int			nhad;
	int		   *had;			/* what is known: items, ... */
	double	   *age;			/* ... and the days since */
	int			nheld;
	int		   *held;			/* what is to be found: items */
} EcTest;

/* History in two: what a model may know, and what it is asked. */
typedef struct EcHoldout
{
	int			nitems;
	EcMatrix   *matrix;			/* what is known */
	double	   *popular;		/* [nitems] how popular at the end of it, the first one 1 */
	int			ntests;			/* some of all, if there are many */
	EcTest	   *test;
	bool		by_time;		/* else by chance */
} EcHoldout;

extern EcHoldout *ec_holdout(const EcBought *history, EcTask task, TimestampTz split, int most);

/* ---- recommend_evaluate.c ---- */

extern void ec_settings_choose(const EcBought *history);

/* ---- recommend_build.c ---- */

/* pairs grow with the square: of an order or a visitor the last so many items count */
#define EC_BASKET_ITEMS 1000

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

#endif							/* EC_RECOMMEND_H */

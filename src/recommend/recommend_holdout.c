/*-------------------------------------------------------------------------
 *
 * recommend_holdout.c
 *		The history of the shop in two: what a model may know, and what it
 *		is asked.
 *
 * A split in time is what happens to a shop: known is what happened until an
 * instant, asked is what known customers bought for the first time after it
 * (what is in the rest of a basket that was ordered after it).  A shop of
 * which that leaves next to nothing to know or to ask is split by chance: a
 * tenth of what each customer had, a tenth of the baskets.  Chance is a hash of keys, so the
 * same history is always split alike.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "recommend/recommend.h"

/* by chance, if by time there are fewer */
#define FEW_TESTS 200

/* by chance too, if by time less than one of so many orders is known: a shop of a few weeks */
#define FEW_KNOWN 4

/* one of so many is asked */
#define CHANCE 10

/* A customer had an item, for the first time. */
typedef struct First
{
	int			user;
	int			item;
	TimestampTz at;
	const EcBasket *basket;
	bool		held;
} First;

static uint32
basket_hash(const EcBasket *basket)
{
	return hash_bytes((const unsigned char *) basket->key, basket->len);
}

static double
days_since(TimestampTz then, TimestampTz now)
{
	return (double) (now - then) / USECS_PER_DAY;
}

/* What a purchase counts for what is popular at an instant. */
static double
recency(TimestampTz then, TimestampTz now)
{
	return exp2(-days_since(then, now) / EC_POPULAR_HALF_LIFE);
}

static void
to_shares(double *sum, int n)
{
	double		most = 0;

	for (int i = 0; i < n; i++)
		most = Max(most, sum[i]);
	for (int i = 0; i < n && most > 0; i++)
		sum[i] /= most;
}

/* How popular each item is in the baskets that are known, the most popular one 1. */
static double *
popularity(const EcBought *history, const bool *held, TimestampTz until)
{
	const EcBaskets *orders = &history->orders;
	double	   *sum = palloc_extended(Max(history->nskus, 1) * sizeof(double), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	for (int i = 0; i < orders->n; i++)
	{
		const EcBasket *basket = &orders->basket[i];

		if (held[i] || basket->returned)
			continue;
		for (int j = 0; j < basket->n; j++)
			sum[orders->item[basket->first + j]] += recency(basket->at, until);
	}
	to_shares(sum, history->nskus);
	return sum;
}

/* ---- baskets ---- */

static void
baskets_split(const EcBought *history, TimestampTz split, bool by_time, int most, EcHoldout *holdout)
{
	const EcBaskets *orders = &history->orders;
	bool	   *held = palloc_extended(Max(orders->n, 1) * sizeof(bool), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	EcHad	   *had = palloc_extended(Max(orders->nitems, 1) * sizeof(EcHad), MCXT_ALLOC_HUGE);
	int64		n = 0;
	int			ntests = 0;
	uint32		sample;

	for (int i = 0; i < orders->n; i++)
	{
		const EcBasket *basket = &orders->basket[i];

		held[i] = by_time ? basket->at > split : basket_hash(basket) % CHANCE == 0;
		if (!held[i])
			for (int j = 0; j < basket->n; j++)
				had[n++] = (EcHad) {i, orders->item[basket->first + j]};
		else if (basket->n > 1)
			ntests++;
	}
	holdout->matrix = ec_matrix_build(had, n, orders->n, history->nskus, EC_BASKET_ITEMS);
	pfree(had);
	holdout->popular = popularity(history, held, split);
	holdout->test = palloc_extended(Max(Min(ntests, most), 1) * sizeof(EcTest), MCXT_ALLOC_HUGE);
	sample = ntests > most ? (uint32) ((double) most / ntests * PG_UINT32_MAX) : PG_UINT32_MAX;
	for (int i = 0; i < orders->n && holdout->ntests < most; i++)
	{
		const EcBasket *basket = &orders->basket[i];
		EcTest	   *test = &holdout->test[holdout->ntests];
		int			out;

		if (!held[i] || basket->n < 2 || hash_bytes_uint32(basket_hash(basket)) > sample)
			continue;
		out = hash_bytes_uint32(basket_hash(basket) + 1) % basket->n;
		test->held = palloc(sizeof(int));
		test->held[0] = orders->item[basket->first + out];
		test->nheld = 1;
		test->had = palloc(basket->n * sizeof(int));
		test->age = palloc0(basket->n * sizeof(double));
		test->nhad = 0;
		for (int j = 0; j < basket->n; j++)
			if (j != out)
				test->had[test->nhad++] = orders->item[basket->first + j];
		holdout->ntests++;
	}
}

/* ---- customers ---- */

/*
 * What each customer had, each item once, by user, in the order of time;
 * held is set for what he is asked about.
 */
static First *
customers_first(const EcBought *history, TimestampTz split, bool by_time, int64 **starts)
{
	const EcBaskets *orders = &history->orders;
	int64	   *start = palloc_extended((orders->nusers + 1) * sizeof(int64), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	int64	   *next = palloc_extended((orders->nusers + 1) * sizeof(int64), MCXT_ALLOC_HUGE);
	First	   *first = palloc_extended(Max(orders->nitems, 1) * sizeof(First), MCXT_ALLOC_HUGE);
	int		   *seen = palloc_extended(Max(history->nskus, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	int64		kept = 0;

	for (int i = 0; i < orders->n; i++)
		start[orders->basket[i].user + 1] += orders->basket[i].n;
	for (int u = 0; u < orders->nusers; u++)
		start[u + 1] += start[u];
	memcpy(next, start, (orders->nusers + 1) * sizeof(int64));
	for (int i = 0; i < orders->n; i++)
	{
		const EcBasket *basket = &orders->basket[i];

		for (int j = 0; j < basket->n; j++)
			first[next[basket->user]++] = (First) {basket->user, orders->item[basket->first + j], basket->at, basket};
	}
	for (int i = 0; i < history->nskus; i++)
		seen[i] = -1;
	for (int u = 0; u < orders->nusers; u++)
	{
		int64		from = start[u];
		int64		to = start[u + 1];

		start[u] = kept;
		for (int64 k = from; k < to; k++)
		{
			First		one = first[k];

			if (seen[one.item] == u)
				continue;
			seen[one.item] = u;
			one.held = by_time ? one.at > split :
				hash_combine(basket_hash(one.basket), hash_bytes_uint32(one.item)) % CHANCE == 0;
			first[kept++] = one;
		}
	}
	start[orders->nusers] = kept;
	pfree(next);
	pfree(seen);
	*starts = start;
	return first;
}

static void
customers_split(const EcBought *history, TimestampTz split, bool by_time, int most, EcHoldout *holdout)
{
	const EcBaskets *orders = &history->orders;
	int64	   *start;
	First	   *first = customers_first(history, split, by_time, &start);
	EcHad	   *had = palloc_extended(Max(start[orders->nusers], 1) * sizeof(EcHad), MCXT_ALLOC_HUGE);
	int			nasked = 0;
	int64		n = 0;
	uint32		sample;

	holdout->popular = palloc_extended(Max(history->nskus, 1) * sizeof(double), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int u = 0; u < orders->nusers; u++)
	{
		int			held = 0;

		for (int64 k = start[u]; k < start[u + 1]; k++)
			if (first[k].held)
				held++;
			else
			{
				had[n++] = (EcHad) {u, first[k].item};
				if (!first[k].basket->returned)
					holdout->popular[first[k].item] += recency(first[k].at, split);
			}
		if (held > 0 && held < start[u + 1] - start[u])
			nasked++;
	}
	holdout->matrix = ec_matrix_build(had, n, orders->nusers, history->nskus, EC_CUSTOMER_ITEMS);
	pfree(had);
	to_shares(holdout->popular, history->nskus);
	holdout->test = palloc_extended(Max(Min(nasked, most), 1) * sizeof(EcTest), MCXT_ALLOC_HUGE);
	sample = nasked > most ? (uint32) ((double) most / nasked * PG_UINT32_MAX) : PG_UINT32_MAX;
	for (int u = 0; u < orders->nusers && holdout->ntests < most; u++)
	{
		EcTest	   *test = &holdout->test[holdout->ntests];
		int			count = start[u + 1] - start[u];
		int			held = 0;

		for (int64 k = start[u]; k < start[u + 1]; k++)
			held += first[k].held;
		/* numbers of users depend on where their rows lie; keys of baskets do not */
		if (held == 0 || held == count || hash_bytes_uint32(basket_hash(first[start[u]].basket)) > sample)
			continue;
		test->held = palloc(held * sizeof(int));
		test->had = palloc((count - held) * sizeof(int));
		test->age = palloc((count - held) * sizeof(double));
		test->nheld = test->nhad = 0;
		/* the last one first, as they are read when one is served */
		for (int64 k = start[u + 1] - 1; k >= start[u]; k--)
			if (first[k].held)
				test->held[test->nheld++] = first[k].item;
			else
			{
				test->had[test->nhad] = first[k].item;
				test->age[test->nhad++] = Max(days_since(first[k].at, split), 0);
			}
		holdout->ntests++;
	}
	pfree(first);
	pfree(start);
}

/* Does a split in time leave enough to know? */
static bool
knows_enough(const EcBaskets *orders, TimestampTz split)
{
	int			known = 0;

	/* in the order of time */
	while (known < orders->n && orders->basket[known].at <= split)
		known++;
	return (int64) known * FEW_KNOWN >= orders->n;
}

/*
 * Split a history, in the current context.  most: no more tests than that,
 * some by chance.  The caller looks at ntests: there may be none.
 */
EcHoldout *
ec_holdout(const EcBought *history, EcTask task, TimestampTz split, int most)
{
	for (int by_time = knows_enough(&history->orders, split) ? 1 : 0;; by_time--)
	{
		EcHoldout  *holdout = palloc0(sizeof(EcHoldout));
		TimestampTz until = split;

		CHECK_FOR_INTERRUPTS();
		holdout->nitems = history->nskus;
		holdout->by_time = by_time;
		if (!by_time)
			until = history->orders.n > 0 ? history->orders.basket[history->orders.n - 1].at : split;
		if (task == EC_TASK_BASKET)
			baskets_split(history, until, by_time, most, holdout);
		else
			customers_split(history, until, by_time, most, holdout);
		if (!by_time || holdout->ntests >= FEW_TESTS)
			return holdout;
	}
}

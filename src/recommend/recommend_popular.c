/*-------------------------------------------------------------------------
 *
 * recommend_popular.c
 *		Skus of a version with their figures, and what is popular where.
 *
 * Popular is what most customers bought, each counting once, by the time of
 * his last purchase of it.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "recommend/recommend.h"

#define POPULAR_ITEMS 500
#define POPULAR_HALF_LIFE (EC_POPULAR_HALF_LIFE * (double) USECS_PER_DAY)

/* A customer's last purchase of an item. */
typedef struct Last
{
	int			country;
	int			item;
	float		weight;
} Last;

static int
last_compare(const void *a, const void *b)
{
	const Last *left = a;
	const Last *right = b;

	return (left->country > right->country) - (left->country < right->country);
}

static void
popular_write(EcBuilt *rows, int64 version, const EcName *country, const double *sum, int nitems)
{
	EcScored	heap[POPULAR_ITEMS];
	int			items[POPULAR_ITEMS];
	float		shares[POPULAR_ITEMS];
	int			n = 0;
	Datum		values[4];

	for (int i = 0; i < nitems; i++)
		if (sum[i] > 0)
			ec_scored_put(heap, &n, POPULAR_ITEMS, (EcScored) {sum[i], i});
	qsort(heap, n, sizeof(EcScored), ec_scored_compare);
	for (int i = 0; i < n; i++)
	{
		items[i] = heap[i].item;
		shares[i] = heap[i].score / heap[0].score;
	}
	if (n == 0)
		return;
	values[0] = Int64GetDatum(version);
	values[1] = PointerGetDatum(cstring_to_text_with_len(country->key, country->len));
	values[2] = ec_int_array(items, n);
	values[3] = ec_real_array(shares, n);
	ec_built_put(rows, values);
}

/*
 * Items with their figures (totals: orders that count of each), and what is
 * popular where.  A purchase that was paid back whole is one, but makes
 * nothing popular.
 */
void
ec_items_write(int64 version, const EcBought *history, const int *totals)
{
	const EcBaskets *orders = &history->orders;
	int			nskus = history->nskus;
	int		   *ncustomers = palloc0(Max(nskus, 1) * sizeof(int));
	int		   *nrepeat = palloc0(Max(nskus, 1) * sizeof(int));
	int		   *seen = palloc(Max(nskus, 1) * sizeof(int));
	int		   *again = palloc(Max(nskus, 1) * sizeof(int));
	int64	   *start = palloc_extended((orders->nusers + 1) * sizeof(int64), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	int		   *of = palloc_extended(Max(orders->n, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	Last	   *last = palloc_extended(Max(orders->nitems, 1) * sizeof(Last), MCXT_ALLOC_HUGE);
	int64		nlast = 0;
	double	   *sum = palloc0(Max(nskus, 1) * sizeof(double));
	TimestampTz newest = orders->n > 0 ? orders->basket[orders->n - 1].at : 0;
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "ecauto rows", ALLOCSET_DEFAULT_SIZES);
	EcBuilt	   *rows = ec_built_open("recommend_item", 7);
	MemoryContext old;

	/* baskets of each user, in order */
	for (int i = 0; i < orders->n; i++)
		start[orders->basket[i].user + 1]++;
	for (int u = 0; u < orders->nusers; u++)
		start[u + 1] += start[u];
	for (int i = 0; i < orders->n; i++)
		of[start[orders->basket[i].user]++] = i;
	for (int i = 0; i < nskus; i++)
		seen[i] = again[i] = -1;
	/* start[u] is now the end of u */
	for (int u = 0; u < orders->nusers; u++)
		for (int64 k = start[u] - 1; k >= (u > 0 ? start[u - 1] : 0); k--)
		{
			const EcBasket *basket = &orders->basket[of[k]];
			float		weight = exp2((double) (basket->at - newest) / POPULAR_HALF_LIFE);

			for (int j = 0; j < basket->n; j++)
			{
				int			item = orders->item[basket->first + j];

				if (seen[item] != u)
				{
					seen[item] = u;
					ncustomers[item]++;
					if (!basket->returned)
						last[nlast++] = (Last) {basket->country, item, weight};
				}
				else if (again[item] != u)
				{
					again[item] = u;
					nrepeat[item]++;
				}
			}
		}

	old = MemoryContextSwitchTo(row_context);
	for (int i = 0; i < nskus; i++)
	{
		Datum		values[7];

		values[0] = Int64GetDatum(version);
		values[1] = Int32GetDatum(i);
		values[2] = PointerGetDatum(cstring_to_text_with_len(history->sku[i].key, history->sku[i].len));
		values[3] = Float8GetDatum(i);
		values[4] = Int32GetDatum(totals[i]);
		values[5] = Int32GetDatum(ncustomers[i]);
		values[6] = Int32GetDatum(nrepeat[i]);
		ec_built_put(rows, values);
		MemoryContextReset(row_context);
	}

	ec_built_close(rows);
	rows = ec_built_open("recommend_popular", 4);

	/* sums of floats depend on their order: it is that of users, which the keys do not tell; so round */
	for (int64 i = 0; i < nlast; i++)
		sum[last[i].item] += rint(last[i].weight * EC_MATRIX_UNIT);
	popular_write(rows, version, &(EcName) {"", 0}, sum, nskus);
	qsort(last, nlast, sizeof(Last), last_compare);
	for (int64 i = 0; i < nlast;)
	{
		int64		from = i;

		for (; i < nlast && last[i].country == last[from].country; i++)
			;
		if (last[from].country < 0)
			continue;
		CHECK_FOR_INTERRUPTS();
		memset(sum, 0, nskus * sizeof(double));
		for (int64 k = from; k < i; k++)
			sum[last[k].item] += rint(last[k].weight * EC_MATRIX_UNIT);
		popular_write(rows, version, ec_names_get(history->countries, last[from].country), sum, nskus);
	}
	ec_built_close(rows);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(row_context);
}

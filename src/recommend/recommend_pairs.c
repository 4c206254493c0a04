/*-------------------------------------------------------------------------
 *
 * recommend_pairs.c
 *		With how many orders an item shares each other one, as it is stored.
 *
 * A row of recommend_count is a run of pairs of numbers, ascending by item:
 * how far the item is from the one before, and how many orders had both, each
 * in as few bytes as it needs (seven bits a byte, the last one with the top
 * bit clear).  Most are two bytes instead of eight, so that what a thousand
 * orders change can be read, merged and written in some milliseconds.
 *
 * A row of recommend_pair is what is shown of it: the most frequent ones.  Of
 * ties the first by key; numbers are in the order of keys but for skus that
 * came after the build (recommend_item.rank), hence EcOrder.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "recommend/recommend.h"

static inline unsigned char *
number_put(unsigned char *at, uint32 number)
{
	while (number >= 0x80)
	{
		*at++ = (unsigned char) (number | 0x80);
		number >>= 7;
	}
	*at++ = (unsigned char) number;
	return at;
}

/* NULL if it ends too early or is too large. */
static inline const unsigned char *
number_get(const unsigned char *at, const unsigned char *end, uint32 *number)
{
	uint32		value = 0;

	for (int shift = 0; shift < 35; shift += 7)
	{
		if (at >= end)
			return NULL;
		value |= (uint32) (*at & 0x7f) << shift;
		if ((*at++ & 0x80) == 0)
		{
			*number = value;
			return at;
		}
	}
	return NULL;
}

/* Make room for n pairs; in the current context the first time. */
void
ec_pairs_reserve(EcPairs *pairs, int n)
{
	if (n <= pairs->room)
		return;
	pairs->room = Max(n, Max(64, 2 * Min(pairs->room, PG_INT32_MAX / 4)));
	if (pairs->item == NULL)
	{
		pairs->item = palloc_extended(pairs->room * sizeof(int), MCXT_ALLOC_HUGE);
		pairs->count = palloc_extended(pairs->room * sizeof(int), MCXT_ALLOC_HUGE);
	}
	else
	{
		pairs->item = repalloc_huge(pairs->item, pairs->room * sizeof(int));
		pairs->count = repalloc_huge(pairs->count, pairs->room * sizeof(int));
	}
}

/* As a bytea in the current context. */
bytea *
ec_pairs_pack(const EcPairs *pairs)
{
	bytea	   *packed = palloc_extended(VARHDRSZ + (Size) pairs->n * 10, MCXT_ALLOC_HUGE);
	unsigned char *at = (unsigned char *) VARDATA(packed);
	int			before = -1;

	for (int i = 0; i < pairs->n; i++)
	{
		at = number_put(at, pairs->item[i] - before - 1);
		at = number_put(at, pairs->count[i]);
		before = pairs->item[i];
	}
	if (at - (unsigned char *) packed > MaxAllocSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("an item was bought together with too many others"),
				 errdetail("There are %d of them.", pairs->n)));
	SET_VARSIZE(packed, at - (unsigned char *) packed);
	return packed;
}

/*
 * The pairs of a bytea (plain, or detoasted without a copy of short ones) for
 * a version of nitems items, into pairs.  Raises data_corrupted for what
 * ec_pairs_pack() did not write.
 */
void
ec_pairs_unpack(bytea *packed, int nitems, EcPairs *pairs)
{
	const unsigned char *at = (unsigned char *) VARDATA_ANY(packed);
	const unsigned char *end = at + VARSIZE_ANY_EXHDR(packed);
	int64		item = -1;

	pairs->n = 0;
	ec_pairs_reserve(pairs, (end - at) / 2);	/* a pair is at least two bytes */
	while (at < end)
	{
		uint32		gap;
		uint32		count;

		if ((at = number_get(at, end, &gap)) == NULL || (at = number_get(at, end, &count)) == NULL ||
			(item += (int64) gap + 1) >= nitems || count == 0 || count > PG_INT32_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("stored counts of pairs are damaged"),
					 errhint("Run ecauto.build_recommendations().")));
		pairs->item[pairs->n] = (int) item;
		pairs->count[pairs->n++] = (int) count;
	}
}

/* ---- order of keys ---- */

/* A sku that came after the build. */
typedef struct Late
{
	double		rank;
	int			item;
} Late;

static int
late_compare(const void *a, const void *b)
{
	const Late *left = a;
	const Late *right = b;

	return (left->rank > right->rank) - (left->rank < right->rank);
}

/*
 * Places of items by key: nbuilt that are in order, and n - nbuilt later ones
 * with these ranks.  In the current context.
 */
EcOrder *
ec_order_create(int nbuilt, int n, const double *ranks)
{
	EcOrder    *order = palloc0(sizeof(EcOrder));
	int			nlate = n - nbuilt;
	Late	   *late;
	int			at = 0;
	int			built = 0;

	if (nlate == 0)
		return order;
	late = palloc_extended(nlate * sizeof(Late), MCXT_ALLOC_HUGE);
	order->place = palloc_extended(n * sizeof(int), MCXT_ALLOC_HUGE);
	order->item = palloc_extended(n * sizeof(int), MCXT_ALLOC_HUGE);
	for (int i = 0; i < nlate; i++)
		late[i] = (Late) {ranks[i], nbuilt + i};
	qsort(late, nlate, sizeof(Late), late_compare);
	for (int i = 0; i < nlate; i++)
	{
		for (; built < nbuilt && built < late[i].rank; built++)
			order->item[at++] = built;
		order->item[at++] = late[i].item;
	}
	for (; built < nbuilt; built++)
		order->item[at++] = built;
	for (int i = 0; i < n; i++)
		order->place[order->item[i]] = i;
	pfree(late);
	return order;
}

/* ---- what is shown ---- */

/* Count and place as one number: the larger, the sooner shown. */
#define SORT_KEY(count, place) ((uint64) (uint32) (count) << 32 | (uint32) (PG_INT32_MAX - (place)))

#define ST_SORT sort_keys
#define ST_ELEMENT_TYPE uint64
#define ST_COMPARE(a, b) (*(a) < *(b) ? 1 : *(a) > *(b) ? -1 : 0)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/*
 * The most frequent of pairs, at most EC_PAIRS_FREQUENT: their items and counts;
 * returns how many.
 *
 * Most counts are small and many the same, so it is first seen from which
 * count on they are few enough; of that count itself the first by place are
 * kept.
 */
int
ec_pairs_frequent(const EcPairs *pairs, const EcOrder *order, int *others, int *counts)
{
	uint64		keys[4 * EC_PAIRS_FREQUENT];
	uint64		limit = 0;
	int			with[256] = {0};
	int			least = 255;
	int			n = 0;

	for (int i = 0; i < pairs->n; i++)
		with[Min(pairs->count[i], 255)]++;
	for (int above = 0; least > 0 && (above += with[least]) < EC_PAIRS_FREQUENT; least--)
		;
	for (int i = 0; i < pairs->n; i++)
	{
		uint64		key;

		if (pairs->count[i] < least)
			continue;
		key = SORT_KEY(pairs->count[i], ec_order_place(order, pairs->item[i]));
		if (key < limit)
			continue;
		keys[n++] = key;
		if (n == lengthof(keys))
		{
			sort_keys(keys, n);
			n = EC_PAIRS_FREQUENT;
			limit = keys[n - 1];
		}
	}
	sort_keys(keys, n);
	n = Min(n, EC_PAIRS_FREQUENT);
	for (int i = 0; i < n; i++)
	{
		counts[i] = (int) (keys[i] >> 32);
		others[i] = ec_order_item(order, PG_INT32_MAX - (int) (uint32) keys[i]);
	}
	return n;
}

/*
 * Of an item's pairs the at most "most" nearest (ec_nearness()), nearest first,
 * in the current context; *n: how many.
 */
EcNear *
ec_pairs_nearest(const EcPairs *pairs, const EcOrder *order, int total, const int *totals, int most, int *n)
{
	EcScored   *heap = palloc(Max(most, 1) * sizeof(EcScored));
	EcNear	   *near;

	*n = 0;
	/* the index of the pair would do as well as its place, if keys came in order */
	for (int i = 0; i < pairs->n && most > 0; i++)
		ec_scored_put(heap, n, most, (EcScored) {
					  ec_nearness(pairs->count[i], total, totals[pairs->item[i]]),
					  ec_order_place(order, pairs->item[i])});
	qsort(heap, *n, sizeof(EcScored), ec_scored_compare);
	near = palloc(Max(*n, 1) * sizeof(EcNear));
	for (int i = 0; i < *n; i++)
	{
		int			low = 0;
		int			high = pairs->n - 1;

		near[i].item = ec_order_item(order, heap[i].item);
		near[i].nearness = heap[i].score;
		while (low < high)
		{
			int			middle = (low + high) / 2;

			if (pairs->item[middle] < near[i].item)
				low = middle + 1;
			else
				high = middle;
		}
		near[i].count = pairs->count[low];
		near[i].total = totals[near[i].item];
	}
	pfree(heap);
	return near;
}

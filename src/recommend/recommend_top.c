/*-------------------------------------------------------------------------
 *
 * recommend_top.c
 *		The best of many, by a heap with the last of them on top.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "recommend/recommend.h"

/* Higher first; of equal ones the first item. */
static inline bool
scored_before(const EcScored *a, const EcScored *b)
{
	return a->score > b->score || (a->score == b->score && a->item < b->item);
}

/* For qsort(): best first. */
int
ec_scored_compare(const void *a, const void *b)
{
	return scored_before(a, b) ? -1 : scored_before(b, a);
}

/* Put one into a heap of at most k; *n: how many are in it. */
void
ec_scored_put(EcScored *heap, int *n, int k, EcScored one)
{
	int			i;

	if (*n < k)
	{
		for (i = (*n)++; i > 0 && scored_before(&heap[(i - 1) / 2], &one); i = (i - 1) / 2)
			heap[i] = heap[(i - 1) / 2];
		heap[i] = one;
		return;
	}
	if (!scored_before(&one, &heap[0]))
		return;
	for (i = 0;;)
	{
		int			child = 2 * i + 1;

		if (child >= k)
			break;
		if (child + 1 < k && scored_before(&heap[child], &heap[child + 1]))
			child++;
		if (!scored_before(&one, &heap[child]))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = one;
}

/*-------------------------------------------------------------------------
 *
 * recommend_source.c
 *		Weights of all targets, turned around: what each item speaks for.
 *
 * They are solved target by target and used source by source: of what a
 * customer had, all that it speaks for is added up.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "utils/memutils.h"

#include "recommend/recommend.h"

/* Weights as they are solved for, target by target. */
typedef struct Solved
{
	int64		n;
	int64		room;
	int		   *source;
	int		   *target;
	float	   *weight;
} Solved;

/* EcEaseTarget */
static void
solved_put(int target, const EcWeight *weights, int n, void *arg)
{
	Solved	   *solved = arg;

	while (solved->n + n > solved->room)
	{
		solved->room *= 2;
		solved->source = repalloc_huge(solved->source, solved->room * sizeof(int));
		solved->target = repalloc_huge(solved->target, solved->room * sizeof(int));
		solved->weight = repalloc_huge(solved->weight, solved->room * sizeof(float));
	}
	for (int i = 0; i < n; i++)
	{
		/* no number, or next to nothing: a solution that failed, or no evidence */
		if (!(fabsf(weights[i].weight) >= 1e-6f && fabsf(weights[i].weight) < 1e6f))
			continue;
		solved->source[solved->n] = weights[i].source;
		solved->target[solved->n] = target;
		solved->weight[solved->n] = weights[i].weight;
		solved->n++;
	}
}

/*
 * Solve for the weights of all items, by source, in the current context,
 * which the caller resets.
 */
EcSources *
ec_sources_solve(const EcMatrix *matrix, const EcEase *options, EcEaseReport *report)
{
	EcSources  *sources = palloc(sizeof(EcSources));
	MemoryContext result = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(result, "ecauto weights", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Solved		solved = {0};
	int64	   *next;

	solved.room = 65536;
	solved.source = palloc(solved.room * sizeof(int));
	solved.target = palloc(solved.room * sizeof(int));
	solved.weight = palloc(solved.room * sizeof(float));
	ec_ease(matrix, options, NULL, solved_put, &solved, report);

	sources->start = MemoryContextAllocExtended(result, (matrix->nitems + 1) * sizeof(int64),
												MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	sources->target = MemoryContextAllocExtended(result, Max(solved.n, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	sources->weight = MemoryContextAllocExtended(result, Max(solved.n, 1) * sizeof(float), MCXT_ALLOC_HUGE);
	for (int64 i = 0; i < solved.n; i++)
		sources->start[solved.source[i] + 1]++;
	for (int i = 0; i < matrix->nitems; i++)
		sources->start[i + 1] += sources->start[i];
	next = palloc_extended((matrix->nitems + 1) * sizeof(int64), MCXT_ALLOC_HUGE);
	memcpy(next, sources->start, (matrix->nitems + 1) * sizeof(int64));
	for (int64 i = 0; i < solved.n; i++)
	{
		int64		at = next[solved.source[i]]++;

		sources->target[at] = solved.target[i];
		sources->weight[at] = solved.weight[i];
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return sources;
}

/*-------------------------------------------------------------------------
 *
 * recommend_personal.c
 *		For a customer, and for a basket: ecauto.recommend(),
 *		complete_basket().
 *
 * The weights of what was had are summed for each target (recommend_ease.c
 * solved them so that the sum is what is expected); the best targets are
 * offered in batches, since most calls need the first one only.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "recommend/recommend.h"
#include "recommend/recommend_serve.h"

PG_FUNCTION_INFO_V1(ecauto_recommend);
PG_FUNCTION_INFO_V1(ecauto_complete_basket);

/* of a customer the last so many skus speak for others */
#define SOURCES_MAX EC_CUSTOMER_ITEMS

/* Something that speaks for others. */
typedef struct Source
{
	int			item;
	double		weight;			/* at most 1: it was bought */
	const char *sku;
	bool		bought;			/* or only looked at */
} Source;

/* What speaks for one candidate. */
typedef struct Target
{
	int			item;			/* -1: free place of the table */
	int			because;		/* place of the source that speaks most for it */
	float		most;			/* how much that is */
	double		score;
} Target;

typedef struct Targets
{
	int			size;			/* a power of 2 */
	Target	   *target;
} Targets;

/*
 * The sum of the weights of the sources for each target, as a table by hash.
 */
static Targets
targets_sum(EcServe *serve, bool basket, const Source *sources, int nsources)
{
	EcRead	   *read = ec_serve_read(serve, EC_SERVE_WEIGHT);
	int		  **items = palloc(Max(nsources, 1) * sizeof(int *));
	float	  **weights = palloc(Max(nsources, 1) * sizeof(float *));
	int		   *counts = palloc(Max(nsources, 1) * sizeof(int));
	int64		total = 0;
	Targets		targets;

	for (int i = 0; i < nsources; i++)
	{
		Datum		keys[3] = {Int64GetDatum(serve->version), BoolGetDatum(basket), Int32GetDatum(sources[i].item)};

		counts[i] = 0;
		if (ec_read_one(read, 3, keys))
		{
			items[i] = ec_read_array(read, 0, &counts[i]);
			weights[i] = ec_read_array(read, 1, &counts[i]);
		}
		total += counts[i];
	}
	/* no more targets than skus */
	targets.size = pg_nextpower2_32(Min(total, serve->skus) * 2 + 16);
	targets.target = palloc_extended(targets.size * sizeof(Target), MCXT_ALLOC_HUGE);
	for (int i = 0; i < targets.size; i++)
		targets.target[i].item = -1;
	for (int i = 0; i < nsources; i++)
	{
		CHECK_FOR_INTERRUPTS();
		for (int k = 0; k < counts[i]; k++)
		{
			int			item = items[i][k];
			float		weight = weights[i][k] * sources[i].weight;
			uint32		at = murmurhash32(item) & (targets.size - 1);
			Target	   *target;

			while (targets.target[at].item != item && targets.target[at].item >= 0)
				at = (at + 1) & (targets.size - 1);
			target = &targets.target[at];
			if (target->item < 0)
				*target = (Target) {item, i, weight, 0};
			target->score += weight;
			if (weight > target->most)
			{
				target->most = weight;
				target->because = i;
			}
		}
	}
	return targets;
}

static const Target *
targets_find(const Targets *targets, int item)
{
	uint32		at = murmurhash32(item) & (targets->size - 1);

	while (targets->target[at].item != item && targets->target[at].item >= 0)
		at = (at + 1) & (targets->size - 1);
	return &targets->target[at];
}

/* For reasons: what the items that speak for others are called. */
typedef struct Because
{
	const Targets *targets;
	const Source *sources;
	char	  **titles;			/* of the sources; NULL: not looked up yet */
	const char *bought;			/* formats with one %s: it was bought, ... */
	const char *seen;			/* ... or only looked at */
} Because;

/* EcMakeReason */
static char *
reason_because(EcServe *serve, EcShown *shown, void *arg)
{
	Because    *because = arg;
	int			source = targets_find(because->targets, shown->item)->because;

	if (because->titles[source] == NULL)
		because->titles[source] = ec_serve_title(serve, because->sources[source].sku);
	return psprintf(because->sources[source].bought ? because->bought : because->seen, because->titles[source]);
}

/* What the sources speak for, best first. */
static void
show_targets(EcServe *serve, bool basket, const Source *sources, int nsources,
			 const char *bought, const char *seen)
{
	Targets		targets;
	Because		because = {&targets, sources, NULL, bought, seen};
	int			done = 0;

	if (nsources == 0)
		return;
	targets = targets_sum(serve, basket, sources, nsources);
	because.titles = palloc0(nsources * sizeof(char *));
	for (int most = 2 * serve->n + 20; serve->found < serve->n; most *= 8)
	{
		int			room = Min(most, targets.size);
		EcScored   *best = palloc_extended(room * sizeof(EcScored), MCXT_ALLOC_HUGE);
		EcShown    *shown;
		int			n = 0;

		for (int i = 0; i < targets.size; i++)
			if (targets.target[i].item >= 0 && targets.target[i].score > 0)
				ec_scored_put(best, &n, room, (EcScored) {targets.target[i].score, targets.target[i].item});
		qsort(best, n, sizeof(EcScored), ec_scored_compare);
		shown = palloc0(Max(n - done, 1) * sizeof(EcShown));
		for (int i = done; i < n; i++)
		{
			shown[i - done].item = best[i].item;
			shown[i - done].score = best[i].score;
		}
		ec_serve_offer(serve, shown, n - done, reason_because, &because);
		if (n < most)
			break;
		done = n;
	}
}

/* Add a source of that weight, or to its weight, which is at most 1. */
static void
source_put(Source *sources, int *n, int item, double weight, const char *sku, bool bought)
{
	for (int i = 0; i < *n; i++)
		if (sources[i].item == item)
		{
			sources[i].weight = Min(sources[i].weight + weight, 1);
			return;
		}
	sources[(*n)++] = (Source) {item, Min(weight, 1), sku, bought};
}

/*
 * ecauto.recommend(customer text, n integer) returns table(sku text, score float8, reason text)
 */
Datum
ecauto_recommend(PG_FUNCTION_ARGS)
{
	char	   *customer = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Datum		key = PG_GETARG_DATUM(0);
	EcServe		serve;
	EcPast	   *past;
	EcRead	   *read;
	char	   *country = NULL;
	bool		seen;

	ec_serve_begin(&serve, fcinfo, PG_GETARG_INT32(1), 0);
	serve.one_per_product = true;
	ec_serve_require(&serve);

	past = ec_past_orders(&serve, customer);
	serve.had = past->names;
	if (!ec_read_one(ec_serve_read(&serve, EC_SERVE_NO_PROFILE), 1, &key))
	{
		int			ndone;
		EcDone	   *done = ec_past_done(&serve, customer, NULL, &ndone);
		Source	   *sources = palloc((Min(past->n, SOURCES_MAX) + ndone + 1) * sizeof(Source));
		int			nsources = 0;
		int			item;

		for (int i = 0; i < Min(past->n, SOURCES_MAX); i++)
			if ((item = ec_serve_item_number(&serve, past->bought[i].sku)) >= 0)
				sources[nsources++] = (Source) {item, 1, past->bought[i].sku, true};
		for (int i = 0; i < ndone; i++)
			if ((item = ec_serve_item_number(&serve, done[i].sku)) >= 0)
				source_put(sources, &nsources, item, done[i].weight, done[i].sku, false);
		show_targets(&serve, false, sources, nsources, "because you bought %s", "because you looked at %s");
	}
	if (serve.found < serve.n)
	{
		read = ec_serve_read(&serve, EC_SERVE_CUSTOMER);
		seen = ec_read_one(read, 1, &key);
		country = seen ? ec_read_text(read, 0) : ec_customer_country(customer);
		if (country != NULL && country[0] != '\0')
			ec_serve_popular(&serve, country);
		ec_serve_popular(&serve, "");
	}
	ec_serve_end(&serve);
	return (Datum) 0;
}

/*
 * ecauto.complete_basket(skus text[], n integer) returns table(sku text, score float8, reason text)
 */
Datum
ecauto_complete_basket(PG_FUNCTION_ARGS)
{
	EcServe		serve;
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int			nsources = 0;
	Source	   *sources;

	ec_serve_begin(&serve, fcinfo, PG_GETARG_INT32(1), 0);
	serve.one_per_product = true;
	ec_serve_require(&serve);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	sources = palloc_extended(Max(n, 1) * sizeof(Source), MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
	{
		char	   *sku;
		int			item;

		if (nulls[i])
			continue;
		sku = TextDatumGetCString(elements[i]);
		ec_serve_without(&serve, sku, NULL);
		item = nsources < EC_ROWS_MAX ? ec_serve_item_number(&serve, sku) : -1;
		if (item >= 0)
			source_put(sources, &nsources, item, 1, sku, true);
	}
	show_targets(&serve, true, sources, nsources, "goes with %s", NULL);
	ec_serve_popular(&serve, "");
	ec_serve_end(&serve);
	return (Datum) 0;
}

/*-------------------------------------------------------------------------
 *
 * recommend_personal.c
 *		For a customer, a basket, a visitor: ecauto.recommend(),
 *		complete_basket(), recommend_session().
 *
 * The weights of what was had are summed for each target (recommend_ease.c
 * solved them so that the sum is what is expected); the best targets are
 * offered in batches, since most calls need the first one only.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
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
PG_FUNCTION_INFO_V1(ecauto_recommend_viewed);
PG_FUNCTION_INFO_V1(ecauto_recommend_session);

/* of a customer the last so many skus speak for others */
#define SOURCES_MAX EC_CUSTOMER_ITEMS

/* of what was looked at, how much each says beside the one after it */
#define VIEW_DECAY 0.8

/* up to so many skus of a customer it is asked whether he buys them again */
#define AGAIN_MAX 200

/* most items of recommend_popular */
#define POPULAR_MAX 500

/* "because" of those that nothing of his speaks for */
#define POPULAR (-1)
#define AGAIN (-2)

/* What speaks for one candidate. */
typedef struct Target
{
	int			item;			/* -1: free place of the table */
	int			because;		/* place of the source that speaks most for it, POPULAR or AGAIN */
	float		most;			/* how much that is */
	double		score;
} Target;

typedef struct Targets
{
	int			size;			/* a power of 2 */
	Target	   *target;
} Targets;

/* The place of an item in the table, new or not. */
static Target *
targets_put(Targets *targets, int item, int because)
{
	uint32		at = item & (targets->size - 1);

	while (targets->target[at].item != item && targets->target[at].item >= 0)
		at = (at + 1) & (targets->size - 1);
	if (targets->target[at].item < 0)
		targets->target[at] = (Target) {item, because, 0, 0};
	return &targets->target[at];
}

/*
 * The sum of the weights of the sources for each target, as a table by hash,
 * with room for that many more.
 */
static Targets
targets_sum(EcServe *serve, EcTask task, const EcSource *sources, int nsources, int more)
{
	EcRead	   *read = ec_serve_read(serve, EC_SERVE_WEIGHT);
	int		  **items = palloc(Max(nsources, 1) * sizeof(int *));
	float	  **weights = palloc(Max(nsources, 1) * sizeof(float *));
	int		   *counts = palloc(Max(nsources, 1) * sizeof(int));
	int64		total = 0;
	Targets		targets;

	for (int i = 0; i < nsources; i++)
	{
		Datum		keys[3] = {Int64GetDatum(serve->version), BoolGetDatum(task == EC_TASK_BASKET),
			Int32GetDatum(sources[i].item)};

		counts[i] = 0;
		if (ec_read_one(read, 3, keys))
		{
			items[i] = ec_read_array(read, 0, &counts[i]);
			weights[i] = ec_read_array(read, 1, &counts[i]);
		}
		total += counts[i];
	}
	/* numbers are hashes of themselves: where there is a place for each sku, none collide */
	targets.size = pg_nextpower2_32(Min((total + more) * 2, serve->skus) + 16);
	targets.target = palloc_extended(targets.size * sizeof(Target), MCXT_ALLOC_HUGE);
	for (int i = 0; i < targets.size; i++)
		targets.target[i].item = -1;
	for (int i = 0; i < nsources; i++)
	{
		CHECK_FOR_INTERRUPTS();
		for (int k = 0; k < counts[i]; k++)
		{
			float		weight = weights[i][k] * sources[i].weight;
			Target	   *target = targets_put(&targets, items[i][k], i);

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
	uint32		at = item & (targets->size - 1);

	while (targets->target[at].item != item && targets->target[at].item >= 0)
		at = (at + 1) & (targets->size - 1);
	return &targets->target[at];
}

/* The best of them, at most so many, best first; what nothing speaks for is left out. */
static EcTargets
targets_best(const Targets *targets, int most)
{
	EcTargets	best = {0, palloc_extended(Min(most, targets->size) * sizeof(EcScored), MCXT_ALLOC_HUGE)};

	for (int i = 0; i < targets->size; i++)
		if (targets->target[i].item >= 0 && targets->target[i].score > 0)
			ec_scored_put(best.best, &best.n, Min(most, targets->size),
						  (EcScored) {targets->target[i].score, targets->target[i].item});
	qsort(best.best, best.n, sizeof(EcScored), ec_scored_compare);
	return best;
}

/*
 * What is popular now beside what was had: weight 1 lets the most popular item
 * count as much as the mean of the ten best.
 */
static void
targets_add_popular(EcServe *serve, Targets *targets, double weight)
{
	EcTargets	best = targets_best(targets, 10);
	EcRead	   *read = ec_serve_read(serve, EC_SERVE_POPULAR);
	Datum		keys[2] = {Int64GetDatum(serve->version), CStringGetTextDatum("")};
	double		mean = 0;
	int		   *items;
	float	   *shares;
	int			n;

	if (weight <= 0 || best.n == 0 || !ec_read_one(read, 2, keys))
		return;
	for (int i = 0; i < best.n; i++)
		mean += best.best[i].score / best.n;
	items = ec_read_array(read, 0, &n);
	shares = ec_read_array(read, 1, &n);
	for (int i = 0; i < Min(n, POPULAR_MAX); i++)
	{
		double		score = weight * mean * shares[i];
		Target	   *target = targets_put(targets, items[i], POPULAR);

		target->score += score;
		if (score > target->most)
		{
			target->most = score;
			target->because = POPULAR;
		}
	}
}

/* For reasons: what the items that speak for others are called. */
typedef struct Because
{
	const Targets *targets;
	const EcSource *sources;
	char	  **titles;			/* of the sources; NULL: not looked up yet */
	const EcAgain *again;
	int			nagain;
	const char *bought;			/* formats with one %s: it was bought, ... */
	const char *seen;			/* ... or only looked at */
} Because;

/* EcMakeReason */
static char *
reason_because(EcServe *serve, EcShown *shown, void *arg)
{
	Because    *because = arg;
	int			source = targets_find(because->targets, shown->item)->because;

	if (source == POPULAR)
		return pstrdup("popular");
	if (source == AGAIN)
		for (int i = 0; i < because->nagain; i++)
			if (because->again[i].item == shown->item)
				return because->again[i].times == 1 ? pstrdup("bought before") :
					psprintf("bought %d times before", because->again[i].times);
	if (because->titles[source] == NULL)
		because->titles[source] = ec_serve_title(serve, because->sources[source].sku);
	return psprintf(because->sources[source].bought ? because->bought : because->seen, because->titles[source]);
}

/*
 * Offer what the sources speak for, and what is bought again, best first.
 */
void
ec_personal_show(EcServe *serve, EcTask task, const EcSource *sources, int nsources,
				 const EcAgain *again, int nagain, const char *bought, const char *seen)
{
	EcRead	   *read = ec_serve_read(serve, EC_SERVE_SETTING);
	Datum		key = CStringGetTextDatum(ec_task_names[task]);
	double		popular = ec_setting_default(task).popular;
	Targets		targets;
	Because		because = {&targets, sources, NULL, again, nagain, bought, seen};
	int			done = 0;

	if (nsources + nagain == 0)
		return;
	if (ec_read_one(read, 1, &key))
		popular = read->nulls[1] ? 0 : DatumGetFloat8(read->values[1]);
	if (serve->trial.on && serve->trial.popular >= 0)
		popular = serve->trial.popular;
	targets = targets_sum(serve, task, sources, nsources, nagain + POPULAR_MAX);
	targets_add_popular(serve, &targets, popular);
	for (int i = 0; i < nagain; i++)
	{
		Target	   *target = targets_put(&targets, again[i].item, AGAIN);

		/* what speaks for it beside that is no more than for something new */
		target->score = Max(target->score, 0) + again[i].score;
		if (again[i].score > target->most)
		{
			target->most = again[i].score;
			target->because = AGAIN;
		}
	}
	because.titles = palloc0(Max(nsources, 1) * sizeof(char *));
	for (int most = 2 * serve->n + 20; serve->found < serve->n; most *= 8)
	{
		EcTargets	best = targets_best(&targets, most);
		EcShown    *shown = palloc0(Max(best.n - done, 1) * sizeof(EcShown));

		for (int i = done; i < best.n; i++)
		{
			shown[i - done].item = best.best[i].item;
			shown[i - done].score = best.best[i].score;
		}
		ec_serve_offer(serve, shown, best.n - done, reason_because, &because);
		if (best.n < most)
			break;
		done = best.n;
	}
}

/* What the sources speak for, at most so many, best first; in the current context. */
EcTargets
ec_personal_best(EcServe *serve, EcTask task, const EcSource *sources, int nsources, int most)
{
	Targets		targets = targets_sum(serve, task, sources, nsources, 0);

	return targets_best(&targets, most);
}

/* Add a source of that weight, or to its weight, which is at most 1. */
void
ec_source_put(EcSource *sources, int *n, int item, double weight, const char *sku, bool bought)
{
	for (int i = 0; i < *n; i++)
		if (sources[i].item == item)
		{
			sources[i].weight = Min(sources[i].weight + weight, 1);
			return;
		}
	sources[(*n)++] = (EcSource) {item, Min(weight, 1), sku, bought};
}

/*
 * What a customer bought and did, as far as the version knows it; none if he
 * objected to profiling.
 */
EcSource *
ec_sources_of(EcServe *serve, const char *customer, const EcPast *past, int *n)
{
	Datum		key = CStringGetTextDatum(customer);
	Datum		task = CStringGetTextDatum(ec_task_names[EC_TASK_CUSTOMER]);
	double		half_life = ec_setting_default(EC_TASK_CUSTOMER).half_life;
	EcRead	   *read;
	EcDone	   *done;
	EcSource   *sources;
	int			ndone;
	int			item;

	*n = 0;
	if (ec_read_one(ec_serve_read(serve, EC_SERVE_NO_PROFILE), 1, &key))
		return NULL;
	read = ec_serve_read(serve, EC_SERVE_SETTING);
	if (ec_read_one(read, 1, &task))
		half_life = read->nulls[0] ? 0 : DatumGetFloat8(read->values[0]);
	if (serve->trial.on && serve->trial.half_life >= 0)
		half_life = serve->trial.half_life;
	done = ec_past_done(serve, customer, NULL, &ndone);
	sources = palloc((Min(past->n, SOURCES_MAX) + ndone + 1) * sizeof(EcSource));
	for (int i = 0; i < Min(past->n, SOURCES_MAX); i++)
		if ((item = ec_serve_item_number(serve, past->bought[i].sku)) >= 0)
			sources[(*n)++] = (EcSource) {item,
				half_life > 0 ? exp2((past->bought[i].last - serve->now) / (half_life * USECS_PER_DAY)) : 1,
				past->bought[i].sku, true};
	for (int i = 0; i < ndone; i++)
		if ((item = ec_serve_item_number(serve, done[i].sku)) >= 0)
			ec_source_put(sources, n, item, done[i].weight, done[i].sku, false);
	return sources;
}

/*
 * What a customer may be shown again, with the share of his orders that it is
 * in (recent ones more), less until it is due.
 */
static EcAgain *
again_of(EcServe *serve, const EcPast *past, int *n)
{
	EcAgain    *again = palloc(AGAIN_MAX * sizeof(EcAgain));

	*n = 0;
	for (int i = 0; i < Min(past->n, AGAIN_MAX); i++)
	{
		const EcBoughtSku *bought = &past->bought[i];
		double		elapsed = (serve->now - bought->last) / (double) USECS_PER_DAY;
		double		gap;
		int			item;

		if (!ec_serve_consumable(serve, bought->sku) ||
			(item = ec_serve_item_number(serve, bought->sku)) < 0)
			continue;
		gap = bought->times > 1 ? ec_past_gap(past, i) : 0;
		again[(*n)++] = (EcAgain) {item, bought->times, bought->share * (gap > 0 ? Min(elapsed / gap, 1) : 1)};
	}
	return again;
}

/* Fill the answer with what suits a customer. */
void
ec_recommend_to(EcServe *serve, const char *customer)
{
	Datum		key = CStringGetTextDatum(customer);
	EcPast	   *past = ec_past_orders(serve, customer);
	EcSource   *sources = NULL;
	int			nsources;

	serve->had = past->names;
	ec_serve_draw(serve, customer);
	if (!serve->trial.popular_only)
		sources = ec_sources_of(serve, customer, past, &nsources);
	if (sources != NULL)
	{
		int			nagain;
		EcAgain    *again = again_of(serve, past, &nagain);

		ec_personal_show(serve, EC_TASK_CUSTOMER, sources, nsources, again, nagain,
						 "because you bought %s", "because you looked at %s");
	}
	if (serve->found < serve->n)
	{
		EcRead	   *read = ec_serve_read(serve, EC_SERVE_CUSTOMER);
		char	   *country = ec_read_one(read, 1, &key) ? ec_read_text(read, 0) : ec_customer_country(customer);

		if (country != NULL && country[0] != '\0')
			ec_serve_popular(serve, country);
		ec_serve_popular(serve, "");
	}
}

/*
 * ecauto.recommend(customer text, n integer) returns table(sku text, score float8, reason text)
 */
Datum
ecauto_recommend(PG_FUNCTION_ARGS)
{
	EcServe		serve;

	ec_serve_begin(&serve, fcinfo, PG_GETARG_INT32(1), 0);
	serve.one_per_product = true;
	ec_serve_require(&serve);
	ec_recommend_to(&serve, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	ec_serve_end(&serve);
	return (Datum) 0;
}

/* Skus of an array without NULLs, as sources; weight: of each, that of the last one being 1. */
static EcSource *
sources_of_array(EcServe *serve, ArrayType *array, double weight, bool bought, int *nsources)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	double		now = 1;
	EcSource   *sources;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	sources = palloc(Min(n + 1, EC_ROWS_MAX) * sizeof(EcSource));
	*nsources = 0;
	for (int i = n - 1; i >= 0; i--)
	{
		char	   *sku;
		int			item;

		CHECK_FOR_INTERRUPTS();
		if (nulls[i])
			continue;
		sku = TextDatumGetCString(elements[i]);
		ec_serve_without(serve, sku, NULL);
		item = *nsources < EC_ROWS_MAX ? ec_serve_item_number(serve, sku) : -1;
		if (item >= 0)
			ec_source_put(sources, nsources, item, now, sku, bought);
		now *= weight;
	}
	return sources;
}

/*
 * ecauto.complete_basket(skus text[], n integer) returns table(sku text, score float8, reason text)
 */
Datum
ecauto_complete_basket(PG_FUNCTION_ARGS)
{
	EcServe		serve;
	EcSource   *sources;
	int			nsources;

	ec_serve_begin(&serve, fcinfo, PG_GETARG_INT32(1), 0);
	serve.one_per_product = true;
	ec_serve_require(&serve);
	sources = sources_of_array(&serve, PG_GETARG_ARRAYTYPE_P(0), 1, true, &nsources);
	ec_personal_show(&serve, EC_TASK_BASKET, sources, nsources, NULL, 0, "goes with %s", NULL);
	ec_serve_popular(&serve, "");
	ec_serve_end(&serve);
	return (Datum) 0;
}

/*
 * ecauto.recommend_session(skus text[], n integer) returns table(sku text, score float8, reason text)
 */
Datum
ecauto_recommend_viewed(PG_FUNCTION_ARGS)
{
	EcServe		serve;
	EcSource   *sources;
	int			nsources;

	ec_serve_begin(&serve, fcinfo, PG_GETARG_INT32(1), 0);
	serve.one_per_product = true;
	ec_serve_require(&serve);
	sources = sources_of_array(&serve, PG_GETARG_ARRAYTYPE_P(0), VIEW_DECAY, false, &nsources);
	ec_personal_show(&serve, EC_TASK_BASKET, sources, nsources, NULL, 0, NULL, "because you looked at %s");
	ec_serve_popular(&serve, "");
	ec_serve_end(&serve);
	return (Datum) 0;
}

/*
 * ecauto.recommend_session(session text, n integer, country text)
 *		returns table(sku text, score float8, reason text)
 */
Datum
ecauto_recommend_session(PG_FUNCTION_ARGS)
{
	EcServe		serve;
	EcRead	   *read;
	char	   *session;
	Datum		key;

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("number of rows must not be null")));
	ec_serve_begin(&serve, fcinfo, PG_GETARG_INT32(1), 0);
	serve.one_per_product = true;
	ec_serve_require(&serve);
	if (!PG_ARGISNULL(0))
	{
		session = text_to_cstring(PG_GETARG_TEXT_PP(0));
		key = CStringGetTextDatum(session);
		read = ec_serve_read(&serve, EC_SERVE_IDENTITY);
		if (ec_read_one(read, 1, &key))
			ec_recommend_to(&serve, ec_read_text(read, 0));
		else
		{
			int			ndone;
			EcDone	   *done = ec_past_done(&serve, NULL, session, &ndone);
			EcSource   *sources = palloc((ndone + 1) * sizeof(EcSource));
			int			nsources = 0;

			for (int i = 0; i < ndone; i++)
			{
				int			item = ec_serve_item_number(&serve, done[i].sku);

				if (item >= 0)
					ec_source_put(sources, &nsources, item, done[i].weight, done[i].sku, false);
				ec_serve_without(&serve, done[i].sku, NULL);
			}
			ec_serve_draw(&serve, session);
			if (!serve.trial.popular_only)
				ec_personal_show(&serve, EC_TASK_BASKET, sources, nsources, NULL, 0, NULL, "because you looked at %s");
		}
	}
	if (!PG_ARGISNULL(2))
		ec_serve_popular(&serve, text_to_cstring(PG_GETARG_TEXT_PP(2)));
	ec_serve_popular(&serve, "");
	ec_serve_end(&serve);
	return (Datum) 0;
}

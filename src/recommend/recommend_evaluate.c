/*-------------------------------------------------------------------------
 *
 * recommend_evaluate.c
 *		How good recommendations are on the shop's own last weeks, and which
 *		settings are best there.
 *
 * Each model is made from what is known (recommend_holdout.c), ranks for each
 * test all items that were not had, and is judged by where it puts those that
 * were had next:
 *
 *	NDCG		hits among the first n, each worth 1 / log2(place + 1), of
 *				what the best order would get (Jarvelin, Kekalainen:
 *				Cumulated gain-based evaluation of IR techniques, 2002)
 *	recall		share of what was had next among the first 2n
 *	hit rate	share of tests with a hit among the first n
 *	coverage	share of all items that somebody is shown
 *	novelty		mean of -log2 of the share of users who have what is shown
 *
 * Beside the weights stand what is popular and the plain nearest neighbours,
 * which a model has to beat.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "recommend/recommend.h"

PG_FUNCTION_INFO_V1(ecauto_evaluate_recommendations);

/* most tests: more would tell the same, later */
#define TESTS_MOST 2000

/* when a build chooses for itself, it takes less time than the build */
#define CHOOSE_TESTS 1000
#define CHOOSE_SKUS 5000
#define CHOOSE_NEIGHBOURS 100
#define CHOOSE_DAYS 28

/* fewer prove nothing */
#define TESTS_LEAST 20

/* items of the list of what is popular that is served */
#define POPULAR_ITEMS 500

/* the scores whose mean is the measure of what is popular */
#define SCALE_ITEMS 10

/* what is better by less is as good: the setting in use stays */
#define BETTER 0.005

/* what n is when a build chooses */
#define CHOOSE_N 10

/* What one model is worth. */
typedef struct Worth
{
	double		ndcg;
	double		recall;
	double		hit_rate;
	double		coverage;
	double		novelty;
} Worth;

/* A model that was tried. */
typedef struct Trial
{
	const char *model;
	EcSetting	setting;		/* of model weights */
	Worth		worth;
	bool		chosen;
} Trial;

#define TRIALS_MOST 64

typedef struct Trials
{
	EcTask		task;
	int			ntests;
	bool		by_time;
	int			n;
	Trial		trial[TRIALS_MOST];
} Trials;

/* Memory for the scores of one test. */
typedef struct Sums
{
	double	   *score;			/* [items] */
	bool	   *had;			/* [items] */
	bool	   *touched;		/* [items] */
	int		   *item;			/* touched ones */
	int			n;
} Sums;

static Sums
sums_create(int nitems)
{
	Sums		sums;
	Size		size = Max(nitems, 1);

	sums.score = palloc_extended(size * sizeof(double), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	sums.had = palloc_extended(size * sizeof(bool), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	sums.touched = palloc_extended(size * sizeof(bool), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	sums.item = palloc_extended(size * sizeof(int), MCXT_ALLOC_HUGE);
	sums.n = 0;
	return sums;
}

static inline void
sums_add(Sums *sums, int item, double score)
{
	if (!sums->touched[item])
	{
		sums->touched[item] = true;
		sums->item[sums->n++] = item;
	}
	sums->score[item] += score;
}

static void
sums_reset(Sums *sums, const EcTest *test)
{
	for (int i = 0; i < sums->n; i++)
	{
		sums->score[sums->item[i]] = 0;
		sums->touched[sums->item[i]] = false;
	}
	sums->n = 0;
	for (int i = 0; i < test->nhad; i++)
		sums->had[test->had[i]] = false;
}

/* The best of what was not had, and above 0. */
static int
sums_best(const Sums *sums, int most, EcScored *best)
{
	int			n = 0;

	for (int i = 0; i < sums->n; i++)
	{
		int			item = sums->item[i];

		if (!sums->had[item] && sums->score[item] > 0)
			ec_scored_put(best, &n, most, (EcScored) {sums->score[item], item});
	}
	qsort(best, n, sizeof(EcScored), ec_scored_compare);
	return n;
}

/* ---- what a model is worth ---- */

/* The items that are popular, the first ones first. */
static int
popular_list(const EcHoldout *holdout, EcScored *list)
{
	int			n = 0;

	for (int i = 0; i < holdout->nitems; i++)
		if (holdout->popular[i] > 0)
			ec_scored_put(list, &n, POPULAR_ITEMS, (EcScored) {holdout->popular[i], i});
	qsort(list, n, sizeof(EcScored), ec_scored_compare);
	return n;
}

/* Judge what is shown for one test. */
static void
worth_add(Worth *worth, const EcHoldout *holdout, const EcTest *test, const EcScored *best, int n, int found,
		  bool *shown)
{
	double		gain = 0;
	double		ideal = 0;
	int			hits = 0;
	int			first = 0;

	for (int place = 0; place < found; place++)
	{
		bool		hit = false;

		for (int j = 0; j < test->nheld && !hit; j++)
			hit = test->held[j] == best[place].item;
		hits += hit;
		if (place >= n)
			continue;
		first += hit;
		gain += hit / log2(place + 2);
		shown[best[place].item] = true;
		worth->novelty -= log2((holdout->matrix->item_start[best[place].item + 1] -
								holdout->matrix->item_start[best[place].item] + 1.0) / (holdout->matrix->nusers + 1.0));
	}
	for (int place = 0; place < Min(test->nheld, n); place++)
		ideal += 1 / log2(place + 2);
	worth->ndcg += gain / ideal;
	worth->recall += (double) hits / test->nheld;
	worth->hit_rate += first > 0;
}

/*
 * Judge a model: sources NULL is what is popular alone.  Scores are made as
 * they are when they are served.
 */
static Worth
worth_of(const EcHoldout *holdout, const EcSources *sources, const EcSetting *setting, int n, Sums *sums)
{
	Worth		worth = {0};
	EcScored	popular[POPULAR_ITEMS];
	int			npopular = popular_list(holdout, popular);
	EcScored   *best = palloc(Max(2 * n, SCALE_ITEMS) * sizeof(EcScored));
	bool	   *shown = palloc_extended(Max(holdout->nitems, 1) * sizeof(bool), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	int64		nshown = 0;
	int			covered = 0;

	for (int t = 0; t < holdout->ntests; t++)
	{
		const EcTest *test = &holdout->test[t];
		double		scale = 0;
		int			found;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < test->nhad; i++)
			sums->had[test->had[i]] = true;
		for (int i = 0; sources != NULL && i < Min(test->nhad, EC_CUSTOMER_ITEMS); i++)
		{
			double		weight = setting->half_life > 0 ? exp2(-test->age[i] / setting->half_life) : 1;

			for (int64 k = sources->start[test->had[i]]; k < sources->start[test->had[i] + 1]; k++)
				sums_add(sums, sources->target[k], weight * sources->weight[k]);
		}
		if (sources == NULL)
			scale = 1;
		else if (setting->popular > 0)
		{
			found = sums_best(sums, SCALE_ITEMS, best);
			for (int i = 0; i < found; i++)
				scale += best[i].score / found;
			scale *= setting->popular;
		}
		for (int i = 0; i < npopular && scale > 0; i++)
			sums_add(sums, popular[i].item, scale * popular[i].score);
		found = sums_best(sums, 2 * n, best);
		worth_add(&worth, holdout, test, best, n, found, shown);
		nshown += Min(found, n);
		sums_reset(sums, test);
	}
	for (int i = 0; i < holdout->nitems; i++)
		covered += shown[i];
	worth.ndcg /= holdout->ntests;
	worth.recall /= holdout->ntests;
	worth.hit_rate /= holdout->ntests;
	worth.novelty = nshown > 0 ? worth.novelty / nshown : 0;
	worth.coverage = (double) covered / Max(holdout->nitems, 1);
	pfree(best);
	pfree(shown);
	return worth;
}

/* ---- models ---- */

/* Nearest neighbours as sources of their own: cosine, no joint solution. */
static EcSources *
sources_nearest(const EcMatrix *matrix, int neighbours)
{
	EcSources  *sources = palloc(sizeof(EcSources));
	EcMatrixRow *row = ec_matrix_row_create(matrix);
	Size		most = (Size) matrix->nitems * Min(neighbours, Max(matrix->nitems, 1));
	EcScored   *near = palloc(neighbours * sizeof(EcScored));
	int64		n = 0;

	sources->start = palloc_extended((matrix->nitems + 1) * sizeof(int64), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	sources->target = palloc_extended(Max(most, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	sources->weight = palloc_extended(Max(most, 1) * sizeof(float), MCXT_ALLOC_HUGE);
	for (int i = 0; i < matrix->nitems; i++)
	{
		double		total = matrix->item_start[i + 1] - matrix->item_start[i];
		int			found = 0;

		CHECK_FOR_INTERRUPTS();
		sources->start[i] = n;
		ec_matrix_row(matrix, i, row);
		for (int k = 0; k < row->n; k++)
		{
			int			item = row->items[k];

			double		other = matrix->item_start[item + 1] - matrix->item_start[item];

			if (item != i)
				ec_scored_put(near, &found, neighbours,
							  (EcScored) {row->shared[item].count / sqrt(total * other), item});
		}
		for (int k = 0; k < found; k++)
		{
			sources->target[n] = near[k].item;
			sources->weight[n++] = near[k].score;
		}
	}
	sources->start[matrix->nitems] = n;
	return sources;
}

static Trial *
trials_add(Trials *trials, const char *model, EcSetting setting, Worth worth)
{
	Trial	   *trial = &trials->trial[trials->n++];

	Assert(trials->n <= TRIALS_MOST);
	trial->model = model;
	trial->setting = setting;
	trial->worth = worth;
	trial->chosen = false;
	return trial;
}

/* What is better: both measures, relative to those of the setting in use. */
static double
goodness(const Trial *trial, const Worth *base)
{
	return trial->worth.ndcg / Max(base->ndcg, 1e-9) + trial->worth.recall / Max(base->recall, 1e-9);
}

static Trial *
trials_best(Trials *trials, Trial *base)
{
	Trial	   *best = NULL;

	for (int i = 0; i < trials->n; i++)
	{
		Trial	   *one = &trials->trial[i];

		if (strcmp(one->model, "weights") == 0 &&
			(best == NULL || goodness(one, &base->worth) > goodness(best, &base->worth)))
			best = one;
	}
	return goodness(best, &base->worth) > goodness(base, &base->worth) + 2 * BETTER ? best : base;
}

/* Was this setting tried before? */
static bool
tried(const Trials *trials, const EcSetting *setting)
{
	for (int i = 0; i < trials->n; i++)
	{
		const EcSetting *one = &trials->trial[i].setting;

		if (strcmp(trials->trial[i].model, "weights") == 0 && one->lambda == setting->lambda &&
			one->dropout == setting->dropout && one->half_life == setting->half_life &&
			one->popular == setting->popular)
			return true;
	}
	return false;
}

/* Solve with a setting, and judge it with some ways to use what was solved. */
static void
try_setting(Trials *trials, const EcHoldout *holdout, EcSetting setting, int n, bool uses, Sums *sums)
{
	static const double half_lives[] = {0, 60, 180, 365};
	static const double popular[] = {0, 0.1, 0.2, 0.3, 0.5};
	EcEase		options = {
		ec_setting_neighbours(&setting, holdout->nitems), setting.lambda, setting.dropout,
		(Size) maintenance_work_mem * 1024
	};
	EcEaseReport report;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ecauto trial", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	EcSources  *sources = ec_sources_solve(holdout->matrix, &options, &report);

	if (!uses)
		trials_add(trials, "weights", setting, worth_of(holdout, sources, &setting, n, sums));
	for (int i = 0; uses && i < lengthof(half_lives); i++)
		for (int j = 0; j < lengthof(popular); j++)
		{
			EcSetting	one = setting;

			one.half_life = half_lives[i];
			one.popular = popular[j];
			if (!tried(trials, &one))
				trials_add(trials, "weights", one, worth_of(holdout, sources, &one, n, sums));
		}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * Try settings for a task, the one in use first, in the current context,
 * which the caller resets.  quick: fewer of them, from fewer neighbours and
 * tests, and no other models.  Returns how many tests there were; nothing was
 * tried if too few.
 */
static Trials *
evaluate(const EcBought *history, EcTask task, EcSetting in_use, TimestampTz split, int n, bool quick)
{
	static const double customer_lambdas[] = {20, 5, 60};
	static const double customer_dropouts[] = {0.5, 0, 1};
	static const double basket_lambdas[] = {1, 0.5, 3, 10};
	static const double basket_dropouts[] = {0, 0.2};
	bool		customer = task == EC_TASK_CUSTOMER;
	const double *lambdas = customer ? customer_lambdas : basket_lambdas;
	const double *dropouts = customer ? customer_dropouts : basket_dropouts;
	int			nlambdas = customer ? lengthof(customer_lambdas) : lengthof(basket_lambdas);
	int			ndropouts = customer ? lengthof(customer_dropouts) : lengthof(basket_dropouts);
	Trials	   *trials = palloc0(sizeof(Trials));
	EcHoldout  *holdout = ec_holdout(history, task, split, quick ? CHOOSE_TESTS : TESTS_MOST);
	EcSetting	setting = in_use;
	Sums		sums = sums_create(holdout->nitems);
	Trial	   *best;

	trials->task = task;
	trials->ntests = holdout->ntests;
	trials->by_time = holdout->by_time;
	if (holdout->ntests < TESTS_LEAST)
		return trials;
	if (quick && setting.neighbours == 0)
		setting.neighbours = CHOOSE_NEIGHBOURS;
	if (!quick)
	{
		MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ecauto trial", ALLOCSET_DEFAULT_SIZES);
		MemoryContext old = MemoryContextSwitchTo(context);
		EcSetting	plain = {ec_setting_neighbours(&setting, holdout->nitems), 0, 0, 0, 0};

		trials_add(trials, "popular", (EcSetting) {0}, worth_of(holdout, NULL, &plain, n, &sums));
		trials_add(trials, "nearest", plain,
				   worth_of(holdout, sources_nearest(holdout->matrix, plain.neighbours), &plain, n, &sums));
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
	}
	try_setting(trials, holdout, setting, n, false, &sums);
	best = &trials->trial[trials->n - 1];
	for (int i = 0; i < nlambdas; i++)
		for (int j = 0; j < ndropouts; j++)
		{
			EcSetting	one = setting;

			/* quick: one or the other, not both */
			if (quick && i > 0 && j > 0)
				continue;
			one.lambda = lambdas[i];
			one.dropout = dropouts[j];
			if (!tried(trials, &one))
				try_setting(trials, holdout, one, n, false, &sums);
		}
	if (customer)
		try_setting(trials, holdout, trials_best(trials, best)->setting, n, true, &sums);
	best = trials_best(trials, best);
	best->chosen = true;
	for (int i = 0; i < trials->n; i++)
		if (quick && trials->trial[i].setting.neighbours == CHOOSE_NEIGHBOURS)
			trials->trial[i].setting.neighbours = in_use.neighbours;
	return trials;
}

/* Keep what was chosen.  The caller is connected to SPI and acts as the owner of the state. */
static void
keep_chosen(const Trials *trials, TimestampTz at)
{
	static const Oid types[] = {TEXTOID, FLOAT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, TIMESTAMPTZOID};

	for (int i = 0; i < trials->n; i++)
	{
		const Trial *trial = &trials->trial[i];
		Datum		values[7];

		if (!trial->chosen)
			continue;
		values[0] = CStringGetTextDatum(ec_task_names[trials->task]);
		values[1] = Float8GetDatum(trial->setting.lambda);
		values[2] = Float8GetDatum(trial->setting.dropout);
		values[3] = Float8GetDatum(trial->setting.half_life);
		values[4] = Float8GetDatum(trial->setting.popular);
		values[5] = Float8GetDatum(trial->worth.ndcg);
		values[6] = TimestampTzGetDatum(at);
		if (SPI_execute_plan(ec_plan("UPDATE ecauto_data.recommend_setting SET lambda = $2, dropout = $3, "
									 "half_life = nullif($4, 0), popular = $5, ndcg = $6, chosen_at = $7 WHERE task = $1",
									 7, types), values, NULL, false, 0) != SPI_OK_UPDATE)
			elog(ERROR, "could not keep the settings of recommendations");
	}
}

/*
 * Before the first build of a shop with few skus: choose settings, in a small
 * part of the time that evaluate_recommendations() takes.  Nothing changes if
 * somebody has chosen, or if the history proves nothing.  The caller is
 * connected to SPI and acts as the owner of the state.
 */
void
ec_settings_choose(const EcBought *history)
{
	TimestampTz newest = history->orders.n > 0 ? history->orders.basket[history->orders.n - 1].at : 0;
	MemoryContext context;
	MemoryContext old;
	bool		isnull;

	if (history->nskus > CHOOSE_SKUS || history->orders.n == 0)
		return;
	if (SPI_execute_plan(ec_plan("SELECT pg_catalog.bool_and(chosen_at IS NULL AND neighbours IS NULL) "
								 "FROM ecauto_data.recommend_setting", 0, NULL), NULL, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the settings of recommendations");
	if (!DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)) || isnull)
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "ecauto evaluation", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	for (int task = 0; task < EC_TASKS; task++)
	{
		Trials	   *trials = evaluate(history, task, ec_setting_read(task), newest - CHOOSE_DAYS * USECS_PER_DAY,
									  CHOOSE_N, true);

		keep_chosen(trials, ec_now());
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* ---- evaluate_recommendations() ---- */

static void
put_trials(const Trials *trials, ReturnSetInfo *result)
{
	for (int i = 0; i < trials->n; i++)
	{
		const Trial *trial = &trials->trial[i];
		bool		weights = strcmp(trial->model, "weights") == 0;
		bool		nearest = strcmp(trial->model, "nearest") == 0;
		Datum		values[15];
		bool		nulls[15] = {false};

		values[0] = CStringGetTextDatum(ec_task_names[trials->task]);
		values[1] = CStringGetTextDatum(trial->model);
		values[2] = Int32GetDatum(trial->setting.neighbours);
		nulls[2] = !(weights || nearest) || trial->setting.neighbours == 0;
		values[3] = Float8GetDatum(trial->setting.lambda);
		values[4] = Float8GetDatum(trial->setting.dropout);
		values[5] = Float8GetDatum(trial->setting.half_life);
		values[6] = Float8GetDatum(trial->setting.popular);
		nulls[3] = nulls[4] = nulls[6] = !weights;
		nulls[5] = !weights || trial->setting.half_life == 0;
		values[7] = Int32GetDatum(trials->ntests);
		values[8] = BoolGetDatum(trials->by_time);
		values[9] = Float8GetDatum(trial->worth.ndcg);
		values[10] = Float8GetDatum(trial->worth.recall);
		values[11] = Float8GetDatum(trial->worth.hit_rate);
		values[12] = Float8GetDatum(trial->worth.coverage);
		values[13] = Float8GetDatum(trial->worth.novelty);
		values[14] = BoolGetDatum(trial->chosen);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/*
 * ecauto.evaluate_recommendations(n integer, holdout interval, keep boolean)
 *		returns table(task text, model text, neighbours integer, lambda float8, dropout float8, half_life float8,
 *		popular float8, tests integer, by_time boolean, ndcg float8, recall float8, hit_rate float8, coverage float8,
 *		novelty float8, chosen boolean)
 */
Datum
ecauto_evaluate_recommendations(PG_FUNCTION_ARGS)
{
	int			n = PG_GETARG_INT32(0);
	bool		keep = PG_GETARG_BOOL(2);
	MemoryContext context;
	MemoryContext old;
	EcBought   *history;
	TimestampTz split;
	TimestampTz newest;
	Trials	   *trials[EC_TASKS];
	EcAs		as;

	ec_state_require();
	ec_require_operator("evaluate recommendations");
	if (n < 1 || n > 100)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of rows must be between 1 and %d", 100),
				 errdetail("It is %d.", n)));
	InitMaterializedSRF(fcinfo, 0);
	context = AllocSetContextCreate(CurrentMemoryContext, "ecauto evaluation", ALLOCSET_DEFAULT_SIZES);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	old = MemoryContextSwitchTo(context);
	history = ec_history_read(ec_now());
	MemoryContextSwitchTo(context);
	newest = history->orders.n > 0 ? history->orders.basket[history->orders.n - 1].at : 0;
	split = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval, TimestampTzGetDatum(newest),
													PG_GETARG_DATUM(1)));
	if (split >= newest && history->orders.n > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the time that is held out must be above 0"),
				 errdetail("It is %s.", DatumGetCString(DirectFunctionCall1(interval_out, PG_GETARG_DATUM(1))))));
	for (int task = 0; task < EC_TASKS; task++)
	{
		trials[task] = evaluate(history, task, ec_setting_read(task), split, n, false);
		if (trials[task]->n == 0)
			ereport(NOTICE,
					(errmsg("the history proves nothing about task \"%s\"", ec_task_names[task]),
					 errdetail("There are %d tests, and %d are needed.", trials[task]->ntests, TESTS_LEAST)));
		if (keep)
			keep_chosen(trials[task], ec_now());
	}
	for (int task = 0; task < EC_TASKS; task++)
		put_trials(trials[task], (ReturnSetInfo *) fcinfo->resultinfo);
	MemoryContextSwitchTo(old);
	ec_as_end(&as);
	SPI_finish();
	MemoryContextDelete(context);
	return (Datum) 0;
}

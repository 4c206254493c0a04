/*-------------------------------------------------------------------------
 *
 * recommend_serve.c
 *		Recommendations as they are asked for.
 *
 * What was built is read by index, in the snapshot of the caller's statement,
 * so that all of an answer comes from one version.  Whether an item may be
 * shown is asked of the shop as it is now (recommend_eligible.c), for the
 * best candidates first and until there are enough.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "recommend/recommend.h"

PG_FUNCTION_INFO_V1(ecauto_also_bought);
PG_FUNCTION_INFO_V1(ecauto_similar);
PG_FUNCTION_INFO_V1(ecauto_recommend);
PG_FUNCTION_INFO_V1(ecauto_complete_basket);
PG_FUNCTION_INFO_V1(ecauto_trending);

/* of a customer the last so many purchases speak for others */
#define HISTORY_ITEMS EC_CUSTOMER_ITEMS

/* nearest items by orders, and by views, that similar() chooses from */
#define SIMILAR_ITEMS 150

/* most rows that one call may ask for */
#define ROWS_MAX 1000

/* the version that is read; number -1: there is none */
typedef struct Version
{
	int64		number;
	int64		orders;
	int			skus;
	int			item;			/* of the sku asked for; -1: unknown */
	char	   *sku;			/* its key */
} Version;

/* What a customer had, or is in a basket. */
typedef struct Had
{
	int			item;			/* -1: not in the version */
	double		weight;			/* 0: it speaks for nothing, but is had */
	bool		excluded;		/* not to be shown */
	char	   *sku;
} Had;

/* A result that is being filled. */
typedef struct Answer
{
	ReturnSetInfo *result;
	int			n;				/* rows wanted */
	int			found;
	int			nfigures;		/* columns behind the reason */
	double		lowest;			/* score of the last row */
	bool		one_per_product;
	char	  **products;		/* already shown, or not wanted */
	int			nproducts;
	char	  **skus;			/* the same */
	int			nskus;
	int			room;
} Answer;

/* ---- reading ---- */

/*
 * Run a statement on the state as its owner, in the caller's snapshot, and
 * stay connected until state_end().  Returns the number of rows.
 */
static uint64
state_read(EcAs *as, const char *sql, int nargs, const Oid *types, Datum *values)
{
	MemoryContext context = CurrentMemoryContext;
	int			rc;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(as);
	rc = SPI_execute_plan(ec_plan(sql, nargs, types), values, NULL, true, 0);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan returned %s", SPI_result_code_string(rc));
	MemoryContextSwitchTo(context);
	return SPI_processed;
}

static void
state_end(EcAs *as)
{
	ec_as_end(as);
	SPI_finish();
}

static Datum
cell(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

/* In the current context; NULL for NULL. */
static char *
cell_text(uint64 row, int column)
{
	bool		isnull;
	Datum		value = cell(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static int64
cell_int64(uint64 row, int column, int64 otherwise)
{
	bool		isnull;
	Datum		value = cell(row, column, &isnull);

	return isnull ? otherwise : DatumGetInt64(value);
}

/* A copy of an array without NULLs; *n: elements. */
static void *
cell_array(uint64 row, int column, int *n)
{
	bool		isnull;
	Datum		value = cell(row, column, &isnull);
	ArrayType  *array;

	*n = 0;
	if (isnull)
		return NULL;
	array = DatumGetArrayTypePCopy(value);
	*n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	return ARR_DATA_PTR(array);
}

static Datum
int_array(const int *values, int n)
{
	Datum	   *elements = palloc(Max(n, 1) * sizeof(Datum));

	for (int i = 0; i < n; i++)
		elements[i] = Int32GetDatum(values[i]);
	return PointerGetDatum(construct_array(elements, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

/* The version that is read, and a sku (key, else code; NULL: none) in it. */
static Version
version_read(const char *sku)
{
	static const Oid types[] = {TEXTOID};
	Version		version = {-1, 0, 0, -1, NULL};
	Datum		args[1];
	EcAs		as;

	args[0] = CStringGetTextDatum(sku != NULL ? sku : "");
	if (state_read(&as, "SELECT m.version, m.orders, m.skus, i.no::int8 FROM ecauto_data.recommend_model m "
				   "LEFT JOIN ecauto_data.recommend_item i ON i.version = m.version AND i.sku = $1",
				   1, types, args) == 1)
	{
		version.number = cell_int64(0, 1, -1);
		version.orders = cell_int64(0, 2, 0);
		version.skus = cell_int64(0, 3, 0);
		version.item = cell_int64(0, 4, -1);
		version.sku = sku != NULL ? pstrdup(sku) : NULL;
	}
	state_end(&as);
	if (sku != NULL && version.item < 0)
	{
		/* a code, unless it is the key of something that nobody has bought */
		if (state_read(&as, "SELECT s.key, i.no::int8 FROM ecauto_data.seen_sku s CROSS JOIN ecauto_data.recommend_model m "
					   "LEFT JOIN ecauto_data.recommend_item i ON i.version = m.version AND i.sku = s.key "
					   "WHERE s.key = $1 OR (s.sku = $1 AND NOT EXISTS (SELECT FROM ecauto_data.seen_sku k WHERE k.key = $1)) "
					   "ORDER BY s.key LIMIT 1", 1, types, args) == 1)
		{
			version.sku = cell_text(0, 1);
			version.item = cell_int64(0, 2, -1);
		}
		state_end(&as);
	}
	return version;
}

static void
version_require(const Version *version)
{
	if (version->number < 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("recommendations were not built yet"),
				 errhint("Run ecauto.build_recommendations().")));
}

/* ---- answers ---- */

static void
answer_init(Answer *answer, FunctionCallInfo fcinfo, int n, int nfigures)
{
	memset(answer, 0, sizeof(*answer));
	if (n < 0 || n > ROWS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of rows must be between 0 and %d", ROWS_MAX),
				 errdetail("It is %d.", n)));
	ec_state_require();
	InitMaterializedSRF(fcinfo, 0);
	answer->result = (ReturnSetInfo *) fcinfo->resultinfo;
	answer->n = n;
	answer->nfigures = nfigures;
	answer->lowest = 1;
	answer->room = 64;
	answer->products = palloc(answer->room * sizeof(char *));
	answer->skus = palloc(answer->room * sizeof(char *));
}

static bool
listed(char **list, int n, const char *key)
{
	for (int i = 0; i < n; i++)
		if (strcmp(list[i], key) == 0)
			return true;
	return false;
}

/* Never show this sku, and its product if products are shown once; either may be NULL. */
static void
answer_without(Answer *answer, char *sku, char *product)
{
	if (answer->nskus + 1 >= answer->room || answer->nproducts + 1 >= answer->room)
	{
		answer->room *= 2;
		answer->products = repalloc(answer->products, answer->room * sizeof(char *));
		answer->skus = repalloc(answer->skus, answer->room * sizeof(char *));
	}
	if (sku != NULL)
		answer->skus[answer->nskus++] = sku;
	if (product != NULL)
		answer->products[answer->nproducts++] = product;
}

/*
 * Those of the candidates that may be shown, in their order, until there are
 * enough.  Reasons are asked for when it is known which are needed.
 */
typedef char *(*MakeReason) (const EcShown *shown, void *arg);

static void
answer_show(Answer *answer, EcShown *shown, int n, MakeReason reason, void *arg)
{
	int			step = Max(answer->n + answer->n / 2, 12);

	for (int from = 0; from < n && answer->found < answer->n; from += step, step *= 2)
	{
		int			count = Min(step, n - from);

		ec_shown_check(shown + from, count);
		for (int i = from; i < from + count && answer->found < answer->n; i++)
		{
			EcShown    *one = &shown[i];
			Datum		values[8];
			bool		nulls[8] = {false};

			if (!one->ok || listed(answer->skus, answer->nskus, one->sku) ||
				(answer->one_per_product && one->product != NULL &&
				 listed(answer->products, answer->nproducts, one->product)))
				continue;
			answer_without(answer, one->sku, one->product);
			values[0] = CStringGetTextDatum(one->sku);
			values[1] = Float8GetDatum(one->score);
			if (reason != NULL)
				one->reason = reason(one, arg);
			nulls[2] = one->reason == NULL;
			values[2] = nulls[2] ? (Datum) 0 : CStringGetTextDatum(one->reason);
			for (int k = 0; k < answer->nfigures; k++)
				values[3 + k] = k == 0 ? Int64GetDatum((int64) one->figures[0]) : Float8GetDatum(one->figures[k]);
			tuplestore_putvalues(answer->result->setResult, answer->result->setDesc, values, nulls);
			answer->lowest = one->score;
			answer->found++;
		}
	}
}

/* Keys of items, by their numbers, into sku; n at most a few thousand. */
static void
skus_read(const Version *version, EcShown *shown, int n)
{
	static const Oid types[] = {INT8OID, INT4ARRAYOID};
	int		   *items = palloc(Max(n, 1) * sizeof(int));
	Datum		args[2];
	EcAs		as;

	for (int i = 0; i < n; i++)
		items[i] = shown[i].item;
	args[0] = Int64GetDatum(version->number);
	args[1] = int_array(items, n);
	/* unnest keeps the order */
	if (state_read(&as, "SELECT i.sku, i.orders::int8 FROM pg_catalog.unnest($2) WITH ORDINALITY w (no, place) "
				   "JOIN ecauto_data.recommend_item i ON i.version = $1 AND i.no = w.no ORDER BY w.place",
				   2, types, args) != n)
		elog(ERROR, "version %lld of recommendations is not whole", (long long) version->number);
	for (int i = 0; i < n; i++)
	{
		shown[i].sku = cell_text(i, 1);
		shown[i].total = cell_int64(i, 2, 0);
	}
	state_end(&as);
}

/* What a sku is called: the title of its product, or its own. */
static char *
sku_title(const char *sku)
{
	static const Oid types[] = {TEXTOID};
	Datum		args[1];
	char	   *title = NULL;
	EcAs		as;

	args[0] = CStringGetTextDatum(sku);
	if (state_read(&as, "SELECT coalesce(p.title, s.title, s.sku) FROM ecauto_data.seen_sku s "
				   "LEFT JOIN ecauto_data.seen_product p ON p.key = s.product_key WHERE s.key = $1",
				   1, types, args) == 1)
		title = cell_text(0, 1);
	state_end(&as);
	return title != NULL ? title : pstrdup(sku);
}

/* ---- also bought, similar ---- */

/* Neighbours of an item; NULL if it has none. */
typedef struct Neighbours
{
	int			n;
	int		   *others;
	int		   *counts;
	int			total;
} Neighbours;

static Neighbours
neighbours_read(const Version *version)
{
	static const Oid types[] = {INT8OID, INT4OID, BOOLOID};
	Neighbours	near = {0};
	Datum		args[3];
	EcAs		as;

	if (version->item < 0)
		return near;
	args[0] = Int64GetDatum(version->number);
	args[1] = Int32GetDatum(version->item);
	args[2] = BoolGetDatum(false);
	if (state_read(&as, "SELECT others, counts, total::int8 FROM ecauto_data.recommend_pair "
				   "WHERE version = $1 AND item = $2 AND viewed = $3", 3, types, args) == 1)
	{
		near.others = cell_array(0, 1, &near.n);
		near.counts = cell_array(0, 2, &near.n);
		near.total = cell_int64(0, 3, 0);
	}
	state_end(&as);
	return near;
}

static char *
reason_bought(const EcShown *shown, void *arg)
{
	return psprintf(shown->figures[0] == 1 ? "bought together once" : "bought together %.0f times",
					shown->figures[0]);
}

/*
 * ecauto.also_bought(sku text, n integer) returns table(sku text, score float8, reason text,
 *		orders bigint, support float8, confidence float8, lift float8, cosine float8)
 */
Datum
ecauto_also_bought(PG_FUNCTION_ARGS)
{
	Answer		answer;
	Version		version;
	Neighbours	near;
	EcShown    *shown;

	answer_init(&answer, fcinfo, PG_GETARG_INT32(1), 5);
	version = version_read(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	version_require(&version);
	near = neighbours_read(&version);
	shown = palloc0(Max(near.n, 1) * sizeof(EcShown));
	for (int i = 0; i < near.n; i++)
	{
		shown[i].item = near.others[i];
		shown[i].score = near.counts[i];
	}
	skus_read(&version, shown, near.n);
	for (int i = 0; i < near.n; i++)
	{
		double		both = near.counts[i];

		shown[i].figures[0] = both;
		shown[i].figures[1] = both / version.orders;
		shown[i].figures[2] = both / near.total;
		shown[i].figures[3] = both / near.total / shown[i].total * version.orders;
		shown[i].figures[4] = both / sqrt((double) near.total * shown[i].total);
	}
	answer_show(&answer, shown, near.n, reason_bought, NULL);
	return (Datum) 0;
}

static int
shown_compare(const void *a, const void *b)
{
	const EcShown *left = a;
	const EcShown *right = b;

	if (left->score != right->score)
		return left->score > right->score ? -1 : 1;
	/* keys, since numbers of late skus say nothing */
	return strcmp(left->sku, right->sku);
}

static char *
reason_similar(const EcShown *shown, void *arg)
{
	if (shown->figures[0] > 0)
		return reason_bought(shown, arg);
	return psprintf(shown->figures[1] == 1 ? "looked at together once" : "looked at together by %.0f visitors",
					shown->figures[1]);
}

/* Candidates by SQL that returns sku, score and reason. */
static EcShown *
shown_read(const char *sql, int nargs, const Oid *types, Datum *values, int *n)
{
	EcShown    *shown;
	EcAs		as;

	*n = state_read(&as, sql, nargs, types, values);
	shown = palloc0(Max(*n, 1) * sizeof(EcShown));
	for (int i = 0; i < *n; i++)
	{
		bool		isnull;

		shown[i].sku = cell_text(i, 1);
		shown[i].score = DatumGetFloat8(cell(i, 2, &isnull));
		shown[i].reason = cell_text(i, 3);
		shown[i].item = -1;
	}
	state_end(&as);
	return shown;
}

/*
 * ecauto.similar(sku text, n integer) returns table(sku text, score float8, reason text)
 *
 * What was bought or looked at together first; behind it what is alike by
 * category, brand and title, which is all there is of a new item.
 */
Datum
ecauto_similar(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, FLOAT8OID, INT4OID, TEXTARRAYOID};
	Answer		answer;
	Version		version;
	EcNear	   *bought;
	EcNear	   *viewed;
	int			nbought;
	int			nviewed;
	EcShown    *shown;
	EcShown		self = {0};
	Datum		args[4];
	int			n = 0;

	answer_init(&answer, fcinfo, PG_GETARG_INT32(1), 0);
	answer.one_per_product = true;
	version = version_read(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (version.sku == NULL)
		return (Datum) 0;
	self.sku = version.sku;
	ec_shown_check(&self, 1);
	answer_without(&answer, self.sku, self.product);

	bought = ec_near_read(version.number, version.item, false, SIMILAR_ITEMS, &nbought);
	viewed = ec_near_read(version.number, version.item, true, SIMILAR_ITEMS, &nviewed);
	shown = palloc0((nbought + nviewed + 1) * sizeof(EcShown));
	for (int i = 0; i < nbought; i++)
	{
		shown[n].item = bought[i].item;
		shown[n].figures[0] = bought[i].count;
		shown[n++].score = bought[i].nearness;
	}
	for (int i = 0; i < nviewed; i++)
	{
		double		score = viewed[i].nearness / 2;
		int			j = 0;

		while (j < nbought && bought[j].item != viewed[i].item)
			j++;
		if (j < nbought)
			shown[j].score += score;
		else
		{
			shown[n].item = viewed[i].item;
			shown[n].figures[1] = viewed[i].count;
			shown[n++].score = score;
		}
	}
	skus_read(&version, shown, n);
	qsort(shown, n, sizeof(EcShown), shown_compare);
	answer_show(&answer, shown, n, reason_similar, NULL);
	if (answer.found < answer.n)
	{
		args[0] = CStringGetTextDatum(self.sku);
		args[1] = Float8GetDatum(answer.found > 0 ? answer.lowest : 1);
		args[2] = Int32GetDatum(4 * answer.n + 50);
		args[3] = PointerGetDatum(ec_product_categories(self.product));
		shown = shown_read("SELECT sku, score * $2, reason FROM ecauto.recommend_alike($1, $4, $3)",
						   4, types, args, &n);
		answer_show(&answer, shown, n, NULL, NULL);
	}
	return (Datum) 0;
}

/* ---- for a customer, for a basket ---- */

/* What speaks for the candidates. */
typedef struct Scores
{
	double	   *score;			/* [skus] */
	int		   *because;		/* [skus] the item that speaks most for it; -1: none */
	float	   *most;			/* [skus] how much that is */
	int		   *touched;
	int			n;
} Scores;

/*
 * The sum of the weights of what was had, for each target.
 */
static Scores
scores_sum(const Version *version, bool basket, const Had *had, int nhad)
{
	static const Oid types[] = {INT8OID, BOOLOID, INT4ARRAYOID};
	Scores		scores;
	int			size = Max(version->skus, 1);
	int		   *sources = palloc(Max(nhad, 1) * sizeof(int));
	double	   *by_item = palloc_extended(size * sizeof(double), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	int			nsources = 0;
	uint64		rows;
	Datum		args[3];
	EcAs		as;

	scores.score = palloc_extended(size * sizeof(double), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	scores.because = palloc_extended(size * sizeof(int), MCXT_ALLOC_HUGE);
	scores.most = palloc_extended(size * sizeof(float), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	scores.touched = palloc_extended(size * sizeof(int), MCXT_ALLOC_HUGE);
	scores.n = 0;
	for (int i = 0; i < nhad; i++)
		if (had[i].item >= 0 && had[i].weight > 0)
		{
			if (by_item[had[i].item] == 0)
				sources[nsources++] = had[i].item;
			by_item[had[i].item] = Min(by_item[had[i].item] + had[i].weight, 1);
		}
	if (nsources == 0)
		return scores;
	args[0] = Int64GetDatum(version->number);
	args[1] = BoolGetDatum(basket);
	args[2] = int_array(sources, nsources);
	rows = state_read(&as, "SELECT source::int8, targets, weights FROM ecauto_data.recommend_weight "
					  "WHERE version = $1 AND basket = $2 AND source = ANY ($3) ORDER BY source",
					  3, types, args);
	for (uint64 i = 0; i < rows; i++)
	{
		int			source = cell_int64(i, 1, 0);
		int			n;
		const int  *targets = cell_array(i, 2, &n);
		const float *weights = cell_array(i, 3, &n);

		for (int k = 0; k < n; k++)
		{
			int			target = targets[k];
			float		weight = weights[k] * by_item[source];

			if (scores.score[target] == 0 && scores.most[target] == 0)
			{
				scores.touched[scores.n++] = target;
				scores.because[target] = -1;
			}
			scores.score[target] += weight;
			if (weight > scores.most[target] || scores.most[target] == 0)
			{
				scores.most[target] = weight;
				scores.because[target] = source;
			}
		}
	}
	state_end(&as);
	return scores;
}

/* For reasons: what the items that speak for others are called. */
typedef struct Because
{
	const Version *version;
	const Scores *scores;
	const Had  *had;
	int			nhad;
	const char *bought;			/* formats with one %s: it was bought, ... */
	const char *seen;			/* ... or only looked at */
	int			nknown;
	int			item[64];
	char	   *reason[64];
} Because;

static char *
reason_because(const EcShown *shown, void *arg)
{
	Because    *because = arg;
	EcShown		source = {0};
	bool		bought = false;
	char	   *reason;

	source.item = because->scores->because[shown->item];
	for (int i = 0; i < because->nknown; i++)
		if (because->item[i] == source.item)
			return because->reason[i];
	for (int i = 0; i < because->nhad && !bought; i++)
		bought = because->had[i].item == source.item && because->had[i].sku != NULL;
	skus_read(because->version, &source, 1);
	reason = psprintf(bought ? because->bought : because->seen, sku_title(source.sku));
	if (because->nknown < lengthof(because->item))
	{
		because->item[because->nknown] = source.item;
		because->reason[because->nknown++] = reason;
	}
	return reason;
}

static char *
reason_popular(const EcShown *shown, void *arg)
{
	const char *country = arg;

	return country[0] == '\0' ? pstrdup("popular") : psprintf("popular in %s", country);
}

/* What is popular in a country ("": everywhere), behind what was shown. */
static void
show_popular(Answer *answer, const Version *version, const char *country)
{
	static const Oid types[] = {INT8OID, TEXTOID};
	EcShown    *shown;
	int		   *items;
	float	   *shares;
	int			n = 0;
	double		most = answer->found > 0 ? answer->lowest : 1;
	Datum		args[2];
	EcAs		as;

	if (answer->found >= answer->n)
		return;
	args[0] = Int64GetDatum(version->number);
	args[1] = CStringGetTextDatum(country);
	if (state_read(&as, "SELECT items, shares FROM ecauto_data.recommend_popular WHERE version = $1 AND country = $2",
				   2, types, args) == 1)
	{
		items = cell_array(0, 1, &n);
		shares = cell_array(0, 2, &n);
	}
	state_end(&as);
	shown = palloc0(Max(n, 1) * sizeof(EcShown));
	for (int i = 0; i < n; i++)
	{
		shown[i].item = items[i];
		shown[i].score = most * shares[i];
	}
	skus_read(version, shown, n);
	answer_show(answer, shown, n, reason_popular, (void *) country);
}

/* The best of them, in batches that grow: most calls need the first one only. */
static void
show_scores(Answer *answer, const Version *version, const Scores *scores, const Had *had, int nhad,
			const char *bought, const char *seen)
{
	bool	   *without = palloc_extended(Max(version->skus, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	Because		because = {version, scores, had, nhad, bought, seen};
	int			done = 0;

	for (int i = 0; i < nhad; i++)
		if (had[i].excluded && had[i].item >= 0)
			without[had[i].item] = true;
	for (int most = 4 * answer->n + 20; answer->found < answer->n; most *= 8)
	{
		EcScored   *best = palloc_extended(Min(most, scores->n + 1) * sizeof(EcScored), MCXT_ALLOC_HUGE);
		EcShown    *shown;
		int			n = 0;

		for (int i = 0; i < scores->n; i++)
		{
			int			item = scores->touched[i];

			if (!without[item] && scores->score[item] > 0)
				ec_scored_put(best, &n, Min(most, scores->n + 1), (EcScored) {scores->score[item], item});
		}
		qsort(best, n, sizeof(EcScored), ec_scored_compare);
		shown = palloc0(Max(n - done, 1) * sizeof(EcShown));
		for (int i = done; i < n; i++)
		{
			shown[i - done].item = best[i].item;
			shown[i - done].score = best[i].score;
		}
		skus_read(version, shown, n - done);
		answer_show(answer, shown, n - done, reason_because, &because);
		if (n < most)
			break;
		done = n;
	}
}

/* What a customer bought: sku, number, whether it may be shown again; the last one first. */
static const char bought_sql[] =
	"SELECT b.sku, i.no::int8, EXISTS (SELECT FROM ecauto_data.recommend_consumable c WHERE c.sku = b.sku) FROM (\n"
	"  SELECT l.sku, pg_catalog.max(o.placed_at) AS at FROM (\n"
	"    SELECT o.key, o.placed_at FROM ecauto_data.seen_order o\n"
	"    WHERE o.customer_key = $2 AND NOT coalesce(o.cancelled, false)\n"
	"    UNION ALL\n"
	"    SELECT o.key, o.placed_at FROM ecauto_data.customer_fact f\n"
	"    JOIN ecauto_data.seen_order o ON o.customer_key IS NULL AND o.email = f.guest_email\n"
	"    WHERE f.key = $2 AND NOT coalesce(o.cancelled, false)) o\n"
	"  JOIN ecauto_data.order_item l ON l.order_key = o.key\n"
	"  WHERE (l.qty > 0 OR l.qty IS NULL) AND o.placed_at <= $3 GROUP BY l.sku) b\n"
	"LEFT JOIN ecauto_data.recommend_item i ON i.version = $1 AND i.sku = b.sku\n"
	"ORDER BY b.at DESC, b.sku";

/* What he looked at, wished for or put into a cart: weights below that of a purchase, half of it a week later. */
static const char did_sql[] =
	"SELECT i.no::int8, pg_catalog.sum(CASE WHEN b.kind IN ('view', 'click') THEN 0.2 ELSE 0.5 END *\n"
	"  pg_catalog.power(0.5, extract(epoch FROM $3 - b.at) / 604800)::float8)\n"
	"FROM ecauto_data.behaviour b\n"
	"JOIN ecauto_data.recommend_item i ON i.version = $1 AND i.sku = b.sku\n"
	"WHERE b.customer = $2 AND b.at > $3 - interval '30 days' AND b.at <= $3 AND b.sku IS NOT NULL\n"
	"  AND b.kind IN ('view', 'click', 'wish', 'wishlist', 'cart', 'add_to_cart') GROUP BY i.no ORDER BY i.no";

static const char customer_sql[] =
	"SELECT (SELECT c.country FROM ecauto_data.seen_customer c WHERE c.key = $1),\n"
	"  EXISTS (SELECT FROM ecauto_data.no_profile n WHERE n.customer = $1),\n"
	"  EXISTS (SELECT FROM ecauto_data.seen_customer c WHERE c.key = $1)";

/*
 * ecauto.recommend(customer text, n integer) returns table(sku text, score float8, reason text)
 */
Datum
ecauto_recommend(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {INT8OID, TEXTOID, TIMESTAMPTZOID};
	static const Oid who[] = {TEXTOID};
	Answer		answer;
	Version		version;
	Had		   *had;
	int			nhad;
	char	   *country = NULL;
	bool		objects = false;
	bool		seen = false;
	Datum		args[3];
	uint64		rows;
	EcAs		as;
	bool		isnull;

	answer_init(&answer, fcinfo, PG_GETARG_INT32(1), 0);
	answer.one_per_product = true;
	version = version_read(NULL);
	version_require(&version);
	args[0] = Int64GetDatum(version.number);
	args[1] = PG_GETARG_DATUM(0);
	args[2] = TimestampTzGetDatum(ec_now());

	if (state_read(&as, customer_sql, 1, who, &args[1]) == 1)
	{
		country = cell_text(0, 1);
		objects = DatumGetBool(cell(0, 2, &isnull));
		seen = DatumGetBool(cell(0, 3, &isnull));
	}
	state_end(&as);
	nhad = rows = state_read(&as, bought_sql, 3, types, args);
	had = palloc_extended((rows + 1) * sizeof(Had), MCXT_ALLOC_HUGE);
	for (uint64 i = 0; i < rows; i++)
	{
		had[i].sku = cell_text(i, 1);
		had[i].item = cell_int64(i, 2, -1);
		had[i].weight = i < HISTORY_ITEMS && !objects ? 1 : 0;
		had[i].excluded = !DatumGetBool(cell(i, 3, &isnull));
		if (had[i].excluded)
			answer_without(&answer, had[i].sku, NULL);
	}
	state_end(&as);
	if (!objects)
	{
		rows = state_read(&as, did_sql, 3, types, args);
		had = repalloc_huge(had, (nhad + rows + 1) * sizeof(Had));
		for (uint64 i = 0; i < rows; i++)
		{
			had[nhad].item = cell_int64(i, 1, -1);
			had[nhad].weight = DatumGetFloat8(cell(i, 2, &isnull));
			had[nhad].excluded = false;
			had[nhad++].sku = NULL;
		}
		state_end(&as);
	}
	if (nhad > 0 && !objects)
	{
		Scores		scores = scores_sum(&version, false, had, nhad);

		show_scores(&answer, &version, &scores, had, nhad,
					"because you bought %s", "because you looked at %s");
	}
	if (answer.found < answer.n && !seen)
		country = ec_customer_country(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (country != NULL && country[0] != '\0')
		show_popular(&answer, &version, country);
	show_popular(&answer, &version, "");
	return (Datum) 0;
}

/*
 * ecauto.complete_basket(skus text[], n integer) returns table(sku text, score float8, reason text)
 */
Datum
ecauto_complete_basket(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {INT8OID, TEXTARRAYOID};
	Answer		answer;
	Version		version;
	Had		   *had;
	uint64		rows;
	Datum		args[2];
	EcAs		as;

	answer_init(&answer, fcinfo, PG_GETARG_INT32(1), 0);
	answer.one_per_product = true;
	version = version_read(NULL);
	version_require(&version);
	args[0] = Int64GetDatum(version.number);
	args[1] = PG_GETARG_DATUM(0);
	rows = state_read(&as, "SELECT w.sku, i.no::int8 FROM (SELECT DISTINCT u.sku FROM pg_catalog.unnest($2) u (sku) "
					  "WHERE u.sku IS NOT NULL) w "
					  "LEFT JOIN ecauto_data.recommend_item i ON i.version = $1 AND i.sku = w.sku ORDER BY 2",
					  2, types, args);
	had = palloc0((rows + 1) * sizeof(Had));
	for (uint64 i = 0; i < rows; i++)
	{
		had[i].sku = cell_text(i, 1);
		had[i].item = cell_int64(i, 2, -1);
		had[i].weight = 1;
		had[i].excluded = true;
		answer_without(&answer, had[i].sku, NULL);
	}
	state_end(&as);
	if (rows > 0)
	{
		Scores		scores = scores_sum(&version, true, had, rows);

		show_scores(&answer, &version, &scores, had, rows, "goes with %s", NULL);
	}
	show_popular(&answer, &version, "");
	return (Datum) 0;
}

/*
 * ecauto.trending(n integer) returns table(sku text, score float8, reason text)
 */
Datum
ecauto_trending(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TIMESTAMPTZOID, INT4OID};
	Answer		answer;
	EcShown    *shown;
	Datum		args[2];
	int			n;

	answer_init(&answer, fcinfo, PG_GETARG_INT32(0), 0);
	args[0] = TimestampTzGetDatum(ec_now());
	args[1] = Int32GetDatum(4 * answer.n + 50);
	shown = shown_read("SELECT sku, score, reason FROM ecauto.recommend_rising($1, $2)", 2, types, args, &n);
	answer_show(&answer, shown, n, NULL, NULL);
	return (Datum) 0;
}

/*-------------------------------------------------------------------------
 *
 * recommend_build.c
 *		From the history of the shop to a stored version of recommendations.
 *
 * Everything is computed in memory, then written as rows of a new version;
 * one row says which version is read.  All of it is one transaction, so
 * readers see the old version or the new one, and a build that is killed
 * leaves the old one.
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
#include "utils/snapmgr.h"

#include "recommend/recommend.h"

PG_FUNCTION_INFO_V1(ecauto_build_recommendations);

/* pairs grow with the square: of a customer the last so many items count, ... */
#define CUSTOMER_ITEMS 200
/* ... of an order or a visitor so many */
#define BASKET_ITEMS 1000

/* neighbours that are kept: by number of orders, by nearness */
#define PAIRS_FREQUENT 100
#define PAIRS_NEAR 50

#define POPULAR_ITEMS 500
#define POPULAR_HALF_LIFE (60 * (double) USECS_PER_DAY)

/* ridges; docs/recommend.md says how they were found */
#define LAMBDA_CUSTOMER 20
#define LAMBDA_BASKET 5

/* up to so many skus more neighbours are solved for */
#define FEW_SKUS 5000
#define NEIGHBOURS_FEW_SKUS 200
#define NEIGHBOURS 100

/* Figures of one build, as they are returned. */
typedef struct Build
{
	int64		version;
	TimestampTz at;
	int64		orders;
	int64		customers;
	int64		skus;
	int64		pairs;
	int64		capped_orders;
	int64		capped_customers;
	EcBought  *history;
} Build;

/* ---- rows of the state ---- */

static void
put(const char *sql, int nargs, const Oid *types, Datum *values)
{
	int			rc = SPI_execute_plan(ec_plan(sql, nargs, types), values, NULL, false, 0);

	if (rc < 0)
		elog(ERROR, "SPI_execute_plan returned %s", SPI_result_code_string(rc));
}

static Datum
int_array(const int *values, int n)
{
	ArrayType  *array;
	int			dims = n;
	int			lower = 1;
	Size		size = ARR_OVERHEAD_NONULLS(1) + n * sizeof(int);

	if (n == 0)
		return PointerGetDatum(construct_empty_array(INT4OID));
	array = palloc0(size);
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = INT4OID;
	memcpy(ARR_DIMS(array), &dims, sizeof(int));
	memcpy(ARR_LBOUND(array), &lower, sizeof(int));
	memcpy(ARR_DATA_PTR(array), values, n * sizeof(int));
	return PointerGetDatum(array);
}

static Datum
real_array(const float *values, int n)
{
	Datum		array = int_array((const int *) values, n);

	((ArrayType *) DatumGetPointer(array))->elemtype = FLOAT4OID;
	return array;
}

/* ---- items, and what is popular ---- */

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
popular_write(const Build *build, const EcName *country, const double *sum, int nitems)
{
	static const Oid types[] = {INT8OID, TEXTOID, INT4ARRAYOID, FLOAT4ARRAYOID};
	EcScored		heap[POPULAR_ITEMS];
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
	values[0] = Int64GetDatum(build->version);
	values[1] = PointerGetDatum(cstring_to_text_with_len(country->key, country->len));
	values[2] = int_array(items, n);
	values[3] = real_array(shares, n);
	put("INSERT INTO ecauto_data.recommend_popular (version, country, items, shares) VALUES ($1, $2, $3, $4)",
		4, types, values);
}

/*
 * Items with their figures, and what is popular where.  A purchase that was
 * paid back whole is one, but makes nothing popular.
 */
static void
items_write(const Build *build)
{
	static const Oid types[] = {INT8OID, INT4OID, TEXTOID, INT4OID, INT4OID, INT4OID};
	const EcBought *history = build->history;
	const EcBaskets *orders = &history->orders;
	int			nskus = history->nskus;
	int		   *norders = palloc0(Max(nskus, 1) * sizeof(int));
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

				norders[item]++;
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
		Datum		values[6];

		values[0] = Int64GetDatum(build->version);
		values[1] = Int32GetDatum(i);
		values[2] = PointerGetDatum(cstring_to_text_with_len(history->sku[i].key, history->sku[i].len));
		values[3] = Int32GetDatum(norders[i]);
		values[4] = Int32GetDatum(ncustomers[i]);
		values[5] = Int32GetDatum(nrepeat[i]);
		put("INSERT INTO ecauto_data.recommend_item (version, no, sku, orders, customers, repeat_customers) "
			"VALUES ($1, $2, $3, $4, $5, $6)", 6, types, values);
		MemoryContextReset(row_context);
	}

	/* sums of floats depend on their order: it is that of users, which the keys do not tell; so round */
	for (int64 i = 0; i < nlast; i++)
		sum[last[i].item] += rint(last[i].weight * EC_MATRIX_UNIT);
	popular_write(build, &(EcName) {"", 0}, sum, nskus);
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
		popular_write(build, ec_names_get(history->countries, last[from].country), sum, nskus);
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(row_context);
}

/* ---- pairs ---- */

/* Who had what: a user for each basket, or for each whose it is. */
static EcMatrix *
baskets_matrix(const EcBaskets *baskets, int nskus, bool by_user, int cap)
{
	EcHad	   *had = palloc_extended(Max(baskets->nitems, 1) * sizeof(EcHad), MCXT_ALLOC_HUGE);
	EcMatrix   *matrix;
	int64		n = 0;

	for (int i = 0; i < baskets->n; i++)
		for (int j = 0; j < baskets->basket[i].n; j++)
		{
			had[n].user = by_user ? baskets->basket[i].user : i;
			had[n].item = baskets->item[baskets->basket[i].first + j];
			n++;
		}
	matrix = ec_matrix_build(had, n, by_user ? baskets->nusers : baskets->n, nskus, cap);
	pfree(had);
	return matrix;
}

static void
pairs_write(Build *build, const EcMatrix *matrix, bool viewed)
{
	static const Oid types[] = {INT8OID, INT4OID, BOOLOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4OID};
	EcMatrixRow *row = ec_matrix_row_create(matrix);
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "ecauto rows", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(row_context);
	int		   *total = MemoryContextAllocExtended(old, Max(matrix->nitems, 1) * sizeof(int), MCXT_ALLOC_HUGE);

	for (int i = 0; i < matrix->nitems; i++)
		total[i] = matrix->item_start[i + 1] - matrix->item_start[i];
	for (int i = 0; i < matrix->nitems; i++)
	{
		EcScored		frequent[PAIRS_FREQUENT + PAIRS_NEAR];
		EcScored		near[PAIRS_NEAR];
		int			others[PAIRS_FREQUENT + PAIRS_NEAR];
		int			counts[PAIRS_FREQUENT + PAIRS_NEAR];
		int			totals[PAIRS_FREQUENT + PAIRS_NEAR];
		int			n = 0;
		int			nnear = 0;
		int			nfrequent;
		Datum		values[7];

		if (total[i] == 0)
			continue;
		CHECK_FOR_INTERRUPTS();
		ec_matrix_row(matrix, i, row);
		for (int k = 0; k < row->n; k++)
		{
			int			item = row->items[k];

			if (item == i)
				continue;
			ec_scored_put(frequent, &n, PAIRS_FREQUENT, (EcScored) {row->count[item], item});
			ec_scored_put(near, &nnear, PAIRS_NEAR,
					 (EcScored) {ec_nearness(row->count[item], total[i], total[item]), item});
		}
		build->pairs += row->n - 1;
		if (n == 0)
			continue;
		nfrequent = n;
		for (int k = 0; k < nnear; k++)
		{
			bool		known = false;

			for (int j = 0; j < nfrequent && !known; j++)
				known = frequent[j].item == near[k].item;
			if (!known)
				frequent[n++] = (EcScored) {row->count[near[k].item], near[k].item};
		}
		qsort(frequent, n, sizeof(EcScored), ec_scored_compare);
		for (int k = 0; k < n; k++)
		{
			others[k] = frequent[k].item;
			counts[k] = (int) frequent[k].score;
			totals[k] = total[others[k]];
		}
		values[0] = Int64GetDatum(build->version);
		values[1] = Int32GetDatum(i);
		values[2] = BoolGetDatum(viewed);
		values[3] = int_array(others, n);
		values[4] = int_array(counts, n);
		values[5] = int_array(totals, n);
		values[6] = Int32GetDatum(total[i]);
		put("INSERT INTO ecauto_data.recommend_pair (version, item, viewed, others, counts, totals, total) "
			"VALUES ($1, $2, $3, $4, $5, $6, $7)", 7, types, values);
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(row_context);
	pfree(total);
}

/* ---- weights ---- */

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

static void
weights_write(Build *build, const EcMatrix *matrix, bool basket, const EcEase *options)
{
	static const Oid types[] = {INT8OID, BOOLOID, INT4OID, INT4ARRAYOID, FLOAT4ARRAYOID};
	Solved		solved = {0};
	EcEaseReport report;
	int64	   *start;
	int		   *target;
	float	   *weight;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ecauto weights", ALLOCSET_DEFAULT_SIZES);
	MemoryContext row_context = AllocSetContextCreate(context, "ecauto rows", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	solved.room = 65536;
	solved.source = palloc(solved.room * sizeof(int));
	solved.target = palloc(solved.room * sizeof(int));
	solved.weight = palloc(solved.room * sizeof(float));
	ec_ease(matrix, options, NULL, solved_put, &solved, &report);
	if (report.truncated > 0)
		ereport(NOTICE,
				(errmsg("not all pairs of items fit the memory"),
				 errdetail("Of %d items only the nearest pairs were kept.", report.truncated),
				 errhint("Raise \"maintenance_work_mem\", which is %d kB.", maintenance_work_mem)));

	/* by source; the targets of each stay in order */
	start = palloc_extended((matrix->nitems + 1) * sizeof(int64), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	target = palloc_extended(Max(solved.n, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	weight = palloc_extended(Max(solved.n, 1) * sizeof(float), MCXT_ALLOC_HUGE);
	for (int64 i = 0; i < solved.n; i++)
		start[solved.source[i] + 1]++;
	for (int i = 0; i < matrix->nitems; i++)
		start[i + 1] += start[i];
	for (int64 i = 0; i < solved.n; i++)
	{
		int64		at = start[solved.source[i]]++;

		target[at] = solved.target[i];
		weight[at] = solved.weight[i];
	}
	MemoryContextSwitchTo(row_context);
	for (int i = 0; i < matrix->nitems; i++)
	{
		int64		from = i > 0 ? start[i - 1] : 0;
		int			n = start[i] - from;
		Datum		values[5];

		if (n == 0)
			continue;
		values[0] = Int64GetDatum(build->version);
		values[1] = BoolGetDatum(basket);
		values[2] = Int32GetDatum(i);
		values[3] = int_array(target + from, n);
		values[4] = real_array(weight + from, n);
		put("INSERT INTO ecauto_data.recommend_weight (version, basket, source, targets, weights) "
			"VALUES ($1, $2, $3, $4, $5)", 5, types, values);
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* ---- all of it ---- */

static int64
next_version(void)
{
	bool		isnull;

	/* whoever builds at the same time waits here */
	if (SPI_execute_plan(ec_plan("UPDATE ecauto_data.recommend_model SET last_version = last_version + 1 "
								 "RETURNING last_version", 0, NULL),
						 NULL, NULL, false, 0) != SPI_OK_UPDATE_RETURNING || SPI_processed != 1)
		elog(ERROR, "could not number a version of recommendations");
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/*
 * Build and switch to a new version.  neighbours: 0 for what suits the shop.
 */
static void
build_run(Build *build, int neighbours)
{
	static const char *const tables[] = {"recommend_item", "recommend_pair", "recommend_weight", "recommend_popular"};
	static const Oid types[] = {INT8OID, TIMESTAMPTZOID, INT8OID, INT8OID, INT8OID, INT8OID};
	EcEase		options = {0};
	EcMatrix   *matrix;
	Datum		values[6];
	EcAs		as;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	build->version = next_version();
	/* another one's build may have ended meanwhile; what is read is at least as new */
	PushActiveSnapshot(GetTransactionSnapshot());
	build->history = ec_history_read(build->at);
	PopActiveSnapshot();
	build->orders = build->history->orders.n;
	build->customers = build->history->orders.nusers;
	build->skus = build->history->nskus;
	options.memory = (Size) maintenance_work_mem * 1024;
	options.neighbours = neighbours > 0 ? neighbours :
		build->skus <= FEW_SKUS ? NEIGHBOURS_FEW_SKUS : NEIGHBOURS;

	items_write(build);
	matrix = baskets_matrix(&build->history->orders, build->skus, false, BASKET_ITEMS);
	build->capped_orders = matrix->ncapped;
	pairs_write(build, matrix, false);
	options.lambda = LAMBDA_BASKET;
	weights_write(build, matrix, true, &options);
	ec_matrix_free(matrix);
	matrix = baskets_matrix(&build->history->orders, build->skus, true, CUSTOMER_ITEMS);
	build->capped_customers = matrix->ncapped;
	options.lambda = LAMBDA_CUSTOMER;
	weights_write(build, matrix, false, &options);
	ec_matrix_free(matrix);
	if (build->history->views.n > 0)
	{
		int64		pairs = build->pairs;

		matrix = baskets_matrix(&build->history->views, build->skus, false, BASKET_ITEMS);
		pairs_write(build, matrix, true);
		ec_matrix_free(matrix);
		build->pairs = pairs;
	}
	build->pairs /= 2;			/* each was met twice */

	values[0] = Int64GetDatum(build->version);
	values[1] = TimestampTzGetDatum(build->at);
	values[2] = Int64GetDatum(build->orders);
	values[3] = Int64GetDatum(build->customers);
	values[4] = Int64GetDatum(build->skus);
	values[5] = Int64GetDatum(build->pairs);
	put("UPDATE ecauto_data.recommend_model SET version = $1, built_at = $2, orders = $3, customers = $4, "
		"skus = $5, pairs = $6", 6, types, values);
	/* those who still read the old version have a snapshot in which it is there */
	for (int i = 0; i < lengthof(tables); i++)
		put(psprintf("DELETE FROM ecauto_data.%s WHERE version < $1", tables[i]), 1, types, values);
	ec_as_end(&as);
	SPI_finish();
	if (build->capped_orders > 0)
		ereport(NOTICE,
				(errmsg("%lld orders have more than %d different skus", (long long) build->capped_orders, BASKET_ITEMS),
				 errdetail("Pairs were counted of %d skus of each.", BASKET_ITEMS)));
}

/*
 * ecauto.build_recommendations(neighbours integer, OUT version bigint, OUT orders bigint,
 *		OUT customers bigint, OUT skus bigint, OUT pairs bigint, OUT capped_orders bigint,
 *		OUT capped_customers bigint)
 */
Datum
ecauto_build_recommendations(PG_FUNCTION_ARGS)
{
	Build		build = {0};
	int			neighbours = PG_ARGISNULL(0) ? 0 : PG_GETARG_INT32(0);
	TupleDesc	desc;
	Datum		values[7];
	bool		nulls[7] = {false};

	ec_state_require();
	ec_require_operator("build recommendations");
	if (!PG_ARGISNULL(0) && (neighbours < 1 || neighbours > 2000))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of neighbours must be between 1 and 2000"),
				 errdetail("It is %d.", neighbours)));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	build.at = ec_now();
	build_run(&build, neighbours);
	values[0] = Int64GetDatum(build.version);
	values[1] = Int64GetDatum(build.orders);
	values[2] = Int64GetDatum(build.customers);
	values[3] = Int64GetDatum(build.skus);
	values[4] = Int64GetDatum(build.pairs);
	values[5] = Int64GetDatum(build.capped_orders);
	values[6] = Int64GetDatum(build.capped_customers);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* ---- the tick ---- */

/* EcTryRun */
static void
tick_build(void *arg)
{
	EcTick	   *tick = arg;
	Build		build = {0};

	build.at = tick->at;
	build_run(&build, 0);
}

/*
 * Phase of the tick: what was once built is built anew when it is due.  If
 * that fails, the old version stays, and the next try is as far away as if it
 * had not.
 */
void
ec_recommend_tick(EcTick *tick)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	MemoryContext context = CurrentMemoryContext;
	TimestampTz due = DT_NOEND;
	Datum		args[1];
	bool		isnull = true;
	ErrorData  *error;
	EcAs		as;

	args[0] = TimestampTzGetDatum(tick->at);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("SELECT greatest(built_at, tried_at) + rebuild_every FROM ecauto_data.recommend_model "
								 "WHERE version IS NOT NULL AND rebuild_every IS NOT NULL", 0, NULL),
						 NULL, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for the next build of recommendations");
	if (SPI_processed == 1)
		due = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	if (!isnull && due <= tick->at)
		put("UPDATE ecauto_data.recommend_model SET tried_at = $1", 1, types, args);
	ec_as_end(&as);
	SPI_finish();
	MemoryContextSwitchTo(context);
	if (isnull)
		return;
	if (due > tick->at)
	{
		ec_tick_due(tick, due);
		return;
	}
	error = ec_try(tick_build, tick, false);
	if (error != NULL)
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("ecauto could not build recommendations: %s", error->message),
				 errdetail("The old ones stay.")));
}

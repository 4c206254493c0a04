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
#include "portability/instr_time.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "recommend/recommend.h"

PG_FUNCTION_INFO_V1(ecauto_build_recommendations);

/* orders that share a row of recommend_basket */
#define BUCKET_ORDERS 64

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
	int			buckets;
	EcBought   *history;
	double		weights_ms;		/* what weights took beyond the pairs */
} Build;

/* ---- rows of the state ---- */

static void
put(const char *sql, int nargs, const Oid *types, Datum *values)
{
	int			rc = SPI_execute_plan(ec_plan(sql, nargs, types), values, NULL, false, 0);

	if (rc < 0)
		elog(ERROR, "SPI_execute_plan returned %s", SPI_result_code_string(rc));
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

/* Where the pairs of items go. */
typedef struct PairsTo
{
	Build	   *build;
	const int  *total;
	bool		viewed;
	EcBuilt	   *counts;
	EcBuilt	   *lists;
	EcPairs		pairs;
	MemoryContext row_context;
} PairsTo;

static void
pairs_open(PairsTo *to, Build *build, const int *total, bool viewed)
{
	memset(to, 0, sizeof(*to));
	to->build = build;
	to->total = total;
	to->viewed = viewed;
	to->counts = ec_built_open("recommend_count", 4);
	to->lists = ec_built_open("recommend_pair", 6);
	ec_pairs_reserve(&to->pairs, build->skus);
	to->row_context = AllocSetContextCreate(CurrentMemoryContext, "ecauto rows", ALLOCSET_DEFAULT_SIZES);
}

/* EcEaseRow: the pairs of one item */
static void
pairs_put(int item, const EcMatrixRow *row, void *arg)
{
	static const EcOrder in_order = {0};
	PairsTo    *to = arg;
	EcPairs    *pairs = &to->pairs;
	int			others[EC_PAIRS_FREQUENT];
	int			counts[EC_PAIRS_FREQUENT];
	int			n;
	Datum		values[6];
	MemoryContext old;

	pairs->n = 0;
	for (int k = 0; k < row->n; k++)
		if (row->items[k] != item)
		{
			pairs->item[pairs->n] = row->items[k];
			pairs->count[pairs->n++] = row->shared[row->items[k]].count;
		}
	to->build->pairs += pairs->n;
	if (pairs->n == 0)
		return;
	old = MemoryContextSwitchTo(to->row_context);
	values[0] = Int64GetDatum(to->build->version);
	values[1] = BoolGetDatum(to->viewed);
	values[2] = Int32GetDatum(item);
	values[3] = PointerGetDatum(ec_pairs_pack(pairs));
	ec_built_put(to->counts, values);
	n = ec_pairs_frequent(pairs, &in_order, others, counts);
	values[1] = Int32GetDatum(item);
	values[2] = BoolGetDatum(to->viewed);
	values[3] = ec_int_array(others, n);
	values[4] = ec_int_array(counts, n);
	values[5] = Int32GetDatum(to->total[item]);
	ec_built_put(to->lists, values);
	MemoryContextSwitchTo(old);
	MemoryContextReset(to->row_context);
}

static void
pairs_close(PairsTo *to)
{
	EcBuilt	   *rows = ec_built_open("recommend_total", 4);
	int			nitems = to->build->skus;

	for (int first = 0; first < nitems; first += EC_TOTAL_CHUNK)
	{
		Datum		values[4];

		values[0] = Int64GetDatum(to->build->version);
		values[1] = BoolGetDatum(to->viewed);
		values[2] = Int32GetDatum(first / EC_TOTAL_CHUNK);
		values[3] = ec_int_array(to->total + first, Min(EC_TOTAL_CHUNK, nitems - first));
		ec_built_put(rows, values);
	}
	ec_built_close(rows);
	ec_built_close(to->counts);
	ec_built_close(to->lists);
	MemoryContextDelete(to->row_context);
}

/* Users of each item. */
static int *
matrix_totals(const EcMatrix *matrix)
{
	int		   *total = palloc_extended(Max(matrix->nitems, 1) * sizeof(int), MCXT_ALLOC_HUGE);

	for (int i = 0; i < matrix->nitems; i++)
		total[i] = matrix->item_start[i + 1] - matrix->item_start[i];
	return total;
}

/* As what each order was counted; users of the matrix are the orders. */
static void
baskets_write(const Build *build, const EcMatrix *matrix)
{
	const EcBaskets *orders = &build->history->orders;
	EcBuilt	   *rows = ec_built_open("recommend_basket", 5);
	int64	   *start = palloc_extended((build->buckets + 1) * sizeof(int64), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	int		   *bucket = palloc_extended(Max(orders->n, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	int		   *of = palloc_extended(Max(orders->n, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "ecauto rows", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(row_context);
	EcBucket   *one = MemoryContextAllocZero(old, sizeof(EcBucket));

	for (int i = 0; i < orders->n; i++)
	{
		bucket[i] = ec_bucket_of(orders->basket[i].key, orders->basket[i].len, build->buckets);
		start[bucket[i] + 1]++;
	}
	for (int b = 0; b < build->buckets; b++)
		start[b + 1] += start[b];
	for (int i = 0; i < orders->n; i++)
		of[start[bucket[i]]++] = i;
	for (int b = 0; b < build->buckets; b++)
	{
		Datum		values[5];

		ec_bucket_reset(one);
		/* start[b] is now the end of b */
		for (int64 k = b > 0 ? start[b - 1] : 0; k < start[b]; k++)
		{
			const EcBasket *basket = &orders->basket[of[k]];
			EcName		key = {basket->key, basket->len};

			ec_bucket_add(one, &key, matrix->user_item + matrix->user_start[of[k]],
						  matrix->user_start[of[k] + 1] - matrix->user_start[of[k]]);
		}
		ec_bucket_values(one, build->version, b, values);
		ec_built_put(rows, values);
		MemoryContextReset(row_context);
		memset(one, 0, sizeof(EcBucket));
	}
	MemoryContextSwitchTo(old);
	ec_built_close(rows);
	MemoryContextDelete(row_context);
	pfree(start);
	pfree(bucket);
	pfree(of);
}

/* ---- weights ---- */

static void
weights_write(Build *build, const EcMatrix *matrix, bool basket, const EcSetting *setting, Size memory,
			  EcEaseRow row, void *row_arg)
{
	EcEase		options = {
		ec_setting_neighbours(setting, matrix->nitems), setting->lambda, setting->dropout, memory, row, row_arg
	};
	EcEaseReport report;
	EcSources  *sources;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ecauto weights", ALLOCSET_DEFAULT_SIZES);
	MemoryContext row_context = AllocSetContextCreate(context, "ecauto rows", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	EcBuilt	   *rows;

	sources = ec_sources_solve(matrix, &options, &report);
	build->weights_ms += report.solve_ms + (row == NULL ? report.gram_ms : 0);
	if (report.truncated > 0)
		ereport(NOTICE,
				(errmsg("not all pairs of items fit the memory"),
				 errdetail("Of %d items only the nearest pairs were kept.", report.truncated),
				 errhint("Raise \"maintenance_work_mem\", which is %d kB.", maintenance_work_mem)));

	rows = ec_built_open("recommend_weight", 5);
	MemoryContextSwitchTo(row_context);
	for (int i = 0; i < matrix->nitems; i++)
	{
		int64		from = sources->start[i];
		int			n = sources->start[i + 1] - from;
		Datum		values[5];

		if (n == 0)
			continue;
		values[0] = Int64GetDatum(build->version);
		values[1] = BoolGetDatum(basket);
		values[2] = Int32GetDatum(i);
		values[3] = ec_int_array(sources->target + from, n);
		values[4] = ec_real_array(sources->weight + from, n);
		ec_built_put(rows, values);
		MemoryContextReset(row_context);
	}
	ec_built_close(rows);
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
	static const char *const tables[] = {"recommend_item", "recommend_pair", "recommend_count", "recommend_total",
	"recommend_basket", "recommend_weight", "recommend_popular"};
	static const Oid types[] = {INT8OID, TIMESTAMPTZOID, INT8OID, INT8OID, INT8OID, INT8OID, INT4OID};
	EcSetting	setting[EC_TASKS];
	Size		memory = (Size) maintenance_work_mem * 1024;
	EcMatrix   *matrix;
	PairsTo		to;
	int		   *total;
	Datum		values[7];
	instr_time	begun;
	instr_time	ended;
	EcAs		as;

	INSTR_TIME_SET_CURRENT(begun);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	ec_progress_begin("build_recommendations");
	ec_progress_phase("read orders", 0);
	build->version = next_version();
	/* what is read next is at least as new */
	put("DELETE FROM ecauto_data.order_changed", 0, NULL, NULL);
	/* another one's build may have ended meanwhile; what is read is at least as new */
	PushActiveSnapshot(GetTransactionSnapshot());
	build->history = ec_history_read(build->at);
	PopActiveSnapshot();
	build->orders = build->history->orders.n;
	build->customers = build->history->orders.nusers;
	build->skus = build->history->nskus;
	ec_settings_choose(build->history);
	for (int i = 0; i < EC_TASKS; i++)
	{
		setting[i] = ec_setting_read(i);
		if (neighbours > 0)
			setting[i].neighbours = neighbours;
	}

	/* as many buckets as leave room to grow until the next build */
	for (build->buckets = 1; build->buckets < build->orders / BUCKET_ORDERS; build->buckets *= 2)
		;

	matrix = baskets_matrix(&build->history->orders, build->skus, false, EC_BASKET_ITEMS);
	total = matrix_totals(matrix);
	build->capped_orders = matrix->ncapped;
	ec_items_write(build->version, build->history, total);
	ec_progress_phase("pairs and baskets", build->skus);
	baskets_write(build, matrix);
	pairs_open(&to, build, total, false);
	weights_write(build, matrix, true, &setting[EC_TASK_BASKET], memory, pairs_put, &to);
	pairs_close(&to);
	ec_matrix_free(matrix);

	matrix = baskets_matrix(&build->history->orders, build->skus, true, EC_CUSTOMER_ITEMS);
	build->capped_customers = matrix->ncapped;
	ec_progress_phase("customers", build->skus);
	weights_write(build, matrix, false, &setting[EC_TASK_CUSTOMER], memory, NULL, NULL);
	ec_matrix_free(matrix);
	ec_progress_phase("views and lists", 0);
	if (build->history->views.n > 0)
	{
		int64		pairs = build->pairs;
		EcMatrixRow *row;

		matrix = baskets_matrix(&build->history->views, build->skus, false, EC_BASKET_ITEMS);
		row = ec_matrix_row_create(matrix);
		pairs_open(&to, build, matrix_totals(matrix), true);
		for (int i = 0; i < matrix->nitems; i++)
		{
			CHECK_FOR_INTERRUPTS();
			ec_matrix_row(matrix, i, row);
			pairs_put(i, row, &to);
		}
		pairs_close(&to);
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
	values[6] = Int32GetDatum(build->buckets);
	put("UPDATE ecauto_data.recommend_model SET version = $1, built_at = $2, orders = $3, customers = $4, "
		"skus = $5, pairs = $6, counted_until = $2, changed = 0, built_skus = $5, buckets = $7", 7, types, values);
	/* those who still read the old version have a snapshot in which it is there */
	for (int i = 0; i < lengthof(tables); i++)
		put(psprintf("DELETE FROM ecauto_data.%s WHERE version < $1", tables[i]), 1, types, values);
	ec_progress_end();
	ec_as_end(&as);
	SPI_finish();
	INSTR_TIME_SET_CURRENT(ended);
	INSTR_TIME_SUBTRACT(ended, begun);
	ereport(DEBUG1,
			(errmsg_internal("recommendations: lists of pairs took %.0f ms, weights %.0f ms more",
							 INSTR_TIME_GET_MILLISEC(ended) - build->weights_ms, build->weights_ms)));
	if (build->capped_orders > 0)
		ereport(NOTICE,
				(errmsg("%lld orders have more than %d different skus", (long long) build->capped_orders, EC_BASKET_ITEMS),
				 errdetail("Pairs were counted of %d skus of each.", EC_BASKET_ITEMS)));
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

/* What a tick is to do. */
typedef struct Work
{
	EcTick	   *tick;
	bool		build;
} Work;

/* EcTryRun */
static void
tick_work(void *arg)
{
	Work	   *work = arg;
	Build		build = {0};

	build.at = work->tick->at;
	if (!work->build)
	{
		int64		orders;
		EcAs		as;

		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		ec_as_state_owner(&as);
		work->build = !ec_recommend_absorb(work->tick->at, &orders);
		ec_as_end(&as);
		SPI_finish();
	}
	if (work->build)
		build_run(&build, 0);
}

/*
 * Is there a version; when is the next build due; did orders change (all of
 * them; more than the share that makes a build worth it), or did the time of
 * some come?
 */
static const char look_statement[] =
	"SELECT m.version IS NOT NULL,\n"
	"  CASE WHEN m.rebuild_every < '1000 years' THEN greatest(m.built_at, m.tried_at) + m.rebuild_every END,\n"
	"  EXISTS (SELECT FROM ecauto_data.order_changed),\n"
	"  EXISTS (SELECT FROM ecauto_data.order_changed c WHERE c.order_key IS NULL)\n"
	"    OR (m.changed > 0 OR EXISTS (SELECT FROM ecauto_data.order_changed))\n"
	"      AND coalesce(m.changed + (SELECT pg_catalog.count(*) FROM ecauto_data.order_changed) > m.rebuild_share * m.orders, false),\n"
	"  EXISTS (SELECT FROM ecauto_data.seen_order o\n"
	"    WHERE o.placed_at > least(m.counted_until, $1) AND o.placed_at <= greatest(m.counted_until, $1))\n"
	"FROM ecauto_data.recommend_model m";

/*
 * Phase of the tick: orders that changed are brought into the version that is
 * read, and what was once built is built anew when it is due: after a day, or
 * when a hundredth of its orders has changed, so that building costs a shop of
 * any size the same share of its time.  If that fails, the old version stays,
 * and the next build is as far away as if it had not.
 */
void
ec_recommend_tick(EcTick *tick)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	MemoryContext context = CurrentMemoryContext;
	Work		work = {tick, false};
	TimestampTz due;
	Datum		args[1];
	bool		built;
	bool		queue;
	bool		much;
	bool		come;
	bool		never;
	bool		isnull;
	ErrorData  *error;
	EcAs		as;

	args[0] = TimestampTzGetDatum(tick->at);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan(look_statement, 1, types), args, NULL, false, 0) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not look for the next build of recommendations");
	built = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	due = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &never));
	queue = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull));
	much = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 4, &isnull));
	come = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 5, &isnull));
	work.build = built && (much || (!never && due <= tick->at));
	/* nobody reads the queue until there is a version */
	if (!built && queue)
		put("DELETE FROM ecauto_data.order_changed", 0, NULL, NULL);
	if (work.build)
		put("UPDATE ecauto_data.recommend_model SET tried_at = $1", 1, types, args);
	ec_as_end(&as);
	SPI_finish();
	MemoryContextSwitchTo(context);
	if (!built)
		return;
	if (!never && due > tick->at)
		ec_tick_due(tick, due);
	if (!work.build && !queue && !come)
		return;
	error = ec_try(tick_work, &work, false);
	if (error != NULL)
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("ecauto could not bring recommendations up to date: %s", error->message),
				 errdetail("The old ones stay.")));
}

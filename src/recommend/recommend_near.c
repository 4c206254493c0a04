/*-------------------------------------------------------------------------
 *
 * recommend_near.c
 *		What is nearest to an item, and its counts, from what is stored.
 *
 * Nearness of two items depends on how often each was bought, so an order
 * changes that of all pairs of its items, in all of their lists.  Therefore no
 * such list is stored: all pairs of the item and the totals of all items are
 * read, some kilobytes, and the nearest chosen when they are asked for.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "recommend/recommend.h"

PG_FUNCTION_INFO_V1(ecauto_pair_counts);

/* Run a statement on the state as its owner and stay connected until state_end(). */
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
cell(uint64 row, int column)
{
	bool		isnull;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
}

/* How many orders (or visitors) had each item of a version. */
int *
ec_totals_read(int64 version, bool viewed, int nitems)
{
	static const Oid types[] = {INT8OID, BOOLOID};
	int		   *totals = palloc_extended(Max(nitems, 1) * sizeof(int), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	Datum		args[2];
	uint64		rows;
	EcAs		as;

	args[0] = Int64GetDatum(version);
	args[1] = BoolGetDatum(viewed);
	rows = state_read(&as, "SELECT chunk, totals FROM ecauto_data.recommend_total "
					  "WHERE version = $1 AND viewed = $2 ORDER BY chunk", 2, types, args);
	for (uint64 i = 0; i < rows; i++)
	{
		int64		first = (int64) DatumGetInt32(cell(i, 1)) * EC_TOTAL_CHUNK;
		ArrayType  *array = DatumGetArrayTypeP(cell(i, 2));
		int			n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

		if (first >= 0 && first < nitems)
			memcpy(totals + first, ARR_DATA_PTR(array), Min(n, nitems - first) * sizeof(int));
	}
	state_end(&as);
	return totals;
}

/* Places of the items of a version by key. */
EcOrder *
ec_order_read(int64 version, int nbuilt, int nitems)
{
	static const Oid types[] = {INT8OID, INT4OID};
	double	   *ranks;
	Datum		args[2];
	EcAs		as;

	if (nitems == nbuilt)
		return ec_order_create(nbuilt, nitems, NULL);
	ranks = palloc_extended((nitems - nbuilt) * sizeof(double), MCXT_ALLOC_HUGE);
	args[0] = Int64GetDatum(version);
	args[1] = Int32GetDatum(nbuilt);
	if (state_read(&as, "SELECT i.rank FROM ecauto_data.recommend_item i WHERE i.version = $1 AND i.no >= $2 ORDER BY i.no",
				   2, types, args) != nitems - nbuilt)
		elog(ERROR, "version %lld of recommendations is not whole", (long long) version);
	for (int i = 0; i < nitems - nbuilt; i++)
		ranks[i] = DatumGetFloat8(cell(i, 1));
	state_end(&as);
	return ec_order_create(nbuilt, nitems, ranks);
}

/*
 * At most "most" items nearest to an item by what was bought (or viewed)
 * together, nearest first; *n: how many; none for item -1.
 */
EcNear *
ec_near_read(int64 version, int item, bool viewed, int most, int *n)
{
	static const Oid types[] = {INT8OID, BOOLOID, INT4OID};
	EcPairs		pairs = {0};
	EcOrder    *order;
	int		   *totals;
	int			nbuilt = 0;
	int			nitems = 0;
	Datum		args[3];
	EcAs		as;

	*n = 0;
	if (item < 0)
		return NULL;
	args[0] = Int64GetDatum(version);
	args[1] = BoolGetDatum(viewed);
	args[2] = Int32GetDatum(item);
	if (state_read(&as, "SELECT m.built_skus, m.skus, c.pairs FROM ecauto_data.recommend_model m "
				   "JOIN ecauto_data.recommend_count c ON c.version = m.version "
				   "WHERE m.version = $1 AND c.viewed = $2 AND c.item = $3", 3, types, args) == 1)
	{
		nbuilt = DatumGetInt32(cell(0, 1));
		nitems = DatumGetInt64(cell(0, 2));
		ec_pairs_unpack(DatumGetByteaPP(cell(0, 3)), nitems, &pairs);
	}
	state_end(&as);
	if (pairs.n == 0)
		return NULL;
	totals = ec_totals_read(version, viewed, nitems);
	order = ec_order_read(version, nbuilt, nitems);
	return ec_pairs_nearest(&pairs, order, totals[item], totals, most, n);
}

/*
 * ecauto.pair_counts(pairs bytea) returns table(other integer, orders integer)
 */
Datum
ecauto_pair_counts(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	EcPairs		pairs = {0};

	InitMaterializedSRF(fcinfo, 0);
	ec_pairs_unpack(PG_GETARG_BYTEA_PP(0), PG_INT32_MAX, &pairs);
	for (int i = 0; i < pairs.n; i++)
	{
		Datum		values[2];
		bool		nulls[2] = {false};

		values[0] = Int32GetDatum(pairs.item[i]);
		values[1] = Int32GetDatum(pairs.count[i]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

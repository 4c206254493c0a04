/*-------------------------------------------------------------------------
 *
 * recommend_absorb.c
 *		What changed about orders, brought into the version that is read.
 *
 * Counts are sums over orders, so an order that came, changed or went alters
 * those of its own pairs alone: what it was counted as (recommend_basket) is
 * taken back, what it is now is added, and the rows of the items it touches
 * are written.  Whole numbers are all that is kept, so the result is equal, to
 * the last digit, to counting everything anew.
 *
 * An order that is told of twice, or for nothing, changes nothing.  Weights
 * and what is popular come from all customers' histories and are those of the
 * last build; recommend_build.c says when the next one is.
 *
 * The row of recommend_model is locked meanwhile, as by a build.
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

PG_FUNCTION_INFO_V1(ecauto_refresh_recommendations);

/* An order of which something changed. */
typedef struct Changed
{
	EcName		key;
	int			bucket;
	bool		was;			/* counted */
	bool		is;				/* to be counted */
	bool		same;			/* both are the same */
	int			nold;
	int		   *old;			/* its items, ascending */
	int			nnew;
	int			room;
	int		   *new;
} Changed;

/* With one order fewer or more, item has other. */
typedef struct Delta
{
	int			other;
	int			by;
} Delta;

typedef struct Absorb
{
	int64		version;
	int			nbuilt;
	int			nitems;
	int			buckets;
	TimestampTz at;
	EcNames    *keys;
	Changed    *changed;		/* by number in keys */
	int			n;
	EcOrder    *order;
	int		   *totals;			/* new ones */
	bool	   *touched;		/* [nitems] */
	int64	   *start;			/* [nitems + 1] into delta */
	Delta	   *delta;
	int64		ndeltas;
	/* what changed in all */
	int64		orders;
	int64		norders;		/* more counted than before */
	int64		pairs;			/* more than before, both ways */
	bool		rebuild;		/* it takes a build */
} Absorb;

static uint64
run(const char *sql, int nargs, const Oid *types, Datum *values)
{
	MemoryContext context = CurrentMemoryContext;
	int			rc = SPI_execute_plan(ec_plan(sql, nargs, types), values, NULL, false, 0);

	if (rc < 0)
		elog(ERROR, "SPI_execute_plan returned %s", SPI_result_code_string(rc));
	MemoryContextSwitchTo(context);
	return SPI_processed;
}

static Datum
cell(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

static EcName
cell_name(uint64 row, int column, bool *isnull)
{
	EcName		name = {0};
	Datum		value = cell(row, column, isnull);

	if (!*isnull)
	{
		text	   *string = DatumGetTextPP(value);

		name.key = VARDATA_ANY(string);
		name.len = VARSIZE_ANY_EXHDR(string);
	}
	return name;
}

static int
int_compare(const void *a, const void *b)
{
	int			left = *(const int *) a;
	int			right = *(const int *) b;

	return (left > right) - (left < right);
}

/* ---- what changed ---- */

/* Keys of the queue, which is emptied, and of orders whose time has come. */
static void
keys_take(Absorb *absorb)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	Datum		args[1];
	uint64		rows;

	args[0] = TimestampTzGetDatum(absorb->at);
	rows = run("WITH taken AS (DELETE FROM ecauto_data.order_changed RETURNING order_key)\n"
			   "SELECT t.order_key FROM taken t WHERE t.order_key IS NOT NULL\n"
			   "UNION ALL SELECT o.key FROM ecauto_data.recommend_model m JOIN ecauto_data.seen_order o\n"
			   "  ON o.placed_at > least(m.counted_until, $1) AND o.placed_at <= greatest(m.counted_until, $1)",
			   1, types, args);
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;
		EcName		key = cell_name(i, 1, &isnull);

		ec_names_put(absorb->keys, key.key, key.len);
	}
	SPI_freetuptable(SPI_tuptable);
	absorb->n = ec_names_count(absorb->keys);
	absorb->changed = palloc_extended(Max(absorb->n, 1) * sizeof(Changed), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < absorb->n; i++)
	{
		const EcName *key = ec_names_get(absorb->keys, i);

		absorb->changed[i].key = *key;
		absorb->changed[i].bucket = ec_bucket_of(key->key, key->len, absorb->buckets);
	}
}

static Datum
names_array(const EcNames *names)
{
	int			n = ec_names_count(names);
	Datum	   *elements = palloc_extended(Max(n, 1) * sizeof(Datum), MCXT_ALLOC_HUGE);

	for (int i = 0; i < n; i++)
	{
		const EcName *name = ec_names_get(names, i);

		elements[i] = PointerGetDatum(cstring_to_text_with_len(name->key, name->len));
	}
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * The number of a sku that is new to the version: the next one, ranked between
 * its neighbours by key.  -1 if there is no number left between theirs.
 */
static int
item_add(Absorb *absorb, const EcName *sku)
{
	static const Oid types[] = {INT8OID, TEXTOID, INT4OID, FLOAT8OID};
	Datum		args[4];
	double		below;
	double		above;
	bool		isnull;

	args[0] = Int64GetDatum(absorb->version);
	args[1] = PointerGetDatum(cstring_to_text_with_len(sku->key, sku->len));
	if (run("SELECT (SELECT i.rank FROM ecauto_data.recommend_item i WHERE i.version = $1 AND i.sku < $2 ORDER BY i.sku DESC LIMIT 1),\n"
			"  (SELECT i.rank FROM ecauto_data.recommend_item i WHERE i.version = $1 AND i.sku > $2 ORDER BY i.sku LIMIT 1)",
			2, types, args) != 1)
		elog(ERROR, "could not find a place for a sku");
	above = DatumGetFloat8(cell(0, 2, &isnull));
	if (isnull)
		above = (double) absorb->nitems + 1;
	below = DatumGetFloat8(cell(0, 1, &isnull));
	if (isnull)
		below = above - 1;
	SPI_freetuptable(SPI_tuptable);
	if (!((below + above) / 2 > below && (below + above) / 2 < above))
		return -1;
	args[2] = Int32GetDatum(absorb->nitems);
	args[3] = Float8GetDatum((below + above) / 2);
	run("INSERT INTO ecauto_data.recommend_item (version, no, sku, rank, orders, customers, repeat_customers) "
		"VALUES ($1, $3, $2, $4, 0, 0, 0)", 4, types, args);
	return absorb->nitems++;
}

/* What the changed orders are now. */
static void
orders_read(Absorb *absorb)
{
	static const Oid order_types[] = {TIMESTAMPTZOID, TEXTARRAYOID};
	static const Oid sku_types[] = {INT8OID, TEXTARRAYOID};
	EcNames    *skus = ec_names_create();
	int		   *number;
	Datum		args[2];
	uint64		rows;
	bool		isnull;

	args[0] = TimestampTzGetDatum(absorb->at);
	args[1] = names_array(absorb->keys);
	rows = run("SELECT o.key, i.sku FROM ecauto_data.seen_order o\n"
			   "LEFT JOIN ecauto_data.order_item i ON i.order_key = o.key AND " EC_ITEM_COUNTS "\n"
			   "WHERE o.key = ANY ($2) AND " EC_ORDER_COUNTS, 2, order_types, args);
	for (uint64 i = 0; i < rows; i++)
	{
		EcName		key = cell_name(i, 1, &isnull);
		EcName		sku = cell_name(i, 2, &isnull);
		Changed    *one = &absorb->changed[ec_names_find(absorb->keys, key.key, key.len)];

		one->is = true;
		if (isnull)
			continue;
		if (one->nnew == one->room)
		{
			one->room = Max(8, 2 * one->room);
			one->new = one->new == NULL ? palloc(one->room * sizeof(int)) :
				repalloc_huge(one->new, one->room * sizeof(int));
		}
		one->new[one->nnew++] = ec_names_put(skus, sku.key, sku.len);
	}
	SPI_freetuptable(SPI_tuptable);

	number = palloc_extended(Max(ec_names_count(skus), 1) * sizeof(int), MCXT_ALLOC_HUGE);
	for (int i = 0; i < ec_names_count(skus); i++)
		number[i] = -1;
	args[0] = Int64GetDatum(absorb->version);
	args[1] = names_array(skus);
	rows = run("SELECT i.sku, i.no FROM ecauto_data.recommend_item i WHERE i.version = $1 AND i.sku = ANY ($2)",
			   2, sku_types, args);
	for (uint64 i = 0; i < rows; i++)
	{
		EcName		sku = cell_name(i, 1, &isnull);

		number[ec_names_find(skus, sku.key, sku.len)] = DatumGetInt32(cell(i, 2, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
	for (int i = 0; i < ec_names_count(skus); i++)
		if (number[i] < 0 && (number[i] = item_add(absorb, ec_names_get(skus, i))) < 0)
		{
			absorb->rebuild = true;
			return;
		}
	/* let it see skus that were added */
	CommandCounterIncrement();
	UpdateActiveSnapshotCommandId();
	absorb->order = ec_order_read(absorb->version, absorb->nbuilt, absorb->nitems);
	for (int i = 0; i < absorb->n; i++)
	{
		Changed    *one = &absorb->changed[i];

		/* of too many the last ones by key, as a build takes them */
		for (int k = 0; k < one->nnew; k++)
			one->new[k] = ec_order_place(absorb->order, number[one->new[k]]);
		qsort(one->new, one->nnew, sizeof(int), int_compare);
		if (one->nnew > EC_BASKET_ITEMS)
		{
			ereport(NOTICE,
					(errmsg("order \"%.*s\" has %d different skus", one->key.len, one->key.key, one->nnew),
					 errdetail("Pairs are counted of %d of them.", EC_BASKET_ITEMS)));
			one->new += one->nnew - EC_BASKET_ITEMS;
			one->nnew = EC_BASKET_ITEMS;
		}
		for (int k = 0; k < one->nnew; k++)
			one->new[k] = ec_order_item(absorb->order, one->new[k]);
		qsort(one->new, one->nnew, sizeof(int), int_compare);
	}
}

/* ---- what they were ---- */

static int
bucket_compare(const void *a, const void *b)
{
	int			left = (*(Changed *const *) a)->bucket;
	int			right = (*(Changed *const *) b)->bucket;

	return (left > right) - (left < right);
}

/* As what the changed orders were counted; and rows that say what they are now. */
static void
buckets_change(Absorb *absorb)
{
	static const Oid types[] = {INT8OID, INT4ARRAYOID};
	Changed   **by_bucket = palloc_extended(Max(absorb->n, 1) * sizeof(Changed *), MCXT_ALLOC_HUGE);
	int		   *numbers = palloc_extended(Max(absorb->n, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	int			nnumbers = 0;
	EcBucket	before = {0};
	EcBucket	after = {0};
	EcBuilt    *built;
	Datum		args[2];
	uint64		rows;
	SPITupleTable *table;
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "ecauto rows", ALLOCSET_DEFAULT_SIZES);

	for (int i = 0; i < absorb->n; i++)
		by_bucket[i] = &absorb->changed[i];
	qsort(by_bucket, absorb->n, sizeof(Changed *), bucket_compare);
	for (int i = 0; i < absorb->n; i++)
		if (i == 0 || by_bucket[i]->bucket != by_bucket[i - 1]->bucket)
			numbers[nnumbers++] = by_bucket[i]->bucket;
	args[0] = Int64GetDatum(absorb->version);
	args[1] = ec_int_array(numbers, nnumbers);
	rows = run("SELECT b.ctid, b.bucket, b.orders, b.sizes, b.items FROM ecauto_data.recommend_basket b "
			   "WHERE b.version = $1 AND b.bucket = ANY ($2) ORDER BY b.bucket", 2, types, args);
	if (rows != nnumbers)
		elog(ERROR, "version %lld of recommendations is not whole", (long long) absorb->version);
	table = SPI_tuptable;
	built = ec_built_open("recommend_basket", 5);
	for (uint64 i = 0, next = 0; i < rows; i++)
	{
		const int  *item;
		bool		isnull;
		bool		differs = false;
		Datum		values[5];
		MemoryContext old;
		uint64		first = next;
		ItemPointer tid;

		SPI_tuptable = table;
		tid = (ItemPointer) DatumGetPointer(cell(i, 1, &isnull));
		ec_bucket_reset(&before);
		ec_bucket_reset(&after);
		old = MemoryContextSwitchTo(row_context);
		{
			ArrayType  *orders = DatumGetArrayTypeP(cell(i, 3, &isnull));
			ArrayType  *sizes = DatumGetArrayTypeP(cell(i, 4, &isnull));
			ArrayType  *items = DatumGetArrayTypeP(cell(i, 5, &isnull));

			MemoryContextSwitchTo(old);
			ec_bucket_read(&before, orders, sizes, items);
		}
		item = before.item;
		for (int k = 0; k < before.n; item += before.size[k], k++)
		{
			int			number = ec_names_find(absorb->keys, before.order[k].key, before.order[k].len);
			Changed    *one;

			if (number < 0)
			{
				ec_bucket_add(&after, &before.order[k], item, before.size[k]);
				continue;
			}
			one = &absorb->changed[number];
			one->was = true;
			one->nold = before.size[k];
			one->old = palloc_extended(Max(one->nold, 1) * sizeof(int), MCXT_ALLOC_HUGE);
			memcpy(one->old, item, one->nold * sizeof(int));
			for (int j = 0; j < one->nold; j++)
				if (one->old[j] < 0 || one->old[j] >= absorb->nitems)
					ereport(ERROR,
							(errcode(ERRCODE_DATA_CORRUPTED),
							 errmsg("stored baskets are damaged"),
							 errhint("Run ecauto.build_recommendations().")));
			qsort(one->old, one->nold, sizeof(int), int_compare);
		}
		for (; next < absorb->n && by_bucket[next]->bucket == by_bucket[first]->bucket; next++)
		{
			Changed    *one = by_bucket[next];

			one->same = one->was == one->is && one->nold == one->nnew &&
				(one->nnew == 0 || memcmp(one->old, one->new, one->nnew * sizeof(int)) == 0);
			if (!one->same)
			{
				differs = true;
				absorb->orders++;
				absorb->norders += (int) one->is - (int) one->was;
			}
			if (one->is)
				ec_bucket_add(&after, &one->key, one->new, one->nnew);
		}
		if (differs)
		{
			MemoryContextSwitchTo(row_context);
			ec_bucket_values(&after, absorb->version, by_bucket[first]->bucket, values);
			ec_built_replace(built, tid, values);
			MemoryContextSwitchTo(old);
		}
		MemoryContextReset(row_context);
	}
	ec_built_close(built);
	SPI_freetuptable(table);
	MemoryContextDelete(row_context);
}

/* ---- differences ---- */

/* By item: who has one more or fewer in common with it. */
static void
deltas_make(Absorb *absorb)
{
	int64		most = (int64) maintenance_work_mem * 1024 / sizeof(Delta);
	int64	   *next;
	int64		n = 0;

	for (int i = 0; i < absorb->n; i++)
	{
		const Changed *one = &absorb->changed[i];

		if (!one->same)
			n += (int64) one->nold * one->nold + (int64) one->nnew * one->nnew;
	}
	if (n > most)
	{
		absorb->rebuild = true;
		return;
	}
	absorb->start = palloc_extended((absorb->nitems + 1) * sizeof(int64), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	absorb->touched = palloc_extended(Max(absorb->nitems, 1) * sizeof(bool), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	absorb->delta = palloc_extended(Max(n, 1) * sizeof(Delta), MCXT_ALLOC_HUGE);
	next = palloc_extended((absorb->nitems + 1) * sizeof(int64), MCXT_ALLOC_HUGE);
	for (int pass = 0; pass < 2; pass++)
	{
		for (int i = 0; i < absorb->n; i++)
		{
			const Changed *one = &absorb->changed[i];

			if (one->same)
				continue;
			for (int side = 0; side < 2; side++)
			{
				const int  *item = side == 0 ? one->old : one->new;
				int			count = side == 0 ? one->nold : one->nnew;
				int			by = side == 0 ? -1 : 1;

				for (int k = 0; k < count; k++)
				{
					if (pass == 0)
					{
						absorb->touched[item[k]] = true;
						absorb->start[item[k] + 1] += count - 1;
						absorb->totals[item[k]] += by;
						continue;
					}
					for (int j = 0; j < count; j++)
						if (j != k)
							absorb->delta[next[item[k]]++] = (Delta) {item[j], by};
				}
			}
		}
		if (pass == 0)
		{
			for (int i = 0; i < absorb->nitems; i++)
				absorb->start[i + 1] += absorb->start[i];
			memcpy(next, absorb->start, absorb->nitems * sizeof(int64));
		}
	}
	pfree(next);
}

static int
delta_compare(const void *a, const void *b)
{
	return int_compare(&((const Delta *) a)->other, &((const Delta *) b)->other);
}

/* Pairs of one item, with its differences. */
static void
pairs_merge(Absorb *absorb, int item, const EcPairs *before, EcPairs *after)
{
	Delta	   *delta = absorb->delta + absorb->start[item];
	int			n = absorb->start[item + 1] - absorb->start[item];
	int			at = 0;

	qsort(delta, n, sizeof(Delta), delta_compare);
	after->n = 0;
	ec_pairs_reserve(after, before->n + n);
	for (int i = 0; i < before->n || at < n;)
	{
		bool		is_new = at < n && (i >= before->n || delta[at].other < before->item[i]);
		int			other = is_new ? delta[at].other : before->item[i];
		int			count = i < before->n && before->item[i] == other ? before->count[i++] : 0;

		absorb->pairs -= count > 0;
		for (; at < n && delta[at].other == other; at++)
			count += delta[at].by;
		if (count < 0)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("stored counts of pairs do not fit stored baskets"),
					 errhint("Run ecauto.build_recommendations().")));
		if (count == 0)
			continue;
		absorb->pairs++;
		after->item[after->n] = other;
		after->count[after->n++] = count;
	}
}

/* Rows of items that were touched, by number of the item: where they are, if there are any. */
static ItemPointerData *
rows_find(const char *sql, const Absorb *absorb, Datum items, SPITupleTable **table, int64 **at)
{
	static const Oid types[] = {INT8OID, INT4ARRAYOID};
	ItemPointerData *tids = palloc_extended(Max(absorb->nitems, 1) * sizeof(ItemPointerData), MCXT_ALLOC_HUGE);
	Datum		args[2];
	uint64		rows;
	bool		isnull;

	for (int i = 0; i < absorb->nitems; i++)
		ItemPointerSetInvalid(&tids[i]);
	if (at != NULL)
		*at = palloc_extended(Max(absorb->nitems, 1) * sizeof(int64), MCXT_ALLOC_HUGE);
	args[0] = Int64GetDatum(absorb->version);
	args[1] = items;
	rows = run(sql, 2, types, args);
	for (uint64 i = 0; i < rows; i++)
	{
		int			item = DatumGetInt32(cell(i, 2, &isnull));

		if (item < 0 || item >= absorb->nitems)
			continue;
		tids[item] = *(ItemPointer) DatumGetPointer(cell(i, 1, &isnull));
		if (at != NULL)
			(*at)[item] = i;
	}
	*table = SPI_tuptable;
	return tids;
}

/* Write the rows of the items that were touched. */
static void
items_change(Absorb *absorb)
{
	int		   *items = palloc_extended(Max(absorb->nitems, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	int			n = 0;
	Datum		array;
	SPITupleTable *counts;
	SPITupleTable *lists;
	SPITupleTable *skus;
	int64	   *count_row;
	int64	   *sku_row;
	ItemPointerData *count_tid;
	ItemPointerData *list_tid;
	ItemPointerData *sku_tid;
	EcBuilt    *count_rows = ec_built_open("recommend_count", 4);
	EcBuilt    *list_rows = ec_built_open("recommend_pair", 6);
	EcBuilt    *sku_rows = ec_built_open("recommend_item", 7);
	EcPairs		before = {0};
	EcPairs		after = {0};
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "ecauto rows", ALLOCSET_DEFAULT_SIZES);

	for (int i = 0; i < absorb->nitems; i++)
		if (absorb->touched[i])
			items[n++] = i;
	array = ec_int_array(items, n);
	count_tid = rows_find("SELECT c.ctid, c.item, c.pairs FROM ecauto_data.recommend_count c "
						  "WHERE c.version = $1 AND NOT c.viewed AND c.item = ANY ($2)", absorb, array, &counts, &count_row);
	list_tid = rows_find("SELECT p.ctid, p.item FROM ecauto_data.recommend_pair p "
						 "WHERE p.version = $1 AND NOT p.viewed AND p.item = ANY ($2)", absorb, array, &lists, NULL);
	sku_tid = rows_find("SELECT i.ctid, i.no, i.sku, i.rank, i.customers, i.repeat_customers FROM ecauto_data.recommend_item i "
						"WHERE i.version = $1 AND i.no = ANY ($2)", absorb, array, &skus, &sku_row);
	ec_pairs_reserve(&before, absorb->nitems);
	for (int i = 0; i < n; i++)
	{
		int			item = items[i];
		int			others[EC_PAIRS_FREQUENT];
		int			frequent[EC_PAIRS_FREQUENT];
		int			nothers;
		Datum		values[7];
		bool		isnull;
		MemoryContext old = MemoryContextSwitchTo(row_context);

		before.n = 0;
		if (ItemPointerIsValid(&count_tid[item]))
		{
			SPI_tuptable = counts;
			ec_pairs_unpack(DatumGetByteaPP(cell(count_row[item], 3, &isnull)), absorb->nitems, &before);
		}
		MemoryContextSwitchTo(old);
		pairs_merge(absorb, item, &before, &after);
		MemoryContextSwitchTo(row_context);

		values[0] = Int64GetDatum(absorb->version);
		values[1] = BoolGetDatum(false);
		values[2] = Int32GetDatum(item);
		if (after.n > 0)
			values[3] = PointerGetDatum(ec_pairs_pack(&after));
		ec_built_change(count_rows, &count_tid[item], after.n > 0 ? values : NULL);

		nothers = ec_pairs_frequent(&after, absorb->order, others, frequent);
		values[1] = Int32GetDatum(item);
		values[2] = BoolGetDatum(false);
		values[3] = ec_int_array(others, nothers);
		values[4] = ec_int_array(frequent, nothers);
		values[5] = Int32GetDatum(absorb->totals[item]);
		ec_built_change(list_rows, &list_tid[item], after.n > 0 ? values : NULL);

		if (!ItemPointerIsValid(&sku_tid[item]))
			elog(ERROR, "version %lld of recommendations is not whole", (long long) absorb->version);
		SPI_tuptable = skus;
		values[1] = Int32GetDatum(item);
		values[2] = cell(sku_row[item], 3, &isnull);
		values[3] = cell(sku_row[item], 4, &isnull);
		values[4] = Int32GetDatum(absorb->totals[item]);
		values[5] = cell(sku_row[item], 5, &isnull);
		values[6] = cell(sku_row[item], 6, &isnull);
		ec_built_replace(sku_rows, &sku_tid[item], values);
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_context);
	}
	ec_built_close(count_rows);
	ec_built_close(list_rows);
	ec_built_close(sku_rows);
	SPI_freetuptable(counts);
	SPI_freetuptable(lists);
	SPI_freetuptable(skus);
	MemoryContextDelete(row_context);
}

/* Write the totals of the items that were touched, or are new. */
static void
totals_change(Absorb *absorb)
{
	static const Oid types[] = {INT8OID};
	int			nchunks = (absorb->nitems + EC_TOTAL_CHUNK - 1) / EC_TOTAL_CHUNK;
	ItemPointerData *tids = palloc0(Max(nchunks, 1) * sizeof(ItemPointerData));
	EcBuilt    *rows = ec_built_open("recommend_total", 4);
	Datum		args[1];
	uint64		found;

	args[0] = Int64GetDatum(absorb->version);
	found = run("SELECT t.ctid, t.chunk FROM ecauto_data.recommend_total t WHERE t.version = $1 AND NOT t.viewed", 1, types, args);
	for (uint64 i = 0; i < found; i++)
	{
		bool		isnull;
		int			chunk = DatumGetInt32(cell(i, 2, &isnull));

		if (chunk >= 0 && chunk < nchunks)
			tids[chunk] = *(ItemPointer) DatumGetPointer(cell(i, 1, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
	for (int chunk = 0; chunk < nchunks; chunk++)
	{
		int			first = chunk * EC_TOTAL_CHUNK;
		int			n = Min(EC_TOTAL_CHUNK, absorb->nitems - first);
		bool		touched = false;
		Datum		values[4];

		for (int i = 0; i < n && !touched; i++)
			touched = absorb->touched[first + i];
		if (!touched)
			continue;
		values[0] = Int64GetDatum(absorb->version);
		values[1] = BoolGetDatum(false);
		values[2] = Int32GetDatum(chunk);
		values[3] = ec_int_array(absorb->totals + first, n);
		ec_built_change(rows, &tids[chunk], values);
	}
	ec_built_close(rows);
}

/* ---- all of it ---- */

/*
 * Bring the version that is read up to date with the orders that changed.
 * The caller is connected to SPI and acts as the owner of the state.  False if
 * that takes a build instead, of which nothing was done yet but to empty the
 * queue; *orders: how many differed, or -1 if a build goes on meanwhile and
 * nothing was done.
 */
bool
ec_recommend_absorb(TimestampTz at, int64 *orders)
{
	static const Oid types[] = {INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID, INT8OID};
	Absorb		absorb = {0};
	bool		isnull;
	Datum		args[5];
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ecauto changed orders", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;

	*orders = -1;
	if (run("SELECT version, built_skus, skus, buckets FROM ecauto_data.recommend_model "
			"WHERE version IS NOT NULL FOR UPDATE SKIP LOCKED", 0, NULL, NULL) != 1)
		return true;

	/*
	 * Arrays out of line are read and replaced outside of statements.  Not
	 * older than the lock: what is read by it is of the version that is
	 * locked.
	 */
	PushCopiedSnapshot(GetTransactionSnapshot());
	old = MemoryContextSwitchTo(context);
	absorb.version = DatumGetInt64(cell(0, 1, &isnull));
	absorb.nbuilt = DatumGetInt32(cell(0, 2, &isnull));
	absorb.nitems = DatumGetInt64(cell(0, 3, &isnull));
	absorb.buckets = DatumGetInt32(cell(0, 4, &isnull));
	absorb.at = at;
	absorb.keys = ec_names_create();
	*orders = 0;
	keys_take(&absorb);
	if (absorb.n > 0)
	{
		orders_read(&absorb);
		if (!absorb.rebuild)
			buckets_change(&absorb);
		if (!absorb.rebuild && absorb.orders > 0)
		{
			absorb.totals = ec_totals_read(absorb.version, false, absorb.nitems);
			deltas_make(&absorb);
		}
		if (!absorb.rebuild && absorb.orders > 0)
		{
			items_change(&absorb);
			totals_change(&absorb);
		}
	}
	args[0] = Int64GetDatum(absorb.norders);
	args[1] = Int64GetDatum(absorb.nitems);
	args[2] = Int64GetDatum(absorb.pairs / 2);
	args[3] = TimestampTzGetDatum(at);
	args[4] = Int64GetDatum(absorb.orders);
	if (!absorb.rebuild)
		run("UPDATE ecauto_data.recommend_model SET orders = orders + $1, skus = $2, pairs = pairs + $3, "
			"counted_until = $4, changed = changed + $5", 5, types, args);
	*orders = absorb.orders;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	PopActiveSnapshot();
	return !absorb.rebuild;
}

/*
 * ecauto.refresh_recommendations() returns bigint
 */
Datum
ecauto_refresh_recommendations(PG_FUNCTION_ARGS)
{
	int64		orders;
	bool		done;
	EcAs		as;

	ec_state_require();
	ec_require_operator("refresh recommendations");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	done = run("SELECT FROM ecauto_data.order_changed WHERE order_key IS NULL", 0, NULL, NULL) == 0 &&
		ec_recommend_absorb(ec_now(), &orders);
	ec_as_end(&as);
	SPI_finish();
	if (!done)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("too much has changed to be brought up to date"),
				 errhint("Run ecauto.build_recommendations().")));
	if (orders < 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(orders);
}

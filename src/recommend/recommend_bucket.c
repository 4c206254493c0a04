/*-------------------------------------------------------------------------
 *
 * recommend_bucket.c
 *		As what each order was counted, some dozens of orders a row.
 *
 * To take an order back when it changes, one must know what it was.  A row
 * for each order would be plainer, but an index on the keys of all orders
 * would cost a build more than counting them; and a thousand new orders of a
 * large shop change as many rows either way.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/array.h"

#include "recommend/recommend.h"

/* In which of so many (a power of 2) buckets an order is. */
int
ec_bucket_of(const char *key, int len, int buckets)
{
	return hash_bytes((const unsigned char *) key, len) & (uint32) (buckets - 1);
}

/* Empty it; memory stays. */
void
ec_bucket_reset(EcBucket *bucket)
{
	bucket->n = 0;
	bucket->nitems = 0;
}

/* Add an order, whose key and items stay where they are.  Memory is of the current context. */
void
ec_bucket_add(EcBucket *bucket, const EcName *order, const int *items, int n)
{
	if (bucket->n == bucket->room)
	{
		bucket->room = Max(2 * bucket->room, 128);
		bucket->order = bucket->order == NULL ? palloc(bucket->room * sizeof(EcName)) :
			repalloc(bucket->order, bucket->room * sizeof(EcName));
		bucket->size = bucket->size == NULL ? palloc(bucket->room * sizeof(int)) :
			repalloc(bucket->size, bucket->room * sizeof(int));
	}
	if (bucket->nitems + n > bucket->item_room)
	{
		bucket->item_room = Max(2 * bucket->item_room, bucket->nitems + n + 512);
		bucket->item = bucket->item == NULL ? palloc_extended(bucket->item_room * sizeof(int), MCXT_ALLOC_HUGE) :
			repalloc_huge(bucket->item, bucket->item_room * sizeof(int));
	}
	bucket->order[bucket->n] = *order;
	bucket->size[bucket->n++] = n;
	memcpy(bucket->item + bucket->nitems, items, n * sizeof(int));
	bucket->nitems += n;
}

/* A text[] of names. */
static Datum
name_array(const EcName *names, int n)
{
	Size		size = ARR_OVERHEAD_NONULLS(1);
	ArrayType  *array;
	char	   *at;

	if (n == 0)
		return PointerGetDatum(construct_empty_array(TEXTOID));
	for (int i = 0; i < n; i++)
		size += INTALIGN(VARHDRSZ + names[i].len);
	array = palloc0(size);
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = TEXTOID;
	ARR_DIMS(array)[0] = n;
	ARR_LBOUND(array)[0] = 1;
	at = ARR_DATA_PTR(array);
	for (int i = 0; i < n; i++)
	{
		SET_VARSIZE(at, VARHDRSZ + names[i].len);
		memcpy(VARDATA(at), names[i].key, names[i].len);
		at += INTALIGN(VARHDRSZ + names[i].len);
	}
	return PointerGetDatum(array);
}

/* The columns of its row: version, number, orders, sizes, items. */
void
ec_bucket_values(const EcBucket *bucket, int64 version, int number, Datum *values)
{
	values[0] = Int64GetDatum(version);
	values[1] = Int32GetDatum(number);
	values[2] = name_array(bucket->order, bucket->n);
	values[3] = ec_int_array(bucket->size, bucket->n);
	values[4] = ec_int_array(bucket->item, bucket->nitems);
}

/*
 * Add what a row holds.  Keys stay in the array "orders".  Raises
 * data_corrupted if the arrays do not fit each other.
 */
void
ec_bucket_read(EcBucket *bucket, ArrayType *orders, ArrayType *sizes, ArrayType *items)
{
	int			n = ArrayGetNItems(ARR_NDIM(orders), ARR_DIMS(orders));
	const int  *size = (const int *) ARR_DATA_PTR(sizes);
	const int  *item = (const int *) ARR_DATA_PTR(items);
	int64		nitems = ArrayGetNItems(ARR_NDIM(items), ARR_DIMS(items));
	char	   *at = ARR_DATA_PTR(orders);
	bool		damaged = ARR_HASNULL(orders) || ARR_HASNULL(sizes) || ARR_HASNULL(items) ||
		ArrayGetNItems(ARR_NDIM(sizes), ARR_DIMS(sizes)) != n;

	for (int i = 0; i < n && !damaged; i++)
	{
		EcName		name;

		/* elements of an array are as construct_array() aligns them, short headers too */
		at = (char *) att_align_pointer(at, TYPALIGN_INT, -1, at);
		name.key = VARDATA_ANY(at);
		name.len = VARSIZE_ANY_EXHDR(at);
		at += VARSIZE_ANY(at);
		damaged = size[i] < 0 || size[i] > nitems;
		if (damaged)
			break;
		ec_bucket_add(bucket, &name, item, size[i]);
		item += size[i];
		nitems -= size[i];
	}
	if (damaged || nitems != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("stored baskets are damaged"),
				 errhint("Run ecauto.build_recommendations().")));
}

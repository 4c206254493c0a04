/*-------------------------------------------------------------------------
 *
 * recommend_basket_set.c
 *		Co-occurrence of anything in any baskets: the aggregate's state.
 *
 * ecauto.co_occurrence(basket, item [, at]) collects who is in which basket
 * into a value of type ecauto.basket_set; ecauto.pairs() counts it
 * (recommend_pair_figures.c).  The state is an ordinary type with text input
 * and output, so partial states travel between parallel workers and servers.
 *
 * In memory it is an expanded object with tables of keys.  Flat, baskets and
 * items are in the order of their keys, so that equal sets are equal bytes,
 * whoever collected them in whatever order.
 *
 * Its memory is bounded by maintenance_work_mem.  What does not fit is
 * sampled: a set of level k holds the baskets whose hash ends in k zeros, and
 * the level is the lowest at which the set fits.  Since a set only grows, and
 * its size depends on what is in it alone, that level is the same in any
 * order and any split among workers.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/expandeddatum.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "recommend/recommend.h"
#include "recommend/recommend_basket_set.h"

PG_FUNCTION_INFO_V1(ecauto_basket_set_in);
PG_FUNCTION_INFO_V1(ecauto_basket_set_out);
PG_FUNCTION_INFO_V1(ecauto_basket_set_put);
PG_FUNCTION_INFO_V1(ecauto_basket_set_combine);

#define FLAT_MAGIC 0x45434253

/* what a basket, an item and an item in a basket count as, besides their keys, in bytes */
#define BASKET_BYTES 64
#define ITEM_BYTES 64
#define ENTRY_BYTES 24

/* highest level: one basket of a million */
#define LEVEL_MAX 20

/* ---- what is in it ---- */

static inline uint64
entry_make(int basket, int item)
{
	return (uint64) (uint32) basket << 32 | (uint32) item;
}

/* The place of an entry, or where it belongs; 0 is free, so entries are kept + 1. */
static uint64 *
entry_place(const EcBasketSet *set, uint64 entry)
{
	/* Fibonacci hashing (Knuth, vol. 3, 6.4) */
	Size		at = (Size) ((entry * UINT64CONST(0x9E3779B97F4A7C15)) >> 24) & (set->nplaces - 1);

	while (set->place[at] != 0 && set->place[at] != entry + 1)
		at = (at + 1) & (set->nplaces - 1);
	return &set->place[at];
}

static void
set_clear(EcBasketSet *set)
{
	MemoryContext old;

	set->keys = AllocSetContextCreate(set->eoh.eoh_context, "ecauto basket keys", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(set->keys);
	set->baskets = ec_names_create();
	set->items = ec_names_create();
	set->basket_room = 256;
	set->at = palloc(set->basket_room * sizeof(TimestampTz));
	set->nplaces = 1024;
	set->place = palloc0(set->nplaces * sizeof(uint64));
	set->n = 0;
	set->bytes = 0;
	MemoryContextSwitchTo(old);
}

static bool
level_has(int level, const char *basket, int len)
{
	/* not the hash of the table of keys, whose last bits are used there */
	return (hash_bytes_extended((const unsigned char *) basket, len, 1) & ((UINT64CONST(1) << level) - 1)) == 0;
}

static void set_put(EcBasketSet *set, const EcName *basket, const EcName *item, TimestampTz at);

/* Keep the baskets of a level, which is higher.  May end at one that is higher still. */
static void
set_sample(EcBasketSet *set, int level)
{
	EcBasketSet before = *set;

	set->level = level;
	set_clear(set);
	for (Size i = 0; i < before.nplaces; i++)
		if (before.place[i] != 0)
		{
			uint64		entry = before.place[i] - 1;
			int			basket = entry >> 32;

			set_put(set, ec_names_get(before.baskets, basket), ec_names_get(before.items, (int) (uint32) entry),
					before.at[basket]);
		}
	MemoryContextDelete(before.keys);
}

/* Put an item into a basket, which is as late as the latest time told of it. */
static void
set_put(EcBasketSet *set, const EcName *basket, const EcName *item, TimestampTz at)
{
	MemoryContext old;
	int			n;
	int			basket_no;
	uint64		entry;
	uint64	   *place;

	if (set->level > 0 && !level_has(set->level, basket->key, basket->len))
		return;
	old = MemoryContextSwitchTo(set->keys);
	n = ec_names_count(set->baskets);
	basket_no = ec_names_put(set->baskets, basket->key, basket->len);
	if (basket_no == n)
	{
		if (n == set->basket_room)
		{
			set->basket_room *= 2;
			set->at = repalloc_huge(set->at, set->basket_room * sizeof(TimestampTz));
		}
		set->at[n] = DT_NOBEGIN;
		set->bytes += BASKET_BYTES + basket->len;
	}
	set->at[basket_no] = Max(set->at[basket_no], at);
	n = ec_names_count(set->items);
	entry = entry_make(basket_no, ec_names_put(set->items, item->key, item->len));
	if (ec_names_count(set->items) > n)
		set->bytes += ITEM_BYTES + item->len;
	place = entry_place(set, entry);
	if (*place == 0)
	{
		if ((Size) set->n * 2 >= set->nplaces)
		{
			uint64	   *before = set->place;
			Size		size = set->nplaces;

			set->nplaces *= 2;
			set->place = palloc_extended(set->nplaces * sizeof(uint64), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
			for (Size i = 0; i < size; i++)
				if (before[i] != 0)
					*entry_place(set, before[i] - 1) = before[i];
			pfree(before);
			place = entry_place(set, entry);
		}
		*place = entry + 1;
		set->n++;
		set->bytes += ENTRY_BYTES;
	}
	MemoryContextSwitchTo(old);
	if (set->bytes > (Size) maintenance_work_mem * 1024 && set->level < LEVEL_MAX)
		set_sample(set, set->level + 1);
}

/* ---- flat ---- */

static int
name_compare(const void *a, const void *b)
{
	const EcBasketSetKey *left = a;
	const EcBasketSetKey *right = b;
	int			order = memcmp(left->name.key, right->name.key, Min(left->name.len, right->name.len));

	return order != 0 ? order : (left->name.len > right->name.len) - (left->name.len < right->name.len);
}

static EcBasketSetKey *
names_sorted(const EcNames *names)
{
	int			n = ec_names_count(names);
	EcBasketSetKey *keys = palloc_extended(Max(n, 1) * sizeof(EcBasketSetKey), MCXT_ALLOC_HUGE);

	for (int i = 0; i < n; i++)
		keys[i] = (EcBasketSetKey) {*ec_names_get(names, i), i};
	qsort(keys, n, sizeof(EcBasketSetKey), name_compare);
	return keys;
}

static int
int_compare(const void *a, const void *b)
{
	int			left = *(const int *) a;
	int			right = *(const int *) b;

	return (left > right) - (left < right);
}

/*
 * What is in a set in the order of keys, in the current context: baskets, items,
 * and the items of basket i from start[i] to start[i + 1] in item, ascending.
 */
EcBasketSetSorted *
ec_basket_set_sort(const EcBasketSet *set)
{
	EcBasketSetSorted *sorted = palloc0(sizeof(EcBasketSetSorted));
	int			nbaskets = ec_names_count(set->baskets);
	int			nitems = ec_names_count(set->items);
	int		   *basket_to = palloc_extended(Max(nbaskets, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	int		   *item_to = palloc_extended(Max(nitems, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	int64	   *next;

	sorted->nbaskets = nbaskets;
	sorted->nitems = nitems;
	sorted->basket = names_sorted(set->baskets);
	sorted->sku = names_sorted(set->items);
	for (int i = 0; i < nbaskets; i++)
		basket_to[sorted->basket[i].number] = i;
	for (int i = 0; i < nitems; i++)
		item_to[sorted->sku[i].number] = i;
	sorted->start = palloc_extended((nbaskets + 1) * sizeof(int64), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	sorted->item = palloc_extended(Max(set->n, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	for (Size i = 0; i < set->nplaces; i++)
		if (set->place[i] != 0)
			sorted->start[basket_to[(set->place[i] - 1) >> 32] + 1]++;
	for (int i = 0; i < nbaskets; i++)
		sorted->start[i + 1] += sorted->start[i];
	next = palloc_extended((nbaskets + 1) * sizeof(int64), MCXT_ALLOC_HUGE);
	memcpy(next, sorted->start, nbaskets * sizeof(int64));
	for (Size i = 0; i < set->nplaces; i++)
		if (set->place[i] != 0)
			sorted->item[next[basket_to[(set->place[i] - 1) >> 32]]++] = item_to[(uint32) (set->place[i] - 1)];
	for (int i = 0; i < nbaskets; i++)
		qsort(sorted->item + sorted->start[i], sorted->start[i + 1] - sorted->start[i], sizeof(int), int_compare);
	pfree(next);
	pfree(basket_to);
	pfree(item_to);
	return sorted;
}

static inline char *
bytes_put(char *at, const void *from, Size n)
{
	memcpy(at, from, n);
	return at + n;
}

/* EOM_get_flat_size_method */
static Size
set_flat_size(ExpandedObjectHeader *eohptr)
{
	EcBasketSet *set = (EcBasketSet *) eohptr;
	Size		size = VARHDRSZ + 4 * sizeof(int);
	int			nbaskets = ec_names_count(set->baskets);
	int			nitems = ec_names_count(set->items);

	for (int i = 0; i < nitems; i++)
		size += sizeof(int) + ec_names_get(set->items, i)->len;
	for (int i = 0; i < nbaskets; i++)
		size += sizeof(TimestampTz) + 2 * sizeof(int) + ec_names_get(set->baskets, i)->len;
	size += set->n * sizeof(int);
	if (size > MaxAllocSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a set of baskets is too large to be passed on"),
				 errdetail("It has %d baskets and %lld items in them.", nbaskets, (long long) set->n),
				 errhint("Lower \"maintenance_work_mem\", so that baskets are sampled.")));
	return size;
}

/* EOM_flatten_into_method */
static void
set_flatten(ExpandedObjectHeader *eohptr, void *result, Size size)
{
	EcBasketSet *set = (EcBasketSet *) eohptr;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ecauto flat baskets", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	EcBasketSetSorted *sorted = ec_basket_set_sort(set);
	int			head[4] = {FLAT_MAGIC, set->level, sorted->nbaskets, sorted->nitems};
	char	   *at = VARDATA(result);

	SET_VARSIZE(result, size);
	at = bytes_put(at, head, sizeof(head));
	for (int i = 0; i < sorted->nitems; i++)
	{
		at = bytes_put(at, &sorted->sku[i].name.len, sizeof(int));
		at = bytes_put(at, sorted->sku[i].name.key, sorted->sku[i].name.len);
	}
	for (int i = 0; i < sorted->nbaskets; i++)
	{
		int			n = sorted->start[i + 1] - sorted->start[i];

		at = bytes_put(at, &set->at[sorted->basket[i].number], sizeof(TimestampTz));
		at = bytes_put(at, &sorted->basket[i].name.len, sizeof(int));
		at = bytes_put(at, sorted->basket[i].name.key, sorted->basket[i].name.len);
		at = bytes_put(at, &n, sizeof(int));
		at = bytes_put(at, sorted->item + sorted->start[i], n * sizeof(int));
	}
	Assert(at == (char *) result + size);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

static const ExpandedObjectMethods set_methods = {set_flat_size, set_flatten};

/* An empty one, of its own context below parent. */
static EcBasketSet *
set_create(MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "ecauto baskets", ALLOCSET_SMALL_SIZES);
	EcBasketSet *set = MemoryContextAllocZero(context, sizeof(EcBasketSet));

	EOH_init_header(&set->eoh, &set_methods, context);
	set_clear(set);
	return set;
}

static const char *
bytes_get(const char *at, const char *end, void *to, Size n)
{
	if (n > (Size) (end - at))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a stored set of baskets is damaged")));
	memcpy(to, at, n);
	return at + n;
}

static const char *
name_get(const char *at, const char *end, EcName *name)
{
	at = bytes_get(at, end, &name->len, sizeof(int));
	if (name->len < 0 || name->len > end - at)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a stored set of baskets is damaged")));
	name->key = at;
	return at + name->len;
}

/* Put all of a flat set into another one. */
static void
set_add_flat(EcBasketSet *set, struct varlena *flat)
{
	const char *at = VARDATA_ANY(flat);
	const char *end = at + VARSIZE_ANY_EXHDR(flat);
	int			head[4];
	EcName	   *items;

	at = bytes_get(at, end, head, sizeof(head));
	if (head[0] != FLAT_MAGIC || head[1] < 0 || head[1] > LEVEL_MAX || head[2] < 0 || head[3] < 0 ||
		head[3] > (end - at) / (int) sizeof(int))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a stored set of baskets is damaged")));
	if (head[1] > set->level)
		set_sample(set, head[1]);
	items = palloc_extended(Max(head[3], 1) * sizeof(EcName), MCXT_ALLOC_HUGE);
	for (int i = 0; i < head[3]; i++)
		at = name_get(at, end, &items[i]);
	for (int i = 0; i < head[2]; i++)
	{
		TimestampTz when;
		EcName		basket;
		int			n;

		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		at = bytes_get(at, end, &when, sizeof(when));
		at = name_get(at, end, &basket);
		at = bytes_get(at, end, &n, sizeof(int));
		for (int k = 0; k < n; k++)
		{
			int			item;

			at = bytes_get(at, end, &item, sizeof(int));
			if (item < 0 || item >= head[3])
				ereport(ERROR,
						(errcode(ERRCODE_DATA_CORRUPTED),
						 errmsg("a stored set of baskets is damaged")));
			set_put(set, &basket, &items[item], when);
		}
	}
	pfree(items);
}

static bool
is_set(Datum value)
{
	return VARATT_IS_EXTERNAL_EXPANDED(DatumGetPointer(value)) &&
		DatumGetEOHP(value)->eoh_methods == &set_methods;
}

/* An argument, to be read only. */
EcBasketSet *
ec_basket_set_get(Datum value)
{
	EcBasketSet *set;

	if (is_set(value))
		return (EcBasketSet *) DatumGetEOHP(value);
	set = set_create(CurrentMemoryContext);
	set_add_flat(set, PG_DETOAST_DATUM_PACKED(value));
	return set;
}

/* ---- the aggregate ---- */

/* The state to change: the aggregate's own, or a copy in its context. */
static EcBasketSet *
state_get(FunctionCallInfo fcinfo)
{
	MemoryContext context;
	EcBasketSet *set;

	if (!AggCheckCallContext(fcinfo, &context))
		context = CurrentMemoryContext;
	if (PG_ARGISNULL(0))
		return set_create(context);
	if (is_set(PG_GETARG_DATUM(0)) && VARATT_IS_EXTERNAL_EXPANDED_RW(DatumGetPointer(PG_GETARG_DATUM(0))))
		return (EcBasketSet *) DatumGetEOHP(PG_GETARG_DATUM(0));
	set = set_create(context);
	if (is_set(PG_GETARG_DATUM(0)))
	{
		Size		size = EOH_get_flat_size(DatumGetEOHP(PG_GETARG_DATUM(0)));
		struct varlena *flat = palloc(size);

		EOH_flatten_into(DatumGetEOHP(PG_GETARG_DATUM(0)), flat, size);
		set_add_flat(set, flat);
		pfree(flat);
	}
	else
		set_add_flat(set, PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(0)));
	return set;
}

/*
 * ecauto.basket_set_put(state, basket text, item text [, at timestamptz])
 *
 * A row without basket or item says nothing.
 */
Datum
ecauto_basket_set_put(PG_FUNCTION_ARGS)
{
	EcBasketSet *set;
	text	   *value;
	EcName		basket;
	EcName		item;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
	{
		if (PG_ARGISNULL(0))
			PG_RETURN_NULL();
		return PG_GETARG_DATUM(0);
	}
	set = state_get(fcinfo);
	value = PG_GETARG_TEXT_PP(1);
	basket = (EcName) {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
	value = PG_GETARG_TEXT_PP(2);
	item = (EcName) {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
	set_put(set, &basket, &item, PG_NARGS() > 3 && !PG_ARGISNULL(3) ? PG_GETARG_TIMESTAMPTZ(3) : DT_NOBEGIN);
	PG_RETURN_DATUM(EOHPGetRWDatum(&set->eoh));
}

/* ecauto.basket_set_combine(state, state); NULL of two NULLs */
Datum
ecauto_basket_set_combine(PG_FUNCTION_ARGS)
{
	EcBasketSet *set;
	Datum		other;

	if (PG_ARGISNULL(1))
	{
		if (PG_ARGISNULL(0))
			PG_RETURN_NULL();
		return PG_GETARG_DATUM(0);
	}
	set = state_get(fcinfo);
	other = PG_GETARG_DATUM(1);
	if (is_set(other))
	{
		Size		size = EOH_get_flat_size(DatumGetEOHP(other));
		struct varlena *flat = palloc(size);

		EOH_flatten_into(DatumGetEOHP(other), flat, size);
		set_add_flat(set, flat);
		pfree(flat);
	}
	else
		set_add_flat(set, PG_DETOAST_DATUM_PACKED(other));
	PG_RETURN_DATUM(EOHPGetRWDatum(&set->eoh));
}

/* ---- text ---- */

/* {"level": 0, "baskets": [["basket", at, ["item", ...]], ...]}; at: microseconds since 2000 UTC, or null */
Datum
ecauto_basket_set_out(PG_FUNCTION_ARGS)
{
	EcBasketSet *set = ec_basket_set_get(PG_GETARG_DATUM(0));
	EcBasketSetSorted *sorted = ec_basket_set_sort(set);
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, "{\"level\": %d, \"baskets\": [", set->level);
	for (int i = 0; i < sorted->nbaskets; i++)
	{
		TimestampTz at = set->at[sorted->basket[i].number];

		appendStringInfoString(&out, i > 0 ? ", [" : "[");
		escape_json(&out, pnstrdup(sorted->basket[i].name.key, sorted->basket[i].name.len));
		if (at == DT_NOBEGIN)
			appendStringInfoString(&out, ", null, [");
		else
			appendStringInfo(&out, ", %lld, [", (long long) at);
		for (int64 k = sorted->start[i]; k < sorted->start[i + 1]; k++)
		{
			const EcName *sku = &sorted->sku[sorted->item[k]].name;

			if (k > sorted->start[i])
				appendStringInfoString(&out, ", ");
			escape_json(&out, pnstrdup(sku->key, sku->len));
		}
		appendStringInfoString(&out, "]]");
	}
	appendStringInfoString(&out, "]}");
	PG_RETURN_CSTRING(out.data);
}

pg_noreturn static void
text_error(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid input syntax for type %s", "ecauto.basket_set"),
			 errdetail("%s", what)));
}

/* A member of an array or object that must be there and of this kind. */
static JsonbValue *
member(JsonbValue *value, enum jbvType type, const char *what)
{
	if (value == NULL || value->type != type)
		text_error(what);
	return value;
}

Datum
ecauto_basket_set_in(PG_FUNCTION_ARGS)
{
	Jsonb	   *jsonb = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, PG_GETARG_DATUM(0)));
	EcBasketSet *set = set_create(CurrentMemoryContext);
	JsonbValue *value;
	JsonbContainer *baskets;
	int			level;

	if (!JB_ROOT_IS_OBJECT(jsonb))
		text_error("It is not an object.");
	value = member(getKeyJsonValueFromContainer(&jsonb->root, "level", 5, NULL), jbvNumeric, "\"level\" must be a number.");
	level = DatumGetInt32(DirectFunctionCall1(numeric_int4, NumericGetDatum(value->val.numeric)));
	if (level < 0 || level > LEVEL_MAX)
		text_error("\"level\" must be between 0 and 20.");
	set->level = level;
	value = member(getKeyJsonValueFromContainer(&jsonb->root, "baskets", 7, NULL), jbvBinary, "\"baskets\" must be an array.");
	baskets = value->val.binary.data;
	if (!JsonContainerIsArray(baskets))
		text_error("\"baskets\" must be an array.");
	for (uint32 i = 0; i < JsonContainerSize(baskets); i++)
	{
		JsonbContainer *basket;
		JsonbContainer *items;
		JsonbValue *key;
		JsonbValue *when;
		TimestampTz at = DT_NOBEGIN;

		value = member(getIthJsonbValueFromContainer(baskets, i), jbvBinary, "A basket must be an array.");
		basket = value->val.binary.data;
		if (!JsonContainerIsArray(basket) || JsonContainerSize(basket) != 3)
			text_error("A basket must be an array of its key, a time and its items.");
		key = member(getIthJsonbValueFromContainer(basket, 0), jbvString, "The key of a basket must be a string.");
		when = getIthJsonbValueFromContainer(basket, 1);
		if (when->type == jbvNumeric)
			at = DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(when->val.numeric)));
		else if (when->type != jbvNull)
			text_error("The time of a basket must be a number or null.");
		value = member(getIthJsonbValueFromContainer(basket, 2), jbvBinary, "The items of a basket must be an array.");
		items = value->val.binary.data;
		if (!JsonContainerIsArray(items))
			text_error("The items of a basket must be an array.");
		for (uint32 k = 0; k < JsonContainerSize(items); k++)
		{
			JsonbValue *item = member(getIthJsonbValueFromContainer(items, k), jbvString, "An item must be a string.");
			EcName		basket_name = {key->val.string.val, key->val.string.len};
			EcName		item_name = {item->val.string.val, item->val.string.len};

			set_put(set, &basket_name, &item_name, at);
		}
	}
	PG_RETURN_DATUM(EOHPGetRODatum(&set->eoh));
}

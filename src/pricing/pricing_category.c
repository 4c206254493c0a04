/*-------------------------------------------------------------------------
 *
 * pricing_category.c
 *		The tree of the shop's categories, for rules by category.
 *
 * What is said of a category holds for those below it, too.  Shops keep trees
 * as parent keys, and nothing stops some of them from making a circle, which
 * then has no top: one parent is left out, and a warning names it.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/core.h"
#include "pricing/pricing.h"
#include "pricing/pricing_category.h"
#include "shop/shop.h"

PG_FUNCTION_INFO_V1(ecauto_price_category_holds);

typedef struct CategoryRead
{
	EcCategories *categories;
	int			size;
} CategoryRead;

static void
room_make(CategoryRead *read, int number)
{
	int			size = read->size;

	if (number < size)
		return;
	size = Max(size * 2, number + 64);
	read->categories->parents = repalloc_huge(read->categories->parents, size * sizeof(int));
	for (int i = read->size; i < size; i++)
		read->categories->parents[i] = -1;
	read->size = size;
}

/* EcRowTake: key, parent_key */
static void
category_take(TupleTableSlot *slot, void *arg)
{
	CategoryRead *read = arg;
	EcKeyMap   *keys = read->categories->keys;
	int			number;
	int			parent;

	slot_getallattrs(slot);
	if (slot->tts_isnull[0])
		return;
	number = ec_key_map_put_text(keys, slot->tts_values[0]);
	room_make(read, number);
	if (slot->tts_isnull[1])
		return;
	parent = ec_key_map_put_text(keys, slot->tts_values[1]);
	room_make(read, parent);
	read->categories->parents[number] = parent;
}

/*
 * Open a circle that a category is part of: the one of its members whose key
 * comes first has no parent.
 */
static void
circle_open(EcCategories *categories, int member)
{
	int			first = member;

	for (int c = categories->parents[member]; c != member; c = categories->parents[c])
	{
		if (strcmp(text_to_cstring(ec_key_map_key(categories->keys, c)),
				   text_to_cstring(ec_key_map_key(categories->keys, first))) < 0)
			first = c;
	}
	ereport(WARNING,
			(errcode(ERRCODE_INVALID_RECURSION),
			 errmsg("categories form a circle"),
			 errdetail("Category \"%s\" lies below itself; its parent \"%s\" is not followed.",
					   text_to_cstring(ec_key_map_key(categories->keys, first)),
					   text_to_cstring(ec_key_map_key(categories->keys, categories->parents[first]))),
			 errhint("Mend the parents of these categories in the shop.")));
	categories->parents[first] = -1;
}

/*
 * How deep each category lies.  A category on the way up that we have come
 * through already is part of a circle.
 */
static void
depths_find(EcCategories *categories)
{
	int			n = ec_key_map_count(categories->keys);
	int		   *way = palloc((n + 1) * sizeof(int));
	int		   *depths = categories->depths = palloc((n + 1) * sizeof(int));

	for (int i = 0; i < n; i++)
		depths[i] = -1;			/* not known */
	for (int i = 0; i < n; i++)
	{
		int			length = 0;
		int			c = i;
		int			depth;

		while (c >= 0 && depths[c] == -1)
		{
			depths[c] = -2;		/* on the way */
			way[length++] = c;
			c = categories->parents[c];
		}
		if (c >= 0 && depths[c] == -2)
		{
			circle_open(categories, c);
			while (length > 0)
				depths[way[--length]] = -1;
			i--;				/* again, and to the end now */
			continue;
		}
		depth = c < 0 ? -1 : depths[c];
		while (length > 0)
			depths[way[--length]] = ++depth;
	}
	pfree(way);
}

/*
 * Read the categories, into the current context.  A shop without role
 * "category" has none, and each that is named elsewhere is on its own.
 */
EcCategories *
ec_categories_read(void)
{
	static const char *const columns[] = {"key", "parent_key"};
	EcBinding  *binding = ec_binding_get("category");
	CategoryRead read;

	read.categories = palloc0(sizeof(EcCategories));
	read.categories->keys = ec_key_map_create(64);
	read.size = 64;
	read.categories->parents = palloc(read.size * sizeof(int));
	for (int i = 0; i < read.size; i++)
		read.categories->parents[i] = -1;
	if (binding != NULL)
		(void) ec_binding_scan(binding, columns, lengthof(columns), false, NULL, category_take, &read);
	depths_find(read.categories);
	return read.categories;
}

typedef struct Holds
{
	const EcCategories *categories;
	int			wanted;
	bool		holds;
} Holds;

/* EcRowTake: category_key */
static void
product_category_take(TupleTableSlot *slot, void *arg)
{
	Holds	   *holds = arg;
	bool		isnull;
	Datum		key = slot_getattr(slot, 1, &isnull);

	if (isnull)
		return;
	for (int c = ec_key_map_find_text(holds->categories->keys, key); c >= 0; c = holds->categories->parents[c])
		if (c == holds->wanted)
			holds->holds = true;
}

/*
 * ecauto.price_category_holds(category text, sku text) returns boolean
 */
Datum
ecauto_price_category_holds(PG_FUNCTION_ARGS)
{
	static const char *const columns[] = {"category_key"};
	static const Oid types[] = {TEXTOID};
	EcBinding  *binding;
	Holds		holds = {0};
	Datum		sku = PG_GETARG_DATUM(1);
	Datum		product = (Datum) 0;
	MemoryContext caller = CurrentMemoryContext;

	ec_state_require();
	binding = ec_binding_get("product_category");
	if (binding == NULL)
		PG_RETURN_BOOL(false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_pricing_run("SELECT s.product_key FROM ecauto_data.seen_sku s WHERE s.key = $1", 1, types, &sku,
				   NULL, SPI_OK_SELECT);
	if (SPI_processed == 1)
	{
		char	   *key = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		MemoryContext spi = MemoryContextSwitchTo(caller);

		if (key != NULL)
			product = CStringGetTextDatum(key);
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	if (product == (Datum) 0)
		PG_RETURN_BOOL(false);
	holds.categories = ec_categories_read();
	holds.wanted = ec_key_map_find_text(holds.categories->keys, PG_GETARG_DATUM(0));
	(void) ec_binding_scan(binding, columns, lengthof(columns), false,
						   construct_array(&product, 1, TEXTOID, -1, false, TYPALIGN_INT),
						   product_category_take, &holds);
	PG_RETURN_BOOL(holds.holds);
}

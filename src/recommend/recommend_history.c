/*-------------------------------------------------------------------------
 *
 * recommend_history.c
 *		What was bought and looked at, from the state into memory.
 *
 * Orders and their lines are read by one scan each, without a join: keys
 * become numbers as they come (recommend_name.c), and numbers are put in an
 * order that depends on the keys and times alone, so that the same history
 * gives the same model however its rows lie on disk.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "recommend/recommend.h"

/* what was looked at longer ago does not count, in days */
#define VIEW_DAYS 90

static const char orders_sql[] =
	"SELECT o.key, o.placed_at, coalesce(o.customer_key, f.key), c.country, coalesce(o.is_refunded, false)\n"
	"FROM ecauto_data.seen_order o\n"
	"LEFT JOIN ecauto_data.customer_fact f ON o.customer_key IS NULL AND f.guest_email = o.email\n"
	"LEFT JOIN ecauto_data.seen_customer c ON c.key = coalesce(o.customer_key, f.key)\n"
	"WHERE " EC_ORDER_COUNTS;

static const char lines_sql[] =
	"SELECT i.order_key, i.sku FROM ecauto_data.order_item i WHERE " EC_ITEM_COUNTS;

/* the last instant at which a visitor looked at anything is that of his basket */
static const char views_sql[] =
	"SELECT v.who, pg_catalog.max(v.at) OVER (PARTITION BY v.who), v.sku FROM (\n"
	"  SELECT coalesce(e.customer, i.customer, e.session) AS who, e.at, e.sku FROM ecauto_data.event e\n"
	"  LEFT JOIN ecauto_data.identity i ON e.customer IS NULL AND i.session = e.session\n"
	"  WHERE e.kind = 'view' AND e.role IS NULL AND e.sku IS NOT NULL AND e.at > $2 AND e.at <= $1\n"
	"    AND NOT EXISTS (SELECT FROM ecauto_data.no_profile n WHERE n.customer = coalesce(e.customer, i.customer))) v\n"
	"WHERE v.who IS NOT NULL";

/* Growing lists while rows come. */
typedef struct Pile
{
	DestReceiver pub;			/* must be first */
	MemoryContext context;
	EcNames    *skus;
	EcNames    *baskets;
	EcNames    *users;
	EcNames    *countries;
	EcBasket   *basket;
	int			basket_room;
	int			nobody;			/* baskets of nobody */
	EcHad	   *had;			/* user: number of the basket */
	int64		n;
	int64		room;
} Pile;

static bool
column_name(TupleTableSlot *slot, int column, EcName *name)
{
	text	   *value;

	if (slot->tts_isnull[column])
		return false;
	value = PG_DETOAST_DATUM_PACKED(slot->tts_values[column]);
	name->key = VARDATA_ANY(value);
	name->len = VARSIZE_ANY_EXHDR(value);
	return true;
}

static EcBasket *
pile_basket(Pile *pile, const EcName *key, TimestampTz at)
{
	int			number = ec_names_put(pile->baskets, key->key, key->len);
	EcBasket   *basket;

	if (number >= pile->basket_room)
	{
		pile->basket_room *= 2;
		pile->basket = repalloc_huge(pile->basket, pile->basket_room * sizeof(EcBasket));
	}
	basket = &pile->basket[number];
	memset(basket, 0, sizeof(EcBasket));
	basket->at = at;
	basket->country = -1;
	basket->user = number;
	return basket;
}

static void
pile_item(Pile *pile, int basket, const EcName *sku)
{
	if (pile->n == pile->room)
	{
		pile->room *= 2;
		pile->had = repalloc_huge(pile->had, pile->room * sizeof(EcHad));
	}
	pile->had[pile->n].user = basket;
	pile->had[pile->n].item = ec_names_put(pile->skus, sku->key, sku->len);
	pile->n++;
}

/* DestReceiver of orders_sql */
static bool
take_order(TupleTableSlot *slot, DestReceiver *self)
{
	Pile	   *pile = (Pile *) self;
	MemoryContext old = MemoryContextSwitchTo(pile->context);
	EcName		key;
	EcName		name;
	EcBasket   *basket;

	slot_getallattrs(slot);
	if (column_name(slot, 0, &key))
	{
		basket = pile_basket(pile, &key, DatumGetTimestampTz(slot->tts_values[1]));
		/* numbers of users from 0; of nobody's baskets from -1 down */
		if (column_name(slot, 2, &name))
			basket->user = ec_names_put(pile->users, name.key, name.len);
		else
			basket->user = -1 - pile->nobody++;
		if (column_name(slot, 3, &name) && name.len > 0)
			basket->country = ec_names_put(pile->countries, name.key, name.len);
		basket->returned = DatumGetBool(slot->tts_values[4]);
	}
	MemoryContextSwitchTo(old);
	return true;
}

/* DestReceiver of lines_sql */
static bool
take_line(TupleTableSlot *slot, DestReceiver *self)
{
	Pile	   *pile = (Pile *) self;
	MemoryContext old = MemoryContextSwitchTo(pile->context);
	EcName		key;
	EcName		sku;
	int			basket;

	slot_getallattrs(slot);
	if (column_name(slot, 0, &key) && column_name(slot, 1, &sku) &&
		(basket = ec_names_find(pile->baskets, key.key, key.len)) >= 0)
		pile_item(pile, basket, &sku);
	MemoryContextSwitchTo(old);
	return true;
}

/* DestReceiver of views_sql */
static bool
take_view(TupleTableSlot *slot, DestReceiver *self)
{
	Pile	   *pile = (Pile *) self;
	MemoryContext old = MemoryContextSwitchTo(pile->context);
	EcName		key;
	EcName		sku;

	slot_getallattrs(slot);
	if (column_name(slot, 0, &key) && column_name(slot, 2, &sku))
	{
		EcBasket   *basket = pile_basket(pile, &key, DatumGetTimestampTz(slot->tts_values[1]));

		basket->user = basket - pile->basket;
		pile_item(pile, basket - pile->basket, &sku);
	}
	MemoryContextSwitchTo(old);
	return true;
}

static void
take_startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
take_end(DestReceiver *self)
{
}

/* The caller is connected to SPI and acts as the owner of the state. */
static void
pile_read(Pile *pile, const char *sql, bool (*take) (TupleTableSlot *, DestReceiver *),
		  int nargs, const Datum *values)
{
	SPIExecuteOptions options = {0};

	pile->pub.receiveSlot = take;
	pile->pub.rStartup = take_startup;
	pile->pub.rShutdown = take_end;
	pile->pub.rDestroy = take_end;
	pile->pub.mydest = DestSQLFunction;
	options.read_only = true;
	options.dest = &pile->pub;
	options.params = makeParamList(nargs);
	for (int i = 0; i < nargs; i++)
	{
		options.params->params[i].value = values[i];
		options.params->params[i].isnull = false;
		options.params->params[i].pflags = PARAM_FLAG_CONST;
		options.params->params[i].ptype = TIMESTAMPTZOID;
	}
	if (SPI_execute_extended(sql, &options) != SPI_OK_SELECT)
		elog(ERROR, "could not read the history of the shop");
}

static void
pile_init(Pile *pile, EcNames *skus, EcNames *countries)
{
	memset(pile, 0, sizeof(*pile));
	pile->context = CurrentMemoryContext;
	pile->skus = skus;
	pile->baskets = ec_names_create();
	pile->users = ec_names_create();
	pile->countries = countries;
	pile->basket_room = 1024;
	pile->basket = palloc(pile->basket_room * sizeof(EcBasket));
	pile->room = 4096;
	pile->had = palloc(pile->room * sizeof(EcHad));
}

static int
name_compare(const EcName *a, const EcName *b)
{
	int			order = memcmp(a->key, b->key, Min(a->len, b->len));

	return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static int
basket_compare(const void *a, const void *b)
{
	const EcBasket *left = a;
	const EcBasket *right = b;
	EcName		left_key = {left->key, left->len};
	EcName		right_key = {right->key, right->len};

	if (left->at != right->at)
		return left->at < right->at ? -1 : 1;
	return name_compare(&left_key, &right_key);
}

static int
item_compare(const void *a, const void *b)
{
	int			left = *(const int *) a;
	int			right = *(const int *) b;

	return (left > right) - (left < right);
}

/* Baskets with their items, in order; "to" gives the new numbers of items. */
static void
pile_finish(Pile *pile, const int *to, EcBaskets *baskets)
{
	int			n = ec_names_count(pile->baskets);
	int64	   *place = MemoryContextAllocExtended(CurrentMemoryContext, (n + 1) * sizeof(int64),
												   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	baskets->n = n;
	baskets->basket = pile->basket;
	baskets->item = palloc_extended(Max(pile->n, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	baskets->nusers = ec_names_count(pile->users) + pile->nobody;

	for (int64 i = 0; i < pile->n; i++)
		place[pile->had[i].user + 1]++;
	for (int i = 0; i < n; i++)
		place[i + 1] += place[i];
	for (int i = 0; i < n; i++)
	{
		const EcName *name = ec_names_get(pile->baskets, i);

		pile->basket[i].key = name->key;
		pile->basket[i].len = name->len;
		pile->basket[i].first = place[i];
		if (pile->basket[i].user < 0)
			pile->basket[i].user = ec_names_count(pile->users) - 1 - pile->basket[i].user;
	}
	for (int64 i = 0; i < pile->n; i++)
		baskets->item[place[pile->had[i].user]++] = to[pile->had[i].item];
	CHECK_FOR_INTERRUPTS();
	for (int i = 0; i < n; i++)
	{
		EcBasket   *basket = &pile->basket[i];
		int			count = place[i] - basket->first;
		int		   *item = baskets->item + basket->first;
		int			at = 0;

		qsort(item, count, sizeof(int), item_compare);
		for (int j = 0; j < count; j++)
			if (j == 0 || item[j] != item[j - 1])
				item[at++] = item[j];
		basket->n = at;
		baskets->nitems += at;
	}
	pfree(place);
	pfree(pile->had);
	qsort(pile->basket, n, sizeof(EcBasket), basket_compare);
}

/* For qsort() of numbers by the names they stand for. */
typedef struct Ranked
{
	EcName		name;
	int			number;
} Ranked;

static int
ranked_compare(const void *a, const void *b)
{
	return name_compare(&((const Ranked *) a)->name, &((const Ranked *) b)->name);
}

/*
 * Read what happened until then, in the current context.  The caller is
 * connected to SPI and acts as the owner of the state.
 */
EcBought *
ec_history_read(TimestampTz until)
{
	EcBought   *history = palloc0(sizeof(EcBought));
	MemoryContext context = CurrentMemoryContext;
	EcNames    *skus = ec_names_create();
	Pile		orders;
	Pile		views;
	Datum		args[2];
	Ranked	   *ranked;
	int		   *to;

	history->countries = ec_names_create();
	pile_init(&orders, skus, history->countries);
	pile_init(&views, skus, history->countries);
	args[0] = TimestampTzGetDatum(until);
	args[1] = TimestampTzGetDatum(until - VIEW_DAYS * USECS_PER_DAY);
	pile_read(&orders, orders_sql, take_order, 1, args);
	pile_read(&orders, lines_sql, take_line, 0, args);
	pile_read(&views, views_sql, take_view, 2, args);
	MemoryContextSwitchTo(context); /* SPI left it */

	history->nskus = ec_names_count(skus);
	ranked = palloc_extended(Max(history->nskus, 1) * sizeof(Ranked), MCXT_ALLOC_HUGE);
	to = palloc_extended(Max(history->nskus, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	history->sku = palloc_extended(Max(history->nskus, 1) * sizeof(EcName), MCXT_ALLOC_HUGE);
	for (int i = 0; i < history->nskus; i++)
	{
		ranked[i].name = *ec_names_get(skus, i);
		ranked[i].number = i;
	}
	qsort(ranked, history->nskus, sizeof(Ranked), ranked_compare);
	for (int i = 0; i < history->nskus; i++)
	{
		history->sku[i] = ranked[i].name;
		to[ranked[i].number] = i;
	}
	pfree(ranked);
	pile_finish(&orders, to, &history->orders);
	pile_finish(&views, to, &history->views);
	history->views.nusers = history->views.n;
	pfree(to);
	return history;
}

/*-------------------------------------------------------------------------
 *
 * customer_line.c
 *		What was bought: lines of orders, and the categories of products.
 *
 * Lines are read through the role's query when something changes about their
 * order, and kept as order_item, so that conditions can speak of purchases of
 * anybody without asking the shop.  If the shop cannot be read now, that is
 * written to the log and the rest of the tick goes on; lines are read again
 * with the order's next change or at the next loading of all.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/timestamp.h"

#include "customer/customer.h"
#include "shop/shop.h"

/* categories are read again after so long, in us */
#define CATEGORIES_REST USECS_PER_HOUR

/* One statement over rows of the shop. */
typedef struct Reading
{
	const char *role;
	const char *by;				/* column that keys are compared with */
	ArrayType  *keys;			/* NULL: all */
	const char *statement;		/* over relation "shop_now", $1 keys, $2 time */
	const char *second_role;	/* relation "shop_more", or NULL */
	TimestampTz at;
} Reading;

static const char lines_statement[] =
	"WITH now AS (SELECT order_key, sku_key AS sku, pg_catalog.sum(qty - coalesce(qty_cancelled, 0)) AS qty,\n"
	"    pg_catalog.sum((qty - coalesce(qty_cancelled, 0)) * unit_price) AS amount\n"
	"  FROM shop_now WHERE order_key IS NOT NULL AND sku_key IS NOT NULL\n"
	/* lines can outlive their order */
	"    AND ($1 IS NULL OR EXISTS (SELECT FROM ecauto_data.seen_order o WHERE o.key = order_key))\n"
	"  GROUP BY order_key, sku_key),\n"
	"gone AS (DELETE FROM ecauto_data.order_item i WHERE ($1 IS NULL OR i.order_key = ANY ($1))\n"
	"  AND NOT EXISTS (SELECT FROM now n WHERE n.order_key = i.order_key AND n.sku = i.sku))\n"
	"INSERT INTO ecauto_data.order_item (order_key, sku, qty, amount) SELECT order_key, sku, qty, amount FROM now\n"
	"ORDER BY order_key, sku\n"			/* lines of an order lie together, and the index is filled in order */
	"ON CONFLICT (order_key, sku) DO UPDATE SET qty = excluded.qty, amount = excluded.amount\n"
	"WHERE (order_item.qty, order_item.amount) IS DISTINCT FROM (excluded.qty, excluded.amount)";

/* a product is in its categories and in all those above them; UNION ends at a circle */
static const char categories_statement[] =
	"WITH RECURSIVE upward AS (\n"
	"  SELECT n.category_key AS category, n.key AS product FROM shop_now n\n"
	"  UNION SELECT m.parent_key, u.product FROM upward u JOIN shop_more m ON m.key = u.category\n"
	"  WHERE m.parent_key IS NOT NULL),\n"
	"gone AS (DELETE FROM ecauto_data.category_product c\n"
	"  WHERE NOT EXISTS (SELECT FROM upward u WHERE u.category = c.category AND u.product = c.product)),\n"
	"read AS (UPDATE ecauto_data.customer_setting SET categories_at = $2)\n"
	"INSERT INTO ecauto_data.category_product (category, product) SELECT category, product FROM upward\n"
	"WHERE category IS NOT NULL AND product IS NOT NULL ON CONFLICT DO NOTHING";

static void
relation_register(const char *name, TupleDesc desc, Tuplestorestate *store, int64 nrows)
{
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));

	enr->md.name = pstrdup(name);
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = desc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = nrows;
	enr->reldata = store;
	if (SPI_register_relation(enr) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register relation \"%s\"", name);
}

/* The rows of a role; none if the shop has no such role. */
static Tuplestorestate *
role_fetch(const char *role, const char *by, ArrayType *keys, TupleDesc *desc, int64 *nrows)
{
	EcBinding  *binding = ec_binding_get(role);

	if (binding != NULL)
		return ec_binding_fetch(binding, by, keys, 0, desc, nrows);
	*desc = ec_role_tupdesc(ec_role_get(role));
	*nrows = 0;
	return tuplestore_begin_heap(false, false, work_mem);
}

/* EcTryRun */
static void
reading_run(void *arg)
{
	static const Oid types[] = {TEXTARRAYOID, TIMESTAMPTZOID};
	Reading    *reading = arg;
	Tuplestorestate *store;
	Tuplestorestate *more = NULL;
	TupleDesc	desc;
	TupleDesc	more_desc;
	int64		nrows;
	int64		more_nrows;
	Datum		args[2];
	char		nulls[] = {reading->keys == NULL ? 'n' : ' ', ' '};
	EcAs		as;

	store = role_fetch(reading->role, reading->by, reading->keys, &desc, &nrows);
	if (reading->second_role != NULL)
		more = role_fetch(reading->second_role, "key", NULL, &more_desc, &more_nrows);
	args[0] = PointerGetDatum(reading->keys);
	args[1] = TimestampTzGetDatum(reading->at);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	relation_register("shop_now", desc, store, nrows);
	if (more != NULL)
		relation_register("shop_more", more_desc, more, more_nrows);
	if (SPI_execute_with_args(reading->statement, 2, (Oid *) types, args, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not keep the rows of role \"%s\"", reading->role);
	ec_as_end(&as);
	SPI_finish();
	tuplestore_end(store);
	if (more != NULL)
		tuplestore_end(more);
}

/* Read and keep; what fails is the shop's, and written to the log. */
static void
reading_try(Reading *reading)
{
	const EcBinding *binding = ec_binding_get(reading->role);
	ErrorData  *error;

	if (binding == NULL || binding->broken)
		return;
	error = ec_try(reading_run, reading, false);
	if (error != NULL)
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("ecauto could not read role \"%s\": %s", reading->role, error->message)));
}

/* Orders in the queue (text[]; NULL: none), and whether it is time to read categories. */
static ArrayType *
orders_look(TimestampTz at, bool *categories)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	MemoryContext context = CurrentMemoryContext;
	ArrayType  *orders = NULL;
	Datum		args[1];
	Datum		value;
	bool		isnull;
	EcAs		as;

	args[0] = TimestampTzGetDatum(at - CATEGORIES_REST);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("SELECT (SELECT pg_catalog.array_agg(DISTINCT order_key) FROM ecauto_data.customer_stale "
								 "WHERE order_key IS NOT NULL), categories_at <= $1 OR categories_at > $1 + interval '1 day' "
								 "FROM ecauto_data.customer_setting", 1, types),
						 args, NULL, false, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not look for orders whose lines are to be read");
	*categories = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
	{
		MemoryContext spi = MemoryContextSwitchTo(context);

		orders = DatumGetArrayTypePCopy(value);
		MemoryContextSwitchTo(spi);
	}
	ec_as_end(&as);
	SPI_finish();
	return orders;
}

/*
 * Read the lines of the orders in the queue, or all; and the categories, if it
 * is time.  The queue stays.
 */
void
ec_customer_lines_read(EcTick *tick, bool all)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ecauto order lines",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	bool		categories;
	ArrayType  *orders = orders_look(tick->at, &categories);
	Reading		lines = {"order_line", "order_key", all ? NULL : orders, lines_statement, NULL, tick->at};
	Reading		tree = {"product_category", "key", NULL, categories_statement, "category", tick->at};

	if (all || orders != NULL)
		reading_try(&lines);
	if (all || categories)
		reading_try(&tree);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

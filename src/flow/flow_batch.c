/*-------------------------------------------------------------------------
 *
 * flow_batch.c
 *		Many events or runs at once, and the rows of the shop they are about.
 *
 * Fetching is set-wise: one statement a role, whatever the number of runs.
 * Customers come from what ecauto knows of them, with their facts; titles,
 * prices and stock of lines from what the last tick saw; everything else from
 * the shop, by the role's query, as its definer.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/queryenvironment.h"
#include "utils/resowner.h"
#include "utils/tuplestore.h"

#include "customer/customer.h"
#include "event/event.h"
#include "flow/flow.h"
#include "flow/flow_batch.h"
#include "shop/shop.h"

typedef struct EcFlowRelation
{
	char	   *name;
	TupleDesc	desc;
	Tuplestorestate *store;
	int64		nrows;
} EcFlowRelation;

EcFlowBatch *
ec_flow_batch_create(TimestampTz at)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ecauto flow batch", ALLOCSET_DEFAULT_SIZES);
	EcFlowBatch *batch = MemoryContextAllocZero(context, sizeof(EcFlowBatch));

	batch->context = context;
	batch->at = at;
	return batch;
}

/* Close what the batch holds.  An error needs no call: it ends with the transaction's memory. */
void
ec_flow_batch_end(EcFlowBatch *batch)
{
	ListCell   *lc;

	foreach(lc, batch->relations)
		tuplestore_end(((EcFlowRelation *) lfirst(lc))->store);
	MemoryContextDelete(batch->context);
}

static EcFlowRelation *
relation_find(EcFlowBatch *batch, const char *name)
{
	ListCell   *lc;

	foreach(lc, batch->relations)
		if (strcmp(((EcFlowRelation *) lfirst(lc))->name, name) == 0)
			return lfirst(lc);
	return NULL;
}

static void
relation_add(EcFlowBatch *batch, const char *name, TupleDesc desc, Tuplestorestate *store, int64 nrows)
{
	MemoryContext old = MemoryContextSwitchTo(batch->context);
	EcFlowRelation *relation = palloc(sizeof(EcFlowRelation));

	relation->name = pstrdup(name);
	relation->desc = CreateTupleDescCopy(desc);
	relation->store = store;
	relation->nrows = nrows;
	batch->relations = lappend(batch->relations, relation);
	MemoryContextSwitchTo(old);
}

/* Let a statement of the current SPI connection see the batch's relations. */
void
ec_flow_batch_register(EcFlowBatch *batch)
{
	ListCell   *lc;

	foreach(lc, batch->relations)
	{
		EcFlowRelation *relation = lfirst(lc);
		EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));

		enr->md.name = relation->name;
		enr->md.reliddesc = InvalidOid;
		enr->md.tupdesc = relation->desc;
		enr->md.enrtype = ENR_NAMED_TUPLESTORE;
		enr->md.enrtuples = relation->nrows;
		enr->reldata = relation->store;
		if (SPI_register_relation(enr) != SPI_OK_REL_REGISTER)
			elog(ERROR, "could not register relation \"%s\"", relation->name);
	}
}

/*
 * Add the rows of a statement as a relation; it runs as the owner of the
 * state, under the settings of conditions, and sees the batch's relations.
 */
static void
relation_from_statement(EcFlowBatch *batch, const char *name, const char *sql, int nargs, const Oid *types,
						const Datum *values, const char *nulls)
{
	ResourceOwner owner = CurrentResourceOwner;
	Tuplestorestate *store;
	MemoryContext old;
	EcAs		as;

	old = MemoryContextSwitchTo(batch->context);
	CurrentResourceOwner = TopTransactionResourceOwner;
	store = tuplestore_begin_heap(true, false, work_mem);
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(old);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_flow_batch_register(batch);
	ec_expr_begin_as_owner(&as);
	if (SPI_execute_with_args(sql, nargs, (Oid *) types, (Datum *) values, nulls,
							  false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read relation \"%s\"", name);
	for (uint64 i = 0; i < SPI_processed; i++)
		tuplestore_puttuple(store, SPI_tuptable->vals[i]);
	relation_add(batch, name, SPI_tuptable->tupdesc, store, SPI_processed);
	ec_expr_end(&as);
	SPI_finish();
}

void
ec_flow_batch_add(EcFlowBatch *batch, const char *name, const char *sql, int nargs, const Oid *types,
				  const Datum *values)
{
	relation_from_statement(batch, name, sql, nargs, types, values, NULL);
}

/*
 * Make "ec_batch" of a SELECT that gives event_id, event_at, kind, role, key,
 * session, customer, sku, old, new, run, subject, occasion, started_at, line,
 * lines, results.  Returns the number of rows, which are numbered by n from 1.
 */
int64
ec_flow_batch_fill(EcFlowBatch *batch, const char *sql, int nargs, const Oid *types, const Datum *values,
				   const char *nulls)
{
	char	   *whole = psprintf(
		"SELECT pg_catalog.row_number() OVER (ORDER BY b.run, b.event_at, b.event_id) AS n, b.event_id, b.event_at, b.kind, b.role, b.key, b.session, b.customer, "
		"b.sku, CASE WHEN b.role = 'product' THEN b.key "
		"ELSE ec_k.product_key END AS product, "
		"CASE WHEN b.role = 'order' THEN b.key ELSE b.new ->> 'order_key' END COLLATE \"C\" AS order_key, "
		"CASE WHEN b.role = 'cart' THEN b.key ELSE b.new ->> 'cart_key' END COLLATE \"C\" AS cart_key, "
		"b.old, b.new, b.run, b.subject, b.occasion, b.started_at, b.line, b.lines, b.results FROM (%s) b "
		"LEFT JOIN ecauto_data.seen_sku ec_k ON ec_k.key = b.sku", sql);

	relation_from_statement(batch, "ec_batch", whole, nargs, types, values, nulls);
	return relation_find(batch, "ec_batch")->nrows;
}

/* Make "ec_batch" of runs. */
int64
ec_flow_batch_of_runs(EcFlowBatch *batch, ArrayType *ids)
{
	static const Oid types[] = {INT8ARRAYOID};
	Datum		values[1];

	values[0] = PointerGetDatum(ids);
	return ec_flow_batch_fill(batch,
							  "SELECT r.event_id, r.event_at, r.kind, r.role, r.key, r.session, r.customer, r.sku, r.old, "
							  "r.new, r.id AS run, r.subject, r.occasion, r.started_at, r.line, r.lines, r.results "
							  "FROM ecauto_data.flow_run r WHERE r.id = ANY ($1) ORDER BY r.id",
							  1, types, values, NULL);
}

/* ---- rows of the shop ---- */

/* The different values of a column of a relation of the batch, as text[]. */
static ArrayType *
keys_of(EcFlowBatch *batch, const char *name, const char *column)
{
	EcFlowRelation *relation = relation_find(batch, name);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(relation->desc, &TTSOpsMinimalTuple);
	int			place = SPI_fnumber(relation->desc, column);
	Datum	   *keys = palloc(sizeof(Datum) * (relation->nrows + 1));
	int			n = 0;
	bool		isnull;

	tuplestore_rescan(relation->store);
	while (tuplestore_gettupleslot(relation->store, true, false, slot))
	{
		Datum		value = slot_getattr(slot, place, &isnull);

		if (!isnull)
			keys[n++] = PointerGetDatum(DatumGetTextPCopy(value));
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_rescan(relation->store);
	n = ec_keys_unique(keys, n);
	return construct_array(keys, n, TEXTOID, -1, false, TYPALIGN_INT);
}

/* Where each row's key stands in the batch, and the role that has it. */
static const struct
{
	EcFlowRow	row;
	const char *column;
	const char *relation;
	const char *kind;			/* of event that tells what it is */
}			role_rows[] = {
	{EC_ROW_ORDER, "order_key", "ec_rows_order", "order.placed"},
	{EC_ROW_CART, "cart_key", "ec_rows_cart", "cart.changed"},
	{EC_ROW_SKU, "sku", "ec_rows_sku", "sku.created"},
	{EC_ROW_PRODUCT, "product", "ec_rows_product", "product.updated"},
	{EC_ROW_PRICE, "sku", "ec_rows_price", "price.changed"},
	{EC_ROW_STOCK, "sku", "ec_rows_stock", "stock.changed"},
};

/* Those of some rows that the shop has, since their role is bound. */
uint32
ec_flow_batch_bound(uint32 rows)
{
	for (int i = 0; i < lengthof(role_rows); i++)
		if ((rows & EC_ROW_BIT(role_rows[i].row)) != 0 &&
			ec_binding_get(ec_flow_row_names[role_rows[i].row]) == NULL)
			rows &= ~EC_ROW_BIT(role_rows[i].row);
	return rows;
}

static void
role_fetch(EcFlowBatch *batch, const char *role, const char *by, const char *relation, ArrayType *keys)
{
	EcBinding  *binding = ec_binding_get(role);
	Tuplestorestate *store;
	TupleDesc	desc;
	int64		nrows;

	if (binding == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("role \"%s\" is not bound", role),
				 errdetail("The flow uses its columns."),
				 errhint("Bind it with ecauto.bind_role() or ecauto.bind_table().")));
	store = ec_binding_fetch(binding, by, keys, 0, &desc, &nrows);
	relation_add(batch, relation, desc, store, nrows);
}

/* ---- as of then ---- */

static bool history = false;

/*
 * Rows of the shop as they were, for ecauto.backtest_flow(): from the events
 * in ecauto_data.flow_history, which is there while this is on.  Columns that
 * events do not tell are those of now.
 */
void
ec_flow_history_set(bool on)
{
	history = on;
}

bool
ec_flow_history(void)
{
	return history;
}

/* A column of a role as the events tell it, if they do. */
static char *
history_column(const EcFlowKind *kind, Form_pg_attribute att, const char *now)
{
	for (int i = 0; i < kind->ncolumns; i++)
		if (strcmp(kind->columns[i].name, NameStr(att->attname)) == 0)
			return psprintf("CASE WHEN h.state ? '%s' THEN (h.state ->> '%s')::%s ELSE %s END",
							kind->columns[i].name, kind->columns[i].name,
							format_type_be_qualified(att->atttypid), now);
	return pstrdup(now);
}

/*
 * Make the relation of a role's rows from those of now (ec_now) and the
 * events.  Stock has one row a sku, since its events tell of the sum.
 */
static void
history_fetch(EcFlowBatch *batch, const char *role, const char *kind_name, const char *relation, ArrayType *keys)
{
	static const Oid types[] = {TEXTARRAYOID, TIMESTAMPTZOID};
	const EcFlowKind *kind = ec_flow_kind(kind_name);
	const char *now = psprintf("ec_now_%s", role);
	bool		stock = strcmp(role, "stock") == 0;
	bool		price = strcmp(role, "price") == 0;
	StringInfoData sql;
	TupleDesc	desc;
	Datum		values[2];

	role_fetch(batch, role, "key", now, keys);
	desc = relation_find(batch, now)->desc;
	initStringInfo(&sql);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *name = NameStr(att->attname);
		const char *column = psprintf("n.%s", quote_identifier(name));

		if (strcmp(name, "key") == 0)
			column = "k.key COLLATE \"C\"";
		else if (stock && att->atttypid != NUMERICOID)
			column = psprintf("NULL::%s", format_type_be_qualified(att->atttypid));
		appendStringInfo(&sql, "%s%s AS %s", i > 0 ? ", " : "SELECT ", history_column(kind, att, column), quote_identifier(name));
	}
	appendStringInfoString(&sql, " FROM pg_catalog.unnest($1) AS k (key) ");
	if (stock)
		appendStringInfo(&sql, "LEFT JOIN (SELECT s.key, pg_catalog.sum(s.on_hand) AS on_hand, pg_catalog.sum(s.reserved) AS reserved, "
						 "pg_catalog.sum(s.incoming) AS incoming FROM %s s GROUP BY s.key) n ON n.key = k.key ", now);
	else
		appendStringInfo(&sql, "LEFT JOIN %s n ON n.key = k.key ", now);
	appendStringInfo(&sql, "LEFT JOIN ecauto.flow_history_at('%s', $1, $2) h ON h.key = k.key%s "
					 "WHERE NOT coalesce(h.gone, false) AND (n.key IS NOT NULL OR h.state IS NOT NULL)", role,
					 price ? " AND h.sub = n.currency || '/' || coalesce(n.list_key, '')" : "");
	values[0] = PointerGetDatum(keys);
	values[1] = TimestampTzGetDatum(batch->at);
	relation_from_statement(batch, relation, sql.data, 2, types, values, NULL);
}

/* Lines of carts: what the events say is in them, at prices of then. */
static void
history_cart_lines(EcFlowBatch *batch, const char *raw, ArrayType *keys)
{
	static const Oid types[] = {TEXTARRAYOID, TIMESTAMPTZOID};
	Datum		values[2];

	role_fetch(batch, "cart_line", "cart_key", "ec_now_cart_line", keys);
	values[0] = PointerGetDatum(keys);
	values[1] = TimestampTzGetDatum(batch->at);
	relation_from_statement(batch, raw,
							"WITH h AS MATERIALIZED (SELECT h.key, h.state FROM ecauto.flow_history_at('cart', $1, $2) h) "
							"SELECT n.key, n.cart_key, n.sku_key, n.qty, n.unit_price FROM ec_now_cart_line n "
							"WHERE NOT EXISTS (SELECT FROM h WHERE h.key = n.cart_key) "
							"UNION ALL SELECT h.key || '/' || l.key COLLATE \"C\", h.key, l.key COLLATE \"C\", l.value::numeric, "
							"(SELECT coalesce((x.state ->> 'amount')::numeric, p.amount) FROM ecauto_data.seen_price p "
							"  LEFT JOIN ecauto.flow_history_at('price', ARRAY[l.key], $2) x ON x.key = p.key AND x.sub = p.currency || '/' "
							"  WHERE p.key = l.key AND p.list_key = '' AND p.currency = coalesce(h.state ->> 'currency', p.currency) "
							"  ORDER BY p.valid_from DESC LIMIT 1) "
							"FROM h CROSS JOIN LATERAL pg_catalog.jsonb_each_text("
							"  CASE pg_catalog.jsonb_typeof(h.state -> 'lines') WHEN 'object' THEN h.state -> 'lines' END) l",
							2, types, values, NULL);
}

static void
customer_fetch(EcFlowBatch *batch)
{
	static const Oid types[] = {TEXTARRAYOID, TIMESTAMPTZOID};
	Datum		values[2];

	values[0] = PointerGetDatum(keys_of(batch, "ec_batch", "customer"));
	values[1] = TimestampTzGetDatum(batch->at);
	relation_from_statement(batch, "ec_rows_customer", ec_customer_rows_sql("$1", "$2", NULL), 2, types, values, NULL);
}

/*
 * What is in carts or orders, as a relation (key, lines): an array of objects
 * with sku_key, sku, title, product_key, qty, unit_price, available.
 */
static void
lines_fetch(EcFlowBatch *batch, const char *role, const char *whole_by, const char *column, const char *raw,
			const char *name)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	bool		bound = ec_binding_get(role) != NULL;
	Datum		values[1];

	values[0] = TimestampTzGetDatum(batch->at);
	if (bound && history && strcmp(role, "cart_line") == 0)
		history_cart_lines(batch, raw, keys_of(batch, "ec_batch", column));
	else if (bound)
		role_fetch(batch, role, whole_by, raw, keys_of(batch, "ec_batch", column));
	relation_from_statement(
		batch, name, !bound ?
		"SELECT NULL::text COLLATE \"C\" AS key, NULL::jsonb AS lines, 0::bigint AS n, 0::bigint AS sold_out WHERE false" :
		psprintf("SELECT l.%s AS key, pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('sku_key', l.sku_key, "
				 "'sku', s.sku, 'title', coalesce(nullif(s.title, ''), p.title, s.sku, l.sku_key), "
				 "'product_key', s.product_key, 'product_title', p.title, 'handle', p.handle, "
				 "'qty', l.qty, 'unit_price', l.unit_price, 'total', l.qty * l.unit_price, "
				 "'available', t.on_hand - t.reserved, 'sold_out', x.sold_out) ORDER BY l.key) AS lines, "
				 "pg_catalog.count(*) AS n, pg_catalog.count(*) FILTER (WHERE x.sold_out) AS sold_out "
				 "FROM %s l LEFT JOIN ecauto_data.seen_sku s ON s.key = l.sku_key "
				 "LEFT JOIN ecauto_data.seen_product p ON p.key = s.product_key "
				 "LEFT JOIN %s t ON t.key = l.sku_key "
				 "CROSS JOIN LATERAL (SELECT coalesce(s.track_stock AND t.on_hand - t.reserved <= 0, false) "
				 "OR NOT coalesce(s.active, true) AS sold_out) x "
				 "GROUP BY l.%s", whole_by, raw,
				 !history ? "ecauto_data.seen_stock" :
				 psprintf("(SELECT s.key, coalesce((h.state ->> 'on_hand')::numeric, s.on_hand) AS on_hand, "
						  "coalesce((h.state ->> 'reserved')::numeric, s.reserved) AS reserved FROM ecauto_data.seen_stock s "
						  "LEFT JOIN ecauto.flow_history_at('stock', ARRAY(SELECT DISTINCT r.sku_key FROM %s r), $1) h ON h.key = s.key "
						  "WHERE s.key IN (SELECT r.sku_key FROM %s r))", raw, raw), whole_by),
		history ? 1 : 0, types, values, NULL);
}

/*
 * Fetch rows that the batch does not have yet; lines: what is in its carts
 * and orders, too.  Errors: a role that is not bound; whatever its query raises.
 */
void
ec_flow_batch_need(EcFlowBatch *batch, uint32 rows, bool lines)
{
	uint32		missing = rows & ~batch->rows;
	MemoryContext old = MemoryContextSwitchTo(batch->context);

	/* some columns of a cart are about its lines */
	if ((missing & EC_ROW_BIT(EC_ROW_CART)) != 0)
		lines = true;
	if ((missing & EC_ROW_BIT(EC_ROW_CUSTOMER)) != 0)
		customer_fetch(batch);
	for (int i = 0; i < lengthof(role_rows); i++)
		if ((missing & EC_ROW_BIT(role_rows[i].row)) == 0)
			continue;
		else if (history)
			history_fetch(batch, ec_flow_row_names[role_rows[i].row], role_rows[i].kind, role_rows[i].relation,
						  keys_of(batch, "ec_batch", role_rows[i].column));
		else
			role_fetch(batch, ec_flow_row_names[role_rows[i].row], "key", role_rows[i].relation,
					   keys_of(batch, "ec_batch", role_rows[i].column));
	if (lines && !batch->lines)
	{
		lines_fetch(batch, "cart_line", "cart_key", "cart_key", "ec_raw_cart_line", "ec_rows_cart_lines");
		lines_fetch(batch, "order_line", "order_key", "order_key", "ec_raw_order_line", "ec_rows_order_lines");
		batch->lines = true;
	}
	if ((missing & EC_ROW_BIT(EC_ROW_CART)) != 0)
	{
		static const Oid types[] = {TEXTARRAYOID, TIMESTAMPTZOID};
		Datum		keys[2];

		keys[0] = PointerGetDatum(keys_of(batch, "ec_batch", "cart_key"));
		keys[1] = TimestampTzGetDatum(batch->at);
		relation_from_statement(batch, "ec_rows_seen_cart",
								history ?
								"SELECT h.key, h.at AS changed_at, (SELECT min(x.at) FROM ecauto_data.flow_history x "
								"WHERE x.role = 'cart.completed' AND x.key = h.key AND x.sub = '' AND x.at <= $2) AS completed_at "
								"FROM ecauto.flow_history_at('cart', $1, $2) h" :
								"SELECT c.key, c.changed_at, c.completed_at FROM ecauto_data.seen_cart c WHERE c.key = ANY ($1)",
								history ? 2 : 1, types, keys, NULL);
	}
	batch->rows |= rows;
	MemoryContextSwitchTo(old);
}

/*
 * The joins of some rows to ec_e, which has the columns of the batch.
 */
char *
ec_flow_batch_joins(uint32 rows)
{
	StringInfoData sql;

	initStringInfo(&sql);
	if ((rows & EC_ROW_BIT(EC_ROW_CUSTOMER)) != 0)
		appendStringInfoString(&sql, " LEFT JOIN ec_rows_customer ec_customer ON ec_customer.key = ec_e.customer");
	if ((rows & EC_ROW_BIT(EC_ROW_ORDER)) != 0)
		appendStringInfoString(&sql, " LEFT JOIN ec_rows_order ec_order ON ec_order.key = ec_e.order_key");
	if ((rows & EC_ROW_BIT(EC_ROW_CART)) != 0)
		appendStringInfoString(&sql,
							   " LEFT JOIN (SELECT ec_c.*, ec_s.changed_at, ec_s.completed_at, coalesce(ec_l.n, 0) AS lines_count, "
							   "coalesce(ec_l.sold_out, 0) AS sold_out_count FROM ec_rows_cart ec_c "
							   "LEFT JOIN ec_rows_seen_cart ec_s ON ec_s.key = ec_c.key "
							   "LEFT JOIN ec_rows_cart_lines ec_l ON ec_l.key = ec_c.key) ec_cart ON ec_cart.key = ec_e.cart_key");
	if ((rows & EC_ROW_BIT(EC_ROW_SKU)) != 0)
		appendStringInfoString(&sql, " LEFT JOIN ec_rows_sku ec_sku ON ec_sku.key = ec_e.sku");
	if ((rows & EC_ROW_BIT(EC_ROW_PRODUCT)) != 0)
		appendStringInfoString(&sql, " LEFT JOIN ec_rows_product ec_product ON ec_product.key = ec_e.product");
	if ((rows & EC_ROW_BIT(EC_ROW_PRICE)) != 0)
		appendStringInfoString(&sql,
							   " LEFT JOIN (SELECT DISTINCT ON (ec_p.key) ec_p.* FROM ec_rows_price ec_p "
							   "WHERE coalesce(ec_p.list_key, '') = '' "
							   "AND coalesce(ec_p.valid_from, '-infinity') <= ecauto.now() "
							   "AND coalesce(ec_p.valid_until, 'infinity') > ecauto.now() "
							   "ORDER BY ec_p.key, ec_p.valid_from DESC NULLS LAST, ec_p.amount, ec_p.currency) ec_price "
							   "ON ec_price.key = ec_e.sku");
	if ((rows & EC_ROW_BIT(EC_ROW_STOCK)) != 0)
		appendStringInfoString(&sql,
							   " LEFT JOIN (SELECT ec_t.key, pg_catalog.sum(ec_t.on_hand) AS on_hand, "
							   "pg_catalog.sum(ec_t.reserved) AS reserved, "
							   "pg_catalog.sum(ec_t.on_hand) - pg_catalog.sum(ec_t.reserved) AS available, "
							   "pg_catalog.sum(ec_t.incoming) AS incoming FROM ec_rows_stock ec_t GROUP BY ec_t.key) ec_stock "
							   "ON ec_stock.key = ec_e.sku");
	return sql.data;
}

/*-------------------------------------------------------------------------
 *
 * flow_scope.c
 *		What conditions of a flow may speak of, and the SQL that gives it.
 *
 * A statement that evaluates a condition has the candidates (events, or runs)
 * as relation ec_e, with the columns of flow_batch.c, and joins to it the rows
 * that the condition uses: ec_customer, ec_order and so on.  The rows event,
 * old, new, run and line are computed from ec_e alone.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "customer/customer.h"
#include "flow/flow.h"
#include "flow/flow_batch.h"
#include "shop/shop.h"

/* A column that is computed, not read from a role. */
typedef struct Computed
{
	const char *name;
	Oid			type;
	const char *sql;
} Computed;

static const Computed event_columns[] = {
	{"event_id", UUIDOID, "ec_e.event_id"},
	{"at", TIMESTAMPTZOID, "ec_e.event_at"},
	{"kind", TEXTOID, "ec_e.kind"},
	{"role", TEXTOID, "ec_e.role"},
	{"key", TEXTOID, "ec_e.key"},
	{"customer", TEXTOID, "ec_e.customer"},
	{"sku", TEXTOID, "ec_e.sku"},
	{"session", TEXTOID, "ec_e.session"},
	{"properties", JSONBOID, "ec_e.new"},
};

static const Computed run_columns[] = {
	{"id", INT8OID, "ec_e.run"},
	{"subject", TEXTOID, "ec_e.subject"},
	{"occasion", TEXTOID, "ec_e.occasion"},
	{"started_at", TIMESTAMPTZOID, "ec_e.started_at"},
	{"results", JSONBOID, "ec_e.results"},
};

static const Computed line_columns[] = {
	{"number", INT4OID, "(ec_e.line + 1)"},
	{"sku_key", TEXTOID, "(ec_e.lines -> ec_e.line ->> 'sku_key')"},
	{"sku", TEXTOID, "(ec_e.lines -> ec_e.line ->> 'sku')"},
	{"product_key", TEXTOID, "(ec_e.lines -> ec_e.line ->> 'product_key')"},
	{"title", TEXTOID, "(ec_e.lines -> ec_e.line ->> 'title')"},
	{"qty", NUMERICOID, "(ec_e.lines -> ec_e.line ->> 'qty')::numeric"},
	{"unit_price", NUMERICOID, "(ec_e.lines -> ec_e.line ->> 'unit_price')::numeric"},
	{"available", NUMERICOID, "(ec_e.lines -> ec_e.line ->> 'available')::numeric"},
};

static const Computed price_columns[] = {
	{"key", TEXTOID, "ec_price.key"},
	{"currency", TEXTOID, "ec_price.currency"},
	{"amount", NUMERICOID, "ec_price.amount"},
	{"tax_included", BOOLOID, "ec_price.tax_included"},
};

static const Computed stock_columns[] = {
	{"key", TEXTOID, "ec_stock.key"},
	{"on_hand", NUMERICOID, "ec_stock.on_hand"},
	{"reserved", NUMERICOID, "ec_stock.reserved"},
	{"available", NUMERICOID, "ec_stock.available"},
	{"incoming", NUMERICOID, "ec_stock.incoming"},
};

/* beside those of the role */
static const Computed cart_columns[] = {
	{"changed_at", TIMESTAMPTZOID, "ec_cart.changed_at"},
	{"completed_at", TIMESTAMPTZOID, "ec_cart.completed_at"},
	{"lines_count", INT8OID, "ec_cart.lines_count"},
	{"sold_out_count", INT8OID, "ec_cart.sold_out_count"},
};

static void
columns_computed(EcExprRow *row, const char *name, int n, const Computed *columns)
{
	row->name = name;
	row->columns = row->columns == NULL ? palloc(sizeof(EcExprColumn) * n) :
		repalloc(row->columns, sizeof(EcExprColumn) * (row->ncolumns + n));
	for (int i = 0; i < n; i++)
	{
		EcExprColumn *column = &row->columns[row->ncolumns++];

		column->name = columns[i].name;
		column->type = columns[i].type;
		column->typmod = -1;
	}
}

static void
row_build(EcExprRow *row, EcFlowRow which, const EcFlowKind *kind)
{
	const char *name = ec_flow_row_names[which];

	switch (which)
	{
		case EC_ROW_EVENT:
			columns_computed(row, name, lengthof(event_columns), event_columns);
			break;
		case EC_ROW_RUN:
			columns_computed(row, name, lengthof(run_columns), run_columns);
			break;
		case EC_ROW_LINE:
			columns_computed(row, name, lengthof(line_columns), line_columns);
			break;
		case EC_ROW_OLD:
		case EC_ROW_NEW:
			row->name = name;
			row->ncolumns = kind->ncolumns;
			row->columns = palloc0(sizeof(EcExprColumn) * (kind->ncolumns + 1));
			for (int i = 0; i < kind->ncolumns; i++)
			{
				row->columns[i].name = kind->columns[i].name;
				row->columns[i].type = kind->columns[i].type;
				row->columns[i].typmod = -1;
			}
			break;
		case EC_ROW_CUSTOMER:
			*row = *ec_customer_scope_row();
			break;
		case EC_ROW_PRICE:
			columns_computed(row, name, lengthof(price_columns), price_columns);
			break;
		case EC_ROW_STOCK:
			columns_computed(row, name, lengthof(stock_columns), stock_columns);
			break;
		case EC_ROW_CART:
			ec_role_scope_row(ec_role_get(name), name, row);
			columns_computed(row, name, lengthof(cart_columns), cart_columns);
			break;
		default:
			ec_role_scope_row(ec_role_get(name), name, row);
			break;
	}
}

/*
 * The scope of a flow's conditions, in the current context; with_run: of
 * those that are asked while it runs, not of the one that starts it.
 */
EcExprScope *
ec_flow_scope(const EcFlow *flow, bool with_run)
{
	EcExprScope *scope = palloc0(sizeof(EcExprScope));
	uint32		rows = flow->rows;

	if (with_run)
		rows |= EC_ROW_BIT(EC_ROW_RUN);
	if (with_run && (flow->rows & (EC_ROW_BIT(EC_ROW_ORDER) | EC_ROW_BIT(EC_ROW_CART))) != 0)
		rows |= EC_ROW_BIT(EC_ROW_LINE);
	scope->rows = palloc0(sizeof(EcExprRow) * EC_ROWS);
	for (int i = 0; i < EC_ROWS; i++)
		if ((rows & EC_ROW_BIT(i)) != 0)
			row_build(&scope->rows[scope->nrows++], i, flow->kind);
	return scope;
}

static EcFlowRow
row_by_name(const char *name)
{
	for (int i = 0; i < EC_ROWS; i++)
		if (strcmp(ec_flow_row_names[i], name) == 0)
			return i;
	elog(ERROR, "no row \"%s\" in flows", name);
}

static const char *
computed_sql(int n, const Computed *columns, const char *name)
{
	for (int i = 0; i < n; i++)
		if (strcmp(columns[i].name, name) == 0)
			return columns[i].sql;
	return NULL;
}

/* EcExprColumnSql: a column over ec_e and what is joined to it */
static const char *
column_sql(const EcExprRow *row, const EcExprColumn *column, void *arg)
{
	const char *found = NULL;
	EcFlowRow	which = row_by_name(row->name);

	switch (which)
	{
		case EC_ROW_EVENT:
			found = computed_sql(lengthof(event_columns), event_columns, column->name);
			break;
		case EC_ROW_RUN:
			found = computed_sql(lengthof(run_columns), run_columns, column->name);
			break;
		case EC_ROW_LINE:
			found = computed_sql(lengthof(line_columns), line_columns, column->name);
			break;
		case EC_ROW_OLD:
		case EC_ROW_NEW:
			if (column->type == TEXTOID)
				return psprintf("(ec_e.%s ->> '%s')", row->name, column->name);
			if (column->type == JSONBOID)
				return psprintf("(ec_e.%s -> '%s')", row->name, column->name);
			return psprintf("(ec_e.%s ->> '%s')::%s", row->name, column->name,
							format_type_be_qualified(column->type));
		default:
			break;
	}
	return found != NULL ? found : psprintf("ec_%s.%s", row->name, quote_identifier(column->name));
}

/* Say which condition of which flow an error is about. */
typedef struct Place
{
	const EcFlow *flow;
	const EcFlowCondition *condition;
} Place;

static void
place_callback(void *arg)
{
	Place	   *place = arg;

	errcontext("condition at %s of flow \"%s\"", place->condition->path, place->flow->name);
}

/* The SQL of a jsonb object with the values that the condition looks at. */
static char *
operands_sql(const EcExpr *expr)
{
	StringInfoData sql;

	/* jsonb_build_object() takes 100 arguments at most */
	initStringInfo(&sql);
	for (int i = 0; i < expr->nparams; i++)
	{
		const EcExprParam *param = &expr->params[i];

		appendStringInfoString(&sql, i % 40 > 0 ? ", " : i > 0 ? ") || pg_catalog.jsonb_build_object(" :
							   "pg_catalog.jsonb_build_object(");
		appendStringInfo(&sql, "%s, %s", quote_literal_cstr(psprintf("%s.%s", param->row->name, param->column->name)),
						 column_sql(param->row, param->column, NULL));
	}
	appendStringInfoString(&sql, expr->nparams > 0 ? ")" : "'{}'::pg_catalog.jsonb");
	return sql.data;
}

/*
 * Check a condition of a flow and make its SQL, in the context of the flow.
 * The caller is between ec_expr_begin() and ec_expr_end().  A self-contained
 * condition means the same for ever and is compiled once; others are checked
 * each time, since functions and rights change.
 *
 * Errors: those of ec_expr_check(), with the place in the error's context.
 */
void
ec_flow_condition_compile(const EcFlow *flow, EcFlowCondition *condition, bool with_run)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext work;
	ErrorContextCallback callback;
	Place		place = {flow, condition};
	EcExpr	   *expr;
	char	   *sql;
	char	   *operands;
	uint32		rows = 0;

	if (condition->compiled && condition->keep)
		return;

	work = AllocSetContextCreate(caller, "ecauto flow condition", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(work);
	callback.callback = place_callback;
	callback.arg = &place;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	expr = ec_expr_check(condition->text, ec_flow_scope(flow, with_run));
	sql = ec_expr_compile(expr, column_sql, NULL, NULL);
	operands = operands_sql(expr);
	for (int i = 0; i < expr->nparams; i++)
		rows |= EC_ROW_BIT(row_by_name(expr->params[i].row->name));

	error_context_stack = callback.previous;
	MemoryContextSwitchTo(caller);
	if (condition->sql != NULL)
	{
		pfree(unconstify(char *, condition->sql));
		pfree(unconstify(char *, condition->operands));
	}
	condition->sql = MemoryContextStrdup(GetMemoryChunkContext(unconstify(char *, condition->path)), sql);
	condition->operands = MemoryContextStrdup(GetMemoryChunkContext(unconstify(char *, condition->path)), operands);
	condition->rows = rows;
	condition->keep = expr->self_contained;
	condition->compiled = true;
	MemoryContextDelete(work);
}

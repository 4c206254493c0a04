/*-------------------------------------------------------------------------
 *
 * pricing_promotion_when.c
 *		Conditions of promotions, and their evaluation for one cart.
 *
 * A condition speaks of rows "cart", "customer" and "context", or, where it
 * says which lines are meant, of row "line".  Most are self-contained
 * (src/expr/expr_safe.c): these are compiled once a session and evaluated
 * without a statement.  The others, which call functions of the shop's or
 * hold a subquery, run as their definer, one statement each.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "pricing/pricing_cart.h"

struct EcWhen
{
	const char *text;
	Oid			definer;
	bool		of_line;
	EcExpr	   *expr;
	ExprState  *state;			/* NULL: needs a statement */
	bool		settings;		/* does it depend on settings, such as the time zone? */
	ParamListInfo params;
	ExprContext *context;
};

static const EcExprColumn cart_columns[] = {
	{"total", NUMERICOID, -1},	/* after the discounts so far, without shipping */
	{"subtotal", NUMERICOID, -1},	/* before discounts */
	{"qty", NUMERICOID, -1},
	{"lines", INT4OID, -1},
	{"currency", TEXTOID, -1},
	{"shipping", NUMERICOID, -1}
};

static const EcExprColumn customer_columns[] = {
	{"key", TEXTOID, -1},
	{"email", TEXTOID, -1},
	{"name", TEXTOID, -1},
	{"first_name", TEXTOID, -1},
	{"phone", TEXTOID, -1},
	{"sex", TEXTOID, -1},
	{"birth_date", DATEOID, -1},
	{"country", TEXTOID, -1},
	{"city", TEXTOID, -1},
	{"postcode", TEXTOID, -1},
	{"locale", TEXTOID, -1},
	{"guest", BOOLOID, -1},
	{"created_at", TIMESTAMPTZOID, -1},
	{"orders_count", INT8OID, -1},
	{"orders_count_90d", INT8OID, -1},
	{"spent_total", NUMERICOID, -1},
	{"first_order_at", TIMESTAMPTZOID, -1},
	{"last_order_at", TIMESTAMPTZOID, -1}
};

static const EcExprColumn context_columns[] = {
	{"channel", TEXTOID, -1},
	{"country", TEXTOID, -1},
	{"postcode", TEXTOID, -1},
	{"locale", TEXTOID, -1},
	{"device", TEXTOID, -1},
	{"payment", TEXTOID, -1},
	{"delivery", TEXTOID, -1},
	{"source", TEXTOID, -1},
	{"weight", NUMERICOID, -1}
};

static const EcExprColumn line_columns[] = {
	{"sku", TEXTOID, -1},
	{"product", TEXTOID, -1},
	{"brand", TEXTOID, -1},
	{"title", TEXTOID, -1},
	{"qty", NUMERICOID, -1},
	{"unit_price", NUMERICOID, -1},
	{"total", NUMERICOID, -1},	/* after the discounts so far */
	{"cost", NUMERICOID, -1},
	{"weight", NUMERICOID, -1},
	{"on_sale", BOOLOID, -1}
};

#define ROW(name, columns) {name, lengthof(columns), (EcExprColumn *) columns}
static const EcExprRow cart_rows[] = {
	ROW("cart", cart_columns), ROW("customer", customer_columns), ROW("context", context_columns)
};
static const EcExprRow line_rows[] = {ROW("line", line_columns)};
static const EcExprScope cart_scope = {lengthof(cart_rows), (EcExprRow *) cart_rows};
static const EcExprScope line_scope = {lengthof(line_rows), (EcExprRow *) line_rows};

const char *
ec_when_text(const EcWhen *when)
{
	return when->text;
}

/*
 * Check a condition and make it ready; in the current context.  Errors: those
 * of ec_expr_check().
 */
EcWhen *
ec_when_parse(const char *text, bool of_line, Oid definer)
{
	EcWhen	   *when = palloc0(sizeof(EcWhen));
	EcAs		as;

	when->text = text;
	when->definer = definer;
	when->of_line = of_line;
	ec_expr_begin(&as, definer);
	when->expr = ec_expr_check(text, of_line ? &line_scope : &cart_scope);
	if (when->expr->self_contained)
	{
		int			n = when->expr->nparams + 1;

		when->params = makeParamList(n);
		for (int i = 0; i < n; i++)
		{
			when->params->params[i].ptype = i == 0 ? TIMESTAMPTZOID : when->expr->params[i - 1].column->type;
			when->params->params[i].isnull = true;
			when->params->params[i].pflags = 0;
		}
		when->context = CreateStandaloneExprContext();
		when->context->ecxt_param_list_info = when->params;
		when->settings = contain_mutable_functions(when->expr->tree);
		when->state = ExecInitExprWithParams(expression_planner((Expr *) copyObject(when->expr->tree)),
											 when->params);
	}
	ec_expr_end(&as);
	return when;
}

/* ---- values ---- */

/* A value of the caller's jsonb as one of the column's type; false: NULL. */
static bool
json_datum(JsonbContainer *object, const EcExprColumn *column, Datum *result)
{
	JsonbValue	space;
	JsonbValue *value = object ? ec_json_field(object, column->name, &space) : NULL;
	char	   *text;

	if (value == NULL)
		return false;
	switch (value->type)
	{
		case jbvString:
			text = pnstrdup(value->val.string.val, value->val.string.len);
			break;
		case jbvNumeric:
			if (column->type == NUMERICOID)
			{
				*result = NumericGetDatum(value->val.numeric);
				return true;
			}
			text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
			break;
		case jbvBool:
			text = value->val.boolean ? "true" : "false";
			break;
		default:
			return false;
	}
	switch (column->type)
	{
		case TEXTOID:
			*result = CStringGetTextDatum(text);
			break;
		case NUMERICOID:
			*result = DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid),
										  Int32GetDatum(-1));
			break;
		case INT8OID:
			*result = DirectFunctionCall1(int8in, CStringGetDatum(text));
			break;
		case BOOLOID:
			*result = DirectFunctionCall1(boolin, CStringGetDatum(text));
			break;
		case DATEOID:
			*result = DirectFunctionCall1(date_in, CStringGetDatum(text));
			break;
		case TIMESTAMPTZOID:
			*result = DirectFunctionCall3(timestamptz_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid),
										  Int32GetDatum(-1));
			break;
		default:
			elog(ERROR, "column \"%s\" has a type that is not foreseen", column->name);
	}
	return true;
}

static bool
cart_datum(EcCart *cart, const EcExprColumn *column, Datum *result)
{
	EcMoney		left = 0;

	switch (column - cart_columns)
	{
		case 0:
			for (int i = 0; i < cart->nlines; i++)
				left += cart->lines[i].left;
			*result = NumericGetDatum(ec_money_numeric(left, cart->decimals));
			return true;
		case 1:
			*result = NumericGetDatum(ec_money_numeric(cart->subtotal, cart->decimals));
			return true;
		case 2:
			*result = NumericGetDatum(int64_div_fast_to_numeric(cart->qty, 6));
			return true;
		case 3:
			*result = Int32GetDatum(cart->nlines);
			return true;
		case 4:
			*result = CStringGetTextDatum(cart->currency);
			return true;
		default:
			*result = NumericGetDatum(ec_money_numeric(cart->shipping_left, cart->decimals));
			return cart->has_shipping;
	}
}

static bool
line_datum(EcCart *cart, const EcLine *line, const EcExprColumn *column, Datum *result)
{
	const EcWord *word = NULL;

	switch (column - line_columns)
	{
		case 0:
			word = &line->sku;
			break;
		case 1:
			word = &line->product;
			break;
		case 2:
			word = &line->brand;
			break;
		case 4:
			*result = NumericGetDatum(line->qty_given);
			return true;
		case 5:
			*result = NumericGetDatum(line->price_given);
			return true;
		case 6:
			*result = NumericGetDatum(ec_money_numeric(line->left, cart->decimals));
			return true;
		default:
			return json_datum(line->json, column, result);
	}
	if (word->data == NULL)
		return false;
	*result = PointerGetDatum(cstring_to_text_with_len(word->data, word->len));
	return true;
}

static bool
datum(EcWhen *when, EcCart *cart, const EcLine *line, int param, Datum *result)
{
	const EcExprParam *p = &when->expr->params[param];

	if (when->of_line)
		return line_datum(cart, line, p->column, result);
	if (p->row == &cart_rows[0])
		return cart_datum(cart, p->column, result);
	return json_datum(p->row == &cart_rows[1] ? cart->customer : cart->context, p->column, result);
}

/*
 * Is the condition met?  line is NULL unless it is about lines.  Errors: what
 * evaluating raises.
 */
EcExprTruth
ec_when_test(EcWhen *when, EcCart *cart, const EcLine *line)
{
	int			n = when->expr->nparams;
	Datum		result;
	bool		isnull;
	EcAs		as;
	EcExprValues values;
	EcExprTruth truth;

	if (when->state != NULL)
	{
		MemoryContext old;

		if (when->settings)
			ec_expr_begin(&as, when->definer);
		ResetExprContext(when->context);
		old = MemoryContextSwitchTo(when->context->ecxt_per_tuple_memory);
		when->params->params[0].value = TimestampTzGetDatum(cart->at);
		when->params->params[0].isnull = false;
		for (int i = 0; i < n; i++)
			when->params->params[i + 1].isnull = !datum(when, cart, line, i, &when->params->params[i + 1].value);
		result = ExecEvalExpr(when->state, when->context, &isnull);
		MemoryContextSwitchTo(old);
		if (when->settings)
			ec_expr_end(&as);
		return isnull ? EC_EXPR_NULL : DatumGetBool(result) ? EC_EXPR_TRUE : EC_EXPR_FALSE;
	}

	values.values = palloc0(sizeof(Datum) * (n + 1));
	values.nulls = palloc0(sizeof(bool) * (n + 1));
	values.values[0] = TimestampTzGetDatum(cart->at);
	for (int i = 0; i < n; i++)
		values.nulls[i + 1] = !datum(when, cart, line, i, &values.values[i + 1]);
	ec_expr_begin(&as, when->definer);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	truth = ec_expr_test(when->expr, when->expr->tree, &values);
	SPI_finish();
	ec_expr_end(&as);
	return truth;
}

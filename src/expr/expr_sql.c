/*-------------------------------------------------------------------------
 *
 * expr_sql.c
 *		Conditions from SQL: to check, try, explain and compile one by hand.
 *
 * The caller is the definer.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "expr/expr.h"

PG_FUNCTION_INFO_V1(ecauto_check_condition);
PG_FUNCTION_INFO_V1(ecauto_compile_condition);
PG_FUNCTION_INFO_V1(ecauto_condition_self_contained);
PG_FUNCTION_INFO_V1(ecauto_evaluate);
PG_FUNCTION_INFO_V1(ecauto_explain_condition);
PG_FUNCTION_INFO_V1(ecauto_condition_changes_at);

static void
argument_require(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be NULL", name)));
}

/* Arguments 0 and 1: the condition and its scope. */
static EcExpr *
condition_argument(FunctionCallInfo fcinfo)
{
	return ec_expr_check(text_to_cstring(PG_GETARG_TEXT_PP(0)),
						 ec_expr_scope_from_jsonb(PG_GETARG_JSONB_P(1)));
}

/* Arguments 2 and 3: data, NULL for none, and the time, NULL for ecauto.now(). */
static EcExprValues *
values_argument(FunctionCallInfo fcinfo, const EcExpr *expr)
{
	Jsonb	   *data = PG_ARGISNULL(2) ?
		DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"))) : PG_GETARG_JSONB_P(2);

	return ec_expr_values_from_jsonb(expr, data, PG_ARGISNULL(3) ? ec_now() : PG_GETARG_TIMESTAMPTZ(3));
}

/* EcExprColumnSql: what a jsonb object says under "row.column", else the name itself */
static const char *
column_of_object(const EcExprRow *row, const EcExprColumn *column, void *arg)
{
	Jsonb	   *columns = arg;
	char	   *name = psprintf("%s.%s", row->name, column->name);
	JsonbValue	value;

	if (columns == NULL ||
		getKeyJsonValueFromContainer(&columns->root, name, strlen(name), &value) == NULL)
		return psprintf("%s.%s", quote_identifier(row->name), quote_identifier(column->name));
	if (value.type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("SQL of column \"%s\" must be a string", name)));
	return psprintf("(%s)", pnstrdup(value.val.string.val, value.val.string.len));
}

/*
 * ecauto.compile_condition(condition text, scope jsonb, columns jsonb, as_of text) returns text
 */
Datum
ecauto_compile_condition(PG_FUNCTION_ARGS)
{
	Jsonb	   *columns = PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2);
	const char *now_sql = PG_ARGISNULL(3) ? NULL : psprintf("(%s)", text_to_cstring(PG_GETARG_TEXT_PP(3)));
	EcAs		as;
	char	   *sql;

	argument_require(fcinfo, 0, "condition");
	argument_require(fcinfo, 1, "scope");
	if (columns != NULL && !JB_ROOT_IS_OBJECT(columns))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("columns must be an object"),
				 errhint("Such as: {\"customer.country\": \"c.country\"}")));
	ec_expr_begin(&as, GetUserId());
	sql = ec_expr_compile(condition_argument(fcinfo), column_of_object, columns, now_sql);
	ec_expr_end(&as);
	PG_RETURN_TEXT_P(cstring_to_text(sql));
}

/*
 * ecauto.check_condition(condition text, scope jsonb) returns text
 */
Datum
ecauto_check_condition(PG_FUNCTION_ARGS)
{
	EcAs		as;
	EcExpr	   *expr;
	char	   *text;

	argument_require(fcinfo, 0, "condition");
	argument_require(fcinfo, 1, "scope");
	ec_expr_begin(&as, GetUserId());
	expr = condition_argument(fcinfo);
	text = ec_expr_text(expr);
	ec_expr_end(&as);
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

/*
 * ecauto.condition_self_contained(condition text, scope jsonb) returns boolean
 */
Datum
ecauto_condition_self_contained(PG_FUNCTION_ARGS)
{
	EcAs		as;
	bool		self_contained;

	argument_require(fcinfo, 0, "condition");
	argument_require(fcinfo, 1, "scope");
	ec_expr_begin(&as, GetUserId());
	self_contained = condition_argument(fcinfo)->self_contained;
	ec_expr_end(&as);
	PG_RETURN_BOOL(self_contained);
}

/*
 * ecauto.evaluate(condition text, scope jsonb, data jsonb, as_of timestamptz) returns boolean
 */
Datum
ecauto_evaluate(PG_FUNCTION_ARGS)
{
	EcAs		as;
	EcExpr	   *expr;
	EcExprTruth truth;

	argument_require(fcinfo, 0, "condition");
	argument_require(fcinfo, 1, "scope");
	ec_expr_begin(&as, GetUserId());
	SPI_connect();
	expr = condition_argument(fcinfo);
	truth = ec_expr_test(expr, expr->tree, values_argument(fcinfo, expr));
	SPI_finish();
	ec_expr_end(&as);
	if (truth == EC_EXPR_NULL)
		PG_RETURN_NULL();
	PG_RETURN_BOOL(truth == EC_EXPR_TRUE);
}

/*
 * ecauto.explain_condition(condition text, scope jsonb, data jsonb, as_of timestamptz)
 * returns table(path text, depth integer, expression text, result boolean, operands jsonb, remedy text)
 */
Datum
ecauto_explain_condition(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext caller = CurrentMemoryContext;
	EcAs		as;
	EcExpr	   *expr;
	List	   *parts;
	ListCell   *lc;

	argument_require(fcinfo, 0, "condition");
	argument_require(fcinfo, 1, "scope");
	InitMaterializedSRF(fcinfo, 0);

	ec_expr_begin(&as, GetUserId());
	SPI_connect();
	expr = condition_argument(fcinfo);
	parts = ec_expr_explain(expr, values_argument(fcinfo, expr));
	foreach(lc, parts)
	{
		EcExprPart *part = lfirst(lc);
		Datum		values[6];
		bool		nulls[6] = {0};

		values[0] = CStringGetTextDatum(part->path);
		values[1] = Int32GetDatum(part->depth);
		values[2] = CStringGetTextDatum(part->expression);
		nulls[3] = part->result == EC_EXPR_NULL;
		values[3] = BoolGetDatum(part->result == EC_EXPR_TRUE);
		nulls[4] = part->operands == NULL;
		values[4] = PointerGetDatum(part->operands);
		nulls[5] = part->remedy == NULL;
		values[5] = part->remedy ? CStringGetTextDatum(part->remedy) : (Datum) 0;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	SPI_finish();
	ec_expr_end(&as);
	MemoryContextSwitchTo(caller);
	return (Datum) 0;
}

/*
 * ecauto.condition_changes_at(condition text, scope jsonb, data jsonb, as_of timestamptz)
 * returns timestamptz
 */
Datum
ecauto_condition_changes_at(PG_FUNCTION_ARGS)
{
	EcAs		as;
	EcExpr	   *expr;
	TimestampTz at;

	argument_require(fcinfo, 0, "condition");
	argument_require(fcinfo, 1, "scope");
	ec_expr_begin(&as, GetUserId());
	SPI_connect();
	expr = condition_argument(fcinfo);
	at = ec_expr_changes_at(expr, expr->tree, values_argument(fcinfo, expr));
	SPI_finish();
	ec_expr_end(&as);
	if (at == EC_EXPR_NEVER)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(at);
}

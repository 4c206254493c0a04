/*-------------------------------------------------------------------------
 *
 * expr_eval.c
 *		A condition on one set of values.
 *
 * Flows and segments evaluate set-wise (expr_compile.c).  This is for trying a
 * condition, for explaining it and for looking ahead in time: the tree's
 * parameters become parameters of a statement, so whole and parts are
 * evaluated by the server in the same way.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"

#include "expr/expr.h"

pg_noreturn static void
data_malformed(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("data must be an object with an object for each row of the scope"),
			 errdetail("%s", detail),
			 errhint("Such as: {\"customer\": {\"country\": \"PL\", \"age\": 31}}")));
}

/* Is the row's part of data one that jsonb_to_record() takes? */
static void
data_check(const EcExpr *expr, Jsonb *data)
{
	if (!JB_ROOT_IS_OBJECT(data))
		data_malformed("It is not an object.");
	for (int i = 0; i < expr->nparams; i++)
	{
		const char *name = expr->params[i].row->name;
		JsonbValue	found;

		if (getKeyJsonValueFromContainer(&data->root, name, strlen(name), &found) == NULL ||
			found.type == jbvNull)
			continue;
		if (found.type != jbvBinary || !JsonContainerIsObject(found.val.binary.data))
			data_malformed(psprintf("Row \"%s\" is not an object.", name));
	}
}

/* SELECT the used columns, in order, FROM data ($1) */
static char *
data_query(const EcExpr *expr)
{
	StringInfoData targets;
	StringInfoData rows;
	Bitmapset  *done = NULL;

	initStringInfo(&targets);
	initStringInfo(&rows);
	for (int i = 0; i < expr->nparams; i++)
	{
		const EcExprRow *row = expr->params[i].row;
		int			number = row - expr->scope->rows;

		appendStringInfo(&targets, "%s%s.%s", i > 0 ? ", " : "", quote_identifier(row->name),
						 quote_identifier(expr->params[i].column->name));
		if (bms_is_member(number, done))
			continue;
		done = bms_add_member(done, number);
		appendStringInfo(&rows, "%spg_catalog.jsonb_to_record(coalesce(nullif($1->%s, 'null'), '{}')) AS %s(",
						 i > 0 ? ", " : "", quote_literal_cstr(row->name), quote_identifier(row->name));
		for (int j = i, n = 0; j < expr->nparams; j++)
		{
			const EcExprColumn *column = expr->params[j].column;

			if (expr->params[j].row != row)
				continue;
			appendStringInfo(&rows, "%s%s %s", n++ > 0 ? ", " : "", quote_identifier(column->name),
							 format_type_extended(column->type, column->typmod,
												  FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
		}
		appendStringInfoChar(&rows, ')');
	}
	return psprintf("SELECT %s FROM %s", targets.data, rows.data);
}

/*
 * Read the values that a condition uses from {"row": {"column": value}}.  What
 * is missing is NULL.  as_of is what ecauto.now() gives.  The caller is
 * connected to SPI; the result is in the context that was current before.
 * Errors: invalid_parameter_value, and those of types' input functions.
 */
EcExprValues *
ec_expr_values_from_jsonb(const EcExpr *expr, Jsonb *data, TimestampTz as_of)
{
	EcExprValues *values = SPI_palloc(sizeof(EcExprValues));
	Oid			type = JSONBOID;
	Datum		arg = JsonbPGetDatum(data);

	values->values = SPI_palloc(sizeof(Datum) * (expr->nparams + 1));
	values->nulls = SPI_palloc(sizeof(bool) * (expr->nparams + 1));
	values->values[0] = TimestampTzGetDatum(as_of);
	values->nulls[0] = false;

	data_check(expr, data);
	if (expr->nparams == 0)
		return values;

	if (SPI_execute_with_args(data_query(expr), 1, &type, &arg, NULL, true, 2) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "reading the values of a condition gave " UINT64_FORMAT " rows", SPI_processed);
	for (int i = 0; i < expr->nparams; i++)
	{
		bool	   *isnull = &values->nulls[i + 1];
		Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, isnull);
		Form_pg_attribute attribute = TupleDescAttr(SPI_tuptable->tupdesc, i);

		values->values[i + 1] = *isnull ? (Datum) 0 :
			SPI_datumTransfer(value, attribute->attbyval, attribute->attlen);
	}
	SPI_freetuptable(SPI_tuptable);
	return values;
}

/*
 * A statement that evaluates parts of a condition, to be run by ec_expr_run().
 * The caller is connected to SPI, and the plan ends with that.
 */
SPIPlanPtr
ec_expr_plan(const EcExpr *expr, List *nodes)
{
	Oid		   *types = palloc(sizeof(Oid) * (expr->nparams + 1));
	StringInfoData sql;
	SPIPlanPtr	plan;
	ListCell   *lc;

	types[0] = TIMESTAMPTZOID;
	for (int i = 0; i < expr->nparams; i++)
		types[i + 1] = expr->params[i].column->type;
	initStringInfo(&sql);
	foreach(lc, nodes)
		appendStringInfo(&sql, "%s%s", sql.len == 0 ? "SELECT " : ", ",
						 deparse_expression(lfirst(lc), NIL, false, false));
	plan = SPI_prepare(sql.data, expr->nparams + 1, types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare returned %s for \"%s\"",
			 SPI_result_code_string(SPI_result), sql.data);
	return plan;
}

/* Run a plan of n parts; results are copied into the caller's context. */
void
ec_expr_run(SPIPlanPtr plan, const EcExprValues *values, int n, Datum *result, bool *isnull)
{
	char	   *nulls = palloc(SPI_getargcount(plan) + 1);

	for (int i = 0; i < SPI_getargcount(plan); i++)
		nulls[i] = values->nulls[i] ? 'n' : ' ';
	if (SPI_execute_plan(plan, values->values, nulls, true, 2) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "evaluating a condition gave " UINT64_FORMAT " rows", SPI_processed);
	for (int i = 0; i < n; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(SPI_tuptable->tupdesc, i);

		result[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &isnull[i]);
		if (!isnull[i])
			result[i] = SPI_datumTransfer(result[i], attribute->attbyval, attribute->attlen);
	}
	SPI_freetuptable(SPI_tuptable);
	pfree(nulls);
}

/* Evaluate one boolean part of a condition; the caller is connected to SPI. */
EcExprTruth
ec_expr_test(const EcExpr *expr, Node *node, const EcExprValues *values)
{
	SPIPlanPtr	plan = ec_expr_plan(expr, list_make1(node));
	Datum		result;
	bool		isnull;

	ec_expr_run(plan, values, 1, &result, &isnull);
	SPI_freeplan(plan);
	return isnull ? EC_EXPR_NULL : DatumGetBool(result) ? EC_EXPR_TRUE : EC_EXPR_FALSE;
}

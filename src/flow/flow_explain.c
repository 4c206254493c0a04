/*-------------------------------------------------------------------------
 *
 * flow_explain.c
 *		What a condition of a flow saw: its leaves, from the operands that
 *		were kept when it was asked.
 *
 * A decision keeps the values of all columns that its condition uses.  From
 * these and the text of the condition in that version of the flow, each
 * comparison is evaluated again, at the time of the decision, and a false one
 * says what would make it true (expr_explain.c).  Rows of the shop are not
 * looked at, so the answer is about then; only what a subquery reads, or a
 * function other than ecauto.now(), is of now.
 *
 * All of it runs as the caller: who may read the definition and the operands
 * may have them explained, and gains no rights of the definer by it.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "flow/flow.h"

PG_FUNCTION_INFO_V1(ecauto_explain_decision);

/* The condition that a decision at a path was about, or NULL; with_run: its scope. */
static EcFlowCondition *
condition_at(EcFlow *flow, const char *path, bool *with_run)
{
	int			op;

	*with_run = true;
	if (strcmp(path, "on") == 0)
	{
		*with_run = false;
		return flow->condition.text != NULL ? &flow->condition : NULL;
	}
	if (flow->condition.text != NULL && strcmp(path, flow->condition.path) == 0)
		return &flow->condition;
	if (flow->exit_if.text != NULL && strcmp(path, flow->exit_if.path) == 0)
		return &flow->exit_if;
	op = ec_flow_op_by_path(flow, path);
	return op >= 0 && flow->ops[op].kind == EC_OP_IF ? &flow->ops[op].condition : NULL;
}

/* {"new.available": 4} as {"new": {"available": 4}}; names of rows hold no dots */
static Jsonb *
operands_nested(const EcExpr *expr, Jsonb *flat)
{
	JsonbParseState *state = NULL;
	JsonbValue	key;
	JsonbValue	value;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < expr->scope->nrows; i++)
	{
		const EcExprRow *row = &expr->scope->rows[i];

		key.type = jbvString;
		key.val.string.val = unconstify(char *, row->name);
		key.val.string.len = strlen(row->name);
		(void) pushJsonbValue(&state, WJB_KEY, &key);
		(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		for (int j = 0; j < expr->nparams; j++)
		{
			char	   *name;

			if (expr->params[j].row != row)
				continue;
			name = psprintf("%s.%s", row->name, expr->params[j].column->name);
			if (getKeyJsonValueFromContainer(&flat->root, name, strlen(name), &value) == NULL)
				continue;
			key.val.string.val = unconstify(char *, expr->params[j].column->name);
			key.val.string.len = strlen(expr->params[j].column->name);
			(void) pushJsonbValue(&state, WJB_KEY, &key);
			(void) pushJsonbValue(&state, WJB_VALUE, &value);
		}
		(void) pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static void
member_string(JsonbParseState **state, const char *name, const char *text)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, name);
	value.val.string.len = strlen(name);
	(void) pushJsonbValue(state, WJB_KEY, &value);
	if (text == NULL)
		value.type = jbvNull;
	else
	{
		value.val.string.val = unconstify(char *, text);
		value.val.string.len = strlen(text);
	}
	(void) pushJsonbValue(state, WJB_VALUE, &value);
}

static void
member_object(JsonbParseState **state, const char *name, Jsonb *object)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, name);
	value.val.string.len = strlen(name);
	(void) pushJsonbValue(state, WJB_KEY, &value);
	value.type = jbvBinary;
	value.val.binary.data = &object->root;
	value.val.binary.len = VARSIZE(object) - VARHDRSZ;
	(void) pushJsonbValue(state, WJB_VALUE, &value);
}

static void
member_truth(JsonbParseState **state, const char *name, EcExprTruth truth)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, name);
	value.val.string.len = strlen(name);
	(void) pushJsonbValue(state, WJB_KEY, &value);
	value.type = truth == EC_EXPR_NULL ? jbvNull : jbvBool;
	value.val.boolean = truth == EC_EXPR_TRUE;
	(void) pushJsonbValue(state, WJB_VALUE, &value);
}

/* Array of the leaves among some parts: those that no deeper part follows. */
static Jsonb *
leaves_jsonb(List *parts)
{
	JsonbParseState *state = NULL;
	ListCell   *lc;

	(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	foreach(lc, parts)
	{
		EcExprPart *part = lfirst(lc);
		ListCell   *next = lnext(parts, lc);

		if (next != NULL && ((EcExprPart *) lfirst(next))->depth > part->depth)
			continue;
		(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		member_string(&state, "path", part->path);
		member_string(&state, "expression", part->expression);
		member_truth(&state, "result", part->result);
		if (part->operands != NULL)
			member_object(&state, "operands", part->operands);
		if (part->remedy != NULL)
			member_string(&state, "remedy", part->remedy);
		(void) pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

typedef struct Decision
{
	EcFlow	   *flow;
	EcFlowCondition *condition;
	bool		with_run;
	Jsonb	   *operands;
	TimestampTz at;
	Jsonb	   *leaves;			/* out: in the context of the caller of ec_try() */
} Decision;

/* EcTryRun */
static void
explain(void *arg)
{
	Decision   *decision = arg;
	MemoryContext caller = CurrentMemoryContext;
	EcExpr	   *expr;
	EcExprValues *values;
	Jsonb	   *leaves;
	EcAs		as;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_expr_begin(&as, GetUserId());
	expr = ec_expr_check(decision->condition->text, ec_flow_scope(decision->flow, decision->with_run));
	values = ec_expr_values_from_jsonb(expr, operands_nested(expr, decision->operands), decision->at);
	leaves = leaves_jsonb(ec_expr_explain(expr, values));
	ec_expr_end(&as);
	MemoryContextSwitchTo(caller);
	decision->leaves = (Jsonb *) PG_DETOAST_DATUM_COPY(JsonbPGetDatum(leaves));
	SPI_finish();
}

/*
 * ecauto.explain_decision(flow text, definition jsonb, path text, operands jsonb, at timestamptz) returns jsonb
 *
 * NULL if no condition was asked there.  A condition that cannot be evaluated
 * any more (a role was bound anew, the caller may not read a table) is an
 * array of one object with the error.
 */
Datum
ecauto_explain_decision(PG_FUNCTION_ARGS)
{
	Decision	decision = {0};
	ErrorData  *error;

	decision.flow = ec_flow_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_JSONB_P(1));
	decision.operands = PG_GETARG_JSONB_P(3);
	decision.at = PG_GETARG_TIMESTAMPTZ(4);
	decision.condition = condition_at(decision.flow, text_to_cstring(PG_GETARG_TEXT_PP(2)), &decision.with_run);
	if (decision.condition == NULL || !JB_ROOT_IS_OBJECT(decision.operands))
		PG_RETURN_NULL();
	error = ec_try(explain, &decision, true);
	if (error != NULL)
	{
		JsonbParseState *state = NULL;

		(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
		(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		member_string(&state, "expression", decision.condition->text);
		member_string(&state, "error", error->message);
		(void) pushJsonbValue(&state, WJB_END_OBJECT, NULL);
		decision.leaves = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
	}
	PG_RETURN_JSONB_P(decision.leaves);
}

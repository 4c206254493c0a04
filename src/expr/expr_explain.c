/*-------------------------------------------------------------------------
 *
 * expr_explain.c
 *		Why a condition is true or not, part by part.
 *
 * The tree of AND, OR and NOT is walked down to its leaves.  Each leaf is
 * evaluated on its own, beside the values it compares, and the branches follow
 * by three-valued logic.  The root is evaluated as a whole, so that it is what
 * ec_expr_test() says in any case; a leaf that the server need not have looked
 * at may fail (x <> 0 AND 1 / x > 2) and then says so, no more.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/resowner.h"

#include "expr/expr.h"

typedef struct Explain
{
	const EcExpr *expr;
	const EcExprValues *values;
	List	   *parts;			/* of EcExprPart */
} Explain;

static EcExprTruth
truth_not(EcExprTruth truth)
{
	return truth == EC_EXPR_NULL ? EC_EXPR_NULL :
		truth == EC_EXPR_TRUE ? EC_EXPR_FALSE : EC_EXPR_TRUE;
}

/* ---- leaves ---- */

/* {"customer.country": "DE", ...} from operands and their values as jsonb */
static Jsonb *
operands_object(const EcExpr *expr, List *operands, const Datum *json, const bool *nulls)
{
	JsonbParseState *state = NULL;
	JsonbValue	object;
	ListCell   *lc;
	int			i = 0;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	foreach(lc, operands)
	{
		JsonbValue	key;
		JsonbValue	value;

		key.type = jbvString;
		key.val.string.val = ec_expr_node_text(expr, lfirst(lc));
		key.val.string.len = strlen(key.val.string.val);
		(void) pushJsonbValue(&state, WJB_KEY, &key);
		if (nulls[i])
			value.type = jbvNull;
		else
			JsonbToJsonbValue(DatumGetJsonbP(json[i]), &value);
		if (value.type == jbvBinary && JsonContainerIsScalar(value.val.binary.data))
			(void) JsonbExtractScalar(value.val.binary.data, &value);
		(void) pushJsonbValue(&state, WJB_VALUE, &value);
		i++;
	}
	object = *pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(&object);
}

static void
leaf_evaluate(Explain *explain, EcExprPart *part, Node *leaf, bool wanted)
{
	List	   *operands = ec_expr_operands(leaf);
	int			n = list_length(operands);
	List	   *nodes = list_make1(leaf);
	Datum	   *values = palloc(sizeof(Datum) * (2 * n + 1));
	bool	   *nulls = palloc(sizeof(bool) * (2 * n + 1));
	SPIPlanPtr	plan;
	ListCell   *lc;

	nodes = list_concat(nodes, operands);
	foreach(lc, operands)
		nodes = lappend(nodes, makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(lfirst(lc)),
											InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL));
	plan = ec_expr_plan(explain->expr, nodes);
	ec_expr_run(plan, explain->values, 2 * n + 1, values, nulls);
	SPI_freeplan(plan);

	part->result = nulls[0] ? EC_EXPR_NULL : DatumGetBool(values[0]) ? EC_EXPR_TRUE : EC_EXPR_FALSE;
	part->operands = operands_object(explain->expr, operands, values + 1 + n, nulls + 1 + n);
	if (part->result != (wanted ? EC_EXPR_TRUE : EC_EXPR_FALSE))
		part->remedy = ec_expr_remedy(explain->expr, explain->values, leaf, wanted, operands,
									  values + 1, nulls + 1);
}

/* Does an error tell of the moment, and not of the leaf and its values? */
static bool
error_is_of_moment(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			return true;
		default:
			return false;
	}
}

/* Evaluate a leaf; one that fails is neither true nor false, and says why. */
static void
leaf_explain(Explain *explain, EcExprPart *part, Node *leaf, bool wanted)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		leaf_evaluate(explain, part, leaf, wanted);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (error_is_of_moment(error))
			ReThrowError(error);
		part->result = EC_EXPR_NULL;
		part->operands = NULL;
		part->remedy = psprintf("cannot be evaluated: %s", error->message);
	}
	PG_END_TRY();
}

/* ---- branches ---- */

/*
 * What would make a branch as wanted: which of its parts.  all: each of those
 * that are not as they should be, else one of them is enough.
 */
static char *
branch_remedy(List *parts, bool all, bool wanted)
{
	StringInfoData result;
	int			n = 0;
	ListCell   *lc;

	initStringInfo(&result);
	foreach(lc, parts)
	{
		EcExprPart *part = lfirst(lc);

		if (part->remedy == NULL)
			continue;
		appendStringInfo(&result, "%s%s", n++ == 0 ? "" : all ? " and " : " or ", part->path);
	}
	appendStringInfo(&result, " must become %s", wanted ? "true" : "false");
	return result.data;
}

static EcExprPart *
part_explain(Explain *explain, Node *node, const char *path, int depth, bool wanted)
{
	EcExprPart *part = palloc0(sizeof(EcExprPart));
	BoolExpr   *branch;
	List	   *parts = NIL;
	EcExprTruth dominant;
	ListCell   *lc;

	part->path = pstrdup(path);
	part->depth = depth;
	part->expression = ec_expr_node_text(explain->expr, node);
	explain->parts = lappend(explain->parts, part);

	if (!IsA(node, BoolExpr))
	{
		leaf_explain(explain, part, node, wanted);
		return part;
	}

	branch = (BoolExpr *) node;
	if (branch->boolop == NOT_EXPR)
		wanted = !wanted;
	foreach(lc, branch->args)
		parts = lappend(parts,
						part_explain(explain, lfirst(lc),
									 psprintf("%s.%d", path, foreach_current_index(lc) + 1),
									 depth + 1, wanted));
	if (branch->boolop == NOT_EXPR)
	{
		part->result = truth_not(((EcExprPart *) linitial(parts))->result);
		if (((EcExprPart *) linitial(parts))->remedy != NULL)
			part->remedy = branch_remedy(parts, true, wanted);
		return part;
	}

	/* FALSE decides an AND, TRUE an OR, and NULL comes before the other */
	dominant = branch->boolop == AND_EXPR ? EC_EXPR_FALSE : EC_EXPR_TRUE;
	part->result = truth_not(dominant);
	foreach(lc, parts)
	{
		EcExprTruth result = ((EcExprPart *) lfirst(lc))->result;

		if (result == dominant)
			part->result = dominant;
		else if (result == EC_EXPR_NULL && part->result != dominant)
			part->result = EC_EXPR_NULL;
	}
	if (part->result != (wanted ? EC_EXPR_TRUE : EC_EXPR_FALSE))
		part->remedy = branch_remedy(parts, wanted == (branch->boolop == AND_EXPR), wanted);
	return part;
}

/*
 * Explain a condition: a list of EcExprPart, the whole first.  The caller is
 * connected to SPI.  Errors: those of evaluating the condition.
 */
List *
ec_expr_explain(const EcExpr *expr, const EcExprValues *values)
{
	Explain		explain = {expr, values, NIL};
	EcExprTruth truth = ec_expr_test(expr, expr->tree, values);
	EcExprPart *root = part_explain(&explain, expr->tree, "1", 0, true);

	/* they differ if a part failed that the server need not evaluate */
	root->result = truth;
	if (truth == EC_EXPR_TRUE)
		root->remedy = NULL;
	return explain.parts;
}

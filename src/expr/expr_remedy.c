/*-------------------------------------------------------------------------
 *
 * expr_remedy.c
 *		What a leaf of a condition compares, and what would make it true.
 *
 * A remedy speaks of the side that depends on the rows, the subject, and keeps
 * the other, the object, as it is: "customer.orders_count must rise by 1 to 3".
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/typcache.h"

#include "expr/expr.h"

/* more elements of a list than this are not shown */
#define LIST_MAX 10

/* ---- what a leaf is about ---- */

static bool
columns_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXTERN &&
		((Param *) node)->paramid != EC_EXPR_NOW)
		return true;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, columns_walker, context, 0);
	return expression_tree_walker(node, columns_walker, context);
}

bool
ec_expr_uses_columns(Node *node)
{
	return columns_walker(node, NULL);
}

static bool
now_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXTERN &&
		((Param *) node)->paramid == EC_EXPR_NOW)
		return true;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, now_walker, context, 0);
	return expression_tree_walker(node, now_walker, context);
}

bool
ec_expr_uses_now(Node *node)
{
	return now_walker(node, NULL);
}

/*
 * If a leaf compares two values by a btree operator or its negation, say how.
 */
bool
ec_expr_comparison(Node *leaf, EcExprComparison *comparison)
{
	OpExpr	   *op = (OpExpr *) leaf;
	TypeCacheEntry *type;

	if (!IsA(leaf, OpExpr) || list_length(op->args) != 2)
		return false;
	comparison->subject = linitial(op->args);
	comparison->object = lsecond(op->args);
	type = lookup_type_cache(getBaseType(exprType(comparison->subject)), TYPECACHE_BTREE_OPFAMILY);
	if (!OidIsValid(type->btree_opf))
		return false;
	comparison->strategy = get_op_opfamily_strategy(op->opno, type->btree_opf);
	if (comparison->strategy == 0 &&
		get_op_opfamily_strategy(get_negator(op->opno), type->btree_opf) != BTEqualStrategyNumber)
		return false;

	if (!ec_expr_uses_columns(comparison->subject) && ec_expr_uses_columns(comparison->object))
	{
		Node	   *object = comparison->subject;

		comparison->subject = comparison->object;
		comparison->object = object;
		if (comparison->strategy != 0)
			comparison->strategy = BTMaxStrategyNumber + 1 - comparison->strategy;
	}
	comparison->subject = strip_implicit_coercions(comparison->subject);
	comparison->object = strip_implicit_coercions(comparison->object);
	return true;
}

static List *
operand_add(List *operands, Node *node)
{
	node = strip_implicit_coercions(node);
	if (IsA(node, Const) || IsA(node, ArrayExpr) || IsA(node, RowExpr))
		return operands;
	return list_append_unique(operands, node);
}

static bool
parameters_walker(Node *node, List **operands)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXTERN)
		*operands = list_append_unique(*operands, node);
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, parameters_walker, operands, 0);
	return expression_tree_walker(node, parameters_walker, operands);
}

/*
 * What a leaf is about: the values it compares, then the columns these are
 * made of; no constants, nothing twice.
 */
List *
ec_expr_operands(Node *leaf)
{
	List	   *operands = NIL;
	List	   *args = NIL;
	ListCell   *lc;

	if (IsA(leaf, OpExpr) || IsA(leaf, DistinctExpr))
		args = ((OpExpr *) leaf)->args;
	else if (IsA(leaf, ScalarArrayOpExpr))
		args = ((ScalarArrayOpExpr *) leaf)->args;
	else if (IsA(leaf, NullTest))
		args = list_make1(((NullTest *) leaf)->arg);
	else if (IsA(leaf, BooleanTest))
		args = list_make1(((BooleanTest *) leaf)->arg);
	foreach(lc, args)
		operands = operand_add(operands, lfirst(lc));
	(void) parameters_walker(leaf, &operands);
	return operands;
}

/* ---- values in words ---- */

/* A leaf under remedy. */
typedef struct Remedy
{
	const EcExpr *expr;
	List	   *operands;		/* and their values */
	const Datum *values;
	const bool *nulls;
} Remedy;

/* The value of a constant or of an operand; false if it is neither. */
static bool
value_of(const Remedy *remedy, Node *node, Datum *value, bool *isnull)
{
	ListCell   *lc;

	if (IsA(node, Const))
	{
		*value = ((Const *) node)->constvalue;
		*isnull = ((Const *) node)->constisnull;
		return true;
	}
	foreach(lc, remedy->operands)
		if (equal(lfirst(lc), node))
		{
			*value = remedy->values[foreach_current_index(lc)];
			*isnull = remedy->nulls[foreach_current_index(lc)];
			return true;
		}
	return false;
}

static char *
value_text(Datum value, bool isnull, Oid type)
{
	Oid			output;
	bool		varlena;
	char	   *text;

	if (isnull)
		return "NULL";
	getTypeOutputInfo(type, &output, &varlena);
	text = OidOutputFunctionCall(output, value);
	switch (getBaseType(type))
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
		case FLOAT4OID:
		case FLOAT8OID:
			return text;
		case BOOLOID:
			return *text == 't' ? "true" : "false";
		default:
			return quote_literal_cstr(text);
	}
}

/* A side of a comparison: the value it has, and how it is made if that is more. */
static char *
side_text(const Remedy *remedy, Node *node)
{
	Datum		value;
	bool		isnull;

	if (!value_of(remedy, node, &value, &isnull))
		return ec_expr_node_text(remedy->expr, node);
	if (IsA(node, Const))
		return value_text(value, isnull, exprType(node));
	return psprintf("%s (%s)", value_text(value, isnull, exprType(node)),
					ec_expr_node_text(remedy->expr, node));
}

static bool
type_is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

static bool
type_is_moment(Oid type)
{
	return type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID ||
		type == TIMEOID || type == TIMETZOID;
}

/* A finite number of any type as numeric; false if it is none. */
static bool
number_of(Datum value, Oid type, Datum *number)
{
	switch (type)
	{
		case INT2OID:
			*number = DirectFunctionCall1(int2_numeric, value);
			break;
		case INT4OID:
			*number = DirectFunctionCall1(int4_numeric, value);
			break;
		case INT8OID:
			*number = DirectFunctionCall1(int8_numeric, value);
			break;
		case NUMERICOID:
			*number = value;
			break;
		case FLOAT4OID:
			*number = DirectFunctionCall1(float4_numeric, value);
			break;
		case FLOAT8OID:
			*number = DirectFunctionCall1(float8_numeric, value);
			break;
		default:
			return false;
	}
	return !numeric_is_nan(DatumGetNumeric(*number)) && !numeric_is_inf(DatumGetNumeric(*number));
}

static char *
number_text(Datum number)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out,
											   DirectFunctionCall1(numeric_trim_scale, number)));
}

/* ---- remedies by kind ---- */

static const char *
strategy_words(int strategy)
{
	switch (strategy)
	{
		case BTLessStrategyNumber:
			return "less than";
		case BTLessEqualStrategyNumber:
			return "at most";
		case BTEqualStrategyNumber:
			return "equal to";
		case BTGreaterEqualStrategyNumber:
			return "at least";
		case BTGreaterStrategyNumber:
			return "more than";
		default:
			return "other than";
	}
}

static int
strategy_negate(int strategy)
{
	switch (strategy)
	{
		case BTLessStrategyNumber:
			return BTGreaterEqualStrategyNumber;
		case BTLessEqualStrategyNumber:
			return BTGreaterStrategyNumber;
		case BTEqualStrategyNumber:
			return 0;
		case BTGreaterEqualStrategyNumber:
			return BTLessStrategyNumber;
		case BTGreaterStrategyNumber:
			return BTLessEqualStrategyNumber;
		default:
			return BTEqualStrategyNumber;
	}
}

/* "x must rise by 1 to 3"; whole: both are integers. */
static char *
remedy_number(const char *name, int strategy, Datum is, Datum bound, bool whole, const char *made_of)
{
	Datum		gap;
	bool		rise;

	if (strategy == 0)
		return psprintf("%s must be other than %s%s", name, number_text(bound), made_of);
	if (whole && (strategy == BTLessStrategyNumber || strategy == BTGreaterStrategyNumber))
	{
		/* the next integer is the first that will do */
		Datum		one = DirectFunctionCall1(int4_numeric, Int32GetDatum(1));

		bound = DirectFunctionCall2(strategy == BTLessStrategyNumber ? numeric_sub : numeric_add,
									bound, one);
		strategy = strategy == BTLessStrategyNumber ? BTLessEqualStrategyNumber : BTGreaterEqualStrategyNumber;
		made_of = "";
	}
	rise = DatumGetBool(DirectFunctionCall2(numeric_lt, is, bound)) ||
		strategy == BTGreaterStrategyNumber;
	gap = DirectFunctionCall1(numeric_abs, DirectFunctionCall2(numeric_sub, bound, is));
	if (strategy == BTLessStrategyNumber || strategy == BTGreaterStrategyNumber)
		return psprintf("%s must %s by more than %s, %s %s%s", name, rise ? "rise" : "fall",
						number_text(gap), rise ? "above" : "below", number_text(bound), made_of);
	return psprintf("%s must %s by %s to %s%s", name, rise ? "rise" : "fall", number_text(gap),
					number_text(bound), made_of);
}

static char *
remedy_comparison(const Remedy *remedy, const EcExprComparison *comparison, int strategy)
{
	const char *name = ec_expr_node_text(remedy->expr, comparison->subject);
	Oid			type = getBaseType(exprType(comparison->subject));
	Oid			bound_type = getBaseType(exprType(comparison->object));
	Datum		is;
	Datum		bound;
	Datum		is_number;
	Datum		bound_number;
	bool		is_null;
	bool		bound_null;
	char	   *object = side_text(remedy, comparison->object);

	if (!value_of(remedy, comparison->subject, &is, &is_null) ||
		!value_of(remedy, comparison->object, &bound, &bound_null))
		return NULL;
	if (bound_null)
		return psprintf("%s is NULL, to which nothing compares",
						ec_expr_node_text(remedy->expr, comparison->object));
	if (is_null)
		return psprintf("%s must be %s %s, is NULL", name, strategy_words(strategy), object);
	if (number_of(is, type, &is_number) && number_of(bound, bound_type, &bound_number))
		return remedy_number(name, strategy, is_number, bound_number,
							 type_is_integer(type) && type_is_integer(bound_type),
							 IsA(comparison->object, Const) ? "" :
							 psprintf(" (%s)", ec_expr_node_text(remedy->expr, comparison->object)));
	if (type_is_moment(type))
		switch (strategy)
		{
			case BTLessStrategyNumber:
				return psprintf("%s must be before %s, is %s", name, object, value_text(is, false, type));
			case BTLessEqualStrategyNumber:
				return psprintf("%s must be %s or earlier, is %s", name, object, value_text(is, false, type));
			case BTGreaterEqualStrategyNumber:
				return psprintf("%s must be %s or later, is %s", name, object, value_text(is, false, type));
			case BTGreaterStrategyNumber:
				return psprintf("%s must be after %s, is %s", name, object, value_text(is, false, type));
			default:
				break;
		}
	if (strategy == BTEqualStrategyNumber)
		return psprintf("needs %s = %s, is %s", name, object, value_text(is, false, type));
	return psprintf("%s must be %s %s, is %s", name, strategy_words(strategy), object,
					value_text(is, false, type));
}

/* x IN (...) and x NOT IN (...) */
static char *
remedy_list(const Remedy *remedy, ScalarArrayOpExpr *leaf, bool wanted)
{
	Node	   *subject = strip_implicit_coercions(linitial(leaf->args));
	Node	   *array = strip_implicit_coercions(lsecond(leaf->args));
	const char *operator = get_opname(leaf->opno);
	StringInfoData list;
	Datum		is;
	bool		is_null;
	bool		among;
	ListCell   *lc;

	if (!value_of(remedy, subject, &is, &is_null) || !IsA(array, ArrayExpr) || operator == NULL)
		return NULL;
	if (leaf->useOr && strcmp(operator, "=") == 0)
		among = wanted;
	else if (!leaf->useOr && strcmp(operator, "<>") == 0)
		among = !wanted;
	else
		return NULL;

	initStringInfo(&list);
	foreach(lc, ((ArrayExpr *) array)->elements)
	{
		if (foreach_current_index(lc) == LIST_MAX)
		{
			appendStringInfo(&list, ", ... %d more",
							 list_length(((ArrayExpr *) array)->elements) - LIST_MAX);
			break;
		}
		appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "",
						 side_text(remedy, strip_implicit_coercions(lfirst(lc))));
	}
	return psprintf("%s must be %s %s, is %s", ec_expr_node_text(remedy->expr, subject),
					among ? "one of" : "none of", list.data, value_text(is, is_null, exprType(subject)));
}

/* LIKE, ~ and other operators between a value and something constant */
static char *
remedy_match(const Remedy *remedy, OpExpr *leaf, bool wanted)
{
	static const char *const words[][2] = {
		{"~~", "LIKE"}, {"~~*", "ILIKE"}, {"!~~", "NOT LIKE"}, {"!~~*", "NOT ILIKE"},
	};
	Node	   *subject;
	const char *operator;
	Datum		is;
	bool		is_null;

	if (list_length(leaf->args) != 2)
		return NULL;
	subject = strip_implicit_coercions(linitial(leaf->args));
	operator = get_opname(leaf->opno);
	if (operator == NULL || !value_of(remedy, subject, &is, &is_null))
		return NULL;
	for (int i = 0; i < lengthof(words); i++)
		if (strcmp(operator, words[i][0]) == 0)
			operator = words[i][1];
	return psprintf("needs %s%s %s %s%s, is %s", wanted ? "" : "NOT (",
					ec_expr_node_text(remedy->expr, subject), operator,
					side_text(remedy, strip_implicit_coercions(lsecond(leaf->args))),
					wanted ? "" : ")", value_text(is, is_null, exprType(subject)));
}

static char *
remedy_null(const Remedy *remedy, NullTest *leaf, bool wanted)
{
	Node	   *subject = strip_implicit_coercions((Node *) leaf->arg);
	Datum		is;
	bool		is_null;

	if (!value_of(remedy, subject, &is, &is_null))
		return NULL;
	if ((leaf->nulltesttype == IS_NULL) == wanted)
		return psprintf("%s must be NULL, is %s", ec_expr_node_text(remedy->expr, subject),
						value_text(is, is_null, exprType(subject)));
	return psprintf("%s must not be NULL", ec_expr_node_text(remedy->expr, subject));
}

static char *
remedy_of_kind(const Remedy *remedy, Node *leaf, bool wanted)
{
	EcExprComparison comparison;
	char	   *text = NULL;
	Datum		is;
	bool		is_null;

	if (ec_expr_comparison(leaf, &comparison))
		text = remedy_comparison(remedy, &comparison,
								 wanted ? comparison.strategy : strategy_negate(comparison.strategy));
	else if (IsA(leaf, OpExpr))
		text = remedy_match(remedy, (OpExpr *) leaf, wanted);
	else if (IsA(leaf, ScalarArrayOpExpr))
		text = remedy_list(remedy, (ScalarArrayOpExpr *) leaf, wanted);
	else if (IsA(leaf, NullTest))
		text = remedy_null(remedy, (NullTest *) leaf, wanted);
	else if (value_of(remedy, leaf, &is, &is_null))
		text = psprintf("%s must be %s, is %s", ec_expr_node_text(remedy->expr, leaf),
						wanted ? "true" : "false", value_text(is, is_null, BOOLOID));
	if (text != NULL)
		return text;
	return psprintf(wanted ? "needs %s" : "needs NOT (%s)", ec_expr_node_text(remedy->expr, leaf));
}

/*
 * What would make a leaf as wanted.  operands are those of ec_expr_operands(),
 * with their values.  If time alone does it, that is said too.
 */
char *
ec_expr_remedy(const EcExpr *expr, const EcExprValues *values, Node *leaf, bool wanted,
			   List *operands, const Datum *values_of, const bool *nulls_of)
{
	Remedy		remedy = {expr, operands, values_of, nulls_of};
	char	   *text = remedy_of_kind(&remedy, leaf, wanted);
	TimestampTz at;

	at = ec_expr_changes_at(expr, leaf, values);
	if (at != EC_EXPR_NEVER && at > DatumGetTimestampTz(values->values[0]))
	{
		EcExprValues then = *values;

		then.values = palloc(sizeof(Datum) * (expr->nparams + 1));
		memcpy(then.values, values->values, sizeof(Datum) * (expr->nparams + 1));
		then.values[0] = TimestampTzGetDatum(at);
		if (ec_expr_test(expr, leaf, &then) == (wanted ? EC_EXPR_TRUE : EC_EXPR_FALSE))
			text = psprintf("%s; becomes so by itself at %s", text,
							value_text(TimestampTzGetDatum(at), false, TIMESTAMPTZOID));
	}
	return text;
}

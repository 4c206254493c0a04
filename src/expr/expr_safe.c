/*-------------------------------------------------------------------------
 *
 * expr_safe.c
 *		What a condition must not do.
 *
 * A condition may be tested at any time, any number of times, for any number
 * of rows, and the answer must depend on the rows and on ecauto.now() alone.
 * So it has no side effects, does not look at another clock, does not compute
 * over rows other than those in scope unless it says so in a subquery, and
 * reads nothing that its definer may not read.
 *
 * On the way we note whether it is self-contained: all it calls is the server's
 * and gives the same whoever calls it.  That is true of immutable functions,
 * and of the stable ones that depend on the time zone or on the style of
 * dates, which are fixed while conditions run.  It is not of those that read
 * settings, catalogs or tables (current_setting(), table_to_xml()).
 *
 * The tree is looked at twice: as it was written, to be able to point at the
 * place, and after rewriting, since a view can hold what the text does not.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_func.h"
#include "parser/parse_node.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/formatting.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/typcache.h"

#include "expr/expr.h"

#define CLOCK_HINT "Use ecauto.now(), which can be asked about any time."

typedef struct Safe
{
	ParseState *pstate;			/* NULL: the tree is rewritten, places mean nothing */
	const EcExprScope *scope;
	Node	   *raw;
	List	   *literals;		/* locations of literals such as 'now' */
	Node	   *node;			/* whose functions are looked at */
	bool		self_contained;
} Safe;

/* Inside ereport(). */
static int
safe_position(Safe *safe, int location)
{
	return safe->pstate != NULL ? parser_errposition(safe->pstate, location) : 0;
}

/* ---- functions ---- */

/* Is it a date, a time or an interval? */
static bool
type_is_calendar(Oid type)
{
	char		category = TYPCATEGORY_INVALID;
	bool		preferred;

	get_type_category_preferred(type, &category, &preferred);
	return category == TYPCATEGORY_DATETIME || category == TYPCATEGORY_TIMESPAN;
}

/* Does a function that is not volatile give the same whoever calls it? */
static bool
function_is_impersonal(Oid function)
{
	Oid		   *types;
	int			nargs;
	bool		calendar;

	if (get_func_namespace(function) != PG_CATALOG_NAMESPACE)
		return false;
	if (func_volatile(function) == PROVOLATILE_IMMUTABLE)
		return true;
	/* stable: what depends on settings of date and time, but on nothing else */
	calendar = type_is_calendar(get_func_signature(function, &types, &nargs));
	for (int i = 0; i < nargs; i++)
	{
		if (type_is_calendar(types[i]))
			calendar = true;
		else if (types[i] != TEXTOID && types[i] != CSTRINGOID && types[i] != INT4OID &&
				 types[i] != OIDOID && types[i] != BOOLOID)
			return false;
	}
	/* behind another argument they belong to an input function, else they name something */
	return calendar && nargs > 0 && types[0] != OIDOID && types[0] != INT4OID;
}

/* Input of this type, and conversion to it, take the offset of today. */
static void
timetz_refuse(Safe *safe, int location)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("condition cannot use type time with time zone"),
			 errdetail("It looks at the system's clock for the daylight saving of the day."),
			 errhint("Use time, such as: (ecauto.now() AT TIME ZONE 'Europe/Warsaw')::time >= '09:00'"),
			 safe_position(safe, location)));
}

/* check_functions_in_node() calls this for each function a node calls itself */
static bool
function_check(Oid function, void *arg)
{
	Safe	   *safe = arg;
	int			location = exprLocation(safe->node);

	switch (function)
	{
		case F_NOW:
		case F_TRANSACTION_TIMESTAMP:
		case F_STATEMENT_TIMESTAMP:
		case F_CLOCK_TIMESTAMP:
		case F_TIMEOFDAY:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("condition cannot use %s()", get_func_name(function)),
					 errhint(CLOCK_HINT),
					 safe_position(safe, location)));
			break;
		case F_AGE_TIMESTAMP:
		case F_AGE_TIMESTAMPTZ:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("condition cannot use age() of one argument"),
					 errdetail("It looks at the system's clock."),
					 errhint("Give the time as well, such as: age(ecauto.now(), customer.birth_date)"),
					 safe_position(safe, location)));
			break;
		default:
			break;
	}
	if (get_func_rettype(function) == TIMETZOID)
		timetz_refuse(safe, location);
	if (func_volatile(function) == PROVOLATILE_VOLATILE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("condition cannot use the volatile function %s",
						format_procedure(function)),
				 errdetail("Its result can change within one statement, or it has side effects."),
				 safe->pstate != NULL ? 0 : errhint("It is called in a view or a policy of a table in a subquery."),
				 safe_position(safe, location)));
	if (safe->pstate != NULL && ec_function_aclcheck(function, GetUserId(), ACL_EXECUTE) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function %s", get_func_name(function)),
				 errdetail("A condition runs as its definer, \"%s\".",
						   GetUserNameFromId(GetUserId(), false)),
				 safe_position(safe, location)));
	if (!function_is_impersonal(function))
		safe->self_contained = false;
	return false;
}

/* ---- words that look at the clock ---- */

static bool
type_is_time(Oid type)
{
	Oid			element = get_base_element_type(type);

	type = OidIsValid(element) ? element : getBaseType(type);
	return type == DATEOID || type == TIMEOID || type == TIMETZOID || type == TIMESTAMPOID ||
		type == TIMESTAMPTZOID || type == DATERANGEOID || type == TSRANGEOID ||
		type == TSTZRANGEOID || type == DATEMULTIRANGEOID || type == TSMULTIRANGEOID ||
		type == TSTZMULTIRANGEOID;
}

/* Does a text hold a word that date and time input replaces by the time of day? */
static bool
text_has_clock(const char *text)
{
	static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};
	char	   *lower = asc_tolower(text, strlen(text));

	for (int i = 0; i < lengthof(words); i++)
	{
		size_t		length = strlen(words[i]);

		for (char *at = strstr(lower, words[i]); at != NULL; at = strstr(at + 1, words[i]))
			if ((at == lower || !isalnum((unsigned char) at[-1])) &&
				!isalnum((unsigned char) at[length]))
				return true;
	}
	return false;
}

/* Collect the places of literals that would look at the clock if they were times. */
static bool
literal_walker(Node *node, Safe *safe)
{
	if (node == NULL)
		return false;
	if (IsA(node, A_Const) && !((A_Const *) node)->isnull &&
		IsA(&((A_Const *) node)->val, String) &&
		text_has_clock(strVal(&((A_Const *) node)->val)))
		safe->literals = lappend_int(safe->literals, ((A_Const *) node)->location);
	return raw_expression_tree_walker(node, literal_walker, safe);
}

static void
literal_check(Safe *safe, Node *node, Oid type)
{
	if (IsA(node, Const) && safe->pstate != NULL && type_is_time(type) &&
		list_member_int(safe->literals, ((Const *) node)->location))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("condition cannot use a word that stands for the current time"),
				 errhint(CLOCK_HINT),
				 safe_position(safe, ((Const *) node)->location)));
}

/* ---- subqueries ---- */

typedef struct Place
{
	const char *name;
	int			location;
} Place;

static bool
place_walker(Node *node, Place *place)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeVar))
	{
		RangeVar   *relation = (RangeVar *) node;

		if (strcmp(relation->relname, place->name) == 0 ||
			(relation->alias != NULL && strcmp(relation->alias->aliasname, place->name) == 0))
		{
			place->location = relation->location;
			return true;
		}
	}
	return raw_expression_tree_walker(node, place_walker, place);
}

/* The first place in the text where a relation of that name or alias is read. */
static int
relation_location(Safe *safe, const char *name)
{
	Place		place = {name, -1};

	if (name != NULL)
		(void) place_walker(safe->raw, &place);
	return place.location;
}

static void
relation_check(Safe *safe, Oid relation)
{
	char	   *name = get_rel_name(relation);

	if (get_rel_persistence(relation) == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("condition cannot read the temporary table \"%s\"", name),
				 errdetail("Other sessions do not have it."),
				 safe_position(safe, relation_location(safe, name))));
	if (pg_class_aclcheck(relation, GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(relation, GetUserId(), ACL_SELECT, ACLMASK_ALL) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for table %s", name),
				 errdetail("A condition runs as its definer; \"%s\" needs SELECT on the whole table.",
						   GetUserNameFromId(GetUserId(), false)),
				 safe_position(safe, relation_location(safe, name))));
}

static void
query_check(Safe *safe, Query *query)
{
	ListCell   *lc;

	if (query->rowMarks != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("condition must only read"),
				 errdetail("It has a FOR UPDATE or FOR SHARE clause.")));
	if (query->commandType != CMD_SELECT)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("condition must only read")));
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (safe->pstate == NULL)
			continue;
		if (rte->rtekind == RTE_RELATION)
			relation_check(safe, rte->relid);
		if (rte->tablesample != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("condition cannot use TABLESAMPLE")));
		/* the rows in scope must not get hidden by those of the subquery */
		if (rte->inFromCl &&
			(ec_expr_scope_row(safe->scope, rte->eref->aliasname) != NULL ||
			 strncmp(rte->eref->aliasname, "ec_", 3) == 0))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_ALIAS),
					 errmsg("name \"%s\" in a subquery is taken", rte->eref->aliasname),
					 errdetail("Rows in the scope of the condition, and names that begin with \"ec_\", keep their names inside of subqueries."),
					 errhint("Give it another alias."),
					 safe_position(safe, relation_location(safe, rte->eref->aliasname))));
	}
}

/* ---- all of it ---- */

static bool
safe_walker(Node *node, Safe *safe)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		query_check(safe, (Query *) node);
		return query_tree_walker((Query *) node, safe_walker, safe, 0);
	}
	if (IsA(node, SQLValueFunction) && type_is_time(((SQLValueFunction *) node)->type))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("condition cannot use current_date, current_timestamp and their like"),
				 errhint(CLOCK_HINT " The day is ecauto.now()::date."),
				 safe_position(safe, exprLocation(node))));
	/* current_user and its like; rows of tables */
	if (IsA(node, SQLValueFunction) || IsA(node, SubLink))
		safe->self_contained = false;
	if (IsA(node, NextValueExpr))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("condition must only read")));
	if (IsA(node, CoerceToDomain) && DomainHasConstraints(((CoerceToDomain *) node)->resulttype))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("condition cannot use domain %s, which has constraints",
						format_type_be(((CoerceToDomain *) node)->resulttype)),
				 safe_position(safe, exprLocation(node))));
	if (IsA(node, Const))
	{
		if (((Const *) node)->consttype == TIMETZOID)
			timetz_refuse(safe, exprLocation(node));
		literal_check(safe, node, ((Const *) node)->consttype);
	}
	if (IsA(node, CoerceViaIO))
		literal_check(safe, (Node *) ((CoerceViaIO *) node)->arg, ((CoerceViaIO *) node)->resulttype);

	safe->node = node;
	(void) check_functions_in_node(node, function_check, safe);
	return expression_tree_walker(node, safe_walker, safe);
}

/* Where a call stands that returns a set; -1 if there is none. */
static bool
set_walker(Node *node, int *location)
{
	if (node == NULL)
		return false;
	if ((IsA(node, FuncExpr) && ((FuncExpr *) node)->funcretset) ||
		(IsA(node, OpExpr) && ((OpExpr *) node)->opretset))
	{
		*location = exprLocation(node);
		return true;
	}
	/* a SubLink's query is another matter */
	return expression_tree_walker(node, set_walker, location);
}

/*
 * Refuse what a condition must not do; raw is the tree before analysis.  The
 * current user is the definer.  *self_contained: see above.  Errors: see ec_expr_check().
 */
void
ec_expr_safe(ParseState *pstate, const EcExprScope *scope, Node *raw, Node *tree,
			 bool *self_contained)
{
	Safe		safe = {pstate, scope, raw, NIL, NULL, true};

	if (pstate->p_hasAggs)
		ereport(ERROR,
				(errcode(ERRCODE_GROUPING_ERROR),
				 errmsg("aggregate functions are not allowed in a condition"),
				 errhint("Use a subquery, or a column that holds the figure."),
				 parser_errposition(pstate, locate_agg_of_level(tree, 0))));
	if (pstate->p_hasWindowFuncs)
		ereport(ERROR,
				(errcode(ERRCODE_WINDOWING_ERROR),
				 errmsg("window functions are not allowed in a condition"),
				 parser_errposition(pstate, locate_windowfunc(tree))));
	if (pstate->p_hasTargetSRFs || expression_returns_set(tree))
	{
		int			location = -1;

		(void) set_walker(tree, &location);
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-returning functions are not allowed in a condition"),
				 parser_errposition(pstate, location)));
	}

	(void) literal_walker(raw, &safe);
	(void) safe_walker(tree, &safe);
	*self_contained = safe.self_contained;

	if (pstate->p_hasSubLinks)
	{
		Query	   *query = makeNode(Query);
		ListCell   *lc;

		query->commandType = CMD_SELECT;
		query->canSetTag = true;
		query->jointree = makeFromExpr(NIL, NULL);
		query->hasSubLinks = true;
		query->targetList = list_make1(makeTargetEntry(copyObject((Expr *) tree), 1, pstrdup("condition"), false));
		safe.pstate = NULL;
		foreach(lc, QueryRewrite(query))
			(void) safe_walker(lfirst(lc), &safe);
	}
}

/* ---- the clock ---- */

typedef struct Clock
{
	Oid			function;
	bool		found;
} Clock;

static Node *
clock_mutator(Node *node, Clock *clock)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, FuncExpr) && ((FuncExpr *) node)->funcid == clock->function)
	{
		Param	   *param = makeNode(Param);

		param->paramkind = PARAM_EXTERN;
		param->paramid = EC_EXPR_NOW;
		param->paramtype = TIMESTAMPTZOID;
		param->paramtypmod = -1;
		param->location = exprLocation(node);
		clock->found = true;
		return (Node *) param;
	}
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, clock_mutator, clock, 0);
	return expression_tree_mutator(node, clock_mutator, clock);
}

/* A copy of the tree with calls of ecauto.now() replaced by parameter EC_EXPR_NOW. */
Node *
ec_expr_replace_now(Node *tree, bool *found)
{
	Clock		clock = {0};

	clock.function = LookupFuncName(list_make2(makeString(EC_CODE_SCHEMA), makeString("now")),
									0, NULL, true);
	tree = clock_mutator(tree, &clock);
	*found = clock.found;
	return tree;
}

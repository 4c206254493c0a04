/*-------------------------------------------------------------------------
 *
 * shop_query.c
 *		Checks of SQL text that users give us to keep and to run later.
 *
 * A role query is pasted into a larger statement, as the body of a subquery,
 * each time it runs.  So the text must be exactly one SELECT by the server's
 * own grammar, must only read, and must not bring parameters.  Whoever binds
 * it learns what is wrong at once, with the place in the text.
 *
 * Texts are parsed as the current user with the current search_path, which
 * are the ones they will run with.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parse_node.h"
#include "parser/parser.h"
#include "parser/scansup.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "shop/shop.h"

/*
 * Error context: positions that the parser reports lie in our text, not in
 * the statement that the client sent.
 */
static void
query_error_callback(void *arg)
{
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery((const char *) arg);
	}
}

/*
 * Inside ereport(): point at a byte offset of a text that a user gave.
 */
void
ec_query_error(const char *text, int location)
{
	if (location < 0)
		return;
	internalerrquery(text);
	internalerrposition(pg_mbstrlen_with_len(text, location) + 1);
}

static Node *
parameter_refuse(ParseState *pstate, ParamRef *param)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_PARAMETER),
			 errmsg("%s cannot have parameters", (const char *) pstate->p_ref_hook_state),
			 errdetail("It refers to parameter $%d.", param->number),
			 parser_errposition(pstate, param->location)));
}

static void
parameter_setup(ParseState *pstate, void *what)
{
	pstate->p_paramref_hook = parameter_refuse;
	pstate->p_ref_hook_state = what;
}

/* Look for locking clauses in a query and all its subqueries. */
static bool
locking_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		if (((Query *) node)->rowMarks != NIL)
			return true;
		return query_tree_walker((Query *) node, locking_walker, context, 0);
	}
	return expression_tree_walker(node, locking_walker, context);
}

/*
 * The one statement of a text; *start and *length tell where it stands, without
 * its semicolon.
 */
static RawStmt *
statement_single(const char *what, const char *text, int *start, int *length)
{
	List	   *list = raw_parser(text, RAW_PARSE_DEFAULT);
	RawStmt    *raw;

	if (list == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("%s is empty", what)));
	if (list_length(list) > 1)
	{
		int			second = ((RawStmt *) lsecond(list))->stmt_location;

		/* before PostgreSQL 18 it is where the first one ended */
		while (scanner_isspace(text[second]))
			second++;
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("%s must be a single statement", what),
				 errdetail("There are %d statements.", list_length(list)),
				 ec_query_error(text, second)));
	}
	raw = linitial_node(RawStmt, list);
	*start = raw->stmt_location;
	*length = raw->stmt_len > 0 ? raw->stmt_len : strlen(text) - raw->stmt_location;
	return raw;
}

/*
 * Check that a text is one statement that only reads, and tell what it
 * returns.  what names it in errors ("role query").  maxparams: 0 or 1
 * parameters, whose types are inferred.
 *
 * The result is allocated in the current context.  Errors: those of the
 * parser, with the place in the text; syntax_error for no or several
 * statements; feature_not_supported for one that does more than read;
 * undefined_parameter; duplicate_column.
 */
EcQueryShape *
ec_query_check(const char *what, const char *text, int maxparams)
{
	EcQueryShape *shape = palloc0(sizeof(EcQueryShape));
	ErrorContextCallback callback;
	RawStmt    *raw;
	Query	   *query;
	ListCell   *lc;
	int			start;
	int			length;

	callback.callback = query_error_callback;
	callback.arg = unconstify(char *, text);
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	raw = statement_single(what, text, &start, &length);
	if (!IsA(raw->stmt, SelectStmt))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s must be a SELECT", what)));
	if (((SelectStmt *) raw->stmt)->intoClause != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s must only read", what),
				 errdetail("SELECT INTO creates a table.")));

	if (maxparams == 0)
		query = parse_analyze_withcb(raw, text, parameter_setup, unconstify(char *, what), NULL);
	else
	{
		query = parse_analyze_varparams(raw, text, &shape->params, &shape->nparams, NULL);
		if (shape->nparams > maxparams)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_PARAMETER),
					 errmsg("%s has too many parameters", what),
					 errdetail("It refers to parameter $%d.", shape->nparams),
					 errhint("Parameter $1 stands for the noted keys; there are no others.")));
	}

	if (query->hasModifyingCTE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s must only read", what),
				 errdetail("It has a data-modifying statement in WITH.")));
	if (locking_walker((Node *) query, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s must only read", what),
				 errdetail("It has a FOR UPDATE or FOR SHARE clause.")));

	shape->columns = palloc0(sizeof(EcQueryColumn) * list_length(query->targetList));
	foreach(lc, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);
		EcQueryColumn *column = &shape->columns[shape->ncolumns];

		if (entry->resjunk)
			continue;
		column->name = entry->resname;
		column->type = exprType((Node *) entry->expr);
		column->location = exprLocation((Node *) entry->expr);
		for (int i = 0; i < shape->ncolumns; i++)
			if (strcmp(shape->columns[i].name, column->name) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("%s returns column \"%s\" twice", what, column->name),
						 ec_query_error(text, column->location)));
		shape->ncolumns++;
	}

	error_context_stack = callback.previous;
	shape->text = pnstrdup(text + start, length);
	return shape;
}

/*
 * Check that a text is one statement that reads or writes rows; returns it
 * without semicolon, in the current context.  setup says what its parameters
 * are.  Errors: as ec_query_check(), but for what concerns reading only.
 */
char *
ec_statement_check(const char *what, const char *text, ParserSetupHook setup, void *setup_arg)
{
	ErrorContextCallback callback;
	RawStmt    *raw;
	Query	   *query;
	int			start;
	int			length;

	callback.callback = query_error_callback;
	callback.arg = unconstify(char *, text);
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	raw = statement_single(what, text, &start, &length);
	query = parse_analyze_withcb(raw, text, setup, setup_arg, NULL);
	if (query->commandType == CMD_UTILITY)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s must be an INSERT, UPDATE, DELETE, MERGE or SELECT", what)));

	error_context_stack = callback.previous;
	return pnstrdup(text + start, length);
}

/*
 * Check that a text is exactly one SQL expression, so that it can stand
 * between parentheses in a longer one.  If it is nothing but a name, *column
 * gets that name (allocated in the current context), else NULL.
 */
void
ec_expression_check(const char *what, const char *text, char **column)
{
	ErrorContextCallback callback;
	SelectStmt *select;
	ResTarget  *target = NULL;

	callback.callback = query_error_callback;
	callback.arg = unconstify(char *, text);
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	/* the grammar's entry for PL/pgSQL takes all that can follow SELECT */
	select = castNode(SelectStmt,
					  linitial_node(RawStmt, raw_parser(text, RAW_PARSE_PLPGSQL_EXPR))->stmt);
	if (list_length(select->targetList) == 1)
		target = linitial_node(ResTarget, select->targetList);
	if (target == NULL || target->name != NULL ||
		select->distinctClause != NIL || select->fromClause != NIL ||
		select->whereClause != NULL || select->groupClause != NIL ||
		select->havingClause != NULL || select->windowClause != NIL ||
		select->sortClause != NIL || select->limitOffset != NULL ||
		select->limitCount != NULL || select->lockingClause != NIL ||
		select->op != SETOP_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("%s must be a single expression", what),
				 errdetail("The text is: %s", text)));

	*column = NULL;
	if (IsA(target->val, ColumnRef))
	{
		List	   *fields = ((ColumnRef *) target->val)->fields;

		if (IsA(llast(fields), A_Star))
			ereport(ERROR,
					(errcode(ERRCODE_SYNTAX_ERROR),
					 errmsg("%s must be a single expression", what),
					 errdetail("The text is: %s", text)));
		if (list_length(fields) == 1)
			*column = pstrdup(strVal(linitial(fields)));
	}
	error_context_stack = callback.previous;
}

/*
 * The type below a domain, and if sql is not NULL its name, such that it can
 * be followed by [] and means the same under any search_path.
 */
Oid
ec_query_base_type(Oid type, char **sql)
{
	type = getBaseType(type);
	/* TYPEMOD_GIVEN with -1: "bpchar", since "character" would be one character */
	if (sql != NULL)
		*sql = format_type_extended(type, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
	return type;
}

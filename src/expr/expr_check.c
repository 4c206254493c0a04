/*-------------------------------------------------------------------------
 *
 * expr_check.c
 *		Is a text a condition, and what does it say?
 *
 * The text goes through the server's own scanner, grammar and analysis, so a
 * condition is what SQL says it is and nothing can hide in it.  Before that we
 * look at its tokens, for what the grammar would take badly: depth that would
 * end in a full stack, and "order.total", since ORDER is reserved in SQL.  It
 * is read as if it were written "order".total.
 *
 * Each column of the scope becomes a parameter of the tree, and so does
 * ecauto.now().  That makes the tree independent of where the rows come from:
 * expr_compile.c puts any SQL in their place, expr_eval.c values.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <ctype.h>

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/keywords.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_node.h"
#include "parser/parser.h"
#include "parser/scanner.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "expr/expr.h"

/* how deep brackets may be nested; the grammar's stack takes thousands */
#define BRACKETS_MAX 200

#define SYNTAX_HINT "A condition is one SQL expression, such as: customer.country = 'PL' AND cart.total >= 50"

/* The state of one check; the parser's hooks get it. */
typedef struct Check
{
	EcExpr	   *expr;
	char	   *sql;			/* the text with reserved names quoted */
	int			nquotes;		/* quotes put in, and where: */
	int		   *quotes;			/* character offsets in sql, ascending */
} Check;

/*
 * The settings that conditions are checked and run in: dates are written and
 * read in one way, days are the shop's.  They end with *as.
 */
static void
settings_begin(void)
{
	static const char *const settings[][2] = {
		{"datestyle", "ISO, YMD"},	/* 03/04/2026 is an error, not March */
		{"extra_float_digits", "1"},
		{"intervalstyle", "postgres"},
		{"quote_all_identifiers", "off"},
		{"standard_conforming_strings", "on"},
		{"transform_null_equals", "off"},
	};
	const char *timezone = ec_guc_timezone;

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	if (timezone == NULL || *timezone == '\0')
		timezone = GetConfigOptionResetString("timezone");
	(void) set_config_option("timezone", timezone, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Be the definer of a condition until ec_expr_end().  Only the server's own
 * functions and operators are found by bare name.
 */
void
ec_expr_begin(EcAs *as, Oid definer)
{
	ec_as_definer(as, definer, "pg_catalog, pg_temp");
	settings_begin();
}

/*
 * Be the owner of the state until ec_expr_end(), to run self-contained
 * conditions, and no others, over tables in ecauto_data.
 */
void
ec_expr_begin_as_owner(EcAs *as)
{
	ec_as_state_owner(as);
	settings_begin();
}

void
ec_expr_end(EcAs *as)
{
	ec_as_end(as);
}

/*
 * Error context: positions that the parser reports lie in the text with quotes
 * put in, not in the statement that the client sent.
 */
static void
check_error_callback(void *arg)
{
	Check	   *check = arg;
	int			position = geterrposition();
	int			put_in = 0;

	if (position <= 0)
		return;
	while (put_in < check->nquotes && check->quotes[put_in] < position - 1)
		put_in++;
	errposition(0);
	internalerrposition(position - put_in);
	internalerrquery(check->expr->text);
	if (geterrcode() == ERRCODE_SYNTAX_ERROR)
		errhint(SYNTAX_HINT);
}

/* Inside ereport(): point at a byte of check->sql. */
static int
check_position(Check *check, int location)
{
	return location < 0 ? 0 : errposition(pg_mbstrlen_with_len(check->sql, location) + 1);
}

/* ---- the tokens ---- */

/*
 * If a name that SQL reserves stands at location and is a row of the scope,
 * return its length, else 0; the name goes to lower, of NAMEDATALEN bytes.
 */
static int
reserved_row(const EcExprScope *scope, const char *sql, int location, char *lower)
{
	int			length = 0;
	int			keyword;

	while (length < NAMEDATALEN - 1 &&
		   (isalpha((unsigned char) sql[location + length]) || sql[location + length] == '_'))
	{
		lower[length] = pg_ascii_tolower((unsigned char) sql[location + length]);
		length++;
	}
	lower[length] = '\0';
	keyword = ScanKeywordLookup(lower, &ScanKeywords);
	if (keyword < 0 || ScanKeywordCategories[keyword] == UNRESERVED_KEYWORD ||
		ec_expr_scope_row(scope, lower) == NULL)
		return 0;
	return length;
}

/*
 * Read the tokens of the text, refuse what must not reach the grammar, and
 * build check->sql.
 */
static void
check_tokens(Check *check)
{
	const char *text = check->expr->text;
	StringInfoData sql;
	core_yyscan_t scanner;
	core_yy_extra_type extra;
	core_YYSTYPE value;
	YYLTYPE		location;
	int			token;
	int			before = 0;		/* the token before, */
	int			run = 0;		/* how often it came in a row */
	int			copied = 0;		/* bytes of text in sql */
	int			depth = 0;
	int			nquotes = 0;
	int			row_at = -1;	/* a reserved name that may be a row, */
	int			row_length = 0; /* if a dot follows it */
	char		row_name[NAMEDATALEN];
	bool		any = false;

	check->quotes = palloc(sizeof(int) * (strlen(text) + 2));
	initStringInfo(&sql);
	scanner = scanner_init(text, &extra, &ScanKeywords, ScanKeywordTokens);
	while ((token = core_yylex(&value, &location, scanner)) != 0)
	{
		any = true;
		if (token == ';')
			ereport(ERROR,
					(errcode(ERRCODE_SYNTAX_ERROR),
					 errmsg("condition must be a single expression"),
					 errdetail("It has a semicolon."),
					 check_position(check, location)));
		if (token == '(' || token == '[')
			depth++;
		else if (token == ')' || token == ']')
			depth--;
		if (depth > BRACKETS_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
					 errmsg("condition is nested too deeply"),
					 errdetail("More than %d brackets are open.", BRACKETS_MAX),
					 check_position(check, location)));

		/* NOT NOT NOT ... would fill the grammar's stack */
		run = token == before ? run + 1 : 0;
		if (run > EC_EXPR_MAX_DEPTH)
			ereport(ERROR,
					(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
					 errmsg("condition is nested too deeply"),
					 errdetail("The same word comes more than %d times in a row.", EC_EXPR_MAX_DEPTH),
					 check_position(check, location)));

		if (token == '.' && row_at >= 0)
		{
			appendBinaryStringInfo(&sql, text + copied, row_at - copied);
			check->quotes[nquotes++] = pg_mbstrlen_with_len(sql.data, sql.len);
			appendStringInfo(&sql, "\"%s", row_name);
			check->quotes[nquotes++] = pg_mbstrlen_with_len(sql.data, sql.len);
			appendStringInfoChar(&sql, '"');
			copied = row_at + row_length;
		}
		row_at = -1;
		if (before != '.' && isalpha((unsigned char) text[location]) &&
			(row_length = reserved_row(check->expr->scope, text, location, row_name)) > 0)
			row_at = location;
		before = token;
	}
	scanner_finish(scanner);
	appendStringInfoString(&sql, text + copied);
	/* until here places were those of the text itself */
	check->sql = sql.data;
	check->nquotes = nquotes;

	if (!any)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("condition is empty"),
				 errhint(SYNTAX_HINT)));
}

/* ---- the grammar ---- */

typedef struct Depth
{
	Check	   *check;
	int			depth;
} Depth;

/* Refuse a raw tree that later stages, all recursive, should not walk. */
static bool
depth_walker(Node *node, Depth *state)
{
	bool		stop;

	if (node == NULL)
		return false;
	if (++state->depth > EC_EXPR_MAX_DEPTH)
		ereport(ERROR,
				(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
				 errmsg("condition is nested too deeply"),
				 errdetail("Its operators and calls are nested more than %d levels deep.",
						   EC_EXPR_MAX_DEPTH),
				 errhint("A long chain of AND or OR, and a long list behind IN, are not deep."),
				 check_position(state->check, exprLocation(node))));
	stop = raw_expression_tree_walker(node, depth_walker, state);
	state->depth--;
	return stop;
}

/* What of a SELECT is more than an expression: its place, or -2 if nothing is. */
static int
beyond_expression(const SelectStmt *select)
{
	ResTarget  *target = NULL;

	if (select->targetList == NIL)
		return -1;
	if (list_length(select->targetList) > 1)
		return exprLocation(lsecond(select->targetList));
	target = linitial_node(ResTarget, select->targetList);
	if (target->name != NULL)
		return target->location;
	if (select->fromClause != NIL)
		return exprLocation(linitial(select->fromClause));
	if (select->whereClause != NULL)
		return exprLocation(select->whereClause);
	if (select->groupClause != NIL)
		return exprLocation(linitial(select->groupClause));
	if (select->havingClause != NULL)
		return exprLocation(select->havingClause);
	if (select->windowClause != NIL)
		return exprLocation(linitial(select->windowClause));
	if (select->sortClause != NIL)
		return exprLocation(linitial(select->sortClause));
	if (select->limitOffset != NULL || select->limitCount != NULL)
		return exprLocation(select->limitCount ? select->limitCount : select->limitOffset);
	if (select->distinctClause != NIL || select->lockingClause != NIL ||
		select->op != SETOP_NONE || select->withClause != NULL)
		return -1;
	return -2;
}

/* Parse check->sql into the raw tree of one expression. */
static Node *
check_grammar(Check *check)
{
	SelectStmt *select;
	List	   *list;
	Depth		depth = {check, 0};
	int			location;

	/* the grammar's entry for PL/pgSQL takes all that can follow SELECT */
	list = raw_parser(check->sql, RAW_PARSE_PLPGSQL_EXPR);
	select = castNode(SelectStmt, linitial_node(RawStmt, list)->stmt);
	location = beyond_expression(select);
	if (location != -2)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("condition must be a single expression"),
				 errhint(SYNTAX_HINT),
				 check_position(check, location)));

	(void) depth_walker(linitial_node(ResTarget, select->targetList)->val, &depth);
	return linitial_node(ResTarget, select->targetList)->val;
}

/* ---- the names ---- */

static Node *
parameter_refuse(ParseState *pstate, ParamRef *param)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_PARAMETER),
			 errmsg("condition cannot have parameters"),
			 errdetail("It refers to parameter $%d.", param->number),
			 parser_errposition(pstate, param->location)));
}

pg_noreturn static void
row_unknown(ParseState *pstate, const EcExprScope *scope, const char *name, int location)
{
	const char **names = palloc(sizeof(char *) * (scope->nrows + 1));
	const char *nearest;
	StringInfoData all;

	initStringInfo(&all);
	for (int i = 0; i < scope->nrows; i++)
	{
		names[i] = scope->rows[i].name;
		appendStringInfo(&all, "%s%s", i > 0 ? ", " : "", names[i]);
	}
	nearest = ec_expr_nearest(name, scope->nrows, names);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("there is no row \"%s\" in the scope of the condition", name),
			 scope->nrows > 0 ? errdetail("The scope holds %s.", all.data) : 0,
			 nearest ? errhint("Perhaps you mean \"%s\".", nearest) : 0,
			 parser_errposition(pstate, location)));
}

pg_noreturn static void
column_unknown(ParseState *pstate, const EcExprRow *row, const char *name, int location)
{
	const char **names = palloc(sizeof(char *) * (row->ncolumns + 1));
	const char *nearest;
	StringInfoData all;

	initStringInfo(&all);
	for (int i = 0; i < row->ncolumns; i++)
	{
		names[i] = row->columns[i].name;
		appendStringInfo(&all, "%s%s", i > 0 ? ", " : "", names[i]);
	}
	nearest = ec_expr_nearest(name, row->ncolumns, names);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("row \"%s\" has no column \"%s\"", row->name, name),
			 row->ncolumns > 0 ? errdetail("Its columns are %s.", all.data) : 0,
			 nearest ? errhint("Perhaps you mean \"%s.%s\".", row->name, nearest) : 0,
			 parser_errposition(pstate, location)));
}

/* A bare name: it may be a row, a column of some row, or a word without quotes. */
pg_noreturn static void
name_bare(ParseState *pstate, const EcExprScope *scope, const char *name, int location)
{
	StringInfoData rows;

	if (ec_expr_scope_row(scope, name) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("a condition cannot use row \"%s\" as a whole", name),
				 errhint("Name one of its columns, such as: %s.%s", name,
						 ec_expr_scope_row(scope, name)->ncolumns > 0 ?
						 ec_expr_scope_row(scope, name)->columns[0].name : "key"),
				 parser_errposition(pstate, location)));

	initStringInfo(&rows);
	for (int i = 0; i < scope->nrows; i++)
		if (ec_expr_row_column(&scope->rows[i], name) != NULL)
			appendStringInfo(&rows, "%s%s.%s", rows.len > 0 ? " or " : "", scope->rows[i].name, name);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("name \"%s\" needs the row that it belongs to", name),
			 rows.len > 0 ? errhint("Write %s.", rows.data) :
			 errhint("A column is written as row.column, a text in single quotes: '%s'", name),
			 parser_errposition(pstate, location)));
}

/* The parameter of a column; the same one each time. */
static Param *
column_param(EcExpr *expr, const EcExprRow *row, const EcExprColumn *column, int location)
{
	Param	   *param = makeNode(Param);
	int			i;

	for (i = 0; i < expr->nparams; i++)
		if (expr->params[i].column == column)
			break;
	if (i == expr->nparams)
	{
		expr->params = expr->nparams == 0 ? palloc(sizeof(EcExprParam)) :
			repalloc(expr->params, sizeof(EcExprParam) * (expr->nparams + 1));
		expr->params[expr->nparams].row = row;
		expr->params[expr->nparams].column = column;
		expr->nparams++;
	}
	param->paramkind = PARAM_EXTERN;
	param->paramid = EC_EXPR_PARAM(i);
	param->paramtype = column->type;
	param->paramtypmod = column->typmod;
	param->paramcollid = get_typcollation(column->type);
	param->location = location;
	return param;
}

/*
 * Parser hook, after the server looked for a column by its own rules: only in
 * a subquery can it have found one, and then that is what SQL means.
 */
static Node *
column_resolve(ParseState *pstate, ColumnRef *ref, Node *found)
{
	Check	   *check = pstate->p_ref_hook_state;
	const EcExprScope *scope = check->expr->scope;
	const EcExprRow *row;
	const EcExprColumn *column;
	const char *first = IsA(linitial(ref->fields), String) ? strVal(linitial(ref->fields)) : "*";

	if (found != NULL)
		return NULL;
	row = ec_expr_scope_row(scope, first);
	if (row == NULL && pstate->parentParseState != NULL)
		return NULL;			/* the server says what is wrong */
	if (list_length(ref->fields) == 1)
		name_bare(pstate, scope, first, ref->location);
	if (row == NULL)
		row_unknown(pstate, scope, first, ref->location);
	if (IsA(lsecond(ref->fields), A_Star))
		name_bare(pstate, scope, first, ref->location);
	column = ec_expr_row_column(row, strVal(lsecond(ref->fields)));
	if (column == NULL)
		column_unknown(pstate, row, strVal(lsecond(ref->fields)), ref->location);
	if (list_length(ref->fields) > 2)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("name is too long: %s", NameListToString(ref->fields)),
				 errhint("A column is written as row.column."),
				 parser_errposition(pstate, ref->location)));
	return (Node *) column_param(check->expr, row, column, ref->location);
}

/* ---- the whole ---- */

static Node *
check_boolean(ParseState *pstate, Node *tree, int location)
{
	Oid			type = exprType(tree);

	if (type != BOOLOID && type != UNKNOWNOID && getBaseType(type) != BOOLOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("condition must be boolean"),
				 errdetail("It is of type %s.", format_type_be(type)),
				 errhint("Compare it with something."),
				 parser_errposition(pstate, location)));
	/* ec_expr_safe() refuses a set in better words */
	return expression_returns_set(tree) ? tree : coerce_to_boolean(pstate, tree, "condition");
}

/*
 * Check that a text is a condition over the rows of a scope; the result and
 * the scope stay in the current context.  The caller is between
 * ec_expr_begin() and ec_expr_end().
 *
 * Errors, most with the place in the text: syntax_error for anything but one
 * expression; program_limit_exceeded, statement_too_complex; undefined_table
 * and undefined_column for names; datatype_mismatch if it is not boolean;
 * insufficient_privilege for what the definer may not read or call;
 * feature_not_supported or grouping_error for what conditions must not do; and
 * whatever the parser raises.
 */
EcExpr *
ec_expr_check(const char *text, const EcExprScope *scope)
{
	EcExpr	   *expr = palloc0(sizeof(EcExpr));
	Check		check = {0};
	ErrorContextCallback callback;
	ParseState *pstate;
	Node	   *raw;
	Node	   *tree;

	if (strlen(text) > EC_EXPR_MAX_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("condition is too long"),
				 errdetail("It has %zu bytes; the limit is %d.", strlen(text), EC_EXPR_MAX_LENGTH),
				 errhint("Put long lists into a table, and read it in a subquery.")));

	expr->scope = scope;
	expr->text = pstrdup(text);
	check.expr = expr;
	check.sql = unconstify(char *, expr->text);

	callback.callback = check_error_callback;
	callback.arg = &check;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	check_tokens(&check);
	raw = check_grammar(&check);

	pstate = make_parsestate(NULL);
	pstate->p_sourcetext = check.sql;
	pstate->p_post_columnref_hook = column_resolve;
	pstate->p_paramref_hook = parameter_refuse;
	pstate->p_ref_hook_state = &check;
	tree = transformExpr(pstate, copyObject(raw), EXPR_KIND_OTHER);
	tree = check_boolean(pstate, tree, exprLocation(raw));
	assign_expr_collations(pstate, tree);

	expr->has_subquery = pstate->p_hasSubLinks;
	expr->tree = ec_expr_replace_now(tree, &expr->uses_now);
	ec_expr_safe(pstate, scope, raw, expr->tree, &expr->self_contained);

	free_parsestate(pstate);
	error_context_stack = callback.previous;
	return expr;
}

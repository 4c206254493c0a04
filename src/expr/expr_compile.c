/*-------------------------------------------------------------------------
 *
 * expr_compile.c
 *		The SQL text of a checked condition.
 *
 * The text comes from the analysed tree, as that of a view does: constants
 * carry their types, and what the search_path does not find is qualified.  So
 * it contains nothing that its author could have meant to end it, such as a
 * comment, and it means the same wherever it is pasted, as long as the
 * statement runs between ec_expr_begin() and ec_expr_end().
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <ctype.h>

#include "catalog/pg_type.h"
#include "common/keywords.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/scanner.h"
#include "utils/builtins.h"
#include "utils/ruleutils.h"

#include "expr/expr.h"

static const char *
column_of_row(const EcExprRow *row, const EcExprColumn *column, void *arg)
{
	return psprintf("%s.%s", quote_identifier(row->name), quote_identifier(column->name));
}

/* The text of a tree in which $1 and so on are replaced by what the caller gives. */
static char *
tree_text(const EcExpr *expr, Node *tree, EcExprColumnSql column_sql, void *arg, const char *now_sql)
{
	char	   *text = deparse_expression(tree, NIL, false, false);
	StringInfoData result;
	core_yyscan_t scanner;
	core_yy_extra_type extra;
	core_YYSTYPE value;
	YYLTYPE		location;
	int			copied = 0;

	initStringInfo(&result);
	scanner = scanner_init(text, &extra, &ScanKeywords, ScanKeywordTokens);
	while (core_yylex(&value, &location, scanner) != 0)
	{
		int			param;
		char	   *end;

		/* no dollar quote begins with a digit, so this is a parameter */
		if (text[location] != '$' || !isdigit((unsigned char) text[location + 1]))
			continue;
		param = strtol(text + location + 1, &end, 10);
		appendBinaryStringInfo(&result, text + copied, location - copied);
		if (param == EC_EXPR_NOW)
			appendStringInfoString(&result, now_sql);
		else
		{
			const EcExprParam *used = &expr->params[param - EC_EXPR_PARAM(0)];

			appendStringInfoString(&result, column_sql(used->row, used->column, arg));
		}
		copied = end - text;
	}
	scanner_finish(scanner);
	appendStringInfoString(&result, text + copied);
	return result.data;
}

/*
 * The condition as SQL, to be pasted into a statement that evaluates it for
 * many rows.  column_sql says what stands for a column, NULL for the names of
 * the scope: customer.country.  now_sql is the as-of time, a timestamptz and
 * of any form, even a column; NULL for ecauto.now().
 *
 * If the condition has subqueries, aliases in the texts given must be names of
 * rows in the scope or begin with "ec_", for nothing else is kept out of them.
 * Text that is more than a name should come in parentheses.
 */
char *
ec_expr_compile(const EcExpr *expr, EcExprColumnSql column_sql, void *arg, const char *now_sql)
{
	return tree_text(expr, expr->tree, column_sql != NULL ? column_sql : column_of_row, arg,
					 now_sql != NULL ? now_sql : EC_CODE_SCHEMA ".now()");
}

static const char *
column_for_people(const EcExprRow *row, const EcExprColumn *column, void *arg)
{
	/* "order" is read without quotes, so it is shown without */
	return psprintf("%s.%s", row->name, quote_identifier(column->name));
}

/* A text without brackets around it all. */
static char *
without_brackets(char *text)
{
	int			length = strlen(text);
	int			depth = 0;

	if (length < 2 || text[0] != '(' || text[length - 1] != ')')
		return text;
	/* do the first and the last belong together?  Else "(a) + (b)" */
	for (int i = 0; i < length - 1; i++)
	{
		if (text[i] == '\'' || text[i] == '"')
		{
			/* a doubled quote is the end of one text and the start of another */
			char		quote = text[i];

			for (i++; i < length - 1 && text[i] != quote; i++)
				if (text[i] == '\\' && quote == '\'')
					i++;
			continue;
		}
		if (text[i] == '(')
			depth++;
		else if (text[i] == ')' && --depth == 0)
			return text;
	}
	return pnstrdup(text + 1, length - 2);
}

/*
 * The condition as it was understood: types of constants shown, brackets set.
 * It can be checked again, to the same effect.
 */
char *
ec_expr_text(const EcExpr *expr)
{
	return without_brackets(tree_text(expr, expr->tree, column_for_people, NULL, EC_CODE_SCHEMA ".now()"));
}

/* Take away what the text of a tree has to say beyond what its author wrote. */
static Node *
plain_mutator(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	node = strip_implicit_coercions(node);
	if (IsA(node, Const) && !((Const *) node)->constisnull && ((Const *) node)->consttype == TEXTOID)
	{
		/* a literal without a type has no cast behind it */
		char	   *value = TextDatumGetCString(((Const *) node)->constvalue);

		return (Node *) makeConst(UNKNOWNOID, -1, InvalidOid, -2, CStringGetDatum(value), false, false);
	}
	if (IsA(node, Query))
		return node;
	return expression_tree_mutator(node, plain_mutator, context);
}

/* The text of a part of a condition, for people. */
char *
ec_expr_node_text(const EcExpr *expr, Node *node)
{
	return without_brackets(tree_text(expr, plain_mutator(node, NULL), column_for_people, NULL,
									  EC_CODE_SCHEMA ".now()"));
}

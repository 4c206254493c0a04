/*-------------------------------------------------------------------------
 *
 * expr.h
 *		The one condition language: check, compile, evaluate, explain, and
 *		tell when a condition may change by time alone.
 *
 * A condition is an SQL boolean expression over the columns of rows that the
 * caller names, its scope.  Life of one:
 *
 *		ec_expr_begin(&as, definer);
 *		expr = ec_expr_check(text, scope);
 *		sql = ec_expr_compile(expr, NULL, NULL, NULL);
 *		... run a statement that holds sql ...
 *		ec_expr_end(&as);
 *
 * Everything between begin and end, checking as well as running, happens as
 * the definer and under settings that are the same for everybody, so that a
 * condition means today what it meant when it was written.
 *
 * The definer may not read tables of ecauto_data.  Most conditions are
 * self-contained, though: they compute over the rows in scope by the server's
 * own harmless functions, so it does not matter who runs them, and one
 * statement can join them to our tables between ec_expr_begin_as_owner() and
 * ec_expr_end().  Others get their rows from the caller as parameters, such as
 * FROM unnest($1::text[], $2::numeric[]) AS ec_c(country, total), all at once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_EXPR_H
#define EC_EXPR_H

#include "compat/compat.h"

#include "core/core.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/* longest text of a condition, in bytes */
#define EC_EXPR_MAX_LENGTH (64 * 1024)
/* how deep its brackets, calls and operators may be nested */
#define EC_EXPR_MAX_DEPTH 500

/* ---- expr_scope.c ---- */

typedef struct EcExprColumn
{
	const char *name;
	Oid			type;
	int32		typmod;
} EcExprColumn;

typedef struct EcExprRow
{
	const char *name;			/* event, old, new, customer, order, ... */
	int			ncolumns;
	EcExprColumn *columns;
} EcExprRow;

/* The rows that a condition may speak of; built by the caller. */
typedef struct EcExprScope
{
	int			nrows;
	EcExprRow  *rows;
} EcExprScope;

extern EcExprScope *ec_expr_scope_from_jsonb(Jsonb *jsonb);
extern EcExprRow *ec_expr_scope_row(const EcExprScope *scope, const char *name);
extern EcExprColumn *ec_expr_row_column(const EcExprRow *row, const char *name);
extern const char *ec_expr_nearest(const char *wanted, int n, const char *const *names);

/* ---- expr_check.c ---- */

/* A column that a condition uses.  In the tree it is parameter $2, $3, ... */
typedef struct EcExprParam
{
	const EcExprRow *row;
	const EcExprColumn *column;
} EcExprParam;

/* the parameter that stands for ecauto.now() */
#define EC_EXPR_NOW 1
/* the parameter that stands for params[i] */
#define EC_EXPR_PARAM(i) ((i) + 2)

/* A checked condition; lives in the context it was checked in. */
typedef struct EcExpr
{
	const EcExprScope *scope;
	const char *text;			/* as its author wrote it */
	Node	   *tree;			/* analysed, boolean; no Vars at its own level */
	int			nparams;
	EcExprParam *params;
	bool		uses_now;		/* does it ask ecauto.now()? */
	bool		has_subquery;
	bool		self_contained; /* does it not matter who runs it?  see expr_safe.c */
} EcExpr;

extern void ec_expr_begin(EcAs *as, Oid definer);
extern void ec_expr_begin_as_owner(EcAs *as);
extern void ec_expr_end(EcAs *as);
extern EcExpr *ec_expr_check(const char *text, const EcExprScope *scope);

/* ---- expr_safe.c ---- */

struct ParseState;
extern void ec_expr_safe(struct ParseState *pstate, const EcExprScope *scope, Node *raw, Node *tree,
						 bool *self_contained);
extern Node *ec_expr_replace_now(Node *tree, bool *found);

/* ---- expr_compile.c ---- */

/*
 * The SQL text by which a caller's statement gives a column, such as
 * "c.country" or "(e.old->>'qty')::integer"; of exactly the column's type.
 */
typedef const char *(*EcExprColumnSql) (const EcExprRow *row, const EcExprColumn *column, void *arg);

extern char *ec_expr_compile(const EcExpr *expr, EcExprColumnSql column_sql, void *arg,
							 const char *now_sql);
extern char *ec_expr_text(const EcExpr *expr);
extern char *ec_expr_node_text(const EcExpr *expr, Node *node);

/* ---- expr_eval.c ---- */

/* Values of what a condition uses: [0] is the as-of time, [1 + i] params[i]. */
typedef struct EcExprValues
{
	Datum	   *values;
	bool	   *nulls;
} EcExprValues;

typedef enum EcExprTruth
{
	EC_EXPR_FALSE,
	EC_EXPR_TRUE,
	EC_EXPR_NULL				/* neither: something it needs is unknown */
} EcExprTruth;

extern EcExprValues *ec_expr_values_from_jsonb(const EcExpr *expr, Jsonb *data, TimestampTz as_of);
extern SPIPlanPtr ec_expr_plan(const EcExpr *expr, List *nodes);
extern void ec_expr_run(SPIPlanPtr plan, const EcExprValues *values, int n, Datum *result,
						bool *isnull);
extern EcExprTruth ec_expr_test(const EcExpr *expr, Node *node, const EcExprValues *values);

/* ---- expr_explain.c ---- */

/* One part of an explained condition, in the order of its text. */
typedef struct EcExprPart
{
	char	   *path;			/* "1", "1.2", ... */
	int			depth;			/* 0: the whole condition */
	char	   *expression;
	EcExprTruth result;
	Jsonb	   *operands;		/* of a leaf: what it is about and its value */
	char	   *remedy;			/* what would make it what it should be, or NULL if it is */
} EcExprPart;

extern List *ec_expr_explain(const EcExpr *expr, const EcExprValues *values);

/* ---- expr_remedy.c ---- */

/* A comparison of two values: subject OP object. */
typedef struct EcExprComparison
{
	Node	   *subject;		/* the side that depends on the rows in scope */
	Node	   *object;
	int			strategy;		/* BTLess... of subject against object; 0: <> */
} EcExprComparison;

extern bool ec_expr_comparison(Node *leaf, EcExprComparison *comparison);
extern bool ec_expr_uses_columns(Node *node);
extern bool ec_expr_uses_now(Node *node);
extern List *ec_expr_operands(Node *leaf);
extern char *ec_expr_remedy(const EcExpr *expr, const EcExprValues *values, Node *leaf, bool wanted,
							List *operands, const Datum *values_of, const bool *nulls_of);

/* ---- expr_time.c ---- */

/* no later instant at which a condition can change by time alone */
#define EC_EXPR_NEVER DT_NOEND

extern TimestampTz ec_expr_changes_at(const EcExpr *expr, Node *node, const EcExprValues *values);

#endif							/* EC_EXPR_H */

/*-------------------------------------------------------------------------
 *
 * segment_time.c
 *		When may a condition change by time alone?  For many customers at once.
 *
 * ec_expr_changes_at() finds that instant for one customer by trying.  Here it
 * is computed in SQL, next to the condition, from the leaves that ask
 * ecauto.now():
 *
 *		customer.last_order_at >= ecauto.now() - interval '30 days'
 *
 * turns where both sides are equal, at customer.last_order_at + interval '30
 * days'.  A side that holds the time is turned inside out, from its root down
 * to ecauto.now(): what is subtracted is added, of age() the birthday is added,
 * and so on.
 *
 * Calendars are not so simple: a month added is not a month taken away, and a
 * day has 23 hours once a year.  But then the instant is off by whole days or
 * an hour, so these places are looked at as well (ecauto.next_turn()).  Looking
 * once too often does no harm: the customer is looked at, nothing has changed,
 * and the next instant is computed.  Whoever asks about membership gets it
 * computed anyway.
 *
 * What cannot be turned inside out (extract(month FROM ecauto.now()) = 12) is
 * looked at when the next day begins.
 *
 * A comparison with score.value turns when the points have decayed to the other
 * side (ecauto.score_turn()); where the score is part of more, and what
 * clv says, is looked at when the next day begins.
 *
 * Columns about the last N days change too without being asked about time:
 * when the oldest order in them is N days old.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "customer/customer.h"
#include "segment/segment.h"

PG_FUNCTION_INFO_V1(ecauto_next_turn);

/* How far off a computed instant can be: by which places it is surrounded. */
typedef enum Around
{
	AROUND_NOTHING,
	AROUND_HOUR,				/* days were added: daylight saving */
	AROUND_DAYS					/* months or years were */
} Around;

typedef struct Turn
{
	const EcExpr *expr;
	EcExprColumnSql column_sql;
	void	   *arg;
	const char *as_of;
	StringInfoData sql;			/* ", candidate" for each */
	Around		around;
} Turn;

static bool turn_inside_out(Turn *turn, Node *node, const char *value);

/* The SQL of a part of the condition. */
static char *
part_sql(Turn *turn, Node *node)
{
	EcExpr		part = *turn->expr;

	part.tree = node;
	return psprintf("(%s)", ec_expr_compile(&part, turn->column_sql, turn->arg, turn->as_of));
}

static void
add_candidate(Turn *turn, const char *value)
{
	appendStringInfo(&turn->sql, ", ecauto.next_turn(%s, %s, %d)", turn->as_of, value, (int) turn->around);
}

static void
around_at_least(Turn *turn, Around around)
{
	turn->around = Max(turn->around, around);
}

/* What is added or taken away of the time: how exact is that? */
static void
around_interval(Turn *turn, Node *node)
{
	Const	   *constant = (Const *) strip_implicit_coercions(node);
	Interval   *interval;

	if (exprType(node) != INTERVALOID)
		around_at_least(turn, AROUND_HOUR);
	else if (!IsA(constant, Const) || constant->constisnull)
		around_at_least(turn, AROUND_DAYS);
	else
	{
		interval = DatumGetIntervalP(constant->constvalue);
		if (interval->month != 0)
			around_at_least(turn, AROUND_DAYS);
		else if (interval->day != 0)
			around_at_least(turn, AROUND_HOUR);
	}
}

static bool
turn_operator(Turn *turn, OpExpr *op, const char *value)
{
	char	   *name = get_opname(op->opno);
	Node	   *left = list_length(op->args) == 2 ? linitial(op->args) : NULL;
	Node	   *right = left != NULL ? lsecond(op->args) : NULL;
	bool		in_left;

	if (left == NULL || name == NULL || ec_expr_uses_now(left) == ec_expr_uses_now(right))
		return false;
	in_left = ec_expr_uses_now(left);
	around_interval(turn, in_left ? right : left);
	if (strcmp(name, "+") == 0)
		return turn_inside_out(turn, in_left ? left : right,
							   psprintf("(%s - %s)", value, part_sql(turn, in_left ? right : left)));
	if (strcmp(name, "-") == 0 && in_left)
		return turn_inside_out(turn, left, psprintf("(%s + %s)", part_sql(turn, right), value));
	if (strcmp(name, "-") == 0)
		return turn_inside_out(turn, right, psprintf("(%s - %s)", part_sql(turn, left), value));
	return false;
}

/* The field of date_part() or extract(), in small letters; NULL if it is no constant. */
static char *
field_of(Node *node)
{
	Const	   *constant = (Const *) node;

	if (!IsA(node, Const) || constant->constisnull || constant->consttype != TEXTOID)
		return NULL;
	return TextDatumGetCString(constant->constvalue);
}

/* date_part(field, whole) is value, or the next one */
static bool
turn_field(Turn *turn, char *field, Node *whole, const char *value)
{
	bool		interval = exprType(whole) == INTERVALOID;
	const char *form;

	if (field == NULL)
		return false;
	if (pg_strcasecmp(field, "epoch") == 0 && interval)
		return turn_inside_out(turn, whole, psprintf("((%s) * interval '1 second')", value));
	if (interval && (pg_strcasecmp(field, "year") == 0 || pg_strcasecmp(field, "years") == 0))
		form = "(pg_catalog.ceil((%s)::numeric + %d) * interval '1 year')";
	else if (interval && (pg_strcasecmp(field, "day") == 0 || pg_strcasecmp(field, "days") == 0))
		form = "(pg_catalog.ceil((%s)::numeric + %d) * interval '1 day')";
	else
		return false;
	around_at_least(turn, AROUND_DAYS);
	/* years of an age at least 25: from the 25th birthday; at most 34: until the 35th */
	for (int more = 0; more <= 1; more++)
	{
		char	   *amount = psprintf(form, value, more);

		if (!turn_inside_out(turn, whole, amount))
			return false;
	}
	return true;
}

static bool
turn_function(Turn *turn, FuncExpr *call, const char *value)
{
	char	   *name = get_func_name(call->funcid);
	int			n = list_length(call->args);
	Node	   *first = n > 0 ? linitial(call->args) : NULL;
	Node	   *second = n > 1 ? lsecond(call->args) : NULL;

	if (name == NULL || first == NULL || get_func_namespace(call->funcid) != PG_CATALOG_NAMESPACE)
		return false;
	if (n == 1 && strcmp(name, "date") == 0)
	{
		around_at_least(turn, AROUND_HOUR);
		return turn_inside_out(turn, first, psprintf("(%s)::timestamptz", value)) &&
			turn_inside_out(turn, first, psprintf("((%s) + 1)::timestamptz", value));
	}
	if (n == 1 && strcmp(name, "timestamp") == 0)
		return turn_inside_out(turn, first, psprintf("(%s)::timestamptz", value));
	if (n == 1 && strcmp(name, "timestamptz") == 0)
		return turn_inside_out(turn, first, psprintf("(%s)::%s", value, exprType(first) == DATEOID ? "date" : "timestamp"));
	if (n == 1 && (strcmp(name, "int4") == 0 || strcmp(name, "int8") == 0 || strcmp(name, "numeric") == 0 ||
				   strcmp(name, "float8") == 0 || strcmp(name, "floor") == 0))
		return turn_inside_out(turn, first, value);
	if (n != 2 || ec_expr_uses_now(first) == ec_expr_uses_now(second))
		return false;
	if (strcmp(name, "age") == 0 && ec_expr_uses_now(first))
	{
		around_at_least(turn, AROUND_DAYS);
		return turn_inside_out(turn, first, psprintf("(%s + %s)", part_sql(turn, second), value));
	}
	if (strcmp(name, "timezone") == 0 && ec_expr_uses_now(second))
	{
		around_at_least(turn, AROUND_HOUR);
		return turn_inside_out(turn, second, psprintf("pg_catalog.timezone(%s, %s)", part_sql(turn, first), value));
	}
	if ((strcmp(name, "date_part") == 0 || strcmp(name, "extract") == 0) && ec_expr_uses_now(second))
		return turn_field(turn, field_of(first), second, value);
	return false;
}

/*
 * When is node, which holds ecauto.now(), equal to value (SQL of its type)?
 * Adds the candidates; false if it cannot be said.
 */
static bool
turn_inside_out(Turn *turn, Node *node, const char *value)
{
	if (IsA(node, Param))
	{
		add_candidate(turn, exprType(node) == TIMESTAMPTZOID ? value : psprintf("(%s)::timestamptz", value));
		return true;
	}
	if (IsA(node, RelabelType))
		return turn_inside_out(turn, (Node *) ((RelabelType *) node)->arg, value);
	if (IsA(node, OpExpr))
		return turn_operator(turn, (OpExpr *) node, value);
	if (IsA(node, FuncExpr))
		return turn_function(turn, (FuncExpr *) node, value);
	return false;
}

/* Look again when the next day begins. */
static void
add_next_day(Turn *turn)
{
	appendStringInfo(&turn->sql, ", (pg_catalog.date_trunc('day', %s) + interval '1 day')", turn->as_of);
}

/* A leaf that asks ecauto.now(). */
static void
turn_leaf(Turn *turn, Node *leaf)
{
	OpExpr	   *op = (OpExpr *) leaf;
	int			before = turn->sql.len;
	bool		found = false;

	turn->around = AROUND_NOTHING;
	if (IsA(leaf, OpExpr) && list_length(op->args) == 2 &&
		ec_expr_uses_now(linitial(op->args)) != ec_expr_uses_now(lsecond(op->args)))
	{
		bool		in_left = ec_expr_uses_now(linitial(op->args));

		found = turn_inside_out(turn, in_left ? linitial(op->args) : lsecond(op->args),
								part_sql(turn, in_left ? lsecond(op->args) : linitial(op->args)));
	}
	if (!found)
	{
		turn->sql.len = before;
		turn->sql.data[before] = '\0';
		add_next_day(turn);
	}
}

/* The column of a condition's scope that a node is; NULL if it is none. */
static const EcExprParam *
column_of(const Turn *turn, Node *node)
{
	const Param *param = (const Param *) node;

	if (!IsA(node, Param) || param->paramkind != PARAM_EXTERN || param->paramid < EC_EXPR_PARAM(0) ||
		param->paramid >= EC_EXPR_PARAM(turn->expr->nparams))
		return NULL;
	return &turn->expr->params[param->paramid - EC_EXPR_PARAM(0)];
}

static bool
is_score(const Turn *turn, Node *node)
{
	const EcExprParam *param = column_of(turn, node);

	return param != NULL && strcmp(param->row->name, ec_scoring_row_names[EC_SCORING_SCORE]) == 0;
}

/* expression_tree_walker: does it ask for the score? */
static bool
uses_score(Node *node, void *turn)
{
	if (node == NULL)
		return false;
	return is_score(turn, node) || expression_tree_walker(node, uses_score, turn);
}

/* A leaf that asks for the score. */
static void
turn_score(Turn *turn, Node *leaf)
{
	OpExpr	   *op = (OpExpr *) leaf;
	Node	   *left = IsA(leaf, OpExpr) && list_length(op->args) == 2 ? linitial(op->args) : NULL;
	Node	   *right = left != NULL ? lsecond(op->args) : NULL;
	Node	   *other = left == NULL ? NULL : is_score(turn, left) ? right : is_score(turn, right) ? left : NULL;

	if (other == NULL || exprType(other) != FLOAT8OID || uses_score(other, turn) || ec_expr_uses_now(leaf))
		add_next_day(turn);
	else
		appendStringInfo(&turn->sql, ", ecauto.score_turn(%s, customer.%s, customer.%s, %s)", turn->as_of,
						 quote_identifier("score.ec_worth"), quote_identifier("score.ec_half_lives"),
						 part_sql(turn, other));
}

static void
turn_tree(Turn *turn, Node *node)
{
	if (IsA(node, BoolExpr))
	{
		ListCell   *lc;

		foreach(lc, ((BoolExpr *) node)->args)
			turn_tree(turn, lfirst(lc));
	}
	else if (IsA(node, BooleanTest))
		turn_tree(turn, (Node *) ((BooleanTest *) node)->arg);
	else
	{
		if (ec_expr_uses_now(node))
			turn_leaf(turn, node);
		if (uses_score(node, turn))
			turn_score(turn, node);
	}
}

/*
 * SQL of an instant after as_of before which a condition does not change by
 * time alone: a list of timestamptz, each preceded by a comma, of which the
 * first counts; empty if it never does.  Columns are given by column_sql.  A
 * condition that is not self-contained may change by itself, and is looked at
 * once a day.
 */
char *
ec_segment_next_sql(const EcExpr *expr, EcExprColumnSql column_sql, void *arg, const char *as_of)
{
	Turn		turn = {expr, column_sql, arg, as_of};

	initStringInfo(&turn.sql);
	turn_tree(&turn, expr->tree);
	for (int i = 0; i < expr->nparams; i++)
	{
		const EcExprParam *param = &expr->params[i];
		int			number = param->column - param->row->columns;
		EcExprColumn *oldest;
		const EcCustomerColumn *column;

		if (strcmp(param->row->name, "customer") != 0 || ec_customer_columns[number].days == 0)
			continue;
		column = &ec_customer_columns[number];
		oldest = ec_expr_row_column(param->row, psprintf("oldest_order_%dd", column->days));
		turn.around = AROUND_HOUR;
		add_candidate(&turn, psprintf("%s + interval '%d days'", column_sql(param->row, oldest, arg), column->days));
	}
	if (!expr->self_contained || ec_segment_uses(expr, ec_scoring_row_names[EC_SCORING_CLV]))
		add_next_day(&turn);
	return turn.sql.data;
}

/*
 * ecauto.next_turn(as_of timestamptz, turn timestamptz, around integer) returns timestamptz
 *
 * The first instant after as_of out of the one just after turn (a comparison
 * with "or equal" turns a microsecond later) and those around it; infinity if
 * there is none.
 */
Datum
ecauto_next_turn(PG_FUNCTION_ARGS)
{
	static const int64 offsets[] = {
		0,
		-USECS_PER_HOUR, USECS_PER_HOUR,
		-USECS_PER_DAY, USECS_PER_DAY, -2 * USECS_PER_DAY, 2 * USECS_PER_DAY,
		-3 * USECS_PER_DAY, 3 * USECS_PER_DAY
	};
	static const int noffsets[] = {1, 3, lengthof(offsets)};
	TimestampTz as_of;
	TimestampTz turn;
	TimestampTz next = DT_NOEND;
	int			around;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_TIMESTAMPTZ(DT_NOEND);
	as_of = PG_GETARG_TIMESTAMPTZ(0);
	turn = PG_GETARG_TIMESTAMPTZ(1);
	around = PG_GETARG_INT32(2);
	if (TIMESTAMP_NOT_FINITE(turn) || turn > END_TIMESTAMP - 4 * USECS_PER_DAY ||
		turn < MIN_TIMESTAMP + 4 * USECS_PER_DAY || around < 0 || around >= lengthof(noffsets))
		PG_RETURN_TIMESTAMPTZ(DT_NOEND);
	for (int i = 0; i < noffsets[around]; i++)
	{
		TimestampTz at = turn + offsets[i];

		/* the instant itself, and the one after it */
		if (at <= as_of)
			at++;
		if (at > as_of)
			next = Min(next, at);
	}
	PG_RETURN_TIMESTAMPTZ(next);
}

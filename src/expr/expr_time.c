/*-------------------------------------------------------------------------
 *
 * expr_time.c
 *		When does a condition change if nothing happens but time?
 *
 * Each leaf that asks ecauto.now() is a function of time once the values of
 * the rows are fixed.  What kind of function is read from its tree:
 *
 * - Both sides of a comparison rise or fall with time, as in
 *   "customer.last_order_at >= ecauto.now() - interval '30 days'" or
 *   "date_part('year', age(ecauto.now(), customer.birth_date)) >= 18".  Then
 *   the leaf turns once, and bisection by evaluating the leaf itself finds the
 *   microsecond.  Nothing is inverted, so months, leap years and daylight
 *   saving are the server's business.
 *
 *   That is not quite so: "ecauto.now() - interval '1 month'" falls back by a
 *   day between the evening of March 30 and the morning of March 31, and by an
 *   hour when daylight saving ends.  But between two local midnights or
 *   changes of daylight saving, a piece of time, it is so; and it falls back
 *   by no more than a few days.  So we look at each piece near the start and
 *   near the place found.
 *
 * - The same within each day only (ecauto.now()::time >= '09:00').  We look
 *   at the pieces of a year.
 *
 * - It depends on time in steps, of a day mostly (extract(month FROM
 *   ecauto.now()) = 12).  We look at each step, for a while, and if nothing
 *   changes say the end of that while, which is early but not wrong.
 *
 * - Something else.  Then it may change at any time.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/stratnum.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/formatting.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "expr/expr.h"

/* pieces looked at one by one where a rising value may fall back */
#define PIECES_NEAR 10
/* how far back from a place found it may have turned already, in us */
#define FALL_BACK (7 * USECS_PER_DAY)
/* pieces or steps looked at where there is no other way: somewhat over a year */
#define STEPS_MAX 400
/* how far ahead we look, in us */
#define HORIZON (10000 * INT64CONST(365) * USECS_PER_DAY)

/* ---- how a value goes with time ---- */

typedef enum Course
{
	COURSE_FALLS = -1,
	COURSE_STAYS = 0,
	COURSE_RISES = 1,
	COURSE_UNKNOWN = 2
} Course;

static Course
course_reverse(Course course)
{
	return course == COURSE_UNKNOWN ? COURSE_UNKNOWN : -course;
}

/* The course of a sum. */
static Course
course_add(Course a, Course b)
{
	if (a == COURSE_STAYS || a == b)
		return b;
	return b == COURSE_STAYS ? a : COURSE_UNKNOWN;
}

static bool
is_one_of(const char *name, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcmp(name, *list) == 0)
			return true;
	return false;
}

/* The value of a constant text in small letters, or NULL. */
static char *
constant_word(Node *node)
{
	Const	   *constant = (Const *) node;
	char	   *word;

	if (!IsA(node, Const) || constant->constisnull || constant->consttype != TEXTOID)
		return NULL;
	word = TextDatumGetCString(constant->constvalue);
	return asc_tolower(word, strlen(word));
}

static bool
type_is_moment(Oid type)
{
	return type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID;
}

static Course course_of(Node *node, bool *daily);

/* date_part(field, value) and extract(field FROM value) */
static Course
course_of_field(Node *field, Node *value, bool *daily)
{
	/* an age has them too, and they rise with it */
	static const char *const rising[] = {
		"epoch", "year", "years", "decade", "century", "millennium", "isoyear", "julian", NULL
	};
	static const char *const days[] = {"day", "days", NULL};
	const char *word = constant_word(field);
	OpExpr	   *op = (OpExpr *) value;

	if (word == NULL)
		return COURSE_UNKNOWN;
	if (is_one_of(word, rising))
		return course_of(value, daily);
	/* the difference of two times has days but no months */
	if (is_one_of(word, days) && IsA(value, OpExpr) && list_length(op->args) == 2 &&
		strcmp(get_opname(op->opno), "-") == 0 &&
		type_is_moment(exprType(linitial(op->args))) && type_is_moment(exprType(lsecond(op->args))))
		return course_of(value, daily);
	return COURSE_UNKNOWN;
}

static Course
course_of_function(Oid function, List *args, bool *daily)
{
	/* casts and roundings, which do not fall where their first argument rises */
	static const char *const rising[] = {
		"date", "timestamp", "timestamptz", "int2", "int4", "int8", "numeric", "float4", "float8",
		"floor", "ceil", "ceiling", "trunc", "round", NULL
	};
	/* the same of the second argument */
	static const char *const rising_second[] = {"date_trunc", "timezone", NULL};
	static const char *const fields[] = {"date_part", "extract", NULL};
	const char *name = get_func_name(function);

	if (name == NULL || args == NIL || get_func_namespace(function) != PG_CATALOG_NAMESPACE)
		return COURSE_UNKNOWN;
	for (int i = 2; i < list_length(args); i++)
		if (ec_expr_uses_now(list_nth(args, i)))
			return COURSE_UNKNOWN;
	if (is_one_of(name, rising) &&
		(list_length(args) == 1 || !ec_expr_uses_now(lsecond(args))))
		return course_of(linitial(args), daily);
	if (strcmp(name, "time") == 0)
	{
		*daily = true;
		return course_of(linitial(args), daily) == COURSE_STAYS ? COURSE_STAYS :
			IsA(linitial(args), Param) ? COURSE_RISES : COURSE_UNKNOWN;
	}
	if (list_length(args) < 2)
		return COURSE_UNKNOWN;
	if (is_one_of(name, rising_second) && !ec_expr_uses_now(linitial(args)))
		return course_of(lsecond(args), daily);
	if (is_one_of(name, fields))
		return course_of_field(linitial(args), lsecond(args), daily);
	if (strcmp(name, "age") == 0)
		return course_add(course_of(linitial(args), daily), course_reverse(course_of(lsecond(args), daily)));
	return COURSE_UNKNOWN;
}

/* -1, 0 or 1, or 2 if it is no constant number */
static int
constant_sign(Node *node)
{
	Oid			output;
	bool		varlena;
	char	   *text;

	node = strip_implicit_coercions(node);
	if (!IsA(node, Const) || ((Const *) node)->constisnull)
		return 2;
	switch (((Const *) node)->consttype)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
		case FLOAT4OID:
		case FLOAT8OID:
			break;
		default:
			return 2;
	}
	getTypeOutputInfo(((Const *) node)->consttype, &output, &varlena);
	text = OidOutputFunctionCall(output, ((Const *) node)->constvalue);
	if (strspn(text, "0.") == strlen(text))
		return 0;
	return *text == '-' ? -1 : 1;
}

static Course
course_of_operator(OpExpr *op, bool *daily)
{
	const char *name = get_opname(op->opno);
	Node	   *first = linitial(op->args);
	Node	   *second = list_length(op->args) == 2 ? lsecond(op->args) : NULL;
	int			sign;

	if (name == NULL || get_func_namespace(get_opcode(op->opno)) != PG_CATALOG_NAMESPACE)
		return COURSE_UNKNOWN;
	if (second == NULL)
		return strcmp(name, "-") == 0 ? course_reverse(course_of(first, daily)) : COURSE_UNKNOWN;
	if (strcmp(name, "+") == 0)
		return course_add(course_of(first, daily), course_of(second, daily));
	if (strcmp(name, "-") == 0)
		return course_add(course_of(first, daily), course_reverse(course_of(second, daily)));

	if (strcmp(name, "*") == 0 && constant_sign(first) != 2)
	{
		Node	   *swap = first;

		first = second;
		second = swap;
	}
	else if (strcmp(name, "*") != 0 && strcmp(name, "/") != 0)
		return COURSE_UNKNOWN;
	sign = constant_sign(second);
	if (sign == 2)
		return COURSE_UNKNOWN;
	return sign == 0 ? COURSE_STAYS : sign > 0 ? course_of(first, daily) :
		course_reverse(course_of(first, daily));
}

/* The course of a list of which one is taken, whichever. */
static Course
course_of_choice(List *args, bool *daily)
{
	Course		course = COURSE_STAYS;
	ListCell   *lc;

	foreach(lc, args)
		course = course_add(course, course_of(lfirst(lc), daily));
	return course;
}

/*
 * How a value goes with time, all else fixed.  *daily is set if that holds
 * within a day only.
 */
static Course
course_of(Node *node, bool *daily)
{
	if (!ec_expr_uses_now(node))
		return COURSE_STAYS;
	switch (nodeTag(node))
	{
		case T_Param:
			return COURSE_RISES;
		case T_RelabelType:
			return course_of((Node *) ((RelabelType *) node)->arg, daily);
		case T_FuncExpr:
			return course_of_function(((FuncExpr *) node)->funcid, ((FuncExpr *) node)->args, daily);
		case T_OpExpr:
			return course_of_operator((OpExpr *) node, daily);
		case T_MinMaxExpr:
			return course_of_choice(((MinMaxExpr *) node)->args, daily);
		default:
			return COURSE_UNKNOWN;
	}
}

/* ---- values that change in steps ---- */

typedef enum Step
{
	STEP_ANY,					/* at any time */
	STEP_MINUTE,
	STEP_QUARTER,				/* of an hour: what hours of all time zones have in common */
	STEP_DAY,
	STEP_NONE					/* does not depend on time */
} Step;

/* Is it ecauto.now(), give or take whole days? */
static bool
is_now_by_days(Node *node)
{
	OpExpr	   *op = (OpExpr *) node;
	Const	   *shift;

	if (IsA(node, Param))
		return ((Param *) node)->paramkind == PARAM_EXTERN && ((Param *) node)->paramid == EC_EXPR_NOW;
	if (!IsA(node, OpExpr) || list_length(op->args) != 2 || !is_now_by_days(linitial(op->args)) ||
		!IsA(lsecond(op->args), Const))
		return false;
	shift = lsecond_node(Const, op->args);
	return shift->consttype == INTERVALOID && !shift->constisnull &&
		DatumGetIntervalP(shift->constvalue)->time == 0;
}

/* By which steps a unit or field of time goes. */
static Step
step_of_word(const char *word)
{
	static const char *const hours[] = {
		"hour", "hours", "timezone", "timezone_hour", "timezone_minute", NULL
	};
	static const char *const minutes[] = {"minute", "minutes", NULL};
	static const char *const days[] = {
		"day", "days", "dow", "isodow", "doy", "week", "month", "months", "quarter", "year", "years",
		"isoyear", "decade", "century", "millennium", NULL
	};

	if (word == NULL)
		return STEP_ANY;
	return is_one_of(word, days) ? STEP_DAY : is_one_of(word, hours) ? STEP_QUARTER :
		is_one_of(word, minutes) ? STEP_MINUTE : STEP_ANY;
}

/* By which steps to_char() goes with a format, in small letters. */
static Step
step_of_format(const char *format)
{
	static const char *const instants[] = {"ss", "ms", "us", "ff", "j", NULL};
	static const char *const hours[] = {"hh", "am", "pm", "a.m.", "p.m.", "tz", "of", NULL};

	if (format == NULL)
		return STEP_ANY;
	for (int i = 0; instants[i] != NULL; i++)
		if (strstr(format, instants[i]) != NULL)
			return STEP_ANY;
	if (strstr(format, "mi") != NULL)
		return STEP_MINUTE;
	for (int i = 0; hours[i] != NULL; i++)
		if (strstr(format, hours[i]) != NULL)
			return STEP_QUARTER;
	return STEP_DAY;
}

/* If a call turns ecauto.now() into something coarser, how coarse; else STEP_ANY. */
static Step
step_of_function(FuncExpr *call)
{
	const char *name = get_func_name(call->funcid);
	Node	   *first = call->args != NIL ? linitial(call->args) : NULL;
	Node	   *second = list_length(call->args) == 2 ? lsecond(call->args) : NULL;

	if (name == NULL || get_func_namespace(call->funcid) != PG_CATALOG_NAMESPACE)
		return STEP_ANY;
	if (strcmp(name, "date") == 0 && is_now_by_days(first))
		return STEP_DAY;
	if (second == NULL)
		return STEP_ANY;
	if ((strcmp(name, "date_part") == 0 || strcmp(name, "extract") == 0 || strcmp(name, "date_trunc") == 0) &&
		is_now_by_days(second))
		return step_of_word(constant_word(first));
	if (strcmp(name, "to_char") == 0 && is_now_by_days(first))
		return step_of_format(constant_word(second));
	return STEP_ANY;
}

static bool
step_walker(Node *node, Step *step)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param) && ec_expr_uses_now(node))
		*step = STEP_ANY;
	if (IsA(node, FuncExpr))
	{
		Step		coarse = step_of_function((FuncExpr *) node);

		if (coarse != STEP_ANY)
		{
			*step = Min(*step, coarse);
			return false;
		}
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, step_walker, step, 0);
	return expression_tree_walker(node, step_walker, step);
}

/* ---- the time line ---- */

/* The end of the piece that t is in: the next local midnight or change of daylight saving. */
static TimestampTz
piece_end(TimestampTz t)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;
	pg_time_t	seconds = timestamptz_to_time_t(t);
	pg_time_t	boundary;
	long int	offset_before;
	long int	offset_after;
	int			dst_before;
	int			dst_after;
	TimestampTz end;

	if (timestamp2tm(t, &tz, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	j2date(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) + 1, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	tz = DetermineTimeZoneOffset(&tm, session_timezone);
	/* a day can be without midnight, but it ends */
	if (tm2timestamp(&tm, 0, &tz, &end) != 0 || end <= t)
		end = t + USECS_PER_DAY;

	if (pg_next_dst_boundary(&seconds, &offset_before, &dst_before, &boundary, &offset_after,
							 &dst_after, session_timezone) == 1)
	{
		TimestampTz change = time_t_to_timestamptz(boundary);

		if (change > t && change < end)
			end = change;
	}
	return end;
}

static TimestampTz
step_end(TimestampTz t, Step step)
{
	int64		length = step == STEP_MINUTE ? USECS_PER_MINUTE : 15 * USECS_PER_MINUTE;
	int64		rest;

	if (step == STEP_DAY)
		return piece_end(t);
	rest = t % length;
	if (rest < 0)
		rest += length;
	return t - rest + length;
}

/* ---- looking ahead ---- */

/* A leaf as a function of time. */
typedef struct Ahead
{
	SPIPlanPtr	plan;
	EcExprValues values;		/* its own array, since the time in it varies */
	TimestampTz start;
	EcExprTruth at_start;
} Ahead;

static EcExprTruth
ahead_truth(Ahead *ahead, TimestampTz t)
{
	Datum		result;
	bool		isnull;

	CHECK_FOR_INTERRUPTS();
	ahead->values.values[0] = TimestampTzGetDatum(t);
	ec_expr_run(ahead->plan, &ahead->values, 1, &result, &isnull);
	return isnull ? EC_EXPR_NULL : DatumGetBool(result) ? EC_EXPR_TRUE : EC_EXPR_FALSE;
}

static bool
ahead_same(Ahead *ahead, TimestampTz t)
{
	return ahead_truth(ahead, t) == ahead->at_start;
}

/* The first instant that differs, if same does not and different does. */
static TimestampTz
ahead_bisect(Ahead *ahead, TimestampTz same, TimestampTz different)
{
	while (different - same > 1)
	{
		TimestampTz middle = same + (different - same) / 2;

		if (ahead_same(ahead, middle))
			same = middle;
		else
			different = middle;
	}
	return different;
}

/*
 * Look at whole pieces from *t, which does not differ, until one differs, n
 * are done, or before is reached; *t is where we got to.  True: *t differs.
 */
static bool
ahead_pieces(Ahead *ahead, TimestampTz *t, int n, TimestampTz before)
{
	for (int i = 0; i < n && *t < before; i++)
	{
		TimestampTz end = Min(piece_end(*t), before);

		if (end - 1 > *t && !ahead_same(ahead, end - 1))
		{
			*t = ahead_bisect(ahead, *t, end - 1);
			return true;
		}
		*t = end;
		if (!ahead_same(ahead, end))
			return true;
	}
	return false;
}

/* When a leaf changes whose sides rise or fall, save for falling back a little. */
static TimestampTz
ahead_turn(Ahead *ahead)
{
	TimestampTz t = ahead->start;
	TimestampTz horizon = ahead->start + HORIZON;
	TimestampTz found;

	if (ahead_pieces(ahead, &t, PIECES_NEAR, DT_NOEND))
		return t;
	if (ahead_same(ahead, horizon))
		return EC_EXPR_NEVER;
	found = ahead_bisect(ahead, t, horizon);

	/* it may have turned before, and back */
	for (TimestampTz from = found - FALL_BACK;; from -= FALL_BACK)
	{
		if (from > t && !ahead_same(ahead, from))
			continue;
		t = Max(from, t);
		(void) ahead_pieces(ahead, &t, INT_MAX, found);
		return t;
	}
}

static TimestampTz
ahead_steps(Ahead *ahead, Step step)
{
	TimestampTz t = ahead->start;

	for (int i = 0; i < STEPS_MAX; i++)
	{
		t = step_end(t, step);
		if (!ahead_same(ahead, t))
			break;
	}
	return t;
}

/* How to look ahead along a leaf. */
typedef enum Way
{
	WAY_TURN,
	WAY_DAILY,
	WAY_STEPS
} Way;

static TimestampTz
look_ahead(const EcExpr *expr, Node *leaf, const EcExprValues *values, Way way, Step step)
{
	Ahead		ahead;
	Size		size = sizeof(Datum) * (expr->nparams + 1);
	TimestampTz at;

	ahead.start = DatumGetTimestampTz(values->values[0]);
	if (TIMESTAMP_NOT_FINITE(ahead.start) || ahead.start > END_TIMESTAMP - 2 * HORIZON)
		return EC_EXPR_NEVER;
	ahead.plan = ec_expr_plan(expr, list_make1(leaf));
	ahead.values = *values;
	ahead.values.values = palloc(size);
	memcpy(ahead.values.values, values->values, size);
	ahead.at_start = ahead_truth(&ahead, ahead.start);

	if (way == WAY_TURN)
		at = ahead_turn(&ahead);
	else if (way == WAY_STEPS)
		at = ahead_steps(&ahead, step);
	else
	{
		at = ahead.start;
		if (!ahead_pieces(&ahead, &at, STEPS_MAX, DT_NOEND))
			at = EC_EXPR_NEVER;
	}
	SPI_freeplan(ahead.plan);
	return at;
}

/* ---- leaves and branches ---- */

/* The comparison with another operator of the same family. */
static Node *
with_strategy(OpExpr *op, int strategy)
{
	OpExpr	   *other = copyObject(op);
	Oid			left = exprType(linitial(op->args));
	Oid			right = exprType(lsecond(op->args));
	Oid			family = lookup_type_cache(left, TYPECACHE_BTREE_OPFAMILY)->btree_opf;

	other->opno = get_opfamily_member(family, left, right, strategy);
	if (!OidIsValid(other->opno))
		return NULL;
	other->opfuncid = get_opcode(other->opno);
	return (Node *) other;
}

/* Both sides of a comparison rise or fall: when it turns.  False if they do not. */
static bool
comparison_changes_at(const EcExpr *expr, Node *leaf, const EcExprValues *values, TimestampTz *at)
{
	EcExprComparison comparison;
	OpExpr	   *op = (OpExpr *) leaf;
	bool		daily = false;
	Course		course;
	Node	   *least;
	Node	   *most;
	Way			way;

	if (!ec_expr_comparison(leaf, &comparison))
		return false;
	course = course_add(course_of(linitial(op->args), &daily),
						course_reverse(course_of(lsecond(op->args), &daily)));
	if (course == COURSE_UNKNOWN)
		return false;
	way = daily ? WAY_DAILY : WAY_TURN;
	if (comparison.strategy != 0 && comparison.strategy != BTEqualStrategyNumber)
	{
		*at = look_ahead(expr, leaf, values, way, STEP_ANY);
		return true;
	}

	/* equal is at least and at most: it changes no earlier than these do */
	least = with_strategy(op, BTGreaterEqualStrategyNumber);
	most = with_strategy(op, BTLessEqualStrategyNumber);
	if (least == NULL || most == NULL)
		return false;
	*at = Min(look_ahead(expr, least, values, way, STEP_ANY),
			  look_ahead(expr, most, values, way, STEP_ANY));
	return true;
}

/*
 * The first instant after the as-of time at which a leaf of the condition, or
 * of a part of it, has another value, or no later than that; EC_EXPR_NEVER if
 * there is none; the as-of time itself if it cannot be foreseen.  The caller
 * is connected to SPI.
 */
TimestampTz
ec_expr_changes_at(const EcExpr *expr, Node *node, const EcExprValues *values)
{
	TimestampTz at = EC_EXPR_NEVER;
	Step		step = STEP_NONE;

	if (!ec_expr_uses_now(node))
		return EC_EXPR_NEVER;
	if (IsA(node, BoolExpr))
	{
		ListCell   *lc;

		foreach(lc, ((BoolExpr *) node)->args)
			at = Min(at, ec_expr_changes_at(expr, lfirst(lc), values));
		return at;
	}
	if (IsA(node, BooleanTest))
		return ec_expr_changes_at(expr, (Node *) ((BooleanTest *) node)->arg, values);
	if (comparison_changes_at(expr, node, values, &at))
		return at;

	(void) step_walker(node, &step);
	if (step == STEP_ANY)
		return DatumGetTimestampTz(values->values[0]);
	return look_ahead(expr, node, values, WAY_STEPS, step);
}

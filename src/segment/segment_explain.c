/*-------------------------------------------------------------------------
 *
 * segment_explain.c
 *		Why is a customer in a segment or not, what is missing, and until when.
 *
 * The tree of the condition is explained by ec_expr_explain(); a leaf that
 * speaks of another segment is followed by the tree of that one.
 *
 * When membership ends by time alone is found by looking at each instant at
 * which something may change (segment_time.c) until membership is another, and
 * then by bisection between this instant and the one before.  So it is what
 * in_segment() will say, to the microsecond.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "customer/customer.h"
#include "segment/segment.h"

PG_FUNCTION_INFO_V1(ecauto_explain_segment);

/* instants looked at for a change */
#define LOOKS_MAX 500
/* segments within segments that are explained */
#define DEPTH_MAX 20

#define COLUMNS 9

typedef struct Explain
{
	ReturnSetInfo *result;
	const EcSegmentSet *set;
	text	   *customer;
	TimestampTz as_of;
	const EcSegment *asked;		/* the segment that was asked about last, */
	char	   *sql;			/* and the query, without data */
} Explain;

/* What a query about one segment and one customer says. */
typedef struct Answer
{
	bool		known;			/* is there such a customer? */
	bool		member;
	TimestampTz next;			/* nothing changes before, if only time passes */
	Jsonb	   *data;			/* values of the rows in scope */
	char	   *currency;
} Answer;

/* ---- asking ---- */

/* "{"vip": customer.ec_s1, ...}" of the segments */
static char *
segments_object(List *segments)
{
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "pg_catalog.jsonb_build_object(");
	foreach(lc, segments)
		appendStringInfo(&sql, "%s%s, customer.%s", foreach_current_index(lc) > 0 ? ", " : "",
						 quote_literal_cstr(((EcSegment *) lfirst(lc))->name),
						 ec_segment_column(((EcSegment *) lfirst(lc))->id));
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/* ", 'score', {"value": ...}" of the rows beside customer that the segments' conditions speak of */
static char *
scoring_objects(List *segments)
{
	bool		rows[EC_SCORING_ROWS];
	StringInfoData sql;

	ec_segment_used_rows(segments, rows);
	initStringInfo(&sql);
	for (int row = 0; row < EC_SCORING_ROWS; row++)
	{
		const char *separator = "";

		if (!rows[row])
			continue;
		appendStringInfo(&sql, ", '%s', pg_catalog.jsonb_build_object(", ec_scoring_row_names[row]);
		for (int i = 0; i < ec_scoring_ncolumns; i++)
			if (ec_scoring_columns[i].row == row && ec_scoring_columns[i].name != NULL)
			{
				appendStringInfo(&sql, "%s'%s', customer.%s", separator, ec_scoring_columns[i].name,
								 quote_identifier(ec_scoring_columns[i].full_name));
				separator = ", ";
			}
		appendStringInfoChar(&sql, ')');
	}
	return sql.data;
}

/* The query that ask() runs: $1 keys, $2 as-of time, $3 and $4 what definers said. */
static char *
question(const EcSegmentSet *set, const EcSegment *segment, List *closure, bool foreign, bool data)
{
	EcSegmentQuery query = {"$1", "$2", foreign ? "$3" : NULL, foreign ? "$4" : NULL, true, data};
	char	   *sql;
	EcAs		as;

	ec_expr_begin_as_owner(&as);
	/* an order in the future changes facts when its time comes */
	sql = psprintf("SELECT customer.%s, least(customer.ec_next,\n"
				   "  (SELECT pg_catalog.min(o.placed_at) FROM ecauto_data.seen_order o\n"
				   "    WHERE o.customer_key = customer.key AND o.placed_at > $2),\n"
				   "  (SELECT pg_catalog.min(o.placed_at) FROM ecauto_data.customer_fact f\n"
				   "    JOIN ecauto_data.seen_order o ON o.customer_key IS NULL AND o.email = f.guest_email\n"
				   "    WHERE f.key = customer.key AND o.placed_at > $2))%s\n"
				   "FROM (%s) AS customer", ec_segment_column(segment->id),
				   data ? psprintf(", pg_catalog.jsonb_build_object('customer', pg_catalog.to_jsonb(customer), 'segment', %s%s), customer.currency",
								   segments_object(closure), scoring_objects(closure)) : "",
				   ec_segment_query(set, closure, &query));
	ec_expr_end(&as);
	return sql;
}

/*
 * Ask about a segment as of an instant; data only if wanted.  The answer is in
 * the current context; the caller is not connected to SPI.
 */
static Answer
ask(Explain *explain, EcSegment *segment, TimestampTz as_of, bool data)
{
	static const Oid types[] = {TEXTARRAYOID, TIMESTAMPTZOID, TEXTARRAYOID, INT4ARRAYOID};
	List	   *closure = ec_segment_closure(explain->set, segment);
	Datum		key = PointerGetDatum(explain->customer);
	ArrayType  *keys = construct_array(&key, 1, TEXTOID, -1, false, TYPALIGN_INT);
	MemoryContext context = CurrentMemoryContext;
	ArrayType  *foreign_keys;
	ArrayType  *foreign_ids;
	Answer		answer = {0};
	Datum		args[4];
	char		nulls[] = "    ";
	char	   *sql = explain->sql;
	EcAs		as;

	ec_segment_foreign(explain->set, closure, keys, as_of, &foreign_keys, &foreign_ids);
	args[0] = PointerGetDatum(keys);
	args[1] = TimestampTzGetDatum(as_of);
	args[2] = PointerGetDatum(foreign_keys);
	args[3] = PointerGetDatum(foreign_ids);
	nulls[2] = nulls[3] = foreign_keys == NULL ? 'n' : ' ';
	if (data || explain->asked != segment)
		sql = question(explain->set, segment, closure, foreign_keys != NULL, data);
	if (!data)
	{
		explain->asked = segment;
		explain->sql = sql;
	}
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_expr_begin_as_owner(&as);
	if (SPI_execute_plan(ec_plan(sql, 4, types), args, nulls, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not ask about segment \"%s\"", segment->name);
	if (SPI_processed > 0)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;

		answer.known = true;
		answer.member = DatumGetBool(SPI_getbinval(row, desc, 1, &isnull)) && !isnull;
		answer.next = DatumGetTimestampTz(SPI_getbinval(row, desc, 2, &isnull));
		if (data)
		{
			Datum		value = SPI_getbinval(row, desc, 3, &isnull);
			char	   *currency = SPI_getvalue(row, desc, 4);
			MemoryContext spi = MemoryContextSwitchTo(context);

			answer.data = DatumGetJsonbPCopy(value);
			answer.currency = currency != NULL ? pstrdup(currency) : NULL;
			MemoryContextSwitchTo(spi);
		}
	}
	ec_expr_end(&as);
	SPI_finish();
	return answer;
}

/*
 * The first instant after the as-of time at which membership is another if
 * nothing happens; DT_NOEND if that is never, or not to be foreseen.
 */
static TimestampTz
membership_turns_at(Explain *explain, EcSegment *segment, const Answer *now)
{
	TimestampTz same = explain->as_of;
	TimestampTz other = DT_NOEND;
	Answer		answer = *now;
	ListCell   *lc;

	/* what tables and functions will say cannot be foreseen */
	foreach(lc, ec_segment_closure(explain->set, segment))
		if (((EcSegment *) lfirst(lc))->foreign)
			return DT_NOEND;
	for (int i = 0; i < LOOKS_MAX; i++)
	{
		if (TIMESTAMP_NOT_FINITE(answer.next) || answer.next <= same)
			return DT_NOEND;
		other = answer.next;
		answer = ask(explain, segment, other, false);
		if (answer.member != now->member)
			break;
		same = other;
		other = DT_NOEND;
	}
	/* most often it is just the instant that was looked at */
	for (TimestampTz middle = other - 1; other != DT_NOEND && other - same > 1;
		 middle = same + (other - same) / 2)
	{
		CHECK_FOR_INTERRUPTS();
		if (ask(explain, segment, middle, false).member == now->member)
			same = middle;
		else
			other = middle;
	}
	return other;
}

/* ---- what is missing, in few words ---- */

/*
 * "customer.orders_count must rise by 1 to 3" or "... by more than 1, above 3" in
 * few words; other remedies as they are.
 */
static char *
near_miss_of(const EcExprPart *part, const char *currency)
{
	static const char rise[] = " must rise by ";
	static const char beyond[] = "more than ";
	char	   *at = part->remedy != NULL ? strstr(part->remedy, rise) : NULL;
	const char *than = "";
	char	   *amount;
	char	   *end;

	if (at == NULL)
		return part->remedy;
	amount = pstrdup(at + strlen(rise));
	if (strncmp(amount, beyond, strlen(beyond)) == 0)
	{
		than = beyond;
		amount += strlen(beyond);
	}
	end = strpbrk(amount, " ,");
	if (end == NULL)
		return part->remedy;
	*end = '\0';
	if (strncmp(part->remedy, "customer.orders_count", strlen("customer.orders_count")) == 0)
		return psprintf("%s%s more order%s", than, amount, strcmp(amount, "1") == 0 ? "" : "s");
	if (strncmp(part->remedy, "customer.spent_", strlen("customer.spent_")) == 0)
		return psprintf("%s%s%s%s more", than, amount, currency != NULL ? " " : "", currency != NULL ? currency : "");
	return part->remedy;
}

static bool
is_leaf(const EcExprPart *part)
{
	return part->operands != NULL;
}

/* What is missing for the whole: all of what the leaves miss, or one of it. */
static char *
near_miss(List *parts, const char *currency)
{
	EcExprPart *root = linitial(parts);
	StringInfoData text;
	ListCell   *lc;
	const char *joined = root->remedy != NULL && strstr(root->remedy, " or ") != NULL ? " or " : " and ";

	initStringInfo(&text);
	foreach(lc, parts)
	{
		EcExprPart *part = lfirst(lc);

		if (is_leaf(part) && part->remedy != NULL)
			appendStringInfo(&text, "%s%s", text.len > 0 ? joined : "", near_miss_of(part, currency));
	}
	return text.len > 0 ? text.data : NULL;
}

/* ---- the answer ---- */

/* Values of a row of the answer; NULLs where nothing is said. */
typedef struct Line
{
	char	   *path;
	int			depth;
	char	   *expression;
	EcExprTruth truth;
	Jsonb	   *operands;
	char	   *remedy;
	char	   *near_miss;
	TimestampTz leaves_at;		/* DT_NOEND: NULL */
	TimestampTz enters_at;
} Line;

static void
line_put(const Explain *explain, const Line *line)
{
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS] = {0};

	values[0] = CStringGetTextDatum(line->path);
	values[1] = Int32GetDatum(line->depth);
	values[2] = CStringGetTextDatum(line->expression);
	values[3] = BoolGetDatum(line->truth == EC_EXPR_TRUE);
	nulls[3] = line->truth == EC_EXPR_NULL;
	values[4] = JsonbPGetDatum(line->operands);
	nulls[4] = line->operands == NULL;
	values[5] = line->remedy ? CStringGetTextDatum(line->remedy) : (Datum) 0;
	nulls[5] = line->remedy == NULL;
	values[6] = line->near_miss ? CStringGetTextDatum(line->near_miss) : (Datum) 0;
	nulls[6] = line->near_miss == NULL;
	values[7] = TimestampTzGetDatum(line->leaves_at);
	nulls[7] = line->leaves_at == DT_NOEND;
	values[8] = TimestampTzGetDatum(line->enters_at);
	nulls[8] = line->enters_at == DT_NOEND;
	tuplestore_putvalues(explain->result->setResult, explain->result->setDesc, values, nulls);
}

/* Explain a condition of a segment, as its definer: a list of EcExprPart. */
static List *
condition_parts(const Explain *explain, const EcSegment *segment, const EcExpr *expr, const Answer *answer)
{
	List	   *parts;
	EcAs		as;

	ec_expr_begin(&as, ec_segment_definer(segment));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	/* results live in SPI's memory until we are done with them */
	parts = ec_expr_explain(expr, ec_expr_values_from_jsonb(expr, answer->data, explain->as_of));
	ec_expr_end(&as);
	return parts;
}

static EcSegment *
segment_of_leaf(const Explain *explain, const EcExprPart *part)
{
	ListCell   *lc;

	foreach(lc, explain->set->segments)
	{
		EcSegment  *segment = lfirst(lc);

		if (strcmp(part->expression, psprintf("segment.%s", quote_identifier(segment->name))) == 0)
			return segment;
	}
	return NULL;
}

static void explain_segment(Explain *explain, EcSegment *segment, const char *path, int depth);

/*
 * Put the tree of a condition below path; root is what the first line says in
 * place of the condition itself (NULL: nothing).
 */
static void
explain_tree(Explain *explain, const EcSegment *segment, const EcExpr *expr, const Answer *answer,
			 const char *path, int depth, Line *root, bool wanted)
{
	List	   *parts = condition_parts(explain, segment, expr, answer);
	ListCell   *lc;

	foreach(lc, parts)
	{
		EcExprPart *part = lfirst(lc);
		Line		line = {psprintf("%s%s", path, part->path + 1), depth + part->depth, part->expression,
			part->result, part->operands, wanted ? part->remedy : NULL,
			wanted && is_leaf(part) && part->remedy != NULL ? near_miss_of(part, answer->currency) : NULL,
		DT_NOEND, DT_NOEND};
		EcSegment  *inner = depth < DEPTH_MAX ? segment_of_leaf(explain, part) : NULL;

		if (foreach_current_index(lc) == 0 && root != NULL)
		{
			line.truth = root->truth;
			line.leaves_at = root->leaves_at;
			line.enters_at = root->enters_at;
			line.near_miss = root->truth == EC_EXPR_TRUE ? NULL : near_miss(parts, answer->currency);
			if (root->truth == EC_EXPR_TRUE)
				line.remedy = NULL;
		}
		line_put(explain, &line);
		if (inner != NULL)
			explain_segment(explain, inner, psprintf("%s.1", line.path), line.depth + 1);
	}
	SPI_finish();
}

static void
explain_segment(Explain *explain, EcSegment *segment, const char *path, int depth)
{
	Answer		answer = ask(explain, segment, explain->as_of, true);
	Line		line = {pstrdup(path), depth, NULL, EC_EXPR_FALSE, NULL, NULL, NULL, DT_NOEND, DT_NOEND};

	line.expression = psprintf("segment.%s", quote_identifier(segment->name));
	line.truth = answer.member ? EC_EXPR_TRUE : EC_EXPR_FALSE;
	if (!answer.known)
	{
		line.remedy = "the customer must be known";
		line_put(explain, &line);
		return;
	}
	if (segment->enter != NULL)
	{
		TimestampTz turns_at = membership_turns_at(explain, segment, &answer);

		if (answer.member)
			line.leaves_at = turns_at;
		else
			line.enters_at = turns_at;
	}
	if (segment->enter != NULL && segment->leave == NULL)
		explain_tree(explain, segment, segment->enter, &answer, path, depth, &line, true);
	else if (segment->enter == NULL)
	{
		if (segment->broken != NULL)
			line.remedy = psprintf("cannot be evaluated: %s", segment->broken);
		else if (!answer.member)
			line.remedy = "the customer must be added to the list";
		line_put(explain, &line);
	}
	else
	{
		if (!answer.member)
			line.remedy = psprintf("%s.1 must become true", path);
		line_put(explain, &line);
		explain_tree(explain, segment, segment->enter, &answer, psprintf("%s.1", path), depth + 1, NULL, !answer.member);
		explain_tree(explain, segment, segment->leave, &answer, psprintf("%s.2", path), depth + 1, NULL, false);
	}
}

/*
 * ecauto.explain_segment(segment text, customer text, as_of timestamptz) returns table(path text,
 * depth integer, expression text, result boolean, operands jsonb, remedy text, near_miss text,
 * leaves_at timestamptz, enters_at timestamptz)
 */
Datum
ecauto_explain_segment(PG_FUNCTION_ARGS)
{
	Explain		explain = {0};
	EcSegment  *segment;

	ec_state_require();
	ec_require_reader("explain a segment");
	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	explain.result = (ReturnSetInfo *) fcinfo->resultinfo;
	explain.set = ec_segments_load();
	explain.customer = PG_GETARG_TEXT_PP(1);
	explain.as_of = PG_ARGISNULL(2) ? ec_now() : PG_GETARG_TIMESTAMPTZ(2);
	segment = ec_segment_get(explain.set, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	explain_segment(&explain, segment, "1", 0);
	return (Datum) 0;
}

/*-------------------------------------------------------------------------
 *
 * segment_query.c
 *		The query that says who is in which segment.
 *
 * There is one shape for all questions: one customer at one instant, everybody
 * in a segment, all segments of the customers that changed.
 *
 *		SELECT customer.*, (condition of level 1) AS ec_s7, ...
 *		FROM (SELECT customer.*, (condition of level 0) AS ec_s3, ...
 *			  FROM (SELECT columns of customers, ec_old, ...) AS customer
 *			  OFFSET 0) AS customer
 *
 * so that a condition which speaks of segment.vip finds ec_s3 there.  OFFSET 0
 * keeps the server from pasting conditions into each other, after which they
 * would be evaluated more than once.
 *
 * A segment that is not self-contained is evaluated by its definer, over rows
 * that are handed to him (ec_segment_foreign()); here he only says who.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "customer/customer.h"
#include "segment/segment.h"

/* customers that are handed to a definer at a time */
#define CUSTOMERS_PER_CALL 50000

/* Name of the column that says whether the customer is in a segment. */
char *
ec_segment_column(int id)
{
	return psprintf("ec_s%d", id);
}

/* EcExprColumnSql: columns of the level below; arg is the set */
static const char *
column_below(const EcExprRow *row, const EcExprColumn *column, void *arg)
{
	if (strcmp(row->name, "segment") == 0)
		return psprintf("customer.%s", ec_segment_column(ec_segment_find(arg, column->name)->id));
	if (strcmp(row->name, "customer") == 0)
		return psprintf("customer.%s", quote_identifier(column->name));
	return psprintf("customer.%s", quote_identifier(psprintf("%s.%s", row->name, column->name)));
}

/* Does a condition speak of a row? */
bool
ec_segment_uses(const EcExpr *expr, const char *row)
{
	for (int i = 0; i < expr->nparams; i++)
		if (strcmp(expr->params[i].row->name, row) == 0)
			return true;
	return false;
}

/* Mark the rows "score", "rfm" and "clv" (by EcScoringRow) that conditions of the segments speak of. */
void
ec_segment_used_rows(List *segments, bool *rows)
{
	ListCell   *lc;

	memset(rows, 0, sizeof(bool) * EC_SCORING_ROWS);
	foreach(lc, segments)
		for (int i = 0; i < EC_SCORING_ROWS; i++)
			if (((EcSegment *) lfirst(lc))->rows[i])
				rows[i] = true;
}

static void
used_by(const EcExpr *expr, bool *used)
{
	if (expr == NULL)
		return;
	for (int i = 0; i < expr->nparams; i++)
	{
		const EcExprRow *row = expr->params[i].row;
		int			number = expr->params[i].column - row->columns;

		if (strcmp(row->name, "customer") != 0)
			continue;
		used[number] = true;
		/* a window ends by its oldest order */
		for (int j = 0; j < ec_customer_ncolumns; j++)
			if (ec_customer_columns[number].days > 0 &&
				ec_customer_columns[j].days == ec_customer_columns[number].days &&
				ec_customer_columns[j].type == TIMESTAMPTZOID)
				used[j] = true;
	}
}

/* Mark the columns of row "customer" that conditions of the segments use or the rows they speak of, and "key". */
void
ec_segment_used_columns(List *segments, bool *used)
{
	bool		rows[EC_SCORING_ROWS];
	ListCell   *lc;

	memset(used, 0, sizeof(bool) * ec_customer_ncolumns);
	used[0] = true;
	foreach(lc, segments)
	{
		const EcSegment *segment = lfirst(lc);

		used_by(segment->enter, used);
		used_by(segment->leave, used);
	}
	ec_segment_used_rows(segments, rows);
	ec_scoring_customer_columns(rows, used);
}

static char *
compile(const EcSegmentSet *set, const EcExpr *expr, const char *as_of)
{
	return ec_expr_compile(expr, column_below, unconstify(EcSegmentSet *, set), as_of);
}

/*
 * Was the customer in a segment that he leaves by another condition than he
 * enters?  As of before the last refresh the events tell.
 */
static char *
was_member(const EcSegment *segment, const char *as_of)
{
	char	   *name = quote_literal_cstr(segment->name);

	return psprintf("CASE WHEN %s >= (SELECT refreshed_at FROM ecauto_data.segment_setting)\n"
					"    THEN customer.ec_old @> ARRAY[%d] ELSE coalesce(\n"
					"    (SELECT ec_e.kind = 'segment.entered' FROM ecauto_data.event ec_e WHERE ec_e.customer = customer.key\n"
					"      AND ec_e.role = 'segment' AND ec_e.key = %s AND ec_e.at <= %s ORDER BY ec_e.at DESC, ec_e.event_id DESC LIMIT 1),\n"
					"    (SELECT ec_e.kind = 'segment.left' FROM ecauto_data.event ec_e WHERE ec_e.customer = customer.key\n"
					"      AND ec_e.role = 'segment' AND ec_e.key = %s AND ec_e.at > %s ORDER BY ec_e.at, ec_e.event_id LIMIT 1),\n"
					"    customer.ec_old @> ARRAY[%d]) END",
					as_of, segment->id, name, as_of, name, as_of, segment->id);
}

/* Boolean SQL, never NULL: is the customer of the level below in the segment? */
static char *
member_sql(const EcSegmentSet *set, const EcSegment *segment, const EcSegmentQuery *query)
{
	char	   *enter;
	char	   *leave;

	if (segment->condition == NULL)
		return psprintf("EXISTS (SELECT FROM ecauto_data.segment_list ec_l WHERE ec_l.segment_id = %d\n"
						"    AND ec_l.customer = customer.key AND ec_l.added_at <= %s\n"
						"    AND coalesce(ec_l.removed_at, 'infinity') > %s)",
						segment->id, query->as_of, query->as_of);
	if (segment->enter == NULL)
		return psprintf("customer.ec_old @> ARRAY[%d]", segment->id);
	if (segment->foreign && query->foreign_keys != NULL)
	{
		enter = psprintf("coalesce(customer.ec_foreign @> ARRAY[%d], false)", segment->id);
		leave = psprintf("coalesce(customer.ec_foreign @> ARRAY[-%d], false)", segment->id);
	}
	else
	{
		enter = compile(set, segment->enter, query->as_of);
		leave = segment->leave != NULL ? compile(set, segment->leave, query->as_of) : NULL;
	}
	if (segment->leave == NULL)
		return psprintf("(%s) IS TRUE", enter);
	return psprintf("CASE WHEN %s THEN true WHEN %s THEN false ELSE %s END", enter, leave,
					was_member(segment, query->as_of));
}

/* SELECT the columns, what the state says, and nothing of conditions yet */
static char *
ground_query(List *segments, const EcSegmentQuery *query)
{
	bool	   *used = palloc0(sizeof(bool) * ec_customer_ncolumns);
	bool		rows[EC_SCORING_ROWS];
	StringInfoData sql;

	ec_segment_used_columns(segments, used);
	ec_segment_used_rows(segments, rows);
	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT customer.*%s, coalesce(ec_state.member_of, '{}') AS ec_old,\n"
						   "  coalesce(ec_state.next_change_at, 'infinity') AS ec_old_next",
					 ec_scoring_columns_sql(rows, query->as_of));
	if (query->foreign_keys != NULL)
		appendStringInfoString(&sql, ", ec_f.ids AS ec_foreign");
	/* few are looked up one by one: see customer_row.c */
	appendStringInfo(&sql, "\nFROM (%s) AS customer\n%s\n",
					 ec_customer_rows_sql(query->keys, query->as_of, query->all_columns ? NULL : used),
					 query->keys != NULL ? "LEFT JOIN LATERAL (SELECT ec_st.* FROM ecauto_data.segment_state ec_st\n"
					 "  WHERE ec_st.customer = customer.key OFFSET 0) ec_state ON true" :
					 "LEFT JOIN ecauto_data.segment_state ec_state ON ec_state.customer = customer.key");
	appendStringInfoString(&sql, ec_scoring_joins_sql(rows, query->keys, query->as_of));
	if (query->foreign_keys != NULL)
		appendStringInfo(&sql, "LEFT JOIN (SELECT ec_k.key COLLATE \"C\" AS key, pg_catalog.array_agg(ec_k.id) AS ids\n"
						 "  FROM ROWS FROM (pg_catalog.unnest(%s), pg_catalog.unnest(%s)) AS ec_k(key, id)\n"
						 "  GROUP BY 1) ec_f ON ec_f.key = customer.key\n",
						 query->foreign_keys, query->foreign_ids);
	return sql.data;
}

/* ", candidates" of the segments' conditions: see ec_segment_next_sql() */
static char *
next_candidates(const EcSegmentSet *set, List *segments, const char *as_of)
{
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	foreach(lc, segments)
	{
		const EcSegment *segment = lfirst(lc);

		if (segment->enter != NULL)
			appendStringInfoString(&sql, ec_segment_next_sql(segment->enter, column_below,
															 unconstify(EcSegmentSet *, set), as_of));
		if (segment->leave != NULL)
			appendStringInfoString(&sql, ec_segment_next_sql(segment->leave, column_below,
															 unconstify(EcSegmentSet *, set), as_of));
	}
	return sql.data;
}

/*
 * The query over customers: key, used columns, ec_old (integer[]: what the
 * state says he is in), ec_old_next, a boolean ec_sN for each of the segments,
 * which must hold all those that they speak of and be ordered by level, and
 * ec_next if query->times.  A customer that is not known gives no row.  To be
 * run between ec_expr_begin_as_owner() and ec_expr_end().
 */
char *
ec_segment_query(const EcSegmentSet *set, List *segments, const EcSegmentQuery *query)
{
	char	   *below = ground_query(segments, query);
	StringInfoData sql;
	ListCell   *lc;

	for (int level = 0;; level++)
	{
		bool		found = false;

		initStringInfo(&sql);
		appendStringInfoString(&sql, "SELECT customer.*");
		foreach(lc, segments)
		{
			const EcSegment *segment = lfirst(lc);

			if (segment->level != level)
				continue;
			found = true;
			appendStringInfo(&sql, ",\n  %s AS %s", member_sql(set, segment, query), ec_segment_column(segment->id));
		}
		if (!found && level > 0)
			break;
		appendStringInfo(&sql, "\nFROM (%s) AS customer OFFSET 0", below);
		below = sql.data;
	}
	if (query->times)
		below = psprintf("SELECT customer.*, least(%s%s) AS ec_next\nFROM (%s) AS customer",
						 query->part ? "customer.ec_old_next" : "'infinity'::timestamptz",
						 next_candidates(set, segments, query->as_of), below);
	return below;
}

/* ---- conditions that are not self-contained ---- */

/* Customers that their definers found, as they are collected. */
typedef struct Found
{
	Datum	   *keys;			/* text */
	Datum	   *ids;			/* integer */
	int			n;
	int			size;
} Found;

static void
found_add(Found *found, Datum keys, int id)
{
	Datum	   *elements;
	int			n;

	deconstruct_array(DatumGetArrayTypePCopy(keys), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &n);
	if (found->n + n > found->size)
	{
		found->size = Max(found->n + n, found->size * 2);
		found->keys = found->keys == NULL ? palloc_extended(sizeof(Datum) * found->size, MCXT_ALLOC_HUGE)
			: repalloc_huge(found->keys, sizeof(Datum) * found->size);
		found->ids = found->ids == NULL ? palloc_extended(sizeof(Datum) * found->size, MCXT_ALLOC_HUGE)
			: repalloc_huge(found->ids, sizeof(Datum) * found->size);
	}
	for (int i = 0; i < n; i++)
	{
		found->keys[found->n] = elements[i];
		found->ids[found->n++] = Int32GetDatum(id);
	}
}

/* Rows of customers, one array for each column. */
typedef struct Chunk
{
	int			ncolumns;
	const char **names;			/* of columns of the row customer, or "score.value" */
	Oid		   *types;			/* of the arrays; the as-of time comes first */
	Datum	   *values;
	char	   *nulls;
} Chunk;

static void
chunk_column(Chunk *chunk, const char *name, Oid type)
{
	chunk->names[chunk->ncolumns++] = name;
	chunk->types[chunk->ncolumns] = get_array_type(type);
	chunk->nulls[chunk->ncolumns] = ' ';
}

/* Which of the chunk's rows meet a condition?  As its definer. */
static void
chunk_ask(const Chunk *chunk, const EcSegment *segment, const EcExpr *expr, int id, Found *found)
{
	MemoryContext context = CurrentMemoryContext;
	StringInfoData sql;
	bool		isnull;
	Datum		keys;
	EcAs		as;

	if (expr == NULL)
		return;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_expr_begin(&as, ec_segment_definer(segment));
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT pg_catalog.array_agg(customer.key) FROM ROWS FROM (");
	for (int i = 0; i < chunk->ncolumns; i++)
		appendStringInfo(&sql, "%spg_catalog.unnest($%d)", i > 0 ? ", " : "", i + 2);
	appendStringInfoString(&sql, ") AS customer(");
	for (int i = 0; i < chunk->ncolumns; i++)
		appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "",
						 quote_identifier(chunk->names[i]));
	appendStringInfo(&sql, ") WHERE %s", ec_expr_compile(expr, column_below, NULL, "$1"));
	if (SPI_execute_with_args(sql.data, chunk->ncolumns + 1, chunk->types, chunk->values, chunk->nulls,
							  true, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not evaluate segment \"%s\"", segment->name);
	keys = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
	{
		MemoryContext spi = MemoryContextSwitchTo(context);

		found_add(found, keys, id);
		MemoryContextSwitchTo(spi);
	}
	ec_expr_end(&as);
	SPI_finish();
}

static char *
chunks_query(const Chunk *chunk, const bool *used, const bool *rows, bool all)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < chunk->ncolumns; i++)
		appendStringInfo(&sql, "%s pg_catalog.array_agg(customer.%s)", i > 0 ? "," : "SELECT",
						 quote_identifier(chunk->names[i]));
	appendStringInfo(&sql, "\nFROM (SELECT (pg_catalog.row_number() OVER () - 1) / %d AS ec_chunk, customer.*%s\n"
					 "  FROM (%s) AS customer\n%s) AS customer GROUP BY customer.ec_chunk",
					 CUSTOMERS_PER_CALL, ec_scoring_columns_sql(rows, "$1"),
					 ec_customer_rows_sql(all ? NULL : "$2", "$1", used),
					 ec_scoring_joins_sql(rows, all ? NULL : "$2", "$1"));
	return sql.data;
}

/*
 * Let definers say which customers (keys: text[], NULL: all) meet the
 * conditions of those segments that are not self-contained: parallel arrays of
 * customers and numbers of segments, negative for a leave condition.  NULL if
 * there are no such segments.  The caller is not connected to SPI.  Errors:
 * what evaluating raises.
 */
void
ec_segment_foreign(const EcSegmentSet *set, List *segments, ArrayType *keys, TimestampTz as_of,
				   ArrayType **foreign_keys, ArrayType **foreign_ids)
{
	static const Oid types[] = {TIMESTAMPTZOID, TEXTARRAYOID};
	MemoryContext context = CurrentMemoryContext;
	bool	   *used = palloc0(sizeof(bool) * ec_customer_ncolumns);
	bool		rows[EC_SCORING_ROWS];
	List	   *foreign = NIL;
	int			most = ec_customer_ncolumns + ec_scoring_ncolumns;
	Chunk		chunk = {0};
	Found		found = {0};
	Datum		args[2];
	Portal		cursor;
	ListCell   *lc;
	EcAs		as;

	*foreign_keys = *foreign_ids = NULL;
	foreach(lc, segments)
		if (((EcSegment *) lfirst(lc))->foreign)
			foreign = lappend(foreign, lfirst(lc));
	if (foreign == NIL)
		return;

	ec_segment_used_columns(foreign, used);
	ec_segment_used_rows(foreign, rows);
	chunk.names = palloc(sizeof(char *) * most);
	chunk.types = palloc(sizeof(Oid) * (most + 1));
	chunk.values = palloc(sizeof(Datum) * (most + 1));
	chunk.nulls = palloc(most + 1);
	chunk.types[0] = TIMESTAMPTZOID;
	chunk.values[0] = TimestampTzGetDatum(as_of);
	chunk.nulls[0] = ' ';
	for (int i = 0; i < ec_customer_ncolumns; i++)
		if (used[i])
			chunk_column(&chunk, ec_customer_columns[i].name, ec_customer_columns[i].type);
	for (int i = 0; i < ec_scoring_ncolumns; i++)
		if (rows[ec_scoring_columns[i].row] && ec_scoring_columns[i].name != NULL)
			chunk_column(&chunk, ec_scoring_columns[i].full_name, ec_scoring_columns[i].type);

	args[0] = TimestampTzGetDatum(as_of);
	args[1] = PointerGetDatum(keys);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_expr_begin_as_owner(&as);
	cursor = SPI_cursor_open_with_args(NULL, chunks_query(&chunk, used, rows, keys == NULL), keys == NULL ? 1 : 2,
									   (Oid *) types, args, NULL, true, 0);
	for (;;)
	{
		MemoryContext spi;

		SPI_cursor_fetch(cursor, true, 1);
		if (SPI_processed == 0)
			break;
		for (int i = 1; i <= chunk.ncolumns; i++)
		{
			bool		isnull;

			chunk.values[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i, &isnull);
		}
		spi = MemoryContextSwitchTo(context);
		foreach(lc, foreign)
		{
			const EcSegment *segment = lfirst(lc);

			chunk_ask(&chunk, segment, segment->enter, segment->id, &found);
			chunk_ask(&chunk, segment, segment->leave, -segment->id, &found);
		}
		MemoryContextSwitchTo(spi);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(cursor);
	ec_expr_end(&as);
	SPI_finish();

	*foreign_keys = construct_array(found.keys, found.n, TEXTOID, -1, false, TYPALIGN_INT);
	*foreign_ids = construct_array(found.ids, found.n, INT4OID, sizeof(int32), true, TYPALIGN_INT);
}

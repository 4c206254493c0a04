/*-------------------------------------------------------------------------
 *
 * segment_define.c
 *		Defining segments, and reading the definitions.
 *
 * A condition is kept as its author wrote it and checked again whenever the
 * definitions are read, as its definer: what he may no longer read or call he
 * may no longer ask about.  A segment whose condition does not stand the check
 * is broken: it keeps its members, and the others go on.
 *
 * Conditions speak of other segments as columns of the row "segment".  So
 * segments have levels, and those of one level are evaluated from the ones
 * below; a circle has none and is refused.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "customer/customer.h"
#include "segment/segment.h"

PG_FUNCTION_INFO_V1(ecauto_create_segment);
PG_FUNCTION_INFO_V1(ecauto_alter_segment);
PG_FUNCTION_INFO_V1(ecauto_drop_segment);

/* keys of our advisory lock; "ec" and a number */
#define SEGMENT_LOCK_CLASS 0x6563
#define SEGMENT_LOCK_ID	3

#define NAME_LENGTH_MAX (NAMEDATALEN - 1)

/*
 * Keep others from refreshing or defining segments until this transaction
 * ends.
 */
void
ec_segments_lock(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, SEGMENT_LOCK_CLASS, SEGMENT_LOCK_ID, 2);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

/* ---- reading definitions ---- */

static char *
column_text(SPITupleTable *table, uint64 row, int column, MemoryContext context)
{
	char	   *value = SPI_getvalue(table->vals[row], table->tupdesc, column);

	return value == NULL ? NULL : MemoryContextStrdup(context, value);
}

/* The role that a segment's conditions run as; error if it is gone or the state may not act as it. */
Oid
ec_segment_definer(const EcSegment *segment)
{
	Oid			definer = get_role_oid(segment->definer, true);

	if (!OidIsValid(definer))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" does not exist", segment->definer),
				 errdetail("It defined segment \"%s\".", segment->name)));
	if (!ec_may_become(ec_state_owner(), definer))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to act as role \"%s\"", segment->definer),
				 errdetail("It defined segment \"%s\".", segment->name)));
	return definer;
}

/* What segment_check() checks. */
typedef struct Check
{
	const EcSegmentSet *set;
	EcSegment  *segment;
} Check;

/* What of segments and scores does a condition speak of? */
static void
refs_collect(const EcSegmentSet *set, EcSegment *segment, const EcExpr *expr)
{
	for (int i = 0; i < expr->nparams; i++)
		if (strcmp(expr->params[i].row->name, "segment") == 0)
			segment->refs = list_append_unique_ptr(segment->refs,
												   ec_segment_find(set, expr->params[i].column->name));
	for (int i = 0; i < EC_SCORING_ROWS; i++)
		if (ec_segment_uses(expr, ec_scoring_row_names[i]))
			segment->rows[i] = true;
}

static EcExpr *
condition_check(const EcSegmentSet *set, EcSegment *segment, const char *condition)
{
	EcExpr	   *expr;
	EcAs		as;

	if (condition == NULL)
		return NULL;
	ec_expr_begin(&as, ec_segment_definer(segment));
	expr = ec_expr_check(condition, set->scope);
	ec_expr_end(&as);
	refs_collect(set, segment, expr);
	if (!expr->self_contained)
		segment->foreign = true;
	return expr;
}

/* Check a segment's conditions.  Errors: see ec_expr_check(). */
static void
segment_check(const EcSegmentSet *set, EcSegment *segment)
{
	segment->refs = NIL;
	segment->foreign = false;
	memset(segment->rows, 0, sizeof(segment->rows));
	segment->enter = condition_check(set, segment, segment->condition);
	segment->leave = condition_check(set, segment, segment->leave_condition);
	if (segment->foreign && segment->refs != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("condition of segment \"%s\" has subqueries or functions of its own, and speaks of other segments",
						segment->name),
				 errhint("Make it two segments: one with the subquery, and one that combines segments.")));
}

/* EcTryRun */
static void
segment_check_run(void *arg)
{
	Check	   *check = arg;

	segment_check(check->set, check->segment);
}

/*
 * The level of a segment; error if it is part of a circle.  depth counts how
 * many we came through.
 */
static int
level_of(const EcSegmentSet *set, EcSegment *segment, int depth)
{
	int			level = 0;
	ListCell   *lc;

	if (segment->level >= 0)
		return segment->level;
	if (depth > list_length(set->segments))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("segment \"%s\" depends on itself", segment->name),
				 errdetail("Its condition speaks of segments whose conditions speak of it.")));
	foreach(lc, segment->refs)
		level = Max(level, level_of(set, lfirst(lc), depth + 1) + 1);
	segment->level = level;
	return level;
}

static int
compare_levels(const ListCell *a, const ListCell *b)
{
	const EcSegment *left = lfirst(a);
	const EcSegment *right = lfirst(b);

	return left->level != right->level ? left->level - right->level : left->id - right->id;
}

static void
levels_assign(EcSegmentSet *set)
{
	ListCell   *lc;

	foreach(lc, set->segments)
		((EcSegment *) lfirst(lc))->level = -1;
	foreach(lc, set->segments)
		(void) level_of(set, lfirst(lc), 0);
	list_sort(set->segments, compare_levels);
}

static EcExprScope *
scope_make(List *segments)
{
	EcExprScope *scope = palloc(sizeof(EcExprScope));
	EcExprRow  *row;
	ListCell   *lc;

	scope->nrows = 2 + EC_SCORING_ROWS;
	scope->rows = palloc0(sizeof(EcExprRow) * scope->nrows);
	scope->rows[0] = *ec_customer_scope_row();
	row = &scope->rows[1];
	row->name = "segment";
	row->columns = palloc0(sizeof(EcExprColumn) * (list_length(segments) + 1));
	foreach(lc, segments)
	{
		EcExprColumn *column = &row->columns[row->ncolumns++];

		column->name = ((EcSegment *) lfirst(lc))->name;
		column->type = BOOLOID;
		column->typmod = -1;
	}
	for (int i = 0; i < EC_SCORING_ROWS; i++)
		scope->rows[2 + i] = *ec_scoring_scope_row(i);
	return scope;
}

/* The definitions as they are in the state, not checked; the caller is not connected to SPI. */
static EcSegmentSet *
segments_read(void)
{
	MemoryContext context = CurrentMemoryContext;
	EcSegmentSet *set = palloc0(sizeof(EcSegmentSet));
	EcAs		as;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("SELECT segment_id, name, condition, leave_condition, definer, broken_at IS NOT NULL "
								 "FROM ecauto_data.segment ORDER BY segment_id", 0, NULL),
						 NULL, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the segments");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(context);
		EcSegment  *segment = palloc0(sizeof(EcSegment));
		bool		isnull;

		segment->id = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
		segment->name = column_text(SPI_tuptable, i, 2, context);
		segment->condition = column_text(SPI_tuptable, i, 3, context);
		segment->leave_condition = column_text(SPI_tuptable, i, 4, context);
		segment->definer = column_text(SPI_tuptable, i, 5, context);
		segment->was_broken = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 6, &isnull));
		set->segments = lappend(set->segments, segment);
		MemoryContextSwitchTo(spi);
	}
	ec_as_end(&as);
	SPI_finish();
	set->scope = scope_make(set->segments);
	return set;
}

/*
 * Read all definitions and check them; those that do not stand it are marked
 * broken in the result.  In the current context; the caller is not connected
 * to SPI.
 */
EcSegmentSet *
ec_segments_load(void)
{
	EcSegmentSet *set = segments_read();
	ListCell   *lc;

	foreach(lc, set->segments)
	{
		EcSegment  *segment = lfirst(lc);
		Check		check = {set, segment};
		ErrorData  *error;

		if (segment->condition == NULL)
			continue;
		error = ec_try(segment_check_run, &check, true);
		if (error != NULL)
		{
			segment->broken = error->message;
			segment->enter = segment->leave = NULL;
			segment->refs = NIL;
			segment->foreign = false;
		}
	}
	levels_assign(set);
	return set;
}

/* The segment of that name, or NULL. */
EcSegment *
ec_segment_find(const EcSegmentSet *set, const char *name)
{
	ListCell   *lc;

	foreach(lc, set->segments)
		if (strcmp(((EcSegment *) lfirst(lc))->name, name) == 0)
			return lfirst(lc);
	return NULL;
}

/* The segment of that name.  Error: undefined_object. */
EcSegment *
ec_segment_get(const EcSegmentSet *set, const char *name)
{
	EcSegment  *segment = ec_segment_find(set, name);
	const EcExprRow *row = &set->scope->rows[1];
	const char **names;
	const char *nearest;

	if (segment != NULL)
		return segment;
	names = palloc(sizeof(char *) * (row->ncolumns + 1));
	for (int i = 0; i < row->ncolumns; i++)
		names[i] = row->columns[i].name;
	nearest = ec_expr_nearest(name, row->ncolumns, names);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("segment \"%s\" does not exist", name),
			 nearest != NULL ? errhint("Perhaps you mean \"%s\".", nearest) : 0));
}

static void
closure_add(List **closure, EcSegment *segment)
{
	ListCell   *lc;

	if (list_member_ptr(*closure, segment))
		return;
	foreach(lc, segment->refs)
		closure_add(closure, lfirst(lc));
	*closure = lappend(*closure, segment);
}

/* A segment after all those that it speaks of, directly or not. */
List *
ec_segment_closure(const EcSegmentSet *set, EcSegment *segment)
{
	List	   *closure = NIL;

	closure_add(&closure, segment);
	return closure;
}

/* ---- changing the state ---- */

static void
state_execute(const char *sql, int nargs, const Oid *types, Datum *args, const char *nulls, int expected)
{
	EcAs		as;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan(sql, nargs, types), args, nulls, false, 0) != expected)
		elog(ERROR, "could not execute \"%s\"", sql);
	ec_as_end(&as);
	SPI_finish();
}

/* Number of the last change of definitions; the caller is not connected to SPI. */
int64
ec_segments_version(void)
{
	int64		version;
	bool		isnull;
	EcAs		as;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("SELECT version FROM ecauto_data.segment_setting", 0, NULL),
						 NULL, NULL, false, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read the version of the segments");
	version = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	ec_as_end(&as);
	SPI_finish();
	return version;
}

/* Remember why a segment cannot be evaluated; error NULL: it can again. */
void
ec_segment_mark_broken(const EcSegment *segment, const ErrorData *error, TimestampTz at)
{
	static const Oid types[] = {INT4OID, TIMESTAMPTZOID, TEXTOID};
	Datum		args[3];
	char		nulls[] = {' ', error == NULL ? 'n' : ' ', error == NULL ? 'n' : ' '};

	args[0] = Int32GetDatum(segment->id);
	args[1] = TimestampTzGetDatum(at);
	args[2] = error == NULL ? (Datum) 0 : CStringGetTextDatum(error->message);
	state_execute("UPDATE ecauto_data.segment SET broken_at = $2, broken_message = $3 WHERE segment_id = $1",
				  3, types, args, nulls, SPI_OK_UPDATE);
}

static void
version_advance(void)
{
	state_execute("UPDATE ecauto_data.segment_setting SET version = version + 1", 0, NULL, NULL, NULL, SPI_OK_UPDATE);
}

/* ---- from SQL ---- */

static char *
name_argument(FunctionCallInfo fcinfo, int argno)
{
	char	   *name;

	if (PG_ARGISNULL(argno))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("name of a segment must not be null")));
	name = text_to_cstring(PG_GETARG_TEXT_PP(argno));
	if (*name == '\0' || strlen(name) > NAME_LENGTH_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("name of a segment must have between 1 and %d bytes", NAME_LENGTH_MAX),
				 errdetail("It has %zu.", strlen(name))));
	return name;
}

static char *
text_argument(FunctionCallInfo fcinfo, int argno)
{
	return PG_NARGS() <= argno || PG_ARGISNULL(argno) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argno));
}

/*
 * Check a definition among the others, write it, and compute who is in it:
 * that raises what evaluating the conditions raises, and tells no events
 * unless announce.
 */
static void
segment_define(EcSegmentSet *set, EcSegment *segment, const char *description, bool keep_description,
			   bool announce)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, NAMEOID, TIMESTAMPTZOID, BOOLOID, BOOLOID,
	BOOLOID, BOOLOID};
	EcSegmentRefresh done;
	TimestampTz at = ec_now();
	NameData	definer;
	Datum		args[10];
	char		nulls[] = "          ";
	ListCell   *lc;

	/* each is checked in the new scope: a circle needs their references */
	foreach(lc, set->segments)
	{
		EcSegment  *other = lfirst(lc);
		Check		check = {set, other};

		if (other != segment && other->condition != NULL)
			(void) ec_try(segment_check_run, &check, true);
	}
	segment_check(set, segment);
	levels_assign(set);

	namestrcpy(&definer, segment->definer);
	args[0] = CStringGetTextDatum(segment->name);
	args[1] = segment->condition ? CStringGetTextDatum(segment->condition) : (Datum) 0;
	args[2] = segment->leave_condition ? CStringGetTextDatum(segment->leave_condition) : (Datum) 0;
	args[3] = description ? CStringGetTextDatum(description) : (Datum) 0;
	args[4] = NameGetDatum(&definer);
	args[5] = TimestampTzGetDatum(at);
	args[6] = BoolGetDatum(keep_description);
	args[7] = BoolGetDatum(segment->foreign);
	args[8] = BoolGetDatum(segment->rows[EC_SCORING_SCORE]);
	args[9] = BoolGetDatum(segment->rows[EC_SCORING_RFM]);
	for (int i = 1; i <= 3; i++)
		nulls[i] = args[i] == (Datum) 0 ? 'n' : ' ';
	state_execute("INSERT INTO ecauto_data.segment (name, condition, leave_condition, description, definer, created_at, asks, scored, grouped) "
				  "VALUES ($1, $2, $3, $4, $5, $6, $8, $9, $10) ON CONFLICT (name) DO UPDATE SET condition = excluded.condition, "
				  "leave_condition = excluded.leave_condition, definer = excluded.definer, "
				  "description = CASE WHEN $7 THEN segment.description ELSE excluded.description END, "
				  "asks = excluded.asks, scored = excluded.scored, grouped = excluded.grouped, broken_at = NULL, broken_message = NULL",
				  10, types, args, nulls, SPI_OK_INSERT);
	version_advance();
	ec_segments_group(at);
	ec_segments_refresh_defined(segment->name, !announce, at, &done);

	/* a condition that fails on somebody would be broken from the start */
	set = ec_segments_load();
	segment = ec_segment_get(set, segment->name);
	if (segment->was_broken)
	{
		Datum		name = CStringGetTextDatum(segment->name);
		static const Oid name_type[] = {TEXTOID};
		char	   *message;
		EcAs		as;

		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		ec_as_state_owner(&as);
		if (SPI_execute_plan(ec_plan("SELECT broken_message FROM ecauto_data.segment WHERE name = $1", 1, name_type),
							 &name, NULL, false, 0) != SPI_OK_SELECT || SPI_processed != 1)
			elog(ERROR, "could not read the segment");
		message = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("condition of segment \"%s\" fails: %s", segment->name, message),
				 errdetail("It was evaluated for the customers that are known now."),
				 errhint("Guard what can fail, such as: CASE WHEN x <> 0 THEN 1 / x > 2 END")));
	}
}

/*
 * ecauto.create_segment(name text, condition text, leave_condition text,
 *						 description text, announce boolean) returns void
 */
Datum
ecauto_create_segment(PG_FUNCTION_ARGS)
{
	EcSegmentSet *set;
	EcSegment  *segment = palloc0(sizeof(EcSegment));

	ec_state_require();
	ec_require_operator("create a segment");
	segment->name = name_argument(fcinfo, 0);
	segment->condition = text_argument(fcinfo, 1);
	segment->leave_condition = text_argument(fcinfo, 2);
	segment->definer = GetUserNameFromId(GetUserId(), false);
	if (segment->condition == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("condition of a segment must not be null"),
				 errhint("ecauto.create_segment_list() makes a list of customers.")));

	ec_segments_lock();
	set = segments_read();
	if (ec_segment_find(set, segment->name) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("segment \"%s\" already exists", segment->name),
				 errhint("ecauto.alter_segment() changes its condition.")));
	segment->level = -1;
	set->segments = lappend(set->segments, segment);
	segment_define(set, segment, text_argument(fcinfo, 3), false,
				   PG_NARGS() > 4 && !PG_ARGISNULL(4) && PG_GETARG_BOOL(4));
	PG_RETURN_VOID();
}

/*
 * ecauto.alter_segment(name text, condition text, leave_condition text,
 *						announce boolean) returns void
 */
Datum
ecauto_alter_segment(PG_FUNCTION_ARGS)
{
	EcSegmentSet *set;
	EcSegment  *segment;

	ec_state_require();
	ec_require_operator("change a segment");
	ec_segments_lock();
	set = segments_read();
	segment = ec_segment_get(set, name_argument(fcinfo, 0));
	if (segment->condition == NULL || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(segment->condition == NULL ? ERRCODE_WRONG_OBJECT_TYPE : ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 segment->condition == NULL ? errmsg("segment \"%s\" is a list", segment->name) :
				 errmsg("condition of a segment must not be null")));
	segment->condition = text_argument(fcinfo, 1);
	segment->leave_condition = text_argument(fcinfo, 2);
	segment->definer = GetUserNameFromId(GetUserId(), false);
	segment_define(set, segment, NULL, true, PG_ARGISNULL(3) || PG_GETARG_BOOL(3));
	PG_RETURN_VOID();
}

/*
 * ecauto.drop_segment(name text) returns void
 */
Datum
ecauto_drop_segment(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {INT4OID};
	EcSegmentSet *set;
	EcSegment  *segment;
	Datum		args[1];
	ListCell   *lc;

	ec_state_require();
	ec_require_operator("drop a segment");
	ec_segments_lock();
	set = ec_segments_load();
	segment = ec_segment_get(set, name_argument(fcinfo, 0));
	foreach(lc, set->segments)
	{
		EcSegment  *other = lfirst(lc);

		if (list_member_ptr(other->refs, segment))
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("segment \"%s\" is part of another", segment->name),
					 errdetail("The condition of segment \"%s\" speaks of it.", other->name),
					 errhint("Change or drop that one first.")));
	}
	args[0] = Int32GetDatum(segment->id);
	state_execute("UPDATE ecauto_data.segment_state SET member_of = pg_catalog.array_remove(member_of, $1) "
				  "WHERE $1 = ANY (member_of)", 1, types, args, NULL, SPI_OK_UPDATE);
	state_execute("DELETE FROM ecauto_data.segment WHERE segment_id = $1", 1, types, args, NULL, SPI_OK_DELETE);
	version_advance();
	PG_RETURN_VOID();
}

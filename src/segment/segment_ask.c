/*-------------------------------------------------------------------------
 *
 * segment_ask.c
 *		Is a customer in a segment?  Who is?
 *
 * Both are computed when asked, as of the instant asked about, so no job has
 * to run for "ordered in the last 30 days" to end to the second.  For one
 * customer everything goes by index; the text of the query is kept as long as
 * no definition changes.
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
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "customer/customer.h"
#include "segment/segment.h"

PG_FUNCTION_INFO_V1(ecauto_in_segment);
PG_FUNCTION_INFO_V1(ecauto_segment_members);
PG_FUNCTION_INFO_V1(ecauto_segment_sql);

/* rows taken from a cursor at a time */
#define ROWS_PER_FETCH 1000

/* ---- kept queries ---- */

typedef struct Kept
{
	char		name[NAMEDATALEN];	/* hash key, must be first */
	char	   *sql;
} Kept;

static HTAB *kept = NULL;
static MemoryContext kept_context = NULL;
static int64 kept_version = -1;
static Oid	kept_owner = InvalidOid;

/* Forget the queries if a definition has changed since they were made. */
static void
kept_check(void)
{
	int64		version = ec_segments_version();
	HASHCTL		ctl = {0};

	if (kept != NULL && version == kept_version && kept_owner == ec_state_owner())
		return;
	if (kept_context != NULL)
		MemoryContextDelete(kept_context);
	kept = NULL;
	kept_context = AllocSetContextCreate(TopMemoryContext, "ecauto segment queries", ALLOCSET_SMALL_SIZES);
	ctl.keysize = NAMEDATALEN;
	ctl.entrysize = sizeof(Kept);
	ctl.hcxt = kept_context;
	kept = hash_create("ecauto segment queries", 32, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	kept_version = version;
	kept_owner = ec_state_owner();
}

static void
broken_refuse(const EcSegment *segment)
{
	if (segment->broken != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("condition of segment \"%s\" cannot be evaluated: %s", segment->name, segment->broken),
				 errhint("Change it with ecauto.alter_segment().")));
}

static bool
any_foreign(List *segments)
{
	ListCell   *lc;

	foreach(lc, segments)
		if (((EcSegment *) lfirst(lc))->foreign)
			return true;
	return false;
}

/* SELECT the membership of customer $1 as of $2; NULL if a definer has to be asked */
static char *
question_sql(const EcSegmentSet *set, EcSegment *segment)
{
	EcSegmentQuery query = {"ARRAY[$1]", "$2", NULL, NULL, false, false};
	List	   *closure = ec_segment_closure(set, segment);
	EcAs		as;
	char	   *sql;

	if (any_foreign(closure))
		return NULL;
	ec_expr_begin_as_owner(&as);
	sql = psprintf("SELECT customer.%s FROM (%s) AS customer", ec_segment_column(segment->id),
				   ec_segment_query(set, closure, &query));
	ec_expr_end(&as);
	return sql;
}

/* Run question_sql(); a customer who is not known is in no segment. */
static bool
question_run(const char *sql, text *customer, TimestampTz as_of)
{
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID};
	Datum		args[2];
	bool		isnull = true;
	bool		result = false;
	EcAs		as;

	args[0] = PointerGetDatum(customer);
	args[1] = TimestampTzGetDatum(as_of);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_expr_begin_as_owner(&as);
	if (SPI_execute_plan(ec_plan(sql, 2, types), args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not ask about a segment");
	if (SPI_processed > 0)
		result = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	ec_expr_end(&as);
	SPI_finish();
	return result && !isnull;
}

/* The same where definers have to be asked. */
static bool
question_ask(const EcSegmentSet *set, EcSegment *segment, text *customer, TimestampTz as_of)
{
	static const Oid types[] = {TEXTARRAYOID, TIMESTAMPTZOID, TEXTARRAYOID, INT4ARRAYOID};
	EcSegmentQuery query = {"$1", "$2", "$3", "$4", false, false};
	List	   *closure = ec_segment_closure(set, segment);
	Datum		key = PointerGetDatum(customer);
	ArrayType  *keys = construct_array(&key, 1, TEXTOID, -1, false, TYPALIGN_INT);
	ArrayType  *foreign_keys;
	ArrayType  *foreign_ids;
	Datum		args[4];
	bool		isnull = true;
	bool		result = false;
	EcAs		as;

	ec_segment_foreign(set, closure, keys, as_of, &foreign_keys, &foreign_ids);
	args[0] = PointerGetDatum(keys);
	args[1] = TimestampTzGetDatum(as_of);
	args[2] = PointerGetDatum(foreign_keys);
	args[3] = PointerGetDatum(foreign_ids);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_expr_begin_as_owner(&as);
	if (SPI_execute_with_args(psprintf("SELECT customer.%s FROM (%s) AS customer", ec_segment_column(segment->id),
									   ec_segment_query(set, closure, &query)),
							  4, (Oid *) types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not ask about a segment");
	if (SPI_processed > 0)
		result = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	ec_expr_end(&as);
	SPI_finish();
	return result && !isnull;
}

/*
 * Is a customer in a segment as of an instant?  The caller is not connected to
 * SPI.  Errors: those of the condition; it is broken.
 */
bool
ec_segment_holds(const EcSegmentSet *set, EcSegment *segment, text *customer, TimestampTz as_of)
{
	char	   *sql;

	broken_refuse(segment);
	sql = question_sql(set, segment);
	return sql != NULL ? question_run(sql, customer, as_of) : question_ask(set, segment, customer, as_of);
}

/*
 * ecauto.in_segment(customer text, segment text, as_of timestamptz) returns boolean
 */
Datum
ecauto_in_segment(PG_FUNCTION_ARGS)
{
	TimestampTz as_of = PG_ARGISNULL(2) ? ec_now() : PG_GETARG_TIMESTAMPTZ(2);
	char	   *name;
	Kept	   *entry;
	EcSegmentSet *set;
	EcSegment  *segment;
	char	   *sql;
	bool		found;

	ec_state_require();
	ec_require_reader("ask about segments");
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	kept_check();
	entry = strlen(name) < NAMEDATALEN ? hash_search(kept, name, HASH_FIND, NULL) : NULL;
	if (entry != NULL)
		PG_RETURN_BOOL(question_run(entry->sql, PG_GETARG_TEXT_PP(0), as_of));

	set = ec_segments_load();
	segment = ec_segment_get(set, name);
	broken_refuse(segment);
	sql = question_sql(set, segment);
	if (sql == NULL)
		PG_RETURN_BOOL(question_ask(set, segment, PG_GETARG_TEXT_PP(0), as_of));
	sql = MemoryContextStrdup(kept_context, sql);
	entry = hash_search(kept, name, HASH_ENTER, &found);
	entry->sql = sql;
	PG_RETURN_BOOL(question_run(sql, PG_GETARG_TEXT_PP(0), as_of));
}

/*
 * ecauto.segment_members(segment text, as_of timestamptz) returns setof text
 */
Datum
ecauto_segment_members(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TIMESTAMPTZOID, TEXTARRAYOID, INT4ARRAYOID};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	EcSegmentQuery query = {NULL, "$1", NULL, NULL, false, false};
	TimestampTz as_of = PG_ARGISNULL(1) ? ec_now() : PG_GETARG_TIMESTAMPTZ(1);
	EcSegmentSet *set;
	EcSegment  *segment;
	List	   *closure;
	ArrayType  *foreign_keys;
	ArrayType  *foreign_ids;
	Datum		args[3];
	char		nulls[] = "   ";
	Portal		cursor;
	EcAs		as;

	ec_state_require();
	ec_require_reader("read the members of a segment");
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	set = ec_segments_load();
	segment = ec_segment_get(set, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	broken_refuse(segment);
	closure = ec_segment_closure(set, segment);
	ec_segment_foreign(set, closure, NULL, as_of, &foreign_keys, &foreign_ids);
	if (foreign_keys != NULL)
	{
		query.foreign_keys = "$2";
		query.foreign_ids = "$3";
	}
	args[0] = TimestampTzGetDatum(as_of);
	args[1] = PointerGetDatum(foreign_keys);
	args[2] = PointerGetDatum(foreign_ids);
	nulls[1] = nulls[2] = foreign_keys == NULL ? 'n' : ' ';

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_expr_begin_as_owner(&as);
	cursor = SPI_cursor_open_with_args(NULL,
									   psprintf("SELECT customer.key FROM (%s) AS customer WHERE customer.%s",
												ec_segment_query(set, closure, &query), ec_segment_column(segment->id)),
									   3, (Oid *) types, args, nulls, true, 0);
	do
	{
		SPI_cursor_fetch(cursor, true, ROWS_PER_FETCH);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			bool		isnull;
			Datum		key = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);

			tuplestore_putvalues(result->setResult, result->setDesc, &key, &isnull);
		}
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(cursor);
	ec_expr_end(&as);
	SPI_finish();
	return (Datum) 0;
}

/*
 * ecauto.segment_sql(segment text) returns text
 */
Datum
ecauto_segment_sql(PG_FUNCTION_ARGS)
{
	EcSegmentQuery query = {NULL, "ecauto.now()", NULL, NULL, false, false};
	EcSegmentSet *set;
	EcSegment  *segment;
	char	   *sql;
	EcAs		as;

	ec_state_require();
	ec_require_reader("read the query of a segment");
	set = ec_segments_load();
	segment = ec_segment_get(set, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	broken_refuse(segment);
	ec_expr_begin_as_owner(&as);
	sql = psprintf("SELECT customer.key FROM (%s) AS customer WHERE customer.%s",
				   ec_segment_query(set, ec_segment_closure(set, segment), &query), ec_segment_column(segment->id));
	ec_expr_end(&as);
	PG_RETURN_TEXT_P(cstring_to_text(sql));
}

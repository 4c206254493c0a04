/*-------------------------------------------------------------------------
 *
 * segment_refresh.c
 *		Who entered and who left: the tick's phase of segments.
 *
 * Whoever asks about membership gets it computed (segment_ask.c).  Here we
 * compare it with what it was, write the difference as events, and remember
 * it.  Looked at are the customers whose facts changed since the last time,
 * by customer_fact.change_no, and those whose time has come, by
 * segment_state.next_change_at; all segments of all of them in one statement.
 *
 * If that statement fails (a condition divides by zero for somebody), each
 * segment is tried alone; the ones that fail are marked broken and keep their
 * members, and the others go on.  They are left out until everybody is looked
 * at: by then the members of a segment that works again may all be others.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "customer/customer.h"
#include "event/event.h"
#include "segment/segment.h"

PG_FUNCTION_INFO_V1(ecauto_refresh_segments);

/* above this, a kept plan made for few keys is not to be trusted */
#define KEYS_FOR_KEPT_PLAN 100

/* one statement takes so many customers; above, all of them are looked at */
#define KEYS_MAX 200000

/* memory for each sort and hash when all are looked at, in kB */
#define WORK_MEM_KB 65536

/* How far the refreshes came, and what is to be done. */
typedef struct Work
{
	bool		any;			/* is there a segment at all? */
	bool		asks;			/* is there one that is not self-contained? */
	bool		grouped;		/* is there one that asks about groups? */
	int64		done_no;		/* change_no looked at */
	int64		last_no;		/* that there is */
	int64		done_point;		/* the same of score_point.id */
	int64		last_point;
	int64		done_group;		/* and of rfm_score.change_no */
	int64		last_group;
	bool		silent;			/* all customers were computed anew, silently */
	TimestampTz next;			/* when time has come for one of them; DT_NOEND: never */
} Work;

static const char work_statement[] =
	"SELECT EXISTS (SELECT FROM ecauto_data.segment), EXISTS (SELECT FROM ecauto_data.segment WHERE asks), s.change_no,\n"
	"  coalesce((SELECT pg_catalog.max(change_no) FROM ecauto_data.customer_fact), 0), c.silent_no > s.change_no,\n"
	"  least('infinity', (SELECT pg_catalog.min(next_change_at) FROM ecauto_data.segment_state\n"
	"      WHERE next_change_at < 'infinity'),\n"
	"    (SELECT pg_catalog.min(valid_until) FROM ecauto_data.customer_fact WHERE valid_until < 'infinity')),\n"
	"  s.point_id, CASE WHEN EXISTS (SELECT FROM ecauto_data.segment WHERE scored)\n"
	"    THEN coalesce((SELECT pg_catalog.max(id) FROM ecauto_data.score_point), 0) ELSE s.point_id END,\n"
	"  s.rfm_no, CASE WHEN EXISTS (SELECT FROM ecauto_data.segment WHERE grouped)\n"
	"    THEN coalesce((SELECT pg_catalog.max(change_no) FROM ecauto_data.rfm_score), 0) ELSE s.rfm_no END,\n"
	"  EXISTS (SELECT FROM ecauto_data.segment WHERE grouped)\n"
	"FROM ecauto_data.segment_setting s, ecauto_data.customer_setting c";

static const char keys_statement[] =
	"SELECT pg_catalog.array_agg(key) FROM (\n"
	"  SELECT key FROM ecauto_data.customer_fact WHERE change_no > $1\n"
	"  UNION SELECT customer FROM ecauto_data.segment_state\n"
	"  WHERE next_change_at < 'infinity' AND next_change_at <= $2\n"
	"  UNION SELECT key FROM ecauto_data.customer_fact\n"
	"  WHERE valid_until < 'infinity' AND valid_until <= $2\n"
	"  UNION SELECT customer FROM ecauto_data.score_point WHERE id > $5 AND id <= $6\n"
	"  UNION SELECT customer FROM ecauto_data.rfm_score WHERE change_no > $7 AND change_no <= $8\n"
	"  UNION SELECT t.key COLLATE \"C\" FROM pg_catalog.unnest($4) t(key) LIMIT $3) x";

static void
work_look(Work *work)
{
	HeapTuple	row;
	TupleDesc	desc;
	bool		isnull;
	EcAs		as;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan(work_statement, 0, NULL), NULL, NULL, false, 0) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not look for customers whose segments may change");
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	work->any = DatumGetBool(SPI_getbinval(row, desc, 1, &isnull));
	work->asks = DatumGetBool(SPI_getbinval(row, desc, 2, &isnull));
	work->done_no = DatumGetInt64(SPI_getbinval(row, desc, 3, &isnull));
	work->last_no = DatumGetInt64(SPI_getbinval(row, desc, 4, &isnull));
	work->silent = DatumGetBool(SPI_getbinval(row, desc, 5, &isnull));
	work->next = DatumGetTimestampTz(SPI_getbinval(row, desc, 6, &isnull));
	work->done_point = DatumGetInt64(SPI_getbinval(row, desc, 7, &isnull));
	work->last_point = DatumGetInt64(SPI_getbinval(row, desc, 8, &isnull));
	work->done_group = DatumGetInt64(SPI_getbinval(row, desc, 9, &isnull));
	work->last_group = DatumGetInt64(SPI_getbinval(row, desc, 10, &isnull));
	work->grouped = DatumGetBool(SPI_getbinval(row, desc, 11, &isnull));
	ec_as_end(&as);
	SPI_finish();
}

/* Did facts, points or groups of customers change since the last refresh? */
static bool
work_changed(const Work *work)
{
	return work->last_no != work->done_no || work->last_point != work->done_point ||
		work->last_group != work->done_group;
}

/*
 * Customers of whom the tick's events tell something, of whatever kind.  What
 * they do may decide about segments whose conditions have subqueries; facts
 * need not change by it.
 */
static const char told_statement[] =
	"SELECT pg_catalog.array_agg(DISTINCT coalesce(e.customer, i.customer)) FROM " EC_EVENTS_OF_TICK " e\n"
	"LEFT JOIN ecauto_data.identity i ON i.session = e.session\n"
	"WHERE coalesce(e.customer, i.customer) IS NOT NULL AND e.role IS DISTINCT FROM 'segment'";

/* Do the events of a tick concern segments?  They do if a condition may look at them. */
static ArrayType *
told_find(const EcTick *tick)
{
	MemoryContext context = CurrentMemoryContext;
	ArrayType  *keys = NULL;
	Datum		args[EC_EVENTS_OF_TICK_ARGS];
	Datum		value;
	bool		isnull;
	EcAs		as;

	if (!ec_event_in_tick(tick))
		return NULL;
	ec_event_tick_args(tick, args);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan(told_statement, EC_EVENTS_OF_TICK_ARGS, ec_event_tick_types), args, NULL,
						 false, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not find customers of whom something was told");
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
	{
		MemoryContext spi = MemoryContextSwitchTo(context);

		keys = DatumGetArrayTypePCopy(value);
		MemoryContextSwitchTo(spi);
	}
	ec_as_end(&as);
	SPI_finish();
	return keys;
}

/* Keys of the customers to look at: text[], or NULL for all. */
static ArrayType *
keys_find(const Work *work, ArrayType *told, TimestampTz at)
{
	static const Oid types[] = {INT8OID, TIMESTAMPTZOID, INT8OID, TEXTARRAYOID, INT8OID, INT8OID, INT8OID, INT8OID};
	MemoryContext context = CurrentMemoryContext;
	ArrayType  *keys;
	Datum		args[8];
	Datum		value;
	bool		isnull;
	EcAs		as;

	args[0] = Int64GetDatum(work->done_no);
	args[1] = TimestampTzGetDatum(at);
	args[2] = Int64GetDatum(KEYS_MAX + 1);
	args[3] = PointerGetDatum(told != NULL ? told : construct_empty_array(TEXTOID));
	args[4] = Int64GetDatum(work->done_point);
	args[5] = Int64GetDatum(work->last_point);
	args[6] = Int64GetDatum(work->done_group);
	args[7] = Int64GetDatum(work->last_group);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan(keys_statement, 8, types), args, NULL, false, 0) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not find customers whose segments may change");
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	MemoryContextSwitchTo(context);
	keys = isnull ? construct_empty_array(TEXTOID) : DatumGetArrayTypePCopy(value);
	ec_as_end(&as);
	SPI_finish();
	return ArrayGetNItems(ARR_NDIM(keys), ARR_DIMS(keys)) > KEYS_MAX ? NULL : keys;
}

/*
 * Let queries that only read, and so take the snapshot there is, see what this
 * transaction has done, until PopActiveSnapshot().
 */
static void
snapshot_renew(void)
{
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
}

/* ---- the statement ---- */

static int
compare_ids(const ListCell *a, const ListCell *b)
{
	return ((EcSegment *) lfirst(a))->id - ((EcSegment *) lfirst(b))->id;
}

static void
append_used_names(StringInfo sql, const bool *used, const bool *rows)
{
	int			n = 0;

	for (int i = 0; i < ec_customer_ncolumns; i++)
		if (used[i])
			appendStringInfo(sql, "%s%s", n++ > 0 ? "," : "", ec_customer_columns[i].name);
	for (int i = 0; i < ec_scoring_ncolumns; i++)
		if (rows[ec_scoring_columns[i].row] && ec_scoring_columns[i].name != NULL)
			appendStringInfo(sql, "%s%s", n++ > 0 ? "," : "", ec_scoring_columns[i].full_name);
}

/*
 * $1 keys text[] (NULL: all), $2 as-of time, $3 boolean: tell no events,
 * $4 why, or NULL: facts or time, $5 change_no up to which customers were
 * looked at, $6 boolean: events are to be told to the next tick, $7 and $8:
 * ec_segment_foreign().  Returns how many customers changed, edges in and out.
 * asked are the segments that are evaluated; of these and the others, members
 * of those that are kept stay.
 */
static char *
refresh_statement(const EcSegmentSet *set, List *asked, bool all, bool foreign)
{
	bool		part = asked != set->segments;
	EcSegmentQuery query = {all ? NULL : "$1", "$2", foreign ? "$7" : NULL, foreign ? "$8" : NULL, true, false, part};
	List	   *by_id = list_copy(set->segments);
	bool	   *used = palloc0(sizeof(bool) * ec_customer_ncolumns);
	StringInfoData sql;
	ListCell   *lc;

	list_sort(by_id, compare_ids);
	initStringInfo(&sql);
	appendStringInfoString(&sql, "WITH seg(id, name, columns) AS (VALUES (NULL::integer, NULL::text COLLATE \"C\", NULL::text[])");
	foreach(lc, by_id)
	{
		EcSegment  *segment = lfirst(lc);

		ec_segment_used_columns(list_make1(segment), used);
		appendStringInfo(&sql, ",\n  (%d, %s, '{", segment->id, quote_literal_cstr(segment->name));
		append_used_names(&sql, used, segment->rows);
		appendStringInfoString(&sql, "}')");
	}
	appendStringInfo(&sql, "),\nlooked AS %s(SELECT customer.*, pg_catalog.array_remove(ARRAY[NULL",
					 all ? "" : "MATERIALIZED ");
	foreach(lc, by_id)
	{
		const EcSegment *segment = lfirst(lc);

		appendStringInfo(&sql, ", CASE WHEN %s THEN %d END",
						 segment->kept ? psprintf("customer.ec_old @> ARRAY[%d]", segment->id) :
						 ec_segment_column(segment->id), segment->id);
	}
	appendStringInfo(&sql, "]::integer[], NULL) AS ec_new\n  FROM (%s OFFSET 0) AS customer OFFSET 0),\n"
					 "changed AS MATERIALIZED (\n"
					 "  SELECT customer.key, customer.ec_old, customer.ec_new, customer.ec_next,\n"
					 "    CASE WHEN customer.ec_old <> customer.ec_new THEN pg_catalog.to_jsonb(customer) END AS row\n"
					 "  FROM looked AS customer\n"
					 "  WHERE customer.ec_old <> customer.ec_new OR customer.ec_old_next <> customer.ec_next\n",
					 ec_segment_query(set, asked, &query));
	/* who is not known any more is in nothing */
	if (!part)
		appendStringInfo(&sql, "  UNION ALL SELECT s.customer, s.member_of, '{}', 'infinity', NULL FROM %s\n"
						 "  WHERE (s.member_of <> '{}' OR s.next_change_at < 'infinity')",
						 all ? "ecauto_data.segment_state s\n"
						 "  LEFT JOIN ecauto_data.customer_fact f ON f.key = s.customer AND f.known" :
						 "pg_catalog.unnest($1) k(key) LEFT JOIN looked f ON f.key = k.key COLLATE \"C\"\n"
						 "  JOIN ecauto_data.segment_state s ON f.key IS NULL AND s.customer = k.key COLLATE \"C\"");
	if (!part && all)
		appendStringInfoString(&sql, " AND f.key IS NULL");
	appendStringInfoString(&sql, "),\n"
						   "put AS (INSERT INTO ecauto_data.segment_state (customer, member_of, next_change_at)\n"
						   "  SELECT key, ec_new, ec_next FROM changed ON CONFLICT (customer) DO UPDATE\n"
						   "  SET member_of = excluded.member_of, next_change_at = excluded.next_change_at),\n"
						   "edge AS MATERIALIZED (\n"
						   "  SELECT c.key, seg.name, c.ec_new @> ARRAY[seg.id] AS entered, CASE WHEN c.row IS NULL THEN 'gone'\n"
						   "      ELSE coalesce($4, CASE WHEN (SELECT f.change_no FROM ecauto_data.customer_fact f\n"
						   "        WHERE f.key = c.key) > $5 THEN 'facts' ELSE 'time' END) END AS reason,\n"
						   "    (SELECT pg_catalog.jsonb_object_agg(v.key, v.value) FROM pg_catalog.jsonb_each(c.row) v\n"
						   "      WHERE v.key = ANY (seg.columns) AND v.key <> 'key') AS facts\n"
						   "  FROM changed c JOIN seg ON (c.ec_old @> ARRAY[seg.id]) <> (c.ec_new @> ARRAY[seg.id])\n"
						   "  WHERE c.ec_old <> c.ec_new),\n"
						   "event AS (INSERT INTO ecauto_data.event (event_id, at, kind, role, key, customer, new)\n"
						   "  SELECT ecauto.new_id(), $2, CASE WHEN entered THEN 'segment.entered' ELSE 'segment.left' END,\n"
						   "    'segment', name, key, pg_catalog.jsonb_build_object('segment', name, 'reason', reason, 'facts', facts)\n"
						   "  FROM edge WHERE NOT $3 RETURNING event_id, at),\n"
						   "told AS (INSERT INTO ecauto_data.event_told (event_id, at) SELECT event_id, at FROM event WHERE $6)\n"
						   "SELECT (SELECT pg_catalog.count(*) FROM changed WHERE ec_old <> ec_new),\n"
						   "  pg_catalog.count(*) FILTER (WHERE entered), pg_catalog.count(*) FILTER (WHERE NOT entered) FROM edge");
	return sql.data;
}

/* One run of that statement. */
typedef struct Run
{
	const EcSegmentSet *set;
	List	   *asked;			/* the segments that are evaluated */
	ArrayType  *keys;			/* NULL: all */
	const char *reason;			/* NULL: facts or time */
	bool		silent;
	bool		tell;			/* events are for the next tick */
	TimestampTz at;
	int64		done_no;
	EcSegmentRefresh *result;
} Run;

/* EcTryRun */
static void
refresh_run(void *arg)
{
	static const Oid types[] = {TEXTARRAYOID, TIMESTAMPTZOID, BOOLOID, TEXTOID, INT8OID, BOOLOID,
	TEXTARRAYOID, INT4ARRAYOID};
	Run		   *run = arg;
	ArrayType  *foreign_keys;
	ArrayType  *foreign_ids;
	char	   *sql;
	Datum		args[8];
	char		nulls[] = "        ";
	bool		isnull;
	int			rc;
	EcAs		as;

	snapshot_renew();
	ec_segment_foreign(run->set, run->asked, run->keys, run->at, &foreign_keys, &foreign_ids);
	PopActiveSnapshot();
	sql = refresh_statement(run->set, run->asked, run->keys == NULL, foreign_keys != NULL);
	args[0] = PointerGetDatum(run->keys);
	args[1] = TimestampTzGetDatum(run->at);
	args[2] = BoolGetDatum(run->silent);
	args[3] = run->reason != NULL ? CStringGetTextDatum(run->reason) : (Datum) 0;
	args[4] = Int64GetDatum(run->done_no);
	args[5] = BoolGetDatum(run->tell);
	args[6] = PointerGetDatum(foreign_keys);
	args[7] = PointerGetDatum(foreign_ids);
	nulls[0] = run->keys == NULL ? 'n' : ' ';
	nulls[3] = run->reason == NULL ? 'n' : ' ';
	nulls[6] = nulls[7] = foreign_keys == NULL ? 'n' : ' ';

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_expr_begin_as_owner(&as);
	if (run->keys == NULL && work_mem < WORK_MEM_KB)
		(void) set_config_option("work_mem", CppAsString2(WORK_MEM_KB), PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	if (run->keys != NULL && ArrayGetNItems(ARR_NDIM(run->keys), ARR_DIMS(run->keys)) <= KEYS_FOR_KEPT_PLAN)
		rc = SPI_execute_plan(ec_plan(sql, 8, types), args, nulls, false, 0);
	else
		rc = SPI_execute_with_args(sql, 8, (Oid *) types, args, nulls, false, 0);
	if (rc != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not refresh the segments");
	run->result->changed = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	run->result->entered = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	run->result->left = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull));
	ec_expr_end(&as);
	SPI_finish();
}

/* A segment alone, to see whether it fails. */
typedef struct Alone
{
	const EcSegmentSet *set;
	EcSegment  *segment;
	ArrayType  *keys;
	TimestampTz at;
	bool		times;
} Alone;

/* EcTryRun */
static void
alone_run(void *arg)
{
	static const Oid types[] = {TEXTARRAYOID, TIMESTAMPTZOID, TEXTARRAYOID, INT4ARRAYOID};
	Alone	   *alone = arg;
	EcSegmentQuery query = {alone->keys == NULL ? NULL : "$1", "$2", NULL, NULL, alone->times, false};
	List	   *closure = ec_segment_closure(alone->set, alone->segment);
	ArrayType  *foreign_keys;
	ArrayType  *foreign_ids;
	Datum		args[4];
	char		nulls[4];
	EcAs		as;

	snapshot_renew();
	ec_segment_foreign(alone->set, closure, alone->keys, alone->at, &foreign_keys, &foreign_ids);
	if (foreign_keys != NULL)
	{
		query.foreign_keys = "$3";
		query.foreign_ids = "$4";
	}
	args[0] = PointerGetDatum(alone->keys);
	args[1] = TimestampTzGetDatum(alone->at);
	args[2] = PointerGetDatum(foreign_keys);
	args[3] = PointerGetDatum(foreign_ids);
	nulls[0] = alone->keys == NULL ? 'n' : ' ';
	nulls[1] = ' ';
	nulls[2] = nulls[3] = foreign_keys == NULL ? 'n' : ' ';
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_expr_begin_as_owner(&as);
	if (SPI_execute_with_args(psprintf("SELECT pg_catalog.count(customer.%s)%s FROM (%s) AS customer",
									   ec_segment_column(alone->segment->id),
									   alone->times ? ", pg_catalog.min(customer.ec_next)" : "",
									   ec_segment_query(alone->set, closure, &query)),
							  4, (Oid *) types, args, nulls, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not evaluate segment \"%s\"", alone->segment->name);
	ec_expr_end(&as);
	SPI_finish();
	PopActiveSnapshot();
}

/* Leave out a segment: it keeps its members. */
static void
leave_out(EcSegment *segment, char *broken)
{
	segment->broken = broken;
	segment->enter = segment->leave = NULL;
	segment->foreign = false;
}

/* Find the segments that fail, and leave them out from now on. */
static void
failing_find(const EcSegmentSet *set, List *asked, ArrayType *keys, TimestampTz at)
{
	ListCell   *lc;

	foreach(lc, asked)
	{
		EcSegment  *segment = lfirst(lc);
		Alone		alone = {set, segment, keys, at, true};
		ErrorData  *error;

		if (segment->enter == NULL)
			continue;
		error = ec_try(alone_run, &alone, true);
		if (error == NULL)
			continue;
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("ecauto cannot evaluate segment \"%s\": %s", segment->name, error->message),
				 errdetail("Its members stay as they are."),
				 errhint("Change its condition with ecauto.alter_segment().")));
		leave_out(segment, error->message);
	}
}

/* Write down which segments are broken now and which are not any more. */
static void
broken_remember(const EcSegmentSet *set, TimestampTz at)
{
	ListCell   *lc;

	foreach(lc, set->segments)
	{
		EcSegment  *segment = lfirst(lc);
		ErrorData	error = {0};

		if ((segment->broken != NULL) == segment->was_broken)
			continue;
		error.message = segment->broken;
		ec_segment_mark_broken(segment, segment->broken != NULL ? &error : NULL, at);
	}
}

static void
progress_remember(const Work *work, TimestampTz at)
{
	static const Oid types[] = {INT8OID, TIMESTAMPTZOID, INT8OID, INT8OID};
	Datum		args[4];
	EcAs		as;

	args[0] = Int64GetDatum(work->last_no);
	args[1] = TimestampTzGetDatum(at);
	args[2] = Int64GetDatum(work->last_point);
	args[3] = Int64GetDatum(work->last_group);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("UPDATE ecauto_data.segment_setting SET change_no = $1, refreshed_at = $2, point_id = $3, rfm_no = $4",
								 4, types),
						 args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not remember how far segments were refreshed");
	ec_as_end(&as);
	SPI_finish();
}

/* The work of a refresh; see the top of the file. */
static void
refresh(EcSegmentSet *set, List *asked, ArrayType *keys, const char *reason, bool silent, bool tell,
		TimestampTz at, int64 done_no, EcSegmentRefresh *result)
{
	Run			run = {set, asked, keys, reason, silent, tell, at, done_no, result};
	ErrorData  *error;

	memset(result, 0, sizeof(EcSegmentRefresh));
	ec_event_partition_ensure(at);
	error = ec_try(refresh_run, &run, false);
	if (error != NULL)
	{
		failing_find(set, asked, keys, at);
		refresh_run(&run);
	}
	broken_remember(set, at);
	if (keys != NULL)
		result->customers = ArrayGetNItems(ARR_NDIM(keys), ARR_DIMS(keys));
}

/* All segments, those left out that are broken unless all customers are looked at. */
static EcSegmentSet *
segments_for(const ArrayType *keys)
{
	EcSegmentSet *set = ec_segments_load();
	ListCell   *lc;

	foreach(lc, set->segments)
		if (keys != NULL && ((EcSegment *) lfirst(lc))->was_broken)
			leave_out(lfirst(lc), "it is broken");
	return set;
}

/*
 * Look at customers (keys: text[], NULL: all) and bring their segments up to
 * date; events of enter and leave go to the next tick, unless silent.  reason
 * says why.  The caller holds the lock of segments and is not connected to
 * SPI.  What is to be looked at because of facts or time stays so, unless keys
 * is NULL.
 */
void
ec_segments_refresh(ArrayType *keys, const char *reason, bool silent, TimestampTz at, EcSegmentRefresh *result)
{
	EcSegmentSet *set = segments_for(keys);
	Work		work;

	work_look(&work);
	refresh(set, set->segments, keys, reason, silent, true, at, work.done_no, result);
	if (keys == NULL)
		progress_remember(&work, at);
	if (result->entered + result->left > 0 && !silent)
		ec_wake_at_commit(EC_WAKE_TICK);
}

/*
 * A segment was defined anew: find who is in it and in those that speak of it,
 * and leave the members of all others as they are,
 * unless a shop's history was loaded that none has been told of.  Events, lock and SPI as of
 * ec_segments_refresh().
 */
void
ec_segments_refresh_defined(const char *name, bool silent, TimestampTz at, EcSegmentRefresh *result)
{
	EcSegmentSet *set = ec_segments_load();
	EcSegment  *defined = ec_segment_get(set, name);
	List	   *asked = NIL;
	List	   *by_level = NIL;
	Work		work;
	ListCell   *lc;

	foreach(lc, set->segments)
	{
		EcSegment  *segment = lfirst(lc);
		List	   *closure = ec_segment_closure(set, segment);

		segment->kept = !list_member_ptr(closure, defined);
		if (segment->kept && segment->was_broken)
			leave_out(segment, "it is broken");
		if (!segment->kept)
			asked = list_union_ptr(asked, closure);
	}
	foreach(lc, set->segments)
		if (list_member_ptr(asked, lfirst(lc)))
			by_level = lappend(by_level, lfirst(lc));
	work_look(&work);
	refresh(set, by_level, NULL, "definition", silent, true, at, work.done_no, result);
	if (work.silent)
	{
		/*
		 * All customers were computed anew before.  The next refresh would
		 * take what they do from now on for a part of that, and be silent
		 * about it, so the others are brought up to date at once.
		 */
		if (list_length(by_level) < list_length(set->segments))
		{
			EcSegmentRefresh others;

			set = segments_for(NULL);
			refresh(set, set->segments, NULL, NULL, true, true, at, work.done_no, &others);
		}
		progress_remember(&work, at);
	}
	if (result->entered + result->left > 0 && !silent)
		ec_wake_at_commit(EC_WAKE_TICK);
}

/*
 * What changed by facts or time, and told (text[] or NULL): look at it.  False
 * if there was nothing.
 */
static bool
refresh_due(TimestampTz at, ArrayType *told, bool tell, EcSegmentRefresh *result)
{
	Work		work;
	ArrayType  *keys;
	EcSegmentSet *set;

	memset(result, 0, sizeof(EcSegmentRefresh));
	work_look(&work);
	if (!work.any || (!work_changed(&work) && work.next > at && told == NULL))
		return false;
	keys = work.silent ? NULL : keys_find(&work, told, at);
	set = segments_for(keys);
	refresh(set, set->segments, keys, NULL, work.silent, tell, at, work.done_no, result);
	progress_remember(&work, at);
	return !work.silent;
}

/*
 * If a segment asks about groups and they were not brought up to date since
 * the day began, that is done now.  The caller is not connected to SPI.
 */
void
ec_segments_group(TimestampTz at)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	Datum		args[1];
	EcAs		as;

	args[0] = TimestampTzGetDatum(at);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_expr_begin_as_owner(&as);
	/* days begin in ecauto.timezone */
	if (SPI_execute_plan(ec_plan("SELECT FROM ecauto_data.rfm_setting WHERE refreshed_at < pg_catalog.date_trunc('day', $1)\n"
								 "  AND EXISTS (SELECT FROM ecauto_data.segment WHERE grouped)", 1, types),
						 args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look whether groups are of today");
	if (SPI_processed > 0 &&
		SPI_execute_plan(ec_plan("SELECT ecauto.refresh_rfm()", 0, NULL), NULL, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not bring groups up to date");
	ec_expr_end(&as);
	SPI_finish();
}

/* EcTryRun */
static void
group_run(void *arg)
{
	ec_segments_group(((EcTick *) arg)->at);
}

static void
refresh_failed(const ErrorData *error, const char *what)
{
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("ecauto could not refresh %s: %s", what, error->message),
			 errdetail("They stay as they were; the next tick tries again.")));
}

/* A tick, and the customers that it tells of (NULL: no matter). */
typedef struct TickRun
{
	EcTick	   *tick;
	ArrayType  *told;
} TickRun;

/* EcTryRun */
static void
tick_run(void *arg)
{
	TickRun    *run = arg;
	EcSegmentRefresh result;

	ec_segments_lock();
	if (refresh_due(run->tick->at, run->told, false, &result))
		ec_event_emitted(run->tick, result.entered + result.left);
}

/*
 * Phase of the tick; see the top of the file.
 */
void
ec_segment_tick(EcTick *tick)
{
	MemoryContext context;
	MemoryContext old;
	ErrorData  *error = NULL;
	TickRun		run = {tick, NULL};
	Work		work;

	work_look(&work);
	if (!work.any)
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "ecauto segments", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	if (work.grouped)
	{
		error = ec_try(group_run, tick, false);
		if (error != NULL)
			refresh_failed(error, "the groups of customers");
		error = NULL;
		work_look(&work);
	}
	if (work.asks)
		run.told = told_find(tick);
	if (work_changed(&work) || work.next <= tick->at || run.told != NULL)
	{
		error = ec_try(tick_run, &run, false);
		if (error != NULL)
			refresh_failed(error, "the segments");
		else
			work_look(&work);
	}
	if (error == NULL && work.next < DT_NOEND)
		ec_tick_due(tick, work.next);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * ecauto.refresh_segments(full boolean, OUT customers bigint, OUT changed bigint,
 *						   OUT entered bigint, OUT left bigint)
 */
Datum
ecauto_refresh_segments(PG_FUNCTION_ARGS)
{
	bool		full = PG_NARGS() > 0 && !PG_ARGISNULL(0) && PG_GETARG_BOOL(0);
	EcSegmentRefresh result;
	TupleDesc	desc;
	Datum		values[4];
	bool		nulls[4] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	ec_state_require();
	ec_require_operator("refresh segments");
	ec_progress_begin("refresh_segments");
	ec_segments_lock();
	if (full)
		ec_segments_refresh(NULL, NULL, false, ec_now(), &result);
	else if (refresh_due(ec_now(), NULL, true, &result) && result.entered + result.left > 0)
		ec_wake_at_commit(EC_WAKE_TICK);
	ec_progress_end();
	values[0] = Int64GetDatum(result.customers);
	nulls[0] = full;
	values[1] = Int64GetDatum(result.changed);
	values[2] = Int64GetDatum(result.entered);
	values[3] = Int64GetDatum(result.left);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

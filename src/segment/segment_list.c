/*-------------------------------------------------------------------------
 *
 * segment_list.c
 *		Segments that are lists, and snapshots; how segments overlap.
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

#include "segment/segment.h"

PG_FUNCTION_INFO_V1(ecauto_create_segment_list);
PG_FUNCTION_INFO_V1(ecauto_add_to_segment);
PG_FUNCTION_INFO_V1(ecauto_remove_from_segment);
PG_FUNCTION_INFO_V1(ecauto_segment_overlap);

/* Run a statement on the state; returns how many rows it took. */
static int64
list_execute(const char *sql, int nargs, const Oid *types, Datum *args, const char *nulls, int expected)
{
	int64		processed;
	EcAs		as;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan(sql, nargs, types), args, nulls, false, 0) != expected)
		elog(ERROR, "could not execute \"%s\"", sql);
	processed = SPI_processed;
	ec_as_end(&as);
	SPI_finish();
	return processed;
}

static EcSegment *
list_get(const char *name)
{
	EcSegment  *segment = ec_segment_get(ec_segments_load(), name);

	if (segment->condition != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("segment \"%s\" is not a list", name),
				 errdetail("Its members are those that meet its condition.")));
	return segment;
}

/* Keys of customers: error if one is NULL or longer than a key can be. */
static ArrayType *
customers_check(ArrayType *customers)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	deconstruct_array(customers, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("customer must not be null")));
		if (VARSIZE_ANY_EXHDR(DatumGetPointer(elements[i])) > EC_KEY_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("key of a customer must have at most %d bytes", EC_KEY_MAX),
					 errdetail("It has %d.", (int) VARSIZE_ANY_EXHDR(DatumGetPointer(elements[i])))));
	}
	return customers;
}

/* Add customers to a list or take them out, and tell; returns how many that were not so before. */
static int64
list_change(const EcSegment *segment, ArrayType *customers, bool add, bool silent, const char *reason)
{
	static const Oid types[] = {INT4OID, TEXTARRAYOID, TIMESTAMPTZOID};
	EcSegmentRefresh done;
	TimestampTz at = ec_now();
	Datum		args[3];
	int64		changed;

	args[0] = Int32GetDatum(segment->id);
	args[1] = PointerGetDatum(customers);
	args[2] = TimestampTzGetDatum(at);
	if (add)
		changed = list_execute("INSERT INTO ecauto_data.segment_list (segment_id, customer, added_at)\n"
							   "SELECT DISTINCT $1, k.key COLLATE \"C\", $3 FROM pg_catalog.unnest($2) k(key)\n"
							   "WHERE NOT EXISTS (SELECT FROM ecauto_data.segment_list l WHERE l.segment_id = $1\n"
							   "  AND l.customer = k.key COLLATE \"C\" AND l.removed_at IS NULL)\n"
							   "ON CONFLICT (segment_id, customer, added_at) DO UPDATE SET removed_at = NULL",
							   3, types, args, NULL, SPI_OK_INSERT);
	else
		changed = list_execute("UPDATE ecauto_data.segment_list SET removed_at = $3\n"
							   "WHERE segment_id = $1 AND customer = ANY ($2) AND removed_at IS NULL",
							   3, types, args, NULL, SPI_OK_UPDATE);
	if (changed > 0)
		ec_segments_refresh(customers, reason, silent, at, &done);
	return changed;
}

/*
 * ecauto.create_segment_list(name text, customers text[], description text) returns bigint
 */
Datum
ecauto_create_segment_list(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, TEXTOID, NAMEOID, TIMESTAMPTZOID};
	char	   *name;
	NameData	definer;
	Datum		args[4];
	char		nulls[] = "    ";

	ec_state_require();
	ec_require_operator("create a segment");
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", PG_ARGISNULL(0) ? "name of a segment" : "customers")));
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (*name == '\0' || strlen(name) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("name of a segment must have between 1 and %d bytes", NAMEDATALEN - 1),
				 errdetail("It has %zu.", strlen(name))));
	ec_segments_lock();
	if (ec_segment_find(ec_segments_load(), name) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("segment \"%s\" already exists", name)));
	namestrcpy(&definer, GetUserNameFromId(GetUserId(), false));
	args[0] = CStringGetTextDatum(name);
	args[1] = PG_ARGISNULL(2) ? (Datum) 0 : PG_GETARG_DATUM(2);
	nulls[1] = PG_ARGISNULL(2) ? 'n' : ' ';
	args[2] = NameGetDatum(&definer);
	args[3] = TimestampTzGetDatum(ec_now());
	(void) list_execute("INSERT INTO ecauto_data.segment (name, description, definer, created_at) VALUES ($1, $2, $3, $4)",
						4, types, args, nulls, SPI_OK_INSERT);
	(void) list_execute("UPDATE ecauto_data.segment_setting SET version = version + 1", 0, NULL, NULL, NULL, SPI_OK_UPDATE);
	PG_RETURN_INT64(list_change(list_get(name), customers_check(PG_GETARG_ARRAYTYPE_P(1)), true, true, "list"));
}

/*
 * ecauto.add_to_segment(segment text, customers text[]) returns bigint
 */
Datum
ecauto_add_to_segment(PG_FUNCTION_ARGS)
{
	ec_state_require();
	ec_require_operator("change a segment");
	ec_segments_lock();
	PG_RETURN_INT64(list_change(list_get(text_to_cstring(PG_GETARG_TEXT_PP(0))),
								customers_check(PG_GETARG_ARRAYTYPE_P(1)), true, false, "list"));
}

/*
 * ecauto.remove_from_segment(segment text, customers text[]) returns bigint
 */
Datum
ecauto_remove_from_segment(PG_FUNCTION_ARGS)
{
	ec_state_require();
	ec_require_operator("change a segment");
	ec_segments_lock();
	PG_RETURN_INT64(list_change(list_get(text_to_cstring(PG_GETARG_TEXT_PP(0))),
								customers_check(PG_GETARG_ARRAYTYPE_P(1)), false, false, "list"));
}

/*
 * ecauto.segment_overlap(as_of timestamptz) returns table(segment text, other text,
 * members bigint, other_members bigint, common bigint, share double precision)
 */
Datum
ecauto_segment_overlap(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TIMESTAMPTZOID, TEXTARRAYOID, INT4ARRAYOID};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	EcSegmentQuery query = {NULL, "$1", NULL, NULL, false, false};
	TimestampTz as_of = PG_ARGISNULL(0) ? ec_now() : PG_GETARG_TIMESTAMPTZ(0);
	EcSegmentSet *set;
	ArrayType  *foreign_keys;
	ArrayType  *foreign_ids;
	StringInfoData sql;
	Datum		args[3];
	char		nulls[] = "   ";
	ListCell   *lc;
	EcAs		as;

	ec_state_require();
	ec_require_reader("compare segments");
	InitMaterializedSRF(fcinfo, 0);
	set = ec_segments_load();
	if (set->segments == NIL)
		return (Datum) 0;
	ec_segment_foreign(set, set->segments, NULL, as_of, &foreign_keys, &foreign_ids);
	if (foreign_keys != NULL)
	{
		query.foreign_keys = "$2";
		query.foreign_ids = "$3";
	}
	args[0] = TimestampTzGetDatum(as_of);
	args[1] = PointerGetDatum(foreign_keys);
	args[2] = PointerGetDatum(foreign_ids);
	nulls[1] = nulls[2] = foreign_keys == NULL ? 'n' : ' ';

	/* customers in the same segments are counted together first: there are few such sets */
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_expr_begin_as_owner(&as);
	initStringInfo(&sql);
	appendStringInfoString(&sql, "WITH kind AS MATERIALIZED (SELECT x.names, pg_catalog.count(*) AS n FROM (\n"
						   "  SELECT pg_catalog.array_remove(ARRAY[NULL");
	foreach(lc, set->segments)
	{
		EcSegment  *segment = lfirst(lc);

		appendStringInfo(&sql, ", CASE WHEN customer.%s THEN %s END", ec_segment_column(segment->id),
						 quote_literal_cstr(segment->name));
	}
	appendStringInfo(&sql, "]::text[], NULL) AS names\n  FROM (%s) AS customer) x GROUP BY x.names),\n"
					 "size AS (SELECT s.name, pg_catalog.sum(k.n)::bigint AS n FROM kind k, pg_catalog.unnest(k.names) s(name) GROUP BY s.name)\n"
					 "SELECT a.name, b.name, a.n, b.n, coalesce(c.n, 0), coalesce(c.n, 0)::float8 / (a.n + b.n - coalesce(c.n, 0))\n"
					 "FROM size a JOIN size b ON a.name COLLATE \"C\" < b.name COLLATE \"C\"\n"
					 "LEFT JOIN (SELECT p.name AS one, q.name AS two, pg_catalog.sum(k.n)::bigint AS n\n"
					 "  FROM kind k, pg_catalog.unnest(k.names) p(name), pg_catalog.unnest(k.names) q(name)\n"
					 "  WHERE p.name COLLATE \"C\" < q.name COLLATE \"C\" GROUP BY 1, 2) c ON c.one = a.name AND c.two = b.name\n"
					 "ORDER BY 6 DESC, a.name, b.name", ec_segment_query(set, set->segments, &query));
	if (SPI_execute_with_args(sql.data, 3, (Oid *) types, args, nulls, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not compare the segments");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum		values[6];
		bool		isnull[6];

		heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, isnull);
		tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
	}
	ec_expr_end(&as);
	SPI_finish();
	return (Datum) 0;
}

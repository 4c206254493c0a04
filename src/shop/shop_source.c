/*-------------------------------------------------------------------------
 *
 * shop_source.c
 *		Sources: which tables tell that a row of a role may have changed.
 *
 * A source says of a table which column its trigger notes.  Where that column
 * does not hold the role's key (the inventory level of an item that is part of
 * a variant), a resolving query finds the keys later, in the worker, so that the
 * shop's transaction never waits for it.
 *
 * Sources that note the same column of the same table share a tap: a number
 * which stands in the trigger's arguments and in the change log.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "shop/shop.h"

PG_FUNCTION_INFO_V1(ecauto_bind_source);
PG_FUNCTION_INFO_V1(ecauto_resolve_source);

#define RESOLVE_WHAT "resolving query"

/* ---- running a resolving query ---- */

/* A resolving query, ready to run. */
typedef struct Resolver
{
	const char *role;
	int64		source_id;
	bool		broken;			/* did it fail last time? */
	char	   *query;
	char	   *definer;
	char	   *search_path;
	ArrayType  *noted;			/* text[] */
	ArrayType  *keys;			/* text[], the result, in caller's context */
	MemoryContext context;		/* of the result */
} Resolver;

/* The type that stands in for $1: what it is one of, and whether it is all of them at once. */
static Oid
parameter_element(const EcQueryShape *shape, bool *set)
{
	Oid			element = get_element_type(shape->params[0]);

	*set = OidIsValid(element);
	return *set ? element : shape->params[0];
}

/* Append the rows' only column, without NULLs, to a list of Datums of text. */
static ArrayBuildState *
rows_collect(ArrayBuildState *state, MemoryContext context)
{
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		key = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);

		if (!isnull)
			state = accumArrayResult(state, key, false, TEXTOID, context);
	}
	SPI_freetuptable(SPI_tuptable);
	return state;
}

/*
 * Run a resolving query on its noted values as its definer; EcTryRun.
 *
 * The query is parsed each time, to learn what type its parameter has now: a
 * migration of the shop may have changed it.
 */
static void
resolver_run(void *arg)
{
	Resolver   *resolver = arg;
	ArrayBuildState *state = NULL;
	EcQueryShape *shape;
	StringInfoData sql;
	SPIPlanPtr	plan;
	Datum	   *noted;
	Datum	   *values;
	int			n;
	Oid			element;
	Oid			input;
	Oid			ioparam;
	int16		typlen;
	bool		typbyval;
	char		typalign;
	bool		set;
	Oid			definer = ec_shop_definer(resolver->definer, RESOLVE_WHAT);
	EcAs		as;

	deconstruct_array(resolver->noted, TEXTOID, -1, false, TYPALIGN_INT, &noted, NULL, &n);
	values = palloc(sizeof(Datum) * Max(n, 1));

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	ec_as_definer(&as, definer, resolver->search_path);

	shape = ec_query_check(RESOLVE_WHAT, resolver->query, 1);
	if (shape->nparams != 1)
		elog(ERROR, "resolving query has no parameter");
	element = parameter_element(shape, &set);
	getTypeInputInfo(element, &input, &ioparam);
	for (int i = 0; i < n; i++)
		values[i] = OidInputFunctionCall(input, TextDatumGetCString(noted[i]), ioparam, -1);

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT DISTINCT q.k::pg_catalog.text FROM (%s\n) q(k)", resolver->query);
	plan = ec_plan(sql.data, 1, shape->params);
	if (set)
	{
		Datum		array;

		get_typlenbyvalalign(element, &typlen, &typbyval, &typalign);
		array = PointerGetDatum(construct_array(values, n, element, typlen, typbyval, typalign));
		if (SPI_execute_plan(plan, &array, NULL, true, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not run the resolving query");
		state = rows_collect(state, CurrentMemoryContext);
	}
	else
	{
		for (int i = 0; i < n; i++)
		{
			CHECK_FOR_INTERRUPTS();
			if (SPI_execute_plan(plan, &values[i], NULL, true, 0) != SPI_OK_SELECT)
				elog(ERROR, "could not run the resolving query");
			state = rows_collect(state, CurrentMemoryContext);
		}
	}

	ec_as_end(&as);
	PopActiveSnapshot();
	{
		MemoryContext old = MemoryContextSwitchTo(resolver->context);

		resolver->keys = state == NULL ? construct_empty_array(TEXTOID)
			: DatumGetArrayTypeP(makeArrayResult(state, resolver->context));
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
}

/* ---- resolving what was noted ---- */

/*
 * Remember why the query of a source fails (NULL: it does not any more).
 */
static void
source_set_broken(const Resolver *resolver, const ErrorData *error)
{
	static const Oid types[] = {INT8OID, TEXTOID};
	Datum		values[2];
	char		nulls[] = "  ";

	values[0] = Int64GetDatum(resolver->source_id);
	nulls[1] = error ? ' ' : 'n';
	values[1] = error ? CStringGetTextDatum(error->message) : (Datum) 0;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_shop_state_run("UPDATE ecauto_data.source SET broken_message = $2 WHERE source_id = $1",
					  2, types, values, nulls);
	SPI_finish();
}

void
ec_source_resolve(int tap, ArrayType *noted, EcSourceAdd add, void *arg)
{
	static const Oid types[] = {INT4OID};
	MemoryContext caller = CurrentMemoryContext;
	Datum		value = Int32GetDatum(tap);
	Resolver   *sources;
	int			n;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_shop_state_run("SELECT s.role, s.resolve, s.definer, s.search_path, s.source_id,"
					  " s.broken_message IS NOT NULL"
					  " FROM ecauto_data.source s WHERE s.tap = $1 ORDER BY s.source_id",
					  1, types, &value, NULL);
	n = SPI_processed;
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);

		sources = palloc0(sizeof(Resolver) * Max(n, 1));
		for (int i = 0; i < n; i++)
		{
			HeapTuple	tuple = SPI_tuptable->vals[i];
			TupleDesc	desc = SPI_tuptable->tupdesc;
			bool		isnull;

			sources[i].source_id = DatumGetInt64(SPI_getbinval(tuple, desc, 5, &isnull));
			sources[i].broken = DatumGetBool(SPI_getbinval(tuple, desc, 6, &isnull));
			sources[i].role = SPI_getvalue(tuple, desc, 1);
			sources[i].query = SPI_getvalue(tuple, desc, 2);
			sources[i].definer = SPI_getvalue(tuple, desc, 3);
			sources[i].search_path = SPI_getvalue(tuple, desc, 4);
			sources[i].noted = noted;
			sources[i].context = caller;
		}
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();

	for (int i = 0; i < n; i++)
	{
		ErrorData  *error;

		if (sources[i].query == NULL || noted == NULL)
		{
			add(sources[i].role, noted, arg);
			continue;
		}
		error = ec_try(resolver_run, &sources[i], true);
		if (error != NULL && !sources[i].broken)
			ereport(LOG,
					(errcode(error->sqlerrcode),
					 errmsg("ecauto cannot tell any more which keys of role \"%s\" change: %s",
							sources[i].role, error->message),
					 errdetail("The resolving query of a source fails. All keys are compared instead."),
					 errhint("SELECT * FROM ecauto.check_shop() says more; bind the source again with ecauto.bind_source().")));
		if (error != NULL || sources[i].broken)
			source_set_broken(&sources[i], error);
		add(sources[i].role, error == NULL ? sources[i].keys : NULL, arg);
	}
}

static void
resolved_put(const char *role, ArrayType *keys, void *arg)
{
	ReturnSetInfo *result = arg;
	Datum		values[2];
	bool		nulls[2] = {false};

	values[0] = CStringGetTextDatum(role);
	nulls[1] = (keys == NULL);
	values[1] = nulls[1] ? (Datum) 0 : PointerGetDatum(keys);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * ecauto.resolve_source(tap integer, noted text[])
 *		returns table(role text, keys text[])
 */
Datum
ecauto_resolve_source(PG_FUNCTION_ARGS)
{
	ec_state_require();
	ec_require_operator("resolve keys");
	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	ec_source_resolve(PG_GETARG_INT32(0), PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1),
					  resolved_put, fcinfo->resultinfo);
	return (Datum) 0;
}

/* ---- declaring a source ---- */

/*
 * Can values of one type, as text, be read as the other and mean the same?
 */
static bool
types_alike(Oid a, Oid b)
{
	char		category_a;
	char		category_b;
	bool		preferred;

	a = getBaseType(a);
	b = getBaseType(b);
	if (a == b)
		return true;
	get_type_category_preferred(a, &category_a, &preferred);
	get_type_category_preferred(b, &category_b, &preferred);
	if (category_a == TYPCATEGORY_STRING && category_b == TYPCATEGORY_STRING)
		return true;
	return (a == INT2OID || a == INT4OID || a == INT8OID) &&
		(b == INT2OID || b == INT4OID || b == INT8OID);
}

/*
 * The type that the role's key has in the shop, as the query bound to the role
 * says; InvalidOid if none is bound.
 */
static Oid
role_key_type(const EcRole *role)
{
	EcBinding  *binding = ec_binding_get(role->name);

	if (binding == NULL || binding->types[0] == NULL)
		return InvalidOid;
	return DatumGetObjectId(DirectFunctionCall1(to_regtype, CStringGetTextDatum(binding->types[0])));
}

/*
 * Check a resolving query against the noted column and the role, run it on
 * nothing, and return it as it is to be kept.
 */
static char *
resolve_check(const EcRole *role, Oid key, const char *column, Oid noted, const char *text)
{
	EcQueryShape *shape = ec_query_check(RESOLVE_WHAT, text, 1);
	Resolver	resolver = {0};
	Oid			element;
	bool		set;

	if (shape->nparams != 1)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_PARAMETER),
				 errmsg("resolving query does not use its parameter"),
				 errhint("Parameter $1 stands for the noted values, such as: ... WHERE id = ANY ($1)")));
	if (shape->ncolumns != 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("resolving query must return one column"),
				 errdetail("It returns %d columns.", shape->ncolumns),
				 errhint("It returns keys of role \"%s\".", role->name)));
	element = parameter_element(shape, &set);
	if (!types_alike(element, noted))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("resolving query takes other values than those noted"),
				 errdetail("Its parameter $1 is of type %s, column \"%s\" is of type %s.",
						   format_type_be(shape->params[0]), column, format_type_be(noted))));
	if (OidIsValid(key) && !types_alike(shape->columns[0].type, key))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("resolving query does not return keys of role \"%s\"", role->name),
				 errdetail("It returns %s, the key is of type %s.",
						   format_type_be(shape->columns[0].type), format_type_be(key)),
				 ec_query_error(text, shape->columns[0].location)));

	resolver.query = shape->text;
	resolver.definer = GetUserNameFromId(GetUserId(), false);
	resolver.search_path = ec_shop_search_path();
	resolver.noted = construct_empty_array(TEXTOID);
	resolver.context = CurrentMemoryContext;
	resolver_run(&resolver);
	return shape->text;
}

/*
 * Refuse what cannot have our trigger.
 */
static void
relation_check(Relation rel)
{
	const char *name = RelationGetRelationName(rel);

	switch (rel->rd_rel->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("\"%s\" is not a table", name),
					 errhint("Changes are captured by a trigger; name the tables that hold the rows.")));
	}
	if (IsCatalogRelation(rel) || rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table of the shop", name)));
}

/*
 * Keep a source.  The caller has called ec_shop_require().  column is a name as
 * in pg_attribute; bound_with is the role whose binding brings the source, to
 * be forgotten with it (mostly the same role).  Errors: undefined_column, wrong_object_type,
 * datatype_mismatch, and those of ec_query_check() for resolve.
 */
void
ec_source_register(const EcRole *role, Oid relid, const char *column, const char *resolve,
				   EcOrigin origin, const EcRole *bound_with)
{
	static const Oid types[] = {TEXTOID, NAMEOID, NAMEOID, NAMEOID, TEXTOID, NAMEOID, TEXTOID, CHAROID, TEXTOID};
	Relation	rel = table_open(relid, AccessShareLock);
	AttrNumber	attnum = get_attnum(relid, column);
	Oid			key = role_key_type(role);
	Oid			noted;
	NameData	names[4];
	Datum		values[lengthof(types)];
	char		nulls[lengthof(types) + 1] = "         ";

	relation_check(rel);
	if (attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist", column,
						RelationGetRelationName(rel)),
				 errhint("Name the column whose value tells which row of role \"%s\" changed.",
						 role->name)));
	noted = get_atttype(relid, attnum);
	if (resolve != NULL)
		resolve = resolve_check(role, key, column, noted, resolve);
	else if (OidIsValid(key) && !types_alike(noted, key))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" does not hold keys of role \"%s\"", column, role->name),
				 errdetail("The column is of type %s, the key is of type %s.",
						   format_type_be(noted), format_type_be(key)),
				 errhint("Give a query that turns values of the column ($1) into keys of the role.")));

	namestrcpy(&names[0], get_namespace_name(RelationGetNamespace(rel)));
	namestrcpy(&names[1], RelationGetRelationName(rel));
	namestrcpy(&names[2], column);
	namestrcpy(&names[3], GetUserNameFromId(GetUserId(), false));
	values[0] = CStringGetTextDatum(role->name);
	values[1] = NameGetDatum(&names[0]);
	values[2] = NameGetDatum(&names[1]);
	values[3] = NameGetDatum(&names[2]);
	values[4] = resolve ? CStringGetTextDatum(resolve) : (Datum) 0;
	nulls[4] = resolve ? ' ' : 'n';
	values[5] = NameGetDatum(&names[3]);
	values[6] = CStringGetTextDatum(ec_shop_search_path());
	values[7] = CharGetDatum((char) origin);
	values[8] = CStringGetTextDatum(bound_with->name);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_shop_state_run("INSERT INTO ecauto_data.source"
					  " (role, schema_name, table_name, key_column, resolve, definer, search_path,"
					  " origin, bound_with, tap)"
					  " SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9,"
					  " COALESCE((SELECT s.tap FROM ecauto_data.source s WHERE s.schema_name = $2"
					  " AND s.table_name = $3 AND s.key_column = $4 LIMIT 1),"
					  " pg_catalog.nextval('ecauto_data.source_tap_seq')::pg_catalog.int4)"
					  " ON CONFLICT (role, schema_name, table_name, key_column) DO UPDATE"
					  " SET (resolve, definer, search_path, origin, bound_with, broken_message)"
					  " = ($5, $6, $7, $8, $9, NULL)",
					  lengthof(types), types, values, nulls);
	SPI_finish();
	table_close(rel, NoLock);
}

/*
 * Forget the sources that came this way with the binding of a role (NULL: of
 * any role).
 */
void
ec_source_forget(const EcRole *role, EcOrigin origin)
{
	static const Oid types[] = {TEXTOID, CHAROID};
	Datum		values[2];
	char		nulls[] = "  ";

	nulls[0] = role ? ' ' : 'n';
	values[0] = role ? CStringGetTextDatum(role->name) : (Datum) 0;
	values[1] = CharGetDatum((char) origin);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_shop_state_run("DELETE FROM ecauto_data.source"
					  " WHERE (bound_with = $1 OR $1 IS NULL) AND origin = $2",
					  2, types, values, nulls);
	SPI_finish();
}

/*
 * ecauto.bind_source(role text, relation text, key_column text, resolve text)
 *		returns void
 */
Datum
ecauto_bind_source(PG_FUNCTION_ARGS)
{
	const EcRole *role;
	Oid			relid;

	for (int i = 0; i < 3; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("role, relation and key column of a source must not be NULL")));
	role = ec_role_get(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	ec_shop_require("bind a source");
	relid = DatumGetObjectId(DirectFunctionCall1(regclassin,
												 CStringGetDatum(text_to_cstring(PG_GETARG_TEXT_PP(1)))));
	ec_source_register(role, relid, text_to_cstring(PG_GETARG_TEXT_PP(2)),
					   PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3)), EC_BY_HAND, role);
	PG_RETURN_VOID();
}

/*-------------------------------------------------------------------------
 *
 * shop_bind.c
 *		bind_role() and bind_table(): check a query and keep it for a role.
 *
 * What can be known at bind time is checked at bind time, on the query's
 * shape (columns, types) and on the rows it returns now (unique keys, no NULL
 * key, known values).  Nothing is kept if a check fails.  The query is stored
 * with the current user and search_path, as which it will run.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

#include "shop/shop.h"

PG_FUNCTION_INFO_V1(ecauto_bind_role);
PG_FUNCTION_INFO_V1(ecauto_bind_table);

/*
 * What every function that binds, attaches or detaches does first: create the
 * state if there is none (binding by hand comes before attach_shop()), else
 * refuse whoever may not operate the shop.  what completes "permission denied to".
 */
void
ec_shop_require(const char *what)
{
	if (!ec_state_exists())
	{
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		if (SPI_execute("SELECT " EC_CODE_SCHEMA ".setup()", false, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not set up the state");
		SPI_finish();
	}
	ec_state_require();
	ec_require_operator(what);
}

/*
 * Is ecauto attached to a shop?
 */
bool
ec_shop_attached(void)
{
	bool		attached;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_shop_state_run("SELECT 1 FROM ecauto_data.shop", 0, NULL, NULL, NULL);
	attached = SPI_processed > 0;
	SPI_finish();
	return attached;
}

/*
 * The search_path under which a piece of SQL is bound now, allocated in the
 * current context.
 *
 * pg_temp is named last unless it is named already: left out, temporary
 * tables would come first, and whoever lets the SQL run later could put some
 * of his own in place of the shop's.
 */
char *
ec_shop_search_path(void)
{
	const char *path = GetConfigOption("search_path", false, false);
	char	   *copy = pstrdup(path);
	List	   *names;
	ListCell   *lc;

	if (!SplitIdentifierString(copy, ',', &names))
		elog(ERROR, "invalid search_path \"%s\"", path);
	foreach(lc, names)
		if (strcmp(lfirst(lc), "pg_temp") == 0)
			return pstrdup(path);
	return names == NIL ? pstrdup("pg_temp") : psprintf("%s, pg_temp", path);
}

/* ---- the shape: columns and types ---- */

/*
 * May a column of the shop's of this (base) type be the canonical column?
 */
static bool
type_fits(const EcColumn *column, Oid type)
{
	char		category;
	bool		preferred;

	get_type_category_preferred(type, &category, &preferred);
	switch (column->type)
	{
		case TEXTOID:
			/* keys may be anything that is one value */
			if (column->is_key)
				return category != TYPCATEGORY_ARRAY && category != TYPCATEGORY_COMPOSITE &&
					category != TYPCATEGORY_PSEUDOTYPE && category != TYPCATEGORY_RANGE;
			return category == TYPCATEGORY_STRING || category == TYPCATEGORY_ENUM ||
				category == TYPCATEGORY_NETWORK;
		case NUMERICOID:
			return type == INT2OID || type == INT4OID || type == INT8OID ||
				type == NUMERICOID || type == FLOAT4OID || type == FLOAT8OID;
		default:
			return type == column->type;
	}
}

static const char *
type_wanted(const EcColumn *column)
{
	switch (column->type)
	{
		case TEXTOID:
			return column->is_key ? "a single value" : "text";
		case NUMERICOID:
			return "a number";
		case BOOLOID:
			return "boolean";
		case DATEOID:
			return "date";
		default:
			return "timestamp with time zone";
	}
}

static void
type_refuse(const EcRole *role, const EcColumn *column, const char *text,
			const EcQueryColumn *found, Oid type)
{
	const char *name = quote_identifier(column->name);

	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of role \"%s\" must be %s", column->name, role->name,
					type_wanted(column)),
			 errdetail("The query returns %s.", format_type_be(found->type)),
			 column->type == TIMESTAMPTZOID && (type == TIMESTAMPOID || type == DATEOID)
			 ? errhint("Say in which time zone it is kept, such as: placed_at AT TIME ZONE 'UTC' AS %s", name)
			 : column->type == NUMERICOID && type == MONEYOID
			 ? errhint("Cast it, such as: price::numeric AS %s", name)
			 : column->type == TEXTOID
			 ? errhint("Cast it, such as: x::text AS %s", name)
			 : column->type == BOOLOID
			 ? errhint("Compare it, such as: status = 'active' AS %s", name)
			 : 0,
			 ec_query_error(text, found->location)));
}

/*
 * Compare what a query returns with what the role has; returns the native
 * type of each canonical column, NULL for those the query does not have.
 */
static char **
shape_check(const EcRole *role, const char *text, const EcQueryShape *shape)
{
	char	  **types = palloc0(sizeof(char *) * role->ncolumns);

	for (int i = 0; i < shape->ncolumns; i++)
	{
		const EcQueryColumn *found = &shape->columns[i];
		const EcColumn *column = ec_role_column(role, found->name);
		Oid			type;

		if (column == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("role \"%s\" has no column \"%s\"", role->name, found->name),
					 errhint("Its columns are %s.", ec_role_column_list(role)),
					 ec_query_error(text, found->location)));
		type = ec_query_base_type(found->type, &types[column - role->columns]);
		if (!type_fits(column, type))
			type_refuse(role, column, text, found, type);
	}

	for (int i = 0; i < role->ncolumns; i++)
		if (role->columns[i].need == EC_REQUIRED && types[i] == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("the query of role \"%s\" lacks column \"%s\"", role->name,
							role->columns[i].name),
					 errhint("Its columns are %s.", ec_role_column_list(role))));
	return types;
}

/* ---- the rows ---- */

/*
 * Run the query once over everything: keys must not be NULL, nor occur twice
 * unless the role has several rows a key, and columns with a fixed set of
 * values must hold no other.  Returns the number of rows.
 */
static int64
rows_check(const EcBinding *binding)
{
	const EcRole *role = binding->role;
	const EcColumn *key = &role->columns[0];
	const EcColumn *fixed = NULL;
	const char *name = quote_identifier(key->name);
	StringInfoData sql;
	EcAs		as;
	HeapTuple	tuple;
	TupleDesc	desc;
	bool		isnull;
	int64		rows;

	for (int i = 0; i < role->ncolumns; i++)
		if (role->columns[i].allowed != NULL && binding->types[i] != NULL)
			fixed = &role->columns[i];

	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "SELECT COALESCE(pg_catalog.sum(g.n), 0)::pg_catalog.int8,"
					 " pg_catalog.sum(g.n) FILTER (WHERE g.missing)::pg_catalog.int8,"
					 " pg_catalog.min(g.twice), pg_catalog.min(g.bad)"
					 " FROM (SELECT q.%s IS NULL AS missing, pg_catalog.count(*) AS n,"
					 " %s AS twice", name,
					 role->many ? "NULL::pg_catalog.text"
					 : psprintf("CASE WHEN pg_catalog.count(*) > 1 THEN q.%s::pg_catalog.text END", name));
	if (fixed != NULL)
		appendStringInfo(&sql, ", pg_catalog.min(q.%s::pg_catalog.text) FILTER"
						 " (WHERE NOT q.%s::pg_catalog.text IN (%s)) AS bad",
						 quote_identifier(fixed->name), quote_identifier(fixed->name),
						 fixed->allowed);
	else
		appendStringInfoString(&sql, ", NULL::pg_catalog.text AS bad");
	appendStringInfo(&sql, " FROM (%s\n) q GROUP BY %s) g", binding->query,
					 role->many ? "1" : psprintf("q.%s", name));

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());
	ec_binding_as(&as, binding);
	if (SPI_execute(sql.data, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not run the query of role \"%s\"", role->name);
	ec_as_end(&as);
	PopActiveSnapshot();

	tuple = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	rows = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
	(void) SPI_getbinval(tuple, desc, 2, &isnull);
	if (!isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("the query of role \"%s\" returns rows without %s", role->name, key->name),
				 errdetail("%s of %lld rows have NULL there.", SPI_getvalue(tuple, desc, 2),
						   (long long) rows)));
	(void) SPI_getbinval(tuple, desc, 3, &isnull);
	if (!isnull)
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("the query of role \"%s\" returns a key more than once", role->name),
				 errdetail("Key \"%s\" is one of them.", SPI_getvalue(tuple, desc, 3)),
				 errhint("This role has one row a key; a join may multiply the rows.")));
	(void) SPI_getbinval(tuple, desc, 4, &isnull);
	if (!isnull)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("column \"%s\" of role \"%s\" has an unknown value", fixed->name, role->name),
				 errdetail("The query returns \"%s\".", SPI_getvalue(tuple, desc, 4)),
				 errhint("It must be one of %s.", fixed->allowed)));
	SPI_finish();
	return rows;
}

/*
 * Run the query the way it will be run: by key, and once over everything with
 * all columns, since what cannot be computed may lie in a single value.
 */
static void
fetch_check(const EcBinding *binding)
{
	Tuplestorestate *store;
	TupleDesc	desc;
	int64		n;

	store = ec_binding_fetch(binding, binding->role->columns[0].name,
							 construct_empty_array(TEXTOID), 0, &desc, &n);
	tuplestore_end(store);
	store = ec_binding_fetch(binding, NULL, NULL, 0, &desc, &n);
	tuplestore_end(store);
}

static Datum
text_array(char **strings, int n)
{
	Datum	   *values = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
		values[i] = CStringGetTextDatum(strings[i]);
	return PointerGetDatum(construct_array(values, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
binding_store(const EcBinding *binding, bool from_preset)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID, NAMEOID, TEXTOID, BOOLOID, BOOLOID};
	const EcRole *role = binding->role;
	char	  **names = palloc(sizeof(char *) * role->ncolumns);
	char	  **natives = palloc(sizeof(char *) * role->ncolumns);
	Datum		values[lengthof(types)];
	NameData	definer;
	int			n = 0;

	for (int i = 0; i < role->ncolumns; i++)
	{
		if (binding->types[i] == NULL)
			continue;
		names[n] = unconstify(char *, role->columns[i].name);
		natives[n++] = binding->types[i];
	}
	namestrcpy(&definer, binding->definer);
	values[0] = CStringGetTextDatum(role->name);
	values[1] = CStringGetTextDatum(binding->query);
	values[2] = text_array(names, n);
	values[3] = text_array(natives, n);
	values[4] = NameGetDatum(&definer);
	values[5] = CStringGetTextDatum(binding->search_path);
	values[6] = BoolGetDatum(binding->resync);
	values[7] = BoolGetDatum(from_preset);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_shop_state_run("INSERT INTO ecauto_data.role_binding AS b"
					  " (role, query, columns, types, definer, search_path, resync, from_preset)"
					  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
					  " ON CONFLICT (role) DO UPDATE SET (query, columns, types, definer,"
					  " search_path, resync, from_preset, bound_at,"
					  " broken_at, broken_code, broken_message) ="
					  " ($2, $3, $4, $5, $6, $7, $8, pg_catalog.clock_timestamp(),"
					  " NULL, NULL, NULL)",
					  lengthof(types), types, values, NULL);
	SPI_finish();
}

/*
 * Check a query and bind it to a role, as the current user with the current
 * search_path; returns the number of rows it returns now.  The caller has
 * called ec_shop_require().
 *
 * If the shop is attached already, the next tick compares every key of the
 * role, so that what was missed while it was broken, or what the new query
 * sees differently, becomes events once.
 */
int64
ec_bind_role(const EcRole *role, const char *query, bool from_preset)
{
	char	   *what = psprintf("query of role \"%s\"", role->name);
	EcQueryShape *shape = ec_query_check(what, query, 0);
	EcBinding	binding = {0};
	int64		rows;

	binding.role = role;
	binding.query = shape->text;
	binding.definer = GetUserNameFromId(GetUserId(), false);
	binding.search_path = ec_shop_search_path();
	binding.types = shape_check(role, query, shape);
	binding.resync = ec_shop_attached();
	rows = rows_check(&binding);
	fetch_check(&binding);
	binding_store(&binding, from_preset);
	return rows;
}

/*
 * ecauto.bind_role(role text, query text) returns bigint
 */
Datum
ecauto_bind_role(PG_FUNCTION_ARGS)
{
	const EcRole *role = ec_role_get(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	ec_shop_require("bind a role");
	PG_RETURN_INT64(ec_bind_role(role, text_to_cstring(PG_GETARG_TEXT_PP(1)), false));
}

/* ---- bind_table() ---- */

static char *
relation_column_list(Relation rel)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (!att->attisdropped)
			appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", NameStr(att->attname));
	}
	return list.data;
}

/*
 * The SQL for what a user mapped to a canonical column.  A string that is the
 * name of a column is that column, spelled exactly or as SQL would read it;
 * any other string is an expression over the relation's columns.  *attnum is
 * set if it is a plain column, else 0.
 */
static char *
mapping_sql(Relation rel, const EcColumn *column, const char *text, AttrNumber *attnum)
{
	char	   *name = NULL;

	*attnum = get_attnum(RelationGetRelid(rel), text);
	if (*attnum <= 0)
	{
		ec_expression_check(psprintf("expression for column \"%s\"", column->name), text, &name);
		if (name != NULL)
			*attnum = get_attnum(RelationGetRelid(rel), name);
	}
	else
		name = unconstify(char *, text);

	if (name == NULL)
		return psprintf("(%s\n)", text);
	if (*attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist", name,
						RelationGetRelationName(rel)),
				 errdetail("The columns of the relation are %s.", relation_column_list(rel)),
				 errhint("A constant text is written in quotes of its own, such as {\"%s\": \"'%s'\"}.",
						 column->name, text)));
	return pstrdup(quote_identifier(name));
}

static char *
constant_sql(const EcColumn *column, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return psprintf("NULL::%s", format_type_be(column->type));
		case jbvBool:
			return value->val.boolean ? "true" : "false";
		case jbvNumeric:
			return psprintf("(%s)", DatumGetCString(DirectFunctionCall1(numeric_out,
																		NumericGetDatum(value->val.numeric))));
		default:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("column \"%s\" is mapped to something that is no single value",
							column->name),
					 errhint("Map it to the name of a column, an SQL expression, or a constant.")));
	}
}

/*
 * Build the query for a relation and a mapping.  *noted is the plain column
 * whose changes are to be noted, 0 if there is none: that of the key or, for
 * parts of something, of the key of the whole.
 */
static char *
table_query(const EcRole *role, Relation rel, Jsonb *columns, AttrNumber *noted)
{
	StringInfoData sql;
	JsonbIterator *it = JsonbIteratorInit(&columns->root);
	JsonbValue	value;
	JsonbIteratorToken token;
	bool		first = true;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	*noted = 0;
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		const EcColumn *column;
		char	   *name;
		char	   *expression;
		AttrNumber	attnum = 0;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(value.val.string.val, value.val.string.len);
		(void) JsonbIteratorNext(&it, &value, true);
		column = ec_role_column(role, name);
		if (column == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("role \"%s\" has no column \"%s\"", role->name, name),
					 errhint("Its columns are %s.", ec_role_column_list(role))));
		if (value.type == jbvString)
			expression = mapping_sql(rel, column, pnstrdup(value.val.string.val, value.val.string.len),
									 &attnum);
		else
			expression = constant_sql(column, &value);
		if (strcmp(name, role->whole ? role->whole_by : role->columns[0].name) == 0)
			*noted = attnum;
		appendStringInfo(&sql, "%s%s AS %s", first ? "" : ", ", expression, quote_identifier(name));
		first = false;
	}
	appendStringInfo(&sql, " FROM %s",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												RelationGetRelationName(rel)));
	return sql.data;
}

/*
 * ecauto.bind_table(role text, relation regclass, columns jsonb) returns bigint
 */
Datum
ecauto_bind_table(PG_FUNCTION_ARGS)
{
	const EcRole *role = ec_role_get(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	Oid			relid = PG_GETARG_OID(1);
	Jsonb	   *columns = PG_GETARG_JSONB_P(2);
	Relation	rel;
	AttrNumber	noted;
	int64		rows;

	ec_shop_require("bind a role");
	if (!JB_ROOT_IS_OBJECT(columns))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the mapping of columns must be a JSON object"),
				 errhint("Write {\"key\": \"id\", ...}: canonical columns and what they are in the relation.")));
	rel = try_relation_open(relid, AccessShareLock);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	rows = ec_bind_role(role, table_query(role, rel, columns, &noted), false);

	ec_source_forget(role, EC_BY_TABLE);
	if (noted > 0 && (rel->rd_rel->relkind == RELKIND_RELATION ||
					  rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE))
		ec_source_register(role->whole ? ec_role_get(role->whole) : role, relid,
						   NameStr(TupleDescAttr(RelationGetDescr(rel), noted - 1)->attname),
						   NULL, EC_BY_TABLE, role);
	relation_close(rel, NoLock);
	PG_RETURN_INT64(rows);
}

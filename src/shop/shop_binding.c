/*-------------------------------------------------------------------------
 *
 * shop_binding.c
 *		The query a role is bound to: load it, run it, note how it fares.
 *
 * Bindings live in ecauto_data.role_binding.  A query is kept as text and
 * leaves no dependency in the catalogs, so the shop's own migrations never
 * fail because of it; the price is that it can break, which is then noted
 * beside it (broken_at, ...) until it is bound again.
 *
 * To run it we wrap it:
 *
 *		SELECT q."key"::text COLLATE "C", ... FROM (<query>) q
 *		WHERE q."key" = ANY ($1::text[]::<native type>[])
 *
 * The keys are compared in the type the shop keeps them in, which lets the
 * planner push the condition down into an index of the shop's.  Casting the
 * column instead would scan the table.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/tstoreReceiver.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "tcop/dest.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "shop/shop.h"

/*
 * Up to this many keys, the plan is kept and does not know their number;
 * planning takes longer than reading then.  Above, planning is cheap beside
 * the reading, and the planner had better know what comes.
 */
#define FEW_KEYS 100

/*
 * Run a statement on the state as its owner.  The caller is connected to SPI
 * and finds the rows in SPI_tuptable.
 */
void
ec_shop_state_run(const char *sql, int nargs, const Oid *types, const Datum *values,
				  const char *nulls)
{
	EcAs		as;
	int			rc;

	ec_as_state_owner(&as);
	rc = SPI_execute_plan(ec_plan(sql, nargs, types), unconstify(Datum *, values), nulls, false, 0);
	if (rc < 0)
		elog(ERROR, "SPI_execute_plan returned %s for \"%s\"", SPI_result_code_string(rc), sql);
	ec_as_end(&as);
}

static char *
state_text(int row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

static bool
state_bool(int row, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);

	return !isnull && DatumGetBool(value);
}

/*
 * Look up the role that a piece of SQL runs as.  what names it for the error.
 *
 * SQL and definer are rows in tables of the state's owner, who can write there
 * what he likes, and the worker is a superuser.  So he must be able to become
 * the definer by himself: nobody gets rights here that he does not have.
 */
Oid
ec_shop_definer(const char *name, const char *what)
{
	Oid			definer = get_role_oid(name, true);
	Oid			owner = ec_state_owner();

	if (!OidIsValid(definer))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" does not exist", name),
				 errdetail("The %s was bound by it and runs with its rights.", what),
				 errhint("Bind it again as a role that may read the shop's tables.")));
	if (!ec_may_become(owner, definer))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to run the %s as role \"%s\"", what, name),
				 errdetail("Role \"%s\", the owner of schema \"%s\", could not SET ROLE to it.",
						   GetUserNameFromId(owner, false), EC_STATE_SCHEMA),
				 errhint("Run SET ROLE %s, then bind it again.",
						 quote_identifier(GetUserNameFromId(owner, false)))));
	return definer;
}

/*
 * Act as the definer of a role's query until ec_as_end().
 */
void
ec_binding_as(EcAs *as, const EcBinding *binding)
{
	ec_as_definer(as, ec_shop_definer(binding->definer,
									  psprintf("query of role \"%s\"", binding->role->name)),
				  binding->search_path);
}

EcBinding *
ec_binding_get(const char *role)
{
	static const Oid types[] = {TEXTOID};
	MemoryContext caller = CurrentMemoryContext;
	EcBinding  *binding = NULL;
	Datum		value = CStringGetTextDatum(role);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_shop_state_run("SELECT b.query, b.definer, b.search_path, b.broken_at IS NOT NULL, b.resync,"
					  " b.columns, b.types"
					  " FROM ecauto_data.role_binding b WHERE b.role = $1",
					  1, types, &value, NULL);
	if (SPI_processed == 1)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);
		HeapTuple	tuple = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		Datum	   *names;
		Datum	   *natives;
		int			n;
		int			nnatives;
		bool		isnull;

		binding = palloc0(sizeof(EcBinding));
		binding->role = ec_role_get(role);
		binding->query = state_text(0, 1);
		binding->definer = state_text(0, 2);
		binding->search_path = state_text(0, 3);
		binding->broken = state_bool(0, 4);
		binding->resync = state_bool(0, 5);
		binding->types = palloc0(sizeof(char *) * binding->role->ncolumns);

		deconstruct_array(DatumGetArrayTypeP(SPI_getbinval(tuple, desc, 6, &isnull)),
						  TEXTOID, -1, false, TYPALIGN_INT, &names, NULL, &n);
		deconstruct_array(DatumGetArrayTypeP(SPI_getbinval(tuple, desc, 7, &isnull)),
						  TEXTOID, -1, false, TYPALIGN_INT, &natives, NULL, &nnatives);
		for (int i = 0; i < Min(n, nnatives); i++)
		{
			const EcColumn *column = ec_role_column(binding->role, TextDatumGetCString(names[i]));

			if (column != NULL)
				binding->types[column - binding->role->columns] = TextDatumGetCString(natives[i]);
		}
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	return binding;
}

/*
 * Append the expression for a canonical column, over the query as "q".
 */
static void
column_append(StringInfo sql, const EcColumn *column, bool present, bool raw)
{
	const char *name = quote_identifier(column->name);
	const char *type = format_type_extended(column->type, -1, FORMAT_TYPE_FORCE_QUALIFY);
	const char *collate = column->is_key ? " COLLATE \"C\"" : "";

	if (column->type == TEXTOID)
		type = "pg_catalog.text";
	if (!present)
	{
		appendStringInfo(sql, "(%s)::%s%s", column->deflt ? column->deflt : "NULL", type, collate);
		return;
	}
	if (column->form != NULL && !raw)
		appendStringInfo(sql, "%s(", column->form);
	if (column->deflt != NULL)
		appendStringInfo(sql, "COALESCE(q.%s::%s, (%s)::%s)", name, type, column->deflt, type);
	else
		appendStringInfo(sql, "q.%s::%s", name, type);
	if (column->form != NULL && !raw)
		appendStringInfoChar(sql, ')');
	appendStringInfoString(sql, collate);
}

/*
 * The statement that returns canonical columns of the role (NULL: all), with
 * keys compared with column by, or without a condition if by is NULL.  raw:
 * values are not brought to the form of their column.
 */
static char *
binding_statement(const EcBinding *binding, const char *const *columns, int ncolumns, bool raw,
				  const char *by)
{
	const EcRole *role = binding->role;
	StringInfoData sql;

	if (columns == NULL)
		ncolumns = role->ncolumns;
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (int i = 0; i < ncolumns; i++)
	{
		const EcColumn *column = columns == NULL ? &role->columns[i] : ec_role_column(role, columns[i]);

		if (column == NULL)
			elog(ERROR, "role \"%s\" has no column \"%s\"", role->name, columns[i]);
		if (i > 0)
			appendStringInfoString(&sql, ", ");
		column_append(&sql, column, binding->types[column - role->columns] != NULL, raw);
	}
	/* the line feed ends a comment that the query may end in */
	appendStringInfo(&sql, " FROM (%s\n) q", binding->query);
	if (by != NULL)
	{
		const EcColumn *column = ec_role_column(role, by);
		const char *native;

		if (column == NULL)
			elog(ERROR, "role \"%s\" has no column \"%s\"", role->name, by);
		native = binding->types[column - role->columns];
		if (native == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("the query of role \"%s\" returns no column \"%s\"", role->name, by)));
		appendStringInfo(&sql, " WHERE q.%s = ANY ($1::pg_catalog.text[]::%s[])",
						 quote_identifier(by), native);
	}
	return sql.data;
}

char *
ec_binding_statement(const EcBinding *binding)
{
	return binding_statement(binding, NULL, 0, false, NULL);
}

char *
ec_binding_statement_of(const EcBinding *binding, const char *const *columns, int ncolumns)
{
	return binding_statement(binding, columns, ncolumns, false, "key");
}

/*
 * What rows of a role look like; in the current context.
 */
TupleDesc
ec_role_tupdesc(const EcRole *role)
{
	TupleDesc	desc = CreateTemplateTupleDesc(role->ncolumns);

	for (int i = 0; i < role->ncolumns; i++)
	{
		TupleDescInitEntry(desc, i + 1, role->columns[i].name, role->columns[i].type, -1, 0);
		if (role->columns[i].is_key)
			TupleDescInitEntryCollation(desc, i + 1, C_COLLATION_OID);
	}
	return desc;
}

Tuplestorestate *
ec_binding_fetch(const EcBinding *binding, const char *by, ArrayType *keys, int64 limit,
				 TupleDesc *desc, int64 *nrows)
{
	static const Oid types[] = {TEXTARRAYOID};
	ResourceOwner owner = CurrentResourceOwner;
	SPIExecuteOptions options = {0};
	Tuplestorestate *store;
	char	   *statement = binding_statement(binding, NULL, 0, false, keys != NULL ? by : NULL);
	int			nkeys = 0;

	*desc = ec_role_tupdesc(binding->role);
	if (keys != NULL)
		nkeys = ArrayGetNItems(ARR_NDIM(keys), ARR_DIMS(keys));

	/* callers read the rows after the subtransaction that guards this */
	CurrentResourceOwner = TopTransactionResourceOwner;
	store = tuplestore_begin_heap(true, false, work_mem);
	CurrentResourceOwner = owner;

	PG_TRY();
	{
		EcAs		as;
		int			rc;

		options.read_only = true;
		options.tcount = limit;
		options.dest = CreateDestReceiver(DestTuplestore);
		SetTuplestoreDestReceiverParams(options.dest, store, CurrentMemoryContext, true, NULL, NULL);

		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		if (keys != NULL)
		{
			ParamExternData *param;

			options.params = makeParamList(1);
			param = &options.params->params[0];
			param->value = PointerGetDatum(keys);
			param->isnull = false;
			param->pflags = PARAM_FLAG_CONST;
			param->ptype = TEXTARRAYOID;
		}

		/* read-only SPI runs on the active snapshot, which may be old */
		CommandCounterIncrement();
		PushActiveSnapshot(GetTransactionSnapshot());
		ec_binding_as(&as, binding);
		if (keys != NULL && nkeys <= FEW_KEYS)
			rc = SPI_execute_plan_extended(ec_plan(statement, 1, types), &options);
		else
			rc = SPI_execute_extended(statement, &options);
		if (rc != SPI_OK_SELECT)
			elog(ERROR, "SPI returned %s for the query of role \"%s\"",
				 SPI_result_code_string(rc), binding->role->name);
		*nrows = SPI_processed;
		ec_as_end(&as);
		PopActiveSnapshot();
		SPI_finish();
	}
	PG_CATCH();
	{
		tuplestore_end(store);
		PG_RE_THROW();
	}
	PG_END_TRY();

	pfree(statement);
	return store;
}

/* ---- rows that are not kept ---- */

/* Hands each row on. */
typedef struct TakeReceiver
{
	DestReceiver pub;			/* must be first */
	EcRowTake	take;
	void	   *arg;
} TakeReceiver;

static bool
take_receive(TupleTableSlot *slot, DestReceiver *self)
{
	TakeReceiver *receiver = (TakeReceiver *) self;

	receiver->take(slot, receiver->arg);
	return true;
}

static void
take_startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
take_end(DestReceiver *self)
{
}

int64
ec_binding_scan(const EcBinding *binding, const char *const *columns, int ncolumns, bool raw,
				ArrayType *keys, EcRowTake take, void *arg)
{
	/* any kind but DestNone, for which SPI would not count the rows */
	TakeReceiver receiver = {{take_receive, take_startup, take_end, take_end, DestSQLFunction}, take, arg};
	SPIExecuteOptions options = {0};
	char	   *statement = binding_statement(binding, columns, ncolumns, raw, keys != NULL ? "key" : NULL);
	int64		rows;
	int			rc;
	EcAs		as;

	options.read_only = true;
	options.dest = &receiver.pub;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (keys != NULL)
	{
		options.params = makeParamList(1);
		options.params->params[0].value = PointerGetDatum(keys);
		options.params->params[0].isnull = false;
		options.params->params[0].pflags = PARAM_FLAG_CONST;
		options.params->params[0].ptype = TEXTARRAYOID;
	}

	/* read-only SPI runs on the active snapshot, which may be old */
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	ec_binding_as(&as, binding);
	rc = SPI_execute_extended(statement, &options);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "SPI returned %s for the query of role \"%s\"",
			 SPI_result_code_string(rc), binding->role->name);
	rows = SPI_processed;
	ec_as_end(&as);
	PopActiveSnapshot();
	SPI_finish();
	pfree(statement);
	return rows;
}

void
ec_binding_set_broken(const char *role, const ErrorData *error)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[3];

	values[0] = CStringGetTextDatum(role);
	values[1] = CStringGetTextDatum(unpack_sql_state(error->sqlerrcode));
	values[2] = CStringGetTextDatum(error->message);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_shop_state_run("UPDATE ecauto_data.role_binding SET"
					  " broken_at = COALESCE(broken_at, pg_catalog.clock_timestamp()),"
					  " broken_code = $2, broken_message = $3 WHERE role = $1",
					  3, types, values, NULL);
	SPI_finish();
}

void
ec_binding_set_healed(const char *role)
{
	static const Oid types[] = {TEXTOID};
	Datum		value = CStringGetTextDatum(role);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_shop_state_run("UPDATE ecauto_data.role_binding SET"
					  " broken_at = NULL, broken_code = NULL, broken_message = NULL"
					  " WHERE role = $1 AND broken_at IS NOT NULL",
					  1, types, &value, NULL);
	SPI_finish();
}

void
ec_binding_set_resync(const char *role, bool resync)
{
	static const Oid types[] = {TEXTOID, BOOLOID};
	Datum		values[2];
	char		nulls[] = "  ";

	if (role == NULL)
	{
		nulls[0] = 'n';
		values[0] = (Datum) 0;
	}
	else
		values[0] = CStringGetTextDatum(role);
	values[1] = BoolGetDatum(resync);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_shop_state_run("UPDATE ecauto_data.role_binding SET resync = $2"
					  " WHERE (role = $1 OR $1 IS NULL) AND resync <> $2",
					  2, types, values, nulls);
	SPI_finish();
}

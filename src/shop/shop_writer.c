/*-------------------------------------------------------------------------
 *
 * shop_writer.c
 *		Writers: the few statements by which ecauto changes the shop's tables.
 *
 * Each action has declared parameters.  A statement for it is proved when it
 * is bound: run on a real row in a subtransaction, read back through the
 * role's query, and rolled back.  So a statement that touches the wrong
 * table, or writes cents where the shop keeps whole units, is found at once
 * and not by a customer.
 *
 * Writers run as whoever bound them, with the search_path of then, since the
 * shop's own triggers run along.  State of orders and payments is never
 * written: shops run state machines in the application.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"

#include "shop/shop.h"

PG_FUNCTION_INFO_V1(ecauto_bind_write);

/* rows of a role that are looked through for one to prove a writer on */
#define PROOF_ROWS 200

static const EcAction actions[] = {
	{"set_price", 3, {"key", "amount", "currency"}, {TEXTOID, NUMERICOID, TEXTOID}, "price", "amount"},
	{"set_price_index", 3, {"key", "amount", "currency"}, {TEXTOID, NUMERICOID, TEXTOID}},
	{"receive_stock", 3, {"key", "qty", "location"}, {TEXTOID, NUMERICOID, TEXTOID}, "stock", "on_hand"},
	/* what is switched off may be kept with the sku or with the product */
	{"set_active", 2, {"key", "active"}, {TEXTOID, BOOLOID}, "sku", "active", "product"},
};

static const EcAction *
action_get(const char *name)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < lengthof(actions); i++)
	{
		if (strcmp(actions[i].name, name) == 0)
			return &actions[i];
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", actions[i].name);
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("action \"%s\" does not exist in a shop", name),
			 errhint("The actions are %s.", list.data)));
}

/* ---- rows of a role ---- */

/* Values of one row, by canonical column. */
typedef struct RoleRow
{
	Datum	   *values;
	bool	   *nulls;
} RoleRow;

static int
column_place(const EcRole *role, const char *name)
{
	return ec_role_column(role, name) - role->columns;
}

static bool
row_is_null(const EcRole *role, const RoleRow *row, const char *column)
{
	return row->nulls[column_place(role, column)];
}

static Datum
row_value(const EcRole *role, const RoleRow *row, const char *column)
{
	return row->values[column_place(role, column)];
}

static char *
row_text(const EcRole *role, const RoleRow *row, const char *column)
{
	return row_is_null(role, row, column) ? NULL : TextDatumGetCString(row_value(role, row, column));
}

/*
 * Rows of a role: those with a key, or some if key is NULL.  *n of them, in
 * the current context.
 */
static RoleRow *
rows_read(const EcBinding *binding, const char *key, int *n)
{
	const EcRole *role = binding->role;
	ArrayType  *keys = NULL;
	Tuplestorestate *store;
	TupleTableSlot *slot;
	TupleDesc	desc;
	RoleRow    *rows;
	int64		nrows;
	int			i = 0;

	if (key != NULL)
	{
		Datum		value = CStringGetTextDatum(key);

		keys = construct_array(&value, 1, TEXTOID, -1, false, TYPALIGN_INT);
	}
	store = ec_binding_fetch(binding, "key", keys, key ? 0 : PROOF_ROWS, &desc, &nrows);
	rows = palloc0(sizeof(RoleRow) * Max(nrows, 1));
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(store, true, true, slot))
	{
		rows[i].values = palloc(sizeof(Datum) * role->ncolumns);
		rows[i].nulls = palloc(sizeof(bool) * role->ncolumns);
		slot_getallattrs(slot);
		for (int c = 0; c < role->ncolumns; c++)
		{
			rows[i].nulls[c] = slot->tts_isnull[c];
			rows[i].values[c] = slot->tts_isnull[c] ? (Datum) 0
				: datumCopy(slot->tts_values[c], TupleDescAttr(desc, c)->attbyval,
							TupleDescAttr(desc, c)->attlen);
		}
		i++;
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(store);
	*n = i;
	return rows;
}

/* ---- running a writer ---- */

/*
 * Run a writer's statement as its definer; returns the number of rows it
 * touched.  values and nulls are those of the action's parameters, in the
 * manner of SPI.
 */
static int64
writer_run(const EcWriter *writer, Datum *values, const char *nulls)
{
	int64		rows;
	int			rc;
	EcAs		as;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_definer(&as, ec_shop_definer(writer->definer,
									   psprintf("writer \"%s\"", writer->action->name)),
				  writer->search_path);
	rc = SPI_execute_plan(ec_plan(writer->statement, writer->action->nparams, writer->action->types),
						  values, nulls, false, 0);
	if (rc < 0)
		elog(ERROR, "SPI_execute_plan returned %s for writer \"%s\"",
			 SPI_result_code_string(rc), writer->action->name);
	rows = SPI_processed;
	ec_as_end(&as);
	SPI_finish();
	return rows;
}

/*
 * The writer bound to an action, allocated in the current context; NULL if
 * there is none.
 */
EcWriter *
ec_writer_get(const char *action)
{
	static const Oid types[] = {TEXTOID};
	MemoryContext caller = CurrentMemoryContext;
	Datum		value = CStringGetTextDatum(action);
	EcWriter   *writer = NULL;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_shop_state_run("SELECT w.statement, w.definer, w.search_path FROM ecauto_data.writer w"
					  " WHERE w.action = $1", 1, types, &value, NULL);
	if (SPI_processed == 1)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);
		HeapTuple	tuple = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		writer = palloc0(sizeof(EcWriter));
		writer->action = action_get(action);
		writer->statement = SPI_getvalue(tuple, desc, 1);
		writer->definer = SPI_getvalue(tuple, desc, 2);
		writer->search_path = SPI_getvalue(tuple, desc, 3);
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	return writer;
}

/* ---- the proof ---- */

typedef enum ProofOutcome
{
	PROOF_GOOD,
	PROOF_NO_ROW,				/* nothing to try it on */
	PROOF_UNTOUCHED,			/* the statement touched no row */
	PROOF_DIFFERS				/* another value was read back */
} ProofOutcome;

typedef struct Proof
{
	ProofOutcome outcome;
	const EcWriter *writer;
	const EcWriter *before;		/* writer to run first, or NULL */
	const EcBinding *binding;	/* role to read back through */
	const char *column;
	Datum		values[EC_ACTION_PARAMS];
	char	   *key;
	const char *wanted;			/* value that must be read back, as text */
	const char *old;			/* and the one that was there */
	MemoryContext context;		/* of found */
	char	   *found;			/* NULL: the row was not there */
	int64		touched;
} Proof;

static const char *
value_text(Oid type, Datum value)
{
	Oid			output;
	bool		varlena;

	if (type == BOOLOID)
		return DatumGetBool(value) ? "true" : "false";
	if (type == NUMERICOID)
		value = DirectFunctionCall1(numeric_trim_scale, value);
	getTypeOutputInfo(type, &output, &varlena);
	return OidOutputFunctionCall(output, value);
}

/* Is this the row that a writer of base prices or of a location changes? */
static bool
row_matches(const Proof *proof, const RoleRow *row)
{
	const EcRole *role = proof->binding->role;

	if (strcmp(role->name, "price") == 0)
		return row_is_null(role, row, "list_key") && row_is_null(role, row, "valid_from") &&
			row_is_null(role, row, "valid_until") &&
			strcmp(row_text(role, row, "currency"), TextDatumGetCString(proof->values[2])) == 0;
	if (strcmp(role->name, "stock") == 0)
		return strcmp(row_text(role, row, "location_key"), TextDatumGetCString(proof->values[2])) == 0;
	return true;
}

/*
 * Choose a row and what to write to it: one more than is there, or the
 * opposite.  Returns false if the role has no row to try it on.
 */
static bool
proof_prepare(Proof *proof)
{
	const EcRole *role = proof->binding->role;
	Oid			type = ec_role_column(role, proof->column)->type;
	RoleRow    *rows;
	int			n;

	rows = rows_read(proof->binding, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		RoleRow    *row = &rows[i];
		Datum		old = row_value(role, row, proof->column);
		Datum		one = NumericGetDatum(int64_to_numeric(1));
		Datum		new;

		if (row_is_null(role, row, proof->column))
			continue;
		proof->key = row_text(role, row, "key");
		proof->values[0] = CStringGetTextDatum(proof->key);
		if (type == NUMERICOID)
		{
			bool		is_price = strcmp(role->name, "price") == 0;

			if (row_is_null(role, row, is_price ? "currency" : "location_key"))
				continue;
			new = DirectFunctionCall2(numeric_add, old, one);
			proof->values[1] = is_price ? new : one;
			proof->values[2] = row_value(role, row, is_price ? "currency" : "location_key");
		}
		else
		{
			new = BoolGetDatum(!DatumGetBool(old));
			proof->values[1] = new;
		}
		if (!row_matches(proof, row))
			continue;
		proof->old = value_text(type, old);
		proof->wanted = value_text(type, new);
		return true;
	}
	return false;
}

/* Write, and read back; EcTryRun, to be rolled back. */
static void
proof_run(void *arg)
{
	Proof	   *proof = arg;
	const EcRole *role = proof->binding->role;
	RoleRow    *rows;
	int			n;

	if (proof->before != NULL)
		(void) writer_run(proof->before, proof->values, NULL);
	proof->touched = writer_run(proof->writer, proof->values, NULL);

	rows = rows_read(proof->binding, proof->key, &n);
	for (int i = 0; i < n; i++)
	{
		int			place = column_place(role, proof->column);

		if (rows[i].nulls[place] || !row_matches(proof, &rows[i]))
			continue;
		proof->found = MemoryContextStrdup(proof->context,
										   value_text(role->columns[place].type, rows[i].values[place]));
		break;
	}
}

static bool
values_equal(const Proof *proof)
{
	const EcColumn *column = ec_role_column(proof->binding->role, proof->column);
	Oid			input = column->type == NUMERICOID ? F_NUMERIC_IN : F_BOOLIN;
	Datum		a = OidInputFunctionCall(input, unconstify(char *, proof->wanted), InvalidOid, -1);
	Datum		b = OidInputFunctionCall(input, proof->found, InvalidOid, -1);

	if (column->type == NUMERICOID)
		return DatumGetBool(DirectFunctionCall2(numeric_eq, a, b));
	return DatumGetBool(a) == DatumGetBool(b);
}

/*
 * Try a writer through a role.  Errors: those of the statement.
 */
static void
proof_try(Proof *proof, const EcWriter *writer, const char *role, const char *column)
{
	ErrorData  *error;

	memset(proof, 0, sizeof(Proof));
	proof->writer = writer;
	proof->binding = ec_binding_get(role);
	proof->column = column;
	proof->context = CurrentMemoryContext;
	if (proof->binding == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("role \"%s\" is not bound", role),
				 errdetail("Writer \"%s\" is proved by reading back through it.", writer->action->name),
				 errhint("Bind it first, with ecauto.bind_role() or ecauto.bind_table().")));
	if (writer->action->role == NULL)
		proof->before = ec_writer_get("set_price");
	if (!proof_prepare(proof))
	{
		proof->outcome = PROOF_NO_ROW;
		return;
	}
	error = ec_try(proof_run, proof, true);
	if (error != NULL)
		ReThrowError(error);
	if (proof->touched == 0)
		proof->outcome = PROOF_UNTOUCHED;
	else if (proof->found == NULL || !values_equal(proof))
		proof->outcome = PROOF_DIFFERS;
	else
		proof->outcome = PROOF_GOOD;
}

static void
proof_refuse(const Proof *proof)
{
	const char *name = proof->writer->action->name;
	const char *role = proof->binding->role->name;

	if (proof->outcome == PROOF_UNTOUCHED)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("writer \"%s\" touches no row", name),
				 errdetail("It was tried on key \"%s\" of role \"%s\".", proof->key, role)));
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("writer \"%s\" does not write what role \"%s\" reads", name, role),
			 proof->found == NULL
			 ? errdetail("Key \"%s\": \"%s\" should have become %s, but the row is gone.",
						 proof->key, proof->column, proof->wanted)
			 : errdetail("Key \"%s\": \"%s\" should have become %s, but is %s.",
						 proof->key, proof->column, proof->wanted, proof->found),
			 errhint("Compare the units and the rows of the statement with those of the role's query.")));
}

/*
 * Prove a writer.  Returns what was seen, for people; NULL if there is no row to
 * try it on.  Errors: those of the statement; no_data_found if it touches
 * nothing; triggered_data_change_violation if another value is read back than
 * was written.
 */
static char *
writer_prove(const EcWriter *writer)
{
	const EcAction *action = writer->action;
	Proof		proof;

	if (action->role == NULL)
	{
		/* it keeps a copy that no role reads, and there may be none of this key */
		proof_try(&proof, writer, "price", "amount");
		return proof.outcome == PROOF_NO_ROW ? NULL
			: psprintf("key %s: touched %lld rows", proof.key, (long long) proof.touched);
	}

	proof_try(&proof, writer, action->role, action->column);
	if (action->role_too != NULL &&
		(proof.outcome == PROOF_UNTOUCHED || proof.outcome == PROOF_DIFFERS))
	{
		Proof		second;

		proof_try(&second, writer, action->role_too, action->column);
		if (second.outcome == PROOF_GOOD)
			proof = second;
	}
	if (proof.outcome == PROOF_NO_ROW)
		return NULL;
	if (proof.outcome != PROOF_GOOD)
		proof_refuse(&proof);
	return psprintf("key %s: %s of %s %s became %s", proof.key, proof.column,
					proof.binding->role->name, proof.old, proof.wanted);
}

/* ---- binding ---- */

static Node *
parameter_declared(ParseState *pstate, ParamRef *ref)
{
	const EcAction *action = pstate->p_ref_hook_state;
	Param	   *param;

	if (ref->number <= 0 || ref->number > action->nparams)
	{
		StringInfoData list;

		initStringInfo(&list);
		for (int i = 0; i < action->nparams; i++)
			appendStringInfo(&list, "%s$%d %s %s", i > 0 ? ", " : "", i + 1, action->params[i],
							 format_type_be(action->types[i]));
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_PARAMETER),
				 errmsg("there is no parameter $%d", ref->number),
				 errhint("Action \"%s\" has %s.", action->name, list.data),
				 parser_errposition(pstate, ref->location)));
	}
	param = makeNode(Param);
	param->paramkind = PARAM_EXTERN;
	param->paramid = ref->number;
	param->paramtype = action->types[ref->number - 1];
	param->paramtypmod = -1;
	param->paramcollid = get_typcollation(param->paramtype);
	param->location = ref->location;
	return (Node *) param;
}

static void
parameter_setup(ParseState *pstate, void *arg)
{
	pstate->p_paramref_hook = parameter_declared;
	pstate->p_ref_hook_state = arg;
}

static void
writer_store(const EcWriter *writer, const char *note, bool from_preset)
{
	static const Oid types[] = {TEXTOID, TEXTOID, NAMEOID, TEXTOID, BOOLOID, TEXTOID};
	Datum		values[lengthof(types)];
	char		nulls[] = "      ";
	NameData	definer;

	namestrcpy(&definer, writer->definer);
	values[0] = CStringGetTextDatum(writer->action->name);
	values[1] = CStringGetTextDatum(writer->statement);
	values[2] = NameGetDatum(&definer);
	values[3] = CStringGetTextDatum(writer->search_path);
	values[4] = BoolGetDatum(from_preset);
	nulls[5] = note ? ' ' : 'n';
	values[5] = note ? CStringGetTextDatum(note) : (Datum) 0;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_shop_state_run("INSERT INTO ecauto_data.writer"
					  " (action, statement, definer, search_path, from_preset, note, proved_at)"
					  " VALUES ($1, $2, $3, $4, $5, $6,"
					  " CASE WHEN $6 IS NOT NULL THEN pg_catalog.clock_timestamp() END)"
					  " ON CONFLICT (action) DO UPDATE SET (statement, definer, search_path,"
					  " from_preset, note, proved_at, bound_at) = ROW (EXCLUDED.statement, EXCLUDED.definer,"
					  " EXCLUDED.search_path, EXCLUDED.from_preset, EXCLUDED.note, EXCLUDED.proved_at,"
					  " pg_catalog.clock_timestamp())",
					  lengthof(types), types, values, nulls);
	SPI_finish();
}

/*
 * Check, prove and keep a statement for an action, as the current user with
 * the current search_path.  The caller has called ec_shop_require().
 * Returns what the proof saw, or NULL if there was no row to prove it on.
 */
char *
ec_bind_write(const char *action, const char *statement, bool from_preset)
{
	EcWriter	writer = {0};
	char	   *what = psprintf("writer \"%s\"", action);
	char	   *note;

	writer.action = action_get(action);
	writer.definer = GetUserNameFromId(GetUserId(), false);
	writer.search_path = ec_shop_search_path();
	writer.statement = ec_statement_check(what, statement, parameter_setup,
										  unconstify(EcAction *, writer.action));
	note = writer_prove(&writer);
	writer_store(&writer, note, from_preset);
	return note;
}

/*
 * ecauto.bind_write(action text, statement text) returns boolean
 */
Datum
ecauto_bind_write(PG_FUNCTION_ARGS)
{
	char	   *action = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *note;

	(void) action_get(action);
	ec_shop_require("bind a writer");
	note = ec_bind_write(action, text_to_cstring(PG_GETARG_TEXT_PP(1)), false);
	if (note == NULL)
		ereport(NOTICE,
				(errmsg("writer \"%s\" could not be proved", action),
				 errdetail("The role it writes to has no row to try it on."),
				 errhint("Bind it again when the shop has some.")));
	PG_RETURN_BOOL(note != NULL);
}

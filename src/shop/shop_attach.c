/*-------------------------------------------------------------------------
 *
 * shop_attach.c
 *		Bringing a shop's bindings together: from a preset, or what was bound
 *		by hand; and looking at how they fare.
 *
 * The other half of attach_shop(), detach_shop() and check_shop() is in
 * sql/shop/attach.sql: triggers are DDL, and the history belongs to a domain
 * above this one.
 *
 * What somebody bound by hand wins over a preset: that is how a shop that
 * differs a little, or was migrated, is described.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"

#include "shop/shop.h"

PG_FUNCTION_INFO_V1(ecauto_bind_preset);
PG_FUNCTION_INFO_V1(ecauto_read_roles);
PG_FUNCTION_INFO_V1(ecauto_require_shop);
PG_FUNCTION_INFO_V1(ecauto_load_history);

/* ---- the report ---- */

static void
report_put(ReturnSetInfo *result, const char *item, int64 rows, const char *state, const char *detail)
{
	Datum		values[4];
	bool		nulls[4] = {false};

	values[0] = CStringGetTextDatum(item);
	nulls[1] = rows < 0;
	values[1] = Int64GetDatum(rows);
	values[2] = CStringGetTextDatum(state);
	nulls[3] = detail == NULL;
	values[3] = detail ? CStringGetTextDatum(detail) : (Datum) 0;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* ---- a role, live ---- */

typedef struct RoleReading
{
	const EcBinding *binding;
	int64		rows;
} RoleReading;

/*
 * Count the rows of a role; EcTryRun.  A role that is marked broken is read
 * whole, since what broke it may lie in a value; for others the count tells
 * whether the query still fits the tables, without computing every column.
 */
static void
reading_run(void *arg)
{
	RoleReading *reading = arg;
	const EcBinding *binding = reading->binding;
	bool		isnull;
	EcAs		as;

	if (binding->broken)
	{
		TupleDesc	desc;

		tuplestore_end(ec_binding_fetch(binding, NULL, NULL, 0, &desc, &reading->rows));
		return;
	}
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());
	ec_binding_as(&as, binding);
	if (SPI_execute(psprintf("SELECT pg_catalog.count(*) FROM (%s) r", ec_binding_statement(binding)),
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not count the rows of role \"%s\"", binding->role->name);
	reading->rows = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
												1, &isnull));
	ec_as_end(&as);
	PopActiveSnapshot();
	SPI_finish();
}

/*
 * ecauto.read_roles() returns table(role text, needed boolean, bound boolean,
 *		rows bigint, code text, message text, feature text)
 *
 * Each role, read as it is bound; code and message tell the error if that
 * fails.
 */
Datum
ecauto_read_roles(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	ec_state_require();
	ec_require_reader("check the shop");
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < ec_nroles; i++)
	{
		RoleReading reading = {ec_binding_get(ec_roles[i].name)};
		Datum		values[7];
		bool		nulls[7] = {false};
		ErrorData  *error = NULL;

		if (reading.binding != NULL)
			error = ec_try(reading_run, &reading, true);
		values[0] = CStringGetTextDatum(ec_roles[i].name);
		values[1] = BoolGetDatum(ec_roles[i].needed);
		values[2] = BoolGetDatum(reading.binding != NULL);
		nulls[3] = reading.binding == NULL || error != NULL;
		values[3] = Int64GetDatum(reading.rows);
		nulls[4] = nulls[5] = error == NULL;
		values[4] = error ? CStringGetTextDatum(unpack_sql_state(error->sqlerrcode)) : (Datum) 0;
		values[5] = error ? CStringGetTextDatum(error->message) : (Datum) 0;
		values[6] = CStringGetTextDatum(ec_roles[i].feature);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* ---- binding a preset ---- */

typedef struct PresetBinding
{
	const EcPreset *preset;
	const EcPresetRole *role;
	const char *schema;
	int64		rows;
} PresetBinding;

/* A table of the preset's schema; raises undefined_table. */
static Oid
preset_relation(const char *schema, const char *table)
{
	Oid			relid = get_relname_relid(table, get_namespace_oid(schema, false));

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s.%s\" does not exist", schema, table)));
	return relid;
}

static void
preset_sources_bind(const PresetBinding *bind)
{
	ListCell   *lc;

	foreach(lc, bind->preset->sources)
	{
		const EcPresetSource *source = lfirst(lc);

		if (source->role == bind->role->role)
			ec_source_register(source->role, preset_relation(bind->schema, source->table),
							   source->column,
							   source->resolve ? ec_preset_expand(bind->preset, source->resolve) : NULL,
							   EC_BY_PRESET, source->role);
	}
}

/* Bind a role of a preset and register its sources; EcTryRun. */
static void
preset_role_run(void *arg)
{
	PresetBinding *bind = arg;

	bind->rows = ec_bind_role(bind->role->role, ec_preset_expand(bind->preset, bind->role->query), true);
	preset_sources_bind(bind);
}

/* Register the sources of a role whose query was bound by hand; EcTryRun. */
static void
preset_sources_run(void *arg)
{
	preset_sources_bind(arg);
}

/*
 * Bind what the preset knows of one role and tell about it.  Errors: what a
 * needed role raises.
 */
static void
preset_role_bind(ReturnSetInfo *result, const EcPreset *preset, const EcPresetRole *role,
				 const char *schema)
{
	PresetBinding bind = {preset, role, schema, -1};
	const char *name = role->role->name;
	EcBinding  *by_hand = ec_binding_get(name);
	ErrorData  *error;

	if (by_hand != NULL)
	{
		RoleReading reading = {by_hand};
		ErrorData  *unread;

		error = ec_try(preset_sources_run, &bind, false);
		unread = ec_try(reading_run, &reading, true);
		if (unread != NULL && role->role->needed)
			ReThrowError(unread);
		report_put(result, name, unread ? -1 : reading.rows, unread ? "broken" : "bound by hand",
				   unread ? unread->message : error ? psprintf("not captured: %s", error->message) : NULL);
		return;
	}

	error = ec_try(preset_role_run, &bind, false);
	if (error == NULL)
		report_put(result, name, bind.rows, "bound", NULL);
	else if (role->role->needed)
		ereport(ERROR,
				(errcode(error->sqlerrcode),
				 errmsg("schema \"%s\" has no role \"%s\" as preset \"%s\" knows it", schema, name,
						preset->name),
				 errdetail("%s.%s%s", error->message, error->detail ? " " : "",
						   error->detail ? error->detail : ""),
				 errhint("ecauto.detect_shop() tells which preset fits; a role that differs can be bound before, with ecauto.bind_role().")));
	else
		report_put(result, name, -1, "missing",
				   psprintf("%s; switched off: %s", error->message, role->role->feature));
}

typedef struct WriterBinding
{
	const EcPreset *preset;
	const EcPresetWrite *write;
	char	   *note;
	MemoryContext context;
} WriterBinding;

/* EcTryRun */
static void
preset_write_run(void *arg)
{
	WriterBinding *bind = arg;
	char	   *note = ec_bind_write(bind->write->action,
									 ec_preset_expand(bind->preset, bind->write->statement), true);

	bind->note = note ? MemoryContextStrdup(bind->context, note) : NULL;
}

static void
preset_write_bind(ReturnSetInfo *result, const EcPreset *preset, const EcPresetWrite *write)
{
	WriterBinding bind = {preset, write, NULL, CurrentMemoryContext};
	ErrorData  *error;

	if (ec_writer_get(write->action) != NULL)
	{
		report_put(result, write->action, -1, "bound by hand", NULL);
		return;
	}
	error = ec_try(preset_write_run, &bind, false);
	if (error != NULL)
		report_put(result, write->action, -1, "missing", error->message);
	else if (bind.note != NULL)
		report_put(result, write->action, -1, "proved", bind.note);
	else
		report_put(result, write->action, -1, "not proved", "there is no row to try it on");
}

/* ---- what must hold for any shop ---- */

static void
roles_require(const char *preset)
{
	StringInfoData missing;

	initStringInfo(&missing);
	for (int i = 0; i < ec_nroles; i++)
		if (ec_roles[i].needed && ec_binding_get(ec_roles[i].name) == NULL)
			appendStringInfo(&missing, "%s%s", missing.len > 0 ? ", " : "", ec_roles[i].name);
	if (missing.len > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("roles that every shop needs are not bound: %s", missing.data),
				 errhint("Bind them with ecauto.bind_table() or ecauto.bind_role(), then attach again.")));
}

static int
double_compare(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return x < y ? -1 : x > y;
}

/* order lines that are compared with prices */
#define MONEY_SAMPLE 1000

/* a ratio of unit price to price beyond which units differ; no discount or inflation does that */
#define MONEY_RATIO 50.0

/*
 * Compare what was paid for skus with what they cost now.  One of them in
 * minor units and the other in major ones would make every amount wrong a
 * hundred times; the median cannot be fooled by a few odd prices.
 */
static void
money_check(void)
{
	EcBinding  *lines = ec_binding_get("order_line");
	EcBinding  *prices = ec_binding_get("price");
	Tuplestorestate *store;
	TupleTableSlot *slot;
	TupleDesc	desc;
	Datum		keys[MONEY_SAMPLE];
	double		unit_prices[MONEY_SAMPLE];
	double		ratios[MONEY_SAMPLE];
	char	   *names[MONEY_SAMPLE];
	int64		nrows;
	int			n = 0;
	int			nratios = 0;
	double		median;

	if (lines == NULL || prices == NULL)
		return;

#define PLACE(of, column) (ec_role_column(of->role, column) - of->role->columns)
	store = ec_binding_fetch(lines, NULL, NULL, MONEY_SAMPLE, &desc, &nrows);
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(store, true, false, slot) && n < MONEY_SAMPLE)
	{
		int			sku = PLACE(lines, "sku_key");
		int			amount = PLACE(lines, "unit_price");

		slot_getallattrs(slot);
		if (slot->tts_isnull[sku] || slot->tts_isnull[amount])
			continue;
		names[n] = TextDatumGetCString(slot->tts_values[sku]);
		keys[n] = CStringGetTextDatum(names[n]);
		unit_prices[n++] = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
															  slot->tts_values[amount]));
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(store);
	if (n == 0)
		return;

	store = ec_binding_fetch(prices, "key", construct_array(keys, n, TEXTOID, -1, false, TYPALIGN_INT),
							 0, &desc, &nrows);
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(store, true, false, slot))
	{
		int			amount = PLACE(prices, "amount");
		char	   *key;
		double		price;

		slot_getallattrs(slot);
		if (slot->tts_isnull[amount] || !slot->tts_isnull[PLACE(prices, "list_key")])
			continue;
		key = TextDatumGetCString(slot->tts_values[PLACE(prices, "key")]);
		price = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, slot->tts_values[amount]));
		for (int i = 0; i < n && price > 0; i++)
			if (unit_prices[i] > 0 && nratios < MONEY_SAMPLE && strcmp(names[i], key) == 0)
				ratios[nratios++] = unit_prices[i] / price;
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(store);
#undef PLACE
	if (nratios == 0)
		return;

	qsort(ratios, nratios, sizeof(double), double_compare);
	median = ratios[nratios / 2];
	if (median < MONEY_RATIO && median > 1 / MONEY_RATIO)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("prices and order lines are not in the same unit of money"),
			 errdetail("In the median of %d order lines, order_line.unit_price is %.4g times price.amount.",
					   nratios, median),
			 errhint("Amounts are in major units (euros, not cents): check the parameter money_scale of the preset, or the divisor in the queries of roles price and order_line.")));
}

/* ---- ecauto.bind_preset() ---- */

static void
state_run(const char *sql)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_shop_state_run(sql, 0, NULL, NULL, NULL);
	SPI_finish();
}

static void
preset_bind(ReturnSetInfo *result, const char *name, Jsonb *params, const char *schema)
{
	EcPreset   *preset = ec_preset_get(name);
	int			guc_level;
	ListCell   *lc;

	if (!OidIsValid(get_namespace_oid(schema, true)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("schema \"%s\" does not exist", schema),
				 errhint("The third argument is the schema that holds the shop's tables.")));

	/* what the preset said last time goes; what is left was bound by hand */
	state_run("DELETE FROM ecauto_data.role_binding WHERE from_preset");
	state_run("DELETE FROM ecauto_data.writer WHERE from_preset");
	/* sources that stay keep their tap, which the change log may hold already */
	state_run("UPDATE ecauto_data.source SET origin = 's' WHERE origin = 'p'");

	/* the shop's own schema, and public for what extensions put there */
	guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path",
							 strcmp(schema, "public") == 0 ? "public"
							 : psprintf("%s, public", quote_identifier(schema)),
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);

	ec_preset_set_params(preset, params);
	for (int i = 0; i < ec_nroles; i++)
	{
		const EcRole *role = &ec_roles[i];
		EcPresetRole *known = NULL;

		foreach(lc, preset->roles)
			if (((EcPresetRole *) lfirst(lc))->role == role)
				known = lfirst(lc);
		if (known != NULL)
			preset_role_bind(result, preset, known, schema);
		else if (ec_binding_get(role->name) != NULL)
			report_put(result, role->name, -1, "bound by hand", NULL);
		else
			report_put(result, role->name, -1, "missing", psprintf("switched off: %s", role->feature));
	}
	ec_source_forget(NULL, EC_STALE);
	roles_require(name);
	money_check();
	foreach(lc, preset->writes)
		preset_write_bind(result, preset, lfirst(lc));
	AtEOXact_GUC(false, guc_level);
}

/* Look at what was bound by hand. */
static void
custom_bind(ReturnSetInfo *result, Jsonb *params)
{
	if (!JB_ROOT_IS_OBJECT(params) || JB_ROOT_COUNT(params) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a shop bound by hand has no parameters")));
	roles_require("custom");
	for (int i = 0; i < ec_nroles; i++)
	{
		const EcRole *role = &ec_roles[i];
		RoleReading reading = {ec_binding_get(role->name)};
		ErrorData  *error;

		if (reading.binding == NULL)
		{
			report_put(result, role->name, -1, "missing", psprintf("switched off: %s", role->feature));
			continue;
		}
		error = ec_try(reading_run, &reading, true);
		if (error != NULL && role->needed)
			ReThrowError(error);
		report_put(result, role->name, error ? -1 : reading.rows, error ? "broken" : "bound by hand",
				   error ? error->message : NULL);
	}
	money_check();
}

/*
 * ecauto.bind_preset(preset text, params jsonb, schema text)
 *		returns table(item text, rows bigint, state text, detail text)
 */
Datum
ecauto_bind_preset(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *preset = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Jsonb	   *params = PG_GETARG_JSONB_P(1);

	ec_shop_require("attach a shop");
	InitMaterializedSRF(fcinfo, 0);
	if (strcmp(preset, "custom") == 0)
		custom_bind(result, params);
	else
		preset_bind(result, preset, params, text_to_cstring(PG_GETARG_TEXT_PP(2)));
	return (Datum) 0;
}

/*
 * ecauto.require_shop(what text) returns void
 */
Datum
ecauto_require_shop(PG_FUNCTION_ARGS)
{
	ec_state_require();
	ec_require_operator(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

/*
 * ecauto.load_history() returns bigint
 */
Datum
ecauto_load_history(PG_FUNCTION_ARGS)
{
	EcTick		tick = {0};

	ec_state_require();
	ec_require_operator("load the history of a shop");
	ec_binding_set_resync(NULL, true);
	tick.wait = true;
	tick.silent = true;
	(void) ec_tick_run(&tick);
	PG_RETURN_INT64(tick.keys);
}

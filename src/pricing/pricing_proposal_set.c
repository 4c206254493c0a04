/*-------------------------------------------------------------------------
 *
 * pricing_proposal_set.c
 *		Prices that somebody says, rather than rules: bulk edits, flows.
 *
 * They take the way of all changes: kept as a proposal, checked by the guards
 * (but for the margin, of which nothing is known here), written by the shop's
 * writer, to be undone.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "pricing/pricing.h"
#include "pricing/pricing_proposal.h"
#include "pricing/pricing_reprice.h"
#include "shop/shop.h"

PG_FUNCTION_INFO_V1(ecauto_set_prices);
PG_FUNCTION_INFO_V1(ecauto_set_sku_active);

/* dearest price, in micros */
#define AMOUNT_MAX	(INT64CONST(1000000000) * EC_MICROS)

typedef struct Setting
{
	EcKeyMap   *pairs;			/* of sku and currency; each once */
	Datum	   *prices;			/* by number of a pair */
	bool	   *found;			/* has the shop a price to change? */
	EcChanges	changes;
	const EcGuard *guard;
	Datum		moves_text;
	int64		moved;
	TimestampTz at;
} Setting;

/* EcRowTake: key, currency, amount, list_key, valid_from, valid_until */
static void
price_take(TupleTableSlot *slot, void *arg)
{
	Setting    *setting = arg;
	Datum		values[EC_CHANGE_COLUMNS];
	bool		nulls[EC_CHANGE_COLUMNS];
	EcAmount	old;
	int64		micros;
	int			pair;

	slot_getallattrs(slot);
	if (slot->tts_isnull[0] || slot->tts_isnull[1] || slot->tts_isnull[2] || !slot->tts_isnull[3] ||
		(!slot->tts_isnull[4] && DatumGetTimestampTz(slot->tts_values[4]) > setting->at) ||
		(!slot->tts_isnull[5] && DatumGetTimestampTz(slot->tts_values[5]) <= setting->at))
		return;
	pair = ec_pair_find(setting->pairs, slot->tts_values[0], slot->tts_values[1]);
	if (pair < 0 || setting->found[pair])
		return;
	setting->found[pair] = true;
	if (DatumGetBool(DirectFunctionCall2(numeric_eq, slot->tts_values[2], setting->prices[pair])))
		return;
	memset(nulls, true, sizeof(nulls));
	nulls[EC_CHANGE_SKU] = nulls[EC_CHANGE_CURRENCY] = nulls[EC_CHANGE_OLD] = nulls[EC_CHANGE_NEW] = false;
	values[EC_CHANGE_SKU] = slot->tts_values[0];
	values[EC_CHANGE_CURRENCY] = slot->tts_values[1];
	values[EC_CHANGE_OLD] = slot->tts_values[2];
	values[EC_CHANGE_NEW] = setting->prices[pair];
	if (setting->guard->moves && ec_amount_set(&old, slot->tts_values[2]) &&
		ec_micros_set(&micros, DatumGetNumeric(setting->prices[pair])) && ec_guard_moves(setting->guard, &old, micros))
	{
		setting->moved++;
		nulls[EC_CHANGE_VIOLATION] = false;
		values[EC_CHANGE_VIOLATION] = setting->moves_text;
	}
	ec_changes_put(&setting->changes, values, nulls);
}

static void
argument_refuse(const char *sku)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("price must be a finite number above zero with at most six digits after the point"),
			 errdetail("Sku \"%s\" is to have another.", sku)));
}

/* The arguments: three arrays of the same length, without NULL. */
static ArrayType *
arguments_read(FunctionCallInfo fcinfo, Setting *setting)
{
	static const Oid types[] = {TEXTOID, TEXTOID, NUMERICOID};
	Datum	   *values[3];
	bool	   *nulls[3];
	Datum	   *keys;
	int			n[3];

	for (int i = 0; i < 3; i++)
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(i), types[i], -1, false, TYPALIGN_INT, &values[i], &nulls[i], &n[i]);
	if (n[0] != n[1] || n[0] != n[2])
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("skus, currencies and prices must be as many"),
				 errdetail("There are %d, %d and %d.", n[0], n[1], n[2])));
	setting->pairs = ec_key_map_create(n[0]);
	setting->prices = palloc((n[0] + 1) * sizeof(Datum));
	setting->found = palloc0(n[0] + 1);
	keys = palloc((n[0] + 1) * sizeof(Datum));
	for (int i = 0; i < n[0]; i++)
	{
		int64		micros;
		int			pair;

		if (nulls[0][i] || nulls[1][i] || nulls[2][i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a sku, a currency or a price is NULL")));
		keys[i] = CStringGetTextDatum(ec_pricing_sku_key(TextDatumGetCString(values[0][i])));
		if (!ec_micros_set(&micros, DatumGetNumeric(values[2][i])) || micros <= 0 || micros > AMOUNT_MAX)
			argument_refuse(TextDatumGetCString(keys[i]));
		pair = ec_pair_put(setting->pairs, keys[i],
						   CStringGetTextDatum(ec_currency_or_own(TextDatumGetCString(values[1][i]))));
		if (pair < i)
			ereport(ERROR,
					(errcode(ERRCODE_CARDINALITY_VIOLATION),
					 errmsg("sku \"%s\" is to have two prices", TextDatumGetCString(keys[i]))));
		setting->prices[pair] = values[2][i];
	}
	return construct_array(keys, n[0], TEXTOID, -1, false, TYPALIGN_INT);
}

/* Base prices of the shop, as the last tick saw them. */
static int64
prices_count(void)
{
	int64		n;
	bool		isnull;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_pricing_run("SELECT pg_catalog.count(*) FROM ecauto_data.seen_price p WHERE p.list_key = ''",
				   0, NULL, NULL, NULL, SPI_OK_SELECT);
	n = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return n;
}

/*
 * ecauto.set_prices(skus text[], currencies text[], prices numeric[], note text)
 *		returns table(sku text, currency text, old_price numeric, new_price numeric, violation text)
 */
Datum
ecauto_set_prices(PG_FUNCTION_ARGS)
{
	static const char *const columns[] = {"key", "currency", "amount", "list_key", "valid_from", "valid_until"};
	static const EcChangeColumn returned[] = {
		EC_CHANGE_SKU, EC_CHANGE_CURRENCY, EC_CHANGE_OLD, EC_CHANGE_NEW, EC_CHANGE_VIOLATION
	};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Setting		setting = {0};
	EcGuard		guard;
	EcBinding  *binding;
	ArrayType  *keys;
	List	   *violations;
	TupleTableSlot *slot;
	const char *note = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3));

	ec_state_require();
	ec_require_operator("set prices");
	for (int i = 0; i < 3; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("skus, currencies and prices must not be NULL")));
	InitMaterializedSRF(fcinfo, 0);
	ec_price_lock();
	binding = ec_binding_get("price");
	if (binding == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("role \"price\" is not bound")));
	ec_guard_read(&guard);
	setting.guard = &guard;
	setting.at = ec_now();
	if (guard.moves)
		setting.moves_text = CStringGetTextDatum(psprintf("moves over %s%%", ec_micros_text(guard.max_move)));
	keys = arguments_read(fcinfo, &setting);
	ec_changes_begin(&setting.changes);
	(void) ec_binding_scan(binding, columns, lengthof(columns), false, keys, price_take, &setting);
	for (int i = 0; i < ec_key_map_count(setting.pairs); i++)
	{
		/* the key ends at the NUL */
		if (!setting.found[i])
			ereport(ERROR,
					(errcode(ERRCODE_NO_DATA_FOUND),
					 errmsg("sku \"%s\" has no base price in that currency",
							VARDATA(ec_key_map_key(setting.pairs, i)))));
	}
	setting.changes.priced = guard.moves ? prices_count() : ec_key_map_count(setting.pairs);
	violations = ec_guard_check(&guard, &setting.changes, setting.moved, 0);
	if (violations != NIL)
	{
		int64		proposal = ec_proposal_keep(&setting.changes, "held", note, violations);

		ereport(WARNING,
				(errmsg("nothing was changed: prices are held as proposal %lld", (long long) proposal),
				 errdetail("%s.", (char *) linitial(violations)),
				 errhint("Look at ecauto.price_proposal_rows(%lld), then ecauto.approve_proposal(%lld) or ecauto.reject_proposal(%lld).",
						 (long long) proposal, (long long) proposal, (long long) proposal)));
	}
	else if (setting.changes.n > 0)
	{
		(void) ec_proposal_keep(&setting.changes, "applied", note, NIL);
		ec_prices_write(&setting.changes);
	}

	slot = MakeSingleTupleTableSlot(setting.changes.desc, &TTSOpsMinimalTuple);
	tuplestore_rescan(setting.changes.store);
	while (tuplestore_gettupleslot(setting.changes.store, true, false, slot))
	{
		Datum		values[lengthof(returned)];
		bool		nulls[lengthof(returned)];

		slot_getallattrs(slot);
		for (int i = 0; i < lengthof(returned); i++)
		{
			values[i] = slot->tts_values[returned[i]];
			nulls[i] = slot->tts_isnull[returned[i]];
		}
		/* each of them, if not one by itself, is held */
		if (violations != NIL && nulls[lengthof(returned) - 1])
		{
			nulls[lengthof(returned) - 1] = false;
			values[lengthof(returned) - 1] = CStringGetTextDatum(linitial(violations));
		}
		else if (violations == NIL)
			nulls[lengthof(returned) - 1] = true;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	ExecDropSingleTupleTableSlot(slot);
	ec_changes_end(&setting.changes);
	return (Datum) 0;
}

/*
 * ecauto.set_sku_active(key text, active boolean) returns boolean
 */
Datum
ecauto_set_sku_active(PG_FUNCTION_ARGS)
{
	EcWriter   *writer;
	Tuplestorestate *rows;
	Datum		values[2] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	bool		nulls[2] = {false};
	int64		touched;

	ec_state_require();
	ec_require_operator("switch a sku on or off");
	writer = ec_writer_get("set_active");
	if (writer == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("nothing can be switched on or off: the shop has no writer \"set_active\""),
				 errhint("Bind one with ecauto.bind_write().")));
	rows = tuplestore_begin_heap(true, false, work_mem);
	tuplestore_putvalues(rows, ec_writer_tupdesc(writer), values, nulls);
	touched = ec_writer_run(writer, rows, 1);
	tuplestore_end(rows);
	PG_RETURN_BOOL(touched > 0);
}

/*-------------------------------------------------------------------------
 *
 * recommend_block.c
 *		A block of recommendations for a mail: ecauto.recommend_block().
 *
 * Who may call it needs no rights on the tables of the state, nor on the
 * lists it is chosen from, so it runs as their owner.  What it chooses by is
 * in sql/recommend/block.sql: a mail needs it once, and most of the time goes
 * into what it calls.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

#include "recommend/recommend.h"
#include "recommend/recommend_serve.h"
#include "shop/shop.h"

PG_FUNCTION_INFO_V1(ecauto_recommend_block);
PG_FUNCTION_INFO_V1(ecauto_recommend_candidates);
PG_FUNCTION_INFO_V1(ecauto_recommend_categories);
PG_FUNCTION_INFO_V1(ecauto_recommend_price);

/* A list that a block may be chosen from. */
typedef struct BlockList
{
	const char *name;
	PGFunction	function;
	bool		personal;		/* its first argument is a customer, else the number of rows */
	int			more;			/* a third argument, if it has one */
} BlockList;

static const BlockList lists[] = {
	{"recommend", ecauto_recommend, true},
	/* the block has its own limit for a category */
	{"discover", ecauto_discover, true, EC_ROWS_MAX},
	{"buy_again", ecauto_buy_again, true},
	{"popular", ecauto_popular},
	{"trending", ecauto_trending},
	{"best_sellers", ecauto_best_sellers},
	{"new_arrivals", ecauto_new_arrivals},
};

/*
 * ecauto.recommend_block(customer text, slots integer, rules jsonb) returns
 *		table(place, sku, code, product, title, handle, price, currency, prior_price, discount, reason)
 */
Datum
ecauto_recommend_block(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, INT4OID, JSONBOID};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		args[3];
	char		nulls[] = "   ";
	EcAs		as;

	ec_state_require();
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < 2; i++)
	{
		args[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	args[2] = PG_ARGISNULL(2) ? DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")) : PG_GETARG_DATUM(2);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("SELECT place, sku, code, product, title, handle, price, currency, prior_price, discount, reason "
								 "FROM ecauto.recommend_block_rows($1, $2, $3)", 3, types),
						 args, nulls, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not choose recommendations");
	for (uint64 i = 0; i < SPI_processed; i++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[i]);
	ec_as_end(&as);
	SPI_finish();
	return (Datum) 0;
}

/*
 * ecauto.recommend_candidates(list text, customer text, n integer)
 *		returns table(sku text, score float8, reason text)
 */
Datum
ecauto_recommend_candidates(PG_FUNCTION_ARGS)
{
	LOCAL_FCINFO(inner, 3);
	const BlockList *list = NULL;
	char	   *name;
	int			n = 0;

	ec_require_operator("choose recommendations for others");
	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be NULL", PG_ARGISNULL(0) ? "list" : "n")));
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	for (int i = 0; i < (int) lengthof(lists); i++)
		if (strcmp(lists[i].name, name) == 0)
			list = &lists[i];
	if (list == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no list \"%s\" of recommendations", name)));
	if (list->personal && PG_ARGISNULL(1))
	{
		/* somebody unknown */
		if (list->function != ecauto_recommend)
		{
			InitMaterializedSRF(fcinfo, 0);
			return (Datum) 0;
		}
		for (int i = 0; i < (int) lengthof(lists); i++)
			if (lists[i].function == ecauto_popular)
				list = &lists[i];
	}
	/* the rows are the same, so it may answer in our place */
	InitFunctionCallInfoData(*inner, fcinfo->flinfo, 0, fcinfo->fncollation, fcinfo->context, fcinfo->resultinfo);
	if (list->personal)
		inner->args[n++] = fcinfo->args[1];
	inner->args[n++] = fcinfo->args[2];
	inner->args[n].value = Int32GetDatum(list->more);
	inner->args[n].isnull = list->more == 0;
	inner->nargs = n + 1;
	return list->function(inner);
}

/*
 * ecauto.recommend_categories(product text) returns text[]
 */
Datum
ecauto_recommend_categories(PG_FUNCTION_ARGS)
{
	ec_state_require();
	ec_require_reader("ask for the categories of a product");
	PG_RETURN_ARRAYTYPE_P(ec_product_categories(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/*
 * ecauto.recommend_price(sku text, currency text) returns numeric
 *
 * Of several rows that are in force the one that came into force last.
 */
Datum
ecauto_recommend_price(PG_FUNCTION_ARGS)
{
	enum
	{
		CURRENCY, AMOUNT, LIST, FROM, UNTIL, COLUMNS
	};
	static const char *const names[COLUMNS] = {"currency", "amount", "list_key", "valid_from", "valid_until"};
	char	   *currency = text_to_cstring(PG_GETARG_TEXT_PP(1));
	TimestampTz now = ec_now();
	TimestampTz since = DT_NOBEGIN;
	Datum		price = (Datum) 0;
	bool		found = false;
	EcBinding  *binding;
	int			column[COLUMNS];
	Tuplestorestate *store;
	TupleTableSlot *slot;
	TupleDesc	desc;
	Datum		key;
	int64		nrows;

	ec_state_require();
	ec_require_reader("ask for prices of the shop");
	binding = ec_binding_get("price");
	if (binding == NULL)
		PG_RETURN_NULL();
	for (int i = 0; i < COLUMNS; i++)
		column[i] = ec_role_column(binding->role, names[i]) - binding->role->columns;
	key = PG_GETARG_DATUM(0);
	store = ec_binding_fetch(binding, "key", construct_array(&key, 1, TEXTOID, -1, false, TYPALIGN_INT), 0,
							 &desc, &nrows);
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(store, true, false, slot))
	{
		TimestampTz from;

		slot_getallattrs(slot);
		from = slot->tts_isnull[column[FROM]] ? DT_NOBEGIN : DatumGetTimestampTz(slot->tts_values[column[FROM]]);
		if (slot->tts_isnull[column[CURRENCY]] || slot->tts_isnull[column[AMOUNT]] ||
			from > now || (found && from < since) ||
			(!slot->tts_isnull[column[UNTIL]] && DatumGetTimestampTz(slot->tts_values[column[UNTIL]]) <= now) ||
			strcmp(TextDatumGetCString(slot->tts_values[column[CURRENCY]]), currency) != 0 ||
			(!slot->tts_isnull[column[LIST]] && *TextDatumGetCString(slot->tts_values[column[LIST]]) != '\0'))
			continue;
		found = true;
		since = from;
		price = PointerGetDatum(PG_DETOAST_DATUM_COPY(slot->tts_values[column[AMOUNT]]));
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(store);
	if (!found)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(price);
}

/*-------------------------------------------------------------------------
 *
 * recommend_eligible.c
 *		May it be shown?  Asked of the shop's own rows, when it is shown.
 *
 * A list that was made last night holds what was sold out since.  So each
 * candidate, a few dozen by key, is looked up through the role queries in a
 * snapshot of this moment: what is not in the shop any more, not active, or
 * counted and not there, is left out.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/tuplestore.h"

#include "recommend/recommend.h"
#include "shop/shop.h"

PG_FUNCTION_INFO_V1(ecauto_showable);

/* Takes a row of a role, deformed. */
typedef void (*TakeRow) (const Datum *values, const bool *nulls, EcShown *shown, int n);

/* Place of a column in the rows of its role. */
static int
place_of(const char *role, const char *column)
{
	const EcRole *found = ec_role_get(role);

	return ec_role_column(found, column) - found->columns;
}

/* Does a text value equal this key? */
static bool
key_equals(Datum value, const char *key, int len)
{
	text	   *have = DatumGetTextPP(value);

	return VARSIZE_ANY_EXHDR(have) == len && memcmp(VARDATA_ANY(have), key, len) == 0;
}

/* Rows of these keys to take(); false if the shop has no such role. */
static bool
role_read(const char *role, Datum *keys, int nkeys, TakeRow take, EcShown *shown, int n)
{
	EcBinding  *binding = ec_binding_get(role);
	Tuplestorestate *store;
	TupleTableSlot *slot;
	TupleDesc	desc;
	int64		nrows;

	if (binding == NULL)
		return false;
	store = ec_binding_fetch(binding, "key",
							 construct_array(keys, nkeys, TEXTOID, -1, false, TYPALIGN_INT), 0,
							 &desc, &nrows);
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(store, true, false, slot))
	{
		slot_getallattrs(slot);
		take(slot->tts_values, slot->tts_isnull, shown, n);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(store);
	return true;
}

/* TakeRow of role sku */
static void
take_sku(const Datum *values, const bool *nulls, EcShown *shown, int n)
{
	int			product = place_of("sku", "product_key");
	int			active = place_of("sku", "active");
	int			counted = place_of("sku", "track_stock");

	for (int i = 0; i < n; i++)
		if (!nulls[0] && key_equals(values[0], shown[i].sku, strlen(shown[i].sku)))
		{
			shown[i].found = !nulls[active] && DatumGetBool(values[active]);
			shown[i].counted = nulls[counted] || DatumGetBool(values[counted]);
			shown[i].product = nulls[product] ? NULL : TextDatumGetCString(values[product]);
		}
}

/* TakeRow of role product */
static void
take_product(const Datum *values, const bool *nulls, EcShown *shown, int n)
{
	int			active = place_of("product", "active");

	for (int i = 0; i < n; i++)
		if (shown[i].product != NULL && !nulls[0] &&
			key_equals(values[0], shown[i].product, strlen(shown[i].product)))
			shown[i].product_active = !nulls[active] && DatumGetBool(values[active]);
}

/* TakeRow of role stock: locations are summed */
static void
take_stock(const Datum *values, const bool *nulls, EcShown *shown, int n)
{
	int			on_hand = place_of("stock", "on_hand");
	int			reserved = place_of("stock", "reserved");

	if (nulls[0] || nulls[on_hand])
		return;
	for (int i = 0; i < n; i++)
		if (key_equals(values[0], shown[i].sku, strlen(shown[i].sku)))
		{
			shown[i].available += DatumGetFloat8(DirectFunctionCall1(numeric_float8, values[on_hand]));
			if (!nulls[reserved])
				shown[i].available -= DatumGetFloat8(DirectFunctionCall1(numeric_float8, values[reserved]));
		}
}

/*
 * Fill in the rest of shown[], of which sku is given, in the current context:
 * ok and product.  A stock of NaN is none.  Raises what the role queries
 * raise.
 */
void
ec_shown_check(EcShown *shown, int n)
{
	Datum	   *keys = palloc(Max(n, 1) * sizeof(Datum));
	int			nproducts = 0;
	bool		stocked;
	bool		products;

	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
	{
		shown[i].product = NULL;
		shown[i].found = shown[i].product_active = false;
		shown[i].counted = true;
		shown[i].available = 0;
		keys[i] = CStringGetTextDatum(shown[i].sku);
	}
	if (!role_read("sku", keys, n, take_sku, shown, n))
		for (int i = 0; i < n; i++)
			shown[i].found = true;
	stocked = role_read("stock", keys, n, take_stock, shown, n);
	for (int i = 0; i < n; i++)
		if (shown[i].product != NULL)
			keys[nproducts++] = CStringGetTextDatum(shown[i].product);
	products = nproducts > 0 && role_read("product", keys, nproducts, take_product, shown, n);
	for (int i = 0; i < n; i++)
		shown[i].ok = shown[i].found && (!products || shown[i].product == NULL || shown[i].product_active) &&
			(!stocked || !shown[i].counted || shown[i].available > 0);
}

/*
 * Categories (text[]) that a product is in now; none if product is NULL or the
 * shop has no such role.
 */
ArrayType *
ec_product_categories(const char *product)
{
	EcBinding  *binding = product != NULL ? ec_binding_get("product_category") : NULL;
	int			category = place_of("product_category", "category_key");
	Datum		key;
	Datum	   *categories;
	Tuplestorestate *store;
	TupleTableSlot *slot;
	TupleDesc	desc;
	int64		nrows;
	int			n = 0;

	if (binding == NULL)
		return construct_empty_array(TEXTOID);
	key = CStringGetTextDatum(product);
	store = ec_binding_fetch(binding, "key", construct_array(&key, 1, TEXTOID, -1, false, TYPALIGN_INT), 0,
							 &desc, &nrows);
	categories = palloc((nrows + 1) * sizeof(Datum));
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(store, true, true, slot))
	{
		slot_getallattrs(slot);
		if (!slot->tts_isnull[category])
			categories[n++] = PointerGetDatum(PG_DETOAST_DATUM_COPY(slot->tts_values[category]));
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(store);
	return construct_array(categories, n, TEXTOID, -1, false, TYPALIGN_INT);
}

/* Whose country is asked for, and the answer. */
typedef struct Whose
{
	const char *customer;
	char	   *country;
} Whose;

/* EcTryRun */
static void
country_read(void *arg)
{
	Whose	   *whose = arg;
	EcBinding  *binding = ec_binding_get("customer");
	int			country = place_of("customer", "country");
	Datum		key = CStringGetTextDatum(whose->customer);
	Tuplestorestate *store;
	TupleTableSlot *slot;
	TupleDesc	desc;
	int64		nrows;

	if (binding == NULL)
		return;
	store = ec_binding_fetch(binding, "key", construct_array(&key, 1, TEXTOID, -1, false, TYPALIGN_INT), 1,
							 &desc, &nrows);
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	if (tuplestore_gettupleslot(store, true, false, slot))
	{
		slot_getallattrs(slot);
		if (!slot->tts_isnull[country])
			whose->country = TextDatumGetCString(slot->tts_values[country]);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(store);
}

/*
 * The country of a customer whom no tick has seen yet; NULL if unknown.  A key
 * that cannot be one in this shop is nobody's.
 */
char *
ec_customer_country(const char *customer)
{
	Whose		whose = {customer, NULL};

	return ec_try(country_read, &whose, true) == NULL ? whose.country : NULL;
}

/*
 * ecauto.showable(skus text[]) returns table(sku text, product text)
 */
Datum
ecauto_showable(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int			count = 0;
	EcShown    *shown;

	ec_state_require();
	InitMaterializedSRF(fcinfo, 0);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	shown = palloc0(Max(n, 1) * sizeof(EcShown));
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			shown[count++].sku = TextDatumGetCString(elements[i]);
	ec_shown_check(shown, count);
	for (int i = 0; i < count; i++)
		if (shown[i].ok)
		{
			Datum		values[2];
			bool		isnull[2] = {false, shown[i].product == NULL};

			values[0] = CStringGetTextDatum(shown[i].sku);
			values[1] = shown[i].product == NULL ? (Datum) 0 : CStringGetTextDatum(shown[i].product);
			tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
		}
	return (Datum) 0;
}

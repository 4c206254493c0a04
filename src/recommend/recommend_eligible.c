/*-------------------------------------------------------------------------
 *
 * recommend_eligible.c
 *		May it be shown?  Asked of the shop's own rows, when it is shown.
 *
 * A list that was made last night holds what was sold out since.  So each
 * candidate, a dozen at a time by key, is looked up through the role queries
 * in a snapshot of this moment: what is not in the shop any more, not active,
 * or counted and not there, is left out; so is what the shop does not want to
 * be shown (recommend_wanted.c).
 *
 * The queries are what a call spends most of its time in.  So their
 * statements are kept for the session, and made anew when the row that binds
 * the role is another one than it was; the acting role and the search_path
 * are changed once if all were bound by the same role, as they usually are.
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
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "recommend/recommend.h"
#include "recommend/recommend_read.h"
#include "recommend/recommend_serve.h"
#include "shop/shop.h"

PG_FUNCTION_INFO_V1(ecauto_showable);

/* so many keys are asked about at once, of which a kept plan does not know the number */
#define KEYS_AT_ONCE 100

/* Takes a row of a role. */
typedef void (*TakeRow) (const Datum *values, const bool *nulls, EcShown *one);

/* What is asked about a role, and how; kept for the session. */
typedef struct Question
{
	const char *role;
	const char *columns[4];		/* the key first */
	int			ncolumns;
	TakeRow		take;
	bool		of_product;		/* are its keys those of products? */

	EcReadIdentity bound;		/* the row that binds the role */
	EcBinding  *binding;		/* NULL: unbound */
	char	   *statement;
	MemoryContext context;		/* of both */
} Question;

static void take_sku(const Datum *values, const bool *nulls, EcShown *one);
static void take_stock(const Datum *values, const bool *nulls, EcShown *one);
static void take_product(const Datum *values, const bool *nulls, EcShown *one);

typedef enum QuestionOf
{
	OF_SKU,
	OF_STOCK,
	OF_PRODUCT,
	QUESTIONS
} QuestionOf;

static Question questions[QUESTIONS] = {
	[OF_SKU] = {"sku", {"key", "product_key", "active", "track_stock"}, 4, take_sku},
	[OF_STOCK] = {"stock", {"key", "on_hand", "reserved"}, 3, take_stock},
	[OF_PRODUCT] = {"product", {"key", "active"}, 2, take_product, true},
};

static EcReadTable role_binding = {"role_binding", {"role"}, {"query"}};

/* ---- answers ---- */

/* TakeRow of role sku */
static void
take_sku(const Datum *values, const bool *nulls, EcShown *one)
{
	one->product = nulls[1] ? NULL : TextDatumGetCString(values[1]);
	one->found = !nulls[2] && DatumGetBool(values[2]);
	one->counted = nulls[3] || DatumGetBool(values[3]);
}

/* TakeRow of role stock: locations are summed */
static void
take_stock(const Datum *values, const bool *nulls, EcShown *one)
{
	Numeric		units;

	if (nulls[1])
		return;
	units = DatumGetNumeric(values[1]);
	if (!nulls[2])
		units = numeric_sub_opt_error(units, DatumGetNumeric(values[2]), NULL);
	else
		units = DatumGetNumericCopy(values[1]);
	one->available = one->available == NULL ? units : numeric_add_opt_error(one->available, units, NULL);
}

/* TakeRow of role product */
static void
take_product(const Datum *values, const bool *nulls, EcShown *one)
{
	one->product_active = !nulls[1] && DatumGetBool(values[1]);
}

/* Are there units?  NaN are none. */
static bool
in_stock(const EcShown *one)
{
	Datum		zero;

	if (one->available == NULL || numeric_is_nan(one->available))
		return false;
	zero = NumericGetDatum(int64_to_numeric(0));
	return DatumGetBool(DirectFunctionCall2(numeric_gt, NumericGetDatum(one->available), zero));
}

/* ---- asking ---- */

/* Keep the statements that suit the roles as they are bound in the caller's snapshot. */
static void
questions_refresh(void)
{
	EcRead	   *read = ec_read_begin(&role_binding);

	for (int i = 0; i < QUESTIONS; i++)
	{
		Question   *question = &questions[i];
		EcReadIdentity bound = {0};
		MemoryContext old;
		Datum		key = CStringGetTextDatum(question->role);

		if (ec_read_one(read, 1, &key))
			bound = ec_read_identity(read);
		/* what failed half-way left a binding, of which nothing is known */
		if (ec_read_same(&bound, &question->bound) && OidIsValid(bound.relation) == (question->binding != NULL))
			continue;
		/* forget before what may fail */
		question->bound = (EcReadIdentity) {0};
		question->binding = NULL;
		if (question->context != NULL)
			MemoryContextDelete(question->context);
		question->context = NULL;
		if (!OidIsValid(bound.relation))
			continue;
		question->context = AllocSetContextCreate(TopMemoryContext, "ecauto eligibility", ALLOCSET_SMALL_SIZES);
		old = MemoryContextSwitchTo(question->context);
		question->binding = ec_binding_get(question->role);
		if (question->binding != NULL)
			question->statement = ec_binding_statement_of(question->binding, question->columns, question->ncolumns);
		MemoryContextSwitchTo(old);
		/* the binding is read in a snapshot of its own, which may know a later one */
		if (question->binding != NULL)
			question->bound = bound;
	}
	ec_read_end(read);
}

/* Hands rows on to those they are about. */
typedef struct Asker
{
	DestReceiver pub;			/* must be first */
	MemoryContext context;
	const Question *question;
	EcShown    *shown;
	int			n;
} Asker;

static bool
key_is(const EcShown *one, bool of_product, const char *key, int len)
{
	const char *have = of_product ? one->product : one->sku;

	return have != NULL && strncmp(have, key, len) == 0 && have[len] == '\0';
}

static bool
asker_receive(TupleTableSlot *slot, DestReceiver *self)
{
	Asker	   *asker = (Asker *) self;
	bool		of_product = asker->question->of_product;
	MemoryContext old = MemoryContextSwitchTo(asker->context);
	text	   *key;

	slot_getallattrs(slot);
	if (!slot->tts_isnull[0])
	{
		key = DatumGetTextPP(slot->tts_values[0]);
		/* several skus are of one product, and one may be asked about twice */
		for (int i = 0; i < asker->n; i++)
			if (key_is(&asker->shown[i], of_product, VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key)))
				asker->question->take(slot->tts_values, slot->tts_isnull, &asker->shown[i]);
	}
	MemoryContextSwitchTo(old);
	return true;
}

static void
asker_startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
asker_end(DestReceiver *self)
{
}

/* Whom we act as, to change it only when we must. */
typedef struct Acting
{
	EcAs		as;
	const EcBinding *binding;	/* NULL: as ourselves */
} Acting;

static void
act_as(Acting *acting, const EcBinding *binding)
{
	if (acting->binding != NULL && binding != NULL &&
		strcmp(acting->binding->definer, binding->definer) == 0 &&
		strcmp(acting->binding->search_path, binding->search_path) == 0)
		return;
	if (acting->binding != NULL)
		ec_as_end(&acting->as);
	if (binding != NULL)
		ec_binding_as(&acting->as, binding);
	acting->binding = binding;
}

/* Ask about these keys; the caller is connected to SPI and has pushed a snapshot. */
static void
ask(QuestionOf of, Datum *keys, int nkeys, EcShown *shown, int n, MemoryContext context, Acting *acting)
{
	static const Oid types[] = {TEXTARRAYOID};
	const Question *question = &questions[of];
	/* any kind but DestNone, for which SPI would not count the rows */
	Asker		asker = {{asker_receive, asker_startup, asker_end, asker_end, DestSQLFunction}, context, question, shown, n};
	SPIExecuteOptions options = {0};
	ParamListInfo params = makeParamList(1);
	int			rc;

	params->params[0].value = PointerGetDatum(construct_array(keys, nkeys, TEXTOID, -1, false, TYPALIGN_INT));
	params->params[0].isnull = false;
	params->params[0].pflags = PARAM_FLAG_CONST;
	params->params[0].ptype = TEXTARRAYOID;
	options.params = params;
	options.read_only = true;
	options.dest = &asker.pub;
	act_as(acting, question->binding);
	rc = SPI_execute_plan_extended(ec_plan(question->statement, 1, types), &options);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "SPI returned %s for the query of role \"%s\"", SPI_result_code_string(rc), question->role);
}

static void
shown_ask(EcShown *shown, int n)
{
	MemoryContext context = CurrentMemoryContext;
	Datum	   *keys = palloc(n * sizeof(Datum));
	int			nproducts = 0;
	bool		has[QUESTIONS];
	Acting		acting = {0};

	for (int i = 0; i < n; i++)
	{
		shown[i].product = NULL;
		shown[i].found = shown[i].product_active = false;
		shown[i].counted = true;
		shown[i].available = NULL;
		keys[i] = CStringGetTextDatum(shown[i].sku);
	}
	for (int i = 0; i < QUESTIONS; i++)
		has[i] = questions[i].binding != NULL;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	/* read-only SPI runs on the active snapshot, which may be old */
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (has[OF_SKU])
		ask(OF_SKU, keys, n, shown, n, context, &acting);
	if (has[OF_STOCK])
		ask(OF_STOCK, keys, n, shown, n, context, &acting);
	for (int i = 0; i < n; i++)
		if (shown[i].product != NULL && shown[i].found)
			keys[nproducts++] = CStringGetTextDatum(shown[i].product);
	if (has[OF_PRODUCT] && nproducts > 0)
		ask(OF_PRODUCT, keys, nproducts, shown, n, context, &acting);
	act_as(&acting, NULL);
	PopActiveSnapshot();
	SPI_finish();
	MemoryContextSwitchTo(context);
	for (int i = 0; i < n; i++)
		shown[i].ok = (shown[i].found || !has[OF_SKU]) &&
			(!has[OF_PRODUCT] || shown[i].product == NULL || shown[i].product_active) &&
			(!has[OF_STOCK] || !shown[i].counted || in_stock(&shown[i]));
	ec_wanted_check(shown, n);
}

/*
 * Fill in the rest of shown[], of which sku is given, in the current context:
 * ok and product.  Raises what the role queries raise.
 */
void
ec_shown_check(EcShown *shown, int n)
{
	if (n == 0)
		return;
	questions_refresh();
	for (int from = 0; from < n; from += KEYS_AT_ONCE)
		shown_ask(shown + from, Min(KEYS_AT_ONCE, n - from));
}

/*
 * Categories (text[]) that a product is in now; none if product is NULL or the
 * shop has no such role.
 */
ArrayType *
ec_product_categories(const char *product)
{
	EcBinding  *binding = product != NULL ? ec_binding_get("product_category") : NULL;
	Datum		key;
	Datum	   *categories;
	Tuplestorestate *store;
	TupleTableSlot *slot;
	TupleDesc	desc;
	int64		nrows;
	int			n = 0;
	int			category;

	if (binding == NULL)
		return construct_empty_array(TEXTOID);
	category = ec_role_column(binding->role, "category_key") - binding->role->columns;
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
	Datum		key = CStringGetTextDatum(whose->customer);
	Tuplestorestate *store;
	TupleTableSlot *slot;
	TupleDesc	desc;
	int64		nrows;
	int			country;

	if (binding == NULL)
		return;
	country = ec_role_column(binding->role, "country") - binding->role->columns;
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

/*-------------------------------------------------------------------------
 *
 * recommend_answer.c
 *		From candidates to the rows of an answer.
 *
 * What was built is read in the snapshot of the caller's statement, so that
 * all of an answer comes from one version.  Whether a sku may be shown is
 * asked of the shop as it is now (recommend_eligible.c), for the best
 * candidates first, a few more than are wanted, and until there are enough.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "recommend/recommend.h"
#include "recommend/recommend_serve.h"

/* most candidates that are asked about at once */
#define BATCH_MAX 400

static EcReadTable serve_tables[EC_SERVE_TABLES] = {
	[EC_SERVE_MODEL] = {"recommend_model", {"one"}, {"version", "orders", "skus"}},
	[EC_SERVE_ITEM] = {"recommend_item", {"version", "no"}, {"sku", "orders"}},
	[EC_SERVE_NUMBER] = {"recommend_item", {"version", "sku"}, {"no"}},
	[EC_SERVE_PAIR] = {"recommend_pair", {"version", "viewed", "item"}, {"others", "counts", "total"}},
	[EC_SERVE_WEIGHT] = {"recommend_weight", {"version", "basket", "source"}, {"targets", "weights"}},
	[EC_SERVE_POPULAR] = {"recommend_popular", {"version", "country"}, {"items", "shares"}},
	[EC_SERVE_CONSUMABLE] = {"recommend_consumable", {"sku"}, {"sku"}},
	[EC_SERVE_SKU] = {"seen_sku", {"key"}, {"product_key", "title", "sku"}},
	[EC_SERVE_CODE] = {"seen_sku", {"sku"}, {"key", "sku"}, .hash = true},
	[EC_SERVE_PRODUCT] = {"seen_product", {"key"}, {"title"}},
	[EC_SERVE_CUSTOMER] = {"seen_customer", {"key"}, {"country"}},
	[EC_SERVE_NO_PROFILE] = {"no_profile", {"customer"}, {"customer"}},
	[EC_SERVE_FACT] = {"customer_fact", {"key"}, {"guest_email"}},
	[EC_SERVE_ORDER] = {"seen_order", {"customer_key"}, {"key", "placed_at", "cancelled", "customer_key"}},
	[EC_SERVE_GUEST_ORDER] = {"seen_order", {"email"}, {"key", "placed_at", "cancelled", "customer_key"}, .partial = true},
	[EC_SERVE_LINE] = {"order_item", {"order_key"}, {"sku", "qty"}},
	[EC_SERVE_IDENTITY] = {"identity", {"session"}, {"customer"}},
	[EC_SERVE_SESSION] = {"identity", {"customer"}, {"session"}},
	[EC_SERVE_POLICY] = {"recommend_policy", {"one"}, {"repeats"}},
	[EC_SERVE_SETTING] = {"recommend_setting", {"task"}, {"half_life", "popular"}},
	[EC_SERVE_TEST] = {"recommend_test", {"running"},
		{"name", "share", "half_life", "popular", "repeats", "personal"}, .partial = true},
};

/* A table, open until ec_serve_end(). */
EcRead *
ec_serve_read(EcServe *serve, EcServeTable table)
{
	if (serve->reads[table] == NULL)
		serve->reads[table] = ec_read_begin(&serve_tables[table]);
	return serve->reads[table];
}

/*
 * Begin an answer of at most n rows (sku, score, reason and so many figures)
 * to an SQL function.  Errors: n out of range; no state.
 */
void
ec_serve_begin(EcServe *serve, FunctionCallInfo fcinfo, int n, int nfigures)
{
	EcRead	   *model;
	Datum		one = BoolGetDatum(true);

	memset(serve, 0, sizeof(*serve));
	if (n < 0 || n > EC_ROWS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of rows must be between 0 and %d", EC_ROWS_MAX),
				 errdetail("It is %d.", n)));
	ec_state_require();
	InitMaterializedSRF(fcinfo, 0);
	serve->result = (ReturnSetInfo *) fcinfo->resultinfo;
	serve->now = ec_now();
	serve->n = n;
	serve->nfigures = nfigures;
	serve->lowest = 1;
	serve->version = -1;
	model = ec_serve_read(serve, EC_SERVE_MODEL);
	if (ec_read_one(model, 1, &one) && !model->nulls[0])
	{
		serve->version = DatumGetInt64(model->values[0]);
		serve->orders = DatumGetInt64(model->values[1]);
		serve->skus = DatumGetInt64(model->values[2]);
	}
}

/* Raise an error if nothing was built. */
void
ec_serve_require(const EcServe *serve)
{
	if (serve->version < 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("recommendations were not built yet"),
				 errhint("Run ecauto.build_recommendations().")));
}

void
ec_serve_end(EcServe *serve)
{
	for (int i = 0; i < EC_SERVE_TABLES; i++)
		if (serve->reads[i] != NULL)
			ec_read_end(serve->reads[i]);
}

/* ---- skus ---- */

/* Look up the sku (in the current context) and the total of an item by its number. */
void
ec_serve_item(EcServe *serve, EcShown *shown)
{
	EcRead	   *read = ec_serve_read(serve, EC_SERVE_ITEM);
	Datum		keys[2] = {Int64GetDatum(serve->version), Int32GetDatum(shown->item)};

	if (!ec_read_one(read, 2, keys))
		elog(ERROR, "version %lld of recommendations is not whole", (long long) serve->version);
	shown->sku = ec_read_text(read, 0);
	shown->total = DatumGetInt32(read->values[1]);
}

/* Its number in the version; -1: nobody had it, or nothing was built. */
int
ec_serve_item_number(EcServe *serve, const char *sku)
{
	EcRead	   *read = ec_serve_read(serve, EC_SERVE_NUMBER);
	Datum		keys[2] = {Int64GetDatum(serve->version), CStringGetTextDatum(sku)};

	return ec_read_one(read, 2, keys) ? DatumGetInt32(read->values[0]) : -1;
}

/*
 * The key of a sku of this name: itself, or else the sku with this code, the
 * first if there are several; NULL if the last tick saw none.  In the current
 * context.
 */
char *
ec_serve_sku_find(EcServe *serve, const char *name)
{
	EcRead	   *read = ec_serve_read(serve, EC_SERVE_SKU);
	Datum		key = CStringGetTextDatum(name);
	char	   *first = NULL;

	if (ec_read_one(read, 1, &key))
		return pstrdup(name);
	read = ec_serve_read(serve, EC_SERVE_CODE);
	ec_read_find(read, ForwardScanDirection, 1, &key);
	while (ec_read_next(read))
	{
		char	   *found = ec_read_text(read, 0);

		CHECK_FOR_INTERRUPTS();
		if (strcmp(ec_read_text(read, 1), name) != 0)
			continue;
		if (first == NULL || strcmp(found, first) < 0)
			first = found;
	}
	return first;
}

/* What a sku is called: the title of its product, or its own, or its key. */
char *
ec_serve_title(EcServe *serve, const char *sku)
{
	EcRead	   *read = ec_serve_read(serve, EC_SERVE_SKU);
	EcRead	   *product;
	Datum		key = CStringGetTextDatum(sku);
	char	   *title = NULL;

	if (!ec_read_one(read, 1, &key))
		return pstrdup(sku);
	if (!read->nulls[0])
	{
		product = ec_serve_read(serve, EC_SERVE_PRODUCT);
		if (ec_read_one(product, 1, &read->values[0]))
			title = ec_read_text(product, 0);
	}
	if (title == NULL)
		title = ec_read_text(read, 1);
	if (title == NULL)
		title = ec_read_text(read, 2);
	return title != NULL ? title : pstrdup(sku);
}

/* May it be shown to those who have bought it? */
bool
ec_serve_consumable(EcServe *serve, const char *sku)
{
	Datum		key = CStringGetTextDatum(sku);

	if (!serve->repeats_known)
	{
		EcRead	   *read = ec_serve_read(serve, EC_SERVE_POLICY);
		Datum		one = BoolGetDatum(true);

		serve->repeats = ec_read_one(read, 1, &one) && !read->nulls[0] ? ec_read_text(read, 0)[0] : 'c';
		serve->repeats_known = true;
	}
	if (serve->repeats != 'c')
		return serve->repeats == 'a';
	return ec_read_one(ec_serve_read(serve, EC_SERVE_CONSUMABLE), 1, &key);
}

/* ---- rows ---- */

static void
names_add(EcNames **names, const char *key)
{
	if (key == NULL)
		return;
	if (*names == NULL)
		*names = ec_names_create();
	(void) ec_names_put(*names, key, strlen(key));
}

static bool
names_have(EcNames *names, const char *key)
{
	return names != NULL && key != NULL && ec_names_find(names, key, strlen(key)) >= 0;
}

/* Never show this sku, nor others of this product if one of each is shown; either may be NULL. */
void
ec_serve_without(EcServe *serve, const char *sku, const char *product)
{
	names_add(&serve->skus_out, sku);
	if (serve->one_per_product)
		names_add(&serve->products_out, product);
}

static void
put_row(EcServe *serve, EcShown *one, EcMakeReason reason, void *arg)
{
	Datum		values[8];
	bool		nulls[8] = {false};

	ec_serve_without(serve, one->sku, one->product);
	if (reason != NULL)
		one->reason = reason(serve, one, arg);
	values[0] = CStringGetTextDatum(one->sku);
	values[1] = Float8GetDatum(one->score);
	nulls[2] = one->reason == NULL;
	values[2] = nulls[2] ? (Datum) 0 : CStringGetTextDatum(one->reason);
	for (int k = 0; k < serve->nfigures; k++)
		values[3 + k] = k == 0 ? Int64GetDatum((int64) one->figures[0]) : Float8GetDatum(one->figures[k]);
	tuplestore_putvalues(serve->result->setResult, serve->result->setDesc, values, nulls);
	serve->lowest = one->score;
	serve->found++;
}

/*
 * Add those of the candidates that may be shown, in their order, until there
 * are enough.  They have a sku or a number.  reason may be NULL.
 */
void
ec_serve_offer(EcServe *serve, EcShown *shown, int n, EcMakeReason reason, void *arg)
{
	EcShown    *asked;
	int			size;
	int			next = 0;

	if (n == 0 || serve->found >= serve->n)
		return;
	/* most may be shown, so few more than are wanted */
	size = serve->n - serve->found;
	size = Min(size + size / 4 + 1, BATCH_MAX);
	asked = palloc(Min(n, BATCH_MAX) * sizeof(EcShown));
	while (next < n && serve->found < serve->n)
	{
		int			count = 0;

		for (; next < n && count < size; next++)
		{
			EcShown    *one = &shown[next];

			if (one->sku == NULL)
				ec_serve_item(serve, one);
			if (names_have(serve->skus_out, one->sku) ||
				(names_have(serve->had, one->sku) && !ec_serve_consumable(serve, one->sku)))
				continue;
			asked[count++] = *one;
		}
		ec_shown_check(asked, count);
		for (int i = 0; i < count && serve->found < serve->n; i++)
			if (asked[i].ok && !names_have(serve->skus_out, asked[i].sku) &&
				!(serve->one_per_product && names_have(serve->products_out, asked[i].product)))
				put_row(serve, &asked[i], reason, arg);
		size = Min(size * 2, BATCH_MAX);
		CHECK_FOR_INTERRUPTS();
	}
	pfree(asked);
}

/* ---- what is popular ---- */

/* EcMakeReason */
static char *
reason_popular(EcServe *serve, EcShown *shown, void *arg)
{
	const char *country = arg;

	return country[0] == '\0' ? pstrdup("popular") : psprintf("popular in %s", country);
}

/* What is popular in a country ("": everywhere), behind what was shown. */
void
ec_serve_popular(EcServe *serve, const char *country)
{
	EcRead	   *read;
	Datum		keys[2];
	EcShown    *shown;
	int		   *items;
	float	   *shares;
	int			n;

	if (serve->found >= serve->n || serve->version < 0)
		return;
	read = ec_serve_read(serve, EC_SERVE_POPULAR);
	keys[0] = Int64GetDatum(serve->version);
	keys[1] = CStringGetTextDatum(country);
	if (!ec_read_one(read, 2, keys))
		return;
	items = ec_read_array(read, 0, &n);
	shares = ec_read_array(read, 1, &n);
	shown = palloc0(Max(n, 1) * sizeof(EcShown));
	for (int i = 0; i < n; i++)
	{
		shown[i].item = items[i];
		shown[i].score = serve->lowest * shares[i];
	}
	ec_serve_offer(serve, shown, n, reason_popular, unconstify(char *, country));
}

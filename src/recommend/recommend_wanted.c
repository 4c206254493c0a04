/*-------------------------------------------------------------------------
 *
 * recommend_wanted.c
 *		What the shop does not want to be shown: what leaves too little, and
 *		what a condition excludes.
 *
 * Both are asked about the few candidates that are in stock, as prices, costs
 * and products are at this moment.  The condition runs as who set it.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/tuplestore.h"

#include "expr/expr.h"
#include "recommend/recommend.h"
#include "recommend/recommend_serve.h"
#include "shop/shop.h"

PG_FUNCTION_INFO_V1(ecauto_set_recommendation_exclusion);

static EcReadTable policy_table = {"recommend_policy", {"one"}, {"min_margin", "exclusion", "definer"}};

/* Takes a row of a role, about the candidate of this number. */
typedef void (*TakeRow) (const Datum *values, const bool *nulls, int candidate, void *arg);

static int
place_of(const char *role, const char *column)
{
	const EcRole *found = ec_role_get(role);

	return ec_role_column(found, column) - found->columns;
}

/* Rows of a role by the key of sku or product, each to take(); false: the shop has no such role. */
static bool
role_rows(const char *role, bool of_product, EcShown *const *shown, int n, TakeRow take, void *arg)
{
	EcBinding  *binding = ec_binding_get(role);
	Datum	   *keys = palloc(n * sizeof(Datum));
	int			nkeys = 0;
	Tuplestorestate *store;
	TupleTableSlot *slot;
	TupleDesc	desc;
	int64		nrows;

	if (binding == NULL)
		return false;
	for (int i = 0; i < n; i++)
	{
		const char *key = of_product ? shown[i]->product : shown[i]->sku;

		if (key != NULL)
			keys[nkeys++] = CStringGetTextDatum(key);
	}
	store = ec_binding_fetch(binding, "key", construct_array(keys, nkeys, TEXTOID, -1, false, TYPALIGN_INT), 0,
							 &desc, &nrows);
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(store, true, false, slot))
	{
		char	   *key;

		slot_getallattrs(slot);
		if (slot->tts_isnull[0])
			continue;
		key = TextDatumGetCString(slot->tts_values[0]);
		for (int i = 0; i < n; i++)
		{
			const char *have = of_product ? shown[i]->product : shown[i]->sku;

			if (have != NULL && strcmp(have, key) == 0)
				take(slot->tts_values, slot->tts_isnull, i, arg);
		}
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(store);
	return true;
}

/* ---- margins ---- */

/* A price without tax, or a cost, of a candidate. */
typedef struct Amount
{
	int			candidate;
	char	   *currency;
	double		amount;
} Amount;

typedef struct Margins
{
	TimestampTz now;
	double	   *vat;			/* percent, of each candidate */
	bool	   *has_cost;		/* was it told by set_cost()? */
	List	   *prices;			/* of Amount */
	List	   *costs;
} Margins;

static Amount *
amount_make(int candidate, Datum amount, Datum currency)
{
	Amount	   *one = palloc(sizeof(Amount));

	one->candidate = candidate;
	one->currency = TextDatumGetCString(currency);
	one->amount = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, amount));
	return one;
}

/* TakeRow of role price: those of the base list that are valid now */
static void
take_price(const Datum *values, const bool *nulls, int candidate, void *arg)
{
	Margins    *margins = arg;
	int			amount = place_of("price", "amount");
	int			currency = place_of("price", "currency");
	int			taxed = place_of("price", "tax_included");
	int			list = place_of("price", "list_key");
	int			from = place_of("price", "valid_from");
	int			until = place_of("price", "valid_until");
	Amount	   *one;

	if (nulls[amount] || nulls[currency] ||
		(!nulls[list] && VARSIZE_ANY_EXHDR(DatumGetTextPP(values[list])) > 0) ||
		(!nulls[from] && DatumGetTimestampTz(values[from]) > margins->now) ||
		(!nulls[until] && DatumGetTimestampTz(values[until]) <= margins->now))
		return;
	one = amount_make(candidate, values[amount], values[currency]);
	if (!nulls[taxed] && DatumGetBool(values[taxed]))
		one->amount /= 1 + margins->vat[candidate] / 100;
	margins->prices = lappend(margins->prices, one);
}

/* TakeRow of role cost */
static void
take_cost(const Datum *values, const bool *nulls, int candidate, void *arg)
{
	Margins    *margins = arg;
	int			cost = place_of("cost", "cost");
	int			currency = place_of("cost", "currency");

	if (!margins->has_cost[candidate] && !nulls[cost] && !nulls[currency])
		margins->costs = lappend(margins->costs, amount_make(candidate, values[cost], values[currency]));
}

/* Taxes, and costs that set_cost() told. */
static void
margins_read(Margins *margins, EcShown *const *shown, int n)
{
	static const char sql[] =
		"SELECT s.place, (SELECT v.rate FROM ecauto_data.vat_rate v\n"
		"    WHERE v.country = '' AND v.valid_from <= $3::pg_catalog.date\n"
		"      AND (v.scope = 'all' OR (v.scope = 'sku' AND v.key = s.sku) OR (v.scope = 'product' AND v.key = s.product))\n"
		"    ORDER BY v.scope = 'sku' DESC, v.scope = 'product' DESC, v.valid_from DESC LIMIT 1), c.cost, c.currency\n"
		"FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) WITH ORDINALITY s (sku, product, place)\n"
		"LEFT JOIN ecauto_data.cost c ON c.sku = s.sku COLLATE \"C\" AND c.source = ''";
	static const Oid types[] = {TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID};
	MemoryContext context = CurrentMemoryContext;
	Datum	   *skus = palloc(n * sizeof(Datum));
	Datum	   *products = palloc(n * sizeof(Datum));
	Datum		args[3];
	EcAs		as;

	for (int i = 0; i < n; i++)
	{
		skus[i] = CStringGetTextDatum(shown[i]->sku);
		products[i] = CStringGetTextDatum(shown[i]->product != NULL ? shown[i]->product : "");
	}
	args[0] = PointerGetDatum(construct_array(skus, n, TEXTOID, -1, false, TYPALIGN_INT));
	args[1] = PointerGetDatum(construct_array(products, n, TEXTOID, -1, false, TYPALIGN_INT));
	args[2] = TimestampTzGetDatum(margins->now);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan(sql, 3, types), args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read costs");
	MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		int			at = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull)) - 1;
		Datum		value = SPI_getbinval(tuple, desc, 2, &isnull);

		if (!isnull)
			margins->vat[at] = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, value));
		value = SPI_getbinval(tuple, desc, 3, &isnull);
		if (!isnull)
		{
			margins->has_cost[at] = true;
			margins->costs = lappend(margins->costs, amount_make(at, value, SPI_getbinval(tuple, desc, 4, &isnull)));
		}
	}
	ec_as_end(&as);
	SPI_finish();
	MemoryContextSwitchTo(context);
}

/*
 * Leave out what leaves less than least percent of its price without tax, in
 * any currency of which a price and a cost are known.
 */
static void
margins_check(EcShown *const *shown, int n, double least)
{
	Margins		margins = {ec_now(), palloc0(n * sizeof(double)), palloc0(n * sizeof(bool)), NIL, NIL};
	ListCell   *lp;
	ListCell   *lc;

	margins_read(&margins, shown, n);
	role_rows("price", false, shown, n, take_price, &margins);
	role_rows("cost", false, shown, n, take_cost, &margins);
	foreach(lp, margins.prices)
	{
		const Amount *price = lfirst(lp);

		foreach(lc, margins.costs)
		{
			const Amount *cost = lfirst(lc);

			if (cost->candidate == price->candidate && strcmp(cost->currency, price->currency) == 0 &&
				!((price->amount - cost->amount) * 100 >= least * price->amount - 1e-9))
				shown[price->candidate]->ok = false;
		}
	}
}

/* ---- the condition ---- */

/* the rows of its scope */
enum
{
	ROW_SKU, ROW_PRODUCT, ROW_STOCK, ROWS
};

static EcExprScope *
exclusion_scope(void)
{
	static const EcExprColumn stock_columns[] = {{"available", NUMERICOID, -1}};
	EcExprScope *scope = palloc(sizeof(EcExprScope));

	scope->nrows = ROWS;
	scope->rows = palloc0(ROWS * sizeof(EcExprRow));
	ec_role_scope_row(ec_role_get("sku"), "sku", &scope->rows[ROW_SKU]);
	ec_role_scope_row(ec_role_get("product"), "product", &scope->rows[ROW_PRODUCT]);
	scope->rows[ROW_STOCK].name = "stock";
	scope->rows[ROW_STOCK].ncolumns = lengthof(stock_columns);
	scope->rows[ROW_STOCK].columns = palloc(sizeof(stock_columns));
	memcpy(scope->rows[ROW_STOCK].columns, stock_columns, sizeof(stock_columns));
	return scope;
}

/* Rows of one role as they came, by candidate. */
typedef struct Found
{
	const EcRole *role;
	Datum	  **values;			/* NULL: no row */
	bool	  **nulls;
} Found;

/* TakeRow */
static void
take_whole(const Datum *values, const bool *nulls, int candidate, void *arg)
{
	Found	   *found = arg;
	int			ncolumns = found->role->ncolumns;

	found->values[candidate] = palloc(ncolumns * sizeof(Datum));
	found->nulls[candidate] = palloc(ncolumns * sizeof(bool));
	for (int i = 0; i < ncolumns; i++)
	{
		Oid			type = found->role->columns[i].type;

		found->nulls[candidate][i] = nulls[i];
		/* the row goes with the next one */
		found->values[candidate][i] = nulls[i] || (type != TEXTOID && type != NUMERICOID) ? values[i] :
			PointerGetDatum(PG_DETOAST_DATUM_COPY(values[i]));
	}
}

static Found
found_make(const char *role, bool of_product, EcShown *const *shown, int n)
{
	Found		found = {ec_role_get(role), palloc0(n * sizeof(Datum *)), palloc0(n * sizeof(bool *))};

	role_rows(role, of_product, shown, n, take_whole, &found);
	return found;
}

static Oid
exclusion_definer(const char *name)
{
	Oid			definer = get_role_oid(name, true);

	if (!OidIsValid(definer) || !ec_may_become(ec_state_owner(), definer))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to act as role \"%s\"", name),
				 errdetail("It set the condition that excludes skus from recommendations, and is gone or not one that \"%s\" may become.",
						   GetUserNameFromId(ec_state_owner(), false)),
				 errhint("Set it again by ecauto.set_recommendation_exclusion().")));
	return definer;
}

/* Leave out those of which the condition is true. */
static void
exclusion_check(EcShown *const *shown, int n, const char *text, const char *definer)
{
	Found		sku = found_make("sku", false, shown, n);
	Found		product = found_make("product", true, shown, n);
	EcExprScope *scope = exclusion_scope();
	EcExprValues values;
	SPIPlanPtr	plan;
	EcExpr	   *expr;
	EcAs		as;

	ec_expr_begin(&as, exclusion_definer(definer));
	expr = ec_expr_check(text, scope);
	values.values = palloc0((expr->nparams + 1) * sizeof(Datum));
	values.nulls = palloc0((expr->nparams + 1) * sizeof(bool));
	values.values[0] = TimestampTzGetDatum(ec_now());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	plan = ec_expr_plan(expr, list_make1(expr->tree));
	for (int i = 0; i < n; i++)
	{
		Datum		result;
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		for (int k = 0; k < expr->nparams; k++)
		{
			const EcExprParam *param = &expr->params[k];
			int			row = param->row - scope->rows;
			int			column = param->column - param->row->columns;
			const Found *found = row == ROW_SKU ? &sku : &product;

			if (row == ROW_STOCK)
			{
				values.nulls[1 + k] = shown[i]->available == NULL;
				values.values[1 + k] = NumericGetDatum(shown[i]->available);
				continue;
			}
			values.nulls[1 + k] = found->values[i] == NULL || found->nulls[i][column];
			values.values[1 + k] = values.nulls[1 + k] ? (Datum) 0 : found->values[i][column];
		}
		ec_expr_run(plan, &values, 1, &result, &isnull);
		if (!isnull && DatumGetBool(result))
			shown[i]->ok = false;
	}
	SPI_finish();
	ec_expr_end(&as);
}

/* ---- both ---- */

/*
 * Set ok of those candidates to false that the shop does not want to be shown.
 */
void
ec_wanted_check(EcShown *shown, int n)
{
	EcRead	   *read = ec_read_begin(&policy_table);
	Datum		one = BoolGetDatum(true);
	EcShown   **asked;
	char	   *exclusion = NULL;
	char	   *definer = NULL;
	double		least = 0;
	bool		margins = false;
	int			count = 0;

	if (ec_read_one(read, 1, &one))
	{
		margins = !read->nulls[0];
		if (margins)
			least = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, read->values[0]));
		exclusion = ec_read_text(read, 1);
		definer = read->nulls[2] ? NULL : pstrdup(NameStr(*DatumGetName(read->values[2])));
	}
	ec_read_end(read);
	if (!margins && exclusion == NULL)
		return;
	asked = palloc(n * sizeof(EcShown *));
	for (int i = 0; i < n; i++)
		if (shown[i].ok)
			asked[count++] = &shown[i];
	if (count > 0 && margins)
		margins_check(asked, count, least);
	if (count > 0 && exclusion != NULL)
		exclusion_check(asked, count, exclusion, definer != NULL ? definer : "");
}

/*
 * ecauto.set_recommendation_exclusion(condition text)
 */
Datum
ecauto_set_recommendation_exclusion(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, NAMEOID};
	Datum		values[2] = {0};
	char		nulls[] = "  ";
	NameData	definer;
	EcAs		as;

	ec_state_require();
	ec_require_operator("exclude skus from recommendations");
	if (PG_ARGISNULL(0))
		nulls[0] = nulls[1] = 'n';
	else
	{
		ec_expr_begin(&as, GetUserId());
		(void) ec_expr_check(text_to_cstring(PG_GETARG_TEXT_PP(0)), exclusion_scope());
		ec_expr_end(&as);
		values[0] = PG_GETARG_DATUM(0);
		namestrcpy(&definer, GetUserNameFromId(GetUserId(), false));
		values[1] = NameGetDatum(&definer);
	}
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("UPDATE ecauto_data.recommend_policy SET exclusion = $1, definer = $2", 2, types),
						 values, nulls, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write the policy of recommendations");
	ec_as_end(&as);
	SPI_finish();
	PG_RETURN_VOID();
}

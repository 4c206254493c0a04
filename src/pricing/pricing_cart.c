/*-------------------------------------------------------------------------
 *
 * pricing_cart.c
 *		ecauto.price_cart() and ecauto.price_at().
 *
 * Both may be called by everybody who may use schema ecauto, typically the
 * shop's own role: they tell what a customer may see.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "pricing/pricing_cart.h"

PG_FUNCTION_INFO_V1(ecauto_price_at);
PG_FUNCTION_INFO_V1(ecauto_price_cart);

/*
 * The kept promotions, changed by the caller's "promotions": definitions by
 * name, which take the place of promotions of the same name or come beside
 * them.  Their conditions run as the caller.
 */
static const EcPromotions *
what_if(EcCart *cart, const EcPromotions *kept)
{
	JsonbValue	space;
	JsonbValue *given = ec_json_field(cart->context, "promotions", &space);
	EcPromotions *result;
	JsonbIterator *it;
	JsonbValue	key;
	JsonbValue	value;
	const char *zone;
	int			n;

	if (given == NULL)
		return kept;
	if (given->type != jbvBinary || !JsonContainerIsObject(given->val.binary.data))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"promotions\" in the context of the cart must be an object"),
				 errhint("Write such as {\"summer\": {\"percent\": 10}}.")));
	zone = ec_promotion_zone();
	n = JsonContainerSize(given->val.binary.data);
	result = palloc0(sizeof(EcPromotions));
	result->list = palloc(sizeof(EcPromotion *) * (kept->n + n + 1));
	it = JsonbIteratorInit(given->val.binary.data);
	(void) JsonbIteratorNext(&it, &key, true);
	while (JsonbIteratorNext(&it, &key, true) == WJB_KEY)
	{
		EcPromotion *promotion;

		(void) JsonbIteratorNext(&it, &value, true);
		promotion = ec_promotion_parse(pnstrdup(key.val.string.val, key.val.string.len), JsonbValueToJsonb(&value),
									   GetUserId(), zone);
		result->list[result->n++] = promotion;
	}
	n = result->n;
	for (int i = 0; i < kept->n; i++)
	{
		bool		replaced = false;

		for (int j = 0; j < n; j++)
			if (strcmp(result->list[j]->name, kept->list[i]->name) == 0)
			{
				/* its coupons and counters stay those of the one there is */
				result->list[j]->id = kept->list[i]->id;
				replaced = true;
			}
		if (!replaced)
			result->list[result->n++] = kept->list[i];
	}
	ec_promotions_summarize(result);
	qsort(result->list, result->n, sizeof(EcPromotion *), ec_promotion_order);
	return result;
}

static Datum
argument(FunctionCallInfo fcinfo, int number, const char *name)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name),
				 errhint("Give '%s' if there are none.", number == 0 ? "[]" : "{}")));
	return PG_GETARG_DATUM(number);
}

/*
 * ecauto.price_cart(lines jsonb, context jsonb) returns jsonb
 */
Datum
ecauto_price_cart(PG_FUNCTION_ARGS)
{
	Jsonb	   *lines = DatumGetJsonbP(argument(fcinfo, 0, "lines of a cart"));
	Jsonb	   *context = DatumGetJsonbP(argument(fcinfo, 1, "context of a cart"));
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext work;
	EcCart	   *cart;
	const EcPromotions *promotions;
	Jsonb	   *result;

	ec_state_require();
	work = AllocSetContextCreate(caller, "ecauto cart", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(work);
	cart = ec_cart_parse(lines, context);
	promotions = what_if(cart, ec_promotions());
	ec_cart_fetch_codes(cart);
	ec_cart_fetch_attributes(cart, promotions);
	ec_cart_price(cart, promotions);
	MemoryContextSwitchTo(caller);
	result = ec_cart_result(cart);
	MemoryContextDelete(work);
	PG_RETURN_JSONB_P(result);
}

/* ---- one unit ---- */

/* the price in force then, as the shop's table says it now */
static const char *const seen_sql =
	"SELECT p.amount FROM ecauto_data.seen_price p WHERE p.key = $1 AND p.currency = $2 AND p.list_key = $3 "
	"AND p.valid_from <= $4 AND (p.valid_until IS NULL OR p.valid_until > $4) ORDER BY p.valid_from DESC LIMIT 1";

/* and as it was: for the past */
static const char *const history_sql =
	"SELECT h.amount, h.until FROM ecauto_data.price_series s CROSS JOIN LATERAL"
	" (SELECT h.amount, upper(h.period) AS until FROM ecauto_data.price_history h"
	"  WHERE h.series_id = s.series_id AND lower(h.period) <= $4 ORDER BY lower(h.period) DESC LIMIT 1) h "
	"WHERE s.sku = $1 AND s.currency = $2 AND s.list_key = $3 AND (h.until IS NULL OR h.until > $4)";

/*
 * The shop's price of a sku (its key) at an instant, in the current context;
 * NULL if it has none.
 */
Numeric
ec_base_price(const char *sku, const char *currency, const char *list_key, TimestampTz at)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID};
	MemoryContext caller = CurrentMemoryContext;
	Datum		values[4];
	Numeric		result = NULL;
	bool		found = false;
	bool		isnull;

	values[0] = CStringGetTextDatum(sku);
	values[1] = CStringGetTextDatum(currency);
	values[2] = CStringGetTextDatum(list_key);
	values[3] = TimestampTzGetDatum(at);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (at < ec_now())
		found = ec_use_run(history_sql, 4, types, values, NULL);
	if (!found)
		found = ec_use_run(seen_sql, 4, types, values, NULL);
	if (found)
	{
		Datum		amount = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
		MemoryContext spi = MemoryContextSwitchTo(caller);

		if (!isnull)
			result = DatumGetNumericCopy(amount);
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	return result;
}

/* all that price_at() needs of a sku, in one look */
static const char *const now_sql =
	"SELECT x.amount, s.product_key, t.brand,"
	" NOT EXISTS (SELECT FROM ecauto_data.role_binding r WHERE r.role = 'product_category') "
	"FROM (SELECT p.key, p.amount FROM ecauto_data.seen_price p"
	"  WHERE p.key = $1 AND p.currency = $2 AND p.list_key = $3 AND p.valid_from <= $4"
	"  AND (p.valid_until IS NULL OR p.valid_until > $4) ORDER BY p.valid_from DESC LIMIT 1) x"
	" LEFT JOIN ecauto_data.seen_sku s ON s.key = x.key"
	" LEFT JOIN ecauto_data.seen_product t ON t.key = s.product_key";

/* A word from the first row, copied to the caller's context. */
static void
word_of_row(EcWord *word, int column, MemoryContext context)
{
	char	   *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);

	if (value == NULL)
		return;
	word->data = MemoryContextStrdup(context, value);
	word->len = strlen(word->data);
}

/*
 * The shop's price of a sku now or later, into *line, with its attributes;
 * NULL if it has none.
 */
static Numeric
price_now(const char *sku, const char *currency, const char *list_key, TimestampTz at, EcLine *line)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID};
	MemoryContext caller = CurrentMemoryContext;
	Datum		values[4];
	Numeric		result = NULL;
	bool		isnull;

	values[0] = CStringGetTextDatum(sku);
	values[1] = CStringGetTextDatum(currency);
	values[2] = CStringGetTextDatum(list_key);
	values[3] = TimestampTzGetDatum(at);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (ec_use_run(now_sql, 4, types, values, NULL))
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		Datum		amount = SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull);

		if (!isnull)
		{
			MemoryContext spi = MemoryContextSwitchTo(caller);

			result = DatumGetNumericCopy(amount);
			MemoryContextSwitchTo(spi);
		}
		word_of_row(&line->product, 2, caller);
		word_of_row(&line->brand, 3, caller);
		line->attributes = true;
		line->categories_known = DatumGetBool(SPI_getbinval(row, SPI_tuptable->tupdesc, 4, &isnull));
	}
	SPI_finish();
	return result;
}

/* The same at any time. */
static Numeric
price_then(const char *sku, const char *currency, const char *list_key, TimestampTz at, EcLine *line)
{
	Numeric		price = at < ec_now() ? ec_base_price(sku, currency, list_key, at) : NULL;

	return price ? price : price_now(sku, currency, list_key, at, line);
}

/*
 * ecauto.price_at(sku text, currency text, at timestamptz, context jsonb) returns numeric
 */
Datum
ecauto_price_at(PG_FUNCTION_ARGS)
{
	char	   *sku;
	char	   *currency;
	TimestampTz at;
	Jsonb	   *context;
	EcWord		list = {"", 0};
	JsonbValue	space;
	JsonbValue *value;
	char	   *list_key;
	Numeric		price;
	EcLine		line = {0};
	EcCart	   *cart;
	const EcPromotions *promotions;

	ec_state_require();
	for (int i = 0; i < 2; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not be null", i == 0 ? "sku" : "currency")));
	sku = text_to_cstring(PG_GETARG_TEXT_PP(0));
	currency = ec_currency_check(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	at = PG_ARGISNULL(2) ? ec_now() : PG_GETARG_TIMESTAMPTZ(2);
	context = DatumGetJsonbP(argument(fcinfo, 3, "context of a price"));
	if (JB_ROOT_IS_OBJECT(context) && (value = ec_json_field(&context->root, "list", &space)) != NULL)
		ec_word_from_json(&list, value);
	list_key = pnstrdup(list.data ? list.data : "", list.len);

	price = price_then(sku, currency, list_key, at, &line);
	if (price == NULL)
	{
		/* by its code, or an error */
		char	   *key = ec_pricing_sku_key(sku);

		if (strcmp(key, sku) != 0)
			price = price_then(key, currency, list_key, at, &line);
		sku = key;
	}
	if (price == NULL)
		PG_RETURN_NULL();
	if (JB_ROOT_IS_OBJECT(context) && (value = ec_json_field(&context->root, "unit_price", &space)) != NULL)
	{
		if (value->type != jbvNumeric)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"unit_price\" in the context of a price must be a number")));
		price = value->val.numeric;
	}
	cart = ec_cart_of_one(sku, price, currency, at, context);
	cart->lines[0].product = line.product;
	cart->lines[0].brand = line.brand;
	cart->lines[0].attributes = line.attributes;
	cart->lines[0].categories_known = line.categories_known;
	cart->is_price = true;
	promotions = what_if(cart, ec_promotions());
	ec_cart_fetch_attributes(cart, promotions);
	ec_cart_price(cart, promotions);
	PG_RETURN_NUMERIC(ec_money_numeric(cart->lines[0].left, cart->decimals));
}

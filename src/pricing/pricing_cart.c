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
	result->any_attributes = kept->any_attributes;
	it = JsonbIteratorInit(given->val.binary.data);
	(void) JsonbIteratorNext(&it, &key, true);
	while (JsonbIteratorNext(&it, &key, true) == WJB_KEY)
	{
		EcPromotion *promotion;

		(void) JsonbIteratorNext(&it, &value, true);
		promotion = ec_promotion_parse(pnstrdup(key.val.string.val, key.val.string.len), JsonbValueToJsonb(&value),
									   GetUserId(), zone);
		result->any_attributes = result->any_attributes || promotion->needs_attributes;
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
	if (promotions->any_attributes)
		ec_cart_fetch_attributes(cart);
	ec_cart_price(cart, promotions);
	MemoryContextSwitchTo(caller);
	result = ec_cart_result(cart);
	MemoryContextDelete(work);
	PG_RETURN_JSONB_P(result);
}

/*-------------------------------------------------------------------------
 *
 * pricing_cart_result.c
 *		The answer of price_cart(): what applied, what did not and why.
 *
 * Keys are written in jsonb's order (pricing_cart_json.c), so each list of
 * keys below is sorted by length first.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "pricing/pricing_cart.h"

/* the name of each reason, and what it means, unless the promotion or the cart has a part in that */
static const struct
{
	const char *name;
	const char *message;
}			reasons[] = {
	[EC_APPLIED] = {"applied", ""},
	[EC_NOT_YET] = {"not_started", NULL},
	[EC_ENDED] = {"ended", NULL},
	[EC_OTHER_HOURS] = {"hours", "not at this time of the week"},
	[EC_PAUSED] = {"paused", "not active"},
	[EC_OTHER_CURRENCY] = {"currency", NULL},
	[EC_OTHER_CHANNEL] = {"channel", "not in this channel"},
	[EC_OTHER_SEGMENT] = {"segment", "the customer is in none of its segments"},
	[EC_OTHER_CUSTOMER] = {"customer", "for other customers"},
	[EC_NO_COUPON] = {"coupon", NULL},
	[EC_CONDITION] = {"condition", NULL},
	[EC_NO_LINES] = {"no_lines", "nothing in the cart is meant by it"},
	[EC_BELOW_TOTAL] = {"threshold", NULL},
	[EC_BELOW_QTY] = {"quantity", NULL},
	[EC_EXCLUDED] = {"excluded", NULL},
	[EC_NOT_BEST] = {"not_best", NULL},
	[EC_BUDGET] = {"budget", "its budget is used up"},
	[EC_CUSTOMER_LIMIT] = {"customer_limit", "the customer has used it as often as allowed"},
	[EC_NO_STOCK] = {"stock", NULL},
	[EC_NO_SHIPPING] = {"shipping", "there is no shipping"},
	[EC_NOTHING_LEFT] = {"nothing_left", "there is nothing left to take off"},
	[EC_BROKEN] = {"error", NULL}
};

/* What a customer would call it. */
static const char *
label(const EcPromotion *promotion)
{
	if (promotion->title != NULL)
		return promotion->title;
	if (promotion->action == EC_DO_SHIPPING && promotion->give.kind == EC_GIVE_PERCENT &&
		promotion->give.percent == EC_PERCENT_100)
		return "free shipping";
	if (promotion->action == EC_DO_GIFT)
		return psprintf("gift %.*s", promotion->gift_sku.len, promotion->gift_sku.data);
	return promotion->name;
}

static char *
money_text(EcCart *cart, EcMoney amount)
{
	char		digits[64];
	int64		power = 1;

	for (int i = 0; i < cart->decimals; i++)
		power *= 10;
	if (cart->decimals > 0)
		snprintf(digits, sizeof(digits), INT64_FORMAT ".%0*d", amount / power, cart->decimals, (int) (amount % power));
	else
		snprintf(digits, sizeof(digits), INT64_FORMAT, amount);
	return psprintf("%s%s%s", digits, cart->currency[0] ? " " : "", cart->currency);
}

static char *
time_text(TimestampTz at)
{
	char	   *buf = palloc(MAXDATELEN + 1);

	return JsonEncodeDateTime(buf, TimestampTzGetDatum(at), TIMESTAMPTZOID, NULL);
}

/* Why a promotion did not apply, in words. */
static const char *
message(EcCart *cart, const EcOutcome *outcome)
{
	const EcPromotion *promotion = outcome->promotion;
	const char *other = outcome->other >= 0 ? cart->outcomes[outcome->other].promotion->name : "another";

	switch (outcome->reason)
	{
		case EC_NOT_YET:
			return psprintf("begins at %s", time_text(promotion->from));
		case EC_ENDED:
			return psprintf("ended at %s", time_text(promotion->until));
		case EC_OTHER_CURRENCY:
			return psprintf("only in %s", promotion->currency);
		case EC_NO_COUPON:
			return outcome->detail ? psprintf("its coupon is %s", outcome->detail) : "needs a coupon";
		case EC_CONDITION:
			return psprintf("not met: %s", ec_when_text(promotion->when));
		case EC_BELOW_TOTAL:
			return psprintf("%s to %s", money_text(cart, outcome->missing), label(promotion));
		case EC_BELOW_QTY:
			if (outcome->detail != NULL)
				return psprintf("%s: add what is discounted", label(promotion));
			return psprintf(INT64_FORMAT " more to %s", outcome->missing_qty, label(promotion));
		case EC_EXCLUDED:
			return psprintf("does not go together with %s", other);
		case EC_NOT_BEST:
			return psprintf("%s is better", other);
		case EC_NO_STOCK:
			return psprintf("%.*s is out of stock", promotion->gift_sku.len, promotion->gift_sku.data);
		case EC_BROKEN:
			return psprintf("it cannot be evaluated: %s", outcome->detail ? outcome->detail : "");
		default:
			return reasons[outcome->reason].message;
	}
}

/* ---- lines ---- */

/* Units that come back: what was paid for them, so that all of them make the whole. */
static EcMoney
refund_of(const EcLine *line)
{
	EcMoney		before = line->qty == 0 ? 0 : ec_money_round((int128) line->left * line->returned_before, line->qty);
	EcMoney		after = line->qty == 0 ? 0 :
		ec_money_round((int128) line->left * (line->returned_before + line->returned), line->qty);

	return after - before;
}

static void
write_word(EcJson *json, const EcWord *word)
{
	ec_json_string(json, word->data, word->len);
}

static void
write_line(EcJson *json, EcCart *cart, int index)
{
	static const char *const with_key[] = {
		"key", "qty", "sku", "line", "total", "discount", "subtotal", "discounts", "unit_price"
	};
	static const char *const with_refund[] = {
		"key", "qty", "sku", "line", "total", "refund", "discount", "subtotal", "discounts", "unit_price"
	};
	static const char *const discount_keys[] = {"amount", "promotion"};
	const EcLine *line = &cart->lines[index];
	bool		has_key = line->key.data != NULL;
	int			n = 0;

	if (cart->refund)
		ec_json_object(json, has_key ? 10 : 9, has_key ? with_refund : with_refund + 1);
	else
		ec_json_object(json, has_key ? 9 : 8, has_key ? with_key : with_key + 1);
	if (has_key)
		write_word(json, &line->key);
	ec_json_numeric(json, line->qty_given);
	write_word(json, &line->sku);
	ec_json_int(json, line->number);
	ec_json_money(json, line->left, cart->decimals);
	if (cart->refund)
		ec_json_money(json, refund_of(line), cart->decimals);
	ec_json_money(json, line->subtotal - line->left, cart->decimals);
	ec_json_money(json, line->subtotal, cart->decimals);
	if (line->left < line->subtotal)
		for (int i = 0; i < cart->noutcomes; i++)
			n += cart->outcomes[i].reason == EC_APPLIED && cart->outcomes[i].gives != NULL &&
				cart->outcomes[i].gives[index] > 0;
	ec_json_array(json, n);
	for (int i = 0; n > 0 && i < cart->noutcomes; i++)
	{
		const EcOutcome *outcome = &cart->outcomes[i];

		if (outcome->reason != EC_APPLIED || outcome->gives == NULL || outcome->gives[index] == 0)
			continue;
		ec_json_object(json, 2, discount_keys);
		ec_json_money(json, outcome->gives[index], cart->decimals);
		ec_json_cstring(json, outcome->promotion->name);
		ec_json_end(json);
	}
	ec_json_end(json);
	ec_json_numeric(json, line->price_given);
	ec_json_end(json);
}

/* ---- promotions ---- */

static void
write_applied(EcJson *json, EcCart *cart, const EcOutcome *outcome)
{
	const EcPromotion *promotion = outcome->promotion;
	const char *keys[7];
	bool		next = outcome->has_next && (outcome->missing > 0 || outcome->missing_qty > 0);
	int			n = 0;

	if (next)
		keys[n++] = "next";
	if (outcome->times > 0)
		keys[n++] = "times";
	if (promotion->title != NULL)
		keys[n++] = "title";
	keys[n++] = "amount";
	if (outcome->code != NULL)
		keys[n++] = "coupon";
	if (promotion->action == EC_DO_SHIPPING)
		keys[n++] = "shipping";
	keys[n++] = "promotion";
	ec_json_object(json, n, keys);
	if (next)
	{
		static const char *const money_keys[] = {"message", "missing"};
		static const char *const qty_keys[] = {"message", "missing_qty"};

		ec_json_object(json, 2, outcome->missing > 0 ? money_keys : qty_keys);
		if (outcome->missing > 0)
		{
			ec_json_cstring(json, psprintf("%s to more", money_text(cart, outcome->missing)));
			ec_json_money(json, outcome->missing, cart->decimals);
		}
		else
		{
			ec_json_cstring(json, psprintf(INT64_FORMAT " to more", outcome->missing_qty));
			ec_json_int(json, outcome->missing_qty);
		}
		ec_json_end(json);
	}
	if (outcome->times > 0)
		ec_json_int(json, outcome->times);
	if (promotion->title != NULL)
		ec_json_cstring(json, promotion->title);
	ec_json_money(json, outcome->amount, cart->decimals);
	if (outcome->code != NULL)
		ec_json_cstring(json, outcome->code->given);
	if (promotion->action == EC_DO_SHIPPING)
		ec_json_bool(json, true);
	ec_json_cstring(json, promotion->name);
	ec_json_end(json);
}

/* What is said of a promotion for a reason, kept with it. */
typedef struct EcSaid
{
	int			len[EC_SKIPPED];	/* 0: not yet */
	char	   *data[EC_SKIPPED];
} EcSaid;

/* Does it depend on nothing but the promotion and the reason? */
static bool
is_constant(EcCart *cart, const EcOutcome *outcome)
{
	return !cart->explain_all && outcome->missing == 0 && outcome->missing_qty == 0 && outcome->other < 0 &&
		outcome->detail == NULL && outcome->reason != EC_NOT_YET && outcome->reason != EC_ENDED;
}

static void
write_not_applied(EcJson *json, EcCart *cart, const EcOutcome *outcome)
{
	const char *text = reasons[outcome->reason].message == NULL || cart->explain_all ? message(cart, outcome) : NULL;
	const char *keys[7];
	int			n = 0;

	if (outcome->promotion->title != NULL)
		keys[n++] = "title";
	keys[n++] = "reason";
	if (outcome->other >= 0)
		keys[n++] = "because";
	if (text != NULL)
		keys[n++] = "message";
	if (outcome->missing > 0)
		keys[n++] = "missing";
	keys[n++] = "promotion";
	if (outcome->missing_qty > 0)
		keys[n++] = "missing_qty";
	ec_json_object(json, n, keys);
	if (outcome->promotion->title != NULL)
		ec_json_cstring(json, outcome->promotion->title);
	ec_json_cstring(json, reasons[outcome->reason].name);
	if (outcome->other >= 0)
		ec_json_cstring(json, cart->outcomes[outcome->other].promotion->name);
	if (text != NULL)
		ec_json_cstring(json, text);
	if (outcome->missing > 0)
		ec_json_money(json, outcome->missing, cart->decimals);
	ec_json_cstring(json, outcome->promotion->name);
	if (outcome->missing_qty > 0)
		ec_json_int(json, outcome->missing_qty);
	ec_json_end(json);
}

/* The same, from what was said before if nothing depends on the cart. */
static void
say_not_applied(EcJson *json, EcCart *cart, const EcOutcome *outcome)
{
	EcPromotion *promotion = (EcPromotion *) outcome->promotion;
	EcSaid	   *said = promotion->said;

	if (!is_constant(cart, outcome))
	{
		write_not_applied(json, cart, outcome);
		return;
	}
	if (said == NULL)
		said = promotion->said = MemoryContextAllocZero(GetMemoryChunkContext(promotion), sizeof(EcSaid));
	if (said->len[outcome->reason] == 0)
	{
		EcJson		alone;
		Jsonb	   *whole;
		char	   *data;
		int			len;

		ec_json_begin(&alone);
		write_not_applied(&alone, cart, outcome);
		whole = ec_json_finish(&alone);
		len = VARSIZE(whole) - VARHDRSZ;
		data = MemoryContextAlloc(GetMemoryChunkContext(promotion), len);
		memcpy(data, &whole->root, len);
		said->data[outcome->reason] = data;
		said->len[outcome->reason] = len;
		pfree(whole);
	}
	ec_json_raw(json, said->data[outcome->reason], said->len[outcome->reason]);
}

static void
write_coupons(EcJson *json, EcCart *cart)
{
	static const char *const keys[] = {"code", "status"};

	ec_json_array(json, cart->ncodes);
	for (int i = 0; i < cart->ncodes; i++)
	{
		const EcCode *code = &cart->codes[i];

		ec_json_object(json, 2, keys);
		ec_json_cstring(json, code->given);
		ec_json_cstring(json, code->status ? code->status : code->used ? "applied" : "not applied");
		ec_json_end(json);
	}
	ec_json_end(json);
}

static void
write_gifts(EcJson *json, EcCart *cart)
{
	static const char *const keys[] = {"qty", "sku", "promotion"};
	int			n = 0;

	for (int i = 0; i < cart->noutcomes; i++)
		n += cart->outcomes[i].reason == EC_APPLIED && cart->outcomes[i].promotion->action == EC_DO_GIFT;
	ec_json_array(json, n);
	for (int i = 0; n > 0 && i < cart->noutcomes; i++)
	{
		const EcOutcome *outcome = &cart->outcomes[i];

		if (outcome->reason != EC_APPLIED || outcome->promotion->action != EC_DO_GIFT)
			continue;
		ec_json_object(json, 3, keys);
		ec_json_int(json, outcome->times);
		write_word(json, &outcome->promotion->gift_sku);
		ec_json_cstring(json, outcome->promotion->name);
		ec_json_end(json);
	}
	ec_json_end(json);
}

/* The answer, in the current context. */
Jsonb *
ec_cart_result(EcCart *cart)
{
	static const char *const shipping_keys[] = {"price", "total", "discount"};
	EcJson		json;
	const char *keys[12];
	EcMoney		left = 0;
	EcMoney		refund = 0;
	int			applied = 0;
	int			not_applied = 0;
	int			n = 0;

	for (int i = 0; i < cart->nlines; i++)
	{
		left += cart->lines[i].left;
		refund += refund_of(&cart->lines[i]);
	}
	for (int i = 0; i < cart->noutcomes; i++)
	{
		applied += cart->outcomes[i].reason == EC_APPLIED;
		not_applied += cart->outcomes[i].reason != EC_APPLIED && cart->outcomes[i].reason != EC_SKIPPED;
	}

	keys[n++] = "at";
	keys[n++] = "gifts";
	keys[n++] = "lines";
	keys[n++] = "total";
	if (cart->refund)
		keys[n++] = "refund";
	keys[n++] = "applied";
	keys[n++] = "coupons";
	keys[n++] = "currency";
	keys[n++] = "discount";
	if (cart->has_shipping)
		keys[n++] = "shipping";
	keys[n++] = "subtotal";
	keys[n++] = "not_applied";

	ec_json_begin(&json);
	ec_json_object(&json, n, keys);
	ec_json_cstring(&json, time_text(cart->at));
	write_gifts(&json, cart);
	ec_json_array(&json, cart->nlines);
	for (int i = 0; i < cart->nlines; i++)
		write_line(&json, cart, i);
	ec_json_end(&json);
	ec_json_money(&json, left + (cart->has_shipping ? cart->shipping_left : 0), cart->decimals);
	if (cart->refund)
		ec_json_money(&json, refund, cart->decimals);
	ec_json_array(&json, applied);
	for (int i = 0; i < cart->noutcomes; i++)
		if (cart->outcomes[i].reason == EC_APPLIED)
			write_applied(&json, cart, &cart->outcomes[i]);
	ec_json_end(&json);
	write_coupons(&json, cart);
	if (cart->currency[0] != '\0')
		ec_json_cstring(&json, cart->currency);
	else
		ec_json_null(&json);
	ec_json_money(&json, cart->subtotal - left, cart->decimals);
	if (cart->has_shipping)
	{
		ec_json_object(&json, 3, shipping_keys);
		ec_json_money(&json, cart->shipping, cart->decimals);
		ec_json_money(&json, cart->shipping_left, cart->decimals);
		ec_json_money(&json, cart->shipping - cart->shipping_left, cart->decimals);
		ec_json_end(&json);
	}
	ec_json_money(&json, cart->subtotal, cart->decimals);
	ec_json_array(&json, not_applied);
	for (int i = 0; i < cart->noutcomes; i++)
		if (cart->outcomes[i].reason != EC_APPLIED && cart->outcomes[i].reason != EC_SKIPPED)
			say_not_applied(&json, cart, &cart->outcomes[i]);
	ec_json_end(&json);
	ec_json_end(&json);
	return ec_json_finish(&json);
}

/*-------------------------------------------------------------------------
 *
 * pricing_cart_rule.c
 *		Which promotions apply to a cart, in which order, and with which others.
 *
 * Promotions are tried lane after lane, in a lane by priority, greater first,
 * then by name.  Each sees what those before it have left.
 *
 *		add			takes its part beside the others
 *		exclusive	has the lines it takes something off for itself, in its
 *					lane; what another had before it, it leaves alone
 *		alone		applies only if nothing has, and nothing after it does
 *		best		of all these in a lane, taken at the place of the first of
 *					them, the combination that takes off the most: each line
 *					gets the best of those that reduce line by line, and at
 *					most one of the others, on lines of its own
 *
 * A condition of a user may fail while it is evaluated.  Then the promotion is
 * out, with the message as its reason, and the cart is priced again without.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "miscadmin.h"
#include "pgtime.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "pricing/pricing_cart.h"

/* out of time by no more than this: worth a word */
#define NEAR (30 * USECS_PER_DAY)

typedef struct Pricing
{
	EcCart	   *cart;
	const EcPromotions *promotions;
	const char **broken;		/* of each promotion: what its condition said, or NULL */
} Pricing;

/* ---- is it meant? ---- */

bool
ec_cart_line_matches(EcCart *cart, const EcLine *line, const EcTarget *target)
{
	if (target->all)
		return true;
	if (target->skus.n > 0 && !ec_words_have(&target->skus, line->sku.data, line->sku.len))
		return false;
	if (target->products.n > 0 && !ec_words_have(&target->products, line->product.data, line->product.len))
		return false;
	if (target->brands.n > 0 && !ec_words_have(&target->brands, line->brand.data, line->brand.len))
		return false;
	if (target->categories.n > 0)
	{
		bool		found = false;

		for (int i = 0; i < line->categories.n && !found; i++)
			found = ec_words_have(&target->categories, line->categories.words[i].data, line->categories.words[i].len);
		if (!found)
			return false;
	}
	if (target->tags.n > 0)
	{
		bool		found = false;

		for (int i = 0; i < line->tags.n && !found; i++)
			found = ec_words_have(&target->tags, line->tags.words[i].data, line->tags.words[i].len);
		if (!found)
			return false;
	}
	if (target->where != NULL && ec_when_test(target->where, cart, line) != EC_EXPR_TRUE)
		return false;
	return target->except == NULL || !ec_cart_line_matches(cart, line, target->except);
}

/* Is it one of the promotion's hours? */
static bool
in_hours(const EcPromotion *promotion, TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;
	int			minute;
	int			day;

	if (promotion->nhours == 0)
		return true;
	if (timestamp2tm(at, &tz, &tm, &fsec, NULL, promotion->zone) != 0)
		return false;
	minute = tm.tm_hour * 60 + tm.tm_min;
	day = j2day(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday));
	for (int i = 0; i < promotion->nhours; i++)
	{
		const EcHours *hours = &promotion->hours[i];

		if ((hours->days & (1 << day)) && minute >= hours->from && minute < hours->until)
			return true;
		/* those that began the day before */
		if ((hours->days & (1 << ((day + 6) % 7))) && minute + 24 * 60 < hours->until)
			return true;
	}
	return false;
}

/* May it apply to this cart at this time at all? */
static bool
is_meant(EcCart *cart, EcOutcome *outcome)
{
	const EcPromotion *promotion = outcome->promotion;

	outcome->reason = EC_SKIPPED;
	if (cart->is_price && !promotion->on_price)
		return false;
	if (cart->at < promotion->from)
	{
		if (cart->explain_all || promotion->from - cart->at <= NEAR)
			outcome->reason = EC_NOT_YET;
		return false;
	}
	if (cart->at >= promotion->until)
	{
		if (cart->explain_all || cart->at - promotion->until <= NEAR)
			outcome->reason = EC_ENDED;
		return false;
	}
	if (!promotion->active)
	{
		if (cart->explain_all)
			outcome->reason = EC_PAUSED;
		return false;
	}
	if (cart->without.n > 0 && ec_words_have(&cart->without, promotion->name, strlen(promotion->name)))
		return false;

	outcome->reason = EC_BROKEN;
	if (promotion->error != NULL)
	{
		outcome->detail = promotion->error;
		return false;
	}
	outcome->reason = EC_OTHER_HOURS;
	if (!in_hours(promotion, cart->at))
		return false;
	outcome->reason = EC_OTHER_CURRENCY;
	if (promotion->currency[0] != '\0' && cart->currency[0] != '\0' &&
		strcmp(promotion->currency, cart->currency) != 0)
		return false;
	outcome->reason = EC_OTHER_CHANNEL;
	if (promotion->channels.n > 0 && !ec_words_have(&promotion->channels, cart->channel.data, cart->channel.len))
		return false;
	outcome->reason = EC_OTHER_CUSTOMER;
	if (promotion->customers.n > 0 &&
		!ec_words_have(&promotion->customers, cart->customer_key.data, cart->customer_key.len) &&
		(cart->identity == NULL || !ec_words_have(&promotion->customers, cart->identity, strlen(cart->identity))))
		return false;
	outcome->reason = EC_OTHER_SEGMENT;
	if (promotion->segments.n > 0 && !ec_cart_in_segment(cart, &promotion->segments))
		return false;
	if (promotion->coupon)
	{
		outcome->reason = EC_NO_COUPON;
		for (int i = 0; i < cart->ncodes; i++)
		{
			if (cart->codes[i].promotion != promotion->id)
				continue;
			if (cart->codes[i].status == NULL)
				outcome->code = &cart->codes[i];
			else
				outcome->detail = cart->codes[i].status;
		}
		if (outcome->code == NULL)
			return false;
	}
	outcome->reason = EC_CONDITION;
	if (promotion->when != NULL && ec_when_test(promotion->when, cart, NULL) != EC_EXPR_TRUE)
		return false;
	outcome->reason = EC_APPLIED;
	return true;
}

/* ---- trying one ---- */

/* The lines a promotion may touch and those of its scope; both by rank. */
static void
select_lines(EcCart *cart, EcOutcome *outcome, const bool *only, EcSelection *allowed, EcSelection *selection)
{
	const EcPromotion *promotion = outcome->promotion;
	bool		exclusive = promotion->stack == EC_STACK_EXCLUSIVE;
	bool		all = promotion->target.all;
	int			taken = -1;

	allowed->lines = palloc(sizeof(int) * (2 * cart->nlines + 1));
	selection->lines = allowed->lines + cart->nlines;
	allowed->n = selection->n = 0;
	for (int i = 0; i < cart->nlines; i++)
	{
		int			index = cart->order[i];
		const EcLine *line = &cart->lines[index];
		bool		free = line->taken < 0 && !(exclusive && line->touched >= 0);

		if (line->qty == 0 || (only != NULL && !only[index]))
			continue;
		if (free)
			allowed->lines[allowed->n++] = index;
		if (!all && !ec_cart_line_matches(cart, line, &promotion->target))
			continue;
		if (free)
			selection->lines[selection->n++] = index;
		else
			taken = line->taken >= 0 ? line->taken : line->touched;
	}
	if (selection->n == 0)
	{
		outcome->reason = taken >= 0 ? EC_EXCLUDED : EC_NO_LINES;
		outcome->other = taken;
	}
}

/* Is there enough in the cart? */
static bool
is_enough(EcCart *cart, EcOutcome *outcome)
{
	const EcPromotion *promotion = outcome->promotion;
	const EcTarget *target = promotion->needs ? promotion->needs : &promotion->target;
	EcMoney		total = 0;
	int64		qty = 0;
	EcMoney		min_total;

	if (promotion->min_total == 0 && promotion->min_qty == 0)
		return true;
	for (int i = 0; i < cart->nlines; i++)
	{
		const EcLine *line = &cart->lines[i];

		if (line->qty > 0 && ec_cart_line_matches(cart, line, target))
		{
			total += line->left;
			qty += line->qty;
		}
	}
	min_total = ec_money_from_micro(promotion->min_total, cart->decimals);
	if (total < min_total)
	{
		outcome->reason = EC_BELOW_TOTAL;
		outcome->missing = min_total - total;
		return false;
	}
	if (qty < promotion->min_qty * EC_MICRO)
	{
		outcome->reason = EC_BELOW_QTY;
		outcome->missing_qty = (promotion->min_qty * EC_MICRO - qty + EC_MICRO - 1) / EC_MICRO;
		return false;
	}
	return true;
}

/* Is there room for one more use of so much? */
static bool
within_budget(EcCart *cart, const EcPromotions *promotions, EcOutcome *outcome)
{
	const EcPromotion *promotion = outcome->promotion;
	const EcUsage *usage;

	if (!promotion->has_budget || promotion->id == 0)
		return true;
	usage = ec_cart_usage(cart, promotions, promotion->id);
	outcome->reason = EC_BUDGET;
	if (promotion->budget_uses >= 0 && usage->uses - usage->order_uses >= promotion->budget_uses)
		return false;
	if (promotion->budget_amount >= 0)
	{
		EcMoney		left = ec_money_from_micro(promotion->budget_amount, cart->decimals) - usage->amount +
			usage->order_amount;

		if (outcome->amount > left)
		{
			outcome->missing = outcome->amount - Max(left, 0);
			return false;
		}
	}
	outcome->reason = EC_CUSTOMER_LIMIT;
	if (promotion->uses_per_customer >= 0 && cart->identity != NULL &&
		usage->customer_uses - usage->order_uses >= promotion->uses_per_customer)
		return false;
	outcome->reason = EC_APPLIED;
	return true;
}

/* What it takes off the shipping. */
static bool
try_shipping(EcCart *cart, EcOutcome *outcome)
{
	const EcPromotion *promotion = outcome->promotion;

	if (cart->shipping_taken >= 0 ||
		(promotion->stack == EC_STACK_EXCLUSIVE && cart->shipping_touched >= 0))
	{
		outcome->reason = EC_EXCLUDED;
		outcome->other = cart->shipping_taken >= 0 ? cart->shipping_taken : cart->shipping_touched;
		return false;
	}
	outcome->shipping = ec_give_on(cart, &promotion->give, cart->shipping_left, 1);
	if (promotion->max_discount > 0)
		outcome->shipping = Min(outcome->shipping, ec_money_from_micro(promotion->max_discount, cart->decimals));
	outcome->amount = outcome->shipping;
	/* not knowing what shipping costs is no reason not to promise it */
	if (cart->has_shipping && outcome->shipping == 0)
	{
		outcome->reason = EC_NOTHING_LEFT;
		return false;
	}
	return true;
}

static bool
try_gift(EcCart *cart, EcOutcome *outcome)
{
	int64		available;

	outcome->times = outcome->promotion->gift_qty;
	if (ec_cart_stock(cart, &outcome->promotion->gift_sku, &available) && available < outcome->times)
	{
		outcome->reason = EC_NO_STOCK;
		outcome->missing_qty = outcome->times - Max(available, 0);
		return false;
	}
	return true;
}

/*
 * Compute what a promotion that is meant would do now; nothing of the cart
 * changes but the outcome.  only: it may touch these lines (by input order),
 * or NULL.  True if it would do something.
 */
static bool
try_promotion(EcCart *cart, const EcPromotions *promotions, EcOutcome *outcome, const bool *only)
{
	const EcPromotion *promotion = outcome->promotion;
	EcSelection allowed;
	EcSelection selection;

	outcome->reason = EC_APPLIED;
	outcome->other = -1;
	outcome->amount = outcome->shipping = outcome->missing = 0;
	outcome->missing_qty = outcome->times = 0;
	outcome->has_next = false;
	outcome->gives = NULL;
	if (cart->alone >= 0 || (promotion->stack == EC_STACK_ALONE && cart->first_applied >= 0))
	{
		outcome->reason = EC_EXCLUDED;
		outcome->other = cart->alone >= 0 ? cart->alone : cart->first_applied;
		return false;
	}
	if (!is_enough(cart, outcome))
		return false;
	if (promotion->action == EC_DO_SHIPPING)
		return try_shipping(cart, outcome) && within_budget(cart, promotions, outcome);

	select_lines(cart, outcome, only, &allowed, &selection);
	if (promotion->action == EC_DO_GIFT)
		/* no line is touched, so none is excluded */
		return outcome->reason != EC_NO_LINES &&
			((outcome->reason = EC_APPLIED), outcome->other = -1, try_gift(cart, outcome)) &&
			within_budget(cart, promotions, outcome);
	if (outcome->reason != EC_APPLIED)
		return false;

	outcome->gives = palloc0(sizeof(EcMoney) * cart->nlines);
	outcome->amount = ec_action_compute(cart, promotion, &selection, &allowed, outcome, outcome->gives);
	if (promotion->max_discount > 0)
	{
		EcMoney		most = ec_money_from_micro(promotion->max_discount, cart->decimals);

		if (outcome->amount > most)
		{
			EcMoney    *weights = palloc(sizeof(EcMoney) * (cart->nlines + 1));
			EcMoney    *shares = palloc(sizeof(EcMoney) * (cart->nlines + 1));

			for (int i = 0; i < cart->nlines; i++)
				weights[i] = outcome->gives[cart->order[i]];
			ec_money_share(most, cart->nlines, weights, shares);
			for (int i = 0; i < cart->nlines; i++)
				outcome->gives[cart->order[i]] = shares[i];
			outcome->amount = most;
		}
	}
	if (outcome->amount == 0)
	{
		if (outcome->reason == EC_APPLIED)
			outcome->reason = EC_NOTHING_LEFT;
		return false;
	}
	return within_budget(cart, promotions, outcome);
}

/* Let an outcome of try_promotion() come true. */
static void
commit(EcCart *cart, EcOutcome *outcome)
{
	int			self = outcome - cart->outcomes;
	bool		exclusive = outcome->promotion->stack == EC_STACK_EXCLUSIVE;

	outcome->reason = EC_APPLIED;
	for (int i = 0; outcome->gives != NULL && i < cart->nlines; i++)
	{
		if (outcome->gives[i] == 0)
			continue;
		cart->lines[i].left -= outcome->gives[i];
		cart->lines[i].touched = self;
		if (exclusive)
			cart->lines[i].taken = self;
	}
	if (outcome->promotion->action == EC_DO_SHIPPING)
	{
		cart->shipping_left -= outcome->shipping;
		cart->shipping_touched = self;
		if (exclusive)
			cart->shipping_taken = self;
	}
	if (outcome->code != NULL)
		((EcCode *) outcome->code)->used = true;
	if (cart->first_applied < 0)
		cart->first_applied = self;
	if (outcome->promotion->stack == EC_STACK_ALONE)
		cart->alone = self;
}

/* ---- the best for the customer ---- */

/* Does it reduce each line by itself, so that it can be had on some of them? */
static bool
by_line(const EcPromotion *promotion)
{
	return promotion->action == EC_DO_GIVE && promotion->max_discount == 0 &&
		(promotion->per != EC_PER_CART || promotion->give.kind == EC_GIVE_PERCENT);
}

/*
 * Of n promotions (indexes of outcomes) that are meant, apply the best
 * combination; see the opening.
 */
static void
apply_best(EcCart *cart, const EcPromotions *promotions, int n, const int *members)
{
	EcMoney		best = 0;
	int			best_whole = -1;
	int			winner = -1;
	int		   *of_line = palloc(sizeof(int) * (cart->nlines + 1));
	int			nbest = 0;
	bool	   *good = palloc0(sizeof(bool) * n);
	bool	   *apply = palloc0(sizeof(bool) * n);

	for (int i = 0; i < n; i++)
	{
		cart->current = members[i];
		good[i] = try_promotion(cart, promotions, &cart->outcomes[members[i]], NULL);
	}
	/* the best of those that go line by line, for each line */
	for (int line = 0; line < cart->nlines; line++)
	{
		EcMoney		most = 0;

		of_line[line] = -1;
		for (int i = 0; i < n; i++)
		{
			const EcOutcome *outcome = &cart->outcomes[members[i]];

			if (good[i] && by_line(outcome->promotion) && outcome->gives[line] > most)
			{
				most = outcome->gives[line];
				of_line[line] = i;
			}
		}
		best += most;
	}
	/* with one of the others, on its lines instead */
	for (int i = 0; i < n; i++)
	{
		const EcOutcome *outcome = &cart->outcomes[members[i]];
		EcMoney		total = 0;

		if (!good[i] || by_line(outcome->promotion))
			continue;
		total = outcome->amount;
		for (int line = 0; line < cart->nlines; line++)
			if (of_line[line] >= 0 && (outcome->gives == NULL || outcome->gives[line] == 0))
				total += cart->outcomes[members[of_line[line]]].gives[line];
		/* a gift has no amount, but it is better than nothing */
		if (total > best || (total == best && best_whole < 0 && (nbest == 0 && best == 0)))
		{
			best = total;
			best_whole = i;
		}
	}
	if (best_whole >= 0)
	{
		const EcOutcome *outcome = &cart->outcomes[members[best_whole]];

		apply[best_whole] = true;
		for (int line = 0; line < cart->nlines; line++)
			if (outcome->gives != NULL && outcome->gives[line] > 0)
				of_line[line] = -1;
	}
	/* once more, each on its own lines */
	for (int i = 0; i < n; i++)
	{
		bool	   *only;
		bool		any = false;

		if (!good[i] || !by_line(cart->outcomes[members[i]].promotion))
			continue;
		only = palloc(sizeof(bool) * (cart->nlines + 1));
		for (int line = 0; line < cart->nlines; line++)
		{
			only[line] = of_line[line] == i;
			any = any || only[line];
		}
		if (!any)
			continue;
		cart->current = members[i];
		apply[i] = try_promotion(cart, promotions, &cart->outcomes[members[i]], only);
		good[i] = apply[i];
	}
	for (int i = 0; i < n; i++)
	{
		if (apply[i])
		{
			commit(cart, &cart->outcomes[members[i]]);
			if (winner < 0 || cart->outcomes[members[i]].amount > cart->outcomes[winner].amount)
				winner = members[i];
		}
	}
	for (int i = 0; i < n; i++)
	{
		EcOutcome  *outcome = &cart->outcomes[members[i]];

		if (good[i] && !apply[i])
		{
			outcome->reason = EC_NOT_BEST;
			outcome->other = winner;
		}
	}
}

/* ---- all of them ---- */

static void
reset(EcCart *cart, const EcPromotions *promotions, const char **broken)
{
	memset(cart->outcomes, 0, sizeof(EcOutcome) * promotions->n);
	for (int i = 0; i < promotions->n; i++)
	{
		cart->outcomes[i].promotion = promotions->list[i];
		cart->outcomes[i].other = -1;
		cart->outcomes[i].detail = broken ? broken[i] : NULL;
	}
	for (int i = 0; i < cart->nlines; i++)
		cart->lines[i].left = cart->lines[i].subtotal;
	for (int i = 0; i < cart->ncodes; i++)
		cart->codes[i].used = false;
	cart->shipping_left = cart->shipping;
	cart->first_applied = cart->alone = -1;
}

static void
begin_lane(EcCart *cart)
{
	for (int i = 0; i < cart->nlines; i++)
		cart->lines[i].touched = cart->lines[i].taken = -1;
	cart->shipping_touched = cart->shipping_taken = -1;
}

static void
price(void *arg)
{
	Pricing    *pricing = arg;
	EcCart	   *cart = pricing->cart;
	const EcPromotions *promotions = pricing->promotions;
	int			lane = 0;
	bool		best_done = false;

	reset(cart, promotions, pricing->broken);
	for (int i = 0; i < promotions->n; i++)
	{
		EcOutcome  *outcome = &cart->outcomes[i];

		CHECK_FOR_INTERRUPTS();
		cart->current = i;
		if (outcome->promotion->lane != lane)
		{
			lane = outcome->promotion->lane;
			best_done = false;
			begin_lane(cart);
		}
		if (pricing->broken != NULL && pricing->broken[i] != NULL)
		{
			outcome->reason = EC_BROKEN;
			continue;
		}
		if (outcome->promotion->stack != EC_STACK_BEST)
		{
			if (is_meant(cart, outcome) && try_promotion(cart, promotions, outcome, NULL))
				commit(cart, outcome);
			continue;
		}
		if (!best_done)
		{
			int		   *members = palloc(sizeof(int) * promotions->n);
			int			n = 0;

			best_done = true;
			for (int j = i; j < promotions->n && promotions->list[j]->lane == lane; j++)
			{
				cart->current = j;
				if (promotions->list[j]->stack != EC_STACK_BEST)
					continue;
				if (pricing->broken != NULL && pricing->broken[j] != NULL)
					cart->outcomes[j].reason = EC_BROKEN;
				else if (is_meant(cart, &cart->outcomes[j]))
					members[n++] = j;
			}
			if (n > 0)
				apply_best(cart, promotions, n, members);
		}
	}
}

/*
 * Price a cart: fills outcomes and what is left of lines and shipping.
 * Memory comes from the current context.
 */
void
ec_cart_price(EcCart *cart, const EcPromotions *promotions)
{
	Pricing		pricing = {cart, promotions, NULL};
	cart->noutcomes = promotions->n;
	cart->outcomes = palloc(sizeof(EcOutcome) * Max(promotions->n, 1));
	if (!promotions->any_can_fail)
	{
		price(&pricing);
		return;
	}
	for (;;)
	{
		ErrorData  *error = ec_try(price, &pricing, false);

		if (error == NULL)
			break;
		if (!promotions->list[cart->current]->can_fail ||
			(pricing.broken != NULL && pricing.broken[cart->current] != NULL))
			ReThrowError(error);
		if (pricing.broken == NULL)
			pricing.broken = palloc0(sizeof(char *) * promotions->n);
		pricing.broken[cart->current] = error->message;
	}
}

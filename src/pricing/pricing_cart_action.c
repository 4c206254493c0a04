/*-------------------------------------------------------------------------
 *
 * pricing_cart_action.c
 *		What a promotion takes off which line, given the lines it may touch.
 *
 * Knows no SPI, no clock and no settings.  Each action first finds how many
 * units of which line are discounted, then computes the discount on all of
 * them together, rounds it once, and shares it among the lines to the last
 * minor unit.
 *
 * Where units are counted (n-th unit, buy X get Y, bundles), whole units are,
 * and the grouping is the one that is best for the customer under the rule
 * that the cheapest of a group is the discounted one: all units in order of
 * their value, dearest first, cut into groups.  To see why: the i-th discounted
 * unit has at least i whole groups of units that are not cheaper before it,
 * whatever the grouping, and this grouping reaches the bound for every i.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "miscadmin.h"

#include "pricing/pricing_cart.h"

/* What so many whole units of a line cost now, rounded. */
EcMoney
ec_units_value(const EcLine *line, int64 units)
{
	if (units * EC_MICRO >= line->qty)
		return line->left;
	return ec_money_round((int128) line->left * units * EC_MICRO, line->qty);
}

/*
 * What is taken off goods of a value: never more than that.  times: how often
 * an amount is taken off, or a price is paid.
 */
EcMoney
ec_give_on(EcCart *cart, const EcGive *give, EcMoney value, int64 times)
{
	int128		amount;

	if (give->kind == EC_GIVE_PERCENT)
		return ec_money_round((int128) value * give->percent, EC_PERCENT_100);
	amount = (int128) ec_money_from_micro(give->amount, cart->decimals) * times;
	if (give->kind == EC_GIVE_AMOUNT)
		return amount < value ? (EcMoney) amount : value;
	return amount < value ? value - (EcMoney) amount : 0;
}

/* Share a discount among the lines of a selection by their values. */
void
ec_give_share(const EcSelection *selection, EcMoney total, const EcMoney *values, EcMoney *gives)
{
	EcMoney	   *shares = palloc(sizeof(EcMoney) * Max(selection->n, 1));

	ec_money_share(total, selection->n, values, shares);
	for (int i = 0; i < selection->n; i++)
		gives[selection->lines[i]] += shares[i];
	pfree(shares);
}

static int
by_value_cmp(const void *a, const void *b, void *arg)
{
	const EcLine *x = &((const EcLine *) arg)[*(const int *) a];
	const EcLine *y = &((const EcLine *) arg)[*(const int *) b];
	int128		x_value = (int128) x->left * y->qty;
	int128		y_value = (int128) y->left * x->qty;

	if (x_value != y_value)
		return x_value > y_value ? -1 : 1;
	return x->rank - y->rank;
}

/* Order lines by the present value of a unit, dearest first. */
void
ec_selection_by_value(EcCart *cart, EcSelection *selection)
{
	qsort_arg(selection->lines, selection->n, sizeof(int), by_value_cmp, cart->lines);
}

/* ---- off lines as they are ---- */

/* Discount on one line by itself. */
static EcMoney
line_give(EcCart *cart, const EcPromotion *promotion, const EcLine *line)
{
	const EcGive *give = &promotion->give;
	int128		amount;

	if (promotion->per == EC_PER_LINE)
		return ec_give_on(cart, give, line->left, 1);
	if (line->qty == 0)
		return 0;
	if (give->kind == EC_GIVE_PERCENT)
	{
		/* rounded for one unit, then taken so often */
		EcMoney		unit = ec_money_round((int128) line->left * EC_MICRO, line->qty);
		EcMoney		off = ec_money_round((int128) unit * give->percent, EC_PERCENT_100);

		amount = ec_money_round((int128) off * line->qty, EC_MICRO);
		return amount < line->left ? (EcMoney) amount : line->left;
	}
	amount = ec_money_round((int128) ec_money_from_micro(give->amount, cart->decimals) * line->qty, EC_MICRO);
	if (give->kind == EC_GIVE_AMOUNT)
		return amount < line->left ? (EcMoney) amount : line->left;
	return amount < line->left ? line->left - (EcMoney) amount : 0;
}

static EcMoney
give_compute(EcCart *cart, const EcPromotion *promotion, const EcGive *give, EcPer per,
			 const EcSelection *selection, EcMoney *gives)
{
	EcMoney		total = 0;
	EcMoney	   *values;

	if (per != EC_PER_CART)
	{
		for (int i = 0; i < selection->n; i++)
		{
			EcMoney		off = line_give(cart, promotion, &cart->lines[selection->lines[i]]);

			gives[selection->lines[i]] += off;
			total += off;
		}
		return total;
	}
	values = palloc(sizeof(EcMoney) * Max(selection->n, 1));
	for (int i = 0; i < selection->n; i++)
	{
		values[i] = cart->lines[selection->lines[i]].left;
		total += values[i];
	}
	total = ec_give_on(cart, give, total, 1);
	ec_give_share(selection, total, values, gives);
	pfree(values);
	return total;
}

/* ---- counted units ---- */

/*
 * Take something off units[i] units of line i of a selection.
 */
static EcMoney
units_give(EcCart *cart, const EcGive *give, const EcSelection *selection, const int64 *units, EcMoney *gives)
{
	EcMoney	   *values = palloc0(sizeof(EcMoney) * Max(selection->n, 1));
	EcMoney		total = 0;

	for (int i = 0; i < selection->n; i++)
	{
		if (units[i] == 0)
			continue;
		values[i] = ec_units_value(&cart->lines[selection->lines[i]], units[i]);
		if (give->kind != EC_GIVE_PERCENT)
			values[i] = ec_give_on(cart, give, values[i], units[i]);
		total += values[i];
	}
	if (give->kind == EC_GIVE_PERCENT)
		total = ec_give_on(cart, give, total, 1);
	ec_give_share(selection, total, values, gives);
	pfree(values);
	return total;
}

/* Of the first n units in groups of x bought and y discounted: how many are. */
static int64
discounted_of(int64 n, int64 x, int64 y)
{
	int64		rest = n % (x + y);

	return n / (x + y) * y + Max(rest - x, 0);
}

/* Buy X get Y of the same lines, and the n-th unit (y = 1). */
static EcMoney
groups_compute(EcCart *cart, const EcPromotion *promotion, EcSelection *selection,
			   EcOutcome *outcome, EcMoney *gives)
{
	int64		x = promotion->buy_qty;
	int64		y = promotion->get_qty;
	int64	   *units = palloc0(sizeof(int64) * Max(selection->n, 1));
	int64		end = promotion->limit > 0 ? promotion->limit * (x + y) : PG_INT64_MAX;
	int64		seen = 0;
	int64		rest;

	ec_selection_by_value(cart, selection);
	for (int i = 0; i < selection->n; i++)
	{
		int64		next = seen + cart->lines[selection->lines[i]].units;

		units[i] = discounted_of(Min(next, end), x, y) - discounted_of(Min(seen, end), x, y);
		seen = next;
	}
	rest = Min(seen, end) % (x + y);
	outcome->times = Min(seen, end) / (x + y) + (rest > x ? 1 : 0);
	/* units to the next that is discounted */
	if (seen < end)
		outcome->missing_qty = rest < x ? x + 1 - rest : 1;
	if (seen <= x)
	{
		outcome->times = 0;
		outcome->reason = EC_BELOW_QTY;
		return 0;
	}
	outcome->has_next = outcome->missing_qty > 0;
	return units_give(cart, &promotion->give, selection, units, gives);
}

/* One unit that might be got, for buy_get_compute(). */
typedef struct Unit
{
	int			line;			/* index into the selection "get" */
	int128		gain;			/* what would be taken off, in 10^-6 minor units */
} Unit;

/* What a unit of a line would save, in 10^-6 minor units. */
static int128
unit_gain(EcCart *cart, const EcGive *give, const EcLine *line)
{
	int128		value = (int128) line->left * EC_MICRO * EC_MICRO / line->qty;
	int128		amount;

	if (give->kind == EC_GIVE_PERCENT)
		return value;
	amount = (int128) ec_money_from_micro(give->amount, cart->decimals) * EC_MICRO;
	if (give->kind == EC_GIVE_AMOUNT)
		return Min(amount, value);
	return value > amount ? value - amount : 0;
}

/* Units of lines, dearest first, at most max; prefix sums of their gains in sums[1..]. */
static int
units_list(EcCart *cart, const EcGive *give, const EcSelection *get, const bool *both, bool want_both,
		   int max, Unit *units, int128 *sums)
{
	int			n = 0;

	sums[0] = 0;
	for (int i = 0; i < get->n && n < max; i++)
	{
		const EcLine *line = &cart->lines[get->lines[i]];
		int128		gain;

		if (both[i] != want_both || line->units == 0)
			continue;
		gain = unit_gain(cart, give, line);
		for (int64 u = 0; u < line->units && n < max; u++)
		{
			units[n].line = i;
			units[n].gain = gain;
			sums[n + 1] = sums[n] + gain;
			n++;
		}
	}
	return n;
}

/*
 * Buy X of some lines, get Y of others.
 *
 * A unit that is on both lists can be bought or got, not both.  For each
 * number g of units to get, ceil(g / Y) * X others must be bought; that limits
 * how many of the got ones may come from both lists, and under this limit the
 * dearest are taken.  The best g wins, so the choice is optimal.
 */
static EcMoney
buy_get_compute(EcCart *cart, const EcPromotion *promotion, const EcSelection *buy, const EcSelection *allowed,
				EcOutcome *outcome, EcMoney *gives)
{
	int64		x = promotion->buy_qty;
	int64		y = promotion->get_qty;
	int64		bought = 0;
	int64		max;
	EcSelection get;
	bool	   *both;
	bool	   *on_buy = palloc0(sizeof(bool) * Max(cart->nlines, 1));
	int64	   *units;
	Unit	   *of_both;
	Unit	   *of_get;
	int128	   *both_sums;
	int128	   *get_sums;
	int			nboth;
	int			nget;
	int			merged = 0;		/* of both lists, in the best choice without limit */
	int			best_g = 0;
	int			best_t = 0;
	int128		best = 0;

	for (int i = 0; i < buy->n; i++)
	{
		bought += cart->lines[buy->lines[i]].units;
		on_buy[buy->lines[i]] = true;
	}
	if (bought < x)
	{
		outcome->reason = EC_BELOW_QTY;
		outcome->missing_qty = x - bought;
		return 0;
	}
	get.lines = palloc(sizeof(int) * Max(allowed->n, 1));
	get.n = 0;
	for (int i = 0; i < allowed->n; i++)
		if (cart->lines[allowed->lines[i]].qty > 0 &&
			ec_cart_line_matches(cart, &cart->lines[allowed->lines[i]], promotion->get))
			get.lines[get.n++] = allowed->lines[i];
	ec_selection_by_value(cart, &get);
	both = palloc(sizeof(bool) * Max(get.n, 1));
	for (int i = 0; i < get.n; i++)
		both[i] = on_buy[get.lines[i]];

	max = Min(bought / x, promotion->limit > 0 ? promotion->limit : PG_INT64_MAX);
	max = max > EC_CART_UNITS_MAX / y ? EC_CART_UNITS_MAX : max * y;
	of_both = palloc(sizeof(Unit) * (max + 1));
	of_get = palloc(sizeof(Unit) * (max + 1));
	both_sums = palloc(sizeof(int128) * (max + 2));
	get_sums = palloc(sizeof(int128) * (max + 2));
	nboth = units_list(cart, &promotion->give, &get, both, true, max, of_both, both_sums);
	nget = units_list(cart, &promotion->give, &get, both, false, max, of_get, get_sums);

	for (int g = 1; g <= Min(max, nboth + nget); g++)
	{
		int64		limit = bought - x * ((g + y - 1) / y);
		int			t;

		CHECK_FOR_INTERRUPTS();
		/* the next best of the two lists; g - 1 were taken, "merged" of them from both */
		if (merged < nboth && (g - 1 - merged >= nget || of_both[merged].gain > of_get[g - 1 - merged].gain))
			merged++;
		if (limit < 0)
			break;
		t = Min(merged, limit);
		if (g - t > nget)
			t = g - nget;
		if (t > limit || t > nboth)
			continue;
		if (both_sums[t] + get_sums[g - t] > best)
		{
			best = both_sums[t] + get_sums[g - t];
			best_g = g;
			best_t = t;
		}
	}
	if (best_g == 0)
	{
		/* what could be got is not in the cart, or all of it is needed to buy */
		outcome->reason = EC_BELOW_QTY;
		outcome->missing_qty = 1;
		outcome->detail = "get";
		return 0;
	}
	units = palloc0(sizeof(int64) * Max(get.n, 1));
	for (int i = 0; i < best_t; i++)
		units[of_both[i].line]++;
	for (int i = 0; i < best_g - best_t; i++)
		units[of_get[i].line]++;
	outcome->times = (best_g + y - 1) / y;
	return units_give(cart, &promotion->give, &get, units, gives);
}

/* ---- tiers ---- */

static EcMoney
tiers_compute(EcCart *cart, const EcPromotion *promotion, const EcSelection *selection,
			  EcOutcome *outcome, EcMoney *gives)
{
	EcMoney		total = 0;
	int64		qty = 0;
	int			reached = -1;

	for (int i = 0; i < selection->n; i++)
	{
		total += cart->lines[selection->lines[i]].left;
		qty += cart->lines[selection->lines[i]].qty;
	}
	for (int i = 0; i < promotion->ntiers; i++)
	{
		const EcTier *tier = &promotion->tiers[i];
		EcMoney		min_total = ec_money_from_micro(tier->min_total, cart->decimals);

		if (total >= min_total && qty >= tier->min_qty * EC_MICRO)
			reached = i;
		else
		{
			outcome->missing = Max(min_total - total, 0);
			outcome->missing_qty = Max((tier->min_qty * EC_MICRO - qty + EC_MICRO - 1) / EC_MICRO, 0);
			break;
		}
	}
	if (reached < 0)
	{
		outcome->reason = outcome->missing > 0 ? EC_BELOW_TOTAL : EC_BELOW_QTY;
		return 0;
	}
	outcome->has_next = reached + 1 < promotion->ntiers;
	if (promotion->tiers[reached].give.kind == EC_GIVE_PRICE)
	{
		/* a price for each unit, as in a table of quantities */
		EcPromotion unit = *promotion;

		unit.give = promotion->tiers[reached].give;
		unit.per = EC_PER_UNIT;
		return give_compute(cart, &unit, &unit.give, EC_PER_UNIT, selection, gives);
	}
	return give_compute(cart, promotion, &promotion->tiers[reached].give, EC_PER_CART, selection, gives);
}

/*
 * Compute what a promotion takes off the lines: added to gives, in input
 * order, which is all zero.  selection: lines in its scope; allowed: all that
 * no exclusive promotion has.  Returns the sum.  If it is 0, outcome->reason
 * tells why, unless there was nothing to be taken off.
 *
 * Memory comes from the current context.  Shipping and gifts are not here.
 */
EcMoney
ec_action_compute(EcCart *cart, const EcPromotion *promotion, const EcSelection *selection,
				  const EcSelection *allowed, EcOutcome *outcome, EcMoney *gives)
{
	EcSelection sorted = *selection;

	switch (promotion->action)
	{
		case EC_DO_GIVE:
			return give_compute(cart, promotion, &promotion->give, promotion->per, selection, gives);
		case EC_DO_NTH:
			return groups_compute(cart, promotion, &sorted, outcome, gives);
		case EC_DO_BUY:
			if (promotion->get != NULL)
				return buy_get_compute(cart, promotion, selection, allowed, outcome, gives);
			return groups_compute(cart, promotion, &sorted, outcome, gives);
		case EC_DO_BUNDLE:
			return ec_bundle_compute(cart, promotion, selection, outcome, gives);
		case EC_DO_TIERS:
			return tiers_compute(cart, promotion, selection, outcome, gives);
		case EC_DO_SHIPPING:
		case EC_DO_GIFT:
			break;
	}
	elog(ERROR, "promotion \"%s\" takes nothing off lines", promotion->name);
	return 0;
}

/*-------------------------------------------------------------------------
 *
 * pricing_cart_bundle.c
 *		Bundles: things that are cheaper together, put together in the best
 *		way for the customer.
 *
 * A bundle has items, each a set of lines and a number of units; a unit can
 * stand for one item of one bundle.  For k bundles there are k * qty places
 * for each item, and all of them must be filled.  Which sets of units can
 * take places at all is a transversal matroid (Edmonds and Fulkerson,
 * "Transversals and matroid partition", 1965), so taking units greedily,
 * dearest first, whenever places remain for them, gives the dearest set there
 * is (Edmonds, "Matroids and the greedy algorithm", 1971).  Greedy here is
 * over places, not over bundles: making the first bundle as dear as possible
 * and then the next is what loses money.
 *
 * Whether places remain follows from Hall's theorem ("On representatives of
 * subsets", 1935): units whose items lie within a set S of items must not be
 * more than the places of S, for every S.  With at most eight items these are
 * 255 numbers to keep, whatever the number of units.
 *
 * Example: 2 shirts and 1 tie at 15 % off; shirts 3 at 60 and 2 at 40, ties at
 * 30 and 20.  Two bundles have places for 4 shirts and 2 ties: 60 + 60 + 60 + 40
 * + 30 + 20 = 270, and 15 % of it are 40.50.
 *
 * The value W(k) of the dearest k bundles is concave in k (it is a linear
 * program with its right side scaled), so where a bundle has a fixed price P
 * the best k, that of the greatest W(k) - k P, is found by bisection.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "miscadmin.h"

#include "pricing/pricing_cart.h"

typedef struct Bundles
{
	EcCart	   *cart;
	const EcPromotion *promotion;
	EcSelection lines;			/* of any item, dearest unit first */
	int		   *masks;			/* which items a line can be */
	int64	   *units;			/* of each line taken, by pack() */
} Bundles;

/*
 * Take the dearest units for k bundles; false if they cannot all be filled.
 * *value: what the units cost now, in 10^-6 minor units.
 */
static bool
pack(Bundles *b, int64 k, int128 *value)
{
	int			nsets = 1 << b->promotion->nitems;
	int64		slack[1 << EC_BUNDLE_ITEMS_MAX];	/* places of a set that are left */
	int64		places = 0;

	for (int set = 0; set < nsets; set++)
	{
		slack[set] = 0;
		for (int i = 0; i < b->promotion->nitems; i++)
			if (set & (1 << i))
				slack[set] += k * b->promotion->items[i].qty;
	}
	places = slack[nsets - 1];
	*value = 0;
	for (int i = 0; i < b->lines.n; i++)
	{
		const EcLine *line = &b->cart->lines[b->lines.lines[i]];
		int			mask = b->masks[i];
		int64		take = Min(line->units, places);

		for (int set = mask; set < nsets; set = (set + 1) | mask)
			take = Min(take, slack[set]);
		b->units[i] = take;
		if (take == 0)
			continue;
		for (int set = mask; set < nsets; set = (set + 1) | mask)
			slack[set] -= take;
		places -= take;
		*value += (int128) line->left * EC_MICRO * EC_MICRO / line->qty * take;
	}
	return places == 0;
}

/* The largest number of bundles that can be filled. */
static int64
most_bundles(Bundles *b)
{
	int64		low = 0;
	int64		high = PG_INT64_MAX;
	int64		all = 0;
	int64		size = 0;
	int128		value;

	for (int i = 0; i < b->lines.n; i++)
		all += b->cart->lines[b->lines.lines[i]].units;
	for (int i = 0; i < b->promotion->nitems; i++)
		size += b->promotion->items[i].qty;
	high = all / size;
	if (b->promotion->limit > 0)
		high = Min(high, b->promotion->limit);
	/* k bundles can be filled if more can */
	while (low < high)
	{
		int64		middle = high - (high - low) / 2;

		CHECK_FOR_INTERRUPTS();
		if (pack(b, middle, &value))
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

/* The number of bundles from 1 to most with the greatest W(k) - k P. */
static int64
best_bundles(Bundles *b, int64 most)
{
	int128		price = (int128) ec_money_from_micro(b->promotion->give.amount, b->cart->decimals) * EC_MICRO;
	int64		low = 1;
	int64		high = most;
	int128		value;
	int128		more;

	while (low < high)
	{
		int64		middle = low + (high - low) / 2;

		(void) pack(b, middle, &value);
		(void) pack(b, middle + 1, &more);
		if (more - value >= price)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* How many units of which item are missing for one bundle, at least. */
static int64
missing_units(Bundles *b)
{
	int64		missing = 0;
	int128		value;
	int64		size = 0;

	if (pack(b, 1, &value))
		return 0;
	for (int i = 0; i < b->promotion->nitems; i++)
		size += b->promotion->items[i].qty;
	for (int i = 0; i < b->lines.n; i++)
		missing += b->units[i];
	return size - missing;
}

/*
 * As ec_action_compute().
 */
EcMoney
ec_bundle_compute(EcCart *cart, const EcPromotion *promotion, const EcSelection *selection,
				  EcOutcome *outcome, EcMoney *gives)
{
	Bundles		b = {cart, promotion};
	EcMoney	   *values;
	EcMoney		total = 0;
	int128		value;
	int64		k;

	b.lines.n = 0;
	b.lines.lines = palloc(sizeof(int) * Max(selection->n, 1));
	b.units = palloc0(sizeof(int64) * Max(selection->n, 1));
	for (int i = 0; i < selection->n; i++)
		if (cart->lines[selection->lines[i]].units > 0)
			b.lines.lines[b.lines.n++] = selection->lines[i];
	ec_selection_by_value(cart, &b.lines);
	b.masks = palloc0(sizeof(int) * Max(b.lines.n, 1));
	for (int i = 0; i < b.lines.n; i++)
	{
		for (int j = 0; j < promotion->nitems; j++)
			if (ec_cart_line_matches(cart, &cart->lines[b.lines.lines[i]], &promotion->items[j].target))
				b.masks[i] |= 1 << j;
	}
	/* what is no item of it is no part of the search */
	for (int i = 0, n = b.lines.n, kept = 0; i < n; i++)
	{
		if (b.masks[i] != 0)
		{
			b.lines.lines[kept] = b.lines.lines[i];
			b.masks[kept++] = b.masks[i];
		}
		b.lines.n = kept;
	}

	k = most_bundles(&b);
	if (k == 0)
	{
		outcome->reason = b.lines.n == 0 ? EC_NO_LINES : EC_BELOW_QTY;
		outcome->missing_qty = missing_units(&b);
		return 0;
	}
	if (promotion->give.kind == EC_GIVE_PRICE)
		k = best_bundles(&b, k);
	(void) pack(&b, k, &value);
	outcome->times = k;

	values = palloc(sizeof(EcMoney) * b.lines.n);
	for (int i = 0; i < b.lines.n; i++)
	{
		values[i] = ec_units_value(&cart->lines[b.lines.lines[i]], b.units[i]);
		total += values[i];
	}
	total = ec_give_on(cart, &promotion->give, total, k);
	ec_give_share(&b.lines, total, values, gives);
	return total;
}

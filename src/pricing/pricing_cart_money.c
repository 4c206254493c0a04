/*-------------------------------------------------------------------------
 *
 * pricing_cart_money.c
 *		Exact arithmetic on money: rounding and sharing.
 *
 * Knows no SPI, no clock and no settings.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "common/int.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "pricing/pricing_cart.h"

/* value / divisor, rounded; halves away from zero.  divisor > 0. */
EcMoney
ec_money_round(int128 value, int128 divisor)
{
	int128		half = divisor / 2;

	/* an odd divisor has no halves */
	return (EcMoney) ((value >= 0 ? value + half : value - half) / divisor);
}

static const int64 powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000};

EcMoney
ec_money_from_micro(EcMicro amount, int decimals)
{
	return ec_money_round(amount, powers[6 - decimals]);
}

Numeric
ec_money_numeric(EcMoney amount, int decimals)
{
	return decimals == 0 ? int64_to_numeric(amount) : int64_div_fast_to_numeric(amount, decimals);
}

/* Numbers that are needed again and again, made once a session. */
static Numeric power_numerics[lengthof(powers)];
static Numeric highest;
static Numeric lowest;

static void
constants_make(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	for (int i = 0; i < lengthof(powers); i++)
		power_numerics[i] = int64_to_numeric(powers[i]);
	lowest = int64_to_numeric(PG_INT64_MIN);
	/* last, since it tells that the others are there */
	highest = int64_to_numeric(PG_INT64_MAX);
	MemoryContextSwitchTo(old);
}

/*
 * number times 10^decimals, rounded.  False if it is not finite or too large
 * for int64.
 */
bool
ec_numeric_scaled(Numeric number, int decimals, int64 *result)
{
	Datum		scaled = NumericGetDatum(number);

	if (highest == NULL)
		constants_make();
	if (numeric_is_nan(number) || numeric_is_inf(number))
		return false;
	if (decimals > 0)
		scaled = DirectFunctionCall2(numeric_mul, scaled, NumericGetDatum(power_numerics[decimals]));
	/* what does not fit would raise an error */
	if (DatumGetBool(DirectFunctionCall2(numeric_ge, scaled, NumericGetDatum(highest))) ||
		DatumGetBool(DirectFunctionCall2(numeric_le, scaled, NumericGetDatum(lowest))))
		return false;
	*result = DatumGetInt64(DirectFunctionCall1(numeric_int8, scaled));
	return true;
}

/* As ec_numeric_scaled(), but false too if digits would be lost. */
bool
ec_numeric_exact(Numeric number, int decimals, int64 *result)
{
	return ec_numeric_scaled(number, decimals, result) &&
		DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(number),
										 NumericGetDatum(ec_money_numeric(*result, decimals))));
}

/* ---- sharing ---- */

typedef struct Remainder
{
	int128		rest;
	int			index;
} Remainder;

static int
remainder_cmp(const void *a, const void *b)
{
	const Remainder *x = a;
	const Remainder *y = b;

	if (x->rest != y->rest)
		return x->rest > y->rest ? -1 : 1;
	return x->index < y->index ? -1 : 1;
}

/*
 * Share total among n by their weights, to the last minor unit: everybody
 * gets his share rounded down, and what remains goes to the largest
 * remainders, the first of equals first (method of largest remainder, as
 * Alexander Hamilton proposed for seats, 1792).
 *
 * 0 <= total; weights are not negative.  If total is not above their sum, no
 * share is above its weight.  Nothing is shared if all weights are 0.
 */
void
ec_money_share(EcMoney total, int n, const EcMoney *weights, EcMoney *shares)
{
	int128		sum = 0;
	EcMoney		left = total;
	Remainder	few[8];
	Remainder  *rests = few;

	for (int i = 0; i < n; i++)
	{
		sum += weights[i];
		shares[i] = 0;
	}
	if (sum == 0 || total == 0)
		return;
	if (n > lengthof(few))
		rests = palloc(sizeof(Remainder) * n);
	for (int i = 0; i < n; i++)
	{
		int128		product = (int128) total * weights[i];

		shares[i] = (EcMoney) (product / sum);
		rests[i].rest = product % sum;
		rests[i].index = i;
		left -= shares[i];
	}
	if (left > 0)
	{
		qsort(rests, n, sizeof(Remainder), remainder_cmp);
		for (int i = 0; i < left; i++)
			shares[rests[i].index]++;
	}
	if (rests != few)
		pfree(rests);
}

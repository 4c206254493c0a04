/*-------------------------------------------------------------------------
 *
 * pricing_ratio.c
 *		Exact arithmetic with amounts of money.
 *
 * A price is a cost times a few fractions (markup, tax, exchange rate), and
 * is rounded once, at the end.  Rounding in between, or dividing first, can
 * be a cent off.  So a value is kept as a fraction of whole numbers until
 * then.
 *
 * The whole numbers have 128 bits, which takes all prices that shops have,
 * and a million of them a second several times over.  What does not fit
 * (thirty digits of a cost that was computed by a division) goes on as a
 * fraction of numerics: slower, but as exact.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "common/int.h"
#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "pricing/pricing_ratio.h"

/* ---- numerics from the inside ---- */

/*
 * The form in which a numeric is stored, which is that of tables on disk and
 * so stays: a header of 16 bits that tells sign, scale and weight or where
 * they are, then digits to the base of 10000, the first of which counts
 * 10000^weight.  Reading it costs a tenth of what the server's functions take
 * to say the same, and there are several for each sku.
 */
#define STORED_SIGN_MASK	0xC000
#define STORED_NEGATIVE		0x4000
#define STORED_SHORT		0x8000
#define STORED_SPECIAL		0xC000	/* NaN and infinities */
#define SHORT_NEGATIVE		0x2000
#define SHORT_WEIGHT_SIGN	0x0040
#define SHORT_WEIGHT_MASK	0x003F
#define STORED_BASE			10000

/* so many digits are below 2^63 */
#define DIGITS_AT_MOST		4

static const int64 power_of_ten[] = {
	INT64CONST(1), INT64CONST(10), INT64CONST(100), INT64CONST(1000), INT64CONST(10000),
	INT64CONST(100000), INT64CONST(1000000), INT64CONST(10000000), INT64CONST(100000000),
	INT64CONST(1000000000), INT64CONST(10000000000), INT64CONST(100000000000),
	INT64CONST(1000000000000), INT64CONST(10000000000000), INT64CONST(100000000000000),
	INT64CONST(1000000000000000), INT64CONST(10000000000000000), INT64CONST(100000000000000000),
	INT64CONST(1000000000000000000)
};

/*
 * Keep a numeric as an amount; false if it is not finite.  What does not fit
 * is copied into the current context.
 */
bool
ec_amount_set(EcAmount *amount, Datum numeric)
{
	struct varlena *value = PG_DETOAST_DATUM_PACKED(numeric);
	const char *data = VARDATA_ANY(value);
	int			size = VARSIZE_ANY_EXHDR(value);
	uint16		header;
	int			weight;
	int			ndigits;
	bool		negative;
	int64		mantissa = 0;
	int			exponent;

	memcpy(&header, data, sizeof(uint16));
	if ((header & STORED_SIGN_MASK) == STORED_SPECIAL)
		return false;
	if ((header & STORED_SIGN_MASK) == STORED_SHORT)
	{
		weight = ((header & SHORT_WEIGHT_SIGN) ? ~SHORT_WEIGHT_MASK : 0) | (header & SHORT_WEIGHT_MASK);
		negative = (header & SHORT_NEGATIVE) != 0;
		data += sizeof(uint16);
		size -= sizeof(uint16);
	}
	else
	{
		int16		stored;

		memcpy(&stored, data + sizeof(uint16), sizeof(int16));
		weight = stored;
		negative = (header & STORED_SIGN_MASK) == STORED_NEGATIVE;
		data += 2 * sizeof(uint16);
		size -= 2 * sizeof(uint16);
	}
	ndigits = size / (int) sizeof(int16);
	exponent = weight - (ndigits - 1);

	amount->big = NULL;
	amount->digits = 0;
	if (ndigits == 0)
	{
		amount->mantissa = 0;
		return true;
	}
	if (ndigits <= DIGITS_AT_MOST && exponent >= -DIGITS_AT_MOST && ndigits + Max(exponent, 0) <= DIGITS_AT_MOST)
	{
		for (int i = 0; i < ndigits; i++)
		{
			int16		digit;

			memcpy(&digit, data + i * sizeof(int16), sizeof(int16));
			mantissa = mantissa * STORED_BASE + digit;
		}
		if (exponent >= 0)
			mantissa *= power_of_ten[4 * exponent];
		else
			amount->digits = (uint8) (-4 * exponent);
		amount->mantissa = negative ? -mantissa : mantissa;
		return true;
	}
	amount->mantissa = 0;
	amount->big = DatumGetNumericCopy(numeric);
	return true;
}

/* ---- fractions ---- */

static Numeric
numeric_of_int128(int128 value)
{
	const int64 base = power_of_ten[18];
	Datum		high;
	Datum		low;

	if (value >= PG_INT64_MIN && value <= PG_INT64_MAX)
		return int64_to_numeric((int64) value);
	high = NumericGetDatum(numeric_of_int128(value / base));
	low = NumericGetDatum(int64_to_numeric((int64) (value % base)));
	return DatumGetNumeric(DirectFunctionCall2(numeric_add,
											   DirectFunctionCall2(numeric_mul, high,
																   NumericGetDatum(int64_to_numeric(base))),
											   low));
}

static Numeric
numeric_times(Numeric a, Numeric b)
{
	return DatumGetNumeric(DirectFunctionCall2(numeric_mul, NumericGetDatum(a), NumericGetDatum(b)));
}

static Numeric
numeric_plus(Numeric a, Numeric b)
{
	return DatumGetNumeric(DirectFunctionCall2(numeric_add, NumericGetDatum(a), NumericGetDatum(b)));
}

static Numeric
numeric_minus(Numeric a, Numeric b)
{
	return DatumGetNumeric(DirectFunctionCall2(numeric_sub, NumericGetDatum(a), NumericGetDatum(b)));
}

static int
numeric_compare(Numeric a, Numeric b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a), NumericGetDatum(b)));
}

static void
ratio_enlarge(EcRatio *ratio)
{
	if (ratio->big_n != NULL)
		return;
	ratio->big_n = numeric_of_int128(ratio->n);
	ratio->big_d = numeric_of_int128(ratio->d);
}

static int128
greatest_divisor(int128 a, int128 b)
{
	if (a < 0)
		a = -a;
	while (b != 0)
	{
		int128		rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

static void
ratio_reduce(EcRatio *ratio)
{
	int128		divisor = greatest_divisor(ratio->n, ratio->d);

	if (divisor > 1)
	{
		ratio->n /= divisor;
		ratio->d /= divisor;
	}
}

void
ec_ratio_set(EcRatio *ratio, const EcAmount *amount)
{
	ratio->n = amount->mantissa;
	ratio->d = power_of_ten[amount->digits];
	ratio->big_n = amount->big;
	ratio->big_d = amount->big == NULL ? NULL : int64_to_numeric(1);
}

void
ec_ratio_set_micros(EcRatio *ratio, int64 micros)
{
	ratio->n = micros;
	ratio->d = EC_MICROS;
	ratio->big_n = ratio->big_d = NULL;
}

/* n / d times a fraction of 128 bits; false, and nothing done, if it does not fit. */
static bool
fraction_multiply(EcRatio *ratio, int128 n, int128 d)
{
	int128		new_n;
	int128		new_d;

	if (__builtin_mul_overflow(ratio->n, n, &new_n) || __builtin_mul_overflow(ratio->d, d, &new_d))
		return false;
	ratio->n = new_n;
	ratio->d = new_d;
	return true;
}

/*
 * Multiply by n / d, d > 0.
 */
void
ec_ratio_multiply(EcRatio *ratio, int64 n, int64 d)
{
	Assert(d > 0);
	if (ratio->big_n == NULL)
	{
		if (fraction_multiply(ratio, n, d))
			return;
		ratio_reduce(ratio);
		if (fraction_multiply(ratio, n, d))
			return;
		ratio_enlarge(ratio);
	}
	ratio->big_n = numeric_times(ratio->big_n, int64_to_numeric(n));
	ratio->big_d = numeric_times(ratio->big_d, int64_to_numeric(d));
}

/*
 * Multiply by (100 + percent) / 100, or divide by it; percent in micros, above
 * -100%.
 */
void
ec_ratio_add_percent(EcRatio *ratio, int64 percent, bool divide)
{
	/* whole percentages make small numbers */
	int64		unit = percent % EC_MICROS == 0 ? 1 : EC_MICROS;
	int64		n = 100 * unit + percent / (EC_MICROS / unit);

	if (divide)
		ec_ratio_multiply(ratio, 100 * unit, n);
	else
		ec_ratio_multiply(ratio, n, 100 * unit);
}

void
ec_ratio_times(EcRatio *ratio, const EcRatio *by)
{
	EcRatio		other = *by;

	if (ratio->big_n == NULL && by->big_n == NULL)
	{
		if (fraction_multiply(ratio, by->n, by->d))
			return;
		ratio_reduce(ratio);
		if (fraction_multiply(ratio, by->n, by->d))
			return;
	}
	ratio_enlarge(ratio);
	ratio_enlarge(&other);
	ratio->big_n = numeric_times(ratio->big_n, other.big_n);
	ratio->big_d = numeric_times(ratio->big_d, other.big_d);
}

/* Divide by a ratio above zero. */
void
ec_ratio_divide(EcRatio *ratio, const EcRatio *by)
{
	EcRatio		inverse = {by->d, by->n, by->big_d, by->big_n};

	ec_ratio_times(ratio, &inverse);
}

/* n / d plus add / unit; false, and nothing done, if it does not fit. */
static bool
fraction_add(EcRatio *ratio, int64 add, int64 unit)
{
	int128		n;
	int128		d;
	int128		more;

	if (__builtin_mul_overflow(ratio->n, (int128) unit, &n) ||
		__builtin_mul_overflow(ratio->d, (int128) unit, &d) ||
		__builtin_mul_overflow(ratio->d, (int128) add, &more) ||
		__builtin_add_overflow(n, more, &n))
		return false;
	ratio->n = n;
	ratio->d = d;
	return true;
}

void
ec_ratio_add_micros(EcRatio *ratio, int64 micros)
{
	if (ratio->big_n == NULL)
	{
		/* most amounts are whole hundredths, and small numbers divide faster */
		int64		unit = micros % (EC_MICROS / 100) == 0 ? 100 : EC_MICROS;
		int64		add = micros / (EC_MICROS / unit);

		if (fraction_add(ratio, add, unit))
			return;
		ratio_reduce(ratio);
		if (fraction_add(ratio, add, unit))
			return;
		ratio_enlarge(ratio);
	}
	/* n/d + m/10^6 = (n * 10^6 + d * m) / (d * 10^6) */
	ratio->big_n = numeric_plus(numeric_times(ratio->big_n, int64_to_numeric(EC_MICROS)),
								numeric_times(ratio->big_d, int64_to_numeric(micros)));
	ratio->big_d = numeric_times(ratio->big_d, int64_to_numeric(EC_MICROS));
}

/*
 * The whole number of quotient a / b, b > 0, rounded; false if it does not fit.
 */
static bool
quotient_round(int128 a, int128 b, EcDirection direction, int64 *quotient)
{
	int128		q;
	int128		rest;

	/* the usual case fits the processor's own division */
	if (a >= PG_INT64_MIN && a <= PG_INT64_MAX && b <= PG_INT64_MAX)
	{
		q = (int64) a / (int64) b;
		rest = (int64) a % (int64) b;
	}
	else
	{
		q = a / b;
		rest = a % b;
	}
	if (rest < 0)
	{
		rest += b;
		q--;
	}
	/* now q is the floor; what is left is in [0, b) */
	if (rest != 0 && (direction == EC_UP || (direction == EC_NEAREST && rest >= b - rest)))
		q++;
	if (q < PG_INT64_MIN || q > PG_INT64_MAX)
		return false;
	*quotient = (int64) q;
	return true;
}

/*
 * Round to a multiple of step (in micros, above 0).  Returns false if the
 * result is not below 2^63 micros.
 */
bool
ec_ratio_round(const EcRatio *ratio, int64 step, EcDirection direction, int64 *micros)
{
	EcRatio		scaled = *ratio;
	int64		steps;
	int64		n = EC_MICROS;
	int64		d = step;

	/* small numbers divide faster */
	if (n % d == 0)
	{
		n /= d;
		d = 1;
	}
	else if (d % n == 0)
	{
		d /= n;
		n = 1;
	}
	if (scaled.big_n == NULL &&
		(fraction_multiply(&scaled, n, d) ||
		 (ratio_reduce(&scaled), fraction_multiply(&scaled, n, d))))
	{
		if (!quotient_round(scaled.n, scaled.d, direction, &steps))
			return false;
	}
	else
	{
		Numeric		q;
		Numeric		rest;

		ec_ratio_multiply(&scaled, n, d);
		ratio_enlarge(&scaled);
		/* div() truncates */
		q = DatumGetNumeric(DirectFunctionCall2(numeric_div_trunc, NumericGetDatum(scaled.big_n),
												NumericGetDatum(scaled.big_d)));
		rest = numeric_minus(scaled.big_n, numeric_times(q, scaled.big_d));
		if (numeric_compare(rest, int64_to_numeric(0)) < 0)
		{
			q = numeric_minus(q, int64_to_numeric(1));
			rest = numeric_plus(rest, scaled.big_d);
		}
		if (numeric_compare(rest, int64_to_numeric(0)) != 0 &&
			(direction == EC_UP ||
			 (direction == EC_NEAREST &&
			  numeric_compare(numeric_times(rest, int64_to_numeric(2)), scaled.big_d) >= 0)))
			q = numeric_plus(q, int64_to_numeric(1));
		if (numeric_compare(q, int64_to_numeric(PG_INT64_MAX)) > 0 ||
			numeric_compare(q, int64_to_numeric(PG_INT64_MIN)) < 0)
			return false;
		steps = DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(q)));
	}
	return !pg_mul_s64_overflow(steps, step, micros);
}

/*
 * Below, at or above an amount: -1, 0 or 1.
 */
int
ec_ratio_compare_micros(const EcRatio *ratio, int64 micros)
{
	EcRatio		copy = *ratio;
	int128		other;

	if (copy.big_n == NULL && fraction_multiply(&copy, EC_MICROS, 1) &&
		!__builtin_mul_overflow(copy.d, (int128) micros, &other))
		return copy.n < other ? -1 : copy.n > other ? 1 : 0;
	copy = *ratio;
	ratio_enlarge(&copy);
	return numeric_compare(numeric_times(copy.big_n, int64_to_numeric(EC_MICROS)),
						   numeric_times(copy.big_d, int64_to_numeric(micros)));
}

/*
 * A numeric as micros; false if it is not finite, has more digits after the
 * point, or is too large.
 */
bool
ec_micros_set(int64 *micros, Numeric numeric)
{
	EcAmount	amount;
	EcRatio		ratio;

	if (!ec_amount_set(&amount, NumericGetDatum(numeric)))
		return false;
	ec_ratio_set(&ratio, &amount);
	return ec_ratio_round(&ratio, 1, EC_NEAREST, micros) && ec_ratio_compare_micros(&ratio, *micros) == 0;
}

/*
 * Micros as a numeric with so many digits after the point, or six if it has
 * more.
 */
Datum
ec_micros_numeric(int64 micros, int digits)
{
	int64		rest = power_of_ten[EC_MICROS_DIGITS - digits];

	if (micros % rest != 0)
		return DirectFunctionCall1(numeric_trim_scale,
								   NumericGetDatum(int64_div_fast_to_numeric(micros, EC_MICROS_DIGITS)));
	return NumericGetDatum(int64_div_fast_to_numeric(micros / rest, digits));
}

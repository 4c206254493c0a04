/*-------------------------------------------------------------------------
 *
 * pricing_ratio.h
 *		Exact arithmetic with amounts of money.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_PRICING_RATIO_H
#define EC_PRICING_RATIO_H

#include "compat/compat.h"

#include "utils/numeric.h"

/* Amounts that went through rounding, and percentages, are whole numbers of these. */
#define EC_MICROS_DIGITS 6
#define EC_MICROS INT64CONST(1000000)

/* An amount as it is kept for many skus: a finite numeric, exactly. */
typedef struct EcAmount
{
	int64		mantissa;		/* value = mantissa / 10^digits */
	Numeric		big;			/* or this, unless NULL */
	uint8		digits;
} EcAmount;

/* A value on its way through a rule: n / d, exactly; d > 0. */
typedef struct EcRatio
{
	int128		n;
	int128		d;
	Numeric		big_n;			/* or these, unless NULL */
	Numeric		big_d;
} EcRatio;

typedef enum EcDirection
{
	EC_NEAREST,					/* a half goes up */
	EC_UP,
	EC_DOWN
} EcDirection;

extern bool ec_amount_set(EcAmount *amount, Datum numeric);
extern void ec_ratio_set(EcRatio *ratio, const EcAmount *amount);
extern void ec_ratio_set_micros(EcRatio *ratio, int64 micros);
extern void ec_ratio_multiply(EcRatio *ratio, int64 n, int64 d);
extern void ec_ratio_add_percent(EcRatio *ratio, int64 percent, bool divide);
extern void ec_ratio_times(EcRatio *ratio, const EcRatio *by);
extern void ec_ratio_divide(EcRatio *ratio, const EcRatio *by);
extern void ec_ratio_add_micros(EcRatio *ratio, int64 micros);
extern bool ec_ratio_round(const EcRatio *ratio, int64 step, EcDirection direction, int64 *micros);
extern int	ec_ratio_compare_micros(const EcRatio *ratio, int64 micros);
extern bool ec_micros_set(int64 *micros, Numeric numeric);
extern Datum ec_micros_numeric(int64 micros, int digits);

#endif							/* EC_PRICING_RATIO_H */

/*-------------------------------------------------------------------------
 *
 * pricing.h
 *		Prices: rules that make them, their history, proposals.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_PRICING_H
#define EC_PRICING_H

#include "core/core.h"

#include "utils/jsonb.h"
#include "utils/numeric.h"

/* ---- pricing_history.c: which price was in force when ---- */

extern void ec_pricing_tick(EcTick *tick);
extern void ec_pricing_run(const char *sql, int nargs, const Oid *types, const Datum *values,
						   const char *nulls, int expected);
extern char *ec_pricing_sku_key(const char *sku);

/* ---- pricing_history_prior.c: the lowest price before a reduction ---- */

/* What the law lets the prior price be. */
typedef struct EcPriorOptions
{
	int			days;			/* length of the window */
	bool		progressive;	/* cuts that follow each other are one reduction */
	bool		perishable;		/* the price before the first cut, whatever was before it */
	int			arrival_days;	/* what was on sale for less has no prior price */
} EcPriorOptions;

/* Why the prior price of a reduction is what it is. */
typedef struct EcPriorPrice
{
	bool		known;			/* is there one? */
	Numeric		amount;			/* in the current context */
	TimestampTz begins;			/* when the reduction began */
	TimestampTz window;			/* and where the days before it begin */
	TimestampTz on_sale;		/* first price in the window or before it; DT_NOEND: none */
	bool		running;		/* the price in force is the reduction */
} EcPriorPrice;

extern void ec_prior_options_set(EcPriorOptions *options, Jsonb *jsonb);
extern void ec_prior_options(const char *sku, Jsonb *jsonb, EcPriorOptions *options);
extern void ec_prior_price(const char *sku, const char *currency, const char *list_key,
						   TimestampTz at, Numeric reduced, const EcPriorOptions *options,
						   EcPriorPrice *prior);

/* ---- pricing_currency.c ---- */

extern int	ec_currency_digits(const char *code);
extern char *ec_currency_check(const char *code);
extern char *ec_currency_or_own(const char *code);

/* ---- pricing_promotion_use.c: what cancelled orders give back ---- */

extern void ec_promotion_tick(EcTick *tick);

#endif							/* EC_PRICING_H */

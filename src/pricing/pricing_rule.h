/*-------------------------------------------------------------------------
 *
 * pricing_rule.h
 *		Price rules: what they say, and how they make a price.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_PRICING_RULE_H
#define EC_PRICING_RULE_H

#include "compat/compat.h"

#include "datatype/timestamp.h"
#include "expr/expr.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "pricing/pricing_ratio.h"
#include "utils/date.h"
#include "utils/jsonb.h"

typedef enum EcPriceBase
{
	EC_BASE_FIXED,				/* none: the rule says the price */
	EC_BASE_COST,
	EC_BASE_OFFER,
	EC_BASE_PRICE,
	EC_BASE_LIST,
	EC_BASE_RESULT				/* what the rules before it made */
} EcPriceBase;

/* How much a rule's scope tells its skus apart. */
typedef enum EcPriceScope
{
	EC_SCOPE_ALL,
	EC_SCOPE_CONDITION,
	EC_SCOPE_BRAND,
	EC_SCOPE_CATEGORY,			/* the deeper the category, the more */
	EC_SCOPE_PRODUCT,
	EC_SCOPE_SKU
} EcPriceScope;

/* Below a price, what it ends in. */
typedef struct EcEnding
{
	int64		below;			/* of prices below this; PG_INT64_MAX: all */
	int64		ending;			/* prices are this plus a multiple of */
	int64		period;
} EcEnding;

/* A number that a rule may say or not; percent and amounts are in micros. */
typedef struct EcRuleNumber
{
	bool		given;
	int64		value;
} EcRuleNumber;

typedef struct EcPriceRule
{
	int64		id;
	char	   *name;
	char	   *definer;		/* its condition runs as this role */
	Jsonb	   *definition;

	/* scope; NIL, NULL: any */
	List	   *skus;			/* of char *, keys or codes; and so on */
	List	   *products;
	List	   *categories;
	List	   *brands;
	char	   *condition;
	bool		tested;			/* does a run evaluate it by itself?  pricing_reprice_test.c */
	List	   *currencies;
	TimestampTz valid_from;
	TimestampTz valid_until;

	EcPriceScope scope;
	int			depth;			/* of its deepest category */
	int			priority;
	bool		exclusive;

	EcPriceBase base;
	EcRuleNumber fixed;
	EcRuleNumber markup;
	EcRuleNumber margin;
	EcRuleNumber percent_off;
	EcRuleNumber add;
	EcRuleNumber round_to;
	EcDirection direction;
	int			nendings;
	EcEnding   *endings;

	EcRuleNumber floor;
	EcRuleNumber ceiling;
	EcRuleNumber min_margin;
	EcRuleNumber max_change;
	EcRuleNumber max_change_day;
	bool		ignore_minimum; /* goes below the minimum advertised price */

	EcRuleNumber vat;
	char	   *country;		/* "": none in particular */
	EcRuleNumber fx_day;		/* DateADT; else today */
	int			fx_age;			/* an exchange rate may be so many days old */
} EcPriceRule;

/* ---- pricing_rule_read.c ---- */
extern EcPriceRule *ec_price_rule_read(const char *name, Jsonb *definition);
extern const EcExprScope *ec_price_scope(void);

/* ---- pricing_rule_price.c: pure arithmetic ---- */

/* Limits that a price ran into. */
#define EC_HIT_CEILING		0x01
#define EC_HIT_CHANGE		0x02
#define EC_HIT_CHANGE_DAY	0x04
#define EC_HIT_FLOOR		0x08
#define EC_HIT_MARGIN		0x10
#define EC_HIT_MINIMUM		0x20
#define EC_HITS				0x40	/* all combinations */

/* Why there is no price. */
typedef enum EcPriceProblem
{
	EC_PRICED,
	EC_NO_COST,
	EC_COST_NEGATIVE,
	EC_NO_OFFER,
	EC_NO_LIST_PRICE,
	EC_NO_VAT,
	EC_NO_FX,
	EC_NOT_POSITIVE,
	EC_OUT_OF_RANGE,
	EC_AMBIGUOUS,
	EC_PRICE_PROBLEMS
} EcPriceProblem;

typedef struct EcCostAmount
{
	EcAmount	amount;
	int16		currency;		/* number of the caller's */
	uint8		state;			/* EcCostState */
} EcCostAmount;

typedef enum EcCostState
{
	EC_COST_NONE,
	EC_COST_GOOD,
	EC_COST_BAD					/* negative or not finite */
} EcCostState;

/* What is known of a price that is to be made.  Unknown: NULL. */
typedef struct EcPriceInput
{
	int			digits;			/* of its currency */
	bool		tax_included;
	const EcAmount *old;
	const EcAmount *base;		/* the price it had before ecauto changed it; else old */
	const EcAmount *day;		/* the price at the beginning of the day; else old */
	const EcCostAmount *cost;
	const EcCostAmount *offer;
	const EcAmount *list_price;
	const EcAmount *minimum;

	/*
	 * The factor by which an amount in another currency is to be multiplied,
	 * and the rate of tax in percent, for a rule; false if there is none.
	 */
	bool		(*fx) (const struct EcPriceInput *input, const EcPriceRule *rule, int16 currency,
					   EcRatio *factor);
	bool		(*vat) (const struct EcPriceInput *input, const EcPriceRule *rule, int64 *percent);
	void	   *arg;
} EcPriceInput;

typedef void (*EcPriceStep) (void *arg, const char *step, const EcPriceRule *rule,
							 const EcRatio *before, const EcRatio *after, const char *note);

typedef struct EcPriceResult
{
	EcPriceProblem problem;
	int64		micros;			/* the price */
	int			hits;			/* EC_HIT_... */
	bool		from_price;		/* it was made from the current price */
} EcPriceResult;

extern void ec_price_make(EcPriceRule *const *rules, int nrules, const EcPriceInput *input,
						  EcPriceStep step, void *arg, EcPriceResult *result);
extern const char *ec_price_problem_text(EcPriceProblem problem);
extern void ec_price_hits_text(int hits, StringInfo text);
extern char *ec_micros_text(int64 micros);

#endif							/* EC_PRICING_RULE_H */

/*-------------------------------------------------------------------------
 *
 * pricing_reprice.h
 *		Prices of many skus by all rules at once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_PRICING_REPRICE_H
#define EC_PRICING_REPRICE_H

#include "compat/compat.h"

#include "executor/tuptable.h"
#include "pricing/pricing_key_map.h"
#include "pricing/pricing_rule.h"
#include "utils/array.h"

/* Rules that apply to the same prices, as many prices share. */
typedef struct EcRuleChain
{
	int			n;				/* 0: none */
	EcPriceRule **rules;		/* in the order they are applied */
	const EcPriceRule *rival;	/* one that might as well have been the first, or NULL */
	bool		needs_price;	/* is the first built on the current price? */
	Datum		reasons[EC_HITS];	/* text, by limits that were hit; made when wanted */
} EcRuleChain;

/* Amounts by sku and currency. */
typedef struct EcAmountMap
{
	EcKeyMap   *keys;			/* of sku, NUL, currency; NULL: the map is empty */
	EcAmount   *amounts;
	int			size;
} EcAmountMap;

typedef struct EcFxRate
{
	int16		currency;
	int16		quote;
	DateADT		day;
	EcAmount	rate;
} EcFxRate;

/* Exchange rates as of a day: the latest of each pair until then. */
typedef struct EcFxDay
{
	DateADT		day;
	int			n;
	EcFxRate   *rates;
} EcFxDay;

typedef struct EcVatRate
{
	int64		percent;
	int			depth;			/* of the category that says so; -1: nothing does */
} EcVatRate;

/* Value added tax of a country. */
typedef struct EcVatCountry
{
	const char *country;
	EcVatRate	all;			/* depth 0 if it is given */
	EcKeyMap   *skus;			/* by key; NULL: none */
	int64	   *sku_rates;
	EcKeyMap   *products;
	int64	   *product_rates;
	EcKeyMap   *categories;		/* as they are told, */
	int64	   *category_rates;
	EcVatRate  *by_category;	/* and what comes of them, by category number */
	EcVatRate  *by_product;		/* and by product number */
} EcVatCountry;

/* The rows a condition may speak of, in the order of ec_price_scope(). */
typedef enum EcPriceScopeRow
{
	EC_PRICE_SCOPE_SKU,
	EC_PRICE_SCOPE_PRODUCT,
	EC_PRICE_SCOPE_PRICE,
	EC_PRICE_SCOPE_COST,
	EC_PRICE_SCOPE_ROWS
} EcPriceScopeRow;

/* Conditions that a run evaluates by itself. */
typedef struct EcTests EcTests;

/* One run: everything that is known of prices. */
typedef struct EcReprice
{
	MemoryContext context;
	TimestampTz at;
	int			nrules;			/* from the weakest to the strongest */
	EcPriceRule **rules;
	int			words;			/* of a set of rules */

	EcKeyMap   *currencies;		/* in capitals */
	EcKeyMap   *written_currencies; /* as roles write them, */
	int16	   *currency_of;	/* and which they are */
	int		   *digits;			/* by number of a currency */
	EcKeyMap   *sets;			/* sets of rules, as bits; */
	EcRuleChain **chains;		/* by number of a set, made when wanted */
	int			nchains;

	/* by number of a sku */
	EcKeyMap   *skus;
	int		   *product_of;		/* -1: unknown */
	int		   *sku_set;		/* number of a set of rules; -1: the default */
	int			skus_size;

	/* by number of a product */
	EcKeyMap   *products;
	uint64	   *product_bits;	/* rules by category, then all by product */
	int			products_size;
	bool		wants_product;
	bool		wants_category;

	/* rules that say nothing of a kind, and so hold for all of it */
	uint64	   *any_sku;
	uint64	   *any_product;
	uint64	   *any_brand;
	uint64	   *any_category;
	uint64	   *any_condition;
	uint64	  **of_currency;	/* by number of a currency */

	EcTests    *tests;			/* NULL: no rule has such a condition */
	EcKeyMap   *conditions;		/* of sku, NUL, currency; NULL: no rule has another */
	int		   *condition_set;

	EcCostAmount *costs;		/* by number of a sku */
	EcCostAmount *offers;
	int			costs_size;		/* of offers */
	EcAmountMap list_prices;
	EcAmountMap minimums;
	EcAmountMap bases;			/* for written[]: what stands in for it */
	EcAmountMap written;
	EcAmountMap days;
	int			nfx;
	EcFxDay    *fx;
	int			nvat;
	EcVatCountry *vat;
} EcReprice;

/* A price of the shop, and what a run knows of it. */
typedef struct EcRepriceRow
{
	Datum		sku;			/* text */
	Datum		currency;		/* text */
	Datum		amount;			/* numeric */
	EcAmount	old;
	int			sku_number;
	int16		currency_number;
	EcPriceInput input;
	EcRuleChain *chain;
	EcReprice  *run;
} EcRepriceRow;

typedef void (*EcRepriceVisit) (EcRepriceRow *row, void *arg);

/* ---- pricing_reprice_rules.c ---- */
extern List *ec_price_rules_load(TimestampTz at, bool all);
extern void ec_reprice_rules(EcReprice *run, List *rules);
extern EcRuleChain *ec_reprice_chain(EcReprice *run, const uint64 *bits);
extern Datum ec_reprice_reason(EcRuleChain *chain, int hits);
extern int	ec_reprice_set(EcReprice *run, const uint64 *bits);
extern const char *ec_reprice_set_bits(EcReprice *run, int set);

/* ---- pricing_reprice_read.c ---- */
extern int	ec_reprice_sku(EcReprice *run, Datum key);
extern int16 ec_reprice_currency(EcReprice *run, Datum code);
extern const EcAmount *ec_amount_find(const EcAmountMap *map, Datum sku, Datum currency);
extern int	ec_pair_find(EcKeyMap *map, Datum sku, Datum currency);
extern int	ec_pair_put(EcKeyMap *map, Datum sku, Datum currency);

/* ---- pricing_reprice_rate.c ---- */
extern void ec_reprice_rates_read(EcReprice *run);
extern void ec_reprice_vat_categories(EcReprice *run, const int *parents, const int *depths,
									  EcKeyMap *categories);
extern void ec_reprice_vat_product(EcReprice *run, int product, int category);
extern bool ec_reprice_fx(const EcPriceInput *input, const EcPriceRule *rule, int16 currency, EcRatio *factor);
extern bool ec_reprice_vat(const EcPriceInput *input, const EcPriceRule *rule, int64 *percent);

/* ---- pricing_reprice_condition.c ---- */
extern Oid	ec_reprice_definer(const char *definer);
extern void ec_reprice_conditions(EcReprice *run, ArrayType *keys);

/* ---- pricing_reprice_test.c ---- */
extern void ec_reprice_tests_begin(EcReprice *run);
extern bool ec_reprice_tests_use(const EcTests *tests, EcPriceScopeRow row);
extern const char **ec_reprice_tests_columns(EcTests *tests, EcPriceScopeRow row, const char *const *own, int *n);
extern void ec_reprice_tests_keep(EcTests *tests, EcPriceScopeRow row, int number, TupleTableSlot *slot);
extern void ec_reprice_tests_run(EcTests *tests, int sku, int product, TupleTableSlot *price, uint64 *bits);

extern EcReprice *ec_reprice_begin(List *rules, ArrayType *keys);

/* ---- pricing_reprice.c ---- */
extern int64 ec_reprice_visit(EcReprice *run, ArrayType *keys, EcRepriceVisit visit, void *arg);

#endif							/* EC_PRICING_REPRICE_H */

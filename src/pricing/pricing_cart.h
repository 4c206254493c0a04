/*-------------------------------------------------------------------------
 *
 * pricing_cart.h
 *		Promotions, carts and coupons: what their files share.
 *
 * A promotion is kept as the jsonb its author wrote (table promotion), parsed
 * into an EcPromotion (pricing_promotion_parse.c) and kept so for the session
 * (pricing_promotion_cache.c).  A cart is parsed into an EcCart
 * (pricing_cart_input.c), the promotions are tried on it lane by lane
 * (pricing_cart_rule.c), each computes what it takes off each line
 * (pricing_cart_action.c, pricing_cart_bundle.c), and the answer is written
 * as jsonb (pricing_cart_result.c).
 *
 * All arithmetic is exact.  Money of a cart is in minor units (cents) of its
 * currency, as int64; quantities are in millionths; percentages are in
 * millionths of a percent.  Intermediate products are 128 bits wide.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_PRICING_CART_H
#define EC_PRICING_CART_H

#include "core/core.h"

#include "expr/expr.h"
#include "pricing/pricing.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

/* money in minor units of the cart's currency */
typedef int64 EcMoney;

/* money of a definition, in millionths of the major unit: no currency known yet */
typedef int64 EcMicro;

#define EC_MICRO INT64CONST(1000000)
#define EC_PERCENT_100 (100 * EC_MICRO)

/* limits of what one cart may be */
#define EC_CART_LINES_MAX 10000
#define EC_CART_QTY_MAX INT64CONST(1000000000)	/* units of a line */
#define EC_CART_LINE_MAX INT64CONST(100000000000000)	/* minor units of a line */
/* units that a promotion with overlapping "buy" and "get" looks at */
#define EC_CART_UNITS_MAX 100000

#define EC_BUNDLE_ITEMS_MAX 8
#define EC_PROMOTION_NAME_MAX 200

/* ---- pricing_cart_money.c ---- */

extern EcMoney ec_money_round(int128 value, int128 divisor);
extern EcMoney ec_money_from_micro(EcMicro amount, int decimals);
extern Numeric ec_money_numeric(EcMoney amount, int decimals);
extern bool ec_numeric_scaled(Numeric number, int decimals, int64 *result);
extern bool ec_numeric_exact(Numeric number, int decimals, int64 *result);
extern void ec_money_share(EcMoney total, int n, const EcMoney *weights, EcMoney *shares);

/* ---- pricing_promotion_parse.c ---- */

/* A word from a definition or a cart; not terminated. */
typedef struct EcWord
{
	const char *data;
	int			len;
} EcWord;

/* Words in order, for looking up. */
typedef struct EcWords
{
	int			n;
	EcWord	   *words;
} EcWords;

extern int	ec_word_cmp(const void *a, const void *b);
extern bool ec_words_have(const EcWords *words, const char *data, int len);

/* A condition in the language of src/expr; see pricing_promotion_when.c. */
typedef struct EcWhen EcWhen;

/* Which lines a promotion is about. */
typedef struct EcTarget
{
	bool		all;			/* no restriction below */
	EcWords		skus;			/* n == 0: not asked */
	EcWords		products;
	EcWords		categories;
	EcWords		brands;
	EcWords		tags;
	EcWhen	   *where;			/* condition on row "line", or NULL */
	struct EcTarget *except;	/* these not, or NULL */
} EcTarget;

typedef enum EcGiveKind
{
	EC_GIVE_PERCENT,			/* percent of the price */
	EC_GIVE_AMOUNT,				/* so much off */
	EC_GIVE_PRICE				/* so much is the price */
} EcGiveKind;

/* What is taken off. */
typedef struct EcGive
{
	EcGiveKind	kind;
	int64		percent;		/* millionths of a percent, 0 to EC_PERCENT_100 */
	EcMicro		amount;			/* of AMOUNT and PRICE */
} EcGive;

typedef enum EcActionKind
{
	EC_DO_GIVE,					/* off all lines in scope, "per" cart, line or unit */
	EC_DO_NTH,					/* off every n-th unit */
	EC_DO_BUY,					/* buy some, get some */
	EC_DO_BUNDLE,				/* off things bought together */
	EC_DO_TIERS,				/* the more, the more */
	EC_DO_SHIPPING,				/* off the shipping */
	EC_DO_GIFT					/* something for nothing */
} EcActionKind;

typedef enum EcPer
{
	EC_PER_CART,
	EC_PER_LINE,
	EC_PER_UNIT
} EcPer;

typedef struct EcTier
{
	EcMicro		min_total;		/* 0: not asked */
	int64		min_qty;		/* in units; 0: not asked */
	EcGive		give;
} EcTier;

typedef struct EcBundleItem
{
	EcTarget	target;
	int64		qty;			/* units of it in a bundle */
} EcBundleItem;

/* A time of the week, in minutes of the day of the shop. */
typedef struct EcHours
{
	int			days;			/* bit 0 is Sunday; 127 every day */
	int			from;
	int			until;			/* above from; may run into the next day */
} EcHours;

typedef enum EcStack
{
	EC_STACK_ADD,				/* together with others */
	EC_STACK_EXCLUSIVE,			/* alone on its lines, in its lane */
	EC_STACK_ALONE,				/* alone in the cart */
	EC_STACK_BEST				/* of those in the lane the best for the customer */
} EcStack;

typedef struct EcPromotion
{
	int64		id;
	const char *name;
	const char *title;			/* or NULL */
	bool		active;

	/* when */
	TimestampTz from;			/* DT_NOBEGIN: always was */
	TimestampTz until;			/* not in force any more at this instant; DT_NOEND: never ends */
	pg_tz	   *zone;			/* of hours */
	int			nhours;
	EcHours    *hours;			/* nhours == 0: all day */

	/* who and where */
	char		currency[4];	/* "": any */
	EcWords		channels;
	EcWords		segments;
	EcWords		customers;
	bool		coupon;			/* only with one */
	EcWhen	   *when;			/* condition on rows "cart", "customer", "context", or NULL */

	/* how much there must be */
	EcTarget	target;
	EcTarget   *needs;			/* measured on these lines; NULL: on target */
	EcMicro		min_total;		/* 0: not asked */
	int64		min_qty;		/* in units */

	/* what it does */
	EcActionKind action;
	EcPer		per;
	EcGive		give;
	int64		buy_qty;		/* EC_DO_BUY; for EC_DO_NTH every - 1 */
	int64		get_qty;
	EcTarget   *get;			/* NULL: of the same lines */
	int			nitems;
	EcBundleItem *items;
	int			ntiers;
	EcTier	   *tiers;			/* lowest first */
	EcWord		gift_sku;
	int64		gift_qty;
	int64		limit;			/* groups, bundles, gifts a cart; 0: as many as there are */
	EcMicro		max_discount;	/* 0: no limit */

	/* with others */
	int			lane;
	int			priority;		/* greater first */
	EcStack		stack;

	/* how often */
	bool		has_budget;
	EcMicro		budget_amount;	/* -1: none */
	int64		budget_uses;	/* -1: none */
	int64		uses_per_customer;	/* -1: no limit */

	/* advertised reduction */
	bool		advertised;
	int64		claim;			/* percentage told to customers; -1: none told */

	bool		on_price;		/* one unit by itself gets it: price_at() */
	bool		needs_attributes;	/* asks product, brand or category */
	bool		needs_categories;
	bool		can_fail;		/* has conditions, which may fail */
	const char *error;			/* why it cannot be used any more, or NULL */

	/* what is said of it where nothing depends on the cart; see pricing_cart_result.c */
	struct EcSaid *said;
} EcPromotion;

extern EcPromotion *ec_promotion_parse(const char *name, Jsonb *definition, Oid definer,
									   const char *zone);
extern const char *ec_promotion_zone(void);

/* ---- pricing_promotion_claim.c ---- */
struct EcPromotions;
extern void ec_promotion_check_claim(const EcPromotion *promotion, const struct EcPromotions *others);

/* ---- pricing_promotion_cache.c ---- */

typedef struct EcPromotions
{
	int			n;
	EcPromotion **list;			/* in the order in which they are tried */
	bool		any_attributes; /* does one ask product, brand or category? */
	bool		any_categories;
	bool		any_can_fail;
} EcPromotions;

extern const EcPromotions *ec_promotions(void);
extern void ec_promotions_changed(void);
extern int	ec_promotion_order(const void *a, const void *b);
extern void ec_promotions_summarize(EcPromotions *promotions);

/* ---- pricing_cart_input.c ---- */

typedef struct EcLine
{
	int			number;			/* 1, 2, ... as given */
	EcWord		key;			/* data NULL if not given, and so on */
	EcWord		sku;
	EcWord		product;
	EcWord		brand;
	EcWords		categories;		/* with their parents */
	EcWords		tags;
	bool		attributes;		/* are product and brand known? */
	bool		categories_known;
	JsonbContainer *json;
	Numeric		qty_given;
	Numeric		price_given;
	int64		qty;			/* in millionths */
	int64		units;			/* whole ones */
	int64		returned;		/* in millionths */
	int64		returned_before;	/* in millionths */
	EcMoney		subtotal;
	EcMoney		left;			/* after the discounts so far */
	int			rank;			/* place in an order that does not depend on that of the input */
	int			touched;		/* outcome that took something off in this lane, or -1 */
	int			taken;			/* exclusive one that has it in this lane, or -1 */
} EcLine;

/* A code given with the cart, or one that the order had. */
typedef struct EcCode
{
	const char *given;
	char	   *code;			/* in its one form */
	int64		promotion;		/* 0: unknown */
	const char *status;			/* NULL: usable */
	const char *detail;
	bool		used;			/* by a promotion that applied */
} EcCode;

typedef enum EcReason
{
	EC_APPLIED,
	EC_NOT_YET,
	EC_ENDED,
	EC_OTHER_HOURS,
	EC_PAUSED,
	EC_OTHER_CURRENCY,
	EC_OTHER_CHANNEL,
	EC_OTHER_SEGMENT,
	EC_OTHER_CUSTOMER,
	EC_NO_COUPON,
	EC_CONDITION,
	EC_NO_LINES,
	EC_BELOW_TOTAL,
	EC_BELOW_QTY,
	EC_EXCLUDED,
	EC_NOT_BEST,
	EC_BUDGET,
	EC_CUSTOMER_LIMIT,
	EC_NO_STOCK,
	EC_NO_SHIPPING,
	EC_NOTHING_LEFT,
	EC_BROKEN,
	EC_SKIPPED					/* out of its time by far: not worth a word */
} EcReason;

/* What became of a promotion. */
typedef struct EcOutcome
{
	const EcPromotion *promotion;
	EcReason	reason;
	int			other;			/* outcome that stands in the way, or -1 */
	EcMoney		missing;		/* to the threshold; 0: none */
	int64		missing_qty;	/* units to the threshold; 0: none */
	bool		has_next;		/* applied, and missing leads to more */
	EcMoney		amount;			/* taken off, shipping included */
	EcMoney		shipping;		/* of that, off the shipping */
	EcMoney    *gives;			/* off each line, in input order; NULL: nothing */
	int64		times;			/* groups, bundles, gifts */
	const EcCode *code;			/* that let it in, or NULL */
	const char *detail;			/* what went wrong, or NULL */
} EcOutcome;

typedef struct EcCart
{
	TimestampTz at;
	char		currency[4];
	int			decimals;
	JsonbContainer *context;
	JsonbContainer *customer;	/* or NULL */
	EcWord		customer_key;
	EcWord		email;
	const char *identity;		/* the customer as limits count him, or NULL */
	bool		identified;		/* was his address looked up by his key? */
	const char *client;			/* who is behind it, for the brake on guessing codes, or NULL */
	EcWord		channel;
	EcWord		order_key;
	EcWord		cart_key;
	bool		segments_known;
	EcWords		segments;
	bool		has_shipping;
	EcMoney		shipping;
	EcMoney		shipping_left;
	bool		explain_all;
	bool		refund;
	EcWords		without;		/* promotions to leave out */
	JsonbContainer *stock;		/* available of gifts, as the caller knows, or NULL */
	int			nlines;
	EcLine	   *lines;			/* in input order */
	int		   *order;			/* line numbers (from 0) by rank */
	EcMoney		subtotal;
	int64		qty;			/* in millionths, of all lines */
	int			ncodes;
	EcCode	   *codes;
	int			noutcomes;
	EcOutcome  *outcomes;
	bool		is_price;		/* of price_at(): only what shows on a price */
	int			nusage;			/* counters, loaded when first asked for */
	struct EcUsage *usage;
	bool		usage_loaded;

	/* while promotions are tried */
	int			current;		/* the one being tried */
	int			first_applied;	/* outcome, or -1 */
	int			alone;			/* outcome that suffers no other, or -1 */
	int			shipping_touched;	/* as of a line */
	int			shipping_taken;
} EcCart;

extern EcCart *ec_cart_parse(Jsonb *lines, Jsonb *context);
extern EcCart *ec_cart_of_one(const char *sku, Numeric price, const char *currency, TimestampTz at, Jsonb *context);
extern void ec_cart_rank(EcCart *cart);
extern void ec_word_from_json(EcWord *word, const JsonbValue *value);
extern void ec_words_from_json(EcWords *words, JsonbContainer *array);
extern void ec_words_sort(EcWords *words);
extern void ec_cart_other_sku_names(EcWords *skus);
extern JsonbValue *ec_json_field(JsonbContainer *object, const char *key, JsonbValue *value);

/* ---- pricing_cart.c ---- */
extern Numeric ec_base_price(const char *sku, const char *currency, const char *list_key, TimestampTz at);

/* ---- pricing_cart_rule.c ---- */
extern void ec_cart_price(EcCart *cart, const EcPromotions *promotions);
extern bool ec_cart_line_matches(EcCart *cart, const EcLine *line, const EcTarget *target);

/* ---- pricing_cart_action.c ---- */

/* Lines that a promotion may take something off, and what it takes. */
typedef struct EcSelection
{
	int			n;
	int		   *lines;			/* indexes into cart->lines, by rank */
} EcSelection;

extern EcMoney ec_action_compute(EcCart *cart, const EcPromotion *promotion, const EcSelection *selection,
								 const EcSelection *allowed, EcOutcome *outcome, EcMoney *gives);
extern void ec_selection_by_value(EcCart *cart, EcSelection *selection);
extern EcMoney ec_units_value(const EcLine *line, int64 units);
extern EcMoney ec_give_on(EcCart *cart, const EcGive *give, EcMoney value, int64 times);
extern void ec_give_share(const EcSelection *selection, EcMoney total, const EcMoney *values, EcMoney *gives);

/* ---- pricing_cart_bundle.c ---- */
extern EcMoney ec_bundle_compute(EcCart *cart, const EcPromotion *promotion, const EcSelection *selection,
								 EcOutcome *outcome, EcMoney *gives);

/* ---- pricing_promotion_when.c ---- */
extern EcWhen *ec_when_parse(const char *text, bool of_line, Oid definer);
extern EcExprTruth ec_when_test(EcWhen *when, EcCart *cart, const EcLine *line);
extern const char *ec_when_text(const EcWhen *when);

/* ---- pricing_cart_fetch.c: what has to be asked of the database ---- */

/* Counters of a promotion with limits. */
typedef struct EcUsage
{
	int64		promotion;
	EcMoney		amount;			/* given away so far */
	int64		uses;
	int64		customer_uses;	/* by this customer */
	EcMoney		order_amount;	/* of these, by the order that is priced again */
	int64		order_uses;
} EcUsage;

extern void ec_cart_fetch_attributes(EcCart *cart, const EcPromotions *promotions);
extern bool ec_cart_in_segment(EcCart *cart, const EcWords *segments);
extern bool ec_cart_stock(EcCart *cart, const EcWord *sku, int64 *available);
extern const EcUsage *ec_cart_usage(EcCart *cart, const EcPromotions *promotions, int64 promotion);
extern void ec_cart_fetch_codes(EcCart *cart);

/* ---- pricing_cart_json.c: writing jsonb ---- */

typedef struct EcJsonFrame
{
	int			base;			/* offset where the container begins, before padding */
	int			entries;		/* offset of its JEntries */
	int			count;			/* how many */
	int			next;			/* the one to be written */
	int			total;			/* bytes of those written */
	bool		object;
} EcJsonFrame;

#define EC_JSON_DEPTH 8

typedef struct EcJson
{
	StringInfoData buf;
	int			depth;
	EcJsonFrame frames[EC_JSON_DEPTH];
} EcJson;

extern void ec_json_begin(EcJson *json);
extern void ec_json_array(EcJson *json, int n);
extern void ec_json_object(EcJson *json, int n, const char *const *keys);
extern void ec_json_end(EcJson *json);
extern void ec_json_string(EcJson *json, const char *data, int len);
extern void ec_json_cstring(EcJson *json, const char *string);
extern void ec_json_raw(EcJson *json, const char *data, int len);
extern void ec_json_numeric(EcJson *json, Numeric number);
extern void ec_json_money(EcJson *json, EcMoney amount, int decimals);
extern void ec_json_int(EcJson *json, int64 number);
extern void ec_json_bool(EcJson *json, bool value);
extern void ec_json_null(EcJson *json);
extern Jsonb *ec_json_finish(EcJson *json);

/* ---- pricing_cart_result.c ---- */
extern Jsonb *ec_cart_result(EcCart *cart);

/* ---- pricing_coupon_code.c ---- */
extern char *ec_coupon_normalize(const char *given);
extern char *ec_coupon_make(const char *prefix, int length);
extern bool ec_coupon_checks(const char *code);
extern char *ec_coupon_show(const char *code, int prefix_len);
extern char *ec_customer_identity(const char *customer);

/* ---- pricing_promotion_use.c: counting what was given away ---- */

/* One use, to be taken or returned. */
typedef struct EcUse
{
	int64		promotion;
	const char *code;			/* in its one form, or NULL */
	const char *order_key;
	const char *identity;		/* customer, or NULL */
	Numeric		amount;			/* that was taken off, or NULL */
	bool		coupon_customer;	/* does the code count its customers? */
} EcUse;

extern bool ec_use_run(const char *sql, int nargs, const Oid *types, Datum *values, const char *nulls);
extern const EcPromotion *ec_use_promotion(int64 id);
extern const EcPromotion *ec_use_promotion_named(const char *name);
extern bool ec_use_held(const EcUse *use);
extern bool ec_use_take(const EcUse *use, const EcPromotion *promotion);
extern int64 ec_use_return(const char *order_key, const char *code, const char *promotion);
extern char *ec_use_identity(const char *customer);
extern void ec_use_lock(void);

/* ---- pricing_coupon_redeem.c ---- */
extern bool ec_coupon_redeem(const char *given, const char *order_key, const char *customer,
							 const char *cart_key, Numeric amount, const char *client);
extern bool ec_coupon_blocked(const char *who, TimestampTz *until);
extern void ec_coupon_attempt_failed(const char *who, int failed);

#endif							/* EC_PRICING_CART_H */

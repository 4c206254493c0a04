/*-------------------------------------------------------------------------
 *
 * recommend_serve.h
 *		Answers to questions about what to show.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_RECOMMEND_SERVE_H
#define EC_RECOMMEND_SERVE_H

#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/numeric.h"

#include "recommend/recommend.h"
#include "recommend/recommend_read.h"

/* ---- recommend_eligible.c ---- */

/* A sku that may be shown. */
typedef struct EcShown
{
	char	   *sku;			/* key; NULL: not looked up yet */
	double		score;
	int			item;			/* number in the version, or -1 */
	int			total;			/* its orders, once sku was looked up by the number */
	char	   *reason;			/* or NULL */
	double		figures[5];		/* of also_bought() */
	/* set by ec_shown_check(): */
	bool		ok;				/* in the shop, active, and in stock or not counted */
	char	   *product;		/* key; NULL if unknown */
	bool		found;
	bool		product_active;
	bool		counted;
	Numeric		available;		/* units in all locations that are not reserved; NULL: no row */
} EcShown;

extern void ec_shown_check(EcShown *shown, int n);
extern char *ec_customer_country(const char *customer);
extern ArrayType *ec_product_categories(const char *product);

/* ---- recommend_wanted.c ---- */
extern void ec_wanted_check(EcShown *shown, int n);

/* ---- recommend_answer.c ---- */

/* most rows that one call may ask for */
#define EC_ROWS_MAX 1000

/* Tables of the state that answers are read from. */
typedef enum EcServeTable
{
	EC_SERVE_MODEL,
	EC_SERVE_ITEM,				/* by number */
	EC_SERVE_NUMBER,			/* the same by sku */
	EC_SERVE_PAIR,
	EC_SERVE_WEIGHT,
	EC_SERVE_POPULAR,
	EC_SERVE_CONSUMABLE,
	EC_SERVE_SKU,
	EC_SERVE_CODE,				/* the same by code */
	EC_SERVE_PRODUCT,
	EC_SERVE_CUSTOMER,
	EC_SERVE_NO_PROFILE,
	EC_SERVE_FACT,
	EC_SERVE_ORDER,				/* of a customer, by time */
	EC_SERVE_GUEST_ORDER,		/* of an e-mail address, by time */
	EC_SERVE_LINE,				/* of an order */
	EC_SERVE_IDENTITY,			/* of a session */
	EC_SERVE_SESSION,			/* of a customer */
	EC_SERVE_POLICY,
	EC_SERVE_SETTING,
	EC_SERVE_TEST,				/* that runs */
	EC_SERVE_TABLES
} EcServeTable;

/* What is different for those whom a test gives other settings. */
typedef struct EcTrial
{
	bool		on;
	bool		popular_only;	/* nothing personal */
	double		half_life;		/* as in EcSetting; below 0: as for the others */
	double		popular;		/* the same */
} EcTrial;

/* One question, while it is answered. */
typedef struct EcServe
{
	ReturnSetInfo *result;
	TimestampTz now;
	int			n;				/* rows wanted */
	int			found;
	int			nfigures;		/* columns behind the reason */
	double		lowest;			/* score of the last row; 1 before there is one */
	bool		one_per_product;

	int64		version;		/* that is read; -1: none was built */
	int64		orders;
	int			skus;

	EcNames    *skus_out;		/* not to be shown, or shown already; NULL: none */
	EcNames    *products_out;	/* the same, if one of each is shown; NULL: none */
	EcNames    *had;			/* not to be shown unless they are bought again and again; NULL: none */
	bool		repeats_known;	/* is repeats filled in? */
	char		repeats;		/* what may be: 'n'one, 'c'onsumables, 'a'll */
	EcTrial		trial;			/* not on: no test, or its other half */

	EcRead	   *reads[EC_SERVE_TABLES];
} EcServe;

/*
 * Returns the reason of a row, and may fill in its figures; asked when it is
 * known which rows are shown.
 */
typedef char *(*EcMakeReason) (EcServe *serve, EcShown *shown, void *arg);

extern void ec_serve_begin(EcServe *serve, FunctionCallInfo fcinfo, int n, int nfigures);
extern void ec_serve_require(const EcServe *serve);
extern void ec_serve_end(EcServe *serve);
extern EcRead *ec_serve_read(EcServe *serve, EcServeTable table);

extern void ec_serve_item(EcServe *serve, EcShown *shown);
extern int	ec_serve_item_number(EcServe *serve, const char *sku);
extern char *ec_serve_sku_find(EcServe *serve, const char *name);
extern char *ec_serve_title(EcServe *serve, const char *sku);
extern bool ec_serve_consumable(EcServe *serve, const char *sku);

extern void ec_serve_without(EcServe *serve, const char *sku, const char *product);
extern void ec_serve_offer(EcServe *serve, EcShown *shown, int n, EcMakeReason reason, void *arg);
extern void ec_serve_popular(EcServe *serve, const char *country);

/* ---- recommend_serve.c ---- */
extern EcShown *ec_serve_candidates(const char *sql, int nargs, const Oid *types, Datum *values, int *n);

/* ---- recommend_test.c ---- */
extern void ec_serve_draw(EcServe *serve, const char *visitor);

/* ---- recommend_past.c ---- */

/* A sku that somebody bought. */
typedef struct EcBoughtSku
{
	char	   *sku;
	int			times;			/* orders with it */
	TimestampTz last;
	double		share;			/* of his orders, recent ones more */
} EcBoughtSku;

/* What a customer bought, by the number of the sku in names, the last one first. */
typedef struct EcPast
{
	EcNames    *names;
	int			n;
	EcBoughtSku *bought;
	int			norders;
	int64		npurchases;		/* pairs of sku and time, newest first */
	int		   *purchase_sku;
	TimestampTz *purchase_at;
} EcPast;

/* How much a sku was looked at, and so on. */
typedef struct EcDone
{
	char	   *sku;
	double		weight;
} EcDone;

/* Something that speaks for others. */
typedef struct EcSource
{
	int			item;
	double		weight;			/* at most 1: it was bought now */
	const char *sku;
	bool		bought;			/* or only looked at */
} EcSource;

/* Something that is bought again and again. */
typedef struct EcAgain
{
	int			item;
	int			times;
	double		score;
} EcAgain;

extern double ec_past_gap(const EcPast *past, int number);
extern EcPast *ec_past_orders(EcServe *serve, const char *customer);
extern EcDone *ec_past_done(EcServe *serve, const char *customer, const char *session, int *n);

/* ---- recommend_personal.c ---- */

/* What is offered for some sources. */
typedef struct EcTargets
{
	int			n;
	EcScored   *best;			/* best first */
} EcTargets;

extern EcSource *ec_sources_of(EcServe *serve, const char *customer, const EcPast *past, int *n);
extern void ec_personal_show(EcServe *serve, EcTask task, const EcSource *sources, int nsources,
							 const EcAgain *again, int nagain, const char *bought, const char *seen);
extern EcTargets ec_personal_best(EcServe *serve, EcTask task, const EcSource *sources, int nsources, int most);
extern void ec_source_put(EcSource *sources, int *n, int item, double weight, const char *sku, bool bought);
extern void ec_recommend_to(EcServe *serve, const char *customer);

/* ---- lists, which recommend_block.c chooses from ---- */
extern Datum ecauto_best_sellers(PG_FUNCTION_ARGS);
extern Datum ecauto_buy_again(PG_FUNCTION_ARGS);
extern Datum ecauto_discover(PG_FUNCTION_ARGS);
extern Datum ecauto_new_arrivals(PG_FUNCTION_ARGS);
extern Datum ecauto_popular(PG_FUNCTION_ARGS);
extern Datum ecauto_recommend(PG_FUNCTION_ARGS);
extern Datum ecauto_trending(PG_FUNCTION_ARGS);

#endif							/* EC_RECOMMEND_SERVE_H */

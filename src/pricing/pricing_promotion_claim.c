/*-------------------------------------------------------------------------
 *
 * pricing_promotion_claim.c
 *		May a promotion be advertised as a reduction, and by how much?
 *
 * For every price in its scope, what it would be is compared with the prior
 * price (pricing_history_prior.c): the lowest in the 30 days before.  Prices
 * that earlier promotions showed count, too, though the shop's tables never
 * held them; they are looked at where such a promotion begins and ends within
 * the window.  Where cuts that follow each other are one reduction
 * (progressive), an earlier promotion is no part of the window.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "pricing/pricing_cart.h"

#define PAGE 1000				/* prices read at once */

/* a percentage in tenths, rounded down */
#define TENTHS 1000

typedef struct Claim
{
	const EcPromotion *promotion;
	EcPromotions alone;			/* only the promotion, for everybody */
	const EcPromotions *all;
	TimestampTz at;				/* when the reduction begins */
	int64		claimed;		/* in tenths of a percent; 0: any reduction will do */
	int64		prices;			/* in scope */
	int64		unknown;		/* of these, without history */
	int64		wrong;			/* of these, not so much reduced */
	int64		highest;		/* that may be claimed of all of them, in tenths */
	char	   *worst;			/* the one that allows least, in words */
	char	   *limit;			/* below which it is a reduction */
} Claim;

static int
compare(Numeric a, Numeric b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a), NumericGetDatum(b)));
}

static char *
number_text(Numeric number)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
}

/*
 * The price that a promotion makes of a base price, NULL if the sku is not in
 * its scope.
 */
static Numeric
price_with(const EcPromotions *promotions, const char *sku, Numeric base, const char *currency, TimestampTz at)
{
	Jsonb	   *none = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	EcCart	   *cart = ec_cart_of_one(sku, base, currency, at, none);

	cart->is_price = true;
	ec_cart_fetch_attributes(cart, promotions);
	ec_cart_price(cart, promotions);
	if (promotions->n == 1 &&
		(cart->outcomes[0].reason == EC_NO_LINES || cart->outcomes[0].reason == EC_OTHER_CURRENCY))
		return NULL;
	return ec_money_numeric(cart->lines[0].left, cart->decimals);
}

/* The lowest of a price and those that earlier promotions showed. */
static Numeric
with_promotions(Claim *claim, const char *sku, const char *currency, TimestampTz window, Numeric lowest)
{
	for (int i = 0; i < claim->all->n; i++)
	{
		const EcPromotion *other = claim->all->list[i];
		TimestampTz looks[2];

		if (!other->on_price || other->error != NULL || !other->active || other->segments.n > 0 ||
			other->customers.n > 0 || other->from >= claim->at || other->until <= window ||
			strcmp(other->name, claim->promotion->name) == 0)
			continue;
		looks[0] = Max(other->from, window);
		looks[1] = Min(other->until, claim->at) - 1;
		for (int j = 0; j < 2; j++)
		{
			Numeric		base = ec_base_price(sku, currency, "", looks[j]);
			Numeric		price = base ? price_with(claim->all, sku, base, currency, looks[j]) : NULL;

			if (price != NULL && compare(price, lowest) < 0)
				lowest = price;
		}
	}
	return lowest;
}

static void
check_price(Claim *claim, const char *sku, const char *currency)
{
	Numeric		base = ec_base_price(sku, currency, "", claim->at);
	Numeric		price;
	Numeric		prior_amount;
	EcPriorOptions options;
	EcPriorPrice prior;
	int64		allowed = 0;

	if (base == NULL || (price = price_with(&claim->alone, sku, base, currency, claim->at)) == NULL)
		return;
	claim->prices++;
	ec_prior_options(sku, NULL, &options);
	ec_prior_price(sku, currency, "", claim->at, price, &options, &prior);
	if (!prior.known)
	{
		claim->unknown++;
		return;
	}
	prior_amount = options.progressive || options.perishable ? prior.amount :
		with_promotions(claim, sku, currency, prior.window, prior.amount);
	if (compare(price, prior_amount) < 0)
	{
		Datum		share = DirectFunctionCall2(numeric_sub, NumericGetDatum(prior_amount), NumericGetDatum(price));

		share = DirectFunctionCall2(numeric_mul, share, NumericGetDatum(int64_to_numeric(TENTHS)));
		share = DirectFunctionCall2(numeric_div_trunc, share, NumericGetDatum(prior_amount));
		allowed = DatumGetInt64(DirectFunctionCall1(numeric_int8, share));
		if (allowed >= claim->claimed)
			return;
	}
	if (claim->wrong++ == 0 || allowed < claim->highest)
	{
		claim->highest = allowed;
		claim->worst = psprintf("Sku \"%s\" would cost %s %s, and the lowest price of the %d days before %s was %s %s.",
								sku, number_text(price), currency, options.days, timestamptz_to_str(prior.begins),
								number_text(prior_amount), currency);
		claim->limit = psprintf("%s %s", number_text(prior_amount), currency);
	}
}

static const char *const prices_sql =
	"SELECT DISTINCT p.key, p.currency FROM ecauto_data.seen_price p "
	"WHERE p.list_key = '' AND ($1 IS NULL OR p.key = ANY ($1)) AND ($2 IS NULL OR p.currency = $2) "
	"AND (p.key, p.currency) > ($3, $4) ORDER BY 1, 2 LIMIT $5";

/* Look at every price in scope. */
static void
check_prices(Claim *claim)
{
	static const Oid types[] = {TEXTARRAYOID, TEXTOID, TEXTOID, TEXTOID, INT4OID};
	const EcPromotion *promotion = claim->promotion;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext work = AllocSetContextCreate(caller, "ecauto claim", ALLOCSET_DEFAULT_SIZES);
	Datum	   *skus = palloc(sizeof(Datum) * (promotion->target.skus.n + 1));
	Datum		values[5];
	char		nulls[] = "     ";
	char	   *last_key = "";
	char	   *last_currency = "";
	uint64		n;

	for (int i = 0; i < promotion->target.skus.n; i++)
		skus[i] = PointerGetDatum(cstring_to_text_with_len(promotion->target.skus.words[i].data,
														   promotion->target.skus.words[i].len));
	nulls[0] = promotion->target.skus.n > 0 ? ' ' : 'n';
	values[0] = PointerGetDatum(construct_array(skus, promotion->target.skus.n, TEXTOID, -1, false, TYPALIGN_INT));
	nulls[1] = promotion->currency[0] != '\0' ? ' ' : 'n';
	values[1] = CStringGetTextDatum(promotion->currency);
	values[4] = Int32GetDatum(PAGE);
	do
	{
		char	  **keys;
		char	  **currencies;

		values[2] = CStringGetTextDatum(last_key);
		values[3] = CStringGetTextDatum(last_currency);
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		(void) ec_use_run(prices_sql, 5, types, values, nulls);
		n = SPI_processed;
		MemoryContextSwitchTo(caller);
		keys = palloc(sizeof(char *) * (n + 1));
		currencies = palloc(sizeof(char *) * (n + 1));
		for (uint64 i = 0; i < n; i++)
		{
			keys[i] = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
			currencies[i] = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2);
		}
		SPI_finish();
		for (uint64 i = 0; i < n; i++)
		{
			char	   *worst = claim->worst;

			CHECK_FOR_INTERRUPTS();
			MemoryContextSwitchTo(work);
			check_price(claim, keys[i], currencies[i]);
			MemoryContextSwitchTo(caller);
			if (claim->worst != worst)
			{
				claim->worst = pstrdup(claim->worst);
				claim->limit = pstrdup(claim->limit);
			}
			MemoryContextReset(work);
			last_key = keys[i];
			last_currency = currencies[i];
		}
	} while (n == PAGE);
	MemoryContextDelete(work);
}

/*
 * Refuse an advertised promotion whose reduction is none, or less than it
 * claims.  others: all promotions there are.  Errors: check_violation.
 */
void
ec_promotion_check_claim(const EcPromotion *promotion, const EcPromotions *others)
{
	EcPromotion everybody = *promotion;
	EcPromotion *list[1] = {&everybody};
	Claim		claim = {.promotion = promotion, .all = others};
	char	   *more;

	if (!promotion->advertised || !promotion->active)
		return;
	/* whoever it is for, the price is advertised */
	everybody.channels.n = everybody.segments.n = everybody.customers.n = everybody.nhours = 0;
	everybody.when = NULL;
	everybody.has_budget = false;
	claim.alone.n = 1;
	claim.alone.list = list;
	ec_promotions_summarize(&claim.alone);
	claim.at = promotion->from == DT_NOBEGIN ? ec_now() : promotion->from;
	everybody.from = DT_NOBEGIN;
	everybody.until = DT_NOEND;
	claim.claimed = promotion->claim >= 0 ? promotion->claim :
		promotion->give.kind == EC_GIVE_PERCENT ? promotion->give.percent : 0;
	/* up to a tenth: 20 % claimed are met by 20.0 */
	claim.claimed = (claim.claimed + EC_MICRO / 10 - 1) / (EC_MICRO / 10);
	check_prices(&claim);

	if (claim.unknown > 0)
		ereport(WARNING,
				(errmsg("the prior price of " INT64_FORMAT " prices is not known", claim.unknown),
				 errdetail("Promotion \"%s\" advertises " INT64_FORMAT " reduced prices.",
						   promotion->name, claim.prices),
				 errhint("Nothing may be claimed of prices whose history is not known; see ecauto.prior_price().")));
	if (claim.prices == 0)
		ereport(WARNING,
				(errmsg("promotion \"%s\" advertises a reduction of no price that is known", promotion->name),
				 errdetail("Nothing in its scope has a base price, so nothing was compared."),
				 errhint("Look for a misspelt sku, brand or category, or run ecauto.tick() if they are new.")));
	if (claim.wrong == 0)
		return;
	more = claim.wrong > 1 ? psprintf(" So it is with " INT64_FORMAT " prices.", claim.wrong) : "";
	if (claim.highest == 0)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("promotion \"%s\" advertises a reduction that is none: at most 0.0%% may be claimed",
						promotion->name),
				 errdetail("%s%s", claim.worst, more),
				 errhint("A price below %s is a reduction. Without \"advertised\" and \"claim\" the price may be what you like, but no reduction may be announced.",
						 claim.limit)));
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("promotion \"%s\" claims %d.%d%%, but at most %d.%d%% may be claimed", promotion->name,
					(int) (claim.claimed / 10), (int) (claim.claimed % 10),
					(int) (claim.highest / 10), (int) (claim.highest % 10)),
			 errdetail("%s%s", claim.worst, more),
			 errhint("Write \"claim\": %d.%d, or take more off.", (int) (claim.highest / 10), (int) (claim.highest % 10))));
}

/*-------------------------------------------------------------------------
 *
 * pricing_rule_price.c
 *		From a cost to a price, by rules.
 *
 * Pure: knows no tables, no clock and no settings.  The caller gives the rules
 * that apply to a sku, from the first to the last, and what is known of it.
 *
 * A rule takes its base (the cost without tax, in the price's currency, and
 * brought to what the shop's prices are, net or gross; a price; or what the
 * rule before it made), then
 *
 *		markup m %:		x (100 + m) / 100
 *		margin m %:		x 100 / (100 - m), so that m % of the net price is left
 *		percent off:	x (100 - p) / 100
 *		add:			+ a
 *		round to:		a multiple of the step, nearest, up or down
 *		endings:		a price that ends so, nearest, up or down
 *
 * All but the last two are exact: see pricing_ratio.c.  After the last rule
 * the price is rounded to the currency's smallest coin, if no rule did more.
 *
 * Then come the limits, the stronger after the weaker: ceiling, most change in
 * a run, most change in a day, floor, least margin, minimum advertised price.
 * Of each kind the last rule that says one counts.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "common/int.h"
#include "lib/stringinfo.h"
#include "utils/fmgrprotos.h"
#include "utils/builtins.h"

#include "pricing/pricing_rule.h"

#define PERCENT (100 * EC_MICROS)

/* A price being made. */
typedef struct Making
{
	const EcPriceInput *input;
	EcPriceStep step;			/* NULL: nobody wants to know */
	void	   *arg;
	EcPriceResult *result;
	EcRatio		value;
	int64		micros;			/* the value, once it is rounded */
	bool		rounded;
	int64		coin;			/* smallest one of the currency */

	/* the rule whose limit counts, or NULL */
	const EcPriceRule *floor;
	const EcPriceRule *ceiling;
	const EcPriceRule *min_margin;
	const EcPriceRule *max_change;
	const EcPriceRule *max_change_day;
	const EcPriceRule *last;
} Making;

static char *
micros_text(int64 micros)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out,
											   DirectFunctionCall1(numeric_trim_scale, ec_micros_numeric(micros, 6))));
}

char *
ec_micros_text(int64 micros)
{
	return micros_text(micros);
}

static bool
fail(Making *making, EcPriceProblem problem)
{
	making->result->problem = problem;
	return false;
}

static void
tell(Making *making, const char *name, const EcPriceRule *rule, const EcRatio *before, char *note)
{
	making->step(making->arg, name, rule, before, &making->value, note);
}

/* The value became a rounded one. */
static void
value_set(Making *making, int64 micros)
{
	making->micros = micros;
	making->rounded = true;
	ec_ratio_set_micros(&making->value, micros);
}

static void
value_multiply(Making *making, const EcPriceRule *rule, const char *name, int64 add, bool divide, int64 percent)
{
	EcRatio		before = making->value;

	ec_ratio_add_percent(&making->value, add, divide);
	making->rounded = false;
	if (making->step)
		tell(making, name, rule, &before, psprintf("%s%%", micros_text(percent)));
}

/* ---- where a rule begins ---- */

/* The cost, with tax if the price holds it, in the price's currency. */
static bool
cost_set(Making *making, const EcPriceRule *rule, const EcCostAmount *cost, const char *name,
		 EcPriceProblem missing, EcRatio *value, bool taxed, bool silent)
{
	const EcPriceInput *input = making->input;
	bool		telling = making->step != NULL && !silent;
	EcRatio		factor;
	int64		percent;

	if (cost == NULL || cost->state == EC_COST_NONE)
		return fail(making, missing);
	if (cost->state == EC_COST_BAD)
		return fail(making, EC_COST_NEGATIVE);
	ec_ratio_set(value, &cost->amount);
	if (telling)
		making->step(making->arg, name, rule, NULL, value, NULL);

	if (!input->fx(input, rule, cost->currency, &factor))
		return fail(making, EC_NO_FX);
	if (factor.big_n != NULL || factor.n != factor.d)
	{
		EcRatio		before = *value;

		ec_ratio_times(value, &factor);
		if (telling)
			making->step(making->arg, "exchange", rule, &before, value, NULL);
	}
	if (taxed && input->tax_included)
	{
		EcRatio		before = *value;

		if (!input->vat(input, rule, &percent))
			return fail(making, EC_NO_VAT);
		ec_ratio_add_percent(value, percent, false);
		if (telling)
			making->step(making->arg, "tax", rule, &before, value, psprintf("%s%%", micros_text(percent)));
	}
	return true;
}

static bool
base_set(Making *making, const EcPriceRule *rule)
{
	const EcPriceInput *input = making->input;

	making->rounded = false;
	switch (rule->base)
	{
		case EC_BASE_FIXED:
			value_set(making, rule->fixed.value);
			if (making->step)
				tell(making, "fixed price", rule, NULL, NULL);
			return true;
		case EC_BASE_COST:
			return cost_set(making, rule, input->cost, "cost", EC_NO_COST, &making->value, true, false);
		case EC_BASE_OFFER:
			return cost_set(making, rule, input->offer, "best offer", EC_NO_OFFER, &making->value, true, false);
		case EC_BASE_PRICE:
			ec_ratio_set(&making->value, input->base != NULL ? input->base : input->old);
			making->result->from_price = true;
			if (making->step)
				tell(making, "current price", rule, NULL,
					 input->base != NULL ? "as it was before ecauto changed it" : NULL);
			return true;
		case EC_BASE_LIST:
			if (input->list_price == NULL)
				return fail(making, EC_NO_LIST_PRICE);
			ec_ratio_set(&making->value, input->list_price);
			if (making->step)
				tell(making, "list price", rule, NULL, NULL);
			return true;
		case EC_BASE_RESULT:
			return true;
	}
	return true;
}

/* ---- rounding ---- */

static bool
value_round(Making *making, const EcPriceRule *rule, int64 step, EcDirection direction)
{
	EcRatio		before = making->value;
	int64		micros;

	if (!ec_ratio_round(&making->value, step, direction, &micros))
		return fail(making, EC_OUT_OF_RANGE);
	value_set(making, micros);
	if (making->step)
		tell(making, "rounding", rule, &before,
			 psprintf("to %s, %s", micros_text(step),
					  direction == EC_UP ? "up" : direction == EC_DOWN ? "down" : "nearest"));
	return true;
}

/*
 * The price that ends as the band of the value says.  Of two that are as near,
 * the higher.  There is none below the ending itself.
 */
static bool
value_end(Making *making, const EcPriceRule *rule)
{
	const EcEnding *ending = NULL;
	EcRatio		before = making->value;
	EcRatio		shifted = making->value;
	int64		micros;

	for (int i = 0; i < rule->nendings && ending == NULL; i++)
		if (rule->endings[i].below == PG_INT64_MAX ||
			ec_ratio_compare_micros(&making->value, rule->endings[i].below) < 0)
			ending = &rule->endings[i];
	if (ending == NULL)
		return true;
	ec_ratio_add_micros(&shifted, -ending->ending);
	if (!ec_ratio_round(&shifted, ending->period, rule->direction, &micros) ||
		pg_add_s64_overflow(micros, ending->ending, &micros))
		return fail(making, EC_OUT_OF_RANGE);
	if (micros <= 0)
		micros = ending->ending > 0 ? ending->ending : ending->period;
	value_set(making, micros);
	if (making->step)
		tell(making, "ending", rule, &before, psprintf("%s, %s", micros_text(ending->ending),
													   rule->direction == EC_UP ? "up" :
													   rule->direction == EC_DOWN ? "down" : "nearest"));
	return true;
}

static bool
rule_apply(Making *making, const EcPriceRule *rule)
{
	if (!base_set(making, rule))
		return false;
	if (rule->markup.given)
		value_multiply(making, rule, "markup", rule->markup.value, false, rule->markup.value);
	if (rule->margin.given)
		value_multiply(making, rule, "margin", -rule->margin.value, true, rule->margin.value);
	if (rule->percent_off.given)
		value_multiply(making, rule, "percent off", -rule->percent_off.value, false, rule->percent_off.value);
	if (rule->add.given)
	{
		EcRatio		before = making->value;

		ec_ratio_add_micros(&making->value, rule->add.value);
		making->rounded = false;
		if (making->step)
			tell(making, "add", rule, &before, NULL);
	}
	if (rule->round_to.given && !value_round(making, rule, rule->round_to.value, rule->direction))
		return false;
	if (rule->nendings > 0 && !value_end(making, rule))
		return false;

	if (rule->floor.given)
		making->floor = rule;
	if (rule->ceiling.given)
		making->ceiling = rule;
	if (rule->min_margin.given)
		making->min_margin = rule;
	if (rule->max_change.given)
		making->max_change = rule;
	if (rule->max_change_day.given)
		making->max_change_day = rule;
	making->last = rule;
	return true;
}

/* ---- limits ---- */

static void
limit_hit(Making *making, int hit, const char *name, const EcPriceRule *rule, int64 limit, char *note)
{
	EcRatio		before = making->value;

	making->result->hits |= hit;
	value_set(making, limit);
	if (making->step)
		tell(making, name, rule, &before, note);
}

/* At most so many percent up or down from a price, to the coin nearest to that. */
static bool
change_limit(Making *making, const EcPriceRule *rule, const EcAmount *from, int64 percent, int hit,
			 const char *name)
{
	EcRatio		low;
	EcRatio		high;
	int64		lowest;
	int64		highest;

	ec_ratio_set(&low, from);
	high = low;
	ec_ratio_add_percent(&low, -Min(percent, PERCENT), false);
	ec_ratio_add_percent(&high, percent, false);
	if (!ec_ratio_round(&low, making->coin, EC_NEAREST, &lowest) ||
		!ec_ratio_round(&high, making->coin, EC_NEAREST, &highest))
		return fail(making, EC_OUT_OF_RANGE);
	/* who allows changes of 0% does not mean that what is no whole coin is rounded */
	if (making->micros > highest && ec_ratio_compare_micros(&high, making->micros) < 0)
		limit_hit(making, hit, name, rule, highest, making->step ? psprintf("%s%%", micros_text(percent)) : NULL);
	else if (making->micros < lowest && ec_ratio_compare_micros(&low, making->micros) > 0)
		limit_hit(making, hit, name, rule, lowest, making->step ? psprintf("%s%%", micros_text(percent)) : NULL);
	return true;
}

static bool
limits_apply(Making *making)
{
	const EcPriceInput *input = making->input;

	if (making->ceiling != NULL && making->micros > making->ceiling->ceiling.value)
		limit_hit(making, EC_HIT_CEILING, "ceiling", making->ceiling, making->ceiling->ceiling.value, NULL);
	if (making->max_change != NULL &&
		!change_limit(making, making->max_change, input->old, making->max_change->max_change.value,
					  EC_HIT_CHANGE, "most change in a run"))
		return false;
	if (making->max_change_day != NULL &&
		!change_limit(making, making->max_change_day, input->day != NULL ? input->day : input->old,
					  making->max_change_day->max_change_day.value, EC_HIT_CHANGE_DAY,
					  "most change in a day"))
		return false;
	if (making->floor != NULL && making->micros < making->floor->floor.value)
		limit_hit(making, EC_HIT_FLOOR, "floor", making->floor, making->floor->floor.value, NULL);
	if (making->min_margin != NULL)
	{
		int64		margin = making->min_margin->min_margin.value;
		EcRatio		least;
		int64		micros;

		if (!cost_set(making, making->min_margin, input->cost, "cost", EC_NO_COST, &least, true, true))
			return false;
		ec_ratio_add_percent(&least, -margin, true);
		if (!ec_ratio_round(&least, making->coin, EC_UP, &micros))
			return fail(making, EC_OUT_OF_RANGE);
		if (making->micros < micros)
			limit_hit(making, EC_HIT_MARGIN, "least margin", making->min_margin, micros,
					  making->step ? psprintf("%s%%", micros_text(margin)) : NULL);
	}
	if (input->minimum != NULL && !making->last->ignore_minimum)
	{
		EcRatio		minimum;
		int64		micros;

		ec_ratio_set(&minimum, input->minimum);
		if (!ec_ratio_round(&minimum, making->coin, EC_UP, &micros))
			return fail(making, EC_OUT_OF_RANGE);
		if (making->micros < micros)
			limit_hit(making, EC_HIT_MINIMUM, "minimum advertised price", NULL, micros, NULL);
	}
	return true;
}

/*
 * What of the net price is left above the cost, in percent with two digits; as
 * a step of its own, for people.
 */
static void
margin_tell(Making *making)
{
	const EcPriceInput *input = making->input;
	const EcPriceRule *rule = making->last;
	EcPriceResult ignored = *making->result;
	EcPriceResult *result = making->result;
	EcRatio		cost;
	EcRatio		net = making->value;
	EcRatio		share;
	int64		percent;
	int64		micros;

	making->result = &ignored;
	if (making->micros > 0 && input->cost != NULL && input->cost->state == EC_COST_GOOD &&
		cost_set(making, rule, input->cost, "cost", EC_NO_COST, &cost, false, true) &&
		(!input->tax_included || input->vat(input, rule, &percent)))
	{
		if (input->tax_included)
			ec_ratio_add_percent(&net, percent, true);
		/* 100 * (1 - cost / net) */
		share = cost;
		ec_ratio_divide(&share, &net);
		ec_ratio_multiply(&share, -100, 1);
		ec_ratio_add_micros(&share, PERCENT);
		if (ec_ratio_round(&share, EC_MICROS / 100, EC_NEAREST, &micros))
			making->step(making->arg, "true margin", NULL, NULL, NULL,
						 psprintf("%s%%", DatumGetCString(DirectFunctionCall1(numeric_out, ec_micros_numeric(micros, 2)))));
	}
	making->result = result;
}

/*
 * Make a price by rules that apply, the first of which is to have a base.
 * result->problem tells why there is none.  step, unless NULL, is told of
 * every step, with notes in the current context.
 */
void
ec_price_make(EcPriceRule *const *rules, int nrules, const EcPriceInput *input, EcPriceStep step,
			  void *arg, EcPriceResult *result)
{
	static const int64 coins[] = {EC_MICROS, EC_MICROS / 10, EC_MICROS / 100, EC_MICROS / 1000, EC_MICROS / 10000};
	Making		making = {input, step, arg, result};

	memset(result, 0, sizeof(EcPriceResult));
	making.coin = coins[input->digits];
	ec_ratio_set(&making.value, input->base != NULL ? input->base : input->old);
	/* what has nothing before it goes on from the current price */
	result->from_price = rules[0]->base == EC_BASE_RESULT;
	if (result->from_price && step != NULL)
		tell(&making, "current price", NULL, NULL, NULL);

	for (int i = 0; i < nrules; i++)
		if (!rule_apply(&making, rules[i]))
			return;
	if (!making.rounded && !value_round(&making, NULL, making.coin, EC_NEAREST))
		return;
	if (!limits_apply(&making))
		return;
	if (making.micros <= 0)
	{
		result->problem = EC_NOT_POSITIVE;
		return;
	}
	result->micros = making.micros;
	if (step != NULL)
		margin_tell(&making);
}

const char *
ec_price_problem_text(EcPriceProblem problem)
{
	static const char *const texts[EC_PRICE_PROBLEMS] = {
		NULL,
		"no cost is known",
		"the cost is negative or not a number",
		"no supplier's offer is known",
		"no list price is known",
		"no rate of value added tax is known",
		"no exchange rate is known for the cost",
		"the price would not be above zero",
		"the price would be too large",
		"two exclusive rules of equal priority apply"
	};

	return texts[problem];
}

/*
 * Append the limits that a price ran into.
 */
void
ec_price_hits_text(int hits, StringInfo text)
{
	static const char *const names[] = {
		"ceiling", "most change in a run", "most change in a day", "floor", "least margin",
		"minimum advertised price"
	};
	bool		first = true;

	for (int i = 0; i < lengthof(names); i++)
	{
		if ((hits & (1 << i)) == 0)
			continue;
		appendStringInfo(text, "%s%s", first ? "; held by " : ", ", names[i]);
		first = false;
	}
}

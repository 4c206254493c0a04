/*-------------------------------------------------------------------------
 *
 * pricing_reprice_apply.c
 *		ecauto.reprice(): the prices that rules would change, and changing
 *		them.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "pricing/pricing.h"
#include "pricing/pricing_proposal.h"
#include "pricing/pricing_reprice.h"
#include "shop/shop.h"

PG_FUNCTION_INFO_V1(ecauto_reprice);
PG_FUNCTION_INFO_V1(ecauto_propose_reprice);

/* Columns of what reprice() returns. */
#define RESULT_COLUMNS 5

typedef struct Repricing
{
	EcChanges  *changes;		/* NULL: the result is all that is wanted */
	ReturnSetInfo *result;		/* NULL: the changes are */
	EcGuard		guard;
	Datum		moves_text;
	Datum		margin_text;
	Datum		both_text;
	int64		moved;
	int64		thin;
	int64		problems[EC_PRICE_PROBLEMS];
	char	   *example[EC_PRICE_PROBLEMS];
	MemoryContext context;
} Repricing;

static bool
is_thin(const Repricing *repricing, EcRepriceRow *row, int64 micros)
{
	const EcPriceInput *input = &row->input;
	const EcPriceRule *rule = row->chain->rules[row->chain->n - 1];
	EcRatio		least;
	EcRatio		factor;
	int64		percent;

	if (!repricing->guard.margins || input->cost->state != EC_COST_GOOD)
		return false;
	ec_ratio_set(&least, &input->cost->amount);
	if (!input->fx(input, rule, input->cost->currency, &factor))
		return false;
	ec_ratio_times(&least, &factor);
	if (input->tax_included)
	{
		if (!input->vat(input, rule, &percent))
			return false;
		ec_ratio_add_percent(&least, percent, false);
	}
	ec_ratio_add_percent(&least, -repricing->guard.min_margin, true);
	return ec_ratio_compare_micros(&least, micros) > 0;
}

static void
change_put(Repricing *repricing, EcRepriceRow *row, const EcPriceResult *made)
{
	Datum		values[EC_CHANGE_COLUMNS];
	bool		nulls[EC_CHANGE_COLUMNS] = {false};
	bool		moves = repricing->guard.moves && ec_guard_moves(&repricing->guard, &row->old, made->micros);
	bool		thin = is_thin(repricing, row, made->micros);

	values[EC_CHANGE_SKU] = row->sku;
	values[EC_CHANGE_CURRENCY] = row->currency;
	values[EC_CHANGE_OLD] = row->amount;
	values[EC_CHANGE_NEW] = ec_micros_numeric(made->micros, row->input.digits);
	values[EC_CHANGE_REASON] = ec_reprice_reason(row->chain, made->hits);
	nulls[EC_CHANGE_BASE] = !made->from_price;
	if (made->from_price)
	{
		const EcAmount *base = row->input.base;
		EcRatio		ratio;
		int64		micros;

		values[EC_CHANGE_BASE] = row->amount;
		if (base != NULL && base->big == NULL)
		{
			ec_ratio_set(&ratio, base);
			if (ec_ratio_round(&ratio, 1, EC_NEAREST, &micros))
				values[EC_CHANGE_BASE] = ec_micros_numeric(micros, row->input.digits);
		}
	}
	nulls[EC_CHANGE_VIOLATION] = !moves && !thin;
	values[EC_CHANGE_VIOLATION] = moves && thin ? repricing->both_text
		: moves ? repricing->moves_text : repricing->margin_text;
	repricing->moved += moves;
	repricing->thin += thin;
	ec_changes_put(repricing->changes, values, nulls);
}

/* EcRepriceVisit */
static void
reprice_visit(EcRepriceRow *row, void *arg)
{
	Repricing  *repricing = arg;
	EcPriceResult made = {EC_AMBIGUOUS};
	EcRatio		old;

	if (row->chain->n == 0)
		return;
	if (row->chain->rival == NULL)
		ec_price_make(row->chain->rules, row->chain->n, &row->input, NULL, NULL, &made);
	if (made.problem != EC_PRICED)
	{
		if (repricing->problems[made.problem]++ == 0)
			repricing->example[made.problem] =
				MemoryContextStrdup(repricing->context,
									psprintf("%s %s, rule \"%s\"", TextDatumGetCString(row->sku),
											 TextDatumGetCString(row->currency), row->chain->rules[0]->name));
		return;
	}
	ec_ratio_set(&old, &row->old);
	if (ec_ratio_compare_micros(&old, made.micros) == 0)
		return;
	if (repricing->changes != NULL)
		change_put(repricing, row, &made);
	else
	{
		Datum		values[RESULT_COLUMNS];
		bool		nulls[RESULT_COLUMNS] = {false};

		values[0] = row->sku;
		values[1] = row->currency;
		values[2] = row->amount;
		values[3] = ec_micros_numeric(made.micros, row->input.digits);
		values[4] = ec_reprice_reason(row->chain, made.hits);
		tuplestore_putvalues(repricing->result->setResult, repricing->result->setDesc, values, nulls);
	}
}

static void
problems_warn(const Repricing *repricing)
{
	for (int i = EC_PRICED + 1; i < EC_PRICE_PROBLEMS; i++)
	{
		if (repricing->problems[i] == 0)
			continue;
		ereport(WARNING,
				(errmsg_plural("%lld price stays as it is: %s", "%lld prices stay as they are: %s",
							   (unsigned long) repricing->problems[i], (long long) repricing->problems[i],
							   ec_price_problem_text((EcPriceProblem) i)),
				 errdetail("One is that of sku %s.", repricing->example[i]),
				 errhint("SELECT * FROM ecauto.price_problems() lists them.")));
	}
}

static void
reprice_run(Repricing *repricing)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ecauto reprice", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	EcReprice  *run = ec_reprice_begin(ec_price_rules_load(ec_now(), false), NULL);
	int64		priced;

	repricing->context = old;
	if (repricing->guard.moves)
		repricing->moves_text = CStringGetTextDatum(psprintf("moves over %s%%", ec_micros_text(repricing->guard.max_move)));
	if (repricing->guard.margins)
		repricing->margin_text = CStringGetTextDatum(psprintf("margin below %s%%", ec_micros_text(repricing->guard.min_margin)));
	if (repricing->guard.moves && repricing->guard.margins)
		repricing->both_text = CStringGetTextDatum(psprintf("moves over %s%%, margin below %s%%",
															ec_micros_text(repricing->guard.max_move),
															ec_micros_text(repricing->guard.min_margin)));
	priced = ec_reprice_visit(run, NULL, reprice_visit, repricing);
	if (repricing->changes != NULL)
		repricing->changes->priced = priced;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	problems_warn(repricing);
}

/* Hand the changes on as rows of the result; held: only those that break something. */
static void
changes_return(EcChanges *changes, ReturnSetInfo *result, const char *held, bool all)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(changes->desc, &TTSOpsMinimalTuple);

	tuplestore_rescan(changes->store);
	while (tuplestore_gettupleslot(changes->store, true, false, slot))
	{
		Datum		values[RESULT_COLUMNS];
		bool		nulls[RESULT_COLUMNS] = {false};

		slot_getallattrs(slot);
		if (held != NULL && !all && slot->tts_isnull[EC_CHANGE_VIOLATION])
			continue;
		memcpy(values, slot->tts_values, sizeof(values));
		if (held != NULL)
			values[EC_CHANGE_REASON] =
				CStringGetTextDatum(psprintf("%s%s%s; %s", held, slot->tts_isnull[EC_CHANGE_VIOLATION] ? "" : ": ",
											 slot->tts_isnull[EC_CHANGE_VIOLATION] ? ""
											 : TextDatumGetCString(slot->tts_values[EC_CHANGE_VIOLATION]),
											 TextDatumGetCString(slot->tts_values[EC_CHANGE_REASON])));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	ExecDropSingleTupleTableSlot(slot);
}

static char *
violations_text(const List *violations)
{
	StringInfoData text;
	ListCell   *lc;

	initStringInfo(&text);
	foreach(lc, violations)
		appendStringInfo(&text, "%s%s", text.len > 0 ? "; " : "", (char *) lfirst(lc));
	return text.data;
}

/*
 * ecauto.reprice(apply boolean)
 *		returns table(sku text, currency text, old_price numeric, new_price numeric, reason text)
 */
Datum
ecauto_reprice(PG_FUNCTION_ARGS)
{
	bool		apply = PG_GETARG_BOOL(0);
	Repricing	repricing = {NULL, (ReturnSetInfo *) fcinfo->resultinfo};
	EcChanges	changes;
	List	   *violations;

	ec_state_require();
	ec_require_operator("reprice");
	InitMaterializedSRF(fcinfo, 0);
	ec_progress_begin("reprice");
	if (!apply)
	{
		reprice_run(&repricing);
		ec_progress_end();
		return (Datum) 0;
	}

	ec_price_lock();
	if (ec_writer_get("set_price") == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("prices cannot be written: the shop has no writer \"set_price\""),
				 errhint("Bind one with ecauto.bind_write().")));
	ec_guard_read(&repricing.guard);
	ec_changes_begin(&changes);
	repricing.changes = &changes;
	reprice_run(&repricing);
	violations = ec_guard_check(&repricing.guard, &changes, repricing.moved, repricing.thin);
	if (violations != NIL)
	{
		int64		proposal = ec_proposal_keep(&changes, "held", "reprice()", violations);
		bool		all = repricing.guard.max_rows >= 0 && changes.n > repricing.guard.max_rows;

		ereport(WARNING,
				(errmsg("nothing was changed: prices are held as proposal %lld", (long long) proposal),
				 errdetail("%s.", violations_text(violations)),
				 errhint("Look at ecauto.price_proposal_rows(%lld), then ecauto.approve_proposal(%lld) or ecauto.reject_proposal(%lld).",
						 (long long) proposal, (long long) proposal, (long long) proposal)));
		changes_return(&changes, repricing.result, psprintf("held as proposal %lld", (long long) proposal), all);
	}
	else if (changes.n > 0)
	{
		(void) ec_proposal_keep(&changes, "applied", "reprice()", NIL);
		ec_progress_phase("write", changes.n);
		ec_prices_write(&changes);
		changes_return(&changes, repricing.result, NULL, true);
	}
	ec_changes_end(&changes);
	ec_progress_end();
	return (Datum) 0;
}

/*
 * ecauto.propose_reprice(note text) returns bigint
 */
Datum
ecauto_propose_reprice(PG_FUNCTION_ARGS)
{
	Repricing	repricing = {NULL};
	EcChanges	changes;
	List	   *violations;
	int64		proposal;

	ec_state_require();
	ec_require_operator("propose prices");
	ec_guard_read(&repricing.guard);
	ec_changes_begin(&changes);
	repricing.changes = &changes;
	reprice_run(&repricing);
	if (changes.n == 0)
	{
		ec_changes_end(&changes);
		PG_RETURN_NULL();
	}
	violations = ec_guard_check(&repricing.guard, &changes, repricing.moved, repricing.thin);
	proposal = ec_proposal_keep(&changes, violations != NIL ? "held" : "open",
								PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0)), violations);
	ec_changes_end(&changes);
	PG_RETURN_INT64(proposal);
}

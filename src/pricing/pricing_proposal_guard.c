/*-------------------------------------------------------------------------
 *
 * pricing_proposal_guard.c
 *		What a change of many prices must keep to.
 *
 * A supplier's file with a wrong decimal point, a rule with a percent too
 * many: each price by itself looks as if it were meant.  So a change is looked
 * at as a whole before anything of it is written: how many rows, how many of
 * them move far, which would be sold below a margin, which would be shown as
 * reduced without being it.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/queryenvironment.h"

#include "pricing/pricing.h"
#include "pricing/pricing_key_map.h"
#include "pricing/pricing_proposal.h"
#include "pricing/pricing_reprice.h"

PG_FUNCTION_INFO_V1(ecauto_price_guard_check);

#define PERCENT (100 * EC_MICROS)

static void
guard_refuse(const char *key, const char *wanted)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" of a price guard must be %s", key, wanted)));
}

static int64
guard_number(const char *key, const JsonbValue *value, int64 min, int64 max, const char *wanted)
{
	int64		micros;

	if (value->type != jbvNumeric || !ec_micros_set(&micros, value->val.numeric) || micros < min || micros > max)
		guard_refuse(key, wanted);
	return micros;
}

static void
guard_parse(Jsonb *definition, EcGuard *guard)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;
	bool		share = false;
	bool		move = false;

	memset(guard, 0, sizeof(EcGuard));
	guard->max_rows = -1;
	if (!JB_ROOT_IS_OBJECT(definition))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("definition of a price guard must be a JSON object")));
	it = JsonbIteratorInit(&definition->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char	   *key;

		if (token != WJB_KEY)
			continue;
		key = pnstrdup(value.val.string.val, value.val.string.len);
		(void) JsonbIteratorNext(&it, &value, true);
		if (strcmp(key, "max_rows") == 0)
		{
			int64		micros = guard_number(key, &value, 0, INT64CONST(1000000000) * EC_MICROS, "a number of rows");

			if (micros % EC_MICROS != 0)
				guard_refuse(key, "a number of rows");
			guard->max_rows = micros / EC_MICROS;
		}
		else if (strcmp(key, "max_share") == 0)
		{
			guard->max_share = guard_number(key, &value, 0, PERCENT, "between 0 and 100 percent");
			share = true;
		}
		else if (strcmp(key, "max_move") == 0)
		{
			guard->max_move = guard_number(key, &value, 0, 1000 * PERCENT, "a percentage, not negative");
			move = true;
		}
		else if (strcmp(key, "min_margin") == 0)
		{
			guard->min_margin = guard_number(key, &value, -1000 * PERCENT, PERCENT - 1, "below 100 percent");
			guard->margins = true;
		}
		else if (strcmp(key, "prior_price") == 0)
		{
			if (value.type != jbvBool)
				guard_refuse(key, "true or false");
			guard->prior_price = value.val.boolean;
		}
		else
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("there is no price guard \"%s\"", key),
					 errhint("The guards are max_rows, max_share with max_move, min_margin and prior_price.")));
	}
	if (share && !move)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("price guard \"max_share\" needs \"max_move\""),
				 errdetail("It says which share of the prices may move by more than that.")));
	guard->moves = move;
	guard->given = true;
}

/*
 * The guards that were set; none: guard->given is false.
 */
void
ec_guard_read(EcGuard *guard)
{
	memset(guard, 0, sizeof(EcGuard));
	guard->max_rows = -1;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_pricing_run("SELECT g.definition FROM ecauto_data.price_guard g", 0, NULL, NULL, NULL, SPI_OK_SELECT);
	if (SPI_processed == 1)
	{
		bool		isnull;

		guard_parse((Jsonb *) PG_DETOAST_DATUM(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
															 &isnull)), guard);
	}
	SPI_finish();
}

/*
 * ecauto.price_guard_check(definition jsonb) returns void
 */
Datum
ecauto_price_guard_check(PG_FUNCTION_ARGS)
{
	EcGuard		guard;

	guard_parse(PG_GETARG_JSONB_P(0), &guard);
	PG_RETURN_VOID();
}

/*
 * Does a price move by more than max_move?  From 0, any price does.
 */
bool
ec_guard_moves(const EcGuard *guard, const EcAmount *old, int64 new_micros)
{
	EcRatio		low;
	EcRatio		high;

	ec_ratio_set(&low, old);
	high = low;
	ec_ratio_add_percent(&high, guard->max_move, false);
	if (ec_ratio_compare_micros(&high, new_micros) < 0)
		return true;
	if (guard->max_move >= PERCENT)
		return false;
	ec_ratio_add_percent(&low, -guard->max_move, false);
	return ec_ratio_compare_micros(&low, new_micros) > 0;
}

/* ---- shown as reduced without being it ---- */

/*
 * A price below a list price is shown as a reduction.  Mark those that are not
 * below their prior price; returns how many.  changes is replaced.
 */
static int64
unlawful_mark(EcChanges *changes)
{
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));
	static const Oid types[] = {TIMESTAMPTZOID};
	Datum		now = TimestampTzGetDatum(ec_now());
	EcKeyMap   *pairs = ec_key_map_create(64);
	MemoryContext caller = CurrentMemoryContext;
	TupleTableSlot *slot;
	EcChanges	marked;
	EcAs		as;
	int64		n;
	int			rc;

	enr->md.name = "ec_change";
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = changes->desc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = changes->n;
	enr->reldata = changes->store;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_register_relation(enr) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register relation \"%s\"", enr->md.name);
	ec_as_state_owner(&as);
	rc = SPI_execute_with_args("SELECT c.sku, c.currency FROM ec_change c"
							   " JOIN ecauto_data.price_bound b ON b.sku = c.sku AND b.currency = c.currency"
							   " WHERE b.list_price > c.new AND c.new < c.old"
							   " AND ecauto.prior_price(c.sku, c.currency, $1, c.new) <= c.new",
							   1, (Oid *) types, &now, NULL, true, 0);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args returned %s", SPI_result_code_string(rc));
	n = SPI_processed;
	for (int64 i = 0; i < n; i++)
	{
		bool		isnull;
		MemoryContext spi = MemoryContextSwitchTo(caller);

		(void) ec_pair_put(pairs, SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull),
						   SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull));
		MemoryContextSwitchTo(spi);
	}
	ec_as_end(&as);
	SPI_finish();
	if (n == 0)
		return 0;

	ec_changes_begin(&marked);
	slot = MakeSingleTupleTableSlot(changes->desc, &TTSOpsMinimalTuple);
	tuplestore_rescan(changes->store);
	while (tuplestore_gettupleslot(changes->store, true, false, slot))
	{
		slot_getallattrs(slot);
		if (ec_pair_find(pairs, slot->tts_values[EC_CHANGE_SKU], slot->tts_values[EC_CHANGE_CURRENCY]) >= 0)
		{
			slot->tts_isnull[EC_CHANGE_VIOLATION] = false;
			slot->tts_values[EC_CHANGE_VIOLATION] =
				CStringGetTextDatum("shown as reduced, but not below the prior price");
		}
		ec_changes_put(&marked, slot->tts_values, slot->tts_isnull);
	}
	ExecDropSingleTupleTableSlot(slot);
	marked.priced = changes->priced;
	ec_changes_end(changes);
	*changes = marked;
	return n;
}

/*
 * What a change breaks, as a list of char * for people; NIL if nothing.  moved:
 * rows that move by more than max_move; thin: rows below min_margin.
 */
List *
ec_guard_check(const EcGuard *guard, EcChanges *changes, int64 moved, int64 thin)
{
	List	   *violations = NIL;
	int64		unlawful = 0;

	if (!guard->given || changes->n == 0)
		return NIL;
	if (guard->prior_price)
		unlawful = unlawful_mark(changes);
	if (guard->max_rows >= 0 && changes->n > guard->max_rows)
		violations = lappend(violations, psprintf("%lld prices would change (at most %lld)",
												  (long long) changes->n, (long long) guard->max_rows));
	if (guard->moves && (int128) moved * PERCENT > (int128) guard->max_share * changes->priced)
		violations = lappend(violations,
							 psprintf("%lld of %lld prices would move over %s%% (at most %s%% of them)",
									  (long long) moved, (long long) changes->priced,
									  ec_micros_text(guard->max_move), ec_micros_text(guard->max_share)));
	if (thin > 0)
		violations = lappend(violations, psprintf("%lld prices would leave a margin below %s%%",
												  (long long) thin, ec_micros_text(guard->min_margin)));
	if (unlawful > 0)
		violations = lappend(violations,
							 psprintf("%lld prices would be shown as reduced, but not be below the prior price",
									  (long long) unlawful));
	return violations;
}

/*-------------------------------------------------------------------------
 *
 * pricing_rule.c
 *		Making price rules.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "pricing/pricing.h"
#include "pricing/pricing_reprice.h"
#include "shop/shop.h"

PG_FUNCTION_INFO_V1(ecauto_create_price_rule);

/* longest name of a rule, in bytes */
#define NAME_MAX_LENGTH 200

/* ---- rules that cannot both be right ---- */

/* Is some element in both lists?  NIL has all. */
static bool
lists_meet(const List *a, const List *b)
{
	ListCell   *la;
	ListCell   *lb;

	if (a == NIL || b == NIL)
		return true;
	foreach(la, a)
		foreach(lb, b)
			if (strcmp(lfirst(la), lfirst(lb)) == 0)
				return true;
	return false;
}

/* What a rule says of its scope, beside the list that makes it as specific as it is. */
static bool
scope_is_plain(const EcPriceRule *rule)
{
	return rule->condition == NULL &&
		(rule->skus != NIL) + (rule->products != NIL) + (rule->categories != NIL) + (rule->brands != NIL) <= 1;
}

/*
 * Do two rules without doubt apply to the same prices, each of them to be the
 * only one?
 */
static bool
rules_collide(const EcPriceRule *a, const EcPriceRule *b)
{
	return a->exclusive && b->exclusive && a->scope == b->scope && a->priority == b->priority &&
		a->valid_from < b->valid_until && b->valid_from < a->valid_until &&
		scope_is_plain(a) && scope_is_plain(b) &&
		lists_meet(a->currencies, b->currencies) && lists_meet(a->skus, b->skus) &&
		lists_meet(a->products, b->products) && lists_meet(a->categories, b->categories) &&
		lists_meet(a->brands, b->brands);
}

static void
collision_refuse(const EcPriceRule *rule)
{
	ListCell   *lc;

	foreach(lc, ec_price_rules_load(0, true))
	{
		const EcPriceRule *other = lfirst(lc);

		if (strcmp(other->name, rule->name) != 0 && rules_collide(rule, other))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("price rules \"%s\" and \"%s\" are exclusive and of equal priority", rule->name, other->name),
					 errdetail("Both apply to the same prices, and nothing tells which one makes them."),
					 errhint("Give one of them a higher \"priority\", or make it \"exclusive\": false.")));
	}
}

/* ---- rules that apply to nothing ---- */

/* EcRepriceVisit */
static void
matched_visit(EcRepriceRow *row, void *arg)
{
	if (row->chain->n > 0)
		(*(int64 *) arg)++;
}

static void
emptiness_warn(EcPriceRule *rule)
{
	MemoryContext context;
	MemoryContext old;
	EcReprice  *run;
	int64		matched = 0;

	if (ec_binding_get("price") == NULL || (rule->scope == EC_SCOPE_ALL && rule->currencies == NIL))
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "ecauto reprice", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	run = ec_reprice_begin(list_make1(rule), NULL);
	(void) ec_reprice_visit(run, NULL, matched_visit, &matched);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	if (matched == 0)
		ereport(WARNING,
				(errmsg("price rule \"%s\" applies to no price of the shop", rule->name),
				 errdetail("It may when there are such skus; look for a misspelt key, brand or currency otherwise.")));
}

/*
 * ecauto.create_price_rule(name text, definition jsonb) returns bigint
 */
Datum
ecauto_create_price_rule(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, JSONBOID, NAMEOID, TIMESTAMPTZOID};
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Jsonb	   *definition = PG_GETARG_JSONB_P(1);
	Datum		values[4];
	EcPriceRule *rule;
	NameData	definer;
	bool		isnull;
	int64		id;
	EcAs		as;

	ec_state_require();
	ec_require_operator("create a price rule");
	if (*name == '\0' || strlen(name) > NAME_MAX_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("name of a price rule must have 1 to %d bytes", NAME_MAX_LENGTH)));

	/* days and times are the shop's */
	ec_expr_begin_as_owner(&as);
	rule = ec_price_rule_read(name, definition);
	ec_expr_end(&as);
	rule->definer = GetUserNameFromId(GetUserId(), false);
	if (rule->condition != NULL)
	{
		ec_expr_begin(&as, GetUserId());
		(void) ec_expr_check(rule->condition, ec_price_scope());
		ec_expr_end(&as);
	}
	collision_refuse(rule);

	namestrcpy(&definer, rule->definer);
	values[0] = CStringGetTextDatum(name);
	values[1] = JsonbPGetDatum(definition);
	values[2] = NameGetDatum(&definer);
	values[3] = TimestampTzGetDatum(ec_now());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_pricing_run("INSERT INTO ecauto_data.price_rule AS r (name, definition, definer, created_at)"
				   " VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO UPDATE"
				   " SET definition = excluded.definition, definer = excluded.definer, enabled = true"
				   " RETURNING r.rule_id", lengthof(types), types, values, NULL, SPI_OK_INSERT_RETURNING);
	id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	rule->id = id;
	emptiness_warn(rule);
	PG_RETURN_INT64(id);
}

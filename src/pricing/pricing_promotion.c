/*-------------------------------------------------------------------------
 *
 * pricing_promotion.c
 *		Making and dropping promotions: ecauto.create_promotion(),
 *		drop_promotion(), check_promotion().
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"

#include "pricing/pricing_cart.h"

PG_FUNCTION_INFO_V1(ecauto_create_promotion);
PG_FUNCTION_INFO_V1(ecauto_price_currency_digits);
PG_FUNCTION_INFO_V1(ecauto_drop_promotion);

static const char *const write_sql =
	"INSERT INTO ecauto_data.promotion AS p (name, definition, definer, zone, valid_from, valid_until, created_at) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7) "
	"ON CONFLICT (name) WHERE dropped_at IS NULL DO UPDATE SET definition = excluded.definition,"
	" definer = excluded.definer, zone = excluded.zone, valid_from = excluded.valid_from,"
	" valid_until = excluded.valid_until, changed_at = excluded.created_at "
	"RETURNING promotion_id";

/* counters of a promotion, from what is on record */
static const char *const usage_sql =
	"INSERT INTO ecauto_data.promotion_usage AS t (promotion_id, uses, amount) "
	"SELECT $1, count(*), coalesce(sum(u.amount), 0) FROM ecauto_data.promotion_use u "
	"WHERE u.promotion_id = $1 AND u.returned_at IS NULL "
	"ON CONFLICT (promotion_id) DO UPDATE SET uses = excluded.uses, amount = excluded.amount";

static const char *const customers_sql =
	"INSERT INTO ecauto_data.promotion_customer AS t (promotion_id, customer, uses) "
	"SELECT $1, u.customer, count(*) FROM ecauto_data.promotion_use u "
	"WHERE u.promotion_id = $1 AND u.returned_at IS NULL AND u.customer IS NOT NULL GROUP BY u.customer "
	"ON CONFLICT (promotion_id, customer) DO UPDATE SET uses = excluded.uses";

/*
 * Run a statement as the owner of the state; the caller is connected to SPI.
 */
static void
execute(const char *sql, int nargs, const Oid *types, Datum *values, const char *nulls)
{
	int			code;
	EcAs		as;

	ec_as_state_owner(&as);
	code = SPI_execute_plan(ec_plan(sql, nargs, types), values, nulls, false, 0);
	ec_as_end(&as);
	if (code < 0)
		elog(ERROR, "SPI_execute_plan returned %s", SPI_result_code_string(code));
}

static void
check_name(const char *name)
{
	if (*name == '\0' || strlen(name) > EC_PROMOTION_NAME_MAX || strpbrk(name, "\r\n\t") != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid name of a promotion"),
				 errdetail("The name is \"%s\".", name),
				 errhint("A name has one line of at most %d bytes.", EC_PROMOTION_NAME_MAX)));
}

/* Do two lists that restrict have nothing in common? */
static bool
words_apart(const EcWords *a, const EcWords *b)
{
	if (a->n == 0 || b->n == 0)
		return false;
	for (int i = 0; i < a->n; i++)
		if (ec_words_have(b, a->words[i].data, a->words[i].len))
			return false;
	return true;
}

/*
 * Two exclusive promotions of a lane that may meet on a line need an order:
 * without one it would be their names that decide.
 */
static void
check_exclusive(const EcPromotion *promotion, const EcPromotions *others)
{
	if (promotion->stack != EC_STACK_EXCLUSIVE && promotion->stack != EC_STACK_ALONE)
		return;
	for (int i = 0; i < others->n; i++)
	{
		const EcPromotion *other = others->list[i];

		if (strcmp(other->name, promotion->name) == 0 || !other->active || other->error != NULL ||
			other->stack != promotion->stack || other->lane != promotion->lane ||
			other->priority != promotion->priority ||
			other->until <= promotion->from || promotion->until <= other->from ||
			(other->currency[0] != '\0' && promotion->currency[0] != '\0' &&
			 strcmp(other->currency, promotion->currency) != 0) ||
			words_apart(&other->channels, &promotion->channels) ||
			words_apart(&other->target.skus, &promotion->target.skus))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"priority\" of promotion \"%s\" is the same as that of \"%s\", and both are exclusive",
						promotion->name, other->name),
				 errdetail("Both have priority %d in lane %d, and their times overlap.", promotion->priority, promotion->lane),
				 errhint("Give one of them a greater \"priority\" to go first, "
						 "or write \"stack\": \"best\" in both to let the customer have the better.")));
	}
}

/*
 * ecauto.create_promotion(name text, definition jsonb) returns bigint
 */
Datum
ecauto_create_promotion(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, JSONBOID, NAMEOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	char	   *name;
	Jsonb	   *definition;
	const char *zone;
	EcPromotion *promotion;
	const EcPromotions *others;
	Datum		values[7];
	NameData	me;
	int64		id;
	bool		isnull;

	ec_state_require();
	ec_require_operator("create promotions");
	for (int i = 0; i < 2; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s of a promotion must not be null", i == 0 ? "name" : "definition")));
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	definition = PG_GETARG_JSONB_P(1);
	check_name(name);
	zone = ec_promotion_zone();
	promotion = ec_promotion_parse(name, definition, GetUserId(), zone);

	/* one after the other, so that each sees the one before */
	LockRelationOid(ec_state_relation("promotion", false), ShareRowExclusiveLock);
	others = ec_promotions();
	check_exclusive(promotion, others);
	ec_promotion_check_claim(promotion, others);

	namestrcpy(&me, GetUserNameFromId(GetUserId(), false));
	values[0] = CStringGetTextDatum(name);
	values[1] = JsonbPGetDatum(definition);
	values[2] = NameGetDatum(&me);
	values[3] = CStringGetTextDatum(zone);
	values[4] = TimestampTzGetDatum(promotion->from);
	values[5] = TimestampTzGetDatum(promotion->until);
	values[6] = TimestampTzGetDatum(ec_now());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	execute(write_sql, 7, types, values, NULL);
	values[0] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	id = DatumGetInt64(values[0]);
	values[0] = Int64GetDatum(id);
	if (promotion->has_budget)
	{
		/* those who counted without it are done, the others will know of it */
		LockRelationOid(ec_state_relation("promotion_use", false), ShareRowExclusiveLock);
		execute(usage_sql, 1, (Oid[]) {INT8OID}, values, NULL);
		execute(customers_sql, 1, (Oid[]) {INT8OID}, values, NULL);
	}
	SPI_finish();
	ec_promotions_changed();
	PG_RETURN_INT64(id);
}

/*
 * ecauto.drop_promotion(name text) returns boolean
 */
Datum
ecauto_drop_promotion(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID};
	Datum		values[2];
	bool		found;

	ec_state_require();
	ec_require_operator("drop promotions");
	values[0] = PG_GETARG_DATUM(0);
	values[1] = TimestampTzGetDatum(ec_now());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	execute("UPDATE ecauto_data.promotion SET dropped_at = $2 WHERE name = $1 AND dropped_at IS NULL", 2, types, values, NULL);
	found = SPI_processed > 0;
	SPI_finish();
	if (found)
		ec_promotions_changed();
	PG_RETURN_BOOL(found);
}

/*
 * ecauto.price_currency_digits(currency text) returns integer
 */
Datum
ecauto_price_currency_digits(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(ec_currency_digits(ec_currency_check(text_to_cstring(PG_GETARG_TEXT_PP(0)))));
}

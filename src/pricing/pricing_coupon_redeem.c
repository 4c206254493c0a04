/*-------------------------------------------------------------------------
 *
 * pricing_coupon_redeem.c
 *		Using a coupon, giving the use back, and those who guess codes.
 *
 * redeem_coupon() is false if the code cannot be used, and raises an error if
 * the question itself is wrong or was asked too often.
 *
 * Whoever gave MAX_FAILED wrong codes within WINDOW waits until it is over,
 * right codes or not.  He is known by what the shop says of him: client (an
 * address or session) if given, else the customer.  Those of whom nothing is
 * known share one account with a larger limit.  Wrong codes are counted in the
 * caller's transaction, so a shop that rolls back what was refused does not
 * have this protection.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "pricing/pricing_cart.h"

PG_FUNCTION_INFO_V1(ecauto_redeem_coupon);
PG_FUNCTION_INFO_V1(ecauto_cancel_coupon);

#define MAX_FAILED 10
#define MAX_FAILED_UNKNOWN 100	/* of all that are not known */
#define WINDOW (15 * USECS_PER_MINUTE)

/* longest code that is looked at */
#define CODE_MAX 100

/* ---- guessing ---- */

/* Has somebody tried too many wrong codes?  Then *until says how long he waits. */
bool
ec_coupon_blocked(const char *who, TimestampTz *until)
{
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID, INT4OID};
	Datum		values[3];
	bool		blocked;
	bool		isnull;

	values[0] = CStringGetTextDatum(who);
	values[1] = TimestampTzGetDatum(ec_now() - WINDOW);
	values[2] = Int32GetDatum(*who == '\0' ? MAX_FAILED_UNKNOWN : MAX_FAILED);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	blocked = ec_use_run("SELECT a.since FROM ecauto_data.coupon_attempt a"
						 " WHERE a.who = $1 AND a.since > $2 AND a.failed >= $3", 3, types, values, NULL);
	if (blocked)
		*until = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)) + WINDOW;
	SPI_finish();
	return blocked;
}

/* Count wrong codes, unless nothing can be written. */
void
ec_coupon_attempt_failed(const char *who, int failed)
{
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID};
	Datum		values[4];

	if (XactReadOnly || RecoveryInProgress())
		return;
	values[0] = CStringGetTextDatum(who);
	values[1] = TimestampTzGetDatum(ec_now());
	values[2] = TimestampTzGetDatum(ec_now() - WINDOW);
	values[3] = Int32GetDatum(failed);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	(void) ec_use_run("INSERT INTO ecauto_data.coupon_attempt AS a (who, failed, since) VALUES ($1, $4, $2)"
					  " ON CONFLICT (who) DO UPDATE SET"
					  " failed = CASE WHEN a.since <= $3 THEN $4 ELSE a.failed + $4 END,"
					  " since = CASE WHEN a.since <= $3 THEN $2 ELSE a.since END", 4, types, values, NULL);
	SPI_finish();
}

static void
refuse_blocked(const char *who)
{
	TimestampTz until;

	if (ec_coupon_blocked(who, &until))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many wrong coupon codes"),
				 errdetail("At most %d are accepted in 15 minutes.", *who == '\0' ? MAX_FAILED_UNKNOWN : MAX_FAILED),
				 errhint("Try again after %s.", timestamptz_to_str(until))));
}

/* ---- redeeming ---- */

static const char *const coupon_sql =
	"SELECT b.promotion_id, c.used, b.uses, b.uses_per_customer, b.valid_from, b.valid_until, b.customer,"
	" b.cart_key, c.blocked FROM ecauto_data.coupon c JOIN ecauto_data.coupon_batch b USING (batch_id)"
	" WHERE c.code = $1 FOR UPDATE OF c";

static Datum
cell(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, isnull);
}

/* Is the cart that a coupon is bound to the one the order came of? */
static bool
cart_is(const char *bound, const char *cart_key, const char *order_key)
{
	static const Oid types[] = {TEXTOID, TEXTOID};
	Datum		values[2];

	if (cart_key != NULL)
		return strcmp(bound, cart_key) == 0;
	if (strcmp(bound, order_key) == 0)
		return true;
	values[0] = CStringGetTextDatum(order_key);
	values[1] = CStringGetTextDatum(bound);
	return ec_use_run("SELECT FROM ecauto_data.seen_order o WHERE o.key = $1 AND o.cart_key = $2", 2, types, values, NULL);
}

/* What row 0 of coupon_sql says to this use.  May run further statements. */
static bool
usable(const EcUse *use, const char *cart_key, int64 *uses_per_customer)
{
	bool		isnull;
	TimestampTz now = ec_now();
	Datum		value;
	char	   *bound_customer;
	char	   *bound_cart;
	bool		good;

	good = !DatumGetBool(cell(9, &isnull));
	value = cell(3, &isnull);
	good = good && (isnull || DatumGetInt64(cell(2, &isnull)) < DatumGetInt64(value));
	value = cell(5, &isnull);
	good = good && (isnull || now >= DatumGetTimestampTz(value));
	value = cell(6, &isnull);
	good = good && (isnull || now < DatumGetTimestampTz(value));
	value = cell(4, &isnull);
	*uses_per_customer = isnull ? -1 : DatumGetInt64(value);
	value = cell(7, &isnull);
	bound_customer = isnull ? NULL : TextDatumGetCString(value);
	value = cell(8, &isnull);
	bound_cart = isnull ? NULL : TextDatumGetCString(value);
	if (!good)
		return false;
	if (bound_customer != NULL && (use->identity == NULL || strcmp(bound_customer, use->identity) != 0))
		return false;
	return bound_cart == NULL || cart_is(bound_cart, cart_key, use->order_key);
}

/* Has the customer a use of this code left?  Locks his counter. */
static bool
customer_has_room(const EcUse *use, int64 limit)
{
	static const Oid types[] = {TEXTOID, TEXTOID};
	Datum		values[2];
	bool		isnull;

	if (use->identity == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("customer must be given for this coupon"),
				 errdetail("Each customer may use it " INT64_FORMAT " times.", limit),
				 errhint("Give the customer's key or mail address; for a guest, the mail address of the order.")));
	values[0] = CStringGetTextDatum(use->code);
	values[1] = CStringGetTextDatum(use->identity);
	(void) ec_use_run("INSERT INTO ecauto_data.coupon_customer AS k (code, customer) VALUES ($1, $2)"
					  " ON CONFLICT (code, customer) DO UPDATE SET uses = k.uses RETURNING k.uses",
					  2, types, values, NULL);
	return DatumGetInt64(cell(1, &isnull)) < limit;
}

/*
 * Take a use of a code for an order.  False: unknown, blocked, not valid now,
 * used up, of another customer or cart, or its promotion is over or has no
 * budget left.  Errors: configuration_limit_exceeded (too many wrong codes),
 * and those of ec_use_take().
 */
bool
ec_coupon_redeem(const char *given, const char *order_key, const char *customer,
				 const char *cart_key, Numeric amount, const char *client)
{
	static const Oid types[] = {TEXTOID};
	EcUse		use = {0};
	const char *who;
	const EcPromotion *promotion;
	Datum		value;
	int64		uses_per_customer;
	bool		known;
	bool		isnull;
	bool		done = false;

	ec_use_lock();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	use.code = strlen(given) <= CODE_MAX ? ec_coupon_normalize(given) : "";
	use.order_key = order_key;
	use.amount = amount;
	use.identity = ec_use_identity(customer);
	who = client ? psprintf("client %s", client) : use.identity ? use.identity : "";
	refuse_blocked(who);

	value = CStringGetTextDatum(use.code);
	known = ec_use_run(coupon_sql, 1, types, &value, NULL);
	if (known)
	{
		bool		good;

		use.promotion = DatumGetInt64(cell(1, &isnull));
		good = usable(&use, cart_key, &uses_per_customer);
		use.coupon_customer = uses_per_customer >= 0;
		promotion = ec_use_promotion(use.promotion);
		if (ec_use_held(&use))
			done = true;
		else if (good && promotion != NULL && promotion->active && promotion->error == NULL &&
				 ec_now() >= promotion->from && ec_now() < promotion->until)
			done = (uses_per_customer < 0 || customer_has_room(&use, uses_per_customer)) &&
				ec_use_take(&use, promotion);
	}
	else
		ec_coupon_attempt_failed(who, 1);
	SPI_finish();
	return done;
}

static char *
argument(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

static char *
required(FunctionCallInfo fcinfo, int number, const char *what)
{
	char	   *value = argument(fcinfo, number);

	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", what)));
	return value;
}

static char *
required_key(FunctionCallInfo fcinfo, int number, const char *what)
{
	char	   *value = required(fcinfo, number, what);

	if (*value == '\0' || strlen(value) > EC_KEY_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have between 1 and %d bytes", what, EC_KEY_MAX)));
	return value;
}

/*
 * ecauto.redeem_coupon(code text, order_key text, customer text, amount numeric,
 *						cart text, client text) returns boolean
 */
Datum
ecauto_redeem_coupon(PG_FUNCTION_ARGS)
{
	char	   *code = required(fcinfo, 0, "code");
	char	   *order_key = required_key(fcinfo, 1, "order_key");
	Numeric		amount = PG_ARGISNULL(3) ? NULL : PG_GETARG_NUMERIC(3);

	ec_state_require();
	if (amount != NULL &&
		(numeric_is_nan(amount) || numeric_is_inf(amount) ||
		 DatumGetBool(DirectFunctionCall2(numeric_lt, NumericGetDatum(amount), NumericGetDatum(int64_to_numeric(0))))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("amount must be a finite number, 0 or more")));
	PG_RETURN_BOOL(ec_coupon_redeem(code, order_key, argument(fcinfo, 2), argument(fcinfo, 4), amount,
									argument(fcinfo, 5)));
}

/*
 * ecauto.cancel_coupon(code text, order_key text) returns boolean
 */
Datum
ecauto_cancel_coupon(PG_FUNCTION_ARGS)
{
	char	   *code = required(fcinfo, 0, "code");
	char	   *order_key = required_key(fcinfo, 1, "order_key");

	ec_state_require();
	PG_RETURN_BOOL(ec_use_return(order_key, ec_coupon_normalize(code), NULL) > 0);
}

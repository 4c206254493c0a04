/*-------------------------------------------------------------------------
 *
 * pricing_promotion_use.c
 *		Counting what promotions give away, and never more than they may.
 *
 * price_cart() promises nothing: it looks at counters and says what would be.
 * The promise is made when an order is placed, by taking a use (redeem_coupon(),
 * claim_promotion(), claim_cart()), and taken back when it is cancelled.
 *
 * A use locks the counters it depends on, in this order: the code, the
 * promotion, the customers.  Then it looks at them and, if there is room, adds
 * to them and writes a row to promotion_use, all in the caller's transaction.
 * Under READ COMMITTED whoever waited for a lock sees what the one before him
 * left; under the other levels he gets a serialization failure and tries again.
 * Promotions without a budget have no counter of their own, so a million codes
 * of one promotion do not queue for one row.
 *
 * Each order uses a code, or a promotion without one, once: asking again
 * changes nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/resowner.h"

#include "event/event.h"
#include "pricing/pricing_cart.h"

PG_FUNCTION_INFO_V1(ecauto_claim_promotion);
PG_FUNCTION_INFO_V1(ecauto_claim_cart);
PG_FUNCTION_INFO_V1(ecauto_cancel_order_promotions);

/*
 * Run a statement as the owner of the state; the caller is connected to SPI.
 * Is there a row?
 */
bool
ec_use_run(const char *sql, int nargs, const Oid *types, Datum *values, const char *nulls)
{
	int			code;
	EcAs		as;

	ec_as_state_owner(&as);
	code = SPI_execute_plan(ec_plan(sql, nargs, types), values, nulls, false, 0);
	ec_as_end(&as);
	if (code < 0)
		elog(ERROR, "SPI_execute_plan returned %s", SPI_result_code_string(code));
	return SPI_processed > 0;
}

static Datum
text_or_null(const char *value, char *null)
{
	*null = value ? ' ' : 'n';
	return value ? CStringGetTextDatum(value) : (Datum) 0;
}

/*
 * Before anything is counted: who gives a promotion a budget waits for those
 * who count without, and they for him (create_promotion()).  The definitions
 * read after this are those to count by.
 */
void
ec_use_lock(void)
{
	LockRelationOid(ec_state_relation("promotion_use", false), RowExclusiveLock);
}

/* The promotion, or NULL if it is no more. */
const EcPromotion *
ec_use_promotion(int64 id)
{
	const EcPromotions *promotions = ec_promotions();

	for (int i = 0; i < promotions->n; i++)
		if (promotions->list[i]->id == id)
			return promotions->list[i];
	return NULL;
}

const EcPromotion *
ec_use_promotion_named(const char *name)
{
	const EcPromotions *promotions = ec_promotions();

	for (int i = 0; i < promotions->n; i++)
		if (strcmp(promotions->list[i]->name, name) == 0)
			return promotions->list[i];
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("promotion \"%s\" does not exist", name),
			 errhint("Create it with ecauto.create_promotion().")));
}

/*
 * Who a customer is for limits: by mail address if he gave one or if the shop
 * knows the one that belongs to the key, so that key and mail are one person.
 * The caller is connected to SPI.
 */
char *
ec_use_identity(const char *customer)
{
	static const Oid types[] = {TEXTOID};
	Datum		value;

	if (customer == NULL)
		return NULL;
	if (strchr(customer, '@') == NULL)
	{
		value = CStringGetTextDatum(customer);
		if (ec_use_run("SELECT c.email FROM ecauto_data.seen_customer c WHERE c.key = $1 AND c.email LIKE '%@%'",
					   1, types, &value, NULL))
			customer = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	}
	return ec_customer_identity(customer);
}

/* Has the order taken this use already?  The caller is connected to SPI. */
bool
ec_use_held(const EcUse *use)
{
	static const Oid types[] = {TEXTOID, INT8OID, TEXTOID};
	char		nulls[] = "   ";
	Datum		values[3];

	values[0] = CStringGetTextDatum(use->order_key);
	values[1] = Int64GetDatum(use->promotion);
	values[2] = CStringGetTextDatum(use->code ? use->code : "");
	return ec_use_run("SELECT FROM ecauto_data.promotion_use u WHERE u.order_key = $1 AND u.promotion_id = $2"
					  " AND coalesce(u.code, '') = $3 AND u.returned_at IS NULL", 3, types, values, nulls);
}

static int64
result_int64(int column)
{
	bool		isnull;

	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &isnull));
}

/* What the promotion's budget says to one more use of so much; locks it. */
static bool
budget_has_room(const EcUse *use, const EcPromotion *promotion, Numeric amount)
{
	static const Oid types[] = {INT8OID, NUMERICOID, NUMERICOID};
	Datum		values[3];
	char		nulls[] = "   ";
	bool		isnull;

	if (promotion->budget_amount < 0 && promotion->budget_uses < 0)
		return true;
	values[0] = Int64GetDatum(use->promotion);
	values[1] = NumericGetDatum(amount ? amount : int64_to_numeric(0));
	nulls[2] = promotion->budget_amount < 0 ? 'n' : ' ';
	values[2] = NumericGetDatum(int64_div_fast_to_numeric(Max(promotion->budget_amount, 0), 6));
	if (!ec_use_run("SELECT u.uses, $3 IS NULL OR u.amount + $2 <= $3 FROM ecauto_data.promotion_usage u"
					" WHERE u.promotion_id = $1 FOR UPDATE", 3, types, values, nulls))
		elog(ERROR, "promotion \"%s\" has no counter", promotion->name);
	if (promotion->budget_uses >= 0 && result_int64(1) >= promotion->budget_uses)
		return false;
	return DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
}

/* The same for one customer. */
static bool
customer_has_room(const EcUse *use, const EcPromotion *promotion)
{
	static const Oid types[] = {INT8OID, TEXTOID};
	Datum		values[2];

	if (promotion->uses_per_customer < 0)
		return true;
	if (use->identity == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("customer must be given for promotion \"%s\"", promotion->name),
				 errdetail("Each customer may use it " INT64_FORMAT " times.", promotion->uses_per_customer),
				 errhint("Give the customer's key or mail address; for a guest, the mail address of the order.")));
	values[0] = Int64GetDatum(use->promotion);
	values[1] = CStringGetTextDatum(use->identity);
	(void) ec_use_run("INSERT INTO ecauto_data.promotion_customer AS c (promotion_id, customer) VALUES ($1, $2)"
					  " ON CONFLICT (promotion_id, customer) DO UPDATE SET uses = c.uses RETURNING c.uses",
					  2, types, values, NULL);
	return result_int64(1) < promotion->uses_per_customer;
}

/*
 * Take a use if the promotion's budget and limits have room; false if not.
 * The code's own limits were looked at, and its row locked.  The caller is
 * connected to SPI and called ec_use_lock().  Errors: null_value_not_allowed
 * if customer or amount would be needed.
 */
bool
ec_use_take(const EcUse *use, const EcPromotion *promotion)
{
	static const Oid types[] = {INT8OID, TEXTOID, TEXTOID, TEXTOID, NUMERICOID, TIMESTAMPTZOID};
	Numeric		amount = use->amount;
	Datum		values[6];
	char		nulls[] = "      ";

	if (amount == NULL && promotion->action == EC_DO_GIVE && promotion->give.kind == EC_GIVE_AMOUNT &&
		promotion->per == EC_PER_CART)
	{
		/* what it takes off is known, unless the cart is smaller */
		int			digits = promotion->currency[0] != '\0' ? ec_currency_digits(promotion->currency) : 2;

		amount = ec_money_numeric(ec_money_from_micro(promotion->give.amount, digits), digits);
	}
	if (amount == NULL && promotion->budget_amount >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("amount must be given for promotion \"%s\"", promotion->name),
				 errdetail("It has a budget, and how much it takes off depends on the cart."),
				 errhint("Give the \"amount\" that ecauto.price_cart() says under \"applied\".")));
	if (!budget_has_room(use, promotion, amount) || !customer_has_room(use, promotion))
		return false;

	values[0] = Int64GetDatum(use->promotion);
	values[1] = text_or_null(use->code, &nulls[1]);
	values[2] = CStringGetTextDatum(use->order_key);
	values[3] = text_or_null(use->identity, &nulls[3]);
	nulls[4] = amount ? ' ' : 'n';
	values[4] = NumericGetDatum(amount);
	values[5] = TimestampTzGetDatum(ec_now());
	/* two sessions for one order and no lock before: the second finds it done */
	if (!ec_use_run("INSERT INTO ecauto_data.promotion_use (promotion_id, code, order_key, customer, amount, used_at)"
					" VALUES ($1, $2, $3, $4, $5, $6)"
					" ON CONFLICT (order_key, promotion_id, coalesce(code, '')) WHERE returned_at IS NULL DO NOTHING",
					6, types, values, nulls))
		return true;
	if (promotion->budget_amount >= 0 || promotion->budget_uses >= 0)
	{
		values[1] = amount ? NumericGetDatum(amount) : NumericGetDatum(int64_to_numeric(0));
		(void) ec_use_run("UPDATE ecauto_data.promotion_usage SET uses = uses + 1, amount = amount + $2"
						  " WHERE promotion_id = $1", 2, (Oid[]) {INT8OID, NUMERICOID}, values, NULL);
	}
	if (promotion->uses_per_customer >= 0)
	{
		values[1] = CStringGetTextDatum(use->identity);
		(void) ec_use_run("UPDATE ecauto_data.promotion_customer SET uses = uses + 1"
						  " WHERE promotion_id = $1 AND customer = $2", 2, (Oid[]) {INT8OID, TEXTOID}, values, NULL);
	}
	if (use->code != NULL)
	{
		values[0] = CStringGetTextDatum(use->code);
		(void) ec_use_run("UPDATE ecauto_data.coupon SET used = used + 1 WHERE code = $1",
						  1, (Oid[]) {TEXTOID}, values, NULL);
		if (use->coupon_customer)
		{
			values[1] = CStringGetTextDatum(use->identity);
			(void) ec_use_run("UPDATE ecauto_data.coupon_customer SET uses = uses + 1 WHERE code = $1 AND customer = $2",
							  2, (Oid[]) {TEXTOID, TEXTOID}, values, NULL);
		}
	}
	return true;
}

/* ---- back again ---- */

static const char *const lock_codes_sql =
	"SELECT FROM ecauto_data.coupon c WHERE c.code IN (SELECT u.code FROM ecauto_data.promotion_use u"
	" WHERE u.order_key = $1 AND u.returned_at IS NULL AND ($2 IS NULL OR u.code = $2))"
	" ORDER BY c.code FOR UPDATE";

static const char *const return_sql =
	"WITH back AS (UPDATE ecauto_data.promotion_use u SET returned_at = $4"
	" WHERE u.order_key = $1 AND u.returned_at IS NULL AND ($2 IS NULL OR u.code = $2)"
	" AND ($3 IS NULL OR (u.code IS NULL AND u.promotion_id IN"
	"  (SELECT p.promotion_id FROM ecauto_data.promotion p WHERE p.name = $3)))"
	" RETURNING u.*),"
	" usage AS (UPDATE ecauto_data.promotion_usage t SET uses = greatest(t.uses - b.uses, 0), amount = greatest(t.amount - b.amount, 0)"
	"  FROM (SELECT promotion_id, count(*) AS uses, sum(coalesce(amount, 0)) AS amount FROM back GROUP BY promotion_id) b"
	"  WHERE t.promotion_id = b.promotion_id),"
	" customers AS (UPDATE ecauto_data.promotion_customer t SET uses = greatest(t.uses - b.uses, 0)"
	"  FROM (SELECT promotion_id, customer, count(*) AS uses FROM back GROUP BY 1, 2) b"
	"  WHERE t.promotion_id = b.promotion_id AND t.customer = b.customer),"
	" coupons AS (UPDATE ecauto_data.coupon t SET used = greatest(t.used - 1, 0)"
	"  FROM back b WHERE t.code = b.code),"
	" coupon_customers AS (UPDATE ecauto_data.coupon_customer t SET uses = greatest(t.uses - 1, 0)"
	"  FROM back b WHERE t.code = b.code AND t.customer = b.customer) "
	"SELECT count(*) FROM back";

/*
 * Return the uses of an order: of one code, of one promotion (by name) without
 * a code, or all.  Each is returned once.  How many were.
 */
int64
ec_use_return(const char *order_key, const char *code, const char *promotion)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum		values[4];
	char		nulls[] = "    ";
	int64		result;

	values[0] = CStringGetTextDatum(order_key);
	values[1] = text_or_null(code, &nulls[1]);
	values[2] = text_or_null(promotion, &nulls[2]);
	values[3] = TimestampTzGetDatum(ec_now());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_use_lock();
	if (promotion == NULL)
		(void) ec_use_run(lock_codes_sql, 2, types, values, nulls);
	(void) ec_use_run(return_sql, 4, types, values, nulls);
	result = result_int64(1);
	SPI_finish();
	return result;
}

/* ---- functions ---- */

static char *
required(FunctionCallInfo fcinfo, int number, const char *what)
{
	char	   *value;

	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", what)));
	value = text_to_cstring(PG_GETARG_TEXT_PP(number));
	if (*value == '\0' || strlen(value) > EC_KEY_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have between 1 and %d bytes", what, EC_KEY_MAX)));
	return value;
}

/* Take a use of a promotion that needs no code; see claim_promotion(). */
static bool
claim(const EcPromotion *promotion, const char *order_key, const char *customer, Numeric amount)
{
	EcUse		use = {promotion->id, NULL, order_key};
	bool		done = false;

	use.amount = amount;
	if (amount != NULL &&
		(numeric_is_nan(amount) || numeric_is_inf(amount) ||
		 DatumGetBool(DirectFunctionCall2(numeric_lt, NumericGetDatum(amount), NumericGetDatum(int64_to_numeric(0))))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("amount of a use of promotion \"%s\" must be a finite number, 0 or more", promotion->name)));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	use.identity = ec_use_identity(customer);
	if (ec_use_held(&use))
		done = true;
	else if (promotion->active && promotion->error == NULL &&
			 ec_now() >= promotion->from && ec_now() < promotion->until)
		done = ec_use_take(&use, promotion);
	SPI_finish();
	return done;
}

/*
 * ecauto.claim_promotion(promotion text, order_key text, amount numeric, customer text) returns boolean
 */
Datum
ecauto_claim_promotion(PG_FUNCTION_ARGS)
{
	char	   *name = required(fcinfo, 0, "promotion");
	char	   *order_key = required(fcinfo, 1, "order_key");
	const EcPromotion *promotion;

	ec_state_require();
	ec_use_lock();
	promotion = ec_use_promotion_named(name);
	if (promotion->coupon)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("promotion \"%s\" needs a coupon", name),
				 errhint("Use ecauto.redeem_coupon().")));
	PG_RETURN_BOOL(claim(promotion, order_key, PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3)),
						 PG_ARGISNULL(2) ? NULL : PG_GETARG_NUMERIC(2)));
}

/* A text of an object's field, or NULL. */
static char *
field_text(JsonbContainer *object, const char *key)
{
	JsonbValue	space;
	JsonbValue *value = ec_json_field(object, key, &space);

	return value != NULL && value->type == jbvString ? pnstrdup(value->val.string.val, value->val.string.len) : NULL;
}

/*
 * ecauto.claim_cart(cart jsonb, order_key text, customer text, cart_key text) returns boolean
 *
 * cart is what price_cart() answered.  All of its uses are taken or none.
 */
Datum
ecauto_claim_cart(PG_FUNCTION_ARGS)
{
	Jsonb	   *cart;
	JsonbValue	space;
	JsonbValue *applied = NULL;
	JsonbIterator *it;
	JsonbValue	value;
	char	   *order_key = required(fcinfo, 1, "order_key");
	char	   *customer = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	char	   *cart_key = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3));
	bool		done = true;
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	ec_state_require();
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("cart must not be null")));
	cart = PG_GETARG_JSONB_P(0);
	if (JB_ROOT_IS_OBJECT(cart))
		applied = ec_json_field(&cart->root, "applied", &space);
	if (applied == NULL || applied->type != jbvBinary || !JsonContainerIsArray(applied->val.binary.data))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cart must be what ecauto.price_cart() answered")));

	/* what was taken must go again if something else cannot be had */
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	ec_use_lock();
	it = JsonbIteratorInit(applied->val.binary.data);
	(void) JsonbIteratorNext(&it, &value, true);
	while (done && JsonbIteratorNext(&it, &value, true) == WJB_ELEM)
	{
		JsonbContainer *entry;
		JsonbValue	number;
		JsonbValue *found;
		char	   *name;
		char	   *code;
		const EcPromotion *promotion;
		Numeric		amount = NULL;

		if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
			continue;
		entry = value.val.binary.data;
		name = field_text(entry, "promotion");
		code = field_text(entry, "coupon");
		found = ec_json_field(entry, "amount", &number);
		if (found != NULL && found->type == jbvNumeric)
			amount = found->val.numeric;
		if (name == NULL)
			continue;
		promotion = ec_use_promotion_named(name);
		if (code != NULL)
			done = ec_coupon_redeem(code, order_key, customer, cart_key, amount, NULL);
		else if (promotion->has_budget)
			done = claim(promotion, order_key, customer, amount);
	}
	if (done)
		ReleaseCurrentSubTransaction();
	else
		RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	PG_RETURN_BOOL(done);
}

/*
 * ecauto.cancel_order_promotions(order_key text, promotion text) returns bigint
 */
Datum
ecauto_cancel_order_promotions(PG_FUNCTION_ARGS)
{
	ec_state_require();
	PG_RETURN_INT64(ec_use_return(required(fcinfo, 0, "order_key"), NULL,
								  PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1))));
}

/* ---- the tick ---- */

static const char *const cancelled_sql =
	"SELECT DISTINCT u.order_key FROM " EC_EVENTS_OF_TICK " e"
	" JOIN ecauto_data.promotion_use u ON u.order_key = e.key AND u.returned_at IS NULL"
	" WHERE e.kind = 'order.cancelled'";

/* promotions name skus by key or code, and were read when these were not there */
static const char *const skus_sql =
	"SELECT FROM " EC_EVENTS_OF_TICK " e WHERE e.kind = 'sku.created' LIMIT 1";

/* A cancelled order gives back what it used. */
void
ec_promotion_tick(EcTick *tick)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum		args[EC_EVENTS_OF_TICK_ARGS];
	char	  **orders;
	uint64		n;

	if (!ec_event_in_tick(tick))
		return;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_event_tick_args(tick, args);
	(void) ec_use_run(cancelled_sql, EC_EVENTS_OF_TICK_ARGS, ec_event_tick_types, args, NULL);
	n = SPI_processed;
	orders = MemoryContextAlloc(caller, sizeof(char *) * (n + 1));
	for (uint64 i = 0; i < n; i++)
		orders[i] = MemoryContextStrdup(caller, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	if (ec_use_run(skus_sql, EC_EVENTS_OF_TICK_ARGS, ec_event_tick_types, args, NULL))
		ec_promotions_changed();
	SPI_finish();
	for (uint64 i = 0; i < n; i++)
		(void) ec_use_return(orders[i], NULL, NULL);
}

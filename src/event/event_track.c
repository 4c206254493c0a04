/*-------------------------------------------------------------------------
 *
 * event_track.c
 *		Behaviour that the shop tells: track() and identify().
 *
 * Both may be called by every role that may use schema ecauto, typically the
 * shop's own; they write as the owner of the state.  They can add behaviour
 * and nothing else: the kinds that tick() derives from the shop's tables are
 * refused, so nobody can make up an order.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "event/event.h"

PG_FUNCTION_INFO_V1(ecauto_track);
PG_FUNCTION_INFO_V1(ecauto_identify);
PG_FUNCTION_INFO_V1(ecauto_unidentify);
PG_FUNCTION_INFO_V1(ecauto_opt_out_of_profiling);
PG_FUNCTION_INFO_V1(ecauto_allow_profiling);
PG_FUNCTION_INFO_V1(ecauto_stock_state);

#define KIND_MAX 63				/* bytes */

/* how far in the future a told event may lie: clocks differ */
#define FUTURE_MAX USECS_PER_DAY

/* Kinds that only tick() writes, and their families. */
static const char *const derived_families[] = {
	"product.", "sku.", "price.", "stock.", "customer.", "cart.", "order.", "segment.",
};

/*
 * Error unless kind is a word or dotted words and not one of ours.
 */
static void
kind_check(const char *kind)
{
	const char *p = kind;
	bool		good = *p >= 'a' && *p <= 'z';

	for (; *p != '\0'; p++)
		good = good && ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
						*p == '_' || *p == '.');
	if (!good || p - kind > KIND_MAX || p[-1] == '.')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid event kind"),
				 errdetail("The kind is \"%s\".", kind),
				 errhint("A kind is made of at most %d small letters, digits, underscores and dots, "
						 "and begins with a letter, such as \"view\" or \"quiz.finished\".", KIND_MAX)));
	for (int i = 0; i < lengthof(derived_families); i++)
		if (strncmp(kind, derived_families[i], strlen(derived_families[i])) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_RESERVED_NAME),
					 errmsg("event kind \"%s\" is reserved", kind),
					 errdetail("Events whose kind begins with \"%s\" come from the shop's tables.",
							   derived_families[i]),
					 errhint("Choose another kind.")));
}

/*
 * A name from the caller: NULL if the argument is, else checked.
 */
static Datum
name_argument(FunctionCallInfo fcinfo, int argno, const char *what, char *null)
{
	text	   *value;

	if (PG_ARGISNULL(argno))
	{
		*null = 'n';
		return (Datum) 0;
	}
	value = PG_GETARG_TEXT_PP(argno);
	if (VARSIZE_ANY_EXHDR(value) == 0 || VARSIZE_ANY_EXHDR(value) > EC_KEY_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have between 1 and %d bytes", what, EC_KEY_MAX),
				 errdetail("It has %d.", (int) VARSIZE_ANY_EXHDR(value)),
				 errhint("Leave it out if it is not known.")));
	*null = ' ';
	return PointerGetDatum(value);
}

/*
 * Has the customer, or the one that the session belongs to, objected to
 * profiling?  The caller is connected to SPI and acts as the owner of the state.
 */
static bool
profiling_is_refused(Datum customer, char customer_null, Datum session, char session_null)
{
	static const Oid types[] = {TEXTOID, TEXTOID};
	Datum		args[] = {customer, session};
	char		nulls[] = {customer_null, session_null};

	if (customer_null == 'n' && session_null == 'n')
		return false;
	if (SPI_execute_plan(ec_plan("SELECT FROM ecauto_data.no_profile WHERE customer = $1 OR customer = "
								 "(SELECT i.customer FROM ecauto_data.identity i WHERE i.session = $2)", 2, types),
						 args, nulls, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look up objections to profiling");
	return SPI_processed > 0;
}

/*
 * ecauto.track(kind text, customer text, sku text, properties jsonb,
 *				session text, at timestamptz, event_id uuid) returns uuid
 *
 * Returns the identifier of the event; the same again if it had been told; NULL
 * if nothing is collected of this customer.
 */
Datum
ecauto_track(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {UUIDOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID};
	char	   *kind;
	TimestampTz at;
	pg_uuid_t  *id;
	bool		told;
	Datum		args[7];
	char		nulls[] = "       ";
	EcAs		as;

	ec_state_require();
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("event kind must not be null")));
	kind = text_to_cstring(PG_GETARG_TEXT_PP(0));
	kind_check(kind);

	at = PG_ARGISNULL(5) ? ec_now() : PG_GETARG_TIMESTAMPTZ(5);
	if (TIMESTAMP_NOT_FINITE(at) || at > ec_now() + FUTURE_MAX ||
		at < DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum("2000-01-01 00:00:00+00"),
													 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1))))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("time of an event must lie between the year 2000 and a day from now"),
				 errdetail("The time is %s.", timestamptz_to_str(at))));

	told = !PG_ARGISNULL(6);
	if (told)
		id = PG_GETARG_UUID_P(6);
	else
	{
		id = palloc(sizeof(pg_uuid_t));
		ec_uuid_next(id->data);
	}
	if (!PG_ARGISNULL(3))
	{
		Jsonb	   *properties = PG_GETARG_JSONB_P(3);

		if (!JB_ROOT_IS_OBJECT(properties))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("properties of an event must be a JSON object")));
		if (VARSIZE(properties) > (Size) ec_guc_max_payload * 1024)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("properties of an event are too large"),
					 errdetail("They have %zu bytes, and \"ecauto.max_payload\" is %d kB.",
							   (size_t) VARSIZE(properties), ec_guc_max_payload)));
	}

	args[0] = UUIDPGetDatum(id);
	args[1] = TimestampTzGetDatum(at);
	args[2] = CStringGetTextDatum(kind);
	args[3] = name_argument(fcinfo, 1, "customer", &nulls[3]);
	args[4] = name_argument(fcinfo, 2, "sku", &nulls[4]);
	args[5] = name_argument(fcinfo, 4, "session", &nulls[5]);
	args[6] = PG_ARGISNULL(3) ? (Datum) 0 : PG_GETARG_DATUM(3);
	nulls[6] = PG_ARGISNULL(3) ? 'n' : ' ';

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (told)
	{
		if (SPI_execute_plan(ec_plan("INSERT INTO ecauto_data.event_key (event_id, at) VALUES ($1, $2) "
									 "ON CONFLICT (event_id) DO NOTHING", 2, types),
							 args, nulls, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not remember the event");
		told = SPI_processed == 0;
	}
	if (!told && profiling_is_refused(args[3], nulls[3], args[5], nulls[5]))
	{
		ec_as_end(&as);
		SPI_finish();
		PG_RETURN_NULL();
	}
	if (!told)
	{
		ec_event_partition_ensure(at);
		if (SPI_execute_plan(ec_plan("INSERT INTO ecauto_data.event "
									 "(event_id, at, kind, customer, sku, session, new) "
									 "VALUES ($1, $2, $3, $4, $5, $6, $7)", 7, types),
							 args, nulls, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not write the event");
		if (SPI_execute_plan(ec_plan("INSERT INTO ecauto_data.event_told (event_id, at) VALUES ($1, $2)",
									 2, types), args, NULL, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not leave the event to the next tick");
		ec_wake_at_commit(EC_WAKE_TICK);
	}
	ec_as_end(&as);
	SPI_finish();
	PG_RETURN_UUID_P(id);
}

/*
 * ecauto.identify(session text, customer text) returns void
 */
Datum
ecauto_identify(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum		args[3];
	char		nulls[] = "   ";
	EcAs		as;

	ec_state_require();
	args[0] = name_argument(fcinfo, 0, "session", &nulls[0]);
	args[1] = name_argument(fcinfo, 1, "customer", &nulls[1]);
	args[2] = TimestampTzGetDatum(ec_now());
	if (nulls[0] == 'n' || nulls[1] == 'n')
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", nulls[0] == 'n' ? "session" : "customer")));

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("INSERT INTO ecauto_data.identity (session, customer, identified_at) "
								 "VALUES ($1, $2, $3) ON CONFLICT (session) DO UPDATE "
								 "SET customer = excluded.customer, identified_at = excluded.identified_at "
								 "WHERE identity.customer <> excluded.customer", 3, types),
						 args, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not identify the session");
	ec_as_end(&as);
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * ecauto.unidentify(session text) returns boolean
 */
Datum
ecauto_unidentify(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID};
	Datum		args[1];
	bool		found;
	EcAs		as;

	ec_state_require();
	args[0] = PG_GETARG_DATUM(0);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("DELETE FROM ecauto_data.identity WHERE session = $1", 1, types),
						 args, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not undo the identification");
	found = SPI_processed > 0;
	ec_as_end(&as);
	SPI_finish();
	PG_RETURN_BOOL(found);
}

/* Run a statement on the objections of a customer; did it change a row? */
static bool
profiling_change(FunctionCallInfo fcinfo, const char *sql, int expected)
{
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID};
	Datum		args[2];
	char		nulls[] = "  ";
	bool		changed;
	EcAs		as;

	ec_state_require();
	args[0] = name_argument(fcinfo, 0, "customer", &nulls[0]);
	args[1] = TimestampTzGetDatum(ec_now());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan(sql, strstr(sql, "$2") != NULL ? 2 : 1, types), args, nulls, false, 0) != expected)
		elog(ERROR, "could not change objections to profiling");
	changed = SPI_processed > 0;
	ec_as_end(&as);
	SPI_finish();
	return changed;
}

/*
 * ecauto.opt_out_of_profiling(customer text) returns boolean
 */
Datum
ecauto_opt_out_of_profiling(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(profiling_change(fcinfo, "INSERT INTO ecauto_data.no_profile (customer, at) VALUES ($1, $2) "
									"ON CONFLICT (customer) DO NOTHING", SPI_OK_INSERT));
}

/*
 * ecauto.allow_profiling(customer text) returns boolean
 */
Datum
ecauto_allow_profiling(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(profiling_change(fcinfo, "DELETE FROM ecauto_data.no_profile WHERE customer = $1", SPI_OK_DELETE));
}

static void
push_key(JsonbParseState **state, const char *key)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = (char *) key;
	value.val.string.len = strlen(key);
	(void) pushJsonbValue(state, WJB_KEY, &value);
}

static void
push_numeric(JsonbParseState **state, const char *key, Numeric number)
{
	JsonbValue	value;

	push_key(state, key);
	if (number == NULL)
		value.type = jbvNull;
	else
	{
		value.type = jbvNumeric;
		value.val.numeric = number;
	}
	(void) pushJsonbValue(state, WJB_VALUE, &value);
}

/*
 * ecauto.stock_state(on_hand numeric, reserved numeric, incoming numeric,
 *					  locations jsonb) returns jsonb
 *
 * What a stock event tells of a sku.  By hand because a tick may build
 * 100,000 of them, and jsonb_build_object() looks every argument's type up
 * anew.
 */
Datum
ecauto_stock_state(PG_FUNCTION_ARGS)
{
	Numeric		part[3];
	Numeric		available = NULL;
	JsonbParseState *state = NULL;
	JsonbValue	value;

	for (int i = 0; i < 3; i++)
	{
		part[i] = PG_ARGISNULL(i) ? NULL : PG_GETARG_NUMERIC(i);
		/* JSON has no NaN and no infinity */
		if (part[i] != NULL && (numeric_is_nan(part[i]) || numeric_is_inf(part[i])))
			part[i] = NULL;
	}
	if (part[0] != NULL && part[1] != NULL)
		available = numeric_sub_opt_error(part[0], part[1], NULL);

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_numeric(&state, "on_hand", part[0]);
	push_numeric(&state, "reserved", part[1]);
	push_numeric(&state, "available", available);
	push_numeric(&state, "incoming", part[2]);
	if (!PG_ARGISNULL(3))
	{
		Jsonb	   *locations = PG_GETARG_JSONB_P(3);

		push_key(&state, "locations");
		value.type = jbvBinary;
		value.val.binary.data = &locations->root;
		value.val.binary.len = VARSIZE(locations) - VARHDRSZ;
		(void) pushJsonbValue(&state, WJB_VALUE, &value);
	}
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

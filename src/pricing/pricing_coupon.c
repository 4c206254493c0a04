/*-------------------------------------------------------------------------
 *
 * pricing_coupon.c
 *		Making coupons: ecauto.generate_coupons(), create_coupon().
 *
 * Coupons made together are a batch, which says what holds for each of them,
 * so a code is a short row.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "pricing/pricing_cart.h"

PG_FUNCTION_INFO_V1(ecauto_generate_coupons);
PG_FUNCTION_INFO_V1(ecauto_create_coupon);
PG_FUNCTION_INFO_V1(ecauto_coupon_is_well_formed);

#define CHUNK 10000				/* codes a statement */
#define ROUND 1000000			/* codes drawn and sorted at once */
#define MAX_CODES 10000000
#define MAX_PREFIX 16
#define MIN_LENGTH 6
#define MAX_LENGTH 24
#define CODE_MAX 100

/* of so many possible codes at most one is taken: guessing is hopeless */
#define SPARSE 1e6

/* What holds for each coupon of a batch: arguments from number "first" on. */
typedef struct Batch
{
	int64		id;
	int64		promotion;
} Batch;

static void
check_positive(FunctionCallInfo fcinfo, int number, const char *name)
{
	if (!PG_ARGISNULL(number) && PG_GETARG_INT64(number) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be at least 1", name),
				 errdetail("It is " INT64_FORMAT ".", PG_GETARG_INT64(number)),
				 errhint("NULL means no limit.")));
}

static char *
argument(FunctionCallInfo fcinfo, int number, const char *name)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
	return text_to_cstring(PG_GETARG_TEXT_PP(number));
}

/*
 * The promotion is one for coupons from now on: without this everybody would
 * get it without one.
 */
static void
require_coupon_promotion(const EcPromotion *promotion)
{
	static const Oid types[] = {INT8OID};
	Datum		value = Int64GetDatum(promotion->id);

	if (promotion->coupon)
		return;
	if (promotion->advertised ||
		ec_use_run("SELECT FROM ecauto_data.promotion WHERE promotion_id = $1 AND definition -> 'coupon' = 'false'",
				   1, types, &value, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("promotion \"%s\" is one without coupons", promotion->name),
				 errdetail("Every customer has it, so a coupon would be good for nothing."),
				 errhint("Make a promotion with \"coupon\": true.")));
	(void) ec_use_run("UPDATE ecauto_data.promotion SET definition = definition || '{\"coupon\": true}'"
					  " WHERE promotion_id = $1", 1, types, &value, NULL);
	ec_promotions_changed();
	ereport(NOTICE,
			(errmsg("promotion \"%s\" is for customers with a coupon from now on", promotion->name)));
}

/*
 * Write a batch.  The arguments from first on are uses, uses_per_customer,
 * valid_from, valid_until, customer, cart.  The caller is connected to SPI.
 */
static Batch
write_batch(FunctionCallInfo fcinfo, int first, const char *promotion_name, const char *prefix, int64 codes)
{
	static const Oid types[] = {
		INT8OID, TEXTOID, INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INT8OID,
		TIMESTAMPTZOID, NAMEOID
	};
	const EcPromotion *promotion;
	Batch		batch;
	Datum		values[lengthof(types)];
	char		nulls[lengthof(types)];
	NameData	me;
	bool		isnull;

	check_positive(fcinfo, first, "uses");
	check_positive(fcinfo, first + 1, "uses_per_customer");
	if (!PG_ARGISNULL(first + 2) && !PG_ARGISNULL(first + 3) &&
		PG_GETARG_TIMESTAMPTZ(first + 3) <= PG_GETARG_TIMESTAMPTZ(first + 2))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("valid_until must be after valid_from")));
	promotion = ec_use_promotion_named(promotion_name);
	require_coupon_promotion(promotion);
	batch.promotion = promotion->id;

	memset(nulls, ' ', sizeof(nulls));
	values[0] = Int64GetDatum(promotion->id);
	values[1] = CStringGetTextDatum(prefix);
	for (int i = 0; i < 6; i++)
	{
		nulls[2 + i] = PG_ARGISNULL(first + i) ? 'n' : ' ';
		values[2 + i] = PG_GETARG_DATUM(first + i);
	}
	if (nulls[6] == ' ')
		values[6] = CStringGetTextDatum(ec_use_identity(text_to_cstring(PG_GETARG_TEXT_PP(first + 4))));
	values[8] = Int64GetDatum(codes);
	values[9] = TimestampTzGetDatum(ec_now());
	namestrcpy(&me, GetUserNameFromId(GetUserId(), false));
	values[10] = NameGetDatum(&me);
	(void) ec_use_run("INSERT INTO ecauto_data.coupon_batch (promotion_id, prefix, uses, uses_per_customer,"
					  " valid_from, valid_until, customer, cart_key, codes, created_at, created_by)"
					  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING batch_id",
					  lengthof(types), types, values, nulls);
	batch.id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	return batch;
}

static int
code_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

typedef struct Insert
{
	Datum		codes;			/* text[] */
	int64		batch;
} Insert;

/* for ec_try() */
static void
insert(void *arg)
{
	static const Oid types[] = {TEXTARRAYOID, INT8OID};
	Insert	   *chunk = arg;
	Datum		values[2] = {chunk->codes, Int64GetDatum(chunk->batch)};

	(void) ec_use_run("INSERT INTO ecauto_data.coupon (code, batch_id) SELECT c, $2 FROM pg_catalog.unnest($1) c",
					  2, types, values, NULL);
}

/*
 * Write codes; if one of them exists, which is next to impossible, all of
 * them are drawn again.  The caller is connected to SPI.
 */
static void
insert_chunk(char **codes, int n, const char *prefix, int length, int64 batch)
{
	Datum	   *texts = palloc(sizeof(Datum) * n);

	for (;;)
	{
		Insert		chunk = {.batch = batch};
		ErrorData  *error;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < n; i++)
			texts[i] = CStringGetTextDatum(codes[i]);
		chunk.codes = PointerGetDatum(construct_array(texts, n, TEXTOID, -1, false, TYPALIGN_INT));
		error = ec_try(insert, &chunk, false);
		if (error == NULL)
			break;
		if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION)
			ReThrowError(error);
		for (int i = 0; i < n; i++)
			codes[i] = ec_coupon_make(prefix, length);
	}
	pfree(texts);
}

/*
 * ecauto.generate_coupons(promotion text, n integer, prefix text, uses bigint,
 *		uses_per_customer bigint, valid_from timestamptz, valid_until timestamptz,
 *		customer text, cart text, length integer) returns setof text
 */
Datum
ecauto_generate_coupons(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *promotion;
	char	   *prefix;
	int			n;
	int			length;
	int			made = 0;
	Batch		batch;
	MemoryContext round_context;

	ec_state_require();
	ec_require_operator("generate coupons");
	promotion = argument(fcinfo, 0, "promotion");
	if (PG_ARGISNULL(1) || PG_GETARG_INT32(1) < 1 || PG_GETARG_INT32(1) > MAX_CODES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("n must be between 1 and %d", MAX_CODES),
				 PG_ARGISNULL(1) ? 0 : errdetail("It is %d.", PG_GETARG_INT32(1))));
	n = PG_GETARG_INT32(1);
	prefix = PG_ARGISNULL(2) ? "" : ec_coupon_normalize(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	length = PG_ARGISNULL(9) ? 12 : PG_GETARG_INT32(9);
	for (char *p = prefix; *p != '\0'; p++)
		if ((unsigned char) *p >= 0x80 || p - prefix >= MAX_PREFIX)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("prefix must have at most %d letters and digits of ASCII", MAX_PREFIX),
					 errdetail("It is \"%s\".", prefix)));
	if (length < MIN_LENGTH || length > MAX_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("length must be between %d and %d", MIN_LENGTH, MAX_LENGTH),
				 errdetail("It is %d.", length)));
	if (pow(31, length - 1) < n * SPARSE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%d codes of length %d could be guessed", n, length),
				 errdetail("At most one of a million possible codes may be taken."),
				 errhint("Make them longer: length %d is enough.", (int) ceil(log(n * SPARSE) / log(31)) + 1)));

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	LockRelationOid(ec_state_relation("promotion", false), RowExclusiveLock);
	batch = write_batch(fcinfo, 3, promotion, prefix, n);
	round_context = AllocSetContextCreate(CurrentMemoryContext, "ecauto coupon codes", ALLOCSET_DEFAULT_SIZES);
	while (made < n)
	{
		MemoryContext old = MemoryContextSwitchTo(round_context);
		int			now = Min(ROUND, n - made);
		char	  **codes = palloc(sizeof(char *) * now);

		for (int i = 0; i < now; i++)
			codes[i] = ec_coupon_make(prefix, length);
		/* in order, neighbours go to the same page of the index */
		qsort(codes, now, sizeof(char *), code_cmp);
		for (int from = 0; from < now; from += CHUNK)
			insert_chunk(codes + from, Min(CHUNK, now - from), prefix, length, batch.id);
		for (int i = 0; i < now; i++)
		{
			Datum		shown = CStringGetTextDatum(ec_coupon_show(codes[i], strlen(prefix)));
			bool		isnull = false;

			tuplestore_putvalues(result->setResult, result->setDesc, &shown, &isnull);
		}
		made += now;
		MemoryContextSwitchTo(old);
		MemoryContextReset(round_context);
	}
	SPI_finish();
	return (Datum) 0;
}

/*
 * ecauto.create_coupon(promotion text, code text, uses bigint, uses_per_customer bigint,
 *		valid_from timestamptz, valid_until timestamptz, customer text, cart text) returns text
 */
Datum
ecauto_create_coupon(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, INT8OID};
	char	   *promotion;
	char	   *given;
	char	   *code;
	Batch		batch;
	Datum		values[2];

	ec_state_require();
	ec_require_operator("create coupons");
	promotion = argument(fcinfo, 0, "promotion");
	given = argument(fcinfo, 1, "code");
	code = ec_coupon_normalize(given);
	if (strlen(code) < 3 || strlen(given) > CODE_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("code must have at least 3 letters and digits, and at most %d bytes", CODE_MAX),
				 errdetail("It is \"%s\".", given)));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	LockRelationOid(ec_state_relation("promotion", false), RowExclusiveLock);
	batch = write_batch(fcinfo, 2, promotion, code, 1);
	values[0] = CStringGetTextDatum(code);
	values[1] = Int64GetDatum(batch.id);
	if (!ec_use_run("INSERT INTO ecauto_data.coupon (code, batch_id) VALUES ($1, $2) ON CONFLICT (code) DO NOTHING RETURNING code",
					2, types, values, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("coupon \"%s\" exists already", code)));
	SPI_finish();
	PG_RETURN_TEXT_P(cstring_to_text(code));
}

/*
 * ecauto.coupon_is_well_formed(code text) returns boolean
 */
Datum
ecauto_coupon_is_well_formed(PG_FUNCTION_ARGS)
{
	char	   *given = text_to_cstring(PG_GETARG_TEXT_PP(0));

	PG_RETURN_BOOL(strlen(given) <= CODE_MAX && ec_coupon_checks(ec_coupon_normalize(given)));
}

/*-------------------------------------------------------------------------
 *
 * campaign_send.c
 *		Mailing many: ecauto.send_campaign(), cancel_campaign().
 *
 * A campaign becomes one row for each customer in ecauto_data.campaign_mail,
 * by a few statements whatever their number; the tick decides about them as
 * about every other mail that needs consent (campaign_decide.c), a round of
 * some thousand at a time.
 *
 * Who is held out and who gets which variant is drawn by ecauto.bucket() from
 * the names of campaign and customer, so it is the same whenever it is asked.
 * Two draws, under different names, since a variant must not depend on how
 * large the holdout is.  Who is held out is decided about like the others,
 * and only then left out: both have addresses and consent, and can be compared.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "campaign/campaign.h"
#include "template/template.h"

PG_FUNCTION_INFO_V1(ecauto_send_campaign);
PG_FUNCTION_INFO_V1(ecauto_campaign_arm);
PG_FUNCTION_INFO_V1(ecauto_cancel_campaign);

#define NAME_MOST	   200		/* bytes of a campaign's name */
#define VARIANTS_MOST  20
#define HOLDOUT_ARM	   "holdout"

static const char *const create_sql =
	"INSERT INTO ecauto_data.campaign AS c (name, segment, template, purpose, variants, holdout, priority, data, started_at, started_by) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (name) DO UPDATE SET segment = c.segment "
	"RETURNING c.started_at = $9 AND c.xmax = 0, c.cancelled_at IS NOT NULL, "
	"(c.segment, c.template, c.purpose, c.variants, c.holdout) IS NOT DISTINCT FROM ($2, $3, $4, $5, $6)";

/* members of the segment; by name, as the segment's domain may be asked for any */
static const char *const members_sql =
	"SELECT array_agg(m.key) FROM ecauto.segment_members($1) AS m(key)";

/*
 * $1 keys, $2 campaign, $3 names, $4 upper bounds of the variants, $5 holdout,
 * $6 variants.  People without an address get a row, too, that says so.
 */
#define CHOSEN \
	"WITH chosen AS MATERIALIZED (SELECT DISTINCT ON (k.key) k.key, s.email, s.locale, s.tz, " \
	"s.email IS NOT NULL AND ecauto.mail_address_problem(s.email) IS NULL AS good, " \
	"pg_catalog.jsonb_build_object('customer', pg_catalog.jsonb_strip_nulls(pg_catalog.to_jsonb(s))) AS data " \
	"FROM pg_catalog.unnest($1) AS k(key) LEFT JOIN ecauto_data.seen_customer s ON s.key = k.key " \
	"WHERE k.key IS NOT NULL AND NOT EXISTS (SELECT FROM ecauto_data.campaign_mail m " \
	"WHERE m.campaign = $2 AND m.customer = k.key)) "

static const char *const contacts_sql =
	CHOSEN
	"INSERT INTO ecauto_data.contact (address, address_hash, created_at, changed_at) "
	"SELECT DISTINCT ON (x.email) x.email, ecauto.address_hash(x.email), $3, $3 FROM chosen x WHERE x.good "
	"ORDER BY x.email ON CONFLICT (address_hash) DO NOTHING";

static const char *const mails_sql =
	CHOSEN
	"INSERT INTO ecauto_data.campaign_mail (contact_id, state, reason, priority, created_at, decide_at, deadline, decided_at, "
	"campaign, arm, customer, channel, purpose, template, locale, tz, sender, data) "
	"SELECT c.contact_id, CASE WHEN c.contact_id IS NULL THEN 'skipped' ELSE 'waiting' END, "
	"CASE WHEN c.contact_id IS NULL THEN 'no_address' ELSE 'queued' END, $4, $3, $5, $6, "
	"CASE WHEN c.contact_id IS NULL THEN $3 END, $2, a.arm, x.key, 'email', $7, "
	"CASE WHEN a.arm = 'holdout' THEN $8 ELSE $9::pg_catalog.jsonb -> a.arm ->> 'template' END, x.locale, x.tz, $10, "
	"CASE WHEN c.contact_id IS NOT NULL THEN x.data || $11 END "
	"FROM chosen x LEFT JOIN ecauto_data.contact c ON x.good AND c.address_hash = ecauto.address_hash(x.email) "
	"CROSS JOIN LATERAL ecauto.campaign_arm($2, x.key, $12, $9) AS a(arm)";

static const char *const cancel_sql =
	"UPDATE ecauto_data.campaign c SET cancelled_at = $2 WHERE c.name = $1 AND c.cancelled_at IS NULL";
static const char *const cancel_waiting_sql =
	"UPDATE ecauto_data.campaign_mail m SET state = 'skipped', reason = 'cancelled', decided_at = $2, data = NULL "
	"WHERE m.campaign = $1 AND m.state = 'waiting'";
static const char *const unsent_sql =
	"SELECT array_agg(o.id) FROM ecauto_data.campaign_mail m JOIN ecauto_data.outbox o ON o.id = m.message_id "
	"WHERE m.campaign = $1";
static const char *const cancel_unsent_sql =
	"UPDATE ecauto_data.campaign_mail m SET state = 'skipped', reason = 'cancelled', decided_at = $2 "
	"WHERE m.message_id = ANY ($1) AND m.state = 'sent'";

/* ---- arms ---- */

typedef struct Variant
{
	char	   *name;
	char	   *template;		/* NULL: the campaign's */
	double		share;			/* of all of them together */
} Variant;

static void
refuse_variants(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid variants of a campaign"),
			 errdetail_internal("%s", detail),
			 errhint("They are an object such as {\"A\": {\"template\": \"spring_a\", \"share\": 50}, "
					 "\"B\": {\"template\": \"spring_b\", \"share\": 50}}.")));
}

/*
 * Variants of a campaign, in the order of their names; jsonb keeps keys by
 * length and bytes, which is as good as any.  Returns how many.
 */
static int
variants_read(Jsonb *variants, Variant *result)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;
	double		total = 0;
	int			n = 0;

	if (!JB_ROOT_IS_OBJECT(variants))
		refuse_variants("They are no object.");
	it = JsonbIteratorInit(&variants->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			if (n == VARIANTS_MOST)
				refuse_variants(psprintf("There are more than %d.", VARIANTS_MOST));
			memset(&result[n], 0, sizeof(Variant));
			result[n].name = pnstrdup(value.val.string.val, value.val.string.len);
			result[n].share = 1;
			if (strcmp(result[n].name, HOLDOUT_ARM) == 0 || *result[n].name == '\0')
				refuse_variants(psprintf("\"%s\" is no name for one.", result[n].name));
		}
		else if (token == WJB_VALUE)
		{
			JsonbValue *member;

			if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
				refuse_variants(psprintf("\"%s\" is no object.", result[n].name));
			member = getKeyJsonValueFromContainer(value.val.binary.data, "template", 8, NULL);
			if (member != NULL && member->type == jbvString)
				result[n].template = pnstrdup(member->val.string.val, member->val.string.len);
			member = getKeyJsonValueFromContainer(value.val.binary.data, "share", 5, NULL);
			if (member != NULL && member->type == jbvNumeric)
				result[n].share = DatumGetFloat8(DirectFunctionCall1(numeric_float8,
																	 NumericGetDatum(member->val.numeric)));
			else if (member != NULL)
				refuse_variants(psprintf("The share of \"%s\" is no number.", result[n].name));
			if (!(result[n].share >= 0) || isinf(result[n].share))
				refuse_variants(psprintf("The share of \"%s\" is negative or not finite.", result[n].name));
			total += result[n++].share;
		}
	}
	if (n > 0 && total <= 0)
		refuse_variants("Their shares add up to nothing.");
	for (int i = 0; i < n; i++)
		result[i].share /= total;
	return n;
}

/*
 * ecauto.campaign_arm(campaign text, customer text, holdout float8, variants jsonb) returns text
 */
Datum
ecauto_campaign_arm(PG_FUNCTION_ARGS)
{
	text	   *campaign = PG_GETARG_TEXT_PP(0);
	text	   *customer = PG_GETARG_TEXT_PP(1);
	double		holdout = PG_GETARG_FLOAT8(2);
	Variant		variants[VARIANTS_MOST];
	char	   *other;
	double		place;
	int			n;

	if (ec_bucket(VARDATA_ANY(campaign), VARSIZE_ANY_EXHDR(campaign),
				  VARDATA_ANY(customer), VARSIZE_ANY_EXHDR(customer)) < holdout)
		PG_RETURN_TEXT_P(cstring_to_text(HOLDOUT_ARM));
	n = variants_read(PG_GETARG_JSONB_P(3), variants);
	if (n == 0)
		PG_RETURN_TEXT_P(cstring_to_text("A"));
	other = psprintf("%s/variant", text_to_cstring(campaign));
	place = ec_bucket(other, strlen(other), VARDATA_ANY(customer), VARSIZE_ANY_EXHDR(customer));
	for (int i = 0; i < n - 1; i++)
	{
		if (place < variants[i].share)
			PG_RETURN_TEXT_P(cstring_to_text(variants[i].name));
		place -= variants[i].share;
	}
	/* the last one that anybody is to get */
	while (n > 1 && variants[n - 1].share == 0)
		n--;
	PG_RETURN_TEXT_P(cstring_to_text(variants[n - 1].name));
}

/* ---- sending ---- */

/* A template must be there in some language, and have a subject. */
static void
template_require(const char *name)
{
	EcMailKept *kept = ec_mail_kept_get(name, "");

	if (kept == NULL)
	{
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		ec_mail_template_missing(name, "");
	}
	if (kept->template->subject == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("mail template \"%s\" has no subject", name),
				 errdetail("It is a part that other templates include.")));
}

/* Variants with the template of each, as campaign_mail takes it from them. */
static Jsonb *
variants_complete(const Variant *variants, int n, const char *template)
{
	JsonbParseState *state = NULL;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < Max(n, 1); i++)
	{
		JsonbValue	share;

		ec_json_put_name(&state, n ? variants[i].name : "A");
		(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		ec_json_put_text(&state, "template", n && variants[i].template ? variants[i].template : template);
		ec_json_put_name(&state, "share");
		share.type = jbvNumeric;
		share.val.numeric = DatumGetNumeric(DirectFunctionCall1(float8_numeric,
																Float8GetDatum(n ? variants[i].share : 1)));
		(void) pushJsonbValue(&state, WJB_VALUE, &share);
		(void) pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static char *
required(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be NULL", name)));
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/*
 * ecauto.send_campaign(name text, segment text, template text, purpose text,
 *						holdout float8, variants jsonb, data jsonb, priority integer,
 *						send_at timestamptz, deadline interval, customers text[])
 * returns bigint
 */
Datum
ecauto_send_campaign(PG_FUNCTION_ARGS)
{
	static const Oid create_types[] = {
		TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, FLOAT8OID, INT2OID, JSONBOID, TIMESTAMPTZOID, NAMEOID
	};
	static const Oid member_types[] = {TEXTOID};
	static const Oid types[] = {
		TEXTARRAYOID, TEXTOID, TIMESTAMPTZOID, INT2OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID,
		JSONBOID, NAMEOID, JSONBOID, FLOAT8OID
	};
	char	   *name = required(fcinfo, 0, "name");
	char	   *template = required(fcinfo, 2, "template");
	char	   *purpose = PG_ARGISNULL(3) ? EC_PURPOSE_MARKETING : text_to_cstring(PG_GETARG_TEXT_PP(3));
	double		holdout = PG_ARGISNULL(4) ? 0 : PG_GETARG_FLOAT8(4);
	int			priority = PG_ARGISNULL(7) ? 10 : PG_GETARG_INT32(7);
	TimestampTz now = ec_now();
	TimestampTz send_at = PG_ARGISNULL(8) ? now : Max(now, PG_GETARG_TIMESTAMPTZ(8));
	TimestampTz deadline = send_at + EC_MAIL_PATIENCE;
	Variant		variants[VARIANTS_MOST];
	int			nvariants = 0;
	Jsonb	   *complete;
	Jsonb	   *data;
	Datum		values[12];
	char		nulls[] = "            ";
	NameData	sender;
	Datum		keys;
	bool		isnull;
	bool		is_mail;
	int64		queued;
	EcAs		as;

	ec_state_require();
	ec_require_operator("send campaigns");
	if (*name == '\0' || strlen(name) > NAME_MOST || ec_line_problem(name) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid name of a campaign"),
				 errdetail("It must be a line of 1 to %d bytes.", NAME_MOST)));
	if (PG_ARGISNULL(1) == PG_ARGISNULL(10))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a campaign needs either a segment or customers")));
	ec_purpose_require(purpose);
	if (!(holdout >= 0 && holdout < 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("holdout of a campaign must be at least 0 and below 1"),
				 errdetail("The holdout is %g.", holdout),
				 errhint("0.1 holds out one customer in ten.")));
	if (priority < 0 || priority > 100)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("priority of a mail must be between 0 and 100"),
				 errdetail("The priority is %d.", priority)));
	if (!PG_ARGISNULL(9))
		deadline = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(send_at),
														   PG_GETARG_DATUM(9)));
	if (deadline <= send_at || TIMESTAMP_NOT_FINITE(send_at))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("deadline of a campaign must lie after its beginning")));
	(void) ec_endpoint_check_usage(ec_guc_mail_endpoint, &is_mail);
	data = PG_ARGISNULL(6) ? NULL : PG_GETARG_JSONB_P(6);
	if (data != NULL && !JB_ROOT_IS_OBJECT(data))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the data of a campaign must be an object")));
	if (data == NULL)
		data = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	if (!PG_ARGISNULL(5))
		nvariants = variants_read(PG_GETARG_JSONB_P(5), variants);
	template_require(template);
	for (int i = 0; i < nvariants; i++)
		if (variants[i].template != NULL)
			template_require(variants[i].template);
	complete = variants_complete(variants, nvariants, template);
	namestrcpy(&sender, ec_campaign_sender());

	ec_outbox_open(&as);
	values[0] = CStringGetTextDatum(name);
	values[1] = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);
	nulls[1] = PG_ARGISNULL(1) ? 'n' : ' ';
	values[2] = CStringGetTextDatum(template);
	values[3] = CStringGetTextDatum(purpose);
	values[4] = JsonbPGetDatum(complete);
	values[5] = Float8GetDatum(holdout);
	values[6] = Int16GetDatum((int16) priority);
	values[7] = JsonbPGetDatum(data);
	values[8] = TimestampTzGetDatum(now);
	values[9] = NameGetDatum(&sender);
	(void) ec_outbox_execute(create_sql, 10, create_types, values, nulls);
	if (DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("campaign \"%s\" was cancelled", name),
				 errhint("Send it under another name.")));
	if (!DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("campaign \"%s\" exists already with another definition", name),
				 errhint("The same segment, template, purpose, variants and holdout add customers who are new to it; "
						 "something else needs another name.")));

	if (PG_ARGISNULL(1))
		keys = PG_GETARG_DATUM(10);
	else
	{
		(void) ec_outbox_execute(members_sql, 1, member_types, &values[1], NULL);
		keys = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
		if (isnull)
			keys = PointerGetDatum(construct_empty_array(TEXTOID));
	}

	memset(nulls, ' ', 12);
	values[0] = keys;
	values[1] = CStringGetTextDatum(name);
	values[2] = TimestampTzGetDatum(now);
	(void) ec_outbox_execute(contacts_sql, 3, types, values, nulls);
	values[3] = Int16GetDatum((int16) priority);
	values[4] = TimestampTzGetDatum(send_at);
	values[5] = TimestampTzGetDatum(deadline);
	values[6] = CStringGetTextDatum(purpose);
	values[7] = CStringGetTextDatum(template);
	values[8] = JsonbPGetDatum(complete);
	values[9] = NameGetDatum(&sender);
	values[10] = JsonbPGetDatum(data);
	values[11] = Float8GetDatum(holdout);
	queued = (int64) ec_outbox_execute(mails_sql, 12, types, values, nulls);
	ec_outbox_close(&as);
	if (queued > 0)
		ec_wake_at_commit(EC_WAKE_TICK);
	PG_RETURN_INT64(queued);
}

/*
 * ecauto.cancel_campaign(name text) returns bigint
 */
Datum
ecauto_cancel_campaign(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID};
	static const Oid unsent_types[] = {INT8ARRAYOID, TIMESTAMPTZOID};
	Datum		values[2] = {PG_GETARG_DATUM(0), TimestampTzGetDatum(ec_now())};
	int64		ended;
	Datum		ids;
	bool		isnull;
	EcAs		as;

	ec_state_require();
	ec_require_operator("cancel campaigns");
	ec_outbox_open(&as);
	if (ec_outbox_execute(cancel_sql, 2, types, values, NULL) == 0)
	{
		ec_outbox_close(&as);
		PG_RETURN_INT64(0);
	}
	ended = (int64) ec_outbox_execute(cancel_waiting_sql, 2, types, values, NULL);
	(void) ec_outbox_execute(unsent_sql, 1, types, values, NULL);
	ids = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
	{
		ended += ec_outbox_recall(ids, "cancelled");
		values[0] = ids;
		(void) ec_outbox_execute(cancel_unsent_sql, 2, unsent_types, values, NULL);
	}
	ec_outbox_close(&as);
	PG_RETURN_INT64(ended);
}

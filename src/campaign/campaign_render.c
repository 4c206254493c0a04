/*-------------------------------------------------------------------------
 *
 * campaign_render.c
 *		From a template and data to the payload of a mail.
 *
 * A mail that is subscribed to gets the headers by which one click ends that
 * (RFC 2369, RFC 8058), and its template can show the same link as
 * {{unsubscribe_url}}.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "campaign/campaign.h"
#include "template/template.h"

/* what data holds under a name of its own; NULL if it is not there or null */
static JsonbValue *
data_member(Jsonb *data, const char *name)
{
	JsonbValue *value = getKeyJsonValueFromContainer(&data->root, name, (int) strlen(name), NULL);

	return value == NULL || value->type == jbvNull ? NULL : value;
}

/*
 * The string data.object.member, in the current context; object NULL: that of
 * data itself.  NULL if it is none.
 */
const char *
ec_data_text(Jsonb *data, const char *object, const char *member)
{
	JsonbContainer *container = &data->root;
	JsonbValue *value;

	if (!JB_ROOT_IS_OBJECT(data))
		return NULL;
	if (object != NULL)
	{
		value = data_member(data, object);
		if (value == NULL || value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
			return NULL;
		container = value->val.binary.data;
	}
	value = getKeyJsonValueFromContainer(container, member, (int) strlen(member), NULL);
	if (value == NULL || value->type != jbvString)
		return NULL;
	return pnstrdup(value->val.string.val, value->val.string.len);
}

void
ec_json_put_name(JsonbParseState **state, const char *name)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = pstrdup(name);
	value.val.string.len = (int) strlen(name);
	(void) pushJsonbValue(state, WJB_KEY, &value);
}

void
ec_json_put_text(JsonbParseState **state, const char *name, const char *text)
{
	JsonbValue	value;

	ec_json_put_name(state, name);
	value.type = jbvString;
	value.val.string.val = pstrdup(text);
	value.val.string.len = (int) strlen(text);
	(void) pushJsonbValue(state, WJB_VALUE, &value);
}

void
ec_json_put_int8(JsonbParseState **state, const char *name, int64 number)
{
	JsonbValue	value;

	ec_json_put_name(state, name);
	value.type = jbvNumeric;
	value.val.numeric = int64_to_numeric(number);
	(void) pushJsonbValue(state, WJB_VALUE, &value);
}

/* Copy a member of data; false if there is none. */
static bool
copy(JsonbParseState **state, Jsonb *data, const char *from, const char *to)
{
	JsonbValue *value = data_member(data, from);

	if (value == NULL)
		return false;
	ec_json_put_name(state, to);
	(void) pushJsonbValue(state, WJB_VALUE, value);
	return true;
}

/*
 * The link by which a contact unsubscribes, in the current context; NULL if
 * the shop has not said where that is.
 */
char *
ec_unsubscribe_url(int64 contact)
{
	if (ec_guc_unsubscribe_url == NULL || *ec_guc_unsubscribe_url == '\0')
		return NULL;
	return psprintf("%s%s", ec_guc_unsubscribe_url, ec_token_make(EC_TOKEN_UNSUBSCRIBE, contact));
}

/* The text and the headers that the caller wrote himself. */
static void
put_written(JsonbParseState **state, Jsonb *data, const char *template)
{
	bool		subject = copy(state, data, "subject", "subject");
	bool		body = copy(state, data, "body", "text");
	bool		html = copy(state, data, "html", "html");

	if (!subject && !body && !html && template != NULL)
	{
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		ec_mail_template_missing(template, "");
	}
	if (!subject || (!body && !html))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the data of a mail must hold \"subject\" and \"body\""),
				 template == NULL ? errhint("Or name a template that ecauto.create_template() has stored.")
				 : errhint("There is no stored template \"%s\"; with one, data is what it is filled with.", template)));
	(void) copy(state, data, "attachments", "attachments");
	(void) copy(state, data, "headers", "headers");
	(void) copy(state, data, "reply_to", "reply_to");
}

/*
 * Data whose member "recommended" is an object with "slots", a block that is
 * still to be chosen, with the rows of ecauto.recommend_block() in its place:
 * for data.customer.key, else for whom the shop knows by the address.  The
 * other members are its rules.  Runs as the current user, who needs EXECUTE.
 */
static Jsonb *
choose_recommended(Jsonb *data, const char *recipient)
{
	static const char sql[] =
		"SELECT $1 || pg_catalog.jsonb_build_object('recommended', (SELECT coalesce(pg_catalog.jsonb_agg("
		"pg_catalog.to_jsonb(b) ORDER BY b.place), '[]') FROM ecauto.recommend_block($2, "
		"($1 #>> '{recommended,slots}')::pg_catalog.int4, ($1 -> 'recommended') - 'slots'::pg_catalog.text) b))";
	static const Oid types[] = {JSONBOID, TEXTOID};
	JsonbValue *block = data_member(data, "recommended");
	const char *customer;
	Datum		values[2];
	Datum		result;
	bool		isnull;

	if (block == NULL || block->type != jbvBinary || !JsonContainerIsObject(block->val.binary.data) ||
		getKeyJsonValueFromContainer(block->val.binary.data, "slots", strlen("slots"), NULL) == NULL)
		return data;
	customer = ec_data_text(data, "customer", "key");
	if (customer == NULL)
	{
		EcAddressee addressee;

		ec_addressee_find(ec_address_normalize(EC_CHANNEL_EMAIL, recipient), &addressee);
		customer = addressee.customer;
	}
	values[0] = JsonbPGetDatum(data);
	values[1] = customer ? CStringGetTextDatum(customer) : (Datum) 0;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_plan(ec_plan(sql, 2, types), values, customer ? "  " : " n", false, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not choose recommendations for a mail");
	result = SPI_datumTransfer(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull), false, -1);
	SPI_finish();
	return DatumGetJsonbP(result);
}

static void
put_rendered(JsonbParseState **state, Jsonb *data, EcMailKept *kept, const char *unsubscribe_url)
{
	EcMailText	mail;
	JsonbValue *attachments = data_member(data, "attachments");
	Jsonb	   *filling = data;

	if (unsubscribe_url != NULL)
	{
		JsonbParseState *own = NULL;
		Jsonb	   *link;

		(void) pushJsonbValue(&own, WJB_BEGIN_OBJECT, NULL);
		ec_json_put_text(&own, "unsubscribe_url", unsubscribe_url);
		link = JsonbValueToJsonb(pushJsonbValue(&own, WJB_END_OBJECT, NULL));
		filling = DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(data), JsonbPGetDatum(link)));
	}
	ec_mail_render(&mail, kept->template, &kept->partials, filling);
	ec_json_put_text(state, "subject", mail.subject);
	if (mail.body != NULL)
		ec_json_put_text(state, "text", mail.body);
	if (mail.html != NULL)
		ec_json_put_text(state, "html", mail.html);
	if (attachments != NULL && attachments->type == jbvBinary &&
		JsonContainerIsArray(attachments->val.binary.data))
		(void) copy(state, data, "attachments", "attachments");
	if (ec_data_text(data, NULL, "reply_to") != NULL)
		(void) copy(state, data, "reply_to", "reply_to");
}

Jsonb *
ec_mail_payload(const char *recipient, const char *template, Jsonb *data, const char *locale,
				const char *unsubscribe_url)
{
	JsonbParseState *state = NULL;
	EcMailKept *kept = NULL;
	JsonbValue *value;

	if (template != NULL)
	{
		char	   *normal = locale ? ec_locale_normalize(locale) : NULL;

		/* a customer's locale that is none must not keep his mail from him */
		kept = ec_mail_kept_get(template, normal ? normal : "");
		if (kept != NULL && kept->template->subject == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("mail template \"%s\" has no subject", template),
					 errdetail("It is a part that other templates include.")));
	}
	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	ec_json_put_text(&state, "to", recipient);
	if (kept != NULL)
		put_rendered(&state, choose_recommended(data, recipient), kept, unsubscribe_url);
	else
		put_written(&state, data, template);
	if (unsubscribe_url != NULL)
	{
		JsonbValue	yes;

		ec_json_put_text(&state, "list_unsubscribe", unsubscribe_url);
		/* one click is for https alone */
		yes.type = jbvBool;
		yes.val.boolean = strncmp(unsubscribe_url, "https://", 8) == 0;
		ec_json_put_name(&state, "list_unsubscribe_post");
		(void) pushJsonbValue(&state, WJB_VALUE, &yes);
	}
	else if (kept == NULL)
	{
		(void) copy(&state, data, "list_unsubscribe", "list_unsubscribe");
		(void) copy(&state, data, "list_unsubscribe_post", "list_unsubscribe_post");
	}
	value = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(value);
}

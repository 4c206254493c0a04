/*-------------------------------------------------------------------------
 *
 * campaign_mail.c
 *		Sending one mail: ecauto.send_mail(), and the flow's action_mail().
 *
 * Transactional mail goes straight into the outbox.  Mail of any other
 * purpose is for those alone who consented to it; it leaves with the links
 * that end that, and behind transactional mail.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "campaign/campaign.h"
#include "outbox/outbox_address.h"
#include "template/template.h"

PG_FUNCTION_INFO_V1(ecauto_send_mail);
PG_FUNCTION_INFO_V1(ecauto_action_mail);

static char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/*
 * The language to write in: what the data says of the customer, else what the
 * shop knows of him, which is only asked if the template has languages.
 */
static const char *
mail_locale(const char *recipient, const char *template, Jsonb *data)
{
	const char *locale = ec_data_text(data, "customer", "locale");
	EcAddressee addressee;

	if (locale == NULL)
		locale = ec_data_text(data, NULL, "locale");
	if (locale != NULL || template == NULL || !ec_mail_kept_localized(template))
		return locale;
	ec_addressee_find(ec_address_normalize(EC_CHANNEL_EMAIL, recipient), &addressee);
	return addressee.locale;
}

/* What render() works on. */
typedef struct Rendering
{
	const EcMailOrder *order;
	const char *locale;
	char	   *unsubscribe_url;
	Jsonb	   *payload;		/* result, in context */
	MemoryContext context;
} Rendering;

/* EcTryRun */
static void
render(void *arg)
{
	Rendering  *rendering = arg;
	const EcMailOrder *order = rendering->order;
	MemoryContext before = MemoryContextSwitchTo(rendering->context);

	rendering->payload = ec_mail_payload(order->recipient, order->template, order->data,
										 rendering->locale, rendering->unsubscribe_url);
	MemoryContextSwitchTo(before);
}

/*
 * Render the mail; NULL, with the result filled, if that fails and the order
 * wants no errors.
 */
static Jsonb *
mail_render(const EcMailOrder *order, char *unsubscribe_url, EcMailResult *result)
{
	Rendering	rendering = {order, order->locale, unsubscribe_url, NULL, CurrentMemoryContext};
	ErrorData  *error;

	if (rendering.locale == NULL)
		rendering.locale = mail_locale(order->recipient, order->template, order->data);
	if (!order->quiet)
		render(&rendering);
	else if ((error = ec_try(render, &rendering, false)) != NULL)
	{
		result->skipped = "template_error";
		result->detail = error->detail ? psprintf("%s: %s", error->message, error->detail) : error->message;
		return NULL;
	}
	return rendering.payload;
}

/*
 * Send a mail, or say in the result why not.  Errors: what the order itself
 * is wrong about; and unless it is quiet, an address that is none, consent
 * that is missing, what rendering raises.
 */
void
ec_mail_send(const EcMailOrder *order, EcMailResult *result)
{
	EcEnqueue	message = {0};
	bool		is_free = ec_purpose_is_free(order->purpose);
	char	   *unsubscribe_url = NULL;
	char	   *address;
	char	   *problem;

	memset(result, 0, sizeof(EcMailResult));
	address = ec_address_normalize(EC_CHANNEL_EMAIL, order->recipient);
	if (!is_free)
		ec_purpose_require(order->purpose);
	if (order->quiet && (problem = ec_address_problem(address)) != NULL)
	{
		result->skipped = "no_address";
		result->detail = problem;
		return;
	}
	if (!is_free)
	{
		EcContact	contact;
		EcVerdict	verdict;
		EcAs		as;

		(void) ec_address_require(EC_CHANNEL_EMAIL, order->recipient);
		ec_outbox_open(&as);
		ec_contact_lock(address, &contact);
		ec_outbox_close(&as);
		ec_consent_check(&address, 1, EC_CHANNEL_EMAIL, order->purpose, ec_now(), &verdict);
		if (verdict != EC_MAY_SEND && !order->quiet)
			ec_consent_refuse(address, order->purpose, verdict);
		if (verdict != EC_MAY_SEND)
		{
			result->skipped = verdict == EC_SUPPRESSED ? "suppressed" : "no_consent";
			return;
		}
		unsubscribe_url = ec_unsubscribe_url(contact.id);
		message.priority = -1;
	}
	message.payload = mail_render(order, unsubscribe_url, result);
	if (message.payload == NULL)
		return;
	message.endpoint = ec_guc_mail_endpoint;
	message.template = order->template;
	message.purpose = order->purpose;
	message.key = order->key;
	result->message = ec_enqueue(&message, NULL);
}

/*
 * ecauto.send_mail(recipient text, template text, data jsonb, purpose text,
 *					key text) returns bigint
 */
Datum
ecauto_send_mail(PG_FUNCTION_ARGS)
{
	EcMailOrder order = {0};
	EcMailResult result;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be NULL", PG_ARGISNULL(0) ? "recipient" : "data")));
	order.data = PG_GETARG_JSONB_P(2);
	if (!JB_ROOT_IS_OBJECT(order.data))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the data of a mail must be an object"),
				 errhint("It holds what the template is filled with, or without a template \"subject\" and \"body\", and may hold \"html\".")));
	ec_state_require();
	order.recipient = text_argument(fcinfo, 0);
	order.template = text_argument(fcinfo, 1);
	order.purpose = text_argument(fcinfo, 3);
	order.key = text_argument(fcinfo, 4);
	ec_mail_send(&order, &result);
	PG_RETURN_INT64(result.message);
}

/* A string of the step's parameters; NULL if it is not given. */
static const char *
parameter(Jsonb *params, const char *name)
{
	JsonbValue *value = getKeyJsonValueFromContainer(&params->root, name, (int) strlen(name), NULL);

	if (value == NULL || value->type == jbvNull)
		return NULL;
	if (value->type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"%s\" of a mail must be a string", name)));
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* The parameters that a step "mail" knows. */
static void
parameters_check(Jsonb *params)
{
	static const char *const known[] = {"data", "key", "locale", "purpose", "recipient", "template"};
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(params))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameters of a mail must be an object")));
	it = JsonbIteratorInit(&params->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		bool		found = token != WJB_KEY;

		for (int i = 0; !found && i < (int) lengthof(known); i++)
			found = strlen(known[i]) == value.val.string.len &&
				memcmp(known[i], value.val.string.val, value.val.string.len) == 0;
		if (!found)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown parameter \"%s\" of a mail",
							pnstrdup(value.val.string.val, value.val.string.len)),
					 errhint("Parameters are data, key, locale, purpose, recipient and template.")));
	}
}

/* Whom a flow is about, if the step does not say whom to write to. */
static const char *
context_recipient(Jsonb *context)
{
	static const char *const objects[] = {"customer", "order", "cart"};
	const char *email = NULL;

	for (int i = 0; email == NULL && i < (int) lengthof(objects); i++)
		email = ec_data_text(context, objects[i], "email");
	return email;
}

/*
 * ecauto.action_mail(params jsonb, context jsonb) returns jsonb
 *
 * Tells flows what came of it instead of raising, so that a customer who
 * cannot be written to ends no run.
 */
Datum
ecauto_action_mail(PG_FUNCTION_ARGS)
{
	Jsonb	   *params = PG_GETARG_JSONB_P(0);
	Jsonb	   *context = PG_GETARG_JSONB_P(1);
	EcMailOrder order = {0};
	EcMailResult result = {0};
	JsonbParseState *state = NULL;
	JsonbValue *extra;

	ec_state_require();
	parameters_check(params);
	if (!JB_ROOT_IS_OBJECT(context))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("context of an action must be an object")));
	order.quiet = true;
	order.data = context;
	extra = getKeyJsonValueFromContainer(&params->root, "data", 4, NULL);
	if (extra != NULL && extra->type == jbvBinary && JsonContainerIsObject(extra->val.binary.data))
		order.data = DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(context),
														JsonbPGetDatum(JsonbValueToJsonb(extra))));
	else if (extra != NULL && extra->type != jbvNull)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"%s\" of a mail must be an object", "data")));
	order.template = parameter(params, "template");
	order.purpose = parameter(params, "purpose");
	order.key = parameter(params, "key");
	order.locale = parameter(params, "locale");
	order.recipient = parameter(params, "recipient");
	if (order.recipient == NULL)
		order.recipient = context_recipient(context);

	if (order.recipient == NULL)
		result.skipped = "no_address";
	else
		ec_mail_send(&order, &result);

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (result.skipped != NULL)
	{
		ec_json_put_text(&state, "skipped", result.skipped);
		if (result.detail != NULL)
			ec_json_put_text(&state, "detail", result.detail);
	}
	else
		ec_json_put_int8(&state, "message", result.message);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

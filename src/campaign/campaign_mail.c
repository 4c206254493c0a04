/*-------------------------------------------------------------------------
 *
 * campaign_mail.c
 *		Sending one mail: ecauto.send_mail(), and the flow's action_mail().
 *
 * Transactional mail goes straight into the outbox.  Mail of any other
 * purpose is for those alone who consented to it; it leaves with the links
 * that end that, and behind transactional mail.  If a cap counts it or it is
 * night where its reader lives, it waits for the tick (campaign_decide.c).
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
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

static const char *const keyed_sql =
	"SELECT m.mail_id, m.state::text, m.reason::text, m.message_id FROM ecauto_data.campaign_mail m WHERE m.key = $1";

static const char *const insert_sql =
	"INSERT INTO ecauto_data.campaign_mail AS m (contact_id, state, reason, priority, created_at, decide_at, deadline, "
	"decided_at, message_id, customer, channel, purpose, template, locale, tz, key, recipient, sender, data) "
	"VALUES ($1, $2, $3, $4, $5, $5, $6, CASE WHEN $2 <> 'waiting' THEN $5 END, $7, $8, 'email', $9, $10, $11, $12, $13, "
	"$14, $15, $16) RETURNING m.mail_id";

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
 * Was a mail with the order's key decided about before?  Then the result is
 * what was decided.
 */
static bool
mail_known(const EcMailOrder *order, EcMailResult *result)
{
	static const Oid types[] = {TEXTOID};
	Datum		value;
	bool		known;
	EcAs		as;

	if (order->key == NULL)
		return false;
	value = CStringGetTextDatum(order->key);
	ec_outbox_open(&as);
	known = ec_outbox_execute(keyed_sql, 1, types, &value, NULL) > 0;
	if (known)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		char	   *state = SPI_getvalue(tuple, desc, 2);
		char	   *reason = SPI_getvalue(tuple, desc, 3);
		bool		isnull;
		Datum		message = SPI_getbinval(tuple, desc, 4, &isnull);

		result->mail = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
		reason = strcpy(SPI_palloc(strlen(reason) + 1), reason);
		if (strcmp(state, "sent") == 0)
			result->message = DatumGetInt64(message);
		else if (strcmp(state, "waiting") == 0)
			result->deferred = reason;
		else
			result->skipped = reason;
	}
	ec_outbox_close(&as);
	return known;
}

/* Write a mail and what was decided about it; message: 0 if it waits for reason. */
static int64
mail_write(const EcMailOrder *order, int64 contact, const char *address, const EcAddressee *addressee,
		   const char *locale, const char *reason, int64 message)
{
	static const Oid types[] = {
		INT8OID, TEXTOID, TEXTOID, INT2OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, TEXTOID, TEXTOID, TEXTOID,
		TEXTOID, TEXTOID, TEXTOID, TEXTOID, NAMEOID, JSONBOID
	};
	const char *texts[] = {
		addressee->customer, order->purpose, order->template, locale, addressee->tz, order->key,
		message == 0 && strcmp(order->recipient, address) != 0 ? order->recipient : NULL
	};
	TimestampTz now = ec_now();
	Datum		values[16];
	char		nulls[] = "                ";
	NameData	sender;
	bool		isnull;
	int64		id;
	EcAs		as;

	namestrcpy(&sender, ec_campaign_sender());
	values[0] = Int64GetDatum(contact);
	values[1] = CStringGetTextDatum(message ? "sent" : "waiting");
	values[2] = CStringGetTextDatum(reason);
	values[3] = Int16GetDatum((int16) order->priority);
	values[4] = TimestampTzGetDatum(now);
	values[5] = TimestampTzGetDatum(order->deadline ? order->deadline : now + EC_MAIL_PATIENCE);
	values[6] = Int64GetDatum(message);
	nulls[6] = message ? ' ' : 'n';
	for (int i = 0; i < (int) lengthof(texts); i++)
	{
		values[7 + i] = texts[i] ? CStringGetTextDatum(texts[i]) : (Datum) 0;
		nulls[7 + i] = texts[i] ? ' ' : 'n';
	}
	values[14] = NameGetDatum(&sender);
	values[15] = JsonbPGetDatum(order->data);
	nulls[15] = message ? 'n' : ' ';
	ec_outbox_open(&as);
	if (ec_outbox_execute(insert_sql, 16, types, values, nulls) != 1)
		elog(ERROR, "could not write a mail");
	id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	ec_outbox_close(&as);
	return id;
}

/*
 * The rest of ec_mail_send() for a mail that needs consent.  message holds
 * what such a mail has in common with others.
 */
static void
send_consented(const EcMailOrder *order, char *address, EcEnqueue *message, EcMailResult *result)
{
	TimestampTz now = ec_now();
	EcLimits   *limits;
	EcContact	contact;
	EcAddressee addressee;
	EcVerdict	verdict;
	bool		is_mail;
	EcAs		as;

	/* whoever may not use the endpoint must not leave a mail that waits */
	(void) ec_endpoint_check_usage(ec_guc_mail_endpoint, &is_mail);
	ec_outbox_open(&as);
	ec_contact_lock(address, &contact);
	ec_outbox_close(&as);
	if (mail_known(order, result))
		return;
	ec_consent_check(&address, 1, EC_CHANNEL_EMAIL, order->purpose, now, &verdict);
	if (verdict != EC_MAY_SEND && !order->quiet)
		ec_consent_refuse(address, order->purpose, verdict);
	if (verdict != EC_MAY_SEND)
	{
		result->skipped = verdict == EC_SUPPRESSED ? "suppressed" : "no_consent";
		return;
	}

	/* what is wrong with the template shows now, even if the mail waits */
	ec_addressee_find(address, &addressee);
	message->payload = mail_render(order, ec_unsubscribe_url(contact.id), result);
	if (message->payload == NULL)
		return;
	limits = ec_limits_load();
	if (ec_limits_capped(limits, order->purpose))
		result->deferred = "queued";
	else if (ec_limits_loud_at(limits, addressee.tz, now) > now)
		result->deferred = "quiet_hours";
	if (result->deferred != NULL)
	{
		result->mail = mail_write(order, contact.id, address, &addressee, order->locale, result->deferred, 0);
		ec_wake_at_commit(EC_WAKE_TICK);
		return;
	}
	message->priority = -1;
	message->passed = true;
	result->message = ec_enqueue(message, NULL);
	result->mail = mail_write(order, contact.id, address, &addressee, NULL, "sent", result->message);
}

/*
 * Send a mail, or say in the result why not, or that it waits.  Errors: what
 * the order itself is wrong about; and unless it is quiet, an address that is
 * none, consent that is missing, what rendering raises.
 */
void
ec_mail_send(const EcMailOrder *order, EcMailResult *result)
{
	EcEnqueue	message = {0};
	char	   *address = ec_address_normalize(EC_CHANNEL_EMAIL, order->recipient);
	char	   *problem;

	memset(result, 0, sizeof(EcMailResult));
	if (order->priority < 0 || order->priority > 100)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("priority of a mail must be between 0 and 100"),
				 errdetail("The priority is %d.", order->priority)));
	if (order->deadline != 0 && order->deadline <= ec_now())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("deadline of a mail has passed"),
				 errdetail("It is %s.", timestamptz_to_str(order->deadline))));
	if (order->quiet && (problem = ec_address_problem(address)) != NULL)
	{
		result->skipped = "no_address";
		result->detail = problem;
		return;
	}
	message.endpoint = ec_guc_mail_endpoint;
	message.template = order->template;
	message.purpose = order->purpose;
	message.key = order->key;
	message.expires_at = order->deadline;
	if (!ec_purpose_is_free(order->purpose))
	{
		ec_purpose_require(order->purpose);
		(void) ec_address_require(EC_CHANNEL_EMAIL, order->recipient);
		send_consented(order, address, &message, result);
		return;
	}
	message.payload = mail_render(order, NULL, result);
	if (message.payload != NULL)
		result->message = ec_enqueue(&message, NULL);
}

/*
 * ecauto.send_mail(recipient text, template text, data jsonb, purpose text,
 *					key text, priority integer, deadline timestamptz)
 * returns bigint
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
	order.priority = PG_ARGISNULL(5) ? EC_MAIL_PRIORITY : PG_GETARG_INT32(5);
	order.deadline = PG_ARGISNULL(6) ? 0 : PG_GETARG_TIMESTAMPTZ(6);
	ec_mail_send(&order, &result);
	if (result.message == 0)
		PG_RETURN_NULL();
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
	static const char *const known[] = {
		"data", "deadline", "in_stock", "key", "locale", "priority", "purpose", "recipient", "template"
	};
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
					 errhint("Parameters are data, deadline, in_stock, key, locale, priority, purpose, recipient and template.")));
	}
}

/* A number in an object of the context; false if there is none. */
static bool
context_number(Jsonb *context, const char *object, const char *member, Numeric *number)
{
	JsonbValue *value = getKeyJsonValueFromContainer(&context->root, object, (int) strlen(object), NULL);

	if (value == NULL || value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		return false;
	value = getKeyJsonValueFromContainer(value->val.binary.data, member, (int) strlen(member), NULL);
	if (value == NULL || value->type != jbvNumeric)
		return false;
	*number = value->val.numeric;
	return true;
}

static int
compare_numbers(Numeric a, Numeric b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a), NumericGetDatum(b)));
}

/*
 * Is nothing left of what the flow is about: no line of its cart, or not its
 * sku?
 */
static bool
sold_out(Jsonb *context)
{
	Numeric		lines;
	Numeric		gone;
	Numeric		zero = int64_to_numeric(0);

	if (context_number(context, "cart", "lines_count", &lines) &&
		context_number(context, "cart", "sold_out_count", &gone))
		return compare_numbers(lines, zero) > 0 && compare_numbers(gone, lines) >= 0;
	if (context_number(context, "stock", "available", &gone) ||
		context_number(context, "sku", "available", &gone))
		return compare_numbers(gone, zero) <= 0;
	return false;
}

/* Whether the parameter in_stock is given and true. */
static bool
wants_stock(Jsonb *params)
{
	JsonbValue *value = getKeyJsonValueFromContainer(&params->root, "in_stock", strlen("in_stock"), NULL);

	if (value == NULL || value->type == jbvNull)
		return false;
	if (value->type != jbvBool)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"%s\" of a mail must be true or false", "in_stock")));
	return value->val.boolean;
}

static int
priority_parameter(Jsonb *params)
{
	JsonbValue *value = getKeyJsonValueFromContainer(&params->root, "priority", strlen("priority"), NULL);

	if (value == NULL || value->type == jbvNull)
		return EC_MAIL_PRIORITY;
	if (value->type != jbvNumeric)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"%s\" of a mail must be a number", "priority")));
	return DatumGetInt32(DirectFunctionCall1(numeric_int4, NumericGetDatum(value->val.numeric)));
}

/* The deadline: a length of time from now, such as "12 hours"; 0: none given. */
static TimestampTz
deadline_parameter(Jsonb *params)
{
	const char *text = parameter(params, "deadline");
	Datum		length;

	if (text == NULL)
		return 0;
	length = DirectFunctionCall3(interval_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(ec_now()), length));
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

	order.priority = priority_parameter(params);
	order.deadline = deadline_parameter(params);

	if (wants_stock(params) && sold_out(context))
		result.skipped = "sold_out";
	else if (order.recipient == NULL)
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
	else if (result.deferred != NULL)
	{
		ec_json_put_text(&state, "deferred", result.deferred);
		ec_json_put_int8(&state, "mail", result.mail);
	}
	else
		ec_json_put_int8(&state, "message", result.message);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

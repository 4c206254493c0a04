/*-------------------------------------------------------------------------
 *
 * outbox_message.c
 *		Is a message fit to be sent?  Checked when it is enqueued, so that the
 *		caller hears about it and not a log.
 *
 * The dangerous mistake is text that ends a header line and begins another
 * (header injection): a line break in a subject, an address or a header value
 * is refused, whatever would later be done to encode it.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <ctype.h>

#include "utils/builtins.h"

#include "outbox/outbox.h"

static EcMailCheck mail_check = NULL;

void
ec_message_set_mail_check(EcMailCheck check)
{
	mail_check = check;
}

/*
 * Check the payload of a message to a mail endpoint; docs/mail.md describes it.
 */
void
ec_message_check_mail(Jsonb *payload)
{
	if (mail_check != NULL)
		mail_check(payload);
}

static char *
string_of(const JsonbValue *value)
{
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* RFC 9110, section 5.6.2: token; also every RFC 5322 field name in use */
static bool
is_header_name(const char *name)
{
	if (*name == '\0')
		return false;
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char) *p) && strchr("!#$%&'*+-.^_`|~", *p) == NULL)
			return false;
	return true;
}

static bool
name_in(const char *name, const char *const *list)
{
	for (; *list != NULL; list++)
		if (pg_strcasecmp(name, *list) == 0)
			return true;
	return false;
}

/*
 * Check the headers of a message to an HTTP endpoint.
 */
void
ec_message_check_headers(Jsonb *headers_json)
{
	/* those that we or libcurl write */
	static const char *const ours[] = {
		"connection", "content-length", "expect", "host", "idempotency-key", "keep-alive", "te",
		"trailer", "transfer-encoding", "upgrade", "x-ecauto-signature", NULL
	};
	static const char *const secret[] = {"authorization", "cookie", "proxy-authorization", NULL};
	JsonbContainer *headers = &headers_json->root;
	JsonbIterator *it;
	JsonbValue	value;
	JsonbIteratorToken token;
	char	   *name = NULL;

	if (!JsonContainerIsObject(headers))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("headers must be an object of strings")));
	it = JsonbIteratorInit(headers);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char	   *problem;

		if (token == WJB_KEY)
		{
			name = string_of(&value);
			if (!is_header_name(name))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("invalid header name"),
						 errdetail("A name consists of letters, digits and hyphens.")));
			if (name_in(name, ours))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("header \"%s\" cannot be set", name),
						 errdetail("ecauto sets it itself.")));
			if (name_in(name, secret))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("header \"%s\" cannot be set", name),
						 errdetail("Credentials are not kept in messages."),
						 errhint("Put them into the options of a user mapping for the endpoint.")));
		}
		else if (token == WJB_VALUE)
		{
			if (value.type != jbvString)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("headers must be an object of strings"),
						 errdetail("The value of \"%s\" is not a string.", name)));
			problem = ec_line_problem(string_of(&value));
			if (problem != NULL)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("invalid value of header \"%s\"", name),
						 errdetail_internal("%s", problem)));
		}
	}
}

/*
 * Can the payload become a body of that form?
 */
void
ec_message_check_body(const char *body, Jsonb *payload)
{
	JsonbIterator *it;
	JsonbValue	value;
	JsonbIteratorToken token;

	if (body == NULL || strcmp(body, "json") == 0)
		return;
	if (strcmp(body, "text") == 0)
	{
		if (!JB_ROOT_IS_SCALAR(payload) ||
			!JsonbExtractScalar(&payload->root, &value) || value.type != jbvString)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the payload of a text body must be a string")));
		return;
	}
	if (strcmp(body, "form") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("body must be json, form or text"),
				 errdetail("The body is \"%s\".", body)));
	if (!JB_ROOT_IS_OBJECT(payload))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the payload of a form must be an object")));
	it = JsonbIteratorInit(&payload->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
		if (token == WJB_VALUE && value.type == jbvBinary)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the payload of a form must hold strings, numbers and booleans only")));
}

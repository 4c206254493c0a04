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
#include "outbox/outbox_address.h"

/* most recipients that servers must take in one mail: RFC 5321, section 4.5.3.1.8 */
#define RECIPIENTS_MAX 100

static void
mail_error(const char *member, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid \"%s\" in the payload of a mail", member),
			 errdetail_internal("%s", problem),
			 errhint("A mail is an object with \"to\", \"subject\" and \"text\" or \"html\".")));
}

static JsonbValue *
member_get(JsonbContainer *object, const char *name, JsonbValue *value)
{
	value = getKeyJsonValueFromContainer(object, name, (int) strlen(name), value);
	return (value == NULL || value->type == jbvNull) ? NULL : value;
}

static char *
string_of(const JsonbValue *value)
{
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static void
address_check(const char *member, const JsonbValue *value)
{
	char	   *problem;

	if (value->type != jbvString)
		mail_error(member, "An address must be a string.");
	problem = ec_mailbox_problem(string_of(value));
	if (problem != NULL)
		mail_error(member, problem);
}

/* An address or an array of addresses; returns how many. */
static int
recipients_check(JsonbContainer *mail, const char *member)
{
	JsonbValue	found;
	JsonbIterator *it;
	JsonbValue	element;
	JsonbIteratorToken token;
	int			count = 0;

	if (member_get(mail, member, &found) == NULL)
		return 0;
	if (found.type == jbvString)
	{
		address_check(member, &found);
		return 1;
	}
	if (found.type != jbvBinary || !JsonContainerIsArray(found.val.binary.data))
		mail_error(member, "It must be an address or an array of addresses.");
	it = JsonbIteratorInit(found.val.binary.data);
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		address_check(member, &element);
		count++;
	}
	return count;
}

/* A string member; line: it becomes a header line. */
static bool
text_check(JsonbContainer *mail, const char *member, bool line)
{
	JsonbValue	found;
	char	   *problem;

	if (member_get(mail, member, &found) == NULL)
		return false;
	if (found.type != jbvString)
		mail_error(member, "It must be a string.");
	if (line && (problem = ec_line_problem(string_of(&found))) != NULL)
		mail_error(member, problem);
	return true;
}

static void
attachments_check(JsonbContainer *mail)
{
	JsonbValue	found;
	JsonbIterator *it;
	JsonbValue	element;
	JsonbIteratorToken token;

	if (member_get(mail, "attachments", &found) == NULL)
		return;
	if (found.type != jbvBinary || !JsonContainerIsArray(found.val.binary.data))
		mail_error("attachments", "It must be an array of objects.");
	it = JsonbIteratorInit(found.val.binary.data);
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
	{
		bool		plain;
		bool		encoded;

		if (token != WJB_ELEM)
			continue;
		if (element.type != jbvBinary || !JsonContainerIsObject(element.val.binary.data))
			mail_error("attachments", "It must be an array of objects.");
		if (!text_check(element.val.binary.data, "name", true))
			mail_error("attachments", "An attachment has no \"name\".");
		(void) text_check(element.val.binary.data, "type", true);
		(void) text_check(element.val.binary.data, "inline_id", true);
		plain = text_check(element.val.binary.data, "content", false);
		encoded = text_check(element.val.binary.data, "base64", false);
		if (plain == encoded)
			mail_error("attachments",
					   "An attachment needs either \"content\" (text) or \"base64\".");
	}
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
 * Check an object of header names and values.  ours: names that ecauto sets.
 * secret: names that carry credentials.
 */
static void
headers_check(JsonbContainer *headers, const char *const *ours, const char *const *secret)
{
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

const char *const ec_mail_members[] = {
	"to", "cc", "bcc", "reply_to", "subject", "text", "html", "headers", "attachments",
	"list_unsubscribe", "list_unsubscribe_post", NULL
};

/* A misspelt member would be a mail without its attachment, so it is an error. */
static void
members_check(JsonbContainer *mail)
{
	JsonbIterator *it = JsonbIteratorInit(mail);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		const char *const *known = ec_mail_members;

		if (token != WJB_KEY)
			continue;
		while (*known != NULL && strcmp(*known, string_of(&value)) != 0)
			known++;
		if (*known == NULL)
			mail_error(string_of(&value), "A mail has no such member.");
	}
}

/*
 * Check the payload of a message to a mail endpoint.
 */
void
ec_message_check_mail(Jsonb *payload)
{
	static const char *const ours[] = {
		"bcc", "cc", "content-disposition", "content-transfer-encoding", "content-type", "date",
		"from", "list-unsubscribe", "list-unsubscribe-post", "message-id", "mime-version", "sender",
	"subject", "to", NULL};
	static const char *const none[] = {NULL};
	JsonbContainer *mail = &payload->root;
	JsonbValue	found;
	int			recipients;
	bool		body;

	if (!JB_ROOT_IS_OBJECT(payload))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the payload of a mail must be an object"),
				 errhint("A mail is an object with \"to\", \"subject\" and \"text\" or \"html\".")));

	members_check(mail);
	recipients = recipients_check(mail, "to");
	if (recipients == 0)
		mail_error("to", "There is no recipient.");
	recipients += recipients_check(mail, "cc") + recipients_check(mail, "bcc");
	if (recipients > RECIPIENTS_MAX)
		mail_error("to", psprintf("There are %d recipients, the limit is %d.",
								  recipients, RECIPIENTS_MAX));
	if (recipients_check(mail, "reply_to") > 1)
		mail_error("reply_to", "It must be one address.");
	if (!text_check(mail, "subject", true))
		mail_error("subject", "It is missing.");
	body = text_check(mail, "text", false);
	body = text_check(mail, "html", false) || body;
	if (!body)
		mail_error("text", "There is neither \"text\" nor \"html\".");
	(void) text_check(mail, "list_unsubscribe", true);
	attachments_check(mail);
	if (member_get(mail, "headers", &found) != NULL)
	{
		if (found.type != jbvBinary)
			mail_error("headers", "It must be an object of strings.");
		headers_check(found.val.binary.data, ours, none);
	}
}

/*
 * Check the headers of a message to an HTTP endpoint.
 */
void
ec_message_check_headers(Jsonb *headers)
{
	static const char *const ours[] = {
		"connection", "content-length", "expect", "host", "idempotency-key", "keep-alive", "te",
	"trailer", "transfer-encoding", "upgrade", "x-ecauto-signature", NULL};
	static const char *const secret[] = {"authorization", "cookie", "proxy-authorization", NULL};

	headers_check(&headers->root, ours, secret);
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

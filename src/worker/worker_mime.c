/*-------------------------------------------------------------------------
 *
 * worker_mime.c
 *		From the payload of a message to the text of a mail.
 *
 * The parts nest as mail programs expect it (RFC 2046, section 5.1; RFC 2387):
 *
 *		multipart/mixed					if there are attachments
 *			multipart/alternative		if there are text and html
 *				text/plain
 *				multipart/related		if there are inline images
 *					text/html
 *					image/...			Content-ID, inline
 *			application/...				attachment
 *
 * where a level that would hold a single part is left out.
 *
 * Nothing is dropped or repaired in silence: an unknown member of the payload,
 * a line break where a header is to be, an address that is none are errors.
 * The same payload, sender, key and time give the same bytes.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"

#include "outbox/outbox.h"
#include "outbox/outbox_address.h"
#include "worker/worker_mime.h"

PG_FUNCTION_INFO_V1(ecauto_mail_source);

/* most recipients that every server takes in one mail: RFC 5321, section 4.5.3.1.8 */
#define RCPTS_MAX 100

typedef struct Attachment
{
	char	   *name;			/* NULL if there is none */
	char	   *type;
	char	   *inline_id;		/* NULL for a real attachment */
	const char *data;
	size_t		len;
	bool		text;			/* data is UTF-8 */
} Attachment;

/* A payload, read and checked. */
typedef struct Draft
{
	EcMailbox	from;
	EcMailbox  *to;
	int			nto;
	EcMailbox  *cc;
	int			ncc;
	EcMailbox  *bcc;
	int			nbcc;
	EcMailbox  *reply_to;
	int			nreply_to;
	char	   *subject;
	char	   *text;			/* NULL if there is none */
	char	   *html;			/* NULL if there is none */
	Attachment *files;
	int			nfiles;			/* of these ... */
	int			ninline;		/* ... are inline */
	char	   *list_unsubscribe;	/* NULL, or the whole value */
	bool		one_click;
	char	  **header_names;
	char	  **header_values;
	int			nheaders;
	char	   *boundary;		/* common beginning of all boundaries */
} Draft;

/* ---- reading the payload ---- */

pg_noreturn static void
refuse(const char *member, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid \"%s\" in the payload of a mail", member),
			 errdetail_internal("%s", problem)));
}

/* A member that is there and not null. */
static bool
member_get(JsonbContainer *object, const char *name, JsonbValue *value)
{
	JsonbValue *found = getKeyJsonValueFromContainer(object, name, (int) strlen(name), value);

	return found != NULL && found->type != jbvNull;
}

/* The string of a value, in the encoding of the database; member is for the error. */
static char *
value_string(const char *member, const JsonbValue *value)
{
	if (value->type != jbvString)
		refuse(member, "It must be a string.");
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* May change the encoding of a string to UTF-8 in place or in a copy. */
static char *
to_utf8(char *text)
{
	return pg_server_to_any(text, (int) strlen(text), PG_UTF8);
}

/*
 * Refuse what could end a line of the header and begin another.  A tab is
 * refused with them, because it would not come back as one.
 */
static void
check_line(const char *member, const char *text)
{
	for (const char *p = text; *p; p++)
	{
		if (*p == '\r' || *p == '\n')
			refuse(member, psprintf("There is a line break at byte %d.", (int) (p - text) + 1));
		if ((unsigned char) *p < 0x20 || *p == 0x7F)
			refuse(member, psprintf("There is a control character at byte %d.", (int) (p - text) + 1));
	}
}

/* A string member that becomes (part of) a header, as UTF-8; NULL if it is not there. */
static char *
member_line(JsonbContainer *object, const char *name)
{
	JsonbValue	value;
	char	   *text;

	if (!member_get(object, name, &value))
		return NULL;
	text = value_string(name, &value);
	check_line(name, text);
	return to_utf8(text);
}

/* A string member of any content, as UTF-8; NULL if it is not there. */
static char *
member_text(JsonbContainer *object, const char *name)
{
	JsonbValue	value;

	return member_get(object, name, &value) ? to_utf8(value_string(name, &value)) : NULL;
}

/*
 * The elements of a member that is a value or an array of values; NIL if it is
 * not there.
 */
static List *
member_list(JsonbContainer *object, const char *name)
{
	JsonbValue	value;
	JsonbIterator *it;
	JsonbIteratorToken token;
	List	   *list = NIL;

	if (!member_get(object, name, &value))
		return NIL;
	if (value.type != jbvBinary || !JsonContainerIsArray(value.val.binary.data))
	{
		JsonbValue *copy = palloc(sizeof(JsonbValue));

		*copy = value;
		return list_make1(copy);
	}
	it = JsonbIteratorInit(value.val.binary.data);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		JsonbValue *copy;

		if (token != WJB_ELEM)
			continue;
		copy = palloc(sizeof(JsonbValue));
		*copy = value;
		list = lappend(list, copy);
	}
	return list;
}

/* Refuse members that are not among names (ended by NULL); where says whose they are. */
static void
check_members(JsonbContainer *object, const char *const *names, const char *where)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		const char *const *name = names;
		StringInfoData known;

		if (token != WJB_KEY)
			continue;
		while (*name && (strlen(*name) != value.val.string.len ||
						 memcmp(*name, value.val.string.val, value.val.string.len) != 0))
			name++;
		if (*name)
			continue;
		initStringInfo(&known);
		for (name = names; *name; name++)
			appendStringInfo(&known, name == names ? "%s" : ", %s", *name);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown member \"%s\" in %s",
						pnstrdup(value.val.string.val, value.val.string.len), where),
				 errhint("Known members are: %s.", known.data)));
	}
}

static void
mailbox_read(const char *member, char *text, EcMailbox *mailbox)
{
	char	   *problem = ec_mailbox_parse(text, &mailbox->name, &mailbox->address);

	if (problem)
		refuse(member, problem);
	if (mailbox->name)
		mailbox->name = to_utf8(mailbox->name);
	mailbox->address = to_utf8(mailbox->address);
}

static EcMailbox *
mailboxes_read(JsonbContainer *payload, const char *member, int *n)
{
	List	   *values = member_list(payload, member);
	EcMailbox  *mailboxes = palloc((list_length(values) + 1) * sizeof(EcMailbox));
	ListCell   *lc;

	*n = 0;
	foreach(lc, values)
		mailbox_read(member, value_string(member, lfirst(lc)), &mailboxes[(*n)++]);
	return mailboxes;
}

/* RFC 2045, section 5.1: type/subtype of tokens, then perhaps parameters */
static void
check_type(const char *type)
{
	const char *specials = " ()<>@,;:\\\"/[]?=";
	size_t		major = strcspn(type, specials);
	size_t		minor = type[major] == '/' ? strcspn(type + major + 1, specials) : 0;
	const char *rest = type + major + 1 + minor;

	check_line("type", type);
	for (const char *p = type; *p; p++)
		if ((unsigned char) *p >= 0x7F)
			refuse("type", "A media type is ASCII.");
	if (major == 0 || minor == 0 || (*rest != '\0' && *rest != ';') || strlen(type) > 200)
		refuse("type", psprintf("\"%s\" is not a media type such as \"application/pdf\".", type));
	if (pg_strncasecmp(type, "multipart/", 10) == 0 || pg_strncasecmp(type, "message/", 8) == 0)
		refuse("type", "An attachment cannot be of type multipart or message.");
}

static void
attachment_read(const JsonbValue *value, Attachment *file)
{
	static const char *const members[] = {"name", "type", "content", "base64", "inline_id", NULL};
	JsonbContainer *object;
	char	   *content;
	char	   *encoded;

	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		refuse("attachments", "It must be an array of objects.");
	object = value->val.binary.data;
	check_members(object, members, "an attachment of a mail");
	file->name = member_line(object, "name");
	file->type = member_line(object, "type");
	file->inline_id = member_line(object, "inline_id");
	content = member_text(object, "content");
	encoded = member_text(object, "base64");

	if (file->name == NULL && file->inline_id == NULL)
		refuse("attachments", "An attachment needs a \"name\".");
	if (file->name && (*file->name == '\0' || strlen(file->name) > 255))
		refuse("name", "The name of a file has 1 to 255 bytes.");
	if ((content != NULL) == (encoded != NULL))
		refuse("attachments", "An attachment needs either \"content\", a text, or \"base64\".");
	if (content)
	{
		file->data = content;
		file->len = strlen(content);
	}
	else
	{
		StringInfoData decoded;

		initStringInfo(&decoded);
		if (!ec_base64_decode(encoded, strlen(encoded), &decoded))
			refuse("base64", "It is not valid base64.");
		file->data = decoded.data;
		file->len = decoded.len;
	}
	file->text = content != NULL;
	if (file->type)
		check_type(file->type);
	else
		file->type = content ? "text/plain" : "application/octet-stream";
	if (file->inline_id)
	{
		for (const char *p = file->inline_id; *p; p++)
			if ((unsigned char) *p <= 0x20 || (unsigned char) *p >= 0x7F || strchr("<>\"\\()", *p))
				refuse("inline_id", "It consists of printable ASCII without spaces, quotes and brackets.");
		if (*file->inline_id == '\0' || strlen(file->inline_id) > 200)
			refuse("inline_id", "It has 1 to 200 bytes.");
	}
}

static void
attachments_read(JsonbContainer *payload, Draft *draft)
{
	List	   *values = member_list(payload, "attachments");
	JsonbValue	value;
	ListCell   *lc;

	if (member_get(payload, "attachments", &value) &&
		(value.type != jbvBinary || !JsonContainerIsArray(value.val.binary.data)))
		refuse("attachments", "It must be an array of objects.");
	draft->files = palloc0((list_length(values) + 1) * sizeof(Attachment));
	foreach(lc, values)
	{
		Attachment *file = &draft->files[draft->nfiles++];

		attachment_read(lfirst(lc), file);
		if (file->inline_id)
			draft->ninline++;
	}
	if (draft->ninline > 0 && draft->html == NULL)
		refuse("attachments", "An inline image needs \"html\" that shows it.");
}

/* Append "<uri>" to a List-Unsubscribe value; true if a POST can be sent there. */
static bool
unsubscribe_append(StringInfo list, const char *uri, size_t len)
{
	bool		https = len > 8 && pg_strncasecmp(uri, "https://", 8) == 0;

	if (!https && pg_strncasecmp(uri, "http://", 7) != 0 && pg_strncasecmp(uri, "mailto:", 7) != 0)
		refuse("list_unsubscribe", "It must begin with https://, http:// or mailto:.");
	if (len > 900)
		refuse("list_unsubscribe", "It has more than 900 bytes.");
	for (size_t i = 0; i < len; i++)
		if ((unsigned char) uri[i] <= 0x20 || (unsigned char) uri[i] >= 0x7F || strchr("<>\"", uri[i]))
			refuse("list_unsubscribe", psprintf("There is a character at byte %zu that a URI cannot hold.", i + 1));
	appendStringInfo(list, list->len ? ", <%.*s>" : "<%.*s>", (int) len, uri);
	return https;
}

/*
 * RFC 2369 and 8058.  list_unsubscribe is a URI or several, each with or
 * without angle brackets; list_unsubscribe_post true asks for one click.
 */
static void
unsubscribe_read(JsonbContainer *payload, Draft *draft)
{
	List	   *values = member_list(payload, "list_unsubscribe");
	bool		https = false;
	StringInfoData list;
	JsonbValue	post;
	ListCell   *lc;

	initStringInfo(&list);
	foreach(lc, values)
	{
		char	   *text = value_string("list_unsubscribe", lfirst(lc));
		char	   *p = text;

		check_line("list_unsubscribe", text);
		if (*p != '<')
			https |= unsubscribe_append(&list, p, strlen(p));
		else
		{
			/* "<uri>, <uri>" */
			while (*p == '<')
			{
				size_t		len = strcspn(p + 1, ">");

				if (p[1 + len] != '>')
					break;
				https |= unsubscribe_append(&list, p + 1, len);
				p += len + 2;
				p += strspn(p, ", ");
			}
			if (*p != '\0')
				refuse("list_unsubscribe", "The angle brackets do not match.");
		}
	}
	draft->list_unsubscribe = list.len ? list.data : NULL;

	if (!member_get(payload, "list_unsubscribe_post", &post))
		return;
	if (post.type == jbvBool)
		draft->one_click = post.val.boolean;
	else if (strcmp(value_string("list_unsubscribe_post", &post), "List-Unsubscribe=One-Click") == 0)
		draft->one_click = true;
	else
		refuse("list_unsubscribe_post", "It must be true, false or \"List-Unsubscribe=One-Click\".");
	if (draft->one_click && !https)
		refuse("list_unsubscribe_post", "One click needs an https:// address in \"list_unsubscribe\".");
}

/* Fields that the payload's "headers" may not hold, besides those that begin with "content-". */
static const char *const own_fields[] = {
	"bcc", "cc", "date", "from", "list-unsubscribe", "list-unsubscribe-post", "message-id",
	"mime-version", "received", "reply-to", "return-path", "sender", "subject", "to", NULL
};

static void
check_field_name(const char *name)
{
	if (*name == '\0' || strlen(name) > EC_MIME_LINE_GOOD - 2)
		refuse("headers", "The name of a header has 1 to 76 bytes.");
	for (const char *p = name; *p; p++)
		if ((unsigned char) *p <= 0x20 || (unsigned char) *p >= 0x7F || *p == ':')
			refuse("headers", psprintf("\"%s\" is not the name of a header.", name));
	for (const char *const *own = own_fields; *own; own++)
		if (pg_strcasecmp(name, *own) == 0 || pg_strncasecmp(name, "content-", 8) == 0)
			refuse("headers", psprintf("Header \"%s\" cannot be set, ecauto writes it itself.", name));
}

static void
headers_read(JsonbContainer *payload, Draft *draft)
{
	JsonbValue	value;
	JsonbIterator *it;
	JsonbIteratorToken token;
	int			size;

	if (!member_get(payload, "headers", &value))
		return;
	if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
		refuse("headers", "It must be an object of strings.");
	size = JsonContainerSize(value.val.binary.data);
	draft->header_names = palloc((size + 1) * sizeof(char *));
	draft->header_values = palloc((size + 1) * sizeof(char *));
	it = JsonbIteratorInit(value.val.binary.data);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			char	   *name = pnstrdup(value.val.string.val, value.val.string.len);

			check_field_name(name);
			draft->header_names[draft->nheaders] = name;
		}
		else if (token == WJB_VALUE)
		{
			const char *name = draft->header_names[draft->nheaders];
			char	   *text = value_string(name, &value);

			check_line(name, text);
			draft->header_values[draft->nheaders++] = to_utf8(text);
		}
	}
}

static void
draft_read(Jsonb *payload, const char *sender, Draft *draft)
{
	static const char *const members[] = {
		"to", "cc", "bcc", "reply_to", "subject", "text", "html", "headers", "attachments",
		"list_unsubscribe", "list_unsubscribe_post", NULL
	};
	JsonbContainer *object = &payload->root;
	char	   *problem;

	memset(draft, 0, sizeof(*draft));
	if (!JB_ROOT_IS_OBJECT(payload))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the payload of a mail must be an object")));
	check_members(object, members, "the payload of a mail");

	problem = ec_mailbox_parse(sender, &draft->from.name, &draft->from.address);
	if (problem)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid sender of a mail"),
				 errdetail_internal("%s", problem)));
	draft->from.address = to_utf8(draft->from.address);
	if (draft->from.name)
		draft->from.name = to_utf8(draft->from.name);

	draft->to = mailboxes_read(object, "to", &draft->nto);
	draft->cc = mailboxes_read(object, "cc", &draft->ncc);
	draft->bcc = mailboxes_read(object, "bcc", &draft->nbcc);
	draft->reply_to = mailboxes_read(object, "reply_to", &draft->nreply_to);
	if (draft->nto + draft->ncc + draft->nbcc == 0)
		refuse("to", "There is no recipient.");
	if (draft->nto + draft->ncc + draft->nbcc > RCPTS_MAX)
		refuse("to", psprintf("There are %d recipients, more than %d.",
							  draft->nto + draft->ncc + draft->nbcc, RCPTS_MAX));
	draft->subject = member_line(object, "subject");
	draft->text = member_text(object, "text");
	draft->html = member_text(object, "html");
	attachments_read(object, draft);
	unsubscribe_read(object, draft);
	headers_read(object, draft);
	if (draft->text == NULL && draft->html == NULL && draft->nfiles == 0)
		refuse("text", "There is neither \"text\" nor \"html\" nor an attachment.");
}

/*
 * Can the payload become a mail?  What ec_mail_build() would refuse, told when
 * the message is enqueued.
 */
void
ec_mail_check(Jsonb *payload)
{
	Draft		draft;

	draft_read(payload, "sender@localhost.invalid", &draft);
	if (draft.subject == NULL)
		refuse("subject", "It is missing.");
}

/* ---- writing the message ---- */

/* The header of a multipart entity. */
static void
multipart_begin(StringInfo out, const Draft *draft, int level, const char *subtype, const char *type)
{
	char		value[32];
	char		boundary[64];

	snprintf(value, sizeof(value), "multipart/%s", subtype);
	snprintf(boundary, sizeof(boundary), "%s.%d", draft->boundary, level);
	ec_header_begin(out, "Content-Type", value);
	if (type)
		ec_header_parameter(out, "type", type);
	ec_header_parameter(out, "boundary", boundary);
	ec_header_end(out);
}

/*
 * The empty line before a boundary ends the header of the multipart, or is the
 * CRLF that belongs to the boundary; the part before ended with its own.
 */
static void
multipart_next(StringInfo out, const Draft *draft, int level)
{
	appendStringInfo(out, "\r\n--%s.%d\r\n", draft->boundary, level);
}

static void
multipart_end(StringInfo out, const Draft *draft, int level)
{
	appendStringInfo(out, "\r\n--%s.%d--\r\n", draft->boundary, level);
}

static void
write_file(StringInfo out, const Attachment *file)
{
	ec_header_begin(out, "Content-Type", file->type);
	if (file->text && pg_strncasecmp(file->type, "text/", 5) == 0 && strchr(file->type, ';') == NULL)
		ec_header_parameter(out, "charset", "utf-8");
	ec_header_end(out);
	if (file->inline_id)
		appendStringInfo(out, "Content-ID: <%s>\r\n", file->inline_id);
	ec_header_begin(out, "Content-Disposition", file->inline_id ? "inline" : "attachment");
	if (file->name)
		ec_header_parameter(out, "filename", file->name);
	ec_header_end(out);
	ec_part_bytes(out, file->data, file->len);
}

static void
write_html(StringInfo out, const Draft *draft)
{
	if (draft->ninline == 0)
	{
		ec_part_text(out, "html", draft->html);
		return;
	}
	multipart_begin(out, draft, 3, "related", "text/html");
	multipart_next(out, draft, 3);
	ec_part_text(out, "html", draft->html);
	for (int i = 0; i < draft->nfiles; i++)
	{
		if (draft->files[i].inline_id == NULL)
			continue;
		multipart_next(out, draft, 3);
		write_file(out, &draft->files[i]);
	}
	multipart_end(out, draft, 3);
}

static void
write_texts(StringInfo out, const Draft *draft)
{
	if (draft->text && draft->html)
	{
		multipart_begin(out, draft, 2, "alternative", NULL);
		multipart_next(out, draft, 2);
		ec_part_text(out, "plain", draft->text);
		multipart_next(out, draft, 2);
		write_html(out, draft);
		multipart_end(out, draft, 2);
	}
	else if (draft->html)
		write_html(out, draft);
	else
		ec_part_text(out, "plain", draft->text);
}

static void
write_body(StringInfo out, const Draft *draft)
{
	if (draft->nfiles == draft->ninline)
	{
		write_texts(out, draft);
		return;
	}
	multipart_begin(out, draft, 1, "mixed", NULL);
	if (draft->text || draft->html)
	{
		multipart_next(out, draft, 1);
		write_texts(out, draft);
	}
	for (int i = 0; i < draft->nfiles; i++)
	{
		if (draft->files[i].inline_id)
			continue;
		multipart_next(out, draft, 1);
		write_file(out, &draft->files[i]);
	}
	multipart_end(out, draft, 1);
}

static void
write_header(StringInfo out, const Draft *draft, const char *key, TimestampTz at)
{
	ec_header_date(out, at);
	ec_header_mailboxes(out, "From", &draft->from, 1);
	if (draft->nreply_to)
		ec_header_mailboxes(out, "Reply-To", draft->reply_to, draft->nreply_to);
	if (draft->nto)
		ec_header_mailboxes(out, "To", draft->to, draft->nto);
	else if (draft->ncc == 0)
		appendStringInfoString(out, "To: undisclosed-recipients:;\r\n");
	if (draft->ncc)
		ec_header_mailboxes(out, "Cc", draft->cc, draft->ncc);
	if (draft->subject)
		ec_header_text(out, "Subject", draft->subject);
	ec_header_message_id(out, key, strchr(draft->from.address, '@') + 1);
	if (draft->list_unsubscribe)
	{
		ec_header_begin(out, "List-Unsubscribe", draft->list_unsubscribe);
		ec_header_end(out);
	}
	if (draft->one_click)
		appendStringInfoString(out, "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n");
	for (int i = 0; i < draft->nheaders; i++)
		ec_header_text(out, draft->header_names[i], draft->header_values[i]);
	appendStringInfoString(out, "MIME-Version: 1.0\r\n");
}

/* Add the addresses of mailboxes to the envelope, unless they are there. */
static void
add_rcpts(EcMail *mail, const EcMailbox *mailboxes, int n)
{
	for (int i = 0; i < n; i++)
	{
		int			j = 0;

		while (j < mail->nrcpts && strcmp(mail->rcpts[j], mailboxes[i].address) != 0)
			j++;
		if (j == mail->nrcpts)
			mail->rcpts[mail->nrcpts++] = mailboxes[i].address;
	}
}

void
ec_mail_build(Jsonb *payload, const char *sender, const char *key, TimestampTz at, EcMail *mail)
{
	Draft		draft;
	StringInfoData out;

	draft_read(payload, sender, &draft);
	/* "=_" occurs in no quoted-printable or base64 text */
	draft.boundary = psprintf("=_%016llx", (unsigned long long)
							  DatumGetUInt64(hash_any_extended((const unsigned char *) key, (int) strlen(key), 0)));

	mail->from = draft.from.address;
	mail->rcpts = palloc((draft.nto + draft.ncc + draft.nbcc) * sizeof(char *));
	mail->nrcpts = 0;
	add_rcpts(mail, draft.to, draft.nto);
	add_rcpts(mail, draft.cc, draft.ncc);
	add_rcpts(mail, draft.bcc, draft.nbcc);

	initStringInfo(&out);
	write_header(&out, &draft, to_utf8(pstrdup(key)), at);
	write_body(&out, &draft);
	mail->data = out.data;
	mail->len = out.len;
}

/*
 * ecauto.mail_source(payload jsonb, sender text, key text, at timestamptz) returns text
 */
Datum
ecauto_mail_source(PG_FUNCTION_ARGS)
{
	Jsonb	   *payload = PG_GETARG_JSONB_P(0);
	char	   *sender = text_to_cstring(PG_GETARG_TEXT_PP(1));
	char	   *key = text_to_cstring(PG_GETARG_TEXT_PP(2));
	EcMail		mail;
	char	   *source;

	ec_mail_build(payload, sender, key, PG_GETARG_TIMESTAMPTZ(3), &mail);
	source = pg_any_to_server(mail.data, (int) mail.len, PG_UTF8);
	PG_RETURN_TEXT_P(source == mail.data ? cstring_to_text_with_len(mail.data, (int) mail.len) :
					 cstring_to_text(source));
}

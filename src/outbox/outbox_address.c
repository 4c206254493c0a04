/*-------------------------------------------------------------------------
 *
 * outbox_address.c
 *		Mail addresses: which are fit to be written to.
 *
 * The grammar is narrower than that of RFC 5321, on purpose: the local part is
 * a dot-string (section 4.1.2) and the domain a name.  Quoted local parts,
 * comments, source routes and addresses in brackets are legal and unheard of
 * among customers; where they occur, somebody tries something.  Characters
 * beyond ASCII are taken in both parts (RFC 6531); whether such a mail can be
 * sent shows when the server offers SMTPUTF8.
 *
 * Pure functions: no catalogs, no settings.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "outbox/outbox_address.h"

PG_FUNCTION_INFO_V1(ecauto_mail_address_problem);

/* in bytes; RFC 5321, section 4.5.3.1 */
#define LOCAL_MAX	64
#define DOMAIN_MAX	255
#define ADDRESS_MAX 254			/* a path of 256 without its brackets */
#define LABEL_MAX	63			/* RFC 1035, section 2.3.4 */

static inline bool
is_alnum(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* atext of RFC 5322, section 3.2.3, with what RFC 6532 adds */
static inline bool
is_atext(unsigned char c)
{
	return is_alnum(c) || c >= 0x80 || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/*
 * A line break or another control character could end a line of the SMTP
 * dialogue or of the header and begin another.  In UTF-8 the controls of the
 * upper half and the two separators are looked for as well.
 */
static char *
control_problem(const char *text)
{
	bool		utf8 = GetDatabaseEncoding() == PG_UTF8;

	for (const unsigned char *p = (const unsigned char *) text; *p; p++)
	{
		int			position = (int) (p - (const unsigned char *) text) + 1;

		if (*p == '\r' || *p == '\n')
			return psprintf("There is a line break at byte %d.", position);
		if (*p < 0x20 || *p == 0x7F || (utf8 && *p == 0xC2 && p[1] >= 0x80 && p[1] < 0xA0) ||
			(utf8 && *p == 0xE2 && p[1] == 0x80 && (p[2] == 0xA8 || p[2] == 0xA9)))
			return psprintf("There is a control character at byte %d.", position);
	}
	return NULL;
}

static char *
local_problem(const char *local, size_t len)
{
	if (len == 0)
		return pstrdup("There is nothing before the \"@\".");
	if (len > LOCAL_MAX)
		return psprintf("The part before the \"@\" has %zu bytes, more than %d.", len, LOCAL_MAX);
	for (size_t i = 0; i < len; i++)
	{
		if (local[i] == '.')
		{
			if (i == 0 || i == len - 1 || local[i + 1] == '.')
				return pstrdup("A dot stands at an end of the part before the \"@\", or beside another dot.");
		}
		else if (!is_atext((unsigned char) local[i]))
			return psprintf("The character \"%c\" at byte %zu is not allowed before the \"@\".",
							local[i], i + 1);
	}
	return NULL;
}

static char *
domain_problem(const char *domain)
{
	size_t		label = 0;		/* length of the current label so far */
	bool		numeric = true; /* has it nothing but digits? */

	if (*domain == '\0')
		return pstrdup("There is no domain after the \"@\".");
	if (strlen(domain) > DOMAIN_MAX)
		return psprintf("The domain has %zu bytes, more than %d.", strlen(domain), DOMAIN_MAX);
	for (const char *p = domain;; p++)
	{
		unsigned char c = (unsigned char) *p;

		if (c == '.' || c == '\0')
		{
			if (label == 0)
				return pstrdup("The domain has a dot at an end or two in a row.");
			if (label > LABEL_MAX)
				return psprintf("A part of the domain has %zu bytes, more than %d.", label, LABEL_MAX);
			if (p[-1] == '-')
				return pstrdup("A part of the domain ends with a hyphen.");
			if (c == '\0')
				break;
			label = 0;
			numeric = true;
		}
		else if (is_alnum(c) || c >= 0x80 || c == '-')
		{
			if (c == '-' && label == 0)
				return pstrdup("A part of the domain begins with a hyphen.");
			if (c < '0' || c > '9')
				numeric = false;
			label++;
		}
		else
			return psprintf("The character \"%c\" is not allowed in a domain.", c);
	}
	/* no top-level domain is a number (RFC 3696, section 2): it is an IP address */
	if (numeric)
		return pstrdup("The last part of the domain is a number.");
	return NULL;
}

char *
ec_address_problem(const char *address)
{
	const char *at = strchr(address, '@');
	char	   *problem = control_problem(address);

	if (problem != NULL)
		return problem;
	if (*address == '\0')
		return pstrdup("It is empty.");
	if (at == NULL)
		return pstrdup("It has no \"@\".");
	if (strchr(at + 1, '@') != NULL)
		return pstrdup("It has more than one \"@\".");
	if ((problem = local_problem(address, (size_t) (at - address))) != NULL)
		return problem;
	if ((problem = domain_problem(at + 1)) != NULL)
		return problem;
	if (strlen(address) > ADDRESS_MAX)
		return psprintf("It has %zu bytes, more than %d.", strlen(address), ADDRESS_MAX);
	return NULL;
}

/* A copy of text without spaces at its ends. */
static char *
trimmed(const char *text, size_t len)
{
	while (len > 0 && *text == ' ')
	{
		text++;
		len--;
	}
	while (len > 0 && text[len - 1] == ' ')
		len--;
	return pnstrdup(text, len);
}

/* Remove the quotes of a quoted-string (RFC 5322, section 3.2.4) in place; false if it is not whole. */
static bool
unquote(char *text)
{
	char	   *to = text;

	for (char *p = text + 1; *p; p++)
	{
		if (*p == '"')
		{
			*to = '\0';
			return p[1] == '\0';
		}
		if (*p == '\\' && p[1] != '\0')
			p++;
		*to++ = *p;
	}
	return false;
}

char *
ec_mailbox_parse(const char *mailbox, char **name, char **address)
{
	size_t		len = strlen(mailbox);
	char	   *problem = control_problem(mailbox);
	const char *bracket;

	if (problem != NULL)
		return problem;
	while (len > 0 && mailbox[len - 1] == ' ')
		len--;
	*name = NULL;
	if (len == 0 || mailbox[len - 1] != '>')
	{
		*address = trimmed(mailbox, len);
		return ec_address_problem(*address);
	}
	/* the name may hold brackets if it is quoted; the address never does */
	bracket = mailbox + len - 1;
	while (bracket > mailbox && *bracket != '<')
		bracket--;
	if (*bracket != '<')
		return pstrdup("There is a \">\" without a \"<\".");
	*address = pnstrdup(bracket + 1, (size_t) (mailbox + len - 1 - (bracket + 1)));
	*name = trimmed(mailbox, (size_t) (bracket - mailbox));
	if (**name == '"')
	{
		if (!unquote(*name))
			return pstrdup("The quotes around the name do not match.");
	}
	else if (strpbrk(*name, "<>") != NULL)
		return pstrdup("There is more than one address.");
	if (**name == '\0')
		*name = NULL;
	return ec_address_problem(*address);
}

char *
ec_mailbox_problem(const char *mailbox)
{
	char	   *name;
	char	   *address;

	return ec_mailbox_parse(mailbox, &name, &address);
}

/*
 * ecauto.mail_address_problem(address text) returns text
 */
Datum
ecauto_mail_address_problem(PG_FUNCTION_ARGS)
{
	char	   *problem = ec_address_problem(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}

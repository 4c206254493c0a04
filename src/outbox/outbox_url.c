/*-------------------------------------------------------------------------
 *
 * outbox_url.c
 *		What an address may look like: URLs of endpoints and paths below them.
 *
 * Pure functions: no catalogs, no settings.  A problem is told as the detail
 * of an error message, so that each caller can say what the address was for.
 *
 * The grammar is deliberately narrower than RFC 3986.  A URL has
 * no user, query or fragment: secrets belong in a user mapping, where they
 * are not shown.  A path is what a client may send without any normalising
 * on the way: a proxy that resolves ".." or "//" must have nothing to do.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <ctype.h>

#include "lib/stringinfo.h"
#include "outbox/outbox.h"

#define HOST_MAX	253			/* RFC 1035, section 2.3.4, without the root's dot */
#define PATH_MAX_BYTES 4096

static const struct
{
	const char *name;
	EcScheme	scheme;
	int			port;
} schemes[] = {
	{"http", EC_SCHEME_HTTP, 80},
	{"https", EC_SCHEME_HTTPS, 443},
	{"smtp", EC_SCHEME_SMTP, 25},
	{"smtps", EC_SCHEME_SMTPS, 465},
};

static inline bool
is_control(char c)
{
	return (unsigned char) c < 0x20 || c == 0x7F;
}

/*
 * Has the text a line break or another control character?  Then it could end
 * a header line and begin another.
 */
char *
ec_line_problem(const char *text)
{
	for (const char *p = text; *p; p++)
	{
		if (*p == '\r' || *p == '\n')
			return psprintf("There is a line break at position %d.", (int) (p - text) + 1);
		if (is_control(*p))
			return psprintf("There is a control character at position %d.",
							(int) (p - text) + 1);
	}
	return NULL;
}

/* A name of letters, digits, hyphens, dots (and underscores, which people use). */
static bool
host_is_name(const char *host)
{
	size_t		label = 0;

	if (*host == '\0' || strlen(host) > HOST_MAX)
		return false;
	for (const char *p = host; *p; p++)
	{
		if (*p == '.')
		{
			if (label == 0)
				return false;
			label = 0;
		}
		else if (isalnum((unsigned char) *p) || *p == '-' || *p == '_')
		{
			if (++label > 63)
				return false;
		}
		else
			return false;
	}
	return true;
}

static bool
host_is_ipv6(const char *host)
{
	int			colons = 0;

	for (const char *p = host; *p; p++)
	{
		if (*p == ':')
			colons++;
		else if (!isxdigit((unsigned char) *p) && *p != '.')
			return false;
	}
	return colons >= 2 && strlen(host) < 46;
}

/*
 * Does the host name this machine, by a name or number that no name server
 * is asked about?
 */
bool
ec_host_is_loopback(const char *host)
{
	if (strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0)
		return true;
	if (strncmp(host, "127.", 4) != 0)
		return false;
	for (const char *p = host; *p; p++)
		if (!isdigit((unsigned char) *p) && *p != '.')
			return false;
	return true;
}

/*
 * What is wrong with the characters of a path that starts with a slash?
 */
static char *
path_characters_problem(const char *path)
{
	for (const char *p = path; *p; p++)
	{
		unsigned char c = (unsigned char) *p;

		if (is_control(*p))
			return ec_line_problem(path);
		if (c == '%' && !(isxdigit((unsigned char) p[1]) && isxdigit((unsigned char) p[2])))
			return psprintf("There is a %% without two hexadecimal digits at position %d.",
							(int) (p - path) + 1);
		if (c >= 0x80 || strchr(" \\\"<>^`{|}", c) != NULL)
			return psprintf("The character at position %d must be written as %%%02X.",
							(int) (p - path) + 1, c);
	}
	return NULL;
}

/*
 * Does the part of a path before "?" leave the place it starts from, once
 * somebody on the way has decoded and normalised it?
 */
static char *
path_escape_problem(const char *path)
{
	const char *segment = path;

	while (*segment == '/')
	{
		int			dots = 0;
		int			others = 0;
		const char *p = ++segment;

		while (*p && *p != '/' && *p != '?')
		{
			if (*p == '%')
			{
				int			hi = tolower((unsigned char) p[1]);
				int			lo = tolower((unsigned char) p[2]);

				if (hi == '2' && lo == 'e')
					dots++;
				else if ((hi == '2' && lo == 'f') || (hi == '5' && lo == 'c'))
					return pstrdup("An encoded slash can lead out of the endpoint's url.");
				else if (hi == '0' || hi == '1' || (hi == '7' && lo == 'f'))
					return pstrdup("There is an encoded control character.");
				else
					others++;
				p += 3;
				continue;
			}
			if (*p == '.')
				dots++;
			else
				others++;
			p++;
		}
		if (others == 0 && (dots == 1 || dots == 2))
			return pstrdup("A segment \".\" or \"..\" can lead out of the endpoint's url.");
		if (others == 0 && dots == 0 && *p == '/')
			return pstrdup("An empty segment (\"//\") can lead out of the endpoint's url.");
		segment = p;
	}
	return NULL;
}

/*
 * What is wrong with the path of a message?  Right is nothing, "/...", or
 * "?..."; a query is allowed, a fragment is not.
 */
char *
ec_path_problem(const char *path)
{
	char	   *problem;

	if (*path == '\0')
		return NULL;
	if ((problem = ec_line_problem(path)) != NULL)
		return problem;
	if (*path != '/' && *path != '?')
		return pstrdup("It must start with a slash and lie below the endpoint's url.");
	if (strlen(path) > PATH_MAX_BYTES)
		return psprintf("It has %zu bytes, the limit is %d.", strlen(path), PATH_MAX_BYTES);
	if (strchr(path, '#') != NULL)
		return pstrdup("It has a fragment (\"#\").");
	if ((problem = path_characters_problem(path)) != NULL)
		return problem;
	return path_escape_problem(path);
}

/* Reads the port after a colon; -1 if it is none. */
static int
port_parse(const char *text)
{
	long		port = 0;

	if (*text == '\0' || strlen(text) > 9)
		return -1;
	for (const char *p = text; *p; p++)
	{
		if (!isdigit((unsigned char) *p))
			return -1;
		port = port * 10 + (*p - '0');
	}
	return (port >= 1 && port <= 65535) ? (int) port : -1;
}

/*
 * Take a URL apart; NULL and *url filled, or what is wrong.  The details
 * never show the URL: it may hold a password, which is one of the errors.
 */
char *
ec_url_parse(const char *text, EcUrl *url)
{
	const char *rest = strstr(text, "://");
	char	   *authority;
	char	   *colon;
	char	   *problem;
	size_t		length;
	int			which = -1;
	bool		bracketed;

	if ((problem = ec_line_problem(text)) != NULL)
		return problem;
	if (rest == NULL)
		return pstrdup("It must start with http://, https://, smtp:// or smtps://.");
	for (int i = 0; i < (int) lengthof(schemes); i++)
	{
		length = strlen(schemes[i].name);
		if ((size_t) (rest - text) == length && pg_strncasecmp(text, schemes[i].name, length) == 0)
			which = i;
	}
	if (which < 0)
		return pstrdup("The scheme must be http, https, smtp or smtps.");
	url->scheme = schemes[which].scheme;

	rest += 3;
	length = strcspn(rest, "/?#");
	authority = pnstrdup(rest, length);
	rest += length;
	if (strchr(authority, '@') != NULL)
		return pstrdup("It holds a user name or password.");
	if (strchr(rest, '?') != NULL)
		return pstrdup("It has a query (\"?\").");
	if (strchr(rest, '#') != NULL)
		return pstrdup("It has a fragment (\"#\").");

	bracketed = (authority[0] == '[');
	if (bracketed)
	{
		char	   *close = strchr(authority, ']');

		if (close == NULL || (close[1] != '\0' && close[1] != ':'))
			return pstrdup("The address in brackets is not complete.");
		*close = '\0';
		url->host = pstrdup(authority + 1);
		colon = (close[1] == ':') ? close + 1 : NULL;
		if (!host_is_ipv6(url->host))
			return pstrdup("The address in brackets is no IPv6 address.");
	}
	else
	{
		colon = strchr(authority, ':');
		url->host = colon ? pnstrdup(authority, colon - authority) : pstrdup(authority);
		if (url->host[0] == '\0')
			return pstrdup("It names no host.");
		if (!host_is_name(url->host))
			return pstrdup("The host is not a name or address.");
	}
	for (char *p = url->host; *p; p++)
		*p = (char) tolower((unsigned char) *p);

	url->port = schemes[which].port;
	if (colon != NULL)
	{
		url->port = port_parse(colon + 1);
		if (url->port < 0)
			return pstrdup("The port must be a number between 1 and 65535.");
	}

	length = strlen(rest);
	while (length > 0 && rest[length - 1] == '/')
		length--;
	url->path = pnstrdup(rest, length);
	if (EC_SCHEME_IS_MAIL(url->scheme) && length > 0)
		return pstrdup("A mail server has no path.");
	if ((problem = ec_path_problem(url->path)) != NULL)
		return problem;

	url->text = psprintf(bracketed ? "%s://[%s]:%d%s" : "%s://%s:%d%s",
						 schemes[which].name, url->host, url->port, url->path);
	return NULL;
}

/*-------------------------------------------------------------------------
 *
 * sink_smtp.c
 *		The SMTP half of the sink.
 *
 *-------------------------------------------------------------------------
 */
#include "sink.h"

static char *auth_plain;		/* expected credentials in base64; NULL: no AUTH */
static char *auth_user;
static char *auth_password;
static char *auth_name;			/* user name as logged */

static void
smtp_reply(Connection *c, const char *text)
{
	append(&c->out, text, strlen(text));
	append(&c->out, "\r\n", 2);
}

static void
smtp_shut(Connection *c, const char *text)
{
	smtp_reply(c, text);
	c->closing = true;
	c->used = c->in.len;
}

static void
smtp_transaction_reset(Connection *c)
{
	c->has_from = false;
	c->drop = false;
	c->rcpts.len = 0;
	c->nrcpt = 0;
}

static void
smtp_ehlo(Connection *c, bool extended)
{
	if (extended && without[ESMTP])
	{
		smtp_reply(c, "502 5.5.1 EHLO is not known here");
		return;
	}
	smtp_transaction_reset(c);
	c->extended = extended;
	c->greeted = true;
	if (!extended)
	{
		smtp_reply(c, "250 sink.test");
		return;
	}
	smtp_reply(c, "250-sink.test");
	if (!without[PIPELINING])
		smtp_reply(c, "250-PIPELINING");
	if (!without[SIZE])
		appendf(&c->out, "250-SIZE %ld\r\n", max_size);
	if (!without[EIGHTBITMIME])
		smtp_reply(c, "250-8BITMIME");
	if (!without[SMTPUTF8])
		smtp_reply(c, "250-SMTPUTF8");
	if (auth_plain && !without[AUTH])
		smtp_reply(c, "250-AUTH PLAIN LOGIN");
	smtp_reply(c, "250 HELP");
}

static void
smtp_auth_result(Connection *c, bool good)
{
	c->state = SMTP_COMMAND;
	c->user_known = good;
	smtp_reply(c, good ? "235 2.7.0 welcome" : "535 5.7.8 user name or password is wrong");
}

static void
smtp_auth(Connection *c, const char *argument)
{
	if (auth_plain == NULL || without[AUTH])
		smtp_reply(c, "502 5.5.1 AUTH is not known here");
	else if (strncasecmp(argument, "PLAIN", 5) == 0 && argument[5] == ' ')
		smtp_auth_result(c, strcmp(argument + 6, auth_plain) == 0);
	else if (strncasecmp(argument, "PLAIN", 5) == 0)
	{
		c->state = SMTP_AUTH_PLAIN;
		smtp_reply(c, "334 ");
	}
	else if (strncasecmp(argument, "LOGIN", 5) == 0 && argument[5] == ' ')
	{
		c->user_known = strcmp(argument + 6, auth_user) == 0;
		c->state = SMTP_AUTH_PASSWORD;
		smtp_reply(c, "334 UGFzc3dvcmQ6");	/* "Password:" */
	}
	else if (strncasecmp(argument, "LOGIN", 5) == 0)
	{
		c->state = SMTP_AUTH_USER;
		smtp_reply(c, "334 VXNlcm5hbWU6");	/* "Username:" */
	}
	else
		smtp_reply(c, "504 5.5.4 PLAIN or LOGIN");
}

/*
 * Find the address between < and >; *parameters is what follows.  The end of
 * the address is the last > before a space, since quotes may hold others.
 */
static bool
smtp_path(char *argument, char **address, size_t *len, char **parameters)
{
	char	   *end = NULL;
	bool		quoted = false;

	argument += strspn(argument, " ");
	if (*argument != '<')
		return false;
	for (char *p = argument + 1; *p && end == NULL; p++)
	{
		if (*p == '\\' && quoted && p[1])
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (*p == '>' && !quoted)
			end = p;
	}
	if (end == NULL || (end[1] != '\0' && end[1] != ' '))
		return false;
	*address = argument + 1;
	*len = (size_t) (end - *address);
	*parameters = end + 1 + strspn(end + 1, " ");
	return true;
}

static void
smtp_mail(Connection *c, char *argument)
{
	char	   *address,
			   *parameters,
			   *size;
	size_t		len;

	if (!c->greeted)
		smtp_reply(c, "503 5.5.1 EHLO first");
	else if (auth_plain && !without[AUTH] && !c->user_known)
		smtp_reply(c, "530 5.7.0 AUTH first");
	else if (c->has_from)
		smtp_reply(c, "503 5.5.1 nested MAIL");
	else if (faults[MAILS] > 0 && c->mails >= faults[MAILS])
		smtp_shut(c, "421 4.7.0 enough for one connection");
	else if (strikes(MAIL_421))
		smtp_shut(c, "421 4.3.2 closing down");
	else if (strikes(REFUSE_MAIL))
		smtp_reply(c, "550 5.7.1 not from you");
	else if (!smtp_path(argument, &address, &len, &parameters))
		smtp_reply(c, "501 5.5.4 MAIL FROM:<address>");
	else if (*parameters && !c->extended)
		smtp_reply(c, "555 5.5.4 parameters without EHLO");
	else if ((strcasestr(parameters, "SIZE=") && without[SIZE]) ||
			 (strcasestr(parameters, "BODY=") && without[EIGHTBITMIME]) ||
			 (strcasestr(parameters, "SMTPUTF8") && without[SMTPUTF8]))
		smtp_reply(c, "555 5.5.4 parameter not offered");
	else if ((size = strcasestr(parameters, "SIZE=")) != NULL && atol(size + 5) > max_size)
		smtp_reply(c, "552 5.3.4 message too big");
	else
	{
		set_text(&c->from, address, len);
		set_text(&c->parameters, parameters, strlen(parameters));
		c->has_from = true;
		smtp_reply(c, "250 2.1.0 ok");
	}
}

static void
smtp_rcpt(Connection *c, char *argument)
{
	char	   *address,
			   *parameters;
	size_t		len;

	if (!c->has_from)
	{
		smtp_reply(c, "503 5.5.1 MAIL first");
		return;
	}
	if (strikes(RCPT_421))
	{
		smtp_shut(c, "421 4.3.2 closing down");
		return;
	}
	if (!smtp_path(argument, &address, &len, &parameters) || len == 0)
	{
		smtp_reply(c, "501 5.5.4 RCPT TO:<address>");
		return;
	}
	for (size_t i = 0; i < len; i++)
	{
		if ((address[i] & 0x80) && strcasestr(c->parameters.data, "SMTPUTF8") == NULL)
		{
			stats.refused++;
			smtp_reply(c, "553 5.6.7 SMTPUTF8 needed");
			return;
		}
	}
	if (strncasecmp(address, "refuse", 6) == 0)
	{
		stats.refused++;
		smtp_reply(c, "550 5.1.1 no such user");
		return;
	}
	if (strncasecmp(address, "greylist", 8) == 0 && key_count(address, len, KEY_GREYLIST) == 0)
	{
		stats.refused++;
		smtp_reply(c, "451 4.7.1 come back later");
		return;
	}
	if (strncasecmp(address, "drop", 4) == 0 && key_count(address, len, KEY_DROP) == 0)
		c->drop = true;
	append(&c->rcpts, address, len);
	append(&c->rcpts, "", 1);
	c->nrcpt++;
	smtp_reply(c, "250 2.1.5 ok");
}

static void
smtp_data_command(Connection *c)
{
	if (c->nrcpt == 0)
		smtp_reply(c, c->has_from ? "554 5.5.1 no valid recipients" : "503 5.5.1 MAIL first");
	else if (c->used < c->in.len)
		smtp_shut(c, "503 5.5.0 data before it was asked for");
	else if (strikes(REFUSE_DATA))
		smtp_reply(c, "554 5.7.1 no data");
	else if (strikes(DEFER_DATA))
		smtp_reply(c, "451 4.3.0 no data now");
	else
	{
		smtp_reply(c, "354 go ahead");
		c->state = SMTP_DATA;
		c->scanned = 0;
	}
}

static void
smtp_log_mail(Connection *c, int64_t at, const char *data, size_t len, bool dropped)
{
	Buffer		plain = {0};
	size_t		line = 0;		/* bytes of the current line so far */
	size_t		longest = 0;
	bool		fresh = true;	/* at the start of a line? */
	bool		bare = false;
	bool		eightbit = false;
	bool		latin1;
	const char *rcpt = c->rcpts.data;

	reserve(&plain, len);
	for (size_t i = 0; i < len; i++)
	{
		bool		crlf = data[i] == '\r' && i + 1 < len && data[i + 1] == '\n';

		if (fresh && data[i] == '.')
		{
			fresh = false;
			continue;
		}
		fresh = crlf;
		eightbit |= (data[i] & 0x80) != 0;
		bare |= !crlf && (data[i] == '\r' || data[i] == '\n');
		plain.data[plain.len++] = data[i];
		if (crlf)
		{
			plain.data[plain.len++] = '\n';
			i++;
			line = 0;
		}
		else if (++line > longest)
			longest = line;
	}
	latin1 = !is_utf8(plain.data, plain.len) || !is_utf8(c->from.data, c->from.len) ||
		!is_utf8(c->rcpts.data, c->rcpts.len);

	log_start(smtp_log, c, at);
	fputs(", \"user\": ", smtp_log);
	if (c->user_known)
		json_string(smtp_log, auth_name, strlen(auth_name), false);
	else
		fputs("null", smtp_log);
	fputs(", \"mail_from\": ", smtp_log);
	json_string(smtp_log, c->from.data, c->from.len, latin1);
	fputs(", \"parameters\": ", smtp_log);
	json_string(smtp_log, c->parameters.data, c->parameters.len, latin1);
	fputs(", \"rcpt\": [", smtp_log);
	for (int i = 0; i < c->nrcpt; i++, rcpt += strlen(rcpt) + 1)
	{
		fputs(i ? ", " : "", smtp_log);
		json_string(smtp_log, rcpt, strlen(rcpt), latin1);
	}
	fputs("], \"data\": ", smtp_log);
	json_string(smtp_log, plain.data, plain.len, latin1);
	fprintf(smtp_log, ", \"eightbit\": %s, \"longest_line\": %zu, \"bare_newline\": %s%s%s}\n",
			eightbit ? "true" : "false", longest, bare ? "true" : "false",
			dropped ? ", \"dropped\": true" : "", latin1 ? ", \"latin1\": true" : "");
	free(plain.data);
}

/* The value of the Message-ID header, "" if there is none. */
static const char *
message_id(const char *data, size_t len, size_t *id_len)
{
	const char *end = memmem(data, len, "\r\n\r\n", 4);
	const char *line = data;

	end = end ? end : data + len;
	while (line < end)
	{
		const char *eol = memmem(line, (size_t) (data + len - line), "\r\n", 2);
		const char *value = header_value(line, "message-id:", 11);

		if (value)
		{
			*id_len = (size_t) (eol - value);
			return value;
		}
		line = eol + 2;
	}
	*id_len = 0;
	return "";
}

/* A mail has come whole: len bytes, the final dot and its CRLF not counted. */
static void
smtp_take(Connection *c, const char *data, size_t len)
{
	int64_t		at = now_us();
	bool		dropped = c->drop;
	const char *id;
	size_t		id_len;

	c->state = SMTP_COMMAND;
	if (strikes(REFUSE_DOT))
	{
		smtp_reply(c, "554 5.6.0 content refused");
		smtp_transaction_reset(c);
		return;
	}
	if (strikes(DEFER_DOT))
	{
		smtp_reply(c, "451 4.3.0 try again");
		smtp_transaction_reset(c);
		return;
	}
	dropped |= strikes(DROP_DOT);
	stats.mails++;
	stats.recipients += c->nrcpt;
	if (stats.first == 0)
		stats.first = at;
	stats.last = at;
	id = message_id(data, len, &id_len);
	if (id_len > 0)
		count_message(id, id_len);
	if (!quiet)
		smtp_log_mail(c, at, data, len, dropped);
	c->mails++;
	smtp_transaction_reset(c);
	if (dropped)
	{
		c->closing = true;
		c->used = c->in.len;
		return;
	}
	if (strikes(HANG_DOT))
	{
		c->wait = WAIT_FOREVER;
		return;
	}
	smtp_reply(c, "250 2.0.0 taken");
	if (faults[DELAY_DOT] > 0)
	{
		c->wait = WAIT_SEND;
		timer_set(c, at + faults[DELAY_DOT] * 1000);
	}
}

/* Look for the end of the data; false if it has not come. */
static bool
smtp_data_step(Connection *c)
{
	char	   *start = c->in.data + c->used;
	size_t		len = c->in.len - c->used;
	char	   *dot;

	if (len > 0 && strikes(DROP_DATA))
	{
		c->closing = true;
		c->used = c->in.len;
		return false;
	}
	if (len >= 3 && memcmp(start, ".\r\n", 3) == 0)
	{
		c->used += 3;
		smtp_take(c, start, 0);
		return true;
	}
	dot = len > c->scanned ? memmem(start + c->scanned, len - c->scanned, "\r\n.\r\n", 5) : NULL;
	if (dot == NULL)
	{
		c->scanned = len > 4 ? len - 4 : 0;
		return false;
	}
	c->used += (size_t) (dot - start) + 5;
	smtp_take(c, start, (size_t) (dot - start) + 2);
	return true;
}

/* Serve one command or one mail; false if the input holds no whole one. */
bool
smtp_step(Connection *c)
{
	char	   *line = c->in.data + c->used;
	char	   *end;
	size_t		len;

	if (c->state == SMTP_DATA)
		return smtp_data_step(c);
	end = memmem(line, c->in.len - c->used, "\r\n", 2);
	if (end == NULL)
	{
		if (c->in.len - c->used > MAX_HEADER)
			smtp_shut(c, "500 5.5.2 line too long");
		return false;
	}
	*end = '\0';
	len = (size_t) (end - line);
	c->used += len + 2;
	if (c->state != SMTP_COMMAND)
	{
		if (c->state == SMTP_AUTH_PLAIN)
			smtp_auth_result(c, strcmp(line, auth_plain) == 0);
		else if (c->state == SMTP_AUTH_PASSWORD)
			smtp_auth_result(c, c->user_known && strcmp(line, auth_password) == 0);
		else
		{
			c->user_known = strcmp(line, auth_user) == 0;
			c->state = SMTP_AUTH_PASSWORD;
			smtp_reply(c, "334 UGFzc3dvcmQ6");
		}
		return true;
	}
	if (c->greeted && (without[PIPELINING] || !c->extended) && c->used < c->in.len &&
		strncasecmp(line, "QUIT", 4) != 0)
	{
		smtp_shut(c, "503 5.5.0 pipelining was not offered");
		return true;
	}
	if (strncasecmp(line, "MAIL FROM:", 10) == 0)
		smtp_mail(c, line + 10);
	else if (strncasecmp(line, "RCPT TO:", 8) == 0)
		smtp_rcpt(c, line + 8);
	else if (strcasecmp(line, "DATA") == 0)
		smtp_data_command(c);
	else if (strncasecmp(line, "EHLO", 4) == 0)
		smtp_ehlo(c, true);
	else if (strncasecmp(line, "HELO", 4) == 0)
		smtp_ehlo(c, false);
	else if (strncasecmp(line, "AUTH ", 5) == 0)
		smtp_auth(c, line + 5);
	else if (strcasecmp(line, "RSET") == 0)
	{
		smtp_transaction_reset(c);
		smtp_reply(c, "250 2.0.0 ok");
	}
	else if (strcasecmp(line, "NOOP") == 0)
		smtp_reply(c, "250 2.0.0 ok");
	else if (strcasecmp(line, "QUIT") == 0)
		smtp_shut(c, "221 2.0.0 bye");
	else
		smtp_reply(c, "502 5.5.1 not known here");
	return true;
}

/* The client has connected. */
void
smtp_greet(Connection *c)
{
	if (strikes(GREET_421))
		smtp_shut(c, "421 4.3.2 not now");
	else
		smtp_reply(c, "220 sink.test ESMTP");
}

/* The client has said nothing for as long as a fault allows. */
void
smtp_idle(Connection *c)
{
	if (faults[IDLE_421] > 0)
		smtp_reply(c, "421 4.4.2 idle for too long");
	c->closing = true;
}

/* Returns data in base64; the caller frees it. */
static char *
base64(const char *data, size_t len)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = (const unsigned char *) data;
	Buffer		out = {0};

	append(&out, "", 0);
	for (; len > 0; p += 3)
	{
		uint32_t	bits = (uint32_t) p[0] << 16 | (len > 1 ? (uint32_t) p[1] << 8 : 0) | (len > 2 ? p[2] : 0u);
		char		quad[4] = {alphabet[bits >> 18], alphabet[bits >> 12 & 63],
		len > 1 ? alphabet[bits >> 6 & 63] : '=', len > 2 ? alphabet[bits & 63] : '='};

		append(&out, quad, 4);
		len -= len > 3 ? 3 : len;
	}
	return out.data;
}

/* text is "user:password" */
void
auth_set(const char *text)
{
	size_t		user_len = strcspn(text, ":");
	const char *password = text + user_len + (text[user_len] == ':');
	Buffer		plain = {0};

	append(&plain, "", 1);
	append(&plain, text, user_len);
	append(&plain, "", 1);
	append(&plain, password, strlen(password));
	auth_plain = base64(plain.data, plain.len);
	auth_user = base64(text, user_len);
	auth_password = base64(password, strlen(password));
	auth_name = strndup(text, user_len);
	free(plain.data);
}

/*-------------------------------------------------------------------------
 *
 * worker_smtp_talk.c
 *		The SMTP dialogue on one connection, after libcurl has logged in.
 *
 * This file knows no sockets: it reads c->in and writes c->out.  Every command
 * that is sent puts what it expects into c->expected, and replies are matched
 * with those in order (RFC 2920 requires servers to answer in order).
 *
 * With PIPELINING a whole group goes out at once:
 *
 *		client:	MAIL RCPT RCPT DATA							one round trip
 *		server:	250  250  550  354
 *		client:	text and final dot, MAIL RCPT DATA of the next mail
 *		server:	250, 250 250 354							another, but it serves both
 *
 * so that with a busy queue a mail costs one round trip.  The group of the
 * next mail follows the text only if no other connection could take it, since
 * it has to wait there for the server's reply to the first.  Without PIPELINING each
 * command waits for the reply to the one before.
 *
 * Where things can go wrong:
 *
 * - some recipients are refused: the mail goes to the others.
 * - all are refused: a server that says 354 to DATA nevertheless gets an empty
 *   text (RFC 2920, section 3.1); one that refuses it is told RSET before the next MAIL.
 * - MAIL is refused, but DATA is answered with 354: such a server cannot be
 *   trusted with anything, the connection is given up.
 * - 421, or the connection breaks (ec_smtp_talk_broken()): the next mail, of
 *   which only commands were sent, goes back to the queue.  So does the current
 *   one if none of its text was sent and the connection had worked before:
 *   servers close idle connections and limit mails per connection, which is
 *   no fault of the mail.  Otherwise it is to be retried.  After the
 *   final dot nobody knows whether the server has taken it, so it may arrive
 *   twice, with the same Message-ID.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "worker/worker_smtp_talk.h"

/* Texts up to this size are sent together with the commands of the next mail. */
#define SHORT_TEXT (64 * 1024)

/* RFC 5321, section 4.5.3.1.5 says 512 for a line of a reply; be generous. */
#define REPLY_MAX 8192

#define QUIT_PATIENCE 2000		/* in ms, for the reply to QUIT */

bool
ec_smtp_append(SmtpBuffer *buffer, const char *data, size_t len)
{
	if (buffer->cap - buffer->len < len + 1)
	{
		size_t		cap = (buffer->len + len + 256) * 2;
		char	   *grown = realloc(buffer->data, cap);

		if (grown == NULL)
			return false;
		buffer->data = grown;
		buffer->cap = cap;
	}
	memcpy(buffer->data + buffer->len, data, len);
	buffer->len += len;
	buffer->data[buffer->len] = '\0';
	return true;
}

/* The code that a line of a reply begins with; -1 if it is no such line. */
static int
code_of(const char *line, size_t len)
{
	int			code = 0;

	for (size_t i = 0; i < 3; i++)
	{
		if (i >= len || line[i] < '0' || line[i] > '9')
			return -1;
		code = code * 10 + (line[i] - '0');
	}
	return code;
}

/* Replies end up in tables, so nothing but ASCII passes. */
static void
make_printable(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char) text[i] < 0x20 || (unsigned char) text[i] >= 0x7F)
			text[i] = '?';
}

/* ---- what the server offers ---- */

static bool
is_keyword(const char *line, size_t len, const char *keyword)
{
	size_t		n = strlen(keyword);

	return len >= n && pg_strncasecmp(line, keyword, n) == 0 && (len == n || line[n] == ' ');
}

/*
 * Take notice of a line that libcurl received before it handed the connection
 * to us, without its line end.  Replies to EHLO are those of 250: until AUTH,
 * nothing else gets one.  After STARTTLS the server is asked anew, and
 * only that counts (RFC 3207, section 4.2).
 */
void
ec_smtp_offer_line(SmtpConnection *c, const char *line, size_t len)
{
	int			code = code_of(line, len);

	c->last_code = code;
	snprintf(c->last_reply, sizeof(c->last_reply), "%.*s", (int) len, line);
	make_printable(c->last_reply, strlen(c->last_reply));
	if (code != 250)
	{
		/* 220 after EHLO: the server agreed to STARTTLS */
		if (code == 220 && c->ehlo_done)
			c->tls = true;
		c->ehlo_seen = false;
		return;
	}
	if (!c->ehlo_seen)
	{
		/* the first line is the server's name */
		memset(&c->offer, 0, sizeof(c->offer));
		c->ehlo_seen = true;
		c->ehlo_done = true;
		return;
	}
	line += Min(len, 4);
	len -= Min(len, 4);
	if (is_keyword(line, len, "PIPELINING"))
		c->offer.pipelining = true;
	else if (is_keyword(line, len, "8BITMIME"))
		c->offer.eightbit = true;
	else if (is_keyword(line, len, "SMTPUTF8"))
		c->offer.utf8 = true;
	else if (is_keyword(line, len, "SIZE"))
	{
		char		number[32];

		c->offer.size = true;
		snprintf(number, sizeof(number), "%.*s", (int) (len - 4), line + 4);
		c->offer.size_max = strtoull(number, NULL, 10);
	}
}

/* ---- sending ---- */

static bool
expect(SmtpConnection *c, SmtpCommand command, SmtpMail *mail, int rcpt)
{
	if (c->first_expected > 0 && c->first_expected == c->nexpected)
		c->first_expected = c->nexpected = 0;
	if (c->nexpected == c->cap_expected)
	{
		int			cap = c->cap_expected * 2 + 16;
		SmtpExpected *grown = realloc(c->expected, sizeof(SmtpExpected) * cap);

		if (grown == NULL)
			return false;
		c->expected = grown;
		c->cap_expected = cap;
	}
	c->expected[c->nexpected++] = (SmtpExpected) {command, mail, rcpt};
	return true;
}

/* Append strings (ended by NULL) to what is to be sent. */
static bool
put(SmtpConnection *c, const char *string,...)
{
	va_list		args;
	bool		ok = true;

	va_start(args, string);
	for (; string && ok; string = va_arg(args, const char *))
		ok = ec_smtp_append(&c->out, string, strlen(string));
	va_end(args);
	return ok;
}

/* Send the next command of a mail's envelope: MAIL, a RCPT, or DATA. */
static bool
envelope_step(SmtpConnection *c, SmtpMail *mail)
{
	int			step = mail->step++;

	if (step == 0)
	{
		char		size[40] = "";

		if (c->offer.size)
			snprintf(size, sizeof(size), " SIZE=%zu", mail->size);
		return expect(c, SMTP_MAIL, mail, 0) &&
			put(c, "MAIL FROM:<", mail->from, ">", size,
				mail->eightbit ? " BODY=8BITMIME" : "",
				mail->utf8 ? " SMTPUTF8" : "", "\r\n", NULL);
	}
	if (step <= mail->nrcpts)
		return expect(c, SMTP_RCPT, mail, step - 1) &&
			put(c, "RCPT TO:<", mail->rcpts[step - 1].address, ">\r\n", NULL);
	return expect(c, SMTP_DATA, mail, 0) && put(c, "DATA\r\n", NULL);
}

/* Begin with a mail: send its whole envelope, or as much as the server can take. */
static bool
envelope_begin(SmtpConnection *c, SmtpMail *mail)
{
	if (c->need_reset)
	{
		c->need_reset = false;
		if (!expect(c, SMTP_RSET, mail, 0) || !put(c, "RSET\r\n", NULL))
			return false;
		if (!c->offer.pipelining)
			return true;
	}
	do
	{
		if (!envelope_step(c, mail))
			return false;
	} while (c->offer.pipelining && mail->step <= mail->nrcpts + 1);
	return true;
}

/*
 * Why the mail cannot be sent over a connection with that offer; NULL if it
 * can.  Nothing is sent then.
 */
static const char *
unsuitable(const SmtpConnection *c, const SmtpMail *mail, char *error, size_t size)
{
	if (mail->unfit)
		return "the mail has an address or a line end that cannot be sent";
	if (mail->utf8 && !c->offer.utf8)
		return "an address has characters beyond ASCII, and the mail server does not offer SMTPUTF8";
	if (mail->eightbit && !c->offer.eightbit)
		return "the mail has characters beyond ASCII, and the mail server does not offer 8BITMIME";
	if (c->offer.size && c->offer.size_max > 0 && mail->size > c->offer.size_max)
	{
		snprintf(error, size, "the mail has %zu bytes, and the mail server takes no more than %llu",
				 mail->size, c->offer.size_max);
		return error;
	}
	return NULL;
}

/* The next mail of the queue that can be sent here; NULL if there is none. */
static SmtpMail *
take_suitable(SmtpConnection *c)
{
	SmtpMail   *mail;

	while ((mail = ec_smtp_pool_take(c->pool)) != NULL)
	{
		char		buffer[128];
		const char *error = unsuitable(c, mail, buffer, sizeof(buffer));

		if (error == NULL)
			return mail;
		ec_smtp_mail_decide_rest(mail, EC_DEAD, 0, NULL, error);
		ec_smtp_pool_finish(c->pool, mail);
	}
	return NULL;
}

static void
out_of_memory(SmtpConnection *c)
{
	ec_smtp_talk_broken(c, 0, NULL, "out of memory");
}

void
ec_smtp_talk_next(SmtpConnection *c)
{
	if (c->state != SMTP_READY || c->current != NULL || c->first_expected < c->nexpected)
		return;
	c->current = take_suitable(c);
	if (c->current == NULL)
		return;
	ec_smtp_pool_deadline(c, ec_smtp_pool_timeout_ms(c->pool));
	if (!envelope_begin(c, c->current))
		out_of_memory(c);
}

void
ec_smtp_talk_quit(SmtpConnection *c)
{
	if (!expect(c, SMTP_QUIT, NULL, 0) || !put(c, "QUIT\r\n", NULL))
	{
		out_of_memory(c);
		return;
	}
	c->state = SMTP_QUITTING;
	ec_smtp_pool_deadline(c, QUIT_PATIENCE);
}

/* The server waits for the text of the current mail. */
static bool
send_text(SmtpConnection *c)
{
	SmtpMail   *mail = c->current;

	mail->data_sent = true;
	c->text_unsent = mail->wire_len;
	ec_smtp_pool_deadline(c, ec_smtp_pool_timeout_ms(c->pool));
	if (!expect(c, SMTP_TEXT, mail, 0))
		return false;
	if (mail->wire_len > SHORT_TEXT)
	{
		c->text = mail->wire;
		c->text_len = mail->wire_len;
		return true;
	}
	if (!ec_smtp_append(&c->out, mail->wire, mail->wire_len))
		return false;
	if (c->offer.pipelining && ec_smtp_pool_crowded(c->pool))
	{
		c->next = take_suitable(c);
		if (c->next)
			return envelope_begin(c, c->next);
	}
	return true;
}

void
ec_smtp_talk_written(SmtpConnection *c, size_t len)
{
	bool		all = c->text_unsent > 0 && c->text_unsent <= len;

	c->text_unsent -= Min(c->text_unsent, len);
	if (all && c->text)
	{
		/* a long text is out; the server gets time of its own to take it */
		c->text = NULL;
		ec_smtp_pool_deadline(c, ec_smtp_pool_timeout_ms(c->pool));
	}
}

/* ---- receiving ---- */

/*
 * What a reply means for a recipient: 4xx may go away, 5xx will not (RFC 5321,
 * section 4.2.1), apart from some that are not about the mail.
 */
static EcOutcome
outcome_of(SmtpCommand command, int code)
{
	if (code < 500 || code > 599)
		return EC_RETRY;
	switch (code)
	{
		case 500:				/* the server does not know what it offered: */
		case 502:
		case 503:				/* out of step */
		case 530:				/* AUTH or TLS is needed: somebody has to change the */
		case 534:				/* endpoint, and then the mail can go */
		case 535:
		case 538:
			return EC_RETRY;
		case 552:				/* as 452 for "too many recipients": RFC 5321, section 4.5.3.1.10 */
			return command == SMTP_RCPT ? EC_RETRY : EC_DEAD;
		default:
			return EC_DEAD;
	}
}

/* The current mail is decided. */
static void
finish_current(SmtpConnection *c)
{
	SmtpMail   *mail = c->current;

	c->current = NULL;
	c->proven = true;
	ec_smtp_pool_finish(c->pool, mail);
	if (c->next)
	{
		c->current = c->next;
		c->next = NULL;
		ec_smtp_pool_deadline(c, ec_smtp_pool_timeout_ms(c->pool));
	}
}

static bool
on_mail(SmtpConnection *c, SmtpMail *mail, int code, const char *reply)
{
	if (code / 100 != 2)
	{
		mail->refused = true;
		ec_smtp_mail_decide_rest(mail, outcome_of(SMTP_MAIL, code), code, reply, reply);
		if (!c->offer.pipelining)
			finish_current(c);
		return true;
	}
	return c->offer.pipelining || envelope_step(c, mail);
}

static bool
on_rcpt(SmtpConnection *c, SmtpMail *mail, int rcpt, int code, const char *reply)
{
	if (!mail->refused)
	{
		if (code / 100 == 2)
			mail->accepted++;
		else
			ec_smtp_mail_decide(mail, rcpt, outcome_of(SMTP_RCPT, code), code, reply);
	}
	if (c->offer.pipelining)
		return true;
	if (rcpt < mail->nrcpts - 1 || mail->accepted > 0)
		return envelope_step(c, mail);
	c->need_reset = true;
	finish_current(c);
	return true;
}

static bool
on_data(SmtpConnection *c, SmtpMail *mail, int code, const char *reply)
{
	if (code == 354 && mail->refused)
	{
		/* the reply to MAIL decides about the mail */
		finish_current(c);
		ec_smtp_talk_broken(c, 0, NULL, "mail server wants the text of a mail that it has refused");
		return true;
	}
	if (code == 354 && mail->accepted > 0)
		return send_text(c);
	if (code == 354)
	{
		finish_current(c);
		return expect(c, SMTP_EMPTY, NULL, 0) && put(c, ".\r\n", NULL);
	}
	if (code < 400)
	{
		/* replies and commands do not match any more */
		ec_smtp_talk_broken(c, 0, NULL, "mail server sent a reply that does not fit");
		return true;
	}
	if (mail->accepted > 0)
		ec_smtp_mail_decide_rest(mail, outcome_of(SMTP_DATA, code), code, reply, reply);
	c->need_reset = !mail->refused;
	finish_current(c);
	return true;
}

static void
on_text(SmtpConnection *c, SmtpMail *mail, int code, const char *reply)
{
	if (code / 100 == 2)
		ec_smtp_mail_decide_rest(mail, EC_DELIVERED, code, reply, NULL);
	else
		ec_smtp_mail_decide_rest(mail, outcome_of(SMTP_TEXT, code), code, reply, reply);
	finish_current(c);
}

/* A whole reply came.  reply begins with the code. */
static void
on_reply(SmtpConnection *c, int code, const char *reply)
{
	SmtpExpected expected;
	bool		ok = true;

	if (code == 421 || c->first_expected == c->nexpected)
	{
		/* RFC 5321, section 3.8: 421 may come as the reply to anything, or unasked */
		ec_smtp_talk_broken(c, code == 421 ? 421 : 0, code == 421 ? reply : NULL,
							code == 421 ? reply : "mail server sent a reply to nothing");
		return;
	}
	expected = c->expected[c->first_expected++];
	switch (expected.command)
	{
		case SMTP_RSET:
			if (code / 100 != 2)
				ec_smtp_talk_broken(c, code, reply, reply);
			else if (!c->offer.pipelining)
				ok = envelope_step(c, expected.mail);
			break;
		case SMTP_MAIL:
			ok = on_mail(c, expected.mail, code, reply);
			break;
		case SMTP_RCPT:
			ok = on_rcpt(c, expected.mail, expected.rcpt, code, reply);
			break;
		case SMTP_DATA:
			ok = on_data(c, expected.mail, code, reply);
			break;
		case SMTP_TEXT:
			if (c->text_unsent > 0)
			{
				/* it refuses in the midst of it: the rest would be taken for commands */
				ec_smtp_mail_decide_rest(expected.mail, code / 100 == 2 ? EC_RETRY : outcome_of(SMTP_TEXT, code),
										 code, reply, reply);
				finish_current(c);
				ec_smtp_talk_broken(c, 0, NULL, "mail server answered before it had the whole text");
			}
			else
				on_text(c, expected.mail, code, reply);
			break;
		case SMTP_EMPTY:
			break;
		case SMTP_QUIT:
			c->state = SMTP_GONE;
			return;
	}
	if (!ok)
		out_of_memory(c);
	ec_smtp_talk_next(c);
}

/*
 * Take a line of a reply: three digits, then a space or the end of the line if
 * it is the last one, a hyphen if more follow.
 */
static void
on_line(SmtpConnection *c, const char *line, size_t len)
{
	int			code = code_of(line, len);
	bool		last = len == 3 || (len > 3 && line[3] == ' ');
	bool		ok = true;

	if (code < 200 || code > 599 || (!last && line[3] != '-') ||
		(c->reply_code != 0 && c->reply_code != code))
	{
		ec_smtp_talk_broken(c, 0, NULL, "mail server sent something that is not SMTP");
		return;
	}

	/* the code stands in the text once, where the first line has it */
	if (c->reply_code == 0)
		ok = ec_smtp_append(&c->reply, line, 3);
	if (len > 4 && c->reply.len < REPLY_MAX)
		ok = ok && ec_smtp_append(&c->reply, " ", 1) && ec_smtp_append(&c->reply, line + 4, len - 4);
	c->reply_code = code;
	if (!ok)
	{
		out_of_memory(c);
		return;
	}
	if (last)
	{
		c->reply_code = 0;
		make_printable(c->reply.data, c->reply.len);
		on_reply(c, code, c->reply.data);
		c->reply.len = 0;
	}
}

void
ec_smtp_talk_read(SmtpConnection *c)
{
	size_t		used = 0;

	while (c->state != SMTP_GONE)
	{
		char	   *line = c->in.data + used;
		char	   *lf = memchr(line, '\n', c->in.len - used);
		size_t		len;

		if (lf == NULL)
			break;
		len = (size_t) (lf - line);
		used += len + 1;
		if (len > 0 && line[len - 1] == '\r')
			len--;
		on_line(c, line, len);
	}
	c->in.len -= used;
	memmove(c->in.data, c->in.data + used, c->in.len);
	if (c->state != SMTP_GONE && c->in.len > REPLY_MAX)
		ec_smtp_talk_broken(c, 0, NULL, "mail server sent a line that does not end");
}

/* ---- the end ---- */

void
ec_smtp_talk_broken(SmtpConnection *c, int status, const char *answer, const char *error)
{
	SmtpMail   *current = c->current;
	SmtpMail   *next = c->next;
	char		buffer[512];

	c->state = SMTP_GONE;
	c->current = NULL;
	c->next = NULL;
	c->first_expected = c->nexpected = 0;
	if (next)
		ec_smtp_pool_put_back(c->pool, next);
	if (current == NULL)
		return;
	if (c->proven && !c->overdue && !current->data_sent && !current->refused)
	{
		ec_smtp_pool_put_back(c->pool, current);
		return;
	}
	if (current->data_sent && c->text_unsent == 0 && status == 0)
	{
		snprintf(buffer, sizeof(buffer), "%s after the whole mail was sent; it may arrive twice", error);
		error = buffer;
	}
	ec_smtp_mail_decide_rest(current, EC_RETRY, status, answer, error);
	ec_smtp_pool_finish(c->pool, current);
}

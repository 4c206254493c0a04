/*-------------------------------------------------------------------------
 *
 * worker_smtp_mail.c
 *		A mail on its way through the SMTP client, and what came of it.
 *
 * A mail is one block of memory: the struct, its recipients, all strings, and
 * the text as it goes over the wire.  Replies that are kept for the report
 * are blocks of their own, chained to it.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "worker/worker_smtp_talk.h"

/* longest error text that is put together from several recipients */
#define ERROR_MAX 1000

/* A character that may not stand in an address between < and >. */
static bool
address_unfit(const char *address)
{
	for (; *address; address++)
		if ((unsigned char) *address <= 0x20 || *address == 0x7F || *address == '<' || *address == '>')
			return true;
	return false;
}

static bool
has_high_bit(const char *text, size_t len)
{
	unsigned char bits = 0;

	for (size_t i = 0; i < len; i++)
		bits |= (unsigned char) text[i];
	return (bits & 0x80) != 0;
}

static char *
copy_string(char **to, const char *string)
{
	char	   *copy = *to;
	size_t		len = strlen(string) + 1;

	memcpy(copy, string, len);
	*to += len;
	return copy;
}

/*
 * Write data to "to" with dots stuffed and the final dot (RFC 5321, section
 * 4.5.2); notes what it needs of the server.  A CR or LF alone makes the mail
 * unfit: servers differ in what they take for the end of a line, and what one
 * takes for text may be the end of the mail and new commands for another.
 */
static char *
write_wire(SmtpMail *mail, char *to, const char *data, size_t len)
{
	const char *end = data + len;
	bool		header = true;

	while (data < end)
	{
		const char *lf = memchr(data, '\n', (size_t) (end - data));
		size_t		line = (size_t) ((lf ? lf + 1 : end) - data);
		size_t		text = line;

		if (lf)
		{
			if (line < 2 || data[line - 2] != '\r')
				mail->unfit = true;
			text = line - Min(line, 2);
		}
		if (memchr(data, '\r', text) != NULL)
			mail->unfit = true;
		if (header && text == 0)
			header = false;
		if (has_high_bit(data, text))
		{
			mail->eightbit = true;
			mail->utf8 |= header;
		}
		if (*data == '.')
			*to++ = '.';
		memcpy(to, data, line);
		to += line;
		data += line;
		if (lf == NULL)
		{
			*to++ = '\r';
			*to++ = '\n';
		}
	}
	memcpy(to, ".\r\n", 3);
	return to + 3;
}

/* NULL if out of memory. */
SmtpMail *
ec_smtp_mail_create(const EcSmtpMail *source)
{
	size_t		size = sizeof(SmtpMail) + sizeof(EcSmtpRcpt) * (size_t) source->nrcpts;
	size_t		lines = 1;
	SmtpMail   *mail;
	char	   *to;

	size += strlen(source->from) + 1;
	for (int i = 0; i < source->nrcpts; i++)
		size += strlen(source->rcpts[i]) + 1;
	for (const char *p = source->data; p < source->data + source->len; p++)
	{
		p = memchr(p, '\n', (size_t) (source->data + source->len - p));
		if (p == NULL)
			break;
		lines++;
	}
	/* a dot may come to every line, CRLF to the last, and the final dot */
	size += source->len + lines + 5;

	mail = malloc(size);
	if (mail == NULL)
		return NULL;
	memset(mail, 0, sizeof(SmtpMail));
	mail->id = source->id;
	mail->nrcpts = source->nrcpts;
	mail->rcpts = (EcSmtpRcpt *) (mail + 1);
	to = (char *) (mail->rcpts + source->nrcpts);
	mail->from = copy_string(&to, source->from);
	mail->utf8 = has_high_bit(mail->from, strlen(mail->from));
	mail->unfit = source->nrcpts < 1 || address_unfit(mail->from);
	for (int i = 0; i < source->nrcpts; i++)
	{
		EcSmtpRcpt *rcpt = &mail->rcpts[i];

		rcpt->address = copy_string(&to, source->rcpts[i]);
		rcpt->outcome = EC_RELEASE;
		rcpt->status = 0;
		rcpt->answer = NULL;
		mail->utf8 |= has_high_bit(rcpt->address, strlen(rcpt->address));
		mail->unfit |= address_unfit(rcpt->address) || *rcpt->address == '\0';
	}
	mail->wire = to;
	to = write_wire(mail, to, source->data, source->len);
	mail->wire_len = (size_t) (to - mail->wire);
	mail->size = source->len;
	return mail;
}

static void
texts_free(SmtpMail *mail)
{
	while (mail->texts)
	{
		SmtpText   *text = mail->texts;

		mail->texts = text->next;
		free(text);
	}
}

void
ec_smtp_mail_free(SmtpMail *mail)
{
	texts_free(mail);
	free(mail);
}

void
ec_smtp_mail_reset(SmtpMail *mail)
{
	for (int i = 0; i < mail->nrcpts; i++)
	{
		mail->rcpts[i].outcome = EC_RELEASE;
		mail->rcpts[i].status = 0;
		mail->rcpts[i].answer = NULL;
	}
	mail->accepted = 0;
	mail->refused = false;
	mail->data_sent = false;
	mail->step = 0;
	mail->error = NULL;
	texts_free(mail);
}

/* A copy of text that lives as long as the mail; NULL if out of memory. */
static const char *
keep(SmtpMail *mail, const char *text)
{
	size_t		len;
	SmtpText   *kept;

	if (text == NULL)
		return NULL;
	/* recipients often get the same answer */
	if (mail->texts && strcmp(mail->texts->text, text) == 0)
		return mail->texts->text;
	len = strlen(text) + 1;
	kept = malloc(offsetof(SmtpText, text) + len);
	if (kept == NULL)
		return NULL;
	memcpy(kept->text, text, len);
	kept->next = mail->texts;
	mail->texts = kept;
	return kept->text;
}

void
ec_smtp_mail_decide(SmtpMail *mail, int rcpt, EcOutcome outcome, int status, const char *answer)
{
	mail->rcpts[rcpt].outcome = outcome;
	mail->rcpts[rcpt].status = status;
	mail->rcpts[rcpt].answer = keep(mail, answer);
}

/*
 * Decide what is open for all other recipients; error (NULL if there is none)
 * says it in words.
 */
void
ec_smtp_mail_decide_rest(SmtpMail *mail, EcOutcome outcome, int status, const char *answer,
						 const char *error)
{
	mail->accepted = 0;
	for (int i = 0; i < mail->nrcpts; i++)
	{
		if (mail->rcpts[i].outcome != EC_RELEASE)
			continue;
		ec_smtp_mail_decide(mail, i, outcome, status, answer);
		if (mail->error == NULL)
			mail->error = keep(mail, error);
	}
}

/*
 * Put "a@b.c: 550 no such user" of every recipient with an outcome into
 * error, and so many as fit.
 */
static void
list_refused(const SmtpMail *mail, EcOutcome outcome, char *error, size_t size)
{
	size_t		len = strlen(error);

	for (int i = 0; i < mail->nrcpts; i++)
	{
		const EcSmtpRcpt *rcpt = &mail->rcpts[i];
		int			n;

		if (rcpt->outcome != outcome)
			continue;
		n = snprintf(error + len, size - len, "%s%s: %s", len ? "; " : "", rcpt->address,
					 rcpt->answer ? rcpt->answer : "no reply");
		if (n < 0 || (size_t) n >= size - len)
		{
			/* no half entries, unless it is the only one */
			if (len > 0)
				error[len] = '\0';
			return;
		}
		len += (size_t) n;
	}
}

void
ec_smtp_mail_report(const SmtpMail *mail, EcSmtpCallback callback, void *arg)
{
	int			counts[EC_RELEASE + 1] = {0};
	char		error[ERROR_MAX] = "";
	EcSmtpResult result = {0};

	for (int i = 0; i < mail->nrcpts; i++)
		counts[mail->rcpts[i].outcome]++;
	result.id = mail->id;
	result.nrcpts = mail->nrcpts;
	result.nretry = counts[EC_RETRY];
	result.rcpts = mail->rcpts;
	if (counts[EC_RELEASE] > 0)
		result.outcome = EC_RELEASE;
	else if (counts[EC_RETRY] > 0)
		result.outcome = EC_RETRY;
	else if (counts[EC_DELIVERED] > 0)
		result.outcome = EC_DELIVERED;
	else
		result.outcome = EC_DEAD;

	for (int i = mail->nrcpts - 1; i >= 0; i--)
	{
		if (mail->rcpts[i].outcome == result.outcome)
		{
			result.status = mail->rcpts[i].status;
			result.answer = mail->rcpts[i].answer;
		}
	}
	if (mail->error)
		result.error = mail->error;
	else if (result.outcome == EC_RETRY || result.outcome == EC_DEAD || counts[EC_DEAD] > 0)
	{
		list_refused(mail, EC_RETRY, error, sizeof(error));
		list_refused(mail, EC_DEAD, error, sizeof(error));
		result.error = error;
	}
	callback(&result, arg);
}

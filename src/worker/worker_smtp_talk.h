/*-------------------------------------------------------------------------
 *
 * worker_smtp_talk.h
 *		Inside of the SMTP client: mails, connections, and who calls whom.
 *
 *		worker_smtp.c		the pool: queue, connecting, sockets, time-outs
 *		worker_smtp_talk.c	the dialogue on one connection
 *		worker_smtp_mail.c	a mail and what came of it
 *
 * All of it lives on malloc.  A mail is in exactly one place: in the queue of
 * its pool, or the current or next one of a connection; whoever takes it from
 * there hands it on or finishes it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_WORKER_SMTP_TALK_H
#define EC_WORKER_SMTP_TALK_H

#include "worker/worker_smtp.h"

/* ---- worker_smtp_mail.c ---- */

/* A reply that is kept: its text may be shared by several recipients. */
typedef struct SmtpText
{
	struct SmtpText *next;
	char		text[FLEXIBLE_ARRAY_MEMBER];
} SmtpText;

typedef struct SmtpMail
{
	struct SmtpMail *next;		/* in the queue */
	int64		id;
	int64		submitted_at;	/* in ms */
	const char *from;
	EcSmtpRcpt *rcpts;			/* outcome EC_RELEASE: not decided yet */
	int			nrcpts;
	int			accepted;		/* recipients that the server took, not decided yet */
	bool		refused;		/* MAIL was refused, so nothing else counts */
	bool		utf8;			/* needs SMTPUTF8 */
	bool		eightbit;		/* needs 8BITMIME */
	bool		unfit;			/* cannot be sent to anybody */
	bool		data_sent;		/* some of the text has left us */
	int			step;			/* next command: 0 MAIL, 1.. RCPT, then DATA */
	const char *error;			/* what went wrong with all of it; NULL: nothing */
	SmtpText   *texts;
	size_t		size;			/* of the text, as SIZE= counts */
	const char *wire;			/* text as it is sent: dots stuffed, final dot */
	size_t		wire_len;
} SmtpMail;

extern SmtpMail *ec_smtp_mail_create(const EcSmtpMail *source);
extern void ec_smtp_mail_free(SmtpMail *mail);

/* Forget what was said about it: it will be tried on another connection. */
extern void ec_smtp_mail_reset(SmtpMail *mail);

/* Decide one recipient, or all that are not decided. */
extern void ec_smtp_mail_decide(SmtpMail *mail, int rcpt, EcOutcome outcome, int status,
								const char *answer);
extern void ec_smtp_mail_decide_rest(SmtpMail *mail, EcOutcome outcome, int status,
									 const char *answer, const char *error);

/* Tell the callback; every recipient is decided.  Does not free the mail. */
extern void ec_smtp_mail_report(const SmtpMail *mail, EcSmtpCallback callback, void *arg);

/* ---- worker_smtp_talk.c ---- */

typedef struct SmtpBuffer
{
	char	   *data;
	size_t		len;
	size_t		cap;
} SmtpBuffer;

/* What a reply that we wait for will answer. */
typedef enum SmtpCommand
{
	SMTP_RSET,
	SMTP_MAIL,
	SMTP_RCPT,
	SMTP_DATA,
	SMTP_TEXT,					/* the final dot */
	SMTP_EMPTY,					/* a final dot that ends nothing */
	SMTP_QUIT
} SmtpCommand;

typedef struct SmtpExpected
{
	SmtpCommand command;
	SmtpMail   *mail;
	int			rcpt;
} SmtpExpected;

/* What the server offered in its last reply to EHLO. */
typedef struct SmtpOffer
{
	bool		pipelining;
	bool		eightbit;
	bool		utf8;
	bool		size;
	unsigned long long size_max;	/* 0: no limit told */
} SmtpOffer;

typedef enum SmtpState
{
	SMTP_CONNECTING,			/* libcurl is at it */
	SMTP_READY,					/* we speak, or could */
	SMTP_QUITTING,				/* QUIT is sent */
	SMTP_GONE					/* nothing can be sent or received any more */
} SmtpState;

typedef struct SmtpConnection
{
	EcTransfer	transfer;		/* must be first */
	EcSmtpPool *pool;
	CURL	   *easy;
	int			fd;				/* -1 while libcurl connects */
	SmtpState	state;
	bool		tls;			/* must be read and written through libcurl */
	SmtpOffer	offer;
	char		curl_error[CURL_ERROR_SIZE];

	/* replies to libcurl's part of the dialogue */
	bool		ehlo_seen;		/* the last line was of a reply to EHLO */
	bool		ehlo_done;		/* there was such a reply */
	int			last_code;
	char		last_reply[256];

	/* the dialogue */
	SmtpMail   *current;		/* whose replies come next */
	SmtpMail   *next;			/* whose commands were sent behind the text of current */
	SmtpExpected *expected;		/* replies to come, in order */
	int			first_expected;
	int			nexpected;		/* end of the array */
	int			cap_expected;
	SmtpBuffer	in;
	SmtpBuffer	reply;			/* lines of a reply so far, joined by spaces */
	int			reply_code;		/* of its lines; 0: no line yet */
	SmtpBuffer	out;
	size_t		out_sent;
	const char *text;			/* rest of a long text, sent after out */
	size_t		text_len;
	size_t		text_unsent;	/* bytes of current's text still with us */
	bool		need_reset;		/* RSET before the next MAIL */
	bool		proven;			/* took a mail or was idle: if it breaks now, that is
								 * not the fault of the mail */
	int64		deadline;		/* in ms; 0: none */
	bool		overdue;		/* the deadline has passed */
	bool		idle;			/* counted in the pool as having nothing to do */
	bool		write_failed;	/* the socket takes no more */
} SmtpConnection;

/* Use a connection that is ready: begin with the next mail of the queue, if it has none. */
extern void ec_smtp_talk_next(SmtpConnection *c);

/* Bytes came (they are in c->in). */
extern void ec_smtp_talk_read(SmtpConnection *c);

/* So many bytes of out and text were written. */
extern void ec_smtp_talk_written(SmtpConnection *c, size_t len);

extern void ec_smtp_talk_quit(SmtpConnection *c);

/*
 * The connection is of no more use: settle its mails.  status and answer are
 * the reply that ended it, if there was one.  c->state is SMTP_GONE then; the
 * pool closes it when it is back in control.
 */
extern void ec_smtp_talk_broken(SmtpConnection *c, int status, const char *answer,
								const char *error);

/* One line of a reply to EHLO, and any other line of libcurl's part. */
extern void ec_smtp_offer_line(SmtpConnection *c, const char *line, size_t len);

extern bool ec_smtp_append(SmtpBuffer *buffer, const char *data, size_t len);

/* ---- worker_smtp.c, for the dialogue ---- */

extern SmtpMail *ec_smtp_pool_take(EcSmtpPool *pool);	/* NULL: the queue is empty */
extern void ec_smtp_pool_put_back(EcSmtpPool *pool, SmtpMail *mail);
extern void ec_smtp_pool_finish(EcSmtpPool *pool, SmtpMail *mail);	/* reports and frees */

/* Should a connection take a second mail while the first is on its way? */
extern bool ec_smtp_pool_crowded(const EcSmtpPool *pool);

/* Set the deadline of a connection, so many ms from now; 0: none. */
extern void ec_smtp_pool_deadline(SmtpConnection *c, int ms);
extern int	ec_smtp_pool_timeout_ms(const EcSmtpPool *pool);

#endif							/* EC_WORKER_SMTP_TALK_H */

/*-------------------------------------------------------------------------
 *
 * sink.h
 *		Inside of the sink; sink.c says what it does.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SINK_H
#define SINK_H

#define _GNU_SOURCE
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_HEADER	(256 * 1024)	/* of an HTTP request, or an SMTP line */

typedef struct Buffer
{
	char	   *data;
	size_t		len;
	size_t		cap;
} Buffer;

typedef enum Wait
{
	WAIT_NO,					/* serve what comes in */
	WAIT_SEND,					/* output is ready, but not sent before due */
	WAIT_DRIP,					/* a byte of the output every drip ms */
	WAIT_FOREVER				/* never answer */
} Wait;

typedef enum SmtpState
{
	SMTP_COMMAND,
	SMTP_DATA,
	SMTP_AUTH_PLAIN,			/* credentials on a line of their own */
	SMTP_AUTH_USER,
	SMTP_AUTH_PASSWORD
} SmtpState;

typedef struct Connection
{
	int			fd;
	long		number;
	bool		smtp;
	Buffer		in;
	size_t		used;			/* bytes of in that are done with */
	Buffer		out;
	size_t		sent;			/* bytes of out that are written */
	size_t		fill;			/* bytes of /big still to come after out */
	bool		closing;		/* close when out is written */
	bool		want_write;		/* EPOLLOUT is set */

	Wait		wait;
	int64_t		due;			/* in us; 0: no timer */
	int64_t		drip;			/* in us */
	struct Connection *prev,	/* connections with a timer */
			   *next;

	/* SMTP */
	SmtpState	state;
	bool		extended;		/* said EHLO, not HELO */
	bool		greeted;
	bool		user_known;		/* AUTH succeeded */
	bool		has_from;
	Buffer		from;			/* reverse path, without <> */
	Buffer		parameters;		/* of MAIL */
	Buffer		rcpts;			/* accepted ones, each ended by a zero byte */
	int			nrcpt;
	bool		drop;			/* a recipient wants the mail dropped */
	int			mails;			/* taken on this connection */
	size_t		scanned;		/* bytes of the data already searched for the dot */
} Connection;

/* Faults with a count, then faults with a value. */
enum Fault
{
	GREET_421, MAIL_421, RCPT_421, REFUSE_MAIL, REFUSE_DATA, DEFER_DATA, REFUSE_DOT, DEFER_DOT,
	DROP_DATA, DROP_DOT, HANG_DOT,
	DELAY_DOT, IDLE_CLOSE, IDLE_421, MAILS, NFAULTS
};
extern long faults[NFAULTS];	/* occurrences left, -1: always; or the value; 0: off */

enum Extension
{
	ESMTP, PIPELINING, SIZE, EIGHTBITMIME, SMTPUTF8, AUTH, NEXTENSIONS
};
extern bool without[NEXTENSIONS];

typedef struct Stats
{
	long		requests;
	long		ok;				/* answered 2xx */
	long		other;			/* answered otherwise, or not at all */
	long		mails;
	long		recipients;		/* of mails taken */
	long		refused;		/* recipients answered 4xx or 5xx */
	long		keys;			/* different idempotency keys and message IDs */
	long		duplicates;		/* requests and mails whose key was seen before */
	long		connections;
	long		open;
	long		max_open;
	int64_t		first;			/* time of first and last request or mail, us */
	int64_t		last;
} Stats;

extern Stats stats;

extern const char *dir;
extern bool quiet;
extern FILE *http_log;
extern FILE *smtp_log;
extern bool logs_dirty;
extern long max_size;

/* ---- sink.c ---- */

extern void die(const char *what);
extern int64_t now_us(void);
extern void reserve(Buffer *b, size_t more);
extern void append(Buffer *b, const char *data, size_t len);
extern void appendf(Buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
extern void set_text(Buffer *b, const char *data, size_t len);
extern bool strikes(enum Fault fault);
extern bool fault_set(const char *text);
extern void timer_set(Connection *c, int64_t due);

/* The value of a header line if it has that name (given with its colon). */
static inline const char *
header_value(const char *line, const char *name, size_t name_len)
{
	if (strncasecmp(line, name, name_len) != 0)
		return NULL;
	return line + name_len + strspn(line + name_len, " \t");
}

/* ---- sink_record.c ---- */

/* kinds of keys */
enum
{
	KEY_MESSAGE = 1, KEY_FLAKY, KEY_GREYLIST, KEY_DROP
};

extern uint32_t key_count(const char *data, size_t len, uint64_t kind);
extern void count_message(const char *key, size_t len);
extern void keys_forget(void);
extern bool is_utf8(const char *data, size_t len);
extern void json_text(FILE *f, const char *data, size_t len, bool latin1);
extern void json_string(FILE *f, const char *data, size_t len, bool latin1);
extern void log_start(FILE *f, const Connection *c, int64_t at);
extern FILE *log_open(const char *name, const char *mode);

/* ---- sink_http.c, sink_smtp.c ---- */

extern bool http_step(Connection *c);
extern bool smtp_step(Connection *c);
extern void smtp_greet(Connection *c);
extern void smtp_idle(Connection *c);
extern void auth_set(const char *text);

#endif							/* SINK_H */

/*-------------------------------------------------------------------------
 *
 * sink.c
 *		An HTTP and an SMTP server that take everything, remember it, and
 *		misbehave on request: for tests, the demonstration and benchmarks.
 *
 *	cc -O2 -Wall -Wextra -o sink sink.c
 *	sink --dir DIR [--http PORT] [--smtp PORT] [--quiet] [--auth USER:PASSWORD]
 *		 [--without EXTENSION]... [--max-size BYTES] [--fault NAME[:VALUE]]...
 *
 * It listens on 127.0.0.1 only.  Port 0 takes a free one.  Once it listens it
 * writes DIR/ports in one step, for scripts to wait for:
 *
 *		HTTP_PORT=40001
 *		SMTP_PORT=40002
 *		SINK_PID=1234
 *
 * SIGTERM or SIGINT ends it.  What an earlier one wrote into DIR is forgotten.
 *
 * Every request becomes a line of JSON in DIR/http.jsonl at about the time it is
 * answered; with --quiet none (they are counted all the same):
 *
 *		{"time": 1700000000.123456, "connection": 1, "method": "POST",
 *		 "path": "/ok", "headers": {"content-type": "text/plain"}, "body": "..."}
 *
 * Header names are in lower case; the values of a repeated header are joined
 * by ", ".  A text that is not valid UTF-8 is written with one character per
 * byte (Latin-1), and "latin1": true is added.
 *
 * What the path asks for (anything else, as /ok, answers 200 {"ok":true}):
 *
 *		/s/NNN			status NNN; 429 and 503 with Retry-After: 1
 *		/s/NNN/SECONDS	the same with Retry-After: SECONDS
 *		/flaky/K		500 for the first K requests of an idempotency key (of a
 *						path, if there is no key), then 200
 *		/delay/MS		200 after MS milliseconds
 *		/hang			no answer
 *		/big/N			200 with N bytes
 *		/slow/MS		200, a byte every MS milliseconds (slow loris)
 *		/close			half an answer, then the connection is closed
 *		/drop			the connection is closed without an answer
 *		/redirect?URL	302 with Location: URL
 *
 * Not counted, not logged:
 *
 *		/stats			counters as JSON; keys and duplicates are those of the
 *						header Idempotency-Key and of Message-ID in mails
 *		/reset			counters, keys and both files start anew
 *		/fault/NAME[:VALUE]	sets a fault (below); /fault/none ends them all
 *
 * Every mail taken becomes a line in DIR/smtp.jsonl:
 *
 *		{"time": ..., "connection": 2, "user": "shop", "mail_from": "a@b.c",
 *		 "parameters": "SIZE=120", "rcpt": ["x@y.z"], "data": "...",
 *		 "eightbit": false, "longest_line": 78, "bare_newline": false}
 *
 * with data as sent, lines ended by CRLF, the dots of dot-stuffing removed;
 * longest_line counts bytes without CRLF.  "user" is null without AUTH.  Where
 * the mail was taken but the connection closed instead of an answer, "dropped":
 * true is added.  The server is stricter than most: it refuses commands that
 * were pipelined though PIPELINING was not offered, and data that came before
 * it was asked for.
 *
 * A recipient decides by the beginning of the local part:
 *
 *		refuse...		550
 *		greylist...		451 the first time, then accepted
 *		drop...			the first mail is dropped as by fault drop-dot
 *
 * Extensions for --without: ESMTP (EHLO itself), PIPELINING, SIZE, 8BITMIME,
 * SMTPUTF8, AUTH.  --auth offers AUTH PLAIN and LOGIN, and MAIL needs it then.
 *
 * Faults.  VALUE of the first group says how often (without it: always):
 *
 *		greet-421, mail-421, rcpt-421	421 and the connection is closed
 *		refuse-mail						550 to MAIL
 *		refuse-data, defer-data			554 or 451 to DATA
 *		refuse-dot, defer-dot			554 or 451 to the final dot
 *		drop-data						closes when the first data has come
 *		drop-dot						takes the mail, closes without a reply
 *		hang-dot						takes the mail, never answers
 *
 *		delay-dot:MS	the reply to the final dot comes after MS milliseconds
 *		idle-close:MS	closes an SMTP connection that was idle for so long,
 *						without a word
 *		idle-421:MS		the same, but says 421 first
 *		mails:N			421 and close at the MAIL after N mails of a connection
 *
 * Structure: one thread, one epoll set.  A connection has an input and an
 * output buffer; serve() calls http_step() or smtp_step() until the input
 * holds nothing complete any more, or the connection waits (c->wait) for its
 * time (c->due).  Answers are collected and written once per round.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_HEADER	(256 * 1024)	/* of an HTTP request, or an SMTP line */
#define FILL_CHUNK	(64 * 1024)		/* of the body of /big */

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

static const char *const fault_names[NFAULTS] = {
	"greet-421", "mail-421", "rcpt-421", "refuse-mail", "refuse-data", "defer-data", "refuse-dot",
	"defer-dot", "drop-data", "drop-dot", "hang-dot",
	"delay-dot", "idle-close", "idle-421", "mails"
};
static long faults[NFAULTS];	/* occurrences left, -1: always; or the value; 0: off */

enum Extension
{
	ESMTP, PIPELINING, SIZE, EIGHTBITMIME, SMTPUTF8, AUTH, NEXTENSIONS
};
static const char *const extension_names[NEXTENSIONS] = {
	"ESMTP", "PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "AUTH"
};
static bool without[NEXTENSIONS];

static struct
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
} stats;

static int	epoll_fd;
static Connection http_listener = {.fd = -1};
static Connection smtp_listener = {.fd = -1};
static Connection *timers;
static int64_t next_due = INT64_MAX;	/* not later than the first due of timers */
static const char *dir;
static bool quiet;
static FILE *http_log;
static FILE *smtp_log;
static bool logs_dirty;
static long max_size = 50 * 1024 * 1024;
static char *auth_plain;		/* expected credentials in base64; NULL: no AUTH */
static char *auth_user;
static char *auth_password;
static char *auth_name;			/* user name as logged */
static volatile sig_atomic_t stop;

/* ---- small things ---- */

static void
die(const char *what)
{
	fprintf(stderr, "sink: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

/* Make room for more bytes and a zero byte behind them. */
static void
reserve(Buffer *b, size_t more)
{
	if (b->cap - b->len > more)
		return;
	b->cap = (b->cap + more + 64) * 2;
	b->data = realloc(b->data, b->cap);
	if (b->data == NULL)
		die("memory");
}

static void
append(Buffer *b, const char *data, size_t len)
{
	reserve(b, len);
	memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

static void
appendf(Buffer *b, const char *format, ...)
{
	va_list		args;
	int			len;

	reserve(b, 512);
	va_start(args, format);
	len = vsnprintf(b->data + b->len, b->cap - b->len, format, args);
	va_end(args);
	if (len > 0 && (size_t) len < b->cap - b->len)
		b->len += (size_t) len;
}

static void
set_text(Buffer *b, const char *data, size_t len)
{
	b->len = 0;
	append(b, data, len);
}

/* Does one of a fault's occurrences fall due?  Uses it up. */
static bool
strikes(enum Fault fault)
{
	if (faults[fault] == 0)
		return false;
	if (faults[fault] > 0)
		faults[fault]--;
	return true;
}

/* "name" or "name:value"; false if there is no such fault */
static bool
fault_set(const char *text)
{
	size_t		len = strcspn(text, ":");

	if (strcmp(text, "none") == 0)
	{
		memset(faults, 0, sizeof(faults));
		return true;
	}
	for (int i = 0; i < NFAULTS; i++)
	{
		if (strlen(fault_names[i]) == len && strncmp(text, fault_names[i], len) == 0)
		{
			faults[i] = text[len] == ':' ? atol(text + len + 1) : -1;
			if (i >= DELAY_DOT && faults[i] < 0)
				faults[i] = 0;
			return true;
		}
	}
	return false;
}

/* ---- how often was a key seen: open addressing over 64-bit hashes ---- */

typedef struct KeyCount
{
	uint64_t	hash;			/* 0: free */
	uint32_t	count;
} KeyCount;

static KeyCount *keys;
static size_t keys_size;		/* a power of two */
static size_t keys_used;

static uint64_t
hash_bytes(const char *data, size_t len, uint64_t seed)
{
	uint64_t	h = seed ^ UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char) data[i]) * UINT64_C(0x100000001b3);
	h ^= h >> 32;
	h *= UINT64_C(0x9e3779b97f4a7c15);
	h ^= h >> 29;
	return h != 0 ? h : 1;
}

static KeyCount *
key_slot(uint64_t hash)
{
	size_t		i = hash & (keys_size - 1);

	while (keys[i].hash != 0 && keys[i].hash != hash)
		i = (i + 1) & (keys_size - 1);
	return &keys[i];
}

/*
 * Count an occurrence of a key; returns how many there were before.  Keys of
 * different kinds (seed) are different keys.  Two keys in a million share a
 * hash with a probability of 3e-8.
 */
static uint32_t
key_count(const char *data, size_t len, uint64_t seed)
{
	uint64_t	hash = hash_bytes(data, len, seed);
	KeyCount   *slot;

	if (2 * keys_used >= keys_size)
	{
		KeyCount   *old = keys;
		size_t		old_size = keys_size;

		keys_size = old_size ? old_size * 2 : 1 << 16;
		keys = calloc(keys_size, sizeof(KeyCount));
		if (keys == NULL)
			die("memory");
		for (size_t i = 0; i < old_size; i++)
			if (old[i].hash != 0)
				*key_slot(old[i].hash) = old[i];
		free(old);
	}
	slot = key_slot(hash);
	if (slot->hash == 0)
	{
		slot->hash = hash;
		keys_used++;
	}
	return slot->count++;
}

enum
{
	KEY_MESSAGE = 1, KEY_FLAKY, KEY_GREYLIST, KEY_DROP
};

static uint32_t
count_message(const char *key, size_t len)
{
	uint32_t	before = key_count(key, len, KEY_MESSAGE);

	if (before == 0)
		stats.keys++;
	else
		stats.duplicates++;
	return before;
}

/* ---- JSON lines ---- */

static bool
is_utf8(const char *data, size_t len)
{
	const unsigned char *p = (const unsigned char *) data;
	const unsigned char *end = p + len;

	while (p < end)
	{
		int			more = *p < 0x80 ? 0 : *p >= 0xC2 && *p < 0xE0 ? 1 : *p >= 0xE0 && *p < 0xF0 ? 2 :
			*p >= 0xF0 && *p < 0xF5 ? 3 : -1;

		if (more < 0 || end - p <= more ||
			(*p == 0xE0 && p[1] < 0xA0) || (*p == 0xED && p[1] > 0x9F) ||
			(*p == 0xF0 && p[1] < 0x90) || (*p == 0xF4 && p[1] > 0x8F))
			return false;
		for (int i = 1; i <= more; i++)
			if ((p[i] & 0xC0) != 0x80)
				return false;
		p += more + 1;
	}
	return true;
}

static void
json_text(FILE *f, const char *data, size_t len, bool latin1)
{
	size_t		plain = 0;		/* start of what needs no escape */

	for (size_t i = 0; i < len; i++)
	{
		unsigned char ch = (unsigned char) data[i];

		if (ch >= 0x20 && ch != '"' && ch != '\\' && ch != 0x7F && !(latin1 && ch >= 0x80))
			continue;
		fwrite(data + plain, 1, i - plain, f);
		plain = i + 1;
		switch (ch)
		{
			case '"':
			case '\\':
				fprintf(f, "\\%c", ch);
				break;
			case '\n':
				fputs("\\n", f);
				break;
			case '\r':
				fputs("\\r", f);
				break;
			default:
				fprintf(f, "\\u%04x", ch);
		}
	}
	fwrite(data + plain, 1, len - plain, f);
}

static void
json_string(FILE *f, const char *data, size_t len, bool latin1)
{
	fputc('"', f);
	json_text(f, data, len, latin1);
	fputc('"', f);
}

static void
log_start(FILE *f, const Connection *c, int64_t at)
{
	fprintf(f, "{\"time\": %lld.%06lld, \"connection\": %ld", (long long) (at / 1000000),
			(long long) (at % 1000000), c->number);
	logs_dirty = true;
}

static FILE *
log_open(const char *name, const char *mode)
{
	char		path[4096];
	FILE	   *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, mode);
	if (f == NULL)
		die(path);
	setvbuf(f, NULL, _IOFBF, 1 << 20);
	return f;
}

/* ---- connections ---- */

static void
timer_set(Connection *c, int64_t due)
{
	if (c->due == 0)
	{
		c->prev = NULL;
		c->next = timers;
		if (timers)
			timers->prev = c;
		timers = c;
	}
	c->due = due;
	if (due < next_due)
		next_due = due;
}

static void
timer_clear(Connection *c)
{
	if (c->due == 0)
		return;
	if (c->prev)
		c->prev->next = c->next;
	else
		timers = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->due = 0;
}

static void
connection_close(Connection *c)
{
	timer_clear(c);
	close(c->fd);
	free(c->in.data);
	free(c->out.data);
	free(c->from.data);
	free(c->parameters.data);
	free(c->rcpts.data);
	free(c);
	stats.open--;
}

/* Write what is to be written; false if the connection is closed. */
static bool
connection_flush(Connection *c)
{
	while (c->wait != WAIT_SEND)
	{
		size_t		len = c->out.len - c->sent;
		ssize_t		n;

		if (len == 0)
		{
			c->out.len = c->sent = 0;
			if (c->fill == 0)
				break;
			len = c->fill < FILL_CHUNK ? c->fill : FILL_CHUNK;
			reserve(&c->out, len);
			memset(c->out.data, 'x', len);
			c->out.len = len;
			c->fill -= len;
		}
		if (c->wait == WAIT_DRIP)
			len = 1;
		n = send(c->fd, c->out.data + c->sent, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
		{
			connection_close(c);
			return false;
		}
		c->sent += (size_t) n;
		if (c->wait == WAIT_DRIP && c->sent < c->out.len)
		{
			timer_set(c, now_us() + c->drip);
			break;
		}
		if (c->wait == WAIT_DRIP)
		{
			c->wait = WAIT_NO;
			timer_clear(c);
		}
	}
	if (c->closing && c->sent == c->out.len && c->wait == WAIT_NO)
	{
		connection_close(c);
		return false;
	}
	if (c->want_write != (c->out.len > c->sent && c->wait == WAIT_NO))
	{
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

		c->want_write = !c->want_write;
		if (c->want_write)
			event.events |= EPOLLOUT;
		epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
	}
	return true;
}

/* ---- HTTP ---- */

static void
http_answer(Connection *c, int status, const char *extra, const char *body)
{
	if (status >= 200 && status < 300)
		stats.ok++;
	else
		stats.other++;
	appendf(&c->out, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n%s",
			status, status < 300 ? "OK" : "No", extra, strlen(body), body);
}

static void
http_log_request(Connection *c, int64_t at, const char *method, const char *path,
				 const char *headers, const char *end, const char *body, size_t body_len)
{
	bool		latin1 = !is_utf8(headers, (size_t) (end - headers)) || !is_utf8(body, body_len) ||
		!is_utf8(path, strlen(path));

	log_start(http_log, c, at);
	fputs(", \"method\": ", http_log);
	json_string(http_log, method, strlen(method), latin1);
	fputs(", \"path\": ", http_log);
	json_string(http_log, path, strlen(path), latin1);
	fputs(", \"headers\": {", http_log);
	for (const char *line = headers; line < end;)
	{
		const char *eol = memmem(line, (size_t) (end - line), "\r\n", 2);
		const char *colon = memchr(line, ':', (size_t) (eol - line));
		bool		again = false;	/* is there an earlier line of this name? */

		if (colon)
		{
			size_t		name = (size_t) (colon - line) + 1;

			for (const char *l = headers; l < line; l = strstr(l, "\r\n") + 2)
				again |= strncasecmp(l, line, name) == 0;
			if (!again)
			{
				const char *separator = "";

				fputs(line > headers ? ", \"" : "\"", http_log);
				for (const char *p = line; p < colon; p++)
					json_text(http_log, (char[]) {*p | (*p >= 'A' && *p <= 'Z' ? 0x20 : 0)}, 1, latin1);
				fputs("\": \"", http_log);
				for (const char *l = line; l < end; l = strstr(l, "\r\n") + 2)
				{
					const char *value = l + name;
					const char *value_end = strstr(l, "\r\n");

					if (strncasecmp(l, line, name) != 0)
						continue;
					value += strspn(value, " \t");
					fputs(separator, http_log);
					json_text(http_log, value, value < value_end ? (size_t) (value_end - value) : 0, latin1);
					separator = ", ";
				}
				fputc('"', http_log);
			}
		}
		line = eol + 2;
	}
	fputs("}, \"body\": ", http_log);
	json_string(http_log, body, body_len, latin1);
	fputs(latin1 ? ", \"latin1\": true}\n" : "}\n", http_log);
}

/* /stats, /reset and /fault; false if the path is another */
static bool
http_control(Connection *c, const char *path)
{
	char		body[1024];

	if (strcmp(path, "/stats") == 0)
	{
		double		seconds = (double) (stats.last - stats.first) / 1e6;

		snprintf(body, sizeof(body),
				 "{\"requests\": %ld, \"ok\": %ld, \"other\": %ld, \"mails\": %ld, \"recipients\": %ld, "
				 "\"refused\": %ld, \"keys\": %ld, \"duplicates\": %ld, \"connections\": %ld, "
				 "\"open\": %ld, \"max_open\": %ld, \"first\": %.6f, \"last\": %.6f, \"per_second\": %.1f}\n",
				 stats.requests, stats.ok, stats.other, stats.mails, stats.recipients, stats.refused,
				 stats.keys, stats.duplicates, stats.connections, stats.open, stats.max_open,
				 (double) stats.first / 1e6, (double) stats.last / 1e6,
				 seconds > 0 ? (double) (stats.requests + stats.mails) / seconds : 0.0);
	}
	else if (strcmp(path, "/reset") == 0)
	{
		long		open = stats.open;

		memset(&stats, 0, sizeof(stats));
		stats.open = stats.max_open = open;
		memset(keys, 0, keys_size * sizeof(KeyCount));
		keys_used = 0;
		fclose(http_log);
		fclose(smtp_log);
		http_log = log_open("http.jsonl", "w");
		smtp_log = log_open("smtp.jsonl", "w");
		strcpy(body, "{\"ok\": true}\n");
	}
	else if (strncmp(path, "/fault/", 7) == 0)
		strcpy(body, fault_set(path + 7) ? "{\"ok\": true}\n" : "{\"ok\": false}\n");
	else
		return false;
	appendf(&c->out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", strlen(body));
	append(&c->out, body, strlen(body));
	return true;
}

static void
http_handle(Connection *c, const char *path, const char *key, size_t key_len)
{
	char		extra[2100] = "";
	const char *yes = "{\"ok\":true}";

	if (strncmp(path, "/s/", 3) == 0)
	{
		char	   *rest;
		int			status = (int) strtol(path + 3, &rest, 10);

		if (*rest == '/')
			snprintf(extra, sizeof(extra), "Retry-After: %.40s\r\n", rest + 1);
		else if (status == 429 || status == 503)
			strcpy(extra, "Retry-After: 1\r\n");
		http_answer(c, status, extra, status < 300 ? yes : "{\"ok\":false}");
	}
	else if (strncmp(path, "/flaky/", 7) == 0)
	{
		uint32_t	before = key_len ? key_count(key, key_len, KEY_FLAKY) :
			key_count(path, strlen(path), KEY_FLAKY);

		if ((long) before < atol(path + 7))
			http_answer(c, 500, "", "{\"ok\":false}");
		else
			http_answer(c, 200, "", yes);
	}
	else if (strncmp(path, "/delay/", 7) == 0)
	{
		http_answer(c, 200, "", yes);
		c->wait = WAIT_SEND;
		timer_set(c, now_us() + atol(path + 7) * 1000);
	}
	else if (strncmp(path, "/hang", 5) == 0)
	{
		stats.other++;
		c->wait = WAIT_FOREVER;
	}
	else if (strncmp(path, "/big/", 5) == 0)
	{
		stats.ok++;
		c->fill = strtoul(path + 5, NULL, 10);
		appendf(&c->out, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", c->fill);
	}
	else if (strncmp(path, "/slow/", 6) == 0)
	{
		http_answer(c, 200, "", yes);
		c->wait = WAIT_DRIP;
		c->drip = atol(path + 6) * 1000;
	}
	else if (strncmp(path, "/close", 6) == 0)
	{
		stats.other++;
		appendf(&c->out, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\nhalf of it");
		c->closing = true;
	}
	else if (strncmp(path, "/drop", 5) == 0)
	{
		stats.other++;
		c->closing = true;
	}
	else if (strncmp(path, "/redirect?", 10) == 0)
	{
		snprintf(extra, sizeof(extra), "Location: %.2000s\r\n", path + 10);
		http_answer(c, 302, extra, "");
	}
	else
		http_answer(c, 200, "", yes);
}

/* The value of a header line if it has that name (given with its colon). */
static const char *
header_value(const char *line, const char *name, size_t name_len)
{
	if (strncasecmp(line, name, name_len) != 0)
		return NULL;
	return line + name_len + strspn(line + name_len, " \t");
}

/* Serve one request; false if the input holds no whole one. */
static bool
http_step(Connection *c)
{
	char	   *start = c->in.data + c->used;
	size_t		len = c->in.len - c->used;
	char	   *end = memmem(start, len, "\r\n\r\n", 4);
	size_t		body_len = 0;
	const char *key = NULL;
	size_t		key_len = 0;
	bool		continues = false;
	char	   *headers,
			   *path,
			   *path_end,
			   *body;
	int64_t		at;

	if (end == NULL)
	{
		if (len > MAX_HEADER)
		{
			http_answer(c, 431, "", "");
			c->closing = true;
		}
		return false;
	}
	end += 2;					/* every header line ends before it, with CRLF */
	body = end + 2;
	headers = (char *) memmem(start, len, "\r\n", 2) + 2;
	for (char *line = headers; line < end; line = (char *) memmem(line, (size_t) (end - line), "\r\n", 2) + 2)
	{
		const char *value;

		if ((value = header_value(line, "content-length:", 15)) != NULL)
			body_len = strtoul(value, NULL, 10);
		else if ((value = header_value(line, "idempotency-key:", 16)) != NULL)
		{
			key = value;
			key_len = strcspn(value, "\r");
		}
		else if ((value = header_value(line, "expect:", 7)) != NULL)
			continues = strncasecmp(value, "100-continue", 12) == 0;
		else if ((value = header_value(line, "connection:", 11)) != NULL)
			c->closing |= strncasecmp(value, "close", 5) == 0;
		else if (header_value(line, "transfer-encoding:", 18) != NULL)
		{
			http_answer(c, 411, "", "");
			c->closing = true;
			c->used = c->in.len;
			return false;
		}
	}
	if (len < (size_t) (body - start) + body_len)
	{
		/* ask for the body once, when the header has come without any of it */
		if (continues && len == (size_t) (body - start))
			appendf(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
		c->closing = false;
		return false;
	}

	/* From here on the input is ours: the first line is cut into words. */
	path = memchr(start, ' ', (size_t) (headers - start));
	path_end = path ? strpbrk(path + 1, " \r") : NULL;
	if (path == NULL || path_end == NULL)
	{
		http_answer(c, 400, "", "");
		c->closing = true;
		c->used = c->in.len;
		return false;
	}
	*path++ = '\0';
	*path_end = '\0';
	c->used += (size_t) (body - start) + body_len;
	if (http_control(c, path))
		return true;

	at = now_us();
	stats.requests++;
	if (stats.first == 0)
		stats.first = at;
	stats.last = at;
	if (key_len > 0)
		count_message(key, key_len);
	if (!quiet)
		http_log_request(c, at, start, path, headers, end, body, body_len);
	http_handle(c, path, key, key_len);
	return true;
}

/* ---- SMTP ---- */

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
static bool
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

/* ---- the loop ---- */

/* Serve what the input holds, then write what came of it. */
static void
serve(Connection *c)
{
	while (c->wait == WAIT_NO && !c->closing && c->fill == 0 && c->used < c->in.len)
	{
		if (!(c->smtp ? smtp_step(c) : http_step(c)))
			break;
	}
	if (c->closing && !c->smtp)
		c->used = c->in.len;
	if (c->used > 0)
	{
		c->in.len -= c->used;
		memmove(c->in.data, c->in.data + c->used, c->in.len);
		c->used = 0;
	}
	if (c->smtp && c->wait == WAIT_NO && (faults[IDLE_CLOSE] > 0 || faults[IDLE_421] > 0))
		timer_set(c, now_us() + (faults[IDLE_CLOSE] + faults[IDLE_421]) * 1000);
	connection_flush(c);
}

static void
on_readable(Connection *c)
{
	ssize_t		n;

	do
	{
		reserve(&c->in, 65536);
		n = recv(c->fd, c->in.data + c->in.len, c->in.cap - c->in.len - 1, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN))
		{
			connection_close(c);
			return;
		}
		if (n > 0)
			c->in.len += (size_t) n;
	} while (n >= 65536);
	c->in.data[c->in.len] = '\0';
	serve(c);
}

/* A connection's time has come. */
static void
on_timer(Connection *c)
{
	timer_clear(c);
	if (c->wait == WAIT_DRIP)
		connection_flush(c);
	else if (c->wait == WAIT_SEND)
	{
		c->wait = WAIT_NO;
		serve(c);
	}
	else if (c->smtp && c->wait == WAIT_NO)
	{
		if (faults[IDLE_421] > 0)
			smtp_reply(c, "421 4.4.2 idle for too long");
		c->closing = true;
		connection_flush(c);
	}
}

/* Returns the number of ms until the next timer, -1 if there is none. */
static int
run_timers(void)
{
	int64_t		now = now_us();

	if (timers == NULL)
		return -1;
	if (now >= next_due)
	{
		Connection *next;

		next_due = INT64_MAX;
		for (Connection *c = timers; c; c = next)
		{
			next = c->next;
			if (c->due > now)
				next_due = c->due < next_due ? c->due : next_due;
			else
				on_timer(c);
		}
		if (timers == NULL)
			return -1;
	}
	return next_due > now ? (int) ((next_due - now) / 1000 + 1) : 0;
}

static void
on_connect(Connection *listener)
{
	int			fd;

	while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
	{
		Connection *c = calloc(1, sizeof(Connection));
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

		if (c == NULL)
			die("memory");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int) {1}, sizeof(int));
		c->fd = fd;
		c->smtp = listener->smtp;
		c->number = ++stats.connections;
		if (++stats.open > stats.max_open)
			stats.max_open = stats.open;
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
		if (c->smtp)
		{
			if (strikes(GREET_421))
				smtp_shut(c, "421 4.3.2 not now");
			else
				smtp_reply(c, "220 sink.test ESMTP");
			serve(c);
		}
	}
}

/* Returns the port. */
static int
start_listening(Connection *listener, int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port),
	.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t	len = sizeof(address);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = listener};

	listener->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &(int) {1}, sizeof(int));
	if (bind(listener->fd, (struct sockaddr *) &address, sizeof(address)) < 0)
		die("bind");
	if (listen(listener->fd, 4096) < 0)
		die("listen");
	getsockname(listener->fd, (struct sockaddr *) &address, &len);
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener->fd, &event);
	return ntohs(address.sin_port);
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
static void
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

static void
write_ports(int http_port, int smtp_port)
{
	char		from[4096],
				to[4096];
	FILE	   *f = log_open("ports.new", "w");

	if (http_port >= 0)
		fprintf(f, "HTTP_PORT=%d\n", http_port);
	if (smtp_port >= 0)
		fprintf(f, "SMTP_PORT=%d\n", smtp_port);
	fprintf(f, "SINK_PID=%ld\n", (long) getpid());
	fclose(f);
	snprintf(from, sizeof(from), "%s/ports.new", dir);
	snprintf(to, sizeof(to), "%s/ports", dir);
	if (rename(from, to) < 0)
		die(to);
}

static void
on_signal(int signo)
{
	(void) signo;
	stop = 1;
}

static void
usage(void)
{
	fputs("usage: sink --dir DIR [--http PORT] [--smtp PORT] [--quiet] [--auth USER:PASSWORD]\n"
		  "            [--without EXTENSION]... [--max-size BYTES] [--fault NAME[:VALUE]]...\n", stderr);
	exit(2);
}

int
main(int argc, char **argv)
{
	int			http_port = -1;
	int			smtp_port = -1;
	struct rlimit limit;
	struct sigaction action = {.sa_handler = on_signal};
	struct epoll_event events[512];

	for (int i = 1; i < argc; i++)
	{
		const char *option = argv[i];
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(option, "--quiet") == 0)
		{
			quiet = true;
			continue;
		}
		if (value == NULL)
			usage();
		i++;
		if (strcmp(option, "--dir") == 0)
			dir = value;
		else if (strcmp(option, "--http") == 0)
			http_port = atoi(value);
		else if (strcmp(option, "--smtp") == 0)
			smtp_port = atoi(value);
		else if (strcmp(option, "--auth") == 0)
			auth_set(value);
		else if (strcmp(option, "--max-size") == 0)
			max_size = atol(value);
		else if (strcmp(option, "--fault") == 0)
		{
			if (!fault_set(value))
				usage();
		}
		else if (strcmp(option, "--without") == 0)
		{
			int			e = 0;

			while (e < NEXTENSIONS && strcasecmp(extension_names[e], value) != 0)
				e++;
			if (e == NEXTENSIONS)
				usage();
			without[e] = true;
		}
		else
			usage();
	}
	if (dir == NULL || (http_port < 0 && smtp_port < 0))
		usage();

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
	{
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	http_log = log_open("http.jsonl", "w");
	smtp_log = log_open("smtp.jsonl", "w");
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	smtp_listener.smtp = true;
	if (http_port >= 0)
		http_port = start_listening(&http_listener, http_port);
	if (smtp_port >= 0)
		smtp_port = start_listening(&smtp_listener, smtp_port);
	write_ports(http_port, smtp_port);

	while (!stop)
	{
		int			n = epoll_wait(epoll_fd, events, 512, run_timers());

		for (int i = 0; i < n; i++)
		{
			Connection *c = events[i].data.ptr;

			if (c == &http_listener || c == &smtp_listener)
				on_connect(c);
			else if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
				on_readable(c);
			else if (connection_flush(c))
				serve(c);
		}
		if (logs_dirty)
		{
			fflush(http_log);
			fflush(smtp_log);
			logs_dirty = false;
		}
	}
	fclose(http_log);
	fclose(smtp_log);
	return 0;
}

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
 *		/s/NNN/SECONDS	the same with Retry-After: SECONDS, or a date with
 *						underscores for spaces
 *		/flaky/K		500 for the first K requests of an idempotency key (of a
 *						path, if there is no key), then 200
 *		/flaky/K/...	the same, but first whatever the rest of the path asks for,
 *						as in /flaky/1/s/429/2 or /flaky/3/hang
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
 * output buffer; serve() calls http_step() (sink_http.c) or smtp_step()
 * (sink_smtp.c) until the input holds nothing complete any more, or the
 * connection waits (c->wait) for its time (c->due).  Answers are collected
 * and written once per round.  sink_record.c remembers what came.
 *
 *-------------------------------------------------------------------------
 */
#include "sink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FILL_CHUNK	(64 * 1024)		/* of the body of /big */

static const char *const fault_names[NFAULTS] = {
	"greet-421", "mail-421", "rcpt-421", "refuse-mail", "refuse-data", "defer-data", "refuse-dot",
	"defer-dot", "drop-data", "drop-dot", "hang-dot",
	"delay-dot", "idle-close", "idle-421", "mails"
};
long		faults[NFAULTS];

static const char *const extension_names[NEXTENSIONS] = {
	"ESMTP", "PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "AUTH"
};
bool		without[NEXTENSIONS];

Stats		stats;

const char *dir;
bool		quiet;
FILE	   *http_log;
FILE	   *smtp_log;
bool		logs_dirty;
long		max_size = 50 * 1024 * 1024;

static int	epoll_fd;
static Connection http_listener = {.fd = -1};
static Connection smtp_listener = {.fd = -1};
static Connection *timers;
static int64_t next_due = INT64_MAX;	/* not later than the first due of timers */
static volatile sig_atomic_t stop;

/* ---- small things ---- */

void
die(const char *what)
{
	fprintf(stderr, "sink: %s: %s\n", what, strerror(errno));
	exit(1);
}

int64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

/* Make room for more bytes and a zero byte behind them. */
void
reserve(Buffer *b, size_t more)
{
	if (b->cap - b->len > more)
		return;
	b->cap = (b->cap + more + 64) * 2;
	b->data = realloc(b->data, b->cap);
	if (b->data == NULL)
		die("memory");
}

void
append(Buffer *b, const char *data, size_t len)
{
	reserve(b, len);
	memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void
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

void
set_text(Buffer *b, const char *data, size_t len)
{
	b->len = 0;
	append(b, data, len);
}

/* Does one of a fault's occurrences fall due?  Uses it up. */
bool
strikes(enum Fault fault)
{
	if (faults[fault] == 0)
		return false;
	if (faults[fault] > 0)
		faults[fault]--;
	return true;
}

/* "name" or "name:value"; false if there is no such fault */
bool
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

/* ---- connections ---- */

void
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
		smtp_idle(c);
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
			smtp_greet(c);
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

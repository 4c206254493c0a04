/*-------------------------------------------------------------------------
 *
 * worker_smtp.c
 *		The pool of connections to one mail server.
 *
 * Mails wait in a queue of the pool.  A connection that has nothing to do takes
 * the first one; if there is none such and the limit allows, another
 * connection is opened.  libcurl opens it: an easy handle with CONNECT_ONLY is
 * done when TCP, TLS, EHLO, STARTTLS and AUTH are, and has to stay in the
 * multi handle as long as its connection is used.  From then on the socket is
 * ours (worker_smtp_talk.c); only with TLS the bytes still pass through libcurl.
 *
 * If a connection cannot be opened and there is no other one, the server is
 * out of reach: every mail in the queue gets EC_RETRY at once, instead of one
 * after the other waiting for the same time-out.  If there are others, the
 * server probably limits connections (421 in the greeting), so the pool goes on with
 * those it has and tries again after a while.
 *
 * Connections are freed in ec_smtp_pool_run() and where a socket event ends,
 * never below a callback of libcurl.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <errno.h>
#include <sys/socket.h>
#include <time.h>

#include "worker/worker_http.h"
#include "worker/worker_poll.h"
#include "worker/worker_smtp_talk.h"

#define READ_SIZE		8192
#define CONNECT_PAUSE	1000	/* in ms, after a connection was refused while others work */
#define QUEUE_PATIENCE	50000	/* in ms, and never more than the time-out; see queue_release() */
#define RATE_WINDOW		250		/* in ms; see ec_smtp_pool_room() */

struct EcSmtpPool
{
	CURLM	   *multi;
	EcPoll	   *poll;
	EcSmtpCallback callback;
	void	   *arg;
	EcSmtpSettings settings;	/* strings are ours */
	bool		closing;

	SmtpMail   *first;			/* the queue */
	SmtpMail   *last;
	int			queued;
	int			unfinished;		/* queued, or with a connection */

	SmtpConnection **connections;
	int			nconnections;
	int			nconnecting;
	int			nidle;
	int64		connect_at;		/* in ms: no new connection before; 0: at once */
	int64		next_deadline;	/* in ms: not after the first one; 0: there is none */

	int64		window_start;	/* in ms */
	int			window_finished;	/* mails since then */
	int			rate;			/* mails in the last whole window */
};

static int64
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- settings ---- */

void
ec_smtp_settings(const EcEndpoint *endpoint, EcSmtpSettings *settings)
{
	memset(settings, 0, sizeof(*settings));
	settings->host = endpoint->host;
	settings->port = endpoint->port;
	settings->tls = endpoint->scheme == EC_SCHEME_SMTPS;
	settings->starttls = endpoint->starttls;
	settings->verify_peer = endpoint->verify_peer;
	settings->ca_file = endpoint->ca_file;
	settings->username = endpoint->username;
	settings->password = endpoint->password;
	settings->connections = endpoint->concurrency;
	settings->timeout = endpoint->timeout;
	settings->idle_timeout = 30000;
}

static bool
copy_setting(const char **setting)
{
	if (*setting == NULL)
		return true;
	*setting = strdup(*setting);
	return *setting != NULL;
}

static void
settings_free(EcSmtpSettings *settings)
{
	free((char *) settings->host);
	free((char *) settings->starttls);
	free((char *) settings->ca_file);
	free((char *) settings->username);
	free((char *) settings->password);
	free((char *) settings->helo);
}

/* ---- the queue ---- */

SmtpMail *
ec_smtp_pool_take(EcSmtpPool *pool)
{
	SmtpMail   *mail = pool->first;

	if (mail == NULL)
		return NULL;
	pool->first = mail->next;
	if (pool->first == NULL)
		pool->last = NULL;
	mail->next = NULL;
	pool->queued--;
	return mail;
}

void
ec_smtp_pool_put_back(EcSmtpPool *pool, SmtpMail *mail)
{
	ec_smtp_mail_reset(mail);
	mail->next = pool->first;
	pool->first = mail;
	if (pool->last == NULL)
		pool->last = mail;
	pool->queued++;
}

void
ec_smtp_pool_finish(EcSmtpPool *pool, SmtpMail *mail)
{
	pool->unfinished--;
	pool->window_finished++;
	ec_smtp_mail_report(mail, pool->callback, pool->arg);
	ec_smtp_mail_free(mail);
}

bool
ec_smtp_pool_crowded(const EcSmtpPool *pool)
{
	return pool->nconnecting == 0 &&
		(pool->nconnections >= pool->settings.connections || pool->connect_at != 0);
}

/* Nothing can be sent now: every waiting mail has to be tried later. */
static void
queue_fail(EcSmtpPool *pool, int status, const char *answer, const char *error)
{
	/* mails submitted by the callback are not meant */
	int			n = pool->queued;

	while (n-- > 0)
	{
		SmtpMail   *mail = ec_smtp_pool_take(pool);

		ec_smtp_mail_decide_rest(mail, EC_RETRY, status, answer, error);
		ec_smtp_pool_finish(pool, mail);
	}
}

static int64
queue_patience(const EcSmtpPool *pool)
{
	return Min(pool->settings.timeout, QUEUE_PATIENCE);
}

/*
 * Give back the mails that have waited for too long.  The caller holds them
 * for a limited time; a server that hangs with a long queue must not make it
 * so long that somebody else sends them too.
 */
static void
queue_release(EcSmtpPool *pool, int64 now)
{
	/* what comes back to the queue comes to its front, so the first is the oldest */
	while (pool->first && pool->first->submitted_at + queue_patience(pool) <= now)
		ec_smtp_pool_finish(pool, ec_smtp_pool_take(pool));
}

/* ---- time ---- */

void
ec_smtp_pool_deadline(SmtpConnection *c, int ms)
{
	EcSmtpPool *pool = c->pool;

	c->deadline = ms > 0 ? now_ms() + ms : 0;
	if (c->deadline != 0 && (pool->next_deadline == 0 || c->deadline < pool->next_deadline))
		pool->next_deadline = c->deadline;
}

int
ec_smtp_pool_timeout_ms(const EcSmtpPool *pool)
{
	return pool->settings.timeout;
}

/* ---- sockets ---- */

static void connection_ready(int fd, int events, void *arg);

/* Returns the number of bytes, 0 if it has to wait, -1 if the connection is broken. */
static ssize_t
socket_write(SmtpConnection *c, const char *data, size_t len)
{
	ssize_t		n;

	if (c->tls)
	{
		size_t		sent = 0;
		CURLcode	code = curl_easy_send(c->easy, data, len, &sent);

		if (code == CURLE_AGAIN)
			return 0;
		return code == CURLE_OK ? (ssize_t) sent : -1;
	}
	n = send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
	return n;
}

/* Returns the number of bytes, 0 if there are none, -1 if the connection is closed or broken. */
static ssize_t
socket_read(SmtpConnection *c, char *data, size_t size)
{
	ssize_t		n;

	if (c->tls)
	{
		size_t		got = 0;
		CURLcode	code = curl_easy_recv(c->easy, data, size, &got);

		if (code == CURLE_AGAIN)
			return 0;
		return code == CURLE_OK && got > 0 ? (ssize_t) got : -1;
	}
	n = recv(c->fd, data, size, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
	return n > 0 ? n : -1;
}

/* Write what can be written; the rest waits for the socket. */
static void
connection_flush(SmtpConnection *c)
{
	while (c->state != SMTP_GONE && !c->write_failed)
	{
		bool		command = c->out_sent < c->out.len;
		size_t		len = command ? c->out.len - c->out_sent : c->text ? c->text_len : 0;
		ssize_t		n;

		if (len == 0)
			break;
		n = socket_write(c, command ? c->out.data + c->out_sent : c->text, len);
		if (n == 0)
			break;
		if (n < 0)
		{
			/* what the server said before it closed, we read first */
			c->write_failed = true;
			break;
		}
		if (command)
			c->out_sent += (size_t) n;
		else
		{
			c->text += n;
			c->text_len -= (size_t) n;
		}
		ec_smtp_talk_written(c, (size_t) n);
	}
	if (c->out_sent == c->out.len)
		c->out_sent = c->out.len = 0;
}

/* Read all there is and act on it. */
static void
connection_read(SmtpConnection *c)
{
	while (c->state != SMTP_GONE)
	{
		char		buffer[READ_SIZE];
		ssize_t		n = socket_read(c, buffer, sizeof(buffer));

		if (n == 0)
			break;
		if (n < 0)
		{
			ec_smtp_talk_broken(c, 0, NULL, "mail server closed the connection");
			break;
		}
		if (!ec_smtp_append(&c->in, buffer, (size_t) n))
		{
			ec_smtp_talk_broken(c, 0, NULL, "out of memory");
			break;
		}
		ec_smtp_talk_read(c);
		/* libcurl may hold bytes that the socket does not show any more */
		if (!c->tls && n < (ssize_t) sizeof(buffer))
			break;
	}
	if (c->write_failed && c->state != SMTP_GONE)
		ec_smtp_talk_broken(c, 0, NULL, "mail server closed the connection");
}

static void
connection_free(SmtpConnection *c)
{
	EcSmtpPool *pool = c->pool;

	if (c->fd >= 0)
		ec_poll_forget(pool->poll, c->fd);
	if (c->easy)
	{
		curl_multi_remove_handle(pool->multi, c->easy);
		curl_easy_cleanup(c->easy);
	}
	for (int i = 0; i < pool->nconnections; i++)
	{
		if (pool->connections[i] == c)
			pool->connections[i] = pool->connections[--pool->nconnections];
	}
	if (c->idle)
		pool->nidle--;
	free(c->expected);
	free(c->in.data);
	free(c->reply.data);
	free(c->out.data);
	free(c);
}

/* Bring everything in line with what the connection is doing now; may free it. */
static void
connection_settle(SmtpConnection *c)
{
	EcSmtpPool *pool = c->pool;
	bool		idle;

	connection_flush(c);
	if (c->write_failed)
		connection_read(c);
	if (c->state == SMTP_GONE)
	{
		connection_free(c);
		return;
	}
	idle = c->state == SMTP_READY && c->current == NULL && c->first_expected == c->nexpected;
	if (idle != c->idle)
	{
		c->idle = idle;
		pool->nidle += idle ? 1 : -1;
		if (idle)
		{
			c->proven = true;
			ec_smtp_pool_deadline(c, pool->settings.idle_timeout);
		}
	}
	if (!ec_poll_want(pool->poll, c->fd,
					  EC_POLL_IN | (c->out.len > c->out_sent || c->text ? EC_POLL_OUT : 0),
					  connection_ready, c))
	{
		ec_smtp_talk_broken(c, 0, NULL, "out of memory");
		connection_free(c);
	}
}

static void
connection_ready(int fd, int events, void *arg)
{
	SmtpConnection *c = arg;

	if (events & EC_POLL_OUT)
		connection_flush(c);
	if (events & (EC_POLL_IN | EC_POLL_ERR))
		connection_read(c);
	connection_settle(c);
}

/* ---- connecting ---- */

static size_t
header_line(char *data, size_t size, size_t n, void *arg)
{
	size_t		len = size * n;

	while (len > 0 && (data[len - 1] == '\n' || data[len - 1] == '\r'))
		len--;
	ec_smtp_offer_line(arg, data, len);
	return size * n;
}

static size_t
body_ignored(char *data, size_t size, size_t n, void *arg)
{
	return size * n;
}

/* Say what went wrong, in words that lead to a remedy. */
static void
connect_error(const SmtpConnection *c, CURLcode result, char *error, size_t size)
{
	const char *starttls = c->pool->settings.starttls;
	const char *detail = c->curl_error[0] ? c->curl_error : curl_easy_strerror(result);

	if (result == CURLE_LOGIN_DENIED)
		snprintf(error, size, "mail server refused the user name or password: %s", c->last_reply);
	else if (result == CURLE_USE_SSL_FAILED && starttls && strcmp(starttls, "require") == 0)
		snprintf(error, size, "mail server does not offer STARTTLS, and option starttls of the endpoint requires it");
	else if (result == CURLE_PEER_FAILED_VERIFICATION)
		snprintf(error, size, "certificate of the mail server could not be verified: %s", detail);
	else if (result == CURLE_OPERATION_TIMEDOUT)
		snprintf(error, size, "could not connect to mail server within %d ms", c->pool->settings.timeout);
	else if (c->last_code >= 400)
		snprintf(error, size, "mail server refused the connection: %s", c->last_reply);
	else
		snprintf(error, size, "could not connect to mail server: %s", detail);
	for (char *p = error; *p; p++)
		if ((unsigned char) *p < 0x20 || (unsigned char) *p >= 0x7F)
			*p = '?';
}

static void
connect_failed(SmtpConnection *c, CURLcode result)
{
	EcSmtpPool *pool = c->pool;
	int			status = c->last_code >= 400 ? c->last_code : 0;
	char		answer[sizeof(c->last_reply)];
	char		error[CURL_ERROR_SIZE + 128];

	connect_error(c, result, error, sizeof(error));
	strlcpy(answer, c->last_reply, sizeof(answer));
	connection_free(c);
	if (pool->nconnections > 0)
		pool->connect_at = now_ms() + CONNECT_PAUSE;
	else
	{
		pool->connect_at = 0;
		queue_fail(pool, status, status ? answer : NULL, error);
	}
}

/* libcurl is done with connecting, or gave up. */
static void
connect_done(EcTransfer *transfer, CURL *easy, CURLcode result)
{
	SmtpConnection *c = (SmtpConnection *) transfer;
	EcSmtpPool *pool = c->pool;
	curl_socket_t fd = CURL_SOCKET_BAD;

	pool->nconnecting--;
	if (result == CURLE_OK)
		result = curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd);
	if (result == CURLE_OK && fd == CURL_SOCKET_BAD)
		result = CURLE_COULDNT_CONNECT;
	if (result != CURLE_OK)
	{
		connect_failed(c, result);
		return;
	}
	c->fd = fd;
	c->state = SMTP_READY;
	ec_smtp_talk_next(c);
	connection_settle(c);
}

static CURL *
easy_create(SmtpConnection *c)
{
	const EcSmtpSettings *settings = &c->pool->settings;
	bool		brackets = strchr(settings->host, ':') != NULL;
	char		url[1024];
	CURL	   *easy = curl_easy_init();

	if (easy == NULL)
		return NULL;
	snprintf(url, sizeof(url), "%s://%s%s%s:%d/%s", settings->tls ? "smtps" : "smtp",
			 brackets ? "[" : "", settings->host, brackets ? "]" : "", settings->port,
			 settings->helo ? settings->helo : "");
	curl_easy_setopt(easy, CURLOPT_URL, url);
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
#else
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long) (CURLPROTO_SMTP | CURLPROTO_SMTPS));
#endif
	curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) settings->timeout);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) settings->timeout);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, c->curl_error);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, header_line);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, c);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, body_ignored);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, &c->transfer);
	ec_multi_share(easy);
	if (!settings->tls && settings->starttls && strcmp(settings->starttls, "require") == 0)
		curl_easy_setopt(easy, CURLOPT_USE_SSL, (long) CURLUSESSL_ALL);
	else if (!settings->tls && settings->starttls && strcmp(settings->starttls, "try") == 0)
		curl_easy_setopt(easy, CURLOPT_USE_SSL, (long) CURLUSESSL_TRY);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, settings->verify_peer ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, settings->verify_peer ? 2L : 0L);
	if (settings->ca_file)
	{
		curl_easy_setopt(easy, CURLOPT_CAINFO, settings->ca_file);
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	}
	if (settings->username)
	{
		curl_easy_setopt(easy, CURLOPT_USERNAME, settings->username);
		curl_easy_setopt(easy, CURLOPT_PASSWORD, settings->password ? settings->password : "");
		curl_easy_setopt(easy, CURLOPT_SASL_IR, 1L);
	}
	return easy;
}

/* False if out of memory. */
static bool
connection_open(EcSmtpPool *pool)
{
	SmtpConnection *c = calloc(1, sizeof(SmtpConnection));

	if (c == NULL)
		return false;
	c->transfer.done = connect_done;
	c->pool = pool;
	c->fd = -1;
	c->state = SMTP_CONNECTING;
	c->tls = pool->settings.tls;
	c->easy = easy_create(c);
	if (c->easy == NULL || curl_multi_add_handle(pool->multi, c->easy) != CURLM_OK)
	{
		curl_easy_cleanup(c->easy);
		free(c);
		return false;
	}
	pool->connections[pool->nconnections++] = c;
	pool->nconnecting++;
	return true;
}

/* ---- the pool ---- */

EcSmtpPool *
ec_smtp_pool_create(CURLM *multi, struct EcPoll *poll, const EcSmtpSettings *settings,
					EcSmtpCallback callback, void *arg)
{
	EcSmtpPool *pool = calloc(1, sizeof(EcSmtpPool));
	EcSmtpSettings *own;

	if (pool == NULL)
		return NULL;
	pool->multi = multi;
	pool->poll = poll;
	pool->callback = callback;
	pool->arg = arg;
	own = &pool->settings;
	*own = *settings;
	own->host = own->starttls = own->ca_file = own->username = own->password = own->helo = NULL;
	own->connections = Max(own->connections, 1);
	own->timeout = Max(own->timeout, 1);
	pool->connections = calloc((size_t) own->connections, sizeof(SmtpConnection *));
	if (pool->connections == NULL ||
		!(own->host = settings->host, copy_setting(&own->host)) ||
		!(own->starttls = settings->starttls, copy_setting(&own->starttls)) ||
		!(own->ca_file = settings->ca_file, copy_setting(&own->ca_file)) ||
		!(own->username = settings->username, copy_setting(&own->username)) ||
		!(own->password = settings->password, copy_setting(&own->password)) ||
		!(own->helo = settings->helo, copy_setting(&own->helo)))
	{
		settings_free(own);
		free(pool->connections);
		free(pool);
		return NULL;
	}
	return pool;
}

void
ec_smtp_pool_destroy(EcSmtpPool *pool)
{
	pool->closing = true;
	while (pool->nconnections > 0)
	{
		SmtpConnection *c = pool->connections[0];
		SmtpMail   *current = c->current;

		if (c->state == SMTP_CONNECTING)
			pool->nconnecting--;
		else if (current && current->data_sent && c->text_unsent == 0)
			ec_smtp_talk_broken(c, 0, NULL, "delivery was stopped");
		else if (current == NULL && c->state == SMTP_READY)
		{
			/* polite, but nobody waits for the answer */
			ec_smtp_talk_quit(c);
			connection_flush(c);
		}
		if (c->next)
			ec_smtp_pool_put_back(pool, c->next);
		if (c->current)
			ec_smtp_pool_put_back(pool, c->current);
		connection_free(c);
	}
	while (pool->first)
		ec_smtp_pool_finish(pool, ec_smtp_pool_take(pool));
	settings_free(&pool->settings);
	free(pool->connections);
	free(pool);
}

bool
ec_smtp_pool_submit(EcSmtpPool *pool, const EcSmtpMail *source)
{
	SmtpMail   *mail = pool->closing ? NULL : ec_smtp_mail_create(source);

	if (mail == NULL)
		return false;
	mail->submitted_at = now_ms();
	if (pool->last)
		pool->last->next = mail;
	else
		pool->first = mail;
	pool->last = mail;
	pool->queued++;
	pool->unfinished++;
	return true;
}

void
ec_smtp_pool_recall(EcSmtpPool *pool, bool (*stays) (int64 id, void *arg), void *arg)
{
	SmtpMail  **link = &pool->first;
	SmtpMail   *last = NULL;

	while (*link != NULL)
	{
		SmtpMail   *mail = *link;

		if (stays(mail->id, arg))
		{
			last = mail;
			link = &mail->next;
			continue;
		}
		*link = mail->next;
		pool->queued--;
		ec_smtp_pool_finish(pool, mail);
	}
	pool->last = last;
}

/* Give up what is overdue, close what was idle for long. */
static void
deadlines_check(EcSmtpPool *pool, int64 now)
{
	pool->next_deadline = 0;
	/* backwards, since a freed connection is replaced by the last one */
	for (int i = pool->nconnections - 1; i >= 0; i--)
	{
		SmtpConnection *c = pool->connections[i];

		if (c->deadline != 0 && c->deadline <= now)
		{
			char		error[128];

			c->deadline = 0;
			if (c->state == SMTP_QUITTING)
				c->state = SMTP_GONE;
			else if (c->idle)
				ec_smtp_talk_quit(c);
			else
			{
				c->overdue = true;
				snprintf(error, sizeof(error), "mail server did not answer within %d ms",
						 pool->settings.timeout);
				ec_smtp_talk_broken(c, 0, NULL, error);
			}
			connection_settle(c);
		}
		else if (c->deadline != 0 && (pool->next_deadline == 0 || c->deadline < pool->next_deadline))
			pool->next_deadline = c->deadline;
	}
}

/* Could a waiting mail get a connection, or a new one be opened for it? */
static bool
can_dispatch(const EcSmtpPool *pool, int64 now)
{
	return pool->queued > 0 &&
		(pool->nidle > 0 ||
		 (pool->nconnections < pool->settings.connections &&
		  pool->queued > pool->nconnecting && pool->connect_at <= now));
}

static void
dispatch(EcSmtpPool *pool, int64 now)
{
	for (int i = pool->nconnections - 1; i >= 0 && pool->nidle > 0 && pool->queued > 0; i--)
	{
		SmtpConnection *c = pool->connections[i];

		if (!c->idle)
			continue;
		ec_smtp_talk_next(c);
		connection_settle(c);
	}
	if (pool->connect_at != 0 && pool->connect_at <= now)
		pool->connect_at = 0;
	while (can_dispatch(pool, now) && pool->nidle == 0)
	{
		if (!connection_open(pool))
		{
			if (pool->nconnections == 0)
				queue_fail(pool, 0, NULL, "out of memory");
			else
				pool->connect_at = now + CONNECT_PAUSE;
		}
	}
}

void
ec_smtp_pool_run(EcSmtpPool *pool)
{
	int64		now = now_ms();

	if (now - pool->window_start >= RATE_WINDOW)
	{
		pool->rate = pool->window_finished;
		pool->window_finished = 0;
		pool->window_start = now;
	}
	if (pool->next_deadline != 0 && pool->next_deadline <= now)
		deadlines_check(pool, now);
	if (pool->queued > 0)
		queue_release(pool, now);
	if (pool->queued > 0)
		dispatch(pool, now);
}

long
ec_smtp_pool_timeout(const EcSmtpPool *pool)
{
	int64		now = now_ms();
	int64		at = pool->next_deadline;

	if (can_dispatch(pool, now))
		return 0;
	if (pool->first && (at == 0 || pool->first->submitted_at + queue_patience(pool) < at))
		at = pool->first->submitted_at + queue_patience(pool);
	if (pool->queued > 0 && pool->connect_at > now && (at == 0 || pool->connect_at < at))
		at = pool->connect_at;
	return at == 0 ? -1 : (long) Max(at - now, 0);
}

int
ec_smtp_pool_unfinished(const EcSmtpPool *pool)
{
	return pool->unfinished;
}

/*
 * Two mails a connection, or what the pool sends in a second at the rate of
 * late.  So a fast server gets batches that are worth a transaction, and the
 * mails for a slow one stay in the table.
 */
int
ec_smtp_pool_room(const EcSmtpPool *pool)
{
	int			rate = Max(pool->rate, pool->window_finished) * (1000 / RATE_WINDOW);

	return Max(Max(pool->settings.connections * 2, rate) - pool->unfinished, 0);
}

int
ec_smtp_pool_connections(const EcSmtpPool *pool)
{
	return pool->nconnections - pool->nconnecting;
}

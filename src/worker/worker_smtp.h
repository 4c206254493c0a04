/*-------------------------------------------------------------------------
 *
 * worker_smtp.h
 *		An event-driven SMTP client: many mails over few kept connections.
 *
 * libcurl's own SMTP transfer blocks its whole multi handle while it waits for
 * the reply to the final dot (curl issue 8555), so libcurl only connects here:
 * TCP, TLS, EHLO, STARTTLS, AUTH (CURLOPT_CONNECT_ONLY).  MAIL, RCPT, DATA and
 * the text are spoken by worker_smtp.c, pipelined where the server offers it.
 *
 * Nothing in here raises an error or uses a memory context: it runs outside
 * transactions, partly below libcurl, and lives on malloc.  What happens to a
 * mail is told by a callback, exactly once for each accepted submit.
 *
 * How a loop drives it (one multi handle and one EcPoll for HTTP and mail):
 *
 *		pool = ec_smtp_pool_create(multi, poll, &settings, on_result, arg);
 *		ec_smtp_pool_submit(pool, &mail);		-- any number, at any time
 *		each round:
 *			for each pool: ec_smtp_pool_run(pool);
 *			wait for ec_poll_fd(poll), at most the least of libcurl's timer and
 *				ec_smtp_pool_timeout() of each pool
 *			ec_poll_dispatch(poll);				-- results come from here ...
 *			while ((msg = curl_multi_info_read(multi, &left)))
 *				ec_transfer_done(msg);			-- ... from here, and from run
 *
 * While libcurl connects, the socket is watched through the multi handle's
 * socket callback like any other; afterwards the pool itself asks the EcPoll.
 *
 * Every easy handle in the multi handle has CURLOPT_PRIVATE pointing to a
 * struct that begins with an EcTransfer, so that the loop can tell whose it is.
 * The multi handle must not count mail connections against HTTP: leave
 * CURLMOPT_MAX_TOTAL_CONNECTIONS and CURLMOPT_MAX_HOST_CONNECTIONS at 0, or
 * high enough, and add the pools' connections to CURLMOPT_MAXCONNECTS.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_WORKER_SMTP_H
#define EC_WORKER_SMTP_H

#include "compat/compat.h"

#include <curl/curl.h>

#include "outbox/outbox.h"

struct EcPoll;					/* worker_poll.h */

/* ---- whose transfer has ended ---- */

typedef struct EcTransfer EcTransfer;
struct EcTransfer
{
	void		(*done) (EcTransfer *self, CURL *easy, CURLcode result);
};

/* Hand a message of curl_multi_info_read() to its owner. */
static inline void
ec_transfer_done(const CURLMsg *msg)
{
	EcTransfer *transfer = NULL;

	if (msg->msg == CURLMSG_DONE &&
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **) &transfer) == CURLE_OK &&
		transfer != NULL)
		transfer->done(transfer, msg->easy_handle, msg->data.result);
}

/* ---- a pool: the connections to one endpoint ---- */

typedef struct EcSmtpPool EcSmtpPool;

/*
 * Copied by ec_smtp_pool_create(), strings included.  ec_smtp_settings() fills
 * one from an endpoint (its strings are then the endpoint's).
 */
typedef struct EcSmtpSettings
{
	const char *host;
	int			port;
	bool		tls;			/* smtps: TLS from the first byte */
	const char *starttls;		/* "require", "try" or "never"; NULL: "never" */
	bool		verify_peer;
	const char *ca_file;		/* NULL: the system's */
	const char *username;		/* NULL: no AUTH */
	const char *password;
	const char *helo;			/* our name in EHLO; NULL: libcurl's choice */
	int			connections;	/* at once, at most */
	int			timeout;		/* in ms, for each of: connect up to AUTH; replies
								 * to MAIL, RCPT, DATA; sending the text; the reply
								 * to it.  A result comes 50 s + 5 * timeout after
								 * the submit, at the latest */
	int			idle_timeout;	/* in ms: an unused connection is closed; 0: never */
} EcSmtpSettings;

extern void ec_smtp_settings(const EcEndpoint *endpoint, EcSmtpSettings *settings);

/*
 * A mail to be sent.  Copied by submit; the caller may free everything at once.
 * from and rcpts are bare addresses, without <>, that passed
 * ec_address_problem(); from "" is the null reverse-path.
 */
typedef struct EcSmtpMail
{
	int64		id;				/* the caller's; comes back in the result */
	const char *from;
	int			nrcpts;			/* 1 or more */
	const char *const *rcpts;
	const char *data;			/* RFC 5322 message with CRLF; dots not yet stuffed */
	size_t		len;
} EcSmtpMail;

typedef struct EcSmtpRcpt
{
	const char *address;
	EcOutcome	outcome;		/* of this recipient alone */
	int			status;			/* the reply code that decided; 0: none came */
	const char *answer;			/* the reply, lines joined by spaces; NULL if none */
} EcSmtpRcpt;

/*
 * What came of a mail.  All memory belongs to the pool and is gone after the
 * callback.
 *
 * outcome is
 *	EC_DELIVERED	at least one recipient was accepted and none is left to be
 *					tried again; error names those refused for good, if any,
 *					else it is NULL
 *	EC_RETRY		at least one recipient is left.  Others may have got the mail:
 *					the next try must go to those with rcpts[i].outcome == EC_RETRY
 *					only, so the caller keeps that list with the message (if
 *					nretry == nrcpts nothing needs keeping)
 *	EC_DEAD			every recipient was refused for good
 *	EC_RELEASE		not tried: no connection was free for as long as timeout, or
 *					for 50 s, or ec_smtp_pool_destroy() came first
 */
typedef struct EcSmtpResult
{
	int64		id;
	EcOutcome	outcome;
	int			status;			/* reply code that decided; 0: none came */
	const char *error;			/* NULL if delivered to all; no secrets */
	const char *answer;			/* the reply that decided; NULL if none */
	int			nrcpts;
	int			nretry;			/* recipients with outcome EC_RETRY */
	const EcSmtpRcpt *rcpts;	/* in the order of the mail */
} EcSmtpResult;

/* May submit mails; may not destroy the pool. */
typedef void (*EcSmtpCallback) (const EcSmtpResult *result, void *arg);

/* Connects when there are mails.  NULL if out of memory. */
extern EcSmtpPool *ec_smtp_pool_create(CURLM *multi, struct EcPoll *poll,
									   const EcSmtpSettings *settings,
									   EcSmtpCallback callback, void *arg);

/*
 * Close all connections and free the pool.  Mails not finished come back before
 * it returns: as EC_RELEASE, or as EC_RETRY if the server may have taken them.
 */
extern void ec_smtp_pool_destroy(EcSmtpPool *pool);

/*
 * Queue a mail.  The result never comes from within submit.  False if out of
 * memory: then no result comes.
 */
extern bool ec_smtp_pool_submit(EcSmtpPool *pool, const EcSmtpMail *mail);

/*
 * Ask about each mail that no connection has taken yet, in their order.
 * Those that do not stay are reported as EC_RELEASE.
 */
extern void ec_smtp_pool_recall(EcSmtpPool *pool, bool (*stays) (int64 id, void *arg), void *arg);

/* Start connections for what was submitted, give up what is overdue. */
extern void ec_smtp_pool_run(EcSmtpPool *pool);

/* Time until ec_smtp_pool_run() has something to do, in ms; -1: nothing yet. */
extern long ec_smtp_pool_timeout(const EcSmtpPool *pool);

/* Mails submitted whose result has not come. */
extern int	ec_smtp_pool_unfinished(const EcSmtpPool *pool);

/*
 * How many more mails would find a connection soon; a loop that leases no more
 * than that keeps leases short.
 */
extern int	ec_smtp_pool_room(const EcSmtpPool *pool);

/* Open connections, for status views. */
extern int	ec_smtp_pool_connections(const EcSmtpPool *pool);

#endif							/* EC_WORKER_SMTP_H */

/*-------------------------------------------------------------------------
 *
 * worker_http.h
 *		HTTP requests, many at once, through one multi handle of libcurl.
 *
 * Nothing here raises an error or uses a memory context; it lives on malloc.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_WORKER_HTTP_H
#define EC_WORKER_HTTP_H

#include "compat/compat.h"

#include <curl/curl.h>

#include "outbox/outbox.h"
#include "worker/worker_poll.h"

/* ---- worker_multi.c: the multi handle and its sockets ---- */

/*
 * Create a multi handle whose sockets poll watches.  NULL if out of memory.
 * There is one per process.
 */
extern CURLM *ec_multi_create(EcPoll *poll);
extern void ec_multi_destroy(CURLM *multi);

/* Do what is due and what sockets are ready for, without waiting. */
extern void ec_multi_run(CURLM *multi, EcPoll *poll);

/* Time until libcurl wants ec_multi_run(), in ms; -1: it does not. */
extern long ec_multi_timeout(CURLM *multi);

/* For easy handles of connections that are kept: their sockets may rest. */
extern void ec_multi_adopt(CURL *easy, EcPoll *poll);

/* For every easy handle: it uses the TLS sessions of the others. */
extern void ec_multi_share(CURL *easy);

/* ---- worker_http.c ---- */

typedef struct EcHttpRequest
{
	const char *url;
	const char *method;			/* "POST", ... */
	const char *body;			/* must live until the answer; NULL: none */
	size_t		len;
	struct curl_slist *headers; /* taken over, freed even on failure */
	int			timeout;		/* in ms, for all of it */
	bool		verify_peer;
	const char *ca_file;		/* NULL: the system's */
	const char *username;		/* basic; NULL: none */
	const char *password;
} EcHttpRequest;

typedef struct EcHttpAnswer
{
	int			status;			/* 0: none came */
	int64		retry_after;	/* in ms, as the other side asked; -1: it did not */
	const char *error;			/* of the transfer; NULL if there is none */
	bool		hopeless;		/* another try would fail in the same way */
	const char *body;			/* first part of it, zero-terminated */
	size_t		len;
} EcHttpAnswer;

/* All memory of the answer is gone after the callback. */
typedef void (*EcHttpCallback) (const EcHttpAnswer *answer, void *job, void *arg);

typedef struct EcHttp EcHttp;

extern EcHttp *ec_http_create(CURLM *multi, EcPoll *poll, EcHttpCallback callback, void *arg);
extern void ec_http_destroy(EcHttp *http);	/* unfinished requests get no answer */

/*
 * Start a request; its answer comes once, and not from within this call.
 * False if out of memory: then none comes.
 */
extern bool ec_http_start(EcHttp *http, const EcHttpRequest *request, void *job);

#endif							/* EC_WORKER_HTTP_H */

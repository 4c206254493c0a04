/*-------------------------------------------------------------------------
 *
 * outbox.h
 *		Messages to the outside: endpoints, enqueue, lease, settle.
 *
 * Nothing here talks to a network; the worker does.  The life of a message:
 *
 *		queued -> leased -> delivered | dead		(moved to the history)
 *					\-> retry -> leased ...
 *		queued | retry -> cancelled					(moved to the history)
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_OUTBOX_H
#define EC_OUTBOX_H

#include "core/core.h"
#include "nodes/pg_list.h"

/* ---- outbox_endpoint.c: foreign servers of ecauto_endpoint ---- */

typedef enum EcScheme
{
	EC_SCHEME_HTTP,
	EC_SCHEME_HTTPS,
	EC_SCHEME_SMTP,
	EC_SCHEME_SMTPS
} EcScheme;

#define EC_SCHEME_IS_MAIL(scheme) ((scheme) == EC_SCHEME_SMTP || (scheme) == EC_SCHEME_SMTPS)

/* Options of a server and the user mapping that applies, parsed. */
typedef struct EcEndpoint
{
	Oid			serverid;
	char	   *name;
	char	   *url;			/* as declared, no trailing slash */
	EcScheme	scheme;
	char	   *host;
	int			port;
	char	   *path;			/* of the URL, "" or starting with a slash */
	char	   *sender;			/* mail: "Name <address>"; NULL if not given */
	char	   *ca_file;		/* own CA; NULL for the system's */
	bool		verify_peer;
	char	   *starttls;		/* "require", "try" or "never" */
	int			timeout;		/* in ms, connect to last byte of the answer */
	int			concurrency;	/* connections at once */
	double		rate;			/* messages a second; 0: unlimited */
	int			max_attempts;
	int64		give_up_after;	/* in ms from enqueue; 0: never */
	/* secrets: never logged, never in an error, never in a table of ours */
	char	   *username;
	char	   *password;
	char	   *bearer_token;
	char	   *hmac_secret;
} EcEndpoint;

/*
 * The endpoint as sender may use it: the sender's user mapping, else the one
 * for PUBLIC, else the server owner's.  Allocated in the current context.
 * missing_ok: NULL instead of undefined_object.
 */
extern EcEndpoint *ec_endpoint_load(const char *name, Oid sender, bool missing_ok);

/* ---- outbox_enqueue.c ---- */

typedef struct EcMessage
{
	int64		id;
	char	   *endpoint;
	Oid			sender;			/* role that enqueued it */
	char	   *key;			/* idempotency key */
	char	   *path;			/* below the endpoint's URL; "" or "/..." */
	char	   *payload;		/* JSON text */
	char	   *method;			/* HTTP */
	char	   *headers;		/* HTTP: JSON object of extra headers, or NULL */
	int			attempts;		/* this one included */
	TimestampTz created_at;
} EcMessage;

/* ---- outbox_lease.c ---- */

/* What came of one try to deliver. */
typedef enum EcOutcome
{
	EC_DELIVERED,
	EC_RETRY,					/* may work later */
	EC_DEAD,					/* never will */
	EC_RELEASE					/* not tried: give it back unharmed */
} EcOutcome;

typedef struct EcResult
{
	int64		id;
	EcOutcome	outcome;
	int			status;			/* HTTP status or SMTP reply code; 0: none */
	int			retry_after;	/* in ms, as the other side asked; -1: it did not */
	const char *error;			/* NULL if delivered; no secrets */
	const char *answer;			/* first part of the body or reply; NULL if none */
} EcResult;

#endif							/* EC_OUTBOX_H */

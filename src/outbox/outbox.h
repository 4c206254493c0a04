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
#include "storage/itemptr.h"
#include "utils/array.h"
#include "utils/jsonb.h"

/* ---- outbox_url.c: addresses, as pure functions ---- */

typedef enum EcScheme
{
	EC_SCHEME_HTTP,
	EC_SCHEME_HTTPS,
	EC_SCHEME_SMTP,
	EC_SCHEME_SMTPS
} EcScheme;

#define EC_SCHEME_IS_MAIL(scheme) ((scheme) == EC_SCHEME_SMTP || (scheme) == EC_SCHEME_SMTPS)

typedef struct EcUrl
{
	EcScheme	scheme;
	char	   *host;			/* lower case; IPv6 without brackets */
	int			port;			/* the scheme's own if none was given */
	char	   *path;			/* "" or starting with a slash, never ending with one */
	char	   *text;			/* normal form of all of it, no trailing slash */
} EcUrl;

/*
 * These return NULL if all is well, else what is wrong as the detail of an
 * error message: a whole sentence, allocated in the current context.
 */
extern char *ec_url_parse(const char *text, EcUrl *url);
extern char *ec_path_problem(const char *path);
extern char *ec_line_problem(const char *text); /* line break or control character */

extern bool ec_host_is_loopback(const char *host);

/* ---- outbox_endpoint.c: foreign servers of ecauto_endpoint ---- */

#define EC_ENDPOINT_WRAPPER "ecauto_endpoint"

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
	int			breaker;		/* failures in a row that open it; 0: never */
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

/* Its server, and is it for mail?  Raises unless the current user may use it. */
extern Oid	ec_endpoint_check_usage(const char *name, bool *mail);

/* Names (char *) of every foreign server of ecauto_endpoint. */
extern List *ec_endpoint_names(void);

/* Grows whenever a server, a mapping or a role may have changed. */
extern uint64 ec_endpoint_generation(void);

/* ---- outbox_message.c: is it fit to be sent? ---- */

/* These raise invalid_parameter_value. */
extern void ec_message_check_headers(Jsonb *headers);
extern void ec_message_check_body(const char *body, Jsonb *payload);

/*
 * Who knows how a mail is made is the worker; it leaves here what checks the
 * payload of one.
 */
typedef void (*EcMailCheck) (Jsonb *payload);
extern void ec_message_set_mail_check(EcMailCheck check);
extern void ec_message_check_mail(Jsonb *payload);

/* ---- outbox_enqueue.c ---- */

/* A message to be put into the outbox; zero it, then fill what is wanted. */
typedef struct EcEnqueue
{
	const char *endpoint;		/* needed */
	Jsonb	   *payload;		/* needed */
	const char *key;			/* idempotency key; NULL: a new one */
	const char *path;			/* below the endpoint's URL; NULL for "" */
	TimestampTz not_before;		/* 0: at once */
	TimestampTz expires_at;		/* 0: never */
	const char *entity;			/* messages of one entity leave in order */
	int			priority;		/* -1, 0, 1; 1 goes first */
	const char *method;			/* HTTP; NULL for POST */
	Jsonb	   *headers;		/* HTTP: object of strings, or NULL */
	const char *body;			/* "json" (also NULL), "form" or "text" */
	Oid			wanted;			/* function asked before sending, or InvalidOid */
	const char *template;		/* mail: name of its template, for the record */
	const char *purpose;		/* mail: what consent it needs */
	bool		passed;			/* mail: the gate has seen it already */
} EcEnqueue;

/*
 * Check the message and the current user's right to send it, write it, and
 * wake the worker at commit.  Returns its id, or that of the earlier message
 * with the same endpoint and key; *created (may be NULL) says which.
 */
extern int64 ec_enqueue(const EcEnqueue *message, bool *created);

/*
 * Who knows what a mail needs besides being well-formed (consent) leaves a
 * gate here.  It is called by ec_enqueue(), as the user who called that, for
 * each mail that is new (not for one whose key says that it is an earlier
 * one, nor for one that is marked as passed), right before its row, which
 * will have that id, is written, and raises to refuse it.
 */
typedef void (*EcEnqueueGate) (const EcEnqueue *message, int64 id);
extern void ec_enqueue_set_gate(EcEnqueueGate gate);

/*
 * The same for messages that have just been leased: it may mark some of them
 * as unwanted.  Called outside of SPI, as the current user; raises nothing.
 */
typedef void (*EcLeaseGate) (List *messages);
extern void ec_lease_set_gate(EcLeaseGate gate);

/* ---- outbox_recall.c ---- */

/*
 * End messages that still wait or are leased, as cancelled for that reason;
 * a process that leases one learns of it before it begins to send.  ids:
 * bigint[].  Returns how many there were.  The caller is connected to SPI and
 * acts as the owner of the state.
 */
extern int64 ec_outbox_recall(Datum ids, const char *reason);

/*
 * A number that is another one when messages may have been recalled.  It is
 * brought up to date by the beginning of a transaction.
 */
extern uint64 ec_outbox_recalls(void);

/* Which of these messages are in the outbox?  Sets found[] for each; connects to SPI. */
extern void ec_outbox_find(const int64 *ids, int n, bool *found);

/* ---- outbox_manage.c ---- */

/* Is ecauto.redrive() putting messages back just now, in this process? */
extern bool ec_outbox_redriving(void);

/* ---- outbox_statement.c ---- */

extern void ec_outbox_open(EcAs *as);
extern void ec_outbox_close(EcAs *as);
extern uint64 ec_outbox_execute(const char *text, int nargs, const Oid *types, Datum *values,
								const char *nulls);

/* ---- outbox_lease.c, outbox_settle.c, outbox_keep.c ---- */

/* A leased message, in the context that was current at the lease. */
typedef struct EcMessage
{
	int64		id;
	ItemPointerData tid;		/* of the leased row */
	char	   *endpoint;
	char	   *sender;			/* role that enqueued it */
	char	   *key;			/* idempotency key */
	char	   *path;			/* below the endpoint's URL; "" or "/..." */
	Jsonb	   *payload;
	char	   *method;			/* HTTP; NULL for POST */
	char	   *body;			/* HTTP; NULL for json */
	Jsonb	   *headers;		/* HTTP: object of strings, or NULL */
	ArrayType  *remaining;		/* mail: text[] of recipients left; NULL: all */
	char	   *wanted;			/* function to ask, or NULL */
	char	   *entity;			/* others of it wait for this one; NULL */
	char	   *purpose;		/* mail: what consent it needs; NULL: none was told */
	char	   *unwanted;		/* set by the gate: why it is not to be sent, or NULL */
	char	   *trouble;		/* set by the gate: why that is not known now, or NULL */
	int			priority;
	int			attempts;		/* this one included */
	TimestampTz next_at;		/* when it was due */
	TimestampTz created_at;
	TimestampTz queued_at;
	TimestampTz expires_at;		/* 0: never */
} EcMessage;

#define EC_PRIORITIES 3			/* index is priority + 1 */

/* How many messages of an endpoint are wanted, and from where in each priority. */
typedef struct EcLeaseWish
{
	const char *endpoint;
	int			limit;
	TimestampTz after_at[EC_PRIORITIES];	/* only those beyond (after_at, after_id) in the */
	int64		after_id[EC_PRIORITIES];	/* order of next_at, id; DT_NOBEGIN: all */
	bool		scan;			/* look through the queue, not only at entities */
	char	  **entities;		/* whose first messages have ended: look at the next */
	int			nentities;
	/* what came of it, besides after_*: the last that was looked at */
	int			found;
	bool		more;			/* it ended before all were looked at */
} EcLeaseWish;

/* What came of one try to deliver. */
typedef enum EcOutcome
{
	EC_DELIVERED,
	EC_RETRY,					/* may work later */
	EC_DEAD,					/* never will */
	EC_UNWANTED,				/* its sender no longer wants it */
	EC_RELEASE					/* not tried: give it back unharmed */
} EcOutcome;

typedef struct EcResult
{
	int64		id;
	ItemPointerData tid;		/* where the lease put it; may be invalid */
	const char *endpoint;
	EcOutcome	outcome;
	int			attempts;
	int			status;			/* HTTP status or SMTP reply code; 0: none */
	int64		wait;			/* EC_RETRY: in ms from now */
	int64		latency;		/* EC_DELIVERED: in us since it was due */
	const char *error;			/* NULL if delivered; no secrets */
	const char *answer;			/* first part of the body or reply; NULL if none */
	int			nremaining;		/* EC_RETRY or EC_DEAD of a mail: recipients left; ... */
	char	  **remaining;		/* ... 0: as many as before */
	const char *refused;		/* EC_RETRY of a mail: recipients refused for good, or NULL */
	bool		busy;			/* told by ec_outbox_settle(): not recorded, as others hold the row */
} EcResult;

/* in s: a lease without a settle ends after this plus the endpoint's timeout */
#define EC_LEASE_SECONDS 60

/* who holds a lease, if not the process of that number: ecauto.lease() gave it */
#define EC_LEASED_BY_HAND (-1)

extern List *ec_outbox_lease(EcLeaseWish *wishes, int nwishes, TimestampTz due, int lease_ms, int holder);
extern void ec_outbox_settle(EcResult *results, int nresults, int holder);
extern bool ec_outbox_gives_up(int max_attempts, int64 give_up_after, int attempts, int64 age);
extern TimestampTz ec_outbox_next_due(void);
extern int64 ec_outbox_expire(void);
extern int64 ec_outbox_reclaim(void);
extern int64 ec_outbox_give_back(void);
extern List *ec_outbox_paused(void);

/*
 * Time to wait before the next try, in ms: exponential back-off with full
 * jitter, but never less than the other side asked for (-1: nothing).
 */
extern int64 ec_backoff(int attempts, int64 retry_after, double random);

/* ---- outbox_count.c ---- */

/* times up to 0.1 ms * 2 ^ (n / 8): element n, and all above: the last */
#define EC_LATENCY_BUCKETS 256

/* What came of the tries to deliver to one endpoint; all zero: nothing yet. */
typedef struct EcTally
{
	int64		delivered;
	int64		retried;
	int64		dead;
	int64		latency[EC_LATENCY_BUCKETS];
	char		error[1024];	/* of the last failure; "": none */
} EcTally;

extern void ec_tally_add(EcTally *tally, const EcResult *result);
extern void ec_tally_merge(EcTally *tally, const EcTally *more);
extern bool ec_tally_is_empty(const EcTally *tally);
extern void ec_tally_write(const EcTally *tally, const char *endpoint, TimestampTz now);
extern void ec_outbox_count_trim(void);
extern void ec_outbox_show_breaker(const char *endpoint, TimestampTz until);

/* ---- outbox_history.c ---- */

extern Oid	ec_history_ensure(TimestampTz at);
extern int64 ec_history_trim(void);

#endif							/* EC_OUTBOX_H */

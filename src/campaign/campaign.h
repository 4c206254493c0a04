/*-------------------------------------------------------------------------
 *
 * campaign.h
 *		Who may be written to, when, and how often.
 *
 * An *address* is normalized: for mail, the bare address in lower case.  A
 * *contact* is the row that stands for one; its lock is what everybody takes
 * who decides about mail to it or changes what it has consented to.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_CAMPAIGN_H
#define EC_CAMPAIGN_H

#include "core/core.h"
#include "outbox/outbox.h"
#include "utils/jsonb.h"

#define EC_CHANNEL_EMAIL		 "email"
#define EC_PURPOSE_TRANSACTIONAL "transactional"
#define EC_PURPOSE_MARKETING	 "marketing"

/* ---- campaign_secret.c: what only this shop can compute ---- */

#define EC_ADDRESS_HASH_LEN 32

extern void ec_address_hash(const char *address, unsigned char *hash);
extern Datum ec_address_hash_datum(const char *address);

typedef enum EcTokenKind
{
	EC_TOKEN_UNSUBSCRIBE = 'u', /* id is that of a contact */
	EC_TOKEN_CONFIRM = 'c'		/* id is that of a request in the ledger */
} EcTokenKind;

extern char *ec_token_make(EcTokenKind kind, int64 id);
extern bool ec_token_read(EcTokenKind kind, const char *token, int64 *id);

/* ---- campaign_address.c: addresses, channels, purposes ---- */

extern char *ec_address_normalize(const char *channel, const char *address);
extern char *ec_address_require(const char *channel, const char *address);
extern void ec_channel_require(const char *channel);
extern void ec_purpose_require(const char *purpose);
extern bool ec_purpose_is_free(const char *purpose);	/* NULL is */
extern List *ec_payload_addresses(Jsonb *payload);

/* ---- campaign_contact.c ---- */

/* What is known of a contact whose row was locked. */
typedef struct EcContact
{
	int64		id;
	bool		erased;
	char	   *suppressed;		/* why nothing is sent there; NULL: may be sent */
} EcContact;

/*
 * Lock the row of an address to the end of the transaction, made if there is
 * none.  The caller is connected to SPI and acts as the owner of the state;
 * strings are in the context that was current before it connected.
 */
extern void ec_contact_lock(const char *address, EcContact *contact);

/*
 * End what waits to be decided about or to be sent to a contact over a channel
 * for a purpose (NULL: any), for that reason of ecauto.skip_reasons().  Returns
 * how many mails.  Connected and acting as above.
 */
extern int64 ec_contact_recall(int64 contact, const char *channel, const char *purpose,
							   const char *reason);

/* ---- campaign_consent.c ---- */

typedef enum EcVerdict
{
	EC_MAY_SEND,
	EC_NO_CONSENT,
	EC_SUPPRESSED
} EcVerdict;

/*
 * May these addresses be written to over a channel for a purpose, as of a
 * time?  By the ledger, the suppression list, and what the shop itself says
 * (role consent) if that is bound.  verdicts: one for each address.  Errors:
 * what the query of role consent raises.
 */
extern void ec_consent_check(char **addresses, int n, const char *channel, const char *purpose,
							 TimestampTz at, EcVerdict *verdicts);

/* ---- campaign_customer.c ---- */

/* The person behind an address; what is not known is NULL. */
typedef struct EcAddressee
{
	char	   *customer;		/* key of role customer */
	char	   *locale;			/* as the shop writes it */
	char	   *tz;				/* as the shop writes it */
} EcAddressee;

extern void ec_addressee_find(const char *address, EcAddressee *addressee);

/* ---- campaign_gate.c ---- */

extern void ec_campaign_init(void);
pg_noreturn extern void ec_consent_refuse(const char *address, const char *purpose, EcVerdict verdict);

extern void ec_campaign_note(int64 contact, int64 message, const char *sender,
							 const char *purpose, const char *template);

/* ---- campaign_render.c: from a template and data to the payload of a mail ---- */

/* Append to an object that is being built. */
extern void ec_json_put_name(JsonbParseState **state, const char *name);
extern void ec_json_put_text(JsonbParseState **state, const char *name, const char *text);
extern void ec_json_put_int8(JsonbParseState **state, const char *name, int64 number);

extern char *ec_unsubscribe_url(int64 contact);
extern const char *ec_data_text(Jsonb *data, const char *object, const char *member);

/*
 * The payload of a mail in the outbox, in the current context.  template: its
 * name, or NULL; if there is no such template data must hold "subject" and
 * "body" or "html".  unsubscribe_url: NULL for a mail that is not subscribed
 * to.  locale: NULL if it is not known.  Errors: those of rendering,
 * undefined_object if there is neither a template nor a text.
 */
extern Jsonb *ec_mail_payload(const char *recipient, const char *template, Jsonb *data,
							  const char *locale, const char *unsubscribe_url);

/* ---- campaign_limit.c: caps and quiet hours ---- */

typedef struct EcCap
{
	int			most;
	int64		per;			/* in us */
	char	   *purpose;		/* NULL: every one */
} EcCap;

typedef struct EcLimits
{
	EcCap	   *caps;
	int			ncaps;
	int64		longest;		/* of the caps' lengths of time */
	bool		quiet;			/* are there quiet hours? */
	int64		starts;			/* in us since midnight */
	int64		ends;
} EcLimits;

/* A mail that went to a contact. */
typedef struct EcSent
{
	TimestampTz at;
	const char *purpose;
} EcSent;

extern EcLimits *ec_limits_load(void);
extern bool ec_limits_capped(const EcLimits *limits, const char *purpose);
extern TimestampTz ec_limits_free_at(const EcLimits *limits, const char *purpose, const EcSent *sent,
									 int nsent, TimestampTz at);
extern TimestampTz ec_limits_loud_at(const EcLimits *limits, const char *zone_name, TimestampTz at);

/* ---- campaign_mail.c ---- */

/* how long a mail waits if nobody says */
#define EC_MAIL_PATIENCE (3 * USECS_PER_DAY)

/* A mail to be sent; zero it, then fill what is wanted. */
typedef struct EcMailOrder
{
	const char *recipient;		/* needed; address or mailbox */
	const char *template;		/* name of a stored template; NULL: data holds the text */
	Jsonb	   *data;			/* needed; an object */
	const char *purpose;		/* NULL: transactional */
	const char *key;			/* the same key is the same mail; NULL: a new one */
	const char *locale;			/* NULL: the customer's */
	int			priority;		/* among mails that need consent: 0 to 100, more goes first */
	TimestampTz deadline;		/* not sent later; 0: that of EC_MAIL_PATIENCE */
	bool		quiet;			/* what keeps the mail from its recipient is a result, no error */
} EcMailOrder;

#define EC_MAIL_PRIORITY 50		/* if nobody says */

typedef struct EcMailResult
{
	int64		message;		/* in the outbox; 0: none */
	const char *skipped;		/* why none, of ecauto.skip_reasons(), or NULL */
	const char *deferred;		/* what it waits for, of the same, or NULL */
	const char *detail;			/* more about that, or NULL */
	int64		mail;			/* of one that waits: in ecauto_data.campaign_mail */
} EcMailResult;

extern void ec_mail_send(const EcMailOrder *order, EcMailResult *result);

/* ---- campaign_decide.c ---- */
extern void ec_campaign_tick(EcTick *tick);
extern char *ec_campaign_sender(void);

#endif							/* EC_CAMPAIGN_H */

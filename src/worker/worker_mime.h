/*-------------------------------------------------------------------------
 *
 * worker_mime.h
 *		From the payload of a message to the text of a mail.
 *
 * Everything here allocates in the current memory context and may raise
 * invalid_parameter_value.  Strings are UTF-8, whatever the encoding of the
 * database, except where it says otherwise.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_WORKER_MIME_H
#define EC_WORKER_MIME_H

#include "compat/compat.h"

#include "lib/stringinfo.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* longest line, without CRLF: RFC 5322, section 2.1.1 */
#define EC_MIME_LINE_MAX	998		/* must not be longer */
#define EC_MIME_LINE_GOOD	78		/* should not be longer */

/* ---- worker_mime.c ---- */

/* A mail ready to be sent. */
typedef struct EcMail
{
	char	   *from;			/* envelope: the bare address of the sender */
	char	  **rcpts;			/* envelope: bare addresses of to, cc and bcc, each once */
	int			nrcpts;
	char	   *data;			/* the message of RFC 5322, lines ended by CRLF */
	size_t		len;
} EcMail;

/*
 * Build the mail of a payload, which docs/mail.md describes.
 *
 * sender: "address" or "Name <address>"; key: what makes the Message-ID, which
 * is the same for the same key and domain of the sender; at: for the header
 * Date, finite.  sender, key and payload are in the encoding of the database;
 * if that is not UTF8, a transaction must be open.
 */
extern void ec_mail_build(Jsonb *payload, const char *sender, const char *key, TimestampTz at,
						  EcMail *mail);

/* Raise what ec_mail_build() would raise for the payload. */
extern void ec_mail_check(Jsonb *payload);

/* ---- worker_mime_header.c: fields of a header, each with its CRLF ---- */

/* Any text, as in Subject. */
extern void ec_header_text(StringInfo out, const char *name, const char *value);

typedef struct EcMailbox
{
	char	   *name;			/* NULL if there is none */
	char	   *address;
} EcMailbox;

/* "Name: mailbox, mailbox" */
extern void ec_header_mailboxes(StringInfo out, const char *name, const EcMailbox *mailboxes,
								int nmailboxes);

/* Message-ID, made from a key and a domain. */
extern void ec_header_message_id(StringInfo out, const char *key, const char *domain);

extern void ec_header_date(StringInfo out, TimestampTz at);

/*
 * A field with parameters: begin, parameters in any number, end.  value is
 * ASCII and goes in as it is, folded at spaces.
 */
extern void ec_header_begin(StringInfo out, const char *name, const char *value);
extern void ec_header_parameter(StringInfo out, const char *name, const char *value);
extern void ec_header_end(StringInfo out);

/* ---- worker_mime_body.c: parts, with their header ---- */

/* A text/subtype part; line ends may be LF or CRLF. */
extern void ec_part_text(StringInfo out, const char *subtype, const char *text);

/* Bytes in base64, after a header that the caller began: adds the rest of it. */
extern void ec_part_bytes(StringInfo out, const char *data, size_t len);

/* Append data in base64, without line ends if line is 0, else so many characters a line. */
extern void ec_base64_append(StringInfo out, const char *data, size_t len, int line);

/*
 * Decode base64, in which white space may stand; false if it is none.  The
 * result is malformed if false.
 */
extern bool ec_base64_decode(const char *text, size_t len, StringInfo out);

#endif							/* EC_WORKER_MIME_H */

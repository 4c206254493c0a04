/*-------------------------------------------------------------------------
 *
 * worker_mime_header.c
 *		Fields of a mail's header: encoded, quoted and folded.
 *
 * A header is ASCII.  Other characters, and whatever would not come back as it
 * was, go into encoded-words (RFC 2047): =?UTF-8?Q?=C5=BC?= or, where that is
 * shorter, =?UTF-8?B?xbw=?=.  Space between two encoded-words does not count,
 * so a text is encoded whole, with the spaces inside.  Each word holds whole
 * characters and has at most 75 bytes.
 *
 * Fields are folded (CRLF before a space) so that lines have 76 bytes if that
 * can be.  Callers make sure that no control character gets here.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "datatype/timestamp.h"
#include "mb/pg_wchar.h"
#include "utils/datetime.h"

#include "worker/worker_mime.h"

static const char hex[] = "0123456789ABCDEF";

/* RFC 2047, section 2: of a line with an encoded-word, which we do not tell from others */
#define FOLD_AT 76
#define WORD_MAX 75
#define WORD_OVERHEAD 12		/* "=?UTF-8?Q?" and "?=" */

/* most bytes of a key, encoded, that stand in a Message-ID as they are */
#define MESSAGE_ID_KEY_MAX 96

/* longest quoted-string, and parameter in one piece */
#define QUOTED_MAX 60

static inline bool
is_alnum(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static inline bool
is_one_of(unsigned char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* RFC 5322, section 3.2.3 */
static inline bool
is_atext(unsigned char c)
{
	return is_alnum(c) || is_one_of(c, "!#$%&'*+-/=?^_`{|}~");
}

static bool
is_printable(const char *text)
{
	for (; *text; text++)
		if ((unsigned char) *text < 0x20 || (unsigned char) *text >= 0x7F)
			return false;
	return true;
}

/* Append prefix and the two hexadecimal digits of a byte. */
static void
append_hex(StringInfo out, char prefix, unsigned char c)
{
	appendStringInfoChar(out, prefix);
	appendStringInfoChar(out, hex[c >> 4]);
	appendStringInfoChar(out, hex[c & 15]);
}

/* Bytes in the current line. */
static int
column(StringInfo out)
{
	int			n = 0;

	while (n < out->len && out->data[out->len - 1 - n] != '\n')
		n++;
	return n;
}

/* Append a space and a token, on a new line if this one would get too long. */
static void
put_token(StringInfo out, const char *token, int len)
{
	if (column(out) + 1 + len > FOLD_AT)
		appendStringInfoString(out, "\r\n");
	appendStringInfoChar(out, ' ');
	appendBinaryStringInfo(out, token, len);
}

/* The same for each word of a text, which has no two spaces in a row. */
static void
put_words(StringInfo out, const char *text)
{
	while (*text)
	{
		int			len = (int) strcspn(text, " ");

		put_token(out, text, len);
		text += len;
		if (*text == ' ')
			text++;
	}
}

/* ---- encoded-words ---- */

/*
 * May the byte stand for itself in a Q word?  In a phrase only these may (RFC
 * 2047, section 5), so we allow no others anywhere.
 */
static inline bool
is_q_safe(unsigned char c)
{
	return is_alnum(c) || is_one_of(c, "!*+-/");
}

static inline int
q_length(unsigned char c)
{
	return is_q_safe(c) || c == ' ' ? 1 : 3;
}

static void
put_encoded_words(StringInfo out, const char *text)
{
	size_t		len = strlen(text);
	size_t		q_total = 0;
	bool		q;

	for (size_t i = 0; i < len; i++)
		q_total += q_length((unsigned char) text[i]);
	q = q_total <= (len + 2) / 3 * 4;

	while (*text)
	{
		int			room = FOLD_AT - column(out) - 1;
		int			used = 0;	/* bytes of text in this word */
		int			size = 0;	/* what they become */

		/* a word takes four bytes at least, which in Q become twelve */
		if (room < WORD_OVERHEAD + 12)
		{
			appendStringInfoString(out, "\r\n");
			room = FOLD_AT - 1;
		}
		room = Min(room, WORD_MAX) - WORD_OVERHEAD;
		while (text[used])
		{
			int			char_len = pg_encoding_mblen(PG_UTF8, text + used);
			int			more = size;

			if (q)
			{
				for (int i = 0; i < char_len; i++)
					more += q_length((unsigned char) text[used + i]);
			}
			else
				more = (used + char_len + 2) / 3 * 4;
			if (more > room)
				break;
			size = more;
			used += char_len;
		}

		appendStringInfoString(out, q ? " =?UTF-8?Q?" : " =?UTF-8?B?");
		if (!q)
			ec_base64_append(out, text, used, 0);
		for (int i = 0; q && i < used; i++)
		{
			unsigned char c = (unsigned char) text[i];

			if (c == ' ')
				appendStringInfoChar(out, '_');
			else if (is_q_safe(c))
				appendStringInfoChar(out, (char) c);
			else
				append_hex(out, '=', c);
		}
		appendStringInfoString(out, "?=");
		text += used;
	}
}

/*
 * Would the text not come back as it is?  Apart from other characters those
 * are spaces at its ends or in a row, what looks like an encoded-word, and
 * words that no folding can keep below the hard limit of a line.
 */
static bool
needs_encoding(const char *text)
{
	size_t		len = strlen(text);

	if (!is_printable(text) || strstr(text, "=?") != NULL || strstr(text, "  ") != NULL)
		return true;
	if (len > 0 && (text[0] == ' ' || text[len - 1] == ' '))
		return true;
	for (const char *word = text; *word;)
	{
		size_t		size = strcspn(word, " ");

		if (size > EC_MIME_LINE_MAX - EC_MIME_LINE_GOOD)
			return true;
		word += size + (word[size] == ' ');
	}
	return false;
}

void
ec_header_text(StringInfo out, const char *name, const char *value)
{
	appendStringInfo(out, "%s:", name);
	if (needs_encoding(value))
		put_encoded_words(out, value);
	else
		put_words(out, value);
	appendStringInfoString(out, "\r\n");
}

/* ---- mailboxes ---- */

static void
put_quoted(StringInfo out, const char *text)
{
	StringInfoData quoted;

	initStringInfo(&quoted);
	appendStringInfoChar(&quoted, '"');
	for (; *text; text++)
	{
		if (*text == '"' || *text == '\\')
			appendStringInfoChar(&quoted, '\\');
		appendStringInfoChar(&quoted, *text);
	}
	appendStringInfoChar(&quoted, '"');
	put_token(out, quoted.data, quoted.len);
	pfree(quoted.data);
}

/* A display name: atoms if it can be, else a quoted-string or encoded-words. */
static void
put_phrase(StringInfo out, const char *name)
{
	bool		atoms = true;

	for (const char *p = name; *p; p++)
		atoms &= is_atext((unsigned char) *p) || (*p == ' ' && p[1] != ' ');
	if (needs_encoding(name) || (!atoms && strlen(name) > QUOTED_MAX))
		put_encoded_words(out, name);
	else if (atoms)
		put_words(out, name);
	else
		put_quoted(out, name);
}

void
ec_header_mailboxes(StringInfo out, const char *name, const EcMailbox *mailboxes, int nmailboxes)
{
	appendStringInfo(out, "%s:", name);
	for (int i = 0; i < nmailboxes; i++)
	{
		const char *comma = i < nmailboxes - 1 ? "," : "";
		char	   *address;

		if (mailboxes[i].name)
		{
			put_phrase(out, mailboxes[i].name);
			address = psprintf("<%s>%s", mailboxes[i].address, comma);
		}
		else
			address = psprintf("%s%s", mailboxes[i].address, comma);
		put_token(out, address, (int) strlen(address));
		pfree(address);
	}
	appendStringInfoString(out, "\r\n");
}

/* ---- Message-ID and Date ---- */

/*
 * Append text as a dot-atom (RFC 5322, section 3.2.3), bytes that do not fit
 * as %XX; the percent sign too, so that different texts stay different.
 */
static void
append_dot_atom(StringInfo out, const char *text)
{
	for (const char *p = text; *p; p++)
	{
		unsigned char c = (unsigned char) *p;

		if ((is_atext(c) && c != '%') ||
			(c == '.' && p > text && p[-1] != '.' && p[1] != '.' && p[1] != '\0'))
			appendStringInfoChar(out, (char) c);
		else
			append_hex(out, '%', c);
	}
}

/* Append the beginning of the SHA-256 of text: 128 bits, 32 digits. */
static void
append_digest(StringInfo out, const char *text)
{
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *ctx = pg_cryptohash_create(PG_SHA256);

	if (ctx == NULL || pg_cryptohash_init(ctx) < 0 ||
		pg_cryptohash_update(ctx, (const uint8 *) text, strlen(text)) < 0 ||
		pg_cryptohash_final(ctx, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute a SHA-256 digest");
	pg_cryptohash_free(ctx);
	for (int i = 0; i < 16; i++)
		appendStringInfo(out, "%c%c", hex[digest[i] >> 4], hex[digest[i] & 15]);
}

/*
 * A key that is short is readable in the Message-ID, so that a mail in
 * somebody's inbox leads to its message here.  A long one gives its digest.
 * The field is not folded: many programs do not expect that of it.
 */
void
ec_header_message_id(StringInfo out, const char *key, const char *domain)
{
	StringInfoData left;

	initStringInfo(&left);
	append_dot_atom(&left, key);
	if (left.len == 0 || left.len > MESSAGE_ID_KEY_MAX)
	{
		resetStringInfo(&left);
		append_digest(&left, key);
	}
	appendStringInfo(out, "Message-ID: <%s@", left.data);
	append_dot_atom(out, domain);
	appendStringInfoString(out, ">\r\n");
	pfree(left.data);
}

/* RFC 5322, section 3.3, in UTC; the names are English in every locale. */
void
ec_header_date(StringInfo out, TimestampTz at)
{
	static const char *const day_names[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const month_names[] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
	};
	struct pg_tm tm;
	fsec_t		fsec;

	if (TIMESTAMP_NOT_FINITE(at) || timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0 ||
		tm.tm_year < 1900 || tm.tm_year > 9999)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("the date of a mail must be between the years 1900 and 9999")));
	appendStringInfo(out, "Date: %s, %d %s %04d %02d:%02d:%02d +0000\r\n",
					 day_names[j2day(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday))],
					 tm.tm_mday, month_names[tm.tm_mon - 1], tm.tm_year,
					 tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* ---- fields with parameters ---- */

void
ec_header_begin(StringInfo out, const char *name, const char *value)
{
	appendStringInfo(out, "%s:", name);
	put_words(out, value);
}

void
ec_header_end(StringInfo out)
{
	appendStringInfoString(out, "\r\n");
}

/* RFC 5987, section 3.2.1: attr-char */
static inline bool
is_attr_char(unsigned char c)
{
	return is_alnum(c) || is_one_of(c, "!#$&+-.^_`|~");
}

static void
put_parameter_token(StringInfo out, StringInfo token)
{
	appendStringInfoChar(out, ';');
	put_token(out, token->data, token->len);
	resetStringInfo(token);
}

/*
 * name="value" if it is short and plain; else as RFC 2231 has it, percent-encoded
 * UTF-8, and in as many pieces (section 3) as lines need: name*0*=UTF-8''...;
 * name*1*=...
 */
void
ec_header_parameter(StringInfo out, const char *name, const char *value)
{
	StringInfoData token;
	StringInfoData encoded;
	size_t		len = strlen(value);
	int			room;
	int			pieces = 0;

	initStringInfo(&token);
	if (is_printable(value) && len <= QUOTED_MAX)
	{
		appendStringInfo(&token, "%s=\"", name);
		for (; *value; value++)
		{
			if (*value == '"' || *value == '\\')
				appendStringInfoChar(&token, '\\');
			appendStringInfoChar(&token, *value);
		}
		appendStringInfoChar(&token, '"');
		put_parameter_token(out, &token);
		return;
	}

	/* a space, "name*NNN*=UTF-8''" and the ";" that follows go off a line */
	room = FOLD_AT - (int) strlen(name) - (int) strlen(" *NNN*=UTF-8'';");
	initStringInfo(&encoded);
	while (*value)
	{
		int			char_len = pg_encoding_mblen(PG_UTF8, value);
		int			start = encoded.len;

		for (int i = 0; i < char_len; i++)
		{
			unsigned char c = (unsigned char) value[i];

			if (is_attr_char(c))
				appendStringInfoChar(&encoded, (char) c);
			else
				append_hex(&encoded, '%', c);
		}
		if (encoded.len > room)
		{
			/* this character opens the next piece */
			appendStringInfo(&token, "%s*%d*=%s%.*s", name, pieces, pieces ? "" : "UTF-8''",
							 start, encoded.data);
			put_parameter_token(out, &token);
			pieces++;
			memmove(encoded.data, encoded.data + start, encoded.len - start + 1);
			encoded.len -= start;
		}
		value += char_len;
	}
	if (pieces)
		appendStringInfo(&token, "%s*%d*=%s", name, pieces, encoded.data);
	else
		appendStringInfo(&token, "%s*=UTF-8''%s", name, encoded.data);
	put_parameter_token(out, &token);
}

/*-------------------------------------------------------------------------
 *
 * worker_mime_body.c
 *		Bodies of a mail's parts: quoted-printable and base64.
 *
 * A body is sent as it is if it is ASCII in short lines.  Otherwise it is
 * encoded (RFC 2045, sections 6.7 and 6.8), by quoted-printable if most of it
 * stays readable, else by base64, so that no server on the way has reason to
 * change it and no server without 8BITMIME refuses it.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "worker/worker_mime.h"

#define ENCODED_LINE 76			/* RFC 2045: longest line of either encoding */

static const char hex[] = "0123456789ABCDEF";
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* ---- base64 ---- */

void
ec_base64_append(StringInfo out, const char *data, size_t len, int line)
{
	const unsigned char *p = (const unsigned char *) data;
	int			column = 0;

	while (len > 0)
	{
		uint32		bits = (uint32) p[0] << 16 | (len > 1 ? (uint32) p[1] << 8 : 0) | (len > 2 ? p[2] : 0);
		char		quad[4];

		quad[0] = alphabet[bits >> 18];
		quad[1] = alphabet[(bits >> 12) & 63];
		quad[2] = len > 1 ? alphabet[(bits >> 6) & 63] : '=';
		quad[3] = len > 2 ? alphabet[bits & 63] : '=';
		if (line > 0 && column + 4 > line)
		{
			appendStringInfoString(out, "\r\n");
			column = 0;
		}
		appendBinaryStringInfo(out, quad, 4);
		column += 4;
		p += 3;
		len -= Min(len, 3);
	}
	if (column > 0 && line > 0)
		appendStringInfoString(out, "\r\n");
}

bool
ec_base64_decode(const char *text, size_t len, StringInfo out)
{
	static signed char values[256];
	uint32		bits = 0;
	int			count = 0;		/* characters of the current four */
	int			pads = 0;

	if (values['B'] == 0)
	{
		memset(values, -1, sizeof(values));
		for (int i = 0; i < 64; i++)
			values[(unsigned char) alphabet[i]] = (signed char) i;
	}
	enlargeStringInfo(out, (int) (len / 4 * 3 + 3));
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
			continue;
		if (c == '=' && count >= 2 && pads < 2)
			pads++;
		else if (values[c] < 0 || pads > 0)
			return false;
		bits = bits << 6 | (c == '=' ? 0 : (uint32) values[c]);
		if (++count == 4)
		{
			char		bytes[3] = {(char) (bits >> 16), (char) (bits >> 8), (char) bits};

			/* bits that no byte needs must be zero: one text for one content */
			if ((pads == 1 && bytes[2] != 0) || (pads == 2 && (bytes[1] != 0 || bytes[2] != 0)))
				return false;
			appendBinaryStringInfo(out, bytes, 3 - pads);
			bits = 0;
			count = 0;
			if (pads > 0)
			{
				/* nothing but white space may follow */
				for (i++; i < len; i++)
					if (strchr(" \t\r\n", text[i]) == NULL)
						return false;
			}
		}
	}
	return count == 0;
}

void
ec_part_bytes(StringInfo out, const char *data, size_t len)
{
	appendStringInfoString(out, "Content-Transfer-Encoding: base64\r\n\r\n");
	ec_base64_append(out, data, len, ENCODED_LINE);
}

/* ---- text ---- */

/* A copy of text with every line end, LF or CRLF, as CRLF; ends with one. */
static char *
with_crlf(const char *text, size_t *len)
{
	StringInfoData out;

	initStringInfo(&out);
	while (*text)
	{
		size_t		line = strcspn(text, "\n");
		bool		ended = text[line] == '\n';

		appendBinaryStringInfo(&out, text, (int) (ended && line > 0 && text[line - 1] == '\r' ? line - 1 : line));
		appendStringInfoString(&out, "\r\n");
		text += line + ended;
	}
	*len = out.len;
	return out.data;
}

/*
 * Append a line, without its CRLF, in quoted-printable.  Apart from what must
 * be encoded, "From " and a dot at the beginning are, which careless programs
 * on the way change.
 */
static void
append_quoted_line(StringInfo out, const char *line, size_t len)
{
	int			column = 0;

	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) line[i];
		bool		plain = (c > 0x20 && c < 0x7F && c != '=') || ((c == ' ' || c == '\t') && i < len - 1);
		int			need;

		if (i == 0 && (c == '.' || (c == 'F' && len >= 5 && memcmp(line, "From ", 5) == 0)))
			plain = false;
		need = plain ? 1 : 3;
		/* the last column is for the "=" of a soft line break */
		if (column + need > ENCODED_LINE - (i < len - 1 ? 1 : 0))
		{
			appendStringInfoString(out, "=\r\n");
			column = 0;
		}
		if (plain)
			appendStringInfoChar(out, (char) c);
		else
		{
			appendStringInfoChar(out, '=');
			appendStringInfoChar(out, hex[c >> 4]);
			appendStringInfoChar(out, hex[c & 15]);
		}
		column += need;
	}
}

typedef enum TextEncoding
{
	TEXT_7BIT,
	TEXT_QUOTED,
	TEXT_BASE64
} TextEncoding;

/*
 * Which encoding suits a text with CRLF?  A line that might be the boundary of
 * a part (worker_mime.c begins them all by "=_") must be encoded too.
 */
static TextEncoding
text_encoding(const char *text, size_t len)
{
	size_t		longest = 0;
	size_t		line = 0;
	size_t		escapes = 0;
	bool		plain = true;

	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (c == '\r' && text[i + 1] == '\n')
		{
			i++;
			if (i >= 2 && (text[i - 2] == ' ' || text[i - 2] == '\t'))
				plain = false;
			line = 0;
			continue;
		}
		if (line == 0 && (strncmp(text + i, "--=_", 4) == 0 || strncmp(text + i, "From ", 5) == 0))
			plain = false;
		if (c >= 0x7F || (c < 0x20 && c != '\t'))
		{
			plain = false;
			escapes++;
		}
		else if (c == '=')
			escapes++;
		if (++line > longest)
			longest = line;
	}
	if (plain && longest <= EC_MIME_LINE_GOOD)
		return TEXT_7BIT;
	/* two bytes more for each escape, or a third more for all */
	return escapes * 2 <= len / 3 ? TEXT_QUOTED : TEXT_BASE64;
}

void
ec_part_text(StringInfo out, const char *subtype, const char *text)
{
	size_t		len;
	char	   *crlf = with_crlf(text, &len);
	TextEncoding encoding = text_encoding(crlf, len);

	appendStringInfo(out, "Content-Type: text/%s; charset=utf-8\r\n", subtype);
	if (encoding == TEXT_BASE64)
		ec_part_bytes(out, crlf, len);
	else if (encoding == TEXT_7BIT)
	{
		appendStringInfoString(out, "Content-Transfer-Encoding: 7bit\r\n\r\n");
		appendBinaryStringInfo(out, crlf, (int) len);
	}
	else
	{
		appendStringInfoString(out, "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
		for (char *line = crlf; line < crlf + len;)
		{
			char	   *end = strstr(line, "\r\n");

			append_quoted_line(out, line, (size_t) (end - line));
			appendStringInfoString(out, "\r\n");
			line = end + 2;
		}
	}
	pfree(crlf);
}

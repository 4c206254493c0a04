/*-------------------------------------------------------------------------
 *
 * template_text.c
 *		The text part of a mail that was written in HTML only.
 *
 * No layout engine: one pass over the document that keeps what a reader
 * needs.  Blocks become lines, paragraphs and headings are set off by an empty
 * line, list items get a bullet or a number, a link is followed by its
 * address in parentheses, a picture becomes its alternative text, cells of a
 * table row stand side by side.  Title, scripts, styles and comments are
 * dropped, entities are decoded, blanks collapse except in <pre>.
 *
 * Tags are read by the rules of HTML as far as mails need them: quoted
 * attributes may hold ">", a "<" that begins no tag is text, what is not
 * closed at the end is dropped.  Nothing here raises an error, and each byte
 * is looked at a few times at most.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/scansup.h"

#include "template/template.h"

#define LIST_MAX 16				/* lists in lists that are told apart */

typedef struct Writer
{
	StringInfoData out;
	int			breaks;			/* line breaks due before the next character: 0 to 2 */
	bool		space;			/* a blank is due before the next character */
	int			pre;			/* <pre> that we are in */
	int			items[LIST_MAX];	/* next number in each list; 0: bullets */
	int			nlists;
	int			bullet_end;		/* offset in out behind the last bullet */
	char	   *href;			/* address of the link that we are in, or NULL */
	int			href_start;		/* offset of its text in out */
} Writer;

/* A piece of the document; not terminated by a zero byte. */
typedef struct Span
{
	const char *p;
	int			len;
} Span;

typedef struct Tag
{
	char		name[16];		/* lower case; longer ones are cut and mean nothing */
	bool		closing;
	Span		href;			/* as written, p is NULL if there is none */
	Span		alt;
} Tag;

typedef enum TagEffect
{
	TAG_BLOCK,					/* on lines of its own */
	TAG_PARAGRAPH,				/* set off by empty lines */
	TAG_BREAK,
	TAG_RULE,
	TAG_CELL,
	TAG_LIST,
	TAG_ORDERED_LIST,
	TAG_ITEM,
	TAG_LINK,
	TAG_IMAGE,
	TAG_PRE,
	TAG_DROPPED					/* with all that is in it */
} TagEffect;

static const struct
{
	const char *name;
	TagEffect	effect;
} effects[] = {
	{"a", TAG_LINK},
	{"address", TAG_BLOCK},
	{"article", TAG_BLOCK},
	{"aside", TAG_BLOCK},
	{"blockquote", TAG_PARAGRAPH},
	{"body", TAG_BLOCK},
	{"br", TAG_BREAK},
	{"center", TAG_BLOCK},
	{"dd", TAG_BLOCK},
	{"div", TAG_BLOCK},
	{"dl", TAG_PARAGRAPH},
	{"dt", TAG_BLOCK},
	{"figure", TAG_BLOCK},
	{"footer", TAG_BLOCK},
	{"form", TAG_BLOCK},
	{"h1", TAG_PARAGRAPH},
	{"h2", TAG_PARAGRAPH},
	{"h3", TAG_PARAGRAPH},
	{"h4", TAG_PARAGRAPH},
	{"h5", TAG_PARAGRAPH},
	{"h6", TAG_PARAGRAPH},
	{"header", TAG_BLOCK},
	{"hr", TAG_RULE},
	{"img", TAG_IMAGE},
	{"li", TAG_ITEM},
	{"main", TAG_BLOCK},
	{"nav", TAG_BLOCK},
	{"ol", TAG_ORDERED_LIST},
	{"p", TAG_PARAGRAPH},
	{"pre", TAG_PRE},
	{"script", TAG_DROPPED},
	{"section", TAG_BLOCK},
	{"style", TAG_DROPPED},
	{"table", TAG_PARAGRAPH},
	{"td", TAG_CELL},
	{"th", TAG_CELL},
	{"title", TAG_DROPPED},
	{"tr", TAG_BLOCK},
	{"ul", TAG_LIST}
};

static const struct
{
	const char *name;
	pg_wchar	code;
} entities[] = {
	{"amp", '&'}, {"apos", '\''}, {"bull", 0x2022}, {"cent", 0xA2},
	{"copy", 0xA9}, {"deg", 0xB0}, {"euro", 0x20AC}, {"gt", '>'},
	{"hellip", 0x2026}, {"laquo", 0xAB}, {"larr", 0x2190}, {"ldquo", 0x201C},
	{"lsquo", 0x2018}, {"lt", '<'}, {"mdash", 0x2014}, {"middot", 0xB7},
	{"nbsp", 0xA0}, {"ndash", 0x2013}, {"para", 0xB6}, {"pound", 0xA3},
	{"quot", '"'}, {"raquo", 0xBB}, {"rarr", 0x2192}, {"rdquo", 0x201D},
	{"reg", 0xAE}, {"rsquo", 0x2019}, {"sect", 0xA7}, {"shy", 0xAD},
	{"times", 0xD7}, {"trade", 0x2122}, {"yen", 0xA5}, {"zwnj", 0x200C}
};

/* Of ASCII alone, whatever the locale says. */
static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_hex_letter(char c)
{
	return (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* ---- writing ---- */

static void
want_breaks(Writer *writer, int breaks)
{
	writer->space = false;
	/* what an item holds begins beside its bullet */
	if (writer->bullet_end > 0 && writer->out.len == writer->bullet_end)
		return;
	writer->breaks = Max(writer->breaks, breaks);
}

/* Write what is due before the next character. */
static void
settle(Writer *writer)
{
	if (writer->out.len > 0)
	{
		for (int i = 0; i < writer->breaks; i++)
			appendStringInfoChar(&writer->out, '\n');
		if (writer->space && writer->breaks == 0)
			appendStringInfoChar(&writer->out, ' ');
	}
	writer->breaks = 0;
	writer->space = false;
}

static void
write_text(Writer *writer, const char *text, int len)
{
	settle(writer);
	appendBinaryStringInfo(&writer->out, text, len);
}

/* Space, or a control character, which is none in a text. */
static bool
is_blank(char c)
{
	return scanner_isspace(c) || ((unsigned char) c < 0x20) || c == 0x7F;
}

static void
write_blank(Writer *writer, char c)
{
	if (writer->pre > 0)
	{
		if (c != '\r')
			write_text(writer, c == '\n' || c == '\t' ? &c : " ", 1);
	}
	else if (writer->breaks == 0 && writer->out.len != writer->bullet_end)
		writer->space = true;
}

/* ---- entities ---- */

/*
 * Decode the entity at p ("&...") into result, of MAX_MULTIBYTE_CHAR_LEN + 1 bytes.
 * Returns the bytes it takes in the document, 0 if it is none that we know.
 */
static int
decode_entity(const char *p, const char *end, char *result)
{
	const char *q = p + 1;
	pg_wchar	code = 0;

	if (q < end && *q == '#')
	{
		bool		hex = (++q < end && (*q == 'x' || *q == 'X'));
		const char *digits = hex ? ++q : q;

		for (; q < end && (is_digit(*q) || (hex && is_hex_letter(*q))); q++)
			if (code <= 0x10FFFF)
				code = code * (hex ? 16 : 10) +
					(*q <= '9' ? *q - '0' : pg_ascii_tolower((unsigned char) *q) - 'a' + 10);
		if (q == digits)
			return 0;
		if (!is_valid_unicode_codepoint(code) || (code >= 0xD800 && code <= 0xDFFF))
			code = 0xFFFD;
		/* no control characters by the back door */
		if (code < 0x20 || code == 0x7F)
			code = ' ';
	}
	else
	{
		while (q < end && (is_letter(*q) || is_digit(*q)) && q - p < 10)
			q++;
		for (int i = 0; i < (int) lengthof(entities) && code == 0; i++)
			if (strlen(entities[i].name) == q - p - 1 && memcmp(entities[i].name, p + 1, q - p - 1) == 0)
				code = entities[i].code;
		if (code == 0)
			return 0;
	}
	if (q < end && *q == ';')
		q++;

	memset(result, 0, MAX_MULTIBYTE_CHAR_LEN + 1);
	if (code == 0xAD || code == 0x200C)
		return q - p;			/* only say where a word may be broken */
	if (code == 0xA0)
		code = ' ';
	if (code < 0x80)
		result[0] = (char) code;
	else if (GetDatabaseEncoding() == PG_UTF8)
		(void) unicode_to_utf8(code, (unsigned char *) result);
	else
		return 0;
	return q - p;
}

/* The value of an attribute; NULL if it would be empty. */
static char *
decode_attribute(Span value)
{
	StringInfoData out;
	char		decoded[MAX_MULTIBYTE_CHAR_LEN + 1];

	if (value.p == NULL)
		return NULL;
	initStringInfo(&out);
	for (const char *p = value.p, *end = p + value.len; p < end;)
	{
		int			len = (*p == '&') ? decode_entity(p, end, decoded) : 0;

		if (len > 0)
			appendStringInfoString(&out, decoded);
		else
		{
			if (!is_blank(*p) || out.len > 0)
				appendStringInfoChar(&out, is_blank(*p) ? ' ' : *p);
			len = 1;
		}
		p += len;
	}
	while (out.len > 0 && out.data[out.len - 1] == ' ')
		out.data[--out.len] = '\0';
	return out.len > 0 ? out.data : NULL;
}

/* ---- tags ---- */

static bool
is_named(Span span, const char *name)
{
	return span.len == strlen(name) && pg_strncasecmp(span.p, name, span.len) == 0;
}

/*
 * Read the attributes from p up to the ">"; returns what follows it, or end.
 */
static const char *
read_attributes(const char *p, const char *end, Tag *tag)
{
	while (p < end && *p != '>')
	{
		Span		name = {p, 0};
		Span		value = {NULL, 0};

		if (scanner_isspace(*p) || *p == '/' || *p == '=')
		{
			p++;
			continue;
		}
		while (p < end && !scanner_isspace(*p) && *p != '=' && *p != '>' && *p != '/')
			p++;
		name.len = p - name.p;
		while (p < end && scanner_isspace(*p))
			p++;
		if (p < end && *p == '=')
		{
			p++;
			while (p < end && scanner_isspace(*p))
				p++;
			if (p < end && (*p == '"' || *p == '\''))
			{
				char		quote = *p++;

				value.p = p;
				while (p < end && *p != quote)
					p++;
				value.len = p - value.p;
				if (p < end)
					p++;
			}
			else
			{
				value.p = p;
				while (p < end && !scanner_isspace(*p) && *p != '>')
					p++;
				value.len = p - value.p;
			}
		}
		if (is_named(name, "href") && tag->href.p == NULL)
			tag->href = value;
		else if (is_named(name, "alt") && tag->alt.p == NULL)
			tag->alt = value;
	}
	return p < end ? p + 1 : end;
}

/*
 * Read the tag or comment at p ("<").  Returns what follows it, or NULL if it
 * is neither.  A comment or declaration gives a tag without a name.
 */
static const char *
read_tag(const char *p, const char *end, Tag *tag)
{
	int			len = 0;

	memset(tag, 0, sizeof(*tag));
	if (++p >= end)
		return NULL;
	if (*p == '!' || *p == '?')
	{
		if (end - p >= 3 && memcmp(p, "!--", 3) == 0)
		{
			for (p += 3; end - p >= 3; p++)
				if (memcmp(p, "-->", 3) == 0)
					return p + 3;
			return end;
		}
		p = memchr(p, '>', end - p);
		return p != NULL ? p + 1 : end;
	}
	if (*p == '/')
	{
		tag->closing = true;
		p++;
	}
	if (p >= end || !is_letter(*p))
		return NULL;
	for (; p < end && (is_letter(*p) || is_digit(*p) || *p == '-' || *p == ':'); p++)
		if (len < (int) sizeof(tag->name) - 1)
			tag->name[len++] = pg_ascii_tolower((unsigned char) *p);
	return read_attributes(p, end, tag);
}

/* What follows the closing tag of that name; end if there is none. */
static const char *
skip_element(const char *p, const char *end, const char *name)
{
	int			len = strlen(name);

	while (p < end && (p = memchr(p, '<', end - p)) != NULL)
	{
		Tag			tag;

		if (end - p > len + 2 && p[1] == '/' && pg_strncasecmp(p + 2, name, len) == 0 &&
			!is_letter(p[len + 2]) && !is_digit(p[len + 2]))
			return read_tag(p, end, &tag);
		p++;
	}
	return end;
}

static void
begin_item(Writer *writer)
{
	char		bullet[16] = "* ";

	writer->bullet_end = 0;
	want_breaks(writer, 1);
	settle(writer);
	for (int i = 1; i < Min(writer->nlists, LIST_MAX); i++)
		appendStringInfoString(&writer->out, "  ");
	if (writer->nlists > 0 && writer->nlists <= LIST_MAX && writer->items[writer->nlists - 1] > 0)
		snprintf(bullet, sizeof(bullet), "%d. ", writer->items[writer->nlists - 1]++);
	appendStringInfoString(&writer->out, bullet);
	writer->bullet_end = writer->out.len;
}

static void
begin_list(Writer *writer, bool ordered)
{
	want_breaks(writer, writer->nlists == 0 ? 2 : 1);
	if (writer->nlists < LIST_MAX)
		writer->items[writer->nlists] = ordered ? 1 : 0;
	writer->nlists++;
}

static void
end_list(Writer *writer)
{
	if (writer->nlists > 0)
		writer->nlists--;
	want_breaks(writer, writer->nlists == 0 ? 2 : 1);
}

/* Write the address of a link behind its text, unless the text says it already. */
static void
end_link(Writer *writer)
{
	const char *address = writer->href;
	const char *text;
	int			text_len;

	if (address == NULL)
		return;
	writer->href = NULL;
	if (pg_strncasecmp(address, "mailto:", 7) == 0)
		address += 7;
	else if (pg_strncasecmp(address, "tel:", 4) == 0)
		address += 4;
	/* a place in the document itself is nowhere in its text */
	if (*address == '#' || *address == '\0')
		return;
	text = writer->out.data + writer->href_start;
	text_len = Max(writer->out.len - writer->href_start, 0);
	while (text_len > 0 && scanner_isspace(*text))
	{
		text++;
		text_len--;
	}
	if (text_len == strlen(address) && memcmp(text, address, text_len) == 0)
		return;
	if (text_len == 0)
		write_text(writer, address, strlen(address));
	else
		appendStringInfo(&writer->out, " (%s)", address);
}

/*
 * Do what a tag means; returns where to go on, p unless something is skipped.
 */
static const char *
apply_tag(Writer *writer, const Tag *tag, const char *p, const char *end)
{
	TagEffect	effect = TAG_BLOCK;
	bool		known = false;
	char	   *text;

	for (int i = 0; i < (int) lengthof(effects) && !known; i++)
		if (strcmp(effects[i].name, tag->name) == 0)
		{
			effect = effects[i].effect;
			known = true;
		}
	if (!known)
		return p;

	switch (effect)
	{
		case TAG_BLOCK:
			want_breaks(writer, 1);
			break;
		case TAG_PARAGRAPH:
			want_breaks(writer, 2);
			break;
		case TAG_BREAK:
			/* each counts, except between paragraphs */
			writer->space = false;
			if (writer->breaks < 2)
			{
				settle(writer);
				writer->breaks = 1;
			}
			break;
		case TAG_RULE:
			want_breaks(writer, 1);
			write_text(writer, "----------", 10);
			want_breaks(writer, 1);
			break;
		case TAG_CELL:
			write_blank(writer, ' ');
			break;
		case TAG_LIST:
		case TAG_ORDERED_LIST:
			if (tag->closing)
				end_list(writer);
			else
				begin_list(writer, effect == TAG_ORDERED_LIST);
			break;
		case TAG_ITEM:
			if (tag->closing)
				want_breaks(writer, 1);
			else
				begin_item(writer);
			break;
		case TAG_LINK:
			end_link(writer);
			if (!tag->closing)
			{
				writer->href = decode_attribute(tag->href);
				writer->href_start = writer->out.len;
			}
			break;
		case TAG_IMAGE:
			if ((text = decode_attribute(tag->alt)) != NULL)
				write_text(writer, text, strlen(text));
			break;
		case TAG_PRE:
			/* line breaks beside the tags are the author's, not the reader's */
			if (tag->closing && writer->pre > 0 && writer->breaks == 0 &&
				writer->out.len > 0 && writer->out.data[writer->out.len - 1] == '\n')
				writer->out.data[--writer->out.len] = '\0';
			want_breaks(writer, 2);
			writer->pre = Max(writer->pre + (tag->closing ? -1 : 1), 0);
			if (!tag->closing && p < end && *p == '\n')
				return p + 1;
			break;
		case TAG_DROPPED:
			if (!tag->closing)
				return skip_element(p, end, tag->name);
			break;
	}
	return p;
}

char *
ec_html_to_text(const char *html, int len)
{
	const char *p = html;
	const char *end = html + len;
	const char *next;
	Writer		writer = {0};
	char		decoded[MAX_MULTIBYTE_CHAR_LEN + 1];
	Tag			tag;
	int			taken;

	initStringInfo(&writer.out);
	while (p < end)
	{
		CHECK_FOR_INTERRUPTS();
		if (*p == '<' && (next = read_tag(p, end, &tag)) != NULL)
			p = apply_tag(&writer, &tag, next, end);
		else if (*p == '&' && (taken = decode_entity(p, end, decoded)) > 0)
		{
			if (decoded[0] != '\0')
				write_text(&writer, decoded, strlen(decoded));
			p += taken;
		}
		else if (is_blank(*p))
			write_blank(&writer, *p++);
		else
		{
			/* as much as is plain text */
			for (next = p + 1; next < end && *next != '<' && *next != '&' && !is_blank(*next);)
				next++;
			write_text(&writer, p, next - p);
			p = next;
		}
	}
	end_link(&writer);
	if (writer.out.len > 0 && writer.out.data[writer.out.len - 1] != '\n')
		appendStringInfoChar(&writer.out, '\n');
	return writer.out.data;
}

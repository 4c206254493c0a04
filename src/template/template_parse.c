/*-------------------------------------------------------------------------
 *
 * template_parse.c
 *		Mustache text to a flat list of operations.
 *
 * The language is the one of the public Mustache specification, core modules:
 * variables, sections, inverted sections, comments, partials and set
 * delimiters.
 *
 * "Order {{number}}{{#lines}} {{qty}}{{/lines}}" becomes
 *
 *		0 text		"Order "
 *		1 value		number
 *		2 section	lines, next = 5
 *		3 text		" "
 *		4 value		qty
 *
 * so that rendering a section is rendering the range behind it, and skipping
 * it is going to next.  Comments and delimiters leave nothing behind.
 *
 * A tag that is no variable and stands alone on its line takes the line with
 * it.  A partial that does so indents every line of what it includes; since
 * one text can be included with different indentations, operations do not
 * hold it: text that begins a line is marked, and the renderer adds the
 * indentation there.  A kept line that begins with a tag gets an empty text
 * to carry the mark.
 *
 * Every server encoding keeps ASCII bytes for ASCII characters, so the text
 * is scanned byte by byte.  Each byte is looked at a few times at most.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "template/template.h"

#define DELIMITER_MAX 16		/* bytes */
#define EXCERPT		  40		/* characters */

/* A section that is not closed yet. */
typedef struct Open
{
	uint32		op;
	uint32		pos;			/* of its name */
	uint32		len;
} Open;

typedef struct Parser
{
	const char *text;
	uint32		len;
	const char *what;
	char		open[DELIMITER_MAX + 1];
	uint32		open_len;
	char		close[DELIMITER_MAX + 1];
	uint32		close_len;
	EcTemplateOp *ops;
	uint32		nops;
	uint32		max_ops;
	EcTemplatePart *parts;
	uint32		nparts;
	uint32		max_parts;
	Open		sections[EC_TEMPLATE_NESTING];
	int			nsections;
} Parser;

/* A tag, from its opening to its closing delimiter. */
typedef struct Tag
{
	uint32		start;
	uint32		end;			/* behind the closing delimiter */
	char		sigil;			/* one of "{&#^/>!=", or 0: a variable */
	uint32		content;		/* what is between, without surrounding blanks */
	uint32		content_len;
} Tag;

void
ec_template_error(int code, const char *text, int len, uint32 pos, const char *what,
				  const char *message, const char *hint)
{
	int			line = 1;
	const char *start = text;
	const char *end = text + pos;
	const char *newline;
	int			excerpt;

	while ((newline = memchr(start, '\n', end - start)) != NULL)
	{
		line++;
		start = newline + 1;
	}
	newline = memchr(end, '\n', len - pos);
	excerpt = (newline != NULL) ? newline - end : len - (int) pos;
	if (excerpt > 0 && end[excerpt - 1] == '\r')
		excerpt--;
	if (excerpt > EXCERPT)
	{
		int			all = excerpt;

		excerpt = pg_mbcharcliplen(end, all, EXCERPT);
		ereport(ERROR,
				(errcode(code),
				 errmsg_internal("%s", message),
				 errdetail("In %s, line %d, column %d: \"%s...\".", what, line,
						   pg_mbstrlen_with_len(start, end - start) + 1, pnstrdup(end, excerpt)),
				 hint ? errhint("%s", hint) : 0));
	}
	ereport(ERROR,
			(errcode(code),
			 errmsg_internal("%s", message),
			 errdetail("In %s, line %d, column %d: \"%s\".", what, line,
					   pg_mbstrlen_with_len(start, end - start) + 1, pnstrdup(end, excerpt)),
			 hint ? errhint("%s", hint) : 0));
}

pg_noreturn static void
fail(const Parser *parser, uint32 pos, const char *message, const char *hint)
{
	ec_template_error(ERRCODE_SYNTAX_ERROR, parser->text, parser->len, pos, parser->what,
					  message, hint);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_space(char c)
{
	return is_blank(c) || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

/* Offset of what in the text from pos on, or -1. */
static int64
find(const Parser *parser, uint32 pos, const char *what, uint32 what_len)
{
	const char *p = parser->text + pos;
	const char *end = parser->text + parser->len;

	while (end - p >= (ptrdiff_t) what_len &&
		   (p = memchr(p, *what, end - p - what_len + 1)) != NULL)
	{
		if (memcmp(p, what, what_len) == 0)
			return p - parser->text;
		p++;
	}
	return -1;
}

static EcTemplateOp *
add_op(Parser *parser, EcTemplateOpKind kind, uint32 pos)
{
	EcTemplateOp *op;

	if (parser->nops == parser->max_ops)
	{
		parser->max_ops *= 2;
		parser->ops = repalloc(parser->ops, sizeof(EcTemplateOp) * parser->max_ops);
	}
	op = &parser->ops[parser->nops++];
	memset(op, 0, sizeof(*op));
	op->kind = kind;
	op->pos = pos;
	return op;
}

/*
 * The text from start to end, which a tag or the end of the template follows.
 * Without text it is still needed where a kept line begins with a tag.
 */
static void
add_text(Parser *parser, uint32 start, uint32 end, bool tag_follows)
{
	bool		line_start = (start == 0 || parser->text[start - 1] == '\n');
	EcTemplateOp *op;

	if (end > start)
	{
		op = add_op(parser, EC_TEMPLATE_TEXT, start);
		op->len = end - start;
		op->line_start = line_start;
		line_start = (parser->text[end - 1] == '\n');
		start = end;
	}
	if (line_start && tag_follows)
		add_op(parser, EC_TEMPLATE_TEXT, start)->line_start = true;
}

static void
add_part(Parser *parser, uint32 pos, uint32 len)
{
	if (parser->nparts == parser->max_parts)
	{
		parser->max_parts *= 2;
		parser->parts = repalloc(parser->parts, sizeof(EcTemplatePart) * parser->max_parts);
	}
	parser->parts[parser->nparts].pos = pos;
	parser->parts[parser->nparts].len = len;
	parser->nparts++;
}

static char *
content_of(const Parser *parser, const Tag *tag)
{
	return pnstrdup(parser->text + tag->content, tag->content_len);
}

/* A name is there, of sensible length and one word. */
static void
check_name(const Parser *parser, const Tag *tag)
{
	if (tag->content_len == 0)
		fail(parser, tag->start, _("tag without a name"),
			 _("Write a name between the delimiters, or \".\" for the current value."));
	if (tag->content_len > EC_TEMPLATE_NAME_MAX)
		ec_template_error(ERRCODE_PROGRAM_LIMIT_EXCEEDED, parser->text, parser->len, tag->start,
						  parser->what, _("name in a tag is too long"),
						  psprintf(_("A name has at most %d bytes; is a closing delimiter missing?"),
								   EC_TEMPLATE_NAME_MAX));
	for (uint32 i = 0; i < tag->content_len; i++)
		if (is_space(parser->text[tag->content + i]))
			fail(parser, tag->start, psprintf(_("invalid name \"%s\" in a tag"), content_of(parser, tag)),
				 _("A name has no blanks; there are no filters or expressions."));
}

/* Take over a name with dots, or "." alone. */
static void
add_name(Parser *parser, EcTemplateOp *op, const Tag *tag)
{
	const char *name = parser->text + tag->content;
	uint32		start = 0;

	op->part = parser->nparts;
	if (tag->content_len == 1 && *name == '.')
		return;
	for (uint32 i = 0; i <= tag->content_len; i++)
	{
		if (i < tag->content_len && name[i] != '.')
			continue;
		if (i == start)
			fail(parser, tag->start, psprintf(_("invalid name \"%s\" in a tag"), content_of(parser, tag)),
				 _("A dot stands between two names."));
		add_part(parser, tag->content + start, i - start);
		op->nparts++;
		start = i + 1;
	}
}

/*
 * Take over new delimiters: two words, which must not hold "=".
 */
static void
set_delimiters(Parser *parser, const Tag *tag)
{
	const char *content = parser->text + tag->content;
	uint32		first = 0;
	uint32		second;
	const char *problem = NULL;

	while (first < tag->content_len && !is_space(content[first]))
		first++;
	for (second = first; second < tag->content_len && is_space(content[second]);)
		second++;
	if (first == 0 || second == tag->content_len)
		problem = _("Two delimiters are needed.");
	for (uint32 i = second; i < tag->content_len; i++)
		if (is_space(content[i]))
			problem = _("Two delimiters are needed.");
	if (memchr(content, '=', tag->content_len) != NULL)
		problem = _("A delimiter must not contain \"=\".");
	if (first > DELIMITER_MAX || tag->content_len - second > DELIMITER_MAX)
		problem = psprintf(_("A delimiter has at most %d bytes."), DELIMITER_MAX);
	if (problem != NULL)
		fail(parser, tag->start, _("invalid delimiters"),
			 psprintf(_("%s Set them like \"{{=<%% %%>=}}\"."), problem));

	parser->open_len = first;
	memcpy(parser->open, content, first);
	parser->close_len = tag->content_len - second;
	memcpy(parser->close, content + second, parser->close_len);
}

/*
 * Read the tag that begins at start.
 */
static void
read_tag(const Parser *parser, uint32 start, Tag *tag)
{
	uint32		pos = start + parser->open_len;
	char		closing[DELIMITER_MAX + 2];
	uint32		closing_len = 0;
	int64		end;

	tag->start = start;
	tag->sigil = 0;
	if (pos < parser->len && parser->text[pos] != '\0' && strchr("{&#^/>!=", parser->text[pos]) != NULL)
		tag->sigil = parser->text[pos++];
	if (tag->sigil == '{' || tag->sigil == '=')
		closing[closing_len++] = (tag->sigil == '{') ? '}' : '=';
	memcpy(closing + closing_len, parser->close, parser->close_len);
	closing_len += parser->close_len;

	end = find(parser, pos, closing, closing_len);
	if (end < 0)
		fail(parser, start, _("tag is not closed"),
			 psprintf(_("Close it with \"%s\"."), pnstrdup(closing, closing_len)));
	tag->end = (uint32) end + closing_len;
	while (pos < end && is_space(parser->text[pos]))
		pos++;
	while (end > pos && is_space(parser->text[end - 1]))
		end--;
	tag->content = pos;
	tag->content_len = (uint32) end - pos;
}

/*
 * Is the tag alone on its line?  If so *line is where the line begins and
 * *next where the next one does.
 */
static bool
stands_alone(const Parser *parser, const Tag *tag, uint32 *line, uint32 *next)
{
	uint32		before = tag->start;
	uint32		after = tag->end;

	if (tag->sigil == 0 || tag->sigil == '{' || tag->sigil == '&')
		return false;
	while (before > 0 && is_blank(parser->text[before - 1]))
		before--;
	if (before > 0 && parser->text[before - 1] != '\n')
		return false;
	while (after < parser->len && is_blank(parser->text[after]))
		after++;
	if (after < parser->len && parser->text[after] == '\r')
		after++;
	if (after < parser->len && parser->text[after] != '\n')
		return false;
	/* a lone carriage return at the end is text */
	if (after == parser->len && after > tag->end && parser->text[after - 1] == '\r')
		return false;
	*line = before;
	*next = Min(after + 1, parser->len);
	return true;
}

static void
open_section(Parser *parser, const Tag *tag)
{
	EcTemplateOp *op;

	check_name(parser, tag);
	if (parser->nsections == EC_TEMPLATE_NESTING)
		ec_template_error(ERRCODE_PROGRAM_LIMIT_EXCEEDED, parser->text, parser->len, tag->start,
						  parser->what, _("sections are nested too deeply"),
						  psprintf(_("The limit is %d."), EC_TEMPLATE_NESTING));
	parser->sections[parser->nsections].op = parser->nops;
	parser->sections[parser->nsections].pos = tag->content;
	parser->sections[parser->nsections].len = tag->content_len;
	parser->nsections++;
	op = add_op(parser, tag->sigil == '#' ? EC_TEMPLATE_SECTION : EC_TEMPLATE_INVERTED, tag->start);
	add_name(parser, op, tag);
}

static void
close_section(Parser *parser, const Tag *tag)
{
	const Open *open;

	check_name(parser, tag);
	if (parser->nsections == 0)
		fail(parser, tag->start,
			 psprintf(_("closing tag \"%s\" without a section"), content_of(parser, tag)),
			 psprintf(_("Open the section before it with \"%s#%s%s\", or take the tag out."),
					  pnstrdup(parser->open, parser->open_len), content_of(parser, tag),
					  pnstrdup(parser->close, parser->close_len)));
	open = &parser->sections[--parser->nsections];
	if (open->len != tag->content_len ||
		memcmp(parser->text + open->pos, parser->text + tag->content, open->len) != 0)
	{
		char	   *name = pnstrdup(parser->text + open->pos, open->len);

		fail(parser, tag->start,
			 psprintf(_("closing tag \"%s\" does not match section \"%s\""), content_of(parser, tag), name),
			 psprintf(_("Close section \"%s\" first: sections end in the reverse order of their beginning."), name));
	}
	parser->ops[open->op].next = parser->nops;
}

/* Every section is closed at the end of the text. */
static void
check_closed(const Parser *parser)
{
	const Open *open;
	char	   *name;

	if (parser->nsections == 0)
		return;
	open = &parser->sections[parser->nsections - 1];
	name = pnstrdup(parser->text + open->pos, open->len);
	fail(parser, parser->ops[open->op].pos, psprintf(_("section \"%s\" is not closed"), name),
		 psprintf(_("Close it with \"%s/%s%s\"."), pnstrdup(parser->open, parser->open_len),
				  name, pnstrdup(parser->close, parser->close_len)));
}

/*
 * Add the tag's operation.  A tag alone on its line has line as the offset of
 * that line, others have -1.
 */
static void
add_tag(Parser *parser, const Tag *tag, int64 line)
{
	EcTemplateOp *op;

	switch (tag->sigil)
	{
		case '!':
			break;
		case '=':
			set_delimiters(parser, tag);
			break;
		case '#':
		case '^':
			open_section(parser, tag);
			break;
		case '/':
			close_section(parser, tag);
			break;
		case '>':
			check_name(parser, tag);
			op = add_op(parser, EC_TEMPLATE_PARTIAL, tag->start);
			op->part = parser->nparts;
			op->nparts = 1;
			if (line >= 0)
			{
				op->line_start = true;
				op->next = (uint32) line;
				op->len = tag->start - (uint32) line;
			}
			add_part(parser, tag->content, tag->content_len);
			break;
		default:
			check_name(parser, tag);
			op = add_op(parser, tag->sigil == 0 ? EC_TEMPLATE_VALUE : EC_TEMPLATE_RAW, tag->start);
			add_name(parser, op, tag);
			break;
	}
}

/* All that was parsed, in one block. */
static EcTemplate *
pack(const Parser *parser)
{
	Size		ops_size = sizeof(EcTemplateOp) * parser->nops;
	Size		parts_size = sizeof(EcTemplatePart) * parser->nparts;
	Size		size = MAXALIGN(sizeof(EcTemplate)) + ops_size + parts_size + parser->len + 1;
	char	   *block = palloc(size);
	EcTemplate *template = (EcTemplate *) block;
	char	   *p = block + MAXALIGN(sizeof(EcTemplate));

	template->ops = memcpy(p, parser->ops, ops_size);
	template->parts = memcpy(p + ops_size, parser->parts, parts_size);
	p += ops_size + parts_size;
	memcpy(p, parser->text, parser->len);
	p[parser->len] = '\0';
	template->text = p;
	template->len = (int) parser->len;
	template->nops = (int) parser->nops;
	template->nparts = (int) parser->nparts;
	template->size = size;
	return template;
}

EcTemplate *
ec_template_parse(const char *text, int len, const char *what)
{
	Parser		parser;
	EcTemplate *template;
	uint32		pos = 0;
	int64		start;

	if (len > EC_TEMPLATE_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("template is too long"),
				 errdetail("Length of %s is %d bytes, the limit is %d.", what, len, EC_TEMPLATE_MAX),
				 errhint("Put parts of it into partials, and pictures behind links.")));

	memset(&parser, 0, offsetof(Parser, sections));
	parser.text = text;
	parser.len = (uint32) len;
	parser.what = what;
	memcpy(parser.open, "{{", parser.open_len = 2);
	memcpy(parser.close, "}}", parser.close_len = 2);
	parser.max_ops = 16;
	parser.ops = palloc(sizeof(EcTemplateOp) * parser.max_ops);
	parser.max_parts = 16;
	parser.parts = palloc(sizeof(EcTemplatePart) * parser.max_parts);
	parser.nsections = 0;

	while ((start = find(&parser, pos, parser.open, parser.open_len)) >= 0)
	{
		Tag			tag;
		uint32		line;
		uint32		next;

		CHECK_FOR_INTERRUPTS();
		read_tag(&parser, (uint32) start, &tag);
		if (stands_alone(&parser, &tag, &line, &next))
		{
			add_text(&parser, pos, line, false);
			add_tag(&parser, &tag, line);
			pos = next;
		}
		else
		{
			add_text(&parser, pos, tag.start, true);
			add_tag(&parser, &tag, -1);
			pos = tag.end;
		}
	}
	add_text(&parser, pos, parser.len, false);
	check_closed(&parser);

	template = pack(&parser);
	pfree(parser.ops);
	pfree(parser.parts);
	return template;
}

char *
ec_template_op_name(const EcTemplate *template, const EcTemplateOp *op)
{
	const EcTemplatePart *first = &template->parts[op->part];
	const EcTemplatePart *last;

	if (op->nparts == 0)
		return pstrdup(".");
	last = first + op->nparts - 1;
	return pnstrdup(template->text + first->pos, last->pos + last->len - first->pos);
}

/*-------------------------------------------------------------------------
 *
 * template.h
 *		Mustache over jsonb: parse, render, check; and mail made of it.
 *
 * Life of a template: text -> ec_template_parse() -> EcTemplate, a flat list
 * of operations -> ec_template_render() with data.  ec_template_get() keeps
 * what was parsed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_TEMPLATE_H
#define EC_TEMPLATE_H

#include "core/core.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#define EC_TEMPLATE_MAX		   (1024 * 1024)	  /* bytes of one template's text */
#define EC_TEMPLATE_OUTPUT_MAX (64 * 1024 * 1024) /* bytes that one call may render */
#define EC_TEMPLATE_NAME_MAX   255				  /* bytes of a name in a tag */
#define EC_TEMPLATE_NESTING	   200				  /* sections in sections in one text */
#define EC_TEMPLATE_PARTIALS   100				  /* partials in partials */

/* ---- template_parse.c ---- */

typedef enum EcTemplateOpKind
{
	EC_TEMPLATE_TEXT,			/* copied as it stands */
	EC_TEMPLATE_VALUE,			/* {{name}}: escaped */
	EC_TEMPLATE_RAW,			/* {{{name}}}, {{&name}} */
	EC_TEMPLATE_SECTION,		/* {{#name}} */
	EC_TEMPLATE_INVERTED,		/* {{^name}} */
	EC_TEMPLATE_PARTIAL			/* {{>name}} */
} EcTemplateOpKind;

/*
 * One operation.  Offsets are into the template's text.  The operations of a
 * section's inside follow it, up to next.
 */
typedef struct EcTemplateOp
{
	uint8		kind;			/* EcTemplateOpKind */
	bool		line_start;		/* text: begins a line; partial: alone on its line */
	uint16		nparts;			/* parts of the name; 0: "." */
	uint32		pos;			/* of the text, or of the tag (for messages) */
	uint32		len;			/* text: bytes; partial: bytes of its indentation */
	uint32		part;			/* index of the name's first part; partial: of its name */
	uint32		next;			/* section, inverted: index of the operation after it;
								 * partial: offset of its indentation */
} EcTemplateOp;

/* One part of a dotted name. */
typedef struct EcTemplatePart
{
	uint32		pos;
	uint32		len;
} EcTemplatePart;

typedef struct EcTemplate
{
	const char *text;
	int			len;			/* of text, in bytes */
	const EcTemplateOp *ops;
	int			nops;
	const EcTemplatePart *parts;
	int			nparts;
	Size		size;			/* of all of it, in bytes */
} EcTemplate;

/*
 * Parse a template; what says in messages which text it is ("the template").
 * The result is one block in the current context.
 * Errors: syntax_error, program_limit_exceeded.
 */
extern EcTemplate *ec_template_parse(const char *text, int len, const char *what);

/*
 * Raises an error about the place pos of a text of len bytes; hint may be
 * NULL.  The detail names line and column (in characters, from 1).
 */
pg_noreturn extern void ec_template_error(int code, const char *text, int len, uint32 pos,
										  const char *what, const char *message, const char *hint);

/* Name of an operation's tag as written, in the current context. */
extern char *ec_template_op_name(const EcTemplate *template, const EcTemplateOp *op);

/* ---- template_cache.c ---- */

/* Forget what was not used lately; only while no template is in use. */
extern void ec_template_cache_trim(void);

/*
 * As ec_template_parse(), but kept for the session; valid until
 * ec_template_cache_trim() at the earliest.  If name is not NULL messages say
 * what and then the name (of name_len bytes) in quotes.
 */
extern const EcTemplate *ec_template_get(const char *text, int len, const char *what,
										 const char *name, int name_len);

/* ---- template_render.c ---- */

/*
 * Where the partials of a template come from.  find returns false if there
 * is none of that name; the text it gives need not end in a zero byte and
 * lives as long as the rendering.
 */
typedef struct EcPartials EcPartials;
struct EcPartials
{
	bool		(*find) (EcPartials *self, const char *name, int name_len,
						 const char **text, int *len);
};

/* Partials in an object: {"name": "text"}. */
typedef struct EcJsonPartials
{
	EcPartials	base;			/* must be first */
	Jsonb	   *object;
} EcJsonPartials;

extern void ec_json_partials_init(EcJsonPartials *partials, Jsonb *object);

/* What a name is looked up in: the innermost value first. */
typedef struct EcTemplateFrame EcTemplateFrame;
struct EcTemplateFrame
{
	JsonbValue	value;
	const EcTemplateFrame *up;	/* NULL: this is the data as a whole */
};

extern void ec_template_frame_init(EcTemplateFrame *frame, Jsonb *data);

/* The value of an operation's name; false if there is none. */
extern bool ec_template_find(const EcTemplate *template, const EcTemplateOp *op,
							 const EcTemplateFrame *frame, JsonbValue *value);

/* Does a section run for it?  Not for false, null, '' and []. */
extern bool ec_template_is_true(const JsonbValue *value);

/*
 * Append what the template makes of data to out; escape: {{name}} for HTML.
 * Unknown names and partials are empty.
 * Errors: syntax_error in a partial, program_limit_exceeded.
 */
extern void ec_template_render(StringInfo out, const EcTemplate *template, Jsonb *data,
							   EcPartials *partials, bool escape);

/* ---- template_check.c ---- */

/*
 * Raise an error unless every partial is there and, if sample is not NULL,
 * every name stands for something in it.
 * Errors: undefined_object, undefined_parameter, program_limit_exceeded.
 */
extern void ec_template_check(const EcTemplate *template, Jsonb *sample, EcPartials *partials,
							  const char *what);

/* ---- template_text.c ---- */

/* The text of an HTML document, in the current context. */
extern char *ec_html_to_text(const char *html, int len);

/* ---- template_mail.c ---- */

/* A mail template as stored; strings are NULL where it has none. */
typedef struct EcMailTemplate
{
	char	   *name;
	char	   *locale;
	char	   *subject;		/* NULL: for use as a partial only */
	char	   *html;
	char	   *body;
	Jsonb	   *sample;
	List	   *partials;		/* names (char *) of the templates it includes */
} EcMailTemplate;

/* Templates that a mail includes, all in the locale of the mail. */
typedef struct EcMailPartials
{
	EcPartials	base;			/* must be first */
	List	   *templates;		/* EcMailTemplate *, everything that can be reached */
	bool		html;			/* which of the two is wanted */
} EcMailPartials;

/* "pl-pl" is "pl_PL"; NULL if it is no locale.  In the current context. */
extern char *ec_locale_normalize(const char *locale);

/*
 * The template for a locale or the nearest more general one, NULL if there is
 * none; and what it includes.  fresh: as of now, else as of the active
 * snapshot.  The caller is connected to SPI; the results are in the context
 * that was current before it connected.
 */
extern EcMailTemplate *ec_mail_template_load(const char *name, const char *locale, bool fresh);
extern void ec_mail_partials_load(EcMailPartials *partials, const EcMailTemplate *template, bool fresh);

/* Raises undefined_object, with the locales there are.  Connected to SPI. */
pg_noreturn extern void ec_mail_template_missing(const char *name, const char *locale);

/* ---- template_kept.c ---- */

/* A mail template with what it includes, ready to be rendered. */
typedef struct EcMailKept
{
	EcMailTemplate *template;
	EcMailPartials partials;
} EcMailKept;

/*
 * The template for a normalized locale or the nearest more general one, as of
 * now, kept by the session until a template changes; NULL if there is none.
 * Valid until the next call.
 */
extern EcMailKept *ec_mail_kept_get(const char *name, const char *locale);

/* Does a template have other locales than ''?  False if it does not exist. */
extern bool ec_mail_kept_localized(const char *name);

/* Templates are about to change: nothing that is kept of them holds. */
extern void ec_mail_kept_forget(void);

/* ---- template_mail.c ---- */

/* A rendered mail; NULL: it has no such part. */
typedef struct EcMailText
{
	char	   *subject;
	char	   *html;
	char	   *body;
} EcMailText;

/* Errors: invalid_parameter_value if the subject would be no single line. */
extern void ec_mail_render(EcMailText *mail, const EcMailTemplate *template,
						   EcMailPartials *partials, Jsonb *data);

#endif							/* EC_TEMPLATE_H */

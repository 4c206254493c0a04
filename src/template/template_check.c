/*-------------------------------------------------------------------------
 *
 * template_check.c
 *		Does a template name only what there is?
 *
 * Rendering treats what it does not know as empty, so a misspelt name would
 * be a hole in every mail.  Here the template is walked with a sample of the
 * data instead, and each name must stand for something in it, if only for
 * null.
 *
 * The inside of a section is looked at with the sample's value, for a list
 * with its first element.  If that value is empty there is nothing to look
 * names up in, and the inside is taken as it is: that is how a sample says
 * what is optional.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/varlena.h"

#include "template/template.h"

#define LEVENSHTEIN_MAX 255		/* characters; varstr_levenshtein() takes no more */
#define SEARCH_DEPTH	4		/* objects in objects in which a name is searched */

typedef struct Check
{
	EcPartials *partials;
	int			depth;			/* partials that we are in */
} Check;

/* The nearest name that was seen so far. */
typedef struct Nearest
{
	const char *name;
	int			len;
	char	   *found;			/* NULL: none is near enough */
	int			distance;
} Nearest;

static void check_ops(Check *check, const EcTemplate *template, int from, int to,
					  const EcTemplateFrame *frame, const char *what);

static void
compare(Nearest *nearest, const char *key, int len)
{
	int			distance;

	if (pg_mbstrlen_with_len(key, len) > LEVENSHTEIN_MAX ||
		pg_mbstrlen_with_len(nearest->name, nearest->len) > LEVENSHTEIN_MAX)
		return;
	distance = varstr_levenshtein_less_equal(nearest->name, nearest->len, key, len, 1, 1, 1,
											 nearest->distance, true);
	/* as the parser does: beyond half of the name it is another name */
	if (distance < nearest->distance && distance <= nearest->len / 2)
	{
		nearest->distance = distance;
		nearest->found = pnstrdup(key, len);
	}
}

/* Compare with the keys of an object, if value is one. */
static void
compare_keys(Nearest *nearest, const JsonbValue *value)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	key;

	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		return;
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
		if (token == WJB_KEY)
			compare(nearest, key.val.string.val, key.val.string.len);
}

/*
 * The path to a member of that name somewhere inside value, as one would
 * write it in a tag; NULL if there is none.
 */
static char *
path_to(const JsonbValue *value, const char *name, int len, int depth)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	member;
	JsonbValue	key = {0};

	if (depth == 0 || value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		return NULL;
	if (getKeyJsonValueFromContainer(value->val.binary.data, name, len, &member) != NULL)
		return pnstrdup(name, len);
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &member, true)) != WJB_DONE)
	{
		char	   *path;

		if (token == WJB_KEY)
			key = member;
		else if (token == WJB_VALUE && (path = path_to(&member, name, len, depth - 1)) != NULL)
			return psprintf("%.*s.%s", key.val.string.len, key.val.string.val, path);
	}
	return NULL;
}

/*
 * What a name that stands for nothing was perhaps meant to be; NULL if we
 * have no idea.
 */
static char *
suggestion(const EcTemplate *template, const EcTemplateOp *op, const EcTemplateFrame *frame)
{
	const EcTemplatePart *parts = &template->parts[op->part];
	const EcTemplateFrame *root = frame;
	EcTemplateOp prefix = *op;
	JsonbValue	whole;
	Nearest		nearest = {.distance = LEVENSHTEIN_MAX};
	const char *rest;
	int			known;

	/* which part is the first that is not there? */
	for (known = op->nparts - 1; known > 0; known--)
	{
		prefix.nparts = known;
		if (ec_template_find(template, &prefix, frame, &whole))
			break;
	}
	nearest.name = template->text + parts[known].pos;
	nearest.len = parts[known].len;
	/* what follows that part, with its dot */
	rest = ec_template_op_name(template, op) + (parts[known].pos + parts[known].len - parts[0].pos);
	if (known > 0)
	{
		compare_keys(&nearest, &whole);
		if (nearest.found == NULL)
			return NULL;
		return psprintf("%s.%s%s", ec_template_op_name(template, &prefix), nearest.found, rest);
	}
	for (const EcTemplateFrame *f = frame; f != NULL; f = f->up)
	{
		root = f;
		compare_keys(&nearest, &f->value);
	}
	if (nearest.found == NULL)
		nearest.found = path_to(&root->value, nearest.name, nearest.len, SEARCH_DEPTH);
	return nearest.found != NULL ? psprintf("%s%s", nearest.found, rest) : NULL;
}

/* Look up a name in the sample; without a frame nothing is known about it. */
static void
check_name(const EcTemplate *template, const EcTemplateOp *op, const EcTemplateFrame *frame,
		   const char *what, JsonbValue *value)
{
	char	   *meant;

	if (frame == NULL || ec_template_find(template, op, frame, value))
		return;
	meant = suggestion(template, op, frame);
	ec_template_error(ERRCODE_UNDEFINED_PARAMETER, template->text, template->len, op->pos, what,
					  psprintf(_("unknown variable \"%s\" in a template"),
							   ec_template_op_name(template, op)),
					  meant != NULL ? psprintf(_("Perhaps you meant \"%s\"."), meant)
					  : _("The sample data has nothing of that name; it says what is optional by null."));
}

static void
check_section(Check *check, const EcTemplate *template, int op_index,
			  const EcTemplateFrame *frame, const char *what)
{
	const EcTemplateOp *op = &template->ops[op_index];
	EcTemplateFrame inner;
	JsonbValue *first;

	inner.up = frame;
	check_name(template, op, frame, what, &inner.value);
	if (frame == NULL || !ec_template_is_true(&inner.value))
	{
		check_ops(check, template, op_index + 1, op->next, NULL, what);
		return;
	}
	if (inner.value.type == jbvBinary && JsonContainerIsArray(inner.value.val.binary.data))
	{
		first = getIthJsonbValueFromContainer(inner.value.val.binary.data, 0);
		inner.value = *first;
	}
	check_ops(check, template, op_index + 1, op->next, &inner, what);
}

static void
check_partial(Check *check, const EcTemplate *template, const EcTemplateOp *op,
			  const EcTemplateFrame *frame, const char *what)
{
	const EcTemplatePart *name = &template->parts[op->part];
	const EcTemplate *partial;
	const char *text;
	int			len;

	if (check->partials == NULL)
		ec_template_error(ERRCODE_FEATURE_NOT_SUPPORTED, template->text, template->len, op->pos, what,
						  _("partials cannot be used here"), _("Only html and body can include other templates."));
	if (!check->partials->find(check->partials, template->text + name->pos, name->len, &text, &len))
		ec_template_error(ERRCODE_UNDEFINED_OBJECT, template->text, template->len, op->pos, what,
						  psprintf(_("partial \"%s\" does not exist"), ec_template_op_name(template, op)),
						  _("A partial is the same part (html or body) of another mail template; create that one first."));
	if (check->depth == EC_TEMPLATE_PARTIALS)
		ec_template_error(ERRCODE_PROGRAM_LIMIT_EXCEEDED, template->text, template->len, op->pos, what,
						  _("partials are nested too deeply"),
						  _("A partial that includes itself needs a section around it that ends."));
	/* nothing known about the data: the partial could include itself for ever */
	if (frame == NULL)
		return;
	partial = ec_template_get(text, len, "partial", template->text + name->pos, name->len);
	check->depth++;
	check_ops(check, partial, 0, partial->nops, frame,
			  psprintf("partial \"%s\"", ec_template_op_name(template, op)));
	check->depth--;
}

/* As render_ops() walks; frame is NULL where nothing is known about the data. */
static void
check_ops(Check *check, const EcTemplate *template, int from, int to,
		  const EcTemplateFrame *frame, const char *what)
{
	JsonbValue	value;

	check_stack_depth();
	for (int i = from; i < to;)
	{
		const EcTemplateOp *op = &template->ops[i];

		CHECK_FOR_INTERRUPTS();
		i++;
		switch ((EcTemplateOpKind) op->kind)
		{
			case EC_TEMPLATE_TEXT:
				break;
			case EC_TEMPLATE_VALUE:
			case EC_TEMPLATE_RAW:
				check_name(template, op, frame, what, &value);
				break;
			case EC_TEMPLATE_SECTION:
				check_section(check, template, i - 1, frame, what);
				i = op->next;
				break;
			case EC_TEMPLATE_INVERTED:
				/* its inside follows, and is about the same data */
				check_name(template, op, frame, what, &value);
				break;
			case EC_TEMPLATE_PARTIAL:
				check_partial(check, template, op, frame, what);
				break;
		}
	}
}

void
ec_template_check(const EcTemplate *template, Jsonb *sample, EcPartials *partials, const char *what)
{
	Check		check = {.partials = partials};
	EcTemplateFrame root;

	if (sample != NULL)
		ec_template_frame_init(&root, sample);
	check_ops(&check, template, 0, template->nops, sample != NULL ? &root : NULL, what);
}

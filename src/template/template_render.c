/*-------------------------------------------------------------------------
 *
 * template_render.c
 *		What a parsed template makes of data.
 *
 * Names are looked up in frames on the C stack, one for each section that we
 * are in, innermost first: the first part of a dotted name in all of them,
 * the others strictly in what was found.  Values are read in place, nothing of
 * the data is copied.
 *
 * No user's code runs here, and the only errors are those about limits and
 * about the syntax of partials.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "template/template.h"

typedef struct Render
{
	StringInfo	out;
	int			limit;			/* of out->len */
	EcPartials *partials;
	bool		escape;
	int			depth;			/* partials that we are in */
} Render;

/* What stands before each line of a partial. */
typedef struct Indent
{
	const char *text;
	int			len;
} Indent;

static void render_ops(Render *render, const EcTemplate *template, int from, int to,
					   const EcTemplateFrame *frame, const Indent *indent);

/* EcPartials.find of EcJsonPartials */
static bool
json_partial(EcPartials *self, const char *name, int name_len, const char **text, int *len)
{
	Jsonb	   *object = ((EcJsonPartials *) self)->object;
	JsonbValue	value;

	if (!getKeyJsonValueFromContainer(&object->root, name, name_len, &value) ||
		value.type != jbvString)
		return false;
	*text = value.val.string.val;
	*len = value.val.string.len;
	return true;
}

/*
 * Errors: invalid_parameter_value unless object is one and holds strings.
 */
void
ec_json_partials_init(EcJsonPartials *partials, Jsonb *object)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("partials must be an object of strings"),
				 errhint("Write it like {\"footer\": \"Greetings from {{shop}}\"}.")));
	if (JB_ROOT_COUNT(object) > 0)
	{
		it = JsonbIteratorInit(&object->root);
		while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
			if (token == WJB_VALUE && value.type != jbvString)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("partials must be an object of strings"),
						 errdetail("A value in it is no string.")));
	}
	partials->base.find = json_partial;
	partials->object = object;
}

void
ec_template_frame_init(EcTemplateFrame *frame, Jsonb *data)
{
	frame->up = NULL;
	if (JB_ROOT_IS_SCALAR(data))
		(void) JsonbExtractScalar(&data->root, &frame->value);
	else
	{
		frame->value.type = jbvBinary;
		frame->value.val.binary.data = &data->root;
		frame->value.val.binary.len = VARSIZE(data) - VARHDRSZ;
	}
}

/* Member of an object; false if there is none or value is no object. */
static bool
member(const JsonbValue *value, const char *key, int len, JsonbValue *result)
{
	return value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data) &&
		getKeyJsonValueFromContainer(value->val.binary.data, key, len, result) != NULL;
}

bool
ec_template_find(const EcTemplate *template, const EcTemplateOp *op,
				 const EcTemplateFrame *frame, JsonbValue *value)
{
	const EcTemplatePart *part = &template->parts[op->part];

	if (op->nparts == 0)
	{
		*value = frame->value;
		return true;
	}
	while (!member(&frame->value, template->text + part->pos, part->len, value))
		if ((frame = frame->up) == NULL)
			return false;
	for (int i = 1; i < op->nparts; i++)
	{
		JsonbValue	whole = *value;

		part++;
		if (!member(&whole, template->text + part->pos, part->len, value))
			return false;
	}
	return true;
}

bool
ec_template_is_true(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return false;
		case jbvBool:
			return value->val.boolean;
		case jbvString:
			return value->val.string.len > 0;
		case jbvBinary:
			return !JsonContainerIsArray(value->val.binary.data) ||
				JsonContainerSize(value->val.binary.data) > 0;
		default:
			return true;
	}
}

/*
 * Append text in which no character can end an element's text or a quoted
 * attribute.
 */
static void
append_escaped(StringInfo out, const char *text, int len)
{
	const char *end = text + len;
	const char *start = text;

	for (const char *p = text; p < end; p++)
	{
		const char *entity;

		switch (*p)
		{
			case '&':
				entity = "&amp;";
				break;
			case '<':
				entity = "&lt;";
				break;
			case '>':
				entity = "&gt;";
				break;
			case '"':
				entity = "&quot;";
				break;
			case '\'':
				entity = "&#39;";
				break;
			default:
				continue;
		}
		appendBinaryStringInfo(out, start, p - start);
		appendStringInfoString(out, entity);
		start = p + 1;
	}
	appendBinaryStringInfo(out, start, end - start);
}

static void
render_value(StringInfo out, const JsonbValue *value, bool escape)
{
	char	   *text;

	switch (value->type)
	{
		case jbvNull:
			break;
		case jbvString:
			if (escape)
				append_escaped(out, value->val.string.val, value->val.string.len);
			else
				appendBinaryStringInfo(out, value->val.string.val, value->val.string.len);
			break;
		case jbvNumeric:
			text = DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(value->val.numeric)));
			appendStringInfoString(out, text);
			pfree(text);
			break;
		case jbvBool:
			appendStringInfoString(out, value->val.boolean ? "true" : "false");
			break;
		case jbvBinary:
			text = JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
			if (escape)
				append_escaped(out, text, strlen(text));
			else
				appendStringInfoString(out, text);
			pfree(text);
			break;
		default:
			elog(ERROR, "unexpected type %d of a jsonb value", (int) value->type);
	}
}

static void
render_text(Render *render, const EcTemplate *template, const EcTemplateOp *op,
			const Indent *indent)
{
	const char *p = template->text + op->pos;
	const char *end = p + op->len;
	const char *newline;

	if (indent->len == 0)
	{
		appendBinaryStringInfo(render->out, p, op->len);
		return;
	}
	if (op->line_start)
		appendBinaryStringInfo(render->out, indent->text, indent->len);
	while ((newline = memchr(p, '\n', end - p)) != NULL)
	{
		appendBinaryStringInfo(render->out, p, newline + 1 - p);
		p = newline + 1;
		if (p < end)
			appendBinaryStringInfo(render->out, indent->text, indent->len);
	}
	appendBinaryStringInfo(render->out, p, end - p);
}

static void
render_section(Render *render, const EcTemplate *template, int op_index,
			   const EcTemplateFrame *frame, const Indent *indent)
{
	const EcTemplateOp *op = &template->ops[op_index];
	EcTemplateFrame inner;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;

	inner.up = frame;
	if (!ec_template_find(template, op, frame, &value) || !ec_template_is_true(&value))
		return;
	if (value.type != jbvBinary || !JsonContainerIsArray(value.val.binary.data))
	{
		inner.value = value;
		render_ops(render, template, op_index + 1, op->next, &inner, indent);
		return;
	}
	it = JsonbIteratorInit(value.val.binary.data);
	while ((token = JsonbIteratorNext(&it, &inner.value, true)) != WJB_DONE)
		if (token == WJB_ELEM)
			render_ops(render, template, op_index + 1, op->next, &inner, indent);
}

static void
render_partial(Render *render, const EcTemplate *template, const EcTemplateOp *op,
			   const EcTemplateFrame *frame, const Indent *indent)
{
	const EcTemplatePart *name = &template->parts[op->part];
	const EcTemplate *partial;
	const char *text;
	Indent		inner = {NULL, 0};
	char	   *both = NULL;
	int			len;

	if (render->partials == NULL ||
		!render->partials->find(render->partials, template->text + name->pos, name->len, &text, &len))
		return;
	if (render->depth == EC_TEMPLATE_PARTIALS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("partials are nested too deeply"),
				 errdetail("Partial \"%s\" is the one too much, the limit is %d.",
						   ec_template_op_name(template, op), EC_TEMPLATE_PARTIALS),
				 errhint("A partial that includes itself needs a section around it that ends.")));
	partial = ec_template_get(text, len, "partial", template->text + name->pos, name->len);

	/* on a line of its own it is indented as we are, and by what is before it */
	if (op->len > 0)
	{
		both = palloc(indent->len + op->len);
		if (indent->len > 0)
			memcpy(both, indent->text, indent->len);
		memcpy(both + indent->len, template->text + op->next, op->len);
		inner.text = both;
		inner.len = indent->len + op->len;
	}
	else if (op->line_start)
		inner = *indent;

	render->depth++;
	render_ops(render, partial, 0, partial->nops, frame, &inner);
	render->depth--;
	if (both != NULL)
		pfree(both);
}

/*
 * Render the operations from from up to, but not including, to.
 */
static void
render_ops(Render *render, const EcTemplate *template, int from, int to,
		   const EcTemplateFrame *frame, const Indent *indent)
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
				render_text(render, template, op, indent);
				break;
			case EC_TEMPLATE_VALUE:
			case EC_TEMPLATE_RAW:
				if (ec_template_find(template, op, frame, &value))
					render_value(render->out, &value,
								 render->escape && op->kind == EC_TEMPLATE_VALUE);
				break;
			case EC_TEMPLATE_SECTION:
				render_section(render, template, i - 1, frame, indent);
				i = op->next;
				break;
			case EC_TEMPLATE_INVERTED:
				if (ec_template_find(template, op, frame, &value) && ec_template_is_true(&value))
					i = op->next;
				break;
			case EC_TEMPLATE_PARTIAL:
				render_partial(render, template, op, frame, indent);
				break;
		}
		if (render->out->len > render->limit)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("rendered text is too long"),
					 errdetail("The limit is %d bytes.", EC_TEMPLATE_OUTPUT_MAX)));
	}
}

void
ec_template_render(StringInfo out, const EcTemplate *template, Jsonb *data,
				   EcPartials *partials, bool escape)
{
	Render		render = {
		.out = out,
		.limit = out->len + EC_TEMPLATE_OUTPUT_MAX,
		.partials = partials,
		.escape = escape
	};
	EcTemplateFrame root;
	Indent		none = {NULL, 0};

	ec_template_frame_init(&root, data);
	render_ops(&render, template, 0, template->nops, &root, &none);
}

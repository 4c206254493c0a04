/*-------------------------------------------------------------------------
 *
 * flow_variable.c
 *		Do the variables of templates stand for something in the flow?
 *
 * A template in a parameter, and the mail template that a step names, are
 * filled with the context of the run (flow_action.c).  A name such as
 * customer.frist_name would leave a hole in every mail, so it is an error when
 * the flow is created.
 *
 * Looked at are names whose first part is a row (customer.email), and bare
 * ones outside of sections with a dot in them: inside a section a name may
 * belong to its items, and a bare word to what the step adds.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "executor/spi.h"
#include "utils/builtins.h"

#include "flow/flow.h"
#include "template/template.h"

/* names that every context has beside the rows */
static const char *const roots[] = {
	"flow", "at", "subject", "run", "results", "event", "old", "new", "line", "customer", "order", "cart", "sku", "product",
	"price", "stock"
};

/* What members a row has in a context beside its columns in conditions. */
static const struct
{
	const char *row;
	const char *name;
}			extras[] = {
	{"order", "lines"}, {"cart", "lines"}, {"line", "total"}, {"line", "sold_out"}, {"line", "handle"},
	{"line", "product_title"}, {"event", "old"}, {"event", "new"}, {"run", "flow"}, {"run", "version"}, {"run", "step"},
	{"price", "list_key"}, {"price", "valid_from"}, {"price", "valid_until"},
};

static bool
is_root(const char *name)
{
	for (int i = 0; i < lengthof(roots); i++)
		if (strcmp(roots[i], name) == 0)
			return true;
	return false;
}

static bool
has_extra(const char *row, const char *name)
{
	for (int i = 0; i < lengthof(extras); i++)
		if (strcmp(extras[i].row, row) == 0 && strcmp(extras[i].name, name) == 0)
			return true;
	return false;
}

static char *
part_of(const EcTemplate *template, const EcTemplateOp *op, int i)
{
	const EcTemplatePart *part = &template->parts[op->part + i];

	return pnstrdup(template->text + part->pos, part->len);
}

/* The names of a row's columns, for the error. */
static const char *
column_nearest(const EcExprRow *row, const char *name)
{
	const char **names = palloc(sizeof(char *) * row->ncolumns);

	for (int i = 0; i < row->ncolumns; i++)
		names[i] = row->columns[i].name;
	return ec_expr_nearest(name, row->ncolumns, names);
}

pg_noreturn static void
variable_unknown(const char *path, const char *what, const char *name, const char *hint)
{
	ec_flow_error(ERRCODE_UNDEFINED_PARAMETER, path, psprintf("unknown variable \"%s\" in %s", name, what), hint);
}

static void
variable_check(const EcExprScope *scope, const EcTemplate *template, const EcTemplateOp *op, bool in_section,
			   Jsonb *data, const char *path, const char *what)
{
	const char *first = part_of(template, op, 0);
	const char *name = ec_template_op_name(template, op);
	const EcExprRow *row = ec_expr_scope_row(scope, first);
	const char *second;
	const char *nearest;

	/* what the step adds hides what the run has */
	if (op->nparts < 2 ||
		(data != NULL && getKeyJsonValueFromContainer(&data->root, first, strlen(first), &(JsonbValue) {0}) != NULL))
		return;
	if (!is_root(first))
	{
		if (!in_section)
			variable_unknown(path, what, name, (nearest = ec_expr_nearest(first, lengthof(roots), roots)) != NULL ?
							 psprintf("Perhaps you mean \"%s\".", nearest) :
							 "Variables begin with a row such as customer, order, cart, sku, event, run or results.");
		return;
	}
	if (strcmp(first, "results") == 0 || strcmp(first, "flow") == 0 || strcmp(first, "at") == 0 || strcmp(first, "subject") == 0)
		return;
	if (row == NULL && (strcmp(first, "old") == 0 || strcmp(first, "new") == 0))
		return;					/* of kinds of one's own: whatever they tell */
	if (row == NULL)
		variable_unknown(path, what, name, psprintf("The trigger of the flow knows no %s.", first));
	second = part_of(template, op, 1);
	if (ec_expr_row_column(row, second) != NULL || has_extra(first, second))
		return;
	nearest = column_nearest(row, second);
	variable_unknown(path, what, name, nearest != NULL ? psprintf("Perhaps you mean \"%s.%s\".", first, nearest) :
					 psprintf("Row \"%s\" has no such column.", first));
}

/* Check the variables of one text; data: what a step adds to the context, or NULL. */
static void
text_check(const EcFlow *flow, const char *text, Jsonb *data, const char *path, const char *what)
{
	EcTemplate *template = ec_template_parse(text, strlen(text), what);
	EcExprScope *scope = ec_flow_scope(flow, true);
	uint32		section_end = 0;

	for (int i = 0; i < template->nops; i++)
	{
		const EcTemplateOp *op = &template->ops[i];

		if (op->kind == EC_TEMPLATE_TEXT || op->kind == EC_TEMPLATE_PARTIAL || op->nparts == 0)
			continue;
		variable_check(scope, template, op, i < section_end, data, path, what);
		if (op->kind == EC_TEMPLATE_SECTION)
			section_end = Max(section_end, op->next);
	}
}

/* Check each string in the parameters of an action. */
static void
params_check(const EcFlow *flow, const EcFlowOp *op)
{
	JsonbIterator *it = JsonbIteratorInit(&op->params->root);
	JsonbValue	value;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
		if ((token == WJB_VALUE || token == WJB_ELEM) && value.type == jbvString)
			text_check(flow, pnstrdup(value.val.string.val, value.val.string.len), NULL, psprintf("%s.%s", op->path, op->verb),
					   psprintf("parameter of \"%s\"", op->verb));
}

/* A member of parameters: a string, or an object as jsonb. */
static char *
param_string(const EcFlowOp *op, const char *key)
{
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(op->params) ||
		getKeyJsonValueFromContainer(&op->params->root, key, strlen(key), &value) == NULL || value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

static Jsonb *
param_object(const EcFlowOp *op, const char *key)
{
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(op->params) ||
		getKeyJsonValueFromContainer(&op->params->root, key, strlen(key), &value) == NULL ||
		value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
		return NULL;
	return JsonbValueToJsonb(&value);
}

/* The template of a step "mail" must exist and be filled by the flow. */
static void
mail_check(const EcFlow *flow, const EcFlowOp *op)
{
	char	   *name = param_string(op, "template");
	const char *path = psprintf("%s.mail", op->path);
	const char *what;
	EcMailTemplate *mail;
	Jsonb	   *data = param_object(op, "data");

	if (name == NULL)
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, path, "a mail needs \"template\"",
					  "It names a template that ecauto.create_template() made.");
	if (strstr(name, "{{") != NULL)
		return;					/* which one is known only then */
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	mail = ec_mail_template_load(name, "", true);
	SPI_finish();
	if (mail == NULL)
		ec_flow_error(ERRCODE_UNDEFINED_OBJECT, path, psprintf("template \"%s\" does not exist", name),
					  "Create it with ecauto.create_template(), for the locale '' too.");
	what = psprintf("template \"%s\"", name);
	if (mail->subject != NULL)
		text_check(flow, mail->subject, data, path, what);
	if (mail->html != NULL)
		text_check(flow, mail->html, data, path, what);
	if (mail->body != NULL)
		text_check(flow, mail->body, data, path, what);
}

/* Check the templates of an action. */
void
ec_flow_variables_check(const EcFlow *flow, const EcFlowOp *op)
{
	params_check(flow, op);
	if (strcmp(op->name, "mail") == 0)
		mail_check(flow, op);
}

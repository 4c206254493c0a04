/*-------------------------------------------------------------------------
 *
 * flow_step.c
 *		The steps of a definition become operations.
 *
 * A list of steps becomes as many operations in a row, each of which says
 * what follows it; lists inside of steps (then, else, arms, do) come behind.
 * So there are no jumps backwards except by for_each, whose body leads back to
 * it, and a run always comes to an end.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/builtins.h"

#include "flow/flow.h"

/* steps inside of steps */
#define NESTING_MAX 20

typedef struct Steps
{
	EcFlow	   *flow;
	int			size;
	int			depth;
	bool		in_loop;
} Steps;

static int	block_parse(Steps *steps, const EcFlowNode *node, int then);

/* Steps that are not actions, by the key they are known by. */
typedef void (*StepParse) (Steps *steps, int at, const EcFlowNode *step, const EcFlowNode *value);
typedef struct StepKind
{
	const char *verb;
	EcFlowOpKind kind;
	StepParse	parse;
	const char *with[4];		/* keys beside the verb */
} StepKind;

static EcFlowOp *
op(Steps *steps, int at)
{
	return &steps->flow->ops[at];
}

/* Make room for n more operations; returns the index of the first. */
static int
ops_reserve(Steps *steps, int n, const char *path)
{
	EcFlow	   *flow = steps->flow;
	int			first = flow->nops;

	if (flow->nops + n > EC_FLOW_STEPS_MAX)
		ec_flow_error(ERRCODE_PROGRAM_LIMIT_EXCEEDED, path, "flow has too many steps",
					  psprintf("%d are the limit.", EC_FLOW_STEPS_MAX));
	if (flow->nops + n > steps->size)
	{
		steps->size = Max(steps->size * 2, flow->nops + n + 8);
		flow->ops = flow->ops == NULL ? palloc(sizeof(EcFlowOp) * steps->size) :
			repalloc(flow->ops, sizeof(EcFlowOp) * steps->size);
	}
	memset(flow->ops + first, 0, sizeof(EcFlowOp) * n);
	flow->nops += n;
	return first;
}

/* The steps under a key; nothing if it is missing and not needed. */
static int
branch(Steps *steps, const EcFlowNode *step, const char *key, bool needed, int then)
{
	EcFlowNode	node;

	if (ec_flow_node_get(step, key, &node))
		return block_parse(steps, &node, then);
	if (needed)
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, step->path, psprintf("step needs \"%s\"", key),
					  "It is an array of steps.");
	return then;
}

/* ---- each kind ---- */

/* A number of percent: finite, and within least and 100. */
static double
percent(const EcFlowNode *node, const char *what)
{
	double		number = ec_flow_node_number(node, what);

	if (!isfinite(number) || number < 0 || number > 100)
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, node->path,
					  psprintf("%s must be between 0 and 100 percent, not %g", what, number),
					  "Give each arm its share in percent, such as {\"A\": 50, \"B\": 50}.");
	return number;
}

/* Kind of event to wait for, with its keys "of" (whose) beside it. */
static void
event_parse(EcFlowOp *o, const EcFlowNode *step, const EcFlowNode *value)
{
	static const char *const entities[] = {"customer", "order", "cart", "sku", "product", "session"};
	static const EcFlowRow rows[] = {EC_ROW_CUSTOMER, EC_ROW_ORDER, EC_ROW_CART, EC_ROW_SKU, EC_ROW_PRODUCT};
	EcFlowNode	of;
	const char *nearest;
	const EcFlowKind *kind;

	o->event = ec_flow_node_string(value, "kind of event");
	kind = ec_flow_kind(o->event);
	nearest = ec_flow_kind_nearest(o->event);
	if ((ec_flow_kind_is_custom(o->event) && !ec_flow_kind_may_be_custom(o->event)) ||
		(ec_flow_kind_is_custom(o->event) && nearest != NULL) ||
		strcmp(o->event, "schedule") == 0 || strcmp(o->event, "date") == 0 ||
		strcmp(o->event, "inactivity") == 0 || strcmp(o->event, "cart.abandoned") == 0)
		ec_flow_error(ERRCODE_UNDEFINED_OBJECT, value->path,
					  psprintf("a step cannot wait for \"%s\", which is no event", o->event),
					  nearest ? psprintf("Perhaps you mean \"%s\".", nearest) :
					  "It is a kind of event such as order.placed, order.paid, stock.back, or one of your own.");
	if (ec_flow_node_get(step, "of", &of))
	{
		char	   *whose = ec_flow_node_string(&of, "\"of\"");

		for (int i = 0; i < lengthof(entities); i++)
			if (strcmp(whose, entities[i]) == 0 &&
				(i == lengthof(rows) || (kind->rows & EC_ROW_BIT(rows[i])) != 0))
				o->whose = entities[i];
		if (o->whose == NULL)
			ec_flow_error(ERRCODE_UNDEFINED_OBJECT, of.path,
						  psprintf("event \"%s\" tells of no %s", o->event, whose),
						  "\"of\" says whose event it must be: customer, order, cart, sku, product or session.");
	}
}

static void
parse_wait(Steps *steps, int at, const EcFlowNode *step, const EcFlowNode *value)
{
	static const char *const keys[] = {"for", "until", "event", "timeout", "of"};
	EcFlowOp   *o = op(steps, at);
	EcFlowNode	node;
	int			next = o->next;
	int			n = 0;

	if (!ec_flow_node_is_object(value))
	{
		o->span = ec_flow_duration(value, "wait");
		if (ec_flow_node_get(step, "then", &node) || ec_flow_node_get(step, "else", &node))
			ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, node.path, "only a wait for an event has \"then\" and \"else\"",
						  "Put the steps behind the wait.");
		return;
	}
	ec_flow_node_only(value, "a wait", lengthof(keys), keys);
	if (ec_flow_node_get(value, "for", &node) && ++n > 0)
		o->span = ec_flow_duration(&node, "wait");
	if (ec_flow_node_get(value, "until", &node) && ++n > 0)
	{
		o->until = palloc0(sizeof(EcFlowSchedule));
		if (node.value.type == jbvString && memchr(node.value.val.string.val, ' ', node.value.val.string.len) != NULL)
			ec_flow_schedule_weekly(&node, o->until);
		else
			ec_flow_schedule_time(&node, "\"until\"", o->until);
	}
	if (ec_flow_node_get(value, "event", &node) && ++n > 0)
	{
		event_parse(o, value, &node);
		if (!ec_flow_node_get(value, "timeout", &node))
			ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, value->path, "a wait for an event needs \"timeout\"",
						  "It says when the run goes on although the event did not come, such as \"3 days\".");
		o->span = ec_flow_duration(&node, "\"timeout\"");
	}
	if (n != 1)
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, value->path, "a wait needs one of \"for\", \"until\" and \"event\"",
					  "Such as {\"until\": \"09:00\"} or {\"event\": \"order.paid\", \"timeout\": \"3 days\"}.");
	if (o->event != NULL)
	{
		int			came = branch(steps, step, "then", false, next);
		int			not = branch(steps, step, "else", false, next);

		op(steps, at)->next = came;
		op(steps, at)->other = not;
	}
}

static void
parse_if(Steps *steps, int at, const EcFlowNode *step, const EcFlowNode *value)
{
	int			next = op(steps, at)->next;
	int			yes;
	int			no;

	op(steps, at)->condition.text = ec_flow_node_string(value, "\"if\"");
	op(steps, at)->condition.path = value->path;
	yes = branch(steps, step, "then", true, next);
	no = branch(steps, step, "else", false, next);
	op(steps, at)->next = yes;
	op(steps, at)->other = no;
}

static void
parse_split(Steps *steps, int at, const EcFlowNode *step, const EcFlowNode *value)
{
	int			next = op(steps, at)->next;
	EcFlowNode	node;
	List	   *names;
	ListCell   *lc;
	EcFlowArm  *arms;
	double		sum = 0;
	int			n = 0;

	if (!ec_flow_node_is_object(value) || (names = ec_flow_node_keys(value)) == NIL)
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, value->path, "a split needs arms with their shares",
					  "Such as: {\"split\": {\"A\": 50, \"B\": 50}, \"A\": [...], \"B\": [...]}");
	if (ec_flow_node_get(step, "name", &node))
		op(steps, at)->name = ec_flow_node_string(&node, "\"name\"");
	else
		op(steps, at)->name = psprintf("%s/%s", steps->flow->name, step->path);
	arms = palloc0(sizeof(EcFlowArm) * list_length(names));
	foreach(lc, names)
	{
		arms[n].name = lfirst(lc);
		(void) ec_flow_node_get(value, arms[n].name, &node);
		sum += percent(&node, psprintf("share of arm \"%s\"", arms[n].name));
		arms[n].upto = sum / 100;
		n++;
	}
	if (fabs(sum - 100) > 0.001)
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, value->path,
					  psprintf("shares of a split must be 100 percent together, not %g", sum),
					  "An arm with no steps takes those to whom nothing is to happen.");
	arms[n - 1].upto = 1;
	foreach(lc, ec_flow_node_keys(step))
	{
		bool		known = strcmp(lfirst(lc), "split") == 0 || strcmp(lfirst(lc), "name") == 0;

		for (int i = 0; i < n; i++)
			known = known || strcmp(lfirst(lc), arms[i].name) == 0;
		if (!known)
			ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, psprintf("%s.%s", step->path, (char *) lfirst(lc)),
						  psprintf("the split has no arm \"%s\"", (char *) lfirst(lc)),
						  "Each list of steps beside \"split\" belongs to an arm that has a share.");
	}
	op(steps, at)->narms = n;
	op(steps, at)->arms = arms;
	for (int i = 0; i < n; i++)
		arms[i].target = branch(steps, step, arms[i].name, false, next);
}

static void
parse_holdout(Steps *steps, int at, const EcFlowNode *step, const EcFlowNode *value)
{
	static const char *const keys[] = {"percent", "name"};
	EcFlowOp   *o = op(steps, at);
	EcFlowNode	share = *value;
	EcFlowNode	node;

	o->name = psprintf("%s/holdout", steps->flow->name);
	if (ec_flow_node_is_object(value))
	{
		ec_flow_node_only(value, "a holdout", lengthof(keys), keys);
		if (!ec_flow_node_get(value, "percent", &share))
			ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, value->path, "a holdout needs \"percent\"", NULL);
		if (ec_flow_node_get(value, "name", &node))
			o->name = ec_flow_node_string(&node, "\"name\"");
	}
	o->share = percent(&share, "holdout") / 100;
}

static void
parse_for_each(Steps *steps, int at, const EcFlowNode *step, const EcFlowNode *value)
{
	char	   *what = ec_flow_node_string(value, "\"for_each\"");
	int			next = op(steps, at)->next;
	bool		cart = strcmp(what, "cart_line") == 0 || strcmp(what, "cart.lines") == 0;
	int			body;

	if (!cart && strcmp(what, "order_line") != 0 && strcmp(what, "order.lines") != 0)
		ec_flow_error(ERRCODE_UNDEFINED_OBJECT, value->path, psprintf("a step cannot go through each \"%s\"", what),
					  "It is \"order.lines\" or \"cart.lines\".");
	if ((steps->flow->rows & EC_ROW_BIT(cart ? EC_ROW_CART : EC_ROW_ORDER)) == 0)
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, value->path,
					  psprintf("trigger \"%s\" knows no %s", steps->flow->kind_name, cart ? "cart" : "order"), NULL);
	if (steps->in_loop)
		ec_flow_error(ERRCODE_FEATURE_NOT_SUPPORTED, value->path, "a for_each cannot stand in another", NULL);
	op(steps, at)->name = cart ? "cart_line" : "order_line";
	steps->in_loop = true;
	body = branch(steps, step, "do", true, at);
	steps->in_loop = false;
	op(steps, at)->next = body;
	op(steps, at)->other = next;
}

static void
parse_exit(Steps *steps, int at, const EcFlowNode *step, const EcFlowNode *value)
{
	if (value->value.type == jbvString)
		op(steps, at)->name = ec_flow_node_string(value, "\"exit\"");
	else if (value->value.type != jbvBool && value->value.type != jbvNull)
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, value->path, "\"exit\" must be a reason",
					  "Such as {\"exit\": \"not interested\"}, or {\"exit\": true}.");
}

static void
parse_goal(Steps *steps, int at, const EcFlowNode *step, const EcFlowNode *value)
{
	EcFlowNode	node;

	event_parse(op(steps, at), step, value);
	if (ec_flow_node_get(step, "within", &node))
		op(steps, at)->span = ec_flow_duration(&node, "\"within\"");
}

static const StepKind step_kinds[] = {
	{"wait", EC_OP_WAIT, parse_wait, {"then", "else"}},
	{"if", EC_OP_IF, parse_if, {"then", "else"}},
	{"split", EC_OP_SPLIT, parse_split, {NULL}},	/* looks at its keys itself */
	{"holdout", EC_OP_HOLDOUT, parse_holdout, {NULL}},
	{"for_each", EC_OP_FOR_EACH, parse_for_each, {"do"}},
	{"exit", EC_OP_EXIT, parse_exit, {NULL}},
	{"goal", EC_OP_GOAL, parse_goal, {"within", "of"}},
};

/* ---- actions ---- */

/* Does a value hold a text with a tag of a template? */
static bool
has_templates(Jsonb *params)
{
	JsonbIterator *it = JsonbIteratorInit(&params->root);
	JsonbValue	value;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
		if ((token == WJB_VALUE || token == WJB_ELEM) && value.type == jbvString &&
			strstr(pnstrdup(value.val.string.val, value.val.string.len), "{{") != NULL)
			return true;
	return false;
}

static void
action_parse(Steps *steps, int at, const EcFlowNode *step, const char *name)
{
	EcFlowOp   *o = op(steps, at);
	EcFlowNode	value;
	EcFlowNode	node;

	(void) ec_flow_node_get(step, name, &value);
	o->kind = EC_OP_ACTION;
	o->verb = o->name = name;
	o->params = ec_flow_node_jsonb(&value);
	o->templates = has_templates(o->params);
	if (ec_flow_node_get(step, "as", &node))
		o->as = ec_flow_node_string(&node, "\"as\"");
}

/* ---- a step, a list of steps ---- */

static void
step_parse(Steps *steps, int at, const EcFlowNode *step)
{
	const StepKind *kind = NULL;
	EcFlowNode	value;
	List	   *keys;
	ListCell   *lc;
	const char *verb = NULL;

	if (!ec_flow_node_is_object(step) || (keys = ec_flow_node_keys(step)) == NIL)
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, step->path, "a step must be an object",
					  "Such as: {\"wait\": \"1 day\"} or {\"mail\": {\"template\": \"welcome\"}}");
	op(steps, at)->path = step->path;

	for (int i = 0; i < lengthof(step_kinds); i++)
		if (ec_flow_node_get(step, step_kinds[i].verb, &value))
		{
			kind = &step_kinds[i];
			break;
		}
	if (kind != NULL)
	{
		const char *allowed[5] = {kind->verb};
		int			n = 1;

		while (n < 5 && kind->with[n - 1] != NULL)
		{
			allowed[n] = kind->with[n - 1];
			n++;
		}
		if (kind->kind != EC_OP_SPLIT)
			ec_flow_node_only(step, psprintf("step \"%s\"", kind->verb), n, allowed);
		op(steps, at)->kind = kind->kind;
		op(steps, at)->verb = kind->verb;
		kind->parse(steps, at, step, &value);
		return;
	}

	foreach(lc, keys)
	{
		if (strcmp(lfirst(lc), "as") == 0)
			continue;
		if (verb != NULL)
			ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, step->path, "a step does one thing",
						  psprintf("Make \"%s\" and \"%s\" two steps.", verb, (char *) lfirst(lc)));
		verb = lfirst(lc);
	}
	if (verb == NULL)
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, step->path, "a step without an action",
					  "Such as: {\"coupon\": {\"promotion\": \"rescue\"}, \"as\": \"coupon\"}");
	action_parse(steps, at, step, verb);
}

/*
 * A list of steps that is followed by the operation then.  Returns its first
 * operation, or then if it is empty.
 */
static int
block_parse(Steps *steps, const EcFlowNode *node, int then)
{
	int			n = ec_flow_node_length(node);
	int			first;

	check_stack_depth();
	if (!ec_flow_node_is_array(node))
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, node->path, "steps must be an array",
					  "Such as: [{\"wait\": \"1 day\"}, {\"mail\": {\"template\": \"welcome\"}}]");
	if (++steps->depth > NESTING_MAX)
		ec_flow_error(ERRCODE_PROGRAM_LIMIT_EXCEEDED, node->path, "steps are nested too deeply",
					  psprintf("%d levels are the limit; make it two flows, the first of which emits an event.", NESTING_MAX));
	first = ops_reserve(steps, n, node->path);
	for (int i = 0; i < n; i++)
	{
		EcFlowNode	step;

		ec_flow_node_item(node, i, &step);
		op(steps, first + i)->next = i + 1 < n ? first + i + 1 : then;
		op(steps, first + i)->other = EC_OP_END;
		step_parse(steps, first + i, &step);
	}
	steps->depth--;
	return n > 0 ? first : then;
}

/* The steps of a flow; fills ops. */
void
ec_flow_steps_parse(EcFlow *flow, const EcFlowNode *node)
{
	Steps		steps = {flow};

	if (ec_flow_node_is_array(node) && ec_flow_node_length(node) == 0)
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, node->path, "a flow needs at least one step", NULL);
	(void) block_parse(&steps, node, EC_OP_END);
}

/* The operation of a step, EC_OP_END for NULL, -2 if there is none such. */
int
ec_flow_op_by_path(const EcFlow *flow, const char *path)
{
	if (path == NULL)
		return EC_OP_END;
	for (int i = 0; i < flow->nops; i++)
		if (strcmp(flow->ops[i].path, path) == 0)
			return i;
	return -2;
}

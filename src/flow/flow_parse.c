/*-------------------------------------------------------------------------
 *
 * flow_parse.c
 *		The definition of a flow: what starts it, and for whom.
 *
 * Parsing looks at the definition alone, not at the catalogs, so a stored
 * definition parses for ever; whether what it names is there is looked at by
 * flow_check.c when the flow is created, and again by whoever needs it.
 *
 * The result, in the current context, points into the definition.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "utils/builtins.h"

#include "flow/flow.h"

static const char *const top_keys[] = {
	"on", "description", "after", "of", "at", "daily", "weekly", "monthly", "cron", "catch_up", "each", "every", "shift",
	"if", "once_per", "exit_if", "steps"
};

static const struct
{
	const char *word;
	EcFlowPer	per;
}			pers[] = {
	{"event", EC_PER_EVENT},
	{"customer", EC_PER_CUSTOMER},
	{"order", EC_PER_ORDER},
	{"cart", EC_PER_CART},
	{"sku", EC_PER_SKU},
	{"product", EC_PER_PRODUCT},
	{"session", EC_PER_SESSION},
	{"key", EC_PER_KEY},
	{"hour", EC_PER_HOUR},
	{"day", EC_PER_DAY},
	{"week", EC_PER_WEEK},
	{"month", EC_PER_MONTH},
	{"year", EC_PER_YEAR},
};

/* Error if the definition has a key that its trigger has no use for. */
static void
keys_refuse(const EcFlowNode *root, const char *trigger, int n, const char *const *keys)
{
	for (int i = 0; i < n; i++)
	{
		EcFlowNode	node;

		if (ec_flow_node_get(root, keys[i], &node))
			ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, node.path,
						  psprintf("trigger \"%s\" has no \"%s\"", trigger, keys[i]),
						  "Leave it out, or choose another trigger.");
	}
}

/* ---- what starts it ---- */

pg_noreturn static void
trigger_unknown(const EcFlowNode *node, const char *kind)
{
	const char *nearest = ec_flow_kind_nearest(kind);

	ec_flow_error(ERRCODE_UNDEFINED_OBJECT, node->path, psprintf("unknown trigger \"%s\"", kind),
				  nearest ? psprintf("Perhaps you mean \"%s\".", nearest) :
				  "It is a kind of event such as order.placed, cart.changed, stock.changed, customer.created, segment.entered, "
				  "or cart.abandoned, schedule, date, inactivity.  A kind of your own that is one word is written "
				  "as {\"event\": \"word\"}.");
}

/*
 * The trigger's kind.  Own kinds are taken at their word if they have a dot
 * (quiz.finished) or stand in {"event": ...}; a single word that is none of
 * ours is rather a slip.
 */
static void
trigger_parse(EcFlow *flow, const EcFlowNode *root)
{
	EcFlowNode	node;
	bool		explicit = false;
	const char *nearest;

	if (!ec_flow_node_get(root, "on", &node))
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, "", "a flow needs \"on\"",
					  "It says what starts the flow, such as \"order.placed\".");
	if (ec_flow_node_is_object(&node))
	{
		static const char *const keys[] = {"event"};
		EcFlowNode	outer = node;

		ec_flow_node_only(&outer, "\"on\"", lengthof(keys), keys);
		if (!ec_flow_node_get(&outer, "event", &node))
			ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, outer.path, "\"on\" must be a kind of event", NULL);
		explicit = true;
	}
	flow->kind_name = ec_flow_node_string(&node, "\"on\"");
	flow->kind = ec_flow_kind(flow->kind_name);
	nearest = ec_flow_kind_nearest(flow->kind_name);
	if (ec_flow_kind_is_custom(flow->kind_name) &&
		(!ec_flow_kind_may_be_custom(flow->kind_name) ||
		 (!explicit && (nearest != NULL || strchr(flow->kind_name, '.') == NULL))))
		trigger_unknown(&node, flow->kind_name);

	if (strcmp(flow->kind_name, "schedule") == 0)
		flow->on = EC_ON_SCHEDULE;
	else if (strcmp(flow->kind_name, "cart.abandoned") == 0)
		flow->on = EC_ON_CART;
	else if (strcmp(flow->kind_name, "date") == 0)
		flow->on = EC_ON_DATE;
	else if (strcmp(flow->kind_name, "inactivity") == 0)
		flow->on = EC_ON_INACTIVITY;
	else
		flow->on = EC_ON_EVENT;
	flow->rows = flow->kind->rows;
}

static void
catch_up_parse(EcFlow *flow, const EcFlowNode *root)
{
	EcFlowNode	node;
	char	   *word;

	flow->catch_up = EC_CATCH_UP_ONCE;
	if (!ec_flow_node_get(root, "catch_up", &node))
		return;
	word = ec_flow_node_string(&node, "\"catch_up\"");
	if (strcmp(word, "once") == 0)
		flow->catch_up = EC_CATCH_UP_ONCE;
	else if (strcmp(word, "skip") == 0)
		flow->catch_up = EC_CATCH_UP_SKIP;
	else if (strcmp(word, "all") == 0)
		flow->catch_up = EC_CATCH_UP_ALL;
	else
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, node.path,
					  psprintf("unknown \"catch_up\" \"%s\"", word),
					  "It is \"once\" (one run for all that was missed), \"skip\" or \"all\".");
}

/* "column", or "customer.column", of type date or timestamp */
static void
column_parse(EcFlow *flow, const EcFlowNode *root, const char *deflt)
{
	EcFlowNode	node;
	const char *column = deflt;

	if (ec_flow_node_get(root, "of", &node))
	{
		column = ec_flow_node_string(&node, "\"of\"");
		if (strncmp(column, "customer.", 9) == 0)
			column += 9;
		if (strchr(column, '.') != NULL)
			ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, node.path,
						  psprintf("\"of\" must be a column of the customer, not \"%s\"", column),
						  "Such as \"customer.birth_date\" or \"customer.created_at\".");
	}
	else if (deflt == NULL)
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, "", "trigger \"date\" needs \"of\"",
					  "It is a column of the customer, such as \"customer.birth_date\".");
	flow->column = column;
}

static void
schedule_parse(EcFlow *flow, const EcFlowNode *root)
{
	static const char *const refused[] = {"after", "of", "every", "shift"};
	EcFlowNode	node;
	int			n = 0;

	keys_refuse(root, "schedule", lengthof(refused), refused);
	flow->schedule = palloc0(sizeof(EcFlowSchedule));
	if (ec_flow_node_get(root, "daily", &node) && ++n > 0)
		ec_flow_schedule_time(&node, "daily", flow->schedule);
	if (ec_flow_node_get(root, "at", &node) && ++n > 0)
		ec_flow_schedule_time(&node, "at", flow->schedule);
	if (ec_flow_node_get(root, "weekly", &node) && ++n > 0)
		ec_flow_schedule_weekly(&node, flow->schedule);
	if (ec_flow_node_get(root, "monthly", &node) && ++n > 0)
		ec_flow_schedule_monthly(&node, flow->schedule);
	if (ec_flow_node_get(root, "cron", &node) && ++n > 0)
		ec_flow_schedule_cron(&node, flow->schedule);
	if (n != 1)
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, "",
					  n == 0 ? "trigger \"schedule\" needs a time" : "trigger \"schedule\" needs one time, not several",
					  "Say \"daily\": \"02:30\", \"weekly\": \"monday 09:00\", \"monthly\": \"1 09:00\" or "
					  "\"cron\": \"30 2 * * *\".");
	if (ec_flow_node_get(root, "each", &node))
	{
		static const struct
		{
			const char *role;
			const char *kind;
		}			roles[] = {{"customer", "customer.created"}, {"order", "order.placed"},
		{"cart", "cart.abandoned"}, {"sku", "sku.created"}, {"product", "product.created"}};
		char	   *role = ec_flow_node_string(&node, "\"each\"");

		for (int i = 0; i < lengthof(roles); i++)
			if (strcmp(role, roles[i].role) == 0)
			{
				flow->each = roles[i].role;
				flow->rows = ec_flow_kind(roles[i].kind)->rows & ~(EC_ROW_BIT(EC_ROW_OLD) | EC_ROW_BIT(EC_ROW_NEW));
			}
		if (flow->each == NULL)
			ec_flow_error(ERRCODE_UNDEFINED_OBJECT, node.path, psprintf("a schedule cannot go through each \"%s\"", role),
						  "It is customer, order, cart, sku or product.");
	}
}

static void
date_parse(EcFlow *flow, const EcFlowNode *root)
{
	static const char *const refused[] = {"after", "daily", "weekly", "monthly", "cron", "each"};
	EcFlowNode	node;

	keys_refuse(root, "date", lengthof(refused), refused);
	column_parse(flow, root, NULL);
	flow->schedule = palloc0(sizeof(EcFlowSchedule));
	if (ec_flow_node_get(root, "at", &node))
		ec_flow_schedule_time(&node, "at", flow->schedule);
	else
	{
		EcFlowNode	nine = {.value = {.type = jbvString}, .path = "at"};

		nine.value.val.string.val = "09:00";
		nine.value.val.string.len = 5;
		ec_flow_schedule_time(&nine, "at", flow->schedule);
	}
	flow->yearly = true;
	if (ec_flow_node_get(root, "every", &node))
	{
		char	   *word = ec_flow_node_string(&node, "\"every\"");

		flow->yearly = strcmp(word, "year") == 0;
		if (!flow->yearly && strcmp(word, "once") != 0)
			ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, node.path, psprintf("unknown \"every\" \"%s\"", word),
						  "It is \"year\" or \"once\".");
	}
	if (ec_flow_node_get(root, "shift", &node))
	{
		char	   *text = ec_flow_node_string(&node, "\"shift\"");
		int			days;
		char		rest;

		if (sscanf(text, "%d day%c", &days, &rest) < 1 || strstr(text, " day") == NULL || abs(days) > EC_FLOW_WAIT_DAYS)
			ec_flow_error(ERRCODE_INVALID_DATETIME_FORMAT, node.path, psprintf("\"shift\" \"%s\" is no number of days", text),
						  "Write it like \"-3 days\" (before the date) or \"14 days\" (after it), at most a year.");
		flow->shift = palloc0(sizeof(Interval));
		flow->shift->day = days;
	}
}

static void
after_parse(EcFlow *flow, const EcFlowNode *root, bool needed)
{
	EcFlowNode	node;

	if (ec_flow_node_get(root, "after", &node))
		flow->after = ec_flow_duration(&node, "\"after\"");
	else if (needed)
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, "",
					  psprintf("trigger \"%s\" needs \"after\"", flow->kind_name),
					  "It says for how long nothing must have happened, such as \"1 hour\".");
}

/* ---- for whom, and how often ---- */

static void
per_add(EcFlow *flow, const EcFlowNode *node, const char *word)
{
	const char *names[lengthof(pers)];
	const char *nearest;

	for (int i = 0; i < lengthof(pers); i++)
	{
		names[i] = pers[i].word;
		if (strcmp(pers[i].word, word) != 0)
			continue;
		if (flow->npers == EC_PERS_MAX)
			ec_flow_error(ERRCODE_PROGRAM_LIMIT_EXCEEDED, node->path, "\"once_per\" names too many things",
						  psprintf("%d are the limit.", EC_PERS_MAX));
		flow->pers[flow->npers++] = pers[i].per;
		return;
	}
	nearest = ec_expr_nearest(word, lengthof(pers), names);
	ec_flow_error(ERRCODE_UNDEFINED_OBJECT, node->path, psprintf("unknown \"once_per\" \"%s\"", word),
				  nearest ? psprintf("Perhaps you mean \"%s\".", nearest) :
				  "It is event, customer, order, cart, sku, product, session, key, hour, day, week, month or year, "
				  "or several in an array.");
}

static void
once_per_parse(EcFlow *flow, const EcFlowNode *root)
{
	EcFlowNode	node;

	if (!ec_flow_node_get(root, "once_per", &node))
	{
		/* what time sets off has no event that could come once */
		if (flow->on == EC_ON_CART)
			flow->pers[flow->npers++] = EC_PER_CART;
		else if (flow->on == EC_ON_DATE || flow->on == EC_ON_INACTIVITY)
		{
			flow->pers[flow->npers++] = EC_PER_CUSTOMER;
			flow->pers[flow->npers++] = EC_PER_DAY;
		}
		else
			flow->pers[flow->npers++] = EC_PER_EVENT;
	}
	else if (ec_flow_node_is_array(&node))
	{
		if (ec_flow_node_length(&node) == 0)
			ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, node.path, "\"once_per\" is empty", NULL);
		for (int i = 0; i < ec_flow_node_length(&node); i++)
		{
			EcFlowNode	item;

			ec_flow_node_item(&node, i, &item);
			per_add(flow, &item, ec_flow_node_string(&item, "\"once_per\""));
		}
	}
	else
		per_add(flow, &node, ec_flow_node_string(&node, "\"once_per\""));

	for (int i = 0; i < flow->npers; i++)
	{
		static const struct
		{
			EcFlowPer	per;
			EcFlowRow	row;
		}			entities[] = {{EC_PER_CUSTOMER, EC_ROW_CUSTOMER}, {EC_PER_ORDER, EC_ROW_ORDER},
		{EC_PER_CART, EC_ROW_CART}, {EC_PER_SKU, EC_ROW_SKU}, {EC_PER_PRODUCT, EC_ROW_PRODUCT}};

		for (int j = 0; j < lengthof(entities); j++)
			if (flow->pers[i] == entities[j].per && (flow->rows & EC_ROW_BIT(entities[j].row)) == 0)
				ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, node.path,
							  psprintf("trigger \"%s\" knows no %s", flow->kind_name, ec_flow_row_names[entities[j].row]),
							  "Choose another \"once_per\".");
	}
}

static void
condition_parse(EcFlowCondition *condition, const EcFlowNode *root, const char *key)
{
	EcFlowNode	node;

	if (!ec_flow_node_get(root, key, &node))
		return;
	condition->text = ec_flow_node_string(&node, psprintf("\"%s\"", key));
	condition->path = node.path;
}

/*
 * Parse a definition.  Errors: invalid_parameter_value, undefined_object and
 * others, with the place in the detail.
 */
EcFlow *
ec_flow_parse(const char *name, Jsonb *definition)
{
	static const char *const no_times[] = {"of", "at", "daily", "weekly", "monthly", "cron", "catch_up", "each", "every", "shift"};
	static const char *const no_schedule[] = {"at", "daily", "weekly", "monthly", "cron", "catch_up", "each", "every", "shift"};
	EcFlow	   *flow = palloc0(sizeof(EcFlow));
	EcFlowNode	root;
	EcFlowNode	node;

	flow->name = pstrdup(name);
	ec_flow_node_root(&root, definition);
	ec_flow_node_only(&root, "a flow", lengthof(top_keys), top_keys);
	trigger_parse(flow, &root);
	catch_up_parse(flow, &root);
	switch (flow->on)
	{
		case EC_ON_EVENT:
			keys_refuse(&root, flow->kind_name, lengthof(no_times), no_times);
			after_parse(flow, &root, false);
			break;
		case EC_ON_CART:
			keys_refuse(&root, flow->kind_name, lengthof(no_times), no_times);
			after_parse(flow, &root, true);
			break;
		case EC_ON_INACTIVITY:
			keys_refuse(&root, flow->kind_name, lengthof(no_schedule), no_schedule);
			column_parse(flow, &root, "last_order_at");
			after_parse(flow, &root, true);
			break;
		case EC_ON_DATE:
			date_parse(flow, &root);
			break;
		case EC_ON_SCHEDULE:
			schedule_parse(flow, &root);
			break;
	}
	once_per_parse(flow, &root);
	condition_parse(&flow->condition, &root, "if");
	condition_parse(&flow->exit_if, &root, "exit_if");
	if (!ec_flow_node_get(&root, "steps", &node))
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, "", "a flow needs \"steps\"",
					  "Such as: \"steps\": [{\"tag\": {\"customer\": \"buyer\"}}]");
	ec_flow_steps_parse(flow, &node);
	return flow;
}

/*-------------------------------------------------------------------------
 *
 * flow_check.c
 *		Is all there that a definition names: conditions that can be asked,
 *		actions, roles, templates, and no circle of flows.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "customer/customer.h"
#include "flow/flow.h"
#include "flow/flow_batch.h"
#include "shop/shop.h"
#include "template/template.h"

/* ---- conditions and roles ---- */

static void
role_require(const char *role, const char *path)
{
	if (ec_binding_get(role) == NULL)
		ec_flow_error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, path, psprintf("role \"%s\" is not bound", role),
					  "Bind it with ecauto.bind_role() or ecauto.bind_table(), or attach a shop that has it.");
}

static void
condition_check(EcFlow *flow, EcFlowCondition *condition, bool with_run)
{
	uint32		missing;

	if (condition->text == NULL)
		return;
	ec_flow_condition_compile(flow, condition, with_run);
	missing = condition->rows & ~ec_flow_batch_bound(condition->rows);
	for (int i = 0; i < EC_ROWS; i++)
		if ((missing & EC_ROW_BIT(i)) != 0)
			role_require(ec_flow_row_names[i], condition->path);
}

/* The column of a date or inactivity trigger must be one of the customer, and a date. */
static void
column_check(const EcFlow *flow)
{
	StringInfoData dates;
	const char *names[200];
	int			n = 0;

	initStringInfo(&dates);
	for (int i = 0; i < ec_customer_ncolumns && n < lengthof(names); i++)
	{
		const EcCustomerColumn *column = &ec_customer_columns[i];
		bool		date = column->type == DATEOID || column->type == TIMESTAMPTZOID;

		/* dates are of the role, the others of the facts */
		if (!date || (column->source == EC_CUSTOMER_ROLE) != (flow->on == EC_ON_DATE))
			continue;
		if (strcmp(column->name, flow->column) == 0)
			return;
		appendStringInfo(&dates, "%scustomer.%s", n > 0 ? ", " : "", column->name);
		names[n++] = column->name;
	}
	ec_flow_error(ERRCODE_UNDEFINED_COLUMN, "of",
				  psprintf("trigger \"%s\" cannot go by customer.%s", flow->kind_name, flow->column),
				  psprintf("It goes by one of: %s.", dates.data));
}

/* ---- actions ---- */

static const char *const builtin_hints =
	"Built in are mail, http, slack, notice, tag, untag, emit and what other domains add (coupon, set_price, set_active); "
	"add your own with ecauto.register_action().";

/* A member of an action's parameters that is a string, or NULL. */
static char *
param_string(const EcFlowOp *op, const char *key)
{
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(op->params) ||
		getKeyJsonValueFromContainer(&op->params->root, key, strlen(key), &value) == NULL || value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/* An action may say itself what is wrong with parameters: ecauto.check_action_<name>(jsonb) returns text. */
static void
params_check(const EcFlowOp *op)
{
	static const Oid types[] = {JSONBOID};
	char	   *function = psprintf("check_action_%s", op->name);
	Datum		args[1];
	char	   *problem = NULL;
	MemoryContext caller = CurrentMemoryContext;

	args[0] = CStringGetTextDatum(psprintf("ecauto.%s(pg_catalog.jsonb)", quote_identifier(function)));
	if (strlen(function) >= NAMEDATALEN)
		return;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args("SELECT pg_catalog.to_regprocedure($1) IS NOT NULL", 1, (Oid[]) {TEXTOID}, args, NULL, true, 1) == SPI_OK_SELECT &&
		strcmp(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1), "t") == 0)
	{
		args[0] = JsonbPGetDatum(op->params);
		if (SPI_execute_with_args(psprintf("SELECT ecauto.%s($1)", quote_identifier(function)), 1, (Oid *) types, args, NULL,
								  true, 1) == SPI_OK_SELECT)
		{
			char	   *text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

			problem = text != NULL ? MemoryContextStrdup(caller, text) : NULL;
		}
	}
	SPI_finish();
	if (problem != NULL)
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, psprintf("%s.%s", op->path, op->verb), problem, NULL);
}

static void
action_check(const EcFlow *flow, EcFlowOp *op)
{
	char	   *search_path;
	bool		two;

	if (ec_flow_action_find(op->name, &search_path, &two) == NULL)
	{
		static const char *const names[] = {"mail", "http", "slack", "notice", "tag", "untag", "emit", "coupon", "set_price",
		"set_active", "wait", "if", "split", "holdout", "for_each", "exit", "goal"};
		const char *nearest = ec_expr_nearest(op->name, lengthof(names), names);

		ec_flow_error(ERRCODE_UNDEFINED_OBJECT, op->path, psprintf("unknown step or action \"%s\"", op->name),
					  nearest ? psprintf("Perhaps you mean \"%s\".", nearest) : builtin_hints);
	}
	ec_flow_variables_check(flow, op);
	params_check(op);
}

/* ---- circles ---- */

/* The kinds (char *) of event that a flow emits. */
static List *
emitted(const EcFlow *flow)
{
	List	   *kinds = NIL;

	for (int i = 0; i < flow->nops; i++)
		if (flow->ops[i].kind == EC_OP_ACTION && strcmp(flow->ops[i].name, "emit") == 0)
		{
			char	   *kind = param_string(&flow->ops[i], "kind");

			if (kind != NULL)
				kinds = lappend(kinds, kind);
		}
	return kinds;
}

/* A flow that is reached from the one that is checked. */
typedef struct Reached
{
	EcFlow	   *flow;
	char	   *way;			/* how, for the error */
} Reached;

/*
 * Error if the events that a flow emits start, over whatever other flows, the
 * flow itself: it would never end.
 */
static void
circle_check(EcFlow *flow)
{
	static const Oid types[] = {TEXTOID};
	MemoryContext caller = CurrentMemoryContext;
	List	   *others = NIL;
	List	   *queue = NIL;
	List	   *done = NIL;
	Datum		args[1];
	Reached		first = {flow, psprintf("\"%s\"", flow->name)};
	ListCell   *lc;
	EcAs		as;

	if (emitted(flow) == NIL)
		return;
	args[0] = CStringGetTextDatum(flow->name);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("SELECT f.id, f.version FROM ecauto_data.flow f WHERE f.name <> $1", 1, types), args, NULL,
						 false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not list flows");
	ec_as_end(&as);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		SPITupleTable *table = SPI_tuptable;
		uint64		processed = SPI_processed;
		MemoryContext spi = MemoryContextSwitchTo(caller);

		int32		id = DatumGetInt32(SPI_getbinval(table->vals[i], table->tupdesc, 1, &isnull));
		int32		version = DatumGetInt32(SPI_getbinval(table->vals[i], table->tupdesc, 2, &isnull));

		others = lappend(others, ec_flow_load(id, version));
		MemoryContextSwitchTo(spi);
		SPI_tuptable = table;
		SPI_processed = processed;
	}
	SPI_finish();

	queue = list_make1(&first);
	while (queue != NIL)
	{
		Reached    *reached = linitial(queue);

		queue = list_delete_first(queue);
		foreach(lc, emitted(reached->flow))
		{
			const char *kind = lfirst(lc);
			ListCell   *lo;

			if (flow->on == EC_ON_EVENT && strcmp(flow->kind_name, kind) == 0)
				ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, "steps",
							  psprintf("flows go in a circle: %s emits \"%s\", which starts \"%s\"", reached->way, kind, flow->name),
							  "Emit another kind of event, or let another one start the flow.");
			foreach(lo, others)
			{
				EcFlow	   *other = lfirst(lo);
				Reached    *next;

				if (other->on != EC_ON_EVENT || strcmp(other->kind_name, kind) != 0 || list_member_ptr(done, other))
					continue;
				done = lappend(done, other);
				next = palloc(sizeof(Reached));
				next->flow = other;
				next->way = psprintf("%s starts \"%s\", which", reached->way, other->name);
				queue = lappend(queue, next);
			}
		}
	}
}

/*
 * Check a flow that is about to be created, by the current user, who is its
 * definer.  Errors name the place in the definition.
 */
void
ec_flow_check(EcFlow *flow)
{
	EcAs		as;

	if (flow->on == EC_ON_DATE || flow->on == EC_ON_INACTIVITY)
		column_check(flow);
	if (flow->on == EC_ON_CART)
	{
		role_require("cart", "on");
		role_require("cart_line", "on");
	}
	if (flow->on == EC_ON_DATE || flow->on == EC_ON_INACTIVITY)
		role_require("customer", "on");
	ec_expr_begin(&as, GetUserId());
	condition_check(flow, &flow->condition, flow->on == EC_ON_EVENT && flow->after != NULL);
	condition_check(flow, &flow->exit_if, true);
	for (int i = 0; i < flow->nops; i++)
		condition_check(flow, &flow->ops[i].condition, true);
	ec_expr_end(&as);
	for (int i = 0; i < flow->nops; i++)
	{
		EcFlowOp   *op = &flow->ops[i];

		if (op->kind == EC_OP_ACTION)
			action_check(flow, op);
		if (op->kind == EC_OP_FOR_EACH)
			role_require(op->name, op->path);
	}
	circle_check(flow);
}

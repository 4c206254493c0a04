/*-------------------------------------------------------------------------
 *
 * flow_action.c
 *		Actions: what a flow does to the shop and to the world.
 *
 * An action is a function of its parameters and the context of the run, both
 * jsonb.  What is built in is called ecauto.action_<name>, and found by that
 * name when it is needed, so that any domain adds one by adding a function; a
 * user's own is registered under a name.  It runs as the definer of the flow.
 *
 * For a chunk: the rows that the context tells of are fetched (a statement a
 * role), one statement builds the contexts, templates in the parameters are
 * rendered here, one statement calls the function for all runs, and its
 * answers become decisions.  An answer with "skipped" says that nothing was
 * done, and why.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"

#include "flow/flow.h"
#include "flow/flow_batch.h"
#include "shop/shop.h"
#include "template/template.h"

PG_FUNCTION_INFO_V1(ecauto_register_action);

/* ---- finding ---- */

/* The function that is called name and takes jsonb, jsonb or jsonb; InvalidOid if there is none. */
static Oid
handler_lookup(List *name, bool *two_arguments)
{
	Oid			types[] = {JSONBOID, JSONBOID};
	Oid			function = LookupFuncName(name, 2, types, true);

	*two_arguments = OidIsValid(function);
	return OidIsValid(function) ? function : LookupFuncName(name, 1, types, true);
}

/*
 * The SQL name of an action's function, and the search_path it runs under, in
 * the current context; NULL if there is no such action.  A user's own comes
 * before what is built in.
 */
char *
ec_flow_action_find(const char *name, char **search_path, bool *two_arguments)
{
	static const Oid types[] = {TEXTOID};
	MemoryContext caller = CurrentMemoryContext;
	Datum		args[1];
	char	   *handler = NULL;
	Oid			function;
	EcAs		as;

	args[0] = CStringGetTextDatum(name);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("SELECT a.handler, a.search_path FROM ecauto_data.flow_action a WHERE a.name = $1", 1, types),
						 args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for an action");
	ec_as_end(&as);
	if (SPI_processed == 1)
	{
		handler = MemoryContextStrdup(caller, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
		*search_path = MemoryContextStrdup(caller, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2));
	}
	SPI_finish();
	if (handler != NULL)
	{
		/* kept as schema.name(types) */
		char	   *bracket = strrchr(handler, '(');

		*two_arguments = strchr(bracket, ',') != NULL;
		*bracket = '\0';
		return handler;
	}

	if (strlen(name) > NAMEDATALEN - 10)
		return NULL;
	function = handler_lookup(list_make2(makeString(EC_CODE_SCHEMA), makeString(psprintf("action_%s", name))), two_arguments);
	if (!OidIsValid(function))
		return NULL;
	*search_path = "pg_catalog, pg_temp";
	return psprintf("%s.%s", EC_CODE_SCHEMA, quote_identifier(psprintf("action_%s", name)));
}

/*
 * ecauto.register_action(name text, handler regprocedure) returns void
 */
Datum
ecauto_register_action(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, NAMEOID};
	char	   *name;
	Oid			handler;
	Oid		   *argtypes;
	int			nargs;
	Datum		args[5];
	NameData	user;
	bool		two;
	bool		good;

	ec_state_require();
	ec_require_operator("register an action");
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s of an action must not be null", PG_ARGISNULL(0) ? "name" : "handler")));
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	handler = PG_GETARG_OID(1);

	good = name[0] >= 'a' && name[0] <= 'z' && strlen(name) < NAMEDATALEN &&
		strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
	if (!good)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("invalid name of an action"),
				 errdetail("The name is \"%s\".", name),
				 errhint("It is made of small letters, digits and underscores, and begins with a letter.")));
	for (const char *const *word = (const char *const[]) {"wait", "if", "split", "holdout", "for_each", "exit", "goal", "as",
		"then", "else", "do", NULL}; *word != NULL; word++)
		if (strcmp(name, *word) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_RESERVED_NAME),
					 errmsg("\"%s\" is a step, not the name of an action", name),
					 errhint("Choose another name.")));
	if (OidIsValid(LookupFuncName(list_make2(makeString(EC_CODE_SCHEMA), makeString(psprintf("action_%s", name))), -1,
								  NULL, true)))
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("action \"%s\" is built in", name),
				 errhint("Choose another name.")));
	if (get_func_name(handler) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function with OID %u does not exist", handler)));
	(void) get_func_signature(handler, &argtypes, &nargs);
	two = nargs == 2;
	if (get_func_prokind(handler) != PROKIND_FUNCTION || get_func_retset(handler) || nargs < 1 || nargs > 2 ||
		argtypes[0] != JSONBOID || (two && argtypes[1] != JSONBOID))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("function %s cannot be an action", format_procedure(handler)),
				 errdetail("An action is a function of (params jsonb, context jsonb), or of (params jsonb), that returns one value.")));
	if (ec_function_aclcheck(handler, GetUserId(), ACL_EXECUTE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION, get_func_name(handler));

	args[0] = PG_GETARG_DATUM(0);
	args[1] = CStringGetTextDatum(format_procedure_qualified(handler));
	args[2] = CStringGetTextDatum(ec_shop_search_path());
	args[3] = TimestampTzGetDatum(ec_now());
	namestrcpy(&user, GetUserNameFromId(GetUserId(), false));
	args[4] = NameGetDatum(&user);
	ec_flow_state_run("INSERT INTO ecauto_data.flow_action (name, handler, search_path, created_at, created_by) "
					  "VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO UPDATE SET handler = excluded.handler, "
					  "search_path = excluded.search_path, created_at = excluded.created_at, created_by = excluded.created_by",
					  5, types, args, NULL);
	PG_RETURN_VOID();
}

/* ---- rendering ---- */

/* Render the templates in strings of params with a context. */
static Jsonb *
params_render(Jsonb *params, Jsonb *context)
{
	JsonbIterator *it = JsonbIteratorInit(&params->root);
	JsonbParseState *state = NULL;
	JsonbValue	value;
	JsonbValue *result = NULL;
	JsonbIteratorToken token;
	bool		scalar = JB_ROOT_IS_SCALAR(params);
	bool		nothing;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		if ((token == WJB_VALUE || token == WJB_ELEM) && value.type == jbvString)
		{
			char	   *text = pnstrdup(value.val.string.val, value.val.string.len);

			if (strstr(text, "{{") != NULL)
			{
				StringInfoData out;

				initStringInfo(&out);
				ec_template_render(&out, ec_template_get(text, strlen(text), "parameter", NULL, 0), context, NULL, false);
				value.val.string.val = out.data;
				value.val.string.len = out.len;
			}
		}
		if (token == WJB_BEGIN_ARRAY && scalar)
			value.val.array.rawScalar = true;
		nothing = token == WJB_END_ARRAY || token == WJB_END_OBJECT || token == WJB_BEGIN_OBJECT ||
			(token == WJB_BEGIN_ARRAY && !scalar);
		result = pushJsonbValue(&state, token, nothing ? NULL : &value);
	}
	return JsonbValueToJsonb(result);
}

/* ---- contexts ---- */

/* The SQL of a run's context, over ec_e and the rows that are joined to it. */
static char *
context_sql(const EcFlow *flow, const EcFlowOp *op, uint32 rows, bool lines)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "pg_catalog.jsonb_build_object("
					 "'flow', %s, 'at', $1, 'subject', ec_e.subject, "
					 "'run', pg_catalog.jsonb_build_object('id', ec_e.run, 'flow', %s, 'version', %d, 'subject', ec_e.subject, "
					 "'occasion', ec_e.occasion, 'step', %s, 'started_at', ec_e.started_at, 'results', coalesce(ec_e.results, '{}')), "
					 "'results', coalesce(ec_e.results, '{}'), "
					 "'event', pg_catalog.jsonb_build_object('event_id', ec_e.event_id, 'at', ec_e.event_at, 'kind', ec_e.kind, "
					 "'role', ec_e.role, 'key', ec_e.key, 'customer', ec_e.customer, 'sku', ec_e.sku, 'session', ec_e.session, "
					 "'properties', CASE WHEN ec_e.role IS NULL THEN ec_e.new END, 'old', ec_e.old, 'new', ec_e.new), "
					 "'old', ec_e.old, 'new', ec_e.new, "
					 "'line', ec_e.lines -> ec_e.line || pg_catalog.jsonb_build_object('number', ec_e.line + 1)",
					 quote_literal_cstr(flow->name), quote_literal_cstr(flow->name), flow->version,
					 quote_literal_cstr(op->path));
	for (int i = EC_ROW_CUSTOMER; i < EC_ROW_LINE; i++)
	{
		const char *name = ec_flow_row_names[i];

		if ((rows & EC_ROW_BIT(i)) == 0)
			continue;
		appendStringInfo(&sql, ", '%s', CASE WHEN ec_%s.key IS NOT NULL THEN pg_catalog.to_jsonb(ec_%s)", name, name, name);
		if (lines && (i == EC_ROW_CART || i == EC_ROW_ORDER))
			appendStringInfo(&sql, " || pg_catalog.jsonb_build_object('lines', coalesce(ec_%s_lines.lines, '[]'))", name);
		appendStringInfoString(&sql, " END");
	}
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/* ---- calling ---- */

typedef struct Calls
{
	EcFlowChunk *chunk;
	int			n;				/* runs that are still there; in the order of their ids */
	int64	   *ids;
	Datum	   *params;			/* jsonb */
	Datum	   *contexts;		/* jsonb */
	Datum	   *results;		/* jsonb, or a null pointer */
} Calls;

static void
contexts_build(Calls *calls, EcFlowOp *op)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	EcFlowChunk *chunk = calls->chunk;
	MemoryContext caller = CurrentMemoryContext;
	EcFlowBatch *batch = ec_flow_batch_create(chunk->tick->at);
	uint32		rows = ec_flow_batch_bound(chunk->flow->rows & ~(EC_ROW_BIT(EC_ROW_EVENT) | EC_ROW_BIT(EC_ROW_OLD) |
																 EC_ROW_BIT(EC_ROW_NEW)));
	bool		lines = (rows & (EC_ROW_BIT(EC_ROW_CART) | EC_ROW_BIT(EC_ROW_ORDER))) != 0;
	Datum		args[1];
	EcAs		as;

	args[0] = TimestampTzGetDatum(chunk->tick->at);
	PG_TRY();
	{
		(void) ec_flow_batch_of_runs(batch, ec_flow_ids(chunk->ids, chunk->n));
		ec_flow_batch_need(batch, rows, lines);
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		ec_flow_batch_register(batch);
		ec_expr_begin(&as, ec_flow_definer(chunk->flow));
		if (SPI_execute_with_args(psprintf("SELECT ec_e.run, %s FROM ec_batch ec_e%s%s%s ORDER BY ec_e.n",
										   context_sql(chunk->flow, op, rows, lines), ec_flow_batch_joins(rows),
										   lines && (rows & EC_ROW_BIT(EC_ROW_CART)) ?
										   " LEFT JOIN ec_rows_cart_lines ec_cart_lines ON ec_cart_lines.key = ec_e.cart_key" : "",
										   lines && (rows & EC_ROW_BIT(EC_ROW_ORDER)) ?
										   " LEFT JOIN ec_rows_order_lines ec_order_lines ON ec_order_lines.key = ec_e.order_key" : ""),
								  1, (Oid *) types, args, NULL, false, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not build the contexts of runs");
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			HeapTuple	tuple = SPI_tuptable->vals[i];
			bool		isnull;
			MemoryContext spi;

			calls->ids[calls->n] = DatumGetInt64(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull));
			spi = MemoryContextSwitchTo(caller);
			calls->contexts[calls->n++] =
				PointerGetDatum(PG_DETOAST_DATUM_COPY(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull)));
			MemoryContextSwitchTo(spi);
		}
		ec_expr_end(&as);
		SPI_finish();
	}
	PG_FINALLY();
	{
		ec_flow_batch_end(batch);
	}
	PG_END_TRY();

	for (int i = 0; i < calls->n; i++)
	{
		Jsonb	   *params = op->params;

		if (op->templates)
			params = params_render(params, DatumGetJsonbP(calls->contexts[i]));
		calls->params[i] = JsonbPGetDatum(params);
	}
}

/* Call the function for all runs, in the order of their ids. */
static void
handler_call(Calls *calls, const char *handler, const char *search_path, bool two_arguments)
{
	static const Oid types[] = {JSONBARRAYOID, JSONBARRAYOID};
	MemoryContext caller = CurrentMemoryContext;
	Datum		args[2];
	char	   *sql;
	Oid			result_type;
	EcAs		as;

	args[0] = PointerGetDatum(construct_array(calls->params, calls->n, JSONBOID, -1, false, TYPALIGN_INT));
	args[1] = PointerGetDatum(construct_array(calls->contexts, calls->n, JSONBOID, -1, false, TYPALIGN_INT));
	sql = psprintf("SELECT %s(c.params%s) FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) "
				   "WITH ORDINALITY AS c (params, context, n) ORDER BY c.n",
				   handler, two_arguments ? ", c.context" : "");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_definer(&as, ec_flow_definer(calls->chunk->flow), search_path);
	/* a sort above the calls would not change their order; OFFSET 0 keeps it so */
	if (SPI_execute_with_args(sql, 2, (Oid *) types, args, NULL, false, 0) != SPI_OK_SELECT ||
		SPI_processed != calls->n)
		elog(ERROR, "could not call \"%s\"", handler);
	result_type = SPI_gettypeid(SPI_tuptable->tupdesc, 1);
	for (int i = 0; i < calls->n; i++)
	{
		bool		isnull;
		Datum		value = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);
		MemoryContext spi = MemoryContextSwitchTo(caller);

		calls->results[i] = (Datum) 0;
		if (isnull || result_type == VOIDOID)
			;
		else if (result_type == JSONBOID)
			calls->results[i] = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
		else
		{
			/* any other type as text: it is only shown, or used in templates */
			StringInfoData json;

			initStringInfo(&json);
			escape_json(&json, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
			calls->results[i] = DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
		}
		MemoryContextSwitchTo(spi);
	}
	ec_as_end(&as);
	SPI_finish();
}

/* ---- what came of it ---- */

/* The text of a member of an action's answer, or NULL. */
static char *
result_text(Datum result, const char *key)
{
	Jsonb	   *jsonb = DatumGetPointer(result) == NULL ? NULL : DatumGetJsonbP(result);
	JsonbValue	value;

	if (jsonb == NULL || !JB_ROOT_IS_OBJECT(jsonb) ||
		getKeyJsonValueFromContainer(&jsonb->root, key, strlen(key), &value) == NULL)
		return NULL;
	if (value.type == jbvString)
		return pnstrdup(value.val.string.val, value.val.string.len);
	if (value.type == jbvNumeric)
		return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric)));
	return NULL;
}

static void
results_keep(Calls *calls, const char *name)
{
	static const Oid types[] = {INT8ARRAYOID, JSONBARRAYOID, TEXTOID};
	Datum	   *values = palloc(sizeof(Datum) * calls->n);
	Datum		args[3];

	for (int i = 0; i < calls->n; i++)
		values[i] = DatumGetPointer(calls->results[i]) != NULL ? calls->results[i] :
			DirectFunctionCall1(jsonb_in, CStringGetDatum("null"));
	args[0] = PointerGetDatum(ec_flow_ids(calls->ids, calls->n));
	args[1] = PointerGetDatum(construct_array(values, calls->n, JSONBOID, -1, false, TYPALIGN_INT));
	args[2] = CStringGetTextDatum(name);
	ec_flow_state_run("UPDATE ecauto_data.flow_run r SET results = coalesce(r.results, '{}') || pg_catalog.jsonb_build_object($3, u.result) "
					  "FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS u (id, result) WHERE r.id = u.id",
					  3, types, args, NULL);
}

/*
 * Does an action write to tables of ecauto alone?  A back-test, which may take
 * long, does no others: it would lock rows of the shop.
 */
static bool
action_is_ours_alone(const char *name)
{
	static const char *const names[] = {"mail", "http", "slack", "notice", "tag", "untag", "emit", "coupon"};

	for (int i = 0; i < lengthof(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* The answer of an action that a back-test does not do. */
static Datum
not_on_the_past(Datum params)
{
	Datum		answer = DirectFunctionCall1(jsonb_in, CStringGetDatum("{\"skipped\": \"backtest\"}"));

	if (!JB_ROOT_IS_OBJECT(DatumGetJsonbP(params)))
		return answer;
	return DirectFunctionCall2(jsonb_concat, params, answer);
}

/* An operation that is an action. */
void
ec_flow_act(EcFlowChunk *chunk)
{
	EcFlowOp   *op = &chunk->flow->ops[chunk->op];
	Calls		calls = {chunk};
	char	   *search_path = NULL;
	bool		two_arguments = false;
	char	   *handler = ec_flow_action_find(op->name, &search_path, &two_arguments);
	Datum	   *outcomes;

	if (handler == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("action \"%s\" does not exist", op->name),
				 errdetail("It was there when flow \"%s\" was created.", chunk->flow->name),
				 errhint("Register it again with ecauto.register_action(), then run ecauto.retry_run().")));
	calls.ids = palloc(sizeof(int64) * chunk->n);
	calls.params = palloc(sizeof(Datum) * chunk->n);
	calls.contexts = palloc(sizeof(Datum) * chunk->n);
	calls.results = palloc(sizeof(Datum) * chunk->n);
	contexts_build(&calls, op);
	if (ec_flow_history() && !action_is_ours_alone(op->name))
		for (int i = 0; i < calls.n; i++)
			calls.results[i] = not_on_the_past(calls.params[i]);
	else if (calls.n > 0)
		handler_call(&calls, handler, search_path, two_arguments);

	outcomes = palloc(sizeof(Datum) * (calls.n + 1));
	for (int i = 0; i < calls.n; i++)
	{
		bool		skipped = result_text(calls.results[i], "skipped") != NULL;

		outcomes[i] = CStringGetTextDatum(skipped ? "skipped" : "done");
		if (!skipped && result_text(calls.results[i], "message") != NULL)
			chunk->tick->messages++;
	}
	ec_flow_decide(chunk, op->path, op->verb, calls.ids, calls.n, NULL, outcomes, NULL, calls.results);
	if (op->as != NULL && calls.n > 0)
		results_keep(&calls, op->as);
	for (int i = 0; i < chunk->n; i++)
		chunk->next[i] = op->next;
}

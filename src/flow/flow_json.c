/*-------------------------------------------------------------------------
 *
 * flow_json.c
 *		Reading the definition of a flow, with errors that name the place.
 *
 * A node is a value and the path to it, written as people write it in
 * JavaScript: steps[2].then[0].wait.  Everything is allocated in the current
 * context and lives as long as the definition.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/numeric.h"

#include "flow/flow.h"

/* Raise an error about a place of the definition; hint may be NULL. */
void
ec_flow_error(int code, const char *path, const char *message, const char *hint)
{
	ereport(ERROR,
			(errcode(code),
			 errmsg("%s", message),
			 errdetail("This is at %s%s in the definition of the flow.", path[0] == '\0' ? "the top" : "", path),
			 hint ? errhint("%s", hint) : 0));
}

void
ec_flow_node_root(EcFlowNode *node, Jsonb *definition)
{
	node->path = "";
	node->value.type = jbvBinary;
	node->value.val.binary.data = &definition->root;
	node->value.val.binary.len = VARSIZE(definition) - VARHDRSZ;
	if (JB_ROOT_IS_SCALAR(definition) || !JB_ROOT_IS_OBJECT(definition))
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, "", "definition of a flow must be an object",
					  "Such as: {\"on\": \"order.placed\", \"steps\": [{\"tag\": {\"customer\": \"buyer\"}}]}");
}

bool
ec_flow_node_is_object(const EcFlowNode *node)
{
	return node->value.type == jbvBinary && JsonContainerIsObject(node->value.val.binary.data);
}

bool
ec_flow_node_is_array(const EcFlowNode *node)
{
	return node->value.type == jbvBinary && JsonContainerIsArray(node->value.val.binary.data) &&
		!JsonContainerIsScalar(node->value.val.binary.data);
}

/* The member of an object; false if there is none, or node is no object. */
bool
ec_flow_node_get(const EcFlowNode *node, const char *key, EcFlowNode *found)
{
	if (!ec_flow_node_is_object(node) ||
		getKeyJsonValueFromContainer(node->value.val.binary.data, key, strlen(key), &found->value) == NULL)
		return false;
	found->path = node->path[0] == '\0' ? pstrdup(key) : psprintf("%s.%s", node->path, key);
	return true;
}

int
ec_flow_node_length(const EcFlowNode *node)
{
	return ec_flow_node_is_array(node) ? JsonContainerSize(node->value.val.binary.data) : 0;
}

void
ec_flow_node_item(const EcFlowNode *node, int i, EcFlowNode *found)
{
	found->value = *getIthJsonbValueFromContainer(node->value.val.binary.data, i);
	found->path = psprintf("%s[%d]", node->path, i);
}

/* The names (char *) of an object's members. */
List *
ec_flow_node_keys(const EcFlowNode *node)
{
	List	   *keys = NIL;
	JsonbIterator *it = JsonbIteratorInit(node->value.val.binary.data);
	JsonbValue	value;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
		if (token == WJB_KEY)
			keys = lappend(keys, pnstrdup(value.val.string.val, value.val.string.len));
	return keys;
}

static const char *
type_name(const EcFlowNode *node)
{
	switch (node->value.type)
	{
		case jbvNull:
			return "null";
		case jbvString:
			return "a string";
		case jbvNumeric:
			return "a number";
		case jbvBool:
			return "a boolean";
		default:
			return ec_flow_node_is_array(node) ? "an array" : "an object";
	}
}

/* The text of a string; what it is for names it in the error. */
char *
ec_flow_node_string(const EcFlowNode *node, const char *what)
{
	if (node->value.type != jbvString)
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, node->path,
					  psprintf("%s must be a string, not %s", what, type_name(node)), NULL);
	if (node->value.val.string.len == 0)
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, node->path,
					  psprintf("%s must not be empty", what), NULL);
	return pnstrdup(node->value.val.string.val, node->value.val.string.len);
}

double
ec_flow_node_number(const EcFlowNode *node, const char *what)
{
	if (node->value.type != jbvNumeric)
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, node->path,
					  psprintf("%s must be a number, not %s", what, type_name(node)), NULL);
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8, NumericGetDatum(node->value.val.numeric)));
}

Jsonb *
ec_flow_node_jsonb(const EcFlowNode *node)
{
	return JsonbValueToJsonb(unconstify(JsonbValue *, &node->value));
}

/* Error if an object has members other than these. */
void
ec_flow_node_only(const EcFlowNode *node, const char *what, int n, const char *const *keys)
{
	ListCell   *lc;

	foreach(lc, ec_flow_node_keys(node))
	{
		const char *key = lfirst(lc);
		const char *nearest;
		StringInfoData all;
		bool		known = false;

		initStringInfo(&all);
		for (int i = 0; i < n; i++)
		{
			known = known || strcmp(key, keys[i]) == 0;
			appendStringInfo(&all, "%s%s", i > 0 ? ", " : "", keys[i]);
		}
		if (known)
			continue;
		nearest = ec_expr_nearest(key, n, keys);
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE,
					  node->path[0] == '\0' ? key : psprintf("%s.%s", node->path, key),
					  psprintf("unknown key \"%s\" in %s", key, what),
					  nearest ? psprintf("Perhaps you mean \"%s\".", nearest) :
					  psprintf("It may have: %s.", all.data));
	}
}

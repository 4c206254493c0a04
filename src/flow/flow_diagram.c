/*-------------------------------------------------------------------------
 *
 * flow_diagram.c
 *		A flow as a picture: text of a Mermaid flowchart.
 *
 * Nodes have names of our own (n0, n1, ...), so nothing of a definition gets
 * into the syntax.  Labels are in double quotes; what could end them, or mean
 * something to Mermaid or to the HTML it makes, is written as an entity by
 * number, such as #34; for a double quote (Mermaid documentation, "Flowcharts
 * syntax", entity codes).  Labels are cut to a length that fits a node.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "flow/flow.h"

PG_FUNCTION_INFO_V1(ecauto_flow_diagram);

/* characters of a label */
#define LABEL_MAX 120

/* Append a text as the inside of a quoted label. */
static void
label_append(StringInfo out, const char *text)
{
	int			shown = 0;

	for (const char *p = text; *p != '\0'; p += pg_mblen(p))
	{
		int			len = pg_mblen(p);

		if (shown++ == LABEL_MAX)
		{
			appendStringInfoString(out, "...");
			return;
		}
		if (len > 1)
			appendBinaryStringInfo(out, p, len);
		else if (*p == '\n' || *p == '\t' || *p == '\r')
			appendStringInfoChar(out, ' ');
		else if ((unsigned char) *p < ' ' || *p == 127)
			continue;
		else if (strchr("\"#&<>`;{}[]()|\\*_~", *p) != NULL)
			appendStringInfo(out, "#%d;", *p);
		else
			appendStringInfoChar(out, *p);
	}
}

static const char *
span_text(const Interval *span)
{
	return DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(span)));
}

/* What a node says. */
static char *
op_label(const EcFlowOp *op)
{
	switch (op->kind)
	{
		case EC_OP_ACTION:
			return psprintf("%s %s", op->name, JsonbToCString(NULL, &op->params->root, VARSIZE(op->params)));
		case EC_OP_WAIT:
			if (op->event != NULL)
				return psprintf("wait for %s, at most %s", op->event, span_text(op->span));
			if (op->until != NULL)
			{
				int			minute = pg_rightmost_one_pos64(op->until->minutes);
				int			hour = pg_rightmost_one_pos32(op->until->hours);

				return psprintf("wait until %02d:%02d%s", hour, minute, op->until->weekdays != 0x7f ? " of certain weekdays" : "");
			}
			return psprintf("wait %s", span_text(op->span));
		case EC_OP_IF:
			return psprintf("%s", op->condition.text);
		case EC_OP_SPLIT:
			return psprintf("split %s", op->name);
		case EC_OP_HOLDOUT:
			return psprintf("hold out %g %% (%s)", op->share * 100, op->name);
		case EC_OP_FOR_EACH:
			return psprintf("for each %s", op->name);
		case EC_OP_EXIT:
			return op->name != NULL ? psprintf("exit: %s", op->name) : pstrdup("exit");
		case EC_OP_GOAL:
			return psprintf("goal: %s", op->event);
	}
	return pstrdup("");
}

static void
node_append(StringInfo out, int index, const EcFlowOp *op)
{
	bool		question = op->kind == EC_OP_IF || op->kind == EC_OP_SPLIT || op->kind == EC_OP_HOLDOUT;
	bool		rests = op->kind == EC_OP_WAIT || op->kind == EC_OP_GOAL;

	appendStringInfo(out, "    n%d%s\"", index, question ? "{" : rests ? "([" : op->kind == EC_OP_EXIT ? "((" : "[");
	label_append(out, op_label(op));
	appendStringInfo(out, "\"%s\n", question ? "}" : rests ? "])" : op->kind == EC_OP_EXIT ? "))" : "]");
}

static const char *
node_name(int index)
{
	return index == EC_OP_END ? "done" : psprintf("n%d", index);
}

static void
edge_append(StringInfo out, const char *from, int to, const char *label)
{
	appendStringInfo(out, "    %s --> ", from);
	if (label != NULL)
	{
		appendStringInfoString(out, "|\"");
		label_append(out, label);
		appendStringInfoString(out, "\"| ");
	}
	appendStringInfo(out, "%s\n", node_name(to));
}

static void
edges_append(StringInfo out, int index, const EcFlowOp *op)
{
	const char *from = node_name(index);

	switch (op->kind)
	{
		case EC_OP_IF:
			edge_append(out, from, op->next, "yes");
			edge_append(out, from, op->other, "no");
			break;
		case EC_OP_FOR_EACH:
			edge_append(out, from, op->next, "each");
			edge_append(out, from, op->other, "then");
			break;
		case EC_OP_SPLIT:
			for (int i = 0; i < op->narms; i++)
				edge_append(out, from, op->arms[i].target,
							psprintf("%s %g %%", op->arms[i].name,
									 rint((op->arms[i].upto - (i > 0 ? op->arms[i - 1].upto : 0)) * 10000) / 100));
			break;
		case EC_OP_HOLDOUT:
			edge_append(out, from, op->next, "others");
			edge_append(out, from, EC_OP_END, "held out");
			break;
		case EC_OP_EXIT:
			break;
		case EC_OP_WAIT:
			if (op->event != NULL)
			{
				edge_append(out, from, op->next, "it came");
				edge_append(out, from, op->other, "it did not");
				break;
			}
			/* FALLTHROUGH */
		default:
			edge_append(out, from, op->next, NULL);
	}
}

/*
 * ecauto.flow_diagram(name text) returns text
 */
Datum
ecauto_flow_diagram(PG_FUNCTION_ARGS)
{
	StringInfoData out;
	EcFlow	   *flow;
	int32		version;
	int32		id;

	ec_state_require();
	ec_require_reader("see a flow");
	id = ec_flow_find(text_to_cstring(PG_GETARG_TEXT_PP(0)), &version, NULL);
	flow = ec_flow_load(id, version);

	initStringInfo(&out);
	appendStringInfoString(&out, "flowchart TD\n    start([\"");
	label_append(&out, flow->kind_name);
	if (flow->after != NULL)
		label_append(&out, psprintf(", after %s", span_text(flow->after)));
	appendStringInfoString(&out, "\"])\n");
	if (flow->condition.text != NULL)
	{
		appendStringInfoString(&out, "    condition{\"");
		label_append(&out, flow->condition.text);
		appendStringInfoString(&out, "\"}\n    start --> condition\n");
	}
	for (int i = 0; i < flow->nops; i++)
		node_append(&out, i, &flow->ops[i]);
	appendStringInfoString(&out, "    done((\"end\"))\n");
	edge_append(&out, flow->condition.text != NULL ? "condition" : "start", 0, flow->condition.text != NULL ? "yes" : NULL);
	for (int i = 0; i < flow->nops; i++)
		edges_append(&out, i, &flow->ops[i]);
	if (flow->exit_if.text != NULL)
	{
		appendStringInfoString(&out, "    exit_if>\"before each step: exit if ");
		label_append(&out, flow->exit_if.text);
		appendStringInfoString(&out, "\"]\n    exit_if -.-> done\n");
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}

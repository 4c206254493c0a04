/*-------------------------------------------------------------------------
 *
 * pricing_cart_json.c
 *		Writing a jsonb in one pass.
 *
 * The server builds a jsonb as a tree of JsonbValues, sorts the keys of each
 * object and then flattens it.  What price_cart() answers has fixed keys and
 * known counts, so it can be written flat at once, which takes a fifth of the
 * time.  The format is that of utils/jsonb.h: a container is a header, one
 * JEntry for each element (for an object: all keys, then all values), and the
 * elements; containers and numbers are aligned.
 *
 * The caller says the number of elements beforehand and gives the keys of an
 * object in jsonb's order: shorter ones first, those of one length bytewise.
 * Then he writes the values in this order.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "pricing/pricing_cart.h"

/* Fill up to the next multiple of four; returns by how much. */
static int
pad(EcJson *json)
{
	int			padding = INTALIGN(json->buf.len) - json->buf.len;

	if (padding > 0)
	{
		enlargeStringInfo(&json->buf, padding);
		memset(json->buf.data + json->buf.len, 0, padding);
		json->buf.len += padding;
	}
	return padding;
}

/* Note an element of len bytes just written to the container at hand. */
static void
entry(EcJson *json, JEntry type, int len)
{
	EcJsonFrame *frame;
	JEntry		value;

	if (json->depth == 0)
		return;
	frame = &json->frames[json->depth - 1];
	if (frame->next >= frame->count)
		elog(ERROR, "too many elements for a container of %d", frame->count);
	frame->total += len;
	if (frame->total > JENTRY_OFFLENMASK)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the result of pricing a cart is too large")));
	if (frame->next % JB_OFFSET_STRIDE == 0)
		value = type | frame->total | JENTRY_HAS_OFF;
	else
		value = type | len;
	memcpy(json->buf.data + frame->entries + frame->next * sizeof(JEntry), &value, sizeof(JEntry));
	frame->next++;
}

static void
container(EcJson *json, uint32 header, int count, bool object)
{
	EcJsonFrame *frame;

	if (json->depth == EC_JSON_DEPTH)
		elog(ERROR, "containers are nested too deep");
	frame = &json->frames[json->depth++];
	frame->base = json->buf.len;
	(void) pad(json);
	appendBinaryStringInfo(&json->buf, (char *) &header, sizeof(header));
	frame->entries = json->buf.len;
	enlargeStringInfo(&json->buf, count * sizeof(JEntry));
	json->buf.len += count * sizeof(JEntry);
	frame->count = count;
	frame->next = 0;
	frame->total = 0;
	frame->object = object;
}

void
ec_json_begin(EcJson *json)
{
	initStringInfo(&json->buf);
	enlargeStringInfo(&json->buf, 8192);
	json->buf.len = VARHDRSZ;
	json->depth = 0;
}

void
ec_json_array(EcJson *json, int n)
{
	container(json, n | JB_FARRAY, n, false);
}

void
ec_json_object(EcJson *json, int n, const char *const *keys)
{
	container(json, n | JB_FOBJECT, 2 * n, true);
	for (int i = 0; i < n; i++)
	{
#ifdef USE_ASSERT_CHECKING
		if (i > 0)
		{
			size_t		a = strlen(keys[i - 1]);
			size_t		b = strlen(keys[i]);

			Assert(a < b || (a == b && memcmp(keys[i - 1], keys[i], a) < 0));
		}
#endif
		ec_json_cstring(json, keys[i]);
	}
}

/* The container at hand is complete. */
void
ec_json_end(EcJson *json)
{
	EcJsonFrame *frame = &json->frames[json->depth - 1];

	if (frame->next != frame->count)
		elog(ERROR, "%d elements for a container of %d", frame->next, frame->count);
	json->depth--;
	entry(json, JENTRY_ISCONTAINER, json->buf.len - frame->base);
}

void
ec_json_string(EcJson *json, const char *data, int len)
{
	appendBinaryStringInfo(&json->buf, data, len);
	entry(json, JENTRY_ISSTRING, len);
}

void
ec_json_cstring(EcJson *json, const char *string)
{
	ec_json_string(json, string, strlen(string));
}

/* A container that was written before, as it came out of ec_json_finish(). */
void
ec_json_raw(EcJson *json, const char *data, int len)
{
	int			padding = pad(json);

	appendBinaryStringInfo(&json->buf, data, len);
	entry(json, JENTRY_ISCONTAINER, padding + len);
}

void
ec_json_numeric(EcJson *json, Numeric number)
{
	int			padding = pad(json);

	appendBinaryStringInfo(&json->buf, (char *) number, VARSIZE_ANY(number));
	entry(json, JENTRY_ISNUMERIC, padding + VARSIZE_ANY(number));
}

void
ec_json_money(EcJson *json, EcMoney amount, int decimals)
{
	ec_json_numeric(json, ec_money_numeric(amount, decimals));
}

void
ec_json_int(EcJson *json, int64 number)
{
	ec_json_numeric(json, int64_to_numeric(number));
}

void
ec_json_bool(EcJson *json, bool value)
{
	entry(json, value ? JENTRY_ISBOOL_TRUE : JENTRY_ISBOOL_FALSE, 0);
}

void
ec_json_null(EcJson *json)
{
	entry(json, JENTRY_ISNULL, 0);
}

/* The jsonb; its root was an object or an array. */
Jsonb *
ec_json_finish(EcJson *json)
{
	Jsonb	   *result = (Jsonb *) json->buf.data;

	SET_VARSIZE(result, json->buf.len);
	return result;
}

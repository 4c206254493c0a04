/*-------------------------------------------------------------------------
 *
 * pricing_cart_input.c
 *		The arguments of price_cart(): lines and context, jsonb in, EcCart out.
 *
 * Texts of the result point into the arguments.  What is wrong is said with
 * its place ("line 3: ...") and what to write instead.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "common/int.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "pricing/pricing_cart.h"

/* ---- words ---- */

int
ec_word_cmp(const void *a, const void *b)
{
	const EcWord *x = a;
	const EcWord *y = b;
	int			order = memcmp(x->data, y->data, Min(x->len, y->len));

	return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

/* Is a word among sorted ones? */
bool
ec_words_have(const EcWords *words, const char *data, int len)
{
	EcWord		word = {data, len};

	if (data == NULL)
		return false;
	/* short lists are the rule, and most words differ in their length */
	if (words->n <= 8)
	{
		for (int i = 0; i < words->n; i++)
			if (words->words[i].len == len && memcmp(words->words[i].data, data, len) == 0)
				return true;
		return false;
	}
	return bsearch(&word, words->words, words->n, sizeof(EcWord), ec_word_cmp) != NULL;
}

void
ec_words_sort(EcWords *words)
{
	if (words->n > 1)
		qsort(words->words, words->n, sizeof(EcWord), ec_word_cmp);
}

/* A text or a number as a word; data is NULL for anything else. */
void
ec_word_from_json(EcWord *word, const JsonbValue *value)
{
	word->data = NULL;
	word->len = 0;
	if (value->type == jbvString)
	{
		/* not NULL even if it is empty */
		word->data = value->val.string.len > 0 ? value->val.string.val : "";
		word->len = value->val.string.len;
	}
	else if (value->type == jbvNumeric)
	{
		word->data = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		word->len = strlen(word->data);
	}
}

void
ec_words_from_json(EcWords *words, JsonbContainer *array)
{
	JsonbIterator *it = JsonbIteratorInit(array);
	JsonbValue	value;
	JsonbIteratorToken token;

	words->n = 0;
	words->words = palloc(sizeof(EcWord) * Max(JsonContainerSize(array), 1));
	(void) JsonbIteratorNext(&it, &value, true);
	while ((token = JsonbIteratorNext(&it, &value, true)) == WJB_ELEM)
		ec_word_from_json(&words->words[words->n++], &value);
}

/* A field that is there and not null; *value is its space. */
JsonbValue *
ec_json_field(JsonbContainer *object, const char *key, JsonbValue *value)
{
	value = getKeyJsonValueFromContainer(object, key, strlen(key), value);
	return (value == NULL || value->type == jbvNull) ? NULL : value;
}

/* ---- errors ---- */

pg_noreturn static void
line_refuse(int number, const char *what, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("line %d of the cart: %s", number, what),
			 detail ? errdetail("%s", detail) : 0,
			 hint ? errhint("%s", hint) : 0));
}

pg_noreturn static void
context_refuse(const char *key, const char *what, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" in the context of the cart %s", key, what),
			 detail ? errdetail("%s", detail) : 0,
			 hint ? errhint("%s", hint) : 0));
}

static char *
number_text(Numeric number)
{
	return psprintf("It is %s.", DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number))));
}

/* ---- lines ---- */

/* A number; a text that holds one is as good.  NULL if there is none. */
static Numeric
line_number(int number, const char *key, const JsonbValue *value)
{
	if (value->type == jbvNumeric)
		return value->val.numeric;
	if (value->type == jbvString)
	{
		char	   *text = pnstrdup(value->val.string.val, value->val.string.len);

		return DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text),
												   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	}
	if (value->type != jbvNull)
		line_refuse(number, psprintf("\"%s\" must be a number", key), NULL, NULL);
	return NULL;
}

/* A quantity, in millionths. */
static int64
line_qty(int number, const char *key, Numeric qty)
{
	int64		result;

	if (!ec_numeric_exact(qty, 6, &result) || result < 0 || result > EC_CART_QTY_MAX * EC_MICRO)
		line_refuse(number, psprintf("\"%s\" must be a number from 0 to " INT64_FORMAT
									 " with at most six decimals", key, EC_CART_QTY_MAX),
					number_text(qty), NULL);
	return result;
}

static void
line_words(int number, const char *key, const JsonbValue *value, EcWords *words)
{
	if (value->type == jbvNull)
		return;
	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		line_refuse(number, psprintf("\"%s\" must be a list of texts", key), NULL, "Write such as [\"A\", \"B\"].");
	ec_words_from_json(words, value->val.binary.data);
	for (int i = 0; i < words->n; i++)
		if (words->words[i].data == NULL)
			line_refuse(number, psprintf("\"%s\" must be a list of texts", key), NULL, "Write such as [\"A\", \"B\"].");
	ec_words_sort(words);
}

#define KEY_IS(name) (key.val.string.len == sizeof(name) - 1 && memcmp(key.val.string.val, name, sizeof(name) - 1) == 0)

static void
parse_line(EcCart *cart, EcLine *line, JsonbContainer *json)
{
	JsonbIterator *it = JsonbIteratorInit(json);
	JsonbValue	key;
	JsonbValue	value;
	Numeric		returned = NULL;
	Numeric		returned_before = NULL;
	Datum		amount;
	int64		scaled;
	int			number = line->number;

	line->json = json;
	line->taken = -1;
	(void) JsonbIteratorNext(&it, &key, true);
	while (JsonbIteratorNext(&it, &key, true) == WJB_KEY)
	{
		(void) JsonbIteratorNext(&it, &value, true);
		if (KEY_IS("sku"))
			ec_word_from_json(&line->sku, &value);
		else if (KEY_IS("qty"))
			line->qty_given = line_number(number, "qty", &value);
		else if (KEY_IS("unit_price"))
			line->price_given = line_number(number, "unit_price", &value);
		else if (KEY_IS("key"))
			ec_word_from_json(&line->key, &value);
		else if (KEY_IS("product"))
		{
			ec_word_from_json(&line->product, &value);
			line->attributes = line->product.data != NULL;
		}
		else if (KEY_IS("brand"))
		{
			ec_word_from_json(&line->brand, &value);
			line->attributes = true;
		}
		else if (KEY_IS("categories"))
		{
			line_words(number, "categories", &value, &line->categories);
			line->attributes = line->categories_known = true;
		}
		else if (KEY_IS("tags"))
			line_words(number, "tags", &value, &line->tags);
		else if (KEY_IS("returned"))
			returned = line_number(number, "returned", &value);
		else if (KEY_IS("returned_before"))
			returned_before = line_number(number, "returned_before", &value);
	}

	if (line->sku.data == NULL)
		line_refuse(number, "\"sku\" is missing", NULL, "Give the key of the sku as a text.");
	if (line->qty_given == NULL)
		line_refuse(number, "\"qty\" is missing", NULL, "Give how many units there are.");
	if (line->price_given == NULL)
		line_refuse(number, "\"unit_price\" is missing", NULL,
					"Give the price of one unit before promotions, in major units of the currency.");
	line->qty = line_qty(number, "qty", line->qty_given);
	line->units = line->qty / EC_MICRO;
	if (!ec_numeric_scaled(line->price_given, 0, &scaled) || scaled > EC_CART_LINE_MAX || line->price_given == NULL ||
		DatumGetBool(DirectFunctionCall2(numeric_lt, NumericGetDatum(line->price_given),
										 NumericGetDatum(int64_to_numeric(0)))))
		line_refuse(number, "\"unit_price\" must be a finite number, 0 or more", number_text(line->price_given),
					"A deposit or a credit is no line of a cart.");
	amount = DirectFunctionCall2(numeric_mul, NumericGetDatum(line->qty_given), NumericGetDatum(line->price_given));
	if (!ec_numeric_scaled(DatumGetNumeric(amount), cart->decimals, &line->subtotal) ||
		line->subtotal > EC_CART_LINE_MAX)
		line_refuse(number, "its amount is too large", number_text(DatumGetNumeric(amount)), NULL);
	if (returned != NULL)
	{
		line->returned = line_qty(number, "returned", returned);
		cart->refund = true;
	}
	if (returned_before != NULL)
		line->returned_before = line_qty(number, "returned_before", returned_before);
	if (line->returned + line->returned_before > line->qty)
		line_refuse(number, "more is returned than was bought", number_text(line->qty_given),
					"\"returned\" counts units that come back now, \"returned_before\" those that came back earlier.");
}

static void
parse_lines(EcCart *cart, Jsonb *lines)
{
	JsonbIterator *it;
	JsonbValue	value;

	if (!JB_ROOT_IS_ARRAY(lines) || JB_ROOT_IS_SCALAR(lines))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("lines of a cart must be a list of objects"),
				 errhint("Write such as [{\"sku\": \"A\", \"qty\": 2, \"unit_price\": 19.90}].")));
	if (JB_ROOT_COUNT(lines) > EC_CART_LINES_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a cart has at most %d lines", EC_CART_LINES_MAX),
				 errdetail("It has %d.", (int) JB_ROOT_COUNT(lines)),
				 errhint("Put units of the same sku into one line.")));
	cart->lines = palloc0(sizeof(EcLine) * Max(JB_ROOT_COUNT(lines), 1));
	it = JsonbIteratorInit(&lines->root);
	(void) JsonbIteratorNext(&it, &value, true);
	while (JsonbIteratorNext(&it, &value, true) == WJB_ELEM)
	{
		EcLine	   *line = &cart->lines[cart->nlines++];

		line->number = cart->nlines;
		if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
			line_refuse(line->number, "it must be an object", NULL,
						"Write such as {\"sku\": \"A\", \"qty\": 2, \"unit_price\": 19.90}.");
		parse_line(cart, line, value.val.binary.data);
		cart->subtotal += line->subtotal;
		cart->qty += line->qty;
	}
}

/*
 * Dear units first; where equal, by what a line says of itself, so that the
 * order of the input has no part in any result.
 */
static int
rank_cmp(const void *a, const void *b, void *arg)
{
	const EcLine *lines = arg;
	const EcLine *x = &lines[*(const int *) a];
	const EcLine *y = &lines[*(const int *) b];
	int			order;

	order = DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(y->price_given),
											  NumericGetDatum(x->price_given)));
	if (order == 0)
		order = ec_word_cmp(&x->sku, &y->sku);
	if (order == 0 && x->key.data != NULL && y->key.data != NULL)
		order = ec_word_cmp(&x->key, &y->key);
	if (order == 0)
		order = (x->qty < y->qty) - (x->qty > y->qty);
	/* what differs now at all has the same price, sku and quantity */
	return order != 0 ? order : x->number - y->number;
}

void
ec_cart_rank(EcCart *cart)
{
	cart->order = palloc(sizeof(int) * Max(cart->nlines, 1));
	for (int i = 0; i < cart->nlines; i++)
		cart->order[i] = i;
	qsort_arg(cart->order, cart->nlines, sizeof(int), rank_cmp, cart->lines);
	for (int i = 0; i < cart->nlines; i++)
		cart->lines[cart->order[i]].rank = i;
}

/* ---- context ---- */

static void
context_word(const JsonbValue *value, const char *key, EcWord *word)
{
	ec_word_from_json(word, value);
	if (word->data == NULL && value->type != jbvNull)
		context_refuse(key, "must be a text", NULL, NULL);
}

static void
context_list(const JsonbValue *value, const char *key, EcWords *words)
{
	if (value->type == jbvNull)
		return;
	if (value->type == jbvString)
	{
		words->words = palloc(sizeof(EcWord));
		words->n = 1;
		ec_word_from_json(&words->words[0], value);
		return;
	}
	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		context_refuse(key, "must be a list of texts", NULL, "Write such as [\"A\", \"B\"].");
	ec_words_from_json(words, value->val.binary.data);
	for (int i = 0; i < words->n; i++)
		if (words->words[i].data == NULL)
			context_refuse(key, "must be a list of texts", NULL, "Write such as [\"A\", \"B\"].");
}

static void
context_customer(EcCart *cart, const JsonbValue *value)
{
	JsonbValue	space;
	JsonbValue *part;

	if (value->type == jbvNull)
		return;
	if (value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data))
	{
		cart->customer = value->val.binary.data;
		if ((part = ec_json_field(cart->customer, "key", &space)) != NULL)
			context_word(part, "customer.key", &cart->customer_key);
		if ((part = ec_json_field(cart->customer, "email", &space)) != NULL)
			context_word(part, "customer.email", &cart->email);
		if ((part = ec_json_field(cart->customer, "segments", &space)) != NULL)
		{
			context_list(part, "customer.segments", &cart->segments);
			ec_words_sort(&cart->segments);
			cart->segments_known = true;
		}
	}
	else
		context_word(value, "customer", &cart->customer_key);
	if (cart->email.data != NULL)
		cart->identity = ec_customer_identity(pnstrdup(cart->email.data, cart->email.len));
	else if (cart->customer_key.data != NULL)
		cart->identity = ec_customer_identity(pnstrdup(cart->customer_key.data, cart->customer_key.len));
}

static void
parse_context(EcCart *cart, Jsonb *context)
{
	JsonbIterator *it;
	JsonbValue	key;
	JsonbValue	value;
	Numeric		shipping = NULL;
	EcWord		word;

	if (!JB_ROOT_IS_OBJECT(context))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("context of a cart must be an object"),
				 errhint("Write such as {\"currency\": \"EUR\", \"channel\": \"web\"}.")));
	cart->context = &context->root;
	it = JsonbIteratorInit(&context->root);
	(void) JsonbIteratorNext(&it, &key, true);
	while (JsonbIteratorNext(&it, &key, true) == WJB_KEY)
	{
		(void) JsonbIteratorNext(&it, &value, true);
		if (KEY_IS("currency"))
		{
			context_word(&value, "currency", &word);
			if (word.len == 3)
				strlcpy(cart->currency, word.data, 4);
			if (word.data != NULL && !(word.len == 3 && ec_currency_digits(cart->currency) >= 0))
				context_refuse("currency", "is not a known currency", psprintf("It is \"%.*s\".", Min(word.len, 100), word.data),
							   "Write a code of ISO 4217 in capital letters, such as \"EUR\".");
		}
		else if (KEY_IS("at"))
		{
			context_word(&value, "at", &word);
			if (word.data != NULL)
				cart->at = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
																   CStringGetDatum(pnstrdup(word.data, word.len)),
																   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
		}
		else if (KEY_IS("channel"))
			context_word(&value, "channel", &cart->channel);
		else if (KEY_IS("customer"))
			context_customer(cart, &value);
		else if (KEY_IS("order"))
			context_word(&value, "order", &cart->order_key);
		else if (KEY_IS("cart"))
			context_word(&value, "cart", &cart->cart_key);
		else if (KEY_IS("client"))
		{
			context_word(&value, "client", &word);
			if (word.data != NULL)
				cart->client = psprintf("client %.*s", Min(word.len, EC_KEY_MAX), word.data);
		}
		else if (KEY_IS("shipping"))
		{
			if (value.type == jbvNumeric)
				shipping = value.val.numeric;
			else if (value.type != jbvNull)
				context_refuse("shipping", "must be a number", NULL, "Give the price of the shipping before promotions.");
		}
		else if (KEY_IS("coupons"))
		{
			EcWords		codes = {0};

			context_list(&value, "coupons", &codes);
			if (codes.n > 100)
				context_refuse("coupons", "has too many codes", psprintf("It has %d.", codes.n), "A cart has at most 100.");
			cart->codes = palloc0(sizeof(EcCode) * Max(codes.n, 1));
			for (int i = 0; i < codes.n; i++)
			{
				EcCode	   *code = &cart->codes[cart->ncodes];
				bool		again = false;

				code->given = pnstrdup(codes.words[i].data, codes.words[i].len);
				code->code = ec_coupon_normalize(code->given);
				for (int j = 0; j < cart->ncodes; j++)
					again = again || strcmp(cart->codes[j].code, code->code) == 0;
				if (!again)
					cart->ncodes++;
			}
		}
		else if (KEY_IS("explain"))
			cart->explain_all = value.type == jbvString && value.val.string.len == 3 &&
				memcmp(value.val.string.val, "all", 3) == 0;
		else if (KEY_IS("without"))
		{
			context_list(&value, "without", &cart->without);
			ec_words_sort(&cart->without);
		}
		else if (KEY_IS("stock"))
		{
			if (value.type == jbvBinary && JsonContainerIsObject(value.val.binary.data))
				cart->stock = value.val.binary.data;
			else if (value.type != jbvNull)
				context_refuse("stock", "must be an object", NULL, "Write such as {\"MUG\": 3}.");
		}
	}
	if (cart->client == NULL)
		cart->client = cart->identity;
	cart->decimals = cart->currency[0] != '\0' ? ec_currency_digits(cart->currency) : 2;
	if (shipping != NULL)
	{
		if (!ec_numeric_scaled(shipping, cart->decimals, &cart->shipping) || cart->shipping < 0 ||
			cart->shipping > EC_CART_LINE_MAX)
			context_refuse("shipping", "must be an amount of money, 0 or more", number_text(shipping), NULL);
		cart->has_shipping = true;
	}
}

/*
 * Read a cart.  Errors: invalid_parameter_value, program_limit_exceeded, and
 * those of the types' input functions.
 */
EcCart *
ec_cart_parse(Jsonb *lines, Jsonb *context)
{
	EcCart	   *cart = palloc0(sizeof(EcCart));

	cart->at = ec_now();
	parse_context(cart, context);
	parse_lines(cart, lines);
	ec_cart_rank(cart);
	return cart;
}

/*
 * One unit of a sku at a price, for ec_promotion_price().  Lines have no
 * attributes yet.
 */
EcCart *
ec_cart_of_one(const char *sku, Numeric price, const char *currency, TimestampTz at, Jsonb *context)
{
	EcCart	   *cart = palloc0(sizeof(EcCart));
	EcLine	   *line = palloc0(sizeof(EcLine));

	parse_context(cart, context);
	strlcpy(cart->currency, currency, sizeof(cart->currency));
	cart->decimals = ec_currency_digits(currency);
	cart->at = at;
	cart->ncodes = 0;
	cart->has_shipping = false;
	line->number = 1;
	line->taken = line->touched = -1;
	line->sku.data = sku;
	line->sku.len = strlen(sku);
	line->price_given = price;
	line->qty_given = int64_to_numeric(1);
	line->qty = EC_MICRO;
	line->units = 1;
	if (!ec_numeric_scaled(price, cart->decimals, &line->subtotal) || line->subtotal < 0 ||
		line->subtotal > EC_CART_LINE_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("price of sku \"%s\" is out of range", sku),
				 errdetail("%s", number_text(price))));
	cart->lines = line;
	cart->nlines = 1;
	cart->subtotal = line->subtotal;
	cart->qty = line->qty;
	ec_cart_rank(cart);
	return cart;
}

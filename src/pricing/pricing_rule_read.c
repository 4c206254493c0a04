/*-------------------------------------------------------------------------
 *
 * pricing_rule_read.c
 *		What a price rule's definition says.
 *
 * A definition is an object.  Each of its keys has a line in the table below,
 * which tells where the value goes and what it may be; an unknown key is an
 * error that names the nearest.  It is read when the rule is made, and again
 * each time the rule is used.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "pricing/pricing.h"
#include "pricing/pricing_rule.h"
#include "shop/shop.h"

/* dearest price and largest percentage that a rule may say, in micros */
#define AMOUNT_MAX	(INT64CONST(1000000000) * EC_MICROS)
#define PERCENT_MAX (INT64CONST(100000) * EC_MICROS)

#define FX_AGE_DEFAULT	7
#define FX_AGE_MAX		3660

typedef enum KeyKind
{
	KEY_SCOPE,					/* "all", or an object of those below */
	KEY_STRINGS,				/* a string or an array of them */
	KEY_CURRENCIES,
	KEY_TEXT,
	KEY_COUNTRY,
	KEY_NUMBER,
	KEY_INTEGER,
	KEY_BOOL,
	KEY_TIME,
	KEY_DAY,
	KEY_BASE,
	KEY_DIRECTION,
	KEY_ENDINGS
} KeyKind;

typedef struct Key
{
	const char *name;
	KeyKind		kind;
	size_t		offset;			/* in EcPriceRule */
	int64		min;			/* of a number in micros, of an integer as such */
	int64		max;
	bool		in_scope;		/* may stand in "scope", too */
} Key;

#define FIELD(field) offsetof(EcPriceRule, field)

static const Key keys[] = {
	{"scope", KEY_SCOPE, 0},
	{"sku", KEY_STRINGS, FIELD(skus), 0, 0, true},
	{"product", KEY_STRINGS, FIELD(products), 0, 0, true},
	{"category", KEY_STRINGS, FIELD(categories), 0, 0, true},
	{"brand", KEY_STRINGS, FIELD(brands), 0, 0, true},
	{"condition", KEY_TEXT, FIELD(condition), 0, 0, true},
	{"currency", KEY_CURRENCIES, FIELD(currencies), 0, 0, true},
	/* as promotions call them */
	{"skus", KEY_STRINGS, FIELD(skus), 0, 0, true},
	{"products", KEY_STRINGS, FIELD(products), 0, 0, true},
	{"categories", KEY_STRINGS, FIELD(categories), 0, 0, true},
	{"brands", KEY_STRINGS, FIELD(brands), 0, 0, true},
	{"where", KEY_TEXT, FIELD(condition), 0, 0, true},
	{"if", KEY_TEXT, FIELD(condition), 0, 0, true},
	{"from", KEY_TIME, FIELD(valid_from)},
	{"until", KEY_TIME, FIELD(valid_until)},
	{"valid_from", KEY_TIME, FIELD(valid_from)},
	{"valid_until", KEY_TIME, FIELD(valid_until)},
	{"priority", KEY_INTEGER, FIELD(priority), -1000000, 1000000},
	{"exclusive", KEY_BOOL, FIELD(exclusive)},
	{"base", KEY_BASE, FIELD(base)},
	{"price", KEY_NUMBER, FIELD(fixed), 1, AMOUNT_MAX},
	{"markup", KEY_NUMBER, FIELD(markup), -100 * EC_MICROS + 1, PERCENT_MAX},
	{"margin", KEY_NUMBER, FIELD(margin), -PERCENT_MAX, 100 * EC_MICROS - 1},
	{"percent_off", KEY_NUMBER, FIELD(percent_off), 0, 100 * EC_MICROS},
	{"add", KEY_NUMBER, FIELD(add), -AMOUNT_MAX, AMOUNT_MAX},
	{"round_to", KEY_NUMBER, FIELD(round_to), 1, AMOUNT_MAX},
	{"round", KEY_NUMBER, FIELD(round_to), 1, AMOUNT_MAX},
	{"charm", KEY_ENDINGS, 0},
	{"fixed_price", KEY_NUMBER, FIELD(fixed), 1, AMOUNT_MAX},
	{"direction", KEY_DIRECTION, FIELD(direction)},
	{"endings", KEY_ENDINGS, 0},
	{"floor", KEY_NUMBER, FIELD(floor), 0, AMOUNT_MAX},
	{"ceiling", KEY_NUMBER, FIELD(ceiling), 1, AMOUNT_MAX},
	{"min_margin", KEY_NUMBER, FIELD(min_margin), -PERCENT_MAX, 100 * EC_MICROS - 1},
	{"max_change", KEY_NUMBER, FIELD(max_change), 0, PERCENT_MAX},
	{"max_change_day", KEY_NUMBER, FIELD(max_change_day), 0, PERCENT_MAX},
	{"ignore_minimum", KEY_BOOL, FIELD(ignore_minimum)},
	{"vat", KEY_NUMBER, FIELD(vat), 0, 100 * EC_MICROS},
	{"country", KEY_COUNTRY, FIELD(country)},
	{"fx_day", KEY_DAY, FIELD(fx_day)},
	{"fx_max_age", KEY_INTEGER, FIELD(fx_age), 0, FX_AGE_MAX},
};

/* The rule and key that is being read, for errors. */
typedef struct Reading
{
	const char *rule;
	EcPriceRule *to;
	bool		exclusive_given;
	bool		base_given;
} Reading;

static void
value_refuse(const Reading *reading, const char *key, const char *wanted, const JsonbValue *value)
{
	char	   *text;

	switch (value->type)
	{
		case jbvNumeric:
			text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
			break;
		case jbvString:
			text = psprintf("\"%.*s\"", Min(value->val.string.len, 100), value->val.string.val);
			break;
		case jbvBool:
			text = value->val.boolean ? "true" : "false";
			break;
		case jbvNull:
			text = "null";
			break;
		default:
			text = "an object or an array";
			break;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" of a price rule must be %s", key, wanted),
			 errdetail("In rule \"%s\" it is %s.", reading->rule, text)));
}

static char *
string_of(const JsonbValue *value)
{
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* The elements of an array, or the value itself. */
static List *
elements_of(const JsonbValue *value)
{
	List	   *list = NIL;

	if (value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data))
	{
		JsonbIterator *it = JsonbIteratorInit(value->val.binary.data);
		JsonbIteratorToken token;
		JsonbValue	element;

		while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
		{
			if (token == WJB_ELEM)
			{
				JsonbValue *copy = palloc(sizeof(JsonbValue));

				*copy = element;
				list = lappend(list, copy);
			}
		}
		return list;
	}
	return list_make1(unconstify(JsonbValue *, value));
}

/*
 * A number, which may be written as a string (".99"), in micros.
 */
static bool
micros_of(const JsonbValue *value, int64 *micros)
{
	if (value->type == jbvNumeric)
		return ec_micros_set(micros, value->val.numeric);
	if (value->type == jbvString)
	{
		char	   *text = string_of(value);
		Datum		number;

		if (*text == '\0' || strspn(text, "0123456789.") != strlen(text) || strcmp(text, ".") == 0 ||
			strchr(text, '.') != strrchr(text, '.'))
			return false;
		number = DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid),
									 Int32GetDatum(-1));
		return ec_micros_set(micros, DatumGetNumeric(number));
	}
	return false;
}

static void
strings_read(const Reading *reading, const Key *key, const JsonbValue *value, List **to)
{
	ListCell   *lc;
	List	   *elements = elements_of(value);

	if (elements == NIL)
		value_refuse(reading, key->name, "a string or an array of strings, and not empty", value);
	foreach(lc, elements)
	{
		const JsonbValue *element = lfirst(lc);
		char	   *text;

		/* keys of shops are often numbers */
		if (element->type == jbvNumeric && key->kind == KEY_STRINGS)
			text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(element->val.numeric)));
		else if (element->type == jbvString)
			text = string_of(element);
		else
			value_refuse(reading, key->name, "a string or an array of strings", element);
		if (key->kind == KEY_CURRENCIES)
			text = ec_currency_check(text);
		*to = lappend(*to, text);
	}
}

static void
base_read(Reading *reading, const JsonbValue *value)
{
	static const struct
	{
		const char *name;
		EcPriceBase base;
	}			bases[] = {
		{"cost", EC_BASE_COST}, {"price", EC_BASE_PRICE}, {"list_price", EC_BASE_LIST},
		{"best_offer", EC_BASE_OFFER}, {"result", EC_BASE_RESULT}
	};

	if (value->type == jbvString)
	{
		char	   *name = string_of(value);

		for (int i = 0; i < lengthof(bases); i++)
		{
			if (strcmp(name, bases[i].name) == 0)
			{
				reading->to->base = bases[i].base;
				reading->base_given = true;
				return;
			}
		}
	}
	value_refuse(reading, "base", "cost, price, list_price, best_offer or result", value);
}

static void
direction_read(const Reading *reading, const JsonbValue *value)
{
	static const char *const names[] = {"nearest", "up", "down"};

	if (value->type == jbvString)
	{
		char	   *name = string_of(value);

		for (int i = 0; i < lengthof(names); i++)
		{
			if (strcmp(name, names[i]) == 0)
			{
				reading->to->direction = (EcDirection) i;
				return;
			}
		}
	}
	value_refuse(reading, "direction", "nearest, up or down", value);
}

/*
 * What prices end in tells how far apart they are: .99 ends a price each 1.00,
 * 9.00 and 4.95 each 10.00, 99.00 each 100.00.
 */
static void
ending_add(const Reading *reading, const JsonbValue *value, int64 below)
{
	EcPriceRule *rule = reading->to;
	EcEnding   *ending;
	int64		micros;
	int64		period = EC_MICROS;

	if (!micros_of(value, &micros) || micros < 0 || micros > AMOUNT_MAX)
		value_refuse(reading, "endings", "amounts such as 0.99, or objects with \"ending\" and \"below\"", value);
	while (period <= micros)
		period *= 10;
	if (rule->nendings > 0 && rule->endings[rule->nendings - 1].below >= below)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("bands of \"endings\" of a price rule must rise"),
				 errdetail("Rule \"%s\" has a band that begins below the end of the one before it.", reading->rule),
				 errhint("Give \"below\" to all bands but the last.")));
	rule->endings = rule->endings == NULL ? palloc(sizeof(EcEnding))
		: repalloc(rule->endings, (rule->nendings + 1) * sizeof(EcEnding));
	ending = &rule->endings[rule->nendings++];
	ending->below = below;
	ending->ending = micros;
	ending->period = period;
}

static void
endings_read(const Reading *reading, const JsonbValue *value)
{
	ListCell   *lc;

	foreach(lc, elements_of(value))
	{
		JsonbValue *element = lfirst(lc);
		JsonbContainer *object;
		JsonbValue *below;
		JsonbValue *ending;
		int64		micros = PG_INT64_MAX;

		if (element->type != jbvBinary || !JsonContainerIsObject(element->val.binary.data))
		{
			ending_add(reading, element, PG_INT64_MAX);
			continue;
		}
		object = element->val.binary.data;
		below = getKeyJsonValueFromContainer(object, "below", 5, NULL);
		ending = getKeyJsonValueFromContainer(object, "ending", 6, NULL);
		if (ending == NULL || JsonContainerSize(object) != (below ? 2 : 1))
			value_refuse(reading, "endings", "amounts such as 0.99, or objects with \"ending\" and \"below\"", element);
		if (below != NULL && (!micros_of(below, &micros) || micros <= 0))
			value_refuse(reading, "endings.below", "an amount above zero", below);
		ending_add(reading, ending, micros);
	}
}

static void
number_read(const Reading *reading, const Key *key, const JsonbValue *value, EcRuleNumber *to)
{
	if (!micros_of(value, &to->value))
		value_refuse(reading, key->name, "a number with at most six digits after the point", value);
	if (to->value < key->min || to->value > key->max)
	{
		/* the bounds that somebody runs into get words of their own */
		if (strcmp(key->name, "margin") == 0 || strcmp(key->name, "min_margin") == 0)
			value_refuse(reading, key->name, "below 100 percent", value);
		if (strcmp(key->name, "percent_off") == 0 || strcmp(key->name, "vat") == 0)
			value_refuse(reading, key->name, "between 0 and 100 percent", value);
		if (strcmp(key->name, "markup") == 0)
			value_refuse(reading, key->name, "above -100 percent and at most 100000", value);
		value_refuse(reading, key->name,
					 psprintf("between %s and %s", ec_micros_text(key->min), ec_micros_text(key->max)), value);
	}
	to->given = true;
}

static void object_read(Reading *reading, JsonbContainer *object, bool scope);

static void
key_read(Reading *reading, const Key *key, const JsonbValue *value)
{
	EcPriceRule *rule = reading->to;
	void	   *to = (char *) rule + key->offset;
	int64		micros;

	switch (key->kind)
	{
		case KEY_SCOPE:
			if (value->type == jbvString && value->val.string.len == 3 &&
				strncmp(value->val.string.val, "all", 3) == 0)
				return;
			if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
				value_refuse(reading, key->name, "\"all\" or an object", value);
			object_read(reading, value->val.binary.data, true);
			break;
		case KEY_STRINGS:
		case KEY_CURRENCIES:
			strings_read(reading, key, value, to);
			break;
		case KEY_TEXT:
			if (value->type != jbvString)
				value_refuse(reading, key->name, "a string", value);
			*(char **) to = string_of(value);
			break;
		case KEY_COUNTRY:
			if (value->type != jbvString || value->val.string.len != 2)
				value_refuse(reading, key->name, "a code of two letters", value);
			*(char **) to = string_of(value);
			for (char *p = *(char **) to; *p != '\0'; p++)
				*p = pg_ascii_toupper((unsigned char) *p);
			break;
		case KEY_NUMBER:
			number_read(reading, key, value, to);
			break;
		case KEY_INTEGER:
			if (value->type != jbvNumeric || !micros_of(value, &micros) || micros % EC_MICROS != 0 ||
				micros / EC_MICROS < key->min || micros / EC_MICROS > key->max)
				value_refuse(reading, key->name,
							 psprintf("a whole number from %lld to %lld", (long long) key->min, (long long) key->max),
							 value);
			*(int *) to = (int) (micros / EC_MICROS);
			break;
		case KEY_BOOL:
			if (value->type != jbvBool)
				value_refuse(reading, key->name, "true or false", value);
			*(bool *) to = value->val.boolean;
			if (to == &rule->exclusive)
				reading->exclusive_given = true;
			break;
		case KEY_TIME:
			if (value->type != jbvString)
				value_refuse(reading, key->name, "a time, such as \"2026-03-29 00:00\"", value);
			*(TimestampTz *) to = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
																		  CStringGetDatum(string_of(value)),
																		  ObjectIdGetDatum(InvalidOid),
																		  Int32GetDatum(-1)));
			break;
		case KEY_DAY:
			if (value->type != jbvString)
				value_refuse(reading, key->name, "a day, such as \"2026-03-29\"", value);
			((EcRuleNumber *) to)->given = true;
			((EcRuleNumber *) to)->value = DatumGetDateADT(DirectFunctionCall1(date_in,
																			   CStringGetDatum(string_of(value))));
			break;
		case KEY_BASE:
			base_read(reading, value);
			break;
		case KEY_DIRECTION:
			direction_read(reading, value);
			break;
		case KEY_ENDINGS:
			endings_read(reading, value);
			break;
	}
}

static const Key *
key_get(const Reading *reading, const char *name, bool scope)
{
	const char *names[lengthof(keys)];
	const char *nearest;
	int			n = 0;
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < lengthof(keys); i++)
	{
		if (scope && !keys[i].in_scope)
			continue;
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
		appendStringInfo(&list, "%s%s", n > 0 ? ", " : "", keys[i].name);
		names[n++] = keys[i].name;
	}
	nearest = ec_expr_nearest(name, n, names);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s of a price rule cannot say \"%s\"", scope ? "scope" : "definition", name),
			 errdetail("Rule \"%s\" does. It can say %s.", reading->rule, list.data),
			 nearest ? errhint("Perhaps you mean \"%s\".", nearest) : 0));
}

static void
object_read(Reading *reading, JsonbContainer *object, bool scope)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		const Key  *key;

		if (token != WJB_KEY)
			continue;
		key = key_get(reading, string_of(&value), scope);
		(void) JsonbIteratorNext(&it, &value, true);
		if (value.type == jbvNull)
			continue;			/* as if it were not there */
		key_read(reading, key, &value);
	}
}

static void
rule_refuse(const EcPriceRule *rule, const char *message, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s", message),
			 errdetail("Rule \"%s\" %s.", rule->name, detail)));
}

/* What is not said follows from what is; what contradicts itself is refused. */
static void
rule_complete(Reading *reading)
{
	EcPriceRule *rule = reading->to;
	bool		says = rule->fixed.given || rule->markup.given || rule->margin.given || rule->percent_off.given ||
		rule->add.given || rule->round_to.given || rule->nendings > 0;
	bool		limits = rule->floor.given || rule->ceiling.given || rule->min_margin.given ||
		rule->max_change.given || rule->max_change_day.given;

	if (!reading->exclusive_given)
		rule->exclusive = true;
	if (rule->fixed.given)
	{
		if (reading->base_given)
			rule_refuse(rule, "a price rule has a base or a fixed price, not both", "has both");
		rule->base = EC_BASE_FIXED;
	}
	else if (!reading->base_given)
	{
		if (!rule->exclusive)
			rule->base = EC_BASE_RESULT;
		else
			rule->base = rule->markup.given || rule->margin.given ? EC_BASE_COST : EC_BASE_PRICE;
	}
	if (!says && !limits && (!reading->base_given || rule->base == EC_BASE_RESULT || rule->base == EC_BASE_PRICE))
		rule_refuse(rule, "a price rule must say what becomes of a price", "does not");
	if (rule->base == EC_BASE_RESULT && rule->exclusive)
		rule_refuse(rule, "an exclusive price rule must not build on the result of others",
					"has \"base\": \"result\" and is not \"exclusive\": false");
	if (rule->markup.given && rule->margin.given)
		rule_refuse(rule, "a price rule has a markup or a margin, not both",
					"has both; a markup is reckoned from the cost, a margin from the price");
	if (rule->floor.given && rule->ceiling.given && rule->floor.value > rule->ceiling.value)
		rule_refuse(rule, "floor of a price rule must not be above its ceiling", "has a floor above its ceiling");
	if (rule->valid_from >= rule->valid_until)
		rule_refuse(rule, "a price rule must be valid for some time", "ends when it begins, or before");

	if (rule->skus != NIL)
		rule->scope = EC_SCOPE_SKU;
	else if (rule->products != NIL)
		rule->scope = EC_SCOPE_PRODUCT;
	else if (rule->categories != NIL)
		rule->scope = EC_SCOPE_CATEGORY;
	else if (rule->brands != NIL)
		rule->scope = EC_SCOPE_BRAND;
	else if (rule->condition != NULL)
		rule->scope = EC_SCOPE_CONDITION;
	else
		rule->scope = EC_SCOPE_ALL;
}

/*
 * Read a definition, into the current context; name is not copied.  Times
 * without zone are those of the session's TimeZone.  The condition is not
 * checked here.  Errors: invalid_parameter_value, those of times.
 */
EcPriceRule *
ec_price_rule_read(const char *name, Jsonb *definition)
{
	EcPriceRule *rule = palloc0(sizeof(EcPriceRule));
	Reading		reading = {name, rule};

	rule->name = unconstify(char *, name);
	rule->definition = definition;
	rule->valid_from = DT_NOBEGIN;
	rule->valid_until = DT_NOEND;
	rule->country = "";
	rule->fx_age = FX_AGE_DEFAULT;
	if (!JB_ROOT_IS_OBJECT(definition))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("definition of a price rule must be a JSON object")));
	object_read(&reading, &definition->root, false);
	rule_complete(&reading);
	return rule;
}

/*
 * The rows that a rule's condition may speak of: sku, product, price, cost.
 * Kept for the session.
 */
const EcExprScope *
ec_price_scope(void)
{
	static const char *const names[] = {"sku", "product", "price", "cost"};
	static EcExprScope *scope = NULL;

	if (scope == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
		EcExprScope *made = palloc0(sizeof(EcExprScope));

		made->nrows = lengthof(names);
		made->rows = palloc0(made->nrows * sizeof(EcExprRow));
		for (int i = 0; i < lengthof(names); i++)
			ec_role_scope_row(ec_role_get(names[i]), names[i], &made->rows[i]);
		scope = made;
		MemoryContextSwitchTo(old);
	}
	return scope;
}

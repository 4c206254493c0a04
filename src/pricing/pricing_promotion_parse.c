/*-------------------------------------------------------------------------
 *
 * pricing_promotion_parse.c
 *		The definition of a promotion: jsonb in, EcPromotion out.
 *
 * One reader serves both creating a promotion and loading it later, so what
 * was accepted is what runs.  Every message says where in the definition the
 * matter lies ("bundle.items[2].qty") and what to write instead.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"

#include "pricing/pricing_cart.h"

/* An object of the definition. */
typedef struct Reader
{
	const char *promotion;
	const char *path;			/* "", "bundle.", "bundle.items[2]." */
	JsonbContainer *json;
	Oid			definer;		/* of conditions */
	const char *zone;
} Reader;

/* Lists of keys: an object may have these. */
#define TARGET_KEYS "skus", "products", "categories", "brands", "tags", "where", "except"
#define GIVE_KEYS "percent", "amount", "price"

static const char *const root_keys[] = {
	"title", "active", "from", "until", "timezone", "hours",
	"currency", "channels", "segments", "customers", "coupon", "when",
	TARGET_KEYS, "needs", "min_total", "min_qty",
	GIVE_KEYS, "per", "nth", "buy", "get", "bundle", "tiers", "shipping", "gift", "limit", "max_discount",
	"lane", "priority", "stack", "exclusive", "budget", "uses_per_customer", "advertised", "claim"
};
static const char *const target_keys[] = {TARGET_KEYS};
static const char *const needs_keys[] = {TARGET_KEYS, "min_total", "min_qty"};
static const char *const nth_keys[] = {"every", GIVE_KEYS};
static const char *const buy_keys[] = {TARGET_KEYS, "qty"};
static const char *const get_keys[] = {TARGET_KEYS, "qty", GIVE_KEYS};
static const char *const bundle_keys[] = {"items", GIVE_KEYS};
static const char *const tier_keys[] = {"min_total", "min_qty", GIVE_KEYS};
static const char *const shipping_keys[] = {GIVE_KEYS};
static const char *const gift_keys[] = {"sku", "qty"};
static const char *const budget_keys[] = {"amount", "uses"};
static const char *const hours_keys[] = {"days", "from", "until"};

/* must completes the sentence about the field; hint may be NULL. */
pg_noreturn static void
refuse(const Reader *reader, const char *key, const char *must, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s%s\" of promotion \"%s\" %s", reader->path, key, reader->promotion, must),
			 detail ? errdetail("%s", detail) : 0,
			 hint ? errhint("%s", hint) : 0));
}

static char *
json_text(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return psprintf("\"%.*s\"", Min(value->val.string.len, 200), value->val.string.val);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return value->val.boolean ? "true" : "false";
		case jbvNull:
			return "null";
		default:
			return "an object or a list";
	}
}

static char *
found(const JsonbValue *value)
{
	return psprintf("It is %s.", json_text(value));
}

/* The field, or NULL if it is missing or null. */
static JsonbValue *
field(const Reader *reader, const char *key)
{
	JsonbValue *value = palloc(sizeof(JsonbValue));

	value = getKeyJsonValueFromContainer(reader->json, key, strlen(key), value);
	return (value == NULL || value->type == jbvNull) ? NULL : value;
}

/* What others call it, where the letters do not tell. */
static const char *const other_words[][2] = {
	{"starts", "from"}, {"starts_at", "from"}, {"start", "from"}, {"valid_from", "from"}, {"begins", "from"},
	{"ends", "until"}, {"ends_at", "until"}, {"end", "until"}, {"valid_until", "until"}, {"to", "until"},
	{"if", "when"}, {"condition", "when"}, {"scope", "where"},
	{"sku", "skus"}, {"product", "products"}, {"category", "categories"}, {"brand", "brands"}, {"tag", "tags"},
	{"segment", "segments"}, {"channel", "channels"}, {"customer", "customers"},
	{"percent_off", "percent"}, {"discount", "percent"}, {"fixed", "amount"}, {"amount_off", "amount"},
	{"fixed_price", "price"}, {"free_shipping", "shipping"}, {"threshold", "min_total"}, {"min_amount", "min_total"},
	{"min_subtotal", "min_total"}, {"quantity", "qty"}, {"buy_x_get_y", "buy"}, {"max_uses", "budget"}, {"uses", "budget"},
	{"enabled", "active"}, {"zone", "timezone"}, {"per_customer", "uses_per_customer"}
};

/* Refuse keys that are not known, with the one that was meant. */
static void
check_keys(const Reader *reader, int n, const char *const *known)
{
	JsonbIterator *it = JsonbIteratorInit(reader->json);
	JsonbValue	key;
	JsonbIteratorToken token;

	(void) JsonbIteratorNext(&it, &key, true);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		char	   *name;
		const char *nearest;
		bool		good = false;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(key.val.string.val, key.val.string.len);
		for (int i = 0; i < n; i++)
			good = good || strcmp(known[i], name) == 0;
		if (!good)
		{
			StringInfoData all;

			nearest = ec_expr_nearest(name, n, known);
			for (int i = 0; i < lengthof(other_words); i++)
				for (int j = 0; j < n && strcmp(name, other_words[i][0]) == 0; j++)
					if (strcmp(known[j], other_words[i][1]) == 0)
						nearest = known[j];
			initStringInfo(&all);
			for (int i = 0; i < n; i++)
				appendStringInfo(&all, "%s%s", i > 0 ? ", " : "", known[i]);
			refuse(reader, name, "is not known", psprintf("What may stand there is %s.", all.data),
				   nearest ? psprintf("Perhaps you mean \"%s\".", nearest) : NULL);
		}
		(void) JsonbIteratorNext(&it, &key, true);
	}
}

/* A reader of the object in a field; NULL if there is none. */
static Reader *
object(const Reader *reader, const char *key, int nkeys, const char *const *keys)
{
	JsonbValue *value = field(reader, key);
	Reader	   *inner;

	if (value == NULL)
		return NULL;
	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		refuse(reader, key, "must be an object", found(value), NULL);
	inner = palloc(sizeof(Reader));
	*inner = *reader;
	inner->path = psprintf("%s%s.", reader->path, key);
	inner->json = value->val.binary.data;
	check_keys(inner, nkeys, keys);
	return inner;
}

static char *
text_of(const Reader *reader, const char *key)
{
	JsonbValue *value = field(reader, key);

	if (value == NULL)
		return NULL;
	if (value->type != jbvString || value->val.string.len == 0)
		refuse(reader, key, "must be a text", found(value), NULL);
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* A boolean: 1, 0, or -1 if there is none. */
static int
boolean_of(const Reader *reader, const char *key)
{
	JsonbValue *value = field(reader, key);

	if (value == NULL)
		return -1;
	if (value->type != jbvBool)
		refuse(reader, key, "must be true or false", found(value), NULL);
	return value->val.boolean;
}

/* A whole number from lowest to highest, or deflt if there is none. */
static int64
integer_of(const Reader *reader, const char *key, int64 lowest, int64 highest, int64 deflt)
{
	JsonbValue *value = field(reader, key);
	int64		result;

	if (value == NULL)
		return deflt;
	if (value->type != jbvNumeric || !ec_numeric_exact(value->val.numeric, 0, &result) ||
		result < lowest || result > highest)
		refuse(reader, key,
			   psprintf("must be a whole number between " INT64_FORMAT " and " INT64_FORMAT, lowest, highest),
			   found(value), NULL);
	return result;
}

#define MONEY_MAX (INT64CONST(1000000000000) * EC_MICRO / 1000)	/* a milliard */

static bool
micro_of(const Reader *reader, const char *key, bool zero, int decimals, EcMicro *result)
{
	JsonbValue *value = field(reader, key);
	int64		minor;

	if (value == NULL)
		return false;
	if (value->type != jbvNumeric || !ec_numeric_exact(value->val.numeric, 6, result) ||
		*result < (zero ? 0 : 1) || *result > MONEY_MAX)
		refuse(reader, key, zero ? "must be an amount of money, 0 or more" : "must be an amount of money above 0",
			   found(value), "Write a number in major units with at most six decimals and at most 1000000000, such as 12.50.");
	if (decimals >= 0 && !ec_numeric_exact(value->val.numeric, decimals, &minor))
		refuse(reader, key, psprintf("has more decimals than its currency, which has %d", decimals), found(value),
			   "Round it.");
	return true;
}

static int64
percent_of(const Reader *reader, const char *key)
{
	JsonbValue *value = field(reader, key);
	int64		result;

	if (value == NULL)
		return -1;
	if (value->type != jbvNumeric || !ec_numeric_exact(value->val.numeric, 6, &result) ||
		result <= 0 || result > EC_PERCENT_100)
		refuse(reader, key, "must be a percentage above 0 and at most 100", found(value),
			   "Write a number such as 15 or 12.5, with at most six decimals.");
	return result;
}

/* A list of texts, also numbers; one text alone is a list, too.  Sorted. */
static void
words_of(const Reader *reader, const char *key, EcWords *words)
{
	JsonbValue *value = field(reader, key);

	words->n = 0;
	if (value == NULL)
		return;
	if (value->type == jbvString || value->type == jbvNumeric)
	{
		words->words = palloc(sizeof(EcWord));
		ec_word_from_json(&words->words[0], value);
		words->n = 1;
	}
	else if (value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data))
		ec_words_from_json(words, value->val.binary.data);
	else
		refuse(reader, key, "must be a list of texts", found(value), "Write such as [\"A\", \"B\"].");
	if (words->n == 0)
		refuse(reader, key, "must not be empty", NULL, "Leave it out if it shall not restrict anything.");
	for (int i = 0; i < words->n; i++)
		if (words->words[i].data == NULL)
			refuse(reader, psprintf("%s[%d]", key, i + 1), "must be a text", NULL, "Write such as [\"A\", \"B\"].");
	ec_words_sort(words);
}

/* ---- parts ---- */

static void
read_target(const Reader *reader, EcTarget *target)
{
	char	   *where = text_of(reader, "where");
	Reader	   *except = object(reader, "except", lengthof(target_keys), target_keys);

	memset(target, 0, sizeof(EcTarget));
	words_of(reader, "skus", &target->skus);
	ec_cart_other_sku_names(&target->skus);
	words_of(reader, "products", &target->products);
	words_of(reader, "categories", &target->categories);
	words_of(reader, "brands", &target->brands);
	words_of(reader, "tags", &target->tags);
	if (where != NULL)
		target->where = ec_when_parse(where, true, reader->definer);
	if (except != NULL)
	{
		target->except = palloc(sizeof(EcTarget));
		read_target(except, target->except);
		if (target->except->all)
			refuse(reader, "except", "must say what is left out", NULL,
				   "Write such as {\"brands\": [\"ACME\"]}.");
	}
	target->all = target->skus.n == 0 && target->products.n == 0 && target->categories.n == 0 &&
		target->brands.n == 0 && target->tags.n == 0 && target->where == NULL && target->except == NULL;
}

static bool
target_asks(const EcTarget *target)
{
	return target != NULL &&
		(target->products.n > 0 || target->categories.n > 0 || target->brands.n > 0 ||
		 target_asks(target->except));
}

static bool
target_asks_categories(const EcTarget *target)
{
	return target != NULL && (target->categories.n > 0 || target_asks_categories(target->except));
}

static bool
target_can_fail(const EcTarget *target)
{
	return target != NULL && (target->where != NULL || target_can_fail(target->except));
}

/* What the definition's targets need. */
static void
note_target(EcPromotion *promotion, const EcTarget *target)
{
	promotion->needs_attributes = promotion->needs_attributes || target_asks(target);
	promotion->needs_categories = promotion->needs_categories || target_asks_categories(target);
	promotion->can_fail = promotion->can_fail || target_can_fail(target);
}

/* Exactly one of percent, amount, price; false if there is none. */
static bool
read_give(const Reader *reader, EcGive *give, int decimals)
{
	int			n = (field(reader, "percent") != NULL) + (field(reader, "amount") != NULL) +
		(field(reader, "price") != NULL);

	memset(give, 0, sizeof(EcGive));
	if (n > 1)
		refuse(reader, field(reader, "price") ? "price" : "amount", "stands beside another discount", NULL,
			   "Give one of percent, amount and price.");
	if ((give->percent = percent_of(reader, "percent")) >= 0)
		give->kind = EC_GIVE_PERCENT;
	else if (micro_of(reader, "amount", false, decimals, &give->amount))
		give->kind = EC_GIVE_AMOUNT;
	else if (micro_of(reader, "price", true, decimals, &give->amount))
		give->kind = EC_GIVE_PRICE;
	return n == 1;
}

static void
require_give(const Reader *reader, EcGive *give, int decimals, const char *key)
{
	if (!read_give(reader, give, decimals))
		refuse(reader, key, "is missing", "It says what is taken off.", "Give one of percent, amount and price.");
}

/*
 * Take a time apart.  zone: where to put the offset, or NULL if there must be
 * none.  False if it is no time.
 */
static bool
decode_time(const char *text, struct pg_tm *tm, fsec_t *fsec, int *zone, bool *has_time)
{
	char		workbuf[MAXDATELEN + MAXDATEFIELDS];
	char	   *fields[MAXDATEFIELDS];
	int			types[MAXDATEFIELDS];
	int			nfields;
	int			dtype;

	/* not "now" or "tomorrow", which mean something else each day */
	if (!(text[0] >= '0' && text[0] <= '9') ||
		ParseDateTime(text, workbuf, sizeof(workbuf), fields, types, MAXDATEFIELDS, &nfields) != 0)
		return false;
	*has_time = false;
	for (int i = 0; i < nfields; i++)
		*has_time = *has_time || types[i] == DTK_TIME;
	return ec_decode_datetime(fields, types, nfields, &dtype, tm, fsec, zone) == 0 && dtype == DTK_DATE;
}

/*
 * A time as its author wrote it: with an offset or zone an instant, else the
 * wall clock of the promotion's time zone.  What that clock skips in spring
 * counts as an hour later, what it shows twice in autumn as the second one, as
 * AT TIME ZONE has it.  day_alone: is a day without a time allowed?
 */
static TimestampTz
time_of(const Reader *reader, const char *key, TimestampTz deflt, bool day_alone)
{
	char	   *text = text_of(reader, key);
	int			tz;
	struct pg_tm tm;
	fsec_t		fsec;
	bool		local;
	bool		has_time;
	Timestamp	result;

	if (text == NULL)
		return deflt;
	local = decode_time(text, &tm, &fsec, NULL, &has_time);
	if (!local && !decode_time(text, &tm, &fsec, &tz, &has_time))
		refuse(reader, key, "is not a time", psprintf("It is \"%s\".", text),
			   "Write such as \"2026-03-29 00:00\" for the shop's clock, or \"2026-03-29 00:00+01:00\" for an instant.");
	if (!has_time && !day_alone)
		refuse(reader, key, "is a day without a time", psprintf("It is \"%s\".", text),
			   psprintf("Write \"%04d-%02d-%02d 00:00\" if it ends before that day, or 00:00 of the next day if that day is its last.",
						tm.tm_year, tm.tm_mon, tm.tm_mday));
	if (tm2timestamp(&tm, fsec, local ? NULL : &tz, &result) != 0)
		refuse(reader, key, "is out of range", psprintf("It is \"%s\".", text), NULL);
	if (!local)
		return result;
	return DatumGetTimestampTz(DirectFunctionCall2(timestamp_zone, CStringGetTextDatum(reader->zone),
												   TimestampGetDatum(result)));
}

static int
minutes_of(const Reader *reader, const char *key, int deflt)
{
	char	   *text = text_of(reader, key);
	unsigned int hour;
	unsigned int minute;
	char		end;

	if (text == NULL)
		return deflt;
	if (sscanf(text, "%2u:%2u%c", &hour, &minute, &end) != 2 || hour > 24 || minute > 59 || (hour == 24 && minute > 0))
		refuse(reader, key, "must be a time of day", psprintf("It is \"%s\".", text), "Write such as \"18:00\".");
	return hour * 60 + minute;
}

static void
read_hours(const Reader *reader, EcPromotion *promotion)
{
	static const char *const names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
	JsonbValue *list = field(reader, "hours");
	JsonbContainer *array;

	if (list == NULL)
		return;
	if (list->type != jbvBinary || !JsonContainerIsArray(list->val.binary.data) ||
		JsonContainerSize(list->val.binary.data) == 0)
		refuse(reader, "hours", "must be a list of objects", found(list),
			   "Write such as [{\"days\": [\"fri\"], \"from\": \"18:00\", \"until\": \"22:00\"}].");
	array = list->val.binary.data;
	promotion->nhours = JsonContainerSize(array);
	promotion->hours = palloc0(sizeof(EcHours) * promotion->nhours);
	for (int i = 0; i < promotion->nhours; i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(array, i);
		EcHours    *hours = &promotion->hours[i];
		Reader		inner = *reader;
		EcWords		days;

		if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
			refuse(reader, psprintf("hours[%d]", i + 1), "must be an object", found(value), NULL);
		inner.path = psprintf("%shours[%d].", reader->path, i + 1);
		inner.json = value->val.binary.data;
		check_keys(&inner, lengthof(hours_keys), hours_keys);
		words_of(&inner, "days", &days);
		for (int j = 0; j < days.n; j++)
		{
			int			day = -1;

			for (int k = 0; k < 7; k++)
				if (days.words[j].len >= 3 && pg_strncasecmp(days.words[j].data, names[k], 3) == 0)
					day = k;
			if (day < 0)
				refuse(&inner, "days", "must be days of the week",
					   psprintf("One of them is \"%.*s\".", days.words[j].len, days.words[j].data),
					   "Write such as [\"mon\", \"sun\"].");
			hours->days |= 1 << day;
		}
		if (days.n == 0)
			hours->days = 127;
		hours->from = minutes_of(&inner, "from", 0);
		hours->until = minutes_of(&inner, "until", 24 * 60);
		if (hours->until == hours->from)
			refuse(&inner, "until", "is the same as \"from\"", NULL, "Leave out both for the whole day.");
		if (hours->until < hours->from)
			hours->until += 24 * 60;
	}
}

static void
read_tiers(const Reader *reader, EcPromotion *promotion, int decimals)
{
	JsonbValue *list = field(reader, "tiers");
	JsonbContainer *array;

	if (list->type != jbvBinary || !JsonContainerIsArray(list->val.binary.data) ||
		JsonContainerSize(list->val.binary.data) == 0)
		refuse(reader, "tiers", "must be a list of objects", found(list),
			   "Write such as [{\"min_total\": 100, \"percent\": 5}, {\"min_total\": 200, \"percent\": 10}].");
	array = list->val.binary.data;
	promotion->ntiers = JsonContainerSize(array);
	promotion->tiers = palloc0(sizeof(EcTier) * promotion->ntiers);
	for (int i = 0; i < promotion->ntiers; i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(array, i);
		EcTier	   *tier = &promotion->tiers[i];
		Reader		inner = *reader;

		if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
			refuse(reader, psprintf("tiers[%d]", i + 1), "must be an object", found(value), NULL);
		inner.path = psprintf("%stiers[%d].", reader->path, i + 1);
		inner.json = value->val.binary.data;
		check_keys(&inner, lengthof(tier_keys), tier_keys);
		(void) micro_of(&inner, "min_total", false, decimals, &tier->min_total);
		tier->min_qty = integer_of(&inner, "min_qty", 1, EC_CART_QTY_MAX, 0);
		if ((tier->min_total > 0) == (tier->min_qty > 0))
			refuse(&inner, "min_total", "or \"min_qty\" must say where the tier begins", NULL, "Give one of them.");
		require_give(&inner, &tier->give, decimals, "percent");
		if (i > 0 && (tier->min_total < tier[-1].min_total || tier->min_qty < tier[-1].min_qty ||
					  (tier->min_total == tier[-1].min_total && tier->min_qty == tier[-1].min_qty)))
			refuse(&inner, tier->min_qty > 0 ? "min_qty" : "min_total", "must be above that of the tier before", NULL,
				   "Order tiers from low to high, all by total or all by quantity.");
	}
}

static void
read_bundle(const Reader *reader, EcPromotion *promotion, int decimals)
{
	Reader	   *bundle = object(reader, "bundle", lengthof(bundle_keys), bundle_keys);
	JsonbValue *list = field(bundle, "items");
	JsonbContainer *array;

	if (list == NULL || list->type != jbvBinary || !JsonContainerIsArray(list->val.binary.data) ||
		JsonContainerSize(list->val.binary.data) == 0 ||
		JsonContainerSize(list->val.binary.data) > EC_BUNDLE_ITEMS_MAX)
		refuse(bundle, "items", psprintf("must be a list of 1 to %d objects", EC_BUNDLE_ITEMS_MAX), NULL,
			   "Write such as [{\"categories\": [\"shirts\"], \"qty\": 2}, {\"categories\": [\"ties\"], \"qty\": 1}].");
	array = list->val.binary.data;
	promotion->nitems = JsonContainerSize(array);
	promotion->items = palloc0(sizeof(EcBundleItem) * promotion->nitems);
	for (int i = 0; i < promotion->nitems; i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(array, i);
		Reader		inner = *bundle;

		if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
			refuse(bundle, psprintf("items[%d]", i + 1), "must be an object", found(value), NULL);
		inner.path = psprintf("%sitems[%d].", bundle->path, i + 1);
		inner.json = value->val.binary.data;
		check_keys(&inner, lengthof(buy_keys), buy_keys);
		read_target(&inner, &promotion->items[i].target);
		promotion->items[i].qty = integer_of(&inner, "qty", 1, 1000, 1);
		note_target(promotion, &promotion->items[i].target);
	}
	require_give(bundle, &promotion->give, decimals, "percent");
}

static void
read_action(const Reader *reader, EcPromotion *promotion, int decimals)
{
	static const char *const kinds[] = {"nth", "buy", "bundle", "tiers", "shipping", "gift"};
	static const EcActionKind actions[] = {
		EC_DO_NTH, EC_DO_BUY, EC_DO_BUNDLE, EC_DO_TIERS, EC_DO_SHIPPING, EC_DO_GIFT
	};
	const char *first = NULL;
	char	   *per = text_of(reader, "per");
	Reader	   *inner;

	promotion->action = EC_DO_GIVE;
	if (read_give(reader, &promotion->give, decimals))
		first = promotion->give.kind == EC_GIVE_PERCENT ? "percent" :
			promotion->give.kind == EC_GIVE_AMOUNT ? "amount" : "price";
	for (int i = 0; i < lengthof(kinds); i++)
	{
		if (field(reader, kinds[i]) == NULL)
			continue;
		if (first != NULL)
			refuse(reader, kinds[i], psprintf("stands beside \"%s\"", first), NULL,
				   "A promotion does one thing: make two of them, or put the discount inside.");
		first = kinds[i];
		promotion->action = actions[i];
	}
	if (first == NULL)
		refuse(reader, "percent", "is missing", "A promotion must say what it does.",
			   "Give one of percent, amount, price, nth, buy, bundle, tiers, shipping, gift.");
	if (field(reader, "get") != NULL && promotion->action != EC_DO_BUY)
		refuse(reader, "get", "stands without \"buy\"", NULL, "Write such as \"buy\": {\"qty\": 2}, \"get\": {\"qty\": 1}.");

	promotion->per = EC_PER_CART;
	if (per != NULL)
	{
		if (promotion->action != EC_DO_GIVE)
			refuse(reader, "per", "goes with percent, amount or price alone", NULL, "Leave it out.");
		if (strcmp(per, "line") == 0)
			promotion->per = EC_PER_LINE;
		else if (strcmp(per, "unit") == 0)
			promotion->per = EC_PER_UNIT;
		else if (strcmp(per, "cart") != 0)
			refuse(reader, "per", "must be \"cart\", \"line\" or \"unit\"", psprintf("It is \"%s\".", per), NULL);
	}
	/* a price is that of a unit unless said otherwise */
	if (promotion->action == EC_DO_GIVE && promotion->give.kind == EC_GIVE_PRICE && per == NULL)
		promotion->per = EC_PER_UNIT;

	switch (promotion->action)
	{
		case EC_DO_GIVE:
			break;
		case EC_DO_NTH:
			inner = object(reader, "nth", lengthof(nth_keys), nth_keys);
			promotion->buy_qty = integer_of(inner, "every", 2, 1000000, 0) - 1;
			if (promotion->buy_qty < 0)
				refuse(inner, "every", "is missing", NULL, "Write such as {\"every\": 2, \"percent\": 50}.");
			promotion->get_qty = 1;
			require_give(inner, &promotion->give, decimals, "percent");
			break;
		case EC_DO_BUY:
			{
				Reader	   *buy = object(reader, "buy", lengthof(buy_keys), buy_keys);
				Reader	   *get = object(reader, "get", lengthof(get_keys), get_keys);
				EcTarget	target;

				read_target(buy, &target);
				if (!target.all)
				{
					if (!promotion->target.all)
						refuse(buy, "skus", "and the promotion's own scope do not go together", NULL,
							   "Say in \"buy\" what must be bought, and nothing beside it.");
					promotion->target = target;
				}
				promotion->buy_qty = integer_of(buy, "qty", 1, 1000000, 1);
				promotion->get_qty = 1;
				promotion->give.kind = EC_GIVE_PERCENT;
				promotion->give.percent = EC_PERCENT_100;
				if (get != NULL)
				{
					EcGive		give;

					promotion->get_qty = integer_of(get, "qty", 1, 1000000, 1);
					if (read_give(get, &give, decimals))
						promotion->give = give;
					read_target(get, &target);
					if (!target.all)
					{
						promotion->get = palloc(sizeof(EcTarget));
						*promotion->get = target;
					}
				}
				break;
			}
		case EC_DO_BUNDLE:
			read_bundle(reader, promotion, decimals);
			break;
		case EC_DO_TIERS:
			read_tiers(reader, promotion, decimals);
			break;
		case EC_DO_SHIPPING:
			{
				JsonbValue *value = field(reader, "shipping");

				if (value->type == jbvString && value->val.string.len == 4 &&
					memcmp(value->val.string.val, "free", 4) == 0)
				{
					promotion->give.kind = EC_GIVE_PERCENT;
					promotion->give.percent = EC_PERCENT_100;
				}
				else if (value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data))
				{
					inner = object(reader, "shipping", lengthof(shipping_keys), shipping_keys);
					require_give(inner, &promotion->give, decimals, "percent");
				}
				else
					refuse(reader, "shipping", "must be \"free\" or an object", found(value),
						   "Write \"free\", or such as {\"percent\": 50} or {\"amount\": 5} or {\"price\": 4.90}.");
				break;
			}
		case EC_DO_GIFT:
			{
				JsonbValue *sku;

				inner = object(reader, "gift", lengthof(gift_keys), gift_keys);
				sku = field(inner, "sku");
				if (sku != NULL)
					ec_word_from_json(&promotion->gift_sku, sku);
				if (promotion->gift_sku.data == NULL || promotion->gift_sku.len == 0)
					refuse(inner, "sku", "must name the sku that is given", NULL, "Write such as {\"sku\": \"MUG\", \"qty\": 1}.");
				promotion->gift_qty = integer_of(inner, "qty", 1, 1000000, 1);
				break;
			}
	}
}

static void
read_stack(const Reader *reader, EcPromotion *promotion)
{
	char	   *stack = text_of(reader, "stack");
	JsonbValue *exclusive = field(reader, "exclusive");
	JsonbValue *lane = field(reader, "lane");

	promotion->stack = EC_STACK_ADD;
	if (stack != NULL)
	{
		if (strcmp(stack, "exclusive") == 0)
			promotion->stack = EC_STACK_EXCLUSIVE;
		else if (strcmp(stack, "alone") == 0)
			promotion->stack = EC_STACK_ALONE;
		else if (strcmp(stack, "best") == 0)
			promotion->stack = EC_STACK_BEST;
		else if (strcmp(stack, "add") != 0)
			refuse(reader, "stack", "must be \"add\", \"best\", \"exclusive\" or \"alone\"",
				   psprintf("It is \"%s\".", stack), NULL);
	}
	if (exclusive != NULL)
	{
		if (exclusive->type != jbvBool)
			refuse(reader, "exclusive", "must be true or false", found(exclusive),
				   "For a promotion that suffers no other in the whole cart write \"stack\": \"alone\".");
		if (stack != NULL && exclusive->val.boolean != (promotion->stack == EC_STACK_EXCLUSIVE))
			refuse(reader, "exclusive", "contradicts \"stack\"", NULL, "Leave out one of them.");
		if (exclusive->val.boolean)
			promotion->stack = EC_STACK_EXCLUSIVE;
	}
	promotion->priority = integer_of(reader, "priority", -1000000, 1000000, 0);

	/* shipping looks at what everything else has left */
	promotion->lane = (promotion->action == EC_DO_SHIPPING || promotion->action == EC_DO_GIFT) ? 3 : 2;
	if (lane != NULL && lane->type == jbvString)
	{
		static const char *const names[] = {"pre", "default", "post"};
		char	   *name = text_of(reader, "lane");

		promotion->lane = 0;
		for (int i = 0; i < lengthof(names); i++)
			if (strcmp(name, names[i]) == 0)
				promotion->lane = i + 1;
		if (promotion->lane == 0)
			refuse(reader, "lane", "must be \"pre\", \"default\", \"post\" or a number from 1 to 9", found(lane), NULL);
	}
	else
		promotion->lane = integer_of(reader, "lane", 1, 9, promotion->lane);
}

/* The time zone of times without one: the shop's. */
const char *
ec_promotion_zone(void)
{
	return ec_guc_timezone != NULL && *ec_guc_timezone != '\0' ? ec_guc_timezone :
		pg_get_timezone_name(session_timezone);
}

/*
 * Read a definition.  The result is in the current context and points into
 * definition, which must live as long.
 *
 * definer runs the conditions; zone is the time zone of times without one.
 * Errors: invalid_parameter_value for what is wrong with the definition, and
 * those of src/expr for what is wrong with a condition.  The caller must not
 * be connected to SPI.
 */
EcPromotion *
ec_promotion_parse(const char *name, Jsonb *definition, Oid definer, const char *zone)
{
	EcPromotion *promotion = palloc0(sizeof(EcPromotion));
	Reader		reader = {name, "", &definition->root, definer, zone};
	Reader	   *inner;
	char	   *text;
	int			decimals = -1;

	if (!JB_ROOT_IS_OBJECT(definition))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("definition of promotion \"%s\" must be an object", name),
				 errhint("Write such as {\"percent\": 10, \"from\": \"2026-03-29 00:00\", \"until\": \"2026-03-30 00:00\"}.")));
	check_keys(&reader, lengthof(root_keys), root_keys);

	promotion->name = name;
	promotion->title = text_of(&reader, "title");
	promotion->active = boolean_of(&reader, "active") != 0;

	text = text_of(&reader, "timezone");
	if (text != NULL)
		reader.zone = text;
	promotion->zone = pg_tzset(reader.zone);
	if (promotion->zone == NULL || !pg_tz_acceptable(promotion->zone))
		refuse(&reader, "timezone", "is not a time zone", psprintf("It is \"%s\".", reader.zone),
			   "Write such as \"Europe/Warsaw\".");
	promotion->from = time_of(&reader, "from", DT_NOBEGIN, true);
	promotion->until = time_of(&reader, "until", DT_NOEND, false);
	if (promotion->until <= promotion->from)
		refuse(&reader, "until", "must be after \"from\"",
			   psprintf("It lasts from %s up to %s.", text_of(&reader, "from"), text_of(&reader, "until")), NULL);
	read_hours(&reader, promotion);

	text = text_of(&reader, "currency");
	if (text != NULL)
	{
		if (ec_currency_digits(text) < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"currency\" of promotion \"%s\" is not a known currency", name),
					 errdetail("It is \"%s\".", text),
					 errhint("Write a code of ISO 4217 in capital letters, such as \"EUR\".")));
		strlcpy(promotion->currency, text, sizeof(promotion->currency));
		decimals = ec_currency_digits(text);
	}
	words_of(&reader, "channels", &promotion->channels);
	words_of(&reader, "segments", &promotion->segments);
	words_of(&reader, "customers", &promotion->customers);
	for (int i = 0; i < promotion->customers.n; i++)
	{
		EcWord	   *word = &promotion->customers.words[i];

		word->data = ec_customer_identity(pnstrdup(word->data, word->len));
		word->len = strlen(word->data);
	}
	ec_words_sort(&promotion->customers);
	promotion->coupon = boolean_of(&reader, "coupon") == 1;
	text = text_of(&reader, "when");
	if (text != NULL)
		promotion->when = ec_when_parse(text, false, definer);

	read_target(&reader, &promotion->target);
	read_action(&reader, promotion, decimals);
	inner = object(&reader, "needs", lengthof(needs_keys), needs_keys);
	if (inner != NULL)
	{
		promotion->needs = palloc(sizeof(EcTarget));
		read_target(inner, promotion->needs);
		if (field(&reader, "min_total") != NULL || field(&reader, "min_qty") != NULL)
			refuse(&reader, "min_total", "or \"min_qty\" stands beside \"needs\"", NULL, "Put it inside of \"needs\".");
	}
	else
		inner = &reader;
	(void) micro_of(inner, "min_total", true, decimals, &promotion->min_total);
	promotion->min_qty = integer_of(inner, "min_qty", 0, EC_CART_QTY_MAX, inner == &reader ? 0 : 1);
	promotion->limit = integer_of(&reader, "limit", 1, 1000000, 0);
	(void) micro_of(&reader, "max_discount", false, decimals, &promotion->max_discount);
	read_stack(&reader, promotion);

	promotion->budget_amount = -1;
	promotion->budget_uses = -1;
	inner = object(&reader, "budget", lengthof(budget_keys), budget_keys);
	if (inner != NULL)
	{
		(void) micro_of(inner, "amount", false, decimals, &promotion->budget_amount);
		promotion->budget_uses = integer_of(inner, "uses", 1, PG_INT64_MAX, -1);
		if (promotion->budget_amount < 0 && promotion->budget_uses < 0)
			refuse(inner, "amount", "or \"uses\" must say how much there is", NULL, "Give one of them or both.");
		if (promotion->budget_amount >= 0 && promotion->currency[0] == '\0')
			refuse(inner, "amount", "needs the promotion's \"currency\"", "Amounts of several currencies cannot be added up.",
				   "Add such as \"currency\": \"EUR\".");
	}
	promotion->uses_per_customer = integer_of(&reader, "uses_per_customer", 1, 1000000, -1);
	promotion->has_budget = inner != NULL || promotion->uses_per_customer >= 0;

	note_target(promotion, &promotion->target);
	note_target(promotion, promotion->needs);
	note_target(promotion, promotion->get);
	/* a segment may be gone */
	promotion->can_fail = promotion->can_fail || promotion->when != NULL || promotion->segments.n > 0;
	promotion->on_price = promotion->action == EC_DO_GIVE && !promotion->coupon && promotion->needs == NULL &&
		promotion->min_total == 0 && promotion->min_qty <= 1 && promotion->max_discount == 0 &&
		!(promotion->give.kind == EC_GIVE_AMOUNT && promotion->per != EC_PER_UNIT);

	promotion->claim = percent_of(&reader, "claim");
	promotion->advertised = boolean_of(&reader, "advertised") == 1 || promotion->claim >= 0;
	if (promotion->advertised && !promotion->on_price)
		refuse(&reader, promotion->claim >= 0 ? "claim" : "advertised", "goes with a reduction of the price alone", NULL,
			   "A reduction of the price is percent, price or amount per unit, without coupon and threshold.");

	return promotion;
}

/*-------------------------------------------------------------------------
 *
 * shop_role.c
 *		The roles: what every shop has, whatever its tables are called.
 *
 * A role is a set of rows with canonical columns.  Each shop binds a query to
 * it (shop_bind.c) that returns those columns from its own tables.
 *
 * What a query must return is strict where a guess would be wrong: keys,
 * amounts, currencies, whether a price holds the tax.  Elsewhere a column that
 * a shop does not have gets its natural value, and a shop that knows nothing
 * of, say, cancellations needs not say so.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "shop/shop.h"

PG_FUNCTION_INFO_V1(ecauto_role_columns);

/* name, type, need, is_key, deflt, allowed, form */
#define KEY(name) {name, TEXTOID, EC_REQUIRED, true}
#define KEY_OPTIONAL(name) {name, TEXTOID, EC_OPTIONAL, true}
#define KEY_DEFAULT(name, deflt) {name, TEXTOID, EC_DEFAULTED, true, deflt}
#define TEXT(name) {name, TEXTOID, EC_REQUIRED}
#define TEXT_OPTIONAL(name) {name, TEXTOID, EC_OPTIONAL}
#define TEXT_DEFAULT(name, deflt) {name, TEXTOID, EC_DEFAULTED, false, deflt}
#define CURRENCY {"currency", TEXTOID, EC_REQUIRED, false, NULL, NULL, "pg_catalog.upper"}
#define EMAIL(need) {"email", TEXTOID, need, false, NULL, NULL, "pg_catalog.lower"}
#define NUMBER(name) {name, NUMERICOID, EC_REQUIRED}
/* must be there, since leaving it out would be a guess; but a sum of nothing is 0 */
#define SUM(name) {name, NUMERICOID, EC_REQUIRED, false, "0"}
#define NUMBER_OPTIONAL(name) {name, NUMERICOID, EC_OPTIONAL}
#define NUMBER_DEFAULT(name, deflt) {name, NUMERICOID, EC_DEFAULTED, false, deflt}
#define FLAG(name) {name, BOOLOID, EC_REQUIRED}
#define FLAG_OPTIONAL(name) {name, BOOLOID, EC_OPTIONAL}
#define FLAG_DEFAULT(name, deflt) {name, BOOLOID, EC_DEFAULTED, false, deflt}
#define TIME(name) {name, TIMESTAMPTZOID, EC_REQUIRED}
#define TIME_OPTIONAL(name) {name, TIMESTAMPTZOID, EC_OPTIONAL}

static const EcColumn product_columns[] = {
	KEY("key"),
	TEXT("title"),
	TEXT_OPTIONAL("handle"),
	TEXT_OPTIONAL("description"),
	TEXT_OPTIONAL("brand"),
	FLAG_DEFAULT("active", "true"),
	TIME_OPTIONAL("created_at"),
	TIME_OPTIONAL("updated_at"),
};

static const EcColumn sku_columns[] = {
	KEY("key"),
	KEY("product_key"),
	KEY_DEFAULT("sku", "q.key"),
	TEXT_OPTIONAL("title"),
	FLAG_DEFAULT("active", "true"),
	FLAG_DEFAULT("track_stock", "true"),
	TEXT_OPTIONAL("ean"),
	NUMBER_OPTIONAL("weight"),
};

static const EcColumn price_columns[] = {
	KEY("key"),
	CURRENCY,
	NUMBER("amount"),
	FLAG("tax_included"),
	KEY_OPTIONAL("list_key"),
	TIME_OPTIONAL("valid_from"),
	TIME_OPTIONAL("valid_until"),
};

static const EcColumn cost_columns[] = {
	KEY("key"),
	NUMBER("cost"),
	CURRENCY,
};

static const EcColumn stock_columns[] = {
	KEY("key"),
	KEY_DEFAULT("location_key", "''"),
	NUMBER("on_hand"),
	NUMBER_DEFAULT("reserved", "0"),
	NUMBER_OPTIONAL("incoming"),
};

static const EcColumn category_columns[] = {
	KEY("key"),
	KEY_OPTIONAL("parent_key"),
	TEXT("title"),
};

static const EcColumn product_category_columns[] = {
	KEY("key"),
	KEY("category_key"),
};

static const EcColumn customer_columns[] = {
	KEY("key"),
	EMAIL(EC_REQUIRED),
	TEXT_OPTIONAL("name"),
	TEXT_OPTIONAL("first_name"),
	TEXT_OPTIONAL("phone"),
	TEXT_OPTIONAL("sex"),
	{"birth_date", DATEOID, EC_OPTIONAL},
	TEXT_OPTIONAL("country"),
	TEXT_OPTIONAL("city"),
	TEXT_OPTIONAL("postcode"),
	TEXT_OPTIONAL("locale"),
	TEXT_OPTIONAL("tz"),
	FLAG_DEFAULT("guest", "false"),
	FLAG_DEFAULT("active", "true"),
	TIME_OPTIONAL("created_at"),
};

static const EcColumn consent_columns[] = {
	EMAIL(EC_REQUIRED),
	TEXT("channel"),
	FLAG("granted"),
	TIME("at"),
};

static const EcColumn order_columns[] = {
	KEY("key"),
	KEY_DEFAULT("number", "q.key"),
	KEY_OPTIONAL("customer_key"),
	EMAIL(EC_OPTIONAL),
	KEY_OPTIONAL("cart_key"),
	CURRENCY,
	NUMBER("total"),
	NUMBER_OPTIONAL("shipping"),
	NUMBER_OPTIONAL("tax"),
	TIME("placed_at"),
	SUM("paid"),
	NUMBER_DEFAULT("refunded", "0"),
	FLAG_DEFAULT("cancelled", "false"),
	{"fulfilment", TEXTOID, EC_DEFAULTED, false, "'none'", "'none', 'partial', 'full'"},
	TEXT_OPTIONAL("ship_country"),
	TEXT_OPTIONAL("ship_postcode"),
	TEXT_OPTIONAL("bill_country"),
	TEXT_OPTIONAL("ip"),
	TEXT_OPTIONAL("channel"),
	TEXT_OPTIONAL("device"),
	TEXT_OPTIONAL("raw_status"),
	TIME_OPTIONAL("updated_at"),
};

static const EcColumn order_line_columns[] = {
	KEY("key"),
	KEY("order_key"),
	KEY("sku_key"),
	KEY_OPTIONAL("sku"),
	NUMBER("qty"),
	NUMBER_DEFAULT("qty_cancelled", "0"),
	NUMBER("unit_price"),
	NUMBER_OPTIONAL("unit_cost"),
	NUMBER_OPTIONAL("discount"),
	FLAG_OPTIONAL("tax_included"),
};

static const EcColumn payment_columns[] = {
	KEY("key"),
	KEY("order_key"),
	NUMBER("amount"),
	TEXT_OPTIONAL("method"),
	{"state", TEXTOID, EC_REQUIRED, false, NULL, "'pending', 'authorized', 'paid', 'void', 'failed'"},
	TIME("at"),
	TEXT_OPTIONAL("avs"),
	TEXT_OPTIONAL("card_fingerprint"),
};

static const EcColumn cart_columns[] = {
	KEY("key"),
	KEY_OPTIONAL("customer_key"),
	EMAIL(EC_OPTIONAL),
	CURRENCY,
	NUMBER_OPTIONAL("total"),
	TIME_OPTIONAL("created_at"),
	TIME_OPTIONAL("last_activity"),
};

static const EcColumn cart_line_columns[] = {
	KEY("key"),
	KEY("cart_key"),
	KEY("sku_key"),
	NUMBER("qty"),
	NUMBER_OPTIONAL("unit_price"),
};

#define COLUMNS(of) of##_columns, lengthof(of##_columns)

/* name, many, needed, feature, columns, whole, whole_by */
const EcRole ec_roles[] = {
	{"product", false, true, "everything", COLUMNS(product)},
	{"sku", false, true, "everything", COLUMNS(sku)},
	{"price", true, true, "everything", COLUMNS(price)},
	{"stock", true, true, "everything", COLUMNS(stock)},
	{"order", false, true, "everything", COLUMNS(order)},
	{"order_line", false, true, "everything", COLUMNS(order_line), "order", "order_key"},
	{"customer", false, false, "customer events, segments, scores and mail to customers by name",
	COLUMNS(customer)},
	{"cart", false, false, "cart events and reminders of abandoned carts", COLUMNS(cart)},
	{"cart_line", false, false, "contents of carts in events, conditions and mail",
	COLUMNS(cart_line), "cart", "cart_key"},
	{"payment", false, false, "matching of payments to orders and checks of cards",
	COLUMNS(payment), "order", "order_key"},
	{"category", false, false, "conditions and rules by category", COLUMNS(category)},
	{"product_category", true, false, "conditions and rules by category",
	COLUMNS(product_category)},
	{"cost", true, false, "margins, unless costs are kept in ecauto's own tables", COLUMNS(cost)},
	{"consent", true, false, "the shop's own consents, unless they are kept in ecauto's own tables",
	COLUMNS(consent)},
};
const int	ec_nroles = lengthof(ec_roles);

const EcRole *
ec_role_find(const char *name)
{
	for (int i = 0; i < ec_nroles; i++)
		if (strcmp(ec_roles[i].name, name) == 0)
			return &ec_roles[i];
	return NULL;
}

const EcRole *
ec_role_get(const char *name)
{
	const EcRole *role = ec_role_find(name);
	StringInfoData list;

	if (role != NULL)
		return role;
	initStringInfo(&list);
	for (int i = 0; i < ec_nroles; i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", ec_roles[i].name);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("role \"%s\" does not exist in a shop", name),
			 errhint("The roles are %s.", list.data)));
}

const EcColumn *
ec_role_column(const EcRole *role, const char *name)
{
	for (int i = 0; i < role->ncolumns; i++)
		if (strcmp(role->columns[i].name, name) == 0)
			return &role->columns[i];
	return NULL;
}

/*
 * The columns of a role for a hint: "key, title, [handle], ...", those that
 * may be left out in brackets.  Allocated in the current context.
 */
char *
ec_role_column_list(const EcRole *role)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < role->ncolumns; i++)
		appendStringInfo(&list, role->columns[i].need == EC_REQUIRED ? "%s%s" : "%s[%s]",
						 i > 0 ? ", " : "", role->columns[i].name);
	appendStringInfoString(&list, "; those in brackets may be left out");
	return list.data;
}

static const char *
need_name(EcColumnNeed need)
{
	switch (need)
	{
		case EC_REQUIRED:
			return "required";
		case EC_DEFAULTED:
			return "defaulted";
		case EC_OPTIONAL:
			return "optional";
	}
	return NULL;
}

/*
 * ecauto.role_columns() returns table(role text, "column" text, type text,
 *									   need text, "default" text)
 */
Datum
ecauto_role_columns(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int r = 0; r < ec_nroles; r++)
	{
		for (int c = 0; c < ec_roles[r].ncolumns; c++)
		{
			const EcColumn *column = &ec_roles[r].columns[c];
			const char *deflt = column->deflt;
			Datum		values[5];
			bool		nulls[5] = {false};

			/* "q." is how we write it, not how a reader thinks of it */
			if (deflt != NULL && strncmp(deflt, "q.", 2) == 0)
				deflt += 2;
			values[0] = CStringGetTextDatum(ec_roles[r].name);
			values[1] = CStringGetTextDatum(column->name);
			values[2] = CStringGetTextDatum(format_type_be(column->type));
			values[3] = CStringGetTextDatum(need_name(column->need));
			nulls[4] = (deflt == NULL);
			values[4] = nulls[4] ? (Datum) 0 : CStringGetTextDatum(deflt);
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		}
	}
	return (Datum) 0;
}

/*-------------------------------------------------------------------------
 *
 * flow_kind.c
 *		What can happen: kinds of event, and what each of them tells.
 *
 * The event log keeps old and new as JSON.  Here stands which members they
 * have for each kind, and of which type, so that a condition such as
 * "new.available < 5" compares numbers and a misspelt name is an error.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"

#include "flow/flow.h"

const char *const ec_flow_row_names[EC_ROWS] = {
	"event", "old", "new", "run", "customer", "order", "cart", "sku", "product", "price", "stock", "line"
};

static const EcFlowColumn product_columns[] = {
	{"title", TEXTOID}, {"handle", TEXTOID}, {"brand", TEXTOID}, {"active", BOOLOID},
};
static const EcFlowColumn sku_columns[] = {
	{"product_key", TEXTOID}, {"sku", TEXTOID}, {"title", TEXTOID}, {"active", BOOLOID}, {"track_stock", BOOLOID},
};
static const EcFlowColumn price_columns[] = {
	{"currency", TEXTOID}, {"list_key", TEXTOID}, {"amount", NUMERICOID}, {"tax_included", BOOLOID},
};
static const EcFlowColumn stock_columns[] = {
	{"on_hand", NUMERICOID}, {"reserved", NUMERICOID}, {"available", NUMERICOID}, {"incoming", NUMERICOID},
	{"locations", JSONBOID},
};
static const EcFlowColumn customer_columns[] = {
	{"email", TEXTOID}, {"guest", BOOLOID}, {"active", BOOLOID},
};
static const EcFlowColumn cart_columns[] = {
	{"customer_key", TEXTOID}, {"email", TEXTOID}, {"currency", TEXTOID}, {"total", NUMERICOID},
	{"last_activity", TIMESTAMPTZOID}, {"lines", JSONBOID},
};
static const EcFlowColumn order_columns[] = {
	{"order_key", TEXTOID}, {"number", TEXTOID}, {"customer_key", TEXTOID}, {"email", TEXTOID},
	{"cart_key", TEXTOID}, {"currency", TEXTOID}, {"total", NUMERICOID}, {"placed_at", TIMESTAMPTZOID},
	{"paid", NUMERICOID}, {"refunded", NUMERICOID}, {"cancelled", BOOLOID}, {"fulfilment", TEXTOID},
	{"raw_status", TEXTOID},
};
static const EcFlowColumn segment_columns[] = {
	{"segment", TEXTOID},
};

#define BITS_EVENT (EC_ROW_BIT(EC_ROW_EVENT))
#define BITS_CHANGE (BITS_EVENT | EC_ROW_BIT(EC_ROW_OLD) | EC_ROW_BIT(EC_ROW_NEW))
#define BITS_SKU \
	(EC_ROW_BIT(EC_ROW_SKU) | EC_ROW_BIT(EC_ROW_PRODUCT) | EC_ROW_BIT(EC_ROW_PRICE) | EC_ROW_BIT(EC_ROW_STOCK))
#define BITS_PRODUCT (BITS_CHANGE | EC_ROW_BIT(EC_ROW_PRODUCT))
#define BITS_STOCK (BITS_CHANGE | BITS_SKU)
#define BITS_CUSTOMER (BITS_CHANGE | EC_ROW_BIT(EC_ROW_CUSTOMER))
#define BITS_CART (BITS_CUSTOMER | EC_ROW_BIT(EC_ROW_CART))
#define BITS_ORDER (BITS_CART | EC_ROW_BIT(EC_ROW_ORDER))
/* behaviour and kinds of one's own: whoever and whatever the event names */
#define BITS_TOLD \
	(BITS_EVENT | EC_ROW_BIT(EC_ROW_CUSTOMER) | EC_ROW_BIT(EC_ROW_CART) | EC_ROW_BIT(EC_ROW_ORDER) | BITS_SKU)

#define COLUMNS(of) lengthof(of##_columns), of##_columns

static const EcFlowKind kinds[] = {
	{"product.created", "product", BITS_PRODUCT, COLUMNS(product)},
	{"product.updated", "product", BITS_PRODUCT, COLUMNS(product)},
	{"product.deactivated", "product", BITS_PRODUCT, COLUMNS(product)},
	{"sku.created", "sku", BITS_STOCK, COLUMNS(sku)},
	{"price.changed", "price", BITS_STOCK, COLUMNS(price)},
	{"stock.changed", "stock", BITS_STOCK, COLUMNS(stock)},
	{"stock.out", "stock", BITS_STOCK, COLUMNS(stock)},
	{"stock.back", "stock", BITS_STOCK, COLUMNS(stock)},
	{"customer.created", "customer", BITS_CUSTOMER, COLUMNS(customer)},
	{"cart.changed", "cart", BITS_CART, COLUMNS(cart)},
	{"cart.abandoned", "cart", BITS_CART & ~BITS_CHANGE, 0, NULL},
	{"cart.completed", "cart", BITS_ORDER, COLUMNS(order)},
	{"order.placed", "order", BITS_ORDER, COLUMNS(order)},
	{"order.paid", "order", BITS_ORDER, COLUMNS(order)},
	{"order.fulfilled", "order", BITS_ORDER, COLUMNS(order)},
	{"order.cancelled", "order", BITS_ORDER, COLUMNS(order)},
	{"order.partially_refunded", "order", BITS_ORDER, COLUMNS(order)},
	{"order.refunded", "order", BITS_ORDER, COLUMNS(order)},
	{"order.deleted", "order", BITS_ORDER, COLUMNS(order)},
	{"order.restored", "order", BITS_ORDER, COLUMNS(order)},
	{"segment.entered", NULL, BITS_CUSTOMER, COLUMNS(segment)},
	{"segment.left", NULL, BITS_CUSTOMER, COLUMNS(segment)},
	{"view", NULL, BITS_TOLD, 0, NULL},
	{"click", NULL, BITS_TOLD, 0, NULL},
	{"search", NULL, BITS_TOLD, 0, NULL},
	{"wishlist", NULL, BITS_TOLD, 0, NULL},
	/* what time alone sets off; such events are not in the log */
	{"schedule", NULL, BITS_EVENT, 0, NULL},
	{"date", "customer", BITS_EVENT | EC_ROW_BIT(EC_ROW_CUSTOMER), 0, NULL},
	{"inactivity", "customer", BITS_EVENT | EC_ROW_BIT(EC_ROW_CUSTOMER), 0, NULL},
};

static const EcFlowKind custom_kind = {NULL, NULL, BITS_TOLD, 0, NULL};

/* Families in which there is nothing but what stands above. */
static const char *const closed_families[] = {
	"product.", "sku.", "price.", "stock.", "customer.", "cart.", "order.", "segment.", "schedule.",
};

/*
 * What is known of a kind.  Never NULL: a kind that is not ours tells what
 * behaviour tells; whether there can be one is for the caller to ask.
 */
const EcFlowKind *
ec_flow_kind(const char *kind)
{
	for (int i = 0; i < lengthof(kinds); i++)
		if (strcmp(kinds[i].kind, kind) == 0)
			return &kinds[i];
	return &custom_kind;
}

bool
ec_flow_kind_is_custom(const char *kind)
{
	return ec_flow_kind(kind) == &custom_kind;
}

/* Could somebody tell events of a kind that is not ours? */
bool
ec_flow_kind_may_be_custom(const char *kind)
{
	size_t		len = strlen(kind);

	if (len == 0 || len > 63 || kind[0] < 'a' || kind[0] > 'z' || kind[len - 1] == '.' ||
		strspn(kind, "abcdefghijklmnopqrstuvwxyz0123456789_.") != len)
		return false;
	for (int i = 0; i < lengthof(closed_families); i++)
		if (strncmp(kind, closed_families[i], strlen(closed_families[i])) == 0)
			return false;
	return true;
}

/* The kind of ours that somebody may have meant, or NULL. */
const char *
ec_flow_kind_nearest(const char *kind)
{
	const char *names[lengthof(kinds)];

	for (int i = 0; i < lengthof(kinds); i++)
		names[i] = kinds[i].kind;
	return ec_expr_nearest(kind, lengthof(names), names);
}

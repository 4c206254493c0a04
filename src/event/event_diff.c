/*-------------------------------------------------------------------------
 *
 * event_diff.c
 *		For each role: the statement that compares what the shop has now with
 *		what ecauto saw last, remembers the former, and writes the difference
 *		as events.
 *
 * All have one shape:
 *
 *		n	   what the shop has now, in the form it is remembered
 *		d	   that and what was seen (o) side by side, where they differ
 *		added, changed, gone
 *			   write d to the table of what was seen
 *		INSERT INTO event
 *			   one row for each edge that holds for a row of d
 *
 * Because the statement reads the table that it writes in one snapshot, and
 * ticks exclude each other, an edge becomes one event however often its key
 * was noted.  n_ and o_ prefix new and old values in d; "here" says that the
 * shop has the row, "known" that it was seen before.
 *
 * Of a customer who was erased (ecauto_data.erased) what tells who he is reads
 * as NULL, though the shop has it: in his own row, and in his orders and carts
 * of until then.
 *
 * A key that vanished from the shop is forgotten.  Of an order gone_order keeps
 * what was told of it, since it may come back (a role query may leave it out
 * for a while) and must not be placed twice; completed carts stay.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "event/event.h"

#define INSERT_EVENTS \
	"INSERT INTO ecauto_data.event (event_id, at, kind, role, key, customer, sku, old, new)\n"

static const char product_statement[] =
	"WITH n AS (\n"
	"  SELECT key, title, handle, pg_catalog.md5(description) AS description_md5, brand, active\n"
	"  FROM shop_now),\n"
	"d AS MATERIALIZED (\n"
	"  SELECT coalesce(n.key, o.key) AS key, n.key IS NOT NULL AS here, o.key IS NOT NULL AS known,\n"
	"    n.title AS n_title, n.handle AS n_handle, n.description_md5 AS n_description_md5,\n"
	"    n.brand AS n_brand, n.active AS n_active,\n"
	"    o.title AS o_title, o.handle AS o_handle, o.description_md5 AS o_description_md5,\n"
	"    o.brand AS o_brand, o.active AS o_active\n"
	"  FROM n %s o ON n.key = o.key\n"
	"  WHERE n.key IS NULL OR o.key IS NULL\n"
	"    OR (n.title, n.handle, n.description_md5, n.brand, n.active)\n"
	"      IS DISTINCT FROM (o.title, o.handle, o.description_md5, o.brand, o.active)),\n"
	"added AS (INSERT INTO ecauto_data.seen_product (key, title, handle, description_md5, brand, active)\n"
	"  SELECT key, n_title, n_handle, n_description_md5, n_brand, n_active\n"
	"  FROM d WHERE NOT known),\n"
	"changed AS (UPDATE ecauto_data.seen_product s SET title = d.n_title, handle = d.n_handle,\n"
	"    description_md5 = d.n_description_md5, brand = d.n_brand, active = d.n_active\n"
	"  FROM d WHERE d.here AND d.known AND s.key = d.key),\n"
	"gone AS (DELETE FROM ecauto_data.seen_product s USING d WHERE NOT d.here AND s.key = d.key)\n"
	INSERT_EVENTS
	"SELECT ecauto.new_id(), $2, e.kind, 'product', d.key, NULL, NULL,\n"
	"  CASE WHEN known THEN pg_catalog.jsonb_build_object('title', o_title, 'handle', o_handle,\n"
	"    'brand', o_brand, 'active', o_active) END,\n"
	"  CASE WHEN here THEN pg_catalog.jsonb_build_object('title', n_title, 'handle', n_handle,\n"
	"    'brand', n_brand, 'active', n_active) END\n"
	"FROM d CROSS JOIN LATERAL (VALUES\n"
	"  ('product.created', NOT known),\n"
	"  ('product.updated', here AND known AND ((n_title, n_handle, n_description_md5, n_brand)\n"
	"     IS DISTINCT FROM (o_title, o_handle, o_description_md5, o_brand)\n"
	"     OR (n_active AND NOT o_active))),\n"
	"  ('product.deactivated', known AND o_active AND n_active IS NOT TRUE)) e(kind, holds)\n"
	"WHERE e.holds AND NOT $3";

static const char sku_statement[] =
	"WITH n AS (\n"
	"  SELECT key, product_key, sku, title, active, track_stock FROM shop_now),\n"
	"d AS MATERIALIZED (\n"
	"  SELECT coalesce(n.key, o.key) AS key, n.key IS NOT NULL AS here, o.key IS NOT NULL AS known,\n"
	"    n.product_key, n.sku, n.title, n.active, n.track_stock\n"
	"  FROM n %s o ON n.key = o.key\n"
	"  WHERE n.key IS NULL OR o.key IS NULL\n"
	"    OR (n.product_key, n.sku, n.title, n.active, n.track_stock)\n"
	"      IS DISTINCT FROM (o.product_key, o.sku, o.title, o.active, o.track_stock)),\n"
	"added AS (INSERT INTO ecauto_data.seen_sku (key, product_key, sku, title, active, track_stock)\n"
	"  SELECT key, product_key, sku, title, active, track_stock FROM d WHERE NOT known),\n"
	"changed AS (UPDATE ecauto_data.seen_sku s SET product_key = d.product_key, sku = d.sku,\n"
	"    title = d.title, active = d.active, track_stock = d.track_stock\n"
	"  FROM d WHERE d.here AND d.known AND s.key = d.key),\n"
	"gone AS (DELETE FROM ecauto_data.seen_sku s USING d WHERE NOT d.here AND s.key = d.key)\n"
	INSERT_EVENTS
	"SELECT ecauto.new_id(), $2, 'sku.created', 'sku', d.key, NULL, d.key, NULL,\n"
	"  pg_catalog.jsonb_build_object('product_key', product_key, 'sku', sku, 'title', title,\n"
	"    'active', active, 'track_stock', track_stock)\n"
	"FROM d WHERE NOT known AND NOT $3";

/*
 * Two rows for one price (a shop's query that joins too wide) count as the
 * lower one.
 */
static const char price_statement[] =
	"WITH n AS (\n"
	"  SELECT DISTINCT ON (key, currency, list_key, valid_from) * FROM (\n"
	"    SELECT key, currency COLLATE \"C\" AS currency, coalesce(list_key, '') COLLATE \"C\" AS list_key,\n"
	"      coalesce(valid_from, '-infinity') AS valid_from, amount, tax_included, valid_until\n"
	"    FROM shop_now) x\n"
	"  ORDER BY key, currency, list_key, valid_from, amount),\n"
	"d AS MATERIALIZED (\n"
	"  SELECT coalesce(n.key, o.key) AS key, coalesce(n.currency, o.currency) AS currency,\n"
	"    coalesce(n.list_key, o.list_key) AS list_key, coalesce(n.valid_from, o.valid_from) AS valid_from,\n"
	"    n.key IS NOT NULL AS here, o.key IS NOT NULL AS known,\n"
	"    n.amount AS n_amount, n.tax_included AS n_tax_included, n.valid_until AS n_valid_until,\n"
	"    o.amount AS o_amount, o.tax_included AS o_tax_included, o.valid_until AS o_valid_until\n"
	"  FROM n %s o ON n.key = o.key AND n.currency = o.currency\n"
	"    AND n.list_key = o.list_key AND n.valid_from = o.valid_from\n"
	"  WHERE n.key IS NULL OR o.key IS NULL OR (n.amount, n.tax_included, n.valid_until)\n"
	"    IS DISTINCT FROM (o.amount, o.tax_included, o.valid_until)),\n"
	"added AS (INSERT INTO ecauto_data.seen_price\n"
	"    (key, currency, list_key, valid_from, amount, tax_included, valid_until)\n"
	"  SELECT key, currency, list_key, valid_from, n_amount, n_tax_included, n_valid_until\n"
	"  FROM d WHERE NOT known),\n"
	"changed AS (UPDATE ecauto_data.seen_price s\n"
	"  SET amount = d.n_amount, tax_included = d.n_tax_included, valid_until = d.n_valid_until\n"
	"  FROM d WHERE d.here AND d.known AND s.key = d.key AND s.currency = d.currency\n"
	"    AND s.list_key = d.list_key AND s.valid_from = d.valid_from),\n"
	"gone AS (DELETE FROM ecauto_data.seen_price s USING d WHERE NOT d.here AND s.key = d.key\n"
	"    AND s.currency = d.currency AND s.list_key = d.list_key AND s.valid_from = d.valid_from)\n"
	INSERT_EVENTS
	"SELECT ecauto.new_id(), $2, 'price.changed', 'price', d.key, NULL, d.key,\n"
	"  CASE WHEN known THEN pg_catalog.jsonb_build_object('currency', currency,\n"
	"    'list_key', nullif(list_key, ''), 'amount', o_amount, 'tax_included', o_tax_included) END,\n"
	"  CASE WHEN here THEN pg_catalog.jsonb_build_object('currency', currency,\n"
	"    'list_key', nullif(list_key, ''), 'amount', n_amount, 'tax_included', n_tax_included) END\n"
	"FROM d WHERE NOT $3\n"
	"  AND (n_amount, n_tax_included) IS DISTINCT FROM (o_amount, o_tax_included)";

/*
 * Stock counts by sku: what is available of it anywhere.  A sku whose rows
 * are gone, or say NULL, has nothing available.  Several rows for one
 * location (lots) count as one.  Summing is left out where no sku has two
 * rows, as in most shops, since it takes longer than all the rest.
 *
 * This is the statement that bulk changes go through, so what was seen is
 * found again by its place: only a tick writes there, and ticks exclude each
 * other.
 */
#define STOCK_NOW \
	"WITH n AS (\n" \
	"  SELECT key, on_hand, reserved, incoming, NULL::jsonb AS locations FROM shop_now),\n"

#define STOCK_NOW_SUMMED \
	"WITH n AS (\n" \
	"  SELECT key, pg_catalog.sum(on_hand) AS on_hand, pg_catalog.sum(reserved) AS reserved,\n" \
	"    pg_catalog.sum(incoming) AS incoming,\n" \
	"    CASE WHEN pg_catalog.count(*) > 1 THEN pg_catalog.jsonb_object_agg(location_key,\n" \
	"      pg_catalog.jsonb_build_object('on_hand', on_hand, 'reserved', reserved)) END AS locations\n" \
	"  FROM (SELECT key, location_key, pg_catalog.sum(on_hand) AS on_hand,\n" \
	"      pg_catalog.sum(reserved) AS reserved, pg_catalog.sum(incoming) AS incoming\n" \
	"    FROM shop_now GROUP BY key, location_key) x\n" \
	"  GROUP BY key),\n"

#define STOCK_EVENT(kind, condition) \
	"SELECT ecauto.new_id(), $2, '" kind "', 'stock', d.key, NULL, d.key,\n" \
	"  CASE WHEN known THEN ecauto.stock_state(o_on_hand, o_reserved, o_incoming, o_locations) END,\n" \
	"  CASE WHEN here THEN ecauto.stock_state(n_on_hand, n_reserved, n_incoming, n_locations) END\n" \
	"FROM d WHERE NOT $3" condition

#define STOCK_DIFF \
	"d AS MATERIALIZED (\n" \
	"  SELECT coalesce(n.key, o.key) AS key, n.key IS NOT NULL AS here, o.key IS NOT NULL AS known, o.ctid AS place,\n" \
	"    n.on_hand AS n_on_hand, n.reserved AS n_reserved, n.incoming AS n_incoming,\n" \
	"    n.locations AS n_locations, n.on_hand - n.reserved AS n_available,\n" \
	"    o.on_hand AS o_on_hand, o.reserved AS o_reserved, o.incoming AS o_incoming,\n" \
	"    o.locations AS o_locations, o.on_hand - o.reserved AS o_available\n" \
	"  FROM n %s o ON n.key = o.key\n" \
	"  WHERE n.key IS NULL OR o.key IS NULL OR (n.on_hand, n.reserved, n.incoming, n.locations)\n" \
	"    IS DISTINCT FROM (o.on_hand, o.reserved, o.incoming, o.locations)),\n" \
	"added AS (INSERT INTO ecauto_data.seen_stock (key, on_hand, reserved, incoming, locations)\n" \
	"  SELECT key, n_on_hand, n_reserved, n_incoming, n_locations FROM d WHERE NOT known),\n" \
	"changed AS (UPDATE ecauto_data.seen_stock s SET on_hand = d.n_on_hand,\n" \
	"    reserved = d.n_reserved, incoming = d.n_incoming, locations = d.n_locations\n" \
	"  FROM d WHERE d.here AND d.known AND s.ctid = d.place),\n" \
	"gone AS (DELETE FROM ecauto_data.seen_stock s USING d WHERE NOT d.here AND s.ctid = d.place)\n" \
	INSERT_EVENTS \
	STOCK_EVENT("stock.changed", "") "\nUNION ALL\n" \
	STOCK_EVENT("stock.out", " AND known AND o_available > 0 AND coalesce(n_available, 0) <= 0") "\nUNION ALL\n" \
	STOCK_EVENT("stock.back", " AND known AND coalesce(o_available, 0) <= 0 AND n_available > 0")

static const char stock_statement[] = STOCK_NOW STOCK_DIFF;
static const char stock_summed_statement[] = STOCK_NOW_SUMMED STOCK_DIFF;

/*
 * Whose facts have to be computed again (docs/customer.md): the customers and
 * the e-mail addresses that a row had and has, and the order whose lines are to
 * be read; one row without any for all of them, when a role is loaded or compared silently.  The customer's facts
 * are made of what was seen, so nothing else needs to tell of a change.
 */
#define CUSTOMER_STALE(had, has) \
	"stale AS (INSERT INTO ecauto_data.customer_stale (customer, email, order_key)\n" \
	"  SELECT x.customer, x.email, x.order_key\n" \
	"  FROM d CROSS JOIN LATERAL (VALUES " had ", " has ") x(customer, email, order_key)\n" \
	"  WHERE NOT ($3 AND $1 IS NULL) AND (x.customer IS NOT NULL OR x.email IS NOT NULL OR x.order_key IS NOT NULL)\n" \
	"  UNION SELECT NULL, NULL, NULL WHERE $3 AND $1 IS NULL AND EXISTS (SELECT FROM d))\n"

/* what is remembered of a customer beside his key; prefix p */
#define CUSTOMER_COLUMNS(p) \
	p "email, " p "name, " p "first_name, " p "phone, " p "sex, " p "birth_date, " p "country, " \
	p "city, " p "postcode, " p "locale, " p "tz, " p "guest, " p "active, " p "created_at"

#define UNLESS_ERASED(column) "CASE WHEN e.key IS NULL THEN s." column " END AS " column

static const char customer_statement[] =
	"WITH n AS (SELECT s.key, " UNLESS_ERASED("email") ", " UNLESS_ERASED("name") ", "
	UNLESS_ERASED("first_name") ", " UNLESS_ERASED("phone") ", " UNLESS_ERASED("sex") ", "
	UNLESS_ERASED("birth_date") ", s.country, " UNLESS_ERASED("city") ", " UNLESS_ERASED("postcode") ",\n"
	"    s.locale, s.tz, s.guest, s.active, s.created_at\n"
	"  FROM shop_now s LEFT JOIN ecauto_data.erased e ON e.role = 'customer' AND e.key = s.key),\n"
	"d AS MATERIALIZED (\n"
	"  SELECT coalesce(n.key, o.key) AS key, n.key IS NOT NULL AS here, o.key IS NOT NULL AS known,\n"
	"    " CUSTOMER_COLUMNS("n.") ", o.email AS o_email\n"
	"  FROM n %s o ON n.key = o.key\n"
	"  WHERE n.key IS NULL OR o.key IS NULL\n"
	"    OR (" CUSTOMER_COLUMNS("n.") ") IS DISTINCT FROM (" CUSTOMER_COLUMNS("o.") ")),\n"
	"added AS (INSERT INTO ecauto_data.seen_customer (key, " CUSTOMER_COLUMNS("") ")\n"
	"  SELECT key, " CUSTOMER_COLUMNS("") " FROM d WHERE NOT known),\n"
	"changed AS (UPDATE ecauto_data.seen_customer s\n"
	"  SET (" CUSTOMER_COLUMNS("") ") = ROW (" CUSTOMER_COLUMNS("d.") ")\n"
	"  FROM d WHERE d.here AND d.known AND s.key = d.key),\n"
	"gone AS (DELETE FROM ecauto_data.seen_customer s USING d WHERE NOT d.here AND s.key = d.key),\n"
	CUSTOMER_STALE("(d.key, d.email, NULL)", "(d.key, d.o_email, NULL)")
	INSERT_EVENTS
	"SELECT ecauto.new_id(), $2, 'customer.created', 'customer', d.key, d.key, NULL, NULL,\n"
	"  pg_catalog.jsonb_build_object('email', email, 'guest', guest, 'active', active)\n"
	"FROM d WHERE NOT known AND NOT $3";

/*
 * What is due for an order is its total; once it is cancelled, what the total
 * was before, since some shops then set it to 0.  It is paid when as much has
 * been paid, refunded when all that was paid has been given back.
 *
 * The order of the edges is the order in which they happen.
 *
 * An order without time is not placed (yet, or any more) and not here.  One
 * that was gone and is here again ("returns") is compared with what was told
 * of it before (g_).
 */
static const char order_statement[] =
	"WITH n AS (\n"
	"  SELECT s.key, s.number, coalesce(s.customer_key, e.customer) AS customer_key,\n"
	"    CASE WHEN e.key IS NULL AND (c.at >= s.placed_at) IS NOT TRUE THEN s.email END AS email,\n"
	"    s.cart_key, s.currency, s.total, s.placed_at, s.paid, s.refunded, s.cancelled, s.fulfilment,\n"
	"    s.raw_status, g.key IS NOT NULL AS returns, g.placed_total AS g_placed_total,\n"
	"    g.is_paid AS g_is_paid, g.refunded AS g_refunded, g.is_refunded AS g_is_refunded,\n"
	"    g.cancelled AS g_cancelled, g.fulfilment AS g_fulfilment\n"
	"  FROM shop_now s LEFT JOIN ecauto_data.gone_order g ON g.key = s.key\n"
	"  LEFT JOIN ecauto_data.erased e ON e.role = 'order' AND e.key = s.key\n"
	"  LEFT JOIN ecauto_data.erased c ON c.role = 'customer' AND c.key = s.customer_key),\n"
	"x AS (\n"
	"  SELECT coalesce(n.key, o.key) AS key, n.placed_at IS NOT NULL AS here, o.key IS NOT NULL AS known,\n"
	"    coalesce(n.returns, false) AS returns, n.number, n.customer_key, n.email, n.cart_key, n.currency,\n"
	"    n.total, n.placed_at, n.paid, n.refunded, n.cancelled, n.fulfilment, n.raw_status,\n"
	"    CASE WHEN n.cancelled IS NOT TRUE THEN n.total WHEN o.key IS NOT NULL THEN o.placed_total\n"
	"      WHEN n.returns THEN n.g_placed_total ELSE n.total END AS due,\n"
	"    o.customer_key AS o_customer_key, o.email AS o_email, o.total AS o_total, o.paid AS o_paid,\n"
	"    coalesce(o.is_paid, n.g_is_paid, false) AS o_is_paid,\n"
	"    coalesce(o.refunded, n.g_refunded, 0) AS o_refunded,\n"
	"    coalesce(o.is_refunded, n.g_is_refunded, false) AS o_is_refunded,\n"
	"    coalesce(o.cancelled, n.g_cancelled, false) AS o_cancelled,\n"
	"    coalesce(o.fulfilment, n.g_fulfilment) AS o_fulfilment, o.raw_status AS o_raw_status,\n"
	"    coalesce(n.placed_at, o.placed_at) AS happened_at\n"
	"  FROM n %s o ON n.key = o.key\n"
	"  WHERE CASE WHEN n.placed_at IS NULL THEN o.key IS NOT NULL\n"
	"    ELSE o.key IS NULL OR (n.number, n.customer_key, n.email, n.cart_key, n.currency, n.total,\n"
	"      n.placed_at, n.paid, n.refunded, n.cancelled, n.fulfilment, n.raw_status)\n"
	"    IS DISTINCT FROM (o.number, o.customer_key, o.email, o.cart_key, o.currency, o.total,\n"
	"      o.placed_at, o.paid, o.refunded, o.cancelled, o.fulfilment, o.raw_status) END),\n"
	"d AS MATERIALIZED (\n"
	"  SELECT x.*, coalesce(x.paid >= x.due AND (x.paid > 0 OR NOT x.cancelled), false) AS is_paid,\n"
	"    coalesce(x.refunded > 0 AND x.refunded >= x.paid, false) AS is_refunded FROM x),\n"
	"added AS (INSERT INTO ecauto_data.seen_order (key, number, customer_key, email, cart_key,\n"
	"    currency, total, placed_total, placed_at, paid, is_paid, refunded, is_refunded, cancelled,\n"
	"    fulfilment, raw_status)\n"
	"  SELECT key, number, customer_key, email, cart_key, currency, total, due, placed_at, paid,\n"
	"    is_paid, refunded, is_refunded, cancelled, fulfilment, raw_status FROM d WHERE here AND NOT known),\n"
	"changed AS (UPDATE ecauto_data.seen_order s SET number = d.number,\n"
	"    customer_key = d.customer_key, email = d.email, cart_key = d.cart_key,\n"
	"    currency = d.currency, total = d.total, placed_total = d.due, placed_at = d.placed_at,\n"
	"    paid = d.paid, is_paid = d.is_paid, refunded = d.refunded, is_refunded = d.is_refunded,\n"
	"    cancelled = d.cancelled, fulfilment = d.fulfilment, raw_status = d.raw_status\n"
	"  FROM d WHERE d.here AND d.known AND s.key = d.key),\n"
	"gone AS (DELETE FROM ecauto_data.seen_order s USING d WHERE NOT d.here AND s.key = d.key\n"
	"  RETURNING s.key, s.placed_total, s.is_paid, s.refunded, s.is_refunded, s.cancelled, s.fulfilment),\n"
	"kept AS (INSERT INTO ecauto_data.gone_order (key, placed_total, is_paid, refunded, is_refunded,\n"
	"    cancelled, fulfilment, gone_at)\n"
	"  SELECT key, placed_total, is_paid, refunded, is_refunded, cancelled, fulfilment, $2 FROM gone),\n"
	"returned AS (DELETE FROM ecauto_data.gone_order g USING d WHERE d.here AND d.returns AND g.key = d.key),\n"
	"carts AS (INSERT INTO ecauto_data.seen_cart (key, customer_key, email, currency, total, completed_at)\n"
	"  SELECT DISTINCT ON (cart_key) cart_key, customer_key, email, currency, total, $2::timestamptz\n"
	"  FROM d WHERE here AND NOT known AND cart_key IS NOT NULL AND NOT $3 ORDER BY cart_key\n"
	"  ON CONFLICT (key) DO UPDATE SET completed_at = excluded.completed_at\n"
	"  WHERE seen_cart.completed_at IS NULL),\n"
	CUSTOMER_STALE("(d.o_customer_key, d.o_email, NULL)", "(d.customer_key, d.email, d.key)")
	INSERT_EVENTS
	"SELECT ecauto.new_id(), $2, kind, role, key, customer, NULL, old, new FROM (\n"
	"  SELECT e.kind, e.role, CASE e.role WHEN 'cart' THEN d.cart_key ELSE d.key END AS key,\n"
	"    coalesce(d.customer_key, d.o_customer_key) AS customer, d.happened_at, d.key AS order_key, e.n,\n"
	"    CASE WHEN known THEN pg_catalog.jsonb_build_object('email', o_email, 'total', o_total,\n"
	"      'paid', o_paid, 'refunded', o_refunded, 'cancelled', o_cancelled,\n"
	"      'fulfilment', o_fulfilment, 'raw_status', o_raw_status) END AS old,\n"
	"    CASE WHEN here THEN pg_catalog.jsonb_build_object('order_key', d.key, 'number', number,\n"
	"      'customer_key', customer_key, 'email', email, 'cart_key', cart_key,\n"
	"      'currency', currency, 'total', total, 'placed_at', placed_at, 'paid', paid,\n"
	"      'refunded', refunded, 'cancelled', cancelled, 'fulfilment', fulfilment,\n"
	"      'raw_status', raw_status) END AS new\n"
	"  FROM d CROSS JOIN LATERAL (VALUES\n"
	"    (1, 'order.deleted', 'order', NOT here),\n"
	"    (1, 'order.restored', 'order', here AND NOT known AND returns),\n"
	"    (1, 'order.placed', 'order', here AND NOT known AND NOT returns),\n"
	"    (2, 'cart.completed', 'cart', here AND NOT known AND NOT returns AND cart_key IS NOT NULL),\n"
	"    (3, 'order.paid', 'order', is_paid AND NOT o_is_paid),\n"
	"    (4, 'order.fulfilled', 'order', fulfilment = 'full' AND o_fulfilment IS DISTINCT FROM 'full'),\n"
	"    (5, 'order.cancelled', 'order', cancelled AND NOT o_cancelled),\n"
	"    (6, 'order.partially_refunded', 'order', refunded > o_refunded AND NOT is_refunded),\n"
	"    (7, 'order.refunded', 'order', is_refunded AND NOT o_is_refunded)) e(n, kind, role, holds)\n"
	"  WHERE e.holds AND NOT $3) x\n"
	"ORDER BY happened_at, order_key, n";

/*
 * A cart that the shop no longer has was changed to nothing, unless an order
 * came of it.  Completed carts are not compared any more, nor begun with: one
 * whose order is known was completed before ecauto was attached, or so long
 * ago that it has been forgotten.
 */
static const char cart_statement[] =
	"WITH l AS MATERIALIZED (\n"
	"  SELECT cart_key, pg_catalog.jsonb_object_agg(sku_key, qty) AS lines\n"
	"  FROM (SELECT cart_key, sku_key, pg_catalog.sum(qty) AS qty FROM shop_lines\n"
	"    WHERE cart_key IS NOT NULL AND sku_key IS NOT NULL GROUP BY cart_key, sku_key) x\n"
	"  GROUP BY cart_key),\n"
	"n AS (\n"
	"  SELECT s.key, coalesce(s.customer_key, e.customer) AS customer_key,\n"
	"    CASE WHEN e.key IS NULL AND (c.at >= s.last_activity) IS NOT TRUE THEN s.email END AS email,\n"
	"    s.currency, s.total, s.last_activity, l.lines\n"
	"  FROM shop_now s LEFT JOIN l ON l.cart_key = s.key\n"
	"  LEFT JOIN ecauto_data.erased e ON e.role = 'cart' AND e.key = s.key\n"
	"  LEFT JOIN ecauto_data.erased c ON c.role = 'customer' AND c.key = s.customer_key),\n"
	"d AS MATERIALIZED (\n"
	"  SELECT coalesce(n.key, o.key) AS key, n.key IS NOT NULL AS here, o.key IS NOT NULL AS known,\n"
	"    n.customer_key AS n_customer_key, n.email AS n_email, n.currency AS n_currency,\n"
	"    n.total AS n_total, n.last_activity AS n_last_activity, n.lines AS n_lines,\n"
	"    o.customer_key AS o_customer_key, o.email AS o_email, o.currency AS o_currency,\n"
	"    o.total AS o_total, o.last_activity AS o_last_activity, o.lines AS o_lines\n"
	"  FROM n %s o ON n.key = o.key\n"
	"  WHERE o.completed_at IS NULL AND (n.key IS NULL\n"
	"    OR (o.key IS NULL AND NOT EXISTS (\n"
	"      SELECT FROM ecauto_data.seen_order p WHERE p.cart_key = n.key))\n"
	"    OR (o.key IS NOT NULL AND\n"
	"      (n.customer_key, n.email, n.currency, n.total, n.last_activity, n.lines)\n"
	"      IS DISTINCT FROM\n"
	"      (o.customer_key, o.email, o.currency, o.total, o.last_activity, o.lines)))),\n"
	"added AS (INSERT INTO ecauto_data.seen_cart (key, customer_key, email, currency, total,\n"
	"    last_activity, lines, changed_at)\n"
	"  SELECT key, n_customer_key, n_email, n_currency, n_total, n_last_activity, n_lines,\n"
	"    CASE WHEN $3 THEN coalesce(n_last_activity, $2) ELSE $2 END FROM d WHERE NOT known),\n"
	"changed AS (UPDATE ecauto_data.seen_cart s SET customer_key = d.n_customer_key,\n"
	"    email = d.n_email, currency = d.n_currency, total = d.n_total,\n"
	"    last_activity = d.n_last_activity, lines = d.n_lines, changed_at = $2\n"
	"  FROM d WHERE d.here AND d.known AND s.key = d.key),\n"
	"gone AS (DELETE FROM ecauto_data.seen_cart s USING d WHERE NOT d.here AND s.key = d.key),\n"
	CUSTOMER_STALE("(d.o_customer_key, d.o_email, NULL)", "(d.n_customer_key, d.n_email, NULL)")
	INSERT_EVENTS
	"SELECT ecauto.new_id(), $2, 'cart.changed', 'cart', d.key,\n"
	"  coalesce(n_customer_key, o_customer_key), NULL,\n"
	"  CASE WHEN known THEN pg_catalog.jsonb_build_object('customer_key', o_customer_key,\n"
	"    'email', o_email, 'currency', o_currency, 'total', o_total,\n"
	"    'last_activity', o_last_activity, 'lines', o_lines) END,\n"
	"  CASE WHEN here THEN pg_catalog.jsonb_build_object('customer_key', n_customer_key,\n"
	"    'email', n_email, 'currency', n_currency, 'total', n_total,\n"
	"    'last_activity', n_last_activity, 'lines', n_lines) END\n"
	"FROM d WHERE NOT $3";

/*
 * In the order in which a tick compares them.  Orders come before carts, so
 * that a cart an order came of is known to be completed.
 */
const EcDiff ec_diffs[] = {
	{"product", NULL, NULL, "seen_product", true, 1, product_statement, NULL},
	{"sku", NULL, NULL, "seen_sku", true, 1, sku_statement, NULL},
	{"price", NULL, NULL, "seen_price", false, 2, price_statement, price_statement},
	{"stock", NULL, NULL, "seen_stock", true, 1, stock_statement, stock_summed_statement},
	{"customer", NULL, NULL, "seen_customer", true, 1, customer_statement, NULL},
	{"order", NULL, NULL, "seen_order", true, 1, order_statement, NULL},
	{"cart", "cart_line", "cart_key", "seen_cart", true, 1, cart_statement, NULL},
};
const int	ec_ndiffs = lengthof(ec_diffs);

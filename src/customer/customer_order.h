/*-------------------------------------------------------------------------
 *
 * customer_order.h
 *		How orders become figures; for this domain only.
 *
 * All of it is SQL over a relation "x" of orders, one row each:
 *
 *		placed_at, currency
 *		counted		boolean: placed by the as-of time and not cancelled
 *		was			boolean: placed by the as-of time
 *		cancelled, is_refunded
 *		spent		numeric: what the shop keeps of the total, never below 0
 *		paid, refunded
 *
 * "@" stands for the as-of time; ec_customer_sql() puts it in.
 *
 * An amount that is NaN or infinite is no amount, and the order has none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_CUSTOMER_ORDER_H
#define EC_CUSTOMER_ORDER_H

#define FINITE(x) \
	"CASE WHEN " x " < 'Infinity' AND " x " > '-Infinity' THEN " x " END"

/* the columns of x, from an order "o" and, if it was otherwise, its state before "p" */
#define ORDER_FIGURES(total, refunded, paid, cancelled) \
	"o.placed_at, o.currency, o.placed_at <= @ AS was,\n" \
	"  o.placed_at <= @ AND NOT " cancelled " AS counted, " cancelled " AS cancelled,\n" \
	"  greatest(" FINITE(total) " - coalesce(" FINITE(refunded) ", 0), 0) AS spent,\n" \
	"  " FINITE(paid) " AS paid, " FINITE(refunded) " AS refunded,\n" \
	"  coalesce(" refunded " > 0 AND " refunded " >= " paid ", false) AS is_refunded"

#define ORDER_FIGURES_NOW \
	ORDER_FIGURES("o.total", "o.refunded", "o.paid", "coalesce(o.cancelled, false)")

/* the main currency */
#define MAIN_CURRENCY "(SELECT currency FROM ecauto_data.customer_setting)"

/* ---- figures ---- */

#define AGG_ORDERS_COUNT "pg_catalog.count(*) FILTER (WHERE x.counted)"
#define AGG_CANCELLED_COUNT "pg_catalog.count(*) FILTER (WHERE x.was AND x.cancelled)"
#define AGG_REFUNDED_COUNT "pg_catalog.count(*) FILTER (WHERE x.counted AND x.is_refunded)"
#define AGG_SPENT_TOTAL \
	"coalesce(pg_catalog.sum(x.spent) FILTER (WHERE x.counted AND x.currency = " MAIN_CURRENCY "), 0)"
#define AGG_PAID_TOTAL \
	"coalesce(pg_catalog.sum(x.paid) FILTER (WHERE x.was AND x.currency = " MAIN_CURRENCY "), 0)"
#define AGG_REFUNDED_TOTAL \
	"coalesce(pg_catalog.sum(x.refunded) FILTER (WHERE x.was AND x.currency = " MAIN_CURRENCY "), 0)"
#define AGG_FIRST_ORDER_AT "pg_catalog.min(x.placed_at) FILTER (WHERE x.counted)"
#define AGG_LAST_ORDER_AT "pg_catalog.max(x.placed_at) FILTER (WHERE x.counted)"
#define AGG_AVERAGE_ORDER_VALUE \
	"pg_catalog.round(pg_catalog.avg(coalesce(x.spent, 0)) " \
	"FILTER (WHERE x.counted AND x.currency = " MAIN_CURRENCY "), 4)"
#define AGG_AVERAGE_DAYS \
	"CASE WHEN pg_catalog.isfinite(" AGG_FIRST_ORDER_AT ") AND pg_catalog.isfinite(" AGG_LAST_ORDER_AT ") THEN " \
	"pg_catalog.round(EXTRACT(epoch FROM " AGG_LAST_ORDER_AT " - " AGG_FIRST_ORDER_AT ") / 86400 " \
	"/ nullif(" AGG_ORDERS_COUNT " - 1, 0), 6) END"
#define AGG_MEDIAN_GAP \
	"ecauto.median_gap(pg_catalog.array_agg(x.placed_at) FILTER (WHERE x.counted))"
/* when the next order that lies in the future comes to count */
#define AGG_VALID_UNTIL \
	"coalesce(pg_catalog.min(x.placed_at) FILTER (WHERE NOT x.was), 'infinity')"

/* orders within some days before the as-of time */
#define WITHIN(days) "x.counted AND x.placed_at >= @ - interval '" days " days'"

/* {"USD": 12.50} of orders in other currencies; over rows of orders "x" grouped by owner */
#define OTHER_CURRENCIES(orders) \
	"SELECT pg_catalog.jsonb_object_agg(y.currency, y.spent) FROM (\n" \
	"  SELECT x.currency, pg_catalog.sum(x.spent) AS spent FROM " orders " x\n" \
	"  WHERE x.counted AND x.currency <> " MAIN_CURRENCY " GROUP BY x.currency) y"

/* ---- carts ---- */

#define AGG_CARTS \
	"pg_catalog.count(*) AS open_carts,\n" \
	"  pg_catalog.sum(" FINITE("s.total") ") FILTER (WHERE s.currency = " MAIN_CURRENCY ") AS open_cart_total,\n" \
	"  pg_catalog.max(s.changed_at) AS last_cart_at"

#endif							/* EC_CUSTOMER_ORDER_H */

/*-------------------------------------------------------------------------
 *
 * customer_row.c
 *		The row "customer": its columns, and the query that gives them for some
 *		customers as of an instant.
 *
 * Most of it is kept ready in customer_fact, which says of each row for which
 * instants it holds: from the tick that wrote it until an order that lies in
 * the future comes to count.  For other instants the figures are computed from
 * the orders, which are taken back to how they were by the first event after
 * the instant: its "old" is their state before.
 *
 * What is about the last N days is never kept, since it changes by itself.  It
 * is computed from the orders of these days, by index if keys are given.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "customer/customer.h"
#include "customer/customer_order.h"

#define ROLE(name, type) {name, type, EC_CUSTOMER_ROLE, "c." name, NULL, 0}
#define FACT(name, type, aggregate) {name, type, EC_CUSTOMER_FACT, "f." name, aggregate, 0}
#define NO_HISTORY(name, type) {name, type, EC_CUSTOMER_FACT, "f." name, NULL, 0}
#define WINDOW(name, type, aggregate, days) {name, type, EC_CUSTOMER_WINDOW, "coalesce(w." name ", 0)", aggregate, days}
#define COUNT_WITHIN(days) "pg_catalog.count(*) FILTER (WHERE " WITHIN(days) ")"
#define SPENT_WITHIN(days) \
	"coalesce(pg_catalog.sum(x.spent) FILTER (WHERE " WITHIN(days) " AND x.currency = " MAIN_CURRENCY "), 0)"

#define OLDEST(name, days, ndays) \
	{name, TIMESTAMPTZOID, EC_CUSTOMER_WINDOW, "w." name, \
	"pg_catalog.min(x.placed_at) FILTER (WHERE " WITHIN(days) ")", ndays}

/* docs/customer.md says what each of them means */
const EcCustomerColumn ec_customer_columns[] = {
	{"key", TEXTOID, EC_CUSTOMER_ROLE, "f.key", NULL, 0},
	{"email", TEXTOID, EC_CUSTOMER_ROLE, "f.email", NULL, 0},
	ROLE("name", TEXTOID),
	ROLE("first_name", TEXTOID),
	ROLE("phone", TEXTOID),
	ROLE("sex", TEXTOID),
	ROLE("birth_date", DATEOID),
	ROLE("country", TEXTOID),
	ROLE("city", TEXTOID),
	ROLE("postcode", TEXTOID),
	ROLE("locale", TEXTOID),
	ROLE("tz", TEXTOID),
	{"guest", BOOLOID, EC_CUSTOMER_ROLE, "coalesce(c.guest, true)", NULL, 0},
	{"active", BOOLOID, EC_CUSTOMER_ROLE, "coalesce(c.active, f.guest_email IS NOT NULL)", NULL, 0},
	ROLE("created_at", TIMESTAMPTZOID),
	FACT("orders_count", INT8OID, AGG_ORDERS_COUNT),
	FACT("cancelled_count", INT8OID, AGG_CANCELLED_COUNT),
	FACT("refunded_count", INT8OID, AGG_REFUNDED_COUNT),
	FACT("spent_total", NUMERICOID, AGG_SPENT_TOTAL),
	FACT("paid_total", NUMERICOID, AGG_PAID_TOTAL),
	FACT("refunded_total", NUMERICOID, AGG_REFUNDED_TOTAL),
	{"currency", TEXTOID, EC_CUSTOMER_ROLE, MAIN_CURRENCY, NULL, 0},
	FACT("spent_other", JSONBOID, "(" OTHER_CURRENCIES("x") ")"),
	FACT("first_order_at", TIMESTAMPTZOID, AGG_FIRST_ORDER_AT),
	FACT("last_order_at", TIMESTAMPTZOID, AGG_LAST_ORDER_AT),
	FACT("average_order_value", NUMERICOID, AGG_AVERAGE_ORDER_VALUE),
	FACT("average_days_between_orders", NUMERICOID, AGG_AVERAGE_DAYS),
	FACT("median_gap", INTERVALOID, AGG_MEDIAN_GAP),
	NO_HISTORY("open_carts", INT8OID),
	NO_HISTORY("open_cart_total", NUMERICOID),
	NO_HISTORY("last_cart_at", TIMESTAMPTZOID),
	WINDOW("orders_count_30d", INT8OID, COUNT_WITHIN("30"), 30),
	WINDOW("orders_count_90d", INT8OID, COUNT_WITHIN("90"), 90),
	WINDOW("orders_count_365d", INT8OID, COUNT_WITHIN("365"), 365),
	WINDOW("spent_30d", NUMERICOID, SPENT_WITHIN("30"), 30),
	WINDOW("spent_90d", NUMERICOID, SPENT_WITHIN("90"), 90),
	WINDOW("spent_365d", NUMERICOID, SPENT_WITHIN("365"), 365),
	OLDEST("oldest_order_30d", "30", 30),
	OLDEST("oldest_order_90d", "90", 90),
	OLDEST("oldest_order_365d", "365", 365),
};
const int	ec_customer_ncolumns = lengthof(ec_customer_columns);

/*
 * The row "customer" of a condition's scope, in the current context; its
 * columns are numbered as ec_customer_columns.
 */
EcExprRow *
ec_customer_scope_row(void)
{
	EcExprRow  *row = palloc(sizeof(EcExprRow));

	row->name = "customer";
	row->ncolumns = ec_customer_ncolumns;
	row->columns = palloc0(sizeof(EcExprColumn) * ec_customer_ncolumns);
	for (int i = 0; i < ec_customer_ncolumns; i++)
	{
		row->columns[i].name = ec_customer_columns[i].name;
		row->columns[i].type = ec_customer_columns[i].type;
		row->columns[i].typmod = -1;
	}
	return row;
}

/* A piece of SQL of customer_order.h, with the as-of time put in, and keys for "\1". */
char *
ec_customer_sql(const char *template, const char *as_of, const char *keys)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (; *template != '\0'; template++)
		if (*template == '@')
			appendStringInfoString(&sql, as_of);
		else if (*template == '\1')
			appendStringInfoString(&sql, keys);
		else
			appendStringInfoChar(&sql, *template);
	return sql.data;
}

/*
 * The orders of the customer of row f, those he placed as a guest too; more is
 * a further condition on them.
 */
static char *
orders_of_customer(const char *more)
{
	return psprintf("(SELECT o.* FROM ecauto_data.seen_order o WHERE o.customer_key = f.key%s\n"
					"  UNION ALL SELECT o.* FROM ecauto_data.seen_order o\n"
					"  WHERE o.customer_key IS NULL AND o.email = f.guest_email%s) o", more, more);
}

/*
 * What was true at an instant of an order that has changed since: the state
 * before its first change.
 */
static const char state_before[] =
	"LEFT JOIN LATERAL (SELECT e.old FROM ecauto_data.event e\n"
	"  WHERE e.role = 'order' AND e.key = o.key AND e.at > @ AND e.old IS NOT NULL\n"
	"  ORDER BY e.at, e.event_id LIMIT 1) p ON true";

#define BEFORE(column, type) \
	"CASE WHEN p.old IS NULL THEN o." column " ELSE (p.old->>'" column "')::" type " END"

/* The figures of a customer as of an instant, from his orders: a LATERAL subquery. */
static char *
live_figures(const bool *used)
{
	StringInfoData sql;
	int			n = 0;

	initStringInfo(&sql);
	appendStringInfo(&sql, "(WITH x AS (SELECT "
					 ORDER_FIGURES(BEFORE("total", "numeric"), BEFORE("refunded", "numeric"),
								   BEFORE("paid", "numeric"),
								   "coalesce(" BEFORE("cancelled", "boolean") ", false)")
					 "\n  FROM %s %s)\n  SELECT ", orders_of_customer(" AND o.placed_at <= @"), state_before);
	for (int i = 0; i < ec_customer_ncolumns; i++)
		if (used[i] && ec_customer_columns[i].live != NULL)
			appendStringInfo(&sql, "%s%s AS %s", n++ > 0 ? ",\n    " : "", ec_customer_columns[i].live,
							 ec_customer_columns[i].name);
	appendStringInfoString(&sql, " FROM x)");
	return sql.data;
}

/*
 * Join f with the figures of windows that end at the as-of time, the longest
 * of which has so many days: "w".
 */
static char *
window_figures(const bool *used, int days, bool all)
{
	StringInfoData list;
	char	   *recent = psprintf(" AND o.placed_at >= @ - interval '%d days' AND o.placed_at <= @", days);

	initStringInfo(&list);
	for (int i = 0; i < ec_customer_ncolumns; i++)
		if (used[i] && ec_customer_columns[i].source == EC_CUSTOMER_WINDOW)
			appendStringInfo(&list, ",\n    %s AS %s", ec_customer_columns[i].live, ec_customer_columns[i].name);

	if (!all)
		return psprintf("LEFT JOIN LATERAL (SELECT %s\n  FROM (SELECT " ORDER_FIGURES_NOW "\n"
						"  FROM %s WHERE f.last_order_at >= @ - interval '%d days') x) w ON true",
						list.data + 1, orders_of_customer(recent), days);
	return psprintf("LEFT JOIN (SELECT x.owner%s\n  FROM (SELECT o.owner, " ORDER_FIGURES_NOW "\n"
					"  FROM (SELECT o.customer_key AS owner, o.* FROM ecauto_data.seen_order o\n"
					"    WHERE o.customer_key IS NOT NULL%s\n"
					"    UNION ALL SELECT g.key, o.* FROM ecauto_data.seen_order o\n"
					"    JOIN ecauto_data.customer_fact g ON g.guest_email = o.email\n"
					"    WHERE o.customer_key IS NULL%s) o) x GROUP BY x.owner) w ON w.owner = f.key",
					list.data, recent, recent);
}

/*
 * SELECT the used columns; live: from "l" where they have history.
 *
 * Few customers, those of f, are looked up one by one: the time it takes goes
 * with how many are asked about, whatever the planner would think of the rest.
 */
static void
append_columns(StringInfo sql, const bool *used, bool live, bool all)
{
	int			n = 0;
	bool		role = false;

	appendStringInfoString(sql, "SELECT ");
	for (int i = 0; i < ec_customer_ncolumns; i++)
	{
		const EcCustomerColumn *column = &ec_customer_columns[i];

		if (!used[i])
			continue;
		if (strstr(column->sql, "c.") != NULL)
			role = true;		/* something of c is asked for */
		if (live && column->live != NULL)
			appendStringInfo(sql, "%sl.%s", n++ > 0 ? ", " : "", column->name);
		else
			appendStringInfo(sql, "%s%s AS %s", n++ > 0 ? ", " : "", column->sql, column->name);
	}
	appendStringInfoString(sql, all ? "\nFROM ecauto_data.customer_fact f\n" : "\nFROM f\n");
	if (role)
		appendStringInfoString(sql, all ? "LEFT JOIN ecauto_data.seen_customer c ON c.key = f.key\n" :
							   "LEFT JOIN LATERAL (SELECT s.* FROM ecauto_data.seen_customer s WHERE s.key = f.key OFFSET 0) c ON true\n");
}

/*
 * The query that returns rows of "customer", one for each customer we know.
 *
 * keys is SQL of a text[] of their keys, NULL for all; as_of of a timestamptz;
 * as_of is pasted several times, so a parameter is best.  Of the columns there
 * are "key" and those that used[] marks (numbered as ec_customer_columns; NULL:
 * all).  To be run as the owner of the state, under the settings of
 * ec_expr_begin_as_owner(), since days are those of ecauto.timezone.  A key
 * that nobody has gives no row.  The result is in the current context.
 */
char *
ec_customer_rows_sql(const char *keys, const char *as_of, const bool *used)
{
	bool	   *wanted = palloc0(sizeof(bool) * ec_customer_ncolumns);
	const char *where = keys != NULL ? "WHERE true" : "WHERE f.known";
	bool		history = false;
	int			days = 0;
	StringInfoData sql;

	for (int i = 0; i < ec_customer_ncolumns; i++)
	{
		wanted[i] = i == 0 || used == NULL || used[i];
		if (wanted[i] && ec_customer_columns[i].live != NULL)
			history = true;
		if (wanted[i])
			days = Max(days, ec_customer_columns[i].days);
	}

	initStringInfo(&sql);
	if (keys != NULL)
		appendStringInfoString(&sql, "WITH f AS MATERIALIZED (SELECT f.* FROM ecauto_data.customer_fact f\n"
							   "  WHERE f.known AND f.key = ANY (\1))\n");
	append_columns(&sql, wanted, false, keys == NULL);
	if (days > 0)
		appendStringInfo(&sql, "%s\n", window_figures(wanted, days, keys == NULL));
	appendStringInfoString(&sql, where);
	if (history)
	{
		appendStringInfoString(&sql, " AND f.valid_from <= @ AND f.valid_until > @\nUNION ALL\n");
		append_columns(&sql, wanted, true, keys == NULL);
		appendStringInfo(&sql, "CROSS JOIN LATERAL %s l\n%s AND NOT (f.valid_from <= @ AND f.valid_until > @)",
						 live_figures(wanted), where);
	}
	return ec_customer_sql(sql.data, as_of, keys);
}

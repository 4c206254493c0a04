/*-------------------------------------------------------------------------
 *
 * customer.h
 *		Facts of customers: what they ordered, how much, how often, and when.
 *
 * A condition about customers speaks of the row "customer": the columns of
 * the role and the facts.  A statement gets its values, for some keys or for
 * all, and as of any instant, from the query that ec_customer_rows_sql() makes:
 *
 *		EcExprRow  *row = ec_customer_scope_row();
 *		... ec_expr_check(text, scope with *row), mark what it uses in used[] ...
 *		sql = psprintf("SELECT customer.key, (%s) FROM (%s) AS customer",
 *					   ec_expr_compile(expr, NULL, NULL, "$2"),
 *					   ec_customer_rows_sql("$1", "$2", used));
 *		... run it between ec_expr_begin_as_owner() and ec_expr_end() ...
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_CUSTOMER_H
#define EC_CUSTOMER_H

#include "core/core.h"
#include "expr/expr.h"

/* ---- customer_row.c: the row "customer" ---- */

/* Where a column of the row comes from. */
typedef enum EcCustomerSource
{
	EC_CUSTOMER_ROLE,			/* seen_customer */
	EC_CUSTOMER_FACT,			/* customer_fact */
	EC_CUSTOMER_WINDOW			/* orders within some days before the as-of time */
} EcCustomerSource;

typedef struct EcCustomerColumn
{
	const char *name;
	Oid			type;
	EcCustomerSource source;
	const char *sql;			/* stored: over "f" (customer_fact) and "c" (seen_customer) */
	const char *live;			/* fact or window: aggregate over a customer's orders;
								 * NULL: sql serves, as it has no history */
	int			days;			/* of a window */
} EcCustomerColumn;

extern const EcCustomerColumn ec_customer_columns[];
extern const int ec_customer_ncolumns;

extern EcExprRow *ec_customer_scope_row(void);
extern char *ec_customer_sql(const char *template, const char *as_of, const char *keys);
extern char *ec_customer_rows_sql(const char *keys, const char *as_of, const bool *used);

/* ---- customer_tick.c ---- */
extern void ec_customer_tick(EcTick *tick);

/* ---- customer_line.c ---- */
extern void ec_customer_lines_read(EcTick *tick, bool all);

#endif							/* EC_CUSTOMER_H */

/*-------------------------------------------------------------------------
 *
 * scoring_row.c
 *		The rows "score", "rfm" and "clv" of conditions about customers, beside
 *		the row "customer" of customer_row.c.
 *
 *	score	exact at the instant: from score_value, or from the ledger for
 *			instants before its last change
 *	rfm		as ecauto.refresh_rfm() last found before the instant: who is
 *			among the best fifth depends on all the others
 *	clv		by the model that ecauto.fit_clv() had kept last by the instant,
 *			from the customer's orders as of then
 *
 * Columns of these rows are called "score.value" and so on in queries, so that
 * what is made of a row as jsonb has the names that a condition uses.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "customer/customer.h"
#include "scoring/scoring.h"

const char *const ec_scoring_row_names[EC_SCORING_ROWS] = {"score", "rfm", "clv"};

/* the arguments of the functions that predict */
#define MODEL \
	"ec_clv.model, ec_clv.params, (customer.orders_count - 1)::float8,\n" \
	"    extract(epoch FROM customer.last_order_at - customer.first_order_at)::float8 / 86400,\n" \
	"    extract(epoch FROM @ - customer.first_order_at)::float8 / 86400"
#define EXPECTED_ORDERS "ecauto.clv_expected_orders(" MODEL ", " EC_CLV_DAYS ")"
#define ORDER_VALUE \
	"CASE WHEN ec_clv.value_params IS NULL THEN ec_clv.mean_value\n" \
	"    ELSE ecauto.gamma_gamma_value(ec_clv.value_params, customer.orders_count::float8,\n" \
	"      greatest(coalesce(customer.average_order_value, 0), 0)::float8) END"
/* what the state keeps, or the ledger if that is of a later time */
#define EITHER(column) "CASE WHEN ec_score.at > @ THEN ec_then." column " ELSE ec_score." column " END"

const EcScoringColumn ec_scoring_columns[] = {
	{EC_SCORING_SCORE, "value", "score.value", FLOAT8OID, "coalesce(" EITHER("value") ", 0)"},
	/* for ecauto.score_turn(): what points of each half-life come to */
	{EC_SCORING_SCORE, NULL, "score.ec_worth", FLOAT8ARRAYOID, EITHER("worth")},
	{EC_SCORING_SCORE, NULL, "score.ec_half_lives", FLOAT8ARRAYOID, EITHER("half_lives")},
	{EC_SCORING_RFM, "r", "rfm.r", INT4OID, "ec_rfm.r"},
	{EC_SCORING_RFM, "f", "rfm.f", INT4OID, "ec_rfm.f"},
	{EC_SCORING_RFM, "m", "rfm.m", INT4OID, "ec_rfm.m"},
	{EC_SCORING_RFM, "group", "rfm.group", TEXTOID, "ec_rfm.name"},
	{EC_SCORING_CLV, "p_alive", "clv.p_alive", FLOAT8OID, "ecauto.clv_p_alive(" MODEL ")"},
	{EC_SCORING_CLV, "expected_orders", "clv.expected_orders", FLOAT8OID, EXPECTED_ORDERS},
	{EC_SCORING_CLV, "expected_value", "clv.expected_value", FLOAT8OID, EXPECTED_ORDERS " * " ORDER_VALUE},
};
const int	ec_scoring_ncolumns = lengthof(ec_scoring_columns);

/* "\1": a condition that leaves only the keys asked about, or nothing */
static const char *const joins[EC_SCORING_ROWS] = {
	"LEFT JOIN (SELECT v.customer, max(v.at) AS at, sum(v.worth) AS value, array_agg(v.worth) AS worth,\n"
	"    array_agg(v.half_life) AS half_lives\n"
	"  FROM (SELECT v.customer, v.at, v.half_life, " EC_SCORE_WORTH("v.value", "v.at", "greatest(v.at, @)", "v.half_life") " AS worth\n"
	"    FROM ecauto_data.score_value v WHERE true\1) v GROUP BY v.customer) ec_score ON ec_score.customer = customer.key\n"
	"LEFT JOIN LATERAL (SELECT sum(p.worth) AS value, array_agg(p.worth) AS worth, array_agg(p.half_life) AS half_lives\n"
	"  FROM (SELECT p.half_life, sum(" EC_SCORE_WORTH("p.points", "p.at", "@", "p.half_life") ") AS worth\n"
	"    FROM ecauto_data.score_point p WHERE ec_score.at > @ AND p.customer = customer.key AND p.recorded_at <= @\n"
	"    GROUP BY p.half_life) p) ec_then ON true\n",
	"LEFT JOIN (SELECT v.* FROM ecauto_data.rfm_score v WHERE v.valid_from <= @ AND v.valid_until > @\1) ec_rfm\n"
	"  ON ec_rfm.customer = customer.key\n",
	"LEFT JOIN (SELECT m.* FROM ecauto_data.clv_model m WHERE m.fitted_at <= @\n"
	"    ORDER BY m.fitted_at DESC, m.id DESC LIMIT 1) ec_clv\n"
	"  ON customer.orders_count > 0 AND customer.first_order_at <= @\n"
};

/* A row of a condition's scope, in the current context. */
EcExprRow *
ec_scoring_scope_row(EcScoringRow row)
{
	EcExprRow  *result = palloc0(sizeof(EcExprRow));

	result->name = ec_scoring_row_names[row];
	result->columns = palloc0(sizeof(EcExprColumn) * ec_scoring_ncolumns);
	for (int i = 0; i < ec_scoring_ncolumns; i++)
		if (ec_scoring_columns[i].row == row && ec_scoring_columns[i].name != NULL)
		{
			EcExprColumn *column = &result->columns[result->ncolumns++];

			column->name = ec_scoring_columns[i].name;
			column->type = ec_scoring_columns[i].type;
			column->typmod = -1;
		}
	return result;
}

/* Is that the name of a row of ours, and of which? */
bool
ec_scoring_row_find(const char *name, EcScoringRow *row)
{
	for (int i = 0; i < EC_SCORING_ROWS; i++)
		if (strcmp(name, ec_scoring_row_names[i]) == 0)
		{
			*row = i;
			return true;
		}
	return false;
}

/*
 * ", sql AS name" for the columns of some rows (indexed by EcScoringRow), over
 * ec_scoring_joins_sql() and a row "customer" that has the columns that
 * ec_scoring_customer_columns() marks.
 */
char *
ec_scoring_columns_sql(const bool *rows, const char *as_of)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < ec_scoring_ncolumns; i++)
		if (rows[ec_scoring_columns[i].row])
			appendStringInfo(&sql, ",\n  %s AS %s", ec_customer_sql(ec_scoring_columns[i].sql, as_of, ""),
							 quote_identifier(ec_scoring_columns[i].full_name));
	return sql.data;
}

/*
 * The joins for it, to be put after FROM (...) AS customer: each gives at most
 * one row.  keys is SQL of a text[], or NULL: all customers.  To be run as the
 * owner of the state.
 */
char *
ec_scoring_joins_sql(const bool *rows, const char *keys, const char *as_of)
{
	/* the keys once more, so that few are found by index */
	const char *only = keys != NULL ? psprintf(" AND v.customer = ANY (%s)", keys) : "";
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < EC_SCORING_ROWS; i++)
		if (rows[i])
			appendStringInfoString(&sql, ec_customer_sql(joins[i], as_of, only));
	return sql.data;
}

/* Mark the columns of row "customer" (as ec_customer_columns) that these rows are computed from. */
void
ec_scoring_customer_columns(const bool *rows, bool *used)
{
	static const char *const wanted[] = {"orders_count", "first_order_at", "last_order_at", "average_order_value"};

	if (!rows[EC_SCORING_CLV])
		return;
	for (int i = 0; i < ec_customer_ncolumns; i++)
		for (int j = 0; j < lengthof(wanted); j++)
			if (strcmp(ec_customer_columns[i].name, wanted[j]) == 0)
				used[i] = true;
}

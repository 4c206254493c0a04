/*-------------------------------------------------------------------------
 *
 * pricing_reprice_condition.c
 *		For which prices conditions of rules hold: those that a run does not
 *		evaluate by itself (pricing_reprice_test.c).
 *
 * The conditions of one definer go into one statement, which has a column for
 * each and runs as him, over the shop's rows that the roles' own definers may
 * read.  The rows are given to it as relations that exist for the statement
 * only, so he needs no rights on the shop's tables.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/tuplestore.h"

#include "pricing/pricing.h"
#include "pricing/pricing_reprice.h"
#include "shop/shop.h"

typedef struct Rows
{
	Tuplestorestate *store;		/* NULL: not read */
	TupleDesc	desc;
	int64		nrows;
} Rows;

typedef struct Conditions
{
	EcReprice  *run;
	Rows		rows[EC_PRICE_SCOPE_ROWS];
	int			n;				/* rules of one definer */
	int		   *rules;			/* their places in run->rules */
	int		   *set_of;			/* by number of a pair: set of rules */
	int			size;
} Conditions;

static const char *
column_sql(const EcExprRow *row, const EcExprColumn *column, void *arg)
{
	return psprintf("ec_%s.%s", row->name, quote_identifier(column->name));
}

static void
rows_register(const Conditions *conditions)
{
	const EcExprScope *scope = ec_price_scope();

	for (int i = 0; i < EC_PRICE_SCOPE_ROWS; i++)
	{
		EphemeralNamedRelation enr;

		if (conditions->rows[i].store == NULL)
			continue;
		enr = palloc0(sizeof(EphemeralNamedRelationData));
		enr->md.name = psprintf("ec_%s", scope->rows[i].name);
		enr->md.reliddesc = InvalidOid;
		enr->md.tupdesc = conditions->rows[i].desc;
		enr->md.enrtype = ENR_NAMED_TUPLESTORE;
		enr->md.enrtuples = conditions->rows[i].nrows;
		enr->reldata = conditions->rows[i].store;
		if (SPI_register_relation(enr) != SPI_OK_REL_REGISTER)
			elog(ERROR, "could not register relation \"%s\"", enr->md.name);
	}
}

static void
rows_read(Conditions *conditions, int row, ArrayType *keys, const char *by)
{
	EcBinding  *binding;

	if (conditions->rows[row].store != NULL)
		return;
	binding = ec_binding_get(ec_price_scope()->rows[row].name);
	if (binding != NULL)
		conditions->rows[row].store = ec_binding_fetch(binding, by, keys, 0, &conditions->rows[row].desc,
													   &conditions->rows[row].nrows);
	else
	{
		/* a shop that does not tell of it */
		conditions->rows[row].desc = ec_role_tupdesc(ec_role_get(ec_price_scope()->rows[row].name));
		conditions->rows[row].store = tuplestore_begin_heap(false, false, work_mem);
	}
}

/* Keep what a row of the statement says: key, currency, a boolean for each rule. */
static void
result_keep(Conditions *conditions, HeapTuple tuple, TupleDesc desc)
{
	EcReprice  *run = conditions->run;
	bool		isnull;
	Datum		sku = SPI_getbinval(tuple, desc, 1, &isnull);
	Datum		currency;
	uint64	   *bits = NULL;
	int			pair = -1;

	if (isnull)
		return;
	currency = SPI_getbinval(tuple, desc, 2, &isnull);
	if (isnull)
		return;
	for (int i = 0; i < conditions->n; i++)
	{
		bool		holds = DatumGetBool(SPI_getbinval(tuple, desc, i + 3, &isnull));

		if (isnull || !holds)
			continue;
		if (bits == NULL)
		{
			bits = palloc(run->words * sizeof(uint64));
			pair = ec_pair_put(run->conditions, sku, currency);
			if (pair >= conditions->size)
			{
				int			size = Max(conditions->size * 2, pair + 1024);

				run->condition_set = run->condition_set == NULL ? palloc(size * sizeof(int))
					: repalloc_huge(run->condition_set, size * sizeof(int));
				for (int j = conditions->size; j < size; j++)
					run->condition_set[j] = -1;
				conditions->size = size;
			}
			memcpy(bits, run->condition_set[pair] < 0 ? (const char *) run->any_condition
				   : ec_reprice_set_bits(run, run->condition_set[pair]),
				   run->words * sizeof(uint64));
		}
		bits[conditions->rules[i] / 64] |= UINT64CONST(1) << (conditions->rules[i] % 64);
	}
	if (bits != NULL)
	{
		run->condition_set[pair] = ec_reprice_set(run, bits);
		pfree(bits);
	}
}

/* The role that conditions are to run as; errors: there is none, or the owner of the state may not become it. */
Oid
ec_reprice_definer(const char *definer)
{
	Oid			user = get_role_oid(definer, false);

	if (!ec_may_become(ec_state_owner(), user))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to run conditions of price rules as role \"%s\"", definer),
				 errdetail("Role \"%s\", the owner of schema \"%s\", could not SET ROLE to it.",
						   GetUserNameFromId(ec_state_owner(), false), EC_STATE_SCHEMA)));
	return user;
}

/* The conditions of one definer. */
static void
definer_run(Conditions *conditions, const char *definer, ArrayType *keys)
{
	EcReprice  *run = conditions->run;
	const EcExprScope *scope = ec_price_scope();
	Oid			user = ec_reprice_definer(definer);
	bool		uses[EC_PRICE_SCOPE_ROWS] = {false};
	StringInfoData sql;
	ArrayType  *products = NULL;
	Portal		portal;
	SPIPlanPtr	plan;
	EcAs		as;
	int			rc;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ec_price.key, ec_price.currency");
	ec_expr_begin(&as, user);
	for (int i = 0; i < conditions->n; i++)
	{
		EcExpr	   *expr = ec_expr_check(run->rules[conditions->rules[i]]->condition, scope);

		for (int p = 0; p < expr->nparams; p++)
			uses[expr->params[p].row - scope->rows] = true;
		appendStringInfo(&sql, ",\n  (%s)", ec_expr_compile(expr, column_sql, NULL, NULL));
	}
	ec_expr_end(&as);

	appendStringInfoString(&sql, "\nFROM ec_price");
	if (uses[EC_PRICE_SCOPE_SKU] || uses[EC_PRICE_SCOPE_PRODUCT])
		appendStringInfoString(&sql, "\n  LEFT JOIN ec_sku ON ec_sku.key = ec_price.key");
	if (uses[EC_PRICE_SCOPE_PRODUCT])
		appendStringInfoString(&sql, "\n  LEFT JOIN ec_product ON ec_product.key = ec_sku.product_key");
	if (uses[EC_PRICE_SCOPE_COST])
		appendStringInfoString(&sql, "\n  LEFT JOIN (SELECT DISTINCT ON (c.key) c.* FROM ec_cost c ORDER BY c.key) ec_cost"
							   " ON ec_cost.key = ec_price.key");
	appendStringInfoString(&sql, "\nWHERE ec_price.list_key IS NULL");

	rows_read(conditions, EC_PRICE_SCOPE_PRICE, keys, "key");
	if (uses[EC_PRICE_SCOPE_SKU] || uses[EC_PRICE_SCOPE_PRODUCT])
		rows_read(conditions, EC_PRICE_SCOPE_SKU, keys, "key");
	if (uses[EC_PRICE_SCOPE_PRODUCT])
		rows_read(conditions, EC_PRICE_SCOPE_PRODUCT, products, "key");
	if (uses[EC_PRICE_SCOPE_COST])
		rows_read(conditions, EC_PRICE_SCOPE_COST, keys, "key");

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	rows_register(conditions);
	ec_expr_begin(&as, user);
	plan = SPI_prepare(sql.data, 0, NULL);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare returned %s for \"%s\"", SPI_result_code_string(SPI_result), sql.data);
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	do
	{
		SPI_cursor_fetch(portal, true, 10000);
		rc = (int) SPI_processed;
		for (int i = 0; i < rc; i++)
		{
			MemoryContext spi = MemoryContextSwitchTo(run->context);

			result_keep(conditions, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
			MemoryContextSwitchTo(spi);
		}
		SPI_freetuptable(SPI_tuptable);
	} while (rc > 0);
	SPI_cursor_close(portal);
	ec_expr_end(&as);
	SPI_finish();
}

/*
 * Evaluate the conditions of the rules of a run that it does not evaluate by
 * itself.  Errors: those of the conditions: a price must not be made without a
 * rule that might apply.
 */
void
ec_reprice_conditions(EcReprice *run, ArrayType *keys)
{
	Conditions	conditions = {run};
	bool	   *done = palloc0(run->nrules + 1);

	conditions.rules = palloc((run->nrules + 1) * sizeof(int));
	for (int i = 0; i < run->nrules; i++)
	{
		if (run->rules[i]->condition == NULL || run->rules[i]->tested || done[i])
			continue;
		if (run->conditions == NULL)
			run->conditions = ec_key_map_create(1024);
		conditions.n = 0;
		for (int j = i; j < run->nrules; j++)
		{
			if (run->rules[j]->condition != NULL && !run->rules[j]->tested &&
				strcmp(run->rules[j]->definer, run->rules[i]->definer) == 0)
			{
				conditions.rules[conditions.n++] = j;
				done[j] = true;
			}
		}
		definer_run(&conditions, run->rules[i]->definer, keys);
	}
	for (int i = 0; i < EC_PRICE_SCOPE_ROWS; i++)
		if (conditions.rows[i].store != NULL)
			tuplestore_end(conditions.rows[i].store);
}

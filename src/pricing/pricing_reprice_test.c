/*-------------------------------------------------------------------------
 *
 * pricing_reprice_test.c
 *		Conditions that are evaluated as prices stream by.
 *
 * A self-contained condition (expr.h) computes with the server's own harmless
 * functions, so it does not matter who runs it, and it needs no statement: it
 * is compiled once for a run and evaluated for each price, with the columns
 * that it uses as parameters.  Those of skus, products and costs are kept by
 * number when the run reads them; those of prices come with the price.
 *
 * What it gives may still depend on settings, such as the time zone, and to
 * take on and leave the settings of conditions takes as long as evaluating
 * some dozens of them.  So this is done for many prices at a time: see
 * pricing_reprice.c.
 *
 * Conditions with subqueries, functions of the shop's, keys or currencies go
 * another way: pricing_reprice_condition.c.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "pricing/pricing.h"
#include "pricing/pricing_reprice.h"
#include "shop/shop.h"

/* A column that conditions use. */
typedef struct TestColumn
{
	EcPriceScopeRow row;
	const char *name;
	bool		typbyval;
	int16		typlen;
	int			attribute;		/* of prices: its place in what is scanned */
	int			size;			/* of the others: values by number of a sku or product */
	Datum	   *values;
	bool	   *nulls;
} TestColumn;

typedef struct Test
{
	int			rule;			/* its place in run->rules */
	ExprState  *state;
	ParamListInfo params;
	TestColumn **columns;		/* of each parameter but the first, which is the time */
} Test;

struct EcTests
{
	EState	   *estate;
	MemoryContext values;		/* of columns */
	List	   *columns;		/* of TestColumn */
	int			n;
	Test	   *tests;
	int			seen_size[EC_PRICE_SCOPE_ROWS];
	bool	   *seen[EC_PRICE_SCOPE_ROWS];	/* by number: is the row kept? */
};

/* Can a run evaluate this condition by itself? */
static bool
is_plain(const EcExpr *expr)
{
	if (!expr->self_contained || expr->has_subquery)
		return false;
	for (int i = 0; i < expr->nparams; i++)
	{
		const EcRole *role = ec_role_get(expr->params[i].row->name);
		const EcColumn *column = ec_role_column(role, expr->params[i].column->name);

		/* a run reads raw columns, and a parameter would not sort as a key does */
		if (column == NULL || column->form != NULL || column->is_key)
			return false;
	}
	return true;
}

static TestColumn *
column_get(EcTests *tests, const EcExprParam *param)
{
	EcPriceScopeRow row = (EcPriceScopeRow) (param->row - ec_price_scope()->rows);
	TestColumn *column;
	ListCell   *lc;

	foreach(lc, tests->columns)
	{
		column = lfirst(lc);
		if (column->row == row && strcmp(column->name, param->column->name) == 0)
			return column;
	}
	column = palloc0(sizeof(TestColumn));
	column->row = row;
	column->name = param->column->name;
	get_typlenbyval(param->column->type, &column->typlen, &column->typbyval);
	tests->columns = lappend(tests->columns, column);
	return column;
}

static void
test_add(EcReprice *run, EcTests *tests, int rule, const EcExpr *expr)
{
	Test	   *test = &tests->tests[tests->n++];
	EcAs		as;

	test->rule = rule;
	test->params = makeParamList(expr->nparams + 1);
	test->columns = palloc((expr->nparams + 1) * sizeof(TestColumn *));
	test->params->params[0].value = TimestampTzGetDatum(run->at);
	test->params->params[0].isnull = false;
	test->params->params[0].ptype = TIMESTAMPTZOID;
	for (int i = 0; i < expr->nparams; i++)
	{
		test->params->params[i + 1].ptype = expr->params[i].column->type;
		test->columns[i] = column_get(tests, &expr->params[i]);
	}
	ec_expr_begin_as_owner(&as);
	test->state = ExecPrepareExpr((Expr *) expr->tree, tests->estate);
	ec_expr_end(&as);
}

/*
 * Check the conditions of the run's rules, and prepare those that the run can
 * evaluate as prices stream by; they get rule->tested.  In the run's context.
 */
void
ec_reprice_tests_begin(EcReprice *run)
{
	for (int i = 0; i < run->nrules; i++)
	{
		EcPriceRule *rule = run->rules[i];
		EcExpr	   *expr;
		EcAs		as;

		if (rule->condition == NULL)
			continue;
		ec_expr_begin(&as, ec_reprice_definer(rule->definer));
		expr = ec_expr_check(rule->condition, ec_price_scope());
		ec_expr_end(&as);
		rule->tested = is_plain(expr);
		if (!rule->tested)
			continue;
		if (run->tests == NULL)
		{
			run->tests = palloc0(sizeof(EcTests));
			run->tests->tests = palloc0(run->nrules * sizeof(Test));
			run->tests->estate = CreateExecutorState();
			run->tests->values = AllocSetContextCreate(run->context, "ecauto reprice condition values",
													   ALLOCSET_DEFAULT_SIZES);
		}
		test_add(run, run->tests, i, expr);
	}
}

/* Do the prepared conditions use columns of this row? */
bool
ec_reprice_tests_use(const EcTests *tests, EcPriceScopeRow row)
{
	ListCell   *lc;

	if (tests != NULL)
		foreach(lc, tests->columns)
			if (((TestColumn *) lfirst(lc))->row == row)
				return true;
	return false;
}

/*
 * The columns of a row that a run is to scan: its own, then those that the
 * prepared conditions use.  *n is the number of its own, then of all.
 */
const char **
ec_reprice_tests_columns(EcTests *tests, EcPriceScopeRow row, const char *const *own, int *n)
{
	const char **names = palloc((*n + (tests == NULL ? 0 : list_length(tests->columns))) * sizeof(char *));
	ListCell   *lc;

	memcpy(names, own, *n * sizeof(char *));
	if (tests != NULL)
		foreach(lc, tests->columns)
		{
			TestColumn *column = lfirst(lc);

			if (column->row != row)
				continue;
			column->attribute = *n;
			names[(*n)++] = column->name;
		}
	return names;
}

/*
 * Keep the columns of a row of a sku or a product with this number.  Of several
 * rows the first counts.
 */
void
ec_reprice_tests_keep(EcTests *tests, EcPriceScopeRow row, int number, TupleTableSlot *slot)
{
	MemoryContext old;
	ListCell   *lc;

	if (tests == NULL)
		return;
	if (number < tests->seen_size[row] && tests->seen[row][number])
		return;
	old = MemoryContextSwitchTo(tests->values);
	if (number >= tests->seen_size[row])
	{
		int			size = Max(tests->seen_size[row] * 2, number + 1024);

		tests->seen[row] = tests->seen[row] == NULL ? palloc(size) : repalloc_huge(tests->seen[row], size);
		memset(tests->seen[row] + tests->seen_size[row], false, size - tests->seen_size[row]);
		tests->seen_size[row] = size;
	}
	tests->seen[row][number] = true;
	foreach(lc, tests->columns)
	{
		TestColumn *column = lfirst(lc);
		Datum		value;

		if (column->row != row)
			continue;
		if (number >= column->size)
		{
			int			size = Max(column->size * 2, number + 1024);

			column->values = column->values == NULL ? MemoryContextAllocHuge(tests->values, (Size) size * sizeof(Datum))
				: repalloc_huge(column->values, (Size) size * sizeof(Datum));
			column->nulls = column->nulls == NULL ? palloc(size) : repalloc_huge(column->nulls, size);
			memset(column->nulls + column->size, true, size - column->size);
			column->size = size;
		}
		value = slot->tts_values[column->attribute];
		column->nulls[number] = slot->tts_isnull[column->attribute];
		if (column->nulls[number])
			continue;
		/* what lies in a table of its own is read once, not for each price */
		if (column->typlen == -1)
		{
			Datum		plain = PointerGetDatum(PG_DETOAST_DATUM_PACKED(value));

			column->values[number] = plain != value ? plain : datumCopy(value, false, -1);
		}
		else
			column->values[number] = datumCopy(value, column->typbyval, column->typlen);
	}
	MemoryContextSwitchTo(old);
}

/*
 * Evaluate the prepared conditions for a price: add the rules whose conditions
 * hold to a set.  sku, product: numbers; product may be -1.  price: the row,
 * scanned with ec_reprice_tests_columns().  To be called between
 * ec_expr_begin_as_owner() and ec_expr_end().  Errors: those of conditions.
 */
void
ec_reprice_tests_run(EcTests *tests, int sku, int product, TupleTableSlot *price, uint64 *bits)
{
	ExprContext *econtext = GetPerTupleExprContext(tests->estate);

	for (int t = 0; t < tests->n; t++)
	{
		Test	   *test = &tests->tests[t];
		bool		isnull;
		bool		holds;

		for (int i = 1; i < test->params->numParams; i++)
		{
			const TestColumn *column = test->columns[i - 1];
			ParamExternData *param = &test->params->params[i];

			if (column->row == EC_PRICE_SCOPE_PRICE)
			{
				param->value = price->tts_values[column->attribute];
				param->isnull = price->tts_isnull[column->attribute];
			}
			else
			{
				int			number = column->row == EC_PRICE_SCOPE_PRODUCT ? product : sku;

				param->isnull = number < 0 || number >= column->size || column->nulls[number];
				param->value = param->isnull ? (Datum) 0 : column->values[number];
			}
		}
		econtext->ecxt_param_list_info = test->params;
		holds = DatumGetBool(ExecEvalExprSwitchContext(test->state, econtext, &isnull));
		if (!isnull && holds)
			bits[test->rule / 64] |= UINT64CONST(1) << (test->rule % 64);
	}
	ResetExprContext(econtext);
}

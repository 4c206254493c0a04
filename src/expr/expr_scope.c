/*-------------------------------------------------------------------------
 *
 * expr_scope.c
 *		The rows and columns that a condition may speak of.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#include "expr/expr.h"

/* names that differ by more edits than this are no suggestion */
#define NEAREST_MAX_EDITS 4

/* The row of that name, or NULL. */
EcExprRow *
ec_expr_scope_row(const EcExprScope *scope, const char *name)
{
	for (int i = 0; i < scope->nrows; i++)
		if (strcmp(scope->rows[i].name, name) == 0)
			return &scope->rows[i];
	return NULL;
}

/* The column of that name, or NULL. */
EcExprColumn *
ec_expr_row_column(const EcExprRow *row, const char *name)
{
	for (int i = 0; i < row->ncolumns; i++)
		if (strcmp(row->columns[i].name, name) == 0)
			return &row->columns[i];
	return NULL;
}

/*
 * The name that somebody who wrote wanted may have meant: the one that takes
 * the fewest edits, if these are few and fewer than half of its letters.
 */
const char *
ec_expr_nearest(const char *wanted, int n, const char *const *names)
{
	const char *nearest = NULL;
	int			fewest = NEAREST_MAX_EDITS + 1;
	int			length = strlen(wanted);

	/* longer ones are beyond what varstr_levenshtein() takes */
	if (length >= NAMEDATALEN)
		return NULL;
	for (int i = 0; i < n; i++)
	{
		int			edits;

		if (strlen(names[i]) >= NAMEDATALEN)
			continue;
		edits = varstr_levenshtein(wanted, length, names[i], strlen(names[i]), 1, 1, 1, true);
		if (edits < fewest && edits <= length / 2)
		{
			fewest = edits;
			nearest = names[i];
		}
	}
	return nearest;
}

static char *
jsonb_string(const JsonbValue *value)
{
	return pnstrdup(value->val.string.val, value->val.string.len);
}

pg_noreturn static void
scope_malformed(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("scope must be an object of objects that map columns to types"),
			 errdetail("%s", detail),
			 errhint("Such as: {\"customer\": {\"country\": \"text\", \"age\": \"integer\"}}")));
}

static void
column_from_json(EcExprColumn *column, const char *row, const JsonbValue *key, const JsonbValue *value)
{
	column->name = jsonb_string(key);
	if (value->type != jbvString)
		scope_malformed(psprintf("Column \"%s\" of row \"%s\" has no type.", column->name, row));
	/* 16: the last argument is a pointer */
	parseTypeString(jsonb_string(value), &column->type, &column->typmod, 0);
	if (get_typtype(column->type) == TYPTYPE_PSEUDO)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s.%s\" of a scope cannot have pseudo-type %s", row, column->name,
						format_type_be(column->type))));
}

static void
row_from_json(EcExprRow *row, JsonbContainer *json)
{
	JsonbIterator *it = JsonbIteratorInit(json);
	JsonbValue	key;
	JsonbValue	value;
	JsonbIteratorToken token = JsonbIteratorNext(&it, &key, true);

	row->columns = palloc0(sizeof(EcExprColumn) * (key.val.object.nPairs + 1));
	while ((token = JsonbIteratorNext(&it, &key, true)) == WJB_KEY)
	{
		(void) JsonbIteratorNext(&it, &value, true);
		column_from_json(&row->columns[row->ncolumns++], row->name, &key, &value);
	}
}

/*
 * A scope from {"row": {"column": "type", ...}, ...}, in the current context.
 * Types without schema are those of pg_catalog if ec_expr_begin() was called.
 */
EcExprScope *
ec_expr_scope_from_jsonb(Jsonb *jsonb)
{
	EcExprScope *scope = palloc0(sizeof(EcExprScope));
	JsonbIterator *it;
	JsonbValue	key;
	JsonbValue	value;
	JsonbIteratorToken token;

	if (!JB_ROOT_IS_OBJECT(jsonb))
		scope_malformed("It is not an object.");

	it = JsonbIteratorInit(&jsonb->root);
	(void) JsonbIteratorNext(&it, &key, true);
	scope->rows = palloc0(sizeof(EcExprRow) * (key.val.object.nPairs + 1));
	while ((token = JsonbIteratorNext(&it, &key, true)) == WJB_KEY)
	{
		EcExprRow  *row = &scope->rows[scope->nrows++];

		row->name = jsonb_string(&key);
		(void) JsonbIteratorNext(&it, &value, true);
		if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
			scope_malformed(psprintf("Row \"%s\" is not an object.", row->name));
		row_from_json(row, value.val.binary.data);
	}
	return scope;
}

/*-------------------------------------------------------------------------
 *
 * shop_scope.c
 *		A role's rows in the scope of a condition.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "shop/shop.h"

/*
 * Describe a role's canonical columns as a row of a condition's scope, which
 * conditions call name (usually the role's own).  Types are those that
 * ec_binding_fetch() returns; names are the role's constants, and the array
 * is allocated in the current context.
 */
void
ec_role_scope_row(const EcRole *role, const char *name, EcExprRow *row)
{
	row->name = name;
	row->ncolumns = role->ncolumns;
	row->columns = palloc0(role->ncolumns * sizeof(EcExprColumn));
	for (int i = 0; i < role->ncolumns; i++)
	{
		row->columns[i].name = role->columns[i].name;
		row->columns[i].type = role->columns[i].type;
		row->columns[i].typmod = -1;
	}
}

/*-------------------------------------------------------------------------
 *
 * stock_rows.c
 *		Rows of a role, live, for statements in SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "shop/shop.h"

PG_FUNCTION_INFO_V1(ecauto_role_rows);

/* For each column of what is asked, its place in what the role has. */
static int *
columns_map(TupleDesc asked, TupleDesc has, const char *role)
{
	int		   *map = palloc(sizeof(int) * asked->natts);

	for (int i = 0; i < asked->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(asked, i);

		map[i] = -1;
		for (int k = 0; k < has->natts; k++)
		{
			Form_pg_attribute h = TupleDescAttr(has, k);

			if (namestrcmp(&h->attname, NameStr(a->attname)) == 0 && h->atttypid == a->atttypid)
				map[i] = k;
		}
		if (map[i] < 0)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("role \"%s\" has no column \"%s\" of type %s", role, NameStr(a->attname),
							format_type_be(a->atttypid))));
	}
	return map;
}

/*
 * ecauto.role_rows(role text, keys text[], by text) returns setof record
 *
 * The caller's column list says which columns of the role are wanted.  A role
 * that is not bound has no rows.
 */
Datum
ecauto_role_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	const EcRole *role;
	EcBinding  *binding;
	Tuplestorestate *store;
	TupleTableSlot *slot;
	TupleDesc	desc;
	Datum	   *values;
	bool	   *nulls;
	int		   *map;
	int64		nrows;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	ec_require_reader("read roles");
	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("role and column must not be NULL")));
	role = ec_role_get(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	binding = ec_binding_get(role->name);
	if (binding == NULL)
		return (Datum) 0;
	store = ec_binding_fetch(binding, text_to_cstring(PG_GETARG_TEXT_PP(2)),
							 PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1), 0, &desc, &nrows);
	map = columns_map(rsinfo->setDesc, desc, role->name);
	values = palloc(sizeof(Datum) * rsinfo->setDesc->natts);
	nulls = palloc(sizeof(bool) * rsinfo->setDesc->natts);
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(store, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		for (int i = 0; i < rsinfo->setDesc->natts; i++)
		{
			values[i] = slot->tts_values[map[i]];
			nulls[i] = slot->tts_isnull[map[i]];
		}
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(store);
	return (Datum) 0;
}

/*-------------------------------------------------------------------------
 *
 * outbox_row.c
 *		Writing rows of the outbox's own tables without SQL.
 *
 * Parser, planner and the set-up of the executor would cost more than the
 * rows themselves: a message is written once, leased once and settled once.
 * What changes rows here is what the server's logical replication worker
 * changes them with (executor/execReplication.c): it fires row triggers, checks
 * constraints, computes generated columns and maintains every index, so a
 * table to which a DBA has added such things still behaves as he expects.
 *
 * An insert into a table that nobody has added anything to goes a shorter
 * way, since for a single row even making constraints ready to be checked
 * costs more than the row; whoever calls has checked what they demand.
 * Triggers of ours do not fire: what they do for rows that others insert, our
 * code has done before it comes here.
 *
 * Rows are changed as the current user; statement triggers and rules do not
 * fire, as in logical replication.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "core/core.h"
#include "outbox/outbox_row.h"

/*
 * Does the trigger call a function of ours?  Those made with the state are in
 * its schema.
 */
static bool
trigger_is_ours(const Trigger *trigger)
{
	Oid			schema = get_func_namespace(trigger->tgfoid);

	return schema == get_namespace_oid(EC_STATE_SCHEMA, true) || schema == get_namespace_oid(EC_CODE_SCHEMA, true);
}

/* Is there a row trigger on insert that is not one of ours? */
static bool
has_foreign_insert_trigger(Relation relation)
{
	TriggerDesc *triggers = relation->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
		if (TRIGGER_FOR_INSERT(triggers->triggers[i].tgtype) && !trigger_is_ours(&triggers->triggers[i]))
			return true;
	return false;
}

/* Triggers of ours do not fire for what we write, see the opening comment. */
static void
disable_own_triggers(ResultRelInfo *result)
{
	TriggerDesc *triggers = result->ri_TrigDesc;	/* a copy */

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
		if (trigger_is_ours(&triggers->triggers[i]))
			triggers->triggers[i].tgenabled = TRIGGER_DISABLED;
}

/* The constraints that state_001.sql makes, and no others? */
static bool
has_foreign_constraint(Relation relation)
{
	TupleConstr *constr = RelationGetDescr(relation)->constr;

	if (constr == NULL)
		return false;
	if (constr->has_generated_stored || constr->num_check > 1)
		return true;
	return constr->num_check == 1 && strcmp(constr->check[0].ccname, "outbox_priority_check") != 0;
}

/*
 * May rows be inserted into a table of ours, of which so many columns are
 * known to us, without triggers and constraints?
 */
bool
ec_rows_plain(Oid relation, int columns)
{
	Relation	rel = table_open(relation, RowExclusiveLock);
	bool		plain = RelationGetDescr(rel)->natts == columns && !rel->rd_rel->relispartition &&
		!rel->rd_rel->relrowsecurity && !has_foreign_constraint(rel) && !has_foreign_insert_trigger(rel);

	table_close(rel, NoLock);
	return plain;
}

/*
 * Open a table of ours for changing rows; columns: how many of it are known
 * to us.  plain: only for inserting, and ec_rows_plain() said that one may.
 * All of it is in a child of the current context, until ec_rows_close().
 * Tables are closed in the reverse of the order in which they were opened.
 */
void
ec_rows_open(EcRows *rows, Oid relation, int columns, bool plain)
{
	Relation	rel = table_open(relation, RowExclusiveLock);
	MemoryContext caller = CurrentMemoryContext;

	if (rel->rd_rel->relkind != RELKIND_RELATION || RelationGetDescr(rel)->natts < columns)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("relation \"%s\" is not the table that ecauto.setup() made", RelationGetRelationName(rel)),
				 errdetail("It must be an ordinary table with at least %d columns.", columns)));
	if (rel->rd_rel->relrowsecurity && check_enable_rls(relation, InvalidOid, false) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot write to relation \"%s\" while row-level security holds for its owner",
						RelationGetRelationName(rel)),
				 errhint("ALTER TABLE ... NO FORCE ROW LEVEL SECURITY.")));

	rows->relation = rel;
	rows->columns = columns;
	rows->plain = plain;
	rows->estate = CreateExecutorState();
	MemoryContextSwitchTo(rows->estate->es_query_cxt);
	rows->result = makeNode(ResultRelInfo);
	if (rows->plain)
		InitResultRelInfo(rows->result, rel, 0, NULL, 0);
	else
	{
		ec_init_range_table(rows->estate, rel);
		InitResultRelInfo(rows->result, rel, 1, NULL, 0);
		disable_own_triggers(rows->result);
		rows->estate->es_opened_result_relations = lappend(NIL, rows->result);
		rows->estate->es_snapshot = GetActiveSnapshot();
		rows->estate->es_output_cid = GetCurrentCommandId(true);
		ec_eval_plan_qual_init(&rows->epq, rows->estate);
		AfterTriggerBeginQuery();
	}
	ExecOpenIndices(rows->result, false);
	rows->slot = table_slot_create(rel, &rows->estate->es_tupleTable);
	MemoryContextSwitchTo(caller);
}

/*
 * What was written becomes visible to the rest of the transaction.
 */
void
ec_rows_close(EcRows *rows)
{
	if (!rows->plain)
	{
		AfterTriggerEndQuery(rows->estate);
		EvalPlanQualEnd(&rows->epq);
		ExecCloseResultRelations(rows->estate);
	}
	else
		ExecCloseIndices(rows->result);
	ExecResetTupleTable(rows->estate->es_tupleTable, false);
	FreeExecutorState(rows->estate);
	table_close(rows->relation, NoLock);
	CommandCounterIncrement();
}

/* What a column that is not ours gets: its default. */
static void
set_default(EcRows *rows, int column)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rows->relation), column);
	Node	   *expression;

	if (attribute->attisdropped || attribute->attgenerated ||
		(expression = build_column_default(rows->relation, column + 1)) == NULL)
		return;
	rows->slot->tts_values[column] =
		ExecEvalExprSwitchContext(ExecPrepareExpr((Expr *) expression, rows->estate),
								  GetPerTupleExprContext(rows->estate),
								  &rows->slot->tts_isnull[column]);
}

/*
 * Begin a row to be inserted: our columns are NULL, others have their
 * defaults.
 */
void
ec_rows_begin(EcRows *rows)
{
	int			natts = RelationGetDescr(rows->relation)->natts;

	ExecClearTuple(rows->slot);
	ResetPerTupleExprContext(rows->estate);
	memset(rows->slot->tts_isnull, true, sizeof(bool) * natts);
	for (int i = rows->columns; i < natts; i++)
		set_default(rows, i);
}

/*
 * Begin the new version of a row.  The old one stays in its slot until the
 * new one is written.
 */
void
ec_rows_begin_from(EcRows *rows, TupleTableSlot *old)
{
	int			natts = RelationGetDescr(rows->relation)->natts;

	slot_getallattrs(old);
	ExecClearTuple(rows->slot);
	ResetPerTupleExprContext(rows->estate);
	memcpy(rows->slot->tts_values, old->tts_values, sizeof(Datum) * natts);
	memcpy(rows->slot->tts_isnull, old->tts_isnull, sizeof(bool) * natts);
}

void
ec_rows_set_text(EcRows *rows, int column, const char *value)
{
	if (value != NULL)
		ec_rows_set(rows, column, CStringGetTextDatum(value));
}

/*
 * A partial index "WHERE column IS NOT NULL" has no place for a row whose
 * column is NULL.  That is found here, because the executor would make the
 * condition ready to be evaluated, for each single row anew.
 */
static void
leave_out_indexes(EcRows *rows)
{
	for (int i = 0; i < rows->result->ri_NumIndices; i++)
	{
		IndexInfo  *index = rows->result->ri_IndexRelationInfo[i];
		NullTest   *test;

		index->ii_ReadyForInserts = rows->result->ri_IndexRelationDescs[i]->rd_index->indisready;
		if (list_length(index->ii_Predicate) != 1 || !IsA(linitial(index->ii_Predicate), NullTest))
			continue;
		test = linitial(index->ii_Predicate);
		if (test->nulltesttype == IS_NOT_NULL && !test->argisrow && IsA(test->arg, Var) &&
			((Var *) test->arg)->varattno > 0 &&
			rows->slot->tts_isnull[((Var *) test->arg)->varattno - 1])
			index->ii_ReadyForInserts = false;
	}
}

/*
 * Insert the row begun by ec_rows_begin().
 */
void
ec_rows_insert(EcRows *rows)
{
	ExecStoreVirtualTuple(rows->slot);
	if (!rows->plain)
	{
		ExecSimpleRelationInsert(rows->result, rows->estate, rows->slot);
		return;
	}
	leave_out_indexes(rows);
	table_tuple_insert(rows->relation, rows->slot, GetCurrentCommandId(true), 0, NULL);
	ec_insert_index_tuples(rows->result, rows->slot, rows->estate);
}

/*
 * Replace old, which the caller has locked or which nobody else changes, by
 * the row begun by ec_rows_begin_from().
 */
void
ec_rows_update(EcRows *rows, TupleTableSlot *old)
{
	ExecStoreVirtualTuple(rows->slot);
	ExecSimpleRelationUpdate(rows->result, rows->estate, &rows->epq, old, rows->slot);
}

void
ec_rows_delete(EcRows *rows, TupleTableSlot *old)
{
	ResetPerTupleExprContext(rows->estate);
	ExecSimpleRelationDelete(rows->result, rows->estate, &rows->epq, old);
}

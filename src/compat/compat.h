/*-------------------------------------------------------------------------
 *
 * compat.h
 *		What differs between server versions, in the newest spelling.
 *
 * The only place that looks at PG_VERSION_NUM.  15 is the oldest server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_COMPAT_H
#define EC_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000
#error "ecauto needs PostgreSQL 15 or newer"
#endif

/* 16: VARDATA() and friends moved out of postgres.h */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 18: PG_MODULE_MAGIC_EXT tells name and version of a loaded library */
#if PG_VERSION_NUM >= 180000
#define EC_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "ecauto", .version = "0.1")
#else
#define EC_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* 18: what does not return is marked in front */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

#include "utils/datetime.h"

/* 16: DecodeDateTime() can tell which time zone name it did not know */
static inline int
ec_decode_datetime(char **field, int *ftype, int nf, int *dtype,
				   struct pg_tm *tm, fsec_t *fsec, int *tz)
{
#if PG_VERSION_NUM >= 160000
	DateTimeErrorExtra extra;

	return DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tz, &extra);
#else
	return DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tz);
#endif
}

/* 16: memory handed to guc.c as "extra" is allocated by its own allocator */
#if PG_VERSION_NUM >= 160000
#define ec_guc_malloc(size) guc_malloc(LOG, size)
#else
#define ec_guc_malloc(size) malloc(size)
#endif

/* 16: one function checks the privileges of every kind of object */
#include "catalog/pg_foreign_server.h"
#include "utils/acl.h"

static inline AclResult
ec_foreign_server_aclcheck(Oid server, Oid user, AclMode mode)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ForeignServerRelationId, server, user, mode);
#else
	return pg_foreign_server_aclcheck(server, user, mode);
#endif
}

#include "catalog/pg_proc.h"

static inline AclResult
ec_function_aclcheck(Oid function, Oid user, AclMode mode)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ProcedureRelationId, function, user, mode);
#else
	return pg_proc_aclcheck(function, user, mode);
#endif
}

/* 16: a role may be granted without the right to SET ROLE to it */
static inline bool
ec_may_become(Oid member, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return member_can_set_role(member, role);
#else
	return is_member_of_role(member, role);
#endif
}

/* 17: an extension's wait events have names */
#include "utils/wait_event.h"

static inline uint32
ec_wait_event(const char *name)
{
#if PG_VERSION_NUM >= 170000
	return WaitEventExtensionNew(name);
#else
	return PG_WAIT_EXTENSION;
#endif
}

/* 17: a set of wait events belongs to a resource owner, no longer to a context */
#include "storage/latch.h"
#include "utils/memutils.h"

static inline WaitEventSet *
ec_wait_event_set_create(int nevents)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(NULL, nevents);
#else
	return CreateWaitEventSet(TopMemoryContext, nevents);
#endif
}

#include "executor/executor.h"

/* 16: may leave out all but summarizing indexes */
static inline void
ec_insert_index_tuples(ResultRelInfo *result, TupleTableSlot *slot, EState *estate)
{
#if PG_VERSION_NUM >= 160000
	list_free(ExecInsertIndexTuples(result, slot, estate, false, false, NULL, NIL, false));
#else
	list_free(ExecInsertIndexTuples(result, slot, estate, false, false, NULL, NIL));
#endif
}

/* 16: privileges stand beside the range table; 18: so do the relations that remain after pruning */
#include "nodes/makefuncs.h"
#include "utils/rel.h"
#if PG_VERSION_NUM >= 160000
#include "parser/parse_relation.h"
#endif

static inline void
ec_init_range_table(EState *estate, Relation relation)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
#if PG_VERSION_NUM >= 160000
	List	   *permissions = NIL;
#endif

	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(relation);
	rte->relkind = relation->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
#if PG_VERSION_NUM >= 180000
	addRTEPermissionInfo(&permissions, rte);
	ExecInitRangeTable(estate, list_make1(rte), permissions, bms_make_singleton(1));
#elif PG_VERSION_NUM >= 160000
	addRTEPermissionInfo(&permissions, rte);
	ExecInitRangeTable(estate, list_make1(rte), permissions);
#else
	ExecInitRangeTable(estate, list_make1(rte));
#endif
}

/* 16: may name the relations that are to be locked */
static inline void
ec_eval_plan_qual_init(EPQState *epq, EState *estate)
{
#if PG_VERSION_NUM >= 160000
	EvalPlanQualInit(epq, estate, NULL, NIL, -1, NIL);
#else
	EvalPlanQualInit(epq, estate, NULL, NIL, -1);
#endif
}

/* 18: counts what it does for EXPLAIN */
#include "access/genam.h"

static inline IndexScanDesc
ec_index_beginscan(Relation heap, Relation index, Snapshot snapshot, int nkeys)
{
#if PG_VERSION_NUM >= 180000
	return index_beginscan(heap, index, snapshot, NULL, nkeys, 0);
#else
	return index_beginscan(heap, index, snapshot, nkeys, 0);
#endif
}

#endif							/* EC_COMPAT_H */

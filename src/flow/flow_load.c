/*-------------------------------------------------------------------------
 *
 * flow_load.c
 *		Flows as they are stored, parsed once a backend.
 *
 * A version is never changed, so what was parsed of it stays valid, unless
 * the transaction that made it is rolled back: the next version has its number
 * then, so what is read of an own uncommitted version is forgotten with it.
 * Only conditions that are not self-contained are checked anew when they are
 * used (flow_scope.c).  The table's OID is part of the key, since a state that was
 * dropped and set up again numbers its flows from 1.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "flow/flow.h"

/* above this many, all are forgotten before the next tick begins */
#define FLOWS_MAX 2000

typedef struct FlowKey
{
	Oid			table;
	int32		id;
	int32		version;
} FlowKey;

typedef struct FlowEntry
{
	FlowKey		key;			/* hash key, must be first */
	EcFlow	   *flow;
	bool		uncommitted;	/* its transaction is the current one */
} FlowEntry;

static HTAB *flows = NULL;
static MemoryContext flow_context = NULL;
static bool any_uncommitted = false;

/*
 * The end of a transaction settles what its versions are.  After a rollback
 * their entries go, and what was parsed stays until ec_flow_load_trim(): with
 * a subtransaction, somebody up the stack may hold it.
 */
static void
flows_settle(bool commit)
{
	HASH_SEQ_STATUS scan;
	FlowEntry  *entry;

	if (!any_uncommitted)
		return;
	any_uncommitted = false;
	if (flows == NULL)
		return;
	hash_seq_init(&scan, flows);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (!entry->uncommitted)
			continue;
		entry->uncommitted = false;
		if (!commit)
			(void) hash_search(flows, &entry->key, HASH_REMOVE, NULL);
	}
}

static void
xact_callback(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PARALLEL_COMMIT)
		flows_settle(true);
	else if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT || event == XACT_EVENT_PREPARE)
		flows_settle(false);
}

/* What the transaction around it made is read once more; that does no harm. */
static void
subxact_callback(SubXactEvent event, SubTransactionId me, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		flows_settle(false);
}

static HTAB *
flows_table(void)
{
	static bool registered = false;
	HASHCTL		ctl = {0};

	if (flows != NULL)
		return flows;
	if (!registered)
	{
		RegisterXactCallback(xact_callback, NULL);
		RegisterSubXactCallback(subxact_callback, NULL);
		registered = true;
	}
	flow_context = AllocSetContextCreate(TopMemoryContext, "ecauto flows", ALLOCSET_DEFAULT_SIZES);
	ctl.keysize = sizeof(FlowKey);
	ctl.entrysize = sizeof(FlowEntry);
	ctl.hcxt = flow_context;
	flows = hash_create("ecauto flows", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return flows;
}

/* Forget what was parsed if it has become much; no EcFlow is in use. */
void
ec_flow_load_trim(void)
{
	if (flows == NULL || hash_get_num_entries(flows) < FLOWS_MAX)
		return;
	MemoryContextDelete(flow_context);
	flows = NULL;
}

/*
 * A version of a flow, parsed; it lasts until ec_flow_load_trim().  The flow
 * -id is the same under another number, whose runs are not those of the flow:
 * flow_simulate.c.  Errors: undefined_object if there is none such, and those
 * of ec_flow_parse().
 */
EcFlow *
ec_flow_load(int32 id, int32 version)
{
	static const Oid types[] = {INT4OID, INT4OID};
	FlowKey		key;
	FlowEntry  *entry;
	MemoryContext context;
	MemoryContext old;
	EcFlow	   *flow;
	Datum		args[2];
	Datum		definition;
	bool		isnull;
	bool		uncommitted;
	EcAs		as;

	memset(&key, 0, sizeof(key));
	key.table = ec_state_relation("flow_version", false);
	key.id = id;
	key.version = version;
	entry = hash_search(flows_table(), &key, HASH_FIND, NULL);
	if (entry != NULL)
		return entry->flow;
	if (id < 0)
	{
		EcFlow	   *original = ec_flow_load(-id, version);

		flow = MemoryContextAlloc(flow_context, sizeof(EcFlow));
		*flow = *original;
		flow->id = id;
		/* what is compiled is freed by whoever compiles it again */
		flow->condition.compiled = flow->exit_if.compiled = false;
		flow->condition.sql = flow->condition.operands = flow->exit_if.sql = flow->exit_if.operands = NULL;
		key.id = -id;
		entry = hash_search(flows, &key, HASH_FIND, NULL);
		uncommitted = entry == NULL || entry->uncommitted;
		key.id = id;
		entry = hash_search(flows, &key, HASH_ENTER, NULL);
		entry->flow = flow;
		entry->uncommitted = uncommitted;
		any_uncommitted = any_uncommitted || uncommitted;
		return flow;
	}

	args[0] = Int32GetDatum(id);
	args[1] = Int32GetDatum(version);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("SELECT f.name, v.definition, v.definer, v.xmin FROM ecauto_data.flow f "
								 "JOIN ecauto_data.flow_version v ON v.flow = f.id WHERE f.id = $1 AND v.version = $2",
								 2, types), args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not load a flow");
	ec_as_end(&as);
	if (SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("version %d of flow %d does not exist", version, id)));
	definition = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);

	uncommitted = TransactionIdIsCurrentTransactionId(
		DatumGetTransactionId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 4, &isnull)));

	context = AllocSetContextCreate(CurrentMemoryContext, "ecauto flow", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	flow = ec_flow_parse(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1),
						 (Jsonb *) PG_DETOAST_DATUM_COPY(definition));
	flow->id = id;
	flow->version = version;
	flow->definer = MemoryContextStrdup(context, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3));
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, flow_context);
	SPI_finish();

	entry = hash_search(flows, &key, HASH_ENTER, NULL);
	entry->flow = flow;
	entry->uncommitted = uncommitted;
	any_uncommitted = any_uncommitted || uncommitted;
	return flow;
}

/* The flow of a name: its id, latest version and whether it is enabled. */
int32
ec_flow_find(const char *name, int32 *version, bool *enabled)
{
	static const Oid types[] = {TEXTOID};
	Datum		args[1];
	int32		id = 0;
	bool		isnull;
	EcAs		as;

	args[0] = CStringGetTextDatum(name);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("SELECT f.id, f.version, f.enabled FROM ecauto_data.flow f WHERE f.name = $1",
								 1, types), args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not find a flow");
	ec_as_end(&as);
	if (SPI_processed == 1)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		id = DatumGetInt32(SPI_getbinval(tuple, desc, 1, &isnull));
		if (version != NULL)
			*version = DatumGetInt32(SPI_getbinval(tuple, desc, 2, &isnull));
		if (enabled != NULL)
			*enabled = DatumGetBool(SPI_getbinval(tuple, desc, 3, &isnull));
	}
	SPI_finish();
	if (id == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("flow \"%s\" does not exist", name),
				 errhint("SELECT name FROM ecauto.flows() lists them.")));
	return id;
}

/*
 * The role that a flow runs as.  Who may write definitions into the state is
 * its owner, so the definer must be one that he could become by himself.
 */
Oid
ec_flow_definer(const EcFlow *flow)
{
	Oid			definer = get_role_oid(flow->definer, true);
	Oid			owner = ec_state_owner();

	if (!OidIsValid(definer))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" does not exist", flow->definer),
				 errdetail("It defined version %d of flow \"%s\", which runs with its rights.", flow->version, flow->name),
				 errhint("Create the flow again as a role that is to stay.")));
	if (!ec_may_become(owner, definer))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to run flow \"%s\" as role \"%s\"", flow->name, flow->definer),
				 errdetail("Role \"%s\", the owner of schema \"%s\", could not SET ROLE to it.",
						   GetUserNameFromId(owner, false), EC_STATE_SCHEMA),
				 errhint("Run SET ROLE %s, then create the flow again.",
						 quote_identifier(GetUserNameFromId(owner, false)))));
	return definer;
}

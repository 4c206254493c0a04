/*-------------------------------------------------------------------------
 *
 * core_state.c
 *		Is the state in schema ecauto_data there, of the right version, and
 *		whose is it?
 *
 * The state is made by ecauto.setup(), belongs to whoever called it, and is
 * not part of the extension, so it can be missing, older than the library
 * (after an update) or newer (after a downgrade).  Functions that touch it
 * call ec_state_require() first.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "fmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "core/core.h"

PG_FUNCTION_INFO_V1(ecauto_library_version);

/* the schema whose version was found to be right in this session */
static Oid	checked_schema = InvalidOid;

bool
ec_state_exists(void)
{
	return OidIsValid(get_namespace_oid(EC_STATE_SCHEMA, true));
}

/*
 * Owner of the state.  Errors: as ec_state_require().
 */
Oid
ec_state_owner(void)
{
	Oid			schema = get_namespace_oid(EC_STATE_SCHEMA, true);
	HeapTuple	tuple;
	Oid			owner;

	if (!OidIsValid(schema))
		ec_state_require();
	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(schema));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for schema %u", schema);
	owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * A relation of the state by name; InvalidOid if it is missing and may be.
 */
Oid
ec_state_relation(const char *name, bool missing_ok)
{
	Oid			schema = get_namespace_oid(EC_STATE_SCHEMA, true);
	Oid			relation = InvalidOid;

	if (OidIsValid(schema))
		relation = get_relname_relid(name, schema);
	if (!OidIsValid(relation) && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s.%s\" does not exist", EC_STATE_SCHEMA, name),
				 errhint("Run SELECT ecauto.setup() to create what is missing.")));
	return relation;
}

/*
 * Raise an error unless the state is there in the version this library was
 * written for.  Looked up once per session: the version changes only by
 * setup() of another library, which this session does not have loaded.
 */
void
ec_state_require(void)
{
	Oid			schema = get_namespace_oid(EC_STATE_SCHEMA, true);
	SPIPlanPtr	plan;
	bool		isnull;
	int			version = 0;
	EcAs		as;

	if (!OidIsValid(schema))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("ecauto is not set up in this database"),
				 errdetail("Schema \"%s\" does not exist.", EC_STATE_SCHEMA),
				 errhint("Run SELECT ecauto.setup().")));
	if (schema == checked_schema)
		return;

	(void) ec_state_relation("schema_version", false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	plan = ec_plan("SELECT pg_catalog.max(version) FROM ecauto_data.schema_version", 0, NULL);
	if (SPI_execute_plan(plan, NULL, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the version of the state");
	if (SPI_processed == 1)
		version = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
											  1, &isnull));
	ec_as_end(&as);
	SPI_finish();

	if (version != EC_STATE_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the state in schema \"%s\" has another version than the library",
						EC_STATE_SCHEMA),
				 errdetail("The state is of version %d, the library works with version %d.",
						   version, EC_STATE_VERSION),
				 version < EC_STATE_VERSION
				 ? errhint("Run ALTER EXTENSION ecauto UPDATE, then SELECT ecauto.setup().")
				 : errhint("Install the newer library again and reconnect.")));
	checked_schema = schema;
}

/*
 * ecauto.library_version() returns text
 *
 * The version that the Makefile took from the control file.
 */
Datum
ecauto_library_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(EC_VERSION));
}

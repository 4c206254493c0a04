/*-------------------------------------------------------------------------
 *
 * core_as.c
 *		Acting as another role for a while.
 *
 * Three kinds of SQL run inside ecauto:
 *
 * - our own, on tables in ecauto_data: as the owner of that schema, after the
 *   caller's rights were checked in C.  ec_as_state_owner().  The owner need
 *   not be a superuser, and the worker is one, so this is a security-restricted
 *   operation as well: a deferred trigger that he put on a table of his would
 *   else run at commit, when we are ourselves again.
 * - the shop's and the users' (role queries, writers, conditions): as whoever
 *   defined it, with the search_path it was defined under, in a
 *   security-restricted operation, even when the worker is a superuser.
 *   ec_as_definer().
 * - what the caller wrote into an argument: as the caller; nothing to do.
 *
 * An error needs no clean-up: aborting the (sub)transaction restores user and
 * settings.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/guc.h"

#include "core/core.h"

/* what a page looked up costs the planner, where one read in turn costs 1 */
#define LOOKUP_PAGE_COST 1.1

static void
search_path_set(EcAs *as, const char *search_path)
{
	as->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", search_path, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Act as the owner of the state until ec_as_end().  Our statements name
 * everything in full, and the path holds nothing anybody can write to.
 */
void
ec_as_state_owner(EcAs *as)
{
	Oid			owner = ec_state_owner();

	GetUserIdAndSecContext(&as->user, &as->sec_context);
	SetUserIdAndSecContext(owner, as->sec_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	search_path_set(as, "pg_catalog, pg_temp");
}

/*
 * Make values turn into the same text whoever asks: keys are compared by it.
 * (What set_transmission_modes() of postgres_fdw does.)
 */
static void
text_modes_set(void)
{
#define SET(name, value) \
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false)
	if (DateStyle != USE_ISO_DATES)
		SET("datestyle", "ISO");
	if (IntervalStyle != INTSTYLE_POSTGRES)
		SET("intervalstyle", "postgres");
	if (extra_float_digits < 1)
		SET("extra_float_digits", "1");
	if (bytea_output != BYTEA_OUTPUT_HEX)
		SET("bytea_output", "hex");
#undef SET
}

/*
 * Act as the role that defined a piece of SQL, with its search_path.
 */
void
ec_as_definer(EcAs *as, Oid user, const char *search_path)
{
	GetUserIdAndSecContext(&as->user, &as->sec_context);
	SetUserIdAndSecContext(user, as->sec_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	search_path_set(as, search_path);
	text_modes_set();
}

void
ec_as_end(EcAs *as)
{
	AtEOXact_GUC(false, as->guc_level);
	SetUserIdAndSecContext(as->user, as->sec_context);
}

/*
 * Let the planner find rows by index, though there are ten thousand to be
 * found and it would rather read the million of them: what a tick looks up is
 * of late and in memory, and it must not take longer with every year of
 * orders.  Between ec_as_state_owner() and ec_as_end(), which undoes it.
 */
void
ec_prefer_lookups(void)
{
	if (random_page_cost > LOOKUP_PAGE_COST)
		(void) set_config_option("random_page_cost", CppAsString2(LOOKUP_PAGE_COST), PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Has user been given a privilege on table ecauto_data.schema_version?  The sets of
 * privileges that ecauto.grant_reader() and its kin give (sql/security) hold
 * SELECT on it for whoever may read, and REFERENCES, which is good for nothing
 * else there, for operators and administrators.
 */
static bool
has_mark(Oid user, AclMode privilege)
{
	Oid			mark = ec_state_relation("schema_version", true);

	return OidIsValid(mark) && pg_class_aclcheck(mark, user, privilege) == ACLCHECK_OK;
}

/*
 * May user do what concerns the whole shop: those who have the rights of the
 * owner of the state, or were made operators by ecauto.grant_operator() or
 * grant_admin().  Which functions they may call is a matter of EXECUTE.
 */
bool
ec_is_operator(Oid user)
{
	return has_privs_of_role(user, ec_state_owner()) || has_mark(user, ACL_REFERENCES);
}

/*
 * Refuse the current user unless he is an operator.  what completes "permission denied to".
 */
void
ec_require_operator(const char *what)
{
	if (!ec_is_operator(GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to %s", what),
				 errdetail("Only roles with the privileges of \"%s\", the owner of schema \"%s\", and operators may do this.",
						   GetUserNameFromId(ec_state_owner(), false), EC_STATE_SCHEMA),
				 errhint("See ecauto.grant_operator().")));
}

/*
 * Refuse the current user unless he is an operator or may read the state.
 */
void
ec_require_reader(const char *what)
{
	if (!ec_is_operator(GetUserId()) && !has_mark(GetUserId(), ACL_SELECT))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to %s", what),
				 errdetail("Only roles with the privileges of \"%s\", the owner of schema \"%s\", operators and readers may do this.",
						   GetUserNameFromId(ec_state_owner(), false), EC_STATE_SCHEMA),
				 errhint("See ecauto.grant_reader().")));
}

/*-------------------------------------------------------------------------
 *
 * core_try.c
 *		Run something that may fail, and go on.
 *
 * A role query, a resolving query or a writer breaks when the shop's tables
 * change.  That is news about the shop, not an error of whoever happens to
 * run it.
 *
 * What only reads is best rolled back in any case: the locks it took on the
 * shop's tables then go with it, instead of standing in the way of the shop's
 * migrations until our transaction ends.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/xact.h"
#include "utils/resowner.h"

#include "core/core.h"

/*
 * Does an error tell something about the statement that raised it?  Else it
 * tells of the moment: the same statement may run well a minute later.
 */
static bool
error_is_lasting(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:	/* serialization, deadlock */
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION: /* cancel, shutdown */
		case ERRCODE_SYSTEM_ERROR:
			return false;
		default:
			return error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE;
	}
}

/*
 * Run something in a subtransaction.  NULL if it went well; else the error,
 * allocated in the current context, and nothing of what it did remains.  What
 * says nothing about the statement (cancel, shutdown, a conflict with others,
 * lack of memory) is raised again.  rollback: nothing remains in any case, but
 * for memory of the caller's.
 */
ErrorData *
ec_try(EcTryRun run, void *arg, bool rollback)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		run(arg);
		if (rollback)
			RollbackAndReleaseCurrentSubTransaction();
		else
			ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (!error_is_lasting(error))
			ReThrowError(error);
	}
	PG_END_TRY();
	return error;
}

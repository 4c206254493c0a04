/*-------------------------------------------------------------------------
 *
 * core_plan.c
 *		Kept plans, found by their text.
 *
 * A statement's text holds names only, values are parameters, so the text is
 * the whole identity of a plan: a renamed column or a rebound role makes
 * another text.  The server's plan cache replans on its own when a table, the
 * search_path or the user (for row security) changes.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "core/core.h"

/*
 * Above this many, all are thrown away: texts of dropped bindings pile up.
 * That waits for the next transaction, since what a plan calls may come here
 * again, and then the plan must not go while it runs.
 */
#define PLANS_MAX 256

typedef struct PlanEntry
{
	uint64		hash;			/* hash key, must be first */
	char	   *text;			/* in plan_context */
	SPIPlanPtr	plan;
} PlanEntry;

static HTAB *plans = NULL;
static MemoryContext plan_context = NULL;
static bool used_in_xact = false;

static void
plans_reset(void)
{
	HASH_SEQ_STATUS scan;
	PlanEntry  *entry;

	if (plans != NULL)
	{
		hash_seq_init(&scan, plans);
		while ((entry = hash_seq_search(&scan)) != NULL)
			if (entry->plan != NULL)
				SPI_freeplan(entry->plan);
		plans = NULL;
		MemoryContextDelete(plan_context);
	}
	plan_context = AllocSetContextCreate(TopMemoryContext, "ecauto plans", ALLOCSET_SMALL_SIZES);
}

static void
plan_xact_callback(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		used_in_xact = false;
}

static HTAB *
plans_table(void)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(plan_xact_callback, NULL);
		registered = true;
	}
	if (plans == NULL || (!used_in_xact && hash_get_num_entries(plans) >= PLANS_MAX))
	{
		HASHCTL		ctl = {0};

		plans_reset();
		ctl.keysize = sizeof(uint64);
		ctl.entrysize = sizeof(PlanEntry);
		ctl.hcxt = plan_context;
		plans = hash_create("ecauto plans", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	used_in_xact = true;
	return plans;
}

/*
 * The plan of a statement, prepared on first use and kept for the session.
 *
 * The caller is connected to SPI, executes the plan at once, and does not
 * hold it across another call of ec_plan().  Errors: whatever parsing raises.
 */
SPIPlanPtr
ec_plan(const char *text, int nargs, const Oid *argtypes)
{
	size_t		len = strlen(text);
	uint64		hash = hash_bytes_extended((const unsigned char *) text, (int) len, 0);
	PlanEntry  *entry;
	SPIPlanPtr	plan;
	char	   *copy;
	bool		found;

	for (int i = 0; i < nargs; i++)
		hash = hash_combine64(hash, (uint64) argtypes[i]);

	entry = hash_search(plans_table(), &hash, HASH_FIND, NULL);
	if (entry != NULL && strcmp(entry->text, text) == 0)
		return entry->plan;

	plan = SPI_prepare(text, nargs, (Oid *) argtypes);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare returned %s for \"%s\"",
			 SPI_result_code_string(SPI_result), text);

	/* preparing can run user code, and so come here again */
	entry = hash_search(plans_table(), &hash, HASH_FIND, NULL);
	if (entry != NULL && strcmp(entry->text, text) == 0)
		return entry->plan;

	copy = MemoryContextStrdup(plan_context, text);
	entry = hash_search(plans, &hash, HASH_ENTER, &found);
	SPI_keepplan(plan);
	/* of two texts with one hash, the later stays; the other may be running */
	entry->text = copy;
	entry->plan = plan;
	return plan;
}

/*-------------------------------------------------------------------------
 *
 * core_tick.c
 *		One round of automation: ecauto.tick().
 *
 * A round is one transaction.  It runs the phases that the domains have
 * registered, in order: the event domain turns noted keys into events, later
 * domains act on them.  Whatever a round does commits together or not at all.
 *
 * Rounds of one database exclude each other by an advisory lock held to the
 * end of the transaction, so that each edge is seen once.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lock.h"

#include "core/core.h"

PG_FUNCTION_INFO_V1(ecauto_tick);

#define PHASES_MAX 16

/*
 * With more keys than this in a round its statements are planned anew: a plan
 * that was kept when tables were small reads them whole for each key.
 */
#define KEYS_FOR_KEPT_PLANS 1000

/* keys of our advisory lock; "ec" and a number */
#define TICK_LOCK_CLASS 0x6563
#define TICK_LOCK_ID	1

typedef struct Phase
{
	const char *name;
	EcTickPhase run;
} Phase;

static Phase phases[PHASES_MAX];
static int	nphases = 0;

/*
 * Add a phase to every tick; called by _PG_init() in the order they run.
 */
void
ec_tick_add_phase(const char *name, EcTickPhase run)
{
	Assert(nphases < PHASES_MAX);
	phases[nphases].name = name;
	phases[nphases].run = run;
	nphases++;
}

/*
 * Run one round in the current transaction; fills the counts of tick.
 *
 * Returns false, having done nothing, if another round is under way and
 * tick->wait is false.  Errors: the state is missing or of another version.
 */
bool
ec_tick_run(EcTick *tick)
{
	LOCKTAG		tag;
	int			level;
	bool		replan = false;

	ec_state_require();

	/* the same lock as pg_advisory_xact_lock(int4, int4) */
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, TICK_LOCK_CLASS, TICK_LOCK_ID, 2);
	if (LockAcquire(&tag, ExclusiveLock, false, !tick->wait) == LOCKACQUIRE_NOT_AVAIL)
		return false;

	/* compiling a statement takes longer than most rounds */
	level = NewGUCNestLevel();
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	tick->at = ec_now();
	tick->next_due = DT_NOEND;
	ec_progress_begin("tick");
	for (int i = 0; i < nphases; i++)
	{
		CHECK_FOR_INTERRUPTS();
		ec_progress_phase(phases[i].name, 0);
		phases[i].run(tick);
		if (!replan && tick->keys + tick->told > KEYS_FOR_KEPT_PLANS)
		{
			replan = true;
			(void) set_config_option("plan_cache_mode", "force_custom_plan", PGC_USERSET, PGC_S_SESSION,
									 GUC_ACTION_SAVE, true, 0, false);
		}
	}
	ec_progress_end();
	AtEOXact_GUC(false, level);
	return true;
}

/*
 * A phase will have something to do at a time of our clock, though nothing
 * happens in the shop: a wait ends, a date comes.  The worker does not sleep
 * past it.
 */
void
ec_tick_due(EcTick *tick, TimestampTz at)
{
	tick->next_due = Min(tick->next_due, at);
}

/*
 * ecauto.tick(OUT noted bigint, OUT keys bigint, OUT events bigint,
 *			   OUT messages bigint, OUT pending bigint)
 */
Datum
ecauto_tick(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[5];
	bool		nulls[5] = {false};
	EcTick		tick = {0};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	ec_state_require();
	ec_require_operator("run ecauto.tick()");
	tick.wait = true;
	(void) ec_tick_run(&tick);

	values[0] = Int64GetDatum(tick.noted);
	values[1] = Int64GetDatum(tick.keys);
	values[2] = Int64GetDatum(tick.events);
	values[3] = Int64GetDatum(tick.messages);
	values[4] = Int64GetDatum(tick.pending);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

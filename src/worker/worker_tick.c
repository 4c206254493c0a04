/*-------------------------------------------------------------------------
 *
 * worker_tick.c
 *		The process that runs the automation of one database: ecauto.tick(),
 *		whenever a transaction has noted something.
 *
 * A round is a transaction.  Delivery is another process's work, so a round
 * that takes a minute holds up no message.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "worker/worker.h"

#define ERROR_WAIT_FIRST 1000	/* ms after a round that failed; doubles */
#define ERROR_WAIT_MOST	 60000
#define BUSY_WAIT		 1000	/* ms, if somebody else runs a round */
#define SETTLE_LEAST	 5		/* ms */

typedef struct Round
{
	EcTick		tick;
	bool		ran;
} Round;

static void
run_round(void *arg)
{
	Round	   *round = arg;

	round->ran = ec_tick_run(&round->tick);
}

void
ecauto_tick_main(Datum arg)
{
	int64		error_wait = ERROR_WAIT_FIRST;

	ec_worker_begin(EC_WAKE_TICK);
	CurrentMemoryContext = AllocSetContextCreate(TopMemoryContext, "ecauto tick",
												 ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		Round		round = {0};
		int64		wait = ec_guc_worker_naptime;

		ec_worker_interrupts();
		if (ec_worker_ready())
		{
			ec_worker_show("running ecauto.tick()");
			if (!ec_worker_transaction(run_round, &round))
			{
				wait = error_wait;
				error_wait = Min(error_wait * 2, ERROR_WAIT_MOST);
			}
			else
			{
				error_wait = ERROR_WAIT_FIRST;
				if (!round.ran)
					wait = Min(wait, BUSY_WAIT);
				else if (round.tick.pending > 0)
					wait = Min(wait, Max(ec_guc_settle_time, SETTLE_LEAST));
				if (round.ran && round.tick.next_due != DT_NOEND)
					wait = Min(wait, Max(TimestampDifferenceMilliseconds(ec_now(), round.tick.next_due),
										 SETTLE_LEAST));
			}
		}
		MemoryContextReset(CurrentMemoryContext);

		/*
		 * What has not rested yet will have, then; another commit in between
		 * is no reason to look.
		 */
		if (round.ran && round.tick.pending > 0)
			ec_worker_rest(wait);
		else
			ec_worker_sleep(wait);
	}
}

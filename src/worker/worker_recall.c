/*-------------------------------------------------------------------------
 *
 * worker_recall.c
 *		Leased messages that were taken back before they were sent: somebody
 *		unsubscribed while his mail waited for its turn here.
 *
 * The beginning of a transaction tells whether anything was recalled at all
 * (outbox_recall.c), so what this costs where nothing was is a transaction
 * without a statement for each burst of mails.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "utils/memutils.h"

#include "worker/worker_delivery.h"

/* Jobs that may be recalled, and in a second pass whether they were. */
typedef struct Recall
{
	int64	   *ids;
	bool	   *found;			/* NULL in the first pass */
	int			n;
} Recall;

static bool
job_stays(int64 number, void *arg)
{
	EcJob	   *job = (EcJob *) (intptr_t) number;
	Recall	   *recall = arg;

	if (!job->recallable)
		return true;
	if (recall->found != NULL)
		return recall->found[recall->n++];
	recall->ids[recall->n++] = job->id;
	return true;
}

/* Ask about all jobs of which nothing was sent yet. */
static void
pass(EcDelivery *delivery, Recall *recall)
{
	recall->n = 0;
	for (EcLane *lane = delivery->lanes; lane != NULL; lane = lane->next)
		ec_lane_recall(delivery, lane, job_stays, recall);
	for (EcTarget *target = delivery->targets; target != NULL; target = target->next)
		if (target->pool != NULL)
			ec_smtp_pool_recall(target->pool, job_stays, recall);
}

static void
look(void *arg)
{
	EcDelivery *delivery = arg;
	uint64		recalls = ec_outbox_recalls();
	Recall		recall = {0};

	if (recalls == delivery->recalls)
		return;
	MemoryContextSwitchTo(delivery->round);
	recall.ids = palloc(sizeof(int64) * delivery->recallable);
	pass(delivery, &recall);
	recall.found = palloc(sizeof(bool) * (recall.n + 1));
	ec_outbox_find(recall.ids, recall.n, recall.found);
	pass(delivery, &recall);
	delivery->recalls = recalls;
}

/*
 * Drop the jobs whose messages are gone.  If that cannot be found out, they
 * are sent: their leases are valid as far as is known.
 */
void
ec_delivery_recall(EcDelivery *delivery)
{
	(void) ec_worker_transaction(look, delivery);
	MemoryContextReset(delivery->round);
}

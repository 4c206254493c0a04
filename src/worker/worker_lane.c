/*-------------------------------------------------------------------------
 *
 * worker_lane.c
 *		One lane per endpoint, so that a slow one holds up nobody else.
 *
 * Each lane leases for itself, no more than it can soon send: twice what may
 * be under way at once, or what it lately sent within a twentieth of a
 * second, if that is more.  So the leased messages of an endpoint that hangs
 * are few, and those of a fast one come in large batches.
 *
 * A lease looks at the messages of a lane in the order of next_at and id.
 * The entries of those just delivered stay in the index until it is
 * vacuumed, and with a large backlog stepping over them takes longer each
 * time.  So a pass goes on from where the last lease ended, and begins anew
 * once a second, or when it has seen everything: what was committed behind
 * it, or came back, is found then.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <limits.h>

#include "utils/acl.h"
#include "utils/memutils.h"

#include "worker/worker_delivery.h"

#define LEASE_AHEAD		0.05	/* s of work that are leased ahead */
#define LEASE_MOST		2000	/* messages of a lane in hand */
#define PASS_LONGEST	USECS_PER_SEC
#define SPEED_WINDOW	(USECS_PER_SEC / 10)

EcLane *
ec_lane_find(EcDelivery *delivery, const char *name)
{
	EcLane	  **link;
	EcLane	   *lane;
	int			order = 1;

	for (link = &delivery->lanes; *link != NULL; link = &(*link)->next)
		if ((order = strcmp((*link)->name, name)) >= 0)
			break;
	if (order == 0)
		return *link;
	lane = MemoryContextAllocZero(delivery->context, sizeof(EcLane));
	lane->name = MemoryContextStrdup(delivery->context, name);
	lane->next = *link;
	*link = lane;
	return lane;
}

static void
pass_restart(EcLane *lane)
{
	for (int i = 0; i < EC_PRIORITIES; i++)
	{
		lane->after_at[i] = DT_NOBEGIN;
		lane->after_id[i] = 0;
	}
	lane->from_middle = false;
	lane->pass_began = ec_worker_clock();
}

/*
 * Messages that were passed over may be due now: look from the start.
 */
void
ec_lane_look_again(EcLane *lane)
{
	pass_restart(lane);
	lane->more = true;
}

/*
 * The first message of an entity has ended: look at the one that waited for
 * it, without looking through all that wait.
 */
void
ec_lane_look_at(EcDelivery *delivery, EcLane *lane, const char *entity)
{
	MemoryContext before = MemoryContextSwitchTo(delivery->context);

	lane->entities = lappend(lane->entities, pstrdup(entity));
	MemoryContextSwitchTo(before);
}

/* May a lease bring something? */
static bool
lane_has_more(const EcLane *lane)
{
	return lane->more || lane->entities != NIL;
}

/*
 * Nobody knows any more what is waiting: look at everything from the start.
 */
void
ec_lanes_forget_passes(EcDelivery *delivery)
{
	for (EcLane *lane = delivery->lanes; lane != NULL; lane = lane->next)
		lane->more = true;
}

static void
target_free(EcDelivery *delivery, EcTarget *target)
{
	for (EcTarget **link = &delivery->targets; *link != NULL; link = &(*link)->next)
		if (*link == target)
		{
			*link = target->next;
			break;
		}
	if (target->pool != NULL)
		ec_smtp_pool_destroy(target->pool);
	MemoryContextDelete(target->context);
}

void
ec_target_release(EcDelivery *delivery, EcTarget *target)
{
	if (--target->jobs == 0 && target->stale)
		target_free(delivery, target);
}

/*
 * The target for a sender, made if there is none.  Counts the caller's job.
 * A transaction is open; errors leave nothing behind.
 */
EcTarget *
ec_target_get(EcDelivery *delivery, EcLane *lane, const char *sender)
{
	EcTarget   *target;
	MemoryContext context;
	MemoryContext before;

	for (target = delivery->targets; target != NULL; target = target->next)
		if (!target->stale && target->lane == lane && strcmp(target->sender, sender) == 0)
		{
			target->jobs++;
			return target;
		}

	context = AllocSetContextCreate(CurrentMemoryContext, "ecauto endpoint", ALLOCSET_SMALL_SIZES);
	before = MemoryContextSwitchTo(context);
	target = palloc0(sizeof(EcTarget));
	target->context = context;
	target->lane = lane;
	target->sender = pstrdup(sender);
	target->endpoint = ec_endpoint_load(lane->name, get_role_oid(sender, true), false);
	MemoryContextSwitchTo(before);
	MemoryContextSetParent(context, delivery->context);
	target->jobs = 1;
	target->next = delivery->targets;
	delivery->targets = target;
	return target;
}

/*
 * Learn what endpoints there are and how they are to be used, if the catalogs
 * have changed, and which are paused.  A transaction is open.
 */
void
ec_lanes_load(EcDelivery *delivery)
{
	uint64		generation = ec_endpoint_generation();
	List	   *paused = ec_outbox_paused();
	Oid			deaf[EC_WAKE_DEAF_MOST];
	int			ndeaf = 0;
	ListCell   *cell;

	if (generation != delivery->generation)
	{
		List	   *names = ec_endpoint_names();
		EcTarget   *next;

		for (EcLane *lane = delivery->lanes; lane != NULL; lane = lane->next)
			lane->exists = false;
		foreach(cell, names)
		{
			EcEndpoint *endpoint = ec_endpoint_load(lfirst(cell), InvalidOid, true);
			EcLane	   *lane = ec_lane_find(delivery, lfirst(cell));

			if (endpoint == NULL)
				continue;
			lane->exists = true;
			lane->server = endpoint->serverid;
			lane->mail = EC_SCHEME_IS_MAIL(endpoint->scheme);
			lane->concurrency = endpoint->concurrency;
			lane->timeout = endpoint->timeout;
			lane->max_attempts = endpoint->max_attempts;
			lane->give_up_after = endpoint->give_up_after;
			ec_pace_set(&lane->pace, endpoint->rate, endpoint->breaker, ec_worker_clock());
			/* somebody may have mended what was wrong */
			lane->breaker_changed |= ec_pace_success(&lane->pace);
			ec_lane_look_again(lane);
		}
		for (EcTarget *target = delivery->targets; target != NULL; target = next)
		{
			next = target->next;
			target->stale = true;
			if (target->jobs == 0)
				target_free(delivery, target);
		}
		delivery->generation = generation;
	}

	for (EcLane *lane = delivery->lanes; lane != NULL; lane = lane->next)
	{
		lane->paused = false;
		foreach(cell, paused)
			lane->paused = lane->paused || strcmp(lfirst(cell), lane->name) == 0;
		if (lane->paused && lane->exists && ndeaf < EC_WAKE_DEAF_MOST)
			deaf[ndeaf++] = lane->server;
	}
	/* before anybody looks what waits there: who commits later wakes us again */
	ec_wake_deaf(deaf, ndeaf);
}

/* How many messages the lane should have in hand when all is well. */
static int
lane_target(const EcLane *lane)
{
	double		ahead = lane->speed * LEASE_AHEAD;

	return Max(2 * lane->concurrency, (int) Min(ahead, (double) LEASE_MOST));
}

/*
 * How many messages more the lane could make use of soon.
 */
int
ec_lane_room(EcLane *lane, int64 now)
{
	int			room = lane_target(lane) - lane->queued - lane->inflight;
	int			allowed;

	if (!lane->exists || lane->paused)
		return 0;
	allowed = ec_pace_allows(&lane->pace, lane->inflight, now);
	if (allowed < INT_MAX)
		room = Min(room, allowed - lane->queued);
	return Max(room, 0);
}

/*
 * Is there a lane that has messages waiting and room for a good part of a
 * batch?
 */
bool
ec_lanes_want_lease(EcDelivery *delivery, int64 now)
{
	for (EcLane *lane = delivery->lanes; lane != NULL; lane = lane->next)
	{
		int			room;

		if (!lane_has_more(lane))
			continue;
		room = ec_lane_room(lane, now);
		if (room > 0 && (lane->entities != NIL || room >= lane_target(lane) / 2 || lane->queued == 0))
			return true;
	}
	return false;
}

/*
 * What to lease now; everything that has room if we were woken, else only
 * lanes known to have messages.  NULL if nothing; else an array in the
 * current context.  *lease_ms: how long the leases must last.
 */
EcLeaseWish *
ec_lanes_wishes(EcDelivery *delivery, int64 now, int *nwishes, int *lease_ms)
{
	EcLeaseWish *wishes;
	int			nlanes = 0;
	int			timeout = 0;

	for (EcLane *lane = delivery->lanes; lane != NULL; lane = lane->next)
		nlanes++;
	wishes = palloc(sizeof(EcLeaseWish) * (nlanes + 1));
	*nwishes = 0;
	for (EcLane *lane = delivery->lanes; lane != NULL; lane = lane->next)
	{
		int			room = lane_has_more(lane) ? ec_lane_room(lane, now) : 0;
		EcLeaseWish *wish;

		if (room == 0)
			continue;
		if (now - lane->pass_began > PASS_LONGEST)
			pass_restart(lane);
		wish = &wishes[(*nwishes)++];
		wish->endpoint = lane->name;
		wish->limit = room;
		wish->scan = lane->more;
		/* those that wait in no order get their turn, too */
		wish->nentities = Min(list_length(lane->entities), (room + 1) / 2);
		wish->entities = palloc(sizeof(char *) * (wish->nentities + 1));
		for (int i = 0; i < wish->nentities; i++)
			wish->entities[i] = list_nth(lane->entities, i);
		memcpy(wish->after_at, lane->after_at, sizeof(wish->after_at));
		memcpy(wish->after_id, lane->after_id, sizeof(wish->after_id));
		timeout = Max(timeout, lane->timeout);
	}
	/* a mail may take four timeouts */
	*lease_ms = EC_LEASE_SECONDS * 1000 + 5 * timeout;
	return wishes;
}

/*
 * Note how far each pass has come.
 */
void
ec_lanes_leased(EcDelivery *delivery, const EcLeaseWish *wishes, int nwishes)
{
	for (int i = 0; i < nwishes; i++)
	{
		const EcLeaseWish *wish = &wishes[i];
		EcLane	   *lane = ec_lane_find(delivery, wish->endpoint);

		for (int e = 0; e < wish->nentities; e++)
		{
			pfree(linitial(lane->entities));
			lane->entities = list_delete_first(lane->entities);
		}
		if (!wish->scan)
			continue;
		if (wish->more)
		{
			memcpy(lane->after_at, wish->after_at, sizeof(lane->after_at));
			memcpy(lane->after_id, wish->after_id, sizeof(lane->after_id));
			lane->from_middle = true;
			continue;
		}
		/* the end of the pass; one that began in the middle says nothing of what lies before */
		lane->more = lane->from_middle;
		pass_restart(lane);
	}
}

/*
 * Is there nothing that could be sent now or after waiting for its turn?
 */
bool
ec_lanes_exhausted(EcDelivery *delivery, int64 now)
{
	for (EcLane *lane = delivery->lanes; lane != NULL; lane = lane->next)
		if (lane->exists && !lane->paused && lane->pace.open_until <= now && lane_has_more(lane))
			return false;
	return true;
}

void
ec_lane_push(EcDelivery *delivery, EcJob *job)
{
	ec_jobs_append(&job->lane->queue[job->priority + 1], job);
	job->lane->queued++;
	delivery->recallable += job->recallable;
	delivery->queued++;
}

static EcJob *
lane_shift(EcDelivery *delivery, EcLane *lane)
{
	for (int i = EC_PRIORITIES - 1; i >= 0; i--)
	{
		EcJob	   *job = ec_jobs_shift(&lane->queue[i]);

		if (job != NULL)
		{
			lane->queued--;
			delivery->queued--;
			return job;
		}
	}
	return NULL;
}

static EcJob *
lane_first(const EcLane *lane)
{
	for (int i = EC_PRIORITIES - 1; i >= 0; i--)
		if (lane->queue[i].first != NULL)
			return lane->queue[i].first;
	return NULL;
}

/*
 * Ask about each job that waits in the queues, in their order.  Those that do
 * not stay are given back.
 */
void
ec_lane_recall(EcDelivery *delivery, EcLane *lane, bool (*stays) (int64 job, void *arg), void *arg)
{
	for (int i = 0; i < EC_PRIORITIES; i++)
	{
		EcJobList	all = lane->queue[i];
		EcJob	   *job;

		memset(&lane->queue[i], 0, sizeof(EcJobList));
		while ((job = ec_jobs_shift(&all)) != NULL)
		{
			if (stays((int64) (intptr_t) job, arg))
			{
				ec_jobs_append(&lane->queue[i], job);
				continue;
			}
			lane->queued--;
			delivery->queued--;
			lane->inflight++;
			delivery->inflight++;
			ec_delivery_finish(delivery, job, EC_RELEASE);
		}
	}
}

static bool
lane_has_connection(const EcLane *lane, const EcJob *job)
{
	if (!lane->mail)
		return lane->inflight < lane->concurrency;
	return job->target->pool == NULL || ec_smtp_pool_room(job->target->pool) > 0;
}

/*
 * Send what may be sent now; give back what has waited so long that its lease
 * could run out under way, and what a lane may not send any more.
 */
void
ec_lanes_start(EcDelivery *delivery, int64 now)
{
	for (EcLane *lane = delivery->lanes; lane != NULL; lane = lane->next)
	{
		int			allowed;
		int64		latest;

		if (lane->queued == 0)
			continue;
		if (!lane->exists || lane->paused || lane->pace.open_until > now)
			allowed = 0;
		else
			allowed = ec_pace_allows(&lane->pace, lane->inflight, now);
		latest = now + (int64) lane->timeout * 1000 * (lane->mail ? 4 : 1);

		while (lane->queued > 0)
		{
			EcJob	   *job = lane_first(lane);

			if (job->lease_end < latest || !lane->exists || lane->paused || lane->pace.open_until > now)
			{
				job = lane_shift(delivery, lane);
				lane->inflight++;
				delivery->inflight++;
				ec_delivery_finish(delivery, job, EC_RELEASE);
				ec_lane_look_again(lane);
				continue;
			}
			if (allowed <= 0 || delivery->inflight >= delivery->inflight_most ||
				!lane_has_connection(lane, job))
				break;
			job = lane_shift(delivery, lane);
			lane->inflight++;
			delivery->inflight++;
			allowed--;
			ec_pace_take(&lane->pace);
			ec_job_start(delivery, job);
		}
	}
}

/*
 * Time until ec_lanes_start() or a lease may do something that it cannot do
 * now, in us; -1: only an answer can change that.
 */
int64
ec_lanes_wait(EcDelivery *delivery, int64 now)
{
	int64		least = -1;

	for (EcLane *lane = delivery->lanes; lane != NULL; lane = lane->next)
	{
		int64		wait;

		if (!lane->exists || lane->paused || (lane->queued == 0 && !lane_has_more(lane)))
			continue;
		wait = ec_pace_wait(&lane->pace, lane->inflight, now);
		if (wait > 0 && (least < 0 || wait < least))
			least = wait;
	}
	return least;
}

/*-------------------------------------------------------------------------
 *
 * worker_delivery.c
 *		The process that delivers the messages of one database.
 *
 * A loop of short steps, none of which waits: settle what has come back,
 * lease what there is room for, send, let libcurl work; then one wait for
 * whatever comes first of a socket, the latch and the clock.  A transaction
 * is open only while settling or leasing.
 *
 * The same loop, told to end when nothing is due, serves ecauto.deliver().
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <sys/resource.h>

#include "access/xact.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"

#include "worker/worker_delivery.h"

#define SETTLE_BATCH	1000	/* results that are settled at once, */
#define SETTLE_DELAY	20000	/* us; or when the first of them is so old */
#define LEASE_INTERVAL	1000	/* us between leases while there is work in hand */
#define DUE_INTERVAL	100000	/* us between questions for the next due message */
#define EXPIRE_INTERVAL USECS_PER_SEC
#define TRIM_INTERVAL	(USECS_PER_HOUR)
#define ERROR_FIRST		(USECS_PER_SEC / 2) /* wait after a failed transaction; doubles */
#define ERROR_MOST		(60 * USECS_PER_SEC)
#define INFLIGHT_MOST	4096
#define FILES_OF_SERVER 256		/* descriptors left for the server's own files */

/*
 * What a try came to.  Called from the loop or the callbacks of transfers:
 * only notes it.
 */
void
ec_delivery_finish(EcDelivery *delivery, EcJob *job, EcOutcome outcome)
{
	EcLane	   *lane = job->lane;
	int64		now = ec_worker_clock();

	lane->inflight--;
	delivery->inflight--;
	delivery->recallable -= job->recallable;
	job->outcome = outcome;
	job->ended = now;
	if (outcome == EC_RETRY)
		lane->breaker_changed |= ec_pace_failure(&lane->pace, now);
	else if (outcome == EC_DELIVERED || (outcome == EC_DEAD && job->status != 0))
		lane->breaker_changed |= ec_pace_success(&lane->pace);

	if (outcome != EC_RELEASE)
		lane->ended++;
	if (now - lane->speed_at >= USECS_PER_SEC / 10)
	{
		lane->speed = lane->ended * (double) USECS_PER_SEC / (now - lane->speed_at);
		lane->speed_at = now;
		lane->ended = 0;
	}
	if (delivery->done.n == 0)
		delivery->done_since = now;
	ec_jobs_append(&delivery->done, job);
}

/* ---- lease ---- */

static void
lease_batch(void *arg)
{
	EcDelivery *delivery = arg;
	EcLeaseWish *wishes;
	List	   *messages;
	MemoryContext each;
	ListCell   *cell;
	int			nwishes;
	int			lease_ms;
	int64		now;

	MemoryContextSwitchTo(delivery->round);
	if (!OidIsValid(get_extension_oid("ecauto", true)))
	{
		delivery->ready = false;
		return;
	}
	ec_lanes_load(delivery);
	now = ec_worker_clock();
	if (now - delivery->expired_at >= EXPIRE_INTERVAL)
	{
		(void) ec_outbox_expire();
		delivery->expired_at = now;
	}
	wishes = ec_lanes_wishes(delivery, now, &nwishes, &lease_ms);
	if (delivery->once && delivery->due == 0)
		delivery->due = ec_now();
	messages = ec_outbox_lease(wishes, nwishes, delivery->once ? delivery->due : ec_now(),
							   lease_ms, MyProcPid);
	each = AllocSetContextCreate(delivery->round, "ecauto message", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(each);
	foreach(cell, messages)
	{
		ec_job_create(delivery, lfirst(cell), now + (int64) lease_ms * 1000);
		MemoryContextReset(each);
	}
	ec_lanes_leased(delivery, wishes, nwishes);
}

static bool
delivery_lease(EcDelivery *delivery)
{
	bool		ok = ec_worker_transaction(lease_batch, delivery);
	EcJob	   *job;

	while ((job = ec_jobs_shift(&delivery->leased)) != NULL)
	{
		if (!ok)
		{
			if (job->target != NULL)
				ec_target_release(delivery, job->target);
			ec_job_free(job);
			continue;
		}
		if (job->target != NULL)
			ec_lane_push(delivery, job);
		else
		{
			job->ended = ec_worker_clock();
			if (delivery->done.n == 0)
				delivery->done_since = job->ended;
			ec_jobs_append(&delivery->done, job);
		}
	}
	MemoryContextReset(delivery->round);
	delivery->careful = !ok;
	delivery->looked_at = ec_worker_clock();
	delivery->next_due_known = false;
	if (ok)
	{
		delivery->woken = false;
		delivery->look_at = delivery->looked_at + (int64) ec_guc_worker_naptime * 1000;
	}
	else
		ec_lanes_forget_passes(delivery);
	return ok;
}

/* ---- now and then ---- */

static void
ask_next_due(void *arg)
{
	EcDelivery *delivery = arg;
	TimestampTz due;

	MemoryContextSwitchTo(delivery->round);
	due = ec_outbox_next_due();
	if (due == DT_NOEND)
		delivery->next_due_at = PG_INT64_MAX;
	else
		delivery->next_due_at = ec_worker_clock() + Max(due - ec_now(), 0) + 1000;
}

/* The beginning of the work: what did a predecessor leave? */
static void
reclaim(void *arg)
{
	EcDelivery *delivery = arg;

	MemoryContextSwitchTo(delivery->round);
	(void) ec_outbox_reclaim();
	if (!delivery->once)
		ec_outbox_show_breaker(NULL, 0);
}

static void
give_back(void *arg)
{
	MemoryContextSwitchTo(((EcDelivery *) arg)->round);
	(void) ec_outbox_give_back();
}

/*
 * This process ends in the middle of its work: write down what has come back,
 * and let others have the rest at once instead of when the leases run out.
 */
void
ec_delivery_leave(EcDelivery *delivery)
{
	ec_delivery_settle_busy(delivery);
	(void) ec_delivery_settle(delivery);
	(void) ec_delivery_count(delivery);
	(void) ec_worker_transaction(give_back, delivery);
}

static void
trim(void *arg)
{
	EcAs		as;

	MemoryContextSwitchTo(((EcDelivery *) arg)->round);
	ec_outbox_open(&as);
	/* this week's partition and the next one's, before anybody needs them */
	ec_history_ensure(ec_now() + 7 * USECS_PER_DAY);
	ec_history_ensure(ec_now());
	(void) ec_history_trim();
	ec_outbox_count_trim();
	ec_outbox_close(&as);
}

/* Run a step in a transaction, unless one failed a moment ago. */
static bool
step(EcDelivery *delivery, bool ok)
{
	MemoryContextReset(delivery->round);
	if (ok)
	{
		delivery->error_wait = 0;
		return true;
	}
	delivery->error_wait = delivery->error_wait == 0 ? ERROR_FIRST
		: Min(delivery->error_wait * 2, ERROR_MOST);
	delivery->error_until = ec_worker_clock() + delivery->error_wait;
	delivery->ready = false;
	return false;
}

/* Work in the database: settle, lease, and what is due now and then. */
static void
delivery_transact(EcDelivery *delivery)
{
	int64		now = ec_worker_clock();

	if (now < delivery->error_until)
		return;

	if (now >= delivery->busy_until)
		ec_delivery_settle_busy(delivery);
	if (delivery->done.n > 0 &&
		(delivery->done.n >= SETTLE_BATCH || delivery->inflight == 0 ||
		 now - delivery->done_since >= SETTLE_DELAY))
	{
		if (!step(delivery, ec_delivery_settle(delivery)))
			return;
	}

	if (delivery->uncounted && now - delivery->counted_at >= EC_COUNT_INTERVAL &&
		!step(delivery, ec_delivery_count(delivery)))
		return;

	/* the heartbeat: is all still as it was? */
	if (delivery->ready && now >= delivery->look_at && !ec_worker_ready())
		delivery->ready = false;
	if (!delivery->ready)
	{
		if (!delivery->woken && now < delivery->look_at)
			return;
		delivery->woken = false;
		delivery->look_at = now + (int64) ec_guc_worker_naptime * 1000;
		if (!ec_worker_ready() || !step(delivery, ec_worker_transaction(reclaim, delivery)))
			return;
		delivery->ready = true;
		delivery->woken = true;
	}

	if (now - delivery->trimmed_at >= TRIM_INTERVAL)
	{
		delivery->trimmed_at = now;
		if (!step(delivery, ec_worker_transaction(trim, delivery)))
			return;
	}

	if (delivery->queued + delivery->inflight > 0 && now - delivery->looked_at < LEASE_INTERVAL)
		return;
	if (delivery->woken || now >= delivery->look_at || now >= delivery->next_due_at)
		ec_lanes_forget_passes(delivery);
	else if (!ec_lanes_want_lease(delivery, now))
		return;
	if (now >= delivery->next_due_at)
		delivery->next_due_at = PG_INT64_MAX;
	(void) step(delivery, delivery_lease(delivery));
}

/* ---- the loop ---- */

/* The least of a and b, where -1 stands for never. */
static int64
sooner(int64 a, int64 b)
{
	if (a < 0)
		return b;
	return (b < 0 || a < b) ? a : b;
}

/* Time until there is something to do without being woken, in us. */
static int64
delivery_wait(EcDelivery *delivery)
{
	int64		now = ec_worker_clock();
	long		ms = ec_multi_timeout(delivery->multi);
	int64		wait = ms < 0 ? -1 : ms * INT64CONST(1000);

	for (EcTarget *target = delivery->targets; target != NULL; target = target->next)
		if (target->pool != NULL)
		{
			ms = ec_smtp_pool_timeout(target->pool);
			wait = sooner(wait, ms < 0 ? -1 : ms * INT64CONST(1000));
		}
	if (now < delivery->error_until)
		return sooner(wait, delivery->error_until - now);
	wait = sooner(wait, ec_lanes_wait(delivery, now));
	if (delivery->done.n > 0)
		wait = sooner(wait, delivery->inflight == 0 ? 0
					  : Max(delivery->done_since + SETTLE_DELAY - now, 0));
	if (delivery->busy.n > 0)
		wait = sooner(wait, Max(delivery->busy_until - now, 0));
	if (delivery->uncounted)
		wait = sooner(wait, Max(delivery->counted_at + EC_COUNT_INTERVAL - now, 0));
	wait = sooner(wait, Max(delivery->look_at - now, 0));
	if (!delivery->ready)
		return wait;
	if (delivery->next_due_at != PG_INT64_MAX)
		wait = sooner(wait, Max(delivery->next_due_at - now, 0));
	if (delivery->woken || ec_lanes_want_lease(delivery, now))
		wait = sooner(wait, delivery->queued + delivery->inflight > 0
					  ? Max(delivery->looked_at + LEASE_INTERVAL - now, 0) : 0);
	return wait;
}

/* Before a longer sleep we must know when the next message is due. */
static void
delivery_ask_due(EcDelivery *delivery)
{
	int64		now = ec_worker_clock();

	if (delivery->next_due_known || !delivery->ready || now < delivery->error_until)
		return;
	if (now - delivery->next_due_asked < DUE_INTERVAL)
	{
		delivery->next_due_at = Min(delivery->next_due_at, delivery->next_due_asked + DUE_INTERVAL);
		return;
	}
	delivery->next_due_asked = now;
	delivery->next_due_known = true;
	(void) step(delivery, ec_worker_transaction(ask_next_due, delivery));
}

static void
delivery_show(const EcDelivery *delivery)
{
	char		text[128];

	if (!delivery->ready)
		return;
	if (delivery->queued + delivery->inflight == 0)
		pgstat_report_activity(STATE_IDLE, "waiting for messages");
	else
	{
		snprintf(text, sizeof(text), "delivering: %d messages under way, %d more leased",
				 delivery->inflight, delivery->queued);
		ec_worker_show(text);
	}
}

static bool
delivery_is_over(EcDelivery *delivery)
{
	return delivery->once && delivery->done.n == 0 && delivery->busy.n == 0 &&
		delivery->queued + delivery->inflight == 0 && !delivery->woken &&
		(!delivery->ready || ec_lanes_exhausted(delivery, ec_worker_clock()));
}

/*
 * Deliver until the process ends, or, if told so, until nothing is due.
 */
void
ec_delivery_run(EcDelivery *delivery)
{
	WaitEventSet *set = ec_wait_event_set_create(3);
	uint32		event = ec_wait_event("EcautoDelivery");

	(void) AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	(void) AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	(void) AddWaitEventToSet(set, WL_SOCKET_READABLE, ec_poll_fd(delivery->poll), NULL, NULL);

	for (;;)
	{
		WaitEvent	happened[3];
		int64		wait;

		if (MyLatch->is_set)
		{
			ResetLatch(MyLatch);
			delivery->woken = true;
		}
		ec_worker_interrupts();
		delivery_transact(delivery);
		ec_lanes_start(delivery, ec_worker_clock());
		if (delivery->recallable > 0)
			ec_delivery_recall(delivery);
		for (EcTarget *target = delivery->targets; target != NULL; target = target->next)
			if (target->pool != NULL)
				ec_smtp_pool_run(target->pool);
		ec_multi_run(delivery->multi, delivery->poll);
		if (delivery_is_over(delivery))
		{
			(void) ec_delivery_count(delivery);
			break;
		}

		wait = delivery_wait(delivery);
		if (wait != 0)
		{
			delivery_ask_due(delivery);
			wait = delivery_wait(delivery);
		}
		if (wait == 0)
			continue;
		delivery_show(delivery);
		ec_poll_apply(delivery->poll);
		(void) WaitEventSetWait(set, wait < 0 ? -1 : (long) ((wait + 999) / 1000),
								happened, lengthof(happened), event);
	}
	FreeWaitEventSet(set);
}

EcDelivery *
ec_delivery_create(bool once)
{
	EcDelivery *delivery;
	MemoryContext context;
	struct rlimit files;

	context = AllocSetContextCreate(TopMemoryContext, "ecauto delivery", ALLOCSET_DEFAULT_SIZES);
	delivery = MemoryContextAllocZero(context, sizeof(EcDelivery));
	delivery->context = context;
	delivery->jobs = AllocSetContextCreate(context, "ecauto messages", ALLOCSET_DEFAULT_SIZES);
	delivery->round = AllocSetContextCreate(context, "ecauto delivery round", ALLOCSET_DEFAULT_SIZES);
	delivery->once = once;
	delivery->woken = true;
	delivery->next_due_at = PG_INT64_MAX;
	delivery->trimmed_at = PG_INT64_MIN / 2;

	delivery->inflight_most = INFLIGHT_MOST;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY)
		delivery->inflight_most = (int) Min(INFLIGHT_MOST,
											Max((int64) files.rlim_cur - FILES_OF_SERVER, 64) / 2);

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
		(delivery->poll = ec_poll_create()) == NULL ||
		(delivery->multi = ec_multi_create(delivery->poll)) == NULL ||
		(delivery->http = ec_http_create(delivery->multi, delivery->poll,
										 ec_job_http_answer, delivery)) == NULL)
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not initialize libcurl")));
	curl_multi_setopt(delivery->multi, CURLMOPT_MAXCONNECTS, (long) delivery->inflight_most);
	MemoryContextSwitchTo(delivery->round);
	return delivery;
}

/* before_shmem_exit callback; code 0: it was told that it is not needed */
static void
delivery_leave(int code, Datum arg)
{
	AbortOutOfAnyTransaction();
	ec_delivery_leave((EcDelivery *) DatumGetPointer(arg));
}

void
ecauto_delivery_main(Datum arg)
{
	EcDelivery *delivery;

	ec_worker_begin(EC_WAKE_DELIVERY);
	ec_worker_settings();
	delivery = ec_delivery_create(false);
	before_shmem_exit(delivery_leave, PointerGetDatum(delivery));
	ec_delivery_run(delivery);
}

/*-------------------------------------------------------------------------
 *
 * worker_delivery.h
 *		Inside the process that delivers: jobs, lanes, targets.
 *
 * A *job* is a leased message made ready to be sent.  A *lane* is an endpoint:
 * its queue of jobs and its pace.  A *target* is an endpoint as one sender may
 * use it, with the credentials of that sender's user mapping.
 *
 * A job and all it is made of is one piece of memory.  Targets live in memory
 * contexts of their own.  Both are made and deleted only by the loop; what
 * libcurl's callbacks add to a job is malloc'd.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_WORKER_DELIVERY_H
#define EC_WORKER_DELIVERY_H

#include "worker/worker.h"

#include "outbox/outbox.h"
#include "worker/worker_http.h"
#include "worker/worker_pace.h"
#include "worker/worker_poll.h"
#include "worker/worker_smtp.h"

typedef struct EcDelivery EcDelivery;
typedef struct EcLane EcLane;
typedef struct EcTarget EcTarget;
typedef struct EcJob EcJob;

struct EcTarget
{
	MemoryContext context;		/* holds the target */
	EcTarget   *next;
	EcLane	   *lane;
	char	   *sender;
	EcEndpoint *endpoint;
	EcSmtpPool *pool;			/* mail; NULL until needed */
	int			jobs;			/* that point here */
	bool		stale;			/* catalogs changed: goes with its last job */
};

struct EcJob
{
	EcJob	   *next;
	EcLane	   *lane;
	EcTarget   *target;			/* NULL if it could not be made ready */
	int64		id;
	ItemPointerData tid;		/* of the leased row */
	int			priority;		/* -1, 0, 1 */
	char	   *entity;			/* others of it wait for this one; NULL */
	bool		recallable;		/* may be taken back while it is leased */
	int			attempts;
	int64		lease_end;		/* ec_worker_clock() */
	TimestampTz queued_at;
	int64		ended;			/* ec_worker_clock() when its try did */
	/* HTTP */
	char	   *url;
	const char *method;
	struct curl_slist *headers; /* malloc'd; libcurl's once started */
	char	   *body;			/* mail: the text; NULL: none */
	size_t		len;
	/* mail */
	char	   *from;
	char	  **rcpts;
	int			nrcpts;
	/* what came of it; strings are malloc'd and as raw as they came */
	EcOutcome	outcome;
	int			status;
	int64		retry_after;	/* ms; -1: the other side did not say */
	char	   *error;
	char	   *answer;
	size_t		answer_len;
	int			nremaining;
	char	  **remaining;		/* point into rcpts */
	char	   *refused;		/* mail: recipients refused for good, of one to be tried again */
	bool		busy;			/* could not be settled, as others hold the row; */
	int64		busy_since;		/* us of ec_worker_clock(); 0: never yet */
};

typedef struct EcJobList
{
	EcJob	   *first;
	EcJob	   *last;
	int			n;
} EcJobList;

struct EcLane
{
	EcLane	   *next;
	char	   *name;
	bool		exists;			/* there is such a foreign server, ... */
	Oid			server;			/* ... this one */
	bool		paused;
	bool		mail;
	int			concurrency;
	int			timeout;		/* ms */
	int			max_attempts;
	int64		give_up_after;	/* ms; 0: never */
	EcPace		pace;
	bool		breaker_changed;	/* not shown yet */
	EcJobList	queue[EC_PRIORITIES];
	/* how far a pass through the messages of each priority has come */
	TimestampTz after_at[EC_PRIORITIES];
	int64		after_id[EC_PRIORITIES];
	bool		from_middle;
	List	   *entities;		/* char *: those whose first message has ended */
	int64		pass_began;
	bool		more;			/* the last lease left some, or nobody looked yet */
	int			queued;			/* in all queues */
	int			inflight;
	double		speed;			/* messages ended per second, lately */
	int64		speed_at;
	int			ended;			/* since speed_at */
	EcTally		uncounted;		/* settled, not written to the counters yet */
	EcTally		settling;		/* in the batch that is being settled */
};

struct EcDelivery
{
	MemoryContext context;		/* of lanes and everything that lasts */
	MemoryContext jobs;
	MemoryContext round;		/* reset after each transaction */
	EcPoll	   *poll;
	CURLM	   *multi;
	EcHttp	   *http;
	EcLane	   *lanes;			/* in the order of their names */
	EcTarget   *targets;
	uint64		generation;		/* of the catalogs, when lanes were loaded */
	EcJobList	leased;			/* being made ready */
	EcJobList	done;			/* to be settled */
	int64		done_since;
	EcJobList	busy;			/* done, too, but others hold their rows */
	int64		busy_until;		/* us of ec_worker_clock(): when to try those again */
	int			queued;			/* jobs in lanes */
	int			inflight;
	int			inflight_most;
	bool		once;			/* ends when what was due at its start is done */
	TimestampTz due;			/* once: that start, by ecauto.now(); else 0 */
	bool		ready;			/* the extension and its state are there */
	bool		careful;		/* the last lease failed: expect it of every message */
	bool		one_by_one;		/* the last settle failed: a transaction per job */
	bool		woken;			/* look for messages */
	bool		next_due_known;
	/* all these in us of ec_worker_clock() */
	int64		looked_at;		/* last lease */
	int64		look_at;		/* look at the latest then */
	int64		next_due_at;	/* when the next known message will be due */
	int64		next_due_asked;
	int64		expired_at;		/* last end of expired messages */
	int64		counted_at;		/* last write of the counters */
	bool		uncounted;		/* some lane has something to be written */
	int64		trimmed_at;		/* last look at the age of the history */
	int64		error_until;	/* no transaction before, after one failed */
	int64		error_wait;
	int			recallable;		/* jobs in hand that may be recalled */
	uint64		recalls;		/* ec_outbox_recalls() when jobs were last looked for */
	int64		count[EC_RELEASE + 1];	/* settled so far, by outcome */
};

/* ---- worker_delivery.c ---- */

extern EcDelivery *ec_delivery_create(bool once);
extern void ec_delivery_run(EcDelivery *delivery);
extern void ec_delivery_leave(EcDelivery *delivery);
extern void ec_delivery_finish(EcDelivery *delivery, EcJob *job, EcOutcome outcome);

/* ---- worker_settle.c ---- */

/* us: the counters are written no more often while there is work in hand */
#define EC_COUNT_INTERVAL (USECS_PER_SEC / 10)

extern bool ec_delivery_settle(EcDelivery *delivery);
extern void ec_delivery_settle_busy(EcDelivery *delivery);
extern bool ec_delivery_count(EcDelivery *delivery);

/* ---- worker_lane.c ---- */

extern void ec_lanes_load(EcDelivery *delivery);
extern EcLane *ec_lane_find(EcDelivery *delivery, const char *name);
extern int	ec_lane_room(EcLane *lane, int64 now);
extern void ec_lane_look_again(EcLane *lane);
extern void ec_lane_look_at(EcDelivery *delivery, EcLane *lane, const char *entity);
extern bool ec_lanes_exhausted(EcDelivery *delivery, int64 now);
extern void ec_lanes_leased(EcDelivery *delivery, const EcLeaseWish *wishes, int nwishes);
extern bool ec_lanes_want_lease(EcDelivery *delivery, int64 now);
extern EcLeaseWish *ec_lanes_wishes(EcDelivery *delivery, int64 now, int *nwishes, int *lease_ms);
extern void ec_lane_recall(EcDelivery *delivery, EcLane *lane,
						   bool (*stays) (int64 job, void *arg), void *arg);
extern void ec_lane_push(EcDelivery *delivery, EcJob *job);
extern void ec_lanes_start(EcDelivery *delivery, int64 now);
extern int64 ec_lanes_wait(EcDelivery *delivery, int64 now);
extern void ec_lanes_forget_passes(EcDelivery *delivery);
extern EcTarget *ec_target_get(EcDelivery *delivery, EcLane *lane, const char *sender);
extern void ec_target_release(EcDelivery *delivery, EcTarget *target);

/* ---- worker_recall.c ---- */

extern void ec_delivery_recall(EcDelivery *delivery);

/* ---- worker_job.c ---- */

extern void ec_job_create(EcDelivery *delivery, const EcMessage *message, int64 lease_end);
extern void ec_job_free(EcJob *job);
extern void ec_job_start(EcDelivery *delivery, EcJob *job);
extern void ec_job_http_answer(const EcHttpAnswer *answer, void *job, void *arg);
extern void ec_job_mail_result(const EcSmtpResult *result, void *arg);

static inline void
ec_jobs_append(EcJobList *list, EcJob *job)
{
	job->next = NULL;
	if (list->last != NULL)
		list->last->next = job;
	else
		list->first = job;
	list->last = job;
	list->n++;
}

static inline EcJob *
ec_jobs_shift(EcJobList *list)
{
	EcJob	   *job = list->first;

	if (job != NULL)
	{
		list->first = job->next;
		if (list->first == NULL)
			list->last = NULL;
		list->n--;
		job->next = NULL;
	}
	return job;
}

#endif							/* EC_WORKER_DELIVERY_H */

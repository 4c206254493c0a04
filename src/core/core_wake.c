/*-------------------------------------------------------------------------
 *
 * core_wake.c
 *		Waking the background workers of a database when a transaction with
 *		work for them has committed.
 *
 * Shared memory holds one slot per worker: the database it serves, what it
 * does, and its process.  A backend that noted a key or enqueued a message
 * remembers that in a process-local flag; its commit callback finds the slot
 * and sets the latch.  No NOTIFY (which serializes commits), and nothing at
 * all when the transaction rolls back.
 *
 * A wake may concern a subject, which for the delivery is the endpoint of a
 * message.  A worker can be deaf to some: while an endpoint is paused, what is
 * enqueued for it needs no worker, and a wake costs both sides more than the
 * message itself.  Whoever ends the reason for that wakes without a subject,
 * and the worker hears again before it looks for what it has missed.
 *
 * Without ecauto in shared_preload_libraries there is no shared memory; then
 * nobody is woken, and ecauto.tick() and ecauto.deliver() do the work when
 * they are called.
 *
 * Locking: one LWLock protects the slots.  It is taken in shared mode to find
 * a latch, exclusively to claim or release a slot, and never held while
 * anything else is done.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"

#include "core/core.h"

/* two workers for each of up to 64 databases */
#define WAKE_SLOTS 128

/* databases of which it is known whether capture failed in them */
#define FAILURE_SLOTS 256

/* subjects that one transaction tells apart; with more it just wakes */
#define WAKE_SUBJECTS 8

typedef struct WakeSlot
{
	Oid			database;		/* InvalidOid: free */
	EcWakeKind	kind;
	int			pid;
	Latch	   *latch;
	int			ndeaf;			/* subjects that do not wake it */
	Oid			deaf[EC_WAKE_DEAF_MOST];
} WakeSlot;

/* Did capture lose notes in a database, of which nobody has ordered a resync? */
typedef struct Failure
{
	Oid			database;		/* InvalidOid: free */
	bool		failed;
	uint32		overflow;		/* of those, how many it has taken note of */
} Failure;

typedef struct WakeShared
{
	LWLock	   *lock;
	WakeSlot	slots[WAKE_SLOTS];
	Failure		failures[FAILURE_SLOTS];
	uint32		overflow;		/* times a failure did not fit: it may be of any database */
} WakeShared;

PG_FUNCTION_INFO_V1(ecauto_capture_failed);

static WakeShared *shared = NULL;
static int	my_slot = -1;
static bool wake_wanted[EC_WAKE_KINDS];

/* of the delivery, unless wake_wanted says that it is to be woken in any case */
static Oid	wake_subjects[WAKE_SUBJECTS];
static int	wake_nsubjects = 0;
static bool local_failure = false;

/* nesting level of the transaction that took a failure; 0: none did */
static int	failure_taken_level = 0;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

static void
wake_shmem_request(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(sizeof(WakeShared));
	RequestNamedLWLockTranche("ecauto", 1);
}

static void
wake_shmem_startup(void)
{
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("ecauto", sizeof(WakeShared), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(WakeShared));
		shared->lock = &GetNamedLWLockTranche("ecauto")->lock;
	}
	LWLockRelease(AddinShmemInitLock);
}

/* Does a worker hear at least one of the subjects of this transaction? */
static bool
slot_hears(const WakeSlot *slot)
{
	for (int i = 0; i < wake_nsubjects; i++)
	{
		bool		deaf = false;

		for (int k = 0; k < slot->ndeaf; k++)
			deaf = deaf || slot->deaf[k] == wake_subjects[i];
		if (!deaf)
			return true;
	}
	return false;
}

static void
wake_for_subjects(void)
{
	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < WAKE_SLOTS; i++)
	{
		WakeSlot   *slot = &shared->slots[i];

		if (slot->database == MyDatabaseId && slot->kind == EC_WAKE_DELIVERY && slot_hears(slot))
			SetLatch(slot->latch);
	}
	LWLockRelease(shared->lock);
}

/* Called at the end of every transaction of this process; must not raise. */
static void
wake_xact_callback(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	for (int kind = 0; kind < EC_WAKE_KINDS; kind++)
	{
		if (!wake_wanted[kind])
			continue;
		wake_wanted[kind] = false;
		if (kind == EC_WAKE_DELIVERY)
			wake_nsubjects = 0;
		if (event == XACT_EVENT_COMMIT)
			ec_wake_now(MyDatabaseId, kind);
	}
	if (wake_nsubjects > 0)
	{
		if (event == XACT_EVENT_COMMIT)
			wake_for_subjects();
		wake_nsubjects = 0;
	}
	if (failure_taken_level > 0 && event != XACT_EVENT_COMMIT)
		ec_capture_failure_report();
	failure_taken_level = 0;
}

/* Called at the end of every subtransaction; must not raise. */
static void
wake_subxact_callback(SubXactEvent event, SubTransactionId subid,
					  SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (failure_taken_level < level)
		return;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		failure_taken_level = level - 1;
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		failure_taken_level = 0;
		ec_capture_failure_report();
	}
}

/*
 * Ask for shared memory if the library is being preloaded, and follow the
 * ends of transactions.  Called once per process, by _PG_init().
 */
void
ec_wake_init(void)
{
	if (process_shared_preload_libraries_in_progress)
	{
		prev_shmem_request_hook = shmem_request_hook;
		shmem_request_hook = wake_shmem_request;
		prev_shmem_startup_hook = shmem_startup_hook;
		shmem_startup_hook = wake_shmem_startup;
	}
	RegisterXactCallback(wake_xact_callback, NULL);
	RegisterSubXactCallback(wake_subxact_callback, NULL);
}

/*
 * Is ecauto preloaded, so that workers can be woken?
 */
bool
ec_wake_available(void)
{
	return shared != NULL;
}

static void
wake_unregister(int code, Datum arg)
{
	if (my_slot < 0)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	memset(&shared->slots[my_slot], 0, sizeof(WakeSlot));
	LWLockRelease(shared->lock);
	my_slot = -1;
}

/*
 * Make this process the worker of its kind for its database, until it exits.
 *
 * Returns false if another live process has that place, if there is no shared
 * memory, or if all slots are taken.
 */
bool
ec_wake_register(EcWakeKind kind)
{
	int			chosen = -1;

	if (shared == NULL)
		return false;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < WAKE_SLOTS; i++)
	{
		WakeSlot   *slot = &shared->slots[i];

		if (slot->database == MyDatabaseId && slot->kind == kind)
		{
			chosen = -1;
			break;
		}
		if (slot->database == InvalidOid && chosen < 0)
			chosen = i;
	}
	if (chosen >= 0)
	{
		WakeSlot   *slot = &shared->slots[chosen];

		slot->database = MyDatabaseId;
		slot->kind = kind;
		slot->pid = MyProcPid;
		slot->latch = MyLatch;
		my_slot = chosen;
	}
	LWLockRelease(shared->lock);

	if (chosen >= 0)
		before_shmem_exit(wake_unregister, (Datum) 0);
	return chosen >= 0;
}

/*
 * Wake the worker when the current transaction commits.
 */
void
ec_wake_at_commit(EcWakeKind kind)
{
	wake_wanted[kind] = true;
}

/*
 * Wake the delivery worker when the current transaction commits, unless it is
 * deaf to the subject then.
 */
void
ec_wake_at_commit_for(Oid subject)
{
	for (int i = 0; i < wake_nsubjects; i++)
		if (wake_subjects[i] == subject)
			return;
	if (wake_nsubjects == WAKE_SUBJECTS)
		wake_wanted[EC_WAKE_DELIVERY] = true;
	else
		wake_subjects[wake_nsubjects++] = subject;
}

/*
 * This worker is not to be woken for these subjects; of more than
 * EC_WAKE_DEAF_MOST the rest still wakes it.
 */
void
ec_wake_deaf(const Oid *subjects, int n)
{
	WakeSlot   *slot;

	if (my_slot < 0)
		return;
	n = Min(n, EC_WAKE_DEAF_MOST);
	slot = &shared->slots[my_slot];
	/* nobody else writes there */
	if (slot->ndeaf == n && memcmp(slot->deaf, subjects, sizeof(Oid) * n) == 0)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	memcpy(slot->deaf, subjects, sizeof(Oid) * n);
	slot->ndeaf = n;
	LWLockRelease(shared->lock);
}

/*
 * Wake the worker of a database at once; does nothing if there is none.
 */
void
ec_wake_now(Oid database, EcWakeKind kind)
{
	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < WAKE_SLOTS; i++)
		if (shared->slots[i].database == database && shared->slots[i].kind == kind)
			SetLatch(shared->slots[i].latch);
	LWLockRelease(shared->lock);
}

/*
 * Process id of the worker of a database; 0 if there is none.
 */
int
ec_wake_pid(Oid database, EcWakeKind kind)
{
	int			pid = 0;

	if (shared == NULL)
		return 0;
	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < WAKE_SLOTS; i++)
		if (shared->slots[i].database == database && shared->slots[i].kind == kind)
			pid = shared->slots[i].pid;
	LWLockRelease(shared->lock);
	return pid;
}

/*
 * What is known of a database; NULL if there is no room for it.  Those that
 * did not fail make room: at worst such a database resyncs once in vain after
 * an overflow.  The lock is held exclusively.
 */
static Failure *
failure_of(Oid database)
{
	Failure    *room = NULL;

	for (int i = 0; i < FAILURE_SLOTS; i++)
	{
		Failure    *failure = &shared->failures[i];

		if (failure->database == database)
			return failure;
		if (!failure->failed && (room == NULL || failure->database == InvalidOid))
			room = failure;
	}
	if (room != NULL)
	{
		memset(room, 0, sizeof(Failure));
		room->database = database;
	}
	return room;
}

/*
 * Remember that capture lost notes in this database, where a rolled-back
 * transaction cannot undo it.  The next tick resyncs every role.
 */
void
ec_capture_failure_report(void)
{
	Failure    *failure;

	local_failure = true;
	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	failure = failure_of(MyDatabaseId);
	if (failure != NULL)
		failure->failed = true;
	else
		shared->overflow++;
	LWLockRelease(shared->lock);
}

/*
 * Did capture lose notes in this database since the last call?  It is as if
 * not asked if the current (sub)transaction is rolled back.
 */
bool
ec_capture_failure_take(void)
{
	bool		taken = local_failure;

	local_failure = false;
	if (shared != NULL)
	{
		Failure    *failure;

		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
		failure = failure_of(MyDatabaseId);
		if (failure == NULL)
			taken = true;
		else
		{
			taken = taken || failure->failed || failure->overflow != shared->overflow;
			failure->failed = false;
			failure->overflow = shared->overflow;
		}
		LWLockRelease(shared->lock);
	}
	if (taken)
		failure_taken_level = GetCurrentTransactionNestLevel();
	return taken;
}

/*
 * ecauto.capture_failed() returns boolean
 *
 * What ec_capture_failure_take() would say, without taking it.
 */
Datum
ecauto_capture_failed(PG_FUNCTION_ARGS)
{
	bool		failed = local_failure;

	if (shared != NULL)
	{
		Failure    *failure;

		/* ours may have been taken by the worker */
		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
		failure = failure_of(MyDatabaseId);
		failed = failure == NULL || failure->failed || failure->overflow != shared->overflow;
		LWLockRelease(shared->lock);
	}
	PG_RETURN_BOOL(failed);
}

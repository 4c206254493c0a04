/*-------------------------------------------------------------------------
 *
 * core.h
 *		What every domain stands on: settings, the clock, the state in
 *		ecauto_data, kept plans, acting as another role, waking a worker, and
 *		the tick.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_CORE_H
#define EC_CORE_H

#include "compat/compat.h"

#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

/* schemas; DESIGN.md section 2 says why there are two */
#define EC_CODE_SCHEMA	"ecauto"
#define EC_STATE_SCHEMA "ecauto_data"

/* version of the state that this library reads and writes */
#define EC_STATE_VERSION 1

/* longest key of a row of the shop, in bytes: it must fit an index of ours */
#define EC_KEY_MAX 1000

/* ---- core_settings.c ---- */
extern char *ec_guc_databases;
extern char *ec_guc_clock;
extern int	ec_guc_history_keep;	/* in days */
extern char *ec_guc_mail_endpoint;
extern char *ec_guc_manager_mail;
extern int	ec_guc_max_payload; /* in kB */
extern int	ec_guc_settle_time; /* in ms */
extern char *ec_guc_timezone;
extern char *ec_guc_unsubscribe_url;
extern int	ec_guc_worker_naptime;	/* in ms */

extern void ec_settings_init(void);

/* ---- core_clock.c ---- */
extern TimestampTz ec_now(void);
extern bool ec_clock_check(char **newval, void **extra, GucSource source);
extern void ec_clock_assign(const char *newval, void *extra);

/* ---- core_state.c ---- */
extern bool ec_state_exists(void);
extern void ec_state_require(void);
extern Oid	ec_state_owner(void);
extern Oid	ec_state_relation(const char *name, bool missing_ok);

/* ---- core_as.c ---- */

/* Who we were before ec_as_begin(); lives on the caller's stack. */
typedef struct EcAs
{
	Oid			user;
	int			sec_context;
	int			guc_level;		/* 0: settings untouched */
} EcAs;

extern void ec_as_state_owner(EcAs *as);
extern void ec_as_definer(EcAs *as, Oid user, const char *search_path);
extern void ec_as_end(EcAs *as);
extern void ec_prefer_lookups(void);
extern void ec_require_operator(const char *what);
extern void ec_require_reader(const char *what);
extern bool ec_is_operator(Oid user);

/* ---- core_try.c ---- */
typedef void (*EcTryRun) (void *arg);
extern ErrorData *ec_try(EcTryRun run, void *arg, bool rollback);

/* ---- core_plan.c ---- */
extern SPIPlanPtr ec_plan(const char *text, int nargs, const Oid *argtypes);

/* ---- core_bucket.c ---- */
extern double ec_bucket(const char *name, size_t name_len, const char *customer, size_t customer_len);

/* ---- core_uuid.c ---- */
#define EC_UUID_LEN 16
extern void ec_uuid_next(unsigned char *uuid);

/* ---- core_wake.c ---- */

/* The processes that serve one database. */
typedef enum EcWakeKind
{
	EC_WAKE_TICK,				/* reads the change log, runs automations */
	EC_WAKE_DELIVERY,			/* drains the outbox */
	EC_WAKE_KINDS
} EcWakeKind;

/* subjects that a worker can choose not to hear of */
#define EC_WAKE_DEAF_MOST 16

extern void ec_wake_init(void);
extern bool ec_wake_available(void);
extern bool ec_wake_register(EcWakeKind kind);
extern void ec_wake_at_commit(EcWakeKind kind);
extern void ec_wake_at_commit_for(Oid subject);
extern void ec_wake_deaf(const Oid *subjects, int n);
extern void ec_wake_now(Oid database, EcWakeKind kind);
extern int	ec_wake_pid(Oid database, EcWakeKind kind);
extern void ec_capture_failure_report(void);
extern bool ec_capture_failure_take(void);

/* ---- core_progress.c ---- */
extern void ec_progress_init(void);
extern void ec_progress_begin(const char *command);
extern void ec_progress_phase(const char *phase, uint64 total);
extern void ec_progress_advance(uint64 n);
extern void ec_progress_end(void);

/* ---- core_tick.c ---- */

/* One run of ecauto.tick(): what its phases pass on, and what it reports. */
typedef struct EcTick
{
	TimestampTz at;				/* our clock at the start */
	bool		wait;			/* wait for another tick to end? */
	bool		silent;			/* what is compared whole makes no events */
	int64		noted;			/* rows taken from the change log */
	int64		keys;			/* keys read through role queries */
	int64		events;			/* events written */
	int64		messages;		/* outbox rows written */
	int64		pending;		/* change log rows not yet settled */
	TimestampTz next_due;		/* when the next tick has work even if nothing happens; DT_NOEND: never */
	unsigned char first_event[EC_UUID_LEN]; /* bounds of this tick's events; */
	unsigned char last_event[EC_UUID_LEN];	/* valid if events > 0 */
	int64		told;			/* events that others wrote since the last tick; */
	ArrayType  *told_ids;		/* uuid[]; NULL if told == 0 */
	ArrayType  *told_at;		/* timestamptz[], parallel to told_ids */
} EcTick;

typedef void (*EcTickPhase) (EcTick *tick);

extern void ec_tick_add_phase(const char *name, EcTickPhase run);
extern bool ec_tick_run(EcTick *tick);
extern void ec_tick_due(EcTick *tick, TimestampTz at);

#endif							/* EC_CORE_H */

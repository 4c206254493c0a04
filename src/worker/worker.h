/*-------------------------------------------------------------------------
 *
 * worker.h
 *		The background processes: one launcher, and for each database one
 *		that runs the automation and one that delivers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_WORKER_H
#define EC_WORKER_H

#include "core/core.h"

#include "postmaster/bgworker.h"

/* ---- worker_launcher.c ---- */

extern void ec_worker_init(void);
extern List *ec_worker_databases(void);
extern PGDLLEXPORT void ecauto_launcher_main(Datum arg);

/* ---- worker_process.c: what the processes have in common ---- */

/* What a worker of a database is told in bgw_extra. */
typedef struct EcWorkerStart
{
	char		database[NAMEDATALEN];
} EcWorkerStart;

extern int64 ec_worker_clock(void);
extern void ec_worker_signals(void);
extern void ec_worker_begin(EcWakeKind kind);
extern void ec_worker_settings(void);
extern bool ec_worker_ready(void);
extern bool ec_worker_transaction(void (*run) (void *arg), void *arg);
extern void ec_worker_show(const char *what);
extern void ec_worker_interrupts(void);
extern void ec_worker_sleep(int64 ms);
extern void ec_worker_rest(int64 ms);

/* ---- worker_tick.c, worker_delivery.c, worker_deliver.c: their main functions ---- */

extern PGDLLEXPORT void ecauto_tick_main(Datum arg);
extern PGDLLEXPORT void ecauto_delivery_main(Datum arg);
extern PGDLLEXPORT void ecauto_deliver_main(Datum arg);

#endif							/* EC_WORKER_H */

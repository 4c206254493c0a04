#ifndef EC_WORKER_H
#define EC_WORKER_H

extern void ec_worker_init(void);

#endif							/* EC_WORKER_H */

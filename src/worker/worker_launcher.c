#include "worker/worker.h"

void
ec_worker_init(void)
{
}

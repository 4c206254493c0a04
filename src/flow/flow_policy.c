#include "flow/flow.h"

void
ec_flow_tick(EcTick *tick)
{
}

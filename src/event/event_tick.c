#include "event/event.h"

void
ec_event_tick(EcTick *tick)
{
}

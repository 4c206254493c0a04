/*-------------------------------------------------------------------------
 *
 * event.h
 *		From noted keys to events.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_EVENT_H
#define EC_EVENT_H

#include "core/core.h"

extern void ec_event_tick(EcTick *tick);

#endif							/* EC_EVENT_H */

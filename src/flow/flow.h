/*-------------------------------------------------------------------------
 *
 * flow.h
 *		What the shop does by itself when an event has happened.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_FLOW_H
#define EC_FLOW_H

#include "core/core.h"

extern void ec_flow_tick(EcTick *tick);

#endif							/* EC_FLOW_H */

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

/* ---- event_tick.c ---- */
extern void ec_event_tick(EcTick *tick);

/* ---- event_diff.c ---- */

/*
 * How one role's rows are compared with what was seen.  The rows the shop
 * has now are in the relation "shop_now" (and "shop_lines", if lines_role is
 * given), which exist only for the statement.
 */
typedef struct EcDiff
{
	const char *role;
	const char *lines_role;		/* role of the parts, or NULL */
	const char *lines_by;		/* column of lines_role that holds our key */
	const char *seen;			/* what was seen: table in ecauto_data */
	bool		one_row;		/* it has one row for each key */
	int			nkeys;			/* so many first columns tell its rows apart, never NULL */
	const char *statement;		/* "%s" stands for the join with what was seen; $1 keys
								 * text[], $2 time of the events, $3 boolean: write no
								 * events; inserts the events last */
	const char *repeated;		/* the same for rows of which several have one key;
								 * NULL: they must not */
} EcDiff;

extern const EcDiff ec_diffs[];
extern const int ec_ndiffs;

/* ---- event_told.c ---- */

/*
 * The events of a tick as a relation with the columns of ecauto_data.event,
 * for the FROM of a statement whose $1 to $5 are ec_event_tick_args().
 */
#define EC_EVENTS_OF_TICK \
	"(SELECT ev.* FROM ecauto_data.event ev " \
	"WHERE ev.at = $1 AND ev.event_id BETWEEN $2 AND $3 " \
	"UNION ALL " \
	"SELECT ev.* FROM ROWS FROM (pg_catalog.unnest($4), pg_catalog.unnest($5)) AS told (event_id, at) " \
	"JOIN ecauto_data.event ev ON ev.at = told.at AND ev.event_id = told.event_id)"
#define EC_EVENTS_OF_TICK_ARGS 5

extern const Oid ec_event_tick_types[EC_EVENTS_OF_TICK_ARGS];

extern void ec_event_told_take(EcTick *tick);
extern bool ec_event_in_tick(const EcTick *tick);
extern void ec_event_tick_args(const EcTick *tick, Datum *args);
extern void ec_event_emitted(EcTick *tick, int64 n);

/* ---- event_keys.c ---- */
typedef struct EcKeySet EcKeySet;

extern EcKeySet *ec_keys_create(int64 size);
extern bool ec_keys_put(EcKeySet *set, const text *key);
extern int64 ec_keys_count(const EcKeySet *set);
extern int	ec_keys_unique(Datum *keys, int nkeys);

/* ---- event_partition.c ---- */
extern void ec_event_partition_name(char *name, TimestampTz at);
extern void ec_event_partition_ensure(TimestampTz at);
extern void ec_event_partition_ensure_ahead(TimestampTz at);

#endif							/* EC_EVENT_H */

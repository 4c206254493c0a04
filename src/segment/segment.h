/*-------------------------------------------------------------------------
 *
 * segment.h
 *		Segments: sets of customers that a condition describes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_SEGMENT_H
#define EC_SEGMENT_H

#include "core/core.h"
#include "expr/expr.h"
#include "scoring/scoring.h"

#include "nodes/pg_list.h"

/* ---- segment_define.c ---- */

typedef struct EcSegment
{
	int			id;
	char	   *name;
	char	   *condition;		/* NULL: a list */
	char	   *leave_condition;	/* or NULL */
	char	   *definer;
	char	   *broken;			/* why it cannot be evaluated, or NULL */
	bool		was_broken;		/* the state says so already */
	EcExpr	   *enter;			/* checked; NULL for a list, or if broken */
	EcExpr	   *leave;			/* or NULL */
	List	   *refs;			/* of EcSegment: those that its conditions speak of */
	int			level;			/* 0: it speaks of none; else above those it speaks of */
	bool		rows[EC_SCORING_ROWS];	/* those that its conditions speak of */
	bool		foreign;		/* its definer evaluates it, over rows handed to him */
	bool		kept;			/* a refresh leaves its members as they are */
} EcSegment;

/* All segments, and the scope of their conditions. */
typedef struct EcSegmentSet
{
	EcExprScope *scope;
	List	   *segments;		/* of EcSegment, by level */
} EcSegmentSet;

extern EcSegmentSet *ec_segments_load(void);
extern EcSegment *ec_segment_find(const EcSegmentSet *set, const char *name);
extern EcSegment *ec_segment_get(const EcSegmentSet *set, const char *name);
extern List *ec_segment_closure(const EcSegmentSet *set, EcSegment *segment);
extern Oid	ec_segment_definer(const EcSegment *segment);
extern void ec_segment_mark_broken(const EcSegment *segment, const ErrorData *error, TimestampTz at);
extern int64 ec_segments_version(void);
extern void ec_segments_lock(void);

/* ---- segment_query.c ---- */

/*
 * Where a query about segments gets things from, as SQL: keys of customers
 * (NULL: all), the as-of time, and two parallel arrays that say which customer
 * (text[]) is in which segment (integer[]) that its definer evaluated.
 */
typedef struct EcSegmentQuery
{
	const char *keys;
	const char *as_of;
	const char *foreign_keys;	/* NULL: there are none */
	const char *foreign_ids;
	bool		times;			/* add ec_next: nothing changes before, if only time passes */
	bool		all_columns;	/* of the row customer, not only those that are used */
	bool		part;			/* not of all segments: ec_next is not after what the state says */
} EcSegmentQuery;

extern char *ec_segment_query(const EcSegmentSet *set, List *segments, const EcSegmentQuery *query);
extern char *ec_segment_column(int id);
extern void ec_segment_used_columns(List *segments, bool *used);
extern void ec_segment_used_rows(List *segments, bool *rows);
extern bool ec_segment_uses(const EcExpr *expr, const char *row);
extern void ec_segment_foreign(const EcSegmentSet *set, List *segments, ArrayType *keys, TimestampTz as_of,
							   ArrayType **foreign_keys, ArrayType **foreign_ids);

/* ---- segment_time.c ---- */
extern char *ec_segment_next_sql(const EcExpr *expr, EcExprColumnSql column_sql, void *arg,
								 const char *as_of);

/* ---- segment_refresh.c ---- */

/* What a refresh did. */
typedef struct EcSegmentRefresh
{
	int64		customers;		/* looked at */
	int64		changed;		/* in other segments now */
	int64		entered;
	int64		left;
} EcSegmentRefresh;

extern void ec_segments_group(TimestampTz at);
extern void ec_segment_tick(EcTick *tick);
extern void ec_segments_refresh(ArrayType *keys, const char *reason, bool silent, TimestampTz at,
								EcSegmentRefresh *result);
extern void ec_segments_refresh_defined(const char *name, bool silent, TimestampTz at,
										EcSegmentRefresh *result);

/* ---- segment_ask.c ---- */
extern bool ec_segment_holds(const EcSegmentSet *set, EcSegment *segment, text *customer, TimestampTz as_of);

#endif							/* EC_SEGMENT_H */

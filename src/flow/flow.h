/*-------------------------------------------------------------------------
 *
 * flow.h
 *		Flows: what the shop does by itself when something has happened.
 *
 * From a definition to its effects:
 *
 *		definition (jsonb)
 *			-> ec_flow_parse()		EcFlow: trigger, conditions, operations
 *			-> ec_flow_check()		names, conditions and actions are there
 *		events of a tick
 *			-> ec_flow_match()		rows of flow_run, by one statement a flow
 *		runs that are new, due, or got the event they waited for
 *			-> ec_flow_advance()	set-wise, all runs at one operation together
 *
 *		flow_kind.c		what kinds of event there are, and what they tell
 *		flow_json.c		reading a definition, with errors that name the place
 *		flow_parse.c	definition -> EcFlow: the head
 *		flow_step.c		the steps
 *		flow_when.c		times of day, durations, schedules
 *		flow_scope.c	what conditions may speak of, and the SQL for it
 *		flow_check.c	is all there that the definition names
 *		flow_variable.c	do variables of templates stand for something
 *		flow_load.c		flows as stored, parsed once a backend
 *		flow_batch.c	rows of the shop for many runs or events at once
 *		flow_match.c	from events to runs
 *		flow_timed.c	what time alone sets off
 *		flow_run.c		runs go from operation to operation
 *		flow_operation.c  each kind of operation but actions
 *		flow_action.c	actions: parameters rendered, handler called
 *		flow_tick.c		the phase of the tick
 *		flow_explain.c	what a condition saw, leaf by leaf
 *		flow_retention.c  old runs go, what they mark stays
 *		flow_simulate.c	what a flow would do about an event, undone
 *		flow_backtest.c	what it would have done in the past, undone
 *		flow_diagram.c, flow_sql.c	what else users call
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_FLOW_H
#define EC_FLOW_H

#include "compat/compat.h"

#include "core/core.h"
#include "expr/expr.h"
#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

/* ---- flow_kind.c: what can happen ---- */

typedef struct EcFlowColumn
{
	const char *name;
	Oid			type;
} EcFlowColumn;

/* Rows that conditions of flows may speak of; EC_ROW_... is also their order. */
typedef enum EcFlowRow
{
	EC_ROW_EVENT,
	EC_ROW_OLD,
	EC_ROW_NEW,
	EC_ROW_RUN,
	EC_ROW_CUSTOMER,
	EC_ROW_ORDER,
	EC_ROW_CART,
	EC_ROW_SKU,
	EC_ROW_PRODUCT,
	EC_ROW_PRICE,
	EC_ROW_STOCK,
	EC_ROW_LINE,
	EC_ROWS
} EcFlowRow;

#define EC_ROW_BIT(row) (1U << (row))

extern const char *const ec_flow_row_names[EC_ROWS];

/* A kind of event, or a family of kinds that tell the same. */
typedef struct EcFlowKind
{
	const char *kind;
	const char *role;			/* role of the events' key; NULL: behaviour */
	uint32		rows;			/* EC_ROW_BIT of what is known beside event, old, new */
	int			ncolumns;		/* of old and new */
	const EcFlowColumn *columns;
} EcFlowKind;

extern const EcFlowKind *ec_flow_kind(const char *kind);
extern bool ec_flow_kind_is_custom(const char *kind);
extern bool ec_flow_kind_may_be_custom(const char *kind);
extern const char *ec_flow_kind_nearest(const char *kind);

/* ---- flow_json.c: reading a definition ---- */

/* A value somewhere in a definition. */
typedef struct EcFlowNode
{
	JsonbValue	value;
	const char *path;			/* steps[2].then[0]; "" for the whole */
} EcFlowNode;

pg_noreturn extern void ec_flow_error(int code, const char *path, const char *message, const char *hint);
extern void ec_flow_node_root(EcFlowNode *node, Jsonb *definition);
extern bool ec_flow_node_get(const EcFlowNode *node, const char *key, EcFlowNode *found);
extern int	ec_flow_node_length(const EcFlowNode *node);
extern void ec_flow_node_item(const EcFlowNode *node, int i, EcFlowNode *found);
extern List *ec_flow_node_keys(const EcFlowNode *node);
extern bool ec_flow_node_is_object(const EcFlowNode *node);
extern bool ec_flow_node_is_array(const EcFlowNode *node);
extern char *ec_flow_node_string(const EcFlowNode *node, const char *what);
extern double ec_flow_node_number(const EcFlowNode *node, const char *what);
extern Jsonb *ec_flow_node_jsonb(const EcFlowNode *node);
extern void ec_flow_node_only(const EcFlowNode *node, const char *what, int n, const char *const *keys);

/* ---- flow_when.c: durations, times of day, schedules ---- */

/* no wait is longer, and nothing that a flow looks back at either */
#define EC_FLOW_WAIT_DAYS 366

/* A moment that comes again: bits say which minutes, hours, ... of the shop's zone. */
typedef struct EcFlowSchedule
{
	uint64		minutes;		/* bit 0 to 59 */
	uint32		hours;			/* bit 0 to 23 */
	uint32		days;			/* bit 1 to 31; bit 0: the last of the month */
	uint32		months;			/* bit 1 to 12 */
	uint32		weekdays;		/* bit 0 (Sunday) to 6 */
	bool		either_day;		/* cron: day of month or weekday, if both are given */
} EcFlowSchedule;

extern Interval *ec_flow_duration(const EcFlowNode *node, const char *what);
extern void ec_flow_schedule_time(const EcFlowNode *node, const char *what, EcFlowSchedule *schedule);
extern void ec_flow_schedule_weekly(const EcFlowNode *node, EcFlowSchedule *schedule);
extern void ec_flow_schedule_monthly(const EcFlowNode *node, EcFlowSchedule *schedule);
extern void ec_flow_schedule_cron(const EcFlowNode *node, EcFlowSchedule *schedule);
extern TimestampTz ec_flow_schedule_next(const EcFlowSchedule *schedule, TimestampTz after,
										 Timestamp *local);
extern pg_tz *ec_flow_zone(void);
extern Timestamp ec_flow_to_local(TimestampTz at);
extern TimestampTz ec_flow_from_local(Timestamp local);

/* ---- flow_parse.c, flow_step.c: the definition ---- */

typedef enum EcFlowOn
{
	EC_ON_EVENT,
	EC_ON_SCHEDULE,
	EC_ON_CART,					/* a cart left alone */
	EC_ON_DATE,					/* a date of a customer comes round */
	EC_ON_INACTIVITY
} EcFlowOn;

/* What to do about times that passed while nothing ran. */
typedef enum EcFlowCatchUp
{
	EC_CATCH_UP_ONCE,
	EC_CATCH_UP_SKIP,
	EC_CATCH_UP_ALL
} EcFlowCatchUp;

/* One word of "once_per". */
typedef enum EcFlowPer
{
	EC_PER_EVENT,
	EC_PER_CUSTOMER,
	EC_PER_ORDER,
	EC_PER_CART,
	EC_PER_SKU,
	EC_PER_PRODUCT,
	EC_PER_SESSION,
	EC_PER_KEY,
	EC_PER_HOUR,
	EC_PER_DAY,
	EC_PER_WEEK,
	EC_PER_MONTH,
	EC_PER_YEAR
} EcFlowPer;

#define EC_PERS_MAX 4

/* A condition of a flow; texts of SQL are made when they are first needed. */
typedef struct EcFlowCondition
{
	const char *text;
	const char *path;
	/* set by ec_flow_condition_compile() */
	bool		compiled;
	bool		keep;			/* self-contained: means the same for ever */
	const char *sql;			/* over ec_e and rows joined to it */
	const char *operands;		/* SQL of a jsonb object: what it looks at */
	uint32		rows;			/* EC_ROW_BIT of what it uses */
} EcFlowCondition;

typedef enum EcFlowOpKind
{
	EC_OP_ACTION,
	EC_OP_WAIT,					/* for a duration, until a time of day, or for an event */
	EC_OP_IF,
	EC_OP_SPLIT,
	EC_OP_HOLDOUT,
	EC_OP_FOR_EACH,
	EC_OP_EXIT,
	EC_OP_GOAL
} EcFlowOpKind;

typedef struct EcFlowArm
{
	const char *name;
	double		upto;			/* those with a bucket below, from 0 to 1, and not in an earlier arm */
	int			target;
} EcFlowArm;

/* One step.  Targets are indexes of operations; EC_OP_END: the end of the flow. */
#define EC_OP_END (-1)

typedef struct EcFlowOp
{
	EcFlowOpKind kind;
	const char *path;
	const char *verb;			/* as written: if, wait, mail, ... */
	int			next;			/* what follows; if: then; for_each: the body */
	int			other;			/* if: else; wait for an event: it did not come;
								 * for_each: what follows the loop */
	EcFlowCondition condition;	/* if */
	Interval   *span;			/* wait for so long; event: at most */
	EcFlowSchedule *until;		/* wait until then */
	const char *event;			/* wait, goal: kind of event */
	const char *whose;			/* wait, goal: customer, order, ...; NULL: by kind */
	const char *name;			/* split, holdout: of the experiment; exit: reason; action */
	int			narms;
	EcFlowArm  *arms;			/* split */
	double		share;			/* holdout: from 0 to 1 */
	Jsonb	   *params;			/* action */
	bool		templates;		/* action: its parameters hold {{ */
	const char *as;				/* action: name for its result, or NULL */
} EcFlowOp;

typedef struct EcFlow
{
	int32		id;
	int32		version;
	const char *name;
	const char *definer;
	EcFlowOn	on;
	const char *kind_name;		/* of the event that starts it, or that stands for it */
	const EcFlowKind *kind;
	uint32		rows;			/* EC_ROW_BIT of what its steps may speak of */
	Interval   *after;			/* NULL: at once */
	EcFlowSchedule *schedule;
	EcFlowCatchUp catch_up;
	const char *each;			/* schedule: role whose rows are gone through, or NULL */
	const char *column;			/* date, inactivity: column of the customer */
	bool		yearly;			/* date: every year */
	Interval   *shift;			/* date: so much later (or earlier) */
	int			npers;
	EcFlowPer	pers[EC_PERS_MAX];
	EcFlowCondition condition;	/* text NULL: none */
	EcFlowCondition exit_if;
	int			nops;
	EcFlowOp   *ops;			/* 0 is the first */
} EcFlow;

#define EC_FLOW_STEPS_MAX 1000

extern EcFlow *ec_flow_parse(const char *name, Jsonb *definition);
extern void ec_flow_steps_parse(EcFlow *flow, const EcFlowNode *steps);
extern int	ec_flow_op_by_path(const EcFlow *flow, const char *path);

/* ---- flow_scope.c ---- */

extern EcExprScope *ec_flow_scope(const EcFlow *flow, bool with_run);
extern void ec_flow_condition_compile(const EcFlow *flow, EcFlowCondition *condition, bool with_run);

/* ---- flow_check.c ---- */

extern void ec_flow_check(EcFlow *flow);

/* ---- flow_variable.c ---- */

extern void ec_flow_variables_check(const EcFlow *flow, const EcFlowOp *op);

/* ---- flow_load.c: flows as stored ---- */

extern EcFlow *ec_flow_load(int32 id, int32 version);
extern void ec_flow_load_trim(void);
extern int32 ec_flow_find(const char *name, int32 *version, bool *enabled);	/* raises undefined_object */
extern Oid	ec_flow_definer(const EcFlow *flow);

/* ---- flow_match.c: from events to runs ---- */

extern List *ec_flow_match(EcTick *tick, List *flows);
extern List *ec_flow_match_rows(EcTick *tick, EcFlow *flow, const char *sql, int nargs, const Oid *types,
								const Datum *values, const char *nulls);

/* ---- flow_run.c: runs go from operation to operation ---- */

/* where a run stands that does not go on in this tick */
#define EC_OP_REST (-2)
/* before the first operation: the flow's condition is asked now */
#define EC_OP_ENTRY (-3)

/* Runs that stand at the same operation of the same version. */
typedef struct EcFlowGroup
{
	EcFlow	   *flow;
	int			op;				/* index, EC_OP_END or EC_OP_ENTRY */
	int			n;
	int			size;
	int64	   *ids;
} EcFlowGroup;

/* Some of them, as they are taken through the operation. */
typedef struct EcFlowChunk
{
	EcTick	   *tick;
	EcFlow	   *flow;
	int			op;
	int			n;
	int64	   *ids;			/* ascending */
	int		   *next;			/* out: index of the operation that follows, or EC_OP_REST */
} EcFlowChunk;

extern List *ec_flow_group_add(List *groups, EcFlow *flow, int op, const int64 *ids, int n);
extern void ec_flow_advance(EcTick *tick, List *groups);
extern ArrayType *ec_flow_ids(const int64 *ids, int n);
extern void ec_flow_state_run(const char *sql, int nargs, const Oid *types, const Datum *values, const char *nulls);
extern void ec_flow_decide(EcFlowChunk *chunk, const char *path, const char *step, const int64 *ids, int n,
						   const char *outcome, Datum *outcomes, Datum *operands, Datum *details);
extern void ec_flow_finish(EcTick *tick, const int64 *ids, int n, const char *outcome);

/* ---- flow_operation.c: each kind of operation but actions ---- */

extern void ec_flow_entry(EcFlowChunk *chunk);
extern void ec_flow_exit_if(EcFlowChunk *chunk, bool *left);
extern void ec_flow_operation(EcFlowChunk *chunk);
extern bool ec_flow_op_rests_first(const EcFlow *flow);
extern const char *ec_flow_wait_sql(const EcFlowOp *op, TimestampTz at);

/* ---- flow_wait.c: events that runs wait for ---- */

extern void ec_flow_goals_register(EcFlow *flow, const int64 *ids, int n);
extern void ec_flow_wait_register(EcFlow *flow, const EcFlowOp *op, const int64 *ids, int n);
extern List *ec_flow_waits_wake(EcTick *tick, int32 only, List *groups);
extern List *ec_flow_due(EcTick *tick, int32 only, List *groups);

/* ---- flow_action.c ---- */

extern void ec_flow_act(EcFlowChunk *chunk);
extern char *ec_flow_action_find(const char *name, char **search_path, bool *two_arguments);

/* ---- flow_timed.c: what time alone sets off ---- */

extern List *ec_flow_timed(EcTick *tick, EcFlow *flow, TimestampTz watched_until);
extern TimestampTz ec_flow_timed_next(const EcFlow *flow, TimestampTz after);

/* ---- flow_simulate.c ---- */

extern void ec_flow_clock_set(TimestampTz at);
extern void ec_flow_tick_at(EcTick *tick, TimestampTz at);
extern TimestampTz ec_flow_next_due(int32 id);

/* ---- flow_tick.c ---- */

extern void ec_flow_tick(EcTick *tick);

#endif							/* EC_FLOW_H */

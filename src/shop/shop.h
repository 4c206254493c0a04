/*-------------------------------------------------------------------------
 *
 * shop.h
 *		How ecauto sees a shop: roles, their queries, the tables behind them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_SHOP_H
#define EC_SHOP_H

#include "core/core.h"
#include "expr/expr.h"

#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "nodes/params.h"
#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

/* ---- shop_role.c: what roles there are ---- */

typedef enum EcColumnNeed
{
	EC_REQUIRED,				/* the query must return it */
	EC_DEFAULTED,				/* it need not; deflt then stands for it */
	EC_OPTIONAL					/* it need not; NULL then stands for it */
} EcColumnNeed;

/* One canonical column of a role (DESIGN.md section 3). */
typedef struct EcColumn
{
	const char *name;
	Oid			type;			/* TEXTOID, NUMERICOID, BOOLOID, TIMESTAMPTZOID or DATEOID */
	EcColumnNeed need;
	bool		is_key;			/* of any type in the shop; text COLLATE "C" here */
	const char *deflt;			/* SQL expression over the query's columns, as "q";
								 * stands for NULL too, so such a column is never NULL;
								 * or NULL */
	const char *allowed;		/* SQL list of the only values it may have, or NULL */
	const char *form;			/* function that brings values to one form, or NULL */
} EcColumn;

typedef struct EcRole
{
	const char *name;
	bool		many;			/* several rows a key */
	bool		needed;			/* no shop works without it */
	const char *feature;		/* what is switched off without it */
	const EcColumn *columns;
	int			ncolumns;
	const char *whole;			/* role that its rows are parts of, or NULL */
	const char *whole_by;		/* column that holds the key of the whole */
} EcRole;

extern const EcRole ec_roles[];
extern const int ec_nroles;

extern const EcRole *ec_role_find(const char *name);	/* NULL if there is none */
extern const EcRole *ec_role_get(const char *name); /* raises undefined_object */
extern const EcColumn *ec_role_column(const EcRole *role, const char *name);	/* NULL if there is none */
extern char *ec_role_column_list(const EcRole *role);	/* for hints */

/* ---- shop_binding.c: the query a role is bound to ---- */

typedef struct EcBinding
{
	const EcRole *role;
	char	   *query;			/* one SELECT, no semicolon */
	char	   *definer;		/* it runs as this role, if it still may ... */
	char	   *search_path;	/* ... with this search_path */
	char	  **types;			/* per canonical column: base type of what the query
								 * returns, as SQL text; NULL if it has no such column */
	bool		broken;			/* last run failed; nothing is read until it heals */
	bool		resync;			/* every key is to be compared */
} EcBinding;

/*
 * The binding of a role, allocated in the current context; NULL if unbound.
 */
extern EcBinding *ec_binding_get(const char *role);

/*
 * Run the role's query as its definer and return its rows in a new
 * tuplestore, with exactly the canonical columns in canonical order and type
 * ("key" and other keys as text COLLATE "C").
 *
 * keys: text[] of keys, compared with column "by" (usually "key") in that
 * column's native type, so that the shop's index serves; NULL for all rows.
 * limit: at most that many rows; 0 for all.
 * *desc is allocated in the current context.  Errors: whatever the query
 * raises; callers who must go on run it in a subtransaction.  The tuplestore
 * outlives that: it lasts until tuplestore_end(), which the caller owes, or
 * the end of the transaction.
 *
 * The rows are those of a new snapshot (under READ COMMITTED), so whatever
 * committed before the call, or was done in this transaction, is seen.
 */
extern Tuplestorestate *ec_binding_fetch(const EcBinding *binding, const char *by,
										 ArrayType *keys, int64 limit,
										 TupleDesc *desc, int64 *nrows);

/*
 * The same without keeping the rows: take() gets each in a slot that has the
 * named columns, in their order, and is valid until it returns.  keys: of
 * column "key"; NULL for all rows.  raw: currencies and addresses come as the
 * query returns them, in capitals or not, which saves half of the time it takes
 * to read a price.  Returns the number of rows.  take() runs as the definer of
 * the query and must not run statements.
 */
typedef void (*EcRowTake) (TupleTableSlot *slot, void *arg);
extern int64 ec_binding_scan(const EcBinding *binding, const char *const *columns, int ncolumns,
							 bool raw, ArrayType *keys, EcRowTake take, void *arg);

/* The statement that returns all rows of a role; in the current context. */
extern char *ec_binding_statement(const EcBinding *binding);
/*
 * The one that returns the named columns of the rows whose "key" is in $1
 * (text[]), for callers who keep it; run it between ec_binding_as() and
 * ec_as_end().
 */
extern char *ec_binding_statement_of(const EcBinding *binding, const char *const *columns, int ncolumns);

/*
 * For the rest of this domain: run a statement on the state as its owner,
 * while connected to SPI; the role that a stored piece of SQL runs as, with
 * an error if it is gone or if the state may not act as it.
 */
extern void ec_shop_state_run(const char *sql, int nargs, const Oid *types,
							  const Datum *values, const char *nulls);
extern Oid	ec_shop_definer(const char *name, const char *what);
extern void ec_binding_as(EcAs *as, const EcBinding *binding);

extern TupleDesc ec_role_tupdesc(const EcRole *role);

/* ---- shop_scope.c ---- */
extern void ec_role_scope_row(const EcRole *role, const char *name, EcExprRow *row);

/* Mark a role broken with the error that showed it, or healed. */
extern void ec_binding_set_broken(const char *role, const ErrorData *error);
extern void ec_binding_set_healed(const char *role);
extern void ec_binding_set_resync(const char *role, bool resync);	/* NULL: every role */

/* ---- shop_query.c: SQL text that users give us ---- */

/* The output of a query, as its author wrote it. */
typedef struct EcQueryColumn
{
	char	   *name;
	Oid			type;			/* as returned, perhaps a domain */
	int			location;		/* byte offset in the text */
} EcQueryColumn;

typedef struct EcQueryShape
{
	char	   *text;			/* the one statement, without semicolon */
	EcQueryColumn *columns;
	int			ncolumns;
	Oid		   *params;			/* types of $1, $2, ... as inferred */
	int			nparams;
} EcQueryShape;

extern EcQueryShape *ec_query_check(const char *what, const char *text, int maxparams);
extern char *ec_statement_check(const char *what, const char *text,
								ParserSetupHook setup, void *setup_arg);
extern void ec_expression_check(const char *what, const char *text, char **column);
extern void ec_query_error(const char *text, int location);
extern Oid	ec_query_base_type(Oid type, char **sql);

/* ---- shop_bind.c ---- */

extern void ec_shop_require(const char *what);
extern bool ec_shop_attached(void);
extern char *ec_shop_search_path(void);
extern int64 ec_bind_role(const EcRole *role, const char *query, bool from_preset);

/* ---- shop_source.c: which tables tell that a key changed ---- */

/*
 * Turn keys noted for a tap (a table and its noted column) into keys of the
 * roles that listen to it.  noted: text[]; NULL for "every key".  Calls add()
 * once per source with a text[] (or NULL for "every key").  A source whose
 * resolving query fails stands for every key, and is marked.
 */
typedef void (*EcSourceAdd) (const char *role, ArrayType *keys, void *arg);
extern void ec_source_resolve(int tap, ArrayType *noted, EcSourceAdd add, void *arg);

/* Where a source comes from; the letter is how the state says it. */
typedef enum EcOrigin
{
	EC_BY_HAND = 'h',			/* bind_source() */
	EC_BY_TABLE = 't',			/* bind_table() */
	EC_BY_PRESET = 'p',
	EC_STALE = 's'				/* of the preset as it was; while attaching */
} EcOrigin;

extern void ec_source_register(const EcRole *role, Oid relid, const char *column,
							   const char *resolve, EcOrigin origin, const EcRole *bound_with);
extern void ec_source_forget(const EcRole *role, EcOrigin origin);

/* ---- shop_writer.c: statements that change the shop's tables ---- */

#define EC_ACTION_PARAMS 3

/* What can be done to a shop, with declared parameters. */
typedef struct EcAction
{
	const char *name;
	int			nparams;
	const char *params[EC_ACTION_PARAMS];
	Oid			types[EC_ACTION_PARAMS];
	const char *role;			/* role through which what it wrote is read back, or NULL */
	const char *column;			/* and the column */
	const char *role_too;		/* another role that may have it, or NULL */
} EcAction;

typedef struct EcWriter
{
	const EcAction *action;
	char	   *statement;
	char	   *definer;		/* it runs as this role, if it still may ... */
	char	   *search_path;	/* ... with this search_path */
} EcWriter;

extern EcWriter *ec_writer_get(const char *action);
extern char *ec_bind_write(const char *action, const char *statement, bool from_preset);

/* ---- shop_write.c: running them ---- */

extern TupleDesc ec_writer_tupdesc(const EcWriter *writer);
extern int64 ec_writer_run(const EcWriter *writer, Tuplestorestate *rows, int64 nrows);

/* ---- shop_preset.c: what we know of shops that others made ---- */

typedef struct EcPresetParam
{
	char	   *name;
	char	   *type;			/* key, text, number or timezone */
	char	   *deflt;
	char	   *value;			/* set by ec_preset_set_params() */
} EcPresetParam;

typedef struct EcPresetTable
{
	char	   *name;
	List	   *columns;		/* of char * */
} EcPresetTable;

typedef struct EcPresetRole
{
	const EcRole *role;
	char	   *query;
} EcPresetRole;

typedef struct EcPresetSource
{
	const EcRole *role;
	char	   *table;
	char	   *column;
	char	   *resolve;		/* NULL: the column holds the role's key */
} EcPresetSource;

typedef struct EcPresetWrite
{
	char	   *action;
	char	   *statement;
} EcPresetWrite;

typedef struct EcPreset
{
	char	   *name;
	char	   *title;
	List	   *params;			/* of EcPresetParam, and so on */
	List	   *tables;
	List	   *roles;
	List	   *sources;
	List	   *writes;
} EcPreset;

extern EcPreset *ec_preset_get(const char *name);
extern void ec_preset_set_params(EcPreset *preset, Jsonb *params);
extern char *ec_preset_expand(const EcPreset *preset, const char *text);

/* ---- shop_capture.c: the trigger ---- */

extern void ec_capture_init(void);

/* ---- shop_note.c: what a transaction has noted ---- */

extern void ec_notes_init(void);
extern void ec_note_add(int tap, const char *key, int len);
extern void ec_notes_settle(void);
extern void ec_notes_flush(void);	/* write this transaction's notes now */

#endif							/* EC_SHOP_H */

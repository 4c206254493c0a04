/*-------------------------------------------------------------------------
 *
 * shop_preset.c
 *		Presets: what we know of a shop that others made, read from a text.
 *
 * The texts are files in sql/shop/presets/, which the install script carries as
 * rows of ecauto.presets().  They are SQL with directives in comments:
 *
 *		-- @preset NAME TITLE
 *		-- @param NAME TYPE DEFAULT
 *		-- @table NAME COLUMN ...		what must be there; detect_shop() looks for it
 *		-- @role NAME					followed by its query
 *		-- @source ROLE TABLE COLUMN	followed by a resolving query, if any
 *		-- @write ACTION				followed by its statement
 *
 * Tables stand without a schema and columns without quotes, as they are in the
 * catalogs.  In queries, {NAME} stands for a parameter, as a literal of its
 * type, never as bare text; {type ROLE.COLUMN} for the type that a column of a
 * role has in this shop.  Types of parameters: key and text (a literal that
 * takes the type it is compared with), number (greater than zero), timezone.
 * A default in parentheses is a query that asks the shop.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "shop/shop.h"

PG_FUNCTION_INFO_V1(ecauto_preset_tables);

/* ---- reading ---- */

/* Cut the next word off a line; NULL if there is none. */
static char *
word_next(char **line)
{
	char	   *start = *line + strspn(*line, " \t");
	size_t		len = strcspn(start, " \t");

	*line = start + len;
	return len > 0 ? pnstrdup(start, len) : NULL;
}

static char *
rest_of_line(char **line)
{
	char	   *start = *line + strspn(*line, " \t");

	*line = start + strlen(start);
	return pstrdup(start);
}

/*
 * Take one directive; returns where the SQL that follows it is to be kept, or
 * NULL if none follows.
 */
static char **
directive_read(EcPreset *preset, char *line)
{
	char	   *word = word_next(&line);

	if (strcmp(word, "preset") == 0)
	{
		(void) word_next(&line);
		preset->title = rest_of_line(&line);
		return NULL;
	}
	if (strcmp(word, "param") == 0)
	{
		EcPresetParam *param = palloc0(sizeof(EcPresetParam));

		param->name = word_next(&line);
		param->type = word_next(&line);
		param->deflt = rest_of_line(&line);
		preset->params = lappend(preset->params, param);
		return NULL;
	}
	if (strcmp(word, "table") == 0)
	{
		EcPresetTable *table = palloc0(sizeof(EcPresetTable));

		table->name = word_next(&line);
		while ((word = word_next(&line)) != NULL)
			table->columns = lappend(table->columns, word);
		preset->tables = lappend(preset->tables, table);
		return NULL;
	}
	if (strcmp(word, "role") == 0)
	{
		EcPresetRole *role = palloc0(sizeof(EcPresetRole));

		role->role = ec_role_get(word_next(&line));
		preset->roles = lappend(preset->roles, role);
		return &role->query;
	}
	if (strcmp(word, "source") == 0)
	{
		EcPresetSource *source = palloc0(sizeof(EcPresetSource));

		source->role = ec_role_get(word_next(&line));
		source->table = word_next(&line);
		source->column = word_next(&line);
		preset->sources = lappend(preset->sources, source);
		return &source->resolve;
	}
	if (strcmp(word, "write") == 0)
	{
		EcPresetWrite *write = palloc0(sizeof(EcPresetWrite));

		write->action = word_next(&line);
		preset->writes = lappend(preset->writes, write);
		return &write->statement;
	}
	elog(ERROR, "preset \"%s\" has an unknown directive \"%s\"", preset->name, word);
}

/*
 * Read the text of a preset; in the current context.
 */
static EcPreset *
preset_read(const char *name, const char *text)
{
	EcPreset   *preset = palloc0(sizeof(EcPreset));
	char	   *copy = pstrdup(text);
	char	  **sql = NULL;
	char	   *line;
	char	   *next;
	StringInfoData body;

	preset->name = pstrdup(name);
	initStringInfo(&body);
	for (line = copy; line != NULL; line = next)
	{
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		if (strncmp(line, "-- @", 4) == 0)
		{
			if (sql != NULL && body.len > 0)
				*sql = pstrdup(body.data);
			resetStringInfo(&body);
			sql = directive_read(preset, line + 4);
		}
		else if (sql != NULL && line[strspn(line, " \t")] != '\0')
			appendStringInfo(&body, "%s%s", body.len > 0 ? "\n" : "", line);
	}
	if (sql != NULL && body.len > 0)
		*sql = pstrdup(body.data);
	return preset;
}

/*
 * Names and texts of all presets; in the current context.
 */
static int
preset_texts(char ***names, char ***texts)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext spi;
	int			n;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute("SELECT p.preset, p.definition FROM " EC_CODE_SCHEMA ".presets() p", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the presets");
	n = SPI_processed;
	spi = MemoryContextSwitchTo(caller);
	*names = palloc(sizeof(char *) * Max(n, 1));
	*texts = palloc(sizeof(char *) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		(*names)[i] = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		(*texts)[i] = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2);
	}
	MemoryContextSwitchTo(spi);
	SPI_finish();
	return n;
}

/*
 * The preset of a name, in the current context.  Errors: undefined_object.
 */
EcPreset *
ec_preset_get(const char *name)
{
	char	  **names;
	char	  **texts;
	int			n = preset_texts(&names, &texts);
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < n; i++)
	{
		if (strcmp(names[i], name) == 0)
			return preset_read(name, texts[i]);
		appendStringInfo(&list, "%s, ", names[i]);
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("preset \"%s\" does not exist", name),
			 errhint("The presets are %scustom (what was bound by hand); see ecauto.detect_shop().",
					 list.data)));
}

/*
 * ecauto.preset_tables()
 *		returns table(preset text, table_name text, columns text[])
 */
Datum
ecauto_preset_tables(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	char	  **names;
	char	  **texts;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	n = preset_texts(&names, &texts);
	for (int i = 0; i < n; i++)
	{
		EcPreset   *preset = preset_read(names[i], texts[i]);
		ListCell   *lc;

		foreach(lc, preset->tables)
		{
			EcPresetTable *table = lfirst(lc);
			Datum	   *columns = palloc(sizeof(Datum) * Max(list_length(table->columns), 1));
			Datum		values[3];
			bool		nulls[3] = {false};
			ListCell   *cell;

			foreach(cell, table->columns)
				columns[foreach_current_index(cell)] = CStringGetTextDatum(lfirst(cell));
			values[0] = CStringGetTextDatum(preset->name);
			values[1] = CStringGetTextDatum(table->name);
			values[2] = PointerGetDatum(construct_array(columns, list_length(table->columns),
														TEXTOID, -1, false, TYPALIGN_INT));
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		}
	}
	return (Datum) 0;
}

/* ---- parameters ---- */

static EcPresetParam *
param_find(const EcPreset *preset, const char *name)
{
	ListCell   *lc;

	foreach(lc, preset->params)
		if (strcmp(((EcPresetParam *) lfirst(lc))->name, name) == 0)
			return lfirst(lc);
	return NULL;
}

static char *
param_list(const EcPreset *preset)
{
	StringInfoData list;
	ListCell   *lc;

	initStringInfo(&list);
	foreach(lc, preset->params)
		appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", ((EcPresetParam *) lfirst(lc))->name);
	return list.len > 0 ? list.data : NULL;
}

/*
 * Refuse a value that is not of the parameter's type.
 */
static void
param_check(const EcPresetParam *param)
{
	const char *wanted = NULL;

	if (strcmp(param->type, "number") == 0)
	{
		const char *p = param->value;
		bool		positive = strpbrk(p, "123456789") != NULL;

		p += strspn(p, "0123456789");
		if (*p == '.')
			p += 1 + strspn(p + 1, "0123456789");
		if (*p != '\0' || !positive)
			wanted = "a number greater than zero";
	}
	else if (strcmp(param->type, "timezone") == 0)
	{
		if (pg_tzset(param->value) == NULL)
			wanted = "the name of a time zone";
	}
	if (wanted != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"%s\" must be %s", param->name, wanted),
				 errdetail("The value is \"%s\".", param->value)));
}

typedef struct ParamQuestion
{
	const EcPresetParam *param;
	MemoryContext context;		/* of the answer */
	char	   *value;			/* NULL: the shop does not know */
} ParamQuestion;

/* Ask the shop for the default of a parameter; EcTryRun. */
static void
param_ask(void *arg)
{
	ParamQuestion *question = arg;
	char	   *value = NULL;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute(psprintf("SELECT %s", question->param->deflt), true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not ask for parameter \"%s\"", question->param->name);
	if (SPI_processed == 1)
		value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (value != NULL)
		question->value = MemoryContextStrdup(question->context, value);
	SPI_finish();
}

static char *
param_default(const EcPreset *preset, const EcPresetParam *param)
{
	ParamQuestion question = {param, CurrentMemoryContext, NULL};
	ErrorData  *error;

	if (param->deflt[0] != '(')
		return param->deflt;
	error = ec_try(param_ask, &question, true);
	if (question.value == NULL)
		ereport(ERROR,
				(errcode(error ? error->sqlerrcode : ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"%s\" of preset \"%s\" is not known", param->name, preset->name),
				 error ? errdetail("%s.", error->message)
				 : errdetail("This shop does not answer: %s", param->deflt),
				 errhint("Give it in the second argument, such as {\"%s\": \"...\"}; ecauto.detect_shop() tells which preset fits.",
						 param->name)));
	return question.value;
}

/*
 * Give a preset's parameters their values, those of the user where he gave
 * them.  Asks the shop with the current search_path.  Errors:
 * invalid_parameter_value for what is no parameter or not of its type.
 */
void
ec_preset_set_params(EcPreset *preset, Jsonb *params)
{
	JsonbIterator *it;
	JsonbValue	value;
	JsonbIteratorToken token;
	ListCell   *lc;

	if (!JB_ROOT_IS_OBJECT(params))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameters must be a JSON object")));
	it = JsonbIteratorInit(&params->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		EcPresetParam *param;
		char	   *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(value.val.string.val, value.val.string.len);
		param = param_find(preset, name);
		if (param == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("preset \"%s\" has no parameter \"%s\"", preset->name, name),
					 param_list(preset) ? errhint("Its parameters are %s.", param_list(preset))
					 : errhint("It has none.")));
		(void) JsonbIteratorNext(&it, &value, true);
		switch (value.type)
		{
			case jbvString:
				param->value = pnstrdup(value.val.string.val, value.val.string.len);
				break;
			case jbvNumeric:
				param->value = DatumGetCString(DirectFunctionCall1(numeric_out,
																   NumericGetDatum(value.val.numeric)));
				break;
			default:
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("parameter \"%s\" must be a string or a number", name)));
		}
	}

	foreach(lc, preset->params)
	{
		EcPresetParam *param = lfirst(lc);

		if (param->value == NULL)
			param->value = param_default(preset, param);
		param_check(param);
	}
}

/* The type that a column of a bound role has in the shop; spec is "role.column". */
static char *
role_column_type(const char *spec)
{
	char	   *name = pstrdup(spec);
	char	   *dot = strchr(name, '.');
	const EcColumn *column;
	EcBinding  *binding;

	if (dot == NULL)
		elog(ERROR, "\"%s\" is not a column of a role", spec);
	*dot = '\0';
	column = ec_role_column(ec_role_get(name), dot + 1);
	binding = ec_binding_get(name);
	if (column == NULL)
		elog(ERROR, "\"%s\" is not a column of a role", spec);
	if (binding == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("role \"%s\" is not bound", name)));
	return binding->types[column - binding->role->columns] ?
		binding->types[column - binding->role->columns] : "pg_catalog.text";
}

/*
 * Put parameters and types into a query of a preset; in the current context.
 */
char *
ec_preset_expand(const EcPreset *preset, const char *text)
{
	StringInfoData sql;
	const char *p = text;

	initStringInfo(&sql);
	while (*p != '\0')
	{
		size_t		len = *p == '{' ? strspn(p + 1, "abcdefghijklmnopqrstuvwxyz_. ") : 0;
		const EcPresetParam *param;
		char	   *word;

		if (len == 0 || p[1 + len] != '}')
		{
			appendStringInfoChar(&sql, *p++);
			continue;
		}
		word = pnstrdup(p + 1, len);
		p += len + 2;
		if (strncmp(word, "type ", 5) == 0)
		{
			appendStringInfoString(&sql, role_column_type(word + 5));
			continue;
		}
		param = param_find(preset, word);
		if (param == NULL)
			elog(ERROR, "preset \"%s\" uses an unknown parameter \"%s\"", preset->name, word);
		appendStringInfoString(&sql, quote_literal_cstr(param->value));
		if (strcmp(param->type, "number") == 0)
			appendStringInfoString(&sql, "::pg_catalog.numeric");
		else if (strcmp(param->type, "timezone") == 0)
			appendStringInfoString(&sql, "::pg_catalog.text");
	}
	return sql.data;
}

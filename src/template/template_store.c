/*-------------------------------------------------------------------------
 *
 * template_store.c
 *		Making, checking and dropping mail templates: ecauto.create_template(),
 *		check_template(), drop_template(), templates().
 *
 * A template that is stored can be rendered: its syntax is right, what it
 * includes is there, and every name in it stands for something in the sample
 * of data it was made with.  Since a partial can break those that include it,
 * they are checked again whenever it changes.
 *
 * Changes are made one after the other, under a lock that readers do not
 * notice.  Each first writes and then checks what is written; an error takes
 * everything back.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "template/template.h"

PG_FUNCTION_INFO_V1(ecauto_create_template);
PG_FUNCTION_INFO_V1(ecauto_check_template);
PG_FUNCTION_INFO_V1(ecauto_drop_template);
PG_FUNCTION_INFO_V1(ecauto_templates);

/* $2 NULL: every locale */
static const char *const retire_sql =
	"WITH gone AS (DELETE FROM ecauto_data.mail_template t "
	"WHERE t.name = $1 AND ($2 IS NULL OR t.locale = $2) RETURNING t.*) "
	"INSERT INTO ecauto_data.mail_template_history "
	"(name, locale, version, replaced_at, created_at, created_by, subject, html, body, sample) "
	"SELECT g.name, g.locale, g.version, $3, g.created_at, g.created_by, g.subject, g.html, g.body, g.sample FROM gone g";

static const char *const write_sql =
	"INSERT INTO ecauto_data.mail_template "
	"(name, locale, subject, html, body, sample, partials, created_at, created_by, version) "
	"SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce(max(h.version), 0) + 1 "
	"FROM ecauto_data.mail_template_history h WHERE h.name = $1 AND h.locale = $2 RETURNING version";

/* that of the same locale, else of the nearest one, else of any */
static const char *const sample_sql =
	"SELECT t.sample FROM ecauto_data.mail_template t WHERE t.name = $1 AND t.sample IS NOT NULL "
	"ORDER BY t.locale = $2 DESC, starts_with($2, t.locale) DESC, length(t.locale) DESC, t.locale LIMIT 1";

/* a template and whatever includes it; $2: without itself */
static const char *const users_sql =
	"WITH RECURSIVE users(name) AS (SELECT $1 COLLATE \"C\" UNION "
	"SELECT t.name FROM users u JOIN ecauto_data.mail_template t ON t.partials @> ARRAY[u.name]) "
	"SELECT t.name, t.locale FROM users JOIN ecauto_data.mail_template t USING (name) "
	"WHERE NOT $2 OR t.name <> $1 ORDER BY 1, 2";

/* templates that would include what is no longer there in their locale */
static const char *const orphans_sql =
	"SELECT string_agg('\"' || t.name || '\"' || CASE t.locale WHEN '' THEN '' ELSE ' in locale \"' || t.locale || '\"' END, "
	"', ' ORDER BY t.name, t.locale) "
	"FROM ecauto_data.mail_template t WHERE t.partials @> ARRAY[$1 COLLATE \"C\"] AND NOT EXISTS ("
	"SELECT FROM ecauto_data.mail_template p WHERE p.name = $1 AND "
	"(p.locale = '' OR t.locale = p.locale OR starts_with(t.locale, p.locale || '_')))";

static const char *const list_sql =
	"SELECT t.name, t.locale, t.version, t.subject, t.html, t.body, t.sample, t.created_at, t.created_by "
	"FROM ecauto_data.mail_template t ORDER BY t.name, t.locale";

/*
 * Run a statement as the owner of the state; the caller is connected to SPI.
 * Returns the number of rows.
 */
static uint64
execute(const char *text, int nargs, const Oid *types, Datum *values, const char *nulls)
{
	int			code;
	EcAs		as;

	ec_as_state_owner(&as);
	code = SPI_execute_plan(ec_plan(text, nargs, types), values, nulls, false, 0);
	ec_as_end(&as);
	if (code < 0)
		elog(ERROR, "SPI_execute_plan returned %s", SPI_result_code_string(code));
	return SPI_processed;
}

static void
begin_change(const char *what)
{
	ec_state_require();
	ec_require_operator(what);
	LockRelationOid(ec_state_relation("mail_template", false), ShareRowExclusiveLock);
	ec_template_cache_trim();
	ec_mail_kept_forget();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

/* ---- arguments ---- */

/* Text of an argument; NULL if it is null. */
static char *
argument(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

/* A name can be written in a tag; that is all that is asked of it. */
static void
check_name(const char *name)
{
	bool		blank = false;

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be NULL", "name")));
	for (const char *p = name; *p != '\0'; p++)
		blank = blank || (unsigned char) *p <= ' ' || *p == 0x7F || *p == '{' || *p == '}';
	if (*name == '\0' || blank || strlen(name) > EC_TEMPLATE_NAME_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid name of a mail template"),
				 errdetail("The name is \"%s\".", name),
				 errhint("A name is one word of at most %d bytes, without braces.", EC_TEMPLATE_NAME_MAX)));
}

static char *
check_locale(const char *locale)
{
	char	   *normal = ec_locale_normalize(locale);

	if (normal == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid locale of a mail template"),
				 errdetail("The locale is \"%s\".", locale),
				 errhint("Write it like pl or pl_PL, or '' for all that have none of their own.")));
	return normal;
}

static void
check_sample(Jsonb *sample)
{
	if (sample != NULL && !JB_ROOT_IS_OBJECT(sample))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sample data of a mail template must be an object")));
}

/* ---- checking what is written ---- */

/* Names (char *) that the partials of a text have, added to names. */
static List *
partial_names(List *names, const EcTemplate *template)
{
	for (int i = 0; i < template->nops; i++)
	{
		const EcTemplateOp *op = &template->ops[i];

		if (op->kind == EC_TEMPLATE_PARTIAL)
		{
			char	   *name = ec_template_op_name(template, op);
			ListCell   *cell;
			bool		known = false;

			foreach(cell, names)
				known = known || strcmp(lfirst(cell), name) == 0;
			if (!known)
				names = lappend(names, name);
		}
	}
	return names;
}

static void
check_part(const char *what, const char *text, EcPartials *partials, Jsonb *sample)
{
	if (text != NULL)
		ec_template_check(ec_template_get(text, strlen(text), what, NULL, 0), sample, partials, what);
}

/* error_context_stack: a change of one template can be wrong for another */
static void
check_context(void *arg)
{
	const EcMailTemplate *template = arg;

	if (*template->locale == '\0')
		errcontext("checking mail template \"%s\"", template->name);
	else
		errcontext("checking mail template \"%s\" for locale \"%s\"", template->name, template->locale);
}

/*
 * Check a stored template against a sample (NULL: the syntax of partials and
 * that they are there); if it is one for whole mails, render it, too.
 */
static void
check_stored(const EcMailTemplate *template, Jsonb *sample)
{
	EcMailPartials partials;
	EcMailText	mail;
	ErrorContextCallback context = {
		.previous = error_context_stack,
		.callback = check_context,
		.arg = (void *) template
	};

	error_context_stack = &context;
	ec_mail_partials_load(&partials, template, true);
	check_part("the subject", template->subject, NULL, sample);
	partials.html = true;
	check_part("the html", template->html, &partials.base, sample);
	partials.html = false;
	check_part("the body", template->body, &partials.base, sample);
	if (sample != NULL && template->subject != NULL)
		ec_mail_render(&mail, template, &partials, sample);
	error_context_stack = context.previous;
}

/*
 * Check a template and those that include it, each in its locales and with
 * its own sample.
 */
static void
check_users(const char *name, bool others_only)
{
	static const Oid types[] = {TEXTOID, BOOLOID};
	Datum		values[2] = {CStringGetTextDatum(name), BoolGetDatum(others_only)};
	uint64		count = execute(users_sql, 2, types, values, NULL);
	SPITupleTable *users = SPI_tuptable;

	for (uint64 i = 0; i < count; i++)
	{
		EcMailTemplate *template;

		template = ec_mail_template_load(SPI_getvalue(users->vals[i], users->tupdesc, 1),
										 SPI_getvalue(users->vals[i], users->tupdesc, 2), true);
		if (template != NULL)
			check_stored(template, template->sample);
	}
	SPI_freetuptable(users);
}

/* ---- functions ---- */

/* The sample that an earlier version had; NULL if there is none. */
static Jsonb *
earlier_sample(const char *name, const char *locale)
{
	static const Oid types[] = {TEXTOID, TEXTOID};
	Datum		values[2] = {CStringGetTextDatum(name), CStringGetTextDatum(locale)};
	bool		isnull;
	Datum		sample;

	if (execute(sample_sql, 2, types, values, NULL) == 0)
		return NULL;
	sample = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	return isnull ? NULL : DatumGetJsonbPCopy(sample);
}

/* Write a template in place of an earlier one; returns its version. */
static int
write_template(const EcMailTemplate *template)
{
	static const Oid retire_types[] = {TEXTOID, TEXTOID, TIMESTAMPTZOID};
	static const Oid types[] = {
		TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, TEXTARRAYOID, TIMESTAMPTZOID, NAMEOID
	};
	const char *texts[] = {template->name, template->locale, template->subject, template->html, template->body};
	Datum		values[lengthof(types)];
	char		nulls[lengthof(types)];
	Datum	   *names = palloc(sizeof(Datum) * (list_length(template->partials) + 1));
	ListCell   *cell;
	NameData	me;
	bool		isnull;
	int			n = 0;

	foreach(cell, template->partials)
		names[n++] = CStringGetTextDatum((char *) lfirst(cell));
	for (int i = 0; i < (int) lengthof(texts); i++)
	{
		nulls[i] = (texts[i] == NULL) ? 'n' : ' ';
		values[i] = (texts[i] == NULL) ? (Datum) 0 : CStringGetTextDatum(texts[i]);
	}
	nulls[5] = (template->sample == NULL) ? 'n' : ' ';
	values[5] = JsonbPGetDatum(template->sample);
	nulls[6] = nulls[7] = nulls[8] = ' ';
	values[6] = PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
	values[7] = TimestampTzGetDatum(ec_now());
	namestrcpy(&me, GetUserNameFromId(GetUserId(), false));
	values[8] = NameGetDatum(&me);

	(void) execute(retire_sql, 3, retire_types, (Datum[]) {values[0], values[1], values[7]}, NULL);
	(void) execute(write_sql, lengthof(types), types, values, nulls);
	return DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/*
 * ecauto.create_template(name text, subject text, html text, body text,
 * locale text, sample jsonb) returns integer
 */
Datum
ecauto_create_template(PG_FUNCTION_ARGS)
{
	EcMailTemplate template = {0};
	const EcTemplate *parsed;
	int			version;

	template.name = argument(fcinfo, 0);
	template.subject = argument(fcinfo, 1);
	template.html = argument(fcinfo, 2);
	template.body = argument(fcinfo, 3);
	template.sample = PG_ARGISNULL(5) ? NULL : PG_GETARG_JSONB_P(5);

	begin_change("create mail templates");
	check_name(template.name);
	template.locale = check_locale(PG_ARGISNULL(4) ? "" : argument(fcinfo, 4));
	check_sample(template.sample);
	if (template.html == NULL && template.body == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a mail template needs html or a body")));

	if (template.subject != NULL)
	{
		(void) ec_template_parse(template.subject, strlen(template.subject), "the subject");
		if (strpbrk(template.subject, "\r\n") != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("subject of a mail must not contain line breaks")));
	}
	if (template.html != NULL)
	{
		parsed = ec_template_parse(template.html, strlen(template.html), "the html");
		template.partials = partial_names(template.partials, parsed);
	}
	if (template.body != NULL)
	{
		parsed = ec_template_parse(template.body, strlen(template.body), "the body");
		template.partials = partial_names(template.partials, parsed);
	}
	if (template.sample == NULL)
		template.sample = earlier_sample(template.name, template.locale);

	version = write_template(&template);
	check_users(template.name, false);
	SPI_finish();
	PG_RETURN_INT32(version);
}

/*
 * ecauto.check_template(name text, sample jsonb) returns void
 */
Datum
ecauto_check_template(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, BOOLOID};
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Jsonb	   *sample = PG_GETARG_JSONB_P(1);
	Datum		values[2] = {PG_GETARG_DATUM(0), BoolGetDatum(false)};
	SPITupleTable *users;
	uint64		count;
	bool		found = false;

	ec_state_require();
	ec_require_operator("check mail templates");
	check_sample(sample);
	ec_template_cache_trim();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	count = execute(users_sql, 2, types, values, NULL);
	users = SPI_tuptable;
	for (uint64 i = 0; i < count; i++)
	{
		if (strcmp(SPI_getvalue(users->vals[i], users->tupdesc, 1), name) != 0)
			continue;
		found = true;
		check_stored(ec_mail_template_load(name, SPI_getvalue(users->vals[i], users->tupdesc, 2), true),
					 sample);
	}
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("mail template \"%s\" does not exist", name),
				 errhint("Create it with ecauto.create_template().")));
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * ecauto.drop_template(name text, locale text) returns boolean
 */
Datum
ecauto_drop_template(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TIMESTAMPTZOID};
	char	   *name = argument(fcinfo, 0);
	Datum		values[3];
	char		nulls[3] = {' ', ' ', ' '};
	char	   *orphans;
	uint64		dropped;

	begin_change("drop mail templates");
	check_name(name);
	values[0] = PG_GETARG_DATUM(0);
	values[1] = (Datum) 0;
	if (PG_ARGISNULL(1))
		nulls[1] = 'n';
	else
		values[1] = CStringGetTextDatum(check_locale(argument(fcinfo, 1)));
	values[2] = TimestampTzGetDatum(ec_now());
	dropped = execute(retire_sql, 3, types, values, nulls);
	if (dropped > 0)
	{
		(void) execute(orphans_sql, 1, types, values, NULL);
		orphans = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		if (orphans != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("cannot drop mail template \"%s\" because others include it", name),
					 errdetail("It is a partial of %s.", orphans),
					 errhint("Change or drop those first.")));
		check_users(name, true);
	}
	SPI_finish();
	PG_RETURN_BOOL(dropped > 0);
}

/*
 * ecauto.templates() returns setof record
 */
Datum
ecauto_templates(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	ec_state_require();
	ec_require_reader("see mail templates");
	InitMaterializedSRF(fcinfo, 0);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	(void) execute(list_sql, 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[i]);
	SPI_finish();
	return (Datum) 0;
}

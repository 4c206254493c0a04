/*-------------------------------------------------------------------------
 *
 * template_mail.c
 *		Mail templates: finding one for a locale, rendering a mail with it,
 *		ecauto.render_mail().
 *
 * A template has up to three parts: subject, html, body (plain text).  It is
 * stored once per locale; who asks for "pl_PL" gets that of "pl_PL", "pl" or
 * "", whichever is there first.  A partial is the same part of another
 * template, found in the same way, but for the locale of the template that
 * was found: a mail is in one language from top to bottom.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "template/template.h"

PG_FUNCTION_INFO_V1(ecauto_render_mail);

#define LOCALE_MAX 35			/* bytes; RFC 5646, section 4.4.1 */

static const char *const load_sql =
	"SELECT t.name, t.locale, t.subject, t.html, t.body, t.sample, t.partials "
	"FROM ecauto_data.mail_template t WHERE t.name = $1 AND "
	"(t.locale = '' OR t.locale = $2 OR starts_with($2, t.locale || '_')) "
	"ORDER BY length(t.locale) DESC LIMIT 1";

static const char *const locales_sql =
	"SELECT string_agg('\"' || t.locale || '\"', ', ' ORDER BY t.locale) "
	"FROM ecauto_data.mail_template t WHERE t.name = $1";

/* ---- locales ---- */

/*
 * Language lower case, script capitalised, country upper case, joined by
 * underscores; an encoding or a modifier behind them is dropped.
 */
char *
ec_locale_normalize(const char *locale)
{
	StringInfoData out;
	int			subtag = 0;		/* bytes of the one we are in */
	int			nsubtags = 0;	/* that came before it */

	if (strcspn(locale, ".@") > LOCALE_MAX)
		return NULL;
	initStringInfo(&out);
	for (const char *p = locale;; p++)
	{
		unsigned char c = (unsigned char) *p;

		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		{
			appendStringInfoChar(&out, (nsubtags == 0) ? pg_ascii_tolower(c) : pg_ascii_toupper(c));
			subtag++;
			continue;
		}
		if (subtag == 0 ? (p != locale || c != '\0') : (nsubtags == 0 && (subtag < 2 || subtag > 8)))
			return NULL;
		if (nsubtags == 1 && subtag == 4)
			for (int i = 1; i < 4; i++)
				out.data[out.len - i] = pg_ascii_tolower((unsigned char) out.data[out.len - i]);
		if (c == '\0' || c == '.' || c == '@')
			return out.data;
		if (c != '_' && c != '-')
			return NULL;
		appendStringInfoChar(&out, '_');
		nsubtags++;
		subtag = 0;
	}
}

/* ---- loading ---- */

static char *
column(HeapTuple tuple, TupleDesc desc, int number)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, desc, number, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static List *
names_of(ArrayType *array)
{
	List	   *names = NIL;
	Datum	   *elements;
	int			n;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &n);
	for (int i = 0; i < n; i++)
		names = lappend(names, TextDatumGetCString(elements[i]));
	return names;
}

EcMailTemplate *
ec_mail_template_load(const char *name, const char *locale, bool fresh)
{
	static const Oid types[] = {TEXTOID, TEXTOID};
	EcMailTemplate *template;
	MemoryContext spi;
	HeapTuple	tuple;
	TupleDesc	desc;
	Datum		values[2];
	Datum		value;
	bool		isnull;
	int			code;
	EcAs		as;

	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(locale);
	ec_as_state_owner(&as);
	code = SPI_execute_plan(ec_plan(load_sql, 2, types), values, NULL, !fresh, 1);
	ec_as_end(&as);
	if (code != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan returned %s", SPI_result_code_string(code));
	if (SPI_processed == 0)
		return NULL;

	tuple = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	template = SPI_palloc(sizeof(EcMailTemplate));
	spi = MemoryContextSwitchTo(GetMemoryChunkContext(template));
	template->name = column(tuple, desc, 1);
	template->locale = column(tuple, desc, 2);
	template->subject = column(tuple, desc, 3);
	template->html = column(tuple, desc, 4);
	template->body = column(tuple, desc, 5);
	value = SPI_getbinval(tuple, desc, 6, &isnull);
	template->sample = isnull ? NULL : DatumGetJsonbPCopy(value);
	value = SPI_getbinval(tuple, desc, 7, &isnull);
	template->partials = names_of(DatumGetArrayTypeP(value));
	MemoryContextSwitchTo(spi);
	SPI_freetuptable(SPI_tuptable);
	return template;
}

static EcMailTemplate *
template_named(const List *templates, const char *name, int len)
{
	ListCell   *cell;

	foreach(cell, templates)
	{
		EcMailTemplate *template = lfirst(cell);

		if (strlen(template->name) == len && memcmp(template->name, name, len) == 0)
			return template;
	}
	return NULL;
}

/* EcPartials.find of EcMailPartials */
static bool
mail_partial(EcPartials *self, const char *name, int name_len, const char **text, int *len)
{
	EcMailPartials *partials = (EcMailPartials *) self;
	EcMailTemplate *template = template_named(partials->templates, name, name_len);

	*text = NULL;
	if (template != NULL)
		*text = partials->html ? template->html : template->body;
	if (*text == NULL)
		return false;
	*len = strlen(*text);
	return true;
}

/*
 * Load what a template includes, directly or not; what is missing is left
 * out.  The caller is connected to SPI; the result is where the template is.
 */
void
ec_mail_partials_load(EcMailPartials *partials, const EcMailTemplate *template, bool fresh)
{
	MemoryContext result = GetMemoryChunkContext((void *) template);
	List	   *names = list_copy(template->partials);

	partials->base.find = mail_partial;
	partials->templates = NIL;
	partials->html = true;
	/* the list of names grows behind us */
	for (int i = 0; i < list_length(names); i++)
	{
		char	   *name = list_nth(names, i);
		EcMailTemplate *found;
		MemoryContext old;

		if (template_named(partials->templates, name, strlen(name)) != NULL)
			continue;
		found = ec_mail_template_load(name, template->locale, fresh);
		if (found == NULL)
			continue;
		names = list_concat(names, found->partials);
		/* only now: each call of SPI leaves us in its own context */
		old = MemoryContextSwitchTo(result);
		partials->templates = lappend(partials->templates, found);
		MemoryContextSwitchTo(old);
	}
}

/* ---- rendering ---- */

static char *
render_part(const EcMailTemplate *template, const char *part, const char *text,
			EcPartials *partials, Jsonb *data, bool escape)
{
	StringInfoData out;

	initStringInfo(&out);
	ec_template_render(&out, ec_template_get(text, strlen(text), part, template->name, strlen(template->name)),
					   data, partials, escape);
	return out.data;
}

/*
 * The subject becomes a header line: a line break in it would begin another.
 */
static char *
check_subject(const EcMailTemplate *template, char *subject)
{
	int			len = strlen(subject);
	int			clipped;

	while (len > 0 && subject[len - 1] == ' ')
		subject[--len] = '\0';
	while (*subject == ' ')
		subject++;
	len = strlen(subject);
	clipped = pg_mbcharcliplen(subject, len, 100);
	for (const char *p = subject; *p != '\0'; p++)
		if ((unsigned char) *p < 0x20 || *p == 0x7F)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 (*p == '\n' || *p == '\r')
					 ? errmsg("subject of mail template \"%s\" would have a line break", template->name)
					 : errmsg("subject of mail template \"%s\" would have a control character", template->name),
					 errdetail("The rendered subject is \"%s\".", pnstrdup(subject, clipped)),
					 errhint("Correct the data that is filled in.")));
	return subject;
}

void
ec_mail_render(EcMailText *mail, const EcMailTemplate *template, EcMailPartials *partials, Jsonb *data)
{
	memset(mail, 0, sizeof(*mail));
	ec_template_cache_trim();
	if (template->subject != NULL)
		mail->subject = check_subject(template, render_part(template, "the subject of", template->subject,
															NULL, data, false));
	if (template->html != NULL)
	{
		partials->html = true;
		mail->html = render_part(template, "the html of", template->html, &partials->base, data, true);
	}
	if (template->body != NULL)
	{
		partials->html = false;
		mail->body = render_part(template, "the body of", template->body, &partials->base, data, false);
	}
	else if (mail->html != NULL)
		mail->body = ec_html_to_text(mail->html, strlen(mail->html));
}

void
ec_mail_template_missing(const char *name, const char *locale)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[1] = {CStringGetTextDatum(name)};
	char	   *locales = NULL;
	EcAs		as;

	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan(locales_sql, 1, types), values, NULL, false, 1) == SPI_OK_SELECT &&
		SPI_processed == 1)
		locales = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	ec_as_end(&as);
	if (locales == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("mail template \"%s\" does not exist", name),
				 errhint("Create it with ecauto.create_template().")));
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("mail template \"%s\" does not exist for locale \"%s\"", name, locale),
			 errdetail("It exists for %s.", locales),
			 errhint("Create one with locale '', which serves all others.")));
}

/*
 * ecauto.render_mail(name text, data jsonb, locale text) returns record
 */
Datum
ecauto_render_mail(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	char	   *name;
	char	   *locale = NULL;
	EcMailTemplate *template;
	EcMailPartials partials;
	EcMailText	mail;
	Datum		values[3];
	bool		nulls[3];

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);
	ec_state_require();
	ec_require_operator("render mail templates");
	for (int i = 0; i < 2; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not be NULL", i == 0 ? "name" : "data")));
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	/* a customer's locale that is none must not keep his mail from him */
	if (!PG_ARGISNULL(2))
		locale = ec_locale_normalize(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	if (locale == NULL)
		locale = "";

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	template = ec_mail_template_load(name, locale, false);
	if (template == NULL)
		ec_mail_template_missing(name, locale);
	if (template->subject == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("mail template \"%s\" has no subject", name),
				 errdetail("It is a part that other templates include.")));
	ec_mail_partials_load(&partials, template, false);
	SPI_finish();

	ec_mail_render(&mail, template, &partials, PG_GETARG_JSONB_P(1));
	nulls[0] = (mail.subject == NULL);
	nulls[1] = (mail.html == NULL);
	nulls[2] = (mail.body == NULL);
	values[0] = nulls[0] ? (Datum) 0 : CStringGetTextDatum(mail.subject);
	values[1] = nulls[1] ? (Datum) 0 : CStringGetTextDatum(mail.html);
	values[2] = nulls[2] ? (Datum) 0 : CStringGetTextDatum(mail.body);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

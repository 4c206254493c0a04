/*-------------------------------------------------------------------------
 *
 * template_sql.c
 *		What needs no state: ecauto.render(), ecauto.html_to_text().
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "template/template.h"

PG_FUNCTION_INFO_V1(ecauto_render);
PG_FUNCTION_INFO_V1(ecauto_html_to_text);

/*
 * ecauto.render(template text, data jsonb, partials jsonb) returns text
 */
Datum
ecauto_render(PG_FUNCTION_ARGS)
{
	text	   *template = PG_GETARG_TEXT_PP(0);
	Jsonb	   *data = PG_GETARG_JSONB_P(1);
	EcJsonPartials partials;
	StringInfoData out;

	ec_json_partials_init(&partials, PG_GETARG_JSONB_P(2));
	initStringInfo(&out);
	/* room for the header, so that the buffer itself becomes the result */
	appendStringInfoSpaces(&out, VARHDRSZ);
	ec_template_cache_trim();
	ec_template_render(&out,
					   ec_template_get(VARDATA_ANY(template), VARSIZE_ANY_EXHDR(template),
									   "the template", NULL, 0),
					   data, &partials.base, true);
	SET_VARSIZE(out.data, out.len);
	PG_RETURN_TEXT_P((text *) out.data);
}

/*
 * ecauto.html_to_text(html text) returns text
 */
Datum
ecauto_html_to_text(PG_FUNCTION_ARGS)
{
	text	   *html = PG_GETARG_TEXT_PP(0);

	PG_RETURN_TEXT_P(cstring_to_text(ec_html_to_text(VARDATA_ANY(html), VARSIZE_ANY_EXHDR(html))));
}

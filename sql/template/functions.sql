CREATE OR REPLACE FUNCTION ecauto.render(template text, data jsonb, partials jsonb DEFAULT '{}')
RETURNS text
AS 'MODULE_PATHNAME', 'ecauto_render'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.render(text, jsonb, jsonb) IS
'what a Mustache template makes of data: {{name}} is escaped for HTML, {{{name}}} is not, {{#name}}…{{/name}} runs for each element or if true, {{^name}}…{{/name}} if not, {{>name}} includes a text of partials; what is missing or null is empty; NULL if an argument is';

CREATE OR REPLACE FUNCTION ecauto.html_to_text(html text)
RETURNS text
AS 'MODULE_PATHNAME', 'ecauto_html_to_text'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.html_to_text(text) IS
'plain text of an HTML document: blocks become lines, links are followed by their address in parentheses, entities are decoded; NULL if html is';

CREATE OR REPLACE FUNCTION ecauto.create_template(
	name text, subject text, html text, body text DEFAULT NULL, locale text DEFAULT '', sample jsonb DEFAULT NULL)
RETURNS integer
AS 'MODULE_PATHNAME', 'ecauto_create_template'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.create_template(text, text, text, text, text, jsonb) IS
'stores the Mustache templates of a mail for a locale and returns their version, from 1; the earlier version goes to ecauto_data.mail_template_history; body (text) is made from html if it is NULL; subject NULL: only a part that others include; every variable must be found in sample (NULL: that of the earlier version or of another locale; none: not checked); for operators';
REVOKE ALL ON FUNCTION ecauto.create_template(text, text, text, text, text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.check_template(name text, sample jsonb)
RETURNS void
AS 'MODULE_PATHNAME', 'ecauto_check_template'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.check_template(text, jsonb) IS
'raises an error if a mail template, in any of its locales, has a variable that is not found in sample or cannot be rendered with it; for operators';
REVOKE ALL ON FUNCTION ecauto.check_template(text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.drop_template(name text, locale text DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_drop_template'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.drop_template(text, text) IS
'drops a mail template in a locale (NULL: in all) unless another one needs it as a partial; false if there was none; it stays in ecauto_data.mail_template_history; for operators';
REVOKE ALL ON FUNCTION ecauto.drop_template(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.templates(
	OUT name text, OUT locale text, OUT version integer, OUT subject text, OUT html text, OUT body text,
	OUT sample jsonb, OUT created_at timestamptz, OUT created_by name)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ecauto_templates'
LANGUAGE C STABLE PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION ecauto.templates() IS
'mail templates as they are used, one row for each locale; for operators';
REVOKE ALL ON FUNCTION ecauto.templates() FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.render_mail(
	name text, data jsonb, locale text DEFAULT '',
	OUT subject text, OUT html text, OUT body text)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_render_mail'
LANGUAGE C STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.render_mail(text, jsonb, text) IS
'subject, html and text of a mail: the template of the locale, or of the nearest more general one (pl_PL, pl, none), filled with data; html is NULL if the template has none; an error if the subject would not be one line; for operators';
REVOKE ALL ON FUNCTION ecauto.render_mail(text, jsonb, text) FROM PUBLIC;

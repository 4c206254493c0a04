-- Charts and numbers as the report shows them.

CREATE OR REPLACE FUNCTION ecauto.report_chart(title text, description text, labels text[], "values" float8[], styles text[])
RETURNS text
AS 'MODULE_PATHNAME', 'ecauto_report_chart'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.report_chart(text, text, text[], float8[], text[]) IS
'a chart as HTML with an SVG that has title and description; labels: of the places from left to right; values: of all places of the first series, then of the second, and so on, NULL: a gap; styles: of each series, bar, line, dash (a broken line), or low and high (the edges of a band); colours are left to the page; all text is escaped; NULL without a place or for NULL; error if the number of values is another';

CREATE OR REPLACE FUNCTION ecauto.report_digits(currency text)
RETURNS integer
AS 'MODULE_PATHNAME', 'ecauto_report_digits'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.report_digits(text) IS
'digits after the point of amounts in a currency, two if there is none like it';

CREATE OR REPLACE FUNCTION ecauto.report_number(value numeric, digits integer DEFAULT 0, unit text DEFAULT '')
RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN $1 IS NOT NULL THEN jsonb_build_object(
	'v', trim_scale($1)::text,
	't', CASE WHEN abs($1) < 1e18::numeric
		THEN to_char(round($1, $2), 'FM999,999,999,999,999,999,990' || CASE WHEN $2 > 0 THEN '.' || repeat('0', $2) ELSE '' END)
		ELSE to_char($1, '9.99EEEE') END
		|| CASE WHEN $3 <> '' THEN ' ' || $3 ELSE '' END) END
$$;
COMMENT ON FUNCTION ecauto.report_number(numeric, integer, text) IS
'a number for the page of the report: {"v": as it is, "t": rounded to so many digits, with commas between thousands and its unit}; NULL for NULL';

CREATE OR REPLACE FUNCTION ecauto.report_money(value numeric, currency text)
RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT ecauto.report_number($1, ecauto.report_digits(coalesce($2, '')), coalesce($2, ''))
$$;
COMMENT ON FUNCTION ecauto.report_money(numeric, text) IS
'an amount for the page of the report, with the digits and the code of its currency; NULL for NULL';

CREATE OR REPLACE FUNCTION ecauto.report_share(part numeric, whole numeric)
RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT ecauto.report_number($1 * 100 / nullif($2, 0), 1, '%')
$$;
COMMENT ON FUNCTION ecauto.report_share(numeric, numeric) IS
'part of whole in percent for the page of the report; NULL if there is no whole or an argument is NULL';

CREATE OR REPLACE FUNCTION ecauto.report_change(value numeric, before numeric)
RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN $2 > 0 AND $1 IS NOT NULL THEN jsonb_build_object(
	'up', round(($1 - $2) * 100 / $2, 1) > 0, 'down', round(($1 - $2) * 100 / $2, 1) < 0,
	't', to_char(abs(round(($1 - $2) * 100 / $2, 1)), 'FM999,999,990.0') || ' %') END
$$;
COMMENT ON FUNCTION ecauto.report_change(numeric, numeric) IS
'by how much a number changed, in percent, for the page of the report; NULL if there was nothing before';

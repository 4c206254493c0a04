-- Whatever stands in a template or in HTML: an error of the documented kinds or a text, never a crash, and always the same.
BEGIN;
SELECT plan(7);

-- texts from pieces that mean something to the parser; the same on every machine
CREATE FUNCTION pick(seed text, n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS
	$$ SELECT (('x' || substr(md5(seed), 1, 7))::bit(28)::integer % n) $$;
CREATE FUNCTION mangled(pieces text[], seed text, length integer) RETURNS text LANGUAGE sql IMMUTABLE AS
	$$ SELECT string_agg(pieces[1 + pick(seed || ':' || i, array_length(pieces, 1))], '' ORDER BY i) FROM generate_series(1, 1 + pick(seed, length)) i $$;
-- a right text with something cut out, put in or doubled
CREATE FUNCTION mutated(original text, pieces text[], seed text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	result text := original;
	place integer;
BEGIN
	FOR i IN 1 .. 1 + pick(seed || 'n', 4) LOOP
		place := 1 + pick(seed || 'p' || i, length(result) + 1);
		result := CASE pick(seed || 'k' || i, 3)
			WHEN 0 THEN overlay(result PLACING '' FROM place FOR 1 + pick(seed || 'l' || i, 5))
			WHEN 1 THEN overlay(result PLACING pieces[1 + pick(seed || 'w' || i, array_length(pieces, 1))] FROM place FOR 0)
			ELSE overlay(result PLACING substr(result, place, 12) FROM place FOR 0) END;
	END LOOP;
	RETURN result;
END $$;
-- its text, or the SQLSTATE of its error
CREATE FUNCTION tried(template text, data jsonb, partials jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN 'text: ' || ecauto.render(template, data, partials);
EXCEPTION WHEN syntax_error OR program_limit_exceeded THEN
	RETURN SQLSTATE;
END $$;

CREATE TEMPORARY TABLE fuzz AS
WITH piece(list) AS (VALUES (ARRAY['{{', '}}', '{', '}', '{{{', '}}}', '#', '/', '^', '>', '&', '!', '=', '.', 'a', 'b', 'l', 'p', 'a.b', ' ', E'\n', E'\r\n', E'\t', 'ż', '🐢',
	'{{a}}', '{{#a}}', '{{/a}}', '{{^a}}', '{{#l}}', '{{/l}}', '{{.}}', '{{>p}}', '{{>q}}', E'\n {{>q}}\n', '{{={ }=}}', '{={{ }}=}', '{{!x}}', E'{{!\n}}'])),
original(text) AS (VALUES (E'Hello {{a}},\n{{#l}}\n  * {{b}} {{{.}}}\n  {{>q}}\n{{/l}}\n{{^a}}\nnone\n{{/a}}\n{{! said\n twice }}{{=<% %>=}}\n<%a%> <%#a%>x<%/a%>\n<%={{ }}=%>{{&a.b}}\n'))
SELECT i, CASE WHEN i % 2 = 0 THEN mangled(list, 'm' || i, 25) ELSE mutated(text, list, 'm' || i) END AS template
FROM piece, original, generate_series(1, 6000) i;

CREATE TEMPORARY TABLE fuzzed AS
SELECT f.*, tried(template, '{"a": {"b": "<ż>"}, "b": 5, "l": [{"b": 1}, null, "x", [2]]}', '{"p": "p{{a.b}}\n", "q": "{{#l}}\nq\n{{/l}}\n\nr"}') AS result FROM fuzz f;

SELECT is((SELECT count(*) FROM fuzzed WHERE result IS NULL OR result !~ '^(text: |42601|54000)'), 0::bigint, 'a text or an error that one can act on');
SELECT cmp_ok((SELECT count(*) FROM fuzzed WHERE result ~ '^text'), '>', 1000::bigint, 'some of them are templates');
SELECT cmp_ok((SELECT count(*) FROM fuzzed WHERE result ~ '^42601'), '>', 1000::bigint, 'and some are not');
SELECT is((SELECT count(*) FROM fuzzed f
	WHERE result <> tried(template, '{"a": {"b": "<ż>"}, "b": 5, "l": [{"b": 1}, null, "x", [2]]}', '{"p": "p{{a.b}}\n", "q": "{{#l}}\nq\n{{/l}}\n\nr"}')),
	0::bigint, 'parsed anew or kept, the same comes out');
-- the definition of indentation in the specification
SELECT is((SELECT string_agg(i || ': ' || template, E'\n--\n' ORDER BY i) FROM fuzzed f, LATERAL (SELECT
		'{"a": {"b": "<ż>"}, "b": "5\n6", "l": [{"b": 1}, null, "x", [2]]}'::jsonb AS data, '{"p": "p{{a.b}}\n", "q": "{{#l}}\nq\n{{/l}}\n\nr"}'::jsonb AS partials) x
	WHERE tried('  {{>it}}', data, partials || jsonb_build_object('it', template))
		IS DISTINCT FROM tried('  ' || regexp_replace(template, E'\n(?=.)', E'\n  ', 'g'), data, partials)),
	NULL, 'a partial on a line of its own is as if each of its lines were indented');

-- ---- HTML ----
CREATE TEMPORARY TABLE html AS
WITH piece(list) AS (VALUES (ARRAY['<', '>', '</', '/>', '<!--', '-->', '<!', '"', '''', '=', '&', '&amp;', '&#', '&#x1F422;', '&#0;', '&#xD800;', ';', 'a', ' ', E'\n', 'ż',
	'<p>', '</p>', '<a href="x">', '</a>', '<ul>', '<ol>', '</ol>', '<li>', '<br>', '<pre>', '</pre>', '<script>', '</script>', '<style', '<td>', '<img alt="i">', '<hr>'])),
original(text) AS (VALUES (E'<html><head><title>t</title><style>p { }</style></head><body><h1>Hi</h1><p>one &amp; <b>two</b></p><ol><li>x<li><a href=''u?a&amp;b''>y</a></ol><pre> a\n b</pre></body></html>'))
SELECT i, CASE WHEN i % 2 = 0 THEN mangled(list, 'h' || i, 40) ELSE mutated(text, list, 'h' || i) END AS html
FROM piece, original, generate_series(1, 4000) i;

SELECT is((SELECT count(*) FROM html WHERE ecauto.html_to_text(html) IS NULL), 0::bigint, 'any HTML has a text');
SELECT is((SELECT count(*) FROM html WHERE ecauto.html_to_text(html) ~ E'[\\x01-\\x08\\x0b-\\x1f]'), 0::bigint, 'without control characters');

SELECT * FROM finish();
ROLLBACK;

-- render(): what the Mustache specification leaves open, limits, and the cache of parsed templates.
BEGIN;
SELECT plan(56);

-- ---- values ----
SELECT is(ecauto.render('{{a}}|{{{a}}}|{{&a}}', '{"a": "<b> & \"c\" ''d''"}'),
	'&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;|<b> & "c" ''d''|<b> & "c" ''d''', 'escaped so that it can stand in either kind of quotes');
SELECT is(ecauto.render('{{a}} {{b}} {{c}} {{d}}', '{"a": 1.10, "b": -0, "c": 1e3, "d": 12345678901234567890.123456789}'),
	'1.10 0 1000 12345678901234567890.123456789', 'numbers as jsonb prints them, scale and all');
SELECT is(ecauto.render('{{a}} {{b}}', '{"a": true, "b": false}'), 'true false', 'booleans');
SELECT is(ecauto.render('{{&a}} {{&b}}', '{"a": {"x": [1, "y"]}, "b": [null]}'), '{"x": [1, "y"]} [null]', 'what is no scalar is JSON');
SELECT is(ecauto.render('{{a}}', '{"a": ["<"]}'), '[&quot;&lt;&quot;]', 'and escaped');
SELECT is(ecauto.render('[{{a}}{{b}}{{c.d}}{{.}}]', 'null'), '[]', 'null is nothing, whatever is asked of it');
SELECT is(ecauto.render('[{{a}}]', '{"a": null}'), '[]', 'never the word');
SELECT is(ecauto.render('{{żółw}} {{a.ß}}', '{"żółw": "🐢", "a": {"ß": "ﬁ"}}'), '🐢 ﬁ', 'names and values beyond ASCII');
SELECT is(ecauto.render('', '{}'), '', 'nothing of nothing');
SELECT is(ecauto.render('{ {a} } }} {', '{"a": 1}'), '{ {a} } }} {', 'single braces are text');
SELECT is(ecauto.render(E'a\\{{b}}\\n', '{"b": 1}'), E'a\\1\\n', 'a backslash is text');
SELECT is(ecauto.render('{{a}}', '{"a": "{{b}}", "b": "x"}'), '{{b}}', 'data is not a template');
SELECT is(ecauto.render(NULL, '{}'), NULL, 'no template');
SELECT is(ecauto.render('a', NULL), NULL, 'no data');

-- ---- sections ----
SELECT is(ecauto.render('{{#a}}yes{{/a}}{{^a}}no{{/a}}', jsonb_build_object('a', v.value)), v.expected, 'section of ' || v.value::text)
FROM (VALUES ('null'::jsonb, 'no'), ('false', 'no'), ('true', 'yes'), ('""', 'no'), ('"0"', 'yes'), ('0', 'yes'), ('[]', 'no'),
	('{}', 'yes'), ('[0]', 'yes'), ('[[]]', 'yes'), ('[null]', 'yes')) v (value, expected);
SELECT is(ecauto.render('{{#a}}{{#b}}{{c}}{{/b}}{{/a}}', '{"a": [{"b": [{"c": 1}, {"c": 2}]}, {"b": []}, {"b": {"c": 3}}]}'), '123', 'lists in lists');
SELECT is(ecauto.render('{{#a}}{{x}}{{y}} {{/a}}', '{"a": [{"x": 1}, {"y": 2}, 3], "x": "-", "y": "+"}'), '1+ -2 -+ ', 'what an element lacks is looked for outside');
SELECT is(ecauto.render('{{#a.b}}{{.}}{{/a.b}}', '{"a": {"b": [1, 2]}}'), '12', 'a dotted list');
SELECT is(ecauto.render('{{#.}}{{.}}{{/.}}', '"x"'), 'x', 'a section of the whole');
SELECT is(ecauto.render(E'{{#a}}\r\n- {{.}}\r\n{{/a}}\r\n', '{"a": [1, 2]}'), E'- 1\r\n- 2\r\n', 'lines of a section, as Windows ends them');
SELECT is(ecauto.render(E'{{#a}}\t \n{{/a}}\r', '{"a": 1}'), E'\r', 'a lone carriage return does not end a line');

-- ---- tags ----
SELECT is(ecauto.render('{{={ }=}}{a} {{b}} {={{ }}=}{{a}}', '{"a": 1, "b": 2}'), '1 2 1', 'delimiters there and back');
SELECT is(ecauto.render('{{=<% %>=}}<%{a}%> <%&a%> <%!x%>', '{"a": "<"}'), '< < ', 'every kind of tag with other delimiters');
SELECT is(ecauto.render('{{=aab bba=}}aaaabxbba', '{"x": 1}'), 'aa1', 'a delimiter that begins within itself');
SELECT is(ecauto.render(E'{{\n a\t}}{{#\n b}}{{/b\n}}', '{"a": 1}'), '1', 'blanks around a name, lines too');
SELECT is(ecauto.render('{{! {{ }}', '{}'), '', 'a comment may hold what begins a tag');

-- ---- partials ----
SELECT is(ecauto.render(E'  {{>p}}\n', '{"a": 1}', E'{"p": "x\\n\\ny\\n"}'), E'  x\n  \n  y\n', 'every line of a partial is indented, an empty one, too');
SELECT is(ecauto.render(E' {{>p}}', '{"a": [1, 2]}', E'{"p": "{{#a}}\\n{{>q}}\\n{{/a}}\\n{{^b}}n{{/b}}{{#a}}{{.}}{{/a}}", "q": "q{{.}}\\nr\\n"}'),
	E' q1\n r\n q2\n r\n n12', 'indentation of sections and of partials in partials');
SELECT is(ecauto.render(E' {{>p}}', '{}', E'{"p": "a\\n  {{>q}}\\n", "q": "b\\nc\\n"}'), E' a\n   b\n   c\n', 'indentations add up');
SELECT is(ecauto.render('{{>t}}', '{"v": 1, "c": [{"v": 2, "c": []}, {"v": 3, "c": [{"v": 4, "c": []}]}]}', '{"t": "({{v}}{{#c}}{{>t}}{{/c}})"}'),
	'(1(2)(3(4)))', 'a tree');
SELECT is(ecauto.render('{{>a/b.c}}', '{}', '{"a/b.c": "x"}'), 'x', 'any one word is the name of a partial');
SELECT throws_ok($$ SELECT ecauto.render('', '{}', '{"p": 1}') $$, '22023', 'partials must be an object of strings', 'partials are texts');
SELECT throws_ok($$ SELECT ecauto.render('', '{}', '[]') $$, '22023', 'partials must be an object of strings', 'with names');
SELECT throws_ok($$ SELECT ecauto.render('{{>p}}', '{}', '{"p": "{{>q}}", "q": "{{>p}}"}') $$, '54000', 'partials are nested too deeply', 'no way out');

-- ---- limits ----
SELECT throws_ok($$ SELECT ecauto.render(repeat('x', 1024 * 1024 + 1), '{}') $$, '54000', 'template is too long', 'more than 1 MB');
SELECT is(length(ecauto.render(repeat('x', 1024 * 1024), '{}')), 1024 * 1024, '1 MB');
SELECT is(ecauto.render(repeat(E'\n{{a}}', 174762), '{"a": ""}'), repeat(E'\n', 174762), 'of tags');
SELECT is(ecauto.render(repeat('{{#a}}', 200) || 'x' || repeat('{{/a}}', 200), '{"a": {"b": 1}}'), 'x', '200 sections in each other');
SELECT throws_ok($$ SELECT ecauto.render(repeat('{{#a}}', 201) || repeat('{{/a}}', 201), '{}') $$, '54000', 'sections are nested too deeply', 'one more');
SELECT throws_ok($$ SELECT ecauto.render(repeat('{{#a}}', 5) || repeat('x', 200) || repeat('{{/a}}', 5), jsonb_build_object('a', (SELECT jsonb_agg(i) FROM generate_series(1, 20) i))) $$,
	'54000', 'rendered text is too long', 'a small template can be much text');
SELECT is(length(ecauto.render('{{#a}}{{#a}}{{a}}{{/a}}{{/a}}', jsonb_build_object('a', (SELECT jsonb_agg(i) FROM generate_series(1, 100) i)))),
	100 * 100 * length(ecauto.render('{{a}}', jsonb_build_object('a', (SELECT jsonb_agg(i) FROM generate_series(1, 100) i)))), 'or a little less');
CREATE FUNCTION endless() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN ecauto.render('{{>p0}}', '{}',
		(SELECT jsonb_object_agg('p' || i, '{{>p' || i + 1 || '}}{{>p' || i + 1 || '}}') FROM generate_series(0, 60) i));
EXCEPTION WHEN query_canceled THEN
	RETURN 'cancelled';
END $$;
SET LOCAL statement_timeout = '100ms';
SELECT is(endless(), 'cancelled', 'one that would take for ever can be stopped');
RESET statement_timeout;

-- ---- the cache ----
SELECT is((SELECT count(*) FROM generate_series(1, 3) round, generate_series(1, 1000) i
	WHERE ecauto.render('a' || i || '{{b}}', '{"b": 7}') IS DISTINCT FROM 'a' || i || '7'), 0::bigint, 'more templates than are kept');
SELECT is((SELECT count(*) FROM generate_series(1, 1000) i
	WHERE ecauto.render('{{>p}}{{>q}}', '{"b": 7}', jsonb_build_object('p', 'p' || i || '{{b}}', 'q', repeat(' {{b}}', i))) IS DISTINCT FROM 'p' || i || '7' || repeat(' 7', i)),
	0::bigint, 'and partials');
SELECT is((SELECT count(*) FROM generate_series(1, 60) i
	WHERE length(ecauto.render(repeat('x{{b}}', 100000 + i), '{}')) IS DISTINCT FROM 100000 + i), 0::bigint, 'and large ones');
SELECT cmp_ok((SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name = 'ecauto templates'), '<', 40 * 1024 * 1024::numeric, 'the memory they take is bounded');

SELECT * FROM finish();
ROLLBACK;

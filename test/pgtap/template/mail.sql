-- Mail templates: found by locale, checked before they are kept, never half kept.
BEGIN;
SELECT plan(78);
DELETE FROM ecauto_data.mail_template;
CREATE FUNCTION mail(name text, data jsonb, locale text DEFAULT '') RETURNS text LANGUAGE sql AS
	$$ SELECT concat_ws('|', subject, html, body) FROM ecauto.render_mail($1, $2, $3) $$;

-- ---- parts ----
SELECT is(ecauto.create_template('order', 'Order {{number}}', '<p>Dear {{name}}</p>', 'Dear {{name}}'), 1, 'the first version');
SELECT is(mail('order', '{"number": 7, "name": "<O''Neill>"}'), 'Order 7|<p>Dear &lt;O&#39;Neill&gt;</p>|Dear <O''Neill>', 'escaped in HTML only');
SELECT is(ecauto.create_template('order', '{{name}} & {{{name}}}', '<p>Dear {{name}}</p>'), 2, 'the second');
SELECT is(mail('order', '{"name": "<O''Neill>"}'), E'<O''Neill> & <O''Neill>|<p>Dear &lt;O&#39;Neill&gt;</p>|Dear <O''Neill>\n', 'text made from HTML, of the data''s own letters');
SELECT is(mail('order', '{}'), E'&|<p>Dear </p>|Dear\n', 'a subject has no blanks around it');
SELECT is((SELECT (version, subject, body)::text FROM ecauto_data.mail_template_history WHERE name = 'order'),
	'(1,"Order {{number}}","Dear {{name}}")', 'what was replaced is kept');
SELECT ecauto.create_template('text', 'T', NULL, 'only {{t}}') \g /dev/null
SELECT results_eq($$ SELECT * FROM ecauto.render_mail('text', '{"t": "<text>"}') $$, $$ VALUES ('T', NULL, 'only <text>') $$, 'without HTML there is none');
SELECT throws_ok($$ SELECT ecauto.create_template('x', 'T', NULL) $$, '22004', 'a mail template needs html or a body', 'but something there is');
SELECT throws_ok($$ SELECT ecauto.create_template('x', E'a\nb', '') $$, '22023', 'subject of a mail must not contain line breaks', 'a subject of two lines');
SELECT throws_ok($$ SELECT * FROM ecauto.render_mail('order', '{"name": "x\r\nBcc: a@b.example"}') $$, '22023',
	'subject of mail template "order" would have a line break', 'or one that data would break');
SELECT throws_ok($$ SELECT * FROM ecauto.render_mail('order', '{"name": "a\tb"}') $$, '22023',
	'subject of mail template "order" would have a control character', 'no control characters either');
SELECT throws_ok($$ SELECT * FROM ecauto.render_mail('nope', '{}') $$, '42704', 'mail template "nope" does not exist', 'no such template');
SELECT throws_ok($$ SELECT * FROM ecauto.render_mail(NULL, '{}') $$, '22004', 'argument "name" must not be NULL', 'no name');
SELECT throws_ok($$ SELECT * FROM ecauto.render_mail('order', NULL) $$, '22004', 'argument "data" must not be NULL', 'no data');
SELECT is((SELECT count(DISTINCT r.subject) FROM generate_series(1, 1000) i, ecauto.render_mail('order', jsonb_build_object('name', i)) r), 1000::bigint, 'many at once');

-- ---- names ----
SELECT throws_ok($$ SELECT ecauto.create_template($$ || quote_nullable(name) || $$, 's', 'h') $$, state, NULL, 'name ' || what)
FROM (VALUES (NULL, '22004', 'NULL'), ('', '22023', 'empty'), ('a b', '22023', 'with a blank'), (E'a\n', '22023', 'with a line break'),
	('a}}', '22023', 'with braces'), (repeat('x', 256), '22023', 'too long')) v (name, state, what);
SELECT is(ecauto.create_template('zamówienie/złożone', 's', 'h'), 1, 'any other word is a name');

-- ---- locales ----
SELECT ecauto.create_template('order', 'PL', 'pl', locale => 'pl') \g /dev/null
SELECT ecauto.create_template('order', 'BR', 'br', locale => 'PT-br') \g /dev/null
SELECT ecauto.create_template('order', 'TW', 'tw', locale => 'zh_hant') \g /dev/null
SELECT is(array_agg(locale ORDER BY locale), ARRAY['', 'pl', 'pt_BR', 'zh_Hant'], 'locales are stored in one form') FROM ecauto.templates() WHERE name = 'order';
SELECT is((SELECT subject FROM ecauto.render_mail('order', '{"name": "-"}', locale)), expected, 'locale ' || coalesce(quote_literal(locale), 'NULL'))
FROM (VALUES ('pl_PL', 'PL'), ('pl', 'PL'), ('PL-pl', 'PL'), ('pl_PL.UTF-8', 'PL'), ('pl@euro', 'PL'), ('plx', '- & -'), ('p', '- & -'), ('pt', '- & -'), ('pt_br', 'BR'),
	('zh-Hant-TW', 'TW'), ('zh_TW', '- & -'), ('', '- & -'), (NULL, '- & -'), ('no locale', '- & -'), (repeat('pl_', 100), '- & -'), ('pl_', '- & -')) v (locale, expected);
SELECT throws_ok($$ SELECT ecauto.create_template('order', 's', 'h', locale => 'polish language') $$, '22023', 'invalid locale of a mail template', 'a locale that is none');
SELECT ok(ecauto.drop_template('order', ''), 'one locale dropped');
SELECT throws_ok($$ SELECT * FROM ecauto.render_mail('order', '{}', 'de') $$, '42704', 'mail template "order" does not exist for locale "de"', 'nothing left to fall back to');
SELECT is((SELECT subject FROM ecauto.render_mail('order', '{}', 'pl')), 'PL', 'others are still there');
SELECT ok(NOT ecauto.drop_template('order', 'de'), 'there was none');
SELECT ok(ecauto.drop_template('order') AND NOT EXISTS (SELECT FROM ecauto.templates() WHERE name = 'order'), 'all dropped');
SELECT is(ecauto.create_template('order', 's', 'h'), 3, 'versions go on after that');

-- ---- samples ----
SELECT is(ecauto.create_template('s', '{{a}}', '{{#l}}{{t}}{{a}}{{#none}}{{whatever}}{{/none}}{{/l}}{{^l}}{{b.c}}{{/l}}',
	sample => '{"a": 1, "b": {"c": null}, "l": [{"t": 1}], "none": []}'), 1, 'every name is in the sample');
SELECT throws_ok($$ SELECT ecauto.create_template('s', 's', $$ || quote_literal(html) || $$) $$, '42P02', 'unknown variable "' || name || '" in a template', html)
FROM (VALUES ('{{x}}', 'x'), ('{{{x}}}', 'x'), ('{{b.x}}', 'b.x'), ('{{a.x}}', 'a.x'), ('{{#x}}{{/x}}', 'x'), ('{{^x}}{{/x}}', 'x'), ('{{#l}}{{x}}{{/l}}', 'x'),
	('{{^a}}{{x}}{{/a}}', 'x')) v (html, name);
SELECT is((SELECT version FROM ecauto.templates() WHERE name = 's'), 1, 'what is wrong replaces nothing');
SELECT lives_ok($$ SELECT ecauto.create_template('s', 's', '{{a}}', locale => 'pl') $$, 'a locale takes the sample of another');
SELECT throws_ok($$ SELECT ecauto.create_template('s', 's', '{{x}}', locale => 'pl_PL') $$, '42P02', NULL, 'and is checked with it');
SELECT throws_ok($$ SELECT ecauto.create_template('s', '{{a}}', 'h', sample => '{"a": "x\ny"}') $$, '22023', 'subject of mail template "s" would have a line break', 'the sample is rendered');
SELECT throws_ok($$ SELECT ecauto.create_template('s', 's', 'h', sample => '[]') $$, '22023', 'sample data of a mail template must be an object', 'a sample of data is an object');
SELECT lives_ok($$ SELECT ecauto.check_template('s', '{"a": 1, "b": {"c": 1}, "l": [], "none": 0}') $$, 'another sample');
SELECT throws_ok($$ SELECT ecauto.check_template('s', '{"b": {"c": 1}, "l": [], "none": 0}') $$, '42P02', 'unknown variable "a" in a template', 'a wrong one');
SELECT throws_ok($$ SELECT ecauto.check_template('nope', '{}') $$, '42704', 'mail template "nope" does not exist', 'of nothing');

-- ---- partials ----
SELECT throws_ok($$ SELECT ecauto.create_template('with', 's', '{{>foot}}') $$, '42704', 'partial "foot" does not exist', 'a partial that is not there');
SELECT ecauto.create_template('foot', NULL, '<i>{{shop}}</i>') \g /dev/null
SELECT ecauto.create_template('foot', NULL, '<i>PL {{shop}}</i>', 'PL {{shop}}', 'pl') \g /dev/null
SELECT is(ecauto.create_template('with', 's', '{{t}} {{>foot}}', sample => '{"t": 1, "shop": "S"}'), 1, 'a partial that is');
SELECT is(mail('with', '{"t": 1, "shop": "<&>"}', 'pl'), E's|1 <i>&lt;&amp;&gt;</i>|1 <&>\n', 'in the language of what includes it');
SELECT ecauto.create_template('with', 's', '{{t}} {{>foot}}', 'PL {{>foot}}', 'pl') \g /dev/null
SELECT is(mail('with', '{"t": 1, "shop": "<&>"}', 'pl_PL'), 's|1 <i>PL &lt;&amp;&gt;</i>|PL PL <&>', 'each part with its own');
SELECT throws_ok($$ SELECT ecauto.create_template('with', 's', 'h', '{{>foot}}') $$, '42704', 'partial "foot" does not exist', 'which must be there, too');
SELECT throws_ok($$ SELECT ecauto.create_template('with', '{{>foot}}', 'h') $$, '0A000', 'partials cannot be used here', 'not in a subject');
SELECT throws_ok($$ SELECT ecauto.create_template('foot', NULL, '{{shpo}}') $$, '42P02', 'unknown variable "shpo" in a template', 'a partial is checked with what includes it');
SELECT throws_ok($$ SELECT ecauto.drop_template('foot') $$, '2BP01', 'cannot drop mail template "foot" because others include it', 'and needed by it');
SELECT throws_ok($$ SELECT ecauto.drop_template('foot', '') $$, '2BP01', NULL, 'in its locale');
SELECT throws_ok($$ SELECT ecauto.drop_template('foot', 'pl') $$, '42704', 'partial "foot" does not exist', 'with all parts that it has there');
SELECT throws_ok($$ SELECT * FROM ecauto.render_mail('foot', '{}') $$, '55000', 'mail template "foot" has no subject', 'it is no mail');
SELECT ecauto.create_template('deep', 's', '{{>with}}', sample => '{"t": 1, "shop": "S"}') \g /dev/null
SELECT is(mail('deep', '{"t": 2, "shop": "S"}'), E's|2 <i>S</i>|2 S\n', 'partials in partials');
SELECT throws_ok($$ SELECT ecauto.create_template('foot', NULL, '{{>deep}}') $$, '54000', 'partials are nested too deeply', 'but not in circles');
SELECT is((SELECT html FROM ecauto.render_mail('deep', '{"t": 2, "shop": "S"}')), '2 <i>S</i>', 'nothing of that was kept');
SELECT ok((SELECT bool_and(ecauto.drop_template(n)) FROM unnest(ARRAY['deep', 'with', 'foot']) n), 'dropped from the top');

SELECT * FROM finish();
ROLLBACK;

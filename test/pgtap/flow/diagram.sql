-- Diagrams: every step is in it, and nothing of a definition can break the syntax.
BEGIN;
\ir ../event/shop.psql
SELECT ecauto.tick() \g /dev/null
SELECT plan(7);
CREATE FUNCTION act(params jsonb) RETURNS void LANGUAGE sql AS '';
SELECT ecauto.register_action('act', 'act(jsonb)') \g /dev/null
SELECT ecauto.create_flow('all', $$ {"on": "order.placed", "after": "5 minutes", "if": "order.total >= 5 AND order.number <> '\"];end%%--'", "exit_if": "order.cancelled",
	"steps": [{"act": {"text": "a \"quoted\" <b>#35;</b> `x` | [y] {{order.number}} \n end"}}, {"wait": "1 day"}, {"wait": {"until": "09:05"}}, {"wait": {"event": "order.paid", "timeout": "3 days"}, "then": [{"exit": "paid"}], "else": []},
		{"if": "order.paid > 0", "then": [{"act": {}}]}, {"split": {"A": 33.3, "B": 66.7}, "A": [{"act": {}}]}, {"holdout": 10}, {"for_each": "order.lines", "do": [{"act": {}}]}, {"goal": "order.placed"}]} $$) \g /dev/null

CREATE TEMP TABLE line AS SELECT * FROM regexp_split_to_table(ecauto.flow_diagram('all'), E'\n') WITH ORDINALITY AS l(line, n) WHERE line <> '';
SELECT is((SELECT line FROM line WHERE n = 1), 'flowchart TD', 'a flowchart');
SELECT is_empty($$ SELECT line FROM line WHERE n > 1 AND line !~ '^    (start|condition|exit_if|n\d+|done)((\[|\{|\(\[|\(\(|>)"([^"#&<>`;{}()\[\]|\\*_~]|#\d+;)*"(\]|\}|\]\)|\)\)))?( (-->|-\.->) (\|"([^"#&<>`;{}()\[\]|\\*_~]|#\d+;)*"\| )?(condition|n\d+|done))?$' $$, 'each line is a node or an arrow');
SELECT set_eq($$ SELECT (regexp_matches(line, '^    (\w+)[\[({>]'))[1] FROM line WHERE n > 1 $$,
	$$ SELECT 'n' || i FROM generate_series(0, 12) i UNION VALUES ('start'), ('condition'), ('done'), ('exit_if') $$, 'a node for each step');
SELECT is_empty($$ WITH nodes AS (SELECT (regexp_matches(line, '^    (\w+)[\[({>]'))[1] AS name FROM line), arrows AS (SELECT regexp_replace(line, '^.* (\w+)$', '\1') AS target FROM line WHERE line ~ ' -->| -\.->')
	SELECT target FROM arrows WHERE target NOT IN (SELECT name FROM nodes) $$, 'arrows lead to nodes');
SELECT is_empty($$ WITH nodes AS (SELECT (regexp_matches(line, '^    (\w+)[\[({>]'))[1] AS name FROM line), arrows AS (SELECT (regexp_matches(line, '^    (\w+) '))[1] AS name FROM line)
	SELECT name FROM nodes n WHERE name <> 'done' AND NOT EXISTS (SELECT FROM arrows a WHERE a.name = n.name) AND NOT EXISTS (SELECT FROM line WHERE line LIKE '    ' || n.name || '(("exit%') $$, 'from each node one leads on, but from an exit');
SELECT matches((SELECT string_agg(line, '') FROM line), 'A 33\.3 %.*B 66\.7 %', 'arms with their shares');
SELECT throws_ok($$ SELECT ecauto.flow_diagram('nope') $$, '42704', 'flow "nope" does not exist', 'no flow, no picture');

SELECT * FROM finish();
ROLLBACK;

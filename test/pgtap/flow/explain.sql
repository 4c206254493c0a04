-- What a condition saw: each comparison with its values, and what a false one lacks, as of then.
BEGIN;
\ir ../event/shop.psql
SELECT plan(14);
SET LOCAL ecauto.clock = '2026-06-15 10:00:00+00';
SELECT ecauto.tick() \g /dev/null
CREATE FUNCTION note(params jsonb) RETURNS void LANGUAGE sql AS '';
SELECT ecauto.register_action('note', 'note(jsonb)') \g /dev/null
CREATE FUNCTION leaves(flow text, step text) RETURNS TABLE (path text, expression text, result boolean, operands jsonb, remedy text) LANGUAGE sql AS $$
	SELECT l ->> 'path', l ->> 'expression', (l ->> 'result')::boolean, l -> 'operands', l ->> 'remedy'
	FROM ecauto.runs($1) r, ecauto.explain_run(r.run_id) x, jsonb_array_elements(x.leaves) l
	WHERE x.step = $2 ORDER BY r.run_id, x.at, l ->> 'path' $$;

SELECT ecauto.create_flow('low', '{"on": "stock.changed", "if": "old.available >= 5 AND new.available < 5", "exit_if": "run.started_at < ecauto.now() - interval ''2 days''",
	"steps": [{"if": "price.amount > 15 AND (stock.available >= 3 OR product.title = ''none'')", "then": [{"note": {}}], "else": [{"wait": "3 days"}, {"note": {}}]}]}'), ecauto.enable_flow('low') \g /dev/null
UPDATE stock SET qty = 4 WHERE variant_id = 1;
SELECT ecauto.tick() \g /dev/null
SELECT results_eq($$ SELECT * FROM leaves('low', 'start') $$, $$ VALUES ('1.1', 'old.available >= 5', true, '{"old.available": 10}'::jsonb, NULL),
	('1.2', 'new.available < 5', true, '{"new.available": 4}', NULL) $$, 'why it started');
SELECT results_eq($$ SELECT path, result, operands, remedy IS NOT NULL FROM leaves('low', 'if') $$, $$ VALUES ('1.1', false, '{"price.amount": 10}'::jsonb, true),
	('1.2.1', true, '{"stock.available": 4}', false), ('1.2.2', false, '{"product.title": "Product 1"}', true) $$, 'leaves of an AND with an OR inside');
SELECT matches((SELECT remedy FROM leaves('low', 'if') WHERE path = '1.1'), '^price\.amount must .*15', 'what would make a false one true');
SELECT results_eq($$ SELECT result FROM leaves('low', 'exit_if') $$, $$ VALUES (false), (false) $$, 'exit_if was asked before each step');
SELECT matches((SELECT min(remedy) FROM leaves('low', 'exit_if')), '2026-06-17', 'and time alone will make it true');

-- the answer is about then, whatever became of it
UPDATE price SET amount = 100;
UPDATE stock SET qty = 0 WHERE variant_id = 1;
SELECT set_config('ecauto.clock', '2026-06-18 10:00:01+00', true) \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT operands FROM leaves('low', 'if') WHERE path = '1.1'), '{"price.amount": 10}', 'values of then');
SELECT results_eq($$ SELECT result FROM leaves('low', 'exit_if') $$, $$ VALUES (false), (false), (true) $$, 'and the time of then');
SELECT ecauto.create_flow('low', '{"on": "stock.changed", "steps": [{"if": "true", "then": [{"note": {}}]}]}') \g /dev/null
SELECT is((SELECT count(*) FROM leaves('low', 'if')), 3::bigint, 'and the definition of then');

-- a delay: the condition of the trigger is asked later, and not met
SELECT ecauto.create_flow('late', '{"on": "order.placed", "after": "1 hour", "if": "order.paid < order.total", "steps": [{"note": {}}]}'), ecauto.enable_flow('late') \g /dev/null
INSERT INTO orders (id, customer_id, mail, total, paid, placed) VALUES (20, 1, 'c1@shop.example', 50, 50, '2026-06-18 10:00:01+00');
SELECT ecauto.tick() \g /dev/null
SELECT set_config('ecauto.clock', '2026-06-18 12:00+00', true) \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT results_eq($$ SELECT path, result, operands FROM leaves('late', 'if') $$, $$ VALUES ('1', false, '{"order.paid": 50, "order.total": 50}'::jsonb) $$, 'the condition of a delayed trigger');
SELECT is((SELECT leaves FROM ecauto.runs('late') r, ecauto.explain_run(r.run_id) x WHERE x.step = 'start'), NULL, 'its start asked none');
SELECT is((SELECT outcome FROM ecauto.runs('late')), 'condition', 'so it ended');

-- what cannot be evaluated any more
CREATE TABLE lucky (id int);
SELECT ecauto.create_flow('lucky', '{"on": "order.placed", "if": "EXISTS (SELECT FROM s.lucky l WHERE l.id::text = event.key) OR order.total > 0", "steps": [{"note": {}}]}'), ecauto.enable_flow('lucky') \g /dev/null
INSERT INTO orders (id, customer_id, mail, total, paid, placed) VALUES (21, 1, 'c1@shop.example', 50, 50, '2026-06-18 11:00+00');
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT count(*) FROM leaves('lucky', 'start')), 2::bigint, 'a subquery is a leaf');
DROP TABLE lucky;
SELECT matches((SELECT leaves -> 0 ->> 'error' FROM ecauto.runs('lucky') r, ecauto.explain_run(r.run_id) x WHERE x.step = 'start'), 'relation "s.lucky" does not exist', 'a condition that has lost its table says so');
SELECT is(ecauto.explain_decision('x', '{"on": "view", "steps": [{"exit": true}]}', 'on', '{}', ecauto.now()), NULL, 'no condition, no leaves');

SELECT * FROM finish();
ROLLBACK;

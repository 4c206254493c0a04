-- Definitions: what is wrong is refused when the flow is created, with the place and a remedy.
BEGIN;
\ir ../event/shop.psql
SELECT ecauto.tick() \g /dev/null
SELECT plan(104);
CREATE SERVER erp FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:9/erp');
CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://127.0.0.1:9', sender 'Shop <shop@shop.example>');
SELECT ecauto.create_template('cart_reminder', 'Your cart', '<p>Dear {{customer.first_name}}: {{#cart.lines}}{{qty}} {{title}}{{/cart.lines}}</p>') \g /dev/null
SELECT ecauto.create_template('cart_rescue', 'Still there', '<p>{{cart.total}} {{coupon}}</p>'), ecauto.create_template('cart_last', 'Last', '<p>{{cart.total}}</p>'),
	ecauto.create_template('wrong', 'Hello', '<p>{{customer.frist_name}}</p>'), ecauto.create_template('other', 'Hello', '<p>{{order.number}}</p>') \g /dev/null
CREATE FUNCTION act(params jsonb) RETURNS void LANGUAGE sql AS '';
SELECT ecauto.register_action('act', 'act(jsonb)') \g /dev/null

-- what is said about a definition: message (place) hint
CREATE FUNCTION said(definition jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
	context text;
	state text;
BEGIN
	PERFORM ecauto.create_flow('x', definition);
	RETURN 'fine';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT, state = RETURNED_SQLSTATE;
	RETURN state || ' ' || message || coalesce(' (' || coalesce(substring(detail FROM 'This is at (\S+)'), substring(context FROM 'condition at (\S+)')) || ')', '') || coalesce(' ' || nullif(hint, ''), '');
END $$;
-- a flow with one step
CREATE FUNCTION step(step jsonb, kind text DEFAULT 'order.placed') RETURNS text LANGUAGE sql AS $$
	SELECT s.said(jsonb_build_object('on', kind, 'steps', jsonb_build_array(step))) $$;

-- ---- the example of the manual ----
SELECT is(said('{"on": "cart.abandoned", "after": "1 hour", "if": "cart.total >= 20", "once_per": "cart", "exit_if": "customer.last_order_at > run.started_at",
	"steps": [{"mail": {"template": "cart_reminder"}}, {"wait": "23 hours"},
		{"if": "cart.total >= 100", "then": [{"act": {"promotion": "rescue10"}}, {"mail": {"template": "cart_rescue", "data": {"coupon": "{{results.coupon.code}}"}}}], "else": [{"mail": {"template": "cart_last"}}]},
		{"split": {"A": 50, "B": 50}, "A": [{"tag": {"customer": "a"}}], "B": []}, {"goal": "order.placed"}]}'), 'fine', 'is fine');
SELECT is(said('{"on": {"event": "word"}, "steps": [{"act": {}}]}'), 'fine', 'so is a kind of one word, said to be one');
SELECT is(said('{"on": "quiz.finished", "steps": [{"act": {}}]}'), 'fine', 'and one''s own of two words');

-- ---- the head ----
SELECT is(said('[]'), '22023 definition of a flow must be an object (the) Such as: {"on": "order.placed", "steps": [{"tag": {"customer": "buyer"}}]}', 'no object');
SELECT is(said('{"steps": []}'), '22023 a flow needs "on" (the) It says what starts the flow, such as "order.placed".', 'nothing starts it');
SELECT is(said('{"on": "order.placd", "steps": []}'), '42704 unknown trigger "order.placd" (on) Perhaps you mean "order.placed".', 'a misspelt trigger');
SELECT matches(said('{"on": "order.exploded", "steps": []}'), '^42704 unknown trigger "order.exploded" \(on\) ', 'a trigger that is none');
SELECT matches(said('{"on": "moonlight", "steps": []}'), '^42704 unknown trigger "moonlight" \(on\) ', 'nor is a word that nobody knows');
SELECT matches(said('{"on": 7, "steps": []}'), '^22023 "on" must be a string, not a number \(on\)', 'nor is a number');
SELECT is(said('{"on": "order.placed", "stps": []}'), '22023 unknown key "stps" in a flow (stps) Perhaps you mean "steps".', 'a misspelt key');
SELECT matches(said('{"on": "order.placed"}'), '^22023 a flow needs "steps"', 'no steps');
SELECT is(said('{"on": "order.placed", "steps": []}'), '22023 a flow needs at least one step (steps)', 'an empty list of them');
SELECT matches(said('{"on": "order.placed", "steps": {}}'), '^22023 steps must be an array \(steps\)', 'no list');
SELECT matches(said('{"on": "order.placed", "steps": [7]}'), '^22023 a step must be an object \(steps\[0\]\)', 'no object in it');
SELECT is(said('{"on": "order.placed", "once_per": "custmer", "steps": [{"act": {}}]}'), '42704 unknown "once_per" "custmer" (once_per) Perhaps you mean "customer".', 'once per what');
SELECT matches(said('{"on": "stock.changed", "once_per": "customer", "steps": [{"act": {}}]}'), '^22023 trigger "stock.changed" knows no customer \(once_per\)', 'once per somebody unknown');
SELECT matches(said('{"on": "cart.abandoned", "steps": [{"act": {}}]}'), '^22023 trigger "cart.abandoned" needs "after"', 'a cart without a delay');
SELECT matches(said('{"on": "cart.abandoned", "after": "1 hour", "daily": "02:30", "steps": [{"act": {}}]}'), '^22023 trigger "cart.abandoned" has no "daily" \(daily\)', 'a key of another trigger');
SELECT matches(said('{"on": "schedule", "steps": [{"act": {}}]}'), '^22023 trigger "schedule" needs a time', 'a schedule without time');
SELECT matches(said('{"on": "schedule", "daily": "25:00", "steps": [{"act": {}}]}'), '^22007 daily "25:00" is no time of day \(daily\) Write it', 'no time of day');
SELECT matches(said('{"on": "schedule", "weekly": "mondai 09:00", "steps": [{"act": {}}]}'), '^22007 "mondai" is no day of the week \(weekly\)', 'no day');
SELECT matches(said('{"on": "schedule", "cron": "61 * * * *", "steps": [{"act": {}}]}'), '^22007 "61" is no minute of a cron line \(cron\)', 'no minute');
SELECT matches(said('{"on": "schedule", "cron": "* * *", "steps": [{"act": {}}]}'), '^22007 cron line "\* \* \*" has 3 fields, not five', 'no cron line');
SELECT matches(said('{"on": "schedule", "daily": "09:00", "catch_up": "twice", "steps": [{"act": {}}]}'), '^22023 unknown "catch_up" "twice" \(catch_up\)', 'no policy');
SELECT matches(said('{"on": "date", "of": "customer.birth", "steps": [{"act": {}}]}'), '^42703 trigger "date" cannot go by customer.birth \(of\) It goes by one of: customer.birth_date', 'no date');
SELECT matches(said('{"on": "date", "of": "customer.birth_date", "shift": "soon", "steps": [{"act": {}}]}'), '^22007 "shift" "soon" is no number of days \(shift\)', 'no number of days');

-- ---- waits ----
SELECT matches(step('{"wait": "2 years"}'), '^22023 wait must not be longer than a year, as "2 years" is \(steps\[0\].wait\) What comes', 'a wait of two years');
SELECT matches(step('{"wait": "-1 day"}'), '^22023 wait must be longer than nothing, not "-1 day" \(steps\[0\].wait\)', 'a negative one');
SELECT matches(step('{"wait": "0"}'), '^22007 wait "0" is no duration \(steps\[0\].wait\) Write it', 'none at all');
SELECT matches(step('{"wait": "a while"}'), '^22007 wait "a while" is no duration \(steps\[0\].wait\) Write it', 'no duration');
SELECT matches(step('{"wait": null}'), '^22023 wait must be a string, not null \(steps\[0\].wait\)', 'null');
SELECT matches(step('{"wait": 5}'), '^22023 wait must be a string, not a number', 'five what');
SELECT matches(step('{"wait": {"until": "9"}}'), '^22007 "until" "9" is no time of day \(steps\[0\].wait.until\)', 'until when');
SELECT matches(step('{"wait": {"event": "order.paid"}}'), '^22023 a wait for an event needs "timeout" \(steps\[0\].wait\)', 'for ever');
SELECT matches(step('{"wait": {"event": "order.payd", "timeout": "1 day"}}'), '^42704 a step cannot wait for "order.payd", which is no event \(steps\[0\].wait.event\) Perhaps you mean "order.paid".', 'for what never comes');
SELECT matches(step('{"wait": {"until": "09:00", "for": "1 day"}}'), '^22023 a wait needs one of', 'two at once');
SELECT matches(step('{"wait": "1 day", "then": []}'), '^22023 only a wait for an event has "then" and "else"', 'then what');
SELECT matches(said('{"on": "order.placed", "after": "367 days", "steps": [{"act": {}}]}'), '^22023 "after" must not be longer than a year', 'after a year');

-- ---- experiments ----
SELECT matches(step('{"split": {"A": -10, "B": 110}}'), '^22023 share of arm "A" must be between 0 and 100 percent, not -10 \(steps\[0\].split.A\) Give', 'a negative share');
SELECT matches(step('{"split": {"A": 200}}'), '^22023 share of arm "A" must be between 0 and 100 percent, not 200 \(steps\[0\].split.A\)', '200 percent');
SELECT matches(step('{"split": {"A": 60, "B": 60}}'), '^22023 shares of a split must be 100 percent together, not 120 \(steps\[0\].split\)', '120 together');
SELECT matches(step('{"split": {"A": "half", "B": 50}}'), '^22023 share of arm "A" must be a number, not a string', 'half');
SELECT matches(step('{"split": {"A": null, "B": 50}}'), '^22023 share of arm "A" must be a number, not null', 'null');
SELECT matches(step('{"split": {}}'), '^22023 a split needs arms with their shares', 'no arms');
SELECT matches(step('{"split": {"A": 50, "B": 50}, "C": []}'), '^22023 the split has no arm "C" \(steps\[0\].C\)', 'steps of no arm');
SELECT matches(step('{"holdout": 101}'), '^22023 holdout must be between 0 and 100 percent, not 101 \(steps\[0\].holdout\)', '101 percent');

-- ---- steps and actions ----
SELECT is(step('{"mial": {}}'), '42704 unknown step or action "mial" (steps[0]) Perhaps you mean "mail".', 'a misspelt action');
SELECT matches(step('{"teleport": {}}'), '^42704 unknown step or action "teleport" \(steps\[0\]\) Built in are mail, ', 'an action that is none');
SELECT matches(step('{"act": {}, "tag": {}}'), '^22023 a step does one thing \(steps\[0\]\) Make "(act|tag)" and "(act|tag)" two steps.', 'two at once');
SELECT matches(step('{"if": "true"}'), '^22023 step needs "then" \(steps\[0\]\)', 'if without then');
SELECT matches(step('{"if": "true", "then": [], "esle": []}'), '^22023 unknown key "esle" in step "if" \(steps\[0\].esle\) Perhaps you mean "else".', 'a misspelt else');
SELECT matches(said('{"on": "order.placed", "steps": [{"act": {}}, {"if": "true", "then": [{"act": {}}, {"wait": "9 years"}]}]}'), '\(steps\[1\].then\[1\].wait\)', 'the place is exact');
SELECT matches(step('{"for_each": "order.items", "do": []}'), '^42704 a step cannot go through each "order.items"', 'each what');
SELECT matches(step('{"for_each": "order.lines", "do": [{"act": {}}]}', 'customer.created'), '^22023 trigger "customer.created" knows no order \(steps\[0\].for_each\)', 'of which order');
SELECT matches(step('{"for_each": "order.lines", "do": [{"for_each": "order.lines", "do": []}]}'), '^0A000 a for_each cannot stand in another', 'each of each');
SELECT matches(step('{"exit": 5}'), '^22023 "exit" must be a reason', 'five');
SELECT matches(step('{"goal": "ordr.placed"}'), '^42704 a step cannot wait for "ordr.placed".* Perhaps you mean "order.placed".', 'no goal');
SELECT matches(step('{"tag": {"custmer": "vip"}}'), '^22023 unknown parameter "custmer".* \(steps\[0\].tag\)', 'a tag for nobody');
SELECT matches(step('{"http": {"endpoint": "nowhere"}}'), '^22023 endpoint "nowhere" does not exist; create it .* \(steps\[0\].http\)', 'no endpoint');
SELECT matches(step('{"http": {"endpoint": "mail"}}'), '^22023 endpoint "mail" is a mail server; use the action mail', 'the wrong one');
SELECT matches(step('{"emit": {"kind": "order.placed"}}'), '^22023 event kind "order.placed" is reserved', 'an order made up');
SELECT matches(step('{"notice": {"subject": "x", "severity": "panic"}}'), '^22023 severity "panic" is not known', 'panic');
SELECT matches(step('{"notice": {"subject": "x", "to": "nobody"}}'), '^22023 "nobody" is no mail address', 'a notice to nobody');
SELECT matches(step('{"notice": {"subject": "x", "digest": "soon"}}'), '^22023 parameter "digest" is no duration', 'soon');
SELECT matches(step(('{"if": "true", "then": [' || repeat('{"if": "true", "then": [', 25) || repeat(']}', 25) || ']}')::jsonb), '^54000 steps are nested too deeply', 'too deep');
SELECT matches(said(jsonb_build_object('on', 'order.placed', 'steps', (SELECT jsonb_agg('{"act": {}}'::jsonb) FROM generate_series(1, 1001)))), '^54000 flow has too many steps', 'too many');

-- ---- templates ----
SELECT is(step('{"mail": {"template": "nope"}}'), '42704 template "nope" does not exist (steps[0].mail) Create it with ecauto.create_template(), for the locale '''' too.', 'no template');
SELECT is(step('{"mail": {"template": "wrong"}}'), '42P02 unknown variable "customer.frist_name" in template "wrong" (steps[0].mail) Perhaps you mean "customer.first_name".', 'a misspelt variable');
SELECT is(step('{"mail": {"template": "other"}}', 'customer.created'), '42P02 unknown variable "order.number" in template "other" (steps[0].mail) The trigger of the flow knows no order.', 'one the trigger does not know');
SELECT is(step('{"mail": {"template": "other"}}'), 'fine', 'and which another does');
SELECT is(step('{"act": {"text": "{{custmer.email}}"}}'), '42P02 unknown variable "custmer.email" in parameter of "act" (steps[0].act) Perhaps you mean "customer".', 'in a parameter');
SELECT matches(step('{"act": {"text": "{{#customer.email}}"}}'), '^42601 ', 'a section that is not closed');

-- ---- conditions ----
SELECT is(said('{"on": "order.placed", "if": "custmer.country = ''PL''", "steps": [{"act": {}}]}'), '42P01 there is no row "custmer" in the scope of the condition (if) Perhaps you mean "customer".', 'a misspelt row');
SELECT is(said('{"on": "order.placed", "if": "order.totl > 5", "steps": [{"act": {}}]}'), '42703 row "order" has no column "totl" (if) Perhaps you mean "order.total".', 'a misspelt column');
SELECT matches(said('{"on": "stock.changed", "if": "customer.email = ''x''", "steps": [{"act": {}}]}'), '^42P01 there is no row "customer"', 'a row that the trigger does not know');
SELECT matches(step('{"if": "order.total >= ''much''", "then": []}'), '^22P02 invalid input syntax for type numeric.*\(steps\[0\].if\)', 'a number that is none');
SELECT matches(step('{"if": "order.total", "then": []}'), '^42804 condition must be boolean \(steps\[0\].if\)', 'no condition');
SELECT matches(step('{"if": "true; DROP TABLE orders", "then": []}'), '^42601 condition must be a single expression \(steps\[0\].if\)', 'a second statement');
SELECT matches(step('{"if": "random() < 0.5", "then": []}'), '^0A000 .*\(steps\[0\].if\)', 'chance');
SELECT matches(step('{"if": "pg_read_file(''/etc/passwd'') <> ''''", "then": []}'), '\(steps\[0\].if\)', 'reading files');
SELECT matches(step(jsonb_build_object('if', 'true' || repeat(' AND order.total > 1', 10000), 'then', '[]'::jsonb)), '^54000 condition is too long.*', 'ten thousand terms');
CREATE FUNCTION harm(x numeric) RETURNS boolean LANGUAGE sql VOLATILE AS 'DELETE FROM s.orders; SELECT true';
SELECT matches(step('{"if": "s.harm(order.total)", "then": []}'), '^0A000 .*\(steps\[0\].if\)', 'a function with side effects');
CREATE SCHEMA planted;
CREATE FUNCTION planted.ge(numeric, integer) RETURNS boolean LANGUAGE sql VOLATILE AS 'DELETE FROM s.orders; SELECT true';
CREATE OPERATOR planted.>= (FUNCTION = planted.ge, LEFTARG = numeric, RIGHTARG = integer);
SET LOCAL search_path = planted, s, public;
SELECT is(s.step('{"if": "order.total >= 5", "then": []}'), 'fine', 'a planted operator is not found');
SET LOCAL search_path = s, public;
SELECT is((SELECT count(*) FROM orders), 5::bigint, 'and no order is gone');
SELECT matches(said('{"on": "order.placed", "exit_if": "run.begun > ecauto.now()", "steps": [{"act": {}}]}'), '^42703 row "run" has no column "begun" \(exit_if\)', 'exit_if is checked');
SELECT matches(said('{"on": "order.placed", "if": "run.started_at > ecauto.now()", "steps": [{"act": {}}]}'), '^42P01 there is no row "run"', 'before the start there is no run');

-- ---- circles ----
SELECT matches(said('{"on": "a.b", "steps": [{"emit": {"kind": "a.b"}}]}'), '^22023 flows go in a circle: "x" emits "a.b", which starts "x"', 'a flow that starts itself');
SELECT ecauto.create_flow('y', '{"on": "b.c", "steps": [{"emit": {"kind": "c.d"}}]}'), ecauto.create_flow('z', '{"on": "c.d", "steps": [{"emit": {"kind": "d.e"}}]}') \g /dev/null
SELECT matches(said('{"on": "d.e", "steps": [{"emit": {"kind": "b.c"}}]}'), '^22023 flows go in a circle: "x" starts "y", which starts "z", which emits "d.e", which starts "x"', 'and one that others start');
SELECT is(said('{"on": "d.e", "steps": [{"emit": {"kind": "e.f"}}]}'), 'fine', 'a chain is none');

-- ---- names, and arguments ----
SELECT throws_ok($$ SELECT ecauto.create_flow('', '{}') $$, '42602', 'invalid name of a flow', 'no name');
SELECT throws_ok($$ SELECT ecauto.create_flow(NULL, '{}') $$, '22004', 'name of a flow must not be null', 'null');
SELECT throws_ok($$ SELECT ecauto.create_flow('x', NULL) $$, '22004', 'definition of a flow must not be null', 'null');
SELECT throws_ok($$ SELECT ecauto.enable_flow('nope') $$, '42704', 'flow "nope" does not exist', 'no flow');
SELECT throws_ok($$ SELECT ecauto.register_action('tag', 'act(jsonb)') $$, '42939', 'action "tag" is built in', 'an action that is built in');
SELECT throws_ok($$ SELECT ecauto.register_action('wait', 'act(jsonb)') $$, '42939', '"wait" is a step, not the name of an action', 'a step');
SELECT throws_ok($$ SELECT ecauto.register_action('bad', 'length(text)') $$, '42P13', 'function length(text) cannot be an action', 'a function of something else');

-- ---- versions that were rolled back ----
SELECT ecauto.create_flow('back', '{"on": "order.placed", "steps": [{"tag": {"order": "one"}}]}') \g /dev/null
SAVEPOINT a;
SELECT ecauto.create_flow('back', '{"on": "order.placed", "steps": [{"tag": {"order": "two"}}]}') \g /dev/null
SELECT matches(ecauto.flow_diagram('back'), 'two', 'a version of this transaction');
ROLLBACK TO a;
SELECT ecauto.create_flow('back', '{"on": "order.placed", "steps": [{"tag": {"order": "three"}}]}') \g /dev/null
SELECT matches(ecauto.flow_diagram('back'), 'three', 'is forgotten with it, though another gets its number');

-- ---- rights ----
CREATE ROLE clerk;
GRANT USAGE ON SCHEMA ecauto, ecauto_data, s TO clerk;
SET LOCAL ROLE clerk;
SELECT throws_ok($$ SELECT ecauto.create_flow('x', '{}') $$, '42501', NULL, 'not everybody may create flows');
RESET ROLE;
-- an operator who is no superuser, and a table that belongs to neither him nor the owner of the state
CREATE ROLE boss;
CREATE TABLE secret (id text);
ALTER TABLE secret OWNER TO clerk;
DO $$ BEGIN EXECUTE format('GRANT %I TO boss', (SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'ecauto_data')); END $$;
SET LOCAL ROLE boss;
SELECT is(ecauto.create_flow('mine', '{"on": "order.placed", "if": "order.total > 1", "steps": [{"exit": true}]}'), 1, 'an operator may');
SELECT throws_ok($$ SELECT ecauto.create_flow('spy', '{"on": "order.placed", "if": "EXISTS (SELECT FROM s.secret t WHERE t.id = event.key)", "steps": [{"exit": true}]}') $$, '42501', 'permission denied for table secret', 'but not read in a condition what he may not read');
SELECT throws_ok($$ SELECT ecauto.create_flow('spy', '{"on": "order.placed", "steps": [{"if": "order.total > (SELECT count(*) FROM s.secret)", "then": []}]}') $$, '42501', 'permission denied for table secret', 'in none');
SELECT is((SELECT count(*) FROM ecauto.flows() WHERE name = 'spy'), 0::bigint, 'and nothing of it stays');
RESET ROLE;
GRANT SELECT ON secret TO boss;
SET LOCAL ROLE boss;
SELECT is(ecauto.create_flow('spy', '{"on": "order.placed", "if": "EXISTS (SELECT FROM s.secret t WHERE t.id = event.key)", "steps": [{"exit": true}]}'), 1, 'once he may, he can');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;

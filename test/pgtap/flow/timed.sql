-- What time sets off: schedules over both changes of the clock, dates, carts left alone, customers who stay away.
BEGIN;
\ir ../event/shop.psql
SELECT plan(37);
SET LOCAL ecauto.clock = '2026-01-10 12:00:00+00';
SET LOCAL ecauto.timezone = 'Europe/Warsaw';
ALTER TABLE customer ADD birth date;
SELECT ecauto.bind_table('customer', 'customer', '{"key": "id", "email": "mail", "created_at": "created", "birth_date": "birth"}') \g /dev/null
SELECT ecauto.attach_shop('custom') \g /dev/null
SELECT ecauto.tick() \g /dev/null

CREATE TABLE done (n serial, what text);
CREATE FUNCTION act(params jsonb) RETURNS void LANGUAGE sql AS $$ INSERT INTO done (what) VALUES (params ->> 'what') $$;
SELECT ecauto.register_action('act', 'act(jsonb)') \g /dev/null
CREATE FUNCTION at(clock text) RETURNS text LANGUAGE sql AS $$
	SELECT set_config('ecauto.clock', clock, true);
	SELECT ecauto.tick();
	WITH gone AS (DELETE FROM s.done RETURNING *) SELECT coalesce(string_agg(what, ' ' ORDER BY n), '') FROM gone $$;
-- ticks every step minutes, from one time to another; when something happened
CREATE FUNCTION watch(since timestamptz, until timestamptz, step interval) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	t timestamptz := since;
BEGIN
	WHILE t <= until LOOP
		IF s.at(t::text) <> '' THEN
			RETURN NEXT to_char(t AT TIME ZONE 'Europe/Warsaw', 'MM-DD HH24:MI');
		END IF;
		t := t + step;
	END LOOP;
END $$;

-- ---- scenario 4: a daily job at 02:30 ----
SELECT set_config('ecauto.clock', '2026-03-28 00:00:00+00', true) \g /dev/null
SELECT ecauto.create_flow('nightly', '{"on": "schedule", "daily": "02:30", "steps": [{"act": {"what": "night"}}]}') \g /dev/null
SELECT ecauto.enable_flow('nightly') \g /dev/null
SELECT results_eq($$ SELECT watch('2026-03-28 00:00+00', '2026-03-31 12:00+00', '15 minutes') $$,
	$$ VALUES ('03-28 02:30'), ('03-29 03:30'), ('03-30 02:30'), ('03-31 02:30') $$, 'once on the day without 02:30');
SELECT set_config('ecauto.clock', '2026-10-24 00:00:00+00', true), ecauto.disable_flow('nightly'), ecauto.enable_flow('nightly') \g /dev/null
SELECT results_eq($$ SELECT watch('2026-10-24 00:00+00', '2026-10-26 12:00+00', '15 minutes') $$,
	$$ VALUES ('10-24 02:30'), ('10-25 02:30'), ('10-26 02:30') $$, 'once on the day with two of them');
SELECT is(at('2026-10-29 12:00:00+00'), 'night', 'three days down: one run makes up for them');
SELECT is(at('2026-10-29 12:01:00+00'), '', 'and only once');
SELECT is((SELECT to_char(event_at AT TIME ZONE 'Europe/Warsaw', 'MM-DD HH24:MI') FROM ecauto_data.flow_run ORDER BY id DESC LIMIT 1), '10-29 02:30', 'it is that of the last moment');
SELECT ecauto.drop_flow('nightly') \g /dev/null
SELECT ecauto.create_flow('all', '{"on": "schedule", "cron": "30 2 * * *", "catch_up": "all", "steps": [{"act": {"what": "all"}}]}'),
	ecauto.create_flow('skip', '{"on": "schedule", "at": "02:30", "catch_up": "skip", "steps": [{"act": {"what": "skip"}}]}'),
	ecauto.create_flow('weekly', '{"on": "schedule", "weekly": "monday,friday 08:00", "catch_up": "all", "steps": [{"act": {"what": "week"}}]}'),
	ecauto.create_flow('monthly', '{"on": "schedule", "monthly": "last 18:00", "catch_up": "all", "steps": [{"act": {"what": "month"}}]}') \g /dev/null
SELECT ecauto.enable_flow('all'), ecauto.enable_flow('skip'), ecauto.enable_flow('weekly'), ecauto.enable_flow('monthly') \g /dev/null
SELECT is(at('2026-11-01 12:00:00+00'), 'all all all week month', 'by policy all of them, or none');
SELECT is(at('2026-11-02 01:31:00+00'), 'all skip', 'a minute is not late');
SELECT is((SELECT count(*) FROM ecauto.runs('all') WHERE occasion IS NOT NULL), 4::bigint, 'one run each');
SELECT ecauto.drop_flow(name) FROM ecauto.flows() \g /dev/null

-- ---- cron ----
CREATE FUNCTION next(cron text, since timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	PERFORM set_config('ecauto.clock', since::text, true);
	PERFORM ecauto.create_flow('cron', jsonb_build_object('on', 'schedule', 'cron', cron, 'steps', '[{"act": {}}]'::jsonb));
	PERFORM ecauto.enable_flow('cron');
	SELECT to_char(next_look AT TIME ZONE 'Europe/Warsaw', 'YYYY-MM-DD HH24:MI') INTO result FROM ecauto.flows() WHERE name = 'cron';
	PERFORM ecauto.drop_flow('cron');
	RETURN result;
END $$;
SELECT is(next('0 9 1 * *', '2026-05-02'), '2026-06-01 09:00', 'the first of a month');
SELECT is(next('*/20 8-10 * * 1-5', '2026-06-19 08:50:00+00'), '2026-06-22 08:00', 'steps, ranges, working days');
SELECT is(next('0 0 13 * 5', '2026-06-10 12:00:00+00'), '2026-06-12 00:00', 'a day of the month or of the week, as cron has it');
SELECT is(next('0 12 29 2 *', '2026-03-01'), '2028-02-29 12:00', 'a day that is rare');
SELECT is(next('0 0 * * 7', '2026-06-19'), '2026-06-21 00:00', 'Sunday is 0 and 7');
SELECT throws_ok($$ SELECT next('0 0 30 2 *', '2026-06-19') $$, '22023', 'cron line "0 0 30 2 *" never comes', 'a day that is none');

-- ---- scenario 2: carts ----
SELECT set_config('ecauto.clock', '2026-06-01 08:00:00+00', true) \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.create_flow('cart', '{"on": "cart.abandoned", "after": "60 minutes", "if": "cart.total >= 20", "exit_if": "customer.last_order_at > run.started_at",
	"steps": [{"act": {"what": "remind {{cart.key}}: {{#cart.lines}}{{qty}} x {{title}} {{/cart.lines}}"}}, {"wait": "23 hours"}, {"act": {"what": "again {{cart.key}}"}}]}') \g /dev/null
SELECT ecauto.enable_flow('cart') \g /dev/null
INSERT INTO cart (id, customer_id, mail) VALUES (1, 1, 'c1@shop.example'), (2, 2, 'c2@shop.example'), (3, 3, 'c3@shop.example'), (4, NULL, 'guest@shop.example'), (5, 4, 'c4@shop.example'), (6, 5, 'c5@shop.example');
INSERT INTO cart_line VALUES (1, 1, 3, 1), (2, 2, 3, 1), (3, 3, 1, 1), (4, 4, 4, 2), (6, 6, 5, 1);
SELECT is(at('2026-06-01 10:00:00+00'), '', 'carts are filled at ten');
UPDATE cart_line SET qty = 2 WHERE cart_id = 1;
UPDATE cart_line SET qty = 2 WHERE cart_id = 2;
SELECT is(at('2026-06-01 10:30:00+00'), '', 'some touched at half past ten');
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (50, 5, 'c5@shop.example', 5, '2026-06-01 10:45+00');
SELECT is(at('2026-06-01 10:59:59.999999+00'), '', 'nobody is due before eleven');
SELECT is(at('2026-06-01 11:00:00+00'), 'remind 4: 2 x Product 4 ', 'the guest''s cart is; those worth less, empty, or whose customer ordered are not');
SELECT is((SELECT customer FROM ecauto.runs('cart')), 'guest@shop.example', 'a guest is his address');
INSERT INTO orders (id, customer_id, mail, cart_id, total, placed) VALUES (51, 2, 'c2@shop.example', 99, 60, '2026-06-01 11:29:59+00');
SELECT is(at('2026-06-01 11:30:00+00'), 'remind 1: 2 x Product 3 ', 'touched at 10:30: due at 11:30, but not who ordered on another device at 11:29:59');
UPDATE cart_line SET qty = 1 WHERE cart_id = 1;
SELECT is(at('2026-06-01 12:00:00+00'), '', 'touched again');
SELECT is(at('2026-06-01 13:30:00+00'), '', 'a cart has one reminder');
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (52, 1, 'c1@shop.example', 5, '2026-06-02 09:00+00');
SELECT is(at('2026-06-02 10:30:00+00'), 'again 4', 'the second only if nothing was ordered since');
SELECT is((SELECT outcome FROM ecauto.runs('cart', subject => 'cart:1')), 'exit_if', 'else exit_if ends it');
SELECT ecauto.create_flow('carts', '{"on": "cart.abandoned", "after": "2 days", "steps": [{"act": {"what": "old {{cart.key}}"}}]}'), ecauto.enable_flow('carts') \g /dev/null
SELECT is(at('2026-06-02 12:00:00+00'), '', 'nothing is made up for from before a flow was enabled');
SELECT ok((SELECT next_look <= '2026-06-03 12:00+00' FROM ecauto.flows() WHERE name = 'carts'), 'and the next cart is foreseen');
SELECT ecauto.drop_flow(name) FROM ecauto.flows() \g /dev/null

-- ---- scenario 3: a birthday on 29 February ----
UPDATE customer SET birth = '2004-02-29' WHERE id = 1;
UPDATE customer SET birth = '1990-06-10' WHERE id = 2;
SELECT at('2026-06-09 12:00:00+00') \g /dev/null
SELECT ecauto.create_flow('birthday', '{"on": "date", "of": "customer.birth_date", "at": "08:00", "steps": [{"act": {"what": "birthday of {{customer.key}}"}}]}'),
	ecauto.create_flow('before', '{"on": "date", "of": "customer.birth_date", "shift": "-3 days", "steps": [{"act": {"what": "soon {{customer.key}}"}}]}'),
	ecauto.enable_flow('birthday'), ecauto.enable_flow('before') \g /dev/null
SELECT is(at('2026-06-10 05:59:00+00'), '', 'not yet eight in Warsaw');
SELECT is(at('2026-06-10 06:00:00+00'), 'birthday of 2', 'a birthday');
SELECT at(t::text) FROM generate_series('2026-06-11 12:00+00'::timestamptz, '2029-06-15 12:00+00', '1 day') t \g /dev/null
SELECT results_eq($$ SELECT to_char(event_at AT TIME ZONE 'Europe/Warsaw', 'YYYY-MM-DD HH24:MI') FROM ecauto_data.flow_run WHERE subject = 'customer:1' AND flow = (SELECT id FROM ecauto_data.flow WHERE name = 'birthday') ORDER BY 1 $$,
	$$ VALUES ('2027-03-01 08:00'), ('2028-02-29 08:00'), ('2029-03-01 08:00') $$, 'that of 29 February comes once a year');
SELECT results_eq($$ SELECT to_char(event_at AT TIME ZONE 'Europe/Warsaw', 'YYYY-MM-DD') FROM ecauto_data.flow_run WHERE subject = 'customer:1' AND flow = (SELECT id FROM ecauto_data.flow WHERE name = 'before') ORDER BY 1 $$,
	$$ VALUES ('2027-02-26'), ('2028-02-26'), ('2029-02-26') $$, 'and three days before it, too');
SELECT is((SELECT count(*) FROM ecauto.runs('birthday', subject => 'customer:2')), 4::bigint, 'as others do');
SELECT at('2030-06-25 12:00:00+00') \g /dev/null
SELECT is((SELECT count(*) FROM ecauto.runs('birthday', subject => 'customer:2')), 5::bigint, 'a birthday while nothing ran is made up for');
SELECT ecauto.drop_flow(name) FROM ecauto.flows() \g /dev/null

-- ---- inactivity ----
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (60, 3, 'c3@shop.example', 5, '2030-06-25 13:00+00');
SELECT at('2030-06-25 13:00:00+00') \g /dev/null
SELECT ecauto.create_flow('back', '{"on": "inactivity", "after": "60 days", "if": "customer.orders_count > 1", "steps": [{"act": {"what": "miss you {{customer.key}}"}}]}'), ecauto.enable_flow('back') \g /dev/null
SELECT is(at('2030-08-24 12:00:00+00'), '', 'sixty days are not over');
SELECT is(at('2030-08-24 14:00:00+00'), 'miss you 3', 'now they are');
SELECT is(at('2030-09-24 14:00:00+00'), '', 'he is missed once');
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (61, 3, 'c3@shop.example', 5, '2030-09-25 13:00+00');
SELECT is(at('2030-12-24 14:00:00+00'), 'miss you 3', 'until he has been here again');

-- ---- every customer, by schedule ----
SELECT ecauto.create_flow('each', '{"on": "schedule", "weekly": "monday 08:00", "each": "customer", "if": "customer.orders_count >= 3", "steps": [{"act": {"what": "good {{customer.key}}"}}]}'), ecauto.enable_flow('each') \g /dev/null
SELECT is(at('2030-12-31 14:00:00+00'), 'good 3', 'who meets the condition');

SELECT * FROM finish();
ROLLBACK;

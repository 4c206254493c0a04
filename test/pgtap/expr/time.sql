-- When a condition changes by time alone: proved by moving the clock.
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL ecauto.timezone = 'Europe/Warsaw';
SET LOCAL timezone = 'Europe/Warsaw';
SELECT plan(31);

CREATE SCHEMA t;
SET LOCAL search_path = t, public;
CREATE FUNCTION scope() RETURNS jsonb LANGUAGE sql IMMUTABLE AS
	$$ SELECT '{"c": {"at": "timestamptz", "born": "date", "since": "timestamp", "n": "integer", "gap": "interval"}}'::jsonb $$;
CREATE FUNCTION truth(condition text, data jsonb, as_of timestamptz) RETURNS boolean LANGUAGE sql STABLE AS
	$$ SELECT ecauto.evaluate(condition, scope(), jsonb_build_object('c', data), as_of) $$;
CREATE FUNCTION changes(condition text, data jsonb, as_of timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS
	$$ SELECT ecauto.condition_changes_at(condition, scope(), jsonb_build_object('c', data), as_of) $$;

-- ---- intervals ----
SELECT is(changes($$c.at >= ecauto.now() - interval '30 days'$$, '{"at": "2026-06-01 12:00"}', '2026-06-20 00:00'), '2026-07-01 12:00:00.000001', 'in the last 30 days: to the microsecond');
SELECT is(changes($$ecauto.now() - interval '30 days' <= c.at$$, '{"at": "2026-06-01 12:00"}', '2026-06-20 00:00'), '2026-07-01 12:00:00.000001', 'the other way round');
SELECT is(changes($$ecauto.now() - c.at <= interval '30 days'$$, '{"at": "2026-06-01 12:00"}', '2026-06-20 00:00'), '2026-07-01 12:00:00.000001', 'as a difference');
SELECT is(changes($$date_part('day', ecauto.now() - c.at) < 30$$, '{"at": "2026-06-01 12:00"}', '2026-06-20 00:00'), '2026-07-01 12:00:00', 'in whole days');
SELECT is(changes($$extract(epoch FROM ecauto.now() - c.at) / 3600 > 24$$, '{"at": "2026-06-01 12:00"}', '2026-06-01 13:00'), '2026-06-02 12:00:00.000001', 'in seconds');
SELECT is(changes($$c.at >= ecauto.now() - interval '30 days'$$, '{"at": "2026-06-01 12:00"}', '2026-08-20 00:00'), NULL, 'past is past');
SELECT is(changes($$c.at >= ecauto.now() - interval '30 days'$$, '{}', '2026-08-20 00:00'), NULL, 'NULL stays NULL');
SELECT is(changes($$c.n > 5$$, '{"n": 3}', '2026-08-20 00:00'), NULL, 'time has no part in it');
SELECT is(changes($$c.at < ecauto.now() - c.gap$$, '{"at": "2026-06-01 12:00", "gap": "1 hour"}', '2026-06-01 12:30'), '2026-06-01 13:00:00.000001', 'an interval of the row');
SELECT is(changes($$c.at >= ecauto.now() - interval '30 days'$$, '{"at": "infinity"}', '2026-08-20 00:00'), NULL, 'infinity is never reached');

-- ---- calendar ----
SELECT is(changes($$date_part('year', age(ecauto.now(), c.born)) >= 18$$, '{"born": "2004-02-29"}', '2021-01-01 00:00'), '2022-03-01 00:00', 'born on February 29: of age on March 1');
SELECT is(changes($$date_part('year', age(ecauto.now(), c.born)) >= 20$$, '{"born": "2004-02-29"}', '2023-06-01 00:00'), '2024-02-29 00:00', 'or on the day, in a leap year');
SELECT is(changes($$extract(year FROM age(ecauto.now()::date, c.born)) BETWEEN 25 AND 34$$, '{"born": "1991-07-15"}', '2026-07-01 00:00'), '2026-07-15 00:00', 'too old on the birthday');
SELECT is(changes($$extract(year FROM age(ecauto.now(), c.born)) = 35$$, '{"born": "1991-07-15"}', '2026-07-20 00:00'), '2027-07-15 00:00', 'no longer 35');
SELECT is(changes($$c.at >= ecauto.now() - interval '1 month'$$, '{"at": "2026-02-28 12:00"}', '2026-03-20 00:00'), '2026-03-28 12:00:00.000001', 'a month later');
SELECT is(changes($$c.at >= ecauto.now() - interval '1 month'$$, '{"at": "2026-02-28 12:00"}', '2026-03-28 13:00'), '2026-03-29 00:00', 'but March 29 goes back to the start of February 28');
SELECT is(changes($$c.at >= ecauto.now() - interval '1 day'$$, '{"at": "2026-10-24 02:30"}', '2026-10-24 20:00'), '2026-10-25 02:30:00.000001+02', 'the hour that comes twice: the first time');
SELECT is(changes($$c.at >= ecauto.now() - interval '1 day'$$, '{"at": "2026-10-24 02:30"}', '2026-10-25 02:45+02'), '2026-10-25 02:00+01', 'and back');
SELECT is(changes($$ecauto.now()::date > c.born$$, '{"born": "2026-03-29"}', '2026-03-29 15:00'), '2026-03-30 00:00+02', 'midnight on the short day');
SELECT is(changes($$ecauto.now()::time >= '09:00'$$, '{}', '2026-03-28 15:00'), '2026-03-29 00:00+01', 'hours of a day: over at midnight');
SELECT is(changes($$ecauto.now()::time >= '09:00'$$, '{}', '2026-03-29 00:00+01'), '2026-03-29 09:00+02', 'and on again');
SELECT is(changes($$extract(month FROM ecauto.now()) = 12$$, '{}', '2026-03-29 15:00'), '2026-12-01 00:00', 'December');
SELECT is(changes($$to_char(c.born, 'MM-DD') = to_char(ecauto.now(), 'MM-DD')$$, '{"born": "1990-05-05"}', '2026-03-29 15:00'), '2026-05-05 00:00', 'a birthday');
SELECT is(changes($$to_char(c.born, 'MM-DD') = to_char(ecauto.now(), 'MM-DD')$$, '{"born": "1992-02-29"}', '2026-03-29 15:00') BETWEEN '2027-03-29' AND '2028-02-29', true, 'far away: look again in a year, not too late');
SELECT is(changes($$c.at AT TIME ZONE 'Asia/Tokyo' < ecauto.now() AT TIME ZONE 'Asia/Tokyo'$$, '{"at": "2026-06-01 12:00"}', '2026-05-01 00:00'), '2026-06-01 12:00:00.000001', 'in another zone');

-- ---- what cannot be foreseen, and parts ----
SELECT is(changes($$date_part('milliseconds', ecauto.now()) > c.n$$, '{"n": 500}', '2026-03-29 15:00'), '2026-03-29 15:00', 'at any time: now');
SELECT is(changes($$c.n > 5 AND (c.at < ecauto.now() - interval '3 days' OR NOT c.at < ecauto.now() - interval '2 days')$$, '{"at": "2026-06-01 12:00"}', '2026-06-01 13:00'),
	'2026-06-03 12:00:00.000001', 'the first part that changes');

-- ---- any of these: nothing changes before, the part does then ----
SELECT setseed(0.6);
CREATE FUNCTION pick(VARIADIC choice text[]) RETURNS text LANGUAGE sql VOLATILE AS
	$$ SELECT choice[1 + floor(random() * cardinality(choice))::int] $$;
CREATE TABLE trial AS
	SELECT n, condition, data, as_of, changes(condition, data, as_of) AS at, truth(condition, data, as_of) AS now
	FROM (SELECT n, timestamptz '2026-01-01' + random() * interval '400 days' AS as_of,
			replace(pick(
				'c.at OP ecauto.now() - interval ''GAP''', 'ecauto.now() - c.at OP interval ''DAYS days''',
				'ecauto.now() - interval ''GAP'' OP c.at', 'c.since OP ecauto.now() - interval ''GAP''',
				'ecauto.now()::date - c.born OP 9490', 'date_part(''year'', age(ecauto.now(), c.born)) OP 26',
				'extract(year FROM age(ecauto.now()::date, c.born)) OP 25', 'age(ecauto.now(), c.at) OP interval ''GAP''',
				'date_trunc(''month'', ecauto.now()) OP c.at', 'date_part(''day'', ecauto.now() - c.at) OP DAYS',
				'ecauto.now()::time OP ''DAYS:30''', 'extract(dow FROM ecauto.now()) OP 3', 'greatest(c.at, ecauto.now()) OP c.at + interval ''GAP'''),
				'OP', pick('<', '<=', '>', '>=', '=', '<>')) AS pattern,
			jsonb_build_object('at', timestamptz '2026-01-01' + random() * interval '400 days', 'since', timestamp '2026-01-01' + random() * interval '400 days',
				'born', date '2000-01-01' + floor(random() * 900)::int) AS data
		FROM generate_series(1, 400) n) p
	CROSS JOIN LATERAL (SELECT replace(replace(pattern, 'GAP', pick('1 month', '2 months -1 day', '30 days', '1 day', '90 minutes')), 'DAYS', pick('3', '10', '20')) AS condition) c;
SELECT cmp_ok(count(at), '>', 150::bigint, 'many of 400 change') FROM trial;
SELECT is_empty($$ SELECT n, condition, data, as_of, at FROM trial WHERE at <= as_of $$, 'later than now');
-- midnights and what is around them, and a grid
SELECT is_empty($$
	SELECT t.n, t.condition, t.data, t.as_of, t.at, i.at AS earlier FROM trial t
	CROSS JOIN LATERAL (
		SELECT t.as_of + (coalesce(t.at, t.as_of + interval '60 days') - t.as_of) * g / 40 FROM generate_series(0, 39) g
		UNION ALL SELECT t.at - interval '1 microsecond'
		UNION ALL SELECT d + o FROM generate_series(date_trunc('day', t.as_of) + interval '1 day', coalesce(t.at, t.as_of + interval '40 days'), interval '1 day') d,
			(VALUES (interval '0'), (interval '-1 microsecond')) v(o) WHERE d < t.as_of + interval '40 days') i(at)
	WHERE i.at >= t.as_of AND (t.at IS NULL OR i.at < t.at) AND truth(t.condition, t.data, i.at) IS DISTINCT FROM t.now $$, 'nothing changes before');
-- = and <> may be told of a bound that they do not cross
SELECT is_empty($$ SELECT n, condition, data, as_of, at FROM trial WHERE at IS NOT NULL AND condition !~ ' (=|<>) ' AND truth(condition, data, at) IS NOT DISTINCT FROM now
	AND at < as_of + interval '399 days' $$, 'and then it does');

SELECT * FROM finish();
ROLLBACK;

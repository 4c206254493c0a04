-- What a DBA adds to the outbox's tables holds for what enqueue() and
-- delivery write without SQL, too.
BEGIN;
SELECT plan(12);

CREATE SERVER added FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:1');
SELECT ecauto.enqueue('added', '{"n": 0}') AS first \gset

CREATE TABLE seen (operation text, id bigint);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.seen VALUES (TG_WHEN || ' ' || TG_OP || ' ' || TG_TABLE_NAME, coalesce(NEW.id, OLD.id));
	RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER dba_before BEFORE INSERT OR UPDATE OR DELETE ON ecauto_data.outbox FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER dba_after AFTER INSERT OR UPDATE OR DELETE ON ecauto_data.outbox FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER dba_history AFTER INSERT ON ecauto_data.outbox_history FOR EACH ROW EXECUTE FUNCTION note();

SELECT ecauto.enqueue('added', '{"n": 1}') AS second \gset
SELECT results_eq('SELECT operation FROM seen ORDER BY operation COLLATE "C"',
	ARRAY['AFTER INSERT outbox', 'BEFORE INSERT outbox'], 'row triggers fire for enqueue()');
SELECT is((SELECT count(*) FROM ecauto_data.outbox WHERE id = :second), 1::bigint, 'and the row is there');

TRUNCATE seen;
SELECT is((SELECT count(*) FROM ecauto.lease('added', 1)), 1::bigint, 'a lease takes one');
SELECT results_eq('SELECT operation FROM seen ORDER BY operation COLLATE "C"',
	ARRAY['AFTER UPDATE outbox', 'BEFORE UPDATE outbox'], 'row triggers fire for a lease');
TRUNCATE seen;
SELECT ok(ecauto.settle(:first, 1), 'it is settled');
SELECT results_eq('SELECT operation FROM seen WHERE id = ' || :first || ' AND operation !~ ''history'' ORDER BY operation COLLATE "C"',
	ARRAY['AFTER DELETE outbox', 'BEFORE DELETE outbox'], 'and for a settle');
SELECT is((SELECT count(*) FROM seen WHERE operation ~ '^AFTER INSERT outbox_history_'), 1::bigint, 'and for the history');

DROP TRIGGER dba_before ON ecauto_data.outbox;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER dba_refuse BEFORE INSERT ON ecauto_data.outbox FOR EACH ROW WHEN (NEW.payload ? 'refused') EXECUTE FUNCTION refuse();
SELECT lives_ok($$SELECT ecauto.enqueue('added', '{"refused": true}')$$, 'a trigger may leave out a row');
SELECT is((SELECT count(*) FROM ecauto_data.outbox WHERE payload ? 'refused'), 0::bigint, 'and it is left out');

ALTER TABLE ecauto_data.outbox ADD CONSTRAINT dba_size CHECK (pg_column_size(payload) < 1000);
SELECT throws_ok($$SELECT ecauto.enqueue('added', jsonb_build_object('x', repeat('x', 2000)))$$, '23514', NULL, 'a constraint holds');

ALTER TABLE ecauto_data.outbox ADD COLUMN dba_at text DEFAULT 'here ' || 1, ADD COLUMN dba_n integer GENERATED ALWAYS AS (priority + 5) STORED;
SELECT ecauto.enqueue('added', '{"n": 2}') AS third \gset
SELECT is((SELECT dba_at || ' ' || dba_n FROM ecauto_data.outbox WHERE id = :third), 'here 1 5', 'columns have their defaults and are generated');
SELECT count(*) FROM ecauto.lease('added', 10) \g /dev/null
SELECT ecauto.settle(:third, 1, 'released') \g /dev/null
SELECT is((SELECT dba_at || ' ' || dba_n FROM ecauto_data.outbox WHERE id = :third), 'here 1 5', 'and keep them through a lease');

SELECT * FROM finish();
ROLLBACK;

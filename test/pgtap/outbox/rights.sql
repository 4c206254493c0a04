-- What a role without rights is refused, and by which SQLSTATE.
BEGIN;
SELECT plan(35);

CREATE SERVER open FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:9');
CREATE SERVER closed FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:9');
CREATE SERVER post FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://127.0.0.1:9', sender 'shop@shop.example');
CREATE ROLE ec_sender;
CREATE ROLE ec_stranger;
CREATE ROLE ec_operator;
CREATE USER MAPPING FOR PUBLIC SERVER open OPTIONS (bearer_token 'ec-secret-1');
CREATE USER MAPPING FOR ec_sender SERVER open OPTIONS (username 'ec', password 'ec-secret-2', hmac_secret 'ec-secret-3');
GRANT USAGE ON SCHEMA ecauto TO ec_sender, ec_stranger, ec_operator;
GRANT USAGE ON FOREIGN SERVER open TO ec_sender;
SET LOCAL ecauto.mail_endpoint = 'post';

-- each statement, run by a role without any rights but on the schema
CREATE FUNCTION pg_temp.state_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN '00000';
EXCEPTION WHEN OTHERS THEN
	IF SQLERRM LIKE '%ec-secret%' THEN
		RETURN 'a secret: ' || SQLERRM;
	END IF;
	RETURN SQLSTATE;
END
$$;
-- the other roles of this session call it, too
SELECT nspname AS temp FROM pg_namespace WHERE oid = pg_my_temp_schema() \gset
GRANT USAGE ON SCHEMA :"temp" TO ec_sender, ec_stranger, ec_operator;

SET LOCAL ROLE ec_sender;
SELECT ecauto.enqueue('open', '{"of": "sender"}', 'k') AS sent \gset
RESET ROLE;
UPDATE ecauto_data.outbox SET attempts = 1, last_error = 'HTTP status 500' WHERE id = :sent;

SET LOCAL ROLE ec_stranger;
SELECT is(pg_temp.state_of($$ SELECT ecauto.enqueue('closed', '{}') $$), '42501', 'enqueue to a server that was not granted');
SELECT is(pg_temp.state_of($$ SELECT ecauto.enqueue('open', '{}', 'k') $$), '42501', 'nor is a key of another told');
SELECT is(pg_temp.state_of($$ SELECT ecauto.send_mail('a@b.example', NULL, '{"subject": "s", "body": "b"}') $$), '42501', 'a mail');
SELECT is(pg_temp.state_of('SELECT * FROM ecauto.message(' || :sent || ')'), '42501', 'the message of another role');
SELECT is(pg_temp.state_of('SELECT ecauto.cancel(' || :sent || ')'), '42501', 'taking it back');
SELECT is((SELECT count(*) FROM ecauto.messages()), 0::bigint, 'it is in no list');
SELECT is(pg_temp.state_of('SELECT ecauto.settle(' || :sent || ', 1)'), '42501', 'settling it');
SELECT is(pg_temp.state_of($$ SELECT * FROM ecauto.lease('open') $$), '42501', 'leasing');
SELECT is(pg_temp.state_of($$ SELECT ecauto.redrive('open') $$), '42501', 'redriving');
SELECT is(pg_temp.state_of($$ SELECT ecauto.deliver() $$), '42501', 'delivering');
SELECT is(pg_temp.state_of($$ SELECT ecauto.pause_endpoint('open') $$), '42501', 'pausing');
SELECT is(pg_temp.state_of($$ SELECT ecauto.resume_endpoint('open') $$), '42501', 'resuming');
SELECT is(pg_temp.state_of('SELECT * FROM ecauto.outbox_status()'), '42501', 'the status of the outbox');
SELECT is(pg_temp.state_of('SELECT umoptions FROM pg_user_mapping'), '42501', 'secrets in the catalog');
SELECT is((SELECT count(*) FROM pg_user_mappings WHERE umoptions IS NOT NULL), 0::bigint, 'and in its view');
SELECT is(pg_temp.state_of('CREATE USER MAPPING FOR CURRENT_USER SERVER open'), '42501', 'a mapping of its own');
SELECT is(pg_temp.state_of('DROP USER MAPPING FOR PUBLIC SERVER open'), '42501', 'dropping one');
SELECT is(pg_temp.state_of($$ ALTER SERVER open OPTIONS (SET url 'http://evil.example') $$), '42501', 'another address for a server');
SELECT is(pg_temp.state_of($$ CREATE SERVER mine FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:9') $$), '42501', 'a server of its own');
SELECT is_empty($$ SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'ecauto_data'::regnamespace AND c.relname LIKE 'outbox%' AND c.relkind IN ('r', 'p')
	AND pg_temp.state_of(format('SELECT FROM ecauto_data.%I', c.relname)) <> '42501' $$, 'any table of the outbox');
SELECT is(pg_temp.state_of($$ SELECT nextval('ecauto_data.outbox_id_seq') $$), '42501', 'its sequence');
RESET ROLE;

-- the sender may do what concerns his own message, no more
SET LOCAL ROLE ec_sender;
SELECT is((SELECT count(*) FROM ecauto.messages()), 1::bigint, 'the sender sees his message');
SELECT is((SELECT m.payload FROM ecauto.message(:sent) m), '{"of": "sender"}', 'reads it');
SELECT is(pg_temp.state_of($$ SELECT ecauto.enqueue('closed', '{}') $$), '42501', 'sends nothing elsewhere');
SELECT is(pg_temp.state_of($$ SELECT ecauto.redrive('open') $$), '42501', 'redrives nothing');
SELECT is(pg_temp.state_of($$ SELECT * FROM ecauto.lease('open') $$), '42501', 'leases nothing');
SELECT is(pg_temp.state_of('SELECT umoptions FROM pg_user_mapping'), '42501', 'does not see the secrets that go with it');
SELECT is((SELECT count(*) FROM pg_user_mappings WHERE umoptions::text LIKE '%ec-secret-1%'), 0::bigint, 'least of all those of others');
SELECT is(ecauto.cancel(:sent), true, 'and may take it back');
RESET ROLE;

-- nowhere but in the catalog
SELECT is((SELECT count(*) FROM ecauto.messages() m, ecauto.message(m.id) d WHERE d::text LIKE '%ec-secret%'), 0::bigint, 'no message holds a secret');
SELECT is((SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'ecauto%' AND query LIKE '%ec-secret%'), 0::bigint, 'nor does the activity of a worker');

-- an operator may
SELECT format('GRANT %I TO ec_operator', nspowner::regrole) AS make_operator FROM pg_namespace WHERE nspname = 'ecauto_data' \gset
:make_operator;
SET LOCAL ROLE ec_operator;
SELECT is(pg_temp.state_of($$ SELECT * FROM ecauto.outbox_status() $$), '00000', 'an operator sees the status');
SELECT is(pg_temp.state_of('SELECT * FROM ecauto.message(' || :sent || ')'), '00000', 'every message');
SELECT is(pg_temp.state_of($$ SELECT ecauto.pause_endpoint('open') $$), '00000', 'pauses');
SELECT is(pg_temp.state_of($$ SELECT ecauto.redrive('open') $$), '00000', 'and redrives');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;

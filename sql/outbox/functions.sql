CREATE OR REPLACE FUNCTION ecauto.endpoint_validator(options text[], catalog oid)
RETURNS void
AS 'MODULE_PATHNAME', 'ecauto_endpoint_validator'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.endpoint_validator(text[], oid) IS
'checks the options of foreign servers and user mappings of ecauto_endpoint';

CREATE FOREIGN DATA WRAPPER ecauto_endpoint NO HANDLER VALIDATOR ecauto.endpoint_validator;
COMMENT ON FOREIGN DATA WRAPPER ecauto_endpoint IS
'places that messages of ecauto go to: an HTTP service or a mail server';

CREATE OR REPLACE FUNCTION ecauto.enqueue(
	endpoint text, payload jsonb, key text DEFAULT NULL, path text DEFAULT '',
	not_before timestamptz DEFAULT NULL, expires_at timestamptz DEFAULT NULL,
	entity text DEFAULT NULL, priority integer DEFAULT 0,
	method text DEFAULT NULL, headers jsonb DEFAULT NULL, body text DEFAULT 'json',
	wanted regprocedure DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_enqueue'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.enqueue(text, jsonb, text, text, timestamptz, timestamptz, text, integer, text, jsonb, text, regprocedure) IS
'puts a message into the outbox and returns its id; it leaves when the transaction commits; needs USAGE on the foreign server "endpoint"; a second message with the same key is the first one, whose id comes back; path is below the endpoint''s url; messages of one entity leave in order; priority is 1 (first), 0 or -1 (last); body is json, form or text; wanted(bigint) returns NULL while the message is still wanted, else why not';

CREATE OR REPLACE FUNCTION ecauto.messages(
	endpoint text DEFAULT NULL, state text DEFAULT NULL,
	OUT id bigint, OUT endpoint text, OUT state text, OUT key text, OUT attempts integer,
	OUT created_at timestamptz, OUT last_error text, OUT next_at timestamptz, OUT finished_at timestamptz,
	OUT last_status integer, OUT path text, OUT entity text, OUT sender name)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ecauto_messages'
LANGUAGE C STABLE PARALLEL UNSAFE ROWS 1000;
COMMENT ON FUNCTION ecauto.messages(text, text) IS
'messages of an endpoint (NULL: of all) in a state (queued, leased, retry, delivered, dead, cancelled; NULL: in any), by id: those that the current user enqueued, for operators all; finished ones are known for ecauto.history_keep';

CREATE OR REPLACE FUNCTION ecauto.message(
	id bigint,
	OUT id bigint, OUT endpoint text, OUT sender name, OUT key text, OUT path text, OUT payload jsonb,
	OUT attempts integer, OUT created_at timestamptz, OUT last_status integer, OUT last_error text,
	OUT answer text, OUT priority integer, OUT entity text, OUT method text, OUT headers jsonb,
	OUT template text, OUT purpose text, OUT expires_at timestamptz, OUT state text,
	OUT next_at timestamptz, OUT finished_at timestamptz)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_message'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.message(bigint) IS
'all about one message: what it says, how far it got, and the last status and first kilobytes of the answer; NULL if there is none; an error if another role enqueued it and the current user is no operator';

CREATE OR REPLACE FUNCTION ecauto.cancel(id bigint)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_cancel'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.cancel(bigint) IS
'takes back a message that waits; false if it is being delivered, is finished, or does not exist; for its sender and operators';

CREATE OR REPLACE FUNCTION ecauto.redrive(endpoint text, key text DEFAULT NULL, error text DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_redrive'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.redrive(text, text, text) IS
'puts dead messages of an endpoint back into the outbox, with the key they had and all attempts ahead of them, and returns how many; only that with the key, only those whose last error is LIKE error, unless NULL; expired ones stay dead; for operators';
REVOKE ALL ON FUNCTION ecauto.redrive(text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.pause_endpoint(endpoint text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_pause_endpoint'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.pause_endpoint(text) IS
'sends nothing more to an endpoint until resume_endpoint(); messages wait; false if it was paused already; for operators';
REVOKE ALL ON FUNCTION ecauto.pause_endpoint(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.resume_endpoint(endpoint text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_resume_endpoint'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.resume_endpoint(text) IS
'ends pause_endpoint(); false if it was not paused; for operators';
REVOKE ALL ON FUNCTION ecauto.resume_endpoint(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.outbox_status(
	OUT endpoint text, OUT state text, OUT waiting bigint, OUT due bigint, OUT leased bigint, OUT retry bigint,
	OUT oldest timestamptz, OUT next_at timestamptz, OUT delivered bigint, OUT retried bigint, OUT dead bigint,
	OUT last_delivered_at timestamptz, OUT last_failed_at timestamptz, OUT last_error text,
	OUT breaker_until timestamptz,
	OUT delivered_minute bigint, OUT failed_minute bigint, OUT delivered_hour bigint, OUT failed_hour bigint,
	OUT latency_p50 double precision, OUT latency_p99 double precision)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ecauto_outbox_status'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE ROWS 20;
COMMENT ON FUNCTION ecauto.outbox_status() IS
'one row per endpoint: state (open, paused, failing: the circuit breaker is open, missing: messages wait for a foreign server that does not exist); messages that wait, of these due, being delivered (leased), to be tried again; oldest: when the longest waiting one was due; deliveries and failed tries since the beginning, in this minute and the one before, and within the last hour; latency: in ms, what half and 99 of 100 deliveries of the last hour stayed below, from when they were due; for operators';
REVOKE ALL ON FUNCTION ecauto.outbox_status() FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.lease(
	endpoint text, n integer DEFAULT 1, duration interval DEFAULT '1 minute',
	OUT id bigint, OUT attempt integer, OUT key text, OUT payload jsonb, OUT path text,
	OUT method text, OUT headers jsonb, OUT body text, OUT sender name,
	OUT created_at timestamptz, OUT expires_at timestamptz, OUT wanted text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ecauto_lease'
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1;
COMMENT ON FUNCTION ecauto.lease(text, integer, interval) IS
'takes up to n messages of an endpoint that are due, in the order in which they would be sent, to be delivered by the caller and ended with ecauto.settle(id, attempt) within duration (1 s to 1 day), after which they are due again; nobody else gets them meanwhile; wanted names a function that the caller should ask, method, headers, body, expires_at and wanted are NULL where the message has none; no rows if nothing is due; pause the endpoint, or the worker delivers what it can; for operators';
REVOKE ALL ON FUNCTION ecauto.lease(text, integer, interval) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.settle(
	id bigint, attempt integer, outcome text DEFAULT 'delivered', error text DEFAULT NULL,
	retry_after interval DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_settle'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.settle(bigint, integer, text, text, interval) IS
'ends what ecauto.lease() began: delivered; retry (later, after retry_after and a back-off, or dead if the endpoint''s max_attempts or give_up_after are used up); dead; cancelled (no longer wanted); released (not tried); false, and nothing done, if the message has ended or that attempt is no longer under way, but what was delivered is delivered whoever tries it again; for operators';
REVOKE ALL ON FUNCTION ecauto.settle(bigint, integer, text, text, interval) FROM PUBLIC;

CREATE TABLE ecauto_data.outbox (
	id bigserial PRIMARY KEY,
	lease_until timestamptz NOT NULL DEFAULT '-infinity',
	attempts integer NOT NULL DEFAULT 0,
	leased_by integer NOT NULL DEFAULT 0,
	priority smallint NOT NULL DEFAULT 0 CHECK (priority BETWEEN -1 AND 1),
	last_status integer,
	next_at timestamptz NOT NULL,
	created_at timestamptz NOT NULL,
	queued_at timestamptz NOT NULL,
	expires_at timestamptz,
	endpoint text COLLATE "C" NOT NULL,
	sender name NOT NULL,
	key text COLLATE "C" NOT NULL,
	path text NOT NULL DEFAULT '',
	method text,
	body text,
	entity text COLLATE "C",
	template text,
	purpose text,
	wanted text,
	headers jsonb,
	payload jsonb NOT NULL,
	remaining text[],
	last_error text,
	last_answer text,
	refused text
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
	autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0,
	autovacuum_analyze_threshold = 100000, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE ecauto_data.outbox IS
	'messages that wait for delivery: queued (no attempt yet), leased (lease_until in the future) or to be tried again; finished ones move to outbox_history, so the size follows the backlog';
COMMENT ON COLUMN ecauto_data.outbox.lease_until IS
	'by the system''s clock; while it lies in the future, process leased_by (-1: who called ecauto.lease()) is delivering the message.  Neither is indexed and pages are half empty, so that a lease is an update within the page';
COMMENT ON COLUMN ecauto_data.outbox.attempts IS
	'tries so far, the one under way included';
COMMENT ON COLUMN ecauto_data.outbox.queued_at IS
	'when it was first due, or redriven; the endpoint''s give_up_after counts from here';
COMMENT ON COLUMN ecauto_data.outbox.entity IS
	'messages of one entity and endpoint leave in the order of their ids';
COMMENT ON COLUMN ecauto_data.outbox.body IS
	'how the payload becomes the body of an HTTP request: NULL for json, form or text';
COMMENT ON COLUMN ecauto_data.outbox.remaining IS
	'mail: recipients that have not got it yet; NULL for all of them';
COMMENT ON COLUMN ecauto_data.outbox.refused IS
	'mail: recipients that refused it for good at earlier tries, and what they said';
COMMENT ON COLUMN ecauto_data.outbox.wanted IS
	'function that says just before sending why the message is no longer wanted';

CREATE INDEX outbox_queue ON ecauto_data.outbox (endpoint, priority, next_at, id);
CREATE INDEX outbox_entity ON ecauto_data.outbox (endpoint, entity, id) WHERE entity IS NOT NULL;
CREATE INDEX outbox_expiry ON ecauto_data.outbox (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE ecauto_data.outbox_key (
	endpoint text COLLATE "C" NOT NULL,
	key text COLLATE "C" NOT NULL,
	id bigint NOT NULL,
	at timestamptz NOT NULL,
	PRIMARY KEY (endpoint, key)
);
COMMENT ON TABLE ecauto_data.outbox_key IS
	'keys that callers of enqueue() gave: the second message with a key is the first; forgotten with the history of their time';

CREATE TABLE ecauto_data.outbox_history (
	id bigint NOT NULL,
	finished_at timestamptz NOT NULL,
	state text COLLATE "C" NOT NULL CHECK (state IN ('delivered', 'dead', 'cancelled')),
	attempts integer NOT NULL,
	priority smallint NOT NULL,
	last_status integer,
	created_at timestamptz NOT NULL,
	queued_at timestamptz NOT NULL,
	expires_at timestamptz,
	endpoint text COLLATE "C" NOT NULL,
	sender name NOT NULL,
	key text COLLATE "C" NOT NULL,
	path text NOT NULL,
	method text,
	body text,
	entity text COLLATE "C",
	template text,
	purpose text,
	wanted text,
	headers jsonb,
	payload jsonb NOT NULL,
	last_error text,
	last_answer text,
	remaining text[]
) PARTITION BY RANGE (finished_at);
COMMENT ON TABLE ecauto_data.outbox_history IS
	'messages that are delivered, dead or cancelled, by the week in which they ended; old weeks are dropped, see ecauto.history_keep';
COMMENT ON COLUMN ecauto_data.outbox_history.last_answer IS
	'first kilobytes of what the other side said to the last try';
COMMENT ON COLUMN ecauto_data.outbox_history.remaining IS
	'dead mail: recipients that redrive() sends it to, because the others have got it; NULL for all of them';
CREATE INDEX outbox_history_id ON ecauto_data.outbox_history (id);
CREATE INDEX outbox_history_failed ON ecauto_data.outbox_history (endpoint, finished_at) WHERE state <> 'delivered';

-- This week and the next: who ends the first message of a week would else make
-- its table, and if that is a cancel() in a transaction that stays open, every
-- delivery would wait for it.  Later weeks are made ahead by whoever delivers.
DECLARE
	week timestamp;
BEGIN
	FOR week IN SELECT date_trunc('week', ecauto.now() AT TIME ZONE 'UTC') + n * interval '7 days' FROM generate_series(0, 1) n LOOP
		EXECUTE format('CREATE TABLE ecauto_data.%I (LIKE ecauto_data.outbox_history INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS)',
			'outbox_history_' || to_char(week, 'YYYYMMDD'));
		EXECUTE format('ALTER TABLE ecauto_data.outbox_history ATTACH PARTITION ecauto_data.%I FOR VALUES FROM (%L) TO (%L)',
			'outbox_history_' || to_char(week, 'YYYYMMDD'),
			to_char(week, 'YYYY-MM-DD') || ' 00:00:00+00', to_char(week + interval '7 days', 'YYYY-MM-DD') || ' 00:00:00+00');
	END LOOP;
END;

CREATE TABLE ecauto_data.outbox_pause (
	endpoint text COLLATE "C" PRIMARY KEY,
	paused_at timestamptz NOT NULL,
	paused_by name NOT NULL
);
COMMENT ON TABLE ecauto_data.outbox_pause IS
	'endpoints to which nothing is sent until ecauto.resume_endpoint()';

CREATE TABLE ecauto_data.outbox_counter (
	endpoint text COLLATE "C" PRIMARY KEY,
	delivered bigint NOT NULL DEFAULT 0,
	retried bigint NOT NULL DEFAULT 0,
	dead bigint NOT NULL DEFAULT 0,
	last_delivered_at timestamptz,
	last_failed_at timestamptz,
	last_error text,
	breaker_until timestamptz
) WITH (fillfactor = 20);
COMMENT ON TABLE ecauto_data.outbox_counter IS
	'what came of the tries to deliver to an endpoint since the beginning; only workers write here, so that no open transaction of a user holds them up';
COMMENT ON COLUMN ecauto_data.outbox_counter.breaker_until IS
	'too many tries failed in a row: nothing is sent before this time; NULL while the circuit breaker is closed';

CREATE TABLE ecauto_data.outbox_minute (
	endpoint text COLLATE "C" NOT NULL,
	minute timestamptz NOT NULL,
	delivered bigint NOT NULL,
	failed bigint NOT NULL,
	latency bigint[] NOT NULL,
	PRIMARY KEY (endpoint, minute)
) WITH (fillfactor = 50);
COMMENT ON TABLE ecauto_data.outbox_minute IS
	'what came of the tries within a minute; kept for a day';
COMMENT ON COLUMN ecauto_data.outbox_minute.failed IS
	'tries that are to be repeated, and those that were the last';
COMMENT ON COLUMN ecauto_data.outbox_minute.latency IS
	'deliveries by the time since they were due: element n, from 1, counts those that took at most 0.1 * 2^((n-1)/8) ms and more than the element before allows';

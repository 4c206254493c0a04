# What flows cost: 100,000 events through 20 enabled flows whose conditions let
# a tenth through, beside one hand-written statement a flow that does the same
# test and insert; and a tick with 1,000,000 runs that wait.
set -eu
. "$(dirname "$0")/measure.sh"

start_server <<CONF
shared_preload_libraries = 'ecauto'
shared_buffers = 512MB
max_wal_size = 8GB
checkpoint_timeout = 1h
fsync = ${FSYNC:-off}
autovacuum = off
CONF

run_sql -d postgres -c 'CREATE DATABASE shop'
psql -X -q -d shop -v ON_ERROR_STOP=1 >/dev/null <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION ecauto;
SELECT ecauto.setup();
ALTER DATABASE shop SET ecauto.clock = '2026-06-15 10:00:00+00';
SET ecauto.clock = '2026-06-15 10:00:00+00';
SELECT ecauto.tick();

-- what the peer inserts into: the same key, the same indexes, what a run needs
CREATE TABLE plain_run (
	id bigserial PRIMARY KEY, flow int NOT NULL, state text COLLATE "C" NOT NULL, wake_at timestamptz, started_at timestamptz NOT NULL,
	subject text COLLATE "C" NOT NULL, occasion text COLLATE "C" NOT NULL, event_id uuid NOT NULL, event_at timestamptz NOT NULL,
	kind text COLLATE "C" NOT NULL, customer text COLLATE "C", sku text COLLATE "C", new jsonb, UNIQUE (flow, subject, occasion))
	WITH (fillfactor = 70);
CREATE INDEX ON plain_run (wake_at) WHERE wake_at IS NOT NULL;
CREATE PROCEDURE plain() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 20 LOOP
		EXECUTE format('INSERT INTO plain_run (flow, state, wake_at, started_at, subject, occasion, event_id, event_at, kind, customer, sku, new)
			SELECT %1$s, ''waiting'', ecauto.now() + interval ''1 day'', ecauto.now(), ''customer:'' || e.customer, e.event_id::text,
				e.event_id, e.at, e.kind, e.customer, e.sku, e.new
			FROM ecauto_data.event e
			WHERE e.at = ecauto.now() AND e.kind = ''view'' AND (e.new ->> ''points'')::int %% 20 IN (%2$s, %3$s)
			ON CONFLICT DO NOTHING', i, i % 20, (i + 7) % 20);
	END LOOP;
END $$;

SELECT ecauto.create_flow('f' || i, jsonb_build_object('on', 'view',
		'if', format('(event.properties ->> ''points'')::int %% 20 IN (%s, %s)', i % 20, (i + 7) % 20),
		'steps', '[{"wait": "1 day"}, {"tag": {"customer": "x"}}]'::jsonb)),
	ecauto.enable_flow('f' || i) FROM generate_series(1, 20) i;
INSERT INTO ecauto_data.event (event_id, at, kind, customer, sku, new)
SELECT ecauto.new_id(), ecauto.now(), 'view', (i % 10000)::text, 's' || i % 1000,
	jsonb_build_object('points', i % 1000, 'page', '/product/' || i % 1000, 'ref', 'mail') FROM generate_series(1, 100000) i;
ANALYZE;
SQL

fill='TRUNCATE ecauto_data.event_told, ecauto_data.flow_run, plain_run'
tell='INSERT INTO ecauto_data.event_told SELECT event_id, at FROM ecauto_data.event'
for round in $(seq "$ROUNDS"); do
	run_sql -d shop -c "$fill" -c "$tell" -c CHECKPOINT
	# two ticks, since one takes 50,000 events that were told
	note flows "$(milliseconds 'DO $$ BEGIN PERFORM ecauto.tick(); PERFORM ecauto.tick(); END $$')"
	[ "$(value 'SELECT count(*) FROM ecauto_data.flow_run')" = 200000 ] || { echo 'the flows did not start the runs they should' >&2; exit 1; }
	run_sql -d shop -c "$fill" -c CHECKPOINT
	note plain "$(milliseconds 'CALL plain()')"
	[ "$(value 'SELECT count(*) FROM plain_run')" = 200000 ] || { echo 'the statements did not insert the rows they should' >&2; exit 1; }
	run_sql -d shop -c "$fill" -c 'UPDATE ecauto_data.flow SET enabled = false' -c "$tell" -c CHECKPOINT
	note without "$(milliseconds 'DO $$ BEGIN PERFORM ecauto.tick(); PERFORM ecauto.tick(); END $$')"
	run_sql -d shop -c 'UPDATE ecauto_data.flow SET enabled = true'
done
echo '100,000 events, 20 flows, 10% match: 200,000 runs that wait'
show flows ms 'ticks with the flows'
show without ms 'ticks without flows'
show plain ms '20 statements by hand'
ratio flows plain 'ticks with flows / by hand (target: at most 3)'

# ---- a million that wait ----
run_sql -d shop -c "$fill" -c "INSERT INTO ecauto_data.flow_run (flow, version, state, step, wake_at, started_at, subject, occasion, event_id, event_at, kind)
	SELECT 1, 1, 'waiting', 'steps[0]', ecauto.now() + interval '1 hour' + i * interval '1 s', ecauto.now(), 'customer:' || i, '', gen_random_uuid(), ecauto.now(), 'view' FROM generate_series(1, 1000000) i" \
	-c 'VACUUM ANALYZE ecauto_data.flow_run'
for round in $(seq "$ROUNDS"); do
	note million "$(milliseconds 'DO $$ BEGIN FOR i IN 1 .. 100 LOOP PERFORM ecauto.tick(); END LOOP; END $$')"
done
run_sql -d shop -c 'TRUNCATE ecauto_data.flow_run'
for round in $(seq "$ROUNDS"); do
	note none "$(milliseconds 'DO $$ BEGIN FOR i IN 1 .. 100 LOOP PERFORM ecauto.tick(); END LOOP; END $$')"
done
show million ms '100 ticks with 1,000,000 runs that wait'
show none ms '100 ticks with none'
ratio million none 'with / without (target: 1)'

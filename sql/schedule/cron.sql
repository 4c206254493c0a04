-- pg_cron asks every ten minutes whether a job is due.  It lives in one
-- database of the server, which need not be the shop's.

CREATE OR REPLACE FUNCTION ecauto.cron_database()
RETURNS name
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF ecauto.cron_here() THEN
		RETURN current_database();
	ELSIF pg_has_role('pg_read_all_settings', 'USAGE') AND current_setting('shared_preload_libraries') ~ '\mpg_cron\M' THEN
		RETURN current_setting('cron.database_name', true)::name;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION ecauto.cron_database() IS
'database in which pg_cron keeps its jobs; NULL if this server has no pg_cron, or the current user may not know (it is for members of pg_read_all_settings, unless the extension is in this database)';
REVOKE ALL ON FUNCTION ecauto.cron_database() FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.cron_here()
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_cron')
$$;
COMMENT ON FUNCTION ecauto.cron_here() IS
'is the extension pg_cron in this database';
REVOKE ALL ON FUNCTION ecauto.cron_here() FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.cron_name(job text)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT format('ecauto %s: %s', current_database(), $1)
$$;
COMMENT ON FUNCTION ecauto.cron_name(text) IS
'name that a job of this database has in pg_cron, which may serve several databases';
REVOKE ALL ON FUNCTION ecauto.cron_name(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.schedule_statements()
RETURNS TABLE (job text, statement text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT j.job, CASE WHEN ecauto.cron_database() IS NOT DISTINCT FROM current_database()
	THEN format('SELECT cron.schedule(%L, %L, %L)', ecauto.cron_name(j.job), w.minutes, w.command)
	ELSE format('SELECT cron.schedule_in_database(%L, %L, %L, %L)', ecauto.cron_name(j.job), w.minutes, w.command, current_database()) END
FROM ecauto.jobs() j
-- not all in the same minute
CROSS JOIN LATERAL (SELECT format('%s-59/10 * * * *', j.place) AS minutes, format('SELECT ecauto.run_due_job(%L)', j.job) AS command) w
ORDER BY j.place
$$;
COMMENT ON FUNCTION ecauto.schedule_statements() IS
'the statements by which ecauto.schedule_defaults() gives the jobs to pg_cron: to be run in the database of pg_cron by the role that the jobs are to run as, where schedule_defaults() cannot do it; each may be run again; for operators';
REVOKE ALL ON FUNCTION ecauto.schedule_statements() FROM PUBLIC;

-- Run a statement of pg_cron's that returns one number: here, or through dblink.
CREATE OR REPLACE FUNCTION ecauto.cron_run(statement text, connection text)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	dblink name;
	result bigint;
BEGIN
	IF connection IS NULL THEN
		EXECUTE statement INTO result;
		RETURN result;
	END IF;
	SELECT n.nspname INTO dblink
	FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'dblink';
	IF NOT FOUND THEN
		RAISE EXCEPTION 'extension "dblink" is not installed in database "%"', current_database()
			USING ERRCODE = 'object_not_in_prerequisite_state',
				HINT = 'CREATE EXTENSION dblink, or run what ecauto.schedule_statements() returns in the database of pg_cron.';
	END IF;
	EXECUTE format('SELECT d.n FROM %I.dblink($1, $2) AS d (n bigint)', dblink) INTO result USING connection, statement;
	RETURN result;
END
$$;
COMMENT ON FUNCTION ecauto.cron_run(text, text) IS
'runs a statement as the current user and returns the number it returns, by dblink if connection (a connection string or the name of a foreign server) is not NULL; called by ecauto.schedule_defaults()';
REVOKE ALL ON FUNCTION ecauto.cron_run(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.schedule_defaults(connection text DEFAULT NULL)
RETURNS TABLE (job text, runs_at time, timezone text, next_at timestamptz, scheduled boolean, statement text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	cron constant name := ecauto.cron_database();
	possible constant boolean := connection IS NOT NULL OR ecauto.cron_here();
	program text;
BEGIN
	IF NOT EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = 'ecauto_data') THEN
		RAISE EXCEPTION 'ecauto is not set up in this database'
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Run SELECT ecauto.setup().';
	ELSIF connection IS NULL AND ecauto.cron_here() AND NOT has_schema_privilege('cron', 'USAGE') THEN
		RAISE EXCEPTION 'permission denied to schedule jobs'
			USING ERRCODE = 'insufficient_privilege',
				DETAIL = format('Role "%s" may not use pg_cron.', current_user),
				HINT = format('GRANT USAGE ON SCHEMA cron TO %I.', current_user);
	END IF;
	-- two calls at once
	PERFORM pg_advisory_xact_lock(25955, 100);
	INSERT INTO ecauto_data.job AS j (job, since)
	SELECT d.job, ecauto.now() FROM ecauto.jobs() d
	ON CONFLICT (job) DO UPDATE SET since = excluded.since WHERE j.since IS NULL;

	IF (SELECT s.source FROM pg_settings s WHERE s.name = 'ecauto.timezone') = 'session' THEN
		RAISE NOTICE 'ecauto.timezone is set in this session only'
			USING DETAIL = 'Jobs run in sessions of their own.',
				HINT = format('ALTER DATABASE %I SET ecauto.timezone = %L.', current_database(), current_setting('ecauto.timezone'));
	END IF;
	IF NOT possible THEN
		program := format('psql -XAtq -d %s -c ''CALL ecauto.run_due_jobs()''', quote_ident(current_database()));
		IF cron = current_database() THEN
			RAISE NOTICE 'nothing was scheduled: extension "pg_cron" is not installed in this database'
				USING HINT = 'CREATE EXTENSION pg_cron, and call ecauto.schedule_defaults() again.';
		ELSIF cron IS NULL THEN
			RAISE NOTICE 'nothing was scheduled: pg_cron is not in this database'
				USING HINT = format('Let another scheduler run this every ten minutes: %s', program);
		ELSE
			RAISE NOTICE 'nothing was scheduled: pg_cron is in database "%"', cron
				USING HINT = format('Run there what ecauto.schedule_statements() returns: psql -XAtq -d %s -c ''SELECT statement FROM ecauto.schedule_statements()'' | psql -Xq -d %s',
					quote_ident(current_database()), quote_ident(cron));
		END IF;
	END IF;

	RETURN QUERY
	SELECT d.job, d.runs_at, n.zone, ecauto.job_next(d.runs_at),
		possible AND ecauto.cron_run(s.statement, connection) IS NOT NULL,
		CASE WHEN possible OR cron IS NOT NULL THEN s.statement ELSE format('SELECT ecauto.run_due_job(%L)', d.job) END
	FROM ecauto.jobs() d JOIN ecauto.schedule_statements() s ON s.job = d.job
	CROSS JOIN (SELECT ecauto.shop_timezone()) n (zone)
	ORDER BY d.place;
END
$$;
COMMENT ON FUNCTION ecauto.schedule_defaults(text) IS
'lets pg_cron ask every ten minutes, as the current user, whether a job of ecauto.jobs() is due by the clock of the shop, and returns the jobs: time of day and zone, when they run next, whether pg_cron has them now, and the statement; may be called again; nights missed since the first time are made up for, one run each; where pg_cron is in another database, connection (for dblink) leads there, else a notice says what to run there; without pg_cron a notice says what another scheduler should call; for operators with USAGE on schema cron';
REVOKE ALL ON FUNCTION ecauto.schedule_defaults(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.unschedule_defaults(connection text DEFAULT NULL)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	cron constant name := ecauto.cron_database();
	remove constant text := format('SELECT count(cron.unschedule(j.jobid)) FROM cron.job j WHERE starts_with(j.jobname, %L)', ecauto.cron_name(''));
	removed bigint := 0;
BEGIN
	PERFORM pg_advisory_xact_lock(25955, 100);
	UPDATE ecauto_data.job SET since = NULL, asked_at = NULL WHERE since IS NOT NULL;
	IF connection IS NOT NULL OR ecauto.cron_here() THEN
		removed := ecauto.cron_run(remove, connection);
	ELSIF cron <> current_database() THEN
		RAISE NOTICE 'pg_cron still has the jobs: it is in database "%"', cron
			USING HINT = format('Run there: %s', remove);
	END IF;
	RETURN removed;
END
$$;
COMMENT ON FUNCTION ecauto.unschedule_defaults(text) IS
'takes the jobs of this database out of pg_cron and returns how many there were; the history of runs stays; where pg_cron is in another database, connection (for dblink) leads there, else a notice says what to run there; for operators';
REVOKE ALL ON FUNCTION ecauto.unschedule_defaults(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.job_next(runs_at time)
RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT min(t.instant)
FROM (SELECT ecauto.now() AS at, ecauto.shop_timezone() AS zone) n
CROSS JOIN generate_series(0, 2) AS ahead
CROSS JOIN LATERAL (SELECT ((n.at AT TIME ZONE n.zone)::date + ahead + $1) AT TIME ZONE n.zone AS instant) t
WHERE t.instant > n.at
$$;
COMMENT ON FUNCTION ecauto.job_next(time) IS
'the next instant after ecauto.now() at which the clock of the shop shows that time of day; NULL if runs_at is';
REVOKE ALL ON FUNCTION ecauto.job_next(time) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.forget_cron_runs()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	forgotten bigint := 0;
BEGIN
	IF ecauto.cron_here() AND has_schema_privilege('cron', 'USAGE')
			AND has_table_privilege('cron.job_run_details', 'DELETE') THEN
		-- pg_cron's times are those of the server's clock
		EXECUTE 'DELETE FROM cron.job_run_details d USING cron.job j '
			'WHERE j.jobid = d.jobid AND starts_with(j.jobname, $1) '
			'AND d.end_time < clock_timestamp() - CASE d.status WHEN ''succeeded'' THEN interval ''2 days'' ELSE interval ''30 days'' END'
		USING ecauto.cron_name('');
		GET DIAGNOSTICS forgotten = ROW_COUNT;
	END IF;
	RETURN forgotten;
END
$$;
COMMENT ON FUNCTION ecauto.forget_cron_runs() IS
'deletes from pg_cron''s history, which keeps everything, what this database''s jobs did: good runs after 2 days, others after 30, and returns how many; 0 where it may not; for operators';
REVOKE ALL ON FUNCTION ecauto.forget_cron_runs() FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.cron_history()
RETURNS TABLE (job text, active boolean, ran_at timestamptz, state text, message text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF ecauto.cron_here() AND has_schema_privilege('cron', 'USAGE')
			AND has_table_privilege('cron.job', 'SELECT') AND has_table_privilege('cron.job_run_details', 'SELECT') THEN
		-- of a job that several roles have scheduled, the one that is alive
		RETURN QUERY EXECUTE 'SELECT DISTINCT ON (k.place) k.job, j.active, d.start_time, d.status, d.return_message '
			'FROM ecauto.jobs() k JOIN cron.job j ON j.jobname = ecauto.cron_name(k.job) '
			'LEFT JOIN LATERAL (SELECT r.start_time, r.status, r.return_message FROM cron.job_run_details r '
			'WHERE r.jobid = j.jobid AND r.status IN (''succeeded'', ''failed'') ORDER BY r.runid DESC LIMIT 1) d ON true '
			'ORDER BY k.place, j.active DESC, d.start_time DESC NULLS LAST';
	END IF;
END
$$;
COMMENT ON FUNCTION ecauto.cron_history() IS
'what pg_cron has of this database''s jobs: whether they are active there, and when and how its last question whether they are due ended; no row where pg_cron is not in this database or may not be read; for operators';
REVOKE ALL ON FUNCTION ecauto.cron_history() FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.schedule_status()
RETURNS TABLE (job text, state text, detail text, runs_at time, next_at timestamptz, ran_at timestamptz, took interval, result text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT d.job, s.state,
	CASE s.state
		WHEN 'not scheduled' THEN 'See ecauto.schedule_defaults().'
		WHEN 'failed' THEN format('%s. It has failed %s times for this day; SELECT ecauto.run_job(%L) tries it now.', r.result, f.failures, d.job)
		WHEN 'behind' THEN format('It was due at %s. %s', to_char(d.due, 'YYYY-MM-DD HH24:MI TZ'), w.why)
		WHEN 'unattended' THEN w.why END,
	d.runs_at, ecauto.job_next(d.runs_at), r.started_at, r.took, r.result
FROM (SELECT j.*, ecauto.job_due(j.runs_at) AS due, ecauto.cron_database() AS cron FROM ecauto.jobs() j) d
LEFT JOIN ecauto_data.job k ON k.job = d.job
LEFT JOIN ecauto.cron_history() c ON c.job = d.job
LEFT JOIN LATERAL (SELECT x.* FROM ecauto_data.job_run x WHERE x.job = d.job ORDER BY x.id DESC LIMIT 1) r ON true
CROSS JOIN LATERAL (
	SELECT count(*) FILTER (WHERE x.state = 'failed') AS failures, count(*) FILTER (WHERE x.state <> 'failed') AS good
	FROM ecauto_data.job_run x WHERE x.job = d.job AND x.due >= d.due) f
CROSS JOIN LATERAL (SELECT CASE
	WHEN k.asked_at > clock_timestamp() - interval '30 minutes' THEN 'It runs within ten minutes, or does so now.'
	WHEN ecauto.cron_here() AND c.job IS NULL THEN 'pg_cron does not have it: call ecauto.schedule_defaults() again.'
	WHEN NOT c.active THEN 'It is not active in pg_cron: see cron.alter_job().'
	WHEN c.state = 'failed' THEN format('pg_cron says: %s.', rtrim(c.message, E'.\n'))
	WHEN d.cron IS NULL THEN 'Nobody asks for it: is the scheduler running that calls ecauto.run_due_jobs()?'
	ELSE format('Nobody asks for it: is pg_cron running, and has it the jobs in database "%s"?', d.cron) END) w (why)
CROSS JOIN LATERAL (SELECT CASE
	WHEN NOT d.enabled THEN 'disabled'
	WHEN k.since IS NULL THEN 'not scheduled'
	WHEN f.good = 0 AND f.failures > 0 THEN 'failed'
	WHEN f.good = 0 AND d.due >= k.since AND d.due < ecauto.now() - interval '30 minutes' THEN 'behind'
	WHEN coalesce(k.asked_at, k.since) < clock_timestamp() - interval '30 minutes' THEN 'unattended'
	ELSE 'ok' END) s (state)
ORDER BY d.place
$$;
COMMENT ON FUNCTION ecauto.schedule_status() IS
'how the jobs of ecauto.jobs() do: state ok, failed (the last try), behind (due for more than half an hour), unattended (nobody has asked for it for half an hour), disabled, not scheduled; detail: what is wrong and what to do, NULL if nothing is; time of day, next run, and when the last run began, how long it took and what it did; history in ecauto_data.job_run; for operators';
REVOKE ALL ON FUNCTION ecauto.schedule_status() FROM PUBLIC;

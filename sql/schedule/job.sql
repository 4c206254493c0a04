-- Jobs of the night: what they do, when they are due, running one.
--
-- A scheduler (pg_cron, or any other) asks again and again whether a job is
-- due, and the answer comes from the shop's own clock and the history of runs.
-- So nothing depends on the zone the scheduler lives in, on the days that have
-- 23 or 25 hours, or on its having been awake at the hour.

CREATE OR REPLACE FUNCTION ecauto.jobs()
RETURNS TABLE (job text, runs_at time, enabled boolean, place integer, what text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT d.job, coalesce(j.runs_at, d.runs_at::time), coalesce(j.enabled, true), d.place::integer, d.what
FROM unnest(
	ARRAY['reconcile', 'clv', 'recommendations', 'retention', 'replenishment', 'reprice', 'campaigns'],
	ARRAY['01:30', '02:15', '02:45', '03:30', '04:00', '05:00', '05:30'],
	ARRAY['compares the whole shop with what ecauto saw, and its prices with their history',
		'fits the models of customers'' lifetime value',
		'builds the recommendations anew',
		'drops events, runs of flows, prices and runs of jobs that are older than 13 months',
		'forecasts every sku and proposes orders to suppliers',
		'makes prices by the rules that are enabled and writes them, unless a guard holds them',
		'computes the groups of customers and the segments that campaigns are sent to'])
	WITH ORDINALITY d (job, runs_at, what, place)
LEFT JOIN ecauto_data.job j ON j.job = d.job
ORDER BY d.place
$$;
COMMENT ON FUNCTION ecauto.jobs() IS
'the jobs of the night in the order they run: time of day in the zone of the shop (ecauto.timezone), whether they are enabled, and what they do; ecauto.set_job() changes both; for operators';
REVOKE ALL ON FUNCTION ecauto.jobs() FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.set_job(job text, runs_at time DEFAULT NULL, enabled boolean DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM ecauto.job_place(set_job.job);
	INSERT INTO ecauto_data.job AS j (job, runs_at, enabled)
	VALUES (set_job.job, set_job.runs_at, coalesce(set_job.enabled, true))
	ON CONFLICT (job) DO UPDATE
	SET runs_at = coalesce(set_job.runs_at, j.runs_at), enabled = coalesce(set_job.enabled, j.enabled);
END
$$;
COMMENT ON FUNCTION ecauto.set_job(text, time, boolean) IS
'changes the time of day of a job, in the zone of the shop, and whether it runs at all; NULL leaves it; for operators; error if there is no such job';
REVOKE ALL ON FUNCTION ecauto.set_job(text, time, boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.job_place(job text)
RETURNS integer
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place integer := (SELECT j.place FROM ecauto.jobs() j WHERE j.job = job_place.job);
BEGIN
	IF place IS NULL THEN
		RAISE EXCEPTION 'job "%" does not exist', coalesce(job, 'null')
			USING ERRCODE = 'undefined_object',
				HINT = format('There are %s.', (SELECT string_agg(j.job, ', ') FROM ecauto.jobs() j));
	END IF;
	RETURN place;
END
$$;
COMMENT ON FUNCTION ecauto.job_place(text) IS
'number of a job in ecauto.jobs(), which also numbers its lock; error if there is no such job';
REVOKE ALL ON FUNCTION ecauto.job_place(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.job_due(runs_at time, at timestamptz DEFAULT NULL)
RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT max(t.instant)
FROM (SELECT coalesce($2, ecauto.now()) AS at, ecauto.shop_timezone() AS zone) n
CROSS JOIN generate_series(0, 2) AS back
-- a time of day that summer time skips is an hour later, one that it repeats is the second
CROSS JOIN LATERAL (SELECT ((n.at AT TIME ZONE n.zone)::date - back + $1) AT TIME ZONE n.zone AS instant) t
WHERE t.instant <= n.at
$$;
COMMENT ON FUNCTION ecauto.job_due(time, timestamptz) IS
'the last instant, not after at (NULL: ecauto.now()), at which the clock of the shop showed that time of day: once on every day; NULL if runs_at is';
REVOKE ALL ON FUNCTION ecauto.job_due(time, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.job_work(job text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	keep constant interval := '13 months';
	n bigint;
	m bigint;
	one record;
BEGIN
	IF job = 'retention' THEN
		n := ecauto.drop_old_events(keep);
		m := ecauto.drop_old_runs(keep);
		DELETE FROM ecauto_data.job_run r WHERE r.started_at < ecauto.now() - keep;
		PERFORM ecauto.forget_cron_runs();
		RETURN format('%s months of events, %s runs of flows and %s old prices dropped', n, m, ecauto.drop_old_price_history(keep));
	END IF;

	IF NOT EXISTS (SELECT FROM ecauto_data.shop) THEN
		RETURN 'skipped: no shop is attached';
	END IF;
	CASE job
	WHEN 'reconcile' THEN
		n := ecauto.resync();
		m := ecauto.reconcile_price_history();
		RETURN format('%s events had been missed, %s prices', n, m);
	WHEN 'clv' THEN
		IF NOT EXISTS (SELECT FROM ecauto_data.seen_order) THEN
			RETURN 'skipped: there is no order yet';
		END IF;
		SELECT * INTO one FROM ecauto.fit_clv();
		RETURN format('%s for %s customers', one.model, one.customers);
	WHEN 'recommendations' THEN
		SELECT * INTO one FROM ecauto.build_recommendations();
		RETURN format('version %s of %s orders and %s skus', one.version, one.orders, one.skus);
	WHEN 'replenishment' THEN
		IF NOT EXISTS (SELECT FROM ecauto_data.seen_order) THEN
			RETURN 'skipped: there is no order yet';
		END IF;
		n := ecauto.forecast_all();
		IF NOT EXISTS (SELECT FROM ecauto_data.supplier) THEN
			RETURN format('%s skus forecast; skipped orders: there is no supplier', n);
		END IF;
		SELECT count(*) AS lines, count(DISTINCT p.purchase_order) AS orders INTO one FROM ecauto.plan_replenishment() p;
		RETURN format('%s skus forecast, %s lines in %s purchase orders', n, one.lines, one.orders);
	WHEN 'reprice' THEN
		IF NOT EXISTS (SELECT FROM ecauto_data.price_rule r WHERE r.enabled) THEN
			RETURN 'skipped: no price rule is enabled';
		END IF;
		SELECT count(*) AS rows, min(r.reason) FILTER (WHERE r.reason LIKE '%held as proposal%') AS held INTO one FROM ecauto.reprice(true) r;
		RETURN CASE WHEN one.held IS NULL THEN format('%s prices changed', one.rows)
			ELSE format('nothing changed: %s', one.held) END;
	WHEN 'campaigns' THEN
		n := ecauto.refresh_rfm();
		SELECT * INTO one FROM ecauto.refresh_segments(true);
		RETURN format('%s customers grouped; %s entered and %s left segments', n, one.entered, one.left);
	END CASE;
END
$$;
COMMENT ON FUNCTION ecauto.job_work(text) IS
'does a job in the current transaction, whether it is due or not, keeps no record of it, and returns what it did, or "skipped: " and why there was nothing to do; called by ecauto.run_job(); raises what the functions it calls raise';
REVOKE ALL ON FUNCTION ecauto.job_work(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.run_job(job text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	at constant timestamptz := ecauto.now();
	began constant timestamptz := clock_timestamp();
	due_at constant timestamptz := (SELECT ecauto.job_due(j.runs_at, at) FROM ecauto.jobs() j WHERE j.job = run_job.job);
	state text := 'done';
	result text;
	code text;
BEGIN
	IF NOT pg_try_advisory_xact_lock(25955, 100 + ecauto.job_place(job)) THEN
		RETURN 'running: another session is at it';
	END IF;
	BEGIN
		result := ecauto.job_work(job);
		IF result LIKE 'skipped:%' THEN
			state := 'skipped';
		END IF;
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS result = MESSAGE_TEXT, code = RETURNED_SQLSTATE;
		state := 'failed';
		RAISE WARNING 'job "%" failed: %', job, result USING ERRCODE = code;
	END;
	INSERT INTO ecauto_data.job_run (job, due, started_at, took, state, result, code)
	VALUES (job, due_at, at, clock_timestamp() - began, state, result, code);
	RETURN CASE state WHEN 'done' THEN 'done: ' WHEN 'failed' THEN 'failed: ' ELSE '' END || result;
END
$$;
COMMENT ON FUNCTION ecauto.run_job(text) IS
'does a job now, whether it is due or not, and returns what it did; an error of the job is kept in ecauto_data.job_run and told as a warning, and what the job did until then is undone; does nothing while another session is at the same job; for operators';
REVOKE ALL ON FUNCTION ecauto.run_job(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.run_due_job(job text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	at constant timestamptz := ecauto.now();
	j record;
	due_at timestamptz;
	failures integer;
	failed_at timestamptz;
	pause interval;
BEGIN
	-- two that ask at once: the second must see what the first did
	IF NOT pg_try_advisory_xact_lock(25955, 100 + ecauto.job_place(job)) THEN
		RETURN 'running: another session is at it';
	END IF;
	INSERT INTO ecauto_data.job AS k (job, since, asked_at) VALUES (run_due_job.job, at, clock_timestamp())
	ON CONFLICT ON CONSTRAINT job_pkey DO UPDATE
	SET since = coalesce(k.since, excluded.since), asked_at = excluded.asked_at
	WHERE k.since IS NULL OR k.asked_at IS NULL OR k.asked_at < excluded.asked_at - interval '5 minutes';

	SELECT d.runs_at, d.enabled, k.since INTO j
	FROM ecauto.jobs() d JOIN ecauto_data.job k ON k.job = d.job WHERE d.job = run_due_job.job;
	due_at := ecauto.job_due(j.runs_at, at);
	IF NOT j.enabled THEN
		RETURN 'not due: it is disabled';
	ELSIF due_at < j.since THEN
		RETURN 'not due: it was scheduled after the last time';
	ELSIF EXISTS (SELECT FROM ecauto_data.job_run r WHERE r.job = run_due_job.job AND r.due >= due_at AND r.state <> 'failed') THEN
		RETURN 'not due: it has run';
	END IF;
	SELECT count(*), max(r.started_at) INTO failures, failed_at
	FROM ecauto_data.job_run r WHERE r.job = run_due_job.job AND r.due >= due_at;
	pause := interval '10 minutes' * (2 ^ least(failures - 1, 10));
	IF failures >= 6 THEN
		RETURN 'not due: it failed, and waits for the next day';
	ELSIF failures > 0 AND at < failed_at + pause THEN
		RETURN format('not due: it failed, and is tried again after %s', to_char((failed_at + pause) AT TIME ZONE ecauto.shop_timezone(), 'HH24:MI'));
	END IF;
	RETURN ecauto.run_job(job);
END
$$;
COMMENT ON FUNCTION ecauto.run_due_job(text) IS
'does a job if it is due: the clock of the shop has passed its time of day since it last ran, however long ago that was; returns what it did or why it did nothing; one that fails is tried again after 10 minutes, 20, 40 and so on, five times; for schedulers, to be called every few minutes; for operators';
REVOKE ALL ON FUNCTION ecauto.run_due_job(text) FROM PUBLIC;

-- It commits, so it cannot pin its search_path, and names everything in full.
CREATE OR REPLACE PROCEDURE ecauto.run_due_jobs()
LANGUAGE plpgsql
AS $$
DECLARE
	one pg_catalog.record;
	said pg_catalog.text;
BEGIN
	FOR one IN SELECT j.job FROM ecauto.jobs() j LOOP
		said := ecauto.run_due_job(one.job);
		COMMIT;
		RAISE DEBUG '%: %', one.job, said;
	END LOOP;
END
$$;
COMMENT ON PROCEDURE ecauto.run_due_jobs() IS
'calls ecauto.run_due_job() for each job of ecauto.jobs(), each in a transaction of its own: for a scheduler other than pg_cron, every ten minutes; for operators';
REVOKE ALL ON PROCEDURE ecauto.run_due_jobs() FROM PUBLIC;

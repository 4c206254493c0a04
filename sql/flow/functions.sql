CREATE OR REPLACE FUNCTION ecauto.create_flow(name text, definition jsonb)
RETURNS integer
AS 'MODULE_PATHNAME', 'ecauto_create_flow'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.create_flow(text, jsonb) IS
'checks the definition of a flow and stores it as a new version, whose number comes back (the same number if nothing changed); a new flow is not enabled; runs under way finish on their version; it runs with the rights of the current user; docs/flow.md says what a definition holds; errors name the place in it; for operators';
REVOKE ALL ON FUNCTION ecauto.create_flow(text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.enable_flow(name text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_enable_flow'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.enable_flow(text) IS
'lets a flow start runs for what happens from now on; false if it was enabled already; for operators';
REVOKE ALL ON FUNCTION ecauto.enable_flow(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.disable_flow(name text, cancel boolean DEFAULT false)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_disable_flow'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.disable_flow(text, boolean) IS
'lets a flow start no more runs; those under way go on, unless cancel is true, which ends them; false if it was not enabled; for operators';
REVOKE ALL ON FUNCTION ecauto.disable_flow(text, boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.drop_flow(name text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_drop_flow'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.drop_flow(text) IS
'removes a flow with all its versions, runs and what they tell; false if there is none of that name; for operators';
REVOKE ALL ON FUNCTION ecauto.drop_flow(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.retry_run(run_id bigint)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_retry_run'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.retry_run(bigint) IS
'lets a run that is parked with an error, or waits to be tried again, do its step in the next tick; false if there is nothing to retry; for operators';
REVOKE ALL ON FUNCTION ecauto.retry_run(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.cancel_run(run_id bigint)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_cancel_run'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.cancel_run(bigint) IS
'ends a run where it is; false if it has ended or does not exist; for operators';
REVOKE ALL ON FUNCTION ecauto.cancel_run(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.register_action(name text, handler regprocedure)
RETURNS void
AS 'MODULE_PATHNAME', 'ecauto_register_action'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.register_action(text, regprocedure) IS
'makes a function an action of flows: handler(params jsonb, context jsonb) or handler(params jsonb); what it returns is shown by explain_run(), {"skipped": "reason"} says that nothing was done; it runs as the definer of the flow, with the search_path of now; registering a name again replaces its handler; for operators';
REVOKE ALL ON FUNCTION ecauto.register_action(text, regprocedure) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.flows()
RETURNS TABLE (
	name text, version integer, enabled boolean, trigger text, definer name, waiting bigint, failed bigint, done bigint,
	last_started_at timestamptz, next_look timestamptz, error text, error_at timestamptz, definition jsonb)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT f.name, f.version, f.enabled, coalesce(v.definition -> 'on' ->> 'event', v.definition ->> 'on'), v.definer,
	coalesce(r.waiting, 0), coalesce(r.failed, 0), coalesce(r.done, 0), r.last_started_at, f.next_look, f.error, f.error_at, v.definition
FROM ecauto_data.flow f
JOIN ecauto_data.flow_version v ON v.flow = f.id AND v.version = f.version
LEFT JOIN (SELECT r.flow, count(*) FILTER (WHERE r.state IN ('waiting', 'retry')) AS waiting,
		count(*) FILTER (WHERE r.state = 'failed') AS failed, count(*) FILTER (WHERE r.state = 'done') AS done,
		max(r.started_at) AS last_started_at
	FROM ecauto_data.flow_run r GROUP BY r.flow) r ON r.flow = f.id
ORDER BY f.name
$$;
COMMENT ON FUNCTION ecauto.flows() IS
'every flow with its latest version, whether it is enabled, and how many of its runs wait, are parked with an error, or are done; error: why its trigger could not be evaluated the last time; needs SELECT on ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.runs(flow text DEFAULT NULL, state text DEFAULT NULL, subject text DEFAULT NULL)
RETURNS TABLE (
	run_id bigint, flow text, version integer, state text, outcome text, subject text, occasion text, step text,
	started_at timestamptz, wake_at timestamptz, finished_at timestamptz, attempts integer, error text, customer text,
	event_id uuid, kind text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT r.id, f.name, r.version, r.state, r.outcome, r.subject, r.occasion, r.step, r.started_at, r.wake_at, r.finished_at,
	r.attempts, r.error, r.customer, r.event_id, r.kind
FROM ecauto_data.flow_run r JOIN ecauto_data.flow f ON f.id = r.flow
WHERE ($1 IS NULL OR f.name = $1) AND ($2 IS NULL OR r.state = $2) AND ($3 IS NULL OR r.subject = $3)
ORDER BY r.id
$$;
COMMENT ON FUNCTION ecauto.runs(text, text, text) IS
'runs of a flow (NULL: of all) in a state (waiting, retry, done, failed; NULL: any) about a subject such as customer:7 (NULL: any), oldest first; step: where it stands; outcome: how it ended; needs SELECT on ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.explain_decision(flow text, definition jsonb, path text, operands jsonb, at timestamptz)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'ecauto_explain_decision'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.explain_decision(text, jsonb, text, jsonb, timestamptz) IS
'leaves of the condition that stands at a path of a flow''s definition (on: of the trigger), evaluated over operands such as {"new.available": 4} as of a time: an array of {"path", "expression", "result", "operands", "remedy"}, remedy being what would make a leaf what it should be; runs as the current user; {"error"} instead of a result if it cannot be evaluated any more; NULL if there is no condition';

CREATE OR REPLACE FUNCTION ecauto.explain_run(run_id bigint)
RETURNS TABLE (at timestamptz, path text, step text, outcome text, operands jsonb, detail jsonb, leaves jsonb)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT x.at, x.path, x.step, x.outcome, x.operands, x.detail,
	CASE WHEN x.step IN ('start', 'if', 'exit_if') THEN
		(SELECT ecauto.explain_decision(f.name, v.definition, x.path, x.operands, x.at)
		FROM ecauto_data.flow_run r JOIN ecauto_data.flow f ON f.id = r.flow
		JOIN ecauto_data.flow_version v ON v.flow = r.flow AND v.version = r.version WHERE r.id = $1) END
FROM (
	SELECT r.started_at AS at, 'on' AS path, 'start' AS step, 'started' AS outcome, r.operands,
		jsonb_build_object('event', r.event_id, 'kind', r.kind, 'at', r.event_at, 'subject', r.subject, 'occasion', r.occasion,
			'flow', f.name, 'version', r.version) AS detail, 0 AS part, 0::bigint AS id
	FROM ecauto_data.flow_run r JOIN ecauto_data.flow f ON f.id = r.flow WHERE r.id = $1
	UNION ALL
	SELECT d.at, d.path, d.step, d.outcome, d.operands, d.detail, 1, d.id
	FROM ecauto_data.flow_decision d WHERE d.run = $1
	UNION ALL
	SELECT coalesce(r.finished_at, r.wake_at), coalesce(r.step, ''),
		CASE r.state WHEN 'done' THEN 'end' WHEN 'failed' THEN 'parked' ELSE r.state END,
		CASE r.state WHEN 'done' THEN r.outcome WHEN 'failed' THEN 'failed' ELSE 'until' END, NULL,
		CASE WHEN r.error IS NOT NULL THEN jsonb_build_object('error', r.error, 'attempts', r.attempts) END, 2, 0
	FROM ecauto_data.flow_run r WHERE r.id = $1) x
ORDER BY x.part, x.id
$$;
COMMENT ON FUNCTION ecauto.explain_run(bigint) IS
'what a run did and why, in order: its start, each decision with the values it looked at (operands) and what was done (detail), and where it stands now; leaves: of a condition each comparison with its operands, result and, unless it is as it should be, what would make it so (see ecauto.explain_decision()); no rows if there is no such run; needs SELECT on ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.drop_old_runs(keep interval DEFAULT '13 months')
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_drop_old_runs'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.drop_old_runs(interval) IS
'removes runs of flows that ended longer ago than this, with their decisions, and returns how many; a run that is the mark of an occasion that may come again (once per customer, order, cart, ...) stays as that mark, without its decisions and what it knew, and counts once; runs that wait or are parked with an error stay; for operators';
REVOKE ALL ON FUNCTION ecauto.drop_old_runs(interval) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.flow_diagram(name text)
RETURNS text
AS 'MODULE_PATHNAME', 'ecauto_flow_diagram'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.flow_diagram(text) IS
'the latest version of a flow as a Mermaid flowchart, to be pasted into any page that shows such; for operators';
REVOKE ALL ON FUNCTION ecauto.flow_diagram(text) FROM PUBLIC;

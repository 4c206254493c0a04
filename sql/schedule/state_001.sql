CREATE TABLE ecauto_data.job (
	job text PRIMARY KEY,
	runs_at time,
	enabled boolean NOT NULL DEFAULT true,
	since timestamptz,
	asked_at timestamptz
);
COMMENT ON TABLE ecauto_data.job IS
	'nightly jobs as this shop wants them; ecauto.jobs() shows all';
COMMENT ON COLUMN ecauto_data.job.runs_at IS
	'time of day in the shop''s zone; NULL: the usual one';
COMMENT ON COLUMN ecauto_data.job.since IS
	'when it was first scheduled or asked for: nights before that were not missed; NULL: it is not scheduled';
COMMENT ON COLUMN ecauto_data.job.asked_at IS
	'when ecauto.run_due_job() was last called for it, to within minutes, by the server''s clock; NULL: never since it was scheduled';

CREATE TABLE ecauto_data.job_run (
	id bigserial PRIMARY KEY,
	job text NOT NULL,
	due timestamptz NOT NULL,
	started_at timestamptz NOT NULL,
	took interval NOT NULL,
	state text NOT NULL CHECK (state IN ('done', 'skipped', 'failed')),
	result text NOT NULL,
	code text,
	run_by name NOT NULL DEFAULT current_user
);
CREATE INDEX ON ecauto_data.job_run (job, due);
COMMENT ON TABLE ecauto_data.job_run IS
	'runs of nightly jobs: due: the night it was for; state skipped: there was nothing to do; result: what it did, or the error, whose SQLSTATE is code; dropped after 13 months by the job "retention"';

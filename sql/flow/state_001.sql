CREATE TABLE ecauto_data.stock_policy (
	sku text COLLATE "C" PRIMARY KEY,
	reorder_point numeric NOT NULL CHECK (reorder_point >= 0),
	order_quantity numeric NOT NULL CHECK (order_quantity > 0),
	endpoint text NOT NULL,
	recipient text,
	enabled boolean NOT NULL DEFAULT true,
	last_ordered_at timestamptz,
	last_error text
);
COMMENT ON TABLE ecauto_data.stock_policy IS
	'when what is available of a sku falls from above its reorder point to it or below, order_quantity is ordered from the supplier, once';
COMMENT ON COLUMN ecauto_data.stock_policy.sku IS 'key of role sku';
COMMENT ON COLUMN ecauto_data.stock_policy.endpoint IS 'foreign server of the supplier: HTTP gets JSON, a mail server a mail with a CSV attachment';
COMMENT ON COLUMN ecauto_data.stock_policy.recipient IS 'supplier''s address, if endpoint is a mail server';
COMMENT ON COLUMN ecauto_data.stock_policy.last_error IS 'why the last order could not be sent; NULL if it was';

CREATE TABLE ecauto_data.order_mail (
	kind text COLLATE "C" PRIMARY KEY
		CHECK (kind IN ('order.placed', 'order.paid', 'order.fulfilled', 'order.cancelled')),
	subject text NOT NULL,
	body text NOT NULL
);
COMMENT ON TABLE ecauto_data.order_mail IS
	'mails that the customer of an order gets, by the event that causes them';

CREATE TABLE ecauto_data.flow (
	id serial PRIMARY KEY,
	name text COLLATE "C" NOT NULL UNIQUE,
	version integer NOT NULL,
	enabled boolean NOT NULL DEFAULT false,
	created_at timestamptz NOT NULL,
	changed_at timestamptz NOT NULL,
	watched_until timestamptz,
	next_look timestamptz,
	error text,
	error_at timestamptz
) WITH (fillfactor = 50);
COMMENT ON TABLE ecauto_data.flow IS
	'flows by name; written by ecauto.create_flow(), enable_flow(), disable_flow() and the tick';
COMMENT ON COLUMN ecauto_data.flow.version IS
	'version that new runs start with; those under way finish on theirs';
COMMENT ON COLUMN ecauto_data.flow.watched_until IS
	'what time alone has set off (schedules, dates, abandoned carts, inactivity) was looked at up to here; NULL while disabled';
COMMENT ON COLUMN ecauto_data.flow.next_look IS
	'when the next tick has to look at what time sets off; NULL: events start this flow';
COMMENT ON COLUMN ecauto_data.flow.error IS
	'why the trigger or its condition could not be evaluated the last time; NULL if it could';

CREATE TABLE ecauto_data.flow_version (
	flow integer NOT NULL,
	version integer NOT NULL,
	definition jsonb NOT NULL,
	definer name NOT NULL,
	created_at timestamptz NOT NULL,
	PRIMARY KEY (flow, version)
);
COMMENT ON TABLE ecauto_data.flow_version IS
	'every definition a flow has had; never changed, only added to';
COMMENT ON COLUMN ecauto_data.flow_version.definer IS
	'role that conditions and actions of this version run as';

CREATE TABLE ecauto_data.flow_run (
	id bigserial PRIMARY KEY,
	flow integer NOT NULL,
	version integer NOT NULL,
	state text COLLATE "C" NOT NULL CHECK (state IN ('waiting', 'retry', 'done', 'failed')),
	attempts integer NOT NULL DEFAULT 0,
	step text COLLATE "C",
	wake_at timestamptz,
	started_at timestamptz NOT NULL,
	finished_at timestamptz,
	outcome text COLLATE "C",
	subject text COLLATE "C" NOT NULL,
	occasion text COLLATE "C" NOT NULL,
	event_id uuid NOT NULL,
	event_at timestamptz NOT NULL,
	kind text COLLATE "C" NOT NULL,
	role text COLLATE "C",
	key text COLLATE "C",
	session text COLLATE "C",
	customer text COLLATE "C",
	sku text COLLATE "C",
	old jsonb,
	new jsonb,
	operands jsonb,
	line integer,
	lines jsonb,
	results jsonb,
	error text,
	UNIQUE (flow, subject, occasion)
) WITH (fillfactor = 70);
CREATE INDEX flow_run_due ON ecauto_data.flow_run (wake_at) WHERE wake_at IS NOT NULL;
COMMENT ON TABLE ecauto_data.flow_run IS
	'runs of flows: one for each flow, subject and occasion; those that wait cost nothing until they are due';
COMMENT ON COLUMN ecauto_data.flow_run.state IS
	'waiting: for a time or an event; retry: a step failed and is tried again; done: see outcome; failed: parked with its error, see ecauto.retry_run()';
COMMENT ON COLUMN ecauto_data.flow_run.step IS
	'place in the definition of the step to be done next, such as steps[1].then[0]; NULL: the end';
COMMENT ON COLUMN ecauto_data.flow_run.wake_at IS
	'when the run goes on by itself; NULL if it has ended';
COMMENT ON COLUMN ecauto_data.flow_run.outcome IS
	'how a run ended: finished, goal, exit, exit_if, holdout, condition, cancelled';
COMMENT ON COLUMN ecauto_data.flow_run.subject IS
	'whom or what the run is about: customer:7, cart:12, order:5, sku:9';
COMMENT ON COLUMN ecauto_data.flow_run.operands IS
	'values that the condition of the trigger looked at';
COMMENT ON COLUMN ecauto_data.flow_run.line IS
	'in a for_each: number of the line, from 0, it is at';
COMMENT ON COLUMN ecauto_data.flow_run.results IS
	'what steps with "as" returned, by that name';

CREATE TABLE ecauto_data.flow_wait (
	kind text COLLATE "C" NOT NULL,
	key text COLLATE "C" NOT NULL,
	run bigint NOT NULL,
	step text COLLATE "C" NOT NULL,
	PRIMARY KEY (kind, key, run, step)
);
CREATE INDEX flow_wait_run ON ecauto_data.flow_wait (run);
COMMENT ON TABLE ecauto_data.flow_wait IS
	'events that runs wait for, or that are their goal: kind of the event, and whose it must be (customer:7)';

CREATE TABLE ecauto_data.flow_decision (
	id bigserial PRIMARY KEY,
	run bigint NOT NULL,
	at timestamptz NOT NULL,
	path text COLLATE "C" NOT NULL,
	step text COLLATE "C" NOT NULL,
	outcome text COLLATE "C" NOT NULL,
	operands jsonb,
	detail jsonb
);
CREATE INDEX flow_decision_run ON ecauto_data.flow_decision (run, id);
COMMENT ON TABLE ecauto_data.flow_decision IS
	'what runs did and why, a row for each decision; read it by ecauto.explain_run()';
COMMENT ON COLUMN ecauto_data.flow_decision.operands IS
	'values that a condition looked at, at that time';

CREATE TABLE ecauto_data.flow_action (
	name text COLLATE "C" PRIMARY KEY,
	handler text NOT NULL,
	search_path text NOT NULL,
	created_at timestamptz NOT NULL,
	created_by name NOT NULL
);
COMMENT ON TABLE ecauto_data.flow_action IS
	'actions that were added by ecauto.register_action()';
COMMENT ON COLUMN ecauto_data.flow_action.handler IS
	'the function, with its schema and the types of its arguments; text, since it may be dropped';

CREATE TABLE ecauto_data.tag (
	role text COLLATE "C" NOT NULL CHECK (role IN ('customer', 'order', 'product', 'sku', 'cart')),
	key text COLLATE "C" NOT NULL,
	tag text COLLATE "C" NOT NULL,
	at timestamptz NOT NULL,
	flow text,
	PRIMARY KEY (role, key, tag)
);
CREATE INDEX tag_tag_idx ON ecauto_data.tag (tag, role, key);
COMMENT ON TABLE ecauto_data.tag IS
	'tags of customers, orders, products, skus and carts; the shop may read them, see ecauto.tags()';
COMMENT ON COLUMN ecauto_data.tag.flow IS 'flow that set it; NULL: set by hand';

CREATE TABLE ecauto_data.notice (
	id bigserial PRIMARY KEY,
	recipient text NOT NULL,
	topic text COLLATE "C" NOT NULL,
	severity text COLLATE "C" NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
	subject text NOT NULL,
	body text NOT NULL,
	dedup text COLLATE "C" NOT NULL,
	times integer NOT NULL DEFAULT 1,
	first_at timestamptz NOT NULL,
	last_at timestamptz NOT NULL,
	send_at timestamptz,
	sent_at timestamptz,
	message bigint
);
CREATE UNIQUE INDEX notice_open_idx ON ecauto_data.notice (recipient, dedup) WHERE sent_at IS NULL;
CREATE INDEX notice_due_idx ON ecauto_data.notice (send_at) WHERE sent_at IS NULL;
CREATE INDEX notice_sent_idx ON ecauto_data.notice (recipient, dedup, sent_at) WHERE sent_at IS NOT NULL;
COMMENT ON TABLE ecauto_data.notice IS
	'notices to staff; the same one told again before it is sent counts up, those of one recipient that are due together leave in one mail';

CREATE TABLE ecauto_data.installed_template (
	name text COLLATE "C" PRIMARY KEY,
	template text COLLATE "C" NOT NULL,
	version integer NOT NULL,
	params jsonb NOT NULL,
	installed_at timestamptz NOT NULL,
	installed_by name NOT NULL
);
COMMENT ON TABLE ecauto_data.installed_template IS
	'templates of ecauto.template_library() that were installed, and how';
COMMENT ON COLUMN ecauto_data.installed_template.version IS 'of the template in the library at that time';

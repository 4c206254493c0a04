CREATE TABLE ecauto_data.score_rule (
	id serial PRIMARY KEY,
	name text COLLATE "C" NOT NULL UNIQUE,
	kind text COLLATE "C" NOT NULL,
	points float8 NOT NULL,
	times text,
	condition text,
	half_life interval,
	once boolean NOT NULL,
	per_day integer,
	valid_from timestamptz NOT NULL,
	valid_until timestamptz NOT NULL,
	refundable boolean NOT NULL,
	enabled boolean NOT NULL,
	error text
);
COMMENT ON TABLE ecauto_data.score_rule IS
	'for which events a customer gets points; written by ecauto.create_score_rule(), which checks them';
COMMENT ON COLUMN ecauto_data.score_rule.times IS
	'number in the event''s new state that the points are multiplied by, such as total; NULL: by one';
COMMENT ON COLUMN ecauto_data.score_rule.half_life IS 'after so long points count half; NULL: they last';
COMMENT ON COLUMN ecauto_data.score_rule.error IS 'why the last tick could not apply it; NULL if it could';

CREATE TABLE ecauto_data.score_point (
	id bigserial PRIMARY KEY,
	customer text COLLATE "C" NOT NULL,
	rule integer NOT NULL,
	points float8 NOT NULL,
	half_life float8 NOT NULL,
	at timestamptz NOT NULL,
	day date NOT NULL,
	recorded_at timestamptz NOT NULL,
	event_id uuid NOT NULL,
	order_key text COLLATE "C"
);
CREATE INDEX score_point_customer_idx ON ecauto_data.score_point (customer, recorded_at);
CREATE INDEX score_point_order_idx ON ecauto_data.score_point (order_key) WHERE order_key IS NOT NULL;
COMMENT ON TABLE ecauto_data.score_point IS
	'every point a customer got or lost; only added to';
COMMENT ON COLUMN ecauto_data.score_point.half_life IS 'in seconds; infinity: the points last';
COMMENT ON COLUMN ecauto_data.score_point.at IS
	'when what they are for happened: they lose weight from then on';
COMMENT ON COLUMN ecauto_data.score_point.recorded_at IS
	'when they came to count; points taken back have the time of those they take back in at';

CREATE TABLE ecauto_data.score_value (
	customer text COLLATE "C",
	half_life float8,
	value float8 NOT NULL,
	at timestamptz NOT NULL,
	PRIMARY KEY (customer, half_life)
) WITH (fillfactor = 70);
COMMENT ON TABLE ecauto_data.score_value IS
	'the sum of a customer''s points of one half-life, as it was at a time; its value at any later one follows';

CREATE TABLE ecauto_data.score_threshold (
	id serial PRIMARY KEY,
	name text COLLATE "C" NOT NULL UNIQUE,
	points float8 NOT NULL,
	rearm_below float8
);
COMMENT ON TABLE ecauto_data.score_threshold IS
	'scores whose reaching is an event; written by ecauto.create_score_threshold()';
COMMENT ON COLUMN ecauto_data.score_threshold.rearm_below IS
	'a customer whose score was below this may reach the threshold again; NULL: once for ever';

CREATE TABLE ecauto_data.score_reached (
	threshold integer,
	customer text COLLATE "C",
	at timestamptz NOT NULL,
	times integer NOT NULL,
	PRIMARY KEY (threshold, customer)
);
COMMENT ON TABLE ecauto_data.score_reached IS 'which customer reached which threshold, when last and how often';

CREATE TABLE ecauto_data.rfm_group (
	place integer PRIMARY KEY,
	name text NOT NULL,
	r int4range NOT NULL,
	f int4range NOT NULL,
	m int4range NOT NULL DEFAULT '[1,5]'
);
COMMENT ON TABLE ecauto_data.rfm_group IS
	'names of groups of customers by their recency, frequency and monetary scores of 1 to 5; the first that fits counts; change it as you like';
INSERT INTO ecauto_data.rfm_group (place, name, r, f, m) VALUES
	(10, 'champions', '[4,5]', '[4,5]', '[4,5]'),
	(20, 'loyal', '[3,5]', '[4,5]', '[1,5]'),
	(30, 'cannot lose', '[1,2]', '[4,5]', '[4,5]'),
	(40, 'at risk', '[1,2]', '[3,5]', '[1,5]'),
	(50, 'potential loyal', '[4,5]', '[2,3]', '[1,5]'),
	(60, 'recent', '[4,5]', '[1,1]', '[1,5]'),
	(70, 'needs attention', '[3,3]', '[1,3]', '[1,5]'),
	(80, 'hibernating', '[2,2]', '[1,2]', '[1,5]'),
	(90, 'lost', '[1,1]', '[1,2]', '[1,5]');

CREATE TABLE ecauto_data.rfm_score (
	customer text COLLATE "C",
	valid_from timestamptz,
	valid_until timestamptz NOT NULL,
	r integer NOT NULL,
	f integer NOT NULL,
	m integer NOT NULL,
	name text,
	change_no bigint NOT NULL,
	PRIMARY KEY (customer, valid_from)
);
CREATE SEQUENCE ecauto_data.rfm_change_seq;
CREATE INDEX rfm_score_change_idx ON ecauto_data.rfm_score (change_no);
COMMENT ON TABLE ecauto_data.rfm_score IS
	'recency, frequency and monetary scores of each customer and the name of his group, as ecauto.refresh_rfm() found them; a row for each change';
COMMENT ON COLUMN ecauto_data.rfm_score.valid_until IS 'when refresh_rfm() found others, or that he has no order any more';
COMMENT ON COLUMN ecauto_data.rfm_score.change_no IS 'number of the refresh that wrote the row or ended it; ascends';

CREATE TABLE ecauto_data.rfm_setting (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	refreshed_at timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO ecauto_data.rfm_setting DEFAULT VALUES;
COMMENT ON TABLE ecauto_data.rfm_setting IS 'one row: when rfm_score was brought up to date';

CREATE TABLE ecauto_data.clv_model (
	id bigserial PRIMARY KEY,
	fitted_at timestamptz NOT NULL,
	data_from timestamptz,
	data_until timestamptz NOT NULL,
	customers bigint NOT NULL,
	repeaters bigint NOT NULL,
	model text NOT NULL,
	params float8[] NOT NULL,
	standard_errors float8[],
	covariance float8[],
	log_likelihood float8 NOT NULL,
	others jsonb NOT NULL,
	value_params float8[],
	value_covariance float8[],
	mean_value float8 NOT NULL,
	prior float8 NOT NULL,
	note text
);
COMMENT ON TABLE ecauto_data.clv_model IS
	'models of purchases and their values as fitted by ecauto.fit_clv(); the last one predicts';
COMMENT ON COLUMN ecauto_data.clv_model.others IS 'log-likelihoods of the models that were tried and not chosen';
COMMENT ON COLUMN ecauto_data.clv_model.mean_value IS 'mean of customers'' average order values, in the main currency';
COMMENT ON COLUMN ecauto_data.clv_model.params IS 'in days';
COMMENT ON COLUMN ecauto_data.clv_model.covariance IS
	'of the parameters, in rows, from which errors of predictions follow; NULL: not known';
COMMENT ON COLUMN ecauto_data.clv_model.value_params IS
	'p, q, v of the gamma-gamma model, in the main currency; NULL: too few orders, the mean counts';

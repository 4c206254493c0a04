CREATE SEQUENCE ecauto_data.segment_id_seq AS integer;

CREATE TABLE ecauto_data.segment (
	segment_id integer PRIMARY KEY DEFAULT nextval('ecauto_data.segment_id_seq'),
	name text COLLATE "C" NOT NULL UNIQUE,
	condition text,
	leave_condition text,
	description text,
	definer name NOT NULL DEFAULT current_user,
	created_at timestamptz NOT NULL,
	asks boolean NOT NULL DEFAULT false,
	scored boolean NOT NULL DEFAULT false,
	grouped boolean NOT NULL DEFAULT false,
	broken_at timestamptz,
	broken_message text,
	CHECK (condition IS NOT NULL OR leave_condition IS NULL)
);
COMMENT ON TABLE ecauto_data.segment IS 'sets of customers: by a condition, or lists';
COMMENT ON COLUMN ecauto_data.segment.condition IS
	'who is in it, as its author wrote it; NULL: the list in segment_list';
COMMENT ON COLUMN ecauto_data.segment.leave_condition IS
	'a member stays until this is true; NULL: until condition is not';
COMMENT ON COLUMN ecauto_data.segment.definer IS 'the conditions run as this role';
COMMENT ON COLUMN ecauto_data.segment.asks IS
	'its condition has subqueries or functions that are not the server''s own';
COMMENT ON COLUMN ecauto_data.segment.scored IS 'its condition speaks of the row score';
COMMENT ON COLUMN ecauto_data.segment.grouped IS 'its condition speaks of the row rfm';
COMMENT ON COLUMN ecauto_data.segment.broken_message IS
	'why the condition could not be evaluated; members stay as they were';

CREATE TABLE ecauto_data.segment_list (
	segment_id integer NOT NULL REFERENCES ecauto_data.segment ON DELETE CASCADE,
	customer text COLLATE "C" NOT NULL,
	added_at timestamptz NOT NULL,
	removed_at timestamptz,
	PRIMARY KEY (segment_id, customer, added_at)
);
COMMENT ON TABLE ecauto_data.segment_list IS 'members of segments that are lists, and when they were';

CREATE TABLE ecauto_data.segment_state (
	customer text COLLATE "C" PRIMARY KEY,
	member_of integer[] NOT NULL,
	next_change_at timestamptz NOT NULL
) WITH (fillfactor = 85);
CREATE INDEX segment_state_next_idx ON ecauto_data.segment_state (next_change_at) WHERE next_change_at < 'infinity';
COMMENT ON TABLE ecauto_data.segment_state IS
	'segments that each customer was in at the last refresh, from which enter and leave events follow; who asks about membership gets it computed';
COMMENT ON COLUMN ecauto_data.segment_state.next_change_at IS
	'nothing changes before, unless the customer''s facts do';

CREATE TABLE ecauto_data.segment_setting (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	version bigint NOT NULL DEFAULT 1,
	change_no bigint NOT NULL DEFAULT 0,
	point_id bigint NOT NULL DEFAULT 0,
	rfm_no bigint NOT NULL DEFAULT 0,
	refreshed_at timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO ecauto_data.segment_setting DEFAULT VALUES;
COMMENT ON TABLE ecauto_data.segment_setting IS 'one row: how far segments were refreshed';
COMMENT ON COLUMN ecauto_data.segment_setting.version IS 'ascends with each change of a definition';
COMMENT ON COLUMN ecauto_data.segment_setting.change_no IS
	'customers up to this customer_fact.change_no were looked at';
COMMENT ON COLUMN ecauto_data.segment_setting.point_id IS
	'customers with points up to this score_point.id were looked at, if a segment is scored';
COMMENT ON COLUMN ecauto_data.segment_setting.rfm_no IS
	'customers up to this rfm_score.change_no were looked at, if a segment is grouped';

CREATE TABLE ecauto_data.shop (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	preset text NOT NULL,
	params jsonb NOT NULL,
	schema_name name NOT NULL,
	attached_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	attached_by name NOT NULL DEFAULT current_user
);
COMMENT ON TABLE ecauto_data.shop IS
	'the shop that ecauto is attached to; no row or one';

CREATE TABLE ecauto_data.role_binding (
	role text COLLATE "C" PRIMARY KEY,
	query text NOT NULL,
	columns text[] NOT NULL,
	types text[] NOT NULL,
	definer name NOT NULL DEFAULT current_user,
	search_path text NOT NULL,
	from_preset boolean NOT NULL DEFAULT false,
	bound_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	resync boolean NOT NULL DEFAULT false,
	broken_at timestamptz,
	broken_code text,
	broken_message text,
	CHECK (cardinality(columns) = cardinality(types))
);
COMMENT ON TABLE ecauto_data.role_binding IS
	'the query that says what a role (product, order, ...) is in this shop';
COMMENT ON COLUMN ecauto_data.role_binding.columns IS
	'canonical columns that the query returns, with their native types in "types"';
COMMENT ON COLUMN ecauto_data.role_binding.resync IS
	'the next tick compares every key of the role';

CREATE SEQUENCE ecauto_data.source_tap_seq AS integer;

CREATE TABLE ecauto_data.source (
	source_id bigserial PRIMARY KEY,
	role text COLLATE "C" NOT NULL,
	schema_name name NOT NULL,
	table_name name NOT NULL,
	key_column name NOT NULL,
	resolve text,
	tap integer NOT NULL,
	definer name NOT NULL DEFAULT current_user,
	search_path text NOT NULL,
	bound_with text COLLATE "C" NOT NULL,
	broken_message text,
	origin "char" NOT NULL DEFAULT 'h' CHECK (origin IN ('h', 't', 'p', 's')),
	UNIQUE (role, schema_name, table_name, key_column)
);
COMMENT ON TABLE ecauto_data.source IS
	'tables whose changed rows tell that a key of a role may have changed';
COMMENT ON COLUMN ecauto_data.source.tap IS
	'number of the pair (table, key column) in the change log; sources that share the pair share it';
COMMENT ON COLUMN ecauto_data.source.bound_with IS
	'role whose binding brought the source; bind_table() of order lines brings one for orders';
COMMENT ON COLUMN ecauto_data.source.origin IS
	'h: bind_source(), t: bind_table(), p: preset, s: an earlier preset (while attaching)';
COMMENT ON COLUMN ecauto_data.source.broken_message IS
	'why the resolving query fails; until it is bound again each note stands for every key';
COMMENT ON COLUMN ecauto_data.source.resolve IS
	'query that turns noted keys ($1) into keys of the role; NULL if they are the same';

CREATE TABLE ecauto_data.writer (
	action text COLLATE "C" PRIMARY KEY,
	statement text NOT NULL,
	definer name NOT NULL DEFAULT current_user,
	search_path text NOT NULL,
	from_preset boolean NOT NULL DEFAULT false,
	bound_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	proved_at timestamptz,
	note text
);
COMMENT ON TABLE ecauto_data.writer IS
	'statements by which ecauto writes to the shop''s tables';

CREATE TABLE ecauto_data.change_log (
	at timestamptz NOT NULL,
	tap integer NOT NULL,
	keys text[] COLLATE "C"
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
	autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0,
	autovacuum_analyze_threshold = 1000000);
ALTER TABLE ecauto_data.change_log ALTER COLUMN keys SET STORAGE PLAIN;
COMMENT ON TABLE ecauto_data.change_log IS
	'keys noted by capture and not yet read by tick(); append-only, no index, no constraint, so that no shop transaction waits or fails on it';
COMMENT ON COLUMN ecauto_data.change_log.keys IS
	'values of the noted column; NULL: any key may have changed';

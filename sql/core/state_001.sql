CREATE TABLE ecauto_data.schema_version (
	version integer PRIMARY KEY,
	installed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	installed_by name NOT NULL DEFAULT current_user
);
COMMENT ON TABLE ecauto_data.schema_version IS
	'versions that the state went through; the highest is the one in force';

CREATE SCHEMA ecauto;
COMMENT ON SCHEMA ecauto IS 'ecauto: code of the shop automation; its state is in schema ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.now()
RETURNS timestamptz
AS 'MODULE_PATHNAME', 'ecauto_now'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.now() IS
'the time by which ecauto decides: the start of the current statement, or what the setting ecauto.clock says';

CREATE OR REPLACE FUNCTION ecauto.library_version()
RETURNS text
AS 'MODULE_PATHNAME', 'ecauto_library_version'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.library_version() IS
'version of the library that this session has loaded; that of the SQL is the extension''s, and both should be the same';

CREATE OR REPLACE FUNCTION ecauto.new_id()
RETURNS uuid
AS 'MODULE_PATHNAME', 'ecauto_new_id'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.new_id() IS
'a new UUID of version 7: those of one session ascend in the order they were made';

CREATE OR REPLACE FUNCTION ecauto.bucket(name text, customer text)
RETURNS double precision
AS 'MODULE_PATHNAME', 'ecauto_bucket'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.bucket(text, text) IS
'the place of a customer in the experiment of that name, from 0 to below 1: always the same, uniform over customers, and independent of his place in others; a holdout of 10 percent is bucket(name, customer) < 0.1; NULL for NULL';

CREATE OR REPLACE FUNCTION ecauto.tick(
	OUT noted bigint, OUT keys bigint, OUT events bigint, OUT messages bigint, OUT pending bigint)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_tick'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.tick() IS
'one round of automation in the current transaction: noted change log rows taken, keys read, events written, messages enqueued; pending: change log rows that have not rested for ecauto.settle_time yet; waits for a round of another session to end';

CREATE OR REPLACE FUNCTION ecauto.setup()
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	latest constant integer := 1;
	have integer := 0;
	owner name;
BEGIN
	PERFORM pg_advisory_xact_lock(25955, 2);

	SELECT r.rolname INTO owner
	FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
	WHERE n.nspname = 'ecauto_data';

	IF owner IS NULL THEN
		IF NOT has_database_privilege(current_database(), 'CREATE') THEN
			RAISE EXCEPTION 'permission denied to set up ecauto'
				USING ERRCODE = 'insufficient_privilege',
					DETAIL = format('Role "%s" may not create schemas in database "%s".', current_user, current_database()),
					HINT = format('GRANT CREATE ON DATABASE %I TO %I, or run it as the owner of the database.', current_database(), current_user);
		END IF;
		CREATE SCHEMA ecauto_data;
		COMMENT ON SCHEMA ecauto_data IS
			'ecauto: the state of the shop automation; made by ecauto.setup(), kept by DROP EXTENSION';
	ELSIF NOT pg_has_role(owner, 'USAGE') AND NOT (CASE WHEN has_schema_privilege('ecauto_data', 'USAGE')
			THEN coalesce(has_table_privilege(to_regclass('ecauto_data.schema_version'), 'REFERENCES'), false) ELSE false END) THEN
		RAISE EXCEPTION 'permission denied to set up ecauto'
			USING ERRCODE = 'insufficient_privilege',
				DETAIL = format('Schema "ecauto_data" belongs to role "%s".', owner),
				HINT = 'Run it as that role or a superuser.';
	END IF;

	IF to_regclass('ecauto_data.schema_version') IS NOT NULL THEN
		SELECT coalesce(max(v.version), 0) INTO have FROM ecauto_data.schema_version v;
	END IF;
	IF have > latest THEN
		RAISE EXCEPTION 'the state is newer than the extension'
			USING ERRCODE = 'object_not_in_prerequisite_state',
				DETAIL = format('The state is of version %s, the extension makes version %s.', have, latest),
				HINT = 'Install the newer extension and run ALTER EXTENSION ecauto UPDATE.';
	END IF;

	IF have < latest AND owner IS NOT NULL AND owner <> current_user THEN
		RAISE EXCEPTION 'ecauto must be set up by the owner of its state'
			USING ERRCODE = 'insufficient_privilege',
				DETAIL = format('Schema "ecauto_data" belongs to role "%s", and what is made now would belong to role "%s".', owner, current_user),
				HINT = format('Run SET ROLE %I first.', owner);
	END IF;

	WHILE have < latest LOOP
		have := have + 1;
		EXECUTE format('SELECT ecauto.state_step_%s()', to_char(have, 'FM000'));
		INSERT INTO ecauto_data.schema_version (version) VALUES (have);
	END LOOP;
	RETURN have;
END
$$;
COMMENT ON FUNCTION ecauto.setup() IS
'creates the state in schema ecauto_data or brings it to the version of the extension, and returns that version; belongs to the caller, who needs CREATE on the database; does nothing if all is there';

CREATE OR REPLACE FUNCTION ecauto.shop_timezone()
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce(nullif(current_setting('ecauto.timezone', true), ''), current_setting('TimeZone'))
$$;
COMMENT ON FUNCTION ecauto.shop_timezone() IS
'name of the time zone in which the shop keeps its days and times of day: setting ecauto.timezone, else TimeZone';

CREATE OR REPLACE FUNCTION ecauto.resync(role text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE ecauto_data.role_binding b SET resync = true
	WHERE resync.role IS NULL OR b.role = resync.role;
	IF NOT FOUND AND role IS NOT NULL THEN
		RAISE EXCEPTION 'role "%" is not bound', role
			USING ERRCODE = 'undefined_object',
				HINT = 'See ecauto.check_shop() for the roles, and bind it with ecauto.bind_role().';
	END IF;
	RETURN (SELECT t.events FROM ecauto.tick() t);
END
$$;
COMMENT ON FUNCTION ecauto.resync(text) IS
'compares every key of a role (NULL: of all roles) with what was seen, now, and returns the number of events that makes: 0 if nothing was missed; the first time for a role it loads its history and makes none';

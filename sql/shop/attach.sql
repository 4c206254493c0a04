CREATE OR REPLACE FUNCTION ecauto.preset_tables()
RETURNS TABLE (preset text, table_name text, columns text[])
AS 'MODULE_PATHNAME', 'ecauto_preset_tables'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.preset_tables() IS
'tables and columns that the queries of each preset need';

CREATE OR REPLACE FUNCTION ecauto.bind_preset(preset text, params jsonb, schema text)
RETURNS TABLE (item text, rows bigint, state text, detail text)
AS 'MODULE_PATHNAME', 'ecauto_bind_preset'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.bind_preset(text, jsonb, text) IS
'part of attach_shop(): binds what a preset knows and was not bound by hand, and tells of each role and writer what became of it';
REVOKE ALL ON FUNCTION ecauto.bind_preset(text, jsonb, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.read_roles()
RETURNS TABLE (role text, needed boolean, bound boolean, rows bigint, code text, message text, feature text)
AS 'MODULE_PATHNAME', 'ecauto_read_roles'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.read_roles() IS
'part of check_shop(): reads each role now; rows: how many it has; code and message: the error if it cannot be read';
REVOKE ALL ON FUNCTION ecauto.read_roles() FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.detect_shop()
RETURNS TABLE (preset text, schema text, score numeric, missing text[])
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
WITH wanted AS (
	SELECT t.preset, t.table_name, c.column_name
	FROM ecauto.preset_tables() t, unnest(t.columns) c(column_name)
), schema AS (
	SELECT n.oid, n.nspname
	FROM pg_namespace n
	WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'ecauto', 'ecauto_data')
), found AS (
	SELECT w.preset, s.nspname, w.table_name, w.column_name, a.attname IS NOT NULL AS here
	FROM wanted w CROSS JOIN schema s
	LEFT JOIN pg_class r ON r.relnamespace = s.oid AND r.relname = w.table_name AND r.relkind IN ('r', 'p', 'v', 'm', 'f')
	LEFT JOIN pg_attribute a ON a.attrelid = r.oid AND a.attname = w.column_name AND a.attnum > 0 AND NOT a.attisdropped
)
SELECT f.preset, f.nspname::text, round(avg(f.here::integer), 3),
	coalesce(array_agg(f.table_name || '.' || f.column_name ORDER BY f.table_name, f.column_name) FILTER (WHERE NOT f.here), '{}')
FROM found f
GROUP BY f.preset, f.nspname
HAVING avg(f.here::integer) >= 0.5
ORDER BY 3 DESC, 1, 2
$$;
COMMENT ON FUNCTION ecauto.detect_shop() IS
'which preset fits the tables of which schema: score is the share of the columns that the preset reads which are there (from 0.5 on; 1: all), missing names the others; no row if none fits, then bind the roles by hand';

CREATE OR REPLACE FUNCTION ecauto.capture_triggers()
RETURNS TABLE (relation regclass, name name, each_row boolean, always boolean, taps text[])
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT t.tgrelid::regclass, t.tgname, (t.tgtype & 1) = 1, t.tgenabled = 'A',
	ARRAY(SELECT convert_from(decode(a.arg, 'escape'), getdatabaseencoding())
		FROM unnest((string_to_array(encode(t.tgargs, 'escape'), '\000'))[:t.tgnargs]) WITH ORDINALITY a(arg, n) ORDER BY a.n)
FROM pg_trigger t
WHERE t.tgfoid = 'ecauto.capture()'::regprocedure AND t.tgparentid = 0
$$;
COMMENT ON FUNCTION ecauto.capture_triggers() IS
'the triggers that note changes of the shop''s tables, whatever the tables are called now; taps: number, attribute number and name of each noted column';

CREATE OR REPLACE FUNCTION ecauto.follow_renames()
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	followed integer;
BEGIN
	WITH tap AS (
		SELECT split_part(arg, ':', 1)::integer AS tap, n.nspname, r.relname, a.attname
		FROM ecauto.capture_triggers() t
		JOIN pg_class r ON r.oid = t.relation
		JOIN pg_namespace n ON n.oid = r.relnamespace,
			unnest(t.taps) arg,
			LATERAL (
				-- by name, and by number if the name is gone
				SELECT a.attname FROM pg_attribute a
				WHERE a.attrelid = r.oid AND NOT a.attisdropped
				AND (a.attname = substring(arg FROM '^[0-9]+:[0-9]+:(.*)$') OR a.attnum = split_part(arg, ':', 2)::integer)
				ORDER BY a.attname = substring(arg FROM '^[0-9]+:[0-9]+:(.*)$') DESC
				LIMIT 1) a
		WHERE t.each_row
	)
	UPDATE ecauto_data.source s
	SET schema_name = tap.nspname, table_name = tap.relname, key_column = tap.attname
	FROM tap
	WHERE tap.tap = s.tap AND (s.schema_name, s.table_name, s.key_column) <> (tap.nspname, tap.relname, tap.attname)
	AND NOT EXISTS (
		SELECT FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace JOIN pg_attribute a ON a.attrelid = r.oid
		WHERE n.nspname = s.schema_name AND r.relname = s.table_name AND a.attname = s.key_column AND NOT a.attisdropped);
	GET DIAGNOSTICS followed = ROW_COUNT;
	RETURN followed;
END
$$;
COMMENT ON FUNCTION ecauto.follow_renames() IS
'brings the sources up to date with tables and columns that the shop renamed, which the triggers have followed; returns how many';
REVOKE ALL ON FUNCTION ecauto.follow_renames() FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.capture_unasked(role text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT 'no table is watched, so only ecauto.resync() sees changes; ecauto.bind_source() names the tables'
WHERE $1 IN ('product', 'sku', 'price', 'stock', 'order', 'customer', 'cart')
AND NOT EXISTS (SELECT FROM ecauto_data.source s WHERE s.role = $1)
$$;
COMMENT ON FUNCTION ecauto.capture_unasked(text) IS
'part of attach_shop() and check_shop(): what to say of a role that makes events and has no source; NULL for others';
REVOKE ALL ON FUNCTION ecauto.capture_unasked(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.lock_shop(changed regclass[], dropped regclass[], patience interval)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- below deadlock_timeout: if the shop waits for us and we for the shop, we go
SET lock_timeout = '400ms'
AS $$
DECLARE
	until constant timestamptz := clock_timestamp() + patience;
	stubborn regclass;
BEGIN
	LOOP
		BEGIN
			FOR stubborn IN
				SELECT r FROM unnest(changed || dropped) r ORDER BY r::oid
			LOOP
				EXECUTE format('LOCK TABLE %s IN %s MODE', stubborn,
					CASE WHEN stubborn = ANY (dropped) THEN 'ACCESS EXCLUSIVE' ELSE 'SHARE ROW EXCLUSIVE' END);
			END LOOP;
			RETURN;
		EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
			-- every lock is free again here
			IF clock_timestamp() >= until THEN
				RAISE EXCEPTION 'could not lock the shop''s tables'
					USING ERRCODE = 'lock_not_available',
						DETAIL = format('A transaction has kept table %s busy for %s seconds.', stubborn, round(extract(epoch FROM patience), 1)),
						HINT = 'Try again when the shop is less busy, or raise lock_timeout.';
			END IF;
		END;
		PERFORM pg_sleep(0.1 + random() / 5);
	END LOOP;
END
$$;
COMMENT ON FUNCTION ecauto.lock_shop(regclass[], regclass[], interval) IS
'part of attach_shop() and detach_shop(): locks tables whose triggers change against writers, and those that lose one against everybody: all or none, letting go again and again, so that the shop neither waits long nor deadlocks with us';
REVOKE ALL ON FUNCTION ecauto.lock_shop(regclass[], regclass[], interval) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.wanted_triggers()
RETURNS TABLE (relation regclass, name name, each_row boolean, taps text[])
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH watched AS (
	SELECT s.relation, array_agg(format('%s:%s:%s', s.tap, a.attnum, a.attname) ORDER BY s.tap) AS taps
	FROM (SELECT DISTINCT s.tap, s.key_column, format('%I.%I', s.schema_name, s.table_name)::regclass AS relation
		FROM ecauto_data.source s JOIN ecauto_data.role_binding b ON b.role = s.role) s
	JOIN pg_attribute a ON a.attrelid = s.relation AND a.attname = s.key_column
	GROUP BY s.relation)
SELECT w.relation, 'ecauto_capture'::name, true, w.taps FROM watched w
UNION ALL
-- a partition can be truncated on its own
SELECT DISTINCT ON (p.relid) p.relid, 'ecauto_capture_truncate'::name, false, w.taps
FROM watched w, LATERAL (SELECT w.relation AS relid UNION SELECT t.relid FROM pg_partition_tree(w.relation) t) p
ORDER BY 1, 2
$$;
COMMENT ON FUNCTION ecauto.wanted_triggers() IS
'part of attach_shop(): the triggers that the sources ask for; columns as in ecauto.capture_triggers()';
REVOKE ALL ON FUNCTION ecauto.wanted_triggers() FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.install_capture(patience interval)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	missing record;
	unwanted record;
BEGIN
	-- nothing is locked if all is as it should be
	PERFORM ecauto.lock_shop(
		ARRAY(SELECT DISTINCT w.relation FROM ecauto.wanted_triggers() w
			WHERE NOT EXISTS (SELECT FROM ecauto.capture_triggers() t
				WHERE (t.relation, t.name, t.each_row, t.always, t.taps) = (w.relation, w.name, w.each_row, true, w.taps))),
		ARRAY(SELECT DISTINCT t.relation FROM ecauto.capture_triggers() t
			WHERE NOT EXISTS (SELECT FROM ecauto.wanted_triggers() w WHERE (w.relation, w.name) = (t.relation, t.name))),
		patience);

	FOR unwanted IN
		SELECT t.relation, t.name FROM ecauto.capture_triggers() t
		WHERE NOT EXISTS (SELECT FROM ecauto.wanted_triggers() w WHERE (w.relation, w.name) = (t.relation, t.name))
		ORDER BY t.relation::oid
	LOOP
		EXECUTE format('DROP TRIGGER %I ON %s', unwanted.name, unwanted.relation);
	END LOOP;

	FOR missing IN
		SELECT w.relation, w.name, w.each_row, (SELECT string_agg(quote_literal(tap), ', ') FROM unnest(w.taps) tap) AS args
		FROM ecauto.wanted_triggers() w
		WHERE NOT EXISTS (SELECT FROM ecauto.capture_triggers() t
			WHERE (t.relation, t.name, t.each_row, t.always, t.taps) = (w.relation, w.name, w.each_row, true, w.taps))
		ORDER BY w.relation::oid
	LOOP
		-- OR REPLACE, since DROP would lock out readers
		EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER %s ON %s EXECUTE FUNCTION ecauto.capture(%s)', missing.name,
			CASE WHEN missing.each_row THEN 'INSERT OR UPDATE OR DELETE' ELSE 'TRUNCATE' END,
			missing.relation || CASE WHEN missing.each_row THEN ' FOR EACH ROW' ELSE ' FOR EACH STATEMENT' END, missing.args);
		EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', missing.relation, missing.name);
	END LOOP;
	RETURN (SELECT count(*) FROM ecauto.wanted_triggers() w WHERE w.each_row);
END
$$;
COMMENT ON FUNCTION ecauto.install_capture(interval) IS
'part of attach_shop(): makes the triggers on the shop''s tables what the sources say, and returns how many tables are watched';
REVOKE ALL ON FUNCTION ecauto.install_capture(interval) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.require_shop(what text)
RETURNS void
AS 'MODULE_PATHNAME', 'ecauto_require_shop'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.require_shop(text) IS
'refuses whoever may not operate the shop; what completes "permission denied to"; error if ecauto is not set up';
REVOKE ALL ON FUNCTION ecauto.require_shop(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.load_history()
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_load_history'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.load_history() IS
'part of attach_shop(): remembers all rows of all roles as they are now, without events for what differs, and returns how many there are';
REVOKE ALL ON FUNCTION ecauto.load_history() FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.attach_shop(preset text, params jsonb DEFAULT '{}', schema text DEFAULT 'public')
RETURNS TABLE (item text, rows bigint, state text, detail text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	patience constant interval := coalesce(nullif(current_setting('lock_timeout')::interval, '0'), '10 s');
	attached record;
	again boolean;
	before pg_snapshot;
	watched integer;
BEGIN
	IF preset IS NULL OR params IS NULL OR schema IS NULL THEN
		RAISE EXCEPTION 'preset, parameters and schema of a shop must not be NULL'
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	PERFORM ecauto.setup();
	-- no tick meanwhile
	PERFORM pg_advisory_xact_lock(25955, 1);

	SELECT s.* INTO attached FROM ecauto_data.shop s;
	again := FOUND;
	IF again AND attached.preset <> attach_shop.preset THEN
		RAISE EXCEPTION 'a shop is attached already'
			USING ERRCODE = 'object_not_in_prerequisite_state',
				DETAIL = format('It is preset "%s" in schema "%s".', attached.preset, attached.schema_name),
				HINT = 'Run SELECT ecauto.detach_shop() first; what is known of the past is kept.';
	END IF;

	PERFORM ecauto.follow_renames();
	FOR item, rows, state, detail IN
		SELECT p.item, p.rows, p.state, p.detail FROM ecauto.bind_preset(preset, params, schema) p
	LOOP
		detail := coalesce(detail,
			(SELECT 'follows ' || string_agg(DISTINCT s.table_name, ', ') FROM ecauto_data.source s WHERE s.role = item),
			CASE WHEN state LIKE 'bound%' THEN ecauto.capture_unasked(item) END);
		RETURN NEXT;
	END LOOP;

	INSERT INTO ecauto_data.shop AS s (preset, params, schema_name)
	VALUES (attach_shop.preset, attach_shop.params, attach_shop.schema)
	ON CONFLICT (one) DO UPDATE
	SET (params, schema_name, attached_at, attached_by) = (EXCLUDED.params, EXCLUDED.schema_name, EXCLUDED.attached_at, EXCLUDED.attached_by);

	-- The first time the history is loaded without events; later, what was missed
	-- becomes events.  Both go before the triggers lock the shop's tables, so
	-- that the shop does not stand still meanwhile.  If anybody wrote anything
	-- in between, the next tick compares everything once more.
	PERFORM pg_current_xact_id();
	before := pg_current_snapshot();
	IF again THEN
		PERFORM ecauto.resync();
	ELSE
		PERFORM ecauto.load_history();
	END IF;
	watched := ecauto.install_capture(patience);
	IF pg_snapshot_xmax(pg_current_snapshot()) <> pg_snapshot_xmax(before) OR EXISTS (SELECT FROM pg_snapshot_xip(before)) THEN
		UPDATE ecauto_data.role_binding SET resync = true WHERE NOT resync;
	END IF;

	item := 'capture';
	rows := NULL;
	state := 'installed';
	detail := format('watches %s tables: %s', watched,
		(SELECT string_agg(DISTINCT s.table_name, ', ') FROM ecauto_data.source s JOIN ecauto_data.role_binding b ON b.role = s.role));
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION ecauto.attach_shop(text, jsonb, text) IS
'attaches ecauto to the shop in a schema by a preset (see detect_shop()), or with preset custom to what was bound by hand: binds the roles, loads their history without events, installs capture; tells of each role how many rows it has or what is switched off without it; doing it again repairs whatever is missing';
REVOKE ALL ON FUNCTION ecauto.attach_shop(text, jsonb, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.detach_shop()
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	patience constant interval := coalesce(nullif(current_setting('lock_timeout')::interval, '0'), '10 s');
	capture record;
	dropped integer := 0;
BEGIN
	PERFORM ecauto.require_shop('detach a shop');
	PERFORM pg_advisory_xact_lock(25955, 1);
	PERFORM ecauto.lock_shop('{}', ARRAY(SELECT DISTINCT t.relation FROM ecauto.capture_triggers() t), patience);
	FOR capture IN
		SELECT t.relation, t.name FROM ecauto.capture_triggers() t ORDER BY t.relation::oid, t.name
	LOOP
		EXECUTE format('DROP TRIGGER %I ON %s', capture.name, capture.relation);
		dropped := dropped + 1;
	END LOOP;
	DELETE FROM ecauto_data.change_log;
	DELETE FROM ecauto_data.source s WHERE s.origin = 'p';
	DELETE FROM ecauto_data.writer w WHERE w.from_preset;
	DELETE FROM ecauto_data.role_binding b WHERE b.from_preset;
	DELETE FROM ecauto_data.shop;
	RETURN dropped;
END
$$;
COMMENT ON FUNCTION ecauto.detach_shop() IS
'takes every trigger off the shop''s tables, which are then as they were before attach_shop(), and forgets what the preset bound; keeps what was bound by hand and all history; returns the number of triggers';
REVOKE ALL ON FUNCTION ecauto.detach_shop() FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.capture_gaps()
RETURNS TABLE (role text, gap text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT s.role, CASE
	WHEN r.relation IS NULL THEN format('table "%s.%s" does not exist', s.schema_name, s.table_name)
	WHEN a.attname IS NULL THEN format('column "%s" of table "%s.%s" does not exist', s.key_column, s.schema_name, s.table_name)
	ELSE format('table "%s.%s" has no capture trigger', s.schema_name, s.table_name) END
	|| '; attach the shop again'
FROM ecauto_data.source s
-- not to_regclass(), which fails for who may not look into the shop's schema
LEFT JOIN (SELECT c.oid AS relation, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace) r
	ON r.nspname = s.schema_name AND r.relname = s.table_name
LEFT JOIN pg_attribute a ON a.attrelid = r.relation AND a.attname = s.key_column AND NOT a.attisdropped
-- a trigger with this tap watches, even if the shop renamed the table
WHERE NOT EXISTS (
	SELECT FROM ecauto.capture_triggers() t
	WHERE t.each_row AND t.always
	AND EXISTS (SELECT FROM unnest(t.taps) arg, pg_attribute c
		WHERE split_part(arg, ':', 1)::integer = s.tap AND c.attrelid = t.relation AND NOT c.attisdropped AND c.attnum > 0
		AND (c.attname = substring(arg FROM '^[0-9]+:[0-9]+:(.*)$') OR c.attnum = split_part(arg, ':', 2)::integer)))
UNION ALL
SELECT s.role, format('the resolving query of table "%s.%s" fails: %s; bind the source again with ecauto.bind_source()',
	s.schema_name, s.table_name, s.broken_message)
FROM ecauto_data.source s WHERE s.broken_message IS NOT NULL
$$;
COMMENT ON FUNCTION ecauto.capture_gaps() IS
'part of check_shop(): sources whose changes nobody notes, or whose resolving query fails';
REVOKE ALL ON FUNCTION ecauto.capture_gaps() FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.check_shop()
RETURNS TABLE (role text, ok boolean, rows bigint, detail text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	attached boolean;
	seen record;
	gaps text;
BEGIN
	PERFORM ecauto.require_shop('check a shop');
	attached := EXISTS (SELECT FROM ecauto_data.shop);

	FOR seen IN
		SELECT r.*, b.broken_at, b.broken_message
		FROM ecauto.read_roles() r LEFT JOIN ecauto_data.role_binding b ON b.role = r.role
		WHERE r.bound OR r.needed
	LOOP
		role := seen.role;
		rows := seen.rows;
		IF NOT seen.bound THEN
			ok := false;
			detail := 'not bound, and every shop needs it';
		ELSIF seen.message IS NOT NULL THEN
			ok := false;
			detail := format('%s (%s)', seen.message, seen.code);
		ELSE
			SELECT string_agg(g.gap, '; ') INTO gaps
			FROM ecauto.capture_gaps() g WHERE attached AND g.role = seen.role;
			ok := gaps IS NULL;
			detail := coalesce(gaps, ecauto.capture_unasked(seen.role), CASE
				WHEN seen.broken_at IS NOT NULL THEN format('was broken (%s); the next tick compares all its rows', seen.broken_message) END);
		END IF;
		RETURN NEXT;
	END LOOP;

	FOR seen IN
		SELECT w.action, w.proved_at, w.note, to_regrole(quote_ident(w.definer)) AS definer, w.definer AS definer_name
		FROM ecauto_data.writer w ORDER BY w.action
	LOOP
		role := seen.action;
		rows := NULL;
		ok := seen.proved_at IS NOT NULL AND seen.definer IS NOT NULL;
		detail := CASE
			WHEN seen.definer IS NULL THEN format('role "%s", which bound it, does not exist any more', seen.definer_name)
			WHEN seen.proved_at IS NULL THEN 'not proved: there was no row to try it on; bind it again'
			ELSE format('proved on %s', seen.note) END;
		RETURN NEXT;
	END LOOP;

	IF NOT attached THEN
		role := 'shop';
		rows := NULL;
		ok := false;
		detail := 'not attached: see ecauto.attach_shop()';
		RETURN NEXT;
	END IF;
END
$$;
COMMENT ON FUNCTION ecauto.check_shop() IS
'reads every role now and says which cannot be read and why, where capture is missing, and which writers are not proved; one row for each role that is bound or that every shop needs, and for each writer';
REVOKE ALL ON FUNCTION ecauto.check_shop() FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.unbind_role(role text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM ecauto.require_shop('unbind a role');
	DELETE FROM ecauto_data.source s WHERE s.bound_with = unbind_role.role;
	DELETE FROM ecauto_data.role_binding b WHERE b.role = unbind_role.role;
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ecauto.unbind_role(text) IS
'forgets the query and the sources of a role, so that the next attach_shop() takes what the preset says; false if nothing was bound';
REVOKE ALL ON FUNCTION ecauto.unbind_role(text) FROM PUBLIC;

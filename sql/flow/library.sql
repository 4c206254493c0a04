-- Templates of flows: files in library/, which assemble.sh makes the rows of
-- ecauto.library().  A file has
--
--	title		what it is for
--	needs		roles, each with the columns that the shop must have
--	parameters	by name: about, type (string, number, boolean), default
--	one_of		parameters of which one must be given
--	mails		by suffix of their names: subject, html (lines), sample
--	flows		by suffix of their names: definitions
--
-- In strings <<name>> stands for a parameter; alone in a string it is the value
-- itself, and a member whose parameter is not given is left out.  A step
-- {"given": parameter, "do": [...]} stands for its steps if that is given.

CREATE OR REPLACE FUNCTION ecauto.library_fill(value jsonb, params jsonb)
RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	result jsonb;
	item record;
	filled jsonb;
	said text := value #>> '{}';
	parameter text;
BEGIN
	CASE jsonb_typeof(value)
	WHEN 'object' THEN
		result := '{}';
		FOR item IN SELECT * FROM jsonb_each(value) LOOP
			filled := ecauto.library_fill(item.value, params);
			IF filled IS NOT NULL THEN
				result := result || jsonb_build_object(item.key, filled);
			END IF;
		END LOOP;
	WHEN 'array' THEN
		result := '[]';
		FOR item IN SELECT * FROM jsonb_array_elements(value) LOOP
			IF jsonb_typeof(item.value) = 'object' AND item.value ? 'given' THEN
				IF params ? (item.value ->> 'given') THEN
					result := result || ecauto.library_fill(item.value -> 'do', params);
				END IF;
			ELSE
				result := result || jsonb_build_array(ecauto.library_fill(item.value, params));
			END IF;
		END LOOP;
	WHEN 'string' THEN
		IF said ~ '^<<\w+>>$' THEN
			RETURN params -> btrim(said, '<>');
		END IF;
		FOR parameter IN SELECT DISTINCT m[1] FROM regexp_matches(said, '<<(\w+)>>', 'g') m LOOP
			said := replace(said, '<<' || parameter || '>>', coalesce(params ->> parameter, ''));
		END LOOP;
		result := to_jsonb(said);
	ELSE
		result := value;
	END CASE;
	RETURN result;
END
$$;
COMMENT ON FUNCTION ecauto.library_fill(jsonb, jsonb) IS
'part of ecauto.install_template(): a piece of a template with its parameters filled in; NULL if it is one that is not given';

CREATE OR REPLACE FUNCTION ecauto.template_library()
RETURNS TABLE (
	name text, version integer, title text, parameters jsonb, needs jsonb, flows text[], mails text[], installed text[])
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT l.template, (l.definition -> 'version')::integer, l.definition ->> 'title', l.definition -> 'parameters', l.definition -> 'needs',
	ARRAY(SELECT l.template || k FROM jsonb_object_keys(l.definition -> 'flows') k ORDER BY k),
	ARRAY(SELECT l.template || k FROM jsonb_object_keys(l.definition -> 'mails') k ORDER BY k),
	ARRAY(SELECT i.name FROM ecauto_data.installed_template i WHERE i.template = l.template ORDER BY i.name)
FROM ecauto.library() l ORDER BY l.template
$$;
COMMENT ON FUNCTION ecauto.template_library() IS
'templates of flows that ecauto.install_template() knows: parameters by name with what they are about, type and default; needs: roles and those of their columns that the shop must have; flows and mails that it makes; installed: under which names it is; needs SELECT on ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.template_filled(template text, params jsonb)
RETURNS TABLE (kind text, object text, definition jsonb)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH filled AS MATERIALIZED (
	-- what a step "mail" says in {{ }} is not ours; html is lines
	SELECT l.definition -> 'mails' AS mails, ecauto.library_fill(l.definition -> 'flows', $2) AS flows
	FROM ecauto.library() l WHERE l.template = $1)
SELECT 'mail', ($2 ->> 'name') || m.key, m.value || jsonb_build_object('html',
	(SELECT string_agg(t.line, E'\n' ORDER BY t.n) FROM jsonb_array_elements_text(m.value -> 'html') WITH ORDINALITY AS t (line, n)))
FROM filled f, jsonb_each(f.mails) m
UNION ALL
SELECT 'flow', ($2 ->> 'name') || w.key, w.value FROM filled f, jsonb_each(f.flows) w
$$;
COMMENT ON FUNCTION ecauto.template_filled(text, jsonb) IS
'mails and flows of a template with all its parameters, "name" too: what ecauto.install_template() makes; no rows if there is no such template';

CREATE OR REPLACE FUNCTION ecauto.install_template(name text, params jsonb DEFAULT '{}')
RETURNS TABLE (kind text, object text, version integer)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	template constant text := name;
	definition jsonb;
	own constant text[] := '{name,enable}';
	given jsonb;
	installed text;
	word text;
	wanted record;
	made record;
BEGIN
	IF template IS NULL OR params IS NULL THEN
		RAISE EXCEPTION '% must not be null', CASE WHEN template IS NULL THEN 'name of a template' ELSE 'parameters of a template' END
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	SELECT l.definition INTO definition FROM ecauto.library() l WHERE l.template = install_template.name;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'template "%" does not exist', template
			USING ERRCODE = 'undefined_object',
				HINT = format('There are %s.', (SELECT string_agg(l.template, ', ' ORDER BY l.template) FROM ecauto.library() l));
	END IF;
	IF jsonb_typeof(params) <> 'object' THEN
		RAISE EXCEPTION 'parameters of a template must be an object'
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Such as {"after": "2 hours"}; ecauto.template_library() lists them.';
	END IF;

	-- parameters
	FOR wanted IN SELECT p.key, p.value, definition -> 'parameters' -> p.key ->> 'type' AS type FROM jsonb_each(params) p ORDER BY p.key LOOP
		IF wanted.type IS NULL AND wanted.key <> ALL (own) THEN
			RAISE EXCEPTION 'template "%" has no parameter "%"', template, wanted.key
				USING ERRCODE = 'invalid_parameter_value',
					HINT = format('Its parameters are %s, name and enable.', (SELECT string_agg(k, ', ' ORDER BY k) FROM jsonb_object_keys(definition -> 'parameters') k));
		END IF;
		word := coalesce(wanted.type, CASE wanted.key WHEN 'enable' THEN 'boolean' ELSE 'string' END);
		IF jsonb_typeof(wanted.value) NOT IN (word, 'null') THEN
			RAISE EXCEPTION 'parameter "%" of template "%" must be a %', wanted.key, template, word
				USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', wanted.value);
		END IF;
	END LOOP;
	SELECT coalesce(jsonb_object_agg(p.key, p.value -> 'default'), '{}') INTO given
	FROM jsonb_each(definition -> 'parameters') p WHERE p.value ? 'default';
	given := jsonb_build_object('name', template) || given || jsonb_strip_nulls(params);
	installed := given ->> 'name';
	IF installed !~ '^[a-z][a-z0-9_]{0,39}$' THEN
		RAISE EXCEPTION 'invalid name of an installed template'
			USING ERRCODE = 'invalid_name', DETAIL = format('The name is %s.', quote_literal(installed)),
				HINT = 'It is made of at most 40 small letters, digits and underscores, and begins with a letter.';
	END IF;
	IF definition ? 'one_of' AND NOT EXISTS (SELECT FROM jsonb_array_elements_text(definition -> 'one_of') o WHERE given ? o) THEN
		RAISE EXCEPTION 'template "%" needs one of the parameters %', template,
				(SELECT string_agg(o, ', ') FROM jsonb_array_elements_text(definition -> 'one_of') o)
			USING ERRCODE = 'invalid_parameter_value';
	END IF;

	-- what the shop must have
	FOR wanted IN SELECT n.key AS role, c.name AS column_name, b.role IS NOT NULL AS bound, b.columns
		FROM jsonb_each(definition -> 'needs') n
		LEFT JOIN ecauto_data.role_binding b ON b.role = n.key
		LEFT JOIN LATERAL jsonb_array_elements_text(n.value) c (name) ON true
		ORDER BY n.key, c.name
	LOOP
		IF NOT wanted.bound THEN
			RAISE EXCEPTION 'template "%" needs role "%"', template, wanted.role
				USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = 'The role is not bound.',
					HINT = 'Bind it with ecauto.bind_role() or ecauto.bind_table(), or attach a shop that has it.';
		ELSIF wanted.column_name IS NOT NULL AND wanted.column_name <> ALL (wanted.columns) THEN
			RAISE EXCEPTION 'template "%" needs column "%" of role "%"', template, wanted.column_name, wanted.role
				USING ERRCODE = 'undefined_column', DETAIL = 'The query that is bound to the role does not return it.',
					HINT = 'Bind the role to a query that does.';
		END IF;
	END LOOP;

	-- nobody else's flows and mails
	FOR made IN SELECT f.kind, f.object FROM ecauto.template_filled(template, given) f
		WHERE CASE f.kind WHEN 'flow' THEN EXISTS (SELECT FROM ecauto_data.flow x WHERE x.name = f.object)
			ELSE EXISTS (SELECT FROM ecauto_data.mail_template x WHERE x.name = f.object) END
	LOOP
		IF NOT EXISTS (SELECT FROM ecauto_data.installed_template i WHERE i.name = installed AND i.template = install_template.name) THEN
			RAISE EXCEPTION '% "%" exists already', CASE made.kind WHEN 'flow' THEN 'flow' ELSE 'mail template' END, made.object
				USING ERRCODE = 'duplicate_object', HINT = 'Give another name: {"name": "..."}.';
		END IF;
	END LOOP;

	INSERT INTO ecauto_data.installed_template AS i (name, template, version, params, installed_at, installed_by)
	VALUES (installed, template, (definition -> 'version')::integer, given - own, ecauto.now(), current_user)
	ON CONFLICT ON CONSTRAINT installed_template_pkey DO UPDATE
	SET version = excluded.version, params = excluded.params, installed_at = excluded.installed_at, installed_by = excluded.installed_by;
	FOR made IN SELECT f.kind, f.object, f.definition FROM ecauto.template_filled(template, given) f
		ORDER BY f.kind DESC, f.object
	LOOP
		kind := made.kind;
		object := made.object;
		IF made.kind = 'flow' THEN
			version := ecauto.create_flow(made.object, made.definition);
			IF (given ->> 'enable')::boolean THEN
				PERFORM ecauto.enable_flow(made.object);
			END IF;
		ELSE
			version := ecauto.create_template(made.object, made.definition ->> 'subject', made.definition ->> 'html',
				sample => made.definition -> 'sample');
		END IF;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION ecauto.install_template(text, jsonb) IS
'makes the mails and flows of a template (ecauto.template_library() lists them with their parameters) and tells what they are called; parameters of all: "name" (of what is made; default that of the template) and "enable" (true: the flows are enabled at once); installed again under its name it makes new versions; if the shop lacks a role or a column the error names it and nothing is installed; for operators';
REVOKE ALL ON FUNCTION ecauto.install_template(text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.diff_template(name text DEFAULT NULL)
RETURNS TABLE (name text, template text, kind text, object text, state text, installed jsonb, library jsonb)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT i.name, i.template, f.kind, f.object,
	CASE WHEN now.definition IS NULL THEN 'missing' WHEN now.definition = lib.definition THEN 'same'
		WHEN i.version < (l.definition -> 'version')::integer THEN 'outdated' ELSE 'changed' END,
	now.definition, lib.definition
FROM ecauto_data.installed_template i
JOIN ecauto.library() l ON l.template = i.template
CROSS JOIN LATERAL ecauto.template_filled(i.template, i.params || jsonb_build_object('name', i.name)) f
CROSS JOIN LATERAL (SELECT CASE f.kind WHEN 'flow' THEN f.definition
	ELSE jsonb_build_object('subject', f.definition -> 'subject', 'html', f.definition -> 'html') END AS definition) lib
CROSS JOIN LATERAL (SELECT CASE f.kind
	WHEN 'flow' THEN (SELECT v.definition FROM ecauto_data.flow w JOIN ecauto_data.flow_version v ON v.flow = w.id AND v.version = w.version WHERE w.name = f.object)
	ELSE (SELECT jsonb_build_object('subject', m.subject, 'html', m.html) FROM ecauto_data.mail_template m WHERE m.name = f.object AND m.locale = '') END AS definition) now
WHERE $1 IS NULL OR i.name = $1
ORDER BY i.name, f.kind, f.object
$$;
COMMENT ON FUNCTION ecauto.diff_template(text) IS
'how mails and flows of an installed template (NULL: of all) differ from what the library would make now: same, changed (by hand), outdated (the library has a newer version), missing; needs SELECT on ecauto_data';

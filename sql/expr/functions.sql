CREATE OR REPLACE FUNCTION ecauto.check_condition(condition text, scope jsonb)
RETURNS text
AS 'MODULE_PATHNAME', 'ecauto_check_condition'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ecauto.check_condition(text, jsonb) IS
'checks that a text is a condition over the rows of a scope ({"row": {"column": "type"}}) and returns it as it was understood, with types and brackets; else an error that points into the text';

CREATE OR REPLACE FUNCTION ecauto.compile_condition(condition text, scope jsonb, columns jsonb DEFAULT NULL, as_of text DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'ecauto_compile_condition'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ecauto.compile_condition(text, jsonb, jsonb, text) IS
'the SQL of a condition, to be pasted into a statement that runs under search_path pg_catalog; columns: SQL that stands for a column ({"row.column": "sql"}), the name itself if nothing is said; as_of: SQL that stands for ecauto.now()';

CREATE OR REPLACE FUNCTION ecauto.condition_self_contained(condition text, scope jsonb)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_condition_self_contained'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ecauto.condition_self_contained(text, jsonb) IS
'does a condition compute over the rows in scope alone, by functions of the server that give the same whoever calls them; such a condition is evaluated in one statement with ecauto''s own tables';

CREATE OR REPLACE FUNCTION ecauto.evaluate(condition text, scope jsonb, data jsonb, as_of timestamptz DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_evaluate'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ecauto.evaluate(text, jsonb, jsonb, timestamptz) IS
'is a condition true of data ({"row": {"column": value}}; what is missing is NULL) at a time (default ecauto.now()); NULL if that cannot be said because a value is NULL';

CREATE OR REPLACE FUNCTION ecauto.explain_condition(condition text, scope jsonb, data jsonb, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (path text, depth integer, expression text, result boolean, operands jsonb, remedy text)
AS 'MODULE_PATHNAME', 'ecauto_explain_condition'
LANGUAGE C STABLE PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION ecauto.explain_condition(text, jsonb, jsonb, timestamptz) IS
'why evaluate() says what it says: each part of the condition, the whole first (path 1, its parts 1.1, 1.2, ...), with its result, the values that decide it and, unless it is as it should be, what would make it so';

CREATE OR REPLACE FUNCTION ecauto.condition_changes_at(condition text, scope jsonb, data jsonb, as_of timestamptz DEFAULT NULL)
RETURNS timestamptz
AS 'MODULE_PATHNAME', 'ecauto_condition_changes_at'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ecauto.condition_changes_at(text, jsonb, jsonb, timestamptz) IS
'the first instant after as_of (default ecauto.now()) at which a part of the condition has another value if nothing but time changes; the condition as a whole does not change earlier; NULL: never; as_of itself: it depends on time in a way that cannot be foreseen';

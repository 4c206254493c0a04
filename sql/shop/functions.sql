CREATE OR REPLACE FUNCTION ecauto.role_columns()
RETURNS TABLE (role text, "column" text, type text, need text, "default" text)
AS 'MODULE_PATHNAME', 'ecauto_role_columns'
LANGUAGE C STABLE STRICT PARALLEL SAFE ROWS 100;
COMMENT ON FUNCTION ecauto.role_columns() IS
'the roles that a shop can have and their columns; need: required in a query bound to the role, defaulted (the default stands for a missing column) or optional (NULL does)';

CREATE OR REPLACE FUNCTION ecauto.bind_role(role text, query text)
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_bind_role'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.bind_role(text, text) IS
'binds a role to a query that returns its columns from the shop''s tables, and returns the number of rows; the query runs as the current role with the current search_path; replaces what was bound, heals a broken role';
REVOKE ALL ON FUNCTION ecauto.bind_role(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.bind_table(role text, relation regclass, columns jsonb)
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_bind_table'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.bind_table(text, regclass, jsonb) IS
'binds a role to a table or view: columns maps columns of the role to columns of the relation, to SQL expressions over them or to constants; if the key is a column of a table, that table is registered as a source too; returns the number of rows';
REVOKE ALL ON FUNCTION ecauto.bind_table(text, regclass, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.bind_source(role text, relation text, key_column text, resolve text DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'ecauto_bind_source'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.bind_source(text, text, text, text) IS
'says that a changed row of a table tells that a row of a role may have changed: which column to note, and, unless it holds the role''s key, a query that turns the noted values ($1, an array or a single one) into keys of the role; runs as the current role with the current search_path';
REVOKE ALL ON FUNCTION ecauto.bind_source(text, text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.resolve_source(tap integer, noted text[])
RETURNS TABLE (role text, keys text[])
AS 'MODULE_PATHNAME', 'ecauto_resolve_source'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.resolve_source(integer, text[]) IS
'what tick() makes of values noted for a tap (see ecauto_data.source): the roles that listen and their keys; NULL stands for every key';
REVOKE ALL ON FUNCTION ecauto.resolve_source(integer, text[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.bind_write(action text, statement text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_bind_write'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.bind_write(text, text) IS
'says by which statement ecauto changes the shop''s tables: set_price and set_price_index ($1 key text, $2 amount numeric, $3 currency text), receive_stock ($1 key text, $2 qty numeric, $3 location text), set_active ($1 key text, $2 active boolean); it is tried on a real row, read back and rolled back; true if that proved it, false if there is no row to try it on; runs as the current role with the current search_path';
REVOKE ALL ON FUNCTION ecauto.bind_write(text, text) FROM PUBLIC;

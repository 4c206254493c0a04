CREATE OR REPLACE FUNCTION ecauto.create_segment(
	name text, condition text, leave_condition text DEFAULT NULL, description text DEFAULT NULL,
	announce boolean DEFAULT false)
RETURNS void
AS 'MODULE_PATHNAME', 'ecauto_create_segment'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.create_segment(text, text, text, text, boolean) IS
'defines a segment: customers for whom the condition over the rows "customer" and "segment" is true; with a leave_condition a member stays until that is true; those who are in it now enter silently unless announce; error if the name is taken, the condition does not stand the check or fails for a customer; it runs as the caller; for operators';
REVOKE ALL ON FUNCTION ecauto.create_segment(text, text, text, text, boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.alter_segment(
	name text, condition text, leave_condition text DEFAULT NULL, announce boolean DEFAULT true)
RETURNS void
AS 'MODULE_PATHNAME', 'ecauto_alter_segment'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.alter_segment(text, text, text, boolean) IS
'gives a segment another condition; who enters or leaves by that is told as events, unless announce is false; error as create_segment(), or if segments would depend on themselves; for operators';
REVOKE ALL ON FUNCTION ecauto.alter_segment(text, text, text, boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.drop_segment(name text)
RETURNS void
AS 'MODULE_PATHNAME', 'ecauto_drop_segment'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.drop_segment(text) IS
'removes a segment; nobody leaves it by that; error if there is none, or if the condition of another speaks of it; for operators';
REVOKE ALL ON FUNCTION ecauto.drop_segment(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.in_segment(customer text, segment text, as_of timestamptz DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_in_segment'
LANGUAGE C STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.in_segment(text, text, timestamptz) IS
'is a customer in a segment at an instant (NULL: ecauto.now()), computed now; false for a customer who is not known, NULL if customer or segment is; error if the segment does not exist; for operators';

CREATE OR REPLACE FUNCTION ecauto.segment_members(segment text, as_of timestamptz DEFAULT NULL)
RETURNS SETOF text
AS 'MODULE_PATHNAME', 'ecauto_segment_members'
LANGUAGE C STABLE PARALLEL UNSAFE ROWS 1000;
COMMENT ON FUNCTION ecauto.segment_members(text, timestamptz) IS
'keys of the customers in a segment at an instant (NULL: ecauto.now()), computed now, in no order; error if it does not exist; for operators';

CREATE OR REPLACE FUNCTION ecauto.segment_sql(segment text)
RETURNS text
AS 'MODULE_PATHNAME', 'ecauto_segment_sql'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.segment_sql(text) IS
'the query that gives the members of a segment, to be read, or run with EXPLAIN, by a role that may read ecauto_data; for operators';

CREATE OR REPLACE FUNCTION ecauto.next_turn(as_of timestamptz, turn timestamptz, around integer)
RETURNS timestamptz
AS 'MODULE_PATHNAME', 'ecauto_next_turn'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.next_turn(timestamptz, timestamptz, integer) IS
'the first instant after as_of at which to look again at something that changes at turn; around: that is exact (0), an hour off at most (1), or days (2); infinity if there is none';

CREATE OR REPLACE FUNCTION ecauto.refresh_segments(
	"full" boolean DEFAULT false, OUT customers bigint, OUT changed bigint, OUT entered bigint, OUT "left" bigint)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_refresh_segments'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.refresh_segments(boolean) IS
'tells who entered and left segments since the last time: looks at customers whose facts changed or whose time has come (full: at all), as every tick does; customers looked at (NULL if full or nearly all), in other segments now, events of enter and leave, which the next tick''s automations see; for operators';
REVOKE ALL ON FUNCTION ecauto.refresh_segments(boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.explain_segment(segment text, customer text, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (
	path text, depth integer, expression text, result boolean, operands jsonb, remedy text,
	near_miss text, leaves_at timestamptz, enters_at timestamptz)
AS 'MODULE_PATHNAME', 'ecauto_explain_segment'
LANGUAGE C STABLE PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION ecauto.explain_segment(text, text, timestamptz) IS
'why a customer is in a segment or not at an instant (NULL: ecauto.now()): path 1 is what in_segment() says, the lines below are the parts of its condition with their values and what would make them true; near_miss: the same in few words; leaves_at, enters_at: when that changes if nothing happens, NULL if it does not or cannot be foreseen; for operators';

CREATE OR REPLACE FUNCTION ecauto.create_segment_list(name text, customers text[] DEFAULT '{}', description text DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_create_segment_list'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.create_segment_list(text, text[], text) IS
'defines a segment that is a list of customers, by key, and returns how many are in it; they enter silently; error if the name is taken; for operators';
REVOKE ALL ON FUNCTION ecauto.create_segment_list(text, text[], text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.add_to_segment(segment text, customers text[])
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_add_to_segment'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.add_to_segment(text, text[]) IS
'adds customers, by key, to a segment that is a list, and returns how many were not in it; they enter; error if it has a condition; for operators';
REVOKE ALL ON FUNCTION ecauto.add_to_segment(text, text[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.remove_from_segment(segment text, customers text[])
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_remove_from_segment'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.remove_from_segment(text, text[]) IS
'takes customers, by key, from a segment that is a list, and returns how many were in it; they leave; error if it has a condition; for operators';
REVOKE ALL ON FUNCTION ecauto.remove_from_segment(text, text[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.snapshot_segment(segment text, name text, as_of timestamptz DEFAULT NULL)
RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT ecauto.create_segment_list($2,
	(SELECT coalesce(array_agg(m), '{}') FROM ecauto.segment_members($1, $3) m),
	format('members of segment "%s" at %s', $1, coalesce($3, ecauto.now())))
$$;
COMMENT ON FUNCTION ecauto.snapshot_segment(text, text, timestamptz) IS
'keeps the members of a segment at an instant (NULL: ecauto.now()) as a list of its own, which does not change by itself, and returns how many there are; for operators';

CREATE OR REPLACE FUNCTION ecauto.segment_overlap(as_of timestamptz DEFAULT NULL)
RETURNS TABLE (segment text, other text, members bigint, other_members bigint, common bigint, share double precision)
AS 'MODULE_PATHNAME', 'ecauto_segment_overlap'
LANGUAGE C STABLE PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION ecauto.segment_overlap(timestamptz) IS
'each pair of segments that have members at an instant (NULL: ecauto.now()): how many, how many in both, and their share (0 to 1) of those in either, most alike first; for operators';

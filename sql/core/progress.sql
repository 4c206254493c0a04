-- How far long work has come.

CREATE OR REPLACE FUNCTION ecauto.progress(
	OUT pid integer, OUT command text, OUT phase text, OUT done bigint, OUT total bigint, OUT started_at timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ecauto_progress'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 2;
COMMENT ON FUNCTION ecauto.progress() IS
'long work of ecauto that is under way in this database, in whatever session: its process (pg_cancel_backend() ends it), the function, its phase (NULL: none yet), how much of the phase is done and of how much (NULL: not known), since when by the server''s clock; no rows if ecauto is not in shared_preload_libraries';

CREATE OR REPLACE FUNCTION ecauto.progress_begin(command text)
RETURNS void
AS 'MODULE_PATHNAME', 'ecauto_progress_begin'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ecauto.progress_begin(text) IS
'long work of this session begins, and is shown by ecauto.progress() until ecauto.progress_end() or the end of the transaction; within other such work it is shown instead of it; the first 63 bytes of the name are';

CREATE OR REPLACE FUNCTION ecauto.progress_phase(phase text, total bigint DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'ecauto_progress_phase'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ecauto.progress_phase(text, bigint) IS
'the next part of the work that ecauto.progress_begin() told of begins, in which so many things are to be done (NULL: not known); does nothing outside such work';

CREATE OR REPLACE FUNCTION ecauto.progress_advance(n bigint DEFAULT 1)
RETURNS void
AS 'MODULE_PATHNAME', 'ecauto_progress_advance'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ecauto.progress_advance(bigint) IS
'so many more things of the phase are done; does nothing outside such work';

CREATE OR REPLACE FUNCTION ecauto.progress_end()
RETURNS void
AS 'MODULE_PATHNAME', 'ecauto_progress_end'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ecauto.progress_end() IS
'the work that ecauto.progress_begin() told of last is done; does nothing outside such work';

CREATE OR REPLACE FUNCTION ecauto.capture_failed()
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_capture_failed'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.capture_failed() IS
'could some change of the shop not be noted since the last tick, which then compares everything?';

CREATE OR REPLACE FUNCTION ecauto.deliver(
	OUT delivered bigint, OUT retried bigint, OUT dead bigint)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_deliver'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.deliver() IS
'delivers what is due now and returns how many messages were delivered, are to be tried again, and are dead; for use by hand or from pg_cron where no worker runs, harmless where one does; a background process does it, so it does not see what the calling transaction itself has enqueued; for operators';
REVOKE ALL ON FUNCTION ecauto.deliver() FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.worker_status(
	OUT worker text, OUT pid integer, OUT state text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ecauto_worker_status'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 2;
COMMENT ON FUNCTION ecauto.worker_status() IS
'the background processes of this database: tick runs the automation, delivery sends messages; pid is NULL if it does not run, and state says why; what it does just now is in pg_stat_activity';

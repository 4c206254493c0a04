CREATE OR REPLACE FUNCTION ecauto.status()
RETURNS TABLE (item text, value text, detail text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	latest constant integer := 1;
	r record;
BEGIN
	item := 'extension';
	value := (SELECT extversion FROM pg_extension WHERE extname = 'ecauto');
	detail := NULL;
	RETURN NEXT;

	item := 'state';
	IF to_regclass('ecauto_data.schema_version') IS NULL THEN
		value := 'missing';
		detail := 'Run SELECT ecauto.setup().';
		RETURN NEXT;
		RETURN;
	END IF;
	value := (SELECT max(v.version)::text FROM ecauto_data.schema_version v);
	detail := CASE WHEN value::integer < latest THEN 'It is older than the extension: run SELECT ecauto.setup().'
		WHEN value::integer > latest THEN 'It is newer than the extension: install the newer one.' END;
	RETURN NEXT;
	IF detail IS NOT NULL THEN
		RETURN;
	END IF;

	item := 'shop';
	SELECT s.preset || ' in schema ' || s.schema_name, 'attached ' || to_char(s.attached_at, 'YYYY-MM-DD HH24:MI TZ') INTO value, detail
	FROM ecauto_data.shop s;
	IF NOT FOUND THEN
		value := 'none';
		detail := 'See SELECT * FROM ecauto.detect_shop(), then ecauto.attach_shop().';
	END IF;
	RETURN NEXT;

	item := 'broken roles';
	SELECT count(*)::text, string_agg(format('%s: %s', b.role, b.broken_message), '; ' ORDER BY b.role)
			|| '. Bind them again with ecauto.bind_role(); what was missed appears then.'
	INTO value, detail
	FROM ecauto_data.role_binding b WHERE b.broken_at IS NOT NULL;
	RETURN NEXT;

	item := 'capture gaps';
	SELECT count(*)::text, string_agg(g.role || ': ' || g.gap, '; ' ORDER BY g.role, g.gap) INTO value, detail
	FROM ecauto.capture_gaps() g WHERE EXISTS (SELECT FROM ecauto_data.shop);
	RETURN NEXT;

	item := 'changes waiting';
	SELECT coalesce(sum(cardinality(l.keys)), 0)::text, CASE
		WHEN count(*) = 0 THEN NULL
		WHEN min(l.at) < clock_timestamp() - interval '1 minute' - current_setting('ecauto.settle_time')::interval
			THEN format('The oldest has waited since %s: is a tick worker running, or is ecauto.tick() called?', to_char(min(l.at), 'YYYY-MM-DD HH24:MI:SS TZ'))
		ELSE 'They rest for ecauto.settle_time.' END
	INTO value, detail
	FROM ecauto_data.change_log l;
	RETURN NEXT;

	item := 'last event';
	SELECT to_char(max(e.at), 'YYYY-MM-DD HH24:MI:SS TZ'), NULL INTO value, detail FROM ecauto_data.event e;
	value := coalesce(value, 'none');
	RETURN NEXT;

	FOR r IN SELECT * FROM ecauto.worker_status() LOOP
		item := r.worker || ' worker';
		value := CASE WHEN r.pid IS NULL THEN 'not running' ELSE 'running' END;
		detail := CASE WHEN r.pid IS NOT NULL THEN 'process ' || r.pid
			WHEN coalesce(current_setting('shared_preload_libraries') !~ '\mecauto\M', true)
				THEN format('Add ecauto to shared_preload_libraries and restart, or call ecauto.%s() from pg_cron.', CASE r.worker WHEN 'tick' THEN 'tick' ELSE 'deliver' END)
			WHEN NOT current_database() = ANY (SELECT btrim(d, ' "') FROM regexp_split_to_table(current_setting('ecauto.databases'), ',') d)
				THEN format('Add %s to ecauto.databases and reload, or call ecauto.%s() from pg_cron.', current_database(), CASE r.worker WHEN 'tick' THEN 'tick' ELSE 'deliver' END)
			ELSE 'The launcher starts it again within a minute; the server log says why it ended.' END;
		RETURN NEXT;
	END LOOP;

	FOR r IN SELECT * FROM ecauto.outbox_status() LOOP
		item := 'endpoint ' || r.endpoint;
		value := r.state;
		detail := format('%s waiting, %s delivered, %s dead', r.waiting, r.delivered, r.dead)
			|| CASE r.state
				WHEN 'missing' THEN '. Messages wait for a foreign server that does not exist: create it, or cancel them.'
				WHEN 'paused' THEN '. ecauto.resume_endpoint() goes on.'
				WHEN 'failing' THEN format('. Too many failures in a row; tried again at %s.', to_char(r.breaker_until, 'HH24:MI:SS TZ'))
				ELSE '' END
			|| CASE WHEN r.last_error IS NOT NULL AND (r.retry > 0 OR r.dead > 0) THEN ' Last error: ' || r.last_error ELSE '' END;
		RETURN NEXT;
	END LOOP;

	FOR r IN SELECT p.sku, p.last_error FROM ecauto_data.stock_policy p WHERE p.last_error IS NOT NULL ORDER BY p.sku LIMIT 20 LOOP
		item := 'stock policy ' || r.sku;
		value := 'not ordered';
		detail := r.last_error;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION ecauto.status() IS
'how ecauto is doing in this database, a row for each thing to look at; detail says what is wrong and what to do, NULL if nothing is; for operators';

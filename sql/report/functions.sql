-- How ecauto is doing, in words.

CREATE OR REPLACE FUNCTION ecauto.status()
RETURNS TABLE (item text, value text, detail text, state text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	latest constant integer := 1;
	-- later than this is behind
	patience constant interval := interval '1 minute' + current_setting('ecauto.settle_time')::interval;
	operator boolean;
	r record;
BEGIN
	state := 'ok';
	item := 'extension';
	value := (SELECT extversion FROM pg_extension WHERE extname = 'ecauto');
	detail := CASE WHEN ecauto.library_version() <> value
		THEN format('The library is of version %s: run ALTER EXTENSION ecauto UPDATE, then SELECT ecauto.setup().', ecauto.library_version()) END;
	RETURN NEXT;

	item := 'state';
	IF to_regclass('ecauto_data.schema_version') IS NULL THEN
		value := 'missing';
		detail := 'Run SELECT ecauto.setup().';
		state := 'error';
		RETURN NEXT;
		RETURN;
	END IF;
	value := (SELECT max(v.version)::text FROM ecauto_data.schema_version v);
	detail := CASE WHEN value::integer < latest THEN 'It is older than the extension: run SELECT ecauto.setup().'
		WHEN value::integer > latest THEN 'It is newer than the extension: install the newer one.' END;
	state := CASE WHEN detail IS NULL THEN 'ok' ELSE 'error' END;
	RETURN NEXT;
	IF detail IS NOT NULL THEN
		RETURN;
	END IF;
	operator := pg_has_role((SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = 'ecauto_data'), 'USAGE');

	-- ---- the shop ----
	item := 'shop';
	SELECT s.preset || ' in schema ' || s.schema_name, 'attached ' || to_char(s.attached_at, 'YYYY-MM-DD HH24:MI TZ'), 'ok' INTO value, detail, state
	FROM ecauto_data.shop s;
	IF NOT FOUND THEN
		value := 'none';
		detail := 'See SELECT * FROM ecauto.detect_shop(), then ecauto.attach_shop().';
		state := 'warning';
	END IF;
	RETURN NEXT;

	item := 'broken roles';
	SELECT count(*)::text, string_agg(format('%s: %s', b.role, b.broken_message), '; ' ORDER BY b.role)
			|| '. Bind them again with ecauto.bind_role(); what was missed appears then.',
		CASE WHEN count(*) > 0 THEN 'error' ELSE 'ok' END
	INTO value, detail, state
	FROM ecauto_data.role_binding b WHERE b.broken_at IS NOT NULL;
	RETURN NEXT;

	item := 'capture gaps';
	SELECT count(*)::text, string_agg(g.role || ': ' || g.gap, '; ' ORDER BY g.role, g.gap), CASE WHEN count(*) > 0 THEN 'warning' ELSE 'ok' END
	INTO value, detail, state
	FROM ecauto.capture_gaps() g WHERE EXISTS (SELECT FROM ecauto_data.shop);
	RETURN NEXT;

	item := 'roles to compare';
	SELECT count(*)::text, 'All rows of ' || string_agg(b.role, ', ' ORDER BY b.role) || ' are compared by the next tick.', 'ok' INTO value, detail, state
	-- lines and the like are read with what they belong to, never by themselves
	FROM ecauto_data.role_binding b WHERE b.resync AND b.broken_at IS NULL AND to_regclass('ecauto_data.seen_' || b.role) IS NOT NULL
		AND EXISTS (SELECT FROM ecauto_data.shop);
	RETURN NEXT;

	item := 'capture failures';
	value := CASE WHEN ecauto.capture_failed() THEN 'some' ELSE 'none' END;
	state := CASE value WHEN 'some' THEN 'warning' ELSE 'ok' END;
	detail := CASE value WHEN 'some' THEN 'Some changes could not be noted; the next tick compares everything, and the server log says why.' END;
	RETURN NEXT;

	item := 'changes waiting';
	SELECT coalesce(sum(cardinality(l.keys)), 0)::text, CASE
		WHEN count(*) = 0 THEN NULL
		WHEN min(l.at) < clock_timestamp() - patience
			THEN format('The oldest has waited since %s: is a tick worker running, or is ecauto.tick() called?', to_char(min(l.at), 'YYYY-MM-DD HH24:MI:SS TZ'))
		ELSE 'They rest for ecauto.settle_time.' END,
		CASE WHEN min(l.at) < clock_timestamp() - patience THEN 'error' ELSE 'ok' END
	INTO value, detail, state
	FROM ecauto_data.change_log l;
	RETURN NEXT;

	item := 'last event';
	state := 'ok';
	SELECT to_char(max(e.at), 'YYYY-MM-DD HH24:MI:SS TZ'), NULL INTO value, detail FROM ecauto_data.event e;
	value := coalesce(value, 'none');
	RETURN NEXT;

	-- ---- who does the work ----
	FOR r IN SELECT * FROM ecauto.worker_status() LOOP
		item := r.worker || ' worker';
		value := CASE WHEN r.pid IS NULL THEN 'not running' ELSE 'running' END;
		state := CASE WHEN r.pid IS NULL THEN 'warning' ELSE 'ok' END;
		detail := CASE WHEN r.pid IS NOT NULL THEN 'process ' || r.pid
			WHEN pg_has_role('pg_read_all_settings', 'USAGE') AND current_setting('shared_preload_libraries') !~ '\mecauto\M'
				THEN format('Add ecauto to shared_preload_libraries and restart, or call ecauto.%s() from pg_cron.', CASE r.worker WHEN 'tick' THEN 'tick' ELSE 'deliver' END)
			WHEN NOT current_database() = ANY (SELECT btrim(d, ' "') FROM regexp_split_to_table(current_setting('ecauto.databases'), ',') d)
				THEN format('Add %s to ecauto.databases and reload, or call ecauto.%s() from pg_cron.', current_database(), CASE r.worker WHEN 'tick' THEN 'tick' ELSE 'deliver' END)
			ELSE 'The launcher starts it again within a minute; the server log says why it ended.' END;
		RETURN NEXT;
	END LOOP;

	item := 'pg_cron';
	value := CASE WHEN EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_cron') THEN 'installed'
		WHEN pg_has_role('pg_read_all_settings', 'USAGE') AND current_setting('shared_preload_libraries') ~ '\mpg_cron\M'
			THEN CASE WHEN coalesce(current_setting('cron.database_name', true), 'postgres') = current_database() THEN 'not created' ELSE 'in database ' || coalesce(current_setting('cron.database_name', true), 'postgres') END
		ELSE 'missing' END;
	state := CASE WHEN value IN ('missing', 'not created') THEN 'warning' ELSE 'ok' END;
	detail := CASE value WHEN 'missing' THEN 'Nightly work is not scheduled by itself: add pg_cron to shared_preload_libraries, restart and CREATE EXTENSION pg_cron, or call the same jobs by another scheduler.'
		WHEN 'not created' THEN 'Run CREATE EXTENSION pg_cron.' END;
	RETURN NEXT;

	IF operator AND has_function_privilege('ecauto.schedule_status()', 'EXECUTE') THEN
		FOR r IN SELECT CASE WHEN j.state = 'not scheduled' THEN 'jobs' ELSE 'job ' || j.job END AS item, j.state, min(j.detail) AS detail,
				count(*) AS n, string_agg(j.job, ', ') AS jobs
			FROM ecauto.schedule_status() j GROUP BY 1, 2 ORDER BY 1 DESC LOOP
			item := r.item;
			value := CASE WHEN r.state = 'not scheduled' THEN r.n || ' not scheduled' ELSE r.state END;
			state := CASE WHEN r.state = 'failed' THEN 'error' WHEN r.state IN ('behind', 'unattended', 'not scheduled') THEN 'warning' ELSE 'ok' END;
			detail := CASE WHEN r.state = 'not scheduled' THEN format('%s: %s', r.jobs, r.detail) ELSE r.detail END;
			RETURN NEXT;
		END LOOP;
	END IF;

	FOR r IN SELECT g.* FROM ecauto.progress() g LOOP
		item := 'running ' || r.command;
		value := coalesce(r.phase, 'begun') || CASE WHEN r.total > 0 THEN format(' %s of %s', r.done, r.total) ELSE '' END;
		state := CASE WHEN r.started_at < clock_timestamp() - interval '1 hour' THEN 'warning' ELSE 'ok' END;
		detail := format('process %s, since %s', r.pid, to_char(r.started_at, 'YYYY-MM-DD HH24:MI:SS TZ'))
			|| CASE state WHEN 'warning' THEN format('; SELECT pg_cancel_backend(%s) ends it.', r.pid) ELSE '' END;
		RETURN NEXT;
	END LOOP;

	-- ---- messages ----
	FOR r IN SELECT * FROM ecauto.outbox_status() LOOP
		item := 'endpoint ' || r.endpoint;
		value := r.state;
		state := CASE WHEN r.state IN ('missing', 'failing') THEN 'error' WHEN r.state = 'paused' OR r.retry > 0
			OR r.oldest < ecauto.now() - interval '15 minutes' THEN 'warning' ELSE 'ok' END;
		detail := format('%s waiting, %s delivered, %s dead', r.waiting, r.delivered, r.dead)
			|| CASE r.state
				WHEN 'missing' THEN '. Messages wait for a foreign server that does not exist: create it, or cancel them.'
				WHEN 'paused' THEN '. ecauto.resume_endpoint() goes on.'
				WHEN 'failing' THEN format('. Too many failures in a row; tried again at %s.', to_char(r.breaker_until, 'HH24:MI:SS TZ'))
				ELSE CASE WHEN r.oldest < ecauto.now() - interval '15 minutes' THEN format('. The oldest is due since %s: is a delivery worker running, or is ecauto.deliver() called?',
					to_char(r.oldest, 'YYYY-MM-DD HH24:MI TZ')) ELSE '' END END
			|| CASE WHEN r.last_error IS NOT NULL AND (r.retry > 0 OR r.dead > 0) THEN ' Last error: ' || r.last_error ELSE '' END;
		RETURN NEXT;
	END LOOP;

	item := 'dead messages';
	SELECT count(*)::text, CASE WHEN count(*) > 0 THEN format('Of the last 7 days, to %s. See ecauto.messages(NULL, %L); ecauto.redrive(endpoint) tries them again.',
			string_agg(DISTINCT h.endpoint, ', '), 'dead') END, CASE WHEN count(*) > 0 THEN 'warning' ELSE 'ok' END
	INTO value, detail, state
	FROM ecauto_data.outbox_history h WHERE h.state = 'dead' AND h.finished_at > ecauto.now() - interval '7 days';
	RETURN NEXT;

	-- ---- automations ----
	state := 'error';
	FOR r IN SELECT f.name, f.error FROM ecauto_data.flow f WHERE f.enabled AND f.error IS NOT NULL ORDER BY f.name LIMIT 20 LOOP
		item := 'flow ' || r.name;
		value := 'not started';
		detail := r.error || '. Correct it with ecauto.create_flow(), or ecauto.disable_flow() it.';
		RETURN NEXT;
	END LOOP;

	FOR r IN SELECT f.name, count(*) AS n, min(u.error) AS error FROM ecauto_data.flow_run u JOIN ecauto_data.flow f ON f.id = u.flow
			WHERE u.state = 'failed' GROUP BY 1 ORDER BY 1 LIMIT 20 LOOP
		item := 'runs of flow ' || r.name;
		value := r.n || ' failed';
		state := 'warning';
		detail := coalesce(r.error || '. ', '') || format('See ecauto.runs(%L, %L), then ecauto.retry_run() or ecauto.cancel_run().', r.name, 'failed');
		RETURN NEXT;
	END LOOP;

	FOR r IN SELECT s.name, s.broken_message FROM ecauto_data.segment s WHERE s.broken_at IS NOT NULL ORDER BY s.name LIMIT 20 LOOP
		item := 'segment ' || r.name;
		value := 'broken';
		state := 'error';
		detail := coalesce(r.broken_message, '') || '. Its members stay as they are; ecauto.alter_segment() gives it another condition.';
		RETURN NEXT;
	END LOOP;

	FOR r IN SELECT s.name, s.error FROM ecauto_data.score_rule s WHERE s.enabled AND s.error IS NOT NULL ORDER BY s.name LIMIT 20 LOOP
		item := 'score rule ' || r.name;
		value := 'broken';
		state := 'error';
		detail := r.error || '. ecauto.create_score_rule() replaces it.';
		RETURN NEXT;
	END LOOP;

	item := 'price rules';
	SELECT format('%s enabled, %s parked', count(*) FILTER (WHERE p.enabled), count(*) FILTER (WHERE NOT p.enabled)),
		CASE WHEN count(*) FILTER (WHERE NOT p.enabled) > 0 THEN format('%s. ecauto.enable_price_rule() lets them make prices again.',
			string_agg(p.name, ', ' ORDER BY p.name) FILTER (WHERE NOT p.enabled)) END, 'ok'
	INTO value, detail, state FROM ecauto_data.price_rule p HAVING count(*) > 0;
	IF FOUND THEN
		RETURN NEXT;
	END IF;

	FOR r IN SELECT p.proposal_id, p.rows, p.violations FROM ecauto_data.price_proposal p WHERE p.state = 'held' ORDER BY p.proposal_id DESC LIMIT 3 LOOP
		item := 'price proposal ' || r.proposal_id;
		value := 'held';
		state := 'warning';
		detail := format('%s prices wait for a decision: %s. See ecauto.price_proposals().', r.rows, array_to_string(r.violations, ', '));
		RETURN NEXT;
	END LOOP;

	FOR r IN SELECT p.sku, p.last_error FROM ecauto_data.stock_policy p WHERE p.last_error IS NOT NULL ORDER BY p.sku LIMIT 20 LOOP
		item := 'stock policy ' || r.sku;
		value := 'not ordered';
		state := 'error';
		detail := r.last_error;
		RETURN NEXT;
	END LOOP;

	-- ---- what was computed some time ago ----
	item := 'forecasts';
	SELECT 'of ' || to_char(max(f.as_of), 'YYYY-MM-DD'),
		CASE WHEN max(f.as_of) < ecauto.today() - 7 THEN 'They are older than a week: run SELECT ecauto.refresh_demand(), ecauto.forecast_all(), and schedule it.' END,
		CASE WHEN max(f.as_of) < ecauto.today() - 7 THEN 'warning' ELSE 'ok' END
	INTO value, detail, state FROM ecauto_data.sku_forecast f HAVING count(*) > 0;
	IF FOUND THEN
		RETURN NEXT;
	END IF;

	item := 'recommendations';
	SELECT 'built ' || to_char(m.built_at, 'YYYY-MM-DD HH24:MI TZ'), x.why, CASE WHEN x.why IS NOT NULL THEN 'warning' ELSE 'ok' END
	INTO value, detail, state
	FROM ecauto_data.recommend_model m CROSS JOIN LATERAL (SELECT CASE
		WHEN m.tried_at > m.built_at + interval '1 hour' THEN 'Building them again failed since; the server log says why.'
		WHEN m.built_at < ecauto.now() - 3 * coalesce(m.rebuild_every, interval '10 days')
			THEN 'They are old: run SELECT * FROM ecauto.build_recommendations(), and schedule it.' END) x (why)
	WHERE m.version IS NOT NULL;
	IF FOUND THEN
		RETURN NEXT;
	END IF;

	item := 'lifetime values';
	SELECT 'fitted ' || to_char(max(m.fitted_at), 'YYYY-MM-DD'),
		CASE WHEN max(m.fitted_at) < ecauto.now() - interval '45 days' THEN 'The model is older than 45 days: run SELECT * FROM ecauto.fit_clv(), and schedule it.' END,
		CASE WHEN max(m.fitted_at) < ecauto.now() - interval '45 days' THEN 'warning' ELSE 'ok' END
	INTO value, detail, state FROM ecauto_data.clv_model m HAVING count(*) > 0;
	IF FOUND THEN
		RETURN NEXT;
	END IF;

	item := 'purchase orders';
	SELECT format('%s proposed, %s held, %s under way', x.proposed, x.held, x.sent),
		nullif(concat_ws(' ',
			CASE WHEN x.old > 0 THEN format('%s wait for approval since yesterday or longer: SELECT ecauto.approve_purchase_order(id).', x.old) END,
			CASE WHEN x.late > 0 THEN format('%s are overdue: ask the supplier, or book what came by ecauto.receive_purchase_order().', x.late) END,
			CASE WHEN x.unsent > 0 THEN format('%s did not reach the supplier: ecauto.redrive(endpoint) sends them again.', x.unsent) END), ''),
		CASE WHEN x.unsent > 0 THEN 'error' WHEN x.old + x.late > 0 THEN 'warning' ELSE 'ok' END
	INTO value, detail, state
	FROM (SELECT count(*) AS n, count(*) FILTER (WHERE o.state = 'proposed') AS proposed, count(*) FILTER (WHERE o.state = 'held') AS held,
			count(*) FILTER (WHERE o.state = 'sent') AS sent,
			count(*) FILTER (WHERE o.state = 'proposed' AND o.planned_at < ecauto.now() - interval '1 day') AS old,
			count(*) FILTER (WHERE o.state = 'sent' AND o.due_on < ecauto.today()) AS late,
			count(*) FILTER (WHERE o.state = 'sent' AND EXISTS (SELECT FROM ecauto_data.outbox_history h WHERE h.id = o.message_id AND h.state <> 'delivered')
				AND NOT EXISTS (SELECT FROM ecauto_data.outbox q WHERE q.id = o.message_id)) AS unsent
		FROM ecauto_data.purchase_order o) x
	WHERE x.n > 0;
	IF FOUND THEN
		RETURN NEXT;
	END IF;
END
$$;
COMMENT ON FUNCTION ecauto.status() IS
'how ecauto is doing in this database, a row for each thing to look at; detail says what is wrong and what to do, NULL if there is nothing to say; state: ok, warning, error; for operators';

-- Numbers for a monitoring system.
--
-- Each metrics_...() is a family: its text columns are labels, its numbers are
-- metrics called ecauto_<family>_<column>.  They read ecauto's own state and
-- nothing of the shop, so they may be asked every half minute.

CREATE OR REPLACE FUNCTION ecauto.metrics_shop()
RETURNS TABLE (
	up float8, state_version float8, attached float8, broken_roles float8, broken_segments float8, broken_score_rules float8,
	capture_failed float8, changes_waiting float8, changes_oldest_seconds float8, last_event_seconds float8, last_order_seconds float8,
	runs_waiting float8, runs_failed float8, mails_waiting float8, price_proposals_held float8,
	purchase_orders_proposed float8, purchase_orders_sent float8, purchase_orders_overdue float8,
	skus_out_of_stock float8, skus_low float8, forecast_age_seconds float8, recommendations_age_seconds float8,
	lifetime_values_age_seconds float8, work_running float8, work_longest_seconds float8)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT 1::float8,
	(SELECT max(v.version) FROM ecauto_data.schema_version v)::float8,
	(SELECT count(*) FROM ecauto_data.shop)::float8,
	(SELECT count(*) FROM ecauto_data.role_binding b WHERE b.broken_at IS NOT NULL)::float8,
	(SELECT count(*) FROM ecauto_data.segment s WHERE s.broken_at IS NOT NULL)::float8,
	(SELECT count(*) FROM ecauto_data.score_rule s WHERE s.enabled AND s.error IS NOT NULL)::float8,
	ecauto.capture_failed()::integer::float8,
	c.waiting, c.oldest,
	(SELECT extract(epoch FROM ecauto.now() - max(e.at)) FROM ecauto_data.event e)::float8,
	(SELECT extract(epoch FROM ecauto.now() - max(o.placed_at)) FROM ecauto_data.seen_order o WHERE o.placed_at <= ecauto.now())::float8,
	(SELECT count(*) FROM ecauto_data.flow_run r WHERE r.wake_at IS NOT NULL)::float8,
	(SELECT count(*) FROM ecauto_data.flow_run r WHERE r.state = 'failed')::float8,
	(SELECT count(*) FROM ecauto_data.campaign_mail m WHERE m.state = 'waiting')::float8,
	(SELECT count(*) FROM ecauto_data.price_proposal p WHERE p.state = 'held')::float8,
	o.proposed, o.sent, o.overdue,
	(SELECT count(*) FROM ecauto_data.stock_out s WHERE s.until IS NULL)::float8,
	(SELECT count(*) FROM ecauto_data.stock_low l WHERE l.low)::float8,
	(SELECT extract(epoch FROM ecauto.now() - max(f.as_of)::timestamp AT TIME ZONE ecauto.shop_timezone()) FROM ecauto_data.sku_forecast f)::float8,
	(SELECT extract(epoch FROM ecauto.now() - max(m.built_at)) FROM ecauto_data.recommend_model m)::float8,
	(SELECT extract(epoch FROM ecauto.now() - max(m.fitted_at)) FROM ecauto_data.clv_model m)::float8,
	w.running, w.longest
FROM (SELECT coalesce(sum(cardinality(l.keys)), 0)::float8 AS waiting, coalesce(extract(epoch FROM clock_timestamp() - min(l.at)), 0)::float8 AS oldest
	FROM ecauto_data.change_log l) c
CROSS JOIN (SELECT count(*) FILTER (WHERE p.state = 'proposed')::float8 AS proposed, count(*) FILTER (WHERE p.state = 'sent')::float8 AS sent,
	count(*) FILTER (WHERE p.state = 'sent' AND p.due_on < ecauto.today())::float8 AS overdue
	FROM ecauto_data.purchase_order p WHERE p.state IN ('proposed', 'sent')) o
CROSS JOIN (SELECT count(*)::float8 AS running, coalesce(extract(epoch FROM clock_timestamp() - min(g.started_at)), 0)::float8 AS longest
	FROM ecauto.progress() g) w
$$;
COMMENT ON FUNCTION ecauto.metrics_shop() IS
'one row of numbers about ecauto in this database, see ecauto.metrics_help(); NULL: there is none yet; needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.metrics_worker()
RETURNS TABLE (worker text, up float8)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT w.worker, (w.pid IS NOT NULL)::integer::float8 FROM ecauto.worker_status() w
$$;
COMMENT ON FUNCTION ecauto.metrics_worker() IS
'whether each background process of this database runs: 1 or 0';

CREATE OR REPLACE FUNCTION ecauto.metrics_outbox()
RETURNS TABLE (
	endpoint text, waiting float8, retrying float8, oldest_seconds float8, breaker_open float8, paused float8, missing float8,
	delivered_total float8, retried_total float8, dead_total float8)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH queue AS (
	SELECT o.endpoint, count(*) AS waiting, count(*) FILTER (WHERE o.attempts > 0) AS retrying,
		min(o.queued_at) FILTER (WHERE o.queued_at <= ecauto.now()) AS oldest
	FROM ecauto_data.outbox o GROUP BY 1
), name AS (
	SELECT q.endpoint FROM queue q UNION SELECT c.endpoint FROM ecauto_data.outbox_counter c
	UNION SELECT s.srvname FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw AND w.fdwname = 'ecauto_endpoint'
)
SELECT n.endpoint, coalesce(q.waiting, 0)::float8, coalesce(q.retrying, 0)::float8,
	greatest(coalesce(extract(epoch FROM ecauto.now() - q.oldest), 0), 0)::float8,
	coalesce(c.breaker_until > ecauto.now(), false)::integer::float8,
	(EXISTS (SELECT FROM ecauto_data.outbox_pause p WHERE p.endpoint = n.endpoint))::integer::float8,
	(NOT EXISTS (SELECT FROM pg_foreign_server s WHERE s.srvname = n.endpoint COLLATE "C"))::integer::float8,
	coalesce(c.delivered, 0)::float8, coalesce(c.retried, 0)::float8, coalesce(c.dead, 0)::float8
FROM name n
LEFT JOIN queue q ON q.endpoint = n.endpoint
LEFT JOIN ecauto_data.outbox_counter c ON c.endpoint = n.endpoint
ORDER BY 1
$$;
COMMENT ON FUNCTION ecauto.metrics_outbox() IS
'numbers about each endpoint of the outbox, see ecauto.metrics_help(); needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.metrics_flow()
RETURNS TABLE (flow text, enabled float8, broken float8, runs_waiting float8, runs_failed float8)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT f.name, f.enabled::integer::float8, (f.error IS NOT NULL)::integer::float8, coalesce(r.waiting, 0)::float8, coalesce(r.failed, 0)::float8
FROM ecauto_data.flow f
LEFT JOIN (SELECT r.flow, count(*) FILTER (WHERE r.state <> 'failed') AS waiting, count(*) FILTER (WHERE r.state = 'failed') AS failed
	FROM ecauto_data.flow_run r WHERE r.state IN ('waiting', 'retry', 'failed') GROUP BY 1) r ON r.flow = f.id
ORDER BY 1
$$;
COMMENT ON FUNCTION ecauto.metrics_flow() IS
'numbers about each flow, see ecauto.metrics_help(); needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.metrics_sales()
RETURNS TABLE (currency text, orders_today float8, revenue_today float8)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT s.currency, s.orders::float8, s.revenue::float8
FROM ecauto.report_sales(ecauto.today()::timestamp AT TIME ZONE ecauto.shop_timezone(), NULL) s ORDER BY 1
$$;
COMMENT ON FUNCTION ecauto.metrics_sales() IS
'orders that were placed today in the shop''s time zone and not cancelled, and their revenue without donations, by currency; needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.metrics_help()
RETURNS TABLE (name text, type text, help text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
VALUES
	('ecauto_shop_up', 'gauge', 'Does ecauto answer: 1.'),
	('ecauto_shop_state_version', 'gauge', 'Version of the state in schema ecauto_data.'),
	('ecauto_shop_attached', 'gauge', 'Is a shop attached: 1 or 0.'),
	('ecauto_shop_broken_roles', 'gauge', 'Roles whose query fails; what depends on them pauses.'),
	('ecauto_shop_broken_segments', 'gauge', 'Segments whose condition fails.'),
	('ecauto_shop_broken_score_rules', 'gauge', 'Score rules whose condition fails.'),
	('ecauto_shop_capture_failed', 'gauge', 'Were changes lost that the next tick looks for: 1 or 0.'),
	('ecauto_shop_changes_waiting', 'gauge', 'Changed keys that no tick has taken yet.'),
	('ecauto_shop_changes_oldest_seconds', 'gauge', 'Age of the oldest of them.'),
	('ecauto_shop_last_event_seconds', 'gauge', 'Time since the last event.'),
	('ecauto_shop_last_order_seconds', 'gauge', 'Time since the last order was placed.'),
	('ecauto_shop_runs_waiting', 'gauge', 'Runs of flows that wait for a time.'),
	('ecauto_shop_runs_failed', 'gauge', 'Runs of flows that are parked with an error.'),
	('ecauto_shop_mails_waiting', 'gauge', 'Mails that need consent and wait to be decided about.'),
	('ecauto_shop_price_proposals_held', 'gauge', 'Price proposals that a guard holds until somebody decides.'),
	('ecauto_shop_purchase_orders_proposed', 'gauge', 'Purchase orders that wait for approval.'),
	('ecauto_shop_purchase_orders_sent', 'gauge', 'Purchase orders under way.'),
	('ecauto_shop_purchase_orders_overdue', 'gauge', 'Purchase orders under way that should have come.'),
	('ecauto_shop_skus_out_of_stock', 'gauge', 'Skus that ran out.'),
	('ecauto_shop_skus_low', 'gauge', 'Skus that are low by their alert.'),
	('ecauto_shop_forecast_age_seconds', 'gauge', 'Age of the latest forecast.'),
	('ecauto_shop_recommendations_age_seconds', 'gauge', 'Age of the recommendations.'),
	('ecauto_shop_lifetime_values_age_seconds', 'gauge', 'Age of the model of lifetime values.'),
	('ecauto_shop_work_running', 'gauge', 'Long work under way, see ecauto.progress().'),
	('ecauto_shop_work_longest_seconds', 'gauge', 'For how long the longest of it has run.'),
	('ecauto_worker_up', 'gauge', 'Does the background process run: 1 or 0.'),
	('ecauto_outbox_waiting', 'gauge', 'Messages that wait for delivery.'),
	('ecauto_outbox_retrying', 'gauge', 'Of these, messages that failed before.'),
	('ecauto_outbox_oldest_seconds', 'gauge', 'For how long the oldest message is due.'),
	('ecauto_outbox_breaker_open', 'gauge', 'Is the circuit breaker open: 1 or 0.'),
	('ecauto_outbox_paused', 'gauge', 'Is the endpoint paused: 1 or 0.'),
	('ecauto_outbox_missing', 'gauge', 'Is there no such foreign server: 1 or 0.'),
	('ecauto_outbox_delivered_total', 'counter', 'Messages delivered.'),
	('ecauto_outbox_retried_total', 'counter', 'Tries that failed and were to be repeated.'),
	('ecauto_outbox_dead_total', 'counter', 'Messages given up.'),
	('ecauto_flow_enabled', 'gauge', 'Does the flow start runs: 1 or 0.'),
	('ecauto_flow_broken', 'gauge', 'Does its trigger fail: 1 or 0.'),
	('ecauto_flow_runs_waiting', 'gauge', 'Runs that wait or are tried again.'),
	('ecauto_flow_runs_failed', 'gauge', 'Runs that are parked with an error.'),
	('ecauto_sales_orders_today', 'gauge', 'Orders placed today and not cancelled.'),
	('ecauto_sales_revenue_today', 'gauge', 'Their revenue, without donations, in major units.')
$$;
COMMENT ON FUNCTION ecauto.metrics_help() IS
'every metric: its name, whether it is a gauge or a counter, and what it means';

CREATE OR REPLACE FUNCTION ecauto.metrics()
RETURNS TABLE (name text, labels jsonb, value float8, type text, help text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT h.name, f.labels, e.value::float8, h.type, h.help
FROM (
	SELECT 'ecauto_shop_' AS family, '{}'::jsonb AS labels, to_jsonb(s) AS numbers FROM ecauto.metrics_shop() s
	UNION ALL SELECT 'ecauto_worker_', jsonb_build_object('worker', w.worker), to_jsonb(w) - 'worker' FROM ecauto.metrics_worker() w
	UNION ALL SELECT 'ecauto_outbox_', jsonb_build_object('endpoint', o.endpoint), to_jsonb(o) - 'endpoint' FROM ecauto.metrics_outbox() o
	UNION ALL SELECT 'ecauto_flow_', jsonb_build_object('flow', l.flow), to_jsonb(l) - 'flow' FROM ecauto.metrics_flow() l
	UNION ALL SELECT 'ecauto_sales_', jsonb_build_object('currency', s.currency), to_jsonb(s) - 'currency' FROM ecauto.metrics_sales() s) f
CROSS JOIN LATERAL jsonb_each_text(f.numbers) e
JOIN ecauto.metrics_help() h ON h.name = f.family || e.key
WHERE e.value IS NOT NULL
ORDER BY h.name, f.labels
$$;
COMMENT ON FUNCTION ecauto.metrics() IS
'all metrics as rows, for collectors that take them so: name, labels, value, type (gauge or counter), help; what is not known has no row; needs SELECT on the tables of ecauto_data';

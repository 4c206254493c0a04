-- Flows, segments, recommendations and messages, as the report shows them.

CREATE OR REPLACE FUNCTION ecauto.report_flows(
	"from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL, within interval DEFAULT '7 days')
RETURNS TABLE (
	flow text, enabled boolean, runs bigint, done bigint, waiting bigint, failed bigint, sent bigint, skipped jsonb,
	customers bigint, ordered bigint, revenue numeric, currency text, held_out bigint, held_out_ordered bigint,
	lift float8, lift_lo float8, lift_hi float8, note text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH p AS MATERIALIZED (
	SELECT p.starts, p.ends, coalesce((SELECT c.currency FROM ecauto_data.customer_setting c), '') AS currency FROM ecauto.report_period($1, $2) p
), r AS MATERIALIZED (
	SELECT r.id, r.flow, r.state, r.customer, r.started_at, coalesce(r.outcome = 'holdout', false) AS held
	FROM p JOIN ecauto_data.flow_run r ON r.started_at >= p.starts AND r.started_at < p.ends
), d AS MATERIALIZED (
	SELECT r.flow, d.outcome, d.detail ->> 'skipped' AS reason, count(*) AS n, count(d.detail -> 'message') AS messages
	FROM r JOIN ecauto_data.flow_decision d ON d.run = r.id
	WHERE d.outcome IN ('done', 'skipped')
	GROUP BY 1, 2, 3
), skip AS (
	SELECT d.flow, jsonb_object_agg(coalesce(d.reason, 'unknown'), d.n) AS skipped FROM d WHERE d.outcome = 'skipped' GROUP BY 1
), sent AS (
	SELECT d.flow, sum(d.messages)::bigint AS sent FROM d WHERE d.outcome = 'done' GROUP BY 1
), who AS (
	-- a customer counts once, from his first run, and as held out if he was in any
	SELECT r.flow, r.customer, min(r.started_at) AS since, bool_or(r.held) AS held FROM r WHERE r.customer IS NOT NULL GROUP BY 1, 2
), bought AS (
	SELECT w.flow, w.customer, w.held, sum(ecauto.report_finite(coalesce(o.total, o.placed_total))) FILTER (WHERE coalesce(o.currency, '') = p.currency) AS total
	FROM p CROSS JOIN who w
	JOIN ecauto_data.seen_order o ON o.customer_key = w.customer AND o.placed_at > w.since AND o.placed_at <= w.since + $3
	WHERE o.cancelled IS NOT TRUE
	GROUP BY 1, 2, 3
), effect AS (
	SELECT w.flow, count(*) FILTER (WHERE NOT w.held) AS customers, count(b.customer) FILTER (WHERE NOT w.held) AS ordered,
		sum(b.total) FILTER (WHERE NOT w.held) AS revenue,
		count(*) FILTER (WHERE w.held) AS held, count(b.customer) FILTER (WHERE w.held) AS held_ordered
	FROM who w LEFT JOIN bought b ON b.flow = w.flow AND b.customer = w.customer
	GROUP BY 1
), run AS (
	SELECT r.flow, count(*) AS runs, count(*) FILTER (WHERE r.state = 'done') AS done,
		count(*) FILTER (WHERE r.state IN ('waiting', 'retry')) AS waiting, count(*) FILTER (WHERE r.state = 'failed') AS failed
	FROM r GROUP BY 1
)
SELECT f.name, f.enabled, coalesce(u.runs, 0), coalesce(u.done, 0), coalesce(u.waiting, 0), coalesce(u.failed, 0),
	coalesce(s.sent, 0), coalesce(k.skipped, '{}'), coalesce(e.customers, 0), coalesce(e.ordered, 0), coalesce(e.revenue, 0), p.currency,
	coalesce(e.held, 0), coalesce(e.held_ordered, 0), i.lift, i.lo, i.hi,
	CASE WHEN coalesce(e.held, 0) = 0 THEN 'no holdout'
		WHEN e.customers < 100 OR e.held < 100 THEN 'not enough data'
		WHEN i.lo > 0 OR i.hi < 0 THEN 'significant' ELSE 'not significant' END
FROM p CROSS JOIN ecauto_data.flow f
LEFT JOIN run u ON u.flow = f.id
LEFT JOIN sent s ON s.flow = f.id
LEFT JOIN skip k ON k.flow = f.id
LEFT JOIN effect e ON e.flow = f.id
LEFT JOIN LATERAL ecauto.lift_interval(e.held_ordered, e.held, e.ordered, e.customers) i ON e.customers >= 100 AND e.held >= 100
ORDER BY coalesce(e.revenue, 0) DESC, coalesce(u.runs, 0) DESC, f.name
$$;
COMMENT ON FUNCTION ecauto.report_flows(timestamptz, timestamptz, interval) IS
'what flows did in a period: runs that began in it by state, messages they enqueued (sent), steps skipped by reason, customers, of these who ordered within that time after their first run, what they ordered for in the main currency, the same of those held out, and the difference of the two shares with its 95% interval (NULL and "not enough data" below 100 customers on either side); revenue that followed is not revenue that was caused: only lift tells; NULL: the last 30 days; needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.report_skips("from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL)
RETURNS TABLE (reason text, mails bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT m.reason, count(*)
FROM ecauto.report_period($1, $2) p JOIN ecauto_data.campaign_mail m ON m.decided_at >= p.starts AND m.decided_at < p.ends
WHERE m.state IN ('skipped', 'expired')
GROUP BY 1 ORDER BY 2 DESC, 1
$$;
COMMENT ON FUNCTION ecauto.report_skips(timestamptz, timestamptz) IS
'mails that need consent and were not sent in a period, by reason (see ecauto.skip_reasons()); NULL: the last 30 days; needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.report_segments("from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL)
RETURNS TABLE (segment text, description text, members bigint, entered bigint, "left" bigint, broken text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH member AS (
	SELECT m.id, count(*) AS members FROM ecauto_data.segment_state s CROSS JOIN LATERAL unnest(s.member_of) m (id) GROUP BY 1
), list AS (
	SELECT l.segment_id, count(DISTINCT l.customer) AS members FROM ecauto_data.segment_list l
	WHERE l.added_at <= ecauto.now() AND (l.removed_at IS NULL OR l.removed_at > ecauto.now()) GROUP BY 1
), moved AS (
	SELECT e.key, count(*) FILTER (WHERE e.kind = 'segment.entered') AS entered, count(*) FILTER (WHERE e.kind = 'segment.left') AS gone
	FROM ecauto.report_period($1, $2) p JOIN ecauto_data.event e ON e.at >= p.starts AND e.at < p.ends
		AND e.kind IN ('segment.entered', 'segment.left')
	GROUP BY 1
)
SELECT s.name, s.description, coalesce(m.members, l.members, 0), coalesce(v.entered, 0), coalesce(v.gone, 0), s.broken_message
FROM ecauto_data.segment s
LEFT JOIN member m ON m.id = s.segment_id
LEFT JOIN list l ON l.segment_id = s.segment_id
LEFT JOIN moved v ON v.key = s.name
ORDER BY 3 DESC, 1
$$;
COMMENT ON FUNCTION ecauto.report_segments(timestamptz, timestamptz) IS
'segments with their members at the last refresh, and how many entered and left in a period; broken: why it cannot be refreshed; NULL: the last 30 days; needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.report_rfm()
RETURNS TABLE (r integer, f integer, customers bigint, spent numeric, groups text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT s.r, s.f, count(*), sum(c.spent_total), string_agg(DISTINCT s.name, ', ')
FROM ecauto_data.rfm_score s LEFT JOIN ecauto_data.customer_fact c ON c.key = s.customer
WHERE s.valid_until = 'infinity'
GROUP BY 1, 2 ORDER BY 1 DESC, 2
$$;
COMMENT ON FUNCTION ecauto.report_rfm() IS
'customers by how recently (r) and how often (f) they ordered, in fifths, 5 is best, at the last ecauto.refresh_rfm(): how many, what they spent in the main currency, names of their groups; needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.report_recommendations("from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL, n integer DEFAULT 10)
RETURNS TABLE (built_at timestamptz, orders bigint, hits bigint, hit_rate float8, popular_hits bigint, popular_rate float8)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET random_page_cost = 1.1
AS $$
WITH m AS MATERIALIZED (
	SELECT m.version, m.built_at FROM ecauto_data.recommend_model m WHERE m.version IS NOT NULL
), sample AS MATERIALIZED (
	-- the newest orders that the lists did not know
	SELECT o.key FROM ecauto_data.seen_order o
	WHERE o.placed_at >= (SELECT greatest(p.starts, m.built_at) FROM ecauto.report_period($1, $2) p CROSS JOIN m)
		AND o.placed_at < (SELECT p.ends FROM ecauto.report_period($1, $2) p) AND o.cancelled IS NOT TRUE
	ORDER BY o.placed_at DESC LIMIT 10000
), basket AS MATERIALIZED (
	-- of two skus at least that the lists know; looked up one by one, as statistics of lists just built are not there
	SELECT array_agg(x.no) AS items
	FROM (SELECT s.key, (SELECT k.no FROM m JOIN ecauto_data.recommend_item k ON k.version = m.version AND k.sku = i.sku) AS no
		FROM sample s JOIN ecauto_data.order_item i ON i.order_key = s.key
		WHERE i.qty > 0) x
	WHERE x.no IS NOT NULL
	GROUP BY x.key HAVING count(*) BETWEEN 2 AND 200
), top AS MATERIALIZED (
	SELECT a.item, ARRAY(SELECT u.other FROM unnest(a.others, a.counts) u (other, n) ORDER BY u.n DESC, u.other LIMIT $3) AS others
	FROM m JOIN ecauto_data.recommend_pair a ON a.version = m.version AND NOT a.viewed
	WHERE a.item IN (SELECT unnest(b.items) FROM basket b)
), numbered AS MATERIALIZED (
	SELECT b.items, row_number() OVER () AS place FROM basket b
), counted AS (
	SELECT count(*) AS orders,
		(SELECT count(DISTINCT x.place) FROM (SELECT b.place, b.items, unnest(b.items) AS item FROM numbered b) x
			JOIN top t ON t.item = x.item WHERE t.others && x.items) AS hits,
		count(*) FILTER (WHERE b.items && (SELECT a.items[1:$3] FROM m JOIN ecauto_data.recommend_popular a ON a.version = m.version AND a.country = '')) AS popular
	FROM numbered b
)
SELECT m.built_at, c.orders, c.hits, c.hits::float8 / nullif(c.orders, 0), c.popular, c.popular::float8 / nullif(c.orders, 0)
FROM m CROSS JOIN counted c
$$;
COMMENT ON FUNCTION ecauto.report_recommendations(timestamptz, timestamptz, integer) IS
'how good the lists of the last ecauto.build_recommendations() were: of the newest 10,000 orders of the period that were placed after it, those with at least two skus it knew; hits: those with a sku among the n that were bought most with another one of the order; popular: those with one of the n most popular skus, to compare it with; shares from 0 to 1; no row before the first build; NULL: the last 30 days; needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.report_outbox("from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL)
RETURNS TABLE (
	endpoint text, state text, waiting bigint, oldest timestamptz, retried bigint, delivered bigint, dead bigint, cancelled bigint,
	last_delivered_at timestamptz, last_error text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH queue AS (
	SELECT o.endpoint, count(*) AS waiting, min(o.queued_at) FILTER (WHERE o.queued_at <= ecauto.now()) AS oldest, count(*) FILTER (WHERE o.attempts > 0) AS retried
	FROM ecauto_data.outbox o GROUP BY 1
), done AS (
	SELECT h.endpoint, count(*) FILTER (WHERE h.state = 'delivered') AS delivered, count(*) FILTER (WHERE h.state = 'dead') AS dead,
		count(*) FILTER (WHERE h.state = 'cancelled') AS cancelled
	FROM ecauto.report_period($1, $2) p JOIN ecauto_data.outbox_history h ON h.finished_at >= p.starts AND h.finished_at < p.ends
	GROUP BY 1
), name AS (
	SELECT q.endpoint FROM queue q UNION SELECT d.endpoint FROM done d UNION SELECT c.endpoint FROM ecauto_data.outbox_counter c
	UNION SELECT s.srvname FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw AND w.fdwname = 'ecauto_endpoint'
)
SELECT n.endpoint,
	CASE WHEN NOT EXISTS (SELECT FROM pg_foreign_server s WHERE s.srvname = n.endpoint COLLATE "C") THEN 'missing'
		WHEN EXISTS (SELECT FROM ecauto_data.outbox_pause x WHERE x.endpoint = n.endpoint) THEN 'paused'
		WHEN c.breaker_until > ecauto.now() THEN 'failing' ELSE 'open' END,
	coalesce(q.waiting, 0), q.oldest, coalesce(q.retried, 0), coalesce(d.delivered, 0), coalesce(d.dead, 0), coalesce(d.cancelled, 0),
	c.last_delivered_at, CASE WHEN q.retried > 0 OR d.dead > 0 THEN c.last_error END
FROM name n
LEFT JOIN queue q ON q.endpoint = n.endpoint
LEFT JOIN done d ON d.endpoint = n.endpoint
LEFT JOIN ecauto_data.outbox_counter c ON c.endpoint = n.endpoint
ORDER BY 1
$$;
COMMENT ON FUNCTION ecauto.report_outbox(timestamptz, timestamptz) IS
'health of the outbox: of each endpoint its state (open, paused, failing: the circuit breaker is open, missing), messages that wait, since when the oldest is due, how many of them failed before, and what was delivered, dead and cancelled in a period, as far as ecauto.history_keep goes back; NULL: the last 30 days; needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.campaign_arm(campaign text, customer text, holdout double precision, variants jsonb DEFAULT '{}')
RETURNS text
AS 'MODULE_PATHNAME', 'ecauto_campaign_arm'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.campaign_arm(text, text, double precision, jsonb) IS
'where a campaign of that name puts a customer (his key): holdout, for that share (0 to 1) of all, or one of the variants by their shares, A if there are none; the same whenever it is asked, and independent of other campaigns';

CREATE OR REPLACE FUNCTION ecauto.send_campaign(
	name text, segment text, template text, purpose text DEFAULT 'marketing', holdout double precision DEFAULT 0,
	variants jsonb DEFAULT NULL, data jsonb DEFAULT NULL, priority integer DEFAULT 10,
	send_at timestamptz DEFAULT NULL, deadline interval DEFAULT '3 days', customers text[] DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_send_campaign'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.send_campaign(text, text, text, text, double precision, jsonb, jsonb, integer, timestamptz, interval, text[]) IS
'mails a stored template to the members of a segment, or to customers (their keys) if segment is NULL, and returns how many are new to the campaign; the template gets data and the customer as {{customer.name}} and so on; holdout: share (0 to 1) who get nothing, for comparison; variants: {"A": {"template": ..., "share": ...}, ...}; ticks send it from send_at on, up to deadline later, by priority (0 to 100) under caps, quiet hours and consent; again with the same definition adds new members; for operators';
REVOKE ALL ON FUNCTION ecauto.send_campaign(text, text, text, text, double precision, jsonb, jsonb, integer, timestamptz, interval, text[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.cancel_campaign(name text)
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_cancel_campaign'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.cancel_campaign(text) IS
'ends a campaign: takes back what waits or was not sent yet, and returns how many mails; 0 if there is no such campaign or it was cancelled before; for operators';
REVOKE ALL ON FUNCTION ecauto.cancel_campaign(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.campaigns()
RETURNS TABLE (
	name text, started_at timestamptz, customers bigint, waiting bigint, queued bigint, sent bigint, skipped bigint,
	expired bigint, done double precision, next_at timestamptz, cancelled_at timestamptz)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT c.name, c.started_at, coalesce(m.customers, 0), coalesce(m.waiting, 0), coalesce(m.queued, 0), coalesce(m.sent, 0),
	coalesce(m.skipped, 0), coalesce(m.expired, 0),
	CASE WHEN m.customers > 0 THEN 1 - (m.waiting + m.queued)::float8 / m.customers ELSE 1 END, m.next_at, c.cancelled_at
FROM ecauto_data.campaign c
LEFT JOIN (SELECT m.campaign, count(*) AS customers,
		count(*) FILTER (WHERE m.state = 'waiting') AS waiting,
		count(*) FILTER (WHERE m.state = 'sent' AND o.id IS NOT NULL) AS queued,
		count(*) FILTER (WHERE m.state = 'sent' AND o.id IS NULL) AS sent,
		count(*) FILTER (WHERE m.state = 'skipped') AS skipped,
		count(*) FILTER (WHERE m.state = 'expired') AS expired,
		min(m.decide_at) FILTER (WHERE m.state = 'waiting') AS next_at
	FROM ecauto_data.campaign_mail m LEFT JOIN ecauto_data.outbox o ON o.id = m.message_id
	WHERE m.campaign IS NOT NULL GROUP BY m.campaign) m ON m.campaign = c.name
ORDER BY c.started_at, c.name
$$;
COMMENT ON FUNCTION ecauto.campaigns() IS
'how far each campaign has come: customers; those about whom nothing is decided yet (waiting), whose mail is in the outbox (queued), has left it (sent), was skipped or expired; done: share of 0 to 1 that needs nothing more; next_at: when the next one is looked at; needs SELECT on the tables of ecauto_data';

CREATE OR REPLACE FUNCTION ecauto.lift_interval(
	control_successes bigint, control bigint, treated_successes bigint, treated bigint,
	OUT lift double precision, OUT lo double precision, OUT hi double precision)
RETURNS record
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT w.p2 - w.p1,
	w.p2 - w.p1 - sqrt((w.p2 - w.l2) ^ 2 + (w.u1 - w.p1) ^ 2),
	w.p2 - w.p1 + sqrt((w.u2 - w.p2) ^ 2 + (w.p1 - w.l1) ^ 2)
FROM (SELECT p.p1, p.p2,
		(2 * control * p.p1 + p.zz - p.z * sqrt(p.zz + 4 * control * p.p1 * (1 - p.p1))) / (2 * (control + p.zz)) AS l1,
		(2 * control * p.p1 + p.zz + p.z * sqrt(p.zz + 4 * control * p.p1 * (1 - p.p1))) / (2 * (control + p.zz)) AS u1,
		(2 * treated * p.p2 + p.zz - p.z * sqrt(p.zz + 4 * treated * p.p2 * (1 - p.p2))) / (2 * (treated + p.zz)) AS l2,
		(2 * treated * p.p2 + p.zz + p.z * sqrt(p.zz + 4 * treated * p.p2 * (1 - p.p2))) / (2 * (treated + p.zz)) AS u2
	FROM (SELECT control_successes::float8 / nullif(control, 0) AS p1, treated_successes::float8 / nullif(treated, 0) AS p2,
		1.959963984540054::float8 AS z, 1.959963984540054::float8 ^ 2 AS zz) p) w
$$;
COMMENT ON FUNCTION ecauto.lift_interval(bigint, bigint, bigint, bigint) IS
'difference of two proportions, treated less control, with its 95% confidence interval: method 10 of Newcombe, Interval estimation for the difference between independent proportions, Statistics in Medicine 17 (1998), made of Wilson''s score intervals; NULL if either group is empty';

CREATE OR REPLACE FUNCTION ecauto.campaign_report(name text, within interval DEFAULT '7 days')
RETURNS TABLE (
	arm text, customers bigint, sent bigint, waiting bigint, skipped jsonb, opened bigint, clicked bigint,
	compared bigint, ordered bigint, revenue jsonb, order_rate double precision,
	lift double precision, lift_lo double precision, lift_hi double precision, note text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH campaign AS (SELECT c.name, c.started_at, c.holdout FROM ecauto_data.campaign c WHERE c.name = $1),
mail AS MATERIALIZED (
	SELECT m.arm, m.customer, m.state, m.reason,
		-- would have got it: both arms are judged alike, and before anything else is
		m.reason NOT IN ('no_address', 'no_consent', 'suppressed', 'queued', 'template_error', 'cancelled', 'error') AS compared
	FROM ecauto_data.campaign_mail m WHERE m.campaign = $1),
told AS (
	SELECT m.arm, count(DISTINCT e.customer) FILTER (WHERE e.kind = 'mail.opened') AS opened,
		count(DISTINCT e.customer) FILTER (WHERE e.kind = 'mail.clicked') AS clicked
	FROM campaign c JOIN ecauto_data.event e ON e.at >= c.started_at
		AND e.kind IN ('mail.opened', 'mail.clicked') AND e.new ->> 'campaign' = c.name
	JOIN mail m ON m.customer = e.customer GROUP BY m.arm),
bought AS MATERIALIZED (
	SELECT m.arm, m.customer, o.currency, sum(coalesce(o.placed_total, o.total)) AS total
	FROM campaign c CROSS JOIN mail m
	JOIN ecauto_data.seen_order o ON o.customer_key = m.customer
		AND o.placed_at >= c.started_at AND o.placed_at < c.started_at + $2 AND NOT coalesce(o.cancelled, false)
	WHERE m.compared GROUP BY 1, 2, 3),
revenue AS (
	SELECT b.arm, jsonb_object_agg(b.currency, b.total) AS revenue
	FROM (SELECT b.arm, coalesce(b.currency, '') AS currency, sum(b.total) AS total FROM bought b GROUP BY 1, 2) b GROUP BY b.arm),
buyer AS (SELECT b.arm, count(DISTINCT b.customer) AS ordered FROM bought b GROUP BY b.arm),
skip AS (
	SELECT s.arm, jsonb_object_agg(s.reason, s.n) AS skipped
	FROM (SELECT m.arm, m.reason, count(*) AS n FROM mail m WHERE m.state IN ('skipped', 'expired') GROUP BY 1, 2) s GROUP BY s.arm),
total AS (
	SELECT m.arm, count(*) AS customers, count(*) FILTER (WHERE m.state = 'sent') AS sent,
		count(*) FILTER (WHERE m.state = 'waiting') AS waiting, count(*) FILTER (WHERE m.compared) AS compared
	FROM mail m GROUP BY m.arm),
line AS (
	SELECT t.arm, t.customers, t.sent, t.waiting, coalesce(s.skipped, '{}') AS skipped, coalesce(e.opened, 0) AS opened,
		coalesce(e.clicked, 0) AS clicked, t.compared, coalesce(b.ordered, 0) AS ordered, coalesce(r.revenue, '{}') AS revenue
	FROM total t LEFT JOIN skip s USING (arm) LEFT JOIN told e USING (arm) LEFT JOIN buyer b USING (arm) LEFT JOIN revenue r USING (arm))
SELECT l.arm, l.customers, l.sent, l.waiting, l.skipped, l.opened, l.clicked, l.compared, l.ordered, l.revenue,
	l.ordered::float8 / nullif(l.compared, 0),
	i.lift, i.lo, i.hi,
	CASE WHEN l.arm = 'holdout' THEN 'control'
		WHEN h.arm IS NULL THEN 'no holdout'
		WHEN l.compared < 100 OR h.compared < 100 THEN 'not enough data'
		WHEN i.lo > 0 OR i.hi < 0 THEN 'significant'
		ELSE 'not significant' END
FROM line l
LEFT JOIN line h ON h.arm = 'holdout'
LEFT JOIN LATERAL ecauto.lift_interval(h.ordered, h.compared, l.ordered, l.compared) i
	ON l.arm <> 'holdout' AND l.compared >= 100 AND h.compared >= 100
ORDER BY l.arm = 'holdout', l.arm
$$;
COMMENT ON FUNCTION ecauto.campaign_report(text, interval) IS
'what came of a campaign, a row for each variant and one for the holdout: customers, mails sent and waiting, skipped by reason, customers who opened and clicked (events mail.opened and mail.clicked with the property campaign), and of those who can be compared (address and consent were there) how many ordered within that time of its beginning, revenue by currency, share who ordered, and its difference to the holdout with a 95% interval; NULL and "not enough data" below 100 customers an arm; needs SELECT on the tables of ecauto_data';

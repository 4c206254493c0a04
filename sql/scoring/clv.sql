CREATE OR REPLACE FUNCTION ecauto.fit_clv(
	as_of timestamptz DEFAULT NULL,
	OUT model text, OUT params float8[], OUT log_likelihood float8, OUT value_params float8[],
	OUT customers bigint, OUT repeaters bigint, OUT note text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	until constant timestamptz := coalesce(as_of, ecauto.now());
	enough constant integer := 100;
	prior float8 := 0;
	x float8[];
	tx float8[];
	t float8[];
	orders float8[];
	mean float8[];
	data_from timestamptz;
	errors float8[];
	spread float8[];
	value_spread float8[];
	others jsonb;
	worth integer;
	usual float8;
	bg record;
	mbg record;
	pareto record;
	gg record;
BEGIN
	PERFORM ecauto.progress_begin('fit_clv');
	PERFORM ecauto.progress_phase('read customers');
	SELECT count(*), count(*) FILTER (WHERE c.orders_count > 1), min(c.first_order_at),
		array_agg((c.orders_count - 1)::float8), array_agg(extract(epoch FROM c.last_order_at - c.first_order_at)::float8 / 86400),
		array_agg(extract(epoch FROM until - c.first_order_at)::float8 / 86400),
		array_agg(c.orders_count::float8), array_agg(greatest(c.average_order_value, 0)::float8),
		count(DISTINCT c.average_order_value) FILTER (WHERE c.average_order_value > 0),
		coalesce(avg(c.average_order_value), 0)::float8
	INTO customers, repeaters, data_from, x, tx, t, orders, mean, worth, usual
	FROM ecauto.customer_facts(NULL, until) c
	WHERE c.orders_count > 0;
	IF customers = 0 THEN
		RAISE EXCEPTION 'cannot fit a model of purchases without an order'
			USING ERRCODE = 'object_not_in_prerequisite_state',
				HINT = 'Attach the shop and run ecauto.tick() first.';
	END IF;
	IF repeaters < enough THEN
		prior := 10;
		note := format('only %s customers have ordered again: what is usual in shops counts as %s customers', repeaters, prior);
	END IF;

	PERFORM ecauto.progress_phase('BG/NBD');
	SELECT * INTO bg FROM ecauto.bgnbd_fit(x, tx, t, prior);
	PERFORM ecauto.progress_phase('MBG/NBD');
	SELECT * INTO mbg FROM ecauto.mbgnbd_fit(x, tx, t, prior);
	PERFORM ecauto.progress_phase('Pareto/NBD');
	SELECT * INTO pareto FROM ecauto.paretonbd_fit(x, tx, t, prior);
	-- BG/NBD is never chosen: to it who bought once is a customer for ever
	IF mbg.log_likelihood >= pareto.log_likelihood THEN
		model := 'mbgnbd';
		params := ARRAY[mbg.r, mbg.alpha, mbg.a, mbg.b];
		log_likelihood := mbg.log_likelihood;
		errors := mbg.standard_errors;
		spread := mbg.covariance;
		note := concat_ws('; ', note, mbg.note);
	ELSE
		model := 'paretonbd';
		params := ARRAY[pareto.r, pareto.alpha, pareto.s, pareto.beta];
		log_likelihood := pareto.log_likelihood;
		errors := pareto.standard_errors;
		spread := pareto.covariance;
		note := concat_ws('; ', note, pareto.note);
	END IF;
	others := jsonb_build_object('bgnbd', bg.log_likelihood, 'mbgnbd', mbg.log_likelihood, 'paretonbd', pareto.log_likelihood) - model;
	IF worth >= 10 THEN
		SELECT * INTO gg FROM ecauto.gamma_gamma_fit(orders, mean);
		IF gg.q > 1 THEN
			value_params := ARRAY[gg.p, gg.q, gg.v];
			value_spread := gg.covariance;
		END IF;
	END IF;
	IF value_params IS NULL THEN
		note := concat_ws('; ', note, 'values of orders differ too little or too much for a model of them: the mean counts');
	END IF;
	note := nullif(note, '');

	INSERT INTO ecauto_data.clv_model (fitted_at, data_from, data_until, customers, repeaters, model, params, standard_errors,
		covariance, log_likelihood, others, value_params, value_covariance, mean_value, prior, note)
	VALUES (ecauto.now(), data_from, until, customers, repeaters, model, params, errors,
		spread, log_likelihood, others, value_params, value_spread, usual, prior, note);
	PERFORM ecauto.progress_end();
END
$$;
COMMENT ON FUNCTION ecauto.fit_clv(timestamptz) IS
'fits models of purchases (MBG/NBD and Pareto/NBD, the likelier one counts; BG/NBD for comparison) and of the values of orders (gamma-gamma) to the customers'' orders until an instant (NULL: ecauto.now()), and keeps them with their date in ecauto_data.clv_model; times are days; with fewer than 100 customers who ordered again, what is usual in shops counts too, and note says so; error if there is no order; for operators, meant to run at night';
REVOKE ALL ON FUNCTION ecauto.fit_clv(timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.predict_clv(horizon_days integer)
RETURNS TABLE (customer text, p_alive float8, expected_orders float8, expected_value float8, p_buys float8, churn_risk float8, order_value float8, next_order_at timestamptz,
	p_alive_error float8, expected_orders_error float8, expected_value_error float8)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	m ecauto_data.clv_model;
BEGIN
	IF horizon_days IS NULL OR horizon_days NOT BETWEEN 1 AND 3660 THEN
		RAISE EXCEPTION 'horizon must be between 1 and 3660 days'
			USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', coalesce(horizon_days::text, 'null'));
	END IF;
	SELECT * INTO m FROM ecauto_data.clv_model ORDER BY id DESC LIMIT 1;
	IF m.id IS NULL THEN
		RAISE EXCEPTION 'no model of purchases has been fitted'
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Run SELECT * FROM ecauto.fit_clv() first.';
	END IF;
	RETURN QUERY
	WITH c AS MATERIALIZED (
		SELECT c.key, (c.orders_count - 1)::float8 AS x, extract(epoch FROM c.last_order_at - c.first_order_at)::float8 / 86400 AS tx,
			extract(epoch FROM n.at - c.first_order_at)::float8 / 86400 AS t, c.orders_count, n.at, coalesce(c.average_order_value, 0)::float8 AS mean,
			coalesce(avg(c.average_order_value) OVER (), 0)::float8 AS usual,
			(stddev_samp(c.average_order_value) OVER ())::float8 / sqrt(count(*) OVER ()) AS usual_error
		FROM (SELECT ecauto.now()) n (at) CROSS JOIN LATERAL ecauto.customer_facts(NULL, n.at) c
		WHERE c.orders_count > 0),
	p AS (
		SELECT c.key, ecauto.clv_p_alive(m.model, m.params, c.x, c.tx, c.t) AS alive,
			ecauto.clv_expected_orders(m.model, m.params, c.x, c.tx, c.t, horizon_days) AS orders,
			ecauto.clv_p_buys(m.model, m.params, c.x, c.tx, c.t, horizon_days) AS buys,
			c.at, (m.params[2] + c.t) * (power(2::float8, 1 / (m.params[1] + c.x)) - 1) AS wait,
			CASE WHEN m.value_params IS NULL THEN c.usual
				ELSE ecauto.gamma_gamma_value(m.value_params, c.orders_count, c.mean) END AS worth,
			CASE WHEN m.value_params IS NULL THEN c.usual_error
				ELSE ecauto.gamma_gamma_error(m.value_params, c.orders_count, c.mean, m.value_covariance) END AS worth_error,
			e.p_alive AS alive_error, e.expected_orders AS orders_error
		FROM c CROSS JOIN LATERAL ecauto.clv_errors(m.model, m.params, c.x, c.tx, c.t, horizon_days, m.covariance) e)
	SELECT p.key, p.alive, p.orders, p.orders * p.worth, p.buys, 1 - p.alive, p.worth,
		CASE WHEN p.wait < 36600 THEN p.at + p.wait * interval '1 day' END, p.alive_error, p.orders_error,
		-- the two models are fitted apart: errors of a product whose factors do not depend on each other
		sqrt(power(p.orders_error * p.worth, 2) + power(p.orders * p.worth_error, 2)) FROM p;
END
$$;
COMMENT ON FUNCTION ecauto.predict_clv(integer) IS
'of each customer with an order, now and by the model that ecauto.fit_clv() kept last: probability that he still is a customer, orders expected within so many days and their value in the main currency, probability that he orders at all within them, 1 - p_alive as churn risk, what an order of his is worth, and when he orders next if he still is a customer (as likely earlier as later; NULL: not within a hundred years); the standard errors of probability, orders and value follow from those of the fitted parameters (large in a small shop; NULL: not known), while what a single customer does varies more; error before the first fit_clv(); for operators';
REVOKE ALL ON FUNCTION ecauto.predict_clv(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.evaluate_clv(days integer DEFAULT 90)
RETURNS TABLE (model text, params float8[], customers bigint, orders bigint, expected_orders float8, mean_error float8,
	correlation float8, churn_auc float8)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	until constant timestamptz := ecauto.now();
	since constant timestamptz := ecauto.now() - days * interval '1 day';
	prior float8;
	ids text[];
	x float8[];
	tx float8[];
	t float8[];
	held float8[];
BEGIN
	IF days IS NULL OR days NOT BETWEEN 1 AND 3660 THEN
		RAISE EXCEPTION 'days that are held out must be between 1 and 3660'
			USING ERRCODE = 'invalid_parameter_value', DETAIL = format('They are %s.', coalesce(days::text, 'null'));
	END IF;
	SELECT CASE WHEN count(*) FILTER (WHERE c.orders_count > 1) < 100 THEN 10 ELSE 0 END,
		array_agg((c.orders_count - 1)::float8 ORDER BY c.key), array_agg(extract(epoch FROM c.last_order_at - c.first_order_at)::float8 / 86400 ORDER BY c.key),
		array_agg(extract(epoch FROM since - c.first_order_at)::float8 / 86400 ORDER BY c.key),
		array_agg(coalesce(n.orders, 0)::float8 ORDER BY c.key)
	INTO prior, x, tx, t, held
	FROM ecauto.customer_facts(NULL, since) c
	-- orders since then, of whoever they turned out to be
	LEFT JOIN (SELECT coalesce(o.customer_key, f.key) AS key, count(*) AS orders
		FROM ecauto_data.seen_order o LEFT JOIN ecauto_data.customer_fact f ON o.customer_key IS NULL AND f.guest_email = o.email
		WHERE o.placed_at > since AND o.placed_at <= until AND NOT coalesce(o.cancelled, false) GROUP BY 1) n ON n.key = c.key
	WHERE c.orders_count > 0;
	IF x IS NULL THEN
		RAISE EXCEPTION 'no customer has ordered before the days that are held out'
			USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = format('They begin at %s.', since);
	END IF;
	RETURN QUERY
	WITH f AS MATERIALIZED (
		SELECT 'bgnbd' AS model, ARRAY[b.r, b.alpha, b.a, b.b] AS params FROM ecauto.bgnbd_fit(x, tx, t, prior) b
		UNION ALL SELECT 'mbgnbd', ARRAY[b.r, b.alpha, b.a, b.b] FROM ecauto.mbgnbd_fit(x, tx, t, prior) b
		UNION ALL SELECT 'paretonbd', ARRAY[b.r, b.alpha, b.s, b.beta] FROM ecauto.paretonbd_fit(x, tx, t, prior) b
		UNION ALL SELECT 'rate x time', NULL),
	p AS (
		SELECT f.model, f.params, c.held,
			CASE WHEN f.params IS NULL THEN coalesce((c.x + 1) / nullif(c.t, 0), 0) * days
				ELSE ecauto.clv_expected_orders(f.model, f.params, c.x, c.tx, c.t, days) END AS orders,
			CASE WHEN f.params IS NULL THEN c.tx - c.t ELSE ecauto.clv_p_alive(f.model, f.params, c.x, c.tx, c.t) END AS alive
		FROM f CROSS JOIN unnest(x, tx, t, held) c (x, tx, t, held)),
	k AS (
		SELECT p.*, (rank() OVER (PARTITION BY p.model ORDER BY p.alive)
			+ (count(*) OVER (PARTITION BY p.model, p.alive) - 1) / 2.0)::float8 AS place FROM p)
	SELECT k.model, k.params, count(*), sum(k.held)::bigint, sum(k.orders), avg(abs(k.orders - k.held)), corr(k.orders, k.held),
		(sum(k.place) FILTER (WHERE k.held > 0) - count(*) FILTER (WHERE k.held > 0) * (count(*) FILTER (WHERE k.held > 0) + 1) / 2.0)
			/ nullif(count(*) FILTER (WHERE k.held > 0)::float8 * count(*) FILTER (WHERE k.held = 0), 0)
	FROM k GROUP BY 1, 2 ORDER BY avg(abs(k.orders - k.held));
END
$$;
COMMENT ON FUNCTION ecauto.evaluate_clv(integer) IS
'how well lifetime value would have been predicted: models are fitted to what was known so many days ago and compared with what the customers of then ordered since, best first, beside everybody ordering on at his rate ("rate x time"); orders and what was expected in total, mean absolute error and correlation over customers, and churn_auc: how often a customer who came back was ranked above one who did not (.5: a coin; for "rate x time", by the time of the last order; NULL: all or none came); keeps nothing; error if nobody had ordered by then; for operators';
REVOKE ALL ON FUNCTION ecauto.evaluate_clv(integer) FROM PUBLIC;

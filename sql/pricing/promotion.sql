CREATE OR REPLACE FUNCTION ecauto.create_promotion(name text, definition jsonb)
RETURNS bigint
AS 'MODULE_PATHNAME', 'ecauto_create_promotion'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.create_promotion(text, jsonb) IS
'makes a promotion, or gives the one of this name another definition (its coupons and what it has given away so far stay), and returns its number; times without an offset are those of the shop''s clock; an advertised reduction that is none before the law is refused with the highest percentage that may be claimed; invalid_parameter_value says what is wrong with the definition and where; for operators';
REVOKE ALL ON FUNCTION ecauto.create_promotion(text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.drop_promotion(name text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ecauto_drop_promotion'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.drop_promotion(text) IS
'ends a promotion and its coupons; false if there was none; what it gave stays on record; for operators';
REVOKE ALL ON FUNCTION ecauto.drop_promotion(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.price_currency_digits(currency text)
RETURNS integer
AS 'MODULE_PATHNAME', 'ecauto_price_currency_digits'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.price_currency_digits(text) IS
'digits after the point of amounts in a currency; error if there is none like it';

CREATE OR REPLACE FUNCTION ecauto.propose_clearance(definition jsonb, sales jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (sku text, price numeric, proposed numeric, percent numeric, age_days integer, cover_days numeric,
	floor numeric, claim numeric, reason text, promotion jsonb)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	at constant timestamptz := coalesce(as_of, ecauto.now());
	zone constant text := ecauto.shop_timezone();
	today constant date := (at AT TIME ZONE zone)::date;
	asked_currency constant text := ecauto.price_currency(definition ->> 'currency');
	window_days constant integer := coalesce((definition ->> 'window_days')::integer, 28);
	digits integer;
	key text;
	step jsonb;
BEGIN
	PERFORM ecauto.require_shop('propose a clearance');
	IF asked_currency IS NULL OR jsonb_typeof(definition -> 'steps') IS DISTINCT FROM 'array' THEN
		RAISE EXCEPTION 'a clearance needs "currency" and "steps"'
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'Write such as {"currency": "EUR", "steps": [{"age_days": 90, "percent": 10}, {"cover_days": 120, "percent": 20}], "margin": 5}.';
	END IF;
	FOR key IN SELECT k FROM jsonb_object_keys(definition) k WHERE k NOT IN ('currency', 'steps', 'margin', 'window_days', 'skus', 'brands') LOOP
		RAISE EXCEPTION '"%" of a clearance is not known', key
			USING ERRCODE = 'invalid_parameter_value', HINT = 'What may stand there is currency, steps, margin, window_days, skus, brands.';
	END LOOP;
	FOR step IN SELECT s FROM jsonb_array_elements(definition -> 'steps') s LOOP
		IF (step ->> 'percent')::numeric IS NULL OR NOT (step ->> 'percent')::numeric BETWEEN 0 AND 100
			OR NOT step ?| '{age_days, cover_days, season_end}' THEN
			RAISE EXCEPTION 'a step of a clearance must say when it is reached and what it takes off'
				USING ERRCODE = 'invalid_parameter_value', DETAIL = format('The step is %s.', step),
					HINT = 'Give percent, and age_days, cover_days or season_end (with days_before).';
		END IF;
	END LOOP;
	IF NOT coalesce((definition ->> 'margin')::numeric, 0) BETWEEN 0 AND 99 THEN
		RAISE EXCEPTION '"margin" of a clearance must be a percentage from 0 to 99' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	digits := ecauto.price_currency_digits(asked_currency);

	RETURN QUERY
	WITH goods AS (
		SELECT p.key AS sku, p.amount AS price, t.on_hand - t.reserved AS available,
			(today - (a.since AT TIME ZONE zone)::date) AS age_days,
			CASE WHEN s.units > 0 THEN round((t.on_hand - t.reserved) * window_days / s.units, 1)
				WHEN s.units <= 0 THEN 'Infinity' END AS cover_days,
			ceil(c.cost / (1 - coalesce((definition ->> 'margin')::numeric, 0) / 100) * power(10::numeric, digits)) / power(10::numeric, digits) AS floor
		FROM ecauto_data.seen_price p
		JOIN ecauto_data.seen_stock t ON t.key = p.key AND t.on_hand > t.reserved
		LEFT JOIN ecauto_data.seen_sku k ON k.key = p.key
		LEFT JOIN ecauto_data.seen_product d ON d.key = k.product_key
		CROSS JOIN LATERAL (SELECT CASE WHEN sales IS NOT NULL THEN coalesce((sales ->> p.key)::numeric, 0) END AS units) s
		LEFT JOIN ecauto_data.cost c ON c.sku = p.key AND c.source = '' AND c.currency = asked_currency
		LEFT JOIN LATERAL (SELECT min(lower(h.period)) AS since FROM ecauto_data.price_series r
			JOIN ecauto_data.price_history h USING (series_id)
			WHERE r.sku = p.key AND r.currency = p.currency AND r.list_key = '') a ON true
		WHERE p.currency = asked_currency AND p.list_key = '' AND p.valid_from <= at AND (p.valid_until IS NULL OR p.valid_until > at)
		AND (definition -> 'skus' IS NULL OR definition -> 'skus' ? p.key)
		AND (definition -> 'brands' IS NULL OR definition -> 'brands' ? d.brand)
	), reached AS (
		SELECT DISTINCT ON (g.sku) g.*, (x.s ->> 'percent')::numeric AS percent, x.s AS step
		FROM goods g, jsonb_array_elements(definition -> 'steps') x (s)
		WHERE (x.s -> 'age_days' IS NULL OR g.age_days >= (x.s ->> 'age_days')::integer)
		AND (x.s -> 'cover_days' IS NULL OR g.cover_days >= (x.s ->> 'cover_days')::numeric)
		AND (x.s -> 'season_end' IS NULL OR today >= (x.s ->> 'season_end')::date - coalesce((x.s ->> 'days_before')::integer, 0))
		ORDER BY g.sku, (x.s ->> 'percent')::numeric DESC
	), proposal AS (
		SELECT r.*, greatest(round(r.price * (1 - r.percent / 100), digits), r.floor) AS proposed FROM reached r
	), claimed AS (
		SELECT q.*, greatest(floor((1 - q.proposed / nullif(f.prior, 0)) * 1000) / 10, 0) AS claim
		FROM proposal q, LATERAL (SELECT ecauto.prior_price(q.sku, asked_currency, at, q.proposed) AS prior) f
		WHERE q.proposed < q.price
	)
	SELECT c.sku, c.price, c.proposed, round((1 - c.proposed / c.price) * 100, 1), c.age_days, c.cover_days, c.floor, c.claim,
		format('step %s%s', c.step, CASE WHEN c.proposed = c.floor THEN ', at the floor' ELSE '' END),
		jsonb_strip_nulls(jsonb_build_object('price', c.proposed, 'currency', asked_currency, 'skus', jsonb_build_array(c.sku),
			'from', at, 'claim', nullif(c.claim, 0)))
	FROM claimed c ORDER BY c.sku;
END
$$;
COMMENT ON FUNCTION ecauto.propose_clearance(jsonb, jsonb, timestamptz) IS
'what to mark down: skus in stock that reach a step of {"currency", "steps": [{"age_days", "cover_days", "season_end", "days_before", "percent"}], "margin": percent of the price that must stay above cost, "window_days" of sales, "skus", "brands"}; price and proposed in major units; sales: units sold by key of sku in the last window_days (28; a sku that is not there sold none; NULL: not known, then no step is reached by cover_days); cover_days: days the stock lasts; claim: the highest percentage that may be claimed of the prior price (0: no reduction may be advertised, NULL: not known); promotion: definition for create_promotion(); nothing is written; for operators';
REVOKE ALL ON FUNCTION ecauto.propose_clearance(jsonb, jsonb, timestamptz) FROM PUBLIC;

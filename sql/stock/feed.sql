-- Suppliers' lists: checked as a whole, applied as a whole or not at all.

CREATE OR REPLACE FUNCTION ecauto.import_offers(
	supplier text, rows jsonb, max_missing float8 DEFAULT 0.3, max_move float8 DEFAULT 0.5, max_held float8 DEFAULT 0.05,
	OUT outcome text, OUT offered bigint, OUT new bigint, OUT price_moves bigint, OUT other_changes bigint, OUT unchanged bigint,
	OUT gone bigint, OUT removed bigint, OUT held bigint, OUT unknown bigint, OUT invalid bigint, OUT reason text)
RETURNS record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	s ecauto_data.supplier;
	digest constant bytea := sha256(convert_to(rows::text, 'UTF8'));
	foreign_currency text;
	expected bigint;
	repeated text;
BEGIN
	IF jsonb_typeof(rows) IS DISTINCT FROM 'array' THEN
		RAISE EXCEPTION 'a list of offers must be an array' USING ERRCODE = 'invalid_parameter_value';
	ELSIF NOT (max_missing BETWEEN 0 AND 1 AND max_move > 0 AND max_held BETWEEN 0 AND 1) THEN
		RAISE EXCEPTION 'max_missing and max_held must be between 0 and 1, and max_move above 0'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	-- who approves an order takes its units off several offers, in no particular order
	PERFORM ecauto.purchase_lock();
	SELECT * INTO s FROM ecauto_data.supplier x WHERE x.supplier = import_offers.supplier FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'supplier "%" does not exist', supplier
			USING ERRCODE = 'undefined_object', HINT = 'Make it with ecauto.set_supplier().';
	END IF;
	offered := jsonb_array_length(rows);
	SELECT count(*) INTO expected FROM ecauto_data.offer o WHERE o.supplier = s.supplier AND o.from_feed AND o.misses < 2;
	new := 0; price_moves := 0; other_changes := 0; unchanged := 0; gone := 0; removed := 0; held := 0; unknown := 0; invalid := 0;
	IF s.feed_digest = digest THEN
		UPDATE ecauto_data.supplier x SET feed_at = ecauto.now() WHERE x.supplier = s.supplier;
		outcome := 'same';
		unchanged := offered;
		RETURN;
	END IF;

	IF to_regclass('pg_temp.ecauto_feed') IS NOT NULL THEN
		DROP TABLE pg_temp.ecauto_feed;
	END IF;
	CREATE TEMPORARY TABLE ecauto_feed ON COMMIT DROP AS
	WITH line AS (
		SELECT e.row, e.place, coalesce(e.row -> 'prices', jsonb_build_array(jsonb_build_object('from', 1, 'price', e.row -> 'price'))) AS steps,
			jsonb_typeof(e.row) = 'object' AND NOT EXISTS (
				SELECT FROM unnest('{moq,pack,stock,lead_days}'::text[]) n (name)
				WHERE coalesce(jsonb_typeof(e.row -> n.name), 'null') NOT IN ('number', 'null') OR (jsonb_typeof(e.row -> n.name) = 'number'
					AND ((e.row ->> n.name)::numeric < 0 OR (n.name IN ('moq', 'pack') AND (e.row ->> n.name)::numeric = 0)
						OR (n.name = 'lead_days' AND (e.row ->> n.name)::numeric NOT IN (SELECT generate_series(0, 500)))))) AS good
		FROM jsonb_array_elements(rows) WITH ORDINALITY e (row, place)
	), priced AS (
		SELECT l.*, p.breaks, p.prices, coalesce(p.good, false) AS price_good
		FROM line l LEFT JOIN LATERAL (
			SELECT array_agg(t.f ORDER BY t.f) AS breaks, array_agg(t.p ORDER BY t.f) AS prices,
				bool_and(t.p IS NOT NULL AND t.p > 0 AND t.f > 0) AND count(*) = count(DISTINCT t.f) AS good
			FROM (SELECT CASE WHEN jsonb_typeof(q -> 'from') = 'number' THEN (q ->> 'from')::numeric WHEN q ? 'from' THEN NULL ELSE 1 END AS f,
					CASE WHEN jsonb_typeof(q -> 'price') = 'number' THEN (q ->> 'price')::numeric END AS p
				FROM jsonb_array_elements(CASE WHEN jsonb_typeof(l.steps) = 'array' THEN l.steps ELSE '[]' END) q
				WHERE jsonb_typeof(q) = 'object') t) p ON true
	)
	SELECT r.place, k.key AS sku, r.row ->> 'supplier_sku' AS supplier_sku, upper(r.row ->> 'currency') AS currency, r.breaks, r.prices,
		CASE WHEN r.good THEN coalesce((r.row ->> 'moq')::numeric, 1) END AS moq, CASE WHEN r.good THEN coalesce((r.row ->> 'pack')::numeric, 1) END AS pack,
		CASE WHEN r.good THEN (r.row ->> 'stock')::numeric END AS stock, CASE WHEN r.good THEN (r.row ->> 'lead_days')::integer END AS lead_days,
		r.good AND r.price_good AS good, row_number() OVER (PARTITION BY k.key ORDER BY r.place) AS nth
	FROM priced r
	LEFT JOIN LATERAL (
		SELECT x.key FROM (
			SELECT n.key, 1 AS rank FROM ecauto_data.seen_sku n WHERE n.key = r.row ->> 'sku' COLLATE "C"
			UNION ALL SELECT n.key, 2 FROM ecauto_data.seen_sku n WHERE n.sku = r.row ->> 'sku'
			UNION ALL SELECT o.sku, 3 FROM ecauto_data.offer o WHERE o.supplier = s.supplier AND o.supplier_sku = r.row ->> 'supplier_sku' AND NOT r.row ? 'sku') x
		ORDER BY x.rank, x.key LIMIT 1) k ON true;
	ANALYZE pg_temp.ecauto_feed;

	SELECT min(f.currency) FILTER (WHERE f.currency <> s.currency), count(*) FILTER (WHERE f.good AND f.sku IS NULL),
		count(*) FILTER (WHERE NOT f.good), min(f.sku) FILTER (WHERE f.nth > 1)
	INTO foreign_currency, unknown, invalid, repeated FROM pg_temp.ecauto_feed f;
	-- what a supplier says that cannot be, keeps the offer as it was
	SELECT count(*) FILTER (WHERE o.sku IS NULL AND f.good),
		count(*) FILTER (WHERE f.good AND (o.breaks, o.prices) IS DISTINCT FROM (f.breaks, f.prices) AND o.sku IS NOT NULL AND NOT m.wild),
		count(*) FILTER (WHERE f.good AND o.sku IS NOT NULL AND (o.breaks, o.prices) IS NOT DISTINCT FROM (f.breaks, f.prices)
			AND (o.moq, o.pack, o.stock, o.lead_days, o.misses, o.from_feed, o.supplier_sku)
				IS DISTINCT FROM (f.moq, f.pack, f.stock, f.lead_days, 0, true, coalesce(f.supplier_sku, o.supplier_sku))),
		count(*) FILTER (WHERE f.good AND o.sku IS NOT NULL AND (o.breaks, o.prices) IS NOT DISTINCT FROM (f.breaks, f.prices)
			AND (o.moq, o.pack, o.stock, o.lead_days, o.misses, o.from_feed, o.supplier_sku)
				IS NOT DISTINCT FROM (f.moq, f.pack, f.stock, f.lead_days, 0, true, coalesce(f.supplier_sku, o.supplier_sku))),
		count(*) FILTER (WHERE f.good AND m.wild)
	INTO new, price_moves, other_changes, unchanged, held
	FROM pg_temp.ecauto_feed f LEFT JOIN ecauto_data.offer o ON o.supplier = s.supplier AND o.sku = f.sku
	CROSS JOIN LATERAL (SELECT coalesce(o.prices[1] > 0 AND abs(f.prices[1] / o.prices[1] - 1) > max_move, false) AS wild) m
	WHERE f.sku IS NOT NULL;
	SELECT count(*) FILTER (WHERE o.misses = 0), count(*) FILTER (WHERE o.misses = 1) INTO gone, removed
	FROM ecauto_data.offer o
	WHERE o.supplier = s.supplier AND o.from_feed AND o.misses < 2 AND NOT EXISTS (SELECT FROM pg_temp.ecauto_feed f WHERE f.sku = o.sku);

	reason := CASE WHEN foreign_currency IS NOT NULL THEN format('prices in %s, but the supplier sells in %s', foreign_currency, s.currency)
		WHEN repeated IS NOT NULL THEN format('sku %s is there twice', repeated)
		WHEN gone + removed > max_missing * expected THEN format('%s of %s offers are missing: it seems truncated', gone + removed, expected)
		WHEN invalid > max_held * offered THEN format('%s of %s rows are not valid', invalid, offered)
		WHEN held > max_held * greatest(1, offered - new - unknown) THEN format('%s prices move by more than %s%%', held, trim_scale((100 * max_move)::numeric)) END;
	IF reason IS NOT NULL THEN
		outcome := 'rejected';
		PERFORM ecauto.track('feed.rejected', properties => jsonb_build_object('supplier', supplier, 'reason', reason, 'offered', offered, 'expected', expected));
		DROP TABLE pg_temp.ecauto_feed;
		RETURN;
	END IF;

	UPDATE ecauto_data.offer o SET misses = o.misses + 1
	WHERE o.supplier = s.supplier AND o.from_feed AND o.misses < 2 AND NOT EXISTS (SELECT FROM pg_temp.ecauto_feed f WHERE f.sku = o.sku);
	INSERT INTO ecauto_data.offer AS o (supplier, sku, supplier_sku, breaks, prices, moq, pack, stock, lead_days, from_feed)
	SELECT s.supplier, f.sku, f.supplier_sku, f.breaks, f.prices, f.moq, f.pack, f.stock, f.lead_days, true
	FROM pg_temp.ecauto_feed f WHERE f.good AND f.sku IS NOT NULL
	ON CONFLICT ON CONSTRAINT offer_pkey DO UPDATE
	SET (supplier_sku, breaks, prices, moq, pack, stock, lead_days, misses, from_feed, refused_on) = ROW (coalesce(excluded.supplier_sku, o.supplier_sku),
		excluded.breaks, excluded.prices, excluded.moq, excluded.pack, excluded.stock, excluded.lead_days, 0, true, NULL)
	WHERE (o.breaks, o.prices, o.moq, o.pack, o.stock, o.lead_days, o.misses, o.from_feed, o.supplier_sku)
		IS DISTINCT FROM (excluded.breaks, excluded.prices, excluded.moq, excluded.pack, excluded.stock, excluded.lead_days, 0, true,
			coalesce(excluded.supplier_sku, o.supplier_sku))
		AND NOT coalesce(o.prices[1] > 0 AND abs(excluded.prices[1] / o.prices[1] - 1) > max_move, false);
	UPDATE ecauto_data.supplier x SET feed_at = ecauto.now(), feed_digest = digest WHERE x.supplier = s.supplier;
	DROP TABLE pg_temp.ecauto_feed;
	outcome := 'applied';
END
$$;
COMMENT ON FUNCTION ecauto.import_offers(text, jsonb, float8, float8, float8) IS
'a supplier''s list of offers, whole: rows is an array of objects with sku (key or code; or supplier_sku of a known offer) and price or prices, and may have supplier_sku, currency, moq, pack, stock, lead_days. Applied at once or rejected (then nothing changes, reason says why, and event feed.rejected tells): more than the part max_missing of known offers missing, a currency that is not the supplier''s, a sku twice, more than the part max_held of rows invalid or with a price that moves by more than the part max_move; fewer such are held: they stay as they were. gone: missing for the first time, still offered; removed: for the second time, no longer; same: the list of last time, nothing changes; for operators';
REVOKE ALL ON FUNCTION ecauto.import_offers(text, jsonb, float8, float8, float8) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.import_offers_from(
	supplier text, staging regclass, max_missing float8 DEFAULT 0.3, max_move float8 DEFAULT 0.5, max_held float8 DEFAULT 0.05,
	OUT outcome text, OUT offered bigint, OUT new bigint, OUT price_moves bigint, OUT other_changes bigint, OUT unchanged bigint,
	OUT gone bigint, OUT removed bigint, OUT held bigint, OUT unknown bigint, OUT invalid bigint, OUT reason text)
RETURNS record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	list jsonb;
	result record;
BEGIN
	EXECUTE format('SELECT coalesce(jsonb_agg(j ORDER BY j), ''[]'') FROM (SELECT jsonb_strip_nulls(to_jsonb(t)) AS j FROM %s t) x', staging) INTO list;
	SELECT i.* INTO result FROM ecauto.import_offers($1, list, $3, $4, $5) i;
	SELECT result.outcome, result.offered, result.new, result.price_moves, result.other_changes, result.unchanged, result.gone,
		result.removed, result.held, result.unknown, result.invalid, result.reason
	INTO outcome, offered, new, price_moves, other_changes, unchanged, gone, removed, held, unknown, invalid, reason;
END
$$;
COMMENT ON FUNCTION ecauto.import_offers_from(text, regclass, float8, float8, float8) IS
'ecauto.import_offers() of the rows of a table or view, whose columns have the names of the members; for operators who may read it';
REVOKE ALL ON FUNCTION ecauto.import_offers_from(text, regclass, float8, float8, float8) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.available_at_supplier(skus text[] DEFAULT NULL)
RETURNS TABLE (sku text, suppliers bigint, units numeric)
LANGUAGE sql STABLE ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
SELECT o.sku::text, count(*), sum(o.stock)
FROM ecauto_data.offer o JOIN ecauto_data.supplier s ON s.supplier = o.supplier
WHERE ($1 IS NULL OR o.sku = ANY ($1)) AND s.active AND o.misses < 2 AND coalesce(o.stock, 1) > 0
	AND coalesce(o.valid_until >= ecauto.today(), true)
	AND NOT (o.from_feed AND coalesce(s.feed_at + s.feed_keep < ecauto.now(), false))
GROUP BY 1
$$;
COMMENT ON FUNCTION ecauto.available_at_supplier(text[]) IS
'skus (keys; NULL: all) that can be had from suppliers: from how many, and units that they tell of (NULL: none tells); an offer of a feed older than the supplier''s feed_keep does not count; for operators';
REVOKE ALL ON FUNCTION ecauto.available_at_supplier(text[]) FROM PUBLIC;

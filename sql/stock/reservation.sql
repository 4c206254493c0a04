-- Setting units aside: while a customer pays, or decides.

CREATE OR REPLACE FUNCTION ecauto.sellable(skus text[] DEFAULT NULL)
RETURNS TABLE (sku text, available numeric, held numeric, sellable numeric)
LANGUAGE sql VOLATILE ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
WITH shelf AS (
	SELECT r.key, sum(r.on_hand - r.reserved) AS available
	FROM ecauto.role_rows('stock', $1) AS r (key text, on_hand numeric, reserved numeric) GROUP BY 1
), aside AS (
	SELECT v.sku, sum(v.units) AS units FROM ecauto_data.reservation v
	WHERE v.expires_at >= ecauto.now() AND ($1 IS NULL OR v.sku = ANY ($1)) GROUP BY 1
)
SELECT s.key, s.available, coalesce(a.units, 0), s.available - coalesce(a.units, 0)
FROM shelf s LEFT JOIN aside a ON a.sku = s.key COLLATE "C"
ORDER BY 1
$$;
COMMENT ON FUNCTION ecauto.sellable(text[]) IS
'what can be sold of skus (keys; NULL: all) at this moment: available as the shop has it, held by reservations that have not expired, and the difference; for operators';
REVOKE ALL ON FUNCTION ecauto.sellable(text[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.reserve(
	sku text, units numeric DEFAULT 1, holder text DEFAULT NULL, keep interval DEFAULT '10 minutes')
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	the_key constant text := ecauto.stock_sku_key(sku);
	counted boolean;
	free numeric;
	result bigint;
BEGIN
	IF units IS NULL OR NOT units > 0 OR units IN ('NaN', 'Infinity') THEN
		RAISE EXCEPTION 'units must be a finite number above zero'
			USING ERRCODE = 'invalid_parameter_value', DETAIL = format('They are %s.', coalesce(units::text, 'null'));
	ELSIF keep IS NULL OR NOT keep > '0' OR keep > '1 year' THEN
		RAISE EXCEPTION 'a reservation is kept for a time above zero, and at most a year'
			USING ERRCODE = 'invalid_parameter_value', DETAIL = format('The time is %s.', coalesce(keep::text, 'null'));
	END IF;
	-- from here to the end of the transaction nobody else reserves this sku; what follows sees all that did before
	INSERT INTO ecauto_data.reservation_sku AS r (sku) VALUES (the_key)
	ON CONFLICT ON CONSTRAINT reservation_sku_pkey DO UPDATE SET turn = r.turn + 1;
	DELETE FROM ecauto_data.reservation v WHERE v.sku = the_key AND v.expires_at < ecauto.now();

	SELECT s.track_stock INTO counted FROM ecauto_data.seen_sku s WHERE s.key = the_key;
	IF counted THEN
		SELECT coalesce(sum(r.on_hand - r.reserved), 0) INTO free
		FROM ecauto.role_rows('stock', ARRAY[the_key]) AS r (on_hand numeric, reserved numeric);
		free := free - coalesce((SELECT sum(v.units) FROM ecauto_data.reservation v
			WHERE v.sku = the_key AND v.holder IS DISTINCT FROM reserve.holder), 0)
			- coalesce((SELECT sum(v.units) FROM ecauto_data.reservation v WHERE v.sku = the_key AND reserve.holder IS NULL AND v.holder IS NULL), 0);
		IF free < units THEN
			RETURN NULL;
		END IF;
	END IF;
	INSERT INTO ecauto_data.reservation AS v (sku, units, holder, at, expires_at)
	VALUES (the_key, units, holder, ecauto.now(), ecauto.now() + keep)
	ON CONFLICT ON CONSTRAINT reservation_sku_holder_key DO UPDATE SET units = excluded.units, expires_at = excluded.expires_at
	RETURNING v.id INTO result;
	RETURN result;
END
$$;
COMMENT ON FUNCTION ecauto.reserve(text, numeric, text, interval) IS
'sets units of a sku (key or code) aside for a time and returns the number of the reservation; NULL if so many cannot be sold: what the shop has available less all other reservations; again by the same holder (a cart, say): his reservation, with the new units and time; for operators';
REVOKE ALL ON FUNCTION ecauto.reserve(text, numeric, text, interval) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.release(id bigint)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	was timestamptz;
BEGIN
	DELETE FROM ecauto_data.reservation v WHERE v.id = release.id RETURNING v.expires_at INTO was;
	RETURN coalesce(was >= ecauto.now(), false);
END
$$;
COMMENT ON FUNCTION ecauto.release(bigint) IS
'ends a reservation: its units can be sold again; false if it had expired or there is none; for operators';
REVOKE ALL ON FUNCTION ecauto.release(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.commit_reservation(id bigint)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	was ecauto_data.reservation;
BEGIN
	-- who reserves the sku meanwhile waits, and then sees the shop's stock without these units
	INSERT INTO ecauto_data.reservation_sku AS r (sku) SELECT v.sku FROM ecauto_data.reservation v WHERE v.id = commit_reservation.id
	ON CONFLICT ON CONSTRAINT reservation_sku_pkey DO UPDATE SET turn = r.turn + 1;
	DELETE FROM ecauto_data.reservation v WHERE v.id = commit_reservation.id RETURNING * INTO was;
	RETURN coalesce(was.expires_at >= ecauto.now(), false);
END
$$;
COMMENT ON FUNCTION ecauto.commit_reservation(bigint) IS
'the units of a reservation were sold: it ends, in the transaction in which the shop takes them from its stock, or after it; false if it had expired or there is none: then they may have been promised to somebody else; for operators';
REVOKE ALL ON FUNCTION ecauto.commit_reservation(bigint) FROM PUBLIC;

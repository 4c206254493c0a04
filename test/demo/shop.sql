-- A small web shop of its own making: tables, a past, and the few functions
-- its application calls.  Nothing in here knows of ecauto.
--
--   psql -v n_products=500 -v n_customers=800 -v n_orders=2000 -f shop.sql
--
-- Variables, all optional:
--   n_products   products; each has one to three variants, two on average
--   n_customers  customers, at least one
--   n_orders     orders over the last year, one to four lines each
--   n_carts      carts, half of them given up
--   season       1: categories have seasons, customers come, have a favourite one,
--                and leave, and what is bought together is mostly of one
--                category; 0: no such thing
--   seed         another seed makes another shop; the same one the same shop
--   until        the end of the shop's past; 'now' unless given
--
-- Random values are hashes of row numbers, so they do not depend on the plan.
-- A few products and customers are far more popular than the rest, weekends
-- are busier than weekdays, and trade grows through the year.

\set ON_ERROR_STOP on
\set QUIET on
\if :{?n_products} \else \set n_products 200 \endif
\if :{?n_customers} \else \set n_customers 400 \endif
\if :{?n_orders} \else \set n_orders 1000 \endif
\if :{?n_carts} \else \set n_carts 100 \endif
\if :{?season} \else \set season 0 \endif
\if :{?seed} \else \set seed 1 \endif
\if :{?until} \else \set until now \endif

BEGIN;
SET LOCAL client_min_messages = warning;

CREATE SCHEMA shop;
COMMENT ON SCHEMA shop IS 'a small web shop to try things on';
SET LOCAL search_path = shop;

CREATE TABLE category (
	id integer PRIMARY KEY,
	parent_id integer,
	name text NOT NULL
);

CREATE TABLE product (
	id bigserial PRIMARY KEY,
	category_id integer,
	name text NOT NULL,
	slug text NOT NULL,
	description text,
	brand text,
	published boolean NOT NULL DEFAULT true,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE variant (
	id bigserial PRIMARY KEY,
	product_id bigint NOT NULL,
	sku text NOT NULL,
	name text,
	ean text,
	weight_g integer,
	enabled boolean NOT NULL DEFAULT true,
	track_stock boolean NOT NULL DEFAULT true
);

CREATE TABLE price (
	variant_id bigint NOT NULL,
	currency text NOT NULL,
	amount numeric(12,2) NOT NULL,
	includes_tax boolean NOT NULL DEFAULT true
);

CREATE TABLE supply_cost (
	variant_id bigint NOT NULL,
	cost numeric(12,2) NOT NULL,
	currency text NOT NULL
);

CREATE TABLE location (
	id text PRIMARY KEY,
	name text NOT NULL
);

-- what is ordered and not yet shipped is reserved
CREATE TABLE stock (
	variant_id bigint NOT NULL,
	location_id text NOT NULL,
	on_hand integer NOT NULL,
	reserved integer NOT NULL DEFAULT 0
);

CREATE TABLE customer (
	id bigserial PRIMARY KEY,
	email text NOT NULL,
	first_name text,
	last_name text,
	phone text,
	birth_date date,
	country text,
	city text,
	postcode text,
	locale text,
	newsletter boolean NOT NULL DEFAULT false,
	has_account boolean NOT NULL DEFAULT true,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE orders (
	id bigserial PRIMARY KEY,
	number text NOT NULL,
	customer_id bigint,
	email text NOT NULL,
	cart_id bigint,
	currency text NOT NULL,
	total numeric(12,2) NOT NULL,
	shipping numeric(12,2) NOT NULL DEFAULT 0,
	tax numeric(12,2) NOT NULL DEFAULT 0,
	status text NOT NULL DEFAULT 'placed'
		CHECK (status IN ('placed', 'paid', 'shipped', 'cancelled', 'refunded')),
	ship_country text,
	ship_postcode text,
	placed_at timestamptz NOT NULL DEFAULT now(),
	shipped_at timestamptz,
	cancelled_at timestamptz,
	updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE order_line (
	id bigserial PRIMARY KEY,
	order_id bigint NOT NULL,
	variant_id bigint,
	sku text NOT NULL,
	quantity integer NOT NULL,
	quantity_cancelled integer NOT NULL DEFAULT 0,
	unit_price numeric(12,2) NOT NULL
);

CREATE TABLE payment (
	id bigserial PRIMARY KEY,
	order_id bigint NOT NULL,
	amount numeric(12,2) NOT NULL,
	method text NOT NULL,
	status text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE refund (
	id bigserial PRIMARY KEY,
	order_id bigint NOT NULL,
	amount numeric(12,2) NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE cart (
	id bigserial PRIMARY KEY,
	customer_id bigint,
	email text,
	currency text NOT NULL,
	ordered boolean NOT NULL DEFAULT false,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE cart_line (
	id bigserial PRIMARY KEY,
	cart_id bigint NOT NULL,
	variant_id bigint NOT NULL,
	quantity integer NOT NULL
);

-- Its past.

-- a number from 0 (inclusive) to 1 that depends on i and the purpose alone
CREATE FUNCTION pg_temp.noise(i bigint, purpose integer) RETURNS float8
LANGUAGE sql IMMUTABLE
RETURN (hashint8extended(i, purpose) & 9007199254740991)::float8 / 9007199254740992;

SELECT :seed * 1000 AS s \gset
SELECT (:'until')::timestamptz AS until \gset

INSERT INTO category
SELECT i, nullif((i - 1) / 4, 0),
	(ARRAY['Home', 'Kitchen', 'Garden', 'Tools', 'Toys', 'Lamps', 'Baskets', 'Cups', 'Candles', 'Paper',
		'Clocks', 'Frames', 'Rugs', 'Bags', 'Pots', 'Seeds', 'Ropes', 'Games', 'Boxes', 'Bells'])[i]
FROM generate_series(1, 20) i;

INSERT INTO product (id, category_id, name, slug, description, brand, published, created_at, updated_at)
SELECT i, 1 + floor(20 * pg_temp.noise(i, :s + 1)), t.name || ' ' || i, lower(replace(t.name, ' ', '-')) || '-' || i,
	t.name || ', item ' || i || ' of our range.',
	(ARRAY['Alder', 'Birch', 'Cedar', 'Dogwood', 'Elm'])[1 + floor(5 * pg_temp.noise(i, :s + 2))],
	pg_temp.noise(i, :s + 3) < 0.97, t.at, t.at
FROM generate_series(1, :n_products) i,
	LATERAL (SELECT (ARRAY['Red', 'Blue', 'Green', 'White', 'Striped', 'Small', 'Large', 'Old'])[1 + floor(8 * pg_temp.noise(i, :s + 4))]
		|| ' ' || (ARRAY['lantern', 'basket', 'mug', 'clock', 'frame', 'rug', 'bag', 'pot', 'bell', 'box'])[1 + floor(10 * pg_temp.noise(i, :s + 5))],
		:'until'::timestamptz - interval '730 days' * pg_temp.noise(i, :s + 6)) t(name, at);

INSERT INTO variant (product_id, sku, name, ean, weight_g)
SELECT p.id, 'SKU-' || p.id || '-' || v, (ARRAY['S', 'M', 'L'])[v],
	lpad((p.id * 10 + v)::text, 13, '4'), 50 + floor(2000 * pg_temp.noise(p.id * 10 + v, :s + 7))
FROM product p, generate_series(1, 1 + (p.id % 3)::integer) v
ORDER BY p.id, v;

INSERT INTO price (variant_id, currency, amount)
SELECT v.id, 'GBP', round((2 + 80 * pg_temp.noise(v.product_id, :s + 8) ^ 3)::numeric, 2) - 0.01
FROM variant v;

INSERT INTO supply_cost (variant_id, cost, currency)
SELECT p.variant_id, round(p.amount * (0.35 + 0.25 * pg_temp.noise(p.variant_id, :s + 9))::numeric, 2), p.currency
FROM price p;

INSERT INTO location VALUES ('main', 'Main warehouse');

INSERT INTO stock (variant_id, location_id, on_hand)
SELECT v.id, 'main', 20 + floor(180 * pg_temp.noise(v.id, :s + 10)) FROM variant v;

INSERT INTO customer (id, email, first_name, last_name, phone, birth_date, country, city, postcode, locale,
	newsletter, has_account, created_at, updated_at)
SELECT i, 'customer' || i || '@example.test', t.first, 'No' || i, '+44 20 7946 ' || lpad((i % 10000)::text, 4, '0'),
	date '1950-01-01' + floor(20000 * pg_temp.noise(i, :s + 11))::integer,
	t.country, t.city, upper(left(t.city, 2)) || ' ' || (i % 90 + 10), t.locale,
	pg_temp.noise(i, :s + 13) < 0.6, pg_temp.noise(i, :s + 14) < 0.7, t.at, t.at
FROM generate_series(1, :n_customers) i,
	LATERAL (SELECT (ARRAY['Ada', 'Ben', 'Cleo', 'Dan', 'Eva', 'Finn', 'Gwen', 'Hugo'])[1 + floor(8 * pg_temp.noise(i, :s + 12))],
		CASE WHEN pg_temp.noise(i, :s + 15) < 0.7 THEN 'GB' WHEN pg_temp.noise(i, :s + 15) < 0.85 THEN 'DE' ELSE 'PL' END,
		CASE WHEN pg_temp.noise(i, :s + 15) < 0.7 THEN 'London' WHEN pg_temp.noise(i, :s + 15) < 0.85 THEN 'Berlin' ELSE 'Warsaw' END,
		CASE WHEN pg_temp.noise(i, :s + 15) < 0.7 THEN 'en' WHEN pg_temp.noise(i, :s + 15) < 0.85 THEN 'de' ELSE 'pl' END,
		:'until'::timestamptz - interval '500 days' * pg_temp.noise(i, :s + 16)) t(first, country, city, locale, at);

CREATE TEMP TABLE draft ON COMMIT DROP AS
SELECT i AS id, 1 + floor(:n_customers * pg_temp.noise(i, :s + 17) ^ 2)::bigint AS customer_id,
	:'until'::timestamptz - interval '365 days' * (1 - sqrt(pg_temp.noise(i, :s + 18))) AS at,
	pg_temp.noise(i, :s + 19) AS fate, 1 + floor(4 * pg_temp.noise(i, :s + 20) ^ 2)::integer AS lines
FROM generate_series(1, :n_orders) i;
-- one weekday order in five waits for the weekend, but never for the future
UPDATE draft d SET at = later
FROM (SELECT id, at + interval '1 day' * (6 - extract(dow FROM at) + (id / 5) % 2) AS later FROM draft
	WHERE id % 5 = 0 AND extract(dow FROM at) BETWEEN 1 AND 5) w
WHERE w.id = d.id AND w.later < :'until'::timestamptz;

\if :season
UPDATE product p SET (name, slug, description) = (SELECT n.name, lower(replace(n.name, ' ', '-')), n.name || ', item ' || p.id || ' of our range.'
	FROM (SELECT split_part(p.name, ' ', 1) || ' ' || (ARRAY['cushion', 'pan', 'trowel', 'hammer', 'puzzle', 'lamp', 'basket', 'cup', 'candle', 'notebook',
		'clock', 'frame', 'rug', 'bag', 'pot', 'seed mix', 'rope', 'game', 'box', 'bell'])[p.category_id] || ' ' || p.id) n(name));

-- whoever orders has come by then and not left yet; nobody there, no order
UPDATE draft d SET customer_id = (
	SELECT p.i FROM generate_series(1, 9) k
		CROSS JOIN LATERAL (SELECT 1 + floor(:n_customers * pg_temp.noise(d.id * 10 + k, :s + 40) ^ 1.3)::bigint) p(i)
		CROSS JOIN LATERAL (SELECT :'until'::timestamptz - interval '500 days' * pg_temp.noise(p.i, :s + 16),
			interval '-1 day' * 200 * ln(1 - 0.999 * pg_temp.noise(p.i, :s + 41))) c(came, stayed)
	WHERE d.at BETWEEN c.came AND c.came + c.stayed ORDER BY k LIMIT 1);
DELETE FROM draft WHERE customer_id IS NULL;

-- how much a category is asked for in a month, beside the others
CREATE TEMP TABLE season ON COMMIT DROP AS
SELECT c.id AS category_id, m AS month, array_agg(v.id ORDER BY v.id) AS variants,
	CASE WHEN c.name IN ('Garden', 'Seeds', 'Pots') THEN CASE WHEN m BETWEEN 3 AND 6 THEN 4 WHEN m IN (11, 12, 1, 2) THEN 0.3 ELSE 1 END
		WHEN c.name IN ('Toys', 'Lamps', 'Candles', 'Games', 'Bells') THEN CASE WHEN m BETWEEN 10 AND 12 THEN 4 WHEN m BETWEEN 5 AND 8 THEN 0.5 ELSE 1 END
		ELSE 1 END AS weight
FROM category c JOIN product p ON p.category_id = c.id JOIN variant v ON v.product_id = p.id, generate_series(1, 12) m
GROUP BY c.id, m;
CREATE TEMP TABLE theme ON COMMIT DROP AS
SELECT DISTINCT ON (d.id) d.id, s.variants
FROM draft d CROSS JOIN generate_series(1, 4) k
	CROSS JOIN LATERAL (SELECT 1 + floor(20 * CASE WHEN k = 1 THEN pg_temp.noise(d.customer_id, :s + 30) ELSE pg_temp.noise(d.id * 10 + k, :s + 31) END)::integer) c(category_id)
	JOIN season s ON s.category_id = c.category_id AND s.month = extract(month FROM d.at)
ORDER BY d.id, s.weight * CASE WHEN k = 1 THEN 1.5 ELSE 1 END * pg_temp.noise(d.id * 10 + k, :s + 32) DESC;

INSERT INTO order_line (order_id, variant_id, sku, quantity, unit_price)
SELECT d.id, v.id, v.sku, 1 + floor(3 * pg_temp.noise(d.id * 10 + l, :s + 22) ^ 2), p.amount
FROM draft d LEFT JOIN theme t ON t.id = d.id, generate_series(1, d.lines) l,
	LATERAL (SELECT coalesce(
		CASE WHEN pg_temp.noise(d.id * 10 + l, :s + 33) < 0.8 THEN t.variants[1 + floor(cardinality(t.variants) * pg_temp.noise(d.id * 10 + l, :s + 21) ^ 2)::integer] END,
		1 + floor((SELECT max(id) FROM variant) * pg_temp.noise(d.id * 10 + l, :s + 21) ^ 2)::bigint)) pick(variant_id)
	JOIN variant v ON v.id = pick.variant_id JOIN price p ON p.variant_id = v.id
ORDER BY d.at, d.id, l;
\else
INSERT INTO order_line (order_id, variant_id, sku, quantity, unit_price)
SELECT d.id, v.id, v.sku, 1 + floor(3 * pg_temp.noise(d.id * 10 + l, :s + 22) ^ 2), p.amount
FROM draft d, generate_series(1, d.lines) l,
	LATERAL (SELECT 1 + floor((SELECT max(id) FROM variant) * pg_temp.noise(d.id * 10 + l, :s + 21) ^ 2)::bigint) pick(variant_id)
	JOIN variant v ON v.id = pick.variant_id JOIN price p ON p.variant_id = v.id
ORDER BY d.at, d.id, l;
\endif

INSERT INTO orders (id, number, customer_id, email, currency, total, shipping, tax, status, ship_country, ship_postcode,
	placed_at, shipped_at, cancelled_at, updated_at)
SELECT d.id, 'D' || (100000 + d.id), c.id, c.email, 'GBP', l.total + 4.95, 4.95, round((l.total + 4.95) / 6, 2), f.status,
	c.country, c.postcode, d.at,
	CASE WHEN f.status IN ('shipped', 'refunded') THEN d.at + interval '1 day' * (1 + d.fate) END,
	CASE WHEN f.status = 'cancelled' THEN d.at + interval '3 hours' END, d.at + interval '2 days'
FROM draft d
	JOIN customer c ON c.id = d.customer_id
	JOIN (SELECT order_id, sum(quantity * unit_price) FROM order_line GROUP BY order_id) l(order_id, total) ON l.order_id = d.id,
	LATERAL (SELECT CASE WHEN d.fate < 0.06 THEN 'cancelled' WHEN d.fate < 0.10 THEN 'refunded'
		WHEN d.at < :'until'::timestamptz - interval '3 days' THEN 'shipped'
		WHEN d.fate < 0.5 THEN 'paid' ELSE 'placed' END) f(status);

INSERT INTO payment (order_id, amount, method, status, created_at)
SELECT o.id, o.total, CASE WHEN o.id % 3 = 0 THEN 'transfer' ELSE 'card' END, 'settled', o.placed_at + interval '5 minutes'
FROM orders o WHERE o.status IN ('paid', 'shipped', 'refunded') ORDER BY o.id;

INSERT INTO refund (order_id, amount, created_at)
SELECT o.id, CASE WHEN o.id % 2 = 0 THEN o.total ELSE round(o.total / 2, 2) END, o.placed_at + interval '9 days'
FROM orders o WHERE o.status = 'refunded' AND o.placed_at < :'until'::timestamptz - interval '9 days' ORDER BY o.id;

INSERT INTO cart (id, customer_id, email, currency, created_at, updated_at)
SELECT i, c.id, c.email, 'GBP', t.at, t.at
FROM generate_series(1, :n_carts) i
	LEFT JOIN customer c ON c.id = 1 + floor(:n_customers * 1.5 * pg_temp.noise(i, :s + 23))::bigint,
	LATERAL (SELECT :'until'::timestamptz - interval '20 days' * pg_temp.noise(i, :s + 24)) t(at);

INSERT INTO cart_line (cart_id, variant_id, quantity)
SELECT i, 1 + floor((SELECT max(id) FROM variant) * pg_temp.noise(i, :s + 25) ^ 2)::bigint, 1 + i % 2
FROM generate_series(1, :n_carts) i;

\if :season
-- some weeks of what sells now; less of some
UPDATE stock s SET on_hand = floor(4 * pg_temp.noise(s.variant_id, :s + 42))
	+ round((0.1 + 2.5 * pg_temp.noise(s.variant_id, :s + 43)) * (SELECT count(*) FROM order_line l JOIN orders o ON o.id = l.order_id
		WHERE l.variant_id = s.variant_id AND o.placed_at > :'until'::timestamptz - interval '45 days'));
\endif

UPDATE stock s SET on_hand = s.on_hand + w.quantity, reserved = w.quantity
FROM (SELECT l.variant_id, sum(l.quantity) AS quantity FROM order_line l JOIN orders o ON o.id = l.order_id
	WHERE o.status IN ('placed', 'paid') GROUP BY 1) w
WHERE w.variant_id = s.variant_id;

-- Keys last: it is quicker.

ALTER TABLE category ADD FOREIGN KEY (parent_id) REFERENCES category;
ALTER TABLE product ADD FOREIGN KEY (category_id) REFERENCES category;
CREATE UNIQUE INDEX ON product (slug);
ALTER TABLE variant ADD UNIQUE (sku), ADD FOREIGN KEY (product_id) REFERENCES product;
CREATE INDEX ON variant (product_id);
ALTER TABLE price ADD PRIMARY KEY (variant_id, currency), ADD FOREIGN KEY (variant_id) REFERENCES variant;
ALTER TABLE supply_cost ADD PRIMARY KEY (variant_id), ADD FOREIGN KEY (variant_id) REFERENCES variant;
ALTER TABLE stock ADD PRIMARY KEY (variant_id, location_id), ADD FOREIGN KEY (variant_id) REFERENCES variant,
	ADD FOREIGN KEY (location_id) REFERENCES location, ADD CHECK (on_hand >= 0 AND reserved BETWEEN 0 AND on_hand);
CREATE UNIQUE INDEX ON customer (lower(email));
ALTER TABLE orders ADD UNIQUE (number), ADD FOREIGN KEY (customer_id) REFERENCES customer;
CREATE INDEX ON orders (customer_id);
CREATE INDEX ON orders (placed_at);
ALTER TABLE order_line ADD FOREIGN KEY (order_id) REFERENCES orders, ADD FOREIGN KEY (variant_id) REFERENCES variant;
CREATE INDEX ON order_line (order_id);
CREATE INDEX ON order_line (variant_id);
ALTER TABLE payment ADD FOREIGN KEY (order_id) REFERENCES orders;
CREATE INDEX ON payment (order_id);
ALTER TABLE refund ADD FOREIGN KEY (order_id) REFERENCES orders;
CREATE INDEX ON refund (order_id);
ALTER TABLE cart ADD FOREIGN KEY (customer_id) REFERENCES customer;
ALTER TABLE cart_line ADD FOREIGN KEY (cart_id) REFERENCES cart, ADD FOREIGN KEY (variant_id) REFERENCES variant;
CREATE INDEX ON cart_line (cart_id);

SELECT setval('product_id_seq', (SELECT max(id) FROM product)) AS products, setval('customer_id_seq', (SELECT max(id) FROM customer)) AS customers,
	setval('orders_id_seq', (SELECT max(id) FROM orders)) AS orders, setval('cart_id_seq', (SELECT max(id) FROM cart)) AS carts
\gset

-- What its application does.

CREATE FUNCTION fill_cart(sku text, quantity integer, email text) RETURNS bigint
LANGUAGE sql SET search_path = shop
AS $$
	WITH made AS (
		INSERT INTO cart (customer_id, email, currency)
		SELECT (SELECT c.id FROM customer c WHERE lower(c.email) = lower($3)), $3, 'GBP'
		RETURNING id
	)
	INSERT INTO cart_line (cart_id, variant_id, quantity)
	SELECT made.id, v.id, $2 FROM made, variant v WHERE v.sku = $1
	RETURNING cart_id;
$$;
COMMENT ON FUNCTION fill_cart(text, integer, text) IS
	'somebody puts a thing into a new cart; returns the id of the cart';

CREATE FUNCTION check_out(cart_id bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = shop
AS $$
DECLARE
	bought record;
	buyer bigint;
	placed constant bigint := nextval('orders_id_seq');
BEGIN
	UPDATE cart c SET ordered = true, updated_at = now() WHERE c.id = check_out.cart_id AND NOT c.ordered
	RETURNING c.customer_id, c.email, c.currency INTO STRICT bought;
	buyer := bought.customer_id;
	IF buyer IS NULL THEN
		INSERT INTO customer (email, has_account) VALUES (bought.email, false) RETURNING id INTO buyer;
	END IF;

	UPDATE stock s SET reserved = s.reserved + l.quantity
	FROM (SELECT l.variant_id, sum(l.quantity) AS quantity FROM cart_line l WHERE l.cart_id = check_out.cart_id GROUP BY 1) l
	WHERE s.variant_id = l.variant_id;
	INSERT INTO orders (id, number, customer_id, email, cart_id, currency, total, shipping, ship_country, ship_postcode)
	SELECT placed, 'D' || (100000 + placed), buyer, bought.email, check_out.cart_id, bought.currency,
		sum(l.quantity * p.amount) + 4.95, 4.95, c.country, c.postcode
	FROM cart_line l JOIN price p ON p.variant_id = l.variant_id AND p.currency = bought.currency, customer c
	WHERE l.cart_id = check_out.cart_id AND c.id = buyer
	GROUP BY c.id;
	INSERT INTO order_line (order_id, variant_id, sku, quantity, unit_price)
	SELECT placed, v.id, v.sku, l.quantity, p.amount
	FROM cart_line l JOIN variant v ON v.id = l.variant_id JOIN price p ON p.variant_id = v.id AND p.currency = bought.currency
	WHERE l.cart_id = check_out.cart_id;
	RETURN placed;
END
$$;
COMMENT ON FUNCTION check_out(bigint) IS 'a cart becomes an order; returns the id of the order';

CREATE FUNCTION place_order(sku text, quantity integer, email text) RETURNS bigint
LANGUAGE sql SET search_path = shop
AS $$
	SELECT check_out(fill_cart($1, $2, $3));
$$;
COMMENT ON FUNCTION place_order(text, integer, text) IS 'somebody buys a thing; returns the id of the order';

CREATE FUNCTION pay_order(order_id bigint) RETURNS void
LANGUAGE sql SET search_path = shop
AS $$
	INSERT INTO payment (order_id, amount, method, status)
	SELECT o.id, o.total, 'card', 'settled' FROM orders o WHERE o.id = $1;
	UPDATE orders SET status = 'paid', updated_at = now() WHERE id = $1;
$$;
COMMENT ON FUNCTION pay_order(bigint) IS 'the payment of an order has arrived';

CREATE FUNCTION ship_order(order_id bigint) RETURNS void
LANGUAGE sql SET search_path = shop
AS $$
	UPDATE stock s SET on_hand = s.on_hand - l.quantity, reserved = s.reserved - l.quantity
	FROM (SELECT variant_id, sum(quantity)::integer AS quantity FROM order_line WHERE order_line.order_id = $1 GROUP BY 1) l
	WHERE s.variant_id = l.variant_id;
	UPDATE orders SET status = 'shipped', shipped_at = now(), updated_at = now() WHERE id = $1;
$$;
COMMENT ON FUNCTION ship_order(bigint) IS 'an order has left the warehouse';

CREATE FUNCTION cancel_order(order_id bigint) RETURNS void
LANGUAGE sql SET search_path = shop
AS $$
	UPDATE stock s SET reserved = s.reserved - l.quantity
	FROM (SELECT variant_id, sum(quantity)::integer AS quantity FROM order_line WHERE order_line.order_id = $1 GROUP BY 1) l
	WHERE s.variant_id = l.variant_id;
	UPDATE order_line SET quantity_cancelled = quantity WHERE order_line.order_id = $1;
	UPDATE orders SET status = 'cancelled', cancelled_at = now(), updated_at = now() WHERE id = $1;
$$;
COMMENT ON FUNCTION cancel_order(bigint) IS 'an order that has not been shipped is given up';

CREATE FUNCTION refund_order(order_id bigint, amount numeric) RETURNS void
LANGUAGE sql SET search_path = shop
AS $$
	INSERT INTO refund (order_id, amount) VALUES ($1, $2);
	UPDATE orders SET status = 'refunded', updated_at = now() WHERE id = $1;
$$;
COMMENT ON FUNCTION refund_order(bigint, numeric) IS 'money goes back to the customer';

COMMIT;

ANALYZE shop.category, shop.product, shop.variant, shop.price, shop.supply_cost, shop.stock, shop.customer,
	shop.orders, shop.order_line, shop.payment, shop.refund, shop.cart, shop.cart_line;
\set QUIET off

-- Facts of each customer, computed from what was seen.  Only tick() writes them.

CREATE TABLE ecauto_data.customer_setting (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	currency text,
	by_hand boolean NOT NULL DEFAULT false,
	silent_no bigint NOT NULL DEFAULT 0,
	categories_at timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO ecauto_data.customer_setting DEFAULT VALUES;
COMMENT ON TABLE ecauto_data.customer_setting IS 'one row: how facts of customers are computed';
COMMENT ON COLUMN ecauto_data.customer_setting.currency IS
	'currency of their amounts; NULL until there is an order';
COMMENT ON COLUMN ecauto_data.customer_setting.by_hand IS
	'was it chosen by ecauto.set_main_currency()?';

COMMENT ON COLUMN ecauto_data.customer_setting.silent_no IS
	'change_no of the last time that all customers were computed, of which no events are told';

CREATE SEQUENCE ecauto_data.customer_change_seq;

CREATE TABLE ecauto_data.customer_fact (
	key text COLLATE "C" PRIMARY KEY,
	email text,
	guest_email text,
	orders_count bigint NOT NULL,
	cancelled_count bigint NOT NULL,
	refunded_count bigint NOT NULL,
	spent_total numeric NOT NULL,
	paid_total numeric NOT NULL,
	refunded_total numeric NOT NULL,
	spent_other jsonb,
	first_order_at timestamptz,
	last_order_at timestamptz,
	average_order_value numeric,
	average_days_between_orders numeric,
	median_gap interval,
	open_carts bigint NOT NULL,
	open_cart_total numeric,
	last_cart_at timestamptz,
	known boolean NOT NULL,
	valid_from timestamptz NOT NULL,
	valid_until timestamptz NOT NULL,
	change_no bigint NOT NULL
) WITH (fillfactor = 85);
CREATE INDEX customer_fact_change_idx ON ecauto_data.customer_fact (change_no);
CREATE INDEX customer_fact_guest_idx ON ecauto_data.customer_fact (guest_email) WHERE guest_email IS NOT NULL;
CREATE INDEX customer_fact_until_idx ON ecauto_data.customer_fact (valid_until) WHERE valid_until < 'infinity';
COMMENT ON TABLE ecauto_data.customer_fact IS
	'what is known of each customer from his orders and carts, as of the last tick; docs/customer.md defines each figure';
COMMENT ON COLUMN ecauto_data.customer_fact.key IS
	'key of role customer; of those who order as guests and are in no role, the e-mail address';
COMMENT ON COLUMN ecauto_data.customer_fact.guest_email IS
	'orders and carts without a customer but with this address count as his; NULL: none do';
COMMENT ON COLUMN ecauto_data.customer_fact.known IS
	'false: the shop has nothing of him any more; the row tells those who follow change_no';
COMMENT ON COLUMN ecauto_data.customer_fact.valid_until IS
	'when one of his orders that lies in the future comes to count';
COMMENT ON COLUMN ecauto_data.customer_fact.change_no IS
	'number of the change that wrote the row or one of role customer; ascends from tick to tick';

CREATE INDEX seen_customer_email_idx ON ecauto_data.seen_customer (email) WHERE email IS NOT NULL;
CREATE INDEX seen_order_customer_idx ON ecauto_data.seen_order (customer_key, placed_at);
CREATE INDEX seen_order_guest_idx ON ecauto_data.seen_order (email, placed_at) WHERE customer_key IS NULL;
CREATE INDEX seen_cart_customer_idx ON ecauto_data.seen_cart (customer_key) WHERE completed_at IS NULL;
CREATE INDEX seen_cart_guest_idx ON ecauto_data.seen_cart (email) WHERE customer_key IS NULL AND completed_at IS NULL;

-- What they bought and looked at, for conditions and interests.

CREATE TABLE ecauto_data.order_item (
	order_key text COLLATE "C" NOT NULL,
	sku text COLLATE "C" NOT NULL,
	qty numeric,
	amount numeric,
	PRIMARY KEY (order_key, sku)
);
CREATE INDEX order_item_sku_idx ON ecauto_data.order_item (sku, order_key);
COMMENT ON TABLE ecauto_data.order_item IS
	'skus of each order: units that were not cancelled, and what they cost in the order''s currency; read when something changes about the order';

CREATE TABLE ecauto_data.order_changed (
	order_key text COLLATE "C"
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
	autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0,
	autovacuum_analyze_threshold = 1000000);
COMMENT ON TABLE ecauto_data.order_changed IS
	'orders of which something was seen, their lines are read, for those who count pairs of what was bought together; a row without key stands for all; a queue, without index, emptied by the tick''s phase recommend';

CREATE TABLE ecauto_data.category_product (
	category text COLLATE "C" NOT NULL,
	product text COLLATE "C" NOT NULL,
	PRIMARY KEY (category, product)
);
CREATE INDEX category_product_product_idx ON ecauto_data.category_product (product);
COMMENT ON TABLE ecauto_data.category_product IS
	'products of each category and of the categories below it, by key; read at most once an hour';

CREATE VIEW ecauto_data.purchase AS
SELECT o.customer_key AS customer, o.key AS order_key, o.placed_at, i.sku, s.product_key AS product, i.qty, i.amount, o.currency
FROM ecauto_data.seen_order o JOIN ecauto_data.order_item i ON i.order_key = o.key
LEFT JOIN ecauto_data.seen_sku s ON s.key = i.sku
WHERE o.customer_key IS NOT NULL AND NOT coalesce(o.cancelled, false)
UNION ALL
SELECT f.key, o.key, o.placed_at, i.sku, s.product_key, i.qty, i.amount, o.currency
FROM ecauto_data.seen_order o JOIN ecauto_data.order_item i ON i.order_key = o.key
JOIN ecauto_data.customer_fact f ON f.guest_email = o.email
LEFT JOIN ecauto_data.seen_sku s ON s.key = i.sku
WHERE o.customer_key IS NULL AND NOT coalesce(o.cancelled, false);
COMMENT ON VIEW ecauto_data.purchase IS
	'what each customer bought, in orders that were not cancelled: sku and product by key, units, amount';

CREATE VIEW ecauto_data.behaviour AS
SELECT e.customer, e.at, e.kind, e.sku, s.product_key AS product, e.new AS properties, e.session
FROM ecauto_data.event e LEFT JOIN ecauto_data.seen_sku s ON s.key = e.sku
WHERE e.customer IS NOT NULL AND e.role IS NULL
	AND NOT EXISTS (SELECT FROM ecauto_data.no_profile n WHERE n.customer = e.customer)
UNION ALL
SELECT i.customer, e.at, e.kind, e.sku, s.product_key, e.new, e.session
FROM ecauto_data.identity i JOIN ecauto_data.event e ON e.session = i.session
LEFT JOIN ecauto_data.seen_sku s ON s.key = e.sku
WHERE e.customer IS NULL AND e.role IS NULL
	AND NOT EXISTS (SELECT FROM ecauto_data.no_profile n WHERE n.customer = i.customer);
COMMENT ON VIEW ecauto_data.behaviour IS
	'what each customer did, by track(), in sessions that were identified too; nothing of those who objected to profiling';

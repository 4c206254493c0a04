-- What ecauto saw last, one table a role.  Only tick() writes them.

CREATE TABLE ecauto_data.role_seen (
	role text COLLATE "C" PRIMARY KEY,
	loaded_at timestamptz NOT NULL
);
COMMENT ON TABLE ecauto_data.role_seen IS
	'roles whose history was loaded; from then on differences become events';

CREATE TABLE ecauto_data.seen_product (
	key text COLLATE "C" PRIMARY KEY,
	title text,
	handle text,
	description_md5 text,
	brand text,
	active boolean
) WITH (fillfactor = 80);
COMMENT ON TABLE ecauto_data.seen_product IS 'products as the last tick saw them';

CREATE TABLE ecauto_data.seen_sku (
	key text COLLATE "C" PRIMARY KEY,
	product_key text COLLATE "C",
	sku text,
	title text,
	active boolean,
	track_stock boolean
) WITH (fillfactor = 80);
COMMENT ON TABLE ecauto_data.seen_sku IS 'skus as the last tick saw them';

CREATE TABLE ecauto_data.seen_price (
	key text COLLATE "C",
	currency text COLLATE "C",
	list_key text COLLATE "C",
	valid_from timestamptz,
	amount numeric,
	tax_included boolean,
	valid_until timestamptz,
	PRIMARY KEY (key, currency, list_key, valid_from)
) WITH (fillfactor = 80);
COMMENT ON TABLE ecauto_data.seen_price IS
	'prices as the last tick saw them, in major units; list_key '''' is the base price, valid_from -infinity: always';

CREATE TABLE ecauto_data.seen_stock (
	key text COLLATE "C" PRIMARY KEY,
	on_hand numeric,
	reserved numeric,
	incoming numeric,
	locations jsonb
) WITH (fillfactor = 45);
COMMENT ON TABLE ecauto_data.seen_stock IS
	'stock of each sku, summed over its locations, as the last tick saw it; locations: NULL if there is one only';

CREATE TABLE ecauto_data.seen_customer (
	key text COLLATE "C" PRIMARY KEY,
	email text,
	name text,
	first_name text,
	phone text,
	sex text,
	birth_date date,
	country text,
	city text,
	postcode text,
	locale text,
	tz text,
	guest boolean,
	active boolean,
	created_at timestamptz
) WITH (fillfactor = 80);
COMMENT ON TABLE ecauto_data.seen_customer IS 'customers as the last tick saw them';

CREATE TABLE ecauto_data.seen_order (
	key text COLLATE "C" PRIMARY KEY,
	number text,
	customer_key text COLLATE "C",
	email text,
	cart_key text COLLATE "C",
	currency text,
	total numeric,
	placed_total numeric,
	placed_at timestamptz,
	paid numeric,
	is_paid boolean NOT NULL,
	refunded numeric,
	is_refunded boolean NOT NULL,
	cancelled boolean,
	fulfilment text,
	raw_status text
) WITH (fillfactor = 70);
CREATE INDEX seen_order_cart_idx ON ecauto_data.seen_order (cart_key) WHERE cart_key IS NOT NULL;
COMMENT ON TABLE ecauto_data.seen_order IS 'orders as the last tick saw them';
COMMENT ON COLUMN ecauto_data.seen_order.placed_total IS
	'total when the order was placed: some shops set the total of a cancelled order to 0';

CREATE TABLE ecauto_data.gone_order (
	key text COLLATE "C" PRIMARY KEY,
	placed_total numeric,
	is_paid boolean NOT NULL,
	refunded numeric,
	is_refunded boolean NOT NULL,
	cancelled boolean,
	fulfilment text,
	gone_at timestamptz NOT NULL
);
COMMENT ON TABLE ecauto_data.gone_order IS
	'orders that the shop had and has no more, or that the query of role order leaves out now: they count nowhere; kept so that an order that comes back is not placed, paid or cancelled twice';

CREATE TABLE ecauto_data.seen_cart (
	key text COLLATE "C" PRIMARY KEY,
	customer_key text COLLATE "C",
	email text,
	currency text,
	total numeric,
	last_activity timestamptz,
	lines jsonb,
	changed_at timestamptz,
	completed_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX seen_cart_changed_idx ON ecauto_data.seen_cart (changed_at) WHERE completed_at IS NULL;
COMMENT ON TABLE ecauto_data.seen_cart IS 'carts as the last tick saw them';
COMMENT ON COLUMN ecauto_data.seen_cart.changed_at IS
	'when ecauto last saw the cart change; shops are not to be trusted with it';
COMMENT ON COLUMN ecauto_data.seen_cart.completed_at IS
	'when ecauto saw the order that came of the cart';

CREATE TABLE ecauto_data.erased (
	role text COLLATE "C" CHECK (role IN ('customer', 'order', 'cart')),
	key text COLLATE "C",
	customer text COLLATE "C" NOT NULL,
	at timestamptz NOT NULL,
	PRIMARY KEY (role, key)
);
COMMENT ON TABLE ecauto_data.erased IS
	'whom ecauto.erase_customer() forgot, and his orders and carts of then: address, name, phone and the like are not read from the shop''s rows with these keys again; take a row out, and resync the role, to know him again';
COMMENT ON COLUMN ecauto_data.erased.customer IS
	'key under which the figures of the order or cart stay';

CREATE TABLE ecauto_data.customer_stale (
	customer text COLLATE "C",
	email text,
	order_key text COLLATE "C"
);
COMMENT ON TABLE ecauto_data.customer_stale IS
	'customers, by key or e-mail address, of whom something was seen that their facts do not say yet, and orders whose lines were not read yet; a row without any stands for all; a queue, without index';

-- Events

CREATE TABLE ecauto_data.event (
	event_id uuid NOT NULL,
	at timestamptz NOT NULL,
	kind text COLLATE "C" NOT NULL,
	role text COLLATE "C",
	key text COLLATE "C",
	customer text COLLATE "C",
	sku text COLLATE "C",
	session text COLLATE "C",
	old jsonb,
	new jsonb
) PARTITION BY RANGE (at);
-- event_id too: a clock that stands still gives many ticks one time, and events of a tick are looked up one by one
CREATE INDEX event_at_idx ON ecauto_data.event (at, event_id);
CREATE INDEX event_customer_idx ON ecauto_data.event (customer, at) WHERE customer IS NOT NULL;
CREATE INDEX event_session_idx ON ecauto_data.event (session, at) WHERE session IS NOT NULL;
CREATE INDEX event_order_idx ON ecauto_data.event (key, at) WHERE role = 'order';
COMMENT ON TABLE ecauto_data.event IS
	'what happened in the shop: differences that tick() saw, and behaviour told by track(); a partition a month (UTC)';
COMMENT ON COLUMN ecauto_data.event.old IS 'state before; NULL if there was none, or for behaviour';
COMMENT ON COLUMN ecauto_data.event.new IS 'state after, NULL if there is none any more; properties of behaviour';

CREATE TABLE ecauto_data.event_told (
	event_id uuid NOT NULL,
	at timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
	autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0,
	autovacuum_analyze_threshold = 1000000);
COMMENT ON TABLE ecauto_data.event_told IS
	'events that no tick has seen yet: those of track(), and those that a tick left to the next one; no index, so that sessions never wait for each other';

CREATE TABLE ecauto_data.event_key (
	event_id uuid PRIMARY KEY,
	at timestamptz NOT NULL
);
COMMENT ON TABLE ecauto_data.event_key IS
	'identifiers that callers of track() gave, so that telling twice counts once';

CREATE TABLE ecauto_data.identity (
	session text COLLATE "C" PRIMARY KEY,
	customer text COLLATE "C" NOT NULL,
	identified_at timestamptz NOT NULL
);
COMMENT ON TABLE ecauto_data.identity IS
	'which customer a session turned out to be; removing a row undoes it';

CREATE TABLE ecauto_data.no_profile (
	customer text COLLATE "C" PRIMARY KEY,
	at timestamptz NOT NULL
);
COMMENT ON TABLE ecauto_data.no_profile IS
	'customers of whom no behaviour is collected, because they objected to profiling';

-- Demand: what was ordered, day by day, and why a day may not tell demand.

CREATE TABLE ecauto_data.demand (
	sku text COLLATE "C",
	day date,
	units numeric NOT NULL,
	PRIMARY KEY (sku, day)
) WITH (fillfactor = 90);
COMMENT ON TABLE ecauto_data.demand IS
	'units ordered of each sku on each day of the shop''s time zone, cancellations taken off; written by ecauto.refresh_demand()';

CREATE TABLE ecauto_data.demand_line (
	order_key text COLLATE "C" NOT NULL,
	sku text COLLATE "C" NOT NULL,
	day date NOT NULL,
	units numeric NOT NULL
);
CREATE INDEX demand_line_order_idx ON ecauto_data.demand_line (order_key);
COMMENT ON TABLE ecauto_data.demand_line IS
	'what each order has put into table demand, so that it can be taken out again';

CREATE TABLE ecauto_data.demand_stale (
	order_key text COLLATE "C" NOT NULL
);
COMMENT ON TABLE ecauto_data.demand_stale IS 'orders of which something happened since demand was refreshed';

CREATE TABLE ecauto_data.demand_setting (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	loaded_at timestamptz,
	timezone text
);
INSERT INTO ecauto_data.demand_setting DEFAULT VALUES;
COMMENT ON TABLE ecauto_data.demand_setting IS
	'loaded_at: when the shop was attached whose orders are in table demand, NULL: none; timezone: whose days they are counted by';

CREATE TABLE ecauto_data.stock_out (
	sku text COLLATE "C" NOT NULL,
	since timestamptz NOT NULL,
	until timestamptz,
	CHECK (until >= since),
	PRIMARY KEY (sku, since)
);
CREATE INDEX stock_out_until_idx ON ecauto_data.stock_out (until);
COMMENT ON TABLE ecauto_data.stock_out IS
	'when a sku was out of stock; until NULL: it still is; such days say nothing about demand';

CREATE TABLE ecauto_data.demand_event (
	sku text COLLATE "C" NOT NULL,
	first_day date NOT NULL,
	last_day date NOT NULL,
	note text NOT NULL,
	CHECK (last_day >= first_day),
	PRIMARY KEY (sku, first_day, note)
);
COMMENT ON TABLE ecauto_data.demand_event IS
	'days on which something bent the demand of a sku (a promotion, a mistake): they say nothing about what it is else';

CREATE TABLE ecauto_data.sku_forecast (
	sku text COLLATE "C" PRIMARY KEY,
	as_of date NOT NULL,
	bucket_days integer NOT NULL,
	observations integer NOT NULL,
	method text NOT NULL,
	class text NOT NULL,
	error float8,
	daily float8 NOT NULL,
	sd float8,
	mean float8[] NOT NULL,
	borrowed_from text,
	lead_level float8,
	lead_periods integer[],
	lead_units float8[],
	CHECK (cardinality(lead_periods) = cardinality(lead_units))
) WITH (fillfactor = 80);
COMMENT ON TABLE ecauto_data.sku_forecast IS
	'the last forecast of each sku; written by ecauto.forecast_all()';
COMMENT ON COLUMN ecauto_data.sku_forecast.as_of IS 'the first day that is forecast';
COMMENT ON COLUMN ecauto_data.sku_forecast.bucket_days IS
	'days of one period of the series: 1, or 7 where there is demand on few days';
COMMENT ON COLUMN ecauto_data.sku_forecast.daily IS 'units a day, mean of the next 28 days';
COMMENT ON COLUMN ecauto_data.sku_forecast.sd IS 'standard deviation of the error of one period; NULL: unknown';
COMMENT ON COLUMN ecauto_data.sku_forecast.mean IS 'units of each of the next days';
COMMENT ON COLUMN ecauto_data.sku_forecast.borrowed_from IS
	'whose demand stands in for what is too new to have its own: product or category; NULL: its own';
COMMENT ON COLUMN ecauto_data.sku_forecast.lead_units IS
	'of rare demand: units that lead_periods[i] whole periods from as_of on do not exceed with probability lead_level; as many as offers needed so far; NULL: none; written by ecauto.refresh_lead_units()';

CREATE TABLE ecauto_data.season_index (
	category text COLLATE "C",
	month integer CHECK (month BETWEEN 1 AND 12),
	index float8 NOT NULL CHECK (index > 0),
	years integer NOT NULL,
	PRIMARY KEY (category, month)
);
COMMENT ON TABLE ecauto_data.season_index IS
	'how a month sells compared with the mean month; category '''': the whole shop; written by ecauto.forecast_all() from at least two years of demand, and index may be set by hand where years is 0';

-- Position: what is under way, and when to tell somebody.

CREATE TABLE ecauto_data.stock_incoming (
	sku text COLLATE "C" NOT NULL,
	location text COLLATE "C" NOT NULL DEFAULT '',
	units numeric NOT NULL CHECK (units >= 0),
	due_at timestamptz NOT NULL,
	reference text COLLATE "C" NOT NULL,
	PRIMARY KEY (reference, sku, location)
);
CREATE INDEX stock_incoming_sku_idx ON ecauto_data.stock_incoming (sku, due_at);
COMMENT ON TABLE ecauto_data.stock_incoming IS
	'units under way to us: lines of purchase orders that are open, with the time they are due; reference: of the purchase order';

CREATE TABLE ecauto_data.location_share (
	location text COLLATE "C" PRIMARY KEY,
	share float8 NOT NULL CHECK (share >= 0 AND share <= 1)
);
COMMENT ON TABLE ecauto_data.location_share IS
	'the part of demand that each location serves, since orders do not tell; written by ecauto.set_location_share()';

CREATE TABLE ecauto_data.stock_alert (
	sku text COLLATE "C" PRIMARY KEY,
	units numeric CHECK (units >= 0),
	clear_units numeric CHECK (clear_units > units),
	days numeric CHECK (days >= 0),
	clear_days numeric CHECK (clear_days > days),
	quiet interval NOT NULL CHECK (quiet >= '0'),
	CHECK (units IS NOT NULL OR days IS NOT NULL)
);
COMMENT ON TABLE ecauto_data.stock_alert IS
	'when a sku is low: sku '''' is for all that have no row of their own; at so many units or days of cover, until it reaches the clearing ones';

CREATE TABLE ecauto_data.stock_low (
	sku text COLLATE "C" PRIMARY KEY,
	low boolean NOT NULL,
	told_at timestamptz NOT NULL
);
COMMENT ON TABLE ecauto_data.stock_low IS
	'skus that were low: low, until they clear; told_at: when the last stock.low was told';

CREATE TABLE ecauto_data.stock_alert_stale (
	sku text COLLATE "C" NOT NULL,
	due timestamptz NOT NULL DEFAULT '-infinity'
);
COMMENT ON TABLE ecauto_data.stock_alert_stale IS
	'skus to look at, from due on, though their stock did not change: their rule or their velocity did, or a quiet time ends';

CREATE TABLE ecauto_data.badge (
	name text COLLATE "C" PRIMARY KEY,
	kind text COLLATE "C" NOT NULL CHECK (kind IN ('new', 'back', 'last')),
	threshold numeric NOT NULL CHECK (threshold >= 0)
);
INSERT INTO ecauto_data.badge VALUES ('new', 'new', 30), ('back in stock', 'back', 7), ('last pieces', 'last', 3);
COMMENT ON TABLE ecauto_data.badge IS
	'badges of ecauto.availability(): new and back for so many days, last at so many units or fewer';

-- Suppliers: who sells what at which price, and when they work.

CREATE TABLE ecauto_data.supplier (
	supplier text COLLATE "C" PRIMARY KEY,
	title text NOT NULL,
	currency text COLLATE "C" NOT NULL,
	lead_days integer NOT NULL DEFAULT 5 CHECK (lead_days BETWEEN 0 AND 500),
	working_days integer[] NOT NULL DEFAULT '{1,2,3,4,5}'
		CHECK (cardinality(working_days) > 0 AND working_days <@ '{1,2,3,4,5,6,7}'),
	freight numeric NOT NULL DEFAULT 0 CHECK (freight >= 0 AND freight < 'Infinity'),
	free_freight_from numeric CHECK (free_freight_from >= 0 AND free_freight_from < 'Infinity'),
	minimum_order numeric NOT NULL DEFAULT 0 CHECK (minimum_order >= 0 AND minimum_order < 'Infinity'),
	auto_approve numeric CHECK (auto_approve >= 0),
	send_as text COLLATE "C" NOT NULL DEFAULT 'json' CHECK (send_as IN ('json', 'csv', 'mail', 'none')),
	endpoint text COLLATE "C",
	path text NOT NULL DEFAULT '',
	recipient text,
	template text,
	location text COLLATE "C",
	feed_keep interval CHECK (feed_keep > '0'),
	feed_at timestamptz,
	feed_digest bytea,
	active boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE ecauto_data.supplier IS
	'whom the shop buys from, and on which terms; written by ecauto.set_supplier()';
COMMENT ON COLUMN ecauto_data.supplier.lead_days IS 'working days from order to arrival';
COMMENT ON COLUMN ecauto_data.supplier.working_days IS 'days of the week on which they work: 1 is Monday, 7 Sunday';
COMMENT ON COLUMN ecauto_data.supplier.auto_approve IS
	'orders up to this value of goods leave without anybody''s approval; NULL: none do';

CREATE TABLE ecauto_data.supplier_holiday (
	supplier text COLLATE "C" NOT NULL DEFAULT '',
	day date NOT NULL,
	note text,
	PRIMARY KEY (supplier, day)
);
COMMENT ON TABLE ecauto_data.supplier_holiday IS 'days on which a supplier ('''': none of them) works';

CREATE TABLE ecauto_data.offer (
	supplier text COLLATE "C" NOT NULL REFERENCES ecauto_data.supplier ON DELETE CASCADE,
	sku text COLLATE "C" NOT NULL,
	supplier_sku text,
	breaks numeric[] NOT NULL,
	prices numeric[] NOT NULL,
	moq numeric NOT NULL DEFAULT 1 CHECK (moq > 0 AND moq < 'Infinity'),
	pack numeric NOT NULL DEFAULT 1 CHECK (pack > 0 AND pack < 'Infinity'),
	stock numeric CHECK (stock >= 0),
	lead_days integer CHECK (lead_days BETWEEN 0 AND 500),
	valid_until date,
	misses integer NOT NULL DEFAULT 0,
	from_feed boolean NOT NULL DEFAULT false,
	refused_on date,
	CHECK (cardinality(breaks) > 0 AND cardinality(breaks) = cardinality(prices)),
	PRIMARY KEY (sku, supplier)
) WITH (fillfactor = 90);
COMMENT ON TABLE ecauto_data.offer IS
	'what a supplier sells a sku for: prices[i] a unit, in the supplier''s currency, from breaks[i] units on, ascending; stock NULL: not told; misses: feeds in a row that it was missing from; refused_on: when the supplier last did not confirm all that was ordered; written by ecauto.set_offer() and ecauto.import_offers()';

CREATE TABLE ecauto_data.purchase_setting (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	currency text COLLATE "C"
);
INSERT INTO ecauto_data.purchase_setting DEFAULT VALUES;
COMMENT ON TABLE ecauto_data.purchase_setting IS
	'currency: in which offers are compared; NULL: the one of most suppliers';

-- Replenishment: what to keep, and what was ordered.

CREATE TABLE ecauto_data.replenishment (
	sku text COLLATE "C" PRIMARY KEY,
	service_level float8 NOT NULL DEFAULT 0.95 CHECK (service_level > 0 AND service_level < 1),
	review_days integer NOT NULL DEFAULT 0 CHECK (review_days BETWEEN 0 AND 365),
	cover_days integer NOT NULL DEFAULT 14 CHECK (cover_days BETWEEN 0 AND 730),
	minimum numeric CHECK (minimum >= 0),
	maximum numeric CHECK (maximum >= minimum),
	order_cost float8 CHECK (order_cost > 0),
	holding_cost float8 CHECK (holding_cost > 0),
	off boolean NOT NULL DEFAULT false
);
INSERT INTO ecauto_data.replenishment (sku) VALUES ('');
COMMENT ON TABLE ecauto_data.replenishment IS
	'how much of a sku is kept; sku '''' is for all that have no row of their own; written by ecauto.set_replenishment()';

CREATE TABLE ecauto_data.purchase_order (
	id bigserial PRIMARY KEY,
	supplier text COLLATE "C" NOT NULL,
	state text COLLATE "C" NOT NULL CHECK (state IN ('proposed', 'held', 'sent', 'confirmed', 'received', 'cancelled')),
	currency text COLLATE "C" NOT NULL,
	goods numeric NOT NULL,
	freight numeric NOT NULL,
	missing numeric NOT NULL DEFAULT 0,
	planned_at timestamptz NOT NULL,
	dated boolean NOT NULL DEFAULT false,
	ordered_at timestamptz,
	due_on date NOT NULL,
	confirmed_at timestamptz,
	overdue_at timestamptz,
	late_told boolean NOT NULL DEFAULT false,
	received_at timestamptz,
	late_days integer,
	message_id bigint
);
CREATE UNIQUE INDEX purchase_order_open_idx ON ecauto_data.purchase_order (supplier) WHERE state IN ('proposed', 'held');
CREATE INDEX purchase_order_sent_idx ON ecauto_data.purchase_order (ordered_at) WHERE state IN ('sent', 'confirmed');
CREATE INDEX purchase_order_overdue_idx ON ecauto_data.purchase_order (overdue_at) WHERE state IN ('sent', 'confirmed') AND NOT late_told;
CREATE INDEX purchase_order_late_idx ON ecauto_data.purchase_order (supplier, received_at) WHERE late_days IS NOT NULL;
COMMENT ON TABLE ecauto_data.purchase_order IS
	'orders to suppliers: proposed, held (below the supplier''s minimum, by missing), sent, confirmed (the supplier answered for each line), received, cancelled; amounts in the supplier''s currency';
COMMENT ON COLUMN ecauto_data.purchase_order.due_on IS 'when it should arrive by the supplier''s calendar, whatever was confirmed';
COMMENT ON COLUMN ecauto_data.purchase_order.overdue_at IS 'when it is late: at the end of the day on which the last of it is due, or was confirmed for';
COMMENT ON COLUMN ecauto_data.purchase_order.late_told IS 'event purchase_order.late was told of this overdue_at';
COMMENT ON COLUMN ecauto_data.purchase_order.dated IS 'planned for a time that was given, which is when it is ordered';
COMMENT ON COLUMN ecauto_data.purchase_order.late_days IS 'days from due_on to the receipt of the last units; negative: early';

CREATE TABLE ecauto_data.purchase_order_line (
	order_id bigint NOT NULL REFERENCES ecauto_data.purchase_order ON DELETE CASCADE,
	sku text COLLATE "C" NOT NULL,
	supplier_sku text,
	qty numeric NOT NULL CHECK (qty > 0),
	unit_price numeric NOT NULL,
	confirmed numeric CHECK (confirmed >= 0 AND confirmed < 'Infinity'),
	confirmed_on date,
	received numeric NOT NULL DEFAULT 0 CHECK (received >= 0),
	reasoning jsonb NOT NULL DEFAULT '{}',
	PRIMARY KEY (order_id, sku)
);
CREATE INDEX purchase_order_line_sku_idx ON ecauto_data.purchase_order_line (sku);
COMMENT ON TABLE ecauto_data.purchase_order_line IS 'what a purchase order asks for, what of it came, and why it was ordered';
COMMENT ON COLUMN ecauto_data.purchase_order_line.confirmed IS 'units that the supplier will send; NULL: it did not say yet, 0: none';
COMMENT ON COLUMN ecauto_data.purchase_order_line.confirmed_on IS 'the day for which it confirmed them; NULL: no other than the order says';

CREATE TABLE ecauto_data.purchase_receipt (
	order_id bigint NOT NULL REFERENCES ecauto_data.purchase_order ON DELETE CASCADE,
	reference text COLLATE "C" NOT NULL,
	at timestamptz NOT NULL,
	units jsonb NOT NULL,
	PRIMARY KEY (order_id, reference)
);
COMMENT ON TABLE ecauto_data.purchase_receipt IS
	'deliveries of purchase orders; reference: of the delivery note, so that none is booked twice';

-- Reservations: units set aside for somebody until a time.

CREATE TABLE ecauto_data.reservation (
	id bigserial PRIMARY KEY,
	sku text COLLATE "C" NOT NULL,
	units numeric NOT NULL CHECK (units > 0 AND units < 'Infinity'),
	holder text COLLATE "C",
	at timestamptz NOT NULL,
	expires_at timestamptz NOT NULL,
	UNIQUE (sku, holder)
);
COMMENT ON TABLE ecauto_data.reservation IS
	'units of a sku that are set aside for a holder (NULL: nobody in particular) up to and including expires_at; what has expired is as if it were not there, and goes when the sku is reserved next';

CREATE TABLE ecauto_data.reservation_sku (
	sku text COLLATE "C" PRIMARY KEY,
	turn bigint NOT NULL DEFAULT 1
) WITH (fillfactor = 50);
COMMENT ON TABLE ecauto_data.reservation_sku IS
	'a row of each sku that was ever reserved; who reserves one changes its row, so that all others wait for the end of that transaction';

-- Who waits for a sku to be back in stock.

CREATE TABLE ecauto_data.waiting (
	id bigserial PRIMARY KEY,
	sku text COLLATE "C" NOT NULL,
	email text NOT NULL,
	locale text NOT NULL DEFAULT '',
	at timestamptz NOT NULL,
	message_id bigint,
	note text,
	UNIQUE (sku, email)
);
CREATE INDEX waiting_first_idx ON ecauto_data.waiting (sku, at, id) WHERE message_id IS NULL;
CREATE INDEX waiting_told_idx ON ecauto_data.waiting (sku) WHERE message_id IS NOT NULL;
COMMENT ON TABLE ecauto_data.waiting IS
	'who wants to know when a sku is back; message_id: of the mail that told him, NULL: still waiting; note: why the last mail was taken back';

CREATE TABLE ecauto_data.waiting_sku (
	sku text COLLATE "C" PRIMARY KEY,
	sellable numeric NOT NULL,
	next_at timestamptz
);
COMMENT ON TABLE ecauto_data.waiting_sku IS
	'what could be sold of a sku that somebody waits for when we last looked, safety taken off; next_at: when the next ones are told, if there is still some';

CREATE TABLE ecauto_data.waiting_setting (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	safety numeric NOT NULL DEFAULT 0 CHECK (safety >= 0 AND safety < 'Infinity'),
	ratio numeric NOT NULL DEFAULT 1 CHECK (ratio > 0 AND ratio <= 1000),
	pause interval NOT NULL DEFAULT '1 day' CHECK (pause > '0'),
	template text
);
INSERT INTO ecauto_data.waiting_setting DEFAULT VALUES;
COMMENT ON TABLE ecauto_data.waiting_setting IS 'how many are told of what is back, and how; see ecauto.set_waiting()';

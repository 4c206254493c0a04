CREATE TABLE ecauto_data.stock_policy (
	sku text COLLATE "C" PRIMARY KEY,
	reorder_point numeric NOT NULL CHECK (reorder_point >= 0),
	order_quantity numeric NOT NULL CHECK (order_quantity > 0),
	endpoint text NOT NULL,
	recipient text,
	enabled boolean NOT NULL DEFAULT true,
	last_ordered_at timestamptz,
	last_error text
);
COMMENT ON TABLE ecauto_data.stock_policy IS
	'when what is available of a sku falls from above its reorder point to it or below, order_quantity is ordered from the supplier, once';
COMMENT ON COLUMN ecauto_data.stock_policy.sku IS 'key of role sku';
COMMENT ON COLUMN ecauto_data.stock_policy.endpoint IS 'foreign server of the supplier: HTTP gets JSON, a mail server a mail with a CSV attachment';
COMMENT ON COLUMN ecauto_data.stock_policy.recipient IS 'supplier''s address, if endpoint is a mail server';
COMMENT ON COLUMN ecauto_data.stock_policy.last_error IS 'why the last order could not be sent; NULL if it was';

CREATE TABLE ecauto_data.order_mail (
	kind text COLLATE "C" PRIMARY KEY
		CHECK (kind IN ('order.placed', 'order.paid', 'order.fulfilled', 'order.cancelled')),
	subject text NOT NULL,
	body text NOT NULL
);
COMMENT ON TABLE ecauto_data.order_mail IS
	'mails that the customer of an order gets, by the event that causes them';

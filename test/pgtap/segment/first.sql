-- The history of a shop was loaded, and nothing has looked at segments since: what
-- happens after the first of them is made is told, and nothing of before.
BEGIN;
\ir ../event/shop.psql
SELECT plan(9);
SET LOCAL timezone = 'UTC';
SET LOCAL ecauto.timezone = 'UTC';
SET LOCAL ecauto.clock = '2026-06-15 00:00+00';
SELECT ecauto.tick() \g /dev/null

CREATE FUNCTION edges(OUT told text) LANGUAGE sql AS $$
	SELECT coalesce(string_agg(CASE e.kind WHEN 'segment.entered' THEN '+' ELSE '-' END || e.key || '(' || e.customer || ')', ' '
		ORDER BY e.event_id), '') FROM ecauto.events() e WHERE e.role = 'segment' AND e.customer = '1' $$;
CREATE FUNCTION spend(amount numeric) RETURNS void LANGUAGE sql AS $$
	UPDATE s.orders SET total = amount WHERE id = 1; SELECT ecauto.tick(); $$;

-- ---- enter at 1000, leave below 800, made at 990 and before any tick ----
SELECT spend(990) \g /dev/null
SELECT ok((SELECT c.silent_no > s.change_no FROM ecauto_data.customer_setting c, ecauto_data.segment_setting s), 'a history was loaded that no refresh has seen');
SELECT ecauto.create_segment('vip', 'customer.spent_total >= 1000', 'customer.spent_total < 800') \g /dev/null
SELECT spend(1010) \g /dev/null
SELECT is(edges(), '+vip(1)', 'the first change after it is told');
SELECT spend(990) \g /dev/null
SELECT is(edges(), '+vip(1)', 'between the limits nothing is');
SELECT spend(790) \g /dev/null
SELECT is(edges(), '+vip(1) -vip(1)', 'below the lower one he leaves');
SELECT spend(1005) \g /dev/null
SELECT is(edges(), '+vip(1) -vip(1) +vip(1)', 'and enters again');

-- ---- a second one, made where a load is pending for the first ----
DELETE FROM ecauto_data.event WHERE role = 'segment';
UPDATE ecauto_data.segment_setting SET change_no = 0;
UPDATE s.orders SET total = 700 WHERE id = 1;
UPDATE ecauto_data.segment_state SET member_of = '{}';
SELECT ecauto.create_segment('buyer', 'customer.orders_count > 0', announce => true) \g /dev/null
SELECT is(edges(), '+buyer(1)', 'announced, while the others are brought up to date silently');
SELECT is((SELECT array_length(member_of, 1) FROM ecauto_data.segment_state WHERE customer = '1'), 2, 'which they are: he was at 1005 when it was made');
SELECT ok((SELECT c.silent_no <= s.change_no FROM ecauto_data.customer_setting c, ecauto_data.segment_setting s), 'nothing is pending');
SELECT ecauto.tick() \g /dev/null
SELECT is(edges(), '+buyer(1) -vip(1)', 'so that the next change is told');
SELECT finish();
ROLLBACK;

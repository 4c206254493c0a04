-- Units set aside: never more than there are, and only for a time.
BEGIN;
\ir shop.psql
SELECT plan(31);
SET LOCAL ecauto.clock = '2026-04-30 10:00+02';
INSERT INTO product VALUES ('P', 'Cup');
INSERT INTO variant VALUES ('A', 'P', 'Cup, blue', true), ('N', 'P', 'Voucher', false), ('Z', 'P', 'Cup, none', true);
INSERT INTO stock VALUES ('A', 'main', 8, 2), ('A', 'shop', 4, 0);
SELECT ecauto.attach_shop('custom') \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.reserve('A', 7, 'cart 1') AS first \gset
SELECT ok(:first > 0, 'seven of ten');
SELECT is(ecauto.reserve('A', 4, 'cart 2'), NULL, 'not four of the three that are left');
SELECT ecauto.reserve('A', 3, 'cart 2') AS second \gset
SELECT ok(:second > 0, 'but three');
SELECT results_eq($$ SELECT sku, available, held, sellable FROM ecauto.sellable('{A}') $$, $$ VALUES ('A', 10::numeric, 10::numeric, 0::numeric) $$, 'nothing is left');
SELECT is(ecauto.reserve('A'), NULL, 'not one');
SELECT is(ecauto.reserve('A', 6, 'cart 1'), :first::bigint, 'the same cart wants fewer');
SELECT is((SELECT sellable FROM ecauto.sellable('{A}')), 1::numeric, 'one is free');
SELECT is(ecauto.reserve('A', 8, 'cart 1'), NULL, 'more than there are beside the others');
SELECT is((SELECT units FROM ecauto_data.reservation WHERE id = :first), 6::numeric, 'leaves what it had');
SELECT ok(ecauto.release(:second), 'released');
SELECT ok(NOT ecauto.release(:second), 'once');
SELECT is((SELECT sellable FROM ecauto.sellable('{A}')), 4::numeric, 'free again');
SET LOCAL ecauto.clock = '2026-04-30 10:10:00+02';
SELECT is((SELECT held FROM ecauto.sellable('{A}')), 6::numeric, 'ten minutes later');
SELECT is(ecauto.reserve('A', 5, 'cart 3'), NULL, 'still held');
SET LOCAL ecauto.clock = '2026-04-30 10:10:00.001+02';
SELECT is((SELECT held FROM ecauto.sellable('{A}')), 0::numeric, 'a thousandth of a second later it is not, and nothing ran');
SELECT ok(NOT ecauto.commit_reservation(:first), 'it cannot be sold any more');
SELECT ecauto.reserve('A', 10, keep => '1 hour') AS third \gset
SELECT ok(:third > 0, 'all of them for somebody else');
UPDATE stock SET qty = 0 WHERE variant_id = 'A';
SELECT ok(ecauto.commit_reservation(:third), 'sold');
SELECT is((SELECT format('%s %s', available, held) FROM ecauto.sellable('{A}')), '-2 0', 'as the shop has it');
SELECT is(ecauto.reserve('Z'), NULL, 'no stock at all');
SELECT ok(ecauto.reserve('N', 1000) > 0, 'what is not counted is never short');
SELECT throws_ok($$ SELECT ecauto.reserve('A', 0) $$, '22023', NULL, 'nothing');
SELECT throws_ok($$ SELECT ecauto.reserve('A', 1, keep => '-1 second') $$, '22023', NULL, 'no time');
SELECT throws_ok($$ SELECT ecauto.reserve('nothing') $$, 'P0002', NULL, 'unknown sku');
-- ---- what is undone was never reserved; what is released is free at once ----
UPDATE stock SET qty = CASE place WHEN 'main' THEN 8 ELSE 4 END, held = CASE place WHEN 'main' THEN 2 ELSE 0 END WHERE variant_id = 'A';
SAVEPOINT before;
SELECT ok(ecauto.reserve('A', 10, 'cart 9') > 0, 'all of them');
SELECT is((SELECT sellable FROM ecauto.sellable('{A}')), 0::numeric, 'none are left');
ROLLBACK TO before;
SELECT is((SELECT sellable FROM ecauto.sellable('{A}')), 10::numeric, 'rolled back to a savepoint: all are');
SELECT ecauto.reserve('A', 10, 'cart 9', '1 minute') AS ninth \gset
SAVEPOINT before;
SELECT ok(ecauto.release(:ninth), 'released');
ROLLBACK TO before;
SELECT is(ecauto.reserve('A', 1, 'cart 10'), NULL, 'a release that is rolled back frees nothing');
SET LOCAL ecauto.clock = '2026-04-30 10:11:00.002+02';
SELECT ok(NOT ecauto.release(:ninth), 'released after it expired: too late to count');
SELECT ok(NOT ecauto.commit_reservation(:ninth), 'nor can it be sold');
SELECT finish();
ROLLBACK;

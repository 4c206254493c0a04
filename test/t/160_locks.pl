# Locks: the shop is never the one who loses, and never waits long.
use strict;
use warnings;
use EcTest;
use Test::More;

my $node = ec_node('main', conf => { 'ecauto.settle_time' => 0 });
sub sql { return $node->safe_psql('postgres', $_[0]); }

sql("BEGIN;\n\\i test/pgtap/event/shop.psql\nCOMMIT;\n");
sql('SELECT ecauto.detach_shop()');

# ---- attach_shop() and a transaction of the shop that goes through its tables in another order ----
my $shop = $node->background_psql('postgres', on_error_stop => 0);
$shop->query_safe('BEGIN; UPDATE s.stock SET qty = 9 WHERE variant_id = 1');
my $attach = $node->background_psql('postgres', on_error_stop => 0);
$attach->query_until(qr/begun/, "\\echo begun\nSET search_path = s; SELECT count(*) FROM ecauto.attach_shop('custom');\n");
ok(ec_wait($node, 'postgres', q{SELECT count(*) > 0 FROM pg_locks WHERE NOT granted OR mode = 'ShareRowExclusiveLock'}), 'attaching meets a lock of the shop');
# longer than it takes attach_shop() to look for a deadlock
$shop->query_safe('SELECT pg_sleep(1.5)');
my $out = $shop->query('UPDATE s.price SET amount = 11 WHERE variant_id = 1; SELECT count(*) FROM s.price WHERE amount = 11');
is($out, '1', 'the shop goes on');
is($shop->{stderr}, '', 'without an error');
$shop->query_safe('COMMIT');
like($attach->query_safe('SELECT count(*) FROM ecauto.capture_triggers()'), qr/18$/, 'and is attached when it is done');
is(sql('SELECT events FROM ecauto.tick()'), '2', 'what it did meanwhile is not lost');
is(sql('UPDATE s.price SET amount = 12 WHERE variant_id = 1; SELECT events FROM ecauto.tick()'), '1', 'and what it does now as events');

# ---- attached again, nothing is locked ----
$shop->query_safe('BEGIN; UPDATE s.stock SET qty = 8 WHERE variant_id = 1');
$attach->query_safe(q{SET lock_timeout = '1s'; SELECT count(*) FROM ecauto.attach_shop('custom')});
pass('attaching again waits for nobody');
$shop->query_safe('ROLLBACK');
sql('CREATE TABLE s."größe" ("Schlüssel" int PRIMARY KEY); SELECT ecauto.bind_source(\'stock\', \'s."größe"\', \'Schlüssel\')');
$attach->query_safe(q{SELECT count(*) FROM ecauto.attach_shop('custom')});
$shop->query_safe('BEGIN; INSERT INTO s."größe" VALUES (1)');
$attach->query_safe(q{SELECT count(*) FROM ecauto.attach_shop('custom')});
pass('whatever a column is called');
$shop->query_safe('ROLLBACK');

# ---- readers of the shop's tables are never kept waiting ----
sql('SELECT ecauto.detach_shop()');
$shop->query_safe('BEGIN; SELECT * FROM s.stock');
$attach->query_safe(q{SELECT count(*) FROM ecauto.attach_shop('custom')});
pass('attaching does not wait for readers');
$shop->query_safe('ROLLBACK');

# ---- somebody who never ends ----
sql('SELECT ecauto.detach_shop()');
$shop->query_safe('BEGIN; UPDATE s.stock SET qty = 7 WHERE variant_id = 1');
my ($state, $message) = ec_sqlstate($node, 'postgres', q{SET lock_timeout = '1s'; SELECT ecauto.attach_shop('custom');});
is($state, '55P03', 'attaching gives up');
like($message, qr/could not lock the shop's tables/, 'and says so');
is(sql(q{SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'ecauto%'}), '0', 'leaving nothing');
$shop->query_safe('ROLLBACK');

$shop->quit;
$attach->quit;
$node->stop;
done_testing();

# The shop never fails because of ecauto: its state gone, changed, or locked;
# and what was missed meanwhile is found.
use strict;
use warnings;
use EcTest;
use Test::More;

my $node = ec_node('main', conf => { 'ecauto.settle_time' => 0 });
$node->safe_psql('postgres', "BEGIN;\n\\i test/pgtap/event/shop.psql\nCOMMIT;\n");

# somebody put an index and a constraint on the log
$node->safe_psql('postgres', 'CREATE INDEX ON ecauto_data.change_log (tap)');
is($node->safe_psql('postgres', 'UPDATE s.stock SET qty = 1 WHERE variant_id = 1; SELECT events FROM ecauto.tick()'), '1', 'a log with an index is written the slow way');
is($node->safe_psql('postgres', 'SET enable_seqscan = off; SELECT count(*) FROM ecauto_data.change_log WHERE tap > 0'), '0', 'and its index is right');
$node->safe_psql('postgres', 'ALTER TABLE ecauto_data.change_log ADD CHECK (tap < 0) NOT VALID');
my ($rc, $out, $err) = $node->psql('postgres', 'UPDATE s.stock SET qty = 2 WHERE variant_id = 1; SELECT qty FROM s.stock WHERE variant_id = 1');
is($rc, 0, 'a log that refuses notes does not fail the shop');
is($out, '2', 'whose change is there');
like(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/ecauto could not note what changed/, 'the server log tells');
$node->safe_psql('postgres', 'ALTER TABLE ecauto_data.change_log DROP CONSTRAINT change_log_tap_check');
is($node->safe_psql('postgres', 'SELECT events FROM ecauto.tick()'), '1', 'and the next tick finds what was missed');
is($node->safe_psql('postgres', 'SELECT events FROM ecauto.tick()'), '0', 'once');

# the log is gone
$node->safe_psql('postgres', 'ALTER TABLE ecauto_data.change_log RENAME TO hidden');
is($node->safe_psql('postgres', 'UPDATE s.stock SET qty = 3 WHERE variant_id = 1; SELECT qty FROM s.stock WHERE variant_id = 1'), '3', 'no log at all');
$node->safe_psql('postgres', 'ALTER TABLE ecauto_data.hidden RENAME TO change_log');
is($node->safe_psql('postgres', 'SELECT events FROM ecauto.tick()'), '1', 'is made up for too');

# the log is locked, and the shop does not wait for locks
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; LOCK TABLE ecauto_data.change_log');
is($node->safe_psql('postgres', "SET lock_timeout = '100ms'; UPDATE s.stock SET qty = 4 WHERE variant_id = 1; SELECT qty FROM s.stock WHERE variant_id = 1"),
	'4', 'a locked log');
$holder->query_safe('ROLLBACK');
$holder->quit;
is($node->safe_psql('postgres', 'SELECT events FROM ecauto.tick()'), '1', 'costs nothing either');

# a tick that takes the matter up and is then rolled back has not
$node->safe_psql('postgres', 'ALTER TABLE ecauto_data.change_log RENAME TO hidden');
$node->safe_psql('postgres', 'UPDATE s.stock SET qty = 9 WHERE variant_id = 1');
$node->safe_psql('postgres', 'ALTER TABLE ecauto_data.hidden RENAME TO change_log');
is($node->safe_psql('postgres', 'BEGIN; SELECT events FROM ecauto.tick(); ROLLBACK'), '1', 'a tick finds what was missed, and is rolled back');
is($node->safe_psql('postgres', 'BEGIN; SAVEPOINT a; SELECT events FROM ecauto.tick(); ROLLBACK TO a; COMMIT'), '1', 'another one in a savepoint');
is($node->safe_psql('postgres', 'SELECT events FROM ecauto.tick()'), '1', 'the next one finds it again');
is($node->safe_psql('postgres', 'SELECT keys FROM ecauto.tick()'), '0', 'and that was it');

# a tick that stays open does not stand in the way of the shop's migrations
is($node->safe_psql('postgres', q{
	UPDATE s.stock SET qty = 8 WHERE variant_id = 1;
	BEGIN; SELECT events FROM ecauto.tick();
	SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE l.pid = pg_backend_pid() AND c.relnamespace = 's'::regnamespace;
	COMMIT}), "1\n0", 'nothing of the shop is locked once it is read');

# what does not fit into work_mem is read from files
is($node->safe_psql('postgres', q{
	SET work_mem = '64kB';
	INSERT INTO s.product SELECT i, 'A product of a long name, so that it takes some room ' || i FROM generate_series(1001, 21000) i;
	SELECT events FROM ecauto.tick();
	DELETE FROM s.product WHERE id > 1000;
	SELECT events FROM ecauto.tick()}), "20000\n20000", 'a tick larger than its memory');

# all of the state is gone
$node->safe_psql('postgres', 'SET client_min_messages = warning; DROP SCHEMA ecauto_data CASCADE');
is($node->safe_psql('postgres', 'UPDATE s.stock SET qty = 5 WHERE variant_id = 1; SELECT qty FROM s.stock WHERE variant_id = 1'), '5', 'no state at all');
my ($state, $message) = ec_sqlstate($node, 'postgres', 'SELECT ecauto.tick();');
is($state, '55000', 'a tick then says so');
like($message, qr/Run SELECT ecauto\.setup\(\)/, 'and what to do');

# ---- a tick that is interrupted in the middle of its transaction ----
$node->safe_psql('postgres', 'DROP SCHEMA s CASCADE');
$node->safe_psql('postgres', "SELECT ecauto.setup();\nBEGIN;\n\\i test/pgtap/event/shop.psql\nCOMMIT;\n");
$node->safe_psql('postgres', 'UPDATE s.stock SET qty = 6 WHERE variant_id = 1');
is($node->safe_psql('postgres', 'BEGIN; SELECT events FROM ecauto.tick(); ROLLBACK'), '1', 'a tick that is rolled back');
is($node->safe_psql('postgres', "SELECT count(*) FROM ecauto.events(kind => 'stock.changed')"), '0', 'has not happened');
is($node->safe_psql('postgres', 'SELECT events FROM ecauto.tick()'), '1', 'and is done again by the next');

# ---- immediate shutdown right after COMMIT ----
$node->safe_psql('postgres', 'UPDATE s.stock SET qty = 7 WHERE variant_id = 1');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', 'SELECT events FROM ecauto.tick()'), '1', 'a note survives a crash');

$node->stop;
done_testing();

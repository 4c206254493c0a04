# A standby shows everything and does nothing; promoted, it goes on where the
# other stopped, and nothing is sent twice.  A logical replica has the state,
# and watches what replication applies where it is attached and not told otherwise.
use strict;
use warnings;
use EcTest;
use Test::More;

my $sink = ec_sink();
my $first = ec_node('first', init => [ 'allows_streaming', 'logical' ], conf => {
	'ecauto.settle_time' => 0, 'ecauto.databases' => 'postgres', 'ecauto.worker_naptime' => '100ms', 'hot_standby' => 'on' });
$first->safe_psql('postgres', "BEGIN;\n\\i test/pgtap/event/shop.psql\nCOMMIT;\n");
$first->safe_psql('postgres', qq{
	CREATE SERVER supplier FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '@{[ $sink->http_url ]}');
	SELECT ecauto.enqueue('supplier', '{"n": 1}', 'before');
});
is(scalar($sink->wait_for(http => 1)), 1, 'the first server sends');
ok(ec_wait($first, 'postgres', q{SELECT state = 'delivered' FROM ecauto.messages() WHERE key = 'before'}), 'and knows that it did');

# ---- a physical standby ----
$first->backup('copy');
my $second = PostgreSQL::Test::Cluster->new('second');
$second->init_from_backup($first, 'copy', has_streaming => 1);
$second->start;
$first->safe_psql('postgres', q{SELECT ecauto.pause_endpoint('supplier'); SELECT ecauto.enqueue('supplier', '{"n": 2}', 'after'); UPDATE s.stock SET qty = 3 WHERE variant_id = 1});
ok(ec_wait($first, 'postgres', q{SELECT count(*) > 0 FROM ecauto.events(kind => 'stock.changed')}), 'the first server sees a change');
$first->wait_for_catchup($second, 'replay', $first->lsn('insert'));
is($second->safe_psql('postgres', q{SELECT count(*) FROM ecauto.events(kind => 'stock.changed')}), '1', 'the standby has the event');
is($second->safe_psql('postgres', q{SELECT count(*) FROM ecauto.messages() WHERE state = 'queued'}), '1', 'and the message');
cmp_ok($second->safe_psql('postgres', 'SELECT count(*) FROM ecauto.status()'), '>', 5, 'status() works there');
is((ec_sqlstate($second, 'postgres', 'SELECT ecauto.tick();'))[0], '25006', 'a tick cannot');
is($second->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^ecauto (tick|delivery)'}), '0', 'no worker serves a database of a standby');

# ---- the first server dies ----
$first->stop('immediate');
$second->promote;
ok(ec_wait($second, 'postgres', q{SELECT count(*) = 2 FROM ecauto.worker_status() WHERE pid IS NOT NULL}), 'promoted, the workers start');
$second->safe_psql('postgres', q{SELECT ecauto.resume_endpoint('supplier')});
$sink->wait_for(http => 2);
$second->safe_psql('postgres', q{UPDATE s.stock SET qty = 4 WHERE variant_id = 1; SELECT ecauto.enqueue('supplier', '{"n": 3}', 'last')});
$sink->wait_for(http => 3);
my %seen;
$seen{ $_->{headers}{'idempotency-key'} }++ for $sink->requests;
is(join(',', sort values %seen), '1,1,1', 'each message was sent once');
ok(ec_wait($second, 'postgres', q{SELECT count(*) = 2 FROM ecauto.events(kind => 'stock.changed')}), 'and changes are seen');

# ---- a logical replica: the shop and the state of it ----
my $third = ec_node('third', conf => { 'ecauto.settle_time' => 0 });
$third->safe_psql('postgres', "BEGIN;\n\\i test/pgtap/event/shop.psql\nCOMMIT;\n");
my @same = qw(s.stock s.price ecauto_data.seen_stock ecauto_data.price_history);
$third->safe_psql('postgres', 'TRUNCATE ' . join(', ', @same) . '; SELECT ecauto.tick()');
$second->safe_psql('postgres', 'CREATE PUBLICATION shop FOR TABLE ' . join(', ', @same));
my $publisher = $second->connstr('postgres') =~ s/'/''/gr;
$third->safe_psql('postgres', "CREATE SUBSCRIPTION shop CONNECTION '$publisher' PUBLICATION shop");
$third->wait_for_subscription_sync($second, 'shop');
is($third->safe_psql('postgres', q{SELECT qty FROM s.stock WHERE variant_id = 1}), '4', 'a subscriber has the rows of the shop');
is($third->safe_psql('postgres', q{SELECT count(*) FROM ecauto_data.seen_stock}), $second->safe_psql('postgres', q{SELECT count(*) FROM ecauto_data.seen_stock}), 'and those of the state');
$third->safe_psql('postgres', 'SELECT ecauto.tick()');
$third->safe_psql('postgres', 'SELECT ecauto.tick()');
my $told = q{SELECT count(*) FROM ecauto.events(kind => 'stock.changed') WHERE key = '2'};
my $before = $third->safe_psql('postgres', $told);

# from now on the shop's tables alone
$second->safe_psql('postgres', 'ALTER PUBLICATION shop DROP TABLE ecauto_data.seen_stock, ecauto_data.price_history');
$third->safe_psql('postgres', 'ALTER SUBSCRIPTION shop REFRESH PUBLICATION');

# attached, it watches what replication applies as well: ecauto can live beside the shop's server
$second->safe_psql('postgres', 'UPDATE s.stock SET qty = 7 WHERE variant_id = 2');
$second->wait_for_catchup('shop');
is($third->safe_psql('postgres', 'SELECT count(*) FROM ecauto_data.change_log'), '1', 'what replication applies is noted where the shop is attached');
$third->safe_psql('postgres', 'SELECT ecauto.tick()');
is($third->safe_psql('postgres', $told), $before + 1, 'and makes an event');

# a spare copy, which should stay silent, has its triggers for its own changes only, or is not attached
$third->safe_psql('postgres', q{DO $$ DECLARE t record; BEGIN
	FOR t IN SELECT tgname FROM pg_trigger WHERE tgrelid = 's.stock'::regclass AND NOT tgisinternal LOOP
		EXECUTE format('ALTER TABLE s.stock ENABLE TRIGGER %I', t.tgname);
	END LOOP; END $$});
$second->safe_psql('postgres', 'UPDATE s.stock SET qty = 8 WHERE variant_id = 2');
$second->wait_for_catchup('shop');
is($third->safe_psql('postgres', 'SELECT qty FROM s.stock WHERE variant_id = 2'), '8', 'a spare copy has the row');
is($third->safe_psql('postgres', 'SELECT count(*) FROM ecauto_data.change_log'), '0', 'and notes nothing');

$third->safe_psql('postgres', 'DROP SUBSCRIPTION shop');
$_->stop for $second, $third;
done_testing();

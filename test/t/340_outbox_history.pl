# Finished messages are kept by the week, and go with their keys when they are old.
use strict;
use warnings;
use EcTest;
use Test::More;

my $sink = ec_sink();
my $node = ec_node('main', conf => { 'ecauto.databases' => 'postgres', 'ecauto.clock' => '2026-03-29 12:00+02', 'TimeZone' => 'Europe/Warsaw', 'DateStyle' => 'German' });

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub weeks { return sql(q{SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = 'ecauto_data.outbox_history'::regclass AND relkind = 'r'}); }
sub drained { return ec_wait($node, 'postgres', 'SELECT count(*) = 0 FROM ecauto_data.outbox'); }

sub at
{
	$node->append_conf('postgresql.conf', "ecauto.clock = '$_[0]'\n");
	$node->restart;
	return;
}

sql("CREATE SERVER ok FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->http_url('/ok') . "')");
my $first = sql(q{SELECT ecauto.enqueue('ok', '{}', 'a')});
$sink->wait_for(http => 1);
ok(drained(), 'a message is delivered');
is(weeks(), 'outbox_history_20260323 outbox_history_20260330', 'there is a week for it, from Monday on in UTC, and the next');
is(sql(q{SELECT tableoid::regclass FROM ecauto_data.outbox_history}), 'ecauto_data.outbox_history_20260323', 'and it is in the first');

at('2026-05-01 12:00+02');
is(sql(q{SELECT ecauto.enqueue('ok', '{}', 'a')}), $first, 'a month later its key is known');
ec_wait($node, 'postgres', q{SELECT to_regclass('ecauto_data.outbox_history_20260427') IS NOT NULL});
is(sql(q{SELECT state FROM ecauto.messages('ok')}), 'delivered', 'and so is what became of it');

at('2026-07-01 12:00+02');
ok(ec_wait($node, 'postgres', q{SELECT count(*) = 0 FROM ecauto.messages('ok')}), 'after ecauto.history_keep it is forgotten');
is(weeks(), 'outbox_history_20260427 outbox_history_20260504 outbox_history_20260629 outbox_history_20260706', 'old weeks are dropped');
my $second = sql(q{SELECT ecauto.enqueue('ok', '{}', 'a')});
cmp_ok($second, '>', $first, 'and its key is free again');
$sink->wait_for(http => 2);
ok(drained(), 'for another message');

# a message that waits keeps its key, however old
sql(q{SELECT ecauto.enqueue('ok', '{}', 'far', not_before => '2030-01-01 00:00+00')});
at('2028-01-01 12:00+01');
ec_wait($node, 'postgres', q{SELECT to_regclass('ecauto_data.outbox_history_20260629') IS NULL});
is(sql(q{SELECT count(*) FROM ecauto_data.outbox_key WHERE key = 'far'}), '1', 'a message that waits keeps its key');

$node->stop;
done_testing();

# pg_upgrade from an older server: the state is there, and the shop is watched
# on.  ECAUTO_OLD_PG_CONFIG names the older server's pg_config; it must have the
# same version of the extension installed.
use strict;
use warnings;
use EcTest;
use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

my $old_config = $ENV{ECAUTO_OLD_PG_CONFIG} || '';
my $old_bin = $old_config ne '' ? dirname($old_config) : '';
my $new_bin = dirname($ENV{PG_CONFIG});
plan skip_all => 'no older server (ECAUTO_OLD_PG_CONFIG)' unless $old_bin ne '' && -x "$old_bin/postgres";
plan skip_all => 'no pg_upgrade' unless -x "$new_bin/pg_upgrade";

my @same = (extra => [ '--encoding=UTF8', '--locale=C.UTF-8', '-U', 'postgres' ]);
my $conf = "shared_preload_libraries = 'ecauto'\necauto.settle_time = 0\n";
my $checksums = qx("$new_bin/initdb" --help) =~ /no-data-checksums/ ? ['--no-data-checksums'] : [];

my $old = PostgreSQL::Test::Cluster->new('old', install_path => dirname($old_bin));
$old->init(@same);
$old->append_conf('postgresql.conf', $conf);
$old->start;
$old->safe_psql('postgres', 'CREATE EXTENSION ecauto; SELECT ecauto.setup()');
$old->safe_psql('postgres', "BEGIN;\n\\i test/pgtap/event/shop.psql\nCOMMIT;\n");
$old->safe_psql('postgres', q{
	CREATE SERVER supplier FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:9/orders');
	CREATE USER MAPPING FOR CURRENT_USER SERVER supplier OPTIONS (bearer_token 'secret');
	CREATE ROLE clerk; SELECT ecauto.grant_operator('clerk');
	SELECT ecauto.enqueue('supplier', '{"n": 1}', 'waiting');
	SELECT ecauto.set_stock_policy('V1', 5, 20, 'supplier');
	SELECT ecauto.track('view', 'c1', 's1');
	SELECT ecauto.run_job(job) FROM ecauto.jobs();
	UPDATE s.stock SET qty = 9 WHERE variant_id = 1;
	SELECT ecauto.tick();
	-- noted, and not yet taken
	UPDATE s.stock SET qty = 8 WHERE variant_id = 1;
});
my $rows = q{
	SELECT format('%s|%s', c.relname, (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM ecauto_data.%I', c.relname), false, true, '')))[1])
	FROM pg_class c WHERE c.relnamespace = 'ecauto_data'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1};
my $before = $old->safe_psql('postgres', $rows);
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init(extra => [ @{ $same[1] }, @$checksums ]);
$new->append_conf('postgresql.conf', $conf);
chdir $new->basedir or die "chdir: $!";
command_ok([ "$new_bin/pg_upgrade", '-U', 'postgres', '-b', $old_bin, '-B', $new_bin, '-d', $old->data_dir, '-D', $new->data_dir,
		'-s', $new->host, '-p', $old->port, '-P', $new->port ], 'pg_upgrade');
$new->start;
is($new->safe_psql('postgres', $rows), $before, 'every table of the state has its rows');
is($new->safe_psql('postgres', q{SELECT key, state FROM ecauto.messages('supplier')}), 'waiting|queued', 'the message waits');
is($new->safe_psql('postgres', q{SELECT umoptions FROM pg_user_mappings}), '{bearer_token=secret}', 'with its credentials');
is($new->safe_psql('postgres', q{SELECT detail FROM ecauto.status() WHERE item IN ('extension', 'state')}), "\n", 'versions agree');
is($new->safe_psql('postgres', q{SELECT count(*) FROM ecauto.check_shop() WHERE NOT ok}), '0', 'the shop is in order');
is($new->safe_psql('postgres', q{SELECT events FROM ecauto.tick()}), '1', 'what was noted before is told after');
$new->safe_psql('postgres', 'UPDATE s.stock SET qty = 3 WHERE variant_id = 1');
is($new->safe_psql('postgres', q{SELECT events FROM ecauto.tick()}), '1', 'the shop is watched on');
is($new->safe_psql('postgres', q{SET ROLE clerk; SELECT count(*) > 0 FROM ecauto.status()}), 't', 'rights are kept');
$new->stop;
done_testing();

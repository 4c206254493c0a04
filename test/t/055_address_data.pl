# The addresses of Dominic Sayers' collection (isemail): those that people have
# are taken, and nothing that is no address by RFC 5321 is.
use strict;
use warnings;
use EcTest;
use Test::More;

my $file = ec_shared('data/email_syntax/email_syntax.csv.gz') // plan skip_all => 'the data is not on this machine';
my $node = ec_node('main');
$node->safe_psql(
	'postgres', qq{
	CREATE TABLE email_syntax (id integer, address text, category text, diagnosis text);
	COPY email_syntax FROM PROGRAM 'gzip -dc $file' WITH (FORMAT csv, HEADER true);
	-- the file has pictures of control characters
	UPDATE email_syntax SET address = translate(coalesce(address, ''),
		(SELECT string_agg(chr(x'2400'::integer + n), '' ORDER BY n) FROM generate_series(1, 31) n),
		(SELECT string_agg(chr(n), '' ORDER BY n) FROM generate_series(1, 31) n));
});
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM email_syntax'), '>', 160, 'the data is there');

is( $node->safe_psql(
		'postgres', q{
		SELECT id, address, ecauto.mail_address_problem(address)
		FROM email_syntax
		WHERE category IN ('ISEMAIL_VALID_CATEGORY', 'ISEMAIL_DNSWARN') AND ecauto.mail_address_problem(address) IS NOT NULL
		ORDER BY id}),
	'',
	'plain addresses are taken');

is( $node->safe_psql(
		'postgres', q{
		SELECT id, address, diagnosis
		FROM email_syntax
		WHERE category NOT IN ('ISEMAIL_VALID_CATEGORY', 'ISEMAIL_DNSWARN') AND diagnosis <> 'ISEMAIL_RFC5321_TLD'
			AND ecauto.mail_address_problem(address) IS NULL
		ORDER BY id}),
	'',
	'nothing else is, but for a top-level domain as such');

$node->stop;
done_testing();

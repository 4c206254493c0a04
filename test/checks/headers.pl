# Each header compiles alone, whatever stands before it in a file that uses it.
use strict;
use warnings;
use Test::More;

my $pg_config = $ENV{PG_CONFIG} || 'pg_config';
my $cc = $ENV{CC} || 'cc';
chomp(my $flags = qx('$pg_config' --cppflags) . ' -I' . qx('$pg_config' --includedir-server));
$flags =~ s/\n/ /g;
chomp(my $curl = qx(curl-config --cflags));

# as in the Makefile
my $warnings = '-Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers';

for my $header (sort glob('src/*.h src/*/*.h'))
{
	(my $name = $header) =~ s{^src/}{};
	my $program = qq(#include "compat/compat.h"\n#include "$name"\n);
	my $said = qx(printf '%s' '$program' | $cc -x c -O2 -fsyntax-only $warnings -Isrc $curl $flags - 2>&1);
	is($?, 0, $header) or diag($said);
}

done_testing();

# The layout of the sources: tabs, ends of lines and files, widths.
use strict;
use warnings;
use Test::More tests => 1;

my $found = `sh test/format.sh check`;
is($found, '', 'every file is laid out as the others');

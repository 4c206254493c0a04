# Two sessions at once: test/specs against expected/.
use strict;
use warnings;
use EcRegress;

EcRegress::run_regress('ISOLATION', 'REGRESS', $ENV{ISOLATION_TESTS});

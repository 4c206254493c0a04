# pg_regress: test/sql against expected/.
use strict;
use warnings;
use EcRegress;

EcRegress::run_regress('REGRESS', 'ISOLATION', $ENV{REGRESS_TESTS});

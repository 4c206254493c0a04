# EcRegress: runs a target of "make installcheck" and retells what pg_regress
# says of each test as TAP.
package EcRegress;

use strict;
use warnings;
use Test::More;

# run_regress(REGRESS => 'ISOLATION', ...): which of the two lists of tests to
# run, which to leave out, and where the names of single tests may stand.
sub run_regress
{
	my ($run, $leave, $only) = @_;

	plan skip_all => 'there are no such tests' unless $only || glob($run eq 'REGRESS' ? 'test/sql/*.sql' : 'test/specs/*.spec');

	my @command = ('make', '-s', 'with_llvm=no', 'installcheck', "$leave=");
	push @command, "$run=$only" if $only;

	my $seen = 0;
	unlink 'regression.diffs';
	open(my $out, '-|', join(' ', map { "'$_'" } @command) . ' 2>&1') or die "could not run make: $!";
	my @other;
	while (my $line = <$out>)
	{
		# 15:   "test name         ... ok          12 ms"
		# 16 on: "ok 1         - name             12 ms"
		if ($line =~ /^(?:test|\s)\s*(\S+)\s+\.\.\. (ok|FAILED)/)
		{
			ok($2 eq 'ok', $1);
			$seen++;
		}
		elsif ($line =~ /^(not )?ok \d+\s+[-+] (\S+)/)
		{
			ok(!$1, $2);
			$seen++;
		}
		else
		{
			push @other, $line;
		}
	}
	close($out);
	cmp_ok($seen, '>', 0, 'tests were run') or diag(@other);
	is($?, 0, 'make installcheck');
	if (open(my $diffs, '<', 'regression.diffs'))
	{
		diag($_) for map { chomp; $_ } grep { defined } (<$diffs>)[ 0 .. 199 ];
	}
	done_testing();
	return;
}

1;

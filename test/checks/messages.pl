# Every message of an error is raised by a test: the texts of errmsg() in src/ and
# of RAISE EXCEPTION in sql/ occur in an expected output or in a test, or stand in
# messages.txt beside this file with the reason why no test can raise them.
#
#   perl test/checks/messages.pl -l      lists those that are missing
use strict;
use warnings;
use FindBin;

chdir "$FindBin::Bin/../..";
my $list = @ARGV && $ARGV[0] eq '-l';

sub slurp
{
	my ($file) = @_;
	open my $in, '<:encoding(UTF-8)', $file or die "$file: $!";
	local $/;
	return scalar <$in>;
}

# ---- what can be raised: [file, line, text, kind of placeholders] ----
my @messages;
for my $file (glob 'src/*.c src/*/*.c src/*/*.h')
{
	my $text = slurp($file);
	my $string = qr/"(?:[^"\\]|\\.)*"/;
	while ($text =~ /\berrmsg(?:_plural)?\s*\(\s*((?:$string|\s|U?INT64_FORMAT|PRI\w+)+)/g)
	{
		my ($pieces, $at) = ($1, $-[0]);
		# what only tells, without an end of the statement
		my ($level) = substr($text, 0, $at) =~ /.*\bereport\s*\(\s*(\w+)/s;
		next if defined $level && $level =~ /^(?:LOG|NOTICE|WARNING|INFO|DEBUG\d)$/;
		my $format = join '', map { /^"/ ? substr($_, 1, -1) : '%d' } $pieces =~ /$string|\w+/g;
		$format =~ s/\\n/\n/g;
		$format =~ s/\\(.)/$1/g;
		push @messages, [ $file, 1 + (substr($text, 0, $at) =~ tr/\n//), $format, qr/%[-+ #0]*(?:\*|\d+)?(?:\.(?:\*|\d+))?(?:hh?|ll?|z)?[a-zA-Z]|%d/ ];
	}
}
for my $file (glob 'sql/*/*.sql')
{
	my $text = slurp($file);
	while ($text =~ /\bRAISE\s+EXCEPTION\s+'((?:[^']|'')*)'/g)
	{
		my ($format, $at) = ($1, $-[0]);
		$format =~ s/''/'/g;
		push @messages, [ $file, 1 + (substr($text, 0, $at) =~ tr/\n//), $format, qr/%/ ];
	}
	while ($text =~ /\bMESSAGE\s*=\s*(?:format\s*\(\s*)?'((?:[^']|'')*)'/g)
	{
		my ($format, $at) = ($1, $-[0]);
		$format =~ s/''/'/g;
		push @messages, [ $file, 1 + (substr($text, 0, $at) =~ tr/\n//), $format, qr/%[sIL]|%/ ];
	}
}

# ---- what tests say ----
my $tests = '';
for my $file (glob('expected/*.out test/sql/*.sql test/pgtap/*/*.sql test/pgtap/*/*.psql test/specs/*.spec test/t/*.pl'))
{
	my $text = slurp($file);
	$text =~ s/''/'/g;
	$text =~ s/\\(["'()\[\]{}.*+?|\$])/$1/g;
	$tests .= $text . "\n\n";
}

# ---- what no test can raise ----
my %excused;
for (split /\n/, slurp('test/checks/messages.txt'))
{
	next if /^\s*(#|$)/;
	/^(.*\S)\s+--\s+(\S.*)$/ or die "messages.txt: no reason: $_\n";
	$excused{$1} = 0;
}

my @missing;
my $count = 0;
for my $message (@messages)
{
	my ($file, $line, $format, $placeholder) = @$message;
	# a text that is all argument says nothing here
	(my $fixed = $format) =~ s/$placeholder//g;
	next if $fixed !~ /\w\w/;
	$count++;
	my $regex = join '.{0,300}?', map { quotemeta } split /$placeholder/, $format =~ s/%%/\x{1}/gr, -1;
	$regex =~ s/\\?\x{1}/%/g;
	next if $tests =~ /$regex/;
	if (exists $excused{$format}) { $excused{$format}++; next }
	push @missing, "$file:$line: $format";
}
my @stale = grep { !$excused{$_} } sort keys %excused;

if ($list)
{
	print "$_\n" for @missing;
	printf "%d of %d messages, %d excused, %d excuses that nothing needs\n", scalar @missing, $count, scalar(keys %excused) - @stale, scalar @stale;
	exit(@missing > 0);
}
print "1..2\n";
print @missing ? 'not ' : '', "ok 1 - each of $count messages is raised by a test, or cannot be\n";
print "# $_\n" for @missing;
print @stale ? 'not ' : '', "ok 2 - nothing is excused that a test raises\n";
print "# $_\n" for @stale;
exit(@missing || @stale ? 1 : 0);

# The sources keep to the order of src/modules.txt: a domain includes headers,
# calls SQL functions and touches tables of the domains it may use, and of no
# others.  And to the rules about files: one is found by its name and read in
# one sitting.
use strict;
use warnings;
use Test::More;

use constant MAX_LINES => 900;

sub slurp
{
	my ($file) = @_;
	open(my $in, '<', $file) or die "could not open $file: $!";
	local $/;
	my $text = <$in>;
	return $text // '';
}

# ---- what may use what ----

my (%may, @domains);
for (split /\n/, slurp('src/modules.txt'))
{
	next if /^\s*(#|$)/;
	my ($domain, $uses) = /^([a-z]+):\s*([a-z ]*)$/ or die "src/modules.txt: cannot read: $_";
	for my $used (split ' ', $uses)
	{
		ok(exists $may{$used}, "src/modules.txt: $domain uses $used, which stands before it");
	}
	$may{$domain} = { map { $_ => 1 } $domain, split ' ', $uses };
	push @domains, $domain;
}

my %place_of = map { m{^(?:src|sql)/([^/]+)/} ? ($1 => $_) : () } glob('src/*/* sql/*/*');
ok(exists $may{$_}, "$place_of{$_}: domain $_ stands in src/modules.txt") for sort keys %place_of;

# ---- who owns which SQL name ----

# Text that says something to people, and comments, are no use of a name.
sub sql_code
{
	my ($text) = @_;
	$text =~ s{/\*.*?\*/}{}gs;
	$text =~ s{--[^\n]*}{}g;
	$text =~ s{\bCOMMENT\s+ON\b.*?\bIS\s+(?:'(?:[^']|'')*'\s*)+;}{}gis;
	$text =~ s{\b(?:HINT|DETAIL)\s*=\s*(?:format\s*\(\s*)?'(?:[^']|'')*'}{}gi;
	$text =~ s{\bRAISE\s+\w+\s+'(?:[^']|'')*'}{}gi;
	return $text;
}

sub c_code
{
	my ($text) = @_;
	$text =~ s{/\*.*?\*/}{}gs;
	$text =~ s{\berr(?:msg|hint|detail|context)\w*\s*(\((?:[^()"]|"(?:[^"\\]|\\.)*"|(?1))*\))}{}gs;
	$text =~ s{\bdesc\w*\s*=\s*(?:"(?:[^"\\]|\\.)*"\s*)+}{}gs;
	return $text;
}

my (%owner, %code);
for my $domain (@domains)
{
	for my $file (glob("sql/$domain/*.sql sql/$domain/*/*.sql"))
	{
		my $sql = $code{$file} = sql_code(slurp($file));
		while ($sql =~ /\bCREATE\s+(?:OR\s+REPLACE\s+)?(?:UNLOGGED\s+)?(?:FUNCTION|PROCEDURE|AGGREGATE|VIEW|TYPE|TABLE|SEQUENCE)\s+(?:IF\s+NOT\s+EXISTS\s+)?(ecauto(?:_data)?\.\w+)/gi)
		{
			$owner{ lc $1 } //= $domain;
		}
	}
	$code{$_} = c_code(slurp($_)) for glob("src/$domain/*.[ch]");
}

# ---- the arrows ----

my %wrong;
for my $file (sort keys %code)
{
	my ($domain) = $file =~ m{^\w+/(\w+)/};

	while ($code{$file} =~ /^\s*#\s*include\s+"(\w+)\/[^"]+\.h"/gm)
	{
		# a directory that is no domain is the server's
		$wrong{$file}{"includes a header of $1"} = 1 if exists $may{$1} && !$may{$domain}{$1};
	}
	while ($code{$file} =~ /\b(ecauto(?:_data)?\.\w+)/g)
	{
		my $used = $owner{ lc $1 } // next;
		$wrong{$file}{"uses $1 of $used"} = 1 if !$may{$domain}{$used};
	}
	$wrong{$file}{'declares a function that a header should declare'} = 1
	  if $file =~ /\.c$/ && $code{$file} =~ /^extern\s+(?!PGDLLEXPORT)[^;]*\(/m;
}

# ---- the files ----

my @files = grep { /\.(?:c|h|sql|psql|pl|pm|sh|spec|txt)$/ } split /\n/, qx(find src sql test -type f);
for my $file (@files)
{
	my ($domain, $name) = $file =~ m{^src/(\w+)/([^/]+)$};
	$wrong{$file}{"does not begin with $domain"} = 1 if $name && $name !~ /^\Q$domain\E[_.]/;
	$wrong{$file}{'is not called after what it does'} = 1 if $file =~ m{(?:^|[/_])(?:utils?|common|helpers?|misc)\b}i;

	my $lines = () = slurp($file) =~ /\n/g;
	$wrong{$file}{"has $lines lines, more than " . MAX_LINES} = 1
	  if $lines > MAX_LINES && $file !~ m{^test/sink/};
}

for my $file (sort @files)
{
	ok(!$wrong{$file}, $file) or diag(map { "it $_\n" } sort keys %{ $wrong{$file} });
}

done_testing();

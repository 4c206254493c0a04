# EcOdd: values that nobody expects, calls made of them, and a server to try
# them on.
#
#	my $odd = EcOdd->new(seed => 7);
#	my $call = $odd->call($function);       # a function of pg_proc, odd values
#	my $call = $odd->changed($seed);        # a call of our tests, a bit changed
#
# The generator of random numbers is our own, so that a seed means the same
# on every machine.
package EcOdd;

use strict;
use warnings;
use Exporter 'import';
use JSON::PP ();

our @EXPORT_OK = qw(test_calls);

sub new
{
	my ($class, %option) = @_;
	# Park & Miller (1988), "Random number generators: good ones are hard to find"
	return bless { state => ($option{seed} // 1) % 2147483646 + 1, words => $option{words} // [] }, $class;
}

# a number in 0 .. N-1
sub upto
{
	my ($self, $n) = @_;
	$self->{state} = $self->{state} * 48271 % 2147483647;
	return int($self->{state} / 2147483647 * $n);
}

sub pick
{
	my ($self, @of) = @_;
	return $of[ $self->upto(scalar @of) ];
}

# 'text' of SQL; undef is NULL
sub quoted
{
	my ($value) = @_;
	return 'NULL' unless defined $value;
	# no zero byte reaches a function
	(my $text = $value) =~ tr/\0//d;
	my $escape = $text =~ tr/\\// ? 'E' : '';
	$text =~ s/([\\'])/$1$1/g;
	return "$escape'$text'";
}

# ---- values ----

# texts: empty, long, with what means something to SQL, JSON, mail, HTML or Mustache
my @TEXTS = (
	'', ' ', 'x', "'", '"', '\\', '%', '%s%n', '{{', '{{a}}', '{{#a}}', '<b>', '&amp;', "a\r\nBcc: x\@y.example", "a\nb", "\t", "\x01", "ż", "\x{1F422}", "a\x{301}", "\x{202E}x", "\x{FEFF}",
	'NULL', 'null', '0', '-1', '1e400', 'NaN', 'infinity', '{}', '[]', '{"a": 1}', '(,)', '[,]', '{1,NULL}', ';', '--', '/*', '$1', '$$', "1'); DROP TABLE x; --", '../../etc/passwd', 'http://127.0.0.1:1/', 'javascript:1',
	'a@b.example', 'a@', '@', 'a@b@c', '"q"@b.example', 'a@[127.0.0.1]', 'PLN', 'EUR', 'pln', 'PLNX', 'Europe/Warsaw', '25:00', '2026-02-30', '1 day', '-1 day', 'P1Y', 'customer', 'order', 'stock', 'sku', 'product', 'cart',
	'customer.orders_count > 1', 'true', 'false AND', '1 = 1 OR', 'order.total >= 10', 'SELECT 1', 'pg_sleep(1) IS NULL', 'any', 'mean', 'auto', 'pl', 'email', 'marketing', 'transactional', 'warehouse', 'warehouse:x', 'nowhere');

sub text
{
	my ($self) = @_;
	my $kind = $self->upto(12);
	return $self->pick('x', 'ż', '{{a}}', '(', '[', '{"a":', "a\n", '1', ' AND 1', 'NOT ', '-') x $self->pick(100, 1000, 20_000, 300_000) if $kind == 0;
	return $self->pick(@{ $self->{words} }) if $kind < 5 && @{ $self->{words} };
	return $self->mangled($self->pick(@{ $self->{words} })) if $kind == 5 && @{ $self->{words} };
	return $self->pick(@TEXTS);
}

# a text with something cut out, put in or said twice
sub mangled
{
	my ($self, $text) = @_;
	for (0 .. $self->upto(3))
	{
		my $at = $self->upto(length($text) + 1);
		my $how = $self->upto(4);
		if    ($how == 0) { substr($text, $at, 1 + $self->upto(5), '') if $at < length $text }
		elsif ($how == 1) { substr($text, $at, 0, $self->pick(@TEXTS)) }
		elsif ($how == 2) { substr($text, $at, 0, substr($text, $at, 12)) }
		else              { substr($text, $at, 1, chr(1 + $self->upto(0x250))) if $at < length $text }
	}
	return $text;
}

my @INTEGERS = (0, 1, 2, 3, 7, 10, 30, 365, 1000, -1, -7, 100_000, 32767, -32768);
my %NUMBERS = (
	int2 => [ @INTEGERS ],
	int4 => [ @INTEGERS, 2147483647, -2147483648, 2147483646, 1073741824 ],
	int8 => [ @INTEGERS, 2147483648, '9223372036854775807', '-9223372036854775808', '4611686018427387904' ],
	oid => [ 0, 1, 16384, 4294967295 ],
	float8 => [ @INTEGERS, 0.5, 0.95, 0.999999999999, 1e-300, 1e300, '1.7976931348623157e308', '-1.7976931348623157e308', '4.9e-324', '-0', 'NaN', 'Infinity', '-Infinity', 12.34 ],
	numeric => [ @INTEGERS, 0.01, 19.99, 0.005, '1e-100', '1e100', '9' x 200, '0.' . '0' x 150 . '1', '99999999999999.99', 'NaN', 'Infinity', '-Infinity', '-0.01' ]);
$NUMBERS{float4} = [ grep { !/e-?3/ } @{ $NUMBERS{float8} } ];

my %OTHERS = (
	bool => [ 'true', 'false' ],
	timestamptz => [ '2026-06-16 12:00+02', '2026-06-01', '2026-03-29 02:30', '2026-10-25 02:30', '-infinity', 'infinity', '4713-01-01 00:00:00 BC', '294276-12-31 23:59:59', '0001-01-01', '1970-01-01', '2000-02-29', '9999-12-31' ],
	date => [ '2026-06-16', '2026-06-01', '-infinity', 'infinity', '4713-01-01 BC', '5874897-12-31', '0001-01-01', '2024-02-29' ],
	time => [ '00:00', '24:00', '12:00', '23:59:59.999999' ],
	interval => [ '0', '1 day', '-1 day', '30 days', '1 month', '100 years', '1 microsecond', '-178000000 years', '178000000 years', '2147483647 days', '1 mon -31 days' ],
	uuid => [ '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '11111111-2222-4333-8444-555555555555' ],
	inet => [ '127.0.0.1', '::1', '0.0.0.0/0', '10.0.0.0/8' ],
	name => [ 'postgres', 'fuzz_nobody', 'nobody', '', 'public', 'x' x 70 ],
	bytea => [ '', '\\x00', '\\xff00', '\\x' . '61' x 5000 ],
	regclass => [ 's.product', 's.orders', 'pg_class', '0', 'ecauto_data.event', 's.sold' ],
	regprocedure => [ 'ecauto.now()', '0', 'pg_catalog.pg_sleep(double precision)', 'ecauto.action_tag(jsonb,jsonb)', 'pg_catalog.length(text)' ],
	regtype => [ 'int4', '0', 'text' ],
	tstzrange => [ '(,)', 'empty', '[2026-01-01,2026-06-01)', '(infinity,)', '[2026-06-01,2026-06-01]', '(,-infinity)' ],
	daterange => [ '(,)', 'empty', '[2026-01-01,2026-06-01)' ],
	numrange => [ '(,)', 'empty', '[1,10)', '[NaN,NaN]' ],
	cstring => [ '', '{}', '()', '1', 'x', '(1,2,3)', '{"a":1}', '[[1,2],[3]]' ]);

# any value of JSON, nested a few levels; sometimes a lot of them
sub json
{
	my ($self, $depth) = @_;
	$depth //= 0;
	my $kind = $self->upto($depth < 4 ? 12 : 8);
	return undef if $kind == 0;
	return $self->text if $kind < 4;
	return \$self->pick(qw(0 1 -1 0.5 1e100 -1e-100 12345678901234567890 99999999999 2147483648)) if $kind < 7;
	return \$self->pick('true', 'false') if $kind == 7;
	return [ map { $self->json($depth + 1) } 1 .. $self->upto(4) ] if $kind < 10;
	return { map { ($self->key => $self->json($depth + 1)) } 1 .. $self->upto(4) };
}

sub key
{
	my ($self) = @_;
	return $self->pick(@{ $self->{keys} }) if @{ $self->{keys} // [] } && $self->upto(4) > 0;
	return $self->pick('', 'a', 'name', 'sku', 'qty', 'on', 'steps', 'when', 'then', 'if', 'value', 'amount', 'currency', 'ż', "\n", 'x' x 300);
}

# JSON text of such a value; a scalar reference is what is written as it is
sub as_json
{
	my ($value) = @_;
	return 'null' unless defined $value;
	return '[' . join(', ', map { as_json($_) } @$value) . ']' if ref $value eq 'ARRAY';
	return '{' . join(', ', map { as_string($_) . ': ' . as_json($value->{$_}) } sort keys %$value) . '}' if ref $value eq 'HASH';
	return $$value if ref $value;
	return as_string($value);
}

sub as_string
{
	my ($text) = @_;
	# jsonb knows no zero
	(my $string = $text) =~ tr/\0//d;
	$string =~ s/(["\\])/\\$1/g;
	$string =~ s/([\x01-\x1f])/sprintf '\\u%04x', ord $1/ge;
	return "\"$string\"";
}

# the JSON that a text of SQL is, as json() makes it; undef if it is none
sub from_json
{
	my ($text) = @_;
	return undef unless $text =~ /^\s*[\[{]/;
	return scalar eval { wrap(JSON::PP->new->allow_nonref->allow_bignum->decode($text)) };
}

sub wrap
{
	my ($value) = @_;
	return undef unless defined $value;
	return [ map { wrap($_) } @$value ] if ref $value eq 'ARRAY';
	return { map { ($_ => wrap($value->{$_})) } keys %$value } if ref $value eq 'HASH';
	return \($value ? 'true' : 'false') if JSON::PP::is_bool($value);
	return \"$value" if ref $value || $value =~ /\A-?\d+(\.\d+)?([eE][-+]?\d+)?\z/;
	return $value;
}

# a value of JSON with one to three places changed
sub changed_json
{
	my ($self, $value) = @_;
	$value = $self->changed_place($value) for 0 .. $self->upto(3);
	return $value;
}

sub changed_place
{
	my ($self, $value) = @_;
	if (ref $value eq 'HASH' && %$value && $self->upto(6) > 0)
	{
		my @keys = sort keys %$value;
		my $key = $self->pick(@keys);
		my %new = %$value;
		my $how = $self->upto(8);
		if    ($how == 0) { delete $new{$key} }
		elsif ($how == 1) { $new{ $self->key } = $self->json(3) }
		elsif ($how == 2) { $new{ $self->mangled($key) } = delete $new{$key} }
		elsif ($how == 3) { $new{$key} = $new{ $self->pick(@keys) } }
		else              { $new{$key} = $self->changed_place($new{$key}) }
		return \%new;
	}
	if (ref $value eq 'ARRAY' && @$value && $self->upto(6) > 0)
	{
		my @new = @$value;
		my $at = $self->upto(scalar @new);
		my $how = $self->upto(7);
		if    ($how == 0) { splice @new, $at, 1 }
		elsif ($how == 1) { splice @new, $at, 0, $new[$at] }
		elsif ($how == 2) { push @new, ($new[$at]) x $self->pick(2, 50) }
		else              { $new[$at] = $self->changed_place($new[$at]) }
		return \@new;
	}
	return $self->mangled($value) if defined $value && !ref $value && $self->upto(3) > 0;
	return $self->json(2);
}

# the literal of a value of a type, by its name in pg_type; NAME is the argument's
sub value
{
	my ($self, $type, $name) = @_;
	return 'NULL' if $self->upto(9) == 0;
	if ($type =~ /^_(.*)/)
	{
		my $element = $1;
		my $kind = $self->upto(10);
		return "'{}'::$element\[]" if $kind == 0;
		return "ARRAY[NULL]::$element\[]" if $kind == 1;
		return 'ARRAY[' . join(', ', map { 'ARRAY[' . join(', ', map { $self->value($element) } 1, 2) . ']' } 1, 2) . "]::$element\[]" if $kind == 2;
		return "array_fill((" . $self->value($element) . ")::$element, ARRAY[3], ARRAY[-1])" if $kind == 3;
		return "array_fill((" . $self->value($element) . ")::$element, ARRAY[" . $self->pick(100, 5000) . "])" if $kind == 4;
		# many arguments that are arrays belong together: mostly the same length
		return 'ARRAY[' . join(', ', map { $self->value($element) } 1 .. $self->pick(1, 3, 3, 3, 8)) . "]::$element\[]";
	}
	return quoted($self->pick(@{ $NUMBERS{$type} })) . "::$type" if $NUMBERS{$type};
	return quoted(as_json($self->json)) . '::jsonb' if $type eq 'jsonb' && !@{ $self->{objects} // [] } || $type eq 'jsonb' && $self->upto(2);
	return quoted(as_json($self->changed_json($self->pick(@{ $self->{objects} })))) . '::jsonb' if $type eq 'jsonb';
	return quoted($self->pick(@{ $OTHERS{$type} })) . "::$type" if $OTHERS{$type};
	return quoted($self->text) . '::text' if $type eq 'text' || $type eq 'varchar';
	# a type of ours
	return quoted($self->pick(@{ $OTHERS{cstring} })) . "::ecauto.$type" if $self->upto(2);
	return 'NULL';
}

# call(FUNCTION): a statement that calls it with odd values; FUNCTION is
# {name, kind (prokind), types => [...], names => [...], defaults}
sub call
{
	my ($self, $function) = @_;
	my @types = @{ $function->{types} };
	my $defaults = $function->{defaults};
	$#types -= $self->upto($defaults + 1) if $defaults;
	my @values = map { $self->value($types[$_], $function->{names}[$_]) } 0 .. $#types;
	my $call = 'ecauto."' . $function->{name} . '"(' . join(', ', @values) . ')';
	return "CALL $call;" if $function->{kind} eq 'p';
	return "SELECT $call FROM generate_series(1, " . $self->pick(0, 1, 3) . ') AS n;' if $function->{kind} eq 'a';
	return "SELECT * FROM $call AS f LIMIT 20;";
}

# changed(CALL): the call with one to three of its literals changed
sub changed
{
	my ($self, $call) = @_;
	my @parts = split /('(?:[^']|'')*'|\$\$.*?\$\$|(?<![\w.'])-?\d+(?:\.\d+)?(?![\w.']))/s, $call;
	my @literals = grep { $_ % 2 } 0 .. $#parts;
	return $call unless @literals;
	for (0 .. $self->upto(3))
	{
		my $at = $self->pick(@literals);
		my $literal = $parts[$at];
		if ($self->upto(12) == 0) { $parts[$at] = 'NULL'; next }
		if ($literal =~ /^('|\$\$)(.*)\g{1}$/s)
		{
			my $text = $2;
			$text =~ s/''/'/g if $1 eq "'";
			my $json = from_json($text);
			$parts[$at] = quoted(defined $json && $self->upto(8) ? as_json($self->changed_json($json)) : $self->upto(3) ? $self->mangled($text) : $self->text);
		}
		elsif ($literal ne 'NULL')
		{
			$parts[$at] = quoted($self->pick(@{ $NUMBERS{numeric} }));
		}
	}
	return join '', @parts;
}

# test_calls(FILE...): the calls of functions in schema ecauto that stand in SQL
# files, with their parentheses
sub test_calls
{
	my %found;
	for my $file (@_)
	{
		open my $in, '<:encoding(UTF-8)', $file or die "$file: $!";
		local $/;
		my $text = <$in>;
		while ($text =~ /\becauto\.(\w+)\s*(\((?:[^()']|'(?:[^']|'')*'|(?2))*\))/g)
		{
			my $call = "ecauto.$1$2";
			$found{$call} = 1 if length $call < 3000;
		}
	}
	return sort keys %found;
}

1;

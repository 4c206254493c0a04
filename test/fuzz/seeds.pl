# Writes what libFuzzer begins with: the texts of our own tests, in the places
# that fuzz.c looks for them, and a dictionary of their words.
#
#   seeds.pl DIRECTORY
#
# One directory for each target, one file for each seed, whose first byte says
# which way it goes (see "ways" in fuzz.c).
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use EcOdd qw(test_calls);

my $to = shift // die "usage: seeds.pl DIRECTORY\n";
chdir "$FindBin::Bin/../..";
my @files = glob('test/pgtap/*/*.sql test/pgtap/*/*.psql test/sql/*.sql test/demo/*.sql');

# function => the ways its texts go, and which of its literals they are
my %ways = (
	render => [ [ template => 'r', 0 ] ],
	check_template => [ [ template => 'r', 0 ] ],
	html_to_text => [ [ template => 'h', 0 ] ],
	create_template => [ [ template => 't', 2 ] ],
	check_condition => [ [ condition => $_, 0 ] ],
	(map { $_ => [ map { [ condition => $_, 0 ] } qw(c e t s) ] } qw(explain_condition evaluate compile_condition condition_changes_at)),
	create_segment => [ [ condition => 's', 1 ] ],
	create_flow => [ [ definition => 'f', 1 ], [ definition => 'd', 1 ] ],
	create_price_rule => [ [ definition => 'p', 1 ] ],
	create_promotion => [ [ definition => 'm', 1 ] ],
	create_score_rule => [ [ definition => 'c', 1 ] ],
	set_offer => [ [ definition => 'o', 2 ] ],
	set_supplier => [ [ definition => 's', 1 ] ],
	set_price_guard => [ [ definition => 'g', 0 ] ],
	mail_source => [ [ mail => 'p', 0 ] ],
	refused => [ [ mail => 'p', 0 ] ],
	mail_address_problem => [ map { [ mail => $_, 0 ] } qw(m t f) ]);
$ways{check_condition} = $ways{evaluate};

my (%count, %words);
mkdir $to;
mkdir "$to/$_" for qw(template condition definition mail);

sub seed
{
	my ($target, $letter, $text) = @_;
	return if length $text > 3000;
	open my $out, '>:encoding(UTF-8)', sprintf('%s/%s/%s%04d', $to, $target, $letter, $count{$target}++) or die "$to: $!";
	print $out $letter, $text;
	$words{$1}++ while $text =~ /"([a-z_]{2,20})"/g;
	$words{$1}++ while $text =~ /\b([A-Z]{2,10})\b/g;
}

for my $call (test_calls(@files))
{
	my ($name) = $call =~ /ecauto\.(\w+)/;
	my $ways = $ways{$name} or next;
	my @literals = map { s/''/'/gr } map { /^'(.*)'$/s ? $1 : /^\$\$(.*)\$\$$/s ? $1 : () } $call =~ /('(?:[^']|'')*'|\$\$.*?\$\$)/gs;
	for my $way (@$ways)
	{
		seed($way->[0], $way->[1], $literals[ $way->[2] ]) if defined $literals[ $way->[2] ];
	}
}
seed(mail => 'p', $_) for '{"to": "Anna <a@b.example>", "cc": ["b@b.example"], "subject": "Zamówienie", "text": "t", "html": "<p>h</p>", "headers": {"X-A": "b"}}',
	'{"to": ["a@b.example"], "bcc": "c@b.example", "reply_to": "r@b.example", "subject": "s", "text": "x", "attachments": [{"name": "ż.csv", "type": "text/csv", "text": "a;b"}, {"name": "a.png", "type": "image/png", "base64": "AAAA", "inline": "id1"}], "list_unsubscribe": "https://shop.example/u/1", "list_unsubscribe_post": true}';
seed(mail => @$_) for [ 's', 'A long subject with ż and = and ? and more words than fit into a line of a header of a mail' ], [ 't', 'Anna "Q" Ż <a@b.example>' ], [ 'f', 'Shop <shop@shop.example>' ],
	[ 'a', "file name.csv\x01text/csv; charset=utf-8\x01" ], [ 'u', 'http://127.0.0.1:8080/a' ], [ 'u', 'smtp://mail.example:587' ], [ 'q', "/a/b?c=d\x01value" ];
seed(template => 'h', '<html><head><title>t</title><style>p { }</style></head><body><h1>Hi</h1><p>one &amp; <b>two</b></p><ol><li>x<li><a href="u?a&amp;b">y</a></ol><pre> a</pre></body></html>');
seed(definition => 'k', '{"lines": [{"sku": "1", "qty": 3, "unit_price": 10}], "context": {"currency": "PLN", "customer": "1", "coupons": ["A"], "at": "2026-06-16"}}');
seed(definition => 'y', '{"days": 30, "basis": "lowest"}');

open my $out, '>:encoding(UTF-8)', "$to/dictionary" or die;
for my $word (sort keys %words, '{{', '}}', '{{#', '{{/', '{{>', '<a href=', '&#', 'NaN', '1e400', '-1', 'null', 'true', '[]', '{}', '\r\n', '\n', '": "', '=?UTF-8?Q?')
{
	my $escaped = $word =~ s/\\r/\\x0d/gr =~ s/\\n/\\x0a/gr =~ s/"/\\"/gr;
	print $out "\"$escaped\"\n";
}
print "$_: $count{$_} seeds\n" for sort keys %count;

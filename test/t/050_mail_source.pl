# What mail_source() writes, a parser written by others reads back: headers in
# any language, bodies, attachments, inline images; and the limits of lines that
# mail servers insist on are kept.
use strict;
use warnings;
use EcTest;
use Encode ();
use JSON::PP ();
use MIME::Base64 ();
use Test::More;

BEGIN
{
	eval { require Email::MIME; require Email::Address::XS; 1 }
	  or plan skip_all => 'Email::MIME is not installed';
}

my $json = JSON::PP->new->canonical->utf8;
my $node = ec_node('main');

# sources(CASE...): the mails of all payloads, by one statement.
sub sources
{
	my @cases = @_;
	my $payloads = $json->encode([ map { { payload => $_->{payload}, key => $_->{key} // 'k', sender => $_->{sender} // 'Shop <shop@example.com>' } } @cases ]);
	my $file = $PostgreSQL::Test::Utils::tmp_check . '/payloads.json';
	open(my $out, '>:raw', $file) or die $!;
	print $out $payloads;
	close($out);
	my $answer = $node->safe_psql(
		'postgres', qq{
		SELECT json_agg(ecauto.mail_source(c->'payload', c->>'sender', c->>'key', '2024-02-29 12:34:56+01') ORDER BY n)
		FROM jsonb_array_elements(pg_read_file('$file')::jsonb) WITH ORDINALITY AS e(c, n)});
	utf8::encode($answer) if utf8::is_utf8($answer);
	return map { Encode::encode('UTF-8', $_) } @{ $json->decode($answer) };
}

# shape(PART): content types, nested.
sub shape
{
	my ($part) = @_;
	my ($type) = $part->content_type =~ /^([^;]+)/;
	my @parts = $part->subparts;
	return @parts ? "$type(" . join(' ', map { shape($_) } @parts) . ')' : $type;
}

# leaves(PART): the parts that hold something.
sub leaves
{
	my ($part) = @_;
	my @parts = $part->subparts;
	return @parts ? map { leaves($_) } @parts : $part;
}

# mailboxes(MAIL, FIELD): [name, address] of each, decoded.
sub mailboxes
{
	my ($mail, $field) = @_;
	return [
		map { [ defined $_->phrase ? Encode::decode('MIME-Header', $_->phrase) : undef, $_->address ] }
		  Email::Address::XS->parse($mail->header_raw($field)) ];
}

# Faults in the bytes that no mail may have; '' if there is none.
sub faults
{
	my ($source) = @_;
	my ($head) = $source =~ /^(.*?\r\n)\r\n/s;
	my @found;
	push @found, 'not ASCII' if $source =~ /[^\x00-\x7f]/;
	push @found, 'control character' if $source =~ /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/;
	push @found, 'bare CR or LF' if $source =~ /\r(?!\n)|(?<!\r)\n/;
	push @found, 'does not end with CRLF' if $source !~ /\r\n\z/;
	push @found, 'line beyond 998' if $source =~ /^[^\r]{999}/m;
	push @found, 'folded line of white space' if $head =~ /^[ \t]+\r$/m;
	push @found, 'encoded-word beyond 75' if $head =~ /=\?[^? ]+\?[^? ]+\?[^? ]{64,}\?=/;
	push @found, "line beyond 76: $_" for grep { length > 76 && /^\s*\S+\s+\S/ && !/^Message-ID:/ } split /\r\n/, $head;
	return join(', ', @found);
}

# ---- parts nest as mail programs expect ----
my $text = { content => "a,b\n1,2\n", name => 'order.csv', type => 'text/csv' };
my $image = { base64 => MIME::Base64::encode_base64("\x89PNG\r\n\x1a\n\0\xff"), name => 'logo.png', type => 'image/png', inline_id => 'logo' };
my $pdf = { base64 => MIME::Base64::encode_base64(join('', map { chr } 0 .. 255)), name => 'invoice.pdf', type => 'application/pdf' };
my %basis = (to => 'Jan <jan@shop.example>', subject => 'Order 1042');
my @shapes = (
	[ 'text/plain', text => 'hi' ],
	[ 'text/html', html => '<p>hi</p>' ],
	[ 'multipart/alternative(text/plain text/html)', text => 'hi', html => '<p>hi</p>' ],
	[ 'multipart/related(text/html image/png)', html => '<img src="cid:logo">', attachments => [$image] ],
	[ 'multipart/alternative(text/plain multipart/related(text/html image/png))', text => 'hi', html => '<img src="cid:logo">', attachments => [$image] ],
	[ 'multipart/mixed(text/plain text/csv application/pdf)', text => 'hi', attachments => [ $text, $pdf ] ],
	[ 'multipart/mixed(text/csv)', attachments => [$text] ],
	[ 'multipart/mixed(multipart/alternative(text/plain multipart/related(text/html image/png)) text/csv application/pdf)',
		text => 'hi', html => '<img src="cid:logo">', attachments => [ $text, $image, $pdf ] ]);
my @sources = sources(map { { payload => { %basis, @$_[ 1 .. $#$_ ] } } } @shapes);
foreach my $i (0 .. $#shapes)
{
	is(shape(Email::MIME->new($sources[$i])), $shapes[$i][0], $shapes[$i][0]);
	is(faults($sources[$i]), '', 'lines as they must be');
}

my @leaves = leaves(Email::MIME->new($sources[-1]));
is($leaves[0]->body_str, "hi\r\n", 'text');
is($leaves[1]->body_str, "<img src=\"cid:logo\">\r\n", 'html');
is($leaves[2]->body, "\x89PNG\r\n\x1a\n\0\xff", 'inline image');
is($leaves[2]->header('Content-ID'), '<logo>', 'its Content-ID');
like($leaves[2]->header('Content-Disposition'), qr/^inline;/, 'it is inline');
is($leaves[3]->body, "a,b\n1,2\n", 'an attached text keeps its line ends');
like($leaves[3]->header('Content-Disposition'), qr/^attachment;/, 'it is attached');
is($leaves[4]->body, join('', map { chr } 0 .. 255), 'any bytes');
is($leaves[4]->filename, 'invoice.pdf', 'name of a file');

# ---- the header ----
my ($source) = sources({
		key => 'order:1042:placed',
		payload => {
			%basis,
			text => 'hi',
			cc => [ '"Smith, John \"JJ\"" <john@shop.example>', 'ann@shop.example' ],
			bcc => 'hidden@shop.example',
			reply_to => 'Help <help@shop.example>',
			list_unsubscribe => [ 'https://shop.example/u?t=1', '<mailto:u@shop.example>' ],
			list_unsubscribe_post => JSON::PP::true,
			headers => { 'X-Campaign' => 'spring', 'References' => join(' ', map { "<message$_\@shop.example>" } 1 .. 10) } } });
my $mail = Email::MIME->new($source);
is($mail->header('Date'), 'Thu, 29 Feb 2024 11:34:56 +0000', 'Date');
is($mail->header('Message-ID'), '<order%3A1042%3Aplaced@example.com>', 'Message-ID is made of key and domain');
is_deeply(mailboxes($mail, 'From'), [ [ 'Shop', 'shop@example.com' ] ], 'From');
is_deeply(mailboxes($mail, 'To'), [ [ 'Jan', 'jan@shop.example' ] ], 'To');
is_deeply(mailboxes($mail, 'Cc'), [ [ 'Smith, John "JJ"', 'john@shop.example' ], [ undef, 'ann@shop.example' ] ], 'Cc');
is_deeply(mailboxes($mail, 'Reply-To'), [ [ 'Help', 'help@shop.example' ] ], 'Reply-To');
unlike($source, qr/hidden/, 'a blind copy shows nowhere');
is($mail->header('List-Unsubscribe'), '<https://shop.example/u?t=1>, <mailto:u@shop.example>', 'List-Unsubscribe');
is($mail->header('List-Unsubscribe-Post'), 'List-Unsubscribe=One-Click', 'List-Unsubscribe-Post');
is($mail->header('X-Campaign'), 'spring', 'a header of the payload');
is($mail->header('References'), join(' ', map { "<message$_\@shop.example>" } 1 .. 10), 'a long one is folded and comes back');
is($mail->header('MIME-Version'), '1.0', 'MIME-Version');
is(faults($source), '', 'lines as they must be');
is((sources({ key => 'order:1042:placed', payload => { %basis, text => 'hi' } }))[0],
	(sources({ key => 'order:1042:placed', payload => { %basis, text => 'hi' } }))[0],
	'the same again gives the same bytes');
($source) = sources({ payload => { bcc => 'hidden@shop.example', text => 'hi' } });
is(Email::MIME->new($source)->header('To'), 'undisclosed-recipients:;', 'a mail to nobody but blind copies says so');

my @ids = map { Email::MIME->new($_)->header('Message-ID') }
  sources(map { { key => $_, payload => { %basis, text => 'hi' } } } 'a.b', '.a', 'a..b', 'a%2E', "\x{17c}", 'x' x 96, 'x' x 97, 'y' x 5000, '');
is_deeply([ @ids[ 0 .. 5 ] ],
	[ '<a.b@example.com>', '<%2Ea@example.com>', '<a%2E%2Eb@example.com>', '<a%252E@example.com>', '<%C5%BC@example.com>', '<' . ('x' x 96) . '@example.com>' ],
	'a short key is readable in the Message-ID');
like($_, qr/^<[0-9A-F]{32}\@example\.com>$/, 'any other gives its digest') for @ids[ 6 .. 8 ];
is(scalar(keys %{ { map { $_ => 1 } @ids } }), scalar(@ids), 'different keys give different Message-IDs');

# ---- bodies ----
my %bodies = (
	plain => [ '7bit', "one\ntwo\r\nthree", "one\r\ntwo\r\nthree\r\n" ],
	empty => [ '7bit', '', '' ],
	polish => [ 'quoted-printable', "Dzi\x{119}kujemy za zakupy w naszym sklepie internetowym\n", undef ],
	greek => [ 'base64', "\x{395}\x{3c5}\x{3c7}\x{3b1}\x{3c1}\x{3b9}\x{3c3}\x{3c4}\x{3bf}\x{3cd}\x{3bc}\x{3b5}\n" x 5, undef ],
	'a long line' => [ 'quoted-printable', 'x' x 5000 . "\n", undef ],
	'a line of 78' => [ '7bit', 'x' x 78 . "\n", undef ],
	'a line of 79' => [ 'quoted-printable', 'x' x 79 . "\n", undef ],
	'spaces at line ends' => [ 'quoted-printable', "a \nb\t\n c\n", undef ],
	'a carriage return' => [ 'base64', "a\rb\n", undef ],
	'a control character in a long text' => [ 'quoted-printable', "The first page\x{c}the second page\n", undef ],
	'what programs on the way change' => [ 'quoted-printable', "From here\n.\n..\nfrom\n", undef ],
	'a boundary' => [ 'quoted-printable', "--=_0000000000000000.1\n", undef ]);
foreach my $name (sort keys %bodies)
{
	my ($encoding, $body, $expected) = @{ $bodies{$name} };
	$expected //= $body =~ s/(?<!\r)\n/\r\n/gr;
	my ($s) = sources({ payload => { %basis, text => $body } });
	my $m = Email::MIME->new($s);
	is($m->body_str, $expected, "body: $name");
	is($m->header('Content-Transfer-Encoding'), $encoding, "body: $name: $encoding");
	is(faults($s), '', "body: $name: lines as they must be");
}

# ---- anything that people write, in any place, comes back ----
srand(4711);
my @alphabets = (
	[ 'a' .. 'z', ' ' ],
	[ map { chr } 0x20 .. 0x7e ],
	[ 'a' .. 'z', ' ', map { chr } 0x104, 0x105, 0x107, 0x119, 0x142, 0xf3, 0x15b, 0x17a, 0x17c ],
	[ ' ', map { chr } 0x3b1 .. 0x3c9 ],
	[ map { chr } 0x4e00 .. 0x4e40 ],
	[ 'a', ' ', map { chr } 0x1f600 .. 0x1f640 ],
	[ 'a', '?', '=', '_', ' ', '"', '\\', ',', ';', '<', '>', '@', "'", '%', '*', '(', ')' ]);

sub random_text
{
	my ($longest, @more) = @_;
	my $alphabet = $alphabets[ rand @alphabets ];
	my @letters = (@$alphabet, @more);
	return join('', map { $letters[ rand @letters ] } 1 .. 1 + int(rand(rand() < 0.2 ? $longest : $longest / 10)));
}

# a name for a mailbox: what the grammar of "Name <address>" can carry
sub random_name
{
	my $name = random_text(200);
	$name =~ s/^ +//;
	$name =~ s/ +$//;
	return $name;
}

my @cases;
foreach my $n (1 .. 400)
{
	my @names = map { random_name() } 0 .. int(rand 4);
	push @cases, {
		key => random_text(150),
		names => \@names,
		payload => {
			to => [ map { (length $names[$_] ? '"' . $names[$_] =~ s/(["\\])/\\$1/gr . '" ' : '') . "<a$_\@shop.example>" } 0 .. $#names ],
			subject => random_text(400),
			text => random_text(3000, "\n"),
			html => random_text(3000, "\n"),
			headers => { 'X-Random' => random_text(400), 'X-A-Name-That-Is-As-Long-As-The-Name-Of-A-Header-May-Well-Be' => random_text(100) },
			attachments => [ { name => 'f' . random_text(60), content => random_text(300, "\n", "\r", "\t") } ] } };
}
@sources = sources(@cases);
my %wrong;
foreach my $i (0 .. $#cases)
{
	my $p = $cases[$i]{payload};
	my $m = Email::MIME->new($sources[$i]);
	my @l = leaves($m);
	my $check = sub {
		my ($what, $got, $expected) = @_;
		return if $got eq $expected;
		diag("case $i, $what:\n  expected " . $json->encode([$expected]) . "\n  got      " . $json->encode([$got])) if !$wrong{$what}++;
	};
	my $crlf = sub { my $t = $_[0] =~ s/\n/\r\n/gr; return $t =~ /\n\z/ || $t eq '' ? $t : "$t\r\n"; };

	$check->('lines', faults($sources[$i]), '');
	$check->('Subject', $m->header_str('Subject'), $p->{subject});
	$check->('X-Random', $m->header_str('X-Random'), $p->{headers}{'X-Random'});
	$check->('long name', $m->header_str('X-A-Name-That-Is-As-Long-As-The-Name-Of-A-Header-May-Well-Be'),
		$p->{headers}{'X-A-Name-That-Is-As-Long-As-The-Name-Of-A-Header-May-Well-Be'});
	$check->('To', $json->encode([ map { [ $_->[0] // '', $_->[1] ] } @{ mailboxes($m, 'To') } ]),
		$json->encode([ map { [ $cases[$i]{names}[$_], "a$_\@shop.example" ] } 0 .. $#{ $cases[$i]{names} } ]));
	$check->('text', $l[0]->body_str, $crlf->($p->{text}));
	$check->('html', $l[1]->body_str, $crlf->($p->{html}));
	$check->('attachment', Encode::decode('UTF-8', $l[2]->body), $p->{attachments}[0]{content});
	$check->('file name', $l[2]->filename // '', $p->{attachments}[0]{name});
}
is_deeply(\%wrong, {}, '400 random mails come back as they were');

$node->stop;
done_testing();

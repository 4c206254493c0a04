# META.json keeps to the PGXN Meta Spec 1.0.0, and says what the other files say.
use strict;
use warnings;
use JSON::PP;
use Test::More;

sub slurp
{
	open(my $in, '<', $_[0]) or die "could not open $_[0]: $!";
	local $/;
	return scalar <$in>;
}

my $meta = JSON::PP->new->utf8->decode(slurp('META.json'));
my $number = qr/(?:0|[1-9][0-9]*)/;
my $version = qr/^$number\.$number\.$number(?:-?[a-zA-Z][-0-9A-Za-z]*)?$/;
my $term = qr/^[^\s\/\\\p{Cc}]{2,}$/;
my $range = qr/^(?:(?:[<>]=?|==|!=)?\s*(?:0|$number\.$number\.$number\S*)(?:\s*,\s*|$))+$/;
my %string = map { $_ => 1 } qw(name abstract description version generated_by release_status);

# ---- keys ----
ok(exists $meta->{$_}, "required: $_") for qw(name version abstract maintainer license provides meta-spec);
for my $key (sort keys %$meta)
{
	like($key, qr/^(?:name|version|abstract|maintainer|license|provides|meta-spec|description|generated_by|no_index|prereqs|release_status|resources|tags|[xX]_.+)$/, "known: $key");
	ok(!ref $meta->{$key} && length $meta->{$key}, "$key is a text") if $string{$key};
}
like($meta->{name}, $term, 'the name is a term');
like($meta->{version}, $version, 'the version is semantic');
for my $who (ref $meta->{maintainer} ? @{ $meta->{maintainer} } : $meta->{maintainer})
{
	ok(length $who, 'there is a maintainer');
}
my %license = map { $_ => 1 } qw(agpl_3 apache_1_1 apache_2_0 artistic_1 artistic_2 bsd freebsd gfdl_1_2 gfdl_1_3 gpl_1 gpl_2 gpl_3 lgpl_2_1 lgpl_3_0 mit
  mozilla_1_0 mozilla_1_1 openssl perl_5 postgresql qpl_1_0 ssleay sun zlib open_source restricted unrestricted unknown);
ok($license{$_}, "license $_") for ref $meta->{license} eq 'ARRAY' ? @{ $meta->{license} } : $meta->{license};
like($meta->{release_status} // 'stable', qr/^(?:stable|testing|unstable)$/, 'release status');
is($meta->{'meta-spec'}{version}, '1.0.0', 'the version of the specification');
like($meta->{'meta-spec'}{url}, qr{^https?://}, 'and where it is');

# ---- what it provides ----
for my $extension (sort keys %{ $meta->{provides} })
{
	my $provided = $meta->{provides}{$extension};
	like($extension, $term, "$extension is a term");
	like($_, qr/^(?:file|version|abstract|docfile|[xX]_.+)$/, "provides: $_") for sort keys %$provided;
	ok(-f $provided->{file}, "$provided->{file} is there");
	ok(!defined $provided->{docfile} || -f $provided->{docfile}, 'so is its documentation');
	like($provided->{version}, $version, 'its version is semantic');
}

# ---- what it needs ----
for my $phase (sort keys %{ $meta->{prereqs} // {} })
{
	like($phase, qr/^(?:configure|build|test|runtime|develop|[xX]_.+)$/, "phase $phase");
	for my $relation (sort keys %{ $meta->{prereqs}{$phase} })
	{
		like($relation, qr/^(?:requires|recommends|suggests|conflicts|[xX]_.+)$/, "relation $relation");
		like($meta->{prereqs}{$phase}{$relation}{$_}, $range, "$_: a range of versions") for sort keys %{ $meta->{prereqs}{$phase}{$relation} };
	}
}
ok(!(grep { length > 255 || m{[/\\\p{Cc}]} } @{ $meta->{tags} // [] }), 'tags');

# ---- other files ----
my ($default) = slurp('ecauto.control') =~ /^default_version = '(.*)'$/m;
like($meta->{version}, qr/^\Q$default\E\.\d+$/, 'the version is that of the extension');
is($meta->{provides}{ecauto}{version}, $meta->{version}, 'everywhere');
like(slurp('debian/changelog'), qr/\Aecauto \(\Q$default\E-\d+\) /, 'in the Debian package, too');
like(slurp('CHANGELOG.md'), qr/^## \Q$default\E /m, 'and in the list of changes');
my ($comment) = slurp('ecauto.control') =~ /^comment = '(.*)'$/m;
$comment =~ s/''/'/g;
is($meta->{abstract}, $comment, 'one sentence says what it is');
my $license = slurp('LICENSE');
like($license, qr/^Permission to use, copy, modify, and distribute this software and its\ndocumentation for any purpose/m, 'LICENSE is the licence that is named');
my ($text) = slurp('debian/copyright') =~ /\nLicense: PostgreSQL\n((?: .*\n)+)\z/;
$text =~ s/^ //gm;
$text =~ s/^\.$//gm;
is($text, $license =~ s/\A.*?\n(?=Permission)//sr, 'and the one of the Debian package');

done_testing();

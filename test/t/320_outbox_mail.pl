# Mail leaves through the same outbox: who gets it, what is refused for good,
# and a slow mail server that holds up no webhook.
use strict;
use warnings;
use EcTest;
use Test::More;

my $sink = ec_sink();
my $node = ec_node('main', preload => '', conf => { 'ecauto.mail_endpoint' => 'mail' });

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub deliver { return sql('SELECT * FROM ecauto.deliver()'); }

sub deliver_after
{
	my ($interval) = @_;
	return sql("SELECT set_config('ecauto.clock', (clock_timestamp() + '$interval')::text, false) \\g /dev/null\nSELECT * FROM ecauto.deliver()");
}

sql("CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->smtp_url . "', sender 'Süßer Shop <shop\@shop.example>')");
sql("CREATE SERVER hook FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->http_url('/ok') . "')");

# ---- one mail ----
my $id = sql(q{SELECT ecauto.send_mail('anna@customer.example', 'order-placed', '{"subject": "Dziękujemy za zamówienie", "body": "Hello\n.\nBye", "html": "<p>Hello</p>"}', key => 'mail-1')});
is(deliver(), '1|0|0', 'a mail is delivered');
my ($mail) = $sink->wait_for(smtp => 1);
is_deeply($mail->{rcpt}, ['anna@customer.example'], 'to its recipient');
is($mail->{mail_from}, 'shop@shop.example', 'from the sender of the endpoint');
is($sink->header($mail, 'To'), 'anna@customer.example', 'To');
like($sink->header($mail, 'Subject'), qr/^=\?utf-8\?/i, 'Subject, encoded');
my $message_id = $sink->header($mail, 'Message-ID');
like($message_id, qr/^<[^\s<>@]+\@shop\.example>$/, 'Message-ID');
like($sink->header($mail, 'Content-Type'), qr{^multipart/alternative}, 'text and HTML');
is(sql("SELECT state, template, purpose, last_status FROM ecauto.message($id)"), 'delivered|order-placed|transactional|250', 'and what it was is known');
is(sql(q{SELECT ecauto.send_mail('anna@customer.example', 'order-placed', '{"subject": "again", "body": "again"}', key => 'mail-1')}), $id, 'the same key is the same mail');
is(deliver(), '0|0|0', 'which is not sent twice');

# ---- refused ----
$sink->reset;
sql(q{SELECT ecauto.enqueue('mail', '{"to": ["a@b.example", "refuse@b.example", "greylist@b.example"], "cc": "c@b.example", "subject": "many", "text": "many"}', 'many')});
is(deliver(), '0|1|0', 'one of the recipients is to be tried again');
is(deliver_after('1 h'), '1|0|0', 'and gets it later');
my @mails = $sink->wait_for(smtp => 2);
is_deeply($mails[0]{rcpt}, [ 'a@b.example', 'c@b.example' ], 'those that were accepted got it at once');
is_deeply($mails[1]{rcpt}, ['greylist@b.example'], 'and not again');
is($sink->header($mails[0], 'Message-ID'), $sink->header($mails[1], 'Message-ID'), 'it is the same mail');
is(sql(q{SELECT state, last_error ~ 'refuse@b.example' FROM ecauto.messages('mail') WHERE key = 'many'}), 'delivered|t', 'the one refused for good is named');
# ... even if another failure came in between
sql(q{SELECT ecauto.enqueue('mail', '{"to": ["refuse2@b.example", "greylist2@b.example"], "subject": "many", "text": "many"}', 'between')});
is(deliver(), '0|1|0', 'one refused for good, one to be tried again');
$sink->fault('defer-data:1');
is(deliver_after('1 h'), '0|1|0', 'then the server defers it');
is(deliver_after('3 h'), '1|0|0', 'and takes it in the end');
is(sql(q{SELECT state, last_error ~ 'refuse2@b.example' FROM ecauto.messages('mail') WHERE key = 'between'}), 'delivered|t', 'who was refused at the first of three tries is still named');

# ---- redriven ----
$sink->reset;
sql(q{ALTER SERVER mail OPTIONS (ADD max_attempts '1')});
sql(q{SELECT ecauto.enqueue('mail', '{"to": ["got@b.example", "greylist3@b.example"], "subject": "half", "text": "half"}', 'half')});
is(deliver(), '0|0|1', 'dead, when one of two recipients has got it');
sql(q{ALTER SERVER mail OPTIONS (DROP max_attempts)});
is(sql(q{SELECT ecauto.redrive('mail', 'half')}), '1', 'it is redriven');
is(deliver(), '1|0|0', 'and delivered');
@mails = $sink->wait_for(smtp => 2);
is(join(' ', map { @{ $_->{rcpt} } } @mails), 'got@b.example greylist3@b.example', 'and only who lacked it gets it');

$id = sql(q{SELECT ecauto.send_mail('refuse@b.example', 't', '{"subject": "s", "body": "b"}')});
is(deliver(), '0|0|1', 'nobody takes it');
is(sql("SELECT state, last_status FROM ecauto.message($id)"), 'dead|550', 'so it is dead');

# ---- taken, but not acknowledged ----
$sink->reset;
sql(q{SELECT ecauto.send_mail('drop@b.example', 't', '{"subject": "s", "body": "b"}', key => 'dropped')});
is(deliver(), '0|1|0', 'the connection is lost after the text');
is(deliver_after('1 h'), '1|0|0', 'so it is sent again');
@mails = $sink->wait_for(smtp => 2);
is($sink->header($mails[0], 'Message-ID'), $sink->header($mails[1], 'Message-ID'), 'with the same Message-ID');

# ---- nobody listens ----
$sink->stop;
sql(q{SELECT ecauto.send_mail('late@b.example', 't', '{"subject": "s", "body": "b"}', key => 'late')});
is(deliver(), '0|1|0', 'no mail server at all');
$sink->restart;
is(deliver_after('1 h'), '1|0|0', 'but later');

# ---- credentials ----
my $guarded = ec_sink('--auth' => 'shop:geheim');
sql("CREATE SERVER guarded FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $guarded->smtp_url . "', sender 'shop\@shop.example')");
sql(q{SELECT ecauto.enqueue('guarded', '{"to": "a@b.example", "subject": "s", "text": "t"}')});
isnt(deliver(), '1|0|0', 'a server that wants a password');
sql("CREATE USER MAPPING FOR CURRENT_USER SERVER guarded OPTIONS (username 'shop', password 'geheim')");
sql(q{SELECT ecauto.enqueue('guarded', '{"to": "a@b.example", "subject": "s", "text": "t"}')});
like(deliver(), qr/^[12]\|/, 'gets it from the user mapping');
($mail) = $guarded->wait_for(smtp => 1);
is($mail->{user}, 'shop', 'as that user');

# ---- many ----
$sink->reset;
# what the guarded server refused may be due again just now
sql(q{SELECT ecauto.cancel(id) FROM ecauto.messages() WHERE state IN ('queued', 'retry')});
sql(q{SELECT ecauto.send_mail('c' || n || '@customer.example', 't', '{"subject": "s", "body": "b"}', key => 'bulk' || n) FROM generate_series(1, 2000) n});
is(deliver(), '2000|0|0', 'many mails');
is($sink->stats->{mails}, 2000, 'all there');
is($sink->stats->{duplicates}, 0, 'each once');

$node->stop;
done_testing();

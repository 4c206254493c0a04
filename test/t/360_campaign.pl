# Consent and caps with the workers running: twenty sessions that send at once,
# a click that reaches a mail which is already in the worker's hands, and what
# the shop's own records say at the last moment.
use strict;
use warnings;
use EcTest;
use Test::More;

my $sink = ec_sink('--without', 'PIPELINING');
my $node = ec_node('main', conf => { 'ecauto.databases' => 'postgres', 'ecauto.mail_endpoint' => 'mail', 'ecauto.settle_time' => 0,
	'ecauto.unsubscribe_url' => 'https://shop.example/u?t=' });

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql("CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url '" . $sink->smtp_url . "', sender 'shop\@shop.example', concurrency '1', timeout '10s')");
sql(q{SELECT ecauto.create_template('offer', 'Offer', NULL, 'For {{n}}');
	SELECT ecauto.grant_consent(a || '@shop.example', 'email', 'marketing') FROM unnest('{ann,bob,cid,dan,eve}'::text[]) a});

# ---- twenty sessions, one place ----
sql(q{SELECT ecauto.set_frequency_cap('daily', 1, '1 day')});
my $script = PostgreSQL::Test::Utils::tempdir() . '/send.sql';
open(my $out, '>', $script) or die $!;
print $out q{SELECT ecauto.send_mail('ann@shop.example', 'offer', '{"n": 1}', 'marketing');} . "\n";
close($out);
$node->command_ok([ 'pgbench', '-n', '-c', 20, '-j', 4, '-t', 1, '-f', $script, 'postgres' ], 'twenty sessions send at once');
ok(ec_wait($node, 'postgres', q{SELECT count(*) = 20 AND bool_and(reason IN ('sent', 'cap')) FROM ecauto_data.campaign_mail}), 'the worker decides about all of them');
is(sql(q{SELECT count(*) FROM ecauto_data.campaign_mail WHERE state = 'sent'}), '1', 'exactly one is sent');
is(scalar(my @got = $sink->wait_for(smtp => 1)), 1, 'and arrives');
like($sink->header($got[0], 'List-Unsubscribe'), qr{^<https://shop\.example/u\?t=u[\w-]{32}>$}, 'with a link');
is($sink->header($got[0], 'List-Unsubscribe-Post'), 'List-Unsubscribe=One-Click', 'that needs one click');
sql(q{SELECT ecauto.drop_frequency_cap('daily'); SELECT ecauto.withdraw_consent('ann@shop.example', 'email')});
is(sql(q{SELECT count(*) FROM ecauto_data.campaign_mail WHERE state = 'waiting'}), '0', 'those that wait are taken back with consent');

# ---- a click while the worker holds the mail ----
$sink->reset;
$sink->fault('hang-dot');
sql(q{SELECT ecauto.send_mail('bob@shop.example', 'offer', '{"n": 2}', 'marketing')});
ok(ec_wait($node, 'postgres', q{SELECT count(*) = 1 FROM ecauto.messages('mail', 'leased')}), 'the server takes its time');
sql(q{SELECT ecauto.send_mail('cid@shop.example', 'offer', '{"n": 3}', 'marketing')});
ok(ec_wait($node, 'postgres', q{SELECT count(*) = 2 FROM ecauto.messages('mail', 'leased')}), 'the next mail is leased and waits for the connection');
is(sql(q{SELECT ecauto.unsubscribe(ecauto.unsubscribe_token('cid@shop.example'))}), 't', 'its recipient unsubscribes');
is(sql(q{SELECT state, last_error FROM ecauto.messages('mail') WHERE id = (SELECT max(id) FROM ecauto.messages('mail'))}), 'cancelled|no_consent', 'which cancels it');
$sink->fault('none');
sql(q{SELECT ecauto.send_mail('dan@shop.example', 'offer', '{"n": 4}', 'marketing')});
$sink->wait_for(smtp => 1, sub { $_->{rcpt}[0] eq 'dan@shop.example' });
$sink->wait_for(smtp => 1, sub { $_->{rcpt}[0] eq 'bob@shop.example' });
is(scalar(grep { $_->{rcpt}[0] eq 'cid@shop.example' } $sink->mails), 0, 'it never leaves, though the worker had it');
ok(ec_wait($node, 'postgres', q{SELECT count(*) = 0 FROM ecauto_data.outbox}), 'the others do');

my $id;

# ---- who unsubscribes keeps his transaction open ----
$sink->reset;
$sink->fault('hang-dot');
my $order = q{'{"subject": "Your order", "body": "b"}'};
my $held = sql(q{SELECT ecauto.send_mail('dan@shop.example', 'offer', '{"n": 9}', 'marketing')});
ok(ec_wait($node, 'postgres', q{SELECT count(*) = 1 FROM ecauto.messages('mail', 'leased')}), 'a mail is under way');
my $click = $node->background_psql('postgres');
$click->query_safe(q{BEGIN});
is($click->query_safe(q{SELECT ecauto.withdraw_consent('dan@shop.example', 'email')}), '1', 'and taken back, in a transaction that stays open');
$sink->fault('none');
sql("SELECT ecauto.send_mail('eve\@shop.example', NULL, $order)");
ok(scalar($sink->wait_for(smtp => 1, sub { $_->{rcpt}[0] eq 'eve@shop.example' })), 'other mail leaves meanwhile');
ok(ec_wait($node, 'postgres', q{SELECT count(*) = 1 FROM ecauto_data.outbox_history WHERE payload ->> 'to' = 'eve@shop.example' AND state = 'delivered'}), 'and what came of it is written down');
sql("SELECT ecauto.send_mail('eve\@shop.example', NULL, $order, key => 'again')");
ok(ec_wait($node, 'postgres', q{SELECT count(*) = 1 FROM ecauto.messages('mail', 'delivered') WHERE key = 'again'}), 'again and again');
$click->query_safe(q{ROLLBACK});
$click->quit;
ok(ec_wait($node, 'postgres', "SELECT state IN ('delivered', 'retry', 'dead') FROM ecauto.message($held)"), 'then what came of the one that was held');
sql(q{UPDATE ecauto_data.outbox SET next_at = now()});
ok(ec_wait($node, 'postgres', q{SELECT count(*) = 0 FROM ecauto_data.outbox}), 'nothing is left');

# ---- recipients that the payload does not name ----
$id = sql(q{INSERT INTO ecauto_data.outbox (next_at, created_at, queued_at, endpoint, sender, key, purpose, payload, remaining)
	VALUES (now(), now(), now(), 'mail', current_user, 'hidden', 'marketing',
		'{"to": "dan@shop.example", "subject": "s", "text": "t"}', '{zoe@shop.example}') RETURNING id});
ok(ec_wait($node, 'postgres', "SELECT state = 'dead' AND last_error ~ 'none of the recipients' FROM ecauto.message($id)"), 'get nothing');
sql("DELETE FROM ecauto_data.outbox_history WHERE id = $id");

# ---- the shop changes its mind without telling us ----
sql(q{CREATE TABLE newsletter (email text, yes boolean, at timestamptz);
	SELECT ecauto.bind_role('consent', $$ SELECT email, 'email' AS channel, yes AS granted, at FROM public.newsletter $$);
	SELECT ecauto.pause_endpoint('mail')});
$id = sql(q{SELECT ecauto.send_mail('eve@shop.example', 'offer', '{"n": 5}', 'marketing')});
sql(q{INSERT INTO newsletter VALUES ('Eve@Shop.example', false, clock_timestamp()); SELECT ecauto.resume_endpoint('mail')});
ok(ec_wait($node, 'postgres', "SELECT state = 'cancelled' AND last_error = 'no_consent' FROM ecauto.message($id)"), 'consent is asked about again before sending');
is(sql("SELECT state, reason FROM ecauto_data.campaign_mail WHERE message_id = $id"), 'skipped|no_consent', 'and what was decided says so');
is((ec_sqlstate($node, 'postgres', "SELECT ecauto.send_mail('eve\@shop.example', 'offer', '{}', 'marketing');"))[0], '23514', 'nothing more can be sent');

# a query of the shop's that fails: nothing is known, so nothing is sent
$id = sql(q{SELECT ecauto.pause_endpoint('mail') \g /dev/null
SELECT ecauto.send_mail('dan@shop.example', 'offer', '{"n": 6}', 'marketing')});
sql(q{ALTER TABLE newsletter RENAME COLUMN yes TO no; SELECT ecauto.resume_endpoint('mail')});
ok(ec_wait($node, 'postgres', "SELECT state = 'retry' AND last_error ~ '^could not ask for consent' FROM ecauto.message($id)"), 'a mail waits while the shop cannot be asked');
sql(q{ALTER TABLE newsletter RENAME COLUMN no TO yes; UPDATE ecauto_data.outbox SET next_at = now()});
ok(ec_wait($node, 'postgres', "SELECT state = 'delivered' FROM ecauto.message($id)"), 'until it can');

# ---- a dead message does not come back without consent ----
sql(q{SELECT ecauto.grant_consent('refuse@shop.example', 'email', 'marketing')});
$id = sql(q{SELECT ecauto.send_mail('refuse@shop.example', 'offer', '{"n": 7}', 'marketing')});
ok(ec_wait($node, 'postgres', "SELECT state = 'dead' FROM ecauto.message($id)"), 'a mail that was refused for good');
sql(q{SELECT ecauto.withdraw_consent('refuse@shop.example', 'email')});
is(sql(q{SELECT ecauto.redrive('mail')}), '1', 'is put back');
ok(ec_wait($node, 'postgres', "SELECT state = 'cancelled' FROM ecauto.message($id)"), 'and not sent without consent');

# ---- by hand ----
is(sql(q{SELECT ecauto.pause_endpoint('mail') \g /dev/null
SELECT ecauto.send_mail('dan@shop.example', 'offer', '{"n": 8}', 'marketing') \g /dev/null
INSERT INTO newsletter VALUES ('dan@shop.example', false, clock_timestamp());
SELECT count(*) FROM ecauto.lease('mail', 10)}), '0', 'who leases by hand gets no mail that is not wanted any more');
is(sql(q{SELECT count(*) FROM ecauto_data.outbox}), '0', 'it has ended');

$node->stop;
done_testing();

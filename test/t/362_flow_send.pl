# What flows send arrives: http, slack and notices to staff, by the workers alone, each once.
use strict;
use warnings;
use EcTest;
use JSON::PP;
use Test::More;

my $sink = ec_sink();
my $node = ec_node('main', conf => { 'ecauto.settle_time' => 0, 'ecauto.databases' => 'postgres', 'ecauto.manager_mail' => 'manager@example.test' });
sub sql { return $node->safe_psql('postgres', $_[0]); }

$node->safe_psql('postgres', "BEGIN;\n\\i test/pgtap/event/shop.psql\nCOMMIT;\n");
sql('CREATE SERVER erp FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url $$' . $sink->http_url('/erp') . '$$)');
sql('CREATE SERVER chat FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url $$' . $sink->http_url('/hook') . '$$)');
sql('CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url $$' . $sink->smtp_url . '$$, sender $$Shop <shop@example.test>$$)');
sql(q{SELECT ecauto.create_flow('tell', '{"on": "order.placed", "steps": [
		{"http": {"endpoint": "erp", "path": "/orders/{{order.key}}", "method": "PUT", "payload": {"number": "{{order.number}}"}}},
		{"slack": {"endpoint": "chat", "text": "Order {{order.number}} of {{order.total}}"}},
		{"notice": {"subject": "Order {{order.number}}", "text": "It is of {{order.total}}.", "severity": "warning"}},
		{"notice": {"subject": "Order {{order.number}}", "text": "said twice"}}]}');
	SELECT ecauto.enable_flow('tell')});
sql(q{INSERT INTO s.orders (id, customer_id, mail, total, placed) VALUES (20, 1, 'c1@shop.example', 12.5, now())});

my @requests = sort { $a->{path} cmp $b->{path} } $sink->wait_for(http => 2);
my ($mail) = $sink->wait_for(smtp => 1);
ok( ec_wait($node, 'postgres', q{SELECT NOT EXISTS (SELECT FROM ecauto.messages() WHERE state <> 'delivered') AND count(*) = 3 FROM ecauto.messages()}),
	'three messages, all delivered');
is_deeply([ map { "$_->{method} $_->{path}" } @requests ], [ 'PUT /erp/orders/20', 'POST /hook' ], 'http with its method and path, slack to the webhook');
is_deeply([ map { decode_json($_->{body}) } @requests ], [ { number => '20' }, { text => 'Order 20 of 12.5' } ], 'filled in');
is_deeply($mail->{rcpt}, ['manager@example.test'], 'the notice goes to the manager');
is($sink->header($mail, 'Subject'), 'Order 20 (2 times)', 'told twice, sent once');
like($mail->{data}, qr/said twice/, 'with the latest text');
is(scalar($sink->requests) . ' ' . scalar($sink->mails), '2 1', 'and nothing else');
is(sql(q{SELECT string_agg(step || ' ' || outcome, ', ') FROM ecauto.explain_run((SELECT run_id FROM ecauto.runs('tell')))}),
	'start started, http done, slack done, notice done, notice done, end finished', 'as explained');

$node->stop;
done_testing();

# The page of the report in a browser: nothing loaded, nothing complained of,
# nothing wider than a phone, legible in the light and in the dark; and each
# long work is seen from another session, and cancelled.
use strict;
use warnings;
use EcTest;
use File::Basename;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = ec_node(
	'main',
	conf => {
		'ecauto.settle_time' => '0',
		'ecauto.timezone' => 'Europe/Warsaw',
		'ecauto.clock' => '2026-06-16 12:00:00+02'
	});
sub sql { return $node->safe_psql('postgres', $_[0]); }

my $fixtures = dirname(__FILE__) . '/../pgtap/report';
$node->safe_psql('postgres', "BEGIN;\n\\i $fixtures/shop.psql\n\\i $fixtures/busy.psql\nCOMMIT;");

# ---- progress ----
my $worker = $node->background_psql('postgres', on_error_stop => 0);
my ($pid) = $worker->query_safe('SELECT pg_backend_pid()') =~ /(\d+)/;
is(sql('SELECT count(*) FROM ecauto.progress()'), 0, 'nothing is under way');
$worker->query_safe(q{SET client_min_messages = error; BEGIN; SELECT ecauto.progress_begin('weigh the tea'); SELECT ecauto.progress_phase('caddies', 40); SELECT ecauto.progress_advance(3)});
is(sql('SELECT pid, command, phase, done, total, started_at <= clock_timestamp() FROM ecauto.progress()'), "$pid|weigh the tea|caddies|3|40|t", 'what another session is at');
like(sql(q{SELECT item || ' ' || value || ' ' || state FROM ecauto.status() WHERE item LIKE 'running %'}), qr/^running weigh the tea caddies 3 of 40 ok$/, 'status() tells of it too');
$worker->query_safe(q{SELECT ecauto.progress_begin('one of them')});
is(sql('SELECT command, phase IS NULL, total IS NULL FROM ecauto.progress()'), 'one of them|t|t', 'a part of it');
$worker->query_safe(q{SELECT ecauto.progress_end(); SELECT ecauto.progress_advance()});
is(sql('SELECT command, done FROM ecauto.progress()'), 'weigh the tea|4', 'and the whole again');
$worker->query_safe(q{SAVEPOINT a; SELECT ecauto.progress_begin('in vain'); ROLLBACK TO a});
is(sql('SELECT command, done FROM ecauto.progress()'), 'weigh the tea|4', 'what was begun in a savepoint ends with it');
$worker->query_safe('ROLLBACK');
is(sql('SELECT count(*) FROM ecauto.progress()'), 0, 'and everything with the transaction');
$worker->quit;

# Each long work stands still before a table that the watcher holds, is seen
# there, and is cancelled; nothing depends on how fast anything is.
my $watcher = $node->background_psql('postgres', on_error_stop => 0);
sub cancelled_at
{
	my ($command, $phase, $table, $statement) = @_;

	$watcher->query_safe("BEGIN; LOCK TABLE $table IN ACCESS EXCLUSIVE MODE");
	my ($out, $err, $in) = ('', '', '');
	my $long = IPC::Run::start(
		[ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', 'SET client_min_messages = error', '-c', $statement ],
		'<', \$in, '>', \$out, '2>', \$err);
	my $where = $phase eq '' ? 'phase IS NULL' : "phase = '$phase'";
	ok( ec_wait($node, 'postgres', qq{SELECT EXISTS (SELECT FROM ecauto.progress() p JOIN pg_stat_activity a ON a.pid = p.pid
		WHERE p.command = '$command' AND p.$where AND a.wait_event_type = 'Lock')}),
		"$command is seen at work" . ($phase eq '' ? '' : ": $phase"))
	  or diag(sql('SELECT command, phase FROM ecauto.progress()') . $err);
	sql("SELECT pg_cancel_backend(pid) FROM ecauto.progress() WHERE command = '$command'");
	$long->finish;
	like($err, qr/canceling statement due to user request/, "and $command is cancelled");
	$watcher->query_safe('ROLLBACK');
	is(sql('SELECT count(*) FROM ecauto.progress()'), 0, 'which ends it');
	return;
}

sql(q{SELECT ecauto.bind_write('set_price', 'UPDATE s.price SET amount = $2 WHERE variant_id = $1::int');
	SELECT ecauto.create_price_rule('dearer', '{"markup": 100}')});
cancelled_at('tick', 'event: product', 's.product', q{SELECT ecauto.resync('product'); SELECT ecauto.tick()});
cancelled_at('refresh_demand', 'order lines', 's.order_line', 'SELECT ecauto.refresh_demand(true)');
cancelled_at('forecast_all', 'seasons', 'ecauto_data.season_index', 'SELECT ecauto.forecast_all()');
cancelled_at('forecast_all', 'skus', 'ecauto_data.sku_forecast', 'SELECT ecauto.forecast_all()');
cancelled_at('plan_replenishment', 'orders', 'ecauto_data.purchase_order_line', 'SELECT * FROM ecauto.plan_replenishment()');
cancelled_at('reprice', 'prices', 's.price', 'SELECT * FROM ecauto.reprice()');
cancelled_at('refresh_segments', '', 'ecauto_data.segment_state', 'SELECT * FROM ecauto.refresh_segments(true)');
cancelled_at('fit_clv', 'read customers', 'ecauto_data.customer_fact', 'SELECT * FROM ecauto.fit_clv()');
cancelled_at('build_recommendations', 'read orders', 'ecauto_data.order_item', 'SELECT * FROM ecauto.build_recommendations()');
cancelled_at('association_rules', 'read orders', 'ecauto_data.order_item', 'SELECT * FROM ecauto.association_rules(0.01)');
cancelled_at('backtest_flow', '', 'ecauto_data.seen_order', q{SELECT * FROM ecauto.backtest_flow('welcome <back>', '2026-05-01', '2026-06-16')});
cancelled_at('report_html', $_->[0], $_->[1], 'SELECT ecauto.report_html()')
  for [ 'sales', 'ecauto_data.order_item' ], [ 'stock', 'ecauto_data.stock_incoming' ], [ 'attention', 'ecauto_data.outbox_history' ];
$watcher->quit;
for my $statement ('SELECT ecauto.forecast_all()', 'SELECT ecauto.refresh_demand(true)', 'SELECT ecauto.report_html()', 'SELECT ecauto.tick()')
{
	is(sql("SET client_min_messages = error; SELECT FROM ($statement) x; SELECT count(*) FROM ecauto.progress()"), 0, "$statement ends by itself as well");
}

# ---- the page ----
my $html = sql('SELECT ecauto.report_html()');
like($html, qr/data-never|<!DOCTYPE html>/, 'a page');
my ($chromium) = grep { -x $_ } map { ("$_/chromium", "$_/chromium-browser", "$_/google-chrome") } split /:/, $ENV{PATH};

SKIP:
{
	skip 'no chromium to look at the page with', 12 if !defined $chromium;

	my $dir = PostgreSQL::Test::Utils::tempdir;
	my $browser = sub {
		my ($file, @options) = @_;
		my ($stdout, $stderr) = ('', '');
		my $ok = IPC::Run::run(
			[ $chromium, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking',
				'--hide-scrollbars', '--enable-logging=stderr', "--user-data-dir=$dir/profile", @options, "file://$file" ],
			'<', \'', '>', \$stdout, '2>', \$stderr, IPC::Run::timeout(170));
		return ($stdout, join("\n", grep { /CONSOLE/ } split /\n/, $stderr), $ok);
	};
	my $write = sub {
		my ($name, $text) = @_;
		open(my $file, '>:raw', "$dir/$name") or die "could not write $dir/$name: $!";
		print $file $text;
		close $file;
		return "$dir/$name";
	};
	my $page = $write->('report.html', $html);
	my $shots = $PostgreSQL::Test::Utils::tmp_check;

	my ($dom, $console, $ok) = $browser->($page, "--screenshot=$shots/report.png", '--window-size=1280,2400');
	skip 'this chromium does not run here', 12 if !$ok || !-s "$shots/report.png";
	is($console, '', 'the browser has nothing to complain of');
	(undef, my $complaint) = $browser->($write->('bad.html', $html =~ s{</main>}{<img src="http://127.0.0.1:9/x.png" alt=""></main>}r), '--dump-dom');
	like($complaint, qr/Content Security Policy/, 'as it would if the page loaded something');
	$browser->($page, "--screenshot=$shots/report_phone.png", '--window-size=390,3000');
	ok(-s "$shots/report_phone.png" > 20_000, 'a picture of it on a phone');
	$browser->($page, '--no-pdf-header-footer', "--print-to-pdf=$shots/report.pdf");
	like(slurp_file("$shots/report.pdf"), qr/^%PDF-/, 'and on paper');

	# A page that measures itself: its width, the contrast of each text with
	# what is behind it, and what a keyboard reaches.
	my $measure = <<'JS';
<script>
function rgba(text) { const m = text.match(/[\d.]+/g).map(Number); return m.length > 3 ? m : m.concat(1); }
function over(a, b) { return [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1); }
function ground(e) { const c = rgba(getComputedStyle(e).backgroundColor);
	return c[3] >= 1 ? c : over(c, e.parentElement ? ground(e.parentElement) : [255, 255, 255, 1]); }
function light(c) { const l = c.slice(0, 3).map(v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
	return 0.2126 * l[0] + 0.7152 * l[1] + 0.0722 * l[2]; }
function contrast(e) { const b = ground(e), f = over(rgba(getComputedStyle(e).color), b), x = [light(b), light(f)].sort((p, q) => q - p);
	return (x[0] + 0.05) / (x[1] + 0.05); }
document.querySelectorAll('details').forEach(d => d.open = true);
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let worst = 99, where = '';
while (walker.nextNode()) {
	const e = walker.currentNode.parentElement;
	if (!walker.currentNode.textContent.trim() || /^(SCRIPT|STYLE|TITLE|DESC)$/i.test(e.tagName) || e.closest('svg')) continue;
	const c = contrast(e);
	if (c < worst) { worst = c; where = e.tagName + ': ' + walker.currentNode.textContent.trim().slice(0, 40); }
}
const wide = [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, nav ul, .skip, svg') && e.getBoundingClientRect().right > innerWidth + 0.5);
const levels = [...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1]);
const result = { inner: innerWidth, width: document.documentElement.scrollWidth, contrast: worst, where: where,
	wide: wide.slice(0, 3).map(e => e.tagName + '.' + e.className),
	jumps: levels.filter((l, i) => i && l > levels[i - 1] + 1).length, first: levels[0],
	dark: matchMedia('(prefers-color-scheme: dark)').matches, ground: getComputedStyle(document.body).backgroundColor,
	focus: [...document.querySelectorAll('.scroll')].every(e => e.tabIndex === 0 && e.getAttribute('role') === 'region' && e.getAttribute('aria-label')),
	landmarks: ['header', 'nav', 'main', 'footer'].filter(t => document.querySelectorAll('body > ' + t).length === 1).length,
	named: [...document.querySelectorAll('main section')].every(s => document.getElementById(s.getAttribute('aria-labelledby'))),
	links: [...document.querySelectorAll('a[href^="#"]')].every(a => document.querySelector(a.getAttribute('href'))) };
document.body.innerHTML = '';
document.body.setAttribute('data-result', JSON.stringify(result));
</script>
JS
	my $measured = $write->('measured.html', $html =~ s{<meta http-equiv="Content-Security-Policy"[^>]*>}{}r =~ s{</body>}{$measure</body>}r);
	my $result = sub {
		my ($stdout) = $browser->($measured, '--dump-dom', @_);
		my ($json) = $stdout =~ /data-result="([^"]*)"/ or return {};
		return decode_json($json =~ s/&quot;/"/gr =~ s/&lt;/</gr =~ s/&gt;/>/gr =~ s/&amp;/&/gr);
	};

	my $phone = $result->('--window-size=360,800', '--blink-settings=preferredColorScheme=1');
	cmp_ok($phone->{width}, '<=', $phone->{inner}, "nothing is wider than a phone of $phone->{inner} pixels");
	is_deeply($phone->{wide}, [], 'nor hangs over its edge');
	cmp_ok($phone->{contrast}, '>=', 4.5, "contrast in the light, least for $phone->{where}");
	my $dark = $result->('--window-size=1280,900', '--blink-settings=preferredColorScheme=0');
	ok($dark->{dark} && $dark->{ground} ne $phone->{ground}, 'the dark is another');
	cmp_ok($dark->{contrast}, '>=', 4.5, "contrast in the dark, least for $dark->{where}");
	is("$dark->{first} $dark->{jumps}", '1 0', 'headings go down step by step');
	ok($dark->{landmarks} == 4 && $dark->{named} && $dark->{links}, 'landmarks, names of sections and links into the page');
	ok($dark->{focus}, 'what scrolls can be reached by keyboard, and has a name');
}

$node->stop;
done_testing();

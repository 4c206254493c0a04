# EcLive: a real shop, with its own HTTP API, over a test's server.
#
#	use EcLive;
#
#	my $shop = EcLive->new('vendure');      # skips the test if it is not to be had
#	my $node = ec_node('main', conf => $shop->conf);
#	$shop->create($node, products => 30);   # its tables and goods, in $shop->database
#	$shop->start;                           # its server
#	my $counts = $shop->traffic(ORDERS => 20, SEED => 1);
#
# The shops and what drives them are not part of this project: they are looked
# for beside it (see ec_shared()) and come from npm, into the build directory,
# where they stay for the next run.
package EcLive;

use strict;
use warnings;
use Cwd qw(getcwd);
use EcTest;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @running;

sub new
{
	my ($class, $name) = @_;
	my $source = ec_shared('shops');

	plan skip_all => "the shop $name is not beside the project" unless $source && -d "$source/$name";
	for my $program (qw(node npm curl bash))
	{
		plan skip_all => "$program is not installed" unless grep { -x "$_/$program" } split /:/, $ENV{PATH};
	}

	# Its scripts write beside themselves.
	my $home = "$ENV{ECAUTO_BUILD}/shops";
	mkdir $home;
	system('cp', '-R', '--no-preserve=mode', '--remove-destination', "$source/lib", "$source/$name", $home) == 0
	  or die "could not copy $source to $home";

	my $self = bless {
		name => $name,
		home => $home,
		database => $name,
		port => PostgreSQL::Test::Cluster::get_free_port() }, $class;
	$self->_install;
	return $self;
}

# A registry of packages may be away for a moment, or for good on this machine.
sub _install
{
	my ($self) = @_;
	for my $try (1 .. 3)
	{
		return if eval { $self->_setup('install'); 1 };
		diag("$self->{name} could not be installed, try $try: $@");
		sleep 5 * $try;
	}
	plan skip_all => "the shop $self->{name} could not be installed with npm";
}

# The database that create() makes.
sub database { return $_[0]{database}; }
sub url { return "http://127.0.0.1:$_[0]{port}"; }

# What its node's ec_node() must be given: shops connect over TCP.
sub conf { return { listen_addresses => '127.0.0.1' }; }

# Make its tables and some goods to sell.
sub create
{
	my ($self, $node, %option) = @_;
	$self->{node} = $node;
	$self->{products} = $option{products} // 30;
	$self->_setup('db');
	return;
}

sub start
{
	my ($self) = @_;
	push @running, $self;
	$self->_setup('start');
	return;
}

sub stop
{
	my ($self) = @_;
	@running = grep { $_ != $self } @running;
	$self->_setup('stop');
	return;
}

# Customers come and buy, abandon carts, cancel; the back office captures
# payments and ships.  Returns the driver's counts.
sub traffic
{
	my ($self, %env) = @_;
	local %ENV = ($self->_env, CONC => 2, SEED => 1, MAX_SECONDS => 900, %env);
	$ENV{PUB_KEY} = $self->_key if $self->{name} eq 'medusa';

	my ($stdout, $stderr) = run_command([ 'node', "$self->{home}/$self->{name}/traffic.mjs" ]);
	my ($line) = $stdout =~ /^(\{.*\})$/m;
	die "$self->{name}: traffic said no counts: $stdout$stderr" unless $line;
	note("$self->{name}: $line");
	note($stderr) if $stderr;
	return JSON::PP::decode_json($line);
}

sub _key
{
	my ($self) = @_;
	my ($stdout) = run_command([ 'bash', "$self->{home}/$self->{name}/setup.sh", 'key' ]);
	return $stdout;
}

sub _env
{
	my ($self) = @_;
	my $node = $self->{node};
	return (
		%ENV,
		SHOP_DIR => "$self->{home}/$self->{name}/app",
		SHOP_DB => $self->{database},
		SHOP_PORT => $self->{port},
		SHOP_URL => $self->url,
		SEED_PRODUCTS => $self->{products} // 30,
		PGHOST => '127.0.0.1',
		PGPORT => $node ? $node->port : 1,
		PGUSER => scalar getpwuid($<),
		PGPASSWORD => 'x',
		npm_config_update_notifier => 'false');
}

sub _setup
{
	my ($self, $what) = @_;
	local %ENV = $self->_env;
	my $log = $PostgreSQL::Test::Utils::log_path . "/$self->{name}_$what.log";

	system('sh', '-c', 'exec bash "$0" "$1" </dev/null >"$2" 2>&1', "$self->{home}/$self->{name}/setup.sh", $what, $log) == 0
	  or die "$self->{name}: setup.sh $what failed:\n" . slurp_file($log);
	return;
}

END
{
	my $status = $?;
	$_->stop for @running;
	$? = $status;
}

1;

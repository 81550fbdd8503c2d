#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# What the help, the manuals, the completions and the README say is true: they agree, and their examples run in a lab.
# An example is a literal block behind the line `.\" test` in a manual, or `<!-- test -->` in README.md. Its lines
# "edgeN# COMMAND" are run on that node (in comments: without being shown); what stands between them is the output,
# stderr included. The address 10.77.0. stands for the lab's own. Behind "test": "alone" takes away what the lab has set up
# for a node, "netns" runs the whole block in a network namespace with an interface eth1, "netns only" with one that has the address and
# the default route, through which somebody is logged in, "cron" is lines of a crontab: each is
# run once as cron would, and says nothing that cron would have to mail.
use strict;
use warnings;
use Cwd qw(realpath);
use File::Basename qw(dirname basename);
use File::Temp qw(tempdir);
use Test::More;

chdir realpath(dirname(__FILE__) . '/../..') or die;
my $bin = realpath($ENV{EDGE_BIN} // ($ENV{B} // 'build') . '/bin');
plan skip_all => 'the programs are not built' if !$bin || !-x "$bin/edge-run";
$ENV{PATH} = "$bin:$ENV{PATH}";
$ENV{EDGE_BIN} = $bin;
my $tmp = tempdir('edge-docs.XXXXXX', TMPDIR => 1, CLEANUP => 1);
my @programs = map { basename($_) } glob("$bin/edge $bin/edge-*");
my %own = map { $_ => 1 } qw(help version completion);
my %uncronned = map { $_ => 1 } qw(edge edge-serve); # nobody's cron runs these
my %pages = map { basename($_) =~ /^(.+)\.(\d)$/ ? ($1 => "man/$1.$2") : () } glob('man/*.[18]');

sub slurp { my ($path) = @_; open(my $f, '<', $path) or return ''; local $/; my $text = <$f>; return $text // '' }

# Exit status, stdout and stderr of a program, its stdin at its end.
sub run {
	my (@argv) = @_;
	my $pid = fork // die;
	if (!$pid) {
		open(STDIN, '<', '/dev/null') and open(STDOUT, '>', "$tmp/out") and open(STDERR, '>', "$tmp/err") and exec @argv;
		exit 127;
	}
	waitpid($pid, 0);
	return ($? >> 8, slurp("$tmp/out"), slurp("$tmp/err"));
}

# --- help, and what it says of options: name => argument

sub options_of_help {
	my ($help) = @_;
	return map { /^  (?:-(\w), |    )--([\w-]+)(?: (\S+))?  / ? ($2 => $3 // '') : () } split /\n/, $help;
}

sub check_help {
	my ($p) = @_;
	my ($status, $help, $err) = run($p, '--help');
	is("$status $err", '0 ', "$p --help exits 0 and says nothing on stderr");
	like($help, qr/^Usage: \Q$p\E (--\S+ \S+ )*\[OPTION\].*\n( {7}\Q$p\E .*\n)*\S.*\.\n\n\S.*:\n/, "$p --help has usage, one sentence, options");
	unlike($help, qr/.{119}/, "... in lines that are not too long");
	is_deeply([run($p, '-h')], [0, $help, ''], "$p -h is the same");
	($status, my $version, $err) = run($p, '--version');
	is("$status $err", '0 ', "$p --version exits 0 and says nothing on stderr");
	like($version, qr/^\Q$p\E \d+\.\d+\.\d+\n$/, "$p --version prints name and version");
	for my $bad ('--no-such-option', '-!') {
		is_deeply([run($p, $bad)], [64, '', "$p: unknown option $bad (see $p --help)\n"], "$p $bad exits 64 with one line");
	}
	check_wrong_use($p, $help);
	check_example($p, $help);
	return $help;
}

# Whatever is missing or wrong is told in one line that names the help.
sub check_wrong_use {
	my ($p, $help) = @_;
	my %needed = map { /--(\S+) .*\(required\)$/ ? ($1 => 1) : () } split /\n/, $help;
	my ($usage) = $help =~ /^Usage: \Q$p\E (.*)/;
	is_deeply([sort keys %needed], [sort((split /\[/, $usage)[0] =~ /--(\S+)/g)], "$p: what the usage line asks for is marked as required");
	for my $option (keys %needed) {
		is_deeply([run($p, 'x')], [64, '', "$p: --$option is missing (see $p --help)\n"], "... and missed: --$option") if keys %needed == 1;
	}
	my ($status, $out, $err) = run($p);
	return if $status == 0 || $p eq 'edge-serve'; # a filter
	is("$status $out", '64 ', "$p without operands exits 64");
	like($err, qr/^\Q$p\E: [^\n]+ \(see \Q$p\E --help\)\n\z/, "... with one line that names the help");
}

sub check_example {
	my ($p, $help) = @_;
	my ($example) = $help =~ /^Example:\n  (.*)/m or return;
	like($example, qr/\Q$p\E( |$)/, "$p: its example is about it");
	for (split /\|/, $example =~ s/ -- .*//r) {
		my ($program, @words) = split;
		my %known = options_of_help((run($program, '--help'))[1]);
		is(join(' ', grep { /^--(.+)/ && !exists $known{$1} } @words), '', "... its $program has these options");
	}
}

# --- manuals

# The options in a section of a manual: name => argument.
sub options_of_manual {
	my ($text, $section) = @_;
	my ($part) = $text =~ /^\.Sh $section\n(.*?)(?=^\.Sh )/ms;
	my %found;
	for (split /\n/, $part // '') {
		next if $section eq 'DESCRIPTION' && !/^\.It Fl/;
		while (/Fl -([\w-]+)(?: Ar (\S+))?/g) { $found{$1} = $2 // '' }
	}
	return %found;
}

sub check_manual {
	my ($p, $help) = @_;
	my $page = $pages{$p};
	ok($page, "$p has a manual") or return;
	my $text = slurp($page);
	my %help = options_of_help($help);
	delete @help{ keys %own };
	for my $section ('SYNOPSIS', 'DESCRIPTION') {
		is_deeply({ options_of_manual($text, $section) }, \%help, "$page: $section has the options of --help, and no others");
	}
	my ($letters) = [sort map { /^  -(\w), --([\w-]+)/ && !$own{$2} ? "$1 $2" : () } split /\n/, $help];
	my $told = [sort map { /^\.It Fl (\w) , Fl -([\w-]+)/ ? "$1 $2" : () } split /\n/, $text];
	is_deeply($told, $letters, "$page has their letters");
	my $operands = join ' ', map { /^(?:Usage: | {7})\S+ .*?\[OPTION\]\.\.\. ?(.*)/ ? $1 : () } split /\n/, $help;
	my ($synopsis) = $text =~ /^\.Sh SYNOPSIS\n(.*?)(?=^\.Sh )/ms;
	$synopsis =~ s/Fl -[\w-]+ Ar \S+//g;
	my %named = map { $_ => 1 } $synopsis =~ /Ar ([A-Z]+)/g;
	is_deeply([sort keys %named], [sort($operands =~ /([A-Z]+)/g)], "$page: SYNOPSIS has the operands of --help");
	like($text, qr/^\.Sh $_$/m, "$page has $_") for 'EXIT STATUS', 'EXAMPLES', 'SEE ALSO';
	like($text =~ s/.*^\.Sh SEE ALSO$//smr, qr/^\.Xr edge 7/m, "... and refers to edge(7)");
	like($text, qr/^\.\\" test cron$/m, "... and has lines for a crontab") if !$uncronned{$p};
}

# What is told to all programs by the environment.
sub check_environment {
	my %read = map { $_ => 1 } `grep -rhoE 'getenv\\("[A-Z_]+"' cmds lib` =~ /"([A-Z_]+)"/g;
	my ($part) = slurp('man/edge.7') =~ /^\.Sh ENVIRONMENT\n(.*?)(?=^\.Sh )/ms;
	my %told = map { $_ => 1 } $part =~ /^\.It Ev (\S+)/mg;
	is(join(' ', grep { !$told{$_} && $_ ne 'EDGE_FAULT' } sort keys %read), '', 'edge(7) has each variable that a program reads');
}

# What people type after the README, and what the examples run, is there without the packages of the tests.
sub check_packages {
	my %groups = slurp('examples/install-packages') =~ /^\t\[(\w+)\]='([^']*)'/mg;
	my %early = map { $_ => 1 } "$groups{build} $groups{run}" =~ /:(\S+)/g;
	my @late = grep { !$early{$_} } $groups{test} =~ /:(\S+)/g;
	my %texts = map { $_ => slurp($_) } grep { -f } glob('examples/* examples/lab/*');
	$texts{'README.md'} = join '', slurp('README.md') =~ /^```console\n(.*?)^```/msg;
	for my $path (sort keys %texts) {
		my @used = grep { $texts{$path} =~ /(?:^\s*|[|;&(]\s*|edge\d# | -- )\Q$_\E /m } @late;
		is("@used", '', "$path needs no package of the tests");
	}
}

# Names of files in the README, and what it says of the tests.
sub check_readme {
	my $text = slurp('README.md');
	my %files = map { $_ => 1 } $text =~ /\]\(([^)#:]+)\)/g, $text =~ m{(?<![\w./-])((?:examples|tests|man)/[\w./-]*\w)}g;
	is(join(' ', grep { !-e } sort keys %files), '', 'README.md names only files that there are');
}

sub check_all_manuals {
	my $concepts = slurp('man/edge.7');
	my %program = map { $_ => 1 } @programs;
	for my $p (@programs) {
		like($concepts, qr/^\.(It )?Xr \Q$p\E [18]/m, "edge(7) names $p");
	}
	is(join(' ', grep { !$program{$_} } sort keys %pages), '', 'each manual of a program has its program');
	is_deeply([run('edge', 'help', 'score')], [run('edge-score', '--help')], 'edge help NAME is edge-NAME --help');
	my ($version) = (run('edge', '--version'))[1] =~ / (\S+)/;
	for my $page (glob('man/*')) {
		my $text = slurp($page);
		like($text, qr/^\.Os edgetools \Q$version\E$/m, "$page is of this version");
		like($text, qr/^\.Dd (?!January 1,)[A-Z][a-z]+ \d+, 20\d\d$/m, "... and has a date");
	}
	SKIP: {
		skip 'mandoc is not installed', 1 if system('command -v mandoc >/dev/null');
		is(join('', map { `mandoc -Tlint -Wwarning $_ 2>&1` } glob('man/*')), '', 'mandoc has nothing to say');
	}
	my %missing;
	for my $page (glob('man/*')) {
		my $text = slurp($page);
		while ($text =~ /Xr (edge\S*) (\d)/g) { $missing{"$1.$2 (in $page)"} = 1 if !-e "man/$1.$2" }
	}
	is(join(' ', sort keys %missing), '', 'no manual refers to one that there is not');
}

# --- completions

sub check_completion {
	my ($p, $help) = @_;
	my %options = (options_of_help($help));
	my %syntax = (bash => 'bash -n', zsh => 'zsh -n', fish => 'fish --no-execute');
	for my $shell (sort keys %syntax) {
		my ($status, $script, $err) = run($p, '--completion', $shell);
		is("$status $err", '0 ', "$p --completion $shell exits 0 and says nothing on stderr");
		my $mark = $shell eq 'fish' ? '-l ' : '--';
		is(join(' ', grep { $script !~ /\Q$mark$_\E\b/ } sort keys %options), '', "... and has each option");
		SKIP: {
			skip "$shell is not installed", 1 if system("command -v $shell >/dev/null");
			run($p, '--completion', $shell);
			is(`$syntax{$shell} $tmp/out 2>&1`, '', "... and $shell can read it");
		}
	}
}

sub check_loaders {
	for my $p (@programs) {
		my $said = `bash -c '. completions/edge.bash; COMP_WORDS=($p --he); COMP_CWORD=1; f=\$(complete -p $p | sed "s/.*-F \\([^ ]*\\).*/\\1/"); \$f; echo "\${COMPREPLY[*]}"' 2>&1`;
		is($said, "--help\n", "completions/edge.bash completes the options of $p");
	}
	for my $shell ('zsh', 'fish') {
		SKIP: {
			skip "$shell is not installed", 1 if system("command -v $shell >/dev/null");
			my $check = $shell eq 'zsh' ? 'zsh -n' : 'fish --no-execute';
			is(`$check completions/edge.$shell 2>&1`, '', "completions/edge.$shell can be read");
		}
	}
}

# --- examples

my ($lab, $subnet);

sub on {
	my ($node, $command, $err) = @_;
	open(my $f, '>', "$tmp/command") or die;
	print $f "$command\n";
	close $f;
	return scalar `timeout 120 $lab exec $node sh $tmp/command 2>$err`;
}

# Of a file: [line, [node, command, wanted output or undef]..., word behind "test"]...
sub examples_of {
	my ($path) = @_;
	my $readme = $path =~ /\.md$/;
	my ($begin, $end) = $readme ? (qr/^<!-- test ?([\w ]*?) ?-->/, qr/^```$/) : (qr/^\.\\" test ?([\w ]*)/, qr/^\.Ed/);
	my (@blocks, $steps);
	my $n = 0;
	for (split /\n/, slurp($path)) {
		$n++;
		if (/$begin/) { push @blocks, [$n, $steps = [], $1]; next }
		if ($steps && /$end/) { undef $steps; next }
		my $hidden = $readme ? qr/^<!-- (edge\d)# (.*) -->$/ : qr/^\.\\" (edge\d)# (.*)$/;
		if (!$readme && /^\.\\" (edge\d)# (.*)/ && !$steps) { push @blocks, [$n, $steps = [], ''] }
		next if !$steps || /^```/ || /^\.Bd/ || ($blocks[-1][2] eq 'cron' && /^[A-Z]+=/);
		if ($_ =~ $hidden) { push @$steps, [$1, $2, undef]; next }
		s/\\e/\\/g if !$readme;
		if ($blocks[-1][2] eq 'cron') { push @$steps, ['edge1', cron_line($_), ''] }
		elsif (/^(edge\d)# (.*)/) { push @$steps, [$1, $2, ''] }
		elsif (@$steps && ($steps->[-1][2] // 'hidden') eq '' && unfinished($steps->[-1][1])) { $steps->[-1][1] .= "\n$_" }
		elsif (@$steps) { $steps->[-1][2] .= "$_\n" }
	}
	return grep { @{ $_->[1] } } @blocks;
}

# What cron would run, and how.
sub cron_line {
	my ($line) = @_;
	my $field = qr{[*\d][\d,*/-]*};
	return "echo 'not a line of a crontab: $line'" if $line !~ /^(?:\@[a-z]+|(?:$field\s+){5})\s*([a-z].*)/;
	my $command = $1;
	return "echo 'an unquoted % ends the command: $line'" if $command =~ /(?<!\\)%/;
	$command =~ s/\\%/%/g;
	$command =~ s/'/'\\''/g;
	return "cd / && env -i HOME=/root LOGNAME=root EDGE_REGISTRY=\$EDGE_REGISTRY PATH=\$PATH /bin/sh -c '$command'";
}

# Does the shell want more lines?
sub unfinished {
	my ($command) = @_;
	return 1 if $command =~ /(\\|\||&&)$/;
	return 1 if $command =~ /<<END$/m && $command !~ /^END$/m;
	my $quotes = () = $command =~ /'/g;
	return $quotes % 2;
}

# What a command of a block of that kind is in the lab. The nodes share /root with this machine.
sub adapted {
	my ($command, $kind) = @_;
	return $command if $kind ne 'alone';
	$command =~ s{/root/\.ssh\b/?}{/etc/edge/}g;
	$command =~ s{ssh-ed25519 AAAA\.\.\. (edge\d)}{slurp("/run/edge-lab/$ENV{LAB}/$1/etc/key.pub") =~ s/\n//r}ge;
	$command =~ s{"bridge":"br0"\}}{"bridge":"br0","authorized_keys":"/etc/edge/authorized_keys","host_key":"/etc/edge/ssh_host_ed25519_key.pub"\}};
	return "unset EDGE_REGISTRY\n$command";
}

# There a connection over eth1 lives on, if it is the only interface.
sub in_namespace {
	my ($steps, $only) = @_;
	my $script = join("\n", 'mount -n -t sysfs sysfs /sys', 'ip link set lo up', 'unshare --net sleep 60 & peer=$!',
		'until [ "$(readlink /proc/$peer/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.02; done',
		'in_peer() { nsenter --net=/proc/$peer/ns/net "$@"; }', 'ip link add eth1 type veth peer name wire',
		'ip link set wire netns $peer', 'in_peer ip addr add 10.77.0.254/24 dev wire', 'in_peer ip link set wire up',
		$only ? <<'END' : (), (map { $_->[1] } @$steps),
ip addr add 10.77.0.1/24 dev eth1
ip link set eth1 up
ip route add default via 10.77.0.254
python3 -c 'import socket
s = socket.create_server(("", 8080))
c = s.accept()[0]
while d := c.recv(99): c.sendall(d)' &
for i in $(seq 400); do ss -Htln sport = :8080 | grep -q . && break; sleep 0.05; done
in_peer bash -c 'exec 3<>/dev/tcp/10.77.0.1/8080; for i in 1 2; do echo $i >&3; read -r -t 9 -u 3 n; echo answer $n; sleep 0.5; done' >$0.answers &
client=$!
for i in $(seq 400); do grep -qs "answer 1" $0.answers && break; sleep 0.05; done
END
		'ip -br -4 addr show dev br0 | grep -o "10.77.*"', 'in_peer ping -c 1 -W 3 10.77.0.1 >/dev/null && echo reached',
		$only ? ('ip route show default', 'wait $client', 'cat $0.answers') : (), 'kill $peer');
	$script =~ s/10\.77\.0\./$subnet./g;
	open(my $f, '>', "$tmp/namespace") or die;
	print $f "$script\n";
	close $f;
	return ['edge1', "unshare --net --mount sh -e $tmp/namespace", $only ?
		"10.77.0.1/24 \nreached\ndefault via 10.77.0.254 dev br0 \nanswer 1\nanswer 2\n" : "10.77.0.1/24 \nreached\n"];
}

sub run_examples {
	my ($path) = @_;
	# those that take away what the lab has set up come last
	for my $block (sort { ($a->[2] eq 'alone') <=> ($b->[2] eq 'alone') } examples_of($path)) {
		my ($line, $steps, $kind) = @$block;
		$steps = [in_namespace($steps, $kind eq 'netns only')] if $kind =~ /^netns/;
		for (@$steps) {
			my ($node, $command, $wanted) = @$_;
			s/10\.77\.0\./$subnet./g for $command, grep { defined } $wanted;
			my $have = on($node, adapted($command, $kind), defined $wanted ? '&1' : "$tmp/err");
			my $shown = $command =~ s/\n.*/ .../sr;
			if (!defined $wanted) { $? == 0 or diag("$path:$line: $shown: ", slurp("$tmp/err")); next }
			if ($wanted eq "...\n") { ok($? == 0, "$path:$line: $shown") or diag($have) }
			else { is($have, $wanted, "$path:$line: $shown") }
		}
	}
	for my $node ('edge1', 'edge2') {
		on($node, 'cd /var/lib/edge/services 2>/dev/null && ls -A | xargs -r edge-stop --rm --grace 0', "$tmp/err");
		on($node, 'rm -rf /tmp/data', "$tmp/err");
	}
}

sub run_all_examples {
	$ENV{LAB} = "docs$$";
	$lab = realpath('examples/lab/lab');
	$SIG{$_} = sub { exit 1 } for 'INT', 'TERM', 'HUP';
	if (system("timeout 150 $lab up 2 --share $tmp >/dev/null")) { fail('a lab for the examples'); return }
	chomp(my $number = slurp("/run/edge-lab/$ENV{LAB}/subnet"));
	$subnet = "10.77.$number";
	run_examples($_) for glob('man/*'), 'README.md';
}

END {
	my $status = $?;
	system("$lab down >/dev/null 2>&1") if $lab;
	$? = $status;
}

for my $p (@programs) {
	my $help = check_help($p);
	check_manual($p, $help);
	check_completion($p, $help);
}
check_all_manuals();
check_environment();
check_readme();
check_packages();
check_loaders();
SKIP: {
	skip 'the lab needs root', 1 if $>;
	run_all_examples();
}
done_testing();

#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# frames.pl WHAT FILE PROGRAM [ARG]...: runs edge-serve and stands between it and its caller: passes on all frames
# (lib/move/wire.h), but does this to one of them, once:
#   twice:NAME     it comes twice           late:NAME      it comes after the next one
#   flip:NAME:AT   one of its bytes is another one: AT "head", "data" or a number
#   drop:NAME      neither it nor anything behind it arrives
# NAME is a call's verb, a reply's member, or a kind: hello, call, reply, pages, image, blocks, manifest, want ... FILE tells what was done; while it is there,
# nothing more is done.
use strict;
use warnings;
use IO::Select;

my @kinds = qw(none hello call reply record note cover have want pages sync synced image manifest blocks-want blocks ping lack);
my ($what, $done, @program) = @ARGV;
my ($verb, $name, $place) = (split(/:/, $what), '');

pipe(my $in_r, my $in_w) && pipe(my $out_r, my $out_w) or die "$!\n";
my $pid = fork // die "$!\n";
if (!$pid) {
	open STDIN, '<&', $in_r and open STDOUT, '>&', $out_w or die "$!\n";
	close $_ for $in_r, $in_w, $out_r, $out_w;
	exec @program or die "$!\n";
}
close $in_r;
close $out_w;
$SIG{PIPE} = 'IGNORE';

# Each way: from, to, what has come, what is kept back.
my %ways = (fileno(STDIN) => [\*STDIN, $in_w, '', ''], fileno($out_r) => [$out_r, \*STDOUT, '', '']);

sub put {
	my ($to, $data) = @_;
	while (length $data) {
		my $n = syswrite($to, $data) // return;
		substr $data, 0, $n, '';
	}
}

sub is_it {
	my ($kind, $frame) = @_;
	return 0 if -e $done;
	return 1 if ($kinds[$kind] // '') eq $name;
	return ($kind == 2 && $frame =~ /"verb":"\Q$name\E"/) || ($kind == 3 && $frame =~ /"\Q$name\E":/);
}

sub flip {
	my ($frame, $head) = @_;
	my $n = length $$frame;
	my $at = $place eq 'head' ? int rand $head : $place eq 'data' ? $head + int rand($n - $head) : $place;
	substr($$frame, $at, 1) ^= chr(1 << int rand 8);
	return "byte $at of $n";
}

sub pass {
	my ($way, $frame, $kind, $head) = @_;
	my ($from, $to, undef, $late) = @$way;
	$way->[3] = '';
	return if $way->[4];
	if (!is_it($kind, $frame)) { return put($to, $frame . $late) }
	my $how = $what;
	if ($verb eq 'flip') { $how .= ' ' . flip(\$frame, $head) }
	open my $f, '>', $done or die "$done: $!\n";
	print $f "$how\n";
	close $f;
	if ($verb eq 'twice') { $frame .= $frame }
	if ($verb eq 'drop') { return $way->[4] = 1 }
	if ($verb eq 'late') { $way->[3] = $frame }
	else { put($to, $frame . $late) }
}

my $all = IO::Select->new(\*STDIN, $out_r);
while ($all->exists($out_r)) {
	my @ready = $all->can_read(0.3);
	for my $h (@ready) {
		my $way = $ways{fileno $h};
		if (!sysread $h, $way->[2], 1 << 20, length $way->[2]) {
			put($way->[1], $way->[2] . $way->[3]);
			close $way->[1];
			$all->remove($h);
			next;
		}
		while (length $way->[2] >= 5) {
			my ($n, $kind) = unpack 'VC', $way->[2];
			my $head = $kind == 1 ? 5 : 13;
			last if length $way->[2] < $head + $n;
			pass($way, substr($way->[2], 0, $head + $n, ''), $kind, $head);
		}
	}
	next if @ready;
	# Nothing comes after it: whoever sent it waits for an answer.
	for my $way (values %ways) {
		put($way->[1], $way->[3]);
		$way->[3] = '';
	}
}
waitpid $pid, 0;
exit($? >> 8);

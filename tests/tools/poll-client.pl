#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# A client that connects anew for each question: asks until its standard input ends, then tells the longest time without an
# answer and who answered, in order.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(sleep time);

my ($addr, $port) = @ARGV;
my ($last, $longest, @who) = (0, 0);
my $end = IO::Select->new(\*STDIN);
$| = 1;
until ($end->can_read(0)) {
	my $s = IO::Socket::INET->new(PeerAddr => $addr, PeerPort => $port, Timeout => 0.2);
	my $line = $s && IO::Select->new($s)->can_read(0.5) ? readline $s : undef;
	if (defined $line) {
		my $now = time;
		$longest = $now - $last if $last && $now - $last > $longest;
		print "ready\n" unless $last;
		$last = $now;
		chomp $line;
		push @who, $line unless @who && $who[-1] eq $line;
	}
	sleep 0.01;
}
printf "longest %d ms\n", 1000 * $longest;
print "answers from @who\n";

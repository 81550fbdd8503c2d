#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# hot.pl MEGABYTES: writes that much memory anew, again and again, with all the processor time that it gets; each page is to hold
# what was written to it last, which is looked at. Says how often it has been round, and ends when a page is wrong.
use strict;
use warnings;

my ($megabytes) = @ARGV;
my $memory = "\0" x ($megabytes << 20);
my @last = ("\0" x 16) x ($megabytes << 8);
my $said = 0;

$| = 1;
for (my $round = 1;; $round++) {
	for my $page (0 .. $#last) {
		die "page $page is wrong\n" if substr($memory, $page * 4096, 16) ne $last[$page];
		my $new = pack('L*', map { int rand 2**32 } 1 .. 1024);
		$last[$page] = substr($new, 0, 16);
		substr($memory, $page * 4096, 4096) = $new;
	}
	next if time == $said;
	$said = time;
	print "$round\n";
}
